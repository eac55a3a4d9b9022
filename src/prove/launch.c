#include "prove/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "ipc/msg.h"
#include "prove/order.h"
#include "sandbox/ids.h"
#include "sandbox/plan.h"
#include "sys/process.h"

#define DESCRIPTORS 5
#define ARGUMENTS_MAX 96
#define EVERY_ID 4294967295u
#define INNER_PROGRAM PLAN_WORKSPACE "/rf-attack"
/* add_limits says them in words. */
/* NOLINTBEGIN(misc-redundant-expression): that they are the same is what is asserted */
_Static_assert(LIMIT_MEMORY == 32 << 20 && LIMIT_PROCESSES == 32 && LIMIT_DISK == 16 << 20 &&
	LIMIT_FILES == 64 && LIMIT_CPU_PERCENT == 25 && LIMIT_WALL_MS == 1000 && LIMIT_CPU_S == 1 &&
	LIMIT_OUTPUT == 1 << 20,
    "the options of start_sandbox");
/* NOLINTEND(misc-redundant-expression) */

bool
launch_private_root(
    const struct prove *p, const struct attack *attack, enum place place, enum lock lock)
{
	return (attack->needs & ITS_OWN_LOCKS) == 0 &&
	    (place == PLACE_SANDBOX ||
		(place == PLACE_LOCK && (lock == LOCK_ROOT || means_of(p, attack, lock).product)));
}

/* ---- what every start has ---- */

struct streams {
	int in, out, err; /* the child's ends; owned until the start */
};

