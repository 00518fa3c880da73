"""How recordings are found: folders with sets above the speakers, known layouts among other files, lists and tables."""

from collections import Counter
from itertools import product

import pytest

from helpers.cases import case
from speechgmm.corpus.formats.discovery import discover
from speechgmm.corpus.formats.folders import FolderConfig, TimitConfig
from speechgmm.corpus.formats.sets import find_sets, kind_of_set, sex_of_set
from speechgmm.corpus.protocol import ProtocolConfig
from speechgmm.corpus.reading import read_corpus
from speechgmm.errors import CorpusError
from speechgmm.files import kinds_of_files

PEOPLE = ("alice", "bob", "carol")


def touch(root, *names):
    """Lists don't open audio: empty files will do."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def paths(*levels, n=2, suffix="wav"):
    """List paths of `n` files in every combination of folders; each level is one name or several."""
    names = [[level] if isinstance(level, str) else level for level in levels]
    return [f"{'/'.join(folders)}/{number}.{suffix}" for *folders, number in product(*names, range(n))]


def speakers(corpus):
    return sorted({each.speaker for each in corpus.all_utterances})


# Names of sets


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("train", ["train", "TRAIN", "training", "train-clean-100", "TrainSet", "trainset", "my_train_wav"]),
        ("dev", ["dev", "dev_set", "development", "val", "Valid", "validation", "devset", "vox1_dev_wav"]),
        ("test", ["test", "Testing", "test-other", "eval", "evaluation", "testdata", "eval2"]),
        ("enrol", ["enrol", "enroll", "enrolment", "enrollment", "Enroll_wav", "sre16_eval_enroll"]),
        ("background", ["background", "ubm-data"]),
        ("sex", ["male", "Female", "m", "F", "men", "women", "female_speakers", "boys"]),
        (
            "plain",
            ["wav", "audio", "speech", "recordings", "clean", "other", "part1", "DR1", "wav_16k", "mp3", "m4a", "sph"],
        ),
        ("noise", ["noise", "musan", "music", "RIRS_NOISES", "_background_noise_"]),
        (None, ["alice", "F01", "m3", "p225", "speaker1", "spk_02", "id10270", "1272", "trainor", ""]),
    ],
)
def test_the_name_of_a_folder_says_what_it_holds(kind, names):
    assert {name: kind_of_set(name) for name in names} == dict.fromkeys(names, kind)


def test_the_name_of_a_folder_states_a_sex_where_it_is_of_one():
    stated = {"female": "f", "Men": "m", "women_wav": "f", "F": "f", "F01": None, "male1": None, "male female": None}
    assert {name: sex_of_set(name) for name in stated} == stated


# Sets above the speakers

TREES = {
    "closed set": (paths(("train", "test"), PEOPLE), ("test", "train")),
    "one more level": (paths(("train", "test"), "wav", PEOPLE), ("test/wav", "train/wav")),
    "sexes": (paths(("male", "female"), ("001", "002")), ("female", "male")),
    "sexes in sets": (
        paths(("TRAIN", "TEST"), ("M", "F"), PEOPLE), ("TEST/F", "TEST/M", "TRAIN/F", "TRAIN/M"),
    ),
    "levels that differ": (
        paths("train", ("clean", "other"), PEOPLE) + paths("test", PEOPLE), ("test", "train/clean", "train/other"),
    ),
    "sets with sessions": (paths(("train", "test"), PEOPLE, ("s1", "s2")), ("test", "train")),
    "sets beside noise": (paths(("train", "test"), PEOPLE) + paths("noise", "free", n=9), ("test", "train")),
    "one set beside other files": ([*paths("wav", PEOPLE), "samples/1.wav"], ("wav",)),
    "sessions above the speakers": (paths(("session1", "session2"), PEOPLE), ("session1", "session2")),
    "parts": (paths(("part1", "part2", "part3"), ("p1", "p2")), ("part1", "part2", "part3")),
    "unknown names, files named by their speaker": (
        [f"{top}/{who}/{who}_{n}.wav" for top in ("english", "german") for who in PEOPLE for n in range(2)],
        ("english", "german"),
    ),
    "unknown names, speakers that say so": (
        paths(("hall", "garden"), ("Speaker01", "Speaker02", "Actor_3")), ("garden", "hall"),
    ),
    "a set beside one of another language": (paths(("entrainement", "test"), PEOPLE), ("entrainement", "test")),
    "background beside others": (
        paths("UBM", [f"b{n}" for n in range(9)]) + paths("users", PEOPLE), ("UBM", "users"),
    ),
    "corpora with sets": (
        paths(("one", "two"), ("train", "test"), PEOPLE), ("one/test", "one/train", "two/test", "two/train"),
    ),
    "ages with sexes": (
        paths(("adults", "children"), ("boys", "girls"), ("1", "2")),
        ("adults/boys", "adults/girls", "children/boys", "children/girls"),
    ),
    "formats": (paths(("wav", "mp3"), PEOPLE), ("mp3", "wav")),
    "a set without speakers beside one with": (
        paths("data", PEOPLE) + paths("eval", ("enroll", "test")), ("data",),
    ),
    "a speaker called test, with sessions": (paths(("test", *PEOPLE), ("s1", "s2")), ()),
    "a folder for each speaker": (paths(PEOPLE), ()),
    "sessions": (paths(PEOPLE, ("session1", "session2")), ()),
    "sessions of any names": (paths(PEOPLE, ("one", "two")), ()),
    "dates": (paths(PEOPLE[:2], ("2024-01-03", "2024-02-01", "2024-03-09")), ()),
    "days": (paths(PEOPLE[:2], ("Monday", "tue", "sept 3")), ()),
    "chapters": ([f"{r}/{c}/{r}-{c}-{n}.wav" for r in ("84", "17") for c in ("12", "13", "14") for n in range(2)], ()),
    "sets in the folder of each speaker": (paths(PEOPLE[:2], ("train", "dev", "test")), ()),
    "a folder for the files of each speaker": (paths(PEOPLE, "wav"), ()),
    "numbers for sexes": (paths(("F01", "F03", "M01"), ("Session1", "Session2"), "wav"), ()),
    "many speakers with many videos": (paths([f"name{n}" for n in range(20)], [f"v{n}" for n in range(5)]), ()),
}  # fmt: skip


@pytest.mark.parametrize(("names", "expected"), TREES.values(), ids=TREES)
def test_sets_above_the_speakers_are_found(names, expected):
    assert find_sets(sorted(names)).sets == expected


def test_what_only_a_user_can_know_is_said(tmp_path):
    touch(tmp_path / "many", *paths(("english", "german"), [f"v{n}x" for n in range(7)]))
    found = discover(tmp_path / "many")
    assert found.keys["sets"] == ("english", "german")
    assert found.doubts == (
        "english, german taken as sets of speakers; if they are the speakers, leave out corpus.sets",
    )
    touch(tmp_path / "few", *paths(("english", "german", "dutch"), ("one", "two")))
    found = discover(tmp_path / "few")
    assert speakers(found) == ["dutch", "english", "german"]
    assert "(one, two) taken as sessions; if they are the speakers, list the folders" in found.doubts[0]
    touch(tmp_path / "odd", *paths((*PEOPLE, "test")))
    assert "test taken as a speaker's name" in discover(tmp_path / "odd").doubts[0]
    touch(tmp_path / "sure", *paths(PEOPLE, ("session1", "session2")))
    assert discover(tmp_path / "sure").doubts == ()


@pytest.mark.parametrize(
    ("names", "doubt"),
    [
        (paths(("1", "2"), ("1", "2", "3")), "the folders in a speaker's folder (1, 2, 3) taken as sessions"),
        (
            paths((*PEOPLE, "_background_noise_")),
            "_background_noise_ taken as a speaker's name; if it holds noise, move",
        ),
        (paths(PEOPLE, ("enrol", "test")), "enrol, test in the folders of speakers taken as sessions, not as roles"),
        (paths(PEOPLE[:2], ("violin", "piano", "drums")), "alice, bob taken as sets of speakers; if they are the"),
        (paths(("8kHz", "16kHz"), PEOPLE), "16kHz, 8kHz hold recordings of the same names, taken as different"),
        (paths(("train", "test"), ("clean", "noisy"), PEOPLE), "test/clean, test/noisy, train/clean and 1 more hold"),
        (paths("wav", PEOPLE) + paths("mp3", PEOPLE, suffix="mp3"), "mp3, wav hold recordings of the same names"),
    ],
)
def test_a_guess_that_changes_results_is_said(tmp_path, names, doubt):
    touch(tmp_path, *names)
    (said,) = discover(tmp_path).doubts
    assert said.startswith(doubt)


def test_parts_of_different_recordings_are_no_guess(tmp_path):
    touch(tmp_path, *(f"disc {n}/{who}/{n}.wav" for n in (1, 2) for who in PEOPLE))
    assert discover(tmp_path).doubts == ()


@pytest.mark.parametrize(
    "names",
    [
        paths(("train", "test")),
        paths(("Training", "validation", "eval_set")),
        paths(("train", "test"), "wav"),
        paths(("train", "test"), ("male", "female")),
    ],
)
def test_sets_in_which_nothing_names_speakers_are_refused(tmp_path, names):
    touch(tmp_path, *names)
    with pytest.raises(CorpusError, match="named as sets, and nothing in them names the speakers; expected a folder"):
        discover(tmp_path)


ROLES = {
    "closed set": (
        paths(("train", "test"), PEOPLE),
        {"enrol": ("train",), "test": ("test",)},
        "the same speakers are in train and test: enrolled from train, tested on test",
    ),
    "disjoint": (
        paths("Train", ("x", "y")) + paths("Test", PEOPLE),
        {"background": ("Train",), "evaluation": ("Test",)},
        "speakers of Test are enrolled and tested; background: Train",
    ),
    "development": (
        paths("train", ("x", "y")) + paths("dev", ("z", "w")) + paths("test", PEOPLE),
        {"background": ("train",), "evaluation": ("test",)},
        "background: train",
    ),
    "development as test": (
        paths("train", ("x", "y")) + paths("dev", PEOPLE),
        {"background": ("train",), "evaluation": ("dev",)},
        "speakers of dev are",
    ),
    "development as training": (
        paths("dev", ("x", "y")) + paths("test", PEOPLE),
        {"background": ("dev",), "evaluation": ("test",)},
        "background: dev",
    ),
    "enrolment": (
        paths(("enroll", "eval"), PEOPLE) + paths("train", ("x", "y")),
        {"background": ("train",), "enrol": ("enroll",), "test": ("eval",)},
        "enrolled from enroll and tested on eval; background: train",
    ),
    "sexes within": (
        paths("train", ("male", "female"), ("x", "y")) + paths("test", ("male", "female"), ("v", "w")),
        {"background": ("train",), "evaluation": ("test",)},
        "background: train",
    ),
    "training alone": (paths(("train-1", "train-2"), PEOPLE), {}, ""),
    "enrolment and training of the same speakers": (
        paths(("train", "enrol"), PEOPLE),
        {"background": ("train",), "evaluation": ("enrol",)},
        "speakers of enrol are enrolled and tested",
    ),
    "one speaker to test": (paths("train", PEOPLE) + paths("test", "zoe"), {}, ""),
}


@pytest.mark.parametrize(("names", "keys", "words"), ROLES.values(), ids=ROLES)
def test_sets_are_used_as_roles(tmp_path, names, keys, words):
    touch(tmp_path, *names)
    found = discover(tmp_path)
    assert {key: value for key, value in found.keys.items() if key != "sets"} == keys
    assert words in found.how
    corpus = read_corpus(FolderConfig(root=str(tmp_path), protocol=ProtocolConfig(n_enrol=1), **found.keys))
    read = Counter(each.path for role in ("background", "enrol", "test") for each in corpus.role(role))
    assert read == Counter(each.path for each in found.all_utterances)
    for role in ("background", "enrol", "test"):
        assert {each.path for each in found.utterances.get(role, ())} <= {each.path for each in corpus.role(role)}


def test_what_has_no_role_is_left_out_and_counted(tmp_path):
    touch(tmp_path, *paths(("train", "dev", "test"), PEOPLE))
    found = discover(tmp_path)
    assert found.ignored == ("6 recordings in dev, which have no role",)
    corpus = read_corpus(FolderConfig(root=str(tmp_path), **found.keys))
    assert corpus.warnings() == ("6 recordings in no folder with a role; left out",)


def test_numbers_of_women_and_of_men_are_different_speakers(tmp_path):
    touch(tmp_path, *paths(("male", "female"), ("001", "002")), *paths("female", "zoe"))
    corpus = read_corpus(FolderConfig(root=str(tmp_path), sets=("male", "female"), protocol=ProtocolConfig(n_enrol=1)))
    known = {each.speaker: each.sex for role in ("background", "enrol", "test") for each in corpus.role(role)}
    assert known == {"m-001": "m", "m-002": "m", "f-001": "f", "f-002": "f", "zoe": "f"}
    assert speakers(discover(tmp_path)) == sorted(known)


def test_a_recipe_says_where_the_speakers_are(tmp_path):
    touch(tmp_path, *paths("a", ("ann", "bob"), "monday"), *paths("b", "c", ("ann", "cid")), "stray.wav", "d/x/1.wav")
    corpus = read_corpus(FolderConfig(root=str(tmp_path), sets=("a", "b/c"), protocol=ProtocolConfig(n_enrol=1)))
    heard = {each.id: (each.speaker, each.session) for role in ("background", "enrol", "test")
             for each in corpus.role(role)}  # fmt: skip
    assert heard == {
        **{f"a/{who}/monday/{n}": (who, "monday") for who in ("ann", "bob") for n in range(2)},
        **{f"b/c/{who}/{n}": (who, None) for who in ("ann", "cid") for n in range(2)},
    }
    assert corpus.notes == ("d/x/1.wav, stray.wav: not a SET/SPEAKER/NAME.wav; left out",)
    with pytest.raises(CorpusError, match=r"e: no such folder; corpus\.sets names it"):
        read_corpus(FolderConfig(root=str(tmp_path), sets=("a", "e")))
    with pytest.raises(CorpusError, match=r"e: no such folder; corpus\.enrol names it"):
        read_corpus(FolderConfig(root=str(tmp_path), enrol=("e",), test=("a",)))


def test_files_beside_recordings_that_may_be_audio_are_named(tmp_path):
    touch(tmp_path, *paths(PEOPLE), "alice/2.wav.bak", "bob/3", "bob/4.raw", "bob/1.txt", "README", "carol/LICENSE")
    corpus = read_corpus(FolderConfig(root=str(tmp_path), protocol=ProtocolConfig(n_enrol=1, background=0)))
    assert corpus.notes == (
        "1 .bak (alice/2.wav.bak), 1 .raw (bob/4.raw), 1 without a suffix (bob/3): not audio by their names; left out",
    )
    (ignored,) = discover(tmp_path).ignored
    assert ignored == (
        "6 other files: 3 without a suffix, 1 .bak (alice/2.wav.bak), 1 .raw (bob/4.raw), 1 .txt (bob/1.txt)"
    )


# Known layouts

READERS = [f"{r}/{c}/{r}-{c}-000{n}.flac" for r in (84, 174) for c in (121, 50561) for n in range(2)]
TIMIT = [f"{region}/{who}/{s}.WAV" for region, who in (("DR1", "FCJF0"), ("DR2", "MDAB0")) for s in ("SA1", "SX10")]


@pytest.mark.parametrize(
    ("kind", "names", "others"),
    [
        ("timit", [f"TIMIT/TRAIN/{name}" for name in TIMIT], [f"TIMIT/TRAIN/{name}.wav" for name in TIMIT]),
        ("timit", TIMIT, ["noise/1.wav", "doc/sound.wav", "doc/more.mp3"]),
        ("librispeech", READERS, paths("musan", ("noise", "music"), ("one", "two"), n=9)),
        ("librispeech", [f"LibriSpeech/dev-clean/{name}" for name in READERS], ["beep.wav", "demo/a.ogg"]),
        ("voxceleb", paths(("id10001", "id10002"), ("5r0dWxy17C8", "x")), paths("rir_noises", ("a", "b", "c"), n=20)),
    ],
)
def test_a_known_layout_is_known_beside_other_files(tmp_path, kind, names, others):
    touch(tmp_path, *names, *others)
    found = discover(tmp_path)
    assert found.kind == kind
    assert {each.path for each in found.all_utterances} == {str(tmp_path / name) for name in names}
    (ignored,) = found.ignored
    assert ignored.startswith((kinds_of_files(sorted(others)), f"{len(others)} audio files beside recordings"))
    assert min(others) in ignored


def test_a_few_files_of_a_known_layout_among_other_speakers_decide_nothing(tmp_path):
    touch(tmp_path, *paths([f"person{n}" for n in range(9)], n=4), *TIMIT)
    assert discover(tmp_path).kind == "folder"


def test_the_sets_of_a_known_layout_are_roles(tmp_path):
    touch(tmp_path, *(f"TRAIN/{name}" for name in TIMIT), *(f"TEST/{name}".replace("0/", "1/") for name in TIMIT))
    found = discover(tmp_path)
    assert found.keys == {"background": ("TRAIN",), "evaluation": ("TEST",)}
    corpus = read_corpus(TimitConfig(root=str(tmp_path), protocol=ProtocolConfig(n_enrol=1), **found.keys))
    assert {each.speaker for each in corpus.background} == {"FCJF0", "MDAB0"}
    assert corpus.models == ("FCJF1", "MDAB1")


def test_sets_of_speakers_as_people_have_them():
    found = discover(case("04_sets_of_speakers"))
    assert speakers(found) == ["alice", "bob", "carol"]
    assert {role: len(those) for role, those in found.utterances.items()} == {"enrol": 9, "test": 6}


def test_timit_with_copies_as_people_have_it():
    found = discover(case("05_timit_with_copies"))
    assert (found.kind, len(speakers(found)), len(found.all_utterances)) == ("timit", 4, 12)
    assert found.ignored[0].startswith("12 audio files beside recordings of the same name: TEST/DR1/FELC0/SA1.WAV.wav")


# Kaldi's data directories


def write_lists(folder, ids, prefix="", **files):
    """Write a data directory whose utterances are named SPEAKER-NUMBER."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "wav.scp").write_text("".join(f"{name} {prefix}{name}.wav\n" for name in ids))
    (folder / "utt2spk").write_text("".join(f"{name} {name.partition('-')[0]}\n" for name in ids))
    for name, text in files.items():
        (folder / name).write_text(text)


