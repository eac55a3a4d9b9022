#include "sandbox/host.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"

static const char *const etc_shown[] = {"/etc/ld.so.cache", "/etc/alternatives", "/etc/ssl/certs",
    "/etc/fonts", "/etc/localtime", "/etc/java-17-openjdk", "/etc/java-21-openjdk"};
static const char *const top_level[] = {"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"};
static const char *const search_path[] = {
    "/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"};

static void
add_bind(struct json *binds, const char *path, bool file)
{
	struct json *bind = json_new_object();
	(void)json_set_str(bind, "from", path);
	if (file)
		(void)json_set_bool(bind, "file", true);
	(void)json_push(binds, bind);
}

static void
add_link(struct json *links, const char *path, const char *target)
{
	struct json *link = json_new_object();
	(void)json_set_str(link, "path", path);
	(void)json_set_str(link, "target", target);
	(void)json_push(links, link);
}

static void
add_file(struct json *files, const char *path, const char *text)
{
	struct json *file = json_new_object();
	(void)json_set_str(file, "path", path);
	(void)json_set_str(file, "text", text);
	(void)json_push(files, file);
}

static void
add_tree(struct json *binds, struct json *links, const char *path)
{
	struct stat st;
	char target[256];
	if (lstat(path, &st) < 0)
		return;
	if (S_ISLNK(st.st_mode)) {
		ssize_t n = readlink(path, target, sizeof(target) - 1);
		if (n <= 0)
			return;
		target[n] = 0;
		add_link(links, path, target);
	} else {
		add_bind(binds, path, !S_ISDIR(st.st_mode));
	}
}

static void
add_etc(struct json *binds, struct json *links)
{
	struct stat st;
	for (size_t i = 0; i < ARRAY_LEN(etc_shown); i++) {
		if (lstat(etc_shown[i], &st) < 0)
			continue;
		/* /etc/localtime is a link into /usr/share/zoneinfo; others may lead elsewhere. */
		if (S_ISLNK(st.st_mode))
			add_tree(binds, links, etc_shown[i]);
		else
			add_bind(binds, etc_shown[i], !S_ISDIR(st.st_mode));
	}
}

static void
add_written(struct json *files, uid_t uid, gid_t gid)
{
	char text[512];
	(void)snprintf(text, sizeof(text),
	    "root:x:0:0:root:/:/usr/sbin/nologin\n"
	    "agent:x:%u:%u:agent:/home/agent:/bin/sh\n"
	    "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
	    (unsigned)uid, (unsigned)gid);
	add_file(files, "/etc/passwd", text);
	(void)snprintf(
	    text, sizeof(text), "root:x:0:\nagent:x:%u:\nnogroup:x:65534:\n", (unsigned)gid);
	add_file(files, "/etc/group", text);
	add_file(files, "/etc/hosts", "127.0.0.1 localhost sandbox\n::1 localhost sandbox\n");
	add_file(files, "/etc/hostname", "sandbox\n");
	add_file(files, "/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n");
	add_file(files, "/etc/resolv.conf", "");
}

struct json *
host_view(uid_t uid, gid_t gid)
{
	struct json *view = json_new_object(), *binds = json_new_array(), *links = json_new_array(),
		    *files = json_new_array();
	add_bind(binds, "/usr", false);
	for (size_t i = 0; i < ARRAY_LEN(top_level); i++)
		add_tree(binds, links, top_level[i]);
	add_etc(binds, links);
	add_link(links, "/etc/mtab", "/proc/self/mounts");
	add_link(links, "/var/tmp", "../tmp");
	add_written(files, uid, gid);
	(void)json_set(view, "binds", binds);
	(void)json_set(view, "links", links);
	(void)json_set(view, "files", files);
	return view;
}

/* ---- finding a program ---- */

/* Removes "//", "." and ".." from an absolute path, in place and by text alone. */
static void
normalise(char *path)
{
	char *out = path;
	for (const char *in = path; *in != 0;) {
		while (*in == '/')
			in++;
		const char *end = strchrnul(in, '/');
		size_t len = (size_t)(end - in);
		if (len == 2 && in[0] == '.' && in[1] == '.') {
			while (out > path && *--out != '/')
				;
		} else if (len > 0 && !(len == 1 && in[0] == '.')) {
			*out++ = '/';
			memmove(out, in, len);
			out += len;
		}
		in = end;
	}
	if (out == path)
		*out++ = '/';
	*out = 0;
}

static bool
is_shown(const char *path)
{
	static const char *const trees[] = {
	    "/usr/", "/bin/", "/sbin/", "/lib/", "/lib32/", "/lib64/"};
	for (size_t i = 0; i < ARRAY_LEN(trees); i++)
		if (strncmp(path, trees[i], strlen(trees[i])) == 0)
			return true;
	return false;
}

static int
check_executable(const char *path)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return -ENOENT;
	return S_ISREG(st.st_mode) && (st.st_mode & 0111) != 0 ? 0 : -EACCES;
}

/* A directory that is a link, such as /bin, is replaced by what it is, so that a rule's path and the
 * path found agree however the program was named. */
static int
settle_program(const char *path, char *ret_program, char *ret_resolved)
{
	char directory[RESOLVED_MAX], real[RESOLVED_MAX];
	const char *name = strrchr(path, '/') + 1;
	(void)snprintf(directory, sizeof(directory), "%.*s", (int)(name - path), path);
	if (realpath(directory, real) == NULL)
		return -ENOENT;
	int n =
	    snprintf(ret_program, RESOLVED_MAX, "%s/%s", strcmp(real, "/") == 0 ? "" : real, name);
	if (n >= RESOLVED_MAX)
		return -ENAMETOOLONG;
	if (realpath(path, ret_resolved) == NULL)
		(void)snprintf(ret_resolved, RESOLVED_MAX, "%s", ret_program);
	return 0;
}

int
host_resolve(const char *name, const char *cwd, char ret_program[RESOLVED_MAX],
    char ret_resolved[RESOLVED_MAX])
{
	char path[RESOLVED_MAX];
	if (name[0] == 0)
		return -ENOENT;
	if (strchr(name, '/') != NULL) {
		int n = name[0] == '/' ? snprintf(path, sizeof(path), "%s", name)
				       : snprintf(path, sizeof(path), "%s/%s", cwd, name);
		if (n >= (int)sizeof(path))
			return -ENAMETOOLONG;
		normalise(path);
		if (is_shown(path)) {
			int r = check_executable(path);
			return r < 0 ? r : settle_program(path, ret_program, ret_resolved);
		}
		(void)snprintf(ret_program, RESOLVED_MAX, "%s", path);
		(void)snprintf(ret_resolved, RESOLVED_MAX, "%s", path);
		return 0;
	}
	int found = -ENOENT;
	for (size_t i = 0; i < ARRAY_LEN(search_path); i++) {
		if (snprintf(path, sizeof(path), "%s/%s", search_path[i], name) >=
		    (int)sizeof(path))
			return -ENAMETOOLONG;
		int r = check_executable(path);
		if (r == 0)
			return settle_program(path, ret_program, ret_resolved);
		if (r == -EACCES)
			found = r;
	}
	return found;
}
