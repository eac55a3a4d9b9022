#!/usr/bin/python3
"""Secrets that are exchanged for tokens: a GitHub App's key and an OAuth client's secret. The issuers here check what they
are shown (the JWT with openssl), and can be down, slow, lying or endless. A search for a secret has a control that finds
it."""

import base64
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import internet  # noqa: E402
from internet import Internet, Response, rule  # noqa: E402
from ring import AS_ROOT, alive, file_text, modes, status_of, wait_until  # noqa: E402

CLIENT, CLIENT_SECRET = "client:of/ours", "s3cret of-the client+1234567890"
APP, INSTALLATION = "4242", "171717"
IDS_ISSUER = 0x70000006
NET = None


def unpadded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class GitHub:
    """The one endpoint of a GitHub App: it believes a JWT that openssl(1) verifies."""

    def __init__(self, directory):
        self.key, self.public = os.path.join(directory, "app.pem"), os.path.join(directory, "app.pub")
        internet.Authority.openssl("genrsa", "-traditional", "-out", self.key, "2048")
        internet.Authority.openssl("rsa", "-in", self.key, "-pubout", "-out", self.public)
        with open(self.key) as f:
            self.pem = f.read()
        self.issued, self.wrong, self.tokens = [], [], set()

    def claims(self, jwt):
        """What JWT says, or an AssertionError."""
        head, body, signature = jwt.split(".")
        assert json.loads(unpadded(head)) == {"alg": "RS256", "typ": "JWT"}, head
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "signature")
            with open(path, "wb") as f:
                f.write(unpadded(signature))
            internet.Authority.openssl("dgst", "-sha256", "-verify", self.public, "-signature", path,
                                       input=f"{head}.{body}".encode())
        return json.loads(unpadded(body))

    def handle(self, request):
        if request.path == "/user":
            good = request.header("Authorization", "")[len("Bearer "):] in self.tokens
            return Response(200 if good else 401, "you are the app\n" if good else "who?\n")
        try:
            assert request.method == "POST" and request.path == f"/app/installations/{INSTALLATION}/access_tokens"
            kind, _, jwt = request.header("Authorization").partition(" ")
            claims, now = self.claims(jwt), time.time()
            assert kind == "Bearer" and claims["iss"] == APP
            assert now - 120 <= claims["iat"] <= now <= claims["exp"] <= now + 600, claims
            asked = json.loads(request.body)
        except (AssertionError, ValueError) as e:
            self.wrong.append(repr(e))
            return Response(401, json.dumps({"message": "no: " + request.header("Authorization", "")}))
        token = f"ghs_{len(self.tokens)}token{os.urandom(12).hex()}"
        self.tokens.add(token)
        self.issued.append(asked)
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
        return Response(201, json.dumps({"token": token, "expires_at": when, "permissions": asked.get("permissions", {})}),
                        {"Content-Type": "application/json"}, chunked=True)


class Login:
    """A token endpoint (RFC 6749, 4.4). `say` may be a function that answers instead."""

    def __init__(self):
        self.asked, self.tokens, self.life, self.say = [], [], 3600, None

    def handle(self, request):
        self.asked.append(request)
        if self.say is not None:
            return self.say(request)
        kind, _, value = request.header("Authorization").partition(" ")
        client, _, secret = base64.b64decode(value).decode().partition(":")
        form = urllib.parse.parse_qs(request.body.decode())
        if (request.method, request.path, kind, urllib.parse.unquote_plus(client), urllib.parse.unquote_plus(secret)) != (
                "POST", "/oauth/token", "Basic", CLIENT, CLIENT_SECRET) or form != {
                    "grant_type": ["client_credentials"], "scope": ["read write"]}:
            return Response(401, '{"error":"invalid_client"}')
        self.tokens.append(f"at-{len(self.tokens)}-{os.urandom(12).hex()}")
        return Response(200, json.dumps({"access_token": self.tokens[-1], "token_type": "bearer", "expires_in": self.life}))


def api(request):
    """Tells who asked, but not the token."""
    token = request.header("Authorization", "").partition(" ")[2]
    return Response(200 if token in NET.login.tokens else 401, "echo " + token + "\n")


