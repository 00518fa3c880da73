"""The same scores in the formats of all toolkits, recognised by their content, and what is no such format."""

import json
import re

import numpy as np
import pytest
from typer.testing import CliRunner

from helpers.cases import case
from speechgmm import evaluate_scores
from speechgmm.cli import app
from speechgmm.errors import CorpusError
from speechgmm.evaluation.summary import EvaluationConfig

CONFIG = EvaluationConfig(bootstrap=20)


def evaluated(scores, trials=None, **options):
    return evaluate_scores(scores, trials, CONFIG, **options)


def write(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def drawn(seed):
    """Trials of 8 models and 24 tests: (model, test, target, score)."""
    rng = np.random.default_rng(seed)
    pairs = [(f"s{model}", f"s{test % 8}-u{test}", model == test % 8) for model in range(8) for test in range(24)]
    return [(*pairs[n], round(2 * pairs[n][2] + rng.normal(), 4)) for n in rng.permutation(len(pairs))]


@pytest.fixture(params=[1, 2])
def trials(request):
    return drawn(request.param)


def lines_of(trials, form, header=None):
    """Write each trial in a form; `real` is the speaker in the test, and `side` the word of NIST."""
    lines = [
        form.format(
            m=model,
            t=test,
            s=score,
            real=test.partition("-")[0],
            one="1" if target else "0",
            word="target" if target else "nontarget",
            tgt="tgt" if target else "imp",
            same="same" if target else "different",
            true=target,
        )
        for model, test, target, score in trials
    ]
    return [header, *lines] if header else lines


LABELLED = {
    "SpeechBrain": ("{m} {t} {one} {s:f}", None),
    "wespeaker": ("{m} {t} {s:.5f} {word}", None),
    "wespeaker-numbers": ("{m} {t} {s:.5f} {one}", None),
    "list-with-scores": ("{one} {m} {t} {s}", None),
    "trainer-labels": ("{s} {one} {m} {t}", None),
    "Bob4": ("{m} {real} {t} {s}", None),
    "Bob5": ("{m} {m} {real} {t} {s}", None),
    "Bob-csv": (
        "{t},{real},{m},{m},{s}",
        "probe_template_id,probe_subject_id,bio_ref_template_id,bio_ref_subject_id,score",
    ),
    "words-header": ("{t} {m} {tgt} {s}", "segment enroll tgt/imp similarity"),
    "numpy-header": ("{m} {t} {one} {s}", "# model_id test_id label score"),
    "pandas": ("{m},{t},{s},{true}", "utt1,utt2,cosine,same_speaker"),
    "semicolons": ("{same};{s};{m};{t}", "Same/Different;Score;Enrolment;Probe"),
    "comma-lines": ("{m},{t},{one},{s}", None),
    "semicolon-lines": ("{m}; {t}; {s}; {word}", None),
    "comment-lines": ("{m} {t} {s} {word}", "# scores of two systems\n# of today"),
    "probabilities": ("{m},{t},{true},{s}", "# system A, 2024\nutterance1,utterance2,same_speaker,probability"),
    "tab-header": ("{m}\t{t}\t{one}.0\t{s}", "file_1\tfile_2\tTarget\tScore"),
}
UNLABELLED = {
    "Kaldi": ("{m} {t} {s}", None),
    "trainer": ("{s} {m} {t}", None),
    "Kaldi-commas": ("{m},{t},{s}", None),
    "Kaldi-comments": ("{m} {t} {s}", "# my test scores"),
    "NIST": ("{m}\t{t}\ta\t{s}", "modelid\tsegmentid\tside\tLLR"),
    "NIST-SRE16": ("{m}\t{t}\ta\t{s}", "modelid\tsegment\tside\tLLR"),
    "NIST-words": ("{m} {t} a {s}", None),
    "NIST-SRE04": ("1side n 1side m {m} {t} t {s}", None),
    "NIST-SRE08": ("short2 n short3 f {m} {t} a f {s}", None),
    "LIA_RAL": ("M {m} 0 {t} {s}", None),
    "LIA_RAL-decisions": ("F {m} 1 {t} {s}", None),
    "LIA_RAL-segments": ("F {m} 1 {t} 0.5 3.25 {s}", None),
    "in-order": ("{s}", None),
    "in-order-header": ("{s}", "LLR"),
    "in-order-table": ("{one},{s}", "label,score"),
}
TRIALS = {
    "kaldi": ("{m} {t} {word}", None),
    "voxceleb": ("{one} {m} {t}", None),
    "NIST-key": ("{m}\t{t}\ta\t{word}\tY\tmixer", "modelid\tsegmentid\tside\ttargettype\tphone_num_match\tsource"),
    "NIST-key-words": ("{m} {t} a {word}", None),
    "labels": ("{m},{t},{same}", "enroll,test,label"),
    "comma-lines": ("{m},{t},{one}", None),
    "semicolon-lines": ("{one};{m};{t}", None),
    "capitals": ("{m} {t} {same}", "# trials\n# of two sets"),
    "truth-first": ("{true} {m} {t}", None),
}


@pytest.mark.parametrize("form", [*LABELLED, *UNLABELLED])
def test_every_format_gives_every_number_of_kaldis(trials, tmp_path, form):
    listed = write(tmp_path / "list", lines_of(trials, *TRIALS["kaldi"]))
    right = evaluated(write(tmp_path / "kaldi", lines_of(trials, "{m} {t} {s}")), listed)["trials"]
    scores = write(tmp_path / "scores", lines_of(trials, *(LABELLED | UNLABELLED)[form]))
    found = evaluated(scores, listed)
    assert found["trials"] == right
    assert found["notes"][:-1] or form in (
        "Kaldi",
        "Kaldi-comments",
    )  # what was taken is said; the last note is on intervals
    if form in LABELLED:
        assert evaluated(scores)["trials"] == right
    else:
        with pytest.raises(CorpusError, match="or a trial list as well"):
            evaluated(scores)


@pytest.mark.parametrize("form", TRIALS)
def test_every_list_gives_the_same_numbers(trials, tmp_path, form):
    right = evaluated(
        write(tmp_path / "kaldi", lines_of(trials, "{m} {t} {s}")),
        write(tmp_path / "list", lines_of(trials, *TRIALS["kaldi"])),
    )["trials"]
    listed = write(tmp_path / "other", lines_of(trials, *TRIALS[form]))
    for each in ("SpeechBrain", "NIST", "Bob4", "LIA_RAL"):
        scores = write(tmp_path / "scores", lines_of(trials[::-1], *(LABELLED | UNLABELLED)[each]))
        assert evaluated(scores, listed)["trials"] == right


def test_names_in_other_columns_are_never_taken_for_the_order_of_the_list(trials, tmp_path):
    listed = write(tmp_path / "list", lines_of(trials, *TRIALS["kaldi"]))
    scores = write(tmp_path / "scores", lines_of(trials[::-1], "{m},{t},{s}", "anchor,candidate,score"))
    with pytest.raises(CorpusError, match=r"scores:1: anchor and candidate hold models or tests of .*list; expected"):
        evaluated(scores, listed)
    numbered = [f"{number},{score}" for number, (*_, score) in enumerate(trials)]
    write(scores, ["trial,score", *numbered])
    right = evaluated(write(tmp_path / "kaldi", lines_of(trials, "{m} {t} {s}")), listed)["trials"]
    assert evaluated(scores, listed)["trials"] == right


def test_tests_before_models_are_named(trials, tmp_path):
    listed = write(tmp_path / "list", lines_of(trials, *TRIALS["kaldi"]))
    right = evaluated(write(tmp_path / "kaldi", lines_of(trials, "{m} {t} {s}")), listed)["trials"]
    for form in ("{t} {m} {s}", "{t},{m},{s}"):
        scores = write(tmp_path / "scores", lines_of(trials, form))
        with pytest.raises(CorpusError, match=r"its tests in model; expected models before tests, or the names"):
            evaluated(scores, listed)
    for header in ("test model score", "# test model score"):
        scores = write(tmp_path / "scores", lines_of(trials, "{t} {m} {s}", header))
        assert evaluated(scores, listed)["trials"] == right


def test_the_format_that_was_taken_is_printed(trials, tmp_path):
    listed = write(tmp_path / "list", lines_of(trials, *TRIALS["NIST-key"]))
    for form, note in (
        ("SpeechBrain", "scores: SpeechBrain's columns: model, test, label, score"),
        ("LIA_RAL", "scores: LIA_RAL's columns: gender, model, decision, test, score"),
        ("NIST", "NIST's columns: modelid, segmentid, LLR"),
        ("pandas", "a table's columns: utt1, utt2, cosine, same_speaker"),
    ):
        scores = write(tmp_path / "scores", lines_of(trials, *(LABELLED | UNLABELLED)[form]))
        done = CliRunner().invoke(app, ["evaluate", str(scores), str(listed), "--bootstrap", "0"])
        assert done.exit_code == 0, done.output
        assert note in done.stdout
        assert "trials: NIST's columns: modelid, segmentid, targettype" in done.stdout


def test_the_cases_have_their_equal_error_rate():
    folder = case("17_scores")
    for scores, listed in (
        *((name, "trials") for name in ("kaldi.scores", "wespeaker.score", "speechbrain.txt", "nist_sre18.tsv")),
        *((name, "nist_sre18_key.tsv") for name in ("kaldi.scores", "nist_sre18.tsv")),
    ):
        assert round(100 * evaluated(folder / scores, folder / listed)["trials"]["eer"], 2) == 23.33
    for alone in ("wespeaker.score", "speechbrain.txt"):
        assert round(100 * evaluated(folder / alone)["trials"]["eer"], 2) == 23.33
    (warning,) = (each for each in evaluated(folder / "distances", folder / "trials")["warnings"] if "AUC" in each)
    assert warning.startswith("AUC is 0.1100, below 0.5: a higher score must mean the same speaker")
    turned = evaluated(folder / "distances", folder / "trials", distances=True)
    assert round(100 * turned["trials"]["eer"], 2) == 23.33


SPEECHBRAIN = ["a t1 1 3", "a t2 0 1", "b t1 0 2", "b t2 1 4"]
LIST = ["a t1 target", "a t2 nontarget", "b t1 nontarget", "b t2 target"]


@pytest.fixture
def listed(tmp_path):
    return write(tmp_path / "list", LIST)


def numbers(scores, trials=None):
    return evaluated(scores, trials)["trials"]


def test_a_choice_between_formats_is_made_by_the_trials(tmp_path, listed):
    """Scores that are 0 and 1 look like labels; the labels of the list decide."""
    two = write(tmp_path / "two", ["a t1 1 0", "a t2 0 1", "b t1 0 0", "b t2 1 1"])
    assert evaluated(two, listed)["notes"][0] == "scores: SpeechBrain's columns: model, test, label, score"
    assert numbers(two, listed)["auc"] == 0.5
    other = write(tmp_path / "other", ["a t1 0 1", "a t2 1 0", "b t1 0 0", "b t2 1 1"])
    assert evaluated(other, listed)["notes"][0] == "scores: wespeaker's columns: model, test, score, label"
    with pytest.raises(CorpusError, match=r"it fits SpeechBrain's columns .* and wespeaker's .* name the columns"):
        numbers(two)
    named = write(tmp_path / "named", ["model test label score", *two.read_text().splitlines()])
    assert numbers(named) == numbers(two, listed)


def test_numbers_as_names_are_distinguished_by_the_list(tmp_path):
    listed = write(tmp_path / "list", ["1001 7 target", "1001 8 nontarget"])
    assert numbers(write(tmp_path / "kaldi", ["1001 7 2", "1001 8 1"]), listed)["eer"] == 0
    assert numbers(write(tmp_path / "trainer", ["2 1001 7", "1 1001 8"]), listed)["eer"] == 0
    assert numbers(write(tmp_path / "bob", ["1001 1001 7 2", "1001 5 8 1"]), listed)["eer"] == 0
    with pytest.raises(CorpusError, match=r"no trial of .*list is in .*VoxCeleb trainer's columns"):
        numbers(write(tmp_path / "others", ["5 6 2", "5 7 1"]), listed)


def test_the_models_of_bob_may_be_the_claimed_speakers(tmp_path, listed):
    lines = ["a a-model a t1 3", "a a-model b t2 1", "b b-model a t1 2", "b b-model b t2 4"]
    scores = write(tmp_path / "bob", lines)
    assert numbers(scores, listed)["eer"] == 0
    by_model = write(tmp_path / "by_model", [line.replace(" ", "-model ", 1) for line in LIST])
    assert numbers(scores, by_model) == numbers(scores, listed) == numbers(scores)


def test_labels_that_contradict_the_list_are_an_error(tmp_path, listed):
    wrong = write(tmp_path / "wrong", [*SPEECHBRAIN[:3], "b t2 0 4"])
    with pytest.raises(CorpusError) as error:
        evaluated(wrong, listed, allow_missing=True, allow_extra=True)
    assert "labels of scores that contradict the trial list: 1" in str(error.value)
    assert f"{wrong}:4: b t2 0; line 4 of {listed} has the other label" in str(error.value)
    turned = write(tmp_path / "turned", [re.sub(r" ([01]) ", lambda m: f" {1 - int(m[1])} ", x) for x in SPEECHBRAIN])
    with pytest.raises(CorpusError, match="contradict the trial list: 4"):
        evaluated(turned, listed)
    bob = write(tmp_path / "bob", ["a a t1 3", "a b t2 1", "b a t1 2", "b x t2 4"])
    with pytest.raises(CorpusError, match="b t2 nontarget; line 4 of"):
        evaluated(bob, listed)


def test_words_in_a_column_called_label_that_are_no_labels_are_left_to_the_list(tmp_path, listed):
    scores = write(tmp_path / "scores.csv", ["model,test,score,label", "a,t1,3,x", "a,t2,1,", "b,t1,2,y", "b,t2,4,1"])
    assert numbers(scores, listed)["eer"] == 0
    with pytest.raises(CorpusError, match=r"scores.csv:2: label 'x'; expected one of target"):
        evaluated(scores)


def test_repeated_lines_of_scores_alone_count_once(tmp_path):
    twice = write(tmp_path / "scores", [*SPEECHBRAIN, SPEECHBRAIN[0]])
    with pytest.raises(CorpusError, match=r"^lines that repeat an earlier one: 1; --allow-extra"):
        evaluated(twice)
    assert evaluated(twice, allow_extra=True)["trials"]["n_target"] == 2
    with pytest.raises(CorpusError, match="lines that contradict an earlier one: 1"):
        evaluated(write(twice, [*SPEECHBRAIN, "a t1 1 9"]), allow_extra=True)
    with pytest.raises(CorpusError, match=r"a t1 0; line 1 of .* has the other label"):
        evaluated(write(twice, [*SPEECHBRAIN, "a t1 0 3"]), allow_extra=True)


def test_names_may_have_suffixes_and_folders_that_the_list_lacks(tmp_path):
    """SpeechBrain writes VoxCeleb's names without .wav; others write whole paths."""
    names = [f"id1000{speaker}/video{n}/0000{n}.wav" for speaker in (1, 2) for n in (1, 2)]
    pairs = [(one, other) for one in names for other in names if one != other]
    listed = write(tmp_path / "vox", [f"{int(one[:7] == other[:7])} {one} {other}" for one, other in pairs])
    scores = [float(np.sin(n)) for n in range(len(pairs))]
    kaldi = [f"{one} {other} {score}" for (one, other), score in zip(pairs, scores, strict=True)]
    right = numbers(write(tmp_path / "kaldi", kaldi), listed)
    short = [line.replace(".wav", "") for line in kaldi]
    found = evaluated(write(tmp_path / "short", short), listed)
    assert found["trials"] == right
    assert "names: compared without the suffixes of audio files" in found["notes"]
    for name in ("/data/vox/", "wav/"):
        long = [re.sub("id1", f"{name}id1", line).replace(".wav", ".flac") for line in kaldi]
        found = evaluated(write(tmp_path / "long", long), listed)
        assert found["trials"] == right
        assert "names: compared without the suffixes of audio files and without leading folders" in found["notes"]
    ends = [re.sub(r"id1000\d/", "", line) for line in kaldi]  # the names are not distinct without the speaker
    with pytest.raises(CorpusError, match="scores of trials that are not in the list: 12"):
        evaluated(write(tmp_path / "ends", ends), listed)


def test_a_list_may_hold_folders_that_the_scores_lack(tmp_path):
    listed = write(tmp_path / "list", [re.sub(r"t(\d)", r"corpus/wav/t\1.wav", line) for line in LIST])
    assert numbers(write(tmp_path / "scores", SPEECHBRAIN), listed)["eer"] == 0


@pytest.mark.parametrize("ending", ["\n", "\r\n", " \t\r\n", "\n\n"])
def test_ends_of_lines_marks_and_comments_do_not_matter(tmp_path, listed, ending):
    right = numbers(write(tmp_path / "plain", SPEECHBRAIN), listed)
    path = tmp_path / "scores"
    for lines in (
        ["\ufeff" + SPEECHBRAIN[0], *SPEECHBRAIN[1:]],
        ["# written by a script, 4 trials", *SPEECHBRAIN[:2], "#", *SPEECHBRAIN[2:]],
        [line.replace(" ", "\t") for line in SPEECHBRAIN],
        ["enrol test label score", *SPEECHBRAIN[:2], "enrol test label score", *SPEECHBRAIN[2:]],
    ):
        path.write_bytes("".join(line + ending for line in lines).encode())
        assert numbers(path, listed) == right == numbers(path)


def test_names_that_begin_as_a_comment_are_names(tmp_path):
    listed = write(tmp_path / "list", ["#a t1 target", "#a t2 nontarget"])
    assert numbers(write(tmp_path / "scores", ["#a t1 2", "#a t2 1"]), listed)["eer"] == 0


def test_trials_whose_names_are_names_of_columns_are_trials(tmp_path):
    lines = ["utt1 utt2 target", "utt1 utt3 nontarget", "file1 file2 target"]
    scores = write(tmp_path / "scores", ["utt1 utt2 2", "utt1 utt3 1", "file1 file2 3"])
    assert numbers(scores, write(tmp_path / "list", lines))["n_target"] == 2
    tabs = write(
        tmp_path / "tabs", [line.replace(" ", "\t") for line in ("utt1 utt2 2", "utt1 utt3 1", "file1 file2 3")]
    )
    assert numbers(tabs, tmp_path / "list")["n_target"] == 2
    named = write(tmp_path / "named", ["utt1 utt2 target", "utt1 utt2 1", "utt1 utt3 0", "file1 file2 1"])
    assert numbers(scores, named)["n_target"] == 2


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        *((text, "scores that are not a number: 1; --allow-missing leaves them out") for text in
          ("1_000", "infinity", "\uff11", "0x10", "1e", "--1", "nan", "1.2.3")),
        *((text, "scores with a decimal comma; expected a decimal point: 1\n") for text in ("-1,5", "0,25", "2,5e-3")),
    ],
)  # fmt: skip
def test_numbers_are_those_of_other_programs(tmp_path, listed, text, kind):
    for lines in (
        ["a t1 {}", "a t2 1", "b t1 2", "b t2 4"],
        ["model;test;llr", "a;t1;{}", "a;t2;1", "b;t1;2", "b;t2;4"],
    ):
        scores = write(tmp_path / "scores", [line.format(text) for line in lines])
        with pytest.raises(CorpusError) as error:
            evaluated(scores, listed)
        assert str(error.value).startswith(kind)
        assert f"{scores}:{len(lines) - 3}: a t1 {text!r}" in str(error.value)
        if "comma" in kind:
            with pytest.raises(CorpusError, match="decimal comma"):
                evaluated(scores, listed, allow_missing=True)
    for text in ("inf", "1e3", "+.5", "5."):
        assert numbers(write(tmp_path / "scores", [f"a t1 {text}", "a t2 0", "b t1 0", "b t2 4"]), listed)["eer"] == 0


