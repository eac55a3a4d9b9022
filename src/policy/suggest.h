/* "did you mean": the nearest known name by edit distance. */
#pragma once

#include <stddef.h>

struct suggestion {
	const char *text;
	const char *best; /* NULL while nothing is near; borrowed from what was offered */
	size_t distance;
};

/* Starts looking for what TEXT may have meant (TEXT is borrowed). */
struct suggestion suggest_begin(const char *text);
/* Offers a known NAME; the first of the nearest wins. */
void suggest_offer(struct suggestion *s, const char *name);
