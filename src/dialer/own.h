/* Whether an address is one of this host itself: what a connection to it would reach is not the internet. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"

/* Opens what own_is needs, as descriptor FD; before the locks. 0 or -errno with ERR. */
int own_open(int fd, struct error *err) MUST_CHECK;
/* Whether the kernel would bring bytes for ADDRESS to this host. Addresses that an administrator gave to the loopback
 * interface, beside 127.0.0.0/8 and ::1, do not count: they are of services, answered here for a whole network
 * (anycast, a balancer's). NETLINK is own_open's descriptor. */
bool own_is(int netlink, const uint8_t address[16]);
