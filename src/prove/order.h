/* What rf-prove and rf-prove-init say to each other over PROVE_CONTROL_FD (ipc/msg.h): one order, one answer.
 *
 * PROVE_ORDER →    {"locks":["seccomp",…]: exactly what is put on, and nothing else; none is a control,
 *                   "program","argv":[],"env":[],
 *                   "ids":{"uid","gid","change"}?: what the attack becomes (user-ns, other-uid, rlimits),
 *                   "mounts": whether the mount namespace is its own, "proc": whether it needs a /proc of its own,
 *                   "cgroup_ns": whether it needs a cgroup namespace of its own,
 *                   "dir"?: where a tmpfs of "scratch":{"bytes","inodes"} is mounted for the attack,
 *                   "view": what the sandbox's root shows (sandbox/plan.h), "workspace"?: a directory of the host,
 *                   "filter": length of the command's filter in instructions,
 *                   "rlimits":{…} as INIT_PLAN's, "cpu_s", "bounds":{"processes","open_files","file_bytes"}?,
 *                   "cgroups": how many}
 *                  fds: filter, control group entries…
 * PROVE_RUNNING ←  {"engaged":{"seccomp","no_new_privs","capabilities","uid"}}: read from the kernel after the
 *                  locks; the attack is executed next
 * PROVE_FAILED ←   {"error":{…}}: the lock cannot be had here
 *
 * rf-prove-init then waits for the attack and ends as it did. */
#pragma once

enum prove_msg { PROVE_ORDER = 220, PROVE_RUNNING, PROVE_FAILED };

#define PROVE_CONTROL_FD 3
#define PROVE_LEAK_FD 4 /* what NEEDS_LEAK leaves open */
