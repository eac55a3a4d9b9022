/* Flags and types only: where a mount comes from on the host (/path of the state directory, disks) is nobody's
 * business who reads a receipt. */
#include "sandbox/mountlist.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/macros.h"

#define LISTING_MAX (64 * 1024)

struct span {
	const char *at;
	size_t len;
};

/* The word at *AT, which moves behind it; empty at the end of the line. */
static struct span
next_word(const char **at)
{
	while (**at == ' ')
		(*at)++;
	struct span word = {*at, strcspn(*at, " \n")};
	*at += word.len;
	return word;
}

static bool
span_is(struct span s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.at, text, s.len) == 0;
}

/* Appends those of the comma separated OPTIONS that begin with one of WANTED. */
static void
add_options(char *out, size_t size, struct span options, const char *const *wanted)
{
	const char *before = " ";
	for (size_t at = 0; at < options.len;) {
		const char *option = options.at + at;
		size_t len = 0;
		while (at + len < options.len && option[len] != ',')
			len++;
		for (const char *const *w = wanted; *w != NULL; w++) {
			size_t used = strlen(out), n = strlen(*w);
			bool is = (*w)[n - 1] == '=' ? len > n && memcmp(option, *w, n) == 0
						     : len == n && memcmp(option, *w, n) == 0;
			if (is) {
				(void)snprintf(
				    out + used, size - used, "%s%.*s", before, (int)len, option);
				before = ",";
			}
		}
		at += len + 1;
	}
}

/* One line: id, parent, device, root, POINT, OPTIONS, optional fields, -, TYPE, source, SUPER OPTIONS. */
static bool
describe(const char *line, char *out, size_t size)
{
	static const char *const flags[] = {
	    "ro", "rw", "nosuid", "nodev", "noexec", "idmapped", "nosymfollow", NULL};
	static const char *const limits[] = {"size=", "nr_inodes=", NULL};
	const char *at = line;
	for (int i = 0; i < 4; i++)
		(void)next_word(&at);
	struct span point = next_word(&at), options = next_word(&at), word, type;
	do
		word = next_word(&at);
	while (word.len != 0 && !span_is(word, "-"));
	type = next_word(&at);
	(void)next_word(&at);
	struct span super = next_word(&at);
	if (super.len == 0)
		return false;
	(void)snprintf(out, size, "%.*s %.*s", (int)point.len, point.at, (int)type.len, type.at);
	add_options(out, size, options, flags);
	if (span_is(type, "tmpfs"))
		add_options(out, size, super, limits);
	return true;
}

size_t
mountlist_parse(const char *text, size_t max, struct json *list)
{
	char shown[512];
	size_t n = 0;
	for (const char *line = text; line != NULL && *line != 0;) {
		if (describe(line, shown, sizeof(shown)) && n++ < max)
			(void)json_push(list, json_new_string(shown));
		line = strchr(line, '\n');
		line = line == NULL ? NULL : line + 1;
	}
	return n;
}

struct json *
mountlist_read(int proc_fd)
{
	static char text[LISTING_MAX];
	struct json *mounts = json_new_object(), *list = json_new_array();
	size_t len = 0;
	ssize_t n = -1;
	_cleanup_close_ int fd = openat(proc_fd, "1/mountinfo", O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && len < sizeof(text) - 1 &&
	    (n = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = 0;
	if (len == 0)
		(void)json_set_str(mounts, "error", strerror(errno));
	/* A path that is not text (the host's bytes may be anything) has no place in JSON: the kernel escapes
	 * white space only. */
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] >= 0x7f || (text[i] < ' ' && text[i] != '\n'))
			text[i] = '?';
	size_t all = mountlist_parse(text, MOUNTLIST_MAX, list);
	(void)json_set_str(mounts, "evidence", "kernel");
	if (all > json_len(list))
		(void)json_set_int(mounts, "more", (int64_t)(all - json_len(list)));
	(void)json_set(mounts, "list", list);
	return mounts;
}
