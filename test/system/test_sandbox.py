#!/usr/bin/python3
"""What an attacker inside a sandbox tries, against the real kernel, as root and as an ordinary user.

Every attempt has a positive control: the same code, outside or behind everything but the lock in
question, works (or gets further), so that a refusal inside is the sandbox's doing."""

import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ring import *

# Where an attempt works. "user": an ordinary user outside. "namespaces": that user, root of namespaces of
# their own. "root": the host's root.
NAMESPACES = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--net", "--ipc", "--uts",
              "--mount-proc"]
WORKS = True
SIGSYS = 31

# (attempt, what the sandbox answers, where the control runs, what it answers)
ATTEMPTS = [
    # pid 1
    ("kill_init", "EPERM", "namespaces", WORKS),
    ("tgkill_init", "EPERM", "namespaces", WORKS),
    ("queue_to_init", "EPERM", "namespaces", WORKS),
    ("pidfd_of_init", "EPERM", "namespaces", WORKS),
    ("limit_init", "EPERM", "namespaces", WORKS),
    ("renice_init", "EPERM", "namespaces", WORKS),
    ("renice_group", "EPERM", "namespaces", (WORKS, "EACCES")),
    ("pin_init", "EPERM", "namespaces", WORKS),
    ("reschedule_init", "EPERM", "namespaces", WORKS),
    ("trace_init", "EPERM", "namespaces", WORKS),
    ("trace_child", "EPERM", "user", WORKS),
    ("read_memory_of_child", "EPERM", "user", WORKS),
    # namespaces and mounts
    ("unshare=user", "EPERM", "user", WORKS),
    ("unshare=mnt", "EPERM", "namespaces", WORKS),
    ("unshare=net", "EPERM", "namespaces", WORKS),
    ("unshare=pid", "EPERM", "namespaces", WORKS),
    ("unshare=cgroup", "EPERM", "namespaces", WORKS),
    ("unshare=time", "EPERM", "namespaces", WORKS),
    ("clone=user", "EPERM", "user", WORKS),
    ("clone=net", "EPERM", "namespaces", WORKS),
    ("clone3=user", "ENOSYS", "user", WORKS),
    ("clone3=mnt", "ENOSYS", "namespaces", WORKS),
    ("enter_own_namespace=net", "EPERM", "namespaces", WORKS),
    ("mount_tmpfs", "EPERM", "namespaces", WORKS),
    ("remount_root_writable", "EPERM", "namespaces", WORKS),
    ("unmount_proc", "EPERM", "namespaces", WORKS),
    ("open_file_system", "EPERM", "namespaces", WORKS),
    ("clone_mount", "EPERM", "namespaces", WORKS),
    ("change_mount", "EPERM", "namespaces", WORKS),
    ("change_root", "EPERM", "namespaces", WORKS),
    ("pivot_root", "EPERM", "namespaces", ("EBUSY", "EINVAL")),
    # parts of the kernel
    ("bpf_map", "EPERM", "root", WORKS),
    ("perf_event", "EPERM", "root", WORKS),
    ("userfaultfd", "EPERM", "root", WORKS),
    ("io_uring", ("ENOSYS", "EPERM"), "root", WORKS),
    ("keyring", "EPERM", "user", WORKS),
    ("add_key", "EPERM", "user", WORKS),
    ("kernel_log", "EPERM", "root", WORKS),
    ("swap_on", "EPERM", "root", "ENOENT"),
    ("load_module", "EPERM", "root", ("EBADF", "ENOEXEC", "ENOSYS")),
    ("set_host_name", "EPERM", "namespaces", WORKS),
    ("set_clock", "EPERM", "root", "EINVAL"),
    ("io_privilege", "EPERM", "root", (WORKS, "ENOSYS")),
    ("watch_files", "EPERM", "root", WORKS),
    ("open_by_handle", "EPERM", "root", WORKS),
    ("no_randomisation", "EPERM", "user", WORKS),
    ("core_limit", "EPERM", "user", WORKS),
    ("type_for_the_user", "EPERM", "root", WORKS),
    ("terminal_game=541c", "EPERM", "user", ("EINVAL", "ENOTTY", "EPERM")),
    ("other_architecture", SIGSYS, "user", (WORKS, "killed")),
    ("x32_call", SIGSYS, "user", (WORKS, "ENOSYS")),
    # sockets
    ("make_socket=2,3,1", "EPERM", "namespaces", WORKS),
    ("make_socket=10,3,58", "EPERM", "namespaces", (WORKS, "EAFNOSUPPORT")),
    ("make_socket=17,3,768", "EPERM", "namespaces", (WORKS, "EAFNOSUPPORT")),
    ("make_socket=16,3,15", "EPERM", "user", (WORKS, "EPROTONOSUPPORT")),
    ("make_socket=16,3,16", "EPERM", "user", (WORKS, "EPROTONOSUPPORT")),
    ("make_socket=16,3,6", "EPERM", "user", (WORKS, "EPROTONOSUPPORT")),
    ("make_socket=38,5,0", "EPERM", "user", (WORKS, "EAFNOSUPPORT")),
    ("make_socket=40,1,0", "EPERM", "user", (WORKS, "EAFNOSUPPORT", "ENODEV")),
    ("make_socket=2,1,132", "EPERM", "user", (WORKS, "EPROTONOSUPPORT")),
    ("make_socket=2,1,262", "EPERM", "user", (WORKS, "EPROTONOSUPPORT", "ENOPROTOOPT")),
    ("make_socket=2,2,136", "EPERM", "user", (WORKS, "EPROTONOSUPPORT")),
    # other ids
    ("become=0", ("EPERM", "EINVAL"), "root", WORKS),
    ("become=1001", ("EPERM", "EINVAL"), "root", WORKS),
    ("set_groups", "EPERM", "root", WORKS),
]

