/* What matching, reach and listeners share about hosts, schemes and ports. Internal to this layer. */
#pragma once

#include "policy/match.h"

/* Whether POLICY has a rule that allows or reviews net, http or git. */
bool network_needed(const struct policy *policy);
/* policy_sandbox's "network"; owned; NULL: out of memory. */
struct json *network_json(const struct policy *policy);

/* The port that SCHEME has unless another is named. */
int network_port_of(const char *scheme);
bool ports_have(const struct ports *ports, int64_t port);
/* Whether an http or git rule speaks SCHEME ("https" unless it says), and whether PORT is one of its: where it names
 * none, the usual one of SCHEME. */
bool rule_speaks(const struct rule *rule, const char *scheme);
bool rule_has_port(const struct rule *rule, const char *scheme, int64_t port);
