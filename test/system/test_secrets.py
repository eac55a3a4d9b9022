"""rf-vault by itself: what it keeps, whom it hears, what it gives.

The test plays the supervisor, the arbiter and a gateway over socket pairs; people connect to the real listener. Each
claim that something cannot be read has a control that reads the same thing where it is allowed to be.
"""

import base64
import fcntl
import glob
import hmac
import json
import os
import pty
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import unittest
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from arbiter_kit import ALICE, MALLORY, WAIT, Closed, Talk, bin_dir  # noqa: E402

PEER_JOIN = 100
GRANT, GRANTED, REVOKE, CREDENTIAL, CREDENTIAL_REVOKED, SECRET_CHANGED = range(130, 136)
SECRET_SET, SECRET_LIST, SECRETS, SECRET_REMOVE = range(140, 144)
ERROR = 1
VAULT_UID = 64005
VALUE = "ghp_Sw0rdfishSw0rdfish42"
HOST = "api.example.com"


def sealed_memfd(value, seal=True):
    fd = os.memfd_create("value", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, value if isinstance(value, bytes) else value.encode())
    if seal:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    return fd


class Vault:
    """A running rf-vault. UID: rootless, as that user."""

    def __init__(self, config="", uid=None, directory=None, memlock=None):
        self.uid = uid
        self.memlock = memlock
        self.directory = directory or tempfile.mkdtemp(prefix="rf-vault-")
        os.chmod(self.directory, 0o755)
        self.state = os.path.join(self.directory, "vault")
        if not os.path.isdir(self.state):
            os.mkdir(self.state, 0o750)
            owner = VAULT_UID if uid is None else uid
            os.chown(self.state, owner, owner)
        self.log = os.path.join(self.directory, "log")
        self.talks = []
        self.start(config)

    def start(self, config=""):
        self.config = os.path.join(self.directory, "config.yaml")
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(config)
        self.path = os.path.join(self.directory, "vault.sock")
        if os.path.exists(self.path):
            os.unlink(self.path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(self.path)
        os.chmod(self.path, 0o666)
        listener.listen(16)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        state = os.open(self.state, os.O_RDONLY | os.O_DIRECTORY)
        config_fd = os.open(self.config, os.O_RDONLY)
        null = os.open("/dev/null", os.O_RDONLY)
        order = [theirs.fileno(), state, listener.fileno(), null, config_fd]
        uid, memlock = self.uid, self.memlock

        def arrange():
            high = [os.dup2(fd, 200 + i) for i, fd in enumerate([os.dup(fd) for fd in order])]
            for i, fd in enumerate(high):
                os.dup2(fd, 3 + i)
            resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            if memlock is not None:
                resource.setrlimit(resource.RLIMIT_MEMLOCK, (memlock, memlock))
            if uid is not None:
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)

        own = "0" if uid is not None else str(VAULT_UID)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [os.path.join(bin_dir(), "rf-vault"), "--uid", own, "--gid", own], env={},
                preexec_fn=arrange, pass_fds=tuple(range(3, 8)), stderr=log)
        for fd in (state, config_fd, null):
            os.close(fd)
        for s in (theirs, listener):
            s.close()
        self.supervisor = Talk(ours)
        self.arbiter = self.join("arbiter")

    def join(self, peer, **more):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.supervisor.send(PEER_JOIN, dict(peer=peer, **more), serial=0, fds=[theirs.fileno()])
        theirs.close()
        talk = Talk(ours)
        self.talks.append(talk)
        return talk

    def person(self, uid=0):
        if uid == os.geteuid():
            s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            s.connect(self.path)
            talk = Talk(s)
        else:
            talk = self.connect_as(uid)
        self.talks.append(talk)
        return talk

    def connect_as(self, uid):
        ours, theirs = socket.socketpair()
        child = os.fork()
        if child == 0:
            try:
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
                s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                s.connect(self.path)
                socket.send_fds(theirs, [b"x"], [s.fileno()])
                os._exit(0)
            finally:
                os._exit(1)
        theirs.close()
        _, fds, _, _ = socket.recv_fds(ours, 1, 1)
        ours.close()
        os.waitpid(child, 0)
        return Talk(socket.socket(fileno=fds[0]))

    def set(self, name="token", value=VALUE, reply=SECRETS, person=None, **more):
        body = {"name": name, "as": "bearer", "bind": {"hosts": [HOST]}}
        body.update(more)
        fd = value if isinstance(value, int) else sealed_memfd(value)
        talk = person or self.person(0 if self.uid is None else self.uid)
        try:
            return talk.call(SECRET_SET, body, reply, fds=[fd])
        finally:
            os.close(fd)
            if person is None:
                self.talks.remove(talk)
                talk.close()

    def list(self):
        return self.person().call(SECRET_LIST, {}, SECRETS)

    def grant_body(self, credential="token", target=None, **more):
        body = {"grant": str(uuid.uuid4()), "credential": credential, "action_id": str(uuid.uuid4()),
                "sandbox": str(uuid.uuid4()), "gateway": 0, "digest": "d" * 64,
                "target": dict({"kind": "http", "scheme": "https", "host": HOST, "port": 443,
                                "method": "GET", "path": "/"}, **(target or {})),
                "expires_ms": int(time.time() * 1000) + 60000}
        body.update(more)
        return body

    def grant(self, reply=GRANTED, **more):
        body = self.grant_body(**more)
        return body, self.arbiter.call(GRANT, body, reply)

    def files(self):
        found = {}
        for name in os.listdir(self.state):
            with open(os.path.join(self.state, name), "rb") as f:
                found[name] = f.read()
        return found

    def log_text(self):
        with open(self.log, "rb") as f:
            return f.read()

    def stop(self):
        self.supervisor.close()
        status = self.process.wait(WAIT)
        for talk in self.talks:
            talk.close()
        self.talks = []
        return status

    def destroy(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.supervisor.close()
        for talk in self.talks:
            talk.close()
        shutil.rmtree(self.directory, ignore_errors=True)


def spellings(value):
    raw = value.encode()
    return [raw, base64.b64encode(raw), raw.hex().encode(), raw[:12]]


@unittest.skipUnless(os.geteuid() == 0, "needs root to be several users")
class Case(unittest.TestCase):
    def vault(self, *arguments, **more):
        vault = Vault(*arguments, **more)
        self.addCleanup(vault.destroy)
        return vault

    def assert_refused(self, error, code, word=""):
        self.assertEqual(error["error"]["code"], code, error)
        self.assertIn(word, error["error"]["message"])


class Sealing(Case):
    def test_a_secret_is_granted_and_its_file_holds_no_plaintext(self):
        vault = self.vault()
        gateway = vault.join("gateway", gateway=0, tenant="default")
        answer = vault.set(VALUE and "token")
        self.assertEqual(answer["secrets"][0]["version"], 1)
        body, granted = vault.grant()
        self.assertEqual(granted, {"grant": body["grant"], "version": 1})
        credential = gateway.expect(CREDENTIAL)
        self.assertEqual(credential, {"grant": body["grant"], "sandbox": body["sandbox"], "credential": "token",
                                      "expires_ms": body["expires_ms"], "apply": {"as": "bearer"},
                                      "value": VALUE})
        files = vault.files()
        self.assertEqual(sorted(files), ["master.key", "token.sealed"])
        for name, content in files.items():
            for spelling in spellings(VALUE):
                self.assertNotIn(spelling, content, name)
            mode = os.stat(os.path.join(vault.state, name))
            self.assertEqual(stat.S_IMODE(mode.st_mode), 0o600, name)
            self.assertEqual(mode.st_uid, VAULT_UID)
        self.assertIn(HOST.encode(), files["token.sealed"])  # control: we look at the right file

    def test_it_survives_a_restart_and_versions_count(self):
        vault = self.vault()
        vault.set()
        self.assertEqual(vault.set(value="another-value-1")["secrets"][0]["version"], 2)
        self.assertEqual(vault.stop(), 0)
        vault.start()
        gateway = vault.join("gateway", gateway=0)
        self.assertEqual(vault.grant()[1]["version"], 2)
        self.assertEqual(gateway.expect(CREDENTIAL)["value"], "another-value-1")

    def test_the_same_value_is_never_the_same_file(self):
        vault = self.vault()
        vault.set("a")
        vault.set("b")
        files = vault.files()
        self.assertNotEqual(files["a.sealed"][-len(VALUE):], files["b.sealed"][-len(VALUE):])

    def test_every_byte_of_a_file_counts(self):
        vault = self.vault()
        gateway = vault.join("gateway", gateway=0)
        vault.set()
        path = os.path.join(vault.state, "token.sealed")
        good = vault.files()["token.sealed"]
        for at in range(len(good)):
            with open(path, "wb") as f:
                f.write(good[:at] + bytes([good[at] ^ 1]) + good[at + 1:])
            self.assertIn(vault.grant(ERROR)[1]["error"]["code"], ("credential_damaged", "vault_key"), at)
        for other in (b"", good[:-1], good + b"x", good[:40]):
            with open(path, "wb") as f:
                f.write(other)
            self.assert_refused(vault.grant(ERROR)[1], "credential_damaged")
        self.assertEqual(vault.list()["secrets"][0]["state"], "damaged")
        os.unlink(path)
        self.assert_refused(vault.grant(ERROR)[1], "credential_damaged")
        self.assertTrue(gateway.quiet())
        with open(path, "wb") as f:
            f.write(good)
        vault.grant()
        self.assertEqual(gateway.expect(CREDENTIAL)["value"], VALUE)

    def test_a_changed_head_is_found_after_a_restart_too(self):
        vault = self.vault()
        vault.set()
        vault.stop()
        path = os.path.join(vault.state, "token.sealed")
        good = vault.files()["token.sealed"]
        with open(path, "wb") as f:
            f.write(good.replace(b"api.example.com", b"evl.example.com"))
        vault.start()
        gateway = vault.join("gateway", gateway=0)
        self.assert_refused(vault.grant(ERROR, target={"host": "evl.example.com"})[1], "credential_damaged")
        self.assertTrue(gateway.quiet())

    def test_one_secrets_file_is_not_anothers(self):
        vault = self.vault()
        vault.set("low", value="low-value-0000")
        vault.set("high", value="high-value-000")
        vault.stop()
        shutil.copy(os.path.join(vault.state, "high.sealed"), os.path.join(vault.state, "low.sealed"))
        vault.start()
        gateway = vault.join("gateway", gateway=0)
        self.assert_refused(vault.grant(ERROR, credential="low")[1], "credential_damaged")
        vault.grant(credential="high")
        self.assertEqual(gateway.expect(CREDENTIAL)["value"], "high-value-000")

    def test_an_older_version_put_back_is_found_while_it_runs(self):
        vault = self.vault()
        vault.join("gateway", gateway=0)
        vault.set()
        old = vault.files()["token.sealed"]
        vault.set(value="the-new-value")
        with open(os.path.join(vault.state, "token.sealed"), "wb") as f:
            f.write(old)
        self.assert_refused(vault.grant(ERROR)[1], "credential_damaged")

    def test_a_link_or_a_fifo_in_place_of_a_file_is_not_followed(self):
        vault = self.vault()
        vault.join("gateway", gateway=0)
        vault.set()
        path = os.path.join(vault.state, "token.sealed")
        os.rename(path, path + ".away")
        os.symlink("token.sealed.away", path)
        self.assertEqual(vault.grant(ERROR)[1]["error"]["code"], "vault_failed")
        os.unlink(path)
        os.mkfifo(path)
        self.assert_refused(vault.grant(ERROR)[1], "credential_damaged")

    def test_killed_at_any_time_it_has_the_old_value_or_the_new(self):
        vault = self.vault()
        vault.set(value="value-number-0")
        seen, rounds = set(), 40
        for i in range(1, rounds + 1):
            fd = sealed_memfd("value-number-%d" % i)
            vault.person().send(SECRET_SET, {"name": "token", "as": "bearer", "bind": {"hosts": [HOST]}}, fds=[fd])
            os.close(fd)
            if i % 2:  # at once, or when something can be seen of it
                path = os.path.join(vault.state, "token.sealed.new")
                for _ in range(i * 20):
                    if os.path.exists(path):
                        break
            vault.process.kill()
            vault.process.wait()
            vault.stop()
            vault.start()
            gateway = vault.join("gateway", gateway=0)
            vault.grant()
            value = int(gateway.expect(CREDENTIAL)["value"].rpartition("-")[2])
            self.assertLessEqual(value, i)
            self.assertGreaterEqual(value, max(seen, default=0))
            seen.add(value)

    def test_a_full_disk_leaves_what_was_there(self):
        vault = self.vault()
        vault.stop()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=700,uid=%d" % VAULT_UID, "none", vault.state],
                       check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", vault.state], check=True)
        vault.start()
        gateway = vault.join("gateway", gateway=0)
        vault.set()
        error = vault.set(value="x" * 65536, reply=ERROR)
        self.assert_refused(error, "vault_failed", "No space left")
        vault.grant()
        self.assertEqual(gateway.expect(CREDENTIAL)["value"], VALUE)
        self.assertEqual(sorted(vault.files()), ["master.key", "token.sealed"])


class MasterKey(Case):
    def key_file(self, vault_directory, content, mode=0o600):
        path = os.path.join(vault_directory, "key-%s" % uuid.uuid4())
        with open(path, "wb") as f:
            f.write(content)
        os.chmod(path, mode)
        return path

    def with_key(self, content, mode=0o600, vault=None):
        directory = vault.directory if vault else tempfile.mkdtemp(prefix="rf-vault-")
        path = self.key_file(directory, content, mode)
        config = "vault:\n  master_key: {file: %s}\n" % path
        if vault:
            vault.stop()
            vault.start(config)
            return vault
        return self.vault(config, directory=directory)

    def test_a_key_file_in_each_form_is_the_same_key(self):
        key = bytes(range(1, 33))
        vault = self.with_key(key)
        vault.set()
        identity = vault.list()["key"]["id"]
        self.assertNotIn("master.key", vault.files())
        for form in (key.hex().encode(), key.hex().upper().encode() + b"\n", base64.b64encode(key) + b"\n"):
            self.with_key(form, vault=vault)
            state = vault.list()
            self.assertEqual(state["key"]["id"], identity)
            self.assertEqual(state["secrets"][0]["state"], "sealed")
            self.assertFalse(state["key"]["conventional"])

    def test_with_another_key_nothing_is_granted_and_nothing_overwritten(self):
        vault = self.with_key(b"k" * 32)
        vault.set()
        before = vault.files()
        self.with_key(b"K" * 32, vault=vault)
        gateway = vault.join("gateway", gateway=0)
        self.assert_refused(vault.grant(ERROR)[1], "vault_key", "another master key")
        self.assert_refused(vault.set(reply=ERROR), "vault_key", "another master key")
        self.assert_refused(vault.set("other", reply=ERROR), "vault_key", "another master key")
        self.assertEqual(vault.list()["secrets"][0]["state"], "another-key")
        self.assertEqual(vault.files(), before)
        self.assertTrue(gateway.quiet())
        self.with_key(b"k" * 32, vault=vault)  # control: it was the key
        gateway = vault.join("gateway", gateway=0)
        vault.grant()
        self.assertEqual(gateway.expect(CREDENTIAL)["value"], VALUE)

    def test_without_the_configured_key_everything_is_refused_by_its_reason(self):
        directory = tempfile.mkdtemp(prefix="rf-vault-")
        cases = [("{file: %s/none}" % directory, "No such file"),
                 ("{file: %s}" % self.key_file(directory, b"short"), "holds no master key"),
                 ("{file: %s}" % self.key_file(directory, b"z" * 64), "holds no master key"),
                 ("{file: %s}" % self.key_file(directory, b"k" * 32, 0o644), "can be read by others"),
                 ("{file: %s}" % directory, ""),
                 ("{command: [/bin/false]}", "exit 1"),
                 ("{command: [%s/none]}" % directory, "No such file"),
                 ("{command: [/bin/echo, nonsense]}", "holds no master key"),
                 ("{command: [/bin/cat, /dev/zero]}", "too large")]
        vault = None
        for key, word in cases:
            config = "vault:\n  master_key: %s\n" % key
            if vault is None:
                vault = self.vault(config, directory=directory)
            else:
                vault.stop()
                vault.start(config)
            vault.join("gateway", gateway=0)
            with self.subTest(key):
                self.assert_refused(vault.set(reply=ERROR), "vault_key", word)
                self.assert_refused(vault.grant(ERROR)[1], "vault_key", word)
                self.assertIn(word, vault.list()["key"]["error"])
                self.assertEqual(vault.files(), {})

    def test_a_broken_configuration_is_refused(self):
        vault = self.vault("vault: {master_key: {file: relative}}\n")
        self.assertEqual(vault.set(reply=ERROR)["error"]["code"], "config_invalid")
        self.assertEqual(vault.files(), {})

    def test_a_command_prints_the_key_without_a_shell(self):
        key = "ab" * 32
        vault = self.vault("vault:\n  master_key: {command: [/bin/echo, \"%s\"]}\n" % key)
        vault.set()
        self.assertEqual(vault.list()["key"]["from"], "command")
        self.with_key(key.encode(), vault=vault)
        self.assertEqual(vault.list()["secrets"][0]["state"], "sealed")
        vault.stop()
        vault.start("vault:\n  master_key: {command: [/bin/echo, \"$(id)\", \";id\"]}\n")
        self.assertIn("holds no master key", vault.list()["key"]["error"])

    def test_a_command_that_does_not_end_is_ended(self):
        # It leaves a mark of who it is; that process must be gone when the vault answers.
        directory = tempfile.mkdtemp(prefix="rf-vault-")
        mark = os.path.join(directory, "pid")
        vault = self.vault("vault:\n  master_key: {command: [/bin/sh, -c, \"echo $$ > %s; exec sleep 1000\"]}\n"
                           % mark, directory=directory)
        self.assertIn("timed out", vault.list()["key"]["error"].lower())
        with open(mark, encoding="utf-8") as f:
            self.assertFalse(os.path.exists("/proc/%s" % f.read().strip()))

    def test_a_lost_own_key_is_not_replaced(self):
        vault = self.vault()
        vault.set()
        state = vault.list()
        self.assertTrue(state["key"]["conventional"])
        self.assertEqual(state["key"]["from"], "own")
        vault.stop()
        os.rename(os.path.join(vault.state, "master.key"), os.path.join(vault.directory, "kept"))
        vault.start()
        vault.join("gateway", gateway=0)
        self.assert_refused(vault.grant(ERROR)[1], "vault_key", "gone")
        self.assertNotIn("master.key", vault.files())
        vault.stop()
        os.rename(os.path.join(vault.directory, "kept"), os.path.join(vault.state, "master.key"))
        vault.start()
        self.assertEqual(vault.list()["secrets"][0]["state"], "sealed")


class Values(Case):
    def test_what_is_not_a_value_is_refused(self):
        vault = self.vault()
        for value, word in ((b"", "shorter than 8"), (b"seven77", "shorter than 8"), (b"seven77\n", "shorter than 8"),
                            (b"line one\nline two", "control bytes"), (b"nul\0nul-nul", "control bytes"),
                            (b"tab\tseparated", "control bytes"), (b"x" * 65537, "65536"),
                            (b"x" * 70000, "65536"), (b"not utf-8 \xff\xfe", "bearer token has no spaces"),
                            (b"not-utf-8-\xff\xfe", "UTF-8"), (b"\"" * 65536, "once escaped")):
            with self.subTest(value[:20]):
                self.assert_refused(vault.set(value=value, reply=ERROR), "secret_invalid", word)
        self.assertEqual(list(vault.files()), ["master.key"])

    def test_one_newline_at_the_end_is_not_of_the_value(self):
        vault = self.vault()
        gateway = vault.join("gateway", gateway=0)
        for value, expected in ((b"12345678\n", "12345678"), (b"12345678\r\n", "12345678"), (b"x" * 65536 + b"\n", "x" * 65536)):
            vault.set(value=value)
            vault.grant()
            self.assertEqual(gateway.expect(CREDENTIAL)["value"], expected)

    def test_only_a_sealed_memfd_is_read(self):
        vault = self.vault()
        reader, writer = os.pipe()
        self.addCleanup(os.close, writer)
        plain = os.open(vault.config, os.O_RDONLY)
        for fd in (reader, plain, sealed_memfd(VALUE, seal=False), os.open("/dev/zero", os.O_RDONLY)):
            self.assert_refused(vault.set(value=fd, reply=ERROR), "secret_invalid", "sealed memfd")

    def test_what_a_request_must_say(self):
        vault = self.vault()
        for more, word in (({"bind": {}}, "needs a host"), ({"bind": {"hosts": []}}, "needs a host"),
                           ({"bind": {"hosts": ["*"]}}, "hosts"), ({"bind": {"hosts": ["*.com"]}}, "two labels"),
                           ({"bind": {"hosts": ["a b"]}}, "hosts"), ({"bind": {"hosts": ["https://x.y"]}}, "hosts"),
                           ({"bind": {"hosts": [7]}}, "hosts"), ({"bind": {"hosts": ["x.y"] * 33}}, "hosts"),
                           ({"bind": {"hosts": [HOST], "ports": [0]}}, "ports"),
                           ({"bind": {"hosts": [HOST], "ports": [65536]}}, "ports"),
                           ({"bind": {"hosts": [HOST], "methods": ["get"]}}, "methods"),
                           ({"bind": {"hosts": [HOST], "paths": ["x"]}}, "paths"),
                           ({"bind": {"hosts": [HOST], "paths": ["/a/../b"]}}, "paths"),
                           ({"bind": {"hosts": [HOST], "plain": 1}}, "plain"),
                           ({"bind": {"hosts": [HOST], "more": 1}}, "more is not known"),
                           ({"name": "../x"}, "name"), ({"name": ""}, "name"), ({"name": "x" * 65}, "name"),
                           ({"as": "magic"}, "bearer, basic"), ({"as": "header"}, "no name"),
                           ({"as": "header", "header": "Host"}, "frames or routes"),
                           ({"as": "header", "header": "content-length"}, "frames or routes"),
                           ({"as": "header", "header": "X: y"}, "name"), ({"as": "basic"}, "needs a user"),
                           ({"as": "basic", "user": "a:b"}, "colon"), ({"user": "u"}, "only basic")):
            with self.subTest(more):
                self.assert_refused(vault.set(reply=ERROR, **more), "secret_invalid", word)
        self.assertEqual(list(vault.files()), ["master.key"])


class Binding(Case):
    def test_a_grant_elsewhere_is_refused(self):
        vault = self.vault()
        gateway = vault.join("gateway", gateway=0)
        bind = {"hosts": ["api.example.com", "*.wild.example.org"], "ports": [443, 8443], "methods": ["GET", "HEAD"],
                "paths": ["/repos/acme/**", "/user"]}
        vault.set(bind=bind)
        inside = [{"path": "/repos/acme/x/issues"}, {"path": "/user"}, {"host": "a.wild.example.org", "path": "/user"},
                  {"port": 8443, "path": "/user"}, {"method": "HEAD", "path": "/user"}, {"path": "/user", "kind": "git"}]
        for target in inside:
            with self.subTest(target):
                vault.grant(target=target)
                self.assertEqual(gateway.expect(CREDENTIAL)["value"], VALUE)
        outside = [{"path": "/repos/other/x"}, {"path": "/"}, {"path": "/user/"}, {"path": "/repos/acme/../other"},
                   {"path": "/repos/acme/%2e%2e/other"}, {"path": "/%75ser"}, {"path": ""}, {"path": "//user"},
                   {"host": "example.com"}, {"host": "api.example.com.evil.net"}, {"host": "xapi.example.com"},
                   {"host": "wild.example.org"}, {"host": "a.b.wild.example.org"}, {"host": "api.example.com."},
                   {"host": "api.example.com\0.evil.net"}, {"host": ""}, {"port": 80}, {"port": 0}, {"port": "443"},
                   {"method": "POST"}, {"method": ""}, {"method": "get"}, {"scheme": "http"}, {"scheme": ""},
                   {"kind": "net"}, {"kind": ""}]
        for target in outside:
            with self.subTest(target):
                full = dict({"path": "/user"}, **target)
                self.assert_refused(vault.grant(ERROR, target=full)[1], "credential_not_bound")
        self.assert_refused(vault.grant(ERROR, credential="none")[1], "credential_unknown")
        self.assertTrue(gateway.quiet())

    def test_plain_http_must_be_asked_for(self):
        vault = self.vault()
        gateway = vault.join("gateway", gateway=0)
        plain = {"scheme": "http", "port": 80}
        vault.set()
        self.assert_refused(vault.grant(ERROR, target=plain)[1], "credential_not_bound", "scheme")
        vault.set(bind={"hosts": [HOST], "ports": [80]})
        self.assert_refused(vault.grant(ERROR, target=plain)[1], "credential_not_bound", "scheme")
        vault.set(bind={"hosts": [HOST], "plain": True})
        vault.grant(target=plain)
        self.assertEqual(gateway.expect(CREDENTIAL)["value"], VALUE)

    def test_a_grant_that_lacks_something_is_refused(self):
        vault = self.vault()
        gateway = vault.join("gateway", gateway=0)
        vault.set()
        now = int(time.time() * 1000)
        first, _ = vault.grant()
        gateway.expect(CREDENTIAL)
        for more, code in (({"digest": ""}, "grant_invalid"), ({"sandbox": "x"}, "grant_invalid"),
                           ({"grant": "x"}, "grant_invalid"), ({"grant": first["grant"]}, "grant_invalid"),
                           ({"action_id": ""}, "grant_invalid"), ({"gateway": 7}, "gateway_unknown"),
                           ({"expires_ms": now - 1}, "grant_invalid"), ({"expires_ms": now + 660000}, "grant_invalid"),
                           ({"credential": "x" * 65}, "grant_invalid")):
            with self.subTest(more):
                self.assert_refused(vault.grant(ERROR, **more)[1], code)
        self.assertTrue(gateway.quiet())


class Aws(Case):
    """Of an AWS secret the gateway gets what is derived from it for one day, region and service."""

    SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

    def derived(self, scope):
        key = ("AWS4" + self.SECRET).encode()
        for part in scope.split("/") + ["aws4_request"]:
            key = hmac.new(key, part.encode(), "sha256").digest()
        return key.hex()

    def test_the_gateway_never_gets_the_secret_key(self):
        vault = self.vault()
        gateway = vault.join("gateway", gateway=0)
        answer = vault.set("store", self.SECRET, **{"as": "aws", "user": "AKIDEXAMPLE", "region": "us-east-1",
                                                    "service": "s3"})
        self.assertEqual(answer["secrets"][0]["region"], "us-east-1")
        vault.grant(credential="store")
        credential = gateway.expect(CREDENTIAL)
        scope = credential["apply"]["name"]
        today = [time.strftime("%Y%m%d", time.gmtime(time.time() - late)) for late in (0, 60)]
        self.assertIn(scope, [day + "/us-east-1/s3" for day in today])
        self.assertEqual(credential["apply"], {"as": "aws", "name": scope, "user": "AKIDEXAMPLE"})
        self.assertEqual(credential["value"], self.derived(scope))

    def test_what_an_aws_secret_must_say(self):
        vault = self.vault()
        good = {"as": "aws", "user": "AKID", "region": "us-east-1", "service": "s3"}
        for more, word in (({"user": "A K"}, "access key id"), ({"user": ""}, "access key id"), ({"region": ""}, "region"),
                           ({"region": "us/east"}, "region"), ({"service": "s3\n"}, "region"), ({"header": "X"}, "no header"),
                           ({"as": "bearer"}, "only aws"), ({"region": "r" * 200}, "region")):
            with self.subTest(more):
                self.assert_refused(vault.set("store", self.SECRET, ERROR, **dict(good, **more)), "secret_invalid", word)
        for missing in ("user", "region", "service"):
            self.assert_refused(vault.set("store", self.SECRET, ERROR,
                                          **{k: v for k, v in good.items() if k != missing}), "secret_invalid")
        vault.set("store", self.SECRET, **good)


class Revoking(Case):
    def test_a_grant_ends_at_once_in_each_way(self):
        vault = self.vault()
        gateway = vault.join("gateway", gateway=0)
        for ending in ("grant", "sandbox", "credential", "set", "remove"):
            vault.set()
            body, _ = vault.grant()
            gateway.expect(CREDENTIAL)
            if ending in ("grant", "sandbox"):
                vault.arbiter.send(REVOKE, {ending: body[ending]}, serial=0)
            elif ending == "credential":
                vault.arbiter.send(REVOKE, {"credential": "token"}, serial=0)
            elif ending == "set":
                vault.set(value="another-value")
            else:
                vault.person().call(SECRET_REMOVE, {"name": "token"}, SECRETS)
            self.assertEqual(gateway.expect(CREDENTIAL_REVOKED), {"grant": body["grant"]}, ending)

    def test_only_what_was_named_is_revoked(self):
        vault = self.vault()
        gateway = vault.join("gateway", gateway=0)
        vault.set("a")
        vault.set("b")
        kept, _ = vault.grant(credential="a")
        gone, _ = vault.grant(credential="b")
        vault.arbiter.send(REVOKE, {"credential": "b"}, serial=0)
        vault.arbiter.send(REVOKE, {"grant": str(uuid.uuid4())}, serial=0)
        self.assertEqual(gateway.expect(CREDENTIAL_REVOKED)["grant"], gone["grant"])
        vault.arbiter.send(REVOKE, {"sandbox": kept["sandbox"]}, serial=0)
        self.assertEqual(gateway.expect(CREDENTIAL_REVOKED)["grant"], kept["grant"])

    def test_without_the_arbiter_no_grant_stays_and_no_secret_is_set(self):
        vault = self.vault()
        gateway = vault.join("gateway", gateway=0)
        person = vault.person()
        vault.set(person=person)
        body, _ = vault.grant()
        vault.arbiter.close()
        self.assertEqual(gateway.expect(CREDENTIAL_REVOKED), {"grant": body["grant"]})
        self.assert_refused(vault.set(person=person, reply=ERROR), "not_recorded")
        vault.arbiter = vault.join("arbiter")
        vault.grant()
        gateway.expect(CREDENTIAL)

    def test_changes_are_told_to_the_arbiter_without_values(self):
        vault = self.vault()
        vault.set()
        vault.person().call(SECRET_REMOVE, {"name": "token"}, SECRETS)
        self.assertEqual(vault.arbiter.expect(SECRET_CHANGED),
                         {"event": "secret-set", "credential": "token", "by": "uid:0", "version": 1})
        self.assertEqual(vault.arbiter.expect(SECRET_CHANGED),
                         {"event": "secret-removed", "credential": "token", "by": "uid:0", "version": 1})
        self.assertEqual(list(vault.files()), ["master.key"])


class Peers(Case):
    def test_nothing_is_accepted_from_a_gateway(self):
        vault = self.vault()
        vault.set()
        for kind in (GRANT, REVOKE, SECRET_LIST, SECRET_SET, PEER_JOIN, CREDENTIAL, ERROR, 0, 65535):
            gateway = vault.join("gateway", gateway=0)
            gateway.send(kind, vault.grant_body())
            with self.assertRaises(Closed, msg=kind):
                gateway.receive()
        gateway = vault.join("gateway", gateway=0)  # control: one that is silent is served
        vault.grant()
        self.assertEqual(gateway.expect(CREDENTIAL)["value"], VALUE)

    def test_a_grant_goes_to_its_gateway_only(self):
        vault = self.vault()
        vault.set()
        first, second = vault.join("gateway", gateway=1), vault.join("gateway", gateway=2)
        vault.grant(gateway=2)
        self.assertEqual(second.expect(CREDENTIAL)["value"], VALUE)
        self.assertTrue(first.quiet())

    def test_nobody_else_may_see_or_change_secrets(self):
        for uid in (None, ALICE):
            vault = self.vault(uid=uid)
            vault.set()
            before = vault.files()
            stranger = vault.person(MALLORY)
            for kind, body in ((SECRET_LIST, {}), (SECRET_REMOVE, {"name": "token"})):
                self.assert_refused(stranger.call(kind, body, ERROR), "not_permitted")
            self.assert_refused(vault.set(person=stranger, reply=ERROR), "not_permitted")
            self.assertEqual(vault.files(), before)
            owner = vault.person(0 if uid is None else uid)
            self.assertEqual(len(owner.call(SECRET_LIST, {}, SECRETS)["secrets"]), 1)
            if uid is not None:
                self.assertEqual(len(vault.person(0).call(SECRET_LIST, {}, SECRETS)["secrets"]), 1)

    def test_strangers_take_nobodys_place(self):
        vault = self.vault()
        vault.set()
        refused = 0
        for _ in range(40):
            stranger = vault.person(MALLORY)
            try:
                self.assert_refused(stranger.call(SECRET_LIST, {}, ERROR), "not_permitted")
            except (Closed, OSError):
                refused += 1
        self.assertEqual(refused, 36)
        self.assertEqual(len(vault.list()["secrets"]), 1)

    def test_people_cannot_speak_as_the_arbiter(self):
        vault = self.vault()
        gateway = vault.join("gateway", gateway=0)
        vault.set()
        for kind in (GRANT, REVOKE, PEER_JOIN):
            person = vault.person()
            person.send(kind, vault.grant_body())
            with self.assertRaises(Closed):
                person.receive()
        self.assertTrue(gateway.quiet())

    def test_it_leaves_with_its_supervisor(self):
        self.assertEqual(self.vault().stop(), 0)

    def test_a_long_list_comes_in_parts(self):
        vault = self.vault()
        hosts = ["h%02d.%s.example.com" % (i, "x" * 60) for i in range(32)]
        person = vault.person()
        for i in range(60):
            vault.set("s%02d" % i, person=person, bind={"hosts": hosts})
        names, after = [], ""
        while True:
            answer = person.call(SECRET_LIST, {"after": after}, SECRETS)
            names += [s["name"] for s in answer["secrets"]]
            if not answer.get("omitted"):
                break
            after = names[-1]
        self.assertEqual(names, ["s%02d" % i for i in range(60)])


class Nowhere(Case):
    """Where a value must not be found."""

    def memory_of(self, pid):
        """Everything that root could read of PID's memory, with the kernel's own lock on it taken into account."""
        found = b""
        with open("/proc/%d/maps" % pid, encoding="utf-8") as maps, open("/proc/%d/mem" % pid, "rb", 0) as mem:
            for line in maps:
                span, perms = line.split()[:2]
                low, high = (int(x, 16) for x in span.split("-"))
                if "rw" not in perms or "[v" in line:
                    continue
                try:
                    mem.seek(low)
                    found += mem.read(high - low)
                except OSError:
                    pass
        return found

    def test_neither_in_arguments_environment_or_log(self):
        vault = self.vault()
        vault.join("gateway", gateway=0)
        vault.set()
        vault.grant()
        vault.grant(ERROR, credential="none")
        for name in ("cmdline", "environ"):
            with open("/proc/%d/%s" % (vault.process.pid, name), "rb") as f:
                self.assertNotIn(VALUE.encode(), f.read())
        self.assertIn(b"grant-refused", vault.log_text())
        for spelling in spellings(VALUE):
            self.assertNotIn(spelling, vault.log_text())

    def test_not_in_its_memory_once_it_was_sent(self):
        vault = self.vault()
        gateway = vault.join("gateway", gateway=0)
        vault.set()
        for _ in range(20):
            vault.grant()
            gateway.expect(CREDENTIAL)
        vault.list()
        memory = self.memory_of(vault.process.pid)
        self.assertIn(HOST.encode(), memory)  # control: this is its memory
        self.assertNotIn(VALUE.encode(), memory)

    def test_no_core_file_and_no_tracing_by_its_user(self):
        vault = self.vault(uid=ALICE)
        vault.list()
        pid = vault.process.pid
        child = os.fork()
        if child == 0:
            try:
                os.setresuid(ALICE, ALICE, ALICE)
                open("/proc/%d/mem" % pid, "rb", 0)
                os._exit(1)
            except PermissionError:
                os._exit(0)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        with open("/proc/%d/limits" % pid, encoding="utf-8") as f:
            core = [line for line in f if line.startswith("Max core file size")][0]
        self.assertEqual(core.split()[4:6], ["0", "0"])
        os.kill(pid, signal.SIGSEGV)
        self.assertFalse(os.WCOREDUMP(os.waitpid(pid, 0)[1]))
        control = subprocess.Popen(["/bin/sleep", "1000"], cwd=vault.directory, preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)))
        control.send_signal(signal.SIGSEGV)
        dumps = os.WCOREDUMP(os.waitpid(control.pid, 0)[1])
        control.wait()
        if not dumps:
            self.skipTest("nothing on this machine leaves a core file")

    def test_its_memory_is_locked_where_it_may_be(self):
        for uid, memlock in ((None, None), (ALICE, 256 << 10)):
            vault = self.vault(uid=uid, memlock=memlock)
            vault.set()
            with open("/proc/%d/status" % vault.process.pid, encoding="utf-8") as f:
                locked = [int(line.split()[1]) for line in f if line.startswith("VmLck")][0]
            self.assertGreaterEqual(locked, 64, "kB")
            self.assertNotIn(b"memory-not-locked", vault.log_text())

    def test_what_cannot_be_locked_is_said(self):
        vault = self.vault(uid=ALICE, memlock=0)
        vault.set()
        self.assertIn(b"memory-not-locked", vault.log_text())


