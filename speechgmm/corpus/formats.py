"""Lists of utterances and trials as others keep them: Kaldi data directories and trial lists."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from speechgmm.configuration import Configuration
from speechgmm.corpus.manifest import ROLES, Corpus, Trial, Utterance
from speechgmm.errors import CorpusError
from speechgmm.files import numbered_lines, replacing

LABELS = {"target": True, "nontarget": False}


class KaldiConfig(Configuration):
    """A corpus of three Kaldi data directories and trial lists.

    Parameters
    ----------
    kind : "kaldi"
        Tells this kind of corpus from others.
    root : str
        Folder that the other paths, and those in ``wav.scp``, are relative to. In a recipe it is relative to the
        recipe, and ``${NAME}`` or ``${NAME:-default}`` in it stands for an environment variable.
    background, enrol, test : str
        Data directories with ``wav.scp``, ``utt2spk`` and perhaps ``spk2gender``.
    trials : list of str
        Trial lists, with lines of model, test utterance, and target or nontarget. A list goes by its file name
        without ``.txt``.
    """

    kind: Literal["kaldi"] = "kaldi"
    root: str
    background: str = "lists/background"
    enrol: str = "lists/enrol"
    test: str = "lists/test"
    trials: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] = ("trials.txt",)


def read_kaldi(config: KaldiConfig) -> Corpus:
    """Read a corpus from Kaldi data directories.

    Parameters
    ----------
    config : KaldiConfig
        Where things are.

    Returns
    -------
    Corpus
        The utterances, with paths of audio files that are not opened here, and the trials.

    Raises
    ------
    CorpusError
        If a list is missing, malformed or contradictory; the message names file and line.
    """
    root = Path(config.root).absolute()
    if not root.is_dir():
        raise CorpusError(f"{root}: no such folder; it is the root of the corpus")
    roles = {role: read_data_directory(root / getattr(config, role), root) for role in ROLES}
    models = {utterance.speaker for utterance in roles["enrol"]}
    tests = {utterance.id for utterance in roles["test"]}
    trials: dict[str, tuple[Trial, ...]] = {}
    for name in config.trials:
        path = root / name
        key = path.name.removesuffix(".txt")
        if key in trials:
            raise CorpusError(f"{path}: a second trial list by the name of {key}")
        trials[key] = read_trials(path, models=models, tests=tests)
    return Corpus(roles["background"], roles["enrol"], roles["test"], trials)


def read_data_directory(folder: Path, root: Path) -> tuple[Utterance, ...]:
    """Read one Kaldi data directory.

    Parameters
    ----------
    folder : Path
        Holds ``wav.scp``, ``utt2spk`` and perhaps ``spk2gender``.
    root : Path
        What relative paths in ``wav.scp`` are relative to.

    Returns
    -------
    tuple of Utterance
        In the order of ``wav.scp``.

    Raises
    ------
    CorpusError
        If a file is missing or malformed, an utterance has no speaker or no audio, ``wav.scp`` asks for a command
        to be run, or there is a ``segments`` file.
    """
    if (folder / "segments").exists():
        raise CorpusError(f"{folder / 'segments'}: segments of longer recordings are not supported")
    scp = folder / "wav.scp"
    speakers = _read_pairs(folder / "utt2spk")
    gender = folder / "spk2gender"
    sexes = _read_pairs(gender) if gender.exists() else {}
    utterances = []
    for id_, (line, audio) in _read_pairs(scp).items():
        if audio.endswith("|"):
            raise CorpusError(f"{scp}:{line}: {id_} is the output of a command; only files are read")
        if id_ not in speakers:
            raise CorpusError(f"{scp}:{line}: {id_} has no line in {folder / 'utt2spk'}")
        speaker = speakers.pop(id_)[1]
        sex = sexes.get(speaker)
        utterances.append(Utterance(id_, speaker, str(root / audio), sex[1] if sex else None))
    for id_, (line, _) in speakers.items():
        raise CorpusError(f"{folder / 'utt2spk'}:{line}: {id_} has no line in {scp}")
    return tuple(utterances)


def read_trials(path: Path, *, models: Iterable[str], tests: Iterable[str]) -> tuple[Trial, ...]:
    """Read a trial list: lines of model, test utterance, and target or nontarget.

    Parameters
    ----------
    path : Path
        The list.
    models, tests : iterable of str
        The enrolled speakers and the test utterances that a trial may name.

    Returns
    -------
    tuple of Trial
        In the order of the list.

    Raises
    ------
    CorpusError
        If the list is missing, empty or malformed, names an unknown model or test, or has a trial twice; the
        message names file and line.
    """
    models, tests = set(models), set(tests)
    lines: dict[Trial, int] = {}
    for number, line in numbered_lines(path):
        fields = line.split()
        if len(fields) != 3 or fields[2] not in LABELS:
            raise CorpusError(f"{path}:{number}: {line!r}; expected a model, a test utterance, and target or nontarget")
        model, test, label = fields
        if model not in models:
            raise CorpusError(f"{path}:{number}: unknown model {model!r}; no enrolment utterance is of this speaker")
        if test not in tests:
            raise CorpusError(f"{path}:{number}: unknown test {test!r}; it is not among the test utterances")
        for target in LABELS.values():
            if (before := lines.get(Trial(model, test, target))) is not None:
                raise CorpusError(f"{path}:{number}: trial {model} {test} stands on line {before} already")
        lines[Trial(model, test, LABELS[label])] = number
    if not lines:
        raise CorpusError(f"{path}: no trials")
    return tuple(lines)


def write_kaldi(corpus: Corpus, root: Path) -> None:
    """Write a corpus as Kaldi data directories and trial lists, for `read_kaldi` with its default paths.

    Parameters
    ----------
    corpus : Corpus
        Its audio files lie below `root`.
    root : Path
        Where to write ``lists/ROLE/`` and one ``NAME.txt`` for each trial list.

    Raises
    ------
    ValueError
        If an audio file lies elsewhere.
    OSError
        If a file cannot be written.
    """
    for role in ROLES:
        utterances = corpus.role(role)
        folder = root / "lists" / role
        audio = {utterance.id: Path(utterance.path).relative_to(root).as_posix() for utterance in utterances}
        _write_pairs(folder / "wav.scp", audio)
        _write_pairs(folder / "utt2spk", {utterance.id: utterance.speaker for utterance in utterances})
        sexes = {utterance.speaker: utterance.sex for utterance in utterances if utterance.sex}
        if sexes:
            _write_pairs(folder / "spk2gender", sexes)
    names = {target: label for label, target in LABELS.items()}
    for name, trials in corpus.trials.items():
        with replacing(root / f"{name}.txt") as temporary:
            lines = (f"{trial.model} {trial.test} {names[trial.target]}\n" for trial in trials)
            temporary.write_text("".join(lines), encoding="utf-8")


def _write_pairs(path: Path, pairs: Mapping[str, str]) -> None:
    """Write lines of a key and its value, in the order of the keys, as Kaldi wants them."""
    with replacing(path) as temporary:
        temporary.write_text("".join(f"{key} {pairs[key]}\n" for key in sorted(pairs)), encoding="utf-8")


def _read_pairs(path: Path) -> dict[str, tuple[int, str]]:
    """Read lines of a key and the rest; give for each key its line number and the rest."""
    pairs: dict[str, tuple[int, str]] = {}
    for number, line in numbered_lines(path):
        fields = line.split(maxsplit=1)
        if len(fields) != 2:
            raise CorpusError(f"{path}:{number}: {line!r}; expected two fields")
        if fields[0] in pairs:
            raise CorpusError(f"{path}:{number}: {fields[0]} stands on line {pairs[fields[0]][0]} already")
        pairs[fields[0]] = number, fields[1]
    return pairs
