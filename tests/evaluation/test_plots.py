"""Plots are checked through the data they draw, against literal computations; see also test_report_of_results.py."""

from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import logit
from scipy.stats import norm
from sklearn.isotonic import IsotonicRegression

from speechgmm.evaluation.bands import Band, det_band
from speechgmm.evaluation.bootstrap import TrialGroup
from speechgmm.evaluation.metrics import PRESETS, act_dcf, min_dcf
from speechgmm.evaluation.plots import (
    bayes_error_figure,
    cmc_figure,
    confusion_figure,
    det_caption,
    det_figure,
    histogram_figure,
    reliability_figure,
    save_figure,
    svg_text,
    tippett_figure,
)

SETTINGS = {"n_resamples": 50, "confidence": 0.9}


def labels_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


# ---- the band of a DET curve ----


def some_trials(rng, n_speakers=6, ties=False):
    models, tests = np.divmod(np.arange(n_speakers**2), n_speakers)
    scores = rng.normal(size=len(models)) + (models == tests)
    scores = np.round(scores) if ties else scores
    return [TrialGroup(scores[kind], models[kind], tests[kind]) for kind in (models == tests, models != tests)]


def least_miss_rates(target, nontarget, p_fas):
    """Over all thresholds, the lowest share of misses with no more false alarms than each."""
    rates = [(np.mean(target < t), np.mean(nontarget >= t)) for t in [*target, *nontarget, np.inf]]
    return [min(p_miss for p_miss, false_alarms in rates if false_alarms <= p_fa) for p_fa in p_fas]


def test_a_band_is_made_of_the_miss_rates_of_repeated_trials(rng):
    target, nontarget = some_trials(rng)
    band = det_band(target, nontarget, np.random.default_rng(3), **SETTINGS)
    same = np.random.default_rng(3)
    draws = same.multinomial(6, np.full(6, 1 / 6), 50)
    curves = []
    for draw in draws:
        repeated = [
            np.repeat(
                side.scores,
                np.where(side.models == side.tests, draw[side.models], draw[side.models] * draw[side.tests]),
            )
            for side in (target, nontarget)
        ]
        curves.append(least_miss_rates(*repeated, band.p_fa))
    lows, highs = np.sort(curves, axis=0)[[2, 47]]  # 5 % of 50 are 2.5: the third from either end
    np.testing.assert_allclose(band.low, lows, atol=1e-12)
    np.testing.assert_allclose(band.high, highs, atol=1e-12)
    assert band.confidence == 0.9
    np.testing.assert_allclose(band.p_fa[[0, -1]], [0.5 / 30, 1 - 0.5 / 30])  # half an error of 30 nontarget trials


def test_a_band_goes_straight_through_ties():
    # all speakers have the target scores 1, 2, 2, 2 and the nontarget scores 0, 1, 1, 2: whoever is drawn, the curve
    # goes from (0, 1) to (1/4, 1/4), and with another slope to (3/4, 0)
    speakers = np.repeat([0, 1, 2], 4)
    target = TrialGroup([1.0, 2.0, 2.0, 2.0] * 3, speakers, speakers)
    nontarget = TrialGroup([0.0, 1.0, 1.0, 2.0] * 3, speakers, (speakers + 1) % 3)
    band = det_band(target, nontarget, np.random.default_rng(0), n_resamples=20)
    curve = np.maximum.reduce([1 - 3 * band.p_fa, 3 / 8 - band.p_fa / 2, np.zeros_like(band.p_fa)])
    np.testing.assert_allclose(band.low, curve, atol=1e-12)
    np.testing.assert_allclose(band.high, band.low, atol=1e-12)


def test_a_band_holds_the_true_curve(rng):
    # independent trials of many speakers: P_miss = Phi(Phi^-1(1 - P_fa) - 2)
    speakers = np.arange(4000)
    target = TrialGroup(rng.normal(2, 1, 4000), speakers, speakers)
    nontarget = TrialGroup(rng.normal(0, 1, 4000), speakers, np.roll(speakers, 1))
    band = det_band(target, nontarget, rng)
    inner = (band.p_fa > 0.01) & (band.p_fa < 0.5)
    truth = norm.cdf(norm.ppf(1 - band.p_fa[inner]) - 2)
    assert np.mean((band.low[inner] <= truth) & (truth <= band.high[inner])) > 0.8
    assert np.all(band.high[inner] - band.low[inner] < 0.15)


