/* What the supervisor and rf-init say to each other, over a socket pair (ipc/msg.h) that only they
 * hold. rf-init trusts it; nothing that the agent controls is interpreted here beyond being copied.
 *
 * INIT_VIEW →     {"ids":{"init","command","init_group","command_group","groups":bool}, "hostname",
 *                  "skeleton", "binds":[{"from","to"? (the same),"file":bool,"noexec"?:bool}],
 *                  "noexec"?:bool (what is writable is mounted so),
 *                  "rules"?:[{"path","execute":bool}] (Landlock's, instead of one for each bind)}:
 *                 what needs no plan
 * INIT_PLAN →     {"scratch":{"bytes","inodes"}, "workspace":{"mode","path","dev","ino"}?,
 *                  "rlimits":{"open_files","processes","file_bytes","data_bytes"},
 *                  "later"?:bool (the workspace comes with INIT_WORKSPACE),
 *                  "network"?:{"ports":[n],"proxy_port","resolver","bundle":bool} (every address is local,
 *                  and these have listeners; resolv.conf names the resolver; the last descriptor is the
 *                  bundle of authorities),
 *                  "fds":{"cgroups":N,"workspace":bool},
 *                  "filters":{"command":[AT,LENGTH],"init":[AT,LENGTH]} (instructions of the file)}
 *                 fds: filters, cgroup entries…, workspace mount?, bundle of authorities?
 * INIT_LISTENERS ← {"listeners":[{"role","port"}]} (MSG_GATEWAY_LISTEN's); fds: one each. Before INIT_READY.
 * INIT_WAITING ←  {}: with "later": built but for the workspace
 * INIT_WORKSPACE → {"mode"}; fds: its mount
 * INIT_READY ←    {"evidence":{…},"timing":[…]}; fds: its /proc, scratch, upper directory?
 *                 A process with every lock applied now waits for what to execute.
 * INIT_GO →       {"command":N,"argv":[],"env":[],"program","cwd","cpu_s"?,"file_bytes"?,
 *                  "tty"?:{"rows","cols"}}; fds: stdin, stdout, stderr, or none with "tty".
 *                 That process executes it. Its end is the sandbox's.
 * INIT_STAY →     {}: no command; from now on INIT_EXEC and INIT_OPEN, until the end of file
 * INIT_EXEC →     as INIT_GO, any number of times, under the same locks
 * INIT_OPEN →     {"path","how","mode"}, with a serial; ← INIT_OPENED {"errno"?}, fds: [file]: opened
 *                 by a process that is what a command is
 * INIT_FAILED ←   {"error":{…}} before GO; rf-init then ends
 * INIT_TERMINAL ← {"command"}; fds: [terminal's master]: with "tty", before INIT_RUNNING
 * INIT_RUNNING ←  {"command","errno":0 or why the exec failed,"error"?,"pid"}
 * INIT_EXITED ←   {"command","code"|"signal","usage":{…}}; after GO rf-init then ends, and with it every
 *                 process
 * INIT_SIGNAL →   {"signal","command"? (its process group; absent: every process)} */
#pragma once

enum init_msg {
	INIT_VIEW = 200,
	INIT_PLAN,
	INIT_READY,
	INIT_GO,
	INIT_FAILED,
	INIT_RUNNING,
	INIT_EXITED,
	INIT_SIGNAL,
	INIT_STAY,
	INIT_EXEC,
	INIT_OPEN,
	INIT_OPENED,
	INIT_TERMINAL,
	INIT_WAITING,
	INIT_WORKSPACE,
	INIT_LISTENERS,
};

#define PLAN_CONTROL_FD 3
#define PLAN_WORKSPACE "/workspace"
#define PLAN_HOME "/home/agent"
#define PLAN_UID 1000 /* what the command is inside, where two ids can be mapped */
#define PLAN_INIT_UID 1001

/* With "network": a read-only file system of the sandbox's own, with the bundle of authorities and resolv.conf. They
 * are shown where programs look for them, too, as far as the root has such a place. */
#define PLAN_NETWORK "/run/ringfence"
#define PLAN_RESOLVER "198.18.0.1" /* in the range of the gateway's synthetic addresses */
#define PLAN_AUTHORITIES PLAN_NETWORK "/ca-certificates.crt"