UNKNOWN = {
    "no-number": (["a t1 x y", "a t2 x y"], r":1: 'a t1 x y'; expected .*; tried SpeechBrain's columns \(model, "),
    "two": (["a 1", "b 2"], ":1: 'a 1'; expected lines of model"),
    "six": (["a b c d e 1"], ":1: 'a b c d e 1'; expected lines of model"),
    "no-score": (["model,test,x", "a,t1,1"], ":1: no column 'llr' or 'score' among model, test, x"),
    "header-only": (["model,test,llr"], "no scores; the file holds only a line that names the columns"),
    "short-line": ([*SPEECHBRAIN, "a t1 1"], ":5: 'a t1 1'; expected model, test, label, score, as in the other lines"),
    "short-row": (["model,test,llr", "a,t1"], ":2: 2 fields; expected 3, as in the first line"),
    "comments": (["# nothing"], "'# nothing'; expected lines of model"),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNKNOWN)
def test_what_is_no_score_file_is_refused_with_what_was_expected(tmp_path, listed, kind):
    lines, message = UNKNOWN[kind]
    with pytest.raises(CorpusError, match=message):
        evaluated(write(tmp_path / "scores", lines), listed)


@pytest.mark.parametrize("scores", [*UNLABELLED, "SpeechBrain"])
@pytest.mark.parametrize("listed", ["kaldi", "voxceleb", "NIST-key", "NIST-key-words", "labels"])
def test_scores_and_trials_in_the_wrong_order_are_recognised(tmp_path, scores, listed):
    trials = drawn(3)
    first = write(tmp_path / "scores", lines_of(trials, *(LABELLED | UNLABELLED)[scores]))
    second = write(tmp_path / "list", lines_of(trials, *TRIALS[listed]))
    expected = f"{second} holds trials with labels, and {first} scores; expected first the scores, then the trials"
    with pytest.raises(CorpusError) as error:
        evaluated(second, first)
    assert str(error.value) == expected or scores in ("SpeechBrain", "in-order-table")  # a list with scores is a list


