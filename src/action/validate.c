/* The shape of a proposal, as data: one field table per kind. A member that no table names is
 * refused, so that nothing travels through the decision unread. Strings may not hold a NUL: what a
 * rule reads and what the kernel would see must be the same text. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "action/action.h"
#include "base/log.h"

#define TEXT_MAX (120 * 1024)
#define PATH_TEXT_MAX 4095
#define ARGV_ITEMS_MAX 4096
#define ARGV_BYTES_MAX (128 * 1024)

enum field_type {
	FIELD_TEXT,   /* MIN..MAX bytes */
	FIELD_PATH,   /* an absolute path */
	FIELD_CHOICE, /* one of CHOICES */
	FIELD_INT,    /* MIN..MAX */
	FIELD_BOOL,
	FIELD_TEXTS,    /* array of MIN..MAX strings */
	FIELD_TEXT_MAP, /* object of at most MAX strings */
	FIELD_OBJECT,   /* anything */
	FIELD_ANY,
	FIELD_RECORDS, /* array of at most MAX objects with the fields of TABLE */
};

enum need { OPTIONAL, REQUIRED };

struct field {
	const char *name;
	enum field_type type;
	enum need need;
	int64_t min, max;
	const char *const *choices;
	const struct field *table;
};

/* Where in the record we are, for messages: "request.argv[3]". */
struct place {
	const struct place *in; /* NULL: the record */
	const char *name;       /* of a member, or NULL */
	size_t item;            /* of an array, if there is no name */
};

#define PLACE_SIZE 96

static const char *const protocols[] = {"tcp", NULL};
static const char *const schemes[] = {"http", "https", NULL};
static const char *const git_operations[] = {"fetch", "push", NULL};
static const char *const file_operations[] = {"read", "write", "delete", "commit", NULL};
static const char *const effects[] = {"read", "write", "privileged", NULL};

static const struct field exec_fields[] = {
    {.name = "program", .type = FIELD_PATH, .need = REQUIRED},
    {.name = "resolved", .type = FIELD_PATH},
    {.name = "argv", .type = FIELD_TEXTS, .need = REQUIRED, .min = 1, .max = ARGV_ITEMS_MAX},
    {.name = "cwd", .type = FIELD_PATH},
    {.name = "env", .type = FIELD_TEXTS, .max = 1024},
    {0},
};

static const struct field net_fields[] = {
    {.name = "host", .type = FIELD_TEXT, .need = REQUIRED, .min = 1, .max = 253},
    {.name = "port", .type = FIELD_INT, .need = REQUIRED, .min = 1, .max = 65535},
    {.name = "protocol", .type = FIELD_CHOICE, .choices = protocols},
    {0},
};

static const struct field http_fields[] = {
    {.name = "scheme", .type = FIELD_CHOICE, .need = REQUIRED, .choices = schemes},
    {.name = "host", .type = FIELD_TEXT, .need = REQUIRED, .min = 1, .max = 253},
    {.name = "port", .type = FIELD_INT, .min = 1, .max = 65535},
    {.name = "method", .type = FIELD_TEXT, .need = REQUIRED, .min = 1, .max = 32},
    {.name = "path", .type = FIELD_PATH, .need = REQUIRED, .max = 8192},
    {.name = "query", .type = FIELD_TEXT, .max = 16384},
    {.name = "headers", .type = FIELD_TEXT_MAP, .max = 128},
    {.name = "body_bytes", .type = FIELD_INT, .min = -1, .max = JSON_INT_MAX},
    {.name = "body_sha256", .type = FIELD_TEXT, .min = 64, .max = 64},
    {0},
};

static const struct field sql_statement_fields[] = {
    {.name = "verb", .type = FIELD_TEXT, .need = REQUIRED, .min = 1, .max = 64},
    {.name = "tables", .type = FIELD_TEXTS, .max = 1024},
    {.name = "columns", .type = FIELD_TEXTS, .max = 4096},
    {.name = "functions", .type = FIELD_TEXTS, .max = 1024},
    {.name = "where", .type = FIELD_BOOL},
    {0},
};

