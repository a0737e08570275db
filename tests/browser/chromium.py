"""Chromium without a window, driven through its own debugging pipe: what a page asks of the
network, and what its console says.

Messages are JSON, ended by a NUL byte, on file descriptors 3 and 4 of the browser
(`--remote-debugging-pipe`): no driver, no port.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PATIENCE_SECONDS = (
    90  # how long an answer is waited for before the test fails; no test measures time
)
_FLAGS = (
    *(
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
    ),
    *(
        "--disable-component-update",
        "--disable-sync",
        "--disable-extensions",
        "--disable-dev-shm-usage",
        "--remote-debugging-pipe",
    ),
)


def find() -> str | None:
    """The browser's program, if there is one."""
    return next(
        (
            found
            for name in ("chromium", "chromium-browser", "google-chrome")
            if (found := shutil.which(name))
        ),
        None,
    )


@dataclass
class Visit:
    """What happened on a page. requests: addresses that were asked for; complaints: errors and
    warnings of the console and of scripts.
    """

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


class Browser:
    """One page of a running browser."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read, self._number, self._left = write, read, 0, b""
        self._session: str | None = None
        self._events: list[dict[str, Any]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Give a command of the protocol and wait for its answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self._events.append(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return dict(answer["result"])

    def visit(self, address: str) -> Visit:
        """Open a page and wait until it has loaded and nothing is under way."""
        self._events.clear()
        self.ask("Page.navigate", url=address)
        while not any(event.get("method") == "Page.loadEventFired" for event in self._events):
            self._events.append(self._next())
        self.value(
            "new Promise(done => setTimeout(done, 500))"
        )  # what a page starts when it has loaded
        found = Visit()
        for event in self._events:
            _note(event.get("method", ""), event.get("params", {}), found)
        return found

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression on the page."""
        answer = self.ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def dress(self, scheme: str, width: int, height: int = 900) -> None:
        """Prefer a colour scheme, light or dark, in a window of some size."""
        self.ask(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def picture(self, height: int) -> bytes:
        """So many pixels of the page from the top, as PNG."""
        width = self.ask("Page.getLayoutMetrics")["cssContentSize"]["width"]
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        return base64.b64decode(
            self.ask("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"]
        )

    def _next(self) -> dict[str, Any]:
        limit = time.monotonic() + PATIENCE_SECONDS
        while b"\0" not in self._left:
            assert select.select([self._read], [], [], max(0.0, limit - time.monotonic()))[0], (
                "the browser does not answer"
            )
            piece = os.read(self._read, 1 << 16)
            assert piece, "the browser has ended"
            self._left += piece
        message, _, self._left = self._left.partition(b"\0")
        return dict(json.loads(message))


def _note(method: str, said: dict[str, Any], found: Visit) -> None:
    if method == "Network.requestWillBeSent":
        found.requests.append(said["request"]["url"])
    elif method == "Runtime.exceptionThrown":
        found.complaints.append(str(said["exceptionDetails"].get("text")))
    elif method == "Runtime.consoleAPICalled":
        found.complaints.append(f"{said['type']}: {said['args']}")
    elif method == "Log.entryAdded":
        found.complaints.append(f"{said['entry']['level']}: {said['entry']['text']}")


@contextlib.contextmanager
def browser(program: str, profile: Path) -> Iterator[Browser]:
    """Start the browser with a new profile, and end it."""
    to_browser, from_browser = os.pipe(), os.pipe()

    def as_three_and_four() -> None:
        command, answer = os.dup(to_browser[0]), os.dup(from_browser[1])
        os.dup2(command, 3)
        os.dup2(answer, 4)

    process = subprocess.Popen(
        [program, *_FLAGS, f"--user-data-dir={profile}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=as_three_and_four,
        close_fds=False,
    )
    os.close(to_browser[0])
    os.close(from_browser[1])
    try:
        yield Browser(to_browser[1], from_browser[0])
    finally:
        process.kill()
        process.wait(PATIENCE_SECONDS)
        os.close(to_browser[1])
        os.close(from_browser[0])
