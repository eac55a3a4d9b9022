"""An internet for one test: a network namespace of its own, with public addresses on its loopback device.

Nothing leaves the namespace, and nothing of it touches the host's network. First thing in a test file:

    import internet
    internet.enter()                     # before any thread; not root: starts the script again inside

then, in a test:

    with internet.Internet() as net:
        web = net.https("www.example.com", lambda request: Response(200, "hello"))
        ring = net.ring("rootless")      # lib/ring.py's, with a configuration that knows net's resolver and CA
        p = net.run(ring, [rule("http", hosts=["www.example.com"], methods=["GET"])],
                    "curl", "-s", "https://www.example.com/")
        p.returncode, p.stdout, web.requests, net.dns.asked

What there is:

  net.address(name)            a public IPv4 and IPv6 address of its own for NAME, and its DNS records
  net.http/https(name, handler, port=)     lib/httpd.py's server on both addresses
  net.tcp(name, port, handler)             handler(connection, log): a raw server; its .received has all bytes
  net.tls_context(*names)      a server's context with a certificate of net.ca for NAMES (for raw TLS servers)
  net.git(name, token=)        git over https: .create("acme/app") makes a repository, .requests, .refs("acme/app")
  net.index(name, files)       static files, for package indexes
  net.dns                      the resolver: .records, .asked; it can lie, be slow, rebind (class Dns)
  net.ca                       the authority that Ringfence is told to trust; net.other_ca() is one that it is not
  net.ring(mode), net.run(...), net.secret(ring, name, value, ...), net.audit(ring), net.close()

As root both of ring.modes() run inside the namespace; as an ordinary user the script starts itself again behind
`unshare`, which gives it the namespace and takes all privilege from what it starts. Standard library, git and openssl
only."""

import contextlib
import ctypes
import fcntl
import http.client
import ipaddress
import json
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "lib"))
import ring as ringlib  # noqa: E402
from httpd import HttpServer, Response, git_backend  # noqa: E402

CLONE_NEWNET = 0x40000000
PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
DNS_ADDRESS = ("127.0.0.1", 5353)
TYPES = {"A": 1, "CNAME": 5, "AAAA": 28, "HTTPS": 65}
INSIDE = "RINGFENCE_TEST_INTERNET"


# ---- the namespace ----


def enter():
    """Puts this process into a network namespace of its own with lo up. Once is enough."""
    if os.environ.get(INSIDE) == str(os.getpid()):
        return
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        os.environ[INSIDE] = str(os.getpid())
    elif INSIDE not in os.environ:
        # --keep-caps: ambient, for this interpreter only.
        os.environ[INSIDE] = "again"
        os.execvp("unshare", ["unshare", "--user", "--map-current-user", "--keep-caps", "--net", sys.executable,
                              *sys.argv])
    else:
        os.environ[INSIDE] = str(os.getpid())
        ctypes.CDLL(None).prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    link_up("lo")


def available():
    """Whether enter() can work here, to skip instead of failing."""
    if os.geteuid() == 0 or INSIDE in os.environ:
        return True
    return subprocess.run(["unshare", "--user", "--map-current-user", "--keep-caps", "--net", "true"],
                          capture_output=True, check=False).returncode == 0


def link_up(name):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        flags = struct.unpack("16sh", fcntl.ioctl(s, 0x8913, struct.pack("16sh14x", name.encode(), 0))[:18])[1]
        fcntl.ioctl(s, 0x8914, struct.pack("16sh14x", name.encode(), flags | 1))  # SIOCSIFFLAGS, IFF_UP


def add_address(address):
    """ADDRESS on lo (rtnetlink(7), RTM_NEWADDR); it may be there already."""
    ip = ipaddress.ip_address(address)
    family = socket.AF_INET6 if ip.version == 6 else socket.AF_INET
    attribute = lambda kind: struct.pack("=HH", 4 + len(ip.packed), kind) + ip.packed  # noqa: E731
    body = struct.pack("=BBBBI", family, ip.max_prefixlen, 0x02, 0, socket.if_nametoindex("lo"))  # IFA_F_NODAD
    body += attribute(2) + attribute(1)  # IFA_LOCAL, IFA_ADDRESS
    request = struct.pack("=IHHII", 16 + len(body), 20, 0x605, 1, 0) + body  # REQUEST|ACK|CREATE|EXCL… as replace
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as s:
        s.send(request)
        error = struct.unpack_from("=i", s.recv(4096), 16)[0]
    if error not in (0, -17):
        raise OSError(-error, f"address {address}")


