/* Moves bytes; decides nothing but the output cap.
 *
 * Every channel waits either to read or to write, never both, so that poll(2) cannot spin. splice(2)
 * copies nothing and does not block; where it is not possible (terminals, files opened for append) a
 * 64 KiB buffer per channel does. Our ends of the pipes may be set non-blocking; the caller's
 * descriptors may not, because others share them: a terminal is reopened instead. */
#include "cli/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define CHUNK 65536
#define SMALL 4096 /* PIPE_BUF: where poll(2) says that a pipe has room, so much does not block */

static void
channel_init(struct channel *ch, int in, int out)
{
	*ch = (struct channel){.in = in, .out = out, .state = CHANNEL_READ, .splice = true};
}

static void
channel_close(struct channel *ch, int error)
{
	if (ch->own_in && ch->in >= 0)
		(void)close(ch->in);
	if (ch->own_out && ch->out >= 0)
		(void)close(ch->out);
	ch->in = ch->out = -1;
	ch->state = CHANNEL_CLOSED;
	if (ch->error == 0)
		ch->error = error;
}

static bool
is_null_device(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
}

void
relay_init(struct relay *r, const int pipes[RELAY_CHANNELS], struct buf *capture)
{
	*r = (struct relay){.limit = -1};
	channel_init(&r->ch[RELAY_IN], STDIN_FILENO, pipes[RELAY_IN]);
	channel_init(&r->ch[RELAY_OUT], pipes[RELAY_OUT], STDOUT_FILENO);
	channel_init(&r->ch[RELAY_ERR], pipes[RELAY_ERR], STDERR_FILENO);
	r->ch[RELAY_IN].own_out = true;
	for (int i = RELAY_OUT; i <= RELAY_ERR; i++) {
		r->ch[i].own_in = true;
		if (capture != NULL) {
			r->ch[i].capture = &capture[i - RELAY_OUT];
			r->ch[i].splice = false;
		}
	}
	if (is_null_device(STDIN_FILENO))
		channel_close(&r->ch[RELAY_IN], 0);
	for (int i = 0; i < RELAY_CHANNELS; i++)
		if (pipes[i] < 0)
			channel_close(&r->ch[i], 0);
}

int
relay_open_terminal(struct relay *r, int master, struct buf *capture)
{
	/* A second one for the direction in: one that closes early must not hang up the other. */
	int in = fcntl(master, F_DUPFD_CLOEXEC, 3);
	if (in < 0)
		return -errno;
	(void)fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK); /* both: they share it */
	*r = (struct relay){.limit = -1};
	channel_init(&r->ch[RELAY_IN], STDIN_FILENO, in);
	channel_init(&r->ch[RELAY_OUT], master, STDOUT_FILENO);
	r->ch[RELAY_IN].own_out = r->ch[RELAY_OUT].own_in = true;
	r->ch[RELAY_IN].splice = r->ch[RELAY_OUT].splice = false;
	r->ch[RELAY_IN].to_terminal = true;
	r->ch[RELAY_OUT].capture = capture;
	channel_init(&r->ch[RELAY_ERR], -1, -1);
	channel_close(&r->ch[RELAY_ERR], 0);
	return 0;
}

void
relay_done(struct relay *r)
{
	for (int i = 0; i < RELAY_CHANNELS; i++) {
		channel_close(&r->ch[i], 0);
		free(TAKE_PTR(r->ch[i].filter));
		free(TAKE_PTR(r->ch[i].buffer));
	}
}

int
relay_filter_terminals(struct relay *r, enum ttyfilter_mode mode)
{
	for (int i = RELAY_OUT; i <= RELAY_ERR; i++) {
		struct channel *ch = &r->ch[i];
		if (ch->state == CHANNEL_CLOSED || ch->capture != NULL || isatty(ch->out) != 1)
			continue;
		ch->filter = calloc(1, sizeof(*ch->filter));
		if (ch->filter == NULL)
			return -ENOMEM;
		ch->filter->mode = (uint8_t)mode;
		ch->splice = false;
	}
	return 0;
}

/* ---- one channel ---- */

