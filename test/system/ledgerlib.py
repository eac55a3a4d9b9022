"""Drives a real rf-ledger over its sockets: what the tests of the ledger share."""

import json
import os
import shutil
import signal
import socket
import struct
import subprocess

MAGIC = 0x314D4652
MSG_ERROR, MSG_OK, MSG_STATUS = 1, 2, 19
MSG_APPEND, MSG_APPENDED, MSG_CHECKPOINT, MSG_CHECKPOINTED, MSG_SYNC = 70, 71, 72, 73, 74
BIN = os.environ.get("RINGFENCE_BIN") or os.path.join(os.getcwd(), "bin")


class LedgerError(Exception):
    pass


def encode(kind, serial, body):
    text = json.dumps(body, separators=(",", ":"), sort_keys=True).encode()
    return struct.pack("<IHHII", MAGIC, kind, 0, serial, len(text)) + text


def decode(packet):
    magic, kind, _flags, serial, length = struct.unpack("<IHHII", packet[:16])
    assert magic == MAGIC and len(packet) == 16 + length
    return kind, serial, json.loads(packet[16:])


class Peer:
    """One end of a conversation."""

    def __init__(self, sock):
        self.sock = sock
        self.serial = 0

    def send(self, kind, body, answered=True):
        self.serial += 1
        self.sock.send(encode(kind, self.serial if answered else 0, body))
        return self.serial

    def receive(self):
        packet = self.sock.recv(1 << 18)
        if not packet:
            raise EOFError("rf-ledger closed the conversation")
        return decode(packet)

    def call(self, kind, body=None):
        serial = self.send(kind, body or {})
        got, answered, reply = self.receive()
        assert answered == serial, (answered, serial)
        if got == MSG_ERROR:
            raise LedgerError(reply["error"]["message"])
        return reply

    def append(self, event="test", data=None, durable=False, **more):
        body = {"event": event, "data": data or {}, "durable": durable}
        body.update(more)
        return self.call(MSG_APPEND, body)

    def checkpoint(self):
        return self.call(MSG_CHECKPOINT)["note"]

    def close(self):
        self.sock.close()


class Ledger:
    """A running rf-ledger on DIRECTORY, this process being its supervisor."""

    def __init__(self, directory, listener=False, prefix=(), uid=None):
        os.makedirs(directory, exist_ok=True)
        self.directory = directory
        if uid is None:
            uid = 64321 if os.geteuid() == 0 else 0
        if os.geteuid() == 0 and os.stat(directory).st_uid != uid:
            os.chown(directory, uid, uid)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        arbiter, arbiter_theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        state = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        give = {3: theirs.fileno(), 4: state, 6: arbiter_theirs.fileno()}
        self.people_path = None
        people = None
        if listener:
            self.people_path = directory + ".sock"
            if os.path.exists(self.people_path):
                os.unlink(self.people_path)
            people = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            people.bind(self.people_path)
            people.listen(16)
            give[5] = people.fileno()

        # Python may hold the low numbers: move all out of the way, then into place.
        moved = {to: fd_above(fd) for to, fd in give.items()}
        script = "import os,sys\n"
        for to, fd in moved.items():
            script += "os.dup2(%d,%d)\n" % (fd, to)
        script += "os.execv(sys.argv[1],sys.argv[1:])\n"
        argv = [os.path.join(BIN, "rf-ledger"), "--uid", str(uid), "--gid", str(uid)]
        self.process = subprocess.Popen(
            list(prefix) + ["/usr/bin/python3", "-S", "-E", "-c", script] + argv,
            pass_fds=list(moved.values()), stderr=subprocess.PIPE)
        for fd in list(moved.values()) + [state]:
            os.close(fd)
        theirs.close()
        arbiter_theirs.close()
        if people is not None:
            people.close()
        self.supervisor = Peer(ours)
        self.arbiter = Peer(arbiter)

    def person(self):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.connect(self.people_path)
        return Peer(sock)

    def stop(self):
        """Leaves it as a supervisor does; returns its exit code."""
        self.arbiter.close()
        self.supervisor.close()
        code = self.process.wait(timeout=20)
        self.stderr = self.process.stderr.read().decode()
        self.process.stderr.close()
        return code

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=20)
        self.process.stderr.close()
        self.arbiter.close()
        self.supervisor.close()


def fd_above(fd):
    import fcntl
    return fcntl.fcntl(fd, fcntl.F_DUPFD, 100)


def slurp(path):
    with open(path, "rb") as f:
        return f.read()


def segments(directory):
    return sorted(n for n in os.listdir(directory) if n.endswith(".jsonl"))


def lines(directory):
    found = []
    for name in segments(directory):
        with open(os.path.join(directory, name), "rb") as f:
            found += f.read().splitlines()
    return found


def audit(*arguments, check=None):
    done = subprocess.run([os.path.join(BIN, "rf-audit")] + list(arguments),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    if check is not None and done.returncode != check:
        raise AssertionError("rf-audit %s: exit %d, not %d\n%s%s" % (
            " ".join(arguments), done.returncode, check, done.stdout.decode(),
            done.stderr.decode()))
    return done


def copy(directory, to):
    shutil.copytree(directory, to)
    return to
