/* Command lines, files and complaints: what every subcommand begins and ends with. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "audit/audit.h"
#include "base/clock.h"
#include "base/log.h"
#include "ipc/paths.h"

/* The value of ARGV[*AT], behind its "=" or in the next argument. */
static int
take_value(const struct option_spec *spec, int argc, char **argv, int *at, struct error *err)
{
	const char *equals = strchr(argv[*at], '=');
	if (spec->flag != NULL) {
		if (equals != NULL)
			return error_set(err, EINVAL, "usage", "%s takes no value", spec->name);
		*spec->flag = true;
		return 0;
	}
	if (equals != NULL) {
		*spec->value = equals + 1;
		return 0;
	}
	if (*at + 1 >= argc)
		return error_set(err, EINVAL, "usage", "%s needs a value", spec->name);
	*spec->value = argv[++*at];
	return 0;
}

static const struct option_spec *
find_option(const struct option_spec *specs, const char *argument)
{
	size_t len = strcspn(argument, "=");
	for (; specs->name != NULL; specs++)
		if (strlen(specs->name) == len && memcmp(specs->name, argument, len) == 0)
			return specs;
	return NULL;
}

int
options_parse(int argc, char **argv, const struct option_spec *specs, const char **operands,
    size_t max, size_t *ret_n, struct error *err)
{
	size_t n = 0;
	bool more = true;
	for (int i = 1; i < argc; i++) {
		char shown[200];
		log_escape(argv[i], strlen(argv[i]), shown, sizeof(shown));
		if (more && strcmp(argv[i], "--") == 0) {
			more = false;
		} else if (more && argv[i][0] == '-' && argv[i][1] != 0) {
			const struct option_spec *spec = find_option(specs, argv[i]);
			if (spec == NULL)
				return error_set(err, EINVAL, "usage", "unknown option %s", shown);
			int r = take_value(spec, argc, argv, &i, err);
			if (r < 0)
				return r;
		} else if (n == max) {
			return error_set(err, EINVAL, "usage", "unexpected argument %s", shown);
		} else {
			operands[n++] = argv[i];
		}
	}
	*ret_n = n;
	return 0;
}

int
option_number(const char *text, uint64_t *ret, struct error *err)
{
	char *end;
	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != 0 || errno != 0 || value > INT64_MAX)
		return error_set(err, EINVAL, "usage", "not a number: %.80s", text);
	*ret = value;
	return 0;
}

int
option_time(const char *text, int64_t *ret_ms, struct error *err)
{
	static const struct {
		char unit;
		int64_t ms;
	} units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}};
	char *end;
	errno = 0;
	long long value = strtoll(text, &end, 10);
	if (*text >= '0' && *text <= '9' && errno == 0 && value < 1000000000 && *end != 0 &&
	    end[1] == 0)
		for (size_t i = 0; i < ARRAY_LEN(units); i++)
			if (units[i].unit == *end) {
				*ret_ms = clock_wall_ms() - value * units[i].ms;
				return 0;
			}
	if (clock_parse(text, ret_ms) == 0)
		return 0;
	return error_set(err, EINVAL, "usage",
	    "not a time: %.80s (expected 2026-01-31T09:30:00Z, or an age such as 30d, 2h, 15m)",
	    text);
}

int
ledger_open(const char *dir, bool *ret_default, struct error *err)
{
	char path[PATHS_MAX + 16];
	if (dir != NULL) {
		(void)snprintf(path, sizeof(path), "%s", dir);
	} else {
		char state[PATHS_MAX];
		int r = paths_state_dir(state, err);
		if (r < 0)
			return r;
		(void)snprintf(path, sizeof(path), "%s/ledger", state);
	}
	if (ret_default != NULL)
		*ret_default = dir == NULL;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	int error = errno;
	error_set_errno(err, error, "no_ledger", "cannot open the ledger %s", path);
	if (error == ENOENT && dir == NULL)
		error_remedy(err, "nothing was recorded yet; start something with `ringfence run`");
	else if (error == EACCES)
		error_remedy(err, "become the user who owns it, or name an exported copy");
	return -error;
}

int
file_read(const char *path, size_t max, struct buf *out, struct error *err)
{
	buf_init(out, max);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = -1;
	while (fd >= 0) {
		uint8_t *at = buf_reserve(out, 4096);
		if (at == NULL)
			return error_set(err, EMSGSIZE, "too_large", "%s is too large", path);
		n = read(fd, at, 4096);
		if (n <= 0)
			break;
		buf_grew(out, (size_t)n);
	}
	return n < 0 ? error_set_errno(err, errno, "unreadable", "cannot read %s", path) : 0;
}

int
complain(const struct error *err)
{
	char line[1300];
	log_escape(err->message, strlen(err->message), line, sizeof(line));
	(void)fprintf(stderr, "ringfence audit: %s\n", line);
	if (err->remedy[0] != 0)
		(void)fprintf(stderr, "  %s\n", err->remedy);
	return EXIT_UNUSABLE;
}

int
print_out(const struct buf *out)
{
	if (out->len > 0 && fwrite(out->data, 1, out->len, stdout) != out->len)
		return EXIT_UNUSABLE;
	return fflush(stdout) == 0 ? 0 : EXIT_UNUSABLE;
}
