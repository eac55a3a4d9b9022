#!/usr/bin/python3
"""rf-vault and rf-issuer, each by itself, at an exchange: whom they believe what, and what they do when the others lie, leave
or change their mind. The test plays everybody else over socket pairs."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import test_secrets as kit  # noqa: E402
import test_network_takeover as takeover  # noqa: E402
from arbiter_kit import WAIT, Closed, Talk, bin_dir  # noqa: E402
from puppet import Puppet, supported  # noqa: E402
from ring import file_text, wait_until  # noqa: E402
from test_secrets import CREDENTIAL, ERROR, GRANT, GRANTED, REVOKE, SECRET_LIST, SECRETS, VALUE  # noqa: E402

DIAL, DIALED = 120, 121
ISSUER_TICKET, ISSUER_TICKETED, ISSUER_WANTED, EXCHANGE, EXCHANGED = range(150, 155)
ISSUER_UID = 64006
CONFIG = "network: {issuers: [login.example.com, 'api.github.com:443']}\n"
OAUTH = {"url": "https://login.example.com/token", "client_id": "me"}
PEM = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----"
TICKET = {"ticket": {"id": "t"}, "mac": "ab" * 32}


def later(seconds=3600):
    return int(time.time() * 1000) + seconds * 1000


@unittest.skipUnless(os.geteuid() == 0, "gives the vault a uid of its own")
class Vault(unittest.TestCase):
    def setUp(self):
        self.vault = kit.Vault(CONFIG)
        self.addCleanup(self.vault.destroy)
        self.gateway = self.vault.join("gateway", gateway=0, tenant="default")
        self.arbiter = self.vault.arbiter
        self.vault.set(**{"as": "oauth", "exchange": OAUTH})
        self.arbiter.expect(kit.SECRET_CHANGED)
        self.issuer = None

    def ask(self, **more):
        """Asks for a grant; (its body, its serial)."""
        body = self.vault.grant_body(**more)
        return body, self.arbiter.send(GRANT, body)

    def ticket(self, issuer=True):
        """Up to the exchange: its serial and body, as rf-issuer gets it."""
        kind, serial, body = self.arbiter.receive()
        self.assertEqual(kind, ISSUER_TICKET, body)
        self.arbiter.send(ISSUER_TICKETED, TICKET, serial)
        if not issuer:
            return body
        if self.issuer is None:
            self.vault.supervisor.expect(ISSUER_WANTED)
            self.issuer = self.vault.join("issuer")
        kind, serial, asked = self.issuer.receive()
        self.assertEqual(kind, EXCHANGE)
        return serial, asked

    def refusal(self, serial):
        return self.arbiter.expect(ERROR, serial)["error"]

    def assertNothingGiven(self):
        self.vault.list()  # it has had its turn
        self.assertTrue(self.gateway.quiet())

    def test_one_exchange_is_for_all_that_wait_and_that_come_later(self):
        first, serial = self.ask()
        second, serial_2 = self.ask(target={"kind": "git"})
        exchange, asked = self.ticket()
        self.assertEqual(asked, {"as": "oauth", "parameters": OAUTH, "secret": VALUE, **TICKET})
        self.assertNothingGiven()
        self.issuer.send(EXCHANGED, {"token": "a-token-of-theirs", "expires_ms": later()}, exchange)
        for body, s in ((first, serial), (second, serial_2), self.ask()):
            given = self.gateway.expect(CREDENTIAL)
            self.assertEqual((given["grant"], given["value"], given["apply"]), (body["grant"], "a-token-of-theirs", {"as": "bearer"}))
            self.assertEqual(self.arbiter.expect(GRANTED, s), {"grant": body["grant"], "version": 1})
        self.vault.list()
        self.assertTrue(self.issuer.quiet() and self.arbiter.quiet())

    def test_a_github_token_is_a_password_for_git_and_a_bearer_for_its_api(self):
        parameters = {"url": "https://api.github.com", "app_id": "1", "installation": "2"}
        self.vault.set("gh", PEM, **{"as": "github-app", "exchange": parameters})
        self.arbiter.expect(kit.SECRET_CHANGED)
        self.ask(credential="gh", target={"kind": "git"})
        exchange, asked = self.ticket()
        self.assertEqual((asked["secret"], asked["parameters"]), (PEM, parameters))
        self.issuer.send(EXCHANGED, {"token": "ghs_12345678", "expires_ms": later()}, exchange)
        self.assertEqual(self.gateway.expect(CREDENTIAL)["apply"], {"as": "basic", "user": "x-access-token"})
        self.ask(credential="gh")
        self.assertEqual(self.gateway.expect(CREDENTIAL)["apply"], {"as": "bearer"})

    def test_the_binding_holds_before_anybody_is_asked(self):
        for target in ({"host": "other.example.com"}, {"scheme": "http", "port": 80}, {"kind": "net"}):
            _, serial = self.ask(target=target)
            self.assertEqual(self.refusal(serial)["code"], "credential_not_bound")
        self.assertTrue(self.arbiter.quiet() and self.vault.supervisor.quiet())

    def test_the_secret_stays_while_there_is_no_ticket(self):
        _, serial = self.ask()
        self.vault.supervisor.expect(ISSUER_WANTED)
        issuer = self.vault.join("issuer")
        kind, asked, body = self.arbiter.receive()
        self.assertEqual((kind, body["host"], body["port"]), (ISSUER_TICKET, "login.example.com", 443))
        self.vault.list()
        self.assertTrue(issuer.quiet())
        self.arbiter.send(ERROR, {"error": {"code": "issuer_not_pinned", "message": "no", "remedy": ""}}, asked)
        self.assertEqual(self.refusal(serial)["code"], "issuer_not_pinned")
        self.vault.list()
        self.assertTrue(issuer.quiet())

    def test_a_grant_that_is_revoked_while_it_waits_is_not_given(self):
        for member in ("grant", "sandbox", "credential"):
            with self.subTest(member):
                body, serial = self.ask()
                exchange, _ = self.ticket()
                self.arbiter.send(REVOKE, {member: body[member]}, serial=0)
                self.assertEqual(self.refusal(serial)["code"], "grant_revoked")
                self.issuer.send(EXCHANGED, {"token": "a-token-of-theirs", "expires_ms": later(1)}, exchange)
                self.assertNothingGiven()
                self.vault.set(**{"as": "oauth", "exchange": OAUTH})  # forgets the token
                self.arbiter.expect(kit.SECRET_CHANGED)

    def test_the_next_that_waits_asks_for_a_ticket_when_the_first_has_gone(self):
        first, serial = self.ask()
        second, serial_2 = self.ask()
        self.vault.supervisor.expect(ISSUER_WANTED)
        kind, asked, body = self.arbiter.receive()
        self.assertEqual((kind, body["grant"]), (ISSUER_TICKET, first["grant"]))
        self.arbiter.send(ERROR, {"error": {"code": "grant_unknown", "message": "no", "remedy": ""}}, asked)
        self.assertEqual(self.refusal(serial)["code"], "grant_unknown")
        self.assertEqual(self.arbiter.expect(ISSUER_TICKET)["grant"], second["grant"])
        self.assertTrue(self.gateway.quiet())
        del serial_2

    def test_a_secret_that_changes_meanwhile_is_not_what_was_exchanged(self):
        _, serial = self.ask()
        exchange, _ = self.ticket()
        self.vault.set(value="another secret", **{"as": "oauth", "exchange": OAUTH})
        self.assertEqual(self.refusal(serial)["code"], "grant_revoked")
        self.issuer.send(EXCHANGED, {"token": "the-token-of-before", "expires_ms": later()}, exchange)
        self.assertNothingGiven()
        self.arbiter.expect(kit.SECRET_CHANGED)
        self.ask()
        exchange, asked = self.ticket()
        self.assertEqual(asked["secret"], "another secret")

    def test_an_issuer_that_lies_gives_nothing(self):
        for answer in ({}, {"token": "short12", "expires_ms": later()}, {"token": "with\r\nlines", "expires_ms": later()},
                       {"token": "with spaces", "expires_ms": later()}, {"token": 12345678, "expires_ms": later()},
                       {"token": "a-token-of-theirs"}, {"token": "a-token-of-theirs", "expires_ms": later(-1)},
                       {"token": "a-token\0of-theirs", "expires_ms": later()}):
            with self.subTest(answer):
                _, serial = self.ask()
                exchange, _ = self.ticket()
                self.issuer.send(EXCHANGED, answer, exchange)
                self.assertEqual(self.refusal(serial)["code"], "issuer_invalid")
                self.assertNothingGiven()
                _, serial = self.ask()  # a failure is kept for a moment
                self.assertEqual(self.refusal(serial)["code"], "issuer_invalid")
                self.vault.set(**{"as": "oauth", "exchange": OAUTH})
                self.arbiter.expect(kit.SECRET_CHANGED)
        _, serial = self.ask()
        exchange, _ = self.ticket()
        self.issuer.send(EXCHANGED, {"token": "a-token-of-theirs", "expires_ms": later()}, exchange + 1)
        self.assertNothingGiven()
        self.issuer.send(EXCHANGED, {"token": "a-token-of-theirs", "expires_ms": later()}, exchange)  # the control
        self.gateway.expect(CREDENTIAL)

    def test_an_issuer_that_ends_or_cannot_be_had(self):
        _, serial = self.ask()
        self.ticket()
        self.issuer.close()
        self.assertEqual(self.refusal(serial)["code"], "issuer_unreachable")
        self.vault.set(**{"as": "oauth", "exchange": OAUTH})
        self.arbiter.expect(kit.SECRET_CHANGED)
        _, serial = self.ask()
        self.vault.supervisor.expect(ISSUER_WANTED)
        self.vault.supervisor.send(ERROR, {"error": {"code": "issuer_unreachable", "message": "no", "remedy": ""}}, 0)
        self.assertEqual(self.refusal(serial)["code"], "issuer_unreachable")

    def test_an_issuer_that_asks_for_something_loses_its_conversation(self):
        for kind, body in ((SECRET_LIST, {}), (GRANT, self.vault.grant_body()), (ISSUER_TICKETED, TICKET), (EXCHANGE, {})):
            issuer = self.vault.join("issuer")
            issuer.send(kind, body)
            with self.assertRaises(Closed):
                issuer.receive()

    def test_an_arbiter_that_is_replaced_is_not_told_of_what_the_other_asked(self):
        self.ask()
        exchange, _ = self.ticket()
        self.arbiter = self.vault.arbiter = self.vault.join("arbiter")
        self.vault.list()
        self.issuer.send(EXCHANGED, {"token": "a-token-of-theirs", "expires_ms": later()}, exchange)
        self.assertNothingGiven()
        self.assertTrue(self.arbiter.quiet())
        body, serial = self.ask()
        exchange, _ = self.ticket()
        self.issuer.send(EXCHANGED, {"token": "a-token-of-theirs", "expires_ms": later()}, exchange)
        self.assertEqual(self.arbiter.expect(GRANTED, serial)["grant"], body["grant"])

    def test_what_is_set_names_a_pinned_issuer_and_is_listed_without_a_value(self):
        for exchange in ({**OAUTH, "url": "https://elsewhere.example.com/"}, {**OAUTH, "url": "https://login.example.com:444/"}):
            said = self.vault.set("x", reply=ERROR, **{"as": "oauth", "exchange": exchange})["error"]
            self.assertEqual(said["code"], "issuer_not_pinned")
        for more in ({"as": "oauth"}, {"as": "oauth", "exchange": []}, {"as": "bearer", "exchange": OAUTH},
                     {"as": "oauth", "exchange": OAUTH, "user": "x"}, {"as": "oauth", "exchange": {**OAUTH, "more": 1}}):
            self.assertEqual(self.vault.set("x", reply=ERROR, **more)["error"]["code"], "secret_invalid", more)
        listed = self.vault.list()["secrets"]
        self.assertEqual([(s["name"], s["exchange"]) for s in listed], [("token", OAUTH)])
        self.assertNotIn(VALUE, json.dumps(listed))
        self.assertNotIn(VALUE.encode(), self.vault.log_text())


@unittest.skipUnless(os.geteuid() == 0, "gives the issuer a uid of its own")
class Issuer(unittest.TestCase):
    """rf-issuer: a vault that was taken over cannot have it ask anybody else."""

    def setUp(self):
        self.process, self.ends = None, {}
        self.directory = tempfile.mkdtemp(prefix="rf-issuer-")
        self.addCleanup(shutil.rmtree, self.directory)
        os.chmod(self.directory, 0o755)
        self.start(CONFIG)

    def start(self, config):
        path, state = (os.path.join(self.directory, name) for name in ("config.yaml", "issuer"))
        with open(path, "w", encoding="utf-8") as f:
            f.write(config)
        os.makedirs(state, exist_ok=True)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        files = [theirs.fileno(), os.open(state, os.O_RDONLY), os.open(path, os.O_RDONLY)]

        def arrange():
            high = [os.dup2(fd, 200 + i) for i, fd in enumerate([os.dup(fd) for fd in files])]
            for to, fd in zip((3, 4, 7), high):
                os.dup2(fd, to)
        self.process = subprocess.Popen([os.path.join(bin_dir(), "rf-issuer"), "--uid", str(ISSUER_UID), "--gid", str(ISSUER_UID)],
                                        env={}, preexec_fn=arrange, pass_fds=(3, 4, 7), stderr=subprocess.DEVNULL)
        for fd in files[1:]:
            os.close(fd)
        theirs.close()
        self.supervisor = Talk(ours)
        self.vault, self.dialer = self.join("vault"), self.join("dialer")
        self.addCleanup(self.stop, self.process, self.supervisor)

    def stop(self, process, supervisor):
        supervisor.close()
        self.assertEqual(process.wait(WAIT), self.ends.get(process.pid, 0))

    def join(self, peer):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.supervisor.send(kit.PEER_JOIN, {"peer": peer}, serial=0, fds=[theirs.fileno()])
        theirs.close()
        talk = Talk(ours)
        self.addCleanup(talk.close)
        return talk

    @staticmethod
    def ask(**more):
        return {"as": "oauth", "parameters": OAUTH, "secret": VALUE, **TICKET, **more}

    def test_it_dials_with_the_ticket_that_it_was_given_and_says_what_the_dialer_says(self):
        serial = self.vault.send(EXCHANGE, self.ask())
        kind, dial, body = self.dialer.receive()
        self.assertEqual((kind, body), (DIAL, TICKET))
        self.dialer.send(ERROR, {"error": {"code": "name_unknown", "message": "nobody knows it", "remedy": ""}}, dial)
        said = self.vault.expect(ERROR, serial)["error"]
        self.assertEqual((said["code"], said["message"]), ("issuer_unreachable", "issuer login.example.com: nobody knows it"))

    def test_it_asks_no_issuer_that_is_not_pinned_and_nothing_but_what_is_known(self):
        for more, code in (({"parameters": {**OAUTH, "url": "https://elsewhere.example.com/token"}}, "issuer_not_pinned"),
                           ({"parameters": {**OAUTH, "url": "https://login.example.com:8443/token"}}, "issuer_not_pinned"),
                           ({"parameters": {**OAUTH, "url": "https://login.example.com@elsewhere/"}}, "secret_invalid"),
                           ({"parameters": {**OAUTH, "url": "http://login.example.com/token"}}, "secret_invalid"),
                           ({"parameters": {**OAUTH, "client_id": "x\r\ny"}}, "secret_invalid"), ({"parameters": None}, "secret_invalid"),
                           ({"as": "bearer"}, "secret_invalid"), ({"as": ""}, "secret_invalid")):
            with self.subTest(more):
                self.assertEqual(self.vault.error(EXCHANGE, self.ask(**more))["code"], code)
        self.assertTrue(self.dialer.quiet())

    def test_without_pins_it_asks_nobody(self):
        self.start("")
        self.assertEqual(self.vault.error(EXCHANGE, self.ask())["code"], "issuer_not_pinned")
        self.assertTrue(self.dialer.quiet())

    def test_a_connection_that_is_not_the_issuer_hears_nothing_of_the_secret(self):
        serial = self.vault.send(EXCHANGE, self.ask())
        _, dial, _ = self.dialer.receive()
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                self.dialer.send(DIALED, {"address": "192.0.2.1", "port": 443, "addresses": 1}, dial, fds=[theirs.fileno()])
            heard = ours.recv(65536)
            self.assertEqual(heard[0], 22)  # a ClientHello
            ours.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            self.assertEqual(self.vault.expect(ERROR, serial)["error"]["code"], "issuer_unreachable")
            while data := ours.recv(65536):
                heard += data
        self.assertNotIn(VALUE.encode(), heard)
        self.assertNotIn(b"POST", heard)

    def test_many_at_once_have_a_bound_and_a_dialer_that_ends_fails_them(self):
        serials = [self.vault.send(EXCHANGE, self.ask()) for _ in range(40)]
        refused = [self.vault.expect(ERROR)["error"] for _ in range(8)]
        self.assertEqual({e["message"] for e in refused}, {"too many exchanges are under way"})
        self.dialer.close()
        ended = [self.vault.expect(ERROR)["error"] for _ in range(len(serials) - 8)]
        self.assertEqual({e["code"] for e in ended}, {"issuer_unreachable"})
        self.assertIn("no dialer", self.vault.error(EXCHANGE, self.ask())["message"])
        self.dialer = self.join("dialer")
        self.vault.send(EXCHANGE, self.ask())
        self.dialer.expect(DIAL)

    def test_who_says_something_else_loses_the_conversation(self):
        for peer, kind in (("vault", DIALED), ("vault", SECRET_LIST), ("dialer", EXCHANGE), ("dialer", SECRETS)):
            talk = self.join(peer)
            talk.send(kind, self.ask())
            with self.assertRaises(Closed):
                talk.receive()
        self.vault, self.dialer = self.join("vault"), self.join("dialer")
        self.vault.send(EXCHANGE, self.ask())
        self.dialer.expect(DIAL)

    @unittest.skipUnless(supported(), "system calls cannot be made in another process here")
    def test_taken_over_it_can_make_no_call_that_leads_anywhere(self):
        for name, arguments, control in takeover.CALLS:
            with self.subTest(name=name, arguments=arguments):
                self.start(CONFIG)
                self.assertEqual(self.vault.error(EXCHANGE, self.ask(parameters={}))["code"], "secret_invalid")  # its locks are on
                wait_until(lambda: file_text(f"/proc/{self.process.pid}/syscall").split(" ")[0] in ("232", "281"), "it waits")
                with Puppet(self.process.pid) as puppet:
                    answer = puppet.call(name, *arguments)
                self.assertFalse(takeover.allowed(answer), answer)
                if answer == Puppet.KILLED:  # and its end was told to the puppeteer
                    self.ends[self.process.pid] = self.process.wait(WAIT)
                if control:
                    self.assertTrue(takeover.Calls.control(self, name, arguments), "the control fails")

    def test_it_says_who_starts_it(self):
        r = subprocess.run([os.path.join(bin_dir(), "rf-issuer")], capture_output=True, text=True, check=False)
        self.assertEqual(r.returncode, 125)
        self.assertIn("started by rf-supervisor", r.stderr)


if __name__ == "__main__":
    unittest.main()
