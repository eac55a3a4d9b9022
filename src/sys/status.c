/* A few lines of "Name:\tvalues"; the names that we want stand in the kernel's order, so one pass finds them. */
#include "sys/status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const status_caps_names[STATUS_CAPS] = {
    "inheritable", "permitted", "effective", "bounding", "ambient"};

/* Behind "NAME:\t" of a line at or after *AT, which moves there. NULL if there is none. */
static const char *
find(const char **at, const char *name)
{
	size_t len = strlen(name);
	for (const char *line = *at; line != NULL && *line != 0;) {
		if (strncmp(line, name, len) == 0 && line[len] == ':') {
			*at = line;
			return line + len + 1;
		}
		line = strchr(line, '\n');
		line = line == NULL ? NULL : line + 1;
	}
	return NULL;
}

static int
read_number(const char **at, const char *name, int base, uint64_t *ret)
{
	char *end;
	const char *value = find(at, name);
	if (value == NULL)
		return -EBADMSG;
	*ret = strtoull(value, &end, base);
	return end == value ? -EBADMSG : 0;
}

static int
read_four(const char **at, const char *name, unsigned ret[4])
{
	const char *value = find(at, name);
	for (int i = 0; i < 4; i++) {
		char *end;
		if (value == NULL)
			return -EBADMSG;
		ret[i] = (unsigned)strtoul(value, &end, 10);
		value = end == value ? NULL : end;
	}
	return value == NULL ? -EBADMSG : 0;
}

static int
count_words(const char *text)
{
	int n = 0;
	while (*text != 0 && *text != '\n') {
		text += strspn(text, " \t");
		size_t len = strcspn(text, " \t\n");
		n += len > 0;
		text += len;
	}
	return n;
}

int
status_parse(const char *text, struct status *ret)
{
	static const char *const caps[STATUS_CAPS] = {
	    "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};
	const char *at = text;
	uint64_t value = 0;
	int r = read_four(&at, "Uid", ret->uid);
	if (r == 0)
		r = read_four(&at, "Gid", ret->gid);
	const char *groups = r == 0 ? find(&at, "Groups") : NULL;
	if (groups == NULL)
		return -EBADMSG;
	ret->groups = count_words(groups);
	for (int i = 0; i < STATUS_CAPS && r == 0; i++)
		r = read_number(&at, caps[i], 16, &ret->caps[i]);
	if (r == 0)
		r = read_number(&at, "NoNewPrivs", 10, &value);
	ret->no_new_privs = (int)value;
	if (r == 0)
		r = read_number(&at, "Seccomp", 10, &value);
	ret->seccomp_mode = (int)value;
	ret->seccomp_filters =
	    r == 0 && read_number(&at, "Seccomp_filters", 10, &value) == 0 ? (int)value : -1;
	return r;
}

static int
read_file(const char *path, struct status *ret)
{
	char text[4096];
	size_t len = 0;
	ssize_t n = 1;
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* Once is enough but where there are many groups. */
	while (len < sizeof(text) - 1 && (n = read(fd, text + len, sizeof(text) - 1 - len)) > 0) {
		len += (size_t)n;
		text[len] = 0;
		if (strstr(text, "\nvoluntary_ctxt_switches:") != NULL)
			break;
	}
	text[len] = 0;
	return n < 0 ? -errno : status_parse(text, ret);
}

int
status_read(struct status *ret)
{
	return read_file("/proc/self/status", ret);
}

int
status_read_of(pid_t pid, struct status *ret)
{
	char path[40];
	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	return read_file(path, ret);
}
