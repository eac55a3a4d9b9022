/* Files in and out of a session. The file is opened inside, by a process that has exactly a command's rights and
 * locks: whatever the path leads to is something that the sandbox can reach itself, and no link or mount that it
 * swings can lead us elsewhere. What comes back is a descriptor, and only of a regular file or a directory of the
 * sandbox's own file systems. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/log.h"
#include "ipc/messages.h"
#include "sandbox/plan.h"
#include "supervisor/run.h"

#define PATH_BYTES_MAX 4096
#define PROC_MAGIC 0x9fa0
#define SYSFS_MAGIC 0x62656572

/* ---- asking ---- */

static int
check(const struct session *session, const struct json *body, struct error *err)
{
	static const char *const ways[] = {"read", "write", "list", "stat", "mkdir", "remove"};
	const char *path = json_get_str(body, "path", ""), *how = json_get_str(body, "how", "");
	bool known = false;
	for (size_t i = 0; i < ARRAY_LEN(ways); i++)
		known |= strcmp(how, ways[i]) == 0;
	if (!known)
		return error_set(
		    err, EINVAL, "bad_request", "read, write, list, stat, mkdir or remove");
	if (path[0] != '/' || strlen(path) >= PATH_BYTES_MAX ||
	    strlen(path) != json_str_len(json_get(body, "path")))
		return error_set(err, EINVAL, "bad_request", "the path must be absolute");
	if (session->state != SESSION_READY)
		return error_set(err, EAGAIN, "not_ready", "the sandbox is not ready");
	if (checkpoint_under_way(session))
		return error_set(err, EAGAIN, "checkpoint_busy",
		    "a checkpoint of the workspace is under way; try again");
	return 0;
}

int
session_on_open(struct conn *conn, struct msg *m)
{
	struct supervisor *s = conn_data(conn);
	struct error err = {0};
	struct session *session = session_find(s, json_get_str(m->body, "sandbox", ""), &err);
	if (session == NULL || check(session, m->body, &err) < 0)
		return conn_send_error(conn, m->serial, &err);
	uint32_t serial = session->next_serial++;
	if (session->next_serial < FIRST_SERIAL)
		session->next_serial = FIRST_SERIAL;
	struct session_waiter *waiter = session_wait(session, conn, m->serial, serial);
	if (waiter == NULL)
		return -ENOMEM;
	const char *how = json_get_str(m->body, "how", "");
	(void)snprintf(waiter->how, sizeof(waiter->how), "%s", how);
	if (strcmp(how, "stat") != 0 && strcmp(how, "list") != 0) {
		struct json *data = json_new_object();
		(void)json_set_str(data, "how", how);
		(void)json_set_str(data, "path", json_get_str(m->body, "path", ""));
		session_record(session, "sandbox-file", data);
	}
	if (msg_send(session->sandbox->control, INIT_OPEN, serial, m->body, NULL, 0) < 0)
		session_end(session, "sandbox_failed", "rf-init is gone");
	return 0;
}

/* ---- the answer ---- */

static const char *
type_name(mode_t mode)
{
	return S_ISREG(mode) ? "file"
	    : S_ISDIR(mode)  ? "directory"
	    : S_ISLNK(mode)  ? "symlink"
	    : S_ISFIFO(mode) ? "fifo"
	    : S_ISSOCK(mode) ? "socket"
			     : "device";
}

/* Whether FD is what HOW may hand out; regular files for writing are emptied here, now that they are known to be
 * that. */
static int
check_opened(const char *how, int fd, struct stat *st, struct error *err)
{
	struct statfs fs;
	bool content = strcmp(how, "read") == 0 || strcmp(how, "write") == 0;
	if (fd < 0 || fstat(fd, st) < 0)
		return error_set(err, EIO, "sandbox_failed", "no descriptor came");
	if (content && !S_ISREG(st->st_mode))
		return error_set(err, EINVAL, "not_a_file", "it is a %s, not a regular file",
		    type_name(st->st_mode));
	if (strcmp(how, "list") == 0 && !S_ISDIR(st->st_mode))
		return error_set(err, ENOTDIR, "not_a_directory", "it is not a directory");
	if (fstatfs(fd, &fs) == 0 && (fs.f_type == PROC_MAGIC || fs.f_type == SYSFS_MAGIC))
		return error_set(
		    err, EACCES, "not_a_file", "it is the kernel's, not a file of the sandbox");
	if (strcmp(how, "write") == 0 && ftruncate(fd, 0) < 0)
		return error_set_errno(err, errno, "write_failed", "cannot empty it");
	return 0;
}

static void
answer(const struct session_waiter *waiter, struct msg *m)
{
	struct error err = {0};
	struct stat st = {0};
	int number = (int)json_get_int(m->body, "errno", EIO);
	_cleanup_close_ int fd = msg_take_fd(m, 0);
	if (number != 0)
		(void)error_set_errno(&err, number, "file_failed", "in the sandbox");
	else
		(void)check_opened(waiter->how, fd, &st, &err);
	if (err.code[0] != 0) {
		(void)conn_send_error(waiter->client, waiter->client_serial, &err);
		return;
	}
	struct json *body = json_new_object();
	bool hand_out = strcmp(waiter->how, "read") == 0 || strcmp(waiter->how, "write") == 0 ||
	    strcmp(waiter->how, "list") == 0;
	(void)json_set_str(body, "type", type_name(st.st_mode));
	(void)json_set_int(body, "size", st.st_size);
	(void)json_set_int(body, "mode", st.st_mode & 07777);
	(void)json_set_int(
	    body, "mtime_ms", (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000);
	(void)conn_send(
	    waiter->client, MSG_SESSION_FILE, waiter->client_serial, body, &fd, hand_out ? 1 : 0);
	json_free(body);
}

void
session_on_opened(struct session *session, struct msg *m)
{
	for (struct session_waiter **at = &session->waiters; *at != NULL; at = &(*at)->next) {
		struct session_waiter *waiter = *at;
		if (waiter->serial != m->serial)
			continue;
		*at = waiter->next;
		answer(waiter, m);
		free(waiter);
		return;
	}
}
