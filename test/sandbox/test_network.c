/* A sandbox whose network is ours: whatever a program without privileges in it connects to, by either family, is
 * accepted here, outside, and says what it was meant for. We are the gateway, and rf-init is the real one. */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "sandbox/plan.h"
#include "sandbox/sandbox.h"
#include "sys/process.h"
#include "sys/seccomp.h"

#define LISTENERS_MAX 32
#define PATIENCE_MS 20000

static const char bundle_text[] = "# the authorities of the world\n# and the sandbox's own\n";

static const char config_text[] = "{\"root\":\"host\",\"executables\":\"any\",\"limits\":{\"disk_"
				  "bytes\":1048576,\"processes\":16,"
				  "\"open_files\":64},\"network\":{\"ports\":[80,443,5432,8001,"
				  "8002,8003,8004],\"proxy_port\":3128}}";

static const char script[] =
    "import socket, os, sys, json\n"
    "def tcp(family, address, port, send=b''):\n"
    "    try:\n"
    "        s = socket.socket(family)\n"
    "        s.settimeout(20)\n"
    "        s.connect((address, port))\n"
    "        return s.makefile().readline().strip()\n"
    "    except OSError as e:\n"
    "        return os.strerror(e.errno)\n"
    "def udp(family, address, port):\n"
    "    try:\n"
    "        s = socket.socket(family, socket.SOCK_DGRAM)\n"
    "        s.settimeout(20)\n"
    "        s.connect((address, port))\n"
    "        s.send(b'query')\n"
    "        return s.recv(100).decode()\n"
    "    except OSError as e:\n"
    "        return os.strerror(e.errno)\n"
    "def text(path):\n"
    "    try:\n"
    "        return open(path).read()\n"
    "    except OSError as e:\n"
    "        return os.strerror(e.errno)\n"
    "def write(path):\n"
    "    try:\n"
    "        open(path, 'a')\n"
    "        return 'could'\n"
    "    except OSError as e:\n"
    "        return os.strerror(e.errno)\n"
    "def bind(address, port, family=socket.AF_INET):\n"
    "    try:\n"
    "        s = socket.socket(family)\n"
    "        s.setsockopt(socket.SOL_IP, 15, 1)\n" /* IP_FREEBIND */
    "        if family == socket.AF_INET6:\n"
    "            s.setsockopt(socket.IPPROTO_IPV6, 78, 1)\n" /* IPV6_FREEBIND */
    "        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
    "        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)\n"
    "        s.bind((address, port))\n"
    "        s.listen()\n"
    "        return 'could'\n"
    "    except OSError as e:\n"
    "        return os.strerror(e.errno)\n"
    "four, six = socket.AF_INET, socket.AF_INET6\n"
    "print(json.dumps({\n"
    "    'v4': tcp(four, '93.184.216.34', 443), 'v4-private': tcp(four, '10.1.2.3', 80),\n"
    "    'v4-metadata': tcp(four, '169.254.169.254', 80), 'v4-loopback': tcp(four, '127.0.0.1', "
    "5432),\n"
    "    'v6': tcp(six, '2606:2800::1', 443), 'v6-ours': tcp(six, 'fd52:6600::7', 8004),\n"
    "    'mapped': tcp(six, '::ffff:93.184.216.34', 80), 'proxy': tcp(four, '127.0.0.1', 3128),\n"
    "    'v4-unlisted': tcp(four, '93.184.216.34', 22), 'v6-unlisted': tcp(six, '2606:2800::1', "
    "22),\n"
    "    'dns-v4': udp(four, '198.18.0.1', 53), 'dns-elsewhere': udp(four, '8.8.8.8', 53),\n"
    "    'dns-v6': udp(six, '2001:4860:4860::8888', 53), 'dns-tcp': tcp(four, '198.18.0.1', 53),\n"
    "    'quic': udp(four, '93.184.216.34', 443),\n"
    "    'resolv': text('/etc/resolv.conf'), 'bundle': text(os.environ['SSL_CERT_FILE']),\n"
    "    'usual': text('/etc/ssl/certs/ca-certificates.crt'), 'other': "
    "os.environ['REQUESTS_CA_BUNDLE'],\n"
    "    'mine': os.environ['PIP_CERT'], 'write': write(os.environ['SSL_CERT_FILE']),\n"
    "    'write-resolv': write('/etc/resolv.conf'), 'steal': bind('127.0.0.1', 5432),\n"
    "    'steal-address': bind('93.184.216.34', 8002),"
    "    'steal-v6': bind('2606:2800::1', 8003, six), 'low': bind('127.0.0.1', 54),\n"
    "    'steal-any': bind('0.0.0.0', 8001), 'own': bind('127.0.0.1', 18080),\n"
    "    'interfaces': sorted(name for _, name in socket.if_nameindex())}), flush=True)\n";

