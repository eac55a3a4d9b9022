/* Every message that our programs exchange: number, direction, body. doc/messages.md explains the
 * flows. A number is never used again for something else. */
#pragma once

enum msg_type {
	MSG_ERROR = 1, /* any → any: {"error":{"code","message","remedy","action_id"?}} */
	MSG_OK = 2,    /* any → any: {} */

	/* CLI → supervisor (supervisor.sock) and back */
	MSG_RUN =
	    10, /* {"tty"?:{"rows","cols"} (then no stdio descriptors are sent: the terminal's master
	                     comes with MSG_STARTED), "argv":[],"cwd"?,"env":{},"policy":{"name"}|{"file"},"task"?,"workspace"?:
	                     {"path","mode"},"timing":bool,"limits"?:{} (tightening only; named as in
	                     policy_sandbox)}; fds: stdin, stdout, stderr, [policy file],
	                     [workspace directory] in that order */
	MSG_HELD =
	    11, /* ← {"action_id","review_id","rule","approvals":[],"expires_at","risk":{}} */
	MSG_STARTED =
	    12, /* ← {"action_id","task","sandbox","receipt":{},"limits":{"output_bytes"?,…}}; of a
	           session's command no receipt; fds: [terminal's master] with "tty" */
	MSG_DONE =
	    13, /* ← {"action_id","task","sandbox","exit":{"code"}|{"signal"},"limit"?,"error"?,
	                     "usage":{},"timing"?:[{"step","at_ns"}] (CLOCK_MONOTONIC)}; the receipt went
	                     with MSG_STARTED; fds: [scratch upper directory] */
	MSG_SIGNAL = 14, /* → {"signal":N}: forward to the command */
	MSG_STOP = 15,   /* → {"reason":"output"|"interrupt"}: end the sandbox now */
	MSG_COMMIT =
	    16, /* → {"action_id","changes":{…}} : ask to let a workspace change out (a file
	                     action); ← MSG_VERDICT or MSG_HELD then MSG_VERDICT */
	MSG_COMMITTED = 17, /* → {"action_id","outcome":{}}; ← MSG_OK */
	MSG_SHUTDOWN = 18,  /* → {}: leave once nothing runs; ← MSG_OK */

	/* CLI → supervisor: sessions. SANDBOX below is the id or the name; an unknown one is MSG_ERROR. */
	MSG_SESSION_CREATE =
	    80, /* {"policy","task"?,"workspace"?,"limits"?,"env"?,"name"?,"user"? (number inside),
	           "idle_ms"?,"lifetime_ms"?}; fds: [policy file], [workspace directory];
	           ← MSG_SESSION with "receipt" */
	MSG_SESSION = 81, /* ← {"sandbox","name"?,"task","policy","state":"ready|paused|ending",
	                     "created_ms","last_used_ms","idle_ms"?,"lifetime_ms"?,"limits":{},
	                     "workspace"?:{"mode","path"},"commands":[{"command","program","since_ms"}],
	                     "checkpoints":n,"usage":{"cpu_ms","memory_bytes","memory_peak_bytes","processes",
	                     "scratch_bytes","commands"},"receipt"?:{}} */
	MSG_SESSION_EXEC =
	    82, /* {"sandbox","argv","cwd"?,"env"?,"tty"?,"timing"?,"detach"?:bool (outlives us),"limits"?:
	           {"wall_ms","cpu_time_ms","output_bytes"}}; fds: stdin, stdout, stderr unless "tty";
	           ← as MSG_RUN: MSG_HELD, MSG_STARTED (with "command":N), MSG_DONE, MSG_ERROR.
	           One command at a time on a connection; MSG_SIGNAL and MSG_STOP are for it. */
	MSG_SESSION_LIST =
	    83, /* {"usage"?:bool,"after"?:id of the last that came}; ← MSG_SESSIONS */
	MSG_SESSIONS =
	    84, /* ← {"sandboxes":[bodies of MSG_SESSION],"omitted"?:n (ask again),"ended":[{"sandbox","name"?,
	                             "why","at_ms"}]}: those that ended last, also by a restart of ours */
	MSG_SESSION_INSPECT = 85, /* {"sandbox"}; ← MSG_SESSION with receipt and usage */
	MSG_SESSION_CONTROL = 86, /* {"sandbox","do":"kill|pause|resume"}; ← MSG_OK when it is so */
	MSG_SESSION_OPEN =
	    87, /* {"sandbox","path" (absolute inside),"how":"read|write|list|stat|mkdir|remove","mode"?};
	           opened by a process in the sandbox with the command's own rights;
	           ← MSG_SESSION_FILE */
	MSG_SESSION_FILE =
	    88, /* ← {"type":"file|directory","size","mode","mtime_ms"}; fds: [the open
	                          file: read-only or write-only, always a regular file or a directory] */
	MSG_SESSION_CHECKPOINT =
	    89, /* {"sandbox","do":"make|list|drop|rollback","name"?}; ← MSG_SESSION_CHECKPOINTS */
	MSG_SESSION_CHECKPOINTS =
	    90, /* ← {"checkpoints":[{"name","at_ms","bytes","how":"layer|copy"}],"made"?:name} */
	MSG_SESSION_VIEW =
	    91, /* {"sandbox","from"?:checkpoint|"base","to"?:checkpoint|"now"}: the two states of the
	           workspace as directories; ← MSG_SESSION_VIEWED */
	MSG_SESSION_VIEWED =
	    92, /* ← {"task","policy","path","began_ms"? (from "base"),"layers" (names with commas: only where these
	           directories have entries can the two differ; may be empty)}; fds: [from], [to],
	           [directory of the layers]: `rf-workspace compare --from-fd … --to-fd …
	           --layers-fd … --layers …` */

