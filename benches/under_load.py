#!/usr/bin/env python3
"""What the engine keeps of its promises under load, over HTTP: this program alone.

    under_load.py MODEL.gguf [--tests turns,http,mixed,masks,queued,vanished,simulated,demo] [--receipt NAME]

turns      a conversation's later turns, with the KV cache found again and with none
http       tokens per second of 32 streams, over HTTP and by `bench --batch 32`
mixed      time between tokens of eight streams, quiet and while prompts of 4,000 tokens come
masks      time between tokens of eight streams, free and held to a JSON schema
queued     1,000 requests at once for 32 places: how many are answered, and the memory
vanished   500 clients that leave in the middle of their streams: when everything is free again
simulated  first tokens of a trace, as `simulate --measure` foretells them, as the server does when each comes, and as they come
demo       the built-in model under wrk: one client, and 100 at once

It needs httpx; `demo` needs wrk. Prompts are token ids by chance.
"""

import argparse
import asyncio
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

import receipts
from programs import ROOT, Whinchat, serving, text

VOCAB = 100_000
STREAMS = 32


def main() -> None:
    tests = {test.__name__: test for test in (turns, http, mixed, masks, queued, vanished, simulated, demo)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--tests", type=lambda text: text.split(","), default=list(tests))
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--receipt", default="under-load")
    options = parser.parse_args()
    ours = Whinchat(options.threads)
    facts = {"model": options.model.name, "whinchat": ours.version, "threads": options.threads, "figures": {}}
    for name in options.tests:
        facts["figures"][name] = tests[name](ours.program, options)
        print(name, json.dumps(facts["figures"][name]), file=sys.stderr)
    rows = [[name, figure, f"{value:.3f}" if isinstance(value, float) else str(value)]
            for name, figures in facts["figures"].items() for figure, value in figures.items()]
    table = receipts.markdown(["test", "figure", "value"], rows)
    folder = receipts.save(options.receipt, facts, table)
    print(f"{table}\n\nreceipt: {folder.relative_to(ROOT)}")


class Server:
    """A running server, and what is asked of it."""

    def __init__(self, program, options, *flags, model=True):
        chosen = ["--model", options.model] if model else []
        self.context = serving([program, "serve", *chosen, *flags], options.threads)

    def __enter__(self):
        self.address = self.context.__enter__()
        return self

    def __exit__(self, *error):
        return self.context.__exit__(*error)

    def scheduler(self) -> dict:
        return httpx.get(f"{self.address}/v1/scheduler").json()

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.address, timeout=None, limits=httpx.Limits(max_connections=None))

    def memory(self) -> float:
        """Megabytes that the process has in memory."""
        port = self.address.rsplit(":", 1)[1]
        pid = next(pid for pid in os.listdir("/proc") if pid.isdigit() and f":{port}".encode() in arguments(pid))
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def arguments(pid: str) -> bytes:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
    return words if b"whinchat\0" in words and b"\0serve\0" in words else b""


def tokens(chance: random.Random, count: int) -> list[int]:
    return [chance.randrange(VOCAB) for _ in range(count)]


