#!/usr/bin/env python3
"""What rf-arbiter does for sandboxes that stand before their command is proposed: views of a policy,
proposals by its hash, proposals that are claims, and word of a policy that changed. As in
test_arbiter.py, the supervisor and the ledger are played by the test. Needs root."""

import hashlib
import os
import tempfile
import unittest

from arbiter_kit import *
from test_arbiter import Case, rules

LISTED = """version: 1
name: listed
sandbox: {executables: listed}
rules:
  - {name: a, allow: exec, program: [/usr/bin/true, /usr/bin/cat]}
"""


def numbered(n, filler=0):
    return "version: 1\nname: p%d\nrules: []\n# %s\n" % (n, "x" * filler)


class Prepared(Case):
    def send_with(self, talk, kind, body, text):
        with tempfile.TemporaryFile() as f:
            f.write(text.encode())
            f.flush()
            return talk.send(kind, body, fds=[f.fileno()])

    def view(self, a, policy, reply=POLICY_VIEWED):
        """POLICY is YAML text, a {"name"} or a {"hash"}."""
        if isinstance(policy, dict):
            return a.supervisor.call(POLICY_VIEW, {"policy": policy}, reply)
        serial = self.send_with(a.supervisor, POLICY_VIEW, {"policy": {"file": "p.yaml"}}, policy)
        return a.supervisor.expect(reply, serial)

    def refused_view(self, a, policy):
        return self.view(a, policy, ERROR)["error"]

    def propose(self, a, action, hash_, **more):
        return a.supervisor.send(PROPOSE, dict({"action": action, "requester_uid": ALICE,
                                                "policy": {"hash": hash_}}, **more))

    def activate(self, person, text):
        serial = self.send_with(person, POLICY_ACTIVATE, {}, text)
        return person.expect(POLICY_STATE, serial)


class Views(Prepared):
    def test_a_view_says_what_a_verdict_would(self):
        a = self.arbiter()
        v = a.verdict(exec_action("true"), "isolated")
        viewed = self.view(a, {"name": "isolated"})
        self.assertEqual(viewed, {"policy": v["policy"], "name": "isolated", "sandbox": v["sandbox"]})
        self.assertEqual(self.view(a, {"hash": v["policy"]}), viewed)
        self.assertEqual(a.ledger.wait_for("decision")["action_id"], v["action_id"])
        self.assertEqual(len(a.ledger.records), 1)  # views are no decisions
        self.assertEqual(sorted(os.listdir(a.state)), ["digest.key"])

    def test_a_view_of_a_file_names_its_hash_and_its_programs(self):
        a = self.arbiter()
        viewed = self.view(a, LISTED)
        self.assertEqual(viewed["policy"], hashlib.sha256(LISTED.encode()).hexdigest())
        self.assertEqual(viewed["name"], "listed")
        self.assertEqual(viewed["sandbox"]["programs"], ["/usr/bin/cat", "/usr/bin/true"])

    def test_a_view_is_refused_as_a_proposal_would_be(self):
        a = self.arbiter()
        cannot = LISTED.replace("[/usr/bin/true, /usr/bin/cat]", "any")
        for policy, code in ((cannot, "policy_not_enforceable"), ("version: 2\n", "policy_invalid"),
                             ({"name": "no-such"}, "policy_unknown"), ({"hash": "0" * 64}, "policy_unknown"),
                             ({"hash": "x"}, "policy_unknown"), ({}, "policy_missing")):
            with self.subTest(policy):
                error = self.refused_view(a, policy)
                self.assertEqual(error["code"], code)
        self.assertIn("listed needs rules that name programs", self.refused_view(a, cannot)["message"])
        self.assertEqual(a.refusal(exec_action("true"), cannot)["code"], "policy_not_enforceable")
        self.assertEqual(self.view(a, LISTED)["name"], "listed")  # and the conversation goes on

    def test_where_there_is_one_person_a_view_of_two_is_refused(self):
        a = self.arbiter(rootless_uid=ALICE)
        self.assertEqual(self.refused_view(a, rules())["code"], "review_needs_two_people")

    def test_people_cannot_view(self):
        a = self.arbiter()
        person = a.person(ALICE)
        person.send(POLICY_VIEW, {"policy": {"name": "isolated"}})
        with self.assertRaises(Closed):
            person.receive()


