/* YAML to a tree with positions, on libyaml's event interface.
 *
 * The events of one document are pushed into a stack of open containers. Bounds (depth, nodes, keys
 * of one mapping) are checked as the events come, before anything is built from them. */
#include "policy/tree.h"

#include <errno.h>
#include <string.h>
#include <yaml.h>

struct builder {
	yaml_parser_t parser;
	struct arena *arena;
	const char *name;
	const char *input;
	size_t input_len;
	struct error *err;
	struct node *open[TREE_DEPTH_MAX];
	size_t depth;
	struct node *pending_key; /* a map's key whose value comes next */
	struct node *root;
	size_t nodes;
	unsigned documents;
};

static int
builder_error(struct builder *b, yaml_mark_t mark, const char *what)
{
	return error_set(b->err, EINVAL, "policy_invalid", "%s:%zu:%zu: %s", b->name, mark.line + 1,
	    mark.column + 1, what);
}

/* libyaml counts reader errors in bytes and scanner errors in lines. */
static int
parser_error(struct builder *b)
{
	yaml_parser_t *p = &b->parser;
	if (p->error == YAML_MEMORY_ERROR)
		return error_set(b->err, ENOMEM, "out_of_memory", "%s: out of memory", b->name);
	yaml_mark_t mark = p->problem_mark;
	if (p->error == YAML_READER_ERROR) {
		mark = (yaml_mark_t){0};
		for (size_t i = 0; i < p->problem_offset && i < b->input_len; i++) {
			mark.column++;
			if (b->input[i] == '\n')
				mark.line++, mark.column = 0;
		}
	}
	char what[200];
	(void)snprintf(what, sizeof(what), "not YAML: %s%s%s",
	    p->problem ? p->problem : "unreadable", p->context ? ", " : "",
	    p->context ? p->context : "");
	return builder_error(b, mark, what);
}

static uint32_t
key_hash(const char *text)
{
	uint32_t h = 2166136261u;
	for (; *text != 0; text++)
		h = (h ^ (unsigned char)*text) * 16777619u;
	return h;
}

static struct node *
node_new(struct builder *b, enum node_type type, yaml_mark_t mark)
{
	struct node *n = arena_alloc(b->arena, sizeof(*n));
	if (n == NULL)
		return NULL;
	n->type = type;
	n->line = (unsigned)mark.line + 1;
	n->column = (unsigned)mark.column + 1;
	return n;
}

/* Makes KEY, a scalar that stands where a map's key belongs, the name of the next value. */
static int
take_key(struct builder *b, struct node *map, struct node *key, yaml_mark_t mark)
{
	if (key->type != NODE_SCALAR)
		return builder_error(b, mark, "a key must be plain text");
	if (map->n >= TREE_KEYS_MAX)
		return builder_error(b, mark, "too many keys in one mapping (512 at most)");
	key->key_hash = key_hash(key->text);
	for (const struct node *m = map->first; m != NULL; m = m->next)
		if (m->key_hash == key->key_hash && strcmp(m->key, key->text) == 0)
			return error_set(b->err, EINVAL, "policy_invalid",
			    "%s:%u:%u: duplicate key \"%.64s\": first at line %u", b->name,
			    key->line, key->column, key->text, m->key_line);
	b->pending_key = key;
	return 0;
}

/* Puts NODE where the document is: as root, list item, key or value. */
static int
place(struct builder *b, struct node *node, yaml_mark_t mark)
{
	if (b->depth == 0) {
		b->root = node;
		return 0;
	}
	struct node *parent = b->open[b->depth - 1];
	if (parent->type == NODE_MAP) {
		if (b->pending_key == NULL)
			return take_key(b, parent, node, mark);
		const struct node *key = TAKE_PTR(b->pending_key);
		node->key = key->text;
		node->key_hash = key->key_hash;
		node->key_line = key->line;
		node->key_column = key->column;
	}
	if (parent->last != NULL)
		parent->last->next = node;
	else
		parent->first = node;
	parent->last = node;
	parent->n++;
	return 0;
}

static int
on_scalar(struct builder *b, const yaml_event_t *e)
{
	size_t len = e->data.scalar.length;
	const char *text = (const char *)e->data.scalar.value;
	if (memchr(text, 0, len) != NULL)
		return builder_error(b, e->start_mark, "text must not contain a NUL");
	struct node *n = node_new(b, NODE_SCALAR, e->start_mark);
	char *copy = arena_text(b->arena, text, len);
	if (n == NULL || copy == NULL)
		return error_set(b->err, ENOMEM, "out_of_memory", "%s: out of memory", b->name);
	n->text = copy;
	n->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	return place(b, n, e->start_mark);
}

static int
on_container(struct builder *b, const yaml_event_t *e, enum node_type type)
{
	struct node *n = node_new(b, type, e->start_mark);
	if (n == NULL)
		return error_set(b->err, ENOMEM, "out_of_memory", "%s: out of memory", b->name);
	n->flow = type == NODE_MAP ? e->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE
				   : e->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE;
	int r = place(b, n, e->start_mark);
	if (r < 0)
		return r;
	if (b->depth == TREE_DEPTH_MAX)
		return builder_error(b, e->start_mark, "nested too deep (16 levels at most)");
	b->open[b->depth++] = n;
	return 0;
}

