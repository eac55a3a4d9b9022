#!/usr/bin/python3
"""HTTP out of a sandbox, by attack: framing that two readers could read differently, hosts that disagree, redirects,
what is denied, and bodies too large for anybody's memory. The programs are the real ones.

Each attack has its control: the same bytes, sent by the test itself to the same server, arrive there."""

import hashlib
import json
import os
import socket
import ssl
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import internet  # noqa: E402
from internet import Internet, Response, rule  # noqa: E402
from ring import children_of, file_text, modes, wait_until  # noqa: E402
from smuggling import MARK, Sink, broken_bodies, head, streams  # noqa: E402

PYTHON = "/usr/bin/python3"
WEB, OTHER, SINK, BIG = "www.example.com", "other.example.com", "sink.example.com", "big.example.com"
NET = None

# Runs inside: does what standard input says (JSON), each attempt on a connection of its own; says what came back.
ATTEMPTS = """
import json, socket, ssl, sys
def attempt(a):
    s = socket.create_connection((a["to"], a["port"]), 20)
    said = b""
    try:
        if "connect" in a:
            s.sendall(a["connect"].encode("latin-1"))
            while b"\\r\\n\\r\\n" not in said:
                more = s.recv(1)
                if not more:
                    return said, "closed"
                said += more
            if b" 200 " not in said.split(b"\\r\\n")[0]:
                s.settimeout(5)
                return said + s.recv(65536), "refused"
            said = b""
        if "name" in a:
            s = ssl.create_default_context().wrap_socket(s, server_hostname=a["name"])
        s.sendall(a["send"].encode("latin-1"))
        if "name" not in a:
            s.shutdown(socket.SHUT_WR)
        while more := s.recv(65536):
            said += more
            if "name" in a and complete(said):
                break
        return said, ""
    except OSError as e:
        return said, type(e).__name__ + ": " + str(e)
    finally:
        s.close()
def complete(said):
    head, end, body = said.partition(b"\\r\\n\\r\\n")
    lines = head.lower().split(b"\\r\\n")
    return end and any(l == b"content-length: %d" % len(body) for l in lines)
answers = []
for a in json.load(sys.stdin):
    try:
        said, error = attempt(a)
    except OSError as e:
        said, error = b"", type(e).__name__ + ": " + str(e)
    answers.append({"said": said.decode("latin-1"), "error": error})
print(json.dumps(answers))
"""

# Sends standard input's size up, or takes it down, in pieces; says how much and what.
STREAM = """
import hashlib, http.client, sys
way, host, path, size = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
def pieces():
    left = size
    while left > 0:
        n = min(left, 65536)
        left -= n
        yield bytes([left % 251]) * n
c = http.client.HTTPSConnection(host, timeout=60)
if way == "down":
    c.request("GET", path)
else:
    length = {"Content-Length": str(size)} if way == "length" else {}
    c.request("POST", path, body=pieces(), headers=length, encode_chunked=way == "chunks")
r = c.getresponse()
digest, n = hashlib.sha256(), 0
while data := r.read(65536):
    digest.update(data)
    n += len(data)
    last = data
print(r.status, n, digest.hexdigest() if way == "down" else last.decode())
"""
LARGE = 50_000_000


def pieces(size):
    while size > 0:
        n = min(size, 65536)
        size -= n
        yield bytes([size % 251]) * n


def digest_of(size):
    digest = hashlib.sha256()
    for piece in pieces(size):
        digest.update(piece)
    return digest.hexdigest()


def say(request):
    """What www.example.com and other.example.com answer."""
    if request.path == "/moved/denied":
        return Response(302, "", {"Location": f"https://{WEB}/private"})
    if request.path == "/moved/inside":
        return Response(302, "", {"Location": "http://127.0.0.1:8099/"})
    if request.path == "/moved/other":
        return Response(302, "", {"Location": f"http://{OTHER}/x"})
    if request.method in ("POST", "PUT"):
        return Response(200, f"{len(request.body)} {hashlib.sha256(request.body).hexdigest()}")
    return Response(200, f"{request.method} {request.header('Host')} {request.target}")


