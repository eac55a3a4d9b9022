#!/usr/bin/python3
"""`ringfence prove`: that its controls are controls and its single locks single, that it notices a sandbox that does
not hold, and that it leaves the host as it was however it ends.

With RINGFENCE_PROVE=all every attack is tried; otherwise a few of each boundary."""

import html.parser
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ring import *

WEAK = os.environ.get("RINGFENCE_OPEN_SANDBOX", "")
ALL = os.environ.get("RINGFENCE_PROVE") == "all"
# One or two of each boundary, none of which waits for a clock.
SOME = ["read_file", "change_workspace", "trace", "unshare_user", "io_uring", "core_pattern", "open_disk",
        "connect_ipv4", "connect_abstract", "run_copy", "take_processes", "flood_output", "become_root",
        "chmod_setuid", "neighbour_signal", "neighbour_memory", "connect_control", "inherited_descriptor",
        "gateway_name", "gateway_tunnel", "gateway_host", "smuggle_lengths", "taken_tcp", "taken_connect", "taken_execute",
        "propose_denied", "propose_for_another", "dial_forged", "dial_again", "dial_name", "grant_host", "grant_unasked"]


def prove_argv(mode, *args, directory=BIN):
    argv = [os.path.join(directory, "rf-prove"), *args]
    return as_user(argv) if mode == "rootless" else argv


def prove(mode, *args, **options):
    options.setdefault("timeout", 300)
    directory = options.pop("directory", BIN)
    return subprocess.run(prove_argv(mode, *args, directory=directory), capture_output=True,
                          stdin=subprocess.DEVNULL, **options)


def only(names):
    return [word for name in names for word in ("--only", name)]


def result(run):
    try:
        return json.loads(run.stdout)
    except ValueError:
        raise AssertionError(f"{run.returncode}: {run.stdout[-400:]} {run.stderr[-2000:]}")


def tell(row):
    """A row in one line: what each trial saw."""
    trials = [{"lock": "no lock", **row["control"]}, *row["locks"], {"lock": "all", **row["all"]}]
    return f"{row['name']} {row['verdict']}: " + "; ".join(
        f"{trial['lock']} {trial['outcome']} ({trial['detail']})" for trial in trials)


def below(pid):
    """PID and every process below it, as they are in one look."""
    children = {}
    for other in pids():
        children.setdefault(status_of(other).get("PPid", "").strip(), []).append(other)
    found, todo = [], [pid]
    while todo:
        at = todo.pop()
        found.append(at)
        todo += children.get(str(at), [])
    return found


class Running:
    """A proof under way: its processes, and the directories that are its own. Others may run beside it."""

    def __init__(self, mode, *args):
        self.process = subprocess.Popen(prove_argv(mode, *args), stdout=subprocess.DEVNULL,
                                        stdin=subprocess.DEVNULL, start_new_session=True)
        self.known, words = [], []

        def attacked():
            assert self.process.poll() is None, "the proof ended"
            self.known = below(self.process.pid)
            lines = [file_text(f"/proc/{pid}/cmdline").split("\0") for pid in self.known]
            words[:] = [word for line in lines for word in line]
            return any(line[:2] == ["rf-attack", "stay"] for line in lines)

        wait_until(attacked, "an attack runs")
        self.base = next(os.path.dirname(word) for word in words if word.startswith("/var/tmp/ringfence-prove-"))
        while os.path.dirname(self.base) != "/var/tmp":
            self.base = os.path.dirname(self.base)
        self.tmp = file_text(os.path.join(self.base, "lock"))
        assert self.tmp.startswith("/tmp/ringfence-prove-"), self.tmp

    def processes(self):
        """Those that live: known ones, and those that name its directories."""
        found = {pid for pid in self.known if alive(pid) and is_of_proof(pid)}
        for pid in pids():
            text = file_text(f"/proc/{pid}/environ") + file_text(f"/proc/{pid}/cmdline")
            if (self.base in text or self.tmp in text) and alive(pid):
                found.add(pid)
        return found

    def directories(self):
        return [path for path in (self.base, self.tmp) if os.path.exists(path)]

    def shared_objects(self):
        segments = [line for line in file_text("/proc/sysvipc/shm").splitlines()[1:]
                    if int(line.split()[4]) in self.known]
        return segments + [pid for pid in self.known if os.path.exists(f"/dev/shm/ringfence-canary-{pid}")]