# ---- the authority ----


class Authority:
    """A certificate authority, made by openssl(1)."""

    def __init__(self, directory, name):
        self.directory = os.path.join(directory, name.replace(" ", "-"))
        os.mkdir(self.directory)
        self.certificate, self.key = self.path("ca.pem"), self.path("ca.key")
        self.contexts = {}
        self.lock = threading.Lock()
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                     "-keyout", self.key, "-out", self.certificate, "-subj", f"/CN={name}", "-addext",
                     "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")

    def path(self, name):
        return os.path.join(self.directory, name)

    @staticmethod
    def openssl(*args, **options):
        p = subprocess.run(["openssl", *args], capture_output=True, check=False, timeout=60, **options)
        if p.returncode != 0:
            raise AssertionError("openssl: " + p.stderr.decode())
        return p.stdout

    def issue(self, *names, days=20):
        """(certificate, key) files for NAMES (or addresses)."""
        stem = self.path(names[0].replace("*", "_").replace(":", "_") + f".{len(os.listdir(self.directory))}")
        with open(stem + ".ext", "w") as f:
            f.write("subjectAltName=" + ",".join(
                ("IP:" if is_address(n) else "DNS:") + n for n in names) + "\nextendedKeyUsage=serverAuth\n")
        self.openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                     stem + ".key", "-out", stem + ".csr", "-subj", f"/CN={names[0][:60]}")
        self.openssl("x509", "-req", "-in", stem + ".csr", "-CA", self.certificate, "-CAkey", self.key,
                     "-CAcreateserial", "-days", str(days), "-extfile", stem + ".ext", "-out", stem + ".pem")
        return stem + ".pem", stem + ".key"

    def context(self, *names, protocols=("http/1.1",), **options):
        """A server's context with a certificate for NAMES."""
        key = (names, tuple(protocols), tuple(options.items()))
        with self.lock:
            if key not in self.contexts:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(*self.issue(*names, **options))
                context.set_alpn_protocols(list(protocols))
                self.contexts[key] = context
            return self.contexts[key]


def is_address(text):
    try:
        ipaddress.ip_address(text)
        return True
    except ValueError:
        return False


# ---- names ----


def encode_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split(".") if label) + b"\0"


def decode_name(packet, at):
    labels = []
    while packet[at] != 0:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode("latin-1"))
        at += 1 + packet[at]
    return ".".join(labels), at + 1


