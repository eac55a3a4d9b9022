#!/usr/bin/python3
"""Ways to run a program that no rule names, from a Python that one names. One function per way.

    unlisted.py NAME... : each in a process of its own; prints {name: {"ran": bool, "said": text}}

"ran": the marker program or library (marker.c, in the working directory) or a shell said its word. The test
runs this twice: with `executables: listed`, and with `any`, where every way must work."""

import ctypes
import json
import mmap
import os
import shutil
import stat
import subprocess
import sys
import tempfile

WORD = b"UNLISTED-CODE-RAN"
HERE = os.getcwd()
MARKER = os.path.join(HERE, "marker")
STATIC = os.path.join(HERE, "marker-static")
LIBRARY = os.path.join(HERE, "marker.so")
SAY = "echo UNLISTED-COD''E-RAN"
LOADER = "/lib64/ld-linux-x86-64.so.2"
PYTHON = "/usr/bin/python3"
SCRATCH = tempfile.gettempdir()
WAYS = {}

libc = ctypes.CDLL(None, use_errno=True)


def way(function):
    WAYS[function.__name__] = function
    return function


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def scratch_copy(source, directory=SCRATCH):
    path = os.path.join(tempfile.mkdtemp(dir=directory), "copy")
    shutil.copy(source, path)
    os.chmod(path, 0o755)
    return path


def memfd(source, flags=0):
    fd = checked(libc.memfd_create(b"program", flags))
    with open(source, "rb") as f:
        os.write(fd, f.read())
    return fd


# ---- programs that are not there ----

@way
def shell_by_path():
    os.execv("/bin/sh", ["sh", "-c", SAY])


@way
def shell_by_name():
    os.execvp("sh", ["sh", "-c", SAY])


@way
def shell_by_library_call():
    libc.system(SAY.encode())


@way
def shell_by_spawn():
    os.waitpid(os.posix_spawn("/usr/bin/env", ["env", "sh", "-c", SAY], os.environ), 0)


@way
def shell_through_root_link():
    os.execv("/proc/self/root/bin/sh", ["sh", "-c", SAY])


@way
def shell_through_root_link_of_a_child():
    pid = os.fork()
    if pid == 0:
        libc.pause()
    try:
        subprocess.run([f"/proc/{pid}/root/usr/bin/env", "sh", "-c", SAY])
    finally:
        os.kill(pid, 9)


@way
def shell_through_dots():
    os.execv("/tmp/../usr/lib/../bin/sh", ["sh", "-c", SAY])


# ---- programs in writable places ----

@way
def program_of_the_workspace():
    os.execv(MARKER, ["x"])


@way
def static_program_of_the_workspace():
    os.execv(STATIC, ["x"])


@way
def copy_in_scratch():
    os.execv(scratch_copy(STATIC), ["x"])


@way
def copy_in_home():
    os.execv(scratch_copy(STATIC, os.path.expanduser("~")), ["x"])


@way
def copy_in_shared_memory():
    os.execv(scratch_copy(STATIC, "/dev/shm"), ["x"])


@way
def copy_of_ourselves():
    path = scratch_copy("/proc/self/exe")
    os.execv(path, ["x", "-c", "print('UNLISTED-COD' + 'E-RAN')"])


@way
def hard_link():
    path = os.path.join(HERE, f"link-{os.getpid()}")
    os.link(STATIC, path)
    os.execv(path, ["x"])


@way
def symbolic_link():
    path = os.path.join(SCRATCH, f"symlink-{os.getpid()}")
    os.symlink(STATIC, path)
    os.execv(path, ["x"])


@way
def script_for_a_shell():
    path = os.path.join(SCRATCH, f"script-{os.getpid()}")
    with open(path, "w") as f:
        f.write(f"#!/bin/sh\n{SAY}\n")
    os.chmod(path, 0o755)
    os.execv(path, [path])


@way
def script_for_a_program_of_the_workspace():
    path = os.path.join(SCRATCH, f"script2-{os.getpid()}")
    with open(path, "w") as f:
        f.write(f"#!{STATIC}\n")
    os.chmod(path, 0o755)
    os.execv(path, [path])


# ---- descriptors ----

@way
def descriptor_left_open():
    fd = os.open(STATIC, os.O_RDONLY)
    os.set_inheritable(fd, True)
    os.execv(f"/proc/self/fd/{fd}", ["x"])


@way
def descriptor_without_a_name():
    os.execve(os.open(STATIC, os.O_RDONLY), ["x"], {})


@way
def descriptor_of_a_removed_file():
    path = scratch_copy(STATIC)
    fd = os.open(path, os.O_RDONLY)
    os.unlink(path)
    os.execv(f"/proc/self/fd/{fd}", ["x"])


@way
def descriptor_of_an_unnamed_file():
    fd = os.open(SCRATCH, os.O_TMPFILE | os.O_RDWR, 0o755)
    with open(STATIC, "rb") as f:
        os.write(fd, f.read())
    path = f"/proc/self/fd/{fd}"
    again = os.open(path, os.O_RDONLY)
    os.close(fd)
    os.execv(f"/proc/self/fd/{again}", ["x"])


@way
def memory_file():
    os.execv(f"/proc/self/fd/{memfd(STATIC)}", ["x"])


@way
def memory_file_without_a_name():
    os.execve(memfd(STATIC), ["x"], {})


