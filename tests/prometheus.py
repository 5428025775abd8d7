#!/usr/bin/env python3
"""A Prometheus scrapes a server that answers requests; what it then says of them is what the answers said.

    prometheus.py PROGRAM [--prometheus prometheus]

It reads /metrics with a key of the role `metrics`, as docs/security.md describes.
"""

import argparse
import json
import os
import re
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

PATIENCE = 60
CONFIG = """
global: {{ scrape_interval: 1s, scrape_timeout: 1s }}
scrape_configs:
  - job_name: whinchat
    authorization: {{ credentials: "{key}" }}
    static_configs: [{{ targets: ["{target}"] }}]
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path)
    parser.add_argument("--prometheus", default="prometheus")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        user, reader = [created(options.program, folder / "keys.json", role) for role in ("user", "metrics")]
        server, address = served(options.program, folder)
        scraper = None
        try:
            said = [asked(address, user, f"Question {number}", tokens) for number, tokens in enumerate((3, 8, 21))]
            scraper, api = scraping(options.prometheus, folder, CONFIG.format(key=reader, target=address))
            compare(api, said)
        finally:
            for process in filter(None, (scraper, server)):
                process.terminate()
                process.wait(PATIENCE)


def compare(api: str, said: list[dict]) -> None:
    """The series that Prometheus has, beside the sums of what the answers said."""
    tokens = {name: sum(usage[name] for usage in said) for name in ("prompt_tokens", "completion_tokens")}
    wanted = {
        "up": 1,
        "vllm:generation_tokens_total": tokens["completion_tokens"],
        "vllm:prompt_tokens_total": tokens["prompt_tokens"],
        'sum(vllm:request_success_total{finished_reason="length"})': len(said),
        "vllm:e2e_request_latency_seconds_count": len(said),
        'vllm:request_generation_tokens_bucket{le="10.0"}': 2,
        "vllm:num_requests_running": 0,
    }
    deadline = time.monotonic() + PATIENCE
    for query, value in wanted.items():
        while (found := values(api, query)) != [value]:
            assert time.monotonic() < deadline, f"{query}: {found}, not [{value}]; {targets(api)}"
            time.sleep(0.1)
        print(f"{query} = {value:g}")
    [median] = values(api, "histogram_quantile(0.5, vllm:time_to_first_token_seconds_bucket)")
    assert 0 < median < PATIENCE, median
    [target] = targets(api)
    assert (target["health"], target["lastError"]) == ("up", ""), target
    metadata = got(f"{api}/api/v1/metadata?metric=vllm%3Atime_to_first_token_seconds")
    assert [entry["type"] for entry in metadata["vllm:time_to_first_token_seconds"]] == ["histogram"], metadata
    print(f"half of the first tokens came within {1e3 * median:.1f} ms; no scrape failed")


def values(api: str, query: str) -> list[float]:
    """The values of a query, now."""
    found = got(f"{api}/api/v1/query?{urllib.parse.urlencode({'query': query})}")
    return [float(series["value"][1]) for series in found["result"]]


def targets(api: str) -> list[dict]:
    return got(f"{api}/api/v1/targets")["activeTargets"]


def got(url: str) -> dict:
    with urllib.request.urlopen(url, timeout=PATIENCE) as response:
        return json.load(response)["data"]


def created(program: Path, file: Path, role: str) -> str:
    """A new key of this role."""
    words = [program, "key", "create", f"a-{role}", "--file", file, "--role", role]
    said = subprocess.run([str(word) for word in words], check=True, text=True, capture_output=True)
    return re.search(r"wc-[A-Za-z0-9_-]{43}", said.stdout)[0]


def served(program: Path, folder: Path) -> tuple[subprocess.Popen, str]:
    """A server of the built-in model, and where it listens."""
    words = [program, "serve", "--listen", "127.0.0.1:0", "--api-keys", folder / "keys.json", "--threads", "1"]
    process = subprocess.Popen([str(word) for word in words], stderr=subprocess.PIPE, text=True)
    address, said = None, []
    for line in process.stderr:
        said.append(line)
        if found := re.search(r"listening on http://([0-9.:]+)", line):
            address = found[1]
        if "is ready" in line:
            # Nobody reads on: it must not wait for that.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return process, address
    raise SystemExit(f"it ended before it was ready: {''.join(said)}")


def asked(address: str, key: str, prompt: str, tokens: int) -> dict:
    """What an answer of so many tokens says of itself."""
    body = {"prompt": prompt, "max_tokens": tokens, "ignore_eos": True}
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    request = urllib.request.Request(f"http://{address}/v1/completions", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        return json.load(response)["usage"]


def scraping(prometheus: str, folder: Path, config: str) -> tuple[subprocess.Popen, str]:
    """A Prometheus with this configuration, and where it answers."""
    file = folder / "prometheus.yml"
    file.write_text(config)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [prometheus, f"--config.file={file}", f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address=127.0.0.1:{port}"]
    log = (folder / "prometheus.log").open("w")
    process = subprocess.Popen(words, stderr=log, stdout=log, env={**os.environ, "GOMAXPROCS": "1"})
    api, deadline = f"http://127.0.0.1:{port}", time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(f"{api}/-/ready", timeout=PATIENCE):
                return process, api
        except (urllib.error.URLError, ConnectionError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"Prometheus does not come: {(folder / 'prometheus.log').read_text()}") from None
            time.sleep(0.1)


if __name__ == "__main__":
    main()
