"""What a gallery takes from the results of a run, and how it decides by it."""

import json

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from helpers.recipes import synthetic_corpus
from helpers.tables import read_rows
from helpers.voices import enrolment, spoken
from speechgmm import FeatureConfig, extract, run
from speechgmm.audio.condition import measure_condition
from speechgmm.audio.reading import load_audio
from speechgmm.cli import app
from speechgmm.corpus.formats.kaldi import KaldiConfig, read_kaldi
from speechgmm.errors import AudioError, GalleryError
from speechgmm.gallery.cohort import Cohort, save_cohort
from speechgmm.gallery.enrolment import enrol
from speechgmm.gallery.gallery import Gallery
from speechgmm.gallery.recognition import identify_speaker, score_tests, verification_threshold, verify_speaker
from speechgmm.gallery.timeline import make_timeline
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.reading.loader import dump_recipe, load_recipe
from speechgmm.recipe.results.gallery import check_results, gallery_of_results
from speechgmm.scoring.calibration import LinearCalibration, PavCalibration
from speechgmm.scoring.identification import IdentificationConfig

SPEAKERS = {"Ann": "f003", "Bo": "m002", "Cat": "f001"}
CLOSED = IdentificationConfig(p_unknown=0.0)
FACTS = {"trained_on": "others", "n_target": 20, "n_nontarget": 380}


def calibrate(results, calibration, **facts):
    data = {"calibration": calibration.model_dump(mode="json")} | FACTS | facts
    (results / "calibration.json").write_text(json.dumps(data))


def change(results, *overrides):
    (results / "recipe.yaml").write_text(dump_recipe(load_recipe(results / "recipe.yaml", overrides)))


def filled(voices, results, folder):
    """A gallery of three speakers."""
    gallery = gallery_of_results(results, folder)
    for name, speaker in SPEAKERS.items():
        enrol(gallery, name, [gallery.record(path) for path in enrolment(voices, speaker)])
    return gallery


def test_durations_count_wherever_a_gallery_scores(voices, results, tmp_path):
    calibrate(results, LinearCalibration(weights=(5.0,), side_weights=(-0.75,), offset=1.0), duration=True)
    gallery = filled(voices, results, tmp_path / "g")
    (results / "calibration.json").unlink()
    plain = filled(voices, results, tmp_path / "plain")
    tests = [extract(spoken(voices, speaker)[0]) for speaker in SPEAKERS.values()]
    tests[1] = tests[1][:70]
    expected = 5 * score_tests(plain, tests).matrix - 0.75 * np.log([len(test) for test in tests]) + 1
    found = score_tests(gallery, tests)
    np.testing.assert_allclose(found.matrix, expected, rtol=1e-12)
    np.testing.assert_array_equal(found.raw, score_tests(plain, tests).matrix)
    for column, test in enumerate(tests):
        candidates = {one.name: one.llr for one in identify_speaker(gallery, test).candidates}
        assert [candidates[name] for name in SPEAKERS] == pytest.approx(expected[:, column])
        assert verify_speaker(gallery, "Cat", test).score == pytest.approx(expected[2, column])
    read = gallery.read(spoken(voices, "f001")[0])
    scores = make_timeline(gallery, read, 1.0).scores
    assert not np.allclose(scores[0], 5 * make_timeline(plain, read, 1.0, CLOSED).scores[0] + 1)


def test_conditions_count_wherever_a_gallery_scores(voices, results, tmp_path):
    sides = (-0.75, -0.125, 0.5, 8.0)  # of the log duration, the ratio to noise, the band, and the holes
    own = LinearCalibration(weights=(5.0,), side_weights=sides, offset=1.0)
    calibrate(results, own, duration=True, condition=True)
    gallery = filled(voices, results, tmp_path / "g")
    (results / "calibration.json").unlink()
    plain = filled(voices, results, tmp_path / "plain")
    path = spoken(voices, "f001")[0]
    read = gallery.read(path)
    found = measure_condition(load_audio(path, sample_rate=16000)[0], 16000)
    frames = len(read.frames)
    expected = 5 * score_tests(plain, [read]).matrix[:, 0] + 1
    measured = np.dot(sides, [np.log(frames), min(found.snr, 40), found.high / 1000, found.holes])
    np.testing.assert_allclose(score_tests(gallery, [read]).matrix[:, 0], expected + measured, rtol=1e-9)
    clean = np.dot(sides, [np.log(frames), 40, 8, 0])  # frames alone do not tell how they were recorded
    np.testing.assert_allclose(score_tests(gallery, [read.frames]).matrix[:, 0], expected + clean, rtol=1e-9)
    whole = make_timeline(gallery, read, window=60.0, hop=60.0).scores[0]
    np.testing.assert_allclose(whole, expected + measured, rtol=1e-9)


