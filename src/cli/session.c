/* The conversation of one command, as the caller's side sees it: a run, or a command in a session:
 *
 *   ASKED ─MSG_HELD→ HELD ─┐
 *     ├──────MSG_STARTED───┴→ RUNNING ─MSG_DONE→ ENDED (outputs drain, then done)
 *     └─MSG_DONE, MSG_ERROR, end of file──────→ ENDED
 *
 * ASKED    no effect yet: a supervisor that left before it read the request is replaced once
 * HELD     a reviewer decides; a signal ends the wait, and the conversation's end withdraws the request
 * RUNNING  streams move, signals are forwarded; a second interrupt within two seconds ends the sandbox
 * ENDED    the command is gone; what it wrote before is in the pipes and is still delivered
 *
 * With `-t` the streams are one terminal, whose master comes with MSG_STARTED. The caller's own is raw from
 * then until the end: Ctrl-C and Ctrl-Z are the program's.
 *
 * If this process dies, the conversation ends, and the supervisor destroys the sandbox; of a session, only
 * the command. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/relay.h"
#include "cli/request.h"
#include "cli/run.h"
#include "cli/sandbox.h"
#include "cli/say.h"
#include "cli/terminal.h"
#include "ipc/messages.h"
#include "ipc/msg.h"

#define SECOND_INTERRUPT_NS 2000000000
#define RETRIES_MAX 10
#define LATER_MAX 250 /* times LATER_MS: five seconds */
#define LATER_MS 20
#define CAPTURE_MAX (64u << 20)

enum phase { ASKED, HELD, RUNNING, ENDED };

struct session {
	const struct run_options *o;
	struct connection *c;
	struct run_result *result;
	struct relay relay;
	struct terminal terminal;
	enum phase phase;
	int handed[3]; /* the sandbox's ends of the pipes, until the supervisor has answered */
	int signals;   /* signalfd */
	int64_t interrupted_ns; /* the last interrupt, or 0 */
	bool said_anything;     /* something beyond the request was sent */
	bool stopped;           /* MSG_STOP was sent */
	unsigned retries;
	bool resolved;                  /* the sandbox's name was looked up */
	char sandbox[SANDBOX_NAME_MAX]; /* what it turned out to be; "" before */
	bool lost;    /* the supervisor is gone: the dying sandbox must not hear "no more input" */
	bool abandon; /* leave now, whatever is still to come */
};

/* ---- asking ---- */

static int
send_request(struct session *s, struct error *err)
{
	_cleanup_json_ struct json *body = request_command(s->o);
	int fds[5];
	unsigned n = 0;
	if (s->sandbox[0] != 0)
		(void)json_set_str(body, "sandbox", s->sandbox);
	for (int i = 0; i < 3 && !s->o->tty; i++)
		fds[n++] = s->handed[i];
	if (s->o->policy_fd >= 0)
		fds[n++] = s->o->policy_fd;
	if (s->o->workspace_fd >= 0)
		fds[n++] = s->o->workspace_fd;
	uint16_t type = s->o->sandbox != NULL ? MSG_SESSION_EXEC : MSG_RUN;
	int r = msg_send(s->c->fd, type, 1, body, fds, n);
	if (r == -EMSGSIZE)
		return error_set(err, E2BIG, "request_too_large",
		    "the command line and its environment are too long (at most %d KiB)",
		    MSG_BODY_MAX / 1024);
	if (r < 0 && r != -EPIPE && r != -ECONNRESET)
		return error_set_errno(err, -r, "supervisor_lost", "cannot reach rf-supervisor");
	s->result->at_ns[STEP_SENT] = clock_monotonic_ns();
	return r;
}

/* A sandbox that lives is where its supervisor is: another one has none. */
static enum connect_mode
mode_of(const struct session *s)
{
	return s->o->sandbox != NULL ? CONNECT_JOIN : CONNECT_START;
}

