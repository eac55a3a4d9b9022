/* Running the examples of a policy file.
 *
 * An example is a short way to write an action record. Programs may be written by their bare name:
 * nothing is looked up on this machine (loading is pure), so the name means the program of that name
 * that the rules mention, else /usr/bin/NAME. */
#include "policy/example.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/example_sql.h"

/* ---- one builder per kind ---- */

/* The program that a bare NAME means; NULL if rules mention several of that name. */
static const char *
find_program(const struct policy *policy, const char *name, char *fallback, size_t size)
{
	const char *found = NULL;
	for (size_t i = 0; i < policy->n_rules; i++) {
		const struct list *programs = &policy->rules[i].programs;
		for (size_t k = 0; k < programs->n; k++) {
			const char *slash = strrchr(programs->items[k], '/');
			if (slash == NULL || strcmp(slash + 1, name) != 0)
				continue;
			if (found != NULL && strcmp(found, programs->items[k]) != 0)
				return NULL;
			found = programs->items[k];
		}
	}
	if (found != NULL)
		return found;
	(void)snprintf(fallback, size, "/usr/bin/%s", name);
	return fallback;
}

static const char *
build_exec(const struct policy *policy, const struct example *e, struct json *request)
{
	char fallback[300];
	const char *name = e->exec.items[0], *program = name;
	if (name[0] != '/') {
		if (strchr(name, '/') != NULL || strlen(name) > 200)
			return "expected a program's name or its absolute path";
		program = find_program(policy, name, fallback, sizeof(fallback));
		if (program == NULL)
			return "rules name several programs of that name; write the whole path";
	}
	struct json *argv = json_new_array();
	for (size_t i = 0; i < e->exec.n; i++)
		(void)json_push(argv, json_new_string(e->exec.items[i]));
	(void)json_set_str(request, "program", program);
	(void)json_set_str(request, "resolved", program);
	(void)json_set_str(request, "cwd", "/");
	(void)json_set(request, "argv", argv);
	(void)json_set(request, "env", json_new_array());
	return NULL;
}

/* Splits "host:port" ("[::1]:443") at its last colon; *RET_PORT stays if there is none. */
static bool
split_port(const char *text, size_t len, struct json *request, int64_t *ret_port)
{
	size_t host = len;
	for (size_t i = len; i > 0 && text[i - 1] != ']'; i--) {
		if (text[i - 1] != ':')
			continue;
		host = i - 1;
		*ret_port = 0;
		for (; i < len; i++) {
			if (text[i] < '0' || text[i] > '9' || *ret_port > 65535)
				return false;
			*ret_port = *ret_port * 10 + (text[i] - '0');
		}
		break;
	}
	(void)json_set(request, "host", json_new_string_n(text, host));
	(void)json_set_int(request, "port", *ret_port);
	return host > 0 && *ret_port > 0 && *ret_port <= 65535;
}

static const char *
build_net(const struct example *e, struct json *request)
{
	int64_t port = 0;
	if (!split_port(e->net, strlen(e->net), request, &port))
		return "expected host:port";
	(void)json_set_str(request, "protocol", "tcp");
	return NULL;
}

static const char *
build_http(const struct example *e, struct json *request)
{
	static const char expected[] = "expected METHOD https://host/path";
	size_t method = strcspn(e->http, " ");
	const char *url = e->http + method + (e->http[method] == ' ');
	bool tls = strncmp(url, "https://", 8) == 0;
	if (method == 0 || (!tls && strncmp(url, "http://", 7) != 0))
		return expected;
	const char *host = url + (tls ? 8 : 7);
	size_t len = strcspn(host, "/?#");
	int64_t port = tls ? 443 : 80;
	if (!split_port(host, len, request, &port))
		return expected;
	const char *path = host + len;
	size_t path_len = strcspn(path, "?#");
	(void)json_set(request, "method", json_new_string_n(e->http, method));
	(void)json_set_str(request, "scheme", tls ? "https" : "http");
	(void)json_set(request, "path",
	    path_len > 0 ? json_new_string_n(path, path_len) : json_new_string("/"));
	(void)json_set_str(request, "query", path[path_len] == '?' ? path + path_len + 1 : "");
	(void)json_set(request, "headers", json_new_object());
	(void)json_set_int(request, "body_bytes", MAX(e->body_bytes, (int64_t)0));
	return NULL;
}

static const char *
build_sql(const struct example *e, struct json *request)
{
	if (e->database == NULL)
		return "\"database\" is missing";
	struct json *statements = NULL;
	const char *wrong = example_sql_read(e->sql, &statements);
	(void)json_set_str(request, "database", e->database);
	(void)json_set_str(request, "text", e->sql);
	(void)json_set(request, "statements", wrong == NULL ? statements : json_new_array());
	return wrong;
}

static const char *
build_tool(const struct example *e, struct json *request)
{
	(void)json_set_str(request, "tool", e->tool);
	(void)json_set(request, "arguments",
	    e->arguments != NULL ? tree_json(e->arguments) : json_new_object());
	return e->arguments == NULL || e->arguments->type == NODE_MAP
	    ? NULL
	    : "arguments: expected a mapping";
}

