"""Lists of utterances and trials."""

from dataclasses import replace

import pytest

from speechgmm.corpus.formats.kaldi import KaldiConfig, write_kaldi
from speechgmm.corpus.manifest import Corpus, Trial, Utterance
from speechgmm.corpus.protocol import ProtocolConfig
from speechgmm.corpus.reading import read_corpus
from speechgmm.errors import CorpusError


def utterances(root, role, speakers, sex=None):
    return tuple(
        Utterance(f"{speaker}-{role}{number}", speaker, str(root / speaker / f"{role} {number}.flac"), sex)
        for speaker in speakers
        for number in range(2)
    )


@pytest.fixture
def corpus(tmp_path):
    trials = (Trial("a", "a-test0", True), Trial("b", "a-test0", False), Trial("a", "b-test1", False))
    return Corpus(
        utterances(tmp_path, "bg", ["x", "y", "z"], "f"),
        utterances(tmp_path, "enrol", ["a", "b"]),
        utterances(tmp_path, "test", ["a", "b"]),
        {"trials": trials, "trials.hard": trials[:2]},
    )


@pytest.fixture
def written(corpus, tmp_path):
    write_kaldi(corpus, tmp_path)
    return KaldiConfig(root=str(tmp_path), trials=("trials.txt", "trials.hard.txt"))


def test_a_corpus_comes_back_as_it_was_written(corpus, written):
    assert read_corpus(written) == corpus


def test_speakers_may_be_listed_with_their_utterances_instead(corpus, written, tmp_path):
    folder = tmp_path / "lists" / "test"
    (folder / "utt2spk").unlink()
    (folder / "spk2utt").write_text("a a-test0 a-test1\r\nb\tb-test0  b-test1\r\n")
    assert read_corpus(written).test == corpus.test
    (folder / "spk2utt").write_text("a a-test0 a-test1\nb b-test0 b-test1 a-test0\nc d\n")
    with pytest.raises(CorpusError) as refused:
        read_corpus(written)
    path = folder / "spk2utt"
    assert f"{path}:2: a-test0 is on line 1 as well; expected it once" in str(refused.value)
    assert f"{path}:3: d has no line in {folder / 'wav.scp'}" in str(refused.value)


