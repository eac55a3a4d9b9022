/* Walks the ledger once, from its first record. A decision belongs to the policy if it was made by this
 * very text, or by one that was recorded or activated under the same name: rules are then told apart by
 * name. An action is remembered from its decision to its end, so that what happened to it is counted
 * for the rule that decided it. */
#include "policytool/history.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "ipc/paths.h"
#include "ledgerfmt/files.h"
#include "ledgerfmt/reader.h"
#include "ledgerfmt/record.h"

struct open_action {
	char id[RECORD_ID_MAX + 1];
	char *rule;    /* owned; NULL: none decided it */
	bool reviewed; /* its review is not over */
	struct open_action *next;
};

/* ---- usage ---- */

static int64_t
read_largest(const struct json *usage, const struct limit_use *use)
{
	int64_t most = -1;
	for (size_t i = 0; i < ARRAY_LEN(use->fields); i++)
		if (use->fields[i] != NULL)
			most = MAX(most, json_get_int(usage, use->fields[i], -1));
	return most;
}

/* Microseconds of user and system time, as milliseconds. */
static int64_t
read_cpu(const struct json *usage, const struct limit_use *use)
{
	int64_t user = json_get_int(usage, use->fields[0], -1);
	int64_t system = json_get_int(usage, use->fields[1], -1);
	return user < 0 || system < 0 ? -1 : (user + system + 999) / 1000;
}

static const struct limit_use limits_known[HISTORY_LIMITS] = {
    {"memory", "memory_bytes", {"memory_peak_bytes", "max_rss_bytes"}, read_largest},
    {"wall", "wall_ms", {"wall_ms"}, read_largest},
    {"cpu_time", "cpu_time_ms", {"cpu_user_us", "cpu_system_us"}, read_cpu},
    {"disk", "disk_bytes", {"scratch_bytes"}, read_largest},
    {"processes", "processes", {"processes_peak"}, read_largest},
    {"output", "output_bytes", {"output_bytes"}, read_largest},
    {"cpu", "cpu_millis", {"cpu_peak_millis"}, read_largest},
    {"open_files", "open_files", {"open_files_peak"}, read_largest},
};

static void
count_outcome(struct history *h, const struct json *data)
{
	const struct json *usage = json_get(json_get(data, "outcome"), "usage");
	if (usage == NULL)
		return;
	for (size_t i = 0; i < ARRAY_LEN(h->limits); i++) {
		struct limit_use *use = &h->limits[i];
		int64_t value = use->read(usage, use);
		if (value < 0)
			continue;
		use->runs++;
		use->max = MAX(use->max, value);
	}
	h->forks_refused += json_get_int(usage, "forks_refused", 0) > 0;
}

/* ---- actions under way ---- */

static struct open_action **
open_at(struct history *h, const char *id)
{
	uint32_t hash = 2166136261u;
	for (const char *c = id; *c != '\0'; c++)
		hash = (hash ^ (uint8_t)*c) * 16777619u;
	struct open_action **at = &h->open[hash % HISTORY_BUCKETS];
	while (*at != NULL && strcmp((*at)->id, id) != 0)
		at = &(*at)->next;
	return at;
}

static void
open_forget(struct open_action **at)
{
	struct open_action *gone = *at;
	*at = gone->next;
	free(gone->rule);
	free(gone);
}

static int
open_add(struct history *h, const char *id, const char *rule, bool reviewed)
{
	struct open_action **at = open_at(h, id);
	if (*at != NULL)
		open_forget(at); /* decided again */
	struct open_action *action = calloc(1, sizeof(*action));
	if (action == NULL)
		return -ENOMEM;
	(void)snprintf(action->id, sizeof(action->id), "%s", id);
	action->reviewed = reviewed;
	if (rule != NULL && (action->rule = strdup(rule)) == NULL) {
		free(action);
		return -ENOMEM;
	}
	at = open_at(h, id);
	action->next = *at;
	*at = action;
	return 0;
}