def is_of_proof(pid):
    """Whether the number still is a process of a proof, and not already somebody else's."""
    return file_text(f"/proc/{pid}/comm").strip().startswith("rf-")


class Proof(unittest.TestCase):
    """What it says."""

    @classmethod
    def setUpClass(cls):
        cls.runs = {mode: prove(mode, "--json", *([] if ALL else only(SOME))) for mode in modes()}

    def each(self):
        for mode, run in self.runs.items():
            yield mode, run, result(run)

    def test_the_sandbox_holds_every_controlled_attack(self):
        for mode, run, report in self.each():
            with self.subTest(mode):
                bad = [tell(row) for row in report["rows"] if row["verdict"] in ("weak", "breached", "broken")]
                self.assertFalse(bad, "\n".join(bad))
                self.assertEqual(run.returncode, 0)
                self.assertTrue(report["summary"]["proved"])
                self.assertEqual(run.stderr, b"")

    def test_most_attacks_have_a_control_that_succeeds(self):
        for mode, run, report in self.each():
            with self.subTest(mode):
                controlled = report["summary"]["controlled"]
                need = (200 if mode == "root" else 150) if ALL else len(SOME) - 8
                self.assertGreaterEqual(controlled, need)
                for row in report["rows"]:
                    if row["verdict"] == "enforced":
                        self.assertEqual(row["control"]["outcome"], "succeeded", row)
                        self.assertEqual(row["all"]["outcome"], "held", row)

    def test_a_lock_that_every_host_has_is_never_called_unavailable(self):
        may_be_absent = {"root": {"cgroup", "watch"},
                         "rootless": {"cgroup", "watch", "no-caps", "nodev", "other-uid"}}
        for mode, run, report in self.each():
            absent = {lock["lock"] for row in report["rows"] for lock in row["locks"]
                      if lock["outcome"] == "not available here"}
            self.assertLessEqual(absent, may_be_absent[mode])

    def test_a_lock_by_itself_is_really_by_itself(self):
        engaged = {"seccomp": ("seccomp", 2), "no-new-privs": ("no_new_privs", 1)}
        for mode, run, report in self.each():
            for row in report["rows"]:
                control = row.get("control", {}).get("engaged")
                if control is None or mode == "rootless":
                    continue  # as a user the kernel asks for no_new_privs with most locks
                self.assertEqual((control["seccomp"], control["no_new_privs"], control["uid"]), (0, 0, 0), row)
                for lock in row["locks"]:
                    now = lock.get("engaged")
                    if now is None:
                        continue  # a lock of the supervisor: in a sandbox of the product
                    with self.subTest(row["name"], lock=lock["lock"]):
                        filtered = lock["lock"] in ("seccomp", "listed")
                        self.assertEqual(now["seccomp"], 2 if filtered else 0)
                        self.assertEqual(now["no_new_privs"], int(lock["lock"] == "no-new-privs"))
                        powerless = lock["lock"] in ("user-ns", "no-caps", "other-uid", "rlimits")
                        self.assertEqual(int(now["capabilities"], 16) == 0, powerless)

    def test_what_cannot_be_tested_is_never_said_to_hold(self):
        for mode, run, report in self.each():
            for row in report["rows"]:
                if row["verdict"] == "not tested":
                    self.assertTrue(row["not_tested"])
                    self.assertNotIn("all", row)


