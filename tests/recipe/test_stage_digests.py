"""Which outputs of stages another experiment may take over, from what each stage is made of; nothing is trained."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from speechgmm.corpus.formats.kaldi import KaldiConfig, read_kaldi, write_kaldi
from speechgmm.corpus.manifest import Corpus, Trial, Utterance
from speechgmm.corpus.synthetic.synthesis import SyntheticConfig
from speechgmm.errors import CorpusError
from speechgmm.evaluation.summary import EvaluationConfig
from speechgmm.features.extract import FeatureConfig
from speechgmm.features.store.imported import ImportedConfig
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.cache.outputs import StageCache, StageOutput
from speechgmm.recipe.graph import calibration, experiment
from speechgmm.recipe.graph.calibration import calibrate
from speechgmm.recipe.graph.cross_fitting import FoldSystems
from speechgmm.recipe.graph.experiment import extract_roles
from speechgmm.recipe.graph.system import System, build_system
from speechgmm.recipe.layout import CACHE
from speechgmm.recipe.running.planning import plan
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.schema.sections import CalibrationSection
from speechgmm.recipe.stages.calibration import check_list
from speechgmm.recipe.stages.context import NotYetKnown, StagePlanner, StageRunner
from speechgmm.recipe.stages.evaluation import FinalScores, evaluation_output, load_metrics
from speechgmm.recipe.stages.features import role_features
from speechgmm.recipe.stages.progress import ProgressBars
from speechgmm.recipe.stages.score_matrix import ScoreMatrix
from speechgmm.scoring.normalisation import ScoreNormalisationConfig

SERIAL = Engine("serial")
DEV = {"method": "logistic", "on": "dev", "allow_evaluated": True}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Twelve speakers of the background, four who are enrolled under other names, and their tests in two lists."""
    folder = tmp_path_factory.mktemp("digests")
    rng = np.random.default_rng(0)

    def say(name, speaker, **more):
        soundfile.write(folder / f"{name}.wav", noise(rng), 16000)
        return Utterance(name, speaker, str(folder / f"{name}.wav"), sex="fm"[int(speaker[1:]) % 2], **more)

    background = [say(f"b{n}-{k}", f"b{n:02}") for n in range(12) for k in range(2)]
    enrol = [say(f"e{n}-{k}", f"e{n}", model=f"model-{n}") for n in range(4) for k in range(2)]
    test = [say(f"t{n}", f"e{n}") for n in range(4)]
    trials = [Trial(f"model-{n}", f"t{m}", n == m) for n in range(4) for m in range(4)]
    lists = {"dev": tuple(trials[:8]), "eval": tuple(trials[8:])}
    return Lab(folder, Corpus(tuple(background), tuple(enrol), tuple(test), lists))


def noise(rng):
    """Half a second, of which half is loud enough to pass for speech."""
    return rng.normal(0, np.repeat([0.001, 0.1], 4000))


class Lab:
    """Plans experiments on a corpus whose features alone are made."""

    def __init__(self, folder, corpus):
        self.folder, self.corpus = folder, corpus
        self.cache = StageCache(folder / "cache")

    def digests(self, corpus=None, **sections):
        """The digest of each stage, by its title."""
        corpus = corpus or self.corpus
        calibrated = sections.get("calibration", {})
        if calibrated.get("method", "logistic") == "logistic":  # without the scores of the enrolment, unless asked for
            sections = {**sections, "calibration": {"prior": "none", **calibrated}}
        recipe = Recipe.model_validate({"name": "x", "corpus": SyntheticConfig(), **sections})
        extract_roles(recipe, corpus, StageRunner(self.cache, SERIAL, ProgressBars(None)))
        planner = StagePlanner(self.cache)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(experiment, "find_corpus", lambda *_: corpus)
            assert len(list(experiment.experiment_stages(recipe, planner))) == 6
        planned = {each.output.title: each.output.digest for each in planner.planned}
        assert len(planned) == len(planner.planned)
        return planned

    def with_recording(self, role, number):
        """The corpus with another recording in place of one."""
        own = list(self.corpus.role(role))
        other = self.folder / "other.wav"
        soundfile.write(other, noise(np.random.default_rng(1)), 16000)
        own[number] = replace(own[number], path=str(other))
        return replace(self.corpus, **{role: tuple(own)})


