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

#define EXIT_RINGFENCE 125
#define NETLINK_FD SPAWN_LISTENER /* we have no listener */

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
	if (!good || fcntl(SPAWN_SUPERVISOR, F_GETFD) < 0 || fcntl(SPAWN_STATE_DIR, F_GETFD) < 0 ||
	    fcntl(SPAWN_CONFIG, F_GETFD) < 0)
		return error_set(err, EINVAL, "not_for_people",
		    "rf-dialer is started by rf-supervisor; use `ringfence`");
	return 0;
}

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
	if (parse_arguments(argc, argv, &uid, &gid, &err) < 0)
		return fail(&err);
	(void)signal(SIGPIPE, SIG_IGN);
	if (prepare(&dialer, &err) < 0 ||
	    confine_enter(&dialer_profile, SPAWN_STATE_DIR, uid, gid, NETLINK_FD + 1, &err) < 0 ||
	    start(&dialer, &err) < 0)
		return fail(&err);
	int r = loop_run(dialer.loop);
	explicit_bzero(dialer.key, sizeof(dialer.key));
	if (r < 0)
		log_event(LOG_ERROR, "loop-failed", "reason", strerror(-r), NULL);
	return r < 0 ? EXIT_RINGFENCE : r;
}
