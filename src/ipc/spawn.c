/* What every program does that rf-supervisor starts, before its first lock. */
#include "ipc/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/log.h"

static int
parse_id(const char *text, unsigned *ret)
{
	char *end = NULL;
	errno = 0;
	unsigned long value = strtoul(text, &end, 10);
	if (errno != 0 || *text < '0' || *text > '9' || *end != '\0' || value > INT32_MAX)
		return -EINVAL;
	*ret = (unsigned)value;
	return 0;
}

int
spawn_arguments(
    int argc, char **argv, unsigned wanted, unsigned *ret_uid, unsigned *ret_gid, struct error *err)
{
	bool good = argc == 5 && strcmp(argv[1], "--uid") == 0 && strcmp(argv[3], "--gid") == 0 &&
	    parse_id(argv[2], ret_uid) == 0 && parse_id(argv[4], ret_gid) == 0;
	wanted |= 1U << SPAWN_SUPERVISOR | 1U << SPAWN_STATE_DIR;
	for (int fd = 0; good && fd < SPAWN_FDS; fd++)
		good = (wanted & 1U << fd) == 0 || fcntl(fd, F_GETFD) >= 0;
	if (good)
		return 0;
	return error_set(err, EINVAL, "not_for_people",
	    "%s is started by rf-supervisor; use `ringfence`", argc > 0 ? argv[0] : "this program");
}

int
spawn_fail(const struct error *err)
{
	log_event(LOG_ERROR, err->code, "reason", err->message, "remedy", err->remedy, NULL);
	return SPAWN_EXIT_FAILED;
}

int
spawn_read(int fd, struct buf *out)
{
	for (;;) {
		uint8_t *room = buf_reserve(out, 16384);
		if (room == NULL)
			return -EMSGSIZE;
		ssize_t n = read(fd, room, 16384);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		buf_grew(out, (size_t)n);
	}
}
