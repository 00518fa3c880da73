"""Which systems and trials a calibration on the background is made of: folds, sessions, and how much is enrolled."""

from dataclasses import replace
from statistics import median

import numpy as np
import pytest

from helpers.recipes import synthetic_corpus
from speechgmm import open_store, run
from speechgmm.corpus.manifest import Utterance
from speechgmm.errors import CorpusError, ModelError
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.graph import cross_fitting
from speechgmm.recipe.stages.features import frame_counts

CORPUS = synthetic_corpus(n_background_utterances=6, n_test=1)
RECIPE = f"{CORPUS}\nubm: {{n_components: 4, n_iterations: 2}}\n"
RNG = np.random.default_rng


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Runs a small experiment with other keys; all share a cache."""
    folder = tmp_path_factory.mktemp("folds")
    (folder / "small.yaml").write_text(RECIPE)

    def small(*overrides):
        return run(folder / "small.yaml", overrides=overrides, results=folder, engine=Engine("serial"))

    small.folder = folder
    return small


@pytest.fixture
def built(monkeypatch):
    """What systems of folds are built of, in the order in which they are."""
    calls = []
    real = cross_fitting.build_system

    def spy(recipe, background, enrol, test, context, label):
        calls.append((recipe, background, enrol, test, label))
        return real(recipe, background, enrol, test, context, label)

    monkeypatch.setattr(cross_fitting, "build_system", spy)
    return calls


def speakers_of(role):
    return {utterance.speaker for utterance in role.utterances}


def of(name, n_utterances, n_sessions=0):
    """Utterances of a speaker, in sessions by turns."""
    return [
        Utterance(f"{name}-{n}", name, "", session=f"day {n % n_sessions}" if n_sessions else None)
        for n in range(n_utterances)
    ]


# ---- folds ----


@pytest.mark.parametrize("n_folds", [2, 4])
def test_folds_know_nothing_of_each_other(small, built, n_folds):
    keys = () if n_folds == 2 else (f"calibration.folds={n_folds}",)  # 2 are the default for 12 speakers
    done = small("seed=1", "name=disjoint", *keys)
    tried = []
    for _, background, enrol, test, _ in built:
        assert not speakers_of(background) & speakers_of(test)
        assert speakers_of(enrol) == speakers_of(test)
        assert not {*enrol.ids} & {*test.ids}
        assert len(speakers_of(background) | speakers_of(test)) == 12
        tried.append(speakers_of(test))
    assert [len(fold) for fold in tried] == [12 // n_folds] * n_folds
    assert len(set().union(*tried)) == 12
    assert [label for *_, label in built] == [f" of fold {number}" for number in range(1, n_folds + 1)]
    assert done.metrics["calibration"]["folds"] == n_folds
    assert done.metrics["calibration"]["n_speakers"] == 12
    built.clear()
    small("seed=2", "name=others", *keys)
    assert [speakers_of(test) for *_, test, _ in built] != tried  # the recipe's seed draws them
    drawn = [(enrol.ids, test.ids) for _, _, enrol, test, _ in built]
    built.clear()
    small("seed=2", "name=again", *keys)
    assert [(enrol.ids, test.ids) for _, _, enrol, test, _ in built] == drawn


@pytest.mark.parametrize(
    ("n_several", "n_single", "n_folds", "expected"),
    [(4, 0, None, 2), (19, 40, None, 2), (20, 0, None, 4), (65, 3, None, 4), (65, 3, 2, 2), (12, 0, 6, 6)],
)
def test_speakers_of_one_utterance_and_of_several_are_in_all_folds_alike(n_several, n_single, n_folds, expected):
    some = {f"s{number}": of(f"s{number}", 2 if number < n_several else 1) for number in range(n_several + n_single)}
    drawn = set()
    for seed in range(5):
        folds = cross_fitting._draw_folds(some, n_folds, RNG(seed))
        assert len(folds) == expected
        names = [name for fold in folds for name in fold]
        assert sorted(names) == sorted(some)
        assert all(list(fold) == sorted(fold) for fold in folds)
        for size, least in ((2, n_several), (1, n_single)):
            counts = [sum(len(own) == size for own in fold.values()) for fold in folds]
            assert max(counts) - min(counts) <= 1
            assert sum(counts) == least
        drawn.add(tuple(names))
    assert len(drawn) > 1


def test_too_few_speakers_of_two_utterances_are_refused():
    some = {f"s{number}": of(f"s{number}", 2 if number < 3 else 1) for number in range(30)}
    with pytest.raises(CorpusError, match="30 speakers of the background, 3 with two utterances or more; expected 4"):
        cross_fitting._draw_folds(some, None, RNG(0))
    with pytest.raises(CorpusError, match="3 with two utterances or more; expected 12 of those for 6 folds"):
        cross_fitting._draw_folds(some, 6, RNG(0))


def test_a_fold_chooses_as_large_a_share_of_its_cohort(small, built):
    small("normalisation={method: as, top_n: 8}", "name=share")
    assert [recipe.normalisation.top_n for recipe, *_ in built] == [4, 4]


def test_a_first_model_that_may_know_all_speakers_calibrates_nothing(small):
    first = small("name=first").folder / "ubm.safetensors"
    alone = small(f"ubm.initial_model={first}", "name=known")
    assert alone.metrics["calibration"]["n_target"] == 0  # but for the map that comes with the package
    assert f"initial_model {first} may know the speakers of all folds" in alone.warnings[0]
    done = small(f"ubm.initial_model={first}", "scoring.method=linear", "name=known")
    assert done.metrics["calibration"] is None
    assert f"initial_model {first} may know the speakers of all folds" in done.warnings[0]
    (small.folder / "alone.yaml").write_text(
        f"{CORPUS}\nspeakers: {{method: independent, n_components: 4, n_iterations: 2, initial_model: {first}}}\n"
    )
    done = run(small.folder / "alone.yaml", results=small.folder, engine=Engine("serial"))
    assert f"initial_model {first} may know the speakers of all folds" in done.warnings[0]


# ---- enrolment and tests ----


def drawn(by_speaker, usual, *, frames=100, seed=0):
    """The ids of what is drawn for enrolment and for tests; `frames` of all utterances, or of each."""
    of_each = {each.id: frames for own in by_speaker.values() for each in own} if isinstance(frames, int) else frames
    return [[each.id for each in part] for part in cross_fitting._draw_enrolment(by_speaker, of_each, usual, RNG(seed))]


@pytest.mark.parametrize(
    ("usual", "n_enrolled"), [(1, 1), (100, 1), (149, 1), (151, 2), (200, 2), (300, 3), (449, 4), (451, 5), (10_000, 5)]
)
def test_as_much_is_enrolled_as_usual_and_one_utterance_kept_for_tests(usual, n_enrolled):
    enrol, test = drawn({"a": of("a", 6)}, usual)
    assert len(enrol) == n_enrolled
    assert sorted([*enrol, *test]) == [f"a-{n}" for n in range(6)]


def test_utterances_of_any_length_come_as_close_to_the_usual_as_the_next_one_allows(rng):
    frames = {f"a-{n}": int(length) for n, length in enumerate(rng.integers(10, 400, 30))}
    for seed in range(20):
        enrol, test = drawn({"a": of("a", 30)}, 1000, frames=frames, seed=seed)
        # within half of the longest utterance: the next one would lead farther away
        assert abs(sum(frames[name] for name in enrol) - 1000) <= 200
        assert len(enrol) + len(test) == 30


def test_enrolment_is_drawn_across_a_speakers_utterances():
    drawn_first = {tuple(drawn({"a": of("a", 4)}, 100, seed=seed)[0]) for seed in range(40)}
    assert drawn_first == {("a-0",), ("a-1",), ("a-2",), ("a-3",)}
    assert drawn({"a": of("a", 1), "b": of("b", 1)}, 100) == [[], []]  # nothing to test them by


@pytest.mark.parametrize("usual", [100, 300, 700, 10_000])
@pytest.mark.parametrize("n_sessions", [2, 3, 4])
def test_no_session_is_enrolled_and_tested(n_sessions, usual):
    own = of("a", 12, n_sessions)
    session = {each.id: each.session for each in own}
    for seed in range(10):
        enrol, test = drawn({"a": own}, usual, seed=seed)
        enrolled, tested = ({session[name] for name in part} for part in (enrol, test))
        assert not enrolled & tested
        assert enrolled | tested == {*session.values()}
        # sessions that are tested are so as a whole, and no more is enrolled than usual
        assert len(test) == sum(each.session in tested for each in own)
        assert len(enrol) == min(usual // 100, 12 // n_sessions * (n_sessions - 1))


def test_a_single_session_is_divided_and_an_utterance_without_one_is_its_own():
    enrol, test = drawn({"a": of("a", 4, 1)}, 200)
    assert (len(enrol), len(test)) == (2, 2)
    day, alone = of("a", 3, 1), [replace(each, id=f"{each.id}x") for each in of("a", 2)]
    for seed in range(10):
        enrol, test = drawn({"a": [*day, *alone]}, 100, seed=seed)
        assert len(enrol) == 1
        assert len(test) == (2 if enrol[0] in {each.id for each in day} else 4)


def test_folds_enrol_as_many_frames_as_the_models_that_are_evaluated(small, built):
    # the evaluation enrols two utterances of all that have the same length, or all six of a longer enrolment
    for n_enrol in (1, 2, 4):
        built.clear()
        done = small(f"corpus.n_enrol={n_enrol}", f"name=enrol-{n_enrol}")
        (features,) = [stage for stage in done.stages if stage.title == "features of enrol"]
        usual = median(frames_of_models(features))
        longest = max(frame_counts(built[0][2].store).values())
        for _, _, enrol, test, _ in built:
            frames = frame_counts(enrol.store)
            for speaker in speakers_of(enrol):
                own = sum(frames[each.id] for each in enrol.utterances if each.speaker == speaker)
                assert abs(own - usual) <= longest / 2
            assert speakers_of(test) == speakers_of(enrol)


def frames_of_models(features):
    """The frames that each model of the synthetic corpus is enrolled with, by the names of its utterances."""
    of_model = {}
    for name, count in frame_counts(open_store(features.folder)).items():
        model = name.split("-")[0]
        of_model[model] = of_model.get(model, 0) + count
    return of_model.values()


def test_models_without_speech_are_not_usual(small, built):
    small("name=usual")
    _, _, enrol, _, _ = built[0]
    own = enrol.utterances[0]
    frames = frame_counts(enrol.store)[own.id]
    silent = replace(own, id="nowhere", model="silent", speaker="silent")
    assert cross_fitting._usual_frames(replace(enrol, utterances=(own, silent))) == frames
    with pytest.raises(ModelError):
        cross_fitting._usual_frames(replace(enrol, utterances=(silent,)))
