#!/usr/bin/python3
"""How a sandbox is wired to the network boundary: what it sees of a network, who stands behind it, what is said and
recorded of it, and what is left when any of the programs ends. What the boundary decides is tested elsewhere.

    RINGFENCE_KILLS=N       how many kills at random (the long suite: 100)
    RINGFENCE_SEED=N        which"""

import io
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import internet
from internet import Response, rule
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ring import *

KILLS = int(os.environ.get("RINGFENCE_KILLS", "12"))
SEED = int(os.environ.get("RINGFENCE_SEED", "20261121"))
SITE = rule("http", name="site", hosts=["www.example.com"], methods=["GET"], ports=[80, 443], schemes=["http", "https"])
GET = ["/usr/bin/curl", "-sS", "-m", "20", "https://www.example.com/"]


def kill(pid, number=signal.SIGKILL):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


class Wired:
    def setUp(self):
        self.net = internet.Internet()
        self.addCleanup(self.net.close)
        self.web = self.net.https("www.example.com", lambda request: Response(200, "hello\n"))
        self.ring = self.net.ring(self.mode)
        self.policy = self.net.policy(self.ring, [SITE])

    def told(self, *argv, options=()):
        r = self.ring.run("--json", "--policy", self.policy, *options, "--", *argv)
        return json.loads(r.stdout)

    def good(self, r, output=b"hello\n"):
        self.assertEqual((r.returncode, r.stdout), (0, output), r.stderr.decode(errors="replace"))

    def get(self):
        return self.ring.run("--policy", self.policy, "--", *GET)

    def established(self, *options):
        """A run that says so, waits for a line, fetches, and waits for another."""
        script = "echo started; read x; " + " ".join(GET) + "; read x; echo ended"
        p = self.ring.start("run", "--policy", self.policy, *options, "--", "/usr/bin/sh", "-c", script,
                            stdin=subprocess.PIPE)
        self.addCleanup(self.close, p)
        line = p.stdout.readline()
        self.assertEqual(line, b"started\n", p.stderr.read() if line == b"" else line)
        return p

    def close(self, p):
        for stream in (p.stdin, p.stdout, p.stderr):
            try:
                stream.close()
            except BrokenPipeError:
                pass
        if p.poll() is None:
            p.kill()
        p.wait(TIMEOUT)

    def go_on(self, p):
        p.stdin.write(b"\n")
        p.stdin.flush()

    def audit(self):
        verified, records = self.net.audit(self.ring)
        self.assertTrue(verified, "the ledger does not verify")
        return [(record.get("event"), record.get("data", {})) for record in records]

    def ended_programs(self):
        return [data["program"] for event, data in self.audit() if event == "program-ended"]


