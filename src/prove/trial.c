#include "prove/trial.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "prove/order.h"
#include "prove/tree.h"
#include "sandbox/plan.h"

/* Only so that a failure ends: no finding depends on it. */
#define PATIENCE_MS 60000
#define RUN_FAILED 125 /* and 126, 127: exit codes of ringfence run, doc/sandbox.md */
#define FAREWELL_MS 5000

enum state { PREPARING, ATTACKING, CHECKING, ENDING };

struct trial {
	struct prove *p;
	const struct attack *attack;
	enum place place;
	enum lock lock;
	unsigned number;
	enum state state;
	bool killed; /* ACT_KILL was done */
	char dir[96], neighbour_dir[96], own[96], outside_dir[120], workspace[120];
	struct actor outside, neighbour, actor, checker;
	struct timer *patience;
	struct deferred farewell;
	struct finding *finding;
	trial_done_fn *done;
	void *data;
};

static void on_change(struct actor *actor);

/* ---- the finding ---- */

static void
conclude(struct trial *t, enum outcome outcome, const char *detail)
{
	if (t->state == ENDING)
		return;
	t->finding->outcome = outcome;
	(void)snprintf(t->finding->detail, sizeof(t->finding->detail), "%s", detail);
	json_free(t->finding->engaged);
	t->finding->engaged = TAKE_PTR(t->actor.engaged);
	t->state = ENDING;
	actor_hang_up(&t->outside);
	actor_hang_up(&t->neighbour);
	actor_hang_up(&t->actor);
	actor_kill(&t->actor);
	actor_kill(&t->checker);
}

static void
conclude_error(struct trial *t, const char *what, const struct error *err, const struct actor *a)
{
	char text[240];
	const char *why = err != NULL && err->message[0] != 0 ? err->message
	    : a != NULL && a->complaint[0] != 0               ? a->complaint
							      : "no answer";
	(void)snprintf(text, sizeof(text), "%s%s", what, why);
	conclude(t, OUTCOME_BROKEN, text);
}

/* The answer of an attack that spoke. */
static enum outcome
outcome_of(const struct json *result)
{
	const char *word = json_get_str(result, "result", "");
	if (strcmp(word, "succeeded") == 0)
		return OUTCOME_SUCCEEDED;
	if (strcmp(word, "held") == 0)
		return OUTCOME_HELD;
	return strcmp(word, "cannot") == 0 ? OUTCOME_CANNOT : OUTCOME_BROKEN;
}

/* Whether the product, or rf-prove-init, failed to run it at all. */
static bool
was_not_run(const struct actor *a)
{
	return WIFEXITED(a->status) && WEXITSTATUS(a->status) >= RUN_FAILED &&
	    WEXITSTATUS(a->status) <= RUN_FAILED + 2;
}

/* What an attack's silence means: that it was ended, where locks end it. */
static void
conclude_silence(struct trial *t)
{
	const struct actor *a = &t->actor;
	char text[160];
	int status = a->status;
	if (a->failed) {
		conclude(t, OUTCOME_UNAVAILABLE, a->error.message);
	} else if (a->started && (t->attack->needs & SILENCE_HOLDS) != 0 && !was_not_run(a)) {
		conclude(
		    t, OUTCOME_HELD, t->killed ? "ended with what started it" : "it was ended");
	} else if (WIFSIGNALED(status)) {
		(void)snprintf(text, sizeof(text), "ended by signal %d: ", WTERMSIG(status));
		conclude_error(t, text, NULL, a);
	} else {
		(void)snprintf(text, sizeof(text), "exit code %d: ", WEXITSTATUS(status));
		conclude_error(t, text, NULL, a);
	}
}

/* ---- what is told to whom ---- */

static void
push_pair(struct json *argv, const char *key, const char *value)
{
	char pair[320];
	(void)snprintf(pair, sizeof(pair), "%s=%s", key, value);
	(void)json_push(argv, json_new_string(pair));
}

static void
push_pairs(struct json *argv, const struct json *pairs)
{
	for (size_t i = 0; i < json_len(pairs); i++)
		push_pair(argv, json_name_at(pairs, i), json_str(json_at(pairs, i), ""));
}

/* The directory in which rf-attack lies. */
static void
push_programs(struct json *argv, const struct prove *p)
{
	char pair[sizeof(p->attack_path) + 16];
	int length = (int)(strrchr(p->attack_path, '/') - p->attack_path);
	(void)snprintf(pair, sizeof(pair), "programs=%.*s", length, p->attack_path);
	(void)json_push(argv, json_new_string(pair));
}

