"""Cases of hostile recipes and data, and the line `Also` of the fault list."""

from __future__ import annotations

import ast
from pathlib import Path

from mixtures.errors import InputError
from mixtures.recipe.load import load_recipe
from pipeline.inputs.file import InputFile
from pipeline.inputs.readers import DocumentReader
from tests.faults.build_cases import whole, worst
from tests.faults.endings import Builds, Case, Ending, first_line
from tests.pipeline.command_line import CHECKOUT, run
from tests.pipeline.input_files import definition, json_lines, rows_of, write_zip


def refused(folder: Path, text: str) -> Ending:
    """Plan a recipe of this text, which must be refused with file and line."""
    recipe = folder / "recipes" / "hostile.yaml"
    recipe.parent.mkdir(exist_ok=True)
    recipe.write_text(text)
    ended = run("plan", recipe)
    lined = ended.code == 2 and f"{recipe}:" in ended.err and "Traceback" not in ended.err
    return Ending("F" if lined else "?", ended.code, None, first_line(ended, folder))


HEAD = "name: x\ntokenizer: sample\nbudget: {tokens: 10}\n"
ESCAPES = ("use: ../../secret.yaml", "use: /etc/passwd", "use: link.yaml")


def escapes(folder: Path) -> Ending:
    """Out of a recipe's folder, out of a source's folder, and out of an archive."""
    (folder / "secret.yaml").write_text("name: secret\n")
    (folder / "recipes").mkdir()
    (folder / "recipes" / "link.yaml").symlink_to(folder / "secret.yaml")
    endings = [refused(folder, f"{HEAD}sources: {{a: {{{use}, tokens: 10}}}}\n") for use in ESCAPES]
    builds = whole(folder / "linked")
    (folder / "outside.jsonl").write_bytes(json_lines(rows_of(["outside"])))
    (folder / "linked" / "data" / "a" / "y.jsonl").symlink_to(folder / "outside.jsonl")
    endings.append(builds.failed(builds.build()))
    write_zip(
        folder / "packed" / "data" / "a" / "x.zip",
        {"ok.json": b'{"text": "a"}', "../../out.json": b'{"text": "b"}'},
    )
    packed = Builds(folder / "packed", "zip")
    return worst([*endings, packed.failed(packed.build())])


HOSTILE = (
    "a: !!python/object/apply:os.system [id]",
    "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]",
    "name: again",
    "bugdet: {tokens: 5}",
    "max_quarantined: 017",
    "special_tokens: no",
    "max_quarantined: 12:30:45",
)


def hostile_yaml(folder: Path) -> Ending:
    """Refused; but what is a string where a string is due is read as written."""
    source = "sources: {a: {use: dolmino-flan, tokens: 10}}\n"
    endings = [refused(folder, f"{HEAD}{source}{text}\n") for text in HOSTILE]
    names = ("1.10", "017", "no", "0x1f")
    for name in names:
        (folder / "recipes" / "hostile.yaml").write_text(f"{HEAD.replace('x', name, 1)}{source}")
        if load_recipe(str(folder / "recipes" / "hostile.yaml")).recipe.name != name:
            return Ending("?", 0, None, f"{name} was read as something else")
    return worst(endings)


def short(folder: Path) -> Ending:
    builds = whole(folder)
    builds.sources = {"a": {"tokens": 10**6}}
    ended = builds.failed(builds.build())
    return ended if ended.code == 5 else Ending("?", ended.code, None, ended.message)


def scheme(folder: Path) -> Ending:
    try:
        list(DocumentReader(InputFile("a.jsonl", "ssh://host/a.jsonl", 1), definition("jsonl")))
    except InputError as error:
        return Ending("F", error.exit_code, None, str(error)[:150])
    return Ending("?", 0)


def same_files(folder: Path) -> Ending:
    builds = whole(folder)
    builds.sources = {"a": {"all": "true"}, "b": {"all": "true"}}
    (folder / "data" / "b").symlink_to("a", target_is_directory=True)
    return builds.failed(builds.build())


FORBIDDEN = ("pickle", "cPickle", "dill", "marshal", "shelve", "joblib")


def _forbidden(tree: ast.AST) -> list[str]:
    """What of a module could run code that comes with data."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [alias.name for alias in node.names]
            )
            found += [name for name in names if name.split(".")[0] in FORBIDDEN]
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            trusting = [
                key for key in node.keywords if key.arg in ("trust_remote_code", "allow_pickle")
            ]
            trusted = [key for key in trusting if ast.unparse(key.value) != "False"]
            unsaid = called == "np.load" and not trusting  # what it does is numpy's to decide
            if called in ("eval", "exec", "torch.load") or trusted or unsaid:
                found.append(called)
    return found


def no_foreign_code(folder: Path) -> Ending:
    """No module unpickles, evaluates or loads code that comes with data."""
    modules = [
        path
        for name in ("mixtures", "pipeline", "recipes")
        for path in sorted((CHECKOUT / name).rglob("*.py"))
    ]
    found = {
        path.name: names for path in modules if (names := _forbidden(ast.parse(path.read_text())))
    }
    return Ending("?" if found or len(modules) < 50 else "H", 0, None, str(found or ""))


HOSTILE_CASES = [
    Case("40", "path traversal or a symlink in a recipe, source or archive", "F", escapes),
    Case("42", "hostile YAML", "F", hostile_yaml),
    Case("supply", "supply under quota", "F", short),
    Case("scheme", "a URL scheme that is not allowed", "F", scheme),
    Case("same", "two sources that are the same files", "F", same_files),
    Case("code", "no pickle, no `torch.load`, no `trust_remote_code`", "H", no_foreign_code),
]
