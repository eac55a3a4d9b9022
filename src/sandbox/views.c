#include "sandbox/views.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sandbox/image_view.h"
#include "sandbox/listed.h"
#include "sandbox/plan.h"
#include "sandbox/skeleton.h"

#define KEPT 8

/* One that is not the host's. What it depends on is looked at each time: an image's name may mean another
 * image by now, a listed program may have been upgraded. */
struct kept {
	char *key;            /* owned */
	struct json *view;    /* owned */
	struct json *sources; /* owned: of a listed one */
	char image[IMAGE_DIR_SIZE];
	unsigned used;
};

struct views {
	char state[4096];
	int state_fd; /* borrowed */
	uid_t uid;    /* of the command, inside */
	gid_t gid;
	struct json *host;
	struct kept kept[KEPT];
	unsigned clock;
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

static void
forget(struct kept *kept)
{
	free(kept->key);
	json_free(kept->view);
	json_free(kept->sources);
	*kept = (struct kept){0};
}

struct views *
views_free(struct views *views)
{
	if (views == NULL)
		return NULL;
	json_free(views->host);
	for (size_t i = 0; i < KEPT; i++)
		forget(&views->kept[i]);
	listed_sweep(views->state_fd); /* at the end, when it keeps nobody waiting */
	free(views);
	return NULL;
}

const struct json *
views_host(const struct views *views)
{
	return views->host;
}

/* ---- others than the host's ---- */

static bool
is_listed(const struct json *config)
{
	return strcmp(json_get_str(config, "executables", "any"), "listed") == 0;
}

/* The image that CONFIG's root names, or NULL. */
static const char *
image_of(const struct json *config)
{
	const char *root = json_get_str(config, "root", "host");
	return strncmp(root, "image:", 6) == 0 ? root + 6 : NULL;
}

/* What distinguishes CONFIG's root from others; owned. */
static char *
key_of(const struct json *config)
{
	_cleanup_buf_ struct buf key;
	buf_init(&key, 1 << 20);
	(void)buf_add_str(&key, json_get_str(config, "root", "host"));
	if (is_listed(config) && json_write(json_get(config, "programs"), &key) < 0)
		return NULL;
	return buf_failed(&key) ? NULL : strdup(buf_str(&key));
}

static bool
still_true(struct views *views, const struct kept *kept, const struct json *config)
{
	char image[IMAGE_DIR_SIZE];
	struct error ignored = {0};
	if (image_of(config) == NULL)
		return listed_fresh(kept->sources);
	return image_find(views->state_fd, image_of(config), image, &ignored) == 0 &&
	    strcmp(image, kept->image) == 0;
}

static int
make(struct views *views, const struct json *config, struct kept *kept, struct error *err)
{
	const char *image = image_of(config);
	int r;
	if (image != NULL) {
		r = image_find(views->state_fd, image, kept->image, err);
		if (r == 0)
			r = image_view(views->state_fd, views->state, image, views->uid, views->gid,
			    &kept->view, err);
	} else if (is_listed(config)) {
		r = listed_view(views->state_fd, views->state, json_get(config, "programs"),
		    views->uid, views->gid, &kept->view, &kept->sources, err);
	} else {
		r = error_set(err, EOPNOTSUPP, "policy_not_enforceable", "no root is called %s",
		    json_get_str(config, "root", ""));
	}
	return r < 0 ? r : finish(views, kept->view, err);
}

int
views_get(
    struct views *views, const struct json *config, const struct json **ret, struct error *err)
{
	if (strcmp(json_get_str(config, "root", "host"), "host") == 0 && !is_listed(config)) {
		*ret = views->host;
		return 0;
	}
	struct kept *kept = &views->kept[0];
	_cleanup_free_ char *key = key_of(config);
	if (key == NULL)
		return error_set(err, ENOMEM, "no_memory", "out of memory");
	for (size_t i = 0; i < KEPT; i++) {
		struct kept *at = &views->kept[i];
		if (at->key != NULL && strcmp(at->key, key) == 0) {
			kept = at;
			break;
		}
		if (at->used < kept->used)
			kept = at;
	}
	if (kept->key == NULL || strcmp(kept->key, key) != 0 || !still_true(views, kept, config)) {
		forget(kept);
		int r = make(views, config, kept, err);
		if (r < 0) {
			forget(kept);
			return r;
		}
		kept->key = TAKE_PTR(key);
	}
	kept->used = ++views->clock;
	*ret = kept->view;
	return 0;
}

int
views_resolve(struct views *views, const struct json *config, const char *name, const char *cwd,
    char ret_program[RESOLVED_MAX], char ret_resolved[RESOLVED_MAX])
{
	const char *image = image_of(config);
	return image == NULL
	    ? host_resolve(name, cwd, ret_program, ret_resolved)
	    : image_resolve(views->state_fd, image, name, cwd, ret_program, ret_resolved);
}
