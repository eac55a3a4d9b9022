#!/usr/bin/python3
"""Upstreams that are slow, die, or lie: what a sandbox gets of them is a whole answer, or plainly none; never half of one
that looks whole, never another's; and nobody else waits meanwhile. The programs are the real ones."""

import json
import os
import socket
import ssl
import struct
import sys
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import internet  # noqa: E402
from internet import Internet, rule  # noqa: E402
from ring import modes, wait_until  # noqa: E402

PYTHON = "/usr/bin/python3"
WEB, SLOW, DEAD = "www.example.com", "slow.example.com", "dead.example.com"
TEXT = b"all of it and not less"
NET = None

# Runs inside: each attempt is [url, method, bytes of body, HTTP version]; what came of it, by http.client and, for
# HTTP/1.0, by hand. The attempts of one inner list share a connection.
CLIENT = """
import http.client, json, socket, ssl, sys, threading
from urllib.parse import urlsplit
def connect(url):
    u = urlsplit(url)
    kind = http.client.HTTPSConnection if u.scheme == "https" else http.client.HTTPConnection
    return kind(u.netloc, timeout=50)
def old(url):
    u = urlsplit(url)
    s = socket.create_connection((u.hostname, 443 if u.scheme == "https" else 80), 50)
    if u.scheme == "https":
        s = ssl.create_default_context().wrap_socket(s, server_hostname=u.hostname, suppress_ragged_eofs=False)
    s.sendall(f"GET {u.path} HTTP/1.0\\r\\nHost: {u.hostname}\\r\\n\\r\\n".encode())
    said = b""
    while more := s.recv(65536):
        said += more
    head, _, body = said.partition(b"\\r\\n\\r\\n")
    if not head:
        return {"failed": "no answer"}
    return {"status": int(head.split()[1]), "body": body.decode()}
def attempt(connection, url, method, size, version):
    try:
        if version == "1.0":
            return old(url)
        connection.request(method, urlsplit(url).path, b"x" * size if size else None)
        r = connection.getresponse()
        try:
            return {"status": r.status, "body": r.read().decode("latin-1"), "headers": len(r.getheaders())}
        except (http.client.IncompleteRead, OSError) as e:
            return {"status": r.status, "cut": type(e).__name__}
    except (http.client.HTTPException, OSError) as e:
        return {"failed": type(e).__name__ + " " + str(e)}
def run(attempts, into):
    connection = connect(attempts[0][0])
    into += [attempt(connection, *a) for a in attempts]
todo = json.load(sys.stdin)
results = [[] for _ in todo]
threads = [threading.Thread(target=run, args=pair) for pair in zip(todo, results)]
for t in threads:
    t.start()
for t in threads:
    t.join()
json.dump(results, sys.stdout)
"""


def read_head(connection):
    said = b""
    while b"\r\n\r\n" not in said:
        more = connection.recv(1)
        if not more:
            raise EOFError
        said += more
    return said


