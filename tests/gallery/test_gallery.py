"""A gallery, as a program uses it. Expected models and scores are those of the functions that it uses."""

import json
import shutil
import threading
import time
import unicodedata

import numpy as np
import pytest
import soundfile
from safetensors.numpy import save_file

from helpers.voices import enrolment, spoken
from speechgmm import FeatureConfig, accumulate, extract, llr, load_gmm, map_adapt, save_gmm, score_matrix
from speechgmm.configuration import Configuration
from speechgmm.errors import AudioError, GalleryError, ModelError
from speechgmm.gallery.cohort import Cohort, load_cohort, save_cohort
from speechgmm.gallery.config import DecisionConfig
from speechgmm.gallery.enrolment import create_gallery, enrol, extend, forget, forget_recording, record_each
from speechgmm.gallery.gallery import Gallery
from speechgmm.gallery.layout import speaker_file
from speechgmm.gallery.recognition import identify_recordings, identify_speaker, score_tests, verify_speaker
from speechgmm.gallery.speakers import EnrolledSpeaker, load_speaker, safe_name
from speechgmm.gallery.timeline import make_timeline, write_table
from speechgmm.gmm.adaptation import AdaptationConfig
from speechgmm.gmm.storage import read_header
from speechgmm.scoring.calibration import LinearCalibration, PavCalibration
from speechgmm.scoring.cohort_speakers import Speakers
from speechgmm.scoring.identification import IdentificationConfig
from speechgmm.scoring.llr import ScoringConfig
from speechgmm.scoring.normalisation import ScoreNormalisationConfig, normalise_scores

OPEN = IdentificationConfig(threshold=0.5)  # nats per frame; chosen for these voices
CLOSED = IdentificationConfig(p_unknown=0.0)
SPEAKERS = ("f001", "m002", "f003")


@pytest.fixture(scope="module")
def ubm_file(voices):
    return voices / "results" / "ubm.safetensors"


@pytest.fixture
def empty(ubm_file, tmp_path):
    return create_gallery(tmp_path / "gallery", ubm_file, scoring=ScoringConfig(top_components=None))


@pytest.fixture(scope="module")
def filled(voices, ubm_file, tmp_path_factory):
    gallery = create_gallery(tmp_path_factory.mktemp("filled") / "gallery", ubm_file)
    for speaker in SPEAKERS:
        enrol(gallery, speaker, [gallery.record(path) for path in enrolment(voices, speaker)])
    return gallery


@pytest.fixture
def gallery(filled, tmp_path):
    """A copy to change."""
    return Gallery(shutil.copytree(filled.folder, tmp_path / "copy"))


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*s*") if path.is_file()}


def calibrated(folder, voices, calibration, tmp_path, **facts):
    path = tmp_path / "calibration.json"
    data = calibration.model_dump(mode="json") if isinstance(calibration, Configuration) else calibration
    path.write_text(json.dumps({"calibration": data} | facts))
    return create_gallery(folder, voices / "results" / "ubm.safetensors", calibration=path)


def test_a_speaker_is_the_model_of_all_frames(voices, empty, ubm_file):
    paths = enrolment(voices, "f001")
    enrol(empty, "Ann", [empty.record(path) for path in paths])
    ubm = load_gmm(ubm_file)
    frames = [extract(path) for path in paths]
    whole = map_adapt(ubm, accumulate(ubm, np.concatenate(frames)), relevance_factor=10)
    np.testing.assert_allclose(empty.model("Ann").means, whole.means, rtol=1e-5, atol=1e-5)
    parts = accumulate(ubm, frames[0]) + accumulate(ubm, frames[1]) + accumulate(ubm, frames[2])
    model = map_adapt(ubm, parts, relevance_factor=10)
    assert np.array_equal(empty.model("Ann").means, model.means)
    test = extract(spoken(voices, "f001")[0])
    found = verify_speaker(empty, "Ann", test)
    assert found.score == llr(model, ubm, test)
    assert (empty.config.score_unit, found.threshold, found.accepted) == ("nats per frame, not calibrated", None, None)


