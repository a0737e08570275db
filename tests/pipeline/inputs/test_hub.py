"""Sources of the hub: the real client against a server on this machine that answers as the hub
does.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixtures.errors import InputError
from pipeline.inputs.readers.remote import RetryingStream
from pipeline.places import files as remote
from tests.pipeline.input_files import json_lines, pack, rows_of, texts

CHECKOUT = Path(__file__).resolve().parents[3]
COMMIT = "c0ffee" * 6 + "c0ff"
TEXTS = texts(300)

READ_ALL = """
import json, sys
from mixtures.errors import InputError
from pathlib import Path
from pipeline.places import files as remote
from pipeline.inputs.listing import list_files
from pipeline.inputs.survey import frozen
from pipeline.places.places import parse_url
from pipeline.inputs.readers import DocumentReader
from pipeline.store.store import Store
from tests.pipeline.input_files import definition
remote.FIRST_WAIT_SECONDS = 0.01
packing, revision, pattern, store = sys.argv[1:]
source = definition(packing, revision=revision, paths=("*",) if "://" in pattern else (pattern,))
try:
    if store:
        source = frozen(Store(Path(store)), source)
    for file in list_files(source, parse_url(pattern) if pattern.startswith("hf://") else None):
        reader = DocumentReader(file, source)
        texts = [text for _, text in reader]
        row = [file.path, file.url, file.size, file.etag, file.sha256, reader.sha256, texts]
        print(json.dumps(row))
except InputError as error:
    print(json.dumps(str(error)))
"""


class Hub(ThreadingHTTPServer):
    """A repository owner/name with these files, in which `main` is COMMIT."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.files = files
        self.listed = dict(files)  # what the listing speaks of, which need not be what is served
        self.cut: set[str] = set()  # paths whose next download breaks off in the middle
        self.main = COMMIT  # what the branch means
        self.throttled = 0  # answers that are still to be 429
        self.answered = 0

    def entry(self, path: str) -> dict[str, Any]:
        data = self.listed[path]
        sha256 = hashlib.sha256(data).hexdigest()
        return {
            "type": "file",
            "path": path,
            "size": len(data),
            "oid": sha256[:40],
            "lfs": {"oid": sha256, "size": len(data), "pointerSize": 130},
        }


