"""Drives a real rf-gateway by itself: the kit is its supervisor, arbiter, dialer and vault.

The test process lives in a network namespace of its own in which, as in a sandbox, every address is local, so that
connections to names go to the gateway's listeners, made here. Upstreams listen on 127.0.0.1; the kit's dialer maps
each host and port to one. Nothing leaves the namespace. Needs root.
"""

import array
import ctypes
import errno
import os
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time
import uuid

from arbiter_kit import Closed, Talk, bin_dir, ERROR, OK

PEER_JOIN = 100
GATEWAY_OPEN, GATEWAY_OPENED, GATEWAY_LISTEN, GATEWAY_CLOSE, GATEWAY_CLOSED = range(103, 108)
NET_REACH, NET_REACHED, NET_CHANGED, NET_PROPOSE, NET_VERDICT, NET_SETTLE, NET_WITHDRAW, NET_NOTE = range(110, 118)
DIAL, DIALED = 120, 121
CREDENTIAL, CREDENTIAL_REVOKED = 133, 134
GATEWAY_UID = 64031
CLONE_NEWNET = 0x40000000
NET = {"raw": True}


def own_network():
    """A network namespace in which every address is local. Once per process."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    for words in ("link set lo up", "route add local 0.0.0.0/0 dev lo table local",
                  "-6 route add local ::/0 dev lo table local"):
        subprocess.run(["ip"] + words.split(), check=True)


def make_ca(directory):
    """A certificate authority for upstreams: (certificate, key)."""
    cert, key = os.path.join(directory, "ca.pem"), os.path.join(directory, "ca.key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=Test authority"],
                   check=True, capture_output=True)
    return cert, key


def make_cert(directory, ca, name):
    """A certificate for NAME by CA, chained with its key in one file."""
    path = os.path.join(directory, name.replace("*", "_") + ".pem")
    key, req, ext = path + ".key", path + ".csr", path + ".ext"
    with open(ext, "w") as f:
        f.write("subjectAltName=DNS:%s\n" % name)
    subprocess.run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                    "-out", req, "-subj", "/CN=" + name], check=True, capture_output=True)
    subprocess.run(["openssl", "x509", "-req", "-in", req, "-CA", ca[0], "-CAkey", ca[1], "-CAcreateserial", "-days", "2",
                    "-extfile", ext, "-out", path], check=True, capture_output=True)
    with open(path, "a") as f, open(key) as k:
        f.write(k.read())
    return path


class Upstream(threading.Thread):
    """A server on 127.0.0.1: HANDLE(connection) for each connection, behind TLS with CERT."""

    def __init__(self, handle, cert=None):
        super().__init__(daemon=True)
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        self.handle, self.context, self.count = handle, None, 0
        if cert is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(cert)
        self.start()

    def run(self):
        while True:
            try:
                c, _ = self.listener.accept()
            except OSError:
                return
            self.count += 1
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, c):
        try:
            if self.context is not None:
                c = self.context.wrap_socket(c, server_side=True)
            self.handle(c)
        except (OSError, ssl.SSLError):
            pass
        finally:
            c.close()


class Gateway:
    """The real program. RULES: function(action) → verdict's body; REACH: {(host, port): {...}}."""

    def __init__(self, authorities):
        self.directory = tempfile.mkdtemp(prefix="rf-gateway-")
        os.chown(self.directory, GATEWAY_UID, GATEWAY_UID)
        self.reach, self.dials, self.proposals, self.settled, self.notes = {}, {}, [], {}, []
        self.decide = lambda action: {"state": "performing"}
        self.refuse_dials = None
        self.changed = threading.Condition()
        config = os.path.join(self.directory, "config.yaml")
        with open(config, "w") as f:
            f.write("network: {authorities: %s}\n" % authorities)
        os.chmod(config, 0o644)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.supervisor = Talk(ours)
        empty = os.path.join(self.directory, "state")
        os.mkdir(empty)
        os.chown(empty, GATEWAY_UID, GATEWAY_UID)
        state = os.open(empty, os.O_RDONLY | os.O_DIRECTORY)
        conf = os.open(config, os.O_RDONLY)
        log = open(os.path.join(self.directory, "log"), "w+b")
        self.log = log

        def arrange():
            fds = [os.dup(fd) for fd in (theirs.fileno(), state, conf)]
            high = [fcntl_dup(fd) for fd in fds]
            for fd, want in zip(high, (3, 4, 7)):
                os.dup2(fd, want)

        self.process = subprocess.Popen(
            (os.environ.get("RF_STRACE","").split()) + [os.path.join(bin_dir(), "rf-gateway"), "--uid", str(GATEWAY_UID), "--gid", str(GATEWAY_UID)],
            preexec_fn=arrange, close_fds=False, stderr=log)
        theirs.close()
        os.close(state)
        os.close(conf)
        self.arbiter = self.join("arbiter", self.serve_arbiter)
        self.dialer = self.join("dialer", self.serve_dialer)
        self.vault = self.join("vault", None)

    def join(self, name, serve):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.supervisor.send(PEER_JOIN, {"peer": name}, fds=[theirs.fileno()])
        theirs.close()
        talk = Talk(ours)
        if serve is not None:
            threading.Thread(target=self.loop, args=(talk, serve), daemon=True).start()
        return talk

    def loop(self, talk, serve):
        while True:
            try:
                kind, serial, body = talk.receive(wait=None)
                serve(talk, kind, serial, body)
            except (Closed, OSError, ValueError):
                return

    # ---- the arbiter ----

    def serve_arbiter(self, talk, kind, serial, body):
        with self.changed:
            if kind == NET_REACH:
                found = {}
                for (host, port), reach in self.reach.items():
                    if host == body["host"] and body.get("port") in (None, port):
                        found.update(reach, reach=True)
                talk.send(NET_REACHED, dict({"reach": False}, **found), serial)
            elif kind == NET_PROPOSE:
                action = body["action"]
                self.proposals.append(action)
                verdict = dict({"action_id": str(uuid.uuid4())}, **self.decide(action))
                if verdict["state"] == "performing":
                    verdict.setdefault("ticket", {"host": action["request"]["host"],
                                                  "port": action["request"].get("port", 443)})
                    verdict.setdefault("mac", "0" * 64)
                if "credential_body" in verdict:
                    grant = str(uuid.uuid4())
                    verdict["grant"] = grant
                    self.vault.send(CREDENTIAL, dict(verdict.pop("credential_body"), grant=grant,
                                                     sandbox=body["sandbox"], expires_ms=1 << 50))
                talk.send(NET_VERDICT, verdict, serial)
            elif kind == NET_SETTLE:
                self.settled[body["action_id"]] = body
            elif kind == NET_NOTE:
                self.notes.append(body)
            self.changed.notify_all()

    def wait_settled(self, n=1):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.settled) >= n, 20), "never settled"
            return list(self.settled.values())

    # ---- the dialer ----

    def serve_dialer(self, talk, kind, serial, body):
        assert kind == DIAL
        port = self.dials.get((body["ticket"]["host"], body["ticket"]["port"]))
        if self.refuse_dials or port is None:
            talk.send(ERROR, {"error": {"code": self.refuse_dials or "name_unknown", "message": "no such host"}}, serial)
            return
        s = socket.create_connection(("127.0.0.1", port))
        talk.send(DIALED, {"address": "127.0.0.1", "port": port, "addresses": 1}, serial, fds=[s.fileno()])
        s.close()

    # ---- the supervisor ----

    def open(self, ports=(80, 443), proxy=3128, **more):
        sandbox = str(uuid.uuid4())
        self.supervisor.send(GATEWAY_OPEN, {"sandbox": sandbox, "task": str(uuid.uuid4()), "network": {}, **more})
        body = self.supervisor.expect(GATEWAY_OPENED)
        listeners, fds = [], []
        for role, port, kind in [("dns-udp", 53, socket.SOCK_DGRAM), ("dns-tcp", 53, socket.SOCK_STREAM),
                                 ("proxy", proxy, socket.SOCK_STREAM)] + [("tcp", p, socket.SOCK_STREAM) for p in ports]:
            s = socket.socket(socket.AF_INET6, kind)
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if kind == socket.SOCK_DGRAM:
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
                s.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO
                s.setsockopt(socket.IPPROTO_IPV6, 78, 1)  # IPV6_FREEBIND
            bind_when_free(s, port)
            if kind == socket.SOCK_STREAM:
                s.listen(256)
            listeners.append({"role": role, "port": port})
            fds.append(s)
        for i in range(0, len(fds), 8):
            self.supervisor.call(GATEWAY_LISTEN, {"sandbox": sandbox, "listeners": listeners[i:i + 8]}, OK,
                                 fds=[s.fileno() for s in fds[i:i + 8]])
        for s in fds:
            s.close()
        return sandbox, body["ca"]

    def close_guest(self, sandbox):
        return self.supervisor.call(GATEWAY_CLOSE, {"sandbox": sandbox}, GATEWAY_CLOSED)

    def errors(self):
        self.log.flush()
        with open(self.log.name, "rb") as f:
            return f.read().decode()

    def close(self):
        self.supervisor.close()
        try:
            code = self.process.wait(20)
        finally:
            self.process.kill()
            shutil.rmtree(self.directory, ignore_errors=True)
        return code


def bind_when_free(s, port):
    """A gateway closes what it listened on at the end of its turn, a moment after it said so."""
    end = time.monotonic() + 20
    while True:
        try:
            return s.bind(("::", port))
        except OSError as e:
            if e.errno != errno.EADDRINUSE or time.monotonic() > end:
                raise
        time.sleep(0.001)


def fcntl_dup(fd):
    import fcntl
    return fcntl.fcntl(fd, fcntl.F_DUPFD, 50)


def resolve(name, family=socket.AF_INET, server="198.18.0.1"):
    """Asks the gateway's resolver by UDP: addresses, or the rcode."""
    question = b"".join(bytes([len(x)]) + x.encode() for x in name.split(".")) + b"\0"
    kind = 1 if family == socket.AF_INET else 28
    s = socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(10)
    s.connect((server, 53))
    s.send(struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0) + question + struct.pack(">HH", kind, 1))
    answer = s.recv(4096)
    s.close()
    code, n = answer[3] & 15, struct.unpack(">H", answer[6:8])[0]
    if code != 0 or n == 0:
        return code
    return socket.inet_ntop(family, answer[-4:] if kind == 1 else answer[-16:])
