"""A real rf-dialer in a network of its own, with name servers and upstreams that the test makes.

The kit plays rf-supervisor, rf-arbiter and the gateways. The test's process runs in a new network namespace
(`in_a_network` starts it again there), whose loopback interface is given addresses that are public elsewhere: nothing
leaves the namespace. Nothing here sleeps; every wait is for something that comes, and gives up after WAIT seconds.
"""

import array
import fcntl
import hashlib
import hmac
import itertools
import json
import os
import resource
import select
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

WAIT = 30
MAGIC = 0x314D4652
ERROR, PEER_JOIN, DIAL, DIALED, TICKET_KEY = 1, 100, 120, 121, 122
STATUS, DIALER_UID, ORDINARY_UID = 19, 0x70000004, 64021

PUBLIC, PUBLIC_2, PUBLIC_3, CLOSED = "93.184.216.34", "93.184.216.35", "8.8.4.4", "93.184.216.99"
PUBLIC_6 = "2606:2800:220:1:248:1893:25c8:1946"
PRIVATE, METADATA, PRIVATE_6 = "10.1.2.3", "169.254.169.254", "fd12::3"
DNS_PORT, DEAD_DNS_PORT = 5353, 5354
KEY = "ab" * 32


def bin_dir():
    return os.environ.get("RINGFENCE_BIN") or os.path.join(
        os.path.dirname(os.path.abspath(__file__)), "../../build/bin")


# ---- the network ----

def in_a_network():
    """Runs this program again in a new network namespace (and one of mounts), unless it is there."""
    if os.environ.get("RINGFENCE_TEST_NETWORK") == "1":
        raise_loopback()
        return
    if os.geteuid() != 0:
        print("only root makes a network for this test: skipped")
        sys.exit(77)
    os.environ["RINGFENCE_TEST_NETWORK"] = "1"
    os.execvp("unshare", ["unshare", "-n", "-m", "--", sys.executable, *sys.argv])


def cover_file(path, text):
    """Shows TEXT at PATH to this test and what it starts; nobody else sees it."""
    fd, name = tempfile.mkstemp()
    with open(fd, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(name, 0o644)
    subprocess.run(["mount", "--bind", name, path], check=True)
    os.unlink(name)


def raise_loopback():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, 0x8914, struct.pack("16sH14x", b"lo", 0x49))  # SIOCSIFFLAGS: up, loopback, running
        for i, address in enumerate([PUBLIC, PUBLIC_2, PUBLIC_3, PRIVATE, METADATA]):
            name = f"lo:{i}".encode()
            sin = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))
            fcntl.ioctl(s, 0x8916, struct.pack("16s16s", name, sin))  # SIOCSIFADDR
            mask = struct.pack("HH4s8x", socket.AF_INET, 0, b"\xff" * 4)
            fcntl.ioctl(s, 0x891C, struct.pack("16s16s", name, mask))  # SIOCSIFNETMASK
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
        for address in (PUBLIC_6, PRIVATE_6):
            raw = socket.inet_pton(socket.AF_INET6, address)
            fcntl.ioctl(s, 0x8916, struct.pack("16sIi", raw, 128, socket.if_nametoindex("lo")))


def netlink(kind, flags, body):
    """One rtnetlink(7) request; its errno, 0 if it worked."""
    request = struct.pack("=IHHII", 16 + len(body), kind, 0x5 | flags, 1, 0) + body  # REQUEST, ACK
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as s:
        s.send(request)
        return -struct.unpack_from("=i", s.recv(4096), 16)[0]


def attribute(kind, value):
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def change_address(verb, device, address):
    """"add"s or "del"etes the IPv4 ADDRESS of DEVICE."""
    kind, flags = {"add": (20, 0x600), "del": (21, 0)}[verb]  # RTM_NEWADDR with CREATE and EXCL, RTM_DELADDR
    raw = socket.inet_aton(address)
    body = struct.pack("=BBBBI", socket.AF_INET, 32, 0, 0, socket.if_nametoindex(device))
    error = netlink(kind, flags, body + attribute(2, raw) + attribute(1, raw))
    assert error == 0, os.strerror(error)


