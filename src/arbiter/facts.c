/* "First seen" is per policy, kind and target, and remembered when an action is claimed: asking for
 * what is denied does not make it familiar. Commands are left out: what a contained command does is
 * bounded by its sandbox, and a look-up would open the store on every run. */
#include "arbiter/facts.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"

#define BURST_WINDOW_NS (10LL * 1000 * 1000 * 1000)
#define BURST_CALLS 50 /* in one window, of one task */

static void
seen_key(
    const struct json *record, const struct generation *generation, uint8_t digest[SHA256_BYTES])
{
	const char *parts[] = {
	    generation->name[0] != '\0' ? generation->name : generation->hash,
	    json_get_str(record, "kind", ""),
	    json_get_str(record, "target", ""),
	};
	struct sha256 h;
	sha256_init(&h);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		sha256_update(&h, parts[i], strlen(parts[i]) + 1);
	sha256_final(&h, digest);
}

/* Where the store is known to have DIGEST: a place that another key may take, since the store is asked then. */
static uint8_t *
seen_place(struct arbiter *arbiter, const uint8_t digest[SHA256_BYTES])
{
	return arbiter->seen[(digest[0] | (unsigned)digest[1] << 8) % SEEN_BUCKETS];
}

static bool
seen_known(struct arbiter *arbiter, const uint8_t digest[SHA256_BYTES])
{
	return memcmp(seen_place(arbiter, digest), digest, SHA256_BYTES) == 0;
}

static bool
task_bursts(struct task *task)
{
	int64_t now = clock_monotonic_ns();
	if (task->burst_since_ns == 0 || now - task->burst_since_ns > BURST_WINDOW_NS) {
		task->burst_since_ns = now;
		task->burst_calls = 0;
	}
	return ++task->burst_calls > BURST_CALLS;
}

int
facts_complete(struct arbiter *arbiter, struct json *record, struct task *task,
    const struct generation *generation, enum action_kind kind, struct error *err)
{
	struct json *facts = json_get(record, "facts");
	if (json_type(facts) != JSON_OBJECT) {
		(void)json_set(record, "facts", json_new_object());
		facts = json_get(record, "facts");
	}
	if (facts == NULL)
		return error_set(err, ENOMEM, "out_of_memory", "out of memory");
	json_unset(facts, "first_seen");
	(void)json_set_bool(facts, "burst", task_bursts(task));
	(void)json_set_bool(
	    facts, "outside_hours", policy_outside_hours(generation->policy, clock_wall_ms()));
	if (kind == ACTION_EXEC)
		return 0;
	uint8_t digest[SHA256_BYTES];
	char key[SHA256_HEX];
	seen_key(record, generation, digest);
	if (seen_known(arbiter, digest))
		return json_set_bool(facts, "first_seen", false);
	struct store *store = arbiter_store(arbiter, err);
	if (store == NULL)
		return -EIO;
	hex_encode(digest, sizeof(digest), key);
	int r = store_knows(store, key);
	if (r < 0)
		return error_set_errno(err, -r, "store_failed", "store: reading what was seen");
	if (r > 0)
		memcpy(seen_place(arbiter, digest), digest, SHA256_BYTES);
	return json_set_bool(facts, "first_seen", r == 0);
}

int
facts_remember(struct arbiter *arbiter, const struct action *action)
{
	if (action->kind == ACTION_EXEC || arbiter->store == NULL)
		return 0;
	uint8_t digest[SHA256_BYTES];
	char key[SHA256_HEX];
	seen_key(action->record, action->generation, digest);
	if (seen_known(arbiter, digest))
		return 0;
	hex_encode(digest, sizeof(digest), key);
	int r = store_remember(arbiter->store, key, clock_wall_ms());
	if (r == 0)
		memcpy(seen_place(arbiter, digest), digest, SHA256_BYTES);
	return r;
}

bool
facts_leaves_sandbox(
    const struct json *record, enum action_kind kind, const struct generation *generation)
{
	if (kind == ACTION_EXEC)
		return generation->writes_host;
	return strcmp(json_get_str(record, "effect", ""), "read") != 0;
}
