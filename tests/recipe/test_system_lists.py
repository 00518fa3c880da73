"""The systems of a recipe: names, paths, mappings and bases; keys of one system; what is wrong with which."""

import json
from pathlib import Path

import pytest

from helpers.commands import speechgmm
from helpers.recipes import SMALL, write_recipe
from speechgmm.errors import RecipeError
from speechgmm.recipe.reading.loader import dump_recipe, load_recipe
from speechgmm.recipe.reading.origins import list_origins
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.series.points import load_series

TWO = f"{SMALL}systems: [mfcc, lfcc]\n"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(text, name="r.yaml"):
    return write_recipe(Path(), text, name)


def refused(text, overrides=()):
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(text), overrides)
    return str(caught.value).splitlines()


def test_a_system_is_a_name_a_path_or_a_mapping_with_a_base_or_without():
    write("ubm: {n_components: 3}\n", "sub/own.yaml")
    write("name: called\nubm: {n_components: 4}\n", "sub/file.yaml")
    text = f"""\
{SMALL}
systems:
  - mfcc
  - sub/own.yaml
  - sub/file.yaml
  - {{base: mfcc_full, ubm: {{n_components: 64}}}}
  - {{base: sub/own.yaml, name: renamed}}
  - {{base: sub/file.yaml, normalisation: {{method: z}}, name: z}}
  - {{name: plain, features: mfcc39, ubm: 64}}
"""
    systems = load_recipe(write(text)).systems
    assert [(each.name, each.ubm.n_components) for each in systems] == [
        ("mfcc", 256),
        ("own", 3),
        ("called", 4),
        ("mfcc_full", 64),
        ("renamed", 3),
        ("z", 4),
        ("plain", 64),
    ]
    assert [each.normalisation.method for each in systems] == ["zt", "none", "none", "zt", "none", "z", "none"]
    assert (systems[3].features.normalisation.mean, systems[3].features.n_filters) == (1, 30)
    assert systems[6].features.n_cepstra == 13


def test_the_name_of_a_system_is_its_own_else_its_file_s_else_its_base_s():
    write("name: given\n", "one.yaml")
    write("base: one.yaml\n", "two.yaml")
    write("base: one.yaml\nname: own\n", "three.yaml")
    recipe = load_recipe(write(f"{SMALL}systems: [{{base: one.yaml}}, two.yaml, {{base: three.yaml}}]\n"))
    assert [each.name for each in recipe.systems] == ["given", "two", "own"]


def test_a_section_that_the_base_has_as_a_file_is_overridden_key_by_key():
    write("n_cepstra: 13\nvad: {range_db: 30}\n", "sections/f.yaml")
    write("features: sections/f.yaml\n", "base.yaml")
    write("base: base.yaml\nfeatures: {vad: {margin_db: 6}}\n", "above.yaml")
    text = f"{SMALL}systems: [base.yaml, {{base: above.yaml, features: {{lifter: 0}}}}]\n"
    below, above = (system.features for system in load_recipe(write(text)).systems)
    assert (below.n_cepstra, below.vad.range_db, below.vad.margin_db, below.lifter) == (13, 30, 3, 22)
    assert (above.n_cepstra, above.vad.range_db, above.vad.margin_db, above.lifter) == (13, 30, 6, 0)


def test_the_shipped_systems_differ_in_what_they_say():
    names = ("mfcc", "mfcc_raw", "mfcc_full", "lfcc", "lfcc_raw")
    systems = load_recipe(write(f"{SMALL}systems: [{', '.join(names)}]\n")).systems
    assert [(each.name, each.features.kind, each.features.normalisation.mean) for each in systems] == [
        ("mfcc", "mfcc", 0.5),
        ("mfcc_raw", "mfcc", 0),
        ("mfcc_full", "mfcc", 1),
        ("lfcc", "lfcc", 0.5),
        ("lfcc_raw", "lfcc", 0),
    ]
    assert all((each.ubm.n_components, each.normalisation.method) == (256, "zt") for each in systems)


