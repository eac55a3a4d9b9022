/* `ringfence review`: what waits for a person, and the person's word. The arbiter knows who asks by the
 * socket's peer credentials; nothing here claims an identity. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/connect.h"
#include "cli/options.h"
#include "cli/say.h"
#include "ipc/messages.h"
#include "ipc/msg.h"

enum { OPT_JSON, OPT_ALL, OPT_ROLE, OPT_COMMENT, OPT_DIGEST, OPT_HELP };

static const struct option_spec review_options[] = {
    [OPT_JSON] = {"json", NULL, "print JSON", 0},
    [OPT_ALL] = {"all", NULL, "list: those that ended too", 'a'},
    [OPT_ROLE] = {"role", "ROLE", "approve: as which of your roles", 0},
    [OPT_COMMENT] = {"comment", "TEXT", "approve, deny: why; the requester sees it", 'm'},
    [OPT_DIGEST] = {"digest", "HEX", "approve: only if the action still has this digest", 0},
    [OPT_HELP] = {"help", NULL, "this text", 'h'},
    {0},
};

struct review_arguments {
	bool json, all;
	const char *role, *comment, *digest;
	const char *verb, *id;
};

void
review_help(struct buf *out)
{
	(void)buf_add_str(out,
	    "  list                    what waits\n"
	    "  show ID                 one, with everything that was decided about it\n"
	    "  approve ID, deny ID     your word; one denial is final\n"
	    "  watch                   each change, until interrupted\n\n");
	options_help(review_options, out);
}

static int
take_operand(struct review_arguments *a, const char *value)
{
	if (a->verb == NULL) {
		a->verb = value;
	} else if (a->id == NULL) {
		a->id = value;
	} else {
		say("review: unexpected argument %s; see ringfence help review", value);
		return -EINVAL;
	}
	return 0;
}

/* 0; 1 when help was printed; negative after saying what is wrong. */
static int
take_arguments(int argc, char **argv, struct review_arguments *ret)
{
	struct options options;
	struct error err = {0};
	const char *value;
	int option;
	*ret = (struct review_arguments){0};
	options_init(&options, review_options, argc, argv);
	while ((option = options_next(&options, &value, &err)) != OPTIONS_END) {
		switch (option) {
		case OPTIONS_BAD:
			say_error(&err);
			return -EINVAL;
		case OPTIONS_OPERAND:
			if (take_operand(ret, value) < 0)
				return -EINVAL;
			break;
		case OPT_JSON:
			ret->json = true;
			break;
		case OPT_ALL:
			ret->all = true;
			break;
		case OPT_ROLE:
			ret->role = value;
			break;
		case OPT_COMMENT:
			ret->comment = value;
			break;
		case OPT_DIGEST:
			ret->digest = value;
			break;
		default:
			return cli_help("review") == 0 ? 1 : -EPIPE;
		}
	}
	return 0;
}

/* ---- printing ---- */

static void
format_time(int64_t ms, char *ret, size_t room)
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm local;
	ret[0] = 0;
	if (ms > 0 && localtime_r(&seconds, &local) != NULL)
		(void)!strftime(ret, room, "%Y-%m-%d %H:%M:%S", &local);
}

static void
add_risk(struct buf *out, const struct json *review)
{
	const struct json *risk = json_get(review, "risk");
	(void)buf_addf(out, "%lld %s", (long long)json_get_int(risk, "score", 0),
	    json_get_str(risk, "band", ""));
}

static void
add_command(struct buf *out, const struct json *review)
{
	(void)buf_add_str(
	    out, json_get_str(review, "command", json_get_str(review, "target", "?")));
}

static void
add_requester(struct buf *out, const struct json *review)
{
	const struct json *person = json_get(review, "requester");
	const char *name = json_get_str(person, "name", NULL);
	if (name != NULL)
		(void)buf_add_str(out, name);
	else
		(void)buf_addf(out, "uid %lld", (long long)json_get_int(person, "uid", -1));
}

