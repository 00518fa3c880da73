"""Fixtures shared by the rooms' tests."""

import os
import shutil
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from helpers.paths import ROOT

hypothesis.settings.register_profile("no deadline", deadline=None)  # no test asserts a time: machines are noisy
if not os.environ.get("CI"):  # hypothesis's own profile for it has none either, and draws the same each time
    hypothesis.settings.load_profile("no deadline")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240229)


@pytest.fixture
def speech_data() -> Path:
    """The folder of real speech, or a skip that says where it was looked for."""
    folder = Path(os.environ.get("SPEECHGMM_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"real speech is not at {folder}; set SPEECHGMM_DATA to its folder")
    return folder


@pytest.fixture(autouse=True)
def _no_pictures(request):
    """Draw nothing, which is most of the time of a small run, but in tests that ask for `pictures`."""
    with pytest.MonkeyPatch.context() as patch:
        if not request.node.get_closest_marker("pictures"):
            patch.setattr("speechgmm.recipe.results.report.draw_figures", lambda _: ())
        yield


@pytest.fixture(scope="session")
def voices(tmp_path_factory) -> Path:
    """Recordings of synthetic talkers, and what a run on them would leave: a small background model and the recipe."""
    from speechgmm import TrainingConfig, extract, save_gmm, train
    from speechgmm.corpus.synthetic.recordings import write_recordings
    from speechgmm.corpus.synthetic.synthesis import SyntheticConfig
    from speechgmm.recipe.reading.loader import dump_recipe
    from speechgmm.recipe.schema.recipe import Recipe

    folder = tmp_path_factory.mktemp("voices")
    corpus = SyntheticConfig(n_speakers=4, n_background=10, n_background_utterances=2, n_enrol=3, n_test=2, seconds=4.0)
    for _ in write_recordings(corpus, folder):
        pass
    recipe = Recipe(name="tiny", corpus=corpus)
    background = [extract(path, recipe.features) for path in sorted(folder.glob("bg-*/*.flac"))]
    ubm = train(background, TrainingConfig(n_components=16, n_iterations=4)).gmm
    (folder / "results").mkdir()
    save_gmm(folder / "results" / "ubm.safetensors", ubm, front_end=recipe.features.model_dump(mode="json"))
    (folder / "results" / "recipe.yaml").write_text(dump_recipe(recipe), encoding="utf-8")
    return folder


@pytest.fixture
def results(voices, tmp_path) -> Path:
    """A copy of the results beside `voices`, to change."""
    return shutil.copytree(voices / "results", tmp_path / "results")


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Path:
    """A copy of the shipped recipes and sections, as if they were the user's, in the current folder."""
    for folder in ("recipes", "configs"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    return tmp_path
