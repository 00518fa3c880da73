"""Paths that are no recipes, and what the message says to do instead."""

import pytest
import soundfile

from helpers.commands import speechgmm
from helpers.recipes import SMALL
from speechgmm import load_recipe
from speechgmm.errors import RecipeError


@pytest.fixture
def place(tmp_path, monkeypatch, rng):
    """The current folder, with all sorts of things that people try to run."""
    monkeypatch.chdir(tmp_path)
    for folder in ("recordings/ann", "voices", "empty", "kaldi/train", "results/tiny", "results/.cache", "many"):
        (tmp_path / folder).mkdir(parents=True)
    soundfile.write("recordings/ann/1.wav", rng.normal(size=800) / 10, 8000)
    for name in ("voices/1.m4a", "results/.cache/1.flac", "call.opus"):
        (tmp_path / name).write_bytes(b"\xff\x00")
    (tmp_path / "kaldi" / "train" / "wav.scp").write_text("a a.wav\n")
    (tmp_path / "table.csv").write_text("path,speaker\na.wav,ann\n")
    (tmp_path / "table.TSV").write_text("path\tspeaker\na.wav\tann\n")
    for name in ("results/tiny/recipe.yaml", "mine.yaml", "many/a.yaml", "many/b.yml", "many/c.yaml", "many/d.yaml"):
        (tmp_path / name).write_text(SMALL)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("recordings", "a folder of recordings; expected a recipe: speechgmm init recordings writes one"),
        ("voices", "a folder of recordings; expected a recipe: speechgmm init voices writes one"),
        ("kaldi", "a folder of Kaldi lists; expected a recipe: speechgmm init kaldi writes one"),
        ("kaldi/train/wav.scp", "a list of Kaldi; expected a recipe: speechgmm init kaldi/train writes one"),
        ("empty", "a folder; expected a recipe, a YAML file"),
        ("results", "a folder; expected a recipe, a YAML file"),
        ("results/tiny", "a folder; expected a recipe: its own is results/tiny/recipe.yaml"),
        ("many", "a folder; expected a recipe: many/a.yaml, many/b.yml, many/c.yaml and 1 more"),
        ("recordings/ann/1.wav", "a recording; expected a recipe"),
        ("call.opus", "a recording; expected a recipe"),
        ("table.csv", "a table; expected a recipe: speechgmm init table.csv writes one"),
        ("table.TSV", "a table; expected a recipe: speechgmm init table.TSV writes one"),
        ("mien.yaml", "no such file; did you mean mine.yaml?"),
        ("mien", "no such file; did you mean mine.yaml?"),
        ("quikstart", "no such file, nor a shipped recipe (an4_feat, "),
        ("quickstart.yaml", "no such file; the shipped one is named quickstart"),
        ("many/x.yaml", "no such file; recipes there: many/a.yaml, many/b.yml, many/c.yaml and 1 more"),
        ("empty/x.yaml", "no such file; expected a recipe, a YAML file"),
        ("nowhere/x.yaml", "no such file: there is no folder nowhere"),
    ],
)
def test_the_message_says_what_it_is_and_what_to_do(place, path, message):
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert str(caught.value).startswith(f"{path}: {message}")


@pytest.mark.parametrize("command", ["run", "show", "sweep"])
def test_every_command_that_takes_a_recipe_alone_says_so(place, command):
    done = speechgmm(command, "recordings")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == (
        "error: recordings: a folder of recordings; expected a recipe: speechgmm init recordings writes one\n"
    )


@pytest.mark.parametrize("name", ["recipe.csv", "recipe.wav", "wav.scp", "recipe"])
def test_a_recipe_may_have_any_name(place, name):
    (place / name).write_text(SMALL)
    assert load_recipe(name).corpus.kind == "synthetic"


def test_a_path_through_a_link_is_the_one_that_the_system_finds(place):
    (place / "data" / "clips").mkdir(parents=True)
    (place / "data" / "lists").mkdir()
    (place / "linked").symlink_to("data/clips")
    recipe = place / "r.yaml"
    recipe.write_text("corpus: {kind: kaldi, root: linked/../lists}\n")
    assert load_recipe(recipe).corpus.root == str(place / "linked" / ".." / "lists")
    recipe.write_text("corpus: {kind: kaldi, root: data/../lists}\n")
    assert load_recipe(recipe).corpus.root == str(place / "lists")