/* "dba (ann), owner". */
static void
add_approvals(struct buf *out, const struct json *review)
{
	const struct json *needed = json_get(review, "approvals");
	for (size_t i = 0; i < json_len(needed); i++) {
		const char *by = json_get_str(json_at(needed, i), "by", NULL);
		(void)buf_addf(
		    out, "%s%s", i > 0 ? ", " : "", json_get_str(json_at(needed, i), "role", "?"));
		if (by != NULL)
			(void)buf_addf(out, " (%s)", by);
	}
}

static void
cell_from(struct table *t, void add(struct buf *out, const struct json *v), const struct json *v,
    size_t most)
{
	_cleanup_buf_ struct buf cell;
	buf_init(&cell, 1 << 20);
	add(&cell, v);
	if (cell.len > most) {
		while (most > 0 && (cell.data[most] & 0xc0) == 0x80)
			most--;
		cell.data[most] = 0;
		cell.len = most;
		(void)buf_add_str(&cell, "…");
	}
	table_cell(t, buf_str(&cell));
}

static int
print_list(const struct json *reviews)
{
	_cleanup_buf_ struct buf out;
	buf_init(&out, 64 << 20);
	if (json_len(reviews) == 0) {
		(void)buf_add_str(&out, "nothing waits for review\n");
		return say_out(&out);
	}
	static const char *const head[] = {
	    "REVIEW", "STATE", "RULE", "RISK", "NEEDS", "EXPIRES", "REQUESTER", "COMMAND"};
	struct table t;
	table_init(&t, ARRAY_LEN(head));
	for (size_t i = 0; i < ARRAY_LEN(head); i++)
		table_cell(&t, head[i]);
	for (size_t i = 0; i < json_len(reviews); i++) {
		const struct json *review = json_at(reviews, i);
		char expires[64];
		format_time(json_get_int(review, "expires_at", 0), expires, sizeof(expires));
		table_cell(&t, json_get_str(review, "review_id", NULL));
		table_cell(&t, json_get_str(review, "state", NULL));
		table_cell(&t, json_get_str(review, "rule", NULL));
		cell_from(&t, add_risk, review, 20);
		cell_from(&t, add_approvals, review, 60);
		table_cell(&t, expires[0] != 0 ? expires + strlen("YYYY-MM-DD ") : NULL);
		cell_from(&t, add_requester, review, 20);
		cell_from(&t, add_command, review, 60);
	}
	table_print(&t, &out);
	return say_out(&out);
}

static void
add_line(struct buf *out, const char *name, const char *text)
{
	if (text == NULL || text[0] == 0)
		return;
	(void)buf_addf(out, "%-10s ", name);
	say_add_text(out, text);
	(void)buf_add_char(out, '\n');
}

static void
add_line_from(struct buf *out, const char *name, void add(struct buf *out, const struct json *v),
    const struct json *v)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, 1 << 20);
	add(&text, v);
	add_line(out, name, buf_str(&text));
}

static void
add_time(struct buf *out, const char *name, int64_t ms)
{
	char text[64];
	format_time(ms, text, sizeof(text));
	add_line(out, name, text);
}

static void
add_risk_parts(struct buf *out, const struct json *parts)
{
	for (size_t i = 0; i < json_len(parts); i++) {
		const struct json *part = json_at(parts, i);
		char line[256];
		(void)snprintf(line, sizeof(line), "+%lld %s: %s",
		    (long long)json_get_int(part, "points", 0), json_get_str(part, "name", "?"),
		    json_get_str(part, "reason", ""));
		add_line(out, "", line);
	}
}

