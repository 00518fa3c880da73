"""Reading recipes: what is allowed, and what is said of the rest."""

from pathlib import Path

import pytest

from helpers.paths import ROOT
from helpers.recipes import SMALL
from helpers.recipes import write_recipe as write
from speechgmm.errors import RecipeError
from speechgmm.features.extract import FeatureConfig
from speechgmm.features.presets import PRESETS
from speechgmm.recipe.reading.loader import dump_recipe, load_features, load_recipe

SHIPPED = sorted((ROOT / "recipes").glob("*.yaml"))
SECTIONS = [path for path in sorted((ROOT / "configs").rglob("*.yaml")) if path.parent.name != "systems"]
SYNTHETIC = ["corpus.kind=synthetic"]
WITHOUT_CORPUS = {"best", "default", "fast"}
REAL = "corpus: {kind: kaldi, root: so}\n"  # of any sample rate, as nothing is opened


def check_refused(folder, text, message, overrides=()):
    with pytest.raises(RecipeError, match=message) as caught:
        load_recipe(write(folder, text), overrides)
    return str(caught.value)


def test_there_are_recipes_and_sections():
    assert {path.stem for path in SHIPPED} >= {"quickstart", "mini", "libri", "so762"}
    assert SECTIONS


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_recipe_loads_and_comes_back_from_its_dump(path, tmp_path):
    recipe = load_recipe(path, SYNTHETIC if path.stem in WITHOUT_CORPUS else [])
    assert recipe.name == path.stem
    assert load_recipe(write(tmp_path, dump_recipe(recipe))) == recipe