static int
make_pipe(int *ret_ours, int *ret_theirs, bool we_read)
{
	int pair[2];
	if (pipe2(pair, O_CLOEXEC) < 0)
		return -errno;
	*ret_ours = pair[we_read ? 0 : 1];
	*ret_theirs = pair[we_read ? 1 : 0];
	return fcntl(*ret_ours, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static int
make_streams(struct actor *a, const struct launch *l, struct streams *s)
{
	*s = (struct streams){-1, -1, -1};
	int r = make_pipe(&a->out, &s->out, true);
	if (r == 0)
		r = make_pipe(&a->err, &s->err, true);
	if (r == 0 && l->input)
		r = make_pipe(&a->in, &s->in, false);
	return r;
}

static void
close_streams(struct streams *s)
{
	int *const fds[] = {&s->in, &s->out, &s->err};
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		if (*fds[i] >= 0)
			(void)close(TAKE_FD(*fds[i]));
}

static size_t
add_arguments(const char **argv, size_t n, const struct json *list, size_t from)
{
	for (size_t i = from; i < json_len(list) && n < ARGUMENTS_MAX - 1; i++)
		argv[n++] = json_str(json_at(list, i), "");
	argv[n] = NULL;
	return n;
}

static int
start(struct actor *a, const struct launch *l, struct process_spec *spec, const struct streams *s,
    int fourth)
{
	int fds[DESCRIPTORS] = {s->in, s->out, s->err, fourth, a->p->leak_fd};
	spec->fds = fds;
	spec->n_fds = (l->attack->needs & NEEDS_LEAK) != 0 ? DESCRIPTORS : DESCRIPTORS - 1;
	return process_start(spec, &a->pid, &a->pidfd);
}

/* ---- on the host, and in the product ---- */

static int
start_program(struct actor *a, const struct launch *l, int program, const char *const *argv,
    const struct streams *s, struct error *err)
{
	char mark[40], state[120], config[120], home[120],
	    runtime[] = "PATH=/usr/bin:/bin:/usr/sbin:/sbin";
	(void)snprintf(mark, sizeof(mark), "RINGFENCE_TRIAL=%u", l->number);
	(void)snprintf(state, sizeof(state), "RINGFENCE_STATE=%s", a->p->state);
	(void)snprintf(config, sizeof(config), "RINGFENCE_CONFIG=%s/config.yaml", a->p->base);
	(void)snprintf(home, sizeof(home), "HOME=%s", a->p->base);
	const char *const env[] = {mark, state, config, home, runtime, NULL};
	struct process_spec spec = {
	    /* Without us, and the supervisor that we end, the CLI would start another. */
	    .program_fd = program,
	    .argv = argv,
	    .envp = env,
	    .unblock_signals = true,
	    .die_with_parent = true};
	int r = start(a, l, &spec, s, /* fourth= */ -1);
	return r < 0 ? error_set_errno(err, -r, "prove_failed", "cannot start %s", argv[0]) : 0;
}

/* The limits of this row's sandbox, as options, which only ever tighten the policy: all of them for an attack
 * on limits, and the clocks only for an attack on those. */
static size_t
add_limits(const char **argv, size_t n, const struct launch *l)
{
	static const char *const bounded[] = {
	    "--memory=32MiB", "--processes=32", "--disk=16MiB", "--open-files=64"};
	bool alone = l->place == PLACE_LOCK;
	bool group = false, wall = false, cpu = false, output = false, watch = false;
	for (size_t i = 0; i < ATTACK_LOCKS_MAX; i++) {
		enum lock lock = alone ? l->lock : l->attack->locks[i];
		group |= lock == LOCK_CGROUP;
		wall |= lock == LOCK_WALL;
		cpu |= lock == LOCK_CPU_CLOCK;
		output |= lock == LOCK_OUTPUT;
		watch |= lock == LOCK_WATCH;
	}
	if (!alone && (l->attack->needs & NEEDS_BOUNDS) != 0)
		for (size_t i = 0; i < ARRAY_LEN(bounded); i++)
			argv[n++] = bounded[i];
	else if (watch)
		argv[n++] = bounded[0];
	if (!alone && group)
		argv[n++] = "--cpu=0.25";
	if (wall)
		argv[n++] = "--wall=1s";
	if (cpu)
		argv[n++] = "--cpu-time=1s";
	if (output)
		argv[n++] = "--output=1MiB";
	return n;
}

static int
start_sandbox(struct actor *a, const struct launch *l, const struct streams *s, struct error *err)
{
	char policy[120];
	bool listed = (l->attack->needs & NEEDS_LISTED) != 0;
	const char *argv[ARGUMENTS_MAX] = {
	    "ringfence", "run", "--policy", policy, "--workspace", l->workspace, "--discard"};
	const char *name = listed ? "listed"
	    : (l->attack->needs & NEEDS_INTERNET) != 0
	    ? internet_policy(l->place == PLACE_LOCK ? l->lock : LOCK_NONE)
	    : "prove";
	(void)snprintf(policy, sizeof(policy), "%s/%s.yaml", a->p->base, name);
	size_t n = add_limits(argv, 7, l);
	argv[n++] = "--";
	argv[n++] = listed ? a->p->attack_path : INNER_PROGRAM;
	(void)add_arguments(argv, n, l->argv, 1);
	return start_program(a, l, a->p->cli_fd, argv, s, err);
}

static int
start_host(struct actor *a, const struct launch *l, const struct streams *s, struct error *err)
{
	const char *argv[ARGUMENTS_MAX];
	(void)add_arguments(argv, 0, l->argv, 0);
	return start_program(a, l, a->p->attack_fd, argv, s, err);
}

/* ---- with one lock: by rf-prove-init ---- */

struct ids {
	unsigned inner, outer, count;
	bool change;
};

static struct json *
string_array(const char *one, const char *two)
{
	struct json *list = json_new_array();
	(void)json_push(list, json_new_string(one));
	if (two != NULL)
		(void)json_push(list, json_new_string(two));
	return list;
}

/* Locks that are another id. Limits too: the kernel does not count the processes of the host's root. */
static bool
becomes_other(const struct launch *l)
{
	return l->place == PLACE_LOCK &&
	    (l->lock == LOCK_USER_NS || l->lock == LOCK_OTHER_UID || l->lock == LOCK_RLIMITS);
}

static int
choose_ids(const struct prove *p, const struct launch *l, struct ids *ret, struct error *err)
{
	bool ns_root = means_of(p, l->attack, l->place == PLACE_LOCK ? l->lock : LOCK_NONE).ns_root;
	uid_t pair;
	if (!p->root) {
		*ret = (struct ids){ns_root ? 0 : getuid(), getuid(), 1, false};
		return 0;
	}
	/* Where the namespace is only the way to the lock, everybody stays who they are. */
	*ret = (struct ids){0, 0, EVERY_ID, false};
	if (!becomes_other(l))
		return 0;
	int r = ids_next_pair(&pair, err);
	if (r < 0)
		return r;
	*ret = (struct ids){l->lock == LOCK_USER_NS ? PLAN_UID : pair, pair, 1, true};
	return 0;
}

static void
add_rlimits(struct json *order)
{
	struct json *limits = json_new_object();
	(void)json_set_int(limits, "open_files", LIMIT_FILES);
	(void)json_set_int(limits, "processes", LIMIT_PROCESSES);
	(void)json_set_int(limits, "file_bytes", LIMIT_DISK);
	(void)json_set_int(limits, "data_bytes", LIMIT_MEMORY);
	(void)json_set(order, "rlimits", limits);
	(void)json_set_int(order, "cpu_s", LIMIT_CPU_S);
}

static void
add_bounds(struct json *order, const struct launch *l, bool grouped)
{
	struct json *bounds = json_new_object();
	if ((l->attack->needs & NEEDS_BOUNDS) != 0) {
		(void)json_set_int(bounds, "open_files", BOUND_FILES);
		(void)json_set_int(
		    bounds, "file_bytes", BOUND_MEMORY); /* files in memory are files too */
		/* For a user it counts all that this user runs, also elsewhere: a margin above that. */
		if (!grouped)
			(void)json_set_int(bounds, "processes", BOUND_PROCESSES + 4096);
	}
	(void)json_set(order, "bounds", bounds);
}

static bool
is_listed(const struct launch *l)
{
	return l->place == PLACE_LOCK && l->lock == LOCK_LISTED;
}

static struct json *
make_order(const struct actor *a, const struct launch *l, const struct means *means,
    const struct ids *ids, unsigned groups)
{
	const struct prove *p = a->p;
	struct json *order = json_new_object(), *scratch = json_new_object();
	bool limited = l->place == PLACE_LOCK && (l->lock == LOCK_SCRATCH || l->lock == LOCK_ROOT);
	char program[100], mark[40];
	(void)snprintf(program, sizeof(program), "%s/rf-attack", p->tmp);
	(void)snprintf(mark, sizeof(mark), "RINGFENCE_TRIAL=%u", l->number);
	(void)json_set(order, "locks",
	    l->place == PLACE_LOCK ? string_array(lock_name(l->lock), NULL) : json_new_array());
	(void)json_set_str(order, "program",
	    launch_private_root(p, l->attack, l->place, l->lock) ? INNER_PROGRAM : program);
	(void)json_set(order, "argv", json_copy(l->argv));
	(void)json_set(order, "env", string_array(mark, "PATH=/usr/bin:/bin:/usr/sbin:/sbin"));
	if (becomes_other(l)) {
		struct json *become = json_new_object();
		(void)json_set_int(become, "uid", ids->inner);
		(void)json_set_int(become, "gid", p->root ? ids->inner : getgid());
		(void)json_set_bool(become, "change", ids->change);
		(void)json_set(order, "ids", become);
	}
	(void)json_set_bool(order, "mounts", (means->namespaces & CLONE_NEWNS) != 0);
	(void)json_set_bool(order, "proc", (means->namespaces & CLONE_NEWPID) != 0);
	(void)json_set_bool(order, "cgroup_ns", means->ns_root);
	if (!l->fixture)
		(void)json_set_str(order, "dir", l->dir);
	(void)json_set_int(scratch, "bytes", limited ? LIMIT_DISK : BOUND_DISK);
	(void)json_set_int(scratch, "inodes", limited ? LIMIT_INODES : BOUND_INODES);
	(void)json_set(order, "scratch", scratch);
	(void)json_set(order, "view", json_copy(p->view));
	(void)json_set_str(order, "workspace", l->workspace);
	(void)json_set_int(order, "filter", is_listed(l) ? p->listed_length : p->filter_length);
	(void)json_set_int(order, "cgroups", groups);
	add_rlimits(order);
	add_bounds(order, l, groups > 0);
	return order;
}

/* The control group: the lock itself, or the sacrificial one around an attack on what it would bound. */
static int
take_group(struct actor *a, const struct launch *l, struct error *err)
{
	bool lock = l->place == PLACE_LOCK && l->lock == LOCK_CGROUP;
	if (!lock && (l->attack->needs & NEEDS_BOUNDS) == 0)
		return 0;
	struct cgroup_limits limits = {
	    .memory_bytes = lock ? LIMIT_MEMORY : BOUND_MEMORY,
	    .processes = lock ? LIMIT_PROCESSES : BOUND_PROCESSES,
	    .cpu_millis = lock ? LIMIT_CPU_PERCENT * 10 : 0,
	};
	int r = cgroup_take(a->p->cgroups, &a->group);
	if (r == -EOPNOTSUPP && !lock)
		return 0; /* rlimits and the attack's own measure bound it */
	if (r < 0)
		return error_set_errno(err, -r, "prove_failed", "cannot make a control group");
	return cgroup_limit(a->group, &limits, err);
}

static int
start_init(struct actor *a, const struct launch *l, const struct means *means,
    const struct ids *ids, const struct streams *s, struct error *err)
{
	static const char *const argv[] = {"rf-prove-init", NULL};
	int pair[2];
	int r = msg_pair(pair);
	if (r < 0)
		return error_set_errno(err, -r, "prove_failed", "no socket pair");
	_cleanup_close_ int theirs = pair[1];
	a->control = pair[0];
	struct process_spec spec = {.program_fd = a->p->init_fd,
	    .argv = argv,
	    .envp = argv + 1,
	    .keep_caps = (means->namespaces & CLONE_NEWUSER) != 0,
	    .die_with_parent = true,
	    .namespaces = means->namespaces};
	r = start(a, l, &spec, s, theirs);
	if (r < 0)
		return error_set(err, EOPNOTSUPP, "no_namespaces",
		    "the host does not let us make its namespaces: %s", strerror(-r));
	if (!spec.keep_caps)
		return 0;
	gid_t inner_gid = a->p->root || means->ns_root ? ids->inner : getgid();
	r = process_map_ids(a->pid, ids->inner, ids->outer, inner_gid,
	    a->p->root ? ids->outer : getgid(), ids->count, !a->p->root);
	return r < 0 ? error_set_errno(err, -r, "prove_failed", "cannot map ids") : 0;
}

static int
start_locked(struct actor *a, const struct launch *l, const struct streams *s, struct error *err)
{
	enum lock lock = l->place == PLACE_LOCK ? l->lock : LOCK_NONE;
	struct means means = means_of(a->p, l->attack, lock);
	struct ids ids;
	int r = choose_ids(a->p, l, &ids, err);
	if (r == 0)
		r = take_group(a, l, err);
	if (r == 0)
		r = start_init(a, l, &means, &ids, s, err);
	if (r < 0)
		return r;
	int fds[1 + CGROUP_CONTROLLERS] = {is_listed(l) ? a->p->listed_fd : a->p->filter_fd};
	const int *entries;
	unsigned groups = a->group == NULL ? 0 : cgroup_entry_fds(a->group, &entries);
	for (unsigned i = 0; i < groups; i++)
		fds[1 + i] = entries[i];
	_cleanup_json_ struct json *order = make_order(a, l, &means, &ids, groups);
	r = msg_send(a->control, PROVE_ORDER, 0, order, fds, 1 + groups);
	return r < 0 ? error_set_errno(err, -r, "prove_failed", "rf-prove-init does not listen")
		     : 0;
}

int
launch_start(struct actor *a, const struct launch *l, struct error *err)
{
	struct streams s;
	struct means means =
	    means_of(a->p, l->attack, l->place == PLACE_LOCK ? l->lock : LOCK_NONE);
	if (l->place == PLACE_LOCK && means.without != NULL)
		return error_set(err, EOPNOTSUPP, "not_available", "%s", means.without);
	int r = make_streams(a, l, &s);
	if (r < 0)
		r = error_set_errno(err, -r, "prove_failed", "no pipes");
	else if (l->place == PLACE_SANDBOX || means.product)
		r = start_sandbox(a, l, &s, err);
	else if (l->place == PLACE_HOST)
		r = start_host(a, l, &s, err);
	else
		r = start_locked(a, l, &s, err);
	close_streams(&s);
	if (r == 0 && actor_listen(a) < 0)
		r = error_set(err, ENOMEM, "no_memory", "out of memory");
	return r;
}
