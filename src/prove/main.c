/* rf-prove: `ringfence prove` — attacks on the sandbox, tried on this machine.
 *
 * Each attack runs without any lock (it must succeed, else it proves nothing), with each lock that is meant to
 * hold it as the only one, and in a real sandbox of the product.
 *
 *   uid           the caller's; as root it proves what root's sandboxes hold
 *   paths         directories of its own below /var/tmp and /tmp, gone afterwards
 *   peers         a Ringfence of its own, in a state directory that did not exist before
 *   sees          no secret. It speaks to no running service and reads nobody's state
 *   executes      rf-attack (no attack does harm where nothing holds it), rf-prove-init (one lock at a time),
 *                 rf-supervisor and ringfence (the product, unchanged)
 *   if compromised, an attacker has what the caller has
 *
 * Exit code 0: every controlled attack is held by all, and by each lock that is named for it. 1: one is not,
 * or gave no answer. 2: wrong usage. 125: nothing could be proved. 130: interrupted. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "ipc/paths.h"
#include "prove/prove.h"

#define BAD_USAGE 2
#define FAILED 125
#define INTERRUPTED 130

static const char help[] =
    "usage: ringfence prove [options]\n\n"
    "Tries attacks on the sandbox, on this machine: without locks (they must succeed), with each\n"
    "lock alone, and with all. It touches no running service and leaves nothing behind.\n\n"
    "  --only NAME     one attack, or all of a boundary; may be repeated\n"
    "  --list          what would be tried\n"
    "  --json          the result as JSON\n"
    "  --html FILE     the result as one page, for printing\n"
    "  --since AGE     and what no action has needed since: ringfence policy unused\n"
    "  --jobs N        attacks at a time (4)\n"
    "  --quiet         no progress\n\n"
    "Exit code 0 if every attack that has a control is held, by all locks together and by each "
    "that\n"
    "is named for it; 1 if not.\n";

/* ---- options ---- */

static int
bad_usage(const char *what, const char *which)
{
	(void)fprintf(
	    stderr, "ringfence: prove: %s%.60s; see ringfence prove --help\n", what, which);
	return BAD_USAGE;
}

static bool
matches(const struct attack *attack, const char *word)
{
	return strcmp(attack->name, word) == 0 ||
	    strcmp(boundary_name(attack->boundary), word) == 0;
}

static bool
is_wanted(const struct options *o, const struct attack *attack)
{
	for (size_t i = 0; i < o->n_only; i++)
		if (matches(attack, o->only[i]))
			return true;
	return o->n_only == 0;
}

static bool
matches_any(const char *word)
{
	const struct attack *attack;
	for (size_t i = 0; (attack = attack_at(i)) != NULL; i++)
		if (matches(attack, word))
			return true;
	return false;
}

/* The option with a value. 0, or an exit code. */
static int
take_value(struct options *o, const char *name, const char *value)
{
	if (strcmp(name, "--html") == 0) {
		o->html = value;
		o->html_fd = open(value, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		if (o->html_fd < 0) {
			(void)fprintf(stderr, "ringfence: prove: cannot write %s: %s\n", value,
			    strerror(errno));
			return FAILED;
		}
	} else if (strcmp(name, "--jobs") == 0) {
		char *end;
		unsigned long n = strtoul(value, &end, 10);
		if (*end != 0 || n < 1 || n > JOBS_MAX)
			return bad_usage("--jobs takes 1 to 16, not ", value);
		o->jobs = (unsigned)n;
	} else if (strcmp(name, "--since") == 0) {
		o->since = value;
	} else if (strcmp(name, "--only") == 0) {
		if (!matches_any(value))
			return bad_usage("no attack or boundary is called ", value);
		o->only[o->n_only++] = value;
	} else {
		return bad_usage("unknown option ", name);
	}
	return 0;
}

static int
parse(struct options *o, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			o->json = true;
		} else if (strcmp(argv[i], "--list") == 0) {
			o->list = true;
		} else if (strcmp(argv[i], "--quiet") == 0) {
			o->quiet = true;
		} else if (i + 1 == argc || strncmp(argv[i], "--", 2) != 0) {
			return bad_usage(i + 1 == argc && strncmp(argv[i], "--", 2) == 0
				? "unknown option, or without its value: "
				: "unexpected ",
			    argv[i]);
		} else {
			int code = take_value(o, argv[i], argv[i + 1]);
			if (code != 0)
				return code;
			i++;
		}
	}
	return 0;
}

