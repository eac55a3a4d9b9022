/* How long a decision takes: in process, through rf-arbiter's socket, and from the arbiter's start.
 *
 *     bench_decide BIN_DIR [ROUNDS]
 *
 * The policy has 200 rules of several kinds; the action is decided by the last exec rule. This program
 * plays the supervisor and the ledger. Records are acknowledged between rounds, so that the ledger's
 * part of the work (sending the record) is inside the time and its answer is not. Prints p50, p90 and
 * p99 in microseconds. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "ipc/messages.h"
#include "ipc/msg.h"
#include "ipc/spawn.h"
#include "policy/policy.h"

#define RULES 200
#define ROUNDS 20000
#define STARTS 200
#define BENCH_UID 64001

struct arbiter {
	pid_t pid;
	int supervisor, ledger; /* our ends */
};

struct bench {
	const char *bin_dir;
	char directory[64];
	int state, null, listener;
	struct buf policy;
	int policy_fd;
};

static void
die(const char *what)
{
	(void)fprintf(stderr, "bench_decide: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- the policy and the action ---- */

static void
make_policy(struct buf *out)
{
	buf_init(out, POLICY_BYTES_MAX);
	(void)buf_add_str(out, "version: 1\nname: bench\nrules:\n");
	for (int i = 0; i < RULES; i++) {
		(void)buf_addf(out, "  - name: rule-%d\n    why: measured\n    owner: bench\n", i);
		if (i % 4 == 0)
			(void)buf_addf(out,
			    "    allow: file\n    operations: [read, write]\n"
			    "    paths: [/srv/d%d/**]\n",
			    i);
		else if (i % 4 == 1)
			(void)buf_addf(out, "    deny: exec\n    program: /usr/bin/d%d\n", i);
		else
			(void)buf_addf(out,
			    "    allow: exec\n    program: /usr/bin/p%d\n"
			    "    subcommands: [status, log]\n    options: [--stat]\n",
			    i);
	}
	if (buf_failed(out))
		die("policy");
}

static struct json *
make_action(void)
{
	static const char text[] =
	    "{\"kind\":\"exec\",\"target\":\"/usr/bin/p199\",\"request\":"
	    "{\"program\":\"/usr/bin/p199\",\"resolved\":\"/usr/bin/p199\","
	    "\"argv\":[\"p199\",\"log\",\"--stat\"],\"cwd\":\"/work\",\"env\":[]}}";
	struct json *action = NULL;
	if (json_parse(text, sizeof(text) - 1, &action, NULL) < 0)
		die("action");
	return action;
}

/* ---- figures ---- */

static int
compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

static void
report(const char *what, int64_t *ns, size_t n)
{
	qsort(ns, n, sizeof(*ns), compare);
	(void)printf("%-34s p50 %8.2f us   p90 %8.2f us   p99 %8.2f us   (%zu)\n", what,
	    (double)ns[n / 2] / 1e3, (double)ns[n * 9 / 10] / 1e3, (double)ns[n * 99 / 100] / 1e3,
	    n);
}

/* ---- the arbiter ---- */

static void
child_exec(const struct bench *b, int supervisor, int ledger)
{
	const int order[] = {supervisor, b->state, b->listener, ledger, b->null, b->null, b->null};
	char path[4096], id[16];
	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		if (fcntl(order[i], F_DUPFD, 100 + (int)i) != 100 + (int)i)
			_exit(120);
	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		if (dup2(100 + (int)i, SPAWN_SUPERVISOR + (int)i) < 0)
			_exit(121);
	(void)snprintf(path, sizeof(path), "%s/rf-arbiter", b->bin_dir);
	(void)snprintf(id, sizeof(id), "%d", geteuid() == 0 ? BENCH_UID : 0);
	(void)execl(path, "rf-arbiter", "--uid", id, "--gid", id, (char *)NULL);
	_exit(122);
}

static void
arbiter_start(const struct bench *b, struct arbiter *ret)
{
	int supervisor[2], ledger[2];
	if (msg_pair(supervisor) < 0 || msg_pair(ledger) < 0)
		die("socketpair");
	ret->pid = vfork();
	if (ret->pid < 0)
		die("vfork");
	if (ret->pid == 0)
		child_exec(b, supervisor[1], ledger[1]);
	(void)close(supervisor[1]);
	(void)close(ledger[1]);
	ret->supervisor = supervisor[0];
	ret->ledger = ledger[0];
}

static void
arbiter_stop(struct arbiter *a)
{
	(void)close(a->supervisor);
	(void)waitpid(a->pid, NULL, 0);
	(void)close(a->ledger);
}

/* Proposes and waits for the verdict; POLICY_FD is sent along unless NAME is given. */
static struct json *
propose(struct arbiter *a, const struct json *body, int policy_fd, const char *expect)
{
	struct msg m;
	if (msg_send(a->supervisor, MSG_PROPOSE, 1, body, &policy_fd, policy_fd >= 0 ? 1 : 0) < 0)
		die("send");
	if (msg_recv(a->supervisor, 0, &m) != 1)
		die("receive");
	if (m.type != MSG_VERDICT || strcmp(json_get_str(m.body, "state", ""), expect) != 0) {
		struct buf text;
		buf_init(&text, MSG_BODY_MAX);
		(void)!json_write(m.body, &text);
		(void)fprintf(
		    stderr, "bench_decide: unexpected answer %u: %s\n", m.type, buf_str(&text));
		exit(1);
	}
	struct json *verdict = TAKE_PTR(m.body);
	msg_done(&m);
	return verdict;
}

/* Withdraws, and acknowledges what the ledger got. */
static void
settle(struct arbiter *a, const struct json *verdict)
{
	_cleanup_json_ struct json *body = json_new_object();
	_cleanup_json_ struct json *ack = json_new_object();
	struct msg m;
	(void)json_set_str(body, "action_id", json_get_str(verdict, "action_id", ""));
	if (msg_send(a->supervisor, MSG_CLAIM, 2, body, NULL, 0) < 0)
		die("claim");
	if (msg_recv(a->ledger, 0, &m) != 1 ||
	    msg_send(a->ledger, MSG_APPENDED, m.serial, ack, NULL, 0) < 0)
		die("ledger");
	msg_done(&m);
	if (msg_recv(a->supervisor, 0, &m) != 1 || m.type != MSG_CLAIMED)
		die("claimed");
	msg_done(&m);
	(void)json_set_str(body, "state", "succeeded");
	if (msg_send(a->supervisor, MSG_SETTLE, 0, body, NULL, 0) < 0)
		die("settle");
	for (int i = 0; i < 2; i++) { /* claimed, settled */
		if (msg_recv(a->ledger, 0, &m) != 1)
			die("ledger");
		msg_done(&m);
	}
}

static struct json *
proposal(const struct json *action, const char *kind, const char *name)
{
	struct json *body = json_new_object(), *policy = json_new_object();
	(void)json_set(body, "action", json_copy(action));
	(void)json_set_int(body, "requester_uid", BENCH_UID);
	(void)json_set_str(policy, kind, name);
	(void)json_set(body, "policy", policy);
	return body;
}

/* ---- the measurements ---- */

static void
measure_in_process(const struct bench *b, const struct json *action, size_t rounds)
{
	struct policy *policy = NULL;
	struct error err;
	struct decision decision;
	int64_t *ns = calloc(rounds, sizeof(*ns));
	if (ns == NULL ||
	    policy_load(buf_str(&b->policy), b->policy.len, "bench.yaml", &policy, &err) < 0)
		die(err.message);
	for (size_t i = 0; i < rounds; i++) {
		int64_t start = clock_monotonic_ns();
		policy_decide(policy, action, &decision);
		ns[i] = clock_monotonic_ns() - start;
	}
	if (decision.verdict != VERDICT_ALLOW)
		die(decision.reason);
	report("policy_decide, 200 rules", ns, rounds);
	policy_free(policy);
	free(ns);
}

/* Makes the policy active under its name, as a person does. */
static void
activate(const struct bench *b, struct arbiter *a)
{
	struct sockaddr_un address;
	socklen_t len = sizeof(address);
	struct msg m;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || getsockname(b->listener, (struct sockaddr *)&address, &len) < 0 ||
	    connect(fd, (struct sockaddr *)&address, len) < 0)
		die("connect");
	if (msg_send(fd, MSG_POLICY_ACTIVATE, 1, NULL, &b->policy_fd, 1) < 0 ||
	    msg_recv(fd, 0, &m) != 1 || m.type != MSG_POLICY_STATE)
		die("activate");
	bool changed =
	    strcmp(json_get_str(m.body, "hash", ""), json_get_str(m.body, "previous", "")) != 0;
	msg_done(&m);
	(void)close(fd);
	if (msg_recv(a->ledger, 0, &m) != 1)
		die("ledger");
	msg_done(&m);
	if (!changed)
		return;
	if (msg_recv(a->supervisor, 0, &m) != 1 || m.type != MSG_POLICY_CHANGED)
		die("policy changed");
	msg_done(&m);
}

/* POLICY_FD is sent along with each proposal, or -1: the policy is active. */
static void
measure_socket(const struct bench *b, const struct json *action, size_t rounds, int policy_fd)
{
	struct arbiter a;
	_cleanup_json_ struct json *body = policy_fd >= 0 ? proposal(action, "file", "bench.yaml")
							  : proposal(action, "name", "bench");
	int64_t *ns = calloc(rounds, sizeof(*ns));
	if (ns == NULL)
		die("memory");
	arbiter_start(b, &a);
	if (policy_fd < 0)
		activate(b, &a);
	for (size_t i = 0; i < rounds + 100; i++) { /* the first ones compile and warm up */
		int64_t start = clock_monotonic_ns();
		_cleanup_json_ struct json *verdict = propose(&a, body, policy_fd, "approved");
		ns[i < 100 ? 0 : i - 100] = clock_monotonic_ns() - start;
		settle(&a, verdict);
	}
	report(policy_fd >= 0 ? "propose to verdict, policy file"
			      : "propose to verdict, active policy",
	    ns, rounds);
	arbiter_stop(&a);
	free(ns);
}

/* What the machine takes for two packets between two processes, whatever they say. */
static void
measure_bare(size_t rounds)
{
	char room[2048] = {0};
	int pair[2];
	int64_t *ns = calloc(rounds, sizeof(*ns));
	if (ns == NULL || msg_pair(pair) < 0)
		die("pair");
	pid_t pid = fork();
	if (pid == 0) {
		(void)close(pair[0]);
		while (recv(pair[1], room, sizeof(room), 0) > 0)
			if (send(pair[1], room, 1024, 0) < 0)
				break;
		_exit(0);
	}
	(void)close(pair[1]);
	for (size_t i = 0; i < rounds; i++) {
		int64_t start = clock_monotonic_ns();
		if (send(pair[0], room, 256, 0) < 0 || recv(pair[0], room, sizeof(room), 0) <= 0)
			die("ping");
		ns[i] = clock_monotonic_ns() - start;
	}
	(void)close(pair[0]);
	(void)waitpid(pid, NULL, 0);
	report("bare packets there and back", ns, rounds);
	free(ns);
}

/* What a ready sandbox waits for: from the proposal to the leave to perform. CLAIM in one step, or the
 * verdict first and then the claim. */
static void
measure_claim(const struct bench *b, const struct json *action, size_t rounds, bool one_step)
{
	struct arbiter a;
	_cleanup_json_ struct json *body = proposal(action, "name", "bench");
	_cleanup_json_ struct json *ack = json_new_object();
	int64_t *ns = calloc(rounds, sizeof(*ns));
	struct msg m;
	if (ns == NULL)
		die("memory");
	(void)json_set_bool(body, "claim", one_step);
	arbiter_start(b, &a);
	activate(b, &a);
	for (size_t i = 0; i < rounds + 100; i++) {
		int64_t start = clock_monotonic_ns();
		_cleanup_json_ struct json *verdict = NULL;
		_cleanup_json_ struct json *claim = json_new_object();
		if (msg_send(a.supervisor, MSG_PROPOSE, 1, body, NULL, 0) < 0)
			die("send");
		if (!one_step) {
			if (msg_recv(a.supervisor, 0, &m) != 1 || m.type != MSG_VERDICT)
				die("verdict");
			(void)json_set_str(
			    claim, "action_id", json_get_str(m.body, "action_id", ""));
			msg_done(&m);
			if (msg_send(a.supervisor, MSG_CLAIM, 2, claim, NULL, 0) < 0)
				die("claim");
		}
		if (msg_recv(a.ledger, 0, &m) != 1 ||
		    msg_send(a.ledger, MSG_APPENDED, m.serial, ack, NULL, 0) < 0)
			die("ledger");
		msg_done(&m);
		if (msg_recv(a.supervisor, 0, &m) != 1 ||
		    m.type != (one_step ? MSG_VERDICT : MSG_CLAIMED))
			die("claimed");
		ns[i < 100 ? 0 : i - 100] = clock_monotonic_ns() - start;
		(void)json_set_str(claim, "action_id", json_get_str(m.body, "action_id", ""));
		(void)json_set_str(claim, "state", "succeeded");
		msg_done(&m);
		if (msg_send(a.supervisor, MSG_SETTLE, 0, claim, NULL, 0) < 0)
			die("settle");
		for (int k = 0; k < 2; k++) { /* claimed, settled */
			if (msg_recv(a.ledger, 0, &m) != 1)
				die("ledger");
			msg_done(&m);
		}
	}
	report(one_step ? "propose to claimed, in one step" : "propose to claimed, in two steps",
	    ns, rounds);
	arbiter_stop(&a);
	free(ns);
}

/* On one processor: without the time that an idle one takes to wake up. */
static void
pin(bool to_one)
{
	static cpu_set_t all;
	static bool known;
	if (!known && sched_getaffinity(0, sizeof(all), &all) < 0)
		die("sched_getaffinity");
	known = true;
	cpu_set_t set = all;
	if (to_one) {
		CPU_ZERO(&set);
		CPU_SET(sched_getcpu(), &set);
	}
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		die("sched_setaffinity");
	(void)printf("-- %s\n", to_one ? "both on one processor" : "on any processor");
}

static void
measure_start(const struct bench *b)
{
	int64_t *ns = calloc(STARTS, sizeof(*ns));
	_cleanup_json_ struct json *action = make_action();
	_cleanup_json_ struct json *body = proposal(action, "name", "isolated");
	if (ns == NULL)
		die("memory");
	for (size_t i = 0; i < STARTS; i++) {
		struct arbiter a;
		int64_t start = clock_monotonic_ns();
		arbiter_start(b, &a);
		struct json *verdict = propose(&a, body, -1, "approved");
		ns[i] = clock_monotonic_ns() - start;
		json_free(verdict);
		arbiter_stop(&a);
	}
	report("exec to first verdict, built-in", ns, STARTS);
	free(ns);
}

/* ---- setting up ---- */

static void
setup(struct bench *b)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	(void)snprintf(b->directory, sizeof(b->directory), "/tmp/bench-decide-XXXXXX");
	if (mkdtemp(b->directory) == NULL)
		die("mkdtemp");
	if (geteuid() == 0 && chown(b->directory, BENCH_UID, BENCH_UID) < 0)
		die("chown");
	b->state = open(b->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	b->null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	b->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	/* Autobind: a name of the kernel's choosing, that nobody connects to. */
	if (b->state < 0 || b->null < 0 || b->listener < 0 ||
	    bind(b->listener, (struct sockaddr *)&address, sizeof(address.sun_family)) < 0 ||
	    listen(b->listener, 8) < 0)
		die("setup");
	make_policy(&b->policy);
	b->policy_fd = memfd_create("policy", MFD_CLOEXEC);
	if (b->policy_fd < 0 ||
	    write(b->policy_fd, b->policy.data, b->policy.len) != (ssize_t)b->policy.len)
		die("memfd");
}

static void
teardown(struct bench *b)
{
	static const char *const files[] = {
	    "digest.key", "store.db", "store.db-wal", "store.db-shm"};
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		(void)unlinkat(b->state, files[i], 0);
	(void)rmdir(b->directory);
	buf_done(&b->policy);
}

int
main(int argc, char **argv)
{
	struct bench b = {.bin_dir = argc > 1 ? argv[1] : "build/bin"};
	size_t rounds = argc > 2 ? (size_t)strtoul(argv[2], NULL, 10) : ROUNDS;
	_cleanup_json_ struct json *action = make_action();
	(void)signal(SIGPIPE, SIG_IGN);
	setup(&b);
	measure_in_process(&b, action, MAX(rounds, (size_t)1));
	for (int one = 0; one < 2; one++) {
		pin(one);
		measure_bare(MAX(rounds, (size_t)1));
		measure_socket(&b, action, MAX(rounds, (size_t)1), -1);
		measure_socket(&b, action, MAX(rounds, (size_t)1), b.policy_fd);
		measure_claim(&b, action, MAX(rounds, (size_t)1), /* one_step= */ false);
		measure_claim(&b, action, MAX(rounds, (size_t)1), /* one_step= */ true);
	}
	pin(false);
	measure_start(&b);
	teardown(&b);
	return 0;
}