def reset(connection):
    """The connection ends as if its host had died."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if isinstance(connection, ssl.SSLSocket):
        connection = socket.socket(fileno=connection.detach())
    connection.close()


def whole(body=TEXT, more=""):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s" % (len(body), more.encode(), body)


def drip(connection, said):
    for byte in said:
        connection.sendall(bytes([byte]))


# What an upstream may say, and end: all of it is either an answer or it is not.
SAID = {
    "good": whole(),
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n16\r\n" + TEXT + b"\r\n0\r\n\r\n",
    "until-close": b"HTTP/1.1 200 OK\r\n\r\n" + TEXT,
    "truncated": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + TEXT,
    "chunk-cut": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n" + TEXT,
    "chunks-cut": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n16\r\n" + TEXT + b"\r\n",
    "chunk-size-lies": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n" + TEXT + b"\r\n0\r\n\r\n",
    "chunk-size-odd": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-16\r\n" + TEXT + b"\r\n0\r\n\r\n",
    "chunk-size-huge": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n" + TEXT,
    "two-framings": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n16\r\n" + TEXT +
                    b"\r\n0\r\n\r\n",
    "two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 22\r\n\r\n" + TEXT,
    "length-lies": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" + TEXT,
    "length-signed": b"HTTP/1.1 200 OK\r\nContent-Length: +22\r\n\r\n" + TEXT,
    "length-huge": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n" + TEXT,
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc" * 20,
    "no-http": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "status-odd": b"HTTP/1.1 0200 OK\r\nContent-Length: 0\r\n\r\n",
    "version-odd": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "nul-in-head": b"HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 22\r\n\r\n" + TEXT,
    "bare-lf": b"HTTP/1.1 200 OK\nContent-Length: 22\n\n" + TEXT,
    "folded": b"HTTP/1.1 200 OK\r\nX-A: a\r\n b\r\nContent-Length: 22\r\n\r\n" + TEXT,
    "space-before-colon": b"HTTP/1.1 200 OK\r\nContent-Length : 22\r\n\r\n" + TEXT,
    "huge-head": b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (i, b"y" * 4000) for i in range(100)) +
                 b"Content-Length: 22\r\n\r\n" + TEXT,
    "many-headers": b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(3000)) +
                    b"Content-Length: 22\r\n\r\n" + TEXT,
    "head-cut": b"HTTP/1.1 200 OK\r\nContent-Le",
    "switching": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n" + TEXT,
    "interim": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + whole(),
    "nothing": b"",
}
WHOLE = {"good", "chunked", "until-close", "interim"}
# An answer began and is not whole: the client must notice.
CUT = {"truncated", "chunk-cut", "chunks-cut", "chunk-size-lies", "chunk-size-odd", "chunk-size-huge"}


def serve(connection, log):
    """One request on each connection, unless the path says otherwise."""
    head = read_head(connection)
    path = head.split()[1].decode()[1:]
    log.append(path.encode())
    special = SPECIAL.get(path)
    if special is not None:
        special(connection)
        return
    if path.endswith("-slowly"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        drip(connection, SAID[path[:-len("-slowly")]])
    else:
        connection.sendall(SAID[path])
    end(connection)


def end(connection):
    """Orderly, with a close_notify."""
    if isinstance(connection, ssl.SSLSocket):
        connection = connection.unwrap()
    connection.shutdown(socket.SHUT_WR)
    connection.close()


def cut(connection):
    """TCP's end without TLS's; over plain TCP the same as end()."""
    if isinstance(connection, ssl.SSLSocket):
        connection = socket.socket(fileno=connection.detach())
    connection.shutdown(socket.SHUT_WR)
    connection.close()


def reset_in_body(connection):
    connection.sendall(SAID["truncated"])
    wait_until_taken(connection)
    reset(connection)


def reset_until_close(connection):
    connection.sendall(SAID["until-close"])
    wait_until_taken(connection)
    reset(connection)


def wait_until_taken(connection):
    """Until the other side has all that was sent (TIOCOUTQ)."""
    import fcntl  # pylint: disable=import-outside-toplevel
    wait_until(lambda: struct.unpack("i", fcntl.ioctl(connection.fileno(), 0x5411, b"\0" * 4))[0] == 0, "acknowledged")


def cut_after(text):
    def handler(connection):
        connection.sendall(text)
        cut(connection)
    return handler


def says_more(connection):
    """An answer, and behind it another one that nobody asked for."""
    connection.sendall(whole() + whole(b"injected"))
    with_next(connection)


def with_next(connection):
    """Keeps the connection for another request, and answers it well."""
    while True:
        read_head(connection)
        connection.sendall(whole())


def dies_when_used_again(connection):
    connection.sendall(whole())
    read_head(connection)
    reset(connection)


def refuses_a_body(connection):
    """Answers at once, without reading the body, and goes away."""
    connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmuch")
    end(connection)


def endless(text):
    def handler(connection):
        while True:
            connection.sendall(text)
    return handler


def endless_head(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    endless(b"X-More: and more\r\n")(connection)


def silent(connection):
    while connection.recv(65536):
        pass


def stops_in_body(connection):
    connection.sendall(SAID["truncated"])
    silent(connection)


SPECIAL = {
    "reset-at-once": reset, "reset-in-body": reset_in_body, "reset-until-close": reset_until_close,
    "cut-whole": cut_after(SAID["good"]), "cut-until-close": cut_after(SAID["until-close"]),
    "cut-truncated": cut_after(SAID["truncated"]), "says-more": says_more, "dies-when-used-again": dies_when_used_again,
    "refuses-a-body": refuses_a_body, "endless-head": endless_head,
    "endless-interim": endless(b"HTTP/1.1 100 Continue\r\n\r\n"), "endless-line": endless(b"x" * 1000),
    "silent": silent, "stops-in-body": stops_in_body,
}


def tls(context, handler):
    def behind(connection, log):
        connection.settimeout(60)
        with context.wrap_socket(connection, server_side=True, suppress_ragged_eofs=True) as secure:
            handler(secure, log)
    return behind


def setUpModule():
    global NET
    internet.enter()
    NET = Internet()
    NET.upstreams = {}
    for name in (WEB, SLOW):
        NET.upstreams["http", name] = NET.tcp(name, 80, serve)
        NET.upstreams["https", name] = NET.tcp(name, 443, tls(NET.tls_context(name), serve))
    NET.upstreams["dead"] = NET.tcp(DEAD, 443, lambda connection, log: silent(connection))  # never speaks TLS
    NET.address(DEAD)


def tearDownModule():
    NET.close()


RULES = [
    rule("http", "web", hosts=[WEB], methods=["GET", "POST"], schemes=["http", "https"], headers="any"),
    rule("http", "slow", hosts=[SLOW, DEAD], methods=["GET"], schemes=["http", "https"], headers="any",
         limits={"time": "2s"}),
]


class Upstreams:
    @classmethod
    def setUpClass(cls):
        cls.ring = NET.ring(cls.mode)
        cls.policy = NET.policy(cls.ring, RULES)

    @classmethod
    def tearDownClass(cls):
        cls.ring.destroy()

    def attempts(self, connections):
        """[[result, …] of each connection]; the connections are used at the same time."""
        p = NET.run(self.ring, self.policy, PYTHON, "-c", CLIENT, input=json.dumps(connections).encode(), timeout=120)
        self.assertEqual(p.returncode, 0, p.stderr.decode(errors="replace")[-2000:])
        return json.loads(p.stdout)

    def each(self, paths, host=WEB, version="1.1", size=0):
        """{(scheme, path): result} of one request each, four connections at a time."""
        keys = [(scheme, path) for scheme in ("http", "https") for path in paths]
        method = "POST" if size else "GET"
        results = self.attempts([[[f"{scheme}://{host}/{path}", method, size, version]] for scheme, path in keys])
        return {key: result[0] for key, result in zip(keys, results)}

    def gateways(self):
        p = self.ring.cli("status", "--json")
        return [q["pid"] for q in json.loads(p.stdout)["programs"] if q["name"] == "rf-gateway"]

    def test_what_is_whole_arrives_whole(self):
        for (scheme, path), result in self.each(sorted(WHOLE)).items():
            self.assertEqual((result.get("status"), result.get("body")), (200, TEXT.decode()), (scheme, path, result))

    def test_what_comes_byte_by_byte_is_as_good(self):
        found = self.each([path + "-slowly" for path in sorted(WHOLE)])
        for key, result in found.items():
            self.assertEqual((result.get("status"), result.get("body")), (200, TEXT.decode()), (key, result))

    def test_half_an_answer_never_looks_whole(self):
        paths = sorted(CUT) + ["reset-in-body", "reset-until-close", "cut-truncated"]
        for key, result in self.each(paths).items():
            self.assertTrue("cut" in result or "failed" in result, (key, result))

    def test_an_old_client_notices_as_well(self):
        """HTTP/1.0 ends an answer by closing: what was cut must be a reset, or TLS's end must be missing."""
        for key, result in self.each(["reset-until-close", "chunk-cut", "chunks-cut"], version="1.0").items():
            self.assertIn("failed", result, key)
        for key, result in self.each(["until-close", "chunked"], version="1.0").items():
            self.assertEqual(result.get("body"), TEXT.decode(), (key, result))

    def test_tls_that_is_cut_counts_only_where_nothing_else_tells_the_end(self):
        found = self.each(["cut-whole", "cut-until-close"])
        for scheme in ("http", "https"):
            self.assertEqual(found[scheme, "cut-whole"].get("body"), TEXT.decode(), found)
        self.assertEqual(found["http", "cut-until-close"].get("body"), TEXT.decode(), "the control: TCP cannot tell")
        result = found["https", "cut-until-close"]
        self.assertTrue("cut" in result or "failed" in result, result)

    def test_what_is_no_answer_is_a_502(self):
        paths = sorted(set(SAID) - WHOLE - CUT) + ["reset-at-once", "endless-head", "endless-line"]
        for key, result in self.each(paths).items():
            self.assertEqual(result.get("status"), 502, (key, result))
            error = json.loads(result["body"])["error"]
            self.assertTrue(error["code"] and error["reason"], (key, error))

    def test_an_answer_that_nobody_asked_for_is_nobodys(self):
        twice = lambda scheme: [[f"{scheme}://{WEB}/says-more", "GET", 0, "1.1"],  # noqa: E731
                                [f"{scheme}://{WEB}/good", "GET", 0, "1.1"]] * 3
        for results in self.attempts([twice("http"), twice("https")]):
            self.assertEqual([r.get("body") for r in results], [TEXT.decode()] * 6, results)

    def test_a_kept_connection_that_died_is_replaced(self):
        twice = lambda scheme: [[f"{scheme}://{WEB}/dies-when-used-again", "GET", 0, "1.1"],  # noqa: E731
                                [f"{scheme}://{WEB}/good", "GET", 0, "1.1"]]
        for results in self.attempts([twice("http"), twice("https")]):
            self.assertEqual([r.get("body") for r in results], [TEXT.decode()] * 2, results)

    def test_an_answer_before_the_body_was_read_arrives(self):
        for key, result in self.each(["refuses-a-body"], size=8 << 20).items():
            # A client that goes on sending may find the connection closed, as without us.
            self.assertTrue(result.get("status") == 413 or "failed" in result, (key, result))

    def test_the_slow_are_given_up_and_nobody_else_waits(self):
        before = self.gateways()
        slow = ["silent", "endless-interim", "stops-in-body"]
        waiting = [[[f"{scheme}://{SLOW}/{path}", "GET", 0, "1.1"]] for scheme in ("http", "https") for path in slow]
        waiting += [[[f"https://{DEAD}/", "GET", 0, "1.1"]]]
        quick = [[[f"{scheme}://{WEB}/good", "GET", 0, "1.1"]] * 5 for scheme in ("http", "https")]
        order = []
        for upstream in (NET.upstreams["http", WEB], NET.upstreams["https", WEB]):
            self.assertIsNotNone(upstream)
        results = self.attempts(waiting + quick)
        for results_of_one in results[len(waiting):]:
            self.assertEqual([r.get("body") for r in results_of_one], [TEXT.decode()] * 5, results_of_one)
        for attempt, result in zip(waiting, results):
            order.append(result[0])
            url, said = attempt[0][0], result[0]
            if url.endswith("stops-in-body"):
                self.assertTrue("cut" in said or "failed" in said, (url, said))
            else:
                self.assertIn(said.get("status"), (502, 504), (url, said))
        self.assertEqual(self.gateways(), before)

    def test_a_port_where_nobody_listens_is_a_502(self):
        result = self.attempts([[[f"http://{DEAD}/", "GET", 0, "1.1"]]])[0][0]
        self.assertEqual(result.get("status"), 502, result)


