#include "image/manifest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/log.h"
#include "image/path.h"

#define DIGEST_PREFIX "sha256:"
#define DIGEST_PREFIX_LEN 7

static int
no_memory(struct error *err)
{
	return error_set(err, ENOMEM, "no_memory", "out of memory");
}

void
manifest_done(struct image_manifest *manifest)
{
	free(manifest->layers);
	json_free(manifest->names);
	*manifest = (struct image_manifest){0};
}

static int
parse(const char *text, size_t len, enum json_type type, const char *what, struct json **ret,
    struct error *err)
{
	struct error why = {0};
	int r = json_parse(text, len, ret, &why);
	if (r == -ENOMEM)
		return no_memory(err);
	if (r < 0)
		return image_refuse(err, "%s: %.200s", what, why.message);
	if (json_type(*ret) != type)
		return image_refuse(err, "%s: not what it should be", what);
	return 0;
}

const char *
manifest_architecture(void)
{
	static const char *const names[][2] = {{"x86_64", "amd64"}, {"aarch64", "arm64"},
	    {"riscv64", "riscv64"}, {"ppc64le", "ppc64le"}, {"s390x", "s390x"}, {"i686", "386"},
	    {"armv7l", "arm"}};
	struct utsname un;
	if (uname(&un) == 0)
		for (size_t i = 0; i < ARRAY_LEN(names); i++)
			if (strcmp(un.machine, names[i][0]) == 0)
				return names[i][1];
	return "unknown";
}

/* ---- digests and blobs ---- */

/* "sha256:HEX" into HEX. */
static int
take_digest(const char *text, char ret[SHA256_HEX], struct error *err)
{
	uint8_t ignored[SHA256_BYTES];
	if (text == NULL || strncmp(text, DIGEST_PREFIX, DIGEST_PREFIX_LEN) != 0 ||
	    strlen(text) != DIGEST_PREFIX_LEN + SHA256_HEX - 1 ||
	    hex_decode(text + DIGEST_PREFIX_LEN, SHA256_BYTES, ignored) < 0)
		return image_refuse(err, "a digest that is not sha256:<64 hexadecimal digits>");
	(void)snprintf(ret, SHA256_HEX, "%s", text + DIGEST_PREFIX_LEN);
	return 0;
}

static int
take_descriptor(const struct json *v, struct image_blob *ret, struct error *err)
{
	int r = take_digest(json_get_str(v, "digest", NULL), ret->digest, err);
	if (r == 0)
		(void)snprintf(ret->path, sizeof(ret->path), "blobs/sha256/%s", ret->digest);
	return r;
}

/* A path of manifest.json. Where its last name is a hash (with or without ".json"), it is the file's own. */
static int
take_path(const struct json *v, bool is_config, struct image_blob *ret, struct error *err)
{
	const char *text = json_str(v, NULL);
	char hex[SHA256_HEX];
	uint8_t ignored[SHA256_BYTES];
	if (text == NULL || strlen(text) != json_str_len(v))
		return image_refuse(err, "manifest.json: a file's name is missing");
	int r = path_clean(text, ret->path, err);
	if (r < 0)
		return r;
	if (ret->path[0] == 0)
		return image_refuse(err, "manifest.json: a file's name is missing");
	const char *slash = strrchr(ret->path, '/'), *name = slash == NULL ? ret->path : slash + 1;
	if (strncmp(name, DIGEST_PREFIX, DIGEST_PREFIX_LEN) == 0)
		name += DIGEST_PREFIX_LEN;
	bool blob = strncmp(ret->path, "blobs/sha256/", 13) == 0;
	(void)snprintf(hex, sizeof(hex), "%.64s", name);
	bool hashed = hex_decode(hex, SHA256_BYTES, ignored) == 0 &&
	    (name[SHA256_HEX - 1] == 0 || strcmp(name + SHA256_HEX - 1, ".json") == 0);
	if (hashed && (blob || is_config))
		(void)snprintf(ret->digest, sizeof(ret->digest), "%s", hex);
	return 0;
}

static int
take_layers(const struct json *layers, bool by_path, struct image_manifest *ret, struct error *err)
{
	size_t n = json_len(layers);
	if (json_type(layers) != JSON_ARRAY || n == 0)
		return image_refuse(err, "an image without layers");
	if (n > IMAGE_LAYERS_MAX)
		return image_refuse(err, "more than %d layers", IMAGE_LAYERS_MAX);
	ret->layers = calloc(n, sizeof(*ret->layers));
	if (ret->layers == NULL)
		return no_memory(err);
	int r = 0;
	for (size_t i = 0; i < n && r == 0; i++)
		r = by_path ? take_path(json_at(layers, i), false, &ret->layers[i], err)
			    : take_descriptor(json_at(layers, i), &ret->layers[i], err);
	ret->n_layers = n;
	return r;
}