class Locks(Case):
    def test_they_are_read_back_from_proc(self):
        for uid in (None, ALICE):
            vault = self.vault(uid=uid)
            vault.set()
            status = {}
            with open("/proc/%d/status" % vault.process.pid, encoding="utf-8") as f:
                for line in f:
                    name, _, value = line.partition(":")
                    status[name] = value.split()
            own = str(VAULT_UID if uid is None else uid)
            self.assertEqual(status["Uid"], [own] * 4)
            self.assertEqual(status["Gid"], [own] * 4)
            self.assertEqual(status["Groups"], [])
            for caps in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
                self.assertEqual(int(status[caps][0], 16), 0, caps)
            self.assertEqual(status["NoNewPrivs"], ["1"])
            self.assertEqual(status["Seccomp"], ["2"])
            self.assertGreaterEqual(int(status["Seccomp_filters"][0]), 1)
            root = os.readlink("/proc/%d/root" % vault.process.pid)
            self.assertEqual(root, vault.state if uid is None else "/")
            descriptors = [os.readlink("/proc/%d/fd/%s" % (vault.process.pid, n))
                           for n in os.listdir("/proc/%d/fd" % vault.process.pid)]
            self.assertFalse([d for d in descriptors if "config" in d], descriptors)


class Whole(Case):
    """`ringfence secret` with the real programs."""

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="rf-secret-")
        self.addCleanup(shutil.rmtree, self.directory, True)
        self.config = os.path.join(self.directory, "config.yaml")
        self.env = dict(os.environ, RINGFENCE_STATE=os.path.join(self.directory, "state"),
                        RINGFENCE_CONFIG=self.config)
        os.mkdir(self.env["RINGFENCE_STATE"])
        self.addCleanup(self.run_it, "stop")

    def run_it(self, *arguments, value=None, status=0, program="ringfence"):
        done = subprocess.run([os.path.join(bin_dir(), program)] + list(arguments), env=self.env, text=True,
                              input=value, stdin=subprocess.DEVNULL if value is None else None,
                              capture_output=True, timeout=60, check=False)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def everything_written(self):
        found = {}
        for path in glob.glob(self.directory + "/**", recursive=True):
            if os.path.isfile(path):
                with open(path, "rb") as f:
                    found[path] = f.read()
        return found

    def test_set_list_and_remove(self):
        said = self.run_it("secret", "set", "github-ro", "--host", "api.github.com", "--host", "*.githubusercontent.com",
                           "--path", "/repos/acme/**", "--method", "GET", value=VALUE + "\n")
        self.assertIn("sealed github-ro, version 1, for api.github.com *.githubusercontent.com", said)
        self.assertIn("conventional", said)
        path = os.path.join(self.directory, "value")
        with open(path, "w", encoding="utf-8") as f:
            f.write("hunter2hunter2")
        self.run_it("secret", "set", "forge", path, "--host=git.example.com", "--user", "x-access-token")
        os.unlink(path)
        listed = json.loads(self.run_it("secret", "list", "--json"))
        self.assertEqual([s["name"] for s in listed["secrets"]], ["forge", "github-ro"])
        self.assertEqual(listed["secrets"][0]["as"], "basic")
        self.assertEqual(listed["secrets"][1]["bind"], {"hosts": ["api.github.com", "*.githubusercontent.com"],
                                                        "methods": ["GET"], "paths": ["/repos/acme/**"]})
        table = self.run_it("secret", "list")
        self.assertIn("basic x-access-token", table)
        self.run_it("secret", "remove", "forge")
        self.assertNotIn("forge", self.run_it("secret", "list"))
        self.assertIn("there is no secret", self.run_it("secret", "remove", "forge", status=1))

    def test_it_is_recorded_and_the_value_is_written_nowhere(self):
        self.run_it("secret", "set", "token", "--host", HOST, value=VALUE)
        self.run_it("secret", "set", "token", "--host", HOST, value=VALUE + "2")
        self.run_it("secret", "remove", "token")
        records = self.run_it("audit", "query", "--json")
        events = [json.loads(line) for line in records.splitlines() if line.startswith("{")]
        changes = [(e["event"], e["data"]) for e in events if e["event"].startswith("secret-")]
        self.assertEqual([c[0] for c in changes], ["secret-set", "secret-set", "secret-removed"])
        self.assertEqual([c[1]["version"] for c in changes], [1, 2, 2])
        for path, content in self.everything_written().items():
            for spelling in spellings(VALUE):
                self.assertNotIn(spelling, content, path)
        self.run_it("audit", "verify")

    def test_a_value_is_asked_for_without_showing_it(self):
        self.run_it("start")
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(os.path.join(bin_dir(), "ringfence"), ["ringfence", "secret", "set", "typed", "--host", HOST], self.env)
        shown = b""
        while b"(not shown): " not in shown:
            shown += os.read(terminal, 4096)
        os.write(terminal, b"wrong\x15typed-secrex\x7ft-1\r")
        try:
            while True:
                more = os.read(terminal, 4096)
                if not more:
                    break
                shown += more
        except OSError:
            pass
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0, shown)
        os.close(terminal)
        self.assertNotIn(b"secre", shown.replace(b"secrets", b""))
        self.assertIn(b"sealed typed", shown)

    def test_an_interrupt_leaves_the_terminal_as_it_was(self):
        self.run_it("start")
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve("/bin/sh", ["sh", "-c", "%s secret set typed --host %s; stty -a" % (
                os.path.join(bin_dir(), "ringfence"), HOST)], self.env)
        shown = b""
        while b"(not shown): " not in shown:
            shown += os.read(terminal, 4096)
        os.write(terminal, b"abc\x03")
        try:
            while True:
                more = os.read(terminal, 4096)
                if not more:
                    break
                shown += more
        except OSError:
            pass
        os.waitpid(pid, 0)
        os.close(terminal)
        self.assertIn(b"cannot be read", shown)
        self.assertRegex(shown, rb"[^-]icanon")
        self.assertRegex(shown, rb"[^-]echo ")

    def test_wrong_usage_says_what_is_right_and_repeats_no_value(self):
        for arguments, word in ((["secret"], "set, list or remove"), (["secret", "sett", "x"], "did you mean set"),
                                (["secret", "set"], "needs the secret's name"), (["secret", "set", "x"], "needs --host"),
                                (["secret", "list", "x"], "takes no argument"),
                                (["secret", "remove", "x", "--host", "y"], "only set"),
                                (["secret", "set", "x", "--host", HOST, "--as", "barer"], "did you mean bearer"),
                                (["secret", "set", "x", "--host", HOST, "--as", "header"], "needs --header"),
                                (["secret", "set", "x", "--host", HOST, "--as", "basic"], "needs --user"),
                                (["secret", "set", "x", "--host", HOST, "--user", "u", "--cookie", "c"], "one way only"),
                                (["secret", "set", "x", "--host", HOST, "--access-key", "A"], "--region"),
                                (["secret", "set", "x", "--host", HOST, "--port", "0"], "--port"),
                                (["secret", "set", "x", "f", "--host", HOST, VALUE], "unexpected argument after x"),
                                (["secret", "set", "x", "--hots", HOST], "--host")):
            with self.subTest(arguments):
                said = self.run_it(*arguments, status=2)
                self.assertIn(word, said)
                self.assertNotIn(VALUE, said)
        said = self.run_it("secret", "set", "x", VALUE, "--host", HOST, status=1)
        self.assertIn("never an argument", said)
        self.assertNotIn(VALUE, said)
        self.assertIn("shorter than 8", self.run_it("secret", "set", "x", "--host", HOST, value="short", status=1))
        self.assertIn("longer than", self.run_it("secret", "set", "x", "--host", HOST, value="x" * 65540, status=1))
        self.assertIn("--as", self.run_it("secret", "--help"))

    def test_a_configured_key_is_used_and_its_loss_said(self):
        key = os.path.join(self.directory, "key")
        with open(key, "w", encoding="utf-8") as f:
            f.write("ab" * 32)
        os.chmod(key, 0o600)
        with open(self.config, "w", encoding="utf-8") as f:
            f.write("vault:\n  master_key: {file: %s}\n" % key)
        said = self.run_it("secret", "set", "token", "--host", HOST, value=VALUE)
        self.assertIn("sealed with the key of %s" % key, said)
        self.run_it("stop")
        os.unlink(key)
        self.assertIn("no grant and no new secret is possible", self.run_it("secret", "list"))
        self.assertIn("cannot read the master key", self.run_it("secret", "set", "b", "--host", HOST, value=VALUE, status=1))

    def test_another_user_of_this_machine_is_refused(self):
        self.run_it("start")
        self.run_it("secret", "set", "token", "--host", HOST, value=VALUE)
        os.chmod(self.directory, 0o755)
        os.chmod(self.env["RINGFENCE_STATE"], 0o755)
        done = subprocess.run([os.path.join(bin_dir(), "ringfence"), "secret", "list"], env=self.env, text=True,
                              capture_output=True, timeout=60, check=False, user=MALLORY, group=MALLORY, extra_groups=[])
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn("token", done.stdout)
        self.assertRegex(done.stderr, "only root and the user|Permission denied|cannot")


if __name__ == "__main__":
    unittest.main()
