"""Speaks our packets (src/ipc/msg.h) to a real rf-arbiter, with a ledger that the test holds.

The kit plays rf-supervisor and rf-ledger; people connect to the real listener. SO_PEERCRED is fixed
when a socket connects, so a person is a child that changes its uid, connects, and hands the socket
back. Nothing here sleeps: every wait is for a packet, and only gives up after WAIT seconds.
"""

import array
import json
import os
import select
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading

WAIT = 20
MAGIC = 0x314D4652  # "RFM1", little-endian

ERROR, OK = 1, 2
PROPOSE, VERDICT, CLAIM, CLAIMED, SETTLE, WITHDRAW, KILL_TASK, KILLED = range(30, 38)
REVIEW_LIST, REVIEWS, REVIEW_SHOW, REVIEW_APPROVE, REVIEW_DENY, REVIEW_WATCH = range(50, 56)
KILL, KILL_DONE, TASKS, POLICY_ACTIVATE, POLICY_ROLLBACK, POLICY_HISTORY, POLICY_STATE = range(56, 63)
POLICY_VIEW, POLICY_VIEWED, POLICY_CHANGED = range(38, 41)
APPEND, APPENDED = 70, 71
PEER_JOIN, NET_OPEN, NET_CLOSE = range(100, 103)
NET_REACH, NET_REACHED, NET_CHANGED, NET_PROPOSE, NET_VERDICT, NET_SETTLE, NET_WITHDRAW, NET_NOTE = range(110, 118)
TICKET_KEY = 122
GRANT, GRANTED, REVOKE, CREDENTIAL, CREDENTIAL_REVOKED, SECRET_CHANGED = range(130, 136)

ARBITER_UID = 64001
ALICE, BOB, CAROL, MALLORY = 64011, 64012, 64013, 64014

PASSWD = """root:x:0:0:root:/root:/bin/sh
alice:x:64011:64100:Alice:/home/alice:/bin/sh
bob:x:64012:64101::/:/bin/sh
carol:x:64013:64101::/:/bin/sh
mallory:x:64014:64101::/:/bin/sh
"""
GROUP = "sre:x:64100:\nstaff:x:64101:\non-call:x:64102:carol,nobody\n"
PEOPLE = """people:
  operator: {users: [bob], groups: [sre]}
  dba: {users: [64013, bob]}
"""


def bin_dir():
    return os.environ.get("RINGFENCE_BIN") or os.path.join(
        os.path.dirname(os.path.abspath(__file__)), "../../build/bin")


class Closed(Exception):
    pass


class Talk:
    """One conversation."""

    def __init__(self, sock):
        self.sock = sock
        self.serial = 100
        self.early = []

    def send(self, kind, body=None, serial=None, fds=()):
        if serial is None:
            self.serial += 1
            serial = self.serial
        text = json.dumps(body or {}, ensure_ascii=False).encode()
        packet = struct.pack("<IHHII", MAGIC, kind, 0, serial, len(text)) + text
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.sock.sendmsg([packet], rights)
        return serial

    def raw(self, packet):
        self.sock.send(packet)

    def receive(self, wait=WAIT):
        """(type, serial, body); Closed at the end."""
        if not select.select([self.sock], [], [], wait)[0]:
            raise TimeoutError("no packet came")
        try:
            packet = self.sock.recv(256 * 1024)
        except ConnectionResetError:
            raise Closed() from None
        if not packet:
            raise Closed()
        magic, kind, flags, serial, length = struct.unpack("<IHHII", packet[:16])
        assert magic == MAGIC and flags == 0 and len(packet) == 16 + length
        return kind, serial, json.loads(packet[16:])

    def expect(self, kind, serial=None, wait=WAIT):
        """The next packet of KIND (and SERIAL), whatever comes before; its body."""
        for i, (k, s, body) in enumerate(self.early):
            if k == kind and serial in (None, s):
                del self.early[i]
                return body
        while True:
            k, s, body = self.receive(wait)
            if k == kind and serial in (None, s):
                return body
            if k == ERROR and serial == s and kind != ERROR:
                raise AssertionError("error instead of %d: %s" % (kind, body))
            self.early.append((k, s, body))

    def call(self, kind, body=None, reply=None, fds=()):
        serial = self.send(kind, body, fds=fds)
        return self.expect(reply, serial)

    def error(self, kind, body=None, fds=()):
        """The error that answers this request."""
        return self.call(kind, body, ERROR, fds)["error"]

    def close(self):
        self.sock.close()

    def quiet(self):
        """Whether nothing waits to be read."""
        return not self.early and not select.select([self.sock], [], [], 0)[0]