# Tried in a directory of the attacker's own; the control in one outside.
IN_DIRECTORY = [
    ("setid_chmod", "EPERM", "user", WORKS),
    ("setid_fchmod", "EPERM", "user", WORKS),
    ("setid_fchmodat", "EPERM", "user", WORKS),
    ("setid_fchmodat2", "EPERM", "user", (WORKS, "ENOSYS")),
    ("setid_open", "EPERM", "user", WORKS),
    ("setid_openat", "EPERM", "user", WORKS),
    ("setid_openat2", "ENOSYS", "user", WORKS),
    ("setid_tmpfile", "EPERM", "user", WORKS),
    ("setid_creat", "EPERM", "user", WORKS),
    ("setid_mknod", "EPERM", "user", WORKS),
    ("setid_mknodat", "EPERM", "user", WORKS),
    ("setid_directory", "EPERM", "user", WORKS),
    ("file_capability", "EPERM", "root", WORKS),
    ("make_device", "EPERM", "root", WORKS),
    ("make_disk", "EPERM", "root", WORKS),
]

# Host places that a write must not reach; the control only opens them.
WRITES = [
    "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/vm/drop_caches",
    "/proc/sysrq-trigger", "/proc/sys/fs/binfmt_misc/register",
]
OWN_WRITES = ["/proc/self/oom_score_adj", "/proc/self/coredump_filter", "/proc/sys/kernel/hostname"]


ONELOCK = os.environ.get("RINGFENCE_ONELOCK", "")


def landlock_abi():
    return max(ctypes.CDLL(None).syscall(444, None, 0, 1), 0)


def describe(outcome):
    if outcome["ok"]:
        return WORKS
    return outcome.get("errno") or outcome.get("signal") or outcome.get("error")


