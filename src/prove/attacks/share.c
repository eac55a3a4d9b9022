/* How attacks read their fixtures and give their answers; see attacks.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "prove/attacks/attacks.h"

static char detail[256];
static int child_signal;      /* that ended the last child; 0: none */
static const char *answering; /* of the attack that answers, where several do */

static void set_detail(const char *format, ...) PRINTF_LIKE(1, 2);

static void
set_detail(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	(void)vsnprintf(detail, sizeof(detail), format, args);
	va_end(args);
}

/* ---- fixtures ---- */

const char *
fixture_find(const struct fixtures *f, const char *key)
{
	size_t length = strlen(key);
	for (int i = 0; i < f->count; i++)
		if (strncmp(f->pairs[i], key, length) == 0 && f->pairs[i][length] == '=')
			return f->pairs[i] + length + 1;
	return NULL;
}

const char *
fixture(const struct fixtures *f, const char *key)
{
	const char *value = fixture_find(f, key);
	if (value != NULL)
		return value;
	set_detail("needs the fixture %s", key);
	finish(ATTACK_CANNOT);
}

unsigned long
fixture_number(const struct fixtures *f, const char *key)
{
	return strtoul(fixture(f, key), NULL, 0);
}

const char *
in_dir(const struct fixtures *f, const char *name)
{
	static char paths[4][512];
	static unsigned next;
	char *path = paths[next++ % 4];
	(void)snprintf(path, sizeof(paths[0]), "%s/%s", fixture(f, "dir"), name);
	return path;
}

/* ---- answers ---- */

enum attack_result
answer(bool yes, const char *what)
{
	if (yes)
		set_detail("%s", what);
	else if (child_signal != 0)
		set_detail("ended by signal %d", child_signal);
	else
		set_detail("%s", strerror(errno));
	return yes ? ATTACK_SUCCEEDED : ATTACK_HELD;
}

enum attack_result
answer_harmless(long result, int harmless)
{
	if (result < 0 && errno != harmless)
		return answer(false, "");
	if (result >= 0)
		set_detail("it worked");
	else
		set_detail("allowed; only its argument is wrong (%s)", strerror(harmless));
	return ATTACK_SUCCEEDED;
}

enum attack_result
cannot(const char *why)
{
	set_detail("%s%s%s", why, errno != 0 ? ": " : "", errno != 0 ? strerror(errno) : "");
	return ATTACK_CANNOT;
}

enum attack_result
held(const char *why)
{
	set_detail("%s", why);
	return ATTACK_HELD;
}

void
say_ready(void)
{
	(void)printf("{\"result\":\"ready\"}\n");
	(void)fflush(stdout);
}

void
answer_as(const char *attack)
{
	answering = attack;
}

void
finish(enum attack_result result)
{
	static const char *const names[] = {
	    [ATTACK_SUCCEEDED] = "succeeded", [ATTACK_HELD] = "held", [ATTACK_CANNOT] = "cannot"};
	for (char *c = detail; *c != 0; c++)
		if (*c == '"' || *c == '\\' || (unsigned char)*c < ' ')
			*c = '\'';
	if (answering != NULL)
		(void)printf("{\"name\":\"%s\",\"result\":\"%s\",\"detail\":\"%s\"}\n", answering,
		    names[result], detail);
	else
		(void)printf("{\"result\":\"%s\",\"detail\":\"%s\"}\n", names[result], detail);
	(void)fflush(stdout);
	_exit((int)result);
}

/* ---- children ---- */

int
child_errno(bool worked)
{
	return worked ? 0 : errno;
}

bool
in_child(int (*function)(const struct fixtures *), const struct fixtures *f)
{
	int status = 0;
	pid_t pid = fork();
	if (pid == 0)
		_exit(function(f));
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return false;
	child_signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	errno = WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
	return errno == 0;
}

/* ---- files ---- */

bool
read_canary(const char *path)
{
	char text[sizeof(CANARY)] = {0};
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	errno = n < 0 ? errno : ENOENT;
	return n > 0 && strcmp(text, CANARY) == 0;
}

bool
opens_for_writing(const char *path)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0)
		(void)close(fd);
	return fd >= 0;
}

bool
copy_program(const char *path, mode_t mode)
{
	_cleanup_close_ int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
	char block[16384];
	ssize_t n = 0;
	while (from >= 0 && to >= 0 && (n = read(from, block, sizeof(block))) > 0)
		if (write(to, block, (size_t)n) != n)
			return false;
	return from >= 0 && to >= 0 && n == 0 && (mode == 0700 || fchmod(to, mode) == 0);
}
