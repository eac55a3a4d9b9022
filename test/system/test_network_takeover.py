#!/usr/bin/python3
"""The programs of the network boundary, taken over: what each could still do is what its locks leave. First by system
calls that we make in them (lib/puppet.py), then by speaking to a gateway's siblings in its name. Each attempt has a
control that succeeds: the same call in a process without locks, the same message as it should be. Needs root."""

import array
import copy
import ctypes
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import unittest
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import internet  # noqa: E402
from arbiter_kit import ERROR, GRANT, NET_PROPOSE, NET_REACH, NET_REACHED, NET_VERDICT, Closed, Talk  # noqa: E402
from internet import Response, rule  # noqa: E402
from puppet import Puppet, supported  # noqa: E402
from ring import alive, children_of, file_text, modes, wait_until  # noqa: E402

DIAL, DIALED = 120, 121
RULES = [rule("http", "site", hosts=["www.example.com"], methods=["GET"]),
         rule("http", "api", hosts=["api.example.com"], methods=["GET"], paths=["/public/**"], credential="token")]


class Boundary(unittest.TestCase):
    """One Ringfence whose boundary is in use."""

    mode = "root"

    def setUp(self):
        self.net = internet.Internet()
        self.addCleanup(self.net.close)
        self.web = self.net.https("www.example.com", lambda request: Response(200, "hello\n"))
        self.api = self.net.https("api.example.com", lambda request: Response(200, "api\n"))
        self.other = self.net.https("other.example.net", lambda request: Response(200, "other\n"))
        self.ring = self.net.ring(self.mode)
        self.net.secret(self.ring, "token", "a-token-of-sixteen", "--host", "api.example.com", "--path", "/public/**")
        self.policy = self.net.policy(self.ring, RULES)

    def sandbox(self):
        """A session that has used its network; its id."""
        p = self.ring.cli("sandbox", "create", "--policy", self.policy)
        self.assertEqual(p.returncode, 0, p.stderr)
        made = p.stdout.decode().strip()
        p = self.ring.cli("sandbox", "exec", made, "--", "curl", "-sS", "https://www.example.com/")
        self.assertEqual(p.stdout, b"hello\n", p.stderr)
        return made

    def program(self, name):
        supervisor = self.ring.programs()["rf-supervisor"]
        return next(p for p in children_of(supervisor) if file_text(f"/proc/{p}/comm").strip() == name)


# ---- system calls ----

AF_INET, AF_UNIX, AF_NETLINK = 2, 1, 16
F_SETOWN, F_SETSIG, FIOSETOWN, SIOCSPGRP, FIOASYNC = 8, 10, 0x8901, 0x8902, 0x5452
LOOPBACK = struct.pack("=HHI8x", AF_INET, socket.htons(5353), socket.htonl(0x7F000001))
CODE = 4  # PROT_EXEC

# What an attacker would do next; a control process without locks can do it (None: only root could, so no control).
CALLS = [
    ("socket", (AF_INET, 1, 0), True), ("socket", (AF_INET, 2, 0), True), ("socket", (AF_UNIX, 1, 0), True),
    ("socket", (AF_NETLINK, 3, 0), True), ("socket", (AF_INET, 3, 1), None), ("socket", (17, 3, 0), None),
    ("socketpair", (AF_UNIX, 1, 0, b"\0" * 8), True),
    ("openat", (-100, b"/etc/passwd", 0), True), ("openat", (-100, b"/tmp", 0), True),
    ("openat", (-100, b"/proc/self/maps", 0), True), ("openat", (-100, b"/tmp/rf-taken-over", 0o102, 0o600), True),
    ("openat2", (-100, b"/etc/passwd", b"\0" * 24, 24), True),
    ("mmap", (0, 4096, 1 | CODE, 0x22, -1, 0), True), ("fork", (), True), ("clone", (17,), True),
    ("kill", (os.getpid(), 0), None), ("kill", (-1, 0), None), ("setuid", (0,), None),
    ("ptrace", (16, 1), None), ("pidfd_open", (1, 0), True), ("process_vm_readv", (1, b"\0" * 16, 1, b"\0" * 16, 1, 0), None),
    ("unshare", (0x10000000,), True), ("mount", (b"x", b"/", b"tmpfs", 0, 0), None), ("bpf", (0, b"\0" * 64, 64), None),
    ("io_uring_setup", (8, b"\0" * 128), None), ("prctl", (4, 1), True), ("setns", (0, 0), None),
    ("execve", (b"/bin/true", 0, 0), None), ("execveat", (-100, b"/bin/true", 0, 0, 0), None),
    ("memfd_create", (b"x", 0), True),
]
# What one of them needs, and is allowed for that.
ITS_OWN = {"rf-dialer": {("socket", (AF_INET, 1, 0)), ("socket", (AF_INET, 2, 0))},
           "rf-gateway": {("memfd_create", (b"x", 0))},
           "rf-vault": set()}


