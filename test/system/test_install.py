"""What `make install` lays down works from there: the programs find each other, a run and the doctor succeed
as root and as an ordinary user, the units are units, and the rights that the system unit keeps are enough.

Installs into a directory of its own (DESTDIR); nothing of the host changes."""

import glob
import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import ring  # noqa: E402
from lib.ring import AS_ROOT, BIN, TIMEOUT, Ringfence, file_text, modes  # noqa: E402

BUILD = os.path.dirname(BIN)
MESON = shutil.which("meson", path="/usr/bin:/usr/local/bin") or "meson"


LISTED = """version: 1
name: listed
sandbox: {executables: listed}
rules:
  - {name: echo, allow: exec, program: /usr/bin/echo}
"""


def setUpModule():
    global DEST, PREFIX
    DEST = tempfile.mkdtemp(prefix="rf-install-")
    os.chmod(DEST, 0o755)
    options = json.loads(subprocess.check_output([MESON, "introspect", "--buildoptions", BUILD]))
    PREFIX = {o["name"]: o["value"] for o in options}["prefix"]
    subprocess.run([MESON, "install", "-C", BUILD, "--destdir", DEST, "--no-rebuild", "--quiet"], check=True,
                   stdout=subprocess.DEVNULL, timeout=TIMEOUT)
    ring.BIN = os.path.join(DEST + PREFIX, "bin")


def tearDownModule():
    ring.BIN = BIN
    shutil.rmtree(DEST, ignore_errors=True)


def installed(*parts):
    return os.path.join(DEST + PREFIX, *parts)


def read(path):
    with open(path) as f:
        return f.read()


def braces(path):
    """The paths that an AppArmor path with {a,b} stands for."""
    parts = [p.split(",") for p in re.split(r"\{([^}]*)\}", path)[1::2]]
    pattern = re.sub(r"\{[^}]*\}", "{}", path)
    return [pattern.format(*choice) for choice in itertools.product(*parts)]


class TestFiles(unittest.TestCase):
    def test_every_program_is_installed_and_only_the_command_line_is_in_bin(self):
        self.assertEqual(os.listdir(installed("bin")), ["ringfence"])
        programs = set(os.listdir(installed("libexec", "ringfence"))) | {"ringfence"}
        built = {n for n in os.listdir(BIN) if os.access(os.path.join(BIN, n), os.X_OK) and not n.startswith(".")
                 and os.path.isfile(os.path.join(BIN, n))}
        self.assertEqual(programs, built)

    def test_documentation_and_policies_are_there(self):
        for path in ("share/doc/ringfence/sandbox.md", "share/ringfence/policies/coding-agent.yaml",
                     "share/ringfence/systemd/user@.service.d-ringfence.conf"):
            self.assertTrue(os.path.isfile(installed(path)), path)

    def test_no_placeholder_is_left(self):
        for path in glob.glob(installed("**", "*"), recursive=True):
            if os.path.isfile(path) and "libexec" not in path and "/bin/" not in path:
                self.assertNotRegex(read(path), r"@[A-Z]+DIR@", path)


class TestUnits(unittest.TestCase):
    UNITS = {"system": "lib/systemd/system/ringfence.service", "user": "lib/systemd/user/ringfence.service"}

    def test_they_execute_what_is_installed(self):
        for path in self.UNITS.values():
            program = re.search(r"^ExecStart=(\S+) serve$", read(installed(path)), re.M).group(1)
            self.assertTrue(os.access(DEST + program, os.X_OK), program)

    def test_they_delegate_control_groups(self):
        for path in self.UNITS.values():
            self.assertRegex(read(installed(path)), r"(?m)^Delegate=(yes|cpu memory pids)$")

    def test_nothing_in_them_makes_a_mount_namespace_or_a_filter(self):
        """The reasons stand in the unit; here, that nobody adds one and breaks workspaces."""
        never = ("PrivateTmp", "PrivateDevices", "PrivateMounts", "PrivateNetwork", "PrivateUsers", "ProtectSystem",
                 "ProtectHome", "ProtectHostname", "ProtectControlGroups", "ProtectKernelTunables",
                 "ProtectKernelModules", "ProtectKernelLogs", "ProtectProc", "ProcSubset", "RootDirectory",
                 "RestrictNamespaces", "SystemCallFilter", "MemoryDenyWriteExecute", "RestrictAddressFamilies",
                 "RestrictSUIDSGID", "RestrictRealtime", "LockPersonality", "ProtectClock", "DynamicUser", "User")
        for path in self.UNITS.values():
            set_ = set(re.findall(r"^([A-Z]\w*)=", read(installed(path)), re.M))
            self.assertEqual(set_ & set(never), set())

    @unittest.skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not installed")
    def test_systemd_understands_them(self):
        work = tempfile.mkdtemp(dir=DEST)
        for kind, path in self.UNITS.items():
            with self.subTest(kind=kind):
                # The path in the unit is the final one; the program lies below DESTDIR.
                unit = os.path.join(work, kind, "ringfence.service")
                os.mkdir(os.path.dirname(unit))
                with open(unit, "w") as f:
                    f.write(read(installed(path)).replace("=" + PREFIX, "=" + DEST + PREFIX))
                if kind == "system":
                    shutil.copy(installed("lib/systemd/system/ringfence.slice"), os.path.dirname(unit))
                r = subprocess.run(["systemd-analyze", "verify", "--man=no", *(["--user"] if kind == "user" else []),
                                    unit], capture_output=True, text=True, timeout=TIMEOUT,
                                   env=dict(os.environ, XDG_RUNTIME_DIR=work))
                said = [line for line in r.stderr.splitlines() if "ringfence" in line]
                self.assertEqual((r.returncode, said), (0, []), r.stderr)
                # The positive control: it would have said so.
                with open(unit, "a") as f:
                    f.write("\n[Service]\nExecStart=/nonexistent/program\n")
                r = subprocess.run(["systemd-analyze", "verify", "--man=no", *(["--user"] if kind == "user" else []),
                                    unit], capture_output=True, text=True, timeout=TIMEOUT,
                                   env=dict(os.environ, XDG_RUNTIME_DIR=work))
                self.assertIn("Refusing", r.stderr)


