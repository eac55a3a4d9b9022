/* What a sandbox uses, for hosts and limits without a control group that counts it.
 *
 * Seen through the /proc of the sandbox's own pid namespace, which rf-init hands over: it lists every
 * process there is. (Walking from parent to child from outside misses what a thread forked, and is as deep
 * as an attacker likes.) Two things stay unseen: memory that no process has mapped, and the time of
 * processes that begin and end between two looks while their parent ignores SIGCHLD. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "sandbox/sandbox.h"

static ssize_t
read_process(int proc_fd, const char *pid, const char *name, char *text, size_t size)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "%.20s/%s", pid, name);
	_cleanup_close_ int fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
	if (n >= 0)
		text[n] = 0;
	return n;
}

/* Its own time and that of the children that it has waited for. */
static int64_t
processor_ms(int proc_fd, const char *pid)
{
	char text[1024];
	unsigned long long user, system, children_user, children_system;
	if (read_process(proc_fd, pid, "stat", text, sizeof(text)) <= 0)
		return 0;
	const char *after_name = strrchr(text, ')');
	if (after_name == NULL ||
	    sscanf(after_name + 1,
		" %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %llu %llu", &user, &system,
		&children_user, &children_system) != 4)
		return 0;
	unsigned long long ticks = user + system + children_user + children_system;
	return (int64_t)(ticks * 1000 / (unsigned long)sysconf(_SC_CLK_TCK));
}

static int64_t
resident_bytes(int proc_fd, const char *pid)
{
	char text[256];
	long long pages = 0;
	if (read_process(proc_fd, pid, "statm", text, sizeof(text)) <= 0 ||
	    sscanf(text, "%*s %lld", &pages) != 1)
		return 0;
	return pages * sysconf(_SC_PAGESIZE);
}

int
sandbox_sample(const struct sandbox *sandbox, struct sandbox_sample *ret)
{
	*ret = (struct sandbox_sample){0};
	int fd = openat(sandbox->proc_fd, ".", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (dir == NULL) {
		int failed = errno;
		if (fd >= 0)
			(void)close(fd);
		return -failed;
	}
	struct dirent *entry;
	while ((entry = readdir(dir)) != NULL) {
		const char *pid = entry->d_name;
		if (pid[0] < '1' || pid[0] > '9')
			continue;
		ret->cpu_ms += processor_ms(sandbox->proc_fd, pid);
		if (strcmp(pid, "1") == 0)
			continue; /* rf-init's memory is ours */
		ret->resident_bytes += resident_bytes(sandbox->proc_fd, pid);
		ret->processes++;
	}
	(void)closedir(dir);
	return 0;
}

/* ---- stopped ---- */

/* Whether the process or thread whose "stat" lies below DIR_FD/NAME runs no more: stopped, or gone. */
static bool
has_stopped(int dir_fd, const char *name)
{
	char text[1024];
	if (read_process(dir_fd, name, "stat", text, sizeof(text)) <= 0)
		return true;
	const char *after_name = strrchr(text, ')');
	return after_name != NULL && after_name[1] == ' ' && strchr("TtZXx", after_name[2]) != NULL;
}

/* Every numbered entry of the directory FD (taken), but SKIP. */
static bool
all_stopped(int fd, const char *skip, bool threads)
{
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	bool stopped = true;
	if (directory == NULL) {
		if (fd >= 0)
			(void)close(fd);
		return threads && errno == ENOENT; /* it ended just now */
	}
	for (const struct dirent *entry; stopped && (entry = readdir(directory)) != NULL;) {
		char path[64];
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9' ||
		    strcmp(entry->d_name, skip) == 0)
			continue;
		if (threads) {
			stopped = has_stopped(dirfd(directory), entry->d_name);
			continue;
		}
		(void)snprintf(path, sizeof(path), "%.20s/task", entry->d_name);
		stopped = all_stopped(
		    openat(dirfd(directory), path, O_DIRECTORY | O_RDONLY | O_CLOEXEC), "", true);
	}
	(void)closedir(directory);
	return stopped;
}

bool
sandbox_is_stopped(const struct sandbox *sandbox)
{
	return all_stopped(
	    openat(sandbox->proc_fd, ".", O_DIRECTORY | O_RDONLY | O_CLOEXEC), "1", false);
}
