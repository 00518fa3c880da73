"""Messages about a path that is not what a command expects: one line that says what was found and what was expected."""

import pytest

from helpers.commands import message_of, speechgmm
from speechgmm.recipe.results.wrong_folders import not_gallery, not_results


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A folder of each kind, in the current folder."""
    monkeypatch.chdir(tmp_path)
    files = {
        "results/so762": ("recipe.yaml", "metrics.json"),
        "results/libri": ("recipe.yaml", "ubm.safetensors"),
        "series": ("sweep.csv", "a/metrics.json"),
        "team": ("gallery.json", "speakers/Ann.safetensors"),
        "data": ("x.wav", "y/z.flac", "y/u.m4a", "notes.txt"),
        "kaldi": ("wav.scp", "utt2spk"),
        "store": ("index.json", "shard-0.npy"),
        "papers": ("a.pdf", "b.pdf", "c.txt"),
        "empty": (),
    }
    for folder, names in files.items():
        (tmp_path / folder).mkdir(parents=True)
        for name in names:
            (tmp_path / folder / name).parent.mkdir(exist_ok=True)
            (tmp_path / folder / name).touch()
    (tmp_path / "a.wav").touch()
    return tmp_path


KINDS = {
    "results": "it holds the results libri, so762",
    "series": "a series, with a results folder for each experiment",
    "data": "it holds 3 audio files",
    "kaldi": "a Kaldi data directory",
    "store": "a feature store",
    "papers": "it holds 2 .pdf, 1 .txt (c.txt)",
    "empty": "it is empty",
    "a.wav": "a file",
    "nowhere": "no such folder",
    "result/so763": "no such folder",
    "results/so763": "no such folder; did you mean results/so762?",
}


@pytest.mark.parametrize("name", [*KINDS, "team"])
def test_what_is_no_results_folder_is_described(places, name):
    found = KINDS.get(name, "a gallery")
    message = f"{name}: no results folder ({found}); expected the folder of a run, such as results/libri"
    assert not_results(places.relative_to(places) / name) == message
    for arguments in (("report", name), ("compare", name, name), ("gallery", "create", name, "--out", "g")):
        done = speechgmm(*arguments)
        assert (done.exit_code, message_of(done), done.stdout) == (2, f"error: {message}", "")


@pytest.mark.parametrize("name", KINDS)
def test_what_is_no_gallery_is_described(places, name):
    message = f"{name}: no gallery ({KINDS[name]}); expected a gallery's folder, as speechgmm gallery create makes it"
    assert not_gallery(places.relative_to(places) / name) == message
    for words in (("enrol", name, "Ann", "a.wav"), ("identify", name, "a.wav"), ("list", name), ("forget", name, "A")):
        done = speechgmm("gallery", *words)
        assert (done.exit_code, message_of(done), done.stdout) == (2, f"error: {message}", "")


def test_a_results_folder_where_a_gallery_is_expected_says_how_to_make_one(places):
    assert not_gallery(places / "results" / "so762").endswith(
        f"no gallery (a results folder); expected a gallery made from it: speechgmm gallery create "
        f"{places / 'results' / 'so762'} --out DIR"
    )


def test_the_example_is_a_folder_that_may_be_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not_results(tmp_path / "x").endswith("such as results/NAME")


def test_a_large_folder_is_counted_in_part(places, monkeypatch):
    monkeypatch.setattr("speechgmm.recipe.results.wrong_folders.MOST_FILES", 2)
    assert "it holds 2 files or more" in not_results(places / "papers")
