/* Compiling and finding policy generations.
 *
 * A generation is its text's hash: the same bytes are compiled once and shared. Built-in names never
 * touch the store, so that a plain `ringfence run` does not open it; they cannot be activated over. */
#include "arbiter/generations.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "arbiter/arbiter.h"

#define FUSE_MAGIC 0x65735546

struct generation *
generation_ref(struct generation *generation)
{
	generation->refs++;
	return generation;
}

struct generation *
generation_unref(struct generation *generation)
{
	if (generation == NULL || --generation->refs > 0)
		return NULL;
	policy_free(generation->policy);
	json_free(generation->sandbox);
	free(generation->missing);
	free(generation);
	return NULL;
}

/* ---- compiling ---- */

/* LINES with "; " between them; owned, NULL when out of memory. */
static char *
one_line(const char *lines)
{
	_cleanup_buf_ struct buf out;
	buf_init(&out, 64 * 1024);
	for (const char *c = lines; *c != '\0'; c++) {
		if (*c != '\n')
			(void)buf_add_char(&out, *c);
		else if (c[1] != '\0')
			(void)buf_add_str(&out, "; ");
	}
	return buf_failed(&out) ? NULL : strdup(buf_str(&out));
}

/* What is asked of a policy again and again, worked out once. */
static int
generation_describe(struct generation *generation)
{
	_cleanup_json_ struct json *budgets = policy_budgets(generation->policy);
	_cleanup_buf_ struct buf missing;
	buf_init(&missing, 16 * 1024);
	generation->sandbox = policy_sandbox(generation->policy);
	if (generation->sandbox == NULL || budgets == NULL)
		return -ENOMEM;
	generation->calls_per_task = json_get_int(budgets, "calls_per_task", 0);
	generation->calls_per_day = json_get_int(budgets, "calls_per_day", 0);
	generation->writes_host =
	    strcmp(json_get_str(generation->sandbox, "workspace", ""), "direct") == 0;
	generation->two_people = policy_needs_two_people(generation->policy);
	if (!policy_enforceable(generation->policy, &missing)) {
		generation->missing = one_line(buf_str(&missing));
		if (generation->missing == NULL)
			return -ENOMEM;
	}
	return 0;
}

static int
generation_compile(const char *text, size_t len, const char *hash, const char *label,
    struct generation **ret, struct error *err)
{
	struct generation *generation = calloc(1, sizeof(*generation));
	if (generation == NULL)
		return error_set(err, ENOMEM, "out_of_memory", "%s: out of memory", label);
	generation->refs = 1;
	int r = policy_load(text, len, label, &generation->policy, err);
	if (r == 0) {
		(void)snprintf(generation->hash, sizeof(generation->hash), "%s", hash);
		generation->text_bytes = len;
		const char *name = policy_name(generation->policy);
		(void)snprintf(
		    generation->name, sizeof(generation->name), "%s", name != NULL ? name : "");
		r = generation_describe(generation);
		if (r < 0)
			error_set(err, ENOMEM, "out_of_memory", "%s: out of memory", label);
	}
	if (r < 0) {
		generation_unref(generation);
		return r;
	}
	*ret = generation;
	return 0;
}

/* Moves entry I of LIST to the front. */
static void
to_front(struct generation **list, size_t i)
{
	struct generation *generation = list[i];
	memmove(&list[1], &list[0], i * sizeof(list[0]));
	list[0] = generation;
}

int
generation_load(struct generations *all, const char *text, size_t len, const char *label,
    struct generation **ret, struct error *err)
{
	uint8_t digest[SHA256_BYTES];
	char hash[SHA256_HEX];
	sha256(text, len, digest);
	hex_encode(digest, sizeof(digest), hash);
	size_t i = 0;
	while (i < GENERATIONS_CACHED && all->cached[i] != NULL &&
	    strcmp(all->cached[i]->hash, hash) != 0)
		i++;
	if (i == GENERATIONS_CACHED || all->cached[i] == NULL) {
		struct generation *generation = NULL;
		int r = generation_compile(text, len, hash, label, &generation, err);
		if (r < 0)
			return r;
		i = MIN(i, (size_t)GENERATIONS_CACHED - 1);
		generation_unref(all->cached[i]);
		all->cached[i] = generation;
	}
	to_front(all->cached, i);
	*ret = generation_ref(all->cached[0]);
	return 0;
}

