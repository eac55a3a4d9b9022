/* Shows every change as a unified diff, or in one line where a diff says nothing. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "sandbox/textdiff.h"
#include "sandbox/workspace.h"
#include "sandbox/workspace_fs.h"

#define DIFF_CONTEXT 3

/* Reads PATH below DIR as a whole. -EFBIG past what a diff may compare. */
static int
read_side(int dir, const char *path, struct buf *ret)
{
	_cleanup_close_ int fd = wsfs_open_forced(dir, path);
	if (fd < 0)
		return fd;
	for (;;) {
		uint8_t *at = buf_reserve(ret, 65536);
		if (at == NULL)
			return -EFBIG;
		ssize_t n = read(fd, at, 65536);
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		buf_grew(ret, (size_t)n);
		if (ret->len > TEXTDIFF_BYTES_MAX)
			return -EFBIG;
	}
}

static int
add_note(const struct change *c, const char *note, bool escape, struct buf *out)
{
	char shown[WORKSPACE_PATH_MAX * 4 + 16];
	if (escape)
		log_escape(c->path, strlen(c->path), shown, sizeof(shown));
	else
		(void)snprintf(shown, sizeof(shown), "%s", c->path);
	return buf_addf(out, "%s %s: %s\n", change_kind_name(c->kind), shown, note);
}

/* The new and the old contents of a file, whichever exist. */
static int
read_sides(const struct change *c, int upper, int lower, struct buf *old, struct buf *now)
{
	int r = 0;
	if (c->old_type == ENTRY_FILE)
		r = read_side(lower, c->path, old);
	if (r == 0 && c->kind != CHANGE_DELETED && c->type == ENTRY_FILE)
		r = read_side(upper, c->path, now);
	return r;
}

static int
diff_file(const struct change *c, int upper, int lower, bool escape, struct buf *out)
{
	_cleanup_buf_ struct buf old, now;
	buf_init(&old, TEXTDIFF_BYTES_MAX + 2 * 65536);
	buf_init(&now, TEXTDIFF_BYTES_MAX + 2 * 65536);
	int r = read_sides(c, upper, lower, &old, &now);
	if (r == -EFBIG)
		return add_note(c, "too large to compare", escape, out);
	if (r < 0)
		return add_note(c, "not readable", escape, out);
	if (textdiff_is_binary(buf_str(&old), old.len) ||
	    textdiff_is_binary(buf_str(&now), now.len))
		return add_note(c, "binary", escape, out);
	char a[WORKSPACE_PATH_MAX + 2], b[WORKSPACE_PATH_MAX + 2];
	(void)snprintf(a, sizeof(a), "a/%s", c->path);
	(void)snprintf(b, sizeof(b), "b/%s", c->path);
	struct textdiff_side before = {
	    buf_str(&old), old.len, c->old_type == ENTRY_FILE ? a : NULL};
	struct textdiff_side after = {buf_str(&now), now.len, c->kind == CHANGE_DELETED ? NULL : b};
	if (old.len == 0 && now.len == 0)
		return add_note(c, "empty file", escape, out);
	return textdiff_unified(&before, &after, DIFF_CONTEXT, escape, out);
}

static int
diff_change(const struct change *c, int upper, int lower, bool escape, struct buf *out)
{
	char note[WORKSPACE_PATH_MAX * 4 + 64];
	if (c->flags & CHANGE_MODE) {
		(void)snprintf(note, sizeof(note), "mode %04o, was %04o", c->mode, c->old_mode);
		int r = add_note(c, note, escape, out);
		if (r < 0 || !(c->flags & CHANGE_CONTENT))
			return r;
	}
	if (change_is_withheld(c))
		return add_note(c, "never committed", escape, out);
	if (c->type == ENTRY_SYMLINK && c->target != NULL) {
		int n = snprintf(note, sizeof(note), "symbolic link to ");
		if (escape)
			log_escape(
			    c->target, strlen(c->target), note + n, sizeof(note) - (size_t)n);
		else
			(void)snprintf(note + n, sizeof(note) - (size_t)n, "%s", c->target);
		return add_note(c, note, escape, out);
	}
	if (c->type == ENTRY_FILE)
		return diff_file(c, upper, lower, escape, out);
	return add_note(c, entry_type_name(c->type), escape, out);
}

int
changes_diff(const struct changes *changes, int upper, int lower, bool escape, struct buf *out,
    struct error *err)
{
	for (size_t i = 0; i < changes->n; i++) {
		int r = diff_change(&changes->items[i], upper, lower, escape, out);
		if (r == -EMSGSIZE)
			return error_set(err, EMSGSIZE, "diff_too_large",
			    "the difference is longer than %zu bytes", out->limit);
		if (r < 0)
			return error_set_errno(
			    err, -r, "workspace_unreadable", "cannot compare the workspace");
	}
	return 0;
}