class Wiring(Wired):
    def test_an_unmodified_program_reaches_what_a_rule_names(self):
        self.good(self.get())
        self.assertEqual(len(self.web.requests), 1)

    def test_the_result_says_what_was_reached_and_what_was_refused(self):
        told = self.told("/usr/bin/sh", "-c", " ".join(GET) + "; curl -sS -m 20 https://www.example.org/; true")
        self.assertEqual(told["exit_code"], 0, told)
        usage = told["network"]["usage"]
        self.assertEqual(usage["requests"], 1, usage)
        self.assertGreater(usage["denied"], 0)
        self.assertIn("www.example.org", json.dumps(told["network"]["denials"]))

    def test_a_person_reads_what_was_refused_and_which_rule_would_be_needed(self):
        r = self.ring.run("--policy", self.policy, "--", *GET[:-1], "-X", "DELETE", GET[-1])
        text = r.stderr.decode()
        self.assertIn("network boundary refused", text)
        self.assertIn("  denied   ", text)
        self.assertIn("DELETE", text)
        quiet = self.ring.run("--quiet", "--policy", self.policy, "--", *GET[:-1], "-X", "DELETE", GET[-1])
        self.assertNotIn("network boundary", quiet.stderr.decode())
        self.assertEqual(self.web.requests, [])

    def test_the_receipt_is_what_the_command_sees(self):
        script = ("import json, os; print(json.dumps({"
                  "'interfaces': [l.split(':')[0].strip() for l in open('/proc/net/dev').readlines()[2:]],"
                  "'tcp': sorted(int(l.split()[1].split(':')[1], 16) for l in open('/proc/net/tcp6').readlines()[1:]"
                  " if l.split()[3] == '0A'),"
                  "'udp': sorted(int(l.split()[1].split(':')[1], 16) for l in open('/proc/net/udp6').readlines()[1:]),"
                  "'net': os.readlink('/proc/self/ns/net')}))")
        told = self.told("/usr/bin/python3", "-c", script)
        seen, receipt = json.loads(told["stdout"]), told["receipt"]
        network = receipt["network"]
        self.assertEqual(network["interfaces"], ["lo"])
        self.assertEqual(seen["interfaces"], ["lo"])
        self.assertEqual(network["evidence"], "kernel")
        self.assertEqual([(r["type"], r["to"], r["dev"]) for r in network["routes"]],
                         [("local", "0.0.0.0/0", "lo"), ("local", "::/0", "lo")])
        ports = {(listener["role"], listener["port"]) for listener in network["listeners"]}
        self.assertEqual(ports, {("dns-udp", 53), ("dns-tcp", 53), ("proxy", 3128), ("tcp", 80), ("tcp", 443)})
        self.assertEqual(seen["tcp"], sorted(port for role, port in ports if role != "dns-udp"))
        self.assertEqual(seen["udp"], [53])
        self.assertIn(("net-ns", seen["net"]), [(lock["name"], lock.get("value")) for lock in receipt["locks"]])
        gateway = network["gateway"]
        self.assertEqual(gateway["pid"], self.ring.programs()["rf-gateway"])
        self.assertEqual((gateway["seccomp_mode"], gateway["no_new_privs"]), (2, 1))
        if self.mode == "root":
            self.assertGreaterEqual(gateway["uid"], 0x70000000)

    def test_nothing_inside_is_the_hosts(self):
        """The bundle and the resolver are the sandbox's own, and nothing else of /etc has changed."""
        script = "grep -c BEGIN.CERT /etc/ssl/certs/ca-certificates.crt; cat /etc/resolv.conf; env | grep -c ringfence/ca"
        r = self.ring.run("--policy", self.policy, "--", "/usr/bin/sh", "-c", script)
        lines = r.stdout.decode().splitlines()
        self.assertEqual(lines[0], "2", r.stdout)  # the one that the configuration names, and its own
        self.assertEqual(lines[1], "nameserver 198.18.0.1")
        self.assertEqual(lines[-1], "8")

    def test_without_such_a_rule_nothing_of_it_is_there(self):
        r = self.ring.run("--json", "--", "/usr/bin/sh", "-c", "cat /etc/resolv.conf; ls /run/ringfence; env | grep CERT")
        told = json.loads(r.stdout)
        self.assertEqual(told["stdout"], "")
        self.assertNotIn("network", told["receipt"])
        self.assertNotIn("network", told)
        self.assertEqual(set(NETWORK_PROGRAMS) & set(self.ring.programs()), set())
        # The control: with one they run.
        self.good(self.get())
        self.assertEqual(set(NETWORK_PROGRAMS) - set(self.ring.programs()), set())

    def test_each_sandbox_trusts_an_authority_of_its_own(self):
        script = "tail -n +2 /etc/ssl/certs/ca-certificates.crt | sha256sum"
        seen = {self.ring.run("--policy", self.policy, "--", "/usr/bin/sh", "-c", script).stdout for _ in range(3)}
        self.assertEqual(len(seen), 3)

    def test_a_session_is_wired_once_and_says_so(self):
        r = self.ring.cli("sandbox", "create", "--policy", self.policy, "--name", "wired")
        self.assertEqual(r.returncode, 0, r.stderr.decode())
        for _ in range(3):
            self.good(self.ring.cli("sandbox", "exec", "wired", "--", *GET))
        shown = self.ring.cli("sandbox", "inspect", "wired").stdout.decode()
        self.assertIn("interfaces lo, local 0.0.0.0/0, local ::/0", shown)
        self.assertIn("tcp 443", shown)
        self.assertEqual(self.ring.cli("sandbox", "kill", "wired").returncode, 0)
        ended = [data for event, data in self.audit() if event == "network-ended"]
        self.assertEqual([data["usage"]["requests"] for data in ended], [3])

    def test_several_sandboxes_at_once_do_not_meet(self):
        running = [self.established() for _ in range(4)]
        for p in running:
            self.go_on(p)
        for p in running:
            self.assertEqual(p.stdout.readline(), b"hello\n")
            self.go_on(p)
        self.assertEqual([p.wait(TIMEOUT) for p in running], [0] * 4)

    def test_who_leaves_takes_everybody_along(self):
        self.good(self.get())
        pids = self.ring.programs()
        self.assertEqual(set(pids), {"rf-supervisor", *PROGRAMS})
        self.assertEqual(self.ring.cli("stop").returncode, 0)
        wait_until(lambda: not any(alive(pid) for pid in pids.values()), "every program is gone")
        self.assertFalse(os.path.exists(os.path.join(self.ring.state, "run", "vault.sock")))

    def test_a_floor_may_ask_for_the_network_namespace(self):
        policy = self.net.policy(self.ring, [SITE], sandbox={"floor": ["net-ns", "seccomp"]})
        self.good(self.ring.run("--policy", policy, "--", *GET))

    @unittest.skipUnless(os.path.exists("/bin/busybox"), "needs busybox")
    def test_an_image_is_wired_whatever_it_brings(self):
        """One with a bundle at a place of its distribution, behind a link, and one that has nothing."""
        self.net.http("plain.example.com", lambda request: Response(200, "hello\n"))
        plain = rule("http", name="plain", hosts=["plain.example.com"], methods=["GET"], ports=[80], schemes=["http"])
        bundle = "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"
        for name, files in (("bare", {}), ("full", {bundle: b"theirs", "etc/resolv.conf": b"nameserver 192.0.2.1\n"})):
            archive = os.path.join(self.ring.dir, name + ".tar")
            with tarfile.open(archive, "w") as tar:
                with open("/bin/busybox", "rb") as f:
                    files["bin/busybox"] = f.read()
                for path, data in files.items():
                    info = tarfile.TarInfo(path)
                    info.size, info.mode = len(data), 0o755
                    tar.addfile(info, io.BytesIO(data))
                for path, target in (("bin/sh", "busybox"), ("etc/pki/tls/certs/ca-bundle.crt", "/" + bundle)):
                    info = tarfile.TarInfo(path)
                    info.type, info.linkname = tarfile.SYMTYPE, target
                    tar.addfile(info)
            os.chmod(archive, 0o644)
            r = self.ring.cli("image", "import", archive, "--name", name)
            self.assertEqual(r.returncode, 0, r.stderr.decode())
            policy = self.net.policy(self.ring, [plain], sandbox={"root": "image:" + name}, name=name)
            script = ("busybox wget -q -O - http://plain.example.com/; busybox grep -c BEGIN $SSL_CERT_FILE; "
                      "busybox cat /etc/resolv.conf | busybox head -n 1; "
                      "busybox grep -c BEGIN /etc/pki/tls/certs/ca-bundle.crt 2>/dev/null; true")
            r = self.ring.run("--policy", policy, "--", "/bin/busybox", "sh", "-c", script)
            self.assertEqual(r.returncode, 0, r.stderr.decode())
            expected = ["hello", "2", "nameserver 198.18.0.1", *(["2"] if len(files) > 1 else [])]
            self.assertEqual(r.stdout.decode().split("\n")[:-1], expected, r.stderr.decode())

    def test_a_listed_root_is_wired_too(self):
        policy = self.ring.write("listed.yaml", json.dumps({
            "version": 1, "name": "listed", "sandbox": {"executables": "listed"},
            "rules": [rule("exec", name="curl", program="/usr/bin/curl", operands="any", options="any"), SITE]}))
        r = self.ring.run("--policy", policy, "--", *GET)
        if b"options" in r.stderr or b"operands" in r.stderr:
            self.skipTest(r.stderr.decode())
        self.good(r)