class Dns:
    """A resolver with the whole truth, or whatever it is told.

    `records[name]` is a list of addresses and of pairs ("CNAME", "other.example"), ("HTTPS", bytes); or a function
    (type number, how often it was asked) that returns one; or "silent", "servfail", "garbage" (bytes are sent as
    they are). Names that are not there do not exist. `asked` are (name, type number, "udp" or "tcp")."""

    def __init__(self, address=DNS_ADDRESS):
        self.records, self.asked, self.ttl, self.truncate = {}, [], 60, False
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.udp = socket.socket(family, socket.SOCK_DGRAM)
        self.udp.bind(address)
        self.tcp = socket.create_server(self.udp.getsockname()[:2], family=family)
        self.threads = [threading.Thread(target=serve, daemon=True) for serve in (self.serve_udp, self.serve_tcp)]
        for thread in self.threads:
            thread.start()

    def names_asked(self):
        return {name for name, _, _ in self.asked}

    def serve_udp(self):
        while True:
            try:
                packet, peer = self.udp.recvfrom(4096)
            except OSError:
                return
            with contextlib.suppress(OSError, IndexError, struct.error):
                answer = self.answer(packet, "udp")
                if answer is not None:
                    self.udp.sendto(answer, peer)

    def serve_tcp(self):
        while True:
            try:
                connection, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self.converse, args=(connection,), daemon=True).start()

    def converse(self, connection):
        with connection, contextlib.suppress(OSError, IndexError, struct.error):
            stream = connection.makefile("rb")
            while len(head := stream.read(2)) == 2:
                answer = self.answer(stream.read(int.from_bytes(head, "big")), "tcp")
                if answer is None:
                    return
                connection.sendall(len(answer).to_bytes(2, "big") + answer)

    def answer(self, packet, over):
        name, at = decode_name(packet, 12)
        kind = int.from_bytes(packet[at:at + 2], "big")
        question = packet[12:at + 4]
        name = name.lower()
        times = sum(1 for n, k, _ in self.asked if (n, k) == (name, kind))
        self.asked.append((name, kind, over))
        said = self.records.get(name)
        if callable(said):
            said = said(kind, times)
        if isinstance(said, bytes):
            return packet[:2] + said
        if said == "silent":
            return None
        flags = 0x8180 | (2 if said == "servfail" else 3 if said is None else 0)
        if self.truncate and over == "udp":
            return packet[:2] + struct.pack(">HHHHH", flags | 0x0200, 1, 0, 0, 0) + question
        answers = self.resources(name, kind, said if isinstance(said, list) else [])
        return packet[:2] + struct.pack(">HHHHH", flags, 1, len(answers), 0, 0) + question + b"".join(answers)

    def resources(self, name, kind, said, depth=0):
        made = []
        for item in said:
            if isinstance(item, tuple):
                number, data = TYPES[item[0]], item[1]
                if number == TYPES["CNAME"]:
                    made.append(self.resource(name, number, encode_name(data)))
                    target = self.records.get(data.lower().rstrip("."))
                    if isinstance(target, list) and kind != number and depth < 8:
                        made += self.resources(data, kind, target, depth + 1)
                elif number == kind:
                    made.append(self.resource(name, number, data))
                continue
            ip = ipaddress.ip_address(item)
            if kind == (TYPES["AAAA"] if ip.version == 6 else TYPES["A"]):
                made.append(self.resource(name, kind, ip.packed))
        return made

    def resource(self, name, kind, data):
        return encode_name(name) + struct.pack(">HHIH", kind, 1, self.ttl, len(data)) + data

    def close(self):
        for s in (self.udp, self.tcp):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()
        for thread in self.threads:  # a thread that still waits keeps the port
            thread.join(10)


# ---- servers ----


class TcpServer:
    """A raw server: handler(connection, log) runs in a thread of its own; what it appends to log is in .received."""

    def __init__(self, address, handler):
        self.received, self.connections = [], 0
        self.handler = handler
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.socket = socket.create_server(address, family=family, backlog=512)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, contextlib.suppress(OSError, EOFError):
            self.handler(connection, self.received)

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def echo(connection, log):
    """A handler that sends back what it gets."""
    while data := connection.recv(65536):
        log.append(data)
        connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


class Servers:
    """The same server on each address of a name."""

    def __init__(self, name, port, each):
        self.name, self.port, self.each = name, port, each

    @property
    def requests(self):
        return [r for server in self.each for r in server.requests]

    @property
    def received(self):
        return [data for server in self.each for data in server.received]

    @property
    def connections(self):
        return sum(server.connections for server in self.each)

    @property
    def failures(self):
        return [f for server in self.each for f in server.failures]

    def raw(self):
        """All bytes of all requests."""
        return b"".join(r.raw for r in self.requests)

    def close(self):
        for server in self.each:
            server.close()


