#!/usr/bin/python3
"""Limits, workspaces, streams and receipts of a sandbox: what a run may use and what it may leave behind,
as root and as an ordinary user. Every limit has a positive control: the same program within its bounds."""

import json
import os
import socket
import stat
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ring import *

COUNT_FILES = """
import os
n = 0
try:
    while n < 2500:
        open(f"/tmp/f{n}", "w").close()
        n += 1
except OSError as e:
    print(n, e.errno)
else:
    print(n, 0)
"""
COUNT_FORKS = """
import os, signal
n = 0
try:
    while n < 60:
        if os.fork() == 0:
            signal.pause()
        n += 1
except OSError as e:
    print(n, e.errno)
else:
    print(n, 0)
"""
COUNT_OPEN = """
import os
n = 0
try:
    while n < 200:
        os.open("/", os.O_RDONLY)
        n += 1
except OSError as e:
    print(n, e.errno)
else:
    print(n, 0)
"""
HIDE_MEMORY = """
import mmap, os
held = []
for i in range(100):
    held.append(os.memfd_create("hidden"))
    os.write(held[-1], b"x" * (1 << 20))
    held.append(mmap.mmap(-1, 1 << 20, flags=mmap.MAP_SHARED))
    held[-1].write(b"x" * (1 << 20))
    held[-1].madvise(mmap.MADV_DONTNEED)
print("held 200 MiB")
"""
EAT_BY_THREADS = """
import os, sys, threading, time
def fork():
    if os.fork() == 0:
        x = bytearray(int(sys.argv[1]) << 20)
        time.sleep(2)
        os._exit(0)
    time.sleep(2)
threads = [threading.Thread(target=fork) for _ in range(4)]
for t in threads: t.start()
for t in threads: t.join()
print("all lived")
"""
BURN_IN_CHILDREN = """
import os, sys, time
for i in range(int(sys.argv[1])):
    if os.fork() == 0:
        while time.process_time() < 0.03: pass
        os._exit(0)
    os.wait()
print("all lived")
"""
EAT = "x = bytearray(160 << 20); print(len(x))"
EAT_IN_CHILDREN = """
import os, signal, sys, time
reader, writer = os.pipe()
os.set_blocking(reader, False)
children = []
for _ in range(4):
    children.append(os.fork())
    if children[-1] == 0:
        x = bytearray(int(sys.argv[1]) << 20)
        os.write(writer, b"x")
        while True: signal.pause()
full = 0
while full < 4:
    time.sleep(0.01)
    if os.waitpid(-1, os.WNOHANG)[0]:
        sys.exit("one was killed")
    try: full += len(os.read(reader, 4))
    except BlockingIOError: pass
print("all live")
"""
DIRECT = """version: 1
name: direct
sandbox:
  workspace: direct
rules:
  - {name: any, why: a test, allow: exec, program: any}
"""
CGROUP_FLOOR = """version: 1
name: strong
sandbox:
  limits: {memory: 64MiB}
  floor: [memory-limit: cgroup]
rules:
  - {name: any, why: a test, allow: exec, program: any}
"""
ENOSPC, EAGAIN, EMFILE = 28, 11, 24


class Case:
    """Both modes; the classes at the end say which."""

    @classmethod
    def setUpClass(cls):
        cls.ring = Ringfence(cls.mode)
        cls.direct = cls.ring.write("direct.yaml", DIRECT)

    @classmethod
    def tearDownClass(cls):
        cls.ring.destroy()

    def json(self, *args, **options):
        r = self.ring.run("--json", *args, **options)
        try:
            return json.loads(r.stdout)
        except ValueError:
            self.fail(f"{r.returncode} {r.stdout!r} {r.stderr!r}")

    def python(self, *options, code):
        return self.json(*options, "--", "/usr/bin/python3", "-c", code)