def test_whole_recipes_are_systems_on_the_corpus_of_the_list(monkeypatch):
    monkeypatch.delenv("SPEECHGMM_DATA", raising=False)
    recipe = load_recipe(write(f"{SMALL}systems: [so762_svm, so762_ivector]\n"), ["corpus.n_speakers=5"])
    assert [each.name for each in recipe.systems] == ["so762_svm", "so762_ivector"]
    assert all(each.corpus == recipe.corpus for each in recipe.systems)
    assert recipe.corpus.n_speakers == 5


def test_a_key_of_one_system_is_set_by_its_name():
    write("features: kaldi\n", "v1.2.yaml")
    text = f"{SMALL}systems: [mfcc, {{base: lfcc, name: l}}, v1.2.yaml]\n"
    overrides = ["systems.mfcc.ubm.n_components=64", "systems.l.features.lifter=0", "systems.l.features=mfcc39"]
    overrides += ["systems.v1.2.ubm={n_iterations: 3}", "systems.v1.2.ubm.tolerance=0.5", "corpus.sample_rate=8000"]
    overrides += [
        f"systems.{name}.features.{key}"
        for name in ("mfcc", "l")
        for key in ("sample_rate=8000", "high_frequency=3700")
    ]
    overrides += ["systems.v1.2.features.sample_rate=8000"]
    mfcc, other, kaldi = load_recipe(write(text), overrides).systems
    assert (mfcc.ubm.n_components, other.ubm.n_components) == (64, 256)
    assert (mfcc.features.lifter, other.features.lifter, other.features.n_cepstra) == (22, 0, 13)
    assert (kaldi.ubm.n_iterations, kaldi.ubm.tolerance) == (3, 0.5)
    assert kaldi.features.high_frequency == 4000  # the preset is at the rate that is set


def test_a_list_of_systems_is_replaced_by_set_and_by_a_recipe_with_a_base():
    write(TWO)
    assert [each.name for each in load_recipe("r.yaml", ["systems=[mfcc_raw, lfcc]"]).systems] == ["mfcc_raw", "lfcc"]
    write("base: r.yaml\nsystems: [{base: mfcc, features: mfcc60}, mfcc_full, lfcc]\n", "m.yaml")
    assert [each.name for each in load_recipe("m.yaml").systems] == ["mfcc", "mfcc_full", "lfcc"]
    write("base: r.yaml\nseed: 3\n", "n.yaml")
    recipe = load_recipe("n.yaml", ["systems.lfcc.ubm.n_components=5"])
    assert (recipe.seed, [each.ubm.n_components for each in recipe.systems]) == (3, [256, 5])


def test_a_series_may_be_of_a_key_of_one_system():
    path = write(f"{TWO}sweep: {{grid: {{systems.mfcc.ubm.n_components: [8, 16]}}}}\n")
    series = load_series(path, ["systems.lfcc.ubm.n_components=4,5"])
    sizes = [tuple(each.ubm.n_components for each in point.recipe.systems) for point in series.points]
    assert sizes == [(8, 4), (8, 5), (16, 4), (16, 5)]
    assert series.keys == ("systems.mfcc.ubm.n_components", "systems.lfcc.ubm.n_components")
    with pytest.raises(RecipeError, match=r"r\.yaml:3:1: sweep|systems\.mfcc\.ubm\.n_components: 'x'; expected"):
        load_series(write(f"{TWO}sweep: {{grid: {{systems.mfcc.ubm.n_components: [8, x]}}}}\n"))


