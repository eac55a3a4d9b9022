/* How the body of a message is framed and whether its connection lives on (RFC 9112, 6.3 and 9.3).
 *
 * This is where request smuggling lives: two recipients that find different ends of one message. So there is no
 * precedence among headers that contradict each other, no list that is searched for its last element and no number
 * that is nearly one: the message is refused. */
#include <errno.h>
#include <string.h>

#include "proto/http1.h"
#include "proto/http1_impl.h"

#define CONNECTION_BYTES_MAX 1024 /* of all Connection values: each header is looked up in them */
#define LENGTH_DIGITS_MAX 18      /* below INT64_MAX */

struct framing {
	const struct http_header *host, *length, *coding, *expect;
	bool close, keep_alive, upgrade;
};

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool
http_text_is(struct http_text text, const char *expected)
{
	return strlen(expected) == text.len && memcmp(text.at, expected, text.len) == 0;
}

bool
http_text_is_fold(struct http_text text, const char *expected)
{
	size_t i = 0;
	for (; i < text.len && expected[i] != 0; i++)
		if (lower(text.at[i]) != lower(expected[i]))
			return false;
	return i == text.len && expected[i] == 0;
}

static bool
texts_are_fold(struct http_text a, struct http_text b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (lower(a.at[i]) != lower(b.at[i]))
			return false;
	return true;
}

const struct http_header *
http_find(const struct http_head *head, const char *name)
{
	for (size_t i = 0; i < head->n_headers; i++)
		if (http_text_is_fold(head->headers[i].name, name))
			return &head->headers[i];
	return NULL;
}

/* ---- lists ---- */

