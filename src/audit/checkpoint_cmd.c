/* `ringfence audit checkpoint`: asks the running ledger to sign what it has, and prints the note; with
 * no ledger running, prints its last one. --witness also appends it to a file elsewhere, which is what
 * makes cutting off the end show (`verify --since`). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "audit/audit.h"
#include "ipc/messages.h"
#include "ipc/msg.h"
#include "ipc/paths.h"
#include "ledgerfmt/files.h"
#include "ledgerfmt/note.h"

#define ANSWER_MS 10000

int
checkpoint_ask(struct buf *out, struct error *err)
{
	char path[PATHS_MAX];
	struct msg reply = MSG_INIT;
	int r = paths_run_socket("ledger", path, err);
	if (r < 0)
		return r;
	_cleanup_close_ int fd = msg_connect(path);
	if (fd == -ENOENT || fd == -ECONNREFUSED)
		return 0;
	if (fd < 0)
		return error_set_errno(
		    err, -fd, "ledger_unreachable", "cannot reach the ledger at %s", path);
	r = msg_call(fd, MSG_CHECKPOINT, NULL, NULL, 0, ANSWER_MS, &reply, err);
	if (r < 0)
		return r;
	r = buf_add_str(out, json_get_str(reply.body, "note", ""));
	msg_done(&reply);
	return r < 0 ? error_set(err, -r, "no_memory", "out of memory") : 1;
}

void
checkpoint_refresh(void)
{
	struct error err;
	_cleanup_buf_ struct buf note;
	buf_init(&note, NOTE_BYTES_MAX);
	(void)!checkpoint_ask(&note, &err);
}

static int
read_latest(const char *dir, struct buf *out, struct error *err)
{
	char path[64];
	_cleanup_close_ int fd = ledger_open(dir, NULL, err);
	if (fd < 0)
		return fd;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/" FILES_CHECKPOINT, fd);
	if (file_read(path, NOTE_BYTES_MAX, out, err) < 0 || out->len == 0) {
		error_set(err, ENOENT, "no_checkpoint", "the ledger has no checkpoint yet");
		return -ENOENT;
	}
	return 0;
}

static int
add_to_witness(const char *file, const struct buf *note, struct error *err)
{
	_cleanup_close_ int fd =
	    open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644);
	int r = fd < 0 ? -errno : files_write_all(fd, note->data, note->len);
	if (r == 0)
		r = files_write_all(fd, "\n", 1);
	if (r == 0 && fsync(fd) < 0 && errno != EINVAL)
		r = -errno;
	return r < 0 ? error_set_errno(err, -r, "witness", "cannot append to %s", file) : 0;
}

int
checkpoint_main(int argc, char **argv)
{
	const char *dir = NULL, *witness = NULL, *operand;
	struct error err = {.remedy = ""};
	_cleanup_buf_ struct buf note;
	size_t n, body;
	const struct option_spec specs[] = {
	    {"--dir", &dir, NULL}, {"--witness", &witness, NULL}, {0}};
	buf_init(&note, NOTE_BYTES_MAX);
	if (options_parse(argc, argv, specs, &operand, 0, &n, &err) < 0)
		return complain(&err);
	int r = dir == NULL ? checkpoint_ask(&note, &err) : 0;
	if (r < 0)
		return complain(&err);
	if (r == 0) {
		if (read_latest(dir, &note, &err) < 0)
			return complain(&err);
		(void)fprintf(
		    stderr, "ringfence audit: no ledger is running; this is its last one\n");
	}
	if (note_extent(buf_str(&note), note.len, &body) != note.len) {
		error_set(&err, EINVAL, "no_checkpoint", "the checkpoint is malformed");
		return complain(&err);
	}
	if (witness != NULL && add_to_witness(witness, &note, &err) < 0)
		return complain(&err);
	return print_out(&note);
}
