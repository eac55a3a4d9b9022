/* Against devices: the host's, those that it makes itself, and terminals. A device counts as reached when it
 * opens; nothing is written to one and nothing of its content is kept. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/tiocl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "prove/attacks/attacks.h"

static enum attack_result
open_device(const char *path, int flags)
{
	_cleanup_close_ int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	return answer(fd >= 0, path);
}

/* The first disk of /dev that opens. Only for reading. */
static enum attack_result
open_disk(const struct fixtures *f)
{
	struct dirent *entry;
	DIR *dev = opendir("/dev");
	int error = errno != 0 ? errno : ENOENT;
	while (dev != NULL && (entry = readdir(dev)) != NULL) {
		if (entry->d_type != DT_BLK)
			continue;
		_cleanup_close_ int fd =
		    openat(dirfd(dev), entry->d_name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		if (fd >= 0) {
			(void)closedir(dev);
			return answer(true, "a disk of the host's, byte by byte");
		}
		error = errno;
	}
	errno = error;
	return answer(false, "");
}

static enum attack_result
open_memory(const struct fixtures *f)
{
	return open_device("/dev/mem", O_RDONLY);
}

static enum attack_result
read_kernel_messages(const struct fixtures *f)
{
	return open_device("/dev/kmsg", O_RDONLY);
}

static enum attack_result
write_kernel_messages(const struct fixtures *f)
{
	return open_device("/dev/kmsg", O_WRONLY);
}

static enum attack_result
open_console(const struct fixtures *f)
{
	return open_device("/dev/console", O_WRONLY);
}

static enum attack_result
open_virtual_machine(const struct fixtures *f)
{
	return open_device("/dev/kvm", O_RDWR);
}

static enum attack_result
open_fuse(const struct fixtures *f)
{
	return open_device("/dev/fuse", O_RDWR);
}

static enum attack_result
open_tunnel(const struct fixtures *f)
{
	return open_device("/dev/net/tun", O_RDWR);
}

static enum attack_result
open_loop_control(const struct fixtures *f)
{
	return open_device("/dev/loop-control", O_RDWR);
}

static enum attack_result
open_host_terminal(const struct fixtures *f)
{
	return open_device("/dev/tty1", O_WRONLY);
}

/* ---- of its own making ---- */

static const char *
make_node(const struct fixtures *f, mode_t type, unsigned major_number, unsigned minor_number)
{
	const char *path = in_dir(f, "device");
	(void)unlink(path);
	return mknod(path, type | 0600, makedev(major_number, minor_number)) == 0 ? path : NULL;
}

static enum attack_result
make_disk(const struct fixtures *f)
{
	struct stat st;
	if (stat("/usr", &st) < 0 && stat("/", &st) < 0)
		return cannot("no disk to name");
	return answer(make_node(f, S_IFBLK, major(st.st_dev), minor(st.st_dev)) != NULL,
	    "a name for the disk that /usr lies on");
}

static enum attack_result
make_memory(const struct fixtures *f)
{
	return answer(make_node(f, S_IFCHR, 1, 1) != NULL, "a name for the machine's memory");
}

static enum attack_result
use_own_device(const struct fixtures *f)
{
	const char *path = make_node(f, S_IFCHR, 1, 3 /* null */);
	return path == NULL ? answer(false, "") : open_device(path, O_RDWR);
}

/* ---- terminals ---- */

/* A terminal of our own, which controls us. */
static int
own_terminal(void)
{
	int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	int unlock = 0, number = -1;
	char path[32];
	if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0 ||
	    ioctl(master, TIOCGPTN, &number) < 0)
		return -1;
	(void)snprintf(path, sizeof(path), "/dev/pts/%d", number);
	(void)setsid();
	int terminal = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	return terminal >= 0 && ioctl(terminal, TIOCSCTTY, 0) == 0 ? terminal : -1;
}

static int
type_child(const struct fixtures *f)
{
	int terminal = own_terminal();
	return child_errno(terminal >= 0 && ioctl(terminal, TIOCSTI, "x") == 0);
}

static enum attack_result
type_for_user(const struct fixtures *f)
{
	return answer(in_child(type_child, f), "what it types is read as if a person had typed it");
}

