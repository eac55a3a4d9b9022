#!/usr/bin/python3
"""ClientHellos by attack, from inside a sandbox: cut in pieces, with other names than the one that was asked for, with two,
with hidden ones; and upstreams whose certificates are for somebody else. Each attack has a control: the same bytes but
for what is wrong with them arrive. In `passed` mode (net rules) the upstream's own TLS is spoken; in `read` mode (http
rules) the sandbox's authority answers."""

import json
import os
import shutil
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import internet  # noqa: E402
from internet import Internet, Response, TcpServer, rule  # noqa: E402
from ring import modes  # noqa: E402

PYTHON = "/usr/bin/python3"
NET = None

# What runs inside: makes a real ClientHello with OpenSSL, changes it, sends it, and tells what came back: "hello" (a
# ServerHello), "alert", "closed" or what was said within TLS.
AGENT = r"""
import json, socket, ssl, struct, sys

def context(alpn=None, version=None):
    c = ssl.create_default_context() if alpn != "blind" else ssl._create_unverified_context()
    if isinstance(alpn, list):
        c.set_alpn_protocols(alpn)
    if version:
        c.minimum_version = c.maximum_version = getattr(ssl.TLSVersion, version)
    return c

def hello_of(name, alpn=None):
    c = context("blind")
    if alpn:
        c.set_alpn_protocols(alpn)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = c.wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return tls, incoming, outgoing, outgoing.read()

def sni(*names, kind=0):
    inner = b"".join(bytes([kind]) + struct.pack(">H", len(n)) + n for n in names)
    inner = struct.pack(">H", len(inner)) + inner
    return 0, inner

def edit(hello, change):
    "HELLO with its list of extensions [(type, bytes)] put through CHANGE."
    body = hello[9:]
    at = 34 + 1 + body[34]
    at += 2 + struct.unpack_from(">H", body, at)[0]
    at += 1 + body[at]
    rest, found = body[at + 2:], []
    while rest:
        kind, size = struct.unpack_from(">2H", rest)
        found.append((kind, rest[4:4 + size]))
        rest = rest[4 + size:]
    made = b"".join(struct.pack(">2H", k, len(v)) + v for k, v in change(found))
    body = body[:at] + struct.pack(">H", len(made)) + made
    message = b"\1" + struct.pack(">I", len(body))[1:] + body
    return b"\x16\3\1" + struct.pack(">H", len(message)) + message

def cut(hello, piece):
    "The same message in records of PIECE bytes."
    message = hello[5:]
    return b"".join(b"\x16\3\1" + struct.pack(">H", len(message[i:i + piece])) + message[i:i + piece]
                    for i in range(0, len(message), piece))

def send_first(host, port, first, segment=None):
    "What comes back to the bytes FIRST, sent in TCP segments of SEGMENT bytes."
    s = socket.create_connection((host, port), 15)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        for i in range(0, len(first), segment or len(first)):
            s.sendall(first[i:i + (segment or len(first))])
        answer = s.recv(5)
    except (ConnectionError, BrokenPipeError):
        return "closed", s
    return {b"\x16": "hello", b"\x15": "alert", b"": "closed"}.get(answer[:1], repr(answer)), s

def whole(host, port, name, piece=None, segment=None):
    "A whole handshake whose first flight is cut, then a line each way."
    tls, incoming, outgoing, first = hello_of(name)
    s = socket.create_connection((host, port), 15)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    first = cut(first, piece) if piece else first
    try:
        for i in range(0, len(first), segment or len(first)):
            s.sendall(first[i:i + (segment or len(first))])
        def pump(step):
            while True:
                try:
                    done = step()
                    s.sendall(outgoing.read())
                    return done
                except ssl.SSLWantReadError:
                    s.sendall(outgoing.read())
                    data = s.recv(65536)
                    if not data:
                        raise ConnectionError("closed")
                    incoming.write(data)
        pump(tls.do_handshake)
        tls.write(b"GET / HTTP/1.1\r\nHost: " + host.encode() + b"\r\n\r\n")
        s.sendall(outgoing.read())
        return pump(lambda: tls.read(4096)).decode("latin-1")
    except ConnectionError:
        return "closed"
"""


