/* What an issuer answers, and what people may say of one: refused, or nothing that could mean something else later. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "issuer/request.h"

#define NOW INT64_C(1790000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool what)
{
	if (!what)
		abort();
}

static void
answer(const char *as, int status, const char *text, size_t len)
{
	char *token = NULL;
	int64_t expires_ms = 0;
	struct error err = {.code = ""};
	int r = answer_read(as, status, text, len, NOW, &token, &expires_ms, &err);
	if (r < 0) {
		require(token == NULL && strncmp(err.code, "issuer_", 7) == 0);
		return;
	}
	require(expires_ms > NOW && expires_ms <= NOW + TOKEN_LIFE_MAX_MS);
	require(strlen(token) >= 8 && strlen(token) <= TOKEN_BYTES_MAX);
	for (const char *c = token; *c != 0; c++)
		require((uint8_t)*c > 0x20 && *c != 0x7f);
	free(token);
}

static void
url(const char *text)
{
	struct issuer_url read;
	if (issuer_url(text, &read) < 0)
		return;
	require(hostname_is_canonical(read.host) && read.port > 0 && read.port < 65536);
	require(strpbrk(read.path, " \r\n?#%\\") == NULL && strstr(read.path, "/.") == NULL);
}

/* What passes can be written as a request, which is one head and one body. */
static void
check(const char *as, const char *text, size_t len)
{
	_cleanup_json_ struct json *ask = json_new_object(), *parameters = NULL;
	struct issuer_url read;
	struct error err;
	_cleanup_buf_ struct buf out;
	buf_init(&out, 1 << 20);
	if (json_parse(text, len, &parameters, &err) < 0 || issuer_check(as, parameters, &err) < 0)
		return;
	require(issuer_url(json_get_str(parameters, "url", ""), &read) == 0);
	(void)json_set_str(ask, "as", as);
	(void)json_set_str(ask, "secret", "a secret of no value");
	(void)json_set(ask, "parameters", json_copy(parameters));
	if (strcmp(as, ISSUER_OAUTH) != 0)
		return;
	require(request_make(ask, &read, NOW, &out, &err) == 0);
	const char *end = strstr(buf_str(&out), "\r\n\r\n");
	require(end != NULL && strpbrk(end + 4, "\r\n ") == NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	char *text = strndup((const char *)data + 2, size - 2);
	if (text == NULL)
		return 0;
	const char *as = data[1] % 2 == 0 ? ISSUER_GITHUB : ISSUER_OAUTH;
	if (data[0] == 2)
		url(text);
	else if (data[0] == 3)
		check(as, text, strlen(text));
	else
		answer(data[0] % 2 == 0 ? ISSUER_GITHUB : ISSUER_OAUTH, data[1],
		    (const char *)data + 2, size - 2);
	free(text);
	return 0;
}