def each_of(corpus, role, **changes):
    """The corpus with changes to the utterances of a role, each a function of the utterance."""
    own = (replace(each, **{key: of(each) for key, of in changes.items()}) for each in corpus.role(role))
    return replace(corpus, **{role: tuple(own)})


def first_of(corpus, role, **changes):
    """The corpus with changes to the first utterance of a role."""
    first, *others = corpus.role(role)
    return replace(corpus, **{role: (replace(first, **changes), *others)})


def flipped(corpus, name):
    """The corpus with another label of a list's first trial."""
    first, *others = corpus.trials[name]
    return replace(corpus, trials={**corpus.trials, name: (replace(first, target=not first.target), *others)})


def reversed_trials(corpus):
    return replace(corpus, trials={name: own[::-1] for name, own in corpus.trials.items()})


def reversed_lists(corpus):
    return replace(corpus, trials=dict(reversed(corpus.trials.items())))


def models_renamed(corpus, sexes="fm"):
    """The corpus with other names of the models of speakers of these sexes."""
    names = {each.model: f"{each.model}x" if each.sex in sexes else each.model for each in corpus.enrol}
    enrol = tuple(replace(each, model=names[each.model]) for each in corpus.enrol)
    lists = {name: tuple(replace(each, model=names[each.model]) for each in own) for name, own in corpus.trials.items()}
    return replace(corpus, enrol=enrol, trials=lists)


def of_folds(titles):
    return {f"{title} of fold {number}" for title in titles for number in (1, 2)}


FEATURES = {f"features of {role}" for role in ("background", "enrol", "test")}
COHORT = "speakers of the cohort"
Z, T, ZT = (f"scores of the cohort{what}" for what in ("'s utterances", "'s models", " by itself"))
SYSTEM = {"ubm", "speakers", "scores", Z, COHORT, T, ZT, "normalisation"}
END = {"calibration", "evaluation"}
ALL = FEATURES | SYSTEM | of_folds(SYSTEM) | END
SCORES = {"scores", Z, T, ZT, "normalisation"}

