"""Roles and trials for corpora whose lists do not have them: by a seeded rule, or from trial lists."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydantic import Field, field_validator

from speechgmm.configuration import Configuration
from speechgmm.corpus.manifest import ROLES, Corpus, Role, Trial, Utterance, by_speaker
from speechgmm.corpus.problems import Problems
from speechgmm.corpus.trials import TrialLine, check_trials, known_name
from speechgmm.errors import CorpusError
from speechgmm.wording import first_few

UtterancesByRole = Mapping[Role | None, Sequence[Utterance]]
"""The utterances of each role; the key None has those without a role."""

TrialLines = Mapping[str, tuple[Path, list[TrialLine]]]
"""Trial lists as `speechgmm.corpus.trials.trial_lists` returns them."""

PROTOCOL_LIST = "trials"
"""Name of the trial list that a protocol makes."""


class ProtocolConfig(Configuration):
    """How utterances without a role become background, enrolment and tests, and which trials are made.

    The result depends only on the names of speakers and utterances and on the seed.

    Parameters
    ----------
    background : float >= 0, optional
        Background speakers: below 1 their share of all speakers, rounded; from 1 on their number. The default is half
        of the speakers, or none if the corpus already has a background. Speakers with too few utterances for a test
        come first, all of them; with 0 they are left out, and listed.
    n_enrol : int >= 1
        Enrolment utterances of each other speaker, drawn at random; the rest are tests.
    separate_sessions : bool
        Whether a speaker's enrolment and tests come from different sessions. Enrolment is then one whole session, or
        as many as are needed for `n_enrol` utterances.
    n_nontargets : int >= 1, optional
        Nontarget trials of each test, with models drawn at random; by default, all models of other speakers. Each test
        is also compared with the models of its own speaker.
    seed : int >= 0
        Seed of the random draws.
    """

    background: float | None = Field(None, ge=0)
    n_enrol: int = Field(3, ge=1)
    separate_sessions: bool = False
    n_nontargets: int | None = Field(None, ge=1)
    seed: int = Field(0, ge=0)

    @field_validator("background")
    @classmethod
    def _share_or_number(cls, value: float | None) -> float | None:
        """Refuse a number of speakers that is not whole."""
        if value is not None and value > 1 and value != int(value):
            raise ValueError(f"{value:g}; expected a share below 1, or a whole number of speakers")
        return value


def assemble(
    by_role: UtterancesByRole, lists: TrialLines, protocol: ProtocolConfig | None, problems: Problems
) -> Corpus:
    """Build a corpus; roles and trials that the lists do not have come from the trial lists or the protocol.

    With trial lists, utterances without a role get it from them: a model is enrolled from the utterance of its name,
    as VoxCeleb's are, or else from all utterances of the speaker of its name that are not tests; speakers who are in no
    trial are background. Without trial lists, the protocol divides them and makes the trials.

    Raises `CorpusError` if the lists have problems, or there are too few speakers or utterances for the protocol.
    """
    problems.check()
    if protocol is not None and lists:
        raise CorpusError("protocol: the trial lists say what is compared with what; expected one or the other")
    undivided = sorted_by_speaker(by_role.get(None, ()))
    roles = {role: list(by_role.get(role, ())) for role in ROLES}
    rule = protocol or ProtocolConfig()
    rng = np.random.default_rng(rule.seed)
    notes: tuple[str, ...] = ()
    if undivided and lists:
        added, notes = _roles_from_trials(undivided, lists)
    elif undivided:
        added, notes = _draw_roles(undivided, rule, bool(roles["background"]), rng)
    else:
        added = {}
    for role, utterances in added.items():
        roles[role] += utterances
    enrol, test = roles["enrol"], roles["test"]
    if lists:
        trials = _check_lists(lists, enrol, test, problems)
        problems.check()
    else:
        trials = {PROTOCOL_LIST: make_trials(enrol, test, rule.n_nontargets, rng)}
    # Background models have the names of their speakers.
    background = tuple(replace(utterance, model=None) for utterance in roles["background"])
    return Corpus(background, tuple(enrol), tuple(test), trials, notes)


def make_trials(
    enrol: Sequence[Utterance], test: Sequence[Utterance], n_nontargets: int | None, rng: np.random.Generator
) -> tuple[Trial, ...]:
    """List trials of each test with the models of its speaker, and with `n_nontargets` or all models of others.

    Trials are in the order of the tests, then of the models in the enrolment.
    """
    speaker_of = {utterance.enrols: utterance.speaker for utterance in enrol}
    models = tuple(speaker_of)
    trials = []
    for utterance in test:
        others = [number for number, model in enumerate(models) if speaker_of[model] != utterance.speaker]
        if n_nontargets is not None and n_nontargets < len(others):
            others = [others[drawn] for drawn in rng.choice(len(others), n_nontargets, replace=False)]
        targets = [number for number, model in enumerate(models) if speaker_of[model] == utterance.speaker]
        trials += [
            Trial(models[number], utterance.id, speaker_of[models[number]] == utterance.speaker)
            for number in sorted([*targets, *others])
        ]
    return tuple(trials)


def sorted_by_speaker(utterances: Sequence[Utterance]) -> list[Utterance]:
    """Sort utterances by speaker, then by id; raise `CorpusError` with the files of repeated ids."""
    known: dict[str, str] = {}
    problems = Problems()
    for utterance in utterances:
        if utterance.id in known:
            problems.add(
                f"{known[utterance.id]} and {utterance.path} would share the id {utterance.id}; expected different ids"
            )
        known[utterance.id] = utterance.path
    problems.check()
    return sorted(utterances, key=lambda utterance: (utterance.speaker, utterance.id))


def _draw_roles(
    utterances: Sequence[Utterance], rule: ProtocolConfig, has_background: bool, rng: np.random.Generator
) -> tuple[dict[Role, list[Utterance]], tuple[str, ...]]:
    """Draw background speakers, and enrolment and tests of the others; a note lists who is left out."""
    of_speaker = by_speaker(utterances)
    names = sorted(of_speaker)
    enrolment = {name: _draw_enrolment(of_speaker[name], rule, rng) for name in names}
    too_few = {name for name in names if len(enrolment[name]) == len(of_speaker[name])}
    n_background = _n_background(rule, len(names), has_background)
    drawn = [name for name in (names[number] for number in rng.permutation(len(names))) if name not in too_few]
    background = {*too_few, *drawn[: max(0, n_background - len(too_few))]} if n_background else set()
    roles: dict[Role, list[Utterance]] = {"background": [], "enrol": [], "test": []}
    for name in names:
        if name in background:
            roles["background"] += of_speaker[name]
        elif name not in too_few:
            for utterance in of_speaker[name]:
                roles["enrol" if utterance.id in enrolment[name] else "test"].append(utterance)
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


def _draw_enrolment(utterances: Sequence[Utterance], rule: ProtocolConfig, rng: np.random.Generator) -> set[str]:
    """Draw the enrolment ids of one speaker; all ids if no test would remain."""
    if not rule.separate_sessions:
        return {utterances[number].id for number in rng.permutation(len(utterances))[: rule.n_enrol]}
    session_of = {utterance.id: utterance.session or utterance.id for utterance in utterances}
    sessions = sorted({*session_of.values()})
    enrol: set[str] = set()
    for number in rng.permutation(len(sessions)):
        if len(enrol) >= rule.n_enrol:
            break
        enrol |= {name for name, session in session_of.items() if session == sessions[number]}
    return enrol


def _roles_from_trials(
    utterances: Sequence[Utterance], lists: TrialLines
) -> tuple[dict[Role, list[Utterance]], tuple[str, ...]]:
    """Find the roles that trial lists imply; a note lists unused utterances. Unknown names are reported later."""
    by_id = {utterance.id: utterance for utterance in utterances}
    of_speaker = by_speaker(utterances)
    trials = [trial for _, lines in lists.values() for _, trial in lines]
    tests = {known_name(trial.test, by_id) for trial in trials}
    models = dict.fromkeys(known_name(trial.model, by_id) for trial in trials)
    enrol: list[Utterance] = []
    for model in models:
        if model in by_id:
            enrol.append(_with_model(by_id[model], model))
        else:
            enrol += [
                _with_model(utterance, model) for utterance in of_speaker.get(model, []) if utterance.id not in tests
            ]
    test = [utterance for utterance in utterances if utterance.id in tests]
    evaluated = {utterance.speaker for utterance in (*enrol, *test)}
    background = [utterance for utterance in utterances if utterance.speaker not in evaluated]
    used = {utterance.id for utterance in (*background, *enrol, *test)}
    unused = [utterance.id for utterance in utterances if utterance.id not in used]
    notes = (f"{first_few(unused)}: not in any trial, though their speakers are; left out",) if unused else ()
    return {"background": background, "enrol": enrol, "test": test}, notes


def _with_model(utterance: Utterance, model: str) -> Utterance:
    """Return an utterance that enrols a model; the speaker's name is not stored as a model."""
    return utterance if model == utterance.speaker else replace(utterance, model=model)


def _check_lists(
    lists: TrialLines, enrol: Sequence[Utterance], test: Sequence[Utterance], problems: Problems
) -> dict[str, tuple[Trial, ...]]:
    """Check the trial lists against the utterances; return their trials."""
    models, tests = {utterance.enrols for utterance in enrol}, {utterance.id for utterance in test}
    trials = {}
    for name, (path, lines) in lists.items():
        with_ids = [
            (number, Trial(known_name(trial.model, models), known_name(trial.test, tests), trial.target))
            for number, trial in lines
        ]
        trials[name] = check_trials(path, with_ids, models, tests, problems)
    return trials
