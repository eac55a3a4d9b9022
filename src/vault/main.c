/* rf-vault(8): keeps secrets sealed, and hands one out for one action when the arbiter says so.
 *
 *     rf-vault --uid N --gid N
 *
 * Started by rf-supervisor, with its descriptors (ipc/spawn.h).
 *
 * uid            its own, or the caller's where Ringfence runs without root
 * capabilities   none
 * system calls   profile.c: its files, its sockets, memory; no socket, no connect, no exec
 * paths          its own directory, as root also its root directory (chroot)
 * peers          the supervisor (who may talk to it); the arbiter (grants); gateways (are told, never heard); rf-issuer
 *                (exchanges); root and the owner of this installation (set, list, remove)
 * secrets        the master key; each secret while it is sealed or handed out; tokens until they expire
 * hostile bytes  none of the agent's; what people send, of whom only two may
 *
 * If compromised, an attacker has every secret in it, and could send them where a gateway can be sent. It has no
 * network, and can write nowhere but into its own directory.
 *
 * The configured key's file or command is read before the locks, with the rights of whoever started us; the parser of
 * the configuration runs then, too. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/log.h"
#include "ipc/spawn.h"
#include "vault/profile.h"
#include "vault/vault.h"

#define LOCK_ALL_BYTES (64UL << 20) /* less may be locked than this: only the room is */

static _Alignas(4096) uint8_t room[SEAL_VALUE_MAX + 4096];

uint8_t *
vault_room(void)
{
	return room;
}

void
vault_room_wipe(void)
{
	explicit_bzero(room, sizeof(room));
}

/* Nothing of this process in a core file or, where the limits allow it, in swap. */
static void
keep_in_memory(void)
{
	struct rlimit lock = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
	static const struct rlimit no_core = {0};
	(void)setrlimit(RLIMIT_CORE, &no_core);
	if (setrlimit(RLIMIT_MEMLOCK, &lock) < 0 && getrlimit(RLIMIT_MEMLOCK, &lock) == 0) {
		lock.rlim_cur = lock.rlim_max;
		(void)setrlimit(RLIMIT_MEMLOCK, &lock);
	}
	if (mlock(room, sizeof(room)) < 0 || madvise(room, sizeof(room), MADV_DONTDUMP) < 0)
		log_event(LOG_WARNING, "memory-not-locked", "reason", strerror(errno), NULL);
	if (lock.rlim_cur >= LOCK_ALL_BYTES)
		(void)mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
}

static int
start(struct vault *vault, struct error *err)
{
	int r = secrets_load(&vault->secrets, err);
	if (r < 0)
		return r;
	key_read_own(&vault->key, vault->secrets.n > 0);
	if (!vault->key.seal.is_set)
		log_event(
		    LOG_ERROR, vault->key.error.code, "reason", vault->key.error.message, NULL);
	r = loop_new(&vault->loop);
	if (r == 0)
		r = dispatch_start(vault);
	return r < 0 ? error_set_errno(err, -r, "vault_unusable", "cannot serve its sockets") : 0;
}

int
main(int argc, char **argv)
{
	static struct vault vault;
	struct error err = {.code = ""};
	unsigned uid, gid;
	log_program("rf-vault");
	if (spawn_arguments(argc, argv, 1U << SPAWN_LISTENER, &uid, &gid, &err) < 0)
		return spawn_fail(&err);
	(void)umask(0077);
	/* A log that nobody reads and a limit on file sizes are errors to handle, not reasons to die. */
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
	vault.owner = getuid();
	keep_in_memory();
	key_read_outside(SPAWN_CONFIG, &vault.key, &vault.config);
	if (seal_prepare(&err) < 0 ||
	    confine_enter(&vault_profile, SPAWN_STATE_DIR, uid, gid, SPAWN_PEER, &err) < 0 ||
	    start(&vault, &err) < 0)
		return spawn_fail(&err);
	int r = loop_run(vault.loop);
	if (r < 0)
		log_event(LOG_ERROR, "loop-failed", "reason", strerror(-r), NULL);
	seal_key_done(&vault.key.seal);
	return r < 0 ? SPAWN_EXIT_FAILED : 0;
}
