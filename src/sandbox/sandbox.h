/* One sandbox of the namespaces tier: from the first process in empty namespaces to its last.
 *
 *   sandbox_spawn      rf-init waits in new namespaces; needs no policy yet
 *   sandbox_send_plan  what it must become; it answers INIT_READY with evidence, and waits, locked
 *   sandbox_go         one command, whose end is the sandbox's; or
 *   sandbox_stay       a session: sandbox_exec any number of times
 *   sandbox_kill       SIGKILL to pid 1: the kernel ends every process in the pid namespace
 *   sandbox_free       after pid 1 was reaped: gives the control group back */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"
#include "ipc/msg.h"
#include "sandbox/host.h"
#include "sys/cgroup.h"

/* What all sandboxes of one supervisor share; made once. */
struct sandbox_host;

/* INIT_PATH is rf-init's executable; STATE (open as STATE_FD) the state directory, which keeps the
 * skeleton. 0 or -errno with ERR. */
int sandbox_host_new(const char *init_path, const char *state, int state_fd,
    struct sandbox_host **ret, struct error *err) MUST_CHECK;
/* The hash of the seccomp filter that CONFIG's commands get. */
const char *sandbox_host_filter_hash(const struct sandbox_host *host, const struct json *config);
struct sandbox_host *sandbox_host_free(struct sandbox_host *host);
struct cgroup_host *sandbox_host_cgroups(struct sandbox_host *host);
bool sandbox_host_rootless(const struct sandbox_host *host);
/* What CONFIG's root shows (sandbox/views.c); borrowed, until the next call that makes another of the same
 * root. 0 or -errno with ERR. */
int sandbox_host_view(struct sandbox_host *host, const struct json *config, const struct json **ret,
    struct error *err) MUST_CHECK;
/* Finds the program NAME as execvp(3) would in that root. 0, -ENOENT, -EACCES or -ENAMETOOLONG.
 * Inspection only. CONFIG NULL: the host's root. */
int sandbox_host_resolve(struct sandbox_host *host, const struct json *config, const char *name,
    const char *cwd, char ret_program[RESOLVED_MAX], char ret_resolved[RESOLVED_MAX]);

struct sandbox {
	struct sandbox_host *host; /* borrowed */
	char id[40];
	pid_t pid;            /* of rf-init, in our pid namespace */
	int pidfd;            /* owned */
	int control;          /* owned: socket to rf-init */
	int proc_fd;          /* owned: its /proc, once it is ready; or -1 */
	int scratch_fd;       /* owned: the root of its scratch file system, or -1 */
	int upper_fd;         /* owned: the upper layer of its workspace, or -1 */
	int image_fd;         /* owned: keeps its image from being removed; or -1 */
	struct json *view;    /* owned: what its root shows, but for what INIT_VIEW told already */
	struct cgroup *group; /* owned; NULL where the host has none */
	uid_t init_uid, command_uid; /* as the host sees them */
	uid_t inner_init_uid, inner_uid;
	gid_t inner_init_gid, inner_gid;
	bool workspace, staged;
	bool network; /* it has listeners, and a bundle of authorities */
};

/* What a sandbox becomes. All borrowed. */
struct sandbox_shape {
	const struct json
	    *config; /* policy_sandbox(), with the request's tighter limits merged in */
	const char *workspace_mode; /* NULL, "staged" or "direct" */
	const char *workspace_path;
	int workspace_fd; /* the caller's descriptor of it, or -1 */
	int bundle_fd; /* with CONFIG's "network": the authorities that it trusts, sealed memory */
	bool later;    /* of the workspace only the mode is known yet: sandbox_send_workspace */
};

/* What is executed in it. All borrowed. */
struct sandbox_command {
	int64_t number; /* names it in what rf-init says */
	const struct json *argv;
	const struct json *env; /* object: additions to the scrubbed environment */
	const char *program;
	const char *cwd;        /* NULL: the workspace, else the home */
	const struct json *tty; /* {"rows","cols"}, or NULL */
	int stdio[3];           /* without a tty */
	int64_t cpu_time_ms;    /* 0: none */
};

/* Starts rf-init in new namespaces and maps its ids. VIEW is what its root shows (copied); NULL: the host's.
 * ID names it. USER is what the command's id is called inside; negative: the usual one. It is a name only: whatever
 * it says, on the host it is an id without rights, and 0 has no capability. 0 or -errno with ERR (which says what to do where the host denies user namespaces). */
int sandbox_spawn(struct sandbox_host *host, const struct json *view, const char *id, int64_t user,
    struct sandbox **ret, struct error *err) MUST_CHECK;
#define SANDBOX_USER_MAX 65533 /* USER's upper bound */
/* Takes a control group, sets the limits and sends the plan. 0 or -errno with ERR. */
int sandbox_send_plan(struct sandbox *sandbox, const struct sandbox_shape *shape, struct error *err)
    MUST_CHECK;
/* The workspace that SHAPE now knows, as root (an ordinary user cannot hand over a mount). 0 or -errno with ERR. */
int sandbox_send_workspace(
    struct sandbox *sandbox, const struct sandbox_shape *shape, struct error *err) MUST_CHECK;
/* Takes the descriptors of INIT_READY. */
void sandbox_is_ready(struct sandbox *sandbox, struct msg *ready);
/* Its one command; its end is the sandbox's. 0 or -errno. */
int sandbox_go(struct sandbox *sandbox, const struct sandbox_command *command) MUST_CHECK;
/* A session from now on; then commands, any number at a time. 0 or -errno. */
int sandbox_stay(struct sandbox *sandbox) MUST_CHECK;
int sandbox_exec(struct sandbox *sandbox, const struct sandbox_command *command) MUST_CHECK;
/* SIGNAL to command NUMBER's process group; negative: to every process in it but rf-init. */
int sandbox_signal(struct sandbox *sandbox, int64_t number, int signal);
void sandbox_kill(struct sandbox *sandbox);
/* Accepts NULL; returns NULL. */
struct sandbox *sandbox_free(struct sandbox *sandbox);

/* The whole-sandbox use of memory and processor that polling finds, for hosts without control groups. */
struct sandbox_sample {
	int64_t resident_bytes;
	int64_t cpu_ms;
	int64_t processes;
};
/* 0 or -errno: then nothing is known, and the caller must not go on without. sample.c says what it misses. */
int sandbox_sample(const struct sandbox *sandbox, struct sandbox_sample *ret) MUST_CHECK;
/* Whether every process in it but rf-init, with every thread, is stopped (after SIGSTOP) or gone. */
bool sandbox_is_stopped(const struct sandbox *sandbox);