/* Asks; a supervisor that was just leaving never read the request, so asking again runs nothing twice. */
static int
ask(struct session *s, struct error *err)
{
	for (int i = 0; i < RETRIES_MAX; i++) {
		int r = send_request(s, err);
		if (r != -EPIPE && r != -ECONNRESET)
			return r;
		connect_done(s->c);
		r = connect_supervisor(mode_of(s), s->c, err);
		if (r < 0)
			return r;
	}
	return error_set(
	    err, EPIPE, "supervisor_lost", "rf-supervisor leaves as soon as it is asked");
}

/* What outlives us has nobody to talk to. */
static int
open_nothing(struct session *s, struct error *err)
{
	for (int i = 0; i < 3; i++) {
		s->handed[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (s->handed[i] < 0)
			return error_set_errno(err, errno, "no_pipe", "/dev/null");
	}
	return 0;
}

/* The three pipes: the sandbox's ends into s->handed, ours into OURS. On failure the caller closes both. */
static int
make_pipes(struct session *s, int ours[3], struct error *err)
{
	for (int i = 0; i < 3; i++) {
		int pair[2];
		if (pipe2(pair, O_CLOEXEC) < 0)
			return error_set_errno(err, errno, "no_pipe", "cannot make a pipe");
		ours[i] = pair[i == 0 ? 1 : 0];
		s->handed[i] = pair[i == 0 ? 0 : 1];
	}
	return 0;
}

static void
close_handed(struct session *s)
{
	for (int i = 0; i < 3; i++) {
		cleanup_close(&s->handed[i]);
		s->handed[i] = -1;
	}
}

/* ---- what the supervisor says ---- */

static void
say_to_supervisor(struct session *s, uint16_t type, const char *name, struct json *value)
{
	_cleanup_json_ struct json *body = json_new_object();
	(void)json_set(body, name, value);
	s->said_anything = true;
	int r = msg_send(s->c->fd, type, 0, body, NULL, 0);
	(void)r; /* if it is gone, end of file says so */
}

static void
stop(struct session *s, const char *reason)
{
	if (s->stopped || s->phase != RUNNING)
		return;
	s->stopped = true;
	say_to_supervisor(s, MSG_STOP, "reason", json_new_string(reason));
}

static void
end_with_error(struct session *s, const struct error *err)
{
	s->result->error = *err;
	s->phase = ENDED;
}

static void
on_held(struct session *s, struct msg *m)
{
	json_free(s->result->held);
	s->result->held = TAKE_PTR(m->body);
	s->phase = HELD;
	if (!s->o->quiet)
		outcome_held(s->result->held);
	if (s->o->no_wait) {
		struct error err = {0};
		error_set(&err, EAGAIN, "held", "held for review; not waiting (--no-wait)");
		end_with_error(s, &err);
		s->abandon = true;
	}
}

/* The terminal's master came: from now on what the caller types is for the program. */
static int
begin_terminal(struct session *s, struct msg *m)
{
	struct winsize size;
	int master = msg_take_fd(m, 0);
	if (master < 0)
		return -EPROTO;
	int r = relay_open_terminal(&s->relay, master, s->o->json ? &s->result->captured[0] : NULL);
	if (r < 0) {
		(void)close(master);
		return r;
	}
	if (!s->o->raw && relay_filter_terminals(&s->relay, TTYFILTER_PROGRAM) < 0)
		return -ENOMEM;
	terminal_size(&size); /* it may have changed meanwhile */
	(void)ioctl(s->relay.ch[RELAY_OUT].in, TIOCSWINSZ, &size);
	terminal_enter(&s->terminal);
	return 0;
}

/* The program is gone: what it made of the caller's terminal is undone. */
static void
end_terminal(struct session *s)
{
	const struct ttyfilter *filter = s->relay.ch[RELAY_OUT].filter;
	uint8_t reset[TTYFILTER_RESET_MAX];
	if (filter != NULL && s->o->tty)
		terminal_write(reset, ttyfilter_reset(filter, reset));
	terminal_leave(&s->terminal);
}

static void
on_started(struct session *s, struct msg *m)
{
	struct run_result *result = s->result;
	int r = s->o->tty ? begin_terminal(s, m) : 0;
	if (r < 0) {
		struct error err = {0};
		error_set_errno(&err, -r, "protocol", "cannot serve the terminal");
		end_with_error(s, &err);
		s->abandon = true;
		return;
	}
	json_free(result->started);
	result->started = TAKE_PTR(m->body);
	result->at_ns[STEP_STARTED] = clock_monotonic_ns();
	s->relay.limit = json_get_int(json_get(result->started, "limits"), "output_bytes", 0);
	if (s->relay.limit > 0)
		for (int i = 0; i < 2; i++)
			result->captured[i].limit = (size_t)s->relay.limit;
	s->phase = RUNNING;
	s->abandon = s->o->detach; /* it goes on without us */
}

static void
on_done(struct session *s, struct msg *m)
{
	struct run_result *result = s->result;
	json_free(result->done);
	cleanup_close(&result->upper_fd);
	result->upper_fd = msg_take_fd(m, 0);
	result->done = TAKE_PTR(m->body);
	if (result->error.code[0] == 0 && json_type(json_get(result->done, "error")) == JSON_OBJECT)
		msg_error_read(result->done, &result->error);
	s->phase = ENDED;
}

/* ---- signals ---- */

static int
open_signals(void)
{
	static const int wanted[] = {
	    SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGTSTP, SIGCONT};
	sigset_t set, blocked;
	(void)sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		struct sigaction old;
		/* What the caller ignores (nohup, a shell's background job) stays ignored. */
		if (sigaction(wanted[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			(void)sigaddset(&set, wanted[i]);
	}
	blocked = set;
	(void)sigaddset(&blocked, SIGPIPE);
	(void)sigprocmask(SIG_BLOCK, &blocked, NULL);
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static void
leave(struct session *s, int signal)
{
	s->result->signal = signal;
	s->phase = ENDED;
	s->abandon = true;
}

static void
on_interrupt(struct session *s, int signal)
{
	int64_t now = clock_monotonic_ns();
	bool again = s->interrupted_ns != 0 && now - s->interrupted_ns < SECOND_INTERRUPT_NS;
	s->interrupted_ns = now;
	if (s->stopped && again) {
		leave(s, signal);
	} else if (again) {
		s->result->interrupt = signal;
		stop(s, "interrupt");
	} else {
		say_to_supervisor(s, MSG_SIGNAL, "signal", json_new_int(signal));
	}
}

static void
on_signal(struct session *s, int signal)
{
	bool ends = signal == SIGINT || signal == SIGTERM || signal == SIGHUP || signal == SIGQUIT;
	if (signal == SIGTSTP) {
		/* The sandbox has no terminal, or one of its own: its command stops by SIGSTOP, and we by
		 * ourselves. */
		if (s->phase == RUNNING)
			say_to_supervisor(s, MSG_SIGNAL, "signal", json_new_int(SIGSTOP));
		terminal_leave(&s->terminal);
		(void)kill(getpid(), SIGSTOP);
		if (s->phase == RUNNING && s->o->tty)
			terminal_enter(&s->terminal);
	} else if (signal == SIGWINCH && s->o->tty) {
		struct winsize size;
		terminal_size(&size);
		if (s->phase == RUNNING)
			(void)ioctl(s->relay.ch[RELAY_OUT].in, TIOCSWINSZ, &size);
	} else if (signal == SIGCONT && s->phase == RUNNING) {
		if (s->o->tty)
			terminal_enter(&s->terminal); /* in the foreground again */
		say_to_supervisor(s, MSG_SIGNAL, "signal", json_new_int(signal));
	} else if (s->phase == ENDED || (ends && s->phase != RUNNING)) {
		if (ends)
			leave(s, signal);
	} else if (signal == SIGINT || signal == SIGTERM) {
		on_interrupt(s, signal);
	} else if (s->phase == RUNNING) {
		say_to_supervisor(s, MSG_SIGNAL, "signal", json_new_int(signal));
	}
}

static void
on_signals(struct session *s)
{
	struct signalfd_siginfo info;
	while (!s->abandon && read(s->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
		on_signal(s, (int)info.ssi_signo);
}

/* ---- the conversation ---- */

/* Asks again on a conversation with whoever listens now. Only where nothing can have run. */
static int
ask_again(struct session *s, struct error *err)
{
	connect_done(s->c);
	int r = connect_supervisor(mode_of(s), s->c, err);
	return r < 0 ? r : ask(s, err);
}

/* Whether the request was turned away before it became an action, for a reason that passes: the
 * supervisor is leaving, or restarts a program. */
static bool
is_turned_away(const struct session *s, const struct msg *m)
{
	struct error err = {0};
	if (m->type != MSG_ERROR || s->phase != ASKED || json_get(m->body, "task") != NULL)
		return false;
	msg_error_read(m->body, &err);
	return strcmp(err.code, "leaving") == 0 || strcmp(err.code, "not_ready") == 0;
}

/* Tries again a little later, unless a signal comes or it took too long. Whether it did. */
static bool
try_later(struct session *s)
{
	struct pollfd wait = {.fd = s->signals, .events = POLLIN};
	struct error err = {0};
	if (s->retries++ >= LATER_MAX)
		return false;
	if (poll(&wait, 1, LATER_MS) > 0)
		on_signals(s);
	if (!s->abandon && ask_again(s, &err) < 0) {
		end_with_error(s, &err);
		s->abandon = true;
	}
	return true;
}

/* Whether the request named no sandbox that the supervisor knows, and a prefix is still to be tried. */
static bool
is_unknown_sandbox(const struct session *s, const struct msg *m)
{
	struct error err = {0};
	if (m->type != MSG_ERROR || s->phase != ASKED || s->o->sandbox == NULL || s->resolved)
		return false;
	msg_error_read(m->body, &err);
	return sandbox_is_unknown(&err);
}

/* Asks again for the sandbox that was meant. Whether it did, or ended the session with the reason. */
static bool
look_up(struct session *s)
{
	struct error err = {0};
	s->resolved = true;
	if (sandbox_resolve(s->c->fd, s->o->sandbox, s->sandbox, &err) < 0 || ask(s, &err) < 0) {
		end_with_error(s, &err);
		s->abandon = true;
	}
	return true;
}

static void
on_message(struct session *s, struct msg *m)
{
	struct error err = {0};
	connect_settled(s->c);
	if (is_turned_away(s, m) && try_later(s))
		return;
	if (is_unknown_sandbox(s, m) && look_up(s))
		return;
	close_handed(s);
	if (m->type == MSG_HELD && s->phase <= HELD) {
		on_held(s, m);
	} else if (m->type == MSG_STARTED && s->phase <= HELD) {
		on_started(s, m);
	} else if (m->type == MSG_DONE && s->phase != ENDED) {
		on_done(s, m);
	} else if (m->type == MSG_ERROR) {
		msg_error_read(m->body, &err);
		end_with_error(s, &err);
		json_free(s->result->done);
		s->result->done = TAKE_PTR(m->body); /* it may name the action */
	} else if (m->type != MSG_OK) {
		error_set(&err, EPROTO, "protocol",
		    "rf-supervisor answered with message %u out of turn", m->type);
		end_with_error(s, &err);
		s->abandon = true;
	}
}

static void
on_lost(struct session *s, int r)
{
	struct error err = {0};
	if (r == -ECONNRESET && s->phase == ASKED && !s->said_anything &&
	    s->retries++ < RETRIES_MAX) {
		if (ask_again(s, &err) >= 0)
			return;
	} else {
		error_set(&err, EPIPE, "supervisor_lost",
		    "rf-supervisor ended; the sandbox is destroyed");
		error_remedy(&err, "see run/log in the state directory");
	}
	end_with_error(s, &err);
	s->lost = true;
	s->abandon = s->result->started == NULL;
}

static void
on_socket(struct session *s)
{
	struct msg m = MSG_INIT;
	int r = msg_recv(s->c->fd, MSG_DONTWAIT, &m);
	if (r > 0)
		on_message(s, &m);
	else if (r == -EBADMSG)
		on_lost(s, r);
	else if (r != -EAGAIN && r != -EINTR)
		on_lost(s, r);
	msg_done(&m);
}

/* ---- the loop ---- */

static void
after_streams(struct session *s)
{
	const struct channel *out = &s->relay.ch[RELAY_OUT];
	if (s->relay.over && !s->result->output_limit) {
		s->result->output_limit = true;
		stop(s, "output");
	}
	if (s->o->tty && out->state == CHANNEL_CLOSED)
		terminal_leave(&s->terminal); /* nothing of the program's is there to take a key */
	if (out->state == CHANNEL_CLOSED && out->error != 0 && !s->result->broken_pipe &&
	    s->result->error.code[0] == 0) {
		if (out->error == -EPIPE)
			s->result->broken_pipe = true;
		else
			error_set_errno(
			    &s->result->error, -out->error, "output_lost", "standard output");
		relay_discard(&s->relay); /* its complaints about that reach nobody either */
		stop(s, "interrupt");
	}
}

static int
serve(struct session *s, struct error *err)
{
	struct pollfd fds[2 + RELAY_POLL_FDS];
	while (!s->abandon) {
		bool ended = s->phase == ENDED;
		if (ended) {
			if (!s->lost)
				relay_close_input(&s->relay);
			s->relay.limit = MAX(s->relay.limit, (int64_t)0);
			if (relay_finished(&s->relay))
				break;
		}
		fds[0] = (struct pollfd){.fd = ended ? -1 : s->c->fd, .events = POLLIN};
		fds[1] = (struct pollfd){.fd = s->signals, .events = POLLIN};
		relay_prepare(&s->relay, fds + 2);
		/* Once it ended, everything it wrote is in the pipes: no reason to wait for their end of
		 * file, which comes when the last of its processes is gone. */
		int r = poll(fds, ARRAY_LEN(fds), ended && !relay_blocked(&s->relay) ? 0 : -1);
		if (r < 0 && errno != EINTR)
			return error_set_errno(err, errno, "poll_failed", "poll");
		if (r <= 0 && ended)
			break;
		if (r <= 0)
			continue;
		if (fds[1].revents != 0)
			on_signals(s);
		(void)relay_step(&s->relay, fds + 2);
		after_streams(s);
		if (fds[0].revents != 0)
			on_socket(s);
		if (s->phase == ENDED && s->result->at_ns[STEP_DONE] == 0)
			s->result->at_ns[STEP_DONE] = clock_monotonic_ns();
	}
	return 0;
}

int
session_run(
    const struct run_options *o, struct connection *c, struct run_result *ret, struct error *err)
{
	struct session s = {.o = o, .c = c, .result = ret, .signals = -1, .handed = {-1, -1, -1}};
	int ours[3] = {-1, -1, -1}, r = 0;
	buf_init(&ret->captured[0], CAPTURE_MAX);
	buf_init(&ret->captured[1], CAPTURE_MAX);
	if (o->detach)
		r = open_nothing(&s, err);
	else if (!o->tty)
		r = make_pipes(&s, ours, err);
	relay_init(&s.relay, ours, o->json ? ret->captured : NULL);
	if (r == 0 && !o->raw && relay_filter_terminals(&s.relay, TTYFILTER_TEXT) < 0)
		r = error_set(err, ENOMEM, "no_memory", "out of memory");
	if (r == 0 && (s.signals = open_signals()) < 0)
		r = error_set_errno(err, -s.signals, "no_signals", "signalfd");
	if (r == 0)
		r = ask(&s, err);
	if (r == 0)
		r = serve(&s, err);
	ret->output[0] = s.relay.ch[RELAY_OUT].count;
	ret->output[1] = s.relay.ch[RELAY_ERR].count;
	ret->at_ns[STEP_DRAINED] = clock_monotonic_ns();
	end_terminal(&s);
	relay_done(&s.relay);
	close_handed(&s);
	cleanup_close(&s.signals);
	return r;
}
