#include "prove/actor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "ipc/msg.h"
#include "prove/order.h"
#include "sys/process.h"

#define LINE_MAX_BYTES 16384
#define FAREWELL_MS 2000

void
actor_init(struct actor *a, struct prove *p, struct trial *trial, actor_fn *on_change)
{
	*a = (struct actor){.p = p,
	    .trial = trial,
	    .on_change = on_change,
	    .pidfd = -1,
	    .in = -1,
	    .out = -1,
	    .err = -1,
	    .control = -1};
	buf_init(&a->line, LINE_MAX_BYTES);
}

/* ---- what it says ---- */

static void
take_line(struct actor *a, const char *text, size_t length)
{
	struct json *line = NULL;
	if (length == 0 || text[0] != '{' || json_parse(text, length, &line, NULL) < 0)
		return;
	const char *result = json_get_str(line, "result", "");
	if (strcmp(result, "started") == 0) {
		a->started = true;
	} else if (strcmp(result, "ready") == 0) {
		a->ready = true;
		json_free(a->fixtures);
		a->fixtures = json_detach(line, "fixtures");
	} else if (result[0] != 0) {
		json_free(a->result);
		a->result = TAKE_PTR(line);
	}
	json_free(line);
}

static void
take_bytes(struct actor *a, const char *bytes, size_t length)
{
	while (length > 0) {
		const char *end = memchr(bytes, '\n', length);
		size_t part = end == NULL ? length : (size_t)(end - bytes);
		if (!a->passing_over && buf_add(&a->line, bytes, part) < 0)
			a->passing_over = true;
		if (end == NULL)
			return;
		if (!a->passing_over)
			take_line(a, buf_str(&a->line), a->line.len);
		a->passing_over = false;
		buf_clear(&a->line);
		bytes += part + 1;
		length -= part + 1;
	}
}

static void
drain_out(struct actor *a)
{
	static char bytes[65536];
	while (a->watch_out != NULL) {
		ssize_t n = read(a->out, bytes, sizeof(bytes));
		if (n > 0) {
			take_bytes(a, bytes, (size_t)n);
			continue;
		}
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		a->watch_out = watch_remove(a->watch_out);
		a->closed = true;
	}
}

static void
on_out(struct watch *watch, uint32_t events, void *data)
{
	struct actor *a = data;
	(void)watch;
	(void)events;
	drain_out(a);
	a->on_change(a);
}

/* Only the first line is kept: it says what went wrong. */
static void
on_err(struct watch *watch, uint32_t events, void *data)
{
	struct actor *a = data;
	char bytes[4096];
	(void)watch;
	(void)events;
	ssize_t n = read(a->err, bytes, sizeof(bytes) - 1);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		a->watch_err = watch_remove(a->watch_err);
		return;
	}
	bytes[n] = 0;
	if (a->complaint[0] == 0)
		(void)snprintf(
		    a->complaint, sizeof(a->complaint), "%.*s", (int)strcspn(bytes, "\n"), bytes);
}

static void
drain_control(struct actor *a)
{
	while (a->watch_control != NULL) {
		struct msg m = MSG_INIT;
		int r = msg_recv(a->control, MSG_DONTWAIT, &m);
		if (r == 1 && m.type == PROVE_RUNNING) {
			json_free(a->engaged);
			a->engaged = json_detach(m.body, "engaged");
		} else if (r == 1 && m.type == PROVE_FAILED) {
			msg_error_read(m.body, &a->error);
			a->failed = true;
		}
		msg_done(&m);
		if (r == -EAGAIN)
			return;
		if (r != 1)
			a->watch_control = watch_remove(a->watch_control);
	}
}

static void
on_control(struct watch *watch, uint32_t events, void *data)
{
	(void)watch;
	(void)events;
	drain_control(data);
}

static void
on_end(struct watch *watch, uint32_t events, void *data)
{
	struct actor *a = data;
	(void)watch;
	(void)events;
	if (process_reap(a->pidfd, false, &a->status) == -EAGAIN)
		return;
	a->watch_pid = watch_remove(a->watch_pid);
	a->exited = true;
	drain_control(a);
	drain_out(a);
	a->on_change(a);
}

int
actor_listen(struct actor *a)
{
	struct loop *loop = a->p->loop;
	keeper_know(a->p, a->pid);
	int r = loop_watch(loop, a->pidfd, EPOLLIN, on_end, a, &a->watch_pid);
	if (r == 0)
		r = loop_watch(loop, a->out, EPOLLIN, on_out, a, &a->watch_out);
	if (r == 0)
		r = loop_watch(loop, a->err, EPOLLIN, on_err, a, &a->watch_err);
	if (r == 0 && a->control >= 0)
		r = loop_watch(loop, a->control, EPOLLIN, on_control, a, &a->watch_control);
	return r;
}

/* ---- ending it ---- */

void
actor_kill(struct actor *a)
{
	if (a->pidfd >= 0 && !a->exited)
		(void)process_signal(a->pidfd, SIGKILL);
}

void
actor_hang_up(struct actor *a)
{
	if (a->in >= 0)
		(void)close(TAKE_FD(a->in));
}

void
actor_end(struct actor *a)
{
	struct pollfd ended = {.fd = a->pidfd, .events = POLLIN};
	if (a->pidfd < 0 || a->exited)
		return;
	if (a->in >= 0) {
		actor_hang_up(a);
		(void)poll(&ended, 1, FAREWELL_MS);
	}
	actor_kill(a);
	(void)process_reap(a->pidfd, true, &a->status);
	a->exited = true;
}

void
actor_done(struct actor *a)
{
	int *const fds[] = {&a->pidfd, &a->in, &a->out, &a->err, &a->control};
	actor_end(a);
	if (a->pidfd >= 0)
		keeper_forget(a->p, a->pid);
	a->watch_pid = watch_remove(a->watch_pid);
	a->watch_out = watch_remove(a->watch_out);
	a->watch_err = watch_remove(a->watch_err);
	a->watch_control = watch_remove(a->watch_control);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		if (*fds[i] >= 0)
			(void)close(TAKE_FD(*fds[i]));
	a->group = cgroup_give_back(a->group);
	a->result = json_free(a->result);
	a->fixtures = json_free(a->fixtures);
	a->engaged = json_free(a->engaged);
	buf_done(&a->line);
}
