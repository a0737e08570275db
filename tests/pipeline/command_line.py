"""Commands as a user gives them: in this process, or as processes of their own with signals, pipes
and a loopback hub.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from annealmix import __main__ as cli
from tests.pipeline.corpus import prose
from tests.pipeline.input_files import json_lines, pack, rows_of
from tests.pipeline.inputs.test_hub import COMMIT, Answer, Hub

CHECKOUT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = (
    60  # how long a test waits for another process before it fails; no test measures time
)


class Ended(NamedTuple):
    """How a command ended: its exit code, and what it printed to stdout and to stderr."""

    code: int
    out: str
    err: str

    @property
    def answer(self) -> Any:
        """stdout, which must be one JSON value and nothing else."""
        return json.loads(self.out)

    @property
    def mix(self) -> str:
        """The identity that the command told as the last word of its line `identity HEX`."""
        return next(
            line for line in reversed(self.out.splitlines()) if line.startswith("identity ")
        ).split()[-1]


def run(*arguments: str | Path) -> Ended:
    """Give a command in this process; `build` with one worker unless it says who builds."""
    words = _words(arguments)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = cli.main(words)
        except SystemExit as ended:  # argparse: usage and --help
            code = int(ended.code or 0)
    return Ended(code, out.getvalue(), err.getvalue())


def _words(arguments: Sequence[str | Path]) -> list[str]:
    words = [str(argument) for argument in arguments]
    return (
        [*words, "--workers", "1"]
        if words[:1] == ["build"] and not {"--workers", "--executor"} & set(words)
        else words
    )


def fails(code: int, *arguments: str | Path) -> str:
    """Give a command that must end with this code, say why on stderr, print nothing to stdout and
    show no traceback. Returns stderr.
    """
    ended = run(*arguments)
    assert ended.code == code, ended.err
    assert ended.out == ""
    assert ended.err.strip()
    assert "Traceback" not in ended.err
    return ended.err


def passes(*arguments: str | Path) -> Ended:
    """Give a command that must succeed."""
    ended = run(*arguments)
    assert ended.code == 0, ended.err
    assert "Traceback" not in ended.err
    return ended


def obey_interrupts() -> None:
    """Tests that were started in the background ignore SIGINT, and so would all that they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Process:
    """`python -m annealmix` in a process group of its own; its output goes to files, so that it
    never waits for its reader.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str | Path,
        environment: Mapping[str, str] | None = None,
        stdout: int | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._out, self._err = folder / "stdout", folder / "stderr"
        surroundings = {**os.environ, "PYTHONPATH": str(CHECKOUT), **(environment or {})}
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "annealmix", *_words(arguments)],
                cwd=folder,
                env=surroundings,
                stdin=subprocess.DEVNULL,
                stdout=out if stdout is None else stdout,
                stderr=err,
                start_new_session=True,
                preexec_fn=obey_interrupts,
            )

    @property
    def err(self) -> str:
        """What it has printed to stderr so far."""
        return self._err.read_text()

    def end(self) -> Ended:
        """Wait until it has ended."""
        try:
            self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"still running after {PATIENCE_SECONDS} seconds: {self.err}"
            ) from None
        return Ended(self.process.returncode, self._out.read_text(), self.err)

    def signal(self, number: int) -> None:
        """Send a signal to the whole process group, as a terminal does."""
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """End the whole process group, whatever it does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_SECONDS)


def until(happened: Callable[[], object], process: Process | None = None) -> None:
    """Wait until something has happened; fail if it has not for long, or if the process that should
    do it has ended.
    """
    limit = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        ended = process is not None and process.process.poll() is not None
        if ended and happened():
            return
        assert not ended, f"ended before: {process.err if process else ''}"
        assert time.monotonic() < limit, f"did not happen: {process.err if process else ''}"
        time.sleep(0.02)


class _Commits(Answer):
    """Answers of a repository whose branch may move, and whose downloads may be held back."""

    server: MovingHub

    def do_GET(self) -> None:  # noqa: N802  # http.server's name
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append(path)
        if path.endswith("/revision/main"):
            self.answer({"id": "owner/name", "sha": self.server.head})
            return
        if "/resolve/" in path and self.command == "GET":
            self.server.wait_for_release(path.rsplit("/", 1)[1])
        moved = next((commit for commit in self.server.others if f"/{commit}" in path), None)
        if moved is None:
            super().do_GET()
        elif "/tree/" in path:
            self.answer([self.server.entry(name) for name in self.server.others[moved]])
        elif path.endswith(f"/revision/{moved}"):
            self.answer({"id": "owner/name", "sha": moved})
        else:
            self.answer({"error": "not served"}, 404)


class MovingHub(Hub):
    """A hub on this machine. head: the commit that `main` means now; others: {commit: listed files}
    beside COMMIT.
    asked: every path that was asked. waiting: names of the files of which a download was held back.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(files)
        self.RequestHandlerClass = _Commits
        self.head = COMMIT
        self.others: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.waiting: set[str] = set()
        self._held: Callable[[], object] = lambda: False
        self._let = threading.Event()

    def handle_error(self, *_: Any) -> None:
        """A client that was killed while it waited is no error here."""

    def hold(self, when: Callable[[], object]) -> None:
        """From now on a download that begins when `when()` is true gets no byte before
        `release`.
        """
        self._held = when

    def wait_for_release(self, name: str) -> None:
        """Hold a download back, if it is to be."""
        if self._held():
            self.waiting.add(name)
            self._let.wait(PATIENCE_SECONDS)

    def release(self) -> None:
        """Let all downloads go on, and those to come."""
        self._held = lambda: False
        self._let.set()

    def environment(self, home: Path) -> dict[str, str]:
        """What makes the hub's client ask this hub and keep its cache in `home`; empty values
        switch proxies and tokens off.
        """
        off = {
            name: ""
            for name in os.environ
            if name.lower().endswith("_proxy") or name.startswith("HF_")
        }
        address = f"http://127.0.0.1:{self.server_address[1]}"
        return {
            **off,
            "HF_ENDPOINT": address,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
        }


@contextlib.contextmanager
def moving_hub() -> Iterator[MovingHub]:
    """Serve a repository that the definitions of `corpus.write_recipe` read: `a` as jsonl.gz, `b`
    as jsonl.zst.
    """
    server = MovingHub(
        {
            f"{name}.{packing}": pack(packing, json_lines(rows_of(prose(seed, 80))))
            for name, packing, seed in HUB_FILES
        }
    )
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
    )
    thread.start()
    try:
        yield server
    finally:
        server.release()
        server.shutdown()
        server.server_close()
        thread.join()


HUB_FILES = (("a", "jsonl.gz", 41), ("b", "jsonl.zst", 42))
HUB_PACKINGS = {name: packing for name, packing, _ in HUB_FILES}
