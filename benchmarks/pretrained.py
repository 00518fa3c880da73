"""Lists the speech of the pretrained recognisers, and builds them: ``python benchmarks/pretrained.py list|build``.

``list`` writes ``recipes/pretrained/speech.csv``: all utterances of speechocean762, and those of LibriSpeech cut into
pieces of about four seconds. ``build NAME`` runs ``recipes/pretrained/NAME.yaml`` and writes
``speechgmm/pretrained/NAME``.
"""

import argparse
import csv
import os
from pathlib import Path

from speechgmm.files import write_csv
from speechgmm.gallery.pretrained import write_pretrained
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.reading.loader import load_recipe
from speechgmm.recipe.results.gallery import recogniser_of_results
from speechgmm.recipe.running.runner import run

HERE = Path(__file__).resolve().parent.parent
RECIPES = HERE / "recipes" / "pretrained"
COLUMNS = ("id", "path", "speaker", "role", "sex", "start", "end")

PIECE = 4.0
"""Seconds of a piece of a recording, about."""

SOURCES = [
    {
        "name": "speechocean762",
        "licence": "Apache-2.0",
        "url": "https://www.openslr.org/101",
    },
    {
        "name": "LibriSpeech",
        "licence": "CC-BY-4.0",
        "url": "https://www.openslr.org/12",
    },
]

VERSION = 1
"""Rises when the recognisers are trained again."""


def list_speech(data: Path) -> None:
    """Write the table: the background, and ten speakers of LibriSpeech for enrolment and tests."""
    rows = []
    for corpus in ("so762", "libri"):
        with (data / corpus / "speakers.tsv").open() as stream:
            sexes = {row["speaker"]: row["sex"] for row in csv.DictReader(stream, delimiter="\t")}
        for part in ("background", "enrol", "test"):
            folder = data / corpus / "lists" / part
            speakers, paths, seconds = (_pairs(folder / name) for name in ("utt2spk", "wav.scp", "utt2dur"))
            role = "background" if corpus == "so762" else part
            for name, path in paths.items():
                of_all = name, f"{corpus}/{path}", speakers[name], role, sexes[speakers[name]]
                rows += (
                    _pieces(of_all, float(seconds[name]))
                    if len(paths) == len(set(speakers.values()))
                    else [(*of_all, "", "")]
                )
    write_csv(RECIPES / "speech.csv", COLUMNS, rows)


def _pairs(path: Path) -> dict[str, str]:
    """Read a Kaldi table of names and values."""
    return dict(line.split(maxsplit=1) for line in path.read_text().splitlines())


def _pieces(of_all: tuple[str, ...], seconds: float) -> list[tuple[str, ...]]:
    """Cut a recording into equal pieces of about four seconds."""
    name, *others = of_all
    n_pieces = max(1, round(seconds / PIECE))
    edges = [f"{seconds * number / n_pieces:.3f}" for number in range(n_pieces + 1)]
    return [
        (f"{name}-{number}", *others, edges[number - 1], edges[number] if number < n_pieces else "")
        for number in range(1, n_pieces + 1)
    ]


def build(name: str, workers: int) -> None:
    """Train a recogniser and write it into the package."""
    recipe = load_recipe(RECIPES / f"{name}.yaml", [f"corpus.table={RECIPES / 'speech.csv'}"])
    done = run(recipe, engine=Engine("processes", n_jobs=workers))
    about = {"name": name, "version": VERSION, "recipe": f"recipes/pretrained/{name}.yaml", "sources": SOURCES}
    source = recogniser_of_results(done.folder, load_recipe(done.folder / "recipe.yaml"))
    write_pretrained(source, about, HERE / "speechgmm" / "pretrained" / name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["list", "build"])
    parser.add_argument("name", nargs="?", default="speech16k")
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.what == "list":
        list_speech(Path(os.environ["SPEECHGMM_DATA"]))
    else:
        build(arguments.name, arguments.workers)
