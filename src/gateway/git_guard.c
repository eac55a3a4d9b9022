/* The push guard: the body of POST git-receive-pack, read as it passes.
 *
 *   UPDATES ──flush──▶ PACK (an update must be proved)  ──▶ END
 *                 └──▶ BLIND (none must: only creations, maybe deletions)
 *                 └──▶ END (no pack comes: only deletions, or nothing at all)
 *
 * UPDATES are pkt-lines (gitprotocol-pack(5), "Pushing Data To a Server"): `shallow` lines, then "old new name", the
 * first with capabilities after a NUL. The server takes them in one step with the old names checked, so what they say
 * is what will happen. Capabilities that would change how the body reads, or that do more than move refs, are refused. */
#include "gateway/git_guard.h"

#include <errno.h>
#include <string.h>

#include "base/sha256.h"
#include "proto/gitpack.h"
#include "proto/pktline.h"

#define UPDATES_MAX 1024 /* as many as an action may have (action/validate.c) */
#define NAME_MAX_BYTES 1024
#define NAMES_MAX_BYTES (256 * 1024)
#define SHALLOW_MAX 100000
#define NAME_HEX (SHA1_HEX - 1)
#define UPDATE_MIN (2 * (NAME_HEX + 1) + 1)
#define BLIND_MIN 32 /* bytes of the smallest pack */

enum push_state { PUSH_UPDATES, PUSH_PACK, PUSH_BLIND, PUSH_END };

struct update {
	uint8_t old[SHA1_BYTES], new[SHA1_BYTES];
	char *name; /* owned */
	bool create, delete;
	bool proved; /* a fast-forward; meaningful when the pack is read */
};

struct git_push {
	enum push_state state;
	int failed;
	struct buf line; /* the part of a pkt-line that has come */
	struct update *updates;
	size_t n, name_bytes, n_shallow;
	bool needs_proof, report, band_64k, band;
	uint64_t blind_bytes;
	uint8_t blind_head[4];
	struct gitpack *pack;
};

static int
refused(struct error *err, const char *code, const char *what)
{
	return error_set(err, EBADMSG, code, "%s", what);
}

static int
malformed(struct error *err, const char *what)
{
	return error_set(err, EBADMSG, "git_push_malformed", "this push: %s", what);
}

struct git_push *
git_push_new(void)
{
	struct git_push *push = calloc(1, sizeof(*push));
	if (push != NULL)
		buf_init(&push->line, PKTLINE_MAX);
	return push;
}

struct git_push *
git_push_free(struct git_push *push)
{
	if (push == NULL)
		return NULL;
	for (size_t i = 0; i < push->n; i++)
		free(push->updates[i].name);
	free(push->updates);
	gitpack_free(push->pack);
	buf_done(&push->line);
	free(push);
	return NULL;
}

/* ---- capabilities ---- */

/* Those that clients send and that change neither the framing nor what is done. */
static const char *const harmless[] = {
    "delete-refs", "quiet", "atomic", "ofs-delta", "no-thin", "object-format=sha1"};

static bool
is_word(const char *text, size_t len, const char *word)
{
	return len == strlen(word) && memcmp(text, word, len) == 0;
}

static bool
begins(const char *text, size_t len, const char *with)
{
	return len >= strlen(with) && memcmp(text, with, strlen(with)) == 0;
}

static int
take_capability(struct git_push *push, const char *word, size_t len, struct error *err)
{
	if (is_word(word, len, "report-status") || is_word(word, len, "report-status-v2")) {
		push->report = true;
		return 0;
	}
	if (is_word(word, len, "side-band-64k") || is_word(word, len, "side-band")) {
		push->band = true;
		push->band_64k = push->band_64k || len > strlen("side-band");
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(harmless); i++)
		if (is_word(word, len, harmless[i]))
			return 0;
	if (begins(word, len, "agent=") || begins(word, len, "session-id="))
		return 0;
	if (begins(word, len, "object-format="))
		return refused(err, "git_object_format",
		    "repositories with names other than SHA-1 cannot be pushed to");
	if (begins(word, len, "push-options"))
		return refused(
		    err, "git_push_options", "push options (git push -o) are not allowed");
	if (begins(word, len, "push-cert"))
		return refused(
		    err, "git_push_cert", "signed pushes (git push --signed) are not allowed");
	return malformed(err, "it asks for a capability that we do not know");
}

