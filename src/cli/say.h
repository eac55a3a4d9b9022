/* What the CLI prints: one-line messages, errors, and whole buffers, each with as few writes as can
 * be. No stdio: the hot path touches none of it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"

/* `ringfence: …` and a newline on standard error. */
void say(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* `ringfence: MESSAGE; REMEDY`: one line, escaped. */
void say_error(const struct error *err);
/* Writes all of it to FD. 0 or -errno (-EPIPE when nobody reads). */
int say_write(int fd, const void *bytes, size_t len);
/* Writes what B holds to standard output; 0, or an exit code after saying what failed. */
int say_out(struct buf *b);
/* V as JSON on standard output: indented on a terminal, where what a terminal would act on is escaped; canonical
 * and one line otherwise. As say_out. */
int say_json(const struct json *v);

enum json_form { JSON_CANONICAL, JSON_INDENTED };
/* Appends V and a newline; a failure marks OUT failed. */
void say_add_json(struct buf *out, const struct json *v, enum json_form form);
/* Appends TEXT (NULL: "-") so that a terminal shows it and nothing more. */
void say_add_text(struct buf *out, const char *text);
/* Appends bytes as people read them: "512 MiB", "3.2 KiB". */
void say_add_bytes(struct buf *out, int64_t bytes);
/* Appends a duration: "60 s", "15 min", "2.5 ms". */
void say_add_ns(struct buf *out, int64_t ns);

/* Bold and the like, only where FD is a terminal, NO_COLOR is unset and TERM is not "dumb". */
bool say_colours(int fd);

/* A table: columns are as wide as their widest cell. */
#define TABLE_COLUMNS 10
struct table {
	size_t columns;
	size_t n_cells;
	char **cells; /* owned; row by row, the first row is the head */
	bool failed;
};
void table_init(struct table *t, size_t columns);
/* Adds the next cell; TEXT is escaped and copied; NULL is "-". */
void table_cell(struct table *t, const char *text);
void table_cellf(struct table *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Appends the table to OUT and frees it. */
void table_print(struct table *t, struct buf *out);
