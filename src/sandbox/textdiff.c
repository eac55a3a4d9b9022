#include "sandbox/textdiff.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/log.h"

struct line {
	const char *text;
	size_t len; /* without the newline */
	uint32_t hash;
	bool changed; /* deleted (old side) or inserted (new side) */
	bool unended; /* the last line, without a newline */
};

struct lines {
	struct line *items; /* owned */
	size_t n;
};

struct diff {
	struct lines a, b;
	size_t prefix; /* equal lines at the beginning */
	size_t suffix; /* equal lines at the end */
	bool escape;
	struct buf *out;
};

bool
textdiff_is_binary(const char *text, size_t len)
{
	return len > 0 && memchr(text, 0, len) != NULL;
}

/* ---- lines ---- */

static int
split(const char *text, size_t len, struct lines *ret)
{
	size_t n = 0;
	for (size_t i = 0; i < len; i++)
		n += text[i] == '\n';
	n += len > 0 && text[len - 1] != '\n';
	struct line *items = calloc(n + 1, sizeof(*items));
	if (items == NULL)
		return -ENOMEM;
	size_t at = 0;
	for (size_t i = 0; i < n; i++) {
		const char *end = memchr(text + at, '\n', len - at);
		struct line *l = &items[i];
		l->text = text + at;
		l->len = end != NULL ? (size_t)(end - l->text) : len - at;
		l->unended = end == NULL;
		l->hash = 2166136261u;
		for (size_t j = 0; j < l->len; j++)
			l->hash = (l->hash ^ (unsigned char)l->text[j]) * 16777619u;
		at += l->len + 1;
	}
	*ret = (struct lines){items, n};
	return 0;
}

static bool
same(const struct line *x, const struct line *y)
{
	return x->hash == y->hash && x->len == y->len && x->unended == y->unended &&
	    memcmp(x->text, y->text, x->len) == 0;
}

static void
trim(struct diff *d)
{
	size_t least = MIN(d->a.n, d->b.n);
	while (d->prefix < least && same(&d->a.items[d->prefix], &d->b.items[d->prefix]))
		d->prefix++;
	while (d->suffix < least - d->prefix &&
	    same(&d->a.items[d->a.n - 1 - d->suffix], &d->b.items[d->b.n - 1 - d->suffix]))
		d->suffix++;
}

/* ---- Myers ---- */

/* Round E keeps, for each diagonal k = -e..e, the furthest x reached with e edits. The rounds lie one
 * after the other: round e begins at e², diagonal k of it at e² + e + k. */
static size_t
slot(int e, int k)
{
	return (size_t)e * (size_t)e + (size_t)(e + k);
}

/* The furthest x on diagonal K with E edits, before following equal lines. Round e-1 has only its own
 * diagonals. */
static int
furthest(const int *reach, int e, int k)
{
	if (e == 0)
		return 0;
	int after_delete = k - 1 >= -(e - 1) ? reach[slot(e - 1, k - 1)] + 1 : -1;
	int after_insert = k + 1 <= e - 1 ? reach[slot(e - 1, k + 1)] : -1;
	return MAX(after_delete, after_insert);
}

/* Walks back from the end and marks the lines that the edits delete and insert. */
static void
mark_edits(struct line *a, int n, struct line *b, int m, const int *reach, int edits)
{
	int x = n, y = m;
	for (int e = edits; e > 0; e--) {
		int k = x - y;
		bool inserted =
		    k + 1 <= e - 1 && reach[slot(e - 1, k + 1)] == furthest(reach, e, k);
		x = reach[slot(e - 1, inserted ? k + 1 : k - 1)];
		y = x - (inserted ? k + 1 : k - 1);
		if (inserted)
			b[y].changed = true;
		else
			a[x].changed = true;
	}
}

static void
mark_all(struct line *a, int n, struct line *b, int m)
{
	for (int i = 0; i < n; i++)
		a[i].changed = true;
	for (int i = 0; i < m; i++)
		b[i].changed = true;
}

/* Marks the changed lines between prefix and suffix. */
static int
compare(struct diff *d)
{
	struct line *a = d->a.items + d->prefix, *b = d->b.items + d->prefix;
	int n = (int)(d->a.n - d->prefix - d->suffix), m = (int)(d->b.n - d->prefix - d->suffix);
	if (n == 0 || m == 0) {
		mark_all(a, n, b, m);
		return 0;
	}
	int most = MIN(n + m, TEXTDIFF_EDITS_MAX);
	int *reach = malloc(slot(most + 1, -(most + 1)) * sizeof(*reach));
	if (reach == NULL)
		return -ENOMEM;
	for (int e = 0; e <= most; e++) {
		for (int k = -e; k <= e; k += 2) {
			int x = furthest(reach, e, k);
			while (x < n && x - k < m && same(&a[x], &b[x - k]))
				x++;
			reach[slot(e, k)] = x;
			if (x >= n && x - k >= m) {
				mark_edits(a, n, b, m, reach, e);
				free(reach);
				return 0;
			}
		}
	}
	free(reach);
	mark_all(a, n, b, m);
	return 0;
}

