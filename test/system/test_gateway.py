#!/usr/bin/env python3
"""rf-gateway by itself, with its siblings played by the test (gateway_kit.py): what it accepts, asks, performs, settles
and refuses. Needs root."""

import hashlib
import hmac
import http.client
import os
import shutil
import socket
import ssl
import tempfile
import time
import unittest

from gateway_kit import *


def read_head(c):
    data = b""
    while b"\r\n\r\n" not in data:
        more = c.recv(65536)
        if not more:
            return data
        data += more
    return data


def fixed(body, extra=""):
    """Answers every request on a connection with BODY; requests are kept."""
    seen = []

    def handle(c):
        pending = b""
        while True:
            while b"\r\n\r\n" not in pending:
                more = c.recv(65536)
                if not more:
                    return
                pending += more
            head, pending = pending.split(b"\r\n\r\n", 1)
            length = 0
            for line in head.split(b"\r\n"):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            while len(pending) < length:
                pending += c.recv(65536)
            seen.append((head, pending[:length]))
            pending = pending[length:]
            c.sendall(("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n" % (len(body), extra)).encode() + body)
    handle.seen = seen
    return handle


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0:
            raise unittest.SkipTest("needs root")
        own_network()
        cls.dir = tempfile.mkdtemp(prefix="rf-net-")
        cls.ca = make_ca(cls.dir)
        cls.cert = make_cert(cls.dir, cls.ca, "api.example.com")
        cls.wrong = make_cert(cls.dir, cls.ca, "other.example.com")
        elsewhere = tempfile.mkdtemp(dir=cls.dir)
        cls.stranger = make_cert(elsewhere, make_ca(elsewhere), "api.example.com")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dir, ignore_errors=True)

    def setUp(self):
        self.g = Gateway(self.ca[0])
        self.sandbox, ca = self.g.open()
        self.context = ssl.create_default_context(cadata=ca)

    def tearDown(self):
        text = self.g.errors()
        self.assertEqual(self.g.close(), 0, text)
        self.assertNotIn("conversation-ended", text)

    def upstream(self, handle, host="api.example.com", port=443, cert="good", **reach):
        u = Upstream(handle, self.cert if cert == "good" else cert)
        self.g.dials[(host, port)] = u.port
        self.g.reach[(host, port)] = reach or {"intercept": True}
        return u

    def connect(self, host="api.example.com", port=443, family=socket.AF_INET):
        address = resolve(host, family)
        self.assertIsInstance(address, str, "%s has no address" % host)
        s = socket.create_connection((address, port))
        s.settimeout(20)
        return s

    def tls(self, host="api.example.com", port=443, name=None, **kw):
        return self.context.wrap_socket(self.connect(host, port, **kw), server_hostname=name or host)

    def ask(self, s, method="GET", path="/", body=b"", headers="", host="api.example.com"):
        text = "%s %s HTTP/1.1\r\nHost: %s\r\n%s" % (method, path, host, headers)
        if body:
            text += "Content-Length: %d\r\n" % len(body)
        s.sendall(text.encode() + b"\r\n" + body)
        r = http.client.HTTPResponse(s, method=method)
        r.begin()
        return r, r.read()


