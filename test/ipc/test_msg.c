/* The frame: what is sent arrives, what is malformed is refused, no descriptor leaks. */
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/macros.h"
#include "ipc/messages.h"
#include "ipc/msg.h"

static int
open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

static void
pair(int ret[2])
{
	assert_int_equal(msg_pair(ret), 0);
	assert_int_equal(fcntl(ret[0], F_GETFD), FD_CLOEXEC);
}

static void
unpair(int p[2])
{
	(void)close(p[0]);
	(void)close(p[1]);
}

static void
a_message_arrives_as_it_was_sent_with_its_descriptors(void **state)
{
	int before = open_descriptors(), p[2], tube[2];
	pair(p);
	assert_int_equal(pipe(tube), 0);
	struct json *body = json_new_object();
	json_set_str(body, "b", "two");
	json_set_int(body, "a", 1);
	assert_int_equal(msg_send(p[0], MSG_RUN, 77, body, tube, 2), 0);
	json_free(body);
	struct msg m;
	assert_int_equal(msg_recv(p[1], 0, &m), 1);
	assert_int_equal(m.type, MSG_RUN);
	assert_int_equal(m.serial, 77);
	assert_int_equal(m.n_fds, 2);
	assert_int_equal(json_get_int(m.body, "a", 0), 1);
	int end = msg_take_fd(&m, 1);
	assert_int_equal(msg_take_fd(&m, 1), -1);
	assert_int_equal(msg_take_fd(&m, 2), -1);
	assert_int_equal(fcntl(end, F_GETFD), FD_CLOEXEC);
	msg_done(&m);
	assert_int_equal(write(end, "x", 1), 1);
	(void)close(end);
	unpair(p);
	unpair(tube);
	assert_int_equal(open_descriptors(), before);
}

static void
an_empty_body_is_an_empty_object(void **state)
{
	int p[2];
	pair(p);
	struct msg m;
	assert_int_equal(msg_send(p[0], MSG_OK, 0, NULL, NULL, 0), 0);
	assert_int_equal(msg_recv(p[1], 0, &m), 1);
	assert_int_equal(json_type(m.body), JSON_OBJECT);
	msg_done(&m);
	uint8_t bare[MSG_HEADER_BYTES] = {'R', 'F', 'M', '1', MSG_OK};
	assert_int_equal(send(p[0], bare, sizeof(bare), 0), sizeof(bare));
	assert_int_equal(msg_recv(p[1], 0, &m), 1);
	assert_int_equal(json_type(m.body), JSON_OBJECT);
	msg_done(&m);
	unpair(p);
}

struct malformed {
	const char *what;
	uint8_t bytes[24];
	size_t len;
};

static const struct malformed malformed[] = {
    {"short header", {'R', 'F', 'M', '1', 1}, 15},
    {"wrong magic", {'R', 'F', 'M', '2', 1}, 16},
    {"flags set", {'R', 'F', 'M', '1', 1, 0, 1}, 16},
    {"length too small", {'R', 'F', 'M', '1', 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, '{', '}'}, 18},
    {"length too large", {'R', 'F', 'M', '1', 1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, '{', '}'}, 18},
    {"not JSON", {'R', 'F', 'M', '1', 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, '{', '{'}, 18},
    {"not an object", {'R', 'F', 'M', '1', 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, '[', ']'}, 18},
};

static void
malformed_packets_are_refused_and_leak_nothing(void **state)
{
	int before = open_descriptors(), p[2];
	pair(p);
	for (size_t i = 0; i < ARRAY_LEN(malformed); i++) {
		struct msg m;
		int fd = 0;
		assert_int_equal(
		    msg_send_packet(p[0], malformed[i].bytes, malformed[i].len, &fd, 1), 0);
		assert_int_equal(msg_recv(p[1], 0, &m), -EBADMSG);
		assert_null(m.body);
		assert_int_equal(m.n_fds, 0);
	}
	unpair(p);
	assert_int_equal(open_descriptors(), before);
}

