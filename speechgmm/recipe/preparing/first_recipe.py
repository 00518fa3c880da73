"""A first recipe for recordings that are new to the user: how many and how long they are decides its settings."""

import json
import os
import re
from collections.abc import Collection
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
from speechgmm.recipe.preparing.survey import Survey
from speechgmm.recipe.reading.loader import load_recipe
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
    "background": "whose speakers train the background model",
    "evaluation": "whose speakers are enrolled and tested",
    "enrol": "recordings that enrol their speakers",
    "test": "recordings that are tests",
    "data": "whose recordings are divided",
    "trials": "what is compared with what",
}
"""What keys of the corpus section mean, for those that need a word."""

MAX_NAME = 80
"""Characters of a recipe's name, at most."""

FRAMES_PER_GAUSSIAN = 40
"""Enrolment frames for each Gaussian of a speaker's independent model, about."""


@dataclass(frozen=True)
class FirstRecipeSettings:
    """The settings of a first recipe that depend on the recordings."""

    has_background: bool  # whether there is a background model; if not, each speaker has an independent model
    draws_background: bool  # whether its speakers are drawn, rather than given by the corpus
    n_components: int  # Gaussians of the background model, or of each speaker's
    n_enrol: int = 1  # utterances that a speaker is enrolled from, if the corpus does not say
    separate_sessions: bool = False  # whether enrolment and tests are from different sessions
    n_nontargets: int | None = None  # models of other speakers that a test is compared with; None for all


def choose_settings(recordings: Survey) -> FirstRecipeSettings:
    """Choose the settings that the recordings allow.

    There is a background model if speakers are many, or if the corpus says who is background. Raises CorpusError if
    there are not two speakers with two recordings each to divide.
    """
    roles = recordings.usable
    background = roles.get("background", [])
    if None not in roles:
        frames = 100 * min(map(recordings.seconds, by_speaker(roles.get("enrol", [])).values()), default=0.0)
        size = _ubm_size(recordings.seconds(background)) if background else _independent_size(frames)
        return FirstRecipeSettings(bool(background), False, size)
    speakers = by_speaker(roles[None])
    evaluated = [utterances for utterances in speakers.values() if len(utterances) > 1]
    if len(evaluated) < 2:
        n = len(speakers)
        raise CorpusError(
            f"{recordings.corpus.root}: {n} speaker{'s' * (n != 1)}, {len(evaluated)} of them with two "
            f"recordings or more ({recordings.corpus.how}); expected two speakers with two recordings or more each"
        )
    draws = not background and len(speakers) >= ENOUGH_SPEAKERS
    separate = all(len({each.session for each in utterances}) > 1 for utterances in evaluated)
    usual = median_low([len(utterances) for utterances in evaluated])
    n_enrol = 1 if separate else max(1, min(MAX_ENROL, usual // 2))
    frames = 100 * min(recordings.seconds(each) * n_enrol / len(each) for each in evaluated)
    seconds = recordings.seconds(roles[None]) / 2 if draws else recordings.seconds(background)
    size = _ubm_size(seconds) if draws or background else _independent_size(frames)
    n_models = min(len(evaluated), len(speakers) // 2) if draws else len(evaluated)
    return FirstRecipeSettings(
        draws or bool(background),
        draws,
        size,
        n_enrol,
        separate,
        MAX_NONTARGETS if n_models > MAX_NONTARGETS else None,
    )


def _ubm_size(seconds: float) -> int:
    """Return the number of Gaussians of a background model that so many seconds train: a power of two."""
    if seconds < 180:
        return min(16, _independent_size(80 * seconds))  # if a fifth of it is no speech
    return 256 if seconds >= 1200 else 64


def _independent_size(frames: float) -> int:
    """Return the number of Gaussians of a speaker's independent model: a power of two, 1 to 32."""
    return min(32, 1 << max(0, int(frames / FRAMES_PER_GAUSSIAN).bit_length() - 1))


def usable_utterances(recordings: Survey, settings: FirstRecipeSettings) -> list[Utterance]:
    """List the recordings that an experiment uses: without a background, none of speakers with too few to be tested."""
    if settings.has_background or None not in recordings.usable:
        return recordings.utterances
    speakers = recordings.of_speaker.values()
    return [each for utterances in speakers if len(utterances) > settings.n_enrol for each in utterances]


def common_rate(rates: Collection[int]) -> int:
    """Return the sample rate of the features in Hz: the lowest of the recordings' rates, at most `MAX_RATE`."""
    return min(MAX_RATE, *rates)


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
    sample_rate = common_rate(rates)
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
        sample_rate=sample_rate,
        other_rates=[rate for rate in sorted(rates) if rate != sample_rate],
    )


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