def allowed(answer):
    return answer != Puppet.KILLED and answer >= 0


class Calls:
    """In each program, one call after the other: it dies of it, or the kernel says no."""

    def control(self, name, arguments):
        with subprocess.Popen(["sleep", "1000"]) as process:
            try:
                wait_until(lambda: "nanosleep" in file_text(f"/proc/{process.pid}/wchan") or
                           file_text(f"/proc/{process.pid}/syscall").split(" ")[0] in ("35", "230"), "sleeps")
                with Puppet(process.pid) as puppet:
                    return allowed(puppet.call(name, *arguments))
            finally:
                process.kill()

    def try_all(self, program):
        before = self.program_ready(program)
        for name, arguments, control in CALLS:
            if (name, arguments) in ITS_OWN[program]:
                continue
            if control:
                self.assertTrue(self.control(name, arguments), f"the control of {name}{arguments} fails")
            pid = self.program_ready(program)
            with Puppet(pid) as puppet:
                answer = puppet.call(name, *arguments)
                killed = answer == Puppet.KILLED
                self.assertFalse(allowed(answer), f"{program}: {name}{arguments} gave {answer}")
            if killed:
                self.gone(pid)
        return before

    def program_ready(self, program):
        """Its pid, of one that lives and waits."""
        def ready():
            if not hasattr(self, "session") or not self.answers():
                self.session = self.sandbox()
            pid = self.program(program)
            return pid if file_text(f"/proc/{pid}/syscall").split(" ")[0] in ("232", "281") else None
        return wait_until(ready, program + " waits")

    def answers(self):
        try:
            p = self.ring.cli("sandbox", "exec", self.session, "--", "true")
        except subprocess.TimeoutExpired:
            return False
        return p.returncode == 0

    def gone(self, pid):
        wait_until(lambda: not alive(pid), "it died")

    def test_gateway(self):
        self.try_all("rf-gateway")

    def test_dialer(self):
        self.try_all("rf-dialer")

    def test_vault(self):
        self.try_all("rf-vault")

    def test_a_gateway_cannot_make_the_kernel_signal_anybody(self):
        """Rootless, every program has one uid, and a descriptor's owner is signalled by the kernel in its name."""
        for name, arguments in (("fcntl", (3, F_SETOWN, os.getpid())), ("fcntl", (3, F_SETSIG, 9)),
                                ("ioctl", (3, FIOSETOWN, struct.pack("i", os.getpid()))),
                                ("ioctl", (3, SIOCSPGRP, struct.pack("i", os.getpid()))),
                                ("ioctl", (3, FIOASYNC, struct.pack("i", 1)))):
            pid = self.program_ready("rf-gateway")
            with Puppet(pid) as puppet:
                answer = puppet.call(name, *arguments)
            self.assertFalse(allowed(answer), (name, arguments, answer))
            if answer == Puppet.KILLED:
                self.gone(pid)
        ours, theirs = socket.socketpair()
        with subprocess.Popen(["sleep", "1000"], pass_fds=[theirs.fileno()]) as process:
            wait_until(lambda: file_text(f"/proc/{process.pid}/syscall").split(" ")[0] in ("35", "230"), "sleeps")
            with Puppet(process.pid) as puppet:
                self.assertEqual(puppet.call("fcntl", theirs.fileno(), F_SETOWN, os.getpid()), 0)
            process.kill()
        ours.close()
        theirs.close()


# ---- messages ----