def test_a_band_does_not_depend_on_the_order_of_trials(rng):
    target, nontarget = some_trials(rng, 10, ties=True)
    order = rng.permutation(len(nontarget.scores))
    bands = [
        det_band(target, side, np.random.default_rng(1))
        for side in (nontarget, TrialGroup(*(each[order] for each in nontarget)))
    ]
    for first, second in zip(*bands, strict=True):
        np.testing.assert_array_equal(first, second)


def test_no_band_where_most_draws_have_no_trials_of_a_kind():
    target, few = TrialGroup([1.0], [0], [0]), TrialGroup([0.0], [3], [4])
    assert det_band(target, few, np.random.default_rng(0)) is None
    for n_draws, is_there in ((1, True), (2, False), (3, False)):  # 1 of 1, 1 of 2 and 1 of 3 draws are of use
        draws = iter(np.array([[1, 1, 1], [0, 1, 2], [1, 2, 0]]))
        rng = SimpleNamespace(multinomial=lambda *_, draws=draws: next(draws))
        assert (det_band(target, few, rng, n_resamples=n_draws) is not None) == is_there
    with pytest.raises(ValueError, match="nontarget scores: none"):
        det_band(target, TrialGroup([], [], []), np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"nontarget trials: \[1, 2, 1\] scores, models and tests, expected as many"):
        det_band(target, TrialGroup([1.0], [0, 1], [1]), np.random.default_rng(0))


# ---- DET ----


def test_det_draws_a_band_in_normal_deviates():
    lists = {"list": (np.linspace(0, 2, 1000), np.linspace(-1, 1, 1000))}
    band = Band(np.array([0.1, 0.2, 0.3]), np.array([0.2, 0.1, 0.0]), np.array([0.4, 0.3, 0.2]), 0.95)
    figure = det_figure(lists, bands={"list": band})
    corners = figure.axes[0].collections[0].get_paths()[0].vertices
    for p_fa, low, high in zip(*band[:3], strict=True):
        for rate in (max(low, 0.0005), high):  # no error is half an error of 1000
            assert np.abs(corners - norm.ppf([p_fa, rate])).sum(axis=1).min() < 1e-9
    assert labels_of(figure)[-1] == "95 % band, from resampled speakers"
    assert not det_figure(lists, bands={"list": None}).axes[0].collections


def test_det_marks_the_decisions_that_were_made():
    # from 1.5 on 4 of 10 targets are rejected and 1 of 10 nontargets is accepted
    target, nontarget = 4 * [1.0] + 6 * [2.0], 9 * [1.0] + [1.5]
    figure = det_figure({"list": (target, nontarget), "other": (target, nontarget)}, thresholds={"list": 1.5})
    (mark,) = [line for line in figure.axes[0].lines if line.get_marker() == "X"]
    np.testing.assert_allclose(np.ravel(mark.get_data()), norm.ppf([0.1, 0.4]), rtol=1e-12)
    assert "at the decision threshold" in labels_of(figure)
    with pytest.raises(ValueError, match="band or threshold of 'lost': expected one of the lists list"):
        det_figure({"list": (target, nontarget)}, thresholds={"lost": 1.5})


def test_the_caption_of_det_explains_the_marks_that_are_drawn():
    band = Band(np.array([0.1]), np.array([0.2]), np.array([0.4]), 0.95)
    words = ("detection cost", "Crosses", "band")
    for presets, thresholds, bands in product(([], ["sre08"]), ({}, {"list": 0.0}), ({"list": None}, {"list": band})):
        caption = det_caption(presets, bands, thresholds)
        there = [bool(presets), bool(thresholds), bands["list"] is not None]
        assert [word in caption for word in words] == there


# ---- distributions ----


def test_histogram_shows_the_threshold_of_the_decisions_beside_that_of_equal_errors():
    figure = histogram_figure([2.0, 3.0], [0.0, 1.0], threshold=0.5)
    assert [line.get_xdata()[0] for line in figure.axes[0].lines] == [2.0, 0.5]
    assert labels_of(figure)[-2:] == ["EER threshold 2", "decision threshold 0.5"]


def share_drawn(line, place):
    """Read a falling step curve: what it shows at a place, where it falls the value before."""
    x, y = line.get_data()
    assert line.get_drawstyle() == "steps-pre"
    return y[np.argmax(x >= place)] if place <= x.max() else y[-1]


def test_tippett_draws_the_share_of_trials_that_reach_each_ratio(rng):
    target, nontarget = np.round(rng.normal(2, 2, 40), 1), np.round(rng.normal(-2, 2, 60), 1)
    figure = tippett_figure(target, nontarget)
    for line, scores in zip(figure.axes[0].lines, (target, nontarget), strict=False):
        for place in np.arange(-10, 10, 0.05):
            assert share_drawn(line, place) == pytest.approx(100 * np.mean(scores >= place), abs=1e-9)
    assert figure.axes[0].lines[2].get_xdata()[0] == 0.0
    assert labels_of(figure) == ["target", "nontarget"]


