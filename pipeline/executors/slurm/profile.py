"""A cluster's profile: a YAML file of what its jobs need.

```yaml
job_name: annealmix           # jobs are called annealmix-KEY-STAGE
partition: cpu
account: my-project
time: "24:00:00"              # of each job
memory: 4G                    # of each task; without it, what annealmix thinks that a task of the
    stage needs
cpus: 1
tasks: 500                    # elements of a stage's arrays, at most
parallel: 100                 # of them running at a time (a stage is then one array); without it,
    as the cluster likes
setup: [module load python/3.11, source env/bin/activate]     # shell, run by each job before
    annealmix
tmp: /local/scratch           # a folder on each node for temporary files
options: {reservation: data}  # further options of sbatch, by their long names; "" for one without a
    value
stages:                       # other values for single stages: ingest, score, near, select, write,
    arms, conduct
  score: {partition: gpu, options: {gres: "gpu:1"}}
  near: {memory: 64G}
```

Everything is optional. Values reach sbatch as arguments, never through a shell or as lines of a
script, so what they may hold is narrow on purpose; `setup` alone is shell, the user's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from mixtures.yaml.fields import Line, Model, Positive, Text, describe
from mixtures.yaml.tree import load_yaml, validate

StageName = Literal["ingest", "score", "near", "select", "write", "arms", "conduct"]

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,:&|*@/+=()\[\]-]*")
_JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_TIME = re.compile(r"\d{1,6}(:[0-5]?\d(:[0-5]?\d)?)?|\d{1,4}-\d{1,2}(:[0-5]?\d(:[0-5]?\d)?)?")
_MEMORY = re.compile(r"[1-9]\d{0,8}[KMGT]?")
OPTIONS: dict[str, str] = {
    name: reason
    for reason, names in {
        "which nodes": (
            "reservation nodelist exclude nodefile contiguous switches prefer cluster-constraint"
            " use-min-nodes"
        ),
        "what of a node": (
            "gres gpus gpus-per-node gpus-per-task gpus-per-socket cpus-per-gpu licenses tmp"
            " exclusive oversubscribe overcommit hint core-spec thread-spec sockets-per-node"
            " cores-per-socket threads-per-core extra-node-info network"
        ),
        "how its processors and memory are used": (
            "cpu-freq gpu-freq gpu-bind mem-bind distribution tres-bind power"
        ),
        "when it runs and who pays": "nice priority wckey delay-boot spread-job mcs-label",
        "who is told": "mail-type mail-user acctg-freq profile",
    }.items()
    for name in names.split()
}
"""Options of sbatch that a profile may set, by their whole names, and what they decide. All others
are refused: annealmix itself decides jobs, arrays, logs, memory, time and environment, and the rest
would give jobs to other users or clusters (uid, gid, clusters), run other code in them (wrap,
container, bb, bbf, prolog), hand limits and environments on (propagate, export, get-user-env), end
them early (deadline, time-min) or restart machines (reboot).
"""


def _one_line(value: str) -> str:
    if not value or not value.isprintable():
        raise ValueError(
            f"{describe(value)} is not one line of visible text; leave out line breaks and control"
            " characters"
        )
    return value


def _matching(pattern: re.Pattern[str], what: str) -> Callable[[str], str]:
    """A check that a value is of a form. what: it is not, and what to write instead."""

    def check(value: str) -> str:
        if not pattern.fullmatch(_one_line(value)):
            raise ValueError(f"{describe(value)} is not {what}")
        return value

    return check


_word = _matching(_WORD, "a plain value of Slurm; write letters, digits and _.,:&|*@/+=()[]-")
_job_name = _matching(
    _JOB_NAME,
    "a job name; write at most 64 letters, digits, '_', '.' and '-', a letter or digit first",
)
_time = _matching(_TIME, 'a time of Slurm; write minutes, "HH:MM:SS" or "DAYS-HH:MM:SS"')
_memory = _matching(_MEMORY, "an amount of memory; write a number and K, M, G or T, such as 4G")


def _folder(value: str) -> str:
    path = PurePosixPath(_one_line(value))
    if not path.is_absolute() or ".." in path.parts:
        raise ValueError(
            f"{describe(value)} is not an absolute path without '..'; write one, such as"
            " /local/scratch"
        )
    return value


def _option_value(value: str) -> str:
    return value and _word(value)


def _options(value: dict[str, str]) -> dict[str, str]:
    for name in value:
        if name not in OPTIONS:  # sbatch takes `arr` for `array`: whole names alone
            raise ValueError(
                f"{describe(name)} is not an option that a profile may set; it may set"
                f" {', '.join(sorted(OPTIONS))}; the profile's own fields and annealmix set the"
                " others"
            )
    return value


Word = Annotated[Text, AfterValidator(_word)]


class Resources(Model):
    """What one job of a stage asks of the cluster; None: what the profile says for all stages, or
    else the cluster.
    """

    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    constraint: Word | None = None
    time: Annotated[Text, AfterValidator(_time)] | None = None
    memory: Annotated[Text, AfterValidator(_memory)] | None = None
    cpus: Positive | None = None
    tasks: Positive | None = None
    parallel: Positive | None = None
    options: Annotated[
        dict[Line, Annotated[Text, AfterValidator(_option_value)]], AfterValidator(_options)
    ] = Field(default_factory=dict)


class Profile(Resources):
    """A cluster's profile; see the module."""

    job_name: Annotated[Text, AfterValidator(_job_name)] = "annealmix"
    setup: tuple[Annotated[Text, AfterValidator(_one_line)], ...] = ()
    tmp: Annotated[Text, AfterValidator(_folder)] | None = None
    stages: dict[StageName, Resources] = Field(default_factory=dict)

    def resources(self, stage: str) -> Resources:
        """What the jobs of a stage ask: its own values before the profile's. stage: `ingest`, ...,
        or one of the near-duplicate search.
        """
        own = self.stages.get(stage.partition("-")[0], Resources())  # type: ignore[call-overload]
        values = {
            name: getattr(own, name) if getattr(own, name) is not None else getattr(self, name)
            for name in Resources.model_fields
        }
        return Resources(**{**values, "options": {**self.options, **own.options}})


def load_profile(file: Path) -> Profile:
    """Read a profile.

    Raises:
        RecipeError: every fault, each with file and line.
    """
    return validate(Profile, load_yaml(file))
