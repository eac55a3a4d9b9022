/* What the arbiter says could be reached, remembered until it says that this changed. Routing, not deciding:
 * whether a name has an address, and how to read what is said to it. Each action is decided by itself. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "gateway/gateway.h"
#include "gateway/upstream.h"
#include "ipc/messages.h"

#define ENTRIES_MAX 4096   /* of one guest; then the cache begins anew */
#define QUESTIONS_MAX 1024 /* of all guests: they share a conversation */
#define BUCKETS 256
#define KEY_MAX 272

struct entry {
	struct entry *next;
	uint32_t hash;
	struct reach reach;
	char key[]; /* "host:port" */
};

struct reach_question {
	struct reach_question *next; /* of the guest */
	struct guest *guest;
	uint32_t serial;
	reach_fn *fn;
	void *data;
	struct reach_question **place; /* where the asker keeps us */
	bool stale;                    /* the policy changed meanwhile: the answer is not kept */
	char key[KEY_MAX];
};

struct reach_cache {
	struct entry *buckets[BUCKETS];
	unsigned n_entries;
	struct reach_question *questions;
};

static unsigned n_questions;

static uint32_t
hash_text(const char *text)
{
	uint32_t hash = 2166136261u; /* FNV-1a */
	for (; *text != 0; text++)
		hash = (hash ^ (uint8_t)*text) * 16777619u;
	return hash;
}

static const struct entry *
entry_find(const struct reach_cache *cache, const char *key)
{
	uint32_t hash = hash_text(key);
	const struct entry *entry = cache->buckets[hash % BUCKETS];
	while (entry != NULL && (entry->hash != hash || strcmp(entry->key, key) != 0))
		entry = entry->next;
	return entry;
}

static void
forget_entries(struct reach_cache *cache)
{
	for (size_t i = 0; i < BUCKETS; i++)
		while (cache->buckets[i] != NULL) {
			struct entry *entry = cache->buckets[i];
			cache->buckets[i] = entry->next;
			free(entry);
		}
	cache->n_entries = 0;
}

static void
entry_add(struct reach_cache *cache, const char *key, const struct reach *reach)
{
	if (cache->n_entries >= ENTRIES_MAX)
		forget_entries(cache);
	size_t len = strlen(key) + 1;
	struct entry *entry = malloc(sizeof(*entry) + len);
	if (entry == NULL)
		return; /* asked again next time */
	memcpy(entry->key, key, len);
	entry->hash = hash_text(key);
	entry->reach = *reach;
	entry->next = cache->buckets[entry->hash % BUCKETS];
	cache->buckets[entry->hash % BUCKETS] = entry;
	cache->n_entries++;
}

/* ---- asking ---- */

static struct reach_cache *
cache_of(struct guest *guest)
{
	if (guest->reach == NULL)
		guest->reach = calloc(1, sizeof(*guest->reach));
	return guest->reach;
}

static int
ask(struct guest *guest, const struct reach_question *question, const char *host, int port)
{
	struct json *body = json_new_object();
	(void)json_set_str(body, "sandbox", guest->id);
	(void)json_set_str(body, "host", host);
	if (port > 0)
		(void)json_set_int(body, "port", port);
	return conn_send_take(guest->gateway->arbiter, MSG_NET_REACH, question->serial, body);
}

void
reach_ask(struct guest *guest, const char *host, int port, reach_fn *fn, void *data,
    struct reach_question **place)
{
	struct reach_cache *cache = cache_of(guest);
	char key[KEY_MAX];
	int n = snprintf(key, sizeof(key), "%s:%d", host, port);
	const struct entry *known =
	    cache == NULL || n >= (int)sizeof(key) ? NULL : entry_find(cache, key);
	if (known != NULL) {
		struct reach reach = known->reach;
		fn(&reach, data);
		return;
	}
	struct reach_question *question = NULL;
	if (cache != NULL && n < (int)sizeof(key) && guest->gateway->arbiter != NULL &&
	    n_questions < QUESTIONS_MAX)
		question = calloc(1, sizeof(*question));
	if (question == NULL) {
		fn(NULL, data);
		return;
	}
	*place = question;
	question->place = place;
	question->guest = guest;
	question->fn = fn;
	question->data = data;
	question->serial = conn_next_serial(guest->gateway->arbiter);
	memcpy(question->key, key, sizeof(key));
	question->next = cache->questions;
	cache->questions = question;
	n_questions++;
	(void)ask(guest, question, host, port); /* a broken conversation answers by its end */
}

void
reach_forget(struct reach_question *question)
{
	if (question == NULL)
		return;
	struct reach_cache *cache = question->guest->reach;
	struct reach_question **at = &cache->questions;
	while (*at != question)
		at = &(*at)->next;
	*at = question->next;
	n_questions--;
	*question->place = NULL;
	free(question);
}

static void
answer(struct reach_question *question, const struct reach *reach)
{
	reach_fn *fn = question->fn;
	void *data = question->data;
	reach_forget(question);
	fn(reach, data);
}

static struct reach_question *
question_find(const struct gateway *gateway, uint32_t serial)
{
	for (const struct guest *guest = gateway->guests; guest != NULL; guest = guest->next) {
		struct reach_question *question =
		    guest->reach == NULL ? NULL : guest->reach->questions;
		for (; question != NULL; question = question->next)
			if (question->serial == serial)
				return question;
	}
	return NULL;
}

int
reach_on_reached(struct conn *conn, struct msg *m)
{
	struct reach_question *question = question_find(conn_data(conn), m->serial);
	if (question == NULL)
		return 0; /* whoever asked left */
	struct reach reach = {
	    .reach = json_get_bool(m->body, "reach", false),
	    .raw = json_get_bool(m->body, "raw", false),
	    .plain = json_get_bool(m->body, "plain", false),
	    .intercept = json_get_bool(m->body, "intercept", false),
	    .git = json_get_bool(m->body, "git", false),
	};
	if (!question->stale)
		entry_add(question->guest->reach, question->key, &reach);
	answer(question, &reach);
	return 0;
}

bool
reach_on_error(struct conn *conn, struct msg *m)
{
	struct reach_question *question = question_find(conn_data(conn), m->serial);
	if (question != NULL)
		answer(question, NULL);
	return question != NULL;
}

int
reach_on_changed(struct conn *conn, struct msg *m)
{
	struct guest *guest = guest_find(conn_data(conn), json_get_str(m->body, "sandbox", ""));
	if (guest == NULL)
		return 0;
	if (guest->reach != NULL)
		forget_entries(guest->reach);
	struct reach_question *first = guest->reach == NULL ? NULL : guest->reach->questions;
	for (struct reach_question *q = first; q != NULL; q = q->next)
		q->stale = true;
	upstreams_drop_idle(guest);
	connections_policy_changed(guest);
	return 0;
}

void
reach_all_lost(struct gateway *gateway)
{
	for (struct guest *guest = gateway->guests; guest != NULL; guest = guest->next) {
		if (guest->reach == NULL)
			continue;
		forget_entries(guest->reach);
		while (guest->reach->questions != NULL)
			answer(guest->reach->questions, NULL);
	}
}

void
reach_done(struct guest *guest)
{
	if (guest->reach == NULL)
		return;
	while (guest->reach->questions != NULL)
		reach_forget(guest->reach->questions);
	forget_entries(guest->reach);
	free(TAKE_PTR(guest->reach));
}
