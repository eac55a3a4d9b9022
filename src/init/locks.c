#include "init/locks.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "sandbox/plan.h"
#include "sys/landlock.h"
#include "sys/seccomp.h"
#include "sys/status.h"

#define FILTER_MAX 2048
#define RULES_MAX 2048

/* ---- Landlock ---- */

#define WRITABLE (LL_READ | LL_WRITE)

/* What is the same in every sandbox. */
static const struct landlock_path fixed[] = {
    {-1, "/", LL_READ_DIR},
    {-1, "/etc", LL_READ},
    {-1, "/proc", LL_READ},
    {-1, PLAN_NETWORK, LL_READ},
    {-1, "/dev/null", LL_READ_FILE | LL_WRITE_FILE | LL_TRUNCATE | LL_IOCTL_DEV},
    {-1, "/dev/zero", LL_READ_FILE | LL_WRITE_FILE | LL_IOCTL_DEV},
    {-1, "/dev/full", LL_READ_FILE | LL_WRITE_FILE | LL_IOCTL_DEV},
    {-1, "/dev/random", LL_READ_FILE | LL_WRITE_FILE | LL_IOCTL_DEV},
    {-1, "/dev/urandom", LL_READ_FILE | LL_WRITE_FILE | LL_IOCTL_DEV},
    {-1, "/dev/pts", LL_READ | LL_WRITE_FILE | LL_IOCTL_DEV},
};
static const char *const writable[] = {"/tmp", PLAN_HOME, PLAN_WORKSPACE};
static _Alignas(
    4096) struct landlock_path all_paths[RULES_MAX + ARRAY_LEN(fixed) + ARRAY_LEN(writable)];

/* Directories of /usr that programs open much in. Their rules repeat what /usr's says: Landlock walks up from a
 * file until a rule allows it, and is done sooner. Those that do not exist are left out. */
static const char *const busy[] = {"/usr/bin", "/usr/lib", "/usr/share", "/usr/include",
    "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib/python3",
    "/usr/lib/python3.11", "/usr/lib/python3.12", "/usr/lib/python3.13"};

/* Rules for what the view shows: as it says, or one for each of its binds. */
static size_t
add_view_rules(struct landlock_path *paths, size_t n, const struct json *view)
{
	const struct json *rules = json_get(view, "rules"), *binds = json_get(view, "binds");
	for (size_t i = 0; i < json_len(rules) && n < RULES_MAX; i++) {
		const struct json *rule = json_at(rules, i);
		uint64_t access = json_get_bool(rule, "file", false) ? LL_READ_FILE : LL_READ;
		if (json_get_bool(rule, "execute", false))
			access |= LL_EXECUTE;
		paths[n++] = (struct landlock_path){-1, json_get_str(rule, "path", ""), access};
	}
	for (size_t i = 0; rules == NULL && i < json_len(binds) && n < RULES_MAX; i++) {
		const struct json *bind = json_at(binds, i);
		const char *to = json_get_str(bind, "to", json_get_str(bind, "from", ""));
		uint64_t access = json_get_bool(bind, "file", false) ? LL_READ_FILE : LL_READ;
		paths[n++] = (struct landlock_path){-1, to, access | LL_EXECUTE};
		for (size_t k = 0; strcmp(to, "/usr") == 0 && k < ARRAY_LEN(busy) && n < RULES_MAX;
		     k++)
			paths[n++] = (struct landlock_path){-1, busy[k], access | LL_EXECUTE};
	}
	return n;
}

#define SCOPES (LL_SCOPE_ABSTRACT | LL_SCOPE_SIGNAL)

static void
note_rules(int abi, size_t n, struct json *evidence)
{
	struct json *rights = json_new_object();
	char text[24];
	(void)snprintf(text, sizeof(text), "%#llx", (unsigned long long)landlock_handled(abi));
	(void)json_set_str(rights, "handled_fs", text);
	(void)snprintf(
	    text, sizeof(text), "%#llx", (unsigned long long)landlock_scoped(abi, SCOPES));
	(void)json_set_str(rights, "scoped", text);
	(void)json_set(evidence, "landlock_rights", rights);
	(void)json_set_int(evidence, "landlock_rules", (int64_t)n);
}

