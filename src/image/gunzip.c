#include "image/gunzip.h"

#include <errno.h>
#include <stdint.h>

#define GZIP_WINDOW (15 + 16) /* zlib.h: the largest window, and gzip's frame */
#define MAGIC 0x1f

int
gunzip_init(struct gunzip *g, gunzip_read_fn *read, void *data)
{
	*g = (struct gunzip){.read = read, .data = data};
	return inflateInit2(&g->z, GZIP_WINDOW) == Z_OK ? 0 : -ENOMEM;
}

void
gunzip_done(struct gunzip *g)
{
	(void)inflateEnd(&g->z);
}

/* More input, where there is none left. 1, 0 at its end, -errno. */
static int
refill(struct gunzip *g)
{
	const void *bytes;
	if (g->z.avail_in > 0)
		return 1;
	ssize_t n = g->read(g->data, &bytes);
	if (n <= 0)
		return (int)n;
	g->z.next_in = (Bytef *)(uintptr_t)bytes;
	g->z.avail_in = (uInt)n;
	return 1;
}

/* One step of zlib. 0 to go on, or -errno. */
static int
step(struct gunzip *g)
{
	int r = refill(g);
	if (r <= 0) {
		g->ended = g->between;
		return r < 0 || g->between ? r : -EBADMSG;
	}
	if (g->between && g->z.next_in[0] != MAGIC) {
		g->ended = true;
		return 0;
	}
	if (g->between && inflateReset(&g->z) != Z_OK)
		return -EBADMSG;
	g->between = false;
	r = inflate(&g->z, Z_NO_FLUSH);
	g->between = r == Z_STREAM_END;
	if (r == Z_MEM_ERROR)
		return -ENOMEM;
	return r == Z_OK || r == Z_STREAM_END || r == Z_BUF_ERROR ? 0 : -EBADMSG;
}

ssize_t
gunzip_read(struct gunzip *g, void *out, size_t len)
{
	g->z.next_out = out;
	g->z.avail_out = (uInt)len;
	while (g->z.avail_out > 0 && !g->ended) {
		int r = step(g);
		if (r < 0)
			return r;
	}
	return (ssize_t)(len - g->z.avail_out);
}
