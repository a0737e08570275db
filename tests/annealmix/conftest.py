"""One mix of the shipped sample, built by the examples of docs/python.md."""

from __future__ import annotations

import contextlib
import doctest
import io
import re
from pathlib import Path

import pytest

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "python.md"


@pytest.fixture(scope="session")
def guide(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder in which the examples ran, with `mix` and `store`, and what they gave otherwise
    than the guide says.
    """
    folder = tmp_path_factory.mktemp("guide")
    blocks = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    examples = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, GUIDE.name, None, 0)
    assert len(examples.examples) > 20
    differences, progress = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(progress):
        patch.chdir(folder)
        doctest.DocTestRunner(verbose=False).run(examples, out=differences.write)
    return folder, differences.getvalue()


@pytest.fixture(scope="session")
def built(guide: tuple[Path, str]) -> Path:
    """The folder of the mix; read only."""
    return guide[0] / "mix"
