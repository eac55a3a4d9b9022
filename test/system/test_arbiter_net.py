#!/usr/bin/env python3
"""rf-arbiter at the network boundary, by its packets: gateways, the dialer and the vault are played by the test,
the arbiter and its locks are real. Needs root: people are real uids."""

import hashlib
import hmac
import json
import socket
import sqlite3
import os
import tempfile
import unittest
import uuid

from arbiter_kit import *
from test_arbiter import Case

RULES = """version: 1
name: web
sandbox: {workspace: none}
review: {approvals: [operator], timeout: %(timeout)s}
%(more)s
rules:
  - {name: read, allow: http, hosts: [example.com, "**.example.com"], methods: [GET, HEAD], schemes: [https, http],
     limits: {response: 1MiB, time: 5s}}
  - {name: ws, allow: http, hosts: [example.com], methods: [GET], paths: [/ws], upgrades: [websocket]}
  - {name: post, allow: http, hosts: [example.com], methods: [POST], paths: [/in/**], limits: {body: 1KiB}}
  - {name: held, review: http, hosts: [example.com], methods: [POST, PUT], paths: [/held/**]}
  - {name: api, allow: http, hosts: [api.example.net], methods: [GET], credential: api-key, addresses: [10.0.0.0/8]}
  - {name: held-api, review: http, hosts: [api.example.net], methods: [DELETE], credential: api-key}
  - {name: db, allow: net, hosts: [db.example.com], ports: [5432], limits: {bytes: 10MiB}}
  - {name: fetch, allow: git, hosts: [git.example.com], repositories: [acme/*], operations: [fetch]}
  - {name: push, allow: git, hosts: [git.example.com], repositories: [acme/app], operations: [push], branches: [agent/**]}
  - {name: push-main, review: git, hosts: [git.example.com], repositories: [acme/app], operations: [push],
     branches: [main]}
"""


def rules(timeout="15m", more=""):
    return RULES % {"timeout": timeout, "more": more}


def new_id():
    """Looks like a UUIDv7; the arbiter asks for no more than the shape."""
    return str(uuid.uuid4())


def http(method="GET", host="example.com", path="/", **more):
    request = {"scheme": "https", "host": host, "port": 443, "method": method, "path": path, "query": "",
               "headers": {"accept": "*/*"}, "body_bytes": 0}
    request.update(more)
    return {"kind": "http", "target": "x", "request": request}


def body_of(text):
    return {"body_bytes": len(text), "body_sha256": hashlib.sha256(text).hexdigest()}


def net(host="db.example.com", port=5432):
    return {"kind": "net", "target": "x", "request": {"host": host, "port": port, "protocol": "tcp"}}


def git(operation, repository="acme/app", *refs, **more):
    request = {"host": "git.example.com", "repository": repository, "operation": operation,
               "refs": [{"name": "refs/heads/" + r, "force": False, "delete": False} for r in refs]}
    request.update(more)
    return {"kind": "git", "target": "x", "request": request}


class Gateway(Talk):
    number = 0

    def ask(self, sandbox, action):
        """The serial of the proposal."""
        return self.send(NET_PROPOSE, {"sandbox": sandbox, "action": action})

    def verdict(self, sandbox, action):
        return self.expect(NET_VERDICT, self.ask(sandbox, action))

    def refusal(self, sandbox, action):
        return self.expect(ERROR, self.ask(sandbox, action))["error"]

    def settle(self, verdict, state="succeeded", outcome=None):
        self.send(NET_SETTLE, {"action_id": verdict["action_id"], "state": state, "outcome": outcome or {}}, serial=0)

    def reach(self, sandbox, host, port=None):
        body = {"sandbox": sandbox, "host": host}
        if port is not None:
            body["port"] = port
        return self.call(NET_REACH, body, NET_REACHED)


class NetCase(Case):
    def join(self, a, peer, kind=Talk, **more):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        a.supervisor.send(PEER_JOIN, dict(more, peer=peer), serial=0, fds=[theirs.fileno()])
        theirs.close()
        talk = kind(ours)
        a.people.append(talk)  # closed with it
        return talk

    def gateway(self, a, number=1):
        g = self.join(a, "gateway", Gateway, gateway=number)
        g.number = number
        return g

    def activate(self, a, text):
        person = a.person(0)
        with tempfile.TemporaryFile() as f:
            f.write(text.encode())
            f.flush()
            serial = person.send(POLICY_ACTIVATE, {}, fds=[f.fileno()])
        return person.expect(POLICY_STATE, serial)

    def open(self, a, gateway, policy=None, task=None, requester=ALICE, reply=OK):
        """A sandbox that GATEWAY speaks for; its id."""
        sandbox = new_id()
        answer = a.supervisor.call(NET_OPEN, {
            "sandbox": sandbox, "task": task or new_id(), "policy": policy or {"name": "web"},
            "requester_uid": requester, "gateway": gateway.number}, reply)
        return sandbox if reply == OK else answer["error"]

    def started(self, text=None, **options):
        a = self.arbiter(**options)
        self.activate(a, text or rules())
        g = self.gateway(a)
        return a, g, self.open(a, g)


