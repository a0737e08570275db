"""Figures of the code as it stands, or of another checkout beside it.

    python -m tests.house.measure [CHECKOUT ...]     a column a checkout (default: this one)

Tests and generated files are no part of the house. Every figure is counted from the syntax tree or
the import statements, those inside functions and for types too; nothing of the project is run.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import statistics
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOMS = ("annealmix", "mixtures", "pipeline", "recipes")
WIDTH = 100
PLANS = re.compile(r"(^|\.|_)(plans?|units?|manifests?|records?|claims?|planned)$")
"""What holds a plan, a unit, a record or a manifest, by its name."""
ARRAYS = re.compile(
    r"\b(NDArray|ndarray|pl\.(Lazy)?(DataFrame|Series|Frame)|pa\.(Chunked)?Array)\b"
)
DTYPE = r"u?int(8|16|32|64)?|float(32|64)?|bool|bytes|str|large_string|dtype|integer|unsigned"
SHAPE = re.compile(rf"\b({DTYPE})\b[^.;\n]{{0,40}}\[[^\]]+\]|\[(num_|n\b|\d)[^\]]*\]")

Graph = Mapping[str, set[str]]


@dataclass(frozen=True)
class Function:
    """A function or method. positional: parameters that may be given by position, without self."""

    lines: int
    positional: int
    all_parameters: int
    takes_arrays: bool
    says_shapes: bool


class House:
    """The code of a checkout."""

    def __init__(self, root: Path) -> None:
        files = [path for room in ROOMS for path in sorted((root / room).rglob("*.py"))]
        # the generator of the sample once stood among the recipes, now it stands among the tests
        files = [path for path in files if root / "recipes" / "sample" not in path.parents]
        self.files = {path.relative_to(root).as_posix(): path.read_text("utf-8") for path in files}
        self.trees = {name: ast.parse(text) for name, text in self.files.items()}

    @cached_property
    def functions(self) -> list[Function]:
        """Every function and method."""
        return [item for tree in self.trees.values() for item in _functions(tree)]

    @cached_property
    def imports(self) -> Graph:
        """Which module imports which, by dotted name; a package stands for its `__init__`."""
        modules = {_module(name): name for name in self.files}
        graph = {
            module: {
                target
                for target in _imported(self.trees[name], modules)
                if target != module and not module.startswith(f"{target}.")
            }
            for module, name in modules.items()
        }
        faces = {module for module, name in modules.items() if name.endswith("__init__.py")}
        bare = {module for module in faces if not graph[module]}  # an empty face is no room
        return {one: targets - bare for one, targets in graph.items() if one not in bare}

    @property
    def rooms(self) -> Graph:
        """Which folder imports which: `pipeline.X` with all below it is one node."""
        graph: dict[str, set[str]] = defaultdict(set)
        for module, targets in self.imports.items():
            here = _room(module)
            graph[here] |= {_room(target) for target in targets} - {here}
        return graph

    def figures(self) -> dict[str, str]:
        """What is said of the house, by name, in the order in which it is shown."""
        text = "\n".join(self.files.values())
        lines = text.splitlines()
        entries = Counter(folder for name in self.files for folder in _entries(name))
        widest, most = max(entries.items(), key=lambda item: item[1])
        lengths = [function.lines for function in self.functions]
        positional = [function.positional for function in self.functions]
        arrays = [function for function in self.functions if function.takes_arrays]
        shaped = sum(function.says_shapes for function in arrays)
        comments = sum(_comments(text) for text in self.files.values())
        return {
            "files": f"{len(self.files):,}",
            "lines": f"{len(lines):,}",
            "statements": f"{sum(map(_statements, self.trees.values())):,}",
            "most entries in a folder": f"{most} ({widest})",
            "floors of files": f"{floors(self.imports)}",
            "floors of rooms": f"{floors(self.rooms)}",
            "circles of files": f"{len(circles(self.imports))}",
            "circles of rooms": f"{len(circles(self.rooms))}",
            "rooms in the largest circle": f"{max(map(len, circles(self.rooms)), default=0)}",
            "functions": f"{len(lengths):,}",
            "lines of a function: median, p90, longest": _spread(lengths),
            "positional parameters: median, p90, most": _spread(positional),
            "functions with more than 6 of them": f"{sum(count > 6 for count in positional)}",
            f"lines over {WIDTH} columns": f"{sum(len(line) > WIDTH for line in lines):,}",
            "dict[str, Any]": f"{text.count('dict[str, Any]')}",
            "string subscripts of plans, units, records": f"{self._subscripts()}",
            "comments in 100 lines": f"{100 * comments / len(lines):.1f}",
            "array functions with shapes": (
                f"{shaped} of {len(arrays)}, {shaped / max(len(arrays), 1):.0%}"
            ),
        }

    def _subscripts(self) -> int:
        """How often a plan, a unit, a record or a manifest is asked by a string."""
        return sum(
            isinstance(node, ast.Subscript)
            and isinstance(node.slice, ast.Constant)
            and isinstance(node.slice.value, str)
            and bool(PLANS.search(ast.unparse(_innermost(node))))
            for tree in self.trees.values()
            for node in ast.walk(tree)
        )


def floors(graph: Graph) -> int:
    """How many modules the longest way down has; those of one circle stand on one floor."""
    circle_of = {name: number for number, names in enumerate(_strong(graph)) for name in names}
    below: dict[int, set[int]] = defaultdict(set)
    for name, targets in graph.items():
        below[circle_of[name]] |= {circle_of[target] for target in targets} - {circle_of[name]}
    heights: dict[int, int] = {}
    for number in sorted(set(circle_of.values())):  # Tarjan numbers what is imported first
        heights[number] = 1 + max((heights[other] for other in below[number]), default=0)
    return max(heights.values(), default=0)


def circles(graph: Graph) -> list[list[str]]:
    """Modules that import each other in a loop."""
    return [names for names in _strong(graph) if len(names) > 1]


def _strong(graph: Graph) -> list[list[str]]:
    """The strongly connected components, each after all that it reaches (Tarjan 1972)."""
    indices: dict[str, int] = {}
    lows: dict[str, int] = {}
    stack: list[str] = []
    components: list[list[str]] = []

    def visit(name: str) -> None:
        indices[name] = lows[name] = len(indices)
        stack.append(name)
        for target in sorted(graph.get(name, ())):
            if target not in indices:
                visit(target)
                lows[name] = min(lows[name], lows[target])
            elif target in stack:
                lows[name] = min(lows[name], indices[target])
        if lows[name] == indices[name]:
            cut = stack.index(name)
            components.append(stack[cut:])
            del stack[cut:]

    for name in sorted(graph):
        if name not in indices:
            visit(name)
    return components


def _module(name: str) -> str:
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _room(module: str) -> str:
    """The first folder below `mixtures` or `pipeline`; the face and the recipes are a room each."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] in ("mixtures", "pipeline") else parts[0]


