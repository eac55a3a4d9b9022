/* Against the kernel's own surface: namespaces, mounts, and the calls that few programs need. */
#include <errno.h>
#include <sched.h>
#include <sys/mount.h>

#include "prove/attacks/attacks.h"

static enum attack_result
unshare_user(const struct fixtures *f)
{
	return answer(unshare(CLONE_NEWUSER) == 0, "a user namespace");
}

static enum attack_result
unshare_mount(const struct fixtures *f)
{
	return answer(unshare(CLONE_NEWNS) == 0, "a mount namespace");
}

const struct attack kernel_attacks[] = {
    {"unshare_user", BOUNDARY_KERNEL, "makes a user namespace (unshare)",
	{LOCK_SECCOMP, LOCK_NESTING}, .run = RUN(unshare_user)},
    {"unshare_mount", BOUNDARY_KERNEL, "makes a mount namespace (unshare)",
	{LOCK_SECCOMP, LOCK_USER_NS, LOCK_NO_CAPS}, .needs = NEEDS_NS_ROOT,
	.run = RUN(unshare_mount)},
    {0}};
