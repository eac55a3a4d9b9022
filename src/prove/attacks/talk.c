#include "prove/attacks/talk.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "ipc/messages.h"
#include "ipc/spawn.h"
#include "sys/process.h"

/* Whose it is as root, where nobody is anybody: no account has it (sandbox/ids.h). */
#define ITS_UID 0x7000000fu

bool
is_open(const struct fixtures *f, const char *lock)
{
	const char *locks = fixture(f, "locks");
	return strcmp(locks, "all") != 0 && strcmp(locks, lock) != 0;
}

static int
open_directory(const struct fixtures *f, const char *name)
{
	const char *path = in_dir(f, name);
	(void)mkdir(path, 0700);
	if (geteuid() == 0 && chown(path, ITS_UID, ITS_UID) < 0)
		return -1;
	return open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
}

static int
open_configuration(const struct fixtures *f, const char *text)
{
	const char *path = in_dir(f, "config.yaml");
	FILE *file = fopen(path, "we");
	if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0)
		return -1;
	return open(path, O_RDONLY | O_CLOEXEC);
}

struct program
start_program(
    const struct fixtures *f, const char *name, const char *config, int listener, int peer)
{
	static const char root[] = "1879048207", caller[] = "0";
	const char *id = geteuid() == 0 ? root : caller;
	const char *const argv[] = {name, "--uid", id, "--gid", id, NULL};
	struct program p = {.supervisor = -1};
	char path[512];
	int pair[2];
	(void)snprintf(path, sizeof(path), "%s/%s", fixture(f, "programs"), name);
	_cleanup_close_ int program = open(path, O_PATH | O_CLOEXEC);
	_cleanup_close_ int directory = open_directory(f, name);
	_cleanup_close_ int settings = open_configuration(f, config);
	if (program < 0 || directory < 0 || settings < 0 || msg_pair(pair) < 0)
		finish(cannot("the program cannot be started"));
	_cleanup_close_ int theirs = pair[1];
	/* The last two are files of people, of whom the arbiter needs none here. */
	int fds[SPAWN_FDS] = {-1, -1, -1, theirs, directory, listener, peer, settings, -1, -1};
	struct process_spec spec = {.program_fd = program,
	    .argv = argv,
	    .envp = argv + 5,
	    .fds = fds,
	    .n_fds = peer < 0 ? SPAWN_CONFIG + 1 : SPAWN_FDS,
	    .die_with_parent = true};
	int r = process_start(&spec, &p.pid, &p.pidfd);
	errno = -r;
	if (r < 0)
		finish(cannot("the program cannot be started"));
	p.supervisor = pair[0];
	return p;
}

int
introduce(const struct program *p, const char *peer, int number)
{
	_cleanup_json_ struct json *body = json_new_object();
	int pair[2];
	(void)json_set_str(body, "peer", peer);
	if (number >= 0)
		(void)json_set_int(body, "gateway", number);
	if (msg_pair(pair) < 0)
		finish(cannot("no socket pair"));
	int r = msg_send(p->supervisor, MSG_PEER_JOIN, 0, body, &pair[1], 1);
	(void)close(pair[1]);
	errno = -r;
	if (r < 0)
		finish(cannot("the program does not listen"));
	return pair[0];
}

bool
listen_to(int fd, struct msg *ret)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	if (poll(&ready, 1, TALK_PATIENCE_MS) != 1)
		finish(cannot("the program says nothing"));
	return msg_recv(fd, 0, ret) == 1;
}

int
ask_program(int fd, uint16_t type, const struct json *body, const int *fds, unsigned n_fds,
    struct msg *ret, struct error *err)
{
	static uint32_t serial;
	if (msg_send(fd, type, ++serial, body, fds, n_fds) < 0)
		return error_set(err, ECONNRESET, "ended", "the conversation has ended");
	while (listen_to(fd, ret)) {
		if (ret->serial == serial && ret->type != MSG_ERROR)
			return 0;
		bool refused = ret->serial == serial;
		if (refused)
			msg_error_read(ret->body, err);
		msg_done(ret);
		*ret = (struct msg)MSG_INIT;
		if (refused)
			return -EREMOTEIO;
	}
	return error_set(err, ECONNRESET, "ended", "the conversation has ended");
}

bool
end_program(struct program *p)
{
	int status;
	bool lives = process_reap(p->pidfd, false, &status) == -EAGAIN;
	if (lives) {
		(void)process_signal(p->pidfd, SIGKILL);
		(void)process_reap(p->pidfd, true, &status);
	}
	(void)close(p->pidfd);
	(void)close(p->supervisor);
	return lives;
}