# What an experiment with all kinds of stages is changed by, and the stages that depend on it.
CHANGES = {
    "the occasion of a recording": (lambda lab: first_of(lab.corpus, "enrol", session="monday"), set()),
    "the sex of a speaker": (lambda lab: first_of(lab.corpus, "background", sex="m"), set()),
    "a note": (lambda lab: replace(lab.corpus, notes=("left out",)), set()),
    "the speaker of a test": (lambda lab: first_of(lab.corpus, "test", speaker="eve"), {"evaluation"}),
    "the label of a trial": (lambda lab: flipped(lab.corpus, "eval"), {"evaluation"}),
    "the order of trials": (lambda lab: reversed_trials(lab.corpus), {"evaluation"}),
    "the order of lists": (lambda lab: reversed_lists(lab.corpus), {"evaluation"}),
    "the names of enrolled speakers": (
        lambda lab: each_of(lab.corpus, "enrol", speaker=lambda each: f"{each.speaker}x"),
        {"normalisation", "evaluation"},  # whose own utterances are not in their cohort
    ),
    "the names of models": (
        lambda lab: models_renamed(lab.corpus),
        {"speakers", "scores", Z, "normalisation", "evaluation"},
    ),
    "the model that an utterance enrols": (
        lambda lab: first_of(lab.corpus, "enrol", model="model-1", speaker="e1"),
        {"speakers", "scores", Z, "normalisation", "evaluation"},
    ),
    "a recording of a test": (
        lambda lab: lab.with_recording("test", 0),
        {"features of test", "scores", T, "normalisation", "evaluation"},
    ),
    "a test": (
        lambda lab: replace(lab.corpus, test=(*lab.corpus.test, replace(lab.corpus.test[0], id="t9"))),
        {"features of test", "scores", T, "normalisation", "evaluation"},
    ),
    "a recording of an enrolment": (
        lambda lab: lab.with_recording("enrol", 0),
        {"features of enrol", "speakers", "scores", Z, "normalisation", "evaluation"},
    ),
    "the name of a recording": (
        lambda lab: first_of(lab.corpus, "enrol", id="e9-0"),
        {"features of enrol", "speakers", "scores", Z, "normalisation", "evaluation"},
    ),
    "a recording of the background": (
        lambda lab: lab.with_recording("background", 0),
        ALL - {"features of enrol", "features of test"},
    ),
    "the names of the background's speakers": (
        lambda lab: each_of(lab.corpus, "background", speaker=lambda each: f"{each.speaker}x"),
        # Who is in which fold stays: it is drawn from their order.
        {COHORT, T, ZT, "normalisation"} | of_folds(SYSTEM - {"ubm"}) | END,
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_to_the_corpus_changes_what_depends_on_it_and_nothing_else(lab, change):
    make, expected = CHANGES[change]
    assert changed(lab, {"normalisation": {"method": "zt"}}, corpus=make(lab)) == (ALL, expected)


def changed(lab, sections, *, corpus=None, **others):
    """The titles of all stages, and of those that a change to the corpus or to sections changes."""
    before, after = lab.digests(**sections), lab.digests(corpus, **{**sections, **others})
    assert before.keys() == after.keys()
    return {*before}, {title for title, digest in before.items() if after[title] != digest}


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"seed": 1}, ALL - FEATURES),
        ({"features": {"n_cepstra": 12}}, ALL),
        ({"ubm": {"n_components": 3}}, ALL - FEATURES),
        ({"speakers": {"relevance_factor": 4.0}}, ALL - FEATURES - {"ubm"} - of_folds({"ubm"})),
        ({"scoring": {"top_components": 2}}, SCORES | of_folds(SCORES) | END),
        (
            {"normalisation": {"method": "zt", "statistics": "median"}},
            {"normalisation"} | of_folds({"normalisation"}) | END,
        ),
        ({"calibration": {"p_target": 0.1}}, END),
        ({"calibration": {"method": "pav"}}, END),
        ({"decision": {"method": "eer"}}, END),
        ({"evaluation": {"dcf": ["sre10"]}}, {"calibration", "evaluation"}),  # decisions are by the first preset
        ({"evaluation": {"dcf": ["sre08", "sre10"]}}, {"evaluation"}),
        ({"name": "y"}, set()),
    ],
)
def test_a_change_to_a_section_changes_what_depends_on_it_and_nothing_else(lab, sections, expected):
    assert changed(lab, {"normalisation": {"method": "zt"}}, **sections) == (ALL, expected)


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("background", SYSTEM),
        ("enrol", {"speakers", "scores", Z, "normalisation"}),
        ("test", {"scores", T, "normalisation"}),
    ],
)
def test_parts_of_a_store_are_told_apart(lab, role, expected):
    recipe = Recipe(name="x", corpus=SyntheticConfig(), normalisation=ScoreNormalisationConfig(method="zt"))
    (by_role,) = extract_roles(recipe, lab.corpus, StagePlanner(lab.cache)).roles
    some = by_role[role].utterances
    planned = []
    for part in (some[::2], some[1::2]):  # of the same speakers, but for the tests
        planner = StagePlanner(lab.cache)
        own = {**by_role, role: replace(by_role[role], utterances=part)}
        build_system(recipe, own["background"], own["enrol"], own["test"], planner)
        planned.append({(each.output.title, each.output.digest) for each in planner.planned})
    assert {title for title, _ in planned[0] - planned[1]} == expected


@pytest.mark.parametrize(("shrinkage", "of_models"), [(0, set()), (10, {COHORT, ZT})])
def test_a_cohort_of_recordings_is_one_of_their_speakers(lab, shrinkage, of_models):
    names = each_of(lab.corpus, "background", speaker=lambda each: f"{each.speaker}x")
    own = {"ubm", "speakers", "scores", Z, "normalisation"} | of_models
    # Of utterances alone, the scores stay; a model is compared with those of others.
    expected = {"normalisation"} | of_models | of_folds(own - {"ubm"}) | END
    sections = {"normalisation": {"method": "z", "shrinkage": shrinkage}}
    assert changed(lab, sections, corpus=names) == (FEATURES | own | of_folds(own) | END, expected)


def test_without_normalisation_nobody_needs_to_know_who_is_enrolled_but_the_numbers(lab):
    names = each_of(lab.corpus, "enrol", speaker=lambda each: f"{each.speaker}x")
    assert changed(lab, {}, corpus=names)[1] == {"evaluation"}


