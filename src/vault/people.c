/* What people may do with secrets: set, list, remove. Root and the owner of this installation only, known by the
 * socket's peer credentials. No message of these ever carries a value out. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "ipc/messages.h"
#include "policy/patterns.h"
#include "proto/credential.h"
#include "proto/issuer.h"
#include "proto/sigv4.h"
#include "vault/bind.h"
#include "vault/vault.h"

#define LIST_BYTES (96 * 1024) /* of one answer; the rest is asked for again */
#define VALUE_ROOM_BYTES 4096  /* of MSG_CREDENTIAL, beside the value */

static int
refuse(struct conn *conn, const struct msg *m, const struct error *err)
{
	return conn_send_error(conn, m->serial, err);
}

static int
check_person(const struct vault *vault, const struct conn *conn, struct error *err)
{
	if (vault_permits(vault, conn_uid(conn)))
		return 0;
	log_event(LOG_WARNING, "person-refused", NULL);
	return error_set(err, EPERM, "not_permitted",
	    "only root and the user whose installation this is may see or change secrets");
}

/* ---- answering ---- */

static struct json *
entry_of(const struct vault *vault, const struct secret *secret)
{
	struct error ignored;
	struct json *entry = secret->head != NULL ? json_copy(secret->head) : json_new_object();
	json_unset(entry, "key");
	(void)json_set_str(entry, "name", secret->name);
	int r = secrets_open(secret, &vault->key.seal, vault_room(), &ignored);
	vault_room_wipe();
	(void)json_set_str(entry, "state",
	    r >= 0             ? "sealed"
		: r == -ENOKEY ? "another-key"
			       : "damaged");
	return entry;
}

static struct json *
key_of(const struct vault_key *key)
{
	static const char *const from[] = {
	    [KEY_FROM_OWN] = "own", [KEY_FROM_FILE] = "file", [KEY_FROM_COMMAND] = "command"};
	struct json *entry = json_new_object();
	(void)json_set_str(entry, "from", from[key->from]);
	(void)json_set_str(entry, "where", key->where);
	/* Beside what it seals: who can read the one can read the other. */
	(void)json_set_bool(entry, "conventional", key->from == KEY_FROM_OWN);
	if (key->seal.is_set)
		(void)json_set_str(entry, "id", key->seal.id);
	else
		(void)json_set_str(entry, "error", key->error.message);
	return entry;
}

static int
answer(struct conn *conn, const struct msg *m, struct json *list, size_t omitted)
{
	const struct vault *vault = conn_data(conn);
	struct json *body = json_new_object();
	(void)json_set(body, "secrets", list);
	(void)json_set(body, "key", key_of(&vault->key));
	if (omitted > 0)
		(void)json_set_int(body, "omitted", (int64_t)omitted);
	return conn_send_take(conn, MSG_SECRETS, m->serial, body);
}

int
people_on_list(struct conn *conn, struct msg *m)
{
	struct vault *vault = conn_data(conn);
	struct error err;
	if (check_person(vault, conn, &err) < 0)
		return refuse(conn, m, &err);
	const char *after = json_get_str(m->body, "after", "");
	struct json *list = json_new_array();
	_cleanup_buf_ struct buf text;
	buf_init(&text, 2 * LIST_BYTES);
	size_t omitted = 0;
	for (size_t i = 0; i < vault->secrets.n; i++) {
		if (strcmp(vault->secrets.list[i].name, after) <= 0)
			continue;
		struct json *entry = omitted > 0 ? NULL : entry_of(vault, &vault->secrets.list[i]);
		if (entry != NULL && json_write(entry, &text) == 0 && text.len <= LIST_BYTES) {
			(void)json_push(list, entry);
			continue;
		}
		json_free(entry);
		omitted++;
	}
	return answer(conn, m, list, omitted);
}

/* Tells the arbiter, which has it recorded. */
static int
record(struct vault *vault, const struct conn *conn, const char *event, const char *name,
    int64_t version)
{
	char by[32];
	struct json *body = json_new_object();
	(void)snprintf(by, sizeof(by), "uid:%u", (unsigned)conn_uid(conn));
	(void)json_set_str(body, "event", event);
	(void)json_set_str(body, "credential", name);
	(void)json_set_str(body, "by", by);
	(void)json_set_int(body, "version", version);
	return conn_send_take(vault->arbiter, MSG_SECRET_CHANGED, 0, body);
}

static int
check_recorded(const struct vault *vault, struct error *err)
{
	if (vault->arbiter != NULL)
		return 0;
	return error_set(err, EAGAIN, "not_recorded",
	    "rf-arbiter is not there, and what nobody records is not done; try again");
}

