/* The addresses that a sandbox's names have: synthetic, one per name and sandbox, so that a connection's destination
 * says which name it is for. IPv4 from 198.18.0.0/15 (RFC 2544: nobody's), IPv6 from a prefix of our own
 * (fd52:6600::/64); where each sandbox begins is random, so that another's address means nothing here. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <netinet/in.h>

#include "base/macros.h"

#define NAMES_MAX 16384
#define NAMES_RESOLVER "198.18.0.1"

struct names;
struct names *names_new(void);
struct names *names_free(struct names *names);
/* The number of NAME (lower case, no trailing dot), which it keeps. Negative: -ENOSPC, -ENOMEM. */
int names_add(struct names *names, const char *name) MUST_CHECK;
void names_ipv4(const struct names *names, int number, struct in_addr *ret);
void names_ipv6(const struct names *names, int number, struct in6_addr *ret);
/* The name that ADDRESS (IPv4 mapped too) was given for; NULL if it was never given here. Borrowed. */
const char *names_find(const struct names *names, const struct in6_addr *address);
/* Whether it is of the ranges above at all. */
bool names_is_synthetic(const struct in6_addr *address);
