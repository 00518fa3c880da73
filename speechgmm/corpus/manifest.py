"""Who said what, and who is compared with whom: plain values, checked when a corpus is put together."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from speechgmm.errors import CorpusError

ROLES = ("background", "enrol", "test")


@dataclass(frozen=True)
class Utterance:
    """One recording of one speaker.

    Parameters
    ----------
    id : str
        Its name, once in each list.
    speaker : str
        Who speaks.
    path : str
        The audio file.
    sex : str or None
        As the corpus gives it, where it does.
    """

    id: str
    speaker: str
    path: str
    sex: str | None = None


@dataclass(frozen=True)
class Trial:
    """One comparison.

    Parameters
    ----------
    model : str
        The enrolled speaker.
    test : str
        The test utterance.
    target : bool
        Whether that speaker speaks in it.
    """

    model: str
    test: str
    target: bool


@dataclass(frozen=True)
class Corpus:
    """The three roles of data, and the trials.

    Parameters
    ----------
    background : tuple of Utterance
        Trains the background model; none of its speakers should be enrolled.
    enrol : tuple of Utterance
        Adapts one model for each of its speakers.
    test : tuple of Utterance
        Is compared with the models.
    trials : mapping of str to tuple of Trial
        Trial lists by name.

    Raises
    ------
    CorpusError
        If a role has no utterances, an id stands in a role twice, there is no trial list, a trial names an unknown
        model or test, or two lists label a trial differently.
    """

    background: tuple[Utterance, ...]
    enrol: tuple[Utterance, ...]
    test: tuple[Utterance, ...]
    trials: Mapping[str, tuple[Trial, ...]]

    def __post_init__(self) -> None:
        for role in ROLES:
            _check_ids(role, self.role(role))
        if not self.trials:
            raise CorpusError("no trial list: there is nothing to score")
        labels: dict[tuple[str, str], bool] = {}
        tests = {utterance.id for utterance in self.test}
        models = set(self.models)
        for name, trials in self.trials.items():
            for trial in trials:
                if trial.model not in models:
                    raise CorpusError(f"trial list {name}: unknown model {trial.model!r}; nobody enrols it")
                if trial.test not in tests:
                    raise CorpusError(f"trial list {name}: unknown test {trial.test!r}; it is not a test utterance")
                if labels.setdefault((trial.model, trial.test), trial.target) != trial.target:
                    raise CorpusError(
                        f"trial {trial.model} {trial.test} is target in one list and nontarget in another"
                    )

    def role(self, role: str) -> tuple[Utterance, ...]:
        """Give the utterances of a role.

        Parameters
        ----------
        role : "background", "enrol" or "test"
            Which.

        Returns
        -------
        tuple of Utterance
            In their order.
        """
        return {"background": self.background, "enrol": self.enrol, "test": self.test}[role]

    @cached_property
    def models(self) -> tuple[str, ...]:
        """The enrolled speakers, in the order that they first stand in `enrol`."""
        return tuple(dict.fromkeys(utterance.speaker for utterance in self.enrol))

    @cached_property
    def distinct_trials(self) -> tuple[Trial, ...]:
        """The trials of all lists, each once, in the order that they first stand in a list."""
        return tuple(dict.fromkeys(trial for trials in self.trials.values() for trial in trials))

    def warnings(self) -> tuple[str, ...]:
        """Say what about the lists makes results look better than they are.

        Returns
        -------
        tuple of str
            One sentence each; empty if all is well.
        """
        found = []
        background = {utterance.speaker for utterance in self.background}
        overlap = sorted(background & set(self.models))
        if overlap:
            found.append(f"{_some(overlap)} in both background and enrolment: scores against them are flattered")
        known = sorted(background & {utterance.speaker for utterance in self.test})
        if set(known) - set(overlap):
            found.append(f"{_some(known)} in both background and test: the background model has heard them")
        heard = sorted({utterance.path for utterance in self.enrol} & {utterance.path for utterance in self.test})
        if heard:
            found.append(f"{_some(heard)} in both enrolment and test: the model has heard the test")
        found += self._doubtful_labels()
        return tuple(found)

    def _doubtful_labels(self) -> list[str]:
        """Say which trials are labelled otherwise than the speakers of their tests suggest."""
        speaker = {utterance.id: utterance.speaker for utterance in self.test}
        doubtful = [
            f"{trial.model} {trial.test}"
            for trial in self.distinct_trials
            if trial.target != (speaker[trial.test] == trial.model)
        ]
        return [f"{_some(doubtful)}: labelled otherwise than the test's speaker says"] if doubtful else []


def _check_ids(role: str, utterances: Iterable[Utterance]) -> None:
    """Refuse an empty role, and an id that stands in it twice."""
    counts = Counter(utterance.id for utterance in utterances)
    if not counts:
        raise CorpusError(f"no {role} utterances")
    repeated = [utterance for utterance, count in counts.items() if count > 1]
    if repeated:
        raise CorpusError(f"{_some(repeated)} more than once among the {role} utterances")


def _some(names: list[str]) -> str:
    """Name a few of a list, and count the rest."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
