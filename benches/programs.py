"""What is measured: the tests, the models, and the two programs, each of which says its tokens per second in a test."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"

# What is measured is packed by the program that is measured, unless a script asks otherwise.
os.environ["WHINCHAT_WEIGHTS_CACHE"] = "off"

# Shapes with their vocabularies. Those of MADE_HERE are made by shapes.py, the others by random_model.py.
SHAPES = {"qwen2.5-0.5b": "qwen2", "llama3.2-1b": "llama-bpe", "qwen3.5-0.8b": "qwen2", "qwen1.5-moe-a2.7b": "qwen2",
          "llama-6-layers": "llama-spm"}
MADE_HERE = ["qwen3.5-0.8b", "qwen1.5-moe-a2.7b", "llama-6-layers"]
# The types that it writes.
WRITTEN_HERE = ["F16", "Q8_0", "Q4_0", "IQ1_S", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "TQ1_0", "TQ2_0"]


@dataclass(frozen=True)
class Test:
    """`streams` prompts are prefilled, then each gets `generate` tokens; `phase` is the part that counts."""

    name: str
    phase: str
    prompt: int
    generate: int
    streams: int = 1


TESTS = {
    "prefill": Test("prefill 512", "prefill", 512, 1),
    "decode": Test("decode, 1 stream", "decode", 1, 64),
    "batched": Test("decode, 32 streams", "decode", 128, 32, 32),
    "after4k": Test("decode after 4,096", "decode", 4096, 32),
    "after16k": Test("decode after 16,384", "decode", 16384, 32),
}


@dataclass(frozen=True)
class Model:
    """A file of random weights in a real shape."""

    shape: str
    type: str
    path: Path

    @cached_property
    def file(self):
        """The file's header."""
        from gguf import GGUFReader  # slow to load, and not needed to print the help

        return GGUFReader(self.path)

    def key(self, name: str, otherwise=None):
        """A value of the architecture."""
        fields = self.file.fields
        field = fields.get(f"{fields['general.architecture'].contents()}.{name}")
        return otherwise if field is None else field.contents()

    @cached_property
    def weights(self) -> tuple[int, int, int]:
        """Bytes that a generated token reads; numbers that a prompt's token, and a generated one, is multiplied with."""
        tensors = {tensor.name: tensor for tensor in self.file.tensors}
        table = tensors.pop("token_embd.weight")
        # A table that is not the head too is looked up, not read.
        head = tensors.pop("output.weight", table)
        used = self.key("expert_used_count", 1) / self.key("expert_count", 1)
        share = lambda tensor: used if "_exps." in tensor.name else 1
        numbers = sum(share(tensor) * int(tensor.n_elements) for tensor in tensors.values() if len(tensor.shape) > 1)
        read = sum(share(tensor) * int(tensor.n_bytes) for tensor in [*tensors.values(), head])
        return int(read), int(numbers), int(numbers) + int(head.n_elements)

    @cached_property
    def recurrent(self) -> int:
        """How many layers keep a state of fixed size, instead of positions."""
        blocks, interval = self.key("block_count"), self.key("full_attention_interval", 1)
        return blocks - blocks // interval

    @cached_property
    def position(self) -> int:
        """Bytes of a position in the KV cache, in F16."""
        head = self.key("attention.key_length", self.key("embedding_length") // self.key("attention.head_count"))
        return 2 * 2 * (self.key("block_count") - self.recurrent) * self.key("attention.head_count_kv") * head

    @cached_property
    def state(self) -> int:
        """Bytes of recurrent state that a token reads and writes, in F32."""
        return 2 * 4 * self.recurrent * self.key("ssm.inner_size", 0) * self.key("ssm.state_size", 0)


class Whinchat:
    """This program, built as for a release."""

    name = "whinchat"

    def __init__(self, threads: int):
        run("cargo", "build", "--release", "--locked", "--package", "whinchat-cli")
        self.threads = threads
        self.program = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release/whinchat"
        self.version = text(self.program, "--version")

    def rate(self, model: Model, test: Test) -> float:
        return self.rate_of(self.program, model, test)

    def rate_of(self, program: Path, model: Model, test: Test) -> float:
        """Of another build of this program."""
        work = ("--prompt", test.prompt, "--generate", test.generate, "--batch", test.streams)
        output = text(program, "bench", "--json", "--model", model.path, "--threads", self.threads, *work)
        return json.loads(output)[f"{test.phase}_tok_s"]

    def model(self, folder: Path, shape: str, type: str) -> Model:
        """The model in that folder; if it is not there it is made: random weights in F16, converted by this program."""
        path = folder / f"{shape}-{type}.gguf"
        if not path.exists():
            print(f"making {path.name}", file=sys.stderr)
            part = path.with_suffix(".part")
            vocabulary = SHARED / f"assets/tokenizers/gguf/ggml-vocab-{SHAPES[shape]}.gguf"
            if shape in MADE_HERE and type in WRITTEN_HERE:
                run(sys.executable, ROOT / "benches/shapes.py", shape, vocabulary, part, "--type", type)
            elif type == "F16":
                run(sys.executable, SHARED / "tools/random_model.py", shape, vocabulary, part)
            else:
                run(self.program, "convert", self.model(folder, shape, "F16").path, "--type", type, "--out", part, "--force")
            part.rename(path)
        return Model(shape, type, path)


class LlamaCpp:
    """llama.cpp, by its own benchmarks."""

    name = "llama.cpp"

    def __init__(self, threads: int):
        self.threads = threads
        self.folder = Path(text(ROOT / "benches/peer.sh"))
        package = next((part for part in self.folder.parts if part.startswith("llama_cpp_python-")), "")
        self.version = f"llama.cpp {package}, {self.options()}"

    def options(self) -> str:
        """What its kernels were built with."""
        cache = self.folder.parent / "CMakeCache.txt"
        lines = cache.read_text().splitlines() if cache.exists() else []
        features = ("NATIVE", "SSE", "AVX", "AMX", "FMA", "F16C", "BMI2", "CPU_REPACK", "LLAMAFILE", "OPENMP:")
        names = [line.removeprefix("GGML_") for line in lines if line.startswith("GGML_") and line.endswith(":BOOL=ON")]
        return " ".join(name.split(":")[0] for name in names if name.startswith(features))

    def rate(self, model: Model, test: Test, flash_attention: str = "auto") -> float:
        common = ("-m", model.path, "-t", self.threads, "-fa", flash_attention)
        if test.streams == 1:
            # What it generates after is its depth; a prompt is a test of its own.
            after = ("-p", 0, "-n", test.generate, "-d", test.prompt if test.prompt > 1 else 0)
            work = ("-p", test.prompt, "-n", 0) if test.phase == "prefill" else after
            return json.loads(text(self.folder / "llama-bench", *common, *work, "-r", 1, "-o", "jsonl"))["avg_ts"]
        work = ("-npp", test.prompt, "-ntg", test.generate, "-npl", test.streams)
        room = ("-c", test.streams * (test.prompt + test.generate))
        output = text(self.folder / "llama-batched-bench", *common, *work, *room, "--output-format", "jsonl")
        line = next(line for line in output.splitlines() if line.startswith("{"))
        return json.loads(line)["speed_pp" if test.phase == "prefill" else "speed_tg"]


@contextmanager
def serving(command: list, threads: int) -> Iterator[str]:
    """The address of a server on a free port, once it is ready; it ends with the block."""
    with server(command, threads) as (_, address):
        yield address


@contextmanager
def server(command: list, threads: int) -> Iterator[tuple[int, str]]:
    """As `serving`, with the number of its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = ["--listen", f"127.0.0.1:{port}"] if {"serve", "service"} & set(command) else ["--port", port]
    words = [str(word) for word in (*command, *where, "--threads", threads)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            if process.poll() is not None:
                sys.exit(f"{words[0]} ended before it was ready")
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health").close()
                break
            except OSError:
                time.sleep(0.1)
        yield process.pid, f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def limits(threads: int, read: int) -> dict:
    """What the machine can do now; `read`: bytes that a pass over the memory reads."""
    bench = ("cargo", "bench", "--locked", "--package", "whinchat-kernels", "--bench", "limits", "--")
    return json.loads(text(*bench, threads, read))


def run(*command) -> None:
    """Runs it in the repository; what it prints goes to stderr."""
    subprocess.run([str(word) for word in command], cwd=ROOT, check=True, stdout=sys.stderr)


def text(*command) -> str:
    """What it prints; what it complains of is shown if it fails."""
    done = subprocess.run([str(word) for word in command], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{done.stderr[-4000:]}\n{' '.join(done.args)}: failed with {done.returncode}")
    return done.stdout.strip()
