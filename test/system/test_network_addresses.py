#!/usr/bin/python3
"""Ways to an address that no rule names: written roundabout, translated, behind a name that leads there, by UDP. The
addresses are the host's own here, with a server on each that would answer; the control is that it does, outside, and
inside where a rule pins it."""

import json
import os
import socket
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import internet  # noqa: E402
from internet import Internet, Response, TcpServer, add_address, rule  # noqa: E402
from ring import modes  # noqa: E402

PYTHON = "/usr/bin/python3"
PROXY = "http://198.18.0.1:3128"
PORT = 8080
NET = None

# One of each kind that must not be reached; all are put on lo.
SPECIAL = {
    "loopback": "127.0.0.1", "loopback elsewhere": "127.5.6.7", "private 10": "10.9.8.7", "private 172": "172.20.1.1",
    "private 192": "192.168.7.7", "carrier-grade": "100.64.1.1", "link-local": "169.254.7.7",
    "metadata": "169.254.169.254", "metadata, Alibaba": "100.100.100.200", "metadata, Azure": "168.63.129.16",
    "metadata, Oracle": "192.0.0.192", "documentation": "203.0.113.7", "benchmark": "198.18.7.7", "reserved": "240.0.0.7",
    "IPv6 loopback": "::1", "unique local": "fd11:22::7", "metadata, AWS IPv6": "fd00:ec2::254", "NAT64": "64:ff9b::a09:807",
    "NAT64, local": "64:ff9b:1::a09:807", "6to4": "2002:a09:807::1", "Teredo": "2001:0:1:2::7",
    "v4-compatible": "::10.9.8.7", "documentation IPv6": "2001:db8::7", "discard": "100::7", "site-local": "fec0::7",
    "ORCHID": "2001:20::7", "unassigned": "4000::7",
}

CONNECT = r"""
import json, socket, sys
out = {}
for what, host, port in json.load(sys.stdin):
    try:
        s = socket.create_connection((host, port), 15)
        s.sendall(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
        s.settimeout(15)
        said = s.recv(4000)
        out[what] = "reached" if b"the host's own" in said else said[9:12].decode("latin-1") or "closed"
    except (OSError, UnicodeError) as e:
        out[what] = type(e).__name__
print(json.dumps(out))
"""
MAPPED = r"""
import json, socket, sys
out = {}
for what, host, port in json.load(sys.stdin):
    s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    s.settimeout(15)
    try:
        s.connect((host, port))
        s.sendall(b"GET / HTTP/1.0\r\n\r\n")
        said = s.recv(4000)
        out[what] = "reached" if b"the host's own" in said else said[9:12].decode("latin-1") or "closed"
    except OSError as e:
        out[what] = type(e).__name__
print(json.dumps(out))
"""
UDP = r"""
import json, socket, sys
out = {}
for what, host, port in json.load(sys.stdin):
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(0.2)
    try:
        s.connect((host, port))
        s.send(b"x")
        out[what] = "reached" if s.recv(100) else "?"
    except OSError as e:
        out[what] = type(e).__name__
print(json.dumps(out))
"""


def answer(connection, log):
    log.append(connection.recv(4096))
    connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 14\r\n\r\nthe host's own")


def setUpModule():
    global NET
    internet.enter()
    NET = Internet()
    NET.own = {}
    for what, address in SPECIAL.items():
        if address not in ("127.0.0.1", "127.5.6.7", "::1"):
            add_address(address)
        for port in (PORT, PORT + 1):
            server = NET.own[what, port] = TcpServer((address, port), answer)
            NET.closing.append(server.close)
        NET.dns.records[name_of(what)] = [address]
    NET.raw = NET.tcp("raw.example.com", PORT + 1, answer)
    NET.web = NET.http("www.example.com", lambda request: Response(200, "hello\n"), port=PORT)


def tearDownModule():
    NET.close()


def name_of(what):
    return what.lower().replace(" ", "-").replace(",", "") + ".rebound.example.com"


RULES = [
    rule("net", "names", hosts=["*.rebound.example.com", "raw.example.com"], ports=[PORT + 1]),
    rule("http", "web", hosts=["*.rebound.example.com", "www.example.com"], ports=[PORT], methods=["GET"],
         schemes=["http"], headers="any"),
]
PINNED = [
    rule("net", "pinned", hosts=["10.9.8.7"], ports=[PORT], addresses=["10.9.8.0/24"]),
]


