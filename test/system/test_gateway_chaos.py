#!/usr/bin/python3
"""A real rf-gateway among clients, upstreams and siblings that all misbehave at once and at random: requests cut, changed and
abandoned, upstreams that lie and hang up, an arbiter that is slow, errs and changes its mind, sandboxes that end in the
middle. It must live, end no conversation, keep no descriptor, and serve whoever behaves, after all of it.
RINGFENCE_SEED and RINGFENCE_SECONDS repeat or prolong it. Needs root."""

import os
import random
import shutil
import socket
import ssl
import struct
import tempfile
import threading
import time
import unittest
import uuid

from gateway_kit import (ERROR, NET_CHANGED, NET_PROPOSE, NET_REACH, NET_VERDICT, Gateway, Upstream, make_ca, make_cert,
                         own_network, resolve)

SECONDS = float(os.environ.get("RINGFENCE_SECONDS", "5"))
SEED = int(os.environ.get("RINGFENCE_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
WORKERS = 12
SECRET = "s3cr3t-value-of-tok"
HOSTS = ("api", "plain", "raw", "wrong", "tls", "unknown", "proxy")
TARGETS = ("/", "/a?b=c", "*", "http://plain.example.com/", "/%2e%2e/", "/acme/app.git/git-receive-pack",
           "/acme/app.git/info/refs?service=git-receive-pack")
APPLY = ({"as": "bearer"}, {"as": "query", "name": "k"}, {"as": "cookie", "name": "c"}, {"as": "basic", "user": "u"},
         {"as": "header", "name": "X-Key"})


def chance(share):
    return random.random() < share


def quietly(work):
    """WORK, whose errors are what is expected of a place like this."""
    try:
        work()
    except (OSError, ValueError):
        pass


class Siblings(Gateway):
    """An arbiter and a dialer that are slow, or err, or change their minds."""

    behave = False

    def serve_arbiter(self, talk, kind, serial, body):
        def answer():
            Gateway.serve_arbiter(self, talk, kind, serial, body)

        if not self.behave and kind in (NET_REACH, NET_PROPOSE):
            if chance(0.03):
                talk.send(ERROR, {"error": {"code": "busy", "message": "not now"}}, serial)
                return
            if kind == NET_PROPOSE and chance(0.2):
                with self.changed:
                    talk.send(NET_CHANGED, {"sandbox": body["sandbox"]}, 0)
            if kind == NET_PROPOSE and chance(0.1):
                if chance(0.5):
                    with self.changed:
                        talk.send(NET_VERDICT, {"action_id": str(uuid.uuid4()), "state": "reviewing", "review_id": "r"},
                                  serial)
                threading.Timer(random.random() * 2, quietly, [answer]).start()
                return
        quietly(answer)  # the vault may have left, and the credential with it

    def serve_dialer(self, talk, kind, serial, body):
        def answer():
            Gateway.serve_dialer(self, talk, kind, serial, body)

        if not self.behave and chance(0.05):
            talk.send(ERROR, {"error": {"code": "dial_failed", "message": "no"}}, serial)
        elif not self.behave and chance(0.05):
            threading.Timer(random.random(), quietly, [answer]).start()
        else:
            answer()

    def verdict(self, action):
        if self.behave:
            return {"state": "performing"}
        if chance(0.15):
            return {"state": "denied", "decision": {"decision": "deny", "reason": "no", "needed": "a rule"}}
        verdict = {"state": "performing"}
        if chance(0.2):
            verdict.update(credential="tok", credential_body={"credential": "tok", "value": SECRET,
                                                              "apply": random.choice(APPLY)})
        if chance(0.2):
            verdict["limits"] = {"bytes": random.choice([0, 100, 100000]), "body_bytes": 1000, "bytes_per_s": 100000,
                                 "response_bytes": random.choice([10, 100000]), "time_ms": random.choice([1, 500, 5000])}
        return verdict

    def places(self, upstreams):
        good, plain, raw, wrong = (u.port for u in upstreams)
        self.dials.update({("api.example.com", 443): good, ("plain.example.com", 80): plain,
                           ("raw.example.com", 443): raw, ("wrong.example.com", 443): wrong,
                           ("tls.example.com", 443): good})
        self.reach.update({("api.example.com", 443): {"intercept": True, "git": chance(0.5)},
                           ("plain.example.com", 80): {"plain": True, "intercept": True},
                           ("raw.example.com", 443): {"raw": True}, ("tls.example.com", 443): {"raw": True},
                           ("wrong.example.com", 443): {"intercept": True, "raw": True}})


# ---- upstreams ----


def lie(c):
    """An HTTP server that answers rightly half of the time."""
    pending = b""
    while True:
        while b"\r\n\r\n" not in pending:
            more = c.recv(65536)
            if not more:
                return
            pending += more
        _, pending = pending.split(b"\r\n\r\n", 1)
        body = random.randbytes(random.choice([1, 100, 10000, 300000]))
        whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        said, ends = random.choice([
            (b"", True), (random.randbytes(random.randint(1, 500)), True), (whole[:random.randrange(len(whole))], True),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", True),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body), False),
            (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", False),
            (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nabc", True),
            (b"HTTP/1.1 204 No Content\r\n\r\n", False), (whole, False), (whole, False), (whole, False)])
        c.sendall(said)
        if ends:
            return


def echo(c):
    while data := c.recv(random.choice([1, 100, 65536])):
        if chance(0.05):
            return
        c.sendall(data)


# ---- clients ----


def request(host):
    """Bytes of a request that is right, wrong, or changed on its way."""
    host_said = random.choice([host, host, host, host + ":443", "evil.org"])
    head = f"{random.choice(['GET', 'GET', 'POST', 'PUT', 'HEAD', 'CONNECT', 'OPTIONS'])} {random.choice(TARGETS)} " \
           f"HTTP/1.{random.randint(0, 1)}\r\nHost: {host_said}\r\n"
    body = b""
    if chance(0.4):
        body = random.randbytes(random.choice([1, 100, 70000, 200000]))
        if chance(0.5):
            head += f"Content-Length: {len(body) + random.choice([0, 0, 0, 5, -1])}\r\n"
        else:
            head += "Transfer-Encoding: chunked\r\n"
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    for header, share in (("Expect: 100-continue", 0.1), ("Connection: close", 0.1),
                          ("Authorization: Bearer RINGFENCE_SECRET_tok", 0.2),
                          ("Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", 0.1)):
        if chance(share):
            head += header + "\r\n"
    made = bytearray(head.encode() + b"\r\n" + body)
    if chance(0.15):
        for _ in range(random.randint(1, 3)):
            made[random.randrange(min(len(made), 300))] = random.randrange(256)
    return bytes(made)


def connect(host):
    """A socket to HOST, and which host that is now."""
    if not host.startswith("proxy"):
        address = resolve(host, random.choice([socket.AF_INET, socket.AF_INET6]))
        if not isinstance(address, str):
            raise OSError("no such name")
        return socket.create_connection((address, 80 if host.startswith("plain") else 443), 5), host
    s = socket.create_connection(("198.18.0.1", 3128), 5)
    if chance(0.3):
        return s, "plain.example.com"
    host = random.choice(["api", "raw", "tls", "unknown"]) + ".example.com"
    s.settimeout(2)
    s.sendall(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode())
    s.recv(4096)
    return s, host


def misbehave(seen):
    s, host = connect(random.choice(HOSTS) + ".example.com")
    s.settimeout(random.choice([0.05, 0.5, 2]))
    try:
        if chance(0.05):
            s.sendall(random.randbytes(200))
            s.recv(100)
            return
        if host[:3] in ("api", "tls", "wro"):
            context = ssl._create_unverified_context()
            s = context.wrap_socket(s, server_hostname=host if chance(0.95) else "evil.org")
        for _ in range(random.randint(1, 4)):
            made = request(host)
            cut = random.randint(0, len(made))
            s.sendall(made[:cut])
            if chance(0.05):
                break
            s.sendall(made[cut:])
            if chance(0.7):
                seen.append(s.recv(random.choice([1, 4096, 1 << 20])))
        if chance(0.3):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    finally:
        s.close()


class Chaos(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0:
            raise unittest.SkipTest("needs root")
        own_network()
        cls.dir = tempfile.mkdtemp(prefix="rf-net-")
        cls.ca = make_ca(cls.dir)
        good, wrong = (make_cert(cls.dir, cls.ca, name) for name in ("api.example.com", "other.example.com"))
        cls.upstreams = [Upstream(lie, good), Upstream(lie), Upstream(echo), Upstream(lie, wrong)]

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dir, ignore_errors=True)

    def descriptors(self):
        """How many it has, without the empty pipes that it keeps for its next relays."""
        where = f"/proc/{self.g.process.pid}/fd"
        found = 0
        for name in os.listdir(where):
            try:
                found += not os.readlink(f"{where}/{name}").startswith("pipe:")
            except OSError:
                pass  # closed meanwhile
        return found

    def disturb(self, sandbox):
        """What happens to the gateway meanwhile; the sandbox that is open then."""
        if chance(0.5):
            self.g.close_guest(sandbox)
            sandbox, _ = self.g.open()
            self.g.places(self.upstreams)
        if chance(0.2):
            self.g.dialer.sock.shutdown(socket.SHUT_RDWR)
            self.g.dialer = self.g.join("dialer", self.g.serve_dialer)
        if chance(0.2):
            self.g.vault.sock.shutdown(socket.SHUT_RDWR)
            self.g.vault = self.g.join("vault", None)
        if chance(0.2):
            self.g.arbiter.send(NET_CHANGED, {"sandbox": sandbox}, 0)
        return sandbox

    def test_it_lives_through_all_of_it(self):
        random.seed(SEED)
        self.g = Siblings(self.ca[0])
        self.g.decide = self.g.verdict
        self.g.places(self.upstreams)
        sandbox, _ = self.g.open()
        resolve("raw.example.com")
        self.g.close_guest(sandbox)
        idle = self.descriptors()
        sandbox, _ = self.g.open()
        seen, end = [], time.monotonic() + SECONDS

        def work():
            while time.monotonic() < end:
                quietly(lambda: misbehave(seen))

        workers = [threading.Thread(target=work, daemon=True) for _ in range(WORKERS)]
        for worker in workers:
            worker.start()
        try:
            while any(worker.is_alive() for worker in workers):
                workers[0].join(random.choice([0.1, 0.5, 1]))
                self.assertIsNone(self.g.process.poll(), self.g.errors())
                sandbox = self.disturb(sandbox)
            self.calm_down(sandbox, idle)
        finally:
            text = self.g.errors()
            code = self.g.close()
        self.assertEqual(code, 0, text)
        self.assertNotIn("conversation-ended", text)
        self.assertTrue([data for data in seen if data.startswith(b"HTTP/1.1 200")], "nothing was ever served")
        self.assertFalse([data for data in seen if SECRET.encode() in data])

    def calm_down(self, sandbox, idle):
        self.g.behave = True
        self.g.close_guest(sandbox)
        end = time.monotonic() + 20
        while self.descriptors() > idle and time.monotonic() < end:
            time.sleep(0.05)  # answers that come late bring descriptors, which are closed
        self.assertLessEqual(self.descriptors(), idle)
        self.g.open()
        upstream = Upstream(lambda c: c.sendall(c.recv(100)))
        self.g.dials["raw.example.com", 443] = upstream.port
        with socket.create_connection((resolve("raw.example.com"), 443), 20) as s:
            s.sendall(b"after all")
            self.assertEqual(s.recv(100), b"after all")


if __name__ == "__main__":
    print(f"RINGFENCE_SEED={SEED} RINGFENCE_SECONDS={SECONDS}")
    unittest.main(verbosity=1)
