"""Lists the speech of the pretrained recognisers, and builds them.

Usage: python benchmarks/pretrained.py list
       python benchmarks/pretrained.py build NAME [--out FOLDER] [--half 0|1 | --without CORPUS] [--workers N]

``list`` writes ``recipes/pretrained/speech.csv``: all utterances of speechocean762, and those of LibriSpeech cut into
pieces of about two and four seconds. ``build NAME`` runs ``recipes/pretrained/NAME.yaml`` and writes FOLDER/NAME, by
default into ``speechgmm/pretrained``. With ``--half`` it trains on one half of the speakers, and with ``--without`` on
the other corpus alone: for tests with the others. Results and cache are in the folder ``results``. The data are in
$SPEECHGMM_DATA.
"""

import argparse
import csv
import os
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

from meetings import half_of, recordings
from pydantic import JsonValue

from speechgmm import Engine, load_recipe, run
from speechgmm.audio.condition import Condition, measure_condition
from speechgmm.audio.reading import load_audio
from speechgmm.audio.seen import summarise
from speechgmm.augmentation.augment import CopyPlan
from speechgmm.augmentation.config import AugmentConfig
from speechgmm.files import write_csv
from speechgmm.gallery.building import RecogniserSource
from speechgmm.gallery.pretrained import write_pretrained
from speechgmm.gmm.adaptation import AdaptationConfig
from speechgmm.recipe.results.gallery import recogniser_of_results

HERE = Path(__file__).resolve().parent.parent
RECIPES = HERE / "recipes" / "pretrained"
COLUMNS = ("id", "path", "speaker", "role", "sex", "start", "end")
CORPORA = ("so762", "libri")
Row = tuple[str, ...]

PIECES = (2.0, 4.0)
"""Seconds of the pieces of a recording, about, in turn: tests may be as short."""

ENROLMENT_COPIES = 8
"""Augmented copies of each enrolled recording: more than in training, as a speaker may have one recording alone."""

MEASURED = 8
"""Of so many utterances, one is measured with its copies."""

RARELY = 0.005
"""Share of recordings and copies that are beyond either end of what the models were trained on."""

SOURCES: JsonValue = [
    {"name": "speechocean762", "licence": "Apache-2.0", "url": "https://www.openslr.org/101"},
    {"name": "LibriSpeech", "licence": "CC-BY-4.0", "url": "https://www.openslr.org/12"},
]

VERSIONS = {"speech16k": 3}
"""Rise when the recognisers are trained again."""


def list_speech(data: Path, half: int | None = None, without: str | None = None) -> list[Row]:
    """List the background, and speakers of LibriSpeech for enrolment and tests.

    Of all speakers, or of one half of them; the background of both corpora, or of one.
    """
    rows: list[Row] = []
    for corpus in CORPORA:
        kept = set(half_of(recordings(data, corpus), half))
        with (data / corpus / "speakers.tsv").open() as stream:
            sexes = {row["speaker"]: row["sex"] for row in csv.DictReader(stream, delimiter="\t")}
        for part in ("background", "enrol", "test"):
            folder = data / corpus / "lists" / part
            speakers, paths, seconds = (_pairs(folder / name) for name in ("utt2spk", "wav.scp", "utt2dur"))
            role = "background" if corpus == "so762" else part
            if role == "background" and corpus == without:
                continue
            one_each = len(paths) == len(set(speakers.values()))
            for name, path in paths.items():
                speaker = speakers[name]
                if speaker in kept:
                    row = name, f"{corpus}/{path}", speaker, role, sexes[speaker]
                    rows += _pieces(row, float(seconds[name])) if one_each else [(*row, "", "")]
    return rows


def _pairs(path: Path) -> dict[str, str]:
    """Read a Kaldi table of names and values."""
    return dict(line.split(maxsplit=1) for line in path.read_text().splitlines())


def _pieces(row: Row, seconds: float) -> list[Row]:
    """Cut a recording into pieces of about two and four seconds in turn, which fill it."""
    name, *others = row
    lengths = [PIECES[0]]
    while sum(lengths) + PIECES[len(lengths) % 2] / 2 <= seconds:
        lengths.append(PIECES[len(lengths) % 2])
    stretch = seconds / sum(lengths)
    edges = [f"{stretch * start:.3f}" for start in accumulate(lengths[:-1], initial=0.0)] + [""]
    return [(f"{name}-{number}", *others, *edges[number - 1 : number + 1]) for number in range(1, len(lengths) + 1)]


