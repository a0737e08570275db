"""URLs: what is allowed, and that nothing of a refused one is repeated; and which failures are
tried again.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable

import pytest

from annealmix import __main__ as cli
from mixtures.errors import InputError, RecipeError
from pipeline.places.files import (
    ATTEMPTS,
    LOCAL_ATTEMPTS,
    NOT_YET,
    RESOLVE_ATTEMPTS,
    attempts_at,
    error_line,
    patient,
    retried,
)
from pipeline.places.places import RemoteFolder, parse_url
from tests.pipeline.corpus import make, prose, write_files, write_recipe


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket",
        "s3://bucket/a/b",
        "gs://bucket/x",
        "hf://datasets/owner/name",
        "hf://datasets/owner/name@main/a/b",
    ],
)
def test_an_allowed_url_is_taken_as_it_is_without_a_slash_at_its_end(url):
    assert parse_url(f"{url}/") == RemoteFolder(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://host/hunter2",
        "file:///hunter2",
        "github://hunter2",
        "s3://user:hunter2@bucket/x",
        "s3://bucket/x?token=hunter2",
        "s3://bucket/../hunter2",
        "s3://bucket//hunter2",
        "s3://bucket/hunter2\nx",
        "s3://",
        "hf://hunter2/name",
        "hf://datasets/hunter2",
        "s3::hunter2://bucket",
    ],
)
def test_another_url_is_refused_and_not_repeated(url):
    with pytest.raises(RecipeError) as caught:
        parse_url(url)
    assert "hunter2" not in str(caught.value)
    assert (
        "allowed" in str(caught.value)
        or "refused" in str(caught.value)
        or "has the form" in str(caught.value)
    )


@pytest.mark.parametrize("option", ["--data", "--store", "--out"])
def test_the_command_line_refuses_a_url_with_a_password_without_repeating_it(option, capsys):
    words = ["build", "sample", "--out", "out", option, "s3://user:hunter2@bucket/x"]
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert "hunter2" not in printed.out + printed.err
    assert "environment" in printed.err


@pytest.mark.parametrize("option", ["--store", "--out"])
def test_nothing_is_written_to_the_hub(option, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["build", "sample", "--out", "out", option, "hf://datasets/owner/name"])
    assert ended.value.code == 2
    assert "s3://, gs://" in capsys.readouterr().err


class ClientError(Exception):
    """As botocore's."""

    def __init__(self, status: int, code: str = "") -> None:
        super().__init__(f"status {status}")
        self.response = {"ResponseMetadata": {"HTTPStatusCode": status}, "Error": {"Code": code}}


class NoCredentialsError(Exception):
    """As botocore's."""


def caused(outer: Exception, inner: Exception) -> Exception:
    """An exception raised from another."""
    outer.__cause__ = inner
    return outer


PASSING = [
    ClientError(429),
    ClientError(500),
    ClientError(503),
    ClientError(400, "RequestTimeout"),
    ConnectionResetError(),
    TimeoutError(),
]


class OfflineModeIsEnabled(ConnectionError):  # noqa: N818 - the name is what is recognised
    """As huggingface_hub's."""


LASTING = [
    OfflineModeIsEnabled(),
    ClientError(404),
    ClientError(403),
    ClientError(400),
    FileNotFoundError(),
    PermissionError(),
    NoCredentialsError(),
]


@pytest.fixture
def waits(monkeypatch):
    """Seconds that were waited for, without waiting."""
    seconds: list[float] = []
    monkeypatch.setattr("time.sleep", seconds.append)
    return seconds


@pytest.mark.parametrize("error", [*PASSING, caused(OSError(), ClientError(503))])
def test_what_may_pass_is_tried_again(error, waits):
    failures = [error, error]

    def action() -> str:
        if failures:
            raise failures.pop()
        return "done"

    assert attempts_at(error) == ATTEMPTS
    assert retried("s3://x: cannot be read", action) == "done"
    assert len(waits) == 2


