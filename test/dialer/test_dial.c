/* The dialer's own parts in one process, with every allocation failing once: it answers or ends the conversation, it never
 * connects because of it, and nothing is left (the address sanitizer says so). */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "dialer/dialer.h"
#include "dialer/own.h"
#include "failalloc.h"
#include "ipc/messages.h"
#include "ipc/spawn.h"

static const char key_text[] = "abababababababababababababababababababababababababababababababab";

struct fixture {
	struct dialer dialer;
	int supervisor, arbiter, gateway; /* our ends */
	int listener, port;
	struct watch *answered;
};

/* ---- the other side ---- */

static void
on_answered(struct watch *watch, uint32_t events, void *data)
{
	struct fixture *f = data;
	loop_stop(f->dialer.loop, 0);
}

/* Not by ipc/msg.h's allocating half, so that the count is the dialer's alone. */
static void
say(int fd, uint16_t type, uint32_t serial, const char *text, int with_fd)
{
	struct error err;
	struct json *body = NULL;
	assert_int_equal(json_parse(text, strlen(text), &body, &err), 0);
	assert_int_equal(msg_send(fd, type, serial, body, &with_fd, with_fd >= 0), 0);
	json_free(body);
}

static int
join(struct fixture *f, const char *who)
{
	int pair[2];
	assert_int_equal(msg_pair(pair), 0);
	say(f->supervisor, MSG_PEER_JOIN, 0, who, pair[1]);
	(void)close(pair[1]);
	return pair[0];
}

static void
dial(struct fixture *f, const char *host, const char *pin)
{
	uint8_t key[TICKET_KEY_BYTES];
	struct ticket ticket = {.id = "t",
	    .gateway = 1,
	    .sandbox = "s",
	    .action_id = "a",
	    .port = f->port,
	    .expires_ms = clock_wall_ms() + 60000,
	    .connections = 1};
	char mac[SHA256_HEX];
	struct json *body = json_new_object(), *object = NULL;
	(void)snprintf(ticket.host, sizeof(ticket.host), "%s", host);
	ticket.addresses = json_new_array();
	assert_int_equal(json_push(ticket.addresses, json_new_string(pin)), 0);
	assert_int_equal(hex_decode(key_text, TICKET_KEY_BYTES, key), 0);
	assert_int_equal(ticket_sign(key, &ticket, &object, mac), 0);
	assert_int_equal(json_set(body, "ticket", object), 0);
	assert_int_equal(json_set_str(body, "mac", mac), 0);
	assert_int_equal(msg_send(f->gateway, MSG_DIAL, 1, body, NULL, 0), 0);
	json_free(body);
	ticket_done(&ticket);
}

/* ---- life ---- */

static void
listen_here(struct fixture *f)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in);
	f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(f->listener, (const struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(f->listener, 8), 0);
	assert_int_equal(getsockname(f->listener, (struct sockaddr *)&in, &len), 0);
	f->port = ntohs(in.sin_port);
}

