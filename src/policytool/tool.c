/* Reading policies and printing, for all subcommands of rf-policy. */
#include "policytool/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"

static int
read_fd(struct source *s, struct error *err)
{
	for (;;) {
		uint8_t *at = buf_reserve(&s->text, 64 * 1024);
		if (at == NULL)
			return error_set(err, EMSGSIZE, "policy_too_large",
			    "%s: too large for a policy (1 MiB at most)", s->name);
		ssize_t n = read(s->fd, at, 64 * 1024);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set_errno(err, errno, "policy_unreadable", "%s", s->name);
		if (n == 0)
			return 0;
		buf_grew(&s->text, (size_t)n);
	}
}

static int
open_file(const char *where, struct source *ret, struct error *err)
{
	struct stat st;
	ret->fd = strcmp(where, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
					  : open(where, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (ret->fd < 0 || fstat(ret->fd, &st) < 0)
		return error_set_errno(err, errno, "policy_unreadable", "%s", ret->name);
	if (S_ISDIR(st.st_mode))
		return error_set(err, EISDIR, "policy_unreadable", "%s: is a directory", ret->name);
	if (S_ISREG(st.st_mode) && st.st_size > POLICY_BYTES_MAX)
		return error_set(err, EMSGSIZE, "policy_too_large",
		    "%s: %lld bytes are too many for a policy (1 MiB at most)", ret->name,
		    (long long)st.st_size);
	return read_fd(ret, err);
}

int
source_read(const char *where, struct source *ret, struct error *err)
{
	*ret =
	    (struct source){.name = strcmp(where, "-") == 0 ? "standard input" : where, .fd = -1};
	/* Room for one read beyond the limit, so that a file just too long is found by the loader. */
	buf_init(&ret->text, POLICY_BYTES_MAX + 128 * 1024);
	const char *builtin = policy_builtin(where);
	if (builtin != NULL)
		return buf_add_str(&ret->text, builtin) < 0
		    ? error_set(err, ENOMEM, "out_of_memory", "out of memory")
		    : 0;
	return open_file(where, ret, err);
}

void
source_done(struct source *s)
{
	if (s->fd >= 0)
		(void)close(s->fd);
	s->fd = -1;
	buf_done(&s->text);
}

struct policy *
tool_load(const char *where)
{
	struct source source;
	struct error err = {.code = ""};
	struct policy *policy = NULL;
	int r = source_read(where, &source, &err);
	if (r == 0)
		r = policy_load(buf_str(&source.text), source.text.len, source.name, &policy, &err);
	source_done(&source);
	if (r < 0)
		(void)tool_fail(&err);
	return r < 0 ? NULL : policy;
}

int
tool_fail(const struct error *err)
{
	char message[sizeof(err->message) * 4], remedy[sizeof(err->remedy) * 4];
	log_escape(err->message, strlen(err->message), message, sizeof(message));
	log_escape(err->remedy, strlen(err->remedy), remedy, sizeof(remedy));
	(void)fflush(stdout);
	(void)fprintf(stderr, "rf-policy: %s%s%s\n", message, remedy[0] != 0 ? "; " : "", remedy);
	return TOOL_TROUBLE;
}

int
tool_failf(const char *fmt, ...)
{
	struct error err = {.code = ""};
	va_list args;
	va_start(args, fmt);
	(void)vsnprintf(err.message, sizeof(err.message), fmt, args);
	va_end(args);
	return tool_fail(&err);
}

int
tool_print_json(struct json *v)
{
	struct buf out;
	buf_init(&out, 64u << 20);
	int r = json_write_pretty(v, &out);
	json_free(v);
	if (r == 0) {
		(void)fwrite(buf_str(&out), 1, out.len, stdout);
		(void)fputc('\n', stdout);
	}
	buf_done(&out);
	return r < 0 ? tool_failf("out of memory") : TOOL_YES;
}

void
tool_print_text(const char *text)
{
	size_t len = strlen(text), size = len * 8 + 1;
	_cleanup_free_ char *shown = malloc(size);
	if (shown == NULL)
		return;
	log_escape(text, len, shown, size);
	(void)fputs(shown, stdout);
}
