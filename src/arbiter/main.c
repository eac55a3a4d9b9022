/* rf-arbiter: decides every action, and owns policies, reviews, budgets and the kill epoch.
 *
 *   uid            its own (--uid N --gid N, when the supervisor is root), else the caller's
 *   capabilities   none; no_new_privs; not dumpable
 *   system calls   profile.c: its sockets (no new ones), its files, memory that cannot become code
 *   paths          its own directory, and nothing else (chroot as root, Landlock always)
 *   peers          rf-supervisor and rf-ledger by socket pair; gateways, the dialer and the vault as the supervisor
 *                  joins them; people by its listener
 *   secrets        the key of the action digests, the key of the dialer's tickets
 *   hostile bytes  actions that agents chose (through the supervisor and gateways), policies that users wrote,
 *                  people's messages
 *   if compromised an attacker can approve what should be denied, and forget reviews and budgets. They
 *                  cannot start anything themselves, reach the network, read a host file or another
 *                  program's state, or take back what the ledger has.
 *
 * Only the kill epoch is read at start. The store, the configuration and the digest key are opened
 * when the first action needs them: the first `ringfence run` waits for this program to be up. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "arbiter/arbiter.h"
#include "arbiter/dispatch.h"
#include "arbiter/evidence.h"
#include "arbiter/kill.h"
#include "arbiter/net.h"
#include "arbiter/profile.h"
#include "base/log.h"
#include "ipc/spawn.h"

/* All that ipc/spawn.h numbers. */
#define WANTED ((1U << SPAWN_FDS) - (1U << SPAWN_SUPERVISOR))

static int
serve(struct arbiter *arbiter, struct error *err)
{
	int r = epoch_read(&arbiter->epoch, EPOCH_FILE, err);
	if (r < 0)
		return r;
	r = loop_new(&arbiter->loop);
	if (r < 0)
		return error_set_errno(err, -r, "start_failed", "the event loop");
	r = dispatch_start(arbiter, err);
	return r < 0 ? r : loop_run(arbiter->loop);
}

static void
arbiter_done(struct arbiter *arbiter)
{
	kill_done(arbiter);
	evidence_done(arbiter);
	net_peers_done(arbiter);
	net_issuers_done(arbiter);
	actions_remove_all(&arbiter->actions);
	net_done(arbiter);
	actions_done(&arbiter->actions);
	generations_done(&arbiter->generations);
	epoch_done(&arbiter->epoch);
	people_free(arbiter->people);
	store_close(arbiter->store);
	explicit_bzero(arbiter->key, sizeof(arbiter->key));
}

int
main(int argc, char **argv)
{
	static struct arbiter arbiter;
	struct error err = {.code = ""};
	unsigned uid = 0, gid = 0;
	log_program("rf-arbiter");
	if (spawn_arguments(argc, argv, WANTED, &uid, &gid, &err) < 0)
		return spawn_fail(&err);
	arbiter.own_uid = getuid();
	arbiter.rootless = uid == 0 && arbiter.own_uid != 0;
	arbiter.records_tail = &arbiter.records;
	if (confine_enter(&arbiter_profile, SPAWN_STATE_DIR, uid, gid, SPAWN_FDS, &err) < 0)
		return spawn_fail(&err);
	int r = serve(&arbiter, &err);
	if (r < 0)
		return spawn_fail(&err);
	arbiter_done(&arbiter);
	return r;
}
