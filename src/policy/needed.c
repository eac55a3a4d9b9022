/* What a denied agent, and the person who writes its policy, learns: the smallest rule that would
 * have permitted the action. Argument text is quoted only where it names a thing; never values. */
#include "policy/needed.h"

#include <stdio.h>
#include <string.h>

/* The first argument that is no option: a likely subcommand. */
static const char *
first_word(const struct json *argv)
{
	for (size_t i = 1; i < json_len(argv); i++) {
		const char *arg = json_str(json_at(argv, i), "");
		if (arg[0] != '-')
			return arg;
	}
	return NULL;
}

/* The operations beside push, and the branches, of the refs that a push would change. */
static void
needed_git(const struct subject *s, const struct json *r, char *ret, size_t size)
{
	const struct json *refs = json_get(r, "refs");
	bool force = false, delete = false;
	_cleanup_buf_ struct buf branches;
	buf_init(&branches, 512);
	for (size_t i = 0; i < json_len(refs); i++) {
		const struct json *ref = json_at(refs, i);
		const char *name = json_get_str(ref, "name", "?");
		force = force || json_get_bool(ref, "force", false);
		delete = delete || json_get_bool(ref, "delete", false);
		if (i < 3)
			(void)buf_addf(&branches, "%s%.40s", i > 0 ? ", " : "",
			    strncmp(name, "refs/heads/", 11) == 0 ? name + 11 : name);
		else if (i == 3)
			(void)buf_add_str(&branches, ", …");
	}
	(void)snprintf(ret, size,
	    "a rule `allow: git` with hosts: [%.50s], repositories: [%.60s], operations: "
	    "[%.10s%s%s]%s%.90s%s",
	    s->host, json_get_str(r, "repository", "?"), json_get_str(r, "operation", "?"),
	    force ? ", force-push" : "", delete ? ", delete" : "",
	    branches.len > 0 ? " and branches: [" : "", buf_str(&branches),
	    branches.len > 0 ? "]" : "");
}

static void
needed_rule(const struct subject *s, char *ret, size_t size)
{
	const struct json *r = s->request;
	const struct json *statement = json_at(json_get(r, "statements"), 0);
	const char *word;
	switch (s->kind) {
	case ACTION_EXEC:
		word = first_word(s->argv);
		(void)snprintf(ret, size, "a rule `allow: exec` with program: %.100s%s%.40s%s",
		    s->program, word != NULL ? " that permits its arguments (" : "",
		    word != NULL ? word : "", word != NULL ? " …)" : "");
		break;
	case ACTION_NET:
		(void)snprintf(ret, size,
		    "a rule `allow: net` with hosts: [%.100s] and ports: [%lld]", s->host,
		    (long long)s->port);
		break;
	case ACTION_HTTP:
		(void)snprintf(ret, size,
		    "a rule `allow: http` with hosts: [%.80s], methods: [%.16s] and a "
		    "path like %.80s",
		    s->host, json_get_str(r, "method", "?"), json_get_str(r, "path", "?"));
		break;
	case ACTION_SQL:
		(void)snprintf(ret, size,
		    "a rule `allow: sql` with database: %.40s, statements: [%.20s] and "
		    "tables: [%.80s]",
		    json_get_str(r, "database", "?"), json_get_str(statement, "verb", "?"),
		    json_str(json_at(json_get(statement, "tables"), 0), "none"));
		break;
	case ACTION_TOOL:
		(void)snprintf(ret, size, "a rule `allow: tool` with tools: [%.100s]",
		    json_get_str(r, "tool", "?"));
		break;
	case ACTION_MODEL:
		(void)snprintf(ret, size,
		    "a rule `allow: model` with providers: [%.60s] and models: [%.80s]",
		    json_get_str(r, "provider", "?"), json_get_str(r, "model", "?"));
		break;
	case ACTION_GIT:
		needed_git(s, r, ret, size);
		break;
	case ACTION_FILE:
		(void)snprintf(ret, size,
		    "a rule `allow: file` with operations: [%.20s] and paths that cover "
		    "%.100s",
		    json_get_str(r, "operation", "?"),
		    json_str(json_at(json_get(r, "paths"), 0), "it"));
		break;
	case ACTION_KINDS:
		break;
	}
}

void
needed_for(const struct policy *policy, const struct subject *s, const struct rule *deny,
    struct decision *ret)
{
	if (deny != NULL)
		(void)snprintf(ret->needed, sizeof(ret->needed),
		    "rule %s would have to go or be narrowed: a deny wins over every other rule",
		    deny->name);
	else if (ret->rule != NULL)
		(void)snprintf(ret->needed, sizeof(ret->needed),
		    "a higher risk.deny_at than %lld, or an action of less risk than %d",
		    (long long)policy->risk.deny_at, ret->risk);
	else
		needed_rule(s, ret->needed, sizeof(ret->needed));
}
