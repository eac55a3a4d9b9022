#!/usr/bin/python3
"""Checkpoints of a sandbox's workspace, against the real programs, as root and as an ordinary user: what a state
holds, the way back, what is compared and committed, and what an agent may have left there."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from ring import *
from arbiter_kit import Talk

SESSION_OPEN, SESSION_FILE = 87, 88
SESSION_CHECKPOINT, SESSION_CHECKPOINTS, SESSION_VIEW, SESSION_VIEWED = range(89, 93)

POLICY = """version: 1
name: staged
sandbox:
  workspace: {mode}
  limits: {{memory: 256MiB, processes: 64, disk: {disk}, wall: 60s, output: 8MiB}}
rules:
{rules}  - name: everything
    why: a test
    owner: tests
    allow: exec
    program: any
"""
COMMITS = """  - name: commits
    why: a test
    owner: tests
    allow: file
    operations: [commit]
    {limits}
"""

LOWER = textwrap.dedent("""
    mkdir -p dir/sub tree/deep opaque swap-dir
    echo one > dir/one; echo two > dir/two; echo keep > dir/sub/keep
    echo leaf > tree/deep/leaf; echo leaf > tree/leaf
    echo hidden > opaque/hidden; echo same > opaque/same
    echo file > swap-file; echo x > swap-dir/x; echo mode > mode; ln -s dir link
    echo plain > renamed-from; echo base > base
""")

# Every kind of change that an overlay records; the second time over what the first left.
FIRST = textwrap.dedent("""
    set -e
    echo changed > dir/one; rm dir/two; echo new > dir/sub/new
    rm -r opaque; mkdir opaque; echo same > opaque/same; echo fresh > opaque/fresh
    rm swap-file; mkdir swap-file; echo in > swap-file/in
    chmod 755 mode; ln -sfn tree link; mkdir -p deep/er/still; echo d > deep/er/still/f
    ln deep/er/still/f deep/hard; touch -d 2001-02-03 deep/er/still; chmod 700 deep
    printf x > "$(printf 'odd\\033name')"; mkfifo fifo; truncate -s 1M sparse
""")
SECOND = textwrap.dedent("""
    set -e
    echo again > dir/one; echo back > dir/two; rm -r tree; mkdir tree; echo other > tree/leaf
    rm opaque/fresh; echo hidden > opaque/hidden
    rm -r swap-file; echo file > swap-file; rm -r swap-dir; echo now > swap-dir
    chmod 600 mode; rm link; mv renamed-from renamed-to; echo more >> deep/hard; rm -r deep/er
    rm fifo; rm sparse; echo late > late
""")

# The whole tree as lines: type, mode, size, time, contents.
DESCRIBE = textwrap.dedent("""
    import hashlib, os
    for top, names, files in sorted(os.walk("/workspace")):
        for name in sorted(names + files):
            path = os.path.join(top, name)
            st = os.lstat(path)
            what = ""
            if os.path.islink(path):
                what = os.readlink(path)
            elif os.path.isfile(path):
                what = hashlib.sha256(open(path, "rb").read()).hexdigest()
            size = 0 if os.path.isdir(path) else st.st_size
            print(repr(path), oct(st.st_mode), size, 0 if os.path.islink(path) else st.st_mtime_ns, what)