static const char *
build_model(const struct example *e, struct json *request)
{
	const char *slash = strchr(e->model, '/');
	if (slash == NULL || slash == e->model || slash[1] == 0)
		return "expected provider/model";
	(void)json_set(
	    request, "provider", json_new_string_n(e->model, (size_t)(slash - e->model)));
	(void)json_set_str(request, "model", slash + 1);
	(void)json_set_int(request, "tokens", MAX(e->tokens, (int64_t)0));
	return NULL;
}

/* "push github.com/acme/app main", "fetch http://git.example:8080/acme/app" */
static const char *
build_git(const struct example *e, struct json *request)
{
	static const char expected[] =
	    "expected fetch|push|force-push|delete host[:port]/repository [branch]";
	char words[3][200] = {"", "", ""};
	if (strlen(e->git) >= sizeof(words[0]) ||
	    sscanf(e->git, "%199s %199s %199s", words[0], words[1], words[2]) < 2)
		return expected;
	bool plain = strncmp(words[1], "http://", 7) == 0;
	const char *host = words[1] + (plain ? 7 : strncmp(words[1], "https://", 8) == 0 ? 8 : 0);
	int64_t port = plain ? 80 : 443;
	const char *slash = strchr(host, '/');
	bool force = strcmp(words[0], "force-push") == 0, gone = strcmp(words[0], "delete") == 0;
	bool fetch = strcmp(words[0], "fetch") == 0, push = strcmp(words[0], "push") == 0;
	if (slash == NULL || slash[1] == 0 || !(force || gone || fetch || push))
		return expected;
	struct json *refs = json_new_array();
	if (words[2][0] != 0) {
		struct json *ref = json_new_object();
		char name[220];
		(void)snprintf(name, sizeof(name), "%s%s",
		    strncmp(words[2], "refs/", 5) == 0 ? "" : "refs/heads/", words[2]);
		(void)json_set_str(ref, "name", name);
		(void)json_set_bool(ref, "force", force);
		(void)json_set_bool(ref, "delete", gone);
		(void)json_push(refs, ref);
	}
	if (!split_port(host, (size_t)(slash - host), request, &port)) {
		json_free(refs);
		return expected;
	}
	(void)json_set_str(request, "scheme", plain ? "http" : "https");
	(void)json_set_str(request, "repository", slash + 1);
	(void)json_set_str(request, "operation", fetch ? "fetch" : "push");
	(void)json_set(request, "refs", refs);
	return words[2][0] == 0 && (force || gone) ? expected : NULL;
}

static const char *
build_file(const struct example *e, struct json *request)
{
	size_t operation = strcspn(e->file, " ");
	if (operation == 0 || e->file[operation] == 0 || e->file[operation + 1] == 0)
		return "expected read|write|delete|commit path";
	struct json *paths = json_new_array();
	(void)json_push(paths, json_new_string(e->file + operation + 1));
	(void)json_set(request, "operation", json_new_string_n(e->file, operation));
	(void)json_set(request, "paths", paths);
	(void)json_set_int(request, "bytes", MAX(e->bytes, (int64_t)0));
	return NULL;
}

/* ---- the record around it ---- */

/* What an example of KIND does unless it says so itself. */
static const char *
guess_effect(enum action_kind kind, const struct json *request)
{
	const char *what = json_get_str(request, kind == ACTION_HTTP ? "method" : "operation", "");
	if (kind == ACTION_SQL)
		return example_sql_effect(json_get(request, "statements"));
	if (kind == ACTION_MODEL)
		return "read";
	bool read = strcmp(what, "GET") == 0 || strcmp(what, "HEAD") == 0 ||
	    strcmp(what, "OPTIONS") == 0 || strcmp(what, "read") == 0 || strcmp(what, "fetch") == 0;
	return read ? "read" : "write";
}

static struct json *
facts_json(const struct facts *facts)
{
	struct json *v = json_new_object();
	if (facts->rows_estimated >= 0)
		(void)json_set_int(v, "rows_estimated", facts->rows_estimated);
	if (facts->table_rows >= 0)
		(void)json_set_int(v, "table_rows", facts->table_rows);
	const struct {
		const char *name;
		int64_t value;
	} flags[] = {{"first_seen", facts->first_seen}, {"burst", facts->burst},
	    {"outside_hours", facts->outside_hours}, {"recursive", facts->recursive}};
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (flags[i].value >= 0)
			(void)json_set_bool(v, flags[i].name, flags[i].value == 1);
	return v;
}

/* Which kind EXAMPLE is of, or -1 unless it is exactly one. */
static int
example_kind(const struct example *e)
{
	const bool given[ACTION_KINDS] = {[ACTION_EXEC] = e->exec.n > 0,
	    [ACTION_NET] = e->net != NULL,
	    [ACTION_HTTP] = e->http != NULL,
	    [ACTION_SQL] = e->sql != NULL,
	    [ACTION_TOOL] = e->tool != NULL,
	    [ACTION_MODEL] = e->model != NULL,
	    [ACTION_GIT] = e->git != NULL,
	    [ACTION_FILE] = e->file != NULL};
	int kind = -1;
	unsigned n = 0;
	for (int i = 0; i < ACTION_KINDS; i++)
		if (given[i])
			kind = i, n++;
	return n == 1 && e->action == NULL ? kind : -1;
}