class TestAppArmorProfile(unittest.TestCase):
    PROFILE = "share/ringfence/apparmor/ringfence"

    def test_it_names_the_programs_that_make_user_namespaces_and_they_are_there(self):
        path = re.search(r"^profile ringfence (\S+) flags=\(unconfined\) \{$", read(installed(self.PROFILE)),
                         re.M).group(1)
        named = {os.path.basename(p) for p in braces(path)}
        self.assertLessEqual({"rf-supervisor", "rf-init", "rf-doctor"}, named)
        for program in braces(path):
            self.assertTrue(os.path.exists(DEST + program), program)

    @unittest.skipUnless(shutil.which("apparmor_parser") and os.path.exists("/etc/apparmor.d/abi/4.0"),
                         "no apparmor_parser that knows abi/4.0")
    def test_the_parser_understands_it(self):
        r = subprocess.run(["apparmor_parser", "-Q", "-K", "-S", installed(self.PROFILE)], capture_output=True,
                           timeout=TIMEOUT)
        self.assertEqual(r.returncode, 0, r.stderr)


class TestPrograms(unittest.TestCase):
    def setUp(self):
        self.rings = {mode: Ringfence(mode) for mode in modes()}
        for r in self.rings.values():
            self.addCleanup(r.destroy)

    def each(self):
        for mode, r in self.rings.items():
            with self.subTest(mode=mode):
                yield r

    def test_a_run_works_and_its_receipt_is_complete(self):
        for r in self.each():
            done = r.run("--receipt", os.path.join(r.dir, "receipt"), "--", "/bin/echo", "hello")
            self.assertEqual((done.returncode, done.stdout), (0, b"hello\n"), done.stderr)
            supervisor = r.programs()["rf-supervisor"]
            self.assertEqual(os.readlink(f"/proc/{supervisor}/exe"), installed("libexec/ringfence/rf-supervisor"))

    def test_the_doctor_agrees(self):
        for r in self.each():
            done = r.cli("doctor", "--json")
            report = json.loads(done.stdout)
            rows = {c["name"]: c for c in report["checks"]}
            self.assertTrue(report["isolated_runs"], rows["isolated runs"])
            self.assertEqual(rows["programs"]["state"], "ok", rows["programs"])

    def test_a_proof_finds_the_product_that_it_proves(self):
        for r in self.each():
            done = r.cli("prove", "--only", "read_file", "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertTrue(json.loads(done.stdout))

    def test_the_other_programs_are_found(self):
        for r in self.each():
            for command in ("policy", "audit", "workspace", "doctor", "image", "prove", "sandbox"):
                done = r.cli(command, "--help")
                self.assertEqual(done.returncode, 0, (command, done.stderr))


class TestService(unittest.TestCase):
    """`ringfence serve` as systemd starts it, Type=notify: the socket is ours."""

    def serve(self, r):
        address = os.path.join(r.dir, "notify")
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(manager.close)
        manager.bind(address)
        os.chmod(address, 0o777)
        manager.settimeout(TIMEOUT)
        service = r.start("serve", env=dict(r.env, NOTIFY_SOCKET=address), stdout=subprocess.DEVNULL)
        self.addCleanup(service.stderr.close)
        self.addCleanup(service.wait, TIMEOUT)
        self.addCleanup(service.terminate)
        return service, manager

    def test_it_says_when_it_is_ready_serves_and_leaves_when_told(self):
        for mode in modes():
            with self.subTest(mode=mode):
                r = Ringfence(mode)
                self.addCleanup(r.destroy)
                service, manager = self.serve(r)
                self.assertEqual(manager.recv(100), b"READY=1")
                # What the manager started is the supervisor itself: its limits and signals are for it.
                self.assertEqual(file_text(f"/proc/{service.pid}/comm").strip(), "rf-supervisor")
                done = r.run("--", "/bin/sh", "-c", "echo hello; env")
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertTrue(done.stdout.startswith(b"hello\n"))
                # Nobody else may speak for the service.
                self.assertNotIn(b"NOTIFY_SOCKET", done.stdout)
                for pid in r.programs().values():
                    if pid != service.pid:
                        self.assertNotIn("NOTIFY_SOCKET", file_text(f"/proc/{pid}/environ"))
                service.terminate()
                self.assertEqual(manager.recv(100), b"STOPPING=1")
                self.assertEqual(service.wait(timeout=TIMEOUT), 0)

    def test_a_second_one_is_refused_in_one_line(self):
        r = Ringfence(modes()[0])
        self.addCleanup(r.destroy)
        service, manager = self.serve(r)
        self.assertEqual(manager.recv(100), b"READY=1")
        again = r.cli("serve")
        self.assertNotEqual(again.returncode, 0)
        self.assertEqual(again.stderr.count(b"\n"), 1, again.stderr)
        self.assertIsNone(service.poll())


@unittest.skipUnless(AS_ROOT and shutil.which("setpriv"), "needs root and setpriv")
class TestRightsOfTheSystemUnit(unittest.TestCase):
    """The service with CapabilityBoundingSet= and NoNewPrivileges= of the unit, set by setpriv."""

    def setUp(self):
        lines = re.findall(r"^CapabilityBoundingSet=(.*)$", read(installed(TestUnits.UNITS["system"])), re.M)
        kept = [c.lower().replace("cap_", "+") for c in " ".join(lines).split()]
        self.assertGreater(len(kept), 5)
        self.ring = Ringfence("root", before=["setpriv", "--no-new-privs", "--bounding-set", ",".join(["-all", *kept])])
        self.addCleanup(self.ring.destroy)
        self.assertEqual(self.ring.cli("start").returncode, 0)

    def test_they_are_enough_for_a_run_with_every_lock_and_a_staged_workspace_of_somebody_else(self):
        work = self.ring.make_directory("work")
        self.ring.write("work/file", "before\n")
        for path in (work, os.path.join(work, "file")):
            os.chown(path, 4321, 4321)
        os.chmod(work, 0o700)
        receipt = os.path.join(self.ring.dir, "receipt")
        r = self.ring.run("--workspace", work, "--receipt", receipt, "--", "/bin/sh", "-c", "cat file; echo x >new")
        self.assertEqual((r.returncode, r.stdout), (0, b"before\n"), r.stderr)
        locks = {lock["name"] for lock in json.loads(read(receipt))["locks"]}
        self.assertLessEqual({"user-ns", "pid-ns", "net-ns", "seccomp", "landlock", "no-new-privs", "no-caps",
                              "memory-limit", "process-limit"}, locks)

    def test_they_are_enough_for_a_session_with_checkpoints(self):
        work = self.ring.make_directory("session")
        os.chown(work, 4321, 4321)
        created = self.ring.cli("sandbox", "create", "--workspace", work)
        self.assertEqual(created.returncode, 0, created.stderr)
        sandbox = created.stdout.decode().strip()
        steps = (("exec", sandbox, "--", "/bin/sh", "-c", "echo one >file"), ("checkpoint", sandbox, "make", "one"),
                 ("exec", sandbox, "--", "/bin/sh", "-c", "echo two >file"), ("rollback", sandbox, "one"),
                 ("exec", sandbox, "--", "/bin/sh", "-c", "grep one file"), ("commit", sandbox), ("kill", sandbox))
        for step in steps:
            r = self.ring.cli("sandbox", *step)
            self.assertEqual(r.returncode, 0, (step, r.stderr))
        self.assertEqual(read(os.path.join(work, "file")), "one\n")

    def test_they_are_enough_for_listed_executables(self):
        policy = self.ring.write("listed.yaml", LISTED)
        r = self.ring.run("--policy", policy, "--", "/usr/bin/echo", "listed")
        self.assertEqual((r.returncode, r.stdout), (0, b"listed\n"), r.stderr)

    def test_they_are_enough_to_end_what_runs(self):
        background = self.ring.start("run", "--", "/bin/sleep", "1000")
        self.addCleanup(background.wait)
        self.addCleanup(background.stdout.close)
        self.addCleanup(background.stderr.close)
        ring.wait_until(lambda: b"sleep" in self.ring.cli("status").stdout, "the command runs")
        self.assertEqual(self.ring.cli("kill", "all").returncode, 0)
        self.assertNotEqual(background.wait(timeout=TIMEOUT), 0)
        self.assertNotIn(b"sleep", self.ring.cli("status").stdout)

    def test_the_supervisor_really_runs_with_them_only(self):
        bounding = ring.status_of(self.ring.programs()["rf-supervisor"])["CapBnd"]
        self.assertEqual(int(bounding, 16) & (1 << 12 | 1 << 16 | 1 << 27), 0)  # net_admin, sys_module, mknod
        self.assertNotEqual(int(bounding, 16) & 1 << 21, 0)  # sys_admin


if __name__ == "__main__":
    unittest.main()