def unix_peers():
    """{inode: inode of its peer} of the unix sockets of this network namespace (sock_diag(7))."""
    peers = {}
    request = struct.pack("=IHHII", 40, 20, 0x301, 1, 0) + struct.pack("=BBHIIIII", AF_UNIX, 0, 0, 0xFFFFFFFF, 0, 4,
                                                                       0xFFFFFFFF, 0xFFFFFFFF)
    with socket.socket(AF_NETLINK, socket.SOCK_RAW, 4) as s:
        s.send(request)
        while True:
            data = s.recv(1 << 20)
            while data:
                length, kind = struct.unpack_from("=IH", data)
                if kind in (2, 3):
                    return peers
                inode = struct.unpack_from("=I", data, 20)[0]
                at = 32
                while at + 4 <= length:
                    size, attribute = struct.unpack_from("=HH", data, at)
                    if attribute == 2:
                        peers[inode] = struct.unpack_from("=I", data, at + 4)[0]
                    at += max((size + 3) & ~3, 4)
                data = data[(length + 3) & ~3:]


def socket_inodes(pid):
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        match = re.match(r"socket:\[(\d+)\]", os.readlink(f"/proc/{pid}/fd/{fd}"))
        if match:
            found[int(match.group(1))] = int(fd)
    return found


class Impostor:
    """Speaks in the name of a gateway that stands still."""

    def __init__(self, test):
        self.test = test
        self.pid = test.program("rf-gateway")
        os.kill(self.pid, signal.SIGSTOP)
        self.pidfd = os.pidfd_open(self.pid)
        peers, ours = unix_peers(), socket_inodes(self.pid)
        self.talks = {}
        for name in ("rf-arbiter", "rf-dialer", "rf-vault", "rf-supervisor"):
            pid = test.ring.programs().get(name) or test.program(name)
            for inode in socket_inodes(pid):
                if peers.get(inode) in ours:
                    self.talks[name] = Talk(self.take(ours[peers[inode]]))

    def take(self, fd):
        number = ctypes.CDLL(None, use_errno=True).syscall(438, self.pidfd, fd, 0)
        if number < 0:
            raise OSError(ctypes.get_errno(), "pidfd_getfd")
        taken = socket.socket(fileno=number)
        return taken

    def close(self):
        for talk in self.talks.values():
            talk.close()
        os.close(self.pidfd)
        os.kill(self.pid, signal.SIGKILL)

    def propose(self, sandbox, **changes):
        request = dict({"scheme": "https", "host": "www.example.com", "port": 443, "method": "GET", "path": "/",
                        "body_bytes": 0, "headers": {}}, **changes)
        action = {"kind": "http", "target": f"https://{request['host']}", "request": request}
        return self.talks["rf-arbiter"].call(NET_PROPOSE, {"sandbox": sandbox, "action": action}, NET_VERDICT)

    def dial(self, ticket, mac):
        """The connected socket, or the error's code."""
        talk = self.talks["rf-dialer"]
        talk.serial += 1
        text = internet.json.dumps({"ticket": ticket, "mac": mac}).encode()
        talk.raw(struct.pack("<IHHII", 0x314D4652, DIAL, 0, talk.serial, len(text)) + text)
        self.test.assertTrue(select.select([talk.sock], [], [], 20)[0], "the dialer says nothing")
        data, rights, _, _ = talk.sock.recvmsg(1 << 18, socket.CMSG_SPACE(64))
        if not data:
            raise Closed()
        body = internet.json.loads(data[16:])
        if struct.unpack_from("<H", data, 4)[0] == ERROR:
            return body["error"]["code"]
        numbers = array.array("i")
        numbers.frombytes(rights[0][2])
        return socket.socket(fileno=numbers[0])


