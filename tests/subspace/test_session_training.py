"""Training of ISV and JFA against Bob, brute-force Gaussians, and itself on any engine."""

from functools import partial
from itertools import chain, pairwise

import numpy as np
import pytest

from helpers.models import random_gmm
from helpers.session import BOB, BOB_STATS, BOB_UBM, SPEAKERS, bob_model, draw_model, draw_statistics, ubm_of
from naive.subspace_session import log_evidence_gain
from speechgmm import DiagonalGMM, Engine, SufficientStats, accumulate
from speechgmm.errors import CheckpointError, ModelError
from speechgmm.parallel.engine import sum_over
from speechgmm.subspace import packed
from speechgmm.subspace.session.config import ISVConfig, JFAConfig
from speechgmm.subspace.session.factors import solve_loadings
from speechgmm.subspace.session.speakers import speaker_blocks
from speechgmm.subspace.session.steps import isv_sums, residual_sums, session_sums, speaker_sums
from speechgmm.subspace.session.training import START_SCALE, train_isv, train_jfa
from speechgmm.subspace.statistics import StackedStats, StatsStore, write_statistics

BOB_ROUNDING = 1e-12
"""Of the largest value; the literal twin agrees with Bob to 1e-13 or better."""

ISV = ISVConfig(method="isv", rank=2, n_iterations=3)
JFA = JFAConfig(method="jfa", rank=2, speaker_rank=2, n_iterations=3)


@pytest.fixture
def drawn(rng):
    model = draw_model(rng)
    return ubm_of(model), *draw_statistics(rng, model)


def assert_near(values, expected, share=BOB_ROUNDING):
    np.testing.assert_allclose(np.ravel(values), np.ravel(expected), rtol=0, atol=share * np.abs(expected).max())


def same(model, other):
    names = ("means", "variances", "session", "speaker", "residual")
    return all(getattr(model, name).tobytes() == getattr(other, name).tobytes() for name in names)


def in_memory(stats):
    """The same statistics, recording by recording."""
    rows = zip(stats.zeroth, stats.first, stats.n_frames.tolist(), strict=True)
    return [SufficientStats(n, f, np.ones_like(f), 0.0, count) for n, f, count in rows]


@pytest.mark.parametrize("n_iterations", [1, 5])
def test_session_loadings_of_isv_are_those_of_bob(n_iterations):
    config = ISVConfig(method="isv", rank=2, n_iterations=n_iterations)
    trained = train_isv(BOB_UBM, BOB_STATS, SPEAKERS, config, start=bob_model("isv", 0)).model
    assert_near(trained.session, BOB[f"isv_U{n_iterations}"])
    assert_near(trained.residual, BOB["isv_D0"])


@pytest.mark.parametrize("n_iterations", [1, 5])
def test_loadings_of_jfa_are_those_of_bob(n_iterations):
    config = JFAConfig(method="jfa", rank=2, speaker_rank=3, n_iterations=n_iterations)
    trained = train_jfa(BOB_UBM, BOB_STATS, SPEAKERS, config, start=bob_model("jfa", 0)).model
    for name, letter in (("speaker", "V"), ("session", "U"), ("residual", "D")):
        assert_near(getattr(trained, name), BOB[f"jfa_{letter}{n_iterations}"])


def test_random_loadings_are_small_against_the_deviations_and_d_is_that_of_the_relevance_factor(rng):
    model = draw_model(rng, n_components=2, n_features=40, speaker_rank=0)
    stats, speakers = draw_statistics(rng, model)
    zeroth, first = stats.zeroth * [1, 0], stats.first * [[1], [0]]  # the second component keeps what was drawn
    config = ISVConfig(method="isv", rank=10, relevance_factor=9.0, n_iterations=1)
    trained = train_isv(ubm_of(model), StackedStats(zeroth, first, stats.n_frames), speakers, config).model
    relative = trained.session[1] / np.sqrt(model.variances[1])[:, None]
    assert np.std(relative) == pytest.approx(START_SCALE, rel=0.15)  # of 400 normal numbers
    np.testing.assert_allclose(trained.residual, np.sqrt(model.variances) / 3)
    assert trained.speaker_rank == 0


