"""Recipes of several files, systems and overrides; and that all that is wrong with them is told at once."""

from contextlib import suppress
from pathlib import Path

import pytest

from helpers.recipes import SMALL, write_recipe
from speechgmm.errors import RecipeError
from speechgmm.gmm.training.config import TrainingConfig
from speechgmm.recipe.reading.loader import load_features, load_recipe
from speechgmm.recipe.schema.recipe import Recipe


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(text, name="r.yaml"):
    return write_recipe(Path(), text, name)


def refused(text, overrides=(), name="r.yaml"):
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(text, name), overrides)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-4", 1e-4),
        ("1.e2", 100.0),
        (".5", 0.5),
        ("+1", 1),
        ("0123", 123),
        ("0o17", 15),
        ("0x1F", 31),
        ("1E+02", 100.0),
    ],
)
def test_numbers_are_those_of_the_core_schema(written, value):
    assert load_recipe(write(f"{SMALL}features: {{lifter: {written}}}\n")).features.lifter == value


@pytest.mark.parametrize("written", ["1_000", "1:30", "0b11", "2024-05-01", "'1'", "1e", "0o8", "１"])
def test_what_the_core_schema_takes_for_text_is_no_number(written):
    (line,) = refused(f"{SMALL}features: {{lifter: {written}}}\n")
    assert line.startswith(f"r.yaml:2:12: features.lifter: '{written.strip(chr(39))}'; expected a number")


@pytest.mark.parametrize(("written", "meant"), [("no", "false"), ("yes", "true"), ("Off", "false"), ("on", "true")])
def test_words_that_were_truth_values_in_yaml_1_1_are_refused_with_what_is_meant(written, meant):
    (line,) = refused(f"{SMALL}features: {{remove_dc: {written}}}\n")
    hint = f"in YAML 1.2 {written} is a word: write {meant}"
    assert line == f"r.yaml:2:12: features.remove_dc: '{written}'; expected true or false; {hint}"


@pytest.mark.parametrize("written", ["true", "True", "TRUE"])
def test_truth_values_and_nulls_are_those_of_the_core_schema(written):
    assert load_recipe(write(f"{SMALL}features: {{snip_edges: {written}}}\n")).features.snip_edges is True
    assert load_recipe(write(f"{SMALL}name: 'no'\nubm: ~\nscoring: {{top_components: Null}}\n")).name == "no"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("%YAML 1.1\n---\nseed: 1\n", "r.yaml:1:1: says that it is of another version than YAML 1.2"),
        ("seed: ! 1\nx: !<plain> [a]\n", "r.yaml:2:1: x: tag plain: a recipe is plain data"),
        ("seed: *x\n", "r.yaml:1:7: not YAML: found undefined alias 'x'"),
        ("seed: 1\n---\nseed: 2\n", "r.yaml:2:1: not YAML: but found another document"),
        ("seed: 1\nseed: 1\n", "r.yaml:2:1: seed: the key stands here twice, first in line 1"),
        ("? [a]\n: 3\n", "r.yaml:1:3: a list or mapping as a key; a key is a word (nothing merges but base:)"),
        ("true: 3\n", "r.yaml:1:1: 'true' as a key; a key is a word (nothing merges but base:)"),
        ('name: "\\ud800"\n', "r.yaml:1:1: name: half of a surrogate pair, which is no character"),
    ],
)
def test_what_is_no_plain_yaml_is_refused(text, message):
    assert message in refused(text)


