/* Proposals that are well formed, and one for each way of not being so. */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "action/action.h"
#include "base/macros.h"

#define RECORD(kind, request) "{\"kind\":\"" kind "\",\"target\":\"t\",\"request\":" request "}"
#define EXEC(members) RECORD("exec", "{\"program\":\"/bin/true\",\"argv\":[\"true\"]" members "}")

static int
validate(const char *text, struct error *err)
{
	_cleanup_json_ struct json *v = NULL;
	*err = (struct error){0};
	assert_int_equal(json_parse(text, strlen(text), &v, NULL), 0);
	return action_validate(v, err);
}

static const char *const good[] = {
    EXEC(""),
    EXEC(",\"resolved\":\"/usr/bin/true\",\"cwd\":\"/\",\"env\":[\"A\",\"B\"]"),
    EXEC(",\"cwd\":null"),
    RECORD("net", "{\"host\":\"a.example\",\"port\":443,\"protocol\":\"tcp\"}"),
    RECORD("http",
	"{\"scheme\":\"https\",\"host\":\"a\",\"port\":443,\"method\":\"GET\",\"path\":\"/x\","
	"\"query\":\"\",\"headers\":{\"accept\":\"*/*\"},\"body_bytes\":0}"),
    RECORD("sql",
	"{\"database\":\"crm\",\"text\":\"SELECT 1\",\"statements\":[{\"verb\":\"select\","
	"\"tables\":[\"t\"],\"columns\":[],\"functions\":[],\"where\":false}]}"),
    RECORD("tool", "{\"tool\":\"t\",\"arguments\":{\"x\":[1,{\"y\":null}]}}"),
    RECORD("model", "{\"provider\":\"p\",\"model\":\"m\",\"tokens\":1000}"),
    RECORD("git",
	"{\"host\":\"h\",\"repository\":\"a/b\",\"operation\":\"push\","
	"\"refs\":[{\"name\":\"refs/heads/x\",\"force\":false,\"delete\":false}]}"),
    RECORD("file", "{\"operation\":\"commit\",\"paths\":[\"a\",\"b/c\"],\"bytes\":12}"),
    "{\"id\":\"x\",\"task\":\"t\",\"sandbox\":\"s\",\"tenant\":\"n\",\"principal\":{\"uid\":1},"
    "\"plan\":\"p\","
    "\"step\":1,\"kind\":\"tool\",\"target\":\"t\",\"request\":{\"tool\":\"x\"},\"effect\":"
    "\"write\","
    "\"reversible\":false,\"opaque\":true,\"impact\":{},\"facts\":{},\"idempotency_key\":\"k\"}",
};

static void
proposals_of_every_kind_are_accepted(void **state)
{
	struct error err;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		if (validate(good[i], &err) < 0)
			fail_msg("%s: %s", good[i], err.message);
}

struct bad {
	const char *text, *message;
};

