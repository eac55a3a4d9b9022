/* What a request is as an action: an http one, or for git's requests, where rules speak of git, a git one. What is
 * asked is what is done: everything that we pass on stands in it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/http.h"

#define ACTION_MAX (96 * 1024) /* bytes, as text: it must fit into a message */

bool
http_must_collect(const struct http *http)
{
	if (http->request.done)
		return false;
	if (http->git == GIT_PUSH)
		return true;
	return http->git == GIT_NOT && http->head.body == HTTP_BODY_LENGTH &&
	    http->head.length <= COLLECT_MAX;
}

/* ---- the record ---- */

static void
lower(char *text)
{
	for (; *text != 0; text++)
		if (*text >= 'A' && *text <= 'Z')
			*text = (char)(*text + ('a' - 'A'));
}

/* Headers that are the connection's business or are written anew. */
static bool
is_ours(const struct http_head *head, struct http_text name)
{
	static const char *const names[] = {"host", "content-length", "expect"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (http_text_is_fold(name, names[i]))
			return true;
	return http_is_hop_by_hop(head, name);
}

/* Names in lower case; what is given several times is joined as HTTP does. A placeholder speaks for the gateway's
 * credential, not for the agent: it is not part of what the agent sends. */
static int
set_headers(struct json *request, const struct http_head *head)
{
	struct json *headers = json_new_object();
	int r = 0;
	for (size_t i = 0; r == 0 && i < head->n_headers; i++) {
		const struct http_header *h = &head->headers[i];
		char name[256];
		if (is_ours(head, h->name) || credential_placeholder(NULL, h->value))
			continue;
		if (h->name.len >= sizeof(name))
			r = -EMSGSIZE;
		(void)snprintf(name, sizeof(name), "%.*s", (int)h->name.len, h->name.at);
		lower(name);
		_cleanup_buf_ struct buf value;
		buf_init(&value, 2 * HEAD_BYTES_MAX);
		const char *before = json_get_str(headers, name, NULL);
		if (before != NULL)
			(void)buf_addf(&value, "%s, ", before);
		(void)buf_add(&value, h->value.at, h->value.len);
		if (r == 0)
			r = buf_failed(&value) ? -ENOMEM
					       : json_set(headers, name,
						     json_new_string_n(buf_str(&value), value.len));
	}
	int set = json_set(request, "headers", headers);
	return r < 0 ? r : set;
}

static struct json *
text_json(struct http_text text)
{
	return json_new_string_n(text.at != NULL ? text.at : "", text.len);
}

static int
http_request_json(const struct http *http, struct json *request)
{
	char hash[SHA256_HEX];
	(void)json_set_str(request, "scheme", http->tls ? "https" : "http");
	(void)json_set_str(request, "host", http->host);
	(void)json_set_int(request, "port", http->port);
	(void)json_set(request, "method", text_json(http->head.method));
	(void)json_set(request, "path", text_json(http->where.path));
	if (http->where.query.len > 0)
		(void)json_set(request, "query", text_json(http->where.query));
	int64_t bytes = http->head.body == HTTP_BODY_CHUNKED ? -1
	    : http->head.body == HTTP_BODY_LENGTH            ? http->head.length
							     : 0;
	(void)json_set_int(request, "body_bytes", bytes);
	if (http->hashed) {
		hex_encode(http->request_hash, SHA256_BYTES, hash);
		(void)json_set_str(request, "body_sha256", hash);
	}
	int r = set_headers(request, &http->head);
	if (r == 0 && http->websocket) /* the one header of the connection that rules speak of */
		r = json_set_str(json_get(request, "headers"), "upgrade", "websocket");
	return r;
}

/* Finding out what refs there are is reading them, also when a push is to follow. */
static int
git_request_json(const struct http *http, struct json *request)
{
	(void)json_set_str(request, "host", http->host);
	(void)json_set_int(request, "port", http->port);
	(void)json_set_str(request, "scheme", http->tls ? "https" : "http");
	(void)json_set_str(request, "repository", http->repository);
	(void)json_set_str(request, "operation", http->git == GIT_PUSH ? "push" : "fetch");
	if (http->git != GIT_PUSH)
		return 0;
	struct json *refs = git_push_refs(http->push), *plain = json_new_array();
	for (size_t i = 0; i < json_len(refs); i++) {
		struct json *ref = json_new_object();
		const struct json *from = json_at(refs, i);
		(void)json_set_str(ref, "name", json_get_str(from, "name", ""));
		(void)json_set_bool(ref, "force", json_get_bool(from, "force", true));
		(void)json_set_bool(ref, "delete", json_get_bool(from, "delete", true));
		(void)json_set_str(ref, "old", json_get_str(from, "old", ""));
		(void)json_set_str(ref, "new", json_get_str(from, "new", ""));
		(void)json_push(plain, ref);
	}
	bool none = refs == NULL;
	json_free(refs);
	int r = json_set(request, "refs", plain);
	return none ? -ENOMEM : r;
}

static struct json *
action_of(const struct http *http, int *ret_error)
{
	char target[1400];
	bool git = http->git != GIT_NOT;
	struct json *request = json_new_object(), *action = json_new_object();
	*ret_error = git ? git_request_json(http, request) : http_request_json(http, request);
	if (git)
		(void)snprintf(target, sizeof(target), "%s/%s", http->host, http->repository);
	else
		(void)snprintf(target, sizeof(target), "%s://%s:%d%.*s",
		    http->tls ? "https" : "http", http->host, http->port,
		    (int)MIN(http->where.path.len, 1024), http->where.path.at);
	(void)json_set_str(action, "kind", git ? "git" : "http");
	(void)json_set_str(action, "target", target);
	(void)json_set(action, "request", request);
	return action;
}

/* About how long ACTION is as text; 0: too long for a message. */
static size_t
size_of(const struct http *http, const struct json *action)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, ACTION_MAX);
	/* A byte of a head becomes three at most (what is no UTF-8), and its names stand there once more. */
	size_t most = 4 * http->head_bytes.len + 2048;
	if (http->git == GIT_NOT && most < ACTION_MAX / 2)
		return most;
	return json_write(action, &text) == 0 ? text.len : 0;
}

