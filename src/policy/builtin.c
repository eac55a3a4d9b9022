/* The policies that are part of the program. They are YAML like any other, so that `ringfence policy
 * check` and a reader see what decides. Kept short: `isolated` is read on every first run. */
#include <string.h>

#include "policy/policy.h"

#define SANDBOX_LIMITS                                                                       \
	"  limits: {cpu: 2, memory: 1GiB, processes: 128, disk: 512MiB, wall: 10m, output: " \
	"16MiB, open_files: 1024}\n"                                                         \
	"  floor: [user-ns, net-ns, seccomp, landlock, memory-limit, process-limit]\n"

static const struct {
	const char *name, *text;
} builtins[] = {
    {"isolated",
	"version: 1\n"
	"name: isolated\n"
	"sandbox:\n"
	"  workspace: none\n" SANDBOX_LIMITS "rules:\n"
	"  - {name: any-command, why: nothing inside reaches anything outside, allow: exec, "
	"program: any}\n"},
    {"workspace",
	"version: 1\n"
	"name: workspace\n"
	"sandbox:\n"
	"  workspace: staged\n" SANDBOX_LIMITS "rules:\n"
	"  - {name: any-command, why: changes stay in the staged workspace, allow: exec, program: "
	"any}\n"
	"  - {name: commit-workspace, why: the user asks for it with --commit, allow: file, "
	"operations: [commit]}\n"},
};

const char *
policy_builtin(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(builtins); i++)
		if (strcmp(builtins[i].name, name) == 0)
			return builtins[i].text;
	return NULL;
}
