/* rf-issuer(8): exchanges a secret that never leaves for a token of short life.
 *
 *     rf-issuer --uid N --gid N
 *
 * Started by rf-supervisor, with its descriptors (ipc/spawn.h), once the vault has something to exchange.
 *
 *   uid            its own, or the caller's where Ringfence runs without root
 *   capabilities   none
 *   system calls   profile.c: sockets that it was given, no new ones: no socket, no connect, no bind, no open, no exec
 *   paths          none (chroot into an empty directory as root; Landlock without a rule always)
 *   peers          the supervisor (introduces), the vault (asks), the dialer (connects, for a ticket of the arbiter that
 *                  names a host which the configuration pins)
 *   secrets        one private key or client secret, and its token, for as long as one exchange takes; what is freed is
 *                  wiped (base/wiping_heap.c)
 *   hostile bytes  what issuers answer, once their certificates are good
 *   if compromised an attacker has the secrets that are exchanged from then on. They can reach no host but the pinned
 *                  issuers, one connection for each allowed action that needs a token, and no file.
 *
 * The pins and the authorities that issuers are trusted by are read before the first lock. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "base/log.h"
#include "ipc/spawn.h"
#include "issuer/issuer.h"
#include "issuer/profile.h"

#define BUNDLE_BYTES_MAX (8u * 1024 * 1024)
#define LOCK_ALL_BYTES (64UL << 20)

static int
read_authorities(struct issuer *issuer, struct error *err)
{
	const char *path = issuer->config->authorities;
	_cleanup_buf_ struct buf bundle;
	buf_init(&bundle, BUNDLE_BYTES_MAX);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	int r = fd < 0 ? -errno : spawn_read(fd, &bundle);
	if (r < 0)
		return error_set_errno(err, -r, "no_authorities",
		    "the authorities that issuers are trusted by: %s", path);
	issuer->trust = tls_trust_new(buf_str(&bundle), bundle.len, err);
	return issuer->trust != NULL ? 0 : -EINVAL;
}

/* All that needs the host's files. */
static int
prepare(struct issuer *issuer, struct error *err)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, CONFIG_BYTES_MAX);
	int r = tls_init(err);
	if (r < 0)
		return r;
	if (fcntl(SPAWN_CONFIG, F_GETFD) >= 0 && spawn_read(SPAWN_CONFIG, &text) < 0)
		return error_set(err, EIO, "config_unreadable", "the configuration cannot be read");
	r = config_load(buf_str(&text), text.len, "config.yaml", &issuer->config, err);
	return r < 0 || issuer->config->n_issuers == 0 ? r : read_authorities(issuer, err);
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
	if (lock.rlim_cur >= LOCK_ALL_BYTES)
		(void)mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
}

int
main(int argc, char **argv)
{
	static struct issuer issuer;
	struct error err = {.code = ""};
	unsigned uid, gid;
	log_program("rf-issuer");
	(void)umask(077);
	(void)signal(SIGPIPE, SIG_IGN);
	/* Certificates have dates, and glibc looks for a file of the time zone at each one unless told. */
	(void)setenv("TZ", "UTC0", 1);
	tzset();
	if (spawn_arguments(argc, argv, /* wanted= */ 0, &uid, &gid, &err) < 0)
		return spawn_fail(&err);
	keep_in_memory();
	if (prepare(&issuer, &err) < 0 ||
	    confine_enter(&issuer_profile, SPAWN_STATE_DIR, uid, gid, SPAWN_STATE_DIR, &err) < 0)
		return spawn_fail(&err);
	int r = loop_new(&issuer.loop);
	if (r == 0)
		r = dispatch_start(&issuer);
	if (r < 0) {
		(void)error_set_errno(&err, -r, "start_failed", "the event loop");
		return spawn_fail(&err);
	}
	return loop_run(issuer.loop) < 0 ? SPAWN_EXIT_FAILED : 0;
}
