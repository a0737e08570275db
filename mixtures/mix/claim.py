"""What every part of a manifest is made of: strict values, and objects that say again exactly what
they were read from or made of.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from mixtures.keys import KEY_SPACE, KeyRange

MAX_COUNT = 1 << 52  # above any token count, and below where float64 would round a midpoint
Count = Annotated[int, Field(ge=0, lt=MAX_COUNT)]
Positive = Annotated[int, Field(ge=1, lt=MAX_COUNT)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Key = Annotated[str, Field(pattern=r"^(0|[1-9a-f][0-9a-f]{0,16})$")]


class Claim(BaseModel):
    """Part of a manifest: strict types, and no field that its format does not have, since no check
    could hold it against anything.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    def as_json(self) -> dict[str, Any]:
        """The object of the manifest: the fields that it was read with or made of, and no others,
        so that a field with a default stands there only if it was given.
        """
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class KeysClaim(Claim):
    """What has a key range."""

    keys: Annotated[list[Key], Field(min_length=2, max_length=2)]
    """[low, high) of the order keys, in hex."""

    @property
    def key_range(self) -> KeyRange:
        """The same in numbers, 0 to 2^64."""
        return KeyRange(*(min(bound, KEY_SPACE) for bound in KeyRange.parse(self.keys)))
