#!/usr/bin/python3
"""S3 from a sandbox whose client signs with keys of no value: the gateway signs anew. The server checks each signature by
code of its own; what is refused never reaches it."""

import hashlib
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import internet  # noqa: E402
from internet import Internet, rule  # noqa: E402
from ring import modes  # noqa: E402
from s3d import S3  # noqa: E402

ACCESS_KEY, SECRET = "AKIDREALREALREALREAL", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYREALKEY"
REGION = "eu-west-1"
HOST, PATH_HOST = "data.s3.example.com", "s3.example.net"
NET = None

# A client of S3 with dummy keys. argv: method, url, payload ("sign", "unsigned", "chunks", "none"), then headers NAME:VALUE.
# Its body is standard input; it prints the status and the answer.
CLIENT = r"""
import datetime, hashlib, hmac, http.client, ssl, sys, urllib.parse
method, url, payload, *more = sys.argv[1:]
at = urllib.parse.urlsplit(url)
body = sys.stdin.buffer.read()
headers = dict(h.split(":", 1) for h in more)
when = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
if payload == "chunks":
    half = len(body) // 2
    body = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[:half], body[half:]) if p)
    body += b"0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"
    headers.update({"X-Amz-Content-Sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "X-Amz-Trailer": "x-amz-checksum-crc32",
                    "Content-Encoding": "aws-chunked"})
elif payload == "unsigned":
    headers["X-Amz-Content-Sha256"] = "UNSIGNED-PAYLOAD"
elif payload == "sign":
    headers["X-Amz-Content-Sha256"] = hashlib.sha256(body).hexdigest()
if payload != "none":
    headers["X-Amz-Date"] = when
    headers["Authorization"] = ("AWS4-HMAC-SHA256 Credential=AKIADUMMY/%s/us-east-1/s3/aws4_request, "
        "SignedHeaders=host;x-amz-date, Signature=%s" % (when[:8], hmac.new(b"dummy", b"x", "sha256").hexdigest()))
c = http.client.HTTPSConnection(at.hostname, at.port or 443, context=ssl.create_default_context(), timeout=30)
c.request(method, (at.path or "/") + ("?" + at.query if at.query else ""), body if method in ("PUT", "POST") else None, headers)
answer = c.getresponse()
print(answer.status, answer.read().decode(errors="replace"))
"""


def setUpModule():
    global NET
    internet.enter()
    NET = Internet()
    NET.store = S3(ACCESS_KEY, SECRET, REGION)
    NET.servers = [NET.https(HOST, NET.store.handle), NET.https(PATH_HOST, NET.store.handle)]


def tearDownModule():
    NET.close()


