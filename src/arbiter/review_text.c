/* Actions as lines for people. Everything here may have been chosen by an agent: whoever shows it escapes it. */
#include "arbiter/review_text.h"

#include <stdio.h>
#include <string.h>

/* ARGV as a person would type it; what a shell would split or expand is quoted. */
static void
add_argv(const struct json *argv, struct buf *out)
{
	for (size_t i = 0; i < json_len(argv); i++) {
		const char *arg = json_str(json_at(argv, i), "");
		bool plain = arg[0] != '\0' &&
		    strspn(arg,
			"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			"0123456789_-+=./,:@%") == strlen(arg);
		(void)buf_addf(out, "%s%s", i > 0 ? " " : "", plain ? "" : "'");
		for (const char *c = arg; *c != '\0'; c++) {
			if (*c == '\'')
				(void)buf_add_str(out, "'\\''");
			else
				(void)buf_add_char(out, *c);
		}
		(void)buf_add_str(out, plain ? "" : "'");
	}
}

/* "POST https://example.com/in?x=1 (5 bytes application/json, sha256 2cf24dba5fb0…)" */
static void
add_http(const char *target, const struct json *request, struct buf *out)
{
	const char *query = json_get_str(request, "query", "");
	const char *digest = json_get_str(request, "body_sha256", NULL);
	int64_t bytes = json_get_int(request, "body_bytes", 0);
	(void)buf_addf(out, "%s %s%s%s%s", json_get_str(request, "method", "?"), target,
	    json_get_str(request, "path", "?"), query[0] != '\0' ? "?" : "", query);
	const char *upgrade = json_get_str(json_get(request, "headers"), "upgrade", NULL);
	if (upgrade != NULL)
		(void)buf_addf(out, " and change to %s, which is not read", upgrade);
	if (bytes == 0)
		return;
	const char *type = json_get_str(json_get(request, "headers"), "content-type", "");
	(void)buf_addf(out, " (%lld bytes%s%s", (long long)bytes, type[0] != '\0' ? " " : "", type);
	if (digest != NULL)
		(void)buf_addf(out, ", sha256 %.12s…", digest);
	(void)buf_add_str(out, ")");
}

/* "push to git.example.com/acme/app: agent/x, main (forced), old (deleted)" */
static void
add_git(const char *target, const struct json *request, struct buf *out)
{
	const struct json *refs = json_get(request, "refs");
	bool push = strcmp(json_get_str(request, "operation", ""), "push") == 0;
	(void)buf_addf(out, "%s %s", push ? "push to" : "fetch", target);
	for (size_t i = 0; push && i < json_len(refs); i++) {
		const struct json *ref = json_at(refs, i);
		const char *name = json_get_str(ref, "name", "?");
		const char *to = json_get_str(ref, "new", "");
		if (strncmp(name, "refs/heads/", 11) == 0)
			name += 11;
		(void)buf_addf(out, "%s%s", i == 0 ? ": " : ", ", name);
		if (json_get_bool(ref, "delete", false))
			(void)buf_add_str(out, " (deleted)");
		else if (to[0] != '\0')
			(void)buf_addf(out, " %s%.12s",
			    json_get_bool(ref, "force", false) ? "forced to " : "to ", to);
		else if (json_get_bool(ref, "force", false))
			(void)buf_add_str(out, " (forced)");
	}
}

void
review_text_command(
    const char *kind, const char *target, const struct json *request, struct buf *out)
{
	if (strcmp(kind, "exec") == 0)
		add_argv(json_get(request, "argv"), out);
	else if (strcmp(kind, "sql") == 0)
		(void)buf_add_str(out, json_get_str(request, "text", target));
	else if (strcmp(kind, "http") == 0)
		add_http(target, request, out);
	else if (strcmp(kind, "file") == 0)
		(void)buf_addf(out, "%s %zu paths in %s", json_get_str(request, "operation", "?"),
		    json_len(json_get(request, "paths")), target);
	else if (strcmp(kind, "git") == 0)
		add_git(target, request, out);
	else if (strcmp(kind, "net") == 0)
		(void)buf_addf(out, "connect to %s", target);
	else
		(void)buf_addf(out, "%s %s", kind, target);
}

/* ---- details ---- */

static void
add_detail(struct json *lines, const char *what, const char *value)
{
	char line[512];
	(void)snprintf(line, sizeof(line), "%.80s%.400s", what, value);
	(void)json_push(lines, json_new_string(line));
}

static void
add_headers(const struct json *request, struct json *lines)
{
	const struct json *headers = json_get(request, "headers");
	for (size_t i = 0; i < json_len(headers); i++) {
		char what[80];
		(void)snprintf(what, sizeof(what), "header %.60s: ", json_name_at(headers, i));
		add_detail(lines, what, json_str(json_at(headers, i), ""));
	}
}

static void
add_refs(const struct json *request, struct json *lines)
{
	const struct json *refs = json_get(request, "refs");
	for (size_t i = 0; i < json_len(refs); i++) {
		const struct json *ref = json_at(refs, i);
		char change[200];
		(void)snprintf(change, sizeof(change), "%.64s → %.64s%s",
		    json_get_str(ref, "old", "?"),
		    json_get_bool(ref, "delete", false) ? "deleted" : json_get_str(ref, "new", "?"),
		    json_get_bool(ref, "force", false)
			? " (forced: not proved to follow from what was there)"
			: "");
		add_detail(lines, json_get_str(ref, "name", "?"), "");
		add_detail(lines, "  ", change);
	}
}

struct json *
review_text_details(const char *kind, const struct json *request)
{
	struct json *lines = json_new_array();
	if (strcmp(kind, "http") == 0) {
		add_headers(request, lines);
		const char *digest = json_get_str(request, "body_sha256", NULL);
		if (digest != NULL)
			add_detail(lines, "body sha256 ", digest);
	} else if (strcmp(kind, "git") == 0) {
		add_refs(request, lines);
	} else if (strcmp(kind, "net") == 0) {
		add_detail(lines, "what the connection carries is not read", "");
	}
	return lines;
}