class Answer(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def answer(self, value: Any, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        if status == 404:
            self.send_header("X-Error-Code", "RevisionNotFound")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        asked = (
            json.loads(body)["paths"] if body.startswith("{") else parse_qs(body).get("paths", [])
        )
        self.answer([self.server.entry(path) for path in asked if path in self.server.files])

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.answered += 1
        if self.server.throttled:
            self.server.throttled -= 1
            self.answer({"error": "slow down"}, 429)
        elif path.startswith(f"/api/datasets/owner/name/tree/{COMMIT}"):
            below = path.split(f"/tree/{COMMIT}", 1)[1].strip("/")
            self.answer(
                [
                    self.server.entry(name)
                    for name in self.server.listed
                    if f"{name}/".startswith(f"{below}/" if below else "")
                ]
            )
        elif path in ("/api/datasets/owner/name/revision/main", "/api/datasets/owner/name"):
            self.answer({"id": "owner/name", "sha": self.server.main})
        elif path == f"/api/datasets/owner/name/revision/{COMMIT}":
            self.answer({"id": "owner/name", "sha": COMMIT})
        elif path.startswith(f"/datasets/owner/name/resolve/{COMMIT}/"):
            self.download(path.split(f"/{COMMIT}/", 1)[1])
        else:
            self.answer({"error": "not found"}, 404)

    def download(self, name: str) -> None:
        if name not in self.server.files:
            self.answer({"error": "gone"}, 404)
            return
        data = self.server.files[name]
        start, stop = 0, len(data)
        if wanted := self.headers.get("Range"):
            first, last = wanted.removeprefix("bytes=").split("-")
            start, stop = int(first), min(stop, int(last) + 1) if last else stop
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
        self.send_header("Content-Length", str(stop - start))
        self.send_header("ETag", f'"{self.server.entry(name)["oid"]}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "GET":
            broken = name in self.server.cut
            self.server.cut.discard(name)
            self.wfile.write(data[start : (start + stop) // 2 if broken else stop])
        self.close_connection = True


@pytest.fixture
def hub() -> Iterator[Hub]:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": TEXTS}), sink)
    lines = json_lines(rows_of(TEXTS))
    files = {
        "README.md": b"# card",
        "data/a/x.parquet": sink.getvalue().to_pybytes(),
        "data/b.jsonl.zst": pack("jsonl.zst", lines),
        "data/b.json.gz": pack("jsonl.gz", lines),
    }
    server = Hub(files)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def read_all(
    hub: Hub,
    home: Path,
    packing: str,
    pattern: str = "data/**",
    revision: str = "main",
    store: Path | str = "",
    **more: str,
) -> list[Any]:
    """List and read in a process of its own, since the hub's client takes its address from the
    environment once.

    Args:
        pattern: of the definition, or a URL of hf:// to read instead. store: freezes the revision.
            more: of the environment.
    """
    kept = {
        key: value
        for key, value in os.environ.items()
        if not (key.lower().endswith("_proxy") or key.startswith("HF_"))
    }
    address = f"http://127.0.0.1:{hub.server_address[1]}"
    environment = {
        **kept,
        "HF_ENDPOINT": address,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
    }
    command = [sys.executable, "-c", READ_ALL, packing, revision, pattern, str(store)]
    done = subprocess.run(
        command,
        cwd=CHECKOUT,
        env=environment | more,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("packing", "path"),
    [
        ("parquet", "data/a/x.parquet"),
        ("jsonl.zst", "data/b.jsonl.zst"),
        ("jsonl.gz", "data/b.json.gz"),
    ],
)
def test_a_branch_is_resolved_to_its_commit_and_read_with_the_hubs_hash_as_the_pin(
    hub, tmp_path, packing, path
):
    entry = hub.entry(path)
    sha256 = entry["lfs"]["oid"]
    url = f"hf://datasets/owner/name@{COMMIT}/{path}"
    assert read_all(hub, tmp_path, packing) == [
        [path, url, entry["size"], entry["oid"], sha256, sha256, TEXTS]
    ]


def test_content_that_is_not_what_the_hub_lists_fails(hub, tmp_path):
    """The time in the gzip header: another file of the same size and with the same rows."""
    data = hub.files["data/b.json.gz"]
    hub.files["data/b.json.gz"] = data[:4] + b"\x01" + data[5:]
    (message,) = read_all(hub, tmp_path, "jsonl.gz")
    assert message.startswith(
        f"hf://datasets/owner/name@{COMMIT}/data/b.json.gz: expected sha256"
        f" {hashlib.sha256(data).hexdigest()}"
    )


def test_a_download_that_breaks_off_is_taken_up_again(hub, tmp_path):
    hub.cut = {"data/b.json.gz"}
    ((*_, found),) = read_all(hub, tmp_path, "jsonl.gz")
    assert found == TEXTS
    assert not hub.cut


def test_throttling_is_waited_out(hub, tmp_path):
    hub.throttled = 4
    ((*_, found),) = read_all(hub, tmp_path, "jsonl.gz")
    assert found == TEXTS
    assert hub.throttled == 0


def test_a_branch_that_moves_is_still_read_at_the_commit_that_the_store_froze(hub, tmp_path):
    before = read_all(hub, tmp_path, "jsonl.gz", store=tmp_path / "store")
    hub.main = "dead" * 10
    assert read_all(hub, tmp_path, "jsonl.gz", store=tmp_path / "store") == before
    (message,) = read_all(hub, tmp_path, "jsonl.gz", store=tmp_path / "new")
    assert "the hub could not be read" in message, "the new commit has no files here"


def test_a_file_that_vanishes_after_it_was_listed_fails_at_once_and_names_no_token(hub, tmp_path):
    del hub.files["data/b.json.gz"]
    (message,) = read_all(hub, tmp_path, "jsonl.gz", HF_TOKEN="hf_s3cr3tOfNobody")
    assert message.startswith(
        f"hf://datasets/owner/name@{COMMIT}/data/b.json.gz: cannot be read at byte 0"
    )
    assert " tries" not in message
    assert "s3cr3t" not in message
    assert hub.answered < 12


def test_a_folder_of_the_hub_is_read_at_its_commit_as_a_source_of_the_published_layout(
    hub, tmp_path
):
    ((path, url, *_, found),) = read_all(
        hub, tmp_path, "parquet", pattern="hf://datasets/owner/name@main/data"
    )
    assert (path, url, found) == (
        "a/x.parquet",
        f"hf://datasets/owner/name@{COMMIT}/data/a/x.parquet",
        TEXTS,
    )


def test_checksums_in_a_folder_of_the_hub_may_list_its_hidden_files(hub, tmp_path):
    paths = ("data/.gitattributes", "data/a/x.parquet")
    hub.files["data/.gitattributes"] = hub.listed["data/.gitattributes"] = b"*.parquet lfs"
    sums = {path: hashlib.sha256(hub.files[path]).hexdigest() for path in paths}
    lines = "".join(f"{sha256}  {path.removeprefix('data/')}\n" for path, sha256 in sums.items())
    hub.files["data/SHA256SUMS"] = hub.listed["data/SHA256SUMS"] = lines.encode()
    ((path, *_, pinned, _, _),) = read_all(
        hub, tmp_path, "parquet", pattern="hf://datasets/owner/name@main/data"
    )
    assert (path, pinned) == ("a/x.parquet", sums["data/a/x.parquet"])


def test_case_19_a_pattern_that_matches_nothing_there_fails(hub, tmp_path):
    (message,) = read_all(hub, tmp_path, "parquet", pattern="gone/*")
    assert "'gone/*' matches no .parquet file of owner/name@main (1 such files there)" in message


def test_a_revision_that_the_hub_does_not_know_fails(hub, tmp_path):
    (message,) = read_all(hub, tmp_path, "parquet", revision="gone")
    assert message.startswith("owner/name@gone: the hub could not be read")
    assert "--data" in message


class FlakyFile:
    """Bytes at an offset whose connection breaks at the given offsets, once each."""

    def __init__(self, data: bytes, offset: int, breaks: set[int]) -> None:
        self.data, self.offset, self.breaks = data, offset, breaks

    def read(self, num_bytes: int) -> bytes:
        if self.offset in self.breaks:
            self.breaks.discard(self.offset)
            raise ConnectionResetError("gone")
        block = self.data[self.offset : self.offset + num_bytes]
        self.offset += len(block)
        return block

    def close(self) -> None:
        raise ConnectionResetError("gone")


def test_a_remote_stream_goes_on_where_its_connection_broke(monkeypatch):
    monkeypatch.setattr(remote, "FIRST_WAIT_SECONDS", 0)
    data, breaks = bytes(range(100)), {0, 30, 90, 100}
    stream = RetryingStream("hf://x", lambda offset: FlakyFile(data, offset, breaks))
    assert b"".join(iter(lambda: stream.read(10), b"")) == data
    assert not breaks
    stream.close()


def test_a_remote_stream_that_stays_broken_fails_by_name_and_offset(monkeypatch):
    monkeypatch.setattr(remote, "FIRST_WAIT_SECONDS", 0)
    stream = RetryingStream("hf://x/y", lambda offset: FlakyFile(b"a" * 20, offset, {10}))
    assert stream.read(10) == b"a" * 10
    with pytest.raises(
        InputError, match=r"hf://x/y: cannot be read at byte 10 after 8 tries .*--data"
    ):
        stream.read(10)
