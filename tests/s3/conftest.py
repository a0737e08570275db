"""An S3 server for the session, and a bucket and credentials of its own for each test."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from annealmix import __main__ as cli
from pipeline.places import files as remote
from tests.pipeline.command_line import CHECKOUT
from tests.s3.server import Network, moto_server

SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIA5ECRETKEYID01",
    "AWS_SECRET_ACCESS_KEY": "s3cr3t/value+that=nobody",
    "AWS_SESSION_TOKEN": "t0ken-of-a-session",
}


@dataclass
class Bucket:
    """A bucket and the way to it."""

    name: str
    network: Network

    @property
    def url(self) -> str:
        """Its URL."""
        return f"s3://{self.name}"

    @property
    def system(self) -> Any:
        """A client of it."""
        return remote.file_system("s3")

    def upload(self, folder: Path, prefix: str) -> str:
        """Put a folder's files below a prefix; the URL of that."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.system.pipe_file(
                    f"{self.url}/{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes()
                )
        return f"{self.url}/{prefix}"

    def names(self, prefix: str = "") -> list[str]:
        """Keys below a prefix."""
        place = f"{self.name}/{prefix}".rstrip("/")
        return [key.removeprefix(f"{place}/") for key in self.system.find(place)]


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of moto's server."""
    pytest.importorskip("s3fs", reason="needs s3fs: make test-s3")
    python = Path(os.environ.get("ANNEALMIX_MOTO") or CHECKOUT / ".venv-moto" / "bin" / "python")
    if not python.is_file():
        pytest.skip(f"needs moto's server in an environment of its own, {python}: make test-s3")
    with moto_server(python, tmp_path_factory.mktemp("moto") / "log") as port:
        yield port


@pytest.fixture
def bucket(
    moto: int, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Bucket]:
    """A new bucket behind a network that can be disturbed; retries that do not wait."""
    network = Network(moto)
    thread = threading.Thread(target=network.serve_forever, daemon=True)
    thread.start()
    for name in [
        name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")
    ]:
        monkeypatch.delenv(name)
    outside = {
        "AWS_ENDPOINT_URL": network.endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    files = {
        name: str(tmp_path / "no-such-file")
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
    }
    for name, value in (SECRETS | outside | files).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(remote, "FIRST_WAIT_SECONDS", 0.01)
    remote.file_system("s3").clear_instance_cache()
    found = Bucket(f"bucket-{abs(hash(request.node.name)) % 10**9}", network)
    found.system.mkdir(found.name)
    yield found
    network.shutdown()
    network.server_close()
    thread.join()


@pytest.fixture
def run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Run a command with its own cache: exit code and all that it printed."""

    def command(*words: Any, cache: str = "cache") -> tuple[int, str]:
        capfd.readouterr()
        more = ["--workers", "1"] if words[0] == "build" and "--workers" not in words else []
        status = cli.main([*map(str, words), *more, "--cache", str(tmp_path / cache)])
        printed = capfd.readouterr()
        return status, printed.out + printed.err

    return command
