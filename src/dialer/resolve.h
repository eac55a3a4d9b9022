/* Names to addresses, by DNS: c-ares in our own loop.
 *
 * Nothing is cached: the host's resolver does that already, and a cache of ours would tell one tenant, by its speed,
 * what another has asked for. No search list, no hosts file, no /etc/services: what is asked is the name as it is. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"
#include "io/loop.h"

#define ADDRESSES_MAX 32 /* of one name; what is beyond is not looked at */

struct addresses {
	uint8_t items[ADDRESSES_MAX][16];
	size_t n;
};

struct resolver;
struct resolve;

/* STATUS: 0 with at least one address; -ENOENT (no such name, or no address), -EIO (no name server gave an answer)
 * or -ETIMEDOUT. FOUND is borrowed: IPv6 and IPv4 by turns. Called once, never from within resolve_new; RESOLVE is
 * freed after it. */
typedef void resolved_fn(int status, const struct addresses *found, void *data);

/* SERVERS is a list for ares_set_servers_ports_csv(3). To be called before the locks: afterwards neither the system's
 * random numbers nor its configuration can be opened. 0 or -errno with ERR. */
int resolver_new(const char *servers, struct resolver **ret, struct error *err) MUST_CHECK;
/* From now on it asks in LOOP. */
void resolver_start(struct resolver *resolver, struct loop *loop);
/* Frees it and all that it still resolves, without calling anyone. Accepts NULL; returns NULL. */
struct resolver *resolver_free(struct resolver *resolver);

/* Asks for the addresses of HOST, within LIMIT_MS. 0 or -ENOMEM. */
int resolve_new(struct resolver *resolver, const char *host, int64_t limit_ms, resolved_fn *fn,
    void *data, struct resolve **ret) MUST_CHECK;
/* FN will not be called. Accepts NULL; returns NULL. */
struct resolve *resolve_cancel(struct resolve *resolve);
