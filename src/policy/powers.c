/* The table behind `policy capabilities`: names, and how the program gets beyond its arguments.
 *
 * It is knowledge for people, and nothing is decided by it: a program that it does not name may do all
 * the same. What holds is the sandbox. */
#include "policy/powers.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/macros.h"

static const struct power powers[] = {
    {"sh bash dash zsh fish ksh mksh rbash ash tcsh csh busybox toybox", POWER_COMPUTES,
	"a shell: scripts, pipes, files"},
    {"python pypy perl ruby node nodejs deno bun php lua luajit tclsh wish guile java jshell "
     "Rscript R julia ocaml ghci runghc erl elixir iex racket sbcl clisp scala groovy kotlin "
     "swipl gforth raku m4 dc octave gnuplot gawk mawk awk nawk original-awk",
	POWER_COMPUTES, "a programming language"},
    {"sed ed ex vi vim vimdiff view nvim emacs nano pico jed joe micro kak mcedit", POWER_COMPUTES,
	"an editor: the e command of sed, :! and scripts in the others, and writes any file it "
	"may"},
    {"sqlite sqlite3 psql mysql mariadb mongo mongosh redis-cli", POWER_COMPUTES,
	"a database shell: .shell, \\! and loadable extensions"},
    {"gdb lldb", POWER_LOADS, "a debugger: shell, Python, and code into other processes"},
    {"ld.so ld-linux ld-linux-x86-64.so ld-linux-aarch64.so ld-linux-armhf.so ld-musl-x86_64.so "
     "ld-musl-aarch64.so libc.so",
	POWER_LOADS, "the dynamic loader: runs a program by mapping it, and preloads libraries"},
    {"strace ltrace perf valgrind rr qemu-x86_64 qemu-aarch64 qemu-system-x86_64", POWER_LOADS,
	"runs a program under its eyes, and can change what it does"},
    {"git tig hg svn", POWER_RUNS,
	"-c core.pager, core.sshCommand and aliases, hooks, filters, editors, external diffs"},
    {"find fd fdfind", POWER_RUNS, "-exec, -execdir, -ok; -delete and -fprint on files"},
    {"tar bsdtar cpio zip unzip rsync 7z ar", POWER_RUNS,
	"--checkpoint-action, --to-command, -I, --use-compress-program, -TT, --rsh"},
    {"xargs parallel env nice nohup timeout setsid stdbuf time chrt ionice taskset unshare "
     "nsenter chroot setarch linux64 linux32 flock watch script expect entr run-parts "
     "start-stop-daemon unbuffer catchsegv prlimit setpriv capsh tini dumb-init",
	POWER_RUNS, "the program that its arguments name"},
    {"sudo su doas runuser pkexec systemd-run machinectl at batch crontab", POWER_RUNS,
	"the program that its arguments name, or later, as another user where that is possible"},
    {"make gmake cmake ninja meson bazel scons ant mvn gradle just rake autoreconf automake "
     "libtool configure dpkg-buildpackage debuild",
	POWER_RUNS, "what the build files say"},
    {"npm npx yarn pnpm pip pipx uv poetry cargo rustup go gem bundle bundler composer mix apt "
     "apt-get aptitude dpkg rpm dnf yum apk snap flatpak brew conda",
	POWER_RUNS, "install scripts, build scripts and run commands of packages"},
    {"gcc cc g++ c++ cpp clang clang++ ld ld.lld ld.gold rustc ghc as", POWER_RUNS,
	"its own passes, -wrapper, -B, plugins; and it writes new programs"},
    {"ssh scp sftp ssh-keygen ssh-add ssh-agent mosh rlogin", POWER_RUNS,
	"ProxyCommand, LocalCommand, PKCS#11 libraries; commands elsewhere"},
    {"less more most man pg bat info apropos", POWER_RUNS,
	"!command, LESSOPEN, the pager and editor of the environment"},
    {"docker podman buildah nerdctl ctr runc crun kubectl helm lxc virsh ansible "
     "ansible-playbook terraform vagrant",
	POWER_RUNS, "programs in other containers or on other machines"},
    {"curl wget nmap nc ncat netcat socat telnet ftp openssl tcpdump busctl dbus-send gdbus mail "
     "mutt w3m lynx",
	POWER_RUNS, "-e, -c, EXEC:, -z, --use-askpass, engines and scripts, where it has them"},
    {"tmux screen dtach byobu mc ranger top htop", POWER_RUNS, "a shell, or what its keys start"},
    {"split sort", POWER_RUNS, "--filter, --compress-program"},
};

/* What may follow the name: a version or a flavour (3.11, -12, .basic). */
static bool
is_version(const char *rest)
{
	if (*rest == '-' || *rest == '.')
		rest++;
	else if (*rest != '\0' && (*rest < '0' || *rest > '9'))
		return false;
	static const char *const flavours[] = {"basic", "tiny", "nox", "gtk", "gtk3", "wrapped"};
	for (size_t i = 0; i < ARRAY_LEN(flavours); i++)
		if (strcmp(rest, flavours[i]) == 0)
			return true;
	return strspn(rest, "0123456789.-") == strlen(rest);
}

/* Whether BASE is one of NAMES, with or without a version. */
static bool
names_have(const char *names, const char *base)
{
	while (*names != '\0') {
		size_t n = strcspn(names, " ");
		if (strncmp(names, base, n) == 0 && is_version(base + n))
			return true;
		names += n + (names[n] == ' ');
	}
	return false;
}

const struct power *
power_of(const char *program)
{
	const char *slash = strrchr(program, '/');
	const char *base = slash != NULL ? slash + 1 : program;
	/* x86_64-linux-gnu-gcc is gcc. */
	const char *triple = strstr(base, "-linux-gnu-");
	if (triple != NULL)
		base = triple + strlen("-linux-gnu-");
	for (size_t i = 0; i < ARRAY_LEN(powers); i++)
		if (names_have(powers[i].names, base))
			return &powers[i];
	return NULL;
}

const char *
power_kind_name(enum power_kind kind)
{
	static const char *const names[] = {
	    [POWER_COMPUTES] = "interpreter", [POWER_RUNS] = "runs", [POWER_LOADS] = "loads"};
	return names[kind];
}
