#!/usr/bin/python3
"""Credentials on the way out and on the way back, with the real programs: each way of applying one, placeholders, what the
vault refuses, and echoes of the value. Every search for it has a control: the upstream did get it."""

import base64
import json
import os
import sys
import unittest
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import internet  # noqa: E402
from internet import Internet, rule  # noqa: E402
from httpd import Response  # noqa: E402
from ring import modes  # noqa: E402

VALUE = "S3cr3t/Va+lue=of\"it's"
HOST, OTHER, PLAIN = "api.example.com", "other.example.com", "plain.example.com"
NET = None


def within_base64(value):
    """Base64 of it inside something longer, at the other two alignments."""
    return {f"base64+{skip}": base64.b64encode(b"x" * skip + value.encode() + b"xx") for skip in (1, 2)}


def spellings(value):
    raw = value.encode()
    ways = {"plain": raw, "json": json.dumps(value)[1:-1].encode(), "hex": raw.hex().encode(),
            "percent": urllib.parse.quote(value, safe="").encode(), "quote": urllib.parse.quote(value).encode(),
            "form": urllib.parse.quote_plus(value).encode(), "base64": base64.b64encode(raw).rstrip(b"=")}
    for way, text in within_base64(value).items():  # what only it decides
        ways[way] = text[4:-4]
    return ways