class GitServer:
    """Repositories below a directory, served by git's http-backend; with a token, only to who has it."""

    def __init__(self, net, name, token=None, port=443):
        self.name, self.token, self.port = name, token, port
        self.root = os.path.join(net.directory, "git-" + name)
        os.mkdir(self.root)
        self.servers = net.https(name, self.handle, port=port) if port != 80 else net.http(name, self.handle)

    @property
    def requests(self):
        return self.servers.requests

    def url(self, repository):
        port = "" if self.port in (80, 443) else f":{self.port}"
        return f"{'http' if self.port == 80 else 'https'}://{self.name}{port}/{repository}.git"

    def handle(self, request):
        if self.token is not None and not self.knows(request.header("Authorization", "")):
            return Response(401, "a token is needed\n", {"WWW-Authenticate": 'Basic realm="git"'})
        return git_backend(self.root, request)

    def knows(self, header):
        import base64
        kind, _, value = header.partition(" ")
        if kind == "Bearer":
            return value == self.token
        with contextlib.suppress(ValueError):
            return kind == "Basic" and base64.b64decode(value).decode().partition(":")[2] == self.token
        return False

    def git(self, *args, check=True, **options):
        env = {"PATH": "/usr/bin:/bin", "HOME": self.root, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null",
               "GIT_AUTHOR_NAME": "Owner", "GIT_AUTHOR_EMAIL": "o@example.com", "GIT_COMMITTER_NAME": "Owner",
               "GIT_COMMITTER_EMAIL": "o@example.com", "GIT_TERMINAL_PROMPT": "0"}
        p = subprocess.run(["git", "-c", "init.defaultBranch=main", *args], env=env, capture_output=True, text=True,
                           timeout=60, check=False, **options)
        if check and p.returncode != 0:
            raise AssertionError(f"git {args}: {p.stderr}")
        return p.stdout

    def create(self, repository, files=None):
        """A bare repository with one commit on main; its directory."""
        bare = os.path.join(self.root, repository + ".git")
        self.git("init", "-q", "--bare", bare)
        self.git("-C", bare, "config", "http.receivepack", "true")
        work = tempfile.mkdtemp(dir=self.root)
        self.git("init", "-q", work)
        for name, text in (files or {"README": "hello\n"}).items():
            os.makedirs(os.path.dirname(os.path.join(work, name)), exist_ok=True)
            with open(os.path.join(work, name), "w") as f:
                f.write(text)
        self.git("-C", work, "add", ".")
        self.git("-C", work, "commit", "-q", "-m", "first")
        self.git("-C", work, "push", "-q", bare, "main")
        shutil.rmtree(work)
        return bare

    def refs(self, repository):
        """{"refs/heads/main": commit}."""
        said = self.git("-C", os.path.join(self.root, repository + ".git"), "for-each-ref",
                        "--format=%(refname) %(objectname)")
        return dict(line.split() for line in said.splitlines())


# ---- all of it ----


def rule(kind, name=None, effect="allow", **fields):
    """One rule for Internet.run."""
    return {"name": name or f"{effect}-{kind}-{abs(hash(json.dumps(fields, sort_keys=True))) % 10000}",
            "why": "a test", effect: kind, **fields}


