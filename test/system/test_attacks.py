#!/usr/bin/python3
"""rf-attack by hand. On the host and without a lock: its attacks do what they say and leave the host as it was, those
on limits do not even start without bounds, and everything answers as prove/attack.h promises. And in sandboxes that
come about by another way than those of `ringfence prove`: none succeeds."""

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ring import *

RF_ATTACK = os.path.join(BIN, "rf-attack")
NEEDS_BOUNDS, NEEDS_WORKSPACE, ACT_KILL, NEEDS_LISTED = 1 << 3, 1 << 5, 1 << 7, 1 << 12
ITS_OWN_LOCKS = 1 << 17  # at programs of ours, not at a sandbox
RESULTS = {"succeeded": 0, "held": 1, "cannot": 2}
MISUSE = 3
# What an attack may have changed if it did more than it should.
SETTINGS = ["/proc/sys/kernel/core_pattern", "/proc/sys/kernel/panic", "/proc/sys/kernel/printk",
            "/proc/sys/kernel/hostname", "/proc/sys/vm/overcommit_memory", "/proc/irq/default_smp_affinity",
            "/proc/swaps", "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/class/net/lo/flags"]


def attacks():
    listed = subprocess.run([RF_ATTACK, "--list"], capture_output=True, check=True).stdout
    return [json.loads(line) for line in listed.splitlines()]


