/* Where the master key comes from: a file, a command, or a key that the vault makes for itself. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/macros.h"
#include "policy/config.h"
#include "vault/seal.h"

#define KEY_FILE \
	"master.key" /* in the vault's own directory, when the configuration names no other */

enum key_from { KEY_FROM_OWN, KEY_FROM_FILE, KEY_FROM_COMMAND };

/* A key and what is known about it. When it could not be had, ERROR says why and SEAL is not set: every grant and every
 * `secret set` is then refused with it. */
struct vault_key {
	enum key_from from;
	char where[256]; /* the file, or the command's program */
	struct seal_key seal;
	struct error error;
};

/* Before the locks: reads CONFIG_FD (rewound; -1 or empty: none) and, where the configuration says so, the key's file or
 * the output of its command. Never fails: what went wrong is in RET. The configuration, owned, goes to RET_CONFIG; NULL if it
 * cannot be read. */
void key_read_outside(int config_fd, struct vault_key *ret, struct config **ret_config);
/* After the locks: the key of KEY_FROM_OWN in the working directory. It is made if there is none, unless there are
 * sealed files (HAS_SECRETS): a lost key is not replaced. */
void key_read_own(struct vault_key *key, bool has_secrets);
