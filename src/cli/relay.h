/* Three byte streams between the caller's standard descriptors and the sandbox's pipes, moved by
 * poll(2) and splice(2). No stream can hold up another, nor the conversation with the supervisor. */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/macros.h"
#include "cli/ttyfilter.h"

enum { RELAY_IN, RELAY_OUT, RELAY_ERR, RELAY_CHANNELS };
#define RELAY_POLL_FDS (2 * RELAY_CHANNELS)

enum channel_state {
	CHANNEL_READ,  /* waits for bytes at `in` */
	CHANNEL_WRITE, /* has bytes, waits for room at `out` */
	CHANNEL_CLOSED,
};

struct channel {
	int in;
	int out;
	bool own_in; /* close it at the end */
	bool own_out;
	enum channel_state state;
	bool splice;                /* until the kernel says that it cannot */
	struct ttyfilter *filter;   /* owned; NULL: bytes pass as they are */
	struct buf *capture;        /* borrowed; instead of `out` */
	uint8_t *buffer;            /* owned; made when splice does not do */
	size_t pending, pending_at; /* bytes in buffer that are not written yet */
	uint64_t count;             /* bytes that passed */
	int error;                  /* why it closed early: -EPIPE, …; 0 at end of file */
	bool to_terminal;           /* `out` is a terminal's master: end of file is typed */
	uint8_t last;               /* the last byte that passed, or 0 */
	bool ends;                  /* nothing comes after what is pending */
};

struct relay {
	struct channel ch[RELAY_CHANNELS];
	int64_t limit; /* output bytes, both together; 0 is none, negative is not known yet */
	bool over;     /* the sandbox wrote more than that; the rest is dropped */
};

/* Streams 0, 1, 2 of the caller against the sandbox's ends PIPES (taken): the write end of its input,
 * the read ends of its outputs; a stream without one (-1) is closed. With CAPTURE (two buffers, borrowed) outputs go there. */
void relay_init(struct relay *r, const int pipes[RELAY_CHANNELS], struct buf *capture);
void relay_done(struct relay *r);
/* Instead of relay_init, as soon as there is one: streams 0 and 1 of the caller against the terminal whose
 * MASTER (taken) is ours. 0 or -errno. */
int relay_open_terminal(struct relay *r, int master, struct buf *capture) MUST_CHECK;
/* Filters what goes to a terminal; allocates only where an output is one. 0 or -ENOMEM. */
int relay_filter_terminals(struct relay *r, enum ttyfilter_mode mode) MUST_CHECK;
/* Fills FDS with what to wait for (fd -1 where nothing). */
void relay_prepare(struct relay *r, struct pollfd fds[RELAY_POLL_FDS]);
/* Moves what poll found ready. Returns whether anything was. */
bool relay_step(struct relay *r, const struct pollfd fds[RELAY_POLL_FDS]);
/* The sandbox is gone: its input is closed, and outputs end when their pipes are empty. */
void relay_close_input(struct relay *r);
/* Drops what is still to come. */
void relay_discard(struct relay *r);
/* Whether an output still waits for room to write. */
bool relay_blocked(const struct relay *r);
bool relay_finished(const struct relay *r);
/* Bytes of output that passed, both streams. */
uint64_t relay_output(const struct relay *r);
