"""Kaldi data directories and trial lists as people have them: which roles, which folder, which lists fit."""

from collections import Counter

import pytest

from speechgmm.corpus.formats.discovered_roles import likely_roles
from speechgmm.corpus.formats.discovered_trials import MAX_LISTS, find_trial_lists
from speechgmm.corpus.formats.discovery import discover
from speechgmm.corpus.formats.sets import SetContents, kind_of_set
from speechgmm.errors import CorpusError

TRIALS = "ann ann-0 target\nbob ann-0 nontarget\nbob bob-0 target\n"


def ids(*names, numbers=range(3)):
    return [f"{name}-{number}" for name in names for number in numbers]


def write_lists(folder, utterances, prefix, script="wav.scp", **files):
    """Write a data directory of utterances named SPEAKER-NUMBER."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / script).write_text("".join(f"{name} {prefix}{name}.wav\n" for name in utterances))
    (folder / "utt2spk").write_text("".join(f"{name} {name.partition('-')[0]}\n" for name in utterances))
    for name, text in files.items():
        (folder / name).write_text(text)


@pytest.fixture
def audio(tmp_path):
    """Files of four speakers in a folder beside the lists; the prefix of absolute paths to them."""
    folder = tmp_path / "audio"
    folder.mkdir()
    for name in ids("ann", "bob", "x", "y"):
        (folder / f"{name}.wav").touch()
    return f"{folder}/"


def roles(found):
    """Return the keys of a corpus section that name data directories."""
    return {key: value for key, value in found.keys.items() if key in ("background", "enrol", "test", "data")}


# Roles


@pytest.mark.parametrize(
    ("speakers", "folders"),
    [
        ({"train": "xyz", "test": "ab"}, {"background": "train", "data": "test"}),
        (
            {"voxceleb1_train": "xyz", "voxceleb1_test": "ab"},
            {"background": "voxceleb1_train", "data": "voxceleb1_test"},
        ),
        (
            {"sre_combined": "vwxyz", "small": "uv", "enroll": "ab", "eval": "ab"},
            {"background": "sre_combined", "enrol": "enroll", "test": "eval"},
        ),
        (
            {"t": "xyz", "dev_enroll": "mno", "dev_test": "mno", "eval_enroll": "ab", "eval_test": "ab"},
            {"background": "t", "enrol": "eval_enroll", "test": "eval_test"},
        ),
        ({"enroll": "ab", "test": "ab"}, {"background": None, "enrol": "enroll", "test": "test"}),
        ({"one": "ab", "two": "xyz"}, {"data": "two"}),
    ],
)
def test_names_and_speakers_of_data_directories_decide_their_roles(speakers, folders):
    contents = {
        name: SetContents(kind_of_set(name), Counter(those * (3 if name == "sre_combined" else 2)))
        for name, those in speakers.items()
    }
    assert next(each for each in likely_roles(contents) if not each.needs_trials).folders == folders


def test_tests_of_unknown_speakers_need_a_trial_list(tmp_path, audio):
    write_lists(tmp_path / "data" / "sre_combined", ids("x", "y"), audio)
    write_lists(tmp_path / "data" / "sre_enroll", ids("ann", "bob", numbers=(1, 2)), audio)
    write_lists(tmp_path / "data" / "sre_test", ids("ann", "bob", numbers=(0,)), audio, trials=TRIALS)
    (tmp_path / "data" / "sre_test" / "utt2spk").write_text("ann-0 ann-0\nbob-0 bob-0\n")
    found = discover(tmp_path / "data")
    assert roles(found) == {"background": "sre_combined", "enrol": "sre_enroll", "test": "sre_test"}
    assert found.keys["trials"] == ("sre_test/trials",)
    assert {role: len(those) for role, those in found.utterances.items()} == {"background": 6, "enrol": 4, "test": 2}
    (tmp_path / "data" / "sre_test" / "trials").unlink()
    assert "enrol" not in discover(tmp_path / "data").keys


def test_the_directory_that_a_trial_list_is_of_is_evaluated(tmp_path, audio):
    write_lists(tmp_path / "one", ids("ann", "bob"), audio)
    write_lists(tmp_path / "two", ids("x", "y", numbers=(0, 1, 2)), audio)
    (tmp_path / "one" / "keys.csv").write_text("modelid,segmentid,targettype\nann,ann-0,target\nbob,ann-0,nontarget\n")
    found = discover(tmp_path)
    assert roles(found) == {"background": "two", "data": "one"}
    assert {each.id for each in found.utterances["test"]} == {"ann-0"}


# Places


def test_lists_of_absolute_paths_may_be_anywhere(tmp_path, audio):
    for folder, names in (("train", "xy"), ("test", ("ann", "bob"))):
        write_lists(tmp_path / "lists" / folder, ids(*names), audio)
    for place in (tmp_path / "lists", tmp_path / "lists" / "test"):
        found = discover(place)
        assert found.root == place
        assert {each.path.rpartition("/")[0] + "/" for each in found.all_utterances} == {audio}
        assert "start at" not in found.how


def test_the_folder_that_paths_start_from_is_found_and_named(tmp_path, audio, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lists = tmp_path / "deep" / "lists"
    write_lists(lists, ids("ann", "bob"), "audio/")
    found = discover(lists)
    assert (found.root, found.keys["data"]) == (tmp_path, "deep/lists")
    assert f"paths in wav.scp start at {tmp_path}" in found.how
    write_lists(lists, ids("ann", "bob"), "")
    (lists / "inner").symlink_to(audio)
    found = discover(lists)
    assert found.root == lists / "inner"
    assert all((tmp_path / each.path).exists() for each in found.all_utterances)


def test_paths_that_start_from_different_folders_need_a_table(tmp_path):
    for folder, names in (("train", ids("x", "y")), ("test", ids("ann", "bob"))):
        write_lists(tmp_path / folder, names, "")
        for name in names:
            (tmp_path / folder / f"{name}.wav").touch()
    found = discover(tmp_path)
    assert found.needs_table
    assert {each.path for each in found.utterances[None]} == {
        f"{tmp_path}/test/{name}.wav" for name in ids("ann", "bob")
    }
    assert not discover(tmp_path / "test").needs_table


def test_a_list_whose_files_are_gone_is_named_with_its_line(tmp_path, audio):
    write_lists(tmp_path / "train", ids("x", "y"), "/gone/")
    with pytest.raises(CorpusError, match=r"train/wav\.scp:1: /gone/x-0\.wav: no such file$"):
        discover(tmp_path / "train")
    write_lists(tmp_path / "test", ids("ann", "bob"), audio)
    found = discover(tmp_path)
    assert roles(found) == {"data": "."}
    assert found.root == tmp_path / "test"
    assert "train: train/wav.scp:1: /gone/x-0.wav: no such file" in found.ignored


def test_a_list_without_speakers_is_named(tmp_path, audio):
    write_lists(tmp_path / "train", ids("x", "y"), audio)
    write_lists(tmp_path / "test", ids("ann", "bob"), audio)
    (tmp_path / "test" / "utt2spk").unlink()
    assert "test/wav.scp, because no utt2spk beside it says who speaks" in discover(tmp_path).ignored


def test_features_are_read_where_audio_cannot_be(tmp_path):
    for folder, names in (("train", ids("x", "y")), ("test", ids("ann", "bob"))):
        write_lists(tmp_path / folder, names, "ark/", "feats.scp")
        (tmp_path / folder / "wav.scp").write_text("".join(f"{name} sph2pipe {name}.sph |\n" for name in names))
        (tmp_path / folder / "vad.scp").touch()
    (tmp_path / "ark").mkdir()
    for name in ids("ann", "bob", "x", "y"):
        (tmp_path / "ark" / f"{name}.wav").touch()
    found = discover(tmp_path)
    assert found.has_features
    assert found.root == tmp_path
    assert found.doubts == ("vad.scp is not read: all frames of the features are taken as speech",)
    assert {each.path for each in found.utterances["background"]} == {
        f"{tmp_path}/ark/{name}.wav" for name in ids("x", "y")
    }


# Trial lists


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("trials", TRIALS),
        ("my_trials.txt", TRIALS),
        ("core.lst", TRIALS.replace("nontarget", "imp").replace("target", "tgt")),
        ("veri_test2.txt", "1 ann/1.wav ann/0.wav\n0 bob/1.wav ann/0.wav\n"),
        ("pairs.csv", "enroll,test,label\nann,ann/0,1\nbob,ann/0,0\n"),
        ("pairs", "ann,ann/0,1\nbob,ann/0,0\n"),
    ],
)
def test_trial_lists_beside_recordings_are_used_whatever_their_form(tmp_path, name, text):
    for path in ("ann/0", "ann/1", "bob/0", "bob/1", "x/0"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / f"{path}.wav").touch()
    (tmp_path / name).write_text(text.replace("-", "/"))
    (tmp_path / "notes.txt").write_text("She said yes\nThey say no\nfour more words here\n")
    found = discover(tmp_path)
    assert (found.kind, found.keys["trials"]) == ("folder", (name,))
    assert {each.speaker for each in found.utterances["background"]} == {"x"}
    assert "ann/0" in {each.id for each in found.utterances["test"]}
    assert found.how.endswith(f"; trials of {name}")


def test_why_a_trial_list_is_not_used_is_said(tmp_path, audio):
    write_lists(tmp_path / "enrol", ids("ann", "bob", numbers=(1, 2)), audio)
    write_lists(tmp_path / "test", ids("ann", "bob", numbers=(0,)), audio, trials=TRIALS)
    (tmp_path / "trials").write_text(f"{TRIALS}zoe ann-0 nontarget\n")
    (tmp_path / "other.trials").write_text("p q target\nr q nontarget\n")
    (tmp_path / "bad_trials.txt").write_text(f"{TRIALS}ann bob-0\nann\n")
    (tmp_path / "enrol" / "trials").write_text(TRIALS)
    found = discover(tmp_path)
    assert found.keys["trials"] == ("test/trials",)
    strange = "zoe (line 4: zoe ann-0); list them, or leave out their trials"
    expected = "a model, a test utterance and a label: target or nontarget, tgt or imp, 1 or 0"
    assert found.ignored[1:] == (
        f"trials: 1 of 4 trials are of models or tests that are not listed: {strange}",
        "other.trials: its trials are of other models or tests",
        f"bad_trials.txt:4: 'ann bob-0'; expected {expected}, and 1 more problem",
        "enrol/trials: called trials in results, as test/trials is",
    )


def test_more_trial_lists_than_are_read_are_counted(tmp_path, audio):
    write_lists(tmp_path, ids("ann", "bob"), audio)
    for number in range(MAX_LISTS + 1):
        (tmp_path / f"trials{number:02}").write_text(TRIALS)
    found = discover(tmp_path)
    assert len(found.keys["trials"]) == MAX_LISTS
    assert f"1 more trial list: trials{MAX_LISTS}" in found.ignored


def test_files_of_other_words_are_no_trial_lists(tmp_path):
    texts = {
        "text": "a-1 oh yes\na-2 oh no\n",
        "one.txt": "oh well yes\n",
        "scores.txt": "ann ann-0 1.5\nbob ann-0 0.2\n",
        "table.csv": "path,speaker\na.wav,ann\n",
        "trials.py": TRIALS,
        "binary": "\0\xff",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="latin-1")
    assert find_trial_lists(tmp_path, texts) == []
