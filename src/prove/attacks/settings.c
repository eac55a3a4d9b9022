/* Against the kernel's surface, three: files that set it or tell of it, in /proc, /sys and control groups.
 * A setting counts as changed when its file opens for writing; nothing is written. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "prove/attacks/attacks.h"

static enum attack_result
open_setting(const char *path)
{
	return answer(opens_for_writing(path), path);
}

static enum attack_result
core_pattern(const struct fixtures *f)
{
	return open_setting("/proc/sys/kernel/core_pattern");
}

static enum attack_result
panic_setting(const struct fixtures *f)
{
	return open_setting("/proc/sys/kernel/panic");
}

static enum attack_result
modprobe_path(const struct fixtures *f)
{
	return open_setting("/proc/sys/kernel/modprobe");
}

static enum attack_result
overcommit(const struct fixtures *f)
{
	return open_setting("/proc/sys/vm/overcommit_memory");
}

static enum attack_result
sysrq(const struct fixtures *f)
{
	return open_setting("/proc/sysrq-trigger");
}

static enum attack_result
interrupt_affinity(const struct fixtures *f)
{
	return open_setting("/proc/irq/default_smp_affinity");
}

static enum attack_result
huge_pages(const struct fixtures *f)
{
	return open_setting("/sys/kernel/mm/transparent_hugepage/enabled");
}

static enum attack_result
first_of(const char *pattern)
{
	glob_t found;
	bool yes = glob(pattern, GLOB_NOSORT, NULL, &found) == 0;
	errno = ENOENT;
	if (!yes)
		return answer(false, "");
	enum attack_result result = open_setting(found.gl_pathv[0]);
	globfree(&found);
	return result;
}

static enum attack_result
release_agent(const struct fixtures *f)
{
	return first_of("/sys/fs/cgroup/*/release_agent");
}

static enum attack_result
notify_on_release(const struct fixtures *f)
{
	return first_of("/sys/fs/cgroup/*/notify_on_release");
}

/* ---- what tells of the kernel ---- */

static enum attack_result
kernel_addresses(const struct fixtures *f)
{
	unsigned long address = 0;
	FILE *file = fopen("/proc/kallsyms", "re");
	if (file == NULL)
		return answer(false, "");
	/* The first ones may be offsets of per-processor data: any that is no small number. */
	char line[256];
	while (address < (1ul << 40) && fgets(line, sizeof(line), file) != NULL)
		address = strtoul(line, NULL, 16);
	(void)fclose(file);
	errno = ENODATA;
	return answer(address >= (1ul << 40), "addresses of kernel functions");
}

static enum attack_result
kernel_memory(const struct fixtures *f)
{
	_cleanup_close_ int fd = open("/proc/kcore", O_RDONLY | O_CLOEXEC);
	return answer(fd >= 0, "/proc/kcore");
}

/* Anything at all behind PATH. */
static enum attack_result
tells(const char *path)
{
	char byte;
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, &byte, 1);
	errno = n == 0 ? ENODATA : errno;
	return answer(n == 1, path);
}

static enum attack_result
boot_line(const struct fixtures *f)
{
	return tells("/proc/cmdline");
}

static enum attack_result
key_names(const struct fixtures *f)
{
	return tells("/proc/keys");
}

static enum attack_result
interrupt_counts(const struct fixtures *f)
{
	return tells("/proc/interrupts");
}

#define SETTING_LOCKS                                  \
	{                                              \
		LOCK_PROC, LOCK_USER_NS, LOCK_LANDLOCK \
	}
#define SETTING_ROOTLESS  \
	{                 \
		LOCK_PROC \
	}
#define SYS_LOCKS                                      \
	{                                              \
		LOCK_ROOT, LOCK_USER_NS, LOCK_LANDLOCK \
	}

const struct attack settings_attacks[] = {
    {"core_pattern", BOUNDARY_KERNEL, "has the host run its program at a crash (core_pattern)",
	SETTING_LOCKS, .needs = NEEDS_ROOT, .run = RUN(core_pattern)},
    {"modprobe_path", BOUNDARY_KERNEL, "has the host run its program (kernel.modprobe)",
	SETTING_LOCKS, .needs = NEEDS_ROOT, .run = RUN(modprobe_path)},
    {"panic_setting", BOUNDARY_KERNEL, "changes how the host panics (kernel.panic)", SETTING_LOCKS,
	.needs = NEEDS_ROOT, .run = RUN(panic_setting)},
    {"overcommit", BOUNDARY_KERNEL, "changes the host's memory (vm.overcommit_memory)",
	SETTING_LOCKS, .needs = NEEDS_ROOT, .run = RUN(overcommit)},
    {"sysrq", BOUNDARY_KERNEL, "presses the machine's magic key (sysrq-trigger)", SETTING_LOCKS,
	.needs = NEEDS_ROOT, .run = RUN(sysrq)},
    {"interrupt_affinity", BOUNDARY_KERNEL, "steers interrupts (/proc/irq)", SETTING_LOCKS,
	.needs = NEEDS_ROOT, .run = RUN(interrupt_affinity)},
    {"huge_pages", BOUNDARY_KERNEL, "changes a setting in /sys", SYS_LOCKS, .needs = NEEDS_ROOT,
	.run = RUN(huge_pages)},
    {"release_agent", BOUNDARY_KERNEL, "has the host run its program (release_agent)", SYS_LOCKS,
	.needs = NEEDS_ROOT, .run = RUN(release_agent)},
    {"notify_on_release", BOUNDARY_KERNEL,
	"asks for a program at a group's end (notify_on_release)", SYS_LOCKS, .needs = NEEDS_ROOT,
	.run = RUN(notify_on_release)},
    {"kernel_addresses", BOUNDARY_KERNEL, "reads the kernel's addresses (kallsyms)",
	{LOCK_PROC, LOCK_USER_NS, LOCK_NO_CAPS}, .needs = NEEDS_ROOT, .run = RUN(kernel_addresses)},
    {"kernel_memory", BOUNDARY_KERNEL, "reads the kernel's memory (kcore)",
	{LOCK_USER_NS, LOCK_NO_CAPS}, .needs = NEEDS_ROOT, .run = RUN(kernel_memory)},
    {"boot_line", BOUNDARY_KERNEL, "reads how the host was started (cmdline)", {LOCK_PROC},
	.run = RUN(boot_line)},
    {"key_names", BOUNDARY_KERNEL, "reads the names of keys (/proc/keys)", {LOCK_PROC},
	.needs = NEEDS_OUTSIDE, .run = RUN(key_names)},
    {"interrupt_counts", BOUNDARY_KERNEL, "counts key strokes and packets (/proc/interrupts)",
	{LOCK_PROC}, .run = RUN(interrupt_counts)},
    {0}};
