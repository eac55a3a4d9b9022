/* Every message that our programs exchange: number, direction, body. doc/messages.md explains the
 * flows. A number is never used again for something else. */
#pragma once

enum msg_type {
	MSG_ERROR = 1, /* any → any: {"error":{"code","message","remedy","action_id"?}} */
	MSG_OK = 2,    /* any → any: {} */

	/* CLI → supervisor (supervisor.sock) and back */
	MSG_RUN = 10, /* {"argv":[],"cwd"?,"env":{},"policy":{"name"}|{"file"},"task"?,"workspace"?:
	                     {"path","mode"},"timing":bool,"limits"?:{} (tightening only; named as in
	                     policy_sandbox)}; fds: stdin, stdout, stderr, [policy file],
	                     [workspace directory] in that order */
	MSG_HELD =
	    11, /* ← {"action_id","review_id","rule","approvals":[],"expires_at","risk":{}} */
	MSG_STARTED =
	    12, /* ← {"action_id","task","sandbox","receipt":{},"limits":{"output_bytes"?,…}} */
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
	MSG_STATUS =
	    19, /* → {"stay"?:true: do not leave when idle}; ← {"version","pid","sandboxes":[{"sandbox","task","pid","since"}],
	                       "programs":[{"name","pid"}]} */

	/* supervisor → arbiter (socket pair) and back */
	MSG_PROPOSE = 30, /* {"action":{…},"policy":{"name"}|{"file"},"requester_uid"}; fds: [policy
	                     file]. ← MSG_VERDICT */
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