@pytest.mark.parametrize(
    ("systems", "message"),
    [
        (
            "[mfcc]",
            "r.yaml:2:1: systems: mfcc alone; expected two or more, as their scores are fused; a recipe of one system "
            "has base: mfcc instead",
        ),
        (
            "[mfcc, {base: mfcc, ubm: 64}]",
            "r.yaml:2:17: systems: a second system by the name of mfcc; give one another, as in "
            "{base: mfcc, name: mfcc_2}",
        ),
        (
            "[mfcc, best]",
            "r.yaml:2:17: systems.best.systems: best lists systems itself; expected none in a system: list them beside "
            "the others",
        ),
        (
            "[mfcc, lfc]",
            "r.yaml:2:17: systems: no such file: lfc, nor a shipped system "
            "(lfcc, lfcc_raw, mfcc, mfcc_full, mfcc_raw, pretrained_lfcc_full, pretrained_lfcc_full_plda, "
            "pretrained_mfcc_full, pretrained_mfcc_full_plda, pretrained_mfcc_raw, pretrained_mfcc_raw_plda); "
            "did you mean lfcc?",
        ),
        ("[mfcc, {ubm: 64}]", "r.yaml:2:17: systems[1].name: missing, and it has no default"),
        ("[mfcc, 3]", "r.yaml:2:17: systems: 3; expected keys and values"),
        ("mfcc", "r.yaml:2:1: systems: 'mfcc'; expected a list, as in [mfcc]"),
        (
            "[mfcc, {base: lfcc, ubm: {n_componets: 3}}]",
            "r.yaml:2:36: systems.lfcc.ubm.n_componets: unknown key; did you mean n_components?",
        ),
        (
            "[mfcc, {base: lfcc, features: {n_filters: 9}}]",
            "r.yaml:2:41: systems.lfcc.features: n_cepstra 30 from n_filters 9: too few filters",
        ),
    ],
)
def test_the_message_says_which_condition_failed_in_which_system(systems, message):
    lines = refused(f"{SMALL}systems: {systems}\n")
    assert len(lines) == 1
    assert lines[0].startswith(message)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "systems.mfc.ubm.n_components=3",
            "systems.mfc.ubm.n_components: no system by the name of mfc; the systems are mfcc, lfcc; did you mean "
            "mfcc?",
        ),
        ("systems.mfcc.ubm.n_componets=3", "systems.mfcc.ubm.n_componets: unknown key; did you mean n_components?"),
        ("systems.mfcc.ubm=none.yaml", "systems.mfcc.ubm: no such file: none.yaml"),
        (
            "systems.mfcc=lfcc",
            "systems.mfcc: expected a key of the system, as in --set systems.mfcc.ubm.n_components=128",
        ),
        (
            "systems.mfcc.calibration.method=none",
            "systems.mfcc.calibration.method: calibration is of the whole recipe, not of a system; expected "
            "--set calibration.method=VALUE",
        ),
        ("systems.mfcc.name=lfcc", "systems: two by the name of lfcc; expected different names: give one another name"),
        ("ubm.n_components=3", "ubm: systems have their own; expected none here"),
    ],
)
def test_what_is_set_of_a_system_that_cannot_be_is_named(override, message):
    (line,) = refused(TWO, [override])
    assert line.partition(": ")[2].endswith(message) if override != "systems.mfcc.name=lfcc" else message in line


def test_a_recipe_without_systems_has_none_to_set():
    (line,) = refused(SMALL, ["systems.a.ubm.n_components=3"])
    assert line == (
        "--set systems.a.ubm.n_components=3: systems.a.ubm.n_components: no system by the name of a; "
        "the recipe lists none"
    )


def test_in_python_systems_are_mappings_or_recipes_and_get_the_corpus():
    corpus = {"kind": "synthetic", "n_speakers": 7}
    other = Recipe(name="b", corpus={"kind": "synthetic"}, seed=4, ubm={"n_components": 5}, evaluation={"bootstrap": 3})
    recipe = Recipe(name="both", corpus=corpus, systems=({"name": "a", "ubm": {"n_components": 4}}, other))
    assert [(each.name, each.ubm.n_components, each.corpus.n_speakers) for each in recipe.systems] == [
        ("a", 4, 7),
        ("b", 5, 7),
    ]
    assert recipe.systems[1] == Recipe(name="b", corpus=corpus, ubm={"n_components": 5})
    assert load_recipe(write(dump_recipe(recipe))) == recipe


@pytest.mark.parametrize(
    ("systems", "message"),
    [
        ([{"name": "a"}], "systems: a alone; expected two or more"),
        ([{"name": "a"}, {"name": "a"}], "systems: two by the name of a"),
        (
            [{"name": "a"}, {"name": "b", "systems": [{"name": "c"}, {"name": "d"}]}],
            "systems: b lists systems itself; expected none in a system",
        ),
        ([{"name": "a"}, {"name": "b", "ubms": {}}], r"systems\.1\.ubms"),
        ([{"name": "a"}, {}], r"systems\.1\.name"),
        ([{"name": "a"}, 3], r"systems\.1\n"),
        (["mfcc", "lfcc"], r"systems\.0\n"),
    ],
)
def test_in_python_the_message_says_so_too(systems, message):
    with pytest.raises(ValueError, match=message):
        Recipe(name="r", corpus={"kind": "synthetic"}, systems=systems)


