"""Work inside a sandbox against the same work bare: compiling, tar, find, and the cost of a system call."""

import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

import peers

FUNCTIONS = 160

COMPILE = """set -e
for f in src/*.c; do gcc -O1 -c "$f" -o "$1/$(basename "$f" .c).o"; done
rm -f "$1"/*.o
"""


def write_sources(directory, files):
    """C sources of the size of a small program; the same on every machine."""
    directory.mkdir(parents=True)
    for n in range(files):
        lines = ["#include <stdio.h>", "#include <stdlib.h>", "#include <string.h>"]
        for f in range(FUNCTIONS):
            lines.append(f"""
int f{n}_{f}(const char *text, int limit)
{{
	int total = {f};
	for (int i = 0; i < limit && text[i] != 0; i++) {{
		if (text[i] == '{chr(97 + f % 26)}')
			total += i * {f + 3} + (int)strlen(text + i);
		else
			total ^= (total << {1 + f % 7}) + text[i];
	}}
	return total;
}}""")
        (directory / f"unit{n}.c").write_text("\n".join(lines) + "\n")


def compare(bench, name, bare, inside, runs, target):
    results = bench.launch({"bare": bare, "inside": inside}, "--runs", str(runs), "--warmup", "1")
    bench.table.result("work_" + name, results)
    if results["inside"]["n"] == 0 or results["bare"]["n"] == 0:
        bench.table.target(f"{name} inside against bare", None, target, "x")
        return
    ratio = results["inside"]["p50_us"] / results["bare"]["p50_us"]
    bench.table.row(name, results["bare"]["p50_us"] / 1000, results["inside"]["p50_us"] / 1000,
                    f"{ratio:.3f}x")
    bench.table.target(f"{name} inside against bare", ratio, target, "x")


def call_cost(bench, argv):
    p = subprocess.run([str(a) for a in argv], env=bench.env, capture_output=True, text=True, check=True)
    return float(p.stdout)


def measure(bench):
    bench.table.section("work inside against bare", "bare ms", "inside ms")
    place = bench.base / "work"
    write_sources(place / "src", 4 if bench.quick else 10)
    (place / "compile").write_text(COMPILE)
    shutil.copy(bench.build / "bench" / "syscalls", place / "syscalls")
    for path in [place, *place.rglob("*")]:
        path.chmod(0o755)
    # Both write to memory: inside, /tmp is a tmpfs.
    scratch = Path(tempfile.mkdtemp(prefix="ringfence-bench-", dir="/dev/shm"))
    inside = [bench.bin / "ringfence", "run", "--workspace", place, "--discard", "--"]
    runs = 3 if bench.quick else 7
    try:
        compile_bare = ["sh", "-c", f"cd {place} && TMPDIR={scratch} sh compile {scratch}"]
        compare(bench, "compile", compile_bare, [*inside, "sh", "compile", "/tmp"], runs, 1.03)
        # Through a pipe: to /dev/null itself tar would not read the files.
        tar = ["sh", "-c", "tar -cf - -C /usr/include . | cat >/dev/null"]
        compare(bench, "tar", tar, [*inside, *tar], runs * 2, 1.05)
        # Inside, a few directories are closed to the command's uid, and find says so by its exit code.
        find = ["sh", "-c", "find /usr -xdev -newermt 2001-01-01 -size +900M; true"]
        compare(bench, "find", find, [*inside, *find], runs * 2, 1.08)
        calls = place / "syscalls"
        rounds = [(call_cost(bench, [calls]), call_cost(bench, [*peers.BWRAP_PLAIN, calls]),
                   call_cost(bench, [*inside, "./syscalls"])) for _ in range(3 if bench.quick else 9)]
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    bare, other, within = (statistics.median(column) for column in zip(*rounds))
    bench.table.row("a system call, ns", bare, within, f"{within - bare:+.1f} ns (bubblewrap {other - bare:+.1f})")
    bench.table.result("system_call_ns", {"bare": bare, "bubblewrap": other, "inside": within})
    bench.table.target("a system call inside costs more by", within - bare, 15, " ns")
