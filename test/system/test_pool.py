#!/usr/bin/python3
"""Sandboxes that are made before anybody asks for them: used once, for nothing but what they were made for, and gone
when what they were made for is."""

import json
import os
import signal
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ring import *

POLICY = """version: 1
name: {name}
sandbox:
  workspace: direct
  limits: {{memory: {memory}, processes: 32, disk: 16MiB, wall: 30s}}
rules:
  - name: everything
    why: a test
    owner: tests
    allow: exec
    program: any
"""


class Pool:
    def setUp(self):
        self.ring = Ringfence(self.mode)
        self.addCleanup(self.ring.destroy)
        self.assertEqual(self.ring.cli("start").returncode, 0)

    def told(self, *args):
        r = self.ring.run("--json", "--timing", *args)
        self.assertEqual(r.returncode, 0, r.stderr.decode())
        return json.loads(r.stdout)

    @staticmethod
    def steps(told):
        return [step["step"] for step in told["timing"]]

    def waiting(self):
        """rf-init processes whose last locks are on: nothing is left to do but to execute."""
        return [p for p in self.ring.sandboxes() if children_of(p)]

    def warm(self, *args):
        """What a run says that found a sandbox waiting."""
        return wait_until(lambda: (lambda told: told if "prepared" in self.steps(told) else None)(self.told(*args)),
                          "a run finds one that waits")

    def memory_limit(self, told):
        return next(limit["value"] for limit in told["receipt"]["limits"] if limit["name"] == "memory_bytes")

    def test_a_run_finds_one_that_waits_and_has_every_lock(self):
        cold = self.told("--", "/usr/bin/true")
        self.assertNotIn("prepared", self.steps(cold))
        warm = self.warm("--", "/usr/bin/true")

        def locks(told):
            return sorted((lock["name"], lock.get("strength"), lock["evidence"]) for lock in told["receipt"]["locks"])
        self.assertEqual(locks(cold), locks(warm))
        for name in ("sandbox", "task"):
            self.assertNotEqual(cold["receipt"][name], warm["receipt"][name])
            self.assertEqual(warm["receipt"][name], warm[name])

    def test_its_locks_are_on_while_it_waits(self):
        self.told("--", "/usr/bin/true")
        init = wait_until(self.waiting, "one waits")[0]
        status = status_of(children_of(init)[0])
        self.assertEqual(status["Seccomp"].strip(), "2")
        self.assertEqual(status["NoNewPrivs"].strip(), "1")
        for name in ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb"):
            self.assertEqual(int(status[name], 16), 0, name)

    def test_each_is_used_once(self):
        script = "test ! -e /tmp/mark && : >/tmp/mark && test ! -e ~/mark && : >~/mark"
        seen = [self.warm("--", "/usr/bin/sh", "-c", script)["sandbox"] for _ in range(12)]
        self.assertEqual(len(set(seen)), len(seen))

    def test_limits_of_a_request_have_sandboxes_of_their_own(self):
        usual = self.memory_limit(self.warm("--", "/usr/bin/true"))
        tight = self.warm("--memory", "64MiB", "--", "/usr/bin/true")
        self.assertEqual(self.memory_limit(tight), 64 << 20)
        self.assertEqual(self.memory_limit(self.warm("--", "/usr/bin/true")), usual)
        # A limit that is wider than the policy's changes nothing.
        self.assertEqual(self.memory_limit(self.told("--memory", "64GiB", "--", "/usr/bin/true")), usual)

    def test_another_generation_has_sandboxes_of_its_own(self):
        first = self.ring.write("first.yaml", POLICY.format(name="mine", memory="128MiB"))
        second = self.ring.write("second.yaml", POLICY.format(name="mine", memory="96MiB"))
        self.assertEqual(self.ring.cli("policy", "activate", first).returncode, 0)
        self.assertEqual(self.memory_limit(self.warm("--policy", "mine", "--", "/usr/bin/true")), 128 << 20)
        before = set(wait_until(self.waiting, "some wait"))
        self.assertEqual(self.ring.cli("policy", "activate", second).returncode, 0)
        self.assertEqual(self.memory_limit(self.told("--policy", "mine", "--", "/usr/bin/true")), 96 << 20)
        wait_until(lambda: not before & set(self.waiting()), "those of the earlier generation are gone")
        self.assertEqual(self.memory_limit(self.warm("--policy", "mine", "--", "/usr/bin/true")), 96 << 20)
        self.assertEqual(self.ring.cli("policy", "rollback", "mine").returncode, 0)
        self.assertEqual(self.memory_limit(self.told("--policy", "mine", "--", "/usr/bin/true")), 128 << 20)

    def test_a_workspace_comes_in_when_it_is_known(self):
        if self.mode != "root":
            self.skipTest("an ordinary user's workspace is a path, which only a new sandbox sees")
        policy = self.ring.write("policy.yaml", POLICY.format(name="mine", memory="128MiB"))
        for mode, written in (("staged", False), ("direct", True)):
            for i in range(3):
                where = self.ring.make_directory(f"{mode}-{i}")
                with open(os.path.join(where, "theirs"), "w") as f:
                    f.write(f"{mode} {i}")
                told = self.warm("--policy", policy, "--workspace", f"{where}:{mode}", "--",
                                 "/usr/bin/sh", "-c", "cat theirs; echo x >ours")
                self.assertEqual(told["stdout"], f"{mode} {i}")
                self.assertEqual(os.path.exists(os.path.join(where, "ours")), written)

    def test_those_that_die_while_they_wait_are_missed_by_nobody(self):
        self.warm("--", "/usr/bin/true")
        for _ in range(5):
            waiting = self.waiting()
            for pid in waiting:
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not any(alive(pid) for pid in waiting), "they are dead")
            self.assertEqual(self.ring.run("--", "/usr/bin/true").returncode, 0)

    def test_kill_all_is_for_them_too(self):
        self.warm("--", "/usr/bin/true")
        before = set(wait_until(self.waiting, "some wait"))
        self.assertEqual(self.ring.cli("kill", "all").returncode, 0)
        wait_until(lambda: not any(alive(pid) for pid in before), "they are gone")
        self.assertEqual(self.ring.run("--", "/usr/bin/true").returncode, 0)

    def test_they_do_not_outlive_who_made_them(self):
        self.warm("--", "/usr/bin/true")
        waiting = wait_until(self.waiting, "some wait")
        inside = [child for pid in waiting for child in children_of(pid)]
        supervisor = self.ring.programs()["rf-supervisor"]
        os.kill(supervisor, signal.SIGKILL)
        wait_until(lambda: not any(alive(pid) for pid in waiting + inside), "they are gone")
        r = self.ring.run("--", "/usr/bin/true")
        self.assertEqual(r.returncode, 0, r.stderr.decode() + file_text(os.path.join(self.ring.state, "run", "log")))
        wait_until(lambda: not cgroup_leftovers({supervisor}), "its control groups are swept", 60)

    def test_a_denied_run_uses_none(self):
        policy = self.ring.write("policy.yaml", POLICY.format(name="mine", memory="128MiB").replace(
            "program: any", "program: /usr/bin/true"))
        self.warm("--policy", policy, "--", "/usr/bin/true")
        before = set(wait_until(self.waiting, "some wait"))
        r = self.ring.run("--policy", policy, "--", "/usr/bin/id")
        self.assertEqual(r.returncode, 126, r.stderr.decode())
        self.assertTrue(before <= set(self.waiting()))


class TestPoolRootless(Pool, unittest.TestCase):
    mode = "rootless"


@unittest.skipUnless(AS_ROOT, "needs root")
class TestPoolAsRoot(Pool, unittest.TestCase):
    mode = "root"


if __name__ == "__main__":
    unittest.main()
