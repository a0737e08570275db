"""Token mixes for language-model training: exact to the token, the same bytes everywhere.

    load_recipe   a recipe, shipped or your own
    plan          what it will take and cost
    build         its mix, opened
    build_study   the base and the aligned arms of a study, opened
    open_mix      a finished mix: tokens, documents, what a trainer reads in a step
    audit         everything that a mix says of itself, counted again

Nothing is decided here: each calls what the command of its name calls, and ends in the same errors
(`AnnealmixError`). `import annealmix` alone imports none of them. With examples: docs/python.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from annealmix.calls import audit, build, build_study, load_recipe, plan
    from mixtures.errors import AnnealmixError
    from pipeline.lookup.mix import Mix, Record, Step, open_mix

    __version__: str

__all__ = [
    "AnnealmixError",
    "Mix",
    "Record",
    "Step",
    "__version__",
    "audit",
    "build",
    "build_study",
    "load_recipe",
    "open_mix",
    "plan",
]

_MODULES = {
    "annealmix.calls": ("audit", "build", "build_study", "load_recipe", "plan"),
    "mixtures.errors": ("AnnealmixError",),
    "pipeline.lookup.mix": ("Mix", "Record", "Step", "open_mix"),
}

if not TYPE_CHECKING:  # a type checker would take any name for one that is there

    def __getattr__(name: str) -> object:
        if name == "__version__":
            from importlib.metadata import version

            return version("annealmix")
        for module, names in _MODULES.items():
            if name in names:
                from importlib import import_module

                return getattr(import_module(module), name)
        raise AttributeError(f"module 'annealmix' has no attribute {name!r}")

    def __dir__() -> list[str]:
        return __all__
