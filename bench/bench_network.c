/* Load and upstreams for the benchmark of the network boundary (bench/network.py).
 *
 *     bench_network requests [options] HOST PORT PATH   keep-alive requests
 *     bench_network echo [options] HOST PORT            one byte there and back over one connection
 *     bench_network connect [options] HOST PORT         a connection, one byte there and back, its end
 *     bench_network bulk [options] HOST PORT            BYTES (--count) to the client
 *     bench_network hold [options] HOST PORT            connections that do nothing until standard input ends
 *     bench_network serve ADDRESS PORT                  the upstream of echo, connect, bulk and hold
 *
 * Options: --proxy HOST:PORT (absolute-form; CONNECT with --tls and for all but requests), --tls CAFILE,
 * --connections N, --count N (of requests or bytes, of all connections), --seconds S (instead).
 * Prints lines "p50 12.3 us p99 45.6 us" and "12345 requests/s", "678.9 MB/s". Blocking sockets, a thread each. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUFFER (256 * 1024)
#define STACK (64 * 1024)
#define SAMPLES 65536 /* of each connection */

struct options {
	char *host;
	const char *what, *port, *path, *proxy, *ca;
	long connections, count;
	double seconds;
};

struct worker {
	pthread_t thread;
	long done;       /* requests */
	double *took_us; /* of the first SAMPLES */
};

/* A connection: plain, or TLS. */
struct line {
	int fd;
	SSL *ssl;
	char *buffer; /* BUFFER bytes, LEN of them read */
	size_t len;
};

static struct options options = {.connections = 1, .count = 1000};
static SSL_CTX *context;
static double deadline_us; /* 0: by count */

static void __attribute__((format(printf, 1, 2), noreturn)) die(const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	(void)fprintf(stderr, "bench_network: ");
	(void)vfprintf(stderr, fmt, args);
	(void)fprintf(stderr, "\n");
	va_end(args);
	exit(1);
}

static double
now_us(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* ---- connections ---- */

static int
dial(const char *host, const char *port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_INET}, *found;
	int r = getaddrinfo(host, port, &hints, &found);
	if (r != 0)
		die("%s: %s", host, gai_strerror(r));
	int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen) < 0)
		die("%s:%s: %s", host, port, strerror(errno));
	freeaddrinfo(found);
	int on = 1;
	struct timeval wait = {.tv_sec = 20};
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	return fd;
}

static size_t
line_read(struct line *line, void *bytes, size_t len)
{
	if (line->ssl != NULL) {
		int n = SSL_read(line->ssl, bytes, (int)len);
		if (n <= 0)
			die("TLS ended");
		return (size_t)n;
	}
	ssize_t n = recv(line->fd, bytes, len, 0);
	if (n <= 0)
		die("the connection ended: %s", n < 0 ? strerror(errno) : "closed");
	return (size_t)n;
}

static void
line_write(struct line *line, const void *bytes, size_t len)
{
	ssize_t n = line->ssl != NULL ? SSL_write(line->ssl, bytes, (int)len)
				      : send(line->fd, bytes, len, MSG_NOSIGNAL);
	if (n != (ssize_t)len)
		die("cannot send");
}

static bool
at_end(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, MSG_PEEK);
	return n == 0 || (n < 0 && errno == ECONNRESET);
}