/* ---- rows ---- */

/* Whether a sandbox with `executables: listed` can show rf-attack where it lies (sandbox/listed.h). */
static bool
can_be_listed(const struct prove *p)
{
	return strncmp(p->attack_path, "/tmp/", 5) != 0 &&
	    strncmp(p->attack_path, "/var/tmp/", 9) != 0;
}

static const char *
why_not_tested(const struct prove *p, const struct attack *attack)
{
	if (attack->not_tested != NULL)
		return attack->not_tested;
	if (!p->root && (attack->needs & (NEEDS_ROOT | NEEDS_NS_ROOT)) == NEEDS_ROOT)
		return "only the host's root could do it";
	if ((attack->needs & NEEDS_LISTED) != 0 && !can_be_listed(p))
		return "rf-attack lies in a temporary directory, which a listed root does not show";
	return NULL;
}

static int
make_rows(struct prove *p)
{
	const struct attack *attack;
	size_t n = 0;
	while (attack_at(n) != NULL)
		n++;
	p->rows = calloc(n + 1, sizeof(*p->rows));
	for (size_t i = 0; p->rows != NULL && (attack = attack_at(i)) != NULL; i++) {
		if (!is_wanted(&p->options, attack))
			continue;
		struct row *row = &p->rows[p->n_rows++];
		row->attack = attack;
		row->not_tested = why_not_tested(p, attack);
		row->locks =
		    !p->root && attack->rootless[0] != LOCK_NONE ? attack->rootless : attack->locks;
		while (row->n_locks < ATTACK_LOCKS_MAX && row->locks[row->n_locks] != LOCK_NONE)
			row->n_locks++;
	}
	return p->rows == NULL ? -ENOMEM : 0;
}

static int
report(const struct prove *p)
{
	struct error err = {0};
	if (p->options.html != NULL && report_html(p, &err) < 0) {
		(void)fprintf(stderr, "ringfence: prove: %s\n", err.message);
		return FAILED;
	}
	if (p->options.json) {
		if (report_json(p) < 0)
			return FAILED;
	} else {
		report_text(p);
	}
	return fflush(stdout) == 0 ? verdict_exit_code(&p->summary) : FAILED;
}

static int
explain(const struct error *err)
{
	(void)fprintf(stderr, "ringfence: prove: %s\n", err->message);
	if (err->remedy[0] != 0)
		(void)fprintf(stderr, "  %s\n", err->remedy);
	return FAILED;
}

static int
prove(struct prove *p)
{
	struct error err = {0};
	int code = FAILED;
	int r = 0;
	if (p->options.since != NULL)
		r = unused_read(p->options.since, p->options.json, &p->unused, &err);
	if (r == 0)
		r = keeper_split(p, &err);
	if (r < 0)
		return explain(&err);
	r = stage_set(p, &err);
	if (r == 0)
		r = trials_run(p, &err);
	if (r == -EINTR)
		code = INTERRUPTED;
	else if (r < 0)
		code = explain(&err);
	else
		code = report(p);
	stage_strike(p);
	keeper_end_strays(p, -1);
	keeper_clean(p);
	return code;
}

int
main(int argc, char **argv)
{
	static struct prove p = {.init_fd = -1,
	    .attack_fd = -1,
	    .cli_fd = -1,
	    .leak_fd = -1,
	    .filter_fd = -1,
	    .listed_fd = -1,
	    .supervisor = -1,
	    .internet = -1};
	p.root = geteuid() == 0;
	p.options.jobs = 4;
	p.options.only = calloc((size_t)argc + 1, sizeof(*p.options.only));
	if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		(void)fputs(help, stdout);
		return 0;
	}
	int code = p.options.only == NULL ? FAILED : parse(&p.options, argc, argv);
	if (code != 0)
		return code;
	struct error err = {0};
	if (paths_program("rf-attack", p.attack_path, &err) < 0)
		return explain(&err);
	if (make_rows(&p) < 0)
		return FAILED;
	if (p.options.list) {
		report_list(&p);
		return fflush(stdout) == 0 ? 0 : FAILED;
	}
	return prove(&p);
}
