/* What programs need that no ELF header tells: the modules of an interpreter, certificates, terminal
 * descriptions, libraries that are opened by name. As a table, by the name of the file that needs it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "sandbox/host.h"
#include "sandbox/listed_need.h"

#define SCAN_DEPTH_MAX 40
#define SCAN_FILES_MAX 400000

enum need {
	NEED_DATA,  /* a directory or file, bound without execution */
	NEED_CODE,  /* a directory in which there may be libraries */
	NEED_FILE,  /* a library that is opened by name */
	NEED_NAMES, /* a directory with other names of the program itself */
};

/* WHO is a pattern for the file's name. In PATH, %p is the prefix under which the program is installed
 * (/usr for /usr/bin/git) and %b its name without links (python3.11). What does not exist is left out. A
 * path must not be one that is somebody else's under another prefix: %p/lib alone would be /usr/lib. */
static const struct {
	const char *who;
	enum need need;
	const char *path;
	const char *if_there; /* only where this exists; NULL: always */
} needs[] = {
    {"libc.so.6", NEED_DATA, "/etc/ld.so.cache"},
    {"libc.so.6", NEED_DATA, "/usr/lib/locale"},
    {"libc.so.6", NEED_DATA, "/usr/share/zoneinfo"},
    {"libc.so.6", NEED_DATA, "/etc/localtime"},
    {"libc.so.6", NEED_FILE, "/lib/" LISTED_TRIPLET "/libgcc_s.so.1"}, /* pthread_exit(3) */
    {"libc.so.6", NEED_FILE, "/lib/" LISTED_TRIPLET "/libnss_files.so.2"},
    {"libc.so.6", NEED_FILE, "/lib/" LISTED_TRIPLET "/libnss_dns.so.2"},
    {"iconv", NEED_CODE, "/usr/lib/" LISTED_TRIPLET "/gconv"},

    {"libtinfo.so*", NEED_DATA, "/etc/terminfo"},
    {"libtinfo.so*", NEED_DATA, "/lib/terminfo"},
    {"libtinfo.so*", NEED_DATA, "/usr/share/terminfo"},
    {"libmagic.so*", NEED_DATA, "/etc/magic"},
    {"libmagic.so*", NEED_DATA, "/usr/lib/file"},
    {"libmagic.so*", NEED_DATA, "/usr/share/misc"},
    {"libmagic.so*", NEED_DATA, "/usr/share/file"},
    {"libfontconfig.so*", NEED_DATA, "/etc/fonts"},
    {"libfontconfig.so*", NEED_DATA, "/usr/share/fonts"},

    {"libcrypto.so*", NEED_DATA, "/etc/ssl/openssl.cnf"},
    {"libcrypto.so*", NEED_DATA, "/usr/lib/ssl"},
    {"libcrypto.so*", NEED_CODE, "/usr/lib/" LISTED_TRIPLET "/ossl-modules"},
    {"libcrypto.so*", NEED_CODE, "/usr/lib/" LISTED_TRIPLET "/engines-3"},
    {"libssl.so*", NEED_DATA, "/etc/ssl/certs"},
    {"libssl.so*", NEED_DATA, "/usr/share/ca-certificates"},
    {"libssl.so*", NEED_DATA, "/usr/local/share/ca-certificates"},
    {"libgnutls.so*", NEED_DATA, "/etc/ssl/certs"},
    {"libgnutls.so*", NEED_DATA, "/usr/share/ca-certificates"},
    {"libgnutls.so*", NEED_DATA, "/usr/local/share/ca-certificates"},

    {"python[23]*", NEED_CODE, "%p/lib/%b"},
    {"python[23]*", NEED_CODE, "%p/lib/python3"},
    {"python[23]*", NEED_CODE, "/usr/local/lib/%b"},
    {"python[23]*", NEED_DATA, "/etc/%b"},
    {"perl*", NEED_CODE, "%p/lib/" LISTED_TRIPLET "/perl-base"},
    {"perl*", NEED_CODE, "%p/lib/" LISTED_TRIPLET "/perl"},
    {"perl*", NEED_CODE, "%p/lib/" LISTED_TRIPLET "/perl5"},
    {"perl*", NEED_CODE, "%p/lib/perl5"},
    {"perl*", NEED_DATA, "%p/share/perl"},
    {"perl*", NEED_DATA, "%p/share/perl5"},
    {"perl*", NEED_DATA, "/etc/perl"},
    {"perl*", NEED_CODE, "/usr/local/lib/" LISTED_TRIPLET "/perl"},
    {"perl*", NEED_DATA, "/usr/local/share/perl"},
    {"ruby*", NEED_CODE, "%p/lib/ruby"},
    {"ruby*", NEED_CODE, "%p/lib/" LISTED_TRIPLET "/ruby"},
    {"ruby*", NEED_DATA, "%p/share/rubygems-integration"},
    {"ruby*", NEED_CODE, "/var/lib/gems"},
    {"lua*", NEED_DATA, "%p/share/lua"},
    {"lua*", NEED_CODE, "%p/lib/" LISTED_TRIPLET "/lua"},
    {"node", NEED_CODE, "%p/lib/node_modules"},
    {"node", NEED_CODE, "%p/lib/" LISTED_TRIPLET "/nodejs"},
    {"node", NEED_CODE, "%p/share/nodejs"},
    {"node", NEED_CODE, "%p/share/node_modules"},
    {"java", NEED_CODE, "%p/lib", "%p/lib/jvm.cfg"},
    {"java", NEED_DATA, "%p/conf", "%p/lib/jvm.cfg"},
    {"java", NEED_DATA, "/etc/java-11-openjdk"},
    {"java", NEED_DATA, "/etc/java-17-openjdk"},
    {"java", NEED_DATA, "/etc/java-21-openjdk"},
    {"gawk", NEED_DATA, "%p/share/awk"},
    {"gawk", NEED_CODE, "%p/lib/" LISTED_TRIPLET "/gawk"},
    {"git", NEED_DATA, "%p/share/git-core"},
    {"git", NEED_NAMES, "%p/lib/git-core"},
    {"tclsh*", NEED_DATA, "%p/share/tcltk"},
    {"groff", NEED_DATA, "%p/share/groff"},
    {"vim*", NEED_DATA, "%p/share/vim"},
    {"vim*", NEED_DATA, "/etc/vim"},
    {"nano", NEED_DATA, "%p/share/nano"},
};

