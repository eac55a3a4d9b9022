/* Grants. The arbiter alone asks for one, after it decided and claimed an action; the vault checks once more that the
 * secret is bound to where that action goes, sends the value to the action's gateway and answers the arbiter after. */
#include "vault/grants.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "ipc/messages.h"
#include "proto/issuer.h"
#include "proto/sigv4.h"
#include "vault/apply.h"
#include "vault/bind.h"
#include "vault/vault.h"

#define GRANTS_MAX 16384 /* then the oldest are revoked: they are long used, or late */
#define LIFE_MS (10 * 60 * 1000)
#define SWEEP_MS 30000

struct grant {
	struct grant *next_in_bucket;
	struct grant *older, *newer;
	char id[UUID_TEXT], sandbox[UUID_TEXT];
	char credential[SECRET_NAME_MAX + 1];
	int64_t gateway, expires_ms;
};

/* One that cannot be answered before its secret is exchanged. */
struct grant_wait {
	struct grant_wait *next;
	struct grant *grant; /* owned; not in the table yet */
	struct conn *conn;   /* who asked: answered only while it is the arbiter */
	uint32_t serial;
	bool git;
};

/* ---- the table ---- */

static struct grant **
find_place(struct grants *grants, const char *id)
{
	uint32_t hash = 2166136261U; /* FNV-1a */
	for (const char *c = id; *c != 0; c++)
		hash = (hash ^ (uint8_t)*c) * 16777619U;
	struct grant **at = &grants->buckets[hash % GRANTS_BUCKETS];
	while (*at != NULL && strcmp((*at)->id, id) != 0)
		at = &(*at)->next_in_bucket;
	return at;
}

static void
forget(struct grants *grants, struct grant *grant)
{
	*find_place(grants, grant->id) = grant->next_in_bucket;
	*(grant->older != NULL ? &grant->older->newer : &grants->oldest) = grant->newer;
	*(grant->newer != NULL ? &grant->newer->older : &grants->newest) = grant->older;
	grants->n--;
	free(grant);
}

/* Tells its gateway, and forgets it. */
static void
revoke_one(struct vault *vault, struct grant *grant)
{
	const struct vault_gateway *gateway = vault_gateway(vault, grant->gateway);
	if (gateway != NULL) {
		struct json *body = json_new_object();
		(void)json_set_str(body, "grant", grant->id);
		/* A gateway that does not take it loses its conversation, and what it was granted with it. */
		if (conn_send_take(gateway->conn, MSG_CREDENTIAL_REVOKED, 0, body) < 0)
			conn_close(gateway->conn);
	}
	forget(&vault->grants, grant);
}

/* ---- waiting for a token ---- */

/* Takes WAIT, which is at *AT, out of the list. Its grant is the caller's. */
static struct grant_wait
wait_take(struct grant_wait **at)
{
	struct grant_wait taken = **at, *wait = *at;
	*at = wait->next;
	free(wait);
	return taken;
}

static void
wait_refuse(struct vault *vault, struct grant_wait **at, const struct error *err)
{
	struct grant_wait wait = wait_take(at);
	log_event(LOG_WARNING, "grant-refused", "code", err->code, "reason", err->message, NULL);
	free(wait.grant);
	if (vault->arbiter != NULL && vault->arbiter == wait.conn)
		(void)conn_send_error(wait.conn, wait.serial, err);
}

/* Refuses those that wait and whose MEMBER is VALUE (NULL: all). */
static void
refuse_waiting(struct vault *vault, const char *(*member)(const struct grant *grant),
    const char *value, const struct error *err)
{
	for (struct grant_wait **at = &vault->grants.waiting; *at != NULL;) {
		if (value == NULL || strcmp(member((*at)->grant), value) == 0)
			wait_refuse(vault, at, err);
		else
			at = &(*at)->next;
	}
}

static const char *
id_of(const struct grant *grant)
{
	return grant->id;
}

static const char *
sandbox_of(const struct grant *grant)
{
	return grant->sandbox;
}

static const char *
credential_of(const struct grant *grant)
{
	return grant->credential;
}

const char *
grants_waiting(const struct vault *vault, const char *name)
{
	const struct grant_wait *wait = vault->grants.waiting;
	while (wait != NULL && strcmp(wait->grant->credential, name) != 0)
		wait = wait->next;
	return wait != NULL ? wait->grant->id : NULL;
}