def ids(*names, n=3):
    return [f"{name}-{number}" for name in names for number in range(n)]


@pytest.mark.parametrize("prefix", ["audio/", "data/audio/", "{tmp}/data/audio/", "../audio/"])
def test_data_directories_are_known_wherever_their_paths_start(tmp_path, prefix):
    touch(tmp_path / "data" / "audio", *(f"{name}.wav" for name in ids("x", "y", *PEOPLE)))
    for folder, names in (("train", ("x", "y")), ("test", PEOPLE), ("train/split2/1", "x")):
        write_lists(tmp_path / "data" / folder, ids(*names), prefix.format(tmp=tmp_path))
    for place in (tmp_path, tmp_path / "data"):
        found = discover(place)
        assert (found.kind, {*found.keys}) == ("kaldi", {"background", "data"})
        assert {role: len(those) for role, those in found.utterances.items()} == {"background": 6, None: 9}
        assert all(each.path.endswith(f"audio/{each.id}.wav") for each in found.all_utterances)
        assert all((tmp_path / each.path).exists() for each in found.all_utterances)
    alone = discover(tmp_path / "data" / "test")
    assert {role: len(those) for role, those in alone.utterances.items()} == {None: 9}


def test_data_directories_with_spk2utt_alone_are_known(tmp_path):
    touch(tmp_path / "audio", *(f"{who}-{n}.wav" for who in PEOPLE for n in range(2)))
    data = tmp_path / "data"
    data.mkdir()
    (data / "wav.scp").write_text("".join(f"{who}-{n} audio/{who}-{n}.wav\n" for who in PEOPLE for n in range(2)))
    (data / "spk2utt").write_text("".join(f"{who} {who}-0 {who}-1\n" for who in PEOPLE))
    found = discover(tmp_path)
    assert (found.kind, speakers(found)) == ("kaldi", sorted(PEOPLE))