/* ---- by the table ---- */

/* Writes FORM with what %p and %b mean for PROGRAM (a path). False: too long, or the prefix is "/". */
static bool
fill_in(const char *form, const char *program, char ret[LISTED_PATH_MAX])
{
	const char *name = strrchr(program, '/') + 1, *percent = strchr(form, '%');
	size_t prefix = (size_t)(name - program);
	int n;
	for (int i = 0; i < 2; i++) /* "/usr/bin/x" → "/usr" */
		while (prefix > 0 && program[--prefix] != '/')
			;
	if (percent == NULL)
		n = snprintf(ret, LISTED_PATH_MAX, "%s", form);
	else if (percent[1] == 'b')
		n = snprintf(ret, LISTED_PATH_MAX, "%.*s%s", (int)(percent - form), form, name);
	else if (strstr(percent, "%b") != NULL)
		n = snprintf(ret, LISTED_PATH_MAX, "%.*s%.*s%s", (int)prefix, program,
		    (int)(strstr(percent, "%b") - percent - 2), percent + 2, name);
	else
		n = snprintf(ret, LISTED_PATH_MAX, "%.*s%s", (int)prefix, program, percent + 2);
	return n < LISTED_PATH_MAX && (percent == NULL || percent[1] == 'b' || prefix > 0);
}

/* In DIRECTORY, what is the program itself (a link to it, or a file of its name) becomes a link to it. */
static int
add_names(struct listed_set *set, const char *directory, size_t of)
{
	const char *name = strrchr(set->items[of].path, '/') + 1;
	char path[LISTED_PATH_MAX], canonical[LISTED_PATH_MAX];
	struct dirent *entry;
	struct stat st;
	DIR *dir = opendir(directory);
	if (dir == NULL)
		return errno == ENOMEM ? -ENOMEM : 0;
	listed_source(set, directory);
	while (!set->failed && (entry = readdir(dir)) != NULL) {
		if (snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name) >=
		    (int)sizeof(path))
			continue;
		if (lstat(path, &st) < 0 || S_ISDIR(st.st_mode) ||
		    realpath(path, canonical) == NULL ||
		    strcmp(strrchr(canonical, '/') + 1, name) != 0 ||
		    listed_find(set, LISTED_FILE, path) != SIZE_MAX)
			continue;
		size_t at = listed_add(set, LISTED_LINK, path, of);
		if (at != SIZE_MAX && set->items[at].target == NULL &&
		    (set->items[at].target = strdup(set->items[of].path)) == NULL)
			set->failed = true;
	}
	(void)closedir(dir);
	return set->failed ? -ENOMEM : 0;
}

