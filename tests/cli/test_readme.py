"""What the README and the pages beside it show works as typed, and what they name is there."""

import re
from importlib import import_module

import numpy as np
import pytest

import speechgmm
import speechgmm.sklearn
from helpers.paths import README, ROOT
from speechgmm.recipe.reading.loader import load_recipe

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("data/*.md"), *ROOT.glob(".github/**/*.md")])


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


def test_the_python_of_the_page_on_models_on_statistics_runs():
    text = (ROOT / "docs" / "subspace.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names = {}
    exec(compile(code, "subspace.md", "exec"), names)
    for scores in (names["scores"], names["linear"]):
        assert scores.shape == (1, 5)
        assert scores[0].argmax() == 0  # the test of the same speaker


def test_the_recipe_is_the_quickstart():
    (shown,) = blocks("yaml")
    path = ROOT / "recipes" / "quickstart.yaml"
    own = "".join(line for line in path.read_text().splitlines(keepends=True) if not line.startswith("#"))
    assert shown == own
    assert load_recipe(path).name == "quickstart"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_commands_and_files_exist(page):
    text = page.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets
    if page.name == "README.md":
        assert set(re.findall(r"`?make ([a-z-]+)", text)) <= targets
    for link, anchor in re.findall(r"\]\(([\w./-]*)(?:#([\w-]+))?\)", text):
        target = page.parent / link if link else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), f"{link}#{anchor}"
    for path in re.findall(r"`((?:recipes|configs|data|docs|tests|benchmarks|speechgmm)/[\w./-]*)`", text):
        assert (ROOT / path).exists(), path


def anchors(text):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_way_of_an_utterance_goes_through_functions_that_exist():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    steps = re.findall(r"\| `(\w+)` \| `(speechgmm/[\w/]+)\.py` \|$", text, re.MULTILINE)
    assert len(steps) > 10
    for name, path in steps:
        assert hasattr(import_module(path.replace("/", ".")), name), f"{name} in {path}"


def test_the_citation_names_this_version():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.+)$", text, re.MULTILINE) == [speechgmm.__version__]