def test_models_and_trials_keep_their_order(corpus):
    assert corpus.models == ("a", "b")
    assert corpus.distinct_trials == corpus.trials["trials"]


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("trials.txt", "b a-test0 nontarget", "nobody a-test0 nontarget", r"trials\.txt:2: unknown model 'nobody'"),
        ("trials.txt", "b a-test0 nontarget", "b nothing nontarget", r"trials\.txt:2: unknown test 'nothing'"),
        ("trials.txt", "b a-test0 nontarget", "b a-test0 maybe", r"trials\.txt:2: 'b a-test0 maybe'; expected a model"),
        ("trials.txt", "b a-test0 nontarget", "b a-test0", r"trials\.txt:2: .*; expected a model"),
        ("trials.txt", "a b-test1", "b a-test0", r"trials\.txt:3: trial b a-test0 is on line 2 as well"),
        (
            "trials.hard.txt",
            "a a-test0 target",
            "a a-test0 nontarget",
            "in one list and nontarget in another",
        ),
        ("lists/test/wav.scp", "a-test0 a/test 0.flac", "a-test0", r"test/wav\.scp:1: 'a-test0'; expected two fields"),
        ("lists/test/wav.scp", "a/test 0.flac", "sox a.wav |", r"wav\.scp:1: a-test0 is the output of a command"),
        ("lists/test/wav.scp", "a-test1 ", "a-test0 ", r"wav\.scp:2: a-test0 is on line 1 as well; expected it once"),
        ("lists/test/utt2spk", "a-test0 a\n", "", r"wav\.scp:1: a-test0 is not in .*utt2spk"),
        ("lists/test/wav.scp", "a-test1 a/test 1.flac\n", "", r"utt2spk:2: a-test1 has no line in .*wav\.scp"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_line(written, tmp_path, file, old, new, message):
    edit(tmp_path / file, old, new)
    with pytest.raises(CorpusError, match=message):
        read_corpus(written)


def test_missing_and_unreadable_lists_are_named(written, tmp_path):
    (tmp_path / "trials.hard.txt").write_text("\n\n")
    with pytest.raises(CorpusError, match=r"trials\.hard\.txt: no trials"):
        read_corpus(written)
    (tmp_path / "trials.txt").write_bytes(b"a a-test0 target\n\xff\xfe x target\n")
    with pytest.raises(CorpusError, match=r"trials\.txt:2: not UTF-8"):
        read_corpus(written)
    (tmp_path / "trials.txt").unlink()
    with pytest.raises(CorpusError, match=r"trials\.txt: not readable"):
        read_corpus(written)
    with pytest.raises(CorpusError, match="no such folder; it is the root"):
        read_corpus(KaldiConfig(root=str(tmp_path / "nowhere")))


def test_a_byte_order_mark_is_no_letter(corpus, written, tmp_path):
    path = tmp_path / "trials.txt"
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert read_corpus(written) == corpus


def test_a_name_that_no_file_can_have_is_named(written):
    with pytest.raises(CorpusError, match=r"nul.*: not readable"):
        read_corpus(written.model_copy(update={"trials": ("nul\0.txt",)}))


def test_segments_of_one_recording_are_utterances(written, corpus, tmp_path):
    folder = tmp_path / "lists" / "test"
    (folder / "wav.scp").write_text("one a/test 0.flac\ntwo /far/two.flac\n")
    (folder / "segments").write_text(
        "a-test0 one 0 1.5\na-test1 one 1.5 -1\nb-test0 two 0.25 2 A\nb-test1 two 0.25 2 B\n"
    )
    check_segments(written, tmp_path)


@pytest.mark.parametrize("sides", ["ab", "01"])
def test_lists_of_windows_with_tabs_and_other_names_of_channels_are_read(written, tmp_path, sides):
    folder = tmp_path / "lists" / "test"
    lists = {
        "wav.scp": "one\ta/test 0.flac\r\ntwo\t/far/two.flac\r\n",
        "segments": "a-test0\tone\t0\t1.5\r\na-test1\tone\t1.5\t-1\r\n"
        f"b-test0\ttwo\t0.25\t2\t{sides[0]}\r\nb-test1\ttwo\t0.25\t2\t{sides[1]}\r\n",
        "utt2spk": (folder / "utt2spk").read_text().replace(" ", "\t").replace("\n", "\r\n"),
    }
    for name, text in lists.items():
        (folder / name).write_bytes(text.encode())
    check_segments(written, tmp_path)


def check_segments(written, tmp_path):
    assert [each.audio for each in read_corpus(written).test] == [
        (str(tmp_path / "a" / "test 0.flac"), 0.0, 1.5, None),
        (str(tmp_path / "a" / "test 0.flac"), 1.5, None, None),
        ("/far/two.flac", 0.25, 2.0, 0),
        ("/far/two.flac", 0.25, 2.0, 1),
    ]
    assert read_corpus(written).warnings() == ()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a-test0 one 1 0.5", r"segments:1: 'a-test0 one 1 0\.5'; expected utterance, recording, start"),
        ("a-test0 one 0 1_0", r"segments:1: .*; expected utterance, recording, start"),
        ("a-test0 one 0 infinity", r"segments:1: .*; expected utterance, recording, start"),
        ("a-test0 one \uff10 1", r"segments:1: .*; expected utterance, recording, start"),
        ("a-test0 one 0 1 2", r"segments:1: .*; expected .* channel A or B, or 0 or 1"),
        ("a-test0 one 0 nan", r"segments:1: .*; expected utterance, recording, start"),
        ("a-test0 one 0 1 C", r"segments:1: .*; expected .* channel A or B"),
        ("a-test0 two 0 1", r"segments:1: a-test0: recording two has no line in .*wav\.scp"),
        ("a-test0 one 0 1\na-test0 one 1 2", r"segments:2: a-test0 is on line 1 as well; expected it once"),
    ],
)
def test_bad_segments_are_named(written, tmp_path, line, message):
    folder = tmp_path / "lists" / "test"
    (folder / "wav.scp").write_text("one a/test 0.flac\n")
    (folder / "segments").write_text(line + "\n")
    with pytest.raises(CorpusError, match=message):
        read_corpus(written)