""")


class Conversation(Talk):
    """With rf-supervisor; keeps the descriptors that come."""

    def __init__(self, path):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.connect(path)
        sock.settimeout(20)
        super().__init__(sock)
        self.fds = []

    def receive(self, wait=20):
        packet, fds, _, _ = socket.recv_fds(self.sock, 256 * 1024, 8)
        self.fds += fds
        if not packet:
            raise EOFError
        kind, serial = int.from_bytes(packet[4:6], "little"), int.from_bytes(packet[8:12], "little")
        return kind, serial, json.loads(packet[16:])

    def close(self):
        for fd in self.fds:
            os.close(fd)
        super().close()


class Checkpoints:
    mode = None

    @classmethod
    def setUpClass(cls):
        if cls.mode not in modes():
            raise unittest.SkipTest("needs root")
        cls.ring = Ringfence(cls.mode)
        cls.made = 0

    @classmethod
    def tearDownClass(cls):
        cls.ring.destroy()

    # ---- helpers ----

    def policy(self, rules="", disk="64MiB", mode="staged"):
        type(self).made += 1
        return self.ring.write(f"policy{self.made}.yaml", POLICY.format(rules=rules, disk=disk, mode=mode))

    def sandbox(self, *args, code=0, **options):
        r = self.ring.cli("sandbox", *args, **options)
        self.stderr = r.stderr.decode(errors="replace")
        self.assertEqual(r.returncode, code, self.stderr)
        return r.stdout.decode(errors="replace")

    def create(self, policy=None, fill="", mode=""):
        """A sandbox with a workspace of its own, whose directory is self.host."""
        type(self).made += 1
        self.host = self.ring.make_directory(f"ws{self.made}")
        if fill:
            argv = ["sh", "-ec", fill]
            subprocess.run(as_user(argv) if self.mode == "rootless" else argv, cwd=self.host, check=True)
        box = self.sandbox("create", "--policy", policy or self.policy(), "--workspace", self.host + mode).strip()
        self.addCleanup(lambda: self.ring.cli("sandbox", "kill", box))
        return box

    def sh(self, box, script, *options, code=0):
        return self.sandbox("exec", box, *options, "--", "sh", "-c", script, code=code)

    def make(self, box, *name):
        return json.loads(self.sandbox("checkpoint", box, "make", *name, "--json"))

    def how(self, made):
        return {c["name"]: c["how"] for c in made["checkpoints"]}[made["made"]]

    def list(self, box):
        return json.loads(self.sandbox("checkpoint", box, "list", "--json"))["checkpoints"]

    def tree(self, box):
        return self.sandbox("exec", box, "--", "/usr/bin/python3", "-c", DESCRIBE)

    def changes(self, box, *args):
        found = json.loads(self.sandbox("diff", box, "--json", *args))["changes"]
        return {c["path"]: c["change"] for c in found}

    def talk(self):
        """A conversation of the user who owns the sandboxes."""
        path = os.path.join(self.ring.state, "run", "supervisor.sock")
        talk = Conversation(path)
        self.addCleanup(talk.close)
        return talk

    def code_of(self, box, *args, **options):
        """The code of the error that the conversation is answered with."""
        return self.talk().error(*args, **options)["code"]

    # ---- states ----

    def test_going_back_shows_the_state_exactly_and_drops_the_later_ones(self):
        box = self.create(fill=LOWER)
        self.sh(box, FIRST)
        first = self.tree(box)
        self.assertEqual(self.how(self.make(box, "one")), "layer")
        self.assertEqual(self.tree(box), first)
        self.sh(box, SECOND)
        second = self.tree(box)
        self.make(box, "two")
        self.sh(box, "rm -rf ./* ; echo gone > dir")
        self.sandbox("rollback", box, "two")
        self.assertEqual(self.tree(box), second)
        self.sandbox("rollback", box, "one")
        self.assertEqual(self.tree(box), first)
        self.assertEqual([c["name"] for c in self.list(box)], ["one"])
        self.sh(box, SECOND)  # it goes on from there
        self.assertEqual(self.tree(box).replace(" ", ""), self.tree(box).replace(" ", ""))
        self.sandbox("rollback", box, "base")
        self.assertEqual(self.list(box), [])
        self.assertEqual(self.changes(box), {})
        self.assertEqual(self.sh(box, "cat base dir/two; ls -A opaque"), "base\ntwo\nhidden\nsame\n")

    def test_what_a_running_process_writes_is_caught_between_two_writes(self):
        """It writes A, then B, and both hold the same number whenever it stands still but for the moment between."""
        box = self.create(fill=LOWER)
        self.sh(box, FIRST)
        self.sandbox("exec", box, "--detach", "--", "sh", "-c",
                     "exec 3> held; i=0; while :; do i=$((i+1)); echo $i > a; echo $i > b; echo $i >&3; done")
        wait_until(lambda: self.sh(box, "test -s held && echo x || true"), "it writes")
        before = {name: line for name, line in ((l.split()[0], l) for l in self.tree(box).splitlines())
                  if name.strip("'").rsplit("/", 1)[1] not in ("a", "b", "held")}
        made = self.make(box, "caught")
        self.assertEqual(self.how(made), "copy")
        later = int(self.sh(box, "cat held | tail -1"))
        wait_until(lambda: int(self.sh(box, "tail -1 held")) > later, "it goes on")
        self.sandbox("rollback", box, "caught")
        a, b, held = (int(self.sh(box, f"tail -1 {name} | grep . || echo 0")) for name in ("a", "b", "held"))
        # Truncated to nothing is the moment between open and write.
        for one, other in ((a, b), (b, held)):
            self.assertTrue(one == 0 or other == 0 or one - other in (0, 1), (a, b, held))
        after = {l.split()[0]: l for l in self.tree(box).splitlines()}
        self.assertEqual({k: after.get(k) for k in before}, before)
        self.assertEqual(json.loads(self.sandbox("inspect", box, "--json"))["usage"]["processes"], 0)
        self.assertEqual(self.how(self.make(box)), "layer")

    def test_a_command_that_only_waits_elsewhere_keeps_its_workspace(self):
        box = self.create(fill=LOWER)
        self.sandbox("exec", box, "--detach", "--cwd", "/tmp", "--", "sh", "-c",
                     "until test -e /tmp/go; do sleep 0.01; done; cat /workspace/base > /workspace/out")
        self.assertEqual(self.how(self.make(box, "a")), "copy")
        self.sh(box, "touch /tmp/go")
        wait_until(lambda: self.sh(box, "cat out 2> /dev/null || true") == "base\n", "it reads and writes")
        self.assertEqual(self.changes(box, "--from", "a"), {"out": "added"})

    def test_a_file_that_is_held_open_from_outside_makes_it_a_copy(self):
        box = self.create(fill=LOWER)
        talk = self.talk()
        talk.call(SESSION_OPEN, {"sandbox": box, "path": "/workspace/up", "how": "write"}, SESSION_FILE)
        os.write(talk.fds[0], b"before")
        self.assertEqual(self.how(self.make(box, "held")), "copy")
        os.write(talk.fds[0], b" after")
        self.assertEqual(self.sh(box, "cat up"), "before after")
        self.sandbox("rollback", box, "held")
        self.assertEqual(self.sh(box, "cat up"), "before")
        os.write(talk.fds[0], b" lost")  # to a file of a state that is gone
        self.assertEqual(self.sh(box, "cat up"), "before")
        talk.close()
        talk.fds = []
        self.assertEqual(self.how(self.make(box)), "layer")

    def test_going_back_ends_every_command(self):
        box = self.create(fill=LOWER)
        self.make(box, "start")
        waiting = self.ring.start("sandbox", "exec", box, "--", "sh", "-c", "trap '' TERM; echo up; sleep 1000")
        self.assertEqual(waiting.stdout.readline(), b"up\n")
        self.sandbox("exec", box, "--detach", "--", "sh", "-c", "sleep 2000 & setsid sleep 3000")
        self.sandbox("rollback", box, "start")
        _, err = waiting.communicate(timeout=TIMEOUT)
        self.assertNotEqual(waiting.returncode, 0)
        self.assertIn(b"rolled back", err)
        self.assertEqual(self.sh(box, "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'sleep [0-9]' || true"), "0\n")
        self.assertEqual(json.loads(self.sandbox("inspect", box, "--json"))["commands"], [])

    def test_a_command_that_comes_meanwhile_waits_for_the_state(self):
        box = self.create(fill=LOWER)
        self.sh(box, "echo kept > which")
        self.make(box, "kept")
        for n in range(5):
            self.sandbox("exec", box, "--detach", "--", "sh", "-c", "trap '' TERM; while :; do echo lost > which; done")
            talk = self.talk()
            serial = talk.send(SESSION_CHECKPOINT, {"sandbox": box, "do": "rollback", "name": "kept"})
            self.assertEqual(self.sh(box, "cat which"), "kept\n")
            talk.expect(SESSION_CHECKPOINTS, serial)
            talk.send(SESSION_CHECKPOINT, {"sandbox": box, "do": "make"})
            self.assertEqual(self.sh(box, "cat which"), "kept\n")

    def test_paused_it_can_be_kept_and_stays_paused(self):
        box = self.create(fill=LOWER)
        self.sandbox("exec", box, "--detach", "--", "sh", "-c", "while :; do echo x >> log; done")
        wait_until(lambda: self.sh(box, "test -s log && echo x || true"), "it writes")
        self.sandbox("pause", box)
        self.assertEqual(self.how(self.make(box, "still")), "copy")
        self.assertEqual(self.changes(box, "--from", "still"), {})
        self.assertEqual(json.loads(self.sandbox("inspect", box, "--json"))["state"], "paused")
        self.sandbox("resume", box)
        wait_until(lambda: self.changes(box, "--from", "still") == {"log": "modified"}, "it goes on")

    def test_any_two_states_compare(self):
        box = self.create(fill=LOWER)
        self.sh(box, "echo 1 > a; rm base")
        self.make(box, "one")
        self.sh(box, "echo 2 > a; echo b > b; echo again > base")
        self.make(box, "two")
        self.sh(box, "rm a; echo same > c; echo same > opaque/same")
        for args, expected in (
                ((), {"b": "added", "base": "modified", "c": "added"}),
                (("--to", "one"), {"a": "added", "base": "deleted"}),
                (("--from", "one", "--to", "two"), {"a": "modified", "b": "added", "base": "added"}),
                (("--from", "two", "--to", "one"), {"a": "modified", "b": "deleted", "base": "deleted"}),
                (("--from", "two"), {"a": "deleted", "c": "added"}),
                (("--from", "now", "--to", "base"), {"b": "deleted", "base": "modified", "c": "deleted"}),
                (("--from", "one", "--to", "one"), {}), (("--from", "base", "--to", "base"), {})):
            with self.subTest(args=args):
                self.assertEqual(self.changes(box, *args), expected)
        self.assertIn("-1\n+2\n", self.sandbox("diff", box, "--from", "one", "--to", "two"))
        self.assertNotIn("your copy changed", self.sandbox("diff", box, "-s", "--from", "one", "--to", "two"))

    def test_names_are_checked_and_there_are_so_many(self):
        box = self.create()
        self.assertEqual(self.make(box)["made"], "c1")
        self.make(box, "x")
        for name, code in (("x", "name_taken"), ("base", "bad_name"), ("now", "bad_name"), ("", "bad_name"),
                           ("a/b", "bad_name"), ("a,b", "bad_name"), ("é", "bad_name"), ("-x", "bad_name"),
                           ("y" * 64, "bad_name"), ("a\0b", "bad_name")):
            with self.subTest(name=name):
                self.assertEqual(self.code_of(box, SESSION_CHECKPOINT, {"sandbox": box, "do": "make", "name": name}),
                                 code)
        for do, name in (("rollback", "none"), ("drop", "none"), ("drop", "base"), ("rollback", "now")):
            self.assertEqual(self.code_of(box, SESSION_CHECKPOINT, {"sandbox": box, "do": do, "name": name}),
                             "no_such_checkpoint")
        self.assertEqual(self.code_of(box, SESSION_CHECKPOINT, {"sandbox": box, "do": "zzz"}), "bad_request")
        self.assertEqual(self.code_of(box, SESSION_VIEW, {"sandbox": box, "from": "none"}), "no_such_checkpoint")
        talk = self.talk()
        for n in range(62):
            self.sh(box, f"echo {n} > n") if n in (10, 50) else None
            made = talk.call(SESSION_CHECKPOINT, {"sandbox": box, "do": "make"}, SESSION_CHECKPOINTS)
        self.assertEqual({c["how"] for c in made["checkpoints"]}, {"layer", "copy"})  # one mount has so many layers
        self.assertEqual(talk.error(SESSION_CHECKPOINT, {"sandbox": box, "do": "make"})["code"], "too_many_checkpoints")
        self.assertEqual(self.sh(box, "cat n"), "50\n")
        self.sandbox("rollback", box, "c20")
        self.assertEqual(self.sh(box, "cat n"), "10\n")
        for c in self.list(box):
            talk.call(SESSION_CHECKPOINT, {"sandbox": box, "do": "drop", "name": c["name"]}, SESSION_CHECKPOINTS)
        self.assertEqual(self.list(box), [])
        self.assertEqual(self.sh(box, "cat n"), "10\n")
        self.make(box, "x")

    def test_what_is_dropped_gives_its_room_back(self):
        box = self.create(policy=self.policy(disk="16MiB"))
        for n in range(6):  # 6 times 5 MiB would not fit
            self.sh(box, "head -c 5M /dev/urandom > big")
            self.make(box, "keep")
            self.assertGreaterEqual(self.list(box)[0]["bytes"], 5 << 20)
            self.sh(box, "echo small > big")
            self.sandbox("rollback", box, "keep" if n % 2 else "base")
            if n % 2:
                self.sandbox("checkpoint", box, "drop", "keep")
                self.sandbox("rollback", box, "base")
        self.sh(box, "head -c 12M /dev/zero > big")

    def test_only_a_staged_workspace_has_states(self):
        direct = self.create(policy=self.policy(mode="direct"), mode=":direct")
        bare = self.sandbox("create").strip()
        self.addCleanup(lambda: self.ring.cli("sandbox", "kill", bare))
        for box, code, says in ((direct, "workspace_direct", "is direct"), (bare, "no_workspace", "has no workspace")):
            for kind, body in ((SESSION_CHECKPOINT, {"do": "make"}), (SESSION_CHECKPOINT, {"do": "list"}),
                               (SESSION_CHECKPOINT, {"do": "rollback", "name": "base"}), (SESSION_VIEW, {})):
                self.assertEqual(self.code_of(box, kind, {"sandbox": box, **body}), code)
            self.sandbox("checkpoint", box, code=1)
            self.assertIn(says, self.stderr)

    # ---- an agent that wishes us ill ----

    def test_the_locks_are_the_same_over_a_new_layer(self):
        box = self.create(fill=LOWER)
        probe = textwrap.dedent("""
            import os
            def attempt(f, *a):
                try:
                    f(*a)
                    return "done"
                except OSError as e:
                    return os.strerror(e.errno)
            print(attempt(os.listdir, "/workspace"), attempt(open, "/workspace/new", "w"),
                  attempt(open, "/.canary"), attempt(open, "/usr/new", "w"),
                  attempt(os.mknod, "/workspace/dev", 0o20600, os.makedev(1, 3)),
                  attempt(os.chmod, "/workspace/base", 0o4755))
            os.symlink("/etc/shadow", "/workspace/l") if not os.path.islink("/workspace/l") else None
            print(attempt(open, "/workspace/l"))
            print([l.split()[0] for l in open("/proc/self/status")
                   if l.startswith(("CapEff:\\t0000000000000000", "NoNewPrivs:\\t1", "Seccomp:\\t2"))])
            print([l.split()[5] for l in open("/proc/self/mountinfo") if l.split()[4] == "/workspace"][-1])
        """)
        def probed():
            return self.sandbox("exec", box, "--", "/usr/bin/python3", "-c", probe)
        before = probed()
        self.assertIn("done done Permission denied", before)
        self.make(box)
        self.assertEqual(probed(), before)
        self.sandbox("rollback", box, "c1")
        self.assertEqual(probed(), before)

    def test_trees_that_are_made_to_hurt_are_kept_copied_and_removed(self):
        box = self.create(policy=self.policy(disk="128MiB"), fill=LOWER)
        self.sandbox("exec", box, "--", "/usr/bin/python3", "-c", textwrap.dedent("""
            import os
            os.mkdir("deep"); os.chdir("deep")
            for n in range(100):
                os.mkdir("d" * 200); os.chdir("d" * 200)
            os.chdir("/workspace")
            os.mkdir("closed"); open("closed/f", "w").write("x"); os.chmod("closed", 0)
            open("unreadable", "w").write("x"); os.chmod("unreadable", 0)
            os.mkdir("many"); [open(f"many/{n}", "w").close() for n in range(2000)]
            os.mkfifo("pipe"); os.symlink("/", "root"); os.symlink("x" * 4000, "long"); os.symlink("loop", "loop")
            os.link("unreadable", "linked")
            os.mkdir("0"); os.mkdir("0/0"); open("0/0/0", "w"); os.mkdir("0/1"); open("0/1/0", "w")
        """))
        def listing():
            return self.sh(box, "find . -printf '%p %y %m %s %l %n\\n' 2> /dev/null | sort | sha256sum")
        first = listing()
        self.make(box, "layered")
        self.sandbox("exec", box, "--detach", "--", "sleep", "1000")
        self.assertEqual(self.how(self.make(box, "empty")), "copy")
        self.sandbox("rollback", box, "base")
        self.assertEqual(self.sh(box, "cat base; test ! -e deep && ls -A | wc -l"), "base\n9\n")
        self.sandbox("exec", box, "--detach", "--", "sleep", "1000")
        self.sandbox("exec", box, "--", "/usr/bin/python3", "-c", textwrap.dedent("""
            import os
            for n in range(400):
                os.mkdir("d"); os.chdir("d")
        """))
        self.sandbox("checkpoint", box, "make", "deep", code=1)  # no copy goes so deep; nothing is half done
        self.assertIn("cannot copy", self.stderr)
        self.assertEqual(self.list(box), [])
        self.sandbox("rollback", box, "base")
        self.assertEqual(self.sh(box, "test ! -e d && ls -A | wc -l"), "9\n")
        self.assertNotEqual(first, listing())

    def test_a_copy_has_everything_that_the_changes_had(self):
        box = self.create(fill=LOWER)
        self.sh(box, FIRST)
        self.sh(box, "mkdir closed; echo x > closed/f; chmod 0 closed; echo x > r; chmod 0 r; "
                     "dd if=/dev/zero of=sparse bs=1 count=1 seek=40M 2> /dev/null; ln deep/hard hard")
        def listing():
            return self.sh(box, "find . -type d -printf '%p %m %T@\\n' -o "
                                "-printf '%p %y %m %s %b %l %n %T@\\n' 2> /dev/null | sort")
        first = listing()
        self.sandbox("exec", box, "--detach", "--", "sleep", "1000")
        self.assertEqual(self.how(self.make(box, "copied")), "copy")
        self.sh(box, "chmod 700 closed; rm -rf ./*")
        self.sandbox("rollback", box, "copied")
        self.assertEqual(listing(), first)
        self.assertEqual(self.sh(box, "chmod 700 closed; cat closed/f; test deep/hard -ef hard && echo linked"),
                         "x\nlinked\n")

    def test_a_shell_that_starts_programs_without_end_is_caught_between_them(self):
        """It starts each by vfork, and a stop may come just then."""
        box = self.create(fill=LOWER)
        for n in range(3):
            self.sandbox("exec", box, "--detach", "--", "sh", "-c", f"while :; do /bin/true; touch t{n}; done")
        for n in range(15):
            self.assertEqual(self.how(self.make(box)), "copy")
        for n in range(5):
            self.sandbox("pause", box)
            self.assertEqual(self.changes(box), self.changes(box))
            self.sandbox("resume", box)
        self.sandbox("rollback", box, "c1")

    @unittest.skipUnless(os.uname().machine == "x86_64", "the number of vfork")
    def test_a_process_that_cannot_be_stopped_makes_no_checkpoint_and_no_harm(self):
        """The parent in vfork stands in the kernel, in no state that a signal could stop, until its child executes."""
        box = self.create(fill=LOWER)
        self.make(box, "good")
        self.sandbox("exec", box, "--detach", "--", "/usr/bin/python3", "-c", textwrap.dedent("""
            import ctypes, os, signal
            libc = ctypes.CDLL(None)
            child = libc.syscall(58)  # vfork
            if child == 0:
                open("/tmp/here", "w")
                while True:
                    signal.pause()
        """))
        wait_until(lambda: self.sh(box, "test -e /tmp/here && echo x || true"), "it waits")
        self.sandbox("checkpoint", box, "make", "bad", code=1)
        self.assertIn("does not stop", self.stderr)
        self.assertEqual([c["name"] for c in self.list(box)], ["good"])
        self.sandbox("rollback", box, "good")
        self.assertEqual(self.changes(box), {})

    def test_with_the_disk_full_there_is_still_a_way_back(self):
        box = self.create(policy=self.policy(disk="8MiB"), fill=LOWER)
        self.make(box, "good")
        self.sandbox("exec", box, "--detach", "--cwd", "/tmp", "--", "sleep", "1000")
        self.sandbox("exec", box, "--", "/usr/bin/python3", "-c", textwrap.dedent("""
            import itertools, os
            try:
                with open("fill", "wb", buffering=0) as f:
                    while f.write(bytes(65536)):
                        pass
            except OSError:
                pass
            try:
                for n in itertools.count():
                    os.mkdir(str(n))
            except OSError:
                pass
        """))
        self.assertIn("100%", self.sh(box, "df /workspace | tail -1; df -i /workspace | tail -1"))
        self.sandbox("checkpoint", box, "make", "bad", code=1)
        self.assertIn("limit of disk", self.stderr)
        self.sandbox("rollback", box, "good")
        self.assertEqual(self.changes(box), {})
        self.sh(box, "head -c 4M /dev/zero > fill")

    def test_a_view_can_be_read_only_and_holds_nothing(self):
        box = self.create(fill=LOWER)
        self.sh(box, "echo mine > base; echo new > new")
        self.make(box, "one")
        self.sh(box, "echo later > new")
        talk = self.talk()
        answer = talk.call(SESSION_VIEW, {"sandbox": box, "from": "one", "to": "now"}, SESSION_VIEWED)
        one, now, layers = talk.fds
        self.assertEqual(answer["path"], self.host)
        for fd, text in ((one, b"new\n"), (now, b"later\n")):
            self.assertEqual(self.at(fd, "new"), text)
            self.assertEqual(self.at(fd, "base"), b"mine\n")
            self.assertEqual(os.stat("..", dir_fd=fd), os.stat(".", dir_fd=fd))
            for attempt in (lambda: os.open("new", os.O_WRONLY, dir_fd=fd), lambda: os.mkdir("x", dir_fd=fd),
                            lambda: os.unlink("new", dir_fd=fd), lambda: os.chmod(f"/proc/self/fd/{fd}/new", 0o777),
                            lambda: os.open(f"/proc/self/fd/{fd}/new", os.O_RDWR)):
                with self.assertRaises(OSError) as refused:
                    attempt()
                self.assertEqual(refused.exception.errno, 30)  # EROFS, for root as for others
        with self.assertRaises(OSError):
            os.mkdir("x", dir_fd=layers)
        inits = self.ring.sandboxes()
        self.sandbox("rollback", box, "base")
        self.sandbox("kill", box)
        self.assertNotIn(box, [s["sandbox"] for s in json.loads(self.sandbox("list", "--json"))["sandboxes"]])
        wait_until(lambda: len(self.ring.sandboxes()) < len(inits), "its first process is gone")
        self.assertIsNotNone(os.listdir(now))  # whoever looked may go on looking

    def at(self, fd, name):
        f = os.open(name, os.O_RDONLY, dir_fd=fd)
        try:
            return os.read(f, 100)
        finally:
            os.close(f)

    def test_each_is_in_the_ledger(self):
        box = self.create(fill=LOWER)
        task = json.loads(self.sandbox("inspect", box, "--json"))["task"]
        self.make(box, "one")
        self.sandbox("rollback", box, "one")
        self.sandbox("checkpoint", box, "drop", "one")
        def recorded():
            r = self.ring.cli("audit", "query", "--task", task, "--json")
            found = [json.loads(line) for line in r.stdout.splitlines() if line.strip()]
            return [(e["data"]["do"], e["data"]["name"], e["data"].get("how")) for e in found
                    if e.get("event") == "sandbox-checkpoint" and e["data"]["sandbox"] == box]
        self.assertEqual(wait_until(lambda: len(recorded()) == 3 and recorded(), "three records"),
                         [("make", "one", "layer"), ("rollback", "one", None), ("drop", "one", None)])

    # ---- what goes out ----

    def commits(self, limits=""):
        return self.policy(COMMITS.format(limits=limits))

    def host_tree(self):
        return {os.path.relpath(os.path.join(top, n), self.host) for top, names, files in os.walk(self.host)
                for n in names + files}

    def test_a_commit_makes_the_directory_what_the_state_is(self):
        box = self.create(policy=self.commits(), fill=LOWER)
        expected = self.ring.make_directory(f"expected{self.made}")
        # No rule covers a name with an escape sequence in it, and no fifo ever goes out.
        first = "\n".join(line for line in FIRST.splitlines() if "fifo" not in line)
        second = SECOND.replace("rm fifo; rm sparse; ", "")
        for script in (LOWER, first):
            subprocess.run(["sh", "-ec", script], cwd=expected, check=True)
        self.sh(box, first + "\nmkfifo fifo")
        self.make(box, "one")
        self.sh(box, second)
        self.sandbox("commit", box, "--to", "one")
        self.assertEqual(subprocess.run(["diff", "-r", "--no-dereference", expected, self.host]).returncode, 0)
        self.assertEqual(os.stat(os.path.join(self.host, "deep/hard")).st_nlink, 2)
        self.assertEqual(stat.S_IMODE(os.stat(os.path.join(self.host, "mode")).st_mode), 0o755)
        subprocess.run(["sh", "-ec", second], cwd=expected, check=True)
        self.sandbox("commit", box, "--force")
        self.assertEqual(subprocess.run(["diff", "-r", "--no-dereference", expected, self.host]).returncode, 0)
        self.assertEqual(self.changes(box), {"fifo": "added"})
        self.sh(box, "echo third > dir/one")
        self.sandbox("commit", box)  # what we wrote there is no conflict
        self.sandbox("rollback", box, "one")
        self.sandbox("commit", box, "--force")

    def test_only_what_the_policy_lets_out_goes_out(self):
        box = self.create(policy=self.commits('paths: [src, "src/**"]\n    limits: {bytes: 64KiB}'), fill=LOWER)
        self.sh(box, "mkdir src; echo fine > src/fine")
        self.make(box, "fine")
        self.sh(box, "echo x > elsewhere")
        before = self.host_tree()
        self.sandbox("commit", box, code=126)
        self.sh(box, "rm elsewhere; head -c 65537 /dev/zero > src/large")
        self.sandbox("commit", box, code=126)
        self.sh(box, "rm src/large; echo changed > base")
        self.sandbox("commit", box, code=126)
        self.assertEqual(self.host_tree(), before)
        self.sandbox("commit", box, "--to", "fine")
        self.assertEqual(self.host_tree(), before | {"src", "src/fine"})

    def test_links_that_lead_out_special_files_and_set_id_bits_stay_inside(self):
        box = self.create(policy=self.commits(), fill=LOWER)
        self.sandbox("exec", box, "--", "/usr/bin/python3", "-c", textwrap.dedent("""
            import os, socket
            for name, to in (("abs", "/etc/passwd"), ("up", "../x"), ("dir/up", "../../x"), ("here", "."),
                             ("twist", "here/../x"), ("fine", "dir/one"), ("dir/fine", "../base")):
                os.symlink(to, name)
            os.mkfifo("pipe"); socket.socket(socket.AF_UNIX).bind("sock")
            open("tool", "w").write("x")
            try:
                os.chmod("tool", 0o6755)
            except OSError:
                os.chmod("tool", 0o755)
            os.mkdir("sticky"); os.chmod("sticky", 0o1777)
        """))
        before = self.host_tree()
        self.sandbox("commit", box)
        self.assertIn("never committed", self.stderr)
        self.assertEqual(self.host_tree() - before, {"here", "fine", "dir/fine", "tool", "sticky"})
        for name in ("tool", "sticky"):
            self.assertEqual(os.lstat(os.path.join(self.host, name)).st_mode & 0o7000, 0)

    def test_what_the_user_did_meanwhile_is_not_lost(self):
        box = self.create(policy=self.commits(), fill=LOWER)
        self.sh(box, "ls -R > /tmp/x; echo agent > dir/one; echo agent > new")
        mine = os.path.join(self.host, "mine")
        for path in (mine, os.path.join(self.host, "dir/mine")):
            with open(path, "w") as f:
                f.write("mine")
        self.make(box, "one")
        self.assertEqual(self.changes(box), {"dir/one": "modified", "new": "added"})
        self.sandbox("commit", box)
        self.assertIn("dir/mine", self.host_tree())
        with open(os.path.join(self.host, "base"), "w") as f:
            f.write("mine")
        self.sh(box, "echo agent > base")
        self.sandbox("commit", box, code=1)
        self.assertIn("changed in the workspace after", self.stderr)
        with open(os.path.join(self.host, "base")) as f:
            self.assertEqual(f.read(), "mine")
        self.sandbox("commit", box, "--force")

    def test_the_supervisor_survives_the_end_of_everything_in_between(self):
        """Clients and sandboxes that go away while a checkpoint is made."""
        box = self.create(policy=self.policy(disk="192MiB"), fill=LOWER)
        self.sh(box, "head -c 40M /dev/urandom > big")
        self.sandbox("exec", box, "--detach", "--", "sleep", "1000")
        talk = self.talk()
        talk.send(SESSION_CHECKPOINT, {"sandbox": box, "do": "make", "name": "left"})
        self.assertEqual(self.code_of(box, SESSION_CHECKPOINT, {"sandbox": box, "do": "list"}), "checkpoint_busy")
        talk.close()
        talk.fds = []
        other = self.talk()
        def finished():
            serial = other.send(SESSION_CHECKPOINT, {"sandbox": box, "do": "list"})
            kind, got, body = other.receive()
            return kind == SESSION_CHECKPOINTS and body["checkpoints"]
        self.assertEqual([c["name"] for c in wait_until(finished, "it is made all the same")], ["left"])
        talk = self.talk()
        serial = talk.send(SESSION_CHECKPOINT, {"sandbox": box, "do": "rollback", "name": "base"})
        self.sandbox("kill", box)
        kind, _, body = talk.receive()
        self.assertIn(kind, (1, SESSION_CHECKPOINTS))
        self.assertEqual(self.sh(self.create(fill=LOWER), "cat base"), "base\n")


class WithoutHelper:
    """rf-layers that is absent, or ends without a word."""
    mode = None

    def setUp(self):
        if self.mode not in modes():
            self.skipTest("needs root")
        self.ring = Ringfence(self.mode)
        self.addCleanup(self.ring.destroy)
        self.bin = os.path.join(self.ring.dir, "bin")
        os.mkdir(self.bin)
        for name in os.listdir(BIN):
            if name != "rf-layers":
                shutil.copy(os.path.join(BIN, name), self.bin)
        cli = os.path.join(self.bin, "ringfence")
        self.ring.argv = lambda *args: as_user([cli, *args]) if self.mode == "rootless" else [cli, *args]
        host = self.ring.make_directory("ws")
        policy = self.ring.write("policy.yaml", POLICY.format(rules="", disk="64MiB", mode="staged"))
        self.box = self.ask("create", "--policy", policy, "--workspace", host).stdout.decode().strip()

    def ask(self, *args):
        return self.ring.cli("sandbox", *args)

    def works(self):
        return self.ask("exec", self.box, "--", "sh", "-c", "echo x > f; cat f").stdout == b"x\n"

    def test_when_it_is_absent_nothing_changes(self):
        r = self.ask("checkpoint", self.box)
        self.assertEqual((r.returncode, r.stderr.count(b"\n")), (1, 1), r.stderr)
        self.assertIn(b"rf-layers", r.stderr)
        self.assertTrue(self.works())

    def test_when_it_ends_before_it_began_nothing_changes(self):
        target = os.path.join(self.bin, "rf-layers")
        shutil.copy("/usr/bin/true", target)
        os.chmod(target, 0o755)
        for args in (("checkpoint", self.box), ("rollback", self.box, "base"), ("diff", self.box)):
            r = self.ask(*args)
            self.assertEqual((r.returncode, r.stderr.count(b"\n")), (1, 1), r.stderr)
            self.assertIn(b"ended without an answer", r.stderr)
            self.assertTrue(self.works())
        shutil.copy(os.path.join(BIN, "rf-layers"), target)
        self.assertEqual(self.ask("checkpoint", self.box).returncode, 0)

    def test_when_it_ends_in_the_middle_nobody_works_on_with_what_may_be_half_done(self):
        """It says that it begins, and ends. The message is LAYERS_EXCHANGES of src/sandbox/layers.h."""
        source = os.path.join(self.ring.dir, "half.c")
        with open(source, "w") as f:
            f.write('#include <unistd.h>\nint main(void) { '
                    'static const char m[18] = "RFM1\\xf2\\0\\0\\0\\0\\0\\0\\0\\2\\0\\0\\0{}"; '
                    'return write(3, m, 18) != 18; }')
        target = os.path.join(self.bin, "rf-layers")
        subprocess.run(["cc", "-o", target, source], check=True)
        os.chmod(target, 0o755)
        r = self.ask("rollback", self.box, "base")
        self.assertEqual(r.returncode, 1, r.stderr)
        self.assertIn(b"ended without an answer", r.stderr)
        self.assertFalse(self.works())
        r = self.ring.cli("sandbox", "list", "--json")
        self.assertIn(self.box, [e["sandbox"] for e in json.loads(r.stdout)["ended"]])
        self.assertEqual(self.ask("create").returncode, 0)  # the others live


class TestWithoutHelperRootless(WithoutHelper, unittest.TestCase):
    mode = "rootless"


class TestWithoutHelperAsRoot(WithoutHelper, unittest.TestCase):
    mode = "root"


class TestCheckpointsRootless(Checkpoints, unittest.TestCase):
    mode = "rootless"


class TestCheckpointsAsRoot(Checkpoints, unittest.TestCase):
    mode = "root"


if __name__ == "__main__":
    unittest.main(verbosity=2)
