#include "sandbox/workspace_stage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "sandbox/workspace_fs.h"
#include "sandbox/workspace_list.h"

int
stage_fail(struct error *err, int r, const char *doing, const char *path)
{
	char shown[512];
	log_escape(path, strlen(path), shown, sizeof(shown));
	return error_set_errno(err, -r, "commit_failed", "cannot %s %s", doing, shown);
}

size_t
stage_after_subtree(const struct changes *changes, size_t i)
{
	size_t k = i + 1;
	while (k < changes->n && path_is_below(changes->items[k].path, changes->items[i].path))
		k++;
	return k;
}

/* ---- hard links ---- */

static int
compare_links(const void *a, const void *b)
{
	const struct link *x = a, *y = b;
	if (x->inode != y->inode)
		return x->inode < y->inode ? -1 : 1;
	if (x->device != y->device)
		return x->device < y->device ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

int
stage_init(struct stage *s)
{
	const struct changes *changes = s->changes;
	s->links = calloc(changes->n + 1, sizeof(*s->links));
	s->spots = calloc(changes->n + 1, sizeof(*s->spots));
	if (s->links == NULL || s->spots == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < changes->n; i++)
		if (changes->items[i].linked && changes->items[i].kind == CHANGE_ADDED &&
		    changes->items[i].type == ENTRY_FILE)
			s->links[s->n_links++] =
			    (struct link){changes->items[i].inode, changes->items[i].device, i};
	if (s->n_links > 1)
		qsort(s->links, s->n_links, sizeof(*s->links), compare_links);
	return 0;
}

void
stage_done(struct stage *s)
{
	free(s->links);
	free(s->spots);
	s->links = NULL;
	s->spots = NULL;
}

/* An earlier staged change that is the same file as I, or -1. */
static ssize_t
staged_twin(const struct stage *s, size_t i)
{
	struct link wanted = {s->changes->items[i].inode, s->changes->items[i].device, 0};
	size_t low = 0, high = s->n_links;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (compare_links(&s->links[middle], &wanted) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == s->n_links || s->links[low].inode != wanted.inode ||
	    s->links[low].device != wanted.device)
		return -1;
	size_t first = s->links[low].index;
	return first != i && s->spots[first].used ? (ssize_t)first : -1;
}

/* ---- staging ---- */

/* The path of change I below STAGING/new. */
static void
staged_path(const struct stage *s, size_t i, char ret[WORKSPACE_PATH_MAX + 16])
{
	const struct spot *spot = &s->spots[i];
	(void)snprintf(ret, WORKSPACE_PATH_MAX + 16, "%u%s", spot->slot,
	    s->changes->items[i].path + strlen(s->changes->items[spot->top].path));
}

/* Copies SOURCE to the new file TARGET; the contents must be those that were compared. */
static int
copy_contents(int source, int target, const struct change *change)
{
	static uint8_t chunk[65536];
	uint8_t hash[SHA256_BYTES];
	struct sha256 h;
	sha256_init(&h);
	for (;;) {
		ssize_t n = read(source, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		sha256_update(&h, chunk, (size_t)n);
		int r = wsfs_write(target, chunk, (size_t)n);
		if (r < 0)
			return r;
	}
	sha256_final(&h, hash);
	return memcmp(hash, change->hash, sizeof(hash)) == 0 ? 0 : -ESTALE;
}

/* OLD is the file that is replaced, or NULL: its owner is kept where the caller may. */
static int
stage_file(struct stage *s, const struct change *change, int parent, const char *name,
    const struct stat *old)
{
	struct stat st;
	_cleanup_close_ int source = wsfs_open_forced(s->upper, change->path);
	if (source < 0)
		return source;
	_cleanup_close_ int target = wsfs_open(parent, name, O_WRONLY | O_CREAT | O_EXCL);
	if (target < 0)
		return target;
	int r = copy_contents(source, target, change);
	if (r < 0)
		return r;
	if (old != NULL && fchown(target, old->st_uid, old->st_gid) < 0 && geteuid() == 0)
		return -errno;
	if (fchmod(target, change->mode & 0777) < 0 || fstat(source, &st) < 0)
		return -errno;
	struct timespec times[2] = {st.st_atim, st.st_mtim};
	return futimens(target, times) < 0 ? -errno : 0;
}

/* Stages change I alone. */
static int
stage_entry(struct stage *s, size_t i, const struct stat *old)
{
	const struct change *change = &s->changes->items[i];
	char path[WORKSPACE_PATH_MAX + 16], twin_path[WORKSPACE_PATH_MAX + 16];
	const char *name;
	staged_path(s, i, path);
	_cleanup_close_ int parent = wsfs_open_parent(s->new_fd, path, &name);
	if (parent < 0)
		return parent;
	if (change->type == ENTRY_DIR)
		return mkdirat(parent, name, 0700) < 0 ? -errno : 0;
	if (change->type == ENTRY_SYMLINK)
		return symlinkat(change->target, parent, name) < 0 ? -errno : 0;
	ssize_t twin = change->linked && change->kind == CHANGE_ADDED ? staged_twin(s, i) : -1;
	if (twin < 0)
		return stage_file(s, change, parent, name, old);
	staged_path(s, (size_t)twin, twin_path);
	return linkat(s->new_fd, twin_path, parent, name, 0) < 0 ? -errno : 0;
}

/* Gives the staged directories I.. below END their modes, the deepest first. */
static int
finish_directories(struct stage *s, size_t i, size_t end)
{
	char path[WORKSPACE_PATH_MAX + 16];
	for (size_t k = end; k-- > i;) {
		const struct change *change = &s->changes->items[k];
		if (change->type != ENTRY_DIR || !s->spots[k].used)
			continue;
		/* A directory can only be renamed to another parent while its owner may write it. */
		mode_t mode = k == i ? change->mode | 0700 : change->mode;
		staged_path(s, k, path);
		int r = wsfs_chmod(s->new_fd, path, mode);
		if (r < 0)
			return stage_fail(s->err, r, "stage", change->path);
	}
	return 0;
}

int
stage_tree(struct stage *s, size_t i, const struct stat *old, struct step *ret)
{
	const struct changes *changes = s->changes;
	size_t end = changes->items[i].type == ENTRY_DIR ? stage_after_subtree(changes, i) : i + 1;
	unsigned slot = s->slots++;
	for (size_t k = i; k < end;) {
		if (k > i && change_is_withheld(&changes->items[k])) {
			size_t next = stage_after_subtree(changes, k);
			s->result.withheld += next - k;
			k = next;
			continue;
		}
		s->spots[k] = (struct spot){.slot = slot, .top = i};
		int r = stage_entry(s, k, k == i ? old : NULL);
		if (r == -ESTALE)
			return error_set(s->err, ESTALE, "workspace_changed",
			    "the staged workspace changed while it was committed");
		if (r < 0)
			return stage_fail(s->err, r, "stage", changes->items[k].path);
		s->spots[k++].used = true;
		s->result.applied++;
	}
	int r = finish_directories(s, i, end);
	struct stat st;
	char path[WORKSPACE_PATH_MAX + 16];
	staged_path(s, i, path);
	if (r == 0)
		r = wsfs_stat(s->new_fd, path, &st);
	*ret = (struct step){.slot = slot, .inode = r == 0 ? st.st_ino : 0};
	return r;
}
