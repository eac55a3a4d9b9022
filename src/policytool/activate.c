/* activate, rollback, history: one request to the arbiter each, over run/arbiter.sock. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "ipc/messages.h"
#include "ipc/msg.h"
#include "ipc/paths.h"
#include "policytool/tool.h"

#define REPLY_TIMEOUT_MS 10000

/* A connection to the arbiter; negative after saying that there is none. */
static int
connect_arbiter(void)
{
	struct error err = {.code = ""};
	char path[PATHS_MAX];
	int r = paths_run_socket("arbiter", path, &err);
	int fd = r < 0 ? r : msg_connect(path);
	if (fd == -ENOENT || fd == -ECONNREFUSED) {
		(void)error_set(
		    &err, ENOTCONN, "no_arbiter", "no arbiter is running (%.300s)", path);
		error_remedy(&err, "`ringfence start` starts the programs");
	} else if (r == 0 && fd < 0) {
		(void)error_set_errno(&err, -fd, "no_arbiter", "%.300s", path);
	}
	if (fd < 0)
		(void)tool_fail(&err);
	return fd;
}

/* Sends BODY (taken) with FILE (-1: none) and waits for the state. 0 or an exit code. */
static int
ask(enum msg_type type, struct json *body, int file, struct msg *ret)
{
	_cleanup_json_ struct json *owned = body;
	struct error err = {.code = ""};
	_cleanup_close_ int fd = connect_arbiter();
	if (fd < 0)
		return TOOL_TROUBLE;
	if (msg_call(fd, type, owned, &file, file >= 0 ? 1 : 0, REPLY_TIMEOUT_MS, ret, &err) < 0)
		return tool_fail(&err);
	if (ret->type == MSG_POLICY_STATE)
		return 0;
	msg_done(ret);
	return tool_failf("the arbiter gave an answer that does not fit");
}

static void
print_state(const char *verb, const struct json *body)
{
	const char *previous = json_get_str(body, "previous", NULL);
	(void)printf("%s ", verb);
	tool_print_text(json_get_str(body, "name", "?"));
	(void)printf(" is now generation %.12s", json_get_str(body, "hash", "?"));
	if (previous != NULL && previous[0] != 0)
		(void)printf(" (before: %.12s)", previous);
	(void)putchar('\n');
}

static int
activate_source(const struct source *source, const struct policy *policy)
{
	struct msg reply = MSG_INIT;
	struct buf missing;
	buf_init(&missing, 1 << 20);
	if (!policy_enforceable(policy, &missing))
		(void)fprintf(stderr,
		    "rf-policy: note: `ringfence run` refuses it for now (see: ringfence policy "
		    "check %s)\n",
		    source->name);
	buf_done(&missing);
	struct json *body = json_new_object();
	(void)json_set_str(body, "name", policy_name(policy));
	(void)json_set_str(body, "file", source->name);
	int r = ask(MSG_POLICY_ACTIVATE, body, source->fd, &reply);
	if (r != 0)
		return r;
	print_state("activated:", reply.body);
	msg_done(&reply);
	return TOOL_YES;
}

int
tool_activate(const struct tool_args *args)
{
	struct source source;
	struct error err = {.code = ""};
	struct policy *policy = NULL;
	int r = source_read(args->operands[0], &source, &err);
	if (r == 0 && source.fd < 0)
		r = error_set(&err, EINVAL, "policy_builtin",
		    "%s is built in: it is always active under its name", source.name);
	if (r == 0)
		r = policy_load(buf_str(&source.text), source.text.len, source.name, &policy, &err);
	/* The arbiter reads the file itself, from its start. */
	if (r == 0 && lseek(source.fd, 0, SEEK_SET) < 0)
		r = error_set(
		    &err, ESPIPE, "policy_unreadable", "%s: activate needs a file", source.name);
	if (r < 0)
		(void)tool_fail(&err);
	r = r < 0 ? TOOL_NO : activate_source(&source, policy);
	policy_free(policy);
	source_done(&source);
	return r;
}

int
tool_rollback(const struct tool_args *args)
{
	struct msg reply = MSG_INIT;
	struct json *body = json_new_object();
	(void)json_set_str(body, "name", args->operands[0]);
	int r = ask(MSG_POLICY_ROLLBACK, body, -1, &reply);
	if (r != 0)
		return r;
	print_state("rolled back:", reply.body);
	msg_done(&reply);
	return TOOL_YES;
}

static void
print_generation(const struct json *g)
{
	char at[32];
	clock_format(json_get_int(g, "activated_at", 0), at);
	const char *state = json_get_bool(g, "active", false) ? "active"
	    : json_get_bool(g, "rolled_back", false)          ? "rolled back"
							      : "replaced";
	(void)printf("%-24s %-12.12s %-12s ", at, json_get_str(g, "hash", "?"), state);
	tool_print_text(json_get_str(g, "name", "?"));
	(void)printf("  by ");
	tool_print_text(json_get_str(g, "by", "?"));
	(void)putchar('\n');
}

int
tool_history(const struct tool_args *args)
{
	struct msg reply = MSG_INIT;
	struct json *body = json_new_object();
	if (args->n > 0)
		(void)json_set_str(body, "name", args->operands[0]);
	int r = ask(MSG_POLICY_HISTORY, body, -1, &reply);
	if (r != 0)
		return r;
	const struct json *list = json_get(reply.body, "generations");
	if (args->json) {
		r = tool_print_json(json_copy(list));
	} else {
		if (json_len(list) == 0)
			(void)printf("no policy has been activated\n");
		for (size_t i = 0; i < json_len(list); i++)
			print_generation(json_at(list, i));
	}
	msg_done(&reply);
	return r;
}
