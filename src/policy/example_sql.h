/* Simple SQL in the examples of a policy. Never used to decide what an agent sends: that is read by
 * PostgreSQL's own parser. What is not simple is an error of the file, so that no example says more
 * than it tests. */
#pragma once

#include "base/json.h"

/* Reads TEXT into the `statements` of an sql request (action/action.h): *RET is owned. Returns NULL,
 * or what is wrong, and then *RET is NULL. */
const char *example_sql_read(const char *text, struct json **ret);
/* "read", "write" or "privileged": the strongest of STATEMENTS. */
const char *example_sql_effect(const struct json *statements);
