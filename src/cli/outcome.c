/* What a run came to: the exit code, the explanation for people, the result for programs.
 *
 * A failed run must tell a newcomer what happened, which lock or limit did it, and what to type next;
 * a program gets the same as JSON. Everything an agent could have chosen is escaped (cli/say.h). */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/run.h"
#include "cli/say.h"

/* ---- the exit code ---- */

int
outcome_error_exit(const char *code)
{
	static const struct {
		const char *code;
		int exit;
	} table[] = {
	    {"program_not_found", EXIT_NO_PROGRAM},
	    {"not_found", EXIT_NO_PROGRAM},
	    {"program_not_executable", EXIT_DENIED},
	    {"not_executable", EXIT_DENIED},
	    {"denied", EXIT_DENIED},
	    {"rejected", EXIT_DENIED},
	    {"expired", EXIT_DENIED},
	    {"revoked", EXIT_DENIED},
	    {"invalidated", EXIT_DENIED},
	    {"held", EXIT_DENIED},
	    {"budget", EXIT_DENIED},
	    {"budget_exceeded", EXIT_DENIED},
	    {"killed", EXIT_KILLED},
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (strcmp(table[i].code, code) == 0)
			return table[i].exit;
	return EXIT_RINGFENCE;
}

static const char *
limit_hit(const struct run_result *result)
{
	if (result->output_limit)
		return "output";
	return json_get_str(result->done, "limit", NULL);
}

int
outcome_exit_code(const struct run_result *result)
{
	const char *limit = limit_hit(result);
	const struct json *end = json_get(result->done, "exit");
	if (result->signal != 0)
		return 128 + result->signal;
	if (result->broken_pipe)
		return EXIT_BROKEN_PIPE;
	if (result->interrupt != 0)
		return 128 + result->interrupt;
	if (result->error.code[0] != 0)
		return outcome_error_exit(result->error.code);
	if (limit != NULL && (strncmp(limit, "wall", 4) == 0 || strncmp(limit, "cpu", 3) == 0))
		return EXIT_TIME;
	if (limit != NULL && (strcmp(limit, "memory") == 0 || strcmp(limit, "output") == 0))
		return EXIT_KILLED;
	int64_t signal = json_get_int(end, "signal", 0);
	if (signal > 0 && signal < 128)
		return 128 + (int)signal;
	int64_t code = json_get_int(end, "code", -1);
	return code >= 0 && code <= 255 ? (int)code : EXIT_RINGFENCE;
}

bool
outcome_success(const struct run_result *result)
{
	return result->done != NULL && outcome_exit_code(result) == 0;
}

/* ---- for people ---- */

static const struct json *
receipt_of(const struct run_result *result)
{
	const struct json *receipt = json_get(result->done, "receipt");
	return receipt != NULL ? receipt : json_get(result->started, "receipt");
}

static const char *
member_of_either(const struct run_result *result, const char *name)
{
	const char *value = json_get_str(result->done, name, NULL);
	if (value == NULL)
		value = json_get_str(result->started, name, NULL);
	return value != NULL ? value : json_get_str(result->held, name, NULL);
}

/* The locks of the receipt on one line: "user-ns, seccomp, memory-limit (cgroup), …". */
static void
add_locks(struct buf *out, const struct json *receipt)
{
	const struct json *locks = json_get(receipt, "locks");
	size_t shown = 0;
	for (size_t i = 0; i < json_len(locks); i++) {
		const struct json *lock = json_at(locks, i);
		const char *name = json_name_at(locks, i);
		if (name == NULL)
			name = json_get_str(lock, "name", json_get_str(lock, "term", NULL));
		if (name == NULL || !json_get_bool(lock, "engaged", true))
			continue;
		(void)buf_add_str(out, shown++ > 0 ? ", " : "");
		say_add_text(out, name);
		const char *strength = json_get_str(lock, "strength", NULL);
		if (strength != NULL) {
			(void)buf_add_str(out, " (");
			say_add_text(out, strength);
			(void)buf_add_char(out, ')');
		}
	}
}

/* Whether reaching LIMIT ends the sandbox; the others only refuse more. */
static bool
limit_ends(const char *limit)
{
	return strcmp(limit, "processes") != 0 && strcmp(limit, "disk") != 0 &&
	    strcmp(limit, "open_files") != 0;
}

/* "memory limit of 512 MiB". */
static void
add_limit(struct buf *out, const struct run_result *result, const char *limit)
{
	static const struct {
		const char *limit, *member;
		char unit;
	} table[] = {{"wall", "wall_ms", 't'}, {"cpu_time", "cpu_time_ms", 't'},
	    {"memory", "memory_bytes", 'b'}, {"output", "output_bytes", 'b'},
	    {"disk", "disk_bytes", 'b'}, {"processes", "processes", 'n'},
	    {"open_files", "open_files", 'n'}};
	const struct json *limits = json_get(result->started, "limits");
	say_add_text(out, limit);
	(void)buf_add_str(out, " limit");
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		int64_t value = json_get_int(limits, table[i].member, 0);
		if (strcmp(table[i].limit, limit) != 0 || value <= 0)
			continue;
		(void)buf_add_str(out, " of ");
		if (table[i].unit == 't')
			say_add_ns(out, value * 1000000);
		else if (table[i].unit == 'b')
			say_add_bytes(out, value);
		else
			(void)buf_addf(out, "%lld", (long long)value);
		return;
	}
}

