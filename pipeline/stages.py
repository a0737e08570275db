"""Every stage by its name, for those who have only the name: a node that is to do a task of one."""

from __future__ import annotations

from pipeline.ingest import Ingest
from pipeline.near.stages import Candidates, Link, Reduce, Shingle, Spill, Verify
from pipeline.score import Score
from pipeline.select import Select
from pipeline.stage import Stage
from pipeline.write import Write

STAGES: dict[str, type[Stage]] = {
    stage.name: stage for stage in (Ingest, Score, Spill, Link, Candidates, Shingle, Verify, Reduce, Select, Write)
}
