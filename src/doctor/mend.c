/* What to do about a finding that is not ok. The probe has shown that something fails; here the usual
 * reasons are looked up, most specific first. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor/doctor.h"

static bool
file_says(const char *path, const char *text)
{
	char value[64];
	doctor_read(path, value, sizeof(value));
	return strcmp(value, text) == 0;
}

static bool
in_container(void)
{
	char text[64];
	return container_kind(text, sizeof(text)) != NULL;
}

void
mend_namespaces(struct finding *f)
{
	if (file_says("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"))
		finding_fix(f,
		    "this host's AppArmor denies user namespaces to programs without a profile. "
		    "Install ours (as root): cp PREFIX/share/ringfence/apparmor/ringfence "
		    "/etc/apparmor.d/ && apparmor_parser -r /etc/apparmor.d/ringfence; `make "
		    "install` puts it there, with the paths of its PREFIX. From a build tree: add "
		    "that directory to its path");
	else if (file_says("/proc/sys/kernel/unprivileged_userns_clone", "0"))
		finding_fix(f,
		    "sysctl -w kernel.unprivileged_userns_clone=1 (as root; and in /etc/sysctl.d "
		    "to keep it)");
	else if (file_says("/proc/sys/user/max_user_namespaces", "0"))
		finding_fix(f,
		    "sysctl -w user.max_user_namespaces=15000 (as root; and in /etc/sysctl.d to "
		    "keep it)");
	else if (in_container())
		finding_fix(f,
		    "the container denies it: docker run --security-opt seccomp=… that allows "
		    "unshare, "
		    "clone3, mount and pivot_root, and --security-opt apparmor=unconfined");
	else
		finding_fix(f,
		    "the kernel needs CONFIG_USER_NS, PID_NS, NET_NS, IPC_NS and UTS_NS, and the "
		    "limits in "
		    "/proc/sys/user/max_*_namespaces must not be 0");
}

void
mend_proc(struct finding *f)
{
	if (f->state == STATE_MISSING) {
		mend_namespaces(f);
		return;
	}
	finding_fix(f, "%s",
	    in_container()
		? "the container masks parts of /proc: docker run --security-opt "
		  "systempaths=unconfined"
		: "something is mounted over parts of /proc on this host: see findmnt -R /proc");
}

void
mend_landlock(struct finding *f)
{
	if (f->state == STATE_WEAKER) {
		finding_fix(f, "Linux 6.2 or later also covers truncation (ABI 3)");
		return;
	}
	char lsm[256];
	doctor_read("/sys/kernel/security/lsm", lsm, sizeof(lsm));
	if (lsm[0] != 0 && strstr(lsm, "landlock") == NULL)
		finding_fix(f, "boot with lsm=landlock,%.200s on the kernel command line", lsm);
	else
		finding_fix(f,
		    "the kernel needs CONFIG_SECURITY_LANDLOCK (Linux 5.13 or later) and landlock "
		    "in lsm=");
}

/* For a directory that cannot be staged, or not be shown with other ids. */
void
mend_here(struct finding *f)
{
	finding_fix(f,
	    "as root a workspace needs a file system that can be mounted with other ids (ext4, "
	    "xfs, "
	    "btrfs, tmpfs; overlay and FUSE only on newer kernels); to be staged, one that an "
	    "overlay "
	    "can lie on, with nothing mounted below it. Else: --workspace DIR:direct, or none");
}

void
mend_seccomp(struct finding *f)
{
	finding_fix(f,
	    "the kernel needs CONFIG_SECCOMP_FILTER, and a container must allow prctl and seccomp");
}

void
mend_overlay(struct finding *f)
{
	if (f->state == STATE_WEAKER) {
		finding_fix(f,
		    "Linux 6.6 or later (tmpfs then keeps user attributes). Until then, programs "
		    "that "
		    "remove directories of the workspace: --workspace COPY:direct, on a copy of "
		    "yours");
		return;
	}
	finding_fix(f,
	    "modprobe overlay (as root); overlays in user namespaces need Linux 5.11 or later. "
	    "Without them: --workspace DIR:direct, or none");
}

void
mend_idmap(struct finding *f)
{
	finding_fix(f,
	    "root's workspaces need a file system that supports it (ext4, xfs, btrfs; overlay "
	    "from Linux 5.19, tmpfs from 6.3): keep them on one of those");
}

void
mend_run(struct finding *f)
{
	finding_fix(
	    f, "mend the rows above; run/log in the state directory has what the programs said");
}