def test_features_in_other_units_give_loadings_in_these_units(drawn):
    ubm, stats, speakers = drawn
    units = 2.0 ** np.array([-8, 0, 9])  # powers of 2, which do not round
    scaled = DiagonalGMM(ubm.weights, ubm.means * units, ubm.variances * units**2)
    scaled_stats = StackedStats(stats.zeroth, stats.first * units, stats.n_frames)
    trained = train_isv(ubm, stats, speakers, ISV, rng=np.random.default_rng(3))
    again = train_isv(scaled, scaled_stats, speakers, ISV, rng=np.random.default_rng(3))
    np.testing.assert_allclose(again.model.session, trained.model.session * units[:, None], rtol=1e-9)
    np.testing.assert_allclose([i.gain for i in again.history], [i.gain for i in trained.history], rtol=1e-9)


def test_session_directions_are_found_again(rng):
    model = draw_model(rng, n_components=8, n_features=6, session_rank=2, speaker_rank=0)
    stats, speakers = draw_statistics(rng, model, n_speakers=40, n_recordings=5)
    config = ISVConfig(method="isv", rank=2, n_iterations=15)
    trained = train_isv(ubm_of(model), stats, speakers, config).model
    deviations = np.sqrt(model.variances)[:, :, None]
    true, found = ((each.session / deviations).reshape(-1, 2) for each in (model, trained))
    basis, _ = np.linalg.qr(found)
    assert np.sum((basis.T @ true) ** 2) > 0.97 * np.sum(true**2)


def test_gain_of_the_speaker_factors_is_that_of_a_brute_force_gaussian(drawn):
    ubm, stats, speakers = drawn
    start = draw_model(np.random.default_rng(7))
    start = type(start)(ubm.means, ubm.variances, start.session, start.speaker, start.residual)
    history = train_jfa(ubm, stats, speakers, JFA, start=start).history
    of_speakers = [
        log_evidence_gain(
            stats.zeroth[k : k + 4].sum(0), stats.first[k : k + 4].sum(0), start.speaker, ubm.means, ubm.variances
        )
        for k in range(0, len(stats), 4)
    ]
    assert history[0].gain == pytest.approx(sum(of_speakers) / stats.n_frames.sum(), rel=1e-10)


def test_gains_of_jfa_never_fall_while_the_same_factors_are_trained(drawn):
    history = train_jfa(*drawn, JFAConfig(method="jfa", rank=2, speaker_rank=2, n_iterations=12)).history
    assert [iteration.number for iteration in history] == [*range(1, 13)] * 3
    for name in ("speaker", "session", "residual"):
        gains = [iteration.gain for iteration in history if iteration.factors == name]
        assert len(gains) == 12
        assert min(np.diff(gains)) >= -1e-12


@pytest.mark.parametrize("step", [isv_sums, speaker_sums, session_sums, residual_sums])
def test_sums_of_any_cut_are_the_whole(rng, step):
    model = draw_model(rng)
    stats, speakers = draw_statistics(rng, model, n_speakers=6)
    (whole,) = speaker_blocks(stats, speakers)
    expected = step(model.whitened, whole)
    for cuts in ([0, 4, 24], [0, 12, 16, 24], list(range(0, 25, 4))):
        parts = [
            speaker_blocks(stats.rows(range(start, stop)), speakers[start:stop])[0] for start, stop in pairwise(cuts)
        ]
        total = sum_over(partial(step, model.whitened), parts)
        for name in ("occupancy", "second", "product", "gain"):
            np.testing.assert_allclose(getattr(total, name), getattr(expected, name), rtol=1e-10, atol=1e-9)


def test_recordings_of_a_speaker_stay_together_in_blocks_of_about_64():
    stats = StackedStats(np.ones((200, 1)), np.arange(200.0)[:, None, None], np.ones(200))
    speakers = [*"ab" * 15, *"c" * 100, *"ddddee" * 10, *"a" * 10]
    blocks = speaker_blocks(stats, speakers)
    assert [block.counts for block in blocks] == [(25, 15), (100,), (40, 20)]
    rows = [block.recordings.load().first.ravel().astype(int).tolist() for block in blocks]
    assert sorted(chain.from_iterable(rows)) == list(range(200))
    assert rows[0] == [row for name in "ab" for row in range(200) if speakers[row] == name]


