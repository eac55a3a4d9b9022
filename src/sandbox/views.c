#include "sandbox/views.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sandbox/plan.h"
#include "sandbox/skeleton.h"

struct views {
	char state[4096];
	int state_fd; /* borrowed */
	uid_t uid;    /* of the command, inside */
	gid_t gid;
	struct json *host;
	struct json *last; /* the last one that was not the host's */
};

/* Makes VIEW's skeleton. What that holds already (links and files) need not be told to each rf-init. */
static int
finish(struct views *views, struct json *view, struct error *err)
{
	char name[64], path[4200];
	int r = skeleton_ensure(views->state_fd, view, name, err);
	if (r < 0)
		return r;
	(void)snprintf(path, sizeof(path), "%s/%s", views->state, name);
	json_unset(view, "links");
	json_unset(view, "files");
	(void)json_set_str(view, "hostname", "sandbox");
	return json_set_str(view, "skeleton", path);
}

int
views_new(const char *state, int state_fd, struct views **ret, struct error *err)
{
	struct views *views = calloc(1, sizeof(*views));
	if (views == NULL)
		return error_set(err, ENOMEM, "no_memory", "out of memory");
	bool rootless = geteuid() != 0;
	(void)snprintf(views->state, sizeof(views->state), "%s", state);
	views->state_fd = state_fd;
	views->uid = rootless ? getuid() : PLAN_UID;
	views->gid = rootless ? getgid() : PLAN_UID;
	views->host = host_view(views->uid, views->gid);
	int r = views->host == NULL ? error_set(err, ENOMEM, "no_memory", "out of memory")
				    : finish(views, views->host, err);
	if (r < 0) {
		views_free(views);
		return r;
	}
	*ret = views;
	return 0;
}

struct views *
views_free(struct views *views)
{
	if (views == NULL)
		return NULL;
	json_free(views->host);
	json_free(views->last);
	free(views);
	return NULL;
}

const struct json *
views_host(const struct views *views)
{
	return views->host;
}

int
views_get(
    struct views *views, const struct json *config, const struct json **ret, struct error *err)
{
	const char *root = json_get_str(config, "root", "host");
	bool listed = strcmp(json_get_str(config, "executables", "any"), "listed") == 0;
	if (strcmp(root, "host") == 0 && !listed) {
		*ret = views->host;
		return 0;
	}
	return error_set(err, EOPNOTSUPP, "policy_not_enforceable",
	    "this build cannot make a sandbox with root %s%s", root, listed ? ", listed" : "");
}

int
views_resolve(struct views *views, const struct json *config, const char *name, const char *cwd,
    char ret_program[RESOLVED_MAX], char ret_resolved[RESOLVED_MAX])
{
	(void)views;
	(void)config;
	return host_resolve(name, cwd, ret_program, ret_resolved);
}
