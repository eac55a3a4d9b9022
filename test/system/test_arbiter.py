#!/usr/bin/env python3
"""rf-arbiter by its packets: decisions, claims, reviews, kills, policies, crashes.

The supervisor and the ledger are played by the test (arbiter_kit.py); the arbiter, its locks, its
store and its listener are real. Needs root: people are real uids."""

import os
import socket
import sqlite3
import struct
import sys
import threading
import unittest

from arbiter_kit import *

RULES = """version: 1
name: acme
sandbox: {tier: namespaces, root: host, executables: any, workspace: staged}
review: {approvals: [operator], timeout: %(timeout)s, self_approve: %(self)s}
%(budget)s
rules:
  - name: run-anything
    why: contained
    owner: platform
    allow: exec
    program: /usr/bin/true
  - name: held
    why: looked at first
    owner: platform
    review: exec
    program: /usr/bin/held
  - name: held-by-two
    why: two people look
    owner: platform
    review: exec
    program: /usr/bin/held-by-two
    approvals: [operator, dba]
  - name: commit
    why: results come out
    owner: platform
    allow: file
    operations: [commit]
    paths: [/project/**]
"""


def rules(timeout="15m", self_approve="false", budget=""):
    return RULES % {"timeout": timeout, "self": self_approve, "budget": budget}


ONE_PERSON = rules().replace("    approvals: [operator, dba]\n", "")
SELF = rules(self_approve="true").replace("    approvals: [operator, dba]\n", "")


class Case(unittest.TestCase):
    def arbiter(self, **options):
        a = Arbiter(**options)
        self.addCleanup(a.destroy)
        return a

    def held(self, a, policy=None, program="held", requester=MALLORY):
        v = a.verdict(exec_action(program), policy or rules(), requester)
        self.assertEqual(v["state"], "reviewing", v)
        return v

    def verdict_of(self, a, v):
        """The next verdict about the action of V."""
        while True:
            again = a.supervisor.expect(VERDICT)
            if again["action_id"] == v["action_id"]:
                return again


class Deciding(Case):
    def test_an_allowed_command_is_approved_claimed_and_settled(self):
        a = self.arbiter()
        v = a.verdict(exec_action("true"), "isolated")
        self.assertEqual(v["state"], "approved")
        self.assertEqual(v["sandbox"]["tier"], "namespaces")
        claimed = a.supervisor.expect(CLAIMED, a.claim(v))
        self.assertEqual(claimed["action_id"], v["action_id"])
        a.settle(v)
        settled = a.ledger.wait_for("settled")
        self.assertEqual(settled["data"]["state"], "succeeded")
        self.assertEqual(a.ledger.events(), ["decision", "claimed", "settled"])
        self.assertEqual(a.stop(), 0)

    def test_a_plain_allow_does_not_open_the_store(self):
        a = self.arbiter()
        v = a.verdict(exec_action("true"), "isolated")
        a.supervisor.expect(CLAIMED, a.claim(v))
        a.settle(v)
        a.ledger.wait_for("settled")
        self.assertEqual(sorted(os.listdir(a.state)), ["digest.key"])
        self.assertEqual(os.stat(a.state + "/digest.key").st_mode & 0o777, 0o600)

    def test_what_no_rule_allows_is_denied_and_cannot_be_claimed(self):
        a = self.arbiter()
        v = a.verdict(commit_action("/project/a"), "isolated")
        self.assertEqual(v["state"], "denied")
        self.assertNotIn("sandbox", v)
        self.assertEqual(a.ledger.wait_for("decision")["data"]["state"], "denied")
        self.assertEqual(a.supervisor.expect(ERROR, a.claim(v))["error"]["code"], "action_unknown")

    def test_a_claim_waits_for_the_ledger(self):
        a = self.arbiter()
        a.ledger.hold()
        v = a.verdict(exec_action("true"), "isolated")
        serial = a.claim(v)
        a.ledger.wait_for("decision")
        # The next proposal is answered; were the claim answered too soon, it would be before it.
        a.verdict(exec_action("true"), "isolated")
        self.assertEqual(a.supervisor.early, [])
        a.ledger.release()
        a.supervisor.expect(CLAIMED, serial)

    def test_a_claim_is_single_use(self):
        a = self.arbiter()
        v = a.verdict(exec_action("true"), "isolated")
        a.supervisor.expect(CLAIMED, a.claim(v))
        self.assertEqual(a.supervisor.expect(ERROR, a.claim(v))["error"]["code"], "action_claimed")

    def test_another_argument_at_the_claim_invalidates(self):
        a = self.arbiter()
        v = a.verdict(exec_action("true"), "isolated")
        answer = a.supervisor.expect(VERDICT, a.claim(v, action=exec_action("true", "-x")))
        self.assertEqual(answer["state"], "invalidated")
        self.assertEqual(a.supervisor.expect(ERROR, a.claim(v))["error"]["code"], "action_unknown")
        v = a.verdict(exec_action("true"), "isolated")  # control: the same argument goes through
        a.supervisor.expect(CLAIMED, a.claim(v, action=exec_action("true")))

    def test_an_effect_outside_the_sandbox_is_on_disk_before_its_claim(self):
        a = self.arbiter()
        v = a.verdict(commit_action("/project/a"), rules())
        self.assertEqual(v["state"], "approved")
        self.assertTrue(a.ledger.wait_for("decision")["durable"])
        a.supervisor.expect(CLAIMED, a.claim(v))
        v = a.verdict(exec_action("true"), rules())
        self.assertNotIn("durable", a.ledger.wait_for("decision", 2))

    def test_a_task_belongs_to_who_started_it(self):
        a = self.arbiter()
        v = a.verdict(exec_action("true"), "isolated", ALICE)
        error = a.refusal(exec_action("true", task=v["task"]), "isolated", BOB)
        self.assertEqual(error["code"], "task_not_yours")
        again = a.verdict(exec_action("true", task=v["task"]), "isolated", ALICE)
        self.assertEqual(again["task"], v["task"])

    def test_a_bad_proposal_is_answered_with_its_reason(self):
        a = self.arbiter()
        self.assertEqual(a.refusal({"kind": "exec"}, "isolated")["code"], "action_invalid")
        self.assertEqual(a.refusal(exec_action("true"), "no-such")["code"], "policy_unknown")
        error = a.refusal(exec_action("true"), "version: 1\nname: x\nrulez: []\n")
        self.assertIn("p.yaml:3:1", error["message"])
        self.assertEqual(a.verdict(exec_action("true"), "isolated")["state"], "approved")

    def test_a_policy_must_be_a_regular_file(self):
        a = self.arbiter()
        r, w = os.pipe()
        serial = a.supervisor.send(PROPOSE, {"action": exec_action("true"), "requester_uid": ALICE,
                                             "policy": {"file": "p.yaml"}}, fds=[r])
        self.assertEqual(a.supervisor.expect(ERROR, serial)["error"]["code"], "policy_unreadable")
        os.close(r)
        os.close(w)

    def test_what_the_sender_says_about_first_seen_is_not_believed(self):
        a = self.arbiter()
        v = a.verdict(commit_action("/project/a", facts={"first_seen": False}), rules())
        names = [p["name"] for p in v["decision"]["risk"]["parts"]]
        self.assertIn("first-seen", names)
        a.supervisor.expect(CLAIMED, a.claim(v))
        a.settle(v)
        v = a.verdict(commit_action("/project/a", facts={"first_seen": True}), rules())
        names = [p["name"] for p in v["decision"]["risk"]["parts"]]
        self.assertNotIn("first-seen", names)

    def test_the_arbiter_is_confined(self):
        a = self.arbiter()
        a.verdict(exec_action("true"), "isolated")
        with open("/proc/%d/status" % a.process.pid) as f:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
        self.assertEqual(status["Uid"].split(), [str(ARBITER_UID)] * 4)
        self.assertEqual(status["Seccomp"], "2")
        self.assertEqual(status["NoNewPrivs"], "1")
        self.assertEqual([int(status[n], 16) for n in ("CapEff", "CapPrm", "CapBnd", "CapInh")], [0] * 4)
        self.assertEqual(os.readlink("/proc/%d/root" % a.process.pid), a.state)


