/* What a policy says about the network beside its decisions: where anything could be reached at all, which
 * ports a sandbox needs listeners for, and the terms on which a rule's actions are performed.
 *
 * Nothing here permits anything: each connection, request and push is decided by policy_decide. Reach only
 * spares names and ports that no decision could permit from existing inside. */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "policy/match.h"
#include "policy/network.h"
#include "policy/patterns.h"

#define PORT_DNS 53

static bool
is_network(enum action_kind kind)
{
	return kind == ACTION_NET || kind == ACTION_HTTP || kind == ACTION_GIT;
}

static bool
permits_network(const struct rule *rule)
{
	return is_network(rule->kind) && rule->effect != VERDICT_DENY;
}

bool
network_needed(const struct policy *policy)
{
	for (size_t i = 0; i < policy->n_rules; i++)
		if (permits_network(&policy->rules[i]))
			return true;
	return false;
}

bool
rule_speaks(const struct rule *rule, const char *scheme)
{
	if (rule->schemes.mode == LIST_ABSENT)
		return strcmp(scheme, "https") == 0;
	return list_has(&rule->schemes, scheme, text_same);
}

bool
ports_have(const struct ports *ports, int64_t port)
{
	for (size_t i = 0; i < ports->n; i++)
		if (port >= ports->items[i].low && port <= ports->items[i].high)
			return true;
	return false;
}

bool
rule_has_port(const struct rule *rule, const char *scheme, int64_t port)
{
	if (rule->ports.mode == LIST_ABSENT)
		return port == network_port_of(scheme);
	return rule->ports.mode == LIST_ANY || ports_have(&rule->ports, port);
}

int
network_port_of(const char *scheme)
{
	return strcmp(scheme, "http") == 0 ? 80 : 443;
}

/* ---- reach ---- */

/* Whether the host and port are all that RULE, a deny rule, asks about. */
static bool
denies_whole_host(const struct rule *rule)
{
	const struct list *narrow[] = {&rule->schemes, &rule->methods, &rule->paths, &rule->headers,
	    &rule->content_types, &rule->upgrades, &rule->repositories, &rule->operations,
	    &rule->branches};
	for (size_t i = 0; i < ARRAY_LEN(narrow); i++)
		if (narrow[i]->mode == LIST_ITEMS)
			return false;
	return true;
}

/* Whether a deny rule of KIND leaves nothing of that host and port. */
static bool
is_denied(const struct policy *policy, enum action_kind kind, const struct subject *s)
{
	for (size_t i = 0; i < policy->n_rules; i++) {
		const struct rule *rule = &policy->rules[i];
		if (rule->kind != kind || rule->effect != VERDICT_DENY ||
		    !denies_whole_host(rule) || !host_touched(rule, s))
			continue;
		if (rule->ports.mode != LIST_ITEMS ||
		    (s->port > 0 && ports_have(&rule->ports, s->port)))
			return true;
	}
	return false;
}

static bool
reaches_scheme(const struct rule *rule, const char *scheme, int64_t port)
{
	return rule_speaks(rule, scheme) && (port == 0 || rule_has_port(rule, scheme, port));
}

struct policy_reach
policy_reach(const struct policy *policy, const char *host, int port)
{
	struct policy_reach reach = {.raw = false};
	struct subject s = {.host = host, .host_plain = host_is_plain(host), .port = port};
	bool denied[ACTION_KINDS] = {[ACTION_NET] = is_denied(policy, ACTION_NET, &s),
	    [ACTION_HTTP] = is_denied(policy, ACTION_HTTP, &s),
	    [ACTION_GIT] = is_denied(policy, ACTION_GIT, &s)};
	for (size_t i = 0; i < policy->n_rules; i++) {
		const struct rule *rule = &policy->rules[i];
		if (!permits_network(rule) || denied[rule->kind] || !host_permitted(rule, &s))
			continue;
		if (rule->kind == ACTION_NET) {
			reach.raw = reach.raw || port == 0 || rule->ports.mode != LIST_ITEMS ||
			    ports_have(&rule->ports, port);
			continue;
		}
		bool plain = reaches_scheme(rule, "http", port);
		bool intercept = reaches_scheme(rule, "https", port);
		reach.plain = reach.plain || plain;
		reach.intercept = reach.intercept || intercept;
		reach.git = reach.git || (rule->kind == ACTION_GIT && (plain || intercept));
	}
	return reach;
}

/* ---- ports of a sandbox ---- */

/* The ports that get listeners; a set, since a policy may name all 65535. */
struct port_set {
	uint8_t bits[65536 / 8];
	unsigned n;
};

static bool
set_has(const struct port_set *set, unsigned port)
{
	return (set->bits[port / 8] >> (port % 8) & 1) != 0;
}

static void
set_add(struct port_set *set, unsigned port)
{
	if (port == PORT_DNS || set_has(set, port))
		return;
	set->bits[port / 8] |= (uint8_t)(1u << (port % 8));
	set->n++;
}

/* A range whole or not at all: half of one would be a surprise. */
static void
set_add_range(struct port_set *set, struct port_range range)
{
	unsigned added = 0;
	for (unsigned port = range.low; port <= range.high; port++)
		added += port != PORT_DNS && !set_has(set, port);
	if (set->n + added > NETWORK_PORTS_MAX)
		return;
	for (unsigned port = range.low; port <= range.high; port++)
		set_add(set, port);
}

