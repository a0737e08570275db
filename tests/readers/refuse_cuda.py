"""Stop before pip downloads gigabytes of CUDA: ask what a torch requirement resolves to here, and
refuse anything but a CPU build.

    python refuse_cuda.py torch==2.13.0 [INDEX]

Runs inside the environment that torch shall be installed into, before it is. Costs the metadata of
one wheel. Exit code 0: pip chooses a CPU build. 1: it does not, or finds none; stderr says what to
do.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from pip._vendor.packaging.requirements import Requirement

ADVICE = (
    "name an index that carries CPU wheels of torch: make test-readers TORCH_INDEX=<url> (or set"
    " pip's find-links to such a wheel)"
)


def resolve(requirement: str, index: str | None) -> dict[str, Any]:
    """Return pip's report on the one wheel that it would install for the requirement, without
    installing it.
    """
    command = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--no-input",
        "install",
        "--dry-run",
        "--quiet",
    ]
    command += [
        "--no-deps",
        "--ignore-installed",
        "--only-binary=:all:",
        "--report",
        "-",
        requirement,
    ]
    command += ["--extra-index-url", index] if index else []
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        sys.exit(
            f"pip finds no wheel for {requirement} here: {found.stderr.strip().splitlines()[-1]};"
            f" {ADVICE}"
        )
    report: dict[str, Any] = json.loads(found.stdout)["install"][0]
    return report


def cuda_requirements(requires: list[str]) -> list[str]:
    """Return the requirements that hold on this machine and bring CUDA."""
    names = [
        need.name
        for need in map(Requirement, requires)
        if not need.marker or need.marker.evaluate({"extra": ""})
    ]
    return sorted(
        name for name in names if name.startswith(("nvidia-", "cuda-")) or name == "triton"
    )


def main(requirement: str, index: str | None = None) -> None:
    chosen = resolve(requirement, index)["metadata"]
    cuda = cuda_requirements(chosen.get("requires_dist", []))
    if cuda:
        sys.exit(
            f"refused: pip chooses {chosen['name']} {chosen['version']}, which needs"
            f" {', '.join(cuda)} (gigabytes); {ADVICE}"
        )
    print(f"torch for the readers: {chosen['version']}, no CUDA")


if __name__ == "__main__":
    main(*sys.argv[1:])
