#!/usr/bin/python3
"""`executables: listed`: what exists inside, and each known way round, as root and as an ordinary user.

Every way is tried twice under policies that differ in one word: with `executables: any` it must work (the
positive control), with `listed` it must not. Ways that any sandbox refuses have their control outside."""

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ring import *

MARKER = os.environ.get("RINGFENCE_MARKER", "")
UNLISTED = os.path.join(HERE, "..", "attacks", "unlisted.py")
WORD = "UNLISTED-CODE-RAN"
SAY = "echo UNLISTED-COD''E-RAN"
LOADER = os.path.realpath("/lib64/ld-linux-x86-64.so.2")

POLICY = """version: 1
name: {name}
sandbox:
  executables: {executables}
  workspace: {workspace}
rules:
  - name: tools
    why: a test
    owner: tests
    allow: exec
    program: [{programs}]
"""

# Programs that start others: (what is listed, the command). The shell, or the program of the workspace, is not.
STARTERS = [
    ("find", ["find", "/etc/passwd", "-exec", "/bin/sh", "-c", SAY, ";"]),
    ("find", ["find", "/etc/passwd", "-execdir", "/usr/bin/env", "sh", "-c", SAY, ";"]),
    ("find", ["find", "/etc/passwd", "-exec", "/workspace/marker", ";"]),
    ("find", ["find", "/etc/passwd", "-exec", "/lib64/ld-linux-x86-64.so.2", "/workspace/marker", ";"]),
    ("tar", ["tar", "cf", "/tmp/x.tar", "--checkpoint=1", f"--checkpoint-action=exec={SAY}", "/etc/passwd"]),
    ("tar", ["tar", "cf", "/tmp/x.tar", "-I", f"sh -c \"{SAY} >&2; cat\"", "/etc/passwd"]),
    ("tar", ["tar", "xf", "/workspace/some.tar", f"--to-command={SAY}"]),
    ("git", ["git", "-c", f"alias.x=!{SAY}", "x"]),
    ("git", ["git", "-C", "repo", "-c", "diff.external=/workspace/marker", "diff", "--ext-diff", "HEAD~1"]),
    ("git", ["git", "-C", "repo", "-c", f"core.fsmonitor={SAY} >&2;false", "status"]),
    ("git", ["git", "-C", "repo", "-c", f"core.sshCommand={SAY} >&2;false", "ls-remote", "ssh://h/x"]),
    ("git", ["git", "-C", "repo", "-c", f"core.editor={SAY} >&2;false", "commit", "--allow-empty"]),
    ("git", ["git", "-C", "repo", "-c", "core.hooksPath=/workspace/hooks", "commit", "--allow-empty", "-m", "x"]),
    ("awk", ["awk", f"BEGIN {{ system(\"{SAY}\") }}"]),
    ("awk", ["awk", f"BEGIN {{ \"{SAY}\" | getline x; print x }}"]),
    ("awk", ["awk", f"BEGIN {{ print \"{SAY}\" | \"/bin/sh\" }}"]),
    ("sed", ["sed", "-n", f"1e {SAY}", "/etc/passwd"]),
    ("env", ["env", "sh", "-c", SAY]),
    ("env", ["env", "/workspace/marker"]),
    ("xargs", ["xargs", "-a", "/etc/hostname", "sh", "-c", SAY]),
    ("timeout", ["timeout", "10", "/workspace/marker"]),
    ("nice", ["nice", "/workspace/marker-static"]),
    ("perl", ["perl", "-e", f"exec '/bin/sh', '-c', \"{SAY}\""]),
    ("perl", ["perl", "-e", "exec '/workspace/marker'"]),
    ("vim", ["vim", "-u", "NONE", "-es", "-c", f":!{SAY}", "-c", ":qa!"]),
]
STARTERS = [row for row in STARTERS if shutil.which(row[0])]

