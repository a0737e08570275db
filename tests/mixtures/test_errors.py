"""Messages without the secrets that URLs in them may hold."""

from __future__ import annotations

import pickle

import pytest

from mixtures.errors import RecipeError, without_secrets
from tests.pipeline.command_line import run

HIDDEN = "..."


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("https://user:pa55@host/a: missing", f"https://{HIDDEN}@host/a: missing"),
        ("'s3://key@bucket/a' is", f"'s3://{HIDDEN}@bucket/a' is"),
        ("https:/user:pa55@host/a: no file", f"https:/{HIDDEN}@host/a: no file"),
        ("http://host/a?token=pa55 and more", f"http://host/a?{HIDDEN} and more"),
        ("http://u:p@h/?X-Sig=pa55", f"http://{HIDDEN}@h/?{HIDDEN}"),
        ("two: ftp://a:b@c/d, ftp://e:f@g/h", f"two: ftp://{HIDDEN}@c/d, ftp://{HIDDEN}@g/h"),
        ("hf://datasets/owner/name@0123/x", "hf://datasets/owner/name@0123/x"),
        ("what of a@b.c and C:/x@y?", "what of a@b.c and C:/x@y?"),
        ("s3://bucket/a/b@c.jsonl", "s3://bucket/a/b@c.jsonl"),
    ],
)
def test_users_passwords_and_queries_of_urls_are_not_repeated(message, shown):
    assert without_secrets(message) == shown
    error = RecipeError(message)
    assert str(error) == shown
    assert str(pickle.loads(pickle.dumps(error))) == shown


@pytest.mark.parametrize(
    "command",
    [
        ("filter", "check", "x", "--filter", "URL"),
        ("filter", "check", "URL", "--filter", "control-lists"),
        ("build", "URL", "--out", "x"),
        ("build", "sample", "--out", "URL"),
        ("plan", "sample", "--data", "URL"),
        ("audit", "URL"),
        ("trace", "URL", "--token", "1"),
        ("diff", "URL", "x"),
    ],
)
@pytest.mark.parametrize("url", ["https://user:pa55@host/a?k=pa55", "s3://pa55@bucket/a"])
def test_no_command_repeats_the_secret_of_a_url(command, url):
    ended = run(*(word.replace("URL", url) for word in command))
    assert ended.code != 0
    assert "pa55" not in ended.out + ended.err
