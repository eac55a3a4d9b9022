#!/usr/bin/python3
"""The resolver of a sandbox, asked from inside by raw messages and by the usual programs, over UDP and TCP, IPv4 and
IPv6; and what an agent could try with it: names that only look allowed, tunnels, another sandbox's addresses, floods.
What must not happen outside has a control that shows it would have been seen."""

import ipaddress
import json
import os
import shutil
import socket
import struct
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import internet  # noqa: E402
from internet import Internet, Response, echo, encode_name, rule  # noqa: E402
from ring import modes, wait_until  # noqa: E402

PYTHON = "/usr/bin/python3"
NET = None
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)
A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, SRV, SVCB, HTTPS, AXFR, ANY = 1, 2, 5, 6, 12, 15, 16, 28, 33, 64, 65, 252, 255
V4, V6 = ipaddress.ip_network("198.18.0.0/15"), ipaddress.ip_network("fd52:6600::/64")

# What runs inside. A question is [over, server, name or hex of a whole message, type]; each is answered by a list:
# [rcode, truncated, the answers' data in hex, the address that answered], or the name of an error.
AGENT = r"""
import json, socket, struct, sys

def message(name, kind, cls=1, ident=0x1234):
    labels = b"".join(bytes([len(l)]) + l for l in name.encode("latin-1").split(b".") if l)
    return struct.pack(">6H", ident, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", kind, cls)

def skip_name(m, at):
    while m[at] != 0:
        if m[at] >= 192:
            return at + 2
        at += 1 + m[at]
    return at + 1

def read(m, peer):
    flags, questions, answers = struct.unpack_from(">3H", m, 2)
    at, data = 12, []
    for _ in range(questions):
        at = skip_name(m, at) + 4
    for _ in range(answers):
        at = skip_name(m, at)
        length = struct.unpack_from(">H", m, at + 8)[0]
        data.append(m[at + 10:at + 10 + length].hex())
        at += 10 + length
    return [flags & 15, bool(flags & 0x200), data, peer]

def ask(over, server, what, kind, port=53):
    m = bytes.fromhex(what[4:]) if what.startswith("hex:") else message(what, kind)
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    try:
        if over == "udp":
            s = socket.socket(family, socket.SOCK_DGRAM)
            s.settimeout(10)
            s.sendto(m, (server, port))
            answer, peer = s.recvfrom(4096)
            return read(answer, peer[0])
        s = socket.create_connection((server, port), 10)
        s.sendall(struct.pack(">H", len(m)) + m)
        stream = s.makefile("rb")
        head = stream.read(2)
        return read(stream.read(struct.unpack(">H", head)[0]), s.getpeername()[0]) if len(head) == 2 else "closed"
    except OSError as e:
        return type(e).__name__
"""
ASK = AGENT + "print(json.dumps([ask(*q) for q in json.load(sys.stdin)]))"

FLOOD = AGENT + r"""
m = message("www.example.com", 1)
s = socket.create_connection(("198.18.0.1", 53), 20)
stream, counts = s.makefile("rb"), {}
for turn in range(2000):  # until it is refused, however slow this machine is
    if counts.get(5):
        break
    s.sendall((struct.pack(">H", len(m)) + m) * 50)
    for _ in range(50):
        code = read(stream.read(struct.unpack(">H", stream.read(2))[0]), "")[0]
        counts[code] = counts.get(code, 0) + 1
print(json.dumps(counts))
"""

RESOLVE = r"""
import json, socket, sys
def look(name):
    try:
        return sorted({a[4][0] for a in socket.getaddrinfo(name, 443)})
    except (socket.gaierror, UnicodeError) as e:
        return str(e)
print(json.dumps([look(name) for name in json.load(sys.stdin)]))
"""
NODE = """
const dns = require('dns');
(async () => {
  const out = [];
  for (const name of process.argv.slice(1)) {
    try { out.push((await dns.promises.lookup(name, {all: true})).map(a => a.address).sort()); }
    catch (e) { out.push(e.code); }
    try { out.push((await new dns.promises.Resolver().resolve4(name))); } catch (e) { out.push(e.code); }
  }
  console.log(JSON.stringify(out));
})();
"""
REACH = r"""
import json, socket, sys
out = []
for host, port in json.load(sys.stdin):
    try:
        s = socket.create_connection((host, port), 10)
        s.sendall(b"ping")
        s.settimeout(10)
        out.append(s.recv(100).decode("latin-1"))
    except OSError as e:
        out.append(type(e).__name__)
print(json.dumps(out))
"""
# One behind, one before, and the very address that a name has.
NEAR = REACH.replace("json.load(sys.stdin)", "near()").replace("out = []", r"""
import ipaddress
def near():
    for family in (socket.AF_INET, socket.AF_INET6):
        own = ipaddress.ip_address(socket.getaddrinfo("echo.example.com", 7777, family)[0][4][0])
        for difference in (1, -1, 0):
            yield str(own + difference), 7777
out = []""")