@pytest.mark.parametrize("path", SECTIONS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_shipped_section_can_stand_in_a_recipe(path, tmp_path):
    recipe = load_recipe(write(tmp_path, f"{REAL}{path.parent.name}: {path}\n"))
    if path.parent.name == "features":
        assert path.stem.startswith(f"{recipe.features.kind}{recipe.features.n_features}")
        assert recipe.to_json()["features"]["sample_rate"] == "auto"


def test_the_name_is_that_of_the_file_unless_given(tmp_path):
    assert load_recipe(write(tmp_path, SMALL, "mine.yaml")).name == "mine"
    assert load_recipe(write(tmp_path, SMALL + "name: other\n")).name == "other"
    check_refused(tmp_path, SMALL + "name: ../up\n", r"r\.yaml:2:\d+: name: '\.\./up'")


def test_numbers_are_what_yaml_1_2_says(tmp_path):
    recipe = load_recipe(write(tmp_path, SMALL + "ubm: {tolerance: 1e-4, n_components: 0x10}\n"))
    assert (recipe.ubm.tolerance, recipe.ubm.n_components) == (1e-4, 16)
    check_refused(tmp_path, SMALL + "features: {remove_dc: yes}\n", r"features\.remove_dc: 'yes'")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ubm: {n_components: 64, n_components: 32}\n", r"r\.yaml:2:\d+: ubm\.n_components: the key stands here twice"),
        ("ubm:\n  n_componets: 64\n", r"r\.yaml:3:\d+: ubm\.n_componets: unknown key; did you mean n_components\?"),
        ("ubms: {}\n", r"r\.yaml:2:\d+: ubms: unknown key; did you mean ubm\?"),
        ("seed: -1\n", r"r\.yaml:2:1: seed: -1; expected 0 or more"),
        ("seed: 1.5\n", r"r\.yaml:2:\d+: seed: 1\.5; expected a whole number"),
        ("ubm:\n  variance_floor: .nan\n", r"r\.yaml:3:\d+: ubm\.variance_floor: nan"),
        ("features:\n  window: hamning\n", r"r\.yaml:3:\d+: features\.window: 'hamning'; .*did you mean hamming\?"),
        ("features:\n  n_fft: 100\n", r"r\.yaml:3:3: features: n_fft 100 is shorter than the frame of 400 samples"),
        ("features: {vad: {range: 3}}\n", r"features\.vad\.range: unknown key; did you mean range_db\?"),
        ("speakers: {adapt: [mean]}\n", r"speakers\.adapt: 'mean'; .*did you mean means\?"),
        (
            "speakers:\n  relevance_factors:\n    mean: 3\n",
            r"r\.yaml:4:\d+: speakers\.relevance_factors\.mean: .*mean means\?",
        ),
        ("speakers: {relevance_factors: {means: -1}}\n", r"speakers\.relevance_factors\.means: -1; expected 0 or more"),
        ("speakers: {alpha: 1.5}\n", r"speakers\.alpha: 1\.5; expected 1 or less"),
        (
            "speakers: {alpha: 0.5, relevance_factors: {means: 3}}\n",
            r"speakers: alpha 0\.5 takes the place of .* means",
        ),
        ("speakers: {n_iterations: 0}\n", r"speakers\.n_iterations: 0; expected 1 or more"),
        ("evaluation: {dcf: [sre8]}\n", r"evaluation\.dcf: 'sre8'; .*did you mean sre08\?"),
        ("ubm: !!python/object:os.system {}\n", r"r\.yaml:2:1: ubm: tag .*python/object"),
        ("ubm: !secret 3\n", r"r\.yaml:2:1: ubm: tag !secret"),
        ("ubm: &a {base: *a}\n", r"r\.yaml:2:10: ubm\.base: an anchor that contains itself"),
        ("ubm:\n  <<: {n_components: 3}\n", r"r\.yaml:3:3: ubm: '<<' as a key"),
        ("1: 2\n", r"r\.yaml:2:\d+: '1' as a key"),
        ("ubm: [\n", r"r\.yaml:3:\d+: not YAML"),
        ("ubm: 3\n", r"r\.yaml:2:\d+: ubm: 3; expected keys and values"),
        ("ubm: nowhere.yaml\n", r"r\.yaml:2:\d+: ubm: no such file: .*nowhere\.yaml"),
        ("ubm: {base: 3}\n", r"r\.yaml:2:\d+: ubm\.base: 3; expected a name, or the path of a file"),
        ("---\n", r"r\.yaml:2:\d+: not YAML"),
        ("calibration: none\n", r"no such file: .*none; expected keys and values, as in calibration\.method=none"),
        ("speakers: independent\n", r"expected keys and values, as in speakers\.method=independent"),
        ("speakers: {adapt: means}\n", r"speakers\.adapt: 'means'; expected a list, as in \[means\]"),
        ("features: {vad: none}\n", r"features\.vad: 'none'; expected keys and values"),
        ("ubm: " + "[" * 5000, "more than 10000 keys or 50 levels"),
        ("ubm: " + "[" * 60 + "]" * 60, "more than 10000 keys or 50 levels"),
        ("ubm:\n  " + "- " * 60 + "1", "more than 10000 keys or 50 levels"),
        ("seed: " + "9" * 5000, r"r\.yaml:2:1: seed: 9{40}\.\.\.: 5000 digits"),
        ("seed: !!int abc\n", r"r\.yaml:2:1: seed: tag .*:int: a recipe is plain data"),
        ("seed: !!bool maybe\n", r"r\.yaml:2:1: seed: tag .*:bool: a recipe"),
        ("features: {log_floor: 1e-50}\n", r"features\.log_floor: 1e-50"),
    ],
)
def test_what_is_wrong_is_named_with_line_and_key(tmp_path, text, message):
    check_refused(tmp_path, SMALL + text, message)


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    text = check_refused(tmp_path, SMALL + "seed: -1\nubm: {n_componets: 3}\nscoring: {method: foo}\n", "seed")
    assert [line.split(": ")[1] for line in text.splitlines()] == ["seed", "ubm.n_componets", "scoring.method"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected keys and values"),
        ("- a\n", "expected keys and values"),
        ("seed: 1\n", r"r\.yaml:1:\d+: corpus: missing"),
        (
            "corpus: {n_speakers: 3}\n",
            r"r\.yaml:1:\d+: corpus\.kind: missing; expected one of 'synthetic', 'csv', 'kaldi'",
        ),
        (
            "corpus: {kind: kald}\n",
            r"r\.yaml:1:\d+: corpus\.kind: 'kald'; expected one of 'synthetic', 'csv', 'kaldi'",
        ),
        ("corpus: {kind: kaldi}\n", r"r\.yaml:1:\d+: corpus\.root: missing"),
        ("corpus: {kind: synthetic, root: x}\n", r"corpus\.root: unknown key"),
        ("#" * 1_000_001, "1000001 bytes; a recipe has at most 1000000"),
    ],
)
def test_recipes_without_a_corpus_or_a_mapping_are_refused(tmp_path, text, message):
    check_refused(tmp_path, text, message)


def test_missing_and_binary_files_are_named(tmp_path):
    with pytest.raises(RecipeError, match=r"none\.yaml: no such file; expected a recipe"):
        load_recipe(tmp_path / "none.yaml")
    (tmp_path / "b.yaml").write_bytes(b"name: x\n\xff\n")
    with pytest.raises(RecipeError, match=r"b\.yaml:2: not UTF-8"):
        load_recipe(tmp_path / "b.yaml")


