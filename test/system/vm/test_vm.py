"""Control groups version 2, which the machines that we develop on do not have: a virtual machine with a Debian
kernel, by emulation (some ten seconds). guest.sh runs in it; here is what must come out.

Needs qemu-system-x86_64, a static busybox, and a kernel with its modules: RINGFENCE_VM_KERNEL is its vmlinuz
(…/boot/vmlinuz-VERSION beside …/lib/modules/VERSION), otherwise the newest in /boot. RINGFENCE_VM_QEMU is qemu with
its options. Skipped without them."""

import glob
import gzip
import os
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
SHELL = ("sh cat ls mkdir mount echo sleep chown chmod grep sed tr wc tail insmod poweroff true").split()
STRONG = """version: 1
name: strong
sandbox: {floor: [memory-limit: cgroup]}
rules: [{name: any, why: a test, allow: exec, program: any}]
"""
INIT = """#!/bin/busybox sh
/bin/busybox mkdir /n; /bin/busybox mount -t tmpfs none /n; /bin/busybox cp -a /new/. /n/
exec /bin/busybox switch_root /n /guest.sh
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


def make_initramfs(path, module):
    a = Archive()
    a.directories("bin", "new", *("new/" + d for d in ("usr", "usr/bin", "usr/libexec", "usr/libexec/ringfence", "proc", "sys",
                                                       "dev", "tmp", "var", "var/lib", "etc", "home", "home/u", "run", "root")))
    a.add("init", 0o100755, INIT.encode())
    for name in ("bin/busybox", "new/usr/bin/busybox"):
        a.file(name, BUSYBOX)
    for name in SHELL:
        a.add("new/usr/bin/" + name, 0o120777, b"busybox")
    a.add("new/bin", 0o120777, b"usr/bin")
    a.file("new/usr/bin/vmtool", VMTOOL)
    a.file("new/guest.sh", os.path.join(HERE, "guest.sh"))
    a.file("new/overlay.ko", module, 0o100644)
    a.add("new/usr/strong.yaml", 0o100644, STRONG.encode())
    a.add("new/etc/passwd", 0o100644, b"root:x:0:0:root:/root:/bin/sh\nu:x:1000:1000:u:/home/u:/bin/sh\n")
    a.add("new/etc/group", 0o100644, b"root:x:0:\nu:x:1000:\n")
    for name in os.listdir(BIN):
        if name == "ringfence" or (name.startswith("rf-") and "." not in name):
            a.file("new/usr/bin/ringfence" if name == "ringfence" else "new/usr/libexec/ringfence/" + name,
                   os.path.join(BIN, name))
    a.write(path)


@unittest.skipUnless(QEMU and BUSYBOX and VMTOOL and kernel(), "qemu, busybox or a kernel with modules is missing")
class ControlGroupsVersion2(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        image, module = kernel()
        with tempfile.TemporaryDirectory() as work:
            initramfs = os.path.join(work, "initramfs")
            make_initramfs(initramfs, module)
            r = subprocess.run([*shlex.split(QEMU), "-machine", "q35,accel=tcg", "-cpu", "max", "-m", "1024", "-nodefaults",
                                "-display", "none", "-no-reboot", "-serial", "stdio", "-kernel", image, "-initrd", initramfs,
                                "-append", "console=ttyS0 quiet panic=-1"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT)
        cls.said = r.stdout.decode(errors="replace")
        lines = [line.strip().split(" ", 2) for line in cls.said.splitlines() if line.startswith("RESULT ")]
        cls.results = {line[1]: " ".join(line[2:]).strip() for line in lines}
        if cls.results.get("end") != "0":
            raise AssertionError("the guest did not come to its end:\n" + cls.said[-4000:])

    def expect(self, **expected):
        for name, value in expected.items():
            name = name.replace("_", "-")
            with self.subTest(check=name):
                self.assertEqual(self.results.get(name), value, self.said[-3000:])

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


if __name__ == "__main__":
    sys.exit(unittest.main())