/* ---- the answer ---- */

static void
on_answer(struct ask *ask, void *data)
{
	struct http *http = data;
	if (ask_state(ask) == ASK_GO)
		http_perform(http);
	else if (ask_state(ask) == ASK_LOST)
		http_deny(
		    http, &(struct http_refusal){503, "arbiter_lost", ask_reason(ask), NULL, NULL});
	else if (ask_state(ask) == ASK_NO)
		http_deny(http,
		    &(struct http_refusal){403, "denied", ask_reason(ask), ask_needed(ask), NULL});
}

/* Git sends a push of nothing to see whether it would be let in: there is nothing to do, and nothing to decide. */
static bool
is_push_probe(const struct http *http)
{
	bool probe = http->git == GIT_PUSH && http->request.done;
	struct json *refs = probe ? git_push_refs(http->push) : NULL;
	probe = probe && json_len(refs) == 0;
	json_free(refs);
	return probe;
}

static void
answer_probe(struct http *http)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\n"
				     "Content-Type: application/x-git-receive-pack-result\r\n"
				     "Content-Length: 0\r\nCache-Control: no-cache\r\n\r\n";
	http->close_after = !http->head.keep_alive;
	if (stream_write(http->c->down, answer, sizeof(answer) - 1) < 0)
		connection_free(http->c);
	else
		http_next(http);
}

void
http_ask(struct http *http)
{
	int r;
	http_set_state(http, HTTP_ASKED);
	if (is_push_probe(http)) {
		answer_probe(http);
		return;
	}
	struct json *action = action_of(http, &r);
	size_t bytes = r < 0 ? 0 : size_of(http, action);
	if (bytes == 0) {
		json_free(action);
		http_deny(http,
		    &(struct http_refusal){431, "request_too_large",
			"the request is too large to be decided on", NULL, "request-refused"});
		return;
	}
	http->ask = ask_new(http->c->guest, action, bytes, on_answer, http);
	if (http->ask == NULL)
		http_deny(http,
		    &(struct http_refusal){503, "arbiter_lost",
			"nobody decides: the arbiter is gone, or too much is asked at once", NULL,
			NULL});
}