struct outside {
	struct sandbox_host *host;
	struct sandbox *sandbox;
	char state[64];
	int state_fd, output[2];
	struct json *listeners;
	int fds[LISTENERS_MAX];
	size_t n;
	bool ipv4_only;
	struct json *evidence; /* owned */
	struct json *said;     /* owned */
};

/* ---- a sandbox ---- */

static struct json *
parse(const char *text)
{
	struct json *v = NULL;
	struct error err = {0};
	assert_int_equal(json_parse(text, strlen(text), &v, &err), 0);
	return v;
}

static int
make_bundle(void)
{
	int fd = memfd_create("bundle", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bundle_text, sizeof(bundle_text) - 1), sizeof(bundle_text) - 1);
	return fd;
}

static void
take_listeners(struct outside *o, struct msg *m)
{
	const struct json *list = json_get(m->body, "listeners");
	assert_int_equal(json_len(list), m->n_fds);
	for (unsigned i = 0; i < m->n_fds; i++) {
		assert_true(o->n < LISTENERS_MAX);
		(void)json_push(o->listeners, json_copy(json_at(list, i)));
		o->fds[o->n++] = msg_take_fd(m, i);
	}
}

static void
await_ready(struct outside *o)
{
	for (;;) {
		struct msg m = MSG_INIT;
		struct error err = {0};
		struct pollfd wait = {.fd = o->sandbox->control, .events = POLLIN};
		assert_int_equal(poll(&wait, 1, PATIENCE_MS), 1);
		assert_int_equal(msg_recv(o->sandbox->control, 0, &m), 1);
		uint16_t type = m.type;
		if (type == INIT_FAILED) {
			msg_error_read(m.body, &err);
			fail_msg("%s", err.message);
		}
		if (type == INIT_LISTENERS)
			take_listeners(o, &m);
		if (type == INIT_READY) {
			o->evidence = json_detach(m.body, "evidence");
			sandbox_is_ready(o->sandbox, &m);
		}
		msg_done(&m);
		if (type == INIT_READY)
			return;
	}
}

static void
open_sandbox(struct outside *o, const struct json *config, int bundle)
{
	struct error err = {0};
	struct sandbox_shape shape = {.config = config, .workspace_fd = -1, .bundle_fd = bundle};
	int r = sandbox_spawn(o->host, NULL, "test", -1, &o->sandbox, &err);
	if (r == 0)
		r = sandbox_send_plan(o->sandbox, &shape, &err);
	if (r < 0)
		fail_msg("%s", err.message);
	await_ready(o);
}

static void
go(struct outside *o)
{
	_cleanup_json_ struct json *argv = json_new_array(),
				   *env = parse("{\"PIP_CERT\":\"/mine\"}");
	(void)json_push(argv, json_new_string("python3"));
	(void)json_push(argv, json_new_string("-c"));
	(void)json_push(argv, json_new_string(script));
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_int_equal(pipe2(o->output, O_CLOEXEC), 0);
	struct sandbox_command command = {.argv = argv,
	    .env = env,
	    .program = "/usr/bin/python3",
	    .stdio = {null, o->output[1], STDERR_FILENO}};
	assert_int_equal(sandbox_go(o->sandbox, &command), 0);
	(void)close(null);
	(void)close(o->output[1]);
}

/* ---- the gateway's side ---- */

static const char *
role_of(const struct outside *o, size_t i)
{
	return json_get_str(json_at(o->listeners, i), "role", "");
}