static int
take_capabilities(struct git_push *push, const char *text, size_t len, struct error *err)
{
	size_t at = 0;
	while (at < len) {
		const char *space = memchr(text + at, ' ', len - at);
		size_t n = space == NULL ? len - at : (size_t)(space - text) - at;
		int r = n == 0 ? 0 : take_capability(push, text + at, n, err);
		if (r < 0)
			return r;
		at += n + 1;
	}
	return 0;
}

/* ---- updates ---- */

static bool
is_utf8(const char *text, size_t len)
{
	struct json *v = json_new_string_n(text, len);
	bool same = json_str_len(v) == len && memcmp(json_str(v, ""), text, len) == 0;
	json_free(v);
	return same;
}

/* One component of a ref's name (git-check-ref-format(1)). */
static bool
is_component(const char *text, size_t len)
{
	return len > 0 && text[0] != '.' && text[len - 1] != '.' &&
	    !(len >= 5 && memcmp(text + len - 5, ".lock", 5) == 0);
}

static bool
is_ref_name(const char *text, size_t len)
{
	if (len > NAME_MAX_BYTES || !begins(text, len, "refs/") || !is_utf8(text, len))
		return false;
	size_t begin = 0;
	for (size_t i = 0; i <= len; i++) {
		if (i == len || text[i] == '/') {
			if (!is_component(text + begin, i - begin))
				return false;
			begin = i + 1;
			continue;
		}
		char c = text[i];
		char next = i + 1 < len ? text[i + 1] : 0;
		if ((unsigned char)c <= ' ' || c == 0x7f || strchr("~^:?*[\\", c) != NULL ||
		    (c == '.' && next == '.') || (c == '@' && next == '{'))
			return false;
	}
	return true;
}

static bool
read_name(const char *text, uint8_t ret[SHA1_BYTES])
{
	char hex[SHA1_HEX];
	memcpy(hex, text, NAME_HEX);
	hex[NAME_HEX] = 0;
	return hex_decode(hex, SHA1_BYTES, ret) == 0;
}

static bool
is_zero(const uint8_t name[SHA1_BYTES])
{
	static const uint8_t zero[SHA1_BYTES];
	return memcmp(name, zero, SHA1_BYTES) == 0;
}

static int
keep_update(struct git_push *push, const struct update *update, const char *name, size_t len)
{
	if (push->updates == NULL)
		push->updates = calloc(UPDATES_MAX, sizeof(struct update));
	char *copy = push->updates == NULL ? NULL : strndup(name, len);
	if (copy == NULL)
		return -ENOMEM;
	push->updates[push->n] = *update;
	push->updates[push->n++].name = copy;
	push->name_bytes += len;
	return 0;
}

/* "old new name", without what comes after the name's NUL. */
static int
take_update(struct git_push *push, const char *text, size_t len, struct error *err)
{
	struct update update = {0};
	if (len < UPDATE_MIN || text[NAME_HEX] != ' ' || text[2 * NAME_HEX + 1] != ' ' ||
	    !read_name(text, update.old) || !read_name(text + NAME_HEX + 1, update.new))
		return malformed(err, "a line that is no update of a ref");
	const char *name = text + UPDATE_MIN - 1;
	len -= UPDATE_MIN - 1;
	if (!is_ref_name(name, len))
		return malformed(err, "a ref's name that git does not allow");
	update.create = is_zero(update.old);
	update.delete = is_zero(update.new);
	if (update.create && update.delete)
		return malformed(err, "an update of nothing to nothing");
	if (push->n == UPDATES_MAX || push->name_bytes + len > NAMES_MAX_BYTES)
		return refused(err, "git_push_too_many", "this push updates too many refs");
	for (size_t i = 0; i < push->n; i++)
		if (is_word(name, len, push->updates[i].name))
			return malformed(err, "it updates a ref twice");
	push->needs_proof = push->needs_proof || !(update.create || update.delete);
	return keep_update(push, &update, name, len);
}

