#!/usr/bin/python3
"""The real rf-dialer against name servers that lie, upstreams that fail, and gateways that were taken over.

What must be refused is always tried beside something like it that must work.
"""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from dialer_kit import *

HOSTS = f"127.0.0.1 localhost\n{PRIVATE} db.internal  # a comment\n{PUBLIC} Www.Hosts.Test\n{PRIVATE} mixed.hosts.test\n" \
    f"{PUBLIC_2} mixed.hosts.test\n"


def alternating(*answers):
    """The Nth time of each type asked the Nth answer, then the last."""
    return lambda kind, before: answers[min(before, len(answers) - 1)]


def by_type(a, aaaa):
    return lambda kind, before: a if kind == A else aaaa


ZONE = {
    "public.test": [PUBLIC],
    "six.test": [PUBLIC_6],
    "both.test": [PUBLIC, PUBLIC_6],
    "private.test": [PRIVATE],
    "private6.test": [PRIVATE_6],
    "mixed.test": [PRIVATE, PUBLIC, METADATA],
    "loop.test": ["127.0.0.1"],
    "loop6.test": ["::1"],
    "zero.test": ["0.0.0.0"],
    "zero6.test": ["::"],
    "metadata.test": [METADATA],
    "mapped-private.test": [f"::ffff:{PRIVATE}"],
    "mapped-metadata.test": [f"::ffff:{METADATA}"],
    "mapped-loop.test": ["::ffff:127.0.0.1"],
    "mapped-public.test": [f"::ffff:{PUBLIC}"],
    "compatible.test": ["::10.1.2.3"],
    "nat64.test": ["64:ff9b::a01:203"],
    "sixtofour.test": ["2002:a01:203::1"],
    "teredo.test": ["2001:0:a01:203::1"],
    "synthetic.test": ["198.18.0.9"],
    "cgnat.test": ["100.64.0.1"],
    "alias-public.test": [(CNAME, "x.test"), (CNAME, "y.test"), PUBLIC],
    "alias-private.test": [(CNAME, "x.test"), (CNAME, "public.test"), PRIVATE],
    "alias-nowhere.test": [(CNAME, "x.test")],
    "rebinding.test": alternating([PUBLIC], [PRIVATE]),
    "nodata.test": NODATA,
    "broken.test": SERVFAIL,
    "silent.test": DROP,
    "half.test": by_type([PUBLIC], DROP),
    "half6.test": by_type(DROP, [PUBLIC_6]),
    "half-broken.test": by_type([PUBLIC], SERVFAIL),
    "slow.test": alternating(DROP, [PUBLIC]),
    "long.test": (TRUNCATE, [f"10.9.{i // 200}.{i % 200 + 1}" for i in range(20)] + [PUBLIC]),
    "forged.test": (FORGED, PUBLIC_2, [PUBLIC]),
    "unreachable.test": ["93.184.217.1", PUBLIC],
    "first-refuses.test": [CLOSED, PUBLIC_2],
    "first-hangs.test": [PUBLIC_3, PUBLIC_2],
    "all-refuse.test": [PUBLIC, PUBLIC_2],
    "hangs.test": [PUBLIC_3],
    "a_b-c.0x.test": [PUBLIC],
    **{f"n{i}.test": [PUBLIC] for i in range(300)},
}
REFUSED = ["private.test", "private6.test", "loop.test", "loop6.test", "zero.test", "zero6.test", "metadata.test",
           "mapped-private.test", "mapped-metadata.test", "mapped-loop.test", "compatible.test", "nat64.test",
           "sixtofour.test", "teredo.test", "synthetic.test", "cgnat.test", "alias-private.test"]


class Case(unittest.TestCase):
    config = None
    ordinary = False

    @classmethod
    def setUpClass(cls):
        cls.dialer = Dialer(cls.config, cls.ordinary)
        cls.gateway = cls.dialer.gateway

    @classmethod
    def tearDownClass(cls):
        cls.dialer.destroy()

    def assert_dialed(self, result, address):
        self.assertEqual(result[:2], ("dialed", address))
        with result[2] as s:
            s.settimeout(WAIT)
            self.assertEqual(s.recv(100).decode().strip().removeprefix("::ffff:"), address)

    def assert_refused(self, result, code, word=""):
        self.assertEqual(result[0], code, result[1])
        self.assertIn(word, result[1])

    def assert_works(self):
        """The control: this gateway is served, and the program lives."""
        self.assert_dialed(self.gateway.dial("public.test", 80), PUBLIC)
        self.assertIsNone(self.dialer.process.poll())