/* The rules for VIEW as a descriptor; -EOPNOTSUPP where there is no Landlock, which is noted. */
static int
make_rules(const struct json *view, uint64_t scope, struct json *evidence, struct error *err)
{
	uint64_t execute = json_get_bool(view, "noexec", false) ? 0 : LL_EXECUTE;
	size_t n = ARRAY_LEN(fixed);
	struct landlock_path *paths = all_paths;
	memcpy(paths, fixed, sizeof(fixed));
	for (size_t i = 0; i < ARRAY_LEN(writable); i++)
		paths[n++] = (struct landlock_path){-1, writable[i], WRITABLE | execute};
	n = add_view_rules(paths, n, view);
	int abi = 0;
	int rules = landlock_rules(paths, n, /* net= */ 0, scope, &abi, err);
	/* Without Landlock it is not our decision: the receipt says so, and the policy's floor decides. */
	(void)json_set_int(evidence, "landlock_abi", abi);
	if (rules >= 0)
		note_rules(abi, n, evidence);
	return rules;
}

/* Enters the domain and shows that it holds. */
static int
enter(int rules, struct json *evidence, struct error *err)
{
	int r = landlock_enter(rules, err);
	if (r < 0)
		return r;
	_cleanup_close_ int canary = open("/.canary", O_RDONLY | O_CLOEXEC);
	if (canary >= 0 || errno != EACCES)
		return error_set(err, EPERM, "landlock_ineffective",
		    "Landlock was applied, but a file that no rule names could be opened");
	if (evidence != NULL)
		(void)json_set_str(evidence, "landlock_canary", "refused");
	return 0;
}

int
locks_landlock(const struct json *view, struct json *evidence, struct error *err)
{
	_cleanup_close_ int rules = make_rules(view, SCOPES, evidence, err);
	if (rules == -EOPNOTSUPP)
		return 0;
	return rules < 0 ? rules : enter(rules, evidence, err);
}

int
locks_landlock_rules(
    const struct json *view, struct json *evidence, int *ret_rules, struct error *err)
{
	static const struct landlock_path everything = {-1, "/", ~0ULL};
	/* The domain that all commands share is the scoped one: they may signal each other. */
	int rules = make_rules(view, 0, evidence, err);
	*ret_rules = -1;
	if (rules == -EOPNOTSUPP)
		return 0;
	if (rules < 0)
		return rules;
	int r = landlock_restrict(&everything, 1, /* net= */ 0, SCOPES, NULL, err);
	if (r < 0)
		(void)close(rules);
	else
		*ret_rules = rules;
	return r;
}

int
locks_landlock_enter(int rules, bool noexec, struct json *evidence, struct error *err)
{
	const struct landlock_path workspace = {
	    -1, PLAN_WORKSPACE, WRITABLE | (noexec ? 0 : LL_EXECUTE)};
	if (rules < 0)
		return 0;
	int r = landlock_add(rules, &workspace, err);
	return r < 0 ? r : enter(rules, evidence, err);
}

/* ---- what a process is born into ---- */

int
locks_nesting(struct json *evidence, struct error *err)
{
	/* The file is the host's /proc's, but the value is our namespace's. */
	static const char path[] = "/proc/sys/user/max_user_namespaces";
	char value[16] = {0};
	_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1 || pread(fd, value, sizeof(value) - 1, 0) <= 0) {
		(void)json_set_str(evidence, "nesting", "by seccomp only");
		return 0; /* /proc/sys is read-only in some containers; the filter holds alone, and we say so */
	}
	if (strcmp(value, "0\n") != 0)
		return error_set(
		    err, EPERM, "sandbox_failed", "nested user namespaces cannot be forbidden");
	(void)json_set_str(evidence, "nesting", "refused by the kernel's count");
	return 0;
}

int
locks_keyring(struct error *err)
{
	if (syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL) < 0 && errno != ENOSYS)
		return error_set_errno(err, errno, "sandbox_failed", "no new session key ring");
	return 0;
}

/* ---- capabilities ---- */

int
locks_drop_bounding_set(void)
{
	for (int cap = 0; cap < 64; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return errno == EINVAL ? 0 : -errno; /* EINVAL: past the last one */
	return 0;
}

int
locks_drop_capabilities(uint32_t keep)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct left[2] = {{.effective = keep, .permitted = keep}};
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return syscall(SYS_capset, &header, left) < 0 ? -errno : 0;
}

