/* Control groups: how this host has them, whether some of them are ours, and, as the proof, a group with
 * limits that are read back. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "doctor/doctor.h"
#include "sys/cgroup.h"

#define MIB (1024LL * 1024)
#define GROUPS "/sys/fs/cgroup"

static const char *const controllers[] = {"memory", "pids", "cpu"};

enum layout { LAYOUT_NONE, LAYOUT_V1, LAYOUT_V2, LAYOUT_HYBRID };
static const char *const layout_names[] = {"none", "version 1", "version 2", "hybrid"};

struct groups {
	enum layout layout;
	char own[400];    /* the directory of the group that we run in (of `memory` in version 1) */
	char offered[80]; /* controllers that it could give on (version 2), or that are mounted */
	bool ours;        /* we may make groups there */
	bool ours_above;  /* or somewhere above (a user's systemd) */
	bool read_only;   /* the whole tree is mounted so */
};

/* ---- reading ---- */

/* Which file systems of control groups are mounted, by the list of mounts. */
static enum layout
find_layout(struct groups *g)
{
	static char text[64 * 1024];
	bool v1 = false, v2 = false, v2_alone = false;
	doctor_read_all("/proc/self/mounts", text, sizeof(text));
	for (const char *line = text; line != NULL && *line != 0;) {
		char at[200], type[32], options[200];
		if (sscanf(line, "%*s %199s %31s %199s", at, type, options) == 3 &&
		    strncmp(at, GROUPS, strlen(GROUPS)) == 0 && strncmp(type, "cgroup", 6) == 0) {
			bool second = strcmp(type, "cgroup2") == 0;
			v1 = v1 || !second;
			v2 = v2 || second;
			v2_alone = v2_alone || (second && strcmp(at, GROUPS) == 0);
			g->read_only = doctor_has_word(options, "ro");
		}
		line = strchr(line, '\n');
		line = line == NULL ? NULL : line + 1;
	}
	return v2_alone ? LAYOUT_V2 : v1 && v2 ? LAYOUT_HYBRID : v1 ? LAYOUT_V1 : LAYOUT_NONE;
}

/* The path after TAG (":memory:", "0::") in /proc/self/cgroup, "" for the root. */
static void
own_path(const char *tag, char *ret, size_t size)
{
	char text[4096];
	doctor_read_all("/proc/self/cgroup", text, sizeof(text));
	const char *at = strstr(text, tag);
	ret[0] = 0;
	if (at != NULL)
		(void)snprintf(
		    ret, size, "%.*s", (int)strcspn(at + strlen(tag), "\n"), at + strlen(tag));
	if (strcmp(ret, "/") == 0)
		ret[0] = 0;
}

static void
read_v2(struct groups *g)
{
	char path[300], file[PATH_SIZE], text[256];
	own_path("0::", path, sizeof(path));
	(void)snprintf(g->own, sizeof(g->own), GROUPS "%s", path);
	(void)snprintf(file, sizeof(file), "%s/cgroup.controllers", g->own);
	doctor_read(file, text, sizeof(text));
	for (size_t i = 0; i < ARRAY_LEN(controllers); i++)
		if (doctor_has_word(text, controllers[i]))
			text_add(g->offered, sizeof(g->offered), " %s", controllers[i]);
	char at[400];
	(void)snprintf(at, sizeof(at), "%s", g->own);
	for (bool own = true;; own = false) {
		(void)snprintf(file, sizeof(file), "%s/cgroup.procs", at);
		bool may = doctor_can_write(at) && doctor_can_write(file);
		if (own)
			g->ours = may;
		else
			g->ours_above = g->ours_above || may;
		char *slash = strrchr(at, '/');
		if (strcmp(at, GROUPS) == 0 || slash == NULL)
			return;
		*slash = 0;
	}
}

static void
read_v1(struct groups *g)
{
	char path[300], dir[PATH_SIZE];
	g->ours = true;
	for (size_t i = 0; i < ARRAY_LEN(controllers); i++) {
		char tag[20];
		(void)snprintf(tag, sizeof(tag), ":%s:", controllers[i]);
		own_path(tag, path, sizeof(path));
		(void)snprintf(dir, sizeof(dir), GROUPS "/%s%s", controllers[i], path);
		if (!doctor_exists(dir))
			continue;
		if (g->own[0] == 0)
			(void)snprintf(g->own, sizeof(g->own), "%.399s", dir);
		text_add(g->offered, sizeof(g->offered), " %s", controllers[i]);
		g->ours = g->ours && doctor_can_write(dir);
	}
	g->ours = g->ours && g->offered[0] != 0;
}

static void
groups_read(struct groups *g)
{
	*g = (struct groups){0};
	g->layout = find_layout(g);
	if (g->layout == LAYOUT_V2)
		read_v2(g);
	else if (g->layout != LAYOUT_NONE)
		read_v1(g);
}

/* ---- explaining ---- */

