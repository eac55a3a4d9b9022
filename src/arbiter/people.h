/* Who is who: operating-system users and groups, and the roles that `people:` gives them.
 *
 *     people:
 *       operator: {users: [alice, 1001], groups: [sre]}
 *       dba: {users: [bob]}
 *
 * Read once, at first need, from the descriptors that the supervisor passes: a change of the
 * configuration, of passwd or of group counts from the next start of the arbiter. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/macros.h"

#define PEOPLE_FILE_MAX (4 * 1024 * 1024) /* bytes of each of the three files */
#define PEOPLE_ROLES_MAX 128
#define ROLE_NAME_MAX 64

struct people;

/* Reads the configuration (YAML; only `people:` is looked at), passwd and group texts; they are
 * copied. 0 and an owned *RET, or -EINVAL with file and line in ERR, or -ENOMEM. */
int people_parse(const struct buf *config, const struct buf *passwd, const struct buf *group,
    struct people **ret, struct error *err) MUST_CHECK;
/* As people_parse, from descriptors (borrowed; read from their start). */
int people_read(int config_fd, int passwd_fd, int group_fd, struct people **ret, struct error *err)
    MUST_CHECK;
/* Accepts NULL; returns NULL. */
struct people *people_free(struct people *people);

/* The user's name, or NULL if passwd has none. Borrowed. */
const char *people_name(const struct people *people, uid_t uid);
/* Whether UID has ROLE, by number, by name, or by a group (primary or member). */
bool people_has_role(const struct people *people, uid_t uid, const char *role);
/* Whether UID has any role at all. */
bool people_has_any_role(const struct people *people, uid_t uid);
/* Whether anyone can have ROLE: `people:` names it with at least one user or group. */
bool people_knows_role(const struct people *people, const char *role);
