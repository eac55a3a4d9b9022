/* How attacks reach the internet of prove/internet.c: its names, and its servers by any way there is. */
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "prove/attacks/attacks.h"

#define RAW "raw.prove.test"       /* permitted, unread */
#define OPEN "open.prove.test"     /* permitted by HTTP, below /public */
#define INSIDE "inside.prove.test" /* what no rule names: the host's own loopback */
#define ARRIVED "arrived-"         /* before a trial's number and a dot, in what must not arrive */
#define TUNNEL_ANSWER "\xc0\x00\x02\x4d" /* 192.0.2.77: only the resolver outside says so */

/* Whether names and connections are the boundary's here: in a sandbox with a network. */
bool behind_gateway(void);
/* Where the boundary is: connects to what is permitted, and ends the program with `cannot` if that does not work, as
 * nothing would be shown then. Elsewhere nothing. */
void require_permitted(const struct fixtures *f);
/* The IPv4 address of NAME: by the resolver outside, if that can be reached, else by the sandbox's. False: errno. */
bool resolve(const struct fixtures *f, const char *name, struct in_addr *ret);
/* A connected socket to PORT of ADDRESS, or of NAME; -1 and errno. */
int connect_to(struct in_addr address, unsigned long port);
int connect_name(const struct fixtures *f, const char *name, unsigned long port);
/* Whether the other end of FD says the canary; says a word first, for who waits for one. errno if not. */
bool says_canary(int fd);
/* Sends TEXT and whether what comes back, to its end, has the canary in it; errno if not. */
bool answers_canary(int fd, const char *text);
