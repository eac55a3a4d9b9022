/* One exchange for each secret at a time, however many actions wait for its token:
 *
 *     MSG_GRANT ─▶ MSG_ISSUER_TICKET ─▶ (arbiter: pinned? still wanted?) ─▶ MSG_EXCHANGE ─▶ (rf-issuer) ─▶ a token
 *
 * A failure is kept as well, for a moment: an agent that tries again and again must not make us knock at an issuer so
 * often that it locks the account. */
#include "vault/exchange.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "ipc/messages.h"
#include "proto/credential.h"
#include "proto/issuer.h"
#include "vault/vault.h"

#define EXCHANGE_MS 25000 /* all of it; rf-issuer gives up before */
#define FAILED_MS 2000
#define MARGIN_MS (90 * 1000) /* a token that is handed out is good for longer than its grant */
#define MAC_ROOM 80

struct token {
	struct token *next;
	char name[SECRET_NAME_MAX + 1];
	int64_t version, until_ms;
	char *text; /* owned; NULL: it failed */
	struct error error;
};

struct exchange {
	struct exchange *next;
	struct vault *vault;
	char name[SECRET_NAME_MAX + 1];
	int64_t version;
	char asked[UUID_TEXT]; /* the grant that the ticket was asked for */
	uint32_t ticket_serial, serial;
	struct json *ticket; /* owned; NULL until it came */
	char mac[MAC_ROOM];
	struct timer *timer;
};

/* ---- tokens ---- */

static void
token_forget(struct exchanges *exchanges, const char *name)
{
	for (struct token **at = &exchanges->tokens, *token; (token = *at) != NULL;) {
		if (name != NULL && strcmp(token->name, name) != 0) {
			at = &token->next;
			continue;
		}
		*at = token->next;
		free(token->text);
		free(token);
	}
}

static struct token *
token_find(struct exchanges *exchanges, const char *name)
{
	struct token *token = exchanges->tokens;
	while (token != NULL && strcmp(token->name, name) != 0)
		token = token->next;
	return token;
}

/* Keeps TEXT (taken), or ERR, until UNTIL_MS. Without memory the next grant exchanges again. */
static void
token_keep(struct exchange *x, char *text, const struct error *err, int64_t until_ms)
{
	struct exchanges *exchanges = &x->vault->exchanges;
	token_forget(exchanges, x->name);
	struct token *token = calloc(1, sizeof(*token));
	if (token == NULL) {
		free(text);
		return;
	}
	memcpy(token->name, x->name, sizeof(token->name));
	token->version = x->version;
	token->until_ms = until_ms;
	token->text = text;
	if (err != NULL)
		token->error = *err;
	token->next = exchanges->tokens;
	exchanges->tokens = token;
}

/* ---- the end of an exchange ---- */

static void
exchange_free(struct exchange *x)
{
	struct exchange **at = &x->vault->exchanges.running;
	while (*at != x)
		at = &(*at)->next;
	*at = x->next;
	x->timer = timer_cancel(x->timer);
	json_free(x->ticket);
	free(x);
}

static void
fail(struct exchange *x, const struct error *err)
{
	struct vault *vault = x->vault;
	char name[SECRET_NAME_MAX + 1];
	memcpy(name, x->name, sizeof(name));
	log_event(LOG_WARNING, "exchange-failed", "credential", name, "code", err->code, "reason",
	    err->message, NULL);
	token_keep(x, NULL, err, clock_wall_ms() + FAILED_MS);
	exchange_free(x);
	grants_exchanged(vault, name, NULL, err);
}

static void
fail_with(struct exchange *x, int errnum, const char *code, const char *why)
{
	struct error err;
	(void)error_set(&err, errnum, code, "credential %s cannot be had: %s", x->name, why);
	fail(x, &err);
}

static void
on_late(struct timer *timer, void *data)
{
	struct exchange *x = data;
	(void)timer;
	x->timer = NULL;
	fail_with(x, ETIMEDOUT, "issuer_unreachable", "the exchange took too long");
}

void
exchange_forget(struct vault *vault, const char *name)
{
	token_forget(&vault->exchanges, name);
	for (struct exchange *x = vault->exchanges.running, *next; x != NULL; x = next) {
		next = x->next;
		if (name == NULL || strcmp(x->name, name) == 0)
			exchange_free(x);
	}
}

/* ---- rf-issuer ---- */

static void
want_issuer(struct vault *vault)
{
	if (vault->issuer == NULL && vault->supervisor != NULL)
		(void)conn_send_take(vault->supervisor, MSG_ISSUER_WANTED, 0, json_new_object());
}

