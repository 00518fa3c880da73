"""Lists of utterances and trials."""

import pytest

from speechgmm.corpus.formats import KaldiConfig, read_kaldi, write_kaldi
from speechgmm.corpus.manifest import Corpus, Trial, Utterance
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
    assert read_kaldi(written) == corpus


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
        ("trials.txt", "a b-test1", "b a-test0", r"trials\.txt:3: trial b a-test0 stands on line 2 already"),
        (
            "trials.hard.txt",
            "a a-test0 target",
            "a a-test0 nontarget",
            "in one list and nontarget in another",
        ),
        ("lists/test/wav.scp", "a-test0 a/test 0.flac", "a-test0", r"test/wav\.scp:1: 'a-test0'; expected two fields"),
        ("lists/test/wav.scp", "a/test 0.flac", "sox a.wav |", r"wav\.scp:1: a-test0 is the output of a command"),
        ("lists/test/wav.scp", "a-test1 ", "a-test0 ", r"wav\.scp:2: a-test0 stands on line 1 already"),
        ("lists/test/utt2spk", "a-test0 a\n", "", r"wav\.scp:1: a-test0 has no line in .*utt2spk"),
        ("lists/test/wav.scp", "a-test1 a/test 1.flac\n", "", r"utt2spk:2: a-test1 has no line in .*wav\.scp"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_line(written, tmp_path, file, old, new, message):
    edit(tmp_path / file, old, new)
    with pytest.raises(CorpusError, match=message):
        read_kaldi(written)


def test_missing_and_unreadable_lists_are_named(written, tmp_path):
    (tmp_path / "trials.hard.txt").write_text("\n\n")
    with pytest.raises(CorpusError, match=r"trials\.hard\.txt: no trials"):
        read_kaldi(written)
    (tmp_path / "trials.txt").write_bytes(b"a a-test0 target\n\xff\xfe x target\n")
    with pytest.raises(CorpusError, match=r"trials\.txt:2: not UTF-8"):
        read_kaldi(written)
    (tmp_path / "trials.txt").unlink()
    with pytest.raises(CorpusError, match=r"trials\.txt: not readable"):
        read_kaldi(written)
    with pytest.raises(CorpusError, match="no such folder; it is the root"):
        read_kaldi(KaldiConfig(root=str(tmp_path / "nowhere")))


def test_a_byte_order_mark_is_no_letter(corpus, written, tmp_path):
    path = tmp_path / "trials.txt"
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert read_kaldi(written) == corpus


def test_a_name_that_no_file_can_have_is_named(written):
    with pytest.raises(CorpusError, match=r"nul.*: not readable"):
        read_kaldi(written.model_copy(update={"trials": ("nul\0.txt",)}))


def test_segments_are_not_ignored(written, tmp_path):
    (tmp_path / "lists" / "test" / "segments").write_text("u r 0 1\n")
    with pytest.raises(CorpusError, match=r"segments: segments of longer recordings"):
        read_kaldi(written)


def test_two_lists_of_one_name_are_refused(written, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "trials.txt").write_text("a a-test0 target\n")
    config = written.model_copy(update={"trials": ("trials.txt", "other/trials.txt")})
    with pytest.raises(CorpusError, match="a second trial list by the name of trials"):
        read_kaldi(config)


def test_absolute_paths_stay_as_they_are(written, tmp_path):
    edit(tmp_path / "lists" / "test" / "wav.scp", "a/test 0.flac", "/somewhere/else.flac")
    assert read_kaldi(written).test[0].path == "/somewhere/else.flac"


def test_a_corpus_checks_itself(corpus, tmp_path):
    whole = {"background": corpus.background, "enrol": corpus.enrol, "test": corpus.test, "trials": corpus.trials}
    for changes, message in [
        ({"background": ()}, "no background utterances"),
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
    assert overlap.warnings() == ("a, b in both background and enrolment: scores against them are flattered",)
    labels = (Trial("a", "a-test0", False), Trial("b", "a-test1", True), Trial("b", "b-test0", True))
    wrong = Corpus(corpus.background, corpus.enrol, corpus.test, {"t": labels})
    assert wrong.warnings() == ("a a-test0, b a-test1: labelled otherwise than the test's speaker says",)
    impostor = (*corpus.test, Utterance("x-test0", "x", "x.flac"))
    known = Corpus(corpus.background, corpus.enrol, impostor, corpus.trials)
    assert known.warnings() == ("x in both background and test: the background model has heard them",)
    heard = tuple(Utterance(each.id, each.speaker, corpus.enrol[0].path) for each in corpus.test)
    assert "the model has heard the test" in Corpus(corpus.background, corpus.enrol, heard, corpus.trials).warnings()[0]