static void
add_comments(struct buf *out, const struct json *approvals)
{
	for (size_t i = 0; i < json_len(approvals); i++) {
		const struct json *one = json_at(approvals, i);
		char line[1400];
		if (json_get_str(one, "by", NULL) == NULL)
			continue;
		const char *comment = json_get_str(one, "comment", NULL);
		(void)snprintf(line, sizeof(line), "as %s by %s%s%s%s",
		    json_get_str(one, "role", "?"), json_get_str(one, "by", "?"),
		    json_get_bool(one, "conventional", false) ? " (their own: conventional)" : "",
		    comment != NULL ? ": " : "", comment != NULL ? comment : "");
		add_line(out, "approved", line);
	}
}

/* What the command has no room for: headers, the refs of a push. */
static void
add_details(struct buf *out, const struct json *details)
{
	for (size_t i = 0; i < json_len(details); i++)
		add_line(out, "", json_str(json_at(details, i), ""));
}

static void
add_review(struct buf *out, const struct json *review)
{
	add_line(out, "review", json_get_str(review, "review_id", NULL));
	add_line(out, "state", json_get_str(review, "state", NULL));
	add_line(out, "kind", json_get_str(review, "kind", NULL));
	add_line_from(out, "command", add_command, review);
	add_details(out, json_get(review, "details"));
	add_line(out, "target", json_get_str(review, "target", NULL));
	add_line_from(out, "requester", add_requester, review);
	add_line(out, "rule", json_get_str(review, "rule", NULL));
	add_line(out, "why", json_get_str(review, "why", NULL));
	add_line_from(out, "risk", add_risk, review);
	add_risk_parts(out, json_get(json_get(review, "risk"), "parts"));
	add_line(out, "reversible", json_get_bool(review, "reversible", false) ? "yes" : "no");
	add_line_from(out, "needs", add_approvals, review);
	add_comments(out, json_get(review, "approvals"));
	add_time(out, "asked", json_get_int(review, "created_at", 0));
	add_time(out, "expires", json_get_int(review, "expires_at", 0));
	add_time(out, "ended", json_get_int(review, "ended_at", 0));
	add_line(out, "ended by", json_get_str(review, "ended_by", NULL));
	add_line(out, "comment", json_get_str(review, "comment", NULL));
	add_line(out, "task", json_get_str(review, "task", NULL));
	add_line(out, "action", json_get_str(review, "action_id", NULL));
	add_line(out, "digest", json_get_str(review, "digest", NULL));
	add_line(out, "policy", json_get_str(review, "policy_name", NULL));
	add_line(out, "", json_get_str(review, "policy", NULL));
}

static int
print_reviews(const struct json *reviews)
{
	_cleanup_buf_ struct buf out;
	buf_init(&out, 64 << 20);
	for (size_t i = 0; i < json_len(reviews); i++)
		add_review(&out, json_at(reviews, i));
	return say_out(&out);
}

/* ---- asking ---- */

static int
fail(const struct error *err)
{
	say_error(err);
	return EXIT_FAILURE;
}

/* What became of a vote, on one line. */
static int
print_vote(const struct json *reviews, const char *verb)
{
	const struct json *review = json_at(reviews, 0);
	const char *state = json_get_str(review, "state", "?");
	_cleanup_buf_ struct buf out;
	buf_init(&out, 1 << 20);
	(void)buf_addf(&out, "%s ", strcmp(verb, "approve") == 0 ? "approved" : "denied");
	say_add_text(&out, json_get_str(review, "review_id", NULL));
	(void)buf_add_str(&out, ": ");
	say_add_text(&out, strcmp(state, "reviewing") == 0 ? "still waits for " : state);
	if (strcmp(state, "reviewing") == 0) {
		_cleanup_buf_ struct buf needs;
		buf_init(&needs, 1 << 16);
		add_approvals(&needs, review);
		say_add_text(&out, buf_str(&needs));
	}
	(void)buf_add_char(&out, '\n');
	return say_out(&out);
}

