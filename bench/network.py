"""The network boundary beside proxies: latency, requests per second, connections, bulk.

`measure(bench)` is the part of bench/run. It starts this file again, as a program, which enters a network namespace
with an internet of its own (test/system/internet.py): nginx and a small server as upstreams on public addresses,
the peers on 127.0.0.1, Ringfence with a policy for them. What is compared takes turns in slices of a second or so,
each with the same client (bench_network.c); ours runs in a sandbox, the others' outside. The program says what it
found in lines of JSON."""

import contextlib
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
INSIDE = "198.18.0.1:3128"  # the proxy that a sandbox sees
WEB, OTHER, RAW = "www.example.com", "spliced.example.com", "raw.example.com"
PATH = "/small"
PYTHON = "/usr/bin/python3"


def measure(bench):
    subprocess.run(["ninja", "-C", str(bench.build), "bench/bench_network"], check=True, stdout=subprocess.DEVNULL)
    argv = [PYTHON, __file__, str(bench.build)] + ["--quick"] * bench.quick
    program = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    for line in program.stdout:
        what, args, options = json.loads(line)
        getattr(bench.table, what)(*args, **options)
    if program.wait() != 0:
        bench.table.note(f"the network's benchmark ended with {program.returncode}")


# ---- the program ----


def say(what, *args, **options):
    print(json.dumps([what, args, options]), flush=True)


def figure(text, unit):
    found = re.search(r"([0-9.]+) " + re.escape(unit), text)
    return float(found.group(1)) if found else None


def p50_us(text):
    found = re.search(r"p50 ([0-9.]+) us", text)
    return float(found.group(1)) if found else None


def listening(port, address="127.0.0.1", seconds=40):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection((address, port), 1):
            return True
        time.sleep(0.05)
    return False


class World:
    """Upstreams, peers, Ringfence."""

    def __init__(self, net, build, quick):
        self.net, self.quick = net, quick
        self.dir = Path(net.directory)
        tools = self.dir / "tools"  # the workspace of the sandboxes, so that the client is inside as well
        tools.mkdir()
        self.client = shutil.copy(build / "bench" / "bench_network", tools)
        self.running = []
        addresses = {name: net.address(name)[0] for name in (WEB, OTHER, RAW)}
        self.hosts = self.dir / "hosts"
        self.hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{a} {n}\n" for n, a in addresses.items()))
        # Names for whoever is not in a sandbox.
        self.named = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', str(self.hosts)]
        self.nginx(addresses)
        self.start([self.client, "serve", addresses[RAW], "7000"])
        listening(7000, addresses[RAW])
        self.ring = net.ring("root" if os.geteuid() == 0 else "rootless")
        self.policy = self.write_policy()

    def start(self, argv, **options):
        log = open(self.dir / f"log-{Path(argv[0]).name}-{len(self.running)}", "wb")  # pylint: disable=consider-using-with
        self.running.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options))
        return self.running[-1]

    def close(self):
        for process in reversed(self.running):
            process.terminate()
        for process in self.running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
                continue
            process.kill()

    def nginx(self, addresses):
        directory = self.dir / "nginx"
        (directory / "www").mkdir(parents=True)
        (directory / "www" / "small").write_bytes(b"x" * 1024)
        servers = ""
        for name in (WEB, OTHER):
            certificate, key = self.net.ca.issue(name)
            servers += (f"server {{ listen {addresses[name]}:80; listen {addresses[name]}:443 ssl; server_name {name};"
                        f" ssl_certificate {certificate}; ssl_certificate_key {key}; root {directory}/www; }}\n")
        conf = directory / "nginx.conf"
        conf.write_text(
            "worker_processes 1; daemon off; master_process off; pid nginx.pid; error_log error.log;\n"
            "events { worker_connections 4096; }\n"
            "http { access_log off; keepalive_requests 100000000; keepalive_timeout 300; sendfile on;\n" + servers + "}\n")
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        self.start([nginx, "-p", str(directory), "-c", str(conf)])
        if not listening(443, addresses[WEB]):
            raise SystemExit("bench: nginx does not start (Debian: nginx-light)")

    def write_policy(self):
        rules = [{"name": "web", "why": "a benchmark", "allow": "http", "hosts": [WEB], "methods": ["GET"], "headers": "any",
                  "schemes": ["http", "https"]},
                 {"name": "spliced", "why": "a benchmark", "allow": "net", "hosts": [OTHER], "ports": [443]},
                 {"name": "raw", "why": "a benchmark", "allow": "net", "hosts": [RAW], "ports": [7000]}]
        return self.net.policy(self.ring, rules, {"workspace": "staged", "limits": {"memory": "1GiB", "processes": 2048, "disk": "64MiB"}})

    # ---- clients ----

    def inside(self, *args, **options):
        p = self.ring.cli(*self.sandbox(*args), **options)
        return self.result("ringfence", p)

    def sandbox(self, *args):
        return ["run", "--quiet", "--policy", self.policy, "--workspace", os.path.dirname(self.client), "--discard", "--",
                "./bench_network", *map(str, args)]

    def outside(self, *args):
        p = subprocess.run([*self.named, self.client, *map(str, args)], capture_output=True, check=False, timeout=120)
        return self.result("direct or a peer", p)

    @staticmethod
    def result(who, p):
        if p.returncode != 0:
            say("note", f"{who}: {p.stderr.decode(errors='replace').strip()[-300:]}")
            return ""
        return p.stdout.decode()

    # The bundle of authorities is at the same place in the sandbox.
    def tls_inside(self):
        return ["--tls", "/etc/ssl/certs/ca-certificates.crt"]

    def tls_direct(self):
        return ["--tls", self.net.ca.certificate]


