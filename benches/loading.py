#!/usr/bin/env python3
"""Measures how a large file is loaded: time, bytes read from the disk, and memory, from a cold and from a warm page cache.

    loading.py MODEL.gguf [--receipt NAME]

`whinchat bench` loads the model and decodes one token; `dd` reads the same file to nothing, which is the least that a cold start
can take. Read bytes are what the kernel fetched from the disk for the process (/proc/PID/io): beyond the file's size, something
is read twice. Linux alone.
"""

import argparse
import os
import subprocess
import time
from pathlib import Path

import receipts
from programs import ROOT, Whinchat, run

HEAD = ["start", "whinchat s", "dd s", "read of file", "peak memory of file", "major faults"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--receipt", default="loading")
    options = parser.parse_args()
    ours = Whinchat(options.threads)
    size = options.model.stat().st_size
    command = [ours.program, "bench", "--json", "--model", options.model, "--threads", options.threads,
               "--prompt", 1, "--generate", 1, "--batch", 1]
    facts = {"whinchat": ours.version, "model": options.model.name, "bytes": size, "threads": options.threads, "starts": []}
    for start in ("cold", "warm"):
        if start == "cold":
            forget(options.model)
        least = watched(["dd", f"if={options.model}", "of=/dev/null", "bs=4M"])["seconds"]
        if start == "cold":
            forget(options.model)
        facts["starts"].append({"start": start, "dd_seconds": least, **watched(command)})
    table = receipts.markdown(HEAD, [row(size, **start) for start in facts["starts"]])
    folder = receipts.save(options.receipt, facts, table)
    print(f"{table}\n\nreceipt: {folder.relative_to(ROOT)}")


def forget(path: Path) -> None:
    """Takes a file out of the page cache."""
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


if __name__ == "__main__":
    main()
