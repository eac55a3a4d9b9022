/* What attacks aim at: a process that owns files, memory, sockets and IPC objects which each hold the canary.
 *
 * It says where they are and serves until the end of its standard input. What cannot be made here (no IPv6, no
 * key rings) is not named, and the attacks on it say that they cannot be tried. */
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "prove/attacks/attacks.h"

#define ENVIRONMENT "RINGFENCE_CANARY"
#define USER_PROCESS_KEYRING (-3) /* KEY_SPEC_SESSION_KEYRING */
#define KEYCTL_INVALIDATE \
	21 /* not revoked: that would count against its user for five minutes more */

enum listener { IPV4, IPV6, ABSTRACT, SOCKET, UDP, LISTENERS };

struct fixture {
	const struct fixtures *args;
	int listeners[LISTENERS];
	int shm, shm_file;
	long key;
	mqd_t queue;
	char names[32];
	bool any; /* a pair was printed */
};

static char memory[64] = CANARY;

static void tell(struct fixture *x, const char *key, const char *format, ...) PRINTF_LIKE(3, 4);

static void
tell(struct fixture *x, const char *key, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	(void)printf("%s\"%s\":\"", x->any ? "," : "", key);
	(void)vprintf(format, args);
	(void)printf("\"");
	va_end(args);
	x->any = true;
}

/* ---- files ---- */

/* NAME in our directory, with the canary in it. An open descriptor, or -1. */
static int
make_file(const struct fixture *x, const char *name, mode_t mode)
{
	int fd = open(in_dir(x->args, name), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	if (fd >= 0 && (fchmod(fd, mode) < 0 || write(fd, CANARY "\n", strlen(CANARY) + 1) < 0)) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

static void
make_files(struct fixture *x)
{
	int fd = make_file(x, "canary", 0600);
	if (fd >= 0) {
		tell(x, "canary", "%s", in_dir(x->args, "canary"));
		tell(x, "descriptor", "%d", fd);
	}
	if (mkdir(in_dir(x->args, ".ssh"), 0700) == 0 || errno == EEXIST) {
		_cleanup_close_ int key = make_file(x, ".ssh/id_ed25519", 0600);
		if (key >= 0)
			tell(x, "home", "%s", fixture(x->args, "dir"));
	}
	if (copy_program(in_dir(x->args, "program"), 0700))
		tell(x, "program", "%s", in_dir(x->args, "program"));
}

/* ---- sockets ---- */

static int
listen_at(int family, int type, const void *address, socklen_t length)
{
	int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 &&
	    (bind(fd, address, length) < 0 || (type == SOCK_STREAM && listen(fd, 16) < 0))) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

static void
tell_port(struct fixture *x, const char *key, int fd)
{
	struct sockaddr_in6 address = {0}; /* the port is where sockaddr_in has it */
	socklen_t length = sizeof(address);
	if (fd >= 0 && getsockname(fd, (struct sockaddr *)&address, &length) == 0)
		tell(x, key, "%d", ntohs(address.sin6_port));
}

static void
make_sockets(struct fixture *x)
{
	struct sockaddr_in v4 = {
	    .sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr_un path = {.sun_family = AF_UNIX}, name = {.sun_family = AF_UNIX};
	x->listeners[IPV4] = listen_at(AF_INET, SOCK_STREAM, &v4, sizeof(v4));
	x->listeners[UDP] = listen_at(AF_INET, SOCK_DGRAM, &v4, sizeof(v4));
	x->listeners[IPV6] = listen_at(AF_INET6, SOCK_STREAM, &v6, sizeof(v6));
	tell_port(x, "ipv4", x->listeners[IPV4]);
	tell_port(x, "udp", x->listeners[UDP]);
	tell_port(x, "ipv6", x->listeners[IPV6]);
	(void)snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "%s", x->names);
	x->listeners[ABSTRACT] = listen_at(AF_UNIX, SOCK_STREAM, &name,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(x->names)));
	if (x->listeners[ABSTRACT] >= 0)
		tell(x, "abstract", "%s", x->names);
	(void)snprintf(path.sun_path, sizeof(path.sun_path), "%s", in_dir(x->args, "docker.sock"));
	(void)unlink(path.sun_path);
	x->listeners[SOCKET] = listen_at(AF_UNIX, SOCK_STREAM, &path, sizeof(path));
	if (x->listeners[SOCKET] >= 0 && chmod(path.sun_path, 0660) == 0)
		tell(x, "socket", "%s", path.sun_path);
}

/* ---- IPC ---- */

static void
make_shared_memory(struct fixture *x)
{
	char file[64];
	x->shm = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
	char *at = x->shm < 0 ? (char *)-1 : shmat(x->shm, NULL, 0);
	if (at != (char *)-1) {
		(void)snprintf(at, 4096, "%s", CANARY);
		tell(x, "shm", "%d", x->shm);
	}
	(void)snprintf(file, sizeof(file), "/dev/shm/%s", x->names);
	x->shm_file = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (x->shm_file >= 0 && write(x->shm_file, CANARY, strlen(CANARY)) > 0)
		tell(x, "shm_file", "%s", file);
}

static void
make_queue_and_key(struct fixture *x)
{
	char name[40];
	struct mq_attr small = {.mq_maxmsg = 2, .mq_msgsize = 64};
	(void)snprintf(name, sizeof(name), "/%s", x->names);
	x->queue = mq_open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600, &small);
	tell(x, "queue", "%s", name); /* also where it may have none: nobody finds it then */
	x->key =
	    syscall(SYS_add_key, "user", x->names, CANARY, strlen(CANARY), USER_PROCESS_KEYRING);
	if (x->key >= 0)
		tell(x, "key", "%ld", x->key);
}

