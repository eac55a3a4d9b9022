/* What the supervisor and rf-init say to each other, over a socket pair (ipc/msg.h) that only they
 * hold. rf-init trusts it; nothing that the agent controls is interpreted here beyond being copied.
 *
 * INIT_VIEW →     {"ids":{"init","command","init_group","command_group","groups":bool}, "hostname",
 *                  "skeleton", "binds":[{"from","to","file":bool}]}: what needs no policy
 * INIT_PLAN →     {"scratch":{"bytes","inodes"}, "workspace":{"mode","path","dev","ino"}?,
 *                  "rlimits":{"open_files","processes","file_bytes","data_bytes","cpu_s"},
 *                  "argv":[], "env":[], "program", "cwd", "fds":{"cgroups":N,"workspace":bool},
 *                  "filters":{"command":N,"init":N} (instructions, one after the other)}
 *                 fds: filters, stdin, stdout, stderr, cgroup entries…, workspace mount?
 * INIT_READY ←    {"evidence":{…},"timing":[…]}; fds: its /proc, upper directory?
 * INIT_GO →       {}: execute
 * INIT_FAILED ←   {"error":{…}} before GO; rf-init then ends
 * INIT_RUNNING ←  {"errno":0} or why the exec failed
 * INIT_EXITED ←   {"code"|"signal","usage":{…}}; rf-init then ends, and with it every process
 * INIT_SIGNAL →   {"signal"} */
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
};

#define PLAN_CONTROL_FD 3
#define PLAN_WORKSPACE "/workspace"
#define PLAN_HOME "/home/agent"
#define PLAN_UID 1000 /* what the command is inside, where two ids can be mapped */
#define PLAN_INIT_UID 1001
