/* One datagram to an address in the environment; see sd_notify(3), "Notes". */
#include "sys/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static char kept[sizeof(((struct sockaddr_un *)0)->sun_path)];

void
notify_keep(void)
{
	const char *address = getenv("NOTIFY_SOCKET");
	size_t len = address == NULL ? 0 : strlen(address);
	if (len > 0 && len < sizeof(kept))
		memcpy(kept, address, len + 1);
	(void)unsetenv("NOTIFY_SOCKET");
}

int
notify_manager(const char *text)
{
	const char *address = getenv("NOTIFY_SOCKET");
	if (address == NULL)
		address = kept;
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	size_t len = strlen(address);
	if (len == 0)
		return 0;
	/* A path, or "@name" in the abstract space; vsock and others are for virtual machines. */
	if ((address[0] != '/' && address[0] != '@') || len >= sizeof(to.sun_path))
		return -EAFNOSUPPORT;
	memcpy(to.sun_path, address, len);
	if (address[0] == '@')
		to.sun_path[0] = 0;
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	ssize_t n = sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&to, size);
	return n < 0 ? -errno : 0;
}
