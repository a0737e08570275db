"""The errors that a user sees, and the exit code of each.

Every message says where, what was found, what is allowed and what to do. Anything that is not one
of these is a defect of annealmix and ends with exit code 1.

| code | class | meaning |
|---|---|---|
| 1 | (any other exception) | a defect |
| 2 | RecipeError | usage or recipe |
| 3 | AuditFailed | a finished mix is not what its manifest says |
| 4 | InputError | an input is corrupt, missing or changed |
| 5 | SupplyError | the sources hold fewer tokens than the recipe asks |
| 6 | ManifestError | a manifest, record, tokenizer or filter does not match its hash |
"""

from __future__ import annotations

import re

# one slash: a URL that was taken for a path
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]+:/{1,2}"
_USER = re.compile(rf"({_SCHEME})[^/\s'\"]*@")
_QUERY = re.compile(rf"({_SCHEME}[^\s'\"?]*\?)[^\s'\"]+")
_HIDDEN = "..."  # put in twice it says the same


def without_secrets(message: str) -> str:
    """A message without what URLs in it may hold of secrets: a user and password before `@`, and a
    query, which may be a signature. The one place that decides what of a URL is repeated.
    """
    if ":/" not in message:
        return message
    return _QUERY.sub(rf"\1{_HIDDEN}", _USER.sub(rf"\1{_HIDDEN}@", message))


class AnnealmixError(Exception):
    """Base of all errors that are reported to the user without a traceback.

    Subclasses take one message string and nothing else, so that they survive the trip from a worker
    process. Secrets of URLs are taken out of it.
    """

    exit_code = 1

    def __init__(self, message: object = "") -> None:
        super().__init__(without_secrets(str(message)))


class RecipeError(AnnealmixError):
    """A recipe, an option or their combination cannot be carried out as written."""

    exit_code = 2


# An audit that fails is an answer, not an error in the program.
class AuditFailed(AnnealmixError):  # noqa: N818
    """A finished mix is not what its manifest, its recipe or its format says."""

    exit_code = 3


class InputError(AnnealmixError):
    """An input file is missing, damaged, changed or not in the layout that its source definition
    says.
    """

    exit_code = 4


class SupplyError(AnnealmixError):
    """A source holds fewer eligible tokens than the recipe asks, and its shortfall rule does not
    help.
    """

    exit_code = 5


class ManifestError(AnnealmixError):
    """A manifest, done-record, tokenizer or filter is not the one that was pinned."""

    exit_code = 6
