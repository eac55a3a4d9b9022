/* Fields of a policy as data: one table validates a file, fills the structs and yields the JSON
 * Schema, so that the three cannot differ.
 *
 * A shape is a mapping with known fields; a field says its name, type, bounds, where its value goes
 * (an offset into the struct that the shape describes) and what it is for. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "policy/arena.h"
#include "policy/tree.h"

#define FIELD_UNSET (-1)
#define LIST_ITEMS_MAX 4096

enum field_type {
	FIELD_TEXT,    /* const char *; NULL unset */
	FIELD_ENUM,    /* int64_t, index into NAMES; all numbers are FIELD_UNSET when absent */
	FIELD_INT,     /* int64_t */
	FIELD_BOOL,    /* int64_t 0 or 1 */
	FIELD_BYTES,   /* int64_t */
	FIELD_MS,      /* int64_t */
	FIELD_RATE,    /* int64_t bytes per second */
	FIELD_MILLIS,  /* int64_t thousandths of a CPU */
	FIELD_CLOCK,   /* int64_t minutes since midnight */
	FIELD_LIST,    /* struct list */
	FIELD_PORTS,   /* struct ports */
	FIELD_MAP,     /* the sub-shape's struct, in place */
	FIELD_MAPS,    /* struct maps: a list of mappings */
	FIELD_NAMED,   /* struct maps with names: name → mapping */
	FIELD_CLASSES, /* struct classes: name → enum value */
	FIELD_TERMS,   /* struct terms: the floor */
	FIELD_VALUE,   /* const struct node *: anything */
};

enum field_flag {
	FIELD_REQUIRED = 1 << 0,
	FIELD_OR_NONE = 1 << 1,     /* list: the word `none` */
	FIELD_OR_ANY = 1 << 2,      /* list, ports: the word `any` */
	FIELD_OR_ONE = 1 << 3,      /* list: one text stands for a list of one */
	FIELD_IF_PERMIT = 1 << 4,   /* rule: required in allow and review */
	FIELD_NOT_DENY = 1 << 5,    /* rule: not in deny */
	FIELD_ONLY_REVIEW = 1 << 6, /* rule: only in review */
};

enum list_mode { LIST_ABSENT, LIST_NONE, LIST_ANY, LIST_ITEMS };

struct list {
	enum list_mode mode;
	size_t n;
	const char **items;
};

struct port_range {
	uint16_t low, high;
};

struct ports {
	enum list_mode mode;
	size_t n;
	struct port_range *items;
};

struct maps {
	size_t n;
	const char **names; /* FIELD_NAMED only */
	void *items;        /* array of the sub-shape's struct */
};

struct classes {
	size_t n;
	const char **names;
	int64_t *values;
};

struct term {
	const char *name;
	const char *strength; /* NULL: any */
};

struct terms {
	size_t n;
	struct term *items;
};

/* A floor term and the strengths that it may ask for (NULL-terminated; NULL: none). */
struct term_kind {
	const char *name;
	const char *const *strengths;
	const char *doc;
};

struct field {
	const char *name;
	enum field_type type;
	unsigned flags;
	size_t offset;
	int64_t min, max;         /* numbers, in the field's unit; MAX 0: no bounds */
	const char *const *names; /* enum, list items, classes: NULL-terminated; NULL: free text */
	const struct term_kind *terms;
	const struct shape *sub;
	/* Text and list items: what was expected if TEXT is not it, else NULL. */
	const char *(*check)(const char *text);
	const char
	    *pattern; /* the same for the JSON Schema, where a regular expression can say it */
	const char *doc;
};

struct shape {
	const char *what;           /* "an exec rule" */
	const struct field *fields; /* ends with a NULL name */
	const struct shape *base;   /* more fields, of the same struct */
	size_t size;
	/* For a list whose items differ: the shape of NODE; never NULL. */
	const struct shape *(*pick)(const struct node *node);
	const struct shape *const
	    *picks; /* all that PICK may return, for the schema; NULL-terminated */
};

struct field_reader {
	const char *file;
	struct arena *arena;
	struct error *err;
	char path[200];
};

/* Fills BASE, the struct of SHAPE, from NODE. 0, -EINVAL or -ENOMEM with the reader's error filled. */
int field_read(struct field_reader *rd, const struct node *node, const struct shape *shape,
    void *base) MUST_CHECK;
/* `file:line:column: path: message` at NODE; returns -EINVAL. */
int field_error(const struct field_reader *rd, const struct node *node, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* Field NAME of SHAPE or its bases, or NULL. */
const struct field *shape_field(const struct shape *shape, const char *name);
/* The nearest of NAMES (NULL-terminated) to TEXT within a third of its length, or NULL. */
const char *field_nearest(const char *text, const char *const *names);
/* Sets BASE to what an empty mapping of SHAPE means. */
void field_defaults(const struct shape *shape, void *base);
