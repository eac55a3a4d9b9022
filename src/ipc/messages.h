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
	                     {"path","mode"},"timing":bool,"receipt"?:bool (with MSG_STARTED),"limits"?:{} (tightening only; named as in
	                     policy_sandbox)}; fds: stdin, stdout, stderr, [policy file],
	                     [workspace directory] in that order */
	MSG_HELD =
	    11, /* ← {"action_id","review_id","rule","approvals":[],"expires_at","risk":{}} */
	MSG_STARTED =
	    12, /* ← {"action_id","task","sandbox","receipt"?:{} (if it was asked for; of a session's
	           command never),"limits":{"output_bytes"?,…}}; fds: [terminal's master] with "tty" */
	MSG_DONE =
	    13, /* ← {"action_id","task","sandbox","exit":{"code"}|{"signal"},"limit"?,"error"?,
	                     "usage":{},"network"?:{"usage","denials"} (MSG_GATEWAY_CLOSED's),"timing"?:[{"step",
	                     "at_ns"}] (CLOCK_MONOTONIC),"receipt"?:{} (of a run that failed)}; fds: [scratch upper directory] */
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

	/* the network boundary (doc/network.md). GATEWAY below is a gateway process's number. */

	/* supervisor → arbiter, dialer, vault, gateway */
	MSG_PEER_JOIN =
	    100, /* {"peer":"arbiter|dialer|vault|gateway","gateway"?:N,"tenant"?}: the receiver's new
	            conversation with that sibling; of a gateway which. fds: [socket]. No reply; its end is
	            the sibling's. */
	/* supervisor → arbiter */
	MSG_NET_OPEN =
	    101, /* {"sandbox","task","policy":{"name"}|{"hash"},"requester_uid","gateway":N}: from now on
	            that gateway, and no other, proposes for that sandbox; ← MSG_OK */
	MSG_NET_CLOSE = 102, /* {"sandbox"}: it ended, and with it what it asked for; no reply */
	/* supervisor → gateway */
	MSG_GATEWAY_OPEN =
	    103, /* {"sandbox","task","network":{…} (policy_sandbox's),"bytes_per_s"?,"bytes"? (in all)};
	            ← MSG_GATEWAY_OPENED */
	MSG_GATEWAY_OPENED =
	    104, /* ← {"ca": the sandbox's own authority, PEM}; fds: [sealed memory: the
	                              system's authorities and this one, PEM] */
	MSG_GATEWAY_LISTEN =
	    105, /* {"sandbox","listeners":[{"role":"dns-udp|dns-tcp|tcp|proxy","port"}]}; fds: one
	            each, made inside; any number of these; ← MSG_OK */
	MSG_GATEWAY_CLOSE = 106, /* {"sandbox"}; ← MSG_GATEWAY_CLOSED */
	MSG_GATEWAY_CLOSED =
	    107, /* ← {"usage":{"connections","requests","denied","bytes_in","bytes_out"},"denials":[{
	            "what","reason","needed"?,"count"}] (the first 16)} */

	/* gateway → arbiter and back */
	MSG_NET_REACH =
	    110, /* {"sandbox","host","port"?}: could any rule permit something there? Decides nothing.
	            ← MSG_NET_REACHED */
	MSG_NET_REACHED =
	    111, /* ← {"reach":bool,"raw":bool (net rules),"plain":bool (http rules of scheme http),
	            "intercept":bool (http or git rules over TLS),"git":bool}; without a port only "reach" */
	MSG_NET_CHANGED = 112, /* ← {"sandbox"}: what was said about reach is not good any more */
	MSG_NET_PROPOSE =
	    113, /* {"sandbox","action":{"kind":"net|http|git","target","request",…}}; ← MSG_NET_VERDICT */
	MSG_NET_VERDICT =
	    114, /* ← {"action_id","state":"performing" (allowed and claimed: do it now) |"reviewing" (another
	            comes with this serial) |"denied|rejected|expired|revoked|invalidated","decision":{…},
	            "limits":{"body_bytes"?,"response_bytes"?,"bytes"?,"time_ms"?,"bytes_per_s"?,"response_types"?:[]},"ticket"?:{…},
	            "mac"?,"grant"?: id of what MSG_CREDENTIAL brings,"credential"?: its name,"review_id"?,
	            "expires_at"?,"comment"?} */
	MSG_NET_SETTLE =
	    115, /* {"action_id","state":"succeeded|failed|unknown","outcome":{}}; no reply */
	MSG_NET_WITHDRAW = 116, /* {"action_id"}: whoever asked left; no reply */
	MSG_NET_NOTE =
	    117, /* {"sandbox","event":"name-denied|connection-refused|request-refused|dial-refused",
	            "data":{}}: what was refused before it could become an action, for the ledger; no reply */

	/* gateway → dialer and back */
	MSG_DIAL =
	    120, /* {"ticket":{"id","gateway","sandbox","action_id","host","port","addresses"?:[CIDR] (private
	            ones too, these only),"expires_ms" (wall clock),"connections":n},"prefer"?: address to try first (if it is among those checked),"mac": HMAC-SHA-256 of the
	            canonical ticket in hexadecimal}; ← MSG_DIALED, or MSG_ERROR (ticket_refused,
	            name_unknown, address_refused, connect_failed, dial_timeout) */
	MSG_DIALED =
	    121, /* ← {"address","port","addresses":n (checked)}; fds: [connected socket] */
	/* arbiter → dialer */
	MSG_TICKET_KEY =
	    122, /* {"key"}: hexadecimal; what tickets are signed with from now on; no reply */

	/* arbiter → vault and back */
	MSG_GRANT =
	    130, /* {"grant","credential","action_id","sandbox","gateway","target":{"kind","scheme"?,"host",
	            "port","method"?,"path"?},"digest","expires_ms"}; the vault checks what the secret is bound to and
	            sends MSG_CREDENTIAL to that gateway; ← MSG_GRANTED, or MSG_ERROR
	            (credential_unknown, credential_not_bound) */
	MSG_GRANTED = 131, /* ← {"grant","version"} */
	MSG_REVOKE = 132,  /* {"grant"}|{"sandbox"}|{"credential"}: at once; no reply */
	/* vault → gateway */
	MSG_CREDENTIAL =
	    133, /* ← {"grant","sandbox","credential","expires_ms","apply":{"as":"bearer|basic|header|
	            query|cookie|aws","name"? (of the header, parameter, cookie; aws: date/region/service),
	            "user"? (basic; aws: the access key id)},"value" (aws: the key derived for that scope)};
	            sent before MSG_GRANTED */
	MSG_CREDENTIAL_REVOKED = 134, /* ← {"grant"} */
	/* vault → arbiter */
	MSG_SECRET_CHANGED =
	    135, /* ← {"event":"secret-set|secret-removed","credential","by","version"}: for the ledger */

	/* people (the CLI) → vault (vault.sock) and back */
	MSG_SECRET_SET =
	    140, /* {"name","as","header"? (name of the header, parameter, cookie),"user"? (aws: access key id),
	            "region"?,"service"? (aws),"bind":{"hosts":[],
	            "ports"?:[] (443),"methods"?:[],"paths"?:[],"plain"?:bool (also without TLS)}}; fds: [its
	            value: a memfd, sealed against writing and shrinking]; ← MSG_SECRETS with it */
	MSG_SECRET_LIST = 141, /* {"after"?:name}; ← MSG_SECRETS */
	MSG_SECRETS =
	    142, /* ← {"secrets":[{"name","as",…,"bind","version","set_ms","by","state":"sealed|another-key|
	            damaged"}],"omitted"?:n (ask again, after the last),"key":{"from":"own|file|command",
	            "where","conventional":bool,"id"?,"error"?}}: no values */
	MSG_SECRET_REMOVE = 143, /* {"name"}: and every grant of it; ← MSG_SECRETS */

	/* exchanges: a secret for a token of short life (doc/secrets.md) */
	/* vault → arbiter and back */
	MSG_ISSUER_TICKET =
	    150, /* {"grant","host","port"}: the way to that issuer, for a grant that was asked for and not
	            answered; ← MSG_ISSUER_TICKETED, or MSG_ERROR (issuer_not_pinned, grant_unknown) */
	MSG_ISSUER_TICKETED =
	    151, /* ← {"ticket","mac"} (MSG_DIAL's, with "gateway": TICKET_ISSUER) */
	/* vault → supervisor */
	MSG_ISSUER_WANTED = 152, /* {}: start rf-issuer; it is joined, or ← MSG_ERROR */
	/* vault → issuer and back */
	MSG_EXCHANGE =
	    153, /* {"as":"github-app|oauth","parameters":{…} (proto/issuer.h),"secret","ticket","mac"}; ←
	            MSG_EXCHANGED, or MSG_ERROR (issuer_unreachable, issuer_refused, issuer_invalid,
	            issuer_not_pinned, credential_unusable) */
	MSG_EXCHANGED = 154, /* ← {"token","expires_ms"} */
};
