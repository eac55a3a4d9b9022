#!/usr/bin/python3
"""The checks of `make lint` must find what they are for: each is shown a tree with one fault, and one
without. And the summary must count what test programs print."""

import importlib.util
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOOLS = Path(__file__).resolve().parent.parent.parent / "tools"
CLEAN = '/* What it is for. */\n#include "base/json.h"\n\nint\nf(void)\n{\n\treturn 0;\n}\n'


def tree(files):
    """A directory with the tools and FILES (path → text)."""
    root = tempfile.TemporaryDirectory(prefix="test-tools-")
    shutil.copytree(TOOLS, Path(root.name) / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    for path, text in files.items():
        target = Path(root.name) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return root


def run(tool, files):
    with tree(files) as root:
        result = subprocess.run([sys.executable, f"{root}/tools/{tool}"], capture_output=True, text=True,
                                check=False)
        return result.returncode, result.stdout


class Layers(unittest.TestCase):
    def refused(self, path, include):
        code, text = run("check_layers.py", {path: f"/* x */\n#include {include}\n"})
        self.assertEqual(code, 1, text)
        self.assertIn(f"{path}:2:", text)

    def accepted(self, path, include):
        self.assertEqual(run("check_layers.py", {path: f"/* x */\n#include {include}\n"}), (0, ""))

    def test_includes_that_point_down_are_accepted(self):
        self.accepted("src/cli/a.c", '"sandbox/plan.h"')
        self.accepted("src/policy/a.c", '"action/action.h"')
        self.accepted("src/ipc/a.c", '"io/loop.h"')
        self.accepted("src/base/a.c", "<stdio.h>")

    def test_an_include_that_points_up_is_refused(self):
        self.refused("src/base/a.c", '"ipc/msg.h"')
        self.refused("src/sys/a.h", '"sandbox/plan.h"')
        self.refused("src/sandbox/a.c", '"cli/run.h"')

    def test_an_include_from_program_to_program_is_refused(self):
        self.refused("src/cli/a.c", '"supervisor/supervisor.h"')
        self.refused("src/prove/a.c", '"init/locks.h"')
        self.accepted("src/prove/one_lock.c", '"init/locks.h"')

    def test_an_include_within_a_layer_is_refused(self):
        self.refused("src/sys/a.c", '"policy/policy.h"')

    def test_a_pure_layer_may_not_include_input_and_output(self):
        self.refused("src/policy/a.c", "<fcntl.h>")

    def test_a_library_belongs_to_its_layer(self):
        self.refused("src/cli/a.c", "<sqlite3.h>")


class Source(unittest.TestCase):
    def test_clean_source_is_accepted(self):
        self.assertEqual(run("check_source.py", {"src/cli/a.c": CLEAN})[0], 0)

    def test_a_banned_function_is_refused(self):
        bad = CLEAN.replace("return 0", 'return system("x")')
        code, text = run("check_source.py", {"src/cli/a.c": bad})
        self.assertEqual(code, 1)
        self.assertIn("src/cli/a.c:7: system is banned", text)

    def test_a_banned_name_in_a_comment_or_string_is_not_a_call(self):
        good = CLEAN.replace("return 0", 'return f("system(1)") /* strcpy(a, b) */')
        self.assertEqual(run("check_source.py", {"src/cli/a.c": good})[0], 0)

    def test_sleeping_in_a_test_is_refused(self):
        bad = CLEAN.replace("return 0", "return sleep(1)")
        self.assertEqual(run("check_source.py", {"test/cli/a.c": bad})[0], 1)

    def test_a_header_without_pragma_once_is_refused(self):
        self.assertEqual(run("check_source.py", {"src/cli/a.h": "/* x */\nint f(void);\n"})[0], 1)

    def test_a_file_without_an_opening_comment_is_refused(self):
        self.assertEqual(run("check_source.py", {"src/cli/a.c": CLEAN.split("\n", 1)[1]})[0], 1)

    def test_a_long_function_is_a_warning(self):
        long = CLEAN.replace("\treturn 0;\n", "\treturn 0;\n" * 61)
        code, text = run("check_source.py", {"src/cli/a.c": long})
        self.assertEqual(code, 0)
        self.assertIn("f has 61 lines", text)


def load_run_tests():
    spec = importlib.util.spec_from_file_location("run_tests", TOOLS / "run_tests.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Summary(unittest.TestCase):
    def count(self, output, ok):
        return load_run_tests().cases_of(output, ok)

    def test_cmocka_cases_are_counted(self):
        self.assertEqual(self.count("[  PASSED  ] 7 test(s).\n", True), (7, 0, 0))
        text = "[  PASSED  ] 5 test(s).\n[  SKIPPED ] 1 test(s), listed below:\n"
        self.assertEqual(self.count(text + "[  FAILED  ] 2 test(s), listed below:\n", False), (5, 2, 1))

    def test_unittest_cases_are_counted(self):
        self.assertEqual(self.count("Ran 9 tests in 0.1s\n\nOK (skipped=2)\n", True), (7, 0, 2))
        text = "Ran 9 tests in 0.1s\n\nFAILED (failures=1, errors=2)\n"
        self.assertEqual(self.count(text, False), (6, 3, 0))

    def test_a_program_that_says_nothing_is_one_case(self):
        self.assertEqual(self.count("", True), (1, 0, 0))
        self.assertEqual(self.count("", False), (0, 1, 0))

    def test_a_crash_after_passing_cases_is_a_failure(self):
        self.assertEqual(self.count("[  PASSED  ] 7 test(s).\n", False), (7, 1, 0))


if __name__ == "__main__":
    unittest.main()
