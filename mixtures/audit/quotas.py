"""Quotas, shortfalls and removals, recomputed from the recipe that the manifest holds.

A count that was edited together with every hash is seen here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mixtures.audit.recipe import excluded_faults, fault_of, origin_faults, read_recipe
from mixtures.audit.report import Check, judge, unread
from mixtures.errors import AnnealmixError, RecipeError
from mixtures.mix.claim import TokenizerClaim
from mixtures.mix.claims import Claims, SourceClaim
from mixtures.recipe.load import load_tokenizer_definition
from mixtures.recipe.model import Recipe
from mixtures.recipe.source_request import SourceRequest
from mixtures.stream.quotas import Supply, asked_quotas
from mixtures.words import plural
from mixtures.yaml.fields import json_digest


@dataclass(frozen=True)
class RecipeChecks:
    """The checks that need the recipe of a manifest and what was counted.

    first_documents: documents of each source in its first epoch, as counted; None where the tables
        could not be read.
    """

    claims: Claims
    first_documents: Sequence[int] | None

    def all(self) -> list[Check]:
        """Recipe, asked quotas, shortfalls, removals."""
        try:
            recipe = read_recipe(self.claims)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            why = fault_of(error)
            return [
                judge("recipe", "no recipe", [f"the manifest's recipe cannot be read: {why}"]),
                unread("asked quotas", "the manifest's recipe cannot be read"),
                unread("shortfalls", "the manifest's recipe cannot be read"),
                self._removals(),
            ]
        return [
            self._recipe(recipe),
            self._asked(recipe),
            self._shortfalls(recipe),
            self._removals(),
        ]

    def _recipe(self, recipe: Recipe) -> Check:
        claims, canonical, faults = self.claims, self.claims.recipe, []
        digest = json_digest(canonical)
        if digest != claims.recipe_digest:
            faults.append(
                f"the recipe has digest {digest}, the manifest says {claims.recipe_digest}"
            )
        due = [(name, 0) for name in recipe.sources]
        if recipe.copies == "approved":
            due = [(name, number) for name in recipe.sources for number in (0, 1)]
        due += [(name, 0) for name in recipe.insert]
        listed = [(source.name, source.copy_number) for source in claims.sources]
        if due != listed or [source.name for source in claims.sources if source.insert] != list(
            recipe.insert
        ):
            faults.append(f"the recipe makes sources and copies {due}, the manifest lists {listed}")
        said = claims.tokenizer
        tokenizer = {"name": said.name, "digest": said.digest, "eod": said.eod}
        if said.bos is not None:
            tokenizer["bos"] = said.bos
        stated = {
            "name": claims.name,
            "tokenizer": tokenizer,
            "special_tokens": claims.tokenizer.special_tokens,
        }
        faults += [
            f"{key} is {value!r}, the recipe says {canonical[key]!r}"
            for key, value in stated.items()
            if canonical[key] != value
        ]
        for source in claims.sources:
            if source.insert:
                faults += _insert_faults(source, recipe)
            faults += _place_faults(source, recipe.sources.get(source.name))
        faults += _tokenizer_faults(claims.tokenizer)
        faults += excluded_faults(claims)
        try:
            faults += origin_faults(claims)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            faults.append(f"the recipe's definitions cannot be read: {fault_of(error)}")
        return judge(
            "recipe", f"{plural(len(recipe.sources), 'source')}, digest {digest[:16]}", faults
        )

    def _asked(self, recipe: Recipe) -> Check:
        """Tokens that the recipe asks of each source at the size of this mix."""
        claims, size = self.claims, self.claims.size.size
        whole = [name for name, request in recipe.sources.items() if request.all]
        by_name = {source.name: source.asked_tokens for source in self.claims.asked}
        inserted = sum(
            source.asked_tokens
            for source in claims.sources
            if source.insert and not _on_top(recipe, source.name)
        )
        if whole and size != type(size)():
            return self._sums(
                f"sources used whole ({', '.join(whole)}) at another size are not recomputed;"
                " sums of"
            )
        try:
            asked = asked_quotas(
                recipe,
                size,
                {name: Supply(by_name[name], complete=True) for name in whole},
                inserted,
            )
        except (AnnealmixError, ValueError, KeyError, ArithmeticError) as error:
            return judge(
                "asked quotas",
                "not recomputed",
                [f"the recipe cannot be asked for this size: {fault_of(error)}"],
            )
        faults = [
            f"{name}: the recipe asks {tokens:,} tokens, the manifest says {by_name.get(name, 0):,}"
            for name, tokens in asked.items()
            if by_name.get(name) != tokens
        ]
        if not faults and sum(asked.values()) != self._filled:
            faults.append(
                f"the recipe asks {sum(asked.values()):,} tokens in all, the mix has"
                f" {self._filled:,}"
            )
        return judge(
            "asked quotas",
            f"{plural(len(asked), 'quota')} recomputed, {sum(asked.values()):,} tokens",
            faults,
        )

    @property
    def _filled(self) -> int:
        """Tokens of the mix that fill quotas: without inserts, with the gaps that removals left;
        copies fill quotas unless it shrinks.
        """
        claims = self.claims
        dropped = sum(source.dropped_tokens for source in claims.asked) if claims.shrinks else 0
        beside = sum(
            source.realised_tokens
            for source in claims.sources
            if source.insert or (source.copy_number and claims.shrinks)
        )
        return claims.total_tokens - beside + dropped

    def _sums(self, what: str) -> Check:
        total = sum(source.asked_tokens for source in self.claims.asked)
        faults = []
        if total != self._filled:
            faults.append(f"quotas sum to {total:,}, the mix has {self._filled:,} tokens")
        return judge("asked quotas", f"{what} {total:,} tokens agree", faults)

    def _shortfalls(self, recipe: Recipe) -> Check:
        """Resolved quotas are the asked ones, moved only as the recipe's shortfall rules allow."""
        claims, moved, faults = self.claims, 0, []
        gifts = dict.fromkeys((source.name for source in self.claims.asked), 0)
        for source in self.claims.asked:
            request = recipe.sources.get(source.name)
            for giver, tokens in source.refilled.items():
                if (
                    request is None
                    or giver != request.refill_from
                    or giver not in gifts
                    or tokens == 0
                ):
                    faults.append(
                        f"{source.name}: {giver} gave it {tokens:,} tokens; the recipe does not"
                        " say so"
                    )
                gifts[giver] = gifts.get(giver, 0) + tokens
                moved += tokens
            if request is not None and source.epochs > request.max_epochs:
                faults.append(
                    f"{source.name}: used {source.epochs:,} times, the recipe allows"
                    f" {request.max_epochs:,}"
                )
            if (source.refilled or source.epochs > 1) and claims.removed.get(source.name, {}).get(
                "beyond quota", 0
            ):
                faults.append(
                    f"{source.name}: called short, although documents of it are beyond its quota"
                )
        for source in self.claims.asked:
            resolved = source.asked_tokens - sum(source.refilled.values()) + gifts[source.name]
            if resolved != source.resolved_tokens:
                faults.append(
                    f"{source.name}: asked and refills make {resolved:,} tokens, the manifest says"
                    f" {source.resolved_tokens:,}"
                )
        return judge("shortfalls", f"{plural(moved, 'token')} given by other sources", faults)

    def _removals(self) -> Check:
        """Every row of a source is kept or has one reason, and what is kept is in the mix."""
        claims, faults, rows = self.claims, [], 0
        names = [source.name for source in claims.sources if not source.copy_number]
        if sorted(claims.removed) != sorted(names):
            faults.append(f"removals of {sorted(claims.removed)}, sources are {sorted(names)}")
        for number, source in enumerate(claims.sources):
            if source.copy_number:
                continue
            counts = claims.removed.get(source.name, {})
            others = sum(count for reason, count in counts.items() if reason != "rows")
            rows += counts.get("rows", 0)
            if counts.get("rows") != others:
                faults.append(
                    f"{source.name}: {counts.get('rows', 0):,} rows, {others:,} accounted for"
                )
            if self.first_documents is None:
                continue
            counted = self.first_documents[number]
            # a slot is one document of its source, whoever fills it, or if it is masked
            if (arm := claims.study) is not None:
                counted += arm.given(source.name) - arm.taken(source.name)
            if counts.get("kept") != counted:
                faults.append(
                    f"{source.name}: {counts.get('kept', 0):,} rows kept,"
                    f" {counted:,} documents counted"
                )
        if self.first_documents is None:
            return unread("removals", "; ".join(["the documents cannot be read", *faults]))
        return judge("removals", f"{rows:,} rows, each kept or removed for one reason", faults)