def test_tippett_puts_raw_scores_beside():
    raw, calibrated = tippett_figure([3.0, 5.0], [-4.0], raw=([0.3, 0.5], [0.1])).axes
    assert raw.lines[0].get_xdata().tolist() == [0.1, 0.3, 0.5, 0.5]
    assert calibrated.lines[0].get_xdata().tolist() == [-4.0, 3.0, 5.0, 5.0]
    assert raw.lines[0].get_ydata().tolist() == calibrated.lines[0].get_ydata().tolist() == [100, 100, 50, 0]


def test_tippett_counts_infinite_ratios():
    figure = tippett_figure([1.0, np.inf, np.inf, np.inf], [-np.inf, 0.0])
    target, nontarget, _ = figure.axes[0].lines
    assert target.get_data()[1].tolist() == [100, 100, 75]
    assert nontarget.get_data()[1].tolist() == [50, 0, 0]
    assert figure.axes[0].get_xlabel() == "log-likelihood ratio, nats (3 target and 1 nontarget infinite, not shown)"
    for target, nontarget in (([np.inf], [-np.inf]), ([1e17], [1e17]), ([1.0], [1.0 + 2**-52])):
        assert svg_text(tippett_figure(target, nontarget))


@pytest.mark.parametrize("draw", [tippett_figure, histogram_figure, reliability_figure])
@pytest.mark.parametrize("far", [1e300, 1e308, np.finfo(np.float64).max])
def test_ratios_too_far_apart_for_an_axis_count_as_infinite(draw, far):
    figure = draw([far, 3.0], [0.0, -far])
    assert svg_text(figure)
    is_reported = "(1 target and 1 nontarget infinite, not shown)" in figure.axes[-1].get_xlabel()
    assert is_reported == (far > 1e300)


# ---- calibration ----


def some_ratios(rng):
    """Log-likelihood ratios that claim half as much again as they should, with ties and infinities."""
    target, nontarget = np.round(rng.normal(3, 3, 60), 1), np.round(rng.normal(-3, 3, 80), 1)
    target[:2], nontarget[:3] = np.inf, -np.inf
    return target, nontarget


def test_bayes_error_draws_the_cost_of_decisions_at_each_prior(rng):
    target, nontarget = some_ratios(rng)
    actual, minimum, nothing = bayes_error_figure(target, nontarget).axes[0].lines
    assert set(nothing.get_ydata()) == {1.0}
    thresholds = [*target, *nontarget, np.inf]
    for log_odds, drawn, least in zip(actual.get_xdata(), actual.get_ydata(), minimum.get_ydata(), strict=True):
        p = 1 / (1 + np.exp(-log_odds))
        costs = [
            (p * np.mean(target < t) + (1 - p) * np.mean(nontarget >= t)) / min(p, 1 - p)
            for t in [-log_odds, *thresholds]
        ]
        assert drawn == pytest.approx(costs[0], abs=1e-12)
        assert least == pytest.approx(min(costs), abs=1e-12)


def test_bayes_error_marks_the_presets(rng):
    target, nontarget = (scores / 3 for scores in some_ratios(rng))  # which cost little enough to be in the frame
    axes = bayes_error_figure(target, nontarget, list(PRESETS)).axes[0]
    for preset, mark in zip(PRESETS, "Ds^v", strict=True):
        actual, minimum = [line for line in axes.lines if line.get_marker() == mark]
        assert np.mean(actual.get_ydata()) == pytest.approx(act_dcf(target, nontarget, preset), abs=1e-12)
        assert np.mean(minimum.get_ydata()) == pytest.approx(min_dcf(target, nontarget, preset), abs=1e-12)
    (sre08, _) = [line for line in axes.lines if line.get_marker() == "D"]
    assert sre08.get_xdata()[0] == pytest.approx(np.log(10 * 0.01 / 0.99))
    with pytest.raises(ValueError, match="costs 'sre80': expected one of sre08"):
        bayes_error_figure(target, nontarget, ["sre80"])


def test_bayes_error_does_not_follow_costs_out_of_sight():
    axes = bayes_error_figure([-9.0, 1.0], [9.0, 0.0], ["sre08"]).axes[0]
    assert axes.get_ylim()[1] == 2.0
    assert max(line.get_ydata()[0] for line in axes.lines if line.get_marker() == "D") == 2.0


