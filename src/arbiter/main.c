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

#define EXIT_SETUP 125

static int
fail(const struct error *err)
{
	log_event(LOG_ERROR, "start-failed", "reason", err->message, NULL);
	return EXIT_SETUP;
}

/* "--uid N --gid N" and nothing else. */
static int
parse_arguments(int argc, char **argv, uid_t *ret_uid, gid_t *ret_gid)
{
	if (argc != 5 || strcmp(argv[1], "--uid") != 0 || strcmp(argv[3], "--gid") != 0)
		return -EINVAL;
	unsigned long ids[2];
	for (int i = 0; i < 2; i++) {
		const char *text = argv[2 + 2 * i];
		char *end = NULL;
		errno = 0;
		ids[i] = strtoul(text, &end, 10);
		if (errno != 0 || *text < '0' || *text > '9' || *end != '\0' ||
		    ids[i] >= UINT32_MAX)
			return -EINVAL;
	}
	*ret_uid = (uid_t)ids[0];
	*ret_gid = (gid_t)ids[1];
	return 0;
}

/* Whether all the descriptors of ipc/spawn.h are there. */
static int
check_descriptors(struct error *err)
{
	for (int fd = SPAWN_SUPERVISOR; fd < SPAWN_FDS; fd++) {
		if (fcntl(fd, F_GETFD) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			return error_set(err, EBADF, "start_failed",
			    "descriptor %d is missing: rf-arbiter is started by rf-supervisor", fd);
	}
	return 0;
}

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
	uid_t uid = 0;
	gid_t gid = 0;
	log_program("rf-arbiter");
	if (parse_arguments(argc, argv, &uid, &gid) < 0) {
		error_set(&err, EINVAL, "start_failed",
		    "usage: rf-arbiter --uid N --gid N; it is started by rf-supervisor");
		return fail(&err);
	}
	arbiter.own_uid = getuid();
	arbiter.rootless = uid == 0 && arbiter.own_uid != 0;
	arbiter.records_tail = &arbiter.records;
	if (check_descriptors(&err) < 0 ||
	    confine_enter(&arbiter_profile, SPAWN_STATE_DIR, uid, gid, SPAWN_FDS, &err) < 0)
		return fail(&err);
	int r = serve(&arbiter, &err);
	if (r < 0)
		return fail(&err);
	arbiter_done(&arbiter);
	return r;
}