class Report(unittest.TestCase):
    def test_the_text_shows_each_boundary_with_its_locks(self):
        r = prove(modes()[0], *only(["io_uring", "connect_ipv4"]))
        text = r.stdout.decode()
        self.assertEqual(r.returncode, 0, r.stderr)
        for word in ("kernel surface", "network", "io_uring", "✓ seccomp", "✓ net-ns", "2 of 2 controlled attacks held"):
            self.assertIn(word, text)

    def test_a_boundary_can_be_named(self):
        r = prove(modes()[0], "--list", "--only", "network")
        lines = r.stdout.decode().splitlines()
        self.assertTrue(lines and all(line.startswith("network") for line in lines))

    def test_the_network_boundary_is_shown_with_the_locks_of_its_programs(self):
        r = prove(modes()[0], *only(["gateway_name", "taken_connect", "dial_name", "grant_host"]))
        text = r.stdout.decode()
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        for word in ("✓ net-ns  ✓ policy  ✓ addresses", "✓ gateway-filter  ✓ gateway-landlock", "✓ pins", "✓ binding",
                     "4 of 4 controlled attacks held"):
            self.assertIn(word, text)

    def test_wrong_usage_is_said_in_one_line(self):
        for args in (["--only", "nothing"], ["--jobs", "0"], ["--html"], ["--frob", "1"], ["word"]):
            r = prove(modes()[0], *args)
            self.assertEqual(r.returncode, 2, args)
            self.assertEqual(len(r.stderr.splitlines()), 1, args)

    def test_the_page_is_whole_and_loads_nothing(self):
        with tempfile.TemporaryDirectory() as directory:
            page = os.path.join(directory, "proof.html")
            r = prove("root" if AS_ROOT else "rootless", "--html", page, *only(["io_uring", "code_in_memory"]))
            self.assertEqual(r.returncode, 0, r.stderr)
            text = file_text(page)
        opened = []

        class Check(html.parser.HTMLParser):
            def handle_starttag(self, tag, attributes):
                names = dict(attributes)
                if tag not in ("meta", "br", "link", "col", "hr"):
                    opened.append(tag)
                assert tag not in ("script", "link", "img", "iframe"), tag
                assert not any(name.startswith("on") or name == "src" for name in names), names

            def handle_endtag(self, tag):
                assert opened.pop() == tag, tag

        Check().feed(text)
        self.assertEqual(opened, [])
        self.assertNotIn("http://", text)
        self.assertIn("io_uring", text)
        self.assertIn("lists choose programs", text)

    def test_the_cli_starts_it(self):
        r = subprocess.run([os.path.join(BIN, "ringfence"), "prove", "--list"], capture_output=True, timeout=TIMEOUT)
        self.assertEqual(r.returncode, 0)
        self.assertIn(b"io_uring", r.stdout)


class Honesty(unittest.TestCase):
    """Of a sandbox that holds nothing it must say so."""

    def test_a_sandbox_that_does_not_hold_is_noticed(self):
        if WEAK == "":
            self.skipTest("needs RINGFENCE_OPEN_SANDBOX, a ringfence that runs without a sandbox")
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o755)
            for name in os.listdir(BIN):
                shutil.copy2(os.path.join(BIN, name), directory)
            shutil.copy2(WEAK, os.path.join(directory, "ringfence"))
            for mode in modes():
                r = prove(mode, "--json", *only(["io_uring", "unshare_user"]), directory=directory)
                self.assertEqual(r.returncode, 1, r.stderr)
                report = result(r)
                self.assertEqual({row["verdict"] for row in report["rows"]}, {"breached"})
                self.assertFalse(report["summary"]["proved"])

    def test_a_program_that_does_not_hold_is_noticed(self):
        """Its own word counts: a dialer that ends without one has refused nothing."""
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o755)
            for name in os.listdir(BIN):
                shutil.copy2(os.path.join(BIN, name), directory)
            for name in ("rf-dialer", "rf-vault"):
                shutil.copy2("/bin/false", os.path.join(directory, name))
            for mode in modes():
                r = prove(mode, "--json", *only(["dial_forged", "grant_host"]), directory=directory)
                self.assertEqual(r.returncode, 1, r.stderr)
                self.assertEqual({row["verdict"] for row in result(r)["rows"]}, {"no control"})

    def test_where_there_is_no_sandbox_nothing_is_proved(self):
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o755)
            for name in os.listdir(BIN):
                shutil.copy2(os.path.join(BIN, name), directory)
            shutil.copy2("/bin/false", os.path.join(directory, "ringfence"))
            for mode in modes():
                r = prove(mode, *only(["io_uring"]), directory=directory)
                self.assertEqual((r.returncode, r.stdout), (125, b""))
                self.assertIn(b"no sandbox to be proved", r.stderr)

    def test_no_program_of_the_product_can_leave_a_lock_out(self):
        """rf-prove-init puts locks on one by one; only rf-prove knows it, and rf-init has no such choice."""
        for name in os.listdir(BIN):
            with open(os.path.join(BIN, name), "rb") as f:
                program = f.read()
            with self.subTest(name):
                if name not in ("rf-prove", "rf-prove-init", "rf-doctor"):  # which looks whether all are installed
                    self.assertFalse(b"rf-prove-init" in program)
                if name not in ("rf-prove", "rf-prove-init", "rf-attack"):
                    self.assertFalse(b"gateway-landlock" in program)
                if name == "rf-init":  # what an order to rf-prove-init would say
                    for word in (b"no-new-privs", b"user-ns", b"no-caps", b"pid-ns"):
                        self.assertFalse(word in program, word)

    def test_it_is_started_by_rf_prove_only(self):
        r = subprocess.run([os.path.join(BIN, "rf-prove-init")], capture_output=True, stdin=subprocess.DEVNULL, timeout=TIMEOUT)
        self.assertEqual(r.returncode, 125)


