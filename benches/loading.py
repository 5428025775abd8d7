"""How a large model starts: how long, and how much is read and held; and what two processes share of its packed weights.

  loading.py MODEL.gguf [--receipt NAME]

Each start is `whinchat run` to the end of its first token, so the file needs a tokenizer. `dd` reads the same file to nothing, which is
the least that a cold start can take. Read bytes are what the kernel fetched from the disk for the process (/proc/PID/io). "Packed" starts
pack the weights, "keeping" also writes them to a cache, "mapped" finds them there. Then two servers run on one cache: what
/proc/PID/smaps says of its file. Linux alone.
"""

import argparse
import os
import subprocess
import tempfile
import time
from pathlib import Path

import receipts
from programs import ROOT, Whinchat, run, server

HEAD = ["start", "first token s", "dd s", "read of file", "peak memory of file", "major faults"]
SHARED_HEAD = ["server", "packed file MB", "resident MB", "proportional MB", "private MB"]
KEYS = ["Rss", "Pss", "Private_Clean", "Private_Dirty"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--receipt", default="loading")
    options = parser.parse_args()
    ours = Whinchat(options.threads)
    size = options.model.stat().st_size
    facts = {"whinchat": ours.version, "model": options.model.name, "bytes": size, "threads": options.threads}
    # On the same disk as the model, so that a cold start of both kinds reads equally fast.
    with tempfile.TemporaryDirectory(dir=options.model.parent) as cache:
        facts["starts"] = starts(ours, options.model, Path(cache))
        facts["servers"] = servers(ours, options.model, Path(cache))
    table = receipts.markdown(HEAD, [row(size, **start) for start in facts["starts"]])
    table += "\n\n" + receipts.markdown(SHARED_HEAD, [shared_row(**one) for one in facts["servers"]])
    folder = receipts.save(options.receipt, facts, table)
    print(f"{table}\n\nreceipt: {folder.relative_to(ROOT)}")


def starts(ours: Whinchat, model: Path, cache: Path) -> list[dict]:
    """One after the other: each finds what those before it left in memory and in the cache."""
    measured = []
    for start in ("packed, cold", "packed, warm", "keeping, warm", "mapped, warm", "mapped, warm again", "mapped, cold"):
        kept = "off" if start.startswith("packed") else cache
        command = [ours.program, "run", "--raw", "--temperature", "0", "-n", "1", "--model", model,
                   "--threads", ours.threads, "--weights-cache", kept, "Once"]
        files = [model, *cache.iterdir()]
        if cold := start.endswith("cold"):
            forget(files)
        least = watched(["dd", f"if={files[-1]}", "of=/dev/null", "bs=4M"])["seconds"]
        if cold:
            forget(files)
        measured.append({"start": start, "dd_seconds": least, **watched(command)})
    return measured


def servers(ours: Whinchat, model: Path, cache: Path) -> list[dict]:
    """What two servers that run at the same time hold of the file in the cache."""
    command = [ours.program, "serve", "--model", model, "--weights-cache", cache, "--context", 512]
    with server(command, ours.threads) as (first, _), server(command, ours.threads) as (second, _):
        [file] = cache.iterdir()
        return [{"server": name, "file_bytes": file.stat().st_size, **mapped(pid, file)}
                for name, pid in (("first", first), ("second", second))]


def mapped(process: int, file: Path) -> dict:
    """Bytes of a process's map of the file."""
    sums, inside = dict.fromkeys(KEYS, 0), False
    for line in Path(f"/proc/{process}/smaps").read_text().splitlines():
        key, *values = line.split()
        if not key.endswith(":"):
            inside = line.endswith(str(file.resolve()))
        elif inside and key[:-1] in sums:
            sums[key[:-1]] += 1024 * int(values[0])
    return {f"{key.lower()}_bytes": value for key, value in sums.items()}


def forget(files: list[Path]) -> None:
    """Takes files out of the page cache."""
    for path in files:
        run("sync", path)
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def watched(command: list) -> dict:
    """Runs it to its end: seconds, bytes from the disk, peak memory and major faults."""
    started = time.monotonic()
    words = [str(word) for word in command]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    read = 0
    while True:
        # Its counters are there until it is waited for.
        ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        io = Path(f"/proc/{process.pid}/io").read_text()
        read = int(io.split("read_bytes: ")[1].split()[0])
        if ended:
            break
        time.sleep(0.005)
    seconds = time.monotonic() - started
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(words)}: failed with {os.waitstatus_to_exitcode(status)}")
    return {"seconds": seconds, "read_bytes": read, "peak_bytes": usage.ru_maxrss * 1024, "major_faults": usage.ru_majflt}


def row(size: int, start: str, seconds: float, dd_seconds: float, read_bytes: int, peak_bytes: int, major_faults: int) -> list[str]:
    return [start, f"{seconds:.2f}", f"{dd_seconds:.2f}", f"{read_bytes / size:.3f}", f"{peak_bytes / size:.3f}", str(major_faults)]


def shared_row(server: str, file_bytes: int, rss_bytes: int, pss_bytes: int, private_clean_bytes: int, private_dirty_bytes: int) -> list[str]:
    figures = (file_bytes, rss_bytes, pss_bytes, private_clean_bytes + private_dirty_bytes)
    return [server, *(f"{figure / 1e6:.1f}" for figure in figures)]


if __name__ == "__main__":
    main()
