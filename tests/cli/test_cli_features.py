"""``speechgmm features``: from recordings to the files of other programs, to feature stores and to plots."""

import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from dataclasses import replace

import h5py
import kaldiio
import matplotlib.image
import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from helpers.cases import case
from helpers.commands import message_of
from helpers.paths import GOLDEN
from speechgmm.cli import app
from speechgmm.features.extract import FeatureConfig, extract
from speechgmm.features.formats.reading import read_features
from speechgmm.features.store.store import open_store

RATE = 16000
SPEECH = GOLDEN / "a16k.wav"


def features(*arguments):
    """Run the command in this process; one worker, unless `--jobs` is set."""
    jobs = () if "--jobs" in arguments or "--plot" in arguments else ("--jobs", "1")
    return CliRunner().invoke(app, ["features", *map(str, (*arguments, *jobs))], catch_exceptions=False)


def voice(seconds=1.0, rate=RATE, seed=0):
    """Noise that comes and goes, as syllables do."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(int(seconds * rate))
    return 0.1 * noise * np.abs(np.sin(np.arange(len(noise)) * 9 / rate))


def write(path, samples, rate=RATE, subtype="PCM_16"):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


@pytest.fixture
def folder(tmp_path):
    """Two recordings at two depths, and other files."""
    write(tmp_path / "in" / "b.wav", voice(seed=1))
    write(tmp_path / "in" / "a" / "b.flac", voice(1.5, seed=2))
    write(tmp_path / "in" / ".hidden" / "c.wav", voice())
    write(tmp_path / "in" / ".c.wav", voice())
    (tmp_path / "in" / "notes.txt").write_text("no audio")
    return tmp_path / "in"


def expected(folder, config=None):
    return {"a/b": extract(folder / "a" / "b.flac", config), "b": extract(folder / "b.wav", config)}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def check_equal(found, wanted):
    assert set(found) == set(wanted)
    for name, frames in wanted.items():
        np.testing.assert_array_equal(found[name], frames)


def check_refused(done, message, folder, status=2):
    """One message, and nothing left behind."""
    assert done.exit_code == status
    assert message in message_of(done)
    assert done.stdout == ""
    assert not list(folder.rglob("*writing*"))


def test_a_folder_becomes_a_kaldi_archive(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = features("in", "--out", "new/f.ark")
    assert (done.exit_code, done.stderr) == (0, "")
    wanted = expected(folder)
    check_equal(kaldiio.load_scp("new/f.scp"), wanted)
    assert list(kaldiio.load_scp("new/f.scp")) == ["a/b", "b"]
    assert names(tmp_path / "new") == ["f.ark", "f.scp"]
    n_frames = sum(map(len, wanted.values()))
    assert done.stdout.startswith("new/f.ark: 2 utterances, 0.000694 h of audio, ")
    assert f"{n_frames / 100:.1f} s of speech kept: {n_frames} frames of 72 features; in " in done.stdout
    assert "times real time\n" in done.stdout


@pytest.mark.parametrize("suffix", [".h5", ".hdf5", ".npz"])
def test_a_folder_becomes_one_file(folder, tmp_path, suffix):
    path = tmp_path / f"f{suffix}"
    assert features(folder, "--out", path, "--config", "kaldi").exit_code == 0
    wanted = expected(folder, FeatureConfig.preset("kaldi"))
    if suffix == ".npz":
        with np.load(path) as archive:
            check_equal(archive, wanted)
    else:
        with h5py.File(path) as file:
            check_equal({name: file[name][()] for name in wanted}, wanted)


@pytest.mark.parametrize("suffix", [".npy", ".htk", ".mfc"])
def test_one_recording_becomes_one_file(folder, tmp_path, suffix):
    path = tmp_path / f"f{suffix}"
    done = features(folder / "b.wav", "--out", path, "--set", "frame_shift=0.0125")
    assert (done.exit_code, done.stderr) == (0, "")
    wanted = extract(folder / "b.wav", FeatureConfig(frame_shift=0.0125))
    if suffix == ".npy":
        np.testing.assert_array_equal(np.load(path), wanted)
    else:
        check_equal(dict(read_features(path)), {"f": wanted})
        assert struct.unpack(">iihH", path.read_bytes()[:12]) == (len(wanted), 125000, 4 * 72, 9)
    check_refused(features(folder, "--out", path), f"{path}: more than one utterance; such a file holds one", tmp_path)
    assert path.exists()


@pytest.mark.parametrize("name", ["store", "store.v2/", "there.h5"])
def test_a_folder_becomes_a_store_and_is_replaced_by_the_next(folder, tmp_path, name):
    (tmp_path / "there.h5").mkdir()
    out = f"{tmp_path}/{name}"
    assert features(folder, "--out", out).exit_code == 0
    done = features(folder / "b.wav", folder / "a", "--out", out, "--set", "vad.method=none")
    assert (done.exit_code, done.stderr) == (0, "")
    store = open_store(tmp_path / name)
    config = FeatureConfig(vad={"method": "none"})
    wanted = {"b.wav": extract(folder / "b.wav", config), "b.flac": extract(folder / "a" / "b.flac", config)}
    check_equal({each.utterance: store.frames(each.utterance) for each in store.utterances}, wanted)
    assert not list(tmp_path.glob(".writing-*"))


def test_the_number_of_jobs_changes_no_byte(folder, tmp_path):
    for jobs in (1, 2):
        assert features(folder, "--out", tmp_path / f"{jobs}.npz", "--jobs", jobs).exit_code == 0
        assert features(folder, "--out", tmp_path / f"{jobs}", "--jobs", jobs).exit_code == 0
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()
    for name in ("index.json", "shard-00000.npy"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def bad_recordings(folder):
    """Write what cannot be used, and give what is said of each."""
    good = write(folder / "good.wav", voice())
    said = {"noaudio.wav": "not readable as audio"}
    (folder / "noaudio.wav").write_text("not audio at all")
    (folder / "cut.wav").write_bytes(good.read_bytes()[:-2000])
    said["cut.wav"] = "cut short or damaged: 16000 samples expected, only 15000 can be read"
    for name, samples, subtype, reason in (
        ("none.wav", [], "PCM_16", "holds no samples"),
        ("nan.wav", np.where(np.arange(RATE) == 7, np.nan, voice()), "FLOAT", "1 of 16000 samples are NaN or infinite"),
        ("constant.wav", np.full(RATE, 0.25), "PCM_16", "nothing but silence: all 16000 samples are 0.25"),
        ("short.wav", voice(0.01), "PCM_16", "is shorter than one frame of 0.025 s"),
        ("stereo.wav", np.stack([voice(), voice(seed=1)], axis=1), "PCM_16", "2 channels; expected a mono file"),
        (
            "even.wav",
            0.1 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE),
            "PCM_16",
            "no speech: none of 100 frames",
        ),
    ):
        write(folder / name, samples, subtype=subtype)
        said[name] = reason
    write(folder / "wide.wav", voice(rate=44100), 44100)
    said["wide.wav"] = "sample rate 44100 Hz, and the front end's is 16000 Hz; set the key resample to true"
    write(folder / "narrow.wav", voice(rate=8000), 8000)
    said["narrow.wav"] = "sample rate 8000 Hz is too low for filters up to 7600 Hz"
    return said


def test_what_cannot_be_used_is_listed_with_its_reason_and_the_rest_is_written(tmp_path):
    said = bad_recordings(tmp_path / "in")
    done = features(tmp_path / "in", "--out", tmp_path / "f.npz")
    assert done.exit_code == 3
    with np.load(tmp_path / "f.npz") as archive:
        check_equal(archive, {"good": extract(tmp_path / "in" / "good.wav")})
    title, *lines = done.stderr.splitlines()
    assert title == f"error: {len(said)} of {len(said) + 1} recordings could not be used:"
    reasons = dict(line.strip().removeprefix(f"{tmp_path}/in/").split(": ", 1) for line in lines)
    assert set(reasons) == set(said)
    for name, reason in said.items():
        assert reason in reasons[name]
    assert "1 utterance," in done.stdout


@pytest.mark.parametrize("out", ["f.npz", "f.ark", "store"])
def test_where_nothing_can_be_used_nothing_is_written(tmp_path, out):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.wav").write_text("not audio")
    done = features(tmp_path / "in", "--out", tmp_path / out)
    check_refused(done, "nothing is written: ", tmp_path, status=3)
    assert f"{tmp_path / 'in' / 'x.wav'}: not readable as audio" in done.stderr
    assert names(tmp_path) == ["in"]


def test_another_rate_is_taken_with_permission(tmp_path):
    path = write(tmp_path / "wide.wav", voice(rate=44100), 44100)
    assert features(path, "--out", tmp_path / "f.npy", "--set", "resample=true").exit_code == 0
    np.testing.assert_array_equal(np.load(tmp_path / "f.npy"), extract(path, FeatureConfig(resample=True)))


@pytest.mark.parametrize("channel", ["0", "1", "mean"])
def test_a_channel_is_chosen(tmp_path, channel):
    path = write(tmp_path / "stereo.wav", np.stack([voice(), voice(seed=1)], axis=1))
    assert features(path, "--out", tmp_path / "f.npy", "--channel", channel).exit_code == 0
    wanted = extract(path, channel="mean" if channel == "mean" else int(channel))
    np.testing.assert_array_equal(np.load(tmp_path / "f.npy"), wanted)


def test_clipped_recordings_are_warned_of(tmp_path):
    for number in range(7):
        samples = voice(seed=number)
        samples[100 : 100 + 160 * (number + 1)] = 1.0
        write(tmp_path / "in" / f"{number}.wav", samples)
    samples = voice()
    samples[100:110] = 1.0
    write(tmp_path / "in" / "little.wav", samples)
    done = features(tmp_path / "in", "--out", tmp_path / "f.npz")
    assert (done.exit_code, done.stderr) == (0, "")
    warnings = [line.removeprefix("warning: ") for line in done.stdout.splitlines() if line.startswith("warning: ")]
    named = [f"clipped: {number}.0% of the samples of {number - 1}" for number in range(1, 6)]
    assert warnings == [*named, "clipped: 2 more recordings"]


def test_a_filter_without_a_bin_is_warned_of(folder, tmp_path):
    done = features(folder, "--out", tmp_path / "f.npz", "--set", "n_filters=128")
    assert done.exit_code == 0
    # Its corners are 53.2 and 96.2 mel, 33.8 and 62.4 Hz; the bins are multiples of 31.25 Hz.
    assert "warning: filter 2 of 128, around 48 Hz, " in done.stdout
    assert "has no bin of a transform of 512 points" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "n_fft=100"], "error: --set n_fft=100: n_fft 100 is shorter than the frame of 400 samples"),
        (["--set", "high_frequency=9000"], "high_frequency <= 8000 Hz, half of the sample rate"),
        (["--set", "n_cepstra=31"], "n_cepstra 31 from n_filters 30: too few filters"),
        (["--config", "kaldi", "--set", "n_cepstra=24"], "--set n_cepstra=24: n_cepstra 24 from n_filters 23"),
        (["--set", "n_ceptra=20"], "--set n_ceptra=20: n_ceptra: unknown key; did you mean n_cepstra?"),
        (["--set", "n_cepstra"], "--set n_cepstra: expected KEY=VALUE, as in --set n_cepstra=20"),
        (["--config", "kaldy"], "--config kaldy: no such file"),
        (["--config", "kaldy"], "(kaldi, htk, librosa, psf), nor a shipped features section ("),
        (["--channel", "left"], "'left'; expected a number from 0, or mean"),
        (["--channel", "-1"], "'-1'; expected a number from 0, or mean"),
        (["--labels", "none.rttm"], "none.rttm: not readable"),
        (["--jobs", "0"], "--jobs"),
        (["--out", "f.xyz"], "f.xyz: suffix '.xyz'; features are written to .ark, .h5, "),
        (["--out", "f.scp"], "or into a folder, whose name has no suffix or ends with /"),
        (["--out", "file"], "file: Not a directory"),
        (["--out", "file/f.npz"], "file"),
        (["--out", "full"], "full: holds other files than a feature store's; expected an empty or a new folder"),
        (["in/none.wav"], "in/none.wav: no such file or folder"),
        (
            ["empty"],
            "empty: no audio among 2 files: 1 .raw (a.raw), 1 .txt (notes.txt); expected names that end as in ",
        ),
        (["empty"], "--raw RATE,CHANNELS,FORMAT reads those without a header"),
        (["in/b.wav"], "in/b.wav: given twice"),
        ([""], "an empty path; expected the name of a file or a folder"),
        (["--out", ""], "--out: empty; expected where to write"),
        (["kaldi"], "kaldi/wav.scp:2: 'lonely'; expected an utterance and its file"),
        (["kaldi2"], "kaldi2/wav.scp:1: u1 is the output of a command; only files are read"),
        (["kaldi3"], "kaldi3/segments:1: s1: recording u9 has no line in kaldi3/wav.scp"),
        (["kaldi5"], "kaldi5/segments:2: 'u2 u1 1'; expected utterance, recording, start and a later stop"),
        (["--raw", "16k"], "'16k'; expected RATE, or RATE,CHANNELS,FORMAT, as in 16000,1,s16le"),
        (["--raw", "16000,0"], "'16000,0'; expected RATE"),
        (["--raw", "\uff11,1"], "expected RATE"),
        (["--raw", "16000,1,s16le,4"], "expected RATE"),
        (["--raw", "16000,1,pcm"], "'pcm' in '16000,1,pcm'; expected one of u8, s8, s16le, s16be, s24le, s24be, "),
        (["kaldi4"], "kaldi4/wav.scp: empty"),
        (["kaldi6"], "kaldi6/wav.scp:3: u1 is on line 1 as well; expected it once"),
        (["above"], "give the folder of each wav.scp, as above/train"),
    ],
)
def test_a_mistake_is_one_message_and_writes_nothing(folder, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    for path, text in {
        "full/index.json": "{}", "full/mine.txt": "", "empty/notes.txt": "", "empty/a.raw": "",
        "kaldi/wav.scp": "u1 in/b.wav\nlonely\n", "kaldi6/wav.scp": "u1 in/b.wav\nu2 in/b.wav\nu1 in/b.wav\n",
        "above/train/wav.scp": "u1 in/b.wav\n", "kaldi2/wav.scp": "u1 cat in/b.wav |\n",
        "kaldi3/wav.scp": "u1 in/b.wav\n", "kaldi3/segments": "s1 u9 0 1\n", "kaldi4/wav.scp": "",
        "kaldi5/wav.scp": "u1 in/b.wav\n", "kaldi5/segments": "s1 u1 0 1\nu2 u1 1\n",
    }.items():  # fmt: skip
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    before = sorted(tmp_path.rglob("*"))
    out = () if "--out" in arguments else ("--out", "f.npz")
    check_refused(features("in/b.wav", *arguments, *out), message, tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "file").read_text() == "mine"


def test_somewhere_to_write_is_asked_for(folder, tmp_path):
    check_refused(features(folder), "--out: missing; expected where to write", tmp_path)


def test_a_missing_package_is_reported_before_the_work_and_only_where_needed(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    for name in ("f.ark", "f.npz", "store"):
        assert features(folder, "--out", tmp_path / name).exit_code == 0

    def fail(*_, **__):
        raise AssertionError("extracted all the same")

    monkeypatch.setattr("speechgmm.features.store.writing.write_store", fail)
    check_refused(features(folder, "--out", tmp_path / "f.h5"), "pip install 'speechgmm[hdf5]'", tmp_path)


def test_names_that_the_format_refuses_are_reported_before_the_work(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise AssertionError("extracted all the same")

    monkeypatch.setattr("speechgmm.features.store.writing.write_store", fail)
    write(tmp_path / "in" / "a.wav", voice())
    write(tmp_path / "in" / "a" / "b.wav", voice())
    write(tmp_path / "back" / "a\\b.wav", voice())
    check_refused(features(tmp_path / "in", "--out", tmp_path / "f.h5"), f"{tmp_path}/f.h5: utterance", tmp_path)
    check_refused(features(tmp_path / "back", "--out", tmp_path / "f.npz"), "printable characters but", tmp_path)


def test_files_of_one_name_keep_their_suffixes(tmp_path):
    for name in ("a.wav", "a.flac", "b.wav", "c d.WAV"):
        write(tmp_path / "in" / name, voice())
    done = features(tmp_path / "in", "--out", tmp_path / "f.ark")
    assert done.stdout.startswith("white space in ids is written as _\n")
    assert [name for name, _ in read_features(tmp_path / "f.ark")] == ["a.flac", "a.wav", "b", "c_d"]
    assert features(tmp_path / "in", "--out", tmp_path / "f.npz").exit_code == 0
    assert [name for name, _ in read_features(tmp_path / "f.npz")] == ["a.flac", "a.wav", "b", "c d"]
    write(tmp_path / "in" / "c_d.wav", voice())
    done = features(tmp_path / "in", "--out", tmp_path / "f.ark")
    check_refused(done, f"{tmp_path}/in/c d.WAV and {tmp_path}/in/c_d.wav would share the id c_d", tmp_path)


def test_links_are_followed_but_not_in_circles(tmp_path):
    write(tmp_path / "else" / "a.wav", voice())
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "else")
    (tmp_path / "else" / "back").symlink_to(tmp_path / "in")
    assert features(tmp_path / "in", "--out", tmp_path / "f.npz").exit_code == 0
    assert [name for name, _ in read_features(tmp_path / "f.npz")] == ["link/a"]


def test_a_kaldi_directory_gives_the_ids(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "wav.scp").write_text(f"u2 in/b.wav\nu1\t{folder}/a/b.flac\n")
    assert features("data", "--out", "f.npz").exit_code == 0
    wanted = expected(folder)
    with np.load("f.npz") as archive:
        assert list(archive) == ["u2", "u1"]
        check_equal(archive, {"u1": wanted["a/b"], "u2": wanted["b"]})


@pytest.mark.parametrize("kind", ["rttm", "segments"])
def test_labels_say_where_there_is_speech(folder, tmp_path, kind):
    labels = tmp_path / {"rttm": "l.rttm", "segments": "segments"}[kind]
    if kind == "rttm":
        labels.write_text("SPEAKER b 1 0.2 0.3 <NA> <NA> s <NA> <NA>\nSPEAKER b 1 0.7 0.1 <NA> <NA> s <NA> <NA>\n")
    else:
        labels.write_text("x1 b 0.2 0.5\nx2 b 0.7 0.8\n")
    write(folder / "c.wav", voice())
    done = features(folder / "b.wav", folder / "c.wav", "--out", tmp_path / "f.npz", "--labels", labels)
    assert done.exit_code == 3
    assert f"  {folder}/c.wav: no labels in {labels}\n" in done.stderr
    assert f"\nlabels: {labels}: {'NIST RTTM' if kind == 'rttm' else 'Kaldi segments'}\n" in done.stdout
    with np.load(tmp_path / "f.npz") as archive:
        assert len(archive["b"]) == 40
        check_equal(archive, {"b": extract(folder / "b.wav", speech=[(0.2, 0.5), (0.7, 0.8)])})


def test_labels_of_other_channels_do_not_count(tmp_path):
    write(tmp_path / "two.wav", np.column_stack([voice(seed=1), voice(seed=2)]))
    (tmp_path / "l.rttm").write_text(
        "SPEAKER two 1 0.2 0.3 <NA> <NA> a <NA> <NA>\nSPEAKER two 2 0.6 0.2 <NA> <NA> b <NA> <NA>\n"
    )
    for channel, n_frames in (("0", 30), ("1", 20), ("mean", 50)):
        arguments = ("--out", tmp_path / "f.npy", "--labels", tmp_path / "l.rttm", "--channel", channel)
        assert features(tmp_path / "two.wav", *arguments).exit_code == 0
        assert len(np.load(tmp_path / "f.npy")) == n_frames
    done = features(tmp_path / "two.wav", "--out", tmp_path / "f.npy", "--labels", tmp_path / "l.rttm")
    check_refused(done, "l.rttm:2: two has channels 1 and 2; choose one", tmp_path)


def test_a_label_that_may_be_of_two_recordings_is_refused(tmp_path):
    for name in ("a/x.wav", "b/x.wav"):
        write(tmp_path / "in" / name, voice())
    (tmp_path / "l.rttm").write_text("SPEAKER x 1 0.2 0.3 <NA> <NA> a <NA> <NA>\n")
    done = features(tmp_path / "in", "--out", tmp_path / "f.npz", "--labels", tmp_path / "l.rttm")
    check_refused(done, "l.rttm: x may be any of 2 recordings; expected ids: a/x", tmp_path)


def one_second(path, name):
    """A second of speech of a recording, from 0.2 s on, in the format of a name."""
    text = {
        ".rttm": f"SPEAKER {name} 1 0.2 1.0 <NA> <NA> Ann B\n",
        ".lbl": "0.2 1.2 speech\n1.2 1.4 silence\n",
        ".lab": "2000000 12000000 ann\n12000000 14000000 sil\n",
        ".txt": "0.2\t1.2\t\n1.2\t1.4\tMusic\n",
        ".ctm": f"{name} 1 0.2 0.5 yes\n{name} 1 0.7 0.5 <unk>\n{name} 1 1.2 0.2 <eps>\n",
        ".segments": f"u1 {name} 0.2 0.7 A\nu2 {name} 0.7 1.2 A\n",
        ".TextGrid": 'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n1.5\n<exists>\n1\n"IntervalTier"\n'
        '"speech"\n0\n1.5\n3\n0\n0.2\n""\n0.2\n1.2\n"ann"\n1.2\n1.5\n"silence"\n',
    }[path.suffix]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


LABEL_SUFFIXES = (".rttm", ".lbl", ".lab", ".txt", ".ctm", ".segments", ".TextGrid")


@pytest.mark.parametrize("suffix", LABEL_SUFFIXES)
def test_labels_of_every_format_mark_the_same_speech(tmp_path, suffix):
    for name in ("a", "b"):
        write(tmp_path / "in" / "deep" / f"{name}.wav", voice(1.5, seed=3))
        one_second(tmp_path / "labels" / "x" / f"{name}{suffix}", name)
    wanted = extract(tmp_path / "in" / "deep" / "a.wav", speech=[(0.2, 1.2)])
    assert len(wanted) == 100
    done = features(tmp_path / "in" / "deep" / "a.wav", "--out", tmp_path / "f.npy", "--labels",
                    one_second(tmp_path / f"other name{suffix}", "a"))  # fmt: skip
    assert done.exit_code == 0
    np.testing.assert_array_equal(np.load(tmp_path / "f.npy"), wanted)
    done = features(tmp_path / "in", "--out", tmp_path / "f.npz", "--labels", tmp_path / "labels")
    assert done.exit_code == 0
    with np.load(tmp_path / "f.npz") as archive:
        check_equal(archive, {"deep/a": wanted, "deep/b": wanted})
    assert f"\nlabels: {tmp_path}/labels: 2 of " in done.stdout


@pytest.mark.parametrize(
    "name", ["alize.lbl", "audacity.txt", "channel.segments", "eight_fields.rttm", "name_with_space.rttm"]
)
def test_the_cases_of_labels_hold_one_second(tmp_path, name):
    audio, labels = case("base.wav"), case("20_labels") / name
    assert features(audio, "--out", tmp_path / "f.npy", "--labels", labels).exit_code == 0
    assert len(np.load(tmp_path / "f.npy")) == 100


def test_what_labels_were_taken_for_is_printed(tmp_path):
    write(tmp_path / "a.wav", voice(1.5))
    (tmp_path / "a.txt").write_text("".join(f"{n / 10}\t{n / 10 + 0.1}\tw{n}\n" for n in range(8)) + "1\t2\tNoise\n")
    done = features(tmp_path / "a.wav", "--out", tmp_path / "f.npy", "--labels", tmp_path / "a.txt")
    assert done.stdout.endswith(
        f"labels: {tmp_path}/a.txt: Audacity labels; speech: w0, w1, w2, w3, w4 and 3 others; not speech: Noise\n"
    )


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"l.lbl": "0 1 a"}, "l.lbl: ALIZE labels of one recording, and none of 2 is called l; expected a folder of"),
        (
            {"f/c.lbl": "0 1 a"},
            "f: no labels of these recordings among 1 file: 1 .lbl (c.lbl); expected names such as a.l",
        ),
        ({"f/a.lbl": "0 1 a", "f/a.lab": "0 1 a"}, "f: a has labels in f/a.lab and in f/a.lbl; expected one"),
        ({"f/x/a.lbl": "0 1 a", "f/y/a.lbl": "0 1 a"}, "f: labels of x/a and y/a may be of a; expected one of them"),
        ({"f/a.lbl": "0 1 a", "f/b.txt": "some words"}, "f/b.txt:1: 'some words'; expected a line of NIST RTTM"),
    ],
)
def test_labels_that_fit_no_recording_or_several_are_refused(tmp_path, monkeypatch, files, message):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        write(tmp_path / "in" / f"{name}.wav", voice())
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    done = features("in/a.wav", "in/b.wav", "--out", "f.npz", "--labels", next(iter(files)).split("/")[0])
    check_refused(done, message, tmp_path)


def test_labels_in_other_units_and_without_speech_are_listed(tmp_path):
    for name in ("a", "b", "c"):
        write(tmp_path / "in" / f"{name}.wav", voice())
    for name, text in {"a": "0 16000 a", "b": "0 1 silence", "c": "0 1.5 ann"}.items():
        (tmp_path / f"{name}.lab").write_text(text)
    done = features(tmp_path / "in", "--out", tmp_path / "f.npz", "--labels", tmp_path)
    assert done.exit_code == 3
    assert f"in/a.wav: {tmp_path} has labels up to 16,000 s, and the recording is 1 s long; expected" in done.stderr
    assert f"in/b.wav: no speech in {tmp_path}\n" in done.stderr
    assert [name for name, _ in read_features(tmp_path / "f.npz")] == ["c"]


def test_segments_of_a_kaldi_directory_are_entries(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    two = write(tmp_path / "in" / "two.wav", np.column_stack([voice(3.0, seed=1), voice(3.0, seed=2)]))
    one = write(tmp_path / "in" / "one.wav", voice(2.0, seed=3))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "wav.scp").write_text("r2 in/two.wav\nr1 in/one.wav\n")
    (tmp_path / "data" / "segments").write_text("a-1 r2 0.0 1.0 A\na-2 r2 1.0 -1 1\nb-1 r1 0.5 2.3\nb-2 r1 1 9\n")
    done = features("data", "--out", "f.ark")
    assert done.exit_code == 3
    assert (
        "error: 1 of 4 recordings could not be used:\n  b-2 of in/one.wav: has no segment from 1 s to 9 s"
        in done.stderr
    )
    wanted = {
        "a-1": extract(two, channel=0, stop=1.0),
        "a-2": extract(two, channel=1, start=1.0),
        "b-1": extract(one, start=0.5),  # Kaldi forgives segments that end half a second late
    }
    check_equal(kaldiio.load_scp("f.scp"), wanted)
    (tmp_path / "data" / "segments").write_text("a-1 r1 0.0 1.0\na-2 r1 1.2 2.0\n")
    done = features("data", "--out", "g.ark", "--labels", "data/segments", "--channel", "mean")
    assert "  in/two.wav: no labels in data/segments\n" in done.stderr
    check_equal(kaldiio.load_scp("g.scp"), {"r1": extract(one, speech=[(0.0, 1.0), (1.2, 2.0)])})


def test_paths_of_a_kaldi_directory_may_start_above_it(tmp_path, monkeypatch):
    path = write(tmp_path / "corpus" / "in" / "x.wav", voice())
    data = tmp_path / "corpus" / "data" / "train"
    data.mkdir(parents=True)
    (data / "wav.scp").write_text(f"u1 in/x.wav\nu2 {path}\n")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    done = features("../corpus/data/train", "--out", "f.npz")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.endswith(f"note: ../corpus/data/train/wav.scp: 1 of its paths start at {tmp_path}/corpus\n")
    with np.load("f.npz") as archive:
        check_equal(archive, {"u1": extract(path), "u2": extract(path)})
    monkeypatch.chdir(tmp_path / "corpus")
    assert "note" not in features("data/train", "--out", "f.npz").stdout


def test_the_case_of_segments_gives_both(tmp_path, monkeypatch):
    data = case("23_segments") / "data"
    monkeypatch.chdir(data.parent.parent)
    assert features(data, "--out", tmp_path / "f.npz").exit_code == 0
    with np.load(tmp_path / "f.npz") as archive:
        check_equal(archive, {"a-1": extract("base.wav", stop=1.0), "a-2": extract("base.wav", start=1.0)})


# Each of sox's options makes the file that the other program's name of the format says.
RAW = {
    "u8": ("-e", "unsigned", "-b", "8"),
    "s8": ("-e", "signed", "-b", "8"),
    "s16le": ("-e", "signed", "-b", "16", "-L"),
    "s16be": ("-e", "signed", "-b", "16", "-B"),
    "s24le": ("-e", "signed", "-b", "24", "-L"),
    "s24be": ("-e", "signed", "-b", "24", "-B"),
    "s32le": ("-e", "signed", "-b", "32", "-L"),
    "s32be": ("-e", "signed", "-b", "32", "-B"),
    "f32le": ("-e", "float", "-b", "32", "-L"),
    "f32be": ("-e", "float", "-b", "32", "-B"),
    "f64le": ("-e", "float", "-b", "64", "-L"),
    "f64be": ("-e", "float", "-b", "64", "-B"),
    "mulaw": ("-e", "mu-law"),
    "alaw": ("-e", "a-law"),
}


@pytest.mark.skipif(shutil.which("sox") is None, reason="needs sox")
@pytest.mark.parametrize("name", RAW)
def test_files_without_a_header_are_read_as_sox_writes_them(tmp_path, name):
    wide = name[1:3] in ("24", "32", "64")
    stereo = write(tmp_path / "s.wav", np.column_stack([voice(seed=1), voice(seed=2)]), subtype="PCM_16")
    path = tmp_path / "s.raw"
    subprocess.run(["sox", "-D", stereo, "-t", "raw", *RAW[name], path], check=True, capture_output=True)
    out = tmp_path / "f.npy"
    done = features(path, "--out", out, "--raw", f"16000,2,{name}", "--channel", "1", "--set", "vad.method=none")
    assert (done.exit_code, done.stderr) == (0, "")
    config = FeatureConfig(vad={"method": "none"})
    if wide or name.startswith("s16"):
        np.testing.assert_array_equal(np.load(out), extract(stereo, config, channel=1))
    else:
        back = tmp_path / "back.wav"
        command = ["sox", "-t", "raw", "-r", "16000", "-c", "2", *RAW[name], path, "-b", "16", back]
        subprocess.run(command, check=True, capture_output=True)
        np.testing.assert_allclose(np.load(out), extract(back, config, channel=1), atol=0.02)


def test_the_format_without_a_header_is_for_files_that_have_none(folder, tmp_path):
    samples, _ = soundfile.read(folder / "b.wav", dtype="int16")
    for name in ("c.raw", "d.PCM"):
        (folder / name).write_bytes(samples.tobytes())
    done = features(folder, "--out", tmp_path / "f.npz", "--raw", "16000")
    assert (done.exit_code, done.stderr) == (0, "")
    assert f"note: {folder}: left out, because of their names: 1 .txt (notes.txt)\n" in done.stdout
    wanted = expected(folder)
    with np.load(tmp_path / "f.npz") as archive:
        check_equal(archive, {**wanted, "c": wanted["b"], "d": wanted["b"]})
    done = features(folder, "--out", tmp_path / "f.npz")
    assert f"note: {folder}: left out, because of their names: 1 .pcm (d.PCM), 1 .raw (c.raw), 1 .txt" in done.stdout
    assert done.stdout.endswith("; --raw RATE,CHANNELS,FORMAT reads those without a header\n")
    (folder / "odd.txt").write_bytes(samples.tobytes())
    assert features(folder / "odd.txt", "--out", tmp_path / "f.npy", "--raw", "16000,1").exit_code == 0
    np.testing.assert_array_equal(np.load(tmp_path / "f.npy"), wanted["b"])


def test_a_file_without_a_header_is_plotted(tmp_path):
    (tmp_path / "a.raw").write_bytes((voice() * 2**15).astype("<i2").tobytes())
    done = features("--plot", tmp_path / "a.raw", "--out", tmp_path / "p.svg", "--raw", "16000,1,s16le")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{tmp_path}/p.svg: 1.00 s of audio, ")


def test_the_case_without_a_header_has_48000_samples(tmp_path):
    arguments = ("--raw", "16000,1,s16le", "--set", "vad.method=none", "--set", "snip_edges=true")
    assert features(case("24_headerless.raw"), "--out", tmp_path / "f.npy", *arguments).exit_code == 0
    assert len(np.load(tmp_path / "f.npy")) == 1 + (48000 - 400) // 160


def test_copies_in_other_formats_are_read_and_counted(tmp_path):
    for name in ("a.wav", "a.flac", "b.wav", "c/a.wav"):
        write(tmp_path / "in" / name, voice())
    done = features(tmp_path / "in", "--out", tmp_path / "f.npz")
    assert f"note: {tmp_path}/in: 1 recording in several formats, as a.flac and a.wav; each file is read" in done.stdout
    assert sorted(np.load(tmp_path / "f.npz")) == ["a.flac", "a.wav", "b", "c/a"]


def test_audio_of_a_kind_that_cannot_be_read_is_listed(tmp_path):
    write(tmp_path / "in" / "a.wav", voice())
    for name in ("b.m4a", "c.webm", "d.AMR", "e.json", "f.json"):
        (tmp_path / "in" / name).write_bytes(bytes(100))
    done = features(tmp_path / "in", "--out", tmp_path / "f.npz")
    assert done.exit_code == 3
    assert done.stderr.startswith("error: 3 of 4 recordings could not be used:\n")
    for name in ("b.m4a", "c.webm", "d.AMR"):
        assert f"  {tmp_path}/in/{name}: not readable" in done.stderr
    assert f"note: {tmp_path}/in: left out, because of their names: 2 .json\n" in done.stdout


def test_many_recordings_of_one_reason_are_one_line(tmp_path):
    for number in range(7):
        write(tmp_path / "in" / f"s{number}.wav", np.column_stack([voice(), voice()]))
    for number in range(5):
        write(tmp_path / "in" / f"n{number}.wav", voice(rate=8000), 8000)
    write(tmp_path / "in" / "good.wav", voice())
    done = features(tmp_path / "in", "--out", tmp_path / "f.npz")
    title, *lines = done.stderr.splitlines()
    assert title == "error: 12 of 13 recordings could not be used:"
    assert [line.split(": ", 1)[0] for line in lines] == [
        *(f"  {tmp_path}/in/n{number}.wav" for number in range(5)),
        f"  7 recordings, such as {tmp_path}/in/s0.wav",
    ]
    assert lines[-1].split(": ", 1)[1].startswith("2 channels; expected a mono file")


def test_odd_files_are_warned_of_and_grouped(tmp_path, monkeypatch):
    def open_with_warnings(folder):
        store = open_store(folder)
        odd = [replace(each, warnings=("its header was never finished",)) for each in store.utterances]
        odd[-1] = replace(odd[-1], warnings=("more follows after its end",))
        return replace(store, utterances=tuple(odd))

    for number in range(8):
        write(tmp_path / "in" / f"{number}.wav", voice())
    monkeypatch.setattr("speechgmm.features.store.store.open_store", open_with_warnings)
    done = features(tmp_path / "in", "--out", tmp_path / "f.npz")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1:] == [
        "warning: 7 recordings, such as 0: its header was never finished",
        "warning: 7: more follows after its end",
    ]


def test_names_that_cannot_be_printed_are_written_as_in_an_address(tmp_path):
    for name in (b"a\nb.wav", b"lat\xe9.wav", "\u00fc \u4e2d.wav".encode()):
        write(tmp_path / "plain.wav", voice())
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "plain.wav").rename(tmp_path / "in" / os.fsdecode(name))
    done = features(tmp_path / "in", "--out", tmp_path / "f.npz")
    assert done.exit_code == 3
    assert "lat\\udce9.wav: not readable: its name is not UTF-8 text" in done.stderr
    with np.load(tmp_path / "f.npz") as archive:
        assert sorted(archive) == ["a%0Ab", "\u00fc \u4e2d"]


def test_a_configuration_comes_from_a_file_a_preset_and_overrides(folder, tmp_path):
    section = tmp_path / "mine.yaml"
    section.write_text("base: kaldi\nn_cepstra: 20\nvad: {method: percentile}\n")
    config = FeatureConfig.preset("kaldi", n_cepstra=20, vad={"method": "percentile"}, energy="c0")
    done = features(folder, "--out", tmp_path / "f.npz", "--config", section, "--set", "energy=c0")
    assert done.exit_code == 0
    with np.load(tmp_path / "f.npz") as archive:
        check_equal(archive, expected(folder, config))


def test_an_existing_file_is_there_until_the_new_one_is_complete(folder, tmp_path, monkeypatch):
    path = tmp_path / "f.npz"
    path.write_text("mine")

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("speechgmm.features.store.store.FeatureStore.blocks", interrupt)
    done = features(folder, "--out", path)
    check_refused(done, "interrupted; nothing is written", tmp_path, status=130)
    assert path.read_text() == "mine"


@pytest.mark.parametrize("signal_", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)])
def test_a_request_to_end_leaves_nothing_behind(tmp_path, signal_):
    write(tmp_path / "in" / "0.wav", voice(600))
    for number in range(1, 50):
        (tmp_path / "in" / f"{number}.wav").symlink_to("0.wav")
    command = [sys.executable, "-m", "speechgmm", "features", "in", "--out", "f.npz", "--jobs", "2"]
    started = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob(".writing-*/store/shard-*.npy")):
        assert started.poll() is None
        time.sleep(0.05)
    started.send_signal(signal_)
    _, message = started.communicate()
    assert (started.returncode, message) == (130, "error: interrupted; nothing is written\n")
    assert names(tmp_path) == ["in"]


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_a_plot_is_drawn_and_the_same_again(tmp_path, suffix):
    for name in ("a", "b"):
        done = features("--plot", SPEECH, "--out", tmp_path / f"{name}{suffix}")
        assert (done.exit_code, done.stderr) == (0, "")
        frames = extract(SPEECH)
        assert done.stdout == (
            f"{tmp_path}/{name}{suffix}: 7.10 s of audio, {len(frames) / 100:.2f} s of speech: "
            f"{len(frames)} frames of 72 features\n"
        )
    first, second = ((tmp_path / f"{name}{suffix}").read_bytes() for name in ("a", "b"))
    assert first == second
    if suffix == ".svg":
        for text in ("a16k.wav: 7.10 s at 16,000 Hz", "72 features", "time, s", "after normalisation", "kHz"):
            assert text in first.decode()


def test_a_plot_goes_by_default_into_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "in" / "näme $x$.wav", np.stack([voice(), voice()], axis=1))
    arguments = ["--plot", path, "--config", "librosa", "--set", "sample_rate=16000", "--channel", "1"]
    assert features(*arguments).exit_code == 0
    assert matplotlib.image.imread("näme $x$.png").shape[2] == 4
    assert names(tmp_path) == ["in", "näme $x$.png"]


@pytest.mark.parametrize(
    "sets",
    [
        ["kind=logmel", "normalisation={mean: 1, variance: true, window: 150}"],
        ["kind=spectrogram", "deltas={order: 0}", "snip_edges=true"],
        ["deltas={order: 0, sdc: {n: 7}}", "order=[selection, deltas, normalisation]"],
        ["resample=true", "sample_rate=8000", "high_frequency=3800", "normalisation={warp: 101, mean: 0, rasta: true}"],
        ["frame_length=1.0", "frame_shift=0.1", "n_fft=65536", "vad.method=none"],
    ],
)
def test_a_plot_is_drawn_of_every_kind(tmp_path, sets):
    arguments = [each for pair in sets for each in ("--set", pair)]
    path = write(tmp_path / "x.wav", voice(40))
    done = features("--plot", path, "--out", tmp_path / "p.svg", *arguments)
    assert (done.exit_code, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["p.jpg"], "p.jpg: suffix '.jpg'; plots are written to .png, .svg, .pdf"),
        (["p.png", "--labels", "l.rttm"], "plots one file, and without labels"),
        (["p.png", "other.wav"], "plots one file, and without labels"),
    ],
)
def test_a_plot_that_cannot_be_is_one_message(tmp_path, arguments, message):
    check_refused(features("--plot", SPEECH, "--out", *arguments), message, tmp_path)
    done = features("--plot", tmp_path / "none.wav", "--out", tmp_path / "p.png")
    check_refused(done, f"{tmp_path}/none.wav: no such audio file", tmp_path)


def test_help_is_quick_and_says_what_there_is():
    done = subprocess.run([sys.executable, "-X", "importtime", "-m", "speechgmm", "features", "--help"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert not {"numpy", "scipy", "matplotlib"} & {line.rsplit("|")[-1].strip() for line in done.stderr.splitlines()}
    for word in (".ark", "--config", "--labels", "--plot", "feature store"):
        assert word in done.stdout
