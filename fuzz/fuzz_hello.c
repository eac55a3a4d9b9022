/* ClientHellos: what is read from one does not depend on how it was cut into records or into reads, every prefix of one
 * needs more bytes, and the name is canonical. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/tls_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)        \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

static int
read_exactly(const uint8_t *data, size_t size, struct tls_hello *ret)
{
	uint8_t *copy = malloc(size > 0 ? size : 1); /* as long as it is, for the sanitizer */
	if (copy == NULL)
		abort();
	memcpy(copy, data, size);
	int r = tls_hello_read(copy, size, ret);
	free(copy);
	return r;
}

/* The records at DATA cut anew, PIECE bytes of the message in each. */
static void
check_cut(const uint8_t *data, size_t used, size_t piece, const struct tls_hello *expected)
{
	uint8_t *message = malloc(used), *records = calloc(6, used);
	size_t len = 0, n = 0;
	struct tls_hello hello;
	if (message == NULL || records == NULL)
		abort();
	for (size_t at = 0; at < used;) {
		size_t record = (size_t)(data[at + 3] << 8 | data[at + 4]);
		memcpy(message + len, data + at + 5, record);
		len += record;
		at += 5 + record;
	}
	for (size_t at = 0; at < len; at += piece) {
		size_t part = len - at < piece ? len - at : piece;
		uint8_t head[5] = {22, 3, 1, (uint8_t)(part >> 8), (uint8_t)part};
		memcpy(records + n, head, 5);
		memcpy(records + n + 5, message + at, part);
		n += 5 + part;
	}
	int r = tls_hello_read(records, n, &hello);
	REQUIRE(n > TLS_HELLO_MAX ? r == -EMSGSIZE : r == (int)n);
	REQUIRE(r < 0 || memcmp(&hello, expected, sizeof(hello)) == 0);
	free(message);
	free(records);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tls_hello hello, other;
	int r = read_exactly(data, size, &hello);
	REQUIRE(r <= (int)size);
	REQUIRE((r == -EBADMSG || r == -EMSGSIZE) == (hello.refused != NULL));
	REQUIRE(r > 0 || (hello.host[0] == 0 && hello.n_alpn == 0));
	REQUIRE(r != 0 || size < TLS_HELLO_MAX);
	REQUIRE(hello.host[0] == 0 || hostname_is_canonical(hello.host));
	if (r == 0)
		for (size_t len = 0; len < size; len += 1 + len / 8)
			REQUIRE(read_exactly(data, len, &other) == 0);
	if (r <= 0)
		return 0;
	for (size_t len = 0; len < (size_t)r; len += 1 + len / 8)
		REQUIRE(read_exactly(data, len, &other) == 0);
	check_cut(data, (size_t)r, 1, &hello);
	check_cut(data, (size_t)r, 3, &hello);
	check_cut(data, (size_t)r, 16384, &hello);
	return 0;
}
