"""One recording under several names, found in lists and among files."""

import hashlib
from itertools import combinations

import pytest

from speechgmm.corpus.formats.folders import FolderConfig
from speechgmm.corpus.formats.kaldi import KaldiConfig
from speechgmm.corpus.formats.tables import CsvConfig
from speechgmm.corpus.manifest import Corpus, Trial, Utterance
from speechgmm.corpus.shared_recordings import MIDDLE_BYTES, find_shared, name_shared, same_files, speakers_of


def corpus_of(background=(), enrol=(), test=(), compared=()):
    """A corpus of (id, speaker, path) and of models in enrolment; an own trial where nothing else is compared."""
    compared = compared or [(enrol[0][1], test[0][0])]
    trials = tuple(Trial(model, name, target=True) for model, name in compared)
    roles = (tuple(Utterance(*each[:3], model=next(iter(each[3:]), None)) for each in role)
             for role in (background, enrol, test))  # fmt: skip
    return Corpus(*roles, {"t": trials})


def shared(corpus):
    found = find_shared(corpus, lambda utterance: utterance.path)
    names = ([[f"{role} {each.id}" for role, each in group] for group in groups] for groups in (
        found.tested, found.of_speakers, found.repeated))  # fmt: skip
    return dict(zip(("tested", "speakers", "repeated"), names, strict=True))


OTHERS = {"enrol": [("e", "ann", "1"), ("f", "bob", "2")], "test": [("t", "ann", "3"), ("u", "bob", "4")]}


def test_nothing_is_found_where_all_recordings_differ():
    assert shared(corpus_of([("b", "x", "0")], **OTHERS)) == {"tested": [], "speakers": [], "repeated": []}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"test": [("t", "ann", "1")]}, {"tested": [["enrol e", "test t"]]}),
        ({"test": [("t", "ann", "3"), ("u", "ann", "1")]}, {}),  # it is in no trial
        ({"test": [("t", "bob", "1")]}, {"tested": [["enrol e", "test t"]], "speakers": [["enrol e", "test t"]]}),
        ({"background": [("b", "ann", "1")]}, {}),  # the speaker is warned of
        ({"background": [("b", "x", "1")]}, {"speakers": [["background b", "enrol e"]]}),
        ({"background": [("b", "x", "0"), ("c", "x", "0")]}, {"repeated": [["background b", "background c"]]}),
        ({"enrol": [("e", "ann", "1"), ("f", "ann", "1")]}, {"repeated": [["enrol e", "enrol f"]]}),
        ({"enrol": [("e", "ann", "1"), ("f", "ann", "1", "ann-long")]}, {}),  # it enrols two models
    ],
)
def test_the_roles_speakers_and_trials_decide_what_is_wrong(changes, expected):
    assert shared(corpus_of(**(OTHERS | changes))) == {"tested": [], "speakers": [], "repeated": []} | expected


def test_each_trial_against_the_own_enrolment_is_a_case():
    enrol = [("e", "ann", "1"), ("f", "ann", "1", "phone"), ("g", "ann", "2", "other")]
    compared = [("ann", "t"), ("phone", "t"), ("other", "t")]
    found = find_shared(corpus_of(enrol=enrol, test=[("t", "ann", "1")], compared=compared), lambda each: each.path)
    assert [[each.id for _, each in pair] for pair in found.tested] == [["e", "t"], ["f", "t"]]
    assert name_shared(found.tested[0]) == "enrol e (1), test t (1)"
    assert speakers_of(found.tested[0]) == "ann"


@pytest.mark.parametrize(
    ("enrolled", "tested", "channels", "overlap"),
    [
        ((None, None), (1.0, 2.0), (None, None), True),
        ((0.0, 1.5), (1.0, 2.0), (None, None), True),
        ((0.0, 1.0), (1.0, 2.0), (None, None), False),
        ((3.0, None), (1.0, 2.0), (None, None), False),
        ((0.0, 1.5), (1.0, 2.0), (0, 1), False),
        ((1.0, 2.0), (1.0, 2.0), (None, None), False),  # it is the same segment
    ],
)
def test_segments_overlap_if_they_have_audio_in_common(enrolled, tested, channels, overlap):
    enrol = Utterance("e", "ann", "a.wav", start=enrolled[0], end=enrolled[1], channel=channels[0])
    test = Utterance("t", "ann", "a.wav", start=tested[0], end=tested[1], channel=channels[1])
    corpus = Corpus((), (enrol,), (test,), {"t": (Trial("ann", "t", target=True),)})
    assert bool(find_shared(corpus, lambda each: each.audio).overlapping) == overlap


def test_files_are_the_same_if_all_bytes_are(tmp_path, rng):
    """Against the digests of whole files."""
    noise = rng.bytes(5 * MIDDLE_BYTES)
    contents = {
        "a": noise, "copy": noise, "first": b"x" + noise[1:], "last": noise[:-1] + b"x", "longer": noise + b"x",
        "b": b"short", "c": b"short", "d": b"other", "empty": b"", "nothing": b"",
    }  # fmt: skip
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "link").symlink_to("b")
    (tmp_path / "folder").mkdir()
    files = [*contents, "link", "gone", "folder", "no\0file"]
    found = same_files(f"{tmp_path}/{name}" for name in files)
    contents["link"] = b"short"
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items() if content}
    for one, other in combinations(files, 2):
        first, second = (found.get(f"{tmp_path}/{name}", name) for name in (one, other))
        assert (first == second) == (digests.get(one, one) == digests.get(other, other)), (one, other)


def test_only_files_alike_in_size_and_middle_are_read_whole(tmp_path, rng, monkeypatch):
    read = []
    monkeypatch.setattr("speechgmm.corpus.shared_recordings.file_digest", lambda path: read.append(path.name) or "0")
    for number in range(20):
        (tmp_path / str(number)).write_bytes(rng.bytes(3 * MIDDLE_BYTES))
    (tmp_path / "twin").write_bytes((tmp_path / "7").read_bytes())
    assert len(same_files(map(str, tmp_path.iterdir()))) == 2
    assert sorted(read) == ["7", "twin"]


@pytest.mark.parametrize("config", [CsvConfig, KaldiConfig, FolderConfig])
def test_the_allowance_is_written_only_where_it_is_given(config):
    assert "allow_shared_recordings" not in config(root=".").model_dump(mode="json")
    allowed = config(root=".", allow_shared_recordings=True)
    assert config.model_validate(allowed.model_dump()) == allowed != config(root=".")