void
grants_refuse_waiting(struct vault *vault, const char *id, const struct error *err)
{
	refuse_waiting(vault, id_of, id, err);
}

static void
revoke_waiting(
    struct vault *vault, const char *(*member)(const struct grant *grant), const char *value)
{
	struct error err;
	(void)error_set(&err, ECANCELED, "grant_revoked", "it was revoked before it was granted");
	refuse_waiting(vault, member, value, &err);
}

void
grants_revoke(struct vault *vault, const char *name)
{
	exchange_forget(vault, name);
	revoke_waiting(vault, credential_of, name);
	for (struct grant *grant = vault->grants.oldest, *next; grant != NULL; grant = next) {
		next = grant->newer;
		if (name == NULL || strcmp(grant->credential, name) == 0)
			revoke_one(vault, grant);
	}
}

void
grants_forget_gateway(struct vault *vault, int64_t gateway)
{
	for (struct grant *grant = vault->grants.oldest, *next; grant != NULL; grant = next) {
		next = grant->newer;
		if (grant->gateway == gateway)
			forget(&vault->grants, grant);
	}
}

static void on_sweep(struct timer *timer, void *data);

/* Without a timer (no memory) expired grants stay until the next one is given; gateways heed the time themselves. */
static void
sweep_later(struct vault *vault)
{
	struct grants *grants = &vault->grants;
	if (grants->n > 0 && grants->sweep == NULL &&
	    loop_timer(vault->loop, SWEEP_MS, on_sweep, vault, &grants->sweep) < 0)
		grants->sweep = NULL;
}

static void
on_sweep(struct timer *timer, void *data)
{
	struct vault *vault = data;
	int64_t now = clock_wall_ms();
	vault->grants.sweep = NULL;
	for (struct grant *grant = vault->grants.oldest, *next; grant != NULL; grant = next) {
		next = grant->newer;
		if (grant->expires_ms <= now)
			forget(&vault->grants, grant);
	}
	sweep_later(vault);
}

/* ---- granting ---- */

static int
copy_id(const struct json *body, const char *member, char ret[UUID_TEXT])
{
	const char *id = json_get_str(body, member, "");
	if (!uuid_valid(id))
		return -EINVAL;
	memcpy(ret, id, UUID_TEXT);
	return 0;
}

/* What the message says, checked, without looking at the secret. */
static int
read_grant(struct vault *vault, const struct json *body, struct grant *ret, struct error *err)
{
	const char *name = json_get_str(body, "credential", "");
	int64_t now = clock_wall_ms();
	*ret = (struct grant){.gateway = json_get_int(body, "gateway", -1),
	    .expires_ms = json_get_int(body, "expires_ms", 0)};
	if (copy_id(body, "grant", ret->id) < 0 || copy_id(body, "sandbox", ret->sandbox) < 0 ||
	    json_get_str(body, "action_id", "")[0] == 0 ||
	    json_get_str(body, "digest", "")[0] == 0 || strlen(name) > SECRET_NAME_MAX)
		return error_set(err, EINVAL, "grant_invalid",
		    "a grant names its action, digest, sandbox and credential");
	memcpy(ret->credential, name, strlen(name) + 1);
	if (ret->expires_ms <= now || ret->expires_ms > now + LIFE_MS)
		return error_set(
		    err, EINVAL, "grant_invalid", "a grant lives between now and 10 minutes");
	/* Whom the supervisor introduced before the arbiter asked is here, whichever the loop told us of first. */
	if (vault_gateway(vault, ret->gateway) == NULL)
		(void)conn_receive(vault->supervisor);
	if (vault_gateway(vault, ret->gateway) == NULL)
		return error_set(err, ENOENT, "gateway_unknown", "gateway %lld is not here",
		    (long long)ret->gateway);
	if (*find_place(&vault->grants, ret->id) != NULL)
		return error_set(err, EEXIST, "grant_invalid", "that grant was given before");
	return 0;
}

/* MSG_CREDENTIAL's body, but for its value, applied as APPLY (taken) says. */
static struct json *
credential_body(const struct grant *grant, struct json *apply)
{
	struct json *body = json_new_object();
	(void)json_set_str(body, "grant", grant->id);
	(void)json_set_str(body, "sandbox", grant->sandbox);
	(void)json_set_str(body, "credential", grant->credential);
	(void)json_set_int(body, "expires_ms", grant->expires_ms);
	(void)json_set(body, "apply", apply);
	return body;
}

