/* Credentials, for as long as the guest lives: a grant is used once, but what it was must be kept out of every answer
 * from then on, whoever gives it. Kept in memory only, wiped at the end. */
#include "gateway/secrets.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "ipc/messages.h"

#define WAIT_MS 3000
#define SECRETS_MAX 256 /* of one guest: distinct values, not grants */
#define GRANTS_MAX 4096

/* One grant. */
struct grant {
	struct grant *next;
	char id[UUID_TEXT];
	int64_t expires_ms;
	struct secret *secret; /* borrowed from the guest */
};

struct secret {
	struct secret *next;
	struct credential credential;
	struct grant *grants;
	unsigned n_grants;
};

struct secret_wait {
	struct secret_wait *next;
	struct guest *guest;
	char grant[UUID_TEXT];
	secret_fn *fn;
	void *data;
	struct timer *timer;
	struct secret_wait **place;
};

static struct secret_wait *waits;

/* ---- waiting ---- */

void
secret_forget(struct secret_wait *wait)
{
	if (wait == NULL)
		return;
	struct secret_wait **at = &waits;
	while (*at != wait)
		at = &(*at)->next;
	*at = wait->next;
	*wait->place = NULL;
	wait->timer = timer_cancel(wait->timer);
	free(wait);
}

static void
answer(struct secret_wait *wait, const struct credential *credential)
{
	secret_fn *fn = wait->fn;
	void *data = wait->data;
	secret_forget(wait);
	fn(credential, data);
}

static void
on_late(struct timer *timer, void *data)
{
	struct secret_wait *wait = data;
	(void)timer;
	wait->timer = NULL;
	answer(wait, NULL);
}

/* Takes grant ID out of GUEST's: what it gives, or NULL. */
static const struct credential *
use(struct guest *guest, const char *id)
{
	for (struct secret *secret = guest->secrets; secret != NULL; secret = secret->next)
		for (struct grant **at = &secret->grants; *at != NULL; at = &(*at)->next) {
			struct grant *grant = *at;
			if (strcmp(grant->id, id) != 0)
				continue;
			bool good = grant->expires_ms > clock_wall_ms();
			*at = grant->next;
			secret->n_grants--;
			free(grant);
			return good ? &secret->credential : NULL;
		}
	return NULL;
}

void
secret_take(
    struct guest *guest, const char *id, secret_fn *fn, void *data, struct secret_wait **place)
{
	const struct credential *credential = use(guest, id);
	struct secret_wait *wait = NULL;
	if (credential == NULL && guest->gateway->vault != NULL && strlen(id) < UUID_TEXT)
		wait = calloc(1, sizeof(*wait));
	if (wait != NULL &&
	    loop_timer(guest->gateway->loop, WAIT_MS, on_late, wait, &wait->timer) < 0) {
		free(wait);
		wait = NULL;
	}
	if (wait == NULL) {
		fn(credential, data);
		return;
	}
	wait->guest = guest;
	memcpy(wait->grant, id, strlen(id) + 1);
	wait->fn = fn;
	wait->data = data;
	wait->place = place;
	*place = wait;
	wait->next = waits;
	waits = wait;
}

/* ---- from the vault ---- */

static bool
same(const struct credential *a, const struct credential *b)
{
	const char *pairs[][2] = {
	    {a->name, b->name}, {a->field, b->field}, {a->user, b->user}, {a->value, b->value}};
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		if ((pairs[i][0] == NULL) != (pairs[i][1] == NULL))
			return false;
		if (pairs[i][0] != NULL && strcmp(pairs[i][0], pairs[i][1]) != 0)
			return false;
	}
	return a->as == b->as;
}

/* GUEST's secret that is CREDENTIAL (taken). NULL: no memory, or too many. */
static struct secret *
secret_of(struct guest *guest, struct credential *credential)
{
	unsigned n = 0;
	for (struct secret *secret = guest->secrets; secret != NULL; secret = secret->next, n++)
		if (same(&secret->credential, credential)) {
			credential_done(credential);
			return secret;
		}
	struct secret *secret = n < SECRETS_MAX ? calloc(1, sizeof(*secret)) : NULL;
	if (secret == NULL) {
		credential_done(credential);
		return NULL;
	}
	secret->credential = *credential;
	memset(credential, 0, sizeof(*credential));
	secret->next = guest->secrets;
	guest->secrets = secret;
	return secret;
}

int
secret_on_credential(struct conn *conn, struct msg *m)
{
	struct gateway *gateway = conn_data(conn);
	struct guest *guest = guest_find(gateway, json_get_str(m->body, "sandbox", ""));
	const char *id = json_get_str(m->body, "grant", "");
	struct credential credential = {0};
	struct error err = {.code = ""};
	if (!uuid_valid(id))
		return -EPROTO;
	if (guest == NULL)
		return 0; /* it ended meanwhile */
	if (credential_read(m->body, &credential, &err) < 0) {
		log_event(LOG_ERROR, "credential-refused", "reason", err.message, NULL);
		return 0; /* whoever waits for it hears so by the clock */
	}
	struct secret *secret = secret_of(guest, &credential);
	struct grant *grant =
	    secret != NULL && secret->n_grants < GRANTS_MAX ? calloc(1, sizeof(*grant)) : NULL;
	if (grant == NULL)
		return 0;
	memcpy(grant->id, id, UUID_TEXT);
	grant->expires_ms = json_get_int(m->body, "expires_ms", 0);
	grant->secret = secret;
	grant->next = secret->grants;
	secret->grants = grant;
	secret->n_grants++;
	for (struct secret_wait *wait = waits; wait != NULL; wait = wait->next)
		if (wait->guest == guest && strcmp(wait->grant, id) == 0) {
			answer(wait, use(guest, id));
			break;
		}
	return 0;
}

int
secret_on_revoked(struct conn *conn, struct msg *m)
{
	struct gateway *gateway = conn_data(conn);
	const char *id = json_get_str(m->body, "grant", "");
	for (struct guest *guest = gateway->guests; guest != NULL; guest = guest->next)
		(void)use(guest, id);
	return 0;
}

/* ---- keeping them out of answers ---- */

bool
secret_any(const struct guest *guest)
{
	return guest->secrets != NULL;
}

struct scrub *
secret_scrub(struct guest *guest, bool *ret_failed)
{
	*ret_failed = false;
	if (guest->secrets == NULL)
		return NULL;
	struct scrub *scrub = scrub_new();
	*ret_failed = scrub == NULL;
	for (struct secret *s = guest->secrets; s != NULL && !*ret_failed; s = s->next)
		*ret_failed = scrub_add(scrub, &s->credential) < 0;
	return *ret_failed ? scrub_free(scrub) : scrub;
}

void
secrets_done(struct guest *guest)
{
	for (struct secret_wait *wait = waits, *next; wait != NULL; wait = next) {
		next = wait->next;
		if (wait->guest == guest)
			secret_forget(wait);
	}
	while (guest->secrets != NULL) {
		struct secret *secret = guest->secrets;
		guest->secrets = secret->next;
		while (secret->grants != NULL) {
			struct grant *grant = secret->grants;
			secret->grants = grant->next;
			free(grant);
		}
		credential_done(&secret->credential);
		free(secret);
	}
}
