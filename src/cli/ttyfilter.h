/* What of a sandbox's output a terminal may see: text, line control and colours. An agent must not
 * move the cursor over the lines of Ringfence, set the title, or make the terminal type answers. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct ttyfilter {
	uint8_t state;
	uint8_t need;     /* continuation bytes to come */
	uint8_t held[36]; /* the start of a sequence that may still turn out harmless */
	uint8_t n_held;
};

/* A zeroed struct is ready. Filters LEN bytes of IN into OUT (room for LEN + sizeof(held) bytes);
 * sequences may be split over calls. Returns the bytes written.
 *
 * Passes: printable ASCII, valid UTF-8 but for C1 controls, newline, tab, carriage return, and SGR
 * (ESC [ parameters m; ECMA-48, 8.3.117). Drops: other escape and control sequences whole, other control
 * bytes. Bytes that are not UTF-8 become "?". */
size_t ttyfilter_run(struct ttyfilter *f, const uint8_t *in, size_t len, uint8_t *out);