class Reach(NetCase):
    def test_reach_is_what_the_sandboxs_policy_could_permit(self):
        a, g, s = self.started()
        self.assertEqual(g.reach(s, "example.com"), {"reach": True})
        self.assertEqual(g.reach(s, "example.org"), {"reach": False})
        none = {"reach": False, "raw": False, "plain": False, "intercept": False, "git": False}
        self.assertEqual(g.reach(s, "example.com", 443), dict(none, reach=True, intercept=True))
        self.assertEqual(g.reach(s, "example.com", 80), dict(none, reach=True, plain=True))
        self.assertEqual(g.reach(s, "db.example.com", 5432), dict(none, reach=True, raw=True))
        self.assertEqual(g.reach(s, "git.example.com", 443), dict(none, reach=True, intercept=True, git=True))
        for host, port in (("example.com", 22), ("example.com", 0x10000 + 443), ("example.com", -1),
                           ("EXAMPLE.com.", 443), ("", 443), ("x" * 5000, 443)):
            self.assertEqual(g.reach(s, host, port), none, host)
        self.assertEqual(g.reach(new_id(), "example.com"), {"reach": False})
        self.assertNotIn("decision", a.ledger.events())

    def test_another_generation_is_told_and_decides_at_once(self):
        a, g, s = self.started()
        other = self.open(a, g, {"name": "workspace"})
        self.activate(a, rules().replace('example.com, "**.example.com"', "other.example"))
        self.assertEqual(g.expect(NET_CHANGED), {"sandbox": s})
        self.assertEqual(g.reach(s, "other.example"), {"reach": True})
        self.assertEqual(g.verdict(s, http("GET"))["state"], "denied")
        self.assertEqual(g.verdict(s, http("GET", "other.example"))["state"], "performing")
        person = a.person(0)
        person.call(POLICY_ROLLBACK, {"name": "web"}, POLICY_STATE)
        self.assertEqual(g.expect(NET_CHANGED), {"sandbox": s})
        self.assertEqual(g.verdict(s, http("GET"))["state"], "performing")
        self.assertTrue(g.quiet())
        self.assertEqual(g.reach(other, "example.com"), {"reach": False})