def echo(request):
    """Answers with what the path asks for, made of the credential that arrived."""
    told = request.header("Authorization", "").partition(" ")[2] or request.header("X-Key", "")
    kind = request.path.rpartition("/")[2]
    if kind == "raw":
        return Response(200, request.raw, {"Content-Type": "text/plain"})
    if kind == "head":
        return Response(200, "x", {"X-Echo": told, "Set-Cookie": "k=" + urllib.parse.quote(told, safe="")}, reason=told)
    if kind == "chunks":  # the value across each possible boundary
        body = b"".join(b"1\r\n" + bytes([c]) + b"\r\n" for c in b"<" + told.encode() + b">" + told.encode())
        return (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/plain\r\n\r\n" + body + b"0\r\n\r\n")
    if kind == "gzip":
        return Response(200, b"\x1f\x8b" + told.encode(), {"Content-Encoding": "gzip"})
    if kind == "ways":
        return Response(200, b" | ".join({**spellings(told), **within_base64(told)}.values()), {"Content-Type": "text/plain"})
    if kind == "tell":  # somebody who knows it
        return Response(200, VALUE, {"Content-Type": "text/plain"})
    return Response(200, "ok\n")


def setUpModule():
    global NET
    internet.enter()
    NET = Internet()
    NET.api, NET.other, NET.plain = NET.https(HOST, echo), NET.https(OTHER, echo), NET.http(PLAIN, echo)


def tearDownModule():
    NET.close()


class Credentials:
    def setUp(self):
        self.ring = NET.ring(self.mode)
        self.addCleanup(self.ring.destroy)
        self.before = {s: len(s.requests) for s in (NET.api, NET.other, NET.plain)}

    def set(self, *options, name="key", value=VALUE, host=HOST):
        NET.secret(self.ring, name, value, "--host", host, *options)

    def curl(self, path, *options, rules=None, host=HOST, scheme="https", **more):
        rules = rules or [rule("http", "api", hosts=[host], methods=["GET", "POST"], credential="key", schemes=[scheme],
                               **more)]
        p = NET.run(self.ring, rules, "curl", "-sS", "-i", "--max-time", "20", *options, f"{scheme}://{host}{path}")
        return (p.stdout + p.stderr).decode(errors="replace")

    def last(self, server=None):
        server = server or NET.api
        self.assertGreater(len(server.requests), self.before[server])
        return server.requests[-1]

    def assertUnheard(self, *servers):
        for server in servers or (NET.api, NET.other, NET.plain):
            self.assertEqual(len(server.requests), self.before[server])

    def assertClean(self, text):
        for way, spelled in spellings(VALUE).items():
            self.assertNotIn(spelled.decode(), text, way)

    def test_each_way_reaches_the_upstream_and_not_the_sandbox(self):
        for options, found in (((), lambda r: r.header("Authorization") == "Bearer " + VALUE),
                               (("--user", "me"), lambda r: r.header("Authorization") == "Basic " + base64.b64encode(
                                   f"me:{VALUE}".encode()).decode()),
                               (("--header", "X-Key"), lambda r: r.header("x-key") == VALUE),
                               (("--param", "k"), lambda r: dict(urllib.parse.parse_qsl(r.query))["k"] == VALUE)):
            with self.subTest(options):
                self.set(*options)
                text = self.curl("/raw?a=1")
                self.assertIn("200", text)
                self.assertTrue(found(self.last()), self.last().raw)
                self.assertClean(text)
                self.assertIn("*****", text)
        self.set("--cookie", "sid", value="cookie-value-1")
        text = self.curl("/raw", "-b", "a=1; sid=mine; b=2", headers=["cookie"])
        self.assertEqual(self.last().header("Cookie"), "a=1; b=2; sid=cookie-value-1")
        self.assertNotIn("cookie-value-1", text)

    def test_the_agents_own_is_replaced_where_the_rule_lets_it_send_one(self):
        self.set()
        self.curl("/x", "-H", "Authorization: Bearer mine", headers=["authorization"])
        self.assertEqual([v for n, v in self.last().headers if n.lower() == "authorization"], ["Bearer " + VALUE])
        self.set("--param", "k")
        self.curl("/x?k=mine&%6b=mine&x=1")
        self.assertEqual(urllib.parse.parse_qsl(self.last().query), [("x", "1"), ("k", VALUE)])

    def test_placeholders_become_the_value_for_the_bound_target_only(self):
        self.set("--header", "X-Key")
        text = self.curl("/raw/RINGFENCE_SECRET_key/raw?q=RINGFENCE_SECRET_key", "-H", "X-Key: k RINGFENCE_SECRET_key.")
        last = self.last()
        self.assertEqual(last.header("X-Key"), f"k {VALUE}.")
        self.assertEqual(urllib.parse.unquote(last.path), f"/raw/{VALUE}/raw")
        self.assertEqual(urllib.parse.parse_qsl(last.query), [("q", VALUE)])
        self.assertClean(text)
        self.curl("/x", "-u", "me:RINGFENCE_SECRET_key", headers=["authorization"])
        self.assertEqual(base64.b64decode(self.last().header("Authorization").split()[1]).decode(), "me:" + VALUE)

    def test_a_placeholder_of_another_secret_is_refused(self):
        self.set()
        self.set(name="second", value="second-value", host=OTHER)
        text = self.curl("/x", "-H", "X-Key: RINGFENCE_SECRET_second")
        self.assertRegex(text, "403")
        self.assertIn("placeholder_not_bound", text)
        text = self.curl("/x?k=RINGFENCE_SECRET_key", rules=[rule("http", hosts=[HOST], methods=["GET"])])
        self.assertRegex(text, "403")
        self.assertUnheard()

    def test_every_echo_becomes_asterisks_of_the_same_length(self):
        self.set("--header", "X-Key")
        text = self.curl("/ways")
        self.assertEqual(self.last().header("X-Key"), VALUE)
        self.assertClean(text)
        expected = b" | ".join({**spellings(VALUE), **within_base64(VALUE)}.values())
        self.assertIn(f"Content-Length: {len(expected)}", text)
        text = self.curl("/chunks")
        self.assertTrue(text.endswith("<" + "*" * len(VALUE) + ">" + "*" * len(VALUE)), text)
        self.assertClean(self.curl("/head"))

    def test_what_is_compressed_is_not_let_in(self):
        self.set("--header", "X-Key")
        text = self.curl("/gzip", "--compressed")
        self.assertIn("identity", self.last().header("Accept-Encoding"))
        self.assertRegex(text, "502")
        self.assertClean(text)

    def test_an_earlier_value_is_kept_out_of_answers_of_others(self):
        self.set()
        rules = [rule("http", "api", hosts=[HOST], methods=["GET"], credential="key"),
                 rule("http", "other", hosts=[OTHER], methods=["GET"])]
        tell = f"curl -sS https://{OTHER}/tell"
        text = NET.run(self.ring, rules, "sh", "-c", f"curl -sS https://{HOST}/x; {tell}").stdout.decode()
        self.assertEqual(text, "ok\n" + "*" * len(VALUE))
        # Control: a sandbox that was granted nothing has nothing to be kept from it.
        self.assertEqual(NET.run(self.ring, rules, "sh", "-c", tell).stdout.decode(), VALUE)

    def test_the_vault_refuses_what_a_wide_policy_allows(self):
        self.set("--path", "/repos/acme/**", "--method", "GET")
        wide = [rule("http", "wide", hosts=[HOST, OTHER], methods=["GET", "POST"], credential="key")]
        for path, host, options in (("/repos/other/x", HOST, ()), ("/repos/acme/x", HOST, ("-d", "x")),
                                    ("/repos/acme/x", OTHER, ())):
            text = self.curl(path, *options, rules=wide, host=host)
            self.assertIn("403", text)
            self.assertIn("not bound to this", text)
        self.assertUnheard()
        self.assertIn("200", self.curl("/repos/acme/x", rules=wide))  # control
        self.assertEqual(self.last().header("Authorization"), "Bearer " + VALUE)

    def test_without_tls_only_where_the_secret_says_so(self):
        self.set(host=PLAIN)
        self.assertIn("not bound to this scheme", self.curl("/x", host=PLAIN, scheme="http"))
        self.assertUnheard()
        self.set("--plain", host=PLAIN)
        self.assertIn("200", self.curl("/x", host=PLAIN, scheme="http"))
        self.assertEqual(self.last(NET.plain).header("Authorization"), "Bearer " + VALUE)

    def test_a_missing_secret_denies_and_nothing_is_sent(self):
        self.assertIn("403", self.curl("/x"))
        self.set()
        self.assertIn("200", self.curl("/x"))
        self.ring.cli("secret", "remove", "key")
        text = self.curl("/x")
        self.assertIn("there is no credential key", text)
        self.assertEqual(len(NET.api.requests), self.before[NET.api] + 1)

    def test_a_tampered_file_and_another_key_deny(self):
        self.set()
        path = os.path.join(self.ring.state, "vault", "key.sealed")
        with open(path, "rb") as f:
            content = f.read()
        with open(path, "wb") as f:
            f.write(content[:-1] + bytes([content[-1] ^ 1]))
        self.assertIn("is not what was sealed", self.curl("/x"))
        self.ring.cli("stop")
        with open(path, "wb") as f:
            f.write(content)
        with open(os.path.join(self.ring.state, "vault", "master.key"), "wb") as f:
            f.write(b"k" * 32)
        self.assertIn("another master key", self.curl("/x"))
        self.assertUnheard()

    def test_the_record_has_the_grant_and_never_the_value(self):
        self.set()
        self.curl("/raw?x=1")
        self.assertEqual(self.last().header("Authorization"), "Bearer " + VALUE)
        verified, records = NET.audit(self.ring)
        self.assertTrue(verified)
        text = json.dumps(records)
        self.assertClean(text)
        self.assertNotIn(json.dumps(VALUE)[1:-1], text)
        self.assertIn('"grant"', text)
        self.assertIn("secret-set", text)
        for base, _, names in os.walk(self.ring.state):
            for name in names:
                if os.path.isfile(os.path.join(base, name)):
                    with open(os.path.join(base, name), "rb") as f:
                        content = f.read()
                    for way, spelled in spellings(VALUE).items():
                        self.assertNotIn(spelled, content, (name, way))


for mode_ in modes():
    globals()["Credentials" + mode_.title()] = type("Credentials" + mode_.title(), (Credentials, unittest.TestCase),
                                                    {"mode": mode_})


if __name__ == "__main__":
    unittest.main()