static void
begin(struct fixture *f)
{
	struct error err;
	int pair[2];
	memset(f, 0, sizeof(*f));
	/* Descriptors that nobody of ours has, so that the supervisor's can have its number. */
	for (int fd = SPAWN_SUPERVISOR; fd < SPAWN_FDS; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			assert_int_equal(dup3(0, fd, O_CLOEXEC), fd);
	assert_int_equal(msg_pair(pair), 0);
	assert_int_equal(dup3(pair[1], SPAWN_SUPERVISOR, O_CLOEXEC), SPAWN_SUPERVISOR);
	(void)close(pair[1]);
	f->supervisor = pair[0];
	listen_here(f);
	struct dialer *d = &f->dialer;
	assert_int_equal(own_open(SPAWN_LISTENER, &err), 0);
	d->netlink = SPAWN_LISTENER;
	assert_int_equal(resolver_new("127.0.0.1:1", &d->resolver, &err), 0);
	assert_int_equal(loop_new(&d->loop), 0);
	d->tickets = tickets_new(100);
	assert_non_null(d->tickets);
	resolver_start(d->resolver, d->loop);
	assert_int_equal(dispatch_start(d), 0);
	f->arbiter = join(f, "{\"peer\":\"arbiter\"}");
	f->gateway = join(f, "{\"peer\":\"gateway\",\"gateway\":1}");
	say(f->arbiter, MSG_TICKET_KEY, 0,
	    "{\"key\":\"abababababababababababababababababababababababababababababababab\"}", -1);
	assert_int_equal(loop_watch(d->loop, f->gateway, EPOLLIN, on_answered, f, &f->answered), 0);
}

static void
on_look(struct timer *timer, void *data)
{
	struct fixture *f = data;
	loop_stop(f->dialer.loop, 0);
}

/* The supervisor leaves; what is still under way ends with the loop's last rounds. */
static void
end(struct fixture *f)
{
	struct dialer *d = &f->dialer;
	f->answered = watch_remove(f->answered);
	(void)close(f->gateway);
	(void)close(f->arbiter);
	(void)close(f->supervisor);
	while (d->gateways != NULL || d->supervisor != NULL || d->arbiter != NULL) {
		struct timer *timer;
		assert_int_equal(loop_timer(d->loop, 1, on_look, f, &timer), 0);
		assert_int_equal(loop_run(d->loop), 0);
	}
	assert_int_equal(d->n_dials, 0);
	d->resolver = resolver_free(d->resolver);
	d->loop = loop_free(d->loop);
	d->tickets = tickets_free(d->tickets);
	(void)close(f->listener);
}

/* What the gateway was told: MSG_DIALED, MSG_ERROR, or 0 for the end of the conversation. */
static int
answer(struct fixture *f)
{
	struct msg m = MSG_INIT;
	int r = msg_recv(f->gateway, MSG_DONTWAIT, &m);
	int type = r == 1 ? m.type : 0;
	assert_true(r == 1 || r == 0 || r == -ECONNRESET || r == -EAGAIN);
	if (type == MSG_DIALED)
		assert_int_equal(m.n_fds, 1);
	msg_done(&m);
	return type;
}

static int
accepted(const struct fixture *f)
{
	int n = 0, fd;
	while ((fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		(void)close(fd);
		n++;
	}
	return n;
}

/* ---- the tests ---- */

static int
run(struct fixture *f, const char *host, const char *pin, long failing, bool *ret_failed)
{
	begin(f);
	dial(f, host, pin);
	fail_allocation(failing);
	(void)loop_run(f->dialer.loop);
	*ret_failed = allocation_failed();
	fail_allocation(-1);
	return answer(f);
}

static void
a_dial_connects_to_the_listener(void **state)
{
	struct fixture f;
	bool failed;
	assert_int_equal(run(&f, "127.0.0.1", "127.0.0.1", -1, &failed), MSG_DIALED);
	assert_int_equal(accepted(&f), 1);
	end(&f);
	assert_int_equal(run(&f, "127.0.0.1", "127.0.0.2", -1, &failed), MSG_ERROR);
	assert_int_equal(accepted(&f), 0);
	end(&f);
	assert_int_equal(run(&f, "name.example", "127.0.0.1", -1, &failed), MSG_ERROR);
	assert_int_equal(accepted(&f), 0);
	end(&f);
}

static void
without_memory_it_answers_or_ends_and_connects_nowhere_else(void **state)
{
	static const struct {
		const char *host, *pin;
		int usual;
	} cases[] = {{"127.0.0.1", "127.0.0.1", MSG_DIALED}, {"127.0.0.1", "127.0.0.2", MSG_ERROR},
	    {"name.example", "127.0.0.1", MSG_ERROR}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool failed = true;
		long n = 0;
		for (; failed; n++) {
			struct fixture f;
			int type = run(&f, cases[i].host, cases[i].pin, n, &failed);
			int connections = accepted(&f);
			if (type == MSG_DIALED ? cases[i].usual != MSG_DIALED
					       : type != 0 && type != MSG_ERROR)
				fail_msg("case %zu, allocation %ld: %d", i, n, type);
			if (!failed)
				assert_int_equal(type, cases[i].usual);
			if (cases[i].usual != MSG_DIALED)
				assert_int_equal(connections, 0);
			end(&f);
		}
		assert_true(n > 20);
	}
}

static void
a_clock_that_was_set_back_ends_it_so_that_it_starts_anew(void **state)
{
	struct fixture f;
	begin(&f);
	(void)tickets_now_ms(f.dialer.tickets, clock_wall_ms() + 60000);
	dial(&f, "127.0.0.1", "127.0.0.1");
	assert_int_equal(loop_run(f.dialer.loop), 1);
	assert_int_equal(answer(&f), MSG_ERROR);
	assert_int_equal(accepted(&f), 0);
	end(&f);
}

static void
a_gateway_that_leaves_takes_its_dials_along(void **state)
{
	struct fixture f;
	begin(&f);
	/* A name server that never answers: UDP to a socket that nobody reads. */
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in);
	char servers[64];
	struct error err;
	int silent = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(silent, (const struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(silent, (struct sockaddr *)&in, &len), 0);
	(void)snprintf(servers, sizeof(servers), "127.0.0.1:%d", ntohs(in.sin_port));
	resolver_free(f.dialer.resolver);
	assert_int_equal(resolver_new(servers, &f.dialer.resolver, &err), 0);
	resolver_start(f.dialer.resolver, f.dialer.loop);
	dial(&f, "name.example", "127.0.0.1");
	/* Until it asked. */
	struct watch *asked;
	assert_int_equal(loop_watch(f.dialer.loop, silent, EPOLLIN, on_answered, &f, &asked), 0);
	assert_int_equal(loop_run(f.dialer.loop), 0);
	watch_remove(asked);
	assert_int_equal(f.dialer.n_dials, 1);
	end(&f);
	(void)close(silent);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_dial_connects_to_the_listener),
	    cmocka_unit_test(without_memory_it_answers_or_ends_and_connects_nowhere_else),
	    cmocka_unit_test(a_clock_that_was_set_back_ends_it_so_that_it_starts_anew),
	    cmocka_unit_test(a_gateway_that_leaves_takes_its_dials_along),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
