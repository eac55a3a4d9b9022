/* unused: what the ledger says could be tightened. It builds one JSON report and prints from that, so
 * that people and programs read the same. What it cannot tell, it says. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "ipc/paths.h"
#include "policytool/history.h"
#include "policytool/tool.h"
#include "store/store.h"

#define SINCE_DEFAULT "30d"
#define MIB (1LL << 20)

/* ---- what is asked ---- */

/* An age (30s, 15m, 24h, 30d, 4w) or a time as clock_parse reads it. */
static int
parse_since(const char *text, int64_t *ret_ms)
{
	static const struct {
		char unit;
		int64_t ms;
	} units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}, {'w', 604800000}};
	char *end = NULL;
	errno = 0;
	long long value = strtoll(text, &end, 10);
	if (*text >= '0' && *text <= '9' && errno == 0 && value < 1000000000 && *end != 0 &&
	    end[1] == 0)
		for (size_t i = 0; i < ARRAY_LEN(units); i++)
			if (units[i].unit == *end) {
				*ret_ms = clock_wall_ms() - value * units[i].ms;
				return 0;
			}
	return clock_parse(text, ret_ms);
}

/* Takes the rights of DIR's owner, if we are root and it has another: what lies in it is the owner's
 * making, and what SQLite makes beside it should not be root's doing. 0 or -errno. */