static void
add_what_happened(struct buf *out, const struct run_result *result)
{
	const struct json *end = json_get(result->done, "exit");
	const char *limit = limit_hit(result);
	int64_t signal = json_get_int(end, "signal", 0);
	if (result->error.code[0] != 0) {
		say_add_text(out, result->error.message);
	} else if (limit != NULL && limit_ends(limit)) {
		(void)buf_add_str(out, "ended by the ");
		add_limit(out, result, limit);
	} else if (signal > 0) {
		(void)buf_addf(out, "the command was killed by signal %lld (%s)", (long long)signal,
		    strsignal((int)signal));
	} else {
		(void)buf_addf(out, "the command ended with exit code %lld",
		    (long long)json_get_int(end, "code", 0));
	}
	if (limit != NULL && !limit_ends(limit)) {
		(void)buf_add_str(out, ", after it reached the ");
		add_limit(out, result, limit);
	}
}

/* What to type next. */
static void
add_next(struct buf *out, const struct run_options *o, const struct run_result *result)
{
	const char *action = member_of_either(result, "action_id");
	if (limit_hit(result) != NULL && o->policy == NULL) {
		(void)buf_add_str(
		    out, "ringfence policy init   (a policy with limits of your own)");
	} else if (limit_hit(result) != NULL && o->policy_fd >= 0) {
		(void)buf_add_str(out, "raise it under sandbox.limits in ");
		say_add_text(out, o->policy);
	} else if (action != NULL) {
		(void)buf_add_str(out, "ringfence audit show ");
		say_add_text(out, action);
	} else if (outcome_exit_code(result) == EXIT_RINGFENCE && result->error.remedy[0] == 0) {
		(void)buf_add_str(out, "ringfence doctor");
	}
}

/* "  NAME     TEXT" and a newline; nothing where TEXT is empty. */
static void
add_row(struct buf *out, const char *name, const struct buf *text)
{
	if (text->len > 0)
		(void)buf_addf(out, "  %-8s %s\n", name, buf_str(text));
}

#define REFUSALS_SHOWN 5

/* What the network boundary refused: the first ones, each with the rule that would be needed. */
static void
add_refusals(struct buf *out, const struct run_result *result)
{
	const struct json *network = json_get(result->done, "network");
	const struct json *denials = json_get(network, "denials");
	int64_t all = json_get_int(json_get(network, "usage"), "denied", 0), shown = 0;
	for (size_t i = 0; i < MIN(json_len(denials), (size_t)REFUSALS_SHOWN); i++) {
		const struct json *denial = json_at(denials, i);
		const char *needed = json_get_str(denial, "needed", "");
		int64_t count = json_get_int(denial, "count", 1);
		_cleanup_buf_ struct buf line;
		buf_init(&line, 1 << 14);
		say_add_text(&line, json_get_str(denial, "what", NULL));
		if (count > 1)
			(void)buf_addf(&line, " (%lld times)", (long long)count);
		(void)buf_add_str(&line, ": ");
		say_add_text(&line, json_get_str(denial, "reason", NULL));
		if (needed[0] != 0) {
			(void)buf_add_str(&line, "; ");
			say_add_text(&line, needed);
		}
		add_row(out, "denied", &line);
		shown += count;
	}
	if (all > shown)
		(void)buf_addf(out, "  %-8s and %lld more\n", "", (long long)(all - shown));
}

void
outcome_refusals(const struct run_result *result)
{
	_cleanup_buf_ struct buf out;
	buf_init(&out, 1 << 16);
	const struct json *usage = json_get(json_get(result->done, "network"), "usage");
	int64_t denied = json_get_int(usage, "denied", 0);
	if (denied == 0)
		return;
	(void)buf_addf(&out, "ringfence: the network boundary refused %lld\n", (long long)denied);
	add_refusals(&out, result);
	if (!out.failed)
		(void)say_write(STDERR_FILENO, out.data, out.len);
}

