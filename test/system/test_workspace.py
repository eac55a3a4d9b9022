#!/usr/bin/python3
"""rf-workspace against overlays that the kernel made: in a user namespace (userxattr), and as root.

The same deeds are done once in the overlay and once in a plain copy of the lower directory; after the
commit both must be the same tree. Run by meson with RINGFENCE_BIN set to the directory of programs.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("RINGFENCE_BIN", ROOT / "build" / "bin"))
TOOL = BIN / "rf-workspace"

LOWER = textwrap.dedent("""
    mkdir -p dir/sub tree/deep opaque swap-dir
    echo one > dir/one; echo two > dir/two; echo keep > dir/sub/keep
    echo leaf > tree/deep/leaf; echo leaf > tree/leaf
    echo hidden > opaque/hidden; echo same > opaque/same
    echo file > swap-file; echo x > swap-dir/x; echo mode > mode; ln -s dir link
    echo plain > renamed-from
""")

# What an agent might do: every kind of change that an overlay records.
DEEDS = textwrap.dedent("""
    set -e
    echo changed > dir/one
    rm dir/two
    echo new > dir/sub/new
    rm -r tree
    rm -r opaque; mkdir opaque; echo same > opaque/same; echo fresh > opaque/fresh
    rm swap-file; mkdir swap-file; echo in > swap-file/in
    rm -r swap-dir; echo now > swap-dir
    chmod 755 mode
    ln -sfn tree link
    mv renamed-from renamed-to
    mkdir -p deep/er/still; echo d > deep/er/still/f; ln deep/er/still/f deep/hard
    echo temp > temp; rm temp
    touch "$(printf 'odd\\033name')"
""")

# Runs inside the namespaces: mounts, does the deeds, then asks the tool. argv: base, tool, options.
INSIDE = textwrap.dedent("""
    import json, os, subprocess, sys
    base, tool, options = sys.argv[1], sys.argv[2], sys.argv[3]
    lower, scratch, merged = (os.path.join(base, n) for n in ("lower", "scratch", "merged"))
    def sh(*args): subprocess.run(args, check=True)
    sh("mount", "-t", "tmpfs", "-o", "size=16m", "scratch", scratch)
    upper, work = os.path.join(scratch, "upper"), os.path.join(scratch, "work")
    os.mkdir(upper); os.mkdir(work)
    sh("mount", "-t", "overlay", "-o",
       f"lowerdir={lower},upperdir={upper},workdir={work}" + options, "overlay", merged)
    sh("sh", "-c", "cd \\"$0\\" && " + os.environ["DEEDS"], merged)
    sh("umount", merged)
    up = os.open(upper, os.O_RDONLY | os.O_DIRECTORY)
    low = os.open(lower, os.O_RDONLY | os.O_DIRECTORY)
    sh("umount", "-l", scratch)  # the descriptor alone keeps it, as after a run
    def ask(*args):
        p = subprocess.run([tool, *args, "--upper-fd", str(up), "--lower-fd", str(low)],
                           pass_fds=(up, low), capture_output=True, text=True, errors="replace")
        return {"code": p.returncode, "out": p.stdout, "err": p.stderr}
    result = {"summary": ask("summary", "--json"), "changes": ask("changes", "--json"),
              "text": ask("changes"), "diff": ask("diff")}
    digest = json.loads(result["summary"]["out"])["digest"]
    result["wrong"] = ask("commit", "--digest", "0" * 64)
    result["commit"] = ask("commit", "--json", "--digest", digest)
    result["after"] = ask("summary", "--json")
    json.dump(result, sys.stdout)
