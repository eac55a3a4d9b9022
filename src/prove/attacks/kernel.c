/* Against the kernel's surface, two: calls that few programs need and that many escapes began with.
 *
 * Each is made as a program would that means it, or, where its success would change the host, with an argument
 * that the kernel looks at only after it has looked at the right. */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timex.h>

#include "prove/attacks/attacks.h"

#define MAGIC_1 0xfee1dead /* reboot(2) */
#define WRONG_MAGIC 1
#define FAN_CLASS_PRE_CONTENT 8
#define GET_NEXT_QUOTA_OF_USERS 0x80000900 /* QCMD(Q_GETNEXTQUOTA, USRQUOTA) */
#define SYS_QUOTACTL_FD 443
#define SESSION_KEYRING (-3)
#define PROCESS_KEYRING (-2)
#define KEYCTL_SEARCH 10
#define KEYCTL_READ 11
#define NOWHERE "/ringfence-no-such-file"
#define ALL_OF_THREE                                     \
	{                                                \
		LOCK_SECCOMP, LOCK_USER_NS, LOCK_NO_CAPS \
	}

static enum attack_result
bpf_program(const struct fixtures *f)
{
	/* return 0, as a program on kernel functions */
	static const struct bpf_insn code[] = {
	    {.code = BPF_ALU64 | BPF_MOV | BPF_K}, {.code = BPF_JMP | BPF_EXIT}};
	union bpf_attr load = {.prog_type = BPF_PROG_TYPE_KPROBE,
	    .insns = (uintptr_t)code,
	    .insn_cnt = ARRAY_LEN(code),
	    .license = (uintptr_t) "GPL"};
	_cleanup_close_ int fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof(load));
	return answer(fd >= 0, "the kernel runs a program of ours");
}

static enum attack_result
io_uring(const struct fixtures *f)
{
	char params[256] = {0};
	_cleanup_close_ int fd = (int)syscall(SYS_io_uring_setup, 4, params);
	return answer(fd >= 0, "a ring, whose requests no filter sees");
}

static enum attack_result
kernel_aio(const struct fixtures *f)
{
	unsigned long context = 0;
	return answer(syscall(SYS_io_setup, 1, &context) == 0,
	    "reads and writes that the kernel makes later");
}