class Inside:
    """What both modes must hold; the classes at the end say which."""

    @classmethod
    def setUpClass(cls):
        cls.ring = Ringfence(cls.mode)

    @classmethod
    def tearDownClass(cls):
        cls.ring.destroy()

    def control(self, where, attempts):
        """Outcomes where the sandbox's locks are not, or None if this test cannot be there."""
        if not attempts:
            return {}
        if where == "root":
            return attack_outside(attempts, user=False) if AS_ROOT else None
        if where == "namespaces":
            return attack_outside(attempts, before=NAMESPACES)
        return attack_outside(attempts)

    def expect(self, table, outcomes, prefix=""):
        for attempt, wanted, _, _ in table:
            wanted = wanted if isinstance(wanted, tuple) else (wanted,)
            outcome = outcomes[attempt + prefix]
            with self.subTest(attempt):
                self.assertIn(describe(outcome), wanted, outcome)

    def expect_controls(self, table, suffix=lambda attempt: ""):
        for where in ("user", "namespaces", "root"):
            rows = [row for row in table if row[2] == where]
            outcomes = self.control(where, [row[0] + suffix(row[0]) for row in rows])
            if outcomes is None:
                continue
            for attempt, _, _, wanted in rows:
                wanted = wanted if isinstance(wanted, tuple) else (wanted,)
                outcome = outcomes[attempt + suffix(attempt)]
                with self.subTest(f"control: {attempt} as {where}"):
                    got = "killed" if "signal" in outcome else describe(outcome)
                    self.assertIn(got, wanted, outcome)

    # ---- the kernel's doors ----

    def test_what_reaches_for_the_kernel_is_refused(self):
        self.expect(ATTEMPTS, self.ring.attack(*[row[0] for row in ATTEMPTS]))

    def test_the_same_attempts_work_outside(self):
        self.expect_controls(ATTEMPTS)

    def test_no_set_id_file_and_no_device_can_be_made(self):
        self.expect(IN_DIRECTORY, self.ring.attack(*[row[0] + "=/tmp" for row in IN_DIRECTORY]), "=/tmp")

    def test_set_id_files_can_be_made_outside(self):
        directory = self.ring.make_directory("setid")
        os.chmod(directory, 0o777)
        self.expect_controls(IN_DIRECTORY, lambda _: "=" + directory)

    def test_signals_by_detours_do_not_stop_pid_1(self):
        value = self.ring.attack("stop_init_by_detours", "statuses=1")
        state = value["stop_init_by_detours"]
        self.assertTrue(state["ok"], state)
        self.assertNotIn(state["value"]["state"][0], "TtXZ")
        self.assertNotIn(value["statuses=1"]["value"]["State"][0], "TtXZ")

    def test_nothing_of_pid_1_can_be_read_or_resolved(self):
        self.assertEqual(self.ring.attack("read_init")["read_init"]["value"], [])
        outside = attack_outside(["read_init"], before=NAMESPACES)["read_init"]["value"]
        self.assertIn("environ", outside)
        self.assertIn("root", outside)

    # ---- files ----

    def test_host_files_are_absent(self):
        secret = self.ring.write("home/id_rsa", "canary-" + uuid.uuid4().hex, 0o600)
        paths = [secret, "/etc/shadow", "/etc/hostname.host", "/root", "/home/" + os.path.basename(self.ring.home),
                 "/var/lib", "/opt", "/srv", "/mnt", "/media", "/sys", "/boot", self.ring.state, "/run/systemd"]
        outcomes = self.ring.attack(*[f"read={p}" for p in paths], *[f"list_directory={p}" for p in paths])
        for attempt, outcome in outcomes.items():
            self.assertIn(describe(outcome), ("ENOENT", "EACCES", "ENOTDIR"), attempt)
        outside = attack_outside([f"read={secret}"], user=self.mode == "rootless")[f"read={secret}"]
        self.assertIn("canary-", outside["value"])
        if AS_ROOT:
            self.assertTrue(attack_outside(["read=/etc/shadow"], user=False)["read=/etc/shadow"]["ok"])

    def test_only_what_the_documentation_names_is_in_etc(self):
        shown = set(self.ring.attack("list_directory=/etc")["list_directory=/etc"]["value"])
        self.assertLessEqual(shown, {"ld.so.cache", "alternatives", "ssl", "fonts", "mime.types", "localtime",
                                     "java-17-openjdk", "python3", "perl", "mtab", "passwd", "group", "hosts",
                                     "hostname", "nsswitch.conf", "resolv.conf"})
        inside = self.ring.attack("list_directory=/etc/ssl", "read=/etc/passwd")
        self.assertEqual(inside["list_directory=/etc/ssl"]["value"], ["certs"])
        self.assertEqual(inside["read=/etc/passwd"]["value"].count("\n"), 3)

    def test_the_root_shows_nothing_else(self):
        shown = set(self.ring.attack("list_directory=/")["list_directory=/"]["value"])
        self.assertLessEqual(shown, {".canary", ".empty", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "dev",
                                     "etc", "home", "proc", "run", "tmp", "usr", "var", "workspace"})

    def test_only_scratch_can_be_written(self):
        places = ["/new", "/etc/new", "/usr/new", "/usr/bin/new", "/dev/new", "/proc/new", "/run/new", "/home/new",
                  "/var/new"]
        outcomes = self.ring.attack(*[f"create={p}" for p in places])
        for attempt, outcome in outcomes.items():
            self.assertIn(describe(outcome), ("EROFS", "EACCES", "ENOENT"), attempt)
        good = self.ring.attack("create=/tmp/new", "create=/home/agent/new", "create=/dev/shm/new",
                                "create=/var/tmp/new2")
        for attempt, outcome in good.items():
            self.assertTrue(outcome["ok"], (attempt, outcome))

    def test_kernel_settings_cannot_be_written(self):
        outcomes = self.ring.attack(*[f"open_to_write={p}" for p in WRITES], *[f"open_to_write={p}" for p in OWN_WRITES])
        for attempt, outcome in outcomes.items():
            self.assertIn(describe(outcome), ("EROFS", "EACCES", "ENOENT", "EPERM"), attempt)
        here = [p for p in WRITES if os.path.exists(p)]
        if AS_ROOT:
            for attempt, outcome in attack_outside([f"open_to_write={p}" for p in here], user=False).items():
                self.assertTrue(outcome["ok"], (attempt, outcome))
        own = [f"open_to_write={p}" for p in OWN_WRITES[:2]]
        for attempt, outcome in attack_outside(own).items():
            self.assertTrue(outcome["ok"], (attempt, outcome))

    def test_the_sandbox_s_user_namespace_allows_none_below_it(self):
        name = "read=/proc/sys/user/max_user_namespaces"
        self.assertEqual(self.ring.attack(name)[name]["value"], "0\n")
        self.assertNotEqual(attack_outside([name])[name]["value"], "0\n")

    def test_landlock_refuses_what_the_mounts_would_show(self):
        """/.canary and /etc/hostname have the same owner, mode and file system; only the second has a rule."""
        r = self.ring.run("--", "/usr/bin/stat", "-c", "%a %u %d", "/.canary", "/etc/hostname")
        first, second = r.stdout.decode().splitlines()
        self.assertEqual(first, second)
        self.assertTrue(first.startswith("644 "))
        outcomes = self.ring.attack("read=/.canary", "read=/etc/hostname")
        self.assertEqual(describe(outcomes["read=/.canary"]), "EACCES")
        self.assertEqual(outcomes["read=/etc/hostname"]["value"], "sandbox\n")

    def test_proc_tells_nothing_of_the_host_that_is_masked(self):
        names = ["keys", "kallsyms", "modules", "cmdline", "config.gz", "interrupts"]
        for attempt, outcome in self.ring.attack(*[f"read=/proc/{n}" for n in names]).items():
            self.assertIn(outcome.get("value", ""), ("", None), attempt)
        self.assertNotEqual(file_text("/proc/cmdline"), "")

    def test_the_environment_is_scrubbed(self):
        env = dict(self.ring.env, AWS_SECRET_ACCESS_KEY="canary", LD_PRELOAD="", SSH_AUTH_SOCK="/tmp/agent")
        with open(ATTACK) as source:
            r = self.ring.run("--", "/usr/bin/python3", "-", "environment", stdin=source, env=env)
        seen = json.loads(r.stdout)["environment"]["value"]
        self.assertLessEqual(set(seen), {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "LANG", "RINGFENCE",
                                         "LC_CTYPE", "PWD", "SHLVL", "_"})
        self.assertNotIn("canary", r.stdout.decode())
        outside = attack_outside(["environment"], env=env)["environment"]["value"]
        self.assertEqual(outside["AWS_SECRET_ACCESS_KEY"], "canary")

    def test_descriptors_do_not_leak(self):
        """Ours, opened without close-on-exec, and those of the programs in between."""
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        os.set_inheritable(writer, True)
        with open(ATTACK) as source:
            r = self.ring.run("--", "/usr/bin/python3", "-", "descriptors", stdin=source, pass_fds=(writer,))
        found = json.loads(r.stdout)["descriptors"]["value"]
        pipes = [t for t in found.values() if t.startswith(("pipe:", "socket:", "anon_inode:"))]
        # Its three streams, and the pipe that attack.py itself answers by.
        self.assertLessEqual(len(pipes), 4, found)
        self.assertEqual([t for t in pipes if not t.startswith("pipe:")], [])
        self.assertNotIn(os.readlink(f"/proc/self/fd/{writer}"), found.values())

    # ---- processes ----

    def test_host_processes_are_invisible(self):
        marker = "marker-" + uuid.uuid4().hex
        p = subprocess.Popen(as_user(["/usr/bin/env", "-i", "/usr/bin/python3", "-c", "input()", marker]),
                             stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: processes_with(marker), "the marker process")
            inside = self.ring.attack("command_lines")["command_lines"]["value"]
            self.assertNotIn(marker, " ".join(inside))
            self.assertLessEqual(len(inside), 4)
            self.assertIn(marker, " ".join(attack_outside(["command_lines"])["command_lines"]["value"]))
        finally:
            p.stdin.close()
            p.wait(TIMEOUT)

    def test_background_processes_do_not_survive(self):
        marker = "marker-" + uuid.uuid4().hex
        script = ("import os, signal\n"
                  "for _ in range(3):\n"
                  "    if os.fork() == 0:\n"
                  "        os.setsid()\n"
                  "        for s in range(1, 32):\n"
                  "            try: signal.signal(s, signal.SIG_IGN)\n"
                  "            except OSError: pass\n"
                  "        if os.fork() == 0:\n"
                  "            os.write(1, b'here\\n')\n"
                  "            while True: signal.pause()\n"
                  "        os._exit(0)\n"
                  "while True: signal.pause()\n")
        p = self.ring.start("run", "--", "/usr/bin/python3", "-c", script, marker)
        try:
            for _ in range(3):
                self.assertEqual(p.stdout.readline(), b"here\n")
            self.assertGreaterEqual(len(processes_with(marker)), 4)
            p.send_signal(signal.SIGTERM)
            p.wait(TIMEOUT)
        finally:
            p.kill()
            p.wait()
            p.stdout.close()
            p.stderr.close()
        # `ringfence run … marker` itself has ended; what remains would be the sandbox's.
        wait_until(lambda: not processes_with(marker), "every process of the sandbox is gone")

    # ---- the network ----

    def test_there_is_no_way_out(self):
        with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as abstract, \
                socket.socket(socket.AF_UNIX) as named:
            port = tcp.getsockname()[1]
            name = "ringfence-" + uuid.uuid4().hex
            abstract.bind("\0" + name)
            abstract.listen()
            path = os.path.join(self.ring.dir, "s.sock")
            named.bind(path)
            named.listen()
            os.chmod(path, 0o777)
            attempts = [f"connect_tcp=127.0.0.1:{port}", f"connect_abstract={name}", f"connect_path={path}"]
            inside = self.ring.attack(*attempts, "connect_tcp=192.0.2.1:80", "send_udp=192.0.2.1:53",
                                      "connect_tcp=169.254.169.254:80", "connect_tcp=2001:db8::1:80",
                                      "resolve=example.com", "interfaces", "talk_to_ourselves")
            self.assertEqual(describe(inside[attempts[0]]), "ECONNREFUSED")
            self.assertEqual(describe(inside[attempts[1]]), "ECONNREFUSED")
            self.assertEqual(describe(inside[attempts[2]]), "ENOENT")
            for far in ("connect_tcp=192.0.2.1:80", "send_udp=192.0.2.1:53", "connect_tcp=169.254.169.254:80",
                        "connect_tcp=2001:db8::1:80"):
                self.assertIn(describe(inside[far]), ("ENETUNREACH", "EADDRNOTAVAIL"), far)
            self.assertFalse(inside["resolve=example.com"]["ok"])
            self.assertEqual(inside["interfaces"]["value"], ["lo"])
            self.assertEqual(inside["talk_to_ourselves"]["value"], "hello")
            for attempt, outcome in attack_outside(attempts).items():
                self.assertTrue(outcome["ok"], (attempt, outcome))


