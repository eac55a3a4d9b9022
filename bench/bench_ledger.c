/* What the ledger costs: durable records a second with many waiting at once, the round trip of one
 * record that need not be durable, the way from exec to the first acknowledgement, and verification.
 *
 *     bench_ledger BIN_DIR [SECONDS]
 *
 * Drives a real rf-ledger, this program being its supervisor and its arbiter; WAITING requests are on
 * their way at any time, as from that many actions at once. Prints one line for each figure. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "ipc/messages.h"
#include "ipc/msg.h"
#include "ipc/spawn.h"

#define WAITING 128
#define STARTS 200
#define ROUND_TRIPS 20000
#define BENCH_UID 64002

struct ledger {
	pid_t pid;
	int supervisor, arbiter;
};

struct bench {
	const char *bin_dir;
	char directory[64], state[80];
};

static void
die(const char *what)
{
	(void)fprintf(stderr, "bench_ledger: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- the program ---- */

static void
exec_ledger(const struct bench *b, int supervisor, int arbiter)
{
	char path[4096], uid[16];
	int state = open(b->state, O_RDONLY | O_DIRECTORY);
	/* Out of the way of the numbers below. */
	int moved[] = {
	    fcntl(supervisor, F_DUPFD, 20), fcntl(state, F_DUPFD, 20), fcntl(arbiter, F_DUPFD, 20)};
	if (dup2(moved[0], SPAWN_SUPERVISOR) < 0 || dup2(moved[1], SPAWN_STATE_DIR) < 0 ||
	    dup2(moved[2], SPAWN_PEER) < 0)
		_exit(1);
	(void)close(SPAWN_LISTENER);
	(void)snprintf(path, sizeof(path), "%s/rf-ledger", b->bin_dir);
	(void)snprintf(uid, sizeof(uid), "%d", geteuid() == 0 ? BENCH_UID : 0);
	(void)execl(path, "rf-ledger", "--uid", uid, "--gid", uid, (char *)NULL);
	_exit(1);
}

static struct ledger
start(const struct bench *b)
{
	int supervisor[2], arbiter[2];
	if (msg_pair(supervisor) < 0 || msg_pair(arbiter) < 0)
		die("socketpair");
	pid_t pid = vfork();
	if (pid == 0)
		exec_ledger(b, supervisor[1], arbiter[1]);
	if (pid < 0)
		die("fork");
	(void)close(supervisor[1]);
	(void)close(arbiter[1]);
	return (struct ledger){pid, supervisor[0], arbiter[0]};
}

static void
stop(struct ledger *l)
{
	int status;
	(void)close(l->arbiter);
	(void)close(l->supervisor);
	if (waitpid(l->pid, &status, 0) < 0 || status != 0) {
		errno = ECHILD;
		die("rf-ledger");
	}
}

/* ---- records ---- */

