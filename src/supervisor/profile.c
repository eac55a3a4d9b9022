/* The supervisor's lock, as data: a seccomp filter that every later start keeps.
 *
 * No Landlock: a Landlock domain is inherited and forbids mounting, which rf-init has to do. The filter
 * is inherited by rf-init and, through it, by every command: so it lists what they need and refuses
 * what none of us ever needs, for good. Root's capabilities stay: they are the job. */
#include "supervisor/profile.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "sys/seccomp.h"

static const int never[] = {
    __NR_ptrace,
    __NR_process_vm_readv,
    __NR_process_vm_writev,
    __NR_bpf,
    __NR_perf_event_open,
    __NR_userfaultfd,
    __NR_kexec_load,
    __NR_init_module,
    __NR_finit_module,
    __NR_delete_module,
    __NR_reboot,
    __NR_swapon,
    __NR_swapoff,
    __NR_acct,
    __NR_settimeofday,
    __NR_clock_settime,
    __NR_adjtimex,
    __NR_clock_adjtime,
    __NR_quotactl,
    __NR_open_by_handle_at,
    __NR_syslog,
    __NR_add_key,
    __NR_request_key,
    __NR_io_uring_setup,
    __NR_io_uring_enter,
    __NR_io_uring_register,
    __NR_fanotify_init,
    __NR_lookup_dcookie,
    __NR_vhangup,
#ifdef __NR_kexec_file_load
    __NR_kexec_file_load,
#endif
#ifdef __NR_iopl
    __NR_iopl,
    __NR_ioperm,
    __NR_modify_ldt,
#endif
};

int
profile_enter(struct error *err)
{
	static struct seccomp_rule rules[ARRAY_LEN(never)];
	struct seccomp_program program = {0};
	for (size_t i = 0; i < ARRAY_LEN(never); i++)
		rules[i] =
		    (struct seccomp_rule){.nr = never[i], .action = SECCOMP_RET_ERRNO | EPERM};
	int r = seccomp_compile(rules, ARRAY_LEN(rules), SECCOMP_RET_ALLOW, &program, err);
	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = -errno;
	if (r == 0)
		r = seccomp_install(program.code, program.len);
	seccomp_program_done(&program);
	return r < 0 ? error_set_errno(err, -r, "locks_failed", "cannot confine rf-supervisor") : 0;
}