/* ---- serving ---- */

static void
serve_listener(int fd, bool datagrams)
{
	char question[64];
	struct sockaddr_storage from;
	socklen_t length = sizeof(from);
	if (datagrams) {
		if (recvfrom(
			fd, question, sizeof(question), 0, (struct sockaddr *)&from, &length) >= 0)
			(void)sendto(fd, CANARY, strlen(CANARY), MSG_NOSIGNAL,
			    (struct sockaddr *)&from, length);
		return;
	}
	_cleanup_close_ int peer = accept(fd, NULL, NULL);
	if (peer >= 0)
		(void)send(peer, CANARY, strlen(CANARY), MSG_NOSIGNAL);
}

static void
serve(struct fixture *x)
{
	struct pollfd fds[LISTENERS + 1] = {[LISTENERS] = {.fd = STDIN_FILENO, .events = POLLIN}};
	char byte;
	for (int i = 0; i < LISTENERS; i++)
		fds[i] = (struct pollfd){.fd = x->listeners[i], .events = POLLIN};
	for (;;) {
		if (poll(fds, LISTENERS + 1, -1) < 0 && errno != EINTR)
			return;
		for (int i = 0; i < LISTENERS; i++)
			if (fds[i].revents != 0)
				serve_listener(fds[i].fd, i == UDP);
		if (fds[LISTENERS].revents != 0 && read(STDIN_FILENO, &byte, 1) <= 0)
			return;
	}
}

/* What would stay when we are gone. */
static void
clean(struct fixture *x)
{
	char name[64];
	(void)shmctl(x->shm, IPC_RMID, NULL);
	(void)snprintf(name, sizeof(name), "/dev/shm/%s", x->names);
	(void)unlink(name);
	(void)mq_unlink(name + strlen("/dev/shm"));
	if (x->key >= 0)
		(void)syscall(SYS_keyctl, KEYCTL_INVALIDATE, x->key);
}

int
fixture_serve(char **argv)
{
	struct fixture x = {.args = &(struct fixtures){0}};
	if (getenv(ENVIRONMENT) == NULL) {
		/* Once more, so that the canary is where /proc/PID/environ shows it. */
		if (setenv(ENVIRONMENT, CANARY, 1) == 0)
			(void)execv("/proc/self/exe", argv);
		return 2;
	}
	int count = 0;
	while (argv[count + 2] != NULL)
		count++;
	x.args = &(struct fixtures){count, argv + 2};
	(void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	(void)snprintf(x.names, sizeof(x.names), CANARY "-%d", (int)getpid());
	(void)printf("{\"result\":\"ready\",\"fixtures\":{");
	tell(&x, "pid", "%d", (int)getpid());
	tell(&x, "address", "0x%lx", (unsigned long)(uintptr_t)memory);
	make_files(&x);
	make_sockets(&x);
	make_shared_memory(&x);
	make_queue_and_key(&x);
	(void)chdir(fixture(x.args, "dir"));
	(void)printf("}}\n");
	(void)fflush(stdout);
	serve(&x);
	clean(&x);
	return 0;
}
