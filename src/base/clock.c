#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

int64_t
clock_wall_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
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

int
clock_parse(const char *text, int64_t *ret_wall_ms)
{
	struct tm tm = {0};
	int ms = 0, used = 0;
	if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
		&tm.tm_hour, &tm.tm_min, &tm.tm_sec, &used) != 6)
		return -EINVAL;
	const char *rest = text + used;
	if (*rest == '.') {
		int digits = 0;
		if (sscanf(rest, ".%3d%n", &ms, &digits) != 1 || digits != 4)
			return -EINVAL;
		rest += digits;
	}
	if (rest[0] != 'Z' || rest[1] != 0)
		return -EINVAL;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	*ret_wall_ms = (int64_t)timegm(&tm) * 1000 + ms;
	return 0;
}