static int
traced_child(const struct fixtures *f)
{
	return child_errno(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
}

static enum attack_result
trace_child(const struct fixtures *f)
{
	return answer(in_child(traced_child, f), "its child's calls are its to change");
}

/* getpid by the gate of 32-bit programs, whose numbers mean other calls. */
static int
old_gate_child(const struct fixtures *f)
{
#ifdef __x86_64__
	int result = 20;
	__asm__ volatile("int $0x80" : "+a"(result) : : "memory", "cc", "r8", "r9", "r10", "r11");
	return result == getpid() ? 0 : ENOSYS;
#else
	return ENOSYS;
#endif
}

static enum attack_result
old_gate(const struct fixtures *f)
{
	return answer(in_child(old_gate_child, f), "calls whose numbers the filter reads wrongly");
}

static enum attack_result
userfaultfd(const struct fixtures *f)
{
	_cleanup_close_ int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	return answer(fd >= 0, "it may stop the kernel at a page of its own");
}

static enum attack_result
userfaultfd_own(const struct fixtures *f)
{
	_cleanup_close_ int fd =
	    (int)syscall(SYS_userfaultfd, O_CLOEXEC | 1 /* UFFD_USER_MODE_ONLY */);
	return answer(fd >= 0, "it handles its own page faults");
}

static enum attack_result
perf_of_all(const struct fixtures *f)
{
	struct perf_event_attr event = {.type = PERF_TYPE_SOFTWARE,
	    .size = sizeof(event),
	    .config = PERF_COUNT_SW_CONTEXT_SWITCHES};
	_cleanup_close_ int fd =
	    (int)syscall(SYS_perf_event_open, &event, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	return answer(fd >= 0, "it watches everybody on a processor");
}

static enum attack_result
add_key(const struct fixtures *f)
{
	long key = syscall(SYS_add_key, "user", "ringfence-attack", "x", 1, PROCESS_KEYRING);
	return answer(key >= 0, "the kernel keeps a key for us");
}

static enum attack_result
read_inherited_key(const struct fixtures *f)
{
	char text[sizeof(CANARY)] = {0};
	char name[64];
	(void)snprintf(name, sizeof(name), CANARY "-%lu", fixture_number(f, "pid"));
	long key = syscall(SYS_keyctl, KEYCTL_SEARCH, SESSION_KEYRING, "user", name, 0);
	bool read = key >= 0 && syscall(SYS_keyctl, KEYCTL_READ, key, text, strlen(CANARY)) > 0;
	return answer(read && strcmp(text, CANARY) == 0, "a key of who started us");
}

static enum attack_result
fanotify(const struct fixtures *f)
{
	_cleanup_close_ int fd = (int)syscall(SYS_fanotify_init, FAN_CLASS_PRE_CONTENT, O_RDONLY);
	return answer(fd >= 0, "it may decide on what others open");
}

static enum attack_result
quota(const struct fixtures *f)
{
	char result[128];
	_cleanup_close_ int fd = open("/usr", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return answer_harmless(
	    syscall(SYS_QUOTACTL_FD, fd, GET_NEXT_QUOTA_OF_USERS, 0, result), ESRCH);
}

static enum attack_result
accounting(const struct fixtures *f)
{
	return answer_harmless(syscall(SYS_acct, NOWHERE), ENOENT);
}

static enum attack_result
swap(const struct fixtures *f)
{
	return answer_harmless(syscall(SYS_swapon, NOWHERE, 0), ENOENT);
}

static enum attack_result
reboot_host(const struct fixtures *f)
{
	return answer_harmless(syscall(SYS_reboot, MAGIC_1, WRONG_MAGIC, 0, NULL), EINVAL);
}

static enum attack_result
kexec(const struct fixtures *f)
{
	/* More segments than there can be. */
	return answer_harmless(syscall(SYS_kexec_load, 0, 1000000, NULL, 0), EINVAL);
}

static enum attack_result
load_module(const struct fixtures *f)
{
	static const char text[] = "This is no kernel module, so that nothing is ever loaded.\n";
	const char *path = in_dir(f, "module.ko");
	int to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool written = to >= 0 && write(to, text, sizeof(text)) == (ssize_t)sizeof(text);
	(void)close(to); /* the kernel reads only what nobody writes */
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (!written || fd < 0)
		return cannot("no file");
	long r = syscall(SYS_finit_module, fd, "", 0);
	/* A kernel that wants signatures says that first. */
	return answer_harmless(r, r < 0 && errno == EKEYREJECTED ? EKEYREJECTED : ENOEXEC);
}

static enum attack_result
unload_module(const struct fixtures *f)
{
	return answer_harmless(syscall(SYS_delete_module, "ringfence-none", O_NONBLOCK), ENOENT);
}

static enum attack_result
read_kernel_log(const struct fixtures *f)
{
	char text[256];
	return answer(syscall(SYS_syslog, 3, text, sizeof(text)) > 0, "lines of the kernel's log");
}

static enum attack_result
console_level(const struct fixtures *f)
{
	/* There is no level 99. */
	return answer_harmless(syscall(SYS_syslog, 8, NULL, 99), EINVAL);
}

static enum attack_result
adjust_clock(const struct fixtures *f)
{
	struct timex impossible = {.modes = ADJ_TICK, .tick = 1};
	return answer_harmless(syscall(SYS_adjtimex, &impossible), EINVAL);
}

static enum attack_result
set_clock(const struct fixtures *f)
{
	/* A time zone that does not exist. */
	const int zone[2] = {99999, 0};
	return answer_harmless(syscall(SYS_settimeofday, NULL, zone), EINVAL);
}

static enum attack_result
set_host_name(const struct fixtures *f)
{
	char name[65] = {0};
	(void)gethostname(name, sizeof(name) - 1);
	return answer(sethostname(name, strlen(name)) == 0, "the host was given its own name");
}

static enum attack_result
no_randomness(const struct fixtures *f)
{
	return answer(
	    personality(ADDR_NO_RANDOMIZE) >= 0, "programs after it have fixed addresses");
}

static enum attack_result
local_descriptors(const struct fixtures *f)
{
	char table[64];
	return answer(syscall(SYS_modify_ldt, 0, table, sizeof(table)) >= 0,
	    "its local descriptor table (modify_ldt)");
}

static enum attack_result
io_ports(const struct fixtures *f)
{
	/* One port that nothing uses; given back with the process. */
	return answer(syscall(SYS_ioperm, 0x3ff, 1, 1) == 0, "an I/O port");
}

static enum attack_result
open_by_handle(const struct fixtures *f)
{
	union {
		struct file_handle handle;
		char space[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} h = {.handle = {.handle_bytes = MAX_HANDLE_SZ}};
	int mount_id;
	_cleanup_close_ int root = open("/usr", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (name_to_handle_at(AT_FDCWD, "/usr/bin", &h.handle, &mount_id, 0) < 0)
		return answer(false, "");
	_cleanup_close_ int fd = open_by_handle_at(root, &h.handle, O_RDONLY | O_CLOEXEC);
	return answer(fd >= 0, "a file by its number, past every directory");
}

static enum attack_result
choose_pid(const struct fixtures *f)
{
	/* So that who waits for a process of that number, now ended, finds one of ours. */
	int wanted = 4000;
	while (wanted < 30000 && kill(wanted, 0) == 0)
		wanted++;
	unsigned long args[10] = {[4] = SIGCHLD, [8] = (uintptr_t)&wanted, [9] = 1};
	long pid = syscall(SYS_clone3, args, sizeof(args));
	if (pid == 0)
		_exit(0);
	return answer(pid == wanted, "a process with a number that it chose");
}

const struct attack kernel_attacks[] = {
    {"bpf_program", BOUNDARY_KERNEL, "loads a program into the kernel (bpf)", ALL_OF_THREE,
	.needs = NEEDS_ROOT, .run = RUN(bpf_program)},
    {"io_uring", BOUNDARY_KERNEL, "makes calls past the filter (io_uring)", {LOCK_SECCOMP},
	.run = RUN(io_uring)},
    {"kernel_aio", BOUNDARY_KERNEL, "has the kernel read and write later (io_setup)",
	{LOCK_SECCOMP}, .run = RUN(kernel_aio)},
    {"trace_child", BOUNDARY_KERNEL, "changes the calls of its child (ptrace)", {LOCK_SECCOMP},
	.run = RUN(trace_child)},
    {"old_gate", BOUNDARY_KERNEL, "calls by the 32-bit gate (int 0x80)", {LOCK_SECCOMP},
	.run = RUN(old_gate)},
    {"userfaultfd", BOUNDARY_KERNEL, "stops the kernel at a page fault (userfaultfd)", ALL_OF_THREE,
	.needs = NEEDS_ROOT, .run = RUN(userfaultfd)},
    {"userfaultfd_own", BOUNDARY_KERNEL, "handles its own page faults (userfaultfd)",
	{LOCK_SECCOMP}, .run = RUN(userfaultfd_own)},
    {"perf_of_all", BOUNDARY_KERNEL, "watches a processor (perf_event_open)", ALL_OF_THREE,
	.needs = NEEDS_ROOT, .run = RUN(perf_of_all)},
    {"add_key", BOUNDARY_KERNEL, "gives the kernel a key (add_key)", {LOCK_SECCOMP},
	.run = RUN(add_key)},
    {"read_inherited_key", BOUNDARY_KERNEL, "reads a key of who started it (keyctl)",
	{LOCK_SECCOMP, LOCK_KEYRING}, .needs = NEEDS_OUTSIDE, .run = RUN(read_inherited_key)},
    {"fanotify", BOUNDARY_KERNEL, "decides on what others open (fanotify)", ALL_OF_THREE,
	.needs = NEEDS_ROOT, .run = RUN(fanotify)},
    {"quota", BOUNDARY_KERNEL, "reads the quotas of others (quotactl)", ALL_OF_THREE,
	.needs = NEEDS_ROOT, .run = RUN(quota)},
    {"accounting", BOUNDARY_KERNEL, "records every process (acct)", ALL_OF_THREE,
	.needs = NEEDS_ROOT, .run = RUN(accounting)},
    {"swap", BOUNDARY_KERNEL, "swaps memory to a file of its own (swapon)", ALL_OF_THREE,
	.needs = NEEDS_ROOT, .run = RUN(swap)},
    {"reboot_host", BOUNDARY_KERNEL, "restarts the machine (reboot)", ALL_OF_THREE,
	.needs = NEEDS_ROOT, .run = RUN(reboot_host)},
    {"kexec", BOUNDARY_KERNEL, "starts another kernel (kexec_load)", ALL_OF_THREE,
	.needs = NEEDS_ROOT, .run = RUN(kexec)},
    {"load_module", BOUNDARY_KERNEL, "loads a kernel module (finit_module)", ALL_OF_THREE,
	.needs = NEEDS_ROOT, .run = RUN(load_module)},
    {"unload_module", BOUNDARY_KERNEL, "removes a kernel module (delete_module)", ALL_OF_THREE,
	.needs = NEEDS_ROOT, .run = RUN(unload_module)},
    {"read_kernel_log", BOUNDARY_KERNEL, "reads the kernel's log (syslog)", {LOCK_SECCOMP},
	.run = RUN(read_kernel_log)},
    {"console_level", BOUNDARY_KERNEL, "silences the kernel's log (syslog)", ALL_OF_THREE,
	.needs = NEEDS_ROOT, .run = RUN(console_level)},
    {"adjust_clock", BOUNDARY_KERNEL, "changes the speed of the clock (adjtimex)", ALL_OF_THREE,
	.needs = NEEDS_ROOT, .run = RUN(adjust_clock)},
    {"set_clock", BOUNDARY_KERNEL, "sets the clock (settimeofday)", ALL_OF_THREE,
	.needs = NEEDS_ROOT, .run = RUN(set_clock)},
    {"set_host_name", BOUNDARY_KERNEL, "renames the host (sethostname)", ALL_OF_THREE,
	.needs = NEEDS_NS_ROOT, .run = RUN(set_host_name)},
    {"no_randomness", BOUNDARY_KERNEL, "turns address randomisation off (personality)",
	{LOCK_SECCOMP}, .run = RUN(no_randomness)},
    {"local_descriptors", BOUNDARY_KERNEL, "reaches for segment descriptors (modify_ldt)",
	{LOCK_SECCOMP}, .run = RUN(local_descriptors)},
    {"io_ports", BOUNDARY_KERNEL, "speaks to hardware (ioperm)", ALL_OF_THREE, .needs = NEEDS_ROOT,
	.run = RUN(io_ports)},
    {"open_by_handle", BOUNDARY_KERNEL, "opens a file by its number (open_by_handle_at)",
	ALL_OF_THREE, .needs = NEEDS_ROOT, .run = RUN(open_by_handle)},
    {"choose_pid", BOUNDARY_KERNEL, "takes the pid of an ended process (clone3 set_tid)",
	ALL_OF_THREE, .needs = NEEDS_NS_ROOT, .run = RUN(choose_pid)},
    {0}};
