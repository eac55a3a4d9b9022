/* What the kernel knows: version, system calls, what its Landlock can hold, security modules. Version
 * numbers explain; what decides is what the kernel answers. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "doctor/doctor.h"
#include "sys/landlock.h"

void
check_kernel(struct finding *ret)
{
	struct utsname name = {0};
	char release[80];
	unsigned major = 0, minor = 0;
	(void)uname(&name);
	doctor_read("/proc/sys/kernel/osrelease", release, sizeof(release));
	if (release[0] == 0)
		(void)snprintf(release, sizeof(release), "%.70s", name.release);
	(void)json_set_str(finding_facts(ret), "release", release);
	(void)json_set_str(finding_facts(ret), "machine", name.machine);
	if (sscanf(release, "%u.%u", &major, &minor) != 2) {
		finding_set(ret, STATE_MISSING, "its version cannot be read");
		return;
	}
	bool enough = major > 5 || (major == 5 && minor >= 13);
	finding_set(
	    ret, enough ? STATE_OK : STATE_MISSING, "Linux %.80s on %.30s", release, name.machine);
	if (!enough)
		finding_fix(ret,
		    "Linux 5.13 or later is needed (Landlock; mount_setattr and close_range are "
		    "older)");
}

/* ---- system calls ---- */

/* By number: the build's headers may be older than what it runs on. The same on every architecture. */
#define NR_PIDFD_SEND_SIGNAL 424
#define NR_OPEN_TREE 428
#define NR_MOVE_MOUNT 429
#define NR_FSOPEN 430
#define NR_PIDFD_OPEN 434
#define NR_CLOSE_RANGE 436
#define NR_OPENAT2 437
#define NR_FACCESSAT2 439
#define NR_MOUNT_SETATTR 442

/* A call with arguments that the kernel refuses before it looks at rights, or that do nothing. */
struct attempt {
	const char *name, *since;
	long number, a, b, c, d, e;
	bool eperm_is_filter; /* the kernel itself would not say EPERM to this */
};

static const struct attempt attempts[] = {
    {"pidfd_open", "5.3", NR_PIDFD_OPEN, 0, 0, 0, 0, 0, true},
    {"pidfd_send_signal", "5.1", NR_PIDFD_SEND_SIGNAL, -1, 0, 0, 0, 0, true},
    {"close_range", "5.11", NR_CLOSE_RANGE, 1 << 30, 1 << 30, 4 /* CLOEXEC */, 0, 0, true},
    {"openat2", "5.6", NR_OPENAT2, AT_FDCWD, (long)".", 0, 0, 0, true},
    {"faccessat2", "5.8", NR_FACCESSAT2, AT_FDCWD, (long)"/", R_OK, 0, 0, true},
    {"mount_setattr", "5.12", NR_MOUNT_SETATTR, -1, (long)"", 0, 0, 0, true},
    {"open_tree", "5.2", NR_OPEN_TREE, -1, (long)"x", 0, 0, 0, true},
    {"move_mount", "5.2", NR_MOVE_MOUNT, -1, (long)"", -1, (long)"", 0, false},
    {"fsopen", "5.2", NR_FSOPEN, 0, 0, 0, 0, 0, false},
};

void
check_system_calls(struct finding *ret)
{
	char absent[200] = "", refused[200] = "";
	struct json *list = json_new_object();
	for (size_t i = 0; i < ARRAY_LEN(attempts); i++) {
		const struct attempt *t = &attempts[i];
		long fd = syscall(t->number, t->a, t->b, t->c, t->d, t->e);
		const char *state = "there";
		if (fd < 0 && errno == ENOSYS) {
			state = "absent";
			text_add(absent, sizeof(absent), " %s (Linux %s)", t->name, t->since);
		} else if (fd < 0 && errno == EPERM && t->eperm_is_filter) {
			state = "refused";
			text_add(refused, sizeof(refused), " %s", t->name);
		}
		(void)json_set_str(list, t->name, state);
	}
	(void)json_set(finding_facts(ret), "system_calls", list);
	if (absent[0] == 0 && refused[0] == 0) {
		finding_set(ret, STATE_OK,
		    "pidfd, close_range, openat2 and mounts by descriptor are there");
		return;
	}
	finding_set(ret, STATE_MISSING, "%s%s%s%s", absent[0] ? "absent:" : "", absent,
	    refused[0] ? " refused by a filter:" : "", refused);
	finding_fix(ret, "%s",
	    refused[0] ? "the filter of the container does not know these calls: update its "
			 "runtime and libseccomp, or docker run --security-opt seccomp=unconfined"
		       : "a newer kernel; in gVisor and the like Ringfence cannot run");
}

