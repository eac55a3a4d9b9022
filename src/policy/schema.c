/* The JSON Schema (draft 7) of a policy file, from the same field table that the loader reads by.
 *
 * It is for editors: what it accepts may still be refused by the loader (patterns of hosts, names that
 * stand twice, examples that fail), but what the loader accepts, written with the types that YAML
 * gives to plain numbers and words, it accepts. */
#include <string.h>

#include "policy/model.h"

static struct json *shape_schema(const struct shape *shape);

static struct json *
typed(const char *type)
{
	struct json *v = json_new_object();
	(void)json_set_str(v, "type", type);
	return v;
}

static struct json *
names_json(const char *const *names)
{
	struct json *array = json_new_array();
	for (; *names != NULL; names++)
		(void)json_push(array, json_new_string(*names));
	return array;
}

static struct json *
enum_schema(const char *const *names)
{
	struct json *v = json_new_object();
	(void)json_set(v, "enum", names_json(names));
	return v;
}

static struct json *
pattern_schema(const char *pattern)
{
	struct json *v = typed("string");
	(void)json_set_str(v, "pattern", pattern);
	return v;
}

static struct json *
text_schema(const struct field *f)
{
	if (f->names != NULL)
		return enum_schema(f->names);
	if (f->pattern != NULL)
		return pattern_schema(f->pattern);
	struct json *v = typed("string");
	if (f->type == FIELD_LIST && f->check == NULL) {
		/* Texts such as arguments: YAML reads 5 and true as what they look like. */
		struct json *types = json_new_array();
		(void)json_push(types, json_new_string("string"));
		(void)json_push(types, json_new_string("number"));
		(void)json_push(types, json_new_string("boolean"));
		(void)json_set(v, "type", types);
		return v;
	}
	(void)json_set_int(v, "minLength", 1);
	return v;
}

static struct json *
number_schema(const struct field *f)
{
	struct json *v;
	switch (f->type) {
	case FIELD_BYTES:
		return pattern_schema("^(0|[1-9][0-9]*)(B|KiB|MiB|GiB|TiB)$");
	case FIELD_MS:
		return pattern_schema("^(0|[1-9][0-9]*)(ms|s|m|h|d)$");
	case FIELD_RATE:
		return pattern_schema("^(0|[1-9][0-9]*)(B|KiB|MiB|GiB)/s$");
	case FIELD_CLOCK:
		return pattern_schema("^([01][0-9]|2[0-4]):[0-5][0-9]$");
	case FIELD_MILLIS:
		v = typed("number");
		(void)json_set_int(v, "exclusiveMinimum", 0);
		return v;
	default:
		v = typed("integer");
		if (f->max > 0) {
			(void)json_set_int(v, "minimum", f->min);
			(void)json_set_int(v, "maximum", f->max);
		}
		return v;
	}
}

/* A list of ITEM (taken), or one of the words that stand for a list. */
static struct json *
list_schema(const struct field *f, struct json *item)
{
	struct json *list = typed("array"), *choices = json_new_array(), *words = json_new_array();
	if ((f->flags & FIELD_OR_ONE) != 0)
		(void)json_push(choices, json_copy(item));
	(void)json_set_int(list, "minItems", 1);
	(void)json_set(list, "items", item);
	if ((f->flags & FIELD_OR_ANY) != 0)
		(void)json_push(words, json_new_string("any"));
	if ((f->flags & FIELD_OR_NONE) != 0)
		(void)json_push(words, json_new_string("none"));
	if (json_len(words) == 0 && json_len(choices) == 0) {
		json_free(words);
		json_free(choices);
		return list;
	}
	struct json *v = json_new_object(), *word = json_new_object();
	if (json_len(words) > 0) {
		(void)json_set(word, "enum", words);
		(void)json_push(choices, word);
	} else {
		json_free(words);
		json_free(word);
	}
	(void)json_push(choices, list);
	(void)json_set(v, "anyOf", choices);
	return v;
}

static struct json *
port_schema(void)
{
	struct json *v = json_new_object(), *choices = json_new_array(), *number = typed("integer");
	(void)json_set_int(number, "minimum", 1);
	(void)json_set_int(number, "maximum", 65535);
	(void)json_push(choices, number);
	(void)json_push(choices, pattern_schema("^[1-9][0-9]{0,4}(-[1-9][0-9]{0,4})?$"));
	(void)json_set(v, "anyOf", choices);
	return v;
}

/* The floor: terms as words, or one term with its strength. */
static struct json *
terms_schema(const struct term_kind *terms)
{
	struct json *words = json_new_array(), *strong = json_new_object(),
		    *choices = json_new_array();
	for (; terms->name != NULL; terms++) {
		(void)json_push(words, json_new_string(terms->name));
		if (terms->strengths != NULL)
			(void)json_set(strong, terms->name, enum_schema(terms->strengths));
	}
	struct json *word = json_new_object(), *map = typed("object"), *item = json_new_object();
	(void)json_set(word, "enum", words);
	(void)json_set(map, "properties", strong);
	(void)json_set_bool(map, "additionalProperties", false);
	(void)json_set_int(map, "minProperties", 1);
	(void)json_set_int(map, "maxProperties", 1);
	(void)json_push(choices, word);
	(void)json_push(choices, map);
	(void)json_set(item, "anyOf", choices);
	struct json *v = typed("array");
	(void)json_set(v, "items", item);
	return v;
}