/* What an event may not carry. */
static const char *
forbidden(const yaml_event_t *e)
{
	const yaml_char_t *anchor = NULL, *tag = NULL;
	switch (e->type) {
	case YAML_ALIAS_EVENT:
		return "aliases (*name) are not allowed; write the value out";
	case YAML_SCALAR_EVENT:
		anchor = e->data.scalar.anchor, tag = e->data.scalar.tag;
		break;
	case YAML_SEQUENCE_START_EVENT:
		anchor = e->data.sequence_start.anchor, tag = e->data.sequence_start.tag;
		break;
	case YAML_MAPPING_START_EVENT:
		anchor = e->data.mapping_start.anchor, tag = e->data.mapping_start.tag;
		break;
	case YAML_DOCUMENT_START_EVENT:
		if (e->data.document_start.version_directive != NULL ||
		    e->data.document_start.tag_directives.start !=
			e->data.document_start.tag_directives.end)
			return "directives (%) are not allowed";
		break;
	default:
		break;
	}
	if (anchor != NULL)
		return "anchors (&name) are not allowed; write the value out";
	if (tag != NULL)
		return "tags (!name) are not allowed; quote the text if it begins with \"!\"";
	return NULL;
}

static int
on_event(struct builder *b, const yaml_event_t *e)
{
	const char *what = forbidden(e);
	if (what != NULL)
		return builder_error(b, e->start_mark, what);
	if (++b->nodes > TREE_NODES_MAX)
		return builder_error(b, e->start_mark, "too many values (200000 at most)");
	switch (e->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (++b->documents > 1)
			return builder_error(
			    b, e->start_mark, "one document only; remove the second \"---\"");
		return 0;
	case YAML_SCALAR_EVENT:
		return on_scalar(b, e);
	case YAML_SEQUENCE_START_EVENT:
		return on_container(b, e, NODE_LIST);
	case YAML_MAPPING_START_EVENT:
		return on_container(b, e, NODE_MAP);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		b->depth--;
		return 0;
	default:
		return 0;
	}
}

static int
build(struct builder *b)
{
	for (;;) {
		yaml_event_t event;
		if (!yaml_parser_parse(&b->parser, &event))
			return parser_error(b);
		bool end = event.type == YAML_STREAM_END_EVENT;
		int r = on_event(b, &event);
		yaml_event_delete(&event);
		if (r < 0 || end)
			return r;
	}
}

int
tree_parse(const char *text, size_t len, const char *name, struct arena *arena, struct node **ret,
    struct error *err)
{
	struct builder b = {
	    .arena = arena, .name = name, .input = text, .input_len = len, .err = err};
	if (!yaml_parser_initialize(&b.parser))
		return error_set(err, ENOMEM, "out_of_memory", "%s: out of memory", name);
	yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&b.parser, (const unsigned char *)text, len);
	int r = build(&b);
	yaml_parser_delete(&b.parser);
	if (r < 0)
		return r;
	if (b.root == NULL)
		return error_set(err, EINVAL, "policy_invalid", "%s:1:1: the file is empty", name);
	*ret = b.root;
	return 0;
}

struct node *
tree_get(const struct node *map, const char *key)
{
	if (map == NULL || map->type != NODE_MAP)
		return NULL;
	for (struct node *m = map->first; m != NULL; m = m->next)
		if (strcmp(m->key, key) == 0)
			return m;
	return NULL;
}

const char *
tree_what(const struct node *node)
{
	if (node->type == NODE_LIST)
		return "a list";
	if (node->type == NODE_MAP)
		return "a mapping";
	return node->text[0] == 0 ? "nothing" : "text";
}

static struct json *
scalar_json(const struct node *node)
{
	if (!node->plain)
		return json_new_string(node->text);
	if (strcmp(node->text, "true") == 0 || strcmp(node->text, "false") == 0)
		return json_new_bool(node->text[0] == 't');
	if (node->text[0] == 0 || strcmp(node->text, "null") == 0 || strcmp(node->text, "~") == 0)
		return json_new_null();
	const char *digits = node->text + (node->text[0] == '-');
	size_t n = strspn(digits, "0123456789");
	if (n == 0 || n > 15 || digits[n] != 0 || (digits[0] == '0' && n > 1))
		return json_new_string(node->text);
	return json_new_int(strtoll(node->text, NULL, 10));
}

struct json *
tree_json(const struct node *node)
{
	if (node->type == NODE_SCALAR)
		return scalar_json(node);
	struct json *v = node->type == NODE_LIST ? json_new_array() : json_new_object();
	for (const struct node *m = node->first; m != NULL && v != NULL; m = m->next) {
		struct json *child = tree_json(m);
		int r = node->type == NODE_LIST ? json_push(v, child) : json_set(v, m->key, child);
		if (r < 0)
			return json_free(v);
	}
	return v;
}
