#!/usr/bin/env python3
"""`ringfence policy unused`: what a ledger says could be tightened.

The ledgers are real: written by a real rf-ledger for a real rf-arbiter, by real runs, or, where records
must be old, by the few lines below, in the format of doc/ledger.md. Nothing runs when they are read.
Needs root: people are real uids."""

import datetime
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import unittest

from arbiter_kit import *

POLICY = """version: 1
name: desk
sandbox: {workspace: staged, limits: {memory: 1GiB, wall: 10m, processes: 64, output: 1MiB}}
review: {approvals: [operator], timeout: 15m}
rules:
  - {name: git, allow: exec, program: [/usr/bin/git, /usr/bin/tig], subcommands: [log, show, push],
     options: [--stat], operands: [src/**, doc/**]}
  - {name: old, allow: exec, program: /usr/bin/old}
  - {name: never, deny: exec, program: /usr/bin/curl}
  - {name: pushes, review: exec, program: /usr/bin/git, subcommands: [push]}
  - {name: denied, review: exec, program: /usr/bin/rm}
  - {name: results, allow: file, operations: [commit], paths: [out/**]}
"""
HASH = hashlib.sha256(POLICY.encode()).hexdigest()
NOW = datetime.datetime.now(datetime.timezone.utc)


def stamp(days=0, **ago):
    at = NOW - datetime.timedelta(days=days, **ago)
    return at.strftime("%Y-%m-%dT%H:%M:%S.000Z")


class Written:
    """A ledger as its writer would have left it, with times of our choosing."""

    def __init__(self, directory):
        self.file = open(os.path.join(directory, "00000000.jsonl"), "wb")
        self.seq, self.prev, self.actions = 0, "0" * 64, 0
        self.add("genesis", {"format": 1, "ledger": "0" * 32, "program": "test"}, stamp(100))

    def add(self, event, data, time, action=None):
        record = {"data": data, "event": event, "prev": self.prev, "seq": self.seq, "time": time, "v": 1}
        if action is not None:
            record["action_id"] = action
        line = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        self.prev = hashlib.sha256(b"\0" + line).hexdigest()
        self.seq += 1
        self.file.write(line + b"\n")
        self.file.flush()

    def decide(self, rule, *argv, time=None, state="approved", policy=HASH, **more):
        self.actions += 1
        id_ = "a%d" % self.actions
        data = {"kind": "exec", "target": argv[0], "state": state, "policy": policy,
                "request": {"program": "/usr/bin/" + argv[0], "argv": list(argv), "cwd": "/", "env": []},
                "decision": {"decision": "allow", "rule": rule}}
        data.update(more)
        self.add("decision", data, time or stamp(1), id_)
        return id_

    def settle(self, id_, **usage):
        self.add("settled", {"state": "succeeded", "outcome": {"usage": usage}}, stamp(), id_)


class Case(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="rf-unused-")
        self.addCleanup(shutil.rmtree, self.directory)
        self.policy = os.path.join(self.directory, "p.yaml")
        self.write(POLICY)

    def write(self, text):
        with open(self.policy, "w", encoding="utf-8") as f:
            f.write(text)

    def run_tool(self, *args, ledger=None, state=None):
        env = dict(os.environ, RINGFENCE_STATE=state or os.path.join(self.directory, "no-state"))
        command = [os.path.join(bin_dir(), "rf-policy"), "unused", *args]
        if ledger is not None:
            command += ["--dir", ledger]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=WAIT)

    def report(self, *args, ledger=None, state=None, policy=None):
        done = self.run_tool("--policy", policy or self.policy, "--json", *args, ledger=ledger, state=state)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        return json.loads(done.stdout)


