/* The commits of a pack: kept in the order of their offsets, found by name in a balanced tree (names are the peer's:
 * a hash table of them could be made slow). */
#include "proto/gitcommits.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <string.h>

#include "base/sha256.h"

#define STEPS_MAX 4000000 /* parents looked at, over all proofs of a push */
#define HEAD_LINE(word) (sizeof(word) - 1 + 2 * SHA1_BYTES + 1)

struct gitcommit {
	uint8_t name[SHA1_BYTES]; /* first: what the tree compares */
	uint64_t offset;
	uint8_t *bytes; /* owned; NULL: not kept */
	size_t len;
	uint8_t (*parents)[SHA1_BYTES]; /* owned */
	size_t n_parents;
	unsigned seen; /* the last proof that met it */
};

struct gitcommits {
	struct gitcommit **all; /* owned, and each */
	size_t n, room;
	void *by_name;
	size_t n_parents, n_bytes, steps;
	unsigned proof;
};

static int
compare_names(const void *a, const void *b)
{
	return memcmp(a, b, SHA1_BYTES);
}

static struct gitcommit *
commit_free(struct gitcommit *commit)
{
	if (commit != NULL) {
		free(commit->bytes);
		free(commit->parents);
		free(commit);
	}
	return NULL;
}

static void
keep_node(void *node)
{
	(void)node; /* the array owns it */
}

struct gitcommits *
gitcommits_new(void)
{
	return calloc(1, sizeof(struct gitcommits));
}

struct gitcommits *
gitcommits_free(struct gitcommits *commits)
{
	if (commits == NULL)
		return NULL;
	tdestroy(commits->by_name, keep_node);
	for (size_t i = 0; i < commits->n; i++)
		commit_free(commits->all[i]);
	free(commits->all);
	free(commits);
	return NULL;
}

size_t
gitcommits_count(const struct gitcommits *commits)
{
	return commits->n;
}

/* Whether BYTES begin with a line "WORD name"; the name to RET. */
static bool
read_line(const uint8_t *bytes, size_t len, const char *word, uint8_t ret[SHA1_BYTES])
{
	size_t n = strlen(word);
	char hex[SHA1_HEX];
	if (len < n + SHA1_HEX || memcmp(bytes, word, n) != 0 || bytes[n + SHA1_HEX - 1] != '\n')
		return false;
	memcpy(hex, bytes + n, SHA1_HEX - 1);
	hex[SHA1_HEX - 1] = 0;
	return hex_decode(hex, SHA1_BYTES, ret) == 0;
}

/* How many parents the commit BYTES has, as git reads it: lines right after the tree's. Negative: it is none. To RET if
 * that is not NULL. */
static ssize_t
read_parents(const uint8_t *bytes, size_t len, uint8_t (*ret)[SHA1_BYTES])
{
	uint8_t name[SHA1_BYTES];
	if (!read_line(bytes, len, "tree ", name))
		return -1;
	ssize_t n = 0;
	size_t at = HEAD_LINE("tree ");
	while (len - at >= 7 && memcmp(bytes + at, "parent ", 7) == 0) {
		if (!read_line(bytes + at, len - at, "parent ", name))
			return -1;
		if (ret != NULL)
			memcpy(ret[n], name, SHA1_BYTES);
		n++;
		at += HEAD_LINE("parent ");
	}
	return n;
}

static void
commit_name(const uint8_t *bytes, size_t len, uint8_t ret[SHA1_BYTES])
{
	char head[32];
	int n = snprintf(head, sizeof(head), "commit %zu", len);
	struct sha1 h;
	sha1_init(&h);
	sha1_update(&h, head, (size_t)n + 1); /* with its NUL */
	sha1_update(&h, bytes, len);
	sha1_final(&h, ret);
}

static int
reserve_one(struct gitcommits *commits)
{
	if (commits->n < commits->room)
		return 0;
	size_t room = commits->room == 0 ? 64 : commits->room * 2;
	struct gitcommit **all = realloc(commits->all, room * sizeof(struct gitcommit *));
	if (all == NULL)
		return -ENOMEM;
	commits->all = all;
	commits->room = room;
	return 0;
}

