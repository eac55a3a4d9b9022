#include "sandbox/workspace_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/log.h"
#include "sandbox/workspace.h"
#include "sandbox/workspace_fs.h"

#define JOURNAL_BYTES_MAX (256 * 1024 * 1024)
#define RENAME_NOREPLACE_FLAG \
	1u                      /* RENAME_NOREPLACE and RENAME_EXCHANGE of linux/fs.h, which musl */
#define RENAME_EXCHANGE_FLAG 2u /* has no header for */

static const char *const kind_names[] = {"place", "replace", "remove", "chmod"};

int
journal_add(struct journal *j, const struct step *step)
{
	if (j->n == j->room) {
		size_t room = MAX(j->room * 2, (size_t)32);
		struct step *items = realloc(j->items, room * sizeof(*items));
		if (items == NULL)
			return -ENOMEM;
		j->items = items;
		j->room = room;
	}
	char *path = strdup(step->path);
	if (path == NULL)
		return -ENOMEM;
	j->items[j->n] = *step;
	j->items[j->n++].path = path;
	return 0;
}

void
journal_done(struct journal *j)
{
	for (size_t i = 0; i < j->n; i++)
		free(j->items[i].path);
	free(j->items);
	*j = (struct journal){0};
}

int
staging_open(int lower, struct staging *s)
{
	s->fd = wsfs_open(lower, s->name, O_RDONLY | O_DIRECTORY);
	if (s->fd < 0)
		return s->fd;
	s->new_fd = wsfs_open(s->fd, "new", O_RDONLY | O_DIRECTORY);
	if (s->new_fd < 0)
		return s->new_fd;
	s->old_fd = wsfs_open(s->fd, "old", O_RDONLY | O_DIRECTORY);
	return s->old_fd < 0 ? s->old_fd : 0;
}

void
staging_done(struct staging *s)
{
	cleanup_close(&s->fd);
	cleanup_close(&s->new_fd);
	cleanup_close(&s->old_fd);
	s->fd = s->new_fd = s->old_fd = -1;
}

/* ---- on disk ---- */

static struct json *
step_to_json(const struct step *step)
{
	char inode[24];
	struct json *o = json_new_object();
	size_t len = strlen(step->path);
	_cleanup_free_ char *hex = malloc(len * 2 + 1);
	if (hex != NULL)
		hex_encode((const uint8_t *)step->path, len, hex);
	(void)snprintf(inode, sizeof(inode), "%llu", (unsigned long long)step->inode);
	(void)json_set_str(o, "do", kind_names[step->kind]);
	(void)json_set_int(o, "slot", step->slot);
	(void)json_set_str(o, "inode", inode);
	(void)json_set_int(o, "mode", step->mode);
	(void)json_set_int(o, "old_mode", step->old_mode);
	(void)json_set(o, "path", hex == NULL ? NULL : json_new_string(hex));
	return o;
}

static int
step_from_json(const struct json *o, struct step *ret)
{
	const char *kind = json_get_str(o, "do", ""), *hex = json_get_str(o, "path", "");
	size_t len = strlen(hex) / 2, k = 0;
	while (k < STEP_KINDS && strcmp(kind, kind_names[k]) != 0)
		k++;
	if (k == STEP_KINDS || len == 0 || len >= WORKSPACE_PATH_MAX)
		return -EBADMSG;
	char *path = calloc(1, len + 1);
	if (path == NULL)
		return -ENOMEM;
	if (hex_decode(hex, len, (uint8_t *)path) < 0 || strlen(path) != len) {
		free(path);
		return -EBADMSG;
	}
	*ret = (struct step){
	    .kind = (enum step_kind)k,
	    .slot = (unsigned)json_get_int(o, "slot", 0),
	    .inode = strtoull(json_get_str(o, "inode", "0"), NULL, 10),
	    .mode = (mode_t)json_get_int(o, "mode", 0) & 07777,
	    .old_mode = (mode_t)json_get_int(o, "old_mode", 0) & 07777,
	    .path = path,
	};
	return 0;
}

static void
inode_text(int fd, char ret[24])
{
	struct stat st = {0};
	(void)fstat(fd, &st);
	(void)snprintf(ret, 24, "%llu", (unsigned long long)st.st_ino);
}