class Synthetic(Case):
    def setUp(self):
        super().setUp()
        self.ledger = os.path.join(self.directory, "ledger")
        os.mkdir(self.ledger)
        self.w = Written(self.ledger)
        self.addCleanup(self.w.file.close)

    def unused(self, **options):
        return self.report(ledger=self.ledger, **options)

    def test_the_written_ledger_is_one(self):
        self.w.decide("git", "git", "log")
        shown = subprocess.run([os.path.join(bin_dir(), "rf-audit"), "query", "--dir", self.ledger],
                               capture_output=True, text=True, check=False)
        self.assertEqual((shown.returncode, shown.stderr), (0, ""))
        self.assertEqual(len(shown.stdout.splitlines()), 2)

    def test_rules_and_members_that_were_not_needed_are_named(self):
        self.w.decide("git", "git", "log", "--stat", "src/a")
        self.w.decide("git", "git", "show", "src/b/c")
        self.w.decide("old", "old", time=stamp(60))
        r = self.unused()
        self.assertEqual(r["decisions"], 2)
        self.assertEqual([(u["rule"], u.get("last")) for u in r["unused_rules"]],
                         [("old", stamp(60)), ("never", None), ("pushes", None), ("denied", None),
                          ("results", None)])
        self.assertEqual([(u["rule"], u["field"], u["members"]) for u in r["unused_members"]],
                         [("git", "program", ["/usr/bin/tig"]), ("git", "subcommands", ["push"]),
                          ("git", "operands", ["doc/**"])])
        self.assertEqual(len([u for u in r["unknown"] if "begins" in u]), 0)

    def test_the_window_decides_what_counts(self):
        self.w.decide("old", "old", time=stamp(60))
        names = [u["rule"] for u in self.report("--since", "90d", ledger=self.ledger)["unused_rules"]]
        self.assertNotIn("old", names)
        names = [u["rule"] for u in self.report("--since=24h", ledger=self.ledger)["unused_rules"]]
        self.assertIn("old", names)
        since = self.report("--since", stamp(70), ledger=self.ledger)
        self.assertEqual(since["since"], stamp(70))
        self.assertNotIn("old", [u["rule"] for u in since["unused_rules"]])

    def test_a_ledger_that_is_shorter_than_the_window_says_so(self):
        r = self.report("--since", "200d", ledger=self.ledger)
        self.assertEqual(r["ledger_begins"], stamp(100))
        self.assertTrue(any("before " + stamp(100) in u for u in r["unknown"]))

    def test_an_allow_rule_behind_a_review_is_not_unused(self):
        id_ = self.w.decide("pushes", "git", "push", "--stat", "src/a", state="reviewing")
        self.w.add("review-approved", {"complete": True}, stamp(), id_)
        r = self.unused()
        self.assertNotIn("git", [u["rule"] for u in r["unused_rules"]])

    def test_reviews_that_always_end_alike_are_told(self):
        for _ in range(3):
            id_ = self.w.decide("pushes", "git", "push", state="reviewing")
            self.w.add("review-approved", {"complete": False}, stamp(), id_)
            self.w.add("review-approved", {"complete": True}, stamp(), id_)
            self.w.settle(id_)
        for event in ("review-denied", "review-denied"):
            self.w.add(event, {"state": "rejected"}, stamp(),
                       self.w.decide("denied", "rm", state="reviewing"))
        reviews = {v["rule"]: v for v in self.unused()["reviews"]}
        self.assertEqual((reviews["pushes"]["approved"], reviews["pushes"]["always"]), (3, "approved"))
        self.assertEqual((reviews["denied"]["denied"], reviews["denied"]["always"]), (2, "denied"))
        self.w.add("review-expired", {"state": "expired"}, stamp(),
                   self.w.decide("denied", "rm", state="reviewing"))
        reviews = {v["rule"]: v for v in self.unused()["reviews"]}
        self.assertNotIn("always", reviews["denied"])
        self.assertEqual(reviews["denied"]["otherwise"], 1)

    def test_limits_that_were_never_half_used_get_a_suggestion(self):
        mib = 1 << 20
        self.w.settle(self.w.decide("git", "git", "log"), wall_ms=301000, memory_peak_bytes=100 * mib)
        self.w.settle(self.w.decide("git", "git", "log"), wall_ms=200, max_rss_bytes=30 * mib)
        r = self.unused()
        limits = {v["limit"]: v for v in r["limits"]}
        self.assertEqual((limits["memory"]["most_seen"], limits["memory"]["suggestion"],
                          limits["memory"]["runs"]), (100 * mib, 200 * mib, 2))
        self.assertFalse(limits["wall"]["unused"])
        self.assertTrue(any(u.startswith("limits ") and "output" in u and "processes" in u
                            for u in r["unknown"]))
        text = self.run_tool("--policy", self.policy, ledger=self.ledger).stdout
        self.assertIn("memory: 1GiB, at most 100MiB in 2 runs; 200MiB would have been enough twice over", text)

    def test_what_another_policy_did_does_not_count(self):
        self.w.settle(self.w.decide("git", "git", "log", policy="1" * 64, policy_name="other"), wall_ms=1)
        r = self.unused()
        self.assertEqual((r["decisions"], r["others"], r["limits"]), (0, {"other": 1}, []))

    def test_earlier_generations_count_by_their_name(self):
        self.w.add("policy-activated", {"name": "desk", "hash": "1" * 64, "previous": ""}, stamp(3))
        self.w.decide("git", "git", "log", policy="1" * 64)
        self.w.decide("git", "git", "show", policy="2" * 64, policy_name="desk")
        r = self.unused()
        self.assertEqual((r["decisions"], sorted(r["generations"])), (2, ["1" * 64, "2" * 64]))
        self.assertTrue(any("other generations" in u for u in r["unknown"]))

    def test_members_are_not_judged_by_requests_that_are_not_there(self):
        self.w.decide("git", "git", "log", request={"omitted_bytes": 70000, "sha256": "0" * 64})
        r = self.unused()
        self.assertEqual(r["unused_members"], [])
        self.assertNotIn("git", [u["rule"] for u in r["unused_rules"]])
        self.assertTrue(any("members of rule git" in u for u in r["unknown"]))

    def test_lines_that_are_no_records_are_counted_and_said(self):
        self.w.file.write(b"nonsense\n")
        self.w.file.write(b"half a line")
        self.w.file.flush()
        self.assertTrue(any("1 lines of the ledger are not records" in u for u in self.unused()["unknown"]))

    def test_what_the_ledger_holds_does_not_reach_the_terminal_raw(self):
        self.w.decide("git", "git", "log", policy="1" * 64, policy_name="\x1b]0;x\x07")
        text = self.run_tool("--policy", self.policy, ledger=self.ledger).stdout
        self.assertNotIn("\x1b", text)
        self.assertNotIn("\x07", text)

    def test_a_policy_that_is_used_in_full_is_left_alone(self):
        self.write("version: 1\nname: desk\nrules:\n  - {name: git, allow: exec, program: /usr/bin/git}\n")
        self.w.decide("git", "git", "log", policy_name="desk")
        done = self.run_tool("--policy", self.policy, ledger=self.ledger)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertNotIn("Rules that decided nothing", done.stdout)

    def test_wrong_words_are_one_line_and_exit_code_two(self):
        for args in (("--since", "yesterday"), ("--since",), ("--policy", "no-such"), ("a", "b"),
                     ("--policy", self.policy, "--dir", "/no/such")):
            with self.subTest(args):
                done = self.run_tool(*args)
                self.assertEqual((done.returncode, done.stderr.count("\n")), (2, 1), done.stderr)


