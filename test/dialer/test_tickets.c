/* What was used is remembered until it expires, in bounded memory. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dialer/tickets.h"

#define NOW 1000000000000LL

static int
use(struct tickets *t, const char *id, int connections, int64_t expires_ms, int64_t now_ms)
{
	struct ticket ticket = {.connections = connections, .expires_ms = expires_ms};
	struct error err = {.code = ""};
	(void)snprintf(ticket.id, sizeof(ticket.id), "%s", id);
	int r = tickets_use(t, &ticket, now_ms, &err);
	if (r < 0)
		assert_string_equal(err.code, "ticket_refused");
	return r;
}

static int
use_number(struct tickets *t, unsigned number, int64_t expires_ms, int64_t now_ms)
{
	char id[32];
	(void)snprintf(id, sizeof(id), "t-%u", number);
	return use(t, id, 1, expires_ms, now_ms);
}

static void
a_ticket_is_good_as_often_as_it_says(void **state)
{
	struct tickets *t = tickets_new(100);
	assert_int_equal(use(t, "one", 1, NOW + 1000, NOW), 0);
	assert_int_equal(use(t, "one", 1, NOW + 1000, NOW), -EACCES);
	for (int i = 0; i < 3; i++)
		assert_int_equal(use(t, "three", 3, NOW + 1000, NOW), 0);
	assert_int_equal(use(t, "three", 3, NOW + 1000, NOW), -EACCES);
	assert_int_equal(use(t, "one", 1, NOW + 1000, NOW), -EACCES);
	tickets_free(t);
}

static void
none_of_many_is_forgotten_before_it_expires(void **state)
{
	struct tickets *t = tickets_new(TICKETS_MAX);
	for (unsigned i = 0; i < 20000; i++)
		assert_int_equal(use_number(t, i, NOW + 1000 + i, NOW), 0);
	for (unsigned i = 0; i < 20000; i++)
		assert_int_equal(use_number(t, i, NOW + 1000 + i, NOW + i), -EACCES);
	assert_int_equal(tickets_count(t), 20000);
	tickets_free(t);
}

static void
a_full_table_refuses_until_something_expires(void **state)
{
	struct tickets *t = tickets_new(3000);
	unsigned n = 0;
	while (use_number(t, n, NOW + 1000 + n, NOW) == 0)
		n++;
	assert_int_equal(n, 3000);
	assert_int_equal(use_number(t, 5000, NOW + 9000, NOW + 999), -EACCES);
	/* What is remembered still is. */
	assert_int_equal(use_number(t, 2999, NOW + 3999, NOW + 1000), -EACCES);
	assert_int_equal(use_number(t, 5000, NOW + 9000, NOW + 1000), 0);
	assert_int_equal(use_number(t, 5000, NOW + 9000, NOW + 1000), -EACCES);
	tickets_free(t);
}

static void
the_table_stays_small_when_tickets_expire(void **state)
{
	struct tickets *t = tickets_new(4096);
	for (unsigned i = 0; i < 200000; i++)
		assert_int_equal(use_number(t, i, NOW + i + 100, NOW + i), 0);
	assert_true(tickets_count(t) <= 4096);
	for (unsigned i = 199900; i < 200000; i++)
		assert_int_equal(use_number(t, i, NOW + i + 100, NOW + 199999), -EACCES);
	tickets_free(t);
}

static void
the_clock_never_goes_back(void **state)
{
	struct tickets *t = tickets_new(10);
	assert_int_equal(tickets_now_ms(t, NOW), NOW);
	assert_int_equal(tickets_now_ms(t, NOW + 5), NOW + 5);
	assert_int_equal(tickets_now_ms(t, NOW - 100000), NOW + 5);
	assert_false(tickets_clock_is_lost(t, NOW));
	assert_false(tickets_clock_is_lost(t, NOW - 4000));
	assert_true(tickets_clock_is_lost(t, NOW - 6000));
	tickets_free(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_ticket_is_good_as_often_as_it_says),
	    cmocka_unit_test(none_of_many_is_forgotten_before_it_expires),
	    cmocka_unit_test(a_full_table_refuses_until_something_expires),
	    cmocka_unit_test(the_table_stays_small_when_tickets_expire),
	    cmocka_unit_test(the_clock_never_goes_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