static int
discipline_child(const struct fixtures *f)
{
	int terminal = own_terminal(), normal = 0;
	return child_errno(terminal >= 0 && ioctl(terminal, TIOCSETD, &normal) == 0);
}

static enum attack_result
line_discipline(const struct fixtures *f)
{
	return answer(in_child(discipline_child, f), "it chooses the driver of a terminal's line");
}

#define DEVICE_LOCKS                                   \
	{                                              \
		LOCK_ROOT, LOCK_LANDLOCK, LOCK_USER_NS \
	}
#define OPEN_LOCKS                       \
	{                                \
		LOCK_ROOT, LOCK_LANDLOCK \
	}
#define NODE_LOCKS                                                      \
	{                                                               \
		LOCK_SECCOMP, LOCK_USER_NS, LOCK_NO_CAPS, LOCK_LANDLOCK \
	}

const struct attack devices_attacks[] = {
    {"open_disk", BOUNDARY_DEVICES, "opens a disk of the host's", DEVICE_LOCKS, .needs = NEEDS_ROOT,
	.run = RUN(open_disk)},
    {"open_memory", BOUNDARY_DEVICES, "opens the machine's memory (/dev/mem)", DEVICE_LOCKS,
	.needs = NEEDS_ROOT, .run = RUN(open_memory)},
    {"read_kernel_messages", BOUNDARY_DEVICES, "reads the kernel's messages (/dev/kmsg)",
	OPEN_LOCKS, .needs = NEEDS_ROOT, .run = RUN(read_kernel_messages)},
    {"write_kernel_messages", BOUNDARY_DEVICES, "writes to the kernel's log (/dev/kmsg)",
	DEVICE_LOCKS, .needs = NEEDS_ROOT, .run = RUN(write_kernel_messages)},
    {"open_console", BOUNDARY_DEVICES, "writes to the console", DEVICE_LOCKS, .needs = NEEDS_ROOT,
	.run = RUN(open_console)},
    {"open_host_terminal", BOUNDARY_DEVICES, "writes to a terminal of the host's", DEVICE_LOCKS,
	.needs = NEEDS_ROOT, .run = RUN(open_host_terminal)},
    {"open_virtual_machine", BOUNDARY_DEVICES, "starts virtual machines (/dev/kvm)", DEVICE_LOCKS,
	.needs = NEEDS_ROOT, .run = RUN(open_virtual_machine)},
    {"open_fuse", BOUNDARY_DEVICES, "serves a file system (/dev/fuse)", DEVICE_LOCKS,
	.needs = NEEDS_ROOT, .run = RUN(open_fuse)},
    {"open_tunnel", BOUNDARY_DEVICES, "makes a network device (/dev/net/tun)", OPEN_LOCKS,
	.run = RUN(open_tunnel)},
    {"open_loop_control", BOUNDARY_DEVICES, "makes disks of files (/dev/loop-control)",
	DEVICE_LOCKS, .needs = NEEDS_ROOT, .run = RUN(open_loop_control)},
    {"make_disk", BOUNDARY_DEVICES, "makes a name for the host's disk (mknod)", NODE_LOCKS,
	.needs = NEEDS_ROOT, .run = RUN(make_disk)},
    {"make_memory", BOUNDARY_DEVICES, "makes a name for the machine's memory (mknod)", NODE_LOCKS,
	.needs = NEEDS_ROOT, .run = RUN(make_memory)},
    {"use_own_device", BOUNDARY_DEVICES, "opens a device that it made",
	{LOCK_NODEV, LOCK_SECCOMP, LOCK_USER_NS, LOCK_NO_CAPS, LOCK_LANDLOCK}, .needs = NEEDS_ROOT,
	.run = RUN(use_own_device)},
    {"type_for_user", BOUNDARY_DEVICES, "types into a terminal (TIOCSTI)", {LOCK_SECCOMP},
	.run = RUN(type_for_user)},
    {"line_discipline", BOUNDARY_DEVICES, "changes a terminal's line discipline (TIOCSETD)",
	{LOCK_SECCOMP}, .run = RUN(line_discipline)},
    {0}};