def add_own_address(address):
    """An address of this host that is not on the loopback interface; False where the kernel has no interface for it."""
    for kind in (b"dummy", b"bridge"):
        body = struct.pack("=BxHiII", 0, 0, 0, 1, 1) + attribute(3, b"own0\0") + attribute(18, attribute(1, kind))
        if netlink(16, 0x600, body) == 0:  # RTM_NEWLINK, up
            change_address("add", "own0", address)
            return True
    return False


class Upstream(threading.Thread):
    """Says at which address it was reached to whoever connects."""

    def __init__(self, address, port):
        super().__init__(daemon=True)
        self.listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((address, port))
        self.listener.listen(4096)
        self.accepted = []
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()

    def run(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            self.accepted.append(s)
            try:
                s.sendall(s.getsockname()[0].encode() + b"\n")
            except OSError:
                pass


class BlackHole:
    """A listener whose queue is full: connections to it are neither accepted nor refused."""

    def __init__(self, address, port):
        self.listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        self.listener.bind((address, port))
        self.listener.listen(0)
        self.fill = []
        for _ in range(4):
            s = socket.socket(self.listener.family)
            s.setblocking(False)
            s.connect_ex((address, port))
            self.fill.append(s)
        select.select([], self.fill[:1], [], WAIT)


# ---- names ----

A, CNAME, AAAA = 1, 5, 28
NXDOMAIN, SERVFAIL, DROP, NODATA = "nxdomain", "servfail", "drop", "nodata"
TRUNCATE, FORGED = "truncate", "forged"


def wire_name(name):
    return b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0"


def record(name, kind, value):
    if kind == CNAME:
        data = wire_name(value)
    else:
        data = socket.inet_pton(socket.AF_INET6 if kind == AAAA else socket.AF_INET, value)
    return wire_name(name) + struct.pack(">HHIH", kind, 1, 0, len(data)) + data


class NameServer(threading.Thread):
    """Answers from ZONE: name → what, or name → function of (type, how often it was asked before).

    What: addresses (those of the type asked for are sent), (CNAME, name) pairs among them, a word above, (TRUNCATE,
    addresses): only by TCP, or (FORGED, address, addresses): first answers that were not asked for, with ADDRESS.
    """

    def __init__(self, zone, port=DNS_PORT):
        super().__init__(daemon=True)
        self.zone = zone
        self.asked = []
        self.ports = {}
        self.lock = threading.Lock()
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", port))
        self.tcp = socket.socket()
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.tcp.bind(("127.0.0.1", port))
        self.tcp.listen(16)
        threading.Thread(target=self.serve_tcp, daemon=True).start()
        self.start()

    def what(self, name, kind):
        with self.lock:
            before = sum(q == (name, kind) for q in self.asked)
            self.asked.append((name, kind))
        found = self.zone.get(name, NXDOMAIN)
        return found(kind, before) if callable(found) else found

    def answer(self, query, tcp):
        ident, _, _, _, _, _ = struct.unpack(">HHHHHH", query[:12])
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        name, (kind,) = ".".join(labels), struct.unpack(">H", query[at + 1:at + 3])
        question = query[12:at + 5]
        found = self.what(name, kind)
        if found == DROP:
            return None
        flags, records = 0x8180, []
        if found == NXDOMAIN:
            flags |= 3
        elif found == SERVFAIL:
            flags |= 2
        elif isinstance(found, tuple) and found[0] == FORGED:
            records = self.records(name, kind, found[2])
        elif isinstance(found, tuple) and found[0] == TRUNCATE:
            if not tcp:
                flags |= 0x200
            else:
                records = self.records(name, kind, found[1])
        elif found != NODATA:
            records = self.records(name, kind, found)
        head = struct.pack(">HHHHHH", ident, flags, 1, len(records), 0, 0)
        return head + question + b"".join(records)

    @staticmethod
    def records(name, kind, found):
        records, owner = [], name
        for item in found:
            if isinstance(item, tuple):
                records.append(record(owner, CNAME, item[1]))
                owner = item[1]
            elif kind == (AAAA if ":" in item else A):
                records.append(record(owner, kind, item))
        return records

    def run(self):
        while True:
            query, peer = self.udp.recvfrom(4096)
            reply = self.answer(query, tcp=False)
            with self.lock:
                self.ports.setdefault(peer[1], 0)
                self.ports[peer[1]] += 1
            if reply is None:
                continue
            for forged in self.forged(query, reply):
                self.udp.sendto(forged, peer)
            self.udp.sendto(reply, peer)

    def forged(self, query, reply):
        """Answers that somebody else might send: another number, another question."""
        for name, found in self.zone.items():
            if isinstance(found, tuple) and found[0] == FORGED and query[12:].startswith(wire_name(name)):
                lie = record(name, A, found[1])
                head = struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0)
                question = wire_name(name) + struct.pack(">HH", A, 1)
                for i in range(1, 64):
                    ident = (struct.unpack(">H", query[:2])[0] + i) & 0xffff
                    yield struct.pack(">H", ident) + head + question + lie
                other = wire_name("other.test") + struct.pack(">HH", A, 1)
                yield query[:2] + head + other + lie
                yield query[:2] + b"\0"
                yield b""

    def serve_tcp(self):
        while True:
            s, _ = self.tcp.accept()
            with s:
                data = s.recv(4096)
                reply = self.answer(data[2:], tcp=True)
                if reply is not None:
                    s.sendall(struct.pack(">H", len(reply)) + reply)


