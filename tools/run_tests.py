#!/usr/bin/python3
"""Runs suites of tests with meson, shows what failed, and ends with `N passed, N failed`.

    run_tests.py BUILD SUITE...

Counts test cases where a test program says how many it ran (cmocka, unittest), else programs. A
program that crashed or ran out of time counts as one failure more.
"""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

TAIL_LINES = 60


def cases_of(output, ok):
    """(passed, failed, skipped) of one program, from what it printed."""
    passed = failed = skipped = 0
    for match in re.finditer(r"^\[  (PASSED|FAILED)  \] (\d+) test\(s\)", output, re.M):
        if match.group(1) == "PASSED":
            passed += int(match.group(2))
        else:
            failed += int(match.group(2))
    cmocka_skipped = re.findall(r"^\[  SKIPPED \] (\d+) test\(s\)", output, re.M)
    skipped += sum(map(int, cmocka_skipped))
    for match in re.finditer(r"^Ran (\d+) tests? in [^\n]*\n+(OK|FAILED)([^\n]*)", output, re.M):
        counts = {key.strip(): int(n) for key, n in re.findall(r"([\w ]+)=(\d+)", match.group(3))}
        bad = counts.get("failures", 0) + counts.get("errors", 0)
        bad += counts.get("unexpected successes", 0)
        left = counts.get("skipped", 0)
        passed += int(match.group(1)) - bad - left
        failed += bad
        skipped += left
    for match in re.finditer(r"^(\d+) passed, (\d+) failed$", output, re.M):
        passed += int(match.group(1))
        failed += int(match.group(2))
    if passed + failed + skipped == 0:
        passed = 1 if ok else 0
    if not ok and failed == 0:
        failed = 1
    return passed, failed, skipped


def logs(build):
    """meson's logs: testlog.json, or testlog-<wrapper>.json."""
    return sorted((Path(build) / "meson-logs").glob("testlog*.json"))


def read_log(log):
    with open(log, encoding="utf-8", errors="replace") as lines:
        return [json.loads(line) for line in lines]


def show(result, output):
    lines = output.rstrip().splitlines()
    print(f"\n==== {result['name']}: {result['result']} after {result['duration']:.1f} s")
    if len(lines) > TAIL_LINES:
        print(f"     … {len(lines) - TAIL_LINES} lines left out")
    print("\n".join(lines[-TAIL_LINES:]))


def reachable_by_others(path):
    """Whether any user can search every directory down to PATH."""
    path = Path(path).resolve()
    return all(p.stat().st_mode & stat.S_IXOTH for p in [path, *path.parents])


def run_meson(build, suites):
    """As root, tests become other users: from a tree in /root they run copies of the programs."""
    command = ["/usr/bin/meson", "test", "-C", build, "--no-rebuild"]
    for suite in suites:
        command += ["--suite", suite]
    programs = Path(build) / "bin"
    if os.geteuid() != 0 or not programs.is_dir() or reachable_by_others(programs):
        return subprocess.run(command, check=False).returncode
    with tempfile.TemporaryDirectory(prefix="ringfence-bin-") as copy:
        os.chmod(copy, 0o755)
        shutil.copytree(programs, copy, dirs_exist_ok=True)
        os.chmod(copy, 0o755)
        wrapper = f"/usr/bin/env RINGFENCE_BIN={copy}"
        return subprocess.run([*command, "--wrapper", wrapper], check=False).returncode


def main():
    build, suites = sys.argv[1], sys.argv[2:]
    for log in logs(build):
        log.unlink()
    status = run_meson(build, suites)
    if len(logs(build)) != 1:
        print("0 passed, 1 failed")
        return 1
    total = [0, 0, 0]
    for result in read_log(logs(build)[0]):
        output = result.get("stdout", "") + result.get("stderr", "")
        if result["result"] == "SKIP":
            total[2] += 1
            continue
        ok = result["result"] in ("OK", "EXPECTEDFAIL")
        counts = cases_of(output, ok)
        total = [have + more for have, more in zip(total, counts)]
        if not ok:
            show(result, output)
    if status != 0 and total[1] == 0:
        total[1] = 1
    print()
    if total[2] > 0:
        print(f"({total[2]} skipped: this machine lacks what they need)")
    print(f"{total[0]} passed, {total[1]} failed", flush=True)
    return 1 if total[1] > 0 else 0


if __name__ == "__main__":
    sys.exit(main())
