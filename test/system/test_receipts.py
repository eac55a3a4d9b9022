"""Receipts against what the command itself and the host see, and floors on hosts that lack the lock: a seccomp
filter takes Landlock away, a mount namespace the control groups. Each with its control: the same run with the
lock there.

A class for each mode; `make check` runs all."""

import ctypes
import json
import os
import re
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.ring import AS_ROOT, ROOT, TIMEOUT, USER, Ringfence, file_text, pids  # noqa: E402

EVIDENCE = {"kernel", "probe", "applied"}
POLICY = """version: 1
name: {name}
sandbox:
  workspace: direct
  limits: {{memory: 64MiB, cpu: 1}}
  floor: [{floor}]
rules:
  - {{name: any, why: a test, allow: exec, program: any}}
"""
WITHOUT = {"landlock": [444, 445, 446]}  # system call numbers, the same on every architecture


def without(what):
    """A command before others: a host whose kernel does not have WHAT (ENOSYS)."""
    return ["/usr/bin/python3", os.path.abspath(__file__), "--without", what]


def enter_filter(numbers):
    """A seccomp filter in which NUMBERS are ENOSYS, for us and all that we execute."""
    libc = ctypes.CDLL(None, use_errno=True)
    load = struct.pack("HBBI", 0x20, 0, 0, 0)
    code = load + b"".join(struct.pack("HBBI", 0x15, len(numbers) - i, 0, n) for i, n in enumerate(numbers))
    code += struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000) + struct.pack("HBBI", 0x06, 0, 0, 0x00050000 | 38)
    buffer = ctypes.create_string_buffer(code)
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer)))
    for call in ((38, 1, 0, 0, 0), (22, 2, ctypes.c_void_p(ctypes.addressof(program)), 0, 0)):
        if libc.prctl(*call) != 0:
            sys.exit(f"prctl{call}: errno {ctypes.get_errno()}")


def locks_of(receipt):
    return {lock["name"]: lock for lock in receipt["locks"]}


def mounts_inside(text):
    """[(point, type, flags)] of /proc/self/mountinfo, as the receipt writes it."""
    found = []
    for line in text.splitlines():
        left, right = line.split(" - ")
        point, options = left.split()[4:6]
        kept = [o for o in options.split(",") if o in ("ro", "rw", "nosuid", "nodev", "noexec", "idmapped", "nosymfollow")]
        found.append((point, right.split()[0], ",".join(kept)))
    return found


class Case:
    @classmethod
    def setUpClass(cls):
        cls.ring = Ringfence(cls.mode)
        if cls.ring.cli("start").returncode != 0:
            raise AssertionError("it does not start")

    @classmethod
    def tearDownClass(cls):
        cls.ring.destroy()

    def receipt_of(self, *args, ring=None, **options):
        ring = ring or self.ring
        path = os.path.join(ring.dir, "receipt.json")
        r = ring.run("--receipt", path, *args, **options)
        self.assertEqual(r.returncode, 0, r.stderr)
        with open(path) as f:
            return json.load(f), r.stdout.decode()

    def policy(self, *floor):
        name = "floor-" + re.sub(r"\W+", "-", "-".join(floor) or "none")
        return self.ring.write(name + ".yaml", POLICY.format(name=name, floor=", ".join(floor)))