class Ledger(Case):
    def test_when_the_ledger_goes_away_nothing_is_allowed_and_the_arbiter_leaves(self):
        a = self.arbiter()
        a.ledger.hold()
        v = a.verdict(exec_action("true"), "isolated")
        serial = a.claim(v)
        a.ledger.wait_for("decision")
        a.ledger.close()
        self.assertNotEqual(a.process.wait(WAIT), 0)
        with self.assertRaises(Closed):
            a.supervisor.expect(CLAIMED, serial)

    def test_when_the_ledger_cannot_write_nothing_is_allowed_and_the_arbiter_leaves(self):
        a = self.arbiter()
        a.ledger.failing = True
        v = a.verdict(exec_action("true"), "isolated")
        with self.assertRaises((Closed, BrokenPipeError)):
            a.supervisor.expect(CLAIMED, a.claim(v))
        self.assertNotEqual(a.process.wait(WAIT), 0)


class RealLedgers(Case):
    """With the real rf-ledger."""

    def arbiter(self):
        a = super().arbiter(ledger=RealLedger)
        self.addCleanup(a.ledger.destroy)
        return a

    def about(self, a, v):
        return [r["event"] for r in a.ledger.records() if r.get("action_id") == v["action_id"]]

    def test_when_a_claim_is_answered_its_decision_stands_in_the_ledger(self):
        a = self.arbiter()
        v = a.verdict(exec_action("true"), "isolated")
        a.supervisor.expect(CLAIMED, a.claim(v))
        self.assertIn("decision", self.about(a, v))

    def test_when_a_reviewed_claim_is_answered_its_approval_stands_in_the_ledger(self):
        a = self.arbiter()
        v = self.held(a)
        a.person(BOB).call(REVIEW_APPROVE, {"review_id": v["review_id"]}, REVIEWS)
        self.assertEqual(self.verdict_of(a, v)["state"], "approved")
        a.supervisor.expect(CLAIMED, a.claim(v))
        self.assertEqual(self.about(a, v)[:3], ["decision", "review-opened", "review-approved"])

    def test_when_the_ledger_is_killed_nothing_is_allowed_and_the_arbiter_leaves(self):
        a = self.arbiter()
        a.supervisor.expect(CLAIMED, a.claim(a.verdict(exec_action("true"), "isolated")))
        a.ledger.kill()
        self.assertNotEqual(a.process.wait(WAIT), 0)