@pytest.mark.parametrize("error", [*LASTING, caused(OSError(), ClientError(404))])
def test_what_cannot_pass_fails_at_the_first_try(error, waits):
    def action() -> None:
        raise error

    with pytest.raises(InputError, match=r"s3://x: cannot be read \("):
        retried("s3://x: cannot be read", action)
    assert waits == []


def test_a_host_that_nobody_knows_fails_after_a_few_seconds(waits):
    def action() -> None:
        with socket.create_connection(("hub.invalid", 443)):
            pass

    with pytest.raises(InputError, match=f"after {RESOLVE_ATTEMPTS} tries .gaierror: "):
        retried("hub.invalid: cannot be read", action)
    assert len(waits) == RESOLVE_ATTEMPTS - 1
    assert sum(waits) <= 3


def test_a_wait_says_what_is_tried_again_why_and_when(waits, capsys, monkeypatch):
    monkeypatch.setenv("SOME_SECRET_KEY", "hunter2hunter2")

    def action() -> None:
        raise ConnectionResetError("hunter2hunter2 is gone")

    with pytest.raises(InputError, match=f"after {ATTEMPTS} tries"):
        retried("s3://x: cannot be read", action)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        f"s3://x: cannot be read (ConnectionResetError: ... is gone); next try in {seconds:.1f} s"
        for seconds in waits
    ]
    assert [seconds <= 2**at for at, seconds in enumerate(waits)] == [True] * (ATTEMPTS - 1)
    assert sum(waits) >= 30


def test_an_error_is_told_without_queries_and_without_secrets_of_the_environment(monkeypatch):
    monkeypatch.setenv("SOME_SECRET_KEY", "hunter2hunter2")
    line = error_line(
        OSError("GET https://host/file?X-Amz-Signature=abc failed for hunter2hunter2")
    )
    assert line == "OSError: GET https://host/file?... failed for ..."


def _failing(times: int, code: int) -> Callable[[], str]:
    """What fails so often with an errno, then answers."""
    left = [OSError(code, os.strerror(code))] * times

    def action() -> str:
        if left:
            raise left.pop()
        return "there"

    return action


@pytest.mark.parametrize("code", [errno.ESTALE, errno.ENOENT])
def test_what_a_network_file_system_does_not_see_yet_is_asked_for_again(waits, capsys, code):
    assert patient("a.jsonl: cannot be opened", _failing(2, code), NOT_YET) == "there"
    assert len(waits) == 2
    assert sum(waits) < 5
    said = capsys.readouterr().err.splitlines()
    assert [line.partition("; ")[0] for line in said] == [
        f"a.jsonl: cannot be opened ({os.strerror(code)})"
    ] * 2


def test_what_stays_so_and_what_cannot_pass_is_raised(waits):
    with pytest.raises(OSError, match="Stale"):
        patient("a", _failing(LOCAL_ATTEMPTS, errno.ESTALE))
    assert len(waits) == LOCAL_ATTEMPTS - 1
    for code in (errno.ENOENT, errno.EACCES):  # a missing file is missing, where none is known of
        with pytest.raises(OSError, match=os.strerror(code)):
            patient("a", _failing(1, code))
    assert len(waits) == LOCAL_ATTEMPTS - 1


def test_a_listed_file_that_is_not_seen_at_first_is_read(tmp_path, monkeypatch, waits):
    write_files(tmp_path / "data", "a", {"0": prose(1, 9)}, "jsonl")
    recipe = write_recipe(tmp_path / "recipes", {"a": {"all": "true"}}, {"a": "jsonl"})
    before, failures = os.open, [errno.ESTALE, errno.ENOENT]

    def late(path, *more, **named):
        if str(path).endswith(".jsonl") and failures:
            raise OSError(failures[0], os.strerror(failures.pop(0)), path)
        return before(path, *more, **named)

    monkeypatch.setattr(os, "open", late)
    assert make(recipe, tmp_path, tmp_path / "data")["removed"]["a"]["kept"] == 9
    assert not failures
    assert len(waits) == 2
