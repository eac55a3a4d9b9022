/* A terminal's parser, kept small (after ECMA-48 and xterm's control sequences):
 *
 *   TEXT ─ESC→ ESCAPE ─[→ CSI ─final→ TEXT            (kept only if the final is 'm', all plain parameters)
 *                     ├─] P X ^ _→ STRING ─BEL, ESC \→ TEXT   (dropped)
 *                     ├─intermediate→ NF ─final→ TEXT        (dropped)
 *                     └─other→ TEXT                         (dropped)
 *   TEXT ─lead byte→ UTF8 ─last continuation→ TEXT
 *
 * An unfinished string swallows what follows, as the terminal would: but not past a newline, so that
 * output cannot be hidden for ever by one ESC ]. */
#include "cli/ttyfilter.h"

#include <stdbool.h>
#include <string.h>

#include "base/macros.h"

enum { TEXT, ESCAPE, CSI, CSI_DROP, NF, STRING, STRING_ESCAPE, UTF8 };

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

static size_t
text_byte(struct ttyfilter *f, uint8_t c, uint8_t *out)
{
	f->state = TEXT;
	if (c == 0x1b) {
		f->held[0] = c;
		f->n_held = 1;
		f->state = ESCAPE;
	} else if ((c >= 0x20 && c < 0x7f) || c == '\n' || c == '\t' || c == '\r') {
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

static void
escape_byte(struct ttyfilter *f, uint8_t c)
{
	f->held[f->n_held++] = c;
	if (c == '[')
		f->state = CSI;
	else if (c == ']' || c == 'P' || c == 'X' || c == '^' || c == '_')
		forget(f, STRING);
	else if (c >= 0x20 && c <= 0x2f)
		forget(f, NF);
	else
		forget(f, TEXT);
}

static size_t
csi_byte(struct ttyfilter *f, uint8_t c, uint8_t *out)
{
	bool plain = (c >= '0' && c <= '9') || c == ';' || c == ':';
	if (f->state == CSI && c == 'm') {
		f->held[f->n_held++] = c;
		return flush_held(f, out);
	}
	if (f->state == CSI && plain && f->n_held + 2u < sizeof(f->held)) {
		f->held[f->n_held++] = c;
		return 0;
	}
	forget(f, c >= 0x20 && c <= 0x3f ? CSI_DROP : TEXT);
	if (c == 0x1b || c == '\n') /* the sequence is abandoned; the byte counts again */
		return text_byte(f, c, out);
	return 0;
}

static size_t
filter_byte(struct ttyfilter *f, uint8_t c, uint8_t *out)
{
	switch (f->state) {
	case ESCAPE:
		escape_byte(f, c);
		return 0;
	case CSI:
	case CSI_DROP:
		return csi_byte(f, c, out);
	case NF:
		if (c < 0x20 || c > 0x2f)
			f->state = TEXT;
		return 0;
	case STRING:
		if (c == '\n')
			return text_byte(f, c, out);
		f->state = c == 0x07 ? TEXT : c == 0x1b ? STRING_ESCAPE : STRING;
		return 0;
	case STRING_ESCAPE:
		f->state = TEXT;
		if (c != '\\') {
			f->held[0] = 0x1b;
			f->n_held = 1;
			escape_byte(f, c);
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