class FakeLedger(threading.Thread):
    """Acknowledges every record, unless told to hold them or to fail."""

    def __init__(self, sock):
        super().__init__(daemon=True)
        self.talk = Talk(sock)
        self.lock = threading.Condition()
        self.records = []
        self.held = []
        self.holding = False
        self.failing = False
        self.index = 0
        self.start()

    def run(self):
        while True:
            try:
                kind, serial, body = self.talk.receive(wait=None)
            except (Closed, OSError, ValueError):
                return
            assert kind == APPEND
            with self.lock:
                self.records.append(body)
                if serial != 0:
                    if self.holding:
                        self.held.append(serial)
                    else:
                        try:
                            self.answer(serial)
                        except OSError:
                            return
                self.lock.notify_all()

    def answer(self, serial):
        if self.failing:
            self.talk.send(ERROR, {"error": {"code": "disk_full", "message": "disk full", "remedy": ""}},
                           serial)
            return
        self.index += 1
        self.talk.send(APPENDED, {"index": self.index, "hash": "0" * 64}, serial)

    def hold(self):
        with self.lock:
            self.holding = True

    def release(self):
        with self.lock:
            self.holding = False
            for serial in self.held:
                self.answer(serial)
            self.held = []

    def close(self):
        self.talk.sock.shutdown(socket.SHUT_RDWR)

    def wait_for(self, event, n=1, action=None):
        """The Nth record of EVENT, about the action with the id ACTION if given."""
        def found():
            return [r for r in self.records
                    if r["event"] == event and action in (None, r.get("action_id"))]
        with self.lock:
            assert self.lock.wait_for(lambda: len(found()) >= n, WAIT), "no record " + event
            return found()[n - 1]

    def events(self):
        with self.lock:
            return [r["event"] for r in self.records]


class RealLedger:
    """The real rf-ledger, instead of FakeLedger."""

    def __init__(self, arbiter_end):
        self.directory = tempfile.mkdtemp(prefix="rf-ledger-")
        os.chown(self.directory, ARBITER_UID + 1, ARBITER_UID + 1)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(os.path.join(self.directory, "sock"))
        listener.listen(4)
        state = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        order = [theirs.fileno(), state, listener.fileno(), arbiter_end.fileno()]

        def arrange():
            high = [os.dup2(fd, 200 + i) for i, fd in enumerate([os.dup(fd) for fd in order])]
            for i, fd in enumerate(high):
                os.dup2(fd, 3 + i)

        own = str(ARBITER_UID + 1)
        self.process = subprocess.Popen(
            [os.path.join(bin_dir(), "rf-ledger"), "--uid", own, "--gid", own],
            preexec_fn=arrange, pass_fds=tuple(range(3, 7)), stderr=sys.stderr)
        os.close(state)
        for s in (theirs, listener, arbiter_end):
            s.close()
        self.talk = Talk(ours)

    def records(self):
        """What stands in the files now."""
        found = []
        for name in sorted(os.listdir(self.directory)):
            if name.endswith(".jsonl"):
                with open(os.path.join(self.directory, name)) as f:
                    found += [json.loads(line) for line in f]
        return found

    def kill(self):
        self.process.kill()
        self.process.wait()

    def destroy(self):
        self.kill()
        self.talk.close()
        shutil.rmtree(self.directory, ignore_errors=True)


