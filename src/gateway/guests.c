/* Sandboxes that come and go. Each has an authority of its own, so that no certificate of one means anything in
 * another, names of its own, and listeners that were made inside it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/connection.h"
#include "gateway/gateway.h"
#include "gateway/secrets.h"
#include "gateway/upstream.h"
#include "ipc/messages.h"

#define DENIALS_MAX 16 /* distinct ones, for whoever started the sandbox */
#define NOTES_PER_S 20
#define NOTES_BURST 100
#define SECOND_NS 1000000000LL

struct listener {
	struct listener *next;
	struct guest *guest;
	int fd; /* owned */
	int port;
	bool proxy;
	struct watch *watch;
	struct dns_server *dns;
};

struct guest *
guest_find(struct gateway *gateway, const char *id)
{
	struct guest *guest = gateway->guests;
	while (guest != NULL && strcmp(guest->id, id) != 0)
		guest = guest->next;
	return guest;
}

/* ---- what was refused ---- */

static bool
may_note(struct guest *guest)
{
	int64_t now = clock_monotonic_ns();
	int64_t earned = (now - guest->notes_at_ns) / (SECOND_NS / NOTES_PER_S);
	if (earned > 0) {
		guest->notes_left = (unsigned)MIN(NOTES_BURST, guest->notes_left + earned);
		guest->notes_at_ns = now;
	}
	return guest->notes_left > 0 && guest->notes_left-- > 0;
}

static void
list_denial(struct guest *guest, const char *what, const char *reason, const char *needed)
{
	for (size_t i = 0; i < json_len(guest->denials); i++) {
		struct json *known = json_at(guest->denials, i);
		if (strcmp(json_get_str(known, "what", ""), what) != 0)
			continue;
		(void)json_set_int(known, "count", json_get_int(known, "count", 0) + 1);
		return;
	}
	if (json_len(guest->denials) >= DENIALS_MAX)
		return;
	struct json *denial = json_new_object();
	(void)json_set_str(denial, "what", what);
	(void)json_set_str(denial, "reason", reason);
	if (needed != NULL && needed[0] != 0)
		(void)json_set_str(denial, "needed", needed);
	(void)json_set_int(denial, "count", 1);
	(void)json_push(guest->denials, denial);
}

void
guest_denied(struct guest *guest, const char *event, const char *what, const char *reason,
    const char *needed)
{
	char shown[300];
	(void)snprintf(shown, sizeof(shown), "%s", what);
	guest->usage.denied++;
	list_denial(guest, shown, reason, needed);
	if (event == NULL || guest->gateway->arbiter == NULL || !may_note(guest))
		return;
	struct json *data = json_new_object();
	(void)json_set_str(data, "what", shown);
	(void)json_set_str(data, "reason", reason);
	struct json *body = json_new_object();
	(void)json_set_str(body, "sandbox", guest->id);
	(void)json_set_str(body, "event", event);
	(void)json_set(body, "data", data);
	(void)conn_send_take(guest->gateway->arbiter, MSG_NET_NOTE, 0, body);
}

/* ---- the limit of all traffic ---- */

#define WATCH_MS 100

static void
on_watch(struct timer *timer, void *data)
{
	struct guest *guest = data;
	(void)timer;
	guest->watching = NULL;
	uint64_t bytes = guest->usage.bytes_in + guest->usage.bytes_out + connections_bytes(guest);
	bool watched =
	    loop_timer(guest->gateway->loop, WATCH_MS, on_watch, guest, &guest->watching) == 0;
	if (guest->used_up || (watched && bytes <= (uint64_t)guest->bytes_max))
		return;
	guest->used_up = true;
	guest_denied(guest, "connection-refused", "the network",
	    "the sandbox's limit of traffic is used up", "sandbox.limits.traffic");
	while (guest->connections != NULL)
		connection_free(guest->connections);
}

/* ---- open ---- */

static int
write_all(int fd, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;
	while (len > 0) {
		ssize_t n = write(fd, at, len);
		if (n < 0 && errno != EINTR)
			return -errno;
		at += MAX(n, 0);
		len -= (size_t)MAX(n, 0);
	}
	return 0;
}