class Traces(unittest.TestCase):
    """What it leaves behind: nothing."""

    # What needs most around it: control groups, a clock, what attacks aim at, another sandbox.
    ATTACKS = only(["stay", "take_processes", "neighbour_signal", "gateway_name", "dial_name", "grant_host"])

    def assert_clean(self, proof):
        wait_until(lambda: not proof.processes(), "every process ends")
        wait_until(lambda: not proof.directories(), "its directories go")
        self.assertEqual(proof.shared_objects(), [])
        self.assertNotIn(proof.base, file_text("/proc/self/mounts"))
        wait_until(lambda: not cgroup_leftovers(set(proof.known)), "its control groups go")

    def test_after_it_ran(self):
        for mode in modes():
            with self.subTest(mode):
                proof = Running(mode, *self.ATTACKS)
                proof.process.wait(timeout=TIMEOUT)
                self.assert_clean(proof)

    def test_after_it_was_asked_to_stop(self):
        for mode in modes():
            for number in (signal.SIGINT, signal.SIGTERM):
                with self.subTest(mode, signal=number):
                    proof = Running(mode, *self.ATTACKS)
                    proof.process.send_signal(number)
                    self.assertEqual(proof.process.wait(timeout=TIMEOUT), 130)
                    self.assert_clean(proof)

    def test_after_its_keeper_was_killed(self):
        for mode in modes():
            with self.subTest(mode):
                proof = Running(mode, *self.ATTACKS)
                proof.process.kill()
                proof.process.wait(timeout=TIMEOUT)
                self.assert_clean(proof)

    def test_after_its_worker_was_killed(self):
        for mode in modes():
            with self.subTest(mode):
                proof = Running(mode, *self.ATTACKS)
                worker = children_of(proof.process.pid)[0]
                os.kill(worker, signal.SIGKILL)
                self.assertEqual(proof.process.wait(timeout=TIMEOUT), 125)
                self.assert_clean(proof)

    def test_the_next_one_removes_what_a_machine_that_lost_power_left(self):
        for mode in modes():
            with self.subTest(mode):
                proof = Running(mode, *self.ATTACKS)
                def lose_power():  # keeper, worker and all at once, and what one of them was just starting
                    for pid in proof.processes():
                        try:
                            os.kill(pid, signal.SIGKILL)
                        except ProcessLookupError:
                            pass
                    proof.process.poll()
                    return not proof.processes()

                wait_until(lose_power, "all are dead")
                self.assertTrue(proof.directories())
                self.assertEqual(prove(mode, *only(["io_uring"])).returncode, 0)
                self.assertEqual(proof.directories(), [])


class Service(unittest.TestCase):
    def test_a_running_service_is_left_alone(self):
        for mode in modes():
            with self.subTest(mode):
                ring = Ringfence(mode)
                self.addCleanup(ring.destroy)
                self.assertEqual(ring.run("--", "true").returncode, 0)
                self.assertEqual(ring.cli("start").returncode, 0)
                programs, before = ring.programs(), self.records(ring.state)
                r = prove(mode, *only(["connect_control", "write_state", "io_uring"]), env=ring.env)
                self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
                self.assertEqual(ring.programs(), programs)
                now = self.records(ring.state)
                self.assertTrue(now.startswith(before))
                self.assertNotIn("rf-attack", now)

    @staticmethod
    def records(state):
        ledger = os.path.join(state, "ledger")
        return "".join(file_text(os.path.join(ledger, name)) for name in sorted(os.listdir(ledger)) if name.endswith(".jsonl"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
