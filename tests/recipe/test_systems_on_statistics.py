"""Systems on statistics in recipes: session factors, i-vectors and supervectors, from the corpus to the scores."""

import csv
import json

import numpy as np
import pytest

from helpers.recipes import synthetic_corpus
from speechgmm import accumulate, load_gmm, run
from speechgmm.corpus.reading import KaldiConfig, read_kaldi
from speechgmm.errors import RecipeError
from speechgmm.features.extract import extract
from speechgmm.gmm.storage import load_speakers, read_header
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.reading.loader import dump_recipe, load_recipe
from speechgmm.recipe.running.planning import plan
from speechgmm.subspace.backend.chain import fit_backend
from speechgmm.subspace.session.enrolment import speaker_shift
from speechgmm.subspace.session.scoring import session_llrs, session_scores
from speechgmm.subspace.session.storage import load_joint_factors
from speechgmm.subspace.supervectors import supervectors
from speechgmm.subspace.total_variability.posterior import ivectors
from speechgmm.subspace.total_variability.storage import load_total_variability
from speechgmm.subspace.vectors import Vectors

RECIPE = f"""
name: small
{synthetic_corpus(n_background=10, n_background_utterances=3)}
ubm: {{n_components: 4, n_iterations: 3}}
evaluation: {{bootstrap: 20, dcf: [voxceleb]}}
"""
NO_CALIBRATION = "calibration: {method: none}\n"
ISV = "speakers: {method: isv, rank: 2, n_iterations: 3}\n"
LINEAR = "scoring: {method: linear}\n"
JFA = "speakers: {method: jfa, rank: 2, speaker_rank: 2, n_iterations: 2}\n"
PLDA = "vectors: {kind: ivector, rank: 4, n_iterations: 3}\nbackend: [center, length, plda]\n"
SVM = "vectors: {kind: supervector}\nbackend: [center, {nap: 2}, {length: unit}, svm]\n"
ALL = {"isv": ISV, "isv-linear": ISV + LINEAR, "jfa": JFA, "plda": PLDA, "svm": SVM}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Runs a small experiment with other sections; all share a cache."""
    folder = tmp_path_factory.mktemp("statistics")

    def small(sections, results=folder, engine=None, **options):
        (folder / "small.yaml").write_text(RECIPE + sections)
        return run(folder / "small.yaml", results=results, engine=engine or Engine("serial"), **options)

    small.folder = folder
    return small


@pytest.fixture(scope="module")
def material(small):
    """Statistics and frames of each recording of each role, by the public functions."""
    done = small(SVM + NO_CALIBRATION)
    (recorded,) = (small.folder / ".cache" / "corpus").iterdir()
    corpus = read_kaldi(KaldiConfig(root=str(recorded)))
    config, ubm = load_recipe(done.folder / "recipe.yaml").features, load_gmm(done.folder / "ubm.safetensors")
    frames = {
        role: [extract(each.path, config) for each in corpus.role(role)] for role in ("background", "enrol", "test")
    }
    stats = {role: [accumulate(ubm, each) for each in listed] for role, listed in frames.items()}
    return corpus, ubm, frames, stats


def scores_of(folder, corpus):
    """The scores as a matrix of models and tests, NaN where there is no trial."""
    matrix = np.full((len(corpus.models), len(corpus.test)), np.nan)
    row = {name: number for number, name in enumerate(corpus.models)}
    column = {each.id: number for number, each in enumerate(corpus.test)}
    with (folder / "scores.csv").open(newline="") as stream:
        for each in csv.DictReader(stream):
            matrix[row[each["model"]], column[each["test"]]] = float(each["score"])
    return matrix


def of_models(corpus, values):
    """Group what the enrolment's recordings have by the model that they enrol."""
    return [
        [value for value, each in zip(values, corpus.enrol, strict=True) if each.enrols == name]
        for name in corpus.models
    ]