static int
watch(int fd, bool json)
{
	int r = msg_send(fd, MSG_REVIEW_WATCH, 1, NULL, NULL, 0);
	while (r >= 0) {
		struct msg m = MSG_INIT;
		struct error err = {0};
		r = msg_recv(fd, 0, &m);
		if (r == -EINTR) {
			r = 0;
			continue;
		}
		if (r <= 0) {
			msg_done(&m);
			break;
		}
		int code = 0;
		if (m.type == MSG_ERROR) {
			msg_error_read(m.body, &err);
			code = fail(&err);
		} else if (m.type == MSG_REVIEWS) {
			const struct json *reviews = json_get(m.body, "reviews");
			code = json                 ? say_json(m.body)
			    : json_len(reviews) > 0 ? print_list(reviews)
						    : 0;
		}
		msg_done(&m);
		if (code != 0)
			return code;
	}
	say("rf-arbiter ended the conversation");
	return EXIT_FAILURE;
}

static int
ask(const struct review_arguments *a, uint16_t type, int fd)
{
	_cleanup_json_ struct json *body = json_new_object();
	struct msg reply = MSG_INIT;
	struct error err = {0};
	if (a->id != NULL)
		(void)json_set_str(body, "review_id", a->id);
	if (type == MSG_REVIEW_LIST)
		(void)json_set_bool(body, "all", a->all);
	if (a->role != NULL)
		(void)json_set_str(body, "role", a->role);
	if (a->comment != NULL)
		(void)json_set_str(body, "comment", a->comment);
	if (a->digest != NULL)
		(void)json_set_str(body, "digest", a->digest);
	int r = msg_call(fd, type, body, NULL, 0, 10000, &reply, &err);
	const struct json *reviews = json_get(reply.body, "reviews");
	if (r < 0)
		r = fail(&err);
	else if (a->json)
		r = say_json(reply.body);
	else if (type == MSG_REVIEW_LIST)
		r = print_list(reviews);
	else if (type == MSG_REVIEW_SHOW)
		r = print_reviews(reviews);
	else
		r = print_vote(reviews, a->verb);
	msg_done(&reply);
	return r;
}

static const struct verb {
	const char *name;
	uint16_t type;
	bool needs_id;
} verbs[] = {
    {"list", MSG_REVIEW_LIST, false},
    {"show", MSG_REVIEW_SHOW, true},
    {"approve", MSG_REVIEW_APPROVE, true},
    {"deny", MSG_REVIEW_DENY, true},
    {"watch", MSG_REVIEW_WATCH, false},
    {0},
};

/* The verb of A, or NULL after saying what is wrong with the arguments. */
static const struct verb *
check_verb(const struct review_arguments *a)
{
	for (const struct verb *v = verbs; v->name != NULL; v++) {
		if (strcmp(v->name, a->verb) != 0)
			continue;
		if (v->needs_id == (a->id != NULL))
			return v;
		if (v->needs_id)
			say("review %s: which one? `ringfence review list` shows them", v->name);
		else
			say("review %s: unexpected argument %s", v->name, a->id);
		return NULL;
	}
	const char *near = nearest_name(a->verb, &verbs[0].name, sizeof(verbs[0]));
	if (near != NULL)
		say("review: unknown command %.60s; did you mean %s?", a->verb, near);
	else
		say("review: unknown command %.60s; see ringfence help review", a->verb);
	return NULL;
}

int
cmd_review(int argc, char **argv)
{
	struct review_arguments a;
	struct error err = {0};
	int r = take_arguments(argc, argv, &a);
	if (r != 0)
		return r > 0 ? 0 : EXIT_BAD_USAGE;
	if (a.verb == NULL)
		a.verb = "list";
	const struct verb *v = check_verb(&a);
	if (v == NULL)
		return EXIT_BAD_USAGE;
	int fd = connect_program("arbiter", CONNECT_START, &err);
	if (fd < 0)
		return fail(&err);
	r = v->type == MSG_REVIEW_WATCH ? watch(fd, a.json) : ask(&a, v->type, fd);
	(void)close(fd);
	return r;
}