# ---- peers ----


def tinyproxy(world):
    program = shutil.which("tinyproxy")
    if program is None:
        return "not installed"
    conf = world.dir / "tinyproxy.conf"
    conf.write_text("Port 8888\nListen 127.0.0.1\nTimeout 600\nMaxClients 2000\nAllow 127.0.0.1\n"
                    "LogLevel Error\nDisableViaHeader Yes\n")
    world.start([*world.named, program, "-d", "-c", str(conf)])
    return None if listening(8888) else "does not start"


def squid(world, port, bump):
    """One worker, no cache, no log of accesses: the least that it can do."""
    program = shutil.which("squid") or shutil.which("squid", path="/usr/sbin")
    if program is None:
        return "not installed"
    directory = world.dir / f"squid-{port}"
    directory.mkdir()
    directory.chmod(0o777)
    listen = f"http_port 127.0.0.1:{port}"
    more = ""
    if bump:
        helper = "/usr/lib/squid/security_file_certgen"
        if not os.access(helper, os.X_OK):
            return "built without TLS"
        ca = world.net.other_ca("Squid's authority")
        pem = directory / "ca.pem"
        pem.write_text(Path(ca.certificate).read_text() + Path(ca.key).read_text())
        pem.chmod(0o644)
        subprocess.run([helper, "-c", "-s", str(directory / "db"), "-M", "4MB"], check=True, capture_output=True)
        subprocess.run(["chown", "-R", "proxy:proxy", str(directory / "db")], check=False)
        listen += f" ssl-bump cert={pem} generate-host-certificates=on dynamic_cert_mem_cache_size=4MB"
        more = (f"sslcrtd_program {helper} -s {directory}/db -M 4MB\nsslcrtd_children 2\nssl_bump bump all\n"
                f"tls_outgoing_options cafile={world.net.ca.certificate}\n")
        world.squid_ca = ca.certificate
    conf = directory / "squid.conf"
    conf.write_text(f"{listen}\nhttp_access allow all\ncache deny all\ncache_mem 8 MB\naccess_log none\n"
                    f"cache_log {directory}/cache.log\ncache_store_log none\npid_filename {directory}/pid\n"
                    f"hosts_file {world.hosts}\ncoredump_dir {directory}\nshutdown_lifetime 1 second\n"
                    f"dns_nameservers 127.0.0.1\nvisible_hostname bench\nnetdb_filename none\n{more}")
    world.start([*world.named, program, "-N", "-n", f"bench{port}", "-f", str(conf)])
    return None if listening(port) else "does not start"


