/* rf-dialer(8): connects, and hands the connected socket to the gateway that asked.
 *
 *     rf-dialer --uid N --gid N
 *
 * Started by rf-supervisor, with its descriptors (ipc/spawn.h). The gateways, which speak to agents and to the outside,
 * cannot make a socket; this program, which can, reads nothing of either. It connects only for a ticket of the
 * arbiter, resolves the name itself, checks every address that it gets and connects to the very address it checked.
 *
 * uid            its own, or the caller's where Ringfence runs without root
 * capabilities   none
 * system calls   profile.c: sockets of IPv4 and IPv6 and connect; no bind, listen, open, exec. It keeps one netlink
 *                socket that it asks for this host's addresses (own.c)
 * paths          none; before its locks the configuration, /etc/resolv.conf and /etc/hosts, once
 * peers          the supervisor (introduces), the arbiter (gives the key), gateways and rf-issuer (dial)
 * hostile bytes  what gateways say, and name servers' answers
 * secrets        the key that tickets are checked with
 *
 * If compromised, an attacker can connect to whatever this host can, and hand the connections to gateways. They see no
 * byte of the gateways' connections, no credential, no file, and cannot listen.
 *
 * It leaves when the supervisor's socket ends; and, to be started anew, when the host's clock was set back. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "base/log.h"
#include "dialer/dialer.h"
#include "dialer/own.h"
#include "dialer/profile.h"
#include "ipc/spawn.h"

#define NETLINK_FD SPAWN_LISTENER /* we have no listener */

/* Several sockets for each dial under way. What cannot be had makes dials fail, not us. */
static void
raise_descriptors(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* All that needs the host's files. */
static int
prepare(struct dialer *d, struct error *err)
{
	int r = settings_read(SPAWN_CONFIG, &d->settings, err);
	if (r == 0)
		r = resolver_new(buf_str(&d->settings.resolvers), &d->resolver, err);
	if (r == 0)
		r = own_open(NETLINK_FD, err);
	d->netlink = NETLINK_FD;
	raise_descriptors();
	return r;
}

static int
start(struct dialer *d, struct error *err)
{
	(void)close(SPAWN_STATE_DIR);
	d->tickets = tickets_new(TICKETS_MAX);
	int r = d->tickets == NULL ? -ENOMEM : loop_new(&d->loop);
	if (r == 0) {
		resolver_start(d->resolver, d->loop);
		r = dispatch_start(d);
	}
	return r < 0 ? error_set_errno(err, -r, "start_failed", "cannot serve the supervisor") : 0;
}

int
main(int argc, char **argv)
{
	static struct dialer dialer;
	struct error err = {.code = ""};
	unsigned uid, gid;
	log_program("rf-dialer");
	if (spawn_arguments(argc, argv, 1U << SPAWN_CONFIG, &uid, &gid, &err) < 0)
		return spawn_fail(&err);
	(void)signal(SIGPIPE, SIG_IGN);
	if (prepare(&dialer, &err) < 0 ||
	    confine_enter(&dialer_profile, SPAWN_STATE_DIR, uid, gid, NETLINK_FD + 1, &err) < 0 ||
	    start(&dialer, &err) < 0)
		return spawn_fail(&err);
	int r = loop_run(dialer.loop);
	explicit_bzero(dialer.key, sizeof(dialer.key));
	if (r < 0)
		log_event(LOG_ERROR, "loop-failed", "reason", strerror(-r), NULL);
	return r < 0 ? SPAWN_EXIT_FAILED : r;
}
