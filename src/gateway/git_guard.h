/* Git over smart HTTP: which requests are git's, and what a push would change.
 *
 * gitprotocol-http(5), gitprotocol-pack(5), gitformat-pack(5). A push is a list of ref updates and a pack. An update of
 * an existing branch is a fast-forward only if the new commit descends from the old one: proved from the commits in
 * the pack, or else taken for forced. Pure: no I/O, no decision; facts for the action record. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"
#include "proto/http1.h"

enum git_request { GIT_NOT, GIT_DISCOVER_FETCH, GIT_DISCOVER_PUSH, GIT_FETCH, GIT_PUSH };

/* What METHOD, PATH and QUERY ask of a git server; the repository ("acme/app", without .git and leading slash) in
 * RET_REPOSITORY. GIT_NOT if it is something else; what only looks like git (two services, other parameters, a path
 * that is not plain) is -EBADMSG. */
int git_request_of(struct http_text method, struct http_text path, struct http_text query,
    char ret_repository[1025]) MUST_CHECK;

/* Reads the body of a push as it arrives. */
struct git_push;
struct git_push *git_push_new(void);
struct git_push *git_push_free(struct git_push *push);
/* Takes LEN bytes of the body. 0: go on. -EBADMSG with ERR: refuse it (malformed, push certificate, too many updates,
 * an object format that we do not read). Bytes are not kept but for what the proof needs (bounded). */
int git_push_feed(struct git_push *push, const uint8_t *bytes, size_t len, struct error *err)
    MUST_CHECK;
/* The list of updates is complete. */
bool git_push_has_updates(const struct git_push *push);
/* Whether what the updates are can be said now: there are only creations and deletions, or the pack is all read. */
bool git_push_is_known(const struct git_push *push);
/* The body ended. 0, or -EBADMSG with ERR if it ended too early. */
int git_push_finish(struct git_push *push, struct error *err) MUST_CHECK;
/* [{"name","force","delete","create"?,"old","new"}] ; owned. What could not be proved is "force". */
struct json *git_push_refs(const struct git_push *push);
/* The answer that git prints to its user for a push that was denied: body of a 200 to POST git-receive-pack
 * (report-status, with side-band-64k if it was offered), saying WHY for every ref. Appends to OUT. */
int git_push_denial(const struct git_push *push, const char *why, struct buf *out) MUST_CHECK;