def test_reliability_draws_the_map_of_isotonic_regression(rng):
    target, nontarget = (scores[np.isfinite(scores)] for scores in some_ratios(rng))
    scores = np.concatenate([target, nontarget])
    truth, weights = (
        np.repeat([1.0, 0.0], [len(target), len(nontarget)]),
        np.repeat([1 / len(target), 1 / len(nontarget)], [len(target), len(nontarget)]),
    )
    shares = IsotonicRegression().fit(scores, truth, sample_weight=weights).predict(scores)
    above, below = reliability_figure(target, nontarget).axes
    diagonal, curve = above.lines
    assert diagonal.get_slope() == 1.0
    lowest, highest = above.get_ylim()
    x, y = curve.get_data()
    with np.errstate(divide="ignore"):
        expected = np.clip(logit(shares), lowest, highest)
    np.testing.assert_allclose(np.interp(scores, x, y), expected, atol=1e-9)
    finite = logit(shares[(shares > 0) & (shares < 1)])
    assert lowest < finite.min() < finite.max() < highest
    counts = [step.get_data().values.sum() for step in below.patches]
    assert counts == [len(target), len(nontarget)]


def test_reliability_of_calibrated_ratios_is_the_diagonal(rng):
    # N(2, 4) against N(-2, 4): the score is its own log-likelihood ratio
    target, nontarget = rng.normal(2, 2, 100_000), rng.normal(-2, 2, 100_000)
    x, y = reliability_figure(target, nontarget).axes[0].lines[1].get_data()
    places = np.linspace(-4, 4, 50)
    np.testing.assert_allclose(np.interp(places, x, y), places, atol=0.25)


def test_reliability_of_the_simplest_scores():
    for target, nontarget in (([1.0], [1.0]), ([0.0], [1.0]), ([np.inf], [-np.inf]), ([1e17], [1e17])):
        assert svg_text(reliability_figure(target, nontarget))
        assert svg_text(bayes_error_figure(target, nontarget))
    label = reliability_figure([1.0, np.inf], [0.0]).axes[1].get_xlabel()
    assert label == "log-likelihood ratio, nats (1 target infinite, not shown)"


@pytest.mark.parametrize("most", [1, 2, 3, 4, 5, 9, 40, 4000])
def test_reliability_names_counts_as_plain_numbers(most):
    figure = reliability_figure([0.0] * most, [1.0])
    svg = svg_text(figure)
    assert "$" not in svg
    below = figure.axes[1].yaxis
    labels = {text.get_text(): text.get_position()[1] for text in below.get_ticklabels(which="both")}
    labels.pop("", None)
    assert labels.keys() & {"1", "10"}  # older versions of matplotlib leave every other power out
    assert all(float(label.replace(",", "")) == pytest.approx(place) for label, place in labels.items() if place >= 1)


# ---- identification ----


def test_cmc_draws_shares_over_ranks():
    figure = cmc_figure({"one": [0.5, 0.75, 1.0], "two": [0.25, 1.0, 1.0]})
    one, two = figure.axes[0].lines
    assert one.get_xydata().tolist() == [[1, 50], [2, 75], [3, 100]]
    assert two.get_xydata().tolist() == [[1, 25], [2, 100], [3, 100]]
    assert labels_of(figure) == ["50.0 % at rank 1, one", "25.0 % at rank 1, two"]
    assert figure.axes[0].get_xscale() == "linear"
    many = cmc_figure({"many": np.linspace(0.5, 1, 60)}).axes[0]
    assert many.get_xscale() == "log"
    assert [text.get_text() for text in many.get_xticklabels()] == ["1", "2", "5", "10", "20", "50"]


@pytest.mark.parametrize("rates", [[], [0.5, 0.4], [0.5, 1.1], [-0.1], [np.nan], [[0.5]]])
def test_cmc_of_bad_input(rates):
    with pytest.raises(ValueError, match="CMC of 'one': expected fractions of 1 that never fall"):
        cmc_figure({"one": rates})
    with pytest.raises(ValueError, match="no curves, expected at least one"):
        cmc_figure({})


def shown_order(figure):
    return [text.get_text() for text in figure.axes[0].get_yticklabels()]