/* ---- Landlock ---- */

/* What each version added; the sandbox uses all but TCP rights (there is no network in it) and the
 * options of the log. */
static const struct {
	int abi;
	const char *since, *adds;
	bool used;
} landlock_versions[] = {
    {1, "5.13", "files by path: read, write, execute, make, remove", true},
    {2, "5.19", "moves between directories", true},
    {3, "6.2", "truncation", true},
    {4, "6.7", "TCP ports", false},
    {5, "6.10", "ioctl of devices", true},
    {6, "6.12", "scopes: signals and abstract sockets", true},
    {7, "6.15", "records in the audit log", false},
};

void
check_landlock_rights(struct finding *ret)
{
	int abi = landlock_abi();
	char here[250] = "", lacking[200] = "";
	struct json *versions = json_new_array();
	const char *newest = "";
	for (size_t i = 0; i < ARRAY_LEN(landlock_versions); i++) {
		bool used = landlock_versions[i].used, have = abi >= landlock_versions[i].abi;
		char *list = have ? here : lacking;
		struct json *version = json_new_object();
		(void)json_set_int(version, "abi", landlock_versions[i].abi);
		(void)json_set_str(version, "linux", landlock_versions[i].since);
		(void)json_set_str(version, "adds", landlock_versions[i].adds);
		(void)json_set_bool(version, "here", have);
		(void)json_set_bool(version, "used", used);
		(void)json_push(versions, version);
		if (used && !have)
			newest = landlock_versions[i].since;
		if (used)
			text_add(list, have ? sizeof(here) : sizeof(lacking), "%s%s (%d)",
			    list[0] ? "; " : "", landlock_versions[i].adds,
			    landlock_versions[i].abi);
	}
	(void)json_set_int(finding_facts(ret), "abi", abi);
	(void)json_set(finding_facts(ret), "versions", versions);
	finding_set(ret,
	    abi <= 0         ? STATE_MISSING
		: lacking[0] ? STATE_WEAKER
			     : STATE_OK,
	    "ABI %d%s%s%s%s", abi, here[0] ? " holds " : "", here, lacking[0] ? "; not here: " : "",
	    lacking);
	if (lacking[0] != 0 && abi > 0)
		finding_fix(ret,
		    "Linux %s holds all that the sandbox asks of Landlock; until then the other "
		    "lock of each row holds alone (SECURITY.md)",
		    newest);
	else if (abi <= 0)
		mend_landlock(ret);
}

/* ---- security modules ---- */

void
check_modules(struct finding *ret)
{
	char list[256], label[128];
	doctor_read("/sys/kernel/security/lsm", list, sizeof(list));
	doctor_read("/proc/self/attr/current", label, sizeof(label));
	int64_t selinux = doctor_read_int("/sys/fs/selinux/enforce", -1);
	if (list[0] != 0)
		(void)json_set_str(finding_facts(ret), "lsm", list);
	if (label[0] != 0)
		(void)json_set_str(finding_facts(ret), "label", label);
	finding_set(ret, STATE_OK, "%s%.200s%s%.100s%s",
	    list[0] ? "" : "their list is not shown here", list, label[0] ? "; we run as " : "",
	    label,
	    selinux == 1       ? "; SELinux enforces"
		: selinux == 0 ? "; SELinux only reports"
			       : "");
}

void
check_yama(struct finding *ret)
{
	char scope[16];
	doctor_read("/proc/sys/kernel/yama/ptrace_scope", scope, sizeof(scope));
	finding_set(ret, STATE_OK, "%s%.8s; sandboxes refuse ptrace of their own init anyway",
	    scope[0] ? "ptrace_scope " : "absent", scope);
}
