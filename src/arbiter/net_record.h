/* The record of an action that a gateway proposes, made from no more than it asks for. Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "action/action.h"
#include "base/error.h"
#include "base/json.h"

/* Makes the record of ACTION (its "request" is taken out of it): kind, request, opaque; target and effect as we read
 * the request ourselves. Values of headers that carry credentials are replaced by what tells them apart under KEY and
 * nothing more: they are in no record. 0 and an owned, valid *RET, or -EINVAL/-ENOMEM with ERR. */
int net_record_make(struct json *action, const uint8_t *key, size_t key_len, struct json **ret,
    struct error *err) MUST_CHECK;
/* The scheme ("" for net) and the port that REQUEST is for. */
const char *net_scheme(enum action_kind kind, const struct json *request);
int net_port(enum action_kind kind, const struct json *request);
/* Whether the value of header NAME (lower case) is nobody's business. */
bool net_header_is_secret(const char *name);
