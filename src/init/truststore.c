/* JKS: a magic number, version 2, the number of entries; each a trusted certificate: tag 2, its name, a time, "X.509",
 * the length and bytes of its DER. At the end a SHA-1 over all that, which proves nothing to anybody who knows the
 * password, as everybody does.
 *
 * The PEM comes from the gateway. It is looked at only for its lines, and nothing in it is believed. */
#include "init/truststore.h"

#include <errno.h>
#include <string.h>

#include "base/sha1.h"

#define CERTIFICATES_MAX 4096
#define BEGIN_LINE "-----BEGIN CERTIFICATE-----"
#define END_LINE "-----END CERTIFICATE-----"

static void
put_number(struct buf *out, unsigned value, unsigned n_bytes)
{
	for (unsigned i = n_bytes; i > 0; i--)
		(void)buf_add_char(out, (char)(value >> 8 * (i - 1)));
}

/* Java's writeUTF, of ASCII. */
static void
put_text(struct buf *out, const char *text)
{
	put_number(out, (unsigned)strlen(text), 2);
	(void)buf_add_str(out, text);
}

static int
digit_value(char c)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c == 0 ? NULL : strchr(digits, c);
	return at == NULL ? -1 : (int)(at - digits);
}

/* Base64 with line ends, up to its padding or END. */
static int
put_decoded(struct buf *out, const char *at, const char *end)
{
	unsigned bits = 0, n_bits = 0;
	for (; at < end && *at != '='; at++) {
		int digit = digit_value(*at);
		if (digit < 0 && *at != '\n' && *at != '\r')
			return -EBADMSG;
		if (digit < 0)
			continue;
		bits = (bits << 6 | (unsigned)digit) & 0xffff;
		n_bits += 6;
		if (n_bits >= 8) {
			n_bits -= 8;
			(void)buf_add_char(out, (char)(bits >> n_bits));
		}
	}
	return 0;
}

static void
patch_number(struct buf *out, size_t at, unsigned value)
{
	for (unsigned i = 0; i < 4; i++)
		out->data[at + i] = (uint8_t)(value >> (24 - 8 * i));
}

static int
put_certificate(struct buf *out, unsigned number, const char *at, const char *end)
{
	char name[32] = "ringfence-";
	for (unsigned i = 0; i < 4; i++)
		name[10 + i] = (char)('0' +
		    number /
			(i == 0          ? 1000
				: i == 1 ? 100
				: i == 2 ? 10
					 : 1) %
			10);
	put_number(out, 2, 4);
	put_text(out, name);
	put_number(out, 0, 4); /* the time it was added: the epoch */
	put_number(out, 0, 4);
	put_text(out, "X.509");
	size_t length = out->len;
	put_number(out, 0, 4);
	int r = put_decoded(out, at, end);
	if (r == 0 && !buf_failed(out))
		patch_number(out, length, (unsigned)(out->len - length - 4));
	return r;
}

/* SHA-1 of the password in UTF-16, a saying of its inventors, and the store. */
static void
put_digest(struct buf *out, size_t begin)
{
	static const char password[] = "\0c\0h\0a\0n\0g\0e\0i\0t", saying[] = "Mighty Aphrodite";
	uint8_t sum[SHA1_BYTES];
	struct sha1 h;
	sha1_init(&h);
	sha1_update(&h, password, sizeof(password) - 1);
	sha1_update(&h, saying, sizeof(saying) - 1);
	sha1_update(&h, out->data + begin, out->len - begin);
	sha1_final(&h, sum);
	(void)buf_add(out, sum, SHA1_BYTES);
}

static const char *
find(const char *at, const char *end, const char *line)
{
	const char *found = memmem(at, (size_t)(end - at), line, strlen(line));
	return found == NULL ? end : found;
}

int
truststore_write(const char *pem, size_t len, struct buf *out)
{
	const char *end = pem + len;
	size_t begin = out->len;
	unsigned n = 0;
	put_number(out, 0xfeedfeed, 4);
	put_number(out, 2, 4);
	put_number(out, 0, 4);
	for (const char *at = find(pem, end, BEGIN_LINE); at < end && n < CERTIFICATES_MAX;
	     at = find(at, end, BEGIN_LINE)) {
		const char *text = at + sizeof(BEGIN_LINE) - 1;
		at = find(text, end, END_LINE);
		if (at == end)
			return -EBADMSG;
		int r = put_certificate(out, n++, text, at);
		if (r < 0)
			return r;
	}
	if (buf_failed(out))
		return -ENOMEM;
	patch_number(out, begin + 8, n);
	put_digest(out, begin);
	return buf_failed(out) ? -ENOMEM : 0;
}
