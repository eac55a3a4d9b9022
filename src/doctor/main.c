/* rf-doctor: what this host can enforce, and how to mend the rest (`ringfence doctor`).
 *
 * Runs as the calling user, with that user's rights, because the question is what *they* can enforce.
 * Reads /proc and /sys and tries things in processes of its own; changes nothing that outlives them,
 * and sees no secret. Input from others: none.
 *
 * Exit code 0 if the built-in policy `isolated` can run here, else 1; 2 for wrong usage. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "doctor/doctor.h"
#include "policy/policy.h"

static const struct check checks[] = {
    {"kernel", "", check_kernel, NULL},
    {"system calls", "", check_system_calls, NULL},
    {"user namespaces", "user-ns", NULL, mend_namespaces},
    {"namespaces", "pid-ns mount-ns net-ns ipc-ns uts-ns cgroup-ns", NULL, mend_namespaces},
    {"namespace limits", "", check_namespace_limits, NULL},
    {"private /proc", "", NULL, mend_proc},
    {"seccomp", "seccomp no-new-privs", NULL, mend_seccomp},
    {"landlock", "landlock", NULL, mend_landlock},
    {"landlock rights", "", check_landlock_rights, NULL},
    {"cgroups", "memory-limit process-limit cpu-limit", check_cgroup, NULL},
    {"cgroup layout", "", check_cgroup_layout, NULL},
    {"overlay", "", NULL, mend_overlay},
    {"idmapped mounts", "", NULL, mend_idmap},
    {"this directory", "", NULL, mend_here},
    {"keyrings", "", NULL, NULL},
    {"yama", "", check_yama, NULL},
    {"security modules", "", check_modules, NULL},
    {"container", "", check_container, NULL},
    {"memory", "", check_memory, NULL},
    {"processes", "", check_processes, NULL},
    {"disk", "disk-limit", check_disk, NULL},
    {"network", "", check_network, NULL},
    {"programs", "", check_programs, NULL},
    {"isolated runs", "", NULL, mend_run},
};

static const char *const state_names[] = {"ok", "weaker", "missing"};

struct report {
	struct finding findings[ARRAY_LEN(checks)];
	bool floor[ARRAY_LEN(checks)]; /* the floor of `isolated` needs it */
	bool can_run;
};

/* Marks the checks that the floor of `isolated` depends on. */
static int
read_floor(struct report *report, struct error *err)
{
	const char *text = policy_builtin("isolated");
	struct policy *policy = NULL;
	if (text == NULL)
		return error_set(err, ENOENT, "no_policy", "this build has no policy `isolated`");
	int r = policy_load(text, strlen(text), "isolated", &policy, err);
	if (r < 0)
		return r;
	_cleanup_json_ struct json *sandbox = policy_sandbox(policy);
	const struct json *floor = json_get(sandbox, "floor");
	for (size_t i = 0; i < json_len(floor); i++)
		for (size_t k = 0; k < ARRAY_LEN(checks); k++)
			if (doctor_has_word(
				checks[k].terms, json_get_str(json_at(floor, i), "term", "?")))
				report->floor[k] = true;
	policy_free(policy);
	return 0;
}

static void
examine(struct report *report)
{
	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		struct finding *f = &report->findings[i];
		if (checks[i].direct != NULL)
			checks[i].direct(f);
		else
			probe_run(checks[i].name, f);
		if (f->state != STATE_OK && checks[i].mend != NULL)
			checks[i].mend(f);
	}
	/* The last row is the proof: everything above only explains it. */
	report->can_run = report->findings[ARRAY_LEN(checks) - 1].state == STATE_OK;
}

static void
print_people(const struct report *report)
{
	static const char *const colours[] = {"\033[32m", "\033[33m", "\033[31m"};
	const char *none = getenv("NO_COLOR");
	bool colour = isatty(STDOUT_FILENO) == 1 && (none == NULL || none[0] == 0);
	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		const struct finding *f = &report->findings[i];
		(void)printf("%s%-8s%s %-16s %s\n", colour ? colours[f->state] : "",
		    state_names[f->state], colour ? "\033[0m" : "", checks[i].name, f->detail);
		if (f->state != STATE_OK && checks[i].terms[0] != 0)
			(void)printf("         %-16s floor terms: %s%s\n", "", checks[i].terms,
			    report->floor[i] ? " (`isolated` needs them)" : "");
		if (f->state != STATE_OK && f->fix[0] != 0)
			(void)printf("         %-16s to mend: %s\n", "", f->fix);
	}
	(void)printf("\n%s\n",
	    report->can_run ? "The built-in policy `isolated` runs on this host."
			    : "The built-in policy `isolated` does not run on this host.");
}

static int
print_json(const struct report *report)
{
	_cleanup_json_ struct json *root = json_new_object();
	struct json *rows = json_new_array();
	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		const struct finding *f = &report->findings[i];
		struct json *row = json_new_object(), *terms = json_new_array();
		(void)json_set_str(row, "name", checks[i].name);
		(void)json_set_str(row, "state", state_names[f->state]);
		(void)json_set_str(row, "detail", f->detail);
		if (f->fix[0] != 0)
			(void)json_set_str(row, "fix", f->fix);
		for (const char *at = checks[i].terms; *at != 0;) {
			size_t len = strcspn(at, " ");
			(void)json_push(terms, json_new_string_n(at, len));
			at += len + (at[len] == ' ');
		}
		(void)json_set(row, "floor_terms", terms);
		(void)json_set_bool(row, "isolated_needs", report->floor[i]);
		if (f->facts != NULL)
			(void)json_set(row, "facts", json_copy(f->facts));
		(void)json_push(rows, row);
	}
	(void)json_set(root, "checks", rows);
	(void)json_set_bool(root, "isolated_runs", report->can_run);
	_cleanup_buf_ struct buf out;
	buf_init(&out, 1 << 20);
	if (json_write(root, &out) < 0)
		return -ENOMEM;
	(void)printf("%s\n", buf_str(&out));
	return 0;
}

int
main(int argc, char **argv)
{
	static struct report report;
	bool json = argc == 2 && strcmp(argv[1], "--json") == 0;
	struct error err = {0};
	if (argc == 3 && strcmp(argv[1], "--probe") == 0)
		_exit(
		    probe_main(argv[2])); /* nothing may run at exit: the probe may be locked in */
	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		(void)printf("usage: ringfence doctor [--json]\n\nWhat this host can enforce, and "
			     "how to mend "
			     "the rest. Exit code 0 if the built-in\npolicy `isolated` can run "
			     "here, else 1.\n");
		return 0;
	}
	if (argc > 1 && !json) {
		(void)fprintf(stderr,
		    "ringfence: doctor: unknown argument %.60s; usage: ringfence doctor "
		    "[--json]\n",
		    argv[1]);
		return 2;
	}
	int r = read_floor(&report, &err);
	if (r < 0) {
		(void)fprintf(stderr, "ringfence: doctor: %s\n", err.message);
		return 1;
	}
	examine(&report);
	if (json)
		(void)print_json(&report);
	else
		print_people(&report);
	for (size_t i = 0; i < ARRAY_LEN(checks); i++)
		finding_done(&report.findings[i]);
	return fflush(stdout) == 0 && report.can_run ? 0 : 1;
}