class Bench:
    """What attacks aim at: a process without locks, directories, a leaked descriptor. As USER where ROOT is false."""

    def __init__(self, root):
        self.root = root
        self.base = tempfile.mkdtemp(prefix="ringfence-attacks-", dir="/var/tmp")
        os.chmod(self.base, 0o755)
        for name in ("outside", "dir", "workspace", "state", "state/ledger"):
            os.mkdir(self.path(name))
            self.give(self.path(name))
        shutil.copy(RF_ATTACK, self.path("rf-attack"))
        self.outside = subprocess.Popen(self.argv("--fixture", "dir=" + self.path("outside")), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        self.keys = json.loads(self.outside.stdout.readline())["fixtures"]
        self.internet = subprocess.Popen(self.argv("--internet"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.keys.update(json.loads(self.internet.stdout.readline())["fixtures"], trial=1, locks="none", programs=BIN)
        self.leak = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
        with open(self.path("state", "ledger", "00000000.jsonl"), "w") as f:
            f.write("a record\n")
        self.give(self.path("state", "ledger", "00000000.jsonl"))

    def path(self, *names):
        return os.path.join(self.base, *names)

    def give(self, path):
        if AS_ROOT and not self.root:
            os.chown(path, USER, USER)

    def argv(self, *words):
        argv = [self.path("rf-attack"), *words]
        return argv if self.root else as_user(argv)

    def arguments(self, **other):
        keys = dict(self.keys, dir=self.path("dir"), workspace=self.path("workspace"), leak=self.leak,
                    state=self.path("state"), control=self.keys["socket"], supervisor=self.keys["pid"])
        return [f"{key}={value}" for key, value in {**keys, **other}.items()]

    def attack(self, name, *more):
        original = self.path("workspace", "original")
        if not os.path.exists(original):
            with open(original, "w") as f:
                f.write("the original\n")
            self.give(original)
        return subprocess.run(self.argv(name, *self.arguments(), *more),
                              stdin=subprocess.DEVNULL, capture_output=True, pass_fds=[self.leak], timeout=TIMEOUT)

    def close(self):
        os.close(self.leak)
        self.internet.kill()
        self.internet.wait(TIMEOUT)
        self.internet.stdout.close()
        self.outside.stdin.close()
        self.outside.wait(TIMEOUT)
        self.outside.stdout.close()
        shutil.rmtree(self.base)


def answer_of(run):
    return [json.loads(line) for line in run.stdout.splitlines() if line.startswith(b"{")]


def host(bench):
    """The host as attacks see it. Other tests run meanwhile: only what is ours, or nobody's."""
    pid = bench.keys["pid"]
    return {"settings": {path: file_text(path) for path in SETTINGS},
            "programs": os.stat("/usr/bin").st_mtime_ns,
            "mounts": [line for line in file_text("/proc/self/mountinfo").splitlines()
                       if bench.base in line or "ringfence-prove" in line],
            "hierarchies": [line.split(":")[1] for line in file_text("/proc/self/cgroup").splitlines()],
            "tac": os.stat("/usr/bin/tac").st_mtime_ns,
            "limits": file_text(f"/proc/{pid}/limits"),
            "processors": status_of(pid).get("Cpus_allowed"),
            "state": [status_of(pid).get(key) for key in ("TracerPid", "SigPnd", "ShdPnd")],
            "priority": file_text(f"/proc/{pid}/stat").rsplit(")", 1)[-1].split()[15:17],
            "canary": file_text(bench.keys["canary"])}


class Controls(unittest.TestCase):
    """Without any lock."""

    @classmethod
    def setUpClass(cls):
        cls.benches = {mode: Bench(mode == "root") for mode in modes()}

    @classmethod
    def tearDownClass(cls):
        for bench in cls.benches.values():
            bench.close()

    def test_each_answers_once_most_succeed_and_none_changes_the_host(self):
        least = {"root": 100, "rootless": 40}
        for mode, bench in self.benches.items():
            worked, before = [], host(bench)
            for attack in attacks():
                if attack["needs"] & (NEEDS_BOUNDS | ACT_KILL):
                    continue
                with self.subTest(mode + " " + attack["name"]):
                    run = bench.attack(attack["name"])
                    lines = answer_of(run)
                    self.assertEqual([line["result"] for line in lines[:-1]], ["started"], run)
                    self.assertEqual(run.returncode, RESULTS[lines[-1]["result"]], run)
                    self.assertTrue(lines[-1]["detail"])
                    self.assertEqual(run.stderr, b"")
                    if run.returncode == 0:
                        worked.append(attack["name"])
            with self.subTest(mode):
                self.assertEqual(host(bench), before)
                self.assertGreaterEqual(len(worked), least[mode], worked)

    def test_nothing_of_an_attack_runs_on(self):
        for mode, bench in self.benches.items():
            for name in ("take_processes", "take_threads", "overwrite_program", "choose_pid"):
                bench.attack(name, "bounded=1")
            with self.subTest(mode):
                left = [pid for pid in processes_with(bench.path("rf-attack")) if pid != int(bench.keys["pid"]) and pid != bench.internet.pid and
                        "--internet" not in file_text(f"/proc/{pid}/cmdline")]
                # Killed, but perhaps not reaped yet.
                wait_until(lambda: not any(alive(pid) for pid in left), "the end of " + str(left))

    def test_what_exhausts_refuses_to_start_without_bounds(self):
        for mode, bench in self.benches.items():
            for attack in attacks():
                if not attack["needs"] & NEEDS_BOUNDS:
                    continue
                with self.subTest(mode + " " + attack["name"]):
                    run = bench.attack(attack["name"])
                    self.assertEqual(answer_of(run)[-1],
                                     {"result": "cannot", "detail": "needs the fixture bounded"})
                    self.assertEqual(run.returncode, RESULTS["cannot"])


class Sandboxes(unittest.TestCase):
    """`ringfence prove` tries sandboxes that `run` makes. Here are the others: later commands of one that stays, and
    roots of another making. Without a control for each lock: those are the proof's."""

    # Everybody but pid 1 is reached, and here who starts the attack is there too.
    REACHES_ITS_OWN = ["signal_all"]

    def ring(self, mode):
        ring = Ringfence(mode)
        self.addCleanup(ring.destroy)
        return ring

    def check(self, run, except_for):
        found = {line["name"]: line for line in answer_of(run)}
        expected = {attack["name"] for attack in attacks() if not attack["needs"] & (NEEDS_BOUNDS | ACT_KILL)}
        self.assertEqual(set(found), expected, run.stderr)
        tried = {attack["name"]: attack["needs"] for attack in attacks()}
        bad = {name: line for name, line in found.items() if line["result"] != "held" and
               name not in self.REACHES_ITS_OWN and not tried[name] & (except_for | ITS_OWN_LOCKS)}
        self.assertEqual(bad, {})

    def arguments(self, mode, **other):
        bench = Bench(mode == "root")
        self.addCleanup(bench.close)
        return bench.arguments(**other)

    def test_none_succeeds_in_later_commands_of_a_session(self):
        for mode in modes():
            ring = self.ring(mode)
            for options in ((), ("--workspace", ring.make_directory("workspace"))):
                with self.subTest(mode + " " + " ".join(options[:1])):
                    box = ring.cli("sandbox", "create", *options)
                    self.assertEqual(box.returncode, 0, box.stderr)
                    box = box.stdout.decode().split()[0]
                    with open(RF_ATTACK, "rb") as program:
                        ring.cli("sandbox", "write", box, "/tmp/rf-attack", stdin=program)
                    ring.cli("sandbox", "exec", box, "--", "chmod", "700", "/tmp/rf-attack")
                    run = ring.cli("sandbox", "exec", box, "--", "/tmp/rf-attack", "--all",
                                   *self.arguments(mode, dir="/tmp", leak=3))
                    self.check(run, except_for=NEEDS_WORKSPACE | NEEDS_LISTED)

    def test_none_succeeds_in_a_direct_workspace_which_stays_without_set_id_files_and_devices(self):
        for mode in modes():
            with self.subTest(mode):
                ring = self.ring(mode)
                workspace = ring.make_directory("workspace")
                program = os.path.join(workspace, "rf-attack")
                os.chmod(shutil.copy(RF_ATTACK, program), 0o755)
                policy = ring.write("direct.yaml", "version: 1\nname: direct\nsandbox: {workspace: direct}\nrules:\n"
                                    "  - {name: it, why: what is tried, allow: exec, program: any}\n")
                run = ring.run("--policy", policy, "--workspace", workspace + ":direct", "--", "/workspace/rf-attack", "--all",
                               *self.arguments(mode, dir="/workspace", leak=3))
                self.check(run, except_for=NEEDS_WORKSPACE | NEEDS_LISTED)
                made = [os.lstat(os.path.join(workspace, name)) for name in os.listdir(workspace)]
                self.assertGreater(len(made), 5)
                for st in made:
                    self.assertEqual(st.st_mode & (stat.S_ISUID | stat.S_ISGID), 0)
                    self.assertFalse(stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode))

    def listed(self, ring, program):
        return ring.write("listed.yaml", "version: 1\nname: listed\nsandbox: {executables: listed}\nrules:\n"
                          f"  - {{name: it, why: what is tried, allow: exec, program: {json.dumps(program)}}}\n")

    def test_none_succeeds_where_executables_are_listed(self):
        try:
            directory = tempfile.mkdtemp(prefix="ringfence-attacks-", dir="/opt")
        except OSError:
            self.skipTest("nowhere to install a program")
        self.addCleanup(shutil.rmtree, directory)
        os.chmod(directory, 0o755)
        program = shutil.copy(RF_ATTACK, directory)
        for mode in modes():
            with self.subTest(mode):
                ring = self.ring(mode)
                run = ring.run("--policy", self.listed(ring, program), "--", program, "--all",
                               *self.arguments(mode, dir="/tmp", leak=3))
                self.check(run, except_for=NEEDS_WORKSPACE)

    def test_none_succeeds_in_the_root_of_an_image(self):
        for mode in modes():
            with self.subTest(mode):
                ring = self.ring(mode)
                root = ring.make_directory("root")
                os.mkdir(os.path.join(root, "bin"))
                os.chmod(shutil.copy(RF_ATTACK, os.path.join(root, "bin", "rf-attack")), 0o755)
                imported = ring.cli("image", "import", root, "--name", "attack")
                self.assertEqual(imported.returncode, 0, imported.stderr)
                policy = ring.write("image.yaml", "version: 1\nname: image\nsandbox: {root: \"image:attack\"}\nrules:\n"
                                    "  - {name: it, why: what is tried, allow: exec, program: any}\n")
                run = ring.run("--policy", policy, "--", "/bin/rf-attack", "--all",
                               *self.arguments(mode, dir="/tmp", leak=3))
                self.check(run, except_for=NEEDS_WORKSPACE | NEEDS_LISTED)


class Words(unittest.TestCase):
    """How it is called."""

    def call(self, *words):
        return subprocess.run([RF_ATTACK, *words], stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT)

    def test_an_attack_without_what_it_needs_says_so(self):
        run = self.call("read_file")
        self.assertEqual(answer_of(run)[-1], {"result": "cannot", "detail": "needs the fixture canary"})
        self.assertEqual(run.returncode, RESULTS["cannot"])

    def test_misuse_is_no_answer(self):
        for words in ([], ["no_such_attack"], ["--check"], ["--check", "read_file"], ["code_in_memory"]):
            with self.subTest(words):
                run = self.call(*words)
                self.assertEqual((run.returncode, run.stdout), (MISUSE, b""))
                self.assertEqual(len(run.stderr.splitlines()), 1)

    def test_every_attack_is_listed_once(self):
        names = [attack["name"] for attack in attacks()]
        self.assertEqual(len(names), len(set(names)))
        self.assertGreaterEqual(len(names), 60)


class Fixture(unittest.TestCase):
    """What attacks aim at."""

    def test_it_leaves_nothing_when_it_ends(self):
        bench = Bench(AS_ROOT)
        keys = bench.keys
        self.assertTrue(os.path.exists(keys["shm_file"]))
        bench.close()
        self.assertFalse(os.path.exists(keys["shm_file"]))
        segments = [line.split()[1] for line in file_text("/proc/sysvipc/shm").splitlines()[1:]]
        self.assertNotIn(keys["shm"], segments)
        with socket.socket(socket.AF_UNIX) as s:
            self.assertRaises(ConnectionRefusedError, s.connect, "\0" + keys["abstract"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
