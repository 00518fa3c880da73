"""Shipped recipes, systems and sections by name, files of the folder that hide them, and recipes with a base."""

import shutil
from pathlib import Path

import pytest

from helpers.paths import ROOT
from helpers.recipes import SMALL, write_recipe
from speechgmm.errors import RecipeError
from speechgmm.recipe import shipped
from speechgmm.recipe.reading.loader import load_features, load_recipe, notes_on
from speechgmm.recipe.reading.origins import list_origins
from speechgmm.recipe.shipped import folder_of, kinds, shipped_names, summary_of

REAL = "corpus: {kind: kaldi, root: so}\n"  # of any sample rate, as nothing is opened
SYNTHETIC = ["corpus.kind=synthetic"]
WITHOUT_CORPUS = ("best", "default", "fast")
SECTION_KINDS = [kind for kind in kinds() if kind not in ("recipes", "systems")]
VARIABLES = ("SPEECHGMM_DATA", "LIBRISPEECH", "TIMIT", "VOXCELEB1")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for variable in VARIABLES:
        monkeypatch.setenv(variable, str(tmp_path / "data"))
    return tmp_path


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The shipped files where a wheel puts them, with nothing beside."""
    root = tmp_path / "site-packages" / "speechgmm" / "shipped"
    for folder in ("recipes", "configs"):
        shutil.copytree(ROOT / folder, root / folder)
    monkeypatch.setattr(shipped, "ROOT", root)
    return root


def write(text, name="r.yaml"):
    return write_recipe(Path(), text, name)


def refused(path, overrides=()):
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, overrides)
    return str(caught.value).splitlines()


def origins_of(path, overrides=()):
    return {row.key: row.origin for row in list_origins(path, overrides)}


def test_every_kind_is_shipped_and_no_two_files_have_one_name():
    names = [name for kind in kinds() for name in shipped_names(kind)]
    assert kinds() == ["recipes", "systems", "features", "scoring", "ubm"]
    assert len(set(names)) == len(names)
    assert shipped_names("ubm") == ["64", "256", "1024"]


def test_the_summary_of_a_file_is_the_first_sentence_of_its_comment():
    path = write("# yaml-language-server: $schema=x.json\n# One, of 0.5 Hz,\n# and more. Two.\nseed: 1\n# Three.\n")
    assert summary_of(path) == "One, of 0.5 Hz, and more."
    assert all(summary_of(folder_of(kind) / f"{name}.yaml") for kind in kinds() for name in shipped_names(kind))


@pytest.mark.parametrize("name", shipped_names("recipes"))
def test_a_recipe_by_name_is_the_one_of_its_file(name):
    overrides = SYNTHETIC if name in WITHOUT_CORPUS else []
    assert load_recipe(name, overrides) == load_recipe(ROOT / "recipes" / f"{name}.yaml", overrides)


@pytest.mark.parametrize("kind", SECTION_KINDS)
def test_a_section_by_name_is_the_one_of_its_file(kind):
    for name in shipped_names(kind):
        by_path = load_recipe(write(f"{REAL}{kind}: {folder_of(kind)}/{name}.yaml\n"))
        for text in (f"{kind}: {name}", f"{kind}: '{name}'", f"{kind}: {{base: {name}}}"):
            assert load_recipe(write(f"{REAL}{text}\n")) == by_path
        assert load_recipe(write(REAL), [f"{kind}={name}"]) == by_path


def test_a_front_end_alone_goes_by_name_too():
    assert load_features("mfcc39") == load_features(str(ROOT / "configs" / "features" / "mfcc39.yaml"))


@pytest.mark.parametrize("name", [*shipped_names("recipes"), *shipped_names("systems")])
def test_a_copy_is_the_recipe_in_any_folder_with_nothing_beside_it(name, installed):
    kind = "systems" if name in shipped_names("systems") else "recipes"
    overrides = [] if "\ncorpus:" in (text := (folder_of(kind) / f"{name}.yaml").read_text()) else SYNTHETIC
    copy = load_recipe(write(text, "elsewhere/mine.yaml"), overrides)
    assert copy.model_copy(update={"name": name}) == load_recipe(name, overrides)


def test_a_file_of_the_folder_hides_the_shipped_one_and_that_is_said_once():
    write("{n_components: 3}", "64")
    write("n_cepstra: 5\n", "sub/mfcc72.yaml")
    write(f"{SMALL}ubm: 64\nfeatures: mfcc72\nscoring: top10\nsystems: []\n", "sub/quickstart.yaml")
    assert load_recipe("sub/quickstart.yaml").features.n_cepstra == 5
    assert load_recipe("sub/quickstart.yaml").ubm.n_components == 64  # a name is of the folder of its file
    assert notes_on("sub/quickstart.yaml") == (
        "mfcc72 is the file sub/mfcc72.yaml here, not shipped features/mfcc72.yaml",
    )
    assert load_recipe("sub/quickstart.yaml", ["ubm=64"]).ubm.n_components == 3
    write("name: mine\n" + SMALL, "quickstart.yaml")
    assert load_recipe("quickstart").name == "mine"
    assert notes_on("quickstart") == (
        "quickstart is the file quickstart.yaml here, not shipped recipes/quickstart.yaml",
    )
    systems = "systems: [{name: a, features: mfcc39}, {name: b, features: mfcc39}]\n"
    write("n_cepstra: 5\n", "mfcc39.yaml")
    assert notes_on(write(SMALL + systems)) == (
        "mfcc39 is the file mfcc39.yaml here, not shipped features/mfcc39.yaml",
    )


def test_nothing_is_said_of_other_files(monkeypatch):
    write("n_components: 3\n", "mine.yaml")
    assert load_recipe(write(f"{SMALL}ubm: mine\n")).ubm.n_components == 3
    assert notes_on("r.yaml") == notes_on("r") == notes_on("quickstart") == ()
    monkeypatch.chdir(ROOT / "recipes")
    assert notes_on("quickstart") == notes_on("so762_subspace") == ()
    assert load_recipe("quickstart").name == "quickstart"


def test_a_folder_of_the_name_hides_nothing(here):
    (here / "quickstart").mkdir()
    (here / "mfcc72").mkdir()
    assert load_recipe("quickstart").features.n_cepstra == 24


def test_a_file_may_be_based_on_its_shipped_namesake():
    write("base: mfcc72\nlifter: 0\n", "mfcc72.yaml")
    features = load_recipe(write(f"{SMALL}features: mfcc72\n")).features
    assert (features.lifter, features.n_filters) == (0, 30)
    write("base: quickstart\nseed: 5\n", "quickstart.yaml")
    recipe = load_recipe("quickstart")
    assert (recipe.seed, recipe.corpus.n_speakers) == (5, 20)


def test_presets_are_themselves_whatever_files_there_are():
    write("n_cepstra: 5\n", "kaldi.yaml")
    path = write(f"{SMALL}features: kaldi\n")
    assert load_recipe(path).features.n_filters == 23
    assert notes_on(path) == ()
    assert load_recipe(path, ["features=./kaldi.yaml"]).features.n_cepstra == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ubm: 65\n", "r.yaml:2:1: ubm: 65; expected keys and values"),
        ("ubm: true\n", "r.yaml:2:1: ubm: true; expected keys and values"),
        ("ubm: '65'\n", "r.yaml:2:1: ubm: no such file: 65, nor a shipped ubm section (64, 256, 1024)"),
        (
            "scoring: top1\n",
            "r.yaml:2:1: scoring: no such file: top1, nor a shipped scoring section (exact, linear, top10); "
            "did you mean top10?",
        ),
        (
            "scoring: ../top10.yaml\n",
            "r.yaml:2:1: scoring: no such file: ../top10.yaml; the shipped one is named top10",
        ),
        ("scoring: a/top10\n", "r.yaml:2:1: scoring: no such file: a/top10; the shipped one is named top10"),
        ("evaluation: x\n", "r.yaml:2:1: evaluation: no such file: x"),
        ("bse: quickstart\n", "r.yaml:2:1: bse: unknown key; did you mean base?"),
        ("base: [quickstart]\n", "r.yaml:2:1: base: [quickstart]; expected a name, or the path of a file"),
        ("base:\n", "r.yaml:2:1: base: null; expected a name, or the path of a file"),
        ("base: r.yaml\n", "r.yaml:2:1: r.yaml is based on itself"),
    ],
)
def test_a_name_that_is_none_is_refused_with_what_there_is(text, message):
    assert refused(write(SMALL + text)) == [message]


def test_a_recipe_that_is_none_is_refused_with_what_there_is():
    names = ", ".join(shipped_names("recipes"))
    assert refused("quickstat") == [
        f"quickstat: no such file, nor a shipped recipe ({names}); did you mean quickstart?"
    ]
    assert refused(write("base: so762_bst\n")) == [
        f"r.yaml:1:1: no such file: so762_bst, nor a shipped recipe ({names}); did you mean so762_best?"
    ]


def test_shipped_files_have_short_names_wherever_they_are(installed):
    shown = origins_of("quickstart")
    assert shown["ubm.n_components"] == "shipped recipes/quickstart.yaml:7"
    assert shown["features.n_cepstra"] == "shipped features/mfcc72.yaml:7"
    both = [*origins_of("best", SYNTHETIC).values(), *origins_of(write(f"{SMALL}systems: [mfcc, lfcc]\n")).values()]
    assert {"shipped systems/mfcc.yaml:3", "shipped systems/mfcc_full.yaml:3", "shipped features/lfcc90.yaml:3"} <= {
        *both
    }
    assert not any("site-packages" in origin for origin in both)
    (installed / "configs" / "ubm" / "64.yaml").write_text("n_componets: 3\n")
    (line,) = refused("an4_feat_isv", ["ubm=64"])
    assert line == "shipped ubm/64.yaml:1:1: ubm.n_componets: unknown key; did you mean n_components?"


def test_a_shipped_recipe_without_its_data_says_which_variable_to_set(installed, monkeypatch, tmp_path):
    monkeypatch.delenv("SPEECHGMM_DATA")
    (line,) = refused("so762")
    assert line == (
        "shipped recipes/so762.yaml:8:3: corpus.root: ${SPEECHGMM_DATA:-../../shared/data}/so762: the environment "
        "variable SPEECHGMM_DATA is not set; expected the folder of the data, which the comments of the recipe "
        "describe (speechgmm recipes so762)"
    )
    write("base: so762\ncorpus: {kind: kaldi, root: mine}\n")
    assert load_recipe("r.yaml").corpus.root == str(tmp_path / "mine")
    monkeypatch.setenv("SPEECHGMM_DATA", "data")
    assert load_recipe("so762").corpus.root == str(tmp_path / "data" / "so762")
    monkeypatch.delenv("SPEECHGMM_DATA")
    beside = installed.parent / "shared" / "data" / "so762"
    beside.mkdir(parents=True)
    assert load_recipe("so762").corpus.root == str(beside)


@pytest.mark.parametrize("name", WITHOUT_CORPUS)
def test_a_recipe_without_a_corpus_says_how_to_give_it_one(name):
    assert refused(name) == [
        f"shipped recipes/{name}.yaml:1:1: corpus: missing, and it has no default; expected a section of the file, or "
        "--set corpus.kind=kaldi --set corpus.root=FOLDER, or --set 'corpus={kind: folder, root: FOLDER}' with the "
        "kind of your data"
    ]
    for given in (["corpus.kind=kaldi", "corpus.root=x"], ["corpus={kind: kaldi, root: x}"]):
        recipe = load_recipe(name, given)
        assert (recipe.name, recipe.corpus.root) == (name, str(Path.cwd() / "x"))


def test_recipes_for_any_corpus_are_made_of_the_shipped_systems():
    mfcc = load_recipe("mfcc", SYNTHETIC)
    assert [system.name for system in load_recipe("best", SYNTHETIC).systems] == [
        "mfcc_raw",
        "mfcc_full",
        "lfcc_raw",
        "lfcc",
    ]
    assert load_recipe("default", SYNTHETIC).model_copy(update={"name": "mfcc"}) == mfcc
    fast = load_recipe("fast", SYNTHETIC)
    assert (fast.ubm.n_components, fast.scoring.method, fast.normalisation) == (64, "linear", mfcc.normalisation)


def test_the_keys_of_a_recipe_override_those_of_its_base():
    write(
        "seed: 1\nname: b\ncorpus: {kind: synthetic, n_speakers: 3}\nubm: {n_components: 8, tolerance: 0.1}\n", "b.yaml"
    )
    write("base: b.yaml\nseed: 2\nubm: {n_iterations: 3, tolerance: 0.2}\nbackend: []\n", "deep/../m.yaml")
    recipe = load_recipe("m.yaml", ["ubm.n_iterations=4"])
    assert (recipe.name, recipe.seed, recipe.corpus.n_speakers) == ("m", 2, 3)
    assert (recipe.ubm.n_components, recipe.ubm.tolerance, recipe.ubm.n_iterations) == (8, 0.2, 4)
    shown = origins_of("m.yaml", ["ubm.n_iterations=4"])
    assert [shown[f"ubm.{key}"] for key in ("n_components", "tolerance", "n_iterations", "starving")] == [
        "b.yaml:4",
        "m.yaml:3",
        "--set ubm.n_iterations=4",
        "default",
    ]


def test_a_section_that_is_a_file_or_empty_takes_the_place_of_the_base_s():
    write("n_components: 8\n", "u.yaml")
    write(
        f"{SMALL}ubm: {{tolerance: 0.1, base: u.yaml}}\nnormalisation: {{method: s}}\nspeakers: {{alpha: 0.5}}\n",
        "b.yaml",
    )
    text = "base: b.yaml\nubm: u.yaml\nnormalisation:\nspeakers: {adapt: [means, weights]}\n"
    recipe = load_recipe(write(text))
    assert (recipe.ubm.n_components, recipe.ubm.tolerance) == (8, 1e-5)
    assert recipe.normalisation.method == "none"
    assert (recipe.speakers.alpha, recipe.speakers.adapt) == (0.5, ("means", "weights"))
    assert load_recipe("r.yaml", ["speakers={adapt: [weights]}"]).speakers.alpha is None
    assert load_recipe("b.yaml").ubm.tolerance == 0.1
    assert origins_of("r.yaml")["ubm.tolerance"] == "default"


def test_mistakes_in_what_is_replaced_do_not_count():
    write(f"{SMALL}ubm: none.yaml\nspeakers: {{metod: map}}\n", "b.yaml")
    assert load_recipe(write("base: b.yaml\nubm: 64\nspeakers: null\n")).ubm.n_components == 64
    assert refused(write("base: b.yaml\n")) == [
        "b.yaml:2:1: ubm: no such file: none.yaml",
        "b.yaml:3:12: speakers.metod: unknown key; did you mean method?",
    ]


def test_lists_of_a_base_are_replaced_with_their_origins():
    steps = "vectors: {kind: ivector}\nbackend: [center, {nap: 3}, {length: unit}, cosine]\n"
    write(f"{SMALL}{steps}", "b.yaml")
    path = write("base: b.yaml\nbackend:\n- center\n- length\n- cosine\n")
    recipe = load_recipe(path)
    assert [step.step for step in recipe.backend] == ["center", "length", "cosine"]
    shown = origins_of(path)
    assert (shown["backend[1].step"], shown["backend[1].scale"]) == ("r.yaml:4", "default")


def test_a_preset_of_a_base_is_at_the_rate_of_the_recipe():
    write(f"{SMALL}features: kaldi\n", "b.yaml")
    of_8_khz = {"features": {"base": "kaldi", "sample_rate": 8000}}
    expected = load_recipe(write(f"corpus: {{kind: synthetic, sample_rate: 8000}}\nfeatures: {of_8_khz['features']}\n"))
    text = "base: b.yaml\ncorpus: {sample_rate: 8000}\n"
    assert load_recipe(write(f"{text}features: {{sample_rate: 8000}}\n")) == expected
    assert load_recipe(write(text), ["features.sample_rate=8000"]) == expected
    assert expected.features.high_frequency == 4000