/* RULE's ports that stand alone, or its ranges. */
static void
add_rule_ports(struct port_set *set, const struct rule *rule, bool single)
{
	static const char *const schemes[] = {"https", "http"};
	if (single && rule->ports.mode != LIST_ITEMS && rule->kind != ACTION_NET)
		for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
			if (rule_speaks(rule, schemes[i])) {
				unsigned port = (unsigned)network_port_of(schemes[i]);
				set_add_range(
				    set, (struct port_range){(uint16_t)port, (uint16_t)port});
			}
	for (size_t i = 0; i < rule->ports.n; i++)
		if ((rule->ports.items[i].low == rule->ports.items[i].high) == single)
			set_add_range(set, rule->ports.items[i]);
}

/* Single ports first, then ranges, both in the policy's order. */
static void
collect_ports(const struct policy *policy, struct port_set *set)
{
	for (int single = 1; single >= 0; single--)
		for (size_t i = 0; i < policy->n_rules; i++)
			if (permits_network(&policy->rules[i]))
				add_rule_ports(set, &policy->rules[i], single == 1);
}

struct json *
network_json(const struct policy *policy)
{
	struct port_set set = {.n = 0};
	collect_ports(policy, &set);
	struct json *v = json_new_object(), *ports = json_new_array();
	for (unsigned port = 1; port <= 65535; port++)
		if (set_has(&set, port))
			(void)json_push(ports, json_new_int(port));
	unsigned proxy = NETWORK_PROXY_PORT;
	while (set_has(&set, proxy))
		proxy++;
	(void)json_set_int(v, "proxy_port", proxy);
	if (json_set(v, "ports", ports) < 0) {
		json_free(v);
		return NULL;
	}
	return v;
}

/* Whether RULE names ports that have no listener. */
static bool
misses_ports(const struct rule *rule, const struct port_set *set)
{
	if (rule->ports.mode == LIST_ANY)
		return true;
	for (size_t i = 0; i < rule->ports.n; i++)
		for (unsigned p = rule->ports.items[i].low; p <= rule->ports.items[i].high; p++)
			if (!set_has(set, p))
				return true;
	return false;
}

void
policy_notes(const struct policy *policy, struct buf *notes)
{
	struct port_set set = {.n = 0};
	collect_ports(policy, &set);
	for (size_t i = 0; i < policy->n_rules; i++) {
		const struct rule *rule = &policy->rules[i];
		if (permits_network(rule) && misses_ports(rule, &set))
			(void)buf_addf(notes,
			    "rule %s: some of its ports are reached only through the proxy "
			    "(HTTPS_PROXY): a sandbox listens on %d ports at most, and on 53 there "
			    "is its resolver\n",
			    rule->name, NETWORK_PORTS_MAX);
	}
}

/* ---- terms ---- */

/* Only what rules of this kind can limit: the other members of their struct mean nothing. 0 or -ENOMEM. */
static int
add_limits(const struct rule *rule, struct json *limits)
{
	static const struct {
		const char *name;
		size_t offset;
	} terms[] = {{"body_bytes", offsetof(struct limits, body_bytes)},
	    {"bytes", offsetof(struct limits, bytes)},
	    {"bytes_per_s", offsetof(struct limits, bytes_per_s)},
	    {"at_once", offsetof(struct limits, at_once)},
	    {"per_minute", offsetof(struct limits, per_minute)},
	    {"response_bytes", offsetof(struct limits, response_bytes)},
	    {"time_ms", offsetof(struct limits, time_ms)}};
	const struct field *field = shape_field(rule_shape(rule->kind), "limits");
	int r = 0;
	for (const struct field *f = field != NULL ? field->sub->fields : NULL;
	     f != NULL && f->name != NULL; f++) {
		int64_t value = *(const int64_t *)((const char *)&rule->limits + f->offset);
		for (size_t i = 0; r == 0 && value != FIELD_UNSET && i < ARRAY_LEN(terms); i++)
			if (terms[i].offset == f->offset)
				r = json_set_int(limits, terms[i].name, value);
	}
	return r;
}

static struct json *
texts_json(const struct list *list)
{
	struct json *texts = json_new_array();
	int r = texts == NULL ? -ENOMEM : 0;
	for (size_t i = 0; r == 0 && i < list->n; i++)
		r = json_push(texts, json_new_string(list->items[i]));
	return r < 0 ? json_free(texts) : texts;
}

/* Half of the terms would be other terms: a pin or a limit that is missing permits more. */
static int
add_terms(const struct rule *rule, struct json *v)
{
	struct json *limits = json_new_object();
	int r = add_limits(rule, limits);
	if (r == 0 && rule->responses.mode == LIST_ITEMS)
		r = json_set(limits, "response_types", texts_json(&rule->responses));
	int set = json_set(v, "limits", limits);
	if (r == 0)
		r = set;
	if (r == 0 && rule->credential != NULL)
		r = json_set_str(v, "credential", rule->credential);
	if (r < 0 || rule->addresses.n == 0)
		return r;
	return json_set(v, "addresses", texts_json(&rule->addresses));
}

struct json *
policy_rule_terms(const struct policy *policy, const char *name)
{
	const struct rule *rule = NULL;
	for (size_t i = 0; name != NULL && rule == NULL && i < policy->n_rules; i++)
		if (strcmp(policy->rules[i].name, name) == 0)
			rule = &policy->rules[i];
	if (rule == NULL)
		return NULL;
	struct json *v = json_new_object();
	return v != NULL && add_terms(rule, v) == 0 ? v : json_free(v);
}