def _entries(name: str) -> list[str]:
    """The folder that gains an entry by a file: its own, or, for a folder's face, the one above."""
    folder, _, file = name.rpartition("/")
    above, _, _ = folder.rpartition("/")
    return [above] if file == "__init__.py" and above else [folder] if file != "__init__.py" else []


def _imported(tree: ast.Module, modules: Mapping[str, str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                if (target := whole if whole in modules else node.module) in modules:
                    yield target
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)


def _functions(tree: ast.Module) -> Iterator[Function]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        given = node.args.posonlyargs + node.args.args
        own = [argument for argument in given if argument.arg not in ("self", "cls")]
        keywords = node.args.kwonlyargs
        types = [item.annotation for item in own + keywords if item.annotation] + [node.returns]
        takes = any(ARRAYS.search(ast.unparse(item)) for item in types if item)
        says = bool(SHAPE.search(ast.get_docstring(node) or ""))
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        yield Function(lines, len(own), len(own) + len(keywords), takes, says)


def _statements(tree: ast.Module) -> int:
    """Logical lines: statements, docstrings not among them, however they are laid out."""
    return sum(
        isinstance(node, ast.stmt)
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for node in ast.walk(tree)
    )


def _comments(text: str) -> int:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return sum(
        token.type == tokenize.COMMENT and not re.match(r"#\s*(noqa|type:|fmt:)", token.string)
        for token in tokens
    )


def _innermost(node: ast.expr) -> ast.expr:
    """What is subscripted in the end: `plan` of `plan["units"][0]["files"]`."""
    while isinstance(node, ast.Subscript):
        node = node.value
    return node


def _spread(numbers: list[int]) -> str:
    ninth = statistics.quantiles(numbers, n=10)[8]
    return f"{statistics.median(numbers):.0f}, {ninth:.0f}, {max(numbers)}"


def main() -> None:
    """Print the figures of each checkout side by side."""
    here = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(prog="python -m tests.house.measure", description=__doc__)
    parser.add_argument("checkouts", nargs="*", type=Path, default=[here], metavar="CHECKOUT")
    columns = [House(path).figures() for path in parser.parse_args().checkouts]
    for name in columns[0]:
        cells = "".join(f"{figures[name]:>40}" for figures in columns)
        print(f"{name:<44}{cells}")


if __name__ == "__main__":
    main()
