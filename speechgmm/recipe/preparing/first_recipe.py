"""A first recipe for recordings that are new to the user: how many and how long they are decides its settings."""

import json
import os
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median_low

from jinja2 import Environment, PackageLoader, StrictUndefined

from speechgmm.corpus.formats.discovered import DiscoveredCorpus, KeyValue
from speechgmm.corpus.formats.discovered_tables import WRITTEN
from speechgmm.corpus.formats.tables import ColumnsConfig, read_utterances, write_utterances
from speechgmm.corpus.manifest import Utterance, by_speaker
from speechgmm.corpus.problems import Problems
from speechgmm.corpus.protocol import sorted_by_speaker
from speechgmm.corpus.reading import read_corpus
from speechgmm.corpus.synthetic.synthesis import SyntheticConfig
from speechgmm.errors import CorpusError
from speechgmm.files import replacing
from speechgmm.recipe.preparing.choice_of_systems import (
    ADAPTATION,
    BEST,
    BEST_PRETRAINED,
    NORMALISATION,
    PRETRAINED,
    SHIPPED_COMPONENTS,
    SHRINKAGE,
    Speech,
    SystemsChoice,
    SystemsName,
    choose_systems,
)
from speechgmm.recipe.preparing.survey import Survey
from speechgmm.recipe.reading.loader import load_recipe
from speechgmm.recipe.stages.rates import usual_rate
from speechgmm.wording import first_few

ENOUGH_SPEAKERS = 20
"""With fewer speakers, all of them are evaluated and none are background."""

MAX_RATE = 16000
"""Hz; recordings of higher rates are resampled to this one."""

MAX_ENROL = 10
"""Largest number of utterances that a speaker is enrolled from."""

MAX_NONTARGETS = 500
"""With more models than this, a test is compared with a sample of this many."""

PLAIN_TEXT = re.compile(r"(?:\.{0,2}/)*(?:[A-Za-z_][\w./-]*)?(?<!/)|\.{1,2}|/", re.ASCII)
"""Text that needs no quotes in YAML, but for `YAML_WORDS`."""

YAML_WORDS = frozenset(("", "null", "true", "false", "yes", "no", "on", "off", "y", "n"))
"""Text that YAML 1.1 or 1.2 reads as another value, in capitals or not."""

COMMENTS = {
    "columns": "names of the columns in the table",
    "sets": "folders that hold the folders of speakers",
    "channel": "the channels of a recording are averaged",
    "background": "whose speakers are for the background model",
    "evaluation": "whose speakers are enrolled and tested",
    "enrol": "recordings that enrol their speakers",
    "test": "recordings that are tests",
    "data": "whose recordings are divided",
    "trials": "what is compared with what",
}
"""What keys of the corpus section mean, for those that need a word."""

NORMALISED = f"{{method: {NORMALISATION}, shrinkage: {SHRINKAGE}}}"
"""How scores are normalised, as YAML."""

MAX_NAME = 80
"""Characters of a recipe's name, at most."""

MIN_WITH_DELTAS = 36
"""Imported features with as many in a frame are taken to hold deltas."""


@dataclass(frozen=True)
class FirstRecipeSettings:
    """The settings of a first recipe that depend on the recordings."""

    systems: SystemsChoice
    why: str  # which systems the recipe has and for what reason, in one line
    has_background: bool  # whether some speakers are background; if not, the enrolled ones take its place, or none do
    draws_background: bool = False  # whether its speakers are drawn, rather than given by the corpus
    n_enrol: int = 1  # utterances that a speaker is enrolled from, if the corpus does not say
    separate_sessions: bool = False  # whether enrolment and tests are from different sessions
    n_nontargets: int | None = None  # models of other speakers that a test is compared with; None for all