class Binding(NetCase):
    def test_a_gateway_speaks_for_its_own_sandboxes_only(self):
        for kind, body in ((NET_PROPOSE, {"action": http()}), (NET_REACH, {"host": "example.com"}),
                           (NET_NOTE, {"event": "name-denied", "data": {}})):
            with self.subTest(kind):
                a, g, s = self.started()
                h = self.gateway(a, 2)
                t = self.open(a, h)
                self.assertEqual(h.verdict(t, http())["state"], "performing")  # the control
                h.send(kind, dict(body, sandbox=s))
                with self.assertRaises(Closed):
                    h.receive()
                self.assertEqual(g.verdict(s, http())["state"], "performing")
                self.assertEqual(len([r for r in a.ledger.records if r["event"] == "decision"]), 2)

    def test_a_gateway_settles_and_withdraws_its_own_actions_only(self):
        for kind, more in ((NET_SETTLE, {"state": "succeeded"}), (NET_WITHDRAW, {})):
            with self.subTest(kind):
                a, g, s = self.started()
                v = g.verdict(s, http())
                h = self.gateway(a, 2)
                h.send(kind, dict(more, action_id=v["action_id"]))
                with self.assertRaises(Closed):
                    h.receive()
                g.settle(v)
                a.ledger.wait_for("settled", action=v["action_id"])

    def test_the_supervisor_neither_claims_nor_settles_a_gateways_action(self):
        a, g, s = self.started()
        v = g.verdict(s, http())
        self.assertEqual(a.supervisor.expect(ERROR, a.claim(v))["error"]["code"], "action_unknown")
        a.settle(v, "failed")
        a.supervisor.send(WITHDRAW, {"action_id": v["action_id"]}, serial=0)
        g.settle(v, "succeeded")
        self.assertEqual(a.ledger.wait_for("settled")["data"]["state"], "succeeded")

    def test_who_asked_comes_from_the_binding(self):
        a = self.arbiter()
        self.activate(a, rules())
        g = self.gateway(a)
        task = new_id()
        s = self.open(a, g, task=task, requester=BOB)
        action = dict(http(), task=new_id(), sandbox=new_id(), principal="root", tenant="other", effect="read",
                      facts={"rows_estimated": 1}, reversible=True, state="succeeded", epoch=7)
        action["request"]["method"] = "POST"
        action["request"]["path"] = "/in/x"
        v = g.verdict(s, action)
        record = a.ledger.wait_for("decision", action=v["action_id"])
        self.assertEqual(record["task"], task)
        data = record["data"]
        self.assertEqual((data["requester"], data["sandbox"], data["effect"], data["target"]),
                         (BOB, s, "write", "https://example.com"))
        self.assertNotIn("tenant", data)
        self.assertNotIn("principal", data)
        self.assertEqual(v["ticket"]["sandbox"], s)

    def test_only_network_actions_in_their_shape_are_decided(self):
        a, g, s = self.started()
        for action, word in ((exec_action("true"), "net, http and git"), ({}, "net, http and git"),
                             ({"kind": "http"}, "missing"), (http(surprise=1), "unknown member"),
                             (http(headers={"Cookie": "x"}), "lower case"), (net(port=0), "out of range"),
                             (commit_action("/x"), "net, http and git"), (http(path="relative"), "absolute")):
            self.assertIn(word, g.refusal(s, action)["message"])
        self.assertNotIn("decision", a.ledger.events())
        self.assertEqual(g.verdict(s, http())["state"], "performing")

    def test_a_sandbox_that_is_not_bound_is_no_fault_but_gets_nothing(self):
        a, g, s = self.started()
        a.supervisor.send(NET_CLOSE, {"sandbox": s}, serial=0)
        a.supervisor.call(POLICY_VIEW, {"policy": {"name": "web"}}, POLICY_VIEWED)
        self.assertEqual(g.refusal(s, http())["code"], "sandbox_unknown")
        self.assertEqual(g.refusal(new_id(), http())["code"], "sandbox_unknown")
        self.assertEqual(g.reach(s, "example.com"), {"reach": False})

    def test_what_cannot_be_bound_is_refused(self):
        a, g, s = self.started()
        task = new_id()
        self.open(a, g, task=task)
        self.assertEqual(self.open(a, g, task=task, requester=BOB, reply=ERROR)["code"], "task_not_yours")
        self.assertEqual(self.open(a, g, {"name": "nothing"}, reply=ERROR)["code"], "policy_unknown")
        self.assertEqual(self.open(a, g, {"hash": "0" * 64}, reply=ERROR)["code"], "policy_unknown")
        unknown = Gateway(g.sock)
        unknown.number = 9
        self.assertEqual(self.open(a, unknown, reply=ERROR)["code"], "gateway_unknown")
        again = {"sandbox": s, "task": task, "policy": {"name": "web"}, "requester_uid": ALICE, "gateway": 1}
        self.assertEqual(a.supervisor.error(NET_OPEN, again)["code"], "sandbox_known")
        self.assertEqual(a.supervisor.error(NET_OPEN, dict(again, sandbox="x"))["code"], "sandbox_invalid")

    def test_a_policy_from_a_file_stays_what_it_is(self):
        a = self.arbiter()
        g = self.gateway(a)
        text = rules()
        with tempfile.TemporaryFile() as f:
            f.write(text.encode())
            f.flush()
            serial = a.supervisor.send(POLICY_VIEW, {"policy": {"file": "p"}}, fds=[f.fileno()])
        viewed = a.supervisor.expect(POLICY_VIEWED, serial)
        self.assertEqual(viewed["sandbox"]["network"], {"ports": [80, 443, 5432], "proxy_port": 3128})
        s = self.open(a, g, {"hash": viewed["policy"]})
        self.activate(a, "version: 1\nname: web\nrules: []\n")
        self.assertEqual(g.verdict(s, http())["state"], "performing")
        self.assertTrue(g.quiet())

    def test_what_waits_under_a_policy_from_a_file_goes_on_when_its_name_is_activated(self):
        a = self.arbiter()
        g = self.gateway(a)
        with tempfile.TemporaryFile() as f:
            f.write(rules().encode())
            f.flush()
            serial = a.supervisor.send(POLICY_VIEW, {"policy": {"file": "p"}}, fds=[f.fileno()])
        s = self.open(a, g, {"hash": a.supervisor.expect(POLICY_VIEWED, serial)["policy"]})
        serial = g.ask(s, http("PUT", path="/held/x"))
        held = g.expect(NET_VERDICT, serial)
        self.activate(a, "version: 1\nname: web\nrules: []\n")
        a.person(BOB).call(REVIEW_APPROVE, {"review_id": held["review_id"]}, REVIEWS)
        self.assertEqual(g.expect(NET_VERDICT, serial)["state"], "performing")

    def test_nobody_else_may_join_open_or_propose(self):
        a, g, s = self.started()
        vault, dialer = self.join(a, "vault"), self.join(a, "dialer")
        dialer.expect(TICKET_KEY)
        for talk in (a.person(0), a.person(ALICE), vault, dialer):
            talk.send(NET_PROPOSE, {"sandbox": s, "action": http()})
            with self.assertRaises(Closed):
                talk.receive()
        for kind in (NET_OPEN, PEER_JOIN, PROPOSE, CLAIM, KILL, SECRET_CHANGED, GRANTED):
            h = self.gateway(a, 3)
            h.send(kind, {})
            with self.assertRaises(Closed):
                h.receive()
        self.assertEqual(g.verdict(s, http())["state"], "performing")


class Tickets(NetCase):
    def test_a_ticket_is_for_one_action_of_one_gateway_and_the_dialer_can_check_it(self):
        a, g, s = self.started()
        dialer = self.join(a, "dialer")
        key = bytes.fromhex(dialer.expect(TICKET_KEY)["key"])
        v = g.verdict(s, http("GET", "www.example.com", "/x"))
        self.assertEqual(v["state"], "performing")
        self.assertEqual(v["limits"], {"response_bytes": 1 << 20, "time_ms": 5000})
        t = v["ticket"]
        text = json.dumps(t, sort_keys=True, separators=(",", ":")).encode()
        self.assertEqual(v["mac"], hmac.new(key, text, hashlib.sha256).hexdigest())
        expires = t.pop("expires_ms")
        self.assertGreater(expires, 0)
        self.assertEqual(t, {"id": v["action_id"], "action_id": v["action_id"], "sandbox": s, "gateway": 1,
                             "host": "www.example.com", "port": 443, "connections": 2})
        self.assertNotIn("grant", v)

    def test_a_dialer_that_starts_anew_gets_another_key(self):
        # It does not know which tickets were used: those must open nothing any more.
        a, g, s = self.started()
        keys = [bytes.fromhex(self.join(a, "dialer").expect(TICKET_KEY)["key"]) for _ in range(2)]
        self.assertNotEqual(keys[0], keys[1])
        v = g.verdict(s, http())
        text = json.dumps(v["ticket"], sort_keys=True, separators=(",", ":")).encode()
        self.assertEqual(v["mac"], hmac.new(keys[1], text, hashlib.sha256).hexdigest())

    def test_ports_and_pinned_addresses_come_from_request_and_rule(self):
        a, g, s = self.started()
        FakeVault(self.join(a, "vault"))
        self.assertEqual(g.verdict(s, http(scheme="http", port=80))["ticket"]["port"], 80)
        self.assertEqual(g.verdict(s, net())["ticket"]["port"], 5432)
        self.assertEqual(g.verdict(s, net())["limits"], {"bytes": 10 << 20})
        self.assertEqual(g.verdict(s, git("fetch"))["ticket"]["port"], 443)
        self.assertEqual(g.verdict(s, http("GET", "api.example.net"))["ticket"]["addresses"], ["10.0.0.0/8"])

    def test_what_is_denied_gets_no_ticket_and_says_what_is_needed(self):
        a, g, s = self.started()
        for action in (http("DELETE"), http("GET", "example.org"), net(port=22), git("push", "acme/app", "agent2"),
                       git("fetch", "other/app"), http(port=8443)):
            v = g.verdict(s, action)
            self.assertEqual(v["state"], "denied")
            self.assertNotIn("ticket", v)
            self.assertIn("rule", v["decision"]["needed"])
            self.assertEqual(a.ledger.wait_for("decision", action=v["action_id"])["data"]["state"], "denied")