/* ---- counting in JSON ---- */

static void
count_in(struct json *counts, const char *name)
{
	(void)json_set_int(counts, name, json_get_int(counts, name, 0) + 1);
}

static void
count_review(struct history *h, const struct open_action *action, const char *what)
{
	const char *rule = action->rule != NULL ? action->rule : "(none)";
	if (json_get(h->reviews, rule) == NULL)
		(void)json_set(h->reviews, rule, json_new_object());
	count_in(json_get(h->reviews, rule), what);
}

/* ---- records ---- */

static bool
is_ours(const struct history *h, const struct json *data)
{
	const char *hash = json_get_str(data, "policy", "");
	const char *name = policy_name(h->policy);
	return strcmp(hash, policy_hash(h->policy)) == 0 ||
	    (name != NULL && strcmp(json_get_str(data, "policy_name", ""), name) == 0) ||
	    json_get(h->generations, hash) != NULL;
}

static void
note_before(struct history *h, const char *rule, int64_t at_ms)
{
	if (rule != NULL)
		(void)json_set_int(h->before, rule, at_ms);
}

/* DATA as the action that policy_usage_add reads: the record carries what matching needs. */
static int
on_decision(struct history *h, const char *id, const struct json *data, int64_t at_ms)
{
	const char *hash = json_get_str(data, "policy", "");
	const char *rule = json_get_str(json_get(data, "decision"), "rule", NULL);
	const char *state = json_get_str(data, "state", "");
	bool ours = is_ours(h, data);
	if (at_ms < h->since_ms) {
		if (ours)
			note_before(h, rule, at_ms);
		return 0;
	}
	if (!ours) {
		count_in(h->others, json_get_str(data, "policy_name", hash));
		return 0;
	}
	h->decisions++;
	h->exact += strcmp(hash, policy_hash(h->policy)) == 0;
	count_in(h->generations, hash);
	int r = policy_usage_add(h->usage, data, rule, at_ms);
	if (r < 0 || id[0] == '\0' || strcmp(state, "denied") == 0)
		return r;
	bool reviewed = strcmp(state, "reviewing") == 0;
	r = open_add(h, id, rule, reviewed);
	if (r == 0 && reviewed)
		count_review(h, *open_at(h, id), "opened");
	return r;
}

/* A generation of our policy's name: decisions by it count, also where they do not name it. */
static void
on_activated(struct history *h, const struct json *data)
{
	const char *name = policy_name(h->policy), *hash = json_get_str(data, "hash", "");
	if (name != NULL && strcmp(json_get_str(data, "name", ""), name) == 0 &&
	    json_get(h->generations, hash) == NULL)
		(void)json_set_int(h->generations, hash, 0);
}

/* What happens to an action after its decision. */
static void
on_progress(struct history *h, const char *event, const char *id, const struct json *data)
{
	struct open_action **at = open_at(h, id);
	if (*at == NULL)
		return;
	if (strcmp(event, "review-approved") == 0) {
		if ((*at)->reviewed && json_get_bool(data, "complete", false)) {
			count_review(h, *at, "approved");
			(*at)->reviewed = false;
		}
		return;
	}
	if ((*at)->reviewed)
		count_review(h, *at, strcmp(event, "review-denied") == 0 ? "denied" : "otherwise");
	if (strcmp(event, "settled") == 0)
		count_outcome(h, data);
	open_forget(at);
}

static bool
event_is(const struct record *record, const char *name)
{
	return record->event_len == strlen(name) &&
	    memcmp(record->event, name, record->event_len) == 0;
}

static bool
is_progress(const struct record *record)
{
	static const char *const events[] = {"settled", "review-approved", "review-denied",
	    "review-expired", "review-invalidated", "invalidated", "revoked"};
	for (size_t i = 0; i < ARRAY_LEN(events); i++)
		if (event_is(record, events[i]))
			return true;
	return false;
}

