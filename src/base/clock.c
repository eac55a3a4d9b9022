#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

int64_t
clock_wall_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t
clock_files_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t
clock_monotonic_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void
clock_format(int64_t wall_ms, char ret[32])
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;
	char day[24];
	if (gmtime_r(&seconds, &tm) == NULL ||
	    strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm) == 0) {
		(void)snprintf(ret, 32, "invalid-time");
		return;
	}
	(void)snprintf(ret, 32, "%s.%03dZ", day, (int)(wall_ms % 1000));
}

/* Reads ".125Z" or "Z" into milliseconds; -EINVAL for anything else. */
static int
parse_fraction(const char *text)
{
	int ms = 0;
	if (*text == '.') {
		for (int i = 1; i <= 3; i++) {
			if (text[i] < '0' || text[i] > '9')
				return -EINVAL;
			ms = ms * 10 + (text[i] - '0');
		}
		text += 4;
	}
	return text[0] == 'Z' && text[1] == 0 ? ms : -EINVAL;
}

int
clock_parse(const char *text, int64_t *ret_wall_ms)
{
	struct tm tm = {0};
	if (strnlen(text, 20) < 20 ||
	    sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
		&tm.tm_hour, &tm.tm_min, &tm.tm_sec) != 6)
		return -EINVAL;
	int ms = parse_fraction(text + 19);
	if (ms < 0)
		return -EINVAL;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	int64_t wall_ms = (int64_t)timegm(&tm) * 1000 + ms;
	/* timegm carries the 31st of April over, scanf skips blanks: what does not read back is no time. */
	char again[32];
	clock_format(wall_ms, again);
	if (strncmp(again, text, 19) != 0)
		return -EINVAL;
	*ret_wall_ms = wall_ms;
	return 0;
}
