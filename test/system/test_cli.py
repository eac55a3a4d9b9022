#!/usr/bin/python3
"""The command line, against the real programs: options, exit codes, signals, streams, bad input, JSON.

Environment: RINGFENCE_BIN, the directory of the programs (build/bin). Every class has a state directory
of its own and stops its programs at the end."""

import array
import fcntl
import json
import os
import pty
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.path.abspath(os.environ.get("RINGFENCE_BIN", os.path.join(ROOT, "build", "bin")))
CLI = os.path.join(BIN, "ringfence")
TIMEOUT = 60
AS_ROOT = os.geteuid() == 0

EXEC_ALL = """version: 1
name: {name}
sandbox:
  limits: {{memory: 128MiB, processes: 32, disk: 32MiB, wall: 30s, output: 4MiB}}
rules:
  - name: everything
    why: a test
    owner: tests
    allow: exec
    program: any
"""


def wait_until(condition, what, seconds=20):
    """Polls CONDITION; the deadline is only there so that a failure ends."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("never: " + what)
        time.sleep(0.005)


def processes_with(marker):
    """Host pids whose command line contains MARKER."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if marker.encode() in f.read():
                    found.append(int(pid))
        except OSError:
            pass
    return [p for p in found if p != os.getpid()]


class Case(unittest.TestCase):
    """A state directory per class."""

    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="rf-cli-")
        os.chmod(cls.dir, 0o755)
        cls.env = {k: v for k, v in os.environ.items() if not k.startswith("RINGFENCE_")}
        cls.env["RINGFENCE_STATE"] = os.path.join(cls.dir, "state")
        cls.env["RINGFENCE_CONFIG"] = os.path.join(cls.dir, "config.yaml")
        cls.env.pop("NO_COLOR", None)

    @classmethod
    def tearDownClass(cls):
        subprocess.run([CLI, "kill", "all"], env=cls.env, timeout=TIMEOUT, capture_output=True)
        subprocess.run([CLI, "stop"], env=cls.env, timeout=TIMEOUT, capture_output=True)
        shutil.rmtree(cls.dir, ignore_errors=True)

    def cli(self, *args, **kwargs):
        kwargs.setdefault("stdin", subprocess.DEVNULL) if "input" not in kwargs else None
        kwargs.setdefault("env", self.env)
        kwargs.setdefault("timeout", TIMEOUT)
        return subprocess.run([CLI, *args], capture_output=True, **kwargs)

    def run_in(self, *args, **kwargs):
        return self.cli("run", *args, **kwargs)

    def popen(self, *args, **kwargs):
        kwargs.setdefault("env", self.env)
        kwargs.setdefault("stdout", subprocess.PIPE)
        kwargs.setdefault("stderr", subprocess.PIPE)
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        p = subprocess.Popen([CLI, *args], **kwargs)
        self.addCleanup(lambda: (p.poll() is None and p.kill(), p.wait(),
                                 [f.close() for f in (p.stdin, p.stdout, p.stderr) if f]))
        return p

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        mode = "wb" if isinstance(text, bytes) else "w"
        with open(self.path(name), mode) as f:
            f.write(text)
        return self.path(name)

    def one_line(self, result, code):
        """Exactly one line of ours on standard error, and the exit code."""
        text = result.stderr.decode(errors="replace")
        self.assertEqual(result.returncode, code, text)
        self.assertEqual(text.count("\n"), 1, text)
        self.assertTrue(text.startswith("ringfence: "), text)
        return text


class TestUsage(Case):
    """Nothing is started by these."""

    def tearDown(self):
        self.assertFalse(os.path.exists(self.env["RINGFENCE_STATE"]))

    def test_alone_it_prints_a_short_overview(self):
        for args in ([], ["--help"], ["-h"], ["help"]):
            r = self.cli(*args)
            self.assertEqual(r.returncode, 0)
            self.assertIn(b"usage: ringfence", r.stdout)
            self.assertLess(r.stdout.count(b"\n"), 30)
            self.assertEqual(r.stderr, b"")

    def test_version_is_one_line(self):
        r = self.cli("--version")
        self.assertRegex(r.stdout, rb"^ringfence \d+\.\d+\.\d+\n$")

    def test_every_subcommand_has_help(self):
        for name in ("run", "sandbox", "serve", "review", "kill", "tasks", "status", "start", "stop"):
            for args in (["help", name], [name, "--help"]):
                r = self.cli(*args)
                self.assertEqual(r.returncode, 0, name)
                self.assertIn(b"usage: ringfence " + name.encode(), r.stdout)

    def test_unknown_names_are_answered_with_the_nearest(self):
        for args, code, hint in (
                (["rnu"], 2, "run"), (["statu"], 2, "status"), (["revew", "list"], 2, "review"),
                (["run", "--polcy", "x", "true"], 125, "--policy"),
                (["run", "--workspac", "x", "true"], 125, "--workspace"),
                (["review", "aprove", "1"], 2, "approve"), (["tasks", "--jsn"], 2, "--json")):
            self.assertIn(hint, self.one_line(self.cli(*args), code))

    def test_wrong_usage_is_one_line(self):
        for args, code in (
                (["--nonsense"], 2), (["zzzzzz"], 2), (["help", "zzzzzz"], 2), (["run"], 125),
                (["run", "--"], 125), (["run", "-Z", "true"], 125), (["run", "--policy"], 125),
                (["run", "--quiet=1", "true"], 125), (["run", "--env", "1A=b", "true"], 125),
                (["run", "--env", "=b", "true"], 125), (["run", "--env", "RF_NOT_SET_ANYWHERE", "true"], 125),
                (["run", "--memory", "lots", "true"], 125), (["run", "--memory", "0", "true"], 125),
                (["run", "--memory", "12MB", "true"], 125), (["run", "--wall", "60", "true"], 125),
                (["run", "--wall", "-1s", "true"], 125), (["run", "--processes", "1.5", "true"], 125),
                (["run", "--cpu", "0.0001", "true"], 125), (["run", "--memory", "9" * 30, "true"], 125),
                (["run", "--commit", "true"], 125), (["run", "--diff", "true"], 125),
                (["kill"], 2), (["kill", "task"], 2),
                (["kill", "everything"], 2), (["status", "extra"], 2), (["review", "show"], 2),
                (["review", "list", "x"], 2), (["review", "a", "b", "c"], 2)):
            with self.subTest(args=args):
                self.one_line(self.cli(*args), code)

    def test_status_without_programs_says_so(self):
        self.one_line(self.cli("status"), 1)
        r = self.cli("status", "--json")
        self.assertEqual((r.returncode, json.loads(r.stdout)), (1, {"running": False}))

    def test_stop_and_kill_all_without_programs_are_fine(self):
        self.one_line(self.cli("stop"), 0)
        self.one_line(self.cli("kill", "all"), 0)