class Intercepted(Case):
    def test_a_request_is_asked_performed_and_settled(self):
        handle = fixed(b"hello")
        self.upstream(handle)
        for family in (socket.AF_INET, socket.AF_INET6):
            with self.tls(family=family) as s:
                r, body = self.ask(s, path="/a/b?x=1", headers="X-Mine: 7\r\n")
            self.assertEqual((r.status, body), (200, b"hello"))
        action = self.g.proposals[0]
        self.assertEqual(action["kind"], "http")
        request = action["request"]
        self.assertEqual((request["scheme"], request["host"], request["port"], request["method"], request["path"],
                          request["query"], request["body_bytes"]),
                         ("https", "api.example.com", 443, "GET", "/a/b", "x=1", 0))
        self.assertEqual(request["headers"]["x-mine"], "7")
        head = handle.seen[0][0].decode()
        self.assertTrue(head.startswith("GET /a/b?x=1 HTTP/1.1\r\nHost: api.example.com\r\n"), head)
        settled = self.g.wait_settled(2)[0]
        self.assertEqual(settled["state"], "succeeded")
        self.assertEqual((settled["outcome"]["status"], settled["outcome"]["bytes_in"]), (200, 5))

    def test_a_connection_serves_many_and_so_does_the_upstreams(self):
        u = self.upstream(fixed(b"x" * 1000))
        with self.tls() as s:
            for _ in range(20):
                self.assertEqual(self.ask(s)[0].status, 200)
        with self.tls() as s:
            self.assertEqual(self.ask(s)[0].status, 200)
        self.assertEqual(len(self.g.wait_settled(21)), 21)
        self.assertEqual(u.count, 1)

    def test_what_is_denied_gets_a_403_that_says_why(self):
        u = self.upstream(fixed(b"secret"))
        self.g.decide = lambda a: {"state": "denied", "decision": {"reason": "no rule matches", "needed": "a rule of POST"}}
        with self.tls() as s:
            r, body = self.ask(s, "POST", "/x", b"data")
        import json
        error = json.loads(body)["error"]
        self.assertEqual((r.status, error["code"], error["reason"], error["remedy"]),
                         (403, "denied", "no rule matches", "a rule of POST"))
        self.assertTrue(error["action_id"])
        self.assertEqual(u.count, 0)
        closed = self.g.close_guest(self.sandbox)
        self.assertEqual(closed["usage"]["denied"], 1)
        self.assertEqual(closed["denials"][0]["what"], "POST https://api.example.com/x")

    def test_bodies_are_hashed_into_what_is_decided(self):
        import hashlib
        handle = fixed(b"ok")
        self.upstream(handle)
        with self.tls() as s:
            self.ask(s, "POST", "/x", b"the body")
        self.assertEqual(self.g.proposals[0]["request"]["body_sha256"], hashlib.sha256(b"the body").hexdigest())
        self.assertEqual(handle.seen[0][1], b"the body")

    def test_large_bodies_stream_both_ways(self):
        big = os.urandom(3 << 20)

        def handle(c):
            head = read_head(c)
            rest = head.split(b"\r\n\r\n", 1)[1]
            while len(rest) < len(big):
                rest += c.recv(1 << 20)
            c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for at in range(0, len(rest), 70000):
                run = rest[at:at + 70000]
                c.sendall(b"%x\r\n" % len(run) + run + b"\r\n")
            c.sendall(b"0\r\n\r\n")
        self.upstream(handle)
        with self.tls() as s:
            r, body = self.ask(s, "PUT", "/big", big, headers="Expect: 100-continue\r\n")
        self.assertEqual(r.status, 200)
        self.assertTrue(body == big)

    def test_an_upstream_with_another_certificate_is_refused(self):
        for cert in (self.wrong, self.stranger):
            self.upstream(fixed(b"lies"), cert=cert)
            with self.tls() as s:
                r, body = self.ask(s)
            self.assertEqual(r.status, 502)
            self.assertIn(b"certificate", body)
            self.assertNotIn(b"lies", body)

    def test_host_and_name_must_agree(self):
        self.upstream(fixed(b"x"))
        self.upstream(fixed(b"y"), host="front.example.com")
        with self.tls() as s:
            self.assertEqual(self.ask(s, host="front.example.com")[0].status, 421)
        with self.assertRaises((ssl.SSLError, OSError)):
            self.tls("front.example.com", name="api.example.com")
        self.assertEqual(self.g.proposals, [])

    def test_the_certificate_is_of_this_sandbox_alone(self):
        self.upstream(fixed(b"x"))
        self.g.close_guest(self.sandbox)
        self.sandbox, _ = self.g.open()
        with self.assertRaises(ssl.SSLCertVerificationError):
            self.tls()


class Limits(Case):
    def test_responses_of_other_types_stay_outside(self):
        self.upstream(fixed(b"{}", "Content-Type: Application/JSON; charset=utf-8\r\n"))
        for types, status in ((["application/json"], 200), (["text/*", "application/*"], 200), (["text/*"], 502),
                              (["application/js"], 502)):
            self.g.decide = lambda a: {"state": "performing", "limits": {"response_types": types}}
            with self.tls() as s:
                self.assertEqual(self.ask(s)[0].status, status, types)

    def test_sizes_of_bodies(self):
        self.upstream(fixed(b"x" * 1000))
        for limits, sent, status in (({"response_bytes": 1000}, b"", 200), ({"response_bytes": 999}, b"", 502),
                                     ({"body_bytes": 100000}, b"y" * 100000, 200), ({"body_bytes": 99999}, b"y" * 100000, 413)):
            self.g.decide = lambda a: {"state": "performing", "limits": limits}
            with self.tls() as s:
                self.assertEqual(self.ask(s, "POST" if sent else "GET", body=sent)[0].status, status, limits)

    def test_when_all_traffic_is_used_up_the_network_ends(self):
        self.g.close_guest(self.sandbox)
        self.sandbox, ca = self.g.open(bytes=200000)
        self.context = ssl.create_default_context(cadata=ca)
        self.upstream(fixed(b"x" * 100000))
        with self.tls() as s:
            self.assertEqual(self.ask(s)[0].status, 200)
            with self.assertRaises((OSError, http.client.HTTPException)):
                for _ in range(1000):
                    self.ask(s)
        with self.connect() as s:
            self.assertEqual(s.recv(1), b"")
        self.assertIn("traffic", str(self.g.close_guest(self.sandbox)["denials"]))
        self.sandbox, _ = self.g.open()


