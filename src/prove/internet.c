/* What sandboxes with a network could reach: a process of rf-attack on the host's loopback, with a resolver of its own,
 * and three policies that lead to one host there and not to its neighbours. Nothing leaves the host.
 *
 *     raw.prove.test   127.0.0.2   permitted in each policy: without it no attack would say anything
 *     open.prove.test  127.0.0.2   by HTTP, below /public
 *     inside.prove.test  127.0.0.1, ::1   what attacks want
 *
 *     network             rules and pins say 127.0.0.2: both locks
 *     network-policy      rules as above, but every pin is as wide as can be: rf-dialer would connect
 *     network-addresses   rules for every host and port there, without pins: only rf-dialer's look at addresses holds */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "prove/prove.h"
#include "prove/tree.h"
#include "sys/process.h"

#define START_MS 10000
#define LINE_BYTES 1024

/* Somebody must be trusted by, and nobody needs to be: made once, its key thrown away. */
static const char authorities[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBsjCCAVegAwIBAgIUUV9mXlz0q+GHF4BOeuDOIJs9WNwwCgYIKoZIzj0EAwIw\n"
    "LTErMCkGA1UEAwwicmluZ2ZlbmNlIHByb3ZlOiB0cnVzdGVkIGJ5IG5vYm9keTAg\n"
    "Fw0yNjExMjExNzMzMDFaGA8yMTI2MTAyODE3MzMwMVowLTErMCkGA1UEAwwicmlu\n"
    "Z2ZlbmNlIHByb3ZlOiB0cnVzdGVkIGJ5IG5vYm9keTBZMBMGByqGSM49AgEGCCqG\n"
    "SM49AwEHA0IABJFNfHdqI1cvNaKxg+vTWaSQ/Da/EgZmazERdZb51dxS/JtvoYgS\n"
    "X4vfjjRULJNCYWIwORmFhmEz5Ywp/VWvXUCjUzBRMB0GA1UdDgQWBBR0Vd7+LBlf\n"
    "cOL0nra2sEz5gMY1mDAfBgNVHSMEGDAWgBR0Vd7+LBlfcOL0nra2sEz5gMY1mDAP\n"
    "BgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0kAMEYCIQDnth5Up+PwpekFxOBC\n"
    "UJqWL+vwWv/A65nsPBT1EtxwrgIhAInBk8CpRvybHWWAzb83uvNPc7NZSegnaAFP\n"
    "7YEBvwke\n"
    "-----END CERTIFICATE-----\n";

static const char config_text[] = "network:\n"
				  "  resolvers: [127.0.0.1:%s]\n"
				  "  authorities: %s/authorities.pem\n";

/* Ports of the raw server and of the one of HTTP, then the pins; twice. */
static const char policy_text[] =
    "version: 1\n"
    "name: prove-%s\n"
    "sandbox:\n"
    "  workspace: staged\n"
    "  limits: {cpu: 2, memory: 512MiB, processes: 512, disk: 128MiB, wall: 5m, output: 64MiB, "
    "open_files: 1024}\n"
    "rules:\n"
    "  - {name: attacks, why: what is proved is the boundary, allow: exec, program: any}\n"
    "  - {name: raw, why: what is permitted must work, allow: net, hosts: [raw.prove.test],\n"
    "     ports: [%s], addresses: [%s]}\n"
    "  - {name: web, why: what is permitted must work, allow: http, schemes: [http],\n"
    "     hosts: [open.prove.test], ports: [%s], methods: [GET, POST], paths: [/public/**],\n"
    "     addresses: [%s]}\n";
static const char wide_rules[] = "  - {name: wide, why: the policy is not the lock here, allow: "
				 "net, hosts: [127.0.0.1, \"::1\",\n"
				 "     inside.prove.test], ports: [%s, %s]}\n";

static const struct {
	const char *name, *pins;
	bool wide;
} policies[] = {
    {"network", "127.0.0.2/32", false},
    {"network-policy", "127.0.0.0/8, \"::1/128\"", false},
    {"network-addresses", "127.0.0.2/32", true},
};

const char *
internet_policy(enum lock lock)
{
	return policies[lock == LOCK_POLICY ? 1 : lock == LOCK_ADDRESSES ? 2 : 0].name;
}

static int
write_policies(const struct prove *p)
{
	char path[160], text[2400];
	const char *tcp = json_get_str(p->internet_keys, "tcp", ""),
		   *other = json_get_str(p->internet_keys, "other", ""),
		   *web = json_get_str(p->internet_keys, "web", "");
	int r = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(policies); i++) {
		int n = snprintf(text, sizeof(text), policy_text, policies[i].name, tcp,
		    policies[i].pins, web, policies[i].pins);
		if (policies[i].wide)
			(void)snprintf(text + n, sizeof(text) - (size_t)n, wide_rules, tcp, other);
		(void)snprintf(path, sizeof(path), "%s/%s.yaml", p->base, policies[i].name);
		r = tree_write(path, text);
	}
	return r;
}