def test_all_that_is_wrong_in_all_files_is_told_at_once(monkeypatch):
    monkeypatch.delenv("NOWHERE", raising=False)
    write("n_componets: 4\nbase: none.yaml\ntolerance: -1\n", "c/ubm.yaml")
    write("name: a\nsystems: []\nscoring: {method: llrr}\n", "recipes/a.yaml")
    text = """\
corpus:
  kind: kaldi
  root: ${NOWHERE}/x
  trials: [a, 3]
seed: -1
seed: 2
features:
  n_mfc: 13
  remove_dc: no
systems: [a.yaml, {name: b, ubm: ../c/ubm.yaml}, {name: b}, {ubm: {n_components: x}}, none.yaml, 3]
calibration: !x {}
"""
    assert refused(text, ["name", "speakers.x=1", "seed.x=2", "evaluation=[a"], "recipes/r.yaml") == [
        "--set evaluation=[a: evaluation: not YAML: expected ',' or ']', but got '<stream end>'",
        "--set name: expected KEY=VALUE, as in --set ubm.n_components=128",
        "--set seed.x=2: seed.x: seed has no keys below it",
        "--set speakers.x=1: speakers.x: unknown key; expected one of "
        "method, relevance_factor, relevance_factors, alpha, adapt, n_iterations, base",
        "c/ubm.yaml:1:1: systems.b.ubm.n_componets: unknown key; did you mean n_components?",
        "c/ubm.yaml:2:1: systems.b.ubm: no such file: c/none.yaml",
        "c/ubm.yaml:3:1: systems.b.ubm.tolerance: -1; expected 0 or more",
        "recipes/a.yaml:3:11: systems.a.scoring.method: 'llrr'; expected 'llr' or 'linear'; did you mean llr?",
        "recipes/r.yaml:3:3: corpus.root: the environment variable NOWHERE is not set, and has no default as in "
        "${NOWHERE:-DIR}",
        "recipes/r.yaml:4:15: corpus.trials: 3; expected text, perhaps in quotes",
        "recipes/r.yaml:6:1: seed: the key stands here twice, first in line 5",
        "recipes/r.yaml:8:3: features.n_mfc: unknown key; did you mean n_cepstra?",
        "recipes/r.yaml:9:3: features.remove_dc: 'no'; expected true or false; in YAML 1.2 no is a word: write false",
        "recipes/r.yaml:10:11: systems.a.systems: a lists systems itself; expected none in a system: list them beside "
        "the others",
        "recipes/r.yaml:10:50: systems: a second system by the name of b; give one another, as in {base: b, name: b_2}",
        "recipes/r.yaml:10:61: systems[3].name: missing, and it has no default",
        "recipes/r.yaml:10:68: systems[3].ubm.n_components: 'x'; expected a whole number of 1 or more, or auto",
        "recipes/r.yaml:10:87: systems: no such file: recipes/none.yaml",
        "recipes/r.yaml:10:98: systems: 3; expected keys and values",
        "recipes/r.yaml:11:1: calibration: tag !x: a recipe is plain data",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("features: {n_mels: 3}", "r.yaml:2:12: features.n_mels: unknown key; did you mean n_filters?"),
        (
            "speakers: {variance_floor: 3}",
            "r.yaml:2:12: speakers.variance_floor: unknown key with method map; it is of method independent",
        ),
        ("speakers: {relevance: 3}", "r.yaml:2:12: speakers.relevance: unknown key; did you mean relevance_factor?"),
        (
            "relevance_factor: 3",
            "r.yaml:2:1: relevance_factor: unknown key; did you mean ubm.adapt.relevance_factor, "
            "speakers.relevance_factor or vectors.relevance_factor?",
        ),
        ("n_mfcc: 3", "r.yaml:2:1: n_mfcc: unknown key; did you mean features.n_cepstra?"),
        ("ubm: {bse: x.yaml}", "r.yaml:2:7: ubm.bse: unknown key; did you mean base?"),
        (
            "speakers: {method: mapp}",
            "r.yaml:2:12: speakers.method: 'mapp'; expected one of 'map', 'independent', 'isv', 'jfa'; did you "
            "mean map?",
        ),
        ("speakers: {method: independent, tolerance: x}", "r.yaml:2:33: speakers.tolerance: 'x'; expected a number"),
        ("ubm: {n_iterations: 1e1}", "r.yaml:2:7: ubm.n_iterations: 10.0; expected a whole number"),
        ("ubm: {base: none.yaml, n_iterations: x}", "r.yaml:2:24: ubm.n_iterations: 'x'; expected a whole number"),
        (
            "ubm: ${HOME}/u.yaml",
            "r.yaml:2:1: ubm: no such file: ${HOME}/u.yaml; environment variables are for the corpus's root alone",
        ),
        (
            "ubm: {initial_model: '${HOME}/u'}",
            "r.yaml:2:7: ubm.initial_model: ${HOME}/u: environment variables are for the corpus's root alone",
        ),
        ("features:\n  n_filters: 9", "r.yaml:3:3: features: n_cepstra 24 from n_filters 9: too few filters"),
    ],
)
def test_a_mistake_is_told_with_what_was_meant(text, message):
    assert message in refused(f"{SMALL}{text}\n")