def speak(context):
    """A TLS server that answers any bytes; what arrived before TLS failed is in its log."""
    def handler(connection, log):
        import socket
        first = connection.recv(65536, socket.MSG_PEEK)
        if first:
            log.append(first)
        with context.wrap_socket(connection, server_side=True) as tls:
            while data := tls.recv(65536):
                log.append(data)
                tls.sendall(b"from upstream: " + data[:5])
    return handler


def setUpModule():
    global NET
    internet.enter()
    NET = Internet()
    NET.passed = NET.tcp("passed.example.com", 8443, speak(NET.tls_context("passed.example.com")))
    NET.fronted = NET.tcp("fronted.example.net", 8443, speak(NET.tls_context("fronted.example.net")))
    NET.both = NET.tcp("both.example.com", 8443, speak(NET.tls_context("fronted.example.net", "another.example.net")))
    NET.stranger = NET.tcp("stranger.example.com", 8443, speak(NET.other_ca().context("stranger.example.com")))
    NET.spliced = NET.https("spliced.example.com", lambda request: Response(200, "spliced\n"), port=8444)
    NET.read = NET.https("read.example.com", lambda request: Response(200, "from upstream"))
    NET.false = NET.https("false.example.com", lambda request: Response(200, "never"), names=["other.example.com"])
    NET.selfmade = NET.https("selfmade.example.com", lambda request: Response(200, "never"),
                             ca=NET.other_ca("Made by itself"))


def tearDownModule():
    NET.close()


RULES = [
    rule("net", "passed", hosts=["passed.example.com", "both.example.com", "stranger.example.com"], ports=[8443]),
    rule("net", "spliced", hosts=["spliced.example.com"], ports=[8444]),
    rule("http", "read", hosts=["read.example.com", "false.example.com", "selfmade.example.com"], methods=["GET"],
         headers="any"),
]


