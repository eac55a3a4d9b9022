#include "prove/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "prove/tree.h"

#define NAME "ringfence-prove-"
/* Not the same place: what Landlock lets a sandbox write is below /tmp, and what attacks aim at must not be. */
#define BASE_IN "/var/tmp"
#define TMP_IN "/tmp"
#define LOCK_NAME "lock"

/* ---- what others left ---- */

/* The directory NAME, if it is ours and its proof is dead; its other directory in TMP. */
static bool
is_left_behind(int at, const char *name, char tmp[64])
{
	struct stat st;
	_cleanup_close_ int fd = openat(at, name, O_DIRECTORY | O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_uid != geteuid())
		return false;
	_cleanup_close_ int lock = openat(fd, LOCK_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0)
		return false;
	ssize_t n = read(lock, tmp, 63);
	tmp[n < 0 ? 0 : n] = 0;
	return strncmp(tmp, TMP_IN "/" NAME, strlen(TMP_IN "/" NAME)) == 0;
}

static void
sweep(void)
{
	char path[300], tmp[64];
	DIR *dir = opendir(BASE_IN);
	struct dirent *entry;
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (strncmp(entry->d_name, NAME, strlen(NAME)) != 0 ||
		    !is_left_behind(dirfd(dir), entry->d_name, tmp))
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", BASE_IN, entry->d_name);
		tree_remove(tmp);
		tree_remove(path);
	}
	if (dir != NULL)
		(void)closedir(dir);
}

/* ---- our own ---- */

/* The lock's descriptor stays open, in us and in who we fork, until we are gone. */
static int
hold(const struct prove *p)
{
	char path[96];
	(void)snprintf(path, sizeof(path), "%s/" LOCK_NAME, p->base);
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 ||
	    write(fd, p->tmp, strlen(p->tmp)) != (ssize_t)strlen(p->tmp))
		return -errno;
	return 0;
}

/* Programs must run in both, and one must not be the other. */
static int
check(struct error *err)
{
	static const char *const places[] = {BASE_IN, TMP_IN};
	struct statvfs fs;
	char real[PATH_MAX];
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		if (statvfs(places[i], &fs) == 0 && (fs.f_flag & ST_NOEXEC) == 0)
			continue;
		(void)error_set(err, EACCES, "prove_failed",
		    "attacks cannot run: %s is mounted noexec, or not there", places[i]);
		error_remedy(err, "for the time of the proof: mount -o remount,exec %s", places[i]);
		return -EACCES;
	}
	if (realpath(BASE_IN, real) == NULL || strcmp(real, TMP_IN) == 0 ||
	    strncmp(real, TMP_IN "/", strlen(TMP_IN "/")) == 0)
		return error_set(err, EINVAL, "prove_failed",
		    BASE_IN " is a link into " TMP_IN
			    ": what attacks aim at would lie where Landlock lets them write");
	return 0;
}

int
place_make(struct prove *p, struct error *err)
{
	int r = check(err);
	if (r < 0)
		return r;
	sweep();
	(void)snprintf(p->base, sizeof(p->base), "%s/" NAME "XXXXXX", BASE_IN);
	(void)snprintf(p->tmp, sizeof(p->tmp), "%s/" NAME "XXXXXX", TMP_IN);
	if (mkdtemp(p->base) == NULL) {
		r = -errno;
		p->base[0] = p->tmp[0] = 0;
	} else if (mkdtemp(p->tmp) == NULL) {
		r = -errno;
		p->tmp[0] = 0;
	} else if (chmod(p->base, 0711) < 0 || chmod(p->tmp, 0711) < 0) {
		r = -errno;
	} else {
		r = hold(p);
	}
	if (r == 0)
		return 0;
	place_remove(p);
	return error_set_errno(
	    err, -r, "prove_failed", "cannot make directories in " BASE_IN " and " TMP_IN);
}

void
place_remove(const struct prove *p)
{
	tree_remove(p->tmp);
	tree_remove(p->base);
}