class RealPrograms(Case):
    def test_a_real_arbiter_and_ledger_leave_what_is_read(self):
        a = Arbiter(ledger=RealLedger)
        self.addCleanup(a.destroy)
        self.addCleanup(a.ledger.destroy)
        for argv in (("git", "log", "src/a"), ("curl", "x")):
            v = a.verdict(exec_action(*argv), POLICY)
            if v["state"] == "approved":
                a.supervisor.expect(CLAIMED, a.claim(v))
                a.settle(v)
        held = a.verdict(exec_action("git", "push", "src/a"), POLICY)
        a.person(BOB).call(REVIEW_APPROVE, {"review_id": held["review_id"]}, REVIEWS)
        a.supervisor.expect(VERDICT)
        a.supervisor.expect(CLAIMED, a.claim(held))  # its records stand in the file
        a.stop()
        r = self.report(ledger=a.ledger.directory)
        self.assertEqual([u["rule"] for u in r["unused_rules"]], ["old", "denied", "results"])
        self.assertEqual([(u["field"], u["members"]) for u in r["unused_members"]],
                         [("program", ["/usr/bin/tig"]), ("subcommands", ["show"]), ("options", ["--stat"]),
                          ("operands", ["doc/**"])])
        self.assertEqual([(v["rule"], v["always"]) for v in r["reviews"]], [("pushes", "approved")])

    def test_an_active_policy_is_found_by_its_name_when_nothing_runs(self):
        state = os.path.join(self.directory, "state")
        os.mkdir(state)
        os.chmod(self.directory, 0o755)
        a = Arbiter(ledger=RealLedger)
        self.addCleanup(a.destroy)
        self.addCleanup(a.ledger.destroy)
        with open(self.policy, "rb") as f:
            a.person(0).call(POLICY_ACTIVATE, {}, POLICY_STATE, fds=[f.fileno()])
        v = a.verdict(exec_action("git", "log"), "desk")
        a.supervisor.expect(CLAIMED, a.claim(v))
        self.assertEqual(self.report(ledger=a.ledger.directory, policy="desk", state=a.directory)["decisions"], 1)
        a.kill()
        before = sorted((e.name, e.stat().st_uid) for e in os.scandir(a.state))
        r = self.report(ledger=a.ledger.directory, policy="desk", state=a.directory)
        self.assertEqual((r["hash"], r["decisions"]), (HASH, 1))
        # The arbiter can still open what was read here as root.
        self.assertEqual({u for _, u in before}, {os.stat(a.state).st_uid})
        self.assertEqual({e.stat().st_uid for e in os.scandir(a.state)}, {os.stat(a.state).st_uid})
        a.restart()
        self.assertEqual(a.verdict(exec_action("git", "log"), "desk")["state"], "approved")

    def test_what_the_arbiters_uid_planted_gets_nothing_of_root(self):
        a = Arbiter(ledger=RealLedger)
        self.addCleanup(a.destroy)
        self.addCleanup(a.ledger.destroy)
        with open(self.policy, "rb") as f:
            a.person(0).call(POLICY_ACTIVATE, {}, POLICY_STATE, fds=[f.fileno()])
        a.stop()
        victim, absent = os.path.join(self.directory, "victim"), os.path.join(self.directory, "absent")
        with open(victim, "w", encoding="utf-8") as f:
            f.write("root's")
        os.chmod(victim, 0o600)
        os.chmod(self.directory, 0o755)
        for ending, target in (("-wal", victim), ("-shm", victim), ("-wal", absent), ("-shm", absent)):
            with self.subTest((ending, target)):
                planted = os.path.join(a.state, "store.db" + ending)
                if os.path.lexists(planted):
                    os.unlink(planted)
                os.symlink(target, planted)
                self.run_tool("--policy", "desk", ledger=a.ledger.directory, state=a.directory)
                with open(victim, encoding="utf-8") as f:
                    self.assertEqual((os.stat(victim).st_uid, f.read()), (0, "root's"))
                self.assertFalse(os.path.lexists(absent))
                os.unlink(planted)

    def test_real_runs_tell_what_they_used(self):
        state = os.path.join(self.directory, "state")
        env = dict(os.environ, RINGFENCE_STATE=state)
        ringfence = os.path.join(bin_dir(), "ringfence")
        self.write("version: 1\nname: real\nsandbox: {limits: {memory: 512MiB, wall: 5m}}\nrules:\n"
                   "  - {name: any, allow: exec, program: any}\n  - {name: no, deny: exec, program: /usr/bin/wc}\n")
        for command in (("/bin/true",), ("/bin/sh", "-c", "echo hello")):
            subprocess.run([ringfence, "run", "--policy", self.policy, "--", *command], env=env, check=True,
                           capture_output=True, timeout=WAIT)
        subprocess.run([ringfence, "stop"], env=env, capture_output=True, timeout=WAIT, check=False)
        r = self.report(state=state)
        self.assertEqual((r["decisions"], [u["rule"] for u in r["unused_rules"]]), (2, ["no"]))
        self.assertEqual(sorted(r["rules"][0]["programs"]), ["/usr/bin/sh", "/usr/bin/true"])
        limits = {v["limit"]: v for v in r["limits"]}
        self.assertTrue(limits["memory"]["unused"])
        self.assertEqual(limits["memory"]["runs"], 2)
        self.assertGreater(limits["memory"]["most_seen"], 0)


if __name__ == "__main__":
    unittest.main()
