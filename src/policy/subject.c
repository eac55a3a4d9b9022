/* Reading an action record once, for matching and risk. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/index.h"
#include "policy/network.h"
#include "policy/patterns.h"

/* A string member that is present and holds no NUL, else NULL. */
static const char *
text_member(const struct json *object, const char *name)
{
	const struct json *v = json_get(object, name);
	const char *text = json_str(v, NULL);
	return text != NULL && strlen(text) == json_str_len(v) ? text : NULL;
}

static void
add_key(struct subject *s, const char *text, size_t len)
{
	s->keys[s->n_keys++] = index_key(text, len);
}

static const char *
read_exec(struct subject *s)
{
	s->program = text_member(s->request, "program");
	s->resolved = text_member(s->request, "resolved");
	s->argv = json_get(s->request, "argv");
	s->env = json_get(s->request, "env");
	if (s->program == NULL || json_type(s->argv) != JSON_ARRAY)
		return "exec needs a program and argv";
	s->n_args = json_len(s->argv);
	for (size_t i = 0; i < s->n_args; i++) {
		const struct json *arg = json_at(s->argv, i);
		const char *text = json_str(arg, NULL);
		if (text == NULL || strlen(text) != json_str_len(arg))
			return "argv must be texts without NUL";
		if (i < SUBJECT_ARGS)
			s->args[i] = text;
	}
	const char *folded = exec_fold_path(s->program);
	add_key(s, folded, strlen(folded));
	if (s->resolved != NULL && strcmp(s->resolved, s->program) != 0) {
		folded = exec_fold_path(s->resolved);
		add_key(s, folded, strlen(folded));
	}
	return NULL;
}

static const char *
read_host(struct subject *s)
{
	s->host = text_member(s->request, "host");
	if (s->host == NULL)
		return "the host is missing";
	s->host_plain = host_is_plain(s->host);
	int usual = network_port_of(json_get_str(s->request, "scheme", ""));
	s->port = json_get_int(s->request, "port", s->kind == ACTION_NET ? 0 : usual);
	if (s->host_plain)
		add_key(s, s->host, strlen(s->host));
	return NULL;
}

static const char *
read_file(struct subject *s)
{
	const struct json *paths = json_get(s->request, "paths");
	if (json_type(paths) != JSON_ARRAY)
		return "the paths are missing";
	int64_t named = (int64_t)json_len(paths);
	s->paths_known = json_get_int(json_get(s->action, "facts"), "changes", named) == named;
	return NULL;
}

static const char *
read_sql(struct subject *s)
{
	const char *database = text_member(s->request, "database");
	if (database == NULL)
		return "the database is missing";
	add_key(s, database, strlen(database));
	return NULL;
}

/* A fact of the wrong type is no fact: what inspection meant is not known, so nothing is decided. */
static bool
read_flag(const struct json *object, const char *name, bool *ret)
{
	const struct json *v = json_get(object, name);
	*ret = json_bool(v, false);
	return v == NULL || json_type(v) == JSON_BOOL;
}

static bool
read_count(const struct json *object, const char *name, int64_t *ret)
{
	const struct json *v = json_get(object, name);
	*ret = json_int(v, -1);
	return v == NULL || (json_type(v) == JSON_INT && *ret >= 0);
}

static const char *
read_facts(struct subject *s, const struct json *action)
{
	const struct json *facts = json_get(action, "facts");
	bool good = facts == NULL || json_type(facts) == JSON_OBJECT;
	good = read_count(facts, "rows_estimated", &s->rows_estimated) && good;
	good = read_count(facts, "table_rows", &s->table_rows) && good;
	good = read_flag(facts, "first_seen", &s->first_seen) && good;
	good = read_flag(facts, "burst", &s->burst) && good;
	good = read_flag(facts, "outside_hours", &s->outside_hours) && good;
	good = read_flag(facts, "recursive", &s->recursive) && good;
	good = read_flag(action, "opaque", &s->opaque) && good;
	good = read_flag(action, "reversible", &s->reversible) && good;
	return good ? NULL : "a fact about it is not of its type";
}

static const char *
read_request(struct subject *s)
{
	switch (s->kind) {
	case ACTION_EXEC:
		return read_exec(s);
	case ACTION_SQL:
		return read_sql(s);
	case ACTION_NET:
	case ACTION_HTTP:
	case ACTION_GIT:
		return read_host(s);
	case ACTION_FILE:
		return read_file(s);
	case ACTION_TOOL:
	case ACTION_MODEL:
	case ACTION_KINDS:
		break;
	}
	return NULL;
}

int
subject_read(struct subject *s, const struct json *action, char *why, size_t why_size)
{
	memset(s, 0, sizeof(*s));
	s->action = action;
	s->request = json_get(action, "request");
	int kind = action_kind_parse(json_get_str(action, "kind", ""));
	/* An effect that nobody named is the worst one. */
	const struct json *named = json_get(action, "effect");
	int effect = named == NULL ? EFFECT_PRIVILEGED : action_effect_parse(json_str(named, ""));
	const char *wrong = NULL;
	if (kind < 0)
		wrong = "its kind is not known";
	else if (json_type(s->request) != JSON_OBJECT)
		wrong = "it has no request";
	else if (effect < 0)
		wrong = "its effect is not known";
	if (wrong == NULL) {
		s->kind = (enum action_kind)kind;
		s->effect = (enum action_effect)effect;
		wrong = read_facts(s, action);
	}
	if (wrong == NULL)
		wrong = read_request(s);
	if (wrong == NULL)
		return 0;
	(void)snprintf(why, why_size, "the action cannot be decided: %s", wrong);
	return -EINVAL;
}