def test_scores_are_those_of_the_score_matrix(voices, filled):
    tests = [extract(spoken(voices, speaker)[0]) for speaker in ("m002", "m004")]
    found = score_tests(filled, tests)
    assert found.names == ("f001", "f003", "m002")
    models = [filled.model(name) for name in found.names]
    np.testing.assert_array_equal(found.matrix, score_matrix(models, filled.ubm, tests, ScoringConfig()))
    assert not found.damaged


def test_whoever_is_enrolled_is_identified_and_the_fourth_is_unknown(voices, filled):
    config = OPEN
    for speaker in (*SPEAKERS, "m004"):
        for path in spoken(voices, speaker):
            found = identify_speaker(filled, filled.read(path).frames, config)
            assert found.answer == (speaker if speaker in SPEAKERS else None)
    closed = identify_speaker(filled, filled.read(spoken(voices, "m004")[0]).frames, CLOSED)
    assert closed.answer == closed.candidates[0].name
    assert sum(one.posterior for one in closed.candidates) == pytest.approx(1)


def test_recordings_are_identified_and_what_cannot_be_used_is_listed(voices, filled, tmp_path):
    files = [spoken(voices, speaker)[0] for speaker in ("f001", "m004")]
    identified = identify_recordings(filled, [files[0], tmp_path / "none.wav", files[1]], OPEN)
    assert [answer.file for answer in identified.answers] == [str(path) for path in files]
    assert identified.unusable == {str(tmp_path / "none.wav"): "no such audio file"}
    assert not identified.damaged
    for path, answer in zip(files, identified.answers, strict=True):
        extraction = filled.read(path)
        expected = identify_speaker(filled, extraction.frames, OPEN)
        assert (answer.name, answer.candidates, answer.p_unknown) == (expected.answer, expected.candidates, None)
        assert (answer.seconds, answer.speech_seconds) == (extraction.seconds, extraction.speech_seconds)
        assert (answer.decided, answer.short) == (True, extraction.speech_seconds < 2)
    assert [answer.name for answer in identified.answers] == ["f001", None]


def test_recordings_that_cannot_be_decided_are_ranked_without_an_answer(voices, filled, tmp_path):
    (answer,) = identify_recordings(filled, [spoken(voices, "f001")[0]]).answers
    assert (answer.decided, answer.name, answer.candidates[0].name) == (False, None, "f001")
    none = identify_recordings(filled, [tmp_path / "none.wav"])
    assert (none.answers, none.unusable) == ((), {str(tmp_path / "none.wav"): "no such audio file"})


def test_a_recording_is_recorded_once(voices, filled, tmp_path):
    first, second, third = enrolment(voices, "f001")
    enrolled = filled.speaker("f001").recordings[:1]
    recordings, unusable = record_each(filled, [first, second, tmp_path / "none.wav", third, second], enrolled)
    assert [recording.file for recording in recordings] == [second.name, third.name]
    assert unusable == {
        str(first): f"the same recording as {first.name}, which is there already",
        str(second): f"the same recording as {second.name}, which is there already",
        str(tmp_path / "none.wav"): "no such audio file",
    }


def test_without_a_calibration_unknown_needs_a_threshold(voices, filled):
    frames = filled.read(spoken(voices, "f001")[0]).frames
    with pytest.raises(GalleryError, match=r"not calibrated; expected a threshold, or a closed set"):
        identify_speaker(filled, frames)


def test_calibrated_scores_have_posteriors_and_a_threshold_that_follows_from_costs(voices, tmp_path):
    made = calibrated(tmp_path / "g", voices, LinearCalibration(weights=(3.0,), offset=-1.0), tmp_path)
    for speaker in SPEAKERS:
        enrol(made, speaker, [made.record(path) for path in enrolment(voices, speaker)])
    raw = create_gallery(tmp_path / "raw", voices / "results" / "ubm.safetensors")
    enrol(raw, "f001", [raw.record(path) for path in enrolment(voices, "f001")])
    test = made.read(spoken(voices, "f001")[0]).frames
    found = verify_speaker(made, "f001", test)
    assert found.score == pytest.approx(3 * verify_speaker(raw, "f001", test).score - 1)
    assert found.threshold == 0  # a miss and a false alarm count the same
    assert found.accepted is bool(found.score >= 0)
    answer = identify_speaker(made, test)
    ratios = np.exp([one.llr for one in answer.candidates])
    assert answer.p_unknown == pytest.approx(0.5 / (0.5 + 0.5 / 3 * ratios.sum()))
    assert answer.answer == "f001"


