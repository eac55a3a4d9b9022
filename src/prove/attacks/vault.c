/* A gateway that was taken over, or an arbiter that decides wrongly, against rf-vault: a real one, which we start, to which
 * we are the supervisor, the arbiter, two gateways and the person who set a secret. Its locks: only the arbiter can ask for
 * a secret, and the secret is bound to places, whatever the arbiter says. Open means: the arbiter asks; the secret is bound
 * to what is wanted. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "base/uuid.h"
#include "ipc/messages.h"
#include "prove/attacks/reach.h"
#include "prove/attacks/talk.h"

#define OURS 1
#define ANOTHER 2
#define LIFE_MS 60000
#define SEALS (0x2 | 0x4 | 0x8) /* F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE */

struct bench {
	const struct fixtures *f;
	struct program vault;
	int arbiter, gateway, another;
	char path[512];
};

/* Where the secret may go, and where it is wanted. */
struct place {
	const char *scheme, *host, *method, *path;
	int port;
};

static const struct place bound = {"https", OPEN, "GET", "/public/x", 443};

/* ---- the vault, and the secret ---- */

static struct bench
open_bench(const struct fixtures *f)
{
	struct bench b = {.f = f};
	(void)snprintf(b.path, sizeof(b.path), "%s", in_dir(f, "vault.sock"));
	_cleanup_close_ int listener = msg_listen(b.path, 0666);
	if (listener < 0)
		finish(cannot("no socket for people"));
	b.vault = start_program(f, "rf-vault", "", listener, -1);
	b.arbiter = introduce(&b.vault, "arbiter", -1);
	b.gateway = introduce(&b.vault, "gateway", OURS);
	b.another = introduce(&b.vault, "gateway", ANOTHER);
	return b;
}

static void
push(struct json *object, const char *member, struct json *value)
{
	struct json *list =
	    json_get(object, member) != NULL ? json_detach(object, member) : json_new_array();
	(void)json_push(list, value);
	(void)json_set(object, member, list);
}

static void
bind_to(struct json *bind, const struct place *place)
{
	push(bind, "hosts", json_new_string(place->host));
	push(bind, "ports", json_new_int(place->port));
	push(bind, "methods", json_new_string(place->method));
	push(bind, "paths", json_new_string(place->path));
	if (strcmp(place->scheme, "http") == 0)
		(void)json_set_bool(bind, "plain", true);
}

