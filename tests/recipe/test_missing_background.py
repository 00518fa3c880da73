"""Corpora without a background: the enrolment takes its place."""

import pytest

from speechgmm import Utterance, load_gmm, load_recipe, run
from speechgmm.corpus.manifest import Corpus, Trial
from speechgmm.corpus.reading import KaldiConfig, read_kaldi
from speechgmm.corpus.synthetic.recordings import write_recordings
from speechgmm.corpus.synthetic.synthesis import SyntheticConfig
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.stages.missing_background import with_background

TALKERS = SyntheticConfig(n_speakers=4, n_background=1, n_background_utterances=1, n_enrol=2, n_test=2, seconds=2.0)
TEXT = "corpus: {kind: kaldi, root: ., background: null}\nubm: {n_components: 4, n_iterations: 2}\n"


def corpus_of(background=()):
    enrol = (Utterance("a-1", "ann", "a-1.wav", model="ann-phone"), Utterance("b-1", "bob", "b-1.wav"))
    test = (Utterance("a-2", "ann", "a-2.wav"),)
    return Corpus(background, enrol, test, {"trials": (Trial("bob", "a-2", target=False),)})


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "small.yaml").write_text(TEXT)
    return tmp_path / "small.yaml"


def test_the_enrolment_becomes_the_background_of_systems_that_need_one(recipe):
    completed = with_background(corpus_of(), load_recipe(recipe))
    assert [each.id for each in completed.background] == ["a-1", "b-1"]
    assert [each.enrols for each in completed.background] == ["ann", "bob"]  # by speaker, not by model
    (note,) = completed.notes
    assert note.startswith("no background: the enrolment of the 2 enrolled speakers is taken in its place")
    own = corpus_of((Utterance("c-1", "cat", "c-1.wav"),))
    assert with_background(own, load_recipe(recipe)) is own


def test_models_that_need_no_background_get_none(tmp_path):
    path = tmp_path / "alone.yaml"
    path.write_text(f"{TEXT.split('ubm')[0]}speakers: {{method: independent, n_components: 2}}\n")
    corpus = corpus_of()
    assert with_background(corpus, load_recipe(path)) is corpus


def test_a_run_without_a_background_says_what_it_took(recipe, tmp_path):
    assert list(write_recordings(TALKERS, recipe.parent))
    done = run(recipe, overrides=["normalisation.method=s"], results=tmp_path, engine=Engine("serial"))
    assert any(warning.startswith("no background: the enrolment of the 4") for warning in done.warnings)
    assert load_gmm(done.folder / "ubm.safetensors").n_components == 4
    assert done.metrics["trials"]["trials"]["n_target"] == 8


def test_a_kaldi_corpus_needs_no_folder_of_the_background_unless_it_is_named(tmp_path):
    for role, name in (("enrol", "1"), ("test", "2")):
        folder = tmp_path / "lists" / role
        folder.mkdir(parents=True)
        (folder / "wav.scp").write_text(f"a-{name} a-{name}.wav\n")
        (folder / "utt2spk").write_text(f"a-{name} ann\n")
    (tmp_path / "trials.txt").write_text("ann a-2 target\n")
    assert read_kaldi(KaldiConfig(root=str(tmp_path))).background == ()
    with pytest.raises(ValueError, match="lists/others"):
        read_kaldi(KaldiConfig(root=str(tmp_path), background="lists/others"))
