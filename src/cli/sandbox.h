/* `ringfence sandbox …`: what its verbs share. One file per family: sandbox_create.c, sandbox_exec.c,
 * sandbox_list.c (list, top), sandbox_show.c (inspect), sandbox_control.c (kill, pause, resume),
 * sandbox_files.c (read, write, ls), sandbox_copy.c (cp), sandbox_checkpoint.c (checkpoint, rollback),
 * sandbox_changes.c (diff, commit). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"
#include "cli/connect.h"
#include "cli/options.h"
#include "cli/say.h"
#include "ipc/msg.h"

#define SANDBOX_NAME_MAX 128
#define SANDBOX_OPERANDS 4

/* A verb: ARGV[0] is "sandbox", ARGV[1] its name. Returns the exit code. */
typedef int sandbox_fn(int argc, char **argv);

sandbox_fn sandbox_create, sandbox_exec, sandbox_list, sandbox_top, sandbox_inspect, sandbox_kill,
    sandbox_pause, sandbox_resume, sandbox_read, sandbox_write, sandbox_ls, sandbox_cp,
    sandbox_diff, sandbox_commit, sandbox_checkpoint, sandbox_rollback;

/* Their options. */
extern const struct option_spec sandbox_create_options[], sandbox_exec_options[],
    sandbox_list_options[], sandbox_plain_options[], sandbox_json_options[], sandbox_read_options[],
    sandbox_write_options[], sandbox_ls_options[], sandbox_cp_options[], sandbox_diff_options[],
    sandbox_commit_options[];

/* ---- arguments ---- */

/* What the verbs other than create and exec take; members that a verb's table does not name stay unset. */
struct sandbox_arguments {
	const char *operands[SANDBOX_OPERANDS];
	int n_operands;
	bool json, raw, all, quiet, recursive, force, no_wait, summary, discard, once;
	bool long_form; /* --long */
	const char *mode, *from, *to, *max;
};

/* Parses by TABLE; MIN to MAX operands. 0; 1 when help was printed; -EINVAL after saying what is wrong. */
int sandbox_parse(int argc, char **argv, const struct option_spec *table, int min, int max,
    struct sandbox_arguments *ret) MUST_CHECK;
/* The help of the verb ARGV[1]. An exit code. */
int sandbox_verb_help(const char *verb);
/* Says ERR; the exit code that it means for a verb other than exec: 2 where the caller named something
 * that is not there, else 1. */
int sandbox_fail(const struct error *err);

/* ---- asking ---- */

/* One request on C, which is connected first (MODE) if it is not. BODY is borrowed; its "sandbox" is
 * replaced by what it turned out to mean. Asks again where the supervisor was just leaving or starting.
 * 0 with the reply, whose type must be REPLY, in RET; or -errno with ERR. */
int sandbox_ask(struct connection *c, enum connect_mode mode, uint16_t type, struct json *body,
    const int *fds, unsigned n_fds, uint16_t reply, struct msg *ret, struct error *err) MUST_CHECK;
/* {"sandbox":SANDBOX}, owned. */
struct json *sandbox_body(const char *sandbox);
/* Whether ERR says that there is no such sandbox. */
bool sandbox_is_unknown(const struct error *err);
/* Asks on FD for what one message of BODY (MSG_SESSIONS) had no room for, into BODY. 0 or -errno with ERR. */
int sandbox_list_rest(int fd, bool usage, struct json *body, struct error *err) MUST_CHECK;
/* The sandbox that GIVEN means, by a list asked for on FD (a conversation without requests in flight): its
 * name, id, or the beginning of one id. 0; or -ENOENT, -ENOTUNIQ with a line that helps. */
int sandbox_resolve(int fd, const char *given, char ret[SANDBOX_NAME_MAX], struct error *err)
    MUST_CHECK;

/* The shortest beginning of SANDBOX's id (at least 8 characters) that no other of SANDBOXES has: its
 * length. */
size_t sandbox_short_id(const struct json *sandboxes, const char *id);
/* Appends "15 s", "3 min", "2 h", "5 d". */
void sandbox_add_age(struct buf *out, int64_t ms);