class Addresses:
    @classmethod
    def setUpClass(cls):
        cls.ring = NET.ring(cls.mode)
        cls.policy = NET.policy(cls.ring, RULES)

    @classmethod
    def tearDownClass(cls):
        cls.ring.destroy()

    def python(self, program, given, rules=None, *before):
        p = NET.run(self.ring, rules or self.policy, *before, PYTHON, "-c", program, input=json.dumps(given).encode())
        self.assertEqual(p.returncode, 0, (p.stdout[-2000:], p.stderr.decode(errors="replace")[-3000:]))
        return json.loads(p.stdout)

    def connections(self):
        return {where: server.connections for where, server in NET.own.items()}

    def test_the_control_outside_every_one_of_them_answers(self):
        for what, address in SPECIAL.items():
            with socket.create_connection((address, PORT), 15) as s:
                s.sendall(b"GET / HTTP/1.0\r\n\r\n")
                self.assertIn(b"the host's own", s.makefile("rb").read(), what)

    def test_a_name_that_leads_to_what_is_not_public_leads_nowhere(self):
        before = self.connections()
        said = self.python(CONNECT, [["control", "raw.example.com", PORT + 1]] +
                           [[what, name_of(what), PORT + 1] for what in SPECIAL])
        self.assertEqual(said.pop("control"), "reached")
        self.assertEqual(set(said), set(SPECIAL))
        for what, came in said.items():
            self.assertNotEqual(came, "reached", what)
        asked = self.python(r"""
import json, sys, urllib.error, urllib.request
out = {}
for what, url in json.load(sys.stdin):
    try:
        out[what] = urllib.request.urlopen(url, timeout=20).read().decode()
    except urllib.error.HTTPError as e:
        out[what] = json.loads(e.read())["error"]["reason"]
print(json.dumps(out))
""", [["control", f"http://www.example.com:{PORT}/"]] + [[what, f"http://{name_of(what)}:{PORT}/"] for what in SPECIAL])
        self.assertEqual(asked.pop("control"), "hello\n")
        for what, said in asked.items():
            self.assertIn("address", said, (what, said))  # and says which kind it is
        self.assertEqual(self.connections(), before)

    def test_an_address_itself_is_a_place_that_no_rule_names(self):
        before = self.connections()
        said = self.python(CONNECT, [[what, address, PORT] for what, address in SPECIAL.items()])
        for what, came in said.items():
            self.assertIn(came, ("closed", "ConnectionResetError", "ConnectionRefusedError", "OSError"), what)
        self.assertEqual(self.connections(), before)

    def test_no_spelling_makes_it_another_place(self):
        before = self.connections()
        spelled = ["127.1", "0x7f.1", "0x7f000001", "2130706433", "017700000001", "0177.0.0.1", "127.000.000.001",
                   "10.9.2055", "0xa.9.8.7", "168364039", "::ffff:10.9.8.7", "::ffff:a09:807", "0:0:0:0:0:ffff:10.9.8.7",
                   "0", "0.0.0.0", "::", "localhost", "localhost.", "%31%30.9.8.7", "10.9.8.7.", "10。9。8。7", "①⓪.9.8.7"]
        said = self.python(CONNECT, [[s, s, PORT] for s in spelled])
        for s, came in said.items():
            self.assertNotEqual(came, "reached", s)
        for s in spelled:
            if "%" in s or not s.isascii():
                continue
            host = f"[{s}]" if ":" in s else s
            p = NET.run(self.ring, self.policy, "curl", "-sS", "-m", "15", "-x", PROXY, f"http://{host}:{PORT}/")
            self.assertNotIn(b"the host's own", p.stdout, s)
        self.assertEqual(self.connections(), before)

    def test_a_pin_is_for_its_network_in_the_spellings_that_mean_it(self):
        before = self.connections()
        rules = NET.policy(self.ring, PINNED)
        said = self.python(MAPPED, [["mapped", "::ffff:10.9.8.7", PORT], ["nat64", "64:ff9b::a09:807", PORT],
                                    ["6to4", "2002:a09:807::1", PORT], ["compatible", "::10.9.8.7", PORT],
                                    ["another", "::ffff:192.168.7.7", PORT]], rules)
        self.assertEqual(said.pop("mapped"), "reached")  # the same address, in another kind of socket
        for what, came in said.items():
            self.assertNotEqual(came, "reached", what)
        plain = self.python(CONNECT, [["pinned", "10.9.8.7", PORT]], rules)
        self.assertEqual(plain, {"pinned": "reached"})
        after = self.connections()
        self.assertEqual({w for w in after if after[w] != before[w]}, {("private 10", PORT)})

    def test_udp_leads_nowhere_be_it_quic_or_anything(self):
        heard = []
        servers = []
        for address in ("10.9.8.7", NET.address("www.example.com")[0], NET.address("www.example.com")[1]):
            for port in (443, PORT, 123):
                s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
                s.bind((address, port))
                s.setblocking(False)
                servers.append((s, address, port))
        said = self.python(UDP, [[f"{a} {p}", a, p] for _, a, p in servers] + [["name", "www.example.com", 443]])
        for what, came in said.items():
            self.assertNotEqual(came, "reached", what)
        for s, address, port in servers:
            try:
                heard.append(s.recv(10))
            except BlockingIOError:
                pass
            with socket.socket(s.family, socket.SOCK_DGRAM) as control:
                control.sendto(b"control", (address, port))
            s.setblocking(True)
            self.assertEqual(s.recv(10), b"control")
            s.close()
        self.assertEqual(heard, [])


for one in modes():
    name = "Addresses" + one.title()
    globals()[name] = type(name, (Addresses, unittest.TestCase), {"mode": one})

if __name__ == "__main__":
    if not internet.available():
        print("no network namespace can be made here: skipped")
        sys.exit(77)
    unittest.main(verbosity=1)
