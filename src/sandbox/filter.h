/* The system calls that a sandboxed command may make: the sandbox's seccomp profile, as data.
 *
 * Listed calls are allowed (some by their arguments); calls that reach for the host are refused with
 * EPERM so that programs report a denial; everything unknown is ENOSYS, so that programs fall back to
 * older calls. Read together with doc/sandbox.md. */
#pragma once

#include "sys/seccomp.h"

/* Compiles the command's filter. 0 or a negative errno; RET is owned by the caller. */
int filter_command(struct seccomp_program *ret, struct error *err) MUST_CHECK;
/* The same for a sandbox with `executables: listed`, which also refuses what makes or runs a program that
 * no file of the root is: memfd_create(2), and execveat(2) of a descriptor alone. */
int filter_command_listed(struct seccomp_program *ret, struct error *err) MUST_CHECK;

/* What is left to rf-init once its command runs. Anything else kills it, and with it the sandbox. */
int filter_init(struct seccomp_program *ret, struct error *err) MUST_CHECK;
