"""The server, as a context manager: a process of its own, on a free port."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType

from .errors import ServerError


class Server:
    """`whinchat serve` on a free port of the loopback, from the end of `__init__` until `close` (or the end of `with`).

    `arguments` are further flags of `whinchat serve`. The server is the same program that the command line starts; it runs beside this
    process, so that neither holds up the other.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *arguments: str,
        listen: str = "127.0.0.1:0",
        environment: Mapping[str, str] | None = None,
        timeout: float = 600.0,
    ) -> None:
        command = [sys.executable, "-m", "whinchat", "serve", "--listen", listen, *arguments]
        if model is not None:
            command += ["--model", os.fspath(model)]
        self._said: deque[str] = deque(maxlen=200)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
            text=True,
            errors="replace",
        )
        #: Where its API is, without the `/v1`.
        self.url = ""
        ready = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(ready,), daemon=True)
        self._reader.start()
        try:
            ready.wait(timeout)
        except BaseException:
            self.close()
            raise
        if not self.url:
            ended = not self._reader.is_alive()
            self.close()
            why = "the server ended before it was ready" if ended else f"the server was not ready after {timeout} s"
            raise ServerError(f"{why}; it said:\n{self.log.strip()}")

    def _read(self, ready: threading.Event) -> None:
        """Reads what it says until it ends, so that it never waits for a reader."""
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                self._said.append(line)
                words = line.split()
                if len(words) == 2 and words[0] == "API" and words[1].endswith("/v1"):
                    self.url = words[1][: -len("/v1")]
                    ready.set()
        ready.set()

    @property
    def api(self) -> str:
        """The address for clients of OpenAI's API: `base_url`."""
        return f"{self.url}/v1"

    @property
    def port(self) -> int:
        """The port."""
        return int(self.url.rpartition(":")[2])

    @property
    def log(self) -> str:
        """What it said of late."""
        return "".join(self._said)

    def close(self, timeout: float = 30.0) -> None:
        """Lets it finish open answers, and waits until it has ended; after `timeout` seconds it is killed."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
        self._reader.join()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def command(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Runs a command of the program in a process of its own; gives its status and what it wrote."""
    line = [sys.executable, "-m", "whinchat", *arguments]
    return subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False)
