#!/usr/bin/python3
"""The arbiter's part in an exchange: a ticket to an issuer, for the vault, while it holds back the grant of an allowed
action; for nobody else, to nowhere else, and never else."""

import hashlib
import hmac
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import test_arbiter_net as net  # noqa: E402

ISSUER_TICKET, ISSUER_TICKETED = 150, 151
CONFIG = "network: {issuers: [login.example.com, 'api.example.com:8443']}\n"


class Vault(net.FakeVault):
    """It also keeps what is neither asked of it nor revoked: (type, body) in .others."""

    def __init__(self, talk):
        self.others = []
        receive = talk.receive

        def keep(wait):
            kind, serial, body = receive(wait=wait)
            if kind not in (net.GRANT, net.REVOKE):
                self.others.append((kind, body))
            return kind, serial, body
        talk.receive = keep
        super().__init__(talk)


class Issuers(net.NetCase):
    def waiting(self):
        """(arbiter, gateway, the vault, the serial of a proposal whose grant it holds back, that grant)."""
        a, g, s = self.started(people=CONFIG)
        vault = Vault(self.join(a, "vault"))
        vault.silent = True
        serial = g.ask(s, net.http("GET", "api.example.net"))
        vault.wait_for(lambda v: v.held)
        return a, g, vault, serial, vault.grants[0]["grant"]

    def ask(self, vault, grant, host="login.example.com", port=443):
        """The answer's (type, body)."""
        before = len(vault.others)
        vault.talk.send(ISSUER_TICKET, {"grant": grant, "host": host, "port": port})
        vault.wait_for(lambda v: len(v.others) > before)
        return vault.others[-1]

    def test_a_ticket_is_for_the_issuer_alone_and_once(self):
        a, g, vault, serial, grant = self.waiting()
        dialer = self.join(a, "dialer")
        key = bytes.fromhex(dialer.receive()[2]["key"])
        kind, body = self.ask(vault, grant)
        self.assertEqual(kind, ISSUER_TICKETED)
        ticket = body["ticket"]
        canonical = json.dumps(ticket, sort_keys=True, separators=(",", ":")).encode()
        self.assertEqual(body["mac"], hmac.new(key, canonical, hashlib.sha256).hexdigest())
        self.assertEqual((ticket["gateway"], ticket["host"], ticket["port"], ticket["connections"], ticket["id"]),
                         (0, "login.example.com", 443, 1, grant))
        self.assertNotIn("addresses", ticket)
        note = a.ledger.wait_for("token-exchange", action=vault.grants[0]["action_id"])["data"]
        self.assertEqual(note, {"credential": "api-key", "host": "login.example.com", "port": 443})
        self.assertEqual(self.ask(vault, grant, "api.example.com", 8443)[1]["ticket"]["port"], 8443)
        vault.answer()
        self.assertEqual(g.expect(net.NET_VERDICT, serial)["state"], "performing")
        self.assertEqual(self.ask(vault, grant)[1]["error"]["code"], "grant_unknown")  # it has been granted

    def test_there_is_no_way_to_what_is_not_pinned_or_for_what_nobody_waits(self):
        _, g, vault, serial, grant = self.waiting()
        for host, port in (("login.example.com", 8443), ("api.example.com", 443), ("elsewhere.example.com", 443), ("", 443),
                           ("login.example.com", 0), ("login.example.com", 65536 + 443), ("login.example.com", -1),
                           ("LOGIN.example.com", 443), ("127.0.0.1", 443)):
            with self.subTest(host=host, port=port):
                self.assertEqual(self.ask(vault, grant, host, port)[1]["error"]["code"], "issuer_not_pinned")
        for other in ("", net.new_id(), "x"):
            self.assertEqual(self.ask(vault, other)[1]["error"]["code"], "grant_unknown")
        # The control; and an action that is withdrawn gets none any more.
        self.assertEqual(self.ask(vault, grant)[0], ISSUER_TICKETED)
        g.send(net.NET_WITHDRAW, {"action_id": vault.grants[0]["action_id"]}, serial=0)
        vault.wait_for(lambda v: v.revoked)
        self.assertEqual(self.ask(vault, grant)[1]["error"]["code"], "grant_unknown")

    def test_a_gateway_that_asks_loses_its_conversation(self):
        _, g, _, _, grant = self.waiting()
        g.send(ISSUER_TICKET, {"grant": grant, "host": "login.example.com", "port": 443})
        with self.assertRaises(net.Closed):
            while True:
                g.receive()


if __name__ == "__main__":
    unittest.main()
