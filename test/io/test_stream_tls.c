/* TLS under a stream: both ends in one process, over socket pairs. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "io/stream.h"

struct end {
	struct loop *loop;
	struct stream *stream;
	bool secured, failed, ended, drained;
	size_t got;
	char text[256];
	int *waiting; /* events until the loop stops */
};

static void
on_end(struct stream *stream, enum stream_event event, void *data)
{
	struct end *end = data;
	size_t len;
	const uint8_t *bytes = stream_peek(stream, &len);
	if (event == STREAM_READABLE) {
		size_t room = sizeof(end->text) - 1 - end->got;
		memcpy(end->text + end->got, bytes, len < room ? len : room);
		end->got += len < room ? len : room;
		stream_consume(stream, len);
		end->ended = stream_ended(stream);
		if (end->ended && --*end->waiting == 0)
			loop_stop(end->loop, 0);
	} else if (event == STREAM_SECURED) {
		end->secured = true;
		assert_int_equal(stream_write(stream, "hello ", 6), 0);
		assert_int_equal(stream_write(stream, "world", 5), 0);
		stream_end(stream);
	} else if (event == STREAM_FAILED) {
		end->failed = true;
		if (--*end->waiting == 0)
			loop_stop(end->loop, 0);
	}
}

static void
both_sides_shake_hands_and_speak_and_end(void **state)
{
	struct error err = {0};
	struct tls_authority *authority = tls_authority_new("Ringfence sandbox test", &err);
	assert_non_null(authority);
	const char *pem = tls_authority_pem(authority);
	struct tls_trust *trust = tls_trust_new(pem, strlen(pem), &err);
	assert_non_null(trust);
	struct loop *loop;
	assert_int_equal(loop_new(&loop), 0);
	int fds[2], waiting = 2;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	struct end server = {.loop = loop, .waiting = &waiting};
	struct end client = {.loop = loop, .waiting = &waiting};
	assert_int_equal(stream_new(loop, fds[0], on_end, &server, &server.stream), 0);
	assert_int_equal(stream_new(loop, fds[1], on_end, &client, &client.stream), 0);
	assert_int_equal(stream_secure_server(server.stream, authority, "example.com"), 0);
	assert_int_equal(stream_secure_client(client.stream, trust, "example.com"), 0);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(stream_error(client.stream), "");
	assert_string_equal(stream_error(server.stream), "");
	assert_true(server.secured && client.secured);
	assert_string_equal(server.text, "hello world");
	assert_string_equal(client.text, "hello world");
	stream_free(server.stream);
	stream_free(client.stream);
	loop_free(loop);
	tls_trust_free(trust);
	tls_authority_free(authority);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(both_sides_shake_hands_and_speak_and_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