def test_trial_lists_that_fit_are_used(tmp_path):
    touch(tmp_path, *(f"{name}.wav" for name in ids(*PEOPLE)))
    names = ids(*PEOPLE)
    trials = "alice alice-0 target\nbob alice-0 nontarget\n"
    write_lists(tmp_path / "enroll", [name for name in names if name[-1] != "0"])
    write_lists(tmp_path / "test", [name for name in names if name[-1] == "0"], trials=trials)
    (tmp_path / "old_trials.txt").write_text("dave alice-0 target\n")
    found = discover(tmp_path)
    assert found.keys == {"background": None, "enrol": "enroll", "test": "test", "trials": ("test/trials",)}
    assert found.ignored == ("old_trials.txt: its trials are of other models or tests",)
    (tmp_path / "test" / "trials").unlink()
    assert discover(tmp_path).keys["trials"] == ()


@pytest.mark.parametrize("where", ["data", "."])
def test_files_beside_data_directories_are_counted(tmp_path, where):
    touch(tmp_path, *(f"audio/{name}.wav" for name in [*ids(*PEOPLE), "extra", "more"]), "audio/notes.txt", "x/a.json")
    write_lists(tmp_path / where, ids(*PEOPLE), "audio/")
    (tmp_path / where / "text").touch()
    assert discover(tmp_path).ignored == (
        "2 audio files that no wav.scp names: audio/extra.wav, audio/more.wav",
        "2 other files: 1 .json (x/a.json), 1 .txt (audio/notes.txt)",
    )