class Budgets(Case):
    BUDGET = rules(budget="budgets: {calls_per_task: 2}")

    def run_one(self, a, task=None, policy=None):
        more = {"task": task} if task else {}
        v = a.verdict(exec_action("true", **more), policy or self.BUDGET)
        if v["state"] == "approved":
            a.supervisor.expect(CLAIMED, a.claim(v))
            a.settle(v)
        return v

    def test_a_task_has_its_calls_and_no_more(self):
        a = self.arbiter()
        v = self.run_one(a)
        self.assertEqual(self.run_one(a, v["task"])["state"], "approved")
        over = self.run_one(a, v["task"])
        self.assertEqual(over["state"], "denied")
        self.assertIn("2 calls", over["decision"]["reason"])
        self.assertEqual(self.run_one(a)["state"], "approved")  # another task

    def test_a_reservation_counts_until_it_is_given_back(self):
        a = self.arbiter()
        first = a.verdict(exec_action("true"), self.BUDGET)
        second = a.verdict(exec_action("true", task=first["task"]), self.BUDGET)
        third = a.verdict(exec_action("true", task=first["task"]), self.BUDGET)
        self.assertEqual([v["state"] for v in (first, second, third)], ["approved", "approved", "denied"])
        a.supervisor.send(WITHDRAW, {"action_id": second["action_id"]}, serial=0)
        self.assertEqual(self.run_one(a, first["task"])["state"], "approved")

    def test_a_budget_survives_the_arbiter(self):
        a = self.arbiter()
        v = self.run_one(a)
        self.run_one(a, v["task"])
        a.ledger.wait_for("settled", 2)
        a.kill()
        a.restart()
        self.assertEqual(self.run_one(a, v["task"])["state"], "denied")

    def test_a_day_has_its_calls_for_each_requester(self):
        a = self.arbiter()
        policy = rules(budget="budgets: {calls_per_day: 1}")
        self.assertEqual(self.run_one(a, policy=policy)["state"], "approved")
        self.assertEqual(self.run_one(a, policy=policy)["state"], "denied")
        self.assertEqual(a.verdict(exec_action("true"), policy, BOB)["state"], "approved")


