/* A session: a sandbox that stays, in which any number of commands run, as the files that share it see it.
 *
 *   VIEWING ─policy known→ BUILDING ─INIT_READY, floor holds→ READY ─kill, time-out, lost→ ENDING ─reaped→ gone
 *
 * session.c       life and end            session_ask.c   list, inspect, control
 * session_open.c  files in and out        checkpoint.c    states of its workspace
 * Its commands are runs (run.h): each an action of its own, decided as such. */
#pragma once

#include "base/uuid.h"
#include "supervisor/policies.h"
#include "supervisor/supervisor.h"

#define SESSION_NAME 64

enum session_state { SESSION_VIEWING, SESSION_BUILDING, SESSION_READY, SESSION_ENDING };

struct checkpoints;

/* Somebody who waits for rf-init's answer, or for the end. */
struct session_waiter {
	struct session_waiter *next;
	struct conn *client;
	uint32_t client_serial, serial; /* the client's; ours to rf-init, or one of these: */
	char how[16];
};
#define WAITS_FOR_END 0u
#define WAITS_FOR_PAUSE 1u
#define WAITS_FOR_NOTHING 2u /* answered */
#define FIRST_SERIAL 16u

/* Bringing every process to a stand (session_ask.c). */
struct session_stand {
	int64_t began_ns, turn_ns;
	bool steps; /* they may run for a moment */
};

struct session {
	struct session *next;
	struct supervisor *s;
	enum session_state state;
	struct conn *creator; /* until it is ready */
	uint32_t creator_serial, asked_serial;
	struct msg request; /* owned: its body, until it is ready */
	int policy_fd,
	    workspace_fd; /* owned, or -1. The workspace's stays open: checkpoints need it */
	char id[UUID_TEXT], task[UUID_TEXT], name[SESSION_NAME];
	struct json *policy; /* owned: {"name"} or {"hash"}: what each command's proposal names */
	char policy_hash[POLICY_HASH]; /* of the generation that shaped it */
	struct json *wanted;           /* owned: that generation's sandbox configuration */
	struct json *config;           /* owned: the same, with the request's tighter limits */
	struct json *env;              /* owned: additions for every command */
	struct json *receipt;          /* owned, until it is ready; then */
	char *receipt_text;            /* owned: the same as text */
	char *workspace_path, *workspace_mode; /* owned, or NULL */
	struct sandbox *sandbox;               /* owned */
	struct network *network;               /* owned, if the policy has one */
	struct watch *control, *pid_watch;
	struct timer *idle, *lifetime, *patience, *pausing;
	int64_t idle_ms, lifetime_ms, created_ms, last_used_ms;
	int64_t user; /* what its commands' id is inside; -1: the usual one */
	int64_t next_number;
	unsigned n_commands, commands_total;
	bool paused;
	struct session_stand stand; /* while it is being paused */
	struct error why;           /* why it ended */
	uint32_t kill_serial;
	uint32_t next_serial;
	struct session_waiter *waiters;
	struct checkpoints *checkpoints; /* owned by checkpoint.c; or NULL */
};

/* session.c */

/* The session that NAME means: an id, the beginning of one (8 characters or more), or a name. NULL with ERR
 * if there is none, or more than one. */
struct session *session_find(struct supervisor *s, const char *name, struct error *err);
/* Ends it: its sandbox is destroyed, its commands fail with CODE and WHY. */
void session_end(struct session *session, const char *code, const char *why);
/* A command of it begins, or has ended. */
void session_command_begins(struct session *session);
void session_command_ended(struct session *session);
/* Appends EVENT with DATA (taken) to the ledger, for its task. */
void session_record(struct session *session, const char *event, struct json *data);
/* From rf-init, of the session's sandbox, about no command. */
void session_on_opened(struct session *session, struct msg *m); /* session_open.c */
/* Stops or continues every process in it; false if rf-init cannot be told. */
bool session_signal_all(struct session *session, int signal);
/* Ends every wait of CLIENT's (NULL: everybody's). */
void session_forget_waiters(struct session *session, const struct conn *client);
struct session_waiter *session_wait(
    struct session *session, struct conn *client, uint32_t client_serial, uint32_t serial);

/* session_ask.c */
/* Stops every process. 0 or -EIO. */
int session_stand_begin(struct session *session, struct session_stand *stand) MUST_CHECK;
/* 1 if all stand, 0 if not yet (ask every millisecond), -EAGAIN with ERR if that is not to be expected any more. */
int session_stands(struct session *session, struct session_stand *stand, struct error *err)
    MUST_CHECK;
struct json *session_body(const struct session *session, bool usage, bool receipt);
/* Remembers that a session ended, for the list. */
void session_note_ended(struct session *session);
/* Leaves a trace by which a supervisor after us can say that it lived. */
void session_note_lives(struct session *session);

/* checkpoint.c */
/* Whether SESSION's workspace is being changed or copied: nothing may begin in it, or go on, meanwhile. */
bool checkpoint_under_way(const struct session *session);
size_t checkpoint_count(const struct session *session);
/* Frees what it keeps of SESSION. */
void checkpoint_session_gone(struct session *session);
