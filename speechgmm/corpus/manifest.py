"""Utterances, trials and corpora: plain values, checked when a corpus is built."""

from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from speechgmm.audio.reading import Channel
from speechgmm.corpus.problems import Problems
from speechgmm.wording import first_few

Role = Literal["background", "enrol", "test"]
ROLES: tuple[Role, ...] = ("background", "enrol", "test")


@dataclass(frozen=True)
class Utterance:
    """One recording of one speaker, or a segment of one.

    Parameters
    ----------
    id : str
        Name of the utterance, unique in each role.
    speaker : str
        The speaker's name.
    path : str
        The audio file. In a corpus of features, the archive instead, for Kaldi's with ``:OFFSET`` at the end.
    sex : str or None
        The speaker's sex as the corpus writes it, if it does.
    start, end : float >= 0, seconds, or None
        Segment of the recording; None for the recording's own start or end.
    channel : int >= 0, "mean" or None
        Which of several channels to read.
    session : str or None
        Name of the recording session, if the corpus has sessions.
    model : str or None
        In enrolment, the model that the utterance is for; None if the model has the speaker's name.

    Examples
    --------
    >>> from speechgmm import Utterance
    >>> utterance = Utterance("ann-1", "ann", "ann/monday.wav", start=0.5, end=2.0, model="ann-phone")
    >>> utterance.enrols
    'ann-phone'
    >>> utterance.audio
    ('ann/monday.wav', 0.5, 2.0, None)
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
        """Name of the model that the utterance enrols."""
        return self.speaker if self.model is None else self.model

    @property
    def audio(self) -> tuple[str, float | None, float | None, Channel]:
        """The audio of the utterance: file, start and end in seconds, and channel."""
        return self.path, self.start, self.end, self.channel


@dataclass(frozen=True)
class Trial:
    """One comparison of an enrolled model with a test utterance.

    Parameters
    ----------
    model : str
        Name of the enrolled model, usually its speaker's name.
    test : str
        Id of the test utterance.
    target : bool
        Whether the model's speaker speaks in the test utterance.

    Examples
    --------
    >>> from speechgmm import Trial
    >>> Trial("ann", "ann-2", target=True)
    Trial(model='ann', test='ann-2', target=True)
    """

    model: str
    test: str
    target: bool


@dataclass(frozen=True)
class Corpus:
    """Utterances in three roles, and the trials to score.

    Parameters
    ----------
    background : tuple of Utterance
        Trains the background model. Its speakers should not be enrolled. It may be empty for models that need no
        background.
    enrol : tuple of Utterance
        Enrols one model for each model name.
    test : tuple of Utterance
        Is compared with the models.
    trials : mapping of str to tuple of Trial
        Trial lists by name.
    notes : tuple of str
        What was left out when the corpus was built, and why: one sentence each.

    Raises
    ------
    CorpusError
        If there is no enrolment or no test, an id is repeated in a role, there is no trial list, a trial names an
        unknown model or test, or two lists label a trial differently. The message lists all of it.

    Examples
    --------
    >>> from speechgmm import Corpus, Trial, Utterance
    >>> enrol = (Utterance("ann-1", "ann", "ann/1.wav"), Utterance("bob-1", "bob", "bob/1.wav"))
    >>> test = (Utterance("ann-2", "ann", "ann/2.wav"),)
    >>> trials = (Trial("ann", "ann-2", target=True), Trial("bob", "ann-2", target=False))
    >>> corpus = Corpus(background=(), enrol=enrol, test=test, trials={"trials": trials})
    >>> corpus.models
    ('ann', 'bob')
    >>> [utterance.path for utterance in corpus.role("test")]
    ['ann/2.wav']
    >>> corpus.warnings()
    ()
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
                    problems.add(f"trial list {name}: unknown model {trial.model!r}; no utterance enrols it")
                if trial.test not in tests:
                    problems.add(f"trial list {name}: unknown test {trial.test!r}; it is not a test utterance")
                if labels.setdefault((trial.model, trial.test), trial.target) != trial.target:
                    problems.add(f"trial {trial.model} {trial.test} is target in one list and nontarget in another")
        problems.check()

    def role(self, role: str) -> tuple[Utterance, ...]:
        """Return the utterances of a role.

        Parameters
        ----------
        role : "background", "enrol" or "test"
            The role.

        Returns
        -------
        tuple of Utterance
            In the order of the corpus.
        """
        return {"background": self.background, "enrol": self.enrol, "test": self.test}[role]

    @cached_property
    def models(self) -> tuple[str, ...]:
        """Names of the enrolled models, in order of first appearance in `enrol`."""
        return tuple(dict.fromkeys(utterance.enrols for utterance in self.enrol))

    @cached_property
    def speaker_of(self) -> Mapping[str, str]:
        """The speaker of each model, by model name."""
        return {utterance.enrols: utterance.speaker for utterance in self.enrol}

    @cached_property
    def distinct_trials(self) -> tuple[Trial, ...]:
        """The trials of all lists without repetitions, in order of first appearance."""
        return tuple(dict.fromkeys(trial for trials in self.trials.values() for trial in trials))

    @cached_property
    def compared(self) -> Set[tuple[str, str]]:
        """The pairs of a model and a test that the trials of all lists compare."""
        return {(trial.model, trial.test) for trials in self.trials.values() for trial in trials}

    def warnings(self) -> tuple[str, ...]:
        """List what was left out of the corpus, and what in it makes results look better than they are.

        Returns
        -------
        tuple of str
            One sentence each: the notes, speakers in both background and evaluation, audio in both enrolment and
            test that a trial compares, and trial labels that contradict the speakers. Empty if there is nothing to
            warn of.
        """
        return (*self.notes, *self._shared_speakers(), *shared_audio(self), *self._doubtful_labels())

    def _shared_speakers(self) -> list[str]:
        """List the speakers of the background who are enrolled or tested."""
        warnings = []
        background = {utterance.speaker for utterance in self.background}
        overlap = sorted(background & set(self.speaker_of.values()))
        if overlap:
            warnings.append(
                f"{first_few(overlap)} in both background and enrolment: their scores look better than they are"
            )
        known = sorted(background & {utterance.speaker for utterance in self.test})
        if set(known) - set(overlap):
            warnings.append(
                f"{first_few(known)} in both background and test: the background model is trained on their speech"
            )
        return warnings

    def _doubtful_labels(self) -> list[str]:
        """List the trials whose label contradicts the speakers of model and test."""
        speaker = {utterance.id: utterance.speaker for utterance in self.test}
        doubtful = [
            f"{trial.model} {trial.test}"
            for trial in self.distinct_trials
            if trial.target != (speaker[trial.test] == self.speaker_of[trial.model])
        ]
        return [f"{first_few(doubtful)}: the label contradicts the speaker of the test"] if doubtful else []