def test_two_recordings_of_one_file_are_its_channels(written, tmp_path):
    folder = tmp_path / "lists" / "test"
    recordings = ["a-test0 call.wav", "a-test1 call.wav", "b-test0 mono.wav", "b-test1 sph2pipe -c 2 x.sph |"]
    (folder / "wav.scp").write_text("\n".join(recordings))
    (folder / "reco2file_and_channel").write_text("a-test0 x A\na-test1 x B\nb-test0 y B\nb-test1 z B\nelse z A\n")
    commands = written.model_copy(update={"allow_commands": True})
    assert [each.channel for each in read_corpus(commands).test] == [0, 1, None, None]
    (folder / "segments").write_text(
        "a-test0 a-test0 0 1\na-test1 a-test1 0 1\nb-test0 a-test1 1 2 A\nb-test1 b-test0 0 1\n"
    )
    assert [each.channel for each in read_corpus(commands).test] == [0, 1, 0, None]
    (folder / "reco2file_and_channel").write_text("a-test0 x A\na-test1 x A\n")
    assert [each.channel for each in read_corpus(commands).test] == [None, None, 0, None]
    edit(folder / "reco2file_and_channel", "a-test1 x A", "a-test1 x C")
    with pytest.raises(CorpusError, match=r"reco2file_and_channel:2: 'a-test1 x C'; expected recording, call and chan"):
        read_corpus(commands)


def test_recordings_in_archives_are_places_in_them(written, tmp_path):
    scp = tmp_path / "lists" / "test" / "wav.scp"
    scp.write_text("a-test0 w.ark:5\na-test1 w.ark:96054\nb-test0 /far/w.ark:8\nb-test1 ../w.ark:8\n")
    expected = [f"{tmp_path}/w.ark:5", f"{tmp_path}/w.ark:96054", "/far/w.ark:8", f"{tmp_path.parent}/w.ark:8"]
    assert [each.path for each in read_corpus(written).test] == expected


def test_segments_and_channels_come_back_as_they_were_written(corpus, tmp_path):
    path = str(tmp_path / "a b.wav")
    test = (
        Utterance("a-test0", "a", path, "f", 0.1, 1.7, 1),
        Utterance("b-test1", "b", path, "f", 0.0, None, 0),
    )
    trials = {"trials": (Trial("a", "a-test0", True), Trial("a", "b-test1", False))}
    cut = Corpus(corpus.background, corpus.enrol, test, trials)
    write_kaldi(cut, tmp_path)
    assert read_corpus(KaldiConfig(root=str(tmp_path))) == cut
    odd = Corpus(corpus.background, corpus.enrol, (replace(test[0], channel="mean"), test[1]), trials)
    with pytest.raises(ValueError, match="a-test0: channel 'mean'; Kaldi's segments have 0 and 1"):
        write_kaldi(odd, tmp_path)


def test_a_corpus_without_background_is_written_and_read(corpus, tmp_path):
    alone = Corpus((), corpus.enrol, corpus.test, corpus.trials)
    write_kaldi(alone, tmp_path)
    assert not (tmp_path / "lists" / "background").exists()
    config = KaldiConfig(root=str(tmp_path), background=None, trials=("trials.txt", "trials.hard.txt"))
    assert read_corpus(config) == alone


def test_all_that_is_wrong_is_listed_at_once(written, tmp_path):
    edit(tmp_path / "trials.txt", "a a-test0 target", "a nothing target")
    edit(tmp_path / "trials.txt", "a b-test1", "nobody b-test1")
    with pytest.raises(CorpusError) as caught:
        read_corpus(written)
    lines = str(caught.value).splitlines()
    assert [line.partition("trials.txt")[2] for line in lines] == [
        ":1: unknown test 'nothing'; it is not among the test utterances",
        ":3: unknown model 'nobody'; no enrolment utterance is of this speaker",
    ]
    (tmp_path / "trials.txt").write_text("".join(f"a x{number} target\n" for number in range(50)))
    with pytest.raises(CorpusError) as caught:
        read_corpus(written)
    assert len(str(caught.value).splitlines()) == 21
    assert str(caught.value).endswith("\nand 30 more problems")