def test_distances_are_warned_of_and_turned(tmp_path, listed):
    scores = ["a t1 1", "a t2 3", "b t1 2", "b t2 0.5"]
    distances = write(tmp_path / "distances", scores)
    found = evaluated(distances, listed)
    assert found["trials"]["auc"] == 0
    assert found["warnings"][0] == (
        "AUC is 0.0000, below 0.5: a higher score must mean the same speaker; turn distances with --distances"
    )
    page = tmp_path / "page.html"
    turned = evaluated(distances, listed, distances=True, report=page)
    negated = [re.sub(r"([\d.]+)$", r"-\1", line) for line in scores]
    assert turned["trials"] == numbers(write(tmp_path / "negated", negated), listed)
    note = "scores: negated, as --distances asks, so that a higher score means the same speaker"
    assert note in turned["notes"]
    assert note in page.read_text(encoding="utf-8")
    assert not any("AUC" in each for each in turned["warnings"])
    wrong = evaluated(tmp_path / "negated", listed, distances=True, report=page)
    assert wrong["warnings"][0].endswith("must mean the same speaker; leave out --distances")
    assert wrong["warnings"][0] in page.read_text(encoding="utf-8")
    even = write(tmp_path / "even", ["a t1 1", "a t2 1", "b t1 1", "b t2 1"])
    assert not any("AUC" in each for each in evaluated(even, listed)["warnings"])


def test_labels_that_are_read_as_scores_are_warned_of(tmp_path, listed):
    scores = write(tmp_path / "scores", ["a t1 1", "a t2 0", "b t1 0", "b t2 1"])
    warning = "all scores are 0 or 1, as labels and decisions are; expected scores"
    assert evaluated(scores, listed)["warnings"][0] == warning
    assert warning not in evaluated(write(scores, ["a t1 1", "a t2 0", "b t1 0", "b t2 2"]), listed)["warnings"]


def test_formats_are_decided_by_the_whole_file_where_its_start_leaves_a_choice(tmp_path):
    """The first thousand lines hold no trial of the list, and later ones do."""
    others = [f"x{n} y{n} {n % 2} 0.5" for n in range(1500)]
    listed = write(tmp_path / "list", LIST)
    scores = write(tmp_path / "scores", [*others, *SPEECHBRAIN])
    assert evaluated(scores, listed, allow_extra=True)["trials"]["n_target"] == 2
    assert json.dumps(evaluated(scores)["trials"]["n_target"]) == "752"
