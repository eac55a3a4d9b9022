/* What the arbiter said of policies: which generation a name is, and the sandbox that it wants. Kept so that a
 * run knows before the decision where its program is and whether a sandbox waits for it. Never a decision. */
#pragma once

#include "supervisor/supervisor.h"

#define POLICY_HASH 96

/* {"policy":hash,"sandbox":{}} of the policy NAME, or NULL if it was not seen yet; borrowed. */
const struct json *policies_known(const struct supervisor *s, const char *name);
/* NAME is the generation HASH with the sandbox CONFIG (copied). */
void policies_note(
    struct supervisor *s, const char *name, const char *hash, const struct json *config);
/* The arbiter is another, or NAME another generation: what was known and prepared is dropped. */
void policies_forget(struct supervisor *s, const char *name);

/* Whether POLICY ({"name"} or {"file"}) must be viewed first. The built-in default always shows the host. */
bool policies_must_ask(const struct supervisor *s, const struct json *policy);
/* Asks the arbiter for POLICY's view; FD is its file or -1 (borrowed). The serial, or 0 if that is not possible. */
uint32_t policies_ask(struct supervisor *s, const struct json *policy, int fd);

/* From the arbiter. */
int policies_on_viewed(struct conn *conn, struct msg *m);
int policies_on_changed(struct conn *conn, struct msg *m);