class Limits(Case):
    def has_memory_group(self):
        locks = self.json("--", "/usr/bin/true")["receipt"]["locks"]
        return next(l for l in locks if l["name"] == "memory-limit")["strength"] == "cgroup"

    def test_memory(self):
        over = self.python("--memory", "96MiB", code=EAT)
        self.assertEqual(over["stdout"], "")
        if self.has_memory_group():
            self.assertEqual((over["exit_code"], over["limit"]), (137, "memory"))
        else:
            self.assertIn("MemoryError", over["stderr"])
        self.assertEqual(self.python("--memory", "512MiB", code=EAT)["stdout"], f"{160 << 20}\n")

    def test_memory_of_all_processes_together(self):
        """Each is within the limit, all together are not."""
        over = self.json("--memory", "100MiB", "--", "/usr/bin/python3", "-c", EAT_IN_CHILDREN, "40")
        self.assertEqual((over["exit_code"], over["limit"]), (137, "memory"), over)
        good = self.json("--memory", "100MiB", "--", "/usr/bin/python3", "-c", EAT_IN_CHILDREN, "4")
        self.assertEqual(good["stdout"], "all live\n", good)

    def test_memory_of_what_threads_forked(self):
        """What a thread other than the first forks is no child of its process in /proc/PID/task/PID/children."""
        over = self.json("--memory", "100MiB", "--", "/usr/bin/python3", "-c", EAT_BY_THREADS, "60")
        self.assertEqual(over["limit"], "memory", over)
        good = self.json("--memory", "100MiB", "--", "/usr/bin/python3", "-c", EAT_BY_THREADS, "4")
        self.assertEqual(good["stdout"], "all lived\n", good)

    def test_processor_time_of_short_lived_children(self):
        over = self.json("--cpu-time", "300ms", "--", "/usr/bin/python3", "-c", BURN_IN_CHILDREN, "1000000")
        self.assertEqual((over["exit_code"], over["limit"]), (124, "cpu_time"))
        good = self.json("--cpu-time", "20s", "--", "/usr/bin/python3", "-c", BURN_IN_CHILDREN, "5")
        self.assertEqual(good["stdout"], "all lived\n")

    def test_memory_that_nobody_maps(self):
        """SECURITY.md: only a control group sees it. Where there is none the receipt must not claim more."""
        result = self.python("--memory", "64MiB", code=HIDE_MEMORY)
        if self.has_memory_group():
            self.assertEqual((result["exit_code"], result["limit"], result["stdout"]), (137, "memory", ""))
        elif result["stdout"] == "held 200 MiB\n":
            lock = next(l for l in result["receipt"]["locks"] if l["name"] == "memory-limit")
            self.assertEqual((lock["strength"], lock["evidence"]), ("watched", "applied"))
        self.assertEqual(self.python("--memory", "512MiB", code=HIDE_MEMORY)["stdout"], "held 200 MiB\n")

    def test_processes(self):
        count, why = self.python("--processes", "20", code=COUNT_FORKS)["stdout"].split()
        self.assertEqual(int(why), EAGAIN)
        self.assertLess(int(count), 20)
        self.assertEqual(self.python("--processes", "100", code=COUNT_FORKS)["stdout"], "60 0\n")

    def test_disk(self):
        over = self.json("--disk", "4MiB", "--", "/usr/bin/dd", "if=/dev/zero", "of=/tmp/x", "bs=64k", "count=100")
        self.assertIn("No space left", over["stderr"])
        self.assertEqual(over["limit"], "disk")
        for place in ("/home/agent/x", "/dev/shm/x", "/var/tmp/x"):
            over = self.json("--disk", "4MiB", "--", "/usr/bin/dd", "if=/dev/zero", f"of={place}", "bs=64k", "count=100")
            self.assertIn("No space left", over["stderr"], place)
        good = self.json("--disk", "16MiB", "--", "/usr/bin/dd", "if=/dev/zero", "of=/tmp/x", "bs=64k", "count=100")
        self.assertEqual(good["exit_code"], 0)

    def test_files(self):
        count, why = self.python("--disk", "4MiB", code=COUNT_FILES)["stdout"].split()
        self.assertEqual(int(why), ENOSPC)
        self.assertLess(int(count), 1024)
        self.assertEqual(self.python("--disk", "64MiB", code=COUNT_FILES)["stdout"], "2500 0\n")

    def test_open_files(self):
        count, why = self.python("--open-files", "40", code=COUNT_OPEN)["stdout"].split()
        self.assertEqual(int(why), EMFILE)
        self.assertLess(int(count), 40)
        self.assertEqual(self.python("--open-files", "400", code=COUNT_OPEN)["stdout"], "200 0\n")

    def test_output(self):
        over = self.json("--output", "65536", "--", "/usr/bin/yes")
        self.assertEqual((over["exit_code"], over["limit"]), (137, "output"))
        self.assertLessEqual(len(over["stdout"]), 65536)
        good = self.json("--output", "65536", "--", "/usr/bin/head", "-c", "60000", "/dev/zero")
        self.assertEqual(good["exit_code"], 0)

    def test_wall_time(self):
        over = self.json("--wall", "200ms", "--", "/usr/bin/sleep", "100000")
        self.assertEqual((over["exit_code"], over["limit"]), (124, "wall"))
        self.assertEqual(self.json("--wall", "60s", "--", "/usr/bin/true")["exit_code"], 0)

    def test_processor_time(self):
        over = self.python("--cpu-time", "200ms", code="while True: pass")
        self.assertEqual((over["exit_code"], over["limit"]), (124, "cpu_time"))
        forked = self.python("--cpu-time", "400ms", code="import os\nos.fork(); os.fork()\nwhile True: pass")
        self.assertEqual((forked["exit_code"], forked["limit"]), (124, "cpu_time"))

    def test_limits_cannot_be_raised_from_inside(self):
        for name in ("NOFILE", "NPROC", "FSIZE", "CORE"):
            code = (f"import resource as r\nsoft, hard = r.getrlimit(r.RLIMIT_{name})\n"
                    f"r.setrlimit(r.RLIMIT_{name}, (soft, hard + 1 if hard != -1 else hard))\n"
                    f"print('raised' if r.getrlimit(r.RLIMIT_{name})[1] != hard else 'same')")
            self.assertNotIn("raised", self.python(code=code)["stdout"], name)

    def test_a_request_cannot_loosen_the_policy(self):
        policy = self.ring.write("tight.yaml", DIRECT.replace("workspace: direct", "limits: {open_files: 50}"))
        result = self.json("--policy", policy, "--open-files", "5000", "--", "/usr/bin/sh", "-c", "ulimit -Hn")
        self.assertEqual(result["stdout"], "50\n")

    def test_exit_codes_and_signals_pass(self):
        self.assertEqual(self.ring.run("--", "/usr/bin/sh", "-c", "exit 7").returncode, 7)
        self.assertEqual(self.ring.run("--", "/usr/bin/sh", "-c", "kill -TERM $$").returncode, 143)
        self.assertEqual(self.ring.run("--", "/usr/bin/sh", "-c", "kill -SEGV $$").returncode, 139)
        self.assertEqual(self.ring.run("--", "no-such-program").returncode, 127)
        self.assertEqual(self.ring.run("--", "/usr/share/doc").returncode, 126)

    def test_a_pipe_that_nobody_reads_ends_the_writer_quietly(self):
        r = self.ring.run("--", "/usr/bin/bash", "-c", "yes | head -1; echo ${PIPESTATUS[0]}")
        self.assertEqual(r.stdout, b"y\n141\n")
        self.assertEqual(r.stderr, b"")


