/* image/manifest.h: the documents of an image archive. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "image/manifest.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "sha256:" HEX

static struct error err;

static void
docker_manifests_name_files(void **state)
{
	static const char text[] = "[{\"Config\":\"" HEX ".json\",\"RepoTags\":[\"a:1\"],"
				   "\"Layers\":[\"x/layer.tar\",\"./blobs/sha256/" HEX "\"]}]";
	struct image_manifest m;
	(void)state;
	assert_true(manifest_is_docker(text, strlen(text)));
	assert_int_equal(manifest_parse_docker(text, strlen(text), &m, &err), 0);
	assert_string_equal(m.config.digest, HEX);
	assert_int_equal(m.n_layers, 2);
	assert_string_equal(m.layers[0].path, "x/layer.tar");
	assert_string_equal(m.layers[0].digest, "");
	assert_string_equal(m.layers[1].path, "blobs/sha256/" HEX);
	assert_string_equal(m.layers[1].digest, HEX);
	assert_string_equal(json_str(json_at(m.names, 0), ""), "a:1");
	manifest_done(&m);
}

static void
bad_docker_manifests_are_refused(void **state)
{
	static const char *const cases[] = {"", "{", "{}", "[]", "[1]", "[{}]",
	    "[{\"Config\":\"c\",\"Layers\":[]}]", "[{\"Config\":\"c\",\"Layers\":{}}]",
	    "[{\"Config\":\"/c\",\"Layers\":[\"l\"]}]",
	    "[{\"Config\":\"../c\",\"Layers\":[\"l\"]}]", "[{\"Config\":\"\",\"Layers\":[\"l\"]}]",
	    "[{\"Config\":\"c\",\"Layers\":[\"/l\"]}]",
	    "[{\"Config\":\"c\",\"Layers\":[\"a/../../l\"]}]",
	    "[{\"Config\":\"c\",\"Layers\":[1]}]", "[{\"Config\":\"c\\u0000\",\"Layers\":[\"l\"]}]",
	    "[{\"Config\":null,\"Layers\":[\"l\"]}]",
	    "[{\"Config\":\"c\",\"Layers\":[\"l\"]},{\"Config\":\"c\",\"Layers\":[\"l\"]}]"};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct image_manifest m;
		err = (struct error){0};
		assert_int_equal(
		    manifest_parse_docker(cases[i], strlen(cases[i]), &m, &err), -EBADMSG);
		assert_true(err.message[0] != 0);
		assert_null(m.layers);
	}
}

static int
choose(const char *manifests, bool *ret_index, struct image_blob *ret)
{
	char text[4096];
	_cleanup_json_ struct json *names = json_new_array();
	(void)snprintf(text, sizeof(text), "{\"schemaVersion\":2,\"manifests\":[%s]}", manifests);
	return manifest_choose(text, strlen(text), "amd64", names, ret, ret_index, &err);
}

#define FOR(os, cpu)                                                                               \
	"{\"digest\":\"" DIGEST "\",\"platform\":{\"os\":\"" os "\",\"architecture\":\"" cpu "\"}" \
	"}"

static void
an_index_is_searched_for_this_machine(void **state)
{
	struct image_blob blob;
	bool index;
	(void)state;
	assert_int_equal(choose(FOR("linux", "arm64") "," FOR("linux", "amd64"), &index, &blob), 0);
	assert_string_equal(blob.path, "blobs/sha256/" HEX);
	assert_false(index);
	assert_int_equal(choose("{\"digest\":\"" DIGEST "\"}", &index, &blob), 0);
	assert_int_equal(choose("{\"digest\":\"" DIGEST "\",\"mediaType\":"
				"\"application/vnd.oci.image.index.v1+json\"}",
			     &index, &blob),
	    0);
	assert_true(index);
	assert_int_equal(choose("", &index, &blob), -EBADMSG);
	assert_int_equal(choose(FOR("linux", "arm64"), &index, &blob), -EBADMSG);
	assert_int_equal(choose(FOR("windows", "amd64"), &index, &blob), -EBADMSG);
	assert_int_equal(
	    choose(FOR("linux", "amd64") "," FOR("linux", "amd64"), &index, &blob), -EBADMSG);
	assert_int_equal(choose("{\"digest\":\"sha512:" HEX "\"}", &index, &blob), -EBADMSG);
	assert_int_equal(
	    choose("{\"digest\":\"sha256:../../../etc/passwd\"}", &index, &blob), -EBADMSG);
	assert_int_equal(choose("{\"digest\":\"" DIGEST "0\"}", &index, &blob), -EBADMSG);
}

static int
configure(const char *rest, size_t n_layers, struct json **ret)
{
	char text[4096];
	char(*ids)[SHA256_HEX] = NULL;
	(void)snprintf(text, sizeof(text),
	    "{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"diff_ids\":[\"" DIGEST
	    "\"]}%s}",
	    rest);
	int r = manifest_parse_config(text, strlen(text), n_layers, "amd64", ret, &ids, &err);
	if (r == 0)
		assert_string_equal(ids[0], HEX);
	free(ids);
	return r;
}

static void
a_configuration_gives_what_a_sandbox_may_use(void **state)
{
	struct json *c = NULL;
	(void)state;
	assert_int_equal(
	    configure(",\"config\":{\"Env\":[\"PATH=/x\",\"HOME=/root\",\"A=b=c\"],"
		      "\"WorkingDir\":\"/w\",\"User\":\"\",\"Cmd\":[\"sh\"],\"Entrypoint\":null}",
		1, &c),
	    0);
	assert_string_equal(json_get_str(json_get(c, "env"), "PATH", ""), "/x");
	assert_string_equal(json_get_str(json_get(c, "env"), "A", ""), "b=c");
	assert_null(json_get(json_get(c, "env"), "HOME"));
	assert_string_equal(json_get_str(c, "working_dir", ""), "/w");
	assert_null(json_get(c, "user"));
	assert_int_equal(json_len(json_get(c, "cmd")), 1);
	json_free(c);
	assert_int_equal(configure("", 1, &c), 0);
	json_free(c);
}

static void
bad_configurations_are_refused(void **state)
{
	static const char *const cases[] = {",\"config\":{\"Env\":[\"novalue\"]}",
	    ",\"config\":{\"Env\":[\"=x\"]}", ",\"config\":{\"Env\":[\"1A=x\"]}",
	    ",\"config\":{\"Env\":[\"A B=x\"]}", ",\"config\":{\"Env\":[\"A=\\u0000\"]}",
	    ",\"config\":{\"Env\":[7]}", ",\"config\":{\"Cmd\":\"sh\"}",
	    ",\"config\":{\"Cmd\":[null]}", ",\"config\":{\"WorkingDir\":\"a\\u0000b\"}",
	    ",\"x\":1.5"};
	struct json *c = NULL;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(configure(cases[i], 1, &c), -EBADMSG);
	assert_int_equal(configure("", 2, &c), -EBADMSG);
	assert_null(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(docker_manifests_name_files),
	    cmocka_unit_test(bad_docker_manifests_are_refused),
	    cmocka_unit_test(an_index_is_searched_for_this_machine),
	    cmocka_unit_test(a_configuration_gives_what_a_sandbox_may_use),
	    cmocka_unit_test(bad_configurations_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
