#!/usr/bin/python3
"""Sandboxes that stay, from the command line, against the real programs, as root and as an ordinary user:
commands in them, terminals, files in and out, time-outs, and every way in which one of the parts goes away.

What claims to hold something back is tried first where it is not held back."""

import concurrent.futures
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import ledgerlib
from ring import *

ANY = """version: 1
name: {name}
sandbox:
  limits: {{memory: 256MiB, processes: 64, disk: 64MiB, wall: 60s, output: 8MiB}}
  {more}
rules:
{rules}  - name: everything
    why: a test
    owner: tests
    allow: exec
    program: any
"""


class Terminal:
    """A process of ours at a pseudo-terminal."""

    def __init__(self, ring, *args, rows=30, cols=100, term="xterm"):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            self.resize(rows, cols, 0)
            argv = ring.argv(*args)
            os.execvpe(argv[0], argv, dict(ring.env, TERM=term))
        self.seen = b""
        self.status = None

    def resize(self, rows, cols, fd=None):
        fcntl.ioctl(self.fd if fd is None else fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def type(self, text):
        os.write(self.fd, text)

    def until(self, what, seconds=20):
        """Reads until WHAT (bytes, or a pattern) came; what came after the last such call."""
        pattern = what if isinstance(what, re.Pattern) else re.compile(re.escape(what), re.S)
        end = time.monotonic() + seconds
        while True:
            match = pattern.search(self.seen)
            if match:
                got, self.seen = self.seen[:match.end()], self.seen[match.end():]
                return got
            if time.monotonic() > end or not self.more(end):
                raise AssertionError(f"never: {what!r} in {self.seen!r}")

    def more(self, end):
        if not select.select([self.fd], [], [], max(0, end - time.monotonic()))[0]:
            return False
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return False
        self.seen += data
        return bool(data)

    def raw(self):
        return not termios.tcgetattr(self.fd)[3] & termios.ICANON

    def wait(self):
        """Its exit code, having read the rest."""
        end = time.monotonic() + 20
        while self.more(end):
            pass
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    def close(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


class Case:
    mode = None

    @classmethod
    def setUpClass(cls):
        if cls.mode not in modes():
            raise unittest.SkipTest("needs root")
        cls.ring = Ringfence(cls.mode)

    @classmethod
    def tearDownClass(cls):
        cls.ring.destroy()

    def sandbox(self, *args, code=0, **options):
        """`ringfence sandbox …`, which must end with CODE; its standard output."""
        r = self.ring.cli("sandbox", *args, **options)
        self.assertEqual(r.returncode, code, r.stderr.decode(errors="replace"))
        self.stderr = r.stderr.decode(errors="replace")
        return r.stdout

    def create(self, *args):
        box = self.sandbox("create", *args).decode().strip()
        self.addCleanup(lambda: self.ring.cli("sandbox", "kill", box))
        return box

    def sh(self, box, script, *options, code=0, **more):
        return self.sandbox("exec", box, *options, "--", "sh", "-c", script, code=code, **more).decode(errors="replace")

    def refused(self, *args, code=2, **options):
        """One line on standard error, exit code CODE."""
        self.sandbox(*args, code=code, **options)
        self.assertEqual(self.stderr.count("\n"), 1, self.stderr)
        self.assertTrue(self.stderr.startswith("ringfence: "), self.stderr)
        return self.stderr

    def listed(self):
        return json.loads(self.sandbox("list", "--json"))

    def living(self):
        return [s["sandbox"] for s in self.listed()["sandboxes"]]

    def why(self, box):
        """Why BOX ended, once it has."""
        def ended():
            return [e["why"] for e in self.listed()["ended"] if e["sandbox"] == box]
        return wait_until(ended, f"{box} ended")[0]

    def start(self, *args, **options):
        p = self.ring.start("sandbox", *args, **options)
        self.addCleanup(lambda: (p.poll() is None and p.kill(), p.wait(),
                                 [f.close() for f in (p.stdin, p.stdout, p.stderr) if f]))
        return p

    def terminal(self, *args, **options):
        t = Terminal(self.ring, *args, **options)
        self.addCleanup(t.close)
        return t


class Lives(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if cls.mode == "root":
            cls.ring.write("config.yaml", "people:\n  operator: {users: [root]}\n")

    def test_it_goes_by_id_beginning_and_name(self):
        box = self.create("--name", "by-name")
        for name in (box, box[:20], "by-name"):
            self.assertEqual(self.sh(name, "echo here"), "here\n")
        self.assertIn(box, self.living())
        self.assertIn("by-name", self.sandbox("list").decode())
        self.assertEqual(self.sandbox("list", "-q").decode().split(), self.living())
        self.sandbox("kill", "by-name")
        self.assertNotIn(box, self.living())
        self.assertIn("killed", self.why(box))
        self.assertIn(self.why(box), self.sandbox("list", "--all").decode())

    def test_a_name_that_is_none_is_answered_with_help(self):
        self.create("--name", "alpha")
        self.assertIn("did you mean alpha", self.refused("inspect", "alhpa"))
        for args in (["kill", "zzzzzzzz"], ["pause", "zzzzzzzz"], ["read", "zzzzzzzz", "/x"], ["ls", "zzzzzzzz"],
                     ["checkpoint", "zzzzzzzz"], ["rollback", "zzzzzzzz", "c"], ["diff", "zzzzzzzz"],
                     ["commit", "zzzzzzzz"], ["cp", "zzzzzzzz:/x", "."], ["kill", "\x1b[2J"], ["kill", ""]):
            with self.subTest(args=args):
                self.assertIn("no sandbox", self.refused(*args))
        self.assertIn("no sandbox", self.refused("exec", "zzzzzzzz", "--", "true", code=125))
        self.refused("create", "--name", "alpha", code=1)
        ended = self.create("--name", "omega")
        self.sandbox("kill", ended)
        self.assertIn("killed", self.refused("inspect", "omega"))

    def test_wrong_usage_is_one_line(self):
        for args, code in (
                (["zzz"], 2), (["creat"], 2), (["create", "x"], 2), (["create", "--idle", "soon"], 2),
                (["create", "--nmae", "x"], 2), (["create", "--name"], 2), (["create", "--user", "x"], 2),
                (["create", "--user", "70000"], 1), (["create", "--name", "a/b"], 2), (["create", "--name", "-x"], 2), (["create", "--memory", "x"], 2),
                (["create", "--policy", "./none.yaml"], 2), (["kill"], 2), (["inspect"], 2), (["read", "x"], 2),
                (["ls"], 2), (["cp", "x"], 2), (["cp", "a", "b"], 2), (["cp", "a:/x", "b:/y"], 2),
                (["checkpoint", "x", "zzz"], 2), (["checkpoint", "x", "drop"], 2), (["list", "x"], 2),
                (["exec"], 125), (["exec", "x"], 125), (["exec", "x", "--wall", "1", "true"], 125),
                (["exec", "x", "--policy", "y", "true"], 125), (["exec", "x", "-t", "--detach", "true"], 125)):
            with self.subTest(args=args):
                self.assertGreater(len(self.refused(*args, code=code)), 30)

    def test_every_verb_has_help(self):
        for verb in ("create list exec kill pause resume read write ls cp diff checkpoint rollback commit inspect "
                     "top").split():
            self.assertIn(f"usage: ringfence sandbox {verb} ", self.sandbox(verb, "--help").decode())

    def test_inspect_shows_limits_use_and_locks(self):
        box = self.create("--memory", "100MiB", "--name", "shown")
        self.sh(box, "true")
        text = self.sandbox("inspect", box).decode()
        for word in ("shown", "memory 100 MiB", "commands 1", "seccomp", "landlock", "no-new-privs"):
            self.assertIn(word, text)
        body = json.loads(self.sandbox("inspect", box, "--json"))
        self.assertEqual(body["limits"]["memory_bytes"], 100 << 20)
        self.assertIn("locks", body["receipt"])
        self.assertIn(box[:8], self.sandbox("top").decode())

    def test_a_policy_that_denies_a_program_denies_it_here(self):
        rule = "  - {name: no-id, why: a test, owner: tests, deny: exec, program: /usr/bin/id}\n"
        box = self.create("--policy", self.ring.write("deny.yaml", ANY.format(name="deny", more="", rules=rule)))
        self.assertEqual(self.sh(box, "echo control"), "control\n")
        self.sandbox("exec", box, "--", "/usr/bin/id", code=126)
        self.assertIn("no-id", self.stderr)
        self.assertEqual(self.sh(box, "echo still here"), "still here\n")

    def test_a_command_that_a_rule_holds_waits_or_is_refused(self):
        rule = "  - {name: look-first, why: a test, owner: tests, review: exec, program: /usr/bin/id, approvals: [operator]}\n"
        text = ANY.format(name="held", more="", rules=rule).replace("rules:", "review: {approvals: [operator], timeout: 5m, self_approve: true}\nrules:", 1)
        box = self.create("--policy", self.ring.write("held.yaml", text))
        self.assertEqual(self.sh(box, "echo control"), "control\n")
        self.sandbox("exec", box, "--no-wait", "--", "/usr/bin/id", code=126)
        self.assertIn("look-first", self.stderr)
        p = self.start("exec", box, "-t", "--", "/usr/bin/id", "-nu")
        line = p.stderr.readline().decode()
        self.assertIn("held for review", line)
        p.send_signal(signal.SIGINT)  # withdraws it
        self.assertEqual(p.wait(TIMEOUT), 130)
        p = self.start("exec", box, "-t", "--", "/usr/bin/id", "-nu")
        review = p.stderr.readline().decode().split("review approve ")[1].split()[0]
        r = self.ring.cli("review", "approve", review)
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertEqual((p.stdout.read(), p.wait(TIMEOUT)), (b"agent\r\n", 0))
        self.assertEqual(self.sh(box, "echo lives"), "lives\n")

    def test_a_long_list_is_whole(self):
        boxes = {self.create() for _ in range(70)}  # more than one message has room for
        self.assertLessEqual(boxes, set(self.living()))
        # Their ids begin with the time: what all share may be short.
        self.assertRegex(self.refused("exec", os.path.commonprefix(sorted(boxes))[:9], "--", "true", code=125),
                         "more than one|sandboxes begin with")

    def test_many_live_at_once_and_are_apart(self):
        boxes = [self.create() for _ in range(4)]
        for box in boxes:
            self.sh(box, f"echo {box} > /tmp/mine")
        for box in boxes:
            self.assertEqual(self.sh(box, "cat /tmp/mine"), box + "\n")


class Commands(Case):
    def test_streams_pass_unchanged(self):
        box = self.create()
        data = os.urandom(1 << 20)
        self.assertEqual(self.sandbox("exec", box, "--", "cat", input=data), data)
        out = self.sh(box, "echo out; echo err >&2", "-q")
        self.assertEqual((out, self.stderr), ("out\n", "err\n"))

    def test_exit_codes_are_those_of_run(self):
        box = self.create()
        for script, code in (("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)):
            self.sh(box, script, code=code)
        self.sandbox("exec", box, "--", "rf-no-such-program", code=127)
        self.sandbox("exec", box, "--", "/usr/share", code=126)
        self.assertEqual(self.sh(box, "echo lives"), "lives\n")

    def test_what_one_leaves_the_next_finds(self):
        box = self.create()
        self.sh(box, "echo kept > /tmp/f; mkdir -p $HOME/d")
        self.assertEqual(self.sh(box, "cat /tmp/f; ls -d $HOME/d"), "kept\n/home/agent/d\n")

    def test_eight_run_at_once(self):
        box = self.create()
        meet = "touch /tmp/m$1; until [ $(ls /tmp | grep -c ^m) = 8 ]; do :; done; echo $1"
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            results = list(pool.map(
                lambda i: self.ring.cli("sandbox", "exec", box, "--", "sh", "-c", meet, "sh", str(i)), range(8)))
        self.assertEqual([(r.returncode, r.stdout) for r in results], [(0, b"%d\n" % i) for i in range(8)])

    def test_environment_and_directory(self):
        box = self.create("--env", "A=1", "--env", "B=2")
        show = "echo $A $B $C ${RF_OUTSIDE:-none}"
        self.assertEqual(self.sh(box, show, env=dict(self.ring.env, RF_OUTSIDE="leak")), "1 2 none\n")
        self.assertEqual(self.sh(box, show, "--env", "B=3", "--env", "C=4"), "1 3 4 none\n")
        self.assertEqual(self.sh(box, show), "1 2 none\n")
        self.assertEqual(self.sh(box, "pwd", "-C", "/usr/share"), "/usr/share\n")
        self.assertEqual(self.sh(box, "pwd"), "/home/agent\n")

    def test_the_user_inside_is_a_name_and_no_more(self):
        for user in ("0", "7", "1000", "1001"):
            box = self.create("--user", user)
            self.assertEqual(self.sh(box, "id -u; touch /tmp/f && stat -c %u /tmp/f").split(), [user, user])
            self.sh(box, "touch /usr/f || chown 5 /tmp/f || mount -t tmpfs t /tmp || kill -9 1", code=1)
            self.sandbox("write", box, "/tmp/g", input=b"x")
            self.assertEqual(self.sandbox("read", box, "/tmp/g"), b"x")

    def test_signals_reach_the_command(self):
        box = self.create()
        p = self.start("exec", box, "--", "sh", "-c", "trap 'echo got; exit 5' TERM; echo ready; while :; do sleep 0.01; done")
        self.assertEqual(p.stdout.readline(), b"ready\n")
        p.send_signal(signal.SIGTERM)
        self.assertEqual((p.stdout.read(), p.wait(TIMEOUT)), (b"got\n", 5))

    def test_a_second_interrupt_ends_the_command_and_not_the_sandbox(self):
        box = self.create()
        p = self.start("exec", box, "--", "sh", "-c", "trap 'echo no' INT; echo ready; while :; do sleep 0.01; done")
        self.assertEqual(p.stdout.readline(), b"ready\n")
        p.send_signal(signal.SIGINT)
        self.assertEqual(p.stdout.readline(), b"no\n")
        p.send_signal(signal.SIGINT)
        self.assertEqual(p.wait(TIMEOUT), 130)
        self.assertEqual(self.sh(box, "echo lives"), "lives\n")

    def test_what_is_detached_goes_on(self):
        box = self.create()
        out = self.sandbox("exec", box, "--detach", "--", "sh", "-c", "echo begun > /tmp/d; exec sleep 1000")
        number = int(out)
        wait_until(lambda: self.sh(box, "cat /tmp/d 2>/dev/null; true") == "begun\n", "it begins")
        commands = json.loads(self.sandbox("inspect", box, "--json"))["commands"]
        self.assertEqual([c["command"] for c in commands], [number])
        self.assertEqual(self.sh(box, "pgrep -c sleep"), "1\n")

    def test_a_background_process_outlives_its_command(self):
        box = self.create()
        self.sh(box, "sleep 1000 >/dev/null 2>&1 </dev/null & echo $! > /tmp/pid")
        self.assertEqual(self.sh(box, "kill -0 $(cat /tmp/pid) && echo lives"), "lives\n")

    def test_limits_of_one_command_end_that_one(self):
        box = self.create()
        self.sh(box, "exec sleep 1000", "--wall", "100ms", code=124)
        self.sh(box, "while :; do echo xxxxxxxxxxxxxxxx; done", "--output", "4KiB", code=137)
        self.sh(box, "while :; do :; done", "--cpu-time", "1s", code=124)
        self.assertEqual(self.sh(box, "echo lives"), "lives\n")

    def test_a_client_that_is_killed_takes_its_command_along(self):
        box, marker = self.create(), f"rf-mark-{os.getpid()}-{self.mode}"
        p = self.start("exec", box, "--", "sh", "-c", f"echo ready; : {marker}; while :; do sleep 0.01; done")
        self.assertEqual(p.stdout.readline(), b"ready\n")
        inside = [i for i in processes_with(marker) if i != p.pid]
        self.assertTrue(inside)
        p.kill()
        p.wait()
        wait_until(lambda: not processes_with(marker), "the command is gone")
        self.assertEqual(self.sh(box, "echo lives"), "lives\n")

    def test_json_is_one_object(self):
        box = self.create()
        r = json.loads(self.sandbox("exec", box, "--json", "--", "sh", "-c", "echo o; echo e >&2; exit 3", code=3))
        self.assertEqual((r["exit_code"], r["stdout"], r["stderr"], r["sandbox"]), (3, "o\n", "e\n", box))
        self.assertIn("usage", r)
        r = json.loads(self.sandbox("exec", "zzzzzzzz", "--json", "--", "true", code=125))
        self.assertEqual(r["error"]["code"], "no_such_sandbox")


class Terminals(Case):
    def test_a_shell_at_a_terminal(self):
        box = self.create()
        t = self.terminal("sandbox", "exec", "-it", box, "--env", "PS1=ready> ", "--", "sh")
        t.until(b"ready> ")
        self.assertTrue(t.raw())
        t.type(b"tty; stty size; echo $TERM\r")
        self.assertRegex(t.until(b"xterm\r\n"), rb"/dev/pts/\d+\r\n30 100\r\n")
        t.until(b"ready> ")
        t.type(b"cat; echo over\r")
        t.until(b"over\r\n")
        t.type(b"line\r")
        t.until(b"line\r\nline\r\n")
        t.type(b"\x04")
        t.until(b"over\r\n")
        t.type(b"sleep 1000; echo $?\r")
        t.until(b"$?\r\n")
        wait_until(lambda: self.sh(box, "pgrep -c sleep; true") == "1\n", "sleep runs")
        t.type(b"\x03")
        t.until(b"^C\r\nready> ")
        t.type(b"exit 9\r")
        self.assertEqual(t.wait(), 9)
        self.assertNotIn(b"ringfence", t.seen)

    def test_the_size_follows(self):
        box = self.create()
        script = "trap 'stty size; exit' WINCH; stty size; while :; do sleep 0.01; done"
        t = self.terminal("sandbox", "exec", box, "-t", "--", "sh", "-c", script, rows=11, cols=22)
        t.until(b"11 22\r\n")
        t.resize(33, 44)
        t.until(b"33 44\r\n")
        self.assertEqual(t.wait(), 0)

    def test_a_client_that_is_killed_takes_what_runs_at_its_terminal_along(self):
        box, marker = self.create(), f"rf-tty-{os.getpid()}-{self.mode}"
        t = self.terminal("sandbox", "exec", box, "-t", "--", "sh", "-c", f"trap '' HUP; echo ready; : {marker}; while :; do sleep 0.01; done")
        t.until(b"ready")
        self.assertTrue([p for p in processes_with(marker) if p != t.pid])
        os.kill(t.pid, signal.SIGKILL)
        self.assertEqual(t.wait(), -signal.SIGKILL)
        wait_until(lambda: not processes_with(marker), "the command is gone")
        self.assertEqual(self.sh(box, "echo lives"), "lives\n")

    def test_run_has_terminals_too(self):
        t = self.terminal("run", "-t", "--", "sh", "-c", "stty size; test -t 0 && test -t 1 && test -t 2 && read x && exit $x")
        t.until(b"30 100\r\n")
        t.type(b"6\r")
        self.assertEqual(t.wait(), 6)

    def test_the_terminal_is_put_back_on_every_way_out(self):
        def shell():
            box = self.create()
            t = self.terminal("sandbox", "exec", box, "-t", "--", "sh", "-c", "echo ready; exec sleep 1000")
            t.until(b"ready")
            wait_until(t.raw, "raw")
            return box, t

        def sent(number):
            box, t = shell()
            os.kill(t.pid, number)
            return t

        def killed():
            box, t = shell()
            self.sandbox("kill", box)
            return t

        def lost():
            box, t = shell()
            os.kill(self.ring.programs()["rf-supervisor"], signal.SIGKILL)
            return t

        def stopped():
            box, t = shell()
            os.kill(t.pid, signal.SIGTSTP)
            wait_until(lambda: not t.raw(), "put back while it is stopped")
            os.kill(t.pid, signal.SIGCONT)
            wait_until(t.raw, "raw again")
            t.type(b"\x03")
            return t

        for what, way in (("SIGTERM", lambda: sent(signal.SIGTERM)), ("SIGHUP", lambda: sent(signal.SIGHUP)),
                          ("a crash", lambda: sent(signal.SIGSEGV)), ("the sandbox killed", killed),
                          ("stopped and continued", stopped), ("the supervisor killed", lost)):
            with self.subTest(what=what):
                t = way()
                self.assertNotEqual(t.wait(), 0)
                self.assertFalse(t.raw())

    def test_what_an_agent_prints_reaches_the_screen_and_nothing_else(self):
        # The control: --raw passes it all.
        text = r"printf '\033]52;c;aGk=\007\033]0;title\007\033[6n\033[c\033[21t\033[2J\033[1;1H\033(0x\033(Bend'"
        raw = self.terminal("run", "-t", "--raw", "--", "sh", "-c", text)
        self.assertIn(b"\033]52;c;aGk=\a\033]0;title\a\033[6n\033[c\033[21t\033[2J", raw.until(b"end"))
        t = self.terminal("run", "-t", "--", "sh", "-c", text)
        self.assertEqual(t.until(b"end"), b"\033[2J\033[1;1H\033(0x\033(Bend")
        self.assertEqual((raw.wait(), t.wait()), (0, 0))
        t = self.terminal("run", "-t", "--", "sh", "-c", r"printf '\033[?1049h\033[?25lleft so'")
        t.until(b"left so")
        t.wait()
        self.assertIn(b"\033[?1049l", t.seen)
        self.assertIn(b"\033[?25h", t.seen)

    def test_without_a_terminal_of_ours_it_still_has_one(self):
        r = self.ring.run("-t", "--", "sh", "-c", "tty; stty size; cat", input=b"typed\n")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertRegex(r.stdout, rb"/dev/pts/\d+\r\n")
        self.assertIn(b"24 80\r\n", r.stdout)
        self.assertEqual(r.stdout.count(b"typed\r\n"), 2)
        r = self.ring.run("-t", "--", "sh", "-c", "cat; echo ended")
        self.assertTrue(r.stdout.endswith(b"ended\r\n"), r.stdout)

    def test_all_that_it_wrote_arrives(self):
        r = self.ring.run("-t", "--", "sh", "-c", "seq 20000; printf last")
        lines = r.stdout.split(b"\r\n")
        self.assertEqual(lines, [b"%d" % i for i in range(1, 20001)] + [b"last"])


class Times(Case):
    def test_idle_ends_it_but_not_while_a_command_runs(self):
        for _ in range(20):  # on a slow machine it may end before the command begins
            busy = self.create("--idle", "150ms")
            p = self.start("exec", busy, "--", "sh", "-c", "echo runs; cat", stdin=subprocess.PIPE)
            if p.stdout.readline() == b"runs\n":
                break
        idle = self.create("--idle", "150ms")  # the clock: it began later and was never used
        self.assertIn("idle", self.why(idle))
        self.assertIn(busy, self.living())
        p.stdin.close()
        self.assertEqual(p.wait(TIMEOUT), 0)
        self.assertIn("idle", self.why(busy))

    def test_a_lifetime_ends_it_in_any_case(self):
        box = self.create("--lifetime", "300ms")
        p = self.start("exec", box, "--", "sleep", "1000")
        self.assertIn("lifetime", self.why(box))
        self.assertNotEqual(p.wait(TIMEOUT), 0)
        self.assertIn(b"lifetime", p.stderr.read())

    def test_pause_stops_everything_and_resume_goes_on(self):
        box, marker = self.create(), f"rf-pause-{os.getpid()}-{self.mode}"
        p = self.start("exec", box, "--", "sh", "-c", f": {marker}; echo ready; while read x; do echo $x; done",
                       stdin=subprocess.PIPE)
        self.assertEqual(p.stdout.readline(), b"ready\n")
        inside = [i for i in processes_with(marker) if i != p.pid and "rf-init" not in status_of(i).get("Name", "")]
        self.sandbox("pause", box)
        states = {status_of(i)["State"][0] for i in inside if file_text(f"/proc/{i}/comm").strip() == "sh"}
        self.assertEqual(states, {"T"})
        self.assertEqual([s["state"] for s in self.listed()["sandboxes"] if s["sandbox"] == box], ["paused"])
        self.assertIn("paused", self.refused("exec", box, "--", "true", code=125))
        p.stdin.write(b"after\n")
        p.stdin.flush()
        self.sandbox("resume", box)
        self.assertEqual(p.stdout.readline(), b"after\n")
        p.stdin.close()
        self.assertEqual(p.wait(TIMEOUT), 0)


class Files(Case):
    def setUp(self):
        self.box = self.create()
        self.out = self.ring.make_directory(f"out-{self.id().rsplit('.', 1)[1]}")

    def local(self, name):
        return os.path.join(self.out, name)

    def test_read_write_and_list(self):
        data = os.urandom(300000)
        self.sandbox("write", self.box, "/tmp/f", input=data)
        self.assertEqual(self.sandbox("read", self.box, "/tmp/f"), data)
        self.assertEqual(self.sh(self.box, "wc -c < /tmp/f; stat -c %a /tmp/f").split(), ["300000", "644"])
        self.sandbox("write", self.box, "/tmp/x", "--mode", "755", input=b"short")
        self.sandbox("write", self.box, "/tmp/f", input=b"short")
        self.assertEqual(self.sh(self.box, "cat /tmp/f; stat -c %a /tmp/x"), "short755\n")
        self.assertLessEqual({b"f", b"x"}, set(self.sandbox("ls", self.box, "/tmp").split()))
        self.assertRegex(self.sandbox("ls", "-l", self.box, "/tmp/f").decode(), r"^-rw-r--r-- +5 .* f\n$")
        listed = json.loads(self.sandbox("ls", self.box, "/", "--json"))
        self.assertIn(("usr", "directory"), [(e["name"], e["type"]) for e in listed])
        self.refused("read", self.box, "/tmp/none", code=1)
        self.refused("read", self.box, "tmp/f")
        self.refused("read", self.box, "/tmp/f", "--max", "2", code=1)

    def test_trees_go_both_ways(self):
        source = self.local("tree")
        os.makedirs(os.path.join(source, "a/b"))
        for name, text in (("one", "1"), ("a/two", "22"), ("a/b/three", "333")):
            with open(os.path.join(source, name), "w") as f:
                f.write(text)
        os.chmod(os.path.join(source, "one"), 0o755)
        subprocess.run(["chmod", "-R", "a+rX", source], check=True)
        self.refused("cp", source, f"{self.box}:/tmp/in")
        self.sandbox("cp", "-r", source, f"{self.box}:/tmp/in")
        self.assertEqual(self.sh(self.box, "cd /tmp/in && cat one a/two a/b/three && stat -c %a one"), "122333755\n")
        self.sandbox("cp", "-r", f"{self.box}:/tmp/in", self.local("back"))
        r = subprocess.run(["diff", "-r", source, self.local("back")], capture_output=True)
        self.assertEqual(r.returncode, 0, r.stdout)
        self.assertTrue(os.stat(self.local("back/one")).st_mode & 0o100)
        self.sandbox("cp", f"{self.box}:/tmp/in/one", self.out)
        with open(self.local("one")) as f:
            self.assertEqual(f.read(), "1")
        self.sandbox("cp", self.local("one"), f"{self.box}:/tmp/in/a")
        self.assertEqual(self.sh(self.box, "cat /tmp/in/a/one"), "1")
        self.assertEqual(self.refused("cp", f"{self.box}:/tmp/in/none", self.out, code=1).count("No such file"), 1)
        self.refused("cp", "-r", "--max", "3", f"{self.box}:/tmp/in", self.local("less"), code=1)

    def test_a_path_leads_only_where_the_sandbox_can_go_itself(self):
        secret = self.ring.write(f"secret-{self.mode}", "of the host")
        link = self.local("control")
        os.symlink(secret, link)
        with open(link) as f:
            self.assertEqual(f.read(), "of the host")  # the same link works outside
        up = "../" * 20
        self.sh(self.box, f"ln -s {secret} /tmp/l; ln -s {os.path.dirname(secret)} /tmp/d; ln -s {up}{secret} /tmp/u; "
                          "ln -s /proc/1/root /tmp/r; ln -s / /tmp/slash")
        for path in ("/tmp/l", f"/tmp/d/{os.path.basename(secret)}", "/tmp/u", secret, f"/tmp/{up}{secret}",
                     f"/tmp/r{secret}", f"/tmp/slash{secret}", f"/proc/self/root{secret}", f"/proc/self/cwd/{up}{secret}"):
            with self.subTest(path=path):
                self.refused("read", self.box, path, code=1)
                self.refused("write", self.box, path, code=1, input=b"overwritten")
                self.refused("cp", f"{self.box}:{path}", self.local("got"), code=1)
        with open(secret) as f:
            self.assertEqual(f.read(), "of the host")
        self.assertIn(b"agent", self.sandbox("read", self.box, "/etc/passwd"))
        self.refused("write", self.box, "/usr/bin/true", code=1, input=b"x")

    def test_what_is_no_file_is_not_waited_for(self):
        self.sh(self.box, "mkfifo /tmp/p; ln -s /dev/zero /tmp/z; ln -s /tmp/loop /tmp/loop; mkdir /tmp/d; "
                          "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"/tmp/s\")'")
        # The control: a reader inside waits at the fifo for as long as it may.
        self.sh(self.box, "cat /tmp/p", "--wall", "100ms", code=124)
        for path in ("/tmp/p", "/tmp/z", "/dev/zero", "/dev/null", "/dev/ptmx", "/tmp/loop", "/tmp/d", "/tmp/s",
                     "/proc/self/mem", "/proc/self/environ", "/proc/self/fd/0", "/proc/self/fd/3"):
            with self.subTest(path=path):
                self.refused("read", self.box, path, code=1, timeout=TIMEOUT)
                self.refused("write", self.box, path, code=1, input=b"x", timeout=TIMEOUT)

    def test_a_path_that_swings_shows_nothing_of_the_host(self):
        secret = self.ring.write(f"swing-{self.mode}", "of the host")
        self.sandbox("exec", self.box, "--detach", "--", "python3", "-c", f"""
import os
os.chdir("/tmp")
os.makedirs("real/{os.path.dirname(secret)}"); open("real/{secret}", "w").write("of the sandbox")
os.mkfifo("fifo"); open("plain", "w").write("of the sandbox")
while True:
    for target in ("plain", "{secret}", "/dev/zero", "fifo", "/proc/self/mem"):
        os.symlink(target, "new"); os.replace("new", "swings")
    os.symlink("/", "new"); os.replace("new", "top"); os.symlink("real", "new"); os.replace("new", "top")
""")
        wait_until(lambda: self.ring.cli("sandbox", "read", self.box, "/tmp/swings").returncode == 0, "it swings")
        seen = set()
        both = {(0, b"of the sandbox"), (1, b"")}

        def look():
            for path in ("/tmp/swings", f"/tmp/top{secret}") * 20:
                r = self.ring.cli("sandbox", "read", self.box, path)
                seen.add((r.returncode, r.stdout))
            return seen >= both

        wait_until(look, "both")
        self.assertEqual(seen, both)

    def test_a_hostile_tree_stays_where_it_is_put(self):
        victim = self.ring.make_directory(f"victim-{self.mode}")
        self.sh(self.box, f"mkdir -p /tmp/t/d; cd /tmp/t; echo new > f; echo new > d/x; ln -s {victim} out; mkfifo p; "
                          "ln -s /etc/passwd l; chmod 4777 f; printf x > \"$(printf 'a\\033[2Jb\\nc')\"; "
                          "printf x > \"$(printf 'not-\\377utf8')\"")
        os.symlink(os.path.join(victim, "f"), self.local("f"))
        self.sandbox("cp", f"{self.box}:/tmp/t/f", self.local("f"))  # a link at the destination is replaced
        self.assertFalse(os.path.islink(self.local("f")))
        self.assertEqual(os.stat(self.local("f")).st_mode & 0o7000, 0)
        self.sandbox("cp", "-r", f"{self.box}:/tmp/t", self.local("got"), code=1)
        self.assertNotIn("\x1b", self.stderr)
        self.assertIn("4 left out", self.stderr)
        self.assertEqual(sorted(os.listdir(self.local("got"))), ["a\x1b[2Jb\nc", "d", "f"])
        self.assertNotIn(b"\x1b", self.sandbox("ls", self.box, "/tmp/t"))
        self.assertEqual(self.sandbox("ls", self.box, "/tmp/t").count(b"\n"), 7)
        os.mkdir(self.local("again"))
        os.symlink(victim, self.local("again/d"))
        self.sandbox("cp", "-r", f"{self.box}:/tmp/t/d", self.local("again"), code=1)
        self.assertEqual(os.listdir(victim), [])

    def test_json_at_a_terminal_is_text_too(self):
        t = self.terminal("run", "--json", "--", "printf", r"a\302\2332Jb\177c\342\200\256d\303\251")
        self.assertEqual(t.wait(), 0)
        shown = t.seen
        self.assertNotIn(b"\xc2\x9b", shown)
        self.assertNotIn(b"\x7f", shown)
        self.assertNotIn(b"\xe2\x80\xae", shown)
        self.assertEqual(json.loads(shown)["stdout"], "a\x9b2Jb\x7fc\u202ed\xe9")

    def test_top_goes_on_until_it_is_interrupted(self):
        t = self.terminal("sandbox", "top")
        t.until(b"PROCESSES")
        t.until(b"PROCESSES")
        t.type(b"\x03")
        self.assertEqual(t.wait(), -signal.SIGINT)

    def test_what_a_terminal_is_shown_of_a_file_is_text(self):
        self.sandbox("write", self.box, "/tmp/f", input=b"a\033]0;x\007\033[2Jb\n")
        t = self.terminal("sandbox", "read", self.box, "/tmp/f")
        self.assertEqual(t.until(b"\n"), b"ab\r\n")
        self.assertEqual(t.wait(), 0)

    def test_a_full_disk_says_so(self):
        box = self.create("--disk", "16MiB")
        self.assertIn("No space", self.refused("write", box, "/tmp/f", code=1, input=bytes(40 << 20)))


class States(Case):
    """Checkpoints, differences and commits, as a person meets them; test_checkpoints.py has the rest."""

    def setUp(self):
        self.work = self.ring.make_directory(f"work-{self.id().rsplit('.', 1)[1]}")
        self.own("a", "one\n")
        self.box = self.create("--policy", "workspace", "--workspace", self.work)

    def own(self, name, text=None):
        path = os.path.join(self.work, name)
        if text is None:
            return file_text(path)
        return self.ring.write(os.path.relpath(path, self.ring.dir), text)

    def test_there_and_back(self):
        self.sh(self.box, "echo two >> a; echo new > n")
        self.assertEqual(self.sandbox("checkpoint", self.box, "make", "first"), b"first\n")
        self.sh(self.box, "echo three >> a; rm n")
        self.assertEqual(self.sandbox("diff", self.box).decode(), "--- a/a\n+++ b/a\n@@ -1,1 +1,3 @@\n one\n+two\n+three\n")
        since = self.sandbox("diff", self.box, "--from", "first").decode()
        self.assertIn("+three", since)
        self.assertNotIn("+two", since)
        self.assertIn("-new", since)
        self.assertIn(b"modified", self.sandbox("diff", self.box, "--summary"))
        changes = json.loads(self.sandbox("diff", self.box, "--json", "--to", "first"))["changes"]
        self.assertEqual([(c["path"], c["change"]) for c in changes], [("a", "modified"), ("n", "added")])
        self.assertIn(b"first", self.sandbox("checkpoint", self.box, "list"))
        self.sandbox("rollback", self.box, "first")
        self.assertEqual(self.sh(self.box, "cat a n"), "one\ntwo\nnew\n")
        self.sandbox("checkpoint", self.box, "drop", "first")
        self.refused("rollback", self.box, "first")
        self.refused("diff", self.box, "--from", "first")
        self.assertEqual(self.own("a"), "one\n")  # all this time

    def test_a_commit_lets_out_what_was_decided(self):
        self.sandbox("commit", self.box)
        self.assertIn("nothing changed", self.stderr)
        self.sh(self.box, "echo two >> a; mkdir d; echo deep > d/f")
        self.sandbox("commit", self.box)
        self.assertIn("3 changes applied", self.stderr)
        self.assertEqual((self.own("a"), self.own("d/f")), ("one\ntwo\n", "deep\n"))
        self.assertEqual(self.sandbox("diff", self.box), b"")
        self.sh(self.box, "echo three >> a")
        self.assertEqual(json.loads(self.sandbox("commit", self.box, "--json"))["workspace"], "committed")
        self.assertEqual(self.own("a"), "one\ntwo\nthree\n")
        r = self.ring.cli("audit", "query", "--json")
        self.assertIn(b'"file"', r.stdout)

    def test_what_the_user_changed_meanwhile_is_not_overwritten(self):
        self.sh(self.box, "echo two >> a")
        self.own("a", "mine\n")
        self.sandbox("commit", self.box, code=1)
        self.assertEqual(self.own("a"), "mine\n")
        self.sandbox("commit", self.box, "--force")
        self.assertEqual(self.own("a"), "one\ntwo\n")

    def test_a_workspace_that_became_another_is_not_written(self):
        self.sh(self.box, "echo two >> a")
        os.rename(self.work, self.work + ".moved")
        os.mkdir(self.work)
        self.assertIn("another directory", self.refused("commit", self.box))
        self.assertEqual(os.listdir(self.work), [])

    def test_a_sandbox_without_a_workspace_has_no_states(self):
        box = self.create()
        for args in (["checkpoint", box], ["diff", box], ["commit", box], ["rollback", box, "x"]):
            with self.subTest(args=args):
                self.sandbox(*args, code=(1 if args[0] != "zzz" else 2))
                self.assertEqual(self.stderr.count("\n"), 1)


class Own(Case):
    """Each has a Ringfence of its own, because it ends."""

    @classmethod
    def setUpClass(cls):
        if cls.mode not in modes():
            raise unittest.SkipTest("needs root")

    @classmethod
    def tearDownClass(cls):
        pass

    def setUp(self):
        self.ring = Ringfence(self.mode)
        self.addCleanup(self.ring.destroy)


class Ends(Own):
    def test_a_supervisor_that_is_killed_leaves_nothing_and_the_next_says_what_was_lost(self):
        marker = f"rf-lost-{os.getpid()}-{self.mode}"
        box = self.create("--name", "lost")
        self.sandbox("exec", box, "--detach", "--", "sh", "-c", f": {marker}; while :; do sleep 0.01; done")
        wait_until(lambda: processes_with(marker), "the command runs")
        programs = self.ring.programs()
        inits = self.ring.sandboxes()
        os.kill(programs["rf-supervisor"], signal.SIGKILL)
        wait_until(lambda: not processes_with(marker), "the command is gone")
        wait_until(lambda: not any(alive(p) for p in [*programs.values(), *inits]), "the programs are gone")
        self.assertIn("none is running", self.refused("inspect", box))
        self.create()  # a supervisor after it
        self.assertIn("destroyed", self.why(box))
        self.assertIn("destroyed", self.refused("inspect", "lost"))
        wait_until(lambda: not cgroup_leftovers({programs["rf-supervisor"]}), "its control groups are gone")

    def test_stop_waits_for_commands_and_ends_what_stays(self):
        box = self.create()
        cat = self.start("exec", box, "--", "cat", stdin=subprocess.PIPE)
        wait_until(lambda: json.loads(self.sandbox("inspect", box, "--json"))["commands"], "cat runs")
        self.assertIn(b"1 sandbox that stays", self.ring.cli("status").stdout)
        p = self.ring.start("stop")
        self.addCleanup(lambda: (p.poll() is None and p.kill(), p.wait(), p.stdout.close(), p.stderr.close()))
        self.assertIn(b"waiting for 1 command to end", p.stderr.readline())
        self.assertIn(b"1 sandbox that stays then ends too", p.stderr.readline())
        cat.stdin.write(b"still served\n")
        cat.stdin.close()
        self.assertEqual((cat.stdout.read(), cat.wait(TIMEOUT), p.wait(TIMEOUT)), (b"still served\n", 0, 0))
        self.assertEqual(self.ring.programs(), {})

    def test_kill_all_ends_them_and_says_why(self):
        box = self.create()
        r = self.ring.cli("kill", "all")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertIn("killed", self.why(box))

    def test_one_that_reads_nothing_any_more_stops_nobody_else(self):
        """As if a command had stopped the next one before it executed, which holds its rf-init."""
        box = self.create("--name", "deaf")
        other = self.create("--name", "other")
        inits = [pid for pid in self.ring.sandboxes() if not children_of(pid)]  # those that wait have a child
        for pid in inits:
            os.kill(pid, signal.SIGSTOP)

        def connect():
            peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self.addCleanup(peer.close)
            peer.settimeout(TIMEOUT)
            peer.connect(os.path.join(self.ring.state, "run", "supervisor.sock"))
            return ledgerlib.Peer(peer)
        caller = connect()
        for _ in range(2000):  # far more than its socket holds
            caller.send(87, {"sandbox": box, "path": "/tmp/" + "x" * 900, "how": "write"})
        self.assertEqual(connect().call(ledgerlib.MSG_STATUS)["pid"], self.ring.programs()["rf-supervisor"])
        self.assertIn("rf-init is gone", self.why(box))
        for pid in inits:
            if alive(pid):
                os.kill(pid, signal.SIGCONT)
        self.assertEqual(self.sandbox("exec", other, "--", "echo", "lives"), b"lives\n")

    def test_nothing_runs_and_nobody_is_asked_to_start_for_a_list(self):
        self.assertEqual(self.sandbox("list"), b"no sandboxes\n")
        self.assertEqual(self.listed(), {"ended": [], "sandboxes": []})
        self.assertIn("none is running", self.refused("kill", "x"))
        self.assertEqual(self.ring.programs(), {})

    def test_others_cannot_reach_it(self):
        box = self.create()
        if not AS_ROOT:
            self.skipTest("needs another user")
        other = subprocess.run(as_user([os.path.join(BIN, "ringfence"), "sandbox", "list"], uid=4002),
                               env=self.ring.env, capture_output=True, timeout=TIMEOUT)
        self.assertNotIn(box[:8].encode(), other.stdout)
        self.assertNotEqual(other.returncode, 0)


class Serve(Own):
    def serve(self, **env):
        p = self.ring.start("serve", env=dict(self.ring.env, **env))
        self.addCleanup(lambda: (p.poll() is None and p.kill(), p.wait(), p.stdout.close(), p.stderr.close()))
        line = p.stderr.readline().decode()
        self.assertIn("listens", line)
        self.assertIn(self.ring.state, line)
        return p

    def test_in_the_foreground_it_serves_until_it_is_told_to_end(self):
        p = self.serve()
        box = self.create()
        self.assertEqual(self.ring.programs()["rf-supervisor"], p.pid)
        r = self.ring.cli("serve")
        self.assertEqual(r.returncode, 1)
        self.assertRegex(r.stderr.decode(), rf"^ringfence: .* served already, .* pid {p.pid}; .*\n$")
        self.assertEqual(self.sh(box, "echo served"), "served\n")
        inits = self.ring.sandboxes()
        p.send_signal(signal.SIGTERM)
        self.assertEqual(p.wait(TIMEOUT), 0)
        self.assertFalse(any(alive(i) for i in inits))
        self.assertEqual(self.ring.programs(), {})
        self.assertEqual(self.ring.cli("status").returncode, 1)
        self.serve()  # and again

    def test_it_tells_the_service_manager(self):
        path = os.path.join(self.ring.home, "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            os.chmod(path, 0o777)
            manager.settimeout(20)
            p = self.serve(NOTIFY_SOCKET=path)
            self.assertTrue(manager.recv(4096).startswith(b"READY=1"))
            self.assertEqual(self.sandbox("list"), b"no sandboxes\n")
            p.send_signal(signal.SIGTERM)
            self.assertTrue(manager.recv(4096).startswith(b"STOPPING=1"))
            self.assertEqual(p.wait(TIMEOUT), 0)

    def test_what_it_cannot_do_is_one_line(self):
        self.ring.env["RINGFENCE_STATE"] = "/proc/none/state"
        r = self.ring.cli("serve")
        self.assertEqual((r.returncode, r.stderr.count(b"\n")), (125, 1), r.stderr)
        self.ring.env["RINGFENCE_STATE"] = self.ring.state
        r = self.ring.cli("serve", "x")
        self.assertEqual((r.returncode, r.stderr.count(b"\n")), (2, 1), r.stderr)


def load_tests(loader, _tests, _pattern):
    suite = unittest.TestSuite()
    for case in (Lives, Commands, Terminals, Times, Files, States, Ends, Serve):
        for mode in ("rootless", "root"):
            suite.addTests(loader.loadTestsFromTestCase(
                type(f"{case.__name__}_{mode}", (case, unittest.TestCase), {"mode": mode})))
    return suite


if __name__ == "__main__":
    unittest.main(verbosity=2)
