/* The head of an HTTP/1.1 message: start line and headers, read in one pass over the bytes.
 *
 * The scan stops at the first byte that may not stand where it stands, so a refusal does not wait for the end of a
 * head, and a longer piece of the same head is refused for the same byte. What the headers mean together (how the
 * body is framed, whether the connection lives on) is http1_frame.c's and is decided only when the head is complete.
 * Never allocates, copies nothing.
 *
 * Stricter than a recipient has to be: an empty line before the start line (RFC 9112, 2.2 lets servers skip one), a
 * line that ends in LF alone, and white space that is not exactly one space in the start line are all refused. */
#include <errno.h>
#include <string.h>

#include "proto/http1.h"
#include "proto/http1_impl.h"

enum { TOKEN = 1, TARGET = 2, VALUE = 4 };

/* What each byte may be part of: tchar (RFC 9110, 5.6.2), visible ASCII, and field-vchar, obs-text, SP and HTAB. */
#define V_ (VALUE)
#define G_ (TARGET | VALUE)
#define T_ (TOKEN | TARGET | VALUE)
/* clang-format off */
static const uint8_t byte_class[256] = {
	0, 0, 0, 0, 0, 0, 0, 0, 0, V_, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	V_, T_, G_, T_, T_, T_, T_, T_, G_, G_, T_, T_, G_, T_, T_, G_, /*  !"#$%&'()*+,-./ */
	T_, T_, T_, T_, T_, T_, T_, T_, T_, T_, G_, G_, G_, G_, G_, G_, /* 0-9 :;<=>? */
	G_, T_, T_, T_, T_, T_, T_, T_, T_, T_, T_, T_, T_, T_, T_, T_, /* @A-O */
	T_, T_, T_, T_, T_, T_, T_, T_, T_, T_, T_, G_, G_, G_, T_, T_, /* P-Z [\]^_ */
	T_, T_, T_, T_, T_, T_, T_, T_, T_, T_, T_, T_, T_, T_, T_, T_, /* `a-o */
	T_, T_, T_, T_, T_, T_, T_, T_, T_, T_, T_, G_, T_, G_, T_, 0,  /* p-z {|}~ */
	V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_,
	V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_,
	V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_,
	V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_,
	V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_,
	V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_,
	V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_,
	V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_,
};
/* clang-format on */
#undef V_
#undef G_
#undef T_

bool
http_byte_is_token(uint8_t c)
{
	return (byte_class[c] & TOKEN) != 0;
}

bool
http_byte_is_value(uint8_t c)
{
	return (byte_class[c] & VALUE) != 0;
}

int
http_refuse(struct error *err, const char *why)
{
	return error_set(err, EBADMSG, "http_malformed", "%s", why);
}

struct scan {
	const uint8_t *at, *end;
	struct error *err;
};

/* The steps below return 1 when they are done, 0 if the bytes end first, or -errno. */

/* A run, not empty, of bytes of CLASS, and the byte END_BYTE after it, which is consumed. */
static int
scan_run(struct scan *s, uint8_t class, uint8_t end_byte, struct http_text *ret, const char *why)
{
	const uint8_t *p = s->at;
	while (p < s->end && (byte_class[*p] & class) != 0)
		p++;
	if (p == s->end)
		return 0;
	if (*p != end_byte || p == s->at)
		return http_refuse(s->err, why);
	*ret = (struct http_text){(const char *)s->at, (size_t)(p - s->at)};
	s->at = p + 1;
	return 1;
}

/* Exactly the bytes of TEXT. */
static int
scan_exact(struct scan *s, const char *text, const char *why)
{
	while (*text != 0) {
		if (s->at == s->end)
			return 0;
		if (*s->at != (uint8_t)*text)
			return http_refuse(s->err, why);
		s->at++;
		text++;
	}
	return 1;
}

/* "HTTP/1.0" or "HTTP/1.1". */
static int
scan_version(struct scan *s, int *ret_minor)
{
	int r = scan_exact(s, "HTTP/", "not an HTTP version where one has to be");
	if (r <= 0)
		return r;
	if (s->end - s->at < 3)
		return 0;
	uint8_t major = s->at[0], minor = s->at[2];
	if (major < '0' || major > '9' || s->at[1] != '.' || minor < '0' || minor > '9')
		return http_refuse(s->err, "not an HTTP version where one has to be");
	if (major != '1' || minor > '1')
		return error_set(s->err, EPROTONOSUPPORT, "http_version",
		    "HTTP/%c.%c is not spoken here, only HTTP/1.1", major, minor);
	*ret_minor = minor - '0';
	s->at += 3;
	return 1;
}

static int
scan_crlf(struct scan *s)
{
	return scan_exact(s, "\r\n", "a line that does not end in CR and LF, or a stray CR or LF");
}

