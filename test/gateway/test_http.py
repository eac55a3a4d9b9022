#!/usr/bin/python3
"""HTTP through a real rf-gateway, by attack: what reaches the upstream, what comes back, what is asked for.

The siblings are played (http_kit.py). Each attack on framing is sent to the upstream directly as well: there its
bytes arrive, so it is the gateway that holds them back."""

import contextlib
import json
import os
import random
import re
import select
import socket
import struct
import sys
import tempfile
import threading
import unittest
from collections import Counter

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from http_kit import GATEWAY_CLOSE, GATEWAY_CLOSED, WAIT, Gateway  # noqa: E402
from httpd import HttpServer, Response  # noqa: E402
from internet import Authority  # noqa: E402
from smuggling import MARK, Sink, broken_bodies, head, streams  # noqa: E402

HOST = "web.test"
TO = f"Host: {HOST}"
TAIL = head("GET /smuggled HTTP/1.1", TO)


class Base(unittest.TestCase):
    def gateway(self, upstreams, **options):
        gateway = Gateway(upstreams, **options)
        self.addCleanup(self.check_and_close, gateway)
        return gateway

    def check_and_close(self, gateway):
        self.assertTrue(gateway.alive(), "the gateway died")
        self.assertEqual(gateway.close(), 0)

    def server(self, handler):
        server = HttpServer(("127.0.0.1", 0), handler)
        self.addCleanup(server.close)
        return server

    def raw_server(self, handler):
        """HANDLER(connection) for each connection, in a thread."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.addCleanup(listener.close)

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=run, args=(connection,), daemon=True).start()

        def run(connection):
            with connection:
                try:
                    handler(connection)
                except OSError:
                    pass
        threading.Thread(target=serve, daemon=True).start()
        return listener.getsockname()


class Smuggling(Base):
    def setUp(self):
        self.sink = Sink()
        self.addCleanup(self.sink.close)
        self.g = self.gateway({(HOST, 80): self.sink.address})

    def control(self, data):
        """The same bytes, without the gateway."""
        with socket.create_connection(self.sink.address) as s:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536):
                pass
        return self.sink.take()

    def through(self, data):
        client = self.g.tunnel(HOST, 80, secure=False)
        client.send(data)
        client.socket.shutdown(socket.SHUT_WR)
        said = client.rest()
        client.close()
        return said

    def test_requests_that_two_readers_could_frame_differently_reach_nobody(self):
        for name, text in streams(HOST).items():
            with self.subTest(name):
                data = text.encode("latin-1")
                self.assertIn(MARK, self.control(data))
                dials = self.g.dials
                said = self.through(data)
                self.assertRegex(said, rb"^HTTP/1\.1 (400|505) ")
                self.assertEqual(said.count(b"HTTP/1.1 4") + said.count(b"HTTP/1.1 5"), 1)
                self.assertEqual((self.g.actions, self.g.dials), ([], dials))
                self.assertEqual(self.sink.take(), b"")

    def test_a_body_that_breaks_its_framing_ends_the_connection(self):
        for name, text in broken_bodies(HOST).items():
            with self.subTest(name):
                data = text.encode("latin-1")
                self.assertIn(MARK, self.control(data))
                del self.g.actions[:]
                self.through(data)
                arrived = self.sink.take()
                self.assertEqual([a["request"]["path"] for a, _ in self.g.actions], ["/front"])
                self.assertNotIn(b"0\r\n\r\n", arrived)
                self.assertNotIn(MARK, arrived)

    def test_what_looks_like_a_request_within_a_body_stays_in_it(self):
        data = head("POST /front HTTP/1.1", TO, f"Content-Length: {len(TAIL)}") + TAIL
        said = self.through(data.encode())
        self.assertEqual(said.count(b"HTTP/1.1 200"), 1)
        self.assertEqual([a["request"]["path"] for a, _ in self.g.actions], ["/front"])
        self.assertTrue(self.sink.take().endswith(b"\r\n\r\n" + TAIL.encode()))

    def test_a_second_request_is_decided_by_itself(self):
        data = head("POST /front HTTP/1.1", TO, "Content-Length: 0") + head("GET /denied/smuggled HTTP/1.1", TO)
        said = self.through(data.encode())
        self.assertRegex(said, rb"(?s)^HTTP/1.1 200 .*HTTP/1.1 403 ")
        self.assertNotIn(MARK, self.sink.take())

    def test_a_head_arriving_byte_by_byte_is_the_same_head(self):
        client = self.g.tunnel(HOST, 80, secure=False)
        for c in head("GET /slowly HTTP/1.1", TO):
            client.send(c)
        self.assertEqual(client.answer().status, 200)
        client.close()
        client = self.g.tunnel(HOST, 80, secure=False)
        for c in streams(HOST)["CL.TE"]:
            client.send(c)
        self.assertEqual(client.answer().status, 400)
        client.close()


class Places(Base):
    """Which host a request is for is said three times at most, and always the same."""

    def setUp(self):
        self.web = self.server(lambda r: Response(200, "web"))
        self.other = self.server(lambda r: Response(200, "other"))
        self.g = self.gateway({(HOST, 80): self.web.address, ("other.test", 80): self.other.address,
                               (HOST, 443): self.web.address})

    def refused(self, client, text, status=(400, 403, 421)):
        answer = client.ask(text)
        self.assertIn(answer.status, status)
        self.assertEqual(answer.header("Content-Type"), "application/json")
        self.assertTrue(json.loads(answer.body)["error"]["code"])
        client.close()
        self.assertEqual((self.g.actions, self.web.requests, self.other.requests), ([], [], []))

    def test_the_proxy_takes_the_absolute_form_and_connect(self):
        client = self.g.connect()
        self.assertEqual(client.ask(head(f"GET http://{HOST}/a?b=c HTTP/1.1", TO)).body, b"web")
        self.assertEqual(client.ask(head("GET http://other.test/ HTTP/1.1", "Host: other.test")).body, b"other")
        self.assertEqual(self.web.requests[0].target, "/a?b=c")
        self.assertEqual(self.web.requests[0].header("Host"), HOST)
        client.close()
        client = self.g.tunnel("other.test", 80, secure=False)
        self.assertEqual(client.ask(head("GET / HTTP/1.1", "Host: OTHER.test.")).body, b"other")
        self.assertEqual(self.other.requests[1].header("Host"), "other.test")
        client.close()

    def test_targets_that_name_two_hosts_are_refused_at_the_proxy(self):
        for line, host in ((f"GET http://{HOST}/ HTTP/1.1", "other.test"),
                           (f"GET http://other.test@{HOST}/ HTTP/1.1", HOST),
                           (f"GET http://{HOST}@other.test/ HTTP/1.1", HOST),
                           (f"GET http://{HOST}:80@other.test/ HTTP/1.1", HOST),
                           (f"GET http://{HOST}#@other.test/ HTTP/1.1", HOST),
                           (f"GET http://{HOST}\\@other.test/ HTTP/1.1", HOST),
                           (f"GET http://{HOST}%2f@other.test/ HTTP/1.1", HOST),
                           (f"GET http://{HOST}%00.other.test/ HTTP/1.1", HOST),
                           (f"GET http://{HOST}:8080/ HTTP/1.1", HOST),
                           ("GET / HTTP/1.1", HOST),
                           ("GET ftp://web.test/ HTTP/1.1", HOST),
                           (f"GET https://{HOST}/ HTTP/1.1", HOST),
                           (f"GET http://{HOST}/ HTTP/1.1", f"{HOST}:81"),
                           (f"CONNECT {HOST}:80 HTTP/1.1", "other.test:80"),
                           (f"CONNECT {HOST}:80 HTTP/1.1", f"{HOST}:443"),
                           (f"CONNECT other.test@{HOST}:80 HTTP/1.1", f"{HOST}:80"),
                           (f"CONNECT {HOST} HTTP/1.1", HOST),
                           (f"CONNECT {HOST}:080 HTTP/1.1", HOST),
                           ("CONNECT 0x7f.1:80 HTTP/1.1", "0x7f.1:80"),
                           ("CONNECT [::ffff:127.0.0.1]:80 HTTP/1.1", "[::ffff:127.0.0.1]:80"),
                           ("GET http://2130706433/ HTTP/1.1", "2130706433")):
            with self.subTest(line=line, host=host):
                self.refused(self.g.connect(), head(line, f"Host: {host}"))

    def test_places_without_a_rule_are_refused_at_the_proxy(self):
        for line in ("GET http://nobody.test/ HTTP/1.1", "CONNECT nobody.test:443 HTTP/1.1"):
            host = line.split("/")[2] if "//" in line else "nobody.test:443"
            self.refused(self.g.connect(), head(line, f"Host: {host}"), (403,))

    def test_within_a_tunnel_another_host_is_not_spoken_to(self):
        for line, host in (("GET / HTTP/1.1", "other.test"), ("GET / HTTP/1.1", f"{HOST}:81"),
                           ("GET http://other.test/ HTTP/1.1", "other.test"),
                           (f"GET https://{HOST}/ HTTP/1.1", HOST),
                           ("CONNECT other.test:80 HTTP/1.1", "other.test:80"),
                           ("GET / HTTP/1.1", f"user@{HOST}"), ("GET / HTTP/1.1", f"{HOST}/x"),
                           ("GET / HTTP/1.1", f"{HOST}\0.other.test"), ("GET / HTTP/1.1", "")):
            with self.subTest(line=line, host=host):
                self.refused(self.g.tunnel(HOST, 80, secure=False), head(line, f"Host: {host}"), (400, 405, 421))

    def test_the_name_in_the_client_hello_is_the_one_that_was_asked_for(self):
        client = self.g.tunnel(HOST)  # the positive control: the same with the right name
        self.assertEqual(client.socket.version()[:3], "TLS")
        client.close()
        with self.assertRaises(OSError):
            self.g.tunnel(HOST, name="other.test")
        self.assertEqual((self.g.actions, self.g.dials), ([], 0))
        note = self.g.wait("noted", self.g.notes, lambda n: n["event"] == "connection-refused")
        self.assertIn("ClientHello", note["data"]["reason"])

    def test_requests_within_tls_are_for_the_same_host(self):
        for host in ("other.test", f"{HOST}:80", f"{HOST}:444"):
            client = self.g.tunnel(HOST)
            self.refused(client, head("GET / HTTP/1.1", f"Host: {host}"), (421,))

    def test_methods_and_targets_that_are_never_passed_on(self):
        for line in ("TRACE / HTTP/1.1", "OPTIONS * HTTP/1.1"):
            self.refused(self.g.tunnel(HOST, 80, secure=False), head(line, TO), (405,))


class Exchanges(Base):
    def setUp(self):
        self.answers = {}
        self.web = self.server(self.handle)
        self.g = self.gateway({(HOST, 80): self.web.address})

    def handle(self, request):
        said = self.answers.get(request.path, Response(200, request.method + " " + request.target))
        return said(request) if callable(said) else said

    def open(self):
        return self.g.tunnel(HOST, 80, secure=False)

    def test_one_connection_carries_many_requests_on_both_sides(self):
        client = self.open()
        for i in range(20):
            answer = client.ask(head(f"GET /{i} HTTP/1.1", TO))
            self.assertEqual(answer.body, f"GET /{i}".encode())
        self.assertEqual((self.web.connections, self.g.dials), (1, 1))
        for _, verdict in self.g.actions:
            self.assertEqual(self.g.outcome(verdict)["state"], "succeeded")

    def test_pipelined_requests_are_answered_in_order(self):
        client = self.open()
        client.send("".join(head(f"GET /{i} HTTP/1.1", TO) for i in range(30)))
        self.assertEqual([client.answer().body for _ in range(30)], [f"GET /{i}".encode() for i in range(30)])

    def test_a_denied_request_ends_the_pipeline(self):
        client = self.open()
        client.send(head("GET /1 HTTP/1.1", TO) + head("GET /denied HTTP/1.1", TO) + head("GET /3 HTTP/1.1", TO))
        self.assertEqual(client.answer().status, 200)
        self.assertEqual(client.answer().status, 403)
        self.assertEqual(client.rest(), b"")
        self.assertEqual([r.path for r in self.web.requests], ["/1"])

    def test_a_denial_says_why_in_json(self):
        answer = self.open().ask(head("GET /denied HTTP/1.1", TO))
        error = json.loads(answer.body)["error"]
        self.assertEqual(answer.header("Content-Type"), "application/json")
        self.assertEqual((error["code"], error["reason"], error["remedy"]),
                         ("denied", "no rule allows this", "allow: http with this path"))
        self.assertEqual(error["action_id"], self.g.actions[0][1]["action_id"])
        self.assertTrue(error["message"])

    def test_a_denial_arrives_also_when_its_body_is_not_read(self):
        body = b"x" * 8_000_000
        client = self.open()
        sender = threading.Thread(target=client.send, daemon=True, args=(
            head("POST /denied HTTP/1.1", TO, f"Content-Length: {len(body)}").encode() + body,))
        sender.start()
        answer = client.answer()
        self.assertEqual((answer.status, json.loads(answer.body)["error"]["code"]), (403, "denied"))
        with contextlib.suppress(OSError):  # given up by the gateway meanwhile
            client.socket.shutdown(socket.SHUT_RDWR)
        sender.join(WAIT)
        self.assertEqual(self.web.requests, [])

    def test_connection_headers_stay_on_their_connection(self):
        self.open().ask(head("GET / HTTP/1.1", TO, "Connection: keep-alive, X-Private", "X-Private: 1", "X-Public: 2",
                             "Keep-Alive: timeout=5", "Proxy-Connection: x", "Proxy-Authorization: Basic eA==", "TE: trailers",
                             "Trailer: X", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ", "accept: */*"))
        names = {n.lower() for n, _ in self.web.requests[0].headers}
        self.assertEqual(names, {"host", "x-public", "accept"})
        self.assertEqual(set(self.g.actions[0][0]["request"]["headers"]), {"x-public", "accept"})

    def test_the_upstreams_connection_headers_do_not_come_in(self):
        self.answers["/"] = Response(200, "x", [("Connection", "X-Private"), ("X-Private", "1"), ("X-Public", "2"),
                                                ("Keep-Alive", "5"), ("Alt-Svc", 'h3=":443"'), ("Proxy-Authenticate", "x")])
        answer = self.open().ask(head("GET / HTTP/1.1", TO))
        self.assertEqual({n.lower() for n, _ in answer.headers}, {"x-public", "content-length"})

    def test_an_upgrade_is_part_of_what_is_asked_for(self):
        lines = (TO, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                 "Sec-WebSocket-Version: 13")
        asked = lambda a: "upgrade" in a["request"] or "upgrade" in a["request"]["headers"]  # noqa: E731
        self.g.policy = lambda action: not asked(action)
        answer = self.open().ask(head("GET / HTTP/1.1", *lines))
        self.assertEqual((answer.status, json.loads(answer.body)["error"]["code"]), (403, "denied"))
        self.assertEqual(self.web.requests, [])
        self.g.policy = asked
        self.answers["/"] = b"HTTP/1.1 101 Over\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nopaque"
        client = self.open()
        client.send(head("GET / HTTP/1.1", *lines))
        self.assertEqual(client.head().status, 101)
        self.assertEqual(client.take(6), b"opaque")

    def test_an_upgrade_to_anything_else_is_not_passed_on(self):
        for lines in (["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ"],
                      ["Upgrade: websocket"], ["Connection: Upgrade"], ["Connection: Upgrade", "Upgrade: xwebsocket"]):
            self.assertEqual(self.open().ask(head("GET / HTTP/1.1", TO, *lines)).status, 200)
            names = {n.lower() for n, _ in self.web.requests[-1].headers}
            self.assertEqual(names, {"host"})

    def test_an_upstream_cannot_upgrade_by_itself(self):
        self.answers["/"] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nGET /smuggled"
        answer = self.open().ask(head("GET / HTTP/1.1", TO))
        self.assertEqual(answer.status, 502)

    def test_bodies_go_up_with_a_length_and_in_chunks(self):
        for size in (0, 1, 5000, 65536, 65537, 3_000_000):
            body = os.urandom(size)
            client = self.open()
            client.send(head("POST /l HTTP/1.1", TO, f"Content-Length: {size}"))
            client.send(body)
            self.assertEqual(client.answer().status, 200)
            self.assertEqual(self.web.requests[-1].body, body)
            client.send(head("POST /c HTTP/1.1", TO, "Transfer-Encoding: chunked"))
            for at in range(0, size, 60_001):
                part = body[at:at + 60_001]
                client.send(b"%x\r\n%s\r\n" % (len(part), part))
            client.send("0\r\nX-Trailer: dropped\r\n\r\n")
            self.assertEqual(client.answer().status, 200)
            self.assertEqual(self.web.requests[-1].body, body)
            self.assertNotIn(b"X-Trailer", self.web.requests[-1].raw)
            client.close()

    def test_bodies_come_down_with_a_length_in_chunks_and_until_the_end(self):
        body = os.urandom(700_000)
        self.answers = {
            "/length": Response(200, body), "/chunks": Response(200, body, chunked=True),
            "/end": b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n" + body, "/old": b"HTTP/1.0 200 OK\r\n\r\n" + body,
            "/empty": Response(200, b""), "/none": Response(204), "/same": Response(304, b"", {"Content-Length": "17"})}
        client = self.open()
        for path, expected in (("/length", body), ("/chunks", body), ("/end", body), ("/empty", b""), ("/none", b""),
                               ("/same", b""), ("/old", body), ("/length", body)):
            with self.subTest(path):
                self.assertEqual(client.ask(head(f"GET {path} HTTP/1.1", TO)).body, expected)

    def test_a_client_of_version_1_0_gets_no_chunks(self):
        self.answers["/"] = Response(200, b"y" * 100_000, chunked=True)
        client = self.open()
        answer = client.ask(head("GET / HTTP/1.0", TO))
        self.assertIsNone(answer.header("Transfer-Encoding"))
        self.assertEqual(answer.body, b"y" * 100_000)

    def test_head_has_the_length_and_no_body(self):
        self.answers["/"] = Response(200, b"z" * 1234)
        client = self.open()
        answer = client.ask(head("HEAD / HTTP/1.1", TO), "HEAD")
        self.assertEqual((answer.status, answer.header("Content-Length"), answer.body), (200, "1234", b""))
        self.assertEqual(client.ask(head("GET / HTTP/1.1", TO)).body, b"z" * 1234)

    def test_100_continue_is_ours_and_a_large_body_is_asked_for_only_when_it_is_allowed(self):
        client = self.open()
        for lines, body in ((["Content-Length: 5"], "hello"), (["Content-Length: 70000"], "h" * 70000),
                            (["Transfer-Encoding: chunked"], "5\r\nhello\r\n0\r\n\r\n")):
            client.send(head("POST /ok HTTP/1.1", TO, "Expect: 100-continue", *lines))
            self.assertEqual(client.head().status, 100)
            self.assertEqual(client.ask(body).status, 200)
        self.assertFalse(any(r.header("Expect") for r in self.web.requests))
        client.send(head("POST /denied HTTP/1.1", TO, "Expect: 100-continue", "Content-Length: 70000"))
        self.assertEqual(client.head().status, 403)

    def test_redirects_are_passed_on_and_decided_anew(self):
        self.answers["/go"] = Response(302, b"", {"Location": f"http://{HOST}/denied"})
        client = self.open()
        answer = client.ask(head("GET /go HTTP/1.1", TO))
        self.assertEqual((answer.status, answer.header("Location")), (302, f"http://{HOST}/denied"))
        self.assertEqual(client.ask(head("GET /denied HTTP/1.1", TO)).status, 403)
        self.assertEqual([r.path for r in self.web.requests], ["/go"])

    def test_heads_that_are_too_large(self):
        answer = self.open().ask(head("GET / HTTP/1.1", TO, "X: " + "y" * 40_000))
        self.assertEqual(answer.status, 431)
        answer = self.open().ask(head("GET / HTTP/1.1", TO, *[f"X{i}: y" for i in range(200)]))
        self.assertEqual(answer.status, 431)
        answer = self.open().ask(head("GET / HTTP/1.1", TO, "X: " + "y" * 30_000))
        self.assertEqual(answer.status, 200)

    def test_headers_given_twice_are_asked_for_together(self):
        self.open().ask(head("GET / HTTP/1.1", TO, "X-A: 1", "x-a: 2"))
        self.assertEqual(self.g.actions[0][0]["request"]["headers"], {"x-a": "1, 2"})

    def test_a_connection_that_the_upstream_closed_meanwhile_is_not_used(self):
        closing = threading.Event()

        def once(request):
            closing.set()
            return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"  # and the connection is closed
        self.answers["/once"] = once
        client = self.open()
        for _ in range(20):
            self.assertEqual(client.ask(head("GET /once HTTP/1.1", TO)).body, b"ok")

    def test_a_request_that_breaks_off_is_not_whole_to_the_upstream(self):
        for lines, body in ((["Content-Length: 100000"], "x" * 90000),
                            (["Transfer-Encoding: chunked"], "15f90\r\n" + "x" * 90000 + "\r\n")):
            client = self.open()
            client.send(head("POST /partly HTTP/1.1", TO, *lines) + body)
            self.g.wait("asked", self.g.actions, lambda a: True)
            client.close()
            settled = self.g.outcome(self.g.actions[-1][1])
            self.assertIn(settled["state"], ("failed", "unknown"))
            del self.g.actions[:]
        self.assertEqual(self.web.requests, [])

    def test_a_client_that_left_with_requests_waiting_is_not_waited_for(self):
        left = threading.Event()

        def endless(request):
            request.connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            left.wait(WAIT)
            with contextlib.suppress(OSError):
                for _ in range(200):
                    request.connection.sendall(bytes(65536))
        self.answers["/endless"] = endless
        client = self.open()
        client.send(head("GET /endless HTTP/1.1", TO) + head("GET /next HTTP/1.1", TO) * 5000)
        self.assertEqual(client.head().status, 200)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        left.set()
        self.assertEqual(self.g.outcome(self.g.actions[0][1])["state"], "failed")
        self.assertEqual(len(self.g.actions), 1)


class Answers(Base):
    """Upstreams that lie."""

    EVIL = {
        "CL and TE": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "a bare LF": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        "a split header": b"HTTP/1.1 200 OK\r\nLocation: /\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\nok",
        "a bare CR": b"HTTP/1.1 200 OK\r\nX: y\rZ: w\r\nContent-Length: 2\r\n\r\nok",
        "a NUL": b"HTTP/1.1 200 OK\r\nX: y\0\r\nContent-Length: 2\r\n\r\nok",
        "a fold": b"HTTP/1.1 200 OK\r\nX: y\r\n z\r\nContent-Length: 2\r\n\r\nok",
        "a space before a colon": b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
        "HTTP/0.9": b"<html>hello</html>",
        "another version": b"HTTP/2.0 200 OK\r\n\r\n",
        "204 with a length": b"HTTP/1.1 204 None\r\nContent-Length: 5\r\n\r\nhello",
        "gzip, chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "a head without end": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20000,
        "half a head": b"HTTP/1.1 200 OK\r\nX: y",
        "nothing": b"",
    }

    def upstream(self, answer, keep=False):
        """Answers every request on a connection with ANSWER; closes, or waits for more."""
        def handle(connection):
            data = b""
            while True:
                while b"\r\n\r\n" not in data:
                    more = connection.recv(65536)
                    if not more:
                        return
                    data += more
                data = data.partition(b"\r\n\r\n")[2]
                connection.sendall(answer)
                if not keep:
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65536):
                        pass
                    return
        return self.raw_server(handle)

    def ask(self, answer, keep=False):
        g = self.gateway({(HOST, 80): self.upstream(answer, keep)})
        return g, g.tunnel(HOST, 80, secure=False)

    def test_answers_that_two_readers_could_read_differently_do_not_come_in(self):
        for name, answer in self.EVIL.items():
            with self.subTest(name):
                g, client = self.ask(answer)
                said = client.ask(head("GET / HTTP/1.1", TO))
                self.assertEqual(said.status, 502)
                self.assertEqual(client.rest(), b"")
                self.assertNotEqual(g.outcome(g.actions[0][1])["state"], "succeeded")

    def test_an_answer_that_is_cut_off_is_not_whole_to_the_client(self):
        for name, answer in {"length": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
                             "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
                             "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx\r\n\r\n",
                             }.items():
            with self.subTest(name):
                g, client = self.ask(answer)
                with self.assertRaises(EOFError):
                    client.ask(head("GET / HTTP/1.1", TO))
                self.assertEqual(g.outcome(g.actions[0][1])["state"], "failed")

    def test_an_answer_that_nobody_asked_for_is_nobodys(self):
        poison = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
        g, client = self.ask(poison, keep=True)
        for i in range(5):
            self.assertEqual(client.ask(head(f"GET /{i} HTTP/1.1", TO)).body, b"ok")
        self.assertEqual(g.dials, 5)

    def test_bodies_of_answers_without_one_are_nobodys(self):
        for answer in (b"HTTP/1.1 304 Same\r\nContent-Length: 3\r\n\r\nabc", b"HTTP/1.1 204 None\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"):
            g, client = self.ask(answer, keep=True)
            for _ in range(3):
                self.assertIn(client.ask(head("GET / HTTP/1.1", TO)).status, (204, 304))
            self.assertEqual(g.dials, 3)

    def test_interim_answers_are_not_passed_on_and_not_endless(self):
        g, client = self.ask(b"HTTP/1.1 103 Early\r\nLink: </x>\r\n\r\n" * 50 + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        client.send(head("GET / HTTP/1.1", TO))
        self.assertEqual(client.head().status, 200)


class Chaos(Base):
    """Clients and upstreams that break off anywhere, at random (RINGFENCE_SEED): the gateway lives, and every action that
    was allowed is settled, once."""

    CLIENTS, ROUNDS = 12, int(os.environ.get("RINGFENCE_ROUNDS", "25"))

    def upstream(self, connection):
        dice, data = random.Random(self.seed + self.next()), b""
        connection.settimeout(WAIT)
        while True:
            while b"\r\n\r\n" not in data:
                more = connection.recv(65536)
                if not more:
                    return
                data += more
            data = data.partition(b"\r\n\r\n")[2]
            answer = dice.choice([
                b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 None\r\n\r\n", b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
                b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + bytes(300000),
                b"HTTP/1.1 101 Over\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nbytes", b"nonsense"])
            whole = dice.random() < 0.7
            connection.sendall(answer if whole else answer[:dice.randrange(len(answer))])
            if not whole or b"until the end" in answer or dice.random() < 0.3:
                return

    def next(self):
        with self.lock:
            self.number += 1
            return self.number

    def client(self, g, dice):
        for _ in range(self.ROUNDS):
            way = dice.random()
            client = g.tunnel(HOST) if way < 0.1 else g.connect() if way < 0.3 else g.tunnel(HOST, 80, secure=False)
            text = "".join(dice.choice([
                head("GET /a HTTP/1.1", TO), head("GET /denied HTTP/1.1", TO), head(f"GET http://{HOST}/b HTTP/1.1", TO),
                head("HEAD /c HTTP/1.0", TO), head("POST /d HTTP/1.1", TO, "Content-Length: 5", "Expect: 100-continue") + "hello",
                head("POST /e HTTP/1.1", TO, "Content-Length: 90000") + "x" * 90000,
                head("POST /f HTTP/1.1", TO, "Transfer-Encoding: chunked") + "5\r\nhello\r\n0\r\n\r\n",
                head("POST /g HTTP/1.1", TO, "Transfer-Encoding: chunked") + "5;x\r\nhello\r\n0\r\n\r\n",
                head("GET /h HTTP/1.1", TO, "Connection: upgrade", "Upgrade: websocket"), "nonsense\r\n\r\n"])
                for _ in range(dice.randrange(1, 6)))
            if dice.random() < 0.5:
                text = text[:dice.randrange(len(text) + 1)]
            while text:
                n = dice.randrange(1, 60000)
                client.send(text[:n])
                text = text[n:]
            how = dice.random()
            with contextlib.suppress(EOFError, OSError):
                if how < 0.4:
                    client.socket.shutdown(socket.SHUT_WR)
                    client.rest()
                elif how < 0.7:
                    client.socket.settimeout(0.05)  # there may be nothing to come
                    client.answer()
                elif how < 0.8:
                    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()

    def test_connections_that_break_off_anywhere_leave_nothing_behind(self):
        self.seed = int(os.environ.get("RINGFENCE_SEED", "0")) or random.randrange(1, 1 << 30)
        self.lock, self.number = threading.Lock(), 0
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        ca = Authority(directory.name, "upstreams")
        context = ca.context(HOST)
        upstreams = {(HOST, 80): self.raw_server(self.upstream),
                     (HOST, 443): self.raw_server(lambda c: self.upstream(context.wrap_socket(c, server_side=True)))}
        g = self.gateway(upstreams, authorities=ca.certificate)
        clients = [threading.Thread(target=self.client, args=(g, random.Random(self.seed * 1000 + i)), daemon=True)
                   for i in range(self.CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join(3 * WAIT)
            self.assertFalse(client.is_alive(), f"hangs; RINGFENCE_SEED={self.seed}")
        self.assertTrue(g.alive(), f"RINGFENCE_SEED={self.seed}")
        performed = {v["action_id"] for _, v in g.actions if v["state"] == "performing"}
        with g.lock:  # while the sandbox lives on: nothing waits for what will not come
            self.assertTrue(g.lock.wait_for(lambda: len(g.settled) >= len(performed), WAIT), f"RINGFENCE_SEED={self.seed}")
        usage = g.supervisor.call(GATEWAY_CLOSE, {"sandbox": g.sandbox}, GATEWAY_CLOSED)["usage"]
        self.assertEqual(usage["connections"], g.connected)
        self.assertEqual(sorted(s["action_id"] for s in g.settled), sorted(performed), f"RINGFENCE_SEED={self.seed}")
        self.assertGreater(len(performed), 20)


class StrictUpstream:
    """Takes nothing but what RFC 9112 has as its canonical form; keeps each whole request, and what was wrong."""

    LINE = re.compile(rb"([!#-'*+.^_`|~0-9A-Za-z-]+) (/[!$-~]*) HTTP/1\.1")
    HEADER = re.compile(rb"([!#-'*+.^_`|~0-9A-Za-z-]+): ([\t -~\x80-\xff]*)")

    # What concerns one connection, and what some take for what it is not.
    FOREIGN = {b"connection", b"expect", b"te", b"trailer", b"upgrade", b"content_length", b"transfer_encoding"}

    def __init__(self):
        self.lock, self.whole, self.wrong = threading.Lock(), [], []

    def serve(self, connection):
        reader = connection.makefile("rb")
        while request := self.read(reader):
            with self.lock:
                self.whole.append(request)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def expect(self, true, what):
        if not true:
            with self.lock:
                self.wrong.append(what)
            raise OSError("wrong")
        return true

    def line(self, reader):
        """A line without its CRLF; None: the connection ended within it."""
        line = reader.readline()
        if not line.endswith(b"\n"):
            return None
        self.expect(line.endswith(b"\r\n") and line.count(b"\r") == 1, line)
        return line[:-2]

    def read(self, reader):
        first = self.line(reader)
        if first is None:
            return None
        method, target = self.expect(self.LINE.fullmatch(first), first).groups()
        headers = {}
        while line := self.line(reader):
            name, value = self.expect(self.HEADER.fullmatch(line), line).groups()
            headers.setdefault(name.lower(), []).append(value)
        if line is None:
            return None
        self.expect(headers.get(b"host") == [HOST.encode()], headers)
        self.expect(not headers.keys() & self.FOREIGN, headers)
        lengths, codings = headers.get(b"content-length", []), headers.get(b"transfer-encoding", [])
        self.expect(len(lengths) + len(codings) <= 1 and codings in ([], [b"chunked"]), headers)
        self.expect(not lengths or re.fullmatch(rb"0|[1-9][0-9]{0,17}", lengths[0]), headers)
        body = self.chunks(reader) if codings else self.content(reader, int(lengths[0]) if lengths else 0)
        return None if body is None else (method.decode(), target.decode(), body)

    def content(self, reader, length):
        data = reader.read(length)
        return data if len(data) == length else None

    def chunks(self, reader):
        body = b""
        while (line := self.line(reader)) is not None:
            size = int(self.expect(re.fullmatch(rb"[1-9a-f][0-9a-f]*|0", line), line)[0], 16)
            data = self.content(reader, size)
            end = self.line(reader)
            if data is None or end is None:
                return None
            self.expect(end == b"", end)
            if size == 0:
                return body
            body += data
        return None


class Mutated(Base):
    """Requests that are nearly right, by mutation of those that public lists know (RINGFENCE_SEED, RINGFENCE_ROUNDS): what
    arrives is what was asked for, and in a form that nobody can read in two ways."""

    CLIENTS, ROUNDS = 8, int(os.environ.get("RINGFENCE_ROUNDS", "60"))
    PIECES = [b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"\0", b",", b";", b"/", b"%2e", b"#", b"\x85", b"\xa0", b"0", b"+", b"-", b"x",
              b"0\r\n\r\n", b"\r\n\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: web.test\r\n",
              b"Connection: close\r\n", b"Expect: 100-continue\r\n", TAIL.encode()]

    def mutate(self, dice, data):
        for _ in range(dice.choice([0, 1, 1, 1, 2, 3, 6])):
            at = dice.randrange(len(data) + 1)
            to = min(len(data), at + dice.choice([0, 0, 1, 1, 2, 8, 40]))
            data = data[:at] + dice.choice([b"", dice.choice(self.PIECES), bytes([dice.randrange(256)]), data[at:to] * 2]) + data[to:]
        return data

    def client(self, g, dice, bases):
        for _ in range(self.ROUNDS):
            client = g.tunnel(HOST, 80, secure=False)
            for _ in range(dice.randrange(1, 4)):
                client.send(self.mutate(dice, dice.choice(bases)))
            client.socket.shutdown(socket.SHUT_WR)
            client.rest()
            client.close()

    def test_the_upstream_would_notice(self):
        """The control: the same bytes without the gateway."""
        for name, text in streams(HOST).items():
            upstream = StrictUpstream()
            with socket.create_connection(self.raw_server(upstream.serve)) as s:
                s.sendall(text.encode("latin-1"))
                s.shutdown(socket.SHUT_WR)
                with contextlib.suppress(ConnectionResetError):
                    while s.recv(65536):
                        pass
            self.assertTrue(upstream.wrong or any(t == "/smuggled" for _, t, _ in upstream.whole), name)

    def test_what_arrives_is_what_was_asked_for(self):
        seed = int(os.environ.get("RINGFENCE_SEED", "0")) or random.randrange(1, 1 << 30)
        upstream = StrictUpstream()
        g = self.gateway({(HOST, 80): self.raw_server(upstream.serve)})
        whole = [head("GET /a?b=c HTTP/1.1", TO, "Accept: */*"), head("POST /d HTTP/1.1", TO, "Content-Length: 5") + "hello",
                 head("POST /e HTTP/1.1", TO, "Transfer-Encoding: chunked") + "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
                 head("GET /denied HTTP/1.1", TO), head("HEAD /f HTTP/1.0", TO, "Connection: keep-alive")]
        table = [*streams(HOST).values(), *broken_bodies(HOST).values()]
        bases = [text.encode("latin-1") for text in whole * 15 + table]
        clients = [threading.Thread(target=self.client, args=(g, random.Random(seed * 1000 + i), bases), daemon=True)
                   for i in range(self.CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join(5 * WAIT)
            self.assertFalse(client.is_alive(), f"hangs; RINGFENCE_SEED={seed}")
        self.assertEqual(upstream.wrong, [], f"RINGFENCE_SEED={seed}")
        asked = Counter()
        for action, verdict in g.actions:
            if verdict["state"] == "performing":
                request = action["request"]
                asked[request["method"], request["path"] + ("?" + request["query"] if "query" in request else "")] += 1
        arrived = Counter((method, target) for method, target, _ in upstream.whole)
        self.assertEqual(arrived - asked, Counter(), f"RINGFENCE_SEED={seed}")
        self.assertFalse([r for r in arrived if r[1].startswith("/denied")])
        self.assertGreater(sum(arrived.values()), self.ROUNDS)


class Large(Base):
    SIZE = 50_000_000
    MEMORY_KIB = 24 * 1024

    def test_bodies_are_streamed_with_bounded_memory(self):
        stalled, sent = threading.Event(), []

        def down(connection):
            """Sends as much as is taken; says so when nothing is."""
            data = b""
            while b"\r\n\r\n" not in data:
                data += connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % self.SIZE)
            left, block = self.SIZE, bytes(65536)
            connection.setblocking(False)
            while left > 0:
                if not select.select([], [connection], [], 0.3)[1]:
                    stalled.set()
                    select.select([], [connection], [], WAIT)
                n = connection.send(block[:left])
                left -= n
                sent.append(n)
        g = self.gateway({(HOST, 80): self.raw_server(down)})
        client = g.tunnel(HOST, 80, secure=False)
        client.send(head("GET /down HTTP/1.1", TO))
        self.assertTrue(stalled.wait(WAIT), "everything was taken though nobody read it")
        self.assertLess(sum(sent), self.SIZE)
        got = len(client.take(len(client.until(b"\r\n\r\n")) * 0))
        while got + len(client.pending) < self.SIZE:
            got += len(client.pending)
            client.pending = b""
            client.more()
        self.assertEqual(got + len(client.pending), self.SIZE)
        self.assertLess(g.memory_kib(), self.MEMORY_KIB)

    def test_a_slow_upstream_holds_the_client_back(self):
        go, got = threading.Event(), []

        def up(connection):
            data = b""
            while b"\r\n\r\n" not in data:
                data += connection.recv(65536)
            total = len(data.partition(b"\r\n\r\n")[2])
            go.wait(WAIT)
            while total < self.SIZE:
                total += len(connection.recv(1 << 20))
            got.append(total)
            connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
        g = self.gateway({(HOST, 80): self.raw_server(up)})
        client = g.tunnel(HOST, 80, secure=False)
        client.send(head("POST /up HTTP/1.1", TO, f"Content-Length: {self.SIZE}"))
        left, block = self.SIZE, bytes(65536)
        client.socket.setblocking(False)
        while left > 0:
            if not select.select([], [client.socket], [], 0.3)[1]:
                if go.is_set():
                    select.select([], [client.socket], [], WAIT)
                else:
                    self.assertLess(self.SIZE - left, self.SIZE)
                    go.set()
                    continue
            left -= client.socket.send(block[:left])
        self.assertTrue(go.is_set(), "everything was taken though nobody read it")
        client.socket.settimeout(WAIT)
        self.assertEqual(client.answer().body, b"ok")
        self.assertEqual(got, [self.SIZE])
        self.assertLess(g.memory_kib(), self.MEMORY_KIB)


if __name__ == "__main__":
    unittest.main()