class Store:
    @classmethod
    def setUpClass(cls):
        cls.ring = NET.ring(cls.mode)
        NET.secret(cls.ring, "store", SECRET, "--access-key", ACCESS_KEY, "--region", REGION, "--host", HOST, "--host", PATH_HOST)
        headers = ["authorization", "x-amz-*", "content-encoding"]
        cls.rules = [
            rule("http", "objects", hosts=[HOST], methods=["GET", "HEAD", "PUT", "DELETE"], paths=["/agents/**"],
                 headers=headers, credential="store"),
            rule("http", "list", hosts=[HOST], methods=["GET"], paths=["/"], headers=headers, credential="store"),
            rule("http", "by-path", hosts=[PATH_HOST], methods=["GET", "PUT"], paths=["/data/agents/**"], headers=headers,
                 credential="store")]

    @classmethod
    def tearDownClass(cls):
        cls.ring.destroy()

    def setUp(self):
        NET.store.objects.clear()
        NET.store.refused.clear()
        NET.store.payloads.clear()
        self.before = self.arrived()

    @staticmethod
    def arrived():
        return sum(len(s.requests) for s in NET.servers)

    def ask(self, method, url, payload="sign", *headers, body=b"", rules=None):
        p = NET.run(self.ring, rules or self.rules, "python3", "-c", CLIENT, method, url, payload, *headers, input=body)
        self.assertEqual(p.returncode, 0, p.stderr.decode(errors="replace"))
        return p.stdout.decode()

    def assertRefused(self, text, code):
        """The gateway said so, and the server heard nothing."""
        self.assertRegex(text, r"^403 ")
        self.assertIn(code, text)
        self.assertEqual(self.arrived(), self.before)

    def test_objects_are_written_and_read_with_each_kind_of_payload(self):
        # A small body is read before it is decided on, so its hash can be signed where the client did not.
        for payload, expected in (("sign", None), ("unsigned", None), ("chunks", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
                                  ("none", None)):
            url = f"https://{HOST}/agents/{payload}%20file+(1).txt"
            content = ("content of " + payload).encode() * 100
            with self.subTest(payload):
                self.assertEqual(self.ask("PUT", url, payload, body=content), "200 \n", NET.store.refused)
                self.assertEqual(NET.store.objects["data", f"agents/{payload} file+(1).txt"], content)
                self.assertEqual(NET.store.payloads[-1], expected or hashlib.sha256(content).hexdigest())
                self.assertEqual(self.ask("GET", url), f"200 {content.decode()}\n")
        self.assertEqual(NET.store.refused, [])

    def test_a_large_object_streams_unsigned(self):
        content = os.urandom(1 << 20)
        self.assertEqual(self.ask("PUT", f"https://{HOST}/agents/big", "none", body=content), "200 \n", NET.store.refused)
        self.assertEqual(NET.store.objects["data", "agents/big"], content)
        self.assertEqual(NET.store.payloads, ["UNSIGNED-PAYLOAD"])

    def test_a_bucket_in_the_path(self):
        self.assertEqual(self.ask("PUT", f"https://{PATH_HOST}/data/agents/x", body=b"1"), "200 \n", NET.store.refused)
        self.assertEqual(NET.store.objects, {("data", "agents/x"): b"1"})

    def test_listing_with_parameters_in_any_order(self):
        NET.store.objects.update({("data", "agents/a b"): b"1", ("data", "other"): b"2"})
        text = self.ask("GET", f"https://{HOST}/?prefix=agents/&list-type=2&delimiter=%2f&x-id=ListObjectsV2")
        self.assertRegex(text, "^200 .*<Key>agents/a b</Key>", NET.store.refused)
        self.assertNotIn("other", text)

    def test_metadata_is_signed_and_nothing_of_the_dummy_key_arrives(self):
        self.ask("PUT", f"https://{HOST}/agents/m", "sign", "X-Amz-Meta-Note:  two   spaces ", "X-Amz-Security-Token:dummytoken",
                 body=b"1")
        self.assertEqual(NET.store.refused, [])
        raw = [s.requests[-1].raw for s in NET.servers if s.requests][0]
        self.assertIn(b"x-amz-meta-note", raw.lower())
        for trace in (b"AKIADUMMY", b"dummytoken", b"us-east-1"):
            self.assertNotIn(trace, raw)

    def test_other_prefixes_and_buckets_are_denied(self):
        for method, url in (("GET", f"https://{HOST}/other/x"), ("PUT", f"https://{HOST}/x"), ("DELETE", f"https://{HOST}/"),
                            ("GET", f"https://{HOST}/agents/../other/x"), ("GET", f"https://{HOST}/agents/%2e%2e/other/x"),
                            ("GET", f"https://{PATH_HOST}/other/agents/x"), ("PUT", f"https://{HOST}/agentsx/y")):
            with self.subTest(url):
                text = self.ask(method, url)
                self.assertRegex(text, "^40[03] ")
                self.assertEqual(self.arrived(), self.before)

    def test_what_goes_round_prefixes_is_refused(self):
        NET.store.objects["data", "other/secret"] = b"other"
        for code, arguments in (
                ("aws_copy", ("PUT", "/agents/x", "sign", "X-Amz-Copy-Source:/data/other/secret")),
                ("aws_operation", ("PUT", "/agents/x?acl", "sign")),
                ("aws_operation", ("PUT", "/agents/x", "sign", "X-Amz-Acl:public-read")),
                ("aws_operation", ("GET", "/?policy", "sign")),
                ("aws_presigned", ("GET", "/agents/x?X-Amz-Signature=0", "sign")),
                ("aws_streaming", ("PUT", "/agents/x", "other", "X-Amz-Content-Sha256:STREAMING-AWS4-HMAC-SHA256-PAYLOAD"))):
            with self.subTest(arguments):
                method, path, *more = arguments
                self.assertRefused(self.ask(method, f"https://{HOST}{path}", *more, body=b"1"), code)
        # Control: the server would have done it.
        self.assertEqual(self.ask("PUT", f"https://{HOST}/agents/x", body=b"1"), "200 \n", NET.store.refused)

    def test_with_a_wrong_key_the_server_refuses(self):
        ring = NET.ring(self.mode)
        self.addCleanup(ring.destroy)
        NET.secret(ring, "store", SECRET[:-1] + "X", "--access-key", ACCESS_KEY, "--region", REGION, "--host", HOST)
        p = NET.run(ring, self.rules, "python3", "-c", CLIENT, "GET", f"https://{HOST}/agents/x", "sign", input=b"")
        self.assertRegex(p.stdout.decode(), "^403 .*AccessDenied")
        self.assertIn("SignatureDoesNotMatch", NET.store.refused[0])

    def test_the_secret_key_is_in_no_record_and_no_answer(self):
        self.ask("PUT", f"https://{HOST}/agents/x", body=SECRET.encode())
        self.ask("GET", f"https://{HOST}/agents/x")
        verified, records = NET.audit(self.ring)
        self.assertTrue(verified)
        text = repr(records)
        self.assertIn("secret-set", text)
        self.assertNotIn(SECRET, text)


for mode_ in modes():
    globals()["Store" + mode_.title()] = type("Store" + mode_.title(), (Store, unittest.TestCase), {"mode": mode_})


if __name__ == "__main__":
    unittest.main()
