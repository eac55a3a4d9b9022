#include "image/remove.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "image/image.h"
#include "sandbox/workspace_fs.h"

#define HOIST_DEPTH 64
#define HOISTS_MAX 100000
#define NAME_SIZE 48

/* The first name in FD, in the order in which wsfs_remove_tree goes. */
static int
first_name(int fd, char ret[IMAGE_NAME_LEN_MAX + 1])
{
	struct wsfs_names names = {0};
	int r = wsfs_names(fd, (size_t)-1, &names);
	if (r == 0 && names.n == 0)
		r = -ENOENT;
	if (r == 0)
		(void)snprintf(ret, IMAGE_NAME_LEN_MAX + 1, "%s", names.items[0]);
	wsfs_names_done(&names);
	return r;
}

/* After wsfs_remove_tree gave up, the first name on every level is the one that led too deep: moves what
 * lies HOIST_DEPTH down there to AT/TO. */
static int
hoist(int at, const char *name, const char *to)
{
	char next[IMAGE_NAME_LEN_MAX + 1];
	(void)snprintf(next, sizeof(next), "%s", name);
	int fd = fcntl(at, F_DUPFD_CLOEXEC, 0), r = fd < 0 ? -errno : 0;
	for (int depth = 0; depth < HOIST_DEPTH && r == 0; depth++) {
		int below = wsfs_open(fd, next, O_RDONLY | O_DIRECTORY);
		r = below < 0 ? below : first_name(below, next);
		(void)close(fd);
		fd = below;
	}
	if (r == 0 && renameat(fd, next, at, to) < 0)
		r = -errno;
	if (fd >= 0)
		(void)close(fd);
	return r;
}

int
remove_deep(int at, const char *name)
{
	char current[IMAGE_NAME_LEN_MAX + 1], to[NAME_SIZE];
	uint32_t tag = 0; /* of another removal that was interrupted, names may be left */
	unsigned done = 0, made = 0;
	(void)snprintf(current, sizeof(current), "%s", name);
	if (getrandom(&tag, sizeof(tag), 0) != (ssize_t)sizeof(tag))
		return -EIO;
	for (;;) {
		int r = wsfs_remove_tree(at, current);
		if (r == -E2BIG && made < HOISTS_MAX) {
			(void)snprintf(to, sizeof(to), ".old-deep-%08x-%u", tag, made++);
			r = hoist(at, current, to);
			if (r < 0)
				return r;
			continue;
		}
		if (r < 0 || done == made)
			return r;
		(void)snprintf(current, sizeof(current), ".old-deep-%08x-%u", tag, done++);
	}
}