def test_speakers_whom_pav_makes_equal_are_ranked_by_their_scores(voices, results, tmp_path):
    calibrate(results, PavCalibration(scores=(-100.0, 100.0), llrs=(1.0, 1.0)))
    gallery = filled(voices, results, tmp_path / "g")
    read = gallery.read(spoken(voices, "f001")[0])
    raw = score_tests(gallery, [read.frames]).raw[:, 0]
    order = [name for _, name in sorted(zip(-raw, SPEAKERS, strict=True))]
    assert order[0] == "Cat"  # of names alone it would be Ann
    assert [one.name for one in identify_speaker(gallery, read.frames, CLOSED).candidates] == order
    assert identify_speaker(gallery, read.frames, CLOSED).answer == "Cat"
    assert make_timeline(gallery, read, 60.0, CLOSED).answers == ("Cat",)
    words = ["gallery", "identify", str(tmp_path / "g"), str(spoken(voices, "f001")[0]), "--closed-set", "--json"]
    (recording,) = json.loads(CliRunner().invoke(app, words).stdout)["recordings"]
    assert [one["name"] for one in recording["candidates"]] == order


def test_a_threshold_that_a_run_has_learnt_is_the_gallerys(voices, results, tmp_path):
    change(results, "decision.method=eer")
    calibrate(results, LinearCalibration(weights=(5.0,)), threshold=1.25)
    gallery = filled(voices, results, tmp_path / "g")
    decisions = json.loads((tmp_path / "g" / "gallery.json").read_text())["decisions"]
    assert (decisions["threshold"], decisions["identification"]["threshold"]) == (1.25, 1.25)
    frames = extract(spoken(voices, "f001")[0])
    assert verify_speaker(gallery, "Cat", frames).threshold == 1.25
    assert verify_speaker(gallery, "Cat", frames, 3.0).threshold == 3.0
    best = identify_speaker(gallery, frames)
    assert (best.answer is None) == (best.candidates[0].llr < 1.25)
    calibrate(results, LinearCalibration(weights=(5.0,)))
    with pytest.raises(GalleryError, match=r"calibration\.json: no threshold in it, and this run has learnt one"):
        gallery_of_results(results, tmp_path / "other")


def test_the_costs_of_a_run_are_the_gallerys(results, tmp_path):
    change(results, "decision.costs.p_target=0.25")
    calibrate(results, LinearCalibration(weights=(5.0,)), threshold=0.0)
    decisions = gallery_of_results(results, tmp_path / "g", min_speech=7).config.decisions
    assert (decisions.costs.p_target, decisions.threshold, decisions.min_speech) == (0.25, None, 7)


def test_a_gallery_of_a_run_without_costs_of_its_own_counts_errors_equally(results, tmp_path):
    calibrate(results, LinearCalibration(weights=(5.0,)), threshold=2.3)
    config = gallery_of_results(results, tmp_path / "g").config
    assert config.decisions.costs.model_dump() == {"c_miss": 1.0, "c_fa": 1.0, "p_target": 0.5}
    assert verification_threshold(config) == 0
    change(results, "decision.costs.p_target=0.01")  # as resolved recipes of earlier versions have it
    older = gallery_of_results(results, tmp_path / "older").config
    assert verification_threshold(older) == pytest.approx(np.log(99))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["speakers={method: independent}"], "expected one background model"),
        (["ubm.per_sex=true"], "expected one background model"),
        (["normalisation.method=z"], r"cohort\.safetensors: no such file"),
    ],
)
def test_results_without_what_a_gallery_needs_are_refused(results, overrides, message):
    recipe = load_recipe(results / "recipe.yaml")
    own = results / "recipe.yaml"
    if "independent" in overrides[0]:
        own = results / "alone.yaml"
        own.write_text(f"name: alone\ncorpus: {recipe.corpus.model_dump_json()}\n")
    with pytest.raises(GalleryError, match=message):
        check_results(results, load_recipe(own, overrides))