def test_data_directories_that_cannot_be_read_say_why(tmp_path):
    write_lists(tmp_path / "a", ids(*PEOPLE), "sox x -t wav - | cat ")
    (tmp_path / "a" / "wav.scp").write_text("alice-0 sox x.wav -t wav - |\n")
    with pytest.raises(CorpusError, match=r"wav\.scp:1: sox x\.wav -t wav - \| is a command, which init does not run"):
        discover(tmp_path)
    (tmp_path / "a" / "utt2spk").unlink()
    with pytest.raises(CorpusError, match=r"wav\.scp: no utt2spk beside it; expected one"):
        discover(tmp_path)
    (tmp_path / "a" / "wav.scp").rename(tmp_path / "a" / "feats.scp")
    with pytest.raises(CorpusError, match=r"feats\.scp: no utt2spk beside it; expected one"):
        discover(tmp_path)


# Tables


@pytest.mark.parametrize(
    ("path", "speaker"),
    [
        ("audio_filepath", "client_id"),
        ("wav_path", "spk_id"),
        ("File Name", "Speaker ID"),
        ("path_to_wav", "speakerId"),
        ("fname", "participant"),
        ("audio", "Talker"),
    ],
)
def test_columns_are_known_by_the_names_that_people_give_them(tmp_path, path, speaker):
    touch(tmp_path, *paths("audio", PEOPLE))
    rows = [f"{number},{name},{name.split('/')[1]},x" for number, name in enumerate(paths("audio", PEOPLE))]
    (tmp_path / "table.csv").write_text("\n".join([f"id,{path},{speaker},label", *rows]))
    found = discover(tmp_path)
    assert (found.kind, speakers(found)) == ("csv", [*PEOPLE])
    assert found.keys["columns"] == {"path": path, "speaker": speaker}
    assert found.ignored == ("columns label",)