@pytest.mark.parametrize(("train", "config"), [(train_isv, ISV), (train_jfa, JFA)])
def test_any_engine_and_source_train_the_same_bytes(rng, tmp_path, train, config):
    model = draw_model(rng)
    stats, speakers = draw_statistics(rng, model, n_speakers=50)  # four blocks
    ubm = ubm_of(model)
    for _ in write_statistics(tmp_path, speakers, in_memory(stats), model.means.shape):
        pass
    engines = [partial(sum_over, engine=Engine(*args)) for args in (("serial",), ("processes", 2))]
    sources = [in_memory(stats), StatsStore(tmp_path)]
    first, *others = [
        train(ubm, source, speakers, config, sum_over=engine).model for engine in engines for source in sources
    ]
    assert all(same(first, other) for other in others)


@pytest.mark.parametrize(("train", "config"), [(train_isv, ISV), (train_jfa, JFA)])
def test_a_stopped_training_resumes_with_the_same_bytes(drawn, tmp_path, train, config):
    ubm, stats, speakers = drawn
    whole = train(ubm, stats, speakers, config)
    seen = []

    def stop(iteration):
        seen.append(iteration)
        if len(seen) == len(whole.history) // 2 + 1:
            raise KeyboardInterrupt

    file = tmp_path / "state"
    with pytest.raises(KeyboardInterrupt):
        train(ubm, stats, speakers, config, checkpoint=file, on_iteration=stop)
    resumed = train(ubm, stats, speakers, config, checkpoint=file, on_iteration=seen.append)
    assert same(resumed.model, whole.model)
    assert [each.gain for each in resumed.history] == [each.gain for each in whole.history]
    assert seen == list(resumed.history)


def test_checkpoints_of_other_trainings_and_damaged_ones_are_refused(drawn, tmp_path):
    ubm, stats, speakers = drawn
    file = tmp_path / "state"
    train_isv(ubm, stats, speakers, ISV, checkpoint=file)
    others = [
        (stats, speakers, ISV.model_copy(update={"n_iterations": 4})),
        (stats, [*speakers[1:], "x"], ISV),
        (stats.rows(range(1, len(stats))), speakers[1:], ISV),
    ]
    for args in others:
        with pytest.raises(CheckpointError, match="another training"):
            train_isv(ubm, *args, checkpoint=file)
    content = bytearray(file.read_bytes())
    content[-20] ^= 1
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match="remove it to start again"):
        train_isv(ubm, stats, speakers, ISV, checkpoint=file)
    with pytest.raises(CheckpointError, match="no file"):
        train_isv(ubm, stats, speakers, ISV, checkpoint=tmp_path)


def test_components_without_frames_keep_their_loadings_and_are_counted(rng):
    start = draw_model(rng)
    stats, speakers = draw_statistics(rng, start)
    zeroth, first = stats.zeroth.copy(), stats.first.copy()
    zeroth[:, 1], first[:, 1] = 0.0, 0.0
    zeroth[:, 4], first[:, 4] = 1e-12, 1e-12
    stats = StackedStats(zeroth, first, stats.n_frames)
    trained = train_jfa(ubm_of(start), stats, speakers, JFA, start=start)
    for name in ("session", "speaker", "residual"):
        before, after = getattr(start, name), getattr(trained.model, name)
        np.testing.assert_array_equal(after[[1, 4]], before[[1, 4]])
        assert (after[0] != before[0]).all()
    assert trained.warnings == (
        "2 of 6 components have less than 1 frame in all recordings; their loadings stay as they started",
    )


