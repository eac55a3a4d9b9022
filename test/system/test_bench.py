#!/usr/bin/python3
"""The benchmark's stopwatch tells the truth about what it ran; how fast it was decides nothing here."""

import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

LAUNCH = os.environ["RINGFENCE_LAUNCH"]


class Stopwatch(unittest.TestCase):
    def launch(self, *args):
        p = subprocess.run([LAUNCH, *args], capture_output=True, text=True)
        self.assertEqual(p.returncode, 0, p.stderr)
        return json.loads(p.stdout)

    def test_commands_are_interleaved_and_failures_are_counted_not_timed(self):
        with tempfile.TemporaryDirectory() as where:
            log = Path(where) / "log"
            result = self.launch("--runs", "3", "--warmup", "1",
                                 "@name", "a", "@cmd", "sh", "-c", f"echo a >>{log}",
                                 "@name", "b", "@pre", "sh", "-c", f"echo pre >>{log}",
                                 "@cmd", "sh", "-c", f"echo b >>{log}; exit 1")
            self.assertEqual(log.read_text().split(), ["a", "pre", "b"] * 4)
        self.assertEqual((result["a"]["n"], result["a"]["failures"]), (3, 0))
        self.assertEqual((result["b"]["n"], result["b"]["failures"]), (0, 4))
        self.assertLessEqual(result["a"]["min_us"], result["a"]["p50_us"])
        self.assertLessEqual(result["a"]["p50_us"], result["a"]["p99_us"])

    def test_parallel_runs_are_counted(self):
        result = self.launch("--parallel", "2", "--seconds", "1", "--slices", "1",
                             "@name", "a", "@cmd", "true")
        self.assertGreater(result["a"]["per_second"], 0)

    def test_wrong_usage_fails(self):
        for args in ([], ["--runs", "x", "@name", "a", "@cmd", "true"], ["@name", "a"],
                     ["@name", "a", "@cmd", "/does/not/exist"]):
            self.assertEqual(subprocess.run([LAUNCH, *args], capture_output=True).returncode, 2, args)


if __name__ == "__main__":
    unittest.main()