class Reviewing(Case):
    def test_an_approved_review_goes_on(self):
        a = self.arbiter()
        v = self.held(a)
        bob = a.person(BOB)
        listed = bob.call(REVIEW_LIST, {}, REVIEWS)["reviews"]
        self.assertEqual([r["review_id"] for r in listed], [v["review_id"]])
        self.assertEqual(listed[0]["command"], "held")
        self.assertEqual(listed[0]["requester"], {"uid": MALLORY, "name": "mallory"})
        answer = a.supervisor.expect(VERDICT, a.claim(v))
        self.assertEqual(answer["state"], "reviewing")
        done = bob.call(REVIEW_APPROVE, {"review_id": v["review_id"], "comment": "fine",
                                         "digest": listed[0]["digest"]}, REVIEWS)["reviews"][0]
        self.assertEqual(done["state"], "approved")
        self.assertEqual(done["approvals"][0]["by"], "bob")
        again = self.verdict_of(a, v)
        self.assertEqual((again["state"], again["comment"]), ("approved", "fine"))
        a.supervisor.expect(CLAIMED, a.claim(v))
        a.settle(v)
        self.assertEqual(a.ledger.wait_for("review-approved")["data"]["uid"], BOB)
        a.ledger.wait_for("settled")
        self.assertEqual(bob.call(REVIEW_LIST, {}, REVIEWS)["reviews"], [])
        ended = bob.call(REVIEW_LIST, {"all": True}, REVIEWS)["reviews"][0]
        self.assertEqual(ended["state"], "succeeded")

    def test_the_claim_of_a_reviewed_action_waits_for_the_record_of_its_approval(self):
        a = self.arbiter()
        v = self.held(a)
        a.ledger.wait_for("review-opened")
        a.ledger.hold()
        a.person(BOB).call(REVIEW_APPROVE, {"review_id": v["review_id"]}, REVIEWS)
        self.verdict_of(a, v)
        serial = a.claim(v)
        a.ledger.wait_for("review-approved")
        a.verdict(exec_action("true"), "isolated")
        self.assertEqual(a.supervisor.early, [])
        a.ledger.release()
        a.supervisor.expect(CLAIMED, serial)

    def test_the_requester_cannot_approve(self):
        a = self.arbiter()
        v = self.held(a, requester=BOB)
        error = a.person(BOB).error(REVIEW_APPROVE, {"review_id": v["review_id"]})
        self.assertEqual(error["code"], "review_own_request")
        a.person(ALICE).call(REVIEW_APPROVE, {"review_id": v["review_id"]}, REVIEWS)  # control
        self.assertEqual(self.verdict_of(a, v)["state"], "approved")

    def test_self_approval_is_recorded_as_conventional(self):
        a = self.arbiter()
        v = self.held(a, SELF, requester=BOB)
        a.person(BOB).call(REVIEW_APPROVE, {"review_id": v["review_id"]}, REVIEWS)
        self.assertEqual(self.verdict_of(a, v)["state"], "approved")
        self.assertIs(a.ledger.wait_for("review-approved")["data"]["conventional"], True)

    def test_who_has_no_role_can_neither_approve_nor_deny_nor_see_it(self):
        a = self.arbiter()
        v = self.held(a, requester=ALICE)
        mallory = a.person(MALLORY)
        for kind in (REVIEW_APPROVE, REVIEW_DENY):
            self.assertEqual(mallory.error(kind, {"review_id": v["review_id"]})["code"],
                             "review_not_yours")
        self.assertEqual(mallory.call(REVIEW_LIST, {}, REVIEWS)["reviews"], [])
        self.assertEqual(mallory.error(REVIEW_SHOW, {"review_id": v["review_id"]})["code"],
                         "review_unknown")
        root = a.person(0)
        self.assertEqual(root.error(REVIEW_APPROVE, {"review_id": v["review_id"]})["code"],
                         "review_not_yours")

    def test_a_group_gives_a_role(self):
        a = self.arbiter()
        v = self.held(a)
        a.person(ALICE).call(REVIEW_APPROVE, {"review_id": v["review_id"]}, REVIEWS)
        self.assertEqual(self.verdict_of(a, v)["state"], "approved")

    def test_two_roles_need_two_people(self):
        a = self.arbiter()
        v = self.held(a, program="held-by-two")
        bob, carol = a.person(BOB), a.person(CAROL)
        one = bob.call(REVIEW_APPROVE, {"review_id": v["review_id"]}, REVIEWS)["reviews"][0]
        self.assertEqual(one["state"], "reviewing")
        error = bob.error(REVIEW_APPROVE, {"review_id": v["review_id"], "role": "dba"})
        self.assertEqual(error["code"], "review_same_person")
        self.assertEqual(a.supervisor.expect(VERDICT, a.claim(v))["state"], "reviewing")
        carol.call(REVIEW_APPROVE, {"review_id": v["review_id"]}, REVIEWS)
        self.assertEqual(self.verdict_of(a, v)["state"], "approved")

    def test_a_filled_role_is_not_filled_again(self):
        a = self.arbiter()
        v = self.held(a, program="held-by-two")
        a.person(BOB).call(REVIEW_APPROVE, {"review_id": v["review_id"], "role": "dba"}, REVIEWS)
        error = a.person(CAROL).error(REVIEW_APPROVE, {"review_id": v["review_id"]})
        self.assertEqual(error["code"], "review_role_filled")

    def test_one_denial_is_final(self):
        a = self.arbiter()
        v = self.held(a, program="held-by-two")
        bob, carol = a.person(BOB), a.person(CAROL)
        bob.call(REVIEW_APPROVE, {"review_id": v["review_id"]}, REVIEWS)
        carol.call(REVIEW_DENY, {"review_id": v["review_id"], "comment": "not today\x1b[2J"}, REVIEWS)
        again = self.verdict_of(a, v)
        self.assertEqual(again["state"], "rejected")
        self.assertEqual(again["comment"], "not today\\x1b[2J")
        alice = a.person(ALICE)
        self.assertEqual(alice.error(REVIEW_APPROVE, {"review_id": v["review_id"]})["code"], "review_closed")
        self.assertEqual(a.supervisor.expect(ERROR, a.claim(v))["error"]["code"], "action_unknown")
        self.assertEqual(a.ledger.wait_for("review-denied")["data"]["by"], "carol")

    def test_a_review_that_nobody_answers_expires(self):
        a = self.arbiter()
        v = self.held(a, rules(timeout="1s"))
        again = self.verdict_of(a, v)
        self.assertEqual(again["state"], "expired")
        error = a.person(BOB).error(REVIEW_APPROVE, {"review_id": v["review_id"]})
        self.assertEqual(error["code"], "review_closed")
        a.ledger.wait_for("review-expired")

    def test_an_approval_that_is_claimed_too_late_expires(self):
        a = self.arbiter()
        v = self.held(a, rules(timeout="1s"))
        a.person(BOB).call(REVIEW_APPROVE, {"review_id": v["review_id"]}, REVIEWS)
        self.assertEqual(self.verdict_of(a, v)["state"], "approved")
        self.assertEqual(self.verdict_of(a, v)["state"], "expired")
        self.assertEqual(a.supervisor.expect(ERROR, a.claim(v))["error"]["code"], "action_unknown")

    def test_what_the_approver_did_not_see_is_not_approved(self):
        a = self.arbiter()
        v = self.held(a)
        error = a.person(BOB).error(REVIEW_APPROVE, {"review_id": v["review_id"], "digest": "0" * 64})
        self.assertEqual(error["code"], "review_changed")

    def test_escapes_in_a_command_are_shown_and_not_obeyed(self):
        a = self.arbiter()
        action = exec_action("held", "a b", "\x1b[31m\u202e", "it's")
        v = a.verdict(action, rules(), MALLORY)
        shown = a.person(BOB).call(REVIEW_SHOW, {"review_id": v["review_id"]}, REVIEWS)["reviews"][0]
        self.assertNotIn("\x1b", shown["command"])
        self.assertNotIn("\u202e", shown["command"])
        self.assertTrue(shown["command"].startswith("held 'a b' "), shown["command"])

    def test_a_watcher_hears_of_every_change(self):
        a = self.arbiter()
        bob = a.person(BOB)
        serial = bob.send(REVIEW_WATCH)
        self.assertEqual(bob.expect(REVIEWS, serial)["reviews"], [])
        v = self.held(a)
        self.assertEqual(bob.expect(REVIEWS, serial)["reviews"][0]["state"], "reviewing")
        a.person(ALICE).call(REVIEW_DENY, {"review_id": v["review_id"]}, REVIEWS)
        self.assertEqual(bob.expect(REVIEWS, serial)["reviews"][0]["state"], "rejected")

    def test_the_requester_may_leave(self):
        a = self.arbiter()
        v = self.held(a)
        a.supervisor.send(WITHDRAW, {"action_id": v["action_id"]}, serial=0)
        self.assertEqual(self.verdict_of(a, v)["state"], "revoked")
        error = a.person(BOB).error(REVIEW_APPROVE, {"review_id": v["review_id"]})
        self.assertEqual(error["code"], "review_closed")

    def test_a_role_that_nobody_has_refuses_the_action_at_once(self):
        a = self.arbiter(people="")
        error = a.refusal(exec_action("held"), rules())
        self.assertEqual(error["code"], "review_role_unknown")
        self.assertIn("operator", error["message"])
        self.assertIn("config.yaml", error["message"])
        self.assertEqual(a.verdict(exec_action("true"), rules())["state"], "approved")

    def test_a_configuration_that_is_wrong_names_its_line(self):
        a = self.arbiter(people="people:\n  operator: {userz: [bob]}\n")
        error = a.refusal(exec_action("held"), rules())
        self.assertIn("configuration:2:14", error["message"])