""")


def tree(top):
    """Every entry of TOP: type, permissions, contents."""
    found = {}
    for path in sorted(Path(top).rglob("*")):
        name = str(path.relative_to(top))
        if path.is_symlink():
            found[name] = ("link", os.readlink(path))
        elif path.is_dir():
            found[name] = ("dir", path.stat().st_mode & 0o7777)
        else:
            found[name] = ("file", path.stat().st_mode & 0o7777, path.read_bytes())
    return found


class Overlay(unittest.TestCase):
    def setUp(self):
        self.base = tempfile.mkdtemp(prefix="rf-test-workspace-")
        self.addCleanup(shutil.rmtree, self.base, ignore_errors=True)
        for name in ("lower", "scratch", "merged", "state"):
            os.mkdir(os.path.join(self.base, name))
        lower = os.path.join(self.base, "lower")
        subprocess.run(["sh", "-ec", LOWER], cwd=lower, check=True)
        self.expected = os.path.join(self.base, "expected")
        shutil.copytree(lower, self.expected, symlinks=True)
        subprocess.run(["sh", "-ec", DEEDS], cwd=self.expected, check=True)

    def run_inside(self, unshare, options):
        env = dict(os.environ, DEEDS=DEEDS, RINGFENCE_STATE=os.path.join(self.base, "state"))
        p = subprocess.run([*unshare, sys.executable, "-c", INSIDE, self.base, str(TOOL), options],
                           env=env, capture_output=True, text=True)
        if p.returncode != 0 and "mount" in p.stderr:
            self.skipTest("no overlay here: " + p.stderr.strip().splitlines()[-1])
        self.assertEqual(p.returncode, 0, p.stderr)
        return json.loads(p.stdout)

    def check(self, result):
        for step in ("summary", "changes", "text", "diff", "commit", "after"):
            self.assertEqual(result[step]["code"], 0, (step, result[step]))
        changes = {c["path"]: c for c in json.loads(result["changes"]["out"])["changes"]}
        self.assertEqual(changes["dir/one"]["change"], "modified")
        self.assertEqual(changes["dir/two"]["change"], "deleted")
        self.assertEqual(changes["tree/deep/leaf"]["change"], "deleted")
        self.assertEqual(changes["opaque/hidden"]["change"], "deleted")
        self.assertNotIn("opaque/same", changes)
        self.assertEqual(changes["swap-file"]["old_type"], "file")
        self.assertEqual(changes["mode"]["flags"], ["mode"])
        self.assertEqual(changes["renamed-to"]["change"], "added")
        self.assertNotIn("temp", changes)
        self.assertNotIn("\033", result["text"]["out"] + result["diff"]["out"])
        self.assertIn("-one\n+changed\n", result["diff"]["out"])
        self.assertEqual(result["wrong"]["code"], 3)
        after = json.loads(result["after"]["out"])
        self.assertEqual((after["added"], after["modified"], after["deleted"]), (0, 0, 0))
        self.assertEqual(tree(os.path.join(self.base, "lower")), tree(self.expected))

    def test_an_overlay_of_a_user_namespace_commits_to_the_same_tree(self):
        self.check(self.run_inside(["unshare", "-Urm"], ",userxattr"))

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_an_overlay_of_root_commits_to_the_same_tree(self):
        self.check(self.run_inside(["unshare", "-m"], ""))


class Usage(unittest.TestCase):
    def run_tool(self, *args, **kwargs):
        return subprocess.run([str(TOOL), *args], capture_output=True, text=True, **kwargs)

    def test_wrong_usage_is_one_line_and_code_2(self):
        for args in ([], ["summary"], ["nonsense", "--lower", "/tmp"], ["summary", "--lower-fd", "99"],
                     ["recover", "--lower-fd", "x"], ["recover", "--since"]):
            p = self.run_tool(*args)
            self.assertEqual(p.returncode, 2, args)
            self.assertIn("usage: rf-workspace", p.stderr)

    def test_only_links_that_stay_inside_the_workspace_are_committed(self):
        with tempfile.TemporaryDirectory() as base:
            state, lower, upper = (os.path.join(base, n) for n in ("state", "lower", "upper"))
            os.mkdir(lower), os.mkdir(upper)
            os.mkdir(os.path.join(upper, "d"))
            # "here/.." looks like the top and is above it
            for name, target in (("out", "/etc/passwd"), ("d/up", "../../x"), ("here", "."), ("by", "here/../x"),
                                 ("d/in", "../d"), ("self", "d")):
                os.symlink(target, os.path.join(upper, name))
            up, low = os.open(upper, os.O_RDONLY), os.open(lower, os.O_RDONLY)
            p = self.run_tool("commit", "--upper-fd", str(up), "--lower-fd", str(low),
                              pass_fds=(up, low), env=dict(os.environ, RINGFENCE_STATE=state))
            self.assertEqual(p.returncode, 0, p.stderr)
            self.assertEqual(sorted(os.listdir(lower)), ["d", "here", "self"])
            self.assertEqual(os.readlink(os.path.join(lower, "d/in")), "../d")
            self.assertIn("3 kept out", p.stdout)
            self.assertEqual(os.stat(os.path.join(state, "workspace.key")).st_mode & 0o777, 0o600)
            os.close(up), os.close(low)

    def test_it_is_confined_before_it_reads_what_the_agent_wrote(self):
        """While it waits for us to read its list, the kernel says that seccomp is on."""
        with tempfile.TemporaryDirectory() as base:
            lower, upper = (os.path.join(base, n) for n in ("lower", "upper"))
            os.mkdir(lower), os.mkdir(upper)
            for n in range(2000):
                os.mkdir(os.path.join(upper, f"{n:04}" + "x" * 100))
            up, low = os.open(upper, os.O_RDONLY), os.open(lower, os.O_RDONLY)
            p = subprocess.Popen([str(TOOL), "changes", "--upper-fd", str(up), "--lower-fd", str(low)],
                                 pass_fds=(up, low), stdout=subprocess.PIPE)
            self.assertTrue(p.stdout.read(1))  # the list is longer than a pipe holds: it waits for us
            status = Path(f"/proc/{p.pid}/status").read_text()
            p.stdout.read()
            p.stdout.close()
            self.assertEqual(p.wait(), 0)
            self.assertIn("Seccomp:\t2", status)
            self.assertIn("NoNewPrivs:\t1", status)
            os.close(up), os.close(low)


if __name__ == "__main__":
    unittest.main()
