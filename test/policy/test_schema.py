#!/usr/bin/python3
"""The published JSON Schema: it is current, it is a schema, it accepts what the loader accepts, and
it refuses what the loader refuses for reasons that a schema can know."""

import json
import os
import subprocess
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
RF_POLICY = Path(os.environ["RINGFENCE_BIN"]) / "rf-policy"

try:
    import jsonschema
except ImportError:
    jsonschema = None

HEAD = "version: 1\nname: t\n"
BROKEN = [
    "name: t\n",
    "version: 2\nname: t\n",
    HEAD + "sandbx: {}\n",
    HEAD + "sandbox: {tier: gvisr}\n",
    HEAD + "sandbox: {limits: {memory: 512MB}}\n",
    HEAD + "sandbox: {limits: {processes: 0}}\n",
    HEAD + "sandbox: {floor: [seccmp]}\n",
    HEAD + "sandbox: {floor: [seccomp: strong]}\n",
    HEAD + "review: {timeout: 15}\n",
    HEAD + "review: {self_approve: maybe}\n",
    HEAD + "rules:\n  - {name: a, allow: exec}\n",
    HEAD + "rules:\n  - {name: a, allow: exec, deny: exec, program: any}\n",
    HEAD + "rules:\n  - {name: a, program: any}\n",
    HEAD + "rules:\n  - {name: a, allow: http, hosts: [x.org], metods: [GET]}\n",
    HEAD + "rules:\n  - {name: a, allow: http, hosts: [x.org]}\n",
    HEAD + "rules:\n  - {name: a, allow: exec, program: any, approvals: [x]}\n",
    HEAD + "rules:\n  - {name: a, deny: exec, program: any, undo: none}\n",
    HEAD + "rules:\n  - {name: a, deny: exec, program: any, hosts: [x.org]}\n",
    HEAD + "rules:\n  - {name: a, allow: net, hosts: any, ports: [70000]}\n",
    HEAD + "risk: {data: {t: secretive}}\n",
    HEAD + "tests:\n  - {exec: [a]}\n",
]


def rf_policy(*args, text=None):
    return subprocess.run([RF_POLICY, *args], input=text, capture_output=True, text=True, check=False)


def as_json(where, text=None):
    """A policy file as the plain data that an editor sees."""
    result = rf_policy("show", where, "--json", text=text)
    return json.loads(result.stdout)


class Schema(unittest.TestCase):
    def setUp(self):
        self.schema = json.loads(rf_policy("schema").stdout)

    def test_the_committed_schema_is_current(self):
        committed = (ROOT / "doc" / "policy.schema.json").read_text(encoding="utf-8")
        self.assertEqual(committed, rf_policy("schema").stdout,
                         "run: rf-policy schema > doc/policy.schema.json")

    @unittest.skipIf(jsonschema is None, "python3-jsonschema is not installed")
    def test_it_accepts_every_example_and_built_in_policy(self):
        jsonschema.Draft7Validator.check_schema(self.schema)
        examples = sorted((ROOT / "policies").glob("*.yaml"))
        self.assertGreaterEqual(len(examples), 3)
        for where in [*map(str, examples), "isolated", "workspace"]:
            with self.subTest(where):
                self.assertEqual(rf_policy("check", where).returncode, 0)
                jsonschema.validate(as_json(where), self.schema, jsonschema.Draft7Validator)
        starter = rf_policy("init", "-").stdout
        jsonschema.validate(as_json("-", starter), self.schema, jsonschema.Draft7Validator)

    def test_the_loader_refuses_what_is_broken(self):
        for text in BROKEN:
            with self.subTest(text):
                self.assertEqual(rf_policy("check", "-", text=text).returncode, 1)

    @unittest.skipIf(jsonschema is None, "python3-jsonschema is not installed")
    def test_the_schema_refuses_what_is_broken(self):
        for text in BROKEN:
            with self.subTest(text):
                with self.assertRaises(jsonschema.ValidationError):
                    jsonschema.validate(as_json("-", text), self.schema, jsonschema.Draft7Validator)


if __name__ == "__main__":
    sys.exit(unittest.main())
