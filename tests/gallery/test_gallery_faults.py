"""Galleries whose files were damaged, whose writers were killed, and that several write to at once."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from itertools import count

import numpy as np
import pytest

from helpers.voices import enrolment
from speechgmm.errors import GalleryError, ModelError
from speechgmm.gallery.enrolment import create_gallery, enrol, extend, forget, forget_recording
from speechgmm.gallery.gallery import Gallery
from speechgmm.gallery.layout import speaker_file, speakers_folder
from speechgmm.gallery.recognition import score_tests, verify_speaker
from speechgmm.scoring.calibration import LinearCalibration

FRAMES = np.zeros((5, 72), np.float32)
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.chmod", "os.rmdir", "os.truncate")
N_KILLS = 50


class Killed(BaseException):
    """What a process that is killed feels."""


class Killer:
    """Ends all that is done to the files of a folder from a certain step on, as the death of the process would."""

    def __init__(self):
        self.folder, self.left = None, 0

    def audit(self, event, arguments):
        """See every call of the system that Python makes; there is no way to stop seeing them."""
        if self.folder is None:
            return
        changes = event in CHANGES or (event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        if changes and str(arguments[0]).startswith(self.folder):
            self.step()

    def step(self):
        """Count a step, and die if it is the last or later."""
        self.left -= 1
        if self.left < 0:
            raise Killed

    def fsync(self, handle):
        """Count it, and die with half of the bytes written."""
        if self.folder is not None:
            if self.left == 0:
                with suppress(OSError):  # a folder has no bytes
                    os.ftruncate(handle, os.fstat(handle).st_size // 2)
            self.step()

    @contextmanager
    def after(self, folder, n_steps):
        """Die after so many steps in a folder."""
        self.folder, self.left = str(folder), n_steps
        try:
            yield
        finally:
            self.folder = None


@pytest.fixture(scope="module")
def killer():
    killer = Killer()
    sys.addaudithook(killer.audit)
    return killer


@pytest.fixture(scope="module")
def filled(voices, tmp_path_factory):
    gallery = create_gallery(tmp_path_factory.mktemp("faults") / "gallery", voices / "results" / "ubm.safetensors")
    for speaker in ("f001", "m002"):
        enrol(gallery, speaker, [gallery.record(path) for path in enrolment(voices, speaker)])
    return gallery


@pytest.fixture
def gallery(filled, tmp_path):
    return Gallery(shutil.copytree(filled.folder, tmp_path / "copy"))


def content(folder):
    """All files but what a writer that was killed may leave."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def change(kind, gallery, recordings):
    match kind:
        case "enrol":
            enrol(gallery, "new", recordings)
        case "extend":
            extend(gallery, "f001", recordings)
        case "forget":
            forget(gallery, "f001")
        case "forget one":
            forget_recording(gallery, "f001", gallery.speaker("f001").recordings[0].file)


@pytest.mark.parametrize("kind", ["enrol", "extend", "forget", "forget one"])
def test_a_writer_that_is_killed_at_any_step_has_done_all_or_nothing(
    voices, filled, killer, tmp_path, monkeypatch, kind
):
    recordings = [filled.record(path) for path in enrolment(voices, "f003")]
    monkeypatch.setattr(os, "fsync", killer.fsync)
    done = shutil.copytree(filled.folder, tmp_path / "done")
    change(kind, Gallery(done), recordings)
    before, after = content(filled.folder), content(done)
    outcomes = []
    for n_steps in count():
        folder = shutil.copytree(filled.folder, tmp_path / f"{n_steps}")
        victim = Gallery(folder)
        try:
            with killer.after(folder, n_steps):
                change(kind, victim, recordings)
        except Killed:
            assert content(folder) in (before, after)
            outcomes.append(content(folder) == after)
        else:
            break
        opened = Gallery(folder)
        assert not opened.roster().damaged
        assert len(score_tests(opened, [FRAMES]).names) == len(opened.names)
        enrol(opened, "next", recordings)
        assert not list(folder.rglob(".writing-*"))
    assert n_steps >= (3 if kind == "forget" else 6)
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {False, True}  # what is left to do after the change is not part of it


def test_a_creator_that_is_killed_at_any_step_leaves_a_gallery_or_none(voices, killer, tmp_path, monkeypatch):
    ubm = voices / "results" / "ubm.safetensors"
    monkeypatch.setattr(os, "fsync", killer.fsync)
    for n_steps in count():
        folder = tmp_path / f"{n_steps}" / "gallery"
        folder.parent.mkdir()
        try:
            with killer.after(folder.parent, n_steps):
                create_gallery(folder, ubm)
        except Killed:
            if folder.exists():
                assert Gallery(folder).ubm.n_components == 16
            else:
                create_gallery(folder, ubm)
            assert Gallery(folder).names == ()
        else:
            break
    assert n_steps >= 10