class Credentials(Case):
    def granting(self, **credential):
        self.g.decide = lambda a: {"state": "performing", "credential": "tok", "credential_body": dict(
            {"credential": "tok", "value": "s3cr3t-value-of-tok"}, **credential)}

    def test_a_credential_goes_out_and_never_comes_in(self):
        handle = fixed(b"you sent s3cr3t-value-of-tok, right?", "X-Echo: s3cr3t-value-of-tok\r\n")
        self.upstream(handle)
        self.granting(apply={"as": "bearer"})
        with self.tls() as s:
            r, body = self.ask(s, headers="Accept-Encoding: gzip\r\n")
        head = handle.seen[0][0].decode()
        self.assertIn("Authorization: Bearer s3cr3t-value-of-tok", head)
        self.assertNotIn("gzip", head)
        self.assertEqual(body, b"you sent *******************, right?")
        self.assertEqual(r.headers["X-Echo"], "*" * 19)
        self.assertNotIn("s3cr3t", str(self.g.proposals))
        self.assertEqual(self.g.wait_settled()[0]["outcome"]["redacted"], 1)

    def test_a_placeholder_is_filled_for_its_target_alone(self):
        handle = fixed(b"x")
        self.upstream(handle)
        self.granting(apply={"as": "header", "name": "x-api-key"})
        with self.tls() as s:
            self.ask(s, headers="X-Other: pre-RINGFENCE_SECRET_tok\r\n")
            r, _ = self.ask(s, headers="X-Other: RINGFENCE_SECRET_else\r\n")
        self.assertIn("X-Other: pre-s3cr3t-value-of-tok", handle.seen[0][0].decode())
        self.assertEqual(r.status, 403)
        self.assertEqual(len(handle.seen), 1)

    def test_no_credential_no_request(self):
        u = self.upstream(fixed(b"x"))
        self.g.decide = lambda a: {"state": "performing", "grant": str(uuid.uuid4())}
        with self.tls() as s:
            self.assertEqual(self.ask(s)[0].status, 503)
        self.assertEqual(u.count, 0)


def hmac_sha256(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def aws_key(secret, date, region, service):
    key = hmac_sha256(("AWS4" + secret).encode(), date)
    for part in (region, service, "aws4_request"):
        key = hmac_sha256(key, part)
    return key


def aws_signature_holds(head, key):
    """Whether HEAD's Authorization is right, by an implementation of its own ("Authenticating Requests: Using the
    Authorization Header", Amazon S3 API Reference)."""
    lines = head.decode().split("\r\n")
    method, target, _ = lines[0].split(" ")
    headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines[1:])}
    scheme, rest = headers["authorization"].split(" ", 1)
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    scope = parts["Credential"].split("/", 1)[1]
    path, _, query = target.partition("?")
    canonical = "\n".join([method, path, "&".join(sorted(query.split("&")))] +
                          ["%s:%s" % (n, headers[n]) for n in parts["SignedHeaders"].split(";")] +
                          ["", parts["SignedHeaders"], headers["x-amz-content-sha256"]])
    text = "\n".join([scheme, headers["x-amz-date"], scope, hashlib.sha256(canonical.encode()).hexdigest()])
    return hmac.compare_digest(hmac_sha256(key, text).hex(), parts["Signature"])


