/* Resolving. A name is two questions, A and AAAA, asked at once; when one has addresses, the other is waited for
 * RESOLUTION_DELAY_MS more (RFC 8305, section 3), so that a server that never answers one kind delays nobody.
 *
 *     asking ── both answered; one answered, then the delay; the limit ──▶ ended ── end of the round ──▶ told
 *     asking, ended ── resolve_cancel ──▶ told
 *
 * A resolve lives until it was told and c-ares has called back for both questions (c-ares cannot take back a single
 * question). Each goes through a channel of c-ares of its own, as long as there is an idle one: a channel sends from
 * one port until it is idle, and whoever guesses answers must find the port anew for each question. */
#include "dialer/resolve.h"

#include <arpa/nameser.h>
#include <ares.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "proto/address.h"

#define CHANNELS 64
#define TRY_MS 1200 /* the first time; c-ares doubles it each round */
#define TRIES 3
#define RESOLUTION_DELAY_MS 50
#define TICK_MS 100 /* how often c-ares looks for questions without an answer */

enum family { FAMILY_A, FAMILY_AAAA, FAMILIES };

struct channel {
	struct resolver *resolver;
	ares_channel ares;
	unsigned asking; /* questions without an answer */
};

struct resolver {
	struct loop *loop;
	struct channel channels[CHANNELS];
	struct watch **watches; /* of c-ares' sockets, by descriptor */
	size_t n_watches;
	struct timer *tick;
	struct resolve *all;
	unsigned asking;
	bool closing;
};

struct question {
	struct resolve *resolve;
	struct channel *channel;
	enum family family;
};

struct resolve {
	struct resolver *resolver;
	struct resolve *next, **link;
	struct question questions[FAMILIES];
	unsigned open; /* questions that c-ares has not called back for */
	bool told, ended;
	resolved_fn *fn;
	void *data;
	struct timer *limit, *delay;
	struct deferred tell;
	uint8_t found[FAMILIES][ADDRESSES_MAX][16];
	size_t n_found[FAMILIES];
	int failure; /* the worst of both answers */
};

/* ---- c-ares in the loop ---- */

static void on_tick(struct timer *timer, void *data);

static void
keep_ticking(struct resolver *r)
{
	if (r->tick == NULL && r->asking > 0 && !r->closing &&
	    loop_timer(r->loop, TICK_MS, on_tick, r, &r->tick) < 0)
		r->tick = NULL; /* the limit of each resolve still holds */
}

