/* The descriptors that rf-supervisor hands to the programs it starts, by number. A program that finds
 * them missing says who starts it, and exits 125. */
#pragma once

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
