/* rf-gateway, rf-dialer, rf-vault and rf-issuer: started when something first needs them, introduced to each other and to the
 * arbiter (MSG_PEER_JOIN), and restarted when they end. Who ends takes as little along as can be:
 *
 *   rf-gateway   its sandboxes end (gateway_lost). They could live on with listeners in the next one's hands, but what
 *                their programs trust is an authority whose key is gone; a session that cannot be trusted any more is
 *                worse than one that ended and says why.
 *   rf-dialer    connections that it was asked for fail; those it has made are the gateway's
 *   rf-vault     grants that it was asked for fail
 *   rf-issuer    exchanges that it was asked for fail; it is started again when the vault asks for it
 *
 * A gateway process has a number that no other one ever had: what was signed for one is nothing to the next. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/log.h"
#include "ipc/messages.h"
#include "ipc/spawn.h"
#include "sandbox/ids.h"
#include "supervisor/network.h"
#include "supervisor/supervisor.h"

#define LEAVE_MS 2000
#define TENANT "default"

static const struct route gateway_routes[] = {
    {MSG_GATEWAY_OPENED, 1u << PEER_GATEWAY, 0, 16384, 1, network_on_opened},
    {MSG_OK, 1u << PEER_GATEWAY, 0, 64, 0, network_on_listening},
    {MSG_GATEWAY_CLOSED, 1u << PEER_GATEWAY, 0, MSG_BODY_MAX, 0, network_on_closed},
    {MSG_ERROR, 1u << PEER_GATEWAY, 0, 16384, 0, network_on_error},
    {0},
};

static int on_issuer_wanted(struct conn *conn, struct msg *m);

static const struct route vault_routes[] = {
    {MSG_ISSUER_WANTED, 1u << PEER_VAULT, 0, 64, 0, on_issuer_wanted},
    {0},
};

/* They have nothing to tell us. */
static const struct route silent_routes[] = {{0}};

static const struct {
	const char *name, *directory, *peer;
	uid_t uid;
	enum peer kind;
	const struct route *routes;
} kinds[] = {
    {"rf-gateway", "gateway", "gateway", IDS_GATEWAY, PEER_GATEWAY, gateway_routes},
    {"rf-dialer", "dialer", "dialer", IDS_DIALER, PEER_DIALER, silent_routes},
    {"rf-vault", "vault", "vault", IDS_VAULT, PEER_VAULT, vault_routes},
    {"rf-issuer", "issuer", "issuer", IDS_ISSUER, PEER_ISSUER, silent_routes},
};
enum { GATEWAY, DIALER, VAULT, ISSUER, KINDS, ARBITER = KINDS };

static struct sibling *
sibling_of(struct supervisor *s, int kind)
{
	struct sibling *all[] = {&s->gateway, &s->dialer, &s->vault, &s->issuer, &s->arbiter};
	return all[kind];
}

/* ---- introductions ---- */

/* Tells KIND of its new conversation, over SOCKET, with OTHER. */
static int
introduce(struct supervisor *s, int kind, int other, int socket)
{
	_cleanup_json_ struct json *body = json_new_object();
	(void)json_set_str(body, "peer", other == ARBITER ? "arbiter" : kinds[other].peer);
	if (other == GATEWAY) {
		(void)json_set_int(body, "gateway", s->gateway_number);
		(void)json_set_str(body, "tenant", TENANT);
	}
	return conn_send(sibling_of(s, kind)->conn, MSG_PEER_JOIN, 0, body, &socket, 1);
}

