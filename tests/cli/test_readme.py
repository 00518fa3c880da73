"""What the README shows works as typed."""

import re

import numpy as np

from conftest import ROOT
from speechgmm.recipe.reading.loader import load_recipe

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_python_runs_and_prints_a_positive_score(tmp_path, monkeypatch, capsys):
    (code,) = blocks("python")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    assert float(capsys.readouterr().out) > 0
    assert (tmp_path / "ubm.safetensors").is_file()


def test_the_python_of_the_page_on_mixtures_runs():
    text = (ROOT / "docs" / "gmm.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names = {}
    exec(compile(code, "gmm.md", "exec"), names)
    assert names["gmm"].n_components == 2
    assert np.isfinite(names["whole"]).all()


def test_the_python_of_the_page_on_scoring_runs():
    text = (ROOT / "docs" / "scoring.md").read_text(encoding="utf-8")
    names = {}
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(code, "scoring.md", "exec"), names)
    assert names["answer"].candidates
    whole = names["sg"].score_matrix(names["models"], names["ubm"], names["tests"][:1], names["config"])
    np.testing.assert_array_equal(names["so_far"], whole[:, 0])


def test_the_recipe_is_the_quickstart():
    (shown,) = blocks("yaml")
    path = ROOT / "recipes" / "quickstart.yaml"
    own = "".join(line for line in path.read_text().splitlines(keepends=True) if not line.startswith("#"))
    assert shown == own
    assert load_recipe(path).name == "quickstart"


def test_the_commands_and_files_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z-]+)", README)) <= targets
    for path in re.findall(r"\]\(([\w./-]+)\)|`((?:recipes|configs|data|tests)/[\w./-]*)`", README):
        assert (ROOT / (path[0] or path[1])).exists(), path
