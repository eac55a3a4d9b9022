/* rf-layers — changes the layers of one sandbox's workspace.
 *
 * Started by rf-supervisor for one request: to put another overlay in place, to copy what changed, to show a
 * state. rf-init and the commands are under Landlock and cannot mount; the supervisor does not enter what an
 * agent filled. So this program enters the sandbox's user and mount namespaces (not its processes': nothing in
 * there sees it), does one thing and ends.
 *
 *   uid           rf-init's id of the sandbox (rootless: the user)
 *   capabilities  those over the sandbox's user namespace
 *   system calls  those of profile.c: files, mounts, its socket; it starts no program and connects nowhere
 *   descriptors   3: socket to the supervisor
 *   reads         one request. Of the agent's: names, modes and contents that it copies, never interprets
 *   if compromised, an attacker can change the mounts and the files of this one sandbox
 *
 * LAYERS_DO →   {"do","ids":{"uid","gid","change":bool}, …}; fds: rf-init's pidfd, control group entries…
 *   "replace"   {"lowers":[],"upper","owner":{"uid","gid"},"lazy":bool,"remove":[]}
 *   "copy"      {"from","to"}; ← {"bytes"}
 *   "view"      {"views":[{"lowers":[]} or {} for the present one]}; ← fds: each view, the layers' directory
 *   "remove"    {"remove":[]}
 *   "measure"   {"names":[]}; ← {"bytes":[]}
 * LAYERS_EXCHANGES ← {}: from now until LAYERS_DONE it is not known what is mounted
 * LAYERS_DONE ← {} or {"error":{…}}. "workspace_busy": something holds files of it open, nothing has changed;
 *               "workspace_lost": the sandbox must end. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/msg.h"
#include "layers/layers.h"
#include "layers/profile.h"
#include "sandbox/layers.h"

#define CONTROL_FD 3
#define VIEWS_MAX (MSG_FDS_MAX - 1)

struct request {
	const struct json *body; /* borrowed, as are the control groups */
	const int *groups;
	unsigned n_groups;
	struct stack stack;
	struct json *reply;
	int fds[MSG_FDS_MAX]; /* owned */
	unsigned n_fds;
	struct error err;
};

/* ---- what can be asked ---- */

static int
remove_all(struct request *request)
{
	const struct json *names = json_get(request->body, "remove");
	int first = 0;
	for (size_t i = 0; i < json_len(names); i++) {
		int r = tree_remove(request->stack.scratch, json_str(json_at(names, i), ""));
		first = first < 0 ? first : r;
	}
	return first < 0 ? error_set_errno(&request->err, -first, "layers_failed",
			       "cannot remove a layer that is not needed any more")
			 : 0;
}

static int
replace_once(struct request *request)
{
	const struct json *body = request->body, *owner = json_get(body, "owner");
	return stack_replace(&request->stack, json_get(body, "lowers"),
	    json_get_str(body, "upper", ""), (uid_t)json_get_int(owner, "uid", -1),
	    (gid_t)json_get_int(owner, "gid", -1), json_get_bool(body, "lazy", false),
	    &request->err);
}

/* No room even for an empty layer: what is given up anyway goes first. */
static int
replace_when_full(struct request *request)
{
	struct error why;
	int r = stack_give_up(&request->stack, &request->err);
	if (r == 0) {
		(void)remove_all(request);
		r = replace_once(request);
	}
	if (r == 0 || !request->stack.given_up)
		return r;
	why = request->err;
	return error_set(
	    &request->err, -r, "workspace_lost", "the workspace is lost: %s", why.message);
}

static int
replace(struct request *request)
{
	bool lazy = json_get_bool(request->body, "lazy", false);
	int r = replace_once(request);
	if (r == -ENOSPC && lazy)
		r = replace_when_full(request);
	if (r < 0)
		return r;
	(void)remove_all(request); /* it is done; what cannot be removed only takes room */
	return 0;
}