def _tokenizer_faults(said: TokenizerClaim) -> list[str]:
    """A tokenizer that annealmix knows has the end of documents and the vocabulary that are known
    of it.
    """
    try:
        known = load_tokenizer_definition(said.name)
    except RecipeError:
        return []
    there = (said.eod_id, said.bos_id, said.vocab_size)
    if known.digest != said.digest or (known.eod_id, known.bos_id, known.vocab_size) == there:
        return []
    ids = (
        f"EOD {said.eod_id:,} and {said.vocab_size:,} ids, it has EOD {known.eod_id:,} and"
        f" {known.vocab_size:,}"
    )
    return [f"tokenizer {said.name} is said to have {ids}"]


def _on_top(recipe: Recipe, name: str) -> bool:
    return name not in recipe.insert or recipe.insert[name].on_top


def _definition_faults(source: SourceClaim, verb: str, used: str | None) -> list[str]:
    if source.definition == used:
        return []
    return [f"{source.name}: definition {source.definition}, the recipe {verb} {used}"]


def _insert_faults(source: SourceClaim, recipe: Recipe) -> list[str]:
    insert = recipe.insert.get(source.name)
    if insert is None:
        return []
    faults = _definition_faults(source, "inserts", insert.use)
    if source.epochs != insert.times or source.documents % insert.times or source.cut is not None:
        documents = f"{plural(source.documents, 'document')} in {plural(source.epochs, 'epoch')}"
        faults.append(f"{source.name}: {documents}, the recipe inserts each {insert.times:,} times")
    return faults


def _place_faults(source: SourceClaim, request: SourceRequest | None) -> list[str]:
    if request is None:
        return []
    faults = _definition_faults(source, "uses", request.use)
    if request.key_range.hex() != source.keys:
        keys = ", ".join(request.key_range.hex())
        faults.append(f"{source.name}: keys [{', '.join(source.keys)}), the recipe says [{keys})")
    return faults