/* As `ringfence secret set` does; its value is the canary. */
static void
set_secret(const struct bench *b, const struct place *wanted)
{
	struct error err = {.code = ""};
	struct msg m = MSG_INIT;
	_cleanup_json_ struct json *body = json_new_object();
	struct json *bind = json_new_object();
	_cleanup_close_ int person = msg_connect(b->path);
	_cleanup_close_ int value =
	    (int)syscall(SYS_memfd_create, "value", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	bind_to(bind, &bound);
	if (is_open(b->f, "binding"))
		bind_to(bind, wanted);
	(void)json_set_str(body, "name", "token");
	(void)json_set_str(body, "as", "bearer");
	(void)json_set(body, "bind", bind);
	if (person < 0 || value < 0 || write(value, CANARY, strlen(CANARY)) < 0 ||
	    fcntl(value, F_ADD_SEALS, SEALS) < 0)
		finish(cannot("the secret cannot be sent"));
	errno = 0;
	if (ask_program(person, MSG_SECRET_SET, body, &value, 1, &m, &err) < 0)
		finish(cannot(err.message));
	msg_done(&m);
}

static struct json *
grant_for(const struct place *wanted, int gateway)
{
	char id[UUID_TEXT], digest[65];
	struct json *body = json_new_object(), *target = json_new_object();
	memset(digest, 'd', 64);
	digest[64] = 0;
	static const char *const ids[] = {"grant", "action_id", "sandbox"};
	for (size_t i = 0; i < ARRAY_LEN(ids); i++)
		if (uuid7_new(id) == 0)
			(void)json_set_str(body, ids[i], id);
	(void)json_set_str(target, "kind", "http");
	(void)json_set_str(target, "scheme", wanted->scheme);
	(void)json_set_str(target, "host", wanted->host);
	(void)json_set_int(target, "port", wanted->port);
	(void)json_set_str(target, "method", wanted->method);
	(void)json_set_str(target, "path", wanted->path);
	(void)json_set_str(body, "credential", "token");
	(void)json_set(body, "target", target);
	(void)json_set_int(body, "gateway", gateway);
	(void)json_set_str(body, "digest", digest);
	(void)json_set_int(body, "expires_ms", clock_wall_ms() + LIFE_MS);
	return body;
}

/* Whether the gateway got the secret. It comes before the arbiter is answered. */
static bool
has_secret(int gateway)
{
	struct msg m = MSG_INIT;
	bool yes = msg_recv(gateway, MSG_DONTWAIT, &m) == 1 && m.type == MSG_CREDENTIAL &&
	    strcmp(json_get_str(m.body, "value", ""), CANARY) == 0;
	msg_done(&m);
	return yes;
}

static enum attack_result
conclude(struct bench *b, bool got, const char *why)
{
	bool lives = end_program(&b->vault);
	(void)close(b->arbiter);
	(void)close(b->gateway);
	(void)close(b->another);
	errno = 0;
	if (got)
		return answer(true, "the secret itself");
	return lives ? held(why) : cannot("rf-vault ended");
}

/* The arbiter asks, for gateway NUMBER. */
static enum attack_result
by_arbiter(struct bench *b, const struct place *wanted, int number)
{
	struct error err = {.code = ""};
	struct msg m = MSG_INIT;
	_cleanup_json_ struct json *body = grant_for(wanted, number);
	int r = ask_program(b->arbiter, MSG_GRANT, body, NULL, 0, &m, &err);
	msg_done(&m);
	if (r < 0 && strcmp(err.code, "credential_not_bound") != 0) {
		errno = 0;
		return cannot(err.message);
	}
	return conclude(
	    b, has_secret(b->gateway), r < 0 ? err.message : "it went to its own gateway alone");
}

/* ---- a wrong yes ---- */

static enum attack_result
grant_wanted(const struct fixtures *f, const struct place *wanted)
{
	struct bench b = open_bench(f);
	set_secret(&b, wanted);
	return by_arbiter(&b, wanted, OURS);
}

#define WANTS(name, ...)                                                 \
	static enum attack_result grant_##name(const struct fixtures *f) \
	{                                                                \
		static const struct place wanted = {__VA_ARGS__};        \
		return grant_wanted(f, &wanted);                         \
	}
WANTS(host, "https", INSIDE, "GET", "/public/x", 443)
WANTS(port, "https", OPEN, "GET", "/public/x", 8443)
WANTS(method, "https", OPEN, "DELETE", "/public/x", 443)
WANTS(path, "https", OPEN, "GET", "/private/x", 443)
WANTS(plain, "http", OPEN, "GET", "/public/x", 443)

/* ---- a gateway taken over ---- */

static enum attack_result
grant_unasked(const struct fixtures *f)
{
	static const struct place wanted = {"https", INSIDE, "GET", "/public/x", 443};
	struct msg m = MSG_INIT;
	struct bench b = open_bench(f);
	set_secret(&b, &wanted);
	if (is_open(f, "grant"))
		return by_arbiter(&b, &wanted, OURS);
	_cleanup_json_ struct json *body = grant_for(&wanted, OURS);
	bool said =
	    msg_send(b.gateway, MSG_GRANT, 1, body, NULL, 0) == 0 && listen_to(b.gateway, &m);
	bool got = said && m.type == MSG_CREDENTIAL;
	msg_done(&m);
	return conclude(&b, got, said ? "refused" : "its conversation is ended");
}

static enum attack_result
grant_of_another(const struct fixtures *f)
{
	struct bench b = open_bench(f);
	set_secret(&b, &bound);
	return by_arbiter(&b, &bound, is_open(f, "grant") ? OURS : ANOTHER);
}

static enum attack_result
grant_list(const struct fixtures *f)
{
	struct msg m = MSG_INIT;
	struct bench b = open_bench(f);
	set_secret(&b, &bound);
	_cleanup_close_ int person = is_open(f, "grant") ? msg_connect(b.path) : -1;
	int fd = person >= 0 ? person : b.gateway;
	bool said = msg_send(fd, MSG_SECRET_LIST, 1, NULL, NULL, 0) == 0 && listen_to(fd, &m);
	bool got = said && m.type == MSG_SECRETS;
	msg_done(&m);
	enum attack_result result = conclude(&b, got, "its conversation is ended");
	return got ? answer(true, "which secrets there are, and for what") : result;
}

#define NEEDS (ITS_OWN_LOCKS | NEEDS_INTERNET | NEEDS_PROGRAMS)
#define BINDING              \
	{                    \
		LOCK_BINDING \
	}
#define GRANT              \
	{                  \
		LOCK_GRANT \
	}

const struct attack vault_attacks[] = {
    {"grant_host", BOUNDARY_TAKEOVER, "a wrong yes gets a secret for another host", BINDING,
	.needs = NEEDS, .run = RUN(grant_host)},
    {"grant_port", BOUNDARY_TAKEOVER, "a wrong yes gets a secret for another port", BINDING,
	.needs = NEEDS, .run = RUN(grant_port)},
    {"grant_method", BOUNDARY_TAKEOVER, "a wrong yes gets a secret for another method", BINDING,
	.needs = NEEDS, .run = RUN(grant_method)},
    {"grant_path", BOUNDARY_TAKEOVER, "a wrong yes gets a secret for another path", BINDING,
	.needs = NEEDS, .run = RUN(grant_path)},
    {"grant_plain", BOUNDARY_TAKEOVER, "a wrong yes gets a secret sent without TLS", BINDING,
	.needs = NEEDS, .run = RUN(grant_plain)},
    {"grant_unasked", BOUNDARY_TAKEOVER, "a gateway asks the vault for a secret",
	{LOCK_GRANT, LOCK_BINDING}, .needs = NEEDS, .run = RUN(grant_unasked)},
    {"grant_of_another", BOUNDARY_TAKEOVER, "a gateway gets what another was granted", GRANT,
	.needs = NEEDS, .run = RUN(grant_of_another)},
    {"grant_list", BOUNDARY_TAKEOVER, "a gateway asks which secrets there are", GRANT,
	.needs = NEEDS, .run = RUN(grant_list)},
    {0}};
