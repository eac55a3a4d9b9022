/* The table admits what it lists and ends every other conversation; the queue is bounded. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/macros.h"
#include "ipc/dispatch.h"
#include "ipc/messages.h"

enum { PEER_FRIEND, PEER_STRANGER };
enum { STATE_NEW, STATE_READY };

struct world {
	struct loop *loop;
	struct conn *conn;
	int far; /* the other end */
	int handled, closed;
	bool stop_on_message;
};

static int
on_ping(struct conn *conn, struct msg *m)
{
	struct world *w = conn_data(conn);
	w->handled++;
	conn_set_state(conn, STATE_READY);
	if (w->stop_on_message)
		loop_stop(w->loop, 0);
	return conn_send(conn, MSG_OK, m->serial, m->body, NULL, 0);
}

static int
on_fail(struct conn *conn, struct msg *m)
{
	return -EINVAL;
}

static int
on_close(struct conn *conn, struct msg *m)
{
	conn_close(conn);
	conn_close(conn);
	assert_int_equal(conn_send(conn, MSG_OK, 1, NULL, NULL, 0), -EPIPE);
	return 0;
}

static const struct route routes[] = {
    {.type = 10, .peers = 1 << PEER_FRIEND, .max_body = 64, .max_fds = 1, .handle = on_ping},
    {.type = 11,
	.peers = 1 << PEER_FRIEND,
	.states = 1 << STATE_READY,
	.max_body = 64,
	.handle = on_ping},
    {.type = 12, .peers = 1 << PEER_FRIEND, .max_body = 64, .handle = on_fail},
    {.type = 13, .peers = 1 << PEER_FRIEND, .max_body = 64, .handle = on_close},
    {0},
};

static void
on_closed(struct conn *conn)
{
	struct world *w = conn_data(conn);
	w->closed++;
	w->conn = NULL;
	loop_stop(w->loop, 1);
}

static struct world
new_world(void)
{
	struct world w = {0};
	assert_int_equal(loop_new(&w.loop), 0);
	return w;
}

/* W must not move after this. */
static void
open_world(struct world *w, unsigned peer)
{
	int p[2];
	assert_int_equal(msg_pair(p), 0);
	w->far = p[1];
	assert_int_equal(conn_new(w->loop, p[0], peer, routes, on_closed, w, &w->conn), 0);
}

static void
close_world(struct world *w)
{
	if (w->conn != NULL) {
		conn_close(w->conn);
		assert_int_equal(loop_run(w->loop), 1);
	}
	assert_int_equal(w->closed, 1);
	(void)close(w->far);
	loop_free(w->loop);
}

static void
send_far(struct world *w, uint16_t type, const char *text, unsigned n_fds)
{
	struct json *body = json_new_object();
	int fds[2] = {0, 0};
	json_set_str(body, "t", text);
	assert_int_equal(msg_send(w->far, type, 5, body, fds, n_fds), 0);
	json_free(body);
}

static void
a_listed_message_is_handled_and_answered(void **state)
{
	struct world w = new_world();
	open_world(&w, PEER_FRIEND);
	w.stop_on_message = true;
	assert_int_equal(conn_uid(w.conn), getuid());
	assert_int_equal(conn_gid(w.conn), getgid());
	assert_int_equal(conn_peer(w.conn), PEER_FRIEND);
	assert_ptr_equal(conn_loop(w.conn), w.loop);
	assert_int_equal(conn_next_serial(w.conn), 1);
	assert_int_equal(conn_next_serial(w.conn), 2);
	send_far(&w, 10, "hello", 1);
	assert_int_equal(loop_run(w.loop), 0);
	struct msg m;
	assert_int_equal(msg_recv(w.far, 0, &m), 1);
	assert_int_equal(m.type, MSG_OK);
	assert_int_equal(m.serial, 5);
	assert_string_equal(json_get_str(m.body, "t", ""), "hello");
	msg_done(&m);
	send_far(&w, 11, "now ready", 0);
	assert_int_equal(loop_run(w.loop), 0);
	assert_int_equal(w.handled, 2);
	assert_int_equal(conn_state(w.conn), STATE_READY);
	close_world(&w);
}

