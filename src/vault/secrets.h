/* The secrets of this vault: what is known about each is in memory, its value only in its file, sealed.
 *
 * Files are in the working directory, NAME.sealed each, replaced atomically and synced. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"
#include "vault/seal.h"

#define SECRETS_MAX 256
#define SECRET_NAME_MAX 64

struct secret {
	char name[SECRET_NAME_MAX + 1];
	/* {"name","as","header"?,"user"?,"exchange"? (proto/issuer.h),"bind","version","set_ms","by","key"}, as in the file; NULL: the file cannot be
	 * read. Owned. */
	struct json *head;
};

struct secrets {
	struct secret list[SECRETS_MAX]; /* by name */
	size_t n;
};

/* Reads what there is. A file that is none of ours is kept as one that cannot be read. 0 or -errno. */
int secrets_load(struct secrets *secrets, struct error *err) MUST_CHECK;
struct secret *secrets_find(struct secrets *secrets, const char *name);
/* One that is sealed with another key than KEY, if any. */
const struct secret *secrets_foreign(const struct secrets *secrets, const struct seal_key *key);
int64_t secret_version(const struct secret *secret);

/* Seals VALUE as HEAD's name (HEAD is taken, also on failure; its version is set here): a new one or a new version.
 * 0 or -errno; on failure what was there before is there still. */
int secrets_set(struct secrets *secrets, const struct seal_key *key, struct json *head,
    const uint8_t *value, size_t len, struct error *err) MUST_CHECK;
int secrets_remove(struct secrets *secrets, struct secret *secret, struct error *err) MUST_CHECK;
/* The value into RET (room for SEAL_VALUE_MAX): its length; -ENOKEY ("vault_key"), -EBADMSG ("credential_damaged") or
 * another -errno. The file must still be the one that was loaded or set. */
int secrets_open(const struct secret *secret, const struct seal_key *key, uint8_t *ret,
    struct error *err) MUST_CHECK;