def damages():
    """Ways in which a speaker's file may come to harm."""

    def cut(data):
        return data[: len(data) // 2]

    def bit(data):
        return data[:-100] + bytes([data[-100] ^ 1]) + data[-99:]

    def other_name(data):
        return data.replace(b"f001-enrol-01.flac", b"f001-enrol-09.flac")

    return {"cut": cut, "empty": lambda _: b"", "bit": bit, "text": lambda _: b"hello" * 99, "header": other_name}


@pytest.mark.parametrize("damage", damages().values(), ids=damages())
def test_a_damaged_speaker_is_named_and_the_others_work(gallery, damage):
    path = speaker_file(gallery.folder, "f001")
    path.write_bytes(damage(path.read_bytes()))
    roster = gallery.roster()
    assert [speaker.name for speaker in roster.speakers] == ["m002"]
    assert list(roster.damaged) == [str(path)]
    assert "damaged" in roster.damaged[str(path)]
    found = score_tests(gallery, [FRAMES])
    assert (found.names, found.damaged) == (("m002",), roster.damaged)
    assert verify_speaker(gallery, "m002", FRAMES).score == found.matrix[0, 0]
    with pytest.raises(GalleryError, match=r"f001\.safetensors: damaged"):
        verify_speaker(gallery, "f001", FRAMES)
    with pytest.raises(GalleryError, match=r"f001\.safetensors: damaged"):
        extend(gallery, "f001", gallery.speaker("m002").recordings)
    with pytest.raises(GalleryError, match="f001 is already enrolled"):
        enrol(gallery, "f001", gallery.speaker("m002").recordings)
    forget(gallery, "f001")
    assert not gallery.roster().damaged


def test_where_all_speakers_are_damaged_that_is_the_error(gallery):
    for name in gallery.names:
        speaker_file(gallery.folder, name).write_bytes(b"")
    with pytest.raises(GalleryError, match=r"no speaker can be used; .*f001.*damaged.*m002.*damaged"):
        score_tests(gallery, [FRAMES])


def test_a_file_of_another_gallery_or_name_or_kind_is_named(voices, gallery, tmp_path):
    other = create_gallery(tmp_path / "other", other_ubm(voices, tmp_path))
    enrol(other, "f003", [other.record(path) for path in enrolment(voices, "f003")])
    shutil.copy(speaker_file(other.folder, "f003"), speaker_file(gallery.folder, "f003"))
    shutil.copy(speaker_file(gallery.folder, "m002"), speaker_file(gallery.folder, "copy"))
    shutil.copy(gallery.folder / "ubm.safetensors", speaker_file(gallery.folder, "ubm"))
    reasons = {path.rpartition("/")[2]: reason for path, reason in gallery.roster().damaged.items()}
    assert reasons == {
        "copy.safetensors": "holds the speaker 'm002'; files are not to be renamed",
        "f003.safetensors": "enrolled with another front end or background model than this gallery's",
        "ubm.safetensors": "holds 'gmm'; expected 'enrolled'",
    }


def other_ubm(voices, tmp_path):
    """A background model with one component less, near enough."""
    from speechgmm import DiagonalGMM, load_gmm, save_gmm
    from speechgmm.gmm.storage import read_header

    path = voices / "results" / "ubm.safetensors"
    gmm = load_gmm(path)
    weights = gmm.weights[:-1] / gmm.weights[:-1].sum()
    smaller = DiagonalGMM(weights, gmm.means[:-1], gmm.variances[:-1])
    save_gmm(tmp_path / "smaller", smaller, front_end=read_header(path).front_end)
    return tmp_path / "smaller"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "gallery.json: damaged"),
        ("[]", "gallery.json: damaged"),
        ("{}", "gallery of format version None; this speechgmm reads 1 and 2"),
        ('{"format_version": 3}', "gallery of format version 3; this speechgmm reads 1 and 2"),
        ('{"format_version": 2}', "gallery.json: recognisers: Field required"),
        ('{"format_version": 2, "recognisers": {}}', "gallery.json: recognisers: Dictionary should have at least 1"),
        ('{"format_version": 1}', "gallery.json: front_end: Field required"),
        ("\udc80", "gallery.json: not readable"),
    ],
)
def test_a_damaged_gallery_file_is_named(gallery, text, message):
    (gallery.folder / "gallery.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(GalleryError, match=message):
        Gallery(gallery.folder)


def test_what_is_no_gallery_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(GalleryError, match=r"not a gallery: no gallery\.json in it"):
            Gallery(folder)
    (tmp_path / "file").write_text("")
    with pytest.raises(GalleryError, match="file: not a gallery"):
        Gallery(tmp_path / "file")


def test_a_damaged_background_model_stops_scores_and_nothing_else(gallery):
    path = gallery.folder / "ubm.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-8] + b"\1" * 8)
    with pytest.raises(
        GalleryError, match=r"ubm\.safetensors: damaged, or another file than this gallery was made with"
    ):
        score_tests(gallery, [FRAMES])
    assert len(gallery.roster().speakers) == 2
    forget(gallery, "m002")
    path.unlink()
    with pytest.raises(GalleryError, match=r"ubm\.safetensors: not readable \(No such file"):
        score_tests(Gallery(gallery.folder), [FRAMES])


def test_a_damaged_calibration_is_not_passed_over(voices, filled, tmp_path):
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps({"calibration": LinearCalibration(weights=(1.0,)).model_dump(mode="json")}))
    made = create_gallery(tmp_path / "g", voices / "results" / "ubm.safetensors", calibration=path)
    enrol(made, "f001", filled.speaker("f001").recordings)
    copy = made.folder / "calibration.json"
    copy.write_text(copy.read_text().replace("1.0", "2.0"))
    with pytest.raises(GalleryError, match=r"calibration\.json: damaged, or another file"):
        score_tests(made, [FRAMES])
    path.write_text("{")
    with pytest.raises(GalleryError, match=r"calibration\.json: not readable as a calibration"):
        create_gallery(tmp_path / "h", voices / "results" / "ubm.safetensors", calibration=path)
    path.write_text("[1]")
    with pytest.raises(GalleryError, match=r"calibration\.json: not a calibration"):
        create_gallery(tmp_path / "h", voices / "results" / "ubm.safetensors", calibration=path)


