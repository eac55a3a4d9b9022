/* The descriptors that rf-supervisor hands to the programs it starts, by number. A program that finds
 * them missing says who starts it, and exits 125. */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/macros.h"

#define SPAWN_EXIT_FAILED 125 /* what such a program exits with when it cannot start, or go on */

enum spawn_fd {
	SPAWN_SUPERVISOR = 3, /* socket pair to the supervisor; end of file means: leave */
	SPAWN_STATE_DIR = 4,  /* the program's own directory below the state directory */
	SPAWN_LISTENER =
	    5, /* its listening socket for people (arbiter.sock, ledger.sock, vault.sock) */
	SPAWN_PEER = 6,   /* arbiter ↔ ledger socket pair */
	SPAWN_CONFIG = 7, /* arbiter: the configuration file, or /dev/null */
	SPAWN_PASSWD = 8, /* arbiter: /etc/passwd, for `people:` */
	SPAWN_GROUP = 9,  /* arbiter: /etc/group */
	SPAWN_FDS
};

/* rf-gateway, rf-dialer and rf-vault get SPAWN_SUPERVISOR, SPAWN_STATE_DIR and SPAWN_CONFIG (the
 * configuration file, or /dev/null), the vault also SPAWN_LISTENER (vault.sock); what connects them to
 * each other comes with MSG_PEER_JOIN. */

/* argv of every started program: NAME --uid N --gid N (0 0: rootless, keep the caller's). */

/* Reads the arguments, and sees that the descriptors of WANTED (1 << SPAWN_x, each; the supervisor's and the
 * directory's always) are there. 0, or -EINVAL with ERR: people start it by hand. */
int spawn_arguments(int argc, char **argv, unsigned wanted, unsigned *ret_uid, unsigned *ret_gid,
    struct error *err) MUST_CHECK;
/* Says on the log why the program cannot start. The exit code. */
int spawn_fail(const struct error *err);
/* Appends everything that FD gives. 0, -EMSGSIZE past OUT's limit, or -errno. */
int spawn_read(int fd, struct buf *out) MUST_CHECK;