/* The arguments of the attack; with HOST those of its check, to which the host's paths mean something. */
static struct json *
attack_arguments(const struct trial *t, bool host)
{
	const struct attack *attack = t->attack;
	bool private = !host && launch_private_root(t->p, t->attack, t->place, t->lock);
	struct json *argv = json_new_array();
	char text[160];
	(void)json_push(argv, json_new_string("rf-attack"));
	if (host)
		(void)json_push(argv, json_new_string("--check"));
	(void)json_push(argv, json_new_string(attack->name));
	push_pair(argv, "dir", private ? "/tmp" : t->dir);
	if ((attack->needs & NEEDS_BOUNDS) != 0)
		push_pair(argv, "bounded", "1");
	if ((attack->needs & NEEDS_LEAK) != 0) {
		(void)snprintf(text, sizeof(text), "%d", PROVE_LEAK_FD);
		push_pair(argv, "leak", text);
	}
	if ((attack->needs & NEEDS_WORKSPACE) != 0)
		push_pair(argv, "workspace", private ? PLAN_WORKSPACE : t->workspace);
	if ((attack->needs & ITS_OWN_LOCKS) != 0)
		push_pair(argv, "locks",
		    t->place == PLACE_LOCK          ? lock_name(t->lock)
			: t->place == PLACE_SANDBOX ? "all"
						    : "none");
	if ((attack->needs & NEEDS_PROGRAMS) != 0)
		push_programs(argv, t->p);
	if ((attack->needs & NEEDS_INTERNET) != 0) {
		(void)snprintf(text, sizeof(text), "%u", t->number);
		push_pair(argv, "trial", text);
		push_pairs(argv, t->p->internet_keys);
	}
	if ((attack->needs & NEEDS_STATE) != 0) {
		push_pair(argv, "state", t->p->state);
		(void)snprintf(text, sizeof(text), "%s/run/supervisor.sock", t->p->state);
		push_pair(argv, "control", text);
		(void)snprintf(text, sizeof(text), "%d", (int)t->p->supervisor_pid);
		push_pair(argv, "supervisor", text);
	}
	push_pairs(argv, t->neighbour.fixtures);
	push_pairs(argv, t->outside.fixtures);
	return argv;
}

/* ---- starting ---- */

static int
start_fixture(
    struct trial *t, struct actor *a, enum place place, const char *dir, struct error *err)
{
	_cleanup_json_ struct json *argv = json_new_array();
	struct launch l = {.place = place,
	    .lock = t->lock,
	    .attack = t->attack,
	    .number = t->number,
	    .argv = argv,
	    .dir = dir,
	    .workspace = t->workspace,
	    .fixture = true,
	    .input = true};
	char number[16];
	(void)snprintf(number, sizeof(number), "%u", t->number);
	(void)json_push(argv, json_new_string("rf-attack"));
	(void)json_push(argv, json_new_string("--fixture"));
	push_pair(argv, a == &t->outside ? "outside" : "trial", number);
	push_pair(argv, "dir", launch_private_root(t->p, t->attack, place, t->lock) ? "/tmp" : dir);
	return launch_start(a, &l, err);
}

static bool
has_lock(const struct attack *attack, enum lock lock)
{
	for (size_t i = 0; i < ATTACK_LOCKS_MAX; i++)
		if (attack->locks[i] == lock)
			return true;
	return false;
}

static int
start_attack(struct trial *t, struct error *err)
{
	_cleanup_json_ struct json *argv = attack_arguments(t, /* host= */ false);
	/* What is killed is the attack itself, unless it is about the end of who started it. */
	bool bare = t->place == PLACE_CONTROL &&
	    (t->attack->needs & (ACT_KILL | NEEDS_NS_ROOT)) == ACT_KILL &&
	    !has_lock(t->attack, LOCK_PDEATH);
	bool its_own = (t->attack->needs & ITS_OWN_LOCKS) != 0;
	struct means means =
	    means_of(t->p, t->attack, t->place == PLACE_LOCK ? t->lock : LOCK_NONE);
	if (its_own && means.without != NULL)
		return error_set(err, EOPNOTSUPP, "not_available", "%s", means.without);
	if ((t->attack->needs & NEEDS_INTERNET) != 0 && t->p->internet_keys == NULL)
		return error_set(err, EOPNOTSUPP, "not_available", "%s", t->p->internet_missing);
	struct launch l = {.place = bare ? PLACE_HOST
		: its_own                ? PLACE_CONTROL
					 : t->place,
	    .lock = t->lock,
	    .attack = t->attack,
	    .number = t->number,
	    .argv = argv,
	    .dir = t->dir,
	    .workspace = t->workspace,
	    .input = (t->attack->needs & NEEDS_STDIN) != 0};
	return launch_start(&t->actor, &l, err);
}