static int
add_need(struct listed_set *set, enum need need, const char *path, size_t of)
{
	static const enum listed_kind kinds[] = {LISTED_DATA, LISTED_CODE, LISTED_FILE};
	char canonical[LISTED_PATH_MAX];
	struct stat st;
	int r = listed_walk(set, path, canonical, &st);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	if (need == NEED_NAMES)
		return add_names(set, canonical, of);
	if (S_ISDIR(st.st_mode) ? need == NEED_FILE : need == NEED_CODE || !S_ISREG(st.st_mode))
		return 0;
	const struct listed_item *above = listed_above(set, canonical);
	if (need == NEED_DATA && above != NULL)
		return 0; /* is seen already */
	size_t at = listed_add(set, kinds[need], canonical, of);
	if (at == SIZE_MAX)
		return -ENOMEM;
	set->items[at].file = S_ISREG(st.st_mode);
	return 0;
}

int
listed_add_data(struct listed_loader *loader, size_t of)
{
	struct listed_set *set = loader->set;
	const char *name = strrchr(set->items[of].path, '/') + 1;
	char path[LISTED_PATH_MAX], sign[LISTED_PATH_MAX], who[256];
	(void)snprintf(who, sizeof(who), "%s", name);
	for (size_t i = 0; i < ARRAY_LEN(needs); i++) {
		if (fnmatch(needs[i].who, who, 0) != 0 ||
		    !fill_in(needs[i].path, set->items[of].path, path))
			continue;
		if (needs[i].if_there != NULL &&
		    (!fill_in(needs[i].if_there, set->items[of].path, sign) ||
			access(sign, F_OK) < 0))
			continue;
		int r = add_need(set, needs[i].need, path, of);
		if (r < 0)
			return r;
	}
	return 0;
}

void
listed_hash_data(struct sha256 *hash)
{
	for (size_t i = 0; i < ARRAY_LEN(needs); i++) {
		sha256_update(hash, needs[i].who, strlen(needs[i].who) + 1);
		sha256_update(hash, &needs[i].need, sizeof(needs[i].need));
		sha256_update(hash, needs[i].path, strlen(needs[i].path) + 1);
		const char *sign = needs[i].if_there != NULL ? needs[i].if_there : "";
		sha256_update(hash, sign, strlen(sign) + 1);
	}
}

/* ---- directories with libraries ---- */

struct scan {
	struct listed_loader *loader;
	size_t of;
	size_t seen;
	struct error *err;
};

static int
scan_file(struct scan *scan, int fd, const char *path)
{
	struct listed_set *set = scan->loader->set;
	struct elf_file elf;
	int r = elf_read(fd, &elf);
	bool runnable = r == -EBADMSG || r == -ENOTSUP || (r == 0 && elf.runnable);
	bool library = r == 0 && !elf.runnable;
	r = r == -ENOMEM ? r : 0;
	if (library) {
		set->items[scan->of].mapped = true;
		r = listed_load(scan->loader, &elf, scan->of, path);
	} else if (runnable && listed_find(set, LISTED_FILE, path) == SIZE_MAX &&
	    listed_add(set, LISTED_COVERED, path, scan->of) == SIZE_MAX) {
		r = -ENOMEM;
	}
	elf_done(&elf);
	return r;
}

static int scan_directory(struct scan *scan, int fd, const char *path, unsigned depth);

static int
scan_entry(struct scan *scan, int parent, const char *path, const char *name, unsigned depth)
{
	struct stat st;
	_cleanup_close_ int fd =
	    openat(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return 0; /* a link, or what nobody else can read either */
	if (++scan->seen > SCAN_FILES_MAX || depth > SCAN_DEPTH_MAX)
		return error_set(scan->err, E2BIG, "listed_too_much",
		    "too many files to look through in %s", path);
	if (S_ISDIR(st.st_mode))
		return scan_directory(scan, TAKE_FD(fd), path, depth + 1);
	return S_ISREG(st.st_mode) ? scan_file(scan, fd, path) : 0;
}

/* Takes FD. */
static int
scan_directory(struct scan *scan, int fd, const char *path, unsigned depth)
{
	char below[LISTED_PATH_MAX];
	struct dirent *entry;
	DIR *dir = fdopendir(fd);
	int r = 0;
	if (dir == NULL) {
		(void)close(fd);
		return -ENOMEM;
	}
	listed_source(scan->loader->set, path);
	while (r == 0 && (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (snprintf(below, sizeof(below), "%s/%s", path, entry->d_name) >=
		    (int)sizeof(below))
			r = -ENAMETOOLONG;
		else
			r = scan_entry(scan, dirfd(dir), below, entry->d_name, depth);
	}
	(void)closedir(dir);
	return r;
}

int
listed_scan(struct listed_loader *loader, size_t of, struct error *err)
{
	struct scan scan = {.loader = loader, .of = of, .err = err};
	_cleanup_free_ char *path = strdup(loader->set->items[of].path);
	if (path == NULL)
		return -ENOMEM;
	int fd = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	return fd < 0 ? 0 : scan_directory(&scan, fd, path, 0);
}