class ByHash(Prepared):
    def test_what_was_viewed_can_be_proposed_by_its_hash(self):
        a = self.arbiter()
        viewed = self.view(a, LISTED)
        v = a.supervisor.expect(VERDICT, self.propose(a, exec_action("cat"), viewed["policy"]))
        self.assertEqual((v["state"], v["policy"]), ("approved", viewed["policy"]))
        v = a.supervisor.expect(VERDICT, self.propose(a, exec_action("ls"), viewed["policy"]))
        self.assertEqual(v["state"], "denied")

    def test_an_unknown_hash_decides_nothing(self):
        a = self.arbiter()
        serial = self.propose(a, exec_action("true"), hashlib.sha256(LISTED.encode()).hexdigest())
        error = a.supervisor.expect(ERROR, serial)["error"]
        self.assertEqual(error["code"], "policy_unknown")
        self.assertEqual(a.ledger.records, [])

    def test_a_viewed_policy_outlives_many_other_files(self):
        a = self.arbiter()
        viewed = self.view(a, LISTED)
        for n in range(40):  # more than are cached
            a.verdict(exec_action("true"), numbered(n))
        v = a.supervisor.expect(VERDICT, self.propose(a, exec_action("cat"), viewed["policy"]))
        self.assertEqual(v["state"], "approved")

    def test_the_least_recently_viewed_are_forgotten(self):
        a = self.arbiter()
        used, unused = self.view(a, LISTED), self.view(a, LISTED + "# another\n")
        for n in range(270):
            self.view(a, numbered(n))
            if n % 100 == 0:
                self.propose(a, exec_action("cat"), used["policy"])
        v = a.supervisor.expect(VERDICT, self.propose(a, exec_action("cat"), used["policy"]))
        self.assertEqual(v["state"], "approved")
        error = a.supervisor.expect(ERROR, self.propose(a, exec_action("cat"), unused["policy"]))["error"]
        self.assertEqual(error["code"], "policy_unknown")

    def test_large_policies_do_not_fill_the_memory(self):
        a = self.arbiter()
        first = self.view(a, numbered(0, filler=900000))
        for n in range(1, 30):
            self.view(a, numbered(n, filler=900000))
        error = a.supervisor.expect(ERROR, self.propose(a, exec_action("cat"), first["policy"]))["error"]
        self.assertEqual(error["code"], "policy_unknown")

    def test_what_was_activated_once_is_known_after_a_restart(self):
        a = self.arbiter()
        first = self.activate(a.person(0), LISTED)
        self.activate(a.person(0), LISTED + "# newer\n")
        a.kill()
        a.restart()
        self.assertEqual(self.view(a, {"hash": first["hash"]})["policy"], first["hash"])