def test_an_anchor_that_multiplies_is_refused(tmp_path):
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
    check_refused(tmp_path, bomb, "more than 10000 keys")


def test_a_section_without_anything_is_its_defaults(tmp_path):
    assert load_recipe(write(tmp_path, SMALL + "ubm:\nfeatures: null\n")) == load_recipe(write(tmp_path, SMALL))
    check_refused(tmp_path, "corpus:\n", r"r\.yaml:1:\d+: corpus: missing")


def test_a_name_that_comes_from_a_file_is_made_fit_for_a_folder(tmp_path):
    assert load_recipe(write(tmp_path, SMALL, "my réc.ipe.yaml")).name == "my-r-c.ipe"


def test_a_link_to_a_recipe_is_read_as_if_it_stood_where_the_recipe_is(tmp_path):
    write(tmp_path, "n_components: 8\n", "real/c/ubm.yaml")
    recipe = write(tmp_path, "corpus: {kind: kaldi, root: ../data}\nubm: ../real/c/ubm.yaml\n", "real/r.yaml")
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "link.yaml").symlink_to(recipe)
    (tmp_path / "else" / "folder").symlink_to(tmp_path / "real")
    for path in ("else/link.yaml", "else/folder/r.yaml"):
        loaded = load_recipe(tmp_path / path)
        assert loaded.ubm.n_components == 8
        assert loaded.corpus.root == str(tmp_path / "data")


def test_a_section_may_be_a_file_relative_to_the_one_it_stands_in(tmp_path):
    write(tmp_path, "base: deep/base.yaml\nn_components: 8\n", "c/ubm.yaml")
    write(tmp_path, "n_components: 4\nn_iterations: 3\n", "c/deep/base.yaml")
    assert load_recipe(write(tmp_path, SMALL + "ubm: c/ubm.yaml\n")).ubm.n_components == 8
    recipe = load_recipe(write(tmp_path, SMALL + "ubm: {base: c/ubm.yaml, n_components: 5}\n"))
    assert (recipe.ubm.n_components, recipe.ubm.n_iterations) == (5, 3)


def test_a_base_is_overridden_key_by_key_at_every_depth(tmp_path):
    write(tmp_path, "vad: {range_db: 30, margin_db: 6}\nn_cepstra: 13\n", "f.yaml")
    text = SMALL + "features:\n  base: f.yaml\n  vad: {range_db: 50}\n"
    features = load_recipe(write(tmp_path, text)).features
    assert (features.vad.range_db, features.vad.margin_db, features.n_cepstra) == (50, 6, 13)
    overridden = load_recipe(write(tmp_path, text), ["features.vad.margin_db=1", "features.n_cepstra=20"]).features
    assert (overridden.vad.range_db, overridden.vad.margin_db, overridden.n_cepstra) == (50, 1, 20)


def test_an_error_in_a_base_is_named_in_the_base(tmp_path):
    write(tmp_path, "\nn_componets: 4\n", "c/ubm.yaml")
    check_refused(tmp_path, SMALL + "ubm: c/ubm.yaml\n", r"c/ubm\.yaml:2:\d+: ubm\.n_componets: unknown key")
    check_refused(tmp_path, SMALL + "ubm: {base: c/ubm.yaml, x: 1}\n", r"r\.yaml:2:\d+: ubm\.x: unknown key")
    write(tmp_path, "base: two.yaml\n", "one.yaml")
    write(tmp_path, "base: one.yaml\n", "two.yaml")
    check_refused(tmp_path, SMALL + "ubm: one.yaml\n", "is based on itself")


