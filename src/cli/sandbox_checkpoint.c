/* `ringfence sandbox checkpoint | rollback`: states of a sandbox's workspace, kept by name. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/request.h"
#include "cli/sandbox.h"
#include "ipc/messages.h"

static int
ask(const char *sandbox, const char *what, const char *name, struct msg *ret, struct error *err)
{
	struct connection c = CONNECTION_INIT;
	_cleanup_json_ struct json *body = sandbox_body(sandbox);
	(void)json_set_str(body, "do", what);
	if (name != NULL) {
		int r = request_check_text("the name", name, err);
		if (r < 0)
			return r;
		(void)json_set_str(body, "name", name);
	}
	int r = sandbox_ask(&c, CONNECT_JOIN, MSG_SESSION_CHECKPOINT, body, NULL, 0,
	    MSG_SESSION_CHECKPOINTS, ret, err);
	connect_done(&c);
	return r;
}

static int
print_checkpoints(const struct json *body)
{
	const struct json *list = json_get(body, "checkpoints");
	int64_t now = clock_wall_ms();
	_cleanup_buf_ struct buf out;
	buf_init(&out, 4u << 20);
	struct table t;
	table_init(&t, 4);
	table_cell(&t, "CHECKPOINT");
	table_cell(&t, "AGO");
	table_cell(&t, "SIZE");
	table_cell(&t, "HOW");
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *c = json_at(list, i);
		_cleanup_buf_ struct buf cell;
		buf_init(&cell, 256);
		table_cell(&t, json_get_str(c, "name", NULL));
		sandbox_add_age(&cell, now - json_get_int(c, "at_ms", now));
		table_cell(&t, buf_str(&cell));
		buf_clear(&cell);
		if (json_get(c, "bytes") != NULL)
			say_add_bytes(&cell, json_get_int(c, "bytes", 0));
		table_cell(&t, buf_str(&cell));
		table_cell(&t, json_get_str(c, "how", NULL));
	}
	table_print(&t, &out);
	if (json_len(list) == 0) {
		buf_clear(&out);
		(void)buf_add_str(&out, "no checkpoints\n");
	}
	return say_out(&out);
}

static int
print_made(const struct json *body)
{
	_cleanup_buf_ struct buf out;
	buf_init(&out, 4096);
	say_add_text(&out, json_get_str(body, "made", NULL));
	(void)buf_add_char(&out, '\n');
	return say_out(&out);
}

int
sandbox_checkpoint(int argc, char **argv)
{
	static const char *const verbs[] = {"make", "list", "drop", NULL};
	struct sandbox_arguments a;
	struct msg reply = MSG_INIT;
	struct error err = {0};
	int r = sandbox_parse(argc, argv, sandbox_json_options, 1, 3, &a);
	if (r != 0)
		return r > 0 ? 0 : EXIT_BAD_USAGE;
	const char *what = a.n_operands > 1 ? a.operands[1] : "make", *name = a.operands[2];
	bool known = false;
	for (size_t i = 0; verbs[i] != NULL; i++)
		known = known || strcmp(what, verbs[i]) == 0;
	if (!known || (what[0] == 'd' && name == NULL) || (what[0] == 'l' && name != NULL)) {
		say("sandbox checkpoint: expected SANDBOX [make [NAME] | list | drop NAME]");
		return EXIT_BAD_USAGE;
	}
	r = ask(a.operands[0], what, name, &reply, &err);
	if (r < 0)
		r = sandbox_fail(&err);
	else if (a.json)
		r = say_json(reply.body);
	else
		r = what[0] == 'm'   ? print_made(reply.body)
		    : what[0] == 'l' ? print_checkpoints(reply.body)
				     : 0;
	msg_done(&reply);
	return r;
}

int
sandbox_rollback(int argc, char **argv)
{
	struct sandbox_arguments a;
	struct msg reply = MSG_INIT;
	struct error err = {0};
	int r = sandbox_parse(argc, argv, sandbox_json_options, 2, 2, &a);
	if (r != 0)
		return r > 0 ? 0 : EXIT_BAD_USAGE;
	r = ask(a.operands[0], "rollback", a.operands[1], &reply, &err);
	if (r < 0)
		r = sandbox_fail(&err);
	else
		r = a.json ? say_json(reply.body) : 0;
	msg_done(&reply);
	return r;
}
