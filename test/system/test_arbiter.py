#!/usr/bin/env python3
"""rf-arbiter by its packets: decisions, claims, reviews, kills, policies, crashes."""

import os
import unittest

from arbiter_kit import *


class Case(unittest.TestCase):
    def arbiter(self, **options):
        a = Arbiter(**options)
        self.addCleanup(a.destroy)
        return a


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

    def test_what_no_rule_allows_is_denied_and_cannot_be_claimed(self):
        a = self.arbiter()
        v = a.verdict(commit_action("/work/a"), "isolated")
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
        self.assertEqual([k for k, _, _ in a.supervisor.early], [])
        a.ledger.release()
        a.supervisor.expect(CLAIMED, serial)

    def test_a_claim_is_single_use(self):
        a = self.arbiter()
        v = a.verdict(exec_action("true"), "isolated")
        a.supervisor.expect(CLAIMED, a.claim(v))
        self.assertEqual(a.supervisor.expect(ERROR, a.claim(v))["error"]["code"], "action_claimed")


if __name__ == "__main__":
    unittest.main(verbosity=2)