@way
def memory_file_by_the_loader():
    os.execv(LOADER, ["ld.so", f"/proc/self/fd/{memfd(MARKER)}"])


@way
def memory_file_as_a_library():
    ctypes.CDLL(f"/proc/self/fd/{memfd(LIBRARY)}")


# ---- the dynamic loader, and libraries ----

@way
def loader_with_a_program_of_the_workspace():
    os.execv(LOADER, ["ld.so", MARKER])


@way
def loader_with_a_copy_in_scratch():
    os.execv(LOADER, ["ld.so", scratch_copy(MARKER)])


@way
def loader_with_a_program_of_the_host():
    os.execv(LOADER, ["ld.so", "/usr/bin/env", "sh", "-c", SAY])


@way
def loader_copied():
    os.execv(scratch_copy(LOADER), ["ld.so", MARKER])


@way
def loader_with_a_preloaded_library():
    os.execv(LOADER, ["ld.so", "--preload", LIBRARY, PYTHON, "-c", "0"])


@way
def preloaded_library():
    os.execve(PYTHON, ["python3", "-c", "0"], {"LD_PRELOAD": LIBRARY})


@way
def auditing_library():
    os.execve(PYTHON, ["python3", "-c", "0"], {"LD_AUDIT": LIBRARY})


@way
def library_in_a_path_of_ours():
    directory = tempfile.mkdtemp()
    shutil.copy(LIBRARY, os.path.join(directory, "libm.so.6"))
    shutil.copy(LIBRARY, os.path.join(directory, "libz.so.1"))
    os.execve(PYTHON, ["python3", "-c", "import zlib"], {"LD_LIBRARY_PATH": directory})


@way
def opened_library():
    ctypes.CDLL(LIBRARY)


@way
def opened_library_in_scratch():
    ctypes.CDLL(scratch_copy(LIBRARY))


@way
def extension_module():
    directory = tempfile.mkdtemp()
    shutil.copy(LIBRARY, os.path.join(directory, "extension.so"))
    sys.path.insert(0, directory)
    try:
        __import__("extension")
    except ImportError as e:
        print(e)


@way
def mapped_file():
    """The threshold is the mapping itself: what is mapped as code can be jumped to."""
    with open(LIBRARY, "rb") as f:
        mmap.mmap(f.fileno(), 4096, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC)
    print("UNLISTED-COD" + "E-RAN")


@way
def mapped_file_made_code_later():
    with open(LIBRARY, "rb") as f:
        m = mmap.mmap(f.fileno(), 4096, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    at = ctypes.addressof(ctypes.c_char.from_buffer(m))
    checked(libc.mprotect(ctypes.c_void_p(at), ctypes.c_size_t(4096), mmap.PROT_READ | mmap.PROT_EXEC))
    print("UNLISTED-COD" + "E-RAN")


# ---- making a writable place executable: works in namespaces of one's own, which `any` refuses as well ----

MS_BIND, MS_REMOUNT, MS_NOSUID, MS_NODEV = 4096, 32, 2, 4


@way
def writable_place_mounted_anew():
    place = tempfile.mkdtemp()
    checked(libc.mount(b"none", place.encode(), b"tmpfs", 0, None))
    os.execv(scratch_copy(STATIC, place), ["x"])


@way
def writable_place_bound_with_execution():
    checked(libc.mount(SCRATCH.encode(), SCRATCH.encode(), None, MS_BIND, None))
    checked(libc.mount(b"none", SCRATCH.encode(), None, MS_BIND | MS_REMOUNT | MS_NOSUID | MS_NODEV, None))
    os.execv(scratch_copy(STATIC), ["x"])


@way
def program_bound_over_a_listed_one():
    checked(libc.mount(STATIC.encode(), os.path.realpath(PYTHON).encode(), None, MS_BIND, None))
    os.execv(PYTHON, ["x"])


@way
def root_of_our_own():
    place = tempfile.mkdtemp()
    shutil.copy(STATIC, os.path.join(place, "x"))
    checked(libc.chroot(place.encode()))
    os.execv("/x", ["x"])


# ---- what stays possible: see doc/sandbox.md ----

@way
def code_in_anonymous_memory():
    """mov eax, 42; ret"""
    m = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    m.write(b"\xb8\x2a\x00\x00\x00\xc3")
    f = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))
    if f() == 42:
        print("UNLISTED-COD" + "E-RAN")


@way
def programs_that_exist():
    """Not a way: every file that anybody may execute, by what a program can see."""
    found = []
    for base, _, names in os.walk("/"):
        if base.startswith("/proc"):
            continue
        for name in names:
            path = os.path.join(base, name)
            try:
                st = os.lstat(path)
            except OSError:
                continue
            if stat.S_ISREG(st.st_mode) and st.st_mode & 0o111 and os.access(path, os.X_OK):
                found.append(path)
    print("\n".join(sorted(found)))


def attempt(function):
    """In a process of its own, whose output is caught."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(writer, 1)
        os.dup2(writer, 2)
        os.close(writer)
        os.close(reader)
        try:
            function()
        except BaseException as e:
            print(type(e).__name__, e, flush=True)
        sys.stdout.flush()
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as f:
        said = f.read()
    os.waitpid(pid, 0)
    return {"ran": WORD in said, "said": said.decode(errors="replace")[-100000:]}


if __name__ == "__main__":
    print(json.dumps({name: attempt(WAYS[name]) for name in sys.argv[1:] or WAYS}))
