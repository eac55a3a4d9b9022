/* The view of a listed root, and its cache: a manifest for each set of programs says which tree holds their
 * copies and what was seen of the host when it was made. */
#include "sandbox/listed.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/sha256.h"
#include "ipc/msg.h"
#include "sandbox/host.h"
#include "sandbox/listed_need.h"
#include "sandbox/listed_store.h"
#include "sandbox/listed_tree.h"

/* Counts in the cache's name: raise it when another view is made of the same sources. */
#define VIEW_VERSION 1
#define MANIFEST_MAX (8 << 20)
#define VIEW_MAX (MSG_BODY_MAX - 8192)
#define ATTEMPTS 3
#define PREFIX "run/listed-"

/* ---- the view ---- */

struct bind {
	const char *to; /* borrowed from the set */
	bool tree;      /* from our tree, else from the host */
	bool empty;     /* from the tree's empty file */
	bool file, noexec;
};

struct view {
	const struct listed_set *set;
	const char *tree; /* absolute */
	struct bind *binds;
	size_t n_binds;
	struct json *rules, *links;
};

static void
add_rule(struct view *v, const struct listed_item *item)
{
	struct json *rule = json_new_object();
	(void)json_set_str(rule, "path", item->path);
	if (item->kind == LISTED_FILE || item->file)
		(void)json_set_bool(rule, "file", true);
	if (item->execute)
		(void)json_set_bool(rule, "execute", true);
	(void)json_push(v->rules, rule);
}

static void
add_view_link(struct view *v, const struct listed_item *item)
{
	if (listed_is_whole(item->path) || listed_above(v->set, item->path) != NULL)
		return; /* in the tree, or seen through a bind */
	struct json *link = json_new_object();
	(void)json_set_str(link, "path", item->path);
	(void)json_set_str(link, "target", item->target);
	(void)json_push(v->links, link);
}

static void
add_item(struct view *v, const struct listed_item *item)
{
	struct bind *bind = &v->binds[v->n_binds];
	*bind = (struct bind){.to = item->path, .file = item->file};
	const struct listed_item *above = listed_above(v->set, item->path);
	switch (item->kind) {
	case LISTED_FILE:
		add_rule(v, item);
		/* What the tree's /usr does not show: elsewhere, or under a directory bound over it. */
		bind->tree = bind->file = true;
		if (listed_is_copied(v->set, item) &&
		    (above != NULL || !listed_is_whole(item->path)))
			v->n_binds++;
		break;
	case LISTED_LINK:
		add_view_link(v, item);
		break;
	case LISTED_DATA:
	case LISTED_CODE:
		add_rule(v, item);
		bind->noexec = !item->mapped;
		v->n_binds++;
		break;
	case LISTED_COVERED:
		bind->empty = bind->file = bind->noexec = true;
		if (above != NULL && above->mapped &&
		    listed_find(v->set, LISTED_FILE, item->path) == SIZE_MAX)
			v->n_binds++;
		break;
	}
}

/* /usr and the like, where anything lies in them. */
static void
add_whole(struct view *v)
{
	const char *directory;
	for (size_t i = 0; (directory = listed_whole_at(i)) != NULL; i++) {
		bool used = false;
		for (size_t k = 0; k < v->set->n && !used; k++)
			used = listed_below(v->set->items[k].path, directory) &&
			    v->set->items[k].path[strlen(directory)] == '/';
		if (used)
			v->binds[v->n_binds++] = (struct bind){.to = directory, .tree = true};
	}
}

/* What lies below comes after: it is mounted over it. */
static int
compare_binds(const void *a, const void *b)
{
	return strcmp(((const struct bind *)a)->to, ((const struct bind *)b)->to);
}

static struct json *
binds_json(const struct view *v)
{
	struct json *binds = json_new_array();
	char from[2 * LISTED_PATH_MAX];
	for (size_t i = 0; i < v->n_binds; i++) {
		const struct bind *b = &v->binds[i];
		struct json *bind = json_new_object();
		(void)snprintf(from, sizeof(from), "%s%s", b->tree || b->empty ? v->tree : "",
		    b->empty ? LISTED_EMPTY : b->to);
		(void)json_set_str(bind, "from", from);
		(void)json_set_str(bind, "to", b->to);
		if (b->file)
			(void)json_set_bool(bind, "file", true);
		if (b->noexec)
			(void)json_set_bool(bind, "noexec", true);
		(void)json_push(binds, bind);
	}
	return binds;
}

