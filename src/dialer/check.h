/* Whether an address that a name resolved to may be connected to. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "base/macros.h"
#include "proto/address.h"

/* What a rule's `addresses` say; without any, the public internet. */
struct pins {
	bool given;
	struct cidr *items; /* owned */
	size_t n;
};

/* From the ticket's array of texts (NULL: not given). 0, -EINVAL (one is not a network) or -ENOMEM. */
int pins_read(const struct json *addresses, struct pins *ret) MUST_CHECK;
void pins_done(struct pins *pins);

/* NULL if ADDRESS may be connected to; else what it is, for a person: "a private address". OWN: it is one of this host's
 * addresses. */
const char *check_address(const uint8_t address[16], const struct pins *pins, bool own);