def assert_agree(found, expected):
    scored = ~np.isnan(found)
    assert scored.sum() > 20
    np.testing.assert_allclose(found[scored], np.asarray(expected)[scored], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("scoring", [LINEAR, "", "scoring: {top_components: null}\n"])
@pytest.mark.parametrize("kind", ["isv", "jfa"])
def test_session_factors_give_the_scores_of_the_functions(small, material, kind, scoring):
    corpus, ubm, frames, stats = material
    done = small(ALL[kind] + scoring + NO_CALIBRATION)
    model = load_joint_factors(done.folder / "subspace.safetensors")
    assert model.session.shape[2] == 2
    shifts = [speaker_shift(model, each) for each in of_models(corpus, stats["enrol"])]
    speakers = load_speakers(done.folder / "speakers.safetensors")
    for name, shift in zip(corpus.models, shifts, strict=True):
        np.testing.assert_allclose(speakers[name].means, ubm.means + shift, rtol=1e-9, atol=1e-12)
    if scoring == LINEAR:
        assert_agree(scores_of(done.folder, corpus), session_scores(model, shifts, stats["test"]))
    else:
        top = 10 if not scoring else None
        llrs = session_llrs(model, ubm.weights, shifts, frames["test"], top_components=top)
        assert_agree(scores_of(done.folder, corpus), llrs)


@pytest.mark.parametrize("kind", ["plda", "svm"])
def test_vectors_give_the_scores_of_the_functions(small, material, kind):
    corpus, ubm, _, stats = material
    done = small(ALL[kind] + NO_CALIBRATION)
    if kind == "plda":
        model = load_total_variability(done.folder / "subspace.safetensors")
        vectors = {role: ivectors(model, listed) for role, listed in stats.items()}
    else:
        vectors = {role: Vectors(supervectors(ubm, listed, 10.0)) for role, listed in stats.items()}
        assert not (done.folder / "subspace.safetensors").exists()
    recipe = load_recipe(done.folder / "recipe.yaml")
    backend = fit_backend(recipe.backend, vectors["background"], [each.speaker for each in corpus.background])
    grouped = of_models(corpus, vectors["enrol"].values)
    enrolled = [backend.enrol(Vectors(each), name) for name, each in zip(corpus.models, grouped, strict=True)]
    assert_agree(scores_of(done.folder, corpus), [backend.score(each, vectors["test"])[0] for each in enrolled])
    assert read_header(done.folder / "speakers.safetensors").names == tuple(corpus.models)


def test_a_pooled_vector_is_that_of_the_sum(small, material):
    corpus, _, _, stats = material
    done = small(PLDA.replace("rank: 4", "rank: 4, pooled: true") + NO_CALIBRATION)
    model = load_total_variability(done.folder / "subspace.safetensors")
    background, test = ivectors(model, stats["background"]), ivectors(model, stats["test"])
    recipe = load_recipe(done.folder / "recipe.yaml")
    backend = fit_backend(recipe.backend, background, [each.speaker for each in corpus.background])
    sums = [sum(each[1:], start=each[0]) for each in of_models(corpus, stats["enrol"])]
    scores = [backend.score(backend.enrol(ivectors(model, [each])), test)[0] for each in sums]
    assert_agree(scores_of(done.folder, corpus), scores)


ENGINES = {"processes": Engine("processes", n_jobs=2), "dask": Engine("dask", 2)}
ON_ENGINES = [
    *((kind, "processes") for kind in ALL),
    ("plda", "dask"),
    pytest.param("jfa", "dask", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("kind", "engine"), ON_ENGINES)
def test_the_same_bytes_on_any_engine(small, kind, engine, tmp_path):
    serial = small(ALL[kind] + NO_CALIBRATION)
    bytes_of = {path.name: path.read_bytes() for path in serial.folder.glob("*.safetensors")}
    others = small(ALL[kind] + NO_CALIBRATION, tmp_path, ENGINES[engine])
    assert {path.name: path.read_bytes() for path in others.folder.glob("*.safetensors")} == bytes_of
    assert (others.folder / "scores.csv").read_bytes() == (serial.folder / "scores.csv").read_bytes()
    assert {"ubm.safetensors", "speakers.safetensors"} < bytes_of.keys()


@pytest.mark.parametrize("kind", ALL)
def test_all_that_is_done_with_scores_works(small, kind):
    done = small(ALL[kind] + "normalisation: {method: s}\n")
    metrics = done.metrics["trials"]["trials"]
    assert 0 <= metrics["eer"] < 0.5
    assert (done.folder / "cohort.safetensors").exists()
    assert (done.folder / "report.html").exists()
    titles = [stage.title for stage in done.stages]
    assert "statistics of test" in titles
    assert "speakers of the cohort of fold 2" in titles
    planned, unknown, _ = plan(load_recipe(small.folder / "small.yaml"), small.folder)
    assert not unknown
    assert {each.why for each in planned} == {None}


def test_folds_that_are_too_small_are_warned_of(small):
    done = small(PLDA.replace("rank: 4", "rank: 6"), until_stage="evaluation")
    few = "PLDA: 5 speakers are few for 6 dimensions"
    assert any(each.startswith(f"small, without fold 1 of the background: {few}") for each in done.warnings)
    assert any(each.startswith(f"small, without fold 2 of the background: {few}") for each in done.warnings)
    assert not any(each.startswith("PLDA:") for each in done.warnings)  # ten speakers in all


def test_systems_of_different_scales_are_fused(small):
    systems = "".join(
        f"  - name: {name}\n    ubm: {{n_components: 4, n_iterations: 3}}\n    "
        + (text.strip().replace("\n", "\n    "))
        + "\n"
        for name, text in {"plda": PLDA, "svm": SVM, "llr": "normalisation: {method: s}"}.items()
    )
    text = RECIPE.replace("ubm: {n_components: 4, n_iterations: 3}\n", "")
    (small.folder / "fused.yaml").write_text(text + f"systems:\n{systems}calibration: {{systems: scaled}}\n")
    done = run(small.folder / "fused.yaml", results=small.folder, engine=Engine("serial"))
    written = json.loads((done.folder / "calibration.json").read_text())
    assert len(written["scales"]) == 3
    assert written["scales"][0] > written["scales"][1]  # log-likelihood ratios of PLDA are far larger than margins
    weights = written["calibration"]["weights"]
    assert weights == [weights[0]] * 3  # of scores that are divided by their scales
    systems = [run(small.folder / "fused.yaml", overrides=[], results=small.folder, engine=Engine("serial"))]
    assert systems[0].metrics == done.metrics


def test_iterations_that_are_stored_are_not_done_twice(small):
    first = small(PLDA + NO_CALIBRATION)
    again = small(PLDA.replace("[center, length, plda]", "[center, cosine]") + NO_CALIBRATION)
    made = [stage.title for stage in again.stages if not stage.reused]
    assert made == ["backend", "speakers", "scores", "evaluation"]
    assert {stage.title for stage in first.stages} == {stage.title for stage in again.stages}


AFTER_UBM = {"statistics", "subspace", "vectors", "backend", "speakers", "scores", "evaluation"}


@pytest.mark.parametrize(
    ("kind", "override", "expected"),
    [
        ("plda", "ubm.n_components=3", AFTER_UBM | {"ubm"}),
        ("plda", "seed=1", AFTER_UBM | {"ubm"}),
        ("plda", "vectors.rank=3", AFTER_UBM - {"statistics"}),
        ("plda", "vectors.max_count=50.0", AFTER_UBM - {"statistics", "subspace"}),
        ("plda", "vectors.pooled=true", {"speakers", "scores", "evaluation"}),
        ("plda", "backend=[center, cosine]", {"backend", "speakers", "scores", "evaluation"}),
        ("svm", "vectors.relevance_factor=4", AFTER_UBM - {"statistics", "subspace"}),
        ("isv", "speakers.relevance_factor=9", {"subspace", "speakers", "scores", "evaluation"}),
        ("isv", "scoring.method=linear", {"scores", "evaluation"}),
        ("jfa", "speakers.speaker_rank=1", {"subspace", "speakers", "scores", "evaluation"}),
    ],
)
def test_what_a_change_makes_again(small, kind, override, expected):
    results = small.folder / "plans"  # where no other test has run what is planned here
    small(ALL[kind] + NO_CALIBRATION, results, until_stage="evaluation")
    planned, unknown, _ = plan(load_recipe(small.folder / "small.yaml", [override]), results)
    assert not unknown
    assert {each.stage for each in planned if each.why is not None} == expected


def test_a_resolved_recipe_reads_back_as_itself(small, tmp_path):
    for sections in ALL.values():
        (small.folder / "small.yaml").write_text(RECIPE + sections)
        recipe = load_recipe(small.folder / "small.yaml")
        (tmp_path / "again.yaml").write_text(dump_recipe(recipe))
        assert load_recipe(tmp_path / "again.yaml").to_json() == recipe.to_json()


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ("backend: [center, plda]\n", "there are none; expected the section vectors"),
        ("vectors: {kind: ivector}\n", "backend is empty: expected steps that end in one of cosine, svm, plda"),
        (
            "vectors: {kind: ivector}\nbackend: [cosine, center]\n",
            "expected steps that end in one of cosine, svm, plda",
        ),
        ("vectors: {kind: ivector}\nbackend: [cosine, plda]\n", "expected steps that end in one of cosine, svm, plda"),
        ("vectors: {kind: ivector}\nbackend: cosine\n", "'cosine'; expected a list, as in [cosine]"),
        ("vectors: {kind: ivector}\nbackend: [centre, cosine]\n", "'centre'; expected one of 'center'"),
        ("vectors: {kind: ivector}\nbackend: [{nap: 0}, cosine]\n", "0; expected 1 or more"),
        ("vectors: {kind: ivector}\nbackend: [{nap: {rnk: 1}}, cosine]\n", "unknown key; did you mean rank?"),
        ("vectors: {kind: ivector}\nbackend: [nap, cosine]\n", "nap: expected its number beside it, as in {nap: 20}"),
        ("vectors: {kind: ivector}\nbackend: [1, cosine]\n", "1: expected the name of a step"),
        ("vectors: {kind: ivector}\nbackend: [{center: , nap: 3}, cosine]\n", "expected one step in each entry"),
        ("vectors: {kind: ivector}\nbackend: [{center: 3}, cosine]\n", "center: 3; expected the step alone"),
        ("vectors: {kind: ivector}\nbackend: [{nip: 3}, cosine]\n", "'nip'; expected one of 'center'"),
        ("vectors: {kind: xvector}\nbackend: [cosine]\n", "'xvector'; expected one of 'ivector', 'supervector'"),
        ("vectors: {kind: supervector}\nbackend: [{plda: {uncertainty: true}}]\n", "supervectors have no posterior"),
        (SVM + "speakers: {relevance_factor: 4}\n", "speakers: where recordings become vectors"),
        (SVM + "scoring: {method: linear}\n", "scoring: where recordings become vectors"),
        (ISV.replace("rank: 2", "rnk: 2"), "unknown key; did you mean rank?"),
        (ISV.replace("rank: 2", "adapt: [means]"), "unknown key with method isv; it is of method map"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_line(small, sections, message):
    (small.folder / "wrong.yaml").write_text(RECIPE + sections)
    with pytest.raises(RecipeError) as error:
        load_recipe(small.folder / "wrong.yaml")
    assert message in str(error.value)
    assert "wrong.yaml:" in str(error.value)


@pytest.mark.parametrize("sections", [SVM, ISV, JFA])
def test_background_models_of_each_sex_are_refused(small, sections):
    text = RECIPE.replace("n_iterations: 3}", "n_iterations: 3, per_sex: true}", 1) + sections
    (small.folder / "sexes.yaml").write_text(text)
    with pytest.raises(RecipeError, match="needs one background model of all speakers"):
        load_recipe(small.folder / "sexes.yaml")
