#!/usr/bin/python3
"""The push guard over what git really sends: its own pushes to its own http-backend, recorded and read in pieces of
many sizes; what git says of a push that was denied; and packs that no git makes."""

import hashlib
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import unittest
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system", "lib"))
from httpd import HttpServer, Response, git_backend  # noqa: E402

FEED = os.environ["RINGFENCE_GIT_FEED"]
ENV = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null",
       "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.com", "GIT_COMMITTER_NAME": "A", "LC_ALL": "C",
       "GIT_COMMITTER_EMAIL": "a@example.com", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
ZERO = "0" * 40
WHY = "only branches agent/** may be pushed"


def git(*args, cwd=None, check=True, **options):
    p = subprocess.run(["git", "-c", "init.defaultBranch=main", "-c", "gc.auto=0", "-c", "advice.detachedHead=false",
                        *args], cwd=cwd, env=ENV, capture_output=True, check=False, timeout=60, **options)
    if check and p.returncode != 0:
        raise AssertionError(f"git {args}: {p.stderr.decode()}")
    return p


def feed_all(bodies, piece=65536, denial=None):
    """What the guard says of each of BODIES."""
    extra = [] if denial is None else [denial, WHY]
    limit = None if "asan" in FEED else lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    p = subprocess.run([FEED, str(piece), *extra], input=b"".join(b"%08x" % len(b) + b for b in bodies),
                       capture_output=True, check=False, timeout=120, preexec_fn=limit)
    if p.returncode != 0:
        raise AssertionError(f"git_feed: {p.returncode} {p.stderr.decode()}")
    return [json.loads(line) for line in p.stdout.splitlines()]


def feed(body, piece=65536, denial=None):
    return feed_all([body], piece, denial)[0]


def packed(*objects, count=None, tail=b""):
    """A pack of OBJECTS, each (type, content) or (type, content, bytes before the zlib stream)."""
    pack = b"PACK" + (2).to_bytes(4, "big") + (len(objects) if count is None else count).to_bytes(4, "big")
    for kind, content, *extra in objects:
        pack += entry_head(kind, len(content)) + b"".join(extra) + zlib.compress(content, 9)
    return pack + hashlib.sha1(pack).digest() + tail


def entry_head(kind, size):
    first, size = kind << 4 | size & 15, size >> 4
    head = b""
    while size:
        head += bytes([first | 0x80])
        first, size = size & 0x7f, size >> 7
    return head + bytes([first])


def pkt(payload):
    return b"%04x" % (len(payload) + 4) + payload


def push_of(updates, pack, capabilities=b" report-status side-band-64k object-format=sha1"):
    lines = [f"{old} {new} {ref}".encode() for old, new, ref in updates]
    lines[0] += b"\0" + capabilities
    return b"".join(map(pkt, lines)) + b"0000" + pack


def commit_object(parents=(), message="m\n", tree="4b825dc642cb6eb9a060e54bf8d69288fbee4904"):
    text = f"tree {tree}\n" + "".join(f"parent {p}\n" for p in parents)
    text += f"author A <a@example.com> 1 +0000\ncommitter A <a@example.com> 1 +0000\n\n{message}"
    return text.encode()


def name_of(content, kind="commit"):
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content).hexdigest()


