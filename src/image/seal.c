#include "image/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "sandbox/workspace_fs.h"

struct walk {
	enum seal_how how;
	const struct image_limits *limits;
	struct seal *seal;
	struct sha256 hash;
	unsigned depth;
};

/* ---- what is hashed ---- */

static void
add_number(struct walk *w, uint64_t n)
{
	uint8_t bytes[8];
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(n >> (8 * i));
	sha256_update(&w->hash, bytes, sizeof(bytes));
}

static void
add_text(struct walk *w, const char *text)
{
	add_number(w, strlen(text));
	sha256_update(&w->hash, text, strlen(text));
}

static void
add_head(struct walk *w, char type, const char *name)
{
	sha256_update(&w->hash, &type, 1);
	add_text(w, name);
}

/* ---- entries ---- */

static int
mend(struct walk *w, int dir, const char *name, const struct stat *st, struct error *err)
{
	mode_t mode = S_ISDIR(st->st_mode) || (st->st_mode & 0111) != 0 ? 0755 : 0644;
	if (w->how != SEAL_MEND)
		return 0;
	if ((st->st_uid != geteuid() || st->st_gid != getegid()) &&
	    fchownat(dir, name, geteuid(), getegid(), AT_SYMLINK_NOFOLLOW) < 0)
		return image_failed(err, -errno, "take over", name);
	if (S_ISLNK(st->st_mode) || (st->st_mode & 07777) == mode)
		return 0;
	int r = wsfs_chmod(dir, name, mode);
	return r < 0 ? image_failed(err, r, "set the mode of", name) : 0;
}

static int
walk_file(struct walk *w, int dir, const char *name, const struct stat *st, struct error *err)
{
	uint8_t hash[SHA256_BYTES];
	int64_t budget = w->limits->bytes - w->seal->bytes, before = budget;
	_cleanup_close_ int fd = wsfs_open(dir, name, O_RDONLY | O_NONBLOCK);
	int r = fd < 0 ? fd : wsfs_hash(fd, &budget, hash);
	if (r == -EFBIG)
		return image_refuse(
		    err, "more than %lld MiB of contents", (long long)(w->limits->bytes >> 20));
	if (r < 0)
		return image_failed(err, r, "read", name);
	w->seal->bytes += before - budget;
	add_head(w, (st->st_mode & 0111) != 0 ? 'x' : 'f', name);
	add_number(w, (uint64_t)(before - budget));
	sha256_update(&w->hash, hash, sizeof(hash));
	return 0;
}

static int
walk_link(struct walk *w, int dir, const char *name, struct error *err)
{
	_cleanup_free_ char *target = NULL;
	int r = wsfs_readlink(dir, name, &target);
	if (r < 0)
		return image_failed(err, r, "read", name);
	add_head(w, 'l', name);
	add_text(w, target);
	return 0;
}

static int walk_below(struct walk *w, int dir, struct error *err);

static int
walk_directory(struct walk *w, int dir, const char *name, struct error *err)
{
	if (w->depth >= IMAGE_DEPTH_MAX)
		return image_refuse(err, "directories more than %d deep", IMAGE_DEPTH_MAX);
	_cleanup_close_ int fd = wsfs_open(dir, name, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return image_failed(err, fd, "open", name);
	add_head(w, 'd', name);
	w->depth++;
	int r = walk_below(w, fd, err);
	w->depth--;
	sha256_update(&w->hash, "e", 1);
	return r;
}

static int
walk_entry(struct walk *w, int dir, const char *name, struct error *err)
{
	struct stat st;
	if (++w->seal->entries > w->limits->entries)
		return image_refuse(err, "more than %lld files", (long long)w->limits->entries);
	int r = wsfs_stat(dir, name, &st);
	if (r < 0)
		return image_failed(err, r, "look at", name);
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
		return image_refuse_path(err, name, "neither directory, nor file, nor link");
	r = mend(w, dir, name, &st, err);
	if (r < 0)
		return r;
	if (S_ISREG(st.st_mode))
		return walk_file(w, dir, name, &st, err);
	return S_ISLNK(st.st_mode) ? walk_link(w, dir, name, err)
				   : walk_directory(w, dir, name, err);
}

/* In the order of bytes, so that the hash is the same on every file system. */
static int
walk_below(struct walk *w, int dir, struct error *err)
{
	struct wsfs_names names = {0};
	int r = wsfs_names(dir, (size_t)w->limits->entries, &names);
	if (r == -E2BIG)
		return image_refuse(err, "more than %lld files", (long long)w->limits->entries);
	if (r < 0)
		return image_failed(err, r, "list", "a directory");
	for (size_t i = 0; i < names.n && r == 0; i++)
		r = walk_entry(w, dir, names.items[i], err);
	wsfs_names_done(&names);
	return r;
}

int
seal_tree(int root, enum seal_how how, const struct image_limits *limits, struct seal *ret,
    struct error *err)
{
	struct walk w = {.how = how, .limits = limits, .seal = ret};
	uint8_t hash[SHA256_BYTES];
	struct stat st;
	*ret = (struct seal){0};
	sha256_init(&w.hash);
	if (fstat(root, &st) < 0)
		return image_failed(err, -errno, "look at", "/");
	int r = mend(&w, root, ".", &st, err);
	if (r == 0)
		r = walk_below(&w, root, err);
	if (r < 0)
		return r;
	sha256_final(&w.hash, hash);
	hex_encode(hash, sizeof(hash), ret->hash);
	return 0;
}