class Races(Case):
    def decide_at_once(self, a, v, people, kinds):
        """Everybody's message is in the socket before the first is read; what each is answered."""
        answers = {}
        os.kill(a.process.pid, 19)  # SIGSTOP: nobody is first by being quicker to send
        talks = []
        for who, kind in zip(people, kinds):
            talk = who
            talks.append((talk, talk.send(kind, {"review_id": v["review_id"]})))
        os.kill(a.process.pid, 18)
        for i, (talk, serial) in enumerate(talks):
            while True:
                k, s, body = talk.receive()
                if s == serial:
                    answers[i] = (k, body)
                    break
        return answers

    def test_two_approvers_at_once_approve_once(self):
        a = self.arbiter()
        people = [a.person(ALICE), a.person(BOB)]
        for _ in range(10):
            v = self.held(a)
            answers = self.decide_at_once(a, v, people, [REVIEW_APPROVE, REVIEW_APPROVE])
            self.assertEqual(sorted(k for k, _ in answers.values()), [ERROR, REVIEWS])
            self.assertEqual(self.verdict_of(a, v)["state"], "approved")
            a.supervisor.expect(CLAIMED, a.claim(v))
            a.settle(v)
            self.assertEqual(a.supervisor.early, [])

    def test_an_approval_and_a_denial_at_once_end_in_one_state(self):
        a = self.arbiter()
        people = [a.person(ALICE), a.person(BOB)]
        for _ in range(10):
            v = self.held(a)
            answers = self.decide_at_once(a, v, people, [REVIEW_APPROVE, REVIEW_DENY])
            self.assertEqual(sorted(k for k, _ in answers.values()), [ERROR, REVIEWS])
            state = self.verdict_of(a, v)["state"]
            self.assertEqual(state, "approved" if answers[0][0] == REVIEWS else "rejected")

    def test_an_approval_against_the_expiry_ends_in_one_state(self):
        a = self.arbiter()
        bob = a.person(BOB)
        v = self.held(a, rules(timeout="1s"))
        os.kill(a.process.pid, 19)
        serial = bob.send(REVIEW_APPROVE, {"review_id": v["review_id"]})
        threading.Event().wait(1.1)  # until the deadline has passed for certain
        os.kill(a.process.pid, 18)
        self.assertIn(bob.expect(ERROR, serial)["error"]["code"], ("review_expired", "review_closed"))
        self.assertEqual(self.verdict_of(a, v)["state"], "expired")