/* ---- setting ---- */

/* The value behind FD into the room: its length, or -errno. Only a sealed memfd is read: it cannot block, and cannot
 * change while it is looked at. */
static int
read_value(int fd, struct error *err)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 ||
	    (seals & (F_SEAL_WRITE | F_SEAL_SHRINK)) != (F_SEAL_WRITE | F_SEAL_SHRINK) ||
	    fstat(fd, &st) < 0)
		return error_set(err, EINVAL, "secret_invalid", "a value comes in a sealed memfd");
	size_t len = (size_t)st.st_size;
	if (len > SEAL_VALUE_MAX + 2)
		return error_set(err, EINVAL, "secret_invalid", "the value is longer than %d bytes",
		    SEAL_VALUE_MAX);
	uint8_t *room = vault_room();
	for (size_t at = 0; at < len;) {
		ssize_t n = pread(fd, room + at, len - at, (off_t)at);
		if (n <= 0)
			return error_set(err, EIO, "secret_invalid", "the value cannot be read");
		at += (size_t)n;
	}
	if (len > 0 && room[len - 1] == '\n')
		len--;
	if (len > 0 && room[len - 1] == '\r')
		len--;
	return (int)len;
}

/* Whether the value can travel as JSON: UTF-8, and not too long once escaped. */
static int
check_travels(const char *value, size_t len, struct error *err)
{
	_cleanup_json_ struct json *text = json_new_string_n(value, len);
	_cleanup_buf_ struct buf out;
	buf_init(&out, MSG_BODY_MAX - VALUE_ROOM_BYTES);
	bool same = json_str_len(text) == len && memcmp(json_str(text, ""), value, len) == 0;
	if (!same)
		return error_set(err, EINVAL, "secret_invalid", "the value is not UTF-8 text");
	int r = json_write(text, &out);
	return r < 0
	    ? error_set(err, EINVAL, "secret_invalid", "the value is too long once escaped")
	    : 0;
}

static struct json *
apply_of(const struct json *body)
{
	struct json *apply = json_new_object();
	const char *header = json_get_str(body, "header", NULL);
	const char *user = json_get_str(body, "user", NULL);
	const char *as = json_get_str(body, "as", "");
	(void)json_set_str(apply, "as", as);
	if (strcmp(as, "aws") == 0) { /* with any date in front: grants have theirs */
		char scope[SIGV4_SCOPE_MAX + 1];
		(void)snprintf(scope, sizeof(scope), "00000000/%s/%s",
		    json_get_str(body, "region", ""), json_get_str(body, "service", ""));
		(void)json_set_str(apply, "name", scope);
	} else if (header != NULL)
		(void)json_set_str(apply, "name", header);
	if (user != NULL)
		(void)json_set_str(apply, "user", user);
	return apply;
}

/* Members that belong to one way of applying a secret only. */
static const char *
check_members(const struct json *body)
{
	bool aws = strcmp(json_get_str(body, "as", ""), "aws") == 0;
	if (json_get(body, "exchange") != NULL)
		return "only github-app and oauth are exchanged";
	if (!aws && (json_get(body, "region") != NULL || json_get(body, "service") != NULL))
		return "only aws has a region and a service";
	return aws && json_get(body, "header") != NULL ? "aws has no header" : NULL;
}

/* One that is exchanged for a token: where, and for what. */
static int
check_exchange(const struct vault *vault, const struct json *body, const char *value, size_t len,
    struct error *err)
{
	static const char *const members[] = {"header", "user", "region", "service"};
	const char *as = json_get_str(body, "as", "");
	int r = issuer_check(as, json_get(body, "exchange"), err);
	if (r == 0)
		r = exchange_check_pin(vault, json_get(body, "exchange"), err);
	if (r < 0)
		return r;
	const char *wrong = issuer_check_secret(as, value, len);
	for (size_t i = 0; wrong == NULL && i < ARRAY_LEN(members); i++)
		if (json_get(body, members[i]) != NULL)
			wrong = "what is exchanged is applied as its token is: no user, no header";
	if (wrong != NULL)
		return error_set(err, EINVAL, "secret_invalid", "%s", wrong);
	return check_travels(value, len, err);
}