static const char *
build_request(enum action_kind kind, const struct policy *policy, const struct example *e,
    struct json *request)
{
	switch (kind) {
	case ACTION_EXEC:
		return build_exec(policy, e, request);
	case ACTION_NET:
		return build_net(e, request);
	case ACTION_HTTP:
		return build_http(e, request);
	case ACTION_SQL:
		return build_sql(e, request);
	case ACTION_TOOL:
		return build_tool(e, request);
	case ACTION_MODEL:
		return build_model(e, request);
	case ACTION_GIT:
		return build_git(e, request);
	case ACTION_FILE:
		return build_file(e, request);
	case ACTION_KINDS:
		break;
	}
	return "no such kind";
}

int
example_action(const struct field_reader *rd, const struct policy *policy, const struct example *e,
    struct json **ret)
{
	int kind = example_kind(e);
	if (e->action != NULL && kind < 0 && e->exec.n == 0) {
		_cleanup_json_ struct json *whole = tree_json(e->action);
		struct error why;
		if (action_validate(whole, &why) < 0)
			return field_error(rd, e->action, "action: %s", why.message);
		*ret = TAKE_PTR(whole);
		return 0;
	}
	if (kind < 0)
		return field_error(rd, e->node,
		    "expected exactly one of exec, net, http, sql, tool, model, git, file and "
		    "action");
	_cleanup_json_ struct json *action = json_new_object();
	struct json *request = json_new_object();
	const char *wrong = build_request((enum action_kind)kind, policy, e, request);
	const char *effect = e->effect >= 0 ? action_effect_name((enum action_effect)e->effect)
					    : guess_effect((enum action_kind)kind, request);
	(void)json_set_str(action, "kind", kind_names[kind]);
	(void)json_set_str(action, "target", kind_names[kind]);
	(void)json_set_str(action, "effect", effect);
	(void)json_set_bool(action, "opaque", e->opaque == 1);
	(void)json_set(action, "facts", facts_json(&e->facts));
	/* A command in a sandbox leaves nothing behind. */
	(void)json_set_bool(action, "reversible", kind == ACTION_EXEC);
	int r = json_set(action, "request", request);
	if (wrong != NULL)
		return field_error(rd, e->node, "%s: %s", kind_names[kind], wrong);
	if (r < 0)
		return error_set(rd->err, ENOMEM, "out_of_memory", "%s: out of memory", rd->file);
	*ret = TAKE_PTR(action);
	return 0;
}

static int
check_decision(const struct field_reader *rd, const struct example *e, const struct decision *d)
{
	if ((int64_t)d->verdict != e->is)
		return field_error(rd, e->node, "expected %s, but it is %s (%.150s)",
		    verdict_words[e->is], verdict_name(d->verdict), d->reason);
	if (e->by != NULL && (d->rule == NULL || strcmp(e->by, d->rule) != 0))
		return field_error(rd, e->node, "expected rule %s to decide, but it is %s", e->by,
		    d->rule != NULL ? d->rule : "none");
	if (e->risk != FIELD_UNSET && e->risk != d->risk)
		return field_error(
		    rd, e->node, "expected risk %lld, but it is %d", (long long)e->risk, d->risk);
	return 0;
}

static int
add_result(const struct field_reader *rd, const struct example *e, const struct decision *d,
    int failed, struct json *results)
{
	struct json *v = json_new_object();
	(void)json_set_int(v, "line", e->node->line);
	(void)json_set_str(v, "expected", verdict_words[e->is]);
	(void)json_set_str(v, "got", verdict_name(d->verdict));
	(void)json_set_str(v, "rule", d->rule);
	(void)json_set_bool(v, "ok", failed == 0);
	(void)json_set_str(v, "message", failed == 0 || rd->err == NULL ? "" : rd->err->message);
	return json_push(results, v) < 0 ? -ENOMEM : 0;
}

static int
run_example(struct field_reader *rd, const struct policy *policy, const struct example *e,
    struct json *results)
{
	struct decision decision;
	_cleanup_json_ struct json *action = NULL;
	int r = example_action(rd, policy, e, &action);
	if (r < 0)
		return r;
	policy_decide(policy, action, &decision);
	r = check_decision(rd, e, &decision);
	return results != NULL ? add_result(rd, e, &decision, r, results) : r;
}

int
examples_run(struct field_reader *rd, struct policy *policy, struct json *results)
{
	struct example *examples = policy->tests_read.items;
	const struct node *list = tree_get(policy->tree, "tests");
	const struct node *node = list != NULL ? list->first : NULL;
	for (size_t i = 0; i < policy->tests_read.n; i++, node = node->next) {
		assert(node != NULL); /* one node per example, by field_read */
		examples[i].node = node;
		(void)snprintf(rd->path, sizeof(rd->path), "tests[%zu]", i);
		int r = run_example(rd, policy, &examples[i], results);
		if (r < 0)
			return r;
	}
	rd->path[0] = 0;
	return 0;
}
