"""Defects that were found in other programs, one test each, and none of them here."""

import csv
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from safetensors.numpy import save_file
from scipy.stats import norm

import naive
from helpers.models import draw, parameters, random_gmm
from speechgmm import (
    FeatureConfig,
    FeatureStream,
    SufficientStats,
    accumulate,
    extract,
    load_gmm,
    log_likelihood,
    map_adapt,
    run,
    save_gmm,
    score_matrix,
    train,
)
from speechgmm.errors import ModelError, RecipeError
from speechgmm.evaluation.metrics import PRESETS, Costs, eer, min_dcf
from speechgmm.gmm.adaptation import AdaptationConfig, RelevanceFactors, map_iterate
from speechgmm.gmm.storage import check_front_end
from speechgmm.gmm.training.config import TrainingConfig
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.reading.loader import load_recipe
from speechgmm.scoring.llr import ScoringConfig

ALL = ("weights", "means", "variances")
RECIPE = """
corpus: {kind: kaldi, root: corpus}
ubm: {n_components: 4, n_iterations: 2}
calibration: {method: none}
"""


def is_finite(gmm):
    return all(np.isfinite(array).all() for array in parameters(gmm))


def voice(seconds=1.0, seed=0):
    """Make something with loud and quiet stretches."""
    rng = np.random.default_rng(seed)
    at = np.arange(int(16000 * seconds)) / 16000
    return (0.1 * (np.sin(2 * np.pi * 3 * at) ** 2 + 0.01) * rng.standard_normal(len(at))).astype(np.float32)


