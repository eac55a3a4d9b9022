/* `ringfence audit verify`: runs the verification of ledgerfmt/verify.h and says what it found, so
 * that a person sees what is proved and what is not. It reads files only; but where it verifies this
 * machine's own ledger and that is running, it asks it to sign first what it has not signed yet. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "audit/audit.h"
#include "base/json.h"
#include "base/log.h"
#include "ledgerfmt/verify.h"

static const char *
status_name(enum verify_status status)
{
	return status == VERIFY_OK ? "ok" : status == VERIFY_TAMPERED ? "tampered" : "unusable";
}

static void
add_plural(struct buf *out, uint64_t n, const char *noun)
{
	(void)buf_addf(out, "%llu %s%s", (unsigned long long)n, noun, n == 1 ? "" : "s");
}

static void
describe_good(const struct verify_result *r, const struct verify_options *options, struct buf *out)
{
	uint64_t total = r->first + r->records;
	char key[80];
	hex_encode(r->key.hash, sizeof(r->key.hash), key);
	(void)buf_add_str(out, "ok: ");
	add_plural(out, r->records, "record");
	(void)buf_addf(
	    out, " in %u segment%s, chain whole, ", r->segments, r->segments == 1 ? "" : "s");
	add_plural(out, r->checkpoints, "checkpoint");
	(void)buf_addf(out, " verified\n    %s, key %s (%s)\n", r->origin, key,
	    r->key_given ? "given" : "from the ledger's own directory: pin it with --key");
	if (r->first > 0)
		(void)buf_addf(
		    out, "    a part: begins at record %llu\n", (unsigned long long)r->first);
	if (total > r->signed_size) {
		(void)buf_add_str(out, "    ");
		add_plural(out, total - r->signed_size, "record");
		(void)buf_add_str(out, " behind the last checkpoint: chained, not signed yet\n");
	}
	if (r->unfinished)
		(void)buf_add_str(
		    out, "    the last line is unfinished (a crash, or being written)\n");
	if (options->since == NULL)
		(void)buf_add_str(out,
		    "    cutting off the end shows only against a checkpoint held elsewhere: "
		    "--since\n");
}

static void
describe(const struct verify_result *r, const struct verify_options *options, struct buf *out)
{
	if (r->status == VERIFY_OK) {
		describe_good(r, options, out);
		return;
	}
	(void)buf_add_str(out, r->status == VERIFY_TAMPERED ? "TAMPERED: " : "cannot tell: ");
	(void)buf_add_str(out, r->file);
	if (r->line > 0)
		(void)buf_addf(out, ", line %llu, byte %lld", (unsigned long long)r->line,
		    (long long)r->offset);
	(void)buf_addf(out, ": %s\n", r->what);
}

static struct json *
to_json(const struct verify_result *r)
{
	char hex[SHA256_HEX];
	struct json *v = json_new_object();
	(void)json_set_str(v, "status", status_name(r->status));
	(void)json_set_str(v, "origin", r->origin);
	(void)json_set_int(v, "records", (int64_t)r->records);
	(void)json_set_int(v, "first", (int64_t)r->first);
	(void)json_set_int(v, "bytes", (int64_t)r->bytes);
	(void)json_set_int(v, "segments", r->segments);
	(void)json_set_int(v, "checkpoints", (int64_t)r->checkpoints);
	(void)json_set_int(v, "signed", (int64_t)r->signed_size);
	uint64_t total = r->first + r->records;
	(void)json_set_int(
	    v, "unsigned", (int64_t)(total > r->signed_size ? total - r->signed_size : 0));
	(void)json_set_bool(v, "key_pinned", r->key_given);
	(void)json_set_bool(v, "unfinished", r->unfinished);
	hex_encode(r->root, SHA256_BYTES, hex);
	(void)json_set_str(v, "root", hex);
	if (r->status == VERIFY_OK)
		return v;
	struct json *found = json_new_object();
	(void)json_set_str(found, "file", r->file);
	(void)json_set_int(found, "line", (int64_t)r->line);
	(void)json_set_int(found, "offset", r->offset);
	(void)json_set_str(found, "what", r->what);
	(void)json_set(v, "finding", found);
	return v;
}

static int
report(const struct verify_result *result, const struct verify_options *options, bool json)
{
	_cleanup_buf_ struct buf out;
	buf_init(&out, 65536);
	if (json) {
		_cleanup_json_ struct json *v = to_json(result);
		if (json_write(v, &out) < 0 || buf_add_char(&out, '\n') < 0)
			return EXIT_UNUSABLE;
	} else {
		describe(result, options, &out);
	}
	int r = print_out(&out);
	return r != 0                           ? r
	    : result->status == VERIFY_OK       ? 0
	    : result->status == VERIFY_TAMPERED ? EXIT_TAMPERED
						: EXIT_UNUSABLE;
}

int
verify_main(int argc, char **argv)
{
	const char *dir = NULL, *key_file = NULL, *since_file = NULL, *operand = NULL;
	bool json = false;
	size_t n;
	struct error err = {.remedy = ""};
	_cleanup_buf_ struct buf key_text = {0}, since_text = {0};
	struct note_key key;
	struct verify_options options = {0};
	const struct option_spec specs[] = {{"--dir", &dir, NULL}, {"--key", &key_file, NULL},
	    {"--since", &since_file, NULL}, {"--json", NULL, &json}, {0}};
	if (options_parse(argc, argv, specs, &operand, 1, &n, &err) < 0)
		return complain(&err);
	if (key_file != NULL) {
		if (file_read(key_file, 65536, &key_text, &err) < 0)
			return complain(&err);
		if (note_key_parse(buf_str(&key_text), key_text.len, &key) < 0) {
			error_set(&err, EINVAL, "bad_key", "%s holds no verifier key", key_file);
			return complain(&err);
		}
		options.key = &key;
	}
	if (since_file != NULL) {
		if (file_read(since_file, 65536, &since_text, &err) < 0)
			return complain(&err);
		options.since = buf_str(&since_text);
		options.since_len = since_text.len;
	}
	if (n == 0 && dir == NULL)
		checkpoint_refresh();
	_cleanup_close_ int fd = ledger_open(n > 0 ? operand : dir, NULL, &err);
	if (fd < 0)
		return complain(&err);
	struct verify_result result;
	verify_ledger(fd, &options, &result);
	return report(&result, &options, json);
}