class Crashing(Case):
    def states(self, a):
        with sqlite3.connect("file:%s/store.db?mode=ro" % a.state, uri=True) as db:
            return dict(db.execute("SELECT id, state FROM actions"))

    def test_killed_between_claim_and_effect_it_is_unknown_and_never_performed_twice(self):
        a = self.arbiter()
        v = self.held(a)
        a.person(BOB).call(REVIEW_APPROVE, {"review_id": v["review_id"]}, REVIEWS)
        self.verdict_of(a, v)
        a.supervisor.expect(CLAIMED, a.claim(v))
        a.kill()
        a.restart()
        self.assertEqual(a.supervisor.expect(ERROR, a.claim(v))["error"]["code"], "action_unknown")
        ended = a.person(BOB).call(REVIEW_LIST, {"all": True}, REVIEWS)["reviews"][0]
        self.assertEqual(ended["state"], "unknown")
        self.assertEqual(a.ledger.wait_for("settled")["data"]["state"], "unknown")
        a.settle(v)  # late news of an earlier life changes nothing
        a.verdict(exec_action("true"), "isolated")
        self.assertEqual(self.states(a)[v["action_id"]], "unknown")

    def test_a_commit_whose_arbiter_died_is_unknown(self):
        a = self.arbiter()
        v = a.verdict(commit_action("/project/a"), rules())
        a.supervisor.expect(CLAIMED, a.claim(v))
        a.kill()
        a.restart()
        a.person(BOB).call(REVIEW_LIST, {}, REVIEWS)
        self.assertEqual(self.states(a)[v["action_id"]], "unknown")

    def test_a_review_whose_requester_is_gone_cannot_be_approved(self):
        a = self.arbiter()
        v = self.held(a)
        a.kill()
        a.restart()
        error = a.person(BOB).error(REVIEW_APPROVE, {"review_id": v["review_id"]})
        self.assertEqual(error["code"], "review_closed")
        self.assertIn("invalidated", error["message"])
        a.ledger.wait_for("invalidated")

    def test_a_review_that_expired_while_nobody_ran_is_expired(self):
        a = self.arbiter()
        v = self.held(a, rules(timeout="1s"))
        a.kill()
        threading.Event().wait(1.1)
        a.restart()
        a.person(BOB).call(REVIEW_LIST, {}, REVIEWS)
        self.assertEqual(self.states(a)[v["action_id"]], "expired")

    def test_a_stored_action_that_was_altered_is_not_performed(self):
        for column, value in (("record", '{"kind":"exec","request":{"argv":["rm"]},"target":"/bin/rm"}'),
                              ("digest", "0" * 64), ("state", "rejected")):
            with self.subTest(column):
                a = self.arbiter()
                v = self.held(a)
                a.person(BOB).call(REVIEW_APPROVE, {"review_id": v["review_id"]}, REVIEWS)
                self.verdict_of(a, v)
                with sqlite3.connect(a.state + "/store.db") as db:
                    db.execute("UPDATE actions SET %s = ? WHERE id = ?" % column, (value, v["action_id"]))
                answer = a.supervisor.expect(VERDICT, a.claim(v))
                self.assertEqual(answer["state"], "invalidated")

    def test_killed_at_any_point_of_a_review_it_never_claims_twice(self):
        a = self.arbiter()
        for step in range(4):
            v = self.held(a)
            claims = 0
            if step > 0:
                a.person(BOB).call(REVIEW_APPROVE, {"review_id": v["review_id"]}, REVIEWS)
            if step > 1:
                a.supervisor.expect(CLAIMED, a.claim(v))
                claims = 1
            if step > 2:
                a.settle(v)
                a.ledger.wait_for("settled", action=v["action_id"])
            a.kill()
            a.restart()
            self.assertEqual(a.supervisor.expect(ERROR, a.claim(v))["error"]["code"], "action_unknown")
            a.person(BOB).call(REVIEW_LIST, {}, REVIEWS)
            want = ["invalidated", "invalidated", "unknown", "succeeded"][step]
            self.assertEqual(self.states(a)[v["action_id"]], want)
            self.assertLessEqual(claims, 1)


