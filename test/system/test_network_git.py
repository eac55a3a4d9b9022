#!/usr/bin/python3
"""git over HTTPS: an agent clones, pushes its own branches, and nothing else; the token is the gateway's alone. Every
denial is checked at the server, and every search for the token has a control that finds it."""

import base64
import hashlib
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import internet  # noqa: E402
from internet import Internet, rule  # noqa: E402
from ring import modes  # noqa: E402

TOKEN = "glpat-5wordfish5wordfish5word"
NET = None
IDENTITY = ("export GIT_AUTHOR_NAME=Agent GIT_AUTHOR_EMAIL=agent@example.com GIT_COMMITTER_NAME=Agent "
            "GIT_COMMITTER_EMAIL=agent@example.com; set -e; cd /tmp; git clone -q https://git.example.com/acme/app.git; "
            "cd app; ")
COMMIT = "echo change >> README; git commit -q -a -m change; "
# What a curious agent would look through for the token, in the plain and as basic's base64.
SEARCH = r"""
import os, sys
needles = [n[::-1].encode() for n in sys.argv[1:]]  # backwards, so that we are not what is found
found, looked = [], 0
def look(path):
    global looked
    try:
        with open(path, "rb") as f:
            data = b""
            while chunk := f.read(1 << 20):
                looked += 1
                if any(n in data[-200:] + chunk for n in needles):
                    found.append(path)
                    return
                data = chunk
                if looked > 3000: return
    except OSError:
        pass
for top in ("/tmp", "/home", "/workspace", "/etc", "/run", "/var", "/dev/shm"):
    for base, _, names in os.walk(top):
        for name in names:
            path = os.path.join(base, name)
            if os.path.isfile(path): look(path)
for pid in [p for p in os.listdir("/proc") if p.isdigit()]:
    for name in ("environ", "cmdline", "maps", "mountinfo", "net/tcp", "net/unix"):
        look(f"/proc/{pid}/{name}")
    try:
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
            for line in maps:
                where, access = line.split()[:2]
                begin, end = (int(n, 16) for n in where.split("-"))
                if "r" in access and end - begin < 1 << 28 and pid != str(os.getpid()):
                    try:
                        memory.seek(begin)
                        if any(n in memory.read(end - begin) for n in needles): found.append(f"/proc/{pid}/mem")
                    except (OSError, ValueError, OverflowError): pass
    except OSError:
        pass
print("looked", looked > 20, "found", sorted(set(found)))
"""


def setUpModule():
    global NET
    internet.enter()
    NET = Internet()
    NET.hub = NET.git("git.example.com", token=TOKEN)
    NET.open_hub = NET.git("open.example.com")


def tearDownModule():
    NET.close()


