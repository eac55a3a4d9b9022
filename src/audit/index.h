/* An index over the ledger, so that a question about a long history need not read all of it.
 *
 * SQLite, in <state>/audit/index.db where the caller may write there (and the ledger is the state
 * directory's own), else in memory. It is not evidence: it says where records are, and what is shown is
 * read from the segments. It is brought up to date before each use, and made anew when it does not fit
 * the segments. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "audit/records.h"

struct index_filter {
	bool by_seq;
	uint64_t seq;
	const char *task, *action, *event, *decision; /* NULL: any */
	int64_t since_ms, until_ms;
	uint64_t limit; /* the latest ones, if there are more */
};

#define INDEX_FILTER_ALL                                                          \
	{                                                                         \
		.since_ms = INT64_MIN, .until_ms = INT64_MAX, .limit = UINT32_MAX \
	}

/* Calls FN for each record of the ledger in DIR_FD that fits FILTER, in order. IS_DEFAULT: it is the
 * state directory's. 0, or a negative errno with ERR. */
int index_query(int dir_fd, bool is_default, const struct index_filter *filter, record_fn *fn,
    void *data, struct error *err) MUST_CHECK;