@pytest.mark.parametrize("start", ["", "audio/", "data/audio/", "{tmp}/data/audio/"])
def test_the_files_of_a_table_are_found_wherever_its_paths_start(tmp_path, start):
    touch(tmp_path / "data" / "audio", *paths(PEOPLE))
    rows = [f"{start.format(tmp=tmp_path)}{name},{name.split('/')[0]}" for name in paths(PEOPLE)]
    lists = tmp_path / "data" if start == "" else tmp_path / "data" / "lists"
    lists.mkdir(exist_ok=True)
    (lists / "all.csv").write_text("\n".join(["path,speaker", *rows]))
    for place in (lists / "all.csv", tmp_path / "data"):
        found = discover(place)
        assert found.kind == "csv"
        assert all((tmp_path / each.path).exists() for each in found.all_utterances)
        assert (found.root / found.keys["table"]).samefile(lists / "all.csv")


@pytest.mark.parametrize("name", ["clips", "wavs/2024"])
def test_a_table_behind_a_linked_folder_is_found(tmp_path, name):
    touch(tmp_path / "disk" / "store" / "deep", *(f"{who}{n}.wav" for who in PEOPLE for n in range(2)))
    link = tmp_path / "table" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "disk" / "store" / "deep")
    rows = [f"{who}\t{who}{n}.wav" for who in PEOPLE for n in range(2)]
    (tmp_path / "table" / "validated.tsv").write_text("\n".join(["client_id\tpath", *rows]))
    for place in (tmp_path / "table", tmp_path / "table" / "validated.tsv"):
        found = discover(place)
        assert speakers(found) == [*PEOPLE]
        assert all((tmp_path / each.path).exists() for each in found.all_utterances)
        assert (found.root / found.keys["table"]).samefile(tmp_path / "table" / "validated.tsv")


