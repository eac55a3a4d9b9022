/* The network of a sandbox that may reach something: every address is local, and behind the ports that rules name
 * stand listening sockets, which whoever decides gets. */
#pragma once

#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"

/* Raises the loopback interface. 0 or -errno. */
int network_raise_loopback(void) MUST_CHECK;
/* Routes, listeners as NETWORK (the plan's) says, which go out by INIT_LISTENERS through CONTROL; none stays here. What
 * the kernel says of it afterwards goes into EVIDENCE as "network". Needs CAP_NET_ADMIN over this network namespace,
 * and CAP_NET_BIND_SERVICE. 0 or -errno with ERR. */
int network_open(const struct json *network, int control, struct json *evidence, struct error *err)
    MUST_CHECK;
/* In the finished root, as "/" and still without Landlock: the file system PLAN_NETWORK with the bundle of authorities
 * (what BUNDLE can read; -1: none) and resolv.conf, read-only, and both shown at the usual places. 0 or -errno with ERR. */
int network_show(const struct json *network, int bundle, struct error *err) MUST_CHECK;