async def stream(client: httpx.AsyncClient, prompt: list[int], most: int, **more) -> list[float]:
    """Sends it, and gives when it was sent and when each token came, in seconds."""
    body = {"prompt": prompt, "max_tokens": most, "temperature": 0, "ignore_eos": True, "stream": True, **more}
    times = [time.perf_counter()]
    async with client.stream("POST", "/v1/completions", json=body) as answer:
        if answer.status_code != 200:
            raise RuntimeError((await answer.aread()).decode())
        async for line in answer.aiter_lines():
            if line.startswith("data: {") and '"choices":[{' in line:
                times.append(time.perf_counter())
    return times


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def turns(program, options) -> dict:
    """Five turns of a message of 200 words and an answer of 64, each with all that was before."""

    async def talk(client, salt, words) -> list[float]:
        chance, said, took = random.Random(salt), "", []
        for turn in range(5):
            said += "".join(chance.choice(list(words)) for _ in range(200))
            # The answer is of these words too, so that its text has the same tokens when it comes back.
            body = {"prompt": said, "max_tokens": 64, "temperature": 1, "seed": salt, "ignore_eos": True,
                    "allowed_token_ids": list(words.values()), "cache_salt": f"{salt} {turn if salt % 2 else ''}"}
            began = time.perf_counter()
            answer = (await client.post("/v1/completions", json=body)).json()
            took.append(time.perf_counter() - began)
            said += answer["choices"][0]["text"]
        print(answer["usage"], file=sys.stderr)
        return took[1:]

    async def both(server):
        async with server.client() as client:
            words = {}
            for word in " time year people way day man thing woman life child world school state family student group".split():
                ids = (await client.post("/tokenize", json={"prompt": f" {word}", "add_special_tokens": False})).json()["tokens"]
                words |= {f" {word}": ids[0]} if len(ids) == 1 else {}
            await talk(client, 98, words)
            return [sum([sum(await talk(client, salt + 2 * round, words)) for round in range(2)]) for salt in (0, 1)]

    with Server(program, options, "--context", 4096) as server:
        found, anew = asyncio.run(both(server))
    return {"with_cache_s": found, "without_s": anew, "saved": 1 - found / anew}


