"""Draws of development corpora: fewer background speakers, background speakers as a corpus, and degraded tests.

A draw is a folder of Kaldi lists; its recordings stay where they are, or are degraded copies.
"""

import io
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import butter, correlate, sosfiltfilt

ROLES = ("background", "enrol", "test")


@dataclass(frozen=True)
class Draw:
    """A corpus to measure on."""

    corpus: str  # the corpus it is drawn from, which has the weight of one however many draws it has
    name: str
    section: Mapping[str, object]  # the corpus section of a recipe
    n_speakers: int  # of its background
    seed: int = 0
    front_end: Mapping[str, object] | None = None  # of a corpus of features


def kaldi(root: Path, **keys: object) -> dict[str, object]:
    """Return the corpus section of Kaldi lists."""
    lists = [path.name for path in sorted(root.glob("trials*.txt"), reverse=True)]
    return {"kind": "kaldi", "root": str(root), "trials": lists, **keys}


def read_pairs(path: Path) -> dict[str, str]:
    """Read lines of a name and a value."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split(maxsplit=1) for line in lines)  # type: ignore[misc]


def write_list(folder: Path, source: Path, kept: Collection[str], root: Path) -> None:
    """Write a data directory with some of another's utterances; paths become absolute."""
    folder.mkdir(parents=True, exist_ok=True)
    speakers = {name: speaker for name, speaker in read_pairs(source / "utt2spk").items() if name in kept}
    _write_pairs(folder / "utt2spk", speakers)
    for scp in ("wav.scp", "feats.scp"):
        if (source / scp).exists():
            places = read_pairs(source / scp)
            _write_pairs(folder / scp, {name: str(root / places[name]) for name in speakers})
    if (source / "spk2gender").exists():
        sexes = read_pairs(source / "spk2gender")
        _write_pairs(folder / "spk2gender", {each: sexes[each] for each in sorted({*speakers.values()} & {*sexes})})


def _write_pairs(path: Path, pairs: Mapping[str, str]) -> None:
    """Write lines of a name and a value."""
    path.write_text("".join(f"{name} {value}\n" for name, value in pairs.items()), encoding="utf-8")


def fewer_speakers(
    source: Path, n_speakers: int, seed: int, folder: Path, drawn_from: Collection[str] | None = None
) -> Path:
    """Draw some of a corpus's background speakers, or of those that are given; the other lists stay."""
    known = read_pairs(source / "lists/background/utt2spk")
    names = sorted({*known.values()} if drawn_from is None else {*known.values()} & {*drawn_from})
    rng = np.random.default_rng([seed, n_speakers])
    drawn = {names[number] for number in rng.permutation(len(names))[:n_speakers]}
    kept = {name for name, speaker in known.items() if speaker in drawn}
    write_list(folder / "lists/background", source / "lists/background", kept, source)
    for role in ("enrol", "test"):
        write_list(
            folder / f"lists/{role}", source / f"lists/{role}", read_pairs(source / f"lists/{role}/utt2spk"), source
        )
    _copy_trials(source, folder)
    return folder


def half_of_background(source: Path, which: int, n_enrol: int, folder: Path) -> Path:
    """Make a corpus of the background's speakers: one half is the background, the others are enrolled and tested."""
    lists = source / "lists/background"
    known = read_pairs(lists / "utt2spk")
    names = sorted({*known.values()})
    rng = np.random.default_rng(7)
    half = np.array_split(rng.permutation(len(names)), 2)[which]
    background = {names[number] for number in half}
    write_list(folder / "lists/background", lists, {each for each, who in known.items() if who in background}, source)
    roles: dict[str, set[str]] = {"enrol": set(), "test": set()}
    for speaker in sorted({*names} - background):
        own = sorted(each for each, who in known.items() if who == speaker)
        drawn = [own[number] for number in rng.permutation(len(own))]
        roles["enrol"] |= {*drawn[:n_enrol]}
        roles["test"] |= {*drawn[n_enrol:]}
    for role, kept in roles.items():
        write_list(folder / f"lists/{role}", lists, kept, source)
    models = sorted({known[each] for each in roles["enrol"]})
    lines = [
        f"{model} {test} {'target' if known[test] == model else 'nontarget'}\n"
        for test in sorted(roles["test"])
        for model in models
    ]
    (folder / "trials.txt").write_text("".join(lines), encoding="utf-8")
    return folder


