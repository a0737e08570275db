"""A hub on this machine that a data set can be pushed to, as the hub answers its own client: git
files in commits, large files as LFS objects before them.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.pipeline.command_line import PATIENCE_SECONDS, MovingHub
from tests.pipeline.inputs.test_hub import Answer

LARGE = (".parquet", ".bin", ".idx")
REPO = "owner/name"
_DATASET = f"/api/datasets/{REPO}"


class PushedHub(MovingHub):
    """`owner/name`, which is not there before it is created.

    files: of its branch. objects: LFS objects, by sha256. sent: how often each was. private: None
    while it does not exist. commits: messages. held: (step, number) at which a request waits and is
    then dropped; waiting: whether one does. forbidden: whether nobody may write.
    """

    def __init__(self) -> None:
        super().__init__({})
        self.RequestHandlerClass = _Pushes
        self.objects: dict[str, bytes] = {}
        self.sent: Counter[str] = Counter()
        self.private: bool | None = None
        self.commits: list[str] = []
        self.held: tuple[str, int] | None = None
        self.stopped = threading.Event()
        self.forbidden = False
        self._steps: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._go = threading.Event()

    def drops(self, step: str) -> bool:
        """Count a step; at the one that is held, wait until `go_on` and say so."""
        with self._lock:
            self._steps[step] += 1
            held = self.held == (step, self._steps[step])
        if held:
            self.stopped.set()
            self._go.wait(PATIENCE_SECONDS)
        return held

    def go_on(self) -> None:
        """Hold nothing from now on."""
        self.held = None
        self._go.set()

    def entry(self, path: str) -> dict[str, Any]:
        data = self.files[path]
        entry = {"type": "file", "path": path, "size": len(data), "oid": git_sha1(data)}
        if path.endswith(LARGE):
            sha256 = hashlib.sha256(data).hexdigest()
            entry["lfs"] = {"oid": sha256, "size": len(data), "pointerSize": 130}
        return entry


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0%s" % (len(data), data)).hexdigest()


class _Pushes(Answer):
    server: PushedHub

    def do_GET(self) -> None:  # noqa: N802  # http.server's name
        path = unquote(urlsplit(self.path).path)
        if self.server.private is None:
            self.answer({"error": "no such repository"}, 404)
        elif path.startswith(f"{_DATASET}/tree/"):
            self.answer([self.server.entry(name) for name in self.server.files])
        elif path.startswith(_DATASET):
            commit = hashlib.sha1("".join(self.server.commits).encode()).hexdigest()
            self.answer({"id": REPO, "sha": commit, "private": self.server.private})
        else:
            self.answer({"error": "not served"}, 404)

    def do_PUT(self) -> None:  # noqa: N802  # http.server's name
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.drops("object"):
            self.close_connection = True
            return
        sha256 = self.path.rsplit("/", 1)[1]
        assert hashlib.sha256(body).hexdigest() == sha256
        self.server.objects[sha256] = body
        self.server.sent[sha256] += 1
        self.answer({})

    def do_POST(self) -> None:  # noqa: N802  # http.server's name
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = unquote(urlsplit(self.path).path)
        if self.server.forbidden:
            self.answer({"error": "you may not write here"}, 403)
        elif path == "/api/repos/create":
            self.create(json.loads(body))
        elif path == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
        elif path == f"{_DATASET}/preupload/main":
            self.answer({"files": [self.mode(item["path"]) for item in json.loads(body)["files"]]})
        elif path == f"/datasets/{REPO}.git/info/lfs/objects/batch":
            self.batch(json.loads(body))
        elif path == f"{_DATASET}/commit/main":
            self.commit([json.loads(line) for line in body.splitlines()])
        else:
            self.answer({"error": f"not served: {path}"}, 404)

    def create(self, asked: dict[str, Any]) -> None:
        assert (asked["organization"], asked["name"], asked["type"]) == (
            *REPO.split("/"),
            "dataset",
        )
        address = f"http://127.0.0.1:{self.server.server_address[1]}/datasets/{REPO}"
        if self.server.private is not None:
            self.answer({"error": "You already created this repo", "url": address}, 409)
            return
        self.server.private = bool(asked.get("private") or asked.get("visibility") == "private")
        self.server.files[".gitattributes"] = b"*.parquet filter=lfs\n"
        self.answer({"url": address})

    def mode(self, path: str) -> dict[str, Any]:
        entry = self.server.entry(path) if path in self.server.files else {}
        large = path.endswith(LARGE)
        return {
            "path": path,
            "uploadMode": "lfs" if large else "regular",
            "shouldIgnore": False,
            "oid": entry["lfs"]["oid"] if large and entry else entry.get("oid"),
        }

    def batch(self, asked: dict[str, Any]) -> None:
        address = f"http://127.0.0.1:{self.server.server_address[1]}/objects"
        objects = [
            {
                **item,
                **(
                    {}
                    if item["oid"] in self.server.objects
                    else {"actions": {"upload": {"href": f"{address}/{item['oid']}"}}}
                ),
            }
            for item in asked["objects"]
        ]
        self.answer({"transfer": "basic", "objects": objects})

    def commit(self, lines: list[dict[str, Any]]) -> None:
        if self.server.drops("commit"):
            self.close_connection = True
            return
        changed = {}
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                changed[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                changed[value["path"]] = self.server.objects[value["oid"]]
            else:
                assert line["key"] == "header"
                self.server.commits.append(value["summary"])
        self.server.files |= changed
        if self.server.drops("committed"):
            self.close_connection = True
            return
        address = f"http://127.0.0.1:{self.server.server_address[1]}/datasets/{REPO}"
        self.answer({"success": True, "commitOid": "c" * 40, "commitUrl": f"{address}/commit/c"})


@contextlib.contextmanager
def pushed_hub() -> Iterator[PushedHub]:
    """Serve it."""
    server = PushedHub()
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
    )
    thread.start()
    try:
        yield server
    finally:
        server.go_on()
        server.shutdown()
        server.server_close()
        thread.join()
