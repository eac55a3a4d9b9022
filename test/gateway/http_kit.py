"""A real rf-gateway among siblings that the test plays: supervisor, arbiter, dialer.

So what the gateway does with bytes is tested alone: what it asks for, what it sends upstream, what it answers. The
arbiter here says what a function says; the dialer connects names to servers of the test. Nothing sleeps: every wait is
for bytes, and gives up after WAIT seconds only so that a failure ends."""

import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "system"), os.path.join(HERE, "..", "system", "lib")]
from arbiter_kit import Closed, Talk, bin_dir  # noqa: E402

WAIT = 20
GATEWAY_UID = 64021
PEER_JOIN, GATEWAY_OPEN, GATEWAY_OPENED, GATEWAY_LISTEN, GATEWAY_CLOSE, GATEWAY_CLOSED = 100, 103, 104, 105, 106, 107
NET_REACH, NET_REACHED, NET_CHANGED, NET_PROPOSE, NET_VERDICT, NET_SETTLE, NET_WITHDRAW, NET_NOTE = range(110, 118)
DIAL, DIALED = 120, 121
OK, ERROR = 2, 1



LAUNCHER = """
import os, sys
at = sys.argv.index("--")
pairs = [tuple(map(int, p.split(":"))) for p in sys.argv[1:at]]
high = [(os.dup2(fd, 100 + to), to) for fd, to in pairs]
for fd, to in high:
    os.dup2(fd, to)
os.execv(sys.argv[at + 1], ["rf-gateway", *sys.argv[at + 2:]])
"""


def allow(action):
    """A policy: everything, but what is under /denied."""
    return not action["request"].get("path", "").startswith("/denied")


class Sibling(threading.Thread):
    """One conversation with the gateway, served by a function."""

    def __init__(self, handle):
        super().__init__(daemon=True)
        ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.talk, self.handle = Talk(ours), handle
        self.start()

    def run(self):
        while True:
            try:
                self.handle(self.talk, *self.talk.receive(wait=None))
            except (Closed, OSError):
                return


