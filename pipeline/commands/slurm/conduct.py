"""A build on the cluster: it goes on until a stage must be done by others, submits that stage and a
job that goes on after it, and ends.

Each time the build starts from its beginning and finds by the done-records what is done, as a build
that was stopped does. So nothing of its state travels from job to job but which folders it has
verified.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mixtures.errors import AnnealmixError
from mixtures.mix.manifest import Manifest
from pipeline.commands.slurm.request import Asked, freeze, thaw
from pipeline.executors.slurm import arrays, client
from pipeline.executors.slurm.chain import FAILED, FINISHED, Chain
from pipeline.executors.slurm.executor import SlurmExecutor, Submitted
from pipeline.executors.slurm.profile import Profile
from pipeline.executors.stage import Plan, StageClass
from pipeline.report import say


def launch(asked: Asked, profile: Profile) -> dict[str, Manifest]:
    """Give a build to Slurm, or what is missing of it. Returns the manifests by name if there was
    nothing left to submit, else none.

    Raises:
        RecipeError: jobs of this or another build are waiting or running on the store.
            AnnealmixError: as `build`, or Slurm refuses.
    """
    request = asked.request
    for path, what in ((request.out, "--out"), (request.store, "--store")):
        arrays.refuse_path(path, what)
    # Slurm answers: a chain that was begun, and that nobody can ask about, keeps others from its
    # store
    client.max_array_size()
    chain, trusted = Chain.of(request.store, request.out), set[Path]()
    executor = _Launch(chain, freeze(asked, profile), profile, trusted)
    try:
        found = asked.build(executor, trusted)
    except Submitted as submitted:
        say(f"submitted: {submitted}; --status shows how far it is, --wait follows it")
        return {}
    if chain.record:
        chain.end(FINISHED, 0, asked.names(found))
    return found


class _Launch:
    """Opens the record of the chain when the first stage is submitted, under the store's lock and
    after `refuse_busy`.
    """

    def __init__(
        self, chain: Chain, request: dict[str, Any], profile: Profile, trusted: set[Path]
    ) -> None:
        self._chain, self._request, self._profile, self._trusted = chain, request, profile, trusted

    def execute(self, stage: StageClass, plan: Plan[Any], folder: Path) -> None:
        """Submit a stage; see `SlurmExecutor.execute`."""
        digest = self._chain.begin(self._request, self._profile.job_name)
        SlurmExecutor(self._chain, digest, self._profile, self._trusted, follows=False).execute(
            stage, plan, folder
        )


def conduct(folder: Path, digest: str) -> None:
    """Go on with a build, in a job.

    Raises:
        AnnealmixError: as `build`; it is noted in the chain's record, too.
    """
    chain = Chain(folder)
    frozen = chain.request(
        digest
    )  # if there is another by now, that build's record is not ours to end
    if (younger := chain.younger()) is not None:
        say(f"job {younger} goes on with this build")
        return
    try:
        asked, profile = thaw(frozen)
        trusted = chain.trusted()
        executor = SlurmExecutor(chain, digest, profile, trusted, follows=True)
        found = asked.build(executor, trusted, folder)
    except Submitted as submitted:
        say(f"submitted: {submitted}")
    except AnnealmixError as error:
        chain.end(FAILED, error.exit_code, str(error))
        raise
    except Exception as error:
        chain.end(FAILED, 1, f"{type(error).__name__}: {error}")
        raise
    else:
        chain.end(FINISHED, 0, asked.names(found))
        say(f"{asked.request.out}: {asked.names(found)}")