def test_a_fusion_without_a_calibration_makes_no_gallery(results, tmp_path):
    corpus = load_recipe(results / "recipe.yaml").corpus.model_dump_json()
    for name in ("one", "other"):
        (tmp_path / f"{name}.yaml").write_text(f"corpus: {corpus}\n")
    (results / "recipe.yaml").write_text(f"name: both\ncorpus: {corpus}\nsystems: [../one.yaml, ../other.yaml]\n")
    (results / "calibration.json").unlink(missing_ok=True)
    done = CliRunner().invoke(app, ["gallery", "create", "--from", str(results), "--out", str(tmp_path / "g")])
    assert done.exit_code == 2
    said = " ".join(done.stderr.split())
    assert "a fusion without a calibration; expected a run with one, which fuses the scores" in said
    assert not (tmp_path / "g").exists()


def test_what_is_no_ratio_is_called_a_score(voices, results, tmp_path):
    change(results, "normalisation.method=s")
    paths = sorted(voices.glob("bg-*/*.flac"))
    cohort = Cohort(tuple(path.parent.name for path in paths), tuple(extract(path) for path in paths))
    save_cohort(
        results / "cohort.safetensors", cohort, load_recipe(results / "recipe.yaml").features.model_dump(mode="json")
    )
    filled(voices, results, tmp_path / "g")
    test = str(spoken(voices, "f001")[0])

    def said(*words):
        return CliRunner().invoke(app, ["gallery", *words], env={"COLUMNS": "200"}).stdout

    folder = str(tmp_path / "g")
    assert "\nscore: deviations of the cohort's scores, not calibrated\n" in said("identify", folder, test)
    assert ": no decision on Cat: score +" in said("verify", folder, "Cat", test)
    assert Gallery(folder).config.score_quantity == "score"
    calibrate(results, LinearCalibration(weights=(2.0,)))
    assert gallery_of_results(results, tmp_path / "calibrated").config.score_quantity == "log-likelihood ratio"
    said("timeline", folder, test, "--html", str(tmp_path / "t.html"))
    page = (tmp_path / "t.html").read_text()
    assert "Score: mean score of the speaker (deviations of the cohort&#39;s scores, not calibrated)." in page
    assert "log-likelihood ratio" not in page


def stereo(voices, path):
    """Write a recording with a voice in each channel, and give what their mean is."""
    left, right = (soundfile.read(spoken(voices, name)[0], dtype="float32")[0][:48000] for name in ("f001", "m002"))
    soundfile.write(path, np.stack([left, right], axis=1), 16000, subtype="FLOAT")
    return ((left.astype(np.float64) + right) / 2).astype(np.float32)


def folders(voices, results, **corpus):
    """Let results be of a corpus of folders."""
    own = {"kind": "folder", "root": str(voices), "protocol": {}} | corpus
    (results / "recipe.yaml").write_text(f"name: tiny\ncorpus: {json.dumps(own)}\n")