static struct json *
maps_schema(const struct field *f)
{
	struct json *item = json_new_object(),
		    *v = typed(f->type == FIELD_NAMED ? "object" : "array");
	if (f->sub->picks != NULL) {
		struct json *choices = json_new_array();
		for (const struct shape *const *s = f->sub->picks; *s != NULL; s++)
			(void)json_push(choices, shape_schema(*s));
		(void)json_set(item, "oneOf", choices);
	} else {
		json_free(item);
		item = shape_schema(f->sub);
	}
	(void)json_set(v, f->type == FIELD_NAMED ? "additionalProperties" : "items", item);
	if (f->max > 0)
		(void)json_set_int(v, "maxItems", f->max);
	return v;
}

static struct json *
value_schema(const struct field *f)
{
	struct json *v;
	switch (f->type) {
	case FIELD_TEXT:
		return text_schema(f);
	case FIELD_ENUM:
		return enum_schema(f->names);
	case FIELD_BOOL:
		return typed("boolean");
	case FIELD_LIST:
		return list_schema(f, text_schema(f));
	case FIELD_PORTS:
		return list_schema(f, port_schema());
	case FIELD_MAP:
		return shape_schema(f->sub);
	case FIELD_MAPS:
	case FIELD_NAMED:
		return maps_schema(f);
	case FIELD_CLASSES:
		v = typed("object");
		(void)json_set(v, "additionalProperties", enum_schema(f->names));
		return v;
	case FIELD_TERMS:
		return terms_schema(f->terms);
	case FIELD_VALUE:
		return typed("object");
	default:
		return number_schema(f);
	}
}

static bool
is_effect(const struct field *f)
{
	return strcmp(f->name, "allow") == 0 || strcmp(f->name, "review") == 0 ||
	    strcmp(f->name, "deny") == 0;
}

/* What a rule with EFFECT ("allow", …) needs and may not have beyond the fields of its kind. */
static struct json *
effect_schema(const struct shape *shape, const char *effect)
{
	bool deny = strcmp(effect, "deny") == 0, review = strcmp(effect, "review") == 0;
	struct json *v = json_new_object(), *required = json_new_array(),
		    *properties = json_new_object();
	(void)json_push(required, json_new_string(effect));
	for (; shape != NULL; shape = shape->base) {
		for (const struct field *f = shape->fields; f->name != NULL; f++) {
			if (!deny && (f->flags & FIELD_IF_PERMIT) != 0)
				(void)json_push(required, json_new_string(f->name));
			if ((deny && (f->flags & FIELD_NOT_DENY) != 0) ||
			    (!review && (f->flags & FIELD_ONLY_REVIEW) != 0))
				(void)json_set_bool(properties, f->name, false);
		}
	}
	(void)json_set(v, "required", required);
	(void)json_set(v, "properties", properties);
	return v;
}

/* The kind that SHAPE is the rule of, or NULL. */
static const char *
kind_of_shape(const struct shape *shape)
{
	for (int kind = 0; kind < ACTION_KINDS; kind++)
		if (shape == rule_shape((enum action_kind)kind))
			return kind_names[kind];
	return NULL;
}

static struct json *
field_schema(const struct field *f, const char *kind)
{
	struct json *v;
	if (kind != NULL && is_effect(f)) {
		v = json_new_object();
		(void)json_set_str(v, "const", kind);
	} else {
		v = value_schema(f);
	}
	(void)json_set_str(v, "description", f->doc);
	return v;
}

static struct json *
shape_schema(const struct shape *shape)
{
	const char *kind = kind_of_shape(shape);
	struct json *v = typed("object"), *properties = json_new_object(),
		    *required = json_new_array();
	for (const struct shape *at = shape; at != NULL; at = at->base) {
		for (const struct field *f = at->fields; f->name != NULL; f++) {
			(void)json_set(properties, f->name, field_schema(f, kind));
			if ((f->flags & FIELD_REQUIRED) != 0)
				(void)json_push(required, json_new_string(f->name));
		}
	}
	(void)json_set_bool(v, "additionalProperties", false);
	(void)json_set(v, "properties", properties);
	(void)json_set(v, "required", required);
	if (kind != NULL) {
		struct json *effects = json_new_array();
		(void)json_push(effects, effect_schema(shape, "allow"));
		(void)json_push(effects, effect_schema(shape, "review"));
		(void)json_push(effects, effect_schema(shape, "deny"));
		(void)json_set(v, "oneOf", effects);
	}
	return v;
}

struct json *
policy_schema(void)
{
	struct json *v = shape_schema(&policy_shape);
	(void)json_set_str(v, "$schema", "http://json-schema.org/draft-07/schema#");
	(void)json_set_str(v, "title", "Ringfence policy");
	(void)json_set_str(v, "description",
	    "doc/policy.md explains each field. Made by `ringfence policy "
	    "schema` from the table that the loader reads by.");
	return v;
}