/* The rest of a line, with the white space around it cut off. */
static int
scan_value(struct scan *s, struct http_text *ret)
{
	const uint8_t *p = s->at;
	while (p < s->end && (*p == ' ' || *p == '\t'))
		p++;
	const uint8_t *begin = p;
	while (p < s->end && (byte_class[*p] & VALUE) != 0)
		p++;
	const uint8_t *last = p;
	if (p == s->end)
		return 0;
	if (*p != '\r' && *p != '\n')
		return http_refuse(s->err, "a control byte in a line of the head");
	while (last > begin && (last[-1] == ' ' || last[-1] == '\t'))
		last--;
	*ret = (struct http_text){(const char *)begin, (size_t)(last - begin)};
	s->at = p;
	return scan_crlf(s);
}

static int
scan_header(struct scan *s, struct http_header *ret)
{
	if (s->at < s->end && (*s->at == ' ' || *s->at == '\t'))
		return http_refuse(s->err, "a header line that begins with white space");
	int r =
	    scan_run(s, TOKEN, ':', &ret->name, "a header name with a byte that is not of a name");
	return r <= 0 ? r : scan_value(s, &ret->value);
}

/* Every header and the empty line. */
static int
scan_headers(struct scan *s, struct http_head *head)
{
	for (;;) {
		if (s->at == s->end)
			return 0;
		if (*s->at == '\r' || *s->at == '\n')
			return scan_crlf(s);
		if (head->n_headers == HTTP_HEADERS_MAX)
			return error_set(s->err, EMSGSIZE, "http_too_large", "more than %d headers",
			    HTTP_HEADERS_MAX);
		int r = scan_header(s, &head->headers[head->n_headers]);
		if (r <= 0)
			return r;
		head->n_headers++;
	}
}

static int
scan_request_line(struct scan *s, struct http_head *head)
{
	int r =
	    scan_run(s, TOKEN, ' ', &head->method, "a method with a byte that is not of a method");
	if (r > 0)
		r = scan_run(s, TARGET, ' ', &head->target,
		    "a request target with a byte that is not of a target, or without a version");
	if (r > 0)
		r = scan_version(s, &head->minor);
	return r <= 0 ? r : scan_crlf(s);
}

/* The space before an empty reason may be missing: servers forget it, and nothing hangs on it. */
static int
scan_status_line(struct scan *s, struct http_head *head)
{
	int r = scan_version(s, &head->minor);
	if (r > 0)
		r = scan_exact(s, " ", "a status line without a status");
	if (r <= 0)
		return r;
	for (int i = 0; i < 3; i++) {
		if (s->at == s->end)
			return 0;
		if (*s->at < (i == 0 ? '1' : '0') || *s->at > '9')
			return http_refuse(s->err, "a status that is not three digits");
		head->status = head->status * 10 + (*s->at++ - '0');
	}
	if (s->at == s->end)
		return 0;
	if (*s->at != ' ' && *s->at != '\r')
		return http_refuse(s->err, "a status that is not three digits");
	return scan_value(s, &head->reason);
}

/* All but the headers themselves, which are written before they are read: 4 KiB that need no zeroing. */
static void
head_begin(struct http_head *head)
{
	head->method = head->target = head->reason = (struct http_text){"", 0};
	head->status = head->minor = 0;
	head->n_headers = head->len = 0;
	head->body = HTTP_BODY_NONE;
	head->length = 0;
	head->keep_alive = head->expect_continue = head->upgrade = false;
}

typedef int start_line_fn(struct scan *s, struct http_head *head);

static int
head_scan(const uint8_t *bytes, size_t len, start_line_fn *start_line, struct http_head *head,
    struct error *err)
{
	struct scan s = {bytes, bytes + MIN(len, (size_t)HTTP_HEAD_MAX), err};
	head_begin(head);
	int r = start_line(&s, head);
	if (r > 0)
		r = scan_headers(&s, head);
	if (r == 0 && len >= HTTP_HEAD_MAX)
		return error_set(
		    err, EMSGSIZE, "http_too_large", "a head of more than %d bytes", HTTP_HEAD_MAX);
	if (r > 0)
		head->len = (size_t)(s.at - bytes);
	return r;
}

int
http_request_parse(const uint8_t *bytes, size_t len, struct http_head *ret, struct error *err)
{
	int r = head_scan(bytes, len, scan_request_line, ret, err);
	if (r > 0)
		r = http_frame_request(ret, err);
	return r < 0 ? r : (int)ret->len;
}

int
http_response_parse(
    const uint8_t *bytes, size_t len, const char *method, struct http_head *ret, struct error *err)
{
	int r = head_scan(bytes, len, scan_status_line, ret, err);
	if (r > 0)
		r = http_frame_response(ret, method, err);
	return r < 0 ? r : (int)ret->len;
}
