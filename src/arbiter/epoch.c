/* The file: text, so that a person can read it.
 *
 *     ringfence kill epoch 1      format version
 *     now 7
 *     all 5
 *     task 0198c7a2-…             any number, oldest first
 */
#include "arbiter/epoch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"

#define HEADER "ringfence kill epoch 1\n"
#define FILE_MAX (128 * 1024)

/* ---- reading ---- */

static int
read_file(const char *path, struct buf *out)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	for (;;) {
		uint8_t *room = buf_reserve(out, 4096);
		if (room == NULL)
			return out->len > 0 ? -EMSGSIZE : -ENOMEM;
		ssize_t n = read(fd, room, 4096);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return 0;
		if (n > 0)
			buf_grew(out, (size_t)n);
	}
}

/* "NAME N\n" at *TEXT, which moves past it. */
static bool
read_number(const char **text, const char *name, uint64_t *ret)
{
	size_t len = strlen(name);
	if (strncmp(*text, name, len) != 0 || (*text)[len] < '0' || (*text)[len] > '9')
		return false;
	char *end = NULL;
	errno = 0;
	unsigned long long value = strtoull(*text + len, &end, 10);
	if (errno != 0 || *end != '\n' || value > INT64_MAX)
		return false;
	*ret = value;
	*text = end + 1;
	return true;
}

static bool
read_tasks(struct epoch *epoch, const char *text)
{
	static const char prefix[] = "task ";
	while (*text != '\0') {
		char id[UUID_TEXT];
		const char *end = strchr(text, '\n');
		if (end == NULL || end - text != (ptrdiff_t)(sizeof(prefix) - 1 + UUID_TEXT - 1) ||
		    strncmp(text, prefix, sizeof(prefix) - 1) != 0 ||
		    epoch->n_tasks == EPOCH_TASKS_MAX)
			return false;
		memcpy(id, text + sizeof(prefix) - 1, UUID_TEXT - 1);
		id[UUID_TEXT - 1] = '\0';
		if (!uuid_valid(id))
			return false;
		memcpy(epoch->tasks[epoch->n_tasks++], id, UUID_TEXT);
		text = end + 1;
	}
	return true;
}

static int
epoch_reserve(struct epoch *epoch)
{
	if (epoch->tasks == NULL)
		epoch->tasks = calloc(EPOCH_TASKS_MAX, sizeof(epoch->tasks[0]));
	return epoch->tasks != NULL ? 0 : -ENOMEM;
}

int
epoch_read(struct epoch *epoch, const char *path, struct error *err)
{
	_cleanup_buf_ struct buf file;
	buf_init(&file, FILE_MAX);
	int r = read_file(path, &file);
	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = epoch_reserve(epoch);
	if (r < 0)
		return error_set_errno(
		    err, -r, "epoch_unreadable", "kill epoch: cannot read %s", path);
	const char *text = buf_str(&file);
	bool good = strlen(text) == file.len && strncmp(text, HEADER, sizeof(HEADER) - 1) == 0;
	if (good) {
		text += sizeof(HEADER) - 1;
		good = read_number(&text, "now ", &epoch->now) &&
		    read_number(&text, "all ", &epoch->all) && epoch->all <= epoch->now &&
		    read_tasks(epoch, text);
	}
	if (good)
		return 0;
	error_set(err, EUCLEAN, "epoch_damaged", "kill epoch: %s is damaged", path);
	error_remedy(err,
	    "nothing runs until it is repaired; if it is lost, remove it and kill "
	    "everything once (ringfence kill all)");
	return -EUCLEAN;
}

/* ---- writing ---- */

static int
write_all(int fd, const struct buf *text)
{
	size_t done = 0;
	while (done < text->len) {
		ssize_t n = write(fd, text->data + done, text->len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

/* Beside it, synced, renamed over it, and the directory synced. */
static int
replace_file(const char *path, const struct buf *text)
{
	char temporary[128];
	int n = snprintf(temporary, sizeof(temporary), "%s.new", path);
	if (n < 0 || (size_t)n >= sizeof(temporary))
		return -ENAMETOOLONG;
	_cleanup_close_ int fd =
	    open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	int r = write_all(fd, text);
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlink(temporary);
		return r;
	}
	_cleanup_close_ int dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || fsync(dir) < 0)
		return -errno;
	return 0;
}

static int
epoch_write(const struct epoch *epoch, const char *path)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, FILE_MAX);
	(void)buf_addf(&text, HEADER "now %llu\nall %llu\n", (unsigned long long)epoch->now,
	    (unsigned long long)epoch->all);
	for (unsigned i = 0; i < epoch->n_tasks; i++)
		(void)buf_addf(&text, "task %s\n", epoch->tasks[i]);
	if (buf_failed(&text))
		return -ENOMEM;
	return replace_file(path, &text);
}

static void
task_append(struct epoch *epoch, const char *task)
{
	if (epoch->n_tasks == EPOCH_TASKS_MAX) {
		memmove(epoch->tasks[0], epoch->tasks[1],
		    (EPOCH_TASKS_MAX - 1) * sizeof(epoch->tasks[0]));
		epoch->n_tasks--;
	}
	(void)snprintf(epoch->tasks[epoch->n_tasks++], UUID_TEXT, "%s", task);
}

int
epoch_bump(struct epoch *epoch, const char *path, const char *task, struct error *err)
{
	struct epoch next = {.now = epoch->now + 1, .all = epoch->all};
	int r = epoch_reserve(&next);
	if (r == 0) {
		if (epoch->n_tasks > 0)
			memcpy(next.tasks, epoch->tasks, epoch->n_tasks * sizeof(next.tasks[0]));
		next.n_tasks = epoch->n_tasks;
		if (task == NULL)
			next.all = next.now;
		else if (!epoch_task_killed(&next, task))
			task_append(&next, task);
		r = epoch_write(&next, path);
	}
	if (r < 0) {
		epoch_done(&next);
		return error_set_errno(err, -r, "kill_failed", "kill epoch: cannot write %s", path);
	}
	epoch_done(epoch);
	*epoch = next;
	return 0;
}

bool
epoch_task_killed(const struct epoch *epoch, const char *task)
{
	for (unsigned i = 0; i < epoch->n_tasks; i++)
		if (strcmp(epoch->tasks[i], task) == 0)
			return true;
	return false;
}

void
epoch_done(struct epoch *epoch)
{
	free(epoch->tasks);
	*epoch = (struct epoch){.tasks = NULL};
}