static void
answer_stream(const struct outside *o, size_t i)
{
	union {
		struct sockaddr any;
		struct sockaddr_in ipv4;
		struct sockaddr_in6 ipv6;
	} local;
	socklen_t len = sizeof(local);
	char address[INET6_ADDRSTRLEN];
	int fd = accept4(o->fds[i], NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(getsockname(fd, &local.any, &len), 0);
	bool ipv6 = local.any.sa_family == AF_INET6;
	const void *bytes =
	    ipv6 ? (const void *)&local.ipv6.sin6_addr : (const void *)&local.ipv4.sin_addr;
	assert_non_null(inet_ntop(local.any.sa_family, bytes, address, sizeof(address)));
	/* The port is at the same place in both. */
	assert_true(
	    dprintf(fd, "%s %s %d\n", role_of(o, i), address, ntohs(local.ipv4.sin_port)) > 0);
	(void)close(fd);
}

/* The same for a socket of IPv4 alone. */
static void
answer_datagram_ipv4(const struct outside *o, size_t i)
{
	char query[64], text[128], address[INET_ADDRSTRLEN];
	_Alignas(struct cmsghdr) char control[256];
	struct sockaddr_in peer;
	struct iovec iov = {query, sizeof(query)};
	struct msghdr m = {.msg_name = &peer,
	    .msg_namelen = sizeof(peer),
	    .msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control,
	    .msg_controllen = sizeof(control)};
	struct in_pktinfo info = {0};
	assert_true(recvmsg(o->fds[i], &m, 0) > 0);
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	if (c == NULL || c->cmsg_type != IP_PKTINFO)
		fail_msg("a query came without the address that it was sent to");
	memcpy(&info, CMSG_DATA(c), sizeof(info));
	assert_non_null(inet_ntop(AF_INET, &info.ipi_addr, address, sizeof(address)));
	info = (struct in_pktinfo){.ipi_spec_dst = info.ipi_addr};
	memcpy(CMSG_DATA(c), &info, sizeof(info));
	m.msg_controllen = CMSG_SPACE(sizeof(info));
	iov = (struct iovec){
	    text, (size_t)snprintf(text, sizeof(text), "%s %s", role_of(o, i), address)};
	assert_true(sendmsg(o->fds[i], &m, 0) > 0);
}

/* The answer comes from the address that was asked: the asker's socket is connected and takes no other. */
static void
answer_datagram(const struct outside *o, size_t i)
{
	char query[64], text[128], address[INET6_ADDRSTRLEN];
	_Alignas(struct cmsghdr) char control[256];
	struct sockaddr_in6 peer;
	struct iovec iov = {query, sizeof(query)};
	struct msghdr m = {.msg_name = &peer,
	    .msg_namelen = sizeof(peer),
	    .msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control,
	    .msg_controllen = sizeof(control)};
	struct in6_pktinfo info = {0};
	assert_true(recvmsg(o->fds[i], &m, 0) > 0);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c))
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)
			memcpy(&info, CMSG_DATA(c), sizeof(info));
	assert_non_null(inet_ntop(AF_INET6, &info.ipi6_addr, address, sizeof(address)));
	info.ipi6_ifindex = 0;
	memset(control, 0, sizeof(control));
	m.msg_controllen = CMSG_SPACE(sizeof(info));
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	*c = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(info)),
	    .cmsg_level = IPPROTO_IPV6,
	    .cmsg_type = IPV6_PKTINFO};
	memcpy(CMSG_DATA(c), &info, sizeof(info));
	iov = (struct iovec){
	    text, (size_t)snprintf(text, sizeof(text), "%s %s", role_of(o, i), address)};
	assert_true(sendmsg(o->fds[i], &m, 0) > 0);
}

/* Until the command has said all and ended. */
static void
serve(struct outside *o)
{
	_cleanup_buf_ struct buf output;
	struct pollfd wait[LISTENERS_MAX + 1];
	buf_init(&output, 1 << 20);
	for (;;) {
		for (size_t i = 0; i < o->n; i++)
			wait[i] = (struct pollfd){.fd = o->fds[i], .events = POLLIN};
		wait[o->n] = (struct pollfd){.fd = o->output[0], .events = POLLIN};
		assert_true(poll(wait, o->n + 1, PATIENCE_MS) > 0);
		for (size_t i = 0; i < o->n; i++) {
			if (wait[i].revents == 0)
				continue;
			if (strcmp(role_of(o, i), "dns-udp") == 0)
				(o->ipv4_only ? answer_datagram_ipv4 : answer_datagram)(o, i);
			else
				answer_stream(o, i);
		}
		if (wait[o->n].revents == 0)
			continue;
		char text[4096];
		ssize_t n = read(o->output[0], text, sizeof(text));
		if (n <= 0)
			break;
		assert_int_equal(buf_add(&output, text, (size_t)n), 0);
	}
	o->said = parse(buf_str(&output));
}