/* Looks for questions that ran out of time; and at sockets that there was no memory for a watch of. */
static void
look_after(const struct resolver *r, struct channel *c)
{
	ares_socket_t sockets[ARES_GETSOCK_MAXNUM];
	/* One bit for reading; sixteen above it, one for writing. */
	uint32_t wanted = (uint32_t)ares_getsock(c->ares, sockets, ARES_GETSOCK_MAXNUM);
	ares_process_fd(c->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	for (int i = 0; i < ARES_GETSOCK_MAXNUM; i++) {
		if ((wanted & 0x10001u << i) == 0 ||
		    ((size_t)sockets[i] < r->n_watches && r->watches[sockets[i]] != NULL))
			continue;
		ares_process_fd(c->ares, sockets[i], sockets[i]);
	}
}

static void
on_tick(struct timer *timer, void *data)
{
	struct resolver *r = data;
	r->tick = NULL;
	for (size_t i = 0; i < CHANNELS; i++)
		if (r->channels[i].asking > 0)
			look_after(r, &r->channels[i]);
	keep_ticking(r);
}

static void
on_socket(struct watch *watch, uint32_t events, void *data)
{
	struct channel *c = data;
	int fd = watch_fd(watch);
	bool broken = (events & (EPOLLERR | EPOLLHUP)) != 0;
	bool readable = broken || (events & EPOLLIN) != 0;
	bool writable = (events & EPOLLOUT) != 0;
	ares_process_fd(c->ares, readable ? fd : ARES_SOCKET_BAD, writable ? fd : ARES_SOCKET_BAD);
}

static bool
make_place(struct resolver *r, int fd)
{
	if ((size_t)fd < r->n_watches)
		return true;
	size_t n = MAX((size_t)fd + 1, 2 * r->n_watches);
	struct watch **watches = reallocarray(r->watches, n, sizeof(struct watch *));
	if (watches == NULL)
		return false;
	for (size_t i = r->n_watches; i < n; i++)
		watches[i] = NULL;
	r->watches = watches;
	r->n_watches = n;
	return true;
}

/* c-ares tells what it waits for at FD; nothing: it is about to close it. Without memory for a watch the question ends
 * by its time. */
static void
on_socket_state(void *data, ares_socket_t fd, int readable, int writable)
{
	struct channel *c = data;
	struct resolver *r = c->resolver;
	if (fd < 0 || r->loop == NULL || !make_place(r, fd))
		return;
	struct watch **watch = &r->watches[fd];
	uint32_t events = (readable ? EPOLLIN : 0U) | (writable ? EPOLLOUT : 0U);
	if (events == 0)
		*watch = watch_remove(*watch);
	else if (*watch != NULL)
		(void)watch_set_events(*watch, events);
	else if (loop_watch(r->loop, fd, events, on_socket, c, watch) < 0)
		*watch = NULL;
}

/* ---- one name ---- */

static void
resolve_free(struct resolve *v)
{
	v->limit = timer_cancel(v->limit);
	v->delay = timer_cancel(v->delay);
	*v->link = v->next;
	if (v->next != NULL)
		v->next->link = v->link;
	free(v);
}

static void
free_if_done(struct resolve *v)
{
	if (v->told && v->open == 0 && !v->tell.queued)
		resolve_free(v);
}

/* By turns, so that a family that does not work costs one attempt, not all. */
static void
interleave(const struct resolve *v, struct addresses *ret)
{
	ret->n = 0;
	for (size_t i = 0; i < ADDRESSES_MAX; i++) {
		if (i < v->n_found[FAMILY_AAAA] && ret->n < ADDRESSES_MAX)
			memcpy(ret->items[ret->n++], v->found[FAMILY_AAAA][i], 16);
		if (i < v->n_found[FAMILY_A] && ret->n < ADDRESSES_MAX)
			memcpy(ret->items[ret->n++], v->found[FAMILY_A][i], 16);
	}
}

/* The end of the round in which it ended. */
static void
on_tell(void *data)
{
	struct resolve *v = data;
	if (!v->told) {
		struct addresses found;
		interleave(v, &found);
		v->told = true;
		v->fn(found.n > 0 ? 0 : v->failure, &found, v->data);
	}
	free_if_done(v);
}

static void
end(struct resolve *v, int failure)
{
	if (v->ended)
		return;
	v->ended = true;
	v->failure = failure;
	v->limit = timer_cancel(v->limit);
	v->delay = timer_cancel(v->delay);
	loop_defer(v->resolver->loop, &v->tell);
}

static void
on_limit(struct timer *timer, void *data)
{
	struct resolve *v = data;
	v->limit = NULL;
	end(v, -ETIMEDOUT);
}

static void
on_delay(struct timer *timer, void *data)
{
	struct resolve *v = data;
	v->delay = NULL;
	end(v, 0);
}

/* ---- answers ---- */

static void
read_a(struct resolve *v, const unsigned char *answer, int len)
{
	struct ares_addrttl found[ADDRESSES_MAX];
	int n = ADDRESSES_MAX;
	if (ares_parse_a_reply(answer, len, NULL, found, &n) != ARES_SUCCESS)
		return;
	for (int i = 0; i < n; i++)
		address_from_ipv4(
		    (const uint8_t *)&found[i].ipaddr, v->found[FAMILY_A][v->n_found[FAMILY_A]++]);
}

static void
read_aaaa(struct resolve *v, const unsigned char *answer, int len)
{
	struct ares_addr6ttl found[ADDRESSES_MAX];
	int n = ADDRESSES_MAX;
	if (ares_parse_aaaa_reply(answer, len, NULL, found, &n) != ARES_SUCCESS)
		return;
	for (int i = 0; i < n; i++)
		memcpy(v->found[FAMILY_AAAA][v->n_found[FAMILY_AAAA]++], &found[i].ip6addr, 16);
}

/* What STATUS of c-ares means where no address was found. */
static int
failure_of(int status)
{
	switch (status) {
	case ARES_SUCCESS:
	case ARES_ENODATA:
	case ARES_ENOTFOUND:
	case ARES_EBADNAME:
		return -ENOENT;
	case ARES_ETIMEOUT:
		return -ETIMEDOUT;
	default:
		return -EIO;
	}
}

/* How bad: a server that failed may have known what the other said does not exist. */
static int
worse(int a, int b)
{
	return a == -ETIMEDOUT || b == -ETIMEDOUT ? -ETIMEDOUT
	    : a == -EIO || b == -EIO              ? -EIO
						  : -ENOENT;
}

static void
take_answer(struct resolve *v, enum family family, int status, const unsigned char *answer, int len)
{
	if (status == ARES_SUCCESS && family == FAMILY_A)
		read_a(v, answer, len);
	else if (status == ARES_SUCCESS)
		read_aaaa(v, answer, len);
	if (v->n_found[family] == 0)
		v->failure = worse(v->failure, failure_of(status));
	if (v->open == 0)
		end(v, v->failure);
	else if (v->n_found[family] > 0 && v->delay == NULL &&
	    loop_timer(v->resolver->loop, RESOLUTION_DELAY_MS, on_delay, v, &v->delay) < 0)
		end(v, 0);
}

/* Also called from within ares_query, and for all questions of a channel that is destroyed. */
static void
on_answer(void *data, int status, int timeouts, unsigned char *answer, int len)
{
	const struct question *q = data;
	struct resolve *v = q->resolve;
	v->open--;
	q->channel->asking--;
	v->resolver->asking--;
	if (!v->ended && !v->resolver->closing)
		take_answer(v, q->family, status, answer, len);
	free_if_done(v);
}

/* ---- asking ---- */

static struct channel *
least_busy(struct resolver *r)
{
	struct channel *best = &r->channels[0];
	for (size_t i = 0; i < CHANNELS && best->asking > 0; i++)
		if (r->channels[i].asking < best->asking)
			best = &r->channels[i];
	return best;
}

int
resolve_new(struct resolver *r, const char *host, int64_t limit_ms, resolved_fn *fn, void *data,
    struct resolve **ret)
{
	static const int types[FAMILIES] = {[FAMILY_A] = ns_t_a, [FAMILY_AAAA] = ns_t_aaaa};
	struct resolve *v = calloc(1, sizeof(*v));
	if (v == NULL)
		return -ENOMEM;
	*v = (struct resolve){.resolver = r, .fn = fn, .data = data, .failure = -ENOENT};
	v->tell = (struct deferred){.fn = on_tell, .data = v};
	if (loop_timer(r->loop, limit_ms, on_limit, v, &v->limit) < 0) {
		free(v);
		return -ENOMEM;
	}
	v->next = r->all;
	v->link = &r->all;
	if (v->next != NULL)
		v->next->link = &v->next;
	r->all = v;
	/* Counted before they are asked: c-ares may call back at once. */
	v->open = FAMILIES;
	r->asking += FAMILIES;
	for (int i = 0; i < FAMILIES; i++) {
		struct channel *c = least_busy(r);
		c->asking++;
		v->questions[i] = (struct question){v, c, (enum family)i};
		ares_query(c->ares, host, ns_c_in, types[i], on_answer, &v->questions[i]);
	}
	keep_ticking(r);
	*ret = v;
	return 0;
}

struct resolve *
resolve_cancel(struct resolve *v)
{
	if (v == NULL)
		return NULL;
	v->told = v->ended = true;
	v->limit = timer_cancel(v->limit);
	v->delay = timer_cancel(v->delay);
	free_if_done(v);
	return NULL;
}

/* ---- life ---- */

/* Everything is said here, so that c-ares looks into no file; also not into HOSTALIASES. */
static int
open_channel(struct channel *c, const char *servers)
{
	static char lookups[] = "b";
	struct ares_options options = {
	    .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
	    .timeout = TRY_MS,
	    .tries = TRIES,
	    .ndots = 0,
	    .lookups = lookups,
	    .sock_state_cb = on_socket_state,
	    .sock_state_cb_data = c,
	};
	int status = ares_init_options(&c->ares, &options,
	    ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS |
		ARES_OPT_LOOKUPS | ARES_OPT_DOMAINS | ARES_OPT_NOROTATE | ARES_OPT_SOCK_STATE_CB);
	if (status == ARES_SUCCESS)
		status = ares_set_servers_ports_csv(c->ares, servers);
	return status;
}

int
resolver_new(const char *servers, struct resolver **ret, struct error *err)
{
	struct resolver *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return error_set(err, ENOMEM, "no_memory", "out of memory");
	int status = ares_library_init(ARES_LIB_INIT_ALL);
	for (size_t i = 0; i < CHANNELS && status == ARES_SUCCESS; i++) {
		r->channels[i].resolver = r;
		status = open_channel(&r->channels[i], servers);
	}
	if (status == ARES_SUCCESS) {
		*ret = r;
		return 0;
	}
	resolver_free(r);
	return error_set(
	    err, EINVAL, "start_failed", "the resolver (%s): %s", servers, ares_strerror(status));
}

void
resolver_start(struct resolver *r, struct loop *loop)
{
	r->loop = loop;
}

struct resolver *
resolver_free(struct resolver *r)
{
	if (r == NULL)
		return NULL;
	r->closing = true;
	for (size_t i = 0; i < CHANNELS; i++)
		if (r->channels[i].ares != NULL)
			ares_destroy(r->channels[i].ares);
	r->tick = timer_cancel(r->tick);
	while (r->all != NULL)
		resolve_free(r->all);
	free(r->watches);
	ares_library_cleanup();
	free(r);
	return NULL;
}