def test_a_fold_chooses_its_cohort_by_the_number_of_the_whole(lab):
    sections = {"normalisation": {"method": "as", "top_n": 6}}
    others = {"normalisation": {"method": "as", "top_n": 8}}
    assert changed(lab, sections, **others)[1] == {"normalisation"} | of_folds({"normalisation"}) | END


OF_ENROLMENT = {f"{title} of the enrolment" for title in ("scores", T, "normalisation")}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda lab: lab.with_recording("test", 0), {"features of test", "scores", T, "normalisation", "evaluation"}),
        (
            lambda lab: lab.with_recording("enrol", 0),
            {"features of enrol", "speakers", "scores", Z, "normalisation"} | OF_ENROLMENT | END,
        ),
        (
            lambda lab: each_of(lab.corpus, "enrol", speaker=lambda each: f"{each.speaker}x"),
            # whose own recordings are no nontargets, and not in their cohort
            {"normalisation", "normalisation of the enrolment"} | END,
        ),
        (
            lambda lab: lab.with_recording("background", 0),
            (ALL | OF_ENROLMENT) - {"features of enrol", "features of test"},
        ),
    ],
    ids=["tested", "enrolment", "speakers", "background"],
)
def test_a_calibration_with_a_prior_depends_on_scores_of_the_enrolment(lab, change, expected):
    sections = {"normalisation": {"method": "zt"}, "calibration": {"prior": "shipped"}}
    assert changed(lab, sections, corpus=change(lab)) == (ALL | OF_ENROLMENT, expected)


ALONE = {"speakers": {"method": "independent", "n_components": 2}}
OF_ALONE = {"speakers", COHORT, "scores"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda lab: first_of(lab.corpus, "test", speaker="eve"), {"evaluation"}),
        (
            lambda lab: each_of(lab.corpus, "enrol", speaker=lambda each: f"{each.speaker}x"),
            {"scores", "evaluation"},  # whose own models are not in their cohort
        ),
        (lambda lab: models_renamed(lab.corpus), {"speakers", "scores", "evaluation"}),
        (lambda lab: lab.with_recording("enrol", 0), {"features of enrol", "speakers", "scores", "evaluation"}),
        (lambda lab: lab.with_recording("test", 0), {"features of test", "scores", "evaluation"}),
        (
            lambda lab: lab.with_recording("background", 0),
            {"features of background", COHORT, "scores"} | of_folds(OF_ALONE) | END,
        ),
        (
            lambda lab: each_of(lab.corpus, "background", speaker=lambda each: f"{each.speaker}x"),
            {COHORT, "scores"} | of_folds(OF_ALONE) | END,
        ),
    ],
    ids=["test", "speakers", "models", "enrolment", "tested", "background", "cohort"],
)
def test_a_change_to_the_corpus_of_models_alone(lab, change, expected):
    assert changed(lab, ALONE, corpus=change(lab)) == (FEATURES | OF_ALONE | of_folds(OF_ALONE) | END, expected)


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"seed": 1}, {"speakers", COHORT, "scores"}),
        ({"speakers": {"method": "independent", "n_components": 3}}, {"speakers", COHORT, "scores"}),
        ({"calibration": {"p_target": 0.1}}, set()),
    ],
)
def test_a_change_to_a_section_of_models_alone(lab, sections, expected):
    assert changed(lab, ALONE, **sections)[1] == expected | of_folds(expected) | END


def test_models_alone_without_a_background_are_each_others_cohort(lab):
    nobody = replace(lab.corpus, background=())
    sections = {**ALONE, "calibration": {"method": "none"}}
    before = lab.digests(nobody, **sections)
    assert before.keys() == FEATURES | {"speakers", "scores", "evaluation"}
    after = lab.digests(each_of(nobody, "enrol", speaker=lambda each: f"{each.speaker}x"), **sections)
    assert {title for title in before if before[title] != after[title]} == {"scores", "evaluation"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda lab: first_of(lab.corpus, "test", speaker="eve"), {"evaluation"}),
        (lambda lab: flipped(lab.corpus, "eval"), {"evaluation"}),
        (lambda lab: flipped(lab.corpus, "dev"), END),
        (lambda lab: lab.with_recording("test", 0), {"features of test", "scores", *END}),
        (lambda lab: lab.with_recording("enrol", 0), {"features of enrol", "speakers", "scores", *END}),
        (
            lambda lab: each_of(lab.corpus, "background", speaker=lambda each: f"{each.speaker}x"),
            set(),  # a background model knows no names
        ),
    ],
    ids=["speaker", "label", "learnt label", "tested", "enrolment", "background"],
)
def test_a_calibration_on_a_list_depends_on_its_labels_and_scores(lab, change, expected):
    titles = FEATURES | {"ubm", "speakers", "scores"} | END
    assert changed(lab, {"calibration": DEV}, corpus=change(lab)) == (titles, expected)