/* Sends what X has a ticket for. */
static int
send_secret(struct exchange *x, const struct secret *secret, struct error *err)
{
	struct vault *vault = x->vault;
	int len = secrets_open(secret, &vault->key.seal, vault_room(), err);
	if (len < 0)
		return len;
	struct json *body = json_new_object();
	(void)json_set_str(body, "as", json_get_str(secret->head, "as", ""));
	(void)json_set(body, "parameters", json_copy(json_get(secret->head, "exchange")));
	(void)json_set(body, "ticket", json_copy(x->ticket));
	(void)json_set_str(body, "mac", x->mac);
	(void)json_set(body, "secret", json_new_string_n((const char *)vault_room(), (size_t)len));
	vault_room_wipe();
	x->serial = conn_next_serial(vault->issuer);
	int r = conn_send_take(vault->issuer, MSG_EXCHANGE, x->serial, body);
	return r < 0 ? error_set_errno(err, -r, "issuer_unreachable", "rf-issuer does not listen")
		     : 0;
}

static void
proceed(struct exchange *x)
{
	struct error err = {.code = ""};
	if (x->ticket == NULL || x->serial != 0 || x->vault->issuer == NULL)
		return;
	const struct secret *secret = secrets_find(&x->vault->secrets, x->name);
	if (secret == NULL || secret_version(secret) != x->version)
		fail_with(x, EAGAIN, "credential_unknown", "it was changed meanwhile");
	else if (send_secret(x, secret, &err) < 0)
		fail(x, &err);
}

void
exchange_issuer_joined(struct vault *vault)
{
	for (struct exchange *x = vault->exchanges.running, *next; x != NULL; x = next) {
		next = x->next;
		proceed(x);
	}
}

void
exchange_issuer_gone(struct vault *vault)
{
	for (struct exchange *x = vault->exchanges.running, *next; x != NULL; x = next) {
		next = x->next;
		if (x->serial != 0)
			fail_with(x, EIO, "issuer_unreachable", "rf-issuer ended; try again");
	}
}

int
exchange_on_no_issuer(struct conn *conn, struct msg *m)
{
	struct vault *vault = conn_data(conn);
	struct error err;
	msg_error_read(m->body, &err);
	for (struct exchange *x = vault->exchanges.running, *next; x != NULL; x = next) {
		next = x->next;
		if (x->serial == 0)
			fail(x, &err);
	}
	return 0;
}

/* ---- tickets ---- */

static int
ask_ticket(struct exchange *x, const char *id)
{
	const struct secret *secret = secrets_find(&x->vault->secrets, x->name);
	struct issuer_url url;
	if (secret == NULL || x->vault->arbiter == NULL ||
	    issuer_url(json_get_str(json_get(secret->head, "exchange"), "url", ""), &url) < 0)
		return -EINVAL;
	struct json *body = json_new_object();
	(void)json_set_str(body, "grant", id);
	(void)json_set_str(body, "host", url.host);
	(void)json_set_int(body, "port", url.port);
	memcpy(x->asked, id, UUID_TEXT);
	x->ticket_serial = conn_next_serial(x->vault->arbiter);
	return conn_send_take(x->vault->arbiter, MSG_ISSUER_TICKET, x->ticket_serial, body);
}

static struct exchange *
find_ticket(struct vault *vault, uint32_t serial)
{
	struct exchange *x = vault->exchanges.running;
	while (x != NULL && (x->ticket_serial != serial || x->ticket != NULL))
		x = x->next;
	return x;
}

int
exchange_on_ticket(struct conn *conn, struct msg *m)
{
	struct exchange *x = find_ticket(conn_data(conn), m->serial);
	const char *mac = json_get_str(m->body, "mac", "");
	struct json *ticket = json_get(m->body, "ticket");
	if (x == NULL)
		return 0;
	if (json_type(ticket) != JSON_OBJECT || strlen(mac) >= MAC_ROOM)
		return -EBADMSG;
	x->ticket = json_copy(ticket);
	memcpy(x->mac, mac, strlen(mac) + 1);
	proceed(x);
	return 0;
}