/* ---- docker save ---- */

bool
manifest_is_docker(const char *text, size_t len)
{
	_cleanup_json_ struct json *v = NULL;
	struct error ignored;
	return json_parse(text, len, &v, &ignored) == 0 && json_type(v) == JSON_ARRAY &&
	    json_get(json_at(v, 0), "Config") != NULL && json_get(json_at(v, 0), "Layers") != NULL;
}

int
manifest_parse_docker(const char *text, size_t len, struct image_manifest *ret, struct error *err)
{
	_cleanup_json_ struct json *v = NULL;
	*ret = (struct image_manifest){0};
	int r = parse(text, len, JSON_ARRAY, "manifest.json", &v, err);
	if (r < 0)
		return r;
	if (json_len(v) != 1) {
		r = image_refuse(err, "the archive holds %zu images", json_len(v));
		error_remedy(err, "save one image in each archive");
		return r;
	}
	const struct json *image = json_at(v, 0);
	r = take_path(json_get(image, "Config"), true, &ret->config, err);
	if (r == 0)
		r = take_layers(json_get(image, "Layers"), true, ret, err);
	if (r == 0) {
		ret->names = json_copy(json_get(image, "RepoTags"));
		if (json_type(ret->names) != JSON_ARRAY) {
			json_free(ret->names);
			ret->names = json_new_array();
		}
		if (ret->names == NULL)
			r = no_memory(err);
	}
	if (r < 0)
		manifest_done(ret);
	return r;
}

/* ---- OCI image layout ---- */

static bool
is_index(const struct json *descriptor)
{
	const char *type = json_get_str(descriptor, "mediaType", "");
	return strcmp(type, "application/vnd.oci.image.index.v1+json") == 0 ||
	    strcmp(type, "application/vnd.docker.distribution.manifest.list.v2+json") == 0;
}

/* Whether a descriptor is for this machine; one that names no platform is for any. */
static bool
fits(const struct json *descriptor, const char *architecture)
{
	const struct json *platform = json_get(descriptor, "platform");
	if (json_get(json_get(descriptor, "annotations"), "vnd.docker.reference.type") != NULL)
		return false; /* an attestation */
	return platform == NULL ||
	    (strcmp(json_get_str(platform, "os", ""), "linux") == 0 &&
		strcmp(json_get_str(platform, "architecture", ""), architecture) == 0);
}

static void
add_name(const struct json *descriptor, struct json *names)
{
	const struct json *notes = json_get(descriptor, "annotations");
	const char *name = json_get_str(notes, "io.containerd.image.name", NULL);
	if (name == NULL)
		name = json_get_str(notes, "org.opencontainers.image.ref.name", NULL);
	if (name != NULL)
		(void)json_push(names, json_new_string(name));
}

int
manifest_choose(const char *text, size_t len, const char *architecture, struct json *names,
    struct image_blob *ret, bool *ret_index, struct error *err)
{
	_cleanup_json_ struct json *v = NULL;
	int r = parse(text, len, JSON_OBJECT, "the index", &v, err);
	if (r < 0)
		return r;
	const struct json *manifests = json_get(v, "manifests"), *chosen = NULL;
	if (json_type(manifests) != JSON_ARRAY || json_len(manifests) > IMAGE_LAYERS_MAX)
		return image_refuse(err, "the index: no list of images, or a very long one");
	size_t n = 0;
	for (size_t i = 0; i < json_len(manifests); i++)
		if (fits(json_at(manifests, i), architecture)) {
			chosen = json_at(manifests, i);
			n++;
		}
	if (n != 1) {
		r = image_refuse(err, "the archive holds %zu images for linux/%s", n, architecture);
		error_remedy(err,
		    n == 0 ? "save the image with --platform linux/%s"
			   : "save one image in each archive (for linux/%s)",
		    architecture);
		return r;
	}
	add_name(chosen, names);
	*ret_index = is_index(chosen);
	return take_descriptor(chosen, ret, err);
}

int
manifest_parse_oci(const char *text, size_t len, struct image_manifest *ret, struct error *err)
{
	_cleanup_json_ struct json *v = NULL;
	*ret = (struct image_manifest){0};
	int r = parse(text, len, JSON_OBJECT, "the manifest", &v, err);
	if (r == 0)
		r = take_descriptor(json_get(v, "config"), &ret->config, err);
	if (r == 0)
		r = take_layers(json_get(v, "layers"), false, ret, err);
	if (r < 0)
		manifest_done(ret);
	return r;
}

/* ---- the configuration ---- */

/* Text that can stand in an environment or an argument: no NUL, not endless. */
static bool
is_plain(const struct json *v)
{
	const char *text = json_str(v, NULL);
	return text != NULL && strlen(text) == json_str_len(v) && strlen(text) < IMAGE_PATH_MAX;
}