class ClaimedAtOnce(Prepared):
    def test_an_allowed_action_is_claimed_with_its_proposal(self):
        a = self.arbiter()
        hash_ = self.view(a, {"name": "isolated"})["policy"]
        v = a.supervisor.expect(VERDICT, self.propose(a, exec_action("true"), hash_, claim=True))
        self.assertEqual((v["state"], v["claimed"], v["epoch"]), ("approved", True, 0))
        self.assertEqual(v["sandbox"]["tier"], "namespaces")
        self.assertEqual(a.supervisor.expect(ERROR, a.claim(v))["error"]["code"], "action_claimed")
        a.settle(v)
        self.assertEqual(a.ledger.wait_for("settled")["data"]["state"], "succeeded")
        self.assertEqual(a.ledger.events(), ["decision", "claimed", "settled"])

    def test_without_the_word_it_is_not_claimed(self):
        a = self.arbiter()
        hash_ = self.view(a, {"name": "isolated"})["policy"]
        v = a.supervisor.expect(VERDICT, self.propose(a, exec_action("true"), hash_, claim=False))
        self.assertNotIn("claimed", v)
        a.supervisor.expect(CLAIMED, a.claim(v))

    def test_its_verdict_waits_for_the_ledger(self):
        a = self.arbiter()
        hash_ = self.view(a, {"name": "isolated"})["policy"]
        a.ledger.hold()
        serial = self.propose(a, exec_action("true"), hash_, claim=True)
        a.ledger.wait_for("decision")
        a.verdict(exec_action("true"), "isolated")  # answered, and nothing before it
        self.assertEqual(a.supervisor.early, [])
        a.ledger.release()
        self.assertTrue(a.supervisor.expect(VERDICT, serial)["claimed"])

    def test_a_denial_is_told_at_once(self):
        a = self.arbiter()
        hash_ = self.view(a, LISTED)["policy"]
        a.ledger.hold()
        v = a.supervisor.expect(VERDICT, self.propose(a, exec_action("ls"), hash_, claim=True))
        self.assertEqual(v["state"], "denied")
        self.assertNotIn("claimed", v)

    def test_a_reviewed_one_is_claimed_by_the_supervisor_after_its_approval(self):
        a = self.arbiter()
        hash_ = self.view(a, rules())["policy"]
        serial = self.propose(a, exec_action("held"), hash_, claim=True)
        held = a.supervisor.expect(VERDICT, serial)
        self.assertEqual(held["state"], "reviewing")
        a.person(BOB).call(REVIEW_APPROVE, {"review_id": held["review_id"]}, REVIEWS)
        v = a.supervisor.expect(VERDICT, serial)
        self.assertEqual(v["state"], "approved")
        self.assertNotIn("claimed", v)
        a.supervisor.expect(CLAIMED, a.claim(v))

    def test_killed_before_the_ledger_answers_it_is_revoked(self):
        a = self.arbiter()
        hash_ = self.view(a, {"name": "isolated"})["policy"]
        a.ledger.hold()
        serial = self.propose(a, exec_action("true"), hash_, claim=True)
        a.ledger.wait_for("decision")
        a.person(BOB).send(KILL, {"all": True})
        v = a.supervisor.expect(VERDICT, serial)
        self.assertEqual(v["state"], "revoked")
        self.assertNotIn("claimed", v)
        a.ledger.release()
        a.supervisor.expect(KILL_TASK)
        self.assertTrue(a.supervisor.quiet())

    def test_a_policy_that_changes_before_the_ledger_answers_decides_again(self):
        for program, state in (("/usr/bin/false", "invalidated"), ("/usr/bin/true # still", "approved")):
            with self.subTest(state):
                a = self.arbiter()
                root = a.person(0)
                self.activate(root, rules())
                a.ledger.hold()
                serial = a.supervisor.send(PROPOSE, {
                    "action": exec_action("true"), "requester_uid": ALICE, "claim": True,
                    "policy": {"name": "acme"}})
                a.ledger.wait_for("decision")
                after = self.activate(root, rules().replace("program: /usr/bin/true", "program: " + program))
                a.ledger.release()
                v = a.supervisor.expect(VERDICT, serial)
                self.assertEqual(v["state"], state)
                self.assertEqual(v.get("claimed", False), state == "approved")
                if state == "approved":
                    self.assertEqual(v["policy"], after["hash"])
                a.destroy()

    def test_what_leaves_the_sandbox_is_in_the_store_and_on_disk_before_its_verdict(self):
        a = self.arbiter()
        hash_ = self.view(a, rules())["policy"]
        v = a.supervisor.expect(VERDICT, self.propose(a, commit_action("/project/a"), hash_, claim=True))
        self.assertTrue(v["claimed"])
        self.assertTrue(a.ledger.wait_for("decision")["durable"])
        a.kill()
        a.restart()
        # What the killed arbiter had let go on is swept as unknown when the store is next opened.
        a.verdict(commit_action("/project/a"), rules())
        self.assertEqual(a.ledger.wait_for("settled")["data"]["state"], "unknown")

    def test_when_the_ledger_goes_away_there_is_no_verdict(self):
        a = self.arbiter()
        hash_ = self.view(a, {"name": "isolated"})["policy"]
        a.ledger.hold()
        serial = self.propose(a, exec_action("true"), hash_, claim=True)
        a.ledger.wait_for("decision")
        a.ledger.close()
        self.assertNotEqual(a.process.wait(WAIT), 0)
        with self.assertRaises(Closed):
            a.supervisor.expect(VERDICT, serial)

    def test_with_the_real_ledger_the_decision_stands_there_when_it_is_told(self):
        a = self.arbiter(ledger=RealLedger)
        self.addCleanup(a.ledger.destroy)
        hash_ = self.view(a, {"name": "isolated"})["policy"]
        v = a.supervisor.expect(VERDICT, self.propose(a, exec_action("true"), hash_, claim=True))
        self.assertTrue(v["claimed"])
        events = [r["event"] for r in a.ledger.records() if r.get("action_id") == v["action_id"]]
        self.assertEqual(events[0], "decision")


class Changes(Prepared):
    def test_the_supervisor_hears_of_an_activation_and_of_a_rollback(self):
        a = self.arbiter()
        root = a.person(0)
        first = self.activate(root, rules())
        changed = a.supervisor.expect(POLICY_CHANGED, 0)
        self.assertEqual(changed, {"name": "acme", "policy": first["hash"]})
        second = self.activate(root, rules(timeout="20m"))
        self.assertEqual(a.supervisor.expect(POLICY_CHANGED, 0)["policy"], second["hash"])
        self.activate(root, rules(timeout="20m"))  # the same again changes nothing
        root.call(POLICY_ROLLBACK, {"name": "acme"}, POLICY_STATE)
        self.assertEqual(a.supervisor.expect(POLICY_CHANGED, 0)["policy"], first["hash"])
        self.assertTrue(a.supervisor.quiet())


if __name__ == "__main__":
    unittest.main()