class Receipts(Case):
    def test_every_claim_has_its_evidence(self):
        path = os.path.join(self.ring.dir, "receipt.json")
        r = self.ring.run("--receipt", path, "--", "/usr/bin/true")
        self.assertEqual(r.returncode, 0, r.stderr)
        with open(path) as f:
            receipt = json.load(f)
        locks = {l["name"]: l for l in receipt["locks"]}
        for name in ("user-ns", "pid-ns", "mount-ns", "net-ns", "ipc-ns", "uts-ns", "cgroup-ns", "seccomp",
                     "no-new-privs", "no-caps"):
            self.assertEqual(locks[name]["evidence"], "kernel", name)
        self.assertEqual(locks["landlock"]["evidence"], "probe")
        self.assertEqual(receipt["mode"], self.mode)
        for limit in receipt["limits"]:
            self.assertIn(limit["evidence"], ("kernel", "probe", "applied"), limit)
            self.assertTrue(limit["by"])
        for name in ("memory-limit", "process-limit"):
            by_group = locks[name]["strength"] == "cgroup"
            self.assertEqual(locks[name]["evidence"], "kernel" if by_group else "applied")

    def test_the_namespaces_of_the_receipt_are_those_of_the_command(self):
        p = self.ring.start("run", "--json", "--", "/usr/bin/cat", stdin=subprocess.PIPE)
        try:
            init, command = wait_until(lambda: next(((i, c) for i in self.ring.sandboxes() for c in children_of(i)
                                                     if file_text(f"/proc/{c}/comm").strip() == "cat"), None),
                                       "the command runs")
            real = {n: os.readlink(f"/proc/{command}/ns/{n}") for n in ("user", "pid", "mnt", "net", "ipc", "uts", "cgroup")}
        finally:
            out, _ = p.communicate(timeout=TIMEOUT)
        told = {l["name"]: l.get("value") for l in json.loads(out)["receipt"]["locks"]}
        for name, value in real.items():
            self.assertEqual(told["mount-ns" if name == "mnt" else name + "-ns"], value)

    def test_a_floor_that_this_host_does_not_reach_is_refused_with_the_reason(self):
        policy = self.ring.write("floor.yaml", CGROUP_FLOOR)
        locks = self.json("--", "/usr/bin/true")["receipt"]["locks"]
        strength = next(l for l in locks if l["name"] == "memory-limit")["strength"]
        r = self.ring.run("--policy", policy, "--", "/usr/bin/echo", "it ran")
        if strength == "cgroup":
            self.assertEqual(r.stdout, b"it ran\n", r.stderr)
            return
        self.assertEqual(r.returncode, 125)
        self.assertEqual(r.stdout, b"")
        self.assertIn(b"memory-limit: cgroup", r.stderr)
        self.assertIn(b"watched", r.stderr)
        self.assertIn(b"cgroup hierarchy", r.stderr)