class Ends(Wired):
    def test_without_its_gateway_a_sandbox_ends(self):
        p, other = self.established(), self.ring.start("run", "--", "/usr/bin/cat", stdin=subprocess.PIPE)
        self.addCleanup(self.close, other)
        kill(self.ring.programs()["rf-gateway"])
        self.assertEqual(p.wait(TIMEOUT), 125)
        self.assertIn("rf-gateway ended", p.stderr.read().decode())
        # Who has no network has lost nothing.
        other.stdin.write(b"still here\n")
        other.stdin.flush()
        self.assertEqual(other.stdout.readline(), b"still here\n")
        other.stdin.close()
        self.assertEqual(other.wait(TIMEOUT), 0)
        self.good(self.get())
        self.assertEqual(self.ended_programs(), ["rf-gateway"])

    def test_without_its_gateway_a_session_ends_and_says_why(self):
        self.assertEqual(self.ring.cli("sandbox", "create", "--policy", self.policy, "--name", "wired").returncode, 0)
        self.assertEqual(self.ring.cli("sandbox", "create", "--name", "plain").returncode, 0)
        kill(self.ring.programs()["rf-gateway"])
        wait_until(lambda: self.ring.cli("sandbox", "exec", "wired", "--", "/usr/bin/true").returncode != 0, "it ended")
        self.assertEqual(self.ring.cli("sandbox", "exec", "plain", "--", "/usr/bin/true").returncode, 0)
        self.assertIn(b"gateway", self.ring.cli("sandbox", "list", "--all", "--json").stdout +
                      self.ring.cli("sandbox", "list").stdout + self.ring.cli("sandbox", "list", "--json").stdout)
        self.assertEqual(self.ended_programs(), ["rf-gateway"])

    def losing(self, program):
        """PROGRAM is restarted, and the sandbox that runs does not miss it."""
        p = self.established()
        before = self.ring.programs()[program]
        kill(before)
        wait_until(lambda: self.ring.programs().get(program) not in (None, before), program + " runs again")
        self.go_on(p)
        self.assertEqual(p.stdout.readline(), b"hello\n")
        self.go_on(p)
        self.assertEqual(p.wait(TIMEOUT), 0, p.stderr.read())
        self.assertEqual(self.ended_programs(), [program])

    def test_the_dialer_is_restarted(self):
        self.losing("rf-dialer")

    def test_the_vault_is_restarted(self):
        self.losing("rf-vault")

    def test_without_the_arbiter_nothing_runs_on(self):
        p = self.established()
        before = self.ring.programs()
        kill(before["rf-arbiter"])
        self.assertEqual(p.wait(TIMEOUT), 125)
        wait_until(lambda: not any(alive(before[name]) for name in NETWORK_PROGRAMS), "what knew it is gone, too")
        self.good(self.get())
        self.assertTrue(self.net.audit(self.ring)[0])

    def test_a_gateway_that_does_not_start_fails_the_run(self):
        self.ring.cli("start")
        broken = os.path.join(self.ring.dir, "authorities.pem")
        os.unlink(broken)
        r = self.get()
        self.assertEqual(r.returncode, 125)
        self.assertTrue(r.stderr.startswith(b"ringfence: rf-gateway "), r.stderr)
        self.assertIn(b"ringfence doctor", r.stderr)
        self.assertEqual(r.stdout, b"")
        wait_until(lambda: len(self.ring.sandboxes()) <= 2, "no sandbox is left")

    def test_a_gateway_that_stands_still_is_ended_and_another_serves(self):
        if "RINGFENCE_SLOW" not in os.environ:
            self.skipTest("takes half a minute: the long suite")
        self.good(self.get())
        kill(self.ring.programs()["rf-gateway"], signal.SIGSTOP)
        self.good(self.get())
        self.assertEqual(self.ended_programs(), ["rf-gateway"])

    def test_a_kill_waits_for_no_gateway(self):
        p = self.established()
        self.assertEqual(self.ring.cli("sandbox", "create", "--policy", self.policy).returncode, 0)
        kill(self.ring.programs()["rf-gateway"], signal.SIGSTOP)
        r = self.ring.cli("kill", "all", timeout=10)
        self.assertEqual(r.returncode, 0, r.stderr.decode())
        self.assertEqual(p.wait(10), 137)
        self.assertEqual([p for p in self.ring.sandboxes() if len(children_of(p)) > 1], [])
        kill(self.ring.programs()["rf-gateway"], signal.SIGCONT)

    def test_killing_at_random_leaves_nothing_uncontrolled(self):
        rng = random.Random(SEED)
        for _ in range(KILLS):
            p = self.established()
            name = rng.choice(NETWORK_PROGRAMS)
            if rng.random() < 0.5:
                self.go_on(p)
            pid = self.ring.programs().get(name)
            if pid is not None:
                kill(pid)
            try:
                for _ in range(2):
                    self.go_on(p)
            except OSError:
                pass  # it ended with its gateway
            try:
                p.stdin.close()
            except OSError:
                pass
            self.assertIn(p.wait(TIMEOUT), (0, 125))
        self.good(wait_until(lambda: (lambda r: r if r.returncode == 0 else None)(self.get()), "a run works again"))
        self.assertEqual(self.ring.cli("sandbox", "list", "--json").returncode, 0)
        self.assertTrue(self.net.audit(self.ring)[0])
        wait_until(lambda: not self.ring.programs(), "every program is gone")


class WiringRootless(Wiring, unittest.TestCase):
    mode = "rootless"


class EndsRootless(Ends, unittest.TestCase):
    mode = "rootless"


@unittest.skipUnless(AS_ROOT, "needs root")
class WiringAsRoot(Wiring, unittest.TestCase):
    mode = "root"


@unittest.skipUnless(AS_ROOT, "needs root")
class EndsAsRoot(Ends, unittest.TestCase):
    mode = "root"


if __name__ == "__main__":
    internet.enter()
    unittest.main()