static const struct field sql_fields[] = {
    {.name = "database", .type = FIELD_TEXT, .need = REQUIRED, .min = 1, .max = 128},
    {.name = "text", .type = FIELD_TEXT, .need = REQUIRED, .min = 1, .max = TEXT_MAX},
    {.name = "statements", .type = FIELD_RECORDS, .max = 256, .table = sql_statement_fields},
    {0},
};

static const struct field tool_fields[] = {
    {.name = "tool", .type = FIELD_TEXT, .need = REQUIRED, .min = 1, .max = 128},
    {.name = "arguments", .type = FIELD_OBJECT},
    {0},
};

static const struct field model_fields[] = {
    {.name = "provider", .type = FIELD_TEXT, .need = REQUIRED, .min = 1, .max = 128},
    {.name = "model", .type = FIELD_TEXT, .need = REQUIRED, .min = 1, .max = 128},
    {.name = "tokens", .type = FIELD_INT, .max = JSON_INT_MAX},
    {0},
};

static const struct field git_ref_fields[] = {
    {.name = "name", .type = FIELD_TEXT, .need = REQUIRED, .min = 1, .max = 1024},
    {.name = "force", .type = FIELD_BOOL},
    {.name = "delete", .type = FIELD_BOOL},
    {.name = "create", .type = FIELD_BOOL},
    {.name = "old", .type = FIELD_TEXT, .max = 64},
    {.name = "new", .type = FIELD_TEXT, .max = 64},
    {0},
};

static const struct field git_fields[] = {
    {.name = "scheme", .type = FIELD_CHOICE, .choices = schemes},
    {.name = "host", .type = FIELD_TEXT, .need = REQUIRED, .min = 1, .max = 253},
    {.name = "port", .type = FIELD_INT, .min = 1, .max = 65535},
    {.name = "repository", .type = FIELD_TEXT, .need = REQUIRED, .min = 1, .max = 1024},
    {.name = "operation", .type = FIELD_CHOICE, .need = REQUIRED, .choices = git_operations},
    {.name = "refs", .type = FIELD_RECORDS, .max = 1024, .table = git_ref_fields},
    {0},
};

static const struct field file_fields[] = {
    {.name = "operation", .type = FIELD_CHOICE, .need = REQUIRED, .choices = file_operations},
    {.name = "paths", .type = FIELD_TEXTS, .need = REQUIRED, .max = 16384},
    {.name = "bytes", .type = FIELD_INT, .max = JSON_INT_MAX},
    {.name = "content", .type = FIELD_TEXT, .min = 64, .max = 64},
    {0},
};

static const struct field *const kind_fields[ACTION_KINDS] = {
    [ACTION_EXEC] = exec_fields,
    [ACTION_NET] = net_fields,
    [ACTION_HTTP] = http_fields,
    [ACTION_SQL] = sql_fields,
    [ACTION_TOOL] = tool_fields,
    [ACTION_MODEL] = model_fields,
    [ACTION_GIT] = git_fields,
    [ACTION_FILE] = file_fields,
};

/* The record around the request. What the arbiter writes later is its own affair; a proposal that
 * brings it along is overwritten, never believed. */
