/* rf-prove-init: the first process of an attack that is tried outside the product, with exactly the locks that
 * its order names, and no other.
 *
 * Opening a lock would need a switch in the product. There is none: this program is built up from nothing
 * instead, out of the product's own functions (src/init/locks.c and root.c, src/sandbox), one for each lock.
 * The product's rf-init contains no way to leave one out.
 *
 *   uid           that of rf-prove's caller, or the first in a user namespace of its own
 *   descriptors   0, 1, 2: the attack's; 3: socket to rf-prove; 4: what is left open on purpose
 *   reads         one order, from rf-prove
 *   executes      rf-attack, which does no harm where nothing stops it (prove/attack.h)
 *   if compromised, an attacker has what rf-prove's caller has; it runs nothing but our own attacks */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "ipc/msg.h"
#include "prove/one_lock.h"
#include "prove/order.h"

static int
fail(const struct error *err)
{
	_cleanup_json_ struct json *body = msg_error_body(err);
	int r = msg_send(PROVE_CONTROL_FD, PROVE_FAILED, 0, body, NULL, 0);
	(void)r; /* who ordered sees our end in any case */
	return 1;
}

static char **
string_list(const struct json *array)
{
	size_t n = json_len(array);
	char **list = calloc(n + 1, sizeof(*list));
	for (size_t i = 0; list != NULL && i < n; i++)
		list[i] = (char *)(uintptr_t)json_str(json_at(array, i), "");
	return list;
}

/* The attack's process: the locks of a process, what the kernel says of them, and the attack. */
static int
become_attack(struct order *order)
{
	struct error err = {0};
	sigset_t none;
	_cleanup_json_ struct json *body = json_new_object();
	char **argv = string_list(json_get(order->body, "argv"));
	char **env = string_list(json_get(order->body, "env"));
	if (argv == NULL || env == NULL || setsid() < 0)
		return 1;
	int r = one_lock_process(order, &err);
	if (r < 0)
		return fail(&err);
	(void)json_set(body, "engaged", one_lock_engaged());
	r = msg_send(PROVE_CONTROL_FD, PROVE_RUNNING, 0, body, NULL, 0);
	if (r < 0)
		return 1;
	(void)close(PROVE_CONTROL_FD);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)execve(json_get_str(order->body, "program", ""), argv, env);
	return 127;
}

/* Also the pid 1 of a new pid namespace: reaps whatever ends, and ends as the attack did. */
static int
wait_for(pid_t attack)
{
	for (;;) {
		int status;
		pid_t pid = wait(&status);
		if (pid < 0 && errno != EINTR)
			return 1;
		if (pid == attack)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	}
}

/* The attack's process as our child; its pid. */
static pid_t
start_attack(struct order *order)
{
	/* Not shared memory as in rf-init: what the attack becomes must not be what we are. */
	pid_t attack = fork();
	if (attack == 0)
		_exit(become_attack(order));
	(void)close(PROVE_CONTROL_FD);
	if (!order_has(order, LOCK_CLOSED))
		(void)close(PROVE_LEAK_FD);
	return attack;
}

/* One process further down, as the first of a pid namespace, which ends when we, its supervisor, do. */
static pid_t
start_below(struct order *order)
{
	if (unshare(CLONE_NEWPID) < 0)
		return -1;
	pid_t first = fork();
	if (first == 0) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
			_exit(1);
		pid_t attack = start_attack(order);
		_exit(attack < 0 ? 1 : wait_for(attack));
	}
	(void)close(PROVE_CONTROL_FD);
	return first;
}

int
main(void)
{
	struct order order = {.msg = MSG_INIT};
	struct error err = {0};
	int r = msg_recv(PROVE_CONTROL_FD, 0, &order.msg);
	if (r <= 0 || order.msg.type != PROVE_ORDER) {
		static const char text[] = "rf-prove-init: started by rf-prove, not by hand\n";
		ssize_t n = write(STDERR_FILENO, text, sizeof(text) - 1);
		(void)n;
		return 125;
	}
	order.body = order.msg.body;
	if (one_lock_surroundings(&order, &err) < 0)
		return fail(&err);
	pid_t child = order_has(&order, LOCK_PDEATH) ? start_below(&order) : start_attack(&order);
	return child < 0 ? 1 : wait_for(child);
}