def serve_large(connection, _):
    """One exchange: a body of LARGE bytes down, or of any size up; neither is held."""
    with NET.tls_context(BIG).wrap_socket(connection, server_side=True) as c:
        reader = c.makefile("rb")
        line = reader.readline().decode()
        headers = {}
        while (header := reader.readline().decode().rstrip()) != "":
            name, _, value = header.partition(": ")
            headers[name.lower()] = value
        if line.startswith("GET"):
            chunked = "chunked" in line
            c.sendall(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked" if chunked else f"Content-Length: {LARGE}").encode())
            for piece in pieces(LARGE):
                c.sendall(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            c.sendall(b"0\r\n\r\n" if chunked else b"")
        else:
            answer = read_large(reader, headers).encode()
            c.sendall(head("HTTP/1.1 200 OK", f"Content-Length: {len(answer)}").encode() + answer)
        reader.read()


def read_large(reader, headers):
    digest, total = hashlib.sha256(), 0
    left = int(headers.get("content-length", 0))
    while True:
        if left == 0 and "transfer-encoding" in headers:
            left = int(reader.readline(), 16)
        if left == 0:
            break
        data = reader.read(min(left, 65536))
        digest.update(data)
        total += len(data)
        left -= len(data)
        if left == 0 and "transfer-encoding" in headers:
            reader.readline()
        elif left == 0:
            break
    return f"{total} {digest.hexdigest()}"


def setUpModule():
    global NET
    internet.enter()
    NET = Internet()
    for name in (WEB, OTHER):
        setattr(NET, name.split(".", 1)[0], [NET.https(name, say, names=[WEB, OTHER]), NET.http(name, say)])
    NET.local = NET.http("local.example.com", lambda r: Response(200, "local"), port=8098)
    NET.loopback = internet.HttpServer(("127.0.0.1", 8099), lambda r: Response(200, "local"))
    NET.big = NET.tcp(BIG, 443, serve_large)
    NET.sinks = {80: [Sink((a, 80)) for a in NET.address(SINK)],
                 443: [Sink((a, 443), NET.tls_context(SINK)) for a in NET.address(SINK)]}


def tearDownModule():
    NET.loopback.close()
    for sinks in NET.sinks.values():
        for sink in sinks:
            sink.close()
    NET.close()


RULES = [
    rule("http", "web", hosts=[WEB], schemes=["http", "https"], methods=["GET", "HEAD", "POST", "PUT", "OPTIONS"],
         paths=["/", "/x", "/front", "/post", "/moved/**"]),
    rule("http", "big", hosts=[BIG], methods=["GET", "POST"], paths="any"),
    rule("http", "other", hosts=[OTHER], schemes=["http", "https"], methods=["GET"], paths=["/", "/x"]),
    rule("http", "sink", hosts=[SINK], schemes=["http", "https"], methods=["GET", "POST"], paths="any", headers="any"),
    rule("http", "small", hosts=[WEB], schemes=["https"], methods=["POST"], paths=["/small"], limits={"body": "1KiB"}),
]


class Http:
    @classmethod
    def setUpClass(cls):
        cls.ring = NET.ring(cls.mode)
        cls.policy = NET.policy(cls.ring, RULES, {"limits": {"memory": "512MiB", "wall": "120s"}})

    @classmethod
    def tearDownClass(cls):
        cls.ring.destroy()

    def setUp(self):
        for servers in (*NET.www, *NET.other):
            for server in servers.each:
                del server.requests[:]

    def sandbox(self, *argv, **options):
        return NET.run(self.ring, self.policy, *argv, timeout=120, **options)

    def said(self, *argv, **options):
        p = self.sandbox(*argv, **options)
        self.assertEqual(p.returncode, 0, (p.stdout[-2000:], p.stderr.decode(errors="replace")[-3000:]))
        return p.stdout.decode()

    def attempts(self, attempts):
        return json.loads(self.said(PYTHON, "-c", ATTEMPTS, input=json.dumps(attempts).encode()))

    def curl(self, *args):
        return self.said("/usr/bin/curl", "-sS", "--max-time", "60", *args)

    def gateway_memory_kib(self):
        supervisor = self.ring.programs()["rf-supervisor"]
        found = [p for p in children_of(supervisor) if file_text(f"/proc/{p}/comm").strip() == "rf-gateway"]
        self.assertEqual(len(found), 1)
        lines = file_text(f"/proc/{found[0]}/status").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))

    def arrived(self, port):
        return b"".join(sink.take() for sink in NET.sinks[port])

    # ---- smuggling ----

    def control(self, port, data):
        """DATA from outside of any sandbox."""
        with socket.create_connection((NET.address(SINK)[0], port), 20) as s:
            if port == 443:
                s = ssl.create_default_context(cafile=NET.ca.certificate).wrap_socket(s, server_hostname=SINK)
            s.sendall(data)
            while b"ok" not in s.recv(65536):
                pass
            s.close()

    def smuggle(self, port, text):
        return {"to": SINK, "port": port, "send": text, **({"name": SINK} if port == 443 else {})}

    def test_smuggled_requests_reach_nobody_in_the_clear_and_within_tls(self):
        table = streams(SINK)
        for port in (80, 443):
            for name, text in table.items():
                self.control(port, text.encode("latin-1"))
                self.assertIn(MARK, self.arrived(port), name)
            answers = self.attempts([self.smuggle(port, text) for text in table.values()])
            for name, answer in zip(table, answers, strict=True):
                with self.subTest(name, port=port):
                    self.assertRegex(answer["said"], r"^HTTP/1\.1 (400|505) ")
                    self.assertIn('{"error":{', answer["said"])
            self.assertEqual(self.arrived(port), b"")

    def test_bodies_that_break_their_framing_take_no_request_along(self):
        table = broken_bodies(SINK)
        for port in (80, 443):
            for name, text in table.items():
                self.control(port, text.encode("latin-1"))
                self.assertIn(MARK, self.arrived(port), name)
            self.attempts([self.smuggle(port, text) for text in table.values()])
            arrived = self.arrived(port)
            self.assertNotIn(MARK, arrived)
            self.assertNotIn(b"0\r\n\r\n", arrived)

    def test_a_second_request_is_decided_by_itself(self):
        first, second = head("GET /x HTTP/1.1", f"Host: {WEB}"), head("GET /private HTTP/1.1", f"Host: {WEB}")
        answer = self.attempts([{"to": WEB, "port": 80, "send": first + second + first}])[0]
        self.assertRegex(answer["said"], r"(?s)^HTTP/1.1 200 .*GET www.example.com /xHTTP/1.1 403 ")
        self.assertEqual([r.path for r in NET.www[1].requests], ["/x"])

    # ---- hosts that disagree ----

    def test_a_request_goes_to_where_its_connection_was_made(self):
        """Fronting: the server behind WEB would answer for OTHER as well, and both are allowed."""
        request = head("GET /x HTTP/1.1", f"Host: {OTHER}", "Connection: close")
        with socket.create_connection((NET.address(WEB)[0], 443), 20) as s:
            context = ssl.create_default_context(cafile=NET.ca.certificate)
            with context.wrap_socket(s, server_hostname=WEB) as s:
                s.sendall(request.encode())
                self.assertIn(b"200", s.recv(65536))
        self.setUp()
        proxy = {"to": "198.18.0.1", "port": 3128}
        connect = head(f"CONNECT {WEB}:443 HTTP/1.1", f"Host: {WEB}:443")
        table = {
            "host": {"to": WEB, "port": 80, "send": request},
            "host within tls": {"to": WEB, "port": 443, "name": WEB, "send": request},
            "absolute form": {"to": WEB, "port": 80, "send": head(f"GET http://{OTHER}/x HTTP/1.1", f"Host: {OTHER}")},
            "absolute form and host": {"to": WEB, "port": 80, "send": head(f"GET http://{WEB}/x HTTP/1.1", f"Host: {OTHER}")},
            "absolute form and host at the proxy": {**proxy, "send": head(f"GET http://{WEB}/x HTTP/1.1", f"Host: {OTHER}")},
            "userinfo": {**proxy, "send": head(f"GET http://{OTHER}@{WEB}/x HTTP/1.1", f"Host: {WEB}")},
            "userinfo, the other way": {**proxy, "send": head(f"GET http://{WEB}@{OTHER}/x HTTP/1.1", f"Host: {WEB}")},
            "userinfo in host": {"to": WEB, "port": 80, "send": head("GET /x HTTP/1.1", f"Host: {OTHER}@{WEB}")},
            "NUL in host": {"to": WEB, "port": 80, "send": head("GET /x HTTP/1.1", f"Host: {WEB}\0.{OTHER}")},
            "two names in host": {"to": WEB, "port": 80, "send": head("GET /x HTTP/1.1", f"Host: {WEB}, {OTHER}")},
            "port in host": {"to": WEB, "port": 80, "send": head("GET /x HTTP/1.1", f"Host: {WEB}:443")},
            "scheme": {"to": WEB, "port": 80, "send": head(f"GET https://{WEB}/x HTTP/1.1", f"Host: {WEB}:80")},
            "host within a tunnel": {**proxy, "connect": connect, "name": WEB, "send": request},
            "connect and host": {**proxy, "connect": head(f"CONNECT {WEB}:443 HTTP/1.1", f"Host: {OTHER}:443"),
                                 "name": WEB, "send": request},
            "connect within a tunnel": {**proxy, "connect": connect, "name": WEB, "send": head(
                f"CONNECT {OTHER}:443 HTTP/1.1", f"Host: {OTHER}:443")},
        }
        for name, answer in zip(table, self.attempts(list(table.values())), strict=True):
            with self.subTest(name):
                self.assertRegex(answer["said"], r"^HTTP/1\.1 4(00|03|05|21) ", answer)
        names = {"sni": {"to": WEB, "port": 443, "name": OTHER, "send": request},
                 "sni within a tunnel": {**proxy, "connect": connect, "name": OTHER, "send": request}}
        for name, answer in zip(names, self.attempts(list(names.values())), strict=True):
            with self.subTest(name):
                self.assertEqual(answer["said"], "")
                self.assertTrue(answer["error"])
        self.assertEqual([r for s in (*NET.www, *NET.other) for r in s.requests], [])

    def test_the_proxy_leads_to_nothing_of_the_hosts(self):
        with socket.create_connection(("127.0.0.1", 8099), 20) as s:
            s.sendall(head("GET / HTTP/1.1", "Host: 127.0.0.1:8099", "Connection: close").encode())
            self.assertIn(b"local", s.recv(65536))
        del NET.loopback.requests[:]
        connections = NET.loopback.connections
        table = []
        for host in ("127.0.0.1", "127.1", "0x7f.0.0.1", "0177.0.0.1", "2130706433", "127.0.0.1.", "localhost", "0.0.0.0",
                     "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::]", "127.0.0.1%00.example.com",
                     "www.example.com@127.0.0.1", "127.0.0.1#www.example.com", "local.example.com"):
            for line in (f"GET http://{host}:8099/ HTTP/1.1", f"CONNECT {host}:8099 HTTP/1.1"):
                table.append({"to": "198.18.0.1", "port": 3128, "send": head(line, f"Host: {host}:8099")})
            table.append({"to": WEB, "port": 80, "send": head("GET / HTTP/1.1", f"Host: {host}:8099")})
        for attempt, answer in zip(table, self.attempts(table), strict=True):
            self.assertRegex(answer["said"], r"^HTTP/1\.1 4(00|03|21) ", attempt)
        self.assertEqual((NET.loopback.requests, NET.loopback.connections), ([], connections))

    # ---- redirects, denials ----

    def test_a_redirect_is_decided_like_any_request(self):
        self.assertEqual(self.curl("-L", f"https://{WEB}/moved/other"), f"GET {OTHER} /x")
        denied = self.curl("-L", "-w", "%{http_code}", f"https://{WEB}/moved/denied")
        self.assertTrue(denied.endswith("403"), denied)
        self.assertNotIn("/private", [r.path for s in NET.www for r in s.requests])
        p = self.sandbox("/usr/bin/curl", "-sSL", "--max-time", "20", f"https://{WEB}/moved/inside")
        self.assertNotEqual(p.returncode, 0)
        self.assertEqual(NET.loopback.requests, [])

    def test_a_denial_says_in_json_which_rule_would_be_needed(self):
        for args in ([f"https://{WEB}/private"], ["-X", "DELETE", f"https://{WEB}/x"],
                     ["-d", "a=b", f"https://{WEB}/private"],
                     ["-x", "http://198.18.0.1:3128", f"http://{WEB}/private"]):
            body, _, status = self.curl("-w", "\n%{http_code} %{content_type}", *args).rpartition("\n")
            error = json.loads(body)["error"]
            self.assertEqual(status, "403 application/json")
            self.assertEqual(error["code"], "denied")
            for member in ("message", "reason", "remedy", "action_id"):
                self.assertTrue(error[member], (args, member, error))
        self.assertEqual([r for s in NET.www for r in s.requests], [])

    def test_a_body_beyond_the_rules_limit_is_not_taken(self):
        for size, more, status in ((1024, (), "200"), (1025, (), "403"), (100_000, (), "403"),
                                   (5000, ("-H", "Transfer-Encoding: chunked"), "4(03|13)")):
            said = self.said("/usr/bin/curl", "-sS", "-w", "%{http_code}", "-o", "/dev/null", "--data-binary", "@-", *more,
                             f"https://{WEB}/small", input=b"x" * size)
            self.assertRegex(said, f"^{status}$")
        self.assertEqual([len(r.body) for s in NET.www for r in s.requests], [1024])

    # ---- ordinary life ----

    def test_ways_to_send_and_to_ask(self):
        self.assertEqual(self.curl(f"https://{WEB}/x?a=b%20c&d"), f"GET {WEB} /x?a=b%20c&d")
        self.assertIn("content-length:", self.curl("-I", f"https://{WEB}/x").lower())
        body = os.urandom(300_000)
        expected = f"{len(body)} {hashlib.sha256(body).hexdigest()}"
        for args in ((), ("-H", "Expect: 100-continue"), ("-H", "Transfer-Encoding: chunked"),
                     ("-H", "Transfer-Encoding: chunked", "-H", "Expect: 100-continue")):
            said = self.said("/usr/bin/curl", "-sS", "--expect100-timeout", "30", "--data-binary", "@-", *args,
                             f"https://{WEB}/post", input=body)
            self.assertEqual(said, expected)
        several = self.curl(*[f"https://{WEB}/x?{i}" for i in range(10)], "-w", " %{num_connects}\\n")
        self.assertEqual(sum(int(line.rsplit(" ", 1)[1]) for line in several.splitlines()), 1)

    def test_an_upgrade_needs_a_rule(self):
        said = self.attempts([{"to": WEB, "port": 80, "send": head(
            "GET /x HTTP/1.1", f"Host: {WEB}", "Connection: Upgrade", "Upgrade: websocket",
            "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")}])[0]["said"]
        self.assertRegex(said, r"^HTTP/1\.1 403 ")
        self.assertEqual([r for s in NET.www for r in s.requests], [])

    def test_large_bodies_pass_without_being_held(self):
        for way, path in (("down", "/large"), ("down", "/large?chunked"), ("length", "/post"), ("chunks", "/post")):
            said = self.said(PYTHON, "-c", STREAM, way, BIG, path, str(LARGE)).split()
            self.assertEqual(said[0], "200", way)
            self.assertEqual(said[-1], digest_of(LARGE), way)
            self.assertEqual(said[1 if way == "down" else -2], str(LARGE), way)
            self.assertLess(self.gateway_memory_kib(), 32 * 1024, way)

    def test_what_was_refused_and_denied_is_on_record(self):
        ring = NET.ring(self.mode)
        text = streams(WEB)["CL.TE"]
        NET.run(ring, NET.policy(ring, RULES), PYTHON, "-c", ATTEMPTS, input=json.dumps([
            {"to": WEB, "port": 80, "send": text},
            {"to": WEB, "port": 80, "send": head("GET /private HTTP/1.1", f"Host: {WEB}")},
            {"to": WEB, "port": 80, "send": head("GET /x HTTP/1.1", f"Host: {WEB}")}]).encode())
        verified, records = NET.audit(ring)
        self.assertTrue(verified)
        said = json.dumps(records)
        self.assertIn("request-refused", said)
        self.assertIn("Content-Length beside Transfer-Encoding", said)
        self.assertIn("/private", said)


class AsRoot(Http, unittest.TestCase):
    mode = "root"

    @classmethod
    def setUpClass(cls):
        if cls.mode not in modes():
            raise unittest.SkipTest("not root")
        super().setUpClass()


class Rootless(Http, unittest.TestCase):
    mode = "rootless"


if __name__ == "__main__":
    unittest.main()
