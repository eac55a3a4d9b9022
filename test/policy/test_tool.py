#!/usr/bin/python3
"""rf-policy as people use it: what it prints, its exit codes, what it never does."""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

RF_POLICY = Path(os.environ["RINGFENCE_BIN"]) / "rf-policy"
POLICY = """version: 1
name: t
rules:
  - {name: git, allow: exec, program: /usr/bin/git, subcommands: [log], options: [--stat]}
tests:
  - {exec: [git, log], is: allow, by: git}
  - {exec: [git, push], is: deny}
"""


class Tool(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.path = Path(self.dir.name)
        (self.path / "p.yaml").write_text(POLICY, encoding="utf-8")

    def tearDown(self):
        self.dir.cleanup()

    def run_tool(self, *args, text=None):
        env = {**os.environ, "RINGFENCE_STATE": str(self.path / "state")}
        return subprocess.run([RF_POLICY, *args], input=text, capture_output=True, text=True,
                              check=False, cwd=self.path, env=env)

    def test_init_writes_a_starter_that_is_valid_and_never_overwrites(self):
        self.assertEqual(self.run_tool("init").returncode, 0)
        starter = (self.path / "policy.yaml").read_text(encoding="utf-8")
        self.assertEqual(self.run_tool("check", "policy.yaml").returncode, 0)
        self.assertEqual(self.run_tool("test", "policy.yaml").returncode, 0)
        again = self.run_tool("init")
        self.assertEqual(again.returncode, 2)
        self.assertIn("exists already", again.stderr)
        self.assertEqual((self.path / "policy.yaml").read_text(encoding="utf-8"), starter)
        (self.path / "link").symlink_to("elsewhere")
        self.assertEqual(self.run_tool("init", "link").returncode, 2)
        self.assertFalse((self.path / "elsewhere").exists())

    def test_check_says_what_is_wrong_in_one_line(self):
        (self.path / "bad.yaml").write_text(POLICY.replace("subcommands", "subcomands"), encoding="utf-8")
        result = self.run_tool("check", "bad.yaml")
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stderr, "rf-policy: bad.yaml:4:53: rules[0].subcomands: unknown field in an "
                         "exec rule; did you mean \"subcommands\"?\n")

    def test_input_that_is_no_policy_gives_one_line_each(self):
        (self.path / "empty").write_bytes(b"")
        (self.path / "binary").write_bytes(bytes(range(256)) * 40)
        with open(self.path / "huge", "wb") as huge:
            huge.truncate(100_000_000)
        for name in ["empty", "binary", "huge", "missing", ".", "/dev/zero"]:
            with self.subTest(name):
                result = self.run_tool("check", name)
                self.assertEqual(result.returncode, 1)
                self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
                self.assertTrue(result.stderr.startswith("rf-policy: "))

    def test_a_name_with_escapes_does_not_reach_the_terminal(self):
        result = self.run_tool("check", "-", text="version: 1\nname: t\n\"a\\e]0;x\\a\": 1\n")
        self.assertNotIn("\x1b", result.stderr)
        self.assertNotIn("\x07", result.stderr)

    def test_test_lists_every_example_and_fails_if_one_does(self):
        self.assertEqual(self.run_tool("test", "p.yaml").stdout,
                         "ok    p.yaml:6 allow by git\nok    p.yaml:7 deny\n2 of 2 tests passed\n")
        (self.path / "bad.yaml").write_text(POLICY.replace("is: deny", "is: allow"), encoding="utf-8")
        result = self.run_tool("test", "bad.yaml")
        self.assertEqual(result.returncode, 1)
        self.assertIn("FAIL  bad.yaml:7:5: tests[1]: expected allow, but it is deny", result.stdout)
        self.assertIn("1 of 2 tests passed", result.stdout)
        self.assertEqual(self.run_tool("check", "bad.yaml").returncode, 1)

    def test_explain_shows_the_decision_and_each_part_of_the_risk(self):
        action = {"kind": "exec", "effect": "write", "facts": {"first_seen": True},
                  "request": {"program": "/usr/bin/git", "argv": ["git", "push"]}}
        (self.path / "a.json").write_text(json.dumps(action), encoding="utf-8")
        result = self.run_tool("explain", "p.yaml", "--action", "a.json")
        self.assertEqual(result.returncode, 0)
        self.assertEqual(result.stdout, (
            "deny\n"
            "  why         no rule permits it\n"
            "  needed      a rule `allow: exec` with program: /usr/bin/git that permits its arguments "
            "(push …)\n"
            "  reversible  no\n"
            "  risk        32 (medium)\n"
            "    +20  irreversible   cannot be taken back\n"
            "    +12  first-seen     nothing like it was done before\n"))
        decision = json.loads(self.run_tool("explain", "p.yaml", "--action=a.json", "--json").stdout)
        self.assertEqual((decision["decision"], decision["risk"]["score"]), ("deny", 32))
        (self.path / "a.json").write_text("{}", encoding="utf-8")
        self.assertEqual(self.run_tool("explain", "p.yaml", "--action", "a.json").returncode, 1)

    def test_diff_shows_a_witness_for_each_change(self):
        (self.path / "q.yaml").write_text(
            POLICY.replace("subcommands: [log]", "subcommands: [log, push]").replace(
                "  - {exec: [git, push], is: deny}\n", ""), encoding="utf-8")
        result = self.run_tool("diff", "p.yaml", "q.yaml", "--json")
        self.assertEqual(result.returncode, 1)
        diff = json.loads(result.stdout)
        self.assertEqual(diff["denied"], [])
        witness = diff["allowed"][0]
        self.assertEqual(witness["action"]["request"]["argv"], ["git", "push"])
        self.assertEqual((witness["before"]["decision"], witness["after"]["rule"]), ("deny", "git"))
        back = json.loads(self.run_tool("diff", "q.yaml", "p.yaml", "--json").stdout)
        self.assertEqual(back["denied"][0]["action"], witness["action"])
        self.assertEqual((diff["unknown"], back["unknown"]), ([], []))  # shown from either side is shown
        same = self.run_tool("diff", "p.yaml", "p.yaml")
        self.assertEqual((same.returncode, same.stdout), (0, "no difference\n"))

    def test_diff_says_what_it_cannot_tell(self):
        (self.path / "q.yaml").write_text(POLICY.replace(
            "tests:", "  - {name: more, allow: exec, program: /usr/bin/git, subcommands: [log], "
            "options: [--stat]}\ntests:"), encoding="utf-8")
        diff = json.loads(self.run_tool("diff", "p.yaml", "q.yaml", "--json").stdout)
        self.assertEqual(diff["unknown"], ["rule more is new, but no action was found that it makes a "
                                           "difference to"])

    def test_capabilities_say_what_is_not_bounded(self):
        rules = json.loads(self.run_tool("capabilities", "p.yaml", "--json").stdout)
        self.assertEqual([rule["rule"] for rule in rules], ["git"])
        notes = " ".join(rules[0]["notes"])
        self.assertIn("what that starts in turn is bounded by the files, network and limits", notes)
        self.assertIn("/usr/bin/git (-c core.pager", notes)
        self.assertIn("run other programs, any that exists inside", notes)
        self.assertEqual([(p["program"], p["power"]) for p in rules[0]["powers"]],
                         [("/usr/bin/git", "runs")])

    def test_capabilities_name_interpreters_in_one_line_for_each_rule(self):
        (self.path / "l.yaml").write_text(
            "version: 1\nname: l\nsandbox: {executables: listed}\nrules:\n"
            "  - {name: a, allow: exec, program: [/usr/bin/python3.11, /bin/sh, /usr/bin/cat, /usr/bin/find]}\n"
            "  - {name: b, deny: exec, program: /usr/bin/perl}\n"
            "  - {name: c, allow: exec, program: /usr/bin/wc}\n", encoding="utf-8")
        lines = self.run_tool("capabilities", "l.yaml").stdout.splitlines()
        self.assertIn("  - interpreters, compute anything and run other programs that are listed: "
                      "/usr/bin/python3.11 (a programming language), /bin/sh (a shell: scripts, pipes, files)", lines)
        self.assertEqual(sum("run other programs that are listed" in line for line in lines), 2)
        self.assertFalse(any("perl" in line and "interpreter" in line for line in lines))
        rules = json.loads(self.run_tool("capabilities", "l.yaml", "--json").stdout)
        self.assertEqual([[p["power"] for p in rule["powers"]] for rule in rules],
                         [["interpreter", "interpreter", "runs"], [], []])

    def test_without_an_arbiter_activation_says_how_to_start_one(self):
        for args in [("activate", "p.yaml"), ("rollback", "t"), ("history",)]:
            with self.subTest(args):
                result = self.run_tool(*args)
                self.assertEqual(result.returncode, 2)
                self.assertIn("no arbiter is running", result.stderr)
                self.assertIn("ringfence start", result.stderr)

    def test_wrong_usage_is_said_and_nothing_is_done(self):
        for args in [(), ("chek",), ("check",), ("check", "a", "b"), ("diff", "p.yaml"), ("check", "--odd"),
                     ("explain", "p.yaml"), ("init", "a", "b")]:
            with self.subTest(args):
                self.assertEqual(self.run_tool(*args).returncode, 2)


if __name__ == "__main__":
    sys.exit(unittest.main())
