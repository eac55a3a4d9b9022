/* The options that `run`, `sandbox create` and `sandbox exec` share. They are known by their names, so that
 * each command's own table says only which of them it has. */
#include "cli/request.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/terminal.h"

static const struct {
	const char *option, *member;
	int (*parse)(const char *text, const char *what, long long *ret, struct error *err);
} limit_options[] = {
    {"cpu", "cpu_millis", parse_millis},
    {"memory", "memory_bytes", parse_bytes},
    {"processes", "processes", parse_count},
    {"disk", "disk_bytes", parse_bytes},
    {"wall", "wall_ms", parse_duration},
    {"cpu-time", "cpu_time_ms", parse_duration},
    {"output", "output_bytes", parse_bytes},
    {"open-files", "open_files", parse_count},
};

static const struct {
	const char *option;
	size_t at; /* of the bool in struct run_options */
} flag_options[] = {
    {"json", offsetof(struct run_options, json)},
    {"timing", offsetof(struct run_options, timing)},
    {"quiet", offsetof(struct run_options, quiet)},
    {"raw", offsetof(struct run_options, raw)},
    {"tty", offsetof(struct run_options, tty)},
};

static int
add_env(struct run_options *o, const char *text, struct error *err)
{
	char name[256];
	const char *equals = strchr(text, '=');
	size_t len = equals == NULL ? strlen(text) : (size_t)(equals - text);
	bool good = len > 0 && len < sizeof(name) && (text[0] < '0' || text[0] > '9');
	for (size_t i = 0; good && i < len; i++)
		good = (text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'z') ||
		    (text[i] >= 'A' && text[i] <= 'Z') || text[i] == '_';
	if (!good)
		return error_set(
		    err, EINVAL, "bad_value", "--env %.60s: expected NAME=VALUE or NAME", text);
	memcpy(name, text, len);
	name[len] = 0;
	const char *value = equals == NULL ? getenv(name) : equals + 1;
	if (value == NULL)
		return error_set(
		    err, EINVAL, "bad_value", "--env %s: not set in this environment", name);
	if (o->env == NULL)
		o->env = json_new_object();
	return json_set_str(o->env, name, value) < 0
	    ? error_set(err, ENOMEM, "no_memory", "out of memory")
	    : 0;
}

/* Opens DIR or DIR:direct, DIR:staged (a directory of exactly that name wins). */
static __attribute__((noinline)) int /* its buffer stays out of the usual run's stack */
take_workspace(struct run_options *o, const char *text, struct error *err)
{
	char dir[PATH_MAX];
	size_t len = strlen(text);
	if (len >= sizeof(dir))
		return error_set(err, ENAMETOOLONG, "workspace", "--workspace: path is too long");
	memcpy(dir, text, len + 1);
	o->mode = WORKSPACE_STAGED;
	struct stat st;
	const char *colon = strrchr(text, ':');
	if (colon != NULL && stat(text, &st) < 0) {
		if (strcmp(colon, ":direct") == 0)
			o->mode = WORKSPACE_DIRECT;
		else if (strcmp(colon, ":staged") != 0)
			return error_set(err, EINVAL, "workspace",
			    "--workspace %.200s: after the colon, expected direct or staged", text);
		dir[colon - text] = 0;
	}
	cleanup_close(&o->workspace_fd);
	free(o->workspace);
	o->workspace = NULL;
	o->workspace_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (o->workspace_fd < 0)
		return error_set_errno(err, errno, "workspace", "--workspace %.200s", dir);
	o->workspace = realpath(dir, NULL);
	if (o->workspace == NULL)
		return error_set_errno(err, errno, "workspace", "--workspace %.200s", dir);
	if (strcmp(o->workspace, "/") == 0)
		return error_set(err, EINVAL, "workspace",
		    "--workspace /: the whole file system is no workspace");
	return 0;
}

static int
take_limit(struct run_options *o, size_t i, const char *value, struct error *err)
{
	long long number;
	int r = limit_options[i].parse(value, limit_options[i].option, &number, err);
	if (r < 0)
		return r;
	if (o->limits == NULL)
		o->limits = json_new_object();
	(void)json_set_int(o->limits, limit_options[i].member, number);
	return 0;
}

int
request_take(
    struct run_options *o, const struct option_spec *spec, const char *value, struct error *err)
{
	const char *name = spec->name;
	if (strcmp(name, "policy") == 0)
		o->policy = value;
	else if (strcmp(name, "task") == 0)
		o->task = value;
	else if (strcmp(name, "cwd") == 0)
		o->cwd = value;
	else if (strcmp(name, "workspace") == 0)
		return take_workspace(o, value, err);
	else if (strcmp(name, "env") == 0)
		return add_env(o, value, err);
	else {
		for (size_t i = 0; i < ARRAY_LEN(limit_options); i++)
			if (strcmp(limit_options[i].option, name) == 0)
				return take_limit(o, i, value, err);
		for (size_t i = 0; i < ARRAY_LEN(flag_options); i++)
			if (strcmp(flag_options[i].option, name) == 0) {
				*((bool *)((char *)o + flag_options[i].at)) = true;
				return 0;
			}
		return -ENOENT;
	}
	return 0;
}