def test_one_data_directory_is_divided_by_its_trials_or_by_a_protocol(tmp_path):
    names = [f"{speaker}{number}" for speaker in "pqrs" for number in range(3)]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "wav.scp").write_text("".join(f"{name} {name}.wav\n" for name in names))
    (tmp_path / "data" / "utt2spk").write_text("".join(f"{name} {name[0]}\n" for name in names))
    (tmp_path / "trials.txt").write_text("p p2 1\nq p2 0\nq q0 1\n")
    by_trials = read_corpus(KaldiConfig(root=str(tmp_path), data="data"))
    assert [each.id for each in by_trials.enrol] == ["p0", "p1", "q1", "q2"]
    assert [each.id for each in by_trials.test] == ["p2", "q0"]
    assert {each.speaker for each in by_trials.background} == {"r", "s"}
    by_rule = read_corpus(KaldiConfig(root=str(tmp_path), data="data", protocol=ProtocolConfig(n_enrol=2)))
    assert (len(by_rule.background), len(by_rule.enrol), len(by_rule.test)) == (6, 4, 2)
    with pytest.raises(CorpusError, match="protocol: the trial lists say what is compared"):
        read_corpus(KaldiConfig(root=str(tmp_path), data="data", protocol=ProtocolConfig(), trials=("trials.txt",)))


def test_features_stand_where_audio_would(tmp_path, corpus, written):
    for role in ("background", "enrol", "test"):
        folder = tmp_path / "lists" / role
        (folder / "wav.scp").rename(folder / "feats.scp")
    found = read_corpus(written.model_copy(update={"input": "features"}))
    assert found == corpus
    edit(tmp_path / "lists" / "test" / "feats.scp", "a/test 0.flac", "copy-feats ark:x ark:- |")
    with pytest.raises(CorpusError, match="the output of a command; only files are read"):
        read_corpus(written.model_copy(update={"input": "features", "allow_commands": True}))


def test_two_lists_of_one_name_are_refused(written, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "trials.txt").write_text("a a-test0 target\n")
    config = written.model_copy(update={"trials": ("trials.txt", "other/trials.txt")})
    with pytest.raises(CorpusError, match="a second trial list by the name of trials"):
        read_corpus(config)


def test_absolute_paths_stay_as_they_are(written, tmp_path):
    edit(tmp_path / "lists" / "test" / "wav.scp", "a/test 0.flac", "/somewhere/else.flac")
    assert read_corpus(written).test[0].path == "/somewhere/else.flac"


def test_a_corpus_checks_itself(corpus, tmp_path):
    whole = {"background": corpus.background, "enrol": corpus.enrol, "test": corpus.test, "trials": corpus.trials}
    for changes, message in [
        ({"enrol": ()}, "no enrol utterances"),
        ({"test": corpus.test + corpus.test[:1]}, "a-test0 more than once among the test"),
        ({"trials": {}}, "no trial list"),
        ({"trials": {"t": (Trial("x", "a-test0", False),)}}, "trial list t: unknown model 'x'"),
        ({"trials": {"t": (Trial("a", "x", False),)}}, "trial list t: unknown test 'x'"),
    ]:
        with pytest.raises(CorpusError, match=message):
            Corpus(**(whole | changes))


def test_what_flatters_results_is_said(corpus, tmp_path):
    assert corpus.warnings() == ()
    overlap = Corpus(corpus.background + corpus.enrol, corpus.enrol, corpus.test, corpus.trials)
    assert overlap.warnings() == ("a, b in both background and enrolment: their scores look better than they are",)
    labels = (Trial("a", "a-test0", False), Trial("b", "a-test1", True), Trial("b", "b-test0", True))
    wrong = Corpus(corpus.background, corpus.enrol, corpus.test, {"t": labels})
    assert wrong.warnings() == ("a a-test0, b a-test1: the label contradicts the speaker of the test",)
    impostor = (*corpus.test, Utterance("x-test0", "x", "x.flac"))
    known = Corpus(corpus.background, corpus.enrol, impostor, corpus.trials)
    assert known.warnings() == ("x in both background and test: the background model is trained on their speech",)
    same = tuple(Utterance(each.id, each.speaker, corpus.enrol[0].path) for each in corpus.test)
    shared = Corpus(corpus.background, corpus.enrol, same, corpus.trials)
    assert "the model is enrolled from the test recording" in shared.warnings()[0]
    apart = {"t": (Trial("b", "a-test0", False), Trial("b", "a-test1", False))}  # b is enrolled from other files
    assert Corpus(corpus.background, corpus.enrol, same, apart).warnings() == ()
