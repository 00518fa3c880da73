"""Inputs as people really have them: each row of the cases' table gives its right value or message."""

import json
import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from helpers.cases import CASES, case
from helpers.commands import message_of, speechgmm
from speechgmm import extract, open_store, read_audio, read_features
from speechgmm.audio.reading import duration
from speechgmm.errors import AudioError, AudioWarning
from speechgmm.recipe.reading.loader import load_recipe

README = (CASES / "README.md").read_text(encoding="utf-8") if CASES.is_dir() else ""
ROWS = [re.findall(r"`([\w./*]+?)/?`", row)[0] for row in README.splitlines() if row.startswith("| `")]

EER = 7 / 30
"""Equal error rate of all scores: 23.33 %."""


def length(path, match=None):
    """Return the samples of a file; a warning must match, and none may come where none is expected."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        samples, rate = read_audio(path)
    assert [True for each in caught if issubclass(each.category, AudioWarning)] == ([True] if match else [])
    assert all(re.search(match, str(each.message)) for each in caught)
    assert duration(path) == len(samples) / rate
    return len(samples)


def features_of(folder, *paths, out="features", status=0, options=()):
    """Extract features of all frames; return them by id, and what the command printed."""
    done = speechgmm("features", *paths, "--out", folder / out, "--config", "kaldi", *options)
    assert done.exit_code == status, done.output
    store = open_store(folder / out) if (folder / out).exists() else None
    return {each.utterance: store.frames(each.utterance) for each in store.utterances} if store else {}, done


def first_recipe(folder, place):
    """Write a recipe for a folder or table; return it with its corpus, and what the command printed."""
    done = speechgmm("init", place, "--out", folder / "mine.yaml")
    assert done.exit_code in (0, 3), done.output
    return load_recipe(folder / "mine.yaml"), done


def corpus_of(recipe):
    from speechgmm.corpus.reading import read_corpus

    return read_corpus(recipe.corpus)


def speakers(corpus):
    return {each.speaker for role in ("background", "enrol", "test") for each in corpus.role(role)}


def recordings(corpus):
    return {each.path for role in ("background", "enrol", "test") for each in corpus.role(role)}


def vbr_without_length_tag(path, tmp_path):
    assert length(path) == 49536


def two_mp3_joined(path, tmp_path):
    assert length(path, "2 recordings were joined end to end") == 96000  # each without what its encoder added


def sets_of_speakers(path, tmp_path):
    recipe, done = first_recipe(tmp_path, path)
    corpus = corpus_of(recipe)
    assert speakers(corpus) == {"alice", "bob", "carol"}
    assert {Path(each.path).parts[-3] for each in corpus.enrol} == {"train"}
    assert {Path(each.path).parts[-3] for each in corpus.test} == {"test"}
    assert "alice, bob, carol" in done.output


def timit_with_copies(path, tmp_path):
    recipe, done = first_recipe(tmp_path, path)
    assert recipe.corpus.kind == "timit"
    assert {"FCJF0", "MDAB0", "FELC0", "MREB0"} >= speakers(corpus_of(recipe))
    assert "SA1.WAV.wav" in done.output


def tsv_quote_marks(path, tmp_path):
    corpus = corpus_of(first_recipe(tmp_path, path)[0])
    assert speakers(corpus) <= {"aaaa", "bbbb", "cccc"}
    done = speechgmm("init", path / "validated.tsv", "--out", tmp_path / "other.yaml")
    assert "3 speakers" in done.output
    assert re.search(r"\b9 at 8000 Hz", done.output)


def link_to_clips(path, tmp_path):
    shutil.copytree(path, tmp_path / "copy", symlinks=True)
    link = tmp_path / "copy" / "table" / "clips"
    if not link.is_symlink():  # the cases were copied by something that does not know links
        place = link.read_text() if link.is_file() else "../other_disk/clips"
        shutil.rmtree(link) if link.is_dir() else link.unlink()
        link.symlink_to(place)
    table = tmp_path / "copy" / "table" / "validated.tsv"
    recipe, done = first_recipe(tmp_path, table)
    assert "3 speakers" in done.output
    assert len(recordings(corpus_of(recipe))) == 9
    done = speechgmm("check", tmp_path / "mine.yaml")
    assert "missing" not in done.output


def segments_without_id(path, tmp_path):
    from speechgmm.corpus.formats.tables import ColumnsConfig, read_utterances
    from speechgmm.corpus.problems import Problems

    problems = Problems()
    (utterances,) = read_utterances(path, path.parent, ColumnsConfig(), problems).values()
    problems.check()
    assert [(each.speaker, each.start, each.end) for each in utterances] == [
        ("A", 0, 0.7),
        ("B", 0.7, 1.4),
        ("A", 1.4, 2.1),
        ("B", 2.1, 2.8),
    ]
    assert len({each.id for each in utterances}) == 4


def unfinished(path, tmp_path):
    assert length(path, "the header was never finished") == 48000


def data_size_0(path, tmp_path):
    for name in ("11_data_size_0.wav", "11_data_size_0.au", "11_ffmpeg_pipe_rf64.wav"):
        unfinished(case(name), tmp_path)
    _, done = features_of(tmp_path, case("11_data_size_0.wav"))
    assert "never finished" in done.output


def size_with_header(path, tmp_path):
    assert length(path, "announces 44 bytes more than there are") == 48000


def last_page_unmarked(path, tmp_path):
    assert length(path, "last page is not marked") == 48000


def float_in_16_bit_units(path, tmp_path):
    import soundfile

    message = r"samples up to 16457; expected full scale at 1; they look like 16-bit integers: divide them by 32768"
    with pytest.raises(AudioError, match=message):
        extract(path)
    with pytest.raises(AudioError, match=message):
        extract(soundfile.read(path)[0])


def folder_with_m4a(path, tmp_path):
    frames, _ = features_of(tmp_path, path)
    assert set(frames) == {"a", "b", "c"}
    assert abs(len(frames["b"]) - 298) <= 3
    assert abs(len(frames["c"]) - 298) <= 3


def scores(path, tmp_path):
    for name, key in (
        ("kaldi.scores", "trials"),
        ("wespeaker.score", "trials"),
        ("speechbrain.txt", "trials"),
        ("nist_sre18.tsv", "nist_sre18_key.tsv"),
    ):
        done = speechgmm("evaluate", path / name, path / key, "--json", "--bootstrap", 0)
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["trials"]["eer"] == pytest.approx(EER), name


def distances(path, tmp_path):
    done = speechgmm("evaluate", path, path.parent / "trials", "--bootstrap", 0)
    assert done.exit_code == 0
    assert "AUC" in done.output
    assert "--distances" in done.output
    turned = speechgmm("evaluate", path, path.parent / "trials", "--json", "--bootstrap", 0, "--distances")
    assert json.loads(turned.stdout)["trials"]["eer"] == pytest.approx(EER)


def sidekit(path, tmp_path):
    frames = dict(read_features(path))
    assert frames["s1/cep"].shape == (20, 4)


def labels(path, tmp_path):
    for each in sorted(path.iterdir()):
        frames, done = features_of(tmp_path, case("base.wav"), out=each.stem, options=("--labels", each))
        assert abs(len(next(iter(frames.values()))) - 100) <= 1, (each.name, done.output)


def wav_in_ark(path, tmp_path, monkeypatch):
    monkeypatch.chdir(path.parent)
    frames, _ = features_of(tmp_path, path / "data")
    assert [len(frames[name]) for name in ("rec0", "rec1")] == [298, 298]


def segments(path, tmp_path, monkeypatch):
    monkeypatch.chdir(path.parent)
    frames, _ = features_of(tmp_path, path / "data")
    assert {name: len(each) for name, each in frames.items()} == {"a-1": 98, "a-2": 198}


def headerless(path, tmp_path):
    _, done = features_of(tmp_path, path, status=3)
    assert "--raw" in message_of(done)
    frames, _ = features_of(tmp_path, path, options=("--raw", "16000,1,s16le"))
    assert len(frames["24_headerless"]) == 298


RIGHT = {
    "01_vbr_without_xing.mp3": vbr_without_length_tag,
    "02_two_mp3_joined.mp3": two_mp3_joined,
    "04_sets_of_speakers": sets_of_speakers,
    "05_timit_with_copies": timit_with_copies,
    "06_tsv_quote_marks": tsv_quote_marks,
    "08_link_to_clips/table": link_to_clips,
    "09_segments_without_id.csv": segments_without_id,
    "10_ffmpeg_pipe.w64": unfinished,
    "11_data_size_0.*": data_size_0,
    "12_size_with_header.wav": size_with_header,
    "13_last_page_unmarked.ogg": last_page_unmarked,
    "14_float_in_16_bit_units.wav": float_in_16_bit_units,
    "15_folder_with_m4a": folder_with_m4a,
    "17_scores": scores,
    "17_scores/distances": distances,
    "19_sidekit.h5": sidekit,
    "20_labels": labels,
    "22_wav_in_ark": wav_in_ark,
    "23_segments": segments,
    "24_headerless.raw": headerless,
}
"""The checks by row of the table."""


@pytest.mark.parametrize("row", ROWS or ["the cases"])
def test_a_row_of_the_table_gives_its_right_value(row, tmp_path, monkeypatch):
    path = case(row.removesuffix("/table"))
    check = RIGHT[row]
    check(path, tmp_path, monkeypatch) if "monkeypatch" in check.__code__.co_varnames else check(path, tmp_path)


def test_every_row_has_a_check():
    case("README.md")
    assert set(ROWS) == set(RIGHT)
    assert np.isclose(EER, 0.2333, atol=1e-4)