/* About 600 bytes as written, with what an exec decision has. */
static void
make_request(uint32_t serial, bool durable, struct buf *out)
{
	struct json *body = json_new_object(), *data = json_new_object(), *argv = json_new_array();
	buf_init(out, MSG_HEADER_BYTES + MSG_BODY_MAX);
	(void)json_push(argv, json_new_string("/usr/bin/python3"));
	(void)json_push(argv, json_new_string("analyse.py"));
	(void)json_push(argv, json_new_string("--input=/workspace/measurements.csv"));
	(void)json_set_str(data, "kind", "exec");
	(void)json_set_str(data, "target", "/usr/bin/python3");
	(void)json_set(data, "argv", argv);
	(void)json_set_str(data, "cwd", "/workspace");
	(void)json_set_str(
	    data, "digest", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08");
	(void)json_set_str(
	    data, "policy", "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752");
	(void)json_set_str(data, "state", "approved");
	(void)json_set_str(data, "reason", "allowed by rule run-python of policy acme-support");
	(void)json_set(body, "data", data);
	(void)json_set_str(body, "event", "decision");
	(void)json_set_str(body, "task", "01985c2e-6d57-7a3c-9f0e-2b8f4c1d7e90");
	(void)json_set_str(body, "action_id", "01985c2e-6d58-7b11-8c5d-90a1b2c3d4e5");
	(void)json_set_bool(body, "durable", durable);
	if (msg_encode(MSG_APPEND, serial, body, out) < 0)
		die("message");
	json_free(body);
}

static void
send_packet(int fd, const struct buf *packet)
{
	if (msg_send_packet(fd, packet->data, packet->len, NULL, 0) < 0)
		die("send");
}

static void
take_answer(int fd)
{
	uint8_t packet[4096];
	ssize_t n = recv(fd, packet, sizeof(packet), 0);
	if (n < MSG_HEADER_BYTES || packet[4] != MSG_APPENDED) {
		errno = EPROTO;
		die("answer");
	}
}

static int
by_value(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

static void
print_percentiles(const char *name, int64_t *ns, size_t n)
{
	qsort(ns, n, sizeof(*ns), by_value);
	(void)printf("%s: p50 %.1f us, p99 %.1f us\n", name, (double)ns[n / 2] / 1e3,
	    (double)ns[n * 99 / 100] / 1e3);
}

/* ---- what is measured ---- */

static void
measure_throughput(const struct bench *b, const char *name, bool durable, int seconds)
{
	struct ledger l = start(b);
	struct buf request;
	uint64_t done = 0;
	make_request(1, durable, &request);
	for (int i = 0; i < WAITING; i++)
		send_packet(l.arbiter, &request);
	int64_t begin = clock_monotonic_ns(), end = begin + seconds * 1000000000LL;
	while (clock_monotonic_ns() < end) {
		take_answer(l.arbiter);
		send_packet(l.arbiter, &request);
		done++;
	}
	double took = (double)(clock_monotonic_ns() - begin) / 1e9;
	(void)printf("%s, %d waiting at a time: %.0f %s\n", name, WAITING, (double)done / took,
	    durable ? "records/s" : "a second");
	for (int i = 0; i < WAITING; i++)
		take_answer(l.arbiter);
	buf_done(&request);
	stop(&l);
}

static void
measure_round_trip(const struct bench *b, const char *name, bool durable, size_t n)
{
	static int64_t ns[ROUND_TRIPS];
	struct ledger l = start(b);
	struct buf request;
	make_request(1, durable, &request);
	for (size_t i = 0; i < n; i++) {
		int64_t begin = clock_monotonic_ns();
		send_packet(l.arbiter, &request);
		take_answer(l.arbiter);
		ns[i] = clock_monotonic_ns() - begin;
	}
	print_percentiles(name, ns, n);
	buf_done(&request);
	stop(&l);
}

/* From before exec to the first record's acknowledgement, on a ledger that has a history. */
static void
measure_start(const struct bench *b)
{
	static int64_t ns[STARTS];
	struct buf request;
	make_request(1, false, &request);
	for (size_t i = 0; i < STARTS; i++) {
		int64_t begin = clock_monotonic_ns();
		struct ledger l = start(b);
		send_packet(l.arbiter, &request);
		take_answer(l.arbiter);
		ns[i] = clock_monotonic_ns() - begin;
		stop(&l);
	}
	print_percentiles("from exec to the first acknowledgement", ns, STARTS);
	buf_done(&request);
}

static int64_t
ledger_bytes(const struct bench *b)
{
	int64_t total = 0;
	for (int i = 0;; i++) {
		char path[128];
		struct stat st;
		(void)snprintf(path, sizeof(path), "%s/%08d.jsonl", b->state, i);
		if (stat(path, &st) < 0)
			return total;
		total += st.st_size;
	}
}

static void
measure_verify(const struct bench *b)
{
	char path[4096];
	int64_t best = INT64_MAX, bytes = ledger_bytes(b);
	(void)snprintf(path, sizeof(path), "%s/rf-audit", b->bin_dir);
	for (int i = 0; i < 3; i++) {
		int64_t begin = clock_monotonic_ns();
		int status;
		(void)fflush(stdout);
		pid_t pid = fork();
		if (pid == 0) {
			if (freopen("/dev/null", "w", stdout) == NULL)
				_exit(3);
			(void)execl(path, "rf-audit", "verify", b->state, (char *)NULL);
			_exit(3);
		}
		if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0) {
			errno = ECHILD;
			die("rf-audit verify");
		}
		best = MIN(best, clock_monotonic_ns() - begin);
	}
	(void)printf("verification: %.0f MB/s (%.0f MB)\n",
	    (double)bytes / 1e6 / ((double)best / 1e9), (double)bytes / 1e6);
}

/* ---- */

static void
clean(const struct bench *b)
{
	char path[512];
	static const char *const names[] = {
	    "checkpoint", "checkpoints", "frontier", "ledger.key", "ledger.pub", "redact.key"};
	for (int i = 0; i < 200; i++) {
		(void)snprintf(path, sizeof(path), "%s/%08d.jsonl", b->state, i);
		(void)unlink(path);
	}
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", b->state, names[i]);
		(void)unlink(path);
	}
	(void)rmdir(b->state);
	(void)rmdir(b->directory);
}

int
main(int argc, char **argv)
{
	struct bench b = {.bin_dir = argc > 1 ? argv[1] : "build/bin"};
	int seconds = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 3;
	const char *base = getenv("TMPDIR");
	(void)snprintf(
	    b.directory, sizeof(b.directory), "%.40s/ledger-XXXXXX", base == NULL ? "/tmp" : base);
	if (mkdtemp(b.directory) == NULL || chmod(b.directory, 0755) < 0)
		die("directory");
	(void)snprintf(b.state, sizeof(b.state), "%s/ledger", b.directory);
	if (mkdir(b.state, 0700) < 0 ||
	    (geteuid() == 0 && chown(b.state, BENCH_UID, BENCH_UID) < 0))
		die("directory");
	measure_throughput(&b, "durable", true, seconds);
	measure_throughput(&b, "written (not synced)", false, seconds);
	measure_round_trip(&b, "one record, written", false, ROUND_TRIPS);
	measure_round_trip(&b, "one record, durable", true, 2000);
	measure_start(&b);
	measure_verify(&b);
	clean(&b);
	return 0;
}