def degrade_tests(source: Path, how: str, folder: Path) -> Path:
    """Copy a corpus with its test recordings degraded: "band" (300-3,400 Hz) or "mp3" (24 kb/s)."""
    for role in ROLES:
        if (source / f"lists/{role}").exists():
            write_list(
                folder / f"lists/{role}", source / f"lists/{role}", read_pairs(source / f"lists/{role}/utt2spk"), source
            )
    places = read_pairs(folder / "lists/test/wav.scp")
    (folder / "degraded").mkdir(exist_ok=True)
    for name, path in places.items():
        samples, rate = soundfile.read(path)
        places[name] = str(folder / "degraded" / f"{name}.flac")
        changed = through_telephone(samples, rate) if how == "band" else through_mp3(samples, rate)
        soundfile.write(places[name], changed, rate, subtype="PCM_16")
    _write_pairs(folder / "lists/test/wav.scp", places)
    _copy_trials(source, folder)
    return folder


def through_telephone(samples: np.ndarray, rate: int) -> np.ndarray:
    """Let 300 to 3,400 Hz pass."""
    sections = butter(8, (300, min(3400, 0.49 * rate)), "bandpass", fs=rate, output="sos")
    return np.clip(sosfiltfilt(sections, samples), -1, 1)


def through_mp3(samples: np.ndarray, rate: int) -> np.ndarray:
    """Encode at 24 kb/s, decode, and put the result where the original was."""
    highest = 160 if rate >= 16000 else 64  # kb/s that libsndfile calls compression level 0; 1 is 8 kb/s
    coded = io.BytesIO()
    level = (highest - 24) / (highest - 8)
    soundfile.write(coded, samples, rate, format="MP3", bitrate_mode="CONSTANT", compression_level=level)
    coded.seek(0)
    decoded, _ = soundfile.read(coded)
    padded = np.zeros(max(len(samples), len(decoded)))
    padded[: len(samples)] = samples
    likeness = correlate(np.pad(decoded, (0, len(padded) - len(decoded))), padded, method="fft")
    delay = max(0, int(np.argmax(likeness)) - (len(padded) - 1))
    shifted = decoded[delay : delay + len(samples)]
    return np.pad(shifted, (0, len(samples) - len(shifted)))


def _copy_trials(source: Path, folder: Path) -> None:
    """Copy the trial lists."""
    for path in source.glob("trials*.txt"):
        (folder / path.name).write_bytes(path.read_bytes())


def development_draws(
    data: Path, folder: Path, degraded: Collection[str] = (), *, n_draws: int = 5, n_degraded: int = 5
) -> Iterator[Draw]:
    """Yield draws of the corpora in `data`, made in `folder`: `n_draws` of each size of background, or fewer.

    `degraded` adds copies with such tests, of the first `n_degraded` draws of each size.
    """
    for corpus, sizes, most in (("so762", (10, 14, 30), 5), ("libri", (14, 30), 2)):
        source = data / corpus
        sources = [(corpus, source, count_speakers(source), 0)]
        for seed in range(min(most, n_draws)):
            for size in sizes:
                name = f"{corpus}-{size}-{seed}"
                sources.append((name, fewer_speakers(source, size, seed, folder / name), size, seed))
        for name, root, size, seed in sources:
            yield Draw(corpus, name, kaldi(root), size, seed)
            for how in degraded if seed < n_degraded else ():
                made = degrade_tests(root, how, folder / f"{name}-{how}")
                yield Draw(corpus, f"{name}-{how}", kaldi(made), size, seed)
    for which in (0, 1):
        root = half_of_background(data / "so762", which, 4, folder / f"so762-half-{which}")
        yield Draw("so762", root.name, kaldi(root), count_speakers(root))
    yield Draw("fsdd", "fsdd", kaldi(data / "fsdd", background=None), 6)
    yield Draw("voices", "voices", {"kind": "synthetic", "n_speakers": 20}, 20)
    yield from given_draws(data / "an4_feat", folder)


def given_draws(source: Path, folder: Path) -> Iterator[Draw]:
    """Yield the draws of a corpus of features."""
    front_end = {"kind": "given", "n_static": 13, "deltas": {"order": 2, "window": 3}}
    sources = [(source.name, source, count_speakers(source), 0)]
    for seed in range(2):
        for size in (10, 14):
            name = f"{source.name}-{size}-{seed}"
            sources.append((name, fewer_speakers(source, size, seed, folder / name), size, seed))
    for name, root, size, seed in sources:
        yield Draw(source.name, name, kaldi(root, input="features"), size, seed, front_end)


def count_speakers(source: Path) -> int:
    """Count the background speakers of a corpus."""
    return len({*read_pairs(source / "lists/background/utt2spk").values()})
