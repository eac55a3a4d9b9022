#!/usr/bin/python3
"""What an attacker inside a sandbox tries, one function per attempt.

    attack.py NAME[=ARGUMENT]... : each in a process of its own; prints one JSON object, name → outcome:
    {"ok": true, "value": …}      it worked
    {"ok": false, "errno": "…"}   the kernel refused it
    {"ok": false, "signal": N}    the kernel killed the process
    {"ok": false, "error": "…"}   something else is in the way

The tests run it twice: in the sandbox, and where the lock under test is not (the positive control)."""

import ctypes
import errno
import fcntl
import json
import os
import resource
import signal
import socket
import struct
import sys
import tempfile
import time

libc = ctypes.CDLL(None, use_errno=True)
ATTACKS = {}


def attack(function):
    ATTACKS[function.__name__] = function
    return function


def call(number, *arguments):
    """A system call by its x86-64 number; every argument is a long."""
    longs = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *longs)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def child_that_waits():
    pid = os.fork()
    if pid == 0:
        signal.pause()
    return pid


# ---- files ----

@attack
def read(path):
    with open(path, errors="replace") as f:
        return f.read(4096)


@attack
def list_directory(path):
    return sorted(os.listdir(path))


@attack
def read_link(path):
    return os.readlink(path)


@attack
def open_to_write(path):
    os.close(os.open(path, os.O_WRONLY))


@attack
def write_to(path):
    with open(path, "w") as f:
        f.write("0\n")


@attack
def environment(_):
    return dict(os.environ)


@attack
def descriptors(_):
    found = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            found[fd] = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            pass
    return found


