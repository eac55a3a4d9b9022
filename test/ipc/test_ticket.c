/* Tickets: what the arbiter signed is good for that gateway until it expires; nothing else is good for anyone. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "ipc/ticket.h"

#define NOW 1000000000000LL

static const uint8_t key[TICKET_KEY_BYTES] = "a key of thirty-two bytes, yes!";

static struct ticket
example(void)
{
	return (struct ticket){.id = "t-1",
	    .gateway = 7,
	    .sandbox = "sbx-1",
	    .action_id = "act-1",
	    .host = "example.org",
	    .port = 443,
	    .expires_ms = NOW + 30000,
	    .connections = 2};
}

static struct json *
sign(const struct ticket *t, char mac[SHA256_HEX])
{
	struct json *object = NULL;
	assert_int_equal(ticket_sign(key, t, &object, mac), 0);
	return object;
}

static struct json *
parse(const char *text)
{
	struct json *v = NULL;
	struct error err;
	assert_int_equal(json_parse(text, strlen(text), &v, &err), 0);
	return v;
}

/* Signs any OBJECT, as an arbiter gone wrong would. */
static void
sign_object(const struct json *object, char mac[SHA256_HEX])
{
	struct buf text;
	uint8_t bytes[SHA256_BYTES];
	buf_init(&text, 1 << 20);
	assert_int_equal(json_write(object, &text), 0);
	hmac_sha256(key, sizeof(key), text.data, text.len, bytes);
	hex_encode(bytes, sizeof(bytes), mac);
	buf_done(&text);
}

static void
assert_refused(const struct json *object, const char *mac, const char *why)
{
	struct ticket t;
	struct error err = {.code = ""};
	assert_int_equal(ticket_check(key, object, mac, 7, NOW, &t, &err), -EACCES);
	assert_string_equal(err.code, "ticket_refused");
	if (strstr(err.message, why) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", err.message, why);
}

static void
a_signed_ticket_reads_back_as_it_was(void **state)
{
	struct ticket t = example(), back;
	struct error err;
	char mac[SHA256_HEX];
	t.addresses = parse("[\"10.0.0.0/8\",\"::1\"]");
	struct json *object = sign(&t, mac);
	assert_int_equal(ticket_check(key, object, mac, 7, NOW, &back, &err), 0);
	assert_string_equal(back.id, "t-1");
	assert_int_equal(back.gateway, 7);
	assert_string_equal(back.sandbox, "sbx-1");
	assert_string_equal(back.action_id, "act-1");
	assert_string_equal(back.host, "example.org");
	assert_int_equal(back.port, 443);
	assert_int_equal(back.expires_ms, NOW + 30000);
	assert_int_equal(back.connections, 2);
	assert_true(json_equal(back.addresses, t.addresses));
	ticket_done(&back);
	ticket_done(&t);
	json_free(object);
}

static void
the_order_of_members_does_not_matter(void **state)
{
	struct ticket t = example(), back;
	struct error err;
	char mac[SHA256_HEX];
	struct json *object = sign(&t, mac);
	struct json *other = parse(
	    "{\"port\":443,\"connections\":2,\"host\":\"example.org\",\"expires_ms\":1000000030000,"
	    "\"action_id\":\"act-1\",\"sandbox\":\"sbx-1\",\"gateway\":7,\"id\":\"t-1\"}");
	assert_int_equal(ticket_check(key, other, mac, 7, NOW, &back, &err), 0);
	assert_null(back.addresses);
	ticket_done(&back);
	json_free(object);
	json_free(other);
}

static void
no_member_can_be_changed_added_or_left_out(void **state)
{
	static const char *const changes[] = {"{\"id\":\"t-2\"}", "{\"gateway\":8}",
	    "{\"sandbox\":\"sbx-2\"}", "{\"action_id\":\"act-2\"}", "{\"host\":\"example.com\"}",
	    "{\"port\":22}", "{\"expires_ms\":1000000030001}", "{\"connections\":3}",
	    "{\"addresses\":[\"10.0.0.0/8\"]}", "{\"addresses\":null}", "{\"x\":1}"};
	struct ticket t = example();
	char mac[SHA256_HEX], other[SHA256_HEX];
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		struct json *object = sign(&t, mac), *change = parse(changes[i]);
		json_set(object, json_name_at(change, 0), json_copy(json_at(change, 0)));
		assert_refused(object, mac, "did not sign");
		json_free(object);
		json_free(change);
	}
	struct json *object = sign(&t, mac);
	for (size_t i = 0; i < json_len(object); i++) {
		struct json *less = json_copy(object);
		json_unset(less, json_name_at(object, i));
		assert_refused(less, mac, "did not sign");
		sign_object(less, other);
		assert_refused(less, other, "malformed");
		json_free(less);
	}
	json_free(object);
}