void
outcome_explain(const struct run_options *o, const struct run_result *result)
{
	_cleanup_buf_ struct buf out;
	buf_init(&out, 1 << 16);
	if (result->signal != 0 || result->broken_pipe || result->interrupt != 0)
		return; /* the caller knows */
	int code = outcome_exit_code(result);
	if (o->tty && result->error.code[0] == 0 && limit_hit(result) == NULL)
		return; /* they were there */
	if (result->started == NULL && result->error.code[0] != 0 && code != EXIT_DENIED) {
		say_error(&result->error); /* nothing ran, and nothing was decided against it */
		return;
	}
	(void)buf_add_str(&out, "ringfence: ");
	add_what_happened(&out, result);
	if (json_get_int(json_get(result->done, "exit"), "code", -1) == code)
		(void)buf_add_char(&out, '\n');
	else
		(void)buf_addf(&out, " (exit %d)\n", code);
	_cleanup_buf_ struct buf locks, remedy, next;
	buf_init(&locks, 1 << 14);
	buf_init(&remedy, 1 << 14);
	buf_init(&next, 1 << 14);
	add_locks(&locks, receipt_of(result));
	if (result->error.remedy[0] != 0)
		say_add_text(&remedy, result->error.remedy);
	add_next(&next, o, result);
	add_row(&out, "held by", &locks);
	add_refusals(&out, result);
	add_row(&out, "remedy", &remedy);
	add_row(&out, "next", &next);
	if (!out.failed)
		(void)say_write(STDERR_FILENO, out.data, out.len);
}

void
outcome_held(const struct json *held)
{
	_cleanup_buf_ struct buf out;
	buf_init(&out, 1 << 16);
	const struct json *approvals = json_get(held, "approvals"), *risk = json_get(held, "risk");
	const char *id = json_get_str(held, "review_id", "?");
	(void)buf_add_str(&out, "ringfence: held for review ");
	say_add_text(&out, id);
	(void)buf_add_str(&out, " (rule ");
	say_add_text(&out, json_get_str(held, "rule", NULL));
	for (size_t i = 0; i < json_len(approvals); i++) {
		(void)buf_add_str(&out, i == 0 ? ", needs " : " + ");
		say_add_text(&out, json_str(json_at(approvals, i), NULL));
	}
	if (risk != NULL) {
		(void)buf_addf(&out, ", risk %lld ", (long long)json_get_int(risk, "score", 0));
		say_add_text(&out, json_get_str(risk, "band", NULL));
	}
	int64_t expires_ms = json_get_int(held, "expires_at", 0);
	if (expires_ms == 0)
		(void)!clock_parse(json_get_str(held, "expires_at", ""), &expires_ms);
	time_t seconds = (time_t)(expires_ms / 1000);
	struct tm local;
	if (expires_ms > 0 && localtime_r(&seconds, &local) != NULL)
		(void)buf_addf(&out, ", expires %02d:%02d", local.tm_hour, local.tm_min);
	(void)buf_add_str(&out, "). In another terminal: ringfence review approve ");
	say_add_text(&out, id);
	(void)buf_add_char(&out, '\n');
	if (!out.failed)
		(void)say_write(STDERR_FILENO, out.data, out.len);
}

/* ---- timing ---- */

struct step {
	const char *name;
	const char *who;
	int64_t at_ns;
};

static int
compare_steps(const void *a, const void *b)
{
	int64_t x = ((const struct step *)a)->at_ns, y = ((const struct step *)b)->at_ns;
	return (x > y) - (x < y);
}

void
outcome_timing(const struct run_result *result)
{
	static const char *const own[RUN_STEPS] = {
	    "begin", "connected", "request sent", "started", "done", "streams drained"};
	const struct json *theirs = json_get(result->done, "timing");
	struct step steps[RUN_STEPS + 64];
	size_t n = 0;
	for (size_t i = 0; i < RUN_STEPS; i++)
		if (result->at_ns[i] != 0)
			steps[n++] = (struct step){own[i], "ringfence", result->at_ns[i]};
	for (size_t i = 0; i < json_len(theirs) && n < ARRAY_LEN(steps); i++) {
		const struct json *step = json_at(theirs, i);
		steps[n++] = (struct step){json_get_str(step, "step", "?"),
		    json_get_str(step, "program", "rf-supervisor"), json_get_int(step, "at_ns", 0)};
	}
	qsort(steps, n, sizeof(steps[0]), compare_steps);
	_cleanup_buf_ struct buf out;
	buf_init(&out, 1 << 16);
	(void)buf_add_str(&out, "      µs      +µs  program        step\n");
	for (size_t i = 0; i < n; i++) {
		int64_t at = steps[i].at_ns - result->at_ns[STEP_BEGIN];
		int64_t since = i == 0 ? 0 : steps[i].at_ns - steps[i - 1].at_ns;
		(void)buf_addf(&out, "%8lld %8lld  %-13.40s  ", (long long)(at / 1000),
		    (long long)(since / 1000), steps[i].who);
		say_add_text(&out, steps[i].name);
		(void)buf_add_char(&out, '\n');
	}
	if (!out.failed)
		(void)say_write(STDERR_FILENO, out.data, out.len);
}

