/* The push guard over standard input, for test_git_push.py: what it says, as a line of JSON, of each body there (after its
 * length in eight hexadecimal digits), in pieces of argv[1] bytes. With argv[2] and argv[3], the answer to a push that is
 * denied because of argv[3] goes to the file argv[2]. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/git_guard.h"

static int
write_denial(const struct git_push *push, const char *path, const char *why)
{
	_cleanup_buf_ struct buf out;
	buf_init(&out, 1 << 22);
	if (git_push_denial(push, why, &out) < 0)
		return -1;
	FILE *file = fopen(path, "wbe");
	if (file == NULL)
		return -1;
	(void)fwrite(out.data, 1, out.len, file);
	return fclose(file);
}

/* Takes LEN bytes of standard input, or what of them PUSH does not refuse. */
static int
feed(struct git_push *push, size_t len, size_t piece, struct json *said, struct error *err)
{
	uint8_t *bytes = malloc(piece);
	long long known = -1;
	int r = 0;
	for (size_t at = 0; at < len;) {
		size_t n = fread(bytes, 1, MIN(piece, len - at), stdin);
		if (n == 0)
			exit(2);
		at += n;
		if (r == 0)
			r = git_push_feed(push, bytes, n, err);
		if (known < 0 && r == 0 && git_push_is_known(push))
			known = (long long)at;
	}
	free(bytes);
	(void)json_set_int(said, "known_at", known);
	return r < 0 ? r : git_push_finish(push, err);
}

int
main(int argc, char **argv)
{
	size_t piece = argc > 1 ? strtoul(argv[1], NULL, 10) : 65536;
	char digits[9] = "";
	while (fread(digits, 1, 8, stdin) == 8) {
		struct git_push *push = git_push_new();
		_cleanup_json_ struct json *said = json_new_object();
		struct error err = {.code = ""};
		int r = feed(push, strtoul(digits, NULL, 16), piece, said, &err);
		(void)json_set_int(said, "result", r);
		(void)json_set_str(said, "error", err.code);
		(void)json_set_str(said, "message", err.message);
		(void)json_set(said, "refs", git_push_refs(push));
		_cleanup_buf_ struct buf out;
		buf_init(&out, 1 << 24);
		if (json_write(said, &out) < 0 ||
		    (argc > 3 && write_denial(push, argv[2], argv[3]) < 0))
			return 1;
		(void)puts(buf_str(&out));
		git_push_free(push);
	}
	return 0;
}