@pytest.fixture
def experiment(tmp_path):
    """A corpus of noises on disk, with Kaldi lists, and a function that runs a recipe on it, but draws nothing."""
    recordings = {"background": ["b1", "b2"], "enrol": ["anna-1", "otto-1"], "test": ["anna-2", "otto-2", "otto-3"]}
    corpus = tmp_path / "corpus"
    for number, (role, names) in enumerate(recordings.items()):
        folder = corpus / "lists" / role
        folder.mkdir(parents=True)
        (folder / "wav.scp").write_text("".join(f"{name} {name}.wav\n" for name in names))
        (folder / "utt2spk").write_text("".join(f"{name} {name.split('-')[0]}\n" for name in names))
        for seed, name in enumerate(names):
            soundfile.write(corpus / f"{name}.wav", voice(seed=10 * number + seed), 16000)
    trials = [(model, test) for model in ("otto", "anna") for test in recordings["test"][::-1]]
    lines = [f"{model} {test} {'target' if test.startswith(model) else 'nontarget'}" for model, test in trials]
    (corpus / "trials.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "own.yaml").write_text(RECIPE)

    def run_it(*overrides):
        done = run(tmp_path / "own.yaml", overrides=overrides, results=tmp_path, engine=Engine("serial"))
        rows = {}
        for name in ("scores", "skipped"):
            with (done.folder / f"{name}.csv").open(newline="") as stream:
                rows[name] = list(csv.DictReader(stream))
        report = (done.folder / "report.html").read_text()
        return SimpleNamespace(**rows, reused=[stage.reused for stage in done.stages], report=report, done=done)

    return SimpleNamespace(corpus=corpus, trials=trials, run=run_it)


# Adaptation and training


def test_map_variances_square_the_mean(rng):
    ubm = random_gmm(rng)
    nothing = map_adapt(ubm, SufficientStats.zeros(5, 3), adapt=ALL)
    np.testing.assert_allclose(nothing.variances, ubm.variances, rtol=1e-12)
    stats = accumulate(ubm, draw(rng, ubm, 200) + 3.0, dtype=np.float64)
    expected = naive.map_adapt(*parameters(ubm), stats.zeroth, stats.first, stats.second, 16.0)
    for found, wanted in zip(parameters(map_adapt(ubm, stats, adapt=ALL)), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-10)


def test_map_divides_by_no_count_of_frames(rng):
    ubm = random_gmm(rng)
    stats = accumulate(ubm, draw(rng, ubm, 50))
    keep = np.array([1.0, 0.0, 1.0, 0.0, 1e-300])
    few = SufficientStats(stats.zeroth * keep, stats.first * keep[:, None], stats.second * keep[:, None], 0.0, 50)
    for some in (SufficientStats.zeros(5, 3), few):
        for weighing in ({"relevance_factor": 16.0}, {"relevance_factor": 0.0}, {"alpha": 0.5}, {"alpha": 1.0}):
            adapted = map_adapt(ubm, some, adapt=ALL, **weighing)
            assert is_finite(adapted)
            without = some.zeroth == 0
            np.testing.assert_allclose(adapted.means[without], ubm.means[without], rtol=1e-12)


@pytest.mark.parametrize(
    ("frames", "n_components"),
    [
        (np.column_stack([np.linspace(0, 1, 64), np.full(64, 7.0), np.zeros(64)]), 8),
        (np.repeat(np.hypot(*np.indices((4, 3))), 16, axis=0), 4),
        (np.repeat(np.eye(3), 8, axis=0), 8),
        (np.ones((1, 3)), 1),
    ],
    ids=["constant columns", "duplicated frames", "more components than distinct frames", "one frame"],
)
def test_a_component_without_frames_or_spread_is_finite_and_reported(frames, n_components):
    result = train([frames], TrainingConfig(n_components=n_components, n_iterations=5, tolerance=0))
    assert is_finite(result.gmm)
    assert np.isfinite(log_likelihood(result.gmm, frames)).all()
    reported = sum(each.n_floored + each.n_starving for each in result.history)
    assert (reported > 0) == (n_components > 1 or len(frames) < 10)


@pytest.mark.parametrize("n_components", [3, 5, 100])
def test_the_number_of_components_is_that_asked_for(rng, n_components):
    frames = rng.normal(size=(600, 2))
    result = train([frames], TrainingConfig(n_components=n_components, n_iterations=1, min_occupancy=0))
    assert result.gmm.n_components == n_components


def test_a_first_model_of_raw_features_is_as_good_as_of_centred_ones(rng):
    frames = draw(rng, random_gmm(rng, 6), 2000)
    config = TrainingConfig(n_components=6, n_iterations=6, tolerance=0)
    centred, raw = (train([(frames + offset).astype(np.float32)], config) for offset in (0.0, 1000.0))
    spread = frames.std(axis=0)
    np.testing.assert_allclose((raw.gmm.means - 1000.0) / spread, centred.gmm.means / spread, atol=0.01)
    np.testing.assert_allclose(raw.gmm.variances, centred.gmm.variances, rtol=0.02)
    assert raw.history[0].log_likelihood == pytest.approx(centred.history[0].log_likelihood, abs=1e-3)


def test_variances_of_single_precision_at_an_offset_of_10000_are_positive_and_right(rng):
    frames = (rng.normal(size=(5000, 3)) + 1e4).astype(np.float32)
    gmm = train([frames], TrainingConfig(n_components=1, n_iterations=2)).gmm
    np.testing.assert_allclose(gmm.variances[0], frames.astype(np.float64).var(axis=0), rtol=0.01)
    clusters = train([frames], TrainingConfig(n_components=8, n_iterations=5)).gmm
    assert (clusters.variances > 0).all()


# What else has to be so for a parameter to matter, and a value of it that matters then.
OF_TRAINING = {
    "n_components": ({}, 7),
    "candidates": ({"n_components": "auto", "candidates": (2, 4)}, (3,)),
    "initial": ({}, "k-means"),
    "initial_iterations": ({}, 0),
    "initial_frames": ({}, 100),
    "early_iterations": ({}, 2),
    "n_iterations": ({}, 4),
    "tolerance": ({"n_iterations": 30}, 1e-2),
    "held_out": ({}, 0.2),
    "variance_floor": ({}, 0.9),
    "variance_ceiling": ({}, 0.5),
    "weight_floor": ({}, 0.15),
    "min_occupancy": ({}, 300.0),
    "starving": ({"min_occupancy": 200.0}, "remove"),
    "skip_below": ({}, 0.1),
    "kernel": ({}, "numba"),
}
OF_ADAPTATION = {
    "relevance_factor": ({}, 3.0),
    "relevance_factors": ({}, RelevanceFactors(means=3.0)),
    "alpha": ({}, 0.3),
    "adapt": ({}, ("means", "variances")),
    "n_iterations": ({}, 2),
}


def test_every_documented_parameter_does_something(rng, tmp_path):
    frames = draw(rng, random_gmm(rng, 6), 1200).astype(np.float32)
    start = random_gmm(rng, 5)
    save_gmm(tmp_path / "start", start)
    of_training = {**OF_TRAINING, "initial_model": ({}, str(tmp_path / "start"))}
    assert of_training.keys() == TrainingConfig.model_fields.keys()
    for key, (others, value) in of_training.items():
        others = {"n_components": 5, "n_iterations": 3, "tolerance": 0, **others}
        plain, changed = (train([frames], TrainingConfig(**keys)).gmm for keys in (others, {**others, key: value}))
        closely = {"rtol": 0, "atol": 0} if key == "kernel" else {}  # which changes roundings alone
        same = plain.means.shape == changed.means.shape and np.allclose(plain.means, changed.means, **closely)
        assert not same, key
    assert {"method", *OF_ADAPTATION} == AdaptationConfig.model_fields.keys()  # there is one method
    for key, (others, value) in OF_ADAPTATION.items():
        configs = AdaptationConfig(**others), AdaptationConfig(**{**others, key: value})
        plain, changed = (map_iterate(start, lambda gmm: accumulate(gmm, frames[:50]), each) for each in configs)
        same = np.allclose(plain.means, changed.means) and np.allclose(plain.variances, changed.variances)
        assert not same, key
    assert {"method", "top_components", "kernel"} == ScoringConfig.model_fields.keys()
    models = [map_adapt(start, accumulate(start, frames[:50]))]
    scores = [score_matrix(models, start, [frames], ScoringConfig(top_components=number)) for number in (1, 2, None)]
    assert len({float(score[0, 0]) for score in scores}) == 3


# Features


@pytest.mark.parametrize("vad", [{}, {"method": "gaussians"}, {"method": "energy"}], ids=str)
def test_dither_and_speech_detection_give_the_same_bits_twice(vad):
    config = FeatureConfig(dither=1e-4, vad=vad)
    assert np.array_equal(extract(voice(), config), extract(voice(), config))
    assert len(extract(voice(), config))


def test_features_in_pieces_are_those_of_the_whole_bit_for_bit():
    config = FeatureConfig(vad={"method": "none"}, normalisation={"mean": 0.0})
    samples = voice(2.0)
    samples[20_000:] *= 50.0  # the loudest frame comes last
    stream = FeatureStream(config)
    parts = [stream.push(part) for part in np.array_split(samples, 13)]
    assert np.array_equal(np.concatenate([*parts, stream.finish()]), extract(samples, config))


def test_a_frame_longer_than_the_transform_is_refused_with_both_lengths():
    with pytest.raises(ValueError, match="n_fft 256 is shorter than the frame of 400 samples"):
        FeatureConfig(n_fft=256)


# Experiments


def test_a_recording_without_speech_is_skipped_with_its_reason_and_not_scored(experiment):
    soundfile.write(experiment.corpus / "otto-3.wav", np.zeros(16000), 16000)
    result = experiment.run()
    (skipped,) = result.skipped
    assert (skipped["id"], skipped["role"]) == ("otto-3", "test")
    assert "nothing but silence" in skipped["reason"]
    assert [(row["model"], row["test"]) for row in result.scores] == experiment.trials
    assert {row["test"] for row in result.scores if row["llr"] == ""} == {"otto-3"}


def test_every_trial_is_in_the_output_in_its_order_scored_or_with_a_reason(experiment):
    before = {(row["model"], row["test"]): row["llr"] for row in experiment.run().scores}
    assert len(set(before.values())) == len(experiment.trials)
    (experiment.corpus / "anna-1.wav").unlink()
    (experiment.corpus / "otto-2.wav").write_text("not audio")
    result = experiment.run()
    assert [(row["model"], row["test"]) for row in result.scores] == experiment.trials
    reasons = {row["id"]: row["reason"] for row in result.skipped}
    assert reasons.keys() == {"anna-1", "anna", "otto-2"}
    for row in result.scores:
        unusable = row["model"] in reasons or row["test"] in reasons
        assert (row["llr"] == "") == unusable
        if not unusable:  # a score depends on the other models by rounding only
            assert float(row["llr"]) == pytest.approx(float(before[row["model"], row["test"]]), abs=1e-5)


def test_features_of_another_front_end_than_the_models_are_one_readable_error(rng, tmp_path):
    here, there = FeatureConfig(n_cepstra=20), FeatureConfig(n_cepstra=24)
    path = tmp_path / "ubm.safetensors"
    save_gmm(path, random_gmm(rng, n_features=there.n_features), front_end=there.model_dump(mode="json"))
    with pytest.raises(
        ModelError, match=r"ubm\.safetensors: trained on .* another front end: n_cepstra 24 there, 20 here"
    ):
        check_front_end(path, here.model_dump(mode="json"))
    with pytest.raises(ModelError, match=rf"\(5, {here.n_features}\); the model expects \(T, {there.n_features}\)"):
        log_likelihood(load_gmm(path), np.zeros((5, here.n_features)))


def test_features_are_computed_again_when_anything_before_them_changed_and_only_then(experiment):
    assert experiment.run().reused == [False] * 7  # features of three roles, ubm, speakers, scores, evaluation
    assert experiment.run().reused == [True] * 7
    for upstream in ("features.lifter=10", "features.deltas.order=1", "features.vad.margin_db=20"):
        assert experiment.run(upstream).reused == [False] * 7
    assert experiment.run("scoring.top_components=2").reused == [True] * 5 + [False] * 2
    assert experiment.run().reused == [True] * 7
    soundfile.write(experiment.corpus / "otto-2.wav", voice(seed=99), 16000)
    assert experiment.run().reused == [True, True, False, True, True, False, False]


# Numbers


def test_min_dcf_needs_no_more_memory_than_the_trials(rng):
    n_trials, d_prime = 1_000_000, 2.0
    target, nontarget = rng.normal(d_prime, size=n_trials), rng.normal(size=n_trials)
    tracemalloc.start()
    found = min_dcf(target, nontarget, "voxceleb")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200 * 2 * n_trials  # a table of thresholds and scores would have 32 TB
    thresholds = np.linspace(-2, 8, 2001)
    theory = np.min(norm.cdf(thresholds - d_prime) + 99 * norm.sf(thresholds))
    assert found == pytest.approx(theory, abs=0.01)


def test_costs_are_those_of_the_named_evaluation_normalised_and_printed_beside_the_number(experiment):
    assert PRESETS["sre08"] == (Costs(c_miss=10, c_fa=1, p_target=0.01),)
    assert PRESETS["sre10"] == (Costs(c_miss=1, c_fa=1, p_target=0.001),)
    assert PRESETS["sre16"] == (Costs(1, 1, 0.01), Costs(1, 1, 0.005))
    assert PRESETS["voxceleb"] == (Costs(1, 1, 0.01),)
    for preset in PRESETS:  # scores that say nothing cost what the better blind decision costs
        assert min_dcf(np.zeros(3), np.zeros(7), preset) == 1
    report = experiment.run("evaluation.dcf=[sre08, voxceleb]").report
    for costs in (
        "c_miss = 10, c_fa = 1, p_target = 0.01; divided by",
        "c_miss = 1, c_fa = 1, p_target = 0.01; divided by",
    ):
        assert costs in report
    assert "min(c_miss\u00a0p_target" in report


def test_scores_and_error_rates_do_not_depend_on_how_utterances_are_grouped(rng):
    ubm = random_gmm(rng, 8, 4)
    models = [map_adapt(ubm, accumulate(ubm, draw(rng, ubm, 60) + shift)) for shift in (0.3, -0.3)]
    utterances = [draw(rng, ubm, n).astype(np.float32) + np.float32(0.3 * (-1) ** n) for n in (1, 30, 31, 700, 1501)]
    config = ScoringConfig(top_components=3)
    together = score_matrix(models, ubm, utterances, config)
    for size in (1, 2, 3):
        parts = [utterances[start : start + size] for start in range(0, 5, size)]
        grouped = np.concatenate([score_matrix(models, ubm, part, config) for part in parts], axis=1)
        assert np.array_equal(grouped, together)
        assert eer(grouped[0], grouped[1]) == eer(together[0], together[1])


def test_numbers_and_keys_of_recipes_are_what_yaml_1_2_says_or_an_error_with_its_place(tmp_path):
    path = tmp_path / "r.yaml"
    corpus = "corpus: {kind: synthetic}\n"
    path.write_text(corpus + "ubm: {tolerance: 1e-4}\n")
    assert load_recipe(path).ubm.tolerance == 0.0001
    path.write_text(corpus + "ubm:\n  n_components: 64\n  n_components: 32\n")
    with pytest.raises(RecipeError, match=r"r\.yaml:4:3: ubm\.n_components: the key stands here twice"):
        load_recipe(path)
    path.write_text(corpus + "ubm:\n  n_componets: 64\n")
    with pytest.raises(RecipeError, match=r"r\.yaml:3:3: ubm\.n_componets: unknown key; did you mean n_components"):
        load_recipe(path)


def test_model_files_run_no_code_and_say_their_version(rng, tmp_path):
    path = tmp_path / "model.safetensors"
    # What unpickling would end the process by.
    path.write_bytes(b"cbuiltins\nexit\n(tR.")
    with pytest.raises(ModelError, match="not readable as a model file"):
        load_gmm(path)
    save_file({"x": np.zeros(1)}, path, {"speechgmm": '{"format_version": 2, "package_version": "9.0"}'})
    with pytest.raises(
        ModelError, match=r"format version 2, written by speechgmm 9\.0; this speechgmm reads version 1"
    ):
        load_gmm(path)
