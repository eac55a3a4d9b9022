#include "sandbox/workspace_list.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

const char *
change_kind_name(enum change_kind kind)
{
	static const char *const names[] = {"added", "modified", "deleted"};
	return (unsigned)kind < ARRAY_LEN(names) ? names[kind] : NULL;
}

const char *
entry_type_name(enum entry_type type)
{
	static const char *const names[] = {
	    "none", "file", "directory", "symlink", "fifo", "socket", "device"};
	return (unsigned)type < ARRAY_LEN(names) ? names[type] : NULL;
}

/* In the order of enum change_flag. */
static const char *const flag_names[] = {"content", "mode", "type", "setid-removed",
    "leads-outside", "special", "reserved", "unread", "conflict"};

bool
change_is_withheld(const struct change *change)
{
	return change->kind == CHANGE_DELETED
	    ? (change->flags & CHANGE_PRIVATE) != 0
	    : (change->flags & (CHANGE_SPECIAL | CHANGE_PRIVATE | CHANGE_OUTSIDE)) != 0;
}

bool
path_is_below(const char *path, const char *directory)
{
	size_t len = strlen(directory);
	return strncmp(path, directory, len) == 0 && path[len] == '/';
}

void
changes_done(struct changes *changes)
{
	for (size_t i = 0; i < changes->n; i++) {
		free(changes->items[i].path);
		free(changes->items[i].target);
	}
	free(changes->items);
	*changes = (struct changes){0};
}

/* By bytes, with the slash lowest, so that a directory's contents follow it directly. */
static int
compare_changes(const void *a, const void *b)
{
	const unsigned char *p = (const unsigned char *)((const struct change *)a)->path;
	const unsigned char *q = (const unsigned char *)((const struct change *)b)->path;
	while (*p == *q && *p != 0) {
		p++;
		q++;
	}
	int x = *p == '/' ? 1 : *p == 0 ? 0 : *p + 1;
	int y = *q == '/' ? 1 : *q == 0 ? 0 : *q + 1;
	return x - y;
}

/* The digest covers what a commit would do; a conflict is a matter of the moment and is left out. */
static void
digest_change(struct sha256 *h, const struct change *c)
{
	char line[256], hash[SHA256_HEX];
	hex_encode(c->hash, sizeof(c->hash), hash);
	int n = snprintf(line, sizeof(line), "%s %s %o %lld %s %s %o %x", change_kind_name(c->kind),
	    entry_type_name(c->type), c->mode, (long long)c->size, hash,
	    entry_type_name(c->old_type), c->old_mode, c->flags & ~(unsigned)CHANGE_CONFLICT);
	sha256_update(h, line, (size_t)n + 1);
	sha256_update(h, c->path, strlen(c->path) + 1);
}

void
changes_finish(struct changes *changes)
{
	static const char version[] = "ringfence changes 1";
	uint8_t digest[SHA256_BYTES];
	struct sha256 h;
	if (changes->n > 1)
		qsort(changes->items, changes->n, sizeof(*changes->items), compare_changes);
	sha256_init(&h);
	sha256_update(&h, version, sizeof(version));
	for (size_t i = 0; i < changes->n; i++) {
		const struct change *c = &changes->items[i];
		digest_change(&h, c);
		changes->counts[c->kind]++;
		changes->flags |= c->flags;
		changes->files += c->type != ENTRY_DIR;
		if (c->kind != CHANGE_DELETED &&
		    (c->flags & CHANGE_CONTENT || c->kind == CHANGE_ADDED))
			changes->bytes += c->size;
	}
	sha256_final(&h, digest);
	hex_encode(digest, sizeof(digest), changes->digest);
}

/* ---- JSON ---- */

static struct json *
flags_to_json(uint32_t flags)
{
	struct json *list = json_new_array();
	for (unsigned i = 0; i < ARRAY_LEN(flag_names); i++)
		if (flags & 1u << i)
			(void)json_push(list, json_new_string(flag_names[i]));
	return list;
}

/* A path that is not UTF-8 is lossy in JSON: "path_hex" has its bytes. */
static void
set_path(struct json *o, const char *path)
{
	struct json *v = json_new_string(path);
	if (v != NULL && strcmp(json_str(v, ""), path) != 0) {
		char *hex = malloc(strlen(path) * 2 + 1);
		if (hex != NULL)
			hex_encode((const uint8_t *)path, strlen(path), hex);
		(void)json_set(o, "path_hex", hex == NULL ? NULL : json_new_string(hex));
		free(hex);
	}
	(void)json_set(o, "path", v);
}

static void
set_mode(struct json *o, const char *name, mode_t mode)
{
	char text[8];
	(void)snprintf(text, sizeof(text), "%04o", mode & 07777);
	(void)json_set_str(o, name, text);
}