/* Sends BODY (taken) to GRANT's gateway. */
static int
post(struct vault *vault, const struct grant *grant, struct json *body, struct error *err)
{
	const struct vault_gateway *gateway = vault_gateway(vault, grant->gateway);
	if (gateway == NULL) {
		json_free(body);
		return error_set(
		    err, ENOENT, "gateway_unknown", "the gateway is not here any more");
	}
	int r = conn_send_take(gateway->conn, MSG_CREDENTIAL, 0, body);
	return r < 0 ? error_set_errno(err, -r, "gateway_unknown", "the gateway cannot be reached")
		     : 0;
}

/* Opens SECRET and sends it to GRANT's gateway. */
static int
hand_out(
    struct vault *vault, const struct grant *grant, const struct secret *secret, struct error *err)
{
	int len = secrets_open(secret, &vault->key.seal, vault_room(), err);
	if (len < 0)
		return len;
	char scope[SIGV4_SCOPE_MAX];
	bool aws = strcmp(json_get_str(secret->head, "as", ""), "aws") == 0;
	if (aws)
		len = apply_derive(secret->head, len, scope);
	if (len < 0)
		return error_set_errno(
		    err, -len, "credential_damaged", "no key can be derived from %s", secret->name);
	struct json *body =
	    credential_body(grant, apply_of_secret(secret->head, aws ? scope : NULL));
	(void)json_set(body, "value", json_new_string_n((const char *)vault_room(), (size_t)len));
	vault_room_wipe();
	return post(vault, grant, body, err);
}

/* Sends TOKEN, which AS exchanged a secret for, to GRANT's gateway. */
static int
hand_out_token(struct vault *vault, const struct grant *grant, const char *as, bool git,
    const char *token, struct error *err)
{
	struct json *body = credential_body(grant, apply_of_token(as, git));
	(void)json_set_str(body, "value", token);
	return post(vault, grant, body, err);
}

/* Keeps it until it expires, so that it can be revoked. */
static void
keep(struct vault *vault, struct grant *grant)
{
	struct grants *grants = &vault->grants;
	while (grants->n >= GRANTS_MAX)
		revoke_one(vault, grants->oldest);
	*find_place(grants, grant->id) = grant;
	grant->older = grants->newest;
	*(grants->newest != NULL ? &grants->newest->newer : &grants->oldest) = grant;
	grants->newest = grant;
	grants->n++;
	sweep_later(vault);
}

static int
answer_granted(struct conn *conn, uint32_t serial, const char *id, int64_t version)
{
	struct json *body = json_new_object();
	(void)json_set_str(body, "grant", id);
	(void)json_set_int(body, "version", version);
	return conn_send_take(conn, MSG_GRANTED, serial, body);
}

/* Hands out SECRET's token, or has GRANT wait for one. 1: granted; 0: it waits, and GRANT was taken; -errno. */
static int
grant_exchanged(struct conn *conn, const struct msg *m, struct grant **grant,
    const struct secret *secret, struct error *err)
{
	struct vault *vault = conn_data(conn);
	const char *token;
	const char *kind = json_get_str(json_get(m->body, "target"), "kind", "");
	bool git = strcmp(kind, "git") == 0;
	int r = exchange_token(vault, secret, (*grant)->id, &token, err);
	if (r < 0)
		return r;
	if (token != NULL) {
		r = hand_out_token(
		    vault, *grant, json_get_str(secret->head, "as", ""), git, token, err);
		return r < 0 ? r : 1;
	}
	struct grant_wait *wait = calloc(1, sizeof(*wait));
	if (wait == NULL)
		return error_set(err, ENOMEM, "no_memory", "out of memory");
	*wait = (struct grant_wait){
	    .grant = TAKE_PTR(*grant), .conn = conn, .serial = m->serial, .git = git};
	struct grant_wait **at = &vault->grants.waiting;
	while (*at != NULL)
		at = &(*at)->next;
	*at = wait;
	return 0;
}

static int
no_secret(const char *name, struct error *err)
{
	error_set(err, ENOENT, "credential_unknown", "there is no credential %s", name);
	error_remedy(err, "ringfence secret set %s --host HOST", name);
	return -ENOENT;
}