/* Takes the next element of a comma-separated list, which may be empty, off the front of REST. */
static bool
list_next(struct http_text *rest, struct http_text *ret)
{
	if (rest->at == NULL)
		return false;
	const char *comma = memchr(rest->at, ',', rest->len);
	size_t n = comma == NULL ? rest->len : (size_t)(comma - rest->at);
	const char *begin = rest->at, *end = rest->at + n;
	while (begin < end && (*begin == ' ' || *begin == '\t'))
		begin++;
	while (end > begin && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*ret = (struct http_text){begin, (size_t)(end - begin)};
	if (comma == NULL)
		*rest = (struct http_text){NULL, 0};
	else
		*rest = (struct http_text){comma + 1, rest->len - n - 1};
	return true;
}

static bool
lists_have(const struct http_head *head, const char *name, struct http_text token)
{
	for (size_t i = 0; i < head->n_headers; i++) {
		if (!http_text_is_fold(head->headers[i].name, name))
			continue;
		struct http_text rest = head->headers[i].value, element;
		while (list_next(&rest, &element))
			if (texts_are_fold(element, token))
				return true;
	}
	return false;
}

bool
http_has_token(const struct http_head *head, const char *name, const char *token)
{
	return lists_have(head, name, (struct http_text){token, strlen(token)});
}

bool
http_is_hop_by_hop(const struct http_head *head, struct http_text name)
{
	static const char *const known[] = {"connection", "proxy-connection", "keep-alive", "te",
	    "trailer", "transfer-encoding", "upgrade", "proxy-authenticate", "proxy-authorization",
	    "proxy-authentication-info", "http2-settings"};
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (http_text_is_fold(name, known[i]))
			return true;
	return lists_have(head, "connection", name);
}

/* ---- what single headers say ---- */

/* The tokens of one Connection header. It may not name what frames or routes the message: a recipient that takes the
 * word for it would drop that header (RFC 9110, 7.6.1). */
static int
read_connection(struct http_text value, struct framing *f, struct error *err)
{
	struct http_text element;
	while (list_next(&value, &element)) {
		for (size_t i = 0; i < element.len; i++)
			if (!http_byte_is_token((uint8_t)element.at[i]))
				return http_refuse(
				    err, "a Connection header that is not a list of names");
		if (http_text_is_fold(element, "close"))
			f->close = true;
		else if (http_text_is_fold(element, "keep-alive"))
			f->keep_alive = true;
		else if (http_text_is_fold(element, "upgrade"))
			f->upgrade = true;
		else if (http_text_is_fold(element, "host") ||
		    http_text_is_fold(element, "content-length"))
			return http_refuse(
			    err, "a Connection header that names Host or Content-Length");
	}
	return 0;
}

/* Content_Length and Transfer_Encoding: the same header to whoever makes variables of them (RFC 3875, 4.1.18). */
static bool
is_framing_in_disguise(struct http_text name)
{
	static const char *const framing[] = {"content-length", "transfer-encoding"};
	for (size_t i = 0; i < ARRAY_LEN(framing); i++) {
		if (strlen(framing[i]) != name.len)
			continue;
		size_t k = 0;
		while (
		    k < name.len && (name.at[k] == '_' ? '-' : lower(name.at[k])) == framing[i][k])
			k++;
		if (k == name.len && memchr(name.at, '_', name.len) != NULL)
			return true;
	}
	return false;
}

/* The second of its kind is refused, and so are tabs around the value: white space by the grammar, but some do not take
 * them for such, and see another value or none. */
static int
once(const struct http_header **where, const struct http_header *h, const char *why,
    struct error *err)
{
	const char *after = h->value.at + h->value.len;
	for (const char *p = h->name.at + h->name.len + 1; p < h->value.at; p++)
		if (*p == '\t')
			return http_refuse(
			    err, "a tab before the value of a header that frames or routes");
	while (*after == ' ')
		after++;
	if (*after != '\r')
		return http_refuse(err, "a tab after the value of a header that frames or routes");
	if (*where != NULL)
		return http_refuse(err, why);
	*where = h;
	return 0;
}

static int
read_header(
    const struct http_header *h, struct framing *f, size_t *connection_bytes, struct error *err)
{
	switch (h->name.len) {
	case 4:
		if (http_text_is_fold(h->name, "host"))
			return once(&f->host, h, "more than one Host header", err);
		break;
	case 6:
		if (http_text_is_fold(h->name, "expect"))
			return once(&f->expect, h, "more than one Expect header", err);
		break;
	case 10:
		if (!http_text_is_fold(h->name, "connection"))
			break;
		*connection_bytes += h->value.len;
		if (*connection_bytes > CONNECTION_BYTES_MAX)
			return http_refuse(err, "Connection headers that are too long");
		return read_connection(h->value, f, err);
	case 14:
		if (http_text_is_fold(h->name, "content-length"))
			return once(&f->length, h, "more than one Content-Length header", err);
		break;
	case 17:
		if (http_text_is_fold(h->name, "transfer-encoding"))
			return once(&f->coding, h, "more than one Transfer-Encoding header", err);
		break;
	}
	if (is_framing_in_disguise(h->name))
		return http_refuse(err, "a framing header spelled with an underscore");
	return 0;
}

/* A plain decimal number, without leading zeros (some read those as octal). */
static int
read_length(struct http_text value, int64_t *ret, struct error *err)
{
	int64_t n = 0;
	bool plain = value.len > 0 && value.len <= LENGTH_DIGITS_MAX &&
	    (value.at[0] != '0' || value.len == 1);
	for (size_t i = 0; plain && i < value.len; i++) {
		plain = value.at[i] >= '0' && value.at[i] <= '9';
		n = n * 10 + (value.at[i] - '0');
	}
	if (!plain)
		return http_refuse(err, "a Content-Length that is not one plain number");
	*ret = n;
	return 0;
}

/* Content-Length or Transfer-Encoding of any message: into HEAD, as if the message had a body. */
static int
read_framing(struct http_head *head, struct framing *f, struct error *err)
{
	size_t connection_bytes = 0;
	*f = (struct framing){0};
	for (size_t i = 0; i < head->n_headers; i++) {
		int r = read_header(&head->headers[i], f, &connection_bytes, err);
		if (r < 0)
			return r;
	}
	if (f->coding != NULL) {
		if (f->length != NULL)
			return http_refuse(err, "Content-Length beside Transfer-Encoding");
		if (head->minor == 0)
			return http_refuse(err, "Transfer-Encoding in a message of version 1.0");
		if (!http_text_is_fold(f->coding->value, "chunked"))
			return http_refuse(err, "a Transfer-Encoding that is not chunked alone");
		head->body = HTTP_BODY_CHUNKED;
	} else if (f->length != NULL) {
		int r = read_length(f->length->value, &head->length, err);
		if (r < 0)
			return r;
		head->body = HTTP_BODY_LENGTH;
	}
	head->keep_alive = !f->close && (head->minor == 1 || f->keep_alive);
	return 0;
}

/* ---- messages ---- */

static int
frame_expect(struct http_head *head, const struct http_header *expect, struct error *err)
{
	if (expect == NULL)
		return 0;
	if (!http_text_is_fold(expect->value, "100-continue"))
		return http_refuse(err, "an Expect header that is not 100-continue");
	if (head->minor == 0 || head->body == HTTP_BODY_NONE)
		return http_refuse(err, "Expect: 100-continue without a body to wait for");
	head->expect_continue = true;
	return 0;
}

int
http_frame_request(struct http_head *head, struct error *err)
{
	struct framing f;
	int r = read_framing(head, &f, err);
	if (r < 0)
		return r;
	/* Clients of version 1.0 (Python's, asking for a tunnel) send none: then the target has to name it. */
	if (f.host == NULL && (head->minor == 1 || head->target.at[0] == '/'))
		return http_refuse(err, "no Host header");
	if (http_text_is(head->method, "CONNECT")) {
		if (head->body == HTTP_BODY_CHUNKED || head->length > 0)
			return http_refuse(err, "CONNECT with a body");
		head->body = HTTP_BODY_NONE;
	}
	head->upgrade = head->minor == 1 && f.upgrade && http_find(head, "upgrade") != NULL;
	return frame_expect(head, f.expect, err);
}

int
http_frame_response(struct http_head *head, const char *method, struct error *err)
{
	struct framing f;
	int r = read_framing(head, &f, err);
	if (r < 0)
		return r;
	bool interim = head->status < 200,
	     tunnel = strcmp(method, "CONNECT") == 0 && head->status / 100 == 2;
	if (interim || head->status == 204) {
		if (head->body == HTTP_BODY_CHUNKED || head->length > 0)
			return http_refuse(
			    err, "a body announced by a response that cannot have one");
	} else if (head->body == HTTP_BODY_NONE) {
		head->body = HTTP_BODY_UNTIL_CLOSE;
	}
	if (interim || tunnel || head->status == 204 || head->status == 304 ||
	    strcmp(method, "HEAD") == 0) {
		head->body = HTTP_BODY_NONE;
		head->length = 0;
	}
	head->upgrade = head->status == 101;
	if (head->body == HTTP_BODY_UNTIL_CLOSE || head->upgrade || tunnel)
		head->keep_alive = false;
	return 0;
}