def test_overrides_come_from_the_command_line(tmp_path, monkeypatch):
    path = write(tmp_path, SMALL)
    recipe = load_recipe(path, ["seed=7", "ubm.n_components=128", "speakers.adapt=[means, weights]"])
    assert (recipe.seed, recipe.ubm.n_components, recipe.speakers.adapt) == (7, 128, ("means", "weights"))
    assert load_recipe(path, ["scoring.top_components=null"]).scoring.top_components is None
    write(tmp_path, "n_components: 3\n", "here/ubm.yaml")
    monkeypatch.chdir(tmp_path / "here")
    corpus = load_recipe(path, ["corpus={kind: kaldi, root: x}"]).corpus
    assert corpus.root == str(tmp_path / "here" / "x")
    both = load_recipe(path, ["ubm={base: ubm.yaml, n_iterations: 4}"]).ubm
    assert (both.n_components, both.n_iterations) == (3, 4)
    assert load_recipe(path, ["ubm=ubm.yaml", "ubm.n_iterations=2"]).ubm.n_components == 3


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "--set seed: expected KEY=VALUE"),
        ("=3", "expected KEY=VALUE"),
        ("ubm..x=3", "expected KEY=VALUE"),
        ("ubm.n_componets=3", r"--set ubm\.n_componets=3: ubm\.n_componets: unknown key; did you mean n_components\?"),
        ("ubmm.x=3", r"--set ubmm\.x=3: ubmm: unknown key"),
        ("seed.x=3", r"--set seed\.x=3: seed: "),
        ("vectors.x=3", r"--set vectors\.x=3: vectors"),
        ("name.x=3", r"--set name\.x=3: name\.x: name has no keys below it"),
        ("ubm.n_components=[", r"--set ubm\.n_components=\[.*: not YAML"),
        ("ubm.n_components=many", r"--set ubm\.n_components=many: ubm\.n_components: 'many'"),
        ("corpus={kind: kaldi}", r"--set corpus=\{kind: kaldi\}: corpus\.root: missing"),
        ("ubm={n_componets: 3}", r"--set ubm=\{n_componets: 3\}: ubm\.n_componets: unknown key"),
        ("corpus.kind=kald", r"--set corpus\.kind=kald: corpus\.kind: 'kald'"),
    ],
)
def test_bad_overrides_are_named(tmp_path, override, message):
    check_refused(tmp_path, SMALL, message, [override])


def test_the_root_of_a_corpus_is_relative_to_its_file_and_may_name_a_variable(tmp_path, monkeypatch):
    path = write(tmp_path, "corpus: {kind: kaldi, root: ../data}\n", "recipes/r.yaml")
    assert load_recipe(path).corpus.root == str(tmp_path / "data")
    path = write(tmp_path, "corpus: {kind: kaldi, root: '${SPEECH_X:-../data}/so'}\n", "recipes/r.yaml")
    monkeypatch.delenv("SPEECH_X", raising=False)
    assert load_recipe(path).corpus.root == str(tmp_path / "data" / "so")
    monkeypatch.setenv("SPEECH_X", "/elsewhere")
    assert load_recipe(path).corpus.root == "/elsewhere/so"
    monkeypatch.setenv("SPEECH_X", "below")
    monkeypatch.chdir(tmp_path)
    assert load_recipe(path).corpus.root == str(Path.cwd() / "below" / "so")
    monkeypatch.delenv("SPEECH_X")
    check_refused(tmp_path, "corpus: {kind: kaldi, root: '${SPEECH_X}/so'}\n", r"corpus\.root: .*SPEECH_X is not set")


@pytest.mark.parametrize("name", PRESETS)
def test_a_front_end_may_be_a_preset(tmp_path, name):
    preset = FeatureConfig.preset(name)
    assert load_recipe(write(tmp_path, REAL + f"features: {name}\n")).features == preset
    assert load_recipe(write(tmp_path, REAL), [f"features={name}"]).features == preset
    assert load_features(name) == preset
    assert load_features() == FeatureConfig()


def test_a_preset_follows_the_sample_rate_of_whoever_builds_on_it(tmp_path):
    wanted = FeatureConfig.preset("kaldi", sample_rate=8000, n_cepstra=20)
    text = "{base: kaldi, n_cepstra: 20, sample_rate: 8000}\n"
    path = write(tmp_path, f"features: {text}{REAL}")
    assert load_recipe(path).features == wanted
    assert load_recipe(path, ["features.sample_rate=44100"]).features.high_frequency == 22050
    assert load_recipe(write(tmp_path, REAL), [f"features={text}"]).features == wanted
    assert load_features(str(write(tmp_path, text, "f.yaml"))) == wanted
    assert load_features(str(write(tmp_path, "base: f.yaml\n", "g.yaml"))) == wanted
    assert load_features("kaldi", ["sample_rate=8000", "n_cepstra=20"]) == wanted
    assert load_features("kaldi") == FeatureConfig.preset("kaldi")


def test_a_preset_is_overridden_key_by_key_and_stays_as_it_is(tmp_path):
    before = FeatureConfig.preset("kaldi")
    text = SMALL + "features: {base: kaldi, vad: {range_db: 30}, deltas: {window: 2}}\n"
    features = load_recipe(write(tmp_path, text), ["features.normalisation.mean=1"]).features
    wanted = {"vad": {"range_db": 30}, "deltas": {"window": 2}, "normalisation": {"mean": 1.0}}
    assert features == FeatureConfig.preset("kaldi", **wanted)
    assert FeatureConfig.preset("kaldi") == before