/* ---- the command's process ---- */

static int
set_limit(int resource, int64_t value)
{
	struct rlimit limit, now;
	if (value <= 0)
		return 0;
	limit.rlim_cur = limit.rlim_max = (rlim_t)value;
	if (getrlimit(resource, &now) == 0 && now.rlim_max < limit.rlim_max)
		limit.rlim_cur = limit.rlim_max = now.rlim_max; /* only ever tighter */
	return setrlimit(resource, &limit) < 0 ? -errno : 0;
}

int
locks_cores(void)
{
	/* 1, not 0: a core_pattern that is a pipe runs its handler as the host's root whatever the limit,
	 * except at 1, which the kernel keeps for "none, nor to a handler" (core(5)). */
	struct rlimit no_core = {1, 1}, none = {0, 0}, now;
	if (getrlimit(RLIMIT_CORE, &now) == 0 && now.rlim_max < 1)
		no_core = none; /* the caller's own limit; raising it is not ours */
	/* The last two: what the caller may have been given for their own programs. */
	return setrlimit(RLIMIT_CORE, &no_core) < 0 || setrlimit(RLIMIT_RTPRIO, &none) < 0 ||
		setrlimit(RLIMIT_NICE, &none) < 0
	    ? -errno
	    : 0;
}

int
locks_limits(const struct json *plan, const struct json *order)
{
	const struct json *limits = json_get(plan, "rlimits");
	int64_t cpu_s = json_get_int(order, "cpu_s", 0);
	int r = set_limit(RLIMIT_NPROC, json_get_int(limits, "processes", 0));
	if (r == 0)
		r = set_limit(RLIMIT_FSIZE, json_get_int(limits, "file_bytes", 0));
	if (r == 0)
		r = set_limit(RLIMIT_DATA, json_get_int(limits, "data_bytes", 0));
	if (r == 0 && cpu_s > 0) {
		/* SIGXCPU first, which says why; SIGKILL a second later. */
		struct rlimit cpu = {(rlim_t)cpu_s, (rlim_t)cpu_s + 1};
		r = setrlimit(RLIMIT_CPU, &cpu) < 0 ? -errno : 0;
	}
	return r < 0 ? r : set_limit(RLIMIT_NOFILE, json_get_int(limits, "open_files", 0));
}

static _Alignas(4096) struct sock_filter code[FILTER_MAX];

/* Loads the filter NAME; FILTERS says at which instruction of the sealed file it starts, and its length. */
static int
load_filter(int filter_fd, const struct json *filters, const char *name)
{
	const struct json *where = json_get(filters, name);
	int64_t at = json_int(json_at(where, 0), -1), length = json_int(json_at(where, 1), 0);
	size_t bytes = (size_t)length * sizeof(code[0]);
	if (at < 0 || length <= 0 || length > FILTER_MAX ||
	    pread(filter_fd, code, bytes, at * (off_t)sizeof(code[0])) != (ssize_t)bytes)
		return -EINVAL;
	return seccomp_install(code, (unsigned short)length);
}

static bool
all_are(const unsigned ids[4], unsigned id)
{
	return ids[0] == id && ids[1] == id && ids[2] == id && ids[3] == id;
}

static void
note_status(const struct status *s, struct json *evidence)
{
	struct json *sets = json_new_object();
	for (int i = 0; i < STATUS_CAPS; i++) {
		char text[20];
		(void)snprintf(text, sizeof(text), "%016llx", (unsigned long long)s->caps[i]);
		(void)json_set_str(sets, status_caps_names[i], text);
	}
	(void)json_set(evidence, "capability_sets", sets);
	(void)json_set_str(evidence, "capabilities", "none");
	(void)json_set_int(evidence, "no_new_privs", s->no_new_privs);
	(void)json_set_int(evidence, "seccomp_mode", s->seccomp_mode);
	if (s->seccomp_filters >= 0)
		(void)json_set_int(evidence, "seccomp_filters", s->seccomp_filters);
	(void)json_set_int(evidence, "uid", s->uid[0]);
	(void)json_set_int(evidence, "gid", s->gid[0]);
	(void)json_set_int(evidence, "groups", s->groups);
}