LIMITED = """version: 1
name: web
sandbox: {workspace: none, limits: {network: 1MiB/s, traffic: 5MiB}}
rules:
  - {name: few, allow: http, hosts: [example.com], methods: [GET], paths: [/few], limits: {per_minute: 2},
     responses: [text/*, application/json]}
  - {name: one, allow: http, hosts: [example.com], methods: [GET], paths: [/one], limits: {at_once: 1}}
"""


class Rates(NetCase):
    def test_a_rule_says_how_often(self):
        a, g, s = self.started(LIMITED)
        other = self.open(a, g)
        first = g.verdict(s, http(path="/few"))
        self.assertEqual(first["limits"], {"per_minute": 2, "response_types": ["text/*", "application/json"]})
        self.assertEqual([g.verdict(s, http(path="/few"))["state"] for _ in range(2)], ["performing", "denied"])
        denied = g.verdict(s, http(path="/few"))
        self.assertIn("few allows 2 in a minute", denied["decision"]["reason"])
        a.ledger.wait_for("decision", action=denied["action_id"])
        self.assertEqual(g.verdict(other, http(path="/few"))["state"], "performing")  # each sandbox its own
        self.assertEqual(g.verdict(s, http(path="/one"))["state"], "performing")  # and each rule

    def test_a_rule_says_how_many_at_one_time(self):
        a, g, s = self.started(LIMITED)
        v = g.verdict(s, http(path="/one"))
        self.assertEqual(g.verdict(s, http(path="/one"))["state"], "denied")
        g.settle(v)
        self.assertEqual(g.verdict(s, http(path="/one"))["state"], "performing")


class FakeVault(threading.Thread):
    """A vault that grants, until told to refuse; it keeps what it was told."""

    def __init__(self, talk):
        super().__init__(daemon=True)
        self.talk = talk
        self.lock = threading.Condition()
        self.grants, self.revoked = [], []
        self.refuse = None
        self.silent = False
        self.held = []
        self.start()

    def run(self):
        while True:
            try:
                kind, serial, body = self.talk.receive(wait=None)
            except (Closed, OSError, ValueError):
                return
            with self.lock:
                if kind == REVOKE:
                    self.revoked.append(body)
                elif kind == GRANT:
                    self.grants.append(body)
                    if self.silent:
                        self.held.append((serial, body))
                    elif self.refuse is not None:
                        self.talk.send(ERROR, {"error": {"code": self.refuse, "message": "no: " + self.refuse,
                                                         "remedy": ""}}, serial)
                    else:
                        self.talk.send(GRANTED, {"grant": body["grant"], "version": 3}, serial)
                self.lock.notify_all()

    def answer(self):
        with self.lock:
            for serial, body in self.held:
                self.talk.send(GRANTED, {"grant": body["grant"], "version": 3}, serial)
            self.held = []

    def wait_for(self, what):
        with self.lock:
            assert self.lock.wait_for(lambda: what(self), WAIT)


