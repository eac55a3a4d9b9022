#!/usr/bin/python3
"""The demonstration does what it says, and would say so if something were not held."""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("RINGFENCE_BIN", ROOT / "build" / "bin"))

sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "demo"))
import attacks  # noqa: E402


class Demonstration(unittest.TestCase):
    def test_every_attack_is_held_and_the_changed_ledger_is_found(self):
        with tempfile.TemporaryDirectory() as out:
            env = dict(os.environ, RINGFENCE_BIN=str(BIN), RINGFENCE_DEMO_OUT=out)
            p = subprocess.run([ROOT / "demo" / "run", "--json"], env=env, capture_output=True, text=True,
                               timeout=120)
            self.assertTrue(p.stdout, p.stderr)
            result = json.loads(p.stdout)
            for row in result["attacks"] + result["network"]["attacks"]:
                self.assertTrue(row["held"], row)
            for job in result["network"]["jobs"]:
                self.assertTrue(job["done"], job)
            self.assertGreaterEqual(len(result["network"]["attacks"]), 8)
            self.assertTrue(result["ok"], result)
            self.assertEqual(p.returncode, 0)
            self.assertIn("<svg", (Path(out) / "petals.svg").read_text())


class Judgement(unittest.TestCase):
    """Positive controls: what each check says when the attack got through."""

    GOT_THROUGH = {
        "read_secrets.py": {"stdout": "no /a No such file\nGOT /home/x/.ssh/id_ed25519 secret\n"},
        "read_shadow.py": {"stdout": "GOT /etc/shadow 30 lines\n"},
        "dump_environment.py": {"stdout": "{'RINGFENCE': '1', 'DEMO_API_KEY': 'x'}"},
        "connect_out.py": {"stdout": "GOT interfaces lo eth0\n"},
        "fork_bomb.py": {"stdout": "stopped after 30000 processes: Resource temporarily unavailable\n"},
        "eat_memory.py": {"limit": "memory", "exit_code": 137, "usage": {"memory_peak_bytes": 1 << 30}},
        "fill_disk.py": {"stdout": "GOT . 4294967296\n", "usage": {"scratch_bytes": 1 << 32}},
        "run_forever.py": {"limit": None, "exit_code": 137, "usage": {}},
        "print_endlessly.py": {"limit": "output", "stdout_bytes": 1 << 20},
        "delete_workspace.py": {"stdout": "left: []\n", "changes": {"deleted": 0}},
    }

    def test_a_result_that_got_through_is_not_held(self):
        class Demo:
            canary = "CANARY"
            work = ROOT / "demo" / "agent"

        self.assertEqual({a.program for a in attacks.ATTACKS}, set(self.GOT_THROUGH))
        for attack in attacks.ATTACKS:
            for result in (self.GOT_THROUGH[attack.program], {"error": {"message": "it did not run"}}):
                held, evidence = attack.check(Demo, result)
                self.assertFalse(held, (attack.program, evidence))


if __name__ == "__main__":
    unittest.main()