class Workspaces(Case):
    def setUp(self):
        self.workspace = self.ring.make_directory("ws-" + self.id().rsplit(".", 1)[1])
        self.user_owns(self.workspace)

    def user_owns(self, path):
        """As root, too, the workspace belongs to an ordinary user: owners must be translated."""
        if AS_ROOT:
            os.chown(path, USER, USER)

    def inside(self, *attempts, mode):
        return self.ring.attack(*attempts, options=("--policy", self.direct, "--workspace", self.workspace + mode))

    def test_staged_changes_do_not_reach_the_host(self):
        kept = os.path.join(self.workspace, "kept")
        with open(kept, "w") as f:
            f.write("as it was\n")
        self.user_owns(kept)
        r = self.ring.run("--policy", self.direct, "--workspace", self.workspace, "--discard", "--", "/usr/bin/sh", "-c",
                          "echo changed > kept; echo new > new; rm -rf /workspace/*; ls -A /workspace | wc -l")
        self.assertEqual(r.stdout, b"0\n", r.stderr)
        self.assertEqual(os.listdir(self.workspace), ["kept"])
        with open(kept) as f:
            self.assertEqual(f.read(), "as it was\n")

    def test_direct_changes_belong_to_the_workspaces_owner(self):
        outcome = self.inside("create=/workspace/made", mode=":direct")["create=/workspace/made"]
        self.assertTrue(outcome["ok"], outcome)
        st, owner = os.stat(os.path.join(self.workspace, "made")), os.stat(self.workspace)
        self.assertEqual((st.st_uid, st.st_gid), (owner.st_uid, owner.st_gid))

    def test_no_set_id_file_can_be_left_in_a_workspace(self):
        from test_sandbox import IN_DIRECTORY
        for mode in ("", ":direct"):
            outcomes = self.inside(*[row[0] + "=/workspace" for row in IN_DIRECTORY], mode=mode)
            for attempt, outcome in outcomes.items():
                self.assertFalse(outcome["ok"], (mode, attempt, outcome))
        for base, directories, files in os.walk(self.workspace):
            for name in directories + files:
                st = os.lstat(os.path.join(base, name))
                self.assertEqual(st.st_mode & 0o6000, 0, name)
                self.assertTrue(stat.S_ISREG(st.st_mode) or stat.S_ISDIR(st.st_mode), name)

    def test_a_link_that_leads_out_ends_in_the_sandbox(self):
        secret = self.ring.write("secret", "canary\n")
        os.symlink(secret, os.path.join(self.workspace, "out"))
        os.symlink("/etc/shadow", os.path.join(self.workspace, "shadow"))
        os.symlink("../../../../../../" + secret, os.path.join(self.workspace, "up"))
        names = ["out", "shadow", "up", "../" + os.path.relpath(secret, "/")]
        for mode in ("", ":direct"):
            for attempt, outcome in self.inside(*[f"read=/workspace/{n}" for n in names], mode=mode).items():
                self.assertIn(outcome.get("errno"), ("ENOENT", "EACCES"), (mode, attempt, outcome))
        # The control: outside the first link leads there.
        with open(os.path.join(self.workspace, "out")) as f:
            self.assertEqual(f.read(), "canary\n")

    def test_a_link_made_inside_is_not_followed_for_us(self):
        secret = self.ring.write("target", "canary\n")
        self.inside("write_to=/workspace/a", mode=":direct")
        r = self.ring.run("--policy", self.direct, "--workspace", self.workspace + ":direct", "--", "/usr/bin/ln", "-s",
                          secret, "/workspace/link")
        self.assertEqual(r.returncode, 0, r.stderr)
        outcome = self.inside("write_to=/workspace/link", mode=":direct")["write_to=/workspace/link"]
        self.assertFalse(outcome["ok"])
        with open(secret) as f:
            self.assertEqual(f.read(), "canary\n")

    def test_other_peoples_files_in_a_workspace_stay_theirs(self):
        if not AS_ROOT:
            self.skipTest("only root can make other people's files")
        path = os.path.join(self.workspace, "theirs")
        with open(path, "w") as f:
            f.write("canary\n")
        os.chmod(path, 0o600)
        os.chown(path, 4002, 4002)
        for mode in ("", ":direct"):
            outcomes = self.inside("read=/workspace/theirs", "open_to_write=/workspace/theirs", mode=mode)
            for attempt, outcome in outcomes.items():
                self.assertEqual(outcome.get("errno"), "EACCES", (mode, attempt, outcome))
        self.assertEqual(os.stat(path).st_uid, 4002)

    def test_a_workspace_that_is_replaced_meanwhile_is_not_the_one_that_is_shown(self):
        """Replaced after the caller opened it, while the decision is awaited."""
        other = self.ring.make_directory("other")
        with open(os.path.join(other, "canary"), "w") as f:
            f.write("canary\n")
        self.ring.run("--", "/usr/bin/true")
        arbiter = self.ring.programs()["rf-arbiter"]
        os.kill(arbiter, signal.SIGSTOP)
        try:
            p = self.ring.start("run", "--policy", self.direct, "--workspace", self.workspace + ":direct", "--",
                                "/usr/bin/ls", "-A", "/workspace")
            wait_until(lambda: json.loads(self.ring.cli("status", "--json").stdout).get("sandboxes"), "it is asked for")
            os.rename(self.workspace, self.workspace + ".old")
            os.rename(other, self.workspace)
        finally:
            os.kill(arbiter, signal.SIGCONT)
        out, err = p.communicate(timeout=TIMEOUT)
        self.assertEqual(out, b"", err)
        if self.mode == "root":
            self.assertEqual(p.returncode, 0, err)  # what the caller opened, wherever it is now
        else:
            self.assertEqual(p.returncode, 125)
            self.assertIn(b"was replaced", err)
        again = self.ring.run("--policy", self.direct, "--workspace", self.workspace + ":direct", "--", "/usr/bin/ls")
        self.assertEqual(again.stdout, b"canary\n", again.stderr)  # the control

    def test_the_state_directory_is_never_in_a_workspace(self):
        """Else a rootless command reaches our sockets with the uid that they trust."""
        self.ring.run("--", "/usr/bin/true")
        link = os.path.join(self.ring.dir, "link-to-run")
        if not os.path.islink(link):
            os.symlink(os.path.join(self.ring.state, "run"), link)
        for place in (self.ring.dir, self.ring.state, os.path.join(self.ring.state, "run"), link):
            for mode in ("", ":direct"):
                r = self.ring.run("--policy", self.direct, "--workspace", place + mode, "--", "/usr/bin/echo", "it ran")
                self.assertEqual((r.returncode, r.stdout), (125, b""), (place, mode))
                self.assertIn(b"state directory", r.stderr)

    def test_sockets_of_a_staged_workspace_lead_nowhere(self):
        """A direct one's do: that is documented (SECURITY.md), and the control here."""
        path = os.path.join(self.workspace, "s")
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
            server.listen()
            self.user_owns(path)
            staged = self.inside("connect_path=/workspace/s", mode="")["connect_path=/workspace/s"]
            direct = self.inside("connect_path=/workspace/s", mode=":direct")["connect_path=/workspace/s"]
        self.assertEqual(staged.get("errno"), "ECONNREFUSED", staged)
        self.assertTrue(direct["ok"], direct)

    def test_a_workspace_the_policy_does_not_allow_is_refused(self):
        for options in (("--policy", "isolated", "--workspace", self.workspace),
                        ("--policy", "isolated", "--workspace", self.workspace + ":direct"),
                        ("--policy", "workspace", "--workspace", self.workspace + ":direct")):
            r = self.ring.run(*options, "--", "/usr/bin/echo", "it ran")
            self.assertEqual((r.returncode, r.stdout), (126, b""), (options, r.stderr))


class TestLimitsRootless(Limits, unittest.TestCase):
    mode = "rootless"


class TestReceiptsRootless(Receipts, unittest.TestCase):
    mode = "rootless"


class TestWorkspacesRootless(Workspaces, unittest.TestCase):
    mode = "rootless"


@unittest.skipUnless(AS_ROOT, "needs root")
class TestLimitsAsRoot(Limits, unittest.TestCase):
    mode = "root"


@unittest.skipUnless(AS_ROOT, "needs root")
class TestReceiptsAsRoot(Receipts, unittest.TestCase):
    mode = "root"


@unittest.skipUnless(AS_ROOT, "needs root")
class TestWorkspacesAsRoot(Workspaces, unittest.TestCase):
    mode = "root"


if __name__ == "__main__":
    unittest.main()