class Grants(NetCase):
    def test_a_credential_is_granted_for_the_action_before_it_is_performed(self):
        a, g, s = self.started()
        vault = FakeVault(self.join(a, "vault"))
        v = g.verdict(s, http("GET", "api.example.net", "/v1/x"))
        self.assertEqual((v["state"], v["credential"]), ("performing", "api-key"))
        asked = vault.grants[0]
        self.assertGreater(asked.pop("expires_ms"), 0)
        record = a.ledger.wait_for("decision", action=v["action_id"])
        self.assertEqual(asked, {
            "grant": v["grant"], "credential": "api-key", "action_id": v["action_id"], "sandbox": s, "gateway": 1,
            "digest": record["data"]["digest"],
            "target": {"kind": "http", "scheme": "https", "host": "api.example.net", "port": 443, "method": "GET",
                       "path": "/v1/x"}})
        claimed = a.ledger.wait_for("claimed", action=v["action_id"])["data"]
        self.assertEqual((claimed["grant"], claimed["credential"], claimed["credential_version"]),
                         (v["grant"], "api-key", 3))
        g.settle(v)
        vault.wait_for(lambda x: x.revoked == [{"grant": v["grant"]}])

    def test_the_vault_is_not_asked_before_the_decision_is_recorded(self):
        a, g, s = self.started()
        vault = FakeVault(self.join(a, "vault"))
        a.ledger.hold()
        serial = g.ask(s, http("GET", "api.example.net"))
        a.ledger.wait_for("decision")
        g.reach(s, "example.com")  # it has had its turn
        self.assertEqual(vault.grants, [])
        a.ledger.release()
        self.assertEqual(g.expect(NET_VERDICT, serial)["state"], "performing")
        self.assertEqual(len(vault.grants), 1)

    def test_a_refusal_denies_with_its_reason(self):
        a, g, s = self.started()
        vault = FakeVault(self.join(a, "vault"))
        vault.refuse = "credential_not_bound"
        v = g.verdict(s, http("GET", "api.example.net"))
        self.assertEqual((v["state"], v["comment"]), ("denied", "no: credential_not_bound"))
        self.assertNotIn("ticket", v)
        data = a.ledger.wait_for("grant-refused", action=v["action_id"])["data"]
        self.assertEqual((data["state"], data["comment"]), ("denied", "no: credential_not_bound"))

    def test_without_a_vault_what_needs_a_credential_is_denied(self):
        a, g, s = self.started()
        v = g.verdict(s, http("GET", "api.example.net"))
        self.assertEqual(v["state"], "denied")
        self.assertIn("no vault", v["comment"])
        self.assertEqual(g.verdict(s, http())["state"], "performing")

    def test_a_vault_that_ends_grants_nothing(self):
        a, g, s = self.started()
        vault = FakeVault(self.join(a, "vault"))
        vault.silent = True
        serial = g.ask(s, http("GET", "api.example.net"))
        vault.wait_for(lambda x: len(x.grants) == 1)
        vault.talk.sock.shutdown(socket.SHUT_RDWR)
        v = g.expect(NET_VERDICT, serial)
        self.assertEqual(v["state"], "denied")
        self.assertIn("vault ended", v["comment"])

    def test_the_requester_who_leaves_meanwhile_leaves_no_grant_behind(self):
        a, g, s = self.started()
        vault = FakeVault(self.join(a, "vault"))
        vault.silent = True
        serial = g.ask(s, http("GET", "api.example.net"))
        vault.wait_for(lambda x: len(x.grants) == 1)
        grant = vault.grants[0]
        g.send(NET_WITHDRAW, {"action_id": grant["action_id"]}, serial=0)
        self.assertEqual(g.expect(NET_VERDICT, serial)["state"], "revoked")
        vault.answer()
        vault.wait_for(lambda x: x.revoked[:2] == [{"grant": grant["grant"]}] * 2)

    def test_a_reviewed_action_is_granted_only_after_approval(self):
        a, g, s = self.started()
        vault = FakeVault(self.join(a, "vault"))
        serial = g.ask(s, http("DELETE", "api.example.net", "/v1/x"))
        held = g.expect(NET_VERDICT, serial)
        self.assertEqual(held["state"], "reviewing")
        self.assertEqual(vault.grants, [])
        a.person(BOB).call(REVIEW_APPROVE, {"review_id": held["review_id"]}, REVIEWS)
        v = g.expect(NET_VERDICT, serial)
        self.assertEqual(v["state"], "performing")
        self.assertEqual(vault.grants[0]["grant"], v["grant"])

    def test_a_refusal_after_approval_ends_the_review(self):
        a, g, s = self.started()
        vault = FakeVault(self.join(a, "vault"))
        vault.refuse = "credential_unknown"
        serial = g.ask(s, http("DELETE", "api.example.net", "/v1/x"))
        held = g.expect(NET_VERDICT, serial)
        bob = a.person(BOB)
        bob.call(REVIEW_APPROVE, {"review_id": held["review_id"]}, REVIEWS)
        v = g.expect(NET_VERDICT, serial)
        self.assertEqual((v["state"], v["comment"]), ("denied", "no: credential_unknown"))
        shown = bob.call(REVIEW_SHOW, {"review_id": held["review_id"]}, REVIEWS)["reviews"][0]
        self.assertEqual((shown["state"], shown["comment"]), ("denied", "no: credential_unknown"))
        with sqlite3.connect(os.path.join(a.state, "store.db")) as db:
            self.assertEqual(db.execute("SELECT count(*) FROM actions WHERE state IN (?, ?, ?)",
                                        ("approved", "claimed", "performing")).fetchone(), (0,))

    def test_a_policy_that_changes_while_the_vault_is_asked_decides_again(self):
        a, g, s = self.started()
        vault = FakeVault(self.join(a, "vault"))
        vault.silent = True
        serial = g.ask(s, http("GET", "api.example.net"))
        vault.wait_for(lambda x: len(x.grants) == 1)
        self.activate(a, rules().replace("credential: api-key, addresses: [10.0.0.0/8]", "credential: other-key"))
        first = vault.grants[0]["grant"]
        vault.answer()
        vault.wait_for(lambda x: x.revoked == [{"grant": first}] and len(x.grants) == 2)
        self.assertEqual(vault.grants[1]["credential"], "other-key")
        vault.answer()
        v = g.expect(NET_VERDICT, serial)
        self.assertEqual((v["state"], v["credential"], v["grant"]),
                         ("performing", "other-key", vault.grants[1]["grant"]))
        self.assertNotIn("addresses", v["ticket"])

    def test_a_kill_takes_grants_back_at_once(self):
        a, g, s = self.started()
        vault = FakeVault(self.join(a, "vault"))
        v = g.verdict(s, http("GET", "api.example.net"))
        a.person(0).send(KILL, {"all": True})
        vault.wait_for(lambda x: x.revoked == [{"grant": v["grant"]}])

    def test_changed_secrets_are_recorded_without_more_than_their_names(self):
        a, g, s = self.started()
        vault = self.join(a, "vault")
        vault.send(SECRET_CHANGED, {"event": "secret-set", "credential": "api-key", "by": "root", "version": 2,
                                    "value": "hunter2", "extra": ["x"]}, serial=0)
        self.assertEqual(a.ledger.wait_for("secret-set")["data"],
                         {"credential": "api-key", "by": "root", "version": 2})
        vault.send(SECRET_CHANGED, {"event": "decision", "credential": "x"}, serial=0)
        with self.assertRaises(Closed):
            vault.receive()