def test_another_first_model_trains_another_background_model_wherever_it_lies(lab, tmp_path):
    first, copy, other = (tmp_path / name for name in ("first", "copy", "other"))
    for path, content in ((first, b"1"), (copy, b"1"), (other, b"2")):
        path.write_bytes(content)
    for section, trained in (("ubm", "ubm"), ("speakers", COHORT)):
        base = {"calibration": DEV, section: dict(ALONE["speakers"] if section == "speakers" else {})}

        def start(path, base=base, section=section):
            return {**base, section: {**base[section], "initial_model": str(path)}}

        assert changed(lab, start(first), **start(copy))[1] == set()
        assert changed(lab, start(first), **start(other))[1] == {trained, "speakers", "scores", *END}


def test_models_of_each_sex_depend_on_their_own_speakers(lab):
    sections = {"ubm": {"per_sex": True}, "calibration": {"method": "none"}}
    stages = {f"{stage} of sex {sex}" for stage in ("ubm", "speakers", "scores") for sex in "fm"}
    titles, found = changed(lab, sections, corpus=models_renamed(lab.corpus, "f"))
    assert titles == FEATURES | stages | {"evaluation"}
    assert found == {"speakers of sex f", "scores of sex f", "evaluation"}
    own, whole = lab.digests(**sections), lab.digests(calibration={"method": "none"})
    assert len({own["ubm of sex f"], own["ubm of sex m"], whole["ubm"]}) == 3


def test_what_one_of_several_systems_is_made_of_changes_that_one(lab):
    def of(name, n_components):
        return {"name": name, "corpus": SyntheticConfig(), "ubm": {"n_components": n_components}}

    own = {"ubm", "speakers", "scores"}
    expected = {f"{stage} of b" for stage in own}
    expected |= {f"{stage} of fold {number}, b" for stage in own for number in (1, 2)}
    both = {"systems": [of("a", 2), of("b", 3)]}
    assert changed(lab, both, systems=[of("a", 2), of("b", 4)])[1] == expected | END
    assert changed(lab, both, systems=[of("b", 3), of("a", 2)])[1] == END  # the first one's tests tell the durations


def test_given_features_depend_on_their_file_and_their_place_in_it(tmp_path):
    for name, content in (("a.ark", b"one"), ("copy.ark", b"one"), ("b.ark", b"two")):
        (tmp_path / name).write_bytes(content)
    context = StagePlanner(StageCache(tmp_path / "cache"))

    def planned(place):
        utterance = Utterance("a", "ann", str(tmp_path / place))
        return role_features("features", [utterance], ImportedConfig(n_static=3), context).features.digest

    assert planned("a.ark:5") == planned("copy.ark:5")
    places = ("a.ark:5", "a.ark:7", "a.ark:5[0:3]", "a.ark", "b.ark:5", "none.ark:5")
    assert len({planned(place) for place in places}) == len(places)


def test_the_same_scores_of_other_speakers_teach_something_else(lab, tmp_path, monkeypatch):
    recipe = Recipe(name="x", corpus=SyntheticConfig())
    features = extract_roles(recipe, lab.corpus, StageRunner(lab.cache, SERIAL, ProgressBars(None))).roles
    scores = System((), (StageOutput("scores", tmp_path, "0", True, {}),))

    def planned(speaker):
        fold = FoldSystems((scores,), (Utterance("t", speaker, ""),))
        monkeypatch.setattr(calibration, "cross_fitted_systems", lambda *_: (fold, fold))
        return calibrate(recipe, (scores,), features, None, StagePlanner(lab.cache)).output.digest

    assert planned("ann") == planned("ann")
    assert planned("ann") != planned("bob")


