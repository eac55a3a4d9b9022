#!/usr/bin/python3
"""Images: what `ringfence image import` makes of archives, good and hostile, as root and as a user; and
commands that run in them (`root: image:NAME`). Archives are made here, entry by entry.

A refusal is tested with its control: the same archive without the hostile entry is imported.
"""

import copy
import contextlib
import fcntl
import gzip
import hashlib
import io
import json
import lzma
import os
import random
import shutil
import stat
import subprocess
import sys
import tarfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import ring  # noqa: E402

BUSYBOX = "/bin/busybox"
MACHINE = {"x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv64"}.get(os.uname().machine, "unknown")


# ---- archives ----

def entry(name, data=None, **fields):
    """A tar entry: a file with DATA, or what FIELDS say (type, linkname, mode, …)."""
    info = tarfile.TarInfo(name)
    info.mtime = 1700000000
    info.mode = 0o755 if name.endswith("/") else 0o644
    if data is not None:
        data = data.encode() if isinstance(data, str) else data
        info.size = len(data)
    if name.endswith("/") and "type" not in fields:
        info.type = tarfile.DIRTYPE
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def link(name, target):
    return entry(name, type=tarfile.SYMTYPE, linkname=target)


def hard(name, target, mode=0o644):
    return entry(name, type=tarfile.LNKTYPE, linkname=target, mode=mode)


def tar(*entries, pack=None):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as t:
        for info, data in entries:
            t.addfile(info, io.BytesIO(data) if data is not None else None)
    raw = out.getvalue()
    return pack(raw) if pack else raw


def sha(data):
    return hashlib.sha256(data).hexdigest()


def config_of(layers, **config):
    return json.dumps({"os": "linux", "architecture": MACHINE, "config": config,
                       "rootfs": {"type": "layers", "diff_ids": ["sha256:" + sha(x) for x in layers]}}).encode()


def docker(layers, names=("app:1",), pack=None, config=None, **settings):
    """What `docker save` of old wrote: a directory per layer."""
    config = config or config_of(layers, **settings)
    files, paths = [], []
    for i, layer in enumerate(layers):
        paths.append(f"{i:064x}/layer.tar")
        files += [entry(f"{i:064x}/"), entry(paths[-1], pack(layer) if pack else layer)]
    manifest = [{"Config": sha(config) + ".json", "RepoTags": list(names), "Layers": paths}]
    return tar(*files, entry(sha(config) + ".json", config), entry("manifest.json", json.dumps(manifest)))


def oci_files(layers, pack=None, platform=True, name=None, **settings):
    """Path and contents of every file of an OCI image layout."""
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}

    def blob(data, kind):
        files["blobs/sha256/" + sha(data)] = data
        return {"mediaType": "application/vnd.oci.image." + kind, "digest": "sha256:" + sha(data), "size": len(data)}

    config = blob(config_of(layers, **settings), "config.v1+json")
    packed = [blob(pack(x) if pack else x, "layer.v1.tar") for x in layers]
    manifest = blob(json.dumps({"schemaVersion": 2, "config": config, "layers": packed}).encode(), "manifest.v1+json")
    if platform:
        manifest["platform"] = {"os": "linux", "architecture": MACHINE}
    if name:
        manifest["annotations"] = {"org.opencontainers.image.ref.name": name}
    foreign = dict(manifest, digest="sha256:" + "0" * 64, platform={"os": "linux", "architecture": "m68k"})
    attest = dict(manifest, digest="sha256:" + "1" * 64,
                  annotations={"vnd.docker.reference.type": "attestation-manifest"})
    index = {"schemaVersion": 2, "manifests": [foreign, manifest, attest] if platform else [manifest]}
    files["index.json"] = json.dumps(index).encode()
    return files


def oci(layers, **options):
    return tar(*(entry(k, v) for k, v in oci_files(layers, **options).items()))


def zstd(data):
    return subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout


def xz(data):
    return lzma.compress(data)


def renamed(name, info, data):
    """The archive's entry INFO, with its DATA, under another NAME."""
    other = copy.copy(info)  # TarInfo.replace is not in Python 3.11.2 yet
    other.name = name
    return other, data


def busybox():
    with open(BUSYBOX, "rb") as f:
        return entry("bin/busybox", f.read(), mode=0o4755)


