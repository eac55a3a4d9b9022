/* `ringfence audit tail [-f]`: the last records, and those that come, as inotify(7) tells of them. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>

#include "audit/audit.h"
#include "audit/records.h"
#include "ledgerfmt/files.h"

#define LAST_MAX 10000

struct tail {
	int dir_fd;
	bool json;
	struct buf out;
	/* Where to go on reading. */
	uint32_t segment;
	int64_t offset;
};

static int
print_record(void *data, uint32_t segment, const struct line *line, const struct record *record)
{
	struct tail *t = data;
	if (t->json)
		add_raw(&t->out, line->text, line->len);
	else
		add_summary(&t->out, record);
	t->segment = segment;
	t->offset = line->offset + (int64_t)line->len + 1;
	int r = print_out(&t->out);
	buf_clear(&t->out);
	return r == 0 ? 0 : -EPIPE;
}

/* Where the last N lines of the ledger begin: backwards through the segments. */
static int
find_start(struct tail *t, uint64_t n, struct error *err)
{
	uint32_t first, last, count;
	int r = segment_range(t->dir_fd, &first, &last, &count);
	if (r <= 0)
		return r == 0 ? 0
			      : error_set_errno(err, -r, "unreadable", "cannot read the ledger");
	for (uint32_t s = last;; s--) {
		struct reader reader;
		r = reader_open(&reader, t->dir_fd, s, 0);
		if (r < 0)
			return error_set_errno(
			    err, -r, "unreadable", "cannot read segment %08u", s);
		size_t at = reader.len;
		while (at > 0 && reader.text[at - 1] != '\n')
			at--; /* a line that is being written */
		while (n > 0 && at > 0) {
			const char *newline = at < 2 ? NULL : memrchr(reader.text, '\n', at - 1);
			at = newline == NULL ? 0 : (size_t)(newline - reader.text) + 1;
			n--;
		}
		reader_done(&reader);
		t->segment = s;
		t->offset = (int64_t)at;
		if (n == 0 || s == first)
			return 0;
	}
}

static int
follow(struct tail *t, const char *dir, struct error *err)
{
	char path[32], events[4096];
	_cleanup_close_ int fd = inotify_init1(IN_CLOEXEC);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", t->dir_fd);
	if (fd < 0 || inotify_add_watch(fd, path, IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0)
		return error_set_errno(err, errno, "inotify", "cannot watch the ledger");
	for (;;) {
		/* Read first: what came between the reading before and the watch is not lost. */
		int r = records_each(t->dir_fd, t->segment, t->offset, print_record, t, err);
		if (r < 0)
			return r == -EPIPE ? 0 : r;
		if (read(fd, events, sizeof(events)) < 0 && errno != EINTR)
			return error_set_errno(err, errno, "inotify", "cannot watch the ledger");
	}
}

int
tail_main(int argc, char **argv)
{
	const char *dir = NULL, *number = NULL, *operand;
	bool wanted = false;
	struct tail t = {.json = false};
	struct error err = {.remedy = ""};
	uint64_t last = 10;
	size_t n;
	const struct option_spec specs[] = {{"--dir", &dir, NULL}, {"-n", &number, NULL},
	    {"-f", NULL, &wanted}, {"--follow", NULL, &wanted}, {"--json", NULL, &t.json}, {0}};
	if (options_parse(argc, argv, specs, &operand, 0, &n, &err) < 0 ||
	    (number != NULL && option_number(number, &last, &err) < 0))
		return complain(&err);
	_cleanup_close_ int fd = ledger_open(dir, NULL, &err);
	if (fd < 0)
		return complain(&err);
	t.dir_fd = fd;
	buf_init(&t.out, 32 * 1024 * 1024);
	int r = find_start(&t, MIN(last, (uint64_t)LAST_MAX), &err);
	if (r == 0)
		r = wanted ? follow(&t, dir, &err)
			   : records_each(fd, t.segment, t.offset, print_record, &t, &err);
	buf_done(&t.out);
	return r < 0 && r != -EPIPE ? complain(&err) : 0;
}