/* ---- from a descriptor ---- */

/* A file that cannot make us wait: regular, and not served by another process of the sender's. */
static int
check_file(int fd, const char *label, size_t *ret_size, struct error *err)
{
	struct stat st;
	struct statfs fs;
	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
		return error_set_errno(err, errno, "policy_unreadable", "%s", label);
	if (!S_ISREG(st.st_mode) || fs.f_type == FUSE_MAGIC)
		return error_set(err, EINVAL, "policy_unreadable",
		    "%s: a policy must be a regular file on an ordinary file system", label);
	if (st.st_size > POLICY_BYTES_MAX)
		return error_set(err, EMSGSIZE, "policy_too_large",
		    "%s: %lld bytes, the limit is %d", label, (long long)st.st_size,
		    POLICY_BYTES_MAX);
	*ret_size = (size_t)st.st_size;
	return 0;
}

int
generation_file_text(int fd, const char *label, struct buf *text, struct error *err)
{
	size_t size = 0;
	int r = check_file(fd, label, &size, err);
	if (r < 0)
		return r;
	while (text->len < size) {
		size_t want = size - text->len;
		uint8_t *room = buf_reserve(text, want);
		if (room == NULL)
			return error_set(err, ENOMEM, "out_of_memory", "%s: out of memory", label);
		ssize_t n = pread(fd, room, want, (off_t)text->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set_errno(err, errno, "policy_unreadable", "%s", label);
		if (n == 0)
			break;
		buf_grew(text, (size_t)n);
	}
	return 0;
}

int
generation_read(
    struct generations *all, int fd, const char *label, struct generation **ret, struct error *err)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, POLICY_BYTES_MAX + 1);
	int r = generation_file_text(fd, label, &text, err);
	if (r < 0)
		return r;
	return generation_load(all, buf_str(&text), text.len, label, ret, err);
}

/* ---- by name ---- */

static struct generation *
name_lookup(const struct generations *all, const char *name)
{
	for (size_t i = 0; i < GENERATIONS_CACHED; i++)
		if (all->active[i].generation != NULL && strcmp(all->active[i].name, name) == 0)
			return all->active[i].generation;
	return NULL;
}

static void
name_remember(struct generations *all, const char *name, struct generation *generation)
{
	size_t last = GENERATIONS_CACHED - 1;
	generation_unref(all->active[last].generation);
	memmove(&all->active[1], &all->active[0], last * sizeof(all->active[0]));
	(void)snprintf(all->active[0].name, sizeof(all->active[0].name), "%s", name);
	all->active[0].generation = generation_ref(generation);
}

void
generations_forget_name(struct generations *all, const char *name)
{
	for (size_t i = 0; i < GENERATIONS_CACHED; i++)
		if (all->active[i].generation != NULL && strcmp(all->active[i].name, name) == 0)
			all->active[i].generation = generation_unref(all->active[i].generation);
}

static int
load_active(struct arbiter *arbiter, const char *name, struct generation **ret, struct error *err)
{
	_cleanup_buf_ struct buf text;
	char hash[SHA256_HEX];
	buf_init(&text, POLICY_BYTES_MAX + 1);
	struct store *store = arbiter_store(arbiter, err);
	if (store == NULL)
		return -EIO;
	int r = store_policy_active(store, name, &text, hash);
	if (r == -ENOENT) {
		error_set(err, ENOENT, "policy_unknown",
		    "no policy is active under the name \"%s\"", name);
		error_remedy(err,
		    "give a file (--policy FILE), activate one (ringfence policy activate), "
		    "or use a built-in name such as isolated");
		return -ENOENT;
	}
	if (r < 0)
		return error_set_errno(err, -r, "store_failed", "store: reading policy %s", name);
	return generation_load(&arbiter->generations, buf_str(&text), text.len, name, ret, err);
}