static void
a_mac_of_another_key_form_or_length_is_refused(void **state)
{
	struct ticket t = example();
	char mac[SHA256_HEX], wrong[2 * SHA256_HEX];
	struct json *object = sign(&t, mac);
	for (size_t i = 0; i < SHA256_HEX - 1; i++) {
		memcpy(wrong, mac, sizeof(mac));
		wrong[i] = wrong[i] == '0' ? '1' : '0';
		assert_refused(object, wrong, "did not sign");
	}
	(void)snprintf(wrong, sizeof(wrong), "%s0", mac);
	assert_refused(object, wrong, "malformed");
	wrong[10] = '\0';
	assert_refused(object, wrong, "malformed");
	assert_refused(object, "", "malformed");
	assert_refused(object, NULL, "malformed");
	assert_refused(NULL, mac, "malformed");
	struct json *array = json_new_array();
	assert_refused(array, mac, "malformed");
	json_free(array);
	const uint8_t other_key[TICKET_KEY_BYTES] = {0};
	struct json *other = NULL;
	assert_int_equal(ticket_sign(other_key, &t, &other, wrong), 0);
	assert_refused(other, wrong, "did not sign");
	json_free(other);
	json_free(object);
}

static void
it_is_good_for_one_gateway_until_it_expires(void **state)
{
	struct ticket t = example(), back;
	struct error err;
	char mac[SHA256_HEX];
	struct json *object = sign(&t, mac);
	assert_int_equal(ticket_check(key, object, mac, 8, NOW, &back, &err), -EACCES);
	assert_non_null(strstr(err.message, "another gateway"));
	assert_int_equal(ticket_check(key, object, mac, 7, t.expires_ms - 1, &back, &err), 0);
	ticket_done(&back);
	assert_int_equal(ticket_check(key, object, mac, 7, t.expires_ms, &back, &err), -EACCES);
	assert_non_null(strstr(err.message, "expired"));
	assert_int_equal(ticket_check(key, object, mac, 7,
			     t.expires_ms - TICKET_LIFETIME_MAX_MS - 1, &back, &err),
	    -EACCES);
	assert_non_null(strstr(err.message, "too long"));
	assert_int_equal(
	    ticket_check(key, object, mac, 7, t.expires_ms - TICKET_LIFETIME_MAX_MS, &back, &err),
	    0);
	ticket_done(&back);
	json_free(object);
}

static void
what_is_out_of_bounds_is_neither_signed_nor_taken(void **state)
{
	static const char *const bad[] = {"{\"id\":\"\"}", "{\"id\":\"a b\"}", "{\"id\":1}",
	    "{\"gateway\":-1}", "{\"gateway\":\"7\"}", "{\"gateway\":4294967303}",
	    "{\"host\":\"\"}", "{\"host\":\"a\\u0000b\"}", "{\"host\":\"a\\nb\"}", "{\"port\":0}",
	    "{\"port\":65536}", "{\"port\":-1}", "{\"connections\":0}", "{\"connections\":1025}",
	    "{\"connections\":true}", "{\"expires_ms\":-1}", "{\"addresses\":\"10.0.0.0/8\"}",
	    "{\"addresses\":[1]}", "{\"addresses\":[\"\"]}", "{\"addresses\":null}",
	    "{\"unknown\":true}"};
	struct ticket t = example();
	char mac[SHA256_HEX];
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct json *object = sign(&t, mac), *change = parse(bad[i]);
		json_set(object, json_name_at(change, 0), json_copy(json_at(change, 0)));
		sign_object(object, mac);
		assert_refused(object, mac, "malformed");
		json_free(object);
		json_free(change);
	}
	struct json *none = NULL;
	struct ticket wrong[] = {t, t, t, t};
	wrong[0].id[0] = '\0';
	wrong[1].port = 65536;
	wrong[2].connections = 0;
	wrong[3].host[2] = ' ';
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(ticket_sign(key, &wrong[i], &none, mac), -EINVAL);
}

static void
pins_are_bounded_and_an_empty_list_stays_one(void **state)
{
	struct ticket t = example(), back;
	struct error err;
	char mac[SHA256_HEX];
	t.addresses = json_new_array();
	struct json *object = sign(&t, mac), *none = NULL;
	assert_int_equal(ticket_check(key, object, mac, 7, NOW, &back, &err), 0);
	assert_non_null(back.addresses);
	assert_int_equal(json_len(back.addresses), 0);
	ticket_done(&back);
	json_free(object);
	for (size_t i = 0; i < TICKET_ADDRESSES_MAX; i++)
		json_push(
		    t.addresses, json_new_string("2001:0db8:ffff:ffff:ffff:ffff:ffff:ffff/128"));
	object = sign(&t, mac);
	assert_int_equal(ticket_check(key, object, mac, 7, NOW, &back, &err), 0);
	ticket_done(&back);
	json_free(object);
	json_push(t.addresses, json_new_string("::1"));
	assert_int_equal(ticket_sign(key, &t, &none, mac), -EINVAL);
	ticket_done(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_signed_ticket_reads_back_as_it_was),
	    cmocka_unit_test(the_order_of_members_does_not_matter),
	    cmocka_unit_test(no_member_can_be_changed_added_or_left_out),
	    cmocka_unit_test(a_mac_of_another_key_form_or_length_is_refused),
	    cmocka_unit_test(it_is_good_for_one_gateway_until_it_expires),
	    cmocka_unit_test(what_is_out_of_bounds_is_neither_signed_nor_taken),
	    cmocka_unit_test(pins_are_bounded_and_an_empty_list_stays_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
