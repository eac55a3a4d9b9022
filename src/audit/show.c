/* `ringfence audit show`: all records of one action, or the record of one number. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "audit/audit.h"
#include "audit/index.h"
#include "audit/records.h"

struct show {
	int dir_fd;
	bool json;
	struct buf out;
	unsigned found;
};

static int
show_found(void *data, uint32_t segment, const struct line *line, const struct record *record)
{
	struct show *s = data;
	if (s->json)
		add_raw(&s->out, line->text, line->len);
	else
		add_full(&s->out, record);
	s->found++;
	int r = print_out(&s->out);
	buf_clear(&s->out);
	return r == 0 ? 0 : -EIO;
}

int
show_main(int argc, char **argv)
{
	const char *dir = NULL, *what = NULL;
	struct show s = {.json = false};
	struct error err = {.remedy = ""};
	size_t n;
	const struct option_spec specs[] = {{"--dir", &dir, NULL}, {"--json", NULL, &s.json}, {0}};
	if (options_parse(argc, argv, specs, &what, 1, &n, &err) < 0)
		return complain(&err);
	if (n == 0) {
		error_set(
		    &err, EINVAL, "usage", "show what? give an action's id or a record's number");
		return complain(&err);
	}
	bool is_default;
	_cleanup_close_ int fd = ledger_open(dir, &is_default, &err);
	if (fd < 0)
		return complain(&err);
	s.dir_fd = fd;
	buf_init(&s.out, 32 * 1024 * 1024);
	struct index_filter filter = INDEX_FILTER_ALL;
	if (option_number(what, &filter.seq, NULL) == 0)
		filter.by_seq = true;
	else
		filter.action = what;
	int r = index_query(fd, is_default, &filter, show_found, &s, &err);
	buf_done(&s.out);
	if (r < 0)
		return complain(&err);
	if (s.found == 0) {
		error_set(&err, ENOENT, "not_found",
		    "the ledger has no such record or action: %.80s", what);
		return complain(&err);
	}
	return 0;
}
