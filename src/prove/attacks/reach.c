#include "prove/attacks/reach.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define OUR_RESOLVER 0xc6120001u /* 198.18.0.1, in each sandbox that has a network */
#define PATIENCE_S 10            /* no finding depends on it */

bool
behind_gateway(void)
{
	char line[256];
	bool found = false;
	FILE *file = fopen("/etc/resolv.conf", "re");
	while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL)
		found = strcmp(line, "nameserver 198.18.0.1\n") == 0;
	if (file != NULL)
		(void)fclose(file);
	return found;
}

static int
open_patient(int family, int type)
{
	struct timeval patience = {.tv_sec = PATIENCE_S};
	int fd = socket(family, type | SOCK_CLOEXEC, 0);
	/* Who waits does not wait on when the proof was killed. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (fd >= 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

int
connect_to(struct in_addr address, unsigned long port)
{
	struct sockaddr_in to = {
	    .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = address};
	int fd = open_patient(AF_INET, SOCK_STREAM);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
		return fd;
	int error = errno;
	(void)close(fd);
	errno = error;
	return -1;
}

bool
says_canary(int fd)
{
	char text[sizeof(CANARY)] = {0};
	if (fd < 0 || send(fd, "?\n", 2, MSG_NOSIGNAL) < 0)
		return false;
	ssize_t n = recv(fd, text, strlen(CANARY), MSG_WAITALL);
	if (n == 0)
		errno = ECONNRESET;
	return n > 0 && strcmp(text, CANARY) == 0;
}

bool
answers_canary(int fd, const char *text)
{
	char said[4096];
	size_t length = 0;
	if (fd < 0 || send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		return false;
	for (ssize_t n = 1; n > 0 && length<sizeof(said) - 1; length += n> 0 ? (size_t)n : 0)
		n = recv(fd, said + length, sizeof(said) - 1 - length, 0);
	said[length] = 0;
	errno = length > 0 ? EACCES : ECONNRESET;
	return strstr(said, CANARY) != NULL;
}

/* ---- names ---- */

static size_t
put_question(uint8_t *text, const char *name)
{
	static const uint8_t head[12] = {'r', 'f', 1, 0, 0, 1};
	size_t length = sizeof(head);
	memcpy(text, head, sizeof(head));
	while (*name != 0) {
		size_t n = strcspn(name, ".");
		text[length++] = (uint8_t)n;
		memcpy(text + length, name, n);
		length += n;
		name += n + (name[n] == '.');
	}
	memcpy(text + length, "\0\0\1\0\1", 5);
	return length + 5;
}

/* The first address among the records of an answer to a question of LENGTH bytes. */
static bool
read_answer(const uint8_t *text, size_t n, size_t length, struct in_addr *ret)
{
	if (n < length + 16 || text[7] == 0 || text[length] < 0xc0 || text[length + 3] != 1)
		return false;
	memcpy(ret, text + length + 12, 4);
	return true;
}

/* Whether the resolver at ADDRESS and PORT could be asked: its answer in *RET, or errno. */
static bool
ask(unsigned address, unsigned long port, const char *name, struct in_addr *ret)
{
	uint8_t text[512];
	struct sockaddr_in to = {.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)port),
	    .sin_addr = {.s_addr = htonl(address)}};
	size_t length = put_question(text, name);
	_cleanup_close_ int fd = open_patient(AF_INET, SOCK_DGRAM);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 ||
	    send(fd, text, length, MSG_NOSIGNAL) < 0)
		return false;
	ssize_t n = recv(fd, text, sizeof(text), 0);
	if (n < 0)
		return false;
	errno = ENOENT;
	return read_answer(text, (size_t)n, length, ret);
}

bool
resolve(const struct fixtures *f, const char *name, struct in_addr *ret)
{
	if (ask(INADDR_LOOPBACK, fixture_number(f, "resolver"), name, ret))
		return true;
	/* Nowhere else is 198.18.0.1 in this host. */
	return behind_gateway() && ask(OUR_RESOLVER, 53, name, ret);
}

int
connect_name(const struct fixtures *f, const char *name, unsigned long port)
{
	struct in_addr address;
	return resolve(f, name, &address) ? connect_to(address, port) : -1;
}

void
require_permitted(const struct fixtures *f)
{
	if (!behind_gateway())
		return;
	_cleanup_close_ int fd = connect_name(f, RAW, fixture_number(f, "tcp"));
	if (!says_canary(fd))
		finish(cannot("what is permitted does not work either"));
	errno = 0;
}
