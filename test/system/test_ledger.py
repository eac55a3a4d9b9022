#!/usr/bin/python3
"""rf-ledger and rf-audit as programs: appending, crashing, a full disk, and every way of tampering.

Each claim that something is found has its control: the untouched ledger verifies, and what a claim
depends on (a checkpoint held elsewhere, a pinned key) is also left out once, to see it fail."""

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import ledgerlib  # noqa: E402
from ledgerlib import Ledger, LedgerError, audit, copy, lines, segments, slurp  # noqa: E402


def leaf(line):
    return hashlib.sha256(b"\0" + line).digest()


def canonical(value):
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


def rechain(records):
    """What an attacker who edits records would do next: make the chain whole again."""
    out, prev = [], "0" * 64
    for seq, record in enumerate(records):
        record = dict(record, prev=prev, seq=seq)
        line = canonical(record)
        prev = leaf(line).hex()
        out.append(line)
    return out


class Case(unittest.TestCase):
    def setUp(self):
        self.base = tempfile.mkdtemp(prefix="rf-ledger-")
        os.chmod(self.base, 0o755)
        self.dir = os.path.join(self.base, "ledger")
        self.addCleanup(shutil.rmtree, self.base, ignore_errors=True)
        self.running = []
        self.addCleanup(self.end_all)

    def start(self, directory=None, **options):
        ledger = Ledger(directory or self.dir, **options)
        self.running.append(ledger)
        return ledger

    def end_all(self):
        for ledger in self.running:
            if ledger.process.poll() is None:
                ledger.kill()
            for end in (ledger.process.stderr, ledger.arbiter.sock, ledger.supervisor.sock):
                end.close()

    def path(self, *names):
        return os.path.join(self.base, *names)

    def write(self, name, text):
        with open(self.path(name), "w") as f:
            f.write(text)
        return self.path(name)

    def make(self, count=30, directory=None, checkpoints_at=()):
        """A finished ledger; returns the notes it gave."""
        ledger = self.start(directory)
        notes = []
        for i in range(count):
            ledger.arbiter.append("exec", {"n": i, "target": "/usr/bin/x%d" % i},
                                  task="task-%d" % (i % 3), action_id="action-%d" % i)
            if i in checkpoints_at:
                notes.append(ledger.supervisor.checkpoint())
        notes.append(ledger.supervisor.checkpoint())
        self.assertEqual(ledger.stop(), 0, ledger.stderr)
        return notes

    def lines_of(self, directory=None):
        return lines(directory or self.dir)

    def put(self, directory, new):
        for name in segments(directory):
            os.unlink(os.path.join(directory, name))
        with open(os.path.join(directory, "00000000.jsonl"), "wb") as f:
            f.write(b"".join(line + b"\n" for line in new))

    def finding(self, directory, *arguments):
        done = audit("verify", directory, "--json", *arguments, check=1)
        return json.loads(done.stdout)["finding"]