# ---- conversations ----

class Closed(Exception):
    pass


class Talk:
    """One conversation."""

    def __init__(self, sock):
        self.sock = sock
        self.serials = itertools.count(1)
        self.early = {}

    def send(self, kind, body, serial=None, fds=()):
        serial = next(self.serials) if serial is None else serial
        text = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        packet = struct.pack("<IHHII", MAGIC, kind, 0, serial, len(text)) + text
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.sock.sendmsg([packet], rights)
        return serial

    def receive(self):
        if not select.select([self.sock], [], [], WAIT)[0]:
            raise TimeoutError("no packet came")
        try:
            packet, rights, _, _ = self.sock.recvmsg(256 * 1024, socket.CMSG_SPACE(64))
        except ConnectionResetError:
            raise Closed() from None
        if not packet:
            raise Closed()
        fds = array.array("i")
        for _, _, data in rights:
            fds.frombytes(data[:len(data) - len(data) % 4])
        _, kind, _, serial, _ = struct.unpack("<IHHII", packet[:16])
        return kind, serial, json.loads(packet[16:]), list(fds)

    def reply(self, serial):
        """(type, body, descriptors) of the reply to SERIAL, whatever comes before."""
        while serial not in self.early:
            kind, s, body, fds = self.receive()
            self.early[s] = kind, body, fds
        return self.early.pop(serial)

    def is_quiet(self):
        return not select.select([self.sock], [], [], 0)[0]

    def is_closed(self):
        """Whether the other side ended it; waits for that."""
        try:
            while True:
                self.receive()
        except Closed:
            return True
        except TimeoutError:
            return False

    def close(self):
        self.sock.close()


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class Arbiter(Talk):
    """Signs what it is told to sign."""

    key = KEY

    def send_key(self, key=KEY):
        self.key = key
        self.send(TICKET_KEY, {"key": key}, serial=0)

    def ticket(self, host, port, gateway=1, **more):
        ticket = {"id": os.urandom(12).hex(), "gateway": gateway, "sandbox": "sbx-1", "action_id": "act-1",
                  "host": host, "port": port, "expires_ms": int(time.time() * 1000) + 60000, "connections": 1}
        ticket.update(more)
        return ticket

    def sign(self, ticket, key=None):
        mac = hmac.new(bytes.fromhex(key or self.key), canonical(ticket), hashlib.sha256).hexdigest()
        return {"ticket": ticket, "mac": mac}


