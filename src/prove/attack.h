/* The contract between the attacks (src/prove/attacks) and the harness that runs them (rf-prove).
 *
 * An attack is one small function of the program rf-attack, and one row of a table. The harness links the
 * table alone (the rows' `run` is NULL there), starts
 *
 *     rf-attack NAME [key=value…]
 *
 * with no lock, with each lock of the row as the only one, and in a real sandbox, and reads lines of JSON from
 * its standard output:
 *
 *     {"result":"started"}                    always the first: the program runs
 *     {"result":"ready"}                      attacks with ACT_KILL: now end what you started
 *     {"result":"succeeded"|"held"|"cannot","detail":"…"}
 *
 * The last result counts; what is no JSON (an attack on the output limit) is passed over. Exit status: 0
 * succeeded, 1 held, 2 cannot be tried here (a kernel without the call, a missing right), 3 misuse. Without a
 * last line the attack was ended: that is `held` for rows with SILENCE_HOLDS, if "started" came, and a broken
 * test for all others.
 *
 * Fixtures are processes of the same program:
 *
 *     rf-attack --fixture dir=DIR             dir: an empty directory that it can write
 *
 * prints {"result":"ready","fixtures":{"key":"value",…}} and serves until the end of its standard input. Every
 * pair is handed on to the attack as key=value. With NEEDS_OUTSIDE the harness starts it without locks, as who
 * runs rf-prove; with NEEDS_NEIGHBOUR under the same locks as the attack, in namespaces (a sandbox) of its own,
 * and hands on "pid" as the host's number of it. rf-prove has a session key ring of its own (keyctl), which
 * fixtures and attacks inherit.
 *
 * Controls are safe for the host: no attack does harm when it succeeds. Exhaustion needs what the harness
 * gives around it (NEEDS_BOUNDS), and refuses to run without the key "bounded". */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* A lock, alone: everything else is as the harness itself has it (uid 0 with all its capabilities as root; the
 * user's own id and no capability rootless), the host's namespaces, nothing restricted. */
enum lock {
	/* Ends a list. */
	LOCK_NONE,
	/* Mount namespace with the sandbox's root, by pivot: what is not shown is absent, what is not scratch is
	 * read-only; /dev as the sandbox has it. */
	LOCK_ROOT,
	/* User namespace with the sandbox's ids (host's root not mapped), without a capability. */
	LOCK_USER_NS,
	/* Pid namespace, with a /proc of it mounted over the host's. */
	LOCK_PID_NS,
	LOCK_NET_NS,
	LOCK_IPC_NS,
	LOCK_UTS_NS,
	LOCK_CGROUP_NS,
	/* The command's filter. */
	LOCK_SECCOMP,
	/* The command's Landlock domain (rules for those of its paths that the host has). They allow /tmp:
	 * outside fixtures and state must not lie there, dir must. */
	LOCK_LANDLOCK,
	/* No capability in any set, bounding set empty, SECBIT_NOROOT; uid as before. */
	LOCK_NO_CAPS,
	LOCK_NO_NEW_PRIVS,
	/* dir is on a nosuid mount; a nodev mount. */
	LOCK_NOSUID,
	LOCK_NODEV,
	/* A user namespace whose max_user_namespaces is 0; capabilities over it kept. */
	LOCK_NESTING,
	/* Read-only /proc with the sandbox's masks. */
	LOCK_PROC,
	/* A session key ring of its own. */
	LOCK_KEYRING,
	/* Control group with the LIMIT_… below: memory and swap, pids, cpu. */
	LOCK_CGROUP,
	/* The command's rlimits, from the LIMIT_… below (RLIMIT_DATA too), and core 1, rtprio 0, nice 0; as an
	 * ordinary uid without capabilities, which the kernel counts and which cannot raise them. */
	LOCK_RLIMITS,
	/* dir is a tmpfs limited in bytes and inodes by the LIMIT_… below. */
	LOCK_SCRATCH,
	/* workspace is an overlay over the directory of the host. */
	LOCK_STAGED,
	/* The supervisor's clock: LIMIT_WALL_MS, then SIGKILL; its sum of processor time; of resident memory. */
	LOCK_WALL,
	LOCK_CPU_CLOCK,
	LOCK_WATCH,
	/* The relay's cap: LIMIT_OUTPUT bytes, then SIGKILL. */
	LOCK_OUTPUT,
	/* Descriptors above 2 are closed on exec. */
	LOCK_CLOSED,
	/* Pid namespace: the end of its pid 1 ends all. The parent-death signal of that pid 1. */
	LOCK_PID1,
	LOCK_PDEATH,
	/* The command's filter with executables: listed. dir is on a noexec mount. */
	LOCK_LISTED,
	LOCK_NOEXEC,
	/* The command has another uid than pid 1, and no capability. */
	LOCK_OTHER_UID,
	/* In a sandbox with a network: the policy's rules, while rf-dialer would connect to whatever they permit; what
	 * rf-dialer makes of addresses, while the rules permit every host that the attack wants. */
	LOCK_POLICY,
	LOCK_ADDRESSES,
	/* Of rf-gateway itself: its system-call filter; its Landlock domain. Each in an attacker who has nothing else
	 * of it (ITS_OWN_LOCKS, as those below). */
	LOCK_GATEWAY_FILTER,
	LOCK_GATEWAY_LANDLOCK,
	/* rf-arbiter: that it decides itself; that it knows whose each sandbox is. */
	LOCK_DECISION,
	LOCK_BOUND,
	/* rf-dialer: that it wants a ticket; that it looks at the address (a good ticket without a pin). */
	LOCK_TICKET,
	LOCK_PINS,
	/* rf-vault: that the arbiter must ask; that the secret is bound to places (the arbiter asks for any). */
	LOCK_GRANT,
	LOCK_BINDING,
	LOCK_COUNT
};

/* The limits of a sandbox under proof, what an attack on one tries to get, and what bounds its control. */
#define LIMIT_MEMORY (32 << 20)
#define ATTEMPT_MEMORY (96 << 20)
#define BOUND_MEMORY (256 << 20) /* the sacrificial control group */
#define LIMIT_PROCESSES 32
#define ATTEMPT_PROCESSES 96
#define BOUND_PROCESSES 256 /* of the group; RLIMIT_NPROC where there is none */
#define LIMIT_DISK (16 << 20)
#define ATTEMPT_DISK (32 << 20)
#define BOUND_DISK (64 << 20) /* the sacrificial tmpfs */
#define LIMIT_INODES (LIMIT_DISK / 4096)
#define ATTEMPT_INODES (2 * LIMIT_INODES)
#define BOUND_INODES (4 * LIMIT_INODES)
#define LIMIT_FILES 64
#define ATTEMPT_FILES 256
#define BOUND_FILES 1024 /* RLIMIT_NOFILE */
#define LIMIT_OUTPUT (1 << 20)
#define ATTEMPT_OUTPUT (4 << 20)
#define LIMIT_WALL_MS 1000
#define ATTEMPT_WALL_MS 2500
#define LIMIT_CPU_S 1
#define ATTEMPT_CPU_MS 2600
/* Of one processor, in hundredths. Between the two lies what a quota that is renewed ten times a second lets
 * through in half a second. */
#define LIMIT_CPU_PERCENT 25
#define ATTEMPT_CPU_PERCENT 40

/* What an attack needs; bits of attack.needs. The harness gives the keys in quotes. "dir" (a directory that the
 * attack can write: scratch in a sandbox, a sacrificial tmpfs for controls) is always given. */

/* The control works for the host's root only: rootless it is not tested. */
#define NEEDS_ROOT (1u << 0)
/* For the root of a user namespace too: rootless, the control and the locks but user-ns start from there (new
 * user, mount, pid, net, IPC, UTS and cgroup namespaces, every capability over them), or it is not tested. */
#define NEEDS_NS_ROOT (1u << 11)
/* A fixture process without locks; one in a sandbox of its own. */
#define NEEDS_OUTSIDE (1u << 1)
#define NEEDS_NEIGHBOUR (1u << 2)
/* The BOUND_… around it, locks or not; "bounded=1". */
#define NEEDS_BOUNDS (1u << 3)
/* The harness has "/" open, inheritable, as "leak" (a number). */
#define NEEDS_LEAK (1u << 4)
/* "workspace": a host directory with the file "original", staged by LOCK_STAGED. */
#define NEEDS_WORKSPACE (1u << 5)
/* "state": state directory of the Ringfence that runs the sandboxes; "control": its socket; "supervisor": the
 * pid of its supervisor. */
#define NEEDS_STATE (1u << 6)
/* The real sandbox has executables: listed, with rf-attack in the list. */
#define NEEDS_LISTED (1u << 12)
/* Landlock holds it by a scope, which kernels before Linux 6.12 (ABI 6) do not have: that lock is then not to
 * be had here. */
#define NEEDS_SCOPE (1u << 13)
/* Measures its part of the machine: nothing else of the proof runs beside it. */
#define NEEDS_QUIET (1u << 14)
/* Landlock holds it by its rules of ports (ABI 4, Linux 6.7), likewise. */
#define NEEDS_PORTS (1u << 15)
/* The real sandbox has a network (prove/internet.c), for whose policies the internet outside gives its keys. */
#define NEEDS_INTERNET (1u << 16)
/* The attack puts its locks on, or leaves them open, by itself, with the product's functions: "locks" is none, the name
 * of one, or all. "all" is not a sandbox: it is the program of ours that is attacked, as it is. */
#define ITS_OWN_LOCKS (1u << 17)
/* "programs": the directory of the product's. */
#define NEEDS_PROGRAMS (1u << 18)
/* Standard input stays open and silent until the end; else it is /dev/null. */
#define NEEDS_STDIN (1u << 10)
/* End what was started (SIGKILL to it alone) when it says "ready"; then wait for the end of its output. */
#define ACT_KILL (1u << 7)
/* The lock works by killing: see above. */
#define SILENCE_HOLDS (1u << 8)
/* "succeeded" counts only if `rf-attack --check NAME key=value…`, run without locks and with the host's paths
 * afterwards, says "succeeded" too. */
#define CHECK_OUTSIDE (1u << 9)

enum boundary {
	BOUNDARY_FILES,
	BOUNDARY_PROCESSES,
	BOUNDARY_KERNEL,
	BOUNDARY_DEVICES,
	BOUNDARY_NETWORK,
	BOUNDARY_GATEWAY,
	BOUNDARY_TAKEOVER,
	BOUNDARY_EXECUTABLES,
	BOUNDARY_RESOURCES,
	BOUNDARY_PRIVILEGE,
	BOUNDARY_SANDBOXES,
	BOUNDARY_SUPERVISOR,
	BOUNDARY_COUNT
};

enum attack_result { ATTACK_SUCCEEDED, ATTACK_HELD, ATTACK_CANNOT };

struct fixtures; /* attacks/attacks.h: the key=value arguments */

#define ATTACK_LOCKS_MAX 5

struct attack {
	const char *name; /* [a-z0-9_], unique */
	enum boundary boundary;
	const char *title; /* "reads a file of the host's": what success means */
	/* Each must hold it alone; LOCK_NONE ends. locks[0] is lock one. */
	enum lock locks[ATTACK_LOCKS_MAX];
	/* The same for an ordinary user; empty: the same as locks. */
	enum lock rootless[ATTACK_LOCKS_MAX];
	unsigned needs;
	enum attack_result (*run)(const struct fixtures *);
	enum attack_result (*check)(const struct fixtures *); /* with CHECK_OUTSIDE */
	/* Not NULL: no safe control exists, and why; nothing is run. */
	const char *not_tested;
	/* Not NULL: where and why this is only conventional, for the table. */
	const char *conventional;
};

/* Row INDEX of the table, in the order of the boundaries; NULL past the last one. */
const struct attack *attack_at(size_t index);
/* By name; NULL if there is none. */
const struct attack *attack_find(const char *name);
/* "seccomp"; as arguments and in JSON. */
const char *lock_name(enum lock lock);
/* "system-call filter"; for people. */
const char *lock_title(enum lock lock);
/* "files", "processes", … */
const char *boundary_name(enum boundary boundary);
