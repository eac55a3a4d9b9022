/* Where the checks read: /proc, /sys and marks of containers, below a root that unit tests can move. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor/doctor.h"

static char root[256];

void
doctor_set_root(const char *path)
{
	(void)snprintf(root, sizeof(root), "%s", path);
}

static int
doctor_open(const char *path, int flags)
{
	char full[PATH_SIZE];
	int n = snprintf(full, sizeof(full), "%s%s", root, path);
	return n < 0 || (size_t)n >= sizeof(full) ? -1 : open(full, flags | O_CLOEXEC);
}

void
doctor_read_all(const char *path, char *ret, size_t size)
{
	size_t len = 0;
	_cleanup_close_ int fd = doctor_open(path, O_RDONLY);
	while (fd >= 0 && len < size - 1) {
		ssize_t n = read(fd, ret + len, size - 1 - len);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	ret[len] = 0;
}

void
doctor_read(const char *path, char *ret, size_t size)
{
	doctor_read_all(path, ret, size);
	ret[strcspn(ret, "\n")] = 0;
}

int64_t
doctor_read_int(const char *path, int64_t otherwise)
{
	char text[32], *end;
	doctor_read(path, text, sizeof(text));
	errno = 0;
	long long value = strtoll(text, &end, 10);
	return end == text || errno != 0 ? otherwise : value;
}

bool
doctor_exists(const char *path)
{
	_cleanup_close_ int fd = doctor_open(path, O_PATH);
	return fd >= 0;
}

bool
doctor_can_write(const char *path)
{
	_cleanup_close_ int fd = doctor_open(path, O_PATH);
	if (fd < 0)
		return false;
	char self[40];
	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	return faccessat(AT_FDCWD, self, W_OK, AT_EACCESS) == 0;
}

bool
doctor_has_word(const char *words, const char *word)
{
	size_t len = strlen(word);
	for (const char *at = words; *at != 0;) {
		size_t have = strcspn(at, " ,\n");
		if (have == len && strncmp(at, word, len) == 0)
			return true;
		at += have + (at[have] != 0);
	}
	return false;
}

/* ---- findings ---- */

void
finding_set(struct finding *f, enum state state, const char *fmt, ...)
{
	va_list args;
	f->state = state;
	va_start(args, fmt);
	(void)vsnprintf(f->detail, sizeof(f->detail), fmt, args);
	va_end(args);
}

void
finding_fix(struct finding *f, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	(void)vsnprintf(f->fix, sizeof(f->fix), fmt, args);
	va_end(args);
}

struct json *
finding_facts(struct finding *f)
{
	if (f->facts == NULL)
		f->facts = json_new_object();
	return f->facts;
}

void
finding_done(struct finding *f)
{
	f->facts = json_free(f->facts);
}

void
text_add(char *text, size_t size, const char *fmt, ...)
{
	va_list args;
	size_t len = strlen(text);
	va_start(args, fmt);
	(void)vsnprintf(text + len, size - len, fmt, args);
	va_end(args);
}
