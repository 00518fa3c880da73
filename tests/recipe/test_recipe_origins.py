"""What recipes say, shown to people, to programs and to editors; and that the pages about it are true."""

import json
import re
import sys
from pathlib import Path

import jsonschema
import pydantic
import pytest

from helpers.paths import ROOT
from speechgmm.errors import RecipeError
from speechgmm.recipe.reading.json_schema import json_schema, meanings_of
from speechgmm.recipe.reading.loader import load_recipe
from speechgmm.recipe.reading.origins import list_origins
from speechgmm.recipe.reading.validation import keys_of, models_in, tags_of
from speechgmm.recipe.reading.yaml import read_document
from speechgmm.recipe.schema.recipe import Recipe

sys.path.insert(0, str(ROOT / "docs"))
import make_recipes

from helpers.commands import speechgmm

RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
SECTIONS = sorted((ROOT / "configs").rglob("*.yaml"))
SCHEMA = json_schema()


def check_schema(values, definition="recipe"):
    whole = SCHEMA | {"allOf": [{"$ref": f"#/$defs/{definition}"}]}
    jsonschema.Draft7Validator(whole).validate(values)


def test_the_origin_of_a_value_is_the_default_a_file_a_base_a_preset_or_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "ubm.yaml").write_text("\nn_iterations: 3\n")
    text = (
        "corpus:\n  kind: synthetic\nubm:\n  base: c/ubm.yaml\n  tolerance: 0.1\nfeatures: {base: kaldi, lifter: 1}\n"
    )
    (tmp_path / "r.yaml").write_text(text)
    shown = {row.key: row for row in list_origins("r.yaml", ["ubm.n_components=8", "speakers={adapt: [means]}"])}
    expected = {
        "name": ("r", "file name"),
        "seed": (0, "default"),
        "corpus.kind": ("synthetic", "r.yaml:2"),
        "ubm.n_iterations": (3, "c/ubm.yaml:2"),
        "ubm.tolerance": (0.1, "r.yaml:5"),
        "ubm.n_components": (8, "--set ubm.n_components=8"),
        "ubm.starving": ("split", "default"),
        "features.lifter": (1.0, "r.yaml:6"),
        "features.n_filters": (23, "preset kaldi"),
        "features.vad.method": ("none", "preset kaldi"),
        "features.preemphasis": (0.97, "default"),
        "speakers.adapt": (["means"], "--set speakers={adapt: [means]}"),
    }
    assert {key: (shown[key].value, shown[key].origin) for key in expected} == expected


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_key_that_has_an_effect_is_shown_once(path):
    overrides = [] if "corpus" in read_document(path).values else ["corpus.kind=synthetic"]
    rows = list_origins(path, overrides)
    assert len({row.key for row in rows}) == len(rows) > 20
    leaves = json.dumps(load_recipe(path, overrides).to_json())
    assert all(json.dumps(row.value) in leaves for row in rows)


def test_show_prints_plain_lines_and_one_document_for_programs(tree):
    lines, _, _ = speechgmm("show", "recipes/quickstart.yaml").output.partition("\n\n")  # stages come behind
    lines = lines.splitlines()
    rows = json.loads(speechgmm("show", "recipes/quickstart.yaml", "--json").output)["keys"]
    assert len(lines) == len(rows)
    assert re.fullmatch(
        r"ubm\.n_components +64 +recipes/quickstart\.yaml:\d+",
        lines[[r["key"] for r in rows].index("ubm.n_components")],
    )
    assert len({line.rindex(row["origin"]) for line, row in zip(lines, rows, strict=True)}) == 1
    refused = speechgmm("show", "recipes/quickstart.yaml", "--set", "ubm.n_componets=3")
    assert (refused.exit_code, "did you mean n_components?" in refused.output) == (2, True)


def test_the_schema_is_one():
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert json.loads(speechgmm("schema").output) == SCHEMA


