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

#define EXIT_RINGFENCE 125

static int
fail(const struct error *err)
{
	log_event(LOG_ERROR, err->code, "reason", err->message, "remedy", err->remedy, NULL);
	return EXIT_RINGFENCE;
}

static int
parse_id(const char *text, unsigned *ret)
{
	char *end;
	errno = 0;
	unsigned long value = strtoul(text, &end, 10);
	if (errno != 0 || *text < '0' || *text > '9' || *end != 0 || value > INT32_MAX)
		return -EINVAL;
	*ret = (unsigned)value;
	return 0;
}

static int
parse_arguments(int argc, char **argv, unsigned *ret_uid, unsigned *ret_gid, struct error *err)
{
	bool good = argc == 5 && strcmp(argv[1], "--uid") == 0 && strcmp(argv[3], "--gid") == 0 &&
	    parse_id(argv[2], ret_uid) == 0 && parse_id(argv[4], ret_gid) == 0;
	if (!good || fcntl(SPAWN_SUPERVISOR, F_GETFD) < 0 || fcntl(SPAWN_STATE_DIR, F_GETFD) < 0)
		return error_set(err, EINVAL, "not_for_people",
		    "rf-ledger is started by rf-supervisor; use `ringfence`");
	return 0;
}

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
	return r < 0 ? fail(&err) : 0;
}

int
main(int argc, char **argv)
{
	static struct ledger ledger;
	struct error err;
	unsigned uid, gid;
	log_program("rf-ledger");
	if (parse_arguments(argc, argv, &uid, &gid, &err) < 0)
		return fail(&err);
	(void)umask(027);
	/* A log that nobody reads and a limit on file sizes are errors to handle, not reasons to die. */
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
	/* Asked before anything is opened: a new descriptor takes the lowest free number. */
	ledger.has_arbiter = fcntl(SPAWN_PEER, F_GETFD) >= 0;
	ledger.has_listener = fcntl(SPAWN_LISTENER, F_GETFD) >= 0;
	if (confine_enter(&ledger_profile, SPAWN_STATE_DIR, uid, gid, SPAWN_CONFIG, &err) < 0 ||
	    start(&ledger, &err) < 0)
		return fail(&err);
	int r = loop_run(ledger.loop);
	if (r < 0)
		log_event(LOG_ERROR, "loop-failed", "reason", strerror(-r), NULL);
	int code = finish(&ledger);
	return r < 0 ? EXIT_RINGFENCE : code;
}