static int
take_line(struct git_push *push, const char *text, size_t len, struct error *err)
{
	if (len > 0 && text[len - 1] == '\n')
		len--;
	uint8_t name[SHA1_BYTES];
	if (begins(text, len, "shallow ")) {
		if (push->n > 0 || len != 8 + NAME_HEX || !read_name(text + 8, name) ||
		    ++push->n_shallow > SHALLOW_MAX)
			return malformed(err, "a shallow line that is not in order");
		return 0;
	}
	if (begins(text, len, "push-cert"))
		return refused(
		    err, "git_push_cert", "signed pushes (git push --signed) are not allowed");
	const char *nul = memchr(text, 0, len);
	if (nul != NULL && push->n > 0)
		return malformed(err, "capabilities after the first update");
	size_t update = nul == NULL ? len : (size_t)(nul - text);
	int r = take_update(push, text, update, err);
	if (r == 0 && nul != NULL)
		r = take_capabilities(push, nul + 1, len - update - 1, err);
	return r;
}

/* The list is complete: what comes now? */
static int
end_updates(struct git_push *push)
{
	bool pack = false;
	for (size_t i = 0; i < push->n; i++)
		pack = pack || !push->updates[i].delete;
	push->state = !pack ? PUSH_END : push->needs_proof ? PUSH_PACK : PUSH_BLIND;
	if (push->state != PUSH_PACK)
		return 0;
	push->pack = gitpack_new();
	return push->pack == NULL ? -ENOMEM : 0;
}

/* As many lines as `line` has whole; they leave it. */
static int
take_lines(struct git_push *push, struct error *err)
{
	size_t at = 0;
	while (push->state == PUSH_UPDATES) {
		struct pktline line;
		int n = pktline_read(push->line.data + at, push->line.len - at, &line);
		if (n == 0)
			break;
		if (n < 0 || line.kind == PKTLINE_DELIM || line.kind == PKTLINE_END)
			return malformed(err, "a pkt-line that has no place there");
		int r = line.kind == PKTLINE_FLUSH
		    ? end_updates(push)
		    : take_line(push, (const char *)line.payload, line.len, err);
		if (r < 0)
			return r;
		at += (size_t)n;
	}
	buf_drop(&push->line, at);
	return 0;
}

/* ---- the body ---- */

/* Every update that needs it, against the commits that came. */
static void
prove_updates(struct git_push *push)
{
	for (size_t i = 0; i < push->n; i++) {
		struct update *update = &push->updates[i];
		if (!update->create && !update->delete)
			update->proved = gitcommits_descends(
			    gitpack_commits(push->pack), update->new, update->old);
	}
	push->pack = gitpack_free(push->pack);
	push->state = PUSH_END;
}

static int
feed_blind(struct git_push *push, const uint8_t *bytes, size_t len, struct error *err)
{
	for (size_t i = 0; i < len && push->blind_bytes + i < 4; i++)
		if (bytes[i] != (uint8_t) "PACK"[push->blind_bytes + i])
			return malformed(err, "what follows the updates is no pack");
	push->blind_bytes += len;
	return 0;
}

static int
feed_pack(struct git_push *push, const uint8_t *bytes, size_t len, struct error *err)
{
	size_t used = 0;
	if (push->state == PUSH_BLIND)
		return feed_blind(push, bytes, len, err);
	if (push->state == PUSH_PACK) {
		int r = gitpack_feed(push->pack, bytes, len, &used, err);
		if (r < 0)
			return r;
		if (gitpack_is_done(push->pack))
			prove_updates(push);
	}
	return used < len ? malformed(err, "bytes after its end") : 0;
}

static int
feed(struct git_push *push, const uint8_t *bytes, size_t len, struct error *err)
{
	while (push->state == PUSH_UPDATES && len > 0) {
		size_t n = MIN(len, PKTLINE_MAX - push->line.len);
		int r = buf_add(&push->line, bytes, n);
		if (r == 0)
			r = take_lines(push, err);
		if (r < 0)
			return r;
		bytes += n;
		len -= n;
	}
	if (push->state == PUSH_UPDATES)
		return 0;
	/* Behind the flush, `line` has the first bytes of what follows. */
	int r = push->line.len == 0 ? 0 : feed_pack(push, push->line.data, push->line.len, err);
	buf_clear(&push->line);
	return r < 0 || len == 0 ? r : feed_pack(push, bytes, len, err);
}

int
git_push_feed(struct git_push *push, const uint8_t *bytes, size_t len, struct error *err)
{
	if (push->failed < 0)
		return error_set(
		    err, EBADMSG, "git_push_malformed", "this push was refused before");
	int r = feed(push, bytes, len, err);
	if (r == -ENOMEM)
		(void)error_set(err, ENOMEM, "out_of_memory", "no memory to read a push");
	push->failed = r;
	return r;
}