@pytest.mark.parametrize("path", [*RECIPES, *SECTIONS], ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_shipped_file_keeps_to_the_schema(path):
    check_schema(
        read_document(path).values, "recipe" if path.parent.name == "systems" or path in RECIPES else path.parent.name
    )


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_written_out_keeps_to_the_schema_and_names_it(path):
    has_corpus = "corpus" in read_document(path).values
    check_schema(load_recipe(path, [] if has_corpus else ["corpus.kind=synthetic"]).to_json())
    assert path.read_text().startswith("# yaml-language-server: $schema=recipe.schema.json\n")


@pytest.mark.parametrize(
    "values",
    [
        {"corpus": "corpus.yaml", "ubm": None, "features": "kaldi"},
        {"corpus": {"base": "corpus.yaml", "trials": ["a.txt"]}},
        {"corpus": {"kind": "kaldi", "root": "x"}, "ubm": {"base": "ubm.yaml", "n_components": "auto"}},
        {"corpus": {"kind": "synthetic"}, "systems": ["a.yaml", {"name": "b", "speakers": {"relevance_factor": 3}}]},
        {"corpus": {"kind": "synthetic"}, "speakers": {"method": "independent", "n_components": 3}},
        {"ubm": {}},
        {"corpus": "c.yaml", "ubm": 64, "systems": ["a", {"base": "b", "ubm": {"base": 64, "tolerance": 0.1}}]},
        {"base": "so762_best", "name": "mine"},
    ],
)
def test_the_schema_allows_what_a_recipe_may_say(values):
    check_schema(values)


@pytest.mark.parametrize(
    "values",
    [
        {"corpus": {"kind": "kaldi"}},
        {"corpus": {"kind": "kald", "root": "x"}},
        {"corpus": {"root": "x"}},
        {"corpus": "c.yaml", "ubms": {}},
        {"corpus": "c.yaml", "ubm": {"n_componets": 3}},
        {"corpus": "c.yaml", "ubm": {"n_components": "many"}},
        {"corpus": "c.yaml", "features": {"vad": {"methd": "none"}}},
        {"corpus": "c.yaml", "features": {"vad": None}},
        {"corpus": "c.yaml", "speakers": {"n_components": 3}},
        {"corpus": "c.yaml", "systems": ["a.yaml", {"ubms": {}}]},
        {"base": 3, "corpus": "c.yaml"},
    ],
)
def test_the_schema_refuses_what_it_may_not(values):
    with pytest.raises(jsonschema.ValidationError):
        check_schema(values)


@pytest.mark.skipif(
    tuple(map(int, pydantic.VERSION.split(".")[:2])) < (2, 14), reason="older versions of pydantic write other schemas"
)
def test_the_schema_and_the_page_beside_the_recipes_are_what_the_docstrings_say():
    assert make_recipes.SCHEMA.read_text(encoding="utf-8") == make_recipes.schema_text(), "run make schema"
    assert make_recipes.PAGE.read_text(encoding="utf-8") == make_recipes.page_text(), "run make schema"


def test_every_key_has_a_meaning_and_is_in_the_page():
    page = make_recipes.PAGE.read_text(encoding="utf-8").partition(make_recipes.HEADING)[2]
    for key in keys_of(Recipe):
        name = key.rpartition(".")[2]  # in a table or, for a section, in a heading, which may be that of a like section
        assert f"`{name}`" in page or f".{name}`" in page, key

    def check(model):
        for name, meaning in meanings_of(model).items():
            assert meaning.kind
            assert meaning.text, (model, name)
            for below in models_in(model.model_fields[name].annotation):
                check(below)

    check(Recipe)


def test_members_of_a_union_are_told_apart_by_the_key_that_differs():
    for name, field in Recipe.model_fields.items():
        members = models_in(field.annotation)
        if len(members) > 1:
            key, tags = tags_of(members)
            assert key == {"speakers": "method"}.get(name, "kind")
            assert set(tags.values()) == set(members)


def commands_in(path, language):
    for block in re.findall(rf"```{language}\n(\$ .*?)```", path.read_text(encoding="utf-8"), re.DOTALL):
        for each in block.split("$ ")[1:]:
            command, _, printed = each.partition("\n")
            yield command.split()[1:], printed.splitlines()


def check_printed(output, printed):
    """Whether all lines are there, in this order; `...` stands for any number of others."""
    lines = iter([line.rstrip() for line in output.splitlines()])
    anywhere = False
    for wanted in printed:
        if wanted == "...":
            anywhere = True
        elif anywhere:
            assert wanted in lines, wanted
            anywhere = False
        else:
            assert next(lines) == wanted
    assert anywhere or not list(lines)


def test_the_page_on_recipes_shows_what_is_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "ubm:\n  n_componets: 64\nfeatures:\n  n_mfc: 13\n  remove_dc: no\n  window: hamning\n"
    Path("mine.yaml").write_text(f"corpus: {{kind: synthetic}}\n{text}")
    ((words, printed),) = commands_in(ROOT / "docs" / "recipes.md", "console")
    check_printed(speechgmm(*words).output, printed)


def test_the_recipe_of_several_systems_on_the_page_loads(tmp_path):
    page = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    (tmp_path / "r.yaml").write_text(
        next(each for each in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "three_systems" in each)
    )
    recipe = load_recipe(tmp_path / "r.yaml")
    assert [each.ubm.n_components for each in recipe.systems] == [256, 16, 64]
    assert all(each.corpus == recipe.corpus for each in recipe.systems)


def test_the_page_on_recipes_shows_a_recipe_and_a_mistake_as_they_are(tree):
    lines = Path("recipes/quickstart.yaml").read_text().splitlines()
    lines = [line for line in lines if not line.startswith("features")]
    lines += [""] * (12 - len(lines)) + ["features:", "  n_mfc: 13"]
    Path("recipes/x.yaml").write_text("\n".join(lines) + "\n")
    shown = [each for each in commands_in(ROOT / "docs" / "recipes.md", "text") if each[0][0] in ("show", "run")]
    assert {words[0] for words, _ in shown} == {"show", "run"}
    for words, printed in shown:
        check_printed(speechgmm(*words).output, printed)


def test_a_mistake_looks_as_it_should(tree):
    Path("recipes/x.yaml").write_text("corpus: {kind: synthetic}\n" + "\n" * 11 + "features:\n  n_mfc: 13\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe("recipes/x.yaml")
    assert str(caught.value) == "recipes/x.yaml:14:3: features.n_mfc: unknown key; did you mean n_cepstra?"


def test_steps_of_a_back_end_come_from_where_they_are_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    steps = "\n- center\n- {nap: 3}\n- step: length\n  scale: unit\n- plda:\n    smoothing: 0.5\n"
    steps += "    adaptation: {mean_scale: 0}\n"
    Path("r.yaml").write_text(f"corpus: {{kind: synthetic}}\nvectors: {{kind: ivector}}\nbackend:{steps}")
    shown = {row.key: row.origin for row in list_origins("r.yaml") if row.key.startswith("backend")}
    assert shown == {
        "backend[0].step": "r.yaml:4",
        **{"backend[1].step": "r.yaml:5", "backend[1].rank": "r.yaml:5"},
        **{"backend[2].step": "r.yaml:6", "backend[2].scale": "r.yaml:7"},
        **{"backend[3].step": "r.yaml:8", "backend[3].n_iterations": "default", "backend[3].smoothing": "r.yaml:9"},
        **{"backend[3].length": "default", "backend[3].uncertainty": "default"},
        **{"backend[3].adaptation.within_scale": "default", "backend[3].adaptation.between_scale": "default"},
        "backend[3].adaptation.mean_scale": "r.yaml:10",
    }