static int
write_configuration(const struct prove *p)
{
	char path[160], text[400];
	(void)snprintf(path, sizeof(path), "%s/authorities.pem", p->base);
	int r = tree_write(path, authorities);
	(void)snprintf(path, sizeof(path), "%s/config.yaml", p->base);
	(void)snprintf(text, sizeof(text), config_text,
	    json_get_str(p->internet_keys, "resolver", ""), p->base);
	return r < 0 ? r : tree_write(path, text);
}

/* Its line that says where it is. */
static int
read_keys(struct prove *p, int fd)
{
	char line[LINE_BYTES];
	size_t n = 0;
	struct json *said = NULL;
	while (n < sizeof(line) && (n == 0 || line[n - 1] != '\n')) {
		struct pollfd ready = {.fd = fd, .events = POLLIN};
		ssize_t got = poll(&ready, 1, START_MS) == 1 ? read(fd, line + n, 1) : 0;
		if (got <= 0)
			return -EIO;
		n++;
	}
	int r = json_parse(line, n, &said, NULL);
	if (r == 0)
		p->internet_keys = json_detach(said, "fixtures");
	json_free(said);
	return r < 0 ? r : p->internet_keys == NULL ? -EIO : 0;
}

static int
start(struct prove *p)
{
	static const char *const argv[] = {"rf-attack", "--internet", NULL};
	int pair[2];
	if (pipe2(pair, O_CLOEXEC) < 0)
		return -errno;
	_cleanup_close_ int ours = pair[0];
	int fds[] = {-1, pair[1], -1};
	struct process_spec spec = {.program_fd = p->attack_fd,
	    .argv = argv,
	    .envp = argv + 2,
	    .fds = fds,
	    .n_fds = 3,
	    .die_with_parent = true,
	    .unblock_signals = true};
	int r = process_start(&spec, &p->internet_pid, &p->internet);
	(void)close(pair[1]);
	if (r < 0)
		return r;
	keeper_know(p, p->internet_pid);
	return read_keys(p, ours);
}

void
internet_start(struct prove *p)
{
	int r = start(p);
	if (r == 0)
		r = write_configuration(p);
	if (r == 0)
		r = write_policies(p);
	if (r == 0)
		return;
	p->internet_keys = json_free(p->internet_keys);
	(void)snprintf(p->internet_missing, sizeof(p->internet_missing),
	    "there is nothing to be reached: %s", strerror(-r));
}

void
internet_stop(struct prove *p)
{
	p->internet_keys = json_free(p->internet_keys);
	if (p->internet < 0)
		return;
	(void)process_signal(p->internet, SIGKILL);
	(void)process_reap(p->internet, true, NULL);
	keeper_forget(p, p->internet_pid);
	(void)close(TAKE_FD(p->internet));
}