def choose_settings(recordings: Survey, systems: SystemsName = "default") -> FirstRecipeSettings:
    """Choose the settings that the recordings allow.

    There is a background model if speakers are many, or if the corpus says who is background; with the best systems
    there always is. Raises CorpusError if there are not two speakers with two recordings each to divide, or if the best
    systems are asked for where there are features instead of audio.
    """
    if systems == "best" and recordings.corpus.has_features:
        raise CorpusError(f"{recordings.corpus.root}: features; systems best read audio; expected default or fast")
    roles = recordings.usable
    background = _speech(recordings, by_speaker(roles.get("background", [])))
    if None not in roles:
        enrolment = _speech(recordings, by_speaker(roles.get("enrol", [])))
        pretrained = _fitting_models(recordings, recordings.utterances)
        chosen = choose_systems(systems, background, enrolment, pretrained=pretrained)
        return FirstRecipeSettings(chosen, _why(chosen, background, "no other speech"), background.n_speakers > 0)
    speakers = by_speaker(roles[None])
    evaluated = [utterances for utterances in speakers.values() if len(utterances) > 1]
    if len(evaluated) < 2:
        n = len(speakers)
        raise CorpusError(
            f"{recordings.corpus.root}: {n} speaker{'s' * (n != 1)}, {len(evaluated)} of them with two "
            f"recordings or more ({recordings.corpus.how}); expected two speakers with two recordings or more each"
        )
    draws = not background.n_speakers and len(speakers) >= ENOUGH_SPEAKERS
    separate = all(len({each.session for each in utterances}) > 1 for utterances in evaluated)
    usual = median_low([len(utterances) for utterances in evaluated])
    n_enrol = 1 if separate else max(1, min(MAX_ENROL, usual // 2))
    if draws:
        background = Speech(len(speakers) // 2, recordings.seconds(roles[None]) / 2)
    shares = [recordings.seconds(each) * n_enrol / len(each) for each in evaluated]
    enrolment = Speech(len(evaluated), sum(shares), min(shares))
    used = recordings.utterances if background.n_speakers else _with_tests(recordings, n_enrol)
    chosen = choose_systems(systems, background, enrolment, pretrained=_fitting_models(recordings, used))
    n_models = min(len(evaluated), len(speakers) // 2) if draws else len(evaluated)
    return FirstRecipeSettings(
        chosen,
        _why(chosen, background, "too few speakers"),
        background.n_speakers > 0,
        draws,
        n_enrol,
        separate,
        MAX_NONTARGETS if n_models > MAX_NONTARGETS else None,
    )


def _speech(recordings: Survey, of_speaker: Mapping[str, Sequence[Utterance]]) -> Speech:
    """Return how much speech there is of some speakers."""
    seconds = [recordings.seconds(utterances) for utterances in of_speaker.values()]
    return Speech(len(seconds), sum(seconds), min(seconds, default=0.0))


def _why(chosen: SystemsChoice, background: Speech, lack: str) -> str:
    """Say in one line which systems a recipe has and for what reason; `lack` is why there is no background."""
    if background.n_speakers:
        return chosen.why
    takes_enrolled = chosen.members and not chosen.pretrained
    return f"{chosen.why}; {lack} for a background model" + (" of others" if takes_enrolled else "")


def _fitting_models(recordings: Survey, used: Sequence[Utterance]) -> str | None:
    """Name the pretrained models of the rate of the recordings that are used; None if there are none, or no audio."""
    return None if recordings.corpus.has_features else PRETRAINED.get(common_rate(recordings.rates(used)))


def usable_utterances(recordings: Survey, settings: FirstRecipeSettings) -> list[Utterance]:
    """List the recordings that an experiment uses: without a background, none of speakers with too few to be tested."""
    if settings.has_background or None not in recordings.usable:
        return recordings.utterances
    return _with_tests(recordings, settings.n_enrol)


def _with_tests(recordings: Survey, n_enrol: int) -> list[Utterance]:
    """List the recordings of speakers who have tests beside so many recordings for enrolment."""
    speakers = recordings.of_speaker.values()
    return [each for utterances in speakers if len(utterances) > n_enrol for each in utterances]


def common_rate(rates: Collection[int]) -> int:
    """Return the sample rate of the features in Hz: the lowest of the recordings' rates, at most `MAX_RATE`."""
    return min((MAX_RATE, *rates))


def stated_rate(rates: Collection[int]) -> int | None:
    """Return the sample rate that a recipe has to state; None for the one that front ends take from the corpus."""
    rate = common_rate(rates)
    return None if rate == usual_rate(rates) else rate


def write_recipe(recordings: Survey, settings: FirstRecipeSettings, out: Path) -> tuple[Path, ...]:
    """Write a commented recipe, and return the paths of the files written.

    If some recordings cannot be used, a table beside the recipe lists those that can, and the recipe reads that table,
    so that no other recording is drawn; likewise if the kind of corpus cannot ask for the mean of channels. Raises
    CorpusError, and writes nothing, if one of the files exists, recordings share an id, or a table cannot hold their
    names.
    """
    table = out.with_name(f"{out.stem}{WRITTEN}") if recordings.needs_table else None
    written = (out,) if table is None else (out, table)
    for path in written:
        if path.exists():
            raise CorpusError(f"{path}: exists; expected another name, as in --out other.yaml")
    with ExitStack() as undo:
        if table is not None:
            undo.callback(table.unlink, missing_ok=True)
            recordings = replace(recordings, corpus=_list_usable(recordings, table))
        with replacing(out) as temporary:
            temporary.write_text(recipe_text(recordings, settings, out), encoding="utf-8")
            recipe = load_recipe(temporary)
            if not isinstance(recipe.corpus, SyntheticConfig):
                read_corpus(recipe.corpus)
        undo.pop_all()
    return written


def _list_usable(recordings: Survey, table: Path) -> DiscoveredCorpus:
    """Write a table of the recordings that can be used, and return it as a corpus.

    Where trial lists name recordings, the table lists all of them.
    """
    corpus, trials = recordings.corpus, recordings.corpus.keys.get("trials")
    usable = corpus.utterances if trials else recordings.usable
    listed = {role: tuple(utterances) for role, utterances in usable.items() if utterances}
    sorted_by_speaker(listed.get(None, ()))
    rows = {
        role: [replace(each, path=_relative_to(corpus.root, each.path)) for each in utterances]
        for role, utterances in listed.items()
    }
    write_utterances(table, rows)
    problems = Problems()
    by_role = read_utterances(table, corpus.root, ColumnsConfig(), problems)
    read = {each for utterances in by_role.values() for each in utterances}
    problems.check()
    if lost := [each.path for utterances in listed.values() for each in utterances if each not in read]:
        raise CorpusError(
            f"{first_few(lost)}: a table cannot list that name; expected UTF-8 text without white space around it"
        )
    place = Path(os.path.relpath(table.resolve(), corpus.root.resolve())).as_posix()
    how = f"{corpus.how}; those that can be used are in {table.name}"
    keys: dict[str, KeyValue] = {"table": place, **({"trials": trials} if trials else {})}
    return replace(corpus, kind="csv", utterances=listed, how=how, keys=keys)


def _relative_to(root: Path, path: str) -> str:
    """Return a path relative to a folder if it lies below that, or as it is."""
    return Path(path).relative_to(root).as_posix() if Path(path).is_relative_to(root) else path


def recipe_text(recordings: Survey, settings: FirstRecipeSettings, out: Path) -> str:
    """Return a recipe as YAML with comments, for a file at `out`, which its corpus root is relative to."""
    corpus, rates = recordings.corpus, recordings.rates(usable_utterances(recordings, settings))
    rate = stated_rate(rates)
    other_rates = [each for each in sorted(rates) if rate and each != rate]
    root = os.path.relpath(corpus.root, out.absolute().parent)
    environment = Environment(
        loader=PackageLoader("speechgmm", "recipe/preparing"),
        autoescape=False,  # it is YAML: the filters quote
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"yaml": to_yaml}
    return environment.get_template("first_recipe.yaml.j2").render(
        name=safe_name(out.stem),
        n_speakers=len(recordings.of_speaker),
        n_recordings=len(recordings.utterances),
        duration=format_duration(recordings),
        corpus=corpus,
        how="".join(char if char.isprintable() else "?" for char in corpus.how),
        root=Path(root).as_posix(),
        comments=COMMENTS,
        draws_roles=None in corpus.utterances,
        enough_speakers=ENOUGH_SPEAKERS,
        settings=settings,
        systems=settings.systems,
        members=BEST | BEST_PRETRAINED,
        adaptation=ADAPTATION,
        overrides=_overrides(settings.systems, rate, resample=bool(other_rates)),
        normalisation=NORMALISED,
        n_static=recordings.n_static,
        min_with_deltas=MIN_WITH_DELTAS,
        stated_rate=rate,
        other_rates=other_rates,
    )


def _overrides(systems: SystemsChoice, rate: int | None, *, resample: bool) -> str:
    """Return the keys in which systems differ from the shipped ones, as YAML."""
    front_end = [f"sample_rate: {rate}"] * (rate is not None) + ["resample: true"] * resample
    keys = [f"features: {{{', '.join(front_end)}}}"] if front_end else []
    if systems.is_adapted:
        keys.append(f"ubm: {{adapt: {ADAPTATION}}}")
    if systems.n_components != SHIPPED_COMPONENTS:
        keys.append(f"ubm: {{n_components: {systems.n_components}}}")
    if systems.is_normalised and systems.pretrained:
        keys.append(f"normalisation: {NORMALISED}")
    if not systems.is_normalised and not systems.pretrained:
        keys.append("normalisation: {method: none}")
    return ", ".join(keys)


def safe_name(name: str) -> str:
    """Return a name that a recipe may have, and a file by it."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:MAX_NAME] or "mine"


def format_duration(recordings: Survey) -> str:
    """Format how much audio there is, in hours, or in minutes if it is less than one hour."""
    hours = recordings.seconds(recordings.utterances) / 3600
    return f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.1f} minutes"


def to_yaml(value: KeyValue) -> str:
    """Return a value as YAML within one line, with text in quotes where it needs them."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return value if PLAIN_TEXT.fullmatch(value) and value.lower() not in YAML_WORDS else _quoted(value)
    if isinstance(value, tuple):
        return f"[{', '.join(map(to_yaml, value))}]"
    return f"{{{', '.join(f'{name}: {to_yaml(text)}' for name, text in value.items())}}}"


def _quoted(text: str) -> str:
    """Return text in quotes, as JSON and YAML write them."""
    return json.dumps(text, ensure_ascii=False)