class Hello:
    @classmethod
    def setUpClass(cls):
        cls.ring = NET.ring(cls.mode)
        cls.policy = NET.policy(cls.ring, RULES)

    @classmethod
    def tearDownClass(cls):
        cls.ring.destroy()

    def python(self, program, *args):
        """What PROGRAM prints, as JSON."""
        p = NET.run(self.ring, self.policy, PYTHON, "-c", AGENT + program, *args)
        self.assertEqual(p.returncode, 0, (p.stdout[-2000:], p.stderr.decode(errors="replace")[-3000:]))
        return json.loads(p.stdout)

    # ---- passed on: names and certificate must agree ----

    def test_a_hello_arrives_however_it_is_cut(self):
        said = self.python(r"""
host = "passed.example.com"
print(json.dumps([whole(host, 8443, host, piece, segment)
                  for piece, segment in ((None, None), (1, None), (7, None), (100, None), (None, 1), (50, 3), (1, 50))]))
""")
        self.assertEqual(said, ["from upstream: GET /"] * 7)

    def test_a_name_that_was_not_asked_for_does_not_pass_however_it_is_cut(self):
        before = len(NET.passed.received), len(NET.fronted.received)
        said = self.python(r"""
print(json.dumps([whole("passed.example.com", 8443, "fronted.example.net", piece, segment)
                  for piece, segment in ((None, None), (1, None), (7, None), (100, None), (None, 1), (50, 3))]))
""")
        self.assertEqual(said, ["closed"] * 6)
        self.assertEqual((len(NET.passed.received), len(NET.fronted.received)), before)

    def test_a_hello_that_two_readers_could_read_differently_does_not_pass(self):
        before = len(NET.passed.received)
        said = self.python(r"""
good, bad = b"passed.example.com", b"fronted.example.net"
without = lambda found: [e for e in found if e[0] != 0]
changes = {
    "control: as it was": lambda found: found,
    "control: one more extension": lambda found: found + [(0x1a1a, b"")],
    "control: upper case": lambda found: [sni(good.upper())] + without(found),
    "no name": without,
    "another name": lambda found: [sni(bad)] + without(found),
    "two names": lambda found: [sni(good, bad)] + without(found),
    "two names, the other first": lambda found: [sni(bad, good)] + without(found),
    "two extensions": lambda found: [sni(good)] + without(found) + [sni(bad)],
    "the same twice": lambda found: [sni(good)] + without(found) + [sni(good)],
    "another kind of name": lambda found: [sni(good, kind=1)] + without(found),
    "a dot at its end": lambda found: [sni(good + b".")] + without(found),
    "nul at its end": lambda found: [sni(good + b"\0")] + without(found),
    "nul, and more": lambda found: [sni(good + b"\0." + bad)] + without(found),
    "a subdomain": lambda found: [sni(b"x." + good)] + without(found),
    "as a suffix": lambda found: [sni(b"x" + good)] + without(found),
    "an empty name": lambda found: [sni(b"")] + without(found),
    "an empty list": lambda found: [(0, b"\0\0")] + without(found),
    "an empty extension": lambda found: [(0, b"")] + without(found),
    "something behind the list": lambda found: [(0, sni(good)[1] + b"x")] + without(found),
    "an address": lambda found: [sni(b"93.184.216.11")] + without(found),
    "a hidden name": lambda found: found + [(0xfe0d, b"\0\0\1\0\1\0\0\x20" + b"k" * 32 + b"\0\x10" + b"p" * 16)],
    "a hidden name, the older way": lambda found: found + [(0xffce, b"x" * 40)],
}
out = {}
for what, change in changes.items():
    first = edit(hello_of(good.decode())[3], change)
    out[what] = send_first("passed.example.com", 8443, first)[0]
first = hello_of(good.decode())[3]
out["more in its record"] = send_first("passed.example.com", 8443, first[:3] + struct.pack(">H", len(first) - 4) + first[5:] + b"\0")[0]
out["an alert between its pieces"] = send_first("passed.example.com", 8443, cut(first, 200)[:205] + b"\x15\3\1\0\2\1\0" + cut(first, 200)[205:])[0]
out["an empty record before it"] = send_first("passed.example.com", 8443, b"\x16\3\1\0\0" + first)[0]
out["larger than any"] = send_first("passed.example.com", 8443, b"\x16\3\1\x40\0\1\2\0\0" + b"x" * 16380)[0]
print(json.dumps(out))
""")
        for what, came in said.items():
            self.assertEqual(came, "hello" if what.startswith("control") else "closed", what)
        # The controls, and one of the gateway's own: it looks at the certificate once.
        self.assertEqual(len([1 for data in NET.passed.received[before:] if data[:1] == b"\x16"]), 3 + 1)

    def test_an_upstream_that_is_somebody_else_hears_nothing(self):
        """The certificate is for another name, or by an authority that nobody trusts."""
        before = [len(s.received) for s in (NET.both, NET.stranger)]
        said = self.python(r"""
print(json.dumps([whole(host, 8443, host) for host in ("both.example.com", "stranger.example.com", "passed.example.com")]))
""")
        self.assertEqual(said[:2], ["closed", "closed"])
        self.assertEqual(said[2], "from upstream: GET /")
        for server, n in zip((NET.both, NET.stranger), before):
            # The gateway's own look at the certificate came; nothing of the client's did.
            self.assertNotIn(b"GET", b"".join(server.received[n:]))

    def test_the_usual_programs_speak_to_the_upstream_itself(self):
        """OpenSSL, GnuTLS and node; none of them trusts the sandbox's authority for this, only the upstream's own."""
        with open(NET.ca.certificate, "rb") as f:
            authority = f.read()
        url = "https://spliced.example.com:8444/"
        programs = {
            "curl": ["curl", "-sS", "--cacert", "/tmp/ca", url],
            "wget": ["wget", "-qO-", "--ca-certificate=/tmp/ca", url],
            "python": [PYTHON, "-c", "import ssl, urllib.request as u; print(u.urlopen('" + url +
                       "', context=ssl.create_default_context(cafile='/tmp/ca')).read().decode(), end='')"],
            "node": ["env", "NODE_EXTRA_CA_CERTS=/tmp/ca", "node", "-e",
                     "fetch('" + url + "').then(r => r.text()).then(t => process.stdout.write(t))"],
        }
        before = len(NET.spliced.requests)
        tried = 0
        for name, argv in programs.items():
            if shutil.which(name) is None and name != "python":
                continue
            tried += 1
            p = NET.run(self.ring, self.policy, "sh", "-c", 'cat > /tmp/ca; exec "$@"', "sh", *argv, input=authority)
            self.assertEqual(p.stdout, b"spliced\n", (name, p.stderr.decode(errors="replace")))
        self.assertEqual(len(NET.spliced.requests) - before, tried)
        # The control: where it is read, the upstream's authority is not who vouches.
        p = NET.run(self.ring, self.policy, "sh", "-c",
                    "cat > /tmp/ca; exec curl -sS --cacert /tmp/ca https://read.example.com/", input=authority)
        self.assertEqual(p.returncode, 60, p.stderr)

    # ---- read: the sandbox's own authority answers ----

    def test_the_certificate_is_the_sandboxs_own_and_for_that_name(self):
        said = self.python(r"""
out = []
for version in ("TLSv1_2", "TLSv1_3"):
    with context(["h2", "http/1.1"], version).wrap_socket(socket.create_connection(("read.example.com", 443), 15),
                                            server_hostname="read.example.com") as s:
        names = [v for k, v in s.getpeercert()["subjectAltName"]]
        issuer = dict(x[0] for x in s.getpeercert()["issuer"])["commonName"]
        out.append([names, issuer, s.selected_alpn_protocol(), s.version()])
print(json.dumps(out))
""")
        for names, issuer, protocol, _ in said:
            self.assertEqual((names, protocol), (["read.example.com"], "http/1.1"))
            self.assertIn("Ringfence", issuer)
        self.assertEqual([s[3] for s in said], ["TLSv1.2", "TLSv1.3"])

    def test_a_hello_for_another_name_is_not_answered(self):
        before = len(NET.read.requests)
        said = self.python(r"""
host = "read.example.com"
out = [whole(host, 443, name, piece, segment) for name in ("false.example.com", "fronted.example.net")
       for piece, segment in ((None, None), (1, None), (None, 1))]
out += [whole(host, 443, host, piece, segment)[:12] for piece, segment in ((None, None), (1, None), (None, 1))]
print(json.dumps(out))
""")
        self.assertEqual(said, ["closed"] * 6 + ["HTTP/1.1 200"] * 3)
        self.assertEqual(len(NET.read.requests) - before, 3)

    def test_old_versions_of_tls_are_not_spoken(self):
        said = self.python(r"""
out = []
for version in ("TLSv1", "TLSv1_1", "TLSv1_2"):
    c = context("blind", version)
    c.set_ciphers("ALL:@SECLEVEL=0")
    try:
        with c.wrap_socket(socket.create_connection(("read.example.com", 443), 15), server_hostname="read.example.com") as s:
            out.append(s.version())
    except (ssl.SSLError, OSError) as e:
        out.append("refused")
print(json.dumps(out))
""")
        self.assertEqual(said, ["refused", "refused", "TLSv1.2"])

    def test_an_upstream_with_another_certificate_is_not_spoken_to(self):
        said = self.python(r"""
print(json.dumps([whole(h, 443, h)[:12] for h in ("false.example.com", "selfmade.example.com", "read.example.com")]))
""")
        self.assertEqual(said, ["HTTP/1.1 502"] * 2 + ["HTTP/1.1 200"])
        self.assertEqual((NET.false.requests, NET.selfmade.requests), ([], []))


for one in modes():
    name = "Hello" + one.title()
    globals()[name] = type(name, (Hello, unittest.TestCase), {"mode": one})

if __name__ == "__main__":
    if not internet.available():
        print("no network namespace can be made here: skipped")
        sys.exit(77)
    unittest.main(verbosity=1)