class Receipts(Case):
    def each_start(self):
        """The ways in which a sandbox comes to be: begun for the run, prepared ahead, with a workspace."""
        workspace = self.ring.make_directory("ws-" + self.id().rsplit(".", 1)[1])
        if AS_ROOT:
            os.chown(workspace, USER, USER)
        yield "first", ()
        for i in range(3):
            yield f"prepared {i}", ()
        yield "staged", ("--workspace", workspace)
        yield "direct", ("--policy", self.policy(), "--workspace", workspace + ":direct")

    def test_the_mounts_are_those_that_the_command_sees(self):
        for name, options in self.each_start():
            with self.subTest(start=name):
                receipt, out = self.receipt_of(*options, "--", "/usr/bin/cat", "/proc/self/mountinfo")
                self.assertEqual(receipt["mounts"]["evidence"], "kernel")
                told = [tuple(m.split(" ")[:3]) for m in receipt["mounts"]["list"]]
                self.assertEqual(sorted(told), sorted(mounts_inside(out)))
                for point, _, flags in told:
                    self.assertIn("nosuid", flags, point)
                    if point not in ("/tmp", "/home/agent", "/workspace") and not point.startswith("/dev/"):
                        self.assertTrue(flags.startswith("ro,"), point)

    def test_the_process_is_what_it_says(self):
        for name, options in self.each_start():
            with self.subTest(start=name):
                receipt, out = self.receipt_of(*options, "--", "/usr/bin/cat", "/proc/self/status")
                seen = dict(line.split(":\t", 1) for line in out.splitlines() if ":\t" in line)
                sets = {"inheritable": "CapInh", "permitted": "CapPrm", "effective": "CapEff", "bounding": "CapBnd",
                        "ambient": "CapAmb"}
                for told, field in sets.items():
                    self.assertEqual(receipt["capabilities"][told], seen[field])
                    self.assertEqual(int(seen[field], 16), 0)
                self.assertEqual({str(receipt["ids"]["uid"])}, set(seen["Uid"].split()))
                self.assertEqual({str(receipt["ids"]["gid"])}, set(seen["Gid"].split()))
                self.assertEqual(receipt["ids"]["groups"], len(seen["Groups"].split()))
                locks = locks_of(receipt)
                self.assertEqual(locks["seccomp"]["filters"], int(seen["Seccomp_filters"]))
                self.assertEqual((seen["Seccomp"], seen["NoNewPrivs"]), ("2", "1"))

    def test_landlock_says_what_it_handles(self):
        lock = locks_of(self.receipt_of("--", "/usr/bin/true")[0])["landlock"]
        abi = ctypes.CDLL(None).syscall(444, None, 0, 1)
        self.assertEqual(lock["value"], f"ABI {abi}")
        handled = (1 << 13) - 1 | (abi >= 2) << 13 | (abi >= 3) << 14 | (abi >= 5) << 15
        self.assertEqual(int(lock["handled_fs"], 16), handled)
        self.assertEqual(int(lock["scoped"], 16), 3 if abi >= 6 else 0)
        self.assertGreater(lock["rules"], 5)

    def test_the_control_groups_have_the_values_that_it_names(self):
        p = self.ring.start("run", "--memory", "96MiB", "--receipt", os.path.join(self.ring.dir, "held.json"), "--json",
                            "--", "/usr/bin/sh", "-c", "echo up; cat", stdin=subprocess.PIPE)
        try:
            before = {pid for pid in pids()}
            # The command has said something: it runs, in its group.
            self.assertTrue(before)
            ids = []
            while not ids and p.poll() is None:
                ids = [pid for pid in pids() if file_text(f"/proc/{pid}/cmdline").startswith("/usr/bin/sh\0-c\0echo up; cat")]
            listing = file_text(f"/proc/{ids[0]}/cgroup")
            files = {os.path.join(d, "memory.limit_in_bytes") for d in self.groups(listing)} | \
                {os.path.join(d, "memory.max") for d in self.groups(listing)}
            values = {path: file_text(path).strip() for path in files if os.path.exists(path)}
        finally:
            out, _ = p.communicate(timeout=TIMEOUT)
        receipt = json.loads(out)["receipt"]
        if "cgroup" not in receipt:
            self.assertNotEqual(locks_of(receipt)["memory-limit"]["strength"], "cgroup")
            return
        memory = receipt["cgroup"]["paths"]["memory"]
        self.assertEqual(receipt["cgroup"]["memory_bytes"], 96 << 20)
        self.assertIn(str(96 << 20), values.values())
        self.assertTrue(any(path.startswith(memory + "/") for path in values), (memory, values))

    @staticmethod
    def groups(listing):
        """Directories of the groups in the text of /proc/PID/cgroup, both versions."""
        for line in listing.splitlines():
            _, names, path = line.split(":", 2)
            yield os.path.normpath(f"/sys/fs/cgroup/{names}/{path}") if names else os.path.normpath("/sys/fs/cgroup" + path)

    def test_everything_that_it_claims_has_evidence(self):
        receipt, _ = self.receipt_of("--", "/usr/bin/true")
        for item in receipt["locks"] + receipt["limits"] + [receipt[n] for n in ("ids", "root", "capabilities", "mounts")]:
            self.assertIn(item["evidence"], EVIDENCE, item)
        self.assertEqual((receipt["root"]["kind"], receipt["root"]["executables"], receipt["root"]["noexec"]),
                         ("host", "any", False))
        limits = {limit["name"]: limit for limit in receipt["limits"]}
        self.assertEqual(limits["disk_bytes"]["evidence"], "kernel")

    def test_the_ledger_has_it_before_the_command_ends(self):
        for name, options in self.each_start():
            with self.subTest(start=name):
                receipt, _ = self.receipt_of(*options, "--", "/usr/bin/true")
                r = self.ring.cli("audit", "query", "--task", receipt["task"], "--json")
                self.assertEqual(r.returncode, 0, r.stderr)
                records = [json.loads(line) for line in r.stdout.decode().splitlines()]
                events = [rec.get("event") or rec["record"]["event"] for rec in records]
                self.assertIn("receipt", events, events)
                text = json.dumps(records[events.index("receipt")])
                for part in ("capabilities", receipt["sandbox"]):
                    self.assertIn(part, text)
                # With it, or behind it where it was made while somebody waited.
                self.assertIn("mounts", text if "mounts" not in events else json.dumps(records[events.index("mounts")]))

    def test_a_session_has_one_too(self):
        r = self.ring.cli("sandbox", "create", "--json")
        self.assertEqual(r.returncode, 0, r.stderr)
        session = json.loads(r.stdout)
        self.addCleanup(self.ring.cli, "sandbox", "kill", session["sandbox"])
        receipt = session["receipt"]
        self.assertEqual(receipt["sandbox"], session["sandbox"])
        self.assertEqual(int(receipt["capabilities"]["bounding"], 16), 0)
        inside = self.ring.cli("sandbox", "exec", session["sandbox"], "--", "/usr/bin/cat", "/proc/self/mountinfo")
        told = sorted(tuple(m.split(" ")[:3]) for m in receipt["mounts"]["list"])
        self.assertEqual(told, sorted(mounts_inside(inside.stdout.decode())))