/* KIND has just been started: it meets those that run and that it has to do with. */
static int
join(struct supervisor *s, int kind, struct error *err)
{
	static const int pairs[][2] = {{GATEWAY, ARBITER}, {GATEWAY, DIALER}, {GATEWAY, VAULT},
	    {DIALER, ARBITER}, {VAULT, ARBITER}, {ISSUER, DIALER}, {ISSUER, VAULT}};
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		const int *pair = pairs[i];
		int sockets[2];
		if ((pair[0] != kind && pair[1] != kind) || sibling_of(s, pair[0])->conn == NULL ||
		    sibling_of(s, pair[1])->conn == NULL)
			continue;
		int r = msg_pair(sockets);
		if (r < 0)
			return error_set_errno(err, -r, "internal", "no socket pair");
		r = introduce(s, pair[0], pair[1], sockets[0]);
		if (r == 0)
			r = introduce(s, pair[1], pair[0], sockets[1]);
		(void)close(sockets[0]);
		(void)close(sockets[1]);
		if (r < 0)
			return error_set_errno(
			    err, -r, "internal", "%s cannot be introduced", kinds[kind].name);
	}
	return 0;
}

/* ---- starting ---- */

static void on_end(struct watch *watch, uint32_t events, void *data);
static void ended(struct supervisor *s, int kind);

static int
start(struct supervisor *s, int kind, struct error *err)
{
	struct sibling *sibling = sibling_of(s, kind);
	uid_t uid = geteuid() == 0 ? kinds[kind].uid : 0;
	if (sibling->conn != NULL)
		return 0;
	if (sibling->pidfd >= 0)
		ended(s, kind); /* it talks to us no more, and was told to end */
	if (sibling->conn != NULL)
		return 0; /* somebody else needed it */
	_cleanup_close_ int directory = program_directory(s, kinds[kind].directory, uid, err);
	if (directory < 0)
		return directory;
	_cleanup_close_ int config = program_config();
	int fds[SPAWN_FDS] = {-1, -1, STDERR_FILENO, -1, directory,
	    kind == VAULT ? s->listeners[LISTENER_VAULT] : -1, -1, config};
	const struct program program = {.sibling = sibling,
	    .peer = kinds[kind].kind,
	    .routes = kinds[kind].routes,
	    .uid = uid,
	    .fds = fds,
	    .n_fds = SPAWN_CONFIG + 1,
	    .on_end = on_end};
	if (kind == GATEWAY)
		s->gateway_number++;
	int r = program_start(s, &program, err);
	if (r == 0)
		r = join(s, kind, err);
	if (r < 0)
		(void)program_forget(sibling);
	return r;
}

static int
start_vault(struct supervisor *s, struct error *err)
{
	s->vault_wanted = watch_remove(s->vault_wanted);
	return start(s, VAULT, err);
}

/* The vault has a secret to exchange. */
static int
on_issuer_wanted(struct conn *conn, struct msg *m)
{
	struct supervisor *s = conn_data(conn);
	struct error err = {0};
	int r = s->leaving || s->issuer.conn != NULL ? 0
	    : program_restarts_too_often(&s->issuer)
	    ? error_set(&err, ELOOP, "issuer_unreachable", "rf-issuer keeps ending; see the log")
	    : start(s, ISSUER, &err);
	return r < 0 ? conn_send_error(conn, m->serial, &err) : 0;
}

static void await_callers(struct supervisor *s);