int
generation_named(
    struct arbiter *arbiter, const char *name, struct generation **ret, struct error *err)
{
	if (name[0] == '\0' || strlen(name) > POLICY_NAME_MAX)
		return error_set(err, EINVAL, "policy_unknown", "a policy's name has 1 to %d bytes",
		    POLICY_NAME_MAX);
	struct generation *known = name_lookup(&arbiter->generations, name);
	if (known != NULL) {
		*ret = generation_ref(known);
		return 0;
	}
	const char *text = policy_builtin(name);
	int r = text != NULL
	    ? generation_load(&arbiter->generations, text, strlen(text), name, ret, err)
	    : load_active(arbiter, name, ret, err);
	if (r == 0)
		name_remember(&arbiter->generations, name, *ret);
	return r;
}

/* ---- by hash ---- */

static void
keep_forget_last(struct generations *all)
{
	struct generation *last = all->kept[--all->n_kept];
	all->kept_bytes -= last->text_bytes;
	all->kept[all->n_kept] = generation_unref(last);
}

void
generation_keep(struct generations *all, struct generation *generation)
{
	size_t i = 0;
	while (i < all->n_kept && all->kept[i] != generation &&
	    strcmp(all->kept[i]->hash, generation->hash) != 0)
		i++;
	if (i == all->n_kept) {
		while (all->n_kept == GENERATIONS_KEPT ||
		    (all->n_kept > 0 &&
			all->kept_bytes + generation->text_bytes > GENERATIONS_KEPT_BYTES))
			keep_forget_last(all);
		i = all->n_kept++;
		all->kept[i] = generation_ref(generation);
		all->kept_bytes += generation->text_bytes;
	}
	to_front(all->kept, i);
}

static struct generation *
hash_lookup(struct generations *all, const char *hash)
{
	for (size_t i = 0; i < all->n_kept; i++) {
		if (strcmp(all->kept[i]->hash, hash) == 0) {
			to_front(all->kept, i);
			return all->kept[0];
		}
	}
	for (size_t i = 0; i < GENERATIONS_CACHED && all->cached[i] != NULL; i++)
		if (strcmp(all->cached[i]->hash, hash) == 0)
			return all->cached[i];
	return NULL;
}

static int
load_hashed(struct arbiter *arbiter, const char *hash, struct generation **ret, struct error *err)
{
	_cleanup_buf_ struct buf text;
	struct generation *found = NULL;
	buf_init(&text, POLICY_BYTES_MAX + 1);
	struct store *store = arbiter_store(arbiter, err);
	if (store == NULL)
		return -EIO;
	int r = store_policy_text(store, hash, &text);
	if (r == -ENOENT) {
		error_set(err, ENOENT, "policy_unknown",
		    "no policy generation %.64s is known here (any more)", hash);
		error_remedy(err, "give the policy itself again, by name or as a file");
		return -ENOENT;
	}
	if (r < 0)
		return error_set_errno(err, -r, "store_failed", "store: reading a generation");
	r = generation_load(&arbiter->generations, buf_str(&text), text.len, "policy", &found, err);
	if (r == 0 && strcmp(found->hash, hash) != 0) {
		generation_unref(found);
		return error_set(err, EUCLEAN, "store_failed",
		    "store: the text of generation %.64s is another", hash);
	}
	if (r == 0)
		*ret = found;
	return r;
}

int
generation_hashed(
    struct arbiter *arbiter, const char *hash, struct generation **ret, struct error *err)
{
	if (strlen(hash) != SHA256_HEX - 1 || strspn(hash, "0123456789abcdef") != SHA256_HEX - 1)
		return error_set(
		    err, EINVAL, "policy_unknown", "a policy's hash has 64 hexadecimal digits");
	struct generation *known = hash_lookup(&arbiter->generations, hash);
	if (known == NULL)
		return load_hashed(arbiter, hash, ret, err);
	*ret = generation_ref(known);
	return 0;
}

void
generations_done(struct generations *all)
{
	while (all->n_kept > 0)
		keep_forget_last(all);
	for (size_t i = 0; i < GENERATIONS_CACHED; i++) {
		generation_unref(all->cached[i]);
		generation_unref(all->active[i].generation);
	}
}