class Gateway(Talk):
    def __init__(self, sock, dialer, number):
        super().__init__(sock)
        self.dialer = dialer
        self.number = number

    def ask(self, host, port, **more):
        """Dials with a ticket that the arbiter signs; the serial."""
        ticket = self.dialer.arbiter.ticket(host, port, **{"gateway": self.number, **more})
        return self.send(DIAL, self.dialer.arbiter.sign(ticket))

    def result(self, serial):
        """("dialed", address, socket) or (code of the error, message, None)."""
        kind, body, fds = self.reply(serial)
        if kind == DIALED:
            assert len(fds) == 1
            return "dialed", body["address"], socket.socket(fileno=fds[0])
        assert kind == ERROR and not fds
        return body["error"]["code"], body["error"]["message"], None

    def dial(self, host, port, **more):
        return self.result(self.ask(host, port, **more))

    def present(self, body):
        """Dials with BODY; (code, message) of what came of it."""
        code, text, s = self.result(self.send(DIAL, body))
        if s is not None:
            s.close()
        return code, text

    def code(self, host, port):
        code, _, s = self.dial(host, port)
        if s is not None:
            s.close()
        return code


class Dialer:
    """A running rf-dialer that the arbiter and gateway 1 have joined."""

    def __init__(self, config=None, ordinary=False, join=True, log=None, uid=DIALER_UID):
        self.directory = tempfile.mkdtemp(prefix="rf-dialer-")
        os.chmod(self.directory, 0o755)
        self.state = os.path.join(self.directory, "dialer")
        os.mkdir(self.state, 0o700)
        owner = ORDINARY_UID if ordinary else DIALER_UID
        os.chown(self.state, owner, owner)
        path = os.path.join(self.directory, "config.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(config or f"people:\n  operator: {{users: [root]}}\nnetwork:\n  resolvers: [127.0.0.1:{DNS_PORT}]\n")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        files = [os.open(self.state, os.O_RDONLY | os.O_DIRECTORY), os.open(path, os.O_RDONLY)]
        order = {3: theirs.fileno(), 4: files[0], 7: files[1]}

        def arrange():
            high = {fd: fcntl.fcntl(value, fcntl.F_DUPFD, 200) for fd, value in order.items()}
            for fd, value in high.items():
                os.dup2(value, fd)
            if ordinary:
                os.setgroups([])
                os.setresgid(owner, owner, owner)
                os.setresuid(owner, owner, owner)

        # What Popen opens for itself must lie above the numbers that `arrange` gives away.
        low = [os.open("/dev/null", os.O_RDONLY)]
        while low[-1] < 10:
            low.append(os.open("/dev/null", os.O_RDONLY))
        own = "0" if ordinary else str(uid)
        self.process = subprocess.Popen([os.path.join(bin_dir(), "rf-dialer"), "--uid", own, "--gid", own],
                                        preexec_fn=arrange, close_fds=False, stderr=log or subprocess.DEVNULL)
        for fd in files + low:
            os.close(fd)
        theirs.close()
        self.supervisor = Talk(ours)
        self.talks = [self.supervisor]
        self.arbiter = None
        if join:
            self.join_arbiter().send_key()
            self.gateway = self.join_gateway(1)

    def join(self, body, make):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.supervisor.send(PEER_JOIN, body, serial=0, fds=[theirs.fileno()])
        theirs.close()
        talk = make(ours)
        self.talks.append(talk)
        return talk

    def join_arbiter(self):
        self.arbiter = self.join({"peer": "arbiter"}, Arbiter)
        return self.arbiter

    def join_gateway(self, number):
        return self.join({"peer": "gateway", "gateway": number, "tenant": "default"},
                         lambda sock: Gateway(sock, self, number))

    def wait(self):
        return self.process.wait(WAIT)

    def destroy(self):
        for talk in self.talks:
            talk.close()
        try:
            self.process.wait(WAIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)