def test_extending_and_forgetting_need_no_training_and_leave_the_same_bytes(voices, gallery, filled):
    before = content(gallery.folder)
    new = gallery.record(spoken(voices, "f001")[0])
    old_model = gallery.model("f001")
    extended = extend(gallery, "f001", [new])
    assert [each.file for each in extended.recordings] == [
        *(path.name for path in enrolment(voices, "f001")),
        spoken(voices, "f001")[0].name,
    ]
    assert not np.array_equal(gallery.model("f001").means, old_model.means)
    assert forget_recording(gallery, "f001", new.digest[:8]).speech_seconds == gallery.speaker("f001").speech_seconds
    assert content(gallery.folder) == before
    extend(gallery, "f001", [new])
    assert len(forget_recording(gallery, "f001", new.file).recordings) == 3
    assert content(gallery.folder) == before
    forget(gallery, "f001")
    assert gallery.names == ("f003", "m002")
    enrol(gallery, "f001", filled.speaker("f001").recordings)
    assert content(gallery.folder) == before


def test_what_a_writer_does_is_seen_by_a_reader_that_is_open(voices, gallery):
    reader = Gallery(gallery.folder)
    test = reader.read(spoken(voices, "f001")[0]).frames
    before = score_tests(reader, [test])
    extend(gallery, "f001", [gallery.record(spoken(voices, "f001")[1])])
    forget(gallery, "m002")
    after = score_tests(reader, [test])
    assert after.names == ("f001", "f003")
    assert after.matrix[0] != before.matrix[0]
    assert after.matrix[1] == before.matrix[1]


def test_the_same_recording_twice_is_noticed(voices, gallery, tmp_path):
    first = enrolment(voices, "f001")[0]
    renamed = shutil.copy(first, tmp_path / "other.flac")
    with pytest.raises(GalleryError, match=f"f001: other.flac is the same recording as {first.name}"):
        extend(gallery, "f001", [gallery.record(renamed)])
    with pytest.raises(GalleryError, match="is the same recording as"):
        enrol(gallery, "twice", [gallery.record(first), gallery.record(renamed)])
    assert gallery.names == ("f001", "f003", "m002")


def test_what_is_not_there_cannot_be_forgotten_or_extended(voices, gallery):
    for name in ("f002", "../ubm", "x\0", "F001"):
        for change in (forget, lambda *_: extend(gallery, name, gallery.speaker("f001").recordings)):  # noqa: B023
            with pytest.raises(GalleryError, match="no speaker is enrolled as"):
                change(gallery, name)
        with pytest.raises(GalleryError, match="no speaker is enrolled as"):
            verify_speaker(gallery, name, np.zeros((3, 72)))
    with pytest.raises(GalleryError, match=r"no speaker is enrolled as f002; did you mean m002\?"):
        forget(gallery, "f002")
    with pytest.raises(GalleryError, match=r"f001 has no recordings f001-; expected the file's name or digest of one"):
        forget_recording(gallery, "f001", "f001-")
    forget_recording(gallery, "f001", enrolment(voices, "f001")[0].name)
    forget_recording(gallery, "f001", enrolment(voices, "f001")[1].name)
    with pytest.raises(GalleryError, match="is the only recording of f001; forget the speaker"):
        forget_recording(gallery, "f001", enrolment(voices, "f001")[2].name)
    with pytest.raises(GalleryError, match="Dan: no recordings; expected at least one"):
        enrol(gallery, "Dan", [])