class Appending(Case):
    def test_acknowledged_records_stand_in_order_with_their_hashes(self):
        ledger = self.start()
        replies = [ledger.arbiter.append("exec", {"n": i}, durable=i % 2 == 0) for i in range(50)]
        self.assertEqual(ledger.stop(), 0)
        stored = self.lines_of()
        for i, reply in enumerate(replies):
            self.assertEqual(reply["index"], i + 1)  # behind the genesis record
            self.assertEqual(reply["hash"], leaf(stored[i + 1]).hex())
            self.assertEqual(json.loads(stored[i + 1])["data"], {"n": i})
        audit("verify", self.dir, check=0)

    def test_leaving_signs_everything(self):
        ledger = self.start()
        ledger.arbiter.append("exec", {"n": 1})
        self.assertEqual(ledger.stop(), 0)
        result = json.loads(audit("verify", self.dir, "--json", check=0).stdout)
        self.assertEqual(result["unsigned"], 0)
        self.assertEqual(result["signed"], len(self.lines_of()))

    def test_records_without_an_answer_are_kept_when_all_leave(self):
        ledger = self.start()
        for i in range(500):
            ledger.arbiter.send(ledgerlib.MSG_APPEND, {"event": "settled", "data": {"n": i}},
                                answered=False)
        self.assertEqual(ledger.stop(), 0)
        self.assertEqual(sum(b'"settled"' in line for line in self.lines_of()), 500)

    def test_a_second_start_goes_on_where_the_first_ended(self):
        for _ in range(3):
            self.make(5)
        audit("verify", self.dir, check=0)
        self.assertEqual([json.loads(l)["seq"] for l in self.lines_of()], list(range(17)))

    def test_a_start_without_records_adds_nothing(self):
        self.make(5)
        before = {n: slurp(os.path.join(self.dir, n)) for n in os.listdir(self.dir)}
        self.assertEqual(self.start().stop(), 0)
        after = {n: slurp(os.path.join(self.dir, n)) for n in os.listdir(self.dir)}
        self.assertEqual(before, after)

    def test_the_key_is_private(self):
        self.make(1)
        self.assertEqual(os.stat(os.path.join(self.dir, "ledger.key")).st_mode & 0o777, 0o600)

    def test_what_is_no_record_is_refused_and_the_ledger_goes_on(self):
        ledger = self.start()
        for event, data in (("", {}), ("A B", {}), ("x" * 65, {}), ("genesis", {}), ("key", {}),
                            ("recovered", {}), ("x", [1]), ("x", "text")):
            with self.assertRaises(LedgerError):
                ledger.arbiter.call(ledgerlib.MSG_APPEND, {"event": event, "data": data})
        with self.assertRaises(LedgerError):
            ledger.arbiter.append("x", {}, task="a b")
        ledger.arbiter.append("x", {})
        self.assertEqual(ledger.stop(), 0)
        self.assertEqual(len(self.lines_of()), 3)  # genesis, x, key

    def test_the_largest_record_is_kept_whole(self):
        ledger = self.start()
        text = "y" * (127 * 1024)
        ledger.arbiter.append("x", {"text": text})
        ledger.arbiter.append("x", {"token": ["z" * 10] * 5000})  # redaction makes it longer
        self.assertEqual(ledger.stop(), 0)
        self.assertEqual(json.loads(self.lines_of()[1])["data"]["text"], text)
        audit("verify", self.dir, check=0)

    def test_a_malformed_message_ends_the_conversation_and_nothing_else(self):
        for bad in (b"x", b"\0" * 16, ledgerlib.encode(ledgerlib.MSG_APPEND, 1, {})[:-1] + b"x",
                    ledgerlib.encode(31, 1, {}), b"RFM1" + b"\xff" * 60):
            ledger = self.start()
            ledger.arbiter.sock.send(bad)
            with self.assertRaises((EOFError, ConnectionError)):
                ledger.arbiter.receive()
            ledger.supervisor.append("x", {})
            self.assertEqual(ledger.stop(), 0)
        audit("verify", self.dir, check=0)

    def test_people_may_ask_but_not_append(self):
        ledger = self.start(listener=True)
        person = ledger.person()
        self.assertEqual(person.call(ledgerlib.MSG_STATUS)["size"], 1)
        person.call(ledgerlib.MSG_SYNC)
        self.assertIn("ringfence.local/", person.checkpoint())
        person.send(ledgerlib.MSG_APPEND, {"event": "x", "data": {}})
        with self.assertRaises((EOFError, ConnectionError)):
            person.receive()
        person.close()
        self.assertEqual(ledger.stop(), 0)
        self.assertFalse(any(b'"event":"x"' in line for line in self.lines_of()))

    def test_two_writers_cannot_hold_one_ledger(self):
        first = self.start()
        first.arbiter.append("x", {})
        second = self.start()
        self.assertEqual(second.stop(), 125)
        self.assertIn("another rf-ledger", second.stderr)
        self.assertEqual(first.stop(), 0)

    def test_secrets_do_not_reach_the_disk(self):
        secrets = ["hunter2hunter2", "ghp_" + "A1b2C3d4E5f6" * 3, "AKIAIOSFODNN7EXAMPLE",
                   "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl"]
        plain = "not-a-secret-4711"  # the control: found if it is written
        ledger = self.start()
        ledger.arbiter.append("exec", {
            "password": secrets[0], "argv": ["curl", "-H", "Authorization: Bearer " + secrets[1]],
            "url": "https://u:" + secrets[0] + "@h/", "env": {"AWS": secrets[2]}, "x": secrets[3],
            "plain": plain})
        self.assertEqual(ledger.stop(), 0)
        everything = b"".join(slurp(os.path.join(self.dir, n))
                              for n in os.listdir(self.dir))
        self.assertIn(plain.encode(), everything)
        for secret in secrets:
            self.assertNotIn(secret.encode(), everything)

    def test_its_locks_are_on(self):
        ledger = self.start()
        ledger.arbiter.append("x", {})
        with open("/proc/%d/status" % ledger.process.pid) as f:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
        self.assertEqual(status["Seccomp"], "2")
        self.assertEqual(status["NoNewPrivs"], "1")
        for kind in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
            self.assertEqual(int(status[kind], 16), 0)
        if os.geteuid() == 0:
            self.assertEqual(status["Uid"].split(), ["64321"] * 4)
            self.assertEqual(int(status["CapBnd"], 16), 0)
            self.assertEqual(os.readlink("/proc/%d/root" % ledger.process.pid),
                             os.path.realpath(self.dir))
        self.assertEqual(ledger.stop(), 0)


