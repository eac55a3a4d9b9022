/* Walks a ledger's records and shows them to people. */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"
#include "ledgerfmt/reader.h"
#include "ledgerfmt/record.h"

/* Called for each record; what it gets is valid until it returns. Not 0 stops the walk, which returns
 * it. */
typedef int record_fn(
    void *data, uint32_t segment, const struct line *line, const struct record *record);
/* All records from byte OFFSET of segment FIRST on. A line that is not a record is reported on standard
 * error and skipped: showing is not verifying. 0, what FN returned, or a negative errno with ERR. */
int records_each(int dir_fd, uint32_t first, int64_t offset, record_fn *fn, void *data,
    struct error *err) MUST_CHECK;
/* Reads one record's line into OUT (cleared). 0 or a negative errno. */
int record_read(int dir_fd, uint32_t segment, int64_t offset, size_t len, struct buf *out,
    struct record *ret) MUST_CHECK;

/* Appends TEXT so that a terminal shows it and nothing more (log_escape, without its bound). */
void add_escaped(struct buf *out, const char *text, size_t len);
/* Appends the record as one line for people. */
void add_summary(struct buf *out, const struct record *record);
/* Appends the whole record for people. */
void add_full(struct buf *out, const struct record *record);
/* Appends the record as it stands, with a newline. */
void add_raw(struct buf *out, const char *line, size_t len);

/* The decision that a record's data tells ("allow", "deny", …), or "". Borrowed from DATA. */
const char *record_decision(const struct json *data);