static void
explain_v2(const struct groups *g, struct finding *ret)
{
	bool root = geteuid() == 0;
	if (g->read_only || (root && !g->ours && !g->ours_above))
		finding_fix(ret,
		    GROUPS " is read-only here: in a container, give it a writable subtree of its "
			   "own (docker run --cgroupns=private --privileged, or podman run "
			   "--systemd=always)");
	else if (!root && !g->ours && !g->ours_above)
		finding_fix(ret,
		    "the group that we run in is not ours. `systemctl --user enable --now "
		    "ringfence` runs the service with groups of its own (the unit comes with "
		    "`make install`); for one command: systemd-run --user --scope -p Delegate=yes "
		    "-- COMMAND");
	else
		finding_fix(ret,
		    "not all of cpu, memory and pids are delegated to us: a drop-in of "
		    "user@.service with Delegate=cpu memory pids (it comes with `make install`, "
		    "in share/ringfence/systemd), then log in again");
}

/* What to do so that limits are held by groups, most specific reason first. */
void
mend_cgroup(struct finding *ret)
{
	struct groups g;
	groups_read(&g);
	if (g.layout == LAYOUT_NONE)
		finding_fix(ret,
		    "no control groups are mounted below " GROUPS ": mount -t cgroup2 none " GROUPS
		    " (as root), or boot with systemd; in a container they are the runtime's");
	else if (g.layout == LAYOUT_V2)
		explain_v2(&g, ret);
	else if (geteuid() != 0)
		finding_fix(ret,
		    "version 1 groups cannot be given to ordinary users: boot with "
		    "systemd.unified_cgroup_hierarchy=1 (version 2), or let root's service run the "
		    "sandboxes");
	else
		finding_fix(ret,
		    "the groups are read-only here: in a container, mount them writable (docker "
		    "run -v /sys/fs/cgroup:/sys/fs/cgroup:rw), or use a host with version 2");
}

void
check_cgroup_layout(struct finding *ret)
{
	struct groups g;
	groups_read(&g);
	struct json *facts = finding_facts(ret);
	(void)json_set_str(facts, "layout", layout_names[g.layout]);
	(void)json_set_str(facts, "own", g.own);
	(void)json_set_bool(facts, "writable", g.ours);
	(void)json_set_bool(facts, "writable_above", g.ours_above);
	struct json *offered = json_new_array();
	for (size_t i = 0; i < ARRAY_LEN(controllers); i++)
		if (doctor_has_word(g.offered, controllers[i]))
			(void)json_push(offered, json_new_string(controllers[i]));
	bool all = json_len(offered) == ARRAY_LEN(controllers);
	(void)json_set(facts, "controllers", offered);
	if (g.layout == LAYOUT_NONE) {
		finding_set(ret, STATE_WEAKER, "no control groups are mounted");
	} else {
		bool ours = g.ours || g.ours_above;
		finding_set(ret, ours && all ? STATE_OK : STATE_WEAKER,
		    "%s; we run in %.200s, which %s; controllers here:%s", layout_names[g.layout],
		    g.own,
		    g.ours             ? "is ours"
			: g.ours_above ? "is below one that is ours"
				       : "is not ours",
		    g.offered[0] ? g.offered : " none");
	}
	/* What to do about it stands in the row of the proof. */
}

/* ---- the proof ---- */

static void
no_group(struct finding *ret, const char *reason)
{
	finding_set(
	    ret, STATE_WEAKER, "%.200s; memory is watched and limited per process instead", reason);
	mend_cgroup(ret);
}

/* What could be set, and what could not. */
static void
describe_group(struct finding *ret, const struct cgroup_host *host)
{
	char have[40] = "", lack[40] = "";
	unsigned mask = cgroup_host_controllers(host);
	for (unsigned i = 0; i < ARRAY_LEN(controllers); i++)
		text_add((mask & 1u << i) != 0 ? have : lack, sizeof(have), " %s", controllers[i]);
	bool v1 = cgroup_host_version(host) == CGROUP_V1;
	finding_set(ret, lack[0] == 0 ? STATE_OK : STATE_WEAKER,
	    "version %d below %.120s; limits set and read:%s%s%s", v1 ? 1 : 2,
	    cgroup_host_base(host), have, lack[0] != 0 ? "; not available:" : "", lack);
	if (lack[0] != 0)
		mend_cgroup(ret);
}

/* Takes a group, sets limits on it and reads them back, as the supervisor does. */
void
check_cgroup(struct finding *ret)
{
	struct cgroup_host *host = cgroup_host_new();
	struct cgroup *group = NULL;
	struct error err = {0};
	if (host == NULL || cgroup_host_version(host) == CGROUP_NONE) {
		no_group(ret, host == NULL ? "out of memory" : cgroup_host_reason(host));
		cgroup_host_free(host);
		return;
	}
	const struct cgroup_limits limits = {
	    .memory_bytes = 64 * MIB, .processes = 16, .cpu_millis = 500};
	int r = cgroup_take(host, &group);
	if (r < 0)
		(void)error_set_errno(
		    &err, -r, "cgroup", "a group cannot be made in %.150s", cgroup_host_base(host));
	else
		r = cgroup_limit(group, &limits, &err);
	if (r < 0)
		no_group(ret, err.message);
	else
		describe_group(ret, host);
	cgroup_give_back(group);
	cgroup_host_free(host);
}
