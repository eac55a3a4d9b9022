/* Libraries, searched as ld.so(8) does: DT_RPATH of the object and of those that brought it, DT_RUNPATH, the
 * cache, the default directories. Variants for newer processors (glibc-hwcaps) are left out: without
 * them the loader takes the plain one. musl's loader has its own, shorter list. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "sandbox/listed_need.h"

static const char *const default_directories[] = {
    "/lib/" LISTED_TRIPLET, "/usr/lib/" LISTED_TRIPLET, "/lib64", "/usr/lib64", "/lib", "/usr/lib"};
static const char *const musl_directories[] = {"/lib", "/usr/local/lib", "/usr/lib"};
/* Names that musl's loader takes for itself. */
static const char *const musl_own[] = {
    "libc.", "libpthread.", "librt.", "libm.", "libdl.", "libutil.", "libxnet."};

struct search {
	struct listed_loader *loader;
	const char *name;   /* of the library */
	const char *origin; /* the directory of who needs it */
	char found[LISTED_PATH_MAX];
};

/* Whether PATH is a library of our kind; then it is FOUND. */
static bool
accept(struct search *s, const char *path)
{
	struct elf_file elf;
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return false;
	int r = elf_read(fd, &elf);
	bool good = r == 0;
	elf_done(&elf);
	if (r == -ENOMEM)
		s->loader->set->failed = true;
	if (good)
		(void)snprintf(s->found, sizeof(s->found), "%s", path);
	return good;
}

static bool
in_directory(struct search *s, const char *directory)
{
	char path[LISTED_PATH_MAX];
	return snprintf(path, sizeof(path), "%s/%s", directory, s->name) < (int)sizeof(path) &&
	    accept(s, path);
}

/* Writes the element TEXT of LEN bytes with $ORIGIN replaced. False if it is not an absolute path then. */
static bool
expand(const char *text, size_t len, const char *origin, char ret[LISTED_PATH_MAX])
{
	static const char *const words[] = {"$ORIGIN", "${ORIGIN}"};
	const char *rest = "";
	int n = -1;
	for (size_t i = 0; i < ARRAY_LEN(words) && n < 0; i++) {
		size_t word = strlen(words[i]);
		if (len < word || memcmp(text, words[i], word) != 0)
			continue;
		rest = text + word;
		n = snprintf(ret, LISTED_PATH_MAX, "%s%.*s", origin, (int)(len - word), rest);
	}
	if (n < 0)
		n = snprintf(ret, LISTED_PATH_MAX, "%.*s", (int)len, text);
	return n < LISTED_PATH_MAX && ret[0] == '/' && strchr(ret, '$') == NULL;
}

static bool
in_list(struct search *s, const char *list, const char *origin)
{
	char directory[LISTED_PATH_MAX];
	while (list != NULL && *list != 0) {
		size_t len = strcspn(list, ":");
		if (expand(list, len, origin, directory) && in_directory(s, directory))
			return true;
		list += len + (list[len] != 0);
	}
	return false;
}

static void
directory_of(const char *path, char ret[LISTED_PATH_MAX])
{
	const char *slash = strrchr(path, '/');
	(void)snprintf(ret, LISTED_PATH_MAX, "%.*s", slash != NULL ? (int)(slash - path) : 0, path);
}

/* DT_RPATH of those that brought the item OF, up to the program. Each is read anew: it is rarely there. */
static bool
in_parents(struct search *s, size_t of)
{
	const struct listed_set *set = s->loader->set;
	for (size_t depth = 0; depth < 64 && set->items[of].because != of; depth++) {
		char origin[LISTED_PATH_MAX];
		struct elf_file elf;
		of = set->items[of].because;
		if (set->items[of].kind != LISTED_FILE)
			return false;
		_cleanup_close_ int fd = open(set->items[of].path, O_RDONLY | O_CLOEXEC);
		bool found = false;
		directory_of(set->items[of].path, origin);
		if (fd >= 0) {
			int r = elf_read(fd, &elf);
			s->loader->set->failed = s->loader->set->failed || r == -ENOMEM;
			found = r == 0 && elf.runpath == NULL && in_list(s, elf.rpath, origin);
			elf_done(&elf);
		}
		if (found)
			return true;
	}
	return false;
}

static bool
in_cache(struct search *s)
{
	size_t at = 0;
	const char *path;
	while ((path = ld_cache_next(&s->loader->cache, s->name, &at)) != NULL)
		if (path[0] == '/' && strstr(path, "/glibc-hwcaps/") == NULL && accept(s, path))
			return true;
	return false;
}

static bool
in_directories(struct search *s, const char *const *directories, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (in_directory(s, directories[i]))
			return true;
	return false;
}

static bool
is_musl(const struct listed_set *set, const struct elf_file *elf, size_t of)
{
	const char *interpreter = elf->interpreter;
	if (interpreter != NULL)
		return strstr(interpreter, "/ld-musl-") != NULL;
	return strstr(set->items[of].path, "-musl/") != NULL;
}

static bool
find(struct search *s, const struct elf_file *elf, size_t of, bool musl)
{
	if (strchr(s->name, '/') != NULL) {
		char path[LISTED_PATH_MAX];
		return expand(s->name, strlen(s->name), s->origin, path) && accept(s, path);
	}
	if (elf->runpath == NULL && (in_list(s, elf->rpath, s->origin) || in_parents(s, of)))
		return true;
	if (in_list(s, elf->runpath, s->origin))
		return true;
	if (musl)
		return in_directories(s, musl_directories, ARRAY_LEN(musl_directories));
	return in_cache(s) ||
	    in_directories(s, default_directories, ARRAY_LEN(default_directories));
}

static bool
is_musl_own(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(musl_own); i++)
		if (strncmp(name, musl_own[i], strlen(musl_own[i])) == 0)
			return true;
	return false;
}

/* A file of the host as an item. */
static int
add_file(struct listed_set *set, const char *path, size_t because, bool execute)
{
	char canonical[LISTED_PATH_MAX];
	struct stat st;
	int r = listed_walk(set, path, canonical, &st);
	if (r < 0 || !S_ISREG(st.st_mode))
		return r == -ENOMEM ? r : 0;
	size_t at = listed_add(set, LISTED_FILE, canonical, because);
	if (at == SIZE_MAX)
		return -ENOMEM;
	set->items[at].execute = set->items[at].execute || execute;
	return 0;
}

int
listed_load(struct listed_loader *loader, const struct elf_file *elf, size_t of, const char *path)
{
	char origin[LISTED_PATH_MAX];
	bool musl = is_musl(loader->set, elf, of);
	directory_of(path, origin);
	int r = elf->interpreter == NULL || elf->interpreter[0] != '/'
	    ? 0
	    : add_file(loader->set, elf->interpreter, of, /* execute= */ true);
	for (size_t i = 0; i < elf->n_needed && r == 0; i++) {
		struct search s = {.loader = loader, .name = elf->needed[i], .origin = origin};
		if (!(musl && is_musl_own(s.name)) && find(&s, elf, of, musl))
			r = add_file(loader->set, s.found, of, /* execute= */ false);
	}
	return r;
}
