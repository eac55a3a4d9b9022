/* Landlock, by system call (landlock(7)); constants up to ABI 7, whatever the build's headers know. */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"

#define LL_EXECUTE (1ULL << 0)
#define LL_WRITE_FILE (1ULL << 1)
#define LL_READ_FILE (1ULL << 2)
#define LL_READ_DIR (1ULL << 3)
#define LL_REMOVE_DIR (1ULL << 4)
#define LL_REMOVE_FILE (1ULL << 5)
#define LL_MAKE_CHAR (1ULL << 6)
#define LL_MAKE_DIR (1ULL << 7)
#define LL_MAKE_REG (1ULL << 8)
#define LL_MAKE_SOCK (1ULL << 9)
#define LL_MAKE_FIFO (1ULL << 10)
#define LL_MAKE_BLOCK (1ULL << 11)
#define LL_MAKE_SYM (1ULL << 12)
#define LL_REFER (1ULL << 13)     /* ABI 2 */
#define LL_TRUNCATE (1ULL << 14)  /* ABI 3 */
#define LL_IOCTL_DEV (1ULL << 15) /* ABI 5 */

#define LL_READ (LL_READ_FILE | LL_READ_DIR)
/* All that a private file tree needs; no device or block nodes. */
#define LL_WRITE                                                                      \
	(LL_WRITE_FILE | LL_REMOVE_DIR | LL_REMOVE_FILE | LL_MAKE_DIR | LL_MAKE_REG | \
	    LL_MAKE_SOCK | LL_MAKE_FIFO | LL_MAKE_SYM | LL_REFER | LL_TRUNCATE)

#define LL_NET_BIND (1ULL << 0)       /* ABI 4 */
#define LL_NET_CONNECT (1ULL << 1)    /* ABI 4 */
#define LL_SCOPE_ABSTRACT (1ULL << 0) /* ABI 6 */
#define LL_SCOPE_SIGNAL (1ULL << 1)   /* ABI 6 */

/* The hierarchy below FD, or PATH (relative to the working directory) if FD is negative, gets ACCESS.
 * A PATH that does not exist is skipped: it grants nothing. */
struct landlock_path {
	int fd;
	const char *path;
	uint64_t access;
};

/* The kernel's ABI version, 0 if Landlock is absent or disabled. */
int landlock_abi(void);
/* The file rights that a domain of this ABI handles, and which of SCOPE it holds. */
uint64_t landlock_handled(int abi);
uint64_t landlock_scoped(int abi, uint64_t scope);

/* Restricts this thread to PATHS: every right the ABI knows is handled and denied elsewhere. NET is
 * what TCP rights to handle (none are then granted), SCOPE which scopes; unknown to the ABI: skipped.
 * 0 and the ABI in RET_ABI (may be NULL), -EOPNOTSUPP where there is no Landlock, or -errno. */
int landlock_restrict(const struct landlock_path *paths, size_t n_paths, uint64_t net,
    uint64_t scope, int *ret_abi, struct error *err) MUST_CHECK;

/* The same in steps, for a domain that several processes enter: the rules as a descriptor (owned by the
 * caller), another rule, the entry. A rule that is added later holds for who enters later. */
int landlock_rules(const struct landlock_path *paths, size_t n_paths, uint64_t net, uint64_t scope,
    int *ret_abi, struct error *err) MUST_CHECK;
int landlock_add(int rules, const struct landlock_path *path, struct error *err) MUST_CHECK;
int landlock_enter(int rules, struct error *err) MUST_CHECK;
