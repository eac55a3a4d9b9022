/* The caller's own terminal while an interactive program runs: raw, so that every key goes to the program,
 * and put back on every way out. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <termios.h>

struct terminal {
	bool raw; /* it is, because of us */
	struct termios saved;
};

/* The size of the caller's terminal; 24 lines of 80 where there is none. */
void terminal_size(struct winsize *ret);
/* Makes the terminal of standard input raw; nothing where it is none, or not ours at the moment. A crash
 * of this process puts it back as well. */
void terminal_enter(struct terminal *t);
/* Puts it back, unless another process group has it now. */
void terminal_leave(struct terminal *t);
/* Writes to the terminal of standard output, unless it would have to wait. */
void terminal_write(const void *bytes, size_t len);