/* What is copied is the sandbox's memory: it counts there. */
static int
enter_groups(struct request *request)
{
	for (unsigned i = 0; i < request->n_groups; i++)
		if (write(request->groups[i], "0", 1) != 1)
			return error_set_errno(&request->err, errno, "cgroup_failed",
			    "the copy cannot enter the sandbox's control group");
	return 0;
}

static int
copy(struct request *request)
{
	int64_t bytes = 0;
	const char *to = json_get_str(request->body, "to", "");
	(void)tree_remove(request->stack.scratch, to); /* what one of us left that was killed */
	int r = tree_copy(request->stack.scratch, json_get_str(request->body, "from", ""), to,
	    &bytes, &request->err);
	if (r < 0) {
		(void)tree_remove(request->stack.scratch, to);
		return r;
	}
	return json_set_int(request->reply, "bytes", bytes);
}

static int
view(struct request *request)
{
	const struct json *views = json_get(request->body, "views");
	if (json_len(views) > VIEWS_MAX)
		return error_set(&request->err, EINVAL, "bad_request", "too many views");
	for (size_t i = 0; i <= json_len(views); i++) {
		int fd = i < json_len(views)
		    ? stack_view(
			  &request->stack, json_get(json_at(views, i), "lowers"), &request->err)
		    : stack_view_scratch(&request->stack, &request->err);
		if (fd < 0)
			return fd;
		request->fds[request->n_fds++] = fd;
	}
	return 0;
}

static int
measure(struct request *request)
{
	const struct json *names = json_get(request->body, "names");
	struct json *list = json_new_array();
	for (size_t i = 0; i < json_len(names); i++) {
		int64_t bytes;
		int r =
		    tree_measure(request->stack.scratch, json_str(json_at(names, i), ""), &bytes);
		(void)json_push(list, json_new_int(r < 0 ? 0 : bytes));
	}
	return json_set(request->reply, "bytes", list);
}

static const struct deed {
	const char *name;
	int (*perform)(struct request *request);
} deeds[] = {
    {"replace", replace},
    {"copy", copy},
    {"view", view},
    {"remove", remove_all},
    {"measure", measure},
};

/* ---- one request ---- */

static int
perform(struct request *request)
{
	const char *name = json_get_str(request->body, "do", "");
	for (size_t i = 0; i < ARRAY_LEN(deeds); i++) {
		if (strcmp(name, deeds[i].name) != 0)
			continue;
		int r = profile_enter(&request->err);
		if (r == 0)
			r = enter_groups(request);
		if (r == 0)
			r = stack_enter(
			    &request->stack, json_get(request->body, "ids"), &request->err);
		return r < 0 ? r : deeds[i].perform(request);
	}
	return error_set(&request->err, EINVAL, "bad_request", "no such request: %s", name);
}

static int
answer(struct request *request, int r, uint32_t serial)
{
	if (r < 0) {
		if (request->err.code[0] == 0)
			(void)error_set_errno(
			    &request->err, -r, "layers_failed", "rf-layers failed");
		_cleanup_json_ struct json *error = msg_error_body(&request->err);
		r = json_set(request->reply, "error", json_detach(error, "error"));
	}
	if (r == 0)
		r = msg_send(
		    CONTROL_FD, LAYERS_DONE, serial, request->reply, request->fds, request->n_fds);
	return r < 0 ? 1 : 0;
}

int
main(void)
{
	struct msg m = MSG_INIT;
	(void)umask(0);
	if (msg_recv(CONTROL_FD, 0, &m) != 1 || m.type != LAYERS_DO || m.n_fds < 1) {
		static const char text[] =
		    "rf-layers: started by rf-supervisor for one request, not by hand\n";
		ssize_t n = write(STDERR_FILENO, text, sizeof(text) - 1);
		(void)n;
		return 125;
	}
	struct request request = {.body = m.body,
	    .groups = m.fds + 1,
	    .n_groups = m.n_fds - 1,
	    .stack = STACK_INIT,
	    .reply = json_new_object()};
	request.stack.pidfd = m.fds[0];
	request.stack.control = CONTROL_FD;
	int r = request.reply == NULL ? -ENOMEM : perform(&request);
	return answer(&request, r, m.serial); /* what is open ends with us */
}