class Floors(Case):
    def test_every_term_of_the_schema_is_met_or_refused_with_its_name(self):
        with open(os.path.join(ROOT, "doc", "policy.schema.json")) as f:
            schema = json.load(f)
        kinds = schema["properties"]["sandbox"]["properties"]["floor"]["items"]["anyOf"]
        wanted = list(kinds[0]["enum"])
        wanted += [f"{n}: {s}" for n, v in kinds[1]["properties"].items() for s in v["enum"]]
        locks = locks_of(self.receipt_of("--policy", self.policy(), "--", "/usr/bin/true")[0])
        rank = ["per-process", "rlimit", "watched", "cgroup"]
        for term in wanted:
            with self.subTest(term=term):
                name, _, strength = term.partition(": ")
                met = name in locks and (not strength or
                                         rank.index(locks[name]["strength"]) >= rank.index(strength))
                r = self.ring.run("--policy", self.policy(term), "--", "/usr/bin/echo", "it ran")
                if met:
                    self.assertEqual((r.returncode, r.stdout), (0, b"it ran\n"), r.stderr)
                else:
                    self.assertEqual((r.returncode, r.stdout), (125, b""), r.stderr)
                    self.assertIn(term.encode(), r.stderr)

    def host(self, before):
        """Ringfence on a host that lacks something."""
        ring = Ringfence(self.mode, before=before)
        self.addCleanup(ring.destroy)
        return ring

    def test_without_landlock_nothing_starts(self):
        ring = self.host(without("landlock"))
        r = ring.run("--policy", self.policy("landlock"), "--", "/usr/bin/echo", "it ran")
        self.assertEqual((r.returncode, r.stdout), (125, b""), r.stderr)
        # It does not even come to the floor: the ledger does not run unconfined either.
        log = file_text(os.path.join(ring.state, "run", "log"))
        self.assertIn("andlock", log + r.stderr.decode())
        ring = self.host(["/usr/bin/env"])  # the control: the same without the filter
        r = ring.run("--policy", self.policy("landlock"), "--", "/usr/bin/echo", "it ran")
        self.assertEqual((r.returncode, r.stdout), (0, b"it ran\n"), r.stderr)

    @unittest.skipUnless(AS_ROOT, "only root can take control groups away")
    def test_without_control_groups_a_floor_that_asks_for_them_refuses(self):
        hide = ["unshare", "--mount", "sh", "-c", "umount -R -l /sys/fs/cgroup; exec \"$@\"", "sh"]
        ring = self.host(hide)
        strong = self.policy("memory-limit: cgroup")
        r = ring.run("--policy", strong, "--", "/usr/bin/echo", "it ran")
        self.assertEqual((r.returncode, r.stdout), (125, b""), r.stderr)
        self.assertIn(b"memory-limit: cgroup", r.stderr)
        for term in ("process-limit: cgroup", "cpu-limit"):
            r = ring.run("--policy", self.policy(term), "--", "/usr/bin/echo", "it ran")
            self.assertEqual((r.returncode, r.stdout), (125, b""), r.stderr)
            self.assertIn(term.encode(), r.stderr)
        # The control: there it runs without them, and says so.
        receipt, _ = self.receipt_of("--policy", self.policy("memory-limit: watched"), "--", "/usr/bin/true", ring=ring)
        self.assertEqual(locks_of(receipt)["memory-limit"]["strength"], "watched")
        self.assertNotIn("cpu-limit", locks_of(receipt))


class ReceiptsRootless(Receipts, unittest.TestCase):
    mode = "rootless"


class FloorsRootless(Floors, unittest.TestCase):
    mode = "rootless"


@unittest.skipUnless(AS_ROOT, "needs root")
class ReceiptsAsRoot(Receipts, unittest.TestCase):
    mode = "root"


@unittest.skipUnless(AS_ROOT, "needs root")
class FloorsAsRoot(Floors, unittest.TestCase):
    mode = "root"


if __name__ == "__main__":
    if len(sys.argv) > 3 and sys.argv[1] == "--without":
        enter_filter(WITHOUT[sys.argv[2]])
        os.execvp(sys.argv[3], sys.argv[3:])
    unittest.main()
