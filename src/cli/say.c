/* Printing for people and programs: every line is built in a buffer and written once. Text that an
 * agent could have chosen is escaped here, where it meets the terminal. */
#include "cli/say.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/cli.h"

int
say_write(int fd, const void *bytes, size_t len)
{
	const char *p = bytes;
	while (len > 0) {
		ssize_t n = write(fd, p, len);
		if (n < 0 && errno == EAGAIN) {
			struct pollfd wait = {.fd = fd, .events = POLLOUT};
			(void)poll(&wait, 1, -1);
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

void
say(const char *fmt, ...)
{
	char text[1400], shown[2800];
	va_list args;
	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	size_t head = strlen("ringfence: ");
	memcpy(shown, "ringfence: ", head);
	log_escape(text, strlen(text), shown + head, sizeof(shown) - head - 1);
	size_t len = strlen(shown);
	shown[len++] = '\n';
	(void)say_write(STDERR_FILENO, shown, len);
}

void
say_error(const struct error *err)
{
	if (err->remedy[0] != 0)
		say("%s; %s", err->message, err->remedy);
	else
		say("%s", err->message);
}

int
say_out(struct buf *b)
{
	if (buf_failed(b)) {
		say("out of memory");
		return EXIT_RINGFENCE;
	}
	int r = say_write(STDOUT_FILENO, buf_str(b), b->len);
	if (r == -EPIPE)
		return EXIT_BROKEN_PIPE;
	if (r < 0) {
		say("standard output: %s", strerror(-r));
		return EXIT_RINGFENCE;
	}
	return 0;
}

void
say_add_json(struct buf *out, const struct json *v, enum json_form form)
{
	int r = form == JSON_INDENTED ? json_write_pretty(v, out) : json_write(v, out);
	if (r < 0)
		out->failed = true;
	else if (out->len == 0 || out->data[out->len - 1] != '\n')
		(void)buf_add_char(out, '\n');
}

/* Whether a terminal would act on the character of N bytes at P, or hide what it does to the text: controls above
 * ASCII, and what turns the direction of writing or joins invisibly. JSON leaves them as they are. */
static bool
is_acted_on(const uint8_t *p, size_t n)
{
	if (n == 1)
		return p[0] == 0x7f;
	if (n == 2)
		return p[0] == 0xc2 && p[1] < 0xa0;
	if (n != 3 || p[0] != 0xe2)
		return n == 3 && p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf;
	return (p[1] == 0x80 &&
		   ((p[2] >= 0x8b && p[2] <= 0x8f) || (p[2] >= 0xa8 && p[2] <= 0xae))) ||
	    (p[1] == 0x81 && p[2] >= 0xa0);
}

/* TEXT is JSON in UTF-8: such characters stand only in its strings, where an escape means the same. */
static void
add_json_for_terminal(struct buf *out, const struct buf *text)
{
	for (size_t i = 0, n; i < text->len; i += n) {
		const uint8_t *p = text->data + i;
		n = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
		n = MIN(n, text->len - i);
		if (!is_acted_on(p, n)) {
			(void)buf_add(out, p, n);
			continue;
		}
		unsigned c = n == 1 ? p[0]
		    : n == 2        ? (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu)
				    : (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
		(void)buf_addf(out, "\\u%04x", c);
	}
}

int
say_json(const struct json *v)
{
	_cleanup_buf_ struct buf out, shown;
	buf_init(&out, SIZE_MAX / 2);
	buf_init(&shown, SIZE_MAX / 2);
	bool terminal = isatty(STDOUT_FILENO) == 1;
	say_add_json(&out, v, terminal ? JSON_INDENTED : JSON_CANONICAL);
	if (!terminal || out.failed)
		return say_out(&out);
	add_json_for_terminal(&shown, &out);
	return say_out(&shown);
}

void
say_add_text(struct buf *out, const char *text)
{
	if (text == NULL) {
		(void)buf_add_char(out, '-');
		return;
	}
	size_t len = strlen(text), room = len * 8 + 16;
	_cleanup_free_ char *shown = malloc(room);
	if (shown == NULL) {
		out->failed = true;
		return;
	}
	log_escape(text, len, shown, room);
	(void)buf_add_str(out, shown);
}

/* VALUE / UNIT with one decimal where it is not whole. */
static void
add_scaled(struct buf *out, int64_t value, int64_t unit, const char *name)
{
	int64_t tenths = (value % unit) * 10 / unit;
	if (tenths == 0)
		(void)buf_addf(out, "%lld %s", (long long)(value / unit), name);
	else
		(void)buf_addf(
		    out, "%lld.%lld %s", (long long)(value / unit), (long long)tenths, name);
}

void
say_add_bytes(struct buf *out, int64_t bytes)
{
	static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	int64_t unit = 1;
	size_t i = 0;
	while (i + 1 < ARRAY_LEN(names) && bytes / unit >= 1024) {
		unit *= 1024;
		i++;
	}
	add_scaled(out, bytes, unit, names[i]);
}

void
say_add_ns(struct buf *out, int64_t ns)
{
	static const struct {
		int64_t unit;
		const char *name;
	} units[] = {{3600000000000, "h"}, {60000000000, "min"}, {1000000000, "s"}, {1000000, "ms"},
	    {1000, "µs"}};
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (ns >= units[i].unit * (i < 2 ? 2 : 1)) {
			add_scaled(out, ns, units[i].unit, units[i].name);
			return;
		}
	(void)buf_addf(out, "%lld ns", (long long)ns);
}

bool
say_colours(int fd)
{
	const char *none = getenv("NO_COLOR"), *term = getenv("TERM");
	if ((none != NULL && none[0] != 0) || term == NULL || strcmp(term, "dumb") == 0)
		return false;
	return isatty(fd) == 1;
}

/* ---- tables ---- */

void
table_init(struct table *t, size_t columns)
{
	*t = (struct table){.columns = MIN(columns, (size_t)TABLE_COLUMNS)};
}

void
table_cell(struct table *t, const char *text)
{
	struct buf cell;
	buf_init(&cell, 1 << 20);
	say_add_text(&cell, text == NULL || text[0] == 0 ? NULL : text);
	char **cells = realloc(t->cells, (t->n_cells + 1) * sizeof(*cells));
	if (cells == NULL || buf_failed(&cell)) {
		buf_done(&cell);
		t->failed = true;
		t->cells = cells == NULL ? t->cells : cells;
		return;
	}
	t->cells = cells;
	t->cells[t->n_cells++] = buf_take(&cell);
}

void
table_cellf(struct table *t, const char *fmt, ...)
{
	char text[512];
	va_list args;
	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	table_cell(t, text);
}

/* Columns that TEXT takes on a terminal, counting a code point as one. */
static size_t
text_width(const char *text)
{
	size_t width = 0;
	for (; *text != 0; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

void
table_print(struct table *t, struct buf *out)
{
	size_t widths[TABLE_COLUMNS] = {0};
	for (size_t i = 0; i < t->n_cells; i++)
		widths[i % t->columns] = MAX(widths[i % t->columns], text_width(t->cells[i]));
	for (size_t i = 0; i < t->n_cells; i++) {
		size_t column = i % t->columns;
		bool last = column + 1 == t->columns;
		(void)buf_add_str(out, t->cells[i]);
		for (size_t pad = text_width(t->cells[i]); !last && pad < widths[column] + 2; pad++)
			(void)buf_add_char(out, ' ');
		if (last)
			(void)buf_add_char(out, '\n');
		free(t->cells[i]);
	}
	free(t->cells);
	if (t->failed)
		out->failed = true;
	*t = (struct table){.columns = t->columns};
}