/* 1: granted, with the secret's version; 0: it waits for a token; -errno. */
static int
grant_one(struct conn *conn, const struct msg *m, int64_t *ret_version, struct error *err)
{
	struct vault *vault = conn_data(conn);
	_cleanup_free_ struct grant *grant = malloc(sizeof(*grant));
	if (grant == NULL)
		return error_set(err, ENOMEM, "no_memory", "out of memory");
	int r = read_grant(vault, m->body, grant, err);
	if (r < 0)
		return r;
	if (!vault->key.seal.is_set) {
		*err = vault->key.error;
		return -ENOKEY;
	}
	const struct secret *secret = secrets_find(&vault->secrets, grant->credential);
	if (secret == NULL)
		return no_secret(grant->credential, err);
	/* A file that cannot be read has no binding: opening it says why. */
	if (secret->head != NULL)
		r = bind_allows(
		    json_get(secret->head, "bind"), json_get(m->body, "target"), secret->name, err);
	if (r == 0 && issuer_is(json_get_str(secret->head, "as", ""))) {
		r = grant_exchanged(conn, m, &grant, secret, err);
		if (r <= 0)
			return r;
	} else if (r == 0) {
		r = hand_out(vault, grant, secret, err);
	}
	if (r < 0)
		return r;
	*ret_version = secret_version(secret);
	keep(vault, TAKE_PTR(grant));
	return 1;
}

int
grants_on_grant(struct conn *conn, struct msg *m)
{
	struct error err = {.code = ""};
	int64_t version = 0;
	int r = grant_one(conn, m, &version, &err);
	if (r < 0) {
		log_event(
		    LOG_WARNING, "grant-refused", "code", err.code, "reason", err.message, NULL);
		return conn_send_error(conn, m->serial, &err);
	}
	return r == 0
	    ? 0
	    : answer_granted(conn, m->serial, json_get_str(m->body, "grant", ""), version);
}

/* The end of WAIT's waiting: TOKEN is for it. */
static int
grant_waited(struct vault *vault, struct grant_wait *wait, const char *token, struct error *err)
{
	struct grant *grant = wait->grant;
	const struct secret *secret = secrets_find(&vault->secrets, grant->credential);
	if (vault->arbiter == NULL || vault->arbiter != wait->conn || secret == NULL)
		return error_set(err, ECANCELED, "grant_revoked", "nobody waits for it");
	if (grant->expires_ms <= clock_wall_ms())
		return error_set(err, ETIMEDOUT, "grant_invalid", "the exchange took too long");
	int r = hand_out_token(
	    vault, grant, json_get_str(secret->head, "as", ""), wait->git, token, err);
	if (r < 0)
		return r;
	(void)answer_granted(wait->conn, wait->serial, grant->id, secret_version(secret));
	keep(vault, TAKE_PTR(wait->grant));
	return 0;
}

void
grants_exchanged(struct vault *vault, const char *name, const char *token, const struct error *err)
{
	if (token == NULL) {
		refuse_waiting(vault, credential_of, name, err);
		return;
	}
	for (struct grant_wait **at = &vault->grants.waiting; *at != NULL;) {
		struct error failed = {.code = ""};
		if (strcmp((*at)->grant->credential, name) != 0)
			at = &(*at)->next;
		else if (grant_waited(vault, *at, token, &failed) < 0)
			wait_refuse(vault, at, &failed);
		else
			(void)wait_take(at);
	}
}

int
grants_on_revoke(struct conn *conn, struct msg *m)
{
	struct vault *vault = conn_data(conn);
	const char *id = json_get_str(m->body, "grant", NULL);
	const char *sandbox = json_get_str(m->body, "sandbox", NULL);
	const char *credential = json_get_str(m->body, "credential", NULL);
	if ((id != NULL) + (sandbox != NULL) + (credential != NULL) != 1)
		return -EPROTO;
	revoke_waiting(vault,
	    id != NULL            ? id_of
		: sandbox != NULL ? sandbox_of
				  : credential_of,
	    id != NULL            ? id
		: sandbox != NULL ? sandbox
				  : credential);
	if (id != NULL) {
		struct grant *grant = *find_place(&vault->grants, id);
		if (grant != NULL)
			revoke_one(vault, grant);
		return 0;
	}
	for (struct grant *grant = vault->grants.oldest, *next; grant != NULL; grant = next) {
		next = grant->newer;
		if (strcmp(sandbox != NULL ? grant->sandbox : grant->credential,
			sandbox != NULL ? sandbox : credential) == 0)
			revoke_one(vault, grant);
	}
	return 0;
}