static int
make_buffer(struct channel *ch)
{
	if (ch->buffer != NULL)
		return 0;
	ch->buffer = malloc(2 * CHUNK);
	if (ch->buffer == NULL)
		return -ENOMEM;
	if (ch->own_out) /* our end of a pipe */
		(void)fcntl(ch->out, F_SETFL, O_NONBLOCK);
	if (!ch->own_out && isatty(ch->out) == 1) {
		/* A terminal that was stopped (Ctrl-S) must not stop us: a description of our own. */
		char path[32];
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", ch->out);
		int own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (own >= 0) {
			ch->out = own;
			ch->own_out = true;
		}
	}
	return 0;
}

static void
flush_pending(struct channel *ch)
{
	while (ch->pending > 0) {
		ssize_t n = write(ch->out, ch->buffer + ch->pending_at, ch->pending);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			ch->state = CHANNEL_WRITE;
			return;
		}
		if (n < 0) {
			channel_close(ch, -errno);
			return;
		}
		ch->pending -= (size_t)n;
		ch->pending_at += (size_t)n;
	}
	if (ch->ends)
		channel_close(ch, 0);
	else
		ch->state = CHANNEL_READ;
}

/* End of file for a program at a terminal is a character that its line discipline takes (termios(3),
 * VEOF): the first one may only end a line that was begun. */
static void
type_end(struct channel *ch)
{
	bool begun = ch->last != 0 && ch->last != '\n';
	memset(ch->buffer, 4, 2);
	ch->pending_at = 0;
	ch->pending = begun ? 2 : 1;
	ch->ends = true;
	flush_pending(ch);
}

static void
copy_once(struct channel *ch, size_t max)
{
	int r = make_buffer(ch);
	if (r < 0) {
		channel_close(ch, r);
		return;
	}
	uint8_t *at = ch->filter == NULL ? ch->buffer : ch->buffer + CHUNK;
	ssize_t n = read(ch->in, at, MIN(max, (size_t)CHUNK - sizeof(ch->filter->held)));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n == 0 && ch->to_terminal) {
		type_end(ch);
		return;
	}
	if (n <= 0) {
		channel_close(
		    ch, n < 0 && errno != EIO ? -errno : 0); /* EIO: the terminal hung up */
		return;
	}
	ch->last = at[n - 1];
	ch->count += (uint64_t)n;
	if (ch->capture != NULL) {
		if (buf_add(ch->capture, at, (size_t)n) < 0)
			channel_close(ch, -ENOMEM);
		return;
	}
	ch->pending_at = 0;
	ch->pending =
	    ch->filter == NULL ? (size_t)n : ttyfilter_run(ch->filter, at, (size_t)n, ch->buffer);
	flush_pending(ch);
}

/* Whether bytes wait at FD. */
static bool
has_bytes(int fd)
{
	int n = 0;
	return ioctl(fd, FIONREAD, &n) < 0 || n > 0;
}

