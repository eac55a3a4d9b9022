/* How a process of a trial is started: as its caller would start it, with one lock, or in a sandbox of the
 * product. */
#pragma once

#include "prove/actor.h"

enum place {
	PLACE_HOST, /* the host as it is */
	PLACE_CONTROL, /* no lock; only the attack's own directory is set apart, and bounds where it needs them */
	PLACE_LOCK,    /* one lock and nothing else */
	PLACE_SANDBOX, /* `ringfence run` */
};

struct launch {
	enum place place;
	enum lock lock; /* PLACE_LOCK */
	const struct attack *attack;
	unsigned number;         /* of the trial: marks its processes */
	const struct json *argv; /* of rf-attack, from argv[0] on */
	const char *dir;         /* host's path of the directory that it may write */
	const char *workspace;   /* host's path; holds a copy of rf-attack */
	bool fixture;            /* what attacks aim at: its files lie on the host */
	bool input;              /* standard input is a pipe that stays open; else /dev/null */
};

/* Whether what is started there sees the sandbox's root instead of the host's. */
bool launch_private_root(
    const struct prove *p, const struct attack *attack, enum place place, enum lock lock);
/* Starts it and fills A's descriptors. 0 or -errno with ERR; -EOPNOTSUPP: the lock cannot be had here. */
int launch_start(struct actor *a, const struct launch *l, struct error *err) MUST_CHECK;
