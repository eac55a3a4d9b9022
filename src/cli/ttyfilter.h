/* What of a sandbox's output a terminal may see.
 *
 * Text: text, line control and colours. An agent must not move the cursor over the lines of Ringfence,
 * set the title, or make the terminal type answers.
 *
 * Program (`-t`): besides, what an interactive program draws with. It owns the screen while it runs; but it
 * must not reach the clipboard or the title, nor make the terminal type anything: an answer could
 * arrive when the program is gone and the caller's shell reads. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ttyfilter_mode { TTYFILTER_TEXT, TTYFILTER_PROGRAM };

struct ttyfilter {
	uint8_t mode; /* enum ttyfilter_mode */
	uint8_t state;
	uint8_t need;     /* continuation bytes to come */
	uint8_t held[36]; /* the start of a sequence that may still turn out harmless */
	uint8_t n_held;
	bool alternate; /* the program shows the alternate screen */
	bool margins;   /* the program set margins */
};

/* A zeroed struct is ready, for text. Filters LEN bytes of IN into OUT (room for LEN + sizeof(held)
 * bytes); sequences may be split over calls. Returns the bytes written.
 *
 * Passes: printable ASCII, valid UTF-8 but for C1 controls, newline, tab, carriage return, and SGR
 * (ESC [ parameters m; ECMA-48, 8.3.117). Drops: other escape and control sequences whole, other control
 * bytes. Bytes that are not UTF-8 become "?".
 *
 * Of a program passes besides: bell, backspace, vertical tab, form feed, shifts; cursor, erase, insert,
 * delete, scroll, tabs and margins; save and restore; the modes that ttyfilter.c lists; ASCII, line
 * drawing and British character sets; cursor shape; resets. Never: OSC, DCS, APC, PM, SOS; reports and
 * whatever asks for one; window manipulation; printing; another encoding. */
size_t ttyfilter_run(struct ttyfilter *f, const uint8_t *in, size_t len, uint8_t *out);

#define TTYFILTER_RESET_MAX 160
/* What puts a terminal back into order after a program, whatever that left: OUT has room for
 * TTYFILTER_RESET_MAX bytes. Returns the bytes written. */
size_t ttyfilter_reset(const struct ttyfilter *f, uint8_t *out);
