/* Paths of state, sockets, configuration and sibling programs. Reads the environment and
 * /proc/self/exe; creates nothing. */
#include "ipc/paths.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int
join(char ret[PATHS_MAX], struct error *err, const char *a, const char *b, const char *c)
{
	size_t la = strlen(a), lb = strlen(b), lc = strlen(c);
	if (la + lb + lc >= PATHS_MAX)
		return error_set(err, ENAMETOOLONG, "path_too_long", "%.60s…: path is too long", a);
	memmove(ret, a, la);
	memcpy(ret + la, b, lb);
	memcpy(ret + la + lb, c, lc + 1);
	return 0;
}

/* VALUE, made absolute by the working directory where it is not. */
static int
absolute(const char *value, char ret[PATHS_MAX], struct error *err)
{
	if (value[0] == '/')
		return join(ret, err, value, "", "");
	char cwd[PATHS_MAX];
	if (getcwd(cwd, sizeof(cwd)) == NULL)
		return error_set_errno(
		    err, errno, "cwd_unknown", "%s: cannot make it absolute", value);
	return join(ret, err, cwd, "/", value);
}

/* $EXPLICIT; root's ROOT_PATH; $XDG/NAME; $HOME/BELOW_HOME/NAME. */
static int
locate(const char *explicit, const char *root_path, const char *xdg, const char *below_home,
    const char *name, char ret[PATHS_MAX], struct error *err)
{
	const char *value = getenv(explicit);
	if (value != NULL && value[0] != 0)
		return absolute(value, ret, err);
	if (geteuid() == 0)
		return join(ret, err, root_path, "", "");
	value = getenv(xdg);
	if (value != NULL && value[0] == '/') /* the specification: ignore relative ones */
		return join(ret, err, value, "", name);
	value = getenv("HOME");
	if (value != NULL && value[0] == '/')
		return join(ret, err, value, below_home, name);
	error_set(err, ENOENT, "no_home", "neither %s nor HOME is set", explicit);
	error_remedy(err, "set %s", explicit);
	return -ENOENT;
}

int
paths_state_dir(char ret[PATHS_MAX], struct error *err)
{
	return locate("RINGFENCE_STATE", "/var/lib/ringfence", "XDG_STATE_HOME", "/.local/state",
	    "/ringfence", ret, err);
}

int
paths_run_socket(const char *name, char ret[PATHS_MAX], struct error *err)
{
	int r = paths_state_dir(ret, err);
	if (r < 0)
		return r;
	r = join(ret, err, ret, "/run/", name);
	return r < 0 ? r : join(ret, err, ret, ".sock", "");
}

int
paths_config_file(char ret[PATHS_MAX], struct error *err)
{
	return locate("RINGFENCE_CONFIG", "/etc/ringfence/config.yaml", "XDG_CONFIG_HOME",
	    "/.config", "/ringfence/config.yaml", ret, err);
}

int
paths_program(const char *name, char ret[PATHS_MAX], struct error *err)
{
	char own[PATHS_MAX];
	ssize_t len = readlink("/proc/self/exe", own, sizeof(own) - 1);
	if (len < 0)
		return error_set_errno(err, errno, "no_own_path", "/proc/self/exe");
	own[len] = 0;
	char *slash = strrchr(own, '/');
	if (slash == NULL)
		return error_set(err, ENOENT, "no_own_path", "%s: not an absolute path", own);
	slash[1] = 0;
	int r = join(ret, err, own, name, "");
	if (r < 0 || access(ret, X_OK) == 0)
		return r;
	char beside[PATHS_MAX];
	memcpy(beside, ret, sizeof(beside));
	r = join(ret, err, own, "../libexec/ringfence/", name);
	if (r < 0 || access(ret, X_OK) == 0)
		return r;
	/* Installed, a program of ours looks for the command line. */
	r = join(ret, err, own, "../../bin/", name);
	if (r < 0 || access(ret, X_OK) == 0)
		return r;
	error_set(err, ENOENT, "program_missing", "%s is neither %s nor in ../libexec/ringfence",
	    name, beside);
	error_remedy(err, "install Ringfence again, or run it from its build/bin");
	return -ENOENT;
}
