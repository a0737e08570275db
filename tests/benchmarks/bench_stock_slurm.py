"""Four ways in which the stock SlurmPipelineExecutor loses or doubles documents, each beside
annealmix on the same cluster.

Two stages copy 120 documents in seven files. What is counted is what the second stage leaves when
Slurm has nothing left to do and the same command was given again, as its user would. Needs what
`make test-slurm` needs; prints one line a case.

    make test-slurm starts the same cluster: PYTHONPATH=. .venv/bin/python
    tests/benchmarks/bench_stock_slurm.py SHARED
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from datatrove.executor.slurm import SlurmPipelineExecutor
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter

from pipeline.inputs import survey
from tests.pipeline.corpus import prose, read_mix, sharded, write_files, write_recipe
from tests.slurm.cluster import MAX_ARRAY_SIZE, Given, missing, running, slurm

DOCUMENTS, FILES = 120, 7


def stock(
    work: Path, tasks: int = FILES, setup: str = "", *, parallel: bool = False, begin: str = "now"
) -> SlurmPipelineExecutor:
    """Two stages, the second after the first. setup: shell that the first stage's jobs run before
    they work; begin: when they may.
    """
    common = {
        "time": "10",
        "partition": "main",
        "mem_per_cpu_gb": 0,
        "max_array_size": MAX_ARRAY_SIZE,
        "qos": "",
        "with_srun": False,
    }
    command = f"export PATH={Path(sys.executable).parent}:$PATH"
    options = {**common, "sbatch_args": {"mem-per-cpu": "100M"}}
    first = SlurmPipelineExecutor(
        [JsonlReader(str(work / "in")), JsonlWriter(str(work / "middle"))],
        tasks=tasks,
        job_name="one",
        logging_dir=str(work / "logs-1"),
        max_array_launch_parallel=parallel,
        env_command=f"{command}\n{setup}",
        **{**options, "sbatch_args": {"mem-per-cpu": "100M", "begin": begin}},
    )
    return SlurmPipelineExecutor(
        [JsonlReader(str(work / "middle")), JsonlWriter(str(work / "out"))],
        tasks=FILES,
        job_name="two",
        logging_dir=str(work / "logs-2"),
        depends=first,
        env_command=command,
        **options,
    )


def settle() -> None:
    """Wait until nothing runs and nothing can run any more; what waits for ever is cancelled, as a
    user does.
    """
    limit = time.monotonic() + 120
    while time.monotonic() < limit:
        waiting = slurm("squeue", "--noheader", "--format=%T|%r").split()
        if not [line for line in waiting if "DependencyNeverSatisfied" not in line]:
            break
        time.sleep(0.3)
    slurm("scancel", "--user=root")
    time.sleep(1)


def counted(folder: Path) -> Counter[str]:
    """Documents that the second stage left, by text."""
    found: Counter[str] = Counter()
    for path in sorted(folder.glob("*.jsonl.gz")):
        with contextlib.suppress(EOFError, OSError), gzip.open(path, "rt") as lines:
            found.update(json.loads(line)["text"] for line in lines)
    return found


def give(executor: SlurmPipelineExecutor) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        executor.run()


ONCE = (
    'test -e {work}/killed || { test "$SLURM_ARRAY_TASK_ID" = 0 && test "$RUN_OFFSET" = 0 && touch'
    " {work}/killed && kill -9 $$; }"
)


def killed(work: Path, *, parallel: bool) -> None:
    """More tasks than an array holds, and an element of the first array is killed; then the same
    command again.
    """
    for _ in range(2):
        give(stock(work, setup=ONCE.replace("{work}", str(work)), parallel=parallel))
        settle()


def relaunched(work: Path) -> None:
    """The same command while jobs of the first are queued; the cluster is busy, so those of the
    second begin later.
    """
    wait = f"test $SLURM_ARRAY_TASK_ID = 0 || while test ! -e {work}/go; do sleep 0.2; done"
    give(stock(work, setup=wait))
    time.sleep(8)  # the first rank is complete, the others wait
    give(stock(work, begin="now+40"))
    (work / "go").touch()
    settle()


def recounted(work: Path) -> None:
    """Half of the tasks fail; then the same command with another number of tasks."""
    give(stock(work, setup='test "$SLURM_ARRAY_TASK_ID" -lt 2 || exit 1'))
    settle()
    give(stock(work, tasks=3))
    settle()


STOCK: dict[str, Callable[[Path], None]] = {
    "an element of an earlier array is killed": lambda work: killed(work, parallel=False),
    "the same, with parallel arrays": lambda work: killed(work, parallel=True),
    "launched again while queued": relaunched,
    "another number of tasks after a partial run": recounted,
}


def main(shared: Path) -> int:
    """Run the cases of the stock executor, and annealmix once under the worst of them."""
    if reason := missing(shared):
        print(f"cannot run: {reason}")
        return 2
    texts = prose(5, DOCUMENTS)
    with running(shared):
        for title, case in STOCK.items():
            work = Path(tempfile.mkdtemp(prefix="annealmix-stock-"))
            write_files(work, "in", sharded(texts, FILES))
            case(work)
            found = counted(work / "out")
            lost, doubled = len(set(texts) - set(found)), sum(count - 1 for count in found.values())
            complete = len(list((work / "logs-2" / "completions").glob("*")))
            print(
                f"stock, {title}: {lost} of {DOCUMENTS} lost, {doubled} doubled, {complete} of"
                f" {FILES} tasks marked complete",
                flush=True,
            )
            shutil.rmtree(work)
        work = Path(tempfile.mkdtemp(prefix="annealmix-ours-"))
        survey.GROUP_BYTES = (1, 1)
        write_files(work / "data", "a", sharded(texts, FILES))
        recipe = write_recipe(work / "recipes", {"a": {"all": True}})
        build = Given.of(
            recipe,
            work,
            work / "data",
            {"setup": [ONCE.replace("{work}", str(work)).replace("$RUN_OFFSET", "$1")]},
        )
        build.launch()
        build.follow()
        build.finish()
        found = Counter(document.text for document in read_mix(work / "out"))
        lost, doubled = len(set(texts) - set(found)), sum(count - 1 for count in found.values())
        print(
            f"annealmix, an element of an earlier array is killed: {lost} of {DOCUMENTS} lost,"
            f" {doubled} doubled"
        )
        shutil.rmtree(work)
    return 0


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.exit(
        main(Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else Path("..", "shared").absolute())
    )
