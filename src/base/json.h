/* JSON values, parsed strictly and written canonically (RFC 8259, RFC 8785).
 *
 * One representation serves messages between programs, action records and the ledger, so that what
 * is hashed is what was sent. Numbers are integers within ±(2^53-1): no record of ours needs a
 * fraction, and an integer has one spelling. A document with a fraction or an exponent, duplicate
 * member names, invalid UTF-8, unpaired surrogates, or deeper than JSON_DEPTH_MAX is refused.
 *
 * Why not a library: the lean programs (CLI, supervisor) start in the time that a shared library
 * takes to load, and the canonical form is part of what the ledger proves.
 *
 * Ownership: json_new_* return an owned value. Adding a value to an object or array takes it, also
 * on failure. NULL is accepted as "out of memory earlier": adding NULL fails and the failure reaches
 * json_write as -ENOMEM, so that a builder needs one check at the end. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

#define JSON_DEPTH_MAX 32
#define JSON_INT_MAX 9007199254740991LL

enum json_type { JSON_NULL, JSON_BOOL, JSON_INT, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json;

struct json *json_new_null(void);
struct json *json_new_bool(bool value);
/* Values outside ±JSON_INT_MAX are clamped. */
struct json *json_new_int(int64_t value);
/* TEXT is copied; bytes that are not UTF-8 become U+FFFD. NULL gives a JSON null. */
struct json *json_new_string(const char *text);
struct json *json_new_string_n(const char *bytes, size_t len);
struct json *json_new_array(void);
struct json *json_new_object(void);
/* A deep copy. */
struct json *json_copy(const struct json *v);
/* Frees V and all below; accepts NULL, returns NULL. */
struct json *json_free(struct json *v);

enum json_type json_type(const struct json *v);

/* Containers. Both take VALUE; json_set replaces a member of the same name. 0 or -ENOMEM/-EINVAL. */
int json_set(struct json *object, const char *name, struct json *value);
int json_push(struct json *array, struct json *value);
/* Removes a member, if present. */
void json_unset(struct json *object, const char *name);
/* Takes a member out of OBJECT: the caller owns it; NULL if absent. */
struct json *json_detach(struct json *object, const char *name);

/* Shorthands for json_set with a new value. */
int json_set_str(struct json *object, const char *name, const char *text);
int json_set_int(struct json *object, const char *name, int64_t value);
int json_set_bool(struct json *object, const char *name, bool value);

/* Reading. All accept NULL and a wrong type, and then return the fallback; results are borrowed. */
struct json *json_get(const struct json *object, const char *name);
const char *json_str(const struct json *v, const char *fallback);
size_t json_str_len(const struct json *v);
int64_t json_int(const struct json *v, int64_t fallback);
bool json_bool(const struct json *v, bool fallback);
const char *json_get_str(const struct json *object, const char *name, const char *fallback);
int64_t json_get_int(const struct json *object, const char *name, int64_t fallback);
bool json_get_bool(const struct json *object, const char *name, bool fallback);
/* Number of elements or members; 0 for anything else. */
size_t json_len(const struct json *v);
/* Element I of an array, or value I of an object (insertion order); NULL past the end. */
struct json *json_at(const struct json *v, size_t i);
/* Name of member I of an object; NULL past the end. */
const char *json_name_at(const struct json *v, size_t i);
bool json_equal(const struct json *a, const struct json *b);

/* Parses exactly one document of LEN bytes. On success *RET is owned by the caller.
 * -EINVAL with a reason and byte offset in ERR, -EMSGSIZE if it nests too deep, -ENOMEM. */
int json_parse(const char *text, size_t len, struct json **ret, struct error *err) MUST_CHECK;

/* Appends the canonical form (RFC 8785: members sorted by UTF-16 code units, no white space).
 * 0, -ENOMEM (also if a NULL was added anywhere while building) or -EMSGSIZE. */
int json_write(const struct json *v, struct buf *out) MUST_CHECK;
/* Appends a form for people: indented by two spaces, members in insertion order. */
int json_write_pretty(const struct json *v, struct buf *out) MUST_CHECK;
/* Appends TEXT as a JSON string literal, quotes included. */
int json_write_string(const char *text, size_t len, struct buf *out);

static inline void
cleanup_json(struct json **v)
{
	json_free(*v);
}
#define _cleanup_json_ CLEANUP(cleanup_json)
