/* Lets the changes out of a staged workspace: stage, journal, rename (workspace_journal.h). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "sandbox/workspace.h"
#include "sandbox/workspace_fs.h"
#include "sandbox/workspace_journal.h"
#include "sandbox/workspace_list.h"

#ifndef SYS_faccessat2
#define SYS_faccessat2 439
#endif

/* A name of the upper layer that shares its inode with others. */
struct link {
	uint64_t inode;
	size_t index;
};

/* Where a change is staged: new/SLOT, and below it what the path has beyond the path of change TOP. */
struct spot {
	bool used;
	unsigned slot;
	size_t top;
};

struct commit {
	const struct changes *changes;
	int upper;
	int lower; /* our own open directory, locked */
	struct staging staging;
	struct journal journal;
	struct commit_result result;
	struct error *err;
	unsigned slots;
	struct spot *spots; /* owned; one per change */
	struct link *links; /* owned; sorted by inode, then index */
	size_t n_links;
};

static int
fail(struct commit *c, int r, const char *doing, const char *path)
{
	char shown[512];
	log_escape(path, strlen(path), shown, sizeof(shown));
	return error_set_errno(c->err, -r, "commit_failed", "cannot %s %s", doing, shown);
}

/* The first change after I that is not below it. */
static size_t
after_subtree(const struct changes *changes, size_t i)
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
	return x->index < y->index ? -1 : x->index > y->index;
}

static int
collect_links(struct commit *c)
{
	const struct changes *changes = c->changes;
	c->links = calloc(changes->n + 1, sizeof(*c->links));
	c->spots = calloc(changes->n + 1, sizeof(*c->spots));
	if (c->links == NULL || c->spots == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < changes->n; i++)
		if (changes->items[i].linked && changes->items[i].kind == CHANGE_ADDED &&
		    changes->items[i].type == ENTRY_FILE)
			c->links[c->n_links++] = (struct link){changes->items[i].inode, i};
	if (c->n_links > 1)
		qsort(c->links, c->n_links, sizeof(*c->links), compare_links);
	return 0;
}

/* An earlier staged change that is the same file as I, or -1. */
static ssize_t
staged_twin(const struct commit *c, size_t i)
{
	uint64_t inode = c->changes->items[i].inode;
	size_t low = 0, high = c->n_links;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (c->links[middle].inode < inode)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == c->n_links || c->links[low].inode != inode)
		return -1;
	size_t first = c->links[low].index;
	return first != i && c->spots[first].used ? (ssize_t)first : -1;
}

/* ---- staging ---- */