@pytest.mark.parametrize("name", ["Ann Lee", "Zoë", "王芳", "o'neill-2", "a.b", "(x)", "-x", "é" * 100, "सीता"])
def test_names_of_any_script_are_kept(filled, gallery, name):
    enrol(gallery, name, filled.speaker("f001").recordings[:1])
    assert name in gallery.names
    assert gallery.speaker(unicodedata.normalize("NFD", name)).name == name
    forget(gallery, unicodedata.normalize("NFD", name))
    assert name not in gallery.names


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "empty"),
        ("a/b", "'/' in it"),
        ("a\\b", "in it; expected neither slashes"),
        ("a\0", "nor control characters"),
        ("a\nb", "nor control characters"),
        ("\udcff", "nor control characters"),
        ("..", "begins with a dot"),
        (".hidden", "begins with a dot"),
        (" a", "white space at an end"),
        ("Unknown", "who is not enrolled is called"),
        ("é" * 101, "202 bytes; expected 200 at most"),
    ],
)
def test_a_name_that_is_no_safe_file_name_is_refused(filled, gallery, name, reason):
    with pytest.raises(GalleryError, match=reason) as caught:
        enrol(gallery, name, filled.speaker("f001").recordings)
    assert str(caught.value).isprintable()
    assert gallery.names == ("f001", "f003", "m002")


def test_a_name_that_is_taken_is_refused_in_any_case_and_form(filled, gallery):
    recordings = filled.speaker("f001").recordings[:1]
    with pytest.raises(GalleryError, match="f001 is already enrolled; extend adds recordings, forget removes"):
        enrol(gallery, "f001", recordings)
    with pytest.raises(GalleryError, match="F001 and f001, who is enrolled, would be one file on some systems"):
        enrol(gallery, "F001", recordings)
    enrol(gallery, unicodedata.normalize("NFD", "Zoë"), recordings)
    with pytest.raises(GalleryError, match="Zoë is already enrolled"):
        enrol(gallery, unicodedata.normalize("NFC", "Zoë"), recordings)
    assert safe_name(unicodedata.normalize("NFD", "Zoë")) == unicodedata.normalize("NFC", "Zoë")


def test_an_empty_gallery_says_so(empty):
    assert empty.names == ()
    assert empty.roster().speakers == ()
    with pytest.raises(GalleryError, match="no speaker is enrolled in this gallery"):
        score_tests(empty, [np.zeros((3, 72), np.float32)])


