/* `ringfence sandbox list` and `top`: who is there, and what they use. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/sandbox.h"
#include "ipc/messages.h"

#define TOP_MS 2000
#define LIST_BYTES_MAX (64u << 20)

const struct option_spec sandbox_list_options[] = {
    {"all", NULL, "also those that ended last, and why", 'a'},
    {"quiet", NULL, "only the ids", 'q'},
    {"once", NULL, "top: once, also on a terminal", 0},
    {"json", NULL, "print JSON", 0},
    {"help", NULL, "this text", 'h'},
    {0},
};

/* Asks; nobody who answers is an empty list. */
static int
ask(struct connection *c, struct msg *ret, struct error *err)
{
	_cleanup_json_ struct json *body = json_new_object();
	(void)json_set_bool(body, "usage", true);
	int r =
	    sandbox_ask(c, CONNECT_JOIN, MSG_SESSION_LIST, body, NULL, 0, MSG_SESSIONS, ret, err);
	if (r == 0)
		return sandbox_list_rest(c->fd, /* usage= */ true, ret->body, err);
	if (r != -ENOTCONN)
		return r;
	ret->body = json_new_object();
	(void)json_set(ret->body, "sandboxes", json_new_array());
	(void)json_set(ret->body, "ended", json_new_array());
	return 0;
}

/* ---- cells ---- */

static void
cell_short(struct table *t, const struct json *sandboxes, const char *id)
{
	char text[SANDBOX_NAME_MAX];
	(void)snprintf(text, sizeof(text), "%.*s", (int)sandbox_short_id(sandboxes, id), id);
	table_cell(t, text);
}

static void
cell_age(struct table *t, int64_t ms)
{
	_cleanup_buf_ struct buf b;
	buf_init(&b, 64);
	sandbox_add_age(&b, ms);
	table_cell(t, buf_str(&b));
}

static void
cell_bytes(struct table *t, const struct json *usage, const char *name)
{
	_cleanup_buf_ struct buf b;
	buf_init(&b, 64);
	if (json_get(usage, name) != NULL)
		say_add_bytes(&b, json_get_int(usage, name, 0));
	table_cell(t, buf_str(&b));
}

static void
cell_number(struct table *t, const struct json *usage, const char *name)
{
	if (json_get(usage, name) == NULL)
		table_cell(t, NULL);
	else
		table_cellf(t, "%lld", (long long)json_get_int(usage, name, 0));
}

static void
table_head(struct table *t, const char *const *names)
{
	size_t n = 0;
	while (names[n] != NULL)
		n++;
	table_init(t, n);
	for (size_t i = 0; i < n; i++)
		table_cell(t, names[i]);
}

/* ---- list ---- */

/* Policies go by their name, or by where they were read from. */
static void
cell_policy(struct table *t, const struct json *sandbox)
{
	const struct json *policy = json_get(sandbox, "policy");
	const char *name = json_str(policy, NULL);
	if (name == NULL)
		name = json_get_str(policy, "name", json_get_str(policy, "file", NULL));
	table_cell(t, name);
}

/* What a command is running has not been idle. */
static void
cell_idle(struct table *t, const struct json *sandbox, int64_t now)
{
	int64_t last = json_get_int(sandbox, "last_used_ms", 0);
	if (json_len(json_get(sandbox, "commands")) > 0 || last == 0)
		table_cell(t, NULL);
	else
		cell_age(t, now - last);
}

static void
add_sandboxes(const struct json *sandboxes, struct buf *out)
{
	static const char *const head[] = {"SANDBOX", "NAME", "STATE", "TASK", "POLICY", "AGE",
	    "IDLE", "COMMANDS", "MEMORY", NULL};
	int64_t now = clock_wall_ms();
	struct table t;
	table_head(&t, head);
	for (size_t i = 0; i < json_len(sandboxes); i++) {
		const struct json *s = json_at(sandboxes, i);
		cell_short(&t, sandboxes, json_get_str(s, "sandbox", ""));
		table_cell(&t, json_get_str(s, "name", NULL));
		table_cell(&t, json_get_str(s, "state", NULL));
		table_cell(&t, json_get_str(s, "task", NULL));
		cell_policy(&t, s);
		cell_age(&t, now - json_get_int(s, "created_ms", now));
		cell_idle(&t, s, now);
		table_cellf(&t, "%zu", json_len(json_get(s, "commands")));
		cell_bytes(&t, json_get(s, "usage"), "memory_bytes");
	}
	table_print(&t, out);
}

static void
add_ended(const struct json *body, struct buf *out)
{
	static const char *const head[] = {"ENDED", "NAME", "AGO", "WHY", NULL};
	const struct json *ended = json_get(body, "ended");
	int64_t now = clock_wall_ms();
	struct table t;
	if (json_len(ended) == 0)
		return;
	table_head(&t, head);
	for (size_t i = 0; i < json_len(ended); i++) {
		const struct json *s = json_at(ended, i);
		cell_short(&t, ended, json_get_str(s, "sandbox", ""));
		table_cell(&t, json_get_str(s, "name", NULL));
		cell_age(&t, now - json_get_int(s, "at_ms", now));
		table_cell(&t, json_get_str(s, "why", NULL));
	}
	(void)buf_add_char(out, '\n');
	table_print(&t, out);
}