static int
journal_to_text(const struct journal *j, const struct staging *s, const void *key, size_t key_len,
    struct buf *out)
{
	_cleanup_json_ struct json *o = json_new_object();
	struct json *steps = json_new_array();
	char inode[24], mac[SHA256_HEX];
	uint8_t raw[SHA256_BYTES];
	inode_text(s->fd, inode);
	for (size_t i = 0; i < j->n; i++)
		(void)json_push(steps, step_to_json(&j->items[i]));
	(void)json_set_int(o, "version", 1);
	(void)json_set_str(o, "directory", s->name);
	(void)json_set_str(o, "inode", inode);
	(void)json_set(o, "steps", steps);
	int r = json_write(o, out);
	if (r < 0)
		return r;
	hmac_sha256(key, key_len, out->data, out->len, raw);
	hex_encode(raw, sizeof(raw), mac);
	return buf_addf(out, "\n%s\n", mac);
}

int
journal_save(const struct journal *j, const struct staging *s, const void *key, size_t key_len)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, JOURNAL_BYTES_MAX);
	int r = journal_to_text(j, s, key, key_len, &text);
	if (r < 0)
		return r;
	_cleanup_close_ int fd = wsfs_open(s->fd, "journal.new", O_WRONLY | O_CREAT | O_EXCL);
	if (fd < 0)
		return fd;
	r = wsfs_write(fd, text.data, text.len);
	if (r < 0)
		return r;
	if (fsync(fd) < 0 || renameat(s->fd, "journal.new", s->fd, "journal") < 0)
		return -errno;
	return fsync(s->fd) < 0 ? -errno : 0;
}

static int
read_whole(int fd, struct buf *ret)
{
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
	}
}

/* Whether TEXT ends in the right HMAC; RET_LEN is the length of what it covers. */
static bool
is_authentic(const struct buf *text, const void *key, size_t key_len, size_t *ret_len)
{
	uint8_t raw[SHA256_BYTES], claimed[SHA256_BYTES];
	char mac[SHA256_HEX] = "";
	size_t tail = 1 + 2 * SHA256_BYTES + 1;
	if (text->len <= tail || text->data[text->len - 1] != '\n' ||
	    text->data[text->len - tail] != '\n')
		return false;
	memcpy(mac, text->data + text->len - tail + 1, sizeof(mac) - 1);
	if (hex_decode(mac, SHA256_BYTES, claimed) < 0)
		return false;
	*ret_len = text->len - tail;
	hmac_sha256(key, key_len, text->data, *ret_len, raw);
	uint8_t differs = 0;
	for (size_t i = 0; i < sizeof(raw); i++)
		differs |= raw[i] ^ claimed[i];
	return differs == 0;
}

int
journal_load(const struct staging *s, const void *key, size_t key_len, struct journal *ret)
{
	_cleanup_buf_ struct buf text;
	_cleanup_json_ struct json *o = NULL;
	struct journal j = {0};
	char inode[24];
	size_t len;
	buf_init(&text, JOURNAL_BYTES_MAX);
	_cleanup_close_ int fd = wsfs_open(s->fd, "journal", O_RDONLY | O_NONBLOCK);
	int r = fd < 0 ? fd : read_whole(fd, &text);
	if (r < 0)
		return r;
	inode_text(s->fd, inode);
	if (!is_authentic(&text, key, key_len, &len) ||
	    json_parse((const char *)text.data, len, &o, NULL) < 0 ||
	    json_get_int(o, "version", 0) != 1 ||
	    strcmp(json_get_str(o, "directory", ""), s->name) != 0 ||
	    strcmp(json_get_str(o, "inode", ""), inode) != 0)
		return -EBADMSG;
	const struct json *steps = json_get(o, "steps");
	for (size_t i = 0; i < json_len(steps) && r == 0; i++) {
		struct step step = {0};
		r = step_from_json(json_at(steps, i), &step);
		if (r == 0)
			r = journal_add(&j, &step);
		free(step.path);
	}
	if (r < 0)
		journal_done(&j);
	else
		*ret = j;
	return r;
}

int
journal_drop(const struct staging *s)
{
	if (unlinkat(s->fd, "journal", 0) < 0)
		return -errno;
	return fsync(s->fd) < 0 ? -errno : 0;
}

/* ---- steps ---- */

/* What one step works on. */
struct place {
	int parent;       /* owned: the directory that holds the path */
	const char *name; /* in it; borrowed from the step */
	char slot[16];
	bool is_new; /* new/SLOT is there and is what was staged */
	bool in_new; /* new/SLOT is there */
	bool in_old; /* old/SLOT is there */
};

/* 1 and the entry's state if SLOT is in DIR, 0 if not, -errno if that cannot be known. */
static int
slot_stat(int dir, const char *slot, struct stat *ret)
{
	if (fstatat(dir, slot, ret, AT_SYMLINK_NOFOLLOW) == 0)
		return 1;
	return errno == ENOENT ? 0 : -errno;
}

