#!/usr/bin/python3
"""The resolver in a real rf-gateway whose arbiter is the test: one that is slow, wrong, changes its mind or is gone. Needs
root."""

import os
import shutil
import socket
import struct
import tempfile
import threading
import unittest

from gateway_kit import (ERROR, NET_CHANGED, NET_REACH, NET_REACHED, Gateway, Upstream, make_ca, own_network, resolve)

SERVFAIL, NXDOMAIN = 2, 3


def query(name, kind=1, ident=7):
    labels = b"".join(bytes([len(x)]) + x.encode() for x in name.split("."))
    return struct.pack(">6H", ident, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", kind, 1)


def talk(server="198.18.0.1"):
    s = socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(20)
    s.connect((server, 53))
    return s


class Held(Gateway):
    """Its arbiter can hold its answers about names back."""

    hold = False
    held = ()

    def serve_arbiter(self, talk, kind, serial, body):
        if kind == NET_REACH and self.hold:
            with self.changed:
                self.held = [*self.held, (serial, body["host"])]
                self.changed.notify_all()
            return
        super().serve_arbiter(talk, kind, serial, body)

    def wait_held(self, n):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.held) >= n, 20), "never asked"
            return list(self.held)


class Names(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0:
            raise unittest.SkipTest("needs root")
        own_network()
        cls.dir = tempfile.mkdtemp(prefix="rf-net-")
        cls.ca = make_ca(cls.dir)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dir, ignore_errors=True)

    def setUp(self):
        self.g = Held(self.ca[0])
        self.sandbox, _ = self.g.open()
        self.g.reach = {("api.example.com", 443): {"raw": True}}

    def tearDown(self):
        text = self.g.errors()
        self.assertEqual(self.g.close(), 0, text)
        self.assertNotIn("conversation-ended", text)

    def answer(self, serial, reach):
        self.g.arbiter.send(NET_REACHED, {"reach": reach}, serial)

    def test_a_question_waits_for_a_slow_arbiter_and_no_other_waits_for_it(self):
        self.assertIsInstance(resolve("api.example.com"), str)
        self.g.hold = True
        waiting = talk()
        waiting.send(query("slow.example.com"))
        waiting.send(query("slower.example.com", ident=8))
        held = self.g.wait_held(2)
        self.assertIsInstance(resolve("api.example.com"), str)  # known already
        self.answer(held[1][0], False)
        self.assertEqual(waiting.recv(512)[:4], struct.pack(">2H", 8, 0x8183))
        self.answer(held[0][0], True)
        answer = waiting.recv(512)
        self.assertEqual(answer[:8], struct.pack(">4H", 7, 0x8180, 1, 1))
        waiting.close()

    def test_an_arbiter_that_cannot_say_gives_no_address(self):
        self.g.hold = True
        waiting = talk()
        waiting.send(query("api.example.com"))
        self.g.arbiter.send(ERROR, {"error": {"code": "busy", "message": "not now"}}, self.g.wait_held(1)[0][0])
        self.assertEqual(waiting.recv(512)[3] & 15, SERVFAIL)
        self.g.hold = False
        self.assertIsInstance(resolve("api.example.com"), str)
        waiting.close()

    def test_what_the_arbiter_said_is_good_until_it_changes(self):
        upstream = Upstream(lambda c: c.sendall(b"hello"))
        self.g.dials[("api.example.com", 443)] = upstream.port
        address = resolve("api.example.com")
        with socket.create_connection((address, 443), 20) as s:
            self.assertEqual(s.recv(5), b"hello")
        self.g.reach.clear()
        self.assertEqual(resolve("api.example.com"), address)  # remembered: it decides nothing
        self.g.arbiter.send(NET_CHANGED, {"sandbox": self.sandbox}, 0)
        # The change and the question come by different ways: until it is there the old answer is right.
        for _ in range(100):
            said = resolve("api.example.com")
            if said == NXDOMAIN:
                break
        self.assertEqual(said, NXDOMAIN)
        with socket.create_connection((address, 443), 20) as s:  # nor does the address lead anywhere
            s.settimeout(20)
            try:
                self.assertEqual(s.recv(5), b"")
            except ConnectionResetError:
                pass
        self.g.reach[("api.example.com", 443)] = {"raw": True}
        self.g.arbiter.send(NET_CHANGED, {"sandbox": self.sandbox}, 0)
        for _ in range(100):
            said = resolve("api.example.com")
            if said != NXDOMAIN:
                break
        self.assertEqual(said, address)  # and it is its own again, never another's

    def test_an_answer_that_was_overtaken_is_not_remembered(self):
        self.g.hold = True
        waiting = talk()
        waiting.send(query("api.example.com"))
        serial = self.g.wait_held(1)[0][0]
        self.g.arbiter.send(NET_CHANGED, {"sandbox": self.sandbox}, 0)
        self.answer(serial, True)
        self.assertEqual(waiting.recv(512)[3] & 15, 0)
        waiting.send(query("api.example.com", ident=9))
        self.answer(self.g.wait_held(2)[1][0], False)  # asked again
        self.assertEqual(waiting.recv(512)[3] & 15, NXDOMAIN)
        waiting.close()

    def test_without_an_arbiter_no_name_has_an_address(self):
        self.assertIsInstance(resolve("api.example.com"), str)
        self.g.hold = True
        waiting = talk()
        waiting.send(query("slow.example.com"))
        self.g.wait_held(1)
        self.g.arbiter.sock.shutdown(socket.SHUT_RDWR)
        self.assertEqual(waiting.recv(512)[3] & 15, SERVFAIL)
        self.assertEqual(resolve("api.example.com"), SERVFAIL)
        waiting.close()

    def test_a_sandbox_that_ends_takes_its_questions_with_it(self):
        self.g.hold = True
        waiting = talk()
        stream = socket.create_connection(("198.18.0.1", 53), 20)
        m = query("two.example.com")
        stream.sendall(struct.pack(">H", len(m)) + m)
        for i in range(50):
            waiting.send(query("n%d.example.com" % i, ident=i))
        held = self.g.wait_held(51)
        usage = self.g.close_guest(self.sandbox)["usage"]
        self.assertEqual(usage["denied"], 0)
        self.assertEqual(stream.recv(10), b"")
        for i, (serial, _) in enumerate(held):  # too late: nobody is harmed
            if i % 2:
                self.answer(serial, True)
            else:
                self.g.arbiter.send(ERROR, {"error": {"code": "busy", "message": "not now"}}, serial)
        self.g.hold = False
        self.g.open()
        self.assertIsInstance(resolve("api.example.com"), str)
        self.assertEqual(resolve("n1.example.com"), NXDOMAIN)
        waiting.close()
        stream.close()

    def test_an_address_dies_with_its_sandbox(self):
        upstream = Upstream(lambda c: c.sendall(b"hello"))
        self.g.dials[("api.example.com", 443)] = upstream.port
        old = [resolve("api.example.com", family) for family in (socket.AF_INET, socket.AF_INET6)]
        self.g.close_guest(self.sandbox)
        self.g.open()
        new = [resolve("api.example.com", family) for family in (socket.AF_INET, socket.AF_INET6)]
        self.assertFalse(set(old) & set(new))
        for address in old:
            with socket.create_connection((address, 443), 20) as s:
                s.settimeout(20)
                try:
                    self.assertEqual(s.recv(5), b"")
                except ConnectionResetError:
                    pass
        self.assertEqual(upstream.count, 0)
        for address in new:
            with socket.create_connection((address, 443), 20) as s:
                self.assertEqual(s.recv(5), b"hello")
        with self.g.changed:
            self.assertTrue(self.g.changed.wait_for(
                lambda: [n for n in self.g.notes if n["event"] == "connection-refused"], 20))

    def test_what_is_denied_is_noted(self):
        for name in ("evil.org", "api.example.com.evil.org", "xapi.example.com"):
            self.assertEqual(resolve(name), NXDOMAIN)
        with self.g.changed:
            self.assertTrue(self.g.changed.wait_for(lambda: len(self.g.notes) >= 3, 20))
        for note in self.g.notes:
            self.assertEqual((note["event"], note["sandbox"]), ("name-denied", self.sandbox))
        self.assertEqual([n["data"]["what"] for n in self.g.notes],
                         ["evil.org", "api.example.com.evil.org", "xapi.example.com"])
        said = self.g.close_guest(self.sandbox)
        self.assertEqual([d["what"] for d in said["denials"]], [n["data"]["what"] for n in self.g.notes])
        self.assertIn("evil.org", said["denials"][0]["needed"])
        self.assertEqual(said["usage"]["denied"], 3)

    def test_whoever_asks_from_many_threads_is_answered(self):
        failures = []

        def ask():
            try:
                for family in (socket.AF_INET, socket.AF_INET6):
                    if not isinstance(resolve("api.example.com", family), str):
                        failures.append(family)
            except OSError as e:
                failures.append(e)

        threads = [threading.Thread(target=ask) for _ in range(50)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(failures, [])


if __name__ == "__main__":
    unittest.main(verbosity=1)