class Tampering(Case):
    def setUp(self):
        super().setUp()
        self.notes = self.make(30, checkpoints_at=(9, 19))
        self.whole = self.lines_of()
        audit("verify", self.dir, check=0)  # the control of all that follows

    def tampered(self):
        return copy(self.dir, tempfile.mkdtemp(dir=self.base) + "/copy")

    def test_any_edited_record_is_found_at_its_line(self):
        for i in range(len(self.whole)):
            record = json.loads(self.whole[i])
            record["data"]["n"] = 999
            directory = self.tampered()
            self.put(directory, self.whole[:i] + [canonical(record)] + self.whole[i + 1:])
            found = self.finding(directory)
            self.assertEqual(found["file"], "00000000.jsonl")
            if i < len(self.whole) - 1:
                self.assertEqual(found["line"], i + 1)
                self.assertEqual(found["offset"], sum(len(l) + 1 for l in self.whole[:i]))

    def test_any_changed_byte_is_found(self):
        text = b"".join(line + b"\n" for line in self.whole)
        pick = random.Random(7)
        for at in pick.sample(range(len(text)), 150):
            directory = self.tampered()
            changed = bytearray(text)
            changed[at] ^= 1 << pick.randrange(8)
            with open(os.path.join(directory, "00000000.jsonl"), "wb") as f:
                f.write(changed)
            self.finding(directory)

    def test_removed_repeated_and_reordered_records_are_found(self):
        w = self.whole
        for new in (w[1:], w[:5] + w[6:], w[:-1], w[:5] + [w[5]] + w[5:], w[:3] + [w[4], w[3]] + w[5:],
                    list(reversed(w)), []):
            directory = self.tampered()
            self.put(directory, new)
            self.finding(directory)

    def test_an_edit_with_a_mended_chain_is_found_by_the_checkpoint(self):
        records = [json.loads(line) for line in self.whole]
        records[15]["data"]["n"] = 999
        directory = self.tampered()
        self.put(directory, rechain(records))
        found = self.finding(directory)
        self.assertIn("do not match the checkpoint", found["what"])
        # Behind the checkpoint of the 11 records up to number 9, so not before line 12.
        self.assertGreaterEqual(found["line"], 12)

    def test_cutting_the_end_is_found_against_a_checkpoint_held_elsewhere(self):
        early, late = self.notes[1], self.notes[2]
        size = int(early.split("\n")[1])
        directory = self.tampered()
        self.put(directory, self.whole[:size])
        self.finding(directory)  # its own later checkpoints tell
        text = slurp(os.path.join(directory, "checkpoints")).decode()
        cut = text.index(early) + len(early) + 1
        with open(os.path.join(directory, "checkpoints"), "w") as f:
            f.write(text[:cut])
        with open(os.path.join(directory, "checkpoint"), "w") as f:
            f.write(early)
        audit("verify", directory, check=0)  # without one held elsewhere it cannot be seen
        audit("verify", directory, "--since", self.write("early", early), check=0)
        found = self.finding(directory, "--since", self.write("late", late))
        self.assertIn("cut off", found["what"])

    def test_a_witness_file_of_many_checkpoints_serves_as_since(self):
        witness = self.write("witness", "".join(n + "\n" for n in self.notes))
        audit("verify", self.dir, "--since", witness, check=0)

    def test_a_ledger_replaced_whole_is_found_by_its_key(self):
        key = shutil.copy(os.path.join(self.dir, "ledger.pub"), self.path("pinned.pub"))
        other = self.path("other")
        self.make(30, directory=other)
        audit("verify", other, check=0)
        audit("verify", self.dir, "--key", key, check=0)
        self.finding(other, "--key", key)
        self.finding(other, "--since", self.write("since", self.notes[0]))

    def test_records_spliced_from_another_ledger_are_found(self):
        other = self.path("other")
        self.make(30, directory=other)
        theirs = self.lines_of(other)
        for at in (0, 1, 10, len(self.whole) - 1):
            directory = self.tampered()
            self.put(directory, self.whole[:at] + theirs[at:])
            self.finding(directory)
            if at > 0:
                directory = self.tampered()
                self.put(directory, theirs[:at] + self.whole[at:])
                self.finding(directory)
        directory = self.tampered()
        shutil.copy(os.path.join(other, "ledger.pub"), directory)
        self.finding(directory)
        directory = self.tampered()
        shutil.copy(os.path.join(other, "checkpoints"), directory)
        self.finding(directory)

    def test_an_altered_checkpoint_is_found(self):
        text = slurp(os.path.join(self.dir, "checkpoints"))
        pick = random.Random(11)
        for at in pick.sample(range(len(text) - 1), 60):
            directory = self.tampered()
            changed = bytearray(text)
            changed[at] ^= 1
            with open(os.path.join(directory, "checkpoints"), "wb") as f:
                f.write(changed)
            self.finding(directory)

    def test_a_checkpoint_signed_by_another_key_is_found(self):
        other = self.path("other")
        self.make(3, directory=other)
        directory = self.tampered()
        shutil.copy(os.path.join(other, "checkpoint"), directory)
        self.finding(directory)

    def test_removed_checkpoints_leave_nothing_proved(self):
        directory = self.tampered()
        for name in ("checkpoints", "checkpoint"):
            os.unlink(os.path.join(directory, name))
        audit("verify", directory, check=2)

    def test_what_is_not_canonical_json_is_found(self):
        directory = self.tampered()
        spaced = self.whole[4].replace(b'"data":', b'"data": ')
        self.assertEqual(json.loads(spaced), json.loads(self.whole[4]))
        self.put(directory, self.whole[:4] + [spaced] + self.whole[5:])
        self.assertEqual(self.finding(directory)["line"], 5)

    def test_an_altered_history_is_not_signed(self):
        records = [json.loads(line) for line in self.whole]
        records[15]["data"]["n"] = 999
        self.put(self.dir, rechain(records))
        for name in os.listdir(self.dir):
            shutil.chown(os.path.join(self.dir, name), *[os.stat(self.dir).st_uid] * 2)
        before = slurp(os.path.join(self.dir, "checkpoints")).decode()
        ledger = self.start()
        with self.assertRaises(LedgerError) as caught:
            ledger.supervisor.checkpoint()
        self.assertIn("altered", str(caught.exception))
        with self.assertRaises(LedgerError):
            ledger.arbiter.append("x", {})
        self.assertEqual(ledger.stop(), 125)
        self.assertEqual(slurp(os.path.join(self.dir, "checkpoints")).decode(), before)

    def test_a_forged_frontier_changes_nothing(self):
        path = os.path.join(self.dir, "frontier")
        frontier = json.loads(slurp(path))
        for member, value in (("size", 5), ("offset", 10), ("segment", 7), ("head", "0" * 64),
                              ("edge", [])):
            with open(path, "w") as f:
                json.dump(dict(frontier, **{member: value}), f)
            shutil.chown(path, *[os.stat(self.dir).st_uid] * 2)
            ledger = self.start()
            ledger.arbiter.append("x", {})
            self.assertEqual(ledger.stop(), 0, ledger.stderr)
            audit("verify", self.dir, check=0)

    def test_a_lost_key_ends_appending(self):
        os.unlink(os.path.join(self.dir, "ledger.key"))
        ledger = self.start()
        with self.assertRaises(LedgerError) as caught:
            ledger.supervisor.checkpoint()
        self.assertIn("key is gone", str(caught.exception))
        with self.assertRaises(LedgerError):
            ledger.arbiter.append("x", {})
        self.assertEqual(ledger.stop(), 125)
        audit("verify", self.dir, check=0)

    def test_exit_2_where_nothing_can_be_told(self):
        empty = self.path("empty")
        os.mkdir(empty)
        audit("verify", empty, check=2)
        audit("verify", self.path("absent"), check=2)
        audit("verify", self.dir, "--key", self.write("bad", "x"), check=2)
        audit("verify", self.dir, "--since", self.write("bad", "x"), check=2)
        audit("verify", self.dir, "--since", self.path("absent"), check=2)
        audit("verify", "--bogus", check=2)


