/* How often, and how many at a time: what a rule's limits allow one sandbox, counted where it is decided. */
#include "arbiter/net.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

#define MINUTE_NS 60000000000LL
#define RATES_MAX 256 /* rules of one sandbox that are counted; the least used gives way */

/* The actions of one sandbox under one rule in this minute. */
struct net_rate {
	struct net_rate *next;
	int64_t since_ns, n;
	char rule[]; /* its name */
};

/* The counter of RULE, first in the list from now on; NULL without memory. */
static struct net_rate *
rate_of(struct binding *binding, const char *rule)
{
	struct net_rate **at = &binding->rates;
	unsigned passed = 0;
	while (*at != NULL && strcmp((*at)->rule, rule) != 0) {
		if (++passed >= RATES_MAX && (*at)->next == NULL) {
			free(*at);
			*at = NULL;
			break;
		}
		at = &(*at)->next;
	}
	struct net_rate *rate = *at;
	if (rate != NULL)
		*at = rate->next;
	else {
		size_t len = strlen(rule) + 1;
		rate = calloc(1, sizeof(*rate) + len);
		if (rate == NULL)
			return NULL;
		memcpy(rate->rule, rule, len);
	}
	rate->next = binding->rates;
	binding->rates = rate;
	return rate;
}

void
net_rates_free(struct binding *binding)
{
	while (binding->rates != NULL) {
		struct net_rate *rate = binding->rates;
		binding->rates = rate->next;
		free(rate);
	}
}

/* Those of BINDING's that RULE permitted and that are not over. */
static int64_t
under_way(const struct binding *binding, const char *rule)
{
	int64_t n = 0;
	for (const struct action *a = binding->arbiter->actions.first; a != NULL; a = a->next)
		n += a->binding == binding && a->decision != NULL &&
		    strcmp(json_get_str(a->decision, "rule", ""), rule) == 0;
	return n;
}

bool
net_rate_admits(struct binding *binding, const char *rule, const struct json *limits,
    char *ret_reason, size_t size)
{
	int64_t per_minute = json_get_int(limits, "per_minute", 0);
	int64_t at_once = json_get_int(limits, "at_once", 0);
	if (at_once > 0 && under_way(binding, rule) >= at_once) {
		(void)snprintf(
		    ret_reason, size, "rule %s allows %lld at one time", rule, (long long)at_once);
		return false;
	}
	if (per_minute <= 0)
		return true;
	struct net_rate *rate = rate_of(binding, rule);
	int64_t now = clock_monotonic_ns();
	if (rate != NULL && (rate->since_ns == 0 || now - rate->since_ns >= MINUTE_NS)) {
		rate->since_ns = now;
		rate->n = 0;
	}
	if (rate != NULL && rate->n < per_minute) {
		rate->n++;
		return true;
	}
	(void)snprintf(ret_reason, size, "rule %s allows %lld in a minute, and they are used up",
	    rule, (long long)per_minute);
	return false;
}
