/* What secrets look like, as data: the issuers' token formats, and the names that announce one. */
#pragma once

#include <stddef.h>

#include "base/macros.h"

enum token_chars {
	CHARS_UPPER = 1,    /* [A-Z0-9] */
	CHARS_ALNUM = 2,    /* [A-Za-z0-9] */
	CHARS_WORD = 4,     /* [A-Za-z0-9_] */
	CHARS_DASH = 8,     /* [A-Za-z0-9_-] */
	CHARS_TOKEN68 = 16, /* [A-Za-z0-9._~+/=-], RFC 9110 section 11.2 */
};

/* A token that starts with PREFIX and goes on for at least MIN characters of CHARS. */
struct token_rule {
	const char *prefix;
	const char *kind;
	unsigned chars;
	size_t min;
};

/* The rules whose prefix starts with FIRST: *RET_N of them. */
const struct token_rule *redact_rules_for(unsigned char first, size_t *ret_n);
/* Whether C is one of CHARS (a set of enum token_chars). */
int redact_is(unsigned char c, unsigned chars);

/* How much a name's value takes up in running text. */
enum name_reach { REACH_NONE, REACH_WORD, REACH_LINE };
/* Whether NAME (a member, variable, header or option) announces a secret. REACH_LINE: the whole rest
 * of the line, as for headers. *RET_KIND is static. */
enum name_reach redact_name(const char *name, size_t len, const char **ret_kind);