RULES = [
    rule("http", "web", hosts=["www.example.com", "*.wild.example.com", "xn--bcher-kva.example.com"],
         methods=["GET"], schemes=["http", "https"], headers="any"),
    rule("net", "echo", hosts=["echo.example.com"], ports=[7777]),
]


def setUpModule():
    global NET
    internet.enter()
    NET = Internet()
    NET.web = NET.https("www.example.com", lambda request: Response(200, "hello\n"))
    NET.wild = NET.http("a.wild.example.com", lambda request: Response(200, "wild\n"))
    NET.echo = NET.tcp("echo.example.com", 7777, echo)
    NET.other = NET.tcp("other.example.net", 7777, echo)
    # What an answer from outside would bring: keys for an encrypted ClientHello.
    NET.dns.records["www.example.com"].append(("HTTPS", struct.pack(">H", 1) + b"\0" + struct.pack(">2H", 5, 4) + b"ech!"))


def tearDownModule():
    NET.close()


def address(text):
    return str(ipaddress.ip_address(bytes.fromhex(text)))


def outside(name, kind, server=internet.DNS_ADDRESS):
    """The same question, asked on the host."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(10)
        s.sendto(b"\x12\x34\x01\0\0\1\0\0\0\0\0\0" + encode_name(name) + struct.pack(">2H", kind, 1), server)
        return s.recv(4096)


class Resolver:
    @classmethod
    def setUpClass(cls):
        cls.ring = NET.ring(cls.mode)
        cls.policy = NET.policy(cls.ring, RULES)

    @classmethod
    def tearDownClass(cls):
        cls.ring.destroy()

    def said(self, *argv, code=0, **options):
        p = NET.run(self.ring, self.policy, *argv, **options)
        self.assertEqual(p.returncode, code, (p.stdout[-2000:], p.stderr.decode(errors="replace")[-2000:]))
        return p.stdout.decode()

    def python(self, program, given=None):
        return json.loads(self.said(PYTHON, "-c", program, input=json.dumps(given).encode()))

    def ask(self, *questions):
        return self.python(ASK, questions)

    def asked_upstream(self, ending):
        return [n for n in NET.dns.names_asked() if n.endswith(ending)]

    # ---- answers ----

    def test_an_allowed_name_has_the_same_synthetic_addresses_however_it_is_asked_for(self):
        servers = ["198.18.0.1", "fd52:6600::1"]
        four = self.ask(*[[over, s, name, A] for over in ("udp", "tcp") for s in servers
                          for name in ("www.example.com", "WWW.Example.COM")],
                        *[[over, s, "www.example.com", AAAA] for over in ("udp", "tcp") for s in servers])
        for said in four:
            self.assertEqual((said[0], said[1], len(said[2])), (NOERROR, False, 1), said)
        self.assertEqual(len({said[2][0] for said in four[:8]}), 1)
        self.assertEqual(len({said[2][0] for said in four[8:]}), 1)
        self.assertIn(ipaddress.ip_address(address(four[0][2][0])), V4)
        self.assertIn(ipaddress.ip_address(address(four[8][2][0])), V6)
        real = {ipaddress.ip_address(a) for a in NET.address("www.example.com")}
        self.assertFalse(real & {ipaddress.ip_address(address(said[2][0])) for said in four})

    def test_whatever_server_is_asked_it_is_this_one(self):
        servers = ["8.8.8.8", "1.1.1.1", "127.0.0.1", "127.0.0.53", "169.254.169.254", "10.0.0.1", "255.1.2.3",
                   "2001:4860:4860::8888", "2606:4700:4700::1111", "::1", "fd00:ec2::254"]
        questions = [[over, s, name, A] for over in ("udp", "tcp") for s in servers
                     for name in ("www.example.com", "denied.example.net")]
        for (_, server, name, _), said in zip(questions, self.ask(*questions)):
            if server.startswith("255."):  # not unicast: nobody, or us
                continue
            self.assertEqual(said[0], NOERROR if name == "www.example.com" else NXDOMAIN, (server, said))
            self.assertEqual(said[3], server)  # and it answers as who was asked

    def test_the_resolver_of_the_host_is_out_of_reach(self):
        before = len(NET.dns.asked)
        host, port = internet.DNS_ADDRESS
        for said in self.ask(["tcp", host, "www.example.com", A, port], ["tcp", "::1", "www.example.com", A, port]):
            self.assertEqual(said, "ConnectionRefusedError")
        self.assertEqual(len(NET.dns.asked), before)
        outside("www.example.com", A)
        self.assertEqual(len(NET.dns.asked), before + 1)

    def test_other_types_are_there_and_empty(self):
        types = [NS, CNAME, SOA, PTR, MX, TXT, SRV, SVCB, HTTPS, 257]
        before = len(NET.dns.asked)
        for said in self.ask(*[["udp", "198.18.0.1", "www.example.com", kind] for kind in types]):
            self.assertEqual(said[:3], [NOERROR, False, []])
        self.assertEqual(len(NET.dns.asked), before)
        self.assertIn(b"ech!", outside("www.example.com", HTTPS))  # the control: there is such a record
        for said in self.ask(*[["udp", "198.18.0.1", "www.example.com", kind] for kind in (ANY, AXFR, 251, 41)]):
            self.assertEqual(said[:3], [REFUSED, False, []])

    def test_a_denied_name_does_not_exist_and_nobody_hears_of_it(self):
        names = ["denied.example.net", "www.example.com.denied.example.net", "wwwXexample.com".replace("X", "-"),
                 "evilwww.example.com", "example.com", "com", "wild.example.com", "a.b.wild.example.com",
                 "awild.example.com", "www.example.com.wild.example.com", "echo.example.com.", "www.example.co",
                 "xn--www-8cd.example.com", "db.example.com"]
        for name in names:
            NET.dns.records.setdefault(name, ["93.184.216.1"])
        questions = [[over, "198.18.0.1", name, kind] for name in names for over in ("udp", "tcp") for kind in (A, TXT)]
        before = len(NET.dns.asked)
        for question, said in zip(questions, self.ask(*questions)):
            expected = NOERROR if question[2] == "echo.example.com." else NXDOMAIN
            self.assertEqual(said[0], expected, (question, said))
        self.assertEqual(len(NET.dns.asked), before)

    def test_what_is_no_name_is_no_way_round(self):
        head = "123401000001000000000000"
        tail = "00010001"
        label = lambda *labels: "".join(f"{len(l):02x}{l.hex()}" for l in labels) + "00"  # noqa: E731
        odd = {
            "dot inside a label": (label(b"www.example.com"), NXDOMAIN),
            "dot at the end of one": (label(b"www", b"example", b"com."), NXDOMAIN),
            "nul": (label(b"www\0", b"example", b"com"), NXDOMAIN),
            "nul before what is allowed": (label(b"evil\0.www", b"example", b"com"), NXDOMAIN),
            "nul after it": (label(b"www", b"example", b"com\0", b"evil", b"org"), NXDOMAIN),
            "escape": (label(b"www\\", b"example", b"com"), NXDOMAIN),
            "space": (label(b"www ", b"example", b"com"), NXDOMAIN),
            "pattern": (label(b"*", b"wild", b"example", b"com"), NXDOMAIN),
            "utf-8": (label("bücher".encode(), b"example", b"com"), NXDOMAIN),
            "fullwidth": (label("ｗｗｗ".encode(), b"example", b"com"), NXDOMAIN),
            "a dot of another script": (label("www。example。com".encode()), NXDOMAIN),
            "homograph": (label(b"xn--ww-gpc", b"example", b"com"), NXDOMAIN),
            "not punycode": (label(b"xn--a-", b"wild", b"example", b"com"), NXDOMAIN),
            "its own A-label": (label(b"XN--bcher-kva", b"example", b"com"), NOERROR),
            "pointer loop": ("c00c", FORMERR),
            "pointer into the head": (label(b"www")[:-2] + "c000", FORMERR),
            "reserved label": ("41" + "00", FORMERR),
            "too long": (label(*[b"x" * 63] * 4), FORMERR),
            "without an end": ("3f" + "78" * 10, FORMERR),
        }
        before = len(NET.dns.asked)
        for over in ("udp", "tcp"):
            questions = [[over, "198.18.0.1", "hex:" + head + name + tail, 0] for name, _ in odd.values()]
            for (what, (_, expected)), said in zip(odd.items(), self.ask(*questions)):
                self.assertEqual(said[0], expected, (what, said))
        self.assertEqual(len(NET.dns.asked), before)

    def test_nonsense_harms_nobody(self):
        gateway = self.ring.programs().get("rf-gateway")
        said = self.python(AGENT + r"""
