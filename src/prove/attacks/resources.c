/* Against the limits: each tries to get more than a sandbox under proof may have (ATTEMPT_…, prove/attack.h) and
 * less than what bounds its control. Nothing here runs without such bounds. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "prove/attacks/attacks.h"

#define MIB (1u << 20)
#define PAGE 4096u
#define HIDDEN_FILE (8 * MIB)
#define WATCHED_MS 1000 /* who only watches shall see it */
#define BURNERS 4
#define BURN_MS 500
#define BURN_ROUNDS 8

static void
bounded(const struct fixtures *f)
{
	(void)fixture(f, "bounded");
}

/* ---- memory ---- */

/* Writes to every page. Who may not have them is killed here. */
static enum attack_result
touch(char *memory, const char *what)
{
	if (memory == MAP_FAILED)
		return answer(false, "");
	for (size_t at = 0; at < ATTEMPT_MEMORY; at += PAGE)
		memory[at] = 1;
	/* All at once: what was taken back is not counted. */
	unsigned char there[ATTEMPT_MEMORY / PAGE];
	size_t pages = 0;
	if (mincore(memory, ATTEMPT_MEMORY, there) == 0)
		for (size_t i = 0; i < sizeof(there); i++)
			pages += there[i] & 1;
	(void)poll(NULL, 0, WATCHED_MS);
	errno = ENOMEM;
	return answer(pages == sizeof(there), what);
}