class Reviews(NetCase):
    def held(self, g, s, action):
        serial = g.ask(s, action)
        v = g.expect(NET_VERDICT, serial)
        self.assertEqual(v["state"], "reviewing", v)
        return serial, v

    def test_an_approval_is_for_these_bytes(self):
        a, g, s = self.started()
        serial, v = self.held(g, s, http("POST", path="/held/x", **body_of(b"hello")))
        shown = a.person(BOB).call(REVIEW_SHOW, {"review_id": v["review_id"]}, REVIEWS)["reviews"][0]
        self.assertEqual(shown["command"], "POST https://example.com/held/x (5 bytes, sha256 %s…)" %
                         hashlib.sha256(b"hello").hexdigest()[:12])
        a.person(BOB).call(REVIEW_APPROVE, {"review_id": v["review_id"], "digest": shown["digest"]}, REVIEWS)
        done = g.expect(NET_VERDICT, serial)
        self.assertEqual(done["state"], "performing")
        self.assertEqual(done["ticket"]["host"], "example.com")
        for unknown in ({"body_bytes": 5}, {"body_bytes": -1}):
            v = g.verdict(s, http("POST", path="/held/x", **unknown))
            self.assertEqual(v["state"], "denied")
            self.assertIn("body is not known", v["decision"]["reason"])
        self.held(g, s, http("PUT", path="/held/x"))  # no body is known, too

    def test_a_denied_or_expired_review_is_told(self):
        a, g, s = self.started(rules(timeout="1s"))
        serial, v = self.held(g, s, http("PUT", path="/held/x"))
        a.person(BOB).call(REVIEW_DENY, {"review_id": v["review_id"], "comment": "not today"}, REVIEWS)
        v = g.expect(NET_VERDICT, serial)
        self.assertEqual((v["state"], v["comment"]), ("rejected", "not today"))
        serial, v = self.held(g, s, http("PUT", path="/held/y"))
        self.assertEqual(g.expect(NET_VERDICT, serial)["state"], "expired")

    def test_a_review_whose_requester_leaves_is_closed(self):
        a, g, s = self.started()
        serial, v = self.held(g, s, http("PUT", path="/held/x"))
        g.send(NET_WITHDRAW, {"action_id": v["action_id"]}, serial=0)
        self.assertEqual(g.expect(NET_VERDICT, serial)["state"], "revoked")
        error = a.person(BOB).error(REVIEW_APPROVE, {"review_id": v["review_id"]})
        self.assertEqual(error["code"], "review_closed")

    def test_a_changed_policy_invalidates_what_waits(self):
        a, g, s = self.started()
        serial, v = self.held(g, s, http("PUT", path="/held/x"))
        self.activate(a, rules() + "# changed\n")
        self.assertEqual(g.expect(NET_VERDICT, serial)["state"], "invalidated")

    def test_nobody_approves_their_own(self):
        a = self.arbiter()
        self.activate(a, rules())
        g = self.gateway(a)
        s = self.open(a, g, requester=BOB)
        serial, v = self.held(g, s, http("PUT", path="/held/x"))
        error = a.person(BOB).error(REVIEW_APPROVE, {"review_id": v["review_id"]})
        self.assertEqual(error["code"], "review_own_request")
        a.person(ALICE).call(REVIEW_APPROVE, {"review_id": v["review_id"]}, REVIEWS)
        self.assertEqual(g.expect(NET_VERDICT, serial)["state"], "performing")

    def test_one_sandbox_cannot_fill_the_queue(self):
        a, g, s = self.started()
        for i in range(32):
            self.held(g, s, http("PUT", path="/held/%d" % i))
        v = g.verdict(s, http("PUT", path="/held/more"))
        self.assertEqual(v["state"], "denied")
        self.assertIn("wait for review already", v["decision"]["reason"])
        other = self.open(a, g)
        self.held(g, other, http("PUT", path="/held/x"))

    def test_pushes_are_shown_with_their_refs(self):
        a, g, s = self.started()
        _, v = self.held(g, s, git("push", "acme/app", "main"))
        shown = a.person(BOB).call(REVIEW_LIST, {}, REVIEWS)["reviews"][0]
        self.assertEqual(shown["command"], "push to git.example.com/acme/app: main")
        self.assertEqual(shown["target"], "git.example.com/acme/app")
        self.assertNotIn("details", shown)
        shown = a.person(BOB).call(REVIEW_SHOW, {"review_id": v["review_id"]}, REVIEWS)["reviews"][0]
        self.assertEqual(shown["details"], ["refs/heads/main", "  ? → ?"])

    def review(self, a, *words):
        """What `ringfence review WORDS` prints, for root."""
        run = os.path.join(a.directory, "home", "run")
        os.makedirs(run, exist_ok=True)
        if not os.path.exists(os.path.join(run, "arbiter.sock")):
            os.symlink(a.path, os.path.join(run, "arbiter.sock"))
        result = subprocess.run([os.path.join(bin_dir(), "ringfence"), "review"] + list(words), text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=WAIT,
                                env={"RINGFENCE_STATE": os.path.dirname(run), "PATH": "/usr/bin:/bin"})
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def test_the_command_line_shows_requests_and_pushes(self):
        a, g, s = self.started()
        body = dict(body_of(b"{}"), headers={"content-type": "application/json", "cookie": "zzsecret"})
        _, v = self.held(g, s, http("POST", path="/held/x", query="n=1", **body))
        push = git("push", "acme/app", "main")
        push["request"]["refs"][0].update(old="a" * 40, new="b" * 40)
        _, w = self.held(g, s, push)
        listed = self.review(a, "list")
        self.assertIn("POST https://example.com/held/x?n=1 (2 bytes", listed)
        self.assertIn("push to git.example.com/acme/app: main to bbbbbbbbbbbb", listed)
        shown = self.review(a, "show", v["review_id"])
        for line in ("command    POST https://example.com/held/x?n=1 (2 bytes application/json, sha256 44136fa355b3…)",
                     "           header content-type: application/json", "           header cookie: [hidden ",
                     "           body sha256 44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
                     "target     https://example.com\n"):
            self.assertIn(line, shown)
        self.assertNotIn("zzsecret", shown)
        shown = self.review(a, "show", w["review_id"])
        self.assertIn("           refs/heads/main\n             %s → %s\n" % ("a" * 40, "b" * 40), shown)

    def test_what_an_agent_chose_is_shown_escaped(self):
        a, g, s = self.started()
        _, v = self.held(g, s, http("PUT", path="/held/\u202e", query="\x1b[2J", headers={"x-a": "\x1b[31m"}))
        shown = a.person(BOB).call(REVIEW_SHOW, {"review_id": v["review_id"]}, REVIEWS)["reviews"][0]
        text = json.dumps(shown, ensure_ascii=False)
        self.assertNotIn("\x1b", text)
        self.assertNotIn("\\u001b", text)
        self.assertNotIn("\u202e", text)
        self.assertIn("header x-a: ", shown["details"][0])


