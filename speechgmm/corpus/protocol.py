"""Who is enrolled, who is tested and who is background, where no lists say so: by rule and seed, or by the trials."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydantic import Field, field_validator

from speechgmm.configuration import Configuration
from speechgmm.corpus.manifest import ROLES, Corpus, Role, Trial, Utterance, by_speaker, first_few
from speechgmm.corpus.problems import Problems
from speechgmm.corpus.trials import TrialLine, check_trials, known_name
from speechgmm.errors import CorpusError

Pool = Mapping[Role | None, Sequence[Utterance]]
"""The utterances of each role, and under None those that have none yet."""

TrialLines = Mapping[str, tuple[Path, list[TrialLine]]]
"""Trial lists as `speechgmm.corpus.trials.trial_lists` gives them."""

MADE = "trials"
"""Name of a trial list that is made by rule."""


class ProtocolConfig(Configuration):
    """How utterances become background, enrolment and tests where nothing says so, and what is compared with what.

    The outcome depends on the names of speakers and utterances and on the seed, and on nothing else.

    Parameters
    ----------
    background : float >= 0, optional
        Below 1, the share of the speakers who are background, rounded; from 1 on, their number. Half of them when
        not given, and none where the corpus says who is background. Speakers who have too few utterances to be
        tested come first, however many there are; with 0 they are left out, and named.
    n_enrol : int >= 1
        Utterances that each of the other speakers is enrolled from, drawn; the rest are tests.
    separate_sessions : bool
        Whether nothing that a speaker is enrolled from was recorded on the same occasion as the tests. Enrolment is
        then one session, or as many as it takes to hold `n_enrol` utterances, all of which are taken.
    n_nontargets : int >= 1, optional
        For each test, the models of others that it is compared with, drawn; all when not given. Its own speaker's
        always is.
    seed : int >= 0
        Of what is drawn.
    """

    background: float | None = Field(None, ge=0)
    n_enrol: int = Field(3, ge=1)
    separate_sessions: bool = False
    n_nontargets: int | None = Field(None, ge=1)
    seed: int = Field(0, ge=0)

    @field_validator("background")
    @classmethod
    def _share_or_number(cls, value: float | None) -> float | None:
        """Refuse a number of speakers that is no whole one."""
        if value is not None and value > 1 and value != int(value):
            raise ValueError(f"{value:g}; expected a share below 1, or a whole number of speakers")
        return value


def assemble(pool: Pool, lists: TrialLines, protocol: ProtocolConfig | None, problems: Problems) -> Corpus:
    """Put a corpus together: what lists leave open is made by rule.

    Parameters
    ----------
    pool : mapping of Role or None to sequence of Utterance
        The utterances.
    lists : mapping
        The trial lists; where there is none, trials are made.
    protocol : ProtocolConfig, optional
        The rule; its defaults where one is needed and none given.
    problems : Problems
        What is wrong with the lists so far.

    Returns
    -------
    Corpus
        With all roles and trials. Utterances without a role get it from the trial lists if there are any: a model is
        then enrolled from the utterance of its name, as VoxCeleb's are, or from all utterances of the speaker of its
        name that are not tested; speakers who are in no trial are background.

    Raises
    ------
    CorpusError
        If anything is wrong with the lists, or a rule has too little to choose from.
    """
    problems.check()
    if protocol is not None and lists:
        raise CorpusError("protocol: the trial lists say what is compared with what; expected one or the other")
    undivided = unique(pool.get(None, ()))
    roles = {role: list(pool.get(role, ())) for role in ROLES}
    rule = protocol or ProtocolConfig()
    rng = np.random.default_rng(rule.seed)
    notes: tuple[str, ...] = ()
    if undivided and lists:
        added, notes = _roles_by_trials(undivided, lists)
    elif undivided:
        added, notes = _drawn_roles(undivided, rule, bool(roles["background"]), rng)
    else:
        added = {}
    for role, utterances in added.items():
        roles[role] += utterances
    enrol, test = roles["enrol"], roles["test"]
    if lists:
        trials = _checked(lists, enrol, test, problems)
        problems.check()
    else:
        trials = {MADE: make_trials(enrol, test, rule.n_nontargets, rng)}
    background = tuple(replace(each, model=None) for each in roles["background"])  # whose models go by their speakers
    return Corpus(background, tuple(enrol), tuple(test), trials, notes)


def make_trials(
    enrol: Sequence[Utterance], test: Sequence[Utterance], n_nontargets: int | None, rng: np.random.Generator
) -> tuple[Trial, ...]:
    """Compare every test with the models of its own speaker, and with those of all or of some others.

    Parameters
    ----------
    enrol, test : sequence of Utterance
        The models, and what is compared with them.
    n_nontargets : int >= 1, optional
        Models of others for each test; all when not given, or where there are no more.
    rng : numpy.random.Generator
        Draws them.

    Returns
    -------
    tuple of Trial
        Test by test, models in the order of the enrolment.
    """
    speaker_of = {utterance.enrols: utterance.speaker for utterance in enrol}
    models = tuple(speaker_of)
    trials = []
    for utterance in test:
        others = [number for number, model in enumerate(models) if speaker_of[model] != utterance.speaker]
        if n_nontargets is not None and n_nontargets < len(others):
            others = [others[each] for each in rng.choice(len(others), n_nontargets, replace=False)]
        own = [number for number, model in enumerate(models) if speaker_of[model] == utterance.speaker]
        trials += [
            Trial(models[number], utterance.id, speaker_of[models[number]] == utterance.speaker)
            for number in sorted([*own, *others])
        ]
    return tuple(trials)


def unique(utterances: Sequence[Utterance]) -> list[Utterance]:
    """Put utterances into the order of their names.

    Parameters
    ----------
    utterances : sequence of Utterance
        Any.

    Returns
    -------
    list of Utterance
        By speaker, then by id.

    Raises
    ------
    CorpusError
        If ids are there twice; the message names the files.
    """
    known: dict[str, str] = {}
    problems = Problems()
    for each in utterances:
        if each.id in known:
            problems.add(f"{known[each.id]} and {each.path} would share the id {each.id}; expected ids of their own")
        known[each.id] = each.path
    problems.check()
    return sorted(utterances, key=lambda each: (each.speaker, each.id))


def _drawn_roles(
    utterances: Sequence[Utterance], rule: ProtocolConfig, has_background: bool, rng: np.random.Generator
) -> tuple[dict[Role, list[Utterance]], tuple[str, ...]]:
    """Draw enrolment and tests of the speakers, and who is background instead; say who is left out."""
    of_speaker = by_speaker(utterances)
    names = sorted(of_speaker)
    enrolment = {name: _enrolment(of_speaker[name], rule, rng) for name in names}
    too_few = {name for name in names if len(enrolment[name]) == len(of_speaker[name])}
    n_background = _n_background(rule, len(names), has_background)
    drawn = [name for name in (names[number] for number in rng.permutation(len(names))) if name not in too_few]
    background = {*too_few, *drawn[: max(0, n_background - len(too_few))]} if n_background else set()
    roles: dict[Role, list[Utterance]] = {"background": [], "enrol": [], "test": []}
    for name in names:
        if name in background:
            roles["background"] += of_speaker[name]
        elif name not in too_few:
            for each in of_speaker[name]:
                roles["enrol" if each.id in enrolment[name] else "test"].append(each)
    n_evaluated = len({*names} - background - too_few)
    if n_evaluated < 2:
        raise CorpusError(
            f"{len(names)} speakers, {n_background} of them asked for as background, {len(too_few)} with no utterance "
            f"left for a test after {rule.n_enrol} for enrolment; expected two or more to enrol"
        )
    left_out = sorted(too_few - background)
    why = f"too few utterances for {rule.n_enrol} in enrolment and a test; left out"
    return roles, (f"{first_few(left_out)}: {why}",) if left_out else ()


def _n_background(rule: ProtocolConfig, n_speakers: int, has_background: bool) -> int:
    """Count the speakers to draw for the background."""
    if rule.background is None:
        return 0 if has_background else n_speakers // 2
    if has_background and rule.background:
        raise CorpusError(f"protocol.background {rule.background:g}: the corpus says who is background; leave it out")
    number = round(rule.background * n_speakers) if rule.background < 1 else int(rule.background)
    if number > n_speakers:
        raise CorpusError(f"protocol.background {number}: expected at most the {n_speakers} speakers that there are")
    return number


def _enrolment(own: Sequence[Utterance], rule: ProtocolConfig, rng: np.random.Generator) -> set[str]:
    """Draw what a speaker is enrolled from; all of it, where that leaves no test."""
    if not rule.separate_sessions:
        return {own[number].id for number in rng.permutation(len(own))[: rule.n_enrol]}
    sessions = sorted({each.session or each.id for each in own})
    enrol: set[str] = set()
    for number in rng.permutation(len(sessions)):
        if len(enrol) >= rule.n_enrol:
            break
        enrol |= {each.id for each in own if (each.session or each.id) == sessions[number]}
    return enrol


def _roles_by_trials(
    utterances: Sequence[Utterance], lists: TrialLines
) -> tuple[dict[Role, list[Utterance]], tuple[str, ...]]:
    """Give utterances the roles that trial lists suppose, and say what has none; unknown names are told of later."""
    by_id = {each.id: each for each in utterances}
    of_speaker = by_speaker(utterances)
    trials = [trial for _, lines in lists.values() for _, trial in lines]
    tests = {known_name(trial.test, by_id) for trial in trials}
    models = dict.fromkeys(known_name(trial.model, by_id) for trial in trials)
    enrol: list[Utterance] = []
    for model in models:
        own = [by_id[model]] if model in by_id else [each for each in of_speaker.get(model, []) if each.id not in tests]
        enrol += [_enrolling(each, model) for each in own]
    test = [each for each in utterances if each.id in tests]
    evaluated = {each.speaker for each in (*enrol, *test)}
    background = [each for each in utterances if each.speaker not in evaluated]
    used = {each.id for each in (*background, *enrol, *test)}
    idle = [each.id for each in utterances if each.id not in used]
    notes = (f"{first_few(idle)}: of speakers who are in trials, but in none themselves; left out",) if idle else ()
    return {"background": background, "enrol": enrol, "test": test}, notes


def _enrolling(utterance: Utterance, model: str) -> Utterance:
    """Say which model an utterance enrols, if that is not its speaker."""
    return utterance if model == utterance.speaker else replace(utterance, model=model)


def _checked(
    lists: TrialLines, enrol: Sequence[Utterance], test: Sequence[Utterance], problems: Problems
) -> dict[str, tuple[Trial, ...]]:
    """Hold the trial lists against the utterances."""
    models, tests = {each.enrols for each in enrol}, {each.id for each in test}
    trials = {}
    for name, (path, lines) in lists.items():
        known = [
            (number, Trial(known_name(trial.model, models), known_name(trial.test, tests), trial.target))
            for number, trial in lines
        ]
        trials[name] = check_trials(path, known, models, tests, problems)
    return trials
