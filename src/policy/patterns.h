/* The patterns of policies: what may be written, and what they match.
 *
 * Nothing is normalised: a host or path that is not in its plain form matches no pattern of an allow
 * or review rule, and every pattern of a deny rule. So a spelling that somebody else reads in another
 * way can only be refused. All comparing is of bytes; where case is folded it is ASCII's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PATTERN_NAME "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$"
#define PATTERN_ROOT "^(host|image:[A-Za-z0-9_][A-Za-z0-9_./:@-]{0,199})$"

/* Checks of what a file says: what was expected if TEXT is not it, else NULL. */
const char *check_name(const char *text);
const char *check_word(const char *text);
const char *check_root(const char *text);
const char *check_program(const char *text);
const char *check_option(const char *text);
const char *check_operand(const char *text);
const char *check_env(const char *text);
const char *check_host_pattern(const char *text);
const char *check_path_pattern(const char *text);
const char *check_header(const char *text);
const char *check_method(const char *text);
const char *check_content_type(const char *text);
const char *check_relation(const char *text);
const char *check_glob(const char *text);
const char *check_cidr(const char *text);
const char *check_data_name(const char *text);

/* `*` is any run of bytes, everything else is itself. Linear in the number of stars times LEN. */
bool glob_match(const char *pattern, const char *text);
/* As glob_match, but letters match in either case. */
bool glob_match_fold(const char *pattern, const char *text);
/* `*` is any run without '/', `**` any run, both also empty: a/ followed by two stars matches "a/" but
 * not "a". */
bool path_match(const char *pattern, const char *path);
/* No "." or ".." segment, no "//", no control byte, no backslash. A leading '/' is not needed. */
bool path_is_plain(const char *path);
/* path_is_plain, begins with '/', and every %XX is well-formed and stands for a byte that has to be
 * written so: not for an unreserved character, '/', '\' or a control byte (RFC 3986, 6.2.2). */
bool url_path_is_plain(const char *path);
/* Labels of letters, digits, '-' and '_', no empty one, at most 253 bytes; or an IP address. */
bool host_is_plain(const char *host);
/* `*.` before a name is exactly one label, `**.` one or more; letters match in either case. */
bool host_match(const char *pattern, const char *host);
/* As host_match, for deny rules: `*.` is one or more labels, and a trailing dot of HOST is dropped. */
bool host_touch(const char *pattern, const char *host);
/* Whether HOST is an address literal inside CIDR ("10.0.0.0/8", "::1"). */
bool cidr_match(const char *cidr, const char *host);
/* `name` matches name and public.name; `schema.name` itself; `*` stays within a part. */
bool relation_match(const char *pattern, const char *name);
bool relation_touch(const char *pattern, const char *name);
/* ASCII case-folded equality. */
bool text_equal_fold(const char *a, const char *b);
