"""An S3 server on loopback (moto, of an environment of its own), and a proxy in front of it that
does what networks do.
"""

from __future__ import annotations

import http.client
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@contextmanager
def moto_server(python: Path, log: Path) -> Iterator[int]:
    """Run moto's server; yields its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(python), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=output) as process,
    ):
        try:
            _wait_for(port, process, log)
            yield port
        finally:
            process.terminate()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError(f"moto's server ended: {log.read_text()}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError("moto's server does not listen")


class Network(ThreadingHTTPServer):
    """Forwards to the server.

    throttled: requests that are still to be answered with 503 SlowDown, 429 in turn. cut: downloads
        that are still to break off in the
    middle. refuse_after: uploads that still pass before all others are answered with 403; None: all
    pass. refused: a part of the paths whose downloads are answered with 403, and what is said.
    seen: (method, path) of what was forwarded; COPY is a PUT whose body the server has already.
    """

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Forward)
        self.port = port
        self.throttled = self.cut = 0
        self.refuse_after: int | None = None
        self.refused: tuple[str, str] | None = None
        self.seen: list[tuple[str, str]] = []
        self.lock = threading.Lock()

    @property
    def endpoint(self) -> str:
        """What AWS_ENDPOINT_URL names."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def puts(self) -> list[str]:
        """Paths of the uploads that were forwarded."""
        return [path for method, path in self.seen if method == "PUT"]

    def copied(self) -> list[str]:
        """Paths of what the server was asked to copy."""
        return [path for method, path in self.seen if method == "COPY"]


class _Forward(BaseHTTPRequestHandler):
    server: Network
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def answer(self) -> None:
        network, body = self.server, self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with network.lock:
            if network.throttled:
                network.throttled -= 1
                self.refuse(503 if network.throttled % 2 else 429, "SlowDown")
                return
            if self.command == "PUT" and network.refuse_after is not None:
                if network.refuse_after == 0:
                    self.refuse(403, "AccessDenied")
                    return
                network.refuse_after -= 1
            if (
                self.command == "GET"
                and network.refused
                and network.refused[0] in self.path.partition("?")[0]
            ):
                self.refuse(403, "AccessDenied", network.refused[1])
                return
            copy = self.command == "PUT" and "x-amz-copy-source" in self.headers
            network.seen.append(("COPY" if copy else self.command, self.path))
        upstream = http.client.HTTPConnection("127.0.0.1", network.port, timeout=60)
        upstream.request(self.command, self.path, body, dict(self.headers))
        response = upstream.getresponse()
        self.forward(response, response.read())
        upstream.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

    def forward(self, response: http.client.HTTPResponse, data: bytes) -> None:
        self.send_response(response.status)
        for name, value in response.getheaders():
            if name.lower() not in (
                "content-length",
                "connection",
                "transfer-encoding",
                "date",
                "server",
            ):
                self.send_header(name, value)
        length = response.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        with self.server.lock:
            broken = self.command == "GET" and self.server.cut > 0 and "Range" in self.headers
            self.server.cut -= broken
        self.wfile.write(data[: len(data) // 2] if broken else data)
        self.close_connection = broken or self.close_connection

    def refuse(self, status: int, code: str, message: str = "no") -> None:
        data = (
            f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
        ).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