static int
print_list(const struct sandbox_arguments *a, const struct json *body)
{
	const struct json *sandboxes = json_get(body, "sandboxes");
	_cleanup_buf_ struct buf out;
	buf_init(&out, LIST_BYTES_MAX);
	if (a->quiet) {
		for (size_t i = 0; i < json_len(sandboxes); i++) {
			say_add_text(&out, json_get_str(json_at(sandboxes, i), "sandbox", NULL));
			(void)buf_add_char(&out, '\n');
		}
		return say_out(&out);
	}
	if (json_len(sandboxes) == 0)
		(void)buf_add_str(&out, "no sandboxes\n");
	else
		add_sandboxes(sandboxes, &out);
	if (a->all)
		add_ended(body, &out);
	return say_out(&out);
}

int
sandbox_list(int argc, char **argv)
{
	struct sandbox_arguments a;
	struct connection c = CONNECTION_INIT;
	struct msg reply = MSG_INIT;
	struct error err = {0};
	int r = sandbox_parse(argc, argv, sandbox_list_options, 0, 0, &a);
	if (r != 0)
		return r > 0 ? 0 : EXIT_BAD_USAGE;
	r = ask(&c, &reply, &err);
	if (r < 0)
		r = sandbox_fail(&err);
	else
		r = a.json ? say_json(reply.body) : print_list(&a, reply.body);
	msg_done(&reply);
	connect_done(&c);
	return r;
}

/* ---- top ---- */

static const struct json *
same_sandbox(const struct json *sandboxes, const struct json *as)
{
	const char *id = json_get_str(as, "sandbox", "");
	for (size_t i = 0; i < json_len(sandboxes); i++)
		if (strcmp(json_get_str(json_at(sandboxes, i), "sandbox", ""), id) == 0)
			return json_at(sandboxes, i);
	return NULL;
}

/* Of one processor, since BEFORE; without that, over its life. */
static void
cell_cpu(struct table *t, const struct json *now, const struct json *before, int64_t elapsed_ms)
{
	int64_t used = json_get_int(json_get(now, "usage"), "cpu_ms", 0);
	if (before != NULL)
		used -= json_get_int(json_get(before, "usage"), "cpu_ms", 0);
	else
		elapsed_ms = clock_wall_ms() - json_get_int(now, "created_ms", clock_wall_ms());
	if (elapsed_ms <= 0)
		table_cell(t, NULL);
	else
		table_cellf(t, "%lld%%", (long long)(MAX(used, (int64_t)0) * 100 / elapsed_ms));
}

static void
add_top(const struct json *body, const struct json *before, int64_t elapsed_ms, struct buf *out)
{
	static const char *const head[] = {"SANDBOX", "NAME", "STATE", "CPU", "CPU TIME", "MEMORY",
	    "PEAK", "PROCESSES", "SCRATCH", "RUNNING", NULL};
	const struct json *sandboxes = json_get(body, "sandboxes");
	struct table t;
	table_head(&t, head);
	for (size_t i = 0; i < json_len(sandboxes); i++) {
		const struct json *s = json_at(sandboxes, i), *usage = json_get(s, "usage");
		const struct json *commands = json_get(s, "commands");
		cell_short(&t, sandboxes, json_get_str(s, "sandbox", ""));
		table_cell(&t, json_get_str(s, "name", NULL));
		table_cell(&t, json_get_str(s, "state", NULL));
		cell_cpu(&t, s, same_sandbox(json_get(before, "sandboxes"), s), elapsed_ms);
		cell_age(&t, json_get_int(usage, "cpu_ms", 0));
		cell_bytes(&t, usage, "memory_bytes");
		cell_bytes(&t, usage, "memory_peak_bytes");
		cell_number(&t, usage, "processes");
		cell_bytes(&t, usage, "scratch_bytes");
		if (json_len(commands) > 1)
			table_cellf(&t, "%.60s, %zu more",
			    json_get_str(json_at(commands, 0), "program", "?"),
			    json_len(commands) - 1);
		else
			table_cell(&t, json_get_str(json_at(commands, 0), "program", NULL));
	}
	table_print(&t, out);
	if (json_len(sandboxes) == 0)
		(void)buf_add_str(out, "no sandboxes\n");
}

int
sandbox_top(int argc, char **argv)
{
	struct sandbox_arguments a;
	struct connection c = CONNECTION_INIT;
	struct json *before = NULL;
	struct error err = {0};
	int64_t asked_ms = 0;
	int r = sandbox_parse(argc, argv, sandbox_list_options, 0, 0, &a);
	if (r != 0)
		return r > 0 ? 0 : EXIT_BAD_USAGE;
	bool again = !a.once && !a.json && isatty(STDOUT_FILENO) == 1;
	do {
		struct msg reply = MSG_INIT;
		_cleanup_buf_ struct buf out;
		buf_init(&out, LIST_BYTES_MAX);
		r = ask(&c, &reply, &err);
		int64_t now_ms = clock_monotonic_ns() / 1000000;
		if (again) /* home, and erase below */
			(void)buf_add_str(&out, "\033[H\033[J");
		if (r == 0 && !a.json)
			add_top(reply.body, before, now_ms - asked_ms, &out);
		if (r == 0)
			r = a.json ? say_json(reply.body) : say_out(&out);
		else
			r = sandbox_fail(&err);
		asked_ms = now_ms;
		json_free(before);
		before = TAKE_PTR(reply.body);
		msg_done(&reply);
		if (again && r == 0)
			(void)poll(NULL, 0, TOP_MS);
	} while (again && r == 0);
	json_free(before);
	connect_done(&c);
	return r;
}