class SignedForAws(Case):
    def test_a_request_is_signed_anew(self):
        date = time.strftime("%Y%m%d", time.gmtime())
        key = aws_key("wJalrXUtnFEMI/K7MDENG", date, "eu-central-1", "s3")
        self.g.decide = lambda a: {"state": "performing", "credential_body": {
            "credential": "store", "value": key.hex(),
            "apply": {"as": "aws", "name": date + "/eu-central-1/s3", "user": "AKIDEXAMPLE"}}}
        handle = fixed(b"x")
        self.upstream(handle)
        agents = ("Authorization: AWS4-HMAC-SHA256 Credential=RINGFENCE_SECRET_store/20000101/x/s3/aws4_request, "
                  "SignedHeaders=host, Signature=00\r\nX-Amz-Date: 20000101T000000Z\r\n")
        with self.tls() as s:
            r, said = self.ask(s, "PUT", "/bucket/a%20b", b"data", agents)
            self.assertEqual(r.status, 200, said)
            self.assertEqual(self.ask(s, path="/bucket/?prefix=a%2F&list-type=2", headers=agents)[0].status, 200)
            presigned = "/bucket/x?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00"
            self.assertEqual(self.ask(s, path=presigned)[0].status, 403)
        self.assertEqual(len(handle.seen), 2)
        for head, _ in handle.seen:
            self.assertTrue(aws_signature_holds(head, key), head)
            self.assertFalse(aws_signature_holds(head.replace(b"/bucket/", b"/other/"), key))
            self.assertIn(b"Credential=AKIDEXAMPLE/", head)
        self.assertNotIn("authorization", self.g.proposals[0]["request"]["headers"])


class Plain(Case):
    def test_plain_http_and_the_proxy(self):
        handle = fixed(b"hi")
        self.upstream(handle, "web.example.com", 80, cert=None, plain=True)
        with self.connect("web.example.com", 80) as s:
            self.assertEqual(self.ask(s, host="web.example.com")[1], b"hi")
        with socket.create_connection(("127.0.0.1", 3128)) as s:
            self.assertEqual(self.ask(s, path="http://web.example.com/p", host="web.example.com")[1], b"hi")
        self.assertIn(b"GET /p HTTP/1.1", handle.seen[1][0])

    def test_connect_leads_to_the_same_boundary(self):
        self.upstream(fixed(b"tls"))
        with socket.create_connection(("127.0.0.1", 3128)) as c:
            c.sendall(b"CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n\r\n")
            self.assertIn(b" 200 ", read_head(c))
            with self.context.wrap_socket(c, server_hostname="api.example.com") as s:
                self.assertEqual(self.ask(s)[1], b"tls")
        self.assertEqual(self.g.proposals[0]["kind"], "http")

    def test_what_no_rule_reaches_is_refused(self):
        self.assertEqual(resolve("evil.example.org"), 3)
        with socket.create_connection(("127.0.0.1", 3128)) as c:
            c.sendall(b"CONNECT evil.example.org:443 HTTP/1.1\r\nHost: evil.example.org:443\r\n\r\n")
            self.assertIn(b" 403 ", read_head(c))
        with socket.create_connection(("93.184.216.34", 443)) as c:
            self.assertEqual(c.recv(10), b"")
        with socket.create_connection(("198.18.77.77", 443)) as c:  # another sandbox's, perhaps
            self.assertEqual(c.recv(10), b"")
        with self.g.changed:
            self.assertTrue(self.g.changed.wait_for(lambda: len(self.g.notes) >= 3, 20))

    def test_a_smuggled_request_is_refused(self):
        handle = fixed(b"x")
        self.upstream(handle, "web.example.com", 80, cert=None, plain=True)
        for trick in ("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: xchunked\r\n",
                      "Content-Length: 4\r\nContent-Length: 5\r\n", "X: a\r\n b\r\n"):
            with self.connect("web.example.com", 80) as s:
                s.sendall(("POST / HTTP/1.1\r\nHost: web.example.com\r\n%s\r\n" % trick).encode() + b"0\r\n\r\nGET /evil")
                self.assertIn(b"HTTP/1.1 400", s.recv(100))
        self.assertEqual(handle.seen, [])


