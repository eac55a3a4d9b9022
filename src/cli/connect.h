/* Reaching the programs: join the supervisor that listens, or start one with us as its first client. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/macros.h"

struct connection {
	int fd;      /* owned: the conversation with the supervisor (blocking) */
	int lock_fd; /* owned: run/lock-start while a supervisor that we started gets ready; else -1 */
	bool started; /* we started it */
};

#define CONNECTION_INIT                 \
	{                               \
		.fd = -1, .lock_fd = -1 \
	}

enum connect_mode {
	CONNECT_JOIN,  /* -ENOTCONN if nobody listens */
	CONNECT_START, /* start it; it leaves when idle */
	CONNECT_STAY,  /* start it; it stays until `ringfence stop` */
};

/* 0, or -errno with one line in ERR. */
int connect_supervisor(enum connect_mode mode, struct connection *ret, struct error *err)
    MUST_CHECK;
/* The supervisor has answered, so it listens: lets others that want to start one look again. */
void connect_settled(struct connection *c);
void connect_done(struct connection *c);
/* The socket NAME ("arbiter") of the running programs, which are started first if MODE says so. Users
 * without programs of their own, and without RINGFENCE_STATE, reach root's.
 * A blocking fd, or -errno. */
int connect_program(const char *name, enum connect_mode mode, struct error *err) MUST_CHECK;
/* Becomes rf-supervisor on the state directory, until it is told to leave. Returns only with -errno and ERR. */
int connect_serve(struct error *err) MUST_CHECK;