class TestExitCodes(Case):
    def test_the_commands_own_code_passes(self):
        for code in (0, 1, 7, 126, 255):
            self.assertEqual(self.run_in("--", "sh", "-c", f"exit {code}").returncode, code)

    def test_the_separator_is_optional(self):
        self.assertEqual(self.run_in("sh", "-c", "exit 9").returncode, 9)

    def test_a_signal_is_128_plus_its_number(self):
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV):
            self.assertEqual(self.run_in("--", "sh", "-c", f"kill -{int(number)} $$").returncode,
                             128 + number)

    def test_a_missing_program_is_127(self):
        for name in ("rf-no-such-program", "/usr/bin/rf-no-such-program", "", "./nothing"):
            with self.subTest(name=name):
                r = self.run_in("--", name)
                self.assertEqual(r.returncode, 127, r.stderr)

    def test_a_program_that_cannot_execute_is_126(self):
        r = self.run_in("--", "/usr/share/perl5")
        self.assertEqual(r.returncode, 126, r.stderr)
        r = self.run_in("--", "/etc/ld.so.cache")
        self.assertEqual(r.returncode, 126, r.stderr)

    def test_the_wall_clock_limit_is_124(self):
        r = self.run_in("--wall", "200ms", "--", "sleep", "60")
        self.assertEqual(r.returncode, 124)
        self.assertIn(b"wall limit of 200 ms", r.stderr)

    def test_the_processor_time_limit_is_124(self):
        r = self.run_in("--cpu-time", "1s", "--", "sh", "-c", "while :; do :; done")
        self.assertEqual(r.returncode, 124, r.stderr)

    def test_the_memory_limit_is_137(self):
        r = self.run_in("--memory", "32MiB", "--", "python3", "-c", "x = b'x' * (256 << 20)")
        self.assertIn(r.returncode, (137, 1), r.stderr)  # 1: an rlimit made the allocation fail
        if r.returncode == 137:
            self.assertIn(b"memory limit of 32 MiB", r.stderr)

    def test_limits_can_only_be_tightened(self):
        policy = self.write("tight.yaml", EXEC_ALL.format(name="tight").replace("wall: 30s", "wall: 300ms"))
        r = self.run_in("--policy", policy, "--wall", "50s", "--", "sleep", "50")
        self.assertEqual(r.returncode, 124, r.stderr)

    def test_quiet_prints_nothing_of_ours(self):
        r = self.run_in("--quiet", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
        self.assertEqual((r.returncode, r.stdout, r.stderr), (3, b"out\n", b"err\n"))

    def test_a_failed_run_says_what_held_and_what_to_type_next(self):
        text = self.run_in("--", "sh", "-c", "exit 3").stderr.decode()
        self.assertIn("the command ended with exit code 3", text)
        self.assertIn("seccomp", text)
        self.assertIn("landlock", text)
        self.assertRegex(text, r"ringfence audit show [0-9a-f-]{36}")

    def test_a_successful_run_prints_nothing_of_ours(self):
        r = self.run_in("--", "true")
        self.assertEqual((r.returncode, r.stdout, r.stderr), (0, b"", b""))


class TestStreams(Case):
    def test_a_megabyte_of_any_bytes_passes_both_ways(self):
        data = os.urandom(1 << 20)
        r = self.run_in("--", "cat", input=data)
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertEqual(r.stdout, data)

    def test_input_from_a_file_and_output_to_one(self):
        data = os.urandom(300000)
        source, target = self.write("in", data), self.path("out")
        for flags in (os.O_WRONLY | os.O_CREAT | os.O_TRUNC, os.O_WRONLY | os.O_CREAT | os.O_APPEND):
            with open(source, "rb") as i, open(target, "wb") as f:
                pass
            with open(source, "rb") as i:
                o = os.open(target, flags, 0o600)
                code = subprocess.run([CLI, "run", "--", "cat"], stdin=i, stdout=o, env=self.env,
                                      timeout=TIMEOUT).returncode
                os.close(o)
            with open(target, "rb") as f:
                self.assertEqual((code, f.read()), (0, data))

    def test_sockets_do_as_standard_streams(self):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            p = self.popen("run", "--", "cat", stdin=theirs, stdout=theirs)
            theirs.close()
            ours.sendall(b"x" * 100000)
            ours.shutdown(socket.SHUT_WR)
            got = b""
            while True:
                piece = ours.recv(65536)
                if not piece:
                    break
                got += piece
            self.assertEqual((p.wait(TIMEOUT), len(got)), (0, 100000))

    def test_a_command_that_does_not_read_does_not_hold_us(self):
        r = self.run_in("--", "true", input=b"y" * (4 << 20))
        self.assertEqual(r.returncode, 0)

    def test_input_that_never_ends_does_not_hold_us(self):
        r, w = os.pipe()
        try:
            p = self.popen("run", "--", "echo", "done", stdin=r)
            self.assertEqual(p.communicate(timeout=TIMEOUT)[0], b"done\n")
        finally:
            os.close(r)
            os.close(w)

    def test_end_of_input_reaches_the_command(self):
        self.assertEqual(self.run_in("--", "wc", "-c", input=b"").stdout.strip(), b"0")

    def test_output_and_error_stay_apart(self):
        r = self.run_in("--", "sh", "-c", "echo a; echo b >&2")
        self.assertEqual((r.stdout, r.stderr), (b"a\n", b"b\n"))

    def test_output_of_what_outlives_the_command_is_not_waited_for(self):
        r = self.run_in("--", "sh", "-c", "(sleep 1000; echo late) & echo early")
        self.assertEqual((r.returncode, r.stdout), (0, b"early\n"))

    def test_when_nobody_reads_our_output_the_sandbox_ends(self):
        marker = "rf%d" % os.getpid()
        p = self.popen("run", "--", "sh", "-c", f": {marker}; while :; do echo yyyyyyyyyyyyyyyy; done")
        self.assertTrue(p.stdout.readline())
        p.stdout.close()
        self.assertEqual(p.wait(TIMEOUT), 141)
        wait_until(lambda: not processes_with(marker), "the sandbox ends")

    def test_closed_standard_streams_are_no_trap(self):
        for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
            with self.subTest(closed=closed):
                code = subprocess.run(["sh", "-c", f'exec "$0" run --quiet -- true {closed}', CLI],
                                      env=self.env, timeout=TIMEOUT).returncode
                self.assertEqual(code, 0)

    def test_a_full_disk_behind_our_output_is_said(self):
        with open("/dev/full", "wb") as full:
            r = subprocess.run([CLI, "run", "--", "sh", "-c", "echo x; sleep 50"], stdout=full,
                               stderr=subprocess.PIPE, env=self.env, timeout=TIMEOUT)
        self.assertEqual(r.returncode, 125)
        self.assertIn(b"No space left", r.stderr)

    def test_the_output_cap_ends_the_sandbox_at_that_byte(self):
        r = self.run_in("--output", "100KiB", "--", "yes")
        self.assertEqual((r.returncode, len(r.stdout)), (137, 102400))
        self.assertIn(b"output limit of 100 KiB", r.stderr)

    def test_the_output_cap_counts_both_streams(self):
        r = self.run_in("--quiet", "--output", "64KiB", "--", "sh", "-c",
                        "head -c 40000 /dev/zero; head -c 40000 /dev/zero >&2; sleep 50")
        self.assertEqual((r.returncode, len(r.stdout) + len(r.stderr)), (137, 65536))

    def test_output_of_exactly_the_cap_passes(self):
        r = self.run_in("--output", "64KiB", "--", "head", "-c", "65536", "/dev/zero")
        self.assertEqual((r.returncode, len(r.stdout)), (0, 65536))

    def test_a_slow_reader_gets_everything(self):
        ours, theirs = os.pipe()
        self.addCleanup(os.close, ours)
        fcntl.fcntl(ours, 1031, 4096)  # F_SETPIPE_SZ, as long as nothing is in it
        p = self.popen("run", "--", "head", "-c", "1000000", "/dev/zero", stdout=theirs)
        os.close(theirs)
        got = 0
        while True:
            piece = os.read(ours, 1000)
            if not piece:
                break
            got += len(piece)
        self.assertEqual((got, p.wait(TIMEOUT)), (1000000, 0))

    def test_many_small_writes_do_not_fill_the_callers_pipe(self):
        """Nobody reads before the run has ended: what a pipe of 64 KiB holds must not keep it from ending."""
        script = "import os\nfor i in range(20000): os.write(1 + i % 2, b'x')"
        p = self.popen("run", "--", "python3", "-c", script)
        self.assertEqual(p.wait(TIMEOUT), 0)
        self.assertEqual([len(stream.read()) for stream in (p.stdout, p.stderr)], [10000, 10000])


class TestEnvironment(Case):
    def test_the_environment_is_scrubbed(self):
        env = dict(self.env, RF_TEST_SECRET="hunter2", AWS_SECRET_ACCESS_KEY="x", LD_PRELOAD="")
        out = self.run_in("--", "env", env=env).stdout
        self.assertNotIn(b"RF_TEST_SECRET", out)
        self.assertNotIn(b"AWS_SECRET", out)
        self.assertIn(b"PATH=", out)

    def test_variables_are_set_and_passed_by_name(self):
        env = dict(self.env, RF_TEST_PASSED="p")
        out = self.run_in("--env", "RF_A=1 2=3", "--env=RF_TEST_PASSED", "--env", "RF_EMPTY=", "--",
                          "env", env=env).stdout.splitlines()
        for line in (b"RF_A=1 2=3", b"RF_TEST_PASSED=p", b"RF_EMPTY="):
            self.assertIn(line, out)

    def test_the_environment_of_the_first_caller_does_not_stay_in_the_programs(self):
        env = dict(self.env, RF_TEST_SECRET="hunter2")
        self.cli("stop")
        self.run_in("--", "true", env=env)
        status = json.loads(self.cli("status", "--json").stdout)
        for pid in [status["pid"]] + [p["pid"] for p in status["programs"]]:
            try:
                with open(f"/proc/{pid}/environ", "rb") as f:
                    self.assertNotIn(b"hunter2", f.read())
            except PermissionError:
                pass

    def test_the_programs_hold_none_of_the_callers_descriptors(self):
        self.cli("stop")
        r, w = os.pipe()
        try:
            p = self.popen("run", "--", "true", pass_fds=[w])
            self.assertEqual(p.wait(TIMEOUT), 0)
            os.close(w)
            w = -1
            self.assertEqual(select.select([r], [], [], TIMEOUT)[0], [r])
            self.assertEqual(os.read(r, 1), b"")  # end of file: nobody kept the other end
        finally:
            os.close(r)
            if w >= 0:
                os.close(w)

    def test_the_working_directory_can_be_chosen(self):
        self.assertEqual(self.run_in("--cwd", "/usr", "--", "pwd").stdout, b"/usr\n")


class TestResults(Case):
    def test_json_is_one_object_with_everything(self):
        r = self.run_in("--json", "--", "sh", "-c", "echo out; echo err >&2; exit 5")
        self.assertEqual(r.returncode, 5)
        self.assertEqual(r.stderr, b"")
        v = json.loads(r.stdout)
        self.assertEqual((v["exit_code"], v["exit"], v["stdout"], v["stderr"]),
                         (5, {"code": 5}, "out\n", "err\n"))
        for name in ("action_id", "task", "sandbox", "receipt", "usage", "limits"):
            self.assertIn(name, v)
        self.assertNotIn("error", v)

    def test_json_of_a_failure_says_code_message_and_action(self):
        v = json.loads(self.run_in("--json", "--", "rf-no-such-program").stdout)
        self.assertEqual((v["exit_code"], v["error"]["code"]), (127, "program_not_found"))
        v = json.loads(self.run_in("--json", "--policy", "rf-no-such-policy", "--", "true").stdout)
        self.assertEqual(v["exit_code"], 125)
        self.assertTrue(v["error"]["message"])

    def test_json_of_a_refused_request_is_still_json(self):
        r = self.run_in("--json", "--workspace", "/rf/none", "--", "true")
        self.assertEqual(r.returncode, 125)
        self.assertIn("/rf/none", json.loads(r.stdout)["error"]["message"])

    def test_json_escapes_any_bytes(self):
        r = self.run_in("--json", "--", "printf", r"\377\033[2J\000x")
        v = json.loads(r.stdout)
        self.assertEqual(v["stdout"], "\ufffd\x1b[2J\0x")
        self.assertNotIn(b"\x1b", r.stdout)

    def test_json_of_too_much_output_is_cut_at_the_cap(self):
        v = json.loads(self.run_in("--json", "--output", "10KiB", "--", "yes").stdout)
        self.assertEqual((v["exit_code"], v["limit"], v["stdout_bytes"]), (137, "output", 10240))

    def test_json_names_the_limit(self):
        v = json.loads(self.run_in("--json", "--wall", "100ms", "--", "sleep", "9").stdout)
        self.assertEqual((v["exit_code"], v["limit"]), (124, "wall"))

    def test_a_receipt_is_written_whole(self):
        path = self.path("receipt.json")
        self.write("receipt.json", "old")
        self.assertEqual(self.run_in("--receipt", path, "--", "true").returncode, 0)
        with open(path) as f:
            names = [lock["name"] for lock in json.load(f)["locks"]]
        for name in ("user-ns", "net-ns", "seccomp", "landlock"):
            self.assertIn(name, names)
        self.assertEqual([n for n in os.listdir(self.dir) if n.endswith(".tmp")], [])

    def test_a_receipt_can_go_to_standard_output(self):
        r = self.run_in("--receipt", "-", "--", "true")
        self.assertIn("locks", json.loads(r.stdout))

    def test_a_receipt_that_cannot_be_written_fails_the_run(self):
        r = self.run_in("--receipt", "/rf/none/receipt", "--", "true")
        self.one_line(r, 125)

    def test_timing_is_a_table_in_order(self):
        lines = self.run_in("--timing", "--", "true").stderr.decode().splitlines()
        times = [int(line.split()[0]) for line in lines[1:]]
        self.assertEqual(times, sorted(times))
        self.assertGreater(len(times), 6)


class TestSignals(Case):
    TRAP = "trap 'echo got-{0}; exit {1}' {0}; echo ready; while :; do sleep 0.05; done"

    def start(self, script, *options):
        p = self.popen("run", "--quiet", *options, "--", "sh", "-c", script)
        self.assertEqual(p.stdout.readline(), b"ready\n")
        return p

    def test_the_first_interrupt_is_the_commands(self):
        for name, number in (("INT", signal.SIGINT), ("TERM", signal.SIGTERM), ("HUP", signal.SIGHUP),
                             ("USR1", signal.SIGUSR1), ("QUIT", signal.SIGQUIT)):
            with self.subTest(name=name):
                p = self.start(self.TRAP.format(name, 42))
                p.send_signal(number)
                self.assertEqual(p.stdout.readline(), f"got-{name}\n".encode())
                self.assertEqual(p.wait(TIMEOUT), 42)

    def test_a_second_interrupt_ends_the_sandbox(self):
        p = self.start("trap 'echo got' INT; echo ready; while :; do sleep 0.05; done")
        p.send_signal(signal.SIGINT)
        self.assertEqual(p.stdout.readline(), b"got\n")
        p.send_signal(signal.SIGINT)
        self.assertEqual(p.wait(TIMEOUT), 130)

    def test_an_untrapped_signal_ends_the_command(self):
        p = self.popen("run", "--quiet", "--", "python3", "-c",
                       "import time; print('ready', flush=True); time.sleep(1000)")
        self.assertEqual(p.stdout.readline(), b"ready\n")
        p.send_signal(signal.SIGTERM)
        self.assertEqual(p.wait(TIMEOUT), 143)

    def test_a_killed_cli_takes_its_sandbox_with_it(self):
        marker = "rf-gone-%d" % os.getpid()
        p = self.start(f": {marker}; echo ready; sleep 1000 & sleep 1000")
        others = [q for q in processes_with(marker) if q != p.pid]
        self.assertTrue(others)  # the control: it can be seen from here
        p.kill()
        p.wait(TIMEOUT)
        wait_until(lambda: not processes_with(marker), "the sandbox ends")

    def test_stop_and_continue_reach_the_command(self):
        p = self.start("echo ready; while :; do echo x; sleep 0.02; done")
        os.kill(p.pid, signal.SIGTSTP)
        wait_until(lambda: open(f"/proc/{p.pid}/stat").read().rsplit(")")[1].split()[0] == "T",
                   "the cli stops")
        os.kill(p.pid, signal.SIGCONT)
        for _ in range(2000):
            self.assertEqual(p.stdout.readline(), b"x\n") if _ < 3 else None
        p.send_signal(signal.SIGINT)
        p.send_signal(signal.SIGINT)
        self.assertNotEqual(p.wait(TIMEOUT), 0)

    def test_what_the_caller_ignores_stays_ignored(self):
        p = subprocess.Popen(["sh", "-c", 'trap "" HUP; exec "$0" run --quiet -- sh -c "$1"', CLI,
                              self.TRAP.format("HUP", 42) + " "], env=self.env, stdout=subprocess.PIPE)
        try:
            self.assertEqual(p.stdout.readline(), b"ready\n")
            p.send_signal(signal.SIGHUP)
            p.send_signal(signal.SIGTERM)
            self.assertEqual(p.wait(TIMEOUT), 143)
        finally:
            p.kill()
            p.stdout.close()
            p.wait()


class TestTerminal(Case):
    def on_terminal(self, *args):
        """Runs with standard output on a terminal; what it shows."""
        master, slave = pty.openpty()
        try:
            p = self.popen(*args, stdout=slave, stderr=slave)
            os.close(slave)
            shown = b""
            while True:
                try:
                    piece = os.read(master, 65536)
                except OSError:
                    break
                if not piece:
                    break
                shown += piece
            p.wait(TIMEOUT)
            return shown.replace(b"\r\n", b"\n")
        finally:
            os.close(master)

    SCRIPT = r"printf 'a\033[31mred\033[0m\033]0;title\007\033[2J\033[6n\033[1;1Hb\033Pq\033\\c\bd\302\233e\n'"

    def test_a_terminal_sees_text_and_colours_only(self):
        self.assertEqual(self.on_terminal("run", "--", "sh", "-c", self.SCRIPT),
                         b"a\x1b[31mred\x1b[0mbcd?e\n")

    def test_raw_passes_everything(self):
        shown = self.on_terminal("run", "--raw", "--", "sh", "-c", self.SCRIPT)
        self.assertIn(b"\x1b]0;title\x07\x1b[2J", shown)

    def test_a_pipe_gets_every_byte(self):
        self.assertIn(b"\x1b]0;title\x07", self.run_in("--", "sh", "-c", self.SCRIPT).stdout)


class TestBadInput(Case):
    def test_each_bad_policy_is_one_line(self):
        big = self.path("big.yaml")
        with open(big, "wb") as f:
            f.truncate(100 << 20)
        os.mkdir(self.path("dir.yaml"))
        os.mkfifo(self.path("fifo.yaml"))
        cases = {
            "missing": self.path("none.yaml"),
            "empty": self.write("empty.yaml", ""),
            "binary": self.write("binary.yaml", bytes(range(256)) * 8),
            "100 MB": big,
            "a directory": self.path("dir.yaml"),
            "a fifo": self.path("fifo.yaml"),
            "not YAML": self.write("not.yaml", "{[}\n"),
            "an unknown field": self.write("field.yaml", EXEC_ALL.format(name="f") + "rulez: []\n"),
            "an unknown name": "no-such-policy",
            "only a comment": self.write("comment.yaml", "# nothing\n"),
        }
        for what, policy in cases.items():
            with self.subTest(what=what):
                r = self.run_in("--policy", policy, "--", "echo", "ran")
                self.assertEqual(r.stdout, b"")
                self.assertEqual(r.returncode, 125, r.stderr)
                self.one_line(r, 125)

    def test_an_unknown_field_is_named_with_its_place(self):
        policy = self.write("place.yaml", EXEC_ALL.format(name="f").replace("owner: tests", "ownr: tests"))
        text = self.run_in("--policy", policy, "--", "true").stderr.decode()
        self.assertIn("place.yaml:", text)
        self.assertIn("ownr", text)

    def test_a_file_in_the_working_directory_does_not_replace_a_built_in_policy(self):
        os.mkdir(self.path("planted"))
        with open(self.path("planted/isolated"), "w") as f:
            f.write("nonsense")
        r = self.run_in("--policy", "isolated", "--", "true", cwd=self.path("planted"))
        self.assertEqual(r.returncode, 0, r.stderr)

    def test_each_bad_workspace_is_one_line(self):
        path = self.write("a-file", "x")
        for workspace in ("/rf/none", path, "/", path + ":direct", self.dir + ":sideways", ""):
            with self.subTest(workspace=workspace):
                self.one_line(self.run_in("--workspace", workspace, "--", "true"), 125)

    @unittest.skipUnless(AS_ROOT, "needs another user")
    def test_what_another_user_cannot_read_is_one_line(self):
        secret = self.path("secret")
        os.mkdir(secret, 0o700)
        policy = self.write("secret/p.yaml", EXEC_ALL.format(name="p"))
        home = tempfile.mkdtemp(prefix="rf-cli-user-")
        os.chown(home, 65534, 65534)
        env = dict(self.env, RINGFENCE_STATE=os.path.join(home, "state"), HOME=home)
        try:
            for args in (["--workspace", secret], ["--policy", policy]):
                r = self.run_in(*args, "--", "true", env=env, user=65534, group=65534, extra_groups=[])
                self.assertIn("Permission denied", self.one_line(r, 125))
        finally:
            subprocess.run([CLI, "stop"], env=env, user=65534, group=65534, extra_groups=[],
                           capture_output=True, timeout=TIMEOUT)
            shutil.rmtree(home)

    @unittest.skipUnless(AS_ROOT, "needs another user")
    def test_a_state_directory_that_cannot_be_written_is_one_line(self):
        shut = self.path("shut")
        os.mkdir(shut, 0o555)
        user = {"user": 65534, "group": 65534, "extra_groups": []}
        for state in (os.path.join(shut, "state"), shut):
            env = dict(self.env, RINGFENCE_STATE=state, HOME="/nonexistent")
            text = self.one_line(self.run_in("--", "true", env=env, **user), 125)
            self.assertIn("RINGFENCE_STATE" if state != shut else "state directory", text)
        self.assertEqual(os.listdir(shut), [])

    def test_a_state_directory_that_is_none_is_one_line(self):
        path = self.write("state-file", "x")
        for state in (path, path + "/below", "/proc/rf", self.path("x" * 300), "/" + "y/" * 3000):
            with self.subTest(state=state[:40]):
                env = dict(self.env, RINGFENCE_STATE=state)
                self.one_line(self.run_in("--", "true", env=env), 125)

    @unittest.skipUnless(AS_ROOT, "needs another user")
    def test_a_state_directory_of_somebody_else_is_refused(self):
        path = self.path("theirs")
        os.mkdir(path)
        os.chown(path, 65534, 65534)
        env = dict(self.env, RINGFENCE_STATE=path)
        self.assertIn("another user", self.one_line(self.run_in("--", "true", env=env), 125))

    @unittest.skipUnless(AS_ROOT, "needs another user")
    def test_a_supervisor_of_somebody_else_gets_nothing(self):
        state = self.path("lent")
        os.makedirs(os.path.join(state, "run"))
        os.chown(os.path.join(state, "run"), 65534, 65534)
        script = ("import socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); "
                  "s.bind(sys.argv[1]); s.listen(4); print('ready', flush=True); "
                  "c = s.accept()[0]; print(c.recv(9), flush=True)")
        p = subprocess.Popen(["/usr/bin/python3", "-c", script, os.path.join(state, "run/supervisor.sock")],
                             user=65534, group=65534, extra_groups=[], stdout=subprocess.PIPE)
        try:
            self.assertEqual(p.stdout.readline(), b"ready\n")
            env = dict(self.env, RINGFENCE_STATE=state)
            self.assertIn("another user", self.one_line(self.run_in("--", "true", env=env), 125))
            self.assertEqual(p.stdout.readline(), b"b''\n")  # connected, and was told nothing
        finally:
            p.kill()
            p.stdout.close()
            p.wait()

    def test_a_state_directory_that_everyone_writes_is_refused(self):
        path = self.path("open")
        os.mkdir(path)
        os.chmod(path, 0o777)
        env = dict(self.env, RINGFENCE_STATE=path)
        self.assertIn("writable by everyone", self.one_line(self.run_in("--", "true", env=env), 125))

    def test_arguments_that_cannot_be_carried_are_one_line(self):
        self.assertIn("UTF-8", self.one_line(self.run_in("--", b"echo", b"\xff\xfe"), 125))
        self.assertIn("UTF-8", self.one_line(self.run_in("--env", b"A=\xff", "--", "true"), 125))
        self.assertIn("too long", self.one_line(self.run_in("--", "echo", "x" * 131000), 125))
        self.one_line(self.run_in("--", "echo", *["y" * 1000] * 200), 125)

    def test_arguments_pass_unchanged(self):
        args = ["", " ", "a b", "*", "$HOME", "'", '"', "\\", "\n", "\t\x1b", "\u202e\u00e9", "--", "-x"]
        out = self.run_in("--", "python3", "-c", "import sys; print(ascii(sys.argv[1:]))", *args).stdout
        self.assertEqual(out.decode().strip(), ascii(args))

    def test_a_task_that_is_no_identifier_is_refused(self):
        r = self.run_in("--task", "../x", "--", "true")
        self.assertEqual(r.returncode, 125, r.stderr)

    def test_an_error_message_cannot_carry_terminal_sequences(self):
        r = self.run_in("--", "rf-\x1b[2Jnone")
        self.assertEqual(r.returncode, 127)
        self.assertNotIn(b"\x1b", r.stderr)

    def test_missing_programs_of_ours_are_one_line(self):
        lonely = self.path("lonely")
        os.mkdir(lonely)
        shutil.copy(CLI, lonely)
        env = dict(self.env, RINGFENCE_STATE=self.path("lonely-state"))
        for args in (["run", "--", "true"], ["policy", "check"], ["audit", "verify"], ["doctor"]):
            with self.subTest(args=args):
                r = subprocess.run([os.path.join(lonely, "ringfence"), *args], env=env,
                                   capture_output=True, timeout=TIMEOUT)
                self.assertIn("install Ringfence again", self.one_line(r, 125))


class TestControl(Case):
    def test_start_status_and_stop(self):
        self.cli("stop")
        self.assertIn("started", self.one_line(self.cli("start"), 0))
        self.assertIn("already running", self.one_line(self.cli("start"), 0))
        v = json.loads(self.cli("status", "--json").stdout)
        self.assertTrue(v["running"])
        self.assertEqual(sorted(p["name"] for p in v["programs"]), ["rf-arbiter", "rf-ledger"])
        pids = [v["pid"]] + [p["pid"] for p in v["programs"]]
        self.assertEqual(self.cli("stop").returncode, 0)
        for pid in pids:
            wait_until(lambda: not processes_alive(pid), "the programs leave")
        self.one_line(self.cli("status"), 1)

    def test_stopping_and_starting_again_at_once_works(self):
        for _ in range(10):
            self.assertEqual(self.run_in("--", "true").returncode, 0)
            self.assertEqual(self.cli("stop").returncode, 0)

    def test_many_first_runs_at_once_share_one_supervisor(self):
        self.cli("stop")
        many = [self.popen("run", "--", "echo", str(i)) for i in range(12)]
        for i, p in enumerate(many):
            out, err = p.communicate(timeout=TIMEOUT)
            self.assertEqual((p.returncode, out), (0, f"{i}\n".encode()), err)
        state = self.env["RINGFENCE_STATE"]
        supervisors = [p for p in processes_with(state) if is_program(p, "rf-supervisor")]
        self.assertEqual(len(supervisors), 1)

    def test_a_run_while_the_programs_leave_is_served(self):
        for _ in range(5):
            self.run_in("--", "true")
            stopping = self.popen("stop")
            r = self.run_in("--", "echo", "served")
            stopping.wait(TIMEOUT)
            self.assertEqual((r.returncode, r.stdout), (0, b"served\n"), r.stderr)

    def test_a_run_while_a_program_is_restarted_is_served(self):
        for name in ("rf-arbiter", "rf-ledger"):
            self.run_in("--", "true")
            programs = json.loads(self.cli("status", "--json").stdout)["programs"]
            os.kill([p["pid"] for p in programs if p["name"] == name][0], signal.SIGKILL)
            r = self.run_in("--", "echo", "served")
            # It may have been under way when its program died: then it says so, and nothing ran twice.
            if r.returncode != 0:
                self.one_line(r, 125)
                r = self.run_in("--", "echo", "served")
            self.assertEqual((r.returncode, r.stdout), (0, b"served\n"), r.stderr)

    def test_status_and_tasks_show_what_runs_and_kill_task_ends_it(self):
        p = self.popen("run", "--", "sh", "-c", "echo ready; sleep 1000")
        self.assertEqual(p.stdout.readline(), b"ready\n")
        sandboxes = json.loads(self.cli("status", "--json").stdout)["sandboxes"]
        self.assertEqual(len(sandboxes), 1)
        task = sandboxes[0]["task"]
        self.assertIn(task.encode(), self.cli("status").stdout)
        self.assertIn(task.encode(), self.cli("tasks").stdout)
        self.assertIn(task, [t["task"] for t in json.loads(self.cli("tasks", "--json").stdout)["tasks"]])
        r = self.cli("kill", "task", task)
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertIn(b"1 sandbox destroyed", r.stdout)
        self.assertEqual(p.wait(TIMEOUT), 137)
        self.assertIn(b"killed", p.stderr.read())

    def test_kill_all_ends_everything(self):
        many = [self.popen("run", "--quiet", "--", "sh", "-c", "echo ready; sleep 1000") for _ in range(3)]
        for p in many:
            self.assertEqual(p.stdout.readline(), b"ready\n")
        v = json.loads(self.cli("kill", "all", "--json").stdout)
        self.assertEqual(v["count"], 3)
        self.assertEqual([p.wait(TIMEOUT) for p in many], [137] * 3)
        self.assertEqual(self.run_in("--", "true").returncode, 0)  # a new epoch serves

    def test_killing_an_unknown_task_is_one_line(self):
        self.run_in("--", "true")
        r = self.cli("kill", "task", "00000000-0000-7000-8000-000000000000")
        self.assertLessEqual(r.stderr.count(b"\n"), 1)


REVIEWED = """version: 1
name: {name}
sandbox:
  limits: {{memory: 128MiB, processes: 32, disk: 32MiB, wall: 30s, output: 1MiB}}
review: {{approvals: [operator], timeout: 5m}}
rules:
  - name: seen-first
    why: a test
    owner: tests
    review: exec
    program: any
    approvals: [operator]
"""


@unittest.skipUnless(AS_ROOT, "two people need two users")
class TestReview(Case):
    PEOPLE = "people:\n  operator: {users: [nobody]}\n"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with open(cls.env["RINGFENCE_CONFIG"], "w") as f:
            f.write(cls.PEOPLE)
        cls.policy = os.path.join(cls.dir, "reviewed.yaml")
        with open(cls.policy, "w") as f:
            f.write(REVIEWED.format(name="reviewed"))

    def as_operator(self, *args):
        return self.cli(*args, user=65534, group=65534, extra_groups=[])

    def held(self, *options):
        p = self.popen("run", *options, "--policy", self.policy, "--", "echo", "ran\x1b[2J")
        line = p.stderr.readline().decode()
        self.assertIn("held for review", line)
        review = line.split("review approve ")[1].split()[0]
        self.assertIn("rule seen-first", line)
        self.assertIn("needs operator", line)
        self.assertRegex(line, r"risk \d+ \w+, expires \d\d:\d\d")
        return p, review

    def test_an_approved_run_continues(self):
        p, review = self.held()
        listed = self.as_operator("review", "list")
        self.assertIn(review.encode(), listed.stdout)
        self.assertNotIn(b"\x1b", listed.stdout)
        shown = self.as_operator("review", "show", review)
        self.assertIn(b"seen-first", shown.stdout)
        self.assertNotIn(b"\x1b", shown.stdout)
        r = self.as_operator("review", "approve", review, "--comment", "fine")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertIn(b"approved", r.stdout)
        self.assertEqual(p.communicate(timeout=TIMEOUT)[0], b"ran\x1b[2J\n")
        self.assertEqual(p.returncode, 0)

    def test_a_denied_run_ends_with_126_and_the_comment(self):
        p, review = self.held()
        r = self.as_operator("review", "deny", review, "--comment", "not today")
        self.assertEqual(r.returncode, 0, r.stderr)
        out, err = p.communicate(timeout=TIMEOUT)
        self.assertEqual((p.returncode, out), (126, b""))
        self.assertIn(b"not today", err)

    def test_the_requester_cannot_approve(self):
        p, review = self.held()
        r = self.cli("review", "approve", review)
        self.one_line(r, 1)
        p.send_signal(signal.SIGINT)
        self.assertEqual(p.wait(TIMEOUT), 130)

    def test_an_interrupt_while_held_withdraws_the_request(self):
        p, review = self.held()
        p.send_signal(signal.SIGTERM)
        self.assertEqual(p.wait(TIMEOUT), 143)

        def closed():
            reviews = json.loads(self.cli("review", "list", "--json").stdout)["reviews"]
            return review not in [x["review_id"] for x in reviews]
        wait_until(closed, "the review is closed")

    def test_without_waiting_it_ends_at_once(self):
        p, _ = self.held("--no-wait")
        self.assertEqual(p.wait(TIMEOUT), 126)

    def test_watch_tells_of_each_change(self):
        watching = self.popen("review", "watch", "--json")
        json.loads(watching.stdout.readline())
        p, review = self.held()
        seen = []
        while review not in seen:
            seen = [x["review_id"] for x in json.loads(watching.stdout.readline())["reviews"]]
        self.as_operator("review", "deny", review)
        state = ""
        while state != "rejected":
            for x in json.loads(watching.stdout.readline())["reviews"]:
                state = x["state"] if x["review_id"] == review else state
        self.assertEqual(p.wait(TIMEOUT), 126)

    def test_an_unknown_review_is_one_line(self):
        for verb in ("show", "approve", "deny"):
            self.one_line(self.as_operator("review", verb, "ffffffff"), 1)


class TestWorkspace(Case):
    def setUp(self):
        self.work = tempfile.mkdtemp(dir=self.dir)
        with open(os.path.join(self.work, "old"), "w") as f:
            f.write("one\ntwo\n")

    def read(self, name):
        with open(os.path.join(self.work, name)) as f:
            return f.read()

    CHANGE = "echo three >> old; echo new > new"

    def test_changes_are_shown_and_not_applied(self):
        r = self.run_in("--workspace", self.work, "--", "sh", "-c", self.CHANGE)
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertIn(b"new", r.stderr)
        self.assertIn(b"--commit", r.stderr)
        self.assertEqual((os.listdir(self.work), self.read("old")), (["old"], "one\ntwo\n"))

    def test_commit_applies_them(self):
        r = self.run_in("--workspace", self.work, "--commit", "--", "sh", "-c", self.CHANGE)
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertEqual((self.read("old"), self.read("new")), ("one\ntwo\nthree\n", "new\n"))

    def test_a_failed_command_commits_nothing(self):
        r = self.run_in("--workspace", self.work, "--commit", "--", "sh", "-c", self.CHANGE + "; exit 4")
        self.assertEqual(r.returncode, 4, r.stderr)
        self.assertEqual(self.read("old"), "one\ntwo\n")

    def test_a_diff_shows_lines(self):
        r = self.run_in("--workspace", self.work, "--diff", "--", "sh", "-c", self.CHANGE)
        self.assertIn(b"+three", r.stderr)

    def test_discard_is_silent(self):
        r = self.run_in("--workspace", self.work, "--discard", "--", "sh", "-c", self.CHANGE)
        self.assertEqual((r.returncode, r.stderr), (0, b""))
        self.assertEqual(self.read("old"), "one\ntwo\n")

    def test_json_has_the_changes(self):
        v = json.loads(self.run_in("--json", "--workspace", self.work, "--", "sh", "-c",
                                   self.CHANGE).stdout)
        self.assertEqual(sorted(c["path"] for c in v["changes"]["changes"]), ["new", "old"])
        self.assertEqual(v["workspace"], "not applied")

    def test_an_unchanged_workspace_says_nothing(self):
        r = self.run_in("--workspace", self.work, "--", "cat", "old")
        self.assertEqual((r.returncode, r.stdout, r.stderr), (0, b"one\ntwo\n", b""))

    def test_a_direct_workspace_needs_a_policy_that_allows_it(self):
        r = self.run_in("--workspace", self.work + ":direct", "--", "true")
        self.assertEqual(r.returncode, 126, r.stderr)
        policy = EXEC_ALL.format(name="direct").replace("sandbox:\n", "sandbox:\n  workspace: direct\n")
        r = self.run_in("--policy", self.write("direct.yaml", policy), "--workspace",
                        self.work + ":direct", "--", "sh", "-c", self.CHANGE)
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertEqual(self.read("new"), "new\n")


class TestDoctor(Case):
    def test_it_says_for_each_thing_what_state_it_is_in(self):
        r = self.cli("doctor", "--json")
        v = json.loads(r.stdout)
        self.assertEqual(r.returncode, 0 if v["isolated_runs"] else 1)
        names = [c["name"] for c in v["checks"]]
        for name in ("kernel", "user namespaces", "landlock", "seccomp", "cgroups", "overlay"):
            self.assertIn(name, names)
        for c in v["checks"]:
            self.assertIn(c["state"], ("ok", "weaker", "missing"))
            self.assertTrue(c["detail"])

    def test_it_agrees_with_a_run(self):
        runs = self.run_in("--", "true").returncode == 0
        self.assertEqual(self.cli("doctor").returncode == 0, runs)

    def test_denied_user_namespaces_are_found_and_a_remedy_is_named(self):
        if subprocess.run(["unshare", "--user", "--map-root-user", "true"]).returncode != 0:
            self.skipTest("this host denies them anyway")
        # In a user namespace that may hold no further ones; the doctor in it must see that.
        script = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$0" doctor --json'
        r = subprocess.run(["unshare", "--user", "--map-root-user", "sh", "-c", script, CLI],
                           env=self.env, capture_output=True, timeout=TIMEOUT)
        row = [c for c in json.loads(r.stdout)["checks"] if c["name"] == "user namespaces"][0]
        self.assertEqual(row["state"], "missing")
        self.assertIn("max_user_namespaces", row["fix"])
        self.assertEqual(r.returncode, 1)

    def test_wrong_usage_is_one_line(self):
        self.one_line(self.cli("doctor", "--nonsense"), 2)


def processes_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")")[1].split()[0] not in ("Z", "X")
    except OSError:
        return False


def is_program(pid, name):
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe")) == name and processes_alive(pid)
    except OSError:
        return False


if __name__ == "__main__":
    if not os.access(CLI, os.X_OK):
        sys.exit(f"{CLI}: not there; set RINGFENCE_BIN")
    unittest.main(verbosity=2)