import random
random.seed(5)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
good = message("www.example.com", 1)
for i in range(2000):
    b = bytearray(good if i % 2 else random.randbytes(random.randint(0, 600)))
    if i % 2:
        for _ in range(random.randint(1, 4)):
            b[random.randrange(len(b))] = random.randrange(256)
    u.sendto(bytes(b), ("198.18.0.1", 53))
for i in range(100):
    s = socket.create_connection(("198.18.0.1", 53), 10)
    try:
        s.sendall(random.randbytes(random.randint(1, 3000)))
    except OSError:
        pass
    if i % 2:
        s.close()
import time
for i in range(300):
    r = ask("udp", "198.18.0.1", "www.example.com", 1)
    if r[0] == 0:
        break
    time.sleep(0.05)
print(json.dumps(r))
""")
        self.assertEqual(said[0], NOERROR)
        if gateway is not None:
            self.assertEqual(self.ring.programs().get("rf-gateway"), gateway)

    def test_names_of_its_own(self):
        said = self.ask(["udp", "198.18.0.1", "localhost", A], ["udp", "198.18.0.1", "localhost", AAAA],
                        ["udp", "198.18.0.1", "4.4.8.8.in-addr.arpa", PTR],
                        ["udp", "198.18.0.1", "ipv4only.arpa", AAAA], ["udp", "198.18.0.1", "", NS])
        self.assertEqual([s[:3] for s in said], [[0, False, ["7f000001"]], [0, False, ["00" * 15 + "01"]],
                                                 [NXDOMAIN, False, []], [NXDOMAIN, False, []], [0, False, []]])
        back = self.python(AGENT + r"""