# In unlisted.py. Those that any sandbox refuses have their control outside, in namespaces.
NOT_INSIDE = ["writable_place_mounted_anew", "writable_place_bound_with_execution", "program_bound_over_a_listed_one",
              "root_of_our_own"]
NOT_WAYS = ["programs_that_exist", "code_in_anonymous_memory"]
NAMESPACES = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork"]


def ways():
    names = subprocess.run(["/usr/bin/python3", "-c", f"import sys; sys.argv = ['x']; exec(open({UNLISTED!r}).read()"
                            ".split('if __name__')[0]); print(' '.join(WAYS))"], capture_output=True, check=True)
    return [n for n in names.stdout.decode().split() if n not in NOT_WAYS]


def crafted():
    """A program for the dynamic loader that needs no page of its file to be executable: it has an empty segment,
    which the loader maps from no file, and relocations that write the code into it, eight bytes each."""
    base, at = 0x10000000, 0x10002000
    word = WORD.encode() + b"\n"
    code = (b"\xb8\1\0\0\0\xbf\1\0\0\0\x48\x8d\x35\x10\0\0\0\xba" + struct.pack("<I", len(word)) +
            b"\x0f\x05\xb8\xe7\0\0\0\x31\xff\x0f\x05")  # write(1, rip + 16, …); exit_group(0)
    code = code.replace(b"\x10\0\0\0", struct.pack("<i", len(code) - 17)) + word
    code += b"\0" * (-len(code) % 8)
    relocations = b"".join(struct.pack("<QQq", at + i, 8, struct.unpack_from("<q", code, i)[0])
                           for i in range(0, len(code), 8))
    dynamic_at = 64 + 4 * 56
    relocations_at = dynamic_at + 9 * 16
    strings_at = relocations_at + len(relocations)
    dynamic = [(5, base + strings_at), (10, 2), (6, base + strings_at + 8), (11, 24), (7, base + relocations_at),
               (8, len(relocations)), (9, 24), (24, 0), (0, 0)]
    size = strings_at + 32
    segments = [(3, 4, strings_at, base + strings_at, 1, 1), (1, 6, 0, base, size, size), (1, 7, 0x2000, at, 0, 4096),
                (2, 6, dynamic_at, base + dynamic_at, 144, 144)]
    header = b"\x7fELF\2\1\1" + b"\0" * 9 + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, at, 64, 0, 0, 64, 56, 4, 64, 0, 0)
    body = (header + b"".join(struct.pack("<IIQQQQQQ", t, f, o, v, v, n, m, 4096) for t, f, o, v, n, m in segments) +
            b"".join(struct.pack("<QQ", *d) for d in dynamic) + relocations)
    return body.ljust(0x2000, b"\0")


def make_workspace(path):
    """What the agent brings: programs, a library, a repository, an archive."""
    for name in ("marker", "marker-static", "marker.so"):
        shutil.copy(os.path.join(MARKER, name), path)
    with open(os.path.join(path, "crafted"), "wb") as f:
        f.write(crafted())
    hooks = os.path.join(path, "hooks")
    os.mkdir(hooks)
    with open(os.path.join(hooks, "pre-commit"), "w") as f:
        f.write(f"#!/bin/sh\n{SAY} >&2\n")
    os.chmod(os.path.join(hooks, "pre-commit"), 0o755)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", os.path.join(path, "repo")]
    subprocess.run(["git", "init", "-q", os.path.join(path, "repo")], check=True, capture_output=True)
    for text in ("one", "two"):
        with open(os.path.join(path, "repo", "file"), "w") as f:
            f.write(text)
        subprocess.run([*git, "add", "file"], check=True, capture_output=True)
        subprocess.run([*git, "commit", "-q", "-m", text], check=True, capture_output=True)
    for setting in ("user.name=a", "user.email=a@b"):
        subprocess.run([*git, "config", *setting.split("=")], check=True, capture_output=True)
    subprocess.run(["tar", "-C", path, "-cf", os.path.join(path, "some.tar"), "marker"], check=True)