struct refused {
	uint16_t type;
	unsigned peer, n_fds;
	const char *text;
};

static const struct refused refused[] = {
    {99, PEER_FRIEND, 0, "unlisted"},
    {10, PEER_STRANGER, 0, "wrong peer"},
    {11, PEER_FRIEND, 0, "wrong state"},
    {10, PEER_FRIEND, 2, "too many descriptors"},
    {10, PEER_FRIEND, 0, "a text that is longer than the sixty-four bytes that the route admits"},
    {12, PEER_FRIEND, 0, "handler fails"},
    {13, PEER_FRIEND, 0, "handler closes"},
};

static void
everything_else_ends_the_conversation(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		struct world w = new_world();
		open_world(&w, refused[i].peer);
		send_far(&w, refused[i].type, refused[i].text, refused[i].n_fds);
		assert_int_equal(loop_run(w.loop), 1);
		assert_int_equal(w.handled, 0);
		struct msg m;
		assert_int_equal(msg_recv(w.far, 0, &m), 0);
		close_world(&w);
	}
}

static void
a_malformed_packet_ends_the_conversation(void **state)
{
	struct world w = new_world();
	open_world(&w, PEER_FRIEND);
	assert_int_equal(send(w.far, "garbage", 7, 0), 7);
	assert_int_equal(loop_run(w.loop), 1);
	close_world(&w);
}

static void
end_of_file_ends_the_conversation(void **state)
{
	struct world w = new_world();
	open_world(&w, PEER_FRIEND);
	assert_int_equal(shutdown(w.far, SHUT_RDWR), 0);
	assert_int_equal(loop_run(w.loop), 1);
	close_world(&w);
}

static void
what_the_socket_does_not_take_is_queued_and_sent_in_order(void **state)
{
	struct world w = new_world();
	open_world(&w, PEER_FRIEND);
	w.stop_on_message = true;
	char text[16000];
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	struct json *body = json_new_object();
	json_set_str(body, "t", text);
	int tube[2], sent = 0;
	assert_int_equal(pipe(tube), 0);
	while (sent < 60) {
		assert_int_equal(conn_send(w.conn, 20, (uint32_t)sent, body, &tube[1], 1), 0);
		sent++;
	}
	(void)close(tube[1]);
	json_free(body);
	(void)fcntl(w.far, F_SETFL, O_NONBLOCK);
	int got = 0;
	while (got < sent) {
		struct msg m;
		int r = msg_recv(w.far, 0, &m);
		if (r == -EAGAIN) { /* let the loop flush: a ping brings it round */
			send_far(&w, 10, "go on", 0);
			assert_int_equal(loop_run(w.loop), 0);
			continue;
		}
		assert_int_equal(r, 1);
		if (m.type == 20) {
			assert_int_equal(m.serial, got++);
			assert_int_equal(m.n_fds, 1);
		}
		msg_done(&m);
	}
	char c;
	assert_int_equal(read(tube[0], &c, 1), 0); /* no duplicate of the descriptor is left */
	(void)close(tube[0]);
	close_world(&w);
}

static void
a_peer_that_never_reads_is_left_when_the_queue_is_full(void **state)
{
	struct world w = new_world();
	open_world(&w, PEER_FRIEND);
	char text[30000];
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	struct json *body = json_new_object();
	json_set_str(body, "t", text);
	int r = 0;
	for (int i = 0; i < 200 && r == 0; i++)
		r = conn_send(w.conn, 20, 1, body, NULL, 0);
	assert_int_equal(r, -ENOBUFS);
	json_free(body);
	assert_int_equal(loop_run(w.loop), 1);
	close_world(&w);
}

static void
what_cannot_be_built_or_sent_ends_the_conversation(void **state)
{
	struct world w = new_world();
	open_world(&w, PEER_FRIEND);
	assert_int_equal(conn_send_take(w.conn, MSG_OK, 1, NULL), -ENOMEM);
	assert_int_equal(loop_run(w.loop), 1);
	close_world(&w);
}