class Crashing(Case):
    def test_a_torn_end_is_cut_kept_and_recorded(self):
        self.make(10)
        path = os.path.join(self.dir, "00000000.jsonl")
        whole = slurp(path)
        for torn in (b"{", b'{"data":{"n":1},"event":"x"', b"\0" * 5000, b"garbage\n\0\0\n",
                     b"x" * 200000):
            with open(path, "ab") as f:
                f.write(torn)
            ledger = self.start()
            ledger.arbiter.append("x", {})
            self.assertEqual(ledger.stop(), 0, ledger.stderr)
            audit("verify", self.dir, check=0)
            record = [json.loads(l) for l in self.lines_of() if b'"recovered"' in l][-1]["data"]
            kept = slurp(os.path.join(self.dir, record["kept_in"]))
            self.assertEqual(kept, torn)
            self.assertEqual(record["cut_bytes"], len(torn))
            self.assertEqual(record["sha256"], hashlib.sha256(torn).hexdigest())
        self.assertTrue(slurp(path).startswith(whole))

    def test_any_cut_behind_the_checkpoint_is_recovered(self):
        self.make(3)
        ledger = self.start()
        for i in range(3):
            ledger.arbiter.append("late", {"n": i}, durable=True)
        ledger.kill()
        path = os.path.join(self.dir, "00000000.jsonl")
        text = slurp(path)
        start = text.index(b'{"data":{"n":0},"event":"late"')
        for at in range(start, len(text), 13):
            directory = copy(self.dir, self.path("cut%d" % at))
            os.truncate(os.path.join(directory, "00000000.jsonl"), at)
            for name in os.listdir(directory):
                shutil.chown(os.path.join(directory, name), *[os.stat(self.dir).st_uid] * 2)
            ledger = self.start(directory)
            ledger.arbiter.append("x", {})
            self.assertEqual(ledger.stop(), 0, ledger.stderr)
            audit("verify", directory, check=0)

    def test_a_cut_into_what_was_signed_is_found_and_not_signed(self):
        self.make(10)
        path = os.path.join(self.dir, "00000000.jsonl")
        os.truncate(path, os.path.getsize(path) - 20)
        self.finding(self.dir)
        ledger = self.start()
        with self.assertRaises(LedgerError):
            ledger.supervisor.checkpoint()
        self.assertEqual(ledger.stop(), 125)
        self.finding(self.dir)

    def test_killed_at_any_moment_nothing_acknowledged_is_lost(self):
        """10,000 appends, killed at random points again and again."""
        pick = random.Random(os.environ.get("RF_SEED") or 1)
        acknowledged, left = {}, 10000
        while left > 0:
            ledger = self.start()
            batch = min(left, pick.randrange(200, 1500))
            die_at = pick.randrange(batch)
            sent, got = 0, 0
            try:
                while got < batch:
                    while sent < batch and sent - got < 40:
                        ledger.arbiter.send(ledgerlib.MSG_APPEND, {
                            "event": "exec", "data": {"n": left - sent, "text": "x" * pick.randrange(400)},
                            "durable": pick.random() < 0.3})
                        sent += 1
                    if got == die_at:
                        ledger.process.kill()
                    kind, _serial, reply = ledger.arbiter.receive()
                    self.assertEqual(kind, ledgerlib.MSG_APPENDED)
                    self.assertNotIn(reply["index"], acknowledged)
                    acknowledged[reply["index"]] = reply["hash"]
                    got += 1
            except (EOFError, ConnectionError):
                pass
            left -= max(got, 1)
            ledger.kill()
        self.assertEqual(self.start().stop(), 0)
        audit("verify", self.dir, check=0)
        stored = self.lines_of()
        for index, expected in acknowledged.items():
            self.assertEqual(leaf(stored[index]).hex(), expected)
        self.assertGreater(len(acknowledged), 9000)

    def test_killed_while_signing_the_next_start_goes_on(self):
        pick = random.Random(3)
        for _ in range(25):
            ledger = self.start()
            ledger.arbiter.append("x", {})
            ledger.supervisor.send(ledgerlib.MSG_CHECKPOINT, {})
            for _ in range(pick.randrange(40)):
                ledger.arbiter.send(ledgerlib.MSG_APPEND, {"event": "y", "data": {}}, answered=False)
            ledger.kill()
        self.make(1)
        audit("verify", self.dir, check=0)