def shared_audio(corpus: Corpus) -> tuple[str, ...]:
    """Warn of audio that a model is enrolled from and compared with; a file under another name is not noticed."""
    models: dict[tuple[Any, ...], list[str]] = {}
    for utterance in corpus.enrol:
        models.setdefault(utterance.audio, []).append(utterance.enrols)
    shared = sorted(
        {
            test.audio
            for test in corpus.test
            if any((model, test.id) in corpus.compared for model in models.get(test.audio, ()))
        },
        key=str,
    )
    if not shared:
        return ()
    paths = first_few([path for path, *_ in shared])
    return (f"{paths} in both enrolment and test: the model is enrolled from the test recording",)


def _check_ids(role: Role, utterances: Iterable[Utterance], problems: Problems) -> None:
    """Report repeated ids in a role, and a role without utterances that needs some."""
    counts = Counter(utterance.id for utterance in utterances)
    if not counts and role != "background":
        problems.add(f"no {role} utterances")
    repeated = [utterance for utterance, count in counts.items() if count > 1]
    if repeated:
        problems.add(f"{first_few(repeated)} more than once among the {role} utterances")


def by_speaker(utterances: Iterable[Utterance]) -> dict[str, list[Utterance]]:
    """Group utterances by speaker; speakers and utterances keep their order."""
    groups: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        groups.setdefault(utterance.speaker, []).append(utterance)
    return groups