static int
check_request(const struct vault *vault, const struct json *body, const char *value, size_t len,
    struct error *err)
{
	_cleanup_json_ struct json *apply = apply_of(body);
	const char *wrong = check_name(json_get_str(body, "name", ""));
	if (wrong != NULL)
		return error_set(err, EINVAL, "secret_invalid", "its name is not %s", wrong);
	int r = bind_check(json_get(body, "bind"), err);
	if (r < 0)
		return r;
	if (issuer_is(json_get_str(body, "as", "")))
		return check_exchange(vault, body, value, len, err);
	wrong = check_members(body);
	if (wrong == NULL)
		wrong = credential_check_apply(apply);
	if (wrong == NULL)
		wrong = credential_check_value(apply, value, len);
	if (wrong != NULL)
		return error_set(err, EINVAL, "secret_invalid", "%s", wrong);
	return check_travels(value, len, err);
}

/* Whether KEY may seal: it is there, and nothing is sealed with another. */
static int
check_key(const struct vault *vault, struct error *err)
{
	if (!vault->key.seal.is_set) {
		*err = vault->key.error;
		return -ENOKEY;
	}
	const struct secret *foreign = secrets_foreign(&vault->secrets, &vault->key.seal);
	if (foreign == NULL)
		return 0;
	error_set(err, ENOKEY, "vault_key",
	    "secret %s is sealed with another master key (%s) than this vault has (%s)",
	    foreign->name, json_get_str(foreign->head, "key", "?"), vault->key.seal.id);
	error_remedy(err,
	    "configure the key that it was sealed with, or ringfence secret remove %s",
	    foreign->name);
	return -ENOKEY;
}

static struct json *
head_of(const struct conn *conn, const struct json *body)
{
	static const char *const members[] = {"name", "as", "header", "user", "region", "service"};
	char by[32];
	struct json *head = json_new_object();
	(void)snprintf(by, sizeof(by), "uid:%u", (unsigned)conn_uid(conn));
	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		if (json_get(body, members[i]) != NULL)
			(void)json_set_str(head, members[i], json_get_str(body, members[i], ""));
	if (json_get(body, "exchange") != NULL)
		(void)json_set(head, "exchange", json_copy(json_get(body, "exchange")));
	(void)json_set(head, "bind", json_copy(json_get(body, "bind")));
	(void)json_set_str(head, "by", by);
	(void)json_set_int(head, "set_ms", clock_wall_ms());
	return head;
}

static int
set(struct vault *vault, const struct conn *conn, struct msg *m, struct error *err)
{
	_cleanup_close_ int fd = msg_take_fd(m, 0);
	int r = check_person(vault, conn, err);
	if (r == 0)
		r = check_recorded(vault, err);
	if (r == 0)
		r = check_key(vault, err);
	int len = r < 0 ? r : read_value(fd, err);
	if (len < 0)
		return len;
	r = check_request(vault, m->body, (const char *)vault_room(), (size_t)len, err);
	if (r < 0)
		return r;
	return secrets_set(&vault->secrets, &vault->key.seal, head_of(conn, m->body), vault_room(),
	    (size_t)len, err);
}

int
people_on_set(struct conn *conn, struct msg *m)
{
	struct vault *vault = conn_data(conn);
	struct error err = {.code = ""};
	const char *name = json_get_str(m->body, "name", "");
	int r = set(vault, conn, m, &err);
	vault_room_wipe();
	if (r < 0)
		return refuse(conn, m, &err);
	const struct secret *secret = secrets_find(&vault->secrets, name);
	grants_revoke(vault, name);
	if (record(vault, conn, "secret-set", name, secret_version(secret)) < 0)
		log_event(LOG_ERROR, "not-recorded", "credential", name, NULL);
	struct json *list = json_new_array();
	(void)json_push(list, entry_of(vault, secret));
	return answer(conn, m, list, 0);
}

int
people_on_remove(struct conn *conn, struct msg *m)
{
	struct vault *vault = conn_data(conn);
	struct error err = {.code = ""};
	const char *name = json_get_str(m->body, "name", "");
	int r = check_person(vault, conn, &err);
	if (r == 0)
		r = check_recorded(vault, &err);
	struct secret *secret = r < 0 ? NULL : secrets_find(&vault->secrets, name);
	if (r == 0 && secret == NULL)
		r = error_set(&err, ENOENT, "credential_unknown", "there is no secret %.64s", name);
	int64_t version = secret != NULL ? secret_version(secret) : 0;
	if (r == 0)
		r = secrets_remove(&vault->secrets, secret, &err);
	if (r < 0)
		return refuse(conn, m, &err);
	grants_revoke(vault, name);
	if (record(vault, conn, "secret-removed", name, version) < 0)
		log_event(LOG_ERROR, "not-recorded", "credential", name, NULL);
	return answer(conn, m, json_new_array(), 0);
}