/* The system's authorities and GUEST's own, as memory that nobody can change any more. fd or -errno. */
static int
make_bundle(const struct guest *guest)
{
	const struct buf *system = &guest->gateway->bundle;
	const char *own = tls_authority_pem(guest->authority);
	int fd = memfd_create("authorities", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	int r = write_all(fd, system->data, system->len);
	if (r == 0)
		r = write_all(fd, "\n", 1);
	if (r == 0)
		r = write_all(fd, own, strlen(own));
	if (r == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		r = -errno;
	if (r < 0)
		(void)close(fd);
	return r < 0 ? r : fd;
}

static struct guest *guest_free(struct guest *guest);

static struct guest *
guest_new(struct gateway *gateway, const struct json *body, struct error *err)
{
	char name[80];
	int64_t per_second = json_get_int(body, "bytes_per_s", 0);
	struct guest *guest = calloc(1, sizeof(*guest));
	if (guest == NULL)
		return NULL;
	guest->gateway = gateway;
	(void)snprintf(guest->id, sizeof(guest->id), "%s", json_get_str(body, "sandbox", ""));
	(void)snprintf(guest->task, sizeof(guest->task), "%s", json_get_str(body, "task", ""));
	(void)snprintf(name, sizeof(name), "Ringfence sandbox %s", guest->id);
	guest->names = names_new();
	guest->denials = json_new_array();
	guest->authority = tls_authority_new(name, err);
	guest->bytes_max = json_get_int(body, "bytes", 0);
	if (guest->bytes_max > 0 &&
	    loop_timer(gateway->loop, WATCH_MS, on_watch, guest, &guest->watching) < 0)
		return guest_free(guest);
	if (per_second > 0)
		guest->meter = stream_meter_new(gateway->loop, per_second);
	if (guest->names == NULL || guest->denials == NULL || guest->authority == NULL ||
	    (per_second > 0 && guest->meter == NULL))
		return guest_free(guest);
	return guest;
}

static int
open_guest(struct gateway *gateway, const struct json *body, struct guest **ret, int *ret_bundle,
    struct error *err)
{
	if (!uuid_valid(json_get_str(body, "sandbox", "")) ||
	    guest_find(gateway, json_get_str(body, "sandbox", "")) != NULL)
		return error_set(err, EINVAL, "sandbox_invalid", "no such sandbox can be opened");
	struct guest *guest = guest_new(gateway, body, err);
	if (guest == NULL)
		return error_set(err, ENOMEM, "no_memory", "the gateway is out of memory");
	*ret_bundle = make_bundle(guest);
	if (*ret_bundle < 0) {
		int r = error_set_errno(
		    err, -*ret_bundle, "gateway_failed", "the bundle of authorities");
		(void)guest_free(guest);
		return r;
	}
	*ret = guest;
	return 0;
}

int
guest_on_open(struct conn *conn, struct msg *m)
{
	struct gateway *gateway = conn_data(conn);
	struct error err = {.code = ""};
	struct guest *guest = NULL;
	int bundle = -1;
	if (open_guest(gateway, m->body, &guest, &bundle, &err) < 0 || guest == NULL) {
		(void)conn_send_error(conn, m->serial, &err);
		return 0;
	}
	guest->next = gateway->guests;
	gateway->guests = guest;
	struct json *body = json_new_object();
	(void)json_set_str(body, "ca", tls_authority_pem(guest->authority));
	(void)conn_send(conn, MSG_GATEWAY_OPENED, m->serial, body, &bundle, 1);
	json_free(body);
	(void)close(bundle);
	return 0;
}

/* ---- listeners ---- */

static void
listener_free(struct listener *listener)
{
	listener->watch = watch_remove(listener->watch);
	listener->dns = dns_server_free(listener->dns);
	close_fd(&listener->fd);
	free(listener);
}

static void
on_accepted(int fd, void *data)
{
	struct listener *listener = data;
	connection_new(listener->guest, fd, listener->port, listener->proxy);
}

/* Serves FD (taken) as ABOUT says. */
static int
listen_on(struct guest *guest, const struct json *about, int fd)
{
	const char *role = json_get_str(about, "role", "");
	bool dns_tcp = strcmp(role, "dns-tcp") == 0, dns = dns_tcp || strcmp(role, "dns-udp") == 0;
	struct listener *listener = calloc(1, sizeof(*listener));
	if (listener == NULL || fd < 0) {
		free(listener);
		if (fd >= 0)
			(void)close(fd);
		return fd < 0 ? -EPROTO : -ENOMEM;
	}
	listener->guest = guest;
	listener->fd = -1;
	listener->port = (int)json_get_int(about, "port", 0);
	listener->proxy = strcmp(role, "proxy") == 0;
	listener->next = guest->listeners;
	guest->listeners = listener;
	if (dns)
		return dns_server_new(guest, fd, dns_tcp, &listener->dns);
	listener->fd = fd;
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	return conn_accept(guest->gateway->loop, fd, on_accepted, listener, &listener->watch);
}

int
guest_on_listen(struct conn *conn, struct msg *m)
{
	struct guest *guest = guest_find(conn_data(conn), json_get_str(m->body, "sandbox", ""));
	const struct json *listeners = json_get(m->body, "listeners");
	struct error err;
	int r = guest == NULL || json_len(listeners) != m->n_fds ? -EPROTO : 0;
	for (unsigned i = 0; r == 0 && i < m->n_fds; i++)
		r = listen_on(guest, json_at(listeners, i), msg_take_fd(m, i));
	if (r == 0)
		return conn_send_take(conn, MSG_OK, m->serial, json_new_object());
	(void)error_set_errno(&err, -r, "gateway_failed", "listening in the sandbox");
	return conn_send_error(conn, m->serial, &err);
}

/* ---- close ---- */

static struct guest *
guest_free(struct guest *guest)
{
	while (guest->connections != NULL)
		connection_free(guest->connections);
	while (guest->listeners != NULL) {
		struct listener *listener = guest->listeners;
		guest->listeners = listener->next;
		listener_free(listener);
	}
	guest->watching = timer_cancel(guest->watching);
	reach_done(guest);
	upstreams_done(guest);
	secrets_done(guest);
	guest->meter = stream_meter_free(guest->meter);
	guest->authority = tls_authority_free(guest->authority);
	guest->names = names_free(guest->names);
	json_free(guest->denials);
	free(guest);
	return NULL;
}

static struct json *
usage_json(const struct guest_usage *usage)
{
	struct json *body = json_new_object();
	(void)json_set_int(body, "connections", (int64_t)usage->connections);
	(void)json_set_int(body, "requests", (int64_t)usage->requests);
	(void)json_set_int(body, "denied", (int64_t)usage->denied);
	(void)json_set_int(body, "bytes_in", (int64_t)usage->bytes_in);
	(void)json_set_int(body, "bytes_out", (int64_t)usage->bytes_out);
	return body;
}

int
guest_on_close(struct conn *conn, struct msg *m)
{
	struct gateway *gateway = conn_data(conn);
	struct guest *guest = guest_find(gateway, json_get_str(m->body, "sandbox", ""));
	struct error err;
	if (guest == NULL) {
		(void)error_set(&err, ENOENT, "sandbox_unknown", "no such sandbox is open here");
		return conn_send_error(conn, m->serial, &err);
	}
	struct guest **at = &gateway->guests;
	while (*at != guest)
		at = &(*at)->next;
	*at = guest->next;
	while (guest->connections != NULL) /* they are counted */
		connection_free(guest->connections);
	struct json *body = json_new_object();
	(void)json_set(body, "usage", usage_json(&guest->usage));
	(void)json_set(body, "denials", TAKE_PTR(guest->denials));
	(void)guest_free(guest);
	return conn_send_take(conn, MSG_GATEWAY_CLOSED, m->serial, body);
}
