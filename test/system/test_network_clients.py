#!/usr/bin/python3
"""Programs that know nothing of Ringfence reach what the policy allows, and nothing else: as root and rootless, by IPv4
and IPv6, with and without a proxy set. Each test has a control in what the servers saw."""

import hashlib
import io
import json
import os
import shutil
import socket
import sys
import tarfile
import unittest
import zipfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import internet  # noqa: E402
from internet import Internet, Response, echo, rule  # noqa: E402
from ring import modes  # noqa: E402

PYTHON = "/usr/bin/python3"
PROXY = "http://198.18.0.1:3128"
NET = None

LARGE = bytes(range(256)) * (20 << 12)  # 20 MiB
FETCH = "import sys,urllib.request as u; sys.stdout.write(u.urlopen(sys.argv[1]).read().decode())"
RESOLVE = ("import socket,sys\n"
           "try: print(sorted({a[4][0] for a in socket.getaddrinfo(sys.argv[1], 443)}))\n"
           "except socket.gaierror as e: print('gaierror', e.errno)")
CONNECT = ("import socket,sys\n"
           "try: s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20); print('connected')\n"
           "except OSError as e: print(type(e).__name__)")
ECHO = """
import socket, sys
for family in (socket.AF_INET, socket.AF_INET6):
    where = socket.getaddrinfo(sys.argv[1], int(sys.argv[2]), family, socket.SOCK_STREAM)[0][4]
    s = socket.socket(family, socket.SOCK_STREAM)
    s.connect(where)
    s.sendall(b"select 1;\\n" * 1000)
    s.shutdown(socket.SHUT_WR)
    got = b""
    while data := s.recv(65536):
        got += data
    print(family.name, got == b"select 1;\\n" * 1000)
"""
NODE = """
(async () => {
  for (const url of process.argv.slice(1)) {
    const r = await fetch(url, {method: 'POST', body: 'from node'});
    console.log(r.status, await r.text());
  }
})().catch(e => { console.log('failed', e.cause ? e.cause.code : e); process.exit(1); });
"""
JAVA = """
import java.net.URI;
import java.net.http.*;
public class Fetch {
  public static void main(String[] args) throws Exception {
    HttpClient client = HttpClient.newHttpClient();
    for (String url : args) {
      HttpResponse<String> r = client.send(HttpRequest.newBuilder(URI.create(url)).build(),
          HttpResponse.BodyHandlers.ofString());
      System.out.println(r.statusCode() + " " + r.body());
    }
  }
}
"""


def say(request):
    """What www.example.com answers."""
    if request.path == "/large":
        return Response(200, LARGE, chunked=request.query == "chunked")
    if request.path == "/moved":
        return Response(302, "", {"Location": "https://elsewhere.example.net/"})
    if request.path == "/moved/here":
        return Response(302, "", {"Location": "/plain"})
    if request.method in ("POST", "PUT"):
        return Response(200, f"{request.method} {len(request.body)} {hashlib.sha256(request.body).hexdigest()[:16]}\n")
    return Response(200, f"hello {request.header('Host')} {request.path}\n", {"Content-Type": "text/plain"})