def test_a_gallery_without_a_model_is_not_made(tmp_path):
    with pytest.raises(ModelError, match="no such model file"):
        create_gallery(tmp_path / "g", tmp_path / "ubm.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_what_was_there(filled, gallery, monkeypatch):
    before = content(gallery.folder)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    recordings = filled.speaker("m002").recordings
    with pytest.raises(OSError, match="No space left") as caught:
        extend(gallery, "f001", recordings)
    assert caught.value.filename == str(speaker_file(gallery.folder, "f001"))
    assert content(gallery.folder) == before
    assert not list(gallery.folder.rglob(".writing-*"))


def command(folder, name, paths):
    return [sys.executable, "-m", "speechgmm", "gallery", "enrol", str(folder), name, *map(str, paths)]


def test_two_that_enrol_at_once_both_do(voices, gallery):
    paths = enrolment(voices, "f003")
    both = [subprocess.Popen(command(gallery.folder, name, paths), stdout=subprocess.PIPE) for name in ("one", "two")]
    for each in both:
        each.communicate()
    assert [each.returncode for each in both] == [0, 0]
    assert gallery.names == ("f001", "m002", "one", "two")
    assert not gallery.roster().damaged


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a signal that kills")
def test_fifty_random_kills_leave_a_gallery_that_opens(voices, gallery):
    paths = enrolment(voices, "f003")
    started = time.monotonic()
    subprocess.run(command(gallery.folder, "whole", paths), check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - started
    dice = random.Random(0)
    test = gallery.read(paths[0]).frames
    whole = gallery.model("whole").means
    outcomes = []
    for number in range(N_KILLS):
        name = f"speaker {number}"
        process = subprocess.Popen(
            command(gallery.folder, name, paths), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        # Half of them at any time, and half around the time when files change.
        if number % 2:
            time.sleep(dice.uniform(0, 1.1 * seconds))
        else:
            while process.poll() is None and not any(speakers_folder(gallery.folder).glob(".writing-*")):
                time.sleep(0.0005)
            time.sleep(dice.uniform(0, 0.004))
        process.kill()
        process.wait()
        opened = Gallery(gallery.folder)
        scores = score_tests(opened, [test])
        assert not scores.damaged
        there = name in opened.names
        if there:
            assert len(opened.speaker(name).recordings) == len(paths)
            np.testing.assert_array_equal(opened.model(name).means, whole)
        outcomes.append(there)
    assert {True, False} == set(outcomes)
    enrol(gallery, "last", gallery.speaker("whole").recordings)
    assert not list(gallery.folder.rglob(".writing-*"))
    assert gallery.names == tuple(
        sorted([*(f"speaker {number}" for number in np.flatnonzero(outcomes)), "f001", "m002", "whole", "last"])
    )