# In namespaces of their own, but as their host's root with every capability: only the lock under test is
# in the way.
ROOT_IN_NAMESPACES = ["unshare", "--mount", "--pid", "--fork", "--net", "--ipc", "--uts", "--mount-proc"]
# Namespaces, an id that is nobody's root, no capabilities; neither seccomp nor Landlock.
NO_CAPABILITIES = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--mount", "--pid", "--fork", "--net",
                   "--ipc", "--uts", "--mount-proc"]
# What seccomp leaves to other locks: ids to the user namespace, attributes to the capabilities, the core
# limit (whose value it keeps, but does not set) to rf-init.
NOT_SECCOMPS = {"become=0", "become=1001", "set_groups", "file_capability", "core_limit"}
# Held without seccomp and Landlock, by the user namespace and the lack of capabilities.
BY_NO_CAPABILITIES = [
    "unshare=mnt", "unshare=net", "unshare=pid", "unshare=cgroup", "unshare=time", "clone=net", "clone3=mnt",
    "enter_own_namespace=net", "mount_tmpfs", "remount_root_writable", "unmount_proc", "open_file_system",
    "clone_mount", "change_mount", "change_root", "pivot_root", "bpf_map", "perf_event", "kernel_log", "swap_on",
    "set_host_name", "watch_files", "open_by_handle", "make_socket=2,3,1", "make_socket=17,3,768", "become=0",
    "become=1001", "set_groups", "file_capability", "make_device", "make_disk",
]