/* ---- for programs ---- */

static void
copy_member(struct json *to, const struct run_result *result, const char *name)
{
	const struct json *value = json_get(result->done, name);
	if (value == NULL)
		value = json_get(result->started, name);
	if (value == NULL)
		value = json_get(result->held, name);
	if (value != NULL)
		(void)json_set(to, name, json_copy(value));
}

static struct json *
error_json(const struct run_result *result)
{
	struct json *error = json_new_object();
	(void)json_set_str(error, "code", result->error.code);
	(void)json_set_str(error, "message", result->error.message);
	if (result->error.remedy[0] != 0)
		(void)json_set_str(error, "remedy", result->error.remedy);
	const char *action = member_of_either(result, "action_id");
	if (action != NULL)
		(void)json_set_str(error, "action_id", action);
	return error;
}

int
outcome_json(const struct run_options *o, const struct run_result *result)
{
	static const char *const copied[] = {"action_id", "task", "sandbox", "review_id", "rule",
	    "exit", "limits", "usage", "network", "receipt"};
	static const char *const names[2][2] = {
	    {"stdout", "stdout_bytes"}, {"stderr", "stderr_bytes"}};
	_cleanup_json_ struct json *v = json_new_object();
	for (size_t i = 0; i < ARRAY_LEN(copied); i++)
		copy_member(v, result, copied[i]);
	(void)json_set_int(v, "exit_code", outcome_exit_code(result));
	if (limit_hit(result) != NULL)
		(void)json_set_str(v, "limit", limit_hit(result));
	for (int i = 0; i < 2; i++) {
		const struct buf *b = &result->captured[i];
		(void)json_set(v, names[i][0], json_new_string_n(buf_str(b), b->len));
		(void)json_set_int(v, names[i][1], (int64_t)b->len);
	}
	if (result->error.code[0] != 0)
		(void)json_set(v, "error", error_json(result));
	if (result->changes != NULL)
		(void)json_set(v, "changes", json_copy(result->changes));
	if (result->workspace_state != NULL)
		(void)json_set_str(v, "workspace", result->workspace_state);
	if (o->timing)
		copy_member(v, result, "timing");
	return say_json(v);
}

/* ---- --receipt ---- */

static int
write_atomically(const char *path, const struct buf *text, struct error *err)
{
	char temporary[4096];
	if ((size_t)snprintf(temporary, sizeof(temporary), "%s.%d.tmp", path, (int)getpid()) >=
	    sizeof(temporary))
		return error_set(err, ENAMETOOLONG, "receipt", "--receipt: path is too long");
	int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return error_set_errno(err, errno, "receipt", "--receipt %s", path);
	int r = say_write(fd, buf_str(text), text->len);
	if (r == 0 && fsync(fd) < 0 && errno != EINVAL)
		r = -errno;
	(void)close(fd);
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlink(temporary);
		return error_set_errno(err, -r, "receipt", "--receipt %s", path);
	}
	return 0;
}

int
outcome_receipt(const struct run_options *o, const struct run_result *result, struct error *err)
{
	const struct json *receipt = receipt_of(result);
	if (receipt == NULL)
		return error_set(
		    err, ENODATA, "receipt", "--receipt: no sandbox was started, so there is none");
	_cleanup_buf_ struct buf text;
	buf_init(&text, 1 << 22);
	say_add_json(&text, receipt, JSON_INDENTED);
	if (text.failed)
		return error_set(err, ENOMEM, "receipt", "out of memory");
	if (strcmp(o->receipt, "-") != 0)
		return write_atomically(o->receipt, &text, err);
	int r = say_write(STDOUT_FILENO, text.data, text.len);
	return r < 0 ? error_set_errno(err, -r, "receipt", "standard output") : 0;
}

void
outcome_done(struct run_result *result)
{
	json_free(result->held);
	json_free(result->started);
	json_free(result->done);
	json_free(result->changes);
	buf_done(&result->captured[0]);
	buf_done(&result->captured[1]);
	cleanup_close(&result->upper_fd);
}