def npm_package():
    """A registry with one package."""
    blob = io.BytesIO()
    with tarfile.open(fileobj=blob, mode="w:gz") as tar:
        for name, text in (("package.json", json.dumps({"name": "left-hand", "version": "1.2.3", "main": "index.js"})),
                           ("index.js", "module.exports = () => 'left hand';\n")):
            member = tarfile.TarInfo("package/" + name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    data = blob.getvalue()
    version = {"name": "left-hand", "version": "1.2.3", "main": "index.js",
               "dist": {"tarball": "https://registry.example.com/left-hand/-/left-hand-1.2.3.tgz",
                        "shasum": hashlib.sha1(data).hexdigest()}}
    return {"/left-hand": json.dumps({"name": "left-hand", "dist-tags": {"latest": "1.2.3"},
                                      "versions": {"1.2.3": version}}),
            "/left-hand/-/left-hand-1.2.3.tgz": data}


def pip_package():
    """An index with one wheel."""
    blob = io.BytesIO()
    with zipfile.ZipFile(blob, "w") as wheel:
        wheel.writestr("righthand/__init__.py", "def say():\n    return 'right hand'\n")
        wheel.writestr("righthand-2.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: righthand\nVersion: 2.0\n")
        wheel.writestr("righthand-2.0.dist-info/WHEEL",
                       "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("righthand-2.0.dist-info/RECORD", "righthand/__init__.py,,\nrighthand-2.0.dist-info/METADATA,,\n"
                       "righthand-2.0.dist-info/WHEEL,,\nrighthand-2.0.dist-info/RECORD,,\n")
    name = "righthand-2.0-py3-none-any.whl"
    digest = hashlib.sha256(blob.getvalue()).hexdigest()
    page = f'<!DOCTYPE html><html><body><a href="/files/{name}#sha256={digest}">{name}</a></body></html>'
    return {"/simple/righthand/": page, "/files/" + name: blob.getvalue()}


def apt_repository():
    """A repository of one package, as apt reads it; what is in the package does not matter to apt-get download."""
    package = b"!<arch>\nnot really a package\n"
    packages = ("Package: bothhands\nVersion: 3.0\nArchitecture: all\nMaintainer: A <a@example.com>\n"
                f"Filename: ./bothhands_3.0_all.deb\nSize: {len(package)}\nSHA256: {hashlib.sha256(package).hexdigest()}\n"
                "Description: a test\n").encode()
    release = ("Origin: test\nSuite: ./\nDate: Sat, 01 Jan 2022 00:00:00 UTC\nSHA256:\n"
               f" {hashlib.sha256(packages).hexdigest()} {len(packages)} Packages\n")
    return {"/debian/./Release": release, "/debian/./Packages": packages, "/debian/./bothhands_3.0_all.deb": package,
            "/debian/Release": release, "/debian/Packages": packages, "/debian/bothhands_3.0_all.deb": package}


def postgres(connection, log):
    """Enough of PostgreSQL for psql's one query (protocol version 3.0)."""
    def message(kind, body):
        return kind + (len(body) + 4).to_bytes(4, "big") + body
    stream = connection.makefile("rb")
    stream.read(int.from_bytes(stream.read(4), "big") - 4)
    ready = message(b"Z", b"I")
    connection.sendall(message(b"R", bytes(4)) + message(b"S", b"server_version\0" b"15.0\0") +
                       message(b"S", b"client_encoding\0UTF8\0") + ready)
    while kind := stream.read(1):
        body = stream.read(int.from_bytes(stream.read(4), "big") - 4)
        log.append(body)
        if kind == b"Q":
            column = b"answer\0" + bytes(6) + (25).to_bytes(4, "big") + b"\xff\xff" + b"\xff" * 4 + bytes(2)
            connection.sendall(message(b"T", b"\0\1" + column) + message(b"D", b"\0\1\0\0\0\x0242") +
                               message(b"C", b"SELECT 1\0") + ready)


def setUpModule():
    global NET
    internet.enter()
    NET = Internet()
    NET.web = NET.https("www.example.com", say)
    NET.plain = NET.http("www.example.com", say)
    NET.elsewhere = NET.https("elsewhere.example.net", say)
    NET.api = NET.https("api.example.com", say, port=8443)
    NET.db = NET.tcp("db.example.com", 5432, echo)
    NET.db_other = NET.tcp("db.example.com", 5433, echo)
    NET.postgres = NET.tcp("pg.example.com", 5432, postgres)
    NET.apt = [NET.index("deb.example.com", apt_repository(), port=port) for port in (443, 80)]
    NET.hub = NET.git("git.example.com")
    NET.hub.create("acme/app", {"README": "hello\n", "src/main.c": "int main;\n"})
    NET.npm = NET.index("registry.example.com", npm_package())
    NET.pypi = NET.index("pypi.example.com", pip_package(), types={"/simple/righthand/": "text/html"})


def tearDownModule():
    NET.close()


RULES = [
    rule("http", "web", hosts=["www.example.com"], methods=["GET", "HEAD", "POST", "PUT"], schemes=["http", "https"],
         paths=["/", "/plain", "/large", "/post/**", "/moved", "/moved/**"], headers="any"),
    rule("http", "api", hosts=["api.example.com"], ports=[8443], methods=["GET"], headers="any"),
    rule("net", "database", hosts=["db.example.com", "pg.example.com"], ports=[5432]),
    rule("http", "apt", hosts=["deb.example.com"], methods=["GET"], schemes=["http", "https"], headers="any"),
    rule("git", "clone", hosts=["git.example.com"], repositories=["acme/*"], operations=["fetch"]),
    rule("http", "packages", hosts=["registry.example.com", "pypi.example.com"], methods=["GET", "HEAD"], headers="any"),
]


class Clients:
    @classmethod
    def setUpClass(cls):
        cls.ring = NET.ring(cls.mode)
        cls.policy = NET.policy(cls.ring, RULES, {"limits": {"memory": "2GiB", "processes": 512, "disk": "512MiB"}})

    @classmethod
    def tearDownClass(cls):
        cls.ring.destroy()

    def sandbox(self, *argv, **options):
        return NET.run(self.ring, self.policy, *argv, **options)

    def said(self, *argv, code=0, **options):
        """Standard output of ARGV inside, which must end with CODE."""
        p = self.sandbox(*argv, **options)
        self.assertEqual(p.returncode, code, (p.stdout[-2000:], p.stderr.decode(errors="replace")[-3000:]))
        return p.stdout.decode()

    def python(self, program, *args, **options):
        return self.said(PYTHON, "-c", program, *args, **options)

    def need(self, path):
        if shutil.which(path) is None:
            self.skipTest(path + " is not installed")

    # ---- what is allowed ----

    def test_curl_by_both_families_and_schemes(self):
        for family in ("-4", "-6"):
            for url in ("https://www.example.com/plain", "http://www.example.com/plain",
                        "https://api.example.com:8443/"):
                host, path = url.split("/")[2], "/" + url.split("/", 3)[3]
                self.assertEqual(self.said("curl", "-sS", family, url), f"hello {host} {path}\n")

    def test_many_requests_on_one_connection(self):
        before = NET.web.connections
        urls = ["https://www.example.com/plain"] * 20
        said = self.said("curl", "-sS", "-w", "%{num_connects}\\n", *urls)
        self.assertEqual(said.count("hello"), 20)
        self.assertEqual([line for line in said.splitlines() if line.isdigit()], ["1"] + ["0"] * 19)
        self.assertLess(NET.web.connections - before, 20)

    def test_large_bodies_in_both_directions(self):
        for query in ("", "?chunked"):
            said = self.said("sh", "-c", f"curl -sS 'https://www.example.com/large{query}' | sha256sum")
            self.assertEqual(said.split()[0], hashlib.sha256(LARGE).hexdigest())
        upload = ("head -c 20000000 /dev/zero | curl -sS -T - -X PUT https://www.example.com/post/x;"
                  "head -c 20000000 /dev/zero > /tmp/f; curl -sS --data-binary @/tmp/f https://www.example.com/post/y")
        digest = hashlib.sha256(bytes(20000000)).hexdigest()[:16]
        self.assertEqual(self.said("sh", "-c", upload), f"PUT 20000000 {digest}\nPOST 20000000 {digest}\n")

    def test_wget(self):
        self.need("wget")
        self.assertEqual(self.said("wget", "-qO-", "https://www.example.com/plain", "http://www.example.com/"),
                         "hello www.example.com /plain\nhello www.example.com /\n")

    def test_python(self):
        self.assertEqual(self.python(FETCH, "https://www.example.com/plain"), "hello www.example.com /plain\n")
        self.assertEqual(self.python(FETCH, "http://www.example.com/plain"), "hello www.example.com /plain\n")

    def test_requests(self):
        """The library that pip brings, which is requests."""
        if not os.path.isdir("/usr/lib/python3/dist-packages/pip/_vendor/requests"):
            self.skipTest("no pip")
        program = ("from pip._vendor import requests; s = requests.Session()\n"
                   "for i in range(3): print(s.post('https://www.example.com/post/1', data=b'x' * 1000).text, end='')")
        self.assertEqual(self.python(program).count("POST 1000 "), 3)

    def test_node(self):
        self.need("node")
        said = self.said("node", "-e", NODE, "https://www.example.com/post/n", "http://www.example.com/post/n")
        self.assertEqual(said.count("200 POST 9 "), 2)

    def test_java(self):
        self.need("java")
        self.assertEqual(self.said("sh", "-c", 'cat > /tmp/Fetch.java; exec java -XX:+UseSerialGC /tmp/Fetch.java "$@"',
                                   "sh", "https://www.example.com/plain", "http://www.example.com/plain",
                                   input=JAVA.encode()),
                         "200 hello www.example.com /plain\n\n" * 2)

    def test_git_clone(self):
        said = self.said("sh", "-c", "cd /tmp && git clone -q https://git.example.com/acme/app.git && "
                         "cat app/README && git -C app fetch -q && git -C app log --format=%s")
        self.assertEqual(said, "hello\nfirst\n")

    def test_npm_install(self):
        self.need("npm")
        script = ("mkdir /tmp/p && cd /tmp/p && npm install --no-audit --no-fund --no-update-notifier "
                  "--registry https://registry.example.com/ left-hand >&2 && node -e \"console.log(require('left-hand')())\"")
        self.assertEqual(self.said("sh", "-c", script), "left hand\n")

    def test_pip_install(self):
        if not os.path.isdir("/usr/lib/python3/dist-packages/pip"):
            self.skipTest("no pip")
        script = ("cd /tmp && python3 -m pip install -q --disable-pip-version-check --no-cache-dir --index-url "
                  "https://pypi.example.com/simple/ --target /tmp/t righthand >&2 && "
                  "PYTHONPATH=/tmp/t python3 -c 'import righthand; print(righthand.say())'")
        self.assertEqual(self.said("env", "PATH=/usr/bin:/bin", "sh", "-c", script), "right hand\n")

    def test_apt(self):
        self.need("apt-get")
        script = """mkdir -p /tmp/a/lists/partial /tmp/a/cache/archives/partial /tmp/a/etc && cd /tmp/a && touch status
echo "deb [trusted=yes] $1/debian ./" > sources.list
apt="apt-get -qq -o Dir::State=/tmp/a -o Dir::State::status=/tmp/a/status -o Dir::Cache=/tmp/a/cache -o Dir::Etc=/tmp/a/etc
 -o Dir::Etc::sourcelist=/tmp/a/sources.list -o Dir::Etc::sourceparts=- -o Dir::Etc::trustedparts=- -o APT::Sandbox::User="
$apt update >&2 && $apt download bothhands >&2 && cat bothhands_3.0_all.deb"""
        for url in ("https://deb.example.com", "http://deb.example.com"):
            self.assertIn("not really a package", self.said("sh", "-c", script, "sh", url))

    def test_psql(self):
        self.need("psql")
        said = self.said("env", "PGSSLMODE=disable", "psql", "-h", "pg.example.com", "-U", "agent", "-d", "crm", "-Atc",
                         "select 42 as answer")
        self.assertEqual(said, "42\n")
        self.assertIn(b"select 42 as answer\0", NET.postgres.received)

    def test_raw_tcp_by_both_families(self):
        self.assertEqual(self.python(ECHO, "db.example.com", "5432"), "AF_INET True\nAF_INET6 True\n")

    def test_through_the_proxy(self):
        for variables in (["https_proxy", "http_proxy"], ["HTTPS_PROXY", "http_proxy"], ["ALL_PROXY"]):
            env = ["env", *[f"{name}={PROXY}" for name in variables]]
            for url in ("https://www.example.com/plain", "http://www.example.com/plain"):
                self.assertEqual(self.said(*env, "curl", "-sS", url), "hello www.example.com /plain\n")
        env = ["env", f"https_proxy={PROXY}", f"http_proxy={PROXY}"]
        self.assertEqual(self.said(*env, PYTHON, "-c", FETCH, "https://www.example.com/plain"),
                         "hello www.example.com /plain\n")
        self.assertEqual(self.said(*env, PYTHON, "-c", FETCH, "http://www.example.com/plain"),
                         "hello www.example.com /plain\n")
        self.assertEqual(self.said(*env, "git", "ls-remote", "https://git.example.com/acme/app.git").split()[1], "HEAD")
        self.assertEqual(self.said("curl", "-sS", "-p", "-x", PROXY, "https://api.example.com:8443/"),
                         "hello api.example.com:8443 /\n")

    def test_redirects_within_what_is_allowed(self):
        self.assertEqual(self.said("curl", "-sSL", "https://www.example.com/moved/here"), "hello www.example.com /plain\n")

    # ---- what is not ----

    def test_a_denied_request_says_so_in_a_403(self):
        before = len(NET.web.requests) + len(NET.plain.requests)
        for url in ("https://www.example.com/secret", "http://www.example.com/secret"):
            said = self.said("curl", "-sS", "-w", "%{http_code} %{content_type}", url)
            body, _, rest = said.rpartition("}")
            self.assertTrue(rest.startswith("403 application/json"), said)
            error = json.loads(body + "}")["error"]
            self.assertEqual(error["code"], "denied")
            for member in ("message", "reason", "remedy", "action_id"):
                self.assertTrue(error.get(member), (member, error))
        self.said("curl", "-sSf", "-X", "DELETE", "https://www.example.com/plain", code=22)
        self.assertEqual(len(NET.web.requests) + len(NET.plain.requests), before)

    def test_a_name_without_a_rule_does_not_exist_and_nobody_is_asked(self):
        name = "nobody-allowed.example.net"
        NET.dns.records[name] = ["93.184.216.1"]
        self.assertEqual(self.python(RESOLVE, name), "gaierror -2\n")
        self.assertNotIn(name, NET.dns.names_asked())
        self.said("curl", "-sS", f"https://{name}/", code=6)
        self.assertIn("gaierror", self.python(RESOLVE, "data.in.a.label.example.net"))
        self.assertFalse([n for n in NET.dns.names_asked() if n.endswith("label.example.net")])
        control = self.python(RESOLVE, "www.example.com")
        self.assertIn("198.1", control)

    def test_a_port_without_a_rule_is_refused(self):
        self.assertEqual(self.python(CONNECT, "www.example.com", "22"), "ConnectionRefusedError\n")
        before = NET.db_other.connections
        self.assertEqual(self.python(CONNECT, "db.example.com", "5433"), "ConnectionRefusedError\n")
        self.assertEqual(NET.db_other.connections, before)
        self.assertEqual(self.python(CONNECT, "db.example.com", "5432"), "connected\n")

    def test_an_address_without_a_rule_is_nothing(self):
        before = NET.elsewhere.connections
        for address in NET.address("elsewhere.example.net"):
            where = f"[{address}]" if ":" in address else address
            p = self.sandbox("curl", "-sSk", "-m", "20", f"https://{where}/")
            self.assertTrue(p.returncode != 0 or b'"denied"' in p.stdout, p)
        self.assertEqual(NET.elsewhere.connections, before)

    def test_a_redirect_to_elsewhere_leads_nowhere(self):
        before = NET.elsewhere.connections
        self.said("curl", "-sSL", "https://www.example.com/moved", code=6)
        self.assertEqual(NET.elsewhere.connections, before)

    def test_the_hosts_own_services_are_out_of_reach(self):
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        for address in ("127.0.0.1", "::1", "198.18.0.1"):
            self.assertNotIn("connected", self.python(CONNECT, address, str(port)))
        listener.setblocking(False)
        self.assertRaises(BlockingIOError, listener.accept)
        listener.close()

    def test_udp_goes_nowhere(self):
        program = ("import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.3)\n"
                   "try: s.sendto(b'x', ('93.184.216.11', 443)); print(s.recv(10))\n"
                   "except OSError as e: print(type(e).__name__)")
        self.assertIn(self.python(program), ("ConnectionRefusedError\n", "TimeoutError\n", "OSError\n"))

    def test_the_proxy_reaches_no_more_than_its_user(self):
        for url in ("https://elsewhere.example.net/", "http://elsewhere.example.net/", "https://www.example.com:22/"):
            p = self.sandbox("curl", "-sS", "-x", PROXY, url)
            self.assertTrue(p.returncode in (7, 56) or b'"denied"' in p.stdout, p)


class ClientsAfter:
    """What is recorded of all that."""

    def test_the_ledger_has_each_request_and_verifies(self):
        ring = NET.ring(self.mode)
        self.addCleanup(ring.destroy)
        p = NET.run(ring, RULES, "sh", "-c", "curl -s https://www.example.com/plain; curl -s https://www.example.com/no")
        self.assertIn(b"hello", p.stdout)
        verified, records = NET.audit(ring)
        self.assertTrue(verified)
        http = [r["data"] for r in records if r["event"] == "decision" and r["data"].get("kind") == "http"]
        paths = {d["request"]["path"]: d["decision"]["decision"] for d in http}
        self.assertEqual(paths, {"/plain": "allow", "/no": "deny"})
        ends = {r["action_id"]: r["data"] for r in records if r["event"] == "settled"}
        allowed = next(r["action_id"] for r in records if r["event"] == "decision" and
                       r["data"].get("request", {}).get("path") == "/plain")
        self.assertEqual(ends[allowed]["state"], "succeeded")
        self.assertEqual(ends[allowed]["outcome"]["response_sha256"],
                         hashlib.sha256(b"hello www.example.com /plain\n").hexdigest())


for _mode in modes():
    for _base in (Clients, ClientsAfter):
        _name = _base.__name__ + ("AsRoot" if _mode == "root" else "Rootless")
        globals()[_name] = type(_name, (_base, unittest.TestCase), {"mode": _mode})

if __name__ == "__main__":
    unittest.main()