static void
a_body_past_the_bound_is_refused_by_both_ends(void **state)
{
	int p[2];
	pair(p);
	char *text = calloc(1, MSG_BODY_MAX + 64);
	memset(text, 'x', MSG_BODY_MAX);
	struct json *body = json_new_object();
	json_set_str(body, "t", text);
	assert_int_equal(msg_send(p[0], 1, 1, body, NULL, 0), -EMSGSIZE);
	json_free(body);
	assert_int_equal(send(p[0], text, MSG_BODY_MAX + MSG_HEADER_BYTES + 1, 0),
	    MSG_BODY_MAX + MSG_HEADER_BYTES + 1);
	struct msg m;
	assert_int_equal(msg_recv(p[1], 0, &m), -EBADMSG);
	text[MSG_BODY_MAX - 8] = 0; /* {"t":""} is 8 bytes: exactly the bound */
	body = json_new_object();
	json_set_str(body, "t", text);
	assert_int_equal(msg_send(p[0], 1, 1, body, NULL, 0), 0);
	assert_int_equal(msg_recv(p[1], 0, &m), 1);
	assert_int_equal(m.body_len, MSG_BODY_MAX);
	msg_done(&m);
	json_free(body);
	free(text);
	unpair(p);
}

static void
too_many_descriptors_are_refused(void **state)
{
	int before = open_descriptors(), p[2], fds[MSG_FDS_MAX + 1] = {0};
	pair(p);
	assert_int_equal(msg_send(p[0], 1, 1, NULL, fds, MSG_FDS_MAX + 1), -EINVAL);
	/* A peer that does not use our code sends more anyway. */
	char control[CMSG_SPACE(sizeof(fds))];
	uint8_t bare[MSG_HEADER_BYTES] = {'R', 'F', 'M', '1', MSG_OK};
	struct iovec iov = {.iov_base = bare, .iov_len = sizeof(bare)};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control};
	h.msg_controllen = sizeof(control);
	struct cmsghdr *c = CMSG_FIRSTHDR(&h);
	*c = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(fds)), .cmsg_level = SOL_SOCKET};
	c->cmsg_type = SCM_RIGHTS;
	memcpy(CMSG_DATA(c), fds, sizeof(fds));
	assert_int_equal(sendmsg(p[0], &h, 0), sizeof(bare));
	struct msg m;
	assert_int_equal(msg_recv(p[1], 0, &m), -EBADMSG);
	unpair(p);
	assert_int_equal(open_descriptors(), before);
}

static void
end_of_file_and_emptiness_are_told_apart(void **state)
{
	int p[2];
	pair(p);
	struct msg m;
	assert_int_equal(msg_recv(p[1], MSG_DONTWAIT, &m), -EAGAIN);
	(void)close(p[0]);
	assert_int_equal(msg_recv(p[1], 0, &m), 0);
	assert_int_equal(msg_send(p[1], 1, 1, NULL, NULL, 0), -EPIPE);
	(void)close(p[1]);
}

/* Answers one request of FD the way DATA's member says. */
static int
answer_ok(void *data)
{
	struct msg m;
	int fd = *(int *)data;
	if (msg_recv(fd, 0, &m) != 1)
		return 1;
	return msg_send(fd, MSG_OK, m.serial, m.body, NULL, 0) < 0;
}

static int
answer_error(void *data)
{
	struct msg m;
	int fd = *(int *)data;
	struct error err;
	(void)error_set(&err, EPERM, "not_allowed", "you may not");
	error_remedy(&err, "ask %s", "somebody");
	if (msg_recv(fd, 0, &m) != 1)
		return 1;
	return msg_send(fd, MSG_ERROR, m.serial, msg_error_body(&err), NULL, 0) < 0;
}

static int
answer_other_serial(void *data)
{
	struct msg m;
	int fd = *(int *)data;
	return msg_recv(fd, 0, &m) != 1 || msg_send(fd, MSG_OK, m.serial + 1, NULL, NULL, 0) < 0;
}

