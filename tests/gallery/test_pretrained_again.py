"""Recognisers that come with the package, made again from their recipes: a small one always, the shipped one if asked.

The small one shows that the bytes are the same however many processes work. The shipped one takes half an hour:
SPEECHGMM_REBUILD=1 asks for it.
"""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from helpers.paths import ROOT
from speechgmm import Engine, load_recipe, run
from speechgmm.files import file_digest
from speechgmm.gallery.pretrained import pretrained_folder, write_pretrained
from speechgmm.recipe.results.gallery import recogniser_of_results

RECIPES = ROOT / "recipes" / "pretrained"
ABOUT = {"name": "speech16k", "version": 1, "recipe": "recipes/pretrained/speech16k.yaml", "sources": []}


def some_of_the_speech(folder: Path) -> Path:
    """List the first eight speakers of each corpus, and two who are enrolled and tested."""
    with (RECIPES / "speech.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    kept: dict[str, list[str]] = {}
    for row in rows:
        known = kept.setdefault(f"{row['path'].partition('/')[0]}-{row['role']}", [])
        if row["speaker"] not in known and len(known) < (8 if row["role"] == "background" else 2):
            known.append(row["speaker"])
    table = folder / "some.csv"
    with table.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(row for row in rows if any(row["speaker"] in names for names in kept.values()))
    return table


def build_small(table: Path, folder: Path, engine: Engine) -> dict[str, str]:
    """Run the shipped recipe on this speech with small models; return the digests of what the package would hold."""
    few = "calibration.prior=wide"  # so few speakers make no errors, which a calibration without a prior needs
    overrides = [f"corpus.table={table}", "augment.copies=1", few]
    for name in ("mfcc_raw", "mfcc_full", "lfcc_full"):
        overrides += [f"systems.{name}{kind}.ubm.n_components=8" for kind in ("", "_plda")]
        overrides.append(f"systems.{name}_plda.vectors.rank=4")
    recipe = load_recipe(RECIPES / "speech16k.yaml", overrides)
    done = run(recipe, results=folder / "results", engine=engine)
    source = recogniser_of_results(done.folder, load_recipe(done.folder / "recipe.yaml"))
    write_pretrained(source, ABOUT, folder / "speech16k")
    return digests_in(folder / "speech16k")


def digests_in(folder: Path) -> dict[str, str]:
    """Return the digests of a folder's files."""
    return {str(path.relative_to(folder)): file_digest(path) for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.slow
def test_the_shipped_recipe_makes_the_same_bytes_however_many_processes_work(speech_data, tmp_path, monkeypatch):
    monkeypatch.setenv("SPEECHGMM_DATA", str(speech_data))
    table = some_of_the_speech(tmp_path)
    made = [build_small(table, tmp_path / str(n), Engine("processes", n_jobs=n)) for n in (1, 2)]
    assert made[0] == made[1]
    assert {name for name in made[0] if name.endswith("subspace.safetensors")} == {
        f"{name}_plda/subspace.safetensors" for name in ("mfcc_raw", "mfcc_full", "lfcc_full")
    }


@pytest.mark.slow
def test_the_shipped_recogniser_is_what_its_recipe_makes(speech_data, tmp_path):
    if not os.environ.get("SPEECHGMM_REBUILD"):
        pytest.skip("half an hour of training; set SPEECHGMM_REBUILD=1 to build speech16k again")
    script, out = ROOT / "benchmarks" / "pretrained.py", tmp_path / "built"
    command = [sys.executable, str(script), "build", "speech16k", "--out", str(out), "--workers", str(os.cpu_count())]
    subprocess.run(command, cwd=tmp_path, env={**os.environ, "SPEECHGMM_DATA": str(speech_data)}, check=True)
    shipped, built = pretrained_folder() / "speech16k", out / "speech16k"
    assert {*digests_in(built)} == {*digests_in(shipped)}
    for path in sorted(shipped.rglob("*.safetensors")):
        expected, found = load_file(path), load_file(built / path.relative_to(shipped))
        for name, array in expected.items():
            step = 2**-10 if array.dtype == np.float16 else 1e-5  # half precision rounds either way
            largest = np.abs(array.astype(np.float64)).max(initial=0)
            np.testing.assert_allclose(found[name], array, rtol=step, atol=step * float(largest))