static void
splice_once(struct channel *ch, size_t max)
{
	ssize_t n = splice(ch->in, NULL, ch->out, NULL, MIN(max, (size_t)CHUNK),
	    SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
	if (n > 0) {
		ch->count += (uint64_t)n;
		ch->state = CHANNEL_READ;
	} else if (n == 0) {
		channel_close(ch, 0);
	} else if (errno == EAGAIN) {
		/* Which of the two ends? Bytes that wait mean that there is no room for them. */
		ch->state = has_bytes(ch->in) ? CHANNEL_WRITE : CHANNEL_READ;
	} else if (errno == EINVAL) {
		ch->splice = false;
		ch->state = CHANNEL_READ;
		copy_once(ch, max);
	} else if (errno != EINTR) {
		channel_close(ch, -errno);
	}
}

static bool
has_room(int fd)
{
	struct pollfd room = {.fd = fd, .events = POLLOUT};
	return poll(&room, 1, 0) != 0;
}

/* What a write took only a part of. */
static void
keep_rest(struct channel *ch, const uint8_t *bytes, size_t len)
{
	int r = make_buffer(ch);
	if (r < 0) {
		channel_close(ch, r);
		return;
	}
	memcpy(ch->buffer, bytes, len);
	ch->pending_at = 0;
	ch->pending = len;
	ch->state = CHANNEL_WRITE;
}

/* A few bytes for whoever reads our output. Spliced they would take a whole one of the 16 places that a pipe has,
 * and 16 single bytes would fill it; written, they join those before them. False: there are more, or none. */
static bool
copy_small(struct channel *ch, size_t max)
{
	uint8_t bytes[SMALL];
	int waiting = 0;
	if (ch->own_out || ioctl(ch->in, FIONREAD, &waiting) < 0 || waiting <= 0 || waiting > SMALL)
		return false;
	if (!has_room(ch->out)) {
		ch->state = CHANNEL_WRITE;
		return true;
	}
	ssize_t n = read(ch->in, bytes, MIN(max, sizeof(bytes)));
	if (n <= 0)
		return true; /* whatever it is, it is there the next time, too */
	ch->count += (uint64_t)n;
	ch->state = CHANNEL_READ;
	ssize_t done = write(ch->out, bytes, (size_t)n);
	if (done < 0 && errno != EAGAIN && errno != EINTR)
		channel_close(ch, -errno);
	else if (done < n)
		keep_rest(ch, bytes + MAX(done, 0), (size_t)(n - MAX(done, 0)));
	return true;
}

static void
channel_step(struct channel *ch, size_t max)
{
	if (ch->pending > 0)
		flush_pending(ch);
	else if (!ch->splice)
		copy_once(ch, max);
	else if (!copy_small(ch, max))
		splice_once(ch, max);
}

/* ---- all of them ---- */

uint64_t
relay_output(const struct relay *r)
{
	return r->ch[RELAY_OUT].count + r->ch[RELAY_ERR].count;
}

void
relay_prepare(struct relay *r, struct pollfd fds[RELAY_POLL_FDS])
{
	for (int i = 0; i < RELAY_CHANNELS; i++) {
		struct channel *ch = &r->ch[i];
		bool hold = i != RELAY_IN && r->limit < 0; /* the cap is not known yet */
		fds[2 * i] = (struct pollfd){.fd = -1};
		fds[2 * i + 1] = (struct pollfd){.fd = -1};
		if (ch->state == CHANNEL_READ && !hold)
			fds[2 * i] = (struct pollfd){.fd = ch->in, .events = POLLIN};
		if (ch->state == CHANNEL_WRITE)
			fds[2 * i + 1] = (struct pollfd){.fd = ch->out, .events = POLLOUT};
		else if (i == RELAY_IN &&
		    !ch->to_terminal) /* learns when the command closes its input */
			fds[2 * i + 1] = (struct pollfd){.fd = ch->out, .events = 0};
	}
}

/* What the sandbox may still write; sets `over` when it wants more. */
static size_t
quota(struct relay *r, const struct channel *ch)
{
	if (r->limit <= 0)
		return SIZE_MAX;
	uint64_t used = relay_output(r);
	if (used < (uint64_t)r->limit)
		return (size_t)((uint64_t)r->limit - used);
	if (ch->pending == 0 && has_bytes(ch->in))
		r->over = true;
	return CHUNK; /* end of file, or pending bytes that were counted */
}

bool
relay_step(struct relay *r, const struct pollfd fds[RELAY_POLL_FDS])
{
	bool moved = false;
	for (int i = 0; i < RELAY_CHANNELS; i++) {
		struct channel *ch = &r->ch[i];
		int events = fds[2 * i].revents | fds[2 * i + 1].revents;
		if (ch->state == CHANNEL_CLOSED || events == 0)
			continue;
		moved = true;
		if (i == RELAY_IN && (fds[1].revents & (POLLERR | POLLNVAL | POLLHUP)) != 0) {
			channel_close(ch, 0); /* nobody reads: no reason to end the run */
			continue;
		}
		size_t max = i == RELAY_IN ? SIZE_MAX : quota(r, ch);
		if (r->over) {
			relay_discard(r);
			return true;
		}
		channel_step(ch, max);
	}
	return moved;
}

void
relay_close_input(struct relay *r)
{
	channel_close(&r->ch[RELAY_IN], 0);
}

void
relay_discard(struct relay *r)
{
	for (int i = 0; i < RELAY_CHANNELS; i++)
		channel_close(&r->ch[i], 0);
}

bool
relay_blocked(const struct relay *r)
{
	return r->ch[RELAY_OUT].state == CHANNEL_WRITE || r->ch[RELAY_ERR].state == CHANNEL_WRITE;
}

bool
relay_finished(const struct relay *r)
{
	return r->ch[RELAY_OUT].state == CHANNEL_CLOSED && r->ch[RELAY_ERR].state == CHANNEL_CLOSED;
}
