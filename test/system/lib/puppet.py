"""A process that does what it is told: system calls of our choice in somebody else's process (ptrace(2), x86-64).

That is what an attacker who took a program over can do, whatever the hole was: any call, with that process's
descriptors, user id, seccomp filter and Landlock domain.

    with Puppet(pid) as p:
        p.call("socket", 2, 1, 0)      # the kernel's answer, negative errno; or Puppet.KILLED
"""

import ctypes
import os
import signal

NUMBERS = {
    "mmap": 9, "ioctl": 16, "socket": 41, "socketpair": 53, "clone": 56, "fork": 57, "execve": 59, "kill": 62, "fcntl": 72,
    "ptrace": 101, "setuid": 105, "prctl": 157, "mount": 165, "openat": 257, "unshare": 272, "setns": 308,
    "process_vm_readv": 310, "memfd_create": 319, "bpf": 321, "execveat": 322, "io_uring_setup": 425, "pidfd_open": 434,
    "openat2": 437}
REGISTERS = ("r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss "
             "fs_base gs_base ds es fs gs").split()
ATTACH, DETACH, GETREGS, SETREGS, SINGLESTEP = 16, 17, 12, 13, 9

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


class Registers(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulonglong) for name in REGISTERS]


def supported():
    return os.uname().machine == "x86_64" and os.geteuid() == 0


class Puppet:
    KILLED = "killed"

    def __init__(self, pid):
        self.pid = pid
        self.alive = True
        self.ptrace(ATTACH)
        os.waitpid(pid, 0x40000000)  # __WALL
        self.saved = self.registers()
        self.room = (self.saved.rsp - 8192) & ~15  # below its stack's red zone

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.alive:
            self.set(self.saved)
            self.ptrace(DETACH)
            self.alive = False

    def ptrace(self, request, data=None):
        ctypes.set_errno(0)
        if libc.ptrace(request, self.pid, None, data) == -1 and ctypes.get_errno() != 0:
            raise OSError(ctypes.get_errno(), f"ptrace {request}")

    def registers(self):
        r = Registers()
        self.ptrace(GETREGS, ctypes.addressof(r))
        return r

    def set(self, r):
        self.ptrace(SETREGS, ctypes.addressof(r))

    def put(self, data, offset=0):
        """DATA into its memory; the address."""
        with open(f"/proc/{self.pid}/mem", "r+b", 0) as memory:
            memory.seek(self.room + offset)
            memory.write(data)
        return self.room + offset

    def call(self, name, *arguments):
        """What the kernel answers; bytes are put into memory first, and their address is the argument."""
        values, offset = [], 0
        for argument in arguments:
            if isinstance(argument, bytes):
                values.append(self.put(argument + b"\0", offset))
                offset += (len(argument) + 16) & ~15
            else:
                values.append(argument & 0xFFFFFFFFFFFFFFFF)
        r = Registers.from_buffer_copy(self.saved)
        # It waits in a call: the instruction is the one before.
        r.rip, r.rax, r.orig_rax = self.saved.rip - 2, NUMBERS[name], 0xFFFFFFFFFFFFFFFF
        for register, value in zip(("rdi", "rsi", "rdx", "r10", "r8", "r9"), [*values, *[0] * 6][:6]):
            setattr(r, register, value)
        self.set(r)
        self.ptrace(SINGLESTEP)
        _, status = os.waitpid(self.pid, 0x40000000)
        if os.WIFSIGNALED(status) or os.WIFEXITED(status) or os.WSTOPSIG(status) == signal.SIGSYS:
            if not os.WIFSTOPPED(status):
                self.alive = False
            return self.KILLED
        return ctypes.c_longlong(self.registers().rax).value
