/* Raw mode, and the ways out of it: terminal_leave on the usual ones, a signal handler when we crash. SIGKILL
 * cannot be helped: `reset` does. See termios(3), tty_ioctl(4). */
#include "cli/terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/macros.h"

static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS};

/* What the handler has to know; it may touch nothing else. */
static struct termios before_crash;

void
terminal_size(struct winsize *ret)
{
	for (int fd = 0; fd < 3; fd++)
		if (ioctl(fd, TIOCGWINSZ, ret) == 0 && ret->ws_row > 0 && ret->ws_col > 0)
			return;
	*ret = (struct winsize){.ws_row = 24, .ws_col = 80};
}

static void
on_crash(int number)
{
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &before_crash);
	(void)raise(number); /* at its default again: SA_RESETHAND */
}

static void
handle_crashes(void (*handler)(int))
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = (int)SA_RESETHAND};
	(void)sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < ARRAY_LEN(crashes); i++)
		(void)sigaction(crashes[i], &action, NULL);
}

/* Whether we may set it: it is in the foreground, or not the terminal of our session at all. */
static bool
is_ours(void)
{
	pid_t foreground = tcgetpgrp(STDIN_FILENO);
	return foreground < 0 || foreground == getpgrp();
}

void
terminal_enter(struct terminal *t)
{
	if (t->raw || isatty(STDIN_FILENO) != 1 || !is_ours() ||
	    tcgetattr(STDIN_FILENO, &t->saved) < 0)
		return;
	before_crash = t->saved;
	handle_crashes(on_crash);
	struct termios raw = t->saved;
	cfmakeraw(&raw);
	while (tcsetattr(STDIN_FILENO, TCSANOW, &raw) < 0)
		if (errno != EINTR)
			return;
	t->raw = true;
}

void
terminal_leave(struct terminal *t)
{
	if (!t->raw)
		return;
	t->raw = false;
	/* Who has it now has made it as it wants it. */
	while (is_ours() && tcsetattr(STDIN_FILENO, TCSANOW, &t->saved) < 0 && errno == EINTR)
		;
	handle_crashes(SIG_DFL);
}

void
terminal_write(const void *bytes, size_t len)
{
	/* The caller's description must stay blocking, and one that was stopped (Ctrl-S) must not keep us. */
	struct pollfd room = {.fd = STDOUT_FILENO, .events = POLLOUT};
	if (poll(&room, 1, 0) <= 0 || (room.revents & POLLOUT) == 0)
		return;
	ssize_t n = write(STDOUT_FILENO, bytes, len);
	(void)n;
}
