#include "image/path.h"

#include <string.h>

/* The root of every sandbox has these of its own (sandbox/skeleton.c, sandbox/image_view.h). */
static const char *const left_out[] = {
    "dev", "proc", "run", "sys", "tmp", ".canary", ".empty", ".ringfence"};

static int
add_part(const char *part, size_t len, char *ret, size_t *ret_len, struct error *err)
{
	if (len > IMAGE_NAME_LEN_MAX)
		return image_refuse(err, "a name of %zu bytes; at most 255 are possible", len);
	if (*ret_len + len + 2 > IMAGE_PATH_MAX)
		return image_refuse(err, "a path of more than %d bytes", IMAGE_PATH_MAX - 1);
	if (*ret_len > 0)
		ret[(*ret_len)++] = '/';
	memcpy(ret + *ret_len, part, len);
	*ret_len += len;
	ret[*ret_len] = 0;
	return 0;
}

int
path_clean(const char *path, char ret[IMAGE_PATH_MAX], struct error *err)
{
	size_t len = 0;
	unsigned depth = 0;
	ret[0] = 0;
	if (path[0] == '/')
		return image_refuse_path(err, path, "an absolute path");
	for (const char *part = path; *part != 0;) {
		size_t span = strcspn(part, "/");
		if (span == 2 && part[0] == '.' && part[1] == '.')
			return image_refuse_path(err, path, "a path with \"..\"");
		if (span > 0 && !(span == 1 && part[0] == '.')) {
			int r = add_part(part, span, ret, &len, err);
			if (r < 0)
				return r;
			if (++depth > IMAGE_DEPTH_MAX)
				return image_refuse(
				    err, "directories more than %d deep", IMAGE_DEPTH_MAX);
		}
		part += span;
		part += *part == '/';
	}
	return 0;
}

bool
path_is_left_out(const char *path)
{
	size_t top = strcspn(path, "/");
	for (size_t i = 0; i < ARRAY_LEN(left_out); i++)
		if (strlen(left_out[i]) == top && strncmp(path, left_out[i], top) == 0)
			return true;
	return false;
}