/* A policy given by path is opened here, by the caller's own rights. A bare word is always a name: a
 * file that happens to lie in the working directory must not replace a built-in policy. */
static int
open_policy(struct run_options *o, struct error *err)
{
	const char *text = o->policy;
	if (text == NULL || (strchr(text, '/') == NULL && strchr(text, '.') == NULL))
		return 0;
	o->policy_fd = open(text, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (o->policy_fd < 0)
		return error_set_errno(err, errno, "policy", "--policy %.200s", text);
	struct stat st;
	if (fstat(o->policy_fd, &st) < 0 || !S_ISREG(st.st_mode))
		return error_set(
		    err, EINVAL, "policy", "--policy %.200s: not a regular file", text);
	if (st.st_size == 0)
		return error_set(err, EINVAL, "policy", "--policy %.200s: the file is empty", text);
	if (st.st_size > 1024 * 1024)
		return error_set(err, EFBIG, "policy", "--policy %.200s: larger than 1 MiB", text);
	return 0;
}

int
request_check_text(const char *what, const char *text, struct error *err)
{
	_cleanup_json_ struct json *v = json_new_string(text);
	if (v == NULL)
		return error_set(err, ENOMEM, "no_memory", "out of memory");
	if (strcmp(json_str(v, ""), text) != 0)
		return error_set(
		    err, EILSEQ, "not_utf8", "%s is not valid UTF-8: %.60s", what, text);
	return 0;
}

int
request_check(struct run_options *o, struct error *err)
{
	int r = 0;
	for (int i = 0; r == 0 && i < o->argc; i++)
		for (const char *p = o->argv[i]; *p != 0; p++)
			if ((*p & 0x80) != 0) {
				r = request_check_text("an argument", o->argv[i], err);
				break;
			}
	for (size_t i = 0; r == 0 && i < json_len(o->env); i++) {
		const char *name = json_name_at(o->env, i),
			   *value = json_str(json_at(o->env, i), "");
		if (strstr(value, "\xef\xbf\xbd") != NULL)
			r = error_set(err, EILSEQ, "not_utf8",
			    "--env %s: the value is not valid UTF-8", name);
	}
	if (r == 0 && o->cwd != NULL)
		r = request_check_text("--cwd", o->cwd, err);
	if (r == 0 && o->workspace != NULL)
		r = request_check_text("--workspace", o->workspace, err);
	return r < 0 ? r : open_policy(o, err);
}

void
request_done(struct run_options *o)
{
	free(o->workspace);
	json_free(o->env);
	json_free(o->limits);
	cleanup_close(&o->policy_fd);
	cleanup_close(&o->workspace_fd);
}

/* ---- bodies ---- */

struct json *
request_policy(const struct run_options *o)
{
	struct json *policy = json_new_object();
	const char *name = o->policy;
	if (name == NULL)
		name = o->mode == WORKSPACE_NONE ? "isolated" : "workspace";
	(void)json_set_str(policy, o->policy_fd >= 0 ? "file" : "name", name);
	return policy;
}

struct json *
request_workspace(const struct run_options *o)
{
	if (o->mode == WORKSPACE_NONE)
		return NULL;
	struct json *workspace = json_new_object();
	(void)json_set_str(workspace, "path", o->workspace);
	(void)json_set_str(workspace, "mode", o->mode == WORKSPACE_STAGED ? "staged" : "direct");
	return workspace;
}

/* An interactive program has to know which terminal it draws for. Only a plain name passes. */
static void
add_term(struct json *env)
{
	const char *term = getenv("TERM");
	if (term == NULL || json_get(env, "TERM") != NULL)
		return;
	size_t len =
	    strspn(term, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-+.");
	if (len > 0 && len <= 40 && term[len] == 0)
		(void)json_set_str(env, "TERM", term);
}

struct json *
request_command(const struct run_options *o)
{
	struct json *body = json_new_object(), *argv = json_new_array();
	struct json *env = o->env == NULL ? json_new_object() : json_copy(o->env);
	for (int i = 0; i < o->argc; i++)
		(void)json_push(argv, json_new_string(o->argv[i]));
	(void)json_set(body, "argv", argv);
	if (o->tty) {
		struct json *tty = json_new_object();
		struct winsize size;
		terminal_size(&size);
		(void)json_set_int(tty, "rows", size.ws_row);
		(void)json_set_int(tty, "cols", size.ws_col);
		(void)json_set(body, "tty", tty);
		add_term(env);
	}
	(void)json_set(body, "env", env);
	(void)json_set_bool(body, "timing", o->timing);
	(void)json_set_bool(body, "receipt", o->json || o->receipt != NULL);
	if (o->cwd != NULL)
		(void)json_set_str(body, "cwd", o->cwd);
	if (o->limits != NULL)
		(void)json_set(body, "limits", json_copy(o->limits));
	if (o->sandbox != NULL) {
		(void)json_set_str(body, "sandbox", o->sandbox);
		if (o->detach)
			(void)json_set_bool(body, "detach", true);
		return body;
	}
	(void)json_set(body, "policy", request_policy(o));
	if (o->task != NULL)
		(void)json_set_str(body, "task", o->task);
	if (o->mode != WORKSPACE_NONE)
		(void)json_set(body, "workspace", request_workspace(o));
	return body;
}
