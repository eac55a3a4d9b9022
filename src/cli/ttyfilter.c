/* A terminal's parser, kept small (after ECMA-48 and xterm's control sequences):
 *
 *   TEXT ─ESC→ ESCAPE ─[→ CSI ─final→ TEXT            (kept if csi_passes)
 *                     ├─] P X ^ _→ STRING ─BEL, ESC \→ TEXT   (dropped)
 *                     ├─intermediate→ NF ─final→ TEXT        (kept if it is a character set, for programs)
 *                     └─other→ TEXT                         (kept if it is plain, for programs)
 *   TEXT ─lead byte→ UTF8 ─last continuation→ TEXT
 *
 * An unfinished string swallows what follows, as the terminal would: but not past a newline, so that
 * output cannot be hidden for ever by one ESC ].
 *
 * Only whole sequences come out: the terminal itself is never in the middle of one when other bytes
 * follow. ESC % @ stays out because it would make C1 controls of the middle bytes of UTF-8. */
#include "cli/ttyfilter.h"

#include <string.h>

#include "base/macros.h"

enum { TEXT, ESCAPE, CSI, CSI_DROP, NF, STRING, STRING_ESCAPE, UTF8 };

/* Private modes (DECSET) that change nothing but how the program is shown and what keys and mouse send
 * it. Not among them: the width of the window (3), printing, and reports of the terminal's own accord. */
static const uint16_t private_modes[] = {1, 4, 5, 6, 7, 8, 9, 12, 25, 45, 47, 66, 69, 1000, 1002,
    1003, 1004, 1005, 1006, 1015, 1016, 1034, 1047, 1048, 1049, 2004, 2026};
static const uint16_t ansi_modes[] = {4, 20};

/* Finals of control sequences that move, erase, insert, delete, scroll and set tabs or margins. */
#define CSI_DRAWS "@ABCDEFGHIJKLMPSTXZ`abdefgrsu"

static bool
is_listed(unsigned value, const uint16_t *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == value)
			return true;
	return false;
}

/* Whether all numbers from P to END (and there is one) are in LIST. */
static bool
all_listed(const uint8_t *p, const uint8_t *end, const uint16_t *list, size_t n)
{
	unsigned value = 0;
	for (; p < end; p++) {
		if (*p == ';') {
			if (!is_listed(value, list, n))
				return false;
			value = 0;
		} else if (*p < '0' || *p > '9' || value > 9999) {
			return false;
		} else {
			value = value * 10 + (unsigned)(*p - '0');
		}
	}
	return is_listed(value, list, n);
}

static bool
has_value(const uint8_t *p, const uint8_t *end, unsigned wanted)
{
	unsigned value = 0;
	for (; p < end; p++) {
		if (*p == ';' && value == wanted)
			return true;
		value = *p == ';' ? 0 : value * 10 + (unsigned)(*p - '0');
	}
	return value == wanted;
}

/* The mode sequence from P to END with FINAL was let through: remembers what has to be undone. */
static void
note_mode(struct ttyfilter *f, const uint8_t *p, const uint8_t *end, uint8_t final)
{
	if (has_value(p, end, 47) || has_value(p, end, 1047) || has_value(p, end, 1049))
		f->alternate = final != 'l'; /* restored: it may be either */
	if (has_value(p, end, 69))
		f->margins = true;
}

/* Whether a private sequence ("ESC [ ? P…END FINAL") is harmless from a program. */
static bool
private_passes(struct ttyfilter *f, const uint8_t *p, const uint8_t *end, uint8_t final)
{
	if (final == 'J' || final == 'K') /* erase what is not protected */
		return end - p == 0 || (end - p == 1 && *p >= '0' && *p <= '3');
	if (final == 0 || strchr("hlrs", final) == NULL ||
	    !all_listed(p, end, private_modes, ARRAY_LEN(private_modes)))
		return false;
	if (final != 's')
		note_mode(f, p, end, final);
	return true;
}