class Ends(NetCase):
    def test_a_gateway_that_dies_leaves_nothing_open(self):
        a, g, s = self.started()
        performing = g.verdict(s, http())
        waiting = g.verdict(s, http("PUT", path="/held/x"))
        g.close()
        settled = a.ledger.wait_for("settled", action=performing["action_id"])["data"]
        self.assertEqual(settled, {"state": "unknown", "outcome": {"reason": "its gateway ended"}})
        self.assertEqual(a.ledger.wait_for("revoked", action=waiting["action_id"])["data"]["state"], "revoked")
        self.assertEqual(a.person(0).call(TASKS, {}, TASKS)["tasks"], [])
        h = self.gateway(a)
        self.assertEqual(h.refusal(s, http())["code"], "sandbox_unknown")
        self.assertEqual(h.verdict(self.open(a, h), http())["state"], "performing")

    def test_a_gateway_that_is_joined_again_replaces_itself(self):
        a, g, s = self.started()
        v = g.verdict(s, http())
        h = self.gateway(a, 1)
        a.ledger.wait_for("settled", action=v["action_id"])
        self.assertEqual(h.refusal(s, http())["code"], "sandbox_unknown")
        with self.assertRaises(Closed):
            g.receive()

    def test_a_closed_sandbox_may_settle_what_it_performed_and_no_more(self):
        a, g, s = self.started()
        vault = FakeVault(self.join(a, "vault"))
        one, two = g.verdict(s, http("GET", "api.example.net")), g.verdict(s, http())
        waiting = g.verdict(s, http("PUT", path="/held/x"))
        a.supervisor.send(NET_CLOSE, {"sandbox": s}, serial=0)
        self.assertEqual(g.expect(NET_VERDICT)["action_id"], waiting["action_id"])
        vault.wait_for(lambda x: x.revoked == [{"grant": one["grant"]}])
        g.settle(two)
        self.assertEqual(a.ledger.wait_for("settled", action=two["action_id"])["data"]["state"], "succeeded")
        settled = a.ledger.wait_for("settled", action=one["action_id"])["data"]
        self.assertEqual(settled["state"], "unknown")

    def test_a_killed_task_gets_nothing(self):
        for kill in ("task", "all"):
            with self.subTest(kill):
                a = self.arbiter()
                self.activate(a, rules())
                g = self.gateway(a)
                task = new_id()
                s = self.open(a, g, task=task)
                serial = g.ask(s, http("PUT", path="/held/x"))
                g.expect(NET_VERDICT, serial)
                a.person(0).send(KILL, {"all": True} if kill == "all" else {"task": task})
                self.assertEqual(g.expect(NET_VERDICT, serial)["state"], "revoked")
                v = g.verdict(s, http())
                self.assertEqual((v["state"], v["decision"]["reason"]), ("denied", "this task was killed"))
                self.assertEqual(g.reach(s, "example.com"), {"reach": False})
                other = self.open(a, g)
                self.assertEqual(g.verdict(other, http())["state"], "performing")

    def test_a_kill_between_decision_and_claim_wins(self):
        a, g, s = self.started()
        a.ledger.hold()
        serial = g.ask(s, http())
        a.ledger.wait_for("decision")
        a.person(0).send(KILL, {"all": True})
        self.assertEqual(g.expect(NET_VERDICT, serial)["state"], "revoked")
        a.ledger.release()
        self.assertEqual(g.refusal(new_id(), http())["code"], "sandbox_unknown")
        self.assertTrue(g.quiet())

    def test_without_a_ledger_nothing_is_performed(self):
        a, g, s = self.started()
        a.ledger.hold()
        g.ask(s, http())
        a.ledger.wait_for("decision")
        a.ledger.close()
        with self.assertRaises(Closed):
            g.receive()

    def test_a_budget_counts_requests(self):
        a, g, s = self.started(rules(more="budgets: {calls_per_task: 2}"))
        self.assertEqual([g.verdict(s, http())["state"] for _ in range(3)],
                         ["performing", "performing", "denied"])