def test_recordings_without_frames_change_nothing_and_are_counted(rng):
    start = draw_model(rng, speaker_rank=0)
    stats, speakers = draw_statistics(rng, start)
    silent = [np.zeros((3, *array.shape[1:])) for array in (stats.zeroth, stats.first, stats.n_frames)]
    arrays = (stats.zeroth, stats.first, stats.n_frames)
    joined = StackedStats(*(np.concatenate(both) for both in zip(arrays, silent, strict=True)))
    expected = train_isv(ubm_of(start), stats, speakers, ISV, start=start)
    trained = train_isv(ubm_of(start), joined, [*speakers, "s0", "new", "new"], ISV, start=start)
    np.testing.assert_allclose(trained.model.session, expected.model.session, rtol=1e-9)
    assert trained.warnings == ("3 of 35 recordings have no frames",)


def test_speakers_with_one_recording_are_counted_and_more_factors_than_the_recordings_carry(drawn):
    ubm, stats, speakers = drawn
    names = [*speakers[:30], "x", "y"]
    config = JFAConfig(method="jfa", rank=18, speaker_rank=10, n_iterations=4)
    trained = train_jfa(ubm, stats.rows(range(4, 32)), names[4:], config)
    assert trained.warnings == (
        "2 of 9 speakers have one recording only, which does not show what a session changes",
        "speaker_rank 10 is more than 9 speakers determine; expected less than 9",
    )
    config = ISVConfig(method="isv", rank=18, n_iterations=4)
    assert train_isv(ubm, stats.rows(range(24)), speakers[:24], config).warnings == (
        "rank 18 is more than 24 recordings of 6 speakers determine; "
        "expected less than 18, the recordings less the speakers",
    )


@pytest.mark.parametrize(
    ("speakers", "message"),
    [
        ([f"s{k}" for k in range(32)], "0 of 32 speakers have two recordings or more: what a session changes cannot"),
        (["ann"] * 32, "speakers with recordings that have frames: 1; expected two or more"),
        (["ann"] * 31, "31 speakers for 32 recordings; expected the speaker of each"),
    ],
)
def test_recordings_that_do_not_separate_sessions_from_speakers_are_refused(drawn, speakers, message):
    ubm, stats, _ = drawn
    for train, config in ((train_isv, ISV), (train_jfa, JFA)):
        with pytest.raises(ModelError, match=message):
            train(ubm, stats, speakers, config)


def test_more_factors_than_means_and_models_that_do_not_fit_are_refused(drawn):
    ubm, stats, speakers = drawn
    with pytest.raises(ModelError, match="rank 19 is more than the 6 x 3 means of the background model"):
        train_isv(ubm, stats, speakers, ISVConfig(method="isv", rank=19))
    with pytest.raises(ModelError, match="speaker_rank 19 is more than the 6 x 3 means"):
        train_jfa(ubm, stats, speakers, JFAConfig(method="jfa", rank=2, speaker_rank=19))
    with pytest.raises(ModelError, match=r"statistics of shape \(8, 5\) for a model of shape \(6, 3\)"):
        train_isv(ubm, BOB_STATS, SPEAKERS, ISV)
    with pytest.raises(ModelError, match="no statistics"):
        train_isv(ubm, [], [], ISV)
    start = draw_model(np.random.default_rng(1), speaker_rank=0)
    with pytest.raises(ModelError, match="a first model with means of its own"):
        train_isv(ubm, stats, speakers, ISV, start=start)
    with pytest.raises(ModelError, match="2 session and 0 speaker factors; expected 2 and 2"):
        train_jfa(ubm, stats, speakers, JFA, start=start)


def test_matrices_that_are_singular_to_rounding_are_refused():
    with pytest.raises(ModelError, match="the matrix of 2 factors in row 1 is singular to rounding"):
        solve_loadings(packed.pack(np.array([[[1.0, 0.5], [0.5, 1.0]], [[1.0, 2.0], [2.0, 1.0]]])), np.ones((2, 1, 2)))


@pytest.mark.parametrize(("train", "config"), [(train_isv, JFAConfig(rank=2)), (train_jfa, ISVConfig(rank=2))])
def test_a_configuration_of_the_other_model_is_refused(train, config, rng):
    ubm = random_gmm(rng)
    with pytest.raises(ModelError, match=f"of type {type(config).__name__}; expected (ISV|JFA)Config"):
        train(ubm, [accumulate(ubm, rng.normal(size=(9, 3)))] * 4, ["a", "a", "b", "b"], config)