class Messages:
    def setUp(self):
        super().setUp()
        self.session = self.sandbox()
        self.impostor = Impostor(self)
        self.addCleanup(self.impostor.close)

    def ticket(self):
        verdict = self.impostor.propose(self.session)
        self.assertEqual(verdict["state"], "performing", verdict)
        return verdict["ticket"], verdict["mac"]

    def test_the_control_a_ticket_connects_once_and_to_its_place(self):
        ticket, mac = self.ticket()
        connection = self.impostor.dial(ticket, mac)
        self.assertNotIsInstance(connection, str)
        self.assertIn(connection.getpeername()[0], self.net.address("www.example.com"))
        connection.close()
        for _ in range(ticket.get("connections", 1) - 1):
            self.impostor.dial(ticket, mac).close()
        self.assertEqual(self.impostor.dial(ticket, mac), "ticket_refused")

    def test_no_ticket_or_another_one_connects_nowhere(self):
        ticket, mac = self.ticket()
        address = self.net.address("other.example.net")[0]
        for changes in ({"host": "other.example.net"}, {"host": address}, {"port": 80}, {"addresses": ["127.0.0.0/8"]},
                        {"expires_ms": ticket["expires_ms"] + 1}, {"connections": 1000}, {"action_id": str(uuid.uuid4())},
                        {"sandbox": str(uuid.uuid4())}, {"id": str(uuid.uuid4())}, {"gateway": ticket["gateway"] + 1}):
            forged = dict(copy.deepcopy(ticket), **changes)
            self.assertEqual(self.impostor.dial(forged, mac), "ticket_refused", changes)
        for other in ("0" * 64, mac[:-1] + ("0" if mac[-1] != "0" else "1"), mac[::-1]):
            self.assertEqual(self.impostor.dial(ticket, other), "ticket_refused")
        self.assertEqual(self.other.connections, 0)
        self.assertNotIn("other.example.net", self.net.dns.names_asked())
        connection = self.impostor.dial(ticket, mac)  # the true one still does
        self.assertNotIsInstance(connection, str)
        connection.close()

    def test_what_is_denied_has_no_ticket_whoever_asks(self):
        for changes in ({"host": "other.example.net"}, {"method": "POST"}, {"port": 8443},
                        {"host": "api.example.com", "path": "/private"}):
            verdict = self.impostor.propose(self.session, **changes)
            self.assertEqual(verdict["state"], "denied", verdict)
            self.assertFalse({"ticket", "mac", "grant"} & set(verdict), verdict)

    def test_another_sandbox_cannot_be_spoken_for(self):
        for other in (str(uuid.uuid4()), "", "../x"):
            with self.assertRaises((Closed, AssertionError)):
                verdict = self.impostor.propose(other)
                self.assertNotEqual(verdict["state"], "performing")
                raise AssertionError("refused")
            self.assertEqual(self.web.connections, 1)
            if self.impostor.talks["rf-arbiter"].sock.fileno() < 0:
                return

    def test_the_vault_hears_no_gateway(self):
        vault = self.impostor.talks["rf-vault"]
        vault.send(GRANT, {"grant": str(uuid.uuid4()), "credential": "token", "action_id": str(uuid.uuid4()),
                           "sandbox": self.session, "gateway": 1, "target": {"kind": "http", "scheme": "https",
                           "host": "api.example.com", "port": 443, "method": "GET", "path": "/public/x"},
                           "digest": "0" * 64, "expires_ms": 1 << 42})
        with self.assertRaises((Closed, BrokenPipeError)):
            kind, _, body = vault.receive()
            self.assertNotIn("a-token-of-sixteen", str(body), kind)
            vault.receive()

    def test_a_granted_credential_is_for_its_action(self):
        """The control: the gateway gets it for what is allowed."""
        verdict = self.impostor.propose(self.session, host="api.example.com", path="/public/x")
        self.assertEqual(verdict["state"], "performing", verdict)
        _, _, body = self.impostor.talks["rf-vault"].receive()
        self.assertEqual(body["value"], "a-token-of-sixteen")
        self.assertEqual(body["grant"], verdict["grant"])
        self.assertEqual(verdict["ticket"]["host"], "api.example.com")

    def test_reach_says_what_could_be_and_gives_nothing(self):
        said = self.impostor.talks["rf-arbiter"].call(NET_REACH, {"sandbox": self.session, "host": "www.example.com",
                                                                  "port": 443}, NET_REACHED)
        self.assertTrue(said["reach"] and said["intercept"])
        self.assertFalse({"ticket", "mac"} & set(said))


def setUpModule():
    internet.enter()


if supported():
    for _mode in modes():
        for _base in (Calls, Messages):
            _name = _base.__name__ + ("AsRoot" if _mode == "root" else "Rootless")
            globals()[_name] = type(_name, (_base, Boundary), {"mode": _mode})
else:
    class Unsupported(unittest.TestCase):
        def test_the_programs_taken_over(self):
            self.skipTest("needs root and x86-64")

if __name__ == "__main__":
    unittest.main()