def test_the_corpus_that_a_front_end_needs_is_that_of_the_recipe():
    features = {"kind": "given", "n_static": 3}
    audio = Recipe(name="a", corpus={"kind": "kaldi", "root": "x", "input": "features"}, features=features)
    with pytest.raises(ValueError, match=r"features\.kind given: the corpus has audio"):
        Recipe(name="r", corpus={"kind": "synthetic"}, systems=[audio, {"name": "b"}])


def test_every_value_of_every_system_has_its_origin_by_the_system_s_name():
    write("base: mfcc\nfeatures: {lifter: 0}\n", "own.yaml")
    path = write(f"{SMALL}systems:\n- own.yaml\n- base: lfcc\n  name: second\n  scoring: top10\n")
    rows = list_origins(path, ["systems.own.ubm.n_components=8"])
    shown = {row.key: (row.value, row.origin) for row in rows}
    assert len(shown) == len(rows)
    assert {key: shown[key] for key in shown if key.startswith(("systems.own.ubm.n_c", "systems.own.n"))} == {
        "systems.own.name": ("own", "file name"),
        "systems.own.ubm.n_components": (8, "--set systems.own.ubm.n_components=8"),
        "systems.own.normalisation.method": ("zt", "shipped systems/mfcc.yaml:4"),
        "systems.own.normalisation.shrinkage": (30, "shipped systems/mfcc.yaml:4"),
        "systems.own.normalisation.top_n": (200, "default"),
        "systems.own.normalisation.statistics": ("mean", "default"),
        "systems.own.normalisation.trimmed_share": (0.1, "default"),
    }
    assert shown["systems.own.features.lifter"] == (0.0, "own.yaml:2")
    assert shown["systems.own.features.n_filters"] == (30, "shipped features/mfcc72.yaml:4")
    assert shown["systems.second.name"] == ("second", "r.yaml:5")
    assert shown["systems.second.scoring.top_components"] == (10, "shipped scoring/top10.yaml:3")
    assert shown["systems.second.features.kind"] == ("lfcc", "shipped features/lfcc90.yaml:3")
    assert {key.split(".")[2] for key in shown if key.startswith("systems.")} == {
        "name",
        "features",
        "ubm",
        "speakers",
        "scoring",
        "normalisation",
    }
    of_program = json.loads(speechgmm("show", path, "--set", "systems.own.ubm.n_components=8", "--json").stdout)["keys"]
    assert of_program == [row._asdict() for row in rows]


def test_show_prints_the_systems_apart():
    blocks = speechgmm("show", write(TWO)).stdout.split("\n\n")
    starts = [{line.split(" ")[0].rsplit(".features", 1)[0] for line in block.splitlines()} for block in blocks]
    assert len(blocks) == 5  # what is before the systems, two of them, what comes after, and the stages
    assert all(key.startswith("systems.mfcc.") or key == "systems.mfcc" for key in starts[1])
    assert all(key.startswith("systems.lfcc.") or key == "systems.lfcc" for key in starts[2])
    assert not any(key.startswith("systems") for key in starts[0] | starts[3])


def test_a_method_that_is_stated_drops_the_shipped_shrinkage_that_it_cannot_have(tmp_path):
    path = write_recipe(tmp_path, f"{SMALL}systems: [mfcc, {{base: lfcc, normalisation: {{method: as}}}}, mfcc_raw]\n")
    systems = load_recipe(path, ["systems.mfcc.normalisation.method=none"]).systems
    found = [(each.normalisation.method, each.normalisation.shrinkage) for each in systems]
    assert found == [("none", 0), ("as", 0), ("zt", 30)]
    one = load_recipe("default", ["corpus.kind=synthetic", "normalisation.method=s"]).normalisation
    assert (one.method, one.shrinkage) == ("s", 30)
    with pytest.raises(RecipeError, match="shrinkage 5 is for methods"):
        load_recipe(path, ["systems.mfcc.normalisation={method: none, shrinkage: 5}"])