def test_a_kind_of_features_that_is_none_is_told_with_all_kinds():
    (line,) = refused(f"{SMALL}features: {{kind: give}}\n")
    kinds = "'mfcc', 'lfcc', 'logmel', 'spectrogram', 'given'"
    assert line == f"r.yaml:2:12: features.kind: 'give'; expected {kinds}; did you mean given?"


def test_the_key_that_tells_corpora_apart_misspelt_is_the_one_that_is_named():
    assert refused("corpus: {kin: kaldi, root: x}\n") == ["r.yaml:1:10: corpus.kin: unknown key; did you mean kind?"]


def test_files_are_named_as_the_user_names_them(tmp_path):
    write("base: ../d/none.yaml\n", "c/ubm.yaml")
    (line,) = refused(f"{SMALL}ubm: ../c/ubm.yaml\n", name="recipes/r.yaml")
    assert line == "c/ubm.yaml:1:1: ubm: no such file: d/none.yaml"
    with pytest.raises(RecipeError) as caught:
        load_recipe(tmp_path / "recipes" / "r.yaml")
    assert str(caught.value) == f"{tmp_path}/c/ubm.yaml:1:1: ubm: no such file: {tmp_path}/d/none.yaml"


def test_a_system_may_stand_in_the_list_itself_with_paths_bases_and_presets():
    write("n_components: 8\nn_iterations: 3\n", "c/ubm.yaml")
    write("ubm: ../c/ubm.yaml\n", "systems/file.yaml")
    write("n_components: 4\n", "own.yaml")
    text = f"""\
{SMALL}
systems:
  - systems/file.yaml
  - name: written
    features: {{base: kaldi, lifter: 0}}
    ubm: {{base: c/ubm.yaml, n_components: 2, initial_model: start.safetensors}}
  - {{name: empty, ubm: }}
"""
    file, written, empty = load_recipe(write(text)).systems
    assert (file.name, file.ubm.n_components, file.ubm.n_iterations) == ("file", 8, 3)
    assert (written.features.n_filters, written.features.lifter) == (23, 0)
    assert (written.ubm.n_components, written.ubm.n_iterations) == (2, 3)
    assert written.ubm.initial_model == str(Path.cwd() / "start.safetensors")
    assert empty.ubm == load_recipe(write(SMALL)).ubm


def test_systems_have_the_corpus_of_the_recipe_whatever_they_say():
    write(
        "corpus: {kind: kaldi, root: nowhere}\nevaluation: {bootstrap: 3}\nseed: 9\nsweep: {list: [{seed: 1}]}\n",
        "b.yaml",
    )
    text = "corpus: {kind: synthetic, seed: 3}\nsystems: [{name: a, corpus: {kind: csv, root: x}}, b.yaml]\n"
    recipe = load_recipe(write(text), ["corpus.n_speakers=5"])
    assert [system.corpus for system in recipe.systems] == [recipe.corpus] * 2
    assert (recipe.corpus.seed, recipe.corpus.n_speakers) == (3, 5)
    assert recipe.systems[1] == Recipe(name="b", corpus=recipe.corpus)
    (line,) = refused("corpus: {kind: synthetc}\nsystems: [{name: a}, {name: b}]\n")
    assert line.startswith("r.yaml:1:10: corpus.kind: 'synthetc'")