static const struct field record_fields[] = {
    {.name = "id", .type = FIELD_TEXT, .max = 128},
    {.name = "task", .type = FIELD_TEXT, .max = 128},
    {.name = "sandbox", .type = FIELD_TEXT, .max = 128},
    {.name = "tenant", .type = FIELD_TEXT, .max = 128},
    {.name = "principal", .type = FIELD_ANY},
    {.name = "plan", .type = FIELD_TEXT, .max = 128},
    {.name = "step", .type = FIELD_ANY},
    {.name = "correlation_id", .type = FIELD_TEXT, .max = 128},
    {.name = "idempotency_key", .type = FIELD_TEXT, .max = 128},
    {.name = "kind", .type = FIELD_TEXT, .need = REQUIRED, .min = 1, .max = 32},
    {.name = "target", .type = FIELD_TEXT, .need = REQUIRED, .min = 1, .max = 4096},
    {.name = "request", .type = FIELD_OBJECT, .need = REQUIRED},
    {.name = "effect", .type = FIELD_CHOICE, .choices = effects},
    {.name = "reversible", .type = FIELD_BOOL},
    {.name = "opaque", .type = FIELD_BOOL},
    {.name = "impact", .type = FIELD_OBJECT},
    {.name = "facts", .type = FIELD_OBJECT},
    {.name = "digest", .type = FIELD_ANY},
    {.name = "policy", .type = FIELD_ANY},
    {.name = "decision", .type = FIELD_ANY},
    {.name = "rule", .type = FIELD_ANY},
    {.name = "reasons", .type = FIELD_ANY},
    {.name = "risk", .type = FIELD_ANY},
    {.name = "approvals", .type = FIELD_ANY},
    {.name = "grant", .type = FIELD_ANY},
    {.name = "epoch", .type = FIELD_ANY},
    {.name = "state", .type = FIELD_ANY},
    {.name = "times", .type = FIELD_ANY},
    {.name = "outcome", .type = FIELD_ANY},
    {0},
};

static int check_fields(const struct json *object, const struct field *table,
    const struct place *place, struct error *err);

/* Names may be the proposer's own text: they are escaped, because messages are read on terminals. */
static void
place_text(const struct place *at, char ret[PLACE_SIZE])
{
	char around[PLACE_SIZE] = "", shown[40];
	ret[0] = 0;
	if (at->in == NULL)
		return;
	place_text(at->in, around);
	if (at->name == NULL) {
		(void)snprintf(ret, PLACE_SIZE, "%.70s[%zu]", around, at->item);
		return;
	}
	log_escape(at->name, strlen(at->name), shown, sizeof(shown));
	(void)snprintf(ret, PLACE_SIZE, "%.50s%s%s", around, around[0] == 0 ? "" : ".", shown);
}

static int
refuse(struct error *err, const struct place *place, const char *reason)
{
	char text[PLACE_SIZE];
	place_text(place, text);
	return error_set(err, EINVAL, "action_invalid", "action: %s: %s", text, reason);
}

static int
check_text(
    const struct json *v, int64_t min, int64_t max, const struct place *at, struct error *err)
{
	if (json_type(v) != JSON_STRING)
		return refuse(err, at, "must be a string");
	int64_t len = (int64_t)json_str_len(v);
	if (len < min)
		return refuse(err, at, "must not be empty");
	if (len > max)
		return refuse(err, at, "is too long");
	if (strlen(json_str(v, "")) != (size_t)len)
		return refuse(err, at, "contains a NUL byte");
	return 0;
}

static int
check_path(const struct json *v, const struct field *f, const struct place *at, struct error *err)
{
	int r = check_text(v, 1, f->max > 0 ? f->max : PATH_TEXT_MAX, at, err);
	if (r == 0 && json_str(v, "")[0] != '/')
		r = refuse(err, at, "must be an absolute path");
	return r;
}

static int
check_choice(const struct json *v, const struct field *f, const struct place *at, struct error *err)
{
	for (const char *const *c = f->choices; *c != NULL; c++)
		if (strcmp(json_str(v, ""), *c) == 0)
			return 0;
	return refuse(err, at, "is not one of the known values");
}

static int
check_int(const struct json *v, const struct field *f, const struct place *at, struct error *err)
{
	if (json_type(v) != JSON_INT)
		return refuse(err, at, "must be an integer");
	int64_t value = json_int(v, 0);
	return value < f->min || value > f->max ? refuse(err, at, "is out of range") : 0;
}

