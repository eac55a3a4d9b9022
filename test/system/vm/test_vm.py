"""What the machines that we develop on do not have: control groups version 2, and systemd as pid 1. Virtual machines
with a Debian kernel, by emulation (some ten and some twenty seconds). guest.sh and guest_systemd.sh run in them;
here is what must come out.

Needs qemu-system-x86_64, a static busybox, and a kernel with its modules: RINGFENCE_VM_KERNEL is its vmlinuz
(…/boot/vmlinuz-VERSION beside …/lib/modules/VERSION), otherwise the newest in /boot. RINGFENCE_VM_QEMU is qemu with
its options. Skipped without them."""

import glob
import gzip
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
BIN = os.path.abspath(os.environ.get("RINGFENCE_BIN", "build/bin"))
VMTOOL = os.environ.get("RINGFENCE_VMTOOL", "")
QEMU = os.environ.get("RINGFENCE_VM_QEMU", shutil.which("qemu-system-x86_64") or "")
BUSYBOX = shutil.which("busybox") or ""
TIMEOUT = 300
SHELL = "sh cat ls mkdir mount echo sleep chown chmod grep sed tr wc kill insmod poweroff true test".split()
STRONG = """version: 1
name: strong
sandbox: {floor: [memory-limit: cgroup]}
rules: [{name: any, why: a test, allow: exec, program: any}]
"""
INIT = """#!/bin/busybox sh
/bin/busybox mkdir /n; /bin/busybox mount -t tmpfs -o mode=755 none /n; /bin/busybox cp -a /new/. /n/
exec /bin/busybox switch_root /n INIT
"""
SYSTEMD = "/lib/systemd/systemd"
TARGETS = ("sysinit basic sockets timers paths slices local-fs local-fs-pre swap shutdown umount multi-user final "
           "poweroff").split()
CHECK = b"""[Unit]
After=basic.target
[Service]
Type=oneshot
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
ExecStart=/usr/bin/sh /guest.sh
"""


def kernel():
    """(vmlinuz, overlay.ko), or None."""
    for image in [os.environ.get("RINGFENCE_VM_KERNEL", ""), *sorted(glob.glob("/boot/vmlinuz-*"), reverse=True)]:
        version = os.path.basename(image).partition("-")[2]
        module = os.path.join(os.path.dirname(os.path.dirname(image)), "lib/modules", version,
                              "kernel/fs/overlayfs/overlay.ko")
        if version and os.access(image, os.R_OK) and os.path.exists(module):
            return image, module
    return None


class Archive:
    """An initramfs: cpio in the newc form (kernel, Documentation/driver-api/early-userspace/buffer-format)."""

    def __init__(self):
        self.out, self.inode = bytearray(), 0

    def add(self, name, mode, data=b"", uid=0):
        self.inode += 1
        name = name.encode() + b"\0"
        fields = (self.inode, mode, uid, uid, 1, 0, len(data), 0, 0, 0, 0, len(name), 0)
        for part in (b"070701" + b"".join(b"%08x" % f for f in fields) + name, data):
            self.out += part
            self.out += b"\0" * (-len(self.out) % 4)

    def directories(self, *names):
        for name in names:
            self.add(name, 0o040755, uid=1000 if name.endswith("/u") else 0)

    def file(self, name, path, mode=0o100755):
        with open(path, "rb") as f:
            self.add(name, mode, f.read())

    def write(self, path):
        self.add("TRAILER!!!", 0)
        with gzip.open(path, "wb", compresslevel=1) as f:
            f.write(self.out)