/* ---- output ---- */

static int
add_text(struct diff *d, const char *text, size_t len)
{
	if (!d->escape)
		return buf_add(d->out, text, len);
	size_t room = len * 8 + 16; /* no escape is longer than eight characters a byte */
	_cleanup_free_ char *shown = malloc(room);
	if (shown == NULL)
		return -ENOMEM;
	while (len > 0) {
		const char *tab = memchr(text, '\t', len);
		size_t part = tab != NULL ? (size_t)(tab - text) : len;
		log_escape(text, part, shown, room);
		(void)buf_add_str(d->out, shown);
		if (tab != NULL)
			(void)buf_add_char(d->out, '\t');
		text += part + (tab != NULL);
		len -= part + (tab != NULL);
	}
	return buf_failed(d->out) ? -EMSGSIZE : 0;
}

static int
add_line(struct diff *d, char mark, const struct line *l)
{
	(void)buf_add_char(d->out, mark);
	int r = add_text(d, l->text, l->len);
	if (r == 0)
		r = buf_add_str(d->out, l->unended ? "\n\\ No newline at end of file\n" : "\n");
	return r;
}

static int
add_name(struct diff *d, const char *mark, const char *name)
{
	(void)buf_add_str(d->out, mark);
	int r = name == NULL ? buf_add_str(d->out, "/dev/null") : add_text(d, name, strlen(name));
	return r < 0 ? r : buf_add_char(d->out, '\n');
}

/* Lines [a0, a1) of the old text become [b0, b1) of the new one; equal lines stand in both. */
static int
add_hunk(struct diff *d, size_t a0, size_t a1, size_t b0, size_t b1)
{
	int r = buf_addf(d->out, "@@ -%zu,%zu +%zu,%zu @@\n", a1 > a0 ? a0 + 1 : a0, a1 - a0,
	    b1 > b0 ? b0 + 1 : b0, b1 - b0);
	while (r == 0 && (a0 < a1 || b0 < b1)) {
		if (a0 < a1 && d->a.items[a0].changed)
			r = add_line(d, '-', &d->a.items[a0++]);
		else if (b0 < b1 && d->b.items[b0].changed)
			r = add_line(d, '+', &d->b.items[b0++]);
		else {
			r = add_line(d, ' ', &d->a.items[a0++]);
			b0++;
		}
	}
	return r;
}

/* Moves *A and *B over equal lines, at most MAX; returns how many. */
static size_t
skip_equal(const struct diff *d, size_t *a, size_t *b, size_t max)
{
	size_t n = 0;
	while (n < max && *a < d->a.n && *b < d->b.n && !d->a.items[*a].changed &&
	    !d->b.items[*b].changed) {
		(*a)++;
		(*b)++;
		n++;
	}
	return n;
}

static void
skip_changed(const struct diff *d, size_t *a, size_t *b)
{
	while (*a < d->a.n && d->a.items[*a].changed)
		(*a)++;
	while (*b < d->b.n && d->b.items[*b].changed)
		(*b)++;
}

static int
add_hunks(struct diff *d, size_t context)
{
	size_t a = 0, b = 0;
	int r = 0;
	size_t before = skip_equal(d, &a, &b, SIZE_MAX);
	while (r == 0 && (a < d->a.n || b < d->b.n)) {
		size_t lead = MIN(before, context);
		size_t a0 = a - lead, b0 = b - lead;
		for (;;) {
			skip_changed(d, &a, &b);
			size_t end_a = a, end_b = b;
			/* Hunks whose context would touch are one. */
			before = skip_equal(d, &a, &b, 2 * context + 1);
			if (before > 2 * context || (a == d->a.n && b == d->b.n)) {
				size_t tail = MIN(before, context);
				r = add_hunk(d, a0, end_a + tail, b0, end_b + tail);
				break;
			}
		}
		before += skip_equal(d, &a, &b, SIZE_MAX);
	}
	return r;
}

static bool
any_changed(const struct lines *lines)
{
	for (size_t i = 0; i < lines->n; i++)
		if (lines->items[i].changed)
			return true;
	return false;
}

int
textdiff_unified(const struct textdiff_side *old, const struct textdiff_side *now, size_t context,
    bool escape, struct buf *out)
{
	struct diff d = {.escape = escape, .out = out};
	if (old->len > TEXTDIFF_BYTES_MAX || now->len > TEXTDIFF_BYTES_MAX)
		return -EFBIG;
	int r = split(old->text, old->len, &d.a);
	if (r == 0)
		r = split(now->text, now->len, &d.b);
	if (r == 0) {
		trim(&d);
		r = compare(&d);
	}
	if (r == 0 && (any_changed(&d.a) || any_changed(&d.b))) {
		r = add_name(&d, "--- ", old->name);
		if (r == 0)
			r = add_name(&d, "+++ ", now->name);
		if (r == 0)
			r = add_hunks(&d, context);
	}
	free(d.a.items);
	free(d.b.items);
	return r;
}