static const struct bad bad[] = {
    {"[]", "action: must be an object"},
    {"{}", "action: kind: is missing"},
    {"{\"kind\":\"exec\",\"target\":\"t\"}", "action: request: is missing"},
    {"{\"kind\":\"exec\",\"request\":{}}", "action: target: is missing"},
    {RECORD("shell", "{}"), "action: kind: is not a kind of action"},
    {"{\"kind\":1,\"target\":\"t\",\"request\":{}}", "action: kind: must be a string"},
    {"{\"kind\":\"exec\",\"target\":\"\",\"request\":{}}", "action: target: must not be empty"},
    {"{\"kind\":\"exec\",\"target\":\"t\",\"request\":[]}", "action: request: must be an object"},
    {"{\"kind\":\"exec\",\"target\":\"t\",\"request\":{},\"x\":1}", "action: x: unknown member"},
    {"{\"kind\":\"exec\",\"target\":\"t\",\"request\":{},\"effect\":\"none\"}",
	"action: effect: is not one of the known values"},
    {"{\"kind\":\"exec\",\"target\":\"t\",\"request\":{},\"opaque\":1}",
	"action: opaque: must be true or false"},
    {RECORD("exec", "{\"argv\":[\"x\"]}"), "action: request.program: is missing"},
    {RECORD("exec", "{\"program\":null,\"argv\":[\"x\"]}"),
	"action: request.program: must be a string"},
    {RECORD("exec", "{\"program\":\"bin\",\"argv\":[\"x\"]}"),
	"action: request.program: must be an absolute path"},
    {RECORD("exec", "{\"program\":\"/a\\u0000b\",\"argv\":[\"x\"]}"),
	"action: request.program: contains a NUL byte"},
    {RECORD("exec", "{\"program\":\"/a\",\"argv\":[]}"), "action: request.argv: has too few items"},
    {RECORD("exec", "{\"program\":\"/a\",\"argv\":\"x\"}"),
	"action: request.argv: must be an array"},
    {RECORD("exec", "{\"program\":\"/a\",\"argv\":[\"x\",1]}"),
	"action: request.argv[1]: must be a string"},
    {RECORD("exec", "{\"program\":\"/a\",\"argv\":[\"x\\u0000y\"]}"),
	"action: request.argv[0]: contains a NUL byte"},
    {EXEC(",\"\\u001b[2J\":true"), "action: request.\\x1b[2J: unknown member"},
    {EXEC(",\"shell\":true"), "action: request.shell: unknown member"},
    {RECORD("net", "{\"host\":\"a\",\"port\":0}"), "action: request.port: is out of range"},
    {RECORD("net", "{\"host\":\"a\",\"port\":65536}"), "action: request.port: is out of range"},
    {RECORD("net", "{\"host\":\"a\",\"port\":\"443\"}"),
	"action: request.port: must be an integer"},
    {RECORD("net", "{\"host\":\"a\",\"port\":1,\"protocol\":\"udp\"}"),
	"action: request.protocol: is not one of the known values"},
    {RECORD("http", "{\"scheme\":\"https\",\"host\":\"a\",\"method\":\"GET\",\"path\":\"x\"}"),
	"action: request.path: must be an absolute path"},
    {RECORD("http", "{\"scheme\":\"ftp\",\"host\":\"a\",\"method\":\"GET\",\"path\":\"/\"}"),
	"action: request.scheme: is not one of the known values"},
    {RECORD("http",
	 "{\"scheme\":\"http\",\"host\":\"a\",\"method\":\"GET\",\"path\":\"/\","
	 "\"headers\":{\"a\":1}}"),
	"action: request.headers[0]: must be a string"},
    {RECORD("http",
	 "{\"scheme\":\"http\",\"host\":\"a\",\"method\":\"GET\",\"path\":\"/\","
	 "\"headers\":[]}"),
	"action: request.headers: must be an object"},
    {RECORD("sql", "{\"database\":\"d\",\"text\":\"x\",\"statements\":[1]}"),
	"action: request.statements[0]: must be an object"},
    {RECORD("sql", "{\"database\":\"d\",\"text\":\"x\",\"statements\":[{}]}"),
	"action: request.statements[0].verb: is missing"},
    {RECORD("sql", "{\"database\":\"d\",\"text\":\"x\",\"statements\":{}}"),
	"action: request.statements: must be an array"},
    {RECORD("sql",
	 "{\"database\":\"d\",\"text\":\"x\",\"statements\":[{\"verb\":\"v\",\"where\":0}]}"),
	"action: request.statements[0].where: must be true or false"},
    {RECORD("tool", "{\"tool\":\"t\",\"arguments\":[]}"),
	"action: request.arguments: must be an object"},
    {RECORD("model", "{\"provider\":\"p\",\"model\":\"m\",\"tokens\":-1}"),
	"action: request.tokens: is out of range"},
    {RECORD("git", "{\"host\":\"h\",\"repository\":\"r\",\"operation\":\"clone\"}"),
	"action: request.operation: is not one of the known values"},
    {RECORD("file", "{\"operation\":\"write\",\"paths\":\"a\"}"),
	"action: request.paths: must be an array"},
};

static void
every_other_shape_is_refused_with_field_and_reason(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct error err;
		if (validate(bad[i].text, &err) != -EINVAL)
			fail_msg("accepted: %s", bad[i].text);
		assert_string_equal(err.code, "action_invalid");
		assert_string_equal(err.message, bad[i].message);
	}
	assert_int_equal(action_validate(NULL, NULL), -EINVAL);
}

/* An exec proposal with N arguments of LEN bytes each. */
static struct json *
exec_with_arguments(size_t n, size_t len)
{
	char *text = calloc(1, len + 1);
	memset(text, 'x', len);
	struct json *argv = json_new_array();
	for (size_t i = 0; i < n; i++)
		json_push(argv, json_new_string(text));
	free(text);
	struct json *request = json_new_object(), *action = json_new_object();
	json_set_str(request, "program", "/bin/true");
	json_set(request, "argv", argv);
	json_set_str(action, "kind", "exec");
	json_set_str(action, "target", "/bin/true");
	json_set(action, "request", request);
	return action;
}

static void
arguments_are_bounded_in_number_and_in_all(void **state)
{
	struct {
		size_t n, len;
		int result;
	} cases[] = {{4096, 1, 0}, {4097, 1, -EINVAL}, {1, 128 * 1024 - 1, 0},
	    {1, 128 * 1024, -EINVAL}, {64, 2047, 0}, {64, 2048, -EINVAL}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ struct json *v = exec_with_arguments(cases[i].n, cases[i].len);
		assert_int_equal(action_validate(v, NULL), cases[i].result);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(proposals_of_every_kind_are_accepted),
	    cmocka_unit_test(every_other_shape_is_refused_with_field_and_reason),
	    cmocka_unit_test(arguments_are_bounded_in_number_and_in_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
