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

/* What each character of base64 is worth, plus one; 0: it is none. */
static const uint8_t *
digits(void)
{
	static const char alphabet[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	static uint8_t values[256];
	for (unsigned i = 0; values['A'] == 0 && i < sizeof(alphabet) - 1; i++)
		values[(uint8_t)alphabet[sizeof(alphabet) - 2 - i]] =
		    (uint8_t)(sizeof(alphabet) - 1 - i);
	return values;
}

/* Base64 with line ends, up to its padding or END. A bundle has hundreds of thousands of these characters, and a run
 * waits for them. */
static int
put_decoded(struct buf *out, const char *at, const char *end)
{
	const uint8_t *values = digits();
	uint8_t *to = buf_reserve(out, (size_t)(end - at));
	unsigned bits = 0, n_bits = 0;
	size_t n = 0;
	if (to == NULL)
		return -ENOMEM;
	for (; at < end && *at != '='; at++) {
		unsigned value = values[(uint8_t)*at];
		if (value == 0 && *at != '\n' && *at != '\r')
			return -EBADMSG;
		if (value == 0)
			continue;
		bits = bits << 6 | (value - 1);
		n_bits += 6;
		if (n_bits >= 8) {
			n_bits -= 8;
			to[n++] = (uint8_t)(bits >> n_bits);
		}
	}
	buf_grew(out, n);
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