/* Elements of an array or members of an object, each a string; all together bounded. */
static int
check_texts(const struct json *v, const struct field *f, const struct place *at, struct error *err)
{
	int64_t n = (int64_t)json_len(v);
	if (n < f->min)
		return refuse(err, at, "has too few items");
	if (n > f->max)
		return refuse(err, at, "has too many items");
	size_t total = 0;
	for (size_t i = 0; i < json_len(v); i++) {
		struct place item = {.in = at, .item = i};
		int r = check_text(json_at(v, i), 0, ARGV_BYTES_MAX, &item, err);
		if (r < 0)
			return r;
		total += json_str_len(json_at(v, i)) + 1;
	}
	return total > ARGV_BYTES_MAX ? refuse(err, at, "is too long in all") : 0;
}

static int
check_records(
    const struct json *v, const struct field *f, const struct place *at, struct error *err)
{
	if (json_type(v) != JSON_ARRAY)
		return refuse(err, at, "must be an array");
	if ((int64_t)json_len(v) > f->max)
		return refuse(err, at, "has too many items");
	for (size_t i = 0; i < json_len(v); i++) {
		struct place item = {.in = at, .item = i};
		int r = check_fields(json_at(v, i), f->table, &item, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int
check_field(const struct json *v, const struct field *f, const struct place *at, struct error *err)
{
	switch (f->type) {
	case FIELD_TEXT:
		return check_text(v, f->min, f->max, at, err);
	case FIELD_PATH:
		return check_path(v, f, at, err);
	case FIELD_CHOICE:
		return check_choice(v, f, at, err);
	case FIELD_INT:
		return check_int(v, f, at, err);
	case FIELD_BOOL:
		return json_type(v) == JSON_BOOL ? 0 : refuse(err, at, "must be true or false");
	case FIELD_TEXTS:
		if (json_type(v) != JSON_ARRAY)
			return refuse(err, at, "must be an array");
		return check_texts(v, f, at, err);
	case FIELD_TEXT_MAP:
		if (json_type(v) != JSON_OBJECT)
			return refuse(err, at, "must be an object");
		return check_texts(v, f, at, err);
	case FIELD_OBJECT:
		return json_type(v) == JSON_OBJECT ? 0 : refuse(err, at, "must be an object");
	case FIELD_ANY:
		return 0;
	case FIELD_RECORDS:
		return check_records(v, f, at, err);
	}
	return -EINVAL;
}

static const struct field *
find_field(const struct field *table, const char *name)
{
	for (; table->name != NULL; table++)
		if (strcmp(table->name, name) == 0)
			return table;
	return NULL;
}

static int
check_fields(const struct json *object, const struct field *table, const struct place *place,
    struct error *err)
{
	if (json_type(object) != JSON_OBJECT)
		return refuse(err, place, "must be an object");
	for (size_t i = 0; i < json_len(object); i++) {
		struct place at = {.in = place, .name = json_name_at(object, i)};
		const struct field *f = find_field(table, json_name_at(object, i));
		if (f == NULL)
			return refuse(err, &at, "unknown member");
		const struct json *value = json_at(object, i);
		if (f->need == OPTIONAL && json_type(value) == JSON_NULL)
			continue; /* as if absent */
		int r = check_field(value, f, &at, err);
		if (r < 0)
			return r;
	}
	for (const struct field *f = table; f->name != NULL; f++)
		if (f->need == REQUIRED && json_get(object, f->name) == NULL) {
			struct place at = {.in = place, .name = f->name};
			return refuse(err, &at, "is missing");
		}
	return 0;
}

int
action_validate(const struct json *action, struct error *err)
{
	struct place record = {0};
	struct place request = {.in = &record, .name = "request"},
		     kind_place = {.in = &record, .name = "kind"};
	if (json_type(action) != JSON_OBJECT)
		return error_set(err, EINVAL, "action_invalid", "action: must be an object");
	int r = check_fields(action, record_fields, &record, err);
	if (r < 0)
		return r;
	int kind = action_kind_parse(json_get_str(action, "kind", NULL));
	if (kind < 0)
		return refuse(err, &kind_place, "is not a kind of action");
	return check_fields(json_get(action, "request"), kind_fields[kind], &request, err);
}
