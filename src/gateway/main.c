/* rf-gateway: what the sandboxes of one tenant meet instead of a network.
 *
 *   uid            its own (--uid N --gid N, when the supervisor is root), else the caller's
 *   capabilities   none; no_new_privs; not dumpable
 *   system calls   profile.c: sockets that it was given, no new ones: no socket, no connect, no bind
 *   paths          none (chroot into an empty directory as root; Landlock without a rule always)
 *   peers          rf-supervisor, rf-arbiter, rf-dialer, rf-vault by socket pair
 *   secrets        the keys of its sandboxes' authorities, in memory; credentials that were granted, for
 *                  as long as their grants last
 *   hostile bytes  everything that the agent sends, and everything that upstreams answer
 *   if compromised an attacker can ask the arbiter for what the tenant's policy allows, under its name and
 *                  on record, and use what is granted for that; read and change what the tenant's sandboxes
 *                  exchange with hosts that they may reach. They cannot reach anything the arbiter did not
 *                  sign a ticket for, get a credential that no allowed action needs, or see another
 *                  tenant's.
 *
 * The authorities that upstreams are trusted by are read before the first lock. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "base/log.h"
#include "gateway/dispatch.h"
#include "gateway/gateway.h"
#include "gateway/profile.h"
#include "ipc/spawn.h"
#include "policy/config.h"

#define BUNDLE_BYTES_MAX (8u * 1024 * 1024)

/* Whom upstreams must be vouched for by: what the configuration names, else the system's bundle. */
static int
read_authorities(struct gateway *gateway, struct error *err)
{
	_cleanup_buf_ struct buf text;
	struct config *config = NULL;
	buf_init(&text, CONFIG_BYTES_MAX);
	if (fcntl(SPAWN_CONFIG, F_GETFD) >= 0 && spawn_read(SPAWN_CONFIG, &text) < 0)
		return error_set(err, EIO, "config_unreadable", "the configuration cannot be read");
	int r = config_load(buf_str(&text), text.len, "config.yaml", &config, err);
	if (r < 0)
		return r;
	const char *path = config->authorities != NULL ? config->authorities : CONFIG_AUTHORITIES;
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	r = fd < 0 ? -errno : spawn_read(fd, &gateway->bundle);
	if (r < 0)
		(void)error_set_errno(err, -r, "no_authorities",
		    "the authorities that upstreams are trusted by: %s", path);
	config_free(config);
	if (r == 0)
		gateway->trust = tls_trust_new(buf_str(&gateway->bundle), gateway->bundle.len, err);
	return gateway->trust == NULL ? -EINVAL : 0;
}

/* As many descriptors as we may have: a connection takes two. */
static void
raise_files(void)
{
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
}

int
main(int argc, char **argv)
{
	static struct gateway gateway;
	struct error err = {.code = ""};
	unsigned uid, gid;
	log_program("rf-gateway");
	buf_init(&gateway.bundle, BUNDLE_BYTES_MAX);
	(void)umask(077);
	(void)signal(SIGPIPE, SIG_IGN);
	/* Certificates have dates, and glibc looks for a file of the time zone at each one unless told. */
	(void)setenv("TZ", "UTC0", 1);
	tzset();
	raise_files();
	if (spawn_arguments(argc, argv, /* wanted= */ 0, &uid, &gid, &err) < 0 ||
	    read_authorities(&gateway, &err) < 0 ||
	    confine_enter(&gateway_profile, SPAWN_STATE_DIR, uid, gid, SPAWN_STATE_DIR, &err) < 0)
		return spawn_fail(&err);
	int r = loop_new(&gateway.loop);
	if (r == 0)
		r = dispatch_start(&gateway);
	if (r < 0) {
		(void)error_set_errno(&err, -r, "start_failed", "the event loop");
		return spawn_fail(&err);
	}
	return loop_run(gateway.loop) < 0 ? SPAWN_EXIT_FAILED : 0;
}