class Git:
    def setUp(self):
        self.ring = NET.ring(self.mode)
        self.addCleanup(self.ring.destroy)
        name = f"acme/{self.id().rpartition('.')[2]}-{self.mode}"
        self.repository = name
        NET.hub.create(name)
        self.main = NET.hub.refs(name)["refs/heads/main"]
        NET.secret(self.ring, "forge", TOKEN, "--as", "basic", "--user", "x-access-token", "--host", "git.example.com")
        self.rules = [rule("git", "forge", hosts=["git.example.com"], repositories=["acme/*"],
                           operations=["fetch", "push"], branches=["agent/**"], credential="forge")]

    def shell(self, script, rules=None, **options):
        script = (IDENTITY + script).replace("acme/app", self.repository)
        script = script.replace("cd app", "cd " + self.repository.partition("/")[2])
        p = NET.run(self.ring, rules or self.rules, "sh", "-c", script, **options)
        p.text = (p.stdout + p.stderr).decode(errors="replace")
        return p

    def refs(self):
        return NET.hub.refs(self.repository)

    def assertPushed(self, p, *names):
        self.assertEqual(p.returncode, 0, p.text)
        self.assertEqual(sorted(self.refs()), sorted(["refs/heads/main", *names]))
        self.assertEqual(self.refs()["refs/heads/main"], self.main)

    def assertDenied(self, p, line, before=None):
        """PUSH was refused with LINE on the screen, and the server has what it had."""
        self.assertNotEqual(p.returncode, 0, p.text)
        self.assertIn("(ringfence: ", p.text)
        self.assertIn(line, p.text)
        self.assertEqual(self.refs(), before or {"refs/heads/main": self.main})

    def test_an_agent_pushes_its_branch_and_then_more_to_it(self):
        p = self.shell("git switch -q -c agent/x; " + COMMIT + "git push -q origin agent/x; " + COMMIT * 3 +
                       "git push origin agent/x")
        self.assertPushed(p, "refs/heads/agent/x")
        said = NET.hub.git("-C", os.path.join(NET.hub.root, self.repository + ".git"), "log", "--format=%an", "agent/x")
        self.assertEqual(said.split(), ["Agent"] * 4 + ["Owner"])

    def test_main_is_denied_with_a_reason_that_git_shows(self):
        self.assertDenied(self.shell(COMMIT + "git push origin main"), "! [remote rejected] main -> main (ringfence: ")

    def test_force_is_denied_on_its_own_branch_too(self):
        p = self.shell("git switch -q -c agent/x; " + COMMIT + "git push -q origin agent/x; git commit -q --amend -m other; "
                       "git push --force origin agent/x")
        before = self.refs()
        self.assertIn("refs/heads/agent/x", before)
        self.assertDenied(p, "! [remote rejected] agent/x -> agent/x (ringfence: ", before)
        log = NET.hub.git("-C", os.path.join(NET.hub.root, self.repository + ".git"), "log", "--format=%s", "agent/x")
        self.assertEqual(log.split(), ["change", "first"])

    def test_force_is_allowed_by_a_rule_that_says_so(self):
        rules = [dict(self.rules[0], operations=["fetch", "push", "force-push", "delete"])]
        p = self.shell("git switch -q -c agent/x; " + COMMIT + "git push -q origin agent/x; git commit -q --amend -m other; "
                       "git push --force origin agent/x; git push origin :agent/x; git push origin main:agent/y", rules)
        self.assertPushed(p, "refs/heads/agent/y")

    def test_deleting_is_denied(self):
        p = self.shell("git push -q origin main:agent/x; git push origin :agent/x")
        before = self.refs()
        self.assertIn("refs/heads/agent/x", before)
        self.assertDenied(p, "! [remote rejected] agent/x (ringfence: ", before)

    def test_one_denied_ref_denies_all_of_a_push(self):
        p = self.shell(COMMIT + "git push origin main:agent/x main")
        self.assertDenied(p, "! [remote rejected] main -> agent/x (ringfence: ")

    def test_tags_and_other_refs_are_denied(self):
        self.assertDenied(self.shell("git tag v1; git push origin v1"), "! [remote rejected] v1 -> v1 (ringfence: ")
        for ref in ("refs/replace/" + "1" * 40, "refs/for/main", "refs/notes/agent/x", "refs/heads/agentx",
                    "refs/heads/Agent/x"):
            self.assertDenied(self.shell(f"git push origin main:{ref}"), "(ringfence: ")

    def test_a_denied_push_of_much_still_says_why(self):
        p = self.shell("head -c 6000000 /dev/urandom > blob; git add blob; git commit -q -m large; git push origin main; "
                       "echo; git push origin main:new 2>&1")
        self.assertDenied(p, "! [remote rejected] main -> main (ringfence: ")
        p = self.shell("head -c 6000000 /dev/urandom > blob; git add blob; git commit -q -m large; "
                       "git push origin main:new")
        self.assertDenied(p, "! [remote rejected] main -> new (ringfence: ")

    def test_a_large_push_of_its_own_goes_through(self):
        p = self.shell("head -c 6000000 /dev/urandom > blob; git add blob; git commit -q -m large; "
                       "git push -q origin main:agent/x; " + COMMIT + "git push -q origin main:agent/x")
        self.assertPushed(p, "refs/heads/agent/x")

    def test_a_shallow_clone_pushes_too_and_merges_do(self):
        p = self.shell("cd /tmp; git clone -q --depth 1 --no-single-branch https://git.example.com/acme/app.git shallow; "
                       "cd shallow; git switch -q -c agent/x; " + COMMIT + "git push -q origin agent/x; " + COMMIT +
                       "git push -q origin agent/x; git switch -q -c agent/y main; echo other > OTHER; git add OTHER; "
                       "git commit -q -m other; git push -q origin agent/y; git switch -q agent/x; "
                       "git merge -q -m merge agent/y; git push -q origin agent/x")
        self.assertPushed(p, "refs/heads/agent/x", "refs/heads/agent/y")

    def test_a_fetch_that_negotiates_much_goes_through(self):
        """Many refs on both sides: git compresses such a request."""
        bare = os.path.join(NET.hub.root, self.repository + ".git")
        for i in range(60):
            tree = NET.hub.git("-C", bare, "rev-parse", "main^{tree}").strip()
            made = NET.hub.git("-C", bare, "commit-tree", "-m", f"side {i}", "-p", "main", tree).strip()
            NET.hub.git("-C", bare, "update-ref", f"refs/heads/side/{i}", made)
        before = len(NET.hub.requests)
        p = self.shell(COMMIT * 40 + "git fetch -q origin; git branch -r | wc -l")
        self.assertEqual(p.returncode, 0, p.text)
        NET.hub.git("-C", bare, "update-ref", "refs/heads/side/new", "refs/heads/side/1")
        self.assertTrue(any(r.header("Content-Encoding") == "gzip" for r in NET.hub.requests[before:]))

    def test_a_server_that_dies_in_a_push_changes_nothing_and_says_so(self):
        handle = NET.hub.handle

        def die(request):
            if request.path.endswith("/git-receive-pack") and len(request.body) > 4:
                return None
            return handle(request)
        for server in NET.hub.servers.each:
            server.handler = die
        try:
            p = self.shell("git push origin main:agent/x")
        finally:
            for server in NET.hub.servers.each:
                server.handler = handle
        self.assertNotEqual(p.returncode, 0, p.text)
        self.assertEqual(self.refs(), {"refs/heads/main": self.main})
        _, records = NET.audit(self.ring)
        pushed = next(r["action_id"] for r in records if r["event"] == "decision" and
                      r["data"].get("request", {}).get("operation") == "push")
        states = [r["data"]["state"] for r in records if r["event"] == "settled" and r["action_id"] == pushed]
        self.assertEqual(states, ["unknown"])  # the server had all of it, and said nothing

    def test_another_repository_is_out_of_reach(self):
        NET.hub.create(f"other/{self.mode}")
        before = NET.hub.refs(f"other/{self.mode}")
        p = NET.run(self.ring, self.rules, "git", "ls-remote", f"https://git.example.com/other/{self.mode}.git")
        self.assertNotEqual(p.returncode, 0)
        for url in (f"acme/../other/{self.mode}", f"acme/%2e%2e/other/{self.mode}"):
            p = NET.run(self.ring, self.rules, "curl", "-sS", "--path-as-is",
                        f"https://git.example.com/{url}.git/info/refs?service=git-upload-pack")
            self.assertNotIn(b"refs/heads/main", p.stdout)
        self.assertEqual(NET.hub.refs(f"other/{self.mode}"), before)

    def post(self, body, path, *options):
        """BODY to PATH of the repository, as whatever curl's OPTIONS make of it."""
        return NET.run(self.ring, self.rules, "curl", "-sS", "--path-as-is", "-H",
                       "Content-Type: application/x-git-receive-pack-request", "--data-binary", "@-", *options,
                       f"https://git.example.com/{self.repository}.git/{path}", input=body)

    def test_a_push_that_goes_by_another_road_is_denied(self):
        """Requests that a server may take for a push, though they are not as git sends them."""
        header = b"PACK\0\0\0\2\0\0\0\0"

        def push_to(name):
            update = f"{'0' * 40} {self.main} refs/heads/{name}\0 report-status".encode()
            return b"%04x" % (len(update) + 4) + update + b"0000" + header + hashlib.sha1(header).digest()
        for path, *options in (("git-receive-pack",), ("git%2dreceive-pack",), ("git-receive-pack?x",), ("./git-receive-pack",),
                               ("/git-receive-pack",), ("git-receive-pack/",), ("git-receive-pack", "-X", "PUT"),
                               ("git-receive-pack", "-H", "Content-Encoding: gzip"),
                               ("git-receive-pack", "-H", "Transfer-Encoding: chunked"),
                               ("git-upload-pack", "-H", "X-HTTP-Method-Override: PUT")):
            p = self.post(push_to("sneaky"), path, *options)
            self.assertEqual(self.refs(), {"refs/heads/main": self.main}, (path, options, p.stdout, p.stderr))
        for body in (push_to("agent/x").replace(b"0000PACK", b"00"), push_to("agent/x")[:40], b"", b"0000" + push_to("agent/x"),
                     push_to("agent/x")[:-28] + push_to("sneaky")):
            self.post(body, "git-receive-pack")
            self.assertNotIn("refs/heads/sneaky", self.refs())
        # The control: the same to a branch that is allowed is a push.
        p = self.post(push_to("agent/control"), "git-receive-pack")
        self.assertIn("refs/heads/agent/control", self.refs(), (p.stdout, p.stderr))

    def test_the_token_reaches_the_server_and_never_the_sandbox(self):
        needles = [TOKEN[1:], base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()[1:],
                   base64.b64encode(TOKEN.encode()).decode()[1:-2]]
        search = " ".join(f"'{n[::-1]}'" for n in needles)
        script = ("export GIT_TRACE_CURL=/tmp/trace GIT_TRACE_PACKET=/tmp/packets; git switch -q -c agent/x; " + COMMIT +
                  "git push -q origin agent/x; sleep 1000 & cat > /tmp/search.py; python3 /tmp/search.py " + search)
        before = len(NET.hub.requests)
        p = self.shell(script, input=SEARCH.encode())
        self.assertIn("looked True found []", p.text)
        self.assertNotIn(TOKEN.encode(), p.stdout + p.stderr)
        seen = [r.header("Authorization", "") for r in NET.hub.requests[before:]]
        self.assertTrue(seen)
        self.assertTrue(all(NET.hub.knows(header) for header in seen), seen)
        # The control: what is there is found.
        p = self.shell("echo " + TOKEN + " > /tmp/leak; cat > /tmp/search.py; python3 /tmp/search.py " + search,
                       input=SEARCH.encode())
        self.assertIn("'/tmp/leak'", p.text)

    def test_a_token_of_its_own_does_not_help(self):
        p = NET.run(self.ring, self.rules, "git", "ls-remote",
                    f"https://someone:of-its-own@git.example.com/{self.repository}.git")
        sent = NET.hub.requests[-1].header("Authorization", "")
        self.assertTrue(p.returncode != 0 or NET.hub.knows(sent))
        self.assertNotIn(base64.b64encode(b"someone:of-its-own").decode(), b"".join(
            r.raw for r in NET.hub.requests[-3:]).decode("latin-1"))

    def test_without_the_secret_nothing_is_done(self):
        rules = [dict(self.rules[0], credential="nobody-set-this")]
        p = self.shell("true", rules)
        self.assertNotEqual(p.returncode, 0)

    def test_plain_http_and_proxies_guard_too(self):
        proxy = "export https_proxy=http://198.18.0.1:3128; "
        p = NET.run(self.ring, self.rules, "sh", "-c", proxy + (IDENTITY + COMMIT + "git push -q origin main:agent/x; "
                    "git push origin main").replace("acme/app", self.repository).replace(
                        "cd app", "cd " + self.repository.partition("/")[2]))
        p.text = (p.stdout + p.stderr).decode(errors="replace")
        after = self.refs()
        self.assertIn("refs/heads/agent/x", after, p.text)
        self.assertEqual(after["refs/heads/main"], self.main)
        self.assertIn("! [remote rejected] main -> main (ringfence: ", p.text)

    def test_the_ledger_has_who_pushed_what_and_verifies(self):
        p = self.shell("git switch -q -c agent/x; " + COMMIT + "git push -q origin agent/x; git push origin agent/x:main")
        self.assertIn("(ringfence: ", p.text)
        verified, records = NET.audit(self.ring)
        self.assertTrue(verified)
        self.assertNotIn(TOKEN, str(records))
        pushes = [r["data"] for r in records if r["event"] == "decision" and r["data"].get("kind") == "git" and
                  r["data"]["request"]["operation"] == "push"]
        named = {ref["name"]: d["decision"]["decision"] for d in pushes for ref in d["request"]["refs"]}
        self.assertEqual(named, {"refs/heads/agent/x": "allow", "refs/heads/main": "deny"})


for _mode in modes():
    _name = "Git" + ("AsRoot" if _mode == "root" else "Rootless")
    globals()[_name] = type(_name, (Git, unittest.TestCase), {"mode": _mode})
del _name

if __name__ == "__main__":
    unittest.main()
