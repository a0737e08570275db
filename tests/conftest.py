"""What every test may ask for: the folders of real data, hypothesis profiles, and quiet tokenizers.

Environment: ANNEALMIX_SHARED names the folder of real data (default: `shared` beside the checkout);
HYPOTHESIS_PROFILE one of the profiles below.
"""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

# Before anything imports a tokenizer: one thread a process, as in production, where every core has
# its own process.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("RAYON_NUM_THREADS", "1")
# Temporary folders lie in memory where they can: builds flush all that they write to the disk, and
# thousands of them would wait for it. What passed is removed at once (pyproject.toml).
if os.access("/dev/shm", os.W_OK):
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", "/dev/shm")

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.pages import Demo

CHECKOUT = Path(__file__).resolve().parent.parent

# No deadline and no complaint about slow generation: a shared or busy machine says nothing about
# the code. The default draws the same examples on every machine and day, so that a newcomer's
# `make test` never fails by chance; `campaign` draws new ones, says how to draw them again, and
# keeps those that failed in .hypothesis, to be tried first the next time. An example that was
# worth finding is then written above its test (`@example`), where the default meets it, too.
# `mutants` draws what the default draws, and leaves a failing example as it is: thousands fail.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("default", _PATIENT, max_examples=60, derandomize=True)
settings.register_profile("campaign", _PATIENT, max_examples=1000)
settings.register_profile(
    "mutants", settings.get_profile("default"), phases=[Phase.explicit, Phase.generate]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or "default")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and tokenizers beside the checkout; a test that asks for it is
    skipped where it is absent.
    """
    folder = Path(os.environ.get("ANNEALMIX_SHARED") or CHECKOUT.parent / "shared")
    if not (folder / "data").is_dir():
        pytest.skip(
            f"needs the folder of real data {folder.name!r} beside the checkout, or"
            " ANNEALMIX_SHARED to name it"
        )
    return folder


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """The shipped sample, one folder a source definition, as `--data` reads it."""
    return CHECKOUT / "recipes" / "sample" / "data"


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What commands keep for later ones is not kept in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANNEALMIX_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """What the commands of `make demo` leave and print; nobody writes there."""
    from annealmix.__main__ import main
    from tests.pipeline.command_line import passes

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("demo"))
        passes(
            *("build", "sample", "--out", "demo/sample"),
            *("--store", "demo/store", "--workers", "1"),
        )
        printed = (
            io.StringIO()
        )  # the answer and the notes, in the order in which a terminal has them
        with redirect_stdout(printed), redirect_stderr(printed):
            assert main(["audit", "demo/sample"]) == 0
        return Demo(Path.cwd() / "demo" / "sample", printed.getvalue().splitlines())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many faults the tests injected: each test records its own (`faults`, `kills`), and
    passes only if none did silent damage.
    """
    reports = [
        report for ended in ("passed", "failed") for report in terminalreporter.stats.get(ended, [])
    ]
    counts: Counter[str] = Counter()
    for report in reports:
        counts.update(
            {
                name: number
                for name, number in report.user_properties
                if name in ("faults", "kills") and report.when == "call"
            }
        )
    silent = sum(
        "tests/faults/" in report.nodeid for report in terminalreporter.stats.get("failed", [])
    )
    if counts.total():
        line = (
            f"{counts.total():,} faults injected, {counts['kills']:,} of them kills: {silent}"
            " silent damage"
        )
        terminalreporter.write_line(line if not silent else f"{line} or other failures, see above")
