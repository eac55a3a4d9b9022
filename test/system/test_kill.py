#!/usr/bin/python3
"""Killing and stopping Ringfence's programs at any moment: nothing runs on outside control, nothing is left
behind, and the ledger verifies. As root and as an ordinary user.

    test_kill.py            the ordinary suite: a few dozen kills
    RINGFENCE_KILLS=N       how many at random (the long suite: 400)
    RINGFENCE_SEED=N        which"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ring import *

KILLS = int(os.environ.get("RINGFENCE_KILLS", "40"))
SEED = int(os.environ.get("RINGFENCE_SEED", "20261121"))
WAITS = "echo started; read x; echo ended"


def mounts():
    return set(line.split(" ", 2)[2] for line in file_text("/proc/self/mountinfo").splitlines())


def kill(pid, number=signal.SIGKILL):
    try:
        os.kill(pid, number)
        return True
    except ProcessLookupError:
        return False


class Case:
    """Both modes; the classes at the end say which."""

    def setUp(self):
        self.ring = Ringfence(self.mode)
        self.addCleanup(self.ring.destroy)
        self.marker = "marker-" + uuid.uuid4().hex
        self.mounts = mounts()
        self.started = []

    def run_waiting(self, *options):
        """A run whose command says `started` and waits for its standard input to end."""
        p = self.ring.start("run", *options, "--", "/usr/bin/sh", "-c", WAITS, self.marker, stdin=subprocess.PIPE)
        self.started.append(p)
        self.addCleanup(self.close, p)
        return p

    def run_established(self, *options):
        p = self.run_waiting(*options)
        line = p.stdout.readline()
        self.assertEqual(line, b"started\n", p.stderr.read() if line == b"" else line)
        return p

    def close(self, p):
        for stream in (p.stdin, p.stdout, p.stderr):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass
        if p.poll() is None:
            p.kill()
        p.wait(TIMEOUT)

    def ended(self, p):
        """(exit code, output, errors) of a run that must end by itself."""
        p.wait(TIMEOUT)
        return p.returncode, p.stdout.read(), p.stderr.read().decode(errors="replace")

    def inside(self):
        """Processes of our sandboxes: what carries the marker and is no CLI of ours."""
        ours = {p.pid for p in self.started}
        return [p for p in processes_with(self.marker) if p not in ours and alive(p)]

    def no_sandbox_remains(self):
        wait_until(lambda: not self.inside(), "every process of the sandboxes is gone")

    def nothing_is_left(self):
        """After the next start, and its end."""
        self.no_sandbox_remains()
        r = wait_until(lambda: (lambda r: r if r.returncode == 0 else None)(self.ring.run("--", "/usr/bin/echo", "works")),
                       "a run works again")
        self.assertEqual(r.stdout, b"works\n")
        self.ring.programs()
        wait_until(lambda: not cgroup_leftovers(self.ring.supervisors - set(self.ring.programs().values())),
                   "the next supervisor swept the control groups of the killed")
        r = self.ring.cli("stop")
        self.assertEqual(r.returncode, 0, r.stderr)
        wait_until(lambda: not self.ring.programs() and not self.orphans(), "our programs are gone")
        self.assertEqual(cgroup_leftovers(self.ring.supervisors), [])
        for line in mounts() - self.mounts:
            for ours in (self.ring.dir, " - overlay staged", " - tmpfs none", " - proc none", " - devpts none"):
                self.assertNotIn(ours, line)
        r = self.ring.cli("audit", "verify")
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)

    def orphans(self):
        """A program of ours without a supervisor."""
        found = []
        for pid in pids():
            if file_text(f"/proc/{pid}/comm").strip() not in (*PROGRAMS, "rf-init"):
                continue
            try:
                where = os.readlink(f"/proc/{pid}/cwd")
            except OSError:
                continue
            if where.startswith(self.ring.state) and alive(pid):
                found.append(pid)
        return found


class Kill(Case):
    def test_without_the_arbiter_nothing_runs_on(self):
        self.losing("rf-arbiter")

    def test_without_the_ledger_nothing_runs_on(self):
        self.losing("rf-ledger")

    def test_without_the_supervisor_nothing_runs_on(self):
        self.losing("rf-supervisor")

    def losing(self, program):
        p = self.run_established()
        self.assertEqual(len(self.inside()), 1)
        kill(self.ring.programs()[program])
        code, out, err = self.ended(p)
        self.assertEqual((code, out), (125, b""), err)
        self.assertTrue(err.startswith("ringfence: "), err)
        self.nothing_is_left()

    def test_without_its_init_the_run_ends(self):
        p = self.run_established()
        inside = self.inside()[0]
        kill(int(status_of(inside)["PPid"]))
        code, out, err = self.ended(p)
        self.assertEqual((code, out), (125, b""), err)
        self.nothing_is_left()

    def test_a_killed_cli_takes_its_sandbox_with_it(self):
        p = self.run_established()
        other = self.run_established()
        self.assertEqual(len(self.inside()), 2)
        kill(p.pid)
        wait_until(lambda: len(self.inside()) == 1, "the sandbox of the killed caller is gone")
        other.stdin.close()
        code, out, err = self.ended(other)
        self.assertEqual((code, out), (0, b"ended\n"), err)
        self.nothing_is_left()

    def test_kill_all_ends_every_sandbox(self):
        runs = [self.run_established() for _ in range(3)]
        before = time.monotonic()
        r = self.ring.cli("kill", "all")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertEqual(self.inside(), [])  # when it says so, they are gone
        self.assertLess(time.monotonic() - before, 5)
        for p in runs:
            code, out, err = self.ended(p)
            self.assertEqual((code, out), (137, b""), err)
            self.assertIn("killed by an operator", err)
        self.nothing_is_left()

    def test_kill_task_ends_that_task_only(self):
        task, other = (str(uuid.UUID(int=uuid.uuid4().int & ~(0xF << 76) | 7 << 76)) for _ in range(2))
        first, second = self.run_established("--task", task), self.run_established("--task", other)
        before = time.monotonic()
        r = self.ring.cli("kill", "task", task)
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertLess(time.monotonic() - before, 5)
        self.assertEqual(len(self.inside()), 1)
        self.assertEqual(self.ended(first)[0], 137)
        second.stdin.close()
        self.assertEqual(self.ended(second)[:2], (0, b"ended\n"))
        self.nothing_is_left()

    def test_signals_to_the_cli_reach_the_command(self):
        for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)):
            p = self.run_established()
            p.send_signal(number)
            self.assertEqual(self.ended(p)[0], code)
        self.nothing_is_left()


class Stopped(Case):
    """A program that is stopped neither allows nor forgets."""

    def pending(self, program):
        """A run that waits because PROGRAM does."""
        self.assertEqual(self.ring.run("--", "/usr/bin/true").returncode, 0)
        pid = self.ring.programs()[program]
        kill(pid, signal.SIGSTOP)
        self.addCleanup(kill, pid, signal.SIGCONT)
        wait_until(lambda: status_of(pid)["State"][0] == "T", "it is stopped")
        p = self.run_waiting()
        p.stdin.close()
        wait_until(lambda: json.loads(self.ring.cli("status", "--json").stdout or "{}").get("sandboxes"),
                   "the supervisor has the request")
        return pid, p

    def stays_pending(self, p):
        # Not how long it takes is the verdict: many questions later nothing of it has run.
        for _ in range(20):
            self.assertEqual(self.ring.cli("status").returncode, 0)
            self.assertEqual(self.inside(), [])
            self.assertIsNone(p.poll())

    def test_nothing_runs_while_the_arbiter_is_stopped(self):
        pid, p = self.pending("rf-arbiter")
        self.stays_pending(p)
        kill(pid, signal.SIGCONT)
        self.assertEqual(self.ended(p)[:2], (0, b"started\nended\n"))  # the control: it was only waiting

    def test_nothing_runs_while_the_ledger_is_stopped(self):
        pid, p = self.pending("rf-ledger")
        self.stays_pending(p)
        kill(pid, signal.SIGCONT)
        self.assertEqual(self.ended(p)[:2], (0, b"started\nended\n"))

    def test_what_was_decided_before_a_kill_does_not_run_after_it(self):
        pid, p = self.pending("rf-ledger")
        killer = self.ring.start("kill", "all")
        self.addCleanup(self.close, killer)
        self.stays_pending_or_ends(p)
        kill(pid, signal.SIGCONT)
        code, out, err = self.ended(p)
        self.assertEqual(out, b"")
        self.assertIn(code, (126, 137), err)
        self.assertEqual(killer.wait(TIMEOUT), 0)
        self.nothing_is_left()

    @unittest.skipIf(KILLS < 400, "takes half a minute: the long suite")
    def test_a_program_that_stays_silent_does_not_keep_its_callers_for_ever(self):
        for program in ("rf-arbiter", "rf-ledger"):
            pid, p = self.pending(program)
            code, out, err = self.ended(p)
            self.assertEqual((code, out), (125, b""), err)
            self.assertIn("does not answer", err)
            kill(pid, signal.SIGCONT)
        self.nothing_is_left()

    def test_kill_all_needs_no_arbiter_that_answers(self):
        for also in ([], ["rf-supervisor"]):
            with self.subTest(also_stopped=also):
                p = self.run_established()
                stopped = [self.ring.programs()[name] for name in ["rf-arbiter", *also]]
                for pid in stopped:
                    kill(pid, signal.SIGSTOP)
                    self.addCleanup(kill, pid, signal.SIGCONT)
                answer = self.ring.cli("kill", "all")
                self.assertEqual(answer.returncode, 0, answer.stderr)
                self.assertIn(b"did not answer", answer.stderr)
                wait_until(lambda: self.inside() == [], "every sandbox ended")
                self.assertEqual(self.ended(p)[0], 125)
                for pid in stopped:
                    kill(pid, signal.SIGCONT)

    def stays_pending_or_ends(self, p):
        """The kill is under way: its new epoch is on disk, whether or not anything has ended yet."""
        epoch = os.path.join(self.ring.state, "arbiter", "epoch")
        wait_until(lambda: p.poll() is not None or os.path.exists(epoch) or not AS_ROOT, "the kill is under way")

    def test_a_stopped_caller_does_not_keep_a_kill_waiting(self):
        p = self.run_established()
        kill(p.pid, signal.SIGSTOP)
        self.assertEqual(self.ring.cli("kill", "all").returncode, 0)
        self.assertEqual(self.inside(), [])
        kill(p.pid, signal.SIGCONT)
        self.assertEqual(self.ended(p)[0], 137)


class Random(Case):
    def victim(self, choice, runs):
        if choice == "ringfence":
            return random.choice(runs).pid
        if choice == "rf-init":
            return next(iter(self.ring.sandboxes()), None)
        return self.ring.programs().get(choice)

    def test_kills_at_random_moments(self):
        source = random.Random(SEED)
        for number in range(KILLS):
            choice = source.choice(["rf-supervisor", "rf-arbiter", "rf-ledger", "rf-init", "ringfence"])
            delay = source.uniform(0, 0.02)
            with self.subTest(number=number, victim=choice, seed=SEED):
                self.one(choice, delay)
        self.nothing_is_left()

    def one(self, choice, delay):
        runs = [self.run_waiting() for _ in range(2)]
        runs.append(self.ring.start("run", "--", "/usr/bin/true", self.marker))
        self.started.append(runs[-1])
        time.sleep(delay)  # the moment is what is random; nothing depends on it
        victim = self.victim(choice, runs)
        if victim is not None:
            kill(victim)
        for p in runs:
            try:
                if p.stdin is not None:
                    p.stdin.close()
            except BrokenPipeError:
                pass
        for p in runs:
            p.wait(TIMEOUT)
            self.assertIn(p.returncode, (0, 125, -signal.SIGKILL), p.stderr.read())
            self.close(p)
        self.no_sandbox_remains()
        self.started.clear()


@unittest.skipUnless(AS_ROOT, "needs root to mount a small file system")
class FullState:
    """A state directory that is full: nothing runs, and it works again when there is room."""

    def setUp(self):
        self.place = tempfile.mkdtemp(prefix="rf-full-")
        self.addCleanup(os.rmdir, self.place)
        owner = USER if self.mode == "rootless" else 0
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c",
             f"mount -t tmpfs -o size=1m,mode=755,uid={owner},gid={owner} small {self.place} && echo ready && exec cat"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(self.release)
        self.assertEqual(self.holder.stdout.readline(), b"ready\n")
        self.ring = Ringfence(self.mode, before=["nsenter", "--target", str(self.holder.pid), "--mount", "--"],
                              state=os.path.join(self.place, "state"))
        self.addCleanup(self.ring.destroy)

    def release(self):
        self.holder.stdin.close()
        self.holder.stdout.close()
        self.holder.wait(TIMEOUT)

    def fill(self):
        path = f"/proc/{self.holder.pid}/root{self.place}/filler"
        with open(path, "wb", buffering=0) as f:
            for size in (65536, 4096, 1):
                try:
                    while True:
                        f.write(b"x" * size)
                except OSError:
                    pass
        return path

    def refused(self):
        r = self.ring.run("--", "/usr/bin/echo", "it ran")
        text = r.stderr.decode(errors="replace")
        self.assertEqual((r.returncode, r.stdout), (125, b""), text)
        self.assertTrue(text.startswith("ringfence: "), text)

    def works(self, verify=True):
        r = wait_until(lambda: (lambda r: r if r.returncode == 0 else None)(self.ring.run("--", "/usr/bin/echo", "it ran")),
                       "a run works again")
        self.assertEqual(r.stdout, b"it ran\n")
        if verify:
            self.assertEqual(self.ring.cli("stop").returncode, 0)
            r = self.ring.cli("audit", "verify")
            log = f"/proc/{self.holder.pid}/root{self.ring.state}/run/log"
            self.assertEqual(r.returncode, 0, (r.stdout + r.stderr).decode() + file_text(log))

    def test_full_from_the_start(self):
        filler = self.fill()
        self.refused()
        os.unlink(filler)
        self.works()

    def test_full_while_running(self):
        self.works(verify=False)
        filler = self.fill()
        # What is buffered in the last page may still fit; then no more.
        wait_until(lambda: self.ring.run("--", "/usr/bin/true").returncode == 125, "the ledger is full")
        for _ in range(3):
            self.refused()
        os.unlink(filler)
        self.works()

    def test_full_between_two_starts(self):
        self.works()
        self.ring.cli("stop")
        filler = self.fill()
        wait_until(lambda: self.ring.run("--", "/usr/bin/true").returncode == 125, "the ledger is full")
        self.refused()
        os.unlink(filler)
        self.works()


def both(case):
    """CASE as two test classes."""
    rootless = type(case.__name__ + "Rootless", (case, unittest.TestCase), {"mode": "rootless"})
    as_root = unittest.skipUnless(AS_ROOT, "needs root")(
        type(case.__name__ + "AsRoot", (case, unittest.TestCase), {"mode": "root"}))
    globals().update({rootless.__name__: rootless, as_root.__name__: as_root})


for each in (Kill, Stopped, Random, FullState):
    both(each)

if __name__ == "__main__":
    unittest.main()