@unittest.skipUnless(AS_ROOT and ONELOCK, "needs root, and onelock (RINGFENCE_ONELOCK)")
class TestOneLockAlone(unittest.TestCase):
    """Principle 2: each of two locks holds when the other is open. What only one lock holds is in SECURITY.md."""

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="rf-onelock-")
        os.chmod(self.directory, 0o777)
        self.addCleanup(shutil.rmtree, self.directory)

    def behind(self, lock, attempts):
        return attack_outside(attempts, before=[*ROOT_IN_NAMESPACES, ONELOCK, lock], user=False)

    def with_place(self, table):
        return [row[0] + ("=" + self.directory if row in IN_DIRECTORY else "") for row in table]

    def test_seccomp_alone_holds_against_root(self):
        table = [row for row in ATTEMPTS + IN_DIRECTORY if row[0] not in NOT_SECCOMPS]
        outcomes = self.behind("seccomp", self.with_place(table))
        for (attempt, wanted, _, _), outcome in zip(table, outcomes.values()):
            with self.subTest(attempt):
                self.assertIn(describe(outcome), wanted if isinstance(wanted, tuple) else (wanted,))

    def test_namespaces_without_capabilities_hold_alone(self):
        table = [row for row in ATTEMPTS + IN_DIRECTORY if row[0] in BY_NO_CAPABILITIES]
        self.assertEqual(len(table), len(BY_NO_CAPABILITIES))
        outcomes = attack_outside(self.with_place(table), before=NO_CAPABILITIES)
        for attempt, outcome in outcomes.items():
            with self.subTest(attempt):
                self.assertIn(describe(outcome), ("EPERM", "EINVAL", "EACCES"))

    def test_landlock_alone_holds_against_root(self):
        with tempfile.TemporaryDirectory(prefix="rf-onelock-", dir="/var/tmp") as place, \
                socket.socket(socket.AF_UNIX) as abstract:
            secret, name = os.path.join(place, "secret"), "ringfence-" + uuid.uuid4().hex
            with open(secret, "w") as f:
                f.write("canary\n")
            abstract.bind("\0" + name)
            abstract.listen()
            attempts = [f"read={secret}", f"create={place}/new", "open_to_write=/proc/sys/kernel/core_pattern",
                        "open_to_write=/dev/kmsg", f"open_to_write={secret}", "mount_tmpfs", "unmount_proc",
                        f"make_device={self.directory}", f"make_disk={self.directory}"]
            for attempt, outcome in self.behind("landlock", attempts).items():
                with self.subTest(attempt):
                    self.assertIn(describe(outcome), ("EACCES", "EPERM"))
            control = attack_outside(attempts, before=ROOT_IN_NAMESPACES, user=False)
            for attempt, outcome in control.items():
                with self.subTest("control: " + attempt):
                    self.assertTrue(outcome["ok"], outcome)
            self.out_of_the_domain(name)

    def out_of_the_domain(self, name):
        """Abstract sockets and signals that leave the domain: ABI 6. Namespaces hold them apart as well."""
        attempts = [f"connect_abstract={name}", f"signal_process={os.getpid()}", f"trace_process={os.getpid()}"]
        wanted = [("EPERM",), ("EPERM",), ("EPERM",)] if landlock_abi() >= 6 else [(WORKS,), (WORKS,), ("EPERM",)]
        outcomes = attack_outside(attempts, before=[ONELOCK, "landlock"], user=False)
        for attempt, outcome, wants in zip(attempts, outcomes.values(), wanted):
            with self.subTest(attempt):
                self.assertIn(describe(outcome), wants, outcome)
        for attempt, outcome in attack_outside(attempts, user=False).items():
            with self.subTest("control: " + attempt):
                self.assertTrue(outcome["ok"], outcome)


class TestRootless(Inside, unittest.TestCase):
    mode = "rootless"


@unittest.skipUnless(AS_ROOT, "needs root")
class TestAsRoot(Inside, unittest.TestCase):
    mode = "root"


if __name__ == "__main__":
    unittest.main()