class WebSockets(Case):
    HEAD = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n"

    def begin(self, s):
        s.sendall(("GET /ws HTTP/1.1\r\nHost: api.example.com\r\n%s\r\n" % self.HEAD).encode())
        return read_head(s)

    def serve(self):
        heads = []

        def handle(c):
            heads.append(read_head(c))
            c.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst")
            c.sendall(c.recv(100).upper())
        self.upstream(handle)
        return heads

    def test_what_was_allowed_to_change_protocol_does(self):
        heads = self.serve()
        with self.tls() as s:
            head = self.begin(s)
            self.assertTrue(head.startswith(b"HTTP/1.1 101 "), head)
            rest = head.split(b"\r\n\r\n", 1)[1]
            while rest != b"first":
                rest += s.recv(10)
            s.sendall(b"frames")
            self.assertEqual(s.recv(100), b"FRAMES")
        self.assertIn(b"Upgrade: websocket", heads[0])
        self.assertEqual(self.g.proposals[0]["request"]["headers"]["upgrade"], "websocket")
        self.assertEqual(self.g.wait_settled()[0]["state"], "succeeded")

    def test_what_was_not_does_not(self):
        heads = self.serve()
        self.g.decide = lambda a: {"state": "denied"}
        with self.tls() as s:
            self.assertIn(b" 403 ", self.begin(s))
        self.assertEqual(heads, [])

    def test_an_upstream_cannot_change_it_by_itself(self):
        self.serve()
        with self.tls() as s:
            self.assertEqual(self.ask(s)[0].status, 502)


class Raw(Case):
    def test_bytes_pass_whoever_speaks_first(self):
        def shout(c):
            c.sendall(b"220 ready\r\n")
            c.sendall(c.recv(100).upper())
        self.upstream(shout, "mail.example.com", 443, cert=None, raw=True)
        with self.connect("mail.example.com") as s:
            self.assertEqual(s.recv(100), b"220 ready\r\n")
            s.sendall(b"hello")
            self.assertEqual(s.recv(100), b"HELLO")
        self.assertEqual(self.g.proposals[0]["request"], {"host": "mail.example.com", "port": 443, "protocol": "tcp"})
        settled = self.g.wait_settled()[0]
        self.assertEqual((settled["state"], settled["outcome"]["bytes_out"]), ("succeeded", 5))

    def test_tls_is_passed_where_all_three_names_agree(self):
        u = self.upstream(fixed(b"direct"), raw=True)
        context = ssl.create_default_context(cafile=self.ca[0])  # the upstream's own certificate is seen
        for n in (2, 3):
            with context.wrap_socket(self.connect(), server_hostname="api.example.com") as s:
                self.assertEqual(self.ask(s)[1], b"direct")
            self.assertEqual(u.count, n)  # one more the first time: a look at its certificate
        with self.assertRaises((ssl.SSLError, OSError)):
            context.wrap_socket(self.connect(), server_hostname="other.example.com")

    def test_tls_with_another_certificate_is_not_passed(self):
        self.upstream(fixed(b"direct"), cert=self.wrong, raw=True)
        context = ssl.create_default_context(cafile=self.ca[0])
        context.check_hostname = False
        with self.assertRaises((ssl.SSLError, OSError)):
            context.wrap_socket(self.connect(), server_hostname="api.example.com")
        self.upstream(fixed(b"direct"), raw=True)  # the same with the right one
        with context.wrap_socket(self.connect(), server_hostname="api.example.com") as s:
            self.assertEqual(self.ask(s)[1], b"direct")


class Lost(Case):
    def test_without_the_arbiter_nothing_is_done(self):
        u = self.upstream(fixed(b"x"))
        with self.tls() as s:
            self.assertEqual(self.ask(s)[0].status, 200)
            self.g.arbiter.sock.shutdown(socket.SHUT_RDWR)
            self.assertEqual(self.ask(s)[0].status, 503)
        self.assertEqual(u.count, 1)
        # It ends, so that its supervisor starts one that the arbiter knows.
        self.assertEqual(self.g.process.wait(20), 0)

    def test_what_passes_ends_with_the_arbiter(self):
        self.upstream(lambda c: [c.sendall(d) for d in iter(lambda: c.recv(100), b"")], cert=None, raw=True)
        s = self.connect()
        s.sendall(b"x")
        self.assertEqual(s.recv(1), b"x")
        self.g.arbiter.sock.shutdown(socket.SHUT_RDWR)
        s.settimeout(20)
        try:
            self.assertEqual(s.recv(1), b"")
        except ConnectionResetError:
            pass

    def test_without_the_dialer_nothing_is_reached(self):
        self.upstream(fixed(b"x"))
        self.g.dialer.sock.shutdown(socket.SHUT_RDWR)
        with self.tls() as s:
            self.assertEqual(self.ask(s)[0].status, 502)


if __name__ == "__main__":
    unittest.main(verbosity=2)