def test_columns_of_times_that_are_not_read_are_said(tmp_path):
    touch(tmp_path, *paths(PEOPLE))
    rows = [f"{who}/{n}.wav,{who},0.5,1.5" for who in PEOPLE for n in range(2)]
    said = {
        "path,speaker,start,duration": "duration not read: recordings are taken from start to the end of the file",
        "path,speaker,start_ms,end_ms": "start_ms, end_ms not read: recordings are taken whole",
        "path,speaker,offset,duration": "offset, duration not read: recordings are taken whole",
        "path,speaker,start,end": None,
        "path,speaker,age,duration": None,
    }
    for header, doubt in said.items():
        (tmp_path / "t.csv").write_text("\n".join([header, *rows]))
        doubts = discover(tmp_path).doubts
        assert [each.partition(";")[0] for each in doubts] == ([doubt] if doubt else [])


def test_a_table_that_cannot_be_read_is_named_with_the_reason(tmp_path):
    touch(tmp_path, *paths(PEOPLE))
    (tmp_path / "latin.csv").write_text("path,speaker\nalice/0.wav,Zo\xeb\n", encoding="latin-1")
    (tmp_path / "loose.csv").write_text('path, speaker\nalice/0.wav, "Smith, Alice"\n')
    found = discover(tmp_path)
    assert found.kind == "folder"
    assert found.ignored[:2] == (
        "the table loose.csv:2: 3 fields; expected 2, as in the first line",
        "the table latin.csv:2: not UTF-8 text",
    )


def test_a_table_whose_files_are_gone_is_left_out_and_named(tmp_path):
    touch(tmp_path, *paths(PEOPLE))
    (tmp_path / "df.csv").write_text("path,speaker\n/home/you/a.wav,a\n/home/you/b.wav,b\n")
    found = discover(tmp_path)
    assert (found.kind, speakers(found)) == ("folder", [*PEOPLE])
    assert "the table df.csv, because its files do not exist" in found.ignored


def test_audio_that_a_table_does_not_name_is_counted(tmp_path):
    touch(tmp_path, *paths(PEOPLE), "extra.wav")
    rows = [f"{name},{name.split('/')[0]}" for name in paths(PEOPLE)]
    (tmp_path / "list.csv").write_text("\n".join(["path,speaker", *rows]))
    assert discover(tmp_path).ignored == ("1 audio file that the table does not name: extra.wav",)