def test_a_calibration_is_planned_where_the_first_system_has_heard_the_enrolment(lab, tmp_path, monkeypatch):
    # folds enrol as much speech as the evaluation does
    recipe = Recipe(name="x", corpus=SyntheticConfig())
    runner = StageRunner(StageCache(tmp_path), SERIAL, ProgressBars(None))
    role_features("features of background", lab.corpus.background, recipe.features, runner)
    monkeypatch.setattr(experiment, "find_corpus", lambda *_: lab.corpus)
    with pytest.raises(NotYetKnown) as unknown:
        list(experiment.experiment_stages(recipe, StagePlanner(runner.cache)))
    assert unknown.value.args == ("calibration", "evaluation")


def test_a_list_that_calibrates_has_neither_speakers_of_others_nor_of_the_background(lab):
    on_dev = Recipe(name="x", corpus=SyntheticConfig(), calibration=CalibrationSection(on="dev"))
    background, enrol, test = ([Utterance(f"{who}-{role}", who, "") for who in "abcd"] for role in "bet")

    def lists(*dev, background=()):
        own = {"dev": dev, "eval": (Trial("c", "d-t", False),)}
        return Corpus(tuple(background), tuple(enrol), tuple(test), own)

    check_list(on_dev, lists(Trial("a", "b-t", False)))
    check_list(on_dev, lists(Trial("a", "b-t", False), background=background[2:]))
    for trial in (Trial("c", "b-t", False), Trial("a", "c-t", False), Trial("d", "b-t", False)):
        with pytest.raises(CorpusError, match="the list dev and those evaluated"):
            check_list(on_dev, lists(trial))
    for known in background[:2]:  # one is claimed to speak, the other speaks
        with pytest.raises(CorpusError, match="the list dev and the background"):
            check_list(on_dev, lists(Trial("a", "b-t", False), background=[known]))


def test_a_calibration_is_planned_where_every_system_has_heard_the_background(lab, tmp_path):
    write_kaldi(replace(lab.corpus, trials={"trials": lab.corpus.trials["eval"]}), lab.folder)
    config = KaldiConfig(root=str(lab.folder))
    systems = [Recipe(name=f"of-{n}", corpus=config, features=FeatureConfig(n_cepstra=n)) for n in (12, 13)]
    recipe = Recipe(name="x", corpus=config, systems=systems)
    for heard in ([], systems[:1], systems[1:], systems):
        results = tmp_path / "-".join(["heard", *(system.name for system in heard)])
        runner = StageRunner(StageCache(results / CACHE), SERIAL, ProgressBars(None))
        for system in heard:
            extract_roles(system, read_kaldi(config), runner)
        planned, unknown, _ = plan(recipe, results)
        assert unknown == (() if heard == systems else ("calibration", "evaluation"))
        assert ("calibration" in [each.stage for each in planned]) == (heard == systems)


def test_intervals_of_what_depends_on_the_order_alone_are_those_of_the_ranks(lab):
    rng = np.random.default_rng(3)
    raw = ScoreMatrix(
        lab.corpus.models, tuple(each.id for each in lab.corpus.test), rng.normal(size=(4, 4)) + np.eye(4)
    )
    equal = replace(raw, matrix=np.zeros((4, 4)))  # a calibration that has made them all the same
    recipe = Recipe(name="x", corpus=SyntheticConfig(), evaluation=EvaluationConfig(bootstrap=50))
    metrics = []
    for number, llrs in enumerate((raw, equal)):
        runner = StageRunner(StageCache(lab.folder / f"ranks-{number}"), SERIAL, ProgressBars(None))
        scores = FinalScores(raw, llrs, raw)
        done = evaluation_output(recipe, lab.corpus, (), None, None, lambda scores=scores: scores, runner)
        metrics.append(load_metrics(done.folder)["trials"]["dev"])
    for name in ("eer", "min_cllr", "min_dcf"):
        assert metrics[0]["intervals"][name] == metrics[1]["intervals"][name]
        assert metrics[0][name] == metrics[1][name]
    assert metrics[1]["intervals"]["cllr"] == [1.0, 1.0]  # a bit, whoever is drawn
    assert metrics[0]["intervals"]["cllr"][0] < metrics[0]["intervals"]["cllr"][1]
