/* A YAML document as a tree whose every node knows its line and column.
 *
 * Only what a policy needs is YAML here: one document of block or flow mappings, sequences and
 * scalars. Anchors, aliases, tags, directives, keys that are not scalars and duplicate keys are
 * errors: each lets a file mean something else than it looks like. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "policy/arena.h"

#define TREE_DEPTH_MAX 16
#define TREE_KEYS_MAX 512
#define TREE_NODES_MAX 200000

enum node_type { NODE_SCALAR, NODE_LIST, NODE_MAP };

struct node {
	enum node_type type;
	bool plain;            /* scalar: written without quotes */
	bool flow;             /* list or map: [..] or {..} */
	unsigned line, column; /* from 1 */
	const char *text;      /* scalar; NUL-terminated, no NUL inside; "" for an empty one */
	size_t n;              /* children */
	struct node *first, *last, *next;
	/* as a member of a map */
	const char *key;
	unsigned key_line, key_column;
	uint32_t key_hash;
};

/* Parses LEN bytes; NAME stands in errors. 0 and *RET in the arena, -EINVAL, -EMSGSIZE or -ENOMEM
 * with ERR filled as `NAME:line:column: what`. */
int tree_parse(const char *text, size_t len, const char *name, struct arena *arena,
    struct node **ret, struct error *err) MUST_CHECK;
/* Member KEY of a map, or NULL. */
struct node *tree_get(const struct node *map, const char *key);
/* "a list", "a mapping", "nothing", "text": what NODE is, for errors. */
const char *tree_what(const struct node *node);
/* NODE as plain JSON: unquoted integers, true, false and null become what they look like; all else
 * is text. Owned; NULL if memory ran out. */
struct json *tree_json(const struct node *node);
