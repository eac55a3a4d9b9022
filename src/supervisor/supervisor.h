/* What the parts of rf-supervisor share: one process, one loop.
 *
 *   main.c      start and leave              programs.c  rf-arbiter, rf-ledger: start, restart
 *   clients.c   what the CLI may ask         run.c       one run, from request to result
 *   receipt.c   evidence → receipt, floor    commit.c    letting a staged workspace out
 *   pool.c      sandboxes made ahead             verdict.c   what a verdict means to a client
 *   policies.c  what is known of policies        session.c   sandboxes that stay
 *   gateways.c  rf-gateway, rf-dialer, rf-vault, rf-issuer: start, join, restart
 *   network.c   one sandbox's part in the network boundary */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/json.h"
#include "io/loop.h"
#include "ipc/dispatch.h"
#include "sandbox/sandbox.h"

enum peer {
	PEER_CLIENT,
	PEER_ARBITER,
	PEER_LEDGER,
	PEER_INIT,
	PEER_GATEWAY,
	PEER_DIALER,
	PEER_VAULT,
	PEER_ISSUER
};

struct run;
struct commit;
struct pool;
struct session;
struct network;

enum { LISTENER_SUPERVISOR, LISTENER_ARBITER, LISTENER_LEDGER, LISTENER_VAULT, LISTENERS };

struct sibling {
	const char *name; /* "rf-arbiter" */
	pid_t pid;
	int pidfd;           /* owned; -1 when it does not run */
	struct watch *watch; /* of pidfd */
	struct conn *conn;   /* our end of its socket pair */
	unsigned restarts;   /* since: */
	int64_t restarts_since_ns;
};

struct supervisor {
	struct loop *loop;
	int state_fd; /* the state directory */
	char state[4096];
	int lock_fd;
	int listeners[LISTENERS]; /* supervisor.sock, arbiter.sock, … */
	struct watch *accepting;
	struct sandbox_host *sandboxes;
	struct sibling arbiter, ledger;
	struct sibling gateway, dialer, vault; /* gateways.c: they run once somebody needs them */
	struct sibling issuer;
	int64_t gateway_number;     /* of the gateway process that runs now */
	struct watch *vault_wanted; /* vault.sock, as long as the vault does not run */
	struct network *networks;   /* list */
	struct pool *pool;
	struct json *policies;    /* policies.c */
	struct session *sessions; /* list */
	struct json *ended;       /* sessions that ended last (session_ask.c) */
	unsigned n_sessions;
	struct timer *sweep;
	unsigned sweeps;
	struct run *runs; /* list */
	unsigned n_runs, n_clients;
	struct commit *commits;
	int64_t idle_ms;
	struct timer *idle;
	struct conn *shutdown_by; /* who waits for MSG_OK, or NULL */
	uint32_t shutdown_serial;
	uint32_t
	    kill_serial; /* of the last MSG_KILL_TASK that is not answered, and how much it ended */
	unsigned kill_count;
	bool leaving;
};

/* programs.c */

/* Starts rf-ledger and rf-arbiter and connects them. 0 or -errno with ERR. */
int programs_start(struct supervisor *s, struct error *err) MUST_CHECK;
/* Ends the conversations; the programs see end of file, finish and leave. Waits for them. */
void programs_stop(struct supervisor *s);

/* What is different between the programs that are started. */
struct program {
	struct sibling *sibling;
	unsigned peer;
	const struct route *routes;
	uid_t uid; /* with root: its own */
	int *fds;  /* as ipc/spawn.h numbers them; borrowed. SPAWN_SUPERVISOR is added */
	int n_fds;
	loop_fd_fn *on_end;
};
/* 0 or -errno with ERR. */
int program_start(struct supervisor *s, const struct program *program, struct error *err)
    MUST_CHECK;
/* Ends it, if it runs, and forgets it. Its wait status, or -1. */
int program_forget(struct sibling *sibling);
/* Ends it in peace: it sees end of file, finishes and leaves; after WAIT_MS it is killed. */
void program_stop(struct sibling *sibling, int wait_ms);
/* Whether it should not be started once more, because it keeps ending. */
bool program_restarts_too_often(struct sibling *sibling);
/* The program's own directory below the state directory, owned by UID as root. fd or -errno with ERR. */
int program_directory(struct supervisor *s, const char *name, uid_t uid, struct error *err)
    MUST_CHECK;
/* The configuration file, or -1 where there is none. */
int program_config(void);

/* gateways.c */