a = ask("udp", "198.18.0.1", "www.example.com", 1)[2][0]
rev = ".".join(str(b) for b in reversed(bytes.fromhex(a))) + ".in-addr.arpa"
print(json.dumps([socket.gethostbyaddr(socket.inet_ntoa(bytes.fromhex(a)))[0], ask("tcp", "198.18.0.1", rev, 12)]))
""")
        self.assertEqual(back[0], "www.example.com")
        self.assertEqual(bytes.fromhex(back[1][2][0]), encode_name("www.example.com"))

    # ---- programs ----

    def test_programs_resolve_as_ever(self):
        good, bad = self.python(RESOLVE, ["www.example.com", "denied.example.net"])
        self.assertEqual(len(good), 2)
        self.assertIn(ipaddress.ip_address(good[0]), V4)
        self.assertIn(ipaddress.ip_address(good[1]), V6)
        self.assertIn("[Errno -2]", bad)  # EAI_NONAME: it does not exist, no need to try again
        idna, _ = self.python(RESOLVE, ["bücher.example.com", "www.example.com"])
        self.assertEqual(len(idna), 2)
        self.assertEqual(self.said("curl", "-sS", "https://www.example.com/"), "hello\n")
        self.assertEqual(self.said("curl", "-sS", "https://www.example.com./", code=0), "hello\n")
        self.said("curl", "-sS", "https://denied.example.net/", code=6)
        self.said("getent", "hosts", "denied.example.net", code=2)

    def test_node_resolves_too(self):
        if shutil.which("node") is None:
            self.skipTest("node is not installed")
        said = json.loads(self.said("node", "-e", NODE, "www.example.com", "denied.example.net"))
        self.assertEqual(len(said[0]), 2)
        self.assertEqual(len(said[1]), 1)
        self.assertEqual(said[2:], ["ENOTFOUND", "ENOTFOUND"])

    # ---- attacks ----

    def test_nothing_is_tunnelled_below_an_allowed_wildcard(self):
        labels = [os.urandom(30).hex() for _ in range(100)]
        questions = [["udp" if i % 2 else "tcp", "198.18.0.1", f"{label}.wild.example.com", (A, AAAA, TXT, HTTPS)[i % 4]]
                     for i, label in enumerate(labels)]
        for said in self.ask(*questions):
            self.assertEqual(said[0], NOERROR)
        self.assertFalse([n for n in NET.dns.names_asked() if n.split(".")[0] in labels])
        # The control: who is really spoken to is looked up, once there is a request that a rule allows.
        self.assertEqual(self.said("curl", "-sS", "http://a.wild.example.com/"), "wild\n")
        self.assertIn("a.wild.example.com", NET.dns.names_asked())

    def test_an_address_of_another_sandbox_means_nothing(self):
        first = self.ask(["udp", "198.18.0.1", "echo.example.com", A], ["udp", "198.18.0.1", "echo.example.com", AAAA])
        others = [address(said[2][0]) for said in first]
        before = NET.echo.connections
        # Here nobody asked for a name yet, so that no address has one.
        for said in self.python(REACH, [[a, 7777] for a in others]):
            self.assertNotIn("ping", said)
        # Nor do guesses near one's own.
        near = self.python(NEAR)
        self.assertEqual([s == "ping" for s in near], [False, False, True] * 2)
        self.assertEqual(NET.echo.connections, before + 2)
        mine = self.python(REACH, [["echo.example.com", 7777]])
        self.assertEqual(mine, ["ping"])

    def test_what_upstream_says_changes_nothing_inside(self):
        """Rebinding: the name leads elsewhere, and to the host itself; inside it keeps its address, and nothing is reached."""
        listener = socket.create_server(("127.0.0.1", 7777))
        kept = NET.dns.records["echo.example.com"]
        before = NET.echo.connections
        try:
            NET.dns.records["echo.example.com"] = ["127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254"]
            ring = NET.ring(self.mode)  # nothing remembered
            policy = NET.policy(ring, RULES)
            p = NET.run(ring, policy, PYTHON, "-c", REACH, input=json.dumps([["echo.example.com", 7777]] * 2).encode())
            self.assertNotIn("ping", json.loads(p.stdout))
            listener.setblocking(False)
            self.assertRaises(BlockingIOError, listener.accept)
            NET.dns.records["echo.example.com"] = kept
            wait_until(lambda: b"ping" in NET.run(ring, policy, PYTHON, "-c", REACH,
                                                  input=json.dumps([["echo.example.com", 7777]]).encode()).stdout,
                       "the control: with its own addresses it is reached")
            self.assertGreater(NET.echo.connections, before)
        finally:
            NET.dns.records["echo.example.com"] = kept
            listener.close()

    def test_a_flood_is_refused_and_told(self):
        counts = self.python(FLOOD)
        self.assertEqual(set(counts), {str(NOERROR), str(REFUSED)}, counts)
        self.assertGreaterEqual(counts[str(NOERROR)], 1000)
        # The next sandbox, at the same gateway, has its own measure.
        self.assertEqual(self.ask(["udp", "198.18.0.1", "www.example.com", A])[0][0], NOERROR)

    def test_the_port_is_the_resolvers_alone(self):
        said = self.python(r"""
