#include "proto/tls_hello.h"

#include <errno.h>
#include <string.h>

#define RECORD_HEADER 5
#define RECORD_MAX 16384
#define RECORD_HANDSHAKE 22
#define MESSAGE_HEADER 4
#define CLIENT_HELLO 1
#define EXTENSIONS_MAX 128 /* browsers send twenty */

enum extension {
	EXT_SERVER_NAME = 0,
	EXT_ALPN = 16,
	EXT_EARLY_DATA = 42,
	EXT_SUPPORTED_VERSIONS = 43,
	EXT_ECH = 0xfe0d,
	EXT_ESNI = 0xffce, /* what became ECH */
};

/* Bytes that are left to read. Reading past the end gives nothing and marks it. */
struct reader {
	const uint8_t *at;
	size_t left;
	bool failed;
};

static int
refuse(struct tls_hello *hello, int error, const char *why)
{
	*hello = (struct tls_hello){.refused = why};
	return error;
}

static unsigned
read_number(struct reader *r, unsigned bytes)
{
	unsigned value = 0;
	if (r->failed || r->left < bytes) {
		r->failed = true;
		return 0;
	}
	for (; bytes > 0; bytes--, r->at++, r->left--)
		value = value << 8 | *r->at;
	return value;
}

/* What follows a length of BYTES bytes, at least LEAST and at most MOST of them. */
static struct reader
read_vector(struct reader *r, unsigned bytes, size_t least, size_t most)
{
	size_t len = read_number(r, bytes);
	if (r->failed || len > r->left || len < least || len > most) {
		r->failed = true;
		return (struct reader){.failed = true};
	}
	struct reader vector = {.at = r->at, .left = len};
	r->at += len;
	r->left -= len;
	return vector;
}

/* ---- extensions ---- */

/* RFC 6066, 3. */
static const char *
read_server_name(struct reader ext, struct tls_hello *hello)
{
	struct reader list = read_vector(&ext, 2, 1, SIZE_MAX);
	unsigned type = read_number(&list, 1);
	struct reader name = read_vector(&list, 2, 1, SIZE_MAX);
	if (ext.failed || list.failed || ext.left > 0)
		return "malformed server_name";
	if (type != 0 || list.left > 0)
		return "server_name with more or other than one host name";
	if (hostname_canonical((const char *)name.at, name.left, hello->host) < 0 ||
	    strlen(hello->host) != name.left)
		return "server_name that is not a plain host name";
	return NULL;
}

static void
keep_protocol(struct reader name, struct tls_hello *hello)
{
	if (name.left >= TLS_HELLO_ALPN_TEXT || hello->n_alpn >= TLS_HELLO_ALPN_MAX)
		return;
	for (size_t i = 0; i < name.left; i++)
		if (name.at[i] < 0x21 || name.at[i] > 0x7e)
			return;
	memcpy(hello->alpn[hello->n_alpn], name.at, name.left);
	hello->alpn[hello->n_alpn++][name.left] = 0;
}

/* RFC 7301, 3.1. */
static const char *
read_alpn(struct reader ext, struct tls_hello *hello)
{
	struct reader list = read_vector(&ext, 2, 2, SIZE_MAX);
	while (!list.failed && list.left > 0) {
		struct reader name = read_vector(&list, 1, 1, SIZE_MAX);
		if (!list.failed)
			keep_protocol(name, hello);
	}
	hello->alpn_offered = true;
	return ext.failed || list.failed || ext.left > 0 ? "malformed ALPN" : NULL;
}

/* RFC 8446, 4.2.1. GREASE and drafts are passed over. */
static const char *
read_versions(struct reader ext, struct tls_hello *hello)
{
	struct reader list = read_vector(&ext, 1, 2, SIZE_MAX);
	int highest = 0;
	while (!list.failed && list.left > 0) {
		int version = (int)read_number(&list, 2);
		if (version >= 0x0300 && version <= 0x0304)
			highest = MAX(highest, version);
	}
	if (highest > 0)
		hello->version = highest;
	return ext.failed || list.failed || ext.left > 0 ? "malformed supported_versions" : NULL;
}

static const char *
read_extension(unsigned type, struct reader ext, struct tls_hello *hello)
{
	switch (type) {
	case EXT_SERVER_NAME:
		return read_server_name(ext, hello);
	case EXT_ALPN:
		return read_alpn(ext, hello);
	case EXT_SUPPORTED_VERSIONS:
		return read_versions(ext, hello);
	case EXT_EARLY_DATA:
		hello->early_data = true;
		return ext.left > 0 ? "malformed early_data" : NULL;
	case EXT_ECH:
	case EXT_ESNI:
		hello->ech = true;
		return NULL;
	default:
		return NULL;
	}
}

static const char *
read_extensions(struct reader *list, struct tls_hello *hello)
{
	uint16_t seen[EXTENSIONS_MAX];
	size_t n = 0;
	while (list->left > 0) {
		unsigned type = read_number(list, 2);
		struct reader ext = read_vector(list, 2, 0, SIZE_MAX);
		if (list->failed)
			return "malformed extensions";
		for (size_t i = 0; i < n; i++)
			if (seen[i] == type)
				return "an extension that comes twice";
		if (n == EXTENSIONS_MAX)
			return "too many extensions";
		seen[n++] = (uint16_t)type;
		const char *why = read_extension(type, ext, hello);
		if (why != NULL)
			return why;
	}
	return NULL;
}

