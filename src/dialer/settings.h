/* What rf-dialer reads before it locks itself up, and can never read again: who resolves names, and /etc/hosts.
 * After a change of these the supervisor has to be restarted. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/macros.h"

#define HOSTS_MAX 65536 /* lines' names; what is beyond is not looked at */

struct host {
	char *name; /* canonical; owned */
	uint8_t address[16];
};

struct settings {
	struct buf resolvers; /* "address:port,[address]:port" */
	struct host *hosts;
	size_t n_hosts;
};

/* Reads the configuration from CONFIG_FD (borrowed), /etc/resolv.conf and /etc/hosts. 0 or -errno with
 * ERR. */
int settings_read(int config_fd, struct settings *ret, struct error *err) MUST_CHECK;
void settings_done(struct settings *settings);

/* The parts, for tests. TEXT is a resolv.conf(5): appends its name servers, at most three. 0 or -ENOMEM. */
int settings_resolv_conf(const char *text, struct buf *resolvers) MUST_CHECK;
/* TEXT is a hosts(5). 0 or -ENOMEM. */
int settings_hosts(const char *text, struct settings *settings) MUST_CHECK;
/* Copies the addresses of NAME (any case, canonical) in /etc/hosts, at most MAX. How many. */
size_t settings_find(
    const struct settings *settings, const char *name, uint8_t (*ret)[16], size_t max);