class UpstreamsAfter:
    """What is recorded of it."""

    def test_the_ledger_tells_the_whole_from_the_cut(self):
        ring = NET.ring(self.mode)
        self.addCleanup(ring.destroy)
        todo = [[[f"https://{WEB}/{path}", "GET", 0, "1.1"]] for path in ("good", "truncated", "garbage")]
        p = NET.run(ring, RULES, PYTHON, "-c", CLIENT, input=json.dumps(todo).encode())
        self.assertEqual(p.returncode, 0, p.stderr)
        verified, records = NET.audit(ring)
        self.assertTrue(verified)
        paths = {r["action_id"]: r["data"]["request"]["path"] for r in records
                 if r["event"] == "decision" and r["data"].get("kind") == "http"}
        ends = {paths[r["action_id"]]: r["data"] for r in records if r["event"] == "settled" and r["action_id"] in paths}
        self.assertEqual(ends["/good"]["state"], "succeeded")
        self.assertEqual(ends["/truncated"]["state"], "failed")
        self.assertIn(ends["/garbage"]["state"], ("failed", "unknown"))
        for path in ("/truncated", "/garbage"):
            self.assertTrue(ends[path]["outcome"]["error"], ends)


for _mode in modes():
    for _base in (Upstreams, UpstreamsAfter):
        _name = _base.__name__ + ("AsRoot" if _mode == "root" else "Rootless")
        globals()[_name] = type(_name, (_base, unittest.TestCase), {"mode": _mode})

if __name__ == "__main__":
    threading.excepthook = lambda args: None  # an upstream that dies has done its work
    unittest.main()
