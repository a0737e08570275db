"""Sources, stores and mixes on S3: the same bytes as from local folders, whatever the network does;
or one clear error.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from blake3 import blake3

from annealmix import __main__ as cli
from mixtures.mix import manifest as manifests
from pipeline.build.output import remote as remote_output
from pipeline.build.output.remote import RemoteOutput
from pipeline.inputs.readers.raw import RawFile
from pipeline.places.places import parse_url
from pipeline.store.records import canonical_json
from tests.pipeline.corpus import contents, make, prose, sharded, write_files, write_recipe
from tests.pipeline.planted import HARMFUL, TERMS, planted, train
from tests.s3.conftest import SECRETS
from tests.s3.places import build, fetched

pytestmark = pytest.mark.s3


@pytest.fixture
def corpus(tmp_path: Path) -> tuple[Path, Path]:
    """A recipe of two sources, one of them parquet, and their data."""
    data = tmp_path / "data"
    write_files(data, "a", sharded(prose(1, 120), 3))
    write_files(data, "b", sharded(prose(2, 80), 2), "parquet")
    recipe = write_recipe(
        tmp_path,
        {"a": {"weight": 3}, "b": {"weight": 1}},
        {"b": "parquet"},
        budget={"tokens": 2000},
    )
    return recipe, data


def locally(corpus, run, tmp_path: Path) -> Path:
    recipe, data = corpus
    assert run(*build(recipe, data, tmp_path / "local", tmp_path / "local-store"))[0] == 0
    return tmp_path / "local"


def test_sources_store_and_mix_on_s3_give_the_bytes_of_a_local_build(bucket, corpus, run, tmp_path):
    recipe, data = corpus
    words = build(recipe, bucket.upload(data, "data"), f"{bucket.url}/mix", f"{bucket.url}/store")
    status, printed = run(*words)
    assert status == 0, printed
    local, there = locally(corpus, run, tmp_path), fetched(bucket, "mix", tmp_path / "there")
    assert contents(there) == contents(local)
    assert (there / "manifest.json").read_bytes() == (local / "manifest.json").read_bytes()
    status, printed = run("audit", f"{bucket.url}/mix")
    assert (status, "audit passed" in printed) == (0, True), printed
    status, printed = run("trace", f"{bucket.url}/mix", "--token", "5", "--json")
    assert status == 0, printed
    assert run(*words)[0] == 0, "the same command again"
    assert not list((tmp_path / "cache").glob("mix-*")), "copies of the mix are left"


def test_another_machine_finds_everything_in_the_store_and_reads_no_source(
    bucket, corpus, run, tmp_path
):
    recipe, data = corpus
    source = bucket.upload(data, "data")
    assert run(*build(recipe, source, tmp_path / "one", f"{bucket.url}/store"))[0] == 0
    bucket.network.seen.clear()
    status, printed = run(
        *build(recipe, source, tmp_path / "two", f"{bucket.url}/store"), cache="other"
    )
    assert status == 0, printed
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    read = [
        path
        for method, path in bucket.network.seen
        if method == "GET" and f"/{bucket.name}/data/" in path
    ]
    assert read == []
    assert bucket.network.puts() == []


def test_throttling_and_broken_downloads_are_waited_out(bucket, corpus, run, tmp_path):
    recipe, data = corpus
    source = bucket.upload(data, "data")
    bucket.network.throttled, bucket.network.cut = 6, 4
    status, printed = run(*build(recipe, source, tmp_path / "out", f"{bucket.url}/store"))
    assert status == 0, printed
    assert (bucket.network.throttled, bucket.network.cut) == (0, 0)
    assert contents(tmp_path / "out") == contents(locally(corpus, run, tmp_path))


def test_throttling_that_stays_fails_with_the_number_of_tries(bucket, corpus, run, tmp_path):
    recipe, data = corpus
    source = bucket.upload(data, "data")
    bucket.network.throttled = 10**6
    status, printed = run(*build(recipe, source, tmp_path / "out", tmp_path / "store"))
    assert (status, "after 8 tries" in printed) == (4, True), printed
    assert not (tmp_path / "out").exists()


def test_an_upload_that_was_interrupted_leaves_no_manifest_and_goes_on(
    bucket, corpus, run, tmp_path, monkeypatch
):
    monkeypatch.setattr(remote_output, "SHARD_BYTES", 1024)
    recipe, data = corpus
    words = build(recipe, data, f"{bucket.url}/mix", tmp_path / "store")
    bucket.network.refuse_after = 3
    status, printed = run(*words)
    assert (status, "cannot be written" in printed) == (1, True), printed
    sent = set(bucket.names("mix"))
    assert "manifest.json" not in sent
    assert len(sent) == 3
    bucket.network.refuse_after = None
    bucket.network.seen.clear()
    status, printed = run(*words)
    assert status == 0, printed
    again = {path.split("/mix/", 1)[1] for path in bucket.network.puts()}
    assert again.isdisjoint(sent - {"uploading.json"}), "what was there was sent again"
    keys = bucket.names("mix")
    assert "uploading.json" not in keys
    shards = sorted(key for key in keys if key.startswith("tokens.bin.shard-"))
    assert len(shards) == 4
    whole = b"".join(bucket.system.cat_file(f"{bucket.url}/mix/{key}") for key in shards)
    assert whole == (locally(corpus, run, tmp_path) / "tokens.bin").read_bytes()
    status, printed = run("audit", f"{bucket.url}/mix")
    assert status == 0, printed
    bucket.system.rm_file(f"{bucket.url}/mix/{shards[1]}")
    status, printed = run("audit", f"{bucket.url}/mix")
    assert (status, "3 shards there, not all" in printed) == (6, True), printed


def test_of_two_builders_of_one_mix_the_second_finds_it_sent(bucket, corpus, tmp_path):
    recipe, data = corpus
    make(recipe, tmp_path, data, out="copy")
    manifest = manifests.load(tmp_path / "copy")
    for _ in range(2):
        RemoteOutput(parse_url(f"{bucket.url}/mix"), tmp_path / "copy").send(manifest)
    assert not (tmp_path / "copy").exists()
    assert bucket.network.puts()[-1].endswith("/mix/manifest.json")
    assert "uploading.json" not in bucket.names("mix")


def test_a_plan_of_sources_on_s3_is_that_of_local_ones(bucket, corpus, capfd):
    recipe, data = corpus
    found = {}
    for where in (str(data), bucket.upload(data, "data")):
        assert cli.main(["plan", str(recipe), "--data", where, "--json"]) == 0
        found[where] = capfd.readouterr().out
    local, there = found.values()
    assert json.loads(there) == json.loads(local)
    assert json.loads(there)["sources"]["a"]["supply_basis"].startswith("probe of 3 of 3 files")


def test_an_audit_reads_what_is_there_now(bucket, corpus, run, tmp_path):
    recipe, data = corpus
    assert run(*build(recipe, data, f"{bucket.url}/mix", tmp_path / "store"))[0] == 0
    assert run("audit", f"{bucket.url}/mix")[0] == 0
    where = f"{bucket.url}/mix/tokens.bin"
    tokens = bytearray(bucket.system.cat_file(where))
    tokens[100] ^= 1
    bucket.system.pipe_file(where, bytes(tokens))
    assert run("audit", f"{bucket.url}/mix")[0] == 3


def test_an_error_of_an_audit_names_the_mix_and_not_the_copy_that_is_gone(bucket, run):
    bucket.system.pipe_file(f"{bucket.url}/mix/manifest.json", b"{")
    status, printed = run("audit", f"{bucket.url}/mix")
    assert (status, f"annealmix: {bucket.url}/mix/manifest.json: damaged" in printed) == (
        6,
        True,
    ), printed


def test_something_else_at_the_place_of_mix_or_store_is_refused(bucket, corpus, run, tmp_path):
    recipe, data = corpus
    bucket.system.pipe_file(f"{bucket.url}/taken/thesis.txt", b"x")
    status, printed = run(*build(recipe, data, f"{bucket.url}/taken", tmp_path / "store"))
    assert (status, "holds no mix" in printed) == (2, True), printed
    status, printed = run(*build(recipe, data, tmp_path / "out", f"{bucket.url}/taken"))
    assert (status, "not empty and not a store" in printed) == (2, True), printed
    status, printed = run(*build(recipe, data, f"{bucket.url}/s/mix", f"{bucket.url}/s"))
    assert (status, "one inside the other" in printed) == (2, True), printed
    assert run(*build(recipe, data, f"{bucket.url}/mix", tmp_path / "store"))[0] == 0
    other = write_recipe(tmp_path, {"a": {"weight": 1}}, name="other", budget={"tokens": 1000})
    status, printed = run(*build(other, data, f"{bucket.url}/mix", tmp_path / "store"))
    assert (status, "of another recipe or size" in printed) == (2, True), printed
    assert bucket.names("taken") == ["thesis.txt"]


def test_checksums_are_honoured_and_an_object_that_they_do_not_list_is_refused(
    bucket, corpus, run, tmp_path
):
    recipe, data = corpus
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}"
        for path in sorted((data / "a").iterdir())
    ]
    (data / "a" / "SHA256SUMS").write_text("\n".join(lines) + "\n")
    source = bucket.upload(data, "data")
    bucket.system.pipe_file(f"{source}/a/more.json.gz", b"x")
    status, printed = run(*build(recipe, source, tmp_path / "out", tmp_path / "store"))
    assert (status, "does not list more.json.gz" in printed) == (4, True), printed
    bucket.system.rm_file(f"{source}/a/more.json.gz")
    (data / "a" / "SHA256SUMS").write_text("\n".join(["0" * 64 + lines[0][64:], *lines[1:]]) + "\n")
    bucket.upload(data / "a", "data/a")
    status, printed = run(*build(recipe, source, tmp_path / "out", tmp_path / "store"))
    assert (status, f"expected sha256 {'0' * 64}" in printed) == (4, True), printed


@pytest.mark.parametrize("when", ["before it is opened", "after it is read"])
def test_an_object_that_changes_after_it_was_listed_fails(
    bucket, corpus, run, tmp_path, monkeypatch, when
):
    recipe, data = corpus
    source = bucket.upload(data, "data")
    name = "__enter__" if when == "before it is opened" else "finish"
    original = getattr(RawFile, name)

    def change(raw: RawFile) -> Any:
        if name == "finish" or raw.file.path == "part-001.json.gz":
            bucket.system.pipe_file(raw.file.url, bucket.system.cat_file(raw.file.url) + b"\0")
        return original(raw)

    monkeypatch.setattr(RawFile, name, change)
    status, printed = run(*build(recipe, source, tmp_path / "out", tmp_path / "store"))
    assert (status, "changed" in printed) == (4, True), printed
    assert not (tmp_path / "out").exists()


def test_an_unknown_bucket_and_missing_credentials_fail_at_once(
    bucket, corpus, run, tmp_path, monkeypatch
):
    recipe, _ = corpus
    status, printed = run(
        *build(recipe, "s3://no-such-bucket/data", tmp_path / "out", tmp_path / "store")
    )
    assert (status, "s3://no-such-bucket/data/a: cannot be listed" in printed) == (4, True), printed
    assert " tries" not in printed
    for name in SECRETS:
        monkeypatch.delenv(name)
    bucket.system.clear_instance_cache()
    status, printed = run(
        *build(recipe, f"{bucket.url}/data", tmp_path / "out", tmp_path / "store")
    )
    assert (status, "credentials in the environment" in printed) == (4, True), printed
    assert " tries" not in printed


def test_no_secret_of_the_environment_is_written_or_printed(bucket, corpus, run, tmp_path):
    recipe, data = corpus
    source = bucket.upload(data, "data")
    status, printed = run(*build(recipe, source, tmp_path / "out", f"{bucket.url}/store"))
    assert status == 0, printed
    bucket.system.rm_file(f"{source}/a/part-000.json.gz")
    bucket.system.pipe_file(f"{source}/a/part-009.json.gz", b"damaged")
    status, more = run(*build(recipe, source, tmp_path / "other", f"{bucket.url}/store"))
    assert status == 4, more
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    written += [bucket.system.cat_file(f"{bucket.url}/{key}") for key in bucket.names()]
    assert len(written) > 30
    for secret in SECRETS.values():
        assert secret not in printed + more
        assert not any(secret.encode() in data for data in written)


def test_a_refusal_that_repeats_the_credentials_is_told_without_them_by_worker_processes_too(
    bucket, corpus, run, tmp_path
):
    recipe, data = corpus
    source = bucket.upload(data, "data")
    said = [*SECRETS.values(), *(quote(secret, safe="") for secret in SECRETS.values())]
    bucket.network.refused = ("part-000.json.gz", f"no such key: {' '.join(said)}")
    status, printed = run(
        *build(recipe, source, tmp_path / "out", f"{bucket.url}/store"),
        "--workers",
        "2",
        "--tasks",
        "4",
    )
    assert (status, "part-000" in printed, "no such key: ..." in printed) == (
        4,
        True,
        True,
    ), printed
    assert list(tmp_path.glob("cache/stores/*/work/ingest-*/logs/*.log")), (
        "no worker process has met it"
    )
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not [
        secret
        for secret in said
        if secret in printed or any(secret.encode() in data for data in written)
    ]


def test_a_damaged_object_of_the_store_fails_the_next_machine(bucket, corpus, run, tmp_path):
    recipe, data = corpus
    assert run(*build(recipe, data, tmp_path / "one", f"{bucket.url}/store"))[0] == 0
    key = next(key for key in bucket.names("store") if key.endswith("digest"))
    where = f"{bucket.url}/store/{key}"
    bucket.system.pipe_file(where, b"\1" + bucket.system.cat_file(where)[1:])
    status, printed = run(
        *build(recipe, data, tmp_path / "two", f"{bucket.url}/store"), cache="other"
    )
    assert (status, f"{where}: not the" in printed) == (6, True), printed


@pytest.mark.parametrize(
    "output",
    [3, {"blake3": "0" * 64}, {"bytes": "1", "blake3": "0" * 64}, {"bytes": 1, "blake3": None}],
)
def test_a_record_of_the_store_that_nobody_wrote_is_refused(bucket, corpus, run, tmp_path, output):
    recipe, data = corpus
    assert run(*build(recipe, data, tmp_path / "one", f"{bucket.url}/store"))[0] == 0
    where = next(
        f"{bucket.url}/store/{key}"
        for key in bucket.names("store")
        if key.endswith("ledger/done.json")
    )
    record = {**json.loads(bucket.system.cat_file(where)), "outputs": {"digest": output}}
    del record["digest"]
    record["digest"] = blake3(canonical_json(record)).hexdigest()
    bucket.system.pipe_file(where, json.dumps(record).encode())
    status, printed = run(
        *build(recipe, data, tmp_path / "two", f"{bucket.url}/store"), cache="other"
    )
    assert (status, f"{where}: lists no outputs" in printed) == (6, True), printed


def test_a_folder_without_its_record_counts_for_nothing(bucket, corpus, run, tmp_path):
    """What an upload leaves that was stopped before its last object."""
    recipe, data = corpus
    assert run(*build(recipe, data, tmp_path / "one", f"{bucket.url}/store"))[0] == 0
    for key in bucket.names("store"):
        if key.endswith("done.json"):
            bucket.system.rm_file(f"{bucket.url}/store/{key}")
    status, printed = run(
        *build(recipe, data, tmp_path / "two", f"{bucket.url}/store"), cache="other"
    )
    assert status == 0, printed
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.fixture
def scored(tmp_path: Path) -> Callable[[str, str], list[Any]]:
    """The words of a build with a classifier, whose documents all wait for it."""
    filters = tmp_path / "filters"
    filters.mkdir()
    train(filters, "toy", TERMS, HARMFUL)
    write_files(tmp_path / "data", "a", sharded(planted(1, 200), 2))
    recipe = write_recipe(
        tmp_path,
        {"a": {"weight": 1}},
        budget={"tokens": 2000},
        filters=[{"use": "toy", "level": "weak"}],
    )
    return lambda out, store: [
        *build(recipe, tmp_path / "data", tmp_path / out, store),
        "--filters",
        filters,
    ]


def test_scores_that_were_lost_are_made_again_and_a_part_of_them_is_refused_until_it_is_deleted(
    bucket, run, scored, tmp_path
):
    store = f"{bucket.url}/store"
    assert run(*scored("one", store))[0] == 0
    keys = [key for key in bucket.names("store") if key.startswith("scores/")]
    lost = next(key for key in keys if key.endswith("p00/done.json"))
    bucket.system.rm_file(f"{store}/{lost}")
    status, printed = run(*scored("two", store), cache="other")
    increment = f"{store}/{lost.removesuffix('/p00/done.json')}"
    assert (
        status,
        f"{increment}: its scored.json is there, partitions of it are not" in printed,
    ) == (6, True), printed
    for key in bucket.names("store"):
        if f"{store}/{key}".startswith(increment):
            bucket.system.rm_file(f"{store}/{key}")
    for out, cache in (("two", "other"), ("three", "third")):
        status, printed = run(*scored(out, store), cache=cache)
        assert status == 0, printed
        assert contents(tmp_path / out) == contents(tmp_path / "one")
        assert set(keys) <= set(bucket.names("store"))


def test_escalated_texts_and_selections_are_never_sent(bucket, corpus, run, tmp_path):
    recipe, data = corpus
    words = build(recipe, data, tmp_path / "one", f"{bucket.url}/store")
    assert run(*words)[0] == 0
    (ledger,) = list((tmp_path / "cache" / "stores").glob("*/sources/a-*/*/ledger"))
    shutil.copytree(ledger, ledger.parent / "texts-0123456789abcdef-0-1")
    shutil.rmtree(tmp_path / "one")
    assert run(*words)[0] == 0
    keys = bucket.names("store")
    assert any("/ledger/done.json" in key for key in keys)
    assert not [key for key in keys if "texts-" in key or key.startswith(("select", "work"))]
