"""What stages need to run, and what becomes of one: it runs, its output is found, or it is only planned."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pydantic import JsonValue

from speechgmm.configuration import Configuration
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.cache.outputs import StageCache, StageOutput
from speechgmm.recipe.stages.progress import Bars

STAGES = ("corpus", "features", "ubm", "speakers", "scores", "normalisation", "calibration", "evaluation", "report")
"""In the order of their dependence. The corpus is one only where it is recorded; the report is written each time."""

# The number of a stage goes up whenever the same inputs would make another output.
VERSIONS = {
    "corpus": 1,
    "features": 2,
    "ubm": 3,
    "speakers": 3,
    "scores": 4,
    "normalisation": 1,
    "calibration": 2,
    "evaluation": 6,
}


class StoppedEarly(Exception):
    """A stage is beyond the last one that was asked for."""


@dataclass(frozen=True)
class StageContext:
    """What stages need to run.

    Parameters
    ----------
    cache : StageCache
        Where outputs are kept.
    engine : Engine
        Where the work is done.
    bars : Bars
        Where progress is shown.
    until : str, optional
        The last of `STAGES` to run; all when not given.
    plan : list, optional
        If there is one, nothing runs: what would is noted here.
    outputs : list of StageOutput
        All that was obtained, each once, in the order in which it was.
    """

    cache: StageCache
    engine: Engine
    bars: Bars
    until: str = STAGES[-1]
    plan: list["Planned"] | None = None
    outputs: list[StageOutput] = field(default_factory=list)

    def output(
        self, stage: str, inputs: dict[str, JsonValue], run: Callable[[Path], None], title: str | None = None
    ) -> StageOutput:
        """Give the output of a stage, running it if it is not there.

        Parameters
        ----------
        stage : str
            One of `STAGES`.
        inputs : dict of JSON data
            All that the output depends on.
        run : callable
            Writes the output into the folder it is given.
        title : str, optional
            What people call it, where several outputs are of one stage.

        Returns
        -------
        StageOutput
            Where the output is, or would be.

        Raises
        ------
        StoppedEarly
            If it is beyond the last stage that was asked for.
        """
        if self.stops_before(stage):
            raise StoppedEarly(stage)
        if self.plan is not None:
            return self._planned(self.plan, stage, inputs, title)
        output = self.cache.get_or_run(stage, VERSIONS[stage], inputs, run, title=title)
        if (output.title, output.digest) not in {(each.title, each.digest) for each in self.outputs}:
            self.outputs.append(output)
        return output

    def _planned(
        self, plan: list["Planned"], stage: str, inputs: dict[str, JsonValue], title: str | None
    ) -> StageOutput:
        """Note whether a stage would run, once."""
        output = self.cache.lookup(stage, VERSIONS[stage], inputs, title=title)
        why = None
        if output is None:
            why = self.cache.explain_miss(stage, VERSIONS[stage], inputs)
            digest, folder = self.cache.locate(stage, VERSIONS[stage], inputs)
            output = StageOutput(title or stage, folder, digest, False, {})
        if (output.title, output.digest) not in {(each.output.title, each.output.digest) for each in plan}:
            plan.append(Planned(stage, output, why))
        return output

    def spread(self, run: Callable[..., None], title: str) -> Callable[[Path], None]:
        """Let a stage use the workers, and tell how far it is.

        Parameters
        ----------
        run : callable
            Takes a folder, and `engine` and `tick`.
        title : str
            What people call it.

        Returns
        -------
        callable
            Takes the folder.
        """
        return partial(run, engine=self.engine, tick=self.bars.tick(title))

    def stops_before(self, stage: str) -> bool:
        """Tell whether a stage is beyond the last one that was asked for.

        Parameters
        ----------
        stage : str
            One of `STAGES`.

        Returns
        -------
        bool
            True if it is not to run.
        """
        return STAGES.index(stage) > STAGES.index(self.until)


@dataclass(frozen=True)
class Planned:
    """What would become of a stage.

    Parameters
    ----------
    stage : str
        One of `STAGES`.
    output : StageOutput
        Where its output is, or would be.
    why : str or None
        Why it would run; None if its output is there.
    """

    stage: str
    output: StageOutput
    why: str | None


def to_json(config: Configuration) -> JsonValue:
    """Give a configuration as JSON data, which digests are of.

    Parameters
    ----------
    config : Configuration
        Any.

    Returns
    -------
    JSON data
        All keys.
    """
    data: JsonValue = config.model_dump(mode="json")
    return data
