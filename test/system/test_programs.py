#!/usr/bin/python3
"""The locks of each program, read back from /proc while a sandbox runs, as root and as an ordinary user."""

import os
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ring import *

EVERY_SIGNAL = 0xFFFFFFFFFFFFFFFF
UNBLOCKABLE = 1 << (9 - 1) | 1 << (19 - 1)
LIBC_OWN = 1 << (32 - 1) | 1 << (33 - 1) | 1 << (34 - 1)  # musl keeps these for itself
CAP_KILL = 1 << 5
POLICY = """version: 1
name: net
rules:
  - {name: everything, why: a test, allow: exec, program: any}
  - {name: site, why: a test, allow: http, hosts: [example.com], methods: [GET]}
"""
NAMESPACES = ("user", "pid", "mnt", "net", "ipc", "uts", "cgroup")


def caps(pid):
    status = status_of(pid)
    return {name: int(status["Cap" + name], 16) for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")}


def ids(pid, which="Uid"):
    return [int(n) for n in status_of(pid)[which].split()]


def namespaces(pid):
    return {name: os.readlink(f"/proc/{pid}/ns/{name}") for name in NAMESPACES}


def descriptors(pid):
    return {int(fd): os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}


class Programs:
    """The tests of one mode; the classes below say which. /proc of another uid's undumpable process is
    root's to read: as an ordinary user, what cannot be read back is skipped."""

    @classmethod
    def setUpClass(cls):
        cls.ring = Ringfence(cls.mode)
        # With a network, so that every program runs.
        cls.policy = cls.ring.write("policy.yaml", POLICY)
        cls.cat = cls.ring.start("run", "--policy", cls.policy, "--", "/usr/bin/cat", stdin=subprocess.PIPE)
        cls.cat.stdin.write(b"started\n")
        cls.cat.stdin.flush()
        line = cls.cat.stdout.readline()
        if line != b"started\n":
            text = cls.cat.stderr.read().decode(errors="replace")
            cls.tearDownClass()
            raise AssertionError("no sandbox: " + text)
        cls.pid = cls.ring.programs()
        # Of the sandboxes of this supervisor the one that has a command; another may be kept ready.
        cls.init, cls.command = next((i, c) for i in cls.ring.sandboxes() for c in children_of(i))

    @classmethod
    def tearDownClass(cls):
        cls.cat.stdin.close()
        cls.cat.wait(TIMEOUT)
        cls.cat.stdout.close()
        cls.cat.stderr.close()
        cls.ring.destroy()

    def need_root(self):
        if not AS_ROOT:
            self.skipTest("only root can read this back")

    def deciders(self):
        return [(name, self.pid[name]) for name in PROGRAMS]

    def test_each_program_is_an_executable_of_its_own(self):
        self.need_root()
        names = {name: os.readlink(f"/proc/{pid}/exe") for name, pid in
                 [*self.pid.items(), ("rf-init", self.init), ("ringfence", self.cat.pid)]}
        for name, path in names.items():
            self.assertEqual(path, os.path.join(BIN, name))
        self.assertEqual(len(set(names.values())), 8)

    def test_every_program_is_static(self):
        for name in ("ringfence", "rf-supervisor", "rf-init", *PROGRAMS):
            r = subprocess.run(["readelf", "-ld", os.path.join(BIN, name)], capture_output=True, text=True)
            if "Shared library: [libasan" in r.stdout or "libclang_rt" in r.stdout:
                self.skipTest("a sanitizer's build is not static")
            self.assertNotIn("NEEDED", r.stdout, name)
            self.assertNotIn("INTERP", r.stdout, name)

    def test_no_program_maps_a_library(self):
        self.need_root()
        for name, pid in [*self.pid.items(), ("rf-init", self.init)]:
            mapped = set(re.findall(r"/\S+\.so\S*", file_text(f"/proc/{pid}/maps")))
            self.assertEqual({m for m in mapped if "asan" not in m}, set(), name)

    def test_every_program_has_no_new_privs_and_a_filter(self):
        for name, pid in [*self.pid.items(), ("rf-init", self.init), ("command", self.command)]:
            status = status_of(pid)
            self.assertEqual(status["NoNewPrivs"].strip(), "1", name)
            self.assertEqual(status["Seccomp"].strip(), "2", name)

    def test_the_command_runs_below_the_supervisors_and_its_own_filter(self):
        filters = {name: int(status_of(pid).get("Seccomp_filters", "0")) for name, pid in
                   [("supervisor", self.pid["rf-supervisor"]), ("init", self.init), ("command", self.command)]}
        self.assertEqual(filters["command"], filters["supervisor"] + 1)
        self.assertEqual(filters["init"], filters["supervisor"] + 1)

    def test_none_but_the_supervisor_has_capabilities(self):
        for name, pid in self.deciders():
            have = caps(pid)
            for which in ("Inh", "Prm", "Eff", "Amb"):
                self.assertEqual(have[which], 0, f"{name} {which}")
            if self.mode == "root":
                self.assertEqual(have["Bnd"], 0, name)

    def test_each_has_a_uid_of_its_own(self):
        if self.mode != "root":
            for name, pid in self.deciders():
                self.assertEqual(set(ids(pid)), {self.ring.uid}, name)
            return
        seen = set()
        for name, pid in self.deciders():
            uids, gids = set(ids(pid)), set(ids(pid, "Gid"))
            self.assertEqual(len(uids), 1, name)
            self.assertEqual(uids, gids, name)
            self.assertGreaterEqual(min(uids), 0x70000000, name)
            self.assertEqual(status_of(pid)["Groups"].strip(), "", name)
            seen |= uids
        self.assertEqual(len(seen), len(PROGRAMS))

    def test_none_is_dumpable(self):
        for name, pid in [*self.deciders(), ("rf-init", self.init)]:
            owner = os.stat(f"/proc/{pid}/mem").st_uid
            # A process that is not dumpable belongs, in /proc, to the root of its memory's user namespace;
            # where that id is not mapped, to the host's root.
            self.assertNotEqual(owner, ids(pid)[0], name)
        # The control: the command is an ordinary process.
        self.assertEqual(os.stat(f"/proc/{self.command}/mem").st_uid, ids(self.command)[0])

    def test_each_sees_its_own_directory_only(self):
        self.need_root()
        for name, pid in self.deciders():
            place = os.path.join(os.path.realpath(self.ring.state), name.removeprefix("rf-"))
            self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), place)
            root = os.readlink(f"/proc/{pid}/root")
            self.assertEqual(root, place if self.mode == "root" else "/", name)

    def test_none_holds_a_descriptor_outside_its_directory(self):
        self.need_root()
        for name, pid in self.deciders():
            place = os.path.join(os.path.realpath(self.ring.state), name.removeprefix("rf-"))
            config = {self.ring.env["RINGFENCE_CONFIG"], "/etc/passwd", "/etc/group", "/dev/null"}
            for fd, target in descriptors(pid).items():
                if fd == 2:  # the log
                    continue
                fine = target.startswith(("socket:", "anon_inode:", place)) or target in config
                self.assertTrue(fine, f"{name} holds {fd} → {target}")

    def test_the_supervisor_holds_no_descriptor_that_nobody_gave_it(self):
        self.need_root()
        state = os.path.realpath(self.ring.state)
        pid = self.pid["rf-supervisor"]
        for fd, target in descriptors(pid).items():
            fine = target.startswith(("socket:", "anon_inode:", "pipe:", "/sys/fs/cgroup", state, "/memfd:filter",
                                      "/proc")) or target in ("/dev/null", self.policy, os.path.join(BIN, "rf-init"))
            if target == "/":  # a sandbox's /proc or scratch; the host's own root would be another file system
                fine = os.stat(f"/proc/{pid}/fd/{fd}").st_dev != os.stat("/").st_dev
            self.assertTrue(fine, f"rf-supervisor holds {fd} → {target}")

    def test_init_is_pid_1_of_its_own_namespace_and_deaf(self):
        status = status_of(self.init)
        self.assertEqual(status["NSpid"].split()[-1], "1")
        blocked = int(status["SigBlk"], 16)
        self.assertEqual(EVERY_SIGNAL & ~(blocked | UNBLOCKABLE | LIBC_OWN), 0, status["SigBlk"])
        self.assertEqual(int(status["SigCgt"], 16), 0)

    def test_init_keeps_nothing_but_the_right_to_signal_its_own(self):
        have = caps(self.init)
        self.assertEqual(have, {"Inh": 0, "Prm": CAP_KILL, "Eff": CAP_KILL, "Bnd": 0, "Amb": 0})
        self.assertNotEqual(namespaces(self.command)["user"], os.readlink("/proc/self/ns/user"))

    def test_init_has_another_uid_than_the_command_where_two_can_be_mapped(self):
        if self.mode == "root":
            self.assertNotEqual(ids(self.init)[0], ids(self.command)[0])
            self.assertGreaterEqual(min(ids(self.init) + ids(self.command)), 0x70000000)
        else:
            self.assertEqual(ids(self.init)[0], ids(self.command)[0])

    def test_init_holds_its_socket_and_its_signals_only(self):
        self.need_root()
        kinds = sorted(re.sub(r":.*", "", t) for t in descriptors(self.init).values())
        self.assertEqual([k for k in kinds if k not in ("/dev/null", "/null", "socket", "anon_inode")], [])
        self.assertEqual(kinds.count("socket"), 1)

    def test_host_root_is_never_mapped(self):
        for name in ("uid_map", "gid_map"):
            for line in file_text(f"/proc/{self.command}/{name}").splitlines():
                inside, outside, count = (int(n) for n in line.split())
                self.assertGreater(outside, 0)
                self.assertGreater(inside, 0)
                self.assertEqual(count, 2 if self.mode == "root" else 1)

    def test_the_command_has_no_capabilities(self):
        self.assertEqual(set(caps(self.command).values()), {0})

    def test_the_command_has_no_namespace_of_the_host(self):
        ours, theirs = namespaces(os.getpid()), namespaces(self.command)
        for name in NAMESPACES:
            self.assertNotEqual(ours[name], theirs[name], name)

    def test_the_command_holds_its_three_streams_only(self):
        found = descriptors(self.command)
        self.assertEqual(sorted(found), [0, 1, 2])
        for target in found.values():
            self.assertTrue(target.startswith("pipe:"), target)

    def test_the_command_blocks_and_ignores_no_signal(self):
        status = status_of(self.command)
        self.assertEqual(int(status["SigBlk"], 16), 0)
        self.assertEqual(int(status["SigIgn"], 16), 0)

    def test_the_command_is_in_a_session_of_its_own(self):
        self.assertEqual(status_of(self.command)["NSsid"].split()[-1], status_of(self.command)["NSpid"].split()[-1])

    def test_the_command_is_in_the_control_groups_that_the_receipt_names(self):
        listing = file_text(f"/proc/{self.command}/cgroup")
        if self.mode == "root" and os.path.isdir("/sys/fs/cgroup"):
            self.assertIn(f"ringfence-{self.pid['rf-supervisor']}-", listing)
        for line in file_text(f"/proc/{self.init}/cgroup").splitlines():
            self.assertIn(line, listing)  # rf-init shares them: it cannot escape its own limits


class TestProgramsRootless(Programs, unittest.TestCase):
    mode = "rootless"


@unittest.skipUnless(AS_ROOT, "needs root")
class TestProgramsAsRoot(Programs, unittest.TestCase):
    mode = "root"


if __name__ == "__main__":
    unittest.main()