/* Nothing of it runs yet; whoever connects to vault.sock starts the vault. 0 or -errno with ERR. */
int gateways_new(struct supervisor *s, struct error *err) MUST_CHECK;
/* A sandbox with a network is about to be: rf-gateway and rf-dialer run, with VAULT rf-vault too. 0 or -errno with ERR. */
int gateways_need(struct supervisor *s, bool vault, struct error *err) MUST_CHECK;
/* Ends them: what they knew of an arbiter is over. */
void gateways_end(struct supervisor *s);
/* Ends them in peace, for good. */
void gateways_stop(struct supervisor *s);

/* clients.c */

/* Serves a client's descriptor (taken). */
void clients_add(struct supervisor *s, int fd);
/* Leaves if nothing runs and nobody is connected for a while, or at once if asked to. */
void clients_consider_idle(struct supervisor *s);

/* run.c */

int run_on_request(struct conn *conn, struct msg *m);
int run_on_exec(struct conn *conn, struct msg *m);
int run_on_signal(struct conn *conn, struct msg *m);
int run_on_stop(struct conn *conn, struct msg *m);
void run_on_client_closed(struct conn *conn);
/* From the arbiter. */
int run_on_verdict(struct conn *conn, struct msg *m);
int run_on_claimed(struct conn *conn, struct msg *m);
int run_on_refused(struct conn *conn, struct msg *m);
int run_on_kill(struct conn *conn, struct msg *m);
/* Whether the answer M to a policy's view is for a run. */
bool run_on_viewed(struct supervisor *s, struct msg *m);
/* From the ledger: the record SERIAL is written, or ERR (else NULL) says why not. */
void run_on_recorded(struct supervisor *s, uint32_t serial, const struct error *err);
/* Ends every run: WHY is the reason that its client is told. */
void run_end_all(struct supervisor *s, const char *code, const char *why);
struct json *run_list(const struct supervisor *s);

/* session.c, session_ask.c, session_open.c: what clients may ask */

int session_on_create(struct conn *conn, struct msg *m);
int session_on_list(struct conn *conn, struct msg *m);
int session_on_inspect(struct conn *conn, struct msg *m);
int session_on_control(struct conn *conn, struct msg *m);
int session_on_open(struct conn *conn, struct msg *m);
int checkpoint_on_request(struct conn *conn, struct msg *m);
int checkpoint_on_view(struct conn *conn, struct msg *m);
void checkpoint_on_client_closed(struct conn *conn);
/* TASK's changes were committed: they are no conflict later. */
void checkpoint_committed(struct supervisor *s, const char *task);
void session_on_client_closed(struct conn *conn);
bool session_on_viewed(struct supervisor *s, struct msg *m);
bool session_on_refused(struct supervisor *s, struct msg *m);
/* Ends those of TASK (NULL: all) by kill SERIAL; how many. */
unsigned session_on_kill(struct supervisor *s, const char *task, uint32_t serial);
/* Whether one that SERIAL ended is not gone yet. */
bool session_kill_waits(const struct supervisor *s, uint32_t serial);
void session_end_all(struct supervisor *s, const char *code, const char *why);
/* Says what became of the sessions of a supervisor before us. */
void session_find_lost(struct supervisor *s);

/* commit.c */

int commit_on_request(struct conn *conn, struct msg *m);
int commit_on_done(struct conn *conn, struct msg *m);
void commit_on_client_closed(struct conn *conn);
/* Whether SERIAL (of a proposal) or ACTION_ID is a commit's, which then takes M. */
bool commit_on_verdict(struct supervisor *s, struct msg *m);
bool commit_on_claimed(struct supervisor *s, struct msg *m);
bool commit_on_refused(struct supervisor *s, struct msg *m);
void commit_end_all(struct supervisor *s, const char *code, const char *why);

/* receipt.c */

/* The receipt of SANDBOX from what rf-init reported and what control groups show; owned. */
struct json *receipt_make(const struct sandbox *sandbox, const struct json *config,
    const struct json *evidence, const char *task);
/* What is mounted in it, as the kernel lists it; owned. Some 60 µs, so where nobody waits. */
struct json *receipt_mounts(const struct sandbox *sandbox);
/* Adds that to its receipt. */
void receipt_add_mounts(struct json *receipt, const struct sandbox *sandbox);
/* Puts the ids into a receipt that was made before they were known. */
void receipt_name(struct json *receipt, const char *sandbox, const char *task);
/* Whether RECEIPT reaches every term of CONFIG's floor; else -EPERM and ERR says which not and why. */
int receipt_check_floor(const struct json *receipt, const struct json *config,
    const struct cgroup_host *cgroups, struct error *err) MUST_CHECK;
