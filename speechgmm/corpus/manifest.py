"""Who said what, and who is compared with whom: plain values, checked when a corpus is put together."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from speechgmm.audio.reading import Channel
from speechgmm.corpus.problems import Problems

Role = Literal["background", "enrol", "test"]
ROLES: tuple[Role, ...] = ("background", "enrol", "test")


@dataclass(frozen=True)
class Utterance:
    """One recording of one speaker, or a segment of one.

    Parameters
    ----------
    id : str
        Its name, once in each list.
    speaker : str
        Who speaks.
    path : str
        The audio file; or, where features are given, their place: an archive of Kaldi's with ``:OFFSET``.
    sex : str or None
        As the corpus gives it, where it does.
    start, end : float >= 0, seconds, or None
        Of a segment; the recording's own ends where they are not given.
    channel : int >= 0, "mean" or None
        Of several channels, which to read.
    session : str or None
        What was recorded on one occasion, where the corpus tells.
    model : str or None
        In enrolment, the model that it is for, where that does not go by the speaker's name.
    """

    id: str
    speaker: str
    path: str
    sex: str | None = None
    start: float | None = None
    end: float | None = None
    channel: Channel = None
    session: str | None = None
    model: str | None = None

    @property
    def enrols(self) -> str:
        """The model that it is for, in enrolment."""
        return self.speaker if self.model is None else self.model

    @property
    def audio(self) -> tuple[str, float | None, float | None, Channel]:
        """What is heard in it: the file, the segment, and the channel."""
        return self.path, self.start, self.end, self.channel


@dataclass(frozen=True)
class Trial:
    """One comparison.

    Parameters
    ----------
    model : str
        The enrolled model, which mostly goes by its speaker's name.
    test : str
        The test utterance.
    target : bool
        Whether the model's speaker speaks in it.
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
        Trains the background model; none of its speakers should be enrolled. It may be empty, for models that need
        none.
    enrol : tuple of Utterance
        Makes one model of each speaker.
    test : tuple of Utterance
        Is compared with the models.
    trials : mapping of str to tuple of Trial
        Trial lists by name.
    notes : tuple of str
        What was left out when the corpus was put together, and why: a sentence each.

    Raises
    ------
    CorpusError
        If there is no enrolment or no test, an id stands in a role twice, there is no trial list, a trial names an
        unknown model or test, or two lists label a trial differently; all of it at once.
    """

    background: tuple[Utterance, ...]
    enrol: tuple[Utterance, ...]
    test: tuple[Utterance, ...]
    trials: Mapping[str, tuple[Trial, ...]]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problems = Problems()
        for role in ROLES:
            _check_ids(role, self.role(role), problems)
        if not self.trials:
            problems.add("no trial list: there is nothing to score")
        labels: dict[tuple[str, str], bool] = {}
        tests = {utterance.id for utterance in self.test}
        models = set(self.models)
        for name, trials in self.trials.items():
            for trial in trials:
                if trial.model not in models:
                    problems.add(f"trial list {name}: unknown model {trial.model!r}; nobody enrols it")
                if trial.test not in tests:
                    problems.add(f"trial list {name}: unknown test {trial.test!r}; it is not a test utterance")
                if labels.setdefault((trial.model, trial.test), trial.target) != trial.target:
                    problems.add(f"trial {trial.model} {trial.test} is target in one list and nontarget in another")
        problems.check()

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
        """The enrolled models, in the order that they first stand in `enrol`; mostly the names of their speakers."""
        return tuple(dict.fromkeys(utterance.enrols for utterance in self.enrol))

    @cached_property
    def speaker_of(self) -> Mapping[str, str]:
        """Who speaks, for each model."""
        return {utterance.enrols: utterance.speaker for utterance in self.enrol}

    @cached_property
    def distinct_trials(self) -> tuple[Trial, ...]:
        """The trials of all lists, each once, in the order that they first stand in a list."""
        return tuple(dict.fromkeys(trial for trials in self.trials.values() for trial in trials))

    def warnings(self) -> tuple[str, ...]:
        """Say what about the lists makes results look better than they are, and what was left out of them.

        Returns
        -------
        tuple of str
            One sentence each; empty if all is well.
        """
        found = list(self.notes)
        background = {utterance.speaker for utterance in self.background}
        overlap = sorted(background & set(self.speaker_of.values()))
        if overlap:
            found.append(f"{first_few(overlap)} in both background and enrolment: scores against them are flattered")
        known = sorted(background & {utterance.speaker for utterance in self.test})
        if set(known) - set(overlap):
            found.append(f"{first_few(known)} in both background and test: the background model has heard them")
        heard = sorted({each.audio for each in self.enrol} & {each.audio for each in self.test}, key=str)
        if heard:
            found.append(
                f"{first_few([path for path, *_ in heard])} in both enrolment and test: the model has heard the test"
            )
        found += self._doubtful_labels()
        return tuple(found)

    def _doubtful_labels(self) -> list[str]:
        """Say which trials are labelled otherwise than the speakers of their tests suggest."""
        speaker = {utterance.id: utterance.speaker for utterance in self.test}
        doubtful = [
            f"{trial.model} {trial.test}"
            for trial in self.distinct_trials
            if trial.target != (speaker[trial.test] == self.speaker_of[trial.model])
        ]
        return [f"{first_few(doubtful)}: labelled otherwise than the test's speaker says"] if doubtful else []


def _check_ids(role: Role, utterances: Iterable[Utterance], problems: Problems) -> None:
    """Find a role without utterances that needs some, and an id that stands in it twice."""
    counts = Counter(utterance.id for utterance in utterances)
    if not counts and role != "background":
        problems.add(f"no {role} utterances")
    repeated = [utterance for utterance, count in counts.items() if count > 1]
    if repeated:
        problems.add(f"{first_few(repeated)} more than once among the {role} utterances")


def by_speaker(utterances: Iterable[Utterance]) -> dict[str, list[Utterance]]:
    """Group utterances by who speaks.

    Parameters
    ----------
    utterances : iterable of Utterance
        Any.

    Returns
    -------
    dict from str to list of Utterance
        Speakers and utterances in their order.
    """
    groups: dict[str, list[Utterance]] = {}
    for each in utterances:
        groups.setdefault(each.speaker, []).append(each)
    return groups


def first_few(names: Sequence[str]) -> str:
    """Name a few of a list, and count the rest.

    Parameters
    ----------
    names : sequence of str
        Any.

    Returns
    -------
    str
        The first three, and how many more there are.
    """
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
