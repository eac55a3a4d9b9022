"""What the daemon gives its callers: warm starts, many clients, many sessions, and what waiting costs."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import peers


def pss_kib(pid):
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def children_called(parent, name):
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            text = (entry / "stat").read_text()
        except OSError:
            continue
        comm, rest = text[text.index("(") + 1:text.rindex(")")], text[text.rindex(")") + 2:].split()
        if comm == name and int(rest[1]) == parent:
            found.append(int(entry.name))
    return found


def quantiles(text):
    """{what: (p50, p99)} in microseconds, of the "what p50 … us p99 … us" lines."""
    found = {}
    for line in text.splitlines():
        if " p50 " in line:
            what, rest = line.split(" p50 ", 1)
            words = rest.split()
            found[what.strip()] = (float(words[0]), float(words[3]))
    return found


def figure(text, before):
    """The number in TEXT that follows BEFORE, or None."""
    for line in text.splitlines():
        if before in line:
            return float(line.split(before, 1)[1].split()[0])
    return None


class Daemon:
    """`ringfence serve` on a state directory of its own."""

    def __init__(self, bench):
        self.state = bench.base / "daemon"
        self.program = bench.bin / "ringfence"
        self.env = dict(os.environ, RINGFENCE_STATE=str(self.state))
        self.process = subprocess.Popen([self.program, "serve"], env=self.env, stderr=subprocess.PIPE, text=True)
        self.process.stderr.readline()  # it listens
        self.socket = self.state / "run" / "supervisor.sock"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.communicate()
        shutil.rmtree(self.state, ignore_errors=True)

    def pid(self):
        p = subprocess.run([self.program, "status", "--json"], env=self.env, capture_output=True, text=True)
        return json.loads(p.stdout)["pid"]


def latency(bench, daemon, measure):
    table = bench.table
    table.section("request to exit, by way of the daemon", "p50 ms", "p99 ms")
    found = quantiles(measure("latency", 60 if bench.quick else 400))
    for what, (p50, p99) in found.items():
        bare = found[what.split(",")[0] + ", bare"][0]
        table.row(what, p50 / 1000, p99 / 1000, f"{p50 / bare:.2f}x bare")
    table.result("daemon_latency_us", found)

    def ratio(what, base):
        return found[what][0] / found[base][0] if what in found and base in found else None
    table.target("true by the daemon, against bare", ratio("true, by the daemon", "true, bare"), 1.8, "x")
    table.target("python3 by the daemon, against bare",
                 ratio("python3 -c pass, by the daemon", "python3 -c pass, bare"), 1.1, "x")
    text = measure("clients", 40 if bench.quick else 250)
    many = quantiles(text)
    for what, (p50, p99) in many.items():
        table.row(what, p50 / 1000, p99 / 1000)
        table.target("p99 against p50, 8 clients at once", p99 / p50, 5, "x")
    table.result("daemon_clients", text.splitlines())


def command_line(bench, daemon):
    """`ringfence run` that finds the daemon, beside bubblewrap's start."""
    own, bench.env = bench.env, daemon.env
    results = bench.launch({"bubblewrap": peers.BWRAP + ["/bin/true"],
                            "ringfence run": [daemon.program, "run", "--", "/bin/true"]},
                           "--runs", "60" if bench.quick else "300", "--warmup", "10")
    bench.env = own
    reference = results["bubblewrap"]["p50_us"]
    for name, result in results.items():
        bench.table.row(f"{name}, the daemon runs", result["p50_us"] / 1000, result["p99_us"] / 1000,
                        f"{result['p50_us'] / reference:.2f}x bubblewrap")
    bench.table.result("daemon_run", results)
    bench.table.target("ringfence run by the daemon against bubblewrap",
                       results["ringfence run"]["p50_us"] / reference, 0.4, "x")


def sessions(bench, daemon, measure):
    table = bench.table
    table.section("sessions and prepared sandboxes", "MiB or KiB")
    count = 200 if bench.quick else 1000
    text = measure("sessions", count)
    mib = figure(text, "live sessions:")
    table.row(f"{count} live sessions (memory of the machine), MiB", mib)
    for line in text.splitlines():
        table.note(line)
    table.target("1,000 live sessions", None if mib is None else mib * 1000 / count, 600, " MiB")
    # What waits: its pages, of which most are shared with its like (two processes, one memory).
    waiting = children_called(daemon.pid(), "rf-init")
    if waiting:
        each = sum(pss_kib(pid) for pid in waiting) / len(waiting)
        table.row(f"a prepared sandbox ({len(waiting)} wait), KiB (PSS)", each)
        table.result("prepared_pss_kib", each)
        table.target("a prepared sandbox", each * 1024 / 1000, 60, " kB")


def measure(bench):
    program = bench.build / "bench" / "bench_daemon"
    subprocess.run(["ninja", "-C", str(bench.build), "bench/bench_daemon"], check=True, stdout=subprocess.DEVNULL)
    with Daemon(bench) as daemon:
        def run(what, n):
            p = subprocess.run([program, daemon.socket, what, str(n)], capture_output=True, text=True)
            if p.returncode != 0:
                bench.table.note(f"bench_daemon {what}: {p.stderr.strip()}")
            return p.stdout
        latency(bench, daemon, run)
        command_line(bench, daemon)
        sessions(bench, daemon, run)