# A root file system with everything ordinary in it.
PLAIN = (entry("./"), entry("etc/"), entry("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/:/bin/sh\n"),
         entry("etc/motd", "hello from the image\n"), entry("usr/bin/"), link("bin", "usr/bin"),
         entry("usr/bin/tool", "#!/bin/sh\n", mode=0o755), hard("usr/bin/also", "usr/bin/tool", 0o755),
         entry("home/node/"), entry("var/tmp/"), entry("run/"), entry("run/lock/"), entry("dev/"),
         entry("dev/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3))


class Images:
    """What both modes must hold; the classes at the end say which."""

    def setUp(self):
        self.rf = ring.Ringfence(self.mode)
        self.addCleanup(shutil.rmtree, self.rf.dir, ignore_errors=True)
        self.inputs = os.path.join(self.rf.dir, "in")
        os.mkdir(self.inputs, 0o755)

    def image(self, *args, **options):
        r = self.rf.cli("image", *args, **options)
        r.out, r.err = r.stdout.decode(), r.stderr.decode()
        return r

    def put(self, data, name="archive"):
        path = os.path.join(self.inputs, name)
        with open(path, "wb") as f:
            f.write(data)
        return path

    def imported(self, data, name="test", *options):
        """Imports DATA (bytes, or a path) as NAME; what is told of it."""
        path = self.put(data) if isinstance(data, bytes) else data
        r = self.image("import", path, "--json", *(["--name", name] if name else []), *options)
        self.assertEqual(r.returncode, 0, r.out + r.err)
        return json.loads(r.out)

    def refused(self, data, why, *options, code=3, name="test"):
        """Importing DATA fails with WHY in one line, and nothing is left."""
        before = self.stored()
        path = self.put(data) if isinstance(data, bytes) else data
        r = self.image("import", path, *(["--name", name] if name else []), *options)
        self.assertEqual(r.returncode, code, r.out + r.err)
        self.assertRegex(r.err, why)
        self.assertEqual(len(r.err.splitlines()), 1, r.err)
        self.assertEqual(self.stored(), before)

    def stored(self):
        path = os.path.join(self.rf.state, "images")
        return sorted(os.listdir(path)) if os.path.isdir(path) else [".lock", "names"]

    def root_of(self, told):
        return os.path.join(self.rf.state, "images", told["id"].replace(":", "-"), "rootfs")

    def tree(self, told):
        """Every path of the image and what it is."""
        root, found = self.root_of(told), {}
        for base, dirs, files in os.walk(root):
            for name in dirs + files:
                path = os.path.join(base, name)
                st = os.lstat(path)
                shown = os.path.relpath(path, root)
                if stat.S_ISLNK(st.st_mode):
                    found[shown] = "-> " + os.readlink(path)
                elif stat.S_ISDIR(st.st_mode):
                    found[shown] = "dir"
                else:
                    with open(path, "rb") as f:
                        found[shown] = f.read().decode(errors="replace")
        return found

    # ---- what is imported ----

    def test_a_tar_becomes_a_tree_that_everybody_may_read_and_nobody_write(self):
        told = self.imported(tar(*PLAIN))
        tree = self.tree(told)
        self.assertEqual(tree["etc/motd"], "hello from the image\n")
        self.assertEqual(tree["bin"], "-> usr/bin")
        self.assertEqual(tree["usr/bin/also"], tree["usr/bin/tool"])
        self.assertEqual(tree["etc/passwd"], "-> /.ringfence/passwd")
        self.assertEqual(tree["var/tmp"], "-> ../tmp")
        self.assertEqual(tree["home/agent"], "dir")
        self.assertNotIn("dev", tree)
        self.assertNotIn("run", tree)
        self.assertEqual(told["left_out"], 2)
        for path in tree:
            st = os.lstat(os.path.join(self.root_of(told), path))
            self.assertEqual((st.st_uid, st.st_gid), (self.rf.uid, self.rf.uid if self.rf.uid else 0))
            if not stat.S_ISLNK(st.st_mode):
                executable = stat.S_ISDIR(st.st_mode) or path.startswith("usr/bin/")
                self.assertEqual(stat.S_IMODE(st.st_mode), 0o755 if executable else 0o644, path)
        self.assertEqual(os.stat(os.path.join(self.root_of(told), "etc/motd")).st_mtime, 1700000000)

    def test_set_id_bits_are_dropped(self):
        told = self.imported(tar(entry("etc/"), entry("bin/su", "x", mode=0o6755), entry("bin/s/", mode=0o7777)))
        for name, mode in (("bin/su", 0o755), ("bin/s", 0o755)):
            self.assertEqual(stat.S_IMODE(os.stat(os.path.join(self.root_of(told), name)).st_mode), mode)

    def test_the_same_files_are_the_same_image_however_they_come(self):
        directory = os.path.join(self.inputs, "dir")
        with tarfile.open(fileobj=io.BytesIO(tar(*(e for e in PLAIN if e[0].type != tarfile.CHRTYPE)))) as t:
            t.extractall(directory)
        os.chmod(self.inputs, 0o755)
        ids = {self.imported(directory, "a")["id"]}
        for pack in (None, gzip.compress, xz, zstd):
            told = self.imported(tar(*PLAIN, pack=pack), "b")
            ids.add(told["id"])
            self.assertFalse(told["new"])
        ids.add(json.loads(self.image("import", "-", "--name", "c", "--json", input=tar(*PLAIN)).stdout)["id"])
        for maker, name in ((["mksquashfs", directory, "OUT", "-quiet", "-no-progress"], "sqfs"),
                            (["mkfs.erofs", "-zlz4hc", "OUT", directory], "erofs")):
            if shutil.which(maker[0]) is None:
                continue  # only squashfs-tools-ng is needed to read one
            out = os.path.join(self.inputs, name)
            subprocess.run([out if a == "OUT" else a for a in maker], check=True, capture_output=True)
            ids.add(self.imported(out, name)["id"])
        self.assertEqual(len(ids), 1)
        self.assertEqual(self.image("inspect", "a", "--verify").returncode, 0)

    def test_squashfs_of_sqfs_tools_is_read(self):
        if shutil.which("tar2sqfs") is None:
            self.skipTest("squashfs-tools-ng is not installed")
        out = os.path.join(self.inputs, "sqfs")
        subprocess.run(["tar2sqfs", "-q", out], input=tar(*PLAIN), check=True, capture_output=True)
        self.assertEqual(self.imported(out, "sqfs")["id"], self.imported(tar(*PLAIN))["id"])
        with open(out, "rb") as f:
            whole = f.read()
        self.refused(whole[:200], "sqfs2tar")
        self.refused(b"hsqs" + bytes(4096), "sqfs2tar")
        self.refused(bytes(1024) + b"\xe2\xe1\xf5\xe0" + os.urandom(8192), "fsck.erofs")

    def test_names_are_bytes(self):
        told = self.imported(tar(entry("etc/"), entry("d/zwölf", "12"), link("d/l", "zwölf"), hard("d/h", "d/zwölf")))
        self.assertEqual(self.tree(told)["d/zwölf"], "12")
        self.assertEqual(self.tree(told)["d/h"], "12")

    LAYERS = (
        tar(entry("etc/"), entry("keep", "1"), entry("gone", "1"), entry("dir/a", "1"), entry("dir/b", "1"),
            entry("opaque/low", "1"), entry("opaque/sub/low", "1"), entry("file", "1"), link("lib", "usr/lib"),
            entry("usr/lib/x", "1"), entry("change", "1"), entry("swap/x", "1")),
        tar(entry(".wh.gone", ""), entry("dir/"), entry("dir/.wh.a", ""), entry("opaque/"), entry("opaque/new", "2"),
            entry("opaque/.wh..wh..opq", ""), entry("opaque/sub/new", "2"), entry("file/"), entry("file/in", "2"),
            entry("change", "2"), entry("swap", "now a file"), entry("dir/.wh.never", ""), entry(".wh..wh.aufs", "")),
        tar(hard("linked", "keep"), entry("back/.wh.x", ""), entry("back/x", "3"), entry("gone", "3")),
    )

    def expect_layers(self, told):
        tree = self.tree(told)
        for name, text in (("keep", "1"), ("gone", "3"), ("dir", "dir"), ("dir/b", "1"), ("opaque/new", "2"),
                           ("opaque/sub/new", "2"), ("file/in", "2"), ("lib", "-> usr/lib"), ("change", "2"),
                           ("swap", "now a file"), ("linked", "1"), ("back/x", "3")):
            self.assertEqual(tree.get(name), text, name)
        for name in ("dir/a", "opaque/low", "opaque/sub/low", "swap/x"):
            self.assertNotIn(name, tree)
        self.assertFalse([name for name in tree if ".wh." in name])

    def test_directories_with_many_names(self):
        """The C library sorts long lists another way than short ones, which is another system call."""
        many = [entry(f"many/{i:05}", str(i)) for i in range(300)]
        base = os.path.join(self.inputs, "dir")
        with tarfile.open(fileobj=io.BytesIO(tar(entry("etc/"), *many))) as t:
            t.extractall(base)
        told = self.imported(base)
        self.assertEqual(self.imported(tar(entry("etc/"), *many))["id"], told["id"])
        layered = docker([tar(entry("etc/"), *many), tar(entry("many/.wh..wh..opq", ""), entry("many/new", "1"))])
        self.assertEqual([n for n in self.tree(self.imported(layered)) if n.startswith("many/")], ["many/new"])
        self.assertEqual(self.image("inspect", told["id"], "--verify").returncode, 0)
        self.imported(tar(entry("etc/")))
        self.assertEqual(json.loads(self.image("gc", "--json").out)["images"], 2)

    def test_the_tools_of_file_systems_are_confined(self):
        work = os.path.join(self.rf.dir, "work")
        os.mkdir(work)
        os.chmod(work, 0o777)
        os.mkfifo(os.path.join(work, "input"))
        os.chmod(os.path.join(work, "input"), 0o666)
        for kind, program in (("squashfs", "sqfs2tar"), ("erofs", "fsck.erofs")):
            if shutil.which(program) is None:
                continue
            command = ["sh", "-c", 'exec "$0" --worker "$1" 1000000 1000 3</dev/null 4<"$2"',
                       os.path.join(ring.BIN, "rf-image"), kind, work]
            tool = subprocess.Popen(ring.as_user(command) if self.mode == "rootless" else command,
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            ring.wait_until(lambda: program in ring.file_text(f"/proc/{tool.pid}/comm"), program)
            now = ring.status_of(tool.pid)
            with open(os.path.join(work, "input"), "wb"):
                pass  # it waits for this; what it reads is no file system
            self.assertNotEqual(tool.wait(), 0)
            self.assertEqual((now["Seccomp"].strip(), now["NoNewPrivs"].strip()), ("2", "1"))
            self.assertEqual([int(now[k], 16) for k in ("CapEff", "CapPrm", "CapInh", "CapAmb")], [0] * 4)
            if self.mode == "root":
                self.assertEqual(set(now["Uid"].split() + now["Gid"].split()), {str(0x70000003)})

    def test_layers_and_whiteouts_of_docker_archives(self):
        self.expect_layers(self.imported(docker(self.LAYERS)))
        self.expect_layers(self.imported(gzip.compress(docker(self.LAYERS, pack=gzip.compress))))

    def test_layers_and_whiteouts_of_oci_archives(self):
        told = [self.imported(oci(self.LAYERS, pack=pack)) for pack in (None, gzip.compress, xz, zstd)]
        self.expect_layers(told[0])
        self.assertEqual(len({t["id"] for t in told}), 1)
        self.expect_layers(self.imported(oci(self.LAYERS, platform=False)))

    def test_an_oci_layout_as_a_directory(self):
        base = os.path.join(self.inputs, "layout")
        for name, data in oci_files(self.LAYERS).items():
            os.makedirs(os.path.dirname(os.path.join(base, name)), exist_ok=True)
            with open(os.path.join(base, name), "wb") as f:
                f.write(data)
        self.expect_layers(self.imported(base))

    def test_old_archives_link_to_a_layer_that_they_have(self):
        layer = tar(entry("etc/"), entry("x", "1"))
        config = config_of([layer, layer])
        manifest = [{"Config": "c.json", "RepoTags": None, "Layers": ["a/layer.tar", "b/layer.tar"]}]
        archive = (entry("a/layer.tar", layer), link("b/layer.tar", "../a/layer.tar"), entry("c.json", config))
        self.imported(tar(*archive, entry("manifest.json", json.dumps(manifest))))
        manifest[0]["Layers"][1] = "c/layer.tar"
        self.refused(tar(*archive, link("c/layer.tar", "/etc/passwd"), entry("manifest.json", json.dumps(manifest))),
                     "leads out")

    def test_the_configuration_is_kept(self):
        settings = {"Env": ["PATH=/opt/bin:/bin", "LANG=C.UTF-8", "HOME=/root"], "WorkingDir": "/srv", "User": "web",
                    "Entrypoint": ["/bin/tool"], "Cmd": ["--x"]}
        told = self.imported(docker([tar(*PLAIN)], **settings))
        content = json.loads(self.image("inspect", "test", "--json").out)["content"]
        self.assertEqual(content["env"], {"PATH": "/opt/bin:/bin", "LANG": "C.UTF-8"})
        self.assertEqual((content["working_dir"], content["user"]), ("/srv", "web"))
        self.assertEqual((content["entrypoint"], content["cmd"]), (["/bin/tool"], ["--x"]))
        self.assertNotEqual(told["id"], self.imported(docker([tar(*PLAIN)]), "other")["id"])

    # ---- names ----

    def test_an_archive_names_itself_only_where_the_name_is_free(self):
        first = self.imported(docker([tar(*PLAIN)], names=["debian:12"]), None)
        self.assertEqual(first["name"], "debian:12")
        other = docker([tar(entry("etc/"), entry("evil", "x"))], names=["debian:12"])
        self.refused(other, "there is such an image already", name=None)
        self.assertEqual(self.imported(other, "debian:12")["name"], "debian:12")  # asked for: it moves
        self.refused(tar(*PLAIN), "give it a name", code=1, name=None)
        named = self.imported(oci([tar(*PLAIN)], name="lib/x:2"), None)
        self.assertEqual(named["name"], "lib/x:2")

    def test_bad_names_are_refused(self):
        for name in ("", "../x", "a//b", "a/../b", "x:", "x:1:2", "sha256:abc", "a b", ".hidden", "a@b", "x" * 201):
            self.refused(tar(*PLAIN), "name", code=1, name=name or ":")

    def test_list_remove_and_gc(self):
        a = self.imported(tar(*PLAIN), "a")
        self.imported(tar(*PLAIN), "b/c:2")
        listed = json.loads(self.image("list", "--json").out)
        self.assertEqual([x["names"] for x in listed], [["a:latest", "b/c:2"]])
        self.assertIn("b/c:2", self.image("list").out)
        self.assertEqual(self.image("remove", "a").returncode, 0)
        self.assertTrue(os.path.isdir(self.root_of(a)))
        self.assertEqual(self.image("remove", "a").returncode, 1)
        other = self.imported(tar(entry("etc/"), entry("x", "1")), "b/c:2")  # takes the name of the first
        self.assertEqual(json.loads(self.image("gc", "--json").out), {"images": 1, "in_use": 0, "leftovers": 0})
        self.assertFalse(os.path.exists(self.root_of(a)))
        self.assertEqual(self.image("remove", other["id"][:20]).returncode, 0)
        self.assertEqual(self.stored(), [".lock", "names"])
        self.assertEqual(os.listdir(os.path.join(self.rf.state, "images", "names")), [])

    def test_an_image_in_use_is_neither_removed_nor_collected(self):
        told = self.imported(tar(*PLAIN), "a")
        with open(os.path.join(os.path.dirname(self.root_of(told)), "lock"), "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            r = self.image("remove", "a")
            self.assertEqual(r.returncode, 1)
            self.assertIn("sandboxes use this image", r.err)
            self.assertTrue(json.loads(self.image("list", "--json").out)[0]["in_use"])
            self.imported(tar(entry("etc/")), "a")  # the name goes on; the image stays
            self.assertEqual(json.loads(self.image("gc", "--json").out)["in_use"], 1)
            self.assertTrue(os.path.isdir(self.root_of(told)))
        self.assertEqual(json.loads(self.image("gc", "--json").out)["images"], 1)

    def test_what_an_interrupted_import_left_is_collected_and_a_running_one_is_not(self):
        self.imported(tar(*PLAIN), "a")
        r, w = os.pipe()
        running = self.rf.start("image", "import", "-", "--name", "b", stdin=r, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)
        os.close(r)
        images = os.path.join(self.rf.state, "images")
        stages = lambda: [n for n in os.listdir(images) if n.startswith(".new-")]  # noqa: E731
        ring.wait_until(stages, "a stage")
        self.assertEqual(json.loads(self.image("gc", "--json").out)["leftovers"], 0)
        self.assertEqual(len(stages()), 1)
        running.kill()
        running.wait()
        os.close(w)
        self.assertEqual(json.loads(self.image("gc", "--json").out)["leftovers"], 1)
        self.assertEqual(stages(), [])

    def test_a_changed_image_is_found_by_verify(self):
        told = self.imported(tar(*PLAIN), "a")
        self.assertEqual(self.image("inspect", "a", "--verify").returncode, 0)
        with open(os.path.join(self.root_of(told), "etc/motd"), "a") as f:
            f.write("changed\n")
        self.assertIn("it was changed", self.image("inspect", "a", "--verify").err)

    # ---- what is refused ----

    def test_hostile_entries_are_refused_and_the_rest_alone_is_not(self):
        outside = os.path.join(self.rf.dir, "outside")
        os.mkdir(outside, 0o777)
        deep = "d/" * 101 + "x"
        hostile = {
            "absolute": ([entry(outside + "/x", "x")], "an absolute path"),
            "dots": ([entry("a/../../x", "x")], '".."'),
            "through a link": ([link("out", outside), entry("out/x", "x")], "below a link"),
            "through a relative link": ([link("up", "../../../../.."), entry("up/x", "x")], "below a link"),
            "a link twice": ([link("l", outside), link("l", "/"), ], "twice"),
            "a directory over a link": ([link("l", outside), entry("l/"), entry("l/x", "x")], "twice"),
            "a file over a file": ([entry("f", "1"), entry("./f", "2")], "twice"),
            "hard link out": ([hard("h", "/etc/passwd")], "leads out"),
            "hard link up": ([hard("h", "../../etc/passwd")], "leads out"),
            "hard link through a link": ([link("e", "/etc"), hard("h", "e/passwd")], "through a link|not there"),
            "hard link to nothing": ([hard("h", "nothing")], "not there"),
            "hard link to a directory": ([entry("d/"), hard("h", "d")], "no file"),
            "device": ([entry("d/sda", type=tarfile.BLKTYPE, devmajor=8, devminor=0)], "a device node"),
            "null device": ([entry("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3)], "a device node"),
            "pipe": ([entry("p", type=tarfile.FIFOTYPE)], "a named pipe"),
            "deep": ([entry(deep, "x")], "deep"),
            "long name": ([entry("n" * 256, "x")], "256 bytes"),
            "long path": ([entry("/".join(["p" * 200] * 21), "x")], "4095 bytes"),
            "many at the top": ([entry(f"f{i}", "") for i in range(70)], "more than 64"),
            "control characters": ([entry("\x1b[2J", "x")], "no text"),
            "etc is a link": ([link("etc", outside)], "no directory"),
        }
        for name, (entries, why) in hostile.items():
            with self.subTest(name):
                base = [] if name == "etc is a link" else [entry("etc/")]
                path = self.put(tar(*base, *entries))
                r = self.image("import", path, "--name", "test")
                self.assertEqual(r.returncode, 3, r.err)
                self.assertRegex(r.err, why)
                self.assertNotIn("\x1b", r.err)
                self.assertEqual(self.stored(), [".lock", "names"])
                self.assertEqual(os.listdir(outside), [])
        self.imported(tar(entry("etc/"), link("out", outside), entry("f", "1"), hard("h", "f")))

    def test_hostile_entries_in_layers_are_refused(self):
        low = tar(entry("etc/"), link("l", "/tmp"), entry("d/x", "1"))
        for name, high, why in (
                ("below a link of a lower layer", tar(entry("l/x", "1")), "below a link"),
                ("a whiteout through a link", tar(entry("l/.wh.x", "")), "below a link"),
                ("a whiteout of the parent", tar(entry("d/.wh...", "")), "a whiteout of nothing"),
                ("a whiteout of itself", tar(entry("d/.wh..", "")), "a whiteout of nothing"),
                ("an empty whiteout", tar(entry("d/.wh.", "")), "a whiteout of nothing"),
                ("a file twice", tar(entry("a", "1"), entry("a", "2")), "twice")):
            with self.subTest(name):
                self.refused(docker([low, high]), why)
        self.imported(docker([low, tar(entry("l/"), entry("l/x", "1"))]))  # a directory in its place may be

    def test_sizes_and_counts_are_bounded(self):
        archive = tar(entry("etc/"), entry("a", b"x" * 100000), entry("b", b"x" * 100000))
        self.imported(archive, "ok", "--max-bytes", "200000", "--max-entries", "10")
        self.refused(archive, "of contents", "--max-bytes", "199999")
        self.refused(tar(entry("etc/"), *(entry(f"d/{i}", "") for i in range(20))), "more than 10 files",
                     "--max-entries", "10")
        r = self.image("import", self.put(archive), "--name", "x", "--max-bytes", str(1 << 50))
        self.assertEqual(r.returncode, 2)

    def test_compression_bombs_are_bounded(self):
        bomb = gzip.compress(tar(entry("etc/"), entry("zeros", bytes(64 << 20))), 9)
        self.assertLess(len(bomb), 100000)
        self.refused(bomb, "of contents", "--max-bytes", "8MiB")
        # Not in files, but after the end of the archive, and in headers.
        tail = gzip.compress(tar(entry("etc/")) + bytes(200 << 20), 9)
        self.refused(tail, "once unpacked", "--max-bytes", "1000000", "--max-entries", "1000")
        self.refused(gzip.compress(gzip.compress(tar(entry("etc/")))), "no tar archive")
        self.refused(xz(zstd(tar(entry("etc/")))), "compressed several times")
        self.refused(docker([gzip.compress(gzip.compress(tar(entry("etc/"))))]), "no tar archive")

    def test_a_sparse_file_counts_in_full(self):
        path = os.path.join(self.inputs, "sparse")
        with open(path, "wb") as f:
            f.truncate(1 << 40)
        archive = os.path.join(self.inputs, "sparse.tar")
        subprocess.run(["tar", "-S", "-C", self.inputs, "-cf", archive, "sparse"], check=True)
        self.assertLess(os.stat(archive).st_size, 1 << 20)
        self.refused(archive, "of contents")

    def test_damaged_and_cut_archives_are_refused(self):
        whole = tar(entry("etc/"), entry("a", os.urandom(5000)), entry("b", "x"))
        self.imported(whole)
        # In the middle of a header, of contents, and between two entries.
        for cut in (100, 512, 1024, 3000, 7168):
            self.refused(whole[:cut], "cut short|damaged")
        packed = gzip.compress(whole)
        self.refused(packed[:len(packed) // 2], "unpacked")
        damaged = bytearray(packed)
        damaged[len(packed) // 2] ^= 0xff
        self.refused(bytes(damaged), "unpacked|digest")
        self.refused(os.urandom(4096), "no tar archive")
        self.refused(b"", "cut short")

    def test_wrong_digests_are_refused(self):
        layers = [tar(entry("etc/"), entry("a", "1"))]
        evil = tar(entry("etc/"), entry("a", "evil"))
        files = oci_files(layers)
        name = "blobs/sha256/" + sha(layers[0])
        self.refused(tar(*(entry(k, evil if k == name else v) for k, v in files.items())), "digest")
        config = next(k for k, v in files.items() if b"diff_ids" in v)
        self.refused(tar(*(entry(k, v + b" " if k == config else v) for k, v in files.items())), "digest")
        self.refused(docker([evil], config=config_of(layers)), "digest")
        self.refused(docker(layers, config=config_of(layers * 2)), "names 2 layers, the manifest 1")
        self.imported(tar(*(entry(k, v) for k, v in files.items())))

    def test_manifests_that_name_other_files_are_refused(self):
        layer = tar(entry("etc/"))
        config = config_of([layer])
        for name, manifest in (
                ("absolute", {"Config": "c.json", "Layers": ["/etc/passwd"]}),
                ("up", {"Config": "c.json", "Layers": ["../../../etc/passwd"]}),
                ("config", {"Config": "/etc/passwd", "Layers": ["l.tar"]}),
                ("missing", {"Config": "c.json", "Layers": ["nothing"]}),
                ("directory", {"Config": "c.json", "Layers": ["d"]}),
                ("link", {"Config": "c.json", "Layers": ["out"]}),
                ("none", {"Config": "c.json", "Layers": []}),
                ("many", {"Config": "c.json", "Layers": ["l.tar"] * 300}),
                ("no text", {"Config": 7, "Layers": [{}]})):
            archive = tar(entry("c.json", config), entry("l.tar", layer), entry("d/"), link("out", "/etc/passwd"),
                          entry("manifest.json", json.dumps([manifest])))
            with self.subTest(name):
                self.refused(archive, ".")
        two = [{"Config": "c.json", "Layers": ["l.tar"]}] * 2
        self.refused(tar(entry("c.json", config), entry("l.tar", layer), entry("manifest.json", json.dumps(two))),
                     "holds 2 images")

    def test_an_image_for_another_machine_is_refused(self):
        layer = tar(entry("etc/"))
        config = config_of([layer]).replace(MACHINE.encode(), b"m68k")
        self.refused(docker([layer], config=config), "this machine is another")

    def test_the_reader_is_confined_before_it_reads(self):
        work, fifo = os.path.join(self.rf.dir, "work"), os.path.join(self.rf.dir, "fifo")
        os.mkdir(work)
        os.chmod(work, 0o777)
        os.mkfifo(fifo, 0o666)
        os.chmod(fifo, 0o666)
        command = ["sh", "-c", 'exec "$0" --worker archive 1000000 1000 3<"$1" 4<"$2"',
                   os.path.join(ring.BIN, "rf-image"), fifo, work]
        reader = subprocess.Popen(ring.as_user(command) if self.mode == "rootless" else command)
        with open(fifo, "wb") as pipe:
            pipe.write(tar(*PLAIN)[:512])
            pipe.flush()
            ring.wait_until(lambda: ring.status_of(reader.pid).get("Seccomp", "").strip() == "2", "its filter")
            now = ring.status_of(reader.pid)
            root = os.stat(f"/proc/{reader.pid}/root") if ring.AS_ROOT else None
            pipe.write(tar(*PLAIN)[512:])
        self.assertEqual(reader.wait(), 0)
        self.assertEqual(now["NoNewPrivs"].strip(), "1")
        for kind in ("CapEff", "CapPrm", "CapInh", "CapAmb") + (("CapBnd",) if self.mode == "root" else ()):
            self.assertEqual(int(now[kind], 16), 0, kind)
        if self.mode == "root":
            self.assertEqual(set(now["Uid"].split()), {str(0x70000003)})
            self.assertEqual(set(now["Gid"].split()), {str(0x70000003)})
            self.assertEqual(now["Groups"].strip(), "")
            self.assertEqual(root.st_ino, os.stat(work).st_ino)
        with open(os.path.join(work, "result.json")) as f:
            self.assertEqual(json.load(f)["source"], "tar archive")

    def test_a_directory_with_a_pipe_or_a_device_is_refused_without_opening_it(self):
        base = os.path.join(self.inputs, "dir")
        os.makedirs(os.path.join(base, "etc"))
        self.imported(base)
        os.mkfifo(os.path.join(base, "p"), 0o644)
        self.refused(base, "a named pipe")
        os.unlink(os.path.join(base, "p"))
        os.makedirs(os.path.join(base, "run"))
        os.mkfifo(os.path.join(base, "run", "initctl"), 0o644)  # nobody sees /run of an image
        self.imported(base)


    # ---- commands in an image ----

    POLICY = ("version: 1\nname: in-image\nsandbox:\n  root: image:{}\n"
              "rules:\n  - {{name: any, why: test, owner: test, allow: exec, program: {}}}\n")

    def in_image(self, *command, name="bb", program="any", options=(), code=0):
        """What COMMAND prints in the image NAME."""
        policy = self.rf.write("policy.yaml", self.POLICY.format(name, program))
        r = self.rf.run("--policy", policy, *options, "--", *command)
        self.assertEqual(r.returncode, code, r.stderr.decode())
        return (r.stdout if code == 0 else r.stderr).decode()

    def import_busybox(self):
        """A layered image with a C library's worth of nothing: static busybox, and its configuration."""
        self.addCleanup(self.rf.destroy)
        low = tar(*(e for e in PLAIN if e[0].name not in ("dev/null", "usr/bin/tool", "usr/bin/also")), busybox(),
                  entry("srv/old", "old"))
        high = tar(link("usr/bin/sh", "busybox"), link("opt/bin/echo", "../../bin/busybox"), entry("srv/.wh.old", ""),
                   link("usr/bin/cat", "/bin/busybox"), entry("etc/shadow", "x", mode=0), link("out", "/proc/1/root"),
                   entry("work/file", "here"))
        # Its bin/busybox is below a link, as a builder that does not know would write it.
        self.refused(docker([low, high]), "below a link")
        low = tar(*(e for e in PLAIN if e[0].name not in ("dev/null", "usr/bin/tool", "usr/bin/also")),
                  renamed("usr/bin/busybox", *busybox()), entry("srv/old", "old"))
        return self.imported(docker([low, high], Env=["PATH=/opt/bin:/bin", "GREETING=hi"], WorkingDir="/work"), "bb")

    def test_a_command_sees_the_image_and_nothing_of_the_host(self):
        self.import_busybox()
        script = ("cat /etc/motd; echo $GREETING $PATH; ls /srv; busybox id -un; "
                  "busybox test -e /usr/bin/python3 && echo host; busybox touch /tmp/ok && echo tmp; "
                  "for f in /etc/x /srv/x /x /home/x; do echo x > $f; done 2>/dev/null; "
                  "busybox find / -xdev -perm /6000; busybox ls /work; busybox grep -c . /etc/passwd; "
                  "busybox chmod 777 /etc/motd || echo kept")
        self.assertEqual(self.in_image("sh", "-c", script).splitlines(),
                         ["hello from the image", "hi /opt/bin:/bin", "agent", "tmp", "file", "3", "kept"])

    def test_programs_are_found_as_inside(self):
        self.import_busybox()
        # The image's PATH, a directory that is a link, a relative name; rules name what is executed.
        self.assertEqual(self.in_image("echo", "1", program="/opt/bin/echo"), "1\n")
        self.assertEqual(self.in_image("/bin/busybox", "echo", "2", program="/usr/bin/busybox"), "2\n")
        self.assertEqual(self.in_image("../../usr//bin/./sh", "-c", "echo 3", program="/usr/bin/sh"), "3\n")
        for name, code in (("python3", 127), ("/usr/bin/python3", 127), ("/etc/motd", 126), ("/out/bin/sh", 127)):
            self.in_image(name, code=code)

    def test_a_caller_s_umask_keeps_nobody_out(self):
        self.addCleanup(self.rf.destroy)
        archive = tar(entry("etc/"), entry("bin/"), (busybox()[0], busybox()[1]), link("bin/sh", "busybox"))
        path = self.put(archive)
        r = self.rf.cli("image", "import", path, "--name", "bb", preexec_fn=lambda: os.umask(0o077))
        self.assertEqual(r.returncode, 0, r.stderr.decode())
        self.assertEqual(self.in_image("sh", "-c", "echo in"), "in\n")

    def test_sandboxes_share_an_image_and_keep_it_from_being_removed(self):
        told = self.import_busybox()
        policy = self.rf.write("policy.yaml", self.POLICY.format("bb", "any"))
        running = [self.rf.start("run", "--policy", policy, "--", "sh", "-c", "echo up; read x; cat /etc/motd",
                                 stdin=subprocess.PIPE) for _ in range(2)]
        for r in running:
            self.assertEqual(r.stdout.readline(), b"up\n")
        refused = self.image("remove", "bb")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("sandboxes use this image", refused.err)
        self.imported(tar(entry("etc/")), "bb")
        self.assertEqual(json.loads(self.image("gc", "--json").out)["in_use"], 1)
        for r in running:
            self.assertEqual(r.communicate(b"\n", timeout=30)[0], b"hello from the image\n")
        self.rf.stop()
        ring.wait_until(lambda: not self.rf.programs(), "an end of the programs")
        self.assertEqual(json.loads(self.image("gc", "--json").out)["images"], 1)
        self.assertFalse(os.path.exists(self.root_of(told)))

    def test_a_name_that_moves_is_followed_at_once(self):
        self.import_busybox()
        self.rf.cli("start")
        policy = self.rf.write("policy.yaml", self.POLICY.format("bb", "any"))
        see = lambda: self.rf.run("--policy", policy, "--", "busybox", "cat", "/etc/motd").stdout  # noqa: E731
        self.assertEqual([see() for _ in range(4)], [b"hello from the image\n"] * 4)  # by now some are prepared
        self.imported(tar(entry("etc/"), entry("etc/motd", "another\n"), entry("bin/"), busybox()), "bb")
        self.assertEqual([see() for _ in range(6)], [b"another\n"] * 6)

    def test_an_image_that_is_not_there_is_said_so(self):
        self.addCleanup(self.rf.destroy)
        said = self.in_image("sh", name="never:1", code=125)
        self.assertIn("no image never:1", said)
        self.assertIn("ringfence image import", said)


class TestRootless(Images, unittest.TestCase):
    mode = "rootless"


@unittest.skipUnless(ring.AS_ROOT, "needs root")
class TestAsRoot(Images, unittest.TestCase):
    mode = "root"

    def test_a_layout_that_only_root_can_read(self):
        base = os.path.join(self.inputs, "layout")
        for name, data in oci_files(self.LAYERS).items():
            os.makedirs(os.path.dirname(os.path.join(base, name)), mode=0o700, exist_ok=True)
            with open(os.path.join(base, name), "wb") as f:
                f.write(data)
            os.chmod(os.path.join(base, name), 0o600)
        os.chmod(base, 0o700)
        self.expect_layers(self.imported(base))

    def test_files_that_only_root_can_read_are_copied_from_a_directory(self):
        base = os.path.join(self.inputs, "dir")
        os.makedirs(os.path.join(base, "etc"))
        path = os.path.join(base, "etc", "shadow")
        with open(path, "w") as f:
            f.write("secret")
        os.chmod(path, 0)
        told = self.imported(base)
        self.assertEqual(self.tree(told)["etc/shadow"], "secret")


class Killed(Images):
    """At whatever moment rf-image is killed: what has a name is whole, and gc leaves nothing else."""

    def test_kills_at_random_moments(self):
        chance, whole = random.Random(4), 0
        archives = [self.put(docker([tar(*PLAIN), tar(*(entry(f"d/{i}", "x" * i) for i in range(k * 40)))]), f"a{k}")
                    for k in (1, 2, 3)]
        for i in range(int(os.environ["RINGFENCE_KILLS"])):
            deed = chance.choice([("import", chance.choice(archives), "--name", chance.choice("xyz")),
                                  ("import", chance.choice(archives), "--name", chance.choice("xyz")),
                                  ("remove", chance.choice("xyz")), ("gc",)])
            running = self.rf.start("image", *deed, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(timeout=chance.random() ** 2 * 0.4)
            running.kill()
            running.wait()
            for told in json.loads(self.image("list", "--json").out):
                self.assertNotIn("damaged", told, f"{i}: {deed}")
                if told["names"]:
                    r = self.image("inspect", told["names"][0], "--verify")
                    self.assertEqual(r.returncode, 0, f"{i}: {deed}: {r.err}")
                    whole += 1
        self.assertGreater(whole, 0)
        self.image("gc")
        listed = json.loads(self.image("list", "--json").out)
        self.assertTrue(all(told["names"] for told in listed))
        self.assertEqual(self.stored(), sorted([".lock", "names", *(t["id"].replace(":", "-") for t in listed)]))


class Others(Images):
    """Archives that other programs wrote, where they are installed: umoci makes layers, skopeo converts."""

    def test_what_umoci_and_skopeo_write_is_what_umoci_unpacks(self):
        if not ring.AS_ROOT or not all(map(shutil.which, ("umoci", "skopeo"))):
            self.skipTest("umoci and skopeo are not installed")

        def do(*argv):
            subprocess.run(argv, check=True, cwd=self.inputs, capture_output=True)

        do("umoci", "init", "--layout", "oci")
        do("umoci", "new", "--image", "oci:1")
        do("umoci", "unpack", "--image", "oci:1", "bundle")
        root = os.path.join(self.inputs, "bundle", "rootfs")
        for step in ("mkdir -p etc usr/bin srv/a/b srv/c; echo 1 > srv/a/x; echo 1 > srv/a/b/y; echo 1 > srv/c/z; "
                     "ln -s usr/bin bin; cp /bin/busybox usr/bin; chmod 4755 usr/bin/busybox; ln usr/bin/busybox usr/bin/sh",
                     "rm -r srv/a; mkdir srv/a; echo 2 > srv/a/new; echo 2 > srv/c/z; rm usr/bin/sh; ln -s busybox usr/bin/sh",
                     "rm -r srv/c; echo 3 > srv/c; mkdir -p opt/deep/er; mv srv/a/new opt/deep/er/moved"):
            subprocess.run(["sh", "-ec", step], check=True, cwd=root)
            do("umoci", "repack", "--refresh-bundle", "--image", "oci:1", "bundle")
        do("umoci", "unpack", "--image", "oci:1", "flat")
        do("skopeo", "copy", "--insecure-policy", "oci:oci:1", "docker-archive:docker.tar:app:3")
        do("skopeo", "copy", "--insecure-policy", "oci:oci:1", "oci-archive:oci.tar:app:4")
        do("skopeo", "copy", "--insecure-policy", "--dest-compress-format", "zstd", "oci:oci:1", "oci:zstd:1")
        self.imported(os.path.join(self.inputs, "flat", "rootfs"), "flat")
        for name in ("oci", "docker.tar", "oci.tar", "zstd"):
            self.imported(os.path.join(self.inputs, name), name)
        trees = [json.loads(self.image("inspect", n, "--json").out)["content"]["tree"]
                 for n in ("flat", "oci", "docker.tar", "oci.tar", "zstd")]
        self.assertEqual(trees, trees[:1] * 5)


def load_tests(loader, tests, pattern):
    """In the long suite only the kills, as many as RINGFENCE_KILLS says, and the others' archives."""
    if "RINGFENCE_KILLS" not in os.environ:
        return tests
    killed = type("KilledHere", (Killed, unittest.TestCase), {"mode": ring.modes()[-1]})
    others = type("OthersHere", (Others, unittest.TestCase), {"mode": ring.modes()[0]})
    return unittest.TestSuite([killed("test_kills_at_random_moments"),
                               others("test_what_umoci_and_skopeo_write_is_what_umoci_unpacks")])


if __name__ == "__main__":
    unittest.main()