class Killing(Case):
    def test_kill_all_revokes_what_waits_and_tells_the_supervisor(self):
        a = self.arbiter()
        waiting = self.held(a)
        unclaimed = a.verdict(exec_action("true"), "isolated")
        running = a.verdict(exec_action("true"), "isolated")
        a.supervisor.expect(CLAIMED, a.claim(running))
        bob = a.person(BOB)
        serial = bob.send(KILL, {"all": True})
        kind, order, body = a.supervisor.receive()
        seen = {}
        while kind != KILL_TASK:
            seen[body["action_id"]] = body["state"]
            kind, order, body = a.supervisor.receive()
        self.assertEqual(seen, {waiting["action_id"]: "revoked", unclaimed["action_id"]: "revoked"})
        self.assertEqual((body["all"], body["epoch"]), (True, 1))
        # On disk before it was told.
        with open(a.state + "/kill-epoch") as f:
            self.assertIn("now 1\nall 1\n", f.read())
        a.supervisor.send(KILLED, {"count": 1}, serial=order)
        done = bob.expect(KILL_DONE, serial)
        self.assertEqual((done["count"], done["epoch"]), (1, 1))
        self.assertEqual(sorted(done["tasks"]),
                         sorted(v["task"] for v in (waiting, unclaimed, running)))
        self.assertEqual(a.supervisor.expect(ERROR, a.claim(unclaimed))["error"]["code"], "action_unknown")
        self.assertEqual(a.ledger.wait_for("killed")["data"]["epoch"], 1)
        self.assertEqual(a.verdict(exec_action("true"), "isolated")["state"], "approved")

    def test_a_claim_that_crosses_a_kill_is_refused(self):
        a = self.arbiter()
        a.ledger.hold()
        v = a.verdict(exec_action("true"), "isolated")
        serial = a.claim(v)
        a.ledger.wait_for("decision")
        a.person(BOB).send(KILL, {"all": True})
        self.assertEqual(a.supervisor.expect(VERDICT, serial)["state"], "revoked")
        a.ledger.release()
        a.supervisor.expect(KILL_TASK)
        self.assertEqual([k for k, _, _ in a.supervisor.early], [])

    def test_a_killed_task_stays_killed_after_a_restart(self):
        a = self.arbiter()
        v = a.verdict(exec_action("true"), "isolated", ALICE)
        other = a.verdict(exec_action("true"), "isolated", ALICE)
        alice = a.person(ALICE)
        serial = alice.send(KILL, {"task": v["task"]})
        a.supervisor.expect(KILL_TASK)
        alice.expect(KILL_DONE, serial)  # the supervisor says nothing: answered after a second
        denied = a.verdict(exec_action("true", task=v["task"]), "isolated", ALICE)
        self.assertEqual(denied["state"], "denied")
        a.supervisor.expect(CLAIMED, a.claim(other))
        a.kill()
        a.restart()
        denied = a.verdict(exec_action("true", task=v["task"]), "isolated", ALICE)
        self.assertEqual(denied["state"], "denied")
        self.assertIn("killed", denied["decision"]["reason"])

    def test_only_its_owner_an_operator_or_root_may_kill_a_task(self):
        a = self.arbiter()
        v = a.verdict(exec_action("true"), "isolated", ALICE)
        mallory = a.person(MALLORY)
        self.assertEqual(mallory.error(KILL, {"task": v["task"]})["code"], "kill_not_yours")
        self.assertEqual(mallory.error(KILL, {"all": True})["code"], "kill_not_yours")
        self.assertEqual(a.person(BOB).error(KILL, {"task": v["task"], "all": True})["code"], "kill_unclear")
        for uid in (BOB, 0, ALICE):
            v = a.verdict(exec_action("true"), "isolated", ALICE)
            person = a.person(uid)
            serial = person.send(KILL, {"task": v["task"]})
            kind, order, _ = a.supervisor.receive()
            while kind != KILL_TASK:
                kind, order, _ = a.supervisor.receive()
            a.supervisor.send(KILLED, {"count": 0}, serial=order)
            self.assertNotIn("unconfirmed", person.expect(KILL_DONE, serial))

    def test_tasks_are_listed_for_who_may_see_them(self):
        a = self.arbiter()
        v = a.verdict(exec_action("true"), "isolated", ALICE)
        tasks = a.person(BOB).call(TASKS, {}, TASKS)["tasks"]
        self.assertEqual([(t["task"], t["requester"], t["state"]) for t in tasks],
                         [(v["task"], "alice", "approved")])
        self.assertEqual(a.person(MALLORY).call(TASKS, {}, TASKS)["tasks"], [])

    def test_a_damaged_epoch_file_stops_everything(self):
        a = self.arbiter()
        a.kill()
        with open(a.state + "/kill-epoch", "w") as f:
            f.write("ringfence kill epoch 1\nnow 1\nall 9\n")
        a.restart()
        self.assertNotEqual(a.process.wait(WAIT), 0)


class Policies(Case):
    def activate(self, person, text, **body):
        with tempfile.TemporaryFile() as f:
            f.write(text.encode())
            f.flush()
            serial = person.send(POLICY_ACTIVATE, body, fds=[f.fileno()])
        kind, s, answer = person.receive()
        self.assertEqual(s, serial)
        return answer

    def test_activate_use_and_roll_back(self):
        a = self.arbiter()
        root = a.person(0)
        first = self.activate(root, rules())
        self.assertEqual((first["name"], first["previous"]), ("acme", ""))
        self.assertEqual(a.verdict(exec_action("true"), "acme")["policy"], first["hash"])
        tighter = rules().replace("program: /usr/bin/true", "program: /usr/bin/false")
        second = self.activate(root, tighter)
        self.assertEqual(second["previous"], first["hash"])
        self.assertEqual(a.verdict(exec_action("true"), "acme")["state"], "denied")
        back = root.call(POLICY_ROLLBACK, {"name": "acme"}, POLICY_STATE)
        self.assertEqual((back["hash"], back["previous"]), (first["hash"], second["hash"]))
        self.assertEqual(a.verdict(exec_action("true"), "acme")["state"], "approved")
        self.assertEqual(root.error(POLICY_ROLLBACK, {"name": "acme"})["code"], "policy_first")
        history = root.call(POLICY_HISTORY, {"name": "acme"}, POLICY_STATE)["generations"]
        self.assertEqual([(g["hash"], g["active"]) for g in history],
                         [(second["hash"], False), (first["hash"], True)])
        self.assertEqual(a.ledger.wait_for("policy-rolled-back")["data"]["hash"], first["hash"])
        a.kill()
        a.restart()
        self.assertEqual(a.verdict(exec_action("true"), "acme")["policy"], first["hash"])

    def test_a_policy_that_does_not_load_changes_nothing(self):
        a = self.arbiter()
        root = a.person(0)
        first = self.activate(root, rules())
        error = self.activate(root, rules() + "nonsense: 1\n", file="new.yaml")["error"]
        self.assertIn("new.yaml:", error["message"])
        self.assertEqual(a.verdict(exec_action("true"), "acme")["policy"], first["hash"])

    def test_who_may_not_change_policies(self):
        a = self.arbiter()
        self.assertEqual(self.activate(a.person(MALLORY), rules())["error"]["code"], "policy_not_yours")
        error = self.activate(a.person(0), rules().replace("name: acme", "name: isolated", 1))["error"]
        self.assertEqual(error["code"], "policy_builtin")
        self.assertIn("hash", self.activate(a.person(BOB), rules()))

    def test_a_changed_policy_invalidates_its_reviews(self):
        a = self.arbiter()
        root = a.person(0)
        self.activate(root, rules())
        v = self.held(a, "acme")
        w = self.held(a, "acme")
        a.person(BOB).call(REVIEW_APPROVE, {"review_id": w["review_id"]}, REVIEWS)
        self.verdict_of(a, w)
        self.activate(root, rules(timeout="20m"))
        for one in (v, w):
            self.assertEqual(self.verdict_of(a, one)["state"], "invalidated")
        self.assertEqual(a.person(BOB).error(REVIEW_APPROVE, {"review_id": v["review_id"]})["code"],
                         "review_closed")

    def test_an_unclaimed_action_is_decided_again_under_the_new_policy(self):
        a = self.arbiter()
        root = a.person(0)
        self.activate(root, rules())
        v = a.verdict(exec_action("true"), "acme")
        w = a.verdict(exec_action("true"), "acme")
        self.activate(root, rules(timeout="20m"))
        a.supervisor.expect(CLAIMED, a.claim(v))  # still allowed
        self.assertEqual(a.ledger.wait_for("decision", 3)["action_id"], v["action_id"])
        self.activate(root, rules().replace("program: /usr/bin/true", "program: /usr/bin/false"))
        self.assertEqual(a.supervisor.expect(VERDICT, a.claim(w))["state"], "invalidated")


