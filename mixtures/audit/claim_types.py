"""The types of which claims are made (`mixtures.mix.claims`)."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MAX_COUNT = 1 << 52  # above any token count, and below where float64 would round a midpoint
Count = Annotated[int, Field(ge=0, lt=MAX_COUNT)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Key = Annotated[str, Field(pattern=r"^(0|[1-9a-f][0-9a-f]{0,16})$")]


class Claim(BaseModel):
    """Part of a manifest: strict types, and more fields than these are allowed."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")
