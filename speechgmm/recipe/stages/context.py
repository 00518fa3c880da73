"""The two contexts of stages: one runs those that are not stored, the other only plans them.

A stage states what its output depends on as a `StageKey`, and hands over the work as a function. Two contexts take
them: `StageRunner` for a run, `StagePlanner` for a plan. The graph of an experiment is the same for both.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pydantic import JsonValue

from speechgmm.configuration import Configuration
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.cache.outputs import StageCache, StageKey, StageOutput
from speechgmm.recipe.stages.progress import ProgressBars, ProgressCallback

STAGES = (
    *("corpus", "features", "ubm", "statistics", "subspace", "vectors", "backend", "speakers", "scores"),
    *("normalisation", "calibration", "evaluation", "report"),
)
"""In the order in which the graph calls them: `--from` reruns a stage and all after it, `--until` stops before the
first call of a later one. The corpus is a stage only where it is recorded; statistics, subspace, vectors and backend
only where speakers are modelled by them. The report is never stored."""

StageWork = Callable[[Path, Engine, ProgressCallback], None]
"""Writes the output of a stage into a folder, on the workers of an engine, and reports its progress."""


class StoppedEarly(Exception):  # it ends a run where the user asked for that, and is no error
    """A stage comes after the last one that was asked for."""


class NotYetKnown(Exception):  # a plan ends with it, and has not failed
    """What follows depends on outputs that are only planned: the arguments are what a plan lists as unknown."""


class StageContext(Protocol):
    """What a stage needs to know of the run or the plan that it is part of."""

    @property
    def cache(self) -> StageCache:
        """Where outputs are stored."""

    def output(self, key: StageKey, work: StageWork, title: str = "") -> StageOutput:
        """Return the output of a stage, there already or not; raise StoppedEarly if it is not to run.

        A title names the output in logs and results. It begins with the name of the stage, which is all of it by
        default; a stage that has several outputs in one experiment gives each a title of its own.
        """

    def is_there(self, output: StageOutput) -> bool:
        """Whether the files of an output can be read."""

    def stops_before(self, stage: str) -> bool:
        """Whether a stage comes after the last one that was asked for."""


@dataclass(frozen=True)
class StageRunner:
    """Runs the stages whose output is not stored."""

    cache: StageCache
    engine: Engine
    bars: ProgressBars
    until: str = STAGES[-1]  # the last stage to run
    outputs: list[StageOutput] = field(default_factory=list)  # all outputs, each once, in the order of the stages

    def output(self, key: StageKey, work: StageWork, title: str = "") -> StageOutput:
        """Find the output of a stage, or run the stage."""
        title = title or key.stage
        if self.stops_before(key.stage):
            raise StoppedEarly(key.stage)

        def run(folder: Path) -> None:
            """Do the work on the workers, beside a bar."""
            work(folder, self.engine, self.bars.callback(title))

        output = self.cache.get_or_run(key, run, title=title)
        if not any((known.title, known.digest) == (output.title, output.digest) for known in self.outputs):
            self.outputs.append(output)
        return output

    def is_there(self, output: StageOutput) -> bool:  # noqa: ARG002  # a planner asks
        """Whether the files of an output can be read: those of a run can."""
        return True

    def stops_before(self, stage: str) -> bool:
        """Whether a stage comes after the last one that was asked for."""
        return STAGES.index(stage) > STAGES.index(self.until)


@dataclass(frozen=True)
class PlannedStage:
    """What would become of a stage."""

    stage: str  # one of STAGES
    output: StageOutput  # where its output is, or would be
    why: str | None  # why it would run; None if its output is stored


@dataclass(frozen=True)
class StagePlanner:
    """Runs nothing, and notes for each stage whether it would run and why."""

    cache: StageCache
    planned: list[PlannedStage] = field(default_factory=list)  # each stage once, in their order

    def output(self, key: StageKey, work: StageWork, title: str = "") -> StageOutput:  # noqa: ARG002
        """Find the output of a stage, or say where it would be."""
        title = title or key.stage
        output, why = self.cache.lookup(key, title=title), None
        if output is None:
            why = self.cache.explain_miss(key)
            output = StageOutput(title, self.cache.locate(key), key.digest, False, {})
        if not any((known.output.title, known.output.digest) == (title, output.digest) for known in self.planned):
            self.planned.append(PlannedStage(key.stage, output, why))
        return output

    def is_there(self, output: StageOutput) -> bool:
        """Whether the files of an output can be read: those that are stored can."""
        return output.reused

    def stops_before(self, stage: str) -> bool:  # noqa: ARG002  # a runner may stop
        """Return False: a plan covers all stages."""
        return False


def to_json(config: Configuration) -> JsonValue:
    """Return all keys of a configuration as JSON data, for the inputs of a stage."""
    data: JsonValue = config.model_dump(mode="json")
    return data