/* The view of SET, whose copies lie in TREE. NULL without memory. */
static struct json *
make_view(const struct listed_set *set, const char *tree, uid_t uid, gid_t gid)
{
	_cleanup_json_ struct json *host = host_view(uid, gid);
	struct view v = {.set = set, .tree = tree, .rules = json_new_array()};
	v.binds = calloc(set->n + 16, sizeof(*v.binds));
	v.links = json_detach(host, "links");
	struct json *view = json_new_object();
	for (size_t i = 0; v.binds != NULL && i < set->n; i++)
		add_item(&v, &set->items[i]);
	if (v.binds != NULL) {
		add_whole(&v);
		qsort(v.binds, v.n_binds, sizeof(*v.binds), compare_binds);
	}
	/* Each is taken, also when one before it was not. */
	bool failed = json_set(view, "binds", v.binds != NULL ? binds_json(&v) : NULL) < 0;
	failed |= json_set(view, "links", v.links) < 0;
	failed |= json_set(view, "files", json_detach(host, "files")) < 0;
	failed |= json_set(view, "rules", v.rules) < 0;
	failed |= json_set_bool(view, "noexec", true) < 0;
	free(v.binds);
	return failed ? json_free(view) : view;
}

/* ---- the manifest: what was made, of what ---- */

static int
manifest_name(const struct json *programs, const char *state, uid_t uid, gid_t gid,
    char ret[LISTED_NAME_SIZE])
{
	_cleanup_buf_ struct buf text;
	uint8_t hash[SHA256_BYTES];
	char hex[SHA256_HEX];
	buf_init(&text, 1 << 20);
	(void)buf_addf(&text, "%d %u:%u %s ", VIEW_VERSION, (unsigned)uid, (unsigned)gid, state);
	int r = json_write(programs, &text);
	if (r < 0)
		return r;
	struct sha256 h;
	sha256_init(&h);
	sha256_update(&h, text.data, text.len);
	listed_hash_data(&h);
	sha256_final(&h, hash);
	hex_encode(hash, sizeof(hash), hex);
	(void)snprintf(ret, LISTED_NAME_SIZE, PREFIX "%.24s.json", hex);
	return 0;
}

/* The manifest NAME, if it is ours and whole; NULL otherwise. */
static struct json *
read_manifest(int state_fd, const char *name)
{
	struct json *manifest = NULL;
	struct stat st;
	_cleanup_close_ int fd = openat(state_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
	    (st.st_mode & 0022) != 0 || st.st_size > MANIFEST_MAX)
		return NULL;
	_cleanup_free_ char *text = malloc((size_t)st.st_size + 1);
	if (text == NULL || pread(fd, text, (size_t)st.st_size, 0) != st.st_size ||
	    json_parse(text, (size_t)st.st_size, &manifest, /* err= */ NULL) < 0)
		return NULL;
	return manifest;
}

static bool
is_unchanged(const struct json *seen)
{
	char identity[160];
	struct stat st;
	for (size_t i = 0; i < json_len(seen); i++) {
		listed_identity(lstat(json_name_at(seen, i), &st) == 0 ? &st : NULL, identity);
		if (strcmp(identity, json_str(json_at(seen, i), "")) != 0)
			return false;
	}
	return json_len(seen) > 0;
}

static bool
is_good(int state_fd, const struct json *manifest)
{
	return manifest != NULL && is_unchanged(json_get(manifest, "sources")) &&
	    listed_tree_intact(
		state_fd, json_get_str(manifest, "tree", ""), json_get(manifest, "files"));
}

/* A file that cannot be written is no error: the next start reads the programs again. -ENOMEM: the manifest is
 * not whole. */
static int
write_manifest(int state_fd, const char *name, const struct json *manifest)
{
	char temporary[LISTED_NAME_SIZE];
	_cleanup_buf_ struct buf text;
	buf_init(&text, MANIFEST_MAX);
	(void)snprintf(temporary, sizeof(temporary), PREFIX "new-%d.json", (int)getpid());
	int r = json_write(manifest, &text);
	if (r < 0)
		return r;
	(void)unlinkat(state_fd, temporary, 0);
	_cleanup_close_ int fd =
	    openat(state_fd, temporary, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || write(fd, text.data, text.len) != (ssize_t)text.len ||
	    renameat(state_fd, temporary, state_fd, name) < 0)
		(void)unlinkat(state_fd, temporary, 0);
	return 0;
}

/* ---- together ---- */

/* What a caller holds: what was seen, and when it was looked at last. */
static struct json *
make_sources(struct json *manifest)
{
	struct json *sources = json_new_object();
	(void)json_set_int(sources, "looked_ns", clock_monotonic_ns());
	(void)json_set(sources, "seen", json_detach(manifest, "sources"));
	return sources;
}

bool
listed_fresh(struct json *sources)
{
	int64_t now = clock_monotonic_ns();
	if (sources != NULL && now - json_get_int(sources, "looked_ns", 0) < LISTED_LOOK_NS)
		return true;
	if (!is_unchanged(json_get(sources, "seen")))
		return false;
	return json_set_int(sources, "looked_ns", now) == 0;
}