def test_confusion_puts_those_side_by_side_who_are_taken_for_each_other():
    # two groups that never mix, whose members stand apart in the list
    names, groups = ["a1", "b1", "a2", "b2", "a3", "b3"], np.array([0, 1, 0, 1, 0, 1])
    counts = 8 * np.eye(6, dtype=int) + 2 * (groups[:, None] == groups)
    order = shown_order(confusion_figure(counts, names))
    assert {"".join(sorted(name[0] for name in half)) for half in (order[:3], order[3:])} == {"aaa", "bbb"}
    # a chain of neighbours, shuffled
    chain = 10 * np.eye(6, dtype=int) + 5 * (np.eye(6, k=1, dtype=int) + np.eye(6, k=-1, dtype=int))
    shuffled = [3, 0, 4, 1, 5, 2]
    figure = confusion_figure(chain[np.ix_(shuffled, shuffled)], [str(number) for number in shuffled])
    assert shown_order(figure) in (list("012345"), list("543210"))


def test_confusion_of_many_still_puts_pairs_side_by_side(rng):
    one, other = rng.permutation(302).reshape(2, -1)
    counts = np.eye(302, dtype=int)
    counts[one, other] = 1
    pixels = confusion_figure(counts, [""] * 302).axes[0].images[0].get_array()
    rows, columns = np.nonzero(pixels[:, :, 3])
    assert len(rows) == 302 + 151
    assert np.abs(rows - columns).max() == 1


def test_confusion_colours_shares_of_rows():
    counts = np.array([[9, 1, 0], [0, 0, 0], [0, 4, 0]])  # the second speaker has no tests
    figure = confusion_figure(counts, ["a", "b", "c"])
    order = [["a", "b", "c"].index(name) for name in shown_order(figure)]
    pixels = figure.axes[0].images[0].get_array()[np.argsort(order)][:, np.argsort(order)]
    strengths = pixels[:, :, 3]
    np.testing.assert_array_equal(strengths > 0, counts > 0)
    assert strengths[2, 1] > strengths[0, 0] > strengths[0, 1] > 0.3  # 100 %, 90 %, 10 %
    assert len({tuple(pixels[number, number, :3]) for number in range(3)}) == 1
    assert tuple(pixels[0, 0, :3]) != tuple(pixels[0, 1, :3])
    texts = {
        (order[int(t.get_position()[1])], order[int(t.get_position()[0])]): t.get_text() for t in figure.axes[0].texts
    }
    assert texts == {(0, 0): "9", (0, 1): "1", (2, 1): "4"}


def test_confusion_of_many_names_none():
    figure = confusion_figure(np.eye(200, dtype=int), [f"speaker {number}" for number in range(200)])
    assert shown_order(figure) == []
    assert not figure.axes[0].texts
    assert figure.axes[0].get_xlabel() == "identified speaker, 200 in all"
    assert len(svg_text(figure)) < 50_000
    assert shown_order(confusion_figure([[1]], ["a name that is far too long"])) == ["a name that i…"]


def test_confusion_of_bad_input():
    for counts in ([[1, 2]], [], [[-1]], [1]):
        with pytest.raises(ValueError, match=r"confusion counts: shape .* expected speakers x speakers"):
            confusion_figure(counts, ["a"])
    with pytest.raises(ValueError, match="confusion counts of 1 speakers: 2 names"):
        confusion_figure([[1]], ["a", "b"])


# ---- files ----


def test_pictures_of_many_trials_stay_small(rng):
    target, nontarget = rng.normal(2, 2, 100_000), rng.normal(-2, 2, 200_000)
    for figure in (
        det_figure({"many": (target, nontarget)}, list(PRESETS)),
        histogram_figure(target, nontarget),
        tippett_figure(target, nontarget, raw=(target, nontarget)),
        bayes_error_figure(target, nontarget),
        reliability_figure(target, nontarget),
        cmc_figure({"many": np.linspace(0.5, 1, 5000)}),
    ):
        assert len(svg_text(figure)) < 100_000


def test_a_figure_is_saved_in_the_same_bytes(tmp_path):
    for folder in ("one", "two"):
        paths = save_figure(tippett_figure([2.0, 1.0], [0.0]), tmp_path / folder, "tippett 声")
        assert [path.name for path in paths] == ["tippett 声.svg", "tippett 声.png"]
    for path in paths:
        assert path.read_bytes() == (tmp_path / "one" / path.name).read_bytes()
    header = paths[1].read_bytes()[:24]
    assert header[:4] == b"\x89PNG"
    assert int.from_bytes(header[16:20], "big") in (
        919,
        920,
    )  # 4.6 inches of 200 dots, which versions round their own ways
    assert [path.name for path in save_figure(tippett_figure([1.0], [0.0]), tmp_path, "a", ("png",))] == ["a.png"]
    with pytest.raises(ValueError, match="figure 'a': format 'bmp', expected svg or png"):
        save_figure(tippett_figure([1.0], [0.0]), tmp_path, "a", ("bmp",))