/* Whether the sequence in HELD, from its ESC [ to before FINAL, may pass. */
static bool
csi_passes(struct ttyfilter *f, uint8_t final)
{
	const uint8_t *p = f->held + 2, *end = f->held + f->n_held;
	bool plain = true, single = true;
	for (const uint8_t *at = p; at < end; at++) {
		plain = plain && ((*at >= '0' && *at <= '9') || *at == ';' || *at == ':');
		single = single && *at != ';';
	}
	if (final == 'm' && plain)
		return true;
	if (f->mode != TTYFILTER_PROGRAM)
		return false;
	if (p < end && *p == '?')
		return private_passes(f, p + 1, end, final);
	if (end - p == 1 && *p == '!' && final == 'p') /* soft reset */
		return true;
	if (p < end && end[-1] == ' ' && final == 'q') /* cursor shape */
		return end - p == 1 || (end - p == 2 && *p >= '0' && *p <= '6');
	if (!plain)
		return false;
	if (final == 'h' || final == 'l')
		return all_listed(p, end, ansi_modes, ARRAY_LEN(ansi_modes));
	if (final == 'T' && !single) /* with more numbers it tracks the mouse and waits for us */
		return false;
	f->margins = f->margins || final == 'r' || (final == 's' && p < end);
	return strchr(CSI_DRAWS, final) != NULL;
}

static size_t
flush_held(struct ttyfilter *f, uint8_t *out)
{
	memcpy(out, f->held, f->n_held);
	size_t n = f->n_held;
	f->n_held = 0;
	f->state = TEXT;
	return n;
}

static void
forget(struct ttyfilter *f, uint8_t state)
{
	f->n_held = 0;
	f->state = state;
}

/* Bell, backspace, vertical tab, form feed, shift out and in. Not ENQ: it makes the terminal answer. */
static bool
is_program_control(uint8_t c)
{
	return c == 0x07 || c == 0x08 || c == 0x0b || c == 0x0c || c == 0x0e || c == 0x0f;
}

static size_t
text_byte(struct ttyfilter *f, uint8_t c, uint8_t *out)
{
	f->state = TEXT;
	if (c == 0x1b) {
		f->held[0] = c;
		f->n_held = 1;
		f->state = ESCAPE;
	} else if ((c >= 0x20 && c < 0x7f) || c == '\n' || c == '\t' || c == '\r' ||
	    (f->mode == TTYFILTER_PROGRAM && is_program_control(c))) {
		*out = c;
		return 1;
	} else if (c >= 0xc2 && c <= 0xf4) {
		f->held[0] = c;
		f->n_held = 1;
		f->need = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
		f->state = UTF8;
	} else if (c >= 0x80) {
		*out = '?';
		return 1;
	}
	return 0;
}

/* Whether the complete sequence in HELD is well-formed (RFC 3629) and not a C1 control. */
static int
utf8_shown(const uint8_t *p)
{
	if (p[0] == 0xc2)
		return p[1] >= 0xa0;
	if (p[0] == 0xe0)
		return p[1] >= 0xa0;
	if (p[0] == 0xed)
		return p[1] <= 0x9f;
	if (p[0] == 0xf0)
		return p[1] >= 0x90;
	return p[0] != 0xf4 || p[1] <= 0x8f;
}

static size_t
utf8_byte(struct ttyfilter *f, uint8_t c, uint8_t *out)
{
	if ((c & 0xc0) != 0x80) {
		forget(f, TEXT);
		*out = '?';
		return 1 + text_byte(f, c, out + 1);
	}
	f->held[f->n_held++] = c;
	if (--f->need > 0)
		return 0;
	if (utf8_shown(f->held))
		return flush_held(f, out);
	forget(f, TEXT);
	*out = '?';
	return 1;
}

static size_t
escape_byte(struct ttyfilter *f, uint8_t c, uint8_t *out)
{
	f->held[f->n_held++] = c;
	if (c == '[') {
		f->state = CSI;
	} else if (c == ']' || c == 'P' || c == 'X' || c == '^' || c == '_') {
		forget(f, STRING);
	} else if (c == 0x1b) { /* starts over */
		f->n_held = 1;
	} else if (c == '\n') {
		forget(f, TEXT);
		return text_byte(f, c, out);
	} else if (c >= 0x20 && c <= 0x2f) {
		f->state = NF;
	} else if (f->mode == TTYFILTER_PROGRAM && c > 0x2f && strchr("78DEHM=>c", c) != NULL) {
		if (c == 'c')
			f->alternate = f->margins = false;
		return flush_held(f, out);
	} else {
		forget(f, TEXT);
	}
	return 0;
}

