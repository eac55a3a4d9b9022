/* How attacks start one program of the product by itself, and speak to it in the place of its siblings. */
#pragma once

#include "ipc/msg.h"
#include "prove/attacks/attacks.h"

#define TALK_PATIENCE_MS 20000 /* no finding depends on it */

struct program {
	pid_t pid;
	int pidfd, supervisor; /* owned */
};

/* Whether LOCK ("ticket") is open in this trial: none of the others says anything of it then. */
bool is_open(const struct fixtures *f, const char *lock);
/* Starts NAME of the product's directory, with one of its own below dir, CONFIG as its configuration (a text), and the
 * descriptors LISTENER and PEER (borrowed; -1: none). Ends the program with `cannot` where that fails, as do the next ones. */
struct program start_program(
    const struct fixtures *f, const char *name, const char *config, int listener, int peer);
/* The other end of its new conversation with PEER ("arbiter", "gateway" NUMBER): owned. */
int introduce(const struct program *p, const char *peer, int number);
/* What FD says next into RET (msg_done), or false at its end. */
bool listen_to(int fd, struct msg *ret);
/* Sends a request and waits for its answer, passing over what else is said. 0 and RET, or -EREMOTEIO with what it
 * answered in ERR, or -ECONNRESET at the end of the conversation. */
int ask_program(int fd, uint16_t type, const struct json *body, const int *fds, unsigned n_fds,
    struct msg *ret, struct error *err);
/* Ends it; whether it was still there. */
bool end_program(struct program *p);