static int
become_owner(const char *dir)
{
	struct stat st;
	if (geteuid() != 0)
		return 0;
	if (lstat(dir, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	if (st.st_uid == 0)
		return 0;
	if (setegid(st.st_gid) < 0 || seteuid(st.st_uid) < 0)
		return -errno;
	return 0;
}

static int
become_root_again(void)
{
	if (getuid() != 0 || geteuid() == 0)
		return 0;
	return seteuid(0) < 0 || setegid(getgid()) < 0 ? -errno : 0;
}

static int
read_store(const char *path, const char *name, struct buf *text, struct error *err)
{
	char hash[SHA256_HEX];
	struct store *store = NULL;
	int r = store_open_to_read(path, &store, err);
	if (r < 0)
		return r;
	r = store_policy_active(store, name, text, hash);
	store_close(store);
	if (r == -ENOENT)
		return error_set(
		    err, ENOENT, "policy_unknown", "no policy is active under the name");
	return r < 0 ? error_set_errno(err, -r, "store_failed", "reading %.300s", path) : 0;
}

/* The text that is active under NAME, from the arbiter's store; it need not run. */
static int
read_active(const char *name, struct buf *text, struct error *err)
{
	char dir[PATHS_MAX], path[PATHS_MAX + 32];
	int r = paths_state_dir(dir, err);
	if (r < 0)
		return r;
	(void)snprintf(path, sizeof(path), "%s/arbiter", dir);
	r = become_owner(path);
	if (r < 0)
		return error_set_errno(err, -r, "store_failed", "%.300s", path);
	(void)snprintf(path, sizeof(path), "%s/arbiter/store.db", dir);
	r = read_store(path, name, text, err);
	int back = become_root_again();
	return back < 0 ? error_set_errno(err, -back, "store_failed", "becoming root again") : r;
}

/* The policy that WHERE names: built in, a file, or active. NULL after saying why not. */
static struct policy *
load_wanted(const char *where)
{
	struct source source;
	struct error err = {.code = ""}, stored = {.code = ""};
	struct policy *policy = NULL;
	int r = source_read(where, &source, &err);
	if (r == -ENOENT && strchr(where, '/') == NULL) {
		source_done(&source);
		source.name = where;
		buf_init(&source.text, POLICY_BYTES_MAX + 1);
		r = read_active(where, &source.text, &stored);
		if (r < 0)
			(void)error_set(&err, ENOENT, "policy_unknown",
			    "%.100s: there is no such file, and as an active policy it cannot be "
			    "read: %.300s",
			    where, stored.message);
	}
	if (r == 0)
		r = policy_load(buf_str(&source.text), source.text.len, source.name, &policy, &err);
	source_done(&source);
	if (r < 0)
		(void)tool_fail(&err);
	return r < 0 ? NULL : policy;
}

/* ---- the report ---- */

static void
set_time(struct json *object, const char *name, int64_t at_ms)
{
	char text[32];
	clock_format(at_ms, text);
	(void)json_set_str(object, name, text);
}

/* Rules that neither decided nor supported anything. */
static struct json *
unused_rules(const struct history *h, const struct json *rules)
{
	struct json *list = json_new_array();
	for (size_t i = 0; i < json_len(rules); i++) {
		const struct json *rule = json_at(rules, i);
		if (json_get_int(rule, "decided", 0) + json_get_int(rule, "supported", 0) > 0)
			continue;
		const char *name = json_get_str(rule, "rule", "?");
		int64_t before = json_get_int(h->before, name, 0);
		struct json *one = json_new_object();
		(void)json_set_str(one, "rule", name);
		(void)json_set_str(one, "effect", json_get_str(rule, "effect", "?"));
		(void)json_set_str(one, "kind", json_get_str(rule, "kind", "?"));
		if (before != 0)
			set_time(one, "last", before);
		(void)json_push(list, one);
	}
	return list;
}

/* Members that nothing needed, of rules that were used and whose requests could all be read. */
static struct json *
unused_members(const struct json *rules)
{
	struct json *list = json_new_array();
	for (size_t i = 0; i < json_len(rules); i++) {
		const struct json *rule = json_at(rules, i), *fields = json_get(rule, "fields");
		if (json_get_int(rule, "decided", 0) + json_get_int(rule, "supported", 0) == 0 ||
		    json_get_int(rule, "unclear", 0) > 0)
			continue;
		for (size_t k = 0; k < json_len(fields); k++) {
			const struct json *field = json_at(fields, k);
			if (json_len(json_get(field, "unused")) == 0)
				continue;
			struct json *one = json_new_object();
			(void)json_set_str(one, "rule", json_get_str(rule, "rule", "?"));
			(void)json_set_str(one, "field", json_get_str(field, "field", "?"));
			(void)json_set(one, "members", json_copy(json_get(field, "unused")));
			(void)json_push(list, one);
		}
	}
	return list;
}

/* Twice the most that was seen, rounded up to what one would write; 0 if there is no unit for it. */
static int64_t
suggestion_for(const struct limit_use *use)
{
	const char *unit = strrchr(use->setting, '_');
	int64_t twice = use->max > INT64_MAX / 4 ? INT64_MAX / 2 : 2 * use->max;
	if (unit == NULL || strcmp(use->setting, "open_files") == 0)
		return MAX(twice, (int64_t)8);
	int64_t step = strcmp(unit, "_bytes") == 0 ? MIB : 1000;
	int64_t least = strcmp(use->name, "memory") == 0 ? 16 * MIB : step;
	int64_t rounded = (twice + step - 1) / step * step;
	/* Two digits are enough of a larger number. */
	for (int64_t s = step; s <= rounded / 100; s *= 10)
		rounded = (rounded + s * 10 - 1) / (s * 10) * (s * 10);
	return MAX(rounded, least);
}

static struct json *
limits_report(const struct history *h)
{
	_cleanup_json_ struct json *sandbox = policy_sandbox(h->policy);
	struct json *list = json_new_array();
	for (size_t i = 0; i < ARRAY_LEN(h->limits); i++) {
		const struct limit_use *use = &h->limits[i];
		int64_t limit = json_get_int(json_get(sandbox, "limits"), use->setting, 0);
		if (limit == 0 || use->runs == 0)
			continue;
		int64_t suggestion = suggestion_for(use);
		struct json *one = json_new_object();
		(void)json_set_str(one, "limit", use->name);
		(void)json_set_str(one, "setting", use->setting);
		(void)json_set_int(one, "value", limit);
		(void)json_set_int(one, "most_seen", use->max);
		(void)json_set_int(one, "runs", use->runs);
		bool unused = use->max < limit / 2 && suggestion < limit;
		(void)json_set_bool(one, "unused", unused);
		if (unused)
			(void)json_set_int(one, "suggestion", suggestion);
		(void)json_push(list, one);
	}
	return list;
}

/* Reviews of each rule that ended, and whether all ended alike. */
static struct json *
reviews_report(const struct history *h)
{
	static const char *const outcomes[] = {"approved", "denied", "otherwise"};
	struct json *list = json_new_array();
	for (size_t i = 0; i < json_len(h->reviews); i++) {
		const struct json *counts = json_at(h->reviews, i);
		struct json *one = json_new_object();
		(void)json_set_str(one, "rule", json_name_at(h->reviews, i));
		(void)json_set_int(one, "opened", json_get_int(counts, "opened", 0));
		int64_t ended = 0;
		for (size_t k = 0; k < ARRAY_LEN(outcomes); k++) {
			int64_t n = json_get_int(counts, outcomes[k], 0);
			(void)json_set_int(one, outcomes[k], n);
			ended += n;
		}
		for (size_t k = 0; k < 2 && ended > 0; k++)
			if (json_get_int(counts, outcomes[k], 0) == ended)
				(void)json_set_str(one, "always", outcomes[k]);
		(void)json_push(list, one);
	}
	return list;
}

static void unknown_add(struct json *list, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void
unknown_add(struct json *list, const char *fmt, ...)
{
	va_list args;
	char line[600];
	va_start(args, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	(void)json_push(list, json_new_string(line));
}

/* Limits of which no settled action says what was used. */
static void
unknown_limits(const struct history *h, struct json *list)
{
	_cleanup_json_ struct json *sandbox = policy_sandbox(h->policy);
	_cleanup_buf_ struct buf names;
	buf_init(&names, 400);
	for (size_t i = 0; i < ARRAY_LEN(h->limits); i++) {
		const struct limit_use *use = &h->limits[i];
		if (json_get_int(json_get(sandbox, "limits"), use->setting, 0) > 0 &&
		    use->runs == 0)
			(void)buf_addf(&names, "%s%s", names.len > 0 ? ", " : "", use->name);
	}
	if (names.len > 0)
		unknown_add(
		    list, "limits %s: no record says how much of them was used", buf_str(&names));
	if (h->forks_refused > 0)
		unknown_add(list, "limit processes was hit in %lld runs: it is not too wide",
		    (long long)h->forks_refused);
}

/* What the report does not say, and why. */
static struct json *
unknown_report(const struct history *h, const struct json *rules)
{
	struct json *list = json_new_array();
	char at[32];
	if (h->first_ms == 0)
		unknown_add(list, "the ledger is empty");
	else if (h->first_ms > h->since_ms || h->first_seq > 0) {
		clock_format(h->first_ms, at);
		unknown_add(list, "anything before %s, when this ledger begins%s", at,
		    h->first_seq > 0 ? " (its earlier part is missing)" : "");
	}
	if (h->exact < h->decisions)
		unknown_add(list,
		    "%lld of the %lld decisions were by other generations of the policy: rules are "
		    "taken "
		    "for the same by their names",
		    (long long)(h->decisions - h->exact), (long long)h->decisions);
	for (size_t i = 0; i < json_len(rules); i++) {
		const struct json *rule = json_at(rules, i);
		int64_t unclear = json_get_int(rule, "unclear", 0);
		if (unclear > 0)
			unknown_add(list,
			    "members of rule %.100s: %lld of its requests do not meet it as the "
			    "ledger has them "
			    "(shortened, redacted, or decided by another text)",
			    json_get_str(rule, "rule", "?"), (long long)unclear);
	}
	unknown_limits(h, list);
	if (h->not_records > 0)
		unknown_add(list,
		    "%lld lines of the ledger are not records: run `ringfence audit verify`",
		    (long long)h->not_records);
	return list;
}

static struct json *
report_of(const struct history *h)
{
	struct json *report = json_new_object(), *rules = policy_usage_json(h->usage);
	(void)json_set_str(report, "policy", policy_name(h->policy));
	(void)json_set_str(report, "hash", policy_hash(h->policy));
	set_time(report, "since", h->since_ms);
	if (h->first_ms != 0)
		set_time(report, "ledger_begins", h->first_ms);
	(void)json_set_int(report, "decisions", h->decisions);
	(void)json_set(report, "generations", json_copy(h->generations));
	(void)json_set(report, "others", json_copy(h->others));
	(void)json_set(report, "unused_rules", unused_rules(h, rules));
	(void)json_set(report, "unused_members", unused_members(rules));
	(void)json_set(report, "limits", limits_report(h));
	(void)json_set(report, "reviews", reviews_report(h));
	(void)json_set(report, "unknown", unknown_report(h, rules));
	(void)json_set(report, "rules", rules);
	return report;
}

/* ---- the command ---- */

static bool
any_with(const struct json *list, const char *name)
{
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *value = json_get(json_at(list, i), name);
		if (json_type(value) == JSON_STRING || json_bool(value, false))
			return true;
	}
	return false;
}

/* Whether the report has anything to tighten. */
static bool
finds_something(const struct json *report)
{
	return json_len(json_get(report, "unused_rules")) > 0 ||
	    json_len(json_get(report, "unused_members")) > 0 ||
	    any_with(json_get(report, "limits"), "unused") ||
	    any_with(json_get(report, "reviews"), "always");
}

static int
tell(const struct tool_args *args, struct history *h)
{
	struct error err = {.code = ""};
	if (history_read(h, args->dir, &err) < 0)
		return tool_fail(&err);
	_cleanup_json_ struct json *report = report_of(h);
	if (report == NULL)
		return tool_failf("out of memory");
	bool found = finds_something(report);
	if (args->json) {
		int r = tool_print_json(TAKE_PTR(report));
		if (r != TOOL_YES)
			return r;
	} else {
		unused_print(report);
	}
	return found ? TOOL_NO : TOOL_YES;
}

int
tool_unused(const struct tool_args *args)
{
	const char *since = args->since != NULL ? args->since : SINCE_DEFAULT;
	_cleanup_free_ struct history *h = calloc(1, sizeof(*h));
	if (h == NULL)
		return tool_failf("out of memory");
	if (parse_since(since, &h->since_ms) < 0)
		return tool_failf("--since %.60s: expected an age such as 30d, 24h, 15m, or a time "
				  "such as 2026-01-31T09:30:00Z",
		    since);
	struct policy *policy = load_wanted(args->n > 0 ? args->operands[0] : "isolated");
	if (policy == NULL)
		return TOOL_TROUBLE;
	h->policy = policy;
	int r = history_init(h) < 0 ? tool_failf("out of memory") : tell(args, h);
	history_done(h);
	policy_free(policy);
	return r;
}