class Internet:
    def __init__(self, dns=DNS_ADDRESS):
        self.directory = tempfile.mkdtemp(prefix="rf-internet-")
        os.chmod(self.directory, 0o755)
        self.closing = []
        self.hosts = {}
        self.ca = Authority(self.directory, "The tests authority")
        self.dns = Dns(dns)
        self.closing.append(self.dns.close)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        while self.closing:
            self.closing.pop()()
        shutil.rmtree(self.directory, ignore_errors=True)

    def other_ca(self, name="Nobody trusts me"):
        return Authority(self.directory, name)

    def address(self, name, ipv4=True, ipv6=True):
        """[IPv4, IPv6] of NAME: made once, on lo, and in the DNS."""
        if name not in self.hosts:
            n = len(self.hosts) + 10
            made = [f"93.184.{216 + n // 250}.{n % 250 + 1}"] * ipv4 + [f"2606:2800:220:1::{n:x}"] * ipv6
            for address in made:
                add_address(address)
            self.hosts[name] = made
            self.dns.records[name] = list(made)
        return self.hosts[name]

    def serve(self, name, port, make):
        servers = Servers(name, port, [make((a, port)) for a in self.address(name)])
        self.closing.append(servers.close)
        return servers

    def http(self, name, handler, port=80):
        return self.serve(name, port, lambda address: HttpServer(address, handler))

    def https(self, name, handler, port=443, names=None, ca=None, context=None):
        context = context or (ca or self.ca).context(*(names or [name]))
        context.sni_callback = lambda connection, sni, _: setattr(connection, "asked_name", sni)
        return self.serve(name, port, lambda address: HttpServer(address, handler, context))

    def tls_context(self, *names, **options):
        return self.ca.context(*names, **options)

    def tcp(self, name, port, handler=echo):
        return self.serve(name, port, lambda address: TcpServer(address, handler))

    def git(self, name, token=None, port=443):
        return GitServer(self, name, token, port)

    def index(self, name, files, port=443, types=None):
        """FILES: {"/path": bytes or text}; by https (http at port 80)."""
        def handler(request):
            content = files.get(request.path)
            if content is None:
                return Response(404, "no such file\n")
            suffix = os.path.splitext(request.path)[1]
            kind = (types or {}).get(request.path) or {".json": "application/json", ".html": "text/html",
                                                       "": "text/html"}.get(suffix, "application/octet-stream")
            return Response(200, content, {"Content-Type": kind})
        return (self.http if port == 80 else self.https)(name, handler, port=port)

    # ---- Ringfence ----

    def ring(self, mode, config=None, before=()):
        """lib/ring.py's Ringfence with a configuration for this internet; destroyed by close()."""
        made = ringlib.Ringfence(mode, before=before)
        shutil.copy(self.ca.certificate, os.path.join(made.dir, "authorities.pem"))
        os.chmod(os.path.join(made.dir, "authorities.pem"), 0o644)
        made.write("config.yaml", json.dumps({
            "network": {"resolvers": [f"{DNS_ADDRESS[0]}:{DNS_ADDRESS[1]}"],
                        "authorities": os.path.join(made.dir, "authorities.pem")}, **(config or {})}))
        self.closing.append(made.destroy)
        return made

    def policy(self, ring, rules, sandbox=None, name="net", **more):
        """Writes a policy (JSON is YAML): any command, and RULES. Its path."""
        text = json.dumps({"version": 1, "name": name, "sandbox": {"workspace": "none", **(sandbox or {})}, **more,
                           "rules": [rule("exec", "any-command", program="any"), *rules]}, indent=1)
        return ring.write(f"policy-{abs(hash(text)) % 10**8}.yaml", text)

    def run(self, ring, rules, *argv, options=(), sandbox=None, **more):
        """CompletedProcess (bytes) of ARGV in a sandbox under RULES (as rule() makes them), or a policy's path."""
        path = rules if isinstance(rules, str) else self.policy(ring, rules, sandbox)
        return ring.run("--policy", path, *options, "--", *argv, **more)

    @staticmethod
    def secret(ring, name, value, *options):
        """`ringfence secret set`; the value goes by standard input."""
        p = ring.cli("secret", "set", name, *options, input=value.encode())
        if p.returncode != 0:
            raise AssertionError("secret set: " + p.stderr.decode(errors="replace"))

    @staticmethod
    def audit(ring):
        """The ledger's records, and whether it verifies; stops the programs first, so that all is on disk."""
        ring.cli("stop")
        verified = ring.cli("audit", "verify")
        records = []
        directory = os.path.join(ring.state, "ledger")
        for name in sorted(os.listdir(directory)):
            if name.endswith(".jsonl"):
                with open(os.path.join(directory, name), "rb") as f:
                    records += [json.loads(line) for line in f.read().splitlines() if line]
        return verified.returncode == 0, records


def self_test():
    """`python3 internet.py` shows that it all stands: names, certificates, git, both families."""
    enter()
    with Internet() as net:
        web = net.https("www.example.com", lambda r: Response(200, "hello " + r.server_name))
        plain = net.http("www.example.org", lambda r: Response(200, r.header("Host"), chunked=True))
        raw = net.tcp("db.example.com", 5432)
        server = net.git("git.example.com", token="secret-token")
        server.create("acme/app")
        for address in net.address("www.example.com"):
            context = ssl.create_default_context(cafile=net.ca.certificate)
            client = http.client.HTTPSConnection("www.example.com", context=context)
            client.sock = context.wrap_socket(socket.create_connection((address, 443)),
                                              server_hostname="www.example.com")
            client.request("GET", "/")
            assert client.getresponse().read() == b"hello www.example.com"
        with socket.create_connection((net.address("db.example.com")[0], 5432)) as s:
            s.sendall(b"ping")
            assert s.recv(10) == b"ping"
        query = b"\x12\x34\x01\x00\0\1\0\0\0\0\0\0" + encode_name("www.example.org") + b"\0\x1c\0\1"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(query, DNS_ADDRESS)
            assert ipaddress.ip_address(net.address("www.example.org")[1]).packed in s.recv(512)
        resolve = f"git.example.com:443:{net.address('git.example.com')[0]}"
        said = server.git("-c", f"http.sslCAInfo={net.ca.certificate}", "-c", f"http.curloptResolve={resolve}",
                          "ls-remote", "https://x:secret-token@git.example.com/acme/app.git")
        assert "refs/heads/main" in said
        assert len(web.requests) == 2 and plain.connections == 0 and raw.received == [b"ping"]
        print("internet: ok")


if __name__ == "__main__":
    signal.alarm(60)
    self_test()
