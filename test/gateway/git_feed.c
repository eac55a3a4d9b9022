/* The push guard over standard input, for test_git_push.py: what it says of a body in pieces of argv[1] bytes, as JSON.
 * With argv[2], the answer to a denied push goes to that file. */
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

int
main(int argc, char **argv)
{
	size_t piece = argc > 1 ? strtoul(argv[1], NULL, 10) : 65536;
	struct git_push *push = git_push_new();
	uint8_t *bytes = malloc(piece);
	_cleanup_json_ struct json *said = json_new_object();
	struct error err = {0};
	long long fed = 0, known = -1;
	int r = 0;
	for (size_t n; r == 0 && (n = fread(bytes, 1, piece, stdin)) > 0;) {
		r = git_push_feed(push, bytes, n, &err);
		fed += (long long)n;
		if (known < 0 && r == 0 && git_push_is_known(push))
			known = fed;
	}
	if (r == 0)
		r = git_push_finish(push, &err);
	(void)json_set_int(said, "result", r);
	(void)json_set_str(said, "error", err.code);
	(void)json_set_str(said, "message", err.message);
	(void)json_set_int(said, "known_at", known);
	(void)json_set_int(said, "bytes", fed);
	(void)json_set(said, "refs", git_push_refs(push));
	_cleanup_buf_ struct buf out;
	buf_init(&out, 1 << 24);
	if (json_write(said, &out) < 0 || (argc > 3 && write_denial(push, argv[2], argv[3]) < 0))
		return 1;
	(void)puts(buf_str(&out));
	free(bytes);
	git_push_free(push);
	return 0;
}