class Arbiter:
    """A running rf-arbiter in its own state directory."""

    def __init__(self, people=PEOPLE, rootless_uid=None, directory=None, ledger=None):
        self.rootless_uid = rootless_uid
        self.directory = directory or tempfile.mkdtemp(prefix="rf-arbiter-")
        os.chmod(self.directory, 0o755)
        self.state = os.path.join(self.directory, "arbiter")
        self.config = os.path.join(self.directory, "config.yaml")
        for name, text in (("config.yaml", people), ("passwd", PASSWD), ("group", GROUP)):
            with open(os.path.join(self.directory, name), "w") as f:
                f.write(text)
        if not os.path.isdir(self.state):
            os.mkdir(self.state, 0o700)
            owner = ARBITER_UID if rootless_uid is None else rootless_uid
            if os.geteuid() == 0:
                os.chown(self.state, owner, owner)
        self.make_ledger = ledger or FakeLedger
        self.people = []
        self.start()

    def start(self):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ledger_ours, ledger_theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.path = os.path.join(self.directory, "arbiter.sock")
        if os.path.exists(self.path):
            os.unlink(self.path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(self.path)
        os.chmod(self.path, 0o666)
        listener.listen(64)
        files = [os.open(self.state, os.O_RDONLY | os.O_DIRECTORY)]
        files += [os.open(os.path.join(self.directory, n), os.O_RDONLY)
                  for n in ("config.yaml", "passwd", "group")]
        order = [theirs.fileno(), files[0], listener.fileno(), ledger_theirs.fileno()] + files[1:]
        uid = self.rootless_uid

        def arrange():
            spare = [os.dup(fd) for fd in order]
            high = [os.dup2(fd, 200 + i) for i, fd in enumerate(spare)]
            for i, fd in enumerate(high):
                os.dup2(fd, 3 + i)
            if uid is not None:
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)

        own = "0" if uid is not None else str(ARBITER_UID)
        self.process = subprocess.Popen(
            [os.path.join(bin_dir(), "rf-arbiter"), "--uid", own, "--gid", own],
            preexec_fn=arrange, pass_fds=tuple(range(3, 10)), stderr=sys.stderr)
        for fd in files:
            os.close(fd)
        for s in (theirs, ledger_theirs, listener):
            s.close()
        self.supervisor = Talk(ours)
        self.ledger = self.make_ledger(ledger_ours)

    def stop(self):
        """The supervisor leaves, and the arbiter follows; its exit status."""
        self.supervisor.close()
        status = self.process.wait(WAIT)
        self.ledger.talk.sock.close()
        return status

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.supervisor.close()
        self.ledger.talk.sock.close()

    def restart(self):
        self.start()

    def destroy(self):
        if self.process.poll() is None:
            self.kill()
        for talk in self.people + [self.supervisor, self.ledger.talk]:
            talk.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    # ---- what a supervisor says ----

    def propose(self, action, policy, requester=ALICE):
        """The serial; POLICY is a built-in or active name, or YAML text."""
        body = {"action": action, "requester_uid": requester}
        if "\n" not in policy:
            body["policy"] = {"name": policy}
            return self.supervisor.send(PROPOSE, body)
        body["policy"] = {"file": "p.yaml"}
        with tempfile.TemporaryFile() as f:
            f.write(policy.encode())
            f.flush()
            return self.supervisor.send(PROPOSE, body, fds=[f.fileno()])

    def verdict(self, action, policy, requester=ALICE):
        return self.supervisor.expect(VERDICT, self.propose(action, policy, requester))

    def refusal(self, action, policy, requester=ALICE):
        return self.supervisor.expect(ERROR, self.propose(action, policy, requester))["error"]

    def claim(self, verdict, **more):
        return self.supervisor.send(CLAIM, dict({"action_id": verdict["action_id"]}, **more))

    def settle(self, verdict, state="succeeded"):
        self.supervisor.send(SETTLE, {"action_id": verdict["action_id"], "state": state,
                                      "outcome": {"code": 0}}, serial=0)

    # ---- people ----

    def person(self, uid):
        """A conversation of user UID with the arbiter."""
        talk = self.connect(uid)
        self.people.append(talk)
        return talk

    def connect(self, uid):
        if uid == os.geteuid():
            s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            s.connect(self.path)
            return Talk(s)
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


def exec_action(*argv, **more):
    action = {"kind": "exec", "target": "/usr/bin/" + argv[0],
              "request": {"program": argv[0] if argv[0][0] == "/" else "/usr/bin/" + argv[0],
                          "argv": list(argv), "cwd": "/", "env": []}}
    action.update(more)
    return action


def sql_action(text, verb, table, database="crm", **more):
    action = {"kind": "sql", "target": database,
              "request": {"database": database, "text": text, "statements": [
                  {"verb": verb, "tables": [table], "columns": [], "functions": [], "where": True}]},
              "effect": "read" if verb == "select" else "write", "reversible": False}
    action.update(more)
    return action


def commit_action(*paths, **more):
    action = {"kind": "file", "target": "/work", "effect": "write",
              "request": {"operation": "commit", "paths": list(paths), "bytes": 10}}
    action.update(more)
    return action