/* Everything here is the kernel's own answer. */
static int
read_back(uid_t uid, gid_t gid, struct json *evidence, struct error *err)
{
	struct status s;
	int r = status_read(&s);
	if (r < 0)
		return error_set_errno(err, -r, "locks_unknown",
		    "what the kernel says of the command's process cannot be read");
	uint64_t caps = 0;
	for (int i = 0; i < STATUS_CAPS; i++)
		caps |= s.caps[i];
	bool ids = all_are(s.uid, uid) && all_are(s.gid, gid);
	if (caps != 0 || s.no_new_privs != 1 || s.seccomp_mode != SECCOMP_MODE_FILTER || !ids)
		return error_set(err, EPERM, "locks_incomplete",
		    "a lock did not engage: capabilities %s, no_new_privs %d, seccomp mode %d, ids "
		    "%s",
		    caps != 0 ? "remain" : "none", s.no_new_privs, s.seccomp_mode,
		    ids ? "right" : "wrong");
	if (evidence != NULL)
		note_status(&s, evidence);
	return 0;
}

static int
become(uid_t uid, gid_t gid, bool change_ids, const char **ret_step)
{
	*ret_step = "ids";
	if (change_ids &&
	    (setgroups(0, NULL) < 0 || syscall(SYS_setresgid, gid, gid, gid) < 0 ||
		syscall(SYS_setresuid, uid, uid, uid) < 0))
		return -errno;
	*ret_step = "capabilities";
	return locks_drop_capabilities(0);
}

int
locks_command(const struct json *plan, uid_t uid, gid_t gid, bool change_ids, int filter_fd,
    struct json *evidence, struct error *err)
{
	const char *step = "core limit";
	int r = locks_cores();
	if (r == 0)
		r = become(uid, gid, change_ids, &step);
	if (r == 0) {
		step = "no_new_privs";
		r = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
	}
	if (r == 0) {
		step = "seccomp";
		r = load_filter(filter_fd, json_get(plan, "filters"), "command");
	}
	if (r < 0)
		return error_set_errno(
		    err, -r, "locks_failed", "cannot apply the command's %s", step);
	return read_back(uid, gid, evidence, err);
}

int
locks_become_command(uid_t uid, gid_t gid, bool change_ids, struct error *err)
{
	const char *step;
	int r = become(uid, gid, change_ids, &step);
	if (r < 0)
		return error_set_errno(
		    err, -r, "locks_failed", "cannot apply the command's %s", step);
	return read_back(uid, gid, /* evidence= */ NULL, err);
}

/* ---- memory ---- */

#define PAGE 4096u

void
locks_give_back_pages(const void *from, const void *to)
{
	uintptr_t first = ((uintptr_t)from + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
	uintptr_t last = (uintptr_t)to & ~(uintptr_t)(PAGE - 1);
	if (first < last)
		(void)madvise(
		    (void *)first, last - first, MADV_DONTNEED); /* or it takes a little more */
}

void
locks_give_back(void)
{
	locks_give_back_pages(code, code + FILTER_MAX);
	locks_give_back_pages(all_paths, all_paths + ARRAY_LEN(all_paths));
}

/* ---- rf-init itself ---- */

/* KEEP holds over this user namespace only. */
static int
confine(
    uint32_t keep, int filter_fd, const struct json *filters, const char *name, struct error *err)
{
	int r = locks_drop_capabilities(keep);
	if (r == 0 &&
	    (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0))
		r = -errno;
	if (r == 0)
		r = load_filter(filter_fd, filters, name);
	return r < 0 ? error_set_errno(err, -r, "locks_failed", "cannot confine rf-init") : 0;
}

int
locks_init(int filter_fd, const struct json *filters, struct error *err)
{
	/* CAP_KILL: the command may have another uid than we. */
	return confine(1u << CAP_KILL, filter_fd, filters, "init", err);
}

int
locks_session(int filter_fd, const struct json *filters, bool change_ids, struct error *err)
{
	uint32_t keep = 1u << CAP_KILL;
	if (change_ids)
		keep |= 1u << CAP_SETUID | 1u << CAP_SETGID;
	int r = locks_cores(); /* before the filter, which pretends */
	if (r < 0)
		return error_set_errno(err, -r, "locks_failed", "cannot confine rf-init");
	return confine(keep, filter_fd, filters, "command", err);
}