def http(program, options) -> dict:
    """The same work both ways: prompts of 128 tokens, then 128 of each stream. The client only counts: it shares the cores."""

    async def count(address, prompt) -> list[float]:
        """When each event came."""
        reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rsplit(":", 1)[1]))
        body = json.dumps({"prompt": prompt, "max_tokens": 128, "temperature": 0, "ignore_eos": True, "stream": True})
        writer.write(f"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())
        times = []
        while part := await reader.read(1 << 16):
            times += [time.perf_counter()] * part.count(b"data: {")
        writer.close()
        return times

    async def all_at_once(address):
        chance = random.Random(1)
        return await asyncio.gather(*(count(address, tokens(chance, 128)) for _ in range(STREAMS)))

    found = []
    for _ in range(3):
        flags = ["--context", 512, "--kv-tokens", 512 * STREAMS, "--max-sequences", STREAMS, "--no-prefix-cache"]
        with Server(program, options, *flags) as server:
            asyncio.run(all_at_once(server.address))
            times = asyncio.run(all_at_once(server.address))
        # While all streams decode: from the last one's first token to the first one's last.
        begin, end = max(run[0] for run in times), min(run[-1] for run in times)
        over_http = sum(begin < at <= end for run in times for at in run) / (end - begin)
        work = ("--prompt", 128, "--generate", 128, "--batch", STREAMS)
        bench = text(program, "bench", "--json", "--model", options.model, "--threads", options.threads, *work)
        found.append((over_http, json.loads(bench)["decode_tok_s"]))
    over_http, alone = (sum(rates) / len(rates) for rates in zip(*found))
    return {"http_tok_s": over_http, "bench_tok_s": alone, "ratio": over_http / alone}


def mixed(program, options) -> dict:
    """Eight streams that decode; then prompts of 4,000 tokens come, one after the other."""

    async def run(server, goal):
        chance = random.Random(2)
        async with server.client() as client:
            streams = [asyncio.create_task(stream(client, tokens(chance, 32), 600)) for _ in range(8)]
            await asyncio.sleep(4)
            came = time.perf_counter()
            firsts = [(await stream(client, tokens(chance, 4000), 1)) for _ in range(2)]
            left = time.perf_counter()
            runs = await asyncio.gather(*streams)
        gaps = [(b, b - a) for run in runs for a, b in zip(run[1:], run[2:])]
        begun = max(run[1] for run in runs)
        quiet = percentile([gap for at, gap in gaps if begun + 1 < at < came], 0.99) * 1e3
        busy = percentile([gap for at, gap in gaps if came < at < left], 0.99) * 1e3
        first = sum(at[1] - at[0] for at in firsts) / len(firsts)
        return {f"quiet_p99_ms{goal}": quiet, f"busy_p99_ms{goal}": busy, f"ratio{goal}": busy / quiet, f"long_first_s{goal}": first}

    found = {}
    for goal, flags in (("", []), (" (--max-step-ms 35)", ["--max-step-ms", 35])):
        with Server(program, options, "--context", 4608, "--kv-tokens", 16384, *flags) as server:
            found |= asyncio.run(run(server, goal))
    return found


def masks(program, options) -> dict:
    """Eight streams of 128 tokens: any text, then lists of objects with names, numbers and choices."""
    item = {"type": "object", "additionalProperties": False, "required": ["name", "count", "kind"], "properties": {
        "name": {"type": "string"}, "count": {"type": "integer"}, "kind": {"enum": ["bird", "tree", "stone"]}}}
    schema = {"type": "array", "items": item, "minItems": 100}

    async def run(server):
        chance, found = random.Random(6), {}
        async with server.client() as client:
            for name, more in (("warm", {"structured_outputs": {"json": schema}}), ("free", {}), ("held", {"structured_outputs": {"json": schema}})) * 2:
                runs = [stream(client, tokens(chance, 32), 128, **more, **{"temperature": 1, "seed": seed}) for seed in range(8)]
                gaps = [(b - a) * 1e3 for times in await asyncio.gather(*runs) for a, b in zip(times[4:], times[5:])]
                found |= {f"{name}_p50_ms": percentile(gaps, 0.5), f"{name}_p99_ms": percentile(gaps, 0.99)}
        return {name: value for name, value in found.items() if not name.startswith("warm")}

    with Server(program, options, "--context", 512) as server:
        return asyncio.run(run(server))


def queued(program, options) -> dict:
    """1,000 requests of 32 tokens, with answers of 4."""

    async def run(server):
        chance = random.Random(3)
        async with server.client() as client:
            warm = [stream(client, tokens(chance, 32), 4) for _ in range(2 * STREAMS)]
            await asyncio.gather(*warm)
            before = server.memory()
            runs = [asyncio.create_task(stream(client, tokens(chance, 32), 4)) for _ in range(1000)]
            waiting = most = 0
            while not all(run.done() for run in runs):
                await asyncio.sleep(0.5)
                waiting = max(waiting, (await client.get("/v1/scheduler")).json()["queued_tasks"])
                most = max(most, server.memory())
            ended = await asyncio.gather(*runs, return_exceptions=True)
        answered = sum(isinstance(times, list) and len(times) > 1 for times in ended)
        errors = {str(problem)[:200] for problem in ended if isinstance(problem, Exception)}
        return {"answered": answered, "errors": len(errors), "waiting_at_most": waiting, "memory_mb_before": before, "memory_mb_most": most}

    with Server(program, options, "--context", 512, "--kv-tokens", 512 * STREAMS, "--max-sequences", STREAMS) as server:
        return asyncio.run(run(server))


def vanished(program, options) -> dict:
    """500 clients at once; each leaves after its first token, or when it has waited for two seconds."""

    async def leave(client, chance):
        body = {"prompt": tokens(chance, 32), "max_tokens": 400, "ignore_eos": True, "stream": True}
        async with client.stream("POST", "/v1/completions", json=body) as answer:
            async for line in answer.aiter_lines():
                await asyncio.sleep(60)

    async def run(server):
        chance = random.Random(4)
        async with server.client() as client:
            runs = [asyncio.create_task(leave(client, chance)) for _ in range(500)]
            await asyncio.sleep(10)
            state = (await client.get("/v1/scheduler")).json()
            for task in runs:
                task.cancel()
            await asyncio.gather(*runs, return_exceptions=True)
        left = time.perf_counter()
        while True:
            now = server.scheduler()
            if not now["running"] and not now["waiting"]:
                return {"running_before": len(state["running"]), "queued_before": state["queued_tasks"], "free_after_s": time.perf_counter() - left,
                        "blocks_free": now["kv_blocks"]["free"] / now["kv_blocks"]["total"]}
            if time.perf_counter() - left > 30:
                return {"left": len(now["running"])}
            await asyncio.sleep(0.02)

    with Server(program, options, "--context", 512, "--kv-tokens", 512 * STREAMS, "--max-sequences", STREAMS) as server:
        return asyncio.run(run(server))


def simulated(program, options) -> dict:
    """200 requests of a trace with conversations' lengths, at about the rate that the machine can have."""
    chance = random.Random(5)
    at, jobs = 0.0, []
    for _ in range(150):
        at += chance.expovariate(2.0)
        jobs.append((at, min(1500, int(chance.lognormvariate(4.8, 0.8)) + 8), min(96, int(chance.lognormvariate(3.3, 0.7)) + 2)))

    async def run(server):
        async with server.client() as client:
            async def later(at, prompt, answer):
                await asyncio.sleep(began + at - time.perf_counter())
                return await stream(client, tokens(chance, prompt), answer)

            await stream(client, tokens(chance, 500), 8)
            began = time.perf_counter()
            return await asyncio.gather(*(later(*job) for job in jobs))

    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder, "trace.jsonl")
        lines = [{"timestamp": int(at * 1e3), "input_length": prompt, "output_length": answer,
                  "hash_ids": [number * 8 + part for part in range((prompt + 511) // 512)]} for number, (at, prompt, answer) in enumerate(jobs)]
        trace.write_text("".join(json.dumps(line) + "\n" for line in lines))
        told = json.loads(text(program, "simulate", "--trace", trace, "--measure", options.model, "--json"))
    with Server(program, options, "--context", 2048, "--kv-tokens", 2048 * STREAMS, "--max-sequences", STREAMS) as server:
        runs, foretold_live = asyncio.run(run(server)), server.scheduler()["predictions"]
    firsts = [(times[1] - times[0]) * 1e3 for times in runs]
    found = {"foretold_at_arrival_off": foretold_live["first_token_error"], "inside_bounds_of_90": foretold_live["inside_90"]}
    for share in (50, 90, 99):
        real, foretold = percentile(firsts, share / 100), told["first_token_ms"][f"p{share}"]
        found |= {f"first_token_p{share}_ms": real, f"simulated_p{share}_ms": foretold, f"off_p{share}": foretold / real - 1}
    return found


def demo(program, options) -> dict:
    """Short answers of the built-in model: one client, then 100 that ask for one token each."""
    found = {}
    with Server(program, options, "--max-sequences", 128, model=False) as server, tempfile.TemporaryDirectory() as folder:
        for name, most, threads, clients in (("one", 16, 1, 1), ("hundred", 1, 2, 100)):
            body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": most, "temperature": 0}
            script = Path(folder, f"{name}.lua")
            script.write_text('wrk.method = "POST"\nwrk.headers["content-type"] = "application/json"\n'
                              f"wrk.body = '{json.dumps(body)}'\n")
            before = busy()
            said = text("wrk", f"-t{threads}", f"-c{clients}", "-d10s", "--latency", "-s", script, f"{server.address}/v1/chat/completions")
            after = busy()
            found |= {f"{name}_requests_s": float(re.search(r"Requests/sec:\s+([0-9.]+)", said)[1]),
                      f"{name}_p99": re.search(r"99%\s+(\S+)", said)[1],
                      f"{name}_refused": int((re.search(r"Non-2xx.*: (\d+)", said) or [0, 0])[1]),
                      f"{name}_cpu_busy": (after[0] - before[0]) / (after[1] - before[1])}
    return found


def busy() -> tuple[int, int]:
    """Jiffies of all cores: those in use, and all."""
    numbers = [int(word) for word in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return sum(numbers) - numbers[3] - numbers[4], sum(numbers)


if __name__ == "__main__":
    main()