def add_common(a, module, guest, init):
    """The programs of the build, a shell, and GUEST as /guest.sh; INIT is what becomes pid 1."""
    a.directories("bin", "new", *("new/" + d for d in (
        "usr", "usr/bin", "usr/lib", "usr/libexec", "usr/libexec/ringfence", "proc", "sys", "dev", "tmp", "var", "var/lib",
        "etc", "home", "home/u", "run", "root")))
    a.add("init", 0o100755, INIT.replace("INIT", init).encode())
    for name in ("bin/busybox", "new/usr/bin/busybox"):
        a.file(name, BUSYBOX)
    for name in SHELL:
        a.add("new/usr/bin/" + name, 0o120777, b"busybox")
    a.add("new/bin", 0o120777, b"usr/bin")
    a.file("new/usr/bin/vmtool", VMTOOL)
    a.file("new/guest.sh", os.path.join(HERE, guest))
    a.file("new/overlay.ko", module, 0o100644)
    a.add("new/usr/strong.yaml", 0o100644, STRONG.encode())
    a.add("new/etc/passwd", 0o100644, b"root:x:0:0:root:/root:/bin/sh\nu:x:1000:1000:u:/home/u:/bin/sh\n")
    a.add("new/etc/group", 0o100644, b"root:x:0:\nu:x:1000:\n")
    for name in os.listdir(BIN):
        if name == "ringfence" or (name.startswith("rf-") and "." not in name):
            a.file("new/usr/bin/ringfence" if name == "ringfence" else "new/usr/libexec/ringfence/" + name,
                   os.path.join(BIN, name))


def add_systemd(a):
    """systemd and systemctl of this machine with their libraries, a few targets, and our units for PREFIX /usr."""
    a.directories(*("new/" + d for d in (
        "usr/lib64", "usr/lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu/systemd", "usr/lib/systemd", "usr/lib/systemd/system",
        "etc/systemd", "etc/systemd/system", "etc/systemd/system/multi-user.target.wants")))
    a.add("new/lib", 0o120777, b"usr/lib")
    a.add("new/lib64", 0o120777, b"usr/lib64")
    libraries = set()
    for program, to in ((SYSTEMD, "usr/lib/systemd/systemd"), (shutil.which("systemctl"), "usr/bin/systemctl")):
        a.file("new/" + to, program)
        said = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        libraries.update(re.findall(r"(/\S+) \(", said))
    for path in libraries:
        a.file("new" + (path if path.startswith("/usr/") else "/usr" + path), path)
    units = "new/usr/lib/systemd/system/"
    for name in TARGETS:
        a.file(units + name + ".target", f"/lib/systemd/system/{name}.target", 0o100644)
    with open(os.path.join(BIN, "../packaging/ringfence.service")) as f:
        service = re.sub(r"=\S+/bin/ringfence serve", "=/usr/bin/ringfence serve", f.read())
    a.add(units + "ringfence.service", 0o100644, service.encode())
    a.file(units + "ringfence.slice", os.path.join(HERE, "../../../packaging/systemd/ringfence.slice"), 0o100644)
    a.add("new/etc/machine-id", 0o100644, b"0123456789abcdef0123456789abcdef\n")
    a.add("new/etc/os-release", 0o100644, b"NAME=vm\nID=vm\n")
    own = "new/etc/systemd/system/"
    a.add(own + "default.target", 0o120777, b"/usr/lib/systemd/system/multi-user.target")
    a.add(own + "check.service", 0o100644, CHECK)
    a.add(own + "multi-user.target.wants/check.service", 0o120777, b"../check.service")


