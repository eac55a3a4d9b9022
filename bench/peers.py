"""The peers and how they are called."""

import json
import os
import shutil
import subprocess

# The flags that the comparison names; they do far less than the policy `isolated`.
BWRAP = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs",
         "/tmp", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--"]
BWRAP_PLAIN = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--"]
UNSHARE = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork",
           "--"]


def bundle(directory, tool):
    """An OCI bundle whose root is the host's /usr, read-only, and whose command is true."""
    root = directory / "rootfs"
    for name in ("usr", "proc", "dev", "sys", "tmp"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        if os.path.islink("/" + name):
            os.symlink("usr/" + name, root / name)
    subprocess.run([tool, "spec"], cwd=directory, check=True, capture_output=True)
    spec = json.loads((directory / "config.json").read_text())
    spec["process"].update(terminal=False, args=["/usr/bin/true"])
    spec["mounts"].append({"destination": "/usr", "type": "bind", "source": "/usr",
                           "options": ["bind", "ro"]})
    (directory / "config.json").write_text(json.dumps(spec))
    return directory


def slow_peers(bench):
    """Those OCI runtimes that are here and work here: {name: argv}."""
    found = {}
    for tool in ("crun", "runc", "runsc"):
        path = shutil.which(tool) or shutil.which(tool, path="/usr/sbin:/sbin")
        if path is None:
            bench.table.note(f"{tool}: not installed")
            continue
        try:
            where = bundle(bench.base / tool, "crun" if tool == "runsc" and shutil.which("crun") else path)
        except (OSError, subprocess.CalledProcessError) as error:
            bench.table.note(f"{tool}: no bundle: {error}")
            continue
        options = ["--network=none", "--rootless=false"] if tool == "runsc" else []
        argv = [path, *options, "run", "--bundle", str(where), f"ringfence-bench-{tool}"]
        p = subprocess.run(argv, capture_output=True, text=True)
        if p.returncode == 0:
            found[tool] = argv
        else:
            why = (p.stderr.strip().splitlines() or [f"exit code {p.returncode}"])[-1]
            bench.table.note(f"{tool}: does not run here: {why}")
    return found