def test_a_gallery_takes_the_mean_of_channels_where_its_run_did(voices, results, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mean = stereo(voices, tmp_path / "two.wav")
    folders(voices, results, channel="mean")
    gallery = gallery_of_results(results, tmp_path / "g")
    assert gallery.config.channel == "mean"
    config = FeatureConfig()
    np.testing.assert_array_equal(gallery.read(tmp_path / "two.wav").frames, extract(mean, config, sample_rate=16000))
    mono = spoken(voices, "f001")[0]
    np.testing.assert_array_equal(gallery.read(mono).frames, extract(mono))
    enrolled = ["enrol", "g", "Ann", "two.wav", str(mono)]
    for words in (enrolled, ["identify", "g", "two.wav"], ["timeline", "g", "two.wav"]):
        done = CliRunner().invoke(app, ["gallery", *words])
        assert (done.exit_code, done.stderr.splitlines()[0]) == (0, "1 recording of several channels: their mean"), (
            words
        )
    assert len(Gallery("g").speaker("Ann").recordings) == 2


def test_a_gallery_takes_the_channel_that_its_file_says(voices, results, tmp_path):
    mean = stereo(voices, tmp_path / "two.wav")
    gallery = gallery_of_results(results, tmp_path / "g")
    own = tmp_path / "g" / "gallery.json"
    data = json.loads(own.read_text())
    assert not {"channel", "resample"} & set(data)  # what an earlier speechgmm reads
    frames = gallery.read(tmp_path / "two.wav").frames
    np.testing.assert_array_equal(frames, extract(mean, FeatureConfig(), sample_rate=16000))
    enrol(gallery, "Ann", [gallery.record(spoken(voices, "f001")[0])])
    own.write_text(json.dumps(data | {"channel": None}))
    with pytest.raises(
        AudioError, match=r'two.wav: several channels; this gallery takes one, as its .* "channel": null'
    ):
        Gallery(tmp_path / "g").read(tmp_path / "two.wav")
    own.write_text(json.dumps(data | {"channel": "loudest"}))
    loudest = Gallery(tmp_path / "g")
    for louder, channel in ((0.2, 1), (5.0, 0)):
        samples, _ = soundfile.read(tmp_path / "two.wav", dtype="float32")
        soundfile.write(tmp_path / "louder.wav", samples * [louder, 1] / 5, 16000, subtype="FLOAT")
        read = loudest.read(tmp_path / "louder.wav")
        assert read.audio.channel == channel
        np.testing.assert_array_equal(read.frames, extract(tmp_path / "louder.wav", channel=channel))
    assert not loudest.roster().damaged
    own.write_text(json.dumps(data | {"channel": "left"}))
    with pytest.raises(GalleryError, match=r"gallery\.json: channel: Input should be 'mean' or 'loudest'"):
        Gallery(tmp_path / "g")


def test_channels_that_cancel_are_refused_with_the_reason(voices, results, tmp_path):
    samples, rate = soundfile.read(spoken(voices, "f001")[0], dtype="float32")
    soundfile.write(tmp_path / "out-of-phase.wav", np.stack([samples, -samples], axis=1), rate, subtype="FLOAT")
    gallery = gallery_of_results(results, tmp_path / "g")
    with pytest.raises(AudioError, match=r"nothing but silence: all \d+ samples are 0, in the mean of its channels"):
        gallery.read(tmp_path / "out-of-phase.wav")


def test_a_folder_corpus_of_mono_files_leaves_no_choice(voices, results, tmp_path):
    folders(voices, results)
    gallery_of_results(results, tmp_path / "g")
    assert "channel" not in json.loads((tmp_path / "g" / "gallery.json").read_text())


S_NORMED = f"""{synthetic_corpus(n_background=6, n_test=2)}
ubm: {{n_components: 4, n_iterations: 2}}
normalisation: {{method: s}}
"""


def test_a_gallery_with_shrunk_s_norm_scores_as_the_run_that_it_was_made_of(tmp_path):
    (tmp_path / "first.yaml").write_text(S_NORMED)
    run(tmp_path / "first.yaml", results=tmp_path, engine=Engine("serial"), until_stage="corpus")
    (root,) = (tmp_path / ".cache" / "corpus").iterdir()
    silent, *_ = read_kaldi(KaldiConfig(root=str(root))).background  # the first utterance of a speaker, without speech
    soundfile.write(silent.path, np.zeros(32000), 16000)
    corpus = f"corpus: {{kind: kaldi, root: {root}}}"
    (tmp_path / "own.yaml").write_text(S_NORMED.replace(S_NORMED.splitlines()[0], corpus))
    done = run(tmp_path / "own.yaml", results=tmp_path, engine=Engine("serial"), until_stage="evaluation")
    assert silent.id in {each.id for each in done.skipped}
    gallery = gallery_of_results(done.folder, tmp_path / "gallery")
    made = read_kaldi(KaldiConfig(root=str(root)))
    for model in made.models:
        enrol(gallery, model, [gallery.record(each.path) for each in made.enrol if each.enrols == model])
    found = score_tests(gallery, [gallery.read(each.path).frames for each in made.test])
    place = {(model, each.id): (row, n) for row, model in enumerate(found.names) for n, each in enumerate(made.test)}
    for row in read_rows(done.folder / "scores.csv"):
        at = place[row["model"], row["test"]]
        assert found.raw[at] == pytest.approx(float(row["score"]), abs=1e-4)
        assert found.matrix[at] == pytest.approx(float(row["llr"]), abs=1e-3)
    assert gallery.config.calibrated


def test_a_calibration_without_trials_is_of_use_if_it_came_with_the_package(results, tmp_path):
    calibrate(results, LinearCalibration(weights=(2.0,)), n_target=0, n_nontarget=0)
    with pytest.raises(GalleryError, match="trained on no target trials"):
        gallery_of_results(results, tmp_path / "refused")
    calibrate(results, LinearCalibration(weights=(2.0,)), n_target=0, n_nontarget=0, prior="shipped")
    assert gallery_of_results(results, tmp_path / "g").config.calibrated