class Records(NetCase):
    def test_the_agents_own_credentials_are_in_no_record(self):
        a, g, s = self.started()
        headers = {"authorization": "Zebra zzsecret1", "cookie": "sid=zzsecret2", "x-gitlab-token": "zzsecret3",
                   "accept": "text/html", "x-api-key": "zzsecret4"}
        v = g.verdict(s, http("POST", path="/in/x", headers=headers, query="q=kept", **body_of(b"x")))
        self.assertEqual(v["state"], "performing")
        w = g.verdict(s, http("PUT", path="/held/x", headers=headers))
        self.assertEqual(w["state"], "reviewing")
        for found in (v, w):
            request = a.ledger.wait_for("decision", action=found["action_id"])["data"]["request"]
            self.assertEqual(request["headers"]["accept"], "text/html")
            self.assertRegex(request["headers"]["cookie"], r"^\[hidden [0-9a-f]{16}\]$")
            self.assertEqual(sorted(request["headers"]), sorted(headers))
        self.assertNotIn("zzsecret", json.dumps(a.ledger.records))
        a.stop()
        for name in os.listdir(a.state):
            with open(os.path.join(a.state, name), "rb") as f:
                self.assertNotIn(b"zzsecret", f.read(), name)

    def test_what_leaves_the_sandbox_is_durable_before_it_and_reads_need_not_be(self):
        a, g, s = self.started()
        websocket = http(path="/ws", headers={"upgrade": "websocket"})
        for action, durable in ((http(), False), (http("HEAD"), False), (http("POST", path="/in/x"), True),
                                (net(), True), (git("fetch"), False), (git("push", "acme/app", "agent/x"), True)):
            v = g.verdict(s, action)
            self.assertEqual(v["state"], "performing", v)
            record = a.ledger.wait_for("decision", action=v["action_id"])
            self.assertEqual(record.get("durable", False), durable, action)
        v = g.verdict(s, websocket)
        self.assertEqual(a.ledger.wait_for("decision", action=v["action_id"])["data"]["effect"], "write")

    def test_an_action_is_recorded_from_decision_to_outcome(self):
        a, g, s = self.started()
        for action, events in ((http(), ["decision", "settled"]),
                               (http("POST", path="/in/x"), ["decision", "claimed", "settled"])):
            v = g.verdict(s, action)
            g.settle(v, "failed", {"status": 502})
            end = a.ledger.wait_for("settled", action=v["action_id"])
            self.assertEqual(end["data"], {"state": "failed", "outcome": {"status": 502}})
            records = [r for r in a.ledger.records if r.get("action_id") == v["action_id"]]
            self.assertEqual([r["event"] for r in records], events)
            self.assertEqual(records[0]["data"]["state"], "approved")
            # Of a read one record says both, so that there are fewer.
            self.assertEqual(records[0]["data"].get("claimed", False), len(events) == 2)

    def test_notes_are_bounded(self):
        a, g, s = self.started()
        for i in range(200):
            g.send(NET_NOTE, {"sandbox": s, "event": "name-denied", "data": {"name": "n%d.example" % i}}, serial=0)
        g.reach(s, "example.com")
        a.supervisor.send(NET_CLOSE, {"sandbox": s}, serial=0)
        self.assertEqual(a.ledger.wait_for("notes-suppressed")["data"], {"sandbox": s, "count": 150})
        notes = [r for r in a.ledger.records if r["event"] == "name-denied"]
        self.assertEqual(len(notes), 50)
        self.assertEqual(notes[0]["data"], {"name": "n0.example", "sandbox": s})

    def test_denials_cannot_fill_the_ledger(self):
        a, g, s = self.started()
        for i in range(600):
            self.assertEqual(g.verdict(s, http("DELETE", path="/%d" % i))["state"], "denied")
        self.assertEqual(g.verdict(s, http())["state"], "performing")
        a.supervisor.send(NET_CLOSE, {"sandbox": s}, serial=0)
        self.assertEqual(a.ledger.wait_for("denials-suppressed")["data"], {"sandbox": s, "count": 100})
        states = [r["data"]["state"] for r in a.ledger.records if r["event"] == "decision"]
        self.assertEqual((states.count("denied"), states.count("approved")), (500, 1))

    def test_a_note_is_small_and_of_a_known_kind(self):
        a, g, s = self.started()
        g.send(NET_NOTE, {"sandbox": s, "event": "dial-refused", "data": {"host": "x" * 5000}}, serial=0)
        data = a.ledger.wait_for("dial-refused")["data"]
        self.assertEqual(sorted(data), ["omitted_bytes", "sandbox"])
        g.send(NET_NOTE, {"sandbox": s, "event": "request-refused", "data": "text"}, serial=0)
        a.ledger.wait_for("request-refused")
        g.send(NET_NOTE, {"sandbox": s, "event": "decision", "data": {}}, serial=0)
        with self.assertRaises(Closed):
            g.receive()


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("needs root")
        raise SystemExit(77)
    unittest.main()