class Gateway:
    """UPSTREAMS: {(host, port): (address, port)}; POLICY: a function of the action, True, False or a verdict's members;
    REACH: what MSG_NET_REACHED says of every host that UPSTREAMS has."""

    def __init__(self, upstreams, policy=allow, reach=None, authorities=None):
        self.upstreams, self.policy = upstreams, policy
        self.reach = reach or {"raw": False, "plain": True, "intercept": True, "git": False}
        self.lock = threading.Condition()
        self.actions, self.settled, self.notes, self.dials = [], [], [], 0
        self.siblings, self.clients, self.connected = [], [], 0
        self.dir = tempfile.mkdtemp(prefix="rf-gateway-")
        self.sandbox = str(uuid.uuid4())
        self.start(authorities)

    def start(self, authorities):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        config = os.path.join(self.dir, "config.yaml")
        with open(config, "w") as f:
            f.write(f"network: {{authorities: {authorities}}}\n" if authorities else "")
        state = os.path.join(self.dir, "state")
        os.mkdir(state)
        uid = GATEWAY_UID if os.geteuid() == 0 else 0
        order = {3: theirs.fileno(), 4: os.open(state, os.O_RDONLY | os.O_DIRECTORY), 7: os.open(config, os.O_RDONLY)}

        # By a launcher: a fork of this process, which has threads, should do no more than execute.
        pairs = [f"{fd}:{to}" for to, fd in order.items()]
        self.process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, *pairs, "--", os.path.join(bin_dir(), "rf-gateway"), "--uid", str(uid),
             "--gid", str(uid)], pass_fds=tuple(order.values()), stderr=sys.stderr)
        for to in (4, 7):
            os.close(order[to])
        theirs.close()
        self.supervisor = Talk(ours)
        for name, handle in (("arbiter", self.on_arbiter), ("dialer", self.on_dialer)):
            sibling = Sibling(handle)
            self.supervisor.send(PEER_JOIN, {"peer": name}, fds=[sibling.theirs.fileno()])
            sibling.theirs.close()
            self.siblings.append(sibling)
        self.authority = self.supervisor.call(GATEWAY_OPEN, {
            "sandbox": self.sandbox, "task": str(uuid.uuid4()), "network": {}}, GATEWAY_OPENED)["ca"]
        self.proxy_port = self.listen("proxy")
        self.port = self.listen("tcp")

    def listen(self, role):
        listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        port = listener.getsockname()[1]
        self.supervisor.call(GATEWAY_LISTEN, {"sandbox": self.sandbox, "listeners": [{"role": role, "port": port}]}, OK,
                             fds=[listener.fileno()])
        listener.close()
        return port

    # ---- the siblings ----

    def known(self, host, port=None):
        return any(h == host and port in (None, p) for h, p in self.upstreams)

    def verdict(self, action):
        said = self.policy(action)
        members = said if isinstance(said, dict) else {}
        return {"action_id": str(uuid.uuid4()), "state": "performing" if said else "denied",
                "decision": {"outcome": "allow", "rule": "r"} if said else {
                    "outcome": "deny", "reason": "no rule allows this", "needed": "allow: http with this path"},
                "limits": {}, **({"ticket": {"host": action["request"]["host"], "port": action["request"]["port"]},
                                  "mac": "00"} if said else {}), **members}

    def on_arbiter(self, talk, kind, serial, body):
        if kind == NET_REACH:
            reach = self.known(body["host"], body.get("port"))
            talk.send(NET_REACHED, {"reach": reach, **(self.reach if reach else {})}, serial)
        elif kind == NET_PROPOSE:
            verdict = self.verdict(body["action"])
            with self.lock:
                self.actions.append((body["action"], verdict))
                self.lock.notify_all()
            talk.send(NET_VERDICT, verdict, serial)
        else:
            with self.lock:
                {NET_SETTLE: self.settled, NET_NOTE: self.notes}.get(kind, []).append(body)
                self.lock.notify_all()

    def on_dialer(self, talk, kind, serial, body):
        assert kind == DIAL
        self.dials += 1
        where = self.upstreams.get((body["ticket"]["host"], body["ticket"]["port"]))
        try:
            with socket.create_connection(where, timeout=WAIT) as s:
                s.settimeout(None)
                talk.send(DIALED, {"address": where[0], "port": where[1], "addresses": 1}, serial, fds=[s.fileno()])
        except (OSError, TypeError) as e:
            talk.send(ERROR, {"error": {"code": "connect_failed", "message": str(e), "remedy": ""}}, serial)

    # ---- what the test asks ----

    def wait(self, what, items, found):
        with self.lock:
            if not self.lock.wait_for(lambda: any(found(i) for i in items), WAIT):
                raise AssertionError("never: " + what)
            return next(i for i in items if found(i))

    def outcome(self, verdict):
        """How the action of VERDICT was settled."""
        return self.wait("settled", self.settled, lambda s: s["action_id"] == verdict["action_id"])

    def memory_kib(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmHWM:"))

    def alive(self):
        return self.process.poll() is None

    def close(self):
        self.supervisor.close()
        try:
            status = self.process.wait(WAIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = None
        for sibling in self.siblings:
            sibling.join(WAIT)
            sibling.talk.close()
        for client in self.clients:
            client.close()
        shutil.rmtree(self.dir, ignore_errors=True)
        return status

    def connect(self, port=None):
        s = socket.create_connection(("127.0.0.1", port or self.proxy_port), timeout=WAIT)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = Client(s)
        with self.lock:
            self.clients.append(client)
            self.connected += 1
        return client

    def tunnel(self, host, port=443, secure=True, name=None):
        """Through CONNECT; with TLS as whom NAME says (HOST)."""
        client = self.connect()
        client.send(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n")
        answer = client.head()
        if answer.status != 200 or not secure:
            return client
        context = ssl.create_default_context(cadata=self.authority)
        client.socket = context.wrap_socket(client.socket, server_hostname=name or host)
        return client


class Answer:
    def __init__(self, status, headers, body=b""):
        self.status, self.headers, self.body = status, headers, body

    def header(self, name, fallback=None):
        return next((v for n, v in self.headers if n.lower() == name.lower()), fallback)


class Client:
    """Sends bytes as they are; reads answers strictly by their framing."""

    def __init__(self, connected):
        self.socket, self.pending, self.ended = connected, b"", False

    def send(self, data):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def more(self):
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionResetError:
            data = b""
        if not data:
            self.ended = True
            raise EOFError
        self.pending += data

    def take(self, n):
        while len(self.pending) < n:
            self.more()
        data, self.pending = self.pending[:n], self.pending[n:]
        return data

    def until(self, end):
        while end not in self.pending:
            self.more()
        return self.take(self.pending.index(end) + len(end))

    def head(self):
        first, *lines = self.until(b"\r\n\r\n").decode("latin-1")[:-4].split("\r\n")
        return Answer(int(first.split(" ")[1]), [tuple(line.split(": ", 1)) for line in lines])

    def answer(self, method="GET"):
        """The next answer, interim ones left out."""
        answer = self.head()
        while answer.status < 200:
            answer = self.head()
        if method == "HEAD" or answer.status in (204, 304):
            return answer
        if answer.header("Transfer-Encoding") == "chunked":
            while True:
                size = int(self.until(b"\r\n"), 16)
                data = self.take(size + 2)
                assert data.endswith(b"\r\n")
                if size == 0:
                    return answer
                answer.body += data[:-2]
        if answer.header("Content-Length") is not None:
            answer.body = self.take(int(answer.header("Content-Length")))
            return answer
        answer.body = self.rest()
        return answer

    def rest(self):
        """Everything until the end."""
        with contextlib.suppress(EOFError):
            while True:
                self.more()
        data, self.pending = self.pending, b""
        return data

    def ask(self, data, method="GET"):
        self.send(data)
        return self.answer(method)

    def close(self):
        self.socket.close()