@attack
def command_lines(_):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                found.append(f.read().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            pass
    return found


@attack
def statuses(pid):
    with open(f"/proc/{pid}/status") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


@attack
def create(path):
    with open(path, "w") as f:
        f.write("from inside\n")
    return os.stat(path).st_uid


@attack
def write_beside(path):
    """The path's directory, made by the attacker."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return create(path)


# ---- pid 1 and other processes ----

@attack
def kill_init(_):
    os.kill(1, signal.SIGKILL)


@attack
def tgkill_init(_):
    call(234, 1, 1, signal.SIGTERM)


@attack
def queue_to_init(_):
    call(129, 1, signal.SIGTERM, ctypes.create_string_buffer(struct.pack("iii", signal.SIGTERM, 0, -1), 128))


@attack
def pidfd_of_init(_):
    os.close(os.pidfd_open(1))


@attack
def limit_init(_):
    resource.prlimit(1, resource.RLIMIT_NOFILE, resource.getrlimit(resource.RLIMIT_NOFILE))


@attack
def renice_init(_):
    os.setpriority(os.PRIO_PROCESS, 1, 19)


@attack
def renice_group(_):
    os.setpriority(os.PRIO_USER, os.getuid(), 1)


@attack
def pin_init(_):
    os.sched_setaffinity(1, {0})


@attack
def reschedule_init(_):
    os.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0))


@attack
def trace_init(_):
    call(101, 0x4206, 1, 0, 0)  # PTRACE_SEIZE


@attack
def trace_child(_):
    pid = child_that_waits()
    try:
        call(101, 0x4206, pid, 0, 0)
    finally:
        os.kill(pid, signal.SIGKILL)


@attack
def read_memory_of_child(_):
    buffer = ctypes.create_string_buffer(b"secret", 16)
    pid = child_that_waits()
    try:
        local = struct.pack("QQ", ctypes.addressof(buffer), 6)
        call(310, pid, local, 1, local, 1, 0)
    finally:
        os.kill(pid, signal.SIGKILL)


@attack
def signal_process(pid):
    os.kill(int(pid), signal.SIGCONT)


@attack
def trace_process(pid):
    call(101, 0x4206, int(pid), 0, 0)


@attack
def stop_init_by_detours(_):
    """Signals that no system call argument names as pid 1's: through its directory, and through SIGIO."""
    directory = os.open("/proc/1", os.O_DIRECTORY)
    tried = []
    for number in (signal.SIGSTOP, signal.SIGKILL):
        try:
            signal.pidfd_send_signal(directory, number)
            tried.append("sent")
        except OSError as e:
            tried.append(errno.errorcode[e.errno])
    for number in (signal.SIGSTOP, signal.SIGKILL):
        left, right = socket.socketpair()
        try:
            fcntl.fcntl(left, 10, number)  # F_SETSIG
            fcntl.fcntl(left, fcntl.F_SETOWN, 1)
            fcntl.fcntl(left, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
            right.send(b"x")
            tried.append("sent")
        except OSError as e:
            tried.append(errno.errorcode[e.errno])
    return {"tried": tried, "state": statuses("1")["State"]}


@attack
def read_init(_):
    """What of pid 1 can be read or resolved."""
    got = []
    for name in ("environ", "mem", "auxv", "syscall", "stack"):
        try:
            with open(f"/proc/1/{name}", "rb") as f:
                if name != "mem":
                    f.read(64)
            got.append(name)
        except OSError:
            pass
    for name in ("root", "cwd", "exe", "fd/3", "ns/mnt"):
        try:
            os.stat(f"/proc/1/{name}")
            got.append(name)
        except OSError:
            pass
    return got


# ---- namespaces and mounts ----

NEW = {"user": 0x10000000, "pid": 0x20000000, "net": 0x40000000, "mnt": 0x20000, "uts": 0x4000000,
       "ipc": 0x8000000, "cgroup": 0x2000000, "time": 0x80}


@attack
def unshare(kind):
    checked(libc.unshare(NEW[kind]))


@attack
def clone(kind):
    pid = call(56, NEW[kind] | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)


@attack
def clone3(kind):
    arguments = struct.pack("QQQQQQQQ", NEW[kind], 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
    pid = call(435, arguments, len(arguments))
    if pid == 0:
        os._exit(0)


@attack
def enter_own_namespace(kind):
    fd = os.open(f"/proc/self/ns/{kind}", os.O_RDONLY)
    checked(libc.setns(fd, 0))


@attack
def mount_tmpfs(_):
    with tempfile.TemporaryDirectory() as d:
        checked(libc.mount(b"none", d.encode(), b"tmpfs", 0, None))
        checked(libc.umount2(d.encode(), 2))


@attack
def remount_root_writable(_):
    checked(libc.mount(None, b"/", None, 4096 | 32, None))


@attack
def unmount_proc(_):
    checked(libc.umount2(b"/proc", 2))


@attack
def open_file_system(_):
    call(430, b"tmpfs", 0)


@attack
def clone_mount(_):
    call(428, -100, b"/", 0x8001)  # OPEN_TREE_CLONE, AT_RECURSIVE


@attack
def change_mount(_):
    call(442, -100, b"/", 0, struct.pack("QQQQ", 0, 1, 0, 0), 32)


@attack
def change_root(_):
    checked(libc.chroot(b"/tmp"))


@attack
def pivot_root(_):
    call(155, b"/", b"/")


# ---- parts of the kernel that an agent has no business with ----

@attack
def bpf_map(_):
    call(321, 0, struct.pack("IIIIIIIIIIIIIIII", 2, 4, 4, 1, *([0] * 12)), 64)


@attack
def perf_event(_):
    attributes = struct.pack("IIQ", 1, 64, 0) + b"\0" * 48
    call(298, attributes, 0, -1, -1, 0)


@attack
def userfaultfd(_):
    call(323, 1)


@attack
def io_uring(_):
    call(425, 4, ctypes.create_string_buffer(120))


@attack
def keyring(_):
    call(250, 0, -4, 0)  # KEYCTL_GET_KEYRING_ID of the user's key ring


@attack
def add_key(_):
    call(248, b"user", b"ringfence-test", b"x", 1, -1)


@attack
def kernel_log(_):
    call(103, 3, ctypes.create_string_buffer(64), 64)


@attack
def swap_on(_):
    call(167, b"/nonexistent", 0)


@attack
def load_module(_):
    call(313, -1, b"", 0)


@attack
def set_host_name(_):
    name = socket.gethostname().encode()
    checked(libc.sethostname(name, len(name)))


@attack
def set_clock(_):
    call(227, 1, struct.pack("qq", 0, 0))  # CLOCK_MONOTONIC: nobody can


@attack
def io_privilege(_):
    call(172, 0)


@attack
def watch_files(_):
    call(300, 0, 0)  # fanotify_init


@attack
def open_by_handle(_):
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0), 136)
    mount = ctypes.c_int(0)
    path = "/usr"
    call(303, -100, path.encode(), handle, ctypes.byref(mount), 0)
    directory = os.open(path, os.O_RDONLY)
    call(304, directory, handle, os.O_RDONLY)


@attack
def no_randomisation(_):
    call(135, 0x0040000)


@attack
def core_limit(_):
    """A crash must not hand our memory to the host's core handler."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if (soft, hard) == (1, 1):
        raise OSError(errno.EPERM, "it stays 1")
    return [soft, hard]


@attack
def type_for_the_user(_):
    leader, follower = os.openpty()
    os.setsid()
    fcntl.ioctl(follower, 0x540E, 0)  # TIOCSCTTY
    fcntl.ioctl(follower, 0x5412, b"x")


@attack
def terminal_game(number):
    leader, follower = os.openpty()
    os.setsid()
    fcntl.ioctl(follower, 0x540E, 0)
    fcntl.ioctl(follower, int(number, 16), struct.pack("i", 0))


# ---- sockets ----

@attack
def make_socket(which):
    family, kind, protocol = (int(n) for n in which.split(","))
    socket.socket(family, kind, protocol).close()


@attack
def connect_tcp(address):
    host, port = address.rsplit(":", 1)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(5)
        s.connect((host, int(port)))


@attack
def send_udp(address):
    host, port = address.rsplit(":", 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(b"x", (host, int(port)))


@attack
def connect_abstract(name):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect("\0" + name)


@attack
def connect_path(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.connect(path)


@attack
def connect_packets(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.connect(path)


@attack
def talk_to_ourselves(_):
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as client:
            peer, _ = server.accept()
            peer.sendall(b"hello")
            return client.recv(5).decode()


@attack
def resolve(name):
    return socket.gethostbyname(name)


@attack
def interfaces(_):
    return [name for _, name in socket.if_nameindex()]


# ---- set-id files and devices ----

def own_file(directory):
    fd, path = tempfile.mkstemp(dir=directory)
    os.write(fd, b"#!/bin/sh\n")
    return fd, path


def must_have_bits(path, bits):
    mode = os.stat(path).st_mode & 0o7777
    if mode & bits != bits:
        raise OSError(errno.EPERM, f"mode is {mode:o}")
    os.unlink(path)
    return oct(mode)


@attack
def setid_chmod(directory):
    fd, path = own_file(directory)
    call(90, path.encode(), 0o6755)
    return must_have_bits(path, 0o6000)


@attack
def setid_fchmod(directory):
    fd, path = own_file(directory)
    call(91, fd, 0o4755)
    return must_have_bits(path, 0o4000)


@attack
def setid_fchmodat(directory):
    fd, path = own_file(directory)
    call(268, -100, path.encode(), 0o2755)
    return must_have_bits(path, 0o2000)


@attack
def setid_fchmodat2(directory):
    fd, path = own_file(directory)
    call(452, -100, path.encode(), 0o4755, 0)
    return must_have_bits(path, 0o4000)


def fresh(directory):
    return os.path.join(directory, f"new-{os.getpid()}-{time.monotonic_ns()}")


@attack
def setid_open(directory):
    path = fresh(directory)
    call(2, path.encode(), os.O_CREAT | os.O_WRONLY, 0o4755)
    return must_have_bits(path, 0o4000)


@attack
def setid_openat(directory):
    path = fresh(directory)
    call(257, -100, path.encode(), os.O_CREAT | os.O_WRONLY, 0o2755)
    return must_have_bits(path, 0o2000)


@attack
def setid_openat2(directory):
    path = fresh(directory)
    how = struct.pack("QQQ", os.O_CREAT | os.O_WRONLY, 0o4755, 0)
    call(437, -100, path.encode(), how, len(how))
    return must_have_bits(path, 0o4000)


@attack
def setid_tmpfile(directory):
    fd = call(257, -100, directory.encode(), 0o20000000 | os.O_DIRECTORY | os.O_WRONLY, 0o4755)
    path = fresh(directory)
    call(265, -100, f"/proc/self/fd/{fd}".encode(), -100, path.encode(), 0x400)  # AT_SYMLINK_FOLLOW
    return must_have_bits(path, 0o4000)


@attack
def setid_creat(directory):
    path = fresh(directory)
    call(85, path.encode(), 0o4755)
    return must_have_bits(path, 0o4000)


@attack
def setid_mknod(directory):
    path = fresh(directory)
    call(133, path.encode(), 0o104755, 0)
    return must_have_bits(path, 0o4000)


@attack
def setid_mknodat(directory):
    path = fresh(directory)
    call(259, -100, path.encode(), 0o102755, 0)
    return must_have_bits(path, 0o2000)


@attack
def setid_directory(directory):
    path = fresh(directory)
    os.mkdir(path)
    call(90, path.encode(), 0o2755)
    mode = os.stat(path).st_mode
    os.rmdir(path)
    if not mode & 0o2000:
        raise OSError(errno.EPERM, "no bit")


@attack
def file_capability(directory):
    fd, path = own_file(directory)
    try:
        os.setxattr(path, "security.capability", struct.pack("<IIIII", 0x02000001, 1, 0, 0, 0))
    finally:
        os.unlink(path)


@attack
def make_device(directory):
    path = fresh(directory)
    os.mknod(path, 0o020666, os.makedev(1, 3))
    os.unlink(path)


@attack
def make_disk(directory):
    path = fresh(directory)
    call(133, path.encode(), 0o060600, os.makedev(7, 0))
    os.unlink(path)


@attack
def become(uid):
    os.setresuid(int(uid), int(uid), int(uid))


@attack
def set_groups(_):
    os.setgroups([0])


@attack
def run_su(_):
    """Set-user-ID programs of the host give nothing: mounted nosuid, and no_new_privs."""
    pid = os.fork()
    if pid == 0:
        os.execv("/usr/bin/python3", ["python3", "-c", "import os; os._exit(0 if os.geteuid() else 1)"])
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0:
        raise OSError(errno.EPERM, "still nobody")


@attack
def other_architecture(_):
    """A 32-bit system call: getpid by int 0x80."""
    import mmap
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # mov eax, 20; int 0x80; ret
    address = ctypes.addressof(ctypes.c_char.from_buffer(code))
    return ctypes.CFUNCTYPE(ctypes.c_int)(address)()


@attack
def x32_call(_):
    call(0x40000000 + 39)


# ---- running them ----

def outcome_of(name, argument):
    try:
        return {"ok": True, "value": ATTACKS[name](argument)}
    except OSError as e:
        return {"ok": False, "errno": errno.errorcode.get(e.errno, str(e.errno or e)), "text": str(e)}
    except Exception as e:  # noqa: BLE001: whatever stands in the way is the answer
        return {"ok": False, "error": f"{type(e).__name__}: {e}"}


def in_child(name, argument):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        os.write(writer, json.dumps(outcome_of(name, argument)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as f:
        text = f.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status < 0:
        return {"ok": False, "signal": -status}
    return json.loads(text)


def main(arguments):
    results = {}
    for a in arguments:
        name, _, argument = a.partition("=")
        results[a] = in_child(name, argument)
    print(json.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1:])