/* Fills what COMMIT owns. */
static int
commit_fill(struct gitcommit *commit, const uint8_t *bytes, size_t len, bool keep)
{
	if (commit->n_parents > 0) {
		commit->parents = malloc(commit->n_parents * SHA1_BYTES);
		if (commit->parents == NULL)
			return -ENOMEM;
		(void)read_parents(bytes, len, commit->parents);
	}
	if (!keep)
		return 0;
	commit->bytes = malloc(len);
	if (commit->bytes == NULL)
		return -ENOMEM;
	memcpy(commit->bytes, bytes, len);
	commit->len = len;
	return 0;
}

int
gitcommits_add(struct gitcommits *commits, uint64_t offset, const uint8_t *bytes, size_t len)
{
	ssize_t n_parents = read_parents(bytes, len, NULL);
	if (n_parents < 0 || len > GITCOMMIT_BYTES_MAX || commits->n >= GITCOMMITS_MAX ||
	    commits->n_parents + (size_t)n_parents > GITCOMMITS_PARENTS_MAX)
		return 0;
	bool keep = len <= GITCOMMITS_BYTES_MAX - commits->n_bytes;
	struct gitcommit *commit = calloc(1, sizeof(*commit));
	if (commit == NULL || reserve_one(commits) < 0)
		goto fail;
	commit->offset = offset;
	commit->n_parents = (size_t)n_parents;
	commit_name(bytes, len, commit->name);
	if (commit_fill(commit, bytes, len, keep) < 0 ||
	    tsearch(commit, &commits->by_name, compare_names) == NULL)
		goto fail;
	commits->n_parents += commit->n_parents;
	commits->n_bytes += commit->len;
	commits->all[commits->n++] = commit;
	return 0;
fail:
	commit_free(commit);
	return -ENOMEM;
}

static struct gitcommit *
find_name(const struct gitcommits *commits, const uint8_t name[SHA1_BYTES])
{
	struct gitcommit *const *node = tfind(name, &commits->by_name, compare_names);
	return node == NULL ? NULL : *node;
}

static struct gitcommit_bytes
bytes_of(const struct gitcommit *commit)
{
	struct gitcommit_bytes bytes = {0};
	if (commit != NULL) {
		bytes.at = commit->bytes;
		bytes.len = commit->len;
	}
	return bytes;
}

struct gitcommit_bytes
gitcommits_at(const struct gitcommits *commits, uint64_t offset)
{
	size_t low = 0, high = commits->n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (commits->all[middle]->offset < offset)
			low = middle + 1;
		else
			high = middle;
	}
	bool found = low < commits->n && commits->all[low]->offset == offset;
	return bytes_of(found ? commits->all[low] : NULL);
}

struct gitcommit_bytes
gitcommits_named(const struct gitcommits *commits, const uint8_t name[SHA1_BYTES])
{
	return bytes_of(find_name(commits, name));
}

/* Puts those of COMMIT's parents that the pack has, and that this proof has not met, into QUEUE. Whether ANCESTOR is
 * one of them. */
static bool
look_at_parents(struct gitcommits *commits, const struct gitcommit *commit,
    const uint8_t ancestor[SHA1_BYTES], struct gitcommit **queue, size_t *n_queue)
{
	for (size_t i = 0; i < commit->n_parents && commits->steps < STEPS_MAX; i++) {
		commits->steps++;
		if (memcmp(commit->parents[i], ancestor, SHA1_BYTES) == 0)
			return true;
		struct gitcommit *parent = find_name(commits, commit->parents[i]);
		if (parent != NULL && parent->seen != commits->proof) {
			parent->seen = commits->proof;
			queue[(*n_queue)++] = parent;
		}
	}
	return false;
}

bool
gitcommits_descends(
    struct gitcommits *commits, const uint8_t tip[SHA1_BYTES], const uint8_t ancestor[SHA1_BYTES])
{
	if (memcmp(tip, ancestor, SHA1_BYTES) == 0)
		return true;
	struct gitcommit *first = find_name(commits, tip);
	if (first == NULL)
		return false;
	/* Each commit of the pack is in the queue once at most. */
	_cleanup_free_ struct gitcommit **queue = malloc(commits->n * sizeof(struct gitcommit *));
	if (queue == NULL)
		return false;
	commits->proof++;
	first->seen = commits->proof;
	queue[0] = first;
	size_t n_queue = 1;
	for (size_t at = 0; at < n_queue; at++)
		if (look_at_parents(commits, queue[at], ancestor, queue, &n_queue))
			return true;
	return false;
}