class Addresses(Case):
    def test_a_name_is_resolved_and_connected_to(self):
        self.assert_works()

    def test_a_connected_socket_has_the_options_of_one(self):
        s = self.gateway.dial("public.test", 80)[2]
        with s:
            self.assertEqual(s.getpeername(), (PUBLIC, 80))
            self.assertTrue(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            self.assertTrue(s.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def test_the_dialer_keeps_nothing_of_what_it_handed_out(self):
        self.assert_works()
        before = len(os.listdir(f"/proc/{self.dialer.process.pid}/fd"))
        sockets = [self.gateway.dial("both.test", 80)[2] for _ in range(20)]
        for s in sockets:
            s.close()
        self.assert_works()
        self.assertLessEqual(len(os.listdir(f"/proc/{self.dialer.process.pid}/fd")), before + 2)

    def test_a_name_with_ipv6_only(self):
        self.assert_dialed(self.gateway.dial("six.test", 80), PUBLIC_6)

    def test_ipv6_is_preferred(self):
        self.assert_dialed(self.gateway.dial("both.test", 80), PUBLIC_6)

    def test_every_kind_of_address_that_is_not_public_is_refused(self):
        for name in REFUSED:
            with self.subTest(name):
                self.assert_refused(self.gateway.dial(name, 80), "address_refused", name)
        self.assertEqual([u.accepted for u in TRAPS], [[]] * len(TRAPS))
        self.assert_works()

    def test_of_mixed_answers_only_the_public_ones_are_used(self):
        for _ in range(5):
            self.assert_dialed(self.gateway.dial("mixed.test", 80), PUBLIC)
        self.assertEqual([u.accepted for u in TRAPS], [[]] * len(TRAPS))

    def test_a_mapped_address_is_the_ipv4_address_that_it_maps(self):
        self.assert_dialed(self.gateway.dial("mapped-public.test", 80), PUBLIC)

    def test_aliases_are_followed_and_their_address_is_checked(self):
        self.assert_dialed(self.gateway.dial("alias-public.test", 80), PUBLIC)
        self.assert_refused(self.gateway.dial("alias-private.test", 80), "address_refused", PRIVATE)
        self.assert_refused(self.gateway.dial("alias-nowhere.test", 80), "name_unknown")

    def test_a_literal_address_is_checked_and_nobody_is_asked(self):
        asked = len(NAMES.asked)
        self.assert_dialed(self.gateway.dial(PUBLIC, 80), PUBLIC)
        self.assert_dialed(self.gateway.dial(PUBLIC_6, 80), PUBLIC_6)
        for literal in (PRIVATE, PRIVATE_6, METADATA, "127.0.0.1", "::1", "0.0.0.0", "::", "64:ff9b::a01:203"):
            self.assert_refused(self.gateway.dial(literal, 80), "address_refused")
        self.assertEqual(len(NAMES.asked), asked)

    def test_roundabout_spellings_are_not_even_asked_for(self):
        asked = len(NAMES.asked)
        for spelling in ("127.1", "0x7f000001", "2130706433", "0177.0.0.1", "10.1.2.3.", "010.1.2.3", "::ffff:10.1.2.3",
                         "[::1]", "fe80::1%lo", "0:0:0:0:0:0:0:1", "Public.Test", "public.test.", "-a.test", "a..test",
                         "public.test:80", "user@public.test", "*.test", "pu%62lic.test"):
            with self.subTest(spelling):
                self.assert_refused(self.gateway.dial(spelling, 80), "ticket_refused", "plain form")
        self.assertEqual(len(NAMES.asked), asked)
        self.assert_dialed(self.gateway.dial("a_b-c.0x.test", 80), PUBLIC)

    def test_a_name_that_changes_its_mind_is_dialed_at_the_address_that_was_checked(self):
        self.assert_dialed(self.gateway.dial("rebinding.test", 80), PUBLIC)
        # Exactly one question of each kind: nothing was looked up again between the check and the connection.
        self.assertEqual(sorted(q for q in NAMES.asked if q[0] == "rebinding.test"),
                         [("rebinding.test", A), ("rebinding.test", AAAA)])
        # And nothing is remembered: the second time it is private, and refused.
        self.assert_refused(self.gateway.dial("rebinding.test", 80), "address_refused", PRIVATE)
        self.assertEqual([u.accepted for u in TRAPS], [[]] * len(TRAPS))

    def test_an_own_address_on_another_interface_is_refused_unless_pinned(self):
        if not OWN:
            self.skipTest("this kernel makes no interface for the test")
        with Upstream(OWN, 80) as upstream:
            self.assert_refused(self.gateway.dial(OWN, 80), "address_refused", "this host itself")
            self.assertEqual(upstream.accepted, [])
            self.assert_refused(self.gateway.dial(OWN, 80, addresses=["93.0.0.0/8"]), "address_refused")
            self.assert_dialed(self.gateway.dial(OWN, 80, addresses=[OWN]), OWN)

    def test_an_address_of_the_loopback_interface_is_a_services_since_when_it_is_there(self):
        """Also among so many that the kernel tells of them in several pieces."""
        def change_all(verb):
            for i in range(1000):
                change_address(verb, "lo", f"93.184.{224 + i // 250}.{i % 250 + 1}")
        change_all("add")
        try:
            for address in ("93.184.224.1", "93.184.225.7", "93.184.227.250"):
                with Upstream(address, 80):
                    self.assert_dialed(self.gateway.dial(address, 80), address)
            if OWN:
                self.assert_refused(self.gateway.dial(OWN, 80), "address_refused", "this host itself")
        finally:
            change_all("del")
        self.assert_refused(self.gateway.dial("93.184.224.1", 80), "connect_failed", "unreachable")


class Pins(Case):
    def test_a_private_address_needs_a_pin(self):
        self.assert_refused(self.gateway.dial("private.test", 8080), "address_refused", "private")
        self.assert_dialed(self.gateway.dial("private.test", 8080, addresses=["10.0.0.0/8"]), PRIVATE)
        self.assert_dialed(self.gateway.dial(PRIVATE, 8080, addresses=[PRIVATE]), PRIVATE)
        self.assert_dialed(self.gateway.dial("private6.test", 8080, addresses=["fd00::/8"]), PRIVATE_6)

    def test_with_pins_everything_else_is_refused_also_what_is_public(self):
        for pins in ([], ["10.0.0.0/8"], ["93.184.216.35"], ["::/0"]):
            self.assert_refused(self.gateway.dial("public.test", 80, addresses=pins), "address_refused", "rule names")
        self.assert_dialed(self.gateway.dial("public.test", 80, addresses=["93.184.216.0/24"]), PUBLIC)
        self.assert_dialed(self.gateway.dial("mixed.test", 8080, addresses=["10.0.0.0/8"]), PRIVATE)

    def test_a_wide_pin_means_neither_metadata_nor_loopback(self):
        wide = ["0.0.0.0/0", "::/0", "169.254.0.0/16"]
        for name in ("metadata.test", "mapped-metadata.test", METADATA, "loop.test", "loop6.test", "127.0.0.1", "zero.test"):
            self.assert_refused(self.gateway.dial(name, 8080, addresses=wide), "address_refused")
        self.assert_dialed(self.gateway.dial("metadata.test", 8080, addresses=[METADATA]), METADATA)
        self.assert_dialed(self.gateway.dial("loop.test", 8080, addresses=["127.0.0.0/8"]), "127.0.0.1")
        self.assert_dialed(self.gateway.dial("loop6.test", 8080, addresses=["::1"]), "::1")
        self.assert_refused(self.gateway.dial("zero.test", 8080, addresses=["0.0.0.0"]), "address_refused")

    def test_a_pin_that_is_no_network_makes_the_ticket_worthless(self):
        self.assert_refused(self.gateway.dial("public.test", 80, addresses=["0.0.0.0/0", "any"]), "ticket_refused")


class Hosts(Case):
    def test_a_name_in_etc_hosts_is_not_asked_for_and_its_address_is_checked(self):
        asked = len(NAMES.asked)
        self.assert_dialed(self.gateway.dial("www.hosts.test", 80), PUBLIC)
        self.assert_refused(self.gateway.dial("db.internal", 8080), "address_refused", PRIVATE)
        self.assert_dialed(self.gateway.dial("db.internal", 8080, addresses=["10.0.0.0/8"]), PRIVATE)
        self.assert_dialed(self.gateway.dial("mixed.hosts.test", 80), PUBLIC_2)
        self.assert_refused(self.gateway.dial("localhost", 8080), "address_refused")
        self.assertEqual(len(NAMES.asked), asked)


class NameServers(Case):
    def test_names_without_an_address_are_said_to_be_unknown(self):
        for name in ("nowhere.test", "nodata.test"):
            self.assert_refused(self.gateway.dial(name, 80), "name_unknown", "has no address")

    def test_a_server_that_fails_is_not_taken_for_an_answer(self):
        self.assert_refused(self.gateway.dial("broken.test", 80), "name_unknown", "no name server")

    def test_one_kind_of_address_does_not_wait_for_the_other(self):
        self.assert_dialed(self.gateway.dial("half.test", 80), PUBLIC)
        self.assert_dialed(self.gateway.dial("half6.test", 80), PUBLIC_6)
        self.assert_dialed(self.gateway.dial("half-broken.test", 80), PUBLIC)

    def test_a_question_that_was_lost_is_asked_again(self):
        self.assert_dialed(self.gateway.dial("slow.test", 80), PUBLIC)

    def test_a_server_that_is_silent_costs_a_bounded_time_and_nobody_else_any(self):
        serials = [self.gateway.ask("silent.test", 80) for _ in range(100)]
        self.assert_works()
        for serial in serials:
            self.assert_refused(self.gateway.result(serial), "dial_timeout", "no name server answered in time")

    def test_an_answer_that_does_not_fit_comes_by_tcp(self):
        self.assert_dialed(self.gateway.dial("long.test", 80), PUBLIC)

    def test_answers_that_nobody_asked_for_are_not_believed(self):
        self.assert_dialed(self.gateway.dial("forged.test", 80), PUBLIC)

    def test_names_are_asked_for_from_changing_ports(self):
        NAMES.ports.clear()
        for serial in [self.gateway.ask(f"n{i}.test", 80) for i in range(100)]:
            self.gateway.result(serial)[2].close()
        for i in range(100, 200):
            self.gateway.dial(f"n{i}.test", 80)[2].close()
        self.assertGreater(len(NAMES.ports), 100)


class DeadNameServers(Case):
    config = f"network: {{resolvers: [127.0.0.1:{DEAD_DNS_PORT}]}}\n"

    def test_no_server_at_all_is_an_error_and_literals_still_work(self):
        self.assert_refused(self.gateway.dial("public.test", 80), "name_unknown", "no name server")
        self.assert_dialed(self.gateway.dial(PUBLIC, 80), PUBLIC)


class OneDeadNameServer(Case):
    config = f"network: {{resolvers: [127.0.0.1:{DEAD_DNS_PORT}, 127.0.0.1:{DNS_PORT}]}}\n"

    def test_the_next_server_is_asked(self):
        self.assert_works()


class SystemsNameServer(Case):
    config = "people: {}\n"

    def test_without_a_configuration_resolv_conf_says_who_is_asked(self):
        self.assert_dialed(self.gateway.dial("only-at-53.test", 80), PUBLIC)
        self.assert_refused(self.gateway.dial("public.test", 80), "name_unknown")


class Connecting(Case):
    def test_a_refused_connection_is_said_to_be(self):
        self.assert_refused(self.gateway.dial(PUBLIC, 4444), "connect_failed", "Connection refused")
        self.assert_refused(self.gateway.dial("all-refuse.test", 4444), "connect_failed", "Connection refused")

    def test_an_address_without_a_route_is_said_to_be(self):
        self.assert_refused(self.gateway.dial("93.184.217.1", 80), "connect_failed", "unreachable")

    def test_the_next_address_is_tried(self):
        self.assert_dialed(self.gateway.dial("unreachable.test", 80), PUBLIC)
        self.assert_dialed(self.gateway.dial("first-refuses.test", 80), PUBLIC_2)

    def test_an_address_that_hangs_does_not_hold_the_next_back(self):
        self.assert_dialed(self.gateway.dial("first-hangs.test", 81), PUBLIC_2)

    def test_a_host_that_hangs_costs_a_bounded_time_and_nobody_else_any(self):
        serials = [self.gateway.ask("hangs.test", 81) for _ in range(50)]
        self.assert_works()
        for serial in serials:
            self.assert_refused(self.gateway.result(serial), "dial_timeout", "not connected within 10 s")

    def test_many_at_once(self):
        serials = [self.gateway.ask("six.test", 80) for _ in range(300)]
        for serial in serials:
            self.assert_dialed(self.gateway.result(serial), PUBLIC_6)


class Tickets(Case):
    def sign(self, **more):
        return self.dialer.arbiter.sign(self.dialer.arbiter.ticket("public.test", 80, **more))

    def present(self, body, gateway=None):
        return (gateway or self.gateway).present(body)

    def assert_ticket_refused(self, body, word, gateway=None):
        self.assert_refused(self.present(body, gateway), "ticket_refused", word)

    def test_a_ticket_connects_once(self):
        body = self.sign()
        self.assertEqual(self.present(body)[0], "dialed")
        for _ in range(3):
            self.assert_ticket_refused(body, "it has been used")

    def test_a_ticket_connects_as_often_as_it_says(self):
        body = self.sign(connections=3)
        for _ in range(3):
            self.assertEqual(self.present(body)[0], "dialed")
        self.assert_ticket_refused(body, "it has been used")

    def test_of_one_ticket_used_many_times_at_once_only_one_connects(self):
        body = self.sign()
        serials = [self.gateway.send(DIAL, body) for _ in range(50)]
        results = [self.gateway.result(s) for s in serials]
        for r in results:
            if r[2] is not None:
                r[2].close()
        self.assertEqual([r[0] for r in results].count("dialed"), 1)

    def test_the_issuer_dials_under_a_number_that_no_gateway_can_have(self):
        issuer = self.dialer.join({"peer": "issuer"}, lambda sock: Gateway(sock, self.dialer, 0))
        for talk, other in ((issuer, self.gateway), (self.gateway, issuer)):
            body = self.sign(gateway=talk.number)
            self.assert_ticket_refused(body, "", other)
            self.assertEqual(self.present(body, talk)[0], "dialed")

    def test_a_use_counts_whatever_became_of_it(self):
        ticket = self.dialer.arbiter.ticket("private.test", 80)
        body = self.dialer.arbiter.sign(ticket)
        self.assert_refused(self.present(body), "address_refused")
        self.assert_ticket_refused(body, "it has been used")

    def test_a_ticket_is_good_for_what_it_says_and_nothing_else(self):
        changes = {"host": PRIVATE, "port": 22, "gateway": 2, "connections": 100, "expires_ms": 2 ** 50, "id": "new",
                   "sandbox": "sbx-2", "action_id": "act-2", "addresses": ["0.0.0.0/0"], "more": True}
        for name, value in changes.items():
            body = self.sign()
            body["ticket"][name] = value
            self.assert_ticket_refused(body, "did not sign")
            body = self.sign(addresses=[PRIVATE])
            del body["ticket"][name if name in body["ticket"] else "host"]
            self.assert_ticket_refused(body, "did not sign")
        self.assertEqual(self.present(self.sign())[0], "dialed")

    def test_a_forged_mac_is_refused(self):
        good = self.sign()
        for mac in ("", "0" * 64, good["mac"].upper(), good["mac"][:-1], good["mac"] + "0", None, 7, [],
                    good["mac"][:-1] + ("0" if good["mac"][-1] != "0" else "1")):
            self.assert_ticket_refused({"ticket": good["ticket"], "mac": mac}, "")
        self.assert_ticket_refused({"ticket": good["ticket"]}, "malformed")
        self.assert_ticket_refused({"mac": good["mac"]}, "malformed")
        self.assert_ticket_refused({}, "malformed")
        self.assert_ticket_refused({"ticket": [good["ticket"]], "mac": good["mac"]}, "malformed")
        own_key = self.dialer.arbiter.sign(good["ticket"], key="00" * 32)
        self.assert_ticket_refused(own_key, "did not sign")
        # None of these used the real one up.
        self.assertEqual(self.present(good)[0], "dialed")

    def test_an_expired_ticket_is_refused(self):
        now = int(time.time() * 1000)
        self.assert_ticket_refused(self.sign(expires_ms=now - 1), "expired")
        self.assert_ticket_refused(self.sign(expires_ms=0), "expired")
        self.assert_ticket_refused(self.sign(expires_ms=now + 24 * 3600 * 1000), "too long")
        self.assertEqual(self.present(self.sign(expires_ms=now + 60000))[0], "dialed")

    def test_another_gateways_ticket_is_refused(self):
        other = self.dialer.join_gateway(2)
        mine, others = self.sign(), self.sign(gateway=2)
        self.assert_ticket_refused(others, "another gateway", self.gateway)
        self.assert_ticket_refused(mine, "another gateway", other)
        self.assertEqual(self.present(mine)[0], "dialed")
        self.assertEqual(self.present(others, other)[0], "dialed")

    def test_a_gateway_that_comes_again_cannot_use_a_ticket_again(self):
        first = self.dialer.join_gateway(3)
        body = self.sign(gateway=3)
        self.assertEqual(self.present(body, first)[0], "dialed")
        second = self.dialer.join_gateway(3)
        self.assertTrue(first.is_closed())
        self.assert_ticket_refused(body, "it has been used", second)
        self.assertEqual(self.present(self.sign(gateway=3), second)[0], "dialed")


class Keys(unittest.TestCase):
    def setUp(self):
        self.dialer = Dialer(join=False)
        self.addCleanup(self.dialer.destroy)

    def test_before_a_key_came_every_ticket_is_refused(self):
        gateway = self.dialer.join_gateway(1)
        forged = Arbiter(None)
        body = forged.sign(forged.ticket("public.test", 80))
        self.assertEqual(gateway.present(body)[0], "ticket_refused")
        zeros = forged.sign(forged.ticket("public.test", 80), key="00" * 32)
        self.assertEqual(gateway.present(zeros)[0], "ticket_refused")
        self.dialer.join_arbiter()
        self.assertEqual(gateway.present(body),
                         ("ticket_refused", "the dialer refuses the ticket: the arbiter has not given it a key"))
        self.dialer.arbiter.send_key()
        self.assertEqual(gateway.present(body)[0], "dialed")

    def test_a_key_that_was_sent_before_a_ticket_counts_for_it(self):
        for _ in range(50):
            dialer = Dialer()
            try:
                self.assertEqual(dialer.gateway.code(PUBLIC, 80), "dialed")
            finally:
                dialer.destroy()

    def test_a_new_key_ends_the_old_ones_tickets(self):
        self.dialer.join_arbiter().send_key()
        gateway = self.dialer.join_gateway(1)
        old = self.dialer.arbiter.sign(self.dialer.arbiter.ticket("public.test", 80))
        self.dialer.arbiter.send_key("cd" * 32)
        self.assertEqual(gateway.code("public.test", 80), "dialed")
        self.assertEqual(gateway.present(old)[0], "ticket_refused")

    def test_when_the_arbiter_leaves_no_ticket_is_good_until_another_comes(self):
        self.dialer.join_arbiter().send_key()
        gateway = self.dialer.join_gateway(1)
        body = self.dialer.arbiter.sign(self.dialer.arbiter.ticket("public.test", 80))
        self.assertEqual(gateway.code("public.test", 80), "dialed")
        self.dialer.arbiter.close()
        self.assertEqual(gateway.present(body)[0], "ticket_refused")
        self.dialer.join_arbiter()
        self.assertEqual(gateway.present(body)[0], "ticket_refused")
        self.dialer.arbiter.send_key()
        self.assertEqual(gateway.present(body)[0], "dialed")

    def test_a_key_that_is_none_ends_the_conversation_and_opens_nothing(self):
        gateway = self.dialer.join_gateway(1)
        for key in ("", "00" * 31, "00" * 33, "zz" * 32, "AB" * 32, 7, None):
            arbiter = self.dialer.join_arbiter()
            arbiter.send_key()
            self.assertEqual(gateway.code(PUBLIC, 80), "dialed")
            arbiter.send(TICKET_KEY, {"key": key}, serial=0)
            self.assertTrue(arbiter.is_closed())
            self.assertEqual(gateway.code(PUBLIC, 80), "ticket_refused")
            body = arbiter.sign(arbiter.ticket(PUBLIC, 80), key="00" * 32)
            self.assertEqual(gateway.present(body)[0], "ticket_refused")


class TakenOver(Case):
    """What a gateway can try that was taken over: with the dialer it can do what its tickets say, and nothing else."""

    def setUp(self):
        self.bad = self.dialer.join_gateway(66)

    def assert_thrown_out(self):
        self.assertTrue(self.bad.is_closed())
        self.assert_works()

    def test_it_cannot_introduce_itself_as_somebody_else(self):
        self.assert_dialed(self.bad.dial(PUBLIC, 80), PUBLIC)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            self.bad.send(PEER_JOIN, {"peer": "arbiter"}, fds=[theirs.fileno()])
            self.assert_thrown_out()

    def test_it_cannot_give_a_key(self):
        self.bad.send(TICKET_KEY, {"key": "00" * 32})
        self.assert_thrown_out()
        self.bad = self.dialer.join_gateway(66)
        body = self.dialer.arbiter.sign(self.dialer.arbiter.ticket(PUBLIC, 80, gateway=66), key="00" * 32)
        self.assert_refused(self.bad.result(self.bad.send(DIAL, body)), "ticket_refused", "did not sign")

    def test_it_cannot_send_descriptors(self):
        with open("/dev/null", encoding="utf-8") as f:
            body = self.dialer.arbiter.sign(self.dialer.arbiter.ticket(PUBLIC, 80, gateway=66))
            self.bad.send(DIAL, body, fds=[f.fileno()])
        self.assert_thrown_out()

    def test_it_cannot_send_what_is_no_message(self):
        for packet in (b"", b"\0", b"GET / HTTP/1.1\r\n\r\n", struct.pack("<IHHII", MAGIC, DIAL, 0, 1, 5) + b"{}",
                       struct.pack("<IHHII", MAGIC, DIAL, 0, 1, 2) + b"[]" * 3,
                       struct.pack("<IHHII", MAGIC, DIAL, 0, 1, 1) + b"{",
                       struct.pack("<IHHII", MAGIC, 9999, 0, 1, 2) + b"{}",
                       struct.pack("<IHHII", MAGIC, DIALED, 0, 1, 2) + b"{}",
                       struct.pack("<IHHII", MAGIC, ERROR, 0, 1, 2) + b"{}",
                       struct.pack("<IHHII", MAGIC, STATUS, 0, 1, 2) + b"{}"):
            self.bad = self.dialer.join_gateway(66)
            self.bad.sock.send(packet)
            if packet:
                self.assert_thrown_out()

    def test_it_cannot_say_too_much(self):
        body = b'{"mac":"' + b"a" * 70000 + b'"}'
        self.bad.send(DIAL, body)
        self.assert_thrown_out()

    def test_deep_and_odd_bodies_are_refused_or_end_it(self):
        for body in (b'{"ticket":' + b"[" * 2000 + b"]" * 2000 + b"}", b'{"ticket":{"id":"\\u0000"},"mac":"' + b"0" * 64 + b'"}',
                     b'{"ticket":null,"mac":null}', b"[]", b'"x"', b"7", b'{"ticket":{},"ticket":{}}'):
            self.bad = self.dialer.join_gateway(66)
            serial = self.bad.send(DIAL, body)
            try:
                self.assertEqual(self.bad.result(serial)[0], "ticket_refused")
            except Closed:
                pass
            self.assert_works()

    def test_a_storm_of_forged_tickets_holds_nobody_up(self):
        forged = {"ticket": self.dialer.arbiter.ticket(PRIVATE, 22, gateway=66), "mac": "0" * 64}
        serials = []
        for _ in range(20):
            serials += [self.bad.send(DIAL, forged) for _ in range(100)]
            self.assert_works()
            for serial in serials:
                self.assert_refused(self.bad.result(serial), "ticket_refused")
            serials = []

    def test_it_has_its_share_of_dials_and_not_the_others(self):
        many = 1024
        serials = [self.bad.ask(PUBLIC_3, 81) for _ in range(many)]
        # The answer to one more tells that all before it were taken: it is the first to be refused.
        self.assert_refused(self.bad.dial(PUBLIC_3, 81), "connect_failed", "too many")
        self.assert_works()
        before = self.sockets()
        self.assertGreater(before, many // 2)
        self.bad.close()
        # Its conversation ended, and with it all that was done for it.
        deadline = time.monotonic() + WAIT
        while self.sockets() > 10 and time.monotonic() < deadline:
            self.assert_works()
        self.assertLess(self.sockets(), 10)
        self.assertEqual(len(serials), many)

    def sockets(self):
        """How many of TCP the dialer has."""
        have = set()
        for fd in os.listdir(f"/proc/{self.dialer.process.pid}/fd"):
            try:
                have.add(os.readlink(f"/proc/{self.dialer.process.pid}/fd/{fd}"))
            except FileNotFoundError:
                pass
        with open("/proc/net/tcp", encoding="ascii") as f:
            return sum(f"socket:[{line.split()[9]}]" in have for line in f.readlines()[1:])

    def test_one_that_never_reads_its_answers_is_thrown_out_and_leaves_nothing(self):
        pid = self.dialer.process.pid
        self.assert_works()
        before = len(os.listdir(f"/proc/{pid}/fd"))
        try:
            while True:
                self.bad.sock.settimeout(1)
                self.bad.ask(PUBLIC, 80)
                self.gateway.dial(PUBLIC, 80)[2].close()
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            pass
        self.bad.close()
        self.assert_works()
        deadline = time.monotonic() + WAIT
        while len(os.listdir(f"/proc/{pid}/fd")) > before and time.monotonic() < deadline:
            self.assert_works()
        self.assertLessEqual(len(os.listdir(f"/proc/{pid}/fd")), before)


class Joining(unittest.TestCase):
    def assert_ends(self, body, fds=True):
        dialer = Dialer()
        self.addCleanup(dialer.destroy)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            dialer.supervisor.send(PEER_JOIN, body, fds=[theirs.fileno()] if fds else [])
        self.assertEqual(dialer.wait(), 0)

    def test_the_dialer_leaves_with_its_supervisor(self):
        dialer = Dialer()
        self.addCleanup(dialer.destroy)
        self.assertEqual(dialer.gateway.code(PUBLIC, 80), "dialed")
        dialer.supervisor.close()
        self.assertEqual(dialer.wait(), 0)

    def test_a_peer_that_is_none_ends_it(self):
        for body in ({"peer": "vault"}, {"peer": "gateway"}, {"peer": "gateway", "gateway": -1}, {}, {"peer": "gateway",
                     "gateway": "1"}, {"peer": "gateway", "gateway": 2 ** 32}, {"peer": "gateway", "gateway": 0}):
            self.assert_ends(body)
        self.assert_ends({"peer": "arbiter"}, fds=False)

    def test_it_says_who_starts_it(self):
        r = subprocess.run([os.path.join(bin_dir(), "rf-dialer")], capture_output=True, text=True, check=False)
        self.assertEqual(r.returncode, 125)
        self.assertIn("started by rf-supervisor", r.stderr)

    def test_a_wrong_configuration_stops_it_with_its_place(self):
        with tempfile.TemporaryFile() as log:
            dialer = Dialer("network:\n  resolvers: [dns.example.org]\n", join=False, log=log)
            self.addCleanup(dialer.destroy)
            self.assertEqual(dialer.wait(), 125)
            log.seek(0)
            self.assertIn("config.yaml:2:15: network.resolvers[0]", log.read().decode())

    def test_root_without_an_id_to_become_is_refused(self):
        with tempfile.TemporaryFile() as log:
            dialer = Dialer(join=False, log=log, uid=0)
            self.addCleanup(dialer.destroy)
            self.assertEqual(dialer.wait(), 125)
            log.seek(0)
            self.assertIn("refuses to run as root", log.read().decode())


class Locks(Case):
    """Read back from /proc."""

    def setUp(self):
        self.assert_works()
        self.pid = self.dialer.process.pid
        with open(f"/proc/{self.pid}/status", encoding="ascii") as f:
            self.status = dict(line.rstrip("\n").split(":\t", 1) for line in f)

    def test_it_has_an_id_of_its_own_and_no_groups(self):
        uid = ORDINARY_UID if self.ordinary else DIALER_UID
        for name in ("Uid", "Gid"):
            self.assertEqual({int(n) for n in self.status[name].split()}, {uid})
        self.assertEqual(self.status["Groups"].strip(), "")

    def test_it_has_no_capabilities_and_gets_none(self):
        for name in ("Inh", "Prm", "Eff", "Amb"):
            self.assertEqual(int(self.status["Cap" + name], 16), 0, name)
        if not self.ordinary:
            self.assertEqual(int(self.status["CapBnd"], 16), 0)
        self.assertEqual(self.status["NoNewPrivs"], "1")

    def test_it_has_a_filter(self):
        self.assertEqual(self.status["Seccomp"], "2")
        self.assertEqual(self.status["Threads"], "1")

    def test_it_is_not_dumpable(self):
        self.assertEqual(os.stat(f"/proc/{self.pid}/mem").st_uid, 0)

    def test_its_root_is_an_empty_directory(self):
        place = os.path.realpath(self.dialer.state)
        self.assertEqual(os.readlink(f"/proc/{self.pid}/cwd"), place)
        self.assertEqual(os.readlink(f"/proc/{self.pid}/root"), "/" if self.ordinary else place)
        self.assertEqual(os.listdir(place), [])

    def test_it_holds_sockets_and_its_loop_only(self):
        for fd in os.listdir(f"/proc/{self.pid}/fd"):
            target = os.readlink(f"/proc/{self.pid}/fd/{fd}")
            if int(fd) > 2:
                self.assertTrue(target.startswith(("socket:", "anon_inode:[eventpoll]")), f"{fd} → {target}")

    def test_it_listens_nowhere(self):
        listening = set()
        for table in ("tcp", "tcp6"):
            with open(f"/proc/net/{table}", encoding="ascii") as f:
                listening |= {f"socket:[{line.split()[9]}]" for line in f.readlines()[1:] if line.split()[3] == "0A"}
        self.assertTrue(listening)
        for fd in os.listdir(f"/proc/{self.pid}/fd"):
            self.assertNotIn(os.readlink(f"/proc/{self.pid}/fd/{fd}"), listening)

    def test_it_is_static_and_maps_no_library(self):
        with open(f"/proc/{self.pid}/maps", encoding="ascii") as f:
            mapped = set(re.findall(r"/\S+\.so\S*", f.read()))
        if any("asan" in m for m in mapped):
            self.skipTest("a sanitizer's build is not static")
        self.assertEqual(mapped, set())


class OrdinaryLocks(Locks):
    """Without root it keeps its caller's id; all else holds."""
    ordinary = True


def prepare():
    global NAMES, TRAPS, OWN, KEEP
    for path, text in (("/etc/hosts", HOSTS), ("/etc/resolv.conf", "search example.org\nnameserver 127.0.0.1\n")):
        cover_file(path, text)
    OWN = "93.184.220.1" if add_own_address("93.184.220.1") else None
    NAMES = NameServer(ZONE)
    # Where nothing may ever arrive, on the port that everything is dialed at.
    TRAPS = [Upstream(a, 80) for a in (PRIVATE, PRIVATE_6, METADATA, "127.0.0.1", "::1")]
    KEEP = [NameServer({"only-at-53.test": [PUBLIC]}, port=53), BlackHole(PUBLIC_3, 81), Upstream(PUBLIC_2, 81)]
    KEEP += [Upstream(a, 80) for a in (PUBLIC, PUBLIC_2, PUBLIC_6)]
    KEEP += [Upstream(a, 8080) for a in (PRIVATE, PRIVATE_6, METADATA, "127.0.0.1", "::1")]


if __name__ == "__main__":
    in_a_network()
    prepare()
    unittest.main()