/* Somebody connected to vault.sock. If there can be no vault they are told so. */
static void
on_vault_wanted(struct watch *watch, uint32_t events, void *data)
{
	struct supervisor *s = data;
	struct error err = {0};
	(void)watch;
	(void)events;
	int r = s->leaving || s->arbiter.conn == NULL
	    ? error_set(&err, EAGAIN, "not_ready", "rf-vault cannot be started now")
	    : start_vault(s, &err);
	if (r == 0)
		return;
	_cleanup_close_ int caller =
	    accept4(s->listeners[LISTENER_VAULT], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	_cleanup_json_ struct json *body = msg_error_body(&err);
	r = caller < 0 ? 0 : msg_send(caller, MSG_ERROR, 0, body, NULL, 0);
	(void)r;
	await_callers(s);
}

static void
await_callers(struct supervisor *s)
{
	if (s->vault_wanted == NULL && s->vault.conn == NULL &&
	    loop_watch(s->loop, s->listeners[LISTENER_VAULT], EPOLLIN, on_vault_wanted, s,
		&s->vault_wanted) < 0)
		log_event(LOG_ERROR, "vault-unwatched", NULL);
}

int
gateways_new(struct supervisor *s, struct error *err)
{
	for (int kind = 0; kind < KINDS; kind++)
		*sibling_of(s, kind) = (struct sibling){.name = kinds[kind].name, .pidfd = -1};
	await_callers(s);
	return s->vault_wanted != NULL ? 0 : error_set(err, ENOMEM, "no_memory", "out of memory");
}

int
gateways_need(struct supervisor *s, bool vault, struct error *err)
{
	/* The gateway last: whom it talks to is there before anybody asks it for something. */
	int r = start(s, DIALER, err);
	if (r == 0 && vault)
		r = start_vault(s, err);
	if (r == 0)
		r = start(s, GATEWAY, err);
	if (r < 0)
		await_callers(s);
	return r;
}

/* ---- ends ---- */

static void
record_end(struct supervisor *s, const char *name, int status)
{
	struct json *record = json_new_object(), *data = json_new_object();
	(void)json_set_str(data, "program", name);
	if (WIFSIGNALED(status))
		(void)json_set_int(data, "signal", WTERMSIG(status));
	else
		(void)json_set_int(data, "code", WEXITSTATUS(status));
	(void)json_set_str(record, "event", "program-ended");
	(void)json_set(record, "data", data);
	(void)json_set_bool(record, "durable", false);
	if (s->ledger.conn == NULL)
		json_free(record);
	else
		(void)conn_send_take(s->ledger.conn, MSG_APPEND, 0, record);
}

/* Restarts KIND for the sandboxes that are left with it. Without it they are told; the next one tries again. */
static void
restart(struct supervisor *s, int kind)
{
	struct error err = {0};
	if (s->networks == NULL || s->leaving)
		return;
	int r = program_restarts_too_often(sibling_of(s, kind))
	    ? error_set(&err, ELOOP, "restarts", "%s keeps ending; see the log", kinds[kind].name)
	    : start(s, kind, &err);
	if (r < 0) {
		log_event(LOG_ERROR, "cannot-restart", "message", err.message, NULL);
		network_lose_all(s, &err);
	}
}

static void
ended(struct supervisor *s, int kind)
{
	struct error err;
	int status = program_forget(sibling_of(s, kind));
	log_event(LOG_ERROR, "program-ended", "program", kinds[kind].name, NULL);
	record_end(s, kinds[kind].name, status);
	if (kind == GATEWAY) {
		(void)error_set(&err, EIO, "gateway_lost",
		    "rf-gateway ended; nothing can be reached without it");
		error_remedy(&err,
		    "if it always does: `ringfence doctor` (network) says whether authorities and "
		    "configuration are good, run/log in the state directory what it said last");
		network_lose_all(s, &err);
	} else if (kind != ISSUER) {
		restart(s, kind);
	}
	if (!s->leaving)
		await_callers(s);
}

static void
on_end(struct watch *watch, uint32_t events, void *data)
{
	struct supervisor *s = data;
	(void)events;
	for (int kind = 0; kind < KINDS; kind++)
		if (sibling_of(s, kind)->watch == watch) {
			ended(s, kind);
			return;
		}
}

void
gateways_end(struct supervisor *s)
{
	struct error err;
	for (int kind = 0; kind < KINDS; kind++)
		(void)program_forget(sibling_of(s, kind));
	(void)error_set(
	    &err, EIO, "gateway_lost", "the programs of the network boundary are restarted");
	network_lose_all(s, &err);
	await_callers(s);
}

void
gateways_stop(struct supervisor *s)
{
	s->vault_wanted = watch_remove(s->vault_wanted);
	for (int kind = 0; kind < KINDS; kind++)
		program_stop(sibling_of(s, kind), LEAVE_MS);
}