import json, socket
out = []
for family, kind in [(f, k) for f in (socket.AF_INET, socket.AF_INET6) for k in (socket.SOCK_DGRAM, socket.SOCK_STREAM)]:
    s = socket.socket(family, kind)
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        s.setsockopt(socket.SOL_SOCKET, option, 1)
    try:
        s.bind(("198.18.0.1" if family == socket.AF_INET else "::1", 53))
        out.append("bound")
    except OSError as e:
        out.append(type(e).__name__)
print(json.dumps(out))
""")
        self.assertNotIn("bound", said)


class Told:
    def test_denied_names_are_in_the_ledger_and_on_the_terminal(self):
        ring = NET.ring(self.mode)
        p = NET.run(ring, RULES, "getent", "hosts", "told.example.net")
        self.assertEqual(p.returncode, 2)
        self.assertIn("told.example.net", p.stderr.decode())
        verified, records = NET.audit(ring)
        self.assertTrue(verified)
        notes = [r["data"] for r in records if r["event"] == "name-denied"]
        self.assertTrue(notes and all(n["what"] == "told.example.net" for n in notes), records)


for one in modes():
    for base in (Resolver, Told):
        name = base.__name__ + one.title()
        globals()[name] = type(name, (base, unittest.TestCase), {"mode": one})

if __name__ == "__main__":
    if not internet.available():
        print("no network namespace can be made here: skipped")
        sys.exit(77)
    unittest.main(verbosity=1)