/* Reads a head into the buffer (what follows stays behind it); its length; 0: the connection was at its end. */
static size_t
read_head(struct line *line)
{
	for (;;) {
		line->buffer[line->len] = 0;
		const char *end = strstr(line->buffer, "\r\n\r\n");
		if (end != NULL)
			return (size_t)(end + 4 - line->buffer);
		if (line->len >= BUFFER - 1)
			die("a head without end");
		if (line->len == 0 && line->ssl == NULL && at_end(line->fd))
			return 0;
		/* Some send a head in pieces and wait for each to be acknowledged: they should not wait long. */
		int on = 1;
		if (line->len > 0)
			(void)setsockopt(line->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
		line->len += line_read(line, line->buffer + line->len, BUFFER - 1 - line->len);
	}
}

static void
drop(struct line *line, size_t len)
{
	memmove(line->buffer, line->buffer + len, line->len - len);
	line->len -= len;
}

static void
through_proxy(struct line *line)
{
	char head[600];
	int len = snprintf(head, sizeof(head), "CONNECT %s:%s HTTP/1.1\r\nHost: %s:%s\r\n\r\n",
	    options.host, options.port, options.host, options.port);
	line_write(line, head, (size_t)len);
	size_t head_len = read_head(line);
	if (strncmp(line->buffer + 8, " 200", 4) != 0)
		die("the proxy says: %.60s", line->buffer);
	drop(line, head_len);
}

static void
begin_tls(struct line *line)
{
	SSL *ssl = SSL_new(context);
	if (ssl == NULL || SSL_set_fd(ssl, line->fd) != 1 ||
	    SSL_set_tlsext_host_name(ssl, options.host) != 1 ||
	    SSL_set1_host(ssl, options.host) != 1)
		die("out of memory");
	if (SSL_connect(ssl) != 1)
		die("TLS: %s", ERR_error_string(ERR_get_error(), NULL));
	line->ssl = ssl;
}

static void
line_open(struct line *line)
{
	*line = (struct line){.buffer = malloc(BUFFER)};
	bool connects = options.ca != NULL || strcmp(options.what, "requests") != 0;
	if (line->buffer == NULL)
		die("out of memory");
	if (options.proxy != NULL) {
		char host[256];
		const char *colon = strrchr(options.proxy, ':');
		(void)snprintf(
		    host, sizeof(host), "%.*s", (int)(colon - options.proxy), options.proxy);
		line->fd = dial(host, colon + 1);
		if (connects)
			through_proxy(line);
	} else {
		line->fd = dial(options.host, options.port);
	}
	if (options.ca != NULL)
		begin_tls(line);
}

static void
line_close(struct line *line)
{
	if (line->ssl != NULL)
		(void)SSL_shutdown(line->ssl);
	SSL_free(line->ssl);
	(void)close(line->fd);
	free(line->buffer);
}

/* ---- what is measured ---- */

/* Whether there was an answer; the connection may be at its end instead. */
static bool
one_request(struct line *line)
{
	char head[900];
	int len = options.proxy != NULL && options.ca == NULL
	    ? snprintf(head, sizeof(head), "GET http://%s:%s%s HTTP/1.1\r\nHost: %s:%s\r\n\r\n",
		  options.host, options.port, options.path, options.host, options.port)
	    : snprintf(head, sizeof(head), "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", options.path,
		  options.host);
	line_write(line, head, (size_t)len);
	size_t head_len = read_head(line);
	if (head_len == 0)
		return false;
	if (strncmp(line->buffer + 8, " 200", 4) != 0)
		die("answered: %.80s", line->buffer);
	const char *length = strcasestr(line->buffer, "\r\ncontent-length:");
	if (length == NULL || length > line->buffer + head_len)
		die("an answer without a length");
	size_t all = head_len + strtoul(length + 17, NULL, 10);
	if (all >= BUFFER)
		die("an answer too long for this");
	while (line->len < all)
		line->len += line_read(line, line->buffer + line->len, BUFFER - 1 - line->len);
	drop(line, all);
	return true;
}

/* Who ends the connection after an answer is asked again by another: that is part of what it costs. */
static void
one_request_anyhow(struct line *line)
{
	if (one_request(line))
		return;
	line_close(line);
	line_open(line);
	if (!one_request(line))
		die("the connection ended without an answer");
}

static void
one_echo(struct line *line)
{
	char byte = 'x';
	line_write(line, &byte, 1);
	(void)line_read(line, &byte, 1);
}

static void
one_connection(struct line *line)
{
	line_open(line);
	line_write(line, "e", 1);
	one_echo(line);
	line_close(line);
}

static void *
work(void *data)
{
	struct worker *worker = data;
	struct line line;
	bool connects = strcmp(options.what, "connect") == 0;
	bool echoes = strcmp(options.what, "echo") == 0;
	long most = options.count / options.connections;
	if (!connects)
		line_open(&line);
	if (echoes)
		line_write(&line, "e", 1);
	while (deadline_us > 0 ? now_us() < deadline_us : worker->done < most) {
		double before_us = now_us();
		if (connects)
			one_connection(&line);
		else if (echoes)
			one_echo(&line);
		else
			one_request_anyhow(&line);
		if (worker->done < SAMPLES)
			worker->took_us[worker->done] = now_us() - before_us;
		worker->done++;
	}
	if (!connects)
		line_close(&line);
	return NULL;
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static void
start(pthread_t *thread, void *(*fn)(void *), void *data)
{
	pthread_attr_t attributes;
	if (pthread_attr_init(&attributes) != 0 ||
	    pthread_attr_setstacksize(&attributes, 4 * STACK) != 0 ||
	    pthread_create(thread, &attributes, fn, data) != 0)
		die("no thread");
	(void)pthread_attr_destroy(&attributes);
}

static void
measure(void)
{
	struct worker *workers = calloc((size_t)options.connections, sizeof(*workers));
	double *all = calloc((size_t)options.connections * SAMPLES, sizeof(double));
	if (workers == NULL || all == NULL)
		die("out of memory");
	double begin_us = now_us();
	if (options.seconds > 0)
		deadline_us = begin_us + options.seconds * 1e6;
	for (long i = 0; i < options.connections; i++) {
		workers[i].took_us = all + i * SAMPLES;
		start(&workers[i].thread, work, &workers[i]);
	}
	long done = 0, n = 0;
	for (long i = 0; i < options.connections; i++) {
		(void)pthread_join(workers[i].thread, NULL);
		long samples = workers[i].done < SAMPLES ? workers[i].done : SAMPLES;
		memmove(all + n, workers[i].took_us, (size_t)samples * sizeof(double));
		n += samples;
		done += workers[i].done;
	}
	double took_us = now_us() - begin_us;
	if (n == 0)
		die("nothing was done");
	qsort(all, (size_t)n, sizeof(double), compare);
	(void)printf("p50 %.2f us p99 %.2f us\n%.1f requests/s\n", all[n / 2], all[n * 99 / 100],
	    (double)done / took_us * 1e6);
	free(all);
	free(workers);
}

static void
bulk(void)
{
	struct line line;
	char ask[40];
	line_open(&line);
	long left = options.count;
	int len = snprintf(ask, sizeof(ask), "b%ld\n", left);
	double begin_us = now_us();
	line_write(&line, ask, (size_t)len);
	while (left > 0)
		left -= (long)line_read(&line, line.buffer, BUFFER);
	(void)printf("%.1f MB/s\n", (double)options.count / (now_us() - begin_us));
	line_close(&line);
}

static void
hold(void)
{
	struct line *lines = calloc((size_t)options.connections, sizeof(*lines));
	char byte;
	if (lines == NULL)
		die("out of memory");
	for (long i = 0; i < options.connections; i++) {
		line_open(&lines[i]);
		if (options.path != NULL) {
			(void)one_request(&lines[i]);
		} else {
			line_write(&lines[i], "e", 1);
			one_echo(&lines[i]);
		}
		free(lines[i].buffer);
		lines[i].buffer = NULL;
	}
	(void)printf("held %ld\n", options.connections);
	(void)fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	free(lines);
}

/* ---- the upstream ---- */

static void
send_bulk(int fd, long left)
{
	static const char bytes[BUFFER];
	while (left > 0) {
		ssize_t n = send(fd, bytes, left < BUFFER ? (size_t)left : BUFFER, MSG_NOSIGNAL);
		if (n <= 0)
			return;
		left -= n;
	}
}

static void *
serve_one(void *data)
{
	int fd = (int)(intptr_t)data, on = 1;
	char bytes[4096];
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	ssize_t n = recv(fd, bytes, 1, 0);
	if (n == 1 && bytes[0] == 'b') {
		n = recv(fd, bytes, sizeof(bytes) - 1, 0);
		bytes[n < 0 ? 0 : n] = 0;
		send_bulk(fd, strtol(bytes, NULL, 10));
	}
	while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		if (send(fd, bytes, (size_t)n, MSG_NOSIGNAL) != n)
			break;
	(void)close(fd);
	return NULL;
}

static void
serve(void)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, *found;
	if (getaddrinfo(options.host, options.port, &hints, &found) != 0)
		die("%s: not an address", options.host);
	int listener = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	(void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (listener < 0 || bind(listener, found->ai_addr, found->ai_addrlen) < 0 ||
	    listen(listener, 1024) < 0)
		die("%s:%s: %s", options.host, options.port, strerror(errno));
	freeaddrinfo(found);
	(void)printf("serving\n");
	(void)fflush(stdout);
	for (;;) {
		pthread_t thread;
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			continue;
		start(&thread, serve_one, (void *)(intptr_t)fd);
		(void)pthread_detach(thread);
	}
}

/* ---- the command line ---- */

static void
set_option(const char *name, const char *value)
{
	if (value == NULL)
		die("%s: a value is missing", name);
	if (strcmp(name, "--proxy") == 0 && strchr(value, ':') != NULL)
		options.proxy = value;
	else if (strcmp(name, "--tls") == 0)
		options.ca = value;
	else if (strcmp(name, "--connections") == 0)
		options.connections = strtol(value, NULL, 10);
	else if (strcmp(name, "--count") == 0)
		options.count = strtol(value, NULL, 10);
	else if (strcmp(name, "--seconds") == 0)
		options.seconds = strtod(value, NULL);
	else
		die("%s: not an option", name);
}

int
main(int argc, char **argv)
{
	char *words[4] = {NULL};
	int n = 0;
	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "--", 2) == 0) {
			set_option(argv[i], i + 1 < argc ? argv[i + 1] : NULL);
			i++;
		} else if (n < 4) {
			words[n++] = argv[i];
		}
	}
	if (n < 3 || options.connections < 1)
		die("see the head of its source");
	options.what = words[0];
	options.host = words[1];
	options.port = words[2];
	options.path = words[3];
	(void)signal(SIGPIPE, SIG_IGN);
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	if (options.ca != NULL) {
		context = SSL_CTX_new(TLS_client_method());
		if (context == NULL ||
		    SSL_CTX_load_verify_locations(context, options.ca, NULL) != 1)
			die("%s: no authorities", options.ca);
		SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	}
	if (strcmp(options.what, "serve") == 0)
		serve();
	else if (strcmp(options.what, "bulk") == 0)
		bulk();
	else if (strcmp(options.what, "hold") == 0)
		hold();
	else
		measure();
	return 0;
}