/* The second half of ESC intermediate final: a character set for one of G0 to G3. */
static size_t
nf_byte(struct ttyfilter *f, uint8_t c, uint8_t *out)
{
	if (c == 0x1b || c == '\n') {
		forget(f, TEXT);
		return text_byte(f, c, out);
	}
	uint8_t set = f->held[f->n_held - 1];
	bool one = f->n_held == 2;
	if (c >= 0x20 && c <= 0x2f) {
		f->held[1] = '#'; /* more than one: none that we pass */
		return 0;
	}
	if (f->mode == TTYFILTER_PROGRAM && one && set >= '(' && set <= '+' &&
	    (c == '0' || c == 'A' || c == 'B')) {
		f->held[f->n_held++] = c;
		return flush_held(f, out);
	}
	forget(f, TEXT);
	return 0;
}

static size_t
csi_byte(struct ttyfilter *f, uint8_t c, uint8_t *out)
{
	bool more = c >= 0x20 && c <= 0x3f;
	if (more && f->state == CSI && f->n_held + 2u < sizeof(f->held)) {
		f->held[f->n_held++] = c;
		return 0;
	}
	if (more) {
		forget(f, CSI_DROP);
		return 0;
	}
	if (f->state == CSI && c > 0x3f && c < 0x7f && csi_passes(f, c)) {
		f->held[f->n_held++] = c;
		return flush_held(f, out);
	}
	forget(f, TEXT);
	if (c == 0x1b || c == '\n') /* the sequence is abandoned; the byte counts again */
		return text_byte(f, c, out);
	return 0;
}

static size_t
filter_byte(struct ttyfilter *f, uint8_t c, uint8_t *out)
{
	switch (f->state) {
	case ESCAPE:
		return escape_byte(f, c, out);
	case CSI:
	case CSI_DROP:
		return csi_byte(f, c, out);
	case NF:
		return nf_byte(f, c, out);
	case STRING:
		if (c == '\n')
			return text_byte(f, c, out);
		f->state = c == 0x07 || c == 0x18 || c == 0x1a ? TEXT
		    : c == 0x1b                                ? STRING_ESCAPE
							       : STRING;
		return 0;
	case STRING_ESCAPE:
		f->state = TEXT;
		if (c != '\\') {
			f->held[0] = 0x1b;
			f->n_held = 1;
			return escape_byte(f, c, out);
		}
		return 0;
	case UTF8:
		return utf8_byte(f, c, out);
	default:
		return text_byte(f, c, out);
	}
}

size_t
ttyfilter_run(struct ttyfilter *f, const uint8_t *in, size_t len, uint8_t *out)
{
	size_t at = 0;
	for (size_t i = 0; i < len; i++)
		at += filter_byte(f, in[i], out + at);
	return at;
}

size_t
ttyfilter_reset(const struct ttyfilter *f, uint8_t *out)
{
	/* Keys, mouse, focus, paste, synchronized output; wrap, insert; cursor shown and of its usual
	 * shape; character set, colours. None of these moves the cursor. */
	static const char always[] = "\033[?1l\033>\033[?9l\033[?1000l\033[?1002l\033[?1003l"
				     "\033[?1004l\033[?2004l\033[?2026l\033[?5l\033[?7h\033[4l"
				     "\033[?25h\033[0 q\017\033(B\033[m";
	static const char screen[] = "\033[?1049l", margins[] = "\0337\033[?69l\033[r\0338";
	_Static_assert(sizeof(always) + sizeof(screen) + sizeof(margins) <= TTYFILTER_RESET_MAX,
	    "TTYFILTER_RESET_MAX is too small");
	size_t n = 0;
	if (f->alternate) {
		memcpy(out, screen, sizeof(screen) - 1);
		n += sizeof(screen) - 1;
	}
	if (f->margins) {
		memcpy(out + n, margins, sizeof(margins) - 1);
		n += sizeof(margins) - 1;
	}
	memcpy(out + n, always, sizeof(always) - 1);
	return n + sizeof(always) - 1;
}