/* No way to the issuer for that grant. Others that wait may have a better one: theirs may have been withdrawn. */
int
exchange_on_no_ticket(struct conn *conn, struct msg *m)
{
	struct vault *vault = conn_data(conn);
	struct exchange *x = find_ticket(vault, m->serial);
	struct error err;
	if (x == NULL)
		return 0;
	msg_error_read(m->body, &err);
	if (strcmp(err.code, "grant_unknown") != 0) {
		fail(x, &err);
		return 0;
	}
	grants_refuse_waiting(vault, x->asked, &err);
	const char *next = grants_waiting(vault, x->name);
	if (next == NULL || ask_ticket(x, next) < 0)
		fail(x, &err);
	return 0;
}

/* ---- from rf-issuer ---- */

static struct exchange *
find_exchange(struct vault *vault, uint32_t serial)
{
	struct exchange *x = vault->exchanges.running;
	while (x != NULL && (x->serial == 0 || x->serial != serial))
		x = x->next;
	return x;
}

int
exchange_on_done(struct conn *conn, struct msg *m)
{
	struct vault *vault = conn_data(conn);
	struct exchange *x = find_exchange(vault, m->serial);
	const struct json *token = json_get(m->body, "token");
	int64_t now = clock_wall_ms(), life = json_get_int(m->body, "expires_ms", 0) - now;
	_cleanup_json_ struct json *apply = json_new_object();
	if (x == NULL)
		return 0; /* it was withdrawn */
	(void)json_set_str(apply, "as", "bearer");
	char *text = life <= 0 ||
		credential_check_value(apply, json_str(token, ""), json_str_len(token)) != NULL
	    ? NULL
	    : strdup(json_str(token, ""));
	if (text == NULL) {
		fail_with(x, EBADMSG, "issuer_invalid", "what the issuer gave is no token");
		return 0;
	}
	char name[SECRET_NAME_MAX + 1];
	memcpy(name, x->name, sizeof(name));
	/* Those that wait get it whatever is left of it; later ones only while that is long enough. */
	token_keep(x, text, NULL, now + life - MIN((int64_t)MARGIN_MS, life / 4));
	exchange_free(x);
	grants_exchanged(vault, name, json_str(token, ""), NULL);
	return 0;
}

int
exchange_on_failed(struct conn *conn, struct msg *m)
{
	struct exchange *x = find_exchange(conn_data(conn), m->serial);
	struct error err;
	if (x == NULL)
		return 0;
	msg_error_read(m->body, &err);
	fail_with(x, EACCES, err.code, err.message);
	return 0;
}

/* ---- beginning ---- */

int
exchange_check_pin(const struct vault *vault, const struct json *parameters, struct error *err)
{
	struct issuer_url url;
	const char *text = json_get_str(parameters, "url", "");
	if (issuer_url(text, &url) == 0 && config_pins_issuer(vault->config, url.host, url.port))
		return 0;
	error_set(err, EACCES, "issuer_not_pinned",
	    "the configuration does not name the issuer %.200s", text);
	error_remedy(err,
	    "add it to network.issuers in config.yaml, as HOST or HOST:PORT, then run `ringfence "
	    "stop`");
	return -EACCES;
}

static int
begin(struct vault *vault, const struct secret *secret, const char *id, struct error *err)
{
	struct exchange *x = calloc(1, sizeof(*x));
	if (x == NULL || loop_timer(vault->loop, EXCHANGE_MS, on_late, x, &x->timer) < 0) {
		free(x);
		return error_set(err, ENOMEM, "no_memory", "out of memory");
	}
	x->vault = vault;
	memcpy(x->name, secret->name, sizeof(x->name));
	x->version = secret_version(secret);
	x->next = vault->exchanges.running;
	vault->exchanges.running = x;
	int r = ask_ticket(x, id);
	if (r < 0) {
		exchange_free(x);
		return error_set_errno(err, -r, "issuer_unreachable",
		    "the way to the issuer of %s cannot be asked for", secret->name);
	}
	want_issuer(vault);
	return 0;
}

int
exchange_token(struct vault *vault, const struct secret *secret, const char *id, const char **ret,
    struct error *err)
{
	const struct token *token = token_find(&vault->exchanges, secret->name);
	*ret = NULL;
	int r = exchange_check_pin(vault, json_get(secret->head, "exchange"), err);
	if (r < 0)
		return r;
	if (token != NULL && token->version == secret_version(secret) &&
	    clock_wall_ms() < token->until_ms) {
		*ret = token->text;
		if (token->text == NULL)
			*err = token->error;
		return token->text != NULL ? 0 : -EACCES;
	}
	for (const struct exchange *x = vault->exchanges.running; x != NULL; x = x->next)
		if (strcmp(x->name, secret->name) == 0 && x->version == secret_version(secret))
			return 0;
	return begin(vault, secret, id, err);
}