static int
start_check(struct trial *t, struct error *err)
{
	_cleanup_json_ struct json *argv = attack_arguments(t, /* host= */ true);
	struct launch l = {.place = PLACE_HOST,
	    .attack = t->attack,
	    .number = t->number,
	    .argv = argv,
	    .dir = t->dir,
	    .workspace = t->workspace};
	return launch_start(&t->checker, &l, err);
}

static int
start_fixtures(struct trial *t, struct error *err)
{
	int r = 0;
	if ((t->attack->needs & NEEDS_OUTSIDE) != 0)
		r = start_fixture(t, &t->outside, PLACE_HOST, t->outside_dir, err);
	if (r == 0 && (t->attack->needs & NEEDS_NEIGHBOUR) != 0)
		r = start_fixture(t, &t->neighbour, t->place, t->neighbour_dir, err);
	return r;
}

/* ---- the neighbour ---- */

/* Whether /proc/NAME is the neighbour's own process, whoever started it: rf-attack --fixture trial=N …. */
static bool
is_neighbour(const struct trial *t, const char *name)
{
	char path[40], mark[24];
	static char text[4096];
	(void)snprintf(path, sizeof(path), "/proc/%.16s/cmdline", name);
	(void)snprintf(mark, sizeof(mark), "trial=%u", t->number);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return false;
	text[n] = 0;
	const char *second = text + strlen(text) + 1;
	const char *third = second < text + n ? second + strlen(second) + 1 : text + n;
	return second < text + n && third < text + n && strcmp(second, "--fixture") == 0 &&
	    strcmp(third, mark) == 0;
}

/* It knows its own number in its own namespace only; an attacker would look for the host's. */
static void
name_neighbour(struct trial *t)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	while (proc != NULL && (entry = readdir(proc)) != NULL)
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
		    is_neighbour(t, entry->d_name))
			(void)json_set_str(t->neighbour.fixtures, "pid", entry->d_name);
	if (proc != NULL)
		(void)closedir(proc);
}

/* ---- the steps ---- */

/* Whether fixture A can be aimed at; false also where it never will. */
static bool
fixture_ready(struct trial *t, const struct actor *a, unsigned need)
{
	if ((t->attack->needs & need) == 0 || a->ready)
		return true;
	if (a->failed)
		conclude(t, OUTCOME_UNAVAILABLE, a->error.message);
	else if (a->exited)
		conclude_error(t, "what it aims at ended: ", NULL, a);
	return false;
}

static void
step_preparing(struct trial *t)
{
	struct error err = {0};
	if (!fixture_ready(t, &t->outside, NEEDS_OUTSIDE) ||
	    !fixture_ready(t, &t->neighbour, NEEDS_NEIGHBOUR))
		return;
	if ((t->attack->needs & NEEDS_NEIGHBOUR) != 0)
		name_neighbour(t);
	t->state = ATTACKING;
	int r = start_attack(t, &err);
	if (r == -EOPNOTSUPP)
		conclude(t, OUTCOME_UNAVAILABLE, err.message);
	else if (r < 0)
		conclude_error(t, "", &err, NULL);
}

static void
step_attacking(struct trial *t)
{
	struct actor *a = &t->actor;
	struct error err = {0};
	bool kill = (t->attack->needs & ACT_KILL) != 0;
	if (kill && a->ready && !t->killed) {
		t->killed = true;
		actor_kill(a);
	}
	if (!a->exited)
		return;
	/* After ACT_KILL what it left behind speaks, or everybody who could is gone. */
	if (a->result == NULL && t->killed && !a->closed)
		return;
	if (a->result == NULL) {
		conclude_silence(t);
	} else if (outcome_of(a->result) == OUTCOME_SUCCEEDED &&
	    (t->attack->needs & CHECK_OUTSIDE) != 0) {
		t->state = CHECKING;
		if (start_check(t, &err) < 0)
			conclude_error(t, "", &err, NULL);
	} else {
		conclude(t, outcome_of(a->result), json_get_str(a->result, "detail", ""));
	}
}

static void
step_checking(struct trial *t)
{
	const struct actor *a = &t->checker;
	if (!a->exited)
		return;
	if (a->result == NULL)
		conclude_error(t, "the check: ", NULL, a);
	else
		conclude(t, outcome_of(a->result), json_get_str(a->result, "detail", ""));
}