bool
git_push_has_updates(const struct git_push *push)
{
	return push->state != PUSH_UPDATES && push->failed == 0;
}

bool
git_push_is_known(const struct git_push *push)
{
	return git_push_has_updates(push) && push->state != PUSH_PACK;
}

int
git_push_finish(struct git_push *push, struct error *err)
{
	if (push->failed < 0)
		return error_set(
		    err, EBADMSG, "git_push_malformed", "this push was refused before");
	bool whole = push->state == PUSH_END ||
	    (push->state == PUSH_BLIND && push->blind_bytes >= BLIND_MIN);
	return whole ? 0 : malformed(err, "it ended too early");
}

/* ---- what was read ---- */

static struct json *
update_json(const struct update *update)
{
	struct json *ref = json_new_object();
	char old[SHA1_HEX], new[SHA1_HEX];
	hex_encode(update->old, SHA1_BYTES, old);
	hex_encode(update->new, SHA1_BYTES, new);
	(void)json_set_str(ref, "name", update->name);
	(void)json_set_bool(ref, "force", !update->create && !update->delete &&!update->proved);
	(void)json_set_bool(ref, "delete", update->delete);
	if (update->create)
		(void)json_set_bool(ref, "create", true);
	(void)json_set_str(ref, "old", old);
	(void)json_set_str(ref, "new", new);
	return ref;
}

struct json *
git_push_refs(const struct git_push *push)
{
	struct json *refs = json_new_array();
	for (size_t i = 0; i < push->n; i++)
		(void)json_push(refs, update_json(&push->updates[i]));
	return refs;
}

/* ---- the answer to a push that was denied ---- */

#define WHY_MAX 400
#define BAND_DATA 1
#define BAND_MESSAGE 2

/* WHY as one line for a terminal, after "ringfence: ". */
static void
write_why(const char *why, struct buf *out)
{
	if (strncmp(why, "ringfence: ", 11) != 0)
		(void)buf_add_str(out, "ringfence: ");
	for (size_t i = 0; i < WHY_MAX && why[i] != 0; i++) {
		unsigned char c = (unsigned char)why[i];
		(void)buf_add_char(out, c < ' ' || c == 0x7f ? ' ' : (char)c);
	}
}

/* report-status (gitprotocol-pack(5)): nothing was wrong with the pack, and no ref may change. */
static int
write_report(const struct git_push *push, const char *why, struct buf *report)
{
	_cleanup_buf_ struct buf line;
	buf_init(&line, PKTLINE_PAYLOAD_MAX);
	int r = pktline_add(report, "unpack ok\n", 10);
	for (size_t i = 0; r == 0 && i < push->n; i++) {
		buf_clear(&line);
		(void)buf_addf(&line, "ng %s ", push->updates[i].name);
		write_why(why, &line);
		(void)buf_add_char(&line, '\n');
		r = buf_failed(&line) ? -ENOMEM : pktline_add(report, line.data, line.len);
	}
	return r < 0 ? r : pktline_add_flush(report);
}

/* LEN bytes of CONTENT on BAND, in as many lines as it takes. */
static int
write_band(const struct git_push *push, uint8_t band, const struct buf *content, struct buf *out)
{
	size_t most = push->band_64k ? PKTLINE_PAYLOAD_MAX - 1 : 995;
	for (size_t at = 0; at < content->len;) {
		size_t n = MIN(most, content->len - at);
		(void)buf_addf(out, "%04zx%c", n + 5, band);
		int r = buf_add(out, content->data + at, n);
		if (r < 0)
			return r;
		at += n;
	}
	return 0;
}

int
git_push_denial(const struct git_push *push, const char *why, struct buf *out)
{
	_cleanup_buf_ struct buf content;
	buf_init(&content, NAMES_MAX_BYTES + UPDATES_MAX * (WHY_MAX + 64));
	int r = 0;
	if (push->report) {
		r = write_report(push, why, &content);
		if (r == 0 && !push->band)
			return buf_add(out, content.data, content.len);
	} else if (push->band) {
		write_why(why, &content);
		(void)buf_add_char(&content, '\n');
	}
	if (r < 0 || buf_failed(&content))
		return -ENOMEM;
	if (!push->band)
		return 0;
	r = write_band(push, push->report ? BAND_DATA : BAND_MESSAGE, &content, out);
	return r < 0 ? r : pktline_add_flush(out);
}