static void
errors_travel_as_messages(void **state)
{
	struct world w = new_world();
	open_world(&w, PEER_FRIEND);
	struct error err, theirs;
	(void)error_set(&err, EINVAL, "bad", "no %s", "good");
	assert_int_equal(conn_send_error(w.conn, 9, &err), 0);
	struct msg m;
	assert_int_equal(msg_recv(w.far, 0, &m), 1);
	assert_int_equal(m.type, MSG_ERROR);
	msg_error_read(m.body, &theirs);
	assert_string_equal(theirs.message, "no good");
	msg_done(&m);
	close_world(&w);
}

struct door {
	struct loop *loop;
	int accepted[4];
	int n;
};

static void
on_guest(int fd, void *data)
{
	struct door *d = data;
	d->accepted[d->n++] = fd;
	if (d->n == 2)
		loop_stop(d->loop, 0);
}

static void
connections_are_accepted(void **state)
{
	char path[] = "/tmp/test-dispatch-XXXXXX", socket_path[64];
	assert_non_null(mkdtemp(path));
	(void)snprintf(socket_path, sizeof(socket_path), "%s/s", path);
	struct door d = {0};
	struct watch *watch;
	assert_int_equal(loop_new(&d.loop), 0);
	int listener = msg_listen(socket_path, 0600);
	assert_true(listener >= 0);
	assert_int_equal(conn_accept(d.loop, listener, on_guest, &d, &watch), 0);
	int a = msg_connect(socket_path), b = msg_connect(socket_path);
	assert_true(a >= 0 && b >= 0);
	assert_int_equal(loop_run(d.loop), 0);
	loop_free(d.loop);
	int fds[] = {a, b, listener, d.accepted[0], d.accepted[1]};
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		(void)close(fds[i]);
	(void)unlink(socket_path);
	(void)rmdir(path);
}

static void
on_stop(struct timer *timer, void *data)
{
	loop_stop(data, 2);
}

/* In a child, because the limit stays. */
static int
accept_without_descriptors(void *data)
{
	const char *path = data;
	struct door d = {0};
	struct watch *watch;
	struct timer *timer;
	int listener = msg_listen(path, 0600);
	if (loop_new(&d.loop) < 0 || conn_accept(d.loop, listener, on_guest, &d, &watch) < 0)
		return 1;
	int client = msg_connect(path);
	int next = fcntl(0, F_DUPFD_CLOEXEC, 3);
	struct rlimit limit = {.rlim_cur = (rlim_t)next + 1, .rlim_max = (rlim_t)next + 1};
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0 ||
	    loop_timer(d.loop, 0, on_stop, d.loop, &timer) < 0)
		return 2;
	if (loop_run(d.loop) != 2 || d.n != 0)
		return 3;
	struct msg m;
	return msg_recv(client, MSG_DONTWAIT, &m) == 0 ? 0 : 4; /* refused, not left waiting */
}

static void
without_descriptors_a_connection_is_refused_and_the_loop_does_not_spin(void **state)
{
	char path[] = "/tmp/test-dispatch-XXXXXX", socket_path[64];
	assert_non_null(mkdtemp(path));
	(void)snprintf(socket_path, sizeof(socket_path), "%s/s", path);
	assert_exited(in_child(accept_without_descriptors, socket_path), 0);
	(void)unlink(socket_path);
	(void)rmdir(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_listed_message_is_handled_and_answered),
	    cmocka_unit_test(everything_else_ends_the_conversation),
	    cmocka_unit_test(a_malformed_packet_ends_the_conversation),
	    cmocka_unit_test(end_of_file_ends_the_conversation),
	    cmocka_unit_test(what_the_socket_does_not_take_is_queued_and_sent_in_order),
	    cmocka_unit_test(a_peer_that_never_reads_is_left_when_the_queue_is_full),
	    cmocka_unit_test(what_cannot_be_built_or_sent_ends_the_conversation),
	    cmocka_unit_test(errors_travel_as_messages),
	    cmocka_unit_test(connections_are_accepted),
	    cmocka_unit_test(
		without_descriptors_a_connection_is_refused_and_the_loop_does_not_spin),
	};
	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
