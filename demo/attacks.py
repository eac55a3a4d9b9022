"""What is tried, with which limits, and how to tell that it was held."""

from dataclasses import dataclass, field
from typing import Callable, Optional


@dataclass
class Attack:
    tried: str
    program: str
    check: Callable  # (demo, result) -> (held, evidence)
    locks: list  # must be engaged according to the receipt
    arguments: list = field(default_factory=list)  # {home} and {port} are filled in
    options: list = field(default_factory=list)
    absence: bool = False  # held because what was attacked does not exist inside
    limit: Optional[str] = None  # the receipt's name of the limit that holds it
    control: Optional[Callable] = None  # (demo, stdout, left) -> did it succeed outside?
    control_program: Optional[str] = None


def lines(result, start):
    return [line for line in result.get("stdout", "").splitlines() if line.startswith(start)]


def reasons(result):
    """Why the attempts failed: the kernel's words, each once."""
    words = [line.split(" ", 2)[2] for line in lines(result, "no ") if line.count(" ") >= 2]
    return ", ".join(dict.fromkeys(words))


def check_nothing_got(demo, result):
    tried, got = lines(result, "no "), lines(result, "GOT")
    return bool(tried) and not got, f"{len(tried)} of {len(tried) + len(got)} failed: {reasons(result)}"


def check_environment(demo, result):
    text = result.get("stdout", "")
    held = "RINGFENCE" in text and "DEMO_API_KEY" not in text and demo.canary not in text
    return held, "DEMO_API_KEY is not inside" if held else "DEMO_API_KEY came out"


def check_fork_bomb(demo, result):
    text = result.get("stdout", "").strip()
    held = text.startswith("stopped after") and int(text.split()[2]) <= 32
    return held, text


def check_memory(demo, result):
    """Killed by the control group or the watching supervisor; or, where there is only a limit for each
    process, refused the memory."""
    usage = result.get("usage", {})
    killed = result.get("limit") == "memory" and result.get("exit_code") == 137
    peak = usage.get("memory_peak_bytes" if killed else "max_rss_bytes", 1 << 60)
    refused = "MemoryError" in result.get("stderr", "")
    how = f"killed ({usage.get('oom_kills', 0)} out-of-memory kills)" if killed else "refused more"
    # The largest process's resident pages count some that are shared, on top of the limit.
    return (killed or refused) and peak <= 80 << 20, f"{how} at {peak >> 20} MiB"


def check_disk(demo, result):
    usage = result.get("usage", {})
    stopped = len([line for line in result.get("stdout", "").splitlines() if "stopped after" in line])
    used = usage.get("scratch_bytes", 1 << 60)
    held = stopped == 5 and used <= 16 << 20 and not lines(result, "GOT")
    return held, f"{stopped} places full after {used >> 20} MiB in all"


def check_wall(demo, result):
    held = result.get("limit") == "wall" and result.get("exit_code") == 124
    return held, f"ended after {result.get('usage', {}).get('wall_ms')} ms, exit {result.get('exit_code')}"


def check_output(demo, result):
    size = result.get("stdout_bytes", 1 << 60)
    held = result.get("limit") == "output" and size <= 64 << 10
    return held, f"cut after {size >> 10} KiB, exit {result.get('exit_code')}"


def check_deletion(demo, result):
    deleted = result.get("changes", {}).get("deleted", 0)
    held = "left: []" in result.get("stdout", "") and (demo.work / "data" / "iris.csv").is_file()
    return held and deleted > 0, f"{deleted} deletions staged, none applied"


def got_canary(demo, stdout, left):
    return demo.canary in stdout


def got_connection(demo, stdout, left):
    return "GOT host" in stdout


def got_rid_of_it(demo, stdout, left):
    return left == []


ATTACKS = [
    Attack("read ~/.ssh and cloud credentials", "read_secrets.py", check_nothing_got, ["mount-ns", "landlock"],
           arguments=["{home}"], absence=True, control=got_canary),
    Attack("read /etc/shadow", "read_shadow.py", check_nothing_got, ["mount-ns", "user-ns"], absence=True),
    Attack("dump the environment", "dump_environment.py", check_environment, ["pid-ns"], absence=True,
           control=got_canary),
    Attack("connect out: address, name, metadata service, host", "connect_out.py", check_nothing_got,
           ["net-ns"], arguments=["{port}"], absence=True, options=["--wall", "30s"],
           control=got_connection, control_program="connect_host.py"),
    Attack("fork bomb", "fork_bomb.py", check_fork_bomb, ["process-limit"],
           options=["--processes", "32", "--wall", "10s"], limit="processes"),
    Attack("eat all memory", "eat_memory.py", check_memory, ["memory-limit"],
           options=["--memory", "64MiB", "--wall", "20s"], limit="memory_bytes"),
    Attack("fill the disk", "fill_disk.py", check_disk, ["disk-limit"],
           options=["--disk", "16MiB", "--wall", "20s"], limit="disk_bytes"),
    Attack("run for ever, ignoring every signal", "run_forever.py", check_wall, ["pid-ns"],
           options=["--wall", "1s"], limit="wall_ms"),
    Attack("print without end", "print_endlessly.py", check_output, [],
           options=["--output", "64KiB", "--wall", "10s"], limit="output_bytes"),
    Attack("delete its workspace", "delete_workspace.py", check_deletion, ["mount-ns"],
           control=got_rid_of_it),
]