def setUpModule():
    global NET
    internet.enter()
    NET = Internet()
    NET.github, NET.login = GitHub(NET.directory), Login()
    NET.https("api.github.com", NET.github.handle)
    NET.git_server = NET.git("github.com")
    NET.git_server.token = True
    NET.git_server.knows = lambda header: base64.b64decode(header.partition(" ")[2]).decode() in {
        "x-access-token:" + t for t in NET.github.tokens} if header.startswith("Basic ") else False
    NET.login_servers = NET.https("login.example.com", NET.login.handle, port=8443)
    NET.api = NET.https("api.example.com", api)


def tearDownModule():
    NET.close()


class Issuer:
    def setUp(self):
        NET.login.say, NET.login.life = None, 3600
        self.ring = self.make_ring()

    def make_ring(self, issuers=("api.github.com", "login.example.com:8443")):
        ring = NET.ring(self.mode)
        with open(os.path.join(ring.dir, "config.yaml")) as f:
            config = json.load(f)
        config["network"]["issuers"] = list(issuers)
        ring.write("config.yaml", json.dumps(config))
        self.addCleanup(ring.destroy)
        return ring

    def set_github(self, *more):
        NET.secret(self.ring, "gh", NET.github.pem, "--as", "github-app", "--app-id", APP, "--installation", INSTALLATION,
                   "--host", "github.com", "--host", "api.github.com", *more)

    def set_oauth(self, ring=None, secret=CLIENT_SECRET):
        NET.secret(ring or self.ring, "api", secret, "--as", "oauth", "--token-url",
                   "https://login.example.com:8443/oauth/token", "--client-id", CLIENT, "--scope", "read write",
                   "--host", "api.example.com")

    RULES = [rule("http", "api", hosts=["api.example.com"], methods=["GET"], credential="api")]

    def get(self, n=1, ring=None, *options):
        script = "curl -s -w '%{http_code}\\n' https://api.example.com/x; " * n
        p = NET.run(ring or self.ring, self.RULES, "sh", "-c", script, options=options)
        p.text = (p.stdout + p.stderr).decode(errors="replace")
        return p

    # ---- OAuth ----

    def test_a_client_secret_is_exchanged_once_for_many_requests(self):
        self.set_oauth()
        before = len(NET.login.asked)
        p = self.get(5)
        self.assertEqual(p.text.count("200"), 5, p.text)
        self.assertEqual(len(NET.login.asked) - before, 1)
        p = self.get()
        self.assertIn("200", p.text)
        self.assertEqual(len(NET.login.asked) - before, 1)
        self.assertNotIn(NET.login.tokens[-1], p.text)


    def test_a_token_that_expires_is_exchanged_anew(self):
        self.set_oauth()
        NET.login.life = 2
        before = len(NET.login.tokens)
        self.assertIn("200", self.get().text)
        NET.login.life = 3600
        wait_until(lambda: "200" in self.get().text and len(NET.login.tokens) - before == 2, "a second token")

    def test_many_at_once_are_one_exchange(self):
        self.set_oauth()
        before, gate = len(NET.login.asked), threading.Event()
        NET.login.say = lambda request: gate.wait(60) and self.later(request)
        script = "for i in 1 2 3 4 5 6; do curl -s -o /dev/null -w '%{http_code}\\n' https://api.example.com/$i & done; wait"
        run = self.ring.start("run", "--policy", NET.policy(self.ring, self.RULES), "--", "sh", "-c", script)
        wait_until(lambda: len(NET.login.asked) > before, "an exchange")
        gate.set()
        text = run.communicate(timeout=60)[0]
        self.assertEqual(text.split(), [b"200"] * 6)
        self.assertEqual(len(NET.login.asked) - before, 1)

    @staticmethod
    def later(request):
        NET.login.say = None
        NET.login.asked.pop()
        return NET.login.handle(request)

    def test_a_secret_that_is_removed_or_set_again_takes_its_token_along(self):
        self.set_oauth()
        self.assertIn("200", self.get().text)
        n = len(NET.login.tokens)
        self.assertEqual(self.ring.cli("secret", "remove", "api").returncode, 0)
        self.assertIn("403", self.get().text)
        self.set_oauth()
        self.assertEqual(len(NET.login.tokens), n)
        self.assertIn("200", self.get().text)
        self.assertEqual(len(NET.login.tokens), n + 1)
        self.set_oauth(secret="another secret")
        self.assertIn("invalid_client", self.get().text)

    # ---- refusals ----

    def assertDenied(self, reason, n=None):
        """A request is denied for REASON, on record, and the API hears nothing."""
        before = len(NET.api.requests)
        p = self.get()
        self.assertIn("403", p.text)
        self.assertRegex(p.text, reason)
        self.assertEqual(len(NET.api.requests), before)
        verified, records = NET.audit(self.ring)
        self.assertTrue(verified)
        self.assertRegex(json.dumps(records), reason)
        for secret in (CLIENT_SECRET, urllib.parse.quote(CLIENT_SECRET, safe=""), "LEAKED"):
            self.assertNotIn(secret, json.dumps(records) + p.text + file_text(os.path.join(self.ring.state, "run", "log")))

    def test_an_issuer_that_refuses_says_why_in_words_that_we_know(self):
        self.set_oauth(secret="not the right one")
        self.assertDenied(r"the issuer refuses \(status 401\): invalid_client")

    def test_issuers_that_lie(self):
        self.set_oauth()
        token = {"access_token": "a-token-of-some-length", "token_type": "bearer", "expires_in": 3600}
        say = lambda **more: lambda request: Response(200, json.dumps({**token, **more}))  # noqa: E731
        secret = base64.b64encode(CLIENT_SECRET.encode()).decode()
        for answer, reason in (
                (lambda request: None, "ends the connection without an answer|issuer login.example.com: "),
                (lambda request: Response(200, "LEAKED " + secret), "is not a JSON object"),
                (lambda request: Response(500, '{"error":"LEAKED"}'), r"refuses \(status 500\)"),
                (lambda request: Response(302, "", {"Location": "https://api.example.com/"}), r"refuses \(status 302\)"),
                (say(token_type="mac"), "is not about a bearer token"),
                (say(access_token="two\r\nLEAKED: lines"), "has no token that could be sent"),
                (say(access_token="LEAKED spaced"), "has no token that could be sent"),
                (say(access_token="x" * 20000), "has no token that could be sent"),
                (say(access_token=7), "has no token that could be sent"),
                (say(expires_in=0), "until when"),
                (say(expires_in="3600"), "until when"),
                (lambda request: Response(200, b" " * (1 << 20)), "longer than 256 KiB"),
                (lambda request: Response(200, b" " * (1 << 20), chunked=True), "longer than 256 KiB"),
                (lambda request: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nLEAKED\r\n", "not framed"),
                (lambda request: b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "cut short|issuer login.example.com: "),
                (lambda request: b"LEAKED\r\n\r\n", "is not HTTP/1.1"),
                (lambda request: b"HTTP/1.1 200 OK\r\nX: " + b"a" * 20000, "is not HTTP/1.1"),
                (lambda request: b"HTTP/1.1 100 Continue\r\n\r\n" * 20, "is not HTTP/1.1")):
            with self.subTest(reason):
                NET.login.say = answer
                self.assertDenied(reason)
        NET.login.say = None  # the control
        self.assertIn("200", self.get().text)

    def test_an_issuer_that_is_silent_is_given_up(self):
        self.set_oauth()
        gate = threading.Event()
        self.addCleanup(gate.set)
        NET.login.say = lambda request: gate.wait(60) and None
        self.assertDenied("it does not answer in time")

    def test_an_issuer_that_cannot_be_reached_or_is_somebody_else(self):
        ring = self.ring = self.make_ring(["gone.example.com", "closed.example.com", "fake.example.com"])
        NET.address("closed.example.com")
        fake = NET.https("fake.example.com", NET.login.handle, ca=NET.other_ca("Nobody trusts " + self.mode))
        self.addCleanup(fake.close)
        for host, reason in (("gone.example.com", "issuer gone.example.com: "), ("closed.example.com", "issuer closed.example.com: "),
                             ("fake.example.com", "issuer fake.example.com: .*certificate")):
            NET.secret(ring, "api", CLIENT_SECRET, "--token-url", f"https://{host}/oauth/token", "--client-id", CLIENT,
                       "--host", "api.example.com")
            self.assertDenied(reason)
        self.assertEqual(fake.requests, [])

    def test_an_issuer_that_is_not_pinned_is_refused_when_set_and_when_used(self):
        for url in ("https://login.example.com/oauth/token", "https://elsewhere.example.com/oauth/token",
                    "https://login.example.com.:8444/"):
            p = self.ring.cli("secret", "set", "api", "--as", "oauth", "--token-url", url, "--client-id", CLIENT, "--host",
                              "api.example.com", input=CLIENT_SECRET.encode())
            self.assertNotEqual(p.returncode, 0)
            self.assertIn(b"does not name the issuer " + url.encode(), p.stderr)
            self.assertIn(b"network.issuers", p.stderr)
        self.set_oauth()
        self.ring.cli("stop")
        with open(os.path.join(self.ring.dir, "config.yaml")) as f:
            config = json.load(f)
        del config["network"]["issuers"]
        self.ring.write("config.yaml", json.dumps(config))
        before = len(NET.login.asked)
        self.assertDenied("the configuration does not name the issuer")
        self.assertEqual(len(NET.login.asked), before)

    def test_what_set_refuses(self):
        good = ["--as", "github-app", "--app-id", "1", "--installation", "2", "--host", "github.com"]
        oauth = ["--as", "oauth", "--token-url", "https://login.example.com:8443/t", "--client-id", "x", "--host", "a.example.com"]
        pem = NET.github.pem.encode()
        for arguments, value, said in (
                (good[:2] + good[4:], pem, b"--app-id"), (good[:4] + good[6:], pem, b"--installation"), (good[:6], pem, b"--host"),
                ([*good, "--user", "x"], pem, b"one way"), ([*good, "--client-id", "x"], pem, b"one way"),
                ([*good, "--permission", "contents"], pem, b"NAME=LEVEL"), ([*good, "--permission", "contents=all"], pem, b"write"),
                ([*good, "--repository", "acme/../x"], pem, b"--repository"),
                ([*good, "--repository", "acme/x", "--repository", "other/y"], pem, b"of one owner"),
                ([*good, "--issuer", "http://api.github.com"], pem, b"--issuer"),
                ([*good, "--issuer", "https://user@api.github.com"], pem, b"--issuer"),
                ([*good, "--issuer", "https://api.github.com/../x"], pem, b"--issuer"),
                (good, b"ghp_not_a_key_at_all", b"private key"), (good, pem.replace(b"PRIVATE", b"PUBLIC"), b"private key"),
                (good, pem.replace(b"RSA PRIVATE", b"ENCRYPTED PRIVATE"), b"passphrase"),
                (good, pem.replace(b"\n", b"\0"), b"PEM"),
                (oauth[:2] + oauth[4:], b"12345678", b"--token-url"), ([*oauth, "--scope", 'a"b'], b"12345678", b"--scope"),
                ([*oauth[:5], "x y", *oauth[6:]], b"12345678", b"--client-id"), (oauth, b"1234567", b"8 bytes"),
                (oauth, b"12345678\n9", b"one line"), ([*oauth, "--app-id", "3"], b"12345678", b"one way")):
            with self.subTest(arguments):
                p = self.ring.cli("secret", "set", "x", *arguments, input=value)
                self.assertNotEqual(p.returncode, 0)
                self.assertIn(said, p.stderr)
        self.assertEqual(self.ring.cli("secret", "list").stdout.split(b"\n")[0], b"no secrets")

    def test_a_key_that_is_none_is_found_out_before_anybody_is_asked(self):
        broken = NET.github.pem.replace(NET.github.pem.split("\n")[5], "A" * 64)
        NET.secret(self.ring, "api", broken, "--as", "github-app", "--app-id", APP, "--installation", "1", "--host",
                   "api.example.com")
        self.assertDenied("the secret is not an RSA private key|does not know this app by this key")

    # ---- GitHub ----

    GIT = [rule("git", "repo", hosts=["github.com"], repositories=["acme/*"], operations=["fetch", "push"],
                branches=["agent/**"], credential="gh"),
           rule("http", "user", hosts=["api.github.com"], methods=["GET"], paths=["/user"], credential="gh")]

    def test_an_agent_clones_and_pushes_with_a_token_of_the_app(self):
        name = f"acme/app-{self.mode}"
        NET.git_server.create(name)
        self.set_github("--repository", name, "--permission", "contents=write", "--permission", "metadata=read")
        before, wrong = len(NET.github.issued), len(NET.github.wrong)
        p = NET.run(self.ring, self.GIT, "sh", "-c", "set -e; cd /tmp; export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@b.c "
                    f"GIT_COMMITTER_NAME=A GIT_COMMITTER_EMAIL=a@b.c; git clone -q https://github.com/{name}.git app; cd app; "
                    "echo x > X; git add X; git commit -q -m x; git push -q origin main:agent/x; "
                    "curl -s https://api.github.com/user; env; git config -l; cat .git/config")
        text = (p.stdout + p.stderr).decode()
        self.assertEqual(p.returncode, 0, text + str(NET.github.wrong))
        self.assertIn("refs/heads/agent/x", NET.git_server.refs(name))
        self.assertIn("you are the app", text)
        self.assertEqual(NET.github.issued[before:], [{"repositories": [name.partition("/")[2]], "permissions": {
            "contents": "write", "metadata": "read"}}])
        self.assertEqual(NET.github.wrong[wrong:], [])
        for token in NET.github.tokens:
            self.assertNotIn(token, text)
        verified, records = NET.audit(self.ring)
        self.assertTrue(verified)
        text = json.dumps(records)
        for secret in (*NET.github.tokens, *NET.github.pem.split("\n")[1:4]):
            self.assertNotIn(secret, text)
        exchanges = [r for r in records if r["event"] == "token-exchange"]
        self.assertEqual([(r["data"]["credential"], r["data"]["host"], r["data"]["port"]) for r in exchanges],
                         [("gh", "api.github.com", 443)])
        allowed = {r["action_id"] for r in records if r["event"] == "decision"}
        self.assertIn(exchanges[0]["action_id"], allowed)

    # ---- ends in the middle ----

    def test_whoever_ends_in_the_middle_of_an_exchange_the_next_one_succeeds(self):
        """The API never hears a request without its token, and what waited is told."""
        self.set_oauth()
        for name in ("rf-dialer", "rf-vault", "rf-issuer", "rf-arbiter", "rf-gateway", "command"):
            with self.subTest(name):
                self.set_oauth()  # forgets the token
                asked, heard = len(NET.login.asked), len(NET.api.requests)
                gate = threading.Event()
                self.addCleanup(gate.set)
                NET.login.say = lambda request, gate=gate: gate.wait(60) and None
                run = self.ring.start("run", "--policy", NET.policy(self.ring, self.RULES), "--", "curl", "-s", "-f",
                                      "--max-time", "60", "https://api.example.com/")
                wait_until(lambda: len(NET.login.asked) > asked, "an exchange")
                NET.login.say = None
                if name == "command":
                    run.send_signal(2)
                else:
                    os.kill({**self.ring.programs(), "rf-issuer": self.issuer_pid()}[name], 9)
                if name == "rf-dialer":  # the connection is the issuer's already
                    gate.set()
                self.assertNotEqual(run.wait(60), 0)
                run.communicate()
                self.assertEqual(len(NET.api.requests), heard)
                gate.set()
                wait_until(lambda: "200" in self.get().text, "a request after it")

    # ---- the program ----

    def issuer_pid(self):
        supervisor = self.ring.programs()["rf-supervisor"]
        from ring import children_of
        return next((p for p in children_of(supervisor) if file_text(f"/proc/{p}/comm").strip() == "rf-issuer" and alive(p)),
                    None)

    def hold(self):
        """A sandbox that stays, with an exchange done for it."""
        run = self.ring.start("run", "--policy", NET.policy(self.ring, self.RULES), "--", "sh", "-c",
                              "curl -s -o /dev/null -w '%{http_code}\\n' https://api.example.com/; cat", stdin=subprocess.PIPE)
        self.addCleanup(run.communicate)
        self.assertEqual(run.stdout.readline(), b"200\n")
        return run

    def test_it_runs_once_there_is_something_to_exchange_and_again_after_it_ended(self):
        self.assertEqual(NET.run(self.ring, [rule("http", hosts=["api.example.com"], methods=["GET"])], "true").returncode, 0)
        self.assertIsNone(self.issuer_pid())
        self.set_oauth()
        self.hold()
        pid = self.issuer_pid()
        self.assertIsNotNone(pid)
        os.kill(pid, 9)
        wait_until(lambda: self.issuer_pid() is None, "its end")
        self.set_oauth()
        self.hold()
        self.assertNotIn(self.issuer_pid(), (None, pid))

    def test_its_locks_are_those_that_the_kernel_knows(self):
        if not AS_ROOT:
            self.skipTest("only root can read this back")
        self.set_oauth()
        self.hold()
        pid = self.issuer_pid()
        status = status_of(pid)
        self.assertEqual(status["Uid"].split(), [str(IDS_ISSUER if self.mode == "root" else self.ring.uid)] * 4)
        self.assertEqual(status["Gid"].split()[0], str(IDS_ISSUER if self.mode == "root" else self.ring.uid))
        self.assertEqual((status["NoNewPrivs"].strip(), status["Seccomp"].strip()), ("1", "2"))
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            self.assertEqual(int(status[name], 16), 0)
        self.assertEqual(os.listdir(f"/proc/{pid}/cwd"), [])
        if self.mode == "root":
            self.assertEqual(os.listdir(f"/proc/{pid}/root"), [])
            self.assertEqual(int(status["CapBnd"], 16), 0)
        kinds = {re.sub(r"[0-9]", "", os.readlink(f"/proc/{pid}/fd/{fd}")) for fd in os.listdir(f"/proc/{pid}/fd") if int(fd) > 2}
        self.assertEqual(kinds - {"socket:[]", "anon_inode:[eventpoll]", "pipe:[]"}, set())

    def memory(self, pid):
        found = b""
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
            for line in maps:
                where, access = line.split()[:2]
                begin, end = (int(n, 16) for n in where.split("-"))
                if access.startswith("rw") and end - begin < 1 << 28:
                    try:
                        memory.seek(begin)
                        found += memory.read(end - begin)
                    except (OSError, ValueError, OverflowError):
                        pass
        return found

    def test_the_secret_is_in_no_other_program_and_no_file_and_soon_in_none(self):
        if not AS_ROOT:
            self.skipTest("only root can read this back")
        secret = CLIENT_SECRET.encode()
        needles = (secret, urllib.parse.quote(CLIENT_SECRET, safe="").encode(), base64.b64encode(
            f"{urllib.parse.quote(CLIENT, safe='')}:{urllib.parse.quote(CLIENT_SECRET, safe='')}".encode())[8:-4])
        self.set_oauth()
        run = self.hold()
        pids = {**self.ring.programs(), "rf-issuer": self.issuer_pid()}
        self.assertGreaterEqual(len(pids), 7)
        token = NET.login.tokens[-1].encode()
        self.assertIn(token, self.memory(pids["rf-gateway"]))  # the control: what is there is found
        for name, pid in pids.items():
            memory = self.memory(pid)
            for needle in needles:
                self.assertFalse(needle in memory, (name, needle))  # assertNotIn would print all of it
            if name not in ("rf-gateway", "rf-vault"):
                self.assertFalse(token in memory, name)
        for sandbox in self.ring.sandboxes():
            self.assertFalse(token in self.memory(sandbox))
        run.communicate(b"")
        self.ring.cli("stop")
        looked = 0
        for base, _, names in os.walk(self.ring.dir):
            for name in names:
                if os.path.isfile(os.path.join(base, name)):
                    looked += 1
                    with open(os.path.join(base, name), "rb") as f:
                        text = f.read()
                    for needle in (*needles, token):
                        self.assertFalse(needle in text, name)
        self.assertGreater(looked, 5)


for _mode in modes():
    _name = "Issuer" + ("AsRoot" if _mode == "root" else "Rootless")
    globals()[_name] = type(_name, (Issuer, unittest.TestCase), {"mode": _mode})
del _name

if __name__ == "__main__":
    unittest.main()
