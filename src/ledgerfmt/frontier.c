/* See frontier.h. */
#include "ledgerfmt/frontier.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/json.h"

int
frontier_write(const struct frontier *f, struct buf *out)
{
	char hex[SHA256_HEX];
	_cleanup_json_ struct json *v = json_new_object();
	struct json *edge = json_new_array();
	for (int level = MERKLE_LEVELS - 1; level >= 0; level--) {
		if ((f->tree.size >> level & 1) == 0)
			continue;
		hex_encode(f->tree.edge[level], SHA256_BYTES, hex);
		(void)json_push(edge, json_new_string(hex));
	}
	(void)json_set(v, "edge", edge);
	hex_encode(f->head, SHA256_BYTES, hex);
	(void)json_set_str(v, "head", hex);
	(void)json_set_int(v, "segment", f->segment);
	(void)json_set_int(v, "offset", f->offset);
	(void)json_set_int(v, "size", (int64_t)f->tree.size);
	(void)json_set_int(v, "v", 1);
	int r = json_write(v, out);
	return r < 0 ? r : buf_add_char(out, '\n');
}

static int
read_hash(const struct json *v, uint8_t ret[SHA256_BYTES])
{
	const char *text = json_str(v, "");
	return strlen(text) == SHA256_HEX - 1 ? hex_decode(text, SHA256_BYTES, ret) : -EINVAL;
}

int
frontier_parse(const char *text, size_t len, struct frontier *ret)
{
	struct frontier f = {.tree = {0}};
	_cleanup_json_ struct json *v = NULL;
	int r = json_parse(text, len, &v, NULL);
	if (r < 0)
		return r == -ENOMEM ? r : -EINVAL;
	int64_t size = json_get_int(v, "size", -1), segment = json_get_int(v, "segment", -1);
	f.offset = json_get_int(v, "offset", -1);
	const struct json *edge = json_get(v, "edge");
	if (size < 0 || segment < 0 || segment > UINT32_MAX || f.offset < 0 ||
	    json_get_int(v, "v", 0) != 1 || json_len(edge) != merkle_edge_count((uint64_t)size))
		return -EINVAL;
	f.tree.size = (uint64_t)size;
	f.segment = (uint32_t)segment;
	size_t at = 0;
	for (int level = MERKLE_LEVELS - 1; level >= 0; level--)
		if ((f.tree.size >> level & 1) != 0 &&
		    read_hash(json_at(edge, at++), f.tree.edge[level]) < 0)
			return -EINVAL;
	if (read_hash(json_get(v, "head"), f.head) < 0)
		return -EINVAL;
	*ret = f;
	return 0;
}

int
frontier_load(int dir_fd, const char *name, struct frontier *ret)
{
	char text[FRONTIER_BYTES_MAX];
	_cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, text, sizeof(text));
	if (n < 0)
		return -errno;
	return (size_t)n == sizeof(text) ? -EINVAL : frontier_parse(text, (size_t)n, ret);
}
