/* `ringfence audit query`: searches the ledger through its index. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "audit/audit.h"
#include "audit/index.h"
#include "audit/records.h"

struct query {
	bool json;
	struct buf out;
};

static int
print_found(void *data, uint32_t segment, const struct line *line, const struct record *record)
{
	struct query *q = data;
	if (q->json)
		add_raw(&q->out, line->text, line->len);
	else
		add_summary(&q->out, record);
	if (q->out.len < 65536)
		return 0;
	int r = print_out(&q->out);
	buf_clear(&q->out);
	return r == 0 ? 0 : -EIO;
}

int
query_main(int argc, char **argv)
{
	const char *dir = NULL, *since = NULL, *until = NULL, *limit = NULL;
	struct query q = {.json = false};
	struct index_filter filter = INDEX_FILTER_ALL;
	struct error err = {.remedy = ""};
	size_t n;
	const char *operand;
	const struct option_spec specs[] = {{"--dir", &dir, NULL}, {"--task", &filter.task, NULL},
	    {"--action", &filter.action, NULL}, {"--event", &filter.event, NULL},
	    {"--decision", &filter.decision, NULL}, {"--since", &since, NULL},
	    {"--until", &until, NULL}, {"--limit", &limit, NULL}, {"--json", NULL, &q.json}, {0}};
	if (options_parse(argc, argv, specs, &operand, 0, &n, &err) < 0 ||
	    (since != NULL && option_time(since, &filter.since_ms, &err) < 0) ||
	    (until != NULL && option_time(until, &filter.until_ms, &err) < 0) ||
	    (limit != NULL && option_number(limit, &filter.limit, &err) < 0))
		return complain(&err);
	bool is_default;
	_cleanup_close_ int fd = ledger_open(dir, &is_default, &err);
	if (fd < 0)
		return complain(&err);
	buf_init(&q.out, 32 * 1024 * 1024);
	int r = index_query(fd, is_default, &filter, print_found, &q, &err);
	int printed = print_out(&q.out);
	buf_done(&q.out);
	return r < 0 ? complain(&err) : printed;
}
