"""The quality steps that need more than arguments: language (a model file) and url (lists of
domains and addresses).
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixtures.errors import InputError, ManifestError, RecipeError
from mixtures.recipe.quality.arguments import LanguageQuality, UrlQuality
from pipeline.inputs.adapters.rows import BadRecord
from pipeline.inputs.quality.rule import Dropped, StepRule, argument_values, require_hash
from pipeline.places.places import default_cache
from pipeline.store.records import file_sha256

URL_LISTS = "url_filterblacklistsv0_3_0.tar.gz"


def language_rule(arguments: LanguageQuality) -> StepRule:
    """The rule of the step language."""
    from datatrove.data import Document
    from datatrove.utils.lid import FT176LID
    from fasttext.FastText import _FastText

    path = _language_model(arguments.model_sha256)
    identifier = FT176LID(list(arguments.languages))
    identifier._model = _FastText(str(path))  # datatrove would download its own, unchecked
    known = {label.removeprefix("__label__") for label in identifier._model.labels}
    if unknown := sorted(set(arguments.languages) - known):
        raise RecipeError(
            f"{path} knows no language {', '.join(unknown)}; it has {', '.join(sorted(known))}"
        )
    threshold = float(arguments.language_threshold)

    def rule(text: str, row: Mapping[str, Any]) -> str | Dropped:
        _, scores = identifier.predict(Document(text=text, id=""))
        return text if any(score > threshold for score in scores.values()) else Dropped("language")

    return rule


def _language_model(sha256: str) -> Path:
    from datatrove.io import cached_asset_path_or_download
    from datatrove.utils.lid import FT176LID

    path = default_cache() / "models" / "lid.176.bin"
    if not path.is_file():
        try:
            downloaded = cached_asset_path_or_download(
                FT176LID.MODEL_URL, namespace="lid", subfolder="ft176", desc="lid.176.bin"
            )
        except Exception as error:  # every file system and client has errors of its own
            why = f"{FT176LID.MODEL_URL} cannot be fetched ({type(error).__name__})"
            raise InputError(f"{path}: not there, and {why}; put it there") from None
        path = Path(downloaded)
    if (actual := file_sha256(path)) != sha256:
        raise ManifestError(
            f"{path}: has SHA-256 {actual}, the step pins {sha256}; restore the file, or name its"
            " hash"
        )
    return path


def url_rule(arguments: UrlQuality) -> StepRule:
    """The rule of the step url."""
    from datatrove.data import Document
    from datatrove.pipeline.filters import URLFilter
    from datatrove.pipeline.filters.base_filter import get_filter_result
    from tldextract import TLDExtract

    column = arguments.column
    values = argument_values((name, value) for name, value in arguments if name != "column")
    filter_ = URLFilter(**values)
    # else it fetches today's list of public suffixes
    filter_.tldextractor = TLDExtract(suffix_list_urls=(), cache_dir=None)
    if arguments.use_integrated_lists:
        _add_lists(filter_)

    def rule(text: str, row: Mapping[str, Any]) -> str | Dropped:
        url = row.get(column)
        if not isinstance(url, str) or not url:
            reason = "null-field" if url in (None, "") else "not-text"
            reason = reason if column in row else "missing-field"
            raise BadRecord(reason, f"column {column!r} holds no address for the quality step url")
        document = Document(text="", id="", metadata={"url": url})
        kept, reason = get_filter_result(filter_.filter(document))
        return text if kept else Dropped(str(reason))

    return rule


def _add_lists(filter_: Any) -> None:
    """What URLFilter.download_data does, but from the package itself: that unpacks into a shared
    cache, and reads it by the locale.
    """

    from datatrove.pipeline.filters.url_filter import get_list, parse_list
    from datatrove.utils._import_utils import ASSETS_PATH

    files = [
        Path(ASSETS_PATH, name)
        for name in (URL_LISTS, "banned_words.txt", "banned_subwords.txt", "soft_banned_words.txt")
    ]
    require_hash(
        "URL lists", hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    )
    with tarfile.open(files[0], "r:gz") as archive:
        for member, name in (("domains", "block_listed_domains"), ("urls", "block_listed_url")):
            content = archive.extractfile(member)
            assert content is not None, f"{URL_LISTS} is held to its hash and has {member}"
            getattr(filter_, name).update(
                parse_list(io.TextIOWrapper(content, "utf-8"), do_normalize=False)
            )
    for file in files[1:]:
        name = file.stem
        setattr(filter_, name, get_list(ASSETS_PATH, file.name, getattr(filter_, name)))
    for word in filter_.banned_subwords:
        filter_.banned_subwords_automaton.add_word(word, len(filter_.banned_subwords_automaton))
    filter_.banned_subwords_automaton.make_automaton()
    filter_._downloaded = True