	MSG_STATUS =
	    19, /* → {"stay"?:true: do not leave when idle}; ← {"version","pid","sandboxes":[{"sandbox","task","pid","since"}],
	                       "programs":[{"name","pid"}]} */

	/* supervisor → arbiter (socket pair) and back */
	MSG_PROPOSE =
	    30, /* {"action":{…},"policy":{"name"}|{"file"}|{"hash"} (of one that was viewed or
	                     proposed by before), "requester_uid","claim"?:true}; fds: [policy file].
	                     ← MSG_VERDICT. With "claim", an action that is allowed at once is claimed in the
	                     same step, once the ledger has acknowledged the decision, by the checks of
	                     MSG_CLAIM: its verdict carries "claimed":true and "epoch". */
	MSG_VERDICT =
	    31, /* ← {"action_id","task","state":"approved|reviewing|denied|rejected|expired|
	                     revoked|invalidated","decision":{…},"policy":hash,"sandbox":{…},
	                     "review_id"?,"expires_at"?,"comment"?}. Sent again when a review ends. */
	MSG_CLAIM =
	    32, /* → {"action_id"}; ← MSG_CLAIMED, or MSG_VERDICT with the state that forbids it */
	MSG_CLAIMED = 33, /* ← {"action_id","epoch"}: perform it now */
	MSG_SETTLE =
	    34, /* → {"action_id","state":"succeeded|failed|unknown","outcome":{…}}; no reply */
	MSG_WITHDRAW = 35, /* → {"action_id"}: the requester left; no reply */
	MSG_KILL_TASK =
	    36, /* ← {"task"|"all":true,"epoch"}: destroy these sandboxes now; → MSG_KILLED
	                       {"count"} with the same serial, when they are gone */
	MSG_KILLED = 37,
	MSG_POLICY_VIEW =
	    38, /* {"policy":{"name"}|{"file"}|{"hash"}}; fds: [policy file]; ← MSG_POLICY_VIEWED, or
	           MSG_ERROR if it does not load or cannot be enforced. Decides nothing. */
	MSG_POLICY_VIEWED = 39, /* ← {"policy":hash,"name","sandbox":{…}} */
	MSG_POLICY_CHANGED =
	    40, /* ← {"name","policy":hash}: another generation is active now. No reply.
	                            What was prepared for the earlier one is dropped. */

	/* people (the CLI) → arbiter (arbiter.sock) and back */
	MSG_REVIEW_LIST = 50, /* {"all":bool}; ← {"reviews":[…]} as MSG_REVIEWS */
	MSG_REVIEWS = 51,
	MSG_REVIEW_SHOW = 52, /* {"review_id"}; ← MSG_REVIEWS with one */
	MSG_REVIEW_APPROVE =
	    53, /* {"review_id","role"?,"comment"?,"digest"?}; ← MSG_REVIEWS with it */
	MSG_REVIEW_DENY = 54,  /* {"review_id","comment"?}; ← MSG_REVIEWS with it */
	MSG_REVIEW_WATCH = 55, /* {}; ← MSG_REVIEWS for each change, until the peer leaves */
	MSG_KILL = 56, /* {"task"}|{"all":true}; ← {"epoch","tasks":[],"count"} as MSG_KILL_DONE */
	MSG_KILL_DONE = 57,
	MSG_TASKS = 58, /* {}; ← {"tasks":[…],"epoch"} as MSG_TASKS */
	MSG_POLICY_ACTIVATE =
	    59, /* {"name","by"?}; fds: policy file; ← {"name","hash","previous"} as
	                             MSG_POLICY_STATE */
	MSG_POLICY_ROLLBACK = 60, /* {"name"}; ← MSG_POLICY_STATE */
	MSG_POLICY_HISTORY = 61,  /* {"name"?}; ← {"generations":[…]} as MSG_POLICY_STATE */
	MSG_POLICY_STATE = 62,

	/* arbiter, supervisor → ledger (socket pairs; people: ledger.sock) */
	MSG_APPEND =
	    70, /* {"event","task"?,"action_id"?,"data":{…},"durable":bool}; ← MSG_APPENDED when
	                      written (durable: synced). No reply if the serial is 0. */
	MSG_APPENDED = 71,   /* ← {"index","hash"} */
	MSG_CHECKPOINT = 72, /* {}: sign now; ← {"note":"…"} as MSG_CHECKPOINTED */
	MSG_CHECKPOINTED = 73,
	MSG_SYNC = 74, /* {}: everything before is on disk; ← MSG_OK */
};