def test_a_file_by_the_name_of_a_preset_is_reached_by_its_path(tmp_path, monkeypatch):
    write(tmp_path, "n_cepstra: 7\n", "kaldi")
    assert load_recipe(write(tmp_path, SMALL + "features: ./kaldi\n")).features.n_cepstra == 7
    assert load_recipe(write(tmp_path, SMALL + "features: kaldi\n")).features.n_cepstra == 13
    monkeypatch.chdir(tmp_path)
    assert load_features("./kaldi").n_cepstra == 7
    write(tmp_path, "n_components: 7\n", "htk")
    assert load_recipe(write(tmp_path, SMALL + "ubm: htk\n")).ubm.n_components == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kaldy", r"r\.yaml:2:\d+: features: no such file: .*kaldy, nor a preset .*\(kaldi, .*did you mean kaldi\?"),
        ("{base: libros}", r"r\.yaml:2:\d+: features: no such file: .*did you mean librosa\?"),
        ("{base: 3}", r"r\.yaml:2:\d+: features\.base: 3; expected a name, or the path of a file or a preset's name"),
        ("{base: kaldi, n_ceptra: 3}", r"r\.yaml:2:\d+: features\.n_ceptra: unknown key; did you mean n_cepstra\?"),
        ("{base: kaldi, n_cepstra: 24}", r"r\.yaml:2:\d+: features: n_cepstra 24 from n_filters 23: too few filters"),
        ("{base: kaldi, sample_rate: fast}", r"r\.yaml:2:\d+: features\.sample_rate: 'fast'"),
        ("{base: kaldi, sample_rate: 0}", r"r\.yaml:2:\d+: features\.sample_rate: 0"),
        ("{base: psf, sample_rate: true}", r"r\.yaml:2:\d+: features\.sample_rate: true; expected a whole number"),
        ("{base: psf, sample_rate: 44100}", r"r\.yaml:2:\d+: features: n_fft 512 is shorter than the frame"),
    ],
)
def test_what_is_wrong_with_a_preset_is_named(tmp_path, text, message):
    check_refused(tmp_path, SMALL + f"features: {text}\n", message)


@pytest.mark.parametrize(
    ("source", "overrides", "message"),
    [
        ("none.yaml", [], r"--config none\.yaml: no such file: .*none\.yaml"),
        ("librsa", [], r"--config librsa: .*did you mean librosa\?"),
        ("f.yaml", [], r"f\.yaml:2:\d+: n_ceptra: unknown key; did you mean n_cepstra\?"),
        ("kaldi", ["n_cepstra=24"], "--set n_cepstra=24: n_cepstra 24 from n_filters 23"),
        ("kaldi", ["vad.methd=none"], r"--set vad\.methd=none: vad\.methd: unknown key; did you mean method\?"),
        (None, ["n_cepstra=40"], "--set n_cepstra=40: n_cepstra 40 from n_filters 30"),
        (None, ["window=hamning"], r"--set window=hamning: window: 'hamning'; .*did you mean hamming\?"),
        (None, ["features.n_cepstra=3"], r"--set features\.n_cepstra=3: features: unknown key"),
        (None, ["n_cepstra"], "--set n_cepstra: expected KEY=VALUE, as in --set n_cepstra=20"),
    ],
)
def test_what_is_wrong_with_a_front_end_alone_is_named(tmp_path, monkeypatch, source, overrides, message):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "n_filters: 30\nn_ceptra: 20\n", "f.yaml")
    with pytest.raises(RecipeError, match=message):
        load_features(source, overrides)


def test_the_shipped_front_end_stands_alone():
    (path,) = (path for path in SECTIONS if path.stem == "mfcc72")
    assert load_features(str(path), ["n_cepstra=20"]) == FeatureConfig(n_cepstra=20, high_frequency=7600)


def test_what_can_be_seen_to_fail_after_training_is_refused_before(tmp_path):
    linear = SMALL + "scoring: {method: linear}\n"
    check_refused(
        tmp_path, linear + "speakers: {adapt: [means, variances]}\n", r"speakers\.adapt is means, variances; ex"
    )
    assert load_recipe(write(tmp_path, linear)).scoring.method == "linear"
    for rate in (8000, 22050):
        wrong = f"features: {{sample_rate: {rate}, high_frequency: 3800}}\n"
        check_refused(tmp_path, SMALL + wrong, rf"features\.sample_rate {rate}: corpus\.sample_rate is 16000; expected")
    low = "sample_rate: 8000, high_frequency: 3800"
    for text in (
        SMALL.replace("}", ", sample_rate: 8000}") + f"features: {{{low}}}\n",
        SMALL + f"features: {{{low}, resample: true}}\n",
    ):
        assert load_recipe(write(tmp_path, text)).features.sample_rate == 8000