class Machine:
    """Boots once for a class; `results` is what the guest said."""

    @classmethod
    def setUpClass(cls):
        image, module = kernel()
        with tempfile.TemporaryDirectory() as work:
            archive = Archive()
            cls.fill(archive, module)
            initramfs = os.path.join(work, "initramfs")
            archive.write(initramfs)
            r = subprocess.run([*shlex.split(QEMU), "-machine", "q35,accel=tcg", "-cpu", "max", "-m", "1024", "-nodefaults",
                                "-display", "none", "-no-reboot", "-serial", "stdio", "-kernel", image, "-initrd", initramfs,
                                "-append", "console=ttyS0 quiet panic=-1 systemd.show_status=0 systemd.log_target=null"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT)
        cls.said = r.stdout.decode(errors="replace")
        # The kernel may write into the same line.
        found = re.findall(r"RESULT (\S+)(?: ([^\r\n]*))?", cls.said)
        cls.results = {name: value.strip() for name, value in found}
        if cls.results.get("end") != "0":
            raise AssertionError("the guest did not come to its end:\n" + cls.said[-4000:])

    def expect(self, **expected):
        for name, value in expected.items():
            name = name.replace("_", "-")
            with self.subTest(check=name):
                self.assertEqual(self.results.get(name), value, self.said[-3000:])


@unittest.skipUnless(QEMU and BUSYBOX and VMTOOL and kernel(), "qemu, busybox or a kernel with modules is missing")
class ControlGroupsVersion2(Machine, unittest.TestCase):
    @staticmethod
    def fill(archive, module):
        add_common(archive, module, "guest.sh", "/guest.sh")

    def test_the_doctor_knows_the_layout_and_isolated_runs(self):
        self.expect(doctor="0", layout="version 2")

    def test_root_has_groups_that_hold(self):
        self.expect(root_too_much="137", root_enough="0", root_strength="cgroup cgroup cgroup",
                    root_below="/sys/fs/cgroup")

    def test_in_root_s_unit_groups_are_made_below_it_and_its_processes_are_in_a_leaf(self):
        self.expect(unit_too_much="137", unit_enough="0", unit_strength="cgroup cgroup cgroup",
                    unit_below="/sys/fs/cgroup/system.slice/ringfence.service", unit_left="0")
        self.assertGreater(int(self.results["unit-groups"]), 0)

    def test_a_user_without_delegation_is_told_how_to_get_it_and_a_floor_refuses(self):
        self.expect(session_advice="0", session_runs="0", session_strength="watched rlimit", session_floor="125")

    def test_a_user_with_delegation_has_groups_that_hold(self):
        self.expect(user_too_much="137", user_enough="0", user_strength="cgroup cgroup cgroup",
                    user_below="/sys/fs/cgroup/user.slice/user@1000.service", user_staged="before after")

    def test_in_a_user_s_unit_groups_are_made_below_it(self):
        self.expect(user_unit_too_much="137", user_unit_enough="0", user_unit_strength="cgroup cgroup cgroup",
                    user_unit_below="/sys/fs/cgroup/user.slice/user@1000.service/app.slice/ringfence.service")


@unittest.skipUnless(QEMU and BUSYBOX and VMTOOL and kernel() and os.path.exists(SYSTEMD) and shutil.which("systemctl"),
                     "qemu, busybox, a kernel with modules or systemd is missing")
class UnitUnderSystemd(Machine, unittest.TestCase):
    UNIT = "/ringfence.slice/ringfence.service"

    @staticmethod
    def fill(archive, module):
        add_common(archive, module, "guest_systemd.sh", SYSTEMD)
        add_systemd(archive)

    def test_it_starts_when_the_supervisor_says_so_in_its_slice_with_few_rights(self):
        self.expect(start="0", type="notify", delegate="yes", group=self.UNIT, main="rf-supervisor")
        self.assertEqual(int(self.results["bounding"], 16) & (1 << 12 | 1 << 16 | 1 << 27), 0)

    def test_groups_are_made_below_it(self):
        self.expect(left_in_unit="0", controllers="cpu memory pids", run="0", below="/sys/fs/cgroup" + self.UNIT)

    def test_a_sandbox_without_memory_does_not_stop_the_service(self):
        self.expect(memory="137", active_after_memory="active")

    def test_what_the_slice_may_use_holds_for_a_sandbox(self):
        self.assertNotIn(self.results["beyond-the-slice"], ("0", "3"))

    def test_killed_it_starts_again_and_says_which_sandboxes_it_lost(self):
        self.expect(restarts="1", lost="1", run_after_restart="0")

    def test_stopped_it_leaves_nothing_and_on_purpose_it_stays_stopped(self):
        self.expect(stop="inactive success", group_gone="1", stopped_on_purpose="inactive 0")


if __name__ == "__main__":
    sys.exit(unittest.main())