/* The path of change I below STAGING/new. */
static void
staged_path(const struct commit *c, size_t i, char ret[WORKSPACE_PATH_MAX + 16])
{
	const struct spot *spot = &c->spots[i];
	(void)snprintf(ret, WORKSPACE_PATH_MAX + 16, "%u%s", spot->slot,
	    c->changes->items[i].path + strlen(c->changes->items[spot->top].path));
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
stage_file(struct commit *c, const struct change *change, int parent, const char *name,
    const struct stat *old)
{
	struct stat st;
	_cleanup_close_ int source = wsfs_open_forced(c->upper, change->path);
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
stage_entry(struct commit *c, size_t i, const struct stat *old)
{
	const struct change *change = &c->changes->items[i];
	char path[WORKSPACE_PATH_MAX + 16], twin_path[WORKSPACE_PATH_MAX + 16];
	const char *name;
	staged_path(c, i, path);
	_cleanup_close_ int parent = wsfs_open_parent(c->staging.new_fd, path, &name);
	if (parent < 0)
		return parent;
	if (change->type == ENTRY_DIR)
		return mkdirat(parent, name, 0700) < 0 ? -errno : 0;
	if (change->type == ENTRY_SYMLINK)
		return symlinkat(change->target, parent, name) < 0 ? -errno : 0;
	ssize_t twin = change->linked && change->kind == CHANGE_ADDED ? staged_twin(c, i) : -1;
	if (twin < 0)
		return stage_file(c, change, parent, name, old);
	staged_path(c, (size_t)twin, twin_path);
	return linkat(c->staging.new_fd, twin_path, parent, name, 0) < 0 ? -errno : 0;
}

/* Gives the staged directories I.. below END their modes, the deepest first. */
static int
finish_directories(struct commit *c, size_t i, size_t end)
{
	char path[WORKSPACE_PATH_MAX + 16];
	for (size_t k = end; k-- > i;) {
		const struct change *change = &c->changes->items[k];
		if (change->type != ENTRY_DIR || !c->spots[k].used)
			continue;
		/* A directory can only be renamed to another parent while its owner may write it. */
		mode_t mode = k == i ? change->mode | 0700 : change->mode;
		staged_path(c, k, path);
		int r = wsfs_chmod(c->staging.new_fd, path, mode);
		if (r < 0)
			return fail(c, r, "stage", change->path);
	}
	return 0;
}

/* Stages change I and, of a directory, all that was added below it. */
static int
stage_tree(struct commit *c, size_t i, const struct stat *old, struct step *ret)
{
	const struct changes *changes = c->changes;
	size_t end = changes->items[i].type == ENTRY_DIR ? after_subtree(changes, i) : i + 1;
	unsigned slot = c->slots++;
	for (size_t k = i; k < end;) {
		if (k > i && change_is_withheld(&changes->items[k])) {
			size_t next = after_subtree(changes, k);
			c->result.withheld += next - k;
			k = next;
			continue;
		}
		c->spots[k] = (struct spot){.slot = slot, .top = i};
		int r = stage_entry(c, k, k == i ? old : NULL);
		if (r == -ESTALE)
			return error_set(c->err, ESTALE, "workspace_changed",
			    "the staged workspace changed while it was committed");
		if (r < 0)
			return fail(c, r, "stage", changes->items[k].path);
		c->spots[k++].used = true;
		c->result.applied++;
	}
	int r = finish_directories(c, i, end);
	struct stat st;
	char path[WORKSPACE_PATH_MAX + 16];
	staged_path(c, i, path);
	if (r == 0)
		r = wsfs_stat(c->staging.new_fd, path, &st);
	*ret = (struct step){.slot = slot, .inode = r == 0 ? st.st_ino : 0};
	return r;
}

/* ---- the plan ---- */

/* Whether the caller may change the directory that holds PATH: better to know before the journal. */
static int
check_parent(struct commit *c, const char *path)
{
	const char *name;
	_cleanup_close_ int parent = wsfs_open_parent(c->lower, path, &name);
	if (parent == -EXDEV)
		return error_set(c->err, EXDEV, "commit_refused",
		    "%s is on another file system than the workspace", path);
	if (parent < 0)
		return fail(c, parent, "open the directory of", path);
	if (syscall(SYS_faccessat2, parent, "", W_OK | X_OK, AT_EACCESS | AT_EMPTY_PATH) < 0 &&
	    errno != ENOSYS)
		return fail(c, -errno, "write", path);
	return 0;
}

static int
add_step(struct commit *c, const struct change *change, enum step_kind kind, struct step step)
{
	step.kind = kind;
	step.path = change->path;
	int r = kind == STEP_CHMOD ? 0 : check_parent(c, change->path);
	if (r == 0)
		r = journal_add(&c->journal, &step);
	return r;
}

static int
add_chmod(struct commit *c, const struct change *change, const struct stat *old)
{
	/* A directory keeps its own set-group-ID and sticky bits. */
	mode_t kept = old != NULL && S_ISDIR(old->st_mode) ? old->st_mode & 07000 : 0;
	struct step step = {
	    .mode = change->mode | kept,
	    .old_mode = old != NULL ? old->st_mode & 07777 : change->mode | 0700,
	};
	return add_step(c, change, STEP_CHMOD, step);
}

/* Plans change I and returns in *RET_NEXT which one comes next. */
static int
plan_change(struct commit *c, size_t i, size_t *ret_next)
{
	const struct change *change = &c->changes->items[i];
	struct step step = {0};
	struct stat old;
	*ret_next = i + 1;
	if (change_is_withheld(change)) {
		*ret_next = after_subtree(c->changes, i);
		c->result.withheld += *ret_next - i;
		return 0;
	}
	bool exists = change->kind != CHANGE_ADDED;
	int r = exists ? wsfs_stat(c->lower, change->path, &old) : 0;
	if (r < 0)
		return fail(c, r, "find", change->path);
	if (change->kind == CHANGE_DELETED) {
		*ret_next = after_subtree(c->changes, i);
		c->result.applied += *ret_next - i;
		step.slot = c->slots++;
		return add_step(c, change, STEP_REMOVE, step);
	}
	if (exists && !(change->flags & (CHANGE_CONTENT | CHANGE_TYPE))) {
		c->result.applied++;
		return change->type == ENTRY_DIR ? 0 : add_chmod(c, change, &old);
	}
	if (change->type == ENTRY_DIR || (change->flags & CHANGE_TYPE))
		*ret_next = after_subtree(c->changes, i);
	bool same_type = exists && !(change->flags & CHANGE_TYPE);
	r = stage_tree(c, i, same_type ? &old : NULL, &step);
	return r < 0 ? r : add_step(c, change, exists ? STEP_REPLACE : STEP_PLACE, step);
}

/* Modes of directories come last, when nothing in them has to change any more. */
static int
plan_directory_modes(struct commit *c)
{
	for (size_t i = c->changes->n; i-- > 0;) {
		const struct change *change = &c->changes->items[i];
		struct stat old;
		int r = 0;
		if (change->type != ENTRY_DIR || change->kind == CHANGE_DELETED ||
		    change_is_withheld(change))
			continue;
		if (c->spots[i].used && c->spots[i].top == i && (change->mode & 0700) != 0700)
			r = add_chmod(c, change, NULL);
		else if (!c->spots[i].used && change->flags & CHANGE_MODE) {
			r = wsfs_stat(c->lower, change->path, &old);
			r = r < 0 ? fail(c, r, "find", change->path) : add_chmod(c, change, &old);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static int
plan_all(struct commit *c)
{
	int r = collect_links(c);
	for (size_t i = 0; r == 0 && i < c->changes->n;)
		r = plan_change(c, i, &i);
	return r == 0 ? plan_directory_modes(c) : r;
}

/* ---- the commit ---- */

static int
check_changes(
    const struct changes *changes, const struct commit_options *options, struct error *err)
{
	if (options->digest != NULL && strcmp(options->digest, changes->digest) != 0)
		return error_set(err, ESTALE, "workspace_changed",
		    "the changes are not those that were approved");
	for (size_t i = 0; i < changes->n; i++) {
		const struct change *change = &changes->items[i];
		char shown[512];
		log_escape(change->path, strlen(change->path), shown, sizeof(shown));
		if (change->flags & CHANGE_UNREAD)
			return error_set(
			    err, EFBIG, "commit_refused", "%s is too large or not readable", shown);
		if (change->flags & CHANGE_CONFLICT && !options->force) {
			int r = error_set(err, EBUSY, "commit_conflict",
			    "%s changed in the workspace after the run began", shown);
			error_remedy(err, "look at it; --force overwrites it");
			return r;
		}
	}
	return 0;
}

static int
make_staging(int lower, struct staging *s)
{
	uint64_t random;
	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -EIO;
	(void)snprintf(
	    s->name, sizeof(s->name), WORKSPACE_RESERVED "%016llx", (unsigned long long)random);
	if (mkdirat(lower, s->name, 0700) < 0)
		return -errno;
	int fd = wsfs_open(lower, s->name, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	int r = mkdirat(fd, "new", 0700) < 0 || mkdirat(fd, "old", 0700) < 0 ? -errno : 0;
	(void)close(fd);
	return r < 0 ? r : staging_open(lower, s);
}

static int
sync_all(int lower)
{
	return syncfs(lower) < 0 ? -errno : 0;
}

/* With the journal on disk: does it, and removes what is left over. */
static int
finish(const struct journal *j, struct staging *s, int lower, struct error *err)
{
	int undone = 0;
	int r = journal_apply(j, s, lower, &undone, err);
	if (r < 0 && undone < 0) {
		error_remedy(err, "`rf-workspace recover --lower DIR` tries again");
		return r;
	}
	int synced = sync_all(lower);
	if (synced == 0)
		synced = journal_drop(s);
	if (r == 0 && synced < 0)
		r = error_set_errno(err, -synced, "commit_failed", "cannot sync the workspace");
	if (r == 0 || synced == 0)
		(void)wsfs_remove_tree(lower, s->name);
	return r;
}

static int
stage_and_apply(struct commit *c, const struct commit_options *options)
{
	int r = make_staging(c->lower, &c->staging);
	if (r < 0)
		r = error_set_errno(c->err, -r, "commit_failed", "cannot write to the workspace");
	else
		r = plan_all(c);
	if (r == 0) {
		r = sync_all(c->lower);
		if (r == 0)
			r = journal_save(&c->journal, &c->staging, options->key, options->key_len);
		if (r < 0)
			(void)error_set_errno(
			    c->err, -r, "commit_failed", "cannot write the journal");
	}
	if (r < 0) {
		(void)wsfs_remove_tree(c->lower, c->staging.name);
		return r;
	}
	return finish(&c->journal, &c->staging, c->lower, c->err);
}

/* Opens LOWER anew and locks it: one commit at a time. */
static int
lock_lower(int lower, struct error *err)
{
	int fd = wsfs_open(lower, ".", O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return error_set_errno(err, -fd, "commit_failed", "cannot open the workspace");
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	(void)close(fd);
	return error_set(
	    err, EBUSY, "commit_busy", "another commit to this workspace is under way");
}

static int
recover_one(int lower, const char *name, const uint8_t *key, size_t key_len,
    enum recover_outcome *outcome, struct error *err)
{
	struct staging s = STAGING_INIT;
	struct journal j = {0};
	(void)snprintf(s.name, sizeof(s.name), "%s", name);
	int r = staging_open(lower, &s);
	if (s.fd >= 0 && r != -EACCES)
		r = journal_load(&s, key, key_len, &j);
	if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP) {
		r = wsfs_remove_tree(lower, name);
		*outcome = MAX(*outcome, RECOVER_OLD);
	} else if (r == 0) {
		r = finish(&j, &s, lower, err);
		*outcome = r == 0 ? RECOVER_NEW : *outcome;
	}
	journal_done(&j);
	staging_done(&s);
	if (r == -EBADMSG) {
		(void)error_set(err, EBADMSG, "commit_journal_foreign",
		    "the workspace holds %s, whose journal is damaged or not ours", name);
		error_remedy(err, "look into it and remove it by hand");
	}
	return r;
}

static int
recover_locked(
    int lower, const uint8_t *key, size_t key_len, enum recover_outcome *ret, struct error *err)
{
	struct wsfs_names names;
	*ret = RECOVER_NOTHING;
	int r = wsfs_names(lower, WORKSPACE_ENTRIES_MAX, &names);
	if (r < 0)
		return error_set_errno(err, -r, "commit_failed", "cannot list the workspace");
	for (size_t i = 0; i < names.n && r == 0; i++) {
		const char *name = names.items[i];
		if (strncmp(name, WORKSPACE_RESERVED, strlen(WORKSPACE_RESERVED)) != 0)
			continue;
		if (strlen(name) >= sizeof(((struct staging *)0)->name))
			continue; /* too long to be one of ours */
		r = recover_one(lower, name, key, key_len, ret, err);
	}
	wsfs_names_done(&names);
	return r;
}

int
workspace_recover(
    int lower, const uint8_t *key, size_t key_len, enum recover_outcome *ret, struct error *err)
{
	_cleanup_close_ int fd = lock_lower(lower, err);
	return fd < 0 ? fd : recover_locked(fd, key, key_len, ret, err);
}

int
workspace_commit(int upper, int lower, const struct changes *changes,
    const struct commit_options *options, struct commit_result *ret, struct error *err)
{
	enum recover_outcome before;
	struct commit c = {
	    .changes = changes, .upper = upper, .lower = -1, .staging = STAGING_INIT, .err = err};
	int r = check_changes(changes, options, err);
	if (r < 0)
		return r;
	c.lower = lock_lower(lower, err);
	if (c.lower < 0)
		return c.lower;
	r = recover_locked(c.lower, options->key, options->key_len, &before, err);
	if (r == 0 && before == RECOVER_NEW)
		r = error_set(err, ESTALE, "workspace_changed",
		    "an interrupted commit was finished first: compare again");
	if (r == 0 && changes->n > 0)
		r = stage_and_apply(&c, options);
	if (r == 0)
		*ret = c.result;
	journal_done(&c.journal);
	staging_done(&c.staging);
	free(c.links);
	free(c.spots);
	(void)close(c.lower);
	return r;
}