class Inside:
    """What both modes must hold; the classes at the end say which."""

    @classmethod
    def setUpClass(cls):
        cls.ring = Ringfence(cls.mode)
        cls.workspace = cls.ring.make_directory("work")
        make_workspace(cls.workspace)
        for base, names, files in os.walk(cls.workspace):
            for name in names + files:
                os.chown(os.path.join(base, name), cls.ring.uid, cls.ring.uid)
        cls.outcomes = {}

    @classmethod
    def tearDownClass(cls):
        cls.ring.destroy()

    def policy(self, executables, *programs, workspace="staged"):
        name = "-".join([executables, workspace, *(os.path.basename(p) for p in programs)])
        paths = [p if p.startswith("/") else "/usr/bin/" + p for p in programs]
        return self.ring.write(name + ".yaml", POLICY.format(name=name, executables=executables, workspace=workspace,
                                                             programs=", ".join(paths)))

    def start(self, executables, programs, command, workspace="staged", **options):
        programs = [programs] if isinstance(programs, str) else programs
        return self.ring.run("--policy", self.policy(executables, *programs, workspace=workspace), "--workspace",
                             f"{self.workspace}:{workspace}", "--", *command, **options)

    def said(self, executables, programs, command, **options):
        r = self.start(executables, programs, command, **options)
        return (r.stdout + r.stderr).decode(errors="replace")

    def unlisted(self, executables, *names, programs=("python3",), **options):
        with open(UNLISTED) as source:
            r = self.start(executables, list(programs), ["python3", "-", *names], stdin=source, **options)
        self.assertEqual(r.returncode, 0, r.stderr.decode(errors="replace"))
        return json.loads(r.stdout)

    # ---- ways round ----

    def test_programs_that_start_others_find_none(self):
        for program, command in STARTERS:
            with self.subTest(" ".join(command)):
                self.assertIn(WORD, self.said("any", program, command), "the control did not work")
                said = self.said("listed", program, command)
                self.assertNotIn(WORD, said)
                self.assertNotIn("denied: no rule", said)  # the command itself was started

    def test_an_interpreter_that_is_listed_cannot_start_what_is_not(self):
        names = [n for n in ways() if n not in NOT_INSIDE]
        free, listed = self.unlisted("any", *names), self.unlisted("listed", *names)
        for name in names:
            with self.subTest(name):
                self.assertTrue(free[name]["ran"], ("the control did not work", free[name]["said"][-300:]))
                self.assertFalse(listed[name]["ran"], listed[name]["said"][-300:])

    def test_a_workspace_that_is_written_through_is_not_executable_either(self):
        names = ["program_of_the_workspace", "loader_with_a_program_of_the_workspace", "opened_library", "mapped_file",
                 "mapped_file_made_code_later", "preloaded_library"]
        free, listed = (self.unlisted(e, *names, workspace="direct") for e in ("any", "listed"))
        for name in names:
            with self.subTest(name):
                self.assertTrue(free[name]["ran"], ("the control did not work", free[name]["said"][-300:]))
                self.assertFalse(listed[name]["ran"], listed[name]["said"][-300:])

    def test_a_sandbox_that_stays_is_no_weaker_after_a_checkpoint_and_the_way_back(self):
        names = ["program_of_the_workspace", "loader_with_a_program_of_the_workspace", "opened_library", "memory_file",
                 "shell_by_path"]

        def steps(executables):
            def cli(*args, **options):
                r = self.ring.cli("sandbox", *args, **options)
                self.assertEqual(r.returncode, 0, r.stderr.decode(errors="replace"))
                return r.stdout
            made = cli("create", "--policy", self.policy(executables, "python3"), "--workspace", self.workspace)
            box = made.decode().strip()
            for step in (None, ("checkpoint", box, "make", "one"), ("rollback", box, "one")):
                if step is not None:
                    cli(*step)
                with open(UNLISTED) as source:
                    yield step, json.loads(cli("exec", box, "--", "python3", "-", *names, stdin=source))
            cli("kill", box)

        for (step, free), (_, listed) in zip(steps("any"), steps("listed")):
            for name in names:
                with self.subTest(f"{name} after {step}"):
                    self.assertTrue(free[name]["ran"], ("the control did not work", free[name]["said"][-300:]))
                    self.assertFalse(listed[name]["ran"], listed[name]["said"][-300:])

    def test_no_place_can_be_made_executable(self):
        with open(UNLISTED) as source:
            outside = subprocess.run([*as_user(NAMESPACES), "/usr/bin/python3", "-", *NOT_INSIDE], stdin=source,
                                     cwd=self.workspace, capture_output=True, timeout=TIMEOUT)
        outside = json.loads(outside.stdout)
        for name, outcome in self.unlisted("listed", *NOT_INSIDE).items():
            with self.subTest(name):
                self.assertTrue(outside[name]["ran"], ("the control did not work", outside[name]["said"][-300:]))
                self.assertFalse(outcome["ran"], outcome["said"][-300:])

    def test_the_pager_of_git_is_not_started(self):
        """git starts one only on a terminal."""
        script = ("import pty, sys, os\n"
                  "os.chdir('repo')\n"
                  f"pty.spawn(['git', '-c', \"core.pager={SAY}; cat\", '-p', 'log'])\n")
        programs = ["python3", "git"]
        self.assertIn(WORD, self.said("any", programs, ["python3", "-c", script]))
        self.assertNotIn(WORD, self.said("listed", programs, ["python3", "-c", script]))

    def test_a_virtual_environment_s_programs_are_not_started(self):
        """Its python is a link to the listed one, which is the listed one; its scripts are scripts."""
        script = ("import os, subprocess\n"
                  "os.symlink('/usr/bin/python3', '/tmp/python')\n"
                  "open('/tmp/tool', 'w').write('#!/tmp/python\\nprint(\"UNLISTED-COD\" + \"E-RAN\")')\n"
                  "os.chmod('/tmp/tool', 0o755)\n"
                  "subprocess.run(['/tmp/python', '-c', 'print(\"the listed one\")'])\n"
                  "subprocess.run(['/tmp/tool'])\n")
        free = self.said("any", "python3", ["python3", "-c", script])
        self.assertIn(WORD, free)
        listed = self.said("listed", "python3", ["python3", "-c", script])
        self.assertNotIn(WORD, listed)
        self.assertIn("the listed one", listed)

    # ---- what stays possible, and is said to be ----

    def test_listing_limits_programs_and_not_computing(self):
        self.assertTrue(self.unlisted("listed", "code_in_anonymous_memory")["code_in_anonymous_memory"]["ran"])
        said = self.said("listed", "find", ["find", "/etc/passwd", "-exec", LOADER, "/workspace/crafted", ";"])
        self.assertIn(WORD, said)

    # ---- what exists ----

    def test_nothing_but_the_listed_programs_and_their_loader_may_be_executed(self):
        exists = self.unlisted("listed", "programs_that_exist", programs=["python3", "git", "awk"])
        found = [os.path.realpath(p) for p in exists["programs_that_exist"]["said"].split()]
        wanted = {os.path.realpath("/usr/bin/" + n) for n in ("python3", "git", "awk")} | {LOADER}
        # Data keeps its mode: a script's bits mean nothing without Landlock's right. None of it is a program.
        programs = {p for p in found if file_text(p)[:4] == "\x7fELF"}
        self.assertEqual(programs, wanted)
        free = self.unlisted("any", "programs_that_exist")["programs_that_exist"]["said"].split()
        self.assertGreater(len(free), len(wanted) + 50)

    def test_a_script_among_the_data_is_not_started(self):
        """Of /usr/lib/python3.11 all is readable, some of it has a mode that says it may be executed."""
        script = ("import glob, os, subprocess, sysconfig\n"
                  "d = sysconfig.get_path('stdlib')\n"
                  "p = [f for f in glob.glob(d + '/**/*.py', recursive=True) if os.access(f, os.X_OK)\n"
                  "     and open(f, 'rb').read(2) == b'#!']\n"
                  "print(len(p))\n"
                  "for f in p[:3]:\n"
                  "    try: subprocess.run([f, '--help'], capture_output=True); print('started')\n"
                  "    except OSError as e: print(e.strerror)\n")
        listed = self.said("listed", "python3", ["python3", "-c", script]).splitlines()
        if listed[0] == "0":
            self.skipTest("this host's Python has no such script")
        self.assertEqual(set(listed[1:4]), {"Permission denied"})
        self.assertIn("started", self.said("any", ["python3", "env"], ["python3", "-c", script]))

    def test_listed_programs_work(self):
        for programs, command, wanted in [
                ("git", ["git", "-C", "repo", "log", "--format=%s"], "two\none"),
                ("git", ["git", "-C", "repo", "gc", "-q"], ""),
                ("awk", ["awk", "BEGIN { print 6 * 7 }"], "42"),
                ("tar", ["tar", "tf", "some.tar"], "marker"),
                ("find", ["find", "/usr/bin", "-type", "f"], "/usr/bin/find"),
                ("python3", ["python3", "-c", "import ssl, sqlite3, ctypes, zlib, json, lzma, threading, encodings.idna;"
                             "t = threading.Thread(target=print, args=('in a thread',)); t.start(); t.join()"],
                 "in a thread"),
                ("perl", ["perl", "-MPOSIX", "-MEncode", "-MFile::Temp", "-e", "print floor(4.2)"], "4"),
                ("env", ["env", "env", "-u", "X", "true"], None)]:
            if not shutil.which(command[0]):
                continue
            with self.subTest(" ".join(command)[:60]):
                r = self.start("listed", programs, command)
                if wanted is None:
                    self.assertEqual(r.returncode, 127)  # env, of itself, finds env and then no true
                    continue
                self.assertEqual((r.returncode, r.stdout.decode().strip()), (0, wanted), r.stderr)

    # ---- what a policy may say ----

    def test_a_program_that_the_host_does_not_have_is_not_found(self):
        r = self.start("listed", ["cat", "/usr/bin/no-such-program"], ["cat", "/etc/hostname"])
        self.assertEqual((r.returncode, r.stdout), (0, b"sandbox\n"), r.stderr)
        r = self.start("listed", ["cat", "/usr/bin/no-such-program"], ["/usr/bin/no-such-program"])
        self.assertEqual(r.returncode, 127, r.stderr)

    def test_a_program_that_no_rule_names_is_denied(self):
        r = self.start("listed", "cat", ["ls"])
        self.assertEqual(r.returncode, 126, r.stderr)

    def test_a_script_needs_its_interpreter_listed(self):
        script = next((p for p in ("/usr/bin/perldoc", "/usr/bin/ldd", "/usr/bin/zcat", "/usr/bin/which")
                       if file_text(p).startswith("#!")), None)
        if script is None:
            self.skipTest("this host has no such script")
        r = self.start("listed", script, [script])
        self.assertEqual(r.returncode, 125, r.stderr)
        said = r.stderr.decode()
        self.assertIn("is a script for /", said)
        self.assertIn("add a rule", said)

    def test_a_place_of_the_sandbox_s_own_cannot_be_listed(self):
        r = self.start("listed", "/tmp/tool", ["/tmp/tool"])
        self.assertEqual(r.returncode, 125, r.stderr)
        self.assertIn("where the sandbox has files of its own", r.stderr.decode())

    # ---- the receipt ----

    def test_the_filter_is_another_one_than_with_any(self):
        script = "import os\ntry: os.memfd_create('x'); print('made')\nexcept OSError as e: print(e.errno)\n"
        seccomp = {e: self.said(e, "python3", ["python3", "-c", script]).split()[0] for e in ("any", "listed")}
        self.assertEqual(seccomp, {"any": "made", "listed": "1"})


    # ---- what root installs on the host, below /usr/local ----

    def installed(self):
        """An interpreter's directory with a library, and programs in it that no rule names."""
        if not AS_ROOT:
            self.skipTest("needs root, to install something")
        place = tempfile.mkdtemp(prefix="rf-listed-", dir="/usr/local")
        self.addCleanup(shutil.rmtree, place)
        os.chmod(place, 0o755)
        modules = os.path.join(place, "lib", "python3.77")
        os.makedirs(os.path.join(place, "bin"))
        os.makedirs(modules)
        shutil.copy("/usr/bin/env", os.path.join(place, "bin", "python3.77"))
        for name in ("marker", "marker-static", "marker.so"):
            shutil.copy(os.path.join(MARKER, name), modules)
        shutil.copy(os.path.join(MARKER, "marker"), os.path.join(modules, "data.py"))
        with open(os.path.join(place, "bin", "tool"), "w") as f:
            f.write("#!/usr/bin/env python3\nprint('a script')\n")
        os.chmod(os.path.join(place, "bin", "tool"), 0o755)
        return place

    def test_programs_among_an_interpreter_s_libraries_are_not_started(self):
        place = self.installed()
        modules = os.path.join(place, "lib", "python3.77")
        programs = ["python3", os.path.join(place, "bin", "python3.77")]
        script = (f"import os, subprocess, ctypes; d = {modules!r}\n"
                  "def attempt(name, *argv):\n"
                  "    try: print(name, subprocess.run(argv, capture_output=True).stdout, flush=True)\n"
                  "    except OSError as e: print(name, e, flush=True)\n"
                  f"for f in ('marker', 'data.py'): attempt('loader', {LOADER!r}, d + '/' + f)\n"
                  "for f in ('marker', 'marker-static'): attempt('direct', d + '/' + f)\n"
                  "os.symlink(d + '/marker', '/tmp/link'); attempt('link', '/tmp/link')\n"
                  "print('the library:', flush=True); ctypes.CDLL(d + '/marker.so')\n")
        free = self.said("any", programs, ["python3", "-c", script])
        self.assertEqual(free.count(WORD), 6, free)
        listed = self.said("listed", programs, ["python3", "-c", script])
        # The library is a library, of a listed program: it is what remains.
        self.assertEqual(listed.count(WORD), 1, listed)
        self.assertIn("the library:\n" + WORD, listed)

    def test_a_listed_script_runs_with_its_listed_interpreters(self):
        tool = os.path.join(self.installed(), "bin", "tool")
        r = self.start("listed", [tool, "env", "python3"], [tool])
        self.assertEqual((r.returncode, r.stdout), (0, b"a script\n"), r.stderr)
        r = self.start("listed", [tool, "env"], [tool])
        self.assertEqual(r.returncode, 125)
        self.assertIn("is a script for /usr/bin/python3, which no rule names", r.stderr.decode())

    def test_a_program_in_a_place_of_its_own_is_shown_alone(self):
        place = self.installed()
        r = self.start("listed", ["ls", os.path.join(place, "bin", "python3.77")], ["ls", "-R", place])
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertIn("python3.77", r.stdout.decode())
        self.assertNotIn("tool", r.stdout.decode())


class TestRootless(Inside, unittest.TestCase):
    mode = "rootless"


@unittest.skipUnless(AS_ROOT, "needs root")
class TestAsRoot(Inside, unittest.TestCase):
    mode = "root"


if __name__ == "__main__":
    unittest.main()