static void
step_ending(struct trial *t)
{
	const struct actor *const actors[] = {&t->outside, &t->neighbour, &t->actor, &t->checker};
	for (size_t i = 0; i < ARRAY_LEN(actors); i++)
		if (actors[i]->watch_pid != NULL) /* until it has ended, if it ever began */
			return;
	loop_defer(t->p->loop, &t->farewell);
}

static void
step(struct trial *t)
{
	if (t->state == PREPARING)
		step_preparing(t);
	if (t->state == ATTACKING)
		step_attacking(t);
	if (t->state == CHECKING)
		step_checking(t);
	if (t->state == ENDING)
		step_ending(t);
}

static void
on_change(struct actor *actor)
{
	step(actor->trial);
}

/* First time: it takes too long. Second time: it does not even end. */
static void
on_patience(struct timer *timer, void *data)
{
	struct trial *t = data;
	(void)timer;
	t->patience = NULL;
	conclude(t, OUTCOME_BROKEN, "no answer in a minute");
	actor_kill(&t->outside);
	actor_kill(&t->neighbour);
	step(t);
}

/* ---- the beginning and the end ---- */

void
trial_abort(struct trial *t)
{
	struct actor *const actors[] = {&t->actor, &t->checker, &t->neighbour, &t->outside};
	t->patience = timer_cancel(t->patience);
	for (size_t i = 0; i < ARRAY_LEN(actors); i++)
		actor_end(actors[i]);
	/* One that has not been executed yet carries no mark of its trial, but is in its control group. */
	keeper_end_strays(t->p, t->p->stopping ? -1 : (int)t->number);
	for (size_t i = 0; i < ARRAY_LEN(actors); i++)
		actor_done(actors[i]); /* and gives back its control group, which is empty now */
	tree_remove(t->own);
	tree_remove(t->dir);
	tree_remove(t->neighbour_dir);
	free(t);
}

static void
say_farewell(void *data)
{
	struct trial *t = data;
	t->done(t, t->data);
	trial_abort(t);
}

static int
make_directories(struct trial *t)
{
	const struct prove *p = t->p;
	(void)snprintf(t->own, sizeof(t->own), "%s/t%u", p->base, t->number);
	(void)snprintf(t->outside_dir, sizeof(t->outside_dir), "%s/outside", t->own);
	(void)snprintf(t->workspace, sizeof(t->workspace), "%s/workspace", t->own);
	(void)snprintf(t->dir, sizeof(t->dir), "%s/%u", p->tmp, t->number);
	(void)snprintf(
	    t->neighbour_dir, sizeof(t->neighbour_dir), "%s/%u-neighbour", p->tmp, t->number);
	if (mkdir(t->own, 0711) < 0 || mkdir(t->outside_dir, 0711) < 0 || mkdir(t->dir, 0700) < 0 ||
	    mkdir(t->neighbour_dir, 0700) < 0 || chmod(t->dir, 01777) < 0 ||
	    chmod(t->neighbour_dir, 01777) < 0)
		return -errno;
	if ((t->attack->needs & NEEDS_WORKSPACE) != 0)
		return tree_copy_workspace(p, t->workspace);
	(void)snprintf(t->workspace, sizeof(t->workspace), "%s/workspace", p->base);
	return 0;
}

int
trial_start(struct prove *p, const struct row *row, enum place place, enum lock lock,
    unsigned number, struct finding *finding, struct trial **ret, trial_done_fn *done, void *data)
{
	struct error err = {0};
	struct trial *t = calloc(1, sizeof(*t));
	if (t == NULL)
		return -ENOMEM;
	t->p = p;
	t->attack = row->attack;
	t->place = place;
	t->lock = lock;
	t->number = number;
	t->finding = finding;
	t->done = done;
	t->data = data;
	t->farewell = (struct deferred){.fn = say_farewell, .data = t};
	actor_init(&t->outside, p, t, on_change);
	actor_init(&t->neighbour, p, t, on_change);
	actor_init(&t->actor, p, t, on_change);
	actor_init(&t->checker, p, t, on_change);
	int r = make_directories(t);
	if (r < 0)
		(void)error_set_errno(
		    &err, -r, "prove_failed", "cannot make the trial's directories");
	if (r == 0)
		r = loop_timer(p->loop, PATIENCE_MS, on_patience, t, &t->patience);
	if (r == 0)
		r = start_fixtures(t, &err);
	if (r == -EOPNOTSUPP)
		conclude(t, OUTCOME_UNAVAILABLE, err.message);
	else if (r < 0)
		conclude_error(t, "", &err, NULL);
	*ret = t;
	step(t); /* at most defers its end */
	return 0;
}