class FullDisk(Case):
    @unittest.skipUnless(os.geteuid() == 0, "mounting a small file system needs root")
    def test_a_full_disk_fails_closed_and_loses_nothing(self):
        done = subprocess.run(["unshare", "-m", "/usr/bin/python3", os.path.abspath(__file__),
                               "--full-disk", self.base], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=120)
        self.assertEqual(done.returncode, 0, done.stdout.decode())


def full_disk(base):
    """In a mount namespace of its own."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "tmpfs", base], check=True)
    directory = os.path.join(base, "ledger")
    ledger = Ledger(directory)
    acknowledged = []
    message = ""
    try:
        for i in range(5000):
            acknowledged.append(ledger.arbiter.append("exec", {"n": i, "t": "x" * 900},
                                                      durable=i % 3 == 0))
    except LedgerError as error:
        message = str(error)
    assert "No space left" in message, message
    assert len(acknowledged) > 300, len(acknowledged)
    for peer in (ledger.arbiter, ledger.supervisor):  # every append errors from here on
        try:
            peer.append("exec", {})
            raise AssertionError("a failed ledger appended")
        except LedgerError:
            pass
    assert ledger.stop() == 125
    text = slurp(os.path.join(directory, "00000000.jsonl"))
    assert text.endswith(b"\n"), "a torn record was left"
    for reply in acknowledged:
        assert leaf(text.split(b"\n")[reply["index"]]).hex() == reply["hash"]
    # With room again, a new process goes on.
    subprocess.run(["mount", "-o", "remount,size=4m", base], check=True)
    ledger = Ledger(directory)
    ledger.arbiter.append("exec", {"after": True}, durable=True)
    assert ledger.stop() == 0, ledger.stderr
    audit("verify", directory, check=0)
    # Read-only from under it.
    ledger = Ledger(directory)
    ledger.arbiter.append("exec", {})
    os.sync()
    ledger.kill()
    subprocess.run(["mount", "-o", "remount,ro", base], check=True)
    ledger = Ledger(directory)
    assert ledger.stop() == 125
    assert "Read-only" in ledger.stderr, ledger.stderr


class Reading(Case):
    def run_audit(self, *arguments, check=0):
        return audit(*arguments, "--dir", self.dir, check=check).stdout.decode()

    def test_show_finds_an_action_and_a_number(self):
        self.make(30)
        shown = self.run_audit("show", "action-7")
        self.assertIn("/usr/bin/x7", shown)
        self.assertNotIn("/usr/bin/x8", shown)
        self.assertIn("/usr/bin/x4", self.run_audit("show", "5"))
        self.run_audit("show", "999", check=2)
        self.run_audit("show", "nothing", check=2)

    def test_what_agents_wrote_cannot_act_on_a_terminal(self):
        hostile = "\x1b[2J\x1b]0;own\x07\u202etxt.exe\u2066\x9b31m\r\n fake"
        ledger = self.start()
        ledger.arbiter.append("exec", {"target": hostile, hostile: 1}, action_id="a")
        self.assertEqual(ledger.stop(), 0)
        for command in (["show", "a"], ["query"], ["tail"]):
            out = self.run_audit(*command)
            self.assertIn("txt.exe", out)
            for c in "\x1b\x07\u202e\u2066\x9b\r":
                self.assertNotIn(c, out)

    def test_query_filters(self):
        self.make(30)
        as_json = [json.loads(l) for l in self.run_audit("query", "--json").splitlines()]
        self.assertEqual([r["seq"] for r in as_json], list(range(32)))
        for arguments, expected in (
                (["--task", "task-1"], [r["seq"] for r in as_json if r.get("task") == "task-1"]),
                (["--action", "action-3"], [4]), (["--event", "key"], [31]), (["--limit", "2"], [30, 31]),
                (["--since", "2000-01-01T00:00:00Z", "--limit", "1"], [31]),
                (["--until", "2000-01-01T00:00:00Z"], []), (["--since", "1h", "--event", "genesis"], [0]),
                (["--decision", "allow"], [])):
            got = [json.loads(l)["seq"] for l in self.run_audit("query", "--json", *arguments).splitlines()]
            self.assertEqual(got, expected, arguments)
        self.run_audit("query", "--since", "yesterday", check=2)

    def test_query_by_decision(self):
        ledger = self.start()
        for verdict in ("allow", "deny", "allow"):
            ledger.arbiter.append("decision", {"decision": {"decision": verdict, "rule": "r"}})
        self.assertEqual(ledger.stop(), 0)
        self.assertEqual(len(self.run_audit("query", "--decision", "allow").splitlines()), 2)
        self.assertEqual(len(self.run_audit("query", "--decision", "deny").splitlines()), 1)

    def in_state(self, *arguments, check=0):
        env = dict(os.environ, RINGFENCE_STATE=self.base)
        done = subprocess.run([os.path.join(ledgerlib.BIN, "rf-audit")] + list(arguments), env=env,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(done.returncode, check, done.stderr.decode())
        return done.stdout.decode()

    def test_the_index_is_kept_renewed_and_never_believed(self):
        self.make(10)
        index = self.path("audit", "index.db")
        self.assertEqual(len(self.in_state("query").splitlines()), 12)
        self.assertTrue(os.path.exists(index))
        self.make(10)
        self.assertEqual(len(self.in_state("query").splitlines()), 22)
        for damage in (b"", b"not a database at all" * 100):
            with open(index, "wb") as f:
                f.write(damage)
            self.assertEqual(len(self.in_state("query").splitlines()), 22)
            if damage:
                os.unlink(index)
        # Another ledger in the same place.
        self.in_state("query")
        shutil.rmtree(self.dir)
        self.make(3)
        self.assertEqual(len(self.in_state("query").splitlines()), 5)

    def test_checkpoint_asks_the_running_ledger(self):
        os.mkdir(self.path("run"))
        ledger = self.start(listener=True)
        os.rename(ledger.people_path, self.path("run", "ledger.sock"))
        ledger.arbiter.append("x", {})
        note = self.in_state("checkpoint", "--witness", self.path("w"))
        self.assertEqual(int(note.split("\n")[1]), 3)  # genesis, x, key
        self.assertEqual(ledger.stop(), 0)
        self.assertEqual(self.in_state("checkpoint"), note)
        audit("verify", self.dir, "--since", self.path("w"), check=0)

    def test_tail_follows(self):
        self.make(5)
        tail = subprocess.Popen([os.path.join(ledgerlib.BIN, "rf-audit"), "tail", "-f", "-n", "2",
                                 "--json", "--dir", self.dir], stdout=subprocess.PIPE)
        self.addCleanup(tail.stdout.close)
        self.addCleanup(tail.wait)
        self.addCleanup(tail.kill)
        self.assertEqual([json.loads(tail.stdout.readline())["seq"] for _ in range(2)], [5, 6])
        ledger = self.start()
        for i in range(20):
            ledger.arbiter.append("late", {"n": i})
            self.assertEqual(json.loads(tail.stdout.readline())["data"], {"n": i})
        self.assertEqual(ledger.stop(), 0)

    def export(self, *arguments):
        folder = tempfile.mkdtemp(dir=self.base)
        tar = os.path.join(folder, "x.tar")
        self.run_audit("export", *arguments, tar)
        subprocess.run(["tar", "-xf", tar, "-C", folder], check=True)
        os.unlink(tar)
        (name,) = os.listdir(folder)
        return os.path.join(folder, name)

    def test_an_export_verifies_alone_and_only_untouched(self):
        self.make(30, checkpoints_at=(9, 19))
        for arguments, first, count in (([], 0, 32), (["--from", "5"], 5, 27),
                                        (["--to", "8"], 0, 12), (["--from", "5", "--to", "8"], 5, 7),
                                        (["--from", "12", "--to", "13"], 12, 10)):
            part = self.export(*arguments)
            result = json.loads(audit("verify", part, "--json", check=0).stdout)
            self.assertEqual((result["first"], result["records"]), (first, count), arguments)
            self.assertEqual(result["unsigned"], 0)
            text = slurp(os.path.join(part, "00000000.jsonl"))
            with open(os.path.join(part, "00000000.jsonl"), "wb") as f:
                f.write(text.replace(b'"n":7', b'"n":9') if b'"n":7' in text else text[:-40] + text[-39:])
            self.finding(part)
        part = self.export("--from", "5")
        start = json.loads(slurp(os.path.join(part, "start")))
        start["edge"][0] = "0" * 64
        with open(os.path.join(part, "start"), "w") as f:
            json.dump(start, f)
        self.finding(part)
        self.run_audit("export", "--from", "99", self.path("none.tar"), check=2)
        self.assertFalse(os.path.exists(self.path("none.tar")))


class Rotating(Case):
    def test_segments_follow_each_other_and_none_may_be_missing(self):
        ledger = self.start()
        text = "abc " * 30000
        for i in range(1200):
            ledger.arbiter.send(ledgerlib.MSG_APPEND, {"event": "big", "data": {"n": i, "t": text}},
                                answered=False)
        ledger.arbiter.append("big", {"n": 1200}, durable=True, action_id="the-last")
        self.assertEqual(ledger.stop(), 0, ledger.stderr)
        self.assertEqual(segments(self.dir), ["0000000%d.jsonl" % i for i in range(3)])
        for name in segments(self.dir)[:-1]:
            self.assertLessEqual(os.path.getsize(os.path.join(self.dir, name)), 64 << 20)
        self.assertEqual(json.loads(audit("verify", self.dir, "--json", check=0).stdout)["records"], 1203)
        self.assertIn("the-last", audit("show", "the-last", "--dir", self.dir, check=0).stdout.decode())
        self.assertEqual(len(audit("tail", "-n", "700", "--dir", self.dir, check=0).stdout.splitlines()), 700)
        # An empty newest segment is what a crash just after rotation leaves.
        empty = os.path.join(self.dir, "00000003.jsonl")
        open(empty, "w").close()
        shutil.chown(empty, *[os.stat(self.dir).st_uid] * 2)
        ledger = self.start()
        self.assertEqual(ledger.arbiter.append("after", {})["index"], 1203)
        self.assertEqual(ledger.stop(), 0, ledger.stderr)
        audit("verify", self.dir, check=0)
        os.unlink(os.path.join(self.dir, "00000001.jsonl"))
        self.assertEqual(self.finding(self.dir)["file"], "00000001.jsonl")
        os.unlink(os.path.join(self.dir, "00000000.jsonl"))
        self.finding(self.dir)


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--full-disk":
        full_disk(sys.argv[2])
    else:
        unittest.main()