def mitmproxy(world):
    program = shutil.which("mitmdump")
    if program is None:
        return "not installed"
    directory = world.dir / "mitmproxy"
    world.start([*world.named, program, "-q", "--listen-host", "127.0.0.1", "-p", "8080", "--set",
                 f"confdir={directory}", "--set", f"ssl_verify_upstream_trusted_ca={world.net.ca.certificate}"])
    if not listening(8080):
        return "does not start"
    world.mitmproxy_ca = str(directory / "mitmproxy-ca-cert.pem")
    return None


# ---- measurements ----


def turns(world, rounds, contenders, parse):
    """{name: median of what PARSE finds} of CONTENDERS {name: function → text}, interleaved."""
    found = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            value = parse(run())
            if value is not None:
                found[name].append(value)
    return {name: statistics.median(values) if values else None for name, values in found.items()}


def ratio(a, b):
    return None if a is None or not b else a / b


def latency(world):
    count = ["--count", "500" if world.quick else "3000"]
    rounds = 3 if world.quick else 7
    secure = [OTHER, 443, PATH]
    found = turns(world, rounds, {
        "keep-alive request, direct": lambda: world.outside("requests", *count, *world.tls_direct(), WEB, 443, PATH),
        "keep-alive request, intercepted": lambda: world.inside("requests", *count, *world.tls_inside(), WEB, 443, PATH),
        "keep-alive request, spliced CONNECT": lambda: world.inside(
            "requests", *count, "--proxy", INSIDE, *world.tls_inside(), *secure),
        "one byte there and back, direct": lambda: world.outside("echo", *count, RAW, 7000),
        "one byte there and back, spliced": lambda: world.inside("echo", *count, "--proxy", INSIDE, RAW, 7000),
        "a connection, direct": lambda: world.outside("connect", "--count", "300", RAW, 7000),
        "a connection, spliced CONNECT": lambda: world.inside("connect", "--count", "300", "--proxy", INSIDE, RAW, 7000),
    }, p50_us)
    say("section", "latency over the network boundary", "p50 us")
    for name, us in found.items():
        base = found[name.split(",")[0] + ", direct"]
        added = "" if us is None or base is None or us == base else f"{us - base:+.1f} us"
        say("row", name, us, added)
    say("result", "network_latency_us", found)

    def added_ms(what, how):
        a, b = found[f"{what}, {how}"], found[f"{what}, direct"]
        return None if a is None or b is None else (a - b) / 1000
    say("target", "added by a spliced CONNECT, p50 of a round trip", added_ms("one byte there and back", "spliced"),
        0.15, " ms")
    say("target", "added to an intercepted keep-alive request, p50",
        added_ms("keep-alive request", "intercepted"), 0.25, " ms")


def rates(world, title, contenders):
    """Requests per second of CONTENDERS {name: arguments, or a reason why not}; ours is the first."""
    say("section", title, "requests/s")
    runs = {}
    for name, how in contenders.items():
        if isinstance(how, str):
            say("note", f"{name}: {how}")
        else:
            where = world.inside if name == "ringfence" else world.outside
            runs[name] = lambda where=where, how=how: where(
                "requests", "--connections", 16, "--seconds", 0.7 if world.quick else 1.5, *how, PATH)
    found = turns(world, 3 if world.quick else 9, runs, lambda text: figure(text, "requests/s"))
    for name, rate in found.items():
        share = ratio(found["ringfence"], rate)
        say("row", name, rate, "" if name == "ringfence" or share is None else f"ringfence {share:.2f}x")
    say("result", title, found)
    return found