static int
call_with(int (*answer)(void *), struct msg *m, struct error *err)
{
	int p[2];
	pair(p);
	pid_t pid = fork();
	if (pid == 0)
		_exit(answer(&p[1]));
	int r = msg_call(p[0], MSG_STATUS, NULL, NULL, 0, -1, m, err);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_exited(status, 0);
	unpair(p);
	return r;
}

static void
a_call_returns_the_answer_or_the_error_of_the_other_side(void **state)
{
	struct msg m;
	struct error err = {0};
	assert_int_equal(call_with(answer_ok, &m, &err), 0);
	assert_int_equal(m.type, MSG_OK);
	msg_done(&m);
	assert_int_equal(call_with(answer_error, &m, &err), -EREMOTEIO);
	assert_string_equal(err.code, "not_allowed");
	assert_string_equal(err.message, "you may not");
	assert_string_equal(err.remedy, "ask somebody");
	assert_int_equal(call_with(answer_error, &m, NULL), -EREMOTEIO);
	assert_int_equal(call_with(answer_other_serial, &m, &err), -EBADMSG);
	assert_null(m.body);
}

static void
a_call_ends_when_time_is_up_or_the_other_side_leaves(void **state)
{
	int p[2];
	struct msg m;
	struct error err = {0};
	pair(p);
	assert_int_equal(msg_call(p[0], MSG_STATUS, NULL, NULL, 0, 1, &m, &err), -ETIMEDOUT);
	assert_string_equal(err.code, "no_answer");
	assert_int_equal(shutdown(p[1], SHUT_WR), 0);
	assert_int_equal(msg_call(p[0], MSG_STATUS, NULL, NULL, 0, -1, &m, &err), -ECONNRESET);
	(void)close(p[1]);
	assert_true(msg_call(p[0], MSG_STATUS, NULL, NULL, 0, -1, &m, &err) < 0);
	(void)close(p[0]);
}

static void
listening_replaces_a_stale_socket_and_nothing_else(void **state)
{
	char dir[] = "/tmp/test-msg-XXXXXX", path[512], file[64];
	assert_non_null(mkdtemp(dir));
	(void)snprintf(file, sizeof(file), "%s/file", dir);
	int fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	(void)close(fd);
	assert_int_equal(msg_listen(file, 0600), -EEXIST);
	/* A path past sun_path works as well. */
	char deep[256];
	(void)snprintf(deep, sizeof(deep), "%s/%0150d", dir, 0);
	assert_int_equal(mkdir(deep, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/socket", deep);
	fd = msg_listen(path, 0660);
	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(msg_connect(path), -ECONNREFUSED);
	fd = msg_listen(path, 0660);
	assert_true(fd >= 0);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	int c = msg_connect(path), s = accept(fd, NULL, NULL);
	assert_true(c >= 0 && s >= 0);
	uid_t uid;
	pid_t pid;
	assert_int_equal(msg_peer(s, &uid, NULL, &pid), 0);
	assert_int_equal(uid, getuid());
	assert_int_equal(pid, getpid());
	assert_int_equal(msg_connect("/nonexistent/socket"), -ENOENT);
	(void)close(c);
	(void)close(s);
	(void)close(fd);
	(void)unlink(path);
	(void)unlink(file);
	(void)rmdir(deep);
	(void)rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_message_arrives_as_it_was_sent_with_its_descriptors),
	    cmocka_unit_test(an_empty_body_is_an_empty_object),
	    cmocka_unit_test(malformed_packets_are_refused_and_leak_nothing),
	    cmocka_unit_test(a_body_past_the_bound_is_refused_by_both_ends),
	    cmocka_unit_test(too_many_descriptors_are_refused),
	    cmocka_unit_test(end_of_file_and_emptiness_are_told_apart),
	    cmocka_unit_test(a_call_returns_the_answer_or_the_error_of_the_other_side),
	    cmocka_unit_test(a_call_ends_when_time_is_up_or_the_other_side_leaves),
	    cmocka_unit_test(listening_replaces_a_stale_socket_and_nothing_else),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
