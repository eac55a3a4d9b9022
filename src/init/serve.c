/* rf-init's life after the locks: it reaps what ends and obeys the supervisor. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "init/init.h"
#include "sandbox/plan.h"

/* ---- reaping ---- */

static struct json *
used_by(const struct rusage *usage)
{
	int64_t user_us = (int64_t)usage->ru_utime.tv_sec * 1000000 + usage->ru_utime.tv_usec;
	int64_t system_us = (int64_t)usage->ru_stime.tv_sec * 1000000 + usage->ru_stime.tv_usec;
	struct json *used = json_new_object();
	(void)json_set_int(used, "cpu_user_us", user_us);
	(void)json_set_int(used, "cpu_system_us", system_us);
	(void)json_set_int(used, "max_rss_bytes", (int64_t)usage->ru_maxrss * 1024);
	struct statfs scratch;
	if (statfs("/tmp", &scratch) == 0) {
		int64_t block = (int64_t)scratch.f_bsize;
		(void)json_set_int(
		    used, "scratch_bytes", (int64_t)(scratch.f_blocks - scratch.f_bfree) * block);
		(void)json_set_bool(
		    used, "scratch_full", scratch.f_bfree == 0 || scratch.f_ffree == 0);
	}
	return used;
}

static void
send_exited(struct init *init, int64_t number, int status, const struct rusage *usage)
{
	_cleanup_json_ struct json *body = json_new_object();
	(void)json_set_int(body, "command", number);
	if (WIFSIGNALED(status))
		(void)json_set_int(body, "signal", WTERMSIG(status));
	else
		(void)json_set_int(body, "code", WEXITSTATUS(status));
	(void)json_set(body, "usage", used_by(usage));
	int r = msg_send(init->control, INIT_EXITED, 0, body, NULL, 0);
	(void)r; /* a supervisor that is gone ends us in any case */
}

/* Takes the command PID off the list, with its number in *RET. Whether it was one. */
static bool
take_command(struct init *init, pid_t pid, int64_t *ret)
{
	for (size_t i = 0; i < init->n_commands; i++) {
		if (init->commands[i].pid != pid)
			continue;
		*ret = init->commands[i].number;
		init->commands[i] = init->commands[--init->n_commands];
		return true;
	}
	return false;
}

/* Reaps whatever ended. True once that ends us: our only command has. */
static bool
reap(struct init *init)
{
	for (;;) {
		int status;
		int64_t number;
		struct rusage usage;
		pid_t pid = wait4(-1, &status, WNOHANG, &usage);
		if (pid <= 0)
			return !init->session && init->n_commands == 0;
		if (take_command(init, pid, &number))
			send_exited(init, number, status, &usage);
	}
}

/* ---- obeying ---- */

static void
send_signal(struct init *init, const struct json *body)
{
	int number = (int)json_get_int(body, "signal", 0);
	int64_t command = json_get_int(body, "command", -1);
	if (number <= 0 || number > 64)
		return;
	if (command < 0) {
		(void)kill(-1, number); /* everything but us */
		return;
	}
	for (size_t i = 0; i < init->n_commands; i++) {
		pid_t pid = init->commands[i].pid;
		if (init->commands[i].number != command)
			continue;
		/* To the command's whole process group, as a terminal would; the last word also to a command
		 * that left it. */
		if (kill(-pid, number) < 0 || number == SIGKILL)
			(void)kill(pid, number);
	}
}

/* False when the supervisor is gone, or says what it may not. */
static bool
obey(struct init *init)
{
	struct msg m = MSG_INIT;
	int r = msg_recv(init->control, MSG_DONTWAIT, &m);
	if (r == -EAGAIN)
		return true;
	if (r == 1 && m.type == INIT_SIGNAL) {
		send_signal(init, m.body);
	} else if (r == 1 && init->session && m.type == INIT_EXEC) {
		r = command_execute(init, &m) < 0 ? -EIO : 1;
	} else if (r == 1 && init->session && m.type == INIT_OPEN) {
		r = command_open(init, &m) < 0 ? -EIO : 1;
	} else if (r == 1) {
		r = -EBADMSG;
	}
	msg_done(&m);
	return r == 1;
}

int
serve(struct init *init)
{
	struct pollfd fds[2] = {
	    {.fd = init->control, .events = POLLIN}, {.fd = init->child_events, .events = POLLIN}};
	for (;;) {
		char info[sizeof(struct signalfd_siginfo)];
		if (reap(init))
			return 0;
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return 1;
		if (fds[1].revents != 0 && read(init->child_events, info, sizeof(info)) < 0 &&
		    errno != EAGAIN)
			return 1;
		if (fds[0].revents != 0 && !obey(init))
			return 1;
	}
}
