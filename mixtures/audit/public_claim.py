"""What a manifest says of a public mix."""

from __future__ import annotations

from mixtures.audit.claim_types import Claim, Hash


class PublicClaim(Claim):
    """Of a public mix (`mixtures.mix.public`). of: identity of the mix that it was made of; salt: names the salt of its digests."""

    of: Hash
    salt: Hash