class RealPushes(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="rf-git-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.root, self.work = os.path.join(self.dir, "srv"), os.path.join(self.dir, "work")
        self.bare = os.path.join(self.root, "acme", "app.git")
        git("init", "--bare", self.bare)
        git("-C", self.bare, "config", "http.receivepack", "true")
        self.bodies, self.answer = [], None
        self.server = HttpServer(("127.0.0.1", 0), self.handle)
        self.addCleanup(self.server.close)
        self.url = f"http://127.0.0.1:{self.server.port}/acme/app.git"
        git("init", self.work)
        git("-C", self.work, "remote", "add", "origin", self.url)
        self.commit("first")
        self.push("main")

    def handle(self, request):
        if request.method == "POST" and request.path.endswith("/git-receive-pack"):
            self.bodies.append(request.body)
            if self.answer is not None:
                return Response(200, self.answer(request.body),
                                {"Content-Type": "application/x-git-receive-pack-result"})
        return git_backend(self.root, request)

    def commit(self, text, name="file", size=0):
        with open(os.path.join(self.work, name), "w") as f:
            f.write(text + "\n" + "x" * size)
        git("add", ".", cwd=self.work)
        git("commit", "-q", "-m", text, cwd=self.work)
        return self.head()

    def head(self, ref="HEAD"):
        return git("rev-parse", ref, cwd=self.work).stdout.decode().strip()

    def push(self, *args, check=True, config=()):
        """The push's body, and what git said."""
        self.bodies.clear()
        p = git(*config, "push", "origin", *args, cwd=self.work, check=check)
        return (self.bodies[-1] if self.bodies else None), p

    def refs(self, *args, **options):
        """What the guard says of the push ARGS, whatever the pieces it came in."""
        body, _ = self.push(*args, **options)
        self.body = body
        whole = feed(body)
        self.assertEqual(whole["result"], 0, whole)
        for piece in (1, 7, 4096) if len(body) < 200_000 else (4096, 60_000):
            again = feed(body, piece)
            self.assertEqual(again["refs"], whole["refs"])
            self.assertEqual(again["result"], 0, again)
        self.whole = whole
        return {r["name"]: r for r in whole["refs"]}

    def assertRef(self, ref, **expected):
        for key, value in dict({"force": False, "delete": False}, **expected).items():
            self.assertEqual(ref.get(key), value, (key, ref))

    def test_a_new_branch_is_a_creation_and_known_before_its_pack(self):
        git("switch", "-q", "-c", "agent/x", cwd=self.work)
        new = self.commit("second")
        refs = self.refs("agent/x")
        self.assertRef(refs["refs/heads/agent/x"], create=True, old=ZERO, new=new)
        self.assertLess(feed(self.body, 16)["known_at"], len(self.body))

    def test_commits_on_top_are_a_fast_forward(self):
        old = self.head()
        for i in range(20):
            new = self.commit(f"c{i}")
        refs = self.refs("main")
        self.assertRef(refs["refs/heads/main"], old=old, new=new)
        self.assertNotIn("create", refs["refs/heads/main"])
        self.assertEqual(self.whole["known_at"], len(self.body))

    def test_a_rewritten_branch_is_forced(self):
        self.commit("second")
        self.push("main")
        git("commit", "-q", "--amend", "-m", "other", cwd=self.work)
        self.assertRef(self.refs("--force", "main")["refs/heads/main"], force=True)

    def test_going_back_is_forced(self):
        self.commit("second")
        self.push("main")
        git("reset", "-q", "--hard", "HEAD^", cwd=self.work)
        self.assertRef(self.refs("--force", "main")["refs/heads/main"], force=True)

    def test_an_unrelated_history_is_forced(self):
        git("switch", "-q", "--orphan", "other", cwd=self.work)
        self.commit("unrelated")
        self.assertRef(self.refs("--force", "other:main")["refs/heads/main"], force=True)

    def test_a_deletion_is_known_at_once_and_brings_no_pack(self):
        self.push("main:gone")
        refs = self.refs("--delete", "gone")
        self.assertRef(refs["refs/heads/gone"], delete=True, new=ZERO)
        self.assertTrue(self.body.endswith(b"0000"))

    def test_a_merge_descends_from_both_sides(self):
        git("switch", "-q", "-c", "agent/x", cwd=self.work)
        old = self.commit("ours", "ours")
        self.push("agent/x")
        git("switch", "-q", "main", cwd=self.work)
        main_new = self.commit("theirs", "theirs")
        git("switch", "-q", "agent/x", cwd=self.work)
        git("merge", "-q", "--no-ff", "-m", "merged", "main", cwd=self.work)
        refs = self.refs("agent/x", "main")
        self.assertRef(refs["refs/heads/agent/x"], old=old, new=self.head())
        self.assertRef(refs["refs/heads/main"], new=main_new)

    def test_a_fast_forward_to_what_the_server_has_is_not_provable(self):
        git("switch", "-q", "-c", "agent/x", cwd=self.work)
        self.commit("second")
        self.push("agent/x")
        refs = self.refs("agent/x:main")
        self.assertRef(refs["refs/heads/main"], force=True)

    def test_tags_are_refs_like_others(self):
        git("tag", "-a", "-m", "release", "v1", cwd=self.work)
        self.assertRef(self.refs("v1")["refs/tags/v1"], create=True)
        self.commit("second")
        git("tag", "-f", "-a", "-m", "again", "v1", cwd=self.work)
        self.assertRef(self.refs("--force", "v1")["refs/tags/v1"], force=True)

    def test_of_several_updates_each_is_judged_by_itself(self):
        self.push("main:a", "main:b", "main:c")
        new = self.commit("second")
        git("switch", "-q", "--orphan", "other", cwd=self.work)
        self.commit("unrelated")
        refs = self.refs("main:a", "+other:b", ":c", "main:d")
        self.assertRef(refs["refs/heads/a"], new=new)
        self.assertRef(refs["refs/heads/b"], force=True)
        self.assertRef(refs["refs/heads/c"], delete=True)
        self.assertRef(refs["refs/heads/d"], create=True)

    def test_a_thousand_refs_are_read_and_one_more_is_too_many(self):
        new = self.head()
        names = [f"main:n{i}" for i in range(1025)]
        self.assertEqual(len(self.refs(*names[:1024])), 1024)
        updates = [(ZERO, new, f"refs/heads/n{i}") for i in range(1025)]
        self.assertEqual(feed(push_of(updates, packed()))["error"], "git_push_too_many")

    def test_commits_stored_as_deltas_prove_too(self):
        text = "".join(f"line {i} of a long message\n" for i in range(300))
        for i in range(60):
            self.commit(f"commit {i}\n\n{text}", size=10)
        git("repack", "-q", "-a", "-d", "-f", "--depth=50", "--window=60", cwd=self.work)
        listed = git("verify-pack", "-v", *self.packs(), cwd=self.work).stdout.decode()
        deltas = [line for line in listed.splitlines() if " commit " in line and len(line.split()) == 7]
        self.assertGreater(len(deltas), 20)
        refs = self.refs("main")
        self.assertRef(refs["refs/heads/main"])
        self.assertLess(len(self.body), 60 * len(text))

    def test_deltas_by_name_prove_too(self):
        text = "".join(f"line {i} of a long message\n" for i in range(300))
        old = self.head()
        for i in range(30):
            self.commit(f"commit {i}\n\n{text}")
        pack = git("pack-objects", "--revs", "--stdout", "--thin", "--depth=50", "--window=60", "--no-reuse-delta",
                   cwd=self.work, input=f"{self.head()}\n^{old}\n".encode()).stdout
        said = feed(push_of([(old, self.head(), "refs/heads/main")], pack), 1000)
        self.assertEqual(said["result"], 0, said)
        self.assertFalse(said["refs"][0]["force"])

    def packs(self):
        where = os.path.join(self.work, ".git/objects/pack")
        return [os.path.join(where, name) for name in os.listdir(where) if name.endswith(".idx")]

    def test_thin_packs_are_read(self):
        text = "".join(f"{random.Random(i).random()}\n" for i in range(4000))
        self.commit(text[:20] + "\n\n", "large")
        with open(os.path.join(self.work, "large"), "w") as f:
            f.write(text)
        self.commit("large file", "other")
        self.push("main")
        with open(os.path.join(self.work, "large"), "a") as f:
            f.write("one line more\n")
        self.commit("changed", "other")
        refs = self.refs("main")
        self.assertLess(len(self.body), 20_000)
        self.assertRef(refs["refs/heads/main"])

    def test_a_large_push_is_probed_first_and_the_probe_changes_nothing(self):
        with open(os.path.join(self.work, "blob"), "wb") as f:
            f.write(random.Random(1).randbytes(3 << 20))
        self.commit("large")
        refs = self.refs("main")
        self.assertRef(refs["refs/heads/main"])
        self.assertEqual(self.bodies[0], b"0000")
        said = feed(b"0000")
        self.assertEqual((said["result"], said["refs"], said["known_at"]), (0, [], 4))

    def test_a_push_from_a_shallow_clone_proves_too(self):
        for i in range(3):
            old = self.commit(f"c{i}")
        self.push("main")
        shallow = os.path.join(self.dir, "shallow")
        git("clone", "-q", "--depth", "1", self.url, shallow)
        self.work = shallow
        new = self.commit("on top")
        refs = self.refs("main")
        self.assertTrue(b"shallow " in self.body[:8192])
        self.assertRef(refs["refs/heads/main"], old=old, new=new)

    def test_atomic_quiet_and_porcelain_pushes_are_read(self):
        self.commit("second")
        self.assertRef(self.refs("--atomic", "--quiet", "--porcelain", "main", "main:b")["refs/heads/main"])

    def test_push_options_and_signed_pushes_are_refused(self):
        git("-C", self.bare, "config", "receive.advertisePushOptions", "true")
        self.commit("second")
        body, _ = self.push("-o", "ci.skip", "main")
        self.assertEqual(feed(body)["error"], "git_push_options")
        cert = pkt(b"push-cert\0 report-status push-cert=nonce\n") + pkt(b"certificate version 0.1\n")
        self.assertEqual(feed(cert + pkt(b"push-cert-end\n") + b"0000" + packed())["error"], "git_push_cert")

    def test_a_repository_of_sha256_names_is_refused(self):
        body = push_of([("0" * 64, "1" * 64, "refs/heads/x")], packed(), b" report-status object-format=sha256")
        self.assertLess(feed(body)["result"], 0)
        body = push_of([(ZERO, "1" * 40, "refs/heads/x")], packed(), b" report-status object-format=sha256")
        self.assertEqual(feed(body)["error"], "git_object_format")

    def denied(self, *args, strip=b"", **options):
        def answer(body):
            path = os.path.join(self.dir, "denial")
            feed(body.replace(strip, b"") if strip else body, 512, path)
            with open(path, "rb") as f:
                return f.read()
        self.answer = answer
        _, p = self.push(*args, check=False, **options)
        self.answer = None
        return p.returncode, p.stderr.decode()

    def test_git_tells_its_user_why_a_push_was_denied(self):
        before = git("-C", self.bare, "rev-parse", "main").stdout
        self.commit("second")
        code, said = self.denied("main", "main:other")
        self.assertEqual(code, 1)
        self.assertIn(f"! [remote rejected] main -> main (ringfence: {WHY})", said)
        self.assertIn(f"! [remote rejected] main -> other (ringfence: {WHY})", said)
        self.assertEqual(git("-C", self.bare, "rev-parse", "main").stdout, before)
        self.push("main:gone")
        code, said = self.denied(":gone")
        self.assertIn(f"! [remote rejected] gone (ringfence: {WHY})", said)

    def test_git_is_told_for_a_thousand_refs_too(self):
        code, said = self.denied(*[f"main:{'n' * 180}{i}" for i in range(1000)])
        self.assertEqual(code, 1)
        self.assertEqual(said.count(f"(ringfence: {WHY})"), 1000)


class MadePacks(unittest.TestCase):
    """Old is a commit that the server has; the pushes are ours."""

    OLD = name_of(commit_object(message="old\n"))

    def descent(self, pack, new, **options):
        return feed(push_of([(self.OLD, new, "refs/heads/x")], pack), **options)

    def assertForced(self, said):
        self.assertEqual(said["result"], 0, said)
        self.assertTrue(said["refs"][0]["force"])

    def assertRefused(self, said, text=""):
        self.assertLess(said["result"], 0, said)
        self.assertIn(text, said["message"])

    def test_the_control_a_child_of_old_is_a_fast_forward(self):
        child = commit_object([self.OLD])
        said = self.descent(packed((1, child)), name_of(child))
        self.assertEqual((said["result"], said["refs"][0]["force"]), (0, False))

    def test_an_empty_pack_proves_nothing(self):
        self.assertForced(self.descent(packed(), "1" * 40))

    def test_a_pack_that_lies_about_names_proves_nothing(self):
        child = commit_object([self.OLD])
        other = name_of(child)[:-1] + "0123456789abcdef"[int(name_of(child)[-1], 16) ^ 1]
        self.assertForced(self.descent(packed((1, child)), other))

    def test_a_parent_that_stands_elsewhere_is_none(self):
        for text in (commit_object().replace(b"\n\n", f"\nparent {self.OLD}\n\n".encode(), 1),
                     commit_object(message=f"parent {self.OLD}\n"),
                     f"parent {self.OLD}\n".encode() + commit_object(),
                     commit_object([self.OLD.upper()]), commit_object([self.OLD[:-1]]),
                     commit_object([self.OLD]).replace(b"tree ", b"tree  ")):
            self.assertForced(self.descent(packed((1, text)), name_of(text)))

    def test_a_tree_or_blob_or_tag_with_a_commits_bytes_is_no_commit(self):
        child = commit_object([self.OLD])
        for kind in (2, 3, 4):
            self.assertForced(self.descent(packed((kind, child)), name_of(child)))

    def test_a_long_chain_and_a_broken_one(self):
        chain = [commit_object([self.OLD])]
        for i in range(3000):
            chain.append(commit_object([name_of(chain[-1])], f"{i}\n"))
        objects = [(1, c) for c in chain]
        said = self.descent(packed(*objects), name_of(chain[-1]))
        self.assertFalse(said["refs"][0]["force"], said)
        random.Random(1).shuffle(objects)
        said = self.descent(packed(*objects), name_of(chain[-1]))
        self.assertFalse(said["refs"][0]["force"], said)
        del objects[objects.index((1, chain[1500]))]
        self.assertForced(self.descent(packed(*objects), name_of(chain[-1])))

    def test_a_merge_of_many_parents(self):
        octopus = commit_object([f"{i:040x}" for i in range(1, 2000)] + [self.OLD])
        said = self.descent(packed((1, octopus)), name_of(octopus))
        self.assertFalse(said["refs"][0]["force"], said)

    def deltified(self, kind):
        base = commit_object([self.OLD], "a base\n")
        child = commit_object([name_of(base)], "a base\n")
        # Copy nothing, insert all: a delta of literal bytes.
        literals = b"".join(bytes([len(p)]) + p for p in (child[i:i + 100] for i in range(0, len(child), 100)))
        size = lambda n: bytes([n & 0x7f | 0x80, n >> 7])  # noqa: E731
        return base, child, size(len(base)) + size(len(child)) + literals

    def test_deltas_by_offset_and_by_name(self):
        base, child, delta = self.deltified(6)
        first = entry_head(1, len(base)) + zlib.compress(base, 9)
        n = len(first)
        offset = bytes([n & 0x7f]) if n < 128 else bytes([(n >> 7) - 1 | 0x80, n & 0x7f])
        for kind, extra in ((6, offset), (7, bytes.fromhex(name_of(base)))):
            said = self.descent(packed((1, base), (kind, delta, extra)), name_of(child), piece=1)
            self.assertEqual(said["result"], 0, said)
            self.assertFalse(said["refs"][0]["force"], kind)

    def test_deltas_that_cannot_be_made_prove_nothing(self):
        base, child, delta = self.deltified(7)
        name = bytes.fromhex(name_of(base))
        for broken in (delta[:-1], delta + b"\x00", delta + b"\x80", b"\xff" * 20, delta[:1], b"", delta[2:],
                       delta[:4] + b"\xff\xff\xff\xff\xff\xff\xff\xff", delta + b"\x01x"):
            self.assertForced(self.descent(packed((1, base), (7, broken, name)), name_of(child)))
        self.assertForced(self.descent(packed((7, delta, b"\1" * 20)), name_of(child)))  # no such base
        self.assertForced(self.descent(packed((3, base), (7, delta, name)), name_of(child)))  # a blob's

    def test_what_is_cut_off_is_refused_at_every_byte(self):
        child = commit_object([self.OLD])
        body = push_of([(self.OLD, name_of(child), "refs/heads/x")], packed((1, child)))
        for said in feed_all([body[:n] for n in range(len(body))]):
            self.assertRefused(said)
        self.assertRefused(feed(body + b"x"), "after its end")
        blind = push_of([(ZERO, name_of(child), "refs/heads/x")], packed((1, child)))
        self.assertRefused(feed(blind[:blind.index(b"PACK") + 31]), "too early")
        self.assertRefused(feed(blind.replace(b"PACK", b"JUNK")), "no pack")

    def test_one_changed_byte_anywhere_never_proves_and_never_crashes(self):
        child = commit_object([self.OLD])
        pack = packed((3, b"x" * 1000), (1, child))
        updates = [(self.OLD, name_of(child), "refs/heads/x")]
        for bit in range(8):
            changed = [pack[:i] + bytes([pack[i] ^ 1 << bit]) + pack[i + 1:] for i in range(len(pack))]
            for i, said in enumerate(feed_all([push_of(updates, p) for p in changed])):
                self.assertTrue(said["result"] < 0 or said["refs"][0]["force"], (i, bit))

    def test_broken_packs_are_refused(self):
        child = commit_object([self.OLD])
        new = name_of(child)
        good = packed((1, child))
        body = good[12:-20]
        head = lambda version, n: b"PACK" + version.to_bytes(4, "big") + n.to_bytes(4, "big")  # noqa: E731
        for pack in (packed((0, child)), packed((5, child)),
                     packed((6, b"\x01\x01\x00", b"\x00")),            # a base at distance 0
                     packed((6, b"\x01\x01\x00", b"\x7f")),            # before the pack
                     packed((6, b"\x01\x01\x00", b"\xff" * 12)),
                     head(3, 1) + body + b"\0" * 20, head(2, 1) + body + b"\0" * 20,
                     head(2, 0xffffffff) + body + b"\0" * 20,
                     b"PACK\0\0\0\2\0\0\0\1" + b"\xff" * 20,
                     b"PACK\0\0\0\2\0\0\0\1" + entry_head(1, len(child) + 1) + zlib.compress(child) + b"\0" * 40,
                     b"PACK\0\0\0\2\0\0\0\1" + entry_head(1, len(child) - 1) + zlib.compress(child) + b"\0" * 40,
                     b"PACK\0\0\0\2\0\0\0\1" + entry_head(1, len(child)) + b"junk" * 20):
            self.assertRefused(self.descent(pack, new))

    def test_a_bomb_is_inflated_in_little_memory_or_refused(self):
        zeros = b"\0" * (1 << 20)
        z = zlib.compressobj(9)
        stream = b"".join(z.compress(zeros) for _ in range(64)) + z.flush()
        pack = b"PACK\0\0\0\2\0\0\0\1" + entry_head(3, 64 << 20) + stream
        said = self.descent(pack + hashlib.sha1(pack).digest(), "1" * 40)
        self.assertForced(said)
        many = b"PACK\0\0\0\2\0\0\0\x40" + (entry_head(3, 64 << 20) + stream) * 64
        self.assertRefused(self.descent(many + hashlib.sha1(many).digest(), "1" * 40), "without bound")
        one = b"PACK\0\0\0\2\0\0\0\1" + entry_head(1, 100) + stream
        self.assertRefused(self.descent(one + b"\0" * 20, "1" * 40), "longer than it says")

    def test_commits_beyond_the_bounds_are_left_out_and_nothing_grows(self):
        huge = commit_object([self.OLD], "x" * (9 << 20))
        self.assertForced(self.descent(packed((1, huge)), name_of(huge)))
        large = [commit_object([self.OLD], f"{i}" + "x" * (7 << 20)) for i in range(12)]
        said = self.descent(packed(*[(1, c) for c in large]), name_of(large[-1]))
        self.assertFalse(said["refs"][0]["force"], said)  # its parents are known, though its bytes are not kept

    def test_chains_of_deltas_cannot_make_us_work_for_ever(self):
        base = commit_object([self.OLD], "x" * (6 << 20))
        n = len(base)
        size = bytes([n & 0x7f | 0x80, n >> 7 & 0x7f | 0x80, n >> 14 & 0x7f | 0x80, n >> 21])
        step = 0xffffff
        copies = b"".join(bytes([0x80 | 0x0f | 0x70]) + at.to_bytes(4, "little") +
                          min(step, n - at).to_bytes(3, "little") for at in range(0, n, step))
        delta = (7, size + size + copies, bytes.fromhex(name_of(base)))
        said = self.descent(packed((1, base), *[delta] * 20_000), "1" * 40)
        self.assertForced(said)


class Lines(unittest.TestCase):
    NEW = "1" * 40

    def line(self, line, rest=b"0000"):
        return feed(line + rest + (packed() if rest.endswith(b"0000") else b""))

    def update(self, ref, old=ZERO, new=NEW):
        return feed(push_of([(old, new, ref)], packed()))

    def test_names_of_refs(self):
        for good in ("refs/heads/a", "refs/heads/agent/x-1_2", "refs/tags/v1.2", "refs/heads/ä", "refs/heads/@",
                     "refs/heads/a@b", "refs/for/main", "refs/heads/" + "n" * 1000):
            self.assertEqual(self.update(good)["refs"][0]["name"], good)
        for bad in ("HEAD", "main", "refs/", "refs/heads/", "/refs/heads/a", "refs//heads/a", "refs/heads/.a",
                    "refs/heads/a.lock", "refs/heads/a.lock/b", "refs/heads/a..b", "refs/heads/a b", "refs/heads/a~1",
                    "refs/heads/a^", "refs/heads/a:b", "refs/heads/a?", "refs/heads/*", "refs/heads/[a", "refs/heads/a\\b",
                    "refs/heads/a\x7f", "refs/heads/a\x01", "refs/heads/a\nb", "refs/heads/a@{b", "refs/heads/a.",
                    "refs/heads/../main", "refs/heads/./main", "refs/heads/" + "n" * 1100, "", "Refs/heads/a"):
            said = self.update(bad)
            self.assertLess(said["result"], 0, bad)
            self.assertEqual(said["refs"], [], bad)
        line = pkt(f"{ZERO} {self.NEW} refs/heads/".encode() + b"\xff\xfe\0 report-status")
        self.assertLess(self.line(line)["result"], 0)

    def test_lines_that_are_not_updates(self):
        update = f"{ZERO} {self.NEW} refs/heads/a".encode()
        other = f"{ZERO} {self.NEW} refs/heads/b".encode()
        for lines in (pkt(b""), b"0003", b"0001", b"0002", b"fff1" + b"x" * 65517, b"00FF", b"zzzz", b"-001", b"+010",
                      pkt(update[:-15]), pkt(update.replace(b" ", b"\t", 1)), pkt(update.upper()),
                      pkt(update) + pkt(update), pkt(update) + pkt(other + b"\0 report-status"),
                      pkt(update) + pkt(b"shallow " + self.NEW.encode()), pkt(b"shallow " + b"1" * 39),
                      pkt(b"shallow"), pkt(b"push-cert\0"), pkt(update + b"\0 unheard-of"), pkt(b"x" + update),
                      pkt(f"{ZERO} {ZERO} refs/heads/a".encode()), pkt(update + b"\0 push-options"),
                      pkt(update + b"\0 object-format=sha256"), pkt(update + b"\n\n")):
            said = self.line(lines)
            self.assertLess(said["result"], 0, lines[:200])
            self.assertEqual(said["known_at"], -1)
        for lines in (pkt(update), pkt(update + b"\n"), pkt(update + b"\0"), pkt(update + b"\0 report-status\n"),
                      pkt(b"shallow " + b"2" * 40 + b"\n") + pkt(update), pkt(update) + pkt(other),
                      pkt(update + b"\0 agent=git/2.39 session-id=x quiet atomic")):
            self.assertEqual(self.line(lines)["result"], 0, lines)

    def test_what_follows_deletions_only_is_refused(self):
        body = push_of([(self.NEW, ZERO, "refs/heads/a")], b"")
        self.assertEqual(feed(body)["result"], 0)
        self.assertLess(feed(body + packed())["result"], 0)
        self.assertLess(feed(body + b"x", 1)["result"], 0)


if __name__ == "__main__":
    unittest.main()