static struct json *
change_to_json(const struct change *c)
{
	char hash[SHA256_HEX];
	struct json *o = json_new_object();
	set_path(o, c->path);
	(void)json_set_str(o, "change", change_kind_name(c->kind));
	(void)json_set_str(o, "type", entry_type_name(c->type));
	(void)json_set_int(o, "size", c->size);
	set_mode(o, "mode", c->mode);
	if (c->kind == CHANGE_MODIFIED) {
		(void)json_set_str(o, "old_type", entry_type_name(c->old_type));
		(void)json_set_int(o, "old_size", c->old_size);
		set_mode(o, "old_mode", c->old_mode);
	}
	if (c->target != NULL)
		(void)json_set_str(o, "target", c->target);
	if (c->type == ENTRY_FILE && c->kind != CHANGE_DELETED && !(c->flags & CHANGE_UNREAD)) {
		hex_encode(c->hash, sizeof(c->hash), hash);
		(void)json_set_str(o, "sha256", hash);
	}
	if (c->flags != 0)
		(void)json_set(o, "flags", flags_to_json(c->flags));
	return o;
}

static void
set_totals(struct json *o, const struct changes *changes)
{
	for (unsigned i = 0; i < 3; i++)
		(void)json_set_int(
		    o, change_kind_name((enum change_kind)i), (int64_t)changes->counts[i]);
	(void)json_set_int(o, "files", (int64_t)changes->files);
	(void)json_set_int(o, "bytes", changes->bytes);
	(void)json_set(o, "flags", flags_to_json(changes->flags));
	(void)json_set_str(o, "digest", changes->digest);
}

struct json *
changes_to_json(const struct changes *changes)
{
	struct json *o = json_new_object();
	struct json *list = json_new_array();
	for (size_t i = 0; i < changes->n; i++)
		(void)json_push(list, change_to_json(&changes->items[i]));
	set_totals(o, changes);
	(void)json_set(o, "changes", list);
	return o;
}

struct json *
changes_summary(const struct changes *changes, size_t paths_max, size_t paths_bytes)
{
	struct json *o = json_new_object();
	struct json *paths = json_new_array();
	size_t i = 0;
	for (; i < changes->n && i < paths_max; i++) {
		size_t len = strlen(changes->items[i].path) + 4;
		if (len > paths_bytes)
			break;
		paths_bytes -= len;
		(void)json_push(paths, json_new_string(changes->items[i].path));
	}
	set_totals(o, changes);
	(void)json_set(o, "paths", paths);
	(void)json_set_int(o, "omitted", (int64_t)(changes->n - i));
	return o;
}

/* ---- text ---- */

static int
add_escaped(struct buf *out, const char *text)
{
	char shown[WORKSPACE_PATH_MAX * 4 + 16];
	log_escape(text, strlen(text), shown, sizeof(shown));
	return buf_add_str(out, shown);
}

static void
add_remarks(const struct change *c, struct buf *out)
{
	static const struct {
		uint32_t flag;
		const char *text;
	} remarks[] = {
	    {CHANGE_OUTSIDE, "leads outside the workspace, never committed"},
	    {CHANGE_SETID, "set-id bits are not kept"},
	    {CHANGE_SPECIAL, "never committed"},
	    {CHANGE_PRIVATE, "reserved name, never committed"},
	    {CHANGE_UNREAD, "too large or unreadable"},
	    {CHANGE_CONFLICT, "your copy changed since the run began"},
	};
	if (c->target != NULL) {
		(void)buf_add_str(out, " -> ");
		(void)add_escaped(out, c->target);
	}
	if (c->flags & CHANGE_TYPE)
		(void)buf_addf(out, " (was a %s)", entry_type_name(c->old_type));
	if (c->flags & CHANGE_MODE)
		(void)buf_addf(out, " (mode %04o, was %04o)", c->mode, c->old_mode);
	for (size_t i = 0; i < ARRAY_LEN(remarks); i++)
		if (c->flags & remarks[i].flag)
			(void)buf_addf(out, " (%s)", remarks[i].text);
}

int
changes_to_text(const struct changes *changes, struct buf *out)
{
	for (size_t i = 0; i < changes->n; i++) {
		const struct change *c = &changes->items[i];
		(void)buf_addf(out, "%-8s  %-9s  %9lld  ", change_kind_name(c->kind),
		    entry_type_name(c->type), (long long)c->size);
		(void)add_escaped(out, c->path);
		if (c->type == ENTRY_DIR)
			(void)buf_add_char(out, '/');
		add_remarks(c, out);
		(void)buf_add_char(out, '\n');
	}
	if (changes->n == 0)
		(void)buf_add_str(out, "no changes\n");
	else
		(void)buf_addf(out, "%zu added, %zu modified, %zu deleted; %lld bytes\n",
		    changes->counts[CHANGE_ADDED], changes->counts[CHANGE_MODIFIED],
		    changes->counts[CHANGE_DELETED], (long long)changes->bytes);
	return buf_failed(out) ? -EMSGSIZE : 0;
}
