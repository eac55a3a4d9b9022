/* rf-ledger(8): appends, chains and signs the record of everything that was asked, decided and done.
 *
 *     rf-ledger --uid N --gid N
 *
 * Started by rf-supervisor, with its descriptors (ipc/spawn.h).
 *
 * uid            its own, or the caller's where Ringfence runs without root
 * capabilities   none
 * system calls   profile.c: files, its sockets, memory; no socket, no connect, no exec
 * paths          the ledger's directory, as root also its root directory (chroot)
 * peers          the supervisor and the arbiter (append); people (ask for a checkpoint)
 * secrets        the ledger's signing key, the key of redaction hashes
 *
 * If compromised, an attacker can rewrite the ledger and sign the result. What a checkpoint held
 * elsewhere covers, they cannot change without being found (`ringfence audit verify --since`).
 *
 * It leaves when the supervisor's socket ends: it writes what it has, signs, and exits. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "ipc/spawn.h"
#include "ledger/ledger.h"
#include "ledger/profile.h"

static int
start(struct ledger *l, struct error *err)
{
	int r;
	l->dir_fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (l->dir_fd < 0)
		return error_set_errno(err, errno, "ledger_unusable", "cannot open its directory");
	(void)close(SPAWN_STATE_DIR);
	r = journal_open(l->dir_fd, &l->journal, err);
	if (r < 0)
		return r;
	r = loop_new(&l->loop);
	if (r == 0)
		r = signer_new(l->loop, l->journal, &l->signer);
	if (r < 0)
		return error_set_errno(err, -r, "ledger_unusable", "cannot start");
	commit_init(&l->commit, l->loop, l->journal, l->signer);
	buf_init(&l->text, MSG_BODY_MAX);
	buf_init(&l->redacted, 4 * MSG_BODY_MAX);
	commit_run(&l->commit); /* genesis, or what was recovered */
	r = journal_failed(l->journal, err);
	if (r < 0)
		return r;
	r = dispatch_start(l);
	return r < 0 ? error_set_errno(err, -r, "ledger_unusable", "cannot serve its sockets") : 0;
}

/* Writes and signs what there is. Buffers are left to the end of the process. */
static int
finish(struct ledger *l)
{
	struct error err;
	commit_flush(&l->commit);
	int r = journal_failed(l->journal, &err);
	if (r == 0)
		r = signer_finish(l->signer, &err);
	l->journal = journal_free(l->journal);
	return r < 0 ? spawn_fail(&err) : 0;
}

int
main(int argc, char **argv)
{
	static struct ledger ledger;
	struct error err;
	unsigned uid, gid;
	log_program("rf-ledger");
	if (spawn_arguments(argc, argv, /* wanted= */ 0, &uid, &gid, &err) < 0)
		return spawn_fail(&err);
	(void)umask(027);
	/* A log that nobody reads and a limit on file sizes are errors to handle, not reasons to die. */
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
	/* Asked before anything is opened: a new descriptor takes the lowest free number. */
	ledger.has_arbiter = fcntl(SPAWN_PEER, F_GETFD) >= 0;
	ledger.has_listener = fcntl(SPAWN_LISTENER, F_GETFD) >= 0;
	if (confine_enter(&ledger_profile, SPAWN_STATE_DIR, uid, gid, SPAWN_CONFIG, &err) < 0 ||
	    start(&ledger, &err) < 0)
		return spawn_fail(&err);
	int r = loop_run(ledger.loop);
	if (r < 0)
		log_event(LOG_ERROR, "loop-failed", "reason", strerror(-r), NULL);
	int code = finish(&ledger);
	return r < 0 ? SPAWN_EXIT_FAILED : code;
}
