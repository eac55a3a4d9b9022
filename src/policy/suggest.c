/* The nearest known name, by Damerau-Levenshtein distance (insert, remove, change, swap neighbours).
 *
 * Near means: at most a third of the word is wrong, and at least one error is always forgiven. */
#include "policy/suggest.h"

#include <string.h>

#include "base/macros.h"

#define WORD_MAX 40

static size_t
distance(const char *a, size_t n, const char *b, size_t m)
{
	size_t rows[3][WORD_MAX + 1];
	size_t *before = rows[0], *above = rows[1], *row = rows[2];
	for (size_t j = 0; j <= m; j++)
		above[j] = j;
	for (size_t i = 1; i <= n; i++) {
		row[0] = i;
		for (size_t j = 1; j <= m; j++) {
			size_t change = above[j - 1] + (a[i - 1] != b[j - 1]);
			row[j] = MIN(change, MIN(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = MIN(row[j], before[j - 2] + 1);
		}
		size_t *oldest = before;
		before = above;
		above = row;
		row = oldest;
	}
	return above[m];
}

struct suggestion
suggest_begin(const char *text)
{
	return (struct suggestion){.text = text, .distance = MAX(strlen(text) / 3, (size_t)1) + 1};
}

void
suggest_offer(struct suggestion *s, const char *name)
{
	size_t n = strlen(s->text), m = strlen(name);
	if (n == 0 || n > WORD_MAX || m > WORD_MAX)
		return;
	size_t d = distance(s->text, n, name, m);
	if (d < s->distance) {
		s->distance = d;
		s->best = name;
	}
}