class Rootless(Case):
    def arbiter(self, **options):
        options.setdefault("people", "")
        return super().arbiter(rootless_uid=ALICE, **options)

    def test_a_plain_run_works(self):
        a = self.arbiter()
        v = a.verdict(exec_action("true"), "isolated")
        a.supervisor.expect(CLAIMED, a.claim(v))

    def test_two_people_are_refused_where_there_is_one(self):
        a = self.arbiter()
        for policy in (rules(), ONE_PERSON):
            for program in ("held", "true"):
                error = a.refusal(exec_action(program), policy)
                self.assertEqual(error["code"], "review_needs_two_people")
                self.assertIn("self_approve", error["remedy"])

    def test_self_approval_works_and_is_conventional(self):
        a = self.arbiter()
        v = self.held(a, SELF, requester=ALICE)
        me = a.person(ALICE)
        me.call(REVIEW_APPROVE, {"review_id": v["review_id"]}, REVIEWS)
        self.assertEqual(self.verdict_of(a, v)["state"], "approved")
        self.assertIs(a.ledger.wait_for("review-approved")["data"]["conventional"], True)

    def test_another_user_is_nobody(self):
        a = self.arbiter()
        v = self.held(a, SELF, requester=ALICE)
        error = a.person(BOB).error(REVIEW_APPROVE, {"review_id": v["review_id"]})
        self.assertEqual(error["code"], "review_not_yours")


class Hostile(Case):
    PACKETS = [
        b"", b"x", b"RFM1", b"\0" * 16, b"RFM1" + b"\xff" * 200,
        struct.pack("<IHHII", MAGIC, REVIEW_LIST, 0, 1, 5) + b"{}",
        struct.pack("<IHHII", MAGIC, REVIEW_LIST, 0, 1, 2) + b"[1",
        struct.pack("<IHHII", MAGIC, REVIEW_LIST, 1, 1, 2) + b"{}",
        struct.pack("<IHHII", MAGIC, PROPOSE, 0, 1, 2) + b"{}",    # not theirs to send
        struct.pack("<IHHII", MAGIC, APPENDED, 0, 1, 2) + b"{}",
        struct.pack("<IHHII", MAGIC, 9999, 0, 1, 2) + b"{}",
        struct.pack("<IHHII", MAGIC, KILL, 0, 1, 40000) + b'{"task":"' + b"a" * 39989 + b'"}',
    ]

    def test_a_malformed_packet_ends_its_conversation_and_no_other(self):
        a = self.arbiter()
        witness = a.person(BOB)
        for packet in self.PACKETS:
            with self.subTest(packet[:20]):
                talk = a.person(MALLORY)
                talk.raw(packet)
                with self.assertRaises(Closed):
                    talk.receive()
                self.assertEqual(witness.call(TASKS, {}, TASKS)["tasks"], [])

    def test_wrong_types_are_answered(self):
        a = self.arbiter()
        bob = a.person(BOB)
        for kind in (REVIEW_SHOW, REVIEW_APPROVE, REVIEW_DENY, KILL, POLICY_ROLLBACK, POLICY_ACTIVATE):
            for body in ({}, {"review_id": 5}, {"review_id": ["x"]}, {"task": 1}, {"name": {}}, {"all": "yes"}):
                self.assertTrue(bob.error(kind, body)["code"])

    def test_one_user_cannot_take_every_place(self):
        a = self.arbiter()
        crowd = [a.person(MALLORY) for _ in range(40)]
        self.assertEqual(a.person(BOB).call(TASKS, {}, TASKS)["tasks"], [])
        for talk in crowd:
            talk.close()


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("needs root: people are real uids")
        sys.exit(77)
    unittest.main()
