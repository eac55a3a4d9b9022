"""What the attack tests share: a Ringfence of its own (state directory, user), what /proc says, controls.

RINGFENCE_BIN is the directory of the programs. `modes()` are the ways in which this machine can run
Ringfence now: as root, and as an ordinary user."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
BIN = os.path.abspath(os.environ.get("RINGFENCE_BIN", os.path.join(ROOT, "build", "bin")))
ATTACK = os.path.join(os.path.dirname(HERE), "attacks", "attack.py")
TIMEOUT = 60
NETWORK_PROGRAMS = ("rf-gateway", "rf-dialer", "rf-vault")  # they run once a policy has a network
PROGRAMS = ("rf-arbiter", "rf-ledger", *NETWORK_PROGRAMS)
USER = 4001
AS_ROOT = os.geteuid() == 0


def modes():
    return ["root", "rootless"] if AS_ROOT else ["rootless"]


def wait_until(condition, what, seconds=30):
    """Polls CONDITION and returns what it says; the deadline is only there so that a failure ends."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("never: " + what)
        time.sleep(0.005)


def as_user(argv, uid=USER):
    """ARGV as an ordinary user; our own if we are one."""
    if not AS_ROOT:
        return list(argv)
    return ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", *argv]


def file_text(path):
    try:
        with open(path, "rb") as f:
            return f.read().decode(errors="replace")
    except OSError:
        return ""


def status_of(pid):
    """/proc/PID/status as a dict, empty if it is gone."""
    return dict(line.split(":\t", 1) for line in file_text(f"/proc/{pid}/status").splitlines() if ":\t" in line)


def pids():
    return [int(p) for p in os.listdir("/proc") if p.isdigit()]


def processes_with(marker):
    """Host pids whose command line holds MARKER, ours excepted."""
    return [p for p in pids() if p != os.getpid() and marker in file_text(f"/proc/{p}/cmdline")]


def children_of(pid):
    return [p for p in pids() if status_of(p).get("PPid", "").strip() == str(pid)]


def alive(pid):
    return status_of(pid).get("State", "X")[0] not in "XZ"


def cgroup_leftovers(supervisor_pids):
    """ringfence-PID-* directories of supervisors that we know."""
    found = []
    for base, names, _ in os.walk("/sys/fs/cgroup"):
        for name in names:
            parts = name.split("-")
            if len(parts) == 3 and parts[0] == "ringfence" and parts[1].isdigit() and int(parts[1]) in supervisor_pids:
                found.append(os.path.join(base, name))
    return found


class Ringfence:
    """Ringfence with a state directory of its own, as root or as an ordinary user."""

    def __init__(self, mode, before=(), state=None):
        """BEFORE goes in front of every command: nsenter into a mount namespace, say."""
        self.mode = mode
        self.before = list(before)
        self.dir = tempfile.mkdtemp(prefix="rf-attack-")
        self.home = os.path.join(self.dir, "home")
        os.mkdir(self.home)
        self.uid = USER if AS_ROOT and mode == "rootless" else os.geteuid()
        os.chmod(self.dir, 0o755)
        if self.uid != os.geteuid():
            os.chown(self.dir, self.uid, self.uid)
            os.chown(self.home, self.uid, self.uid)
        self.state = state or os.path.join(self.dir, "state")
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("RINGFENCE_", "XDG_"))}
        self.env.update(HOME=self.home, RINGFENCE_STATE=self.state,
                        RINGFENCE_CONFIG=os.path.join(self.dir, "config.yaml"))
        self.supervisors = set()

    def argv(self, *args):
        cli = [os.path.join(BIN, "ringfence"), *args]
        return self.before + (as_user(cli) if self.mode == "rootless" else cli)

    def cli(self, *args, **options):
        options.setdefault("timeout", TIMEOUT)
        options.setdefault("env", self.env)
        if "input" not in options:
            options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run(self.argv(*args), capture_output=True, **options)

    def run(self, *args, **options):
        return self.cli("run", *args, **options)

    def start(self, *args, **options):
        """A Popen of the CLI, in the background."""
        options.setdefault("env", self.env)
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        return subprocess.Popen(self.argv(*args), **options)

    def attack(self, *attempts, options=(), timeout=TIMEOUT):
        """The outcomes of attack.py's ATTEMPTS in one sandbox."""
        with open(ATTACK) as source:
            r = self.run(*options, "--", "/usr/bin/python3", "-", *attempts, stdin=source, timeout=timeout)
        if r.returncode != 0:
            raise AssertionError(f"{r.returncode}: {r.stderr.decode(errors='replace')}")
        return json.loads(r.stdout)

    def write(self, name, text, mode=0o644):
        """A file below our directory that the user can read."""
        path = os.path.join(self.dir, name)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)
        if self.uid != os.geteuid():
            os.chown(path, self.uid, self.uid)
        return path

    def make_directory(self, name):
        path = os.path.join(self.dir, name)
        os.mkdir(path)
        if self.uid != os.geteuid():
            os.chown(path, self.uid, self.uid)
        return path

    def programs(self):
        """{"rf-supervisor": pid, "rf-arbiter": pid, …} of this state directory, those that live."""
        found = {}
        named = []
        for pid in pids():
            line = file_text(f"/proc/{pid}/cmdline").split("\0")
            if line[0] == "rf-supervisor" and self.state in line and alive(pid):
                named.append(pid)
        for pid in named:
            # A child that has not executed its program yet still has its parent's name.
            if int(status_of(pid).get("PPid", "0")) in named:
                continue
            found["rf-supervisor"] = pid
            self.supervisors.add(pid)
            for child in children_of(pid):
                name = file_text(f"/proc/{child}/comm").strip()
                if name in PROGRAMS and alive(child):
                    found[name] = child
        return found

    def sandboxes(self):
        """The rf-init processes below this supervisor."""
        supervisor = self.programs().get("rf-supervisor")
        if supervisor is None:
            return []
        return [p for p in children_of(supervisor) if file_text(f"/proc/{p}/comm").strip() == "rf-init" and alive(p)]

    def stop(self):
        self.cli("kill", "all")
        return self.cli("stop")

    def destroy(self):
        self.stop()
        for pid in self.programs().values():
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        shutil.rmtree(self.dir, ignore_errors=True)


def attack_outside(attempts, before=(), user=True, env=None, cwd="/"):
    """The positive control: the same ATTEMPTS on the host, as an ordinary user (USER) or as ourselves,
    behind the command BEFORE (unshare, say)."""
    argv = [*before, "/usr/bin/python3", "-", *attempts]
    with open(ATTACK) as source:
        r = subprocess.run(as_user(argv) if user else argv, stdin=source, capture_output=True, timeout=TIMEOUT,
                           env=env, cwd=cwd)
    if r.returncode != 0:
        raise AssertionError(f"control: {r.returncode}: {r.stderr.decode(errors='replace')}")
    return json.loads(r.stdout)