def test_audio_of_another_rate_is_refused_where_the_gallery_says_so(voices, gallery, tmp_path):
    samples, rate = soundfile.read(spoken(voices, "f001")[0])
    soundfile.write(tmp_path / "8k.wav", samples[::2], rate // 2)
    own = gallery.folder / "gallery.json"
    own.write_text(json.dumps(json.loads(own.read_text()) | {"resample": False}))
    with pytest.raises(AudioError, match=r"8k.wav: sample rate 8000 Hz; this gallery takes 16000 Hz, and its gallery"):
        Gallery(gallery.folder).read(tmp_path / "8k.wav")


def test_a_front_end_that_resamples_takes_another_rate(voices, tmp_path):
    front_end = FeatureConfig(resample=True)
    path = voices / "results" / "ubm.safetensors"
    save_gmm(tmp_path / "ubm", load_gmm(path), front_end=front_end.model_dump(mode="json"))
    samples, rate = soundfile.read(spoken(voices, "f001")[0])
    soundfile.write(tmp_path / "32k.wav", np.repeat(samples, 2), 2 * rate)
    made = create_gallery(tmp_path / "g", tmp_path / "ubm")
    np.testing.assert_array_equal(made.read(tmp_path / "32k.wav").frames, extract(tmp_path / "32k.wav", front_end))


def test_a_gallery_of_another_front_end_than_the_models_is_refused(ubm_file, tmp_path):
    with pytest.raises(ModelError, match=r"trained on features of another front end: lifter 22.0 there, 23.0 here"):
        create_gallery(tmp_path / "g", ubm_file, front_end=FeatureConfig(lifter=23.0))
    save_gmm(tmp_path / "bare", load_gmm(ubm_file))
    with pytest.raises(ModelError, match="bare: does not say which front end its frames came from"):
        create_gallery(tmp_path / "g", tmp_path / "bare")
    save_gmm(tmp_path / "odd", load_gmm(ubm_file), front_end={"n_cepstre": 3})
    with pytest.raises(GalleryError, match="odd: front end: n_cepstre: Extra inputs"):
        create_gallery(tmp_path / "g", tmp_path / "odd")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bare", "odd"]


def test_what_needs_frames_is_refused(ubm_file, tmp_path):
    with pytest.raises(GalleryError, match="n_iterations 2: expected 1, as a gallery keeps statistics"):
        create_gallery(tmp_path / "g", ubm_file, adaptation=AdaptationConfig(n_iterations=2))


def test_a_folder_that_holds_something_is_left_alone(ubm_file, tmp_path):
    (tmp_path / "there").mkdir()
    create_gallery(tmp_path / "there", ubm_file)
    before = content(tmp_path)
    with pytest.raises(GalleryError, match="there: there already; expected a new or an empty folder"):
        create_gallery(tmp_path / "there", ubm_file)
    with pytest.raises(GalleryError, match=r"gallery.json: there already"):
        create_gallery(tmp_path / "there" / "gallery.json", ubm_file)
    assert content(tmp_path) == before


def test_the_same_gallery_has_the_same_bytes(voices, filled, ubm_file, tmp_path):
    again = create_gallery(tmp_path / "again", ubm_file)
    for speaker in reversed(SPEAKERS):
        enrol(again, speaker, [again.record(path) for path in enrolment(voices, speaker)])
    assert content(again.folder) == content(filled.folder)


@pytest.mark.parametrize(
    ("calibration", "facts", "message"),
    [
        (LinearCalibration(weights=(1.0,)), {"n_target": 9, "n_nontarget": 0}, "on no nontarget trials"),
        (LinearCalibration(weights=(1.0,)), {"n_target": 0, "n_nontarget": 9}, "on no target trials"),
        (LinearCalibration(weights=(1.0, 2.0)), {}, "takes the scores of 2 systems"),
        (LinearCalibration(weights=(1.0,), side_weights=(1.0,)), {}, "takes 1 numbers beside the score"),
        (LinearCalibration(weights=(1.0,), side_weights=(1.0, 1.0)), {"duration": True}, "takes 2 numbers beside"),
        (LinearCalibration(weights=(1.0,)), {"condition": True}, "takes 0 numbers .* expected 3, for condition"),
        (PavCalibration(scores=(0.0,), llrs=(0.0,), n_systems=2), {}, "takes the scores of 2 systems"),
        ({"version": 1, "kind": "new"}, {}, "not a calibration: "),
        (None, {}, "not a calibration: "),
    ],
)
def test_a_calibration_of_something_else_is_refused(voices, tmp_path, calibration, facts, message):
    with pytest.raises(GalleryError, match=message):
        calibrated(tmp_path / "g", voices, calibration, tmp_path, **facts)
    assert not (tmp_path / "g").exists()


def test_a_calibration_says_what_it_was_trained_on(voices, tmp_path):
    own = PavCalibration(scores=(-1.0, 1.0), llrs=(-2.0, 2.0))
    made = calibrated(tmp_path / "g", voices, own, tmp_path, trained_on="others", n_target=9, n_nontarget=90)
    assert made.recognisers[0].calibration == own
    assert made.config.score_unit == "nats, calibrated"


def test_decisions_may_be_edited_and_the_front_end_may_not(gallery):
    path = gallery.folder / "gallery.json"
    data = json.loads(path.read_text())
    data["decisions"] = {"min_speech": 30.0, "identification": {"threshold": 0.25}, "costs": {"p_target": 0.5}}
    path.write_text(json.dumps(data))
    edited = Gallery(gallery.folder)
    assert edited.config.decisions.identification.threshold == 0.25
    assert edited.config.decisions.is_short(29.9)
    assert len(edited.roster().speakers) == 3
    data["front_end"]["lifter"] = 21.0
    path.write_text(json.dumps(data))
    with pytest.raises(
        GalleryError, match="front_end does not match fingerprint; a gallery's front end cannot be changed"
    ):
        Gallery(gallery.folder)


def test_threads_that_extend_one_speaker_all_do(filled, gallery):
    recordings = filled.speaker("f003").recordings + filled.speaker("m002").recordings
    start = threading.Barrier(len(recordings))

    def add(recording):
        start.wait()
        extend(Gallery(gallery.folder), "f001", [recording])

    threads = [threading.Thread(target=add, args=(each,)) for each in recordings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(gallery.speaker("f001").recordings) == 9


def test_a_writer_that_waits_too_long_says_so(filled, gallery, monkeypatch):
    from filelock import FileLock

    monkeypatch.setattr("speechgmm.gallery.enrolment.PATIENCE", 0.05)
    with FileLock(gallery.folder / ".lock"):
        before = time.monotonic()
        with pytest.raises(GalleryError, match=r"others have been writing to it for 0.05 s; try again"):
            forget(gallery, "f001")
        assert time.monotonic() - before < 5
        assert len(score_tests(gallery, [np.zeros((3, 72), np.float32)]).names) == 3  # readers need no lock
    forget(gallery, "f001")


def test_a_speakers_file_is_safetensors_and_comes_back(filled):
    path = speaker_file(filled.folder, "f001")
    speaker = load_speaker(path, filled.config.background)
    assert isinstance(speaker, EnrolledSpeaker)
    for (statistics,) in (each.statistics for each in speaker.recordings):
        assert statistics.zeroth.sum() == pytest.approx(statistics.n_frames)  # posteriors of a frame add up to 1
    assert int.from_bytes(path.read_bytes()[:8], "little") < path.stat().st_size  # the length of a JSON header
    assert path.read_bytes()[8:9] == b"{"


def test_short_speech_is_flagged(ubm_file, tmp_path):
    made = create_gallery(tmp_path / "g", ubm_file, decisions=DecisionConfig(min_speech=3.0))
    assert made.config.decisions.is_short(2.9)
    assert not made.config.decisions.is_short(3.0)


@pytest.fixture
def meeting(voices, tmp_path):
    """Speech of two who are enrolled and one who is not, 2 s each, then 2 s of next to nothing."""
    parts = [soundfile.read(spoken(voices, name)[0])[0][8000:40000] for name in ("f001", "m004", "m002")]
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "meeting.wav", np.concatenate([*parts, 1e-4 * rng.standard_normal(32000)]), 16000)
    return tmp_path / "meeting.wav"


def test_a_timeline_says_who_speaks_when(filled, meeting, tmp_path):
    read = filled.read(meeting)
    made = make_timeline(filled, read, 2.0, OPEN)
    assert made.answers == ("f001", "unknown", "m002", None)
    np.testing.assert_allclose(made.starts, [0, 2, 4, 6])
    np.testing.assert_allclose(made.stops, [2, 4, 6, 8])
    assert np.isnan(made.scores[3]).all()
    times = filled.front_end.first_centre_seconds + np.flatnonzero(read.speech) * filled.front_end.shift_seconds
    second = read.frames[(times >= 2) & (times < 4)]
    np.testing.assert_array_equal(made.scores[1], score_tests(filled, [second]).matrix[:, 0])
    assert made.seconds() == {"f001": 2.0, "m002": 2.0, "unknown": 2.0}
    write_table(tmp_path / "t.csv", made)
    head, first, _, _, last = (tmp_path / "t.csv").read_text().splitlines()
    assert head == "start,end,best,f001,f003,m002"
    assert first.startswith("0.000,2.000,f001,")
    assert last == "6.000,8.000,,,,"


def test_a_timeline_of_odd_lengths(filled, meeting):
    read = filled.read(meeting)
    whole = make_timeline(filled, read, 100.0, CLOSED)
    assert whole.stops.tolist() == [8.0]
    np.testing.assert_array_equal(whole.scores[0], score_tests(filled, [read.frames]).matrix[:, 0])
    assert len(make_timeline(filled, read, 0.7, CLOSED).answers) == 12
    with pytest.raises(GalleryError, match=r"window of 0.001 s; expected at least a frame's 0.01 s"):
        make_timeline(filled, read, 0.001, CLOSED)
    with pytest.raises(GalleryError, match="not calibrated"):
        make_timeline(filled, read, 2.0)


@pytest.fixture(scope="module")
def cohort(voices, tmp_path_factory):
    """The background's recordings, which serve a test as well as others would."""
    paths = sorted(voices.glob("bg-*/*.flac"))
    made = Cohort(tuple(path.parent.name for path in paths), tuple(extract(path) for path in paths))
    path = tmp_path_factory.mktemp("cohort") / "cohort.safetensors"
    save_cohort(path, made, FeatureConfig().model_dump(mode="json"))
    return path


@pytest.mark.parametrize("method", ["z", "t", "zt", "tz", "s", "as"])
def test_a_cohort_normalises_scores(voices, filled, ubm_file, cohort, tmp_path, method):
    config = ScoreNormalisationConfig(method=method)
    made = create_gallery(tmp_path / "g", ubm_file, cohort=cohort, normalisation=config)
    for name in filled.names:
        enrol(made, name, filled.speaker(name).recordings)
    tests = [made.read(spoken(voices, speaker)[0]).frames for speaker in ("f001", "m004")]
    members = load_cohort(cohort)
    others = {
        name: map_adapt(
            filled.ubm,
            accumulate(filled.ubm, members.frames[row]) + accumulate(filled.ubm, members.frames[row + 1]),
            relevance_factor=10,
        )
        for row, name in enumerate(members.speakers)
        if row % 2 == 0
    }
    models = [filled.model(name) for name in filled.names]
    some = members.frames[::2] if method in ("z", "t", "zt", "s") else members.frames  # the first of each two
    expected = normalise_scores(
        score_tests(filled, tests).matrix,
        config,
        z_scores=score_matrix(models, filled.ubm, members.frames, ScoringConfig()),
        t_scores=score_matrix(list(others.values()), filled.ubm, tests, ScoringConfig()),
        cohort_scores=score_matrix(list(others.values()), filled.ubm, some, ScoringConfig()),
        speakers=Speakers(
            filled.names, members.speakers, tuple(others), cohort_tests=members.speakers[:: 20 // len(some)]
        ),
    )
    np.testing.assert_allclose(score_tests(made, tests).matrix, expected, rtol=1e-5)
    assert verify_speaker(made, "f001", tests[0]).score == pytest.approx(expected[0, 0], rel=1e-5)
    assert made.config.score_unit == "deviations of the cohort's scores, not calibrated"


def test_a_cohort_comes_back_in_the_same_bytes(cohort, tmp_path):
    members = load_cohort(cohort)
    assert [len(each) > 0 for each in members.frames] == [True] * 20
    save_cohort(tmp_path / "again", members, FeatureConfig().model_dump(mode="json"))
    assert (tmp_path / "again").read_bytes() == cohort.read_bytes()


def test_a_cohort_that_does_not_fit_is_refused(ubm_file, cohort, tmp_path):
    config = ScoreNormalisationConfig(method="s")
    bare = {"frames": np.zeros((3, 72), np.float32), "lengths": np.array([1, 1]), "speakers": np.array([0, 0])}
    header = read_header(cohort)
    text = {
        "format_version": 1,
        "kind": "cohort",
        "package_version": "1",
        "front_end": header.front_end,
        "names": ["a"],
    }
    for damaged in (bare, bare | {"speakers": np.array([0, 1])}, {"frames": bare["frames"]}):
        save_file(damaged, tmp_path / "damaged", {"speechgmm": json.dumps(text)})
        with pytest.raises(ModelError, match="damaged: damaged cohort"):
            create_gallery(tmp_path / "g", ubm_file, cohort=tmp_path / "damaged", normalisation=config)
    with pytest.raises(ModelError, match="holds 'gmm'; expected 'cohort'"):
        create_gallery(tmp_path / "g", ubm_file, cohort=ubm_file, normalisation=config)
    for arguments in ({"cohort": cohort}, {"normalisation": config}):
        with pytest.raises(GalleryError, match="expected both or neither"):
            create_gallery(tmp_path / "g", ubm_file, **arguments)
    save_cohort(tmp_path / "c", load_cohort(cohort), FeatureConfig(lifter=23.0).model_dump(mode="json"))
    with pytest.raises(ModelError, match="another front end: lifter 23"):
        create_gallery(tmp_path / "g", ubm_file, cohort=tmp_path / "c", normalisation=config)
    made = create_gallery(tmp_path / "g", ubm_file, cohort=cohort, normalisation=config)
    copy = made.folder / "cohort.safetensors"
    copy.write_bytes(copy.read_bytes()[:-4])
    with pytest.raises(GalleryError, match=r"cohort\.safetensors: damaged, or another file"):
        made.recognisers[0].systems[0].cohort  # noqa: B018 - the access is the test
