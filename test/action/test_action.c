/* Names, the state machine against the design's own list, and the digest. */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "action/action.h"
#include "base/macros.h"

static void
names_and_values_belong_together(void **state)
{
	for (int i = 0; i < ACTION_KINDS; i++)
		assert_int_equal(action_kind_parse(action_kind_name(i)), i);
	for (int i = 0; i < EFFECTS; i++)
		assert_int_equal(action_effect_parse(action_effect_name(i)), i);
	for (int i = 0; i < ACTION_STATES; i++)
		assert_int_equal(action_state_parse(action_state_name(i)), i);
	assert_null(action_kind_name(ACTION_KINDS));
	assert_null(action_effect_name(EFFECTS));
	assert_null(action_state_name(ACTION_STATES));
	assert_int_equal(action_kind_parse("Exec"), -EINVAL);
	assert_int_equal(action_kind_parse(NULL), -EINVAL);
	assert_int_equal(action_effect_parse(""), -EINVAL);
	assert_int_equal(action_state_parse("done"), -EINVAL);
}

/* The design's transitions, written out a second time, as text. */
static const char *const allowed[] = {"proposed reviewing", "proposed approved", "proposed denied",
    "proposed revoked", "reviewing approved", "reviewing rejected", "reviewing expired",
    "reviewing revoked", "reviewing invalidated", "reviewing denied", "approved claimed",
    "approved expired", "approved revoked", "approved invalidated", "approved denied",
    "claimed performing", "claimed revoked", "claimed unknown", "performing succeeded",
    "performing failed", "performing unknown", "performing revoked", "succeeded compensating",
    "failed compensating", "unknown compensating", "compensating compensated",
    "compensating failed", "compensating unknown"};

static bool
is_allowed(const char *from, const char *to)
{
	for (size_t i = 0; i < ARRAY_LEN(allowed); i++) {
		const char *blank = strchr(allowed[i], ' ');
		size_t n = (size_t)(blank - allowed[i]);
		if (strlen(from) == n && strncmp(allowed[i], from, n) == 0 &&
		    strcmp(blank + 1, to) == 0)
			return true;
	}
	return false;
}

static void
the_state_machine_has_the_transitions_of_the_design_and_no_other(void **state)
{
	for (int from = 0; from < ACTION_STATES; from++)
		for (int to = 0; to < ACTION_STATES; to++)
			assert_int_equal(action_can_go(from, to),
			    is_allowed(action_state_name(from), action_state_name(to)));
	assert_false(action_can_go(ACTION_STATES, STATE_DENIED));
	assert_false(action_can_go(STATE_PROPOSED, ACTION_STATES));
}

static void
final_states_are_those_that_nothing_leaves(void **state)
{
	assert_true(action_is_final(STATE_DENIED));
	assert_true(action_is_final(STATE_REJECTED));
	assert_true(action_is_final(STATE_EXPIRED));
	assert_true(action_is_final(STATE_REVOKED));
	assert_true(action_is_final(STATE_INVALIDATED));
	assert_true(action_is_final(STATE_COMPENSATED));
	assert_false(action_is_final(STATE_SUCCEEDED)); /* it can be undone */
	assert_false(action_is_final(STATE_PROPOSED));
	assert_false(action_is_final(ACTION_STATES));
}

static struct json *
parse(const char *text)
{
	struct json *v;
	assert_int_equal(json_parse(text, strlen(text), &v, NULL), 0);
	return v;
}

static void
digest_of(const char *text, const char *key, char ret[SHA256_HEX])
{
	_cleanup_json_ struct json *v = parse(text);
	assert_int_equal(action_digest(v, (const uint8_t *)key, strlen(key), ret), 0);
}

static void
the_digest_is_the_keyed_hash_of_the_canonical_request(void **state)
{
	const char *text =
	    "{\"target\":\"/bin/true\",\"kind\":\"exec\",\"request\":{\"b\":2,\"a\":1}}";
	const char *hashed =
	    "{\"kind\":\"exec\",\"request\":{\"a\":1,\"b\":2},\"target\":\"/bin/true\"}";
	char digest[SHA256_HEX], expected[SHA256_HEX];
	uint8_t raw[SHA256_BYTES];
	digest_of(text, "key", digest);
	hmac_sha256("key", 3, hashed, strlen(hashed), raw);
	hex_encode(raw, sizeof(raw), expected);
	assert_string_equal(digest, expected);
}

static void
the_digest_depends_on_request_and_key_and_on_nothing_else(void **state)
{
	char a[SHA256_HEX], b[SHA256_HEX];
	digest_of(
	    "{\"kind\":\"exec\",\"target\":\"t\",\"request\":{\"a\":1},\"state\":\"proposed\"}",
	    "k", a);
	digest_of(
	    "{\"request\":{\"a\":1},\"kind\":\"exec\",\"target\":\"t\",\"id\":\"x\"}", "k", b);
	assert_string_equal(a, b);
	static const char *const others[] = {
	    "{\"kind\":\"exec\",\"target\":\"t\",\"request\":{\"a\":2}}",
	    "{\"kind\":\"exec\",\"target\":\"u\",\"request\":{\"a\":1}}",
	    "{\"kind\":\"file\",\"target\":\"t\",\"request\":{\"a\":1}}"};
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		digest_of(others[i], "k", b);
		assert_string_not_equal(a, b);
	}
	digest_of("{\"kind\":\"exec\",\"target\":\"t\",\"request\":{\"a\":1}}", "other key", b);
	assert_string_not_equal(a, b);
}

static void
without_its_parts_there_is_no_digest(void **state)
{
	char digest[SHA256_HEX];
	static const char *const parts[] = {"{}", "[]", "{\"kind\":\"exec\",\"target\":\"t\"}"};
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		_cleanup_json_ struct json *v = parse(parts[i]);
		assert_int_equal(action_digest(v, (const uint8_t *)"k", 1, digest), -EINVAL);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names_and_values_belong_together),
	    cmocka_unit_test(the_state_machine_has_the_transitions_of_the_design_and_no_other),
	    cmocka_unit_test(final_states_are_those_that_nothing_leaves),
	    cmocka_unit_test(the_digest_is_the_keyed_hash_of_the_canonical_request),
	    cmocka_unit_test(the_digest_depends_on_request_and_key_and_on_nothing_else),
	    cmocka_unit_test(without_its_parts_there_is_no_digest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
