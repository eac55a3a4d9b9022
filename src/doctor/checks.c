/* The place: containers, the disk of the state directory, our own programs. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "doctor/doctor.h"
#include "ipc/paths.h"

#define MIB (1024LL * 1024)

/* ---- container ---- */

/* The usual marks. */
const char *
container_kind(char *text, size_t size)
{
	if (doctor_exists("/.dockerenv"))
		return "docker";
	if (doctor_exists("/run/.containerenv"))
		return "podman";
	doctor_read("/run/systemd/container", text, size);
	if (text[0] != 0)
		return text;
	if (doctor_exists("/proc/sentry-meminfo") || doctor_exists("/proc/sys/kernel/gvisor"))
		return "gvisor";
	if (getenv("KUBERNETES_SERVICE_HOST") != NULL)
		return "kubernetes";
	const char *container = getenv("container");
	return container != NULL && container[0] != 0 ? container : NULL;
}

void
check_container(struct finding *ret)
{
	char text[64];
	const char *kind = container_kind(text, sizeof(text));
	if (kind == NULL) {
		finding_set(ret, STATE_OK, "not inside a container");
		return;
	}
	(void)json_set_str(finding_facts(ret), "kind", kind);
	/* Not a fault by itself: what it takes away shows in the rows above. */
	finding_set(ret, STATE_OK, "inside a container (%.60s): its own limits come first", kind);
}

/* ---- disk ---- */

/* The nearest directory at or above PATH that exists, in PATH. */
static void
nearest_existing(char *path)
{
	while (access(path, F_OK) < 0) {
		char *slash = strrchr(path, '/');
		if (slash == NULL || slash == path)
			break;
		*slash = 0;
	}
}

/* Where another machine, or a program, may answer for the file system: what a ledger that must be on disk
 * and a database that locks its file do not want. */
static const char *
remote_kind(const char *path)
{
	static const struct {
		long long magic;
		const char *name;
	} kinds[] = {{0x6969, "NFS"}, {0x65735546, "FUSE"}, {0x01021997, "9p"},
	    {0xFF534D42, "CIFS"}, {0xFE534D42, "SMB"}, {0x00C36400, "Ceph"}};
	struct statfs fs;
	for (size_t i = 0; i < ARRAY_LEN(kinds) && statfs(path, &fs) == 0; i++)
		if (((long long)fs.f_type & 0xFFFFFFFFLL) == kinds[i].magic)
			return kinds[i].name;
	return NULL;
}

struct disk {
	long long free_mib;
	bool writable, noexec;
	const char *remote;
};

static void
judge_disk(const struct disk *d, const char *path, struct finding *ret)
{
	enum state state = !d->writable || d->free_mib < 16 ? STATE_MISSING
	    : d->free_mib < 512 || d->noexec || d->remote   ? STATE_WEAKER
							    : STATE_OK;
	finding_set(ret, state, "%lld MiB free for the ledger at %.150s%s%s%s%s", d->free_mib, path,
	    d->writable ? "" : ", which is not writable",
	    d->noexec ? ", which is mounted noexec" : "", d->remote ? ", which is on " : "",
	    d->remote ? d->remote : "");
	if (!d->writable)
		finding_fix(ret, "set RINGFENCE_STATE to a directory that you can write");
	else if (d->free_mib < 512)
		finding_fix(ret,
		    "free space, or set RINGFENCE_STATE to another disk: a ledger that cannot be "
		    "written stops every run");
	else if (d->remote != NULL)
		finding_fix(ret,
		    "set RINGFENCE_STATE to a local disk: locks and synchronisation of the ledger "
		    "and the database are only as good as the file system's");
	else if (d->noexec)
		finding_fix(ret,
		    "programs of images (root: image:NAME) lie there and cannot be executed: "
		    "mount -o remount,exec, or set RINGFENCE_STATE to another disk. All else "
		    "works");
}

void
check_disk(struct finding *ret)
{
	char path[PATHS_MAX];
	struct error err = {0};
	struct statvfs fs;
	if (paths_state_dir(path, &err) < 0) {
		finding_set(ret, STATE_MISSING, "%.250s", err.message);
		finding_fix(ret, "%.300s", err.remedy);
		return;
	}
	(void)json_set_str(finding_facts(ret), "state_directory", path);
	nearest_existing(path);
	if (statvfs(path, &fs) < 0) {
		finding_set(ret, STATE_MISSING, "%.200s: %s", path, strerror(errno));
		return;
	}
	const struct disk d = {
	    .free_mib = (long long)fs.f_bavail * (long long)fs.f_frsize / MIB,
	    .writable = faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0,
	    .noexec = (fs.f_flag & ST_NOEXEC) != 0,
	    .remote = remote_kind(path),
	};
	(void)json_set_int(finding_facts(ret), "free_bytes", d.free_mib * MIB);
	(void)json_set_bool(finding_facts(ret), "noexec", d.noexec);
	(void)json_set_bool(finding_facts(ret), "nosuid", (fs.f_flag & ST_NOSUID) != 0);
	judge_disk(&d, path, ret);
}

/* ---- programs ---- */

void
check_programs(struct finding *ret)
{
	static const char *const names[] = {"ringfence", "rf-supervisor", "rf-init", "rf-layers",
	    "rf-arbiter", "rf-ledger", "rf-gateway", "rf-dialer", "rf-vault", "rf-issuer",
	    "rf-policy", "rf-audit", "rf-workspace", "rf-image", "rf-prove", "rf-prove-init",
	    "rf-attack"};
	char path[PATHS_MAX], missing[200] = "";
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (paths_program(names[i], path, NULL) < 0)
			text_add(missing, sizeof(missing), " %s", names[i]);
	if (missing[0] == 0) {
		finding_set(ret, STATE_OK, "all of them found");
		return;
	}
	finding_set(ret, STATE_MISSING, "not found:%s", missing);
	finding_fix(ret, "install Ringfence again, or run it from its build/bin");
}