/* ---- set up ---- */

static int
set_up(void **state)
{
	struct outside *o = calloc(1, sizeof(*o));
	struct error err = {0};
	char init[4096];
	const char *bin = getenv("RINGFENCE_BIN");
	assert_non_null(bin);
	(void)snprintf(init, sizeof(init), "%s/rf-init", bin);
	(void)snprintf(o->state, sizeof(o->state), "/tmp/rf-network-XXXXXX");
	assert_non_null(mkdtemp(o->state));
	(void)chmod(o->state, 0755);
	o->state_fd = open(o->state, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	assert_int_equal(mkdirat(o->state_fd, "run", 0755), 0);
	if (sandbox_host_new(init, o->state, o->state_fd, &o->host, &err) < 0)
		fail_msg("%s", err.message);
	o->listeners = json_new_array();
	*state = o;
	return 0;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static int
tear_down(void **state)
{
	struct outside *o = *state;
	if (o->sandbox != NULL) {
		sandbox_kill(o->sandbox);
		(void)process_reap(o->sandbox->pidfd, true, NULL);
		sandbox_free(o->sandbox);
	}
	while (o->n > 0)
		(void)close(o->fds[--o->n]);
	sandbox_host_free(o->host);
	(void)close(o->state_fd);
	json_free(o->listeners);
	json_free(o->evidence);
	json_free(o->said);
	assert_int_equal(nftw(o->state, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
	free(o);
	return 0;
}

static const char *
said(const struct outside *o, const char *what)
{
	return json_get_str(o->said, what, "nothing");
}

/* ---- tests ---- */

static void
every_address_is_accepted_outside_and_says_which_it_is(void **state)
{
	static const char *const expected[][2] = {{"v4", "tcp ::ffff:93.184.216.34 443"},
	    {"v4-private", "tcp ::ffff:10.1.2.3 80"},
	    {"v4-metadata", "tcp ::ffff:169.254.169.254 80"},
	    {"v4-loopback", "tcp ::ffff:127.0.0.1 5432"}, {"v6", "tcp 2606:2800::1 443"},
	    {"v6-ours", "tcp fd52:6600::7 8004"}, {"mapped", "tcp ::ffff:93.184.216.34 80"},
	    {"proxy", "proxy ::ffff:127.0.0.1 3128"}, {"v4-unlisted", "Connection refused"},
	    {"v6-unlisted", "Connection refused"}, {"dns-v4", "dns-udp ::ffff:198.18.0.1"},
	    {"dns-elsewhere", "dns-udp ::ffff:8.8.8.8"}, {"dns-v6", "dns-udp 2001:4860:4860::8888"},
	    {"dns-tcp", "dns-tcp ::ffff:198.18.0.1 53"}, {"quic", "Connection refused"},
	    {"bundle", bundle_text}, {"mine", "/mine"}, {"other", PLAN_AUTHORITIES},
	    {"steal", "Address already in use"}, {"steal-any", "Address already in use"},
	    {"steal-address", "Address already in use"}, {"steal-v6", "Address already in use"},
	    {"low", "Permission denied"}, {"own", "could"}};
	struct outside *o = *state;
	_cleanup_json_ struct json *config = parse(config_text);
	_cleanup_close_ int bundle = make_bundle();
	open_sandbox(o, config, bundle);
	assert_int_equal(o->n, 10);
	go(o);
	serve(o);
	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		if (strcmp(said(o, expected[i][0]), expected[i][1]) != 0)
			print_error("%s\n", expected[i][0]);
		assert_string_equal(said(o, expected[i][0]), expected[i][1]);
	}
	/* Landlock's word, and without it the mount's. */
	assert_string_not_equal(said(o, "write"), "could");
	assert_string_not_equal(said(o, "write-resolv"), "could");
	assert_non_null(strstr(said(o, "resolv"), "nameserver " PLAN_RESOLVER "\n"));
	if (access("/etc/ssl/certs/ca-certificates.crt", R_OK) == 0)
		assert_string_equal(said(o, "usual"), bundle_text);
}

static int
without_ipv6(void *data)
{
	/* As a kernel that was started with ipv6.disable=1 answers. */
	static const struct seccomp_rule rules[] = {{__NR_socket, SECCOMP_RET_ERRNO | EAFNOSUPPORT,
	    {{.index = 0, .op = SECCOMP_EQ, .value = AF_INET6}}, 1}};
	static const char *const expected[][2] = {{"v4", "tcp 93.184.216.34 443"},
	    {"v4-unlisted", "Connection refused"}, {"proxy", "proxy 127.0.0.1 3128"},
	    {"v6", "Address family not supported by protocol"}, {"dns-v4", "dns-udp 198.18.0.1"},
	    {"dns-elsewhere", "dns-udp 8.8.8.8"}, {"dns-tcp", "dns-tcp 198.18.0.1 53"}};
	struct outside *o = data;
	struct seccomp_program program = {0};
	struct error err = {0};
	_cleanup_json_ struct json *config = parse(config_text);
	_cleanup_json_ struct json *routes =
	    parse("[{\"dev\":\"lo\",\"to\":\"0.0.0.0/0\",\"type\":\"local\"}]");
	_cleanup_close_ int bundle = make_bundle();
	assert_int_equal(seccomp_compile(rules, 1, SECCOMP_RET_ALLOW, &program, &err), 0);
	assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	assert_int_equal(seccomp_install(program.code, program.len), 0);
	seccomp_program_done(&program);
	o->ipv4_only = true;
	open_sandbox(o, config, bundle);
	assert_true(json_equal(json_get(json_get(o->evidence, "network"), "routes"), routes));
	go(o);
	serve(o);
	for (size_t i = 0; i < ARRAY_LEN(expected); i++)
		assert_string_equal(said(o, expected[i][0]), expected[i][1]);
	sandbox_kill(o->sandbox);
	return process_reap(o->sandbox->pidfd, true, NULL) < 0 ? 2 : 0;
}

static void
a_host_without_ipv6_has_sockets_of_ipv4(void **state)
{
	assert_exited(in_child(without_ipv6, *state), 0);
}

static void
the_kernel_says_what_there_is(void **state)
{
	struct outside *o = *state;
	_cleanup_json_ struct json *config = parse(config_text);
	_cleanup_json_ struct json *expected =
	    parse("{\"interfaces\":[\"lo\"],\"routes\":[{\"dev\":\"lo\",\"to\":\"0.0.0.0/"
		  "0\",\"type\":\"local\"},"
		  "{\"dev\":\"lo\",\"to\":\"::/0\",\"type\":\"local\"}]}");
	_cleanup_close_ int bundle = make_bundle();
	open_sandbox(o, config, bundle);
	assert_true(json_equal(json_get(o->evidence, "network"), expected));
}

static void
without_a_network_there_is_none(void **state)
{
	struct outside *o = *state;
	_cleanup_json_ struct json *config = parse(config_text);
	json_unset(config, "network");
	open_sandbox(o, config, -1);
	assert_int_equal(o->n, 0);
	assert_null(json_get(o->evidence, "network"));
}

static void
without_a_bundle_there_is_no_sandbox(void **state)
{
	struct outside *o = *state;
	struct error err = {0};
	struct msg m = MSG_INIT;
	_cleanup_json_ struct json *config = parse(config_text);
	_cleanup_close_ int empty = memfd_create("empty", MFD_CLOEXEC);
	struct sandbox_shape shape = {.config = config, .workspace_fd = -1, .bundle_fd = empty};
	assert_int_equal(sandbox_spawn(o->host, NULL, "test", -1, &o->sandbox, &err), 0);
	assert_int_equal(sandbox_send_plan(o->sandbox, &shape, &err), 0);
	do {
		struct pollfd wait = {.fd = o->sandbox->control, .events = POLLIN};
		msg_done(&m);
		m = (struct msg)MSG_INIT;
		assert_int_equal(poll(&wait, 1, PATIENCE_MS), 1);
		assert_int_equal(msg_recv(o->sandbox->control, 0, &m), 1);
	} while (m.type == INIT_LISTENERS);
	assert_int_equal(m.type, INIT_FAILED);
	msg_done(&m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		every_address_is_accepted_outside_and_says_which_it_is, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		a_host_without_ipv6_has_sockets_of_ipv4, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(the_kernel_says_what_there_is, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(without_a_network_there_is_none, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		without_a_bundle_there_is_no_sandbox, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