/* Ours, whatever an image says: they describe the sandbox, not the image. */
static bool
is_ours(const char *name)
{
	static const char *const names[] = {
	    "HOME", "USER", "LOGNAME", "HOSTNAME", "TMPDIR", "TERM", "PWD", "SHLVL"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static int
take_env(const struct json *list, struct json *ret, struct error *err)
{
	static const char letters[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
	char name[256];
	if (json_len(list) > IMAGE_ENV_MAX)
		return image_refuse(
		    err, "more than %d variables in its environment", IMAGE_ENV_MAX);
	for (size_t i = 0; i < json_len(list); i++) {
		const char *text = json_str(json_at(list, i), "");
		size_t len = strcspn(text, "=");
		if (!is_plain(json_at(list, i)) || text[len] != '=' || len >= sizeof(name) ||
		    len == 0 || strspn(text, letters) < len ||
		    strchr("0123456789", text[0]) != NULL)
			return image_refuse(err, "a bad variable in its environment");
		(void)snprintf(name, sizeof(name), "%.*s", (int)len, text);
		if (!is_ours(name) && json_set_str(ret, name, text + len + 1) < 0)
			return no_memory(err);
	}
	return 0;
}

static int
take_words(
    const struct json *from, const char *name, const char *as, struct json *ret, struct error *err)
{
	const struct json *list = json_get(from, name);
	if (list == NULL || json_type(list) == JSON_NULL)
		return 0;
	if (json_type(list) != JSON_ARRAY || json_len(list) > IMAGE_ENV_MAX)
		return image_refuse(err, "its configuration: bad %s", name);
	for (size_t i = 0; i < json_len(list); i++)
		if (!is_plain(json_at(list, i)))
			return image_refuse(err, "its configuration: bad %s", name);
	return json_set(ret, as, json_copy(list)) < 0 ? no_memory(err) : 0;
}

static int
take_text(
    const struct json *from, const char *name, const char *as, struct json *ret, struct error *err)
{
	const struct json *v = json_get(from, name);
	if (v == NULL || json_type(v) == JSON_NULL || json_str(v, "")[0] == 0)
		return 0;
	if (!is_plain(v))
		return image_refuse(err, "its configuration: bad %s", name);
	return json_set_str(ret, as, json_str(v, "")) < 0 ? no_memory(err) : 0;
}

static int
check_platform(const struct json *v, const char *architecture, struct error *err)
{
	char shown[64];
	const char *os = json_get_str(v, "os", "linux");
	const char *cpu = json_get_str(v, "architecture", architecture);
	if (strcmp(os, "linux") == 0 && (strcmp(cpu, architecture) == 0 || cpu[0] == 0))
		return 0;
	(void)snprintf(shown, sizeof(shown), "%.20s/%.20s", os, cpu);
	int r = image_refuse_path(err, shown, "what the image is for; this machine is another");
	error_remedy(err, "save the image with --platform linux/%s", architecture);
	return r;
}

static int
take_diff_ids(const struct json *v, size_t n, char (**ret)[SHA256_HEX], struct error *err)
{
	const struct json *list = json_get(json_get(v, "rootfs"), "diff_ids");
	if (json_type(list) != JSON_ARRAY || json_len(list) != n)
		return image_refuse(
		    err, "the configuration names %zu layers, the manifest %zu", json_len(list), n);
	char(*ids)[SHA256_HEX] = calloc(n, sizeof(*ids));
	if (ids == NULL)
		return no_memory(err);
	int r = 0;
	for (size_t i = 0; i < n && r == 0; i++)
		r = take_digest(json_str(json_at(list, i), NULL), ids[i], err);
	if (r < 0) {
		free(ids);
		return r;
	}
	*ret = ids;
	return 0;
}

int
manifest_parse_config(const char *text, size_t len, size_t n_layers, const char *architecture,
    struct json **ret, char (**ret_diff_ids)[SHA256_HEX], struct error *err)
{
	_cleanup_json_ struct json *v = NULL, *config = json_new_object();
	struct json *env = json_new_object();
	int r = parse(text, len, JSON_OBJECT, "the configuration", &v, err);
	const struct json *from = json_get(v, "config");
	if (json_set(config, "env", env) < 0)
		return no_memory(err);
	if (r == 0)
		r = check_platform(v, architecture, err);
	if (r == 0)
		r = take_env(json_get(from, "Env"), env, err);
	if (r == 0)
		r = take_words(from, "Entrypoint", "entrypoint", config, err);
	if (r == 0)
		r = take_words(from, "Cmd", "cmd", config, err);
	if (r == 0)
		r = take_text(from, "WorkingDir", "working_dir", config, err);
	if (r == 0)
		r = take_text(from, "User", "user", config, err);
	if (r == 0)
		r = take_diff_ids(v, n_layers, ret_diff_ids, err);
	if (r == 0)
		*ret = TAKE_PTR(config);
	return r;
}