static int
place_look(const struct step *step, const struct staging *s, int lower, struct place *ret)
{
	struct stat staged, old;
	*ret = (struct place){0};
	(void)snprintf(ret->slot, sizeof(ret->slot), "%u", step->slot);
	int in_new = slot_stat(s->new_fd, ret->slot, &staged);
	int in_old = slot_stat(s->old_fd, ret->slot, &old);
	if (in_new < 0 || in_old < 0)
		return MIN(in_new, in_old);
	ret->in_new = in_new > 0;
	ret->is_new = in_new > 0 && staged.st_ino == step->inode;
	ret->in_old = in_old > 0;
	ret->parent = wsfs_open_parent(lower, step->path, &ret->name);
	return MIN(ret->parent, 0);
}

static int
rename_with(int from, const char *name, int to, const char *to_name, unsigned flags)
{
	long r = syscall(SYS_renameat2, from, name, to, to_name, flags);
	return r < 0 ? -errno : 0;
}

/* Renames to a name that must be free, also where the file system knows no flags. */
static int
rename_free(int from, const char *name, int to, const char *to_name)
{
	int r = rename_with(from, name, to, to_name, RENAME_NOREPLACE_FLAG);
	struct stat st;
	if (r != -EINVAL && r != -ENOSYS)
		return r;
	if (fstatat(to, to_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return -EEXIST;
	return renameat(from, name, to, to_name) < 0 ? -errno : 0;
}

/* In one exchange; where the file system cannot, in two renames. */
static int
replace(const struct place *p, const struct staging *s)
{
	if (!p->in_old) {
		int r = rename_with(s->new_fd, p->slot, p->parent, p->name, RENAME_EXCHANGE_FLAG);
		if (r != -EINVAL && r != -ENOSYS)
			return r;
		if (renameat(p->parent, p->name, s->old_fd, p->slot) < 0)
			return -errno;
	}
	return rename_free(s->new_fd, p->slot, p->parent, p->name);
}

static int
unreplace(const struct place *p, const struct staging *s)
{
	if (p->in_new && !p->is_new)
		return rename_with(s->new_fd, p->slot, p->parent, p->name, RENAME_EXCHANGE_FLAG);
	if (!p->in_new && renameat(p->parent, p->name, s->new_fd, p->slot) < 0)
		return -errno;
	return p->in_old ? rename_free(s->old_fd, p->slot, p->parent, p->name) : 0;
}

static int
chmod_step(const struct place *p, mode_t mode)
{
	return wsfs_chmod(p->parent, p->name, mode);
}

static int
step_do(const struct step *step, const struct staging *s, int lower)
{
	struct place p;
	int r = place_look(step, s, lower, &p);
	if (r < 0)
		return r;
	switch (step->kind) {
	case STEP_PLACE:
		r = p.is_new ? rename_free(s->new_fd, p.slot, p.parent, p.name) : 0;
		break;
	case STEP_REPLACE:
		r = p.is_new ? replace(&p, s) : 0;
		break;
	case STEP_REMOVE:
		r = p.in_old ? 0 : rename_free(p.parent, p.name, s->old_fd, p.slot);
		break;
	default:
		r = chmod_step(&p, step->mode);
	}
	(void)close(p.parent);
	return r;
}

static int
step_undo(const struct step *step, const struct staging *s, int lower)
{
	struct place p;
	int r = place_look(step, s, lower, &p);
	if (r < 0)
		return r;
	switch (step->kind) {
	case STEP_PLACE:
		r = p.in_new ? 0 : rename_free(p.parent, p.name, s->new_fd, p.slot);
		break;
	case STEP_REPLACE:
		r = p.is_new && !p.in_old ? 0 : unreplace(&p, s);
		break;
	case STEP_REMOVE:
		r = p.in_old ? rename_free(s->old_fd, p.slot, p.parent, p.name) : 0;
		break;
	default:
		r = chmod_step(&p, step->old_mode);
	}
	(void)close(p.parent);
	return r;
}

int
journal_apply(
    const struct journal *j, const struct staging *s, int lower, int *ret_undone, struct error *err)
{
	static const char *const verbs[] = {"create", "replace", "delete", "change the mode of"};
	int r = 0;
	size_t i = 0;
	for (; i < j->n; i++) {
		r = step_do(&j->items[i], s, lower);
		if (r < 0)
			break;
	}
	*ret_undone = 0;
	if (r == 0)
		return 0;
	char shown[512];
	log_escape(j->items[i].path, strlen(j->items[i].path), shown, sizeof(shown));
	(void)error_set_errno(
	    err, -r, "commit_failed", "cannot %s %s", verbs[j->items[i].kind], shown);
	for (size_t k = i + 1; k-- > 0;) {
		int undone = step_undo(&j->items[k], s, lower);
		if (undone < 0 && *ret_undone == 0)
			*ret_undone = undone;
	}
	return r;
}