/* ---- the message: RFC 8446, 4.1.2 ---- */

static const char *
read_body(struct reader body, struct tls_hello *hello)
{
	hello->version = (int)read_number(&body, 2);
	if (body.failed || hello->version < 0x0300 || hello->version > 0x0304)
		return "a version that TLS does not have";
	for (int i = 0; i < 8; i++)
		(void)read_number(&body, 4); /* random */
	(void)read_vector(&body, 1, 0, 32);  /* session */
	struct reader suites = read_vector(&body, 2, 2, SIZE_MAX);
	(void)read_vector(&body, 1, 1, SIZE_MAX); /* compression methods */
	if (body.failed || suites.left % 2 != 0)
		return "malformed ClientHello";
	if (body.left == 0)
		return NULL; /* before extensions there were */
	struct reader list = read_vector(&body, 2, 0, SIZE_MAX);
	if (body.failed || body.left > 0)
		return "malformed extensions";
	return read_extensions(&list, hello);
}

/* ---- records: RFC 8446, 5.1 ---- */

/* Walks the records in BYTES until they hold the whole message. As tls_hello_read; > 0 also sets *RET_MESSAGE, the bytes
 * of the message. Copies nothing, so that a hello which drips in costs little. */
static int
find_end(const uint8_t *bytes, size_t len, size_t *ret_message, struct tls_hello *hello)
{
	size_t at = 0, message = 0, need = 0;
	uint8_t header[MESSAGE_HEADER];
	for (;;) {
		if (at + RECORD_HEADER > len)
			return 0;
		size_t record = (size_t)bytes[at + 3] << 8 | bytes[at + 4];
		if (bytes[at] != RECORD_HANDSHAKE || bytes[at + 1] != 3 || bytes[at + 2] > 4)
			return refuse(hello, -EBADMSG, "another record inside the ClientHello");
		if (record == 0 || record > RECORD_MAX)
			return refuse(hello, -EBADMSG, "a record of an impossible length");
		at += RECORD_HEADER;
		for (size_t i = 0; message + i < MESSAGE_HEADER && i < record && at + i < len;
		     i++) {
			header[message + i] = bytes[at + i];
			if (header[0] != CLIENT_HELLO)
				return refuse(
				    hello, -EBADMSG, "TLS that does not begin with a ClientHello");
			if (message + i == MESSAGE_HEADER - 1)
				need = MESSAGE_HEADER +
				    ((size_t)header[1] << 16 | (size_t)header[2] << 8 | header[3]);
		}
		if (need > TLS_HELLO_MAX - RECORD_HEADER || at + record > TLS_HELLO_MAX)
			return refuse(hello, -EMSGSIZE, "a ClientHello that is too large");
		if (at + record > len)
			return 0;
		at += record;
		message += record;
		if (need == 0 || message < need)
			continue;
		if (message > need)
			return refuse(hello, -EBADMSG, "more than the ClientHello in its record");
		*ret_message = message;
		return (int)at;
	}
}

/* The message without its records' headers. RET has room for it. */
static void
join_records(const uint8_t *bytes, size_t len, uint8_t *ret)
{
	for (size_t at = 0; at < len;) {
		size_t record = (size_t)bytes[at + 3] << 8 | bytes[at + 4];
		memcpy(ret, bytes + at + RECORD_HEADER, record);
		ret += record;
		at += RECORD_HEADER + record;
	}
}

int
tls_hello_read(const uint8_t *bytes, size_t len, struct tls_hello *ret)
{
	*ret = (struct tls_hello){0};
	if ((len > 0 && bytes[0] != RECORD_HANDSHAKE) || (len > 1 && bytes[1] != 3))
		return -ENOMSG;
	size_t message;
	int used = find_end(bytes, len, &message, ret);
	if (used == 0 && len >= TLS_HELLO_MAX)
		return refuse(ret, -EMSGSIZE, "a ClientHello that is too large");
	if (used <= 0)
		return used;
	_cleanup_free_ uint8_t *joined = NULL;
	struct reader body = {.at = bytes + RECORD_HEADER, .left = message};
	if (message + RECORD_HEADER != (size_t)used) {
		joined = malloc(message);
		if (joined == NULL)
			return refuse(ret, -ENOMEM, "out of memory");
		join_records(bytes, (size_t)used, joined);
		body.at = joined;
	}
	body.at += MESSAGE_HEADER;
	body.left -= MESSAGE_HEADER;
	const char *why = read_body(body, ret);
	return why != NULL ? refuse(ret, -EBADMSG, why) : used;
}

bool
tls_hello_offers(const struct tls_hello *hello, const char *protocol)
{
	for (size_t i = 0; i < hello->n_alpn; i++)
		if (strcmp(hello->alpn[i], protocol) == 0)
			return true;
	return false;
}