/* Whether rf-init can be told VIEW: one message carries it. */
static int
check_size(const struct json *view, struct error *err)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, VIEW_MAX);
	int r = json_write(json_get(view, "binds"), &text);
	if (r == 0)
		r = json_write(json_get(view, "rules"), &text);
	if (r == -EMSGSIZE) {
		error_set(err, E2BIG, "listed_too_much",
		    "the listed programs need more files than a sandbox can be told of");
		error_remedy(err, "name fewer programs, or make a policy for each kind of work");
		r = -E2BIG;
	}
	return r;
}

/* A manifest with everything made anew. 0, -ESTALE or -errno. */
static int
make_manifest(int state_fd, const char *state, const struct json *programs, uid_t uid, gid_t gid,
    struct json **ret, struct error *err)
{
	struct listed_set set;
	char tree[LISTED_NAME_SIZE], path[LISTED_PATH_MAX];
	int r = listed_set_init(&set);
	if (r == 0)
		r = listed_collect(&set, programs, err);
	if (r == 0)
		r = listed_tree_ensure(state_fd, &set, tree, err);
	if (r == 0) {
		struct json *manifest = json_new_object();
		(void)snprintf(path, sizeof(path), "%s/%s", state, tree);
		if (json_set(manifest, "view", make_view(&set, path, uid, gid)) < 0 ||
		    json_set(manifest, "files", listed_tree_files(&set)) < 0 ||
		    json_set(manifest, "sources", TAKE_PTR(set.sources)) < 0 ||
		    json_set_str(manifest, "tree", tree) < 0)
			manifest = json_free(manifest);
		*ret = manifest;
		r = manifest == NULL ? -ENOMEM : check_size(json_get(manifest, "view"), err);
	}
	listed_set_done(&set);
	return r;
}

int
listed_view(int state_fd, const char *state, const struct json *programs, uid_t uid, gid_t gid,
    struct json **ret_view, struct json **ret_sources, struct error *err)
{
	char name[LISTED_NAME_SIZE];
	int r = manifest_name(programs, state, uid, gid, name);
	_cleanup_json_ struct json *manifest = r < 0 ? NULL : read_manifest(state_fd, name);
	bool good = is_good(state_fd, manifest);
	for (int i = 0; i < ATTEMPTS && r == 0 && !good; i++) {
		struct error why = {0};
		manifest = json_free(manifest);
		r = make_manifest(state_fd, state, programs, uid, gid, &manifest, &why);
		if (r == 0)
			r = write_manifest(state_fd, name, manifest);
		good = r == 0;
		if (r == -ESTALE && i + 1 < ATTEMPTS)
			r = 0; /* a package is being installed: look again */
		if (r < 0 && err != NULL)
			*err = why;
	}
	if (r < 0)
		return err == NULL || err->code[0] != 0
		    ? r
		    : error_set_errno(err, -r, "listed_failed", "cannot make the listed root");
	*ret_view = json_detach(manifest, "view");
	if (ret_sources != NULL)
		*ret_sources = make_sources(manifest);
	return 0;
}

/* Calls FN for everything of ours in run/. */
static void
for_each(
    int state_fd, void (*fn)(int state_fd, const char *path, struct json *kept), struct json *kept)
{
	char path[300];
	struct dirent *entry;
	int fd = openat(state_fd, "run", O_DIRECTORY | O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		(void)snprintf(path, sizeof(path), "run/%s", entry->d_name);
		if (strncmp(path, PREFIX, strlen(PREFIX)) == 0 && strcmp(path, LISTED_STORE) != 0)
			fn(state_fd, path, kept);
	}
	if (dir != NULL)
		(void)closedir(dir);
}

static bool
is_manifest(const char *path)
{
	size_t len = strlen(path);
	return len > 5 && strcmp(path + len - 5, ".json") == 0;
}

static void
sweep_manifest(int state_fd, const char *path, struct json *kept)
{
	if (!is_manifest(path))
		return;
	_cleanup_json_ struct json *manifest = read_manifest(state_fd, path);
	if (is_good(state_fd, manifest))
		(void)json_set_bool(kept, json_get_str(manifest, "tree", ""), true);
	else
		(void)unlinkat(state_fd, path, 0);
}

static void
sweep_tree(int state_fd, const char *path, struct json *kept)
{
	if (!is_manifest(path) && json_get(kept, path) == NULL)
		listed_tree_remove(state_fd, path);
}

void
listed_sweep(int state_fd)
{
	_cleanup_json_ struct json *kept = json_new_object();
	for_each(state_fd, sweep_manifest, kept);
	for_each(state_fd, sweep_tree, kept);
	listed_store_sweep(state_fd);
}