static int
on_record(struct history *h, const struct record *record)
{
	bool decision = event_is(record, "decision");
	bool activated =
	    event_is(record, "policy-activated") || event_is(record, "policy-rolled-back");
	if (!decision && !activated && !is_progress(record))
		return 0;
	_cleanup_json_ struct json *data = NULL;
	char id[RECORD_ID_MAX + 1] = "", event[RECORD_EVENT_MAX + 1];
	if (json_parse(record->data, record->data_len, &data, NULL) < 0) {
		h->not_records++;
		return 0;
	}
	if (record->action_id != NULL)
		(void)snprintf(
		    id, sizeof(id), "%.*s", (int)record->action_id_len, record->action_id);
	(void)snprintf(event, sizeof(event), "%.*s", (int)record->event_len, record->event);
	if (decision)
		return on_decision(h, id, data, record->time_ms);
	if (activated)
		on_activated(h, data);
	else
		on_progress(h, event, id, data);
	return 0;
}

/* ---- files ---- */

static int
read_segment(struct history *h, int dir_fd, uint32_t number)
{
	struct reader reader;
	struct line line;
	struct record record;
	const char *why;
	int r = reader_open(&reader, dir_fd, number, 0);
	if (r < 0)
		return r == -ENOENT ? 0 : r; /* a gap is verification's matter */
	while (r == 0 && reader_next(&reader, &line) == 1) {
		if (record_parse(line.text, line.len, &record, &why) < 0) {
			h->not_records++;
			continue;
		}
		if (h->first_ms == 0) {
			h->first_ms = record.time_ms;
			h->first_seq = record.seq;
		}
		r = on_record(h, &record);
	}
	reader_done(&reader);
	return r;
}

static int
open_ledger(const char *dir, struct error *err)
{
	char path[PATHS_MAX + 16];
	if (dir == NULL) {
		char state[PATHS_MAX];
		int r = paths_state_dir(state, err);
		if (r < 0)
			return r;
		(void)snprintf(path, sizeof(path), "%s/ledger", state);
		dir = path;
	}
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	int error = errno;
	error_set_errno(err, error, "no_ledger", "cannot open the ledger %.300s", dir);
	error_remedy(err,
	    error == ENOENT ? "nothing was recorded yet; start something with `ringfence run`"
			    : "become the user who owns it, or name a copy with --dir");
	return -error;
}

int
history_read(struct history *h, const char *dir, struct error *err)
{
	uint32_t first, last, count;
	_cleanup_close_ int fd = open_ledger(dir, err);
	if (fd < 0)
		return fd;
	int r = segment_range(fd, &first, &last, &count);
	if (r == 0)
		return error_set(err, ENODATA, "no_ledger", "there is no ledger in %.300s",
		    dir != NULL ? dir : "the state directory");
	for (uint32_t n = first; r >= 0 && n <= last; n++)
		r = read_segment(h, fd, n);
	if (r < 0)
		return error_set_errno(err, -r, "unreadable", "cannot read the ledger");
	return 0;
}

/* ---- life ---- */

int
history_init(struct history *h)
{
	memcpy(h->limits, limits_known, sizeof(h->limits));
	h->usage = policy_usage_new(h->policy);
	h->generations = json_new_object();
	h->others = json_new_object();
	h->before = json_new_object();
	h->reviews = json_new_object();
	return h->usage == NULL || h->generations == NULL || h->others == NULL ||
		h->before == NULL || h->reviews == NULL
	    ? -ENOMEM
	    : 0;
}

void
history_done(struct history *h)
{
	for (size_t i = 0; i < ARRAY_LEN(h->open); i++)
		while (h->open[i] != NULL)
			open_forget(&h->open[i]);
	policy_usage_free(h->usage);
	json_free(h->generations);
	json_free(h->others);
	json_free(h->before);
	json_free(h->reviews);
}