def test_files_of_the_same_text_are_read_each_for_itself():
    recipe = write(f"{SMALL}systems: [one.yaml, two.yaml]\n")
    for name in ("one.yaml", "two.yaml"):
        write("ubm: {n_components: 4}\n", name)
    first, second = load_recipe(recipe, ["systems.one.ubm.n_components=8"]).systems
    assert (first.ubm.n_components, second.ubm.n_components) == (8, 4)
    for name in ("one.yaml", "two.yaml"):
        write("ubm: {n_components: many}\n", name)
    with pytest.raises(RecipeError) as caught:
        load_recipe(recipe)
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == ["one.yaml:1:7", "two.yaml:1:7"]


def test_sections_beside_systems_are_refused_where_they_stand():
    (line,) = refused(f"{SMALL}systems: [{{name: a}}, {{name: b}}]\nubm: {{n_components: 3}}\n")
    assert line == "r.yaml:3:1: ubm: systems have their own; expected none here"


def test_a_system_that_lists_itself_is_refused():
    lines = refused(f"{SMALL}systems: [r.yaml, {{name: b}}]\n")
    message = "r lists systems itself; expected none in a system: list them beside the others"
    assert f"r.yaml:2:11: systems.r.systems: {message}" in lines


def test_all_that_is_wrong_with_a_front_end_alone_is_told_at_once():
    write("n_mfcc: 3\nlifter: x\n", "f.yaml")
    with pytest.raises(RecipeError) as caught:
        load_features("f.yaml", ["window", "kind=mfc"])
    assert str(caught.value).splitlines() == [
        "--set kind=mfc: kind: 'mfc'; expected 'mfcc', 'lfcc', 'logmel' or 'spectrogram'; did you mean mfcc?",
        "--set window: expected KEY=VALUE, as in --set n_cepstra=20",
        "f.yaml:1:1: n_mfcc: unknown key; did you mean n_cepstra?",
        "f.yaml:2:1: lifter: 'x'; expected a number",
    ]


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({}, "corpus"),
        ({"corpus": {"kind": "synthetic", "speakers": 3}}, r"corpus\.synthetic\.speakers"),
        ({"corpus": {"kind": "synthetic"}, "ubm": {"n_componets": 3}}, r"ubm\.n_componets"),
        ({"corpus": {"kind": "synthetic"}, "ubm": TrainingConfig(n_components=4)}, "ubm"),
        ({"corpus": {"kind": "synthetic"}, "seed": "1"}, "seed"),
    ],
)
def test_a_recipe_built_in_python_names_the_key_too(sections, message):
    with pytest.raises(ValueError, match=rf"validation error for Recipe\n{message}\n"):
        Recipe(name="r", **sections)


ODD = ["[]", "{}", "[[]]", "3", "1e400", ".nan", "'a\\0b'", "'${X}'", "[a, {base: x}]", "{base: 3}", "{base: .}", "."]
ODD += [
    "{kind: [a]}",
    "{method: {}}",
    "{method: null, kind: null}",
    "!<plain> [a]",
    "&a [*a]",
    "{? [a] : b}",
    '"\\ud800"',
]
ODD += [
    "{base: kaldi, sample_rate: [1]}",
    "[{name: []}, {name: []}, r.yaml]",
    "[{systems: [a]}]",
    "/dev/null",
    "@",
    "{",
]


@pytest.mark.parametrize("key", Recipe.model_fields)
def test_whatever_stands_there_is_read_or_refused(key):
    for odd in ODD:
        text = f"{'' if key == 'corpus' else SMALL}{key}: {odd}\n"
        for overrides in ([], [f"{key}={odd}"]):
            read = None
            with suppress(RecipeError):
                read = load_recipe(write(SMALL if overrides else text), overrides)
            assert read is None or isinstance(read, Recipe)