def plain(world):
    def peer(why, port):
        return why or ["--proxy", f"127.0.0.1:{port}", WEB, 80]
    found = rates(world, "plain HTTP by way of a proxy, 16 connections", {
        "ringfence": ["--proxy", INSIDE, WEB, 80],
        "direct": [WEB, 80],
        "tinyproxy": peer(tinyproxy(world), 8888),
        "squid": peer(squid(world, 3129, bump=False), 3129)})
    for name in ("tinyproxy", "squid"):
        say("target", f"plain HTTP against {name}", ratio(found["ringfence"], found.get(name)), 1, "x", at_least=True)


def intercepted(world):
    why_squid, why_mitmproxy = squid(world, 3130, bump=True), mitmproxy(world)
    found = rates(world, "intercepted HTTPS, 16 connections", {
        "ringfence": ["--proxy", INSIDE, *world.tls_inside(), WEB, 443],
        "direct": [*world.tls_direct(), WEB, 443],
        "squid ssl-bump": why_squid or ["--proxy", "127.0.0.1:3130", "--tls", world.squid_ca, WEB, 443],
        "mitmproxy": why_mitmproxy or ["--proxy", "127.0.0.1:8080", "--tls", world.mitmproxy_ca, WEB, 443]})
    for name, target in (("mitmproxy", 5), ("squid ssl-bump", 1)):
        say("target", f"intercepted HTTPS against {name}", ratio(found["ringfence"], found.get(name)), target, "x",
            at_least=True)


def bulk(world):
    count = ["--count", str((1 << 28) if world.quick else (1 << 30))]
    found = turns(world, 3 if world.quick else 7, {
        "direct": lambda: world.outside("bulk", *count, RAW, 7000),
        "spliced": lambda: world.inside("bulk", *count, "--proxy", INSIDE, RAW, 7000),
    }, lambda text: figure(text, "MB/s"))
    say("section", "a bulk transfer", "MB/s")
    for name, rate in found.items():
        say("row", name, rate, "" if name == "direct" else f"{ratio(rate, found['direct']) or 0:.2f}x direct")
    say("result", "network_bulk_mb_s", found)
    say("target", "a spliced bulk transfer against direct", ratio(found["spliced"], found["direct"]), 0.7, "x",
        at_least=True)


def gateway_pids(world):
    p = world.ring.cli("status", "--json")
    return [q["pid"] for q in json.loads(p.stdout).get("programs", []) if q["name"] == "rf-gateway"]


def memory_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))


def connections(world):
    """1,000 connections that are open at once: half of them spliced, half intercepted TLS after a request."""
    count = 1000
    say("section", f"{count} concurrent connections", "MiB (RSS)")
    sandbox = []
    halves = (["--proxy", INSIDE, RAW, 7000], ["--proxy", INSIDE, *world.tls_inside(), WEB, 443, PATH])
    try:
        for how in halves:
            argv = world.sandbox("hold", "--connections", count // 2, *how)
            sandbox.append(world.ring.start(*argv, stdin=subprocess.PIPE))
            line = sandbox[-1].stdout.readline().decode()
            if not line.startswith("held"):
                say("note", f"the connections could not be opened: {line} {sandbox[-1].stderr.read(300)!r}")
                return
        mib = sum(memory_kib(pid) for pid in gateway_pids(world)) / 1024
        say("row", "rf-gateway, half of them spliced, half intercepted", mib)
        say("target", "1,000 concurrent connections", mib, 64, " MiB")
    finally:
        for p in sandbox:
            p.stdin.close()
            p.wait(30)


def main():
    build = Path(sys.argv[1]).resolve()
    os.environ["RINGFENCE_BIN"] = str(build / "bin")
    sys.path.insert(0, str(ROOT / "test" / "system"))
    import internet  # pylint: disable=import-outside-toplevel
    internet.enter()
    parts = [a for a in sys.argv[2:] if a != "--quick"]
    with internet.Internet() as net:
        world = World(net, build, "--quick" in sys.argv)
        try:
            for part in (latency, bulk, plain, intercepted, connections):
                if not parts or part.__name__ in parts:
                    part(world)
        finally:
            world.close()


if __name__ == "__main__":
    main()