static enum attack_result
take_memory(const struct fixtures *f)
{
	bounded(f);
	return touch(
	    mmap(NULL, ATTEMPT_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
	    "three times the memory of its limit");
}

static enum attack_result
take_shared_memory(const struct fixtures *f)
{
	bounded(f);
	return touch(
	    mmap(NULL, ATTEMPT_MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0),
	    "three times the memory of its limit, shared");
}

static enum attack_result
take_segments(const struct fixtures *f)
{
	bounded(f);
	int id = shmget(IPC_PRIVATE, ATTEMPT_MEMORY, IPC_CREAT | 0600);
	char *memory = id < 0 ? MAP_FAILED : shmat(id, NULL, 0);
	(void)shmctl(id, IPC_RMID, NULL); /* it ends with us */
	return touch(memory, "three times the memory of its limit, as a segment (System V)");
}

/* In files without a name, each below the limit of one file, that nobody has mapped. */
static enum attack_result
take_hidden_memory(const struct fixtures *f)
{
	static char block[MIB];
	bounded(f);
	memset(block, 1, sizeof(block));
	for (size_t done = 0; done < ATTEMPT_MEMORY; done += HIDDEN_FILE) {
		int fd = memfd_create("hidden", MFD_CLOEXEC);
		for (size_t n = 0; n < HIDDEN_FILE; n += sizeof(block))
			if (write(fd, block, sizeof(block)) != (ssize_t)sizeof(block))
				return answer(false, "");
	}
	(void)poll(NULL, 0, WATCHED_MS);
	return answer(true, "three times the memory of its limit, in memfds");
}

static enum attack_result
spare_from_killing(const struct fixtures *f)
{
	_cleanup_close_ int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	return answer(fd >= 0 && write(fd, "-1000", 5) == 5, "the kernel kills others first");
}

/* ---- processes ---- */

static enum attack_result
take_processes(const struct fixtures *f)
{
	pid_t children[ATTEMPT_PROCESSES];
	size_t n = 0;
	bounded(f);
	for (; n < ATTEMPT_PROCESSES; n++) {
		children[n] = fork();
		if (children[n] == 0)
			for (;;)
				(void)pause();
		if (children[n] < 0)
			break;
	}
	int error = errno;
	for (size_t i = 0; i < n; i++)
		(void)kill(children[i], SIGKILL);
	errno = error;
	return answer(n == ATTEMPT_PROCESSES, "three times the processes of its limit");
}

static int
idle_thread(void *unused)
{
	for (;;)
		(void)pause();
	return 0;
}

static enum attack_result
take_threads(const struct fixtures *f)
{
	static _Alignas(16) char stacks[ATTEMPT_PROCESSES][4096];
	const int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
	size_t n = 0;
	bounded(f);
	while (n < ATTEMPT_PROCESSES &&
	    clone(idle_thread, stacks[n] + sizeof(stacks[n]), flags, NULL) >= 0)
		n++;
	return answer(n == ATTEMPT_PROCESSES, "three times its limit, as threads");
}

/* ---- files ---- */

static enum attack_result
fill_disk(const struct fixtures *f)
{
	static char block[MIB];
	char name[32];
	bounded(f);
	for (size_t i = 0; i < ATTEMPT_DISK / sizeof(block); i++) {
		(void)snprintf(name, sizeof(name), "block-%zu", i);
		_cleanup_close_ int fd =
		    open(in_dir(f, name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0 || write(fd, block, sizeof(block)) != (ssize_t)sizeof(block))
			return answer(false, "");
	}
	return answer(true, "twice the disk of its limit");
}

static enum attack_result
large_file(const struct fixtures *f)
{
	bounded(f);
	(void)signal(SIGXFSZ, SIG_IGN);
	_cleanup_close_ int fd = open(in_dir(f, "large"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	/* Sparse: its size alone. */
	return answer(
	    fd >= 0 && pwrite(fd, "x", 1, ATTEMPT_DISK) == 1, "a file of twice its limit");
}

static enum attack_result
take_inodes(const struct fixtures *f)
{
	char name[32];
	bounded(f);
	for (unsigned i = 0; i < ATTEMPT_INODES; i++) {
		(void)snprintf(name, sizeof(name), "inode-%u", i);
		int fd = open(in_dir(f, name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0)
			return answer(false, "");
		(void)close(fd);
	}
	return answer(true, "twice the files of its limit");
}

static enum attack_result
take_descriptors(const struct fixtures *f)
{
	const struct rlimit more = {ATTEMPT_FILES + 16, ATTEMPT_FILES + 16};
	int n = 0;
	bounded(f);
	(void)setrlimit(RLIMIT_NOFILE, &more); /* if it can */
	while (n < ATTEMPT_FILES && dup(STDOUT_FILENO) >= 0)
		n++;
	return answer(n == ATTEMPT_FILES, "four times the descriptors of its limit");
}

/* ---- time ---- */

static int64_t
ms(clockid_t clock)
{
	struct timespec now = {0};
	(void)clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
burn(int64_t processor_ms)
{
	int64_t until = ms(CLOCK_PROCESS_CPUTIME_ID) + processor_ms;
	while (ms(CLOCK_PROCESS_CPUTIME_ID) < until)
		for (volatile int i = 0; i < 10000; i++)
			;
}

static enum attack_result
burn_processor(const struct fixtures *f)
{
	bounded(f);
	(void)signal(SIGXCPU, SIG_IGN);
	burn(ATTEMPT_CPU_MS);
	return answer(true, "more processor time than its limit");
}

/* Each child stays below what one process may have. */
static enum attack_result
burn_by_children(const struct fixtures *f)
{
	int status;
	bounded(f);
	for (int done = 0; done < ATTEMPT_CPU_MS; done += LIMIT_CPU_S * 1000 / 2) {
		pid_t pid = fork();
		if (pid == 0) {
			burn(LIMIT_CPU_S * 1000 / 2);
			_exit(0);
		}
		if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0)
			return answer(false, "");
	}
	return answer(true, "more processor time than its limit, by many children");
}

static void
burn_until(int64_t wall_ms)
{
	while (ms(CLOCK_MONOTONIC) < wall_ms)
		;
}

/* Hundredths of a processor that some processes got together, for a while. */
static int64_t
burn_together(void)
{
	struct rusage before, after;
	int64_t begin = ms(CLOCK_MONOTONIC);
	(void)getrusage(RUSAGE_CHILDREN, &before);
	for (int i = 0; i < BURNERS; i++)
		if (fork() == 0) {
			burn_until(begin + BURN_MS);
			_exit(0);
		}
	while (wait(NULL) > 0)
		;
	(void)getrusage(RUSAGE_CHILDREN, &after);
	int64_t used = (int64_t)(after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1000 +
	    (after.ru_utime.tv_usec - before.ru_utime.tv_usec) / 1000;
	return used * 100 / (ms(CLOCK_MONOTONIC) - begin);
}

/* The best of some rounds, because others use the machine too; a quota holds in each of them. */
static enum attack_result
whole_processor(const struct fixtures *f)
{
	int64_t best = 0;
	bounded(f);
	for (int i = 0; i < BURN_ROUNDS && best < ATTEMPT_CPU_PERCENT; i++)
		best = MAX(best, burn_together());
	errno = EAGAIN;
	return answer(best >= ATTEMPT_CPU_PERCENT, "more than its part of a processor");
}

static enum attack_result
stay(const struct fixtures *f)
{
	bounded(f);
	int64_t until = ms(CLOCK_MONOTONIC) + ATTEMPT_WALL_MS;
	for (int s = 1; s < NSIG; s++)
		(void)signal(s, SIG_IGN);
	while (ms(CLOCK_MONOTONIC) < until)
		(void)poll(NULL, 0, 50);
	return answer(true, "it ran longer than its limit");
}

static enum attack_result
real_time(const struct fixtures *f)
{
	const struct sched_param first = {.sched_priority = 1}, normal = {0};
	bool yes = syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &first) == 0;
	if (yes)
		(void)syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &normal);
	return answer(yes, "it runs before everybody");
}

static enum attack_result
raise_priority(const struct fixtures *f)
{
	errno = 0;
	int now = getpriority(PRIO_PROCESS, 0);
	return answer(
	    errno == 0 && setpriority(PRIO_PROCESS, 0, now - 1) == 0, "it has a better priority");
}

static enum attack_result
disk_priority(const struct fixtures *f)
{
	const int first = 1 << 13, normal = 0; /* IOPRIO_CLASS_RT, level 0; none */
	bool yes = syscall(SYS_ioprio_set, 1 /* IOPRIO_WHO_PROCESS */, 0, first) == 0;
	if (yes)
		(void)syscall(SYS_ioprio_set, 1, 0, normal);
	return answer(yes, "its reads and writes come before everybody's");
}

/* ---- output, groups ---- */

static enum attack_result
flood_output(const struct fixtures *f)
{
	static char line[PAGE];
	bounded(f);
	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\n';
	for (size_t done = 0; done < ATTEMPT_OUTPUT; done += sizeof(line))
		if (fwrite(line, 1, sizeof(line), stdout) != sizeof(line))
			return answer(false, "");
	return answer(fflush(stdout) == 0, "four times the output of its limit");
}

static enum attack_result
leave_group(const struct fixtures *f)
{
	glob_t found;
	bool any = glob("/sys/fs/cgroup/memory/cgroup.procs", 0, NULL, &found) == 0 ||
	    glob("/sys/fs/cgroup/cgroup.procs", 0, NULL, &found) == 0;
	errno = ENOENT;
	return answer(
	    any && opens_for_writing(found.gl_pathv[0]), "it may leave its control group");
}

#define RIGHT_LOCKS                        \
	{                                  \
		LOCK_USER_NS, LOCK_NO_CAPS \
	}
#define KILLS (NEEDS_BOUNDS | SILENCE_HOLDS)
#define WITHOUT_GROUP "where the user has no control group of their own (no delegation)"

const struct attack resources_attacks[] = {
    {"take_memory", BOUNDARY_RESOURCES, "uses more memory", {LOCK_CGROUP, LOCK_RLIMITS},
	{LOCK_RLIMITS, LOCK_WATCH}, KILLS, .run = RUN(take_memory)},
    {"take_shared_memory", BOUNDARY_RESOURCES, "uses more memory, shared", {LOCK_CGROUP},
	{LOCK_WATCH}, KILLS, .run = RUN(take_shared_memory), .conventional = WITHOUT_GROUP},
    {"take_segments", BOUNDARY_RESOURCES, "uses more memory, in segments (System V)", {LOCK_CGROUP},
	{LOCK_WATCH}, KILLS, .run = RUN(take_segments), .conventional = WITHOUT_GROUP},
    {"take_hidden_memory", BOUNDARY_RESOURCES, "uses more memory, in files without a name",
	{LOCK_CGROUP}, .needs = KILLS, .run = RUN(take_hidden_memory),
	.conventional = WITHOUT_GROUP},
    {"spare_from_killing", BOUNDARY_RESOURCES, "has others killed first (oom_score_adj)",
	{LOCK_PROC, LOCK_LANDLOCK, LOCK_USER_NS, LOCK_NO_CAPS}, .needs = NEEDS_ROOT,
	.run = RUN(spare_from_killing)},
    {"take_processes", BOUNDARY_RESOURCES, "starts more processes (fork)",
	{LOCK_CGROUP, LOCK_RLIMITS}, {LOCK_RLIMITS}, NEEDS_BOUNDS, .run = RUN(take_processes)},
    {"take_threads", BOUNDARY_RESOURCES, "starts more threads", {LOCK_CGROUP, LOCK_RLIMITS},
	{LOCK_RLIMITS}, NEEDS_BOUNDS, .run = RUN(take_threads)},
    {"fill_disk", BOUNDARY_RESOURCES, "uses more disk", {LOCK_SCRATCH}, .needs = NEEDS_BOUNDS,
	.run = RUN(fill_disk)},
    {"large_file", BOUNDARY_RESOURCES, "makes a larger file", {LOCK_RLIMITS}, .needs = NEEDS_BOUNDS,
	.run = RUN(large_file)},
    {"take_inodes", BOUNDARY_RESOURCES, "makes more files", {LOCK_SCRATCH}, .needs = NEEDS_BOUNDS,
	.run = RUN(take_inodes)},
    {"take_descriptors", BOUNDARY_RESOURCES, "opens more files", {LOCK_RLIMITS},
	.needs = NEEDS_BOUNDS, .run = RUN(take_descriptors)},
    {"burn_processor", BOUNDARY_RESOURCES, "uses more processor time",
	{LOCK_RLIMITS, LOCK_CPU_CLOCK}, .needs = KILLS, .run = RUN(burn_processor)},
    {"burn_by_children", BOUNDARY_RESOURCES, "uses more processor time, by children",
	{LOCK_CPU_CLOCK}, .needs = KILLS, .run = RUN(burn_by_children)},
    {"whole_processor", BOUNDARY_RESOURCES, "uses more than its part of a processor", {LOCK_CGROUP},
	.needs = NEEDS_BOUNDS | NEEDS_QUIET, .run = RUN(whole_processor),
	.conventional = WITHOUT_GROUP},
    {"stay", BOUNDARY_RESOURCES, "runs longer, deaf to signals", {LOCK_WALL}, .needs = KILLS,
	.run = RUN(stay)},
    {"real_time", BOUNDARY_RESOURCES, "runs before everybody (SCHED_FIFO)", RIGHT_LOCKS,
	.needs = NEEDS_ROOT, .run = RUN(real_time)},
    {"raise_priority", BOUNDARY_RESOURCES, "raises its priority", RIGHT_LOCKS, .needs = NEEDS_ROOT,
	.run = RUN(raise_priority)},
    {"disk_priority", BOUNDARY_RESOURCES, "reads and writes before everybody (ioprio_set)",
	RIGHT_LOCKS, .needs = NEEDS_ROOT, .run = RUN(disk_priority)},
    {"flood_output", BOUNDARY_RESOURCES, "prints more", {LOCK_OUTPUT}, .needs = KILLS,
	.run = RUN(flood_output)},
    {"leave_group", BOUNDARY_RESOURCES, "leaves its control group",
	{LOCK_ROOT, LOCK_LANDLOCK, LOCK_USER_NS}, .needs = NEEDS_ROOT, .run = RUN(leave_group)},
    {0}};
