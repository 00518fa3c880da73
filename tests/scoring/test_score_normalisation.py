"""Normalisation of scores. Expected values come from literal twins, closed forms, scipy and cases done by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import median_abs_deviation, trim_mean

import naive
from speechgmm.scoring.cohort_speakers import Speakers
from speechgmm.scoring.normalisation import (
    SHRINKING_METHODS,
    ScoreNormalisationConfig,
    check_cohort,
    normalise_scores,
)

METHODS = ("z", "t", "zt", "tz", "s", "as")
MODELS, TESTS = ("a", "b", "c", "x", "y", "y"), ("a", "b", "c", "d", "z")
Z_COHORT = tuple("abcdefghijklaabc")
T_COHORT = tuple("bcdefghijklmnmm")


class Case:
    """Random scores of all four kinds."""

    def __init__(self, rng):
        n_models, n_tests, n_z, n_t = map(len, (MODELS, TESTS, Z_COHORT, T_COHORT))
        self.scores = rng.normal(1, 2, (n_models, n_tests))
        self.z = rng.normal(0, 1, (n_models, n_z)) * rng.uniform(0.5, 2, (n_models, 1))
        self.t = rng.normal(0, 1, (n_t, n_tests)) + rng.normal(0, 1, n_tests)
        self.both = rng.normal(0, 1, (n_t, n_z))

    def normalised(self, config, speakers=None):
        return normalise_scores(
            self.scores, config, z_scores=self.z, t_scores=self.t, cohort_scores=self.both, speakers=speakers
        )


def configured(method, statistics="mean", shrinkage=0.0):
    share = {"trimmed_share": 0.29} if statistics == "trimmed" else {}
    return ScoreNormalisationConfig(
        method=method,
        statistics=statistics,
        **share,
        **({"top_n": 7} if method == "as" else {}),
        shrinkage=shrinkage if method in SHRINKING_METHODS else 0.0,
    )


# ---- against the definitions ----


@pytest.mark.parametrize("shrinkage", [0.0, 10.0])
@pytest.mark.parametrize("tests", [None, TESTS])
@pytest.mark.parametrize("statistics", ["mean", "trimmed", "median"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_its_literal_twin(rng, method, statistics, tests, shrinkage):
    case, config = Case(rng), configured(method, statistics, shrinkage)
    found = case.normalised(config, Speakers(MODELS, Z_COHORT, T_COHORT, tests))
    unknown = [object() for _ in TESTS]
    expected = naive.normalise(
        method, case.scores, case.z, case.t, case.both, MODELS, tests or unknown, Z_COHORT, T_COHORT,
        statistics=statistics, trimmed_share=0.29, top_n=7 if method == "as" else None, shrinkage=config.shrinkage,
    )  # fmt: skip
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shrinkage", [0.0, 10.0])
@pytest.mark.parametrize("method", METHODS)
def test_without_names_the_whole_cohort_counts(rng, method, shrinkage):
    case, config = Case(rng), configured(method, shrinkage=shrinkage)
    strangers = [[object() for _ in range(size)] for size in (6, 5, 16, 15)]
    expected = naive.normalise(
        method, case.scores, case.z, case.t, case.both, *strangers, top_n=7 if method == "as" else None,
        shrinkage=config.shrinkage,
    )  # fmt: skip
    np.testing.assert_allclose(case.normalised(config), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("method", ["z", "t", "s"])
def test_some_utterances_of_the_cohort_are_enough_for_shrinkage(rng, method):
    # with the columns of three speakers alone, the reference is that of these columns
    case, columns = Case(rng), [1, 4, 7]
    speakers = Speakers(MODELS, Z_COHORT, T_COHORT, cohort_tests=[Z_COHORT[n] for n in columns])
    found = normalise_scores(
        case.scores,
        configured(method, shrinkage=10.0),
        z_scores=case.z,
        t_scores=case.t,
        cohort_scores=case.both[:, columns],
        speakers=speakers,
    )
    sample = [Z_COHORT[n] for n in columns]
    references = {
        "z": naive.mean_reference(case.both[:, columns], T_COHORT, sample),
        "t": naive.mean_reference(case.both[:, columns].T, sample, T_COHORT),
    }
    unknown = [object() for _ in TESTS]
    by_model = naive.z_norm(case.scores, case.z, MODELS, unknown, Z_COHORT, shrinkage=10, reference=references["z"])
    by_test = naive.t_norm(case.scores, case.t, MODELS, unknown, T_COHORT, shrinkage=10, reference=references["t"])
    expected = {"z": by_model, "t": by_test, "s": (by_model + by_test) / 2}[method]
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_the_statistics_of_few_speakers_are_drawn_towards_those_of_all(rng):
    # a cohort of ever more speakers: the shrunk scores approach the plain ones as 10 / (n + 10)
    scores = [[3.0]]
    for n_speakers, tolerance in ((10, 1.0), (1000, 0.05)):
        z, both = rng.normal(0, 1, (1, n_speakers)), rng.normal(0.5, 1, (n_speakers, n_speakers))
        plain, shrunk = (
            normalise_scores(scores, configured("z", shrinkage=by), z_scores=z, cohort_scores=both)[0, 0]
            for by in (0.0, 10.0)
        )
        assert shrunk < plain  # the reference is higher than the centre of this model
        assert shrunk == pytest.approx(plain, abs=tolerance)


def test_a_cohort_without_spread_in_itself_draws_towards_nothing():
    scores, z = [[3.0]], [[0.0, 1.0, 2.0]]
    plain, shrunk = (
        normalise_scores(scores, configured("z", shrinkage=by), z_scores=z, cohort_scores=np.ones((2, 3)))
        for by in (0.0, 10.0)
    )
    assert np.array_equal(plain, shrunk)


def test_shrinkage_is_the_default_where_there_is_a_reference():
    assert {method: ScoreNormalisationConfig(method=method).shrinkage for method in ("none", *METHODS)} == {
        "none": 0, "z": 10, "t": 10, "zt": 10, "s": 10, "tz": 0, "as": 0
    }  # fmt: skip
    earlier = {"method": "s", "top_n": 200, "statistics": "mean", "trimmed_share": 0.1}  # as stored before it existed
    assert ScoreNormalisationConfig.model_validate(earlier).shrinkage == 0
    with pytest.raises(ValidationError, match="shrinkage 5 is for methods z, t, zt, s, and method is as"):
        ScoreNormalisationConfig(method="as", shrinkage=5)


def test_z_t_and_s_by_hand():
    scores, z, t = [[3.0]], [[0.0, 2.0]], [[-1.0], [3.0]]
    found = [normalise_scores(scores, configured(method), z_scores=z, t_scores=t) for method in ("z", "t", "s")]
    assert np.ravel(found).tolist() == [2.0, 1.0, 1.5]


def test_no_normalisation_is_a_copy():
    scores = np.array([[1.0, 2.0]])
    found = normalise_scores(scores, ScoreNormalisationConfig())
    assert found.tolist() == scores.tolist()
    assert not np.shares_memory(found, scores)


def test_statistics_are_those_of_scipy(rng):
    z = rng.standard_t(3, (1, 40))
    zero_and_one = np.array([[0.0, 1.0]])
    for statistics, share in (("mean", None), ("trimmed", 0.1), ("median", None)):
        config = ScoreNormalisationConfig(method="z", statistics=statistics, shrinkage=0)
        low, high = normalise_scores(zero_and_one, config, z_scores=z)[0]
        spread = 1 / (high - low)
        centre = -low * spread
        if statistics == "median":
            assert (centre, spread) == pytest.approx((np.median(z), median_abs_deviation(z[0], scale="normal")))
        elif statistics == "trimmed":
            assert centre == pytest.approx(trim_mean(z[0], share))
        else:
            assert (centre, spread) == pytest.approx((z.mean(), z.std()))


@pytest.mark.parametrize("statistics", ["mean", "trimmed", "median"])
def test_of_normal_scores_all_statistics_are_mean_and_standard_deviation(rng, statistics):
    z = rng.normal(-3, 2, (1, 100_000))
    found = normalise_scores([[-3.0, -1.0]], configured("z", statistics), z_scores=z)
    np.testing.assert_allclose(found, [[0, 1]], atol=0.02)


def test_a_share_of_scores_that_is_a_whole_number_is_trimmed_in_full(rng):
    z = rng.normal(size=(1, 100))  # in floating point, 0.29 times 100 is less than 29
    centre, spread = naive.centre_and_spread(z[0], "trimmed", 0.29)
    found = normalise_scores([[0.0, 1.0]], configured("z", "trimmed"), z_scores=z)
    np.testing.assert_allclose(found[0], [-centre / spread, (1 - centre) / spread], rtol=1e-12)


@pytest.mark.parametrize("statistics", ["trimmed", "median"])
def test_robust_statistics_are_robust(rng, statistics):
    z = rng.normal(0, 1, (1, 1000))
    spoilt = z.copy()
    spoilt[0, :20] = 1e6
    config = configured("z", statistics)
    clean, dirty = (normalise_scores([[3.0]], config, z_scores=values)[0, 0] for values in (z, spoilt))
    assert dirty == pytest.approx(clean, abs=0.2)


def test_adaptive_s_takes_each_sides_highest_scores():
    z, t = [[9.0, 1.0, 3.0, -50.0]], [[-90.0], [4.0], [-40.0], [0.0]]
    config = ScoreNormalisationConfig(method="as", top_n=2)
    found = normalise_scores([[9.0]], config, z_scores=z, t_scores=t)
    assert found[0, 0] == pytest.approx(((9 - 6) / 3 + (9 - 2) / 2) / 2)


def test_adaptive_s_of_a_cohort_no_larger_than_top_n_is_s(rng):
    case = Case(rng)
    adaptive = case.normalised(ScoreNormalisationConfig(method="as", top_n=16))
    assert np.array_equal(adaptive, case.normalised(configured("s")))


def test_every_model_of_a_gallery_may_be_the_others_cohort(rng):
    names, scores = "abcd", rng.normal(size=(4, 3))
    found = normalise_scores(scores, configured("t"), t_scores=scores, speakers=Speakers(names, t_cohort=names))
    for row in range(4):
        others = np.delete(scores, row, axis=0)
        np.testing.assert_allclose(found[row], (scores[row] - others.mean(axis=0)) / others.std(axis=0))


# ---- properties ----


@pytest.mark.parametrize("statistics", ["mean", "trimmed", "median"])
@pytest.mark.parametrize("method", METHODS)
def test_a_score_does_not_depend_on_what_else_is_scored(rng, method, statistics):
    case, config = Case(rng), configured(method, statistics)
    together = case.normalised(config, Speakers(MODELS, Z_COHORT, T_COHORT, TESTS))
    for model, model_name in enumerate(MODELS):
        for test, test_name in enumerate(TESTS):
            alone = normalise_scores(
                case.scores[model : model + 1, test : test + 1],
                config,
                z_scores=case.z[model : model + 1],
                t_scores=case.t[:, test : test + 1],
                cohort_scores=case.both,
                speakers=Speakers([model_name], Z_COHORT, T_COHORT, [test_name]),
            )
            assert alone[0, 0] == together[model, test]


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_the_cohort_makes_no_difference(rng, method):
    case, config = Case(rng), configured(method)
    before = case.normalised(config, Speakers(MODELS, Z_COHORT, T_COHORT))
    z_order, t_order = rng.permutation(16), rng.permutation(15)
    case.z, case.t, case.both = case.z[:, z_order], case.t[t_order], case.both[t_order][:, z_order]
    after = case.normalised(config, Speakers(MODELS, [Z_COHORT[k] for k in z_order], [T_COHORT[k] for k in t_order]))
    assert np.array_equal(before, after)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(METHODS),
    st.sampled_from(["mean", "trimmed", "median"]),
    st.floats(1e-3, 1e3),
    st.floats(-100, 100),
)
def test_a_change_of_scale_and_offset_of_all_scores_is_undone(method, statistics, scale, offset):
    case, config = Case(np.random.default_rng(1)), configured(method, statistics)
    before = case.normalised(config)
    for name in ("scores", "z", "t", "both"):
        setattr(case, name, scale * getattr(case, name) + offset)
    np.testing.assert_allclose(case.normalised(config), before, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("method", ["z", "zt"])
def test_a_models_own_scale_and_offset_are_undone(rng, method):
    # a model that gives twice as much and 3 more to every test and every cohort utterance
    case = Case(rng)
    before = case.normalised(configured(method))
    case.scores[0], case.z[0] = 2 * case.scores[0] + 3, 2 * case.z[0] + 3
    after = case.normalised(configured(method))
    assert np.array_equal(before[1:], after[1:])
    np.testing.assert_allclose(after[0], before[0], rtol=1e-9, atol=1e-9)


def test_normalisation_makes_models_of_different_scales_comparable(rng):
    scale, offset = rng.uniform(0.2, 5, (30, 1)), rng.normal(0, 5, (30, 1))
    scores, z = (offset + scale * rng.normal(size=(30, size)) for size in (500, 4000))
    found = normalise_scores(scores, configured("z"), z_scores=z)
    np.testing.assert_allclose(found.mean(axis=1), 0, atol=0.25)
    np.testing.assert_allclose(found.std(axis=1), 1, atol=0.15)


# ---- what cannot be used ----


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"z": None}, "z_scores: not given"),
        ({"t": None}, "t_scores: not given"),
        ({"both": None}, "cohort_scores: not given"),
        ({"scores": np.zeros(3)}, r"scores: shape \(3,\), expected any number x any number"),
        ({"z": np.zeros((5, 16))}, r"z_scores: shape \(5, 16\), expected 6 x any number"),
        ({"t": np.zeros((15, 6))}, r"t_scores: shape \(15, 6\), expected any number x 5"),
        ({"both": np.zeros((16, 15))}, r"cohort_scores: shape \(16, 15\), expected 15 x any number"),
        ({"z": np.zeros((6, 16))}, "model 0: its 16 scores against cohort utterances have no spread"),
        ({"both": np.full((15, 16), 0.1)}, "cohort model 0: its 16 scores against cohort utterances have no spread"),
        (
            {"z": np.zeros((6, 1)), "both": np.zeros((15, 1))},
            "0: 1 of its 1 scores against cohort utterances can be used",
        ),
        (
            {"t": np.zeros((0, 5)), "both": np.zeros((0, 16))},
            "test 0: 0 of its 0 scores against cohort models can be used",
        ),
    ],
)
def test_cohorts_of_no_use_are_refused(rng, changes, message):
    case = Case(rng)
    vars(case).update(changes)
    with pytest.raises(ValueError, match=message):
        case.normalised(configured("zt"))


def test_a_test_that_all_models_of_the_cohort_score_alike_is_refused(rng):
    case = Case(rng)
    case.t[:, 2] = 0.1
    with pytest.raises(
        ValueError, match="test 2: its 15 scores against cohort models have no spread by the statistics"
    ):
        case.normalised(configured("s"))


def test_messages_name_what_has_a_name(rng):
    case = Case(rng)
    case.both[4] = 0.1
    with pytest.raises(ValueError, match=f"cohort model {T_COHORT[4]}: its "):
        case.normalised(configured("zt"), Speakers(MODELS, Z_COHORT, T_COHORT))
    case = Case(rng)
    case.both[:, 3] = 0.1
    with pytest.raises(ValueError, match=f"cohort utterance 3 of {Z_COHORT[3]}: its "):
        case.normalised(configured("tz"), Speakers(MODELS, Z_COHORT, T_COHORT))
    case.t[:, 2] = 0.1
    with pytest.raises(ValueError, match=r"test c\.wav: its 15 scores against cohort models have no spread"):
        normalise_scores(
            case.scores, configured("t"), t_scores=case.t, test_names=["a.wav", "b.wav", "c.wav", "d.wav", "e.wav"]
        )


@pytest.mark.parametrize(
    ("method", "cohort", "message"),
    [
        ("z", "a", "has 1 utterances of 1 speakers; expected at least 2 of 1"),
        ("z", "aa", None),
        ("z", "aax", None),
        ("z", "axx", "the cohort of x has 1 utterances of 1 speakers"),
        ("t", "aa", "has 2 utterances of 1 speakers; expected at least 2 of 2"),
        ("s", "abx", None),
        ("as", "ax", "the cohort of x has 1 utterances of 1 speakers; expected at least 2 of 2"),
        ("zt", "aabbcc", None),
        ("zt", "aabb", "the cohort of a has 2 utterances of 1 speakers; expected at least 2 of 2"),
        ("tz", "aabb", "has 4 utterances of 2 speakers; expected at least 2 of 3"),
        ("tz", "abc", None),
        ("none", "", None),
    ],
)
def test_a_cohort_that_is_too_small_is_refused_beforehand(rng, method, cohort, message):
    def check():
        check_cohort(["x"], cohort, ScoreNormalisationConfig(method=method))

    if message:
        with pytest.raises(ValueError, match=f"normalisation.method {method}: .*{message}"):
            check()
        return
    check()
    n = len(cohort)
    models = sorted(set(cohort))
    normalise_scores(
        rng.normal(size=(1, 3)),
        ScoreNormalisationConfig(method=method),
        z_scores=rng.normal(size=(1, n)),
        t_scores=rng.normal(size=(len(models), 3)),
        cohort_scores=rng.normal(size=(len(models), n)),
        speakers=Speakers("x", cohort, models),
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["scores", "z", "t", "both"])
def test_scores_that_are_not_finite_are_refused_with_their_place(rng, name, value):
    case = Case(rng)
    getattr(case, name)[2, 3] = value
    with pytest.raises(ValueError, match=rf"scores: {value} in row 2, column 3"):
        case.normalised(configured("tz"))


def test_a_cohort_of_oneself_is_refused(rng):
    case = Case(rng)
    with pytest.raises(
        ValueError, match="model x: 1 of its 16 scores against cohort utterances can be used; expected at least 2"
    ):
        case.normalised(configured("z"), Speakers(MODELS, ("a",) + ("x",) * 15))


@pytest.mark.parametrize(
    ("speakers", "message"),
    [
        (Speakers(MODELS, Z_COHORT), "speakers.t_cohort: no names, expected 15, one for each cohort model"),
        (Speakers(MODELS, Z_COHORT[1:], T_COHORT), "speakers.z_cohort: 15 names, expected 16"),
        (Speakers(MODELS, Z_COHORT, T_COHORT, "a"), "speakers.tests: 1 names, expected 5"),
        (Speakers((), Z_COHORT, T_COHORT), "speakers.models: 0 names, expected 6"),
    ],
)
def test_speakers_that_do_not_fit_are_refused(rng, speakers, message):
    with pytest.raises(ValueError, match=message):
        Case(rng).normalised(configured("s"), speakers)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"method": "s", "top_n": 30}, "top_n 30 is for method as, and method is s"),
        ({"method": "s", "trimmed_share": 0.2}, "trimmed_share 0.2 is for trimmed statistics, not for mean"),
        ({"method": "as", "top_n": 1}, "top_n"),
        ({"method": "z", "statistics": "trimmed", "trimmed_share": 0.5}, "trimmed_share"),
        ({"method": "q"}, "method"),
    ],
)
def test_configurations_without_a_meaning_are_refused(keys, message):
    with pytest.raises(ValidationError, match=message):
        ScoreNormalisationConfig(**keys)