def conditions(data: Path, rows: list[Row], config: AugmentConfig, sample_rate: int) -> tuple[list[Condition], ...]:
    """Measure the background's recordings, and copies of some of them."""
    recorded, copied = [], []
    files = sorted({row[1] for row in rows if row[3] == "background"})
    for number, file in enumerate(files):
        samples = load_audio(data / file)[0]
        recorded.append(measure_condition(samples, sample_rate))
        if number % MEASURED == 0:
            copies = (CopyPlan(config, file, copy).apply(samples, sample_rate) for copy in range(1, config.copies + 1))
            copied += [measure_condition(copy, sample_rate) for copy in copies]
    return recorded, copied


def with_enrolment_copies(source: RecogniserSource, n: int) -> RecogniserSource:
    """Let enrolled recordings have n copies. Models adapt as far as they did with the number of the calibration.

    Copies count as speech, so the relevance factor rises with their number.
    """
    known = source.facts.enrolment_copies
    assert known is not None
    share = (1 + n) / (1 + known.copies)
    systems = {
        name: replace(system, config=system.config.model_copy(update={"adaptation": _scaled(adaptation, share)}))
        if (adaptation := system.config.adaptation)
        else system
        for name, system in source.systems.items()
    }
    facts = source.facts.model_copy(update={"enrolment_copies": known.model_copy(update={"copies": n})})
    return replace(source, systems=systems, facts=facts)


def _scaled(adaptation: AdaptationConfig, share: float) -> AdaptationConfig:
    """Multiply a relevance factor."""
    return adaptation.model_copy(update={"relevance_factor": adaptation.relevance_factor * share})


def build(name: str, data: Path, out: Path, half: int | None, without: str | None, workers: int) -> None:
    """Train a recogniser and write it."""
    table = RECIPES / "speech.csv"
    overrides = []
    if half is not None or without is not None:
        part = f"no-{without}" if half is None else str(half)
        table = out / f"speech-{part}.csv"
        table.parent.mkdir(parents=True, exist_ok=True)
        write_csv(table, COLUMNS, list_speech(data, half, without))
        overrides = [f"name={name}-{part}"]
    recipe = load_recipe(RECIPES / f"{name}.yaml", [f"corpus.table={table.resolve()}", *overrides])
    done = run(recipe, engine=Engine("processes", n_jobs=workers))
    source = recogniser_of_results(done.folder, load_recipe(done.folder / "recipe.yaml"))
    with table.open() as stream:
        rows = [tuple(row.values()) for row in csv.DictReader(stream)]
    assert source.facts.enrolment_copies is not None
    rate = max(front_end["sample_rate"] for front_end in (each.config.front_end for each in source.systems.values()))
    recorded, copied = conditions(data, rows, source.facts.enrolment_copies, rate)
    seen = {
        "recorded": summarise(recorded, rate).to_json(),
        "trained": summarise([*recorded, *copied], rate, RARELY).to_json(),
    }
    source = with_enrolment_copies(source, ENROLMENT_COPIES)
    source = replace(source, facts=source.facts.model_copy(update=seen))
    about = {"name": name, "version": VERSIONS[name], "recipe": f"recipes/pretrained/{name}.yaml", "sources": SOURCES}
    write_pretrained(source, about, out / name)
    size = sum(path.stat().st_size for path in (out / name).rglob("*") if path.is_file())
    print(f"{out / name}: {size / 1e6:.1f} MB; of {len({row[2] for row in rows})} speakers")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["list", "build"])
    parser.add_argument("name", nargs="?", default="speech16k", choices=VERSIONS)
    parser.add_argument("--out", type=Path, default=HERE / "speechgmm" / "pretrained")
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--half", type=int, choices=[0, 1])
    part.add_argument("--without", choices=CORPORA)
    parser.add_argument("--workers", type=int, default=1)
    chosen = parser.parse_args()
    corpora = Path(os.environ["SPEECHGMM_DATA"])
    if chosen.what == "list":
        write_csv(RECIPES / "speech.csv", COLUMNS, list_speech(corpora))
    else:
        build(chosen.name, corpora, chosen.out, chosen.half, chosen.without, chosen.workers)
