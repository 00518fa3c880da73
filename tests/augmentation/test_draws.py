"""What a copy draws: by seed, name and number alone; and configurations that make no sense."""

import math
from collections import Counter

import numpy as np
import pytest
from pydantic import ValidationError

from speechgmm import AugmentConfig
from speechgmm.augmentation.augment import CopyPlan, copy_generator, draw_effects

ALL = AugmentConfig(band=[[300, 3400]], codec=["mulaw"], noise={}, reverb={}, level_db=[-20, 0])


def test_a_copy_has_the_level_and_one_or_more_of_the_other_effects_equally_often():
    rng = np.random.default_rng(1)
    n_draws = 10_000
    counts = Counter(draw_effects(ALL, rng) for _ in range(n_draws))
    assert all("level_db" in effects for effects in counts)
    shares = {1: 0.6, 2: 0.4 * 0.6, 3: 0.4**2 * 0.6, 4: 0.4**3}  # of numbers of effects
    expected = {n: share * n_draws / math.comb(4, n) for n, share in shares.items()}
    assert len(counts) == 2**4 - 1
    chi_squared = sum((found - (n := expected[len(effects) - 1])) ** 2 / n for effects, found in counts.items())
    assert chi_squared < 36.1  # of 14 degrees of freedom: exceeded once in a thousand draws


def test_effects_are_applied_in_the_order_of_a_recording():
    assert ALL.effects == ("reverb", "noise", "level_db", "band", "codec")
    rng = np.random.default_rng(1)
    for _ in range(100):
        drawn = draw_effects(ALL, rng)
        assert list(drawn) == sorted(drawn, key=ALL.effects.index)


def test_an_only_effect_is_always_applied():
    rng = np.random.default_rng(0)
    assert {draw_effects(AugmentConfig(noise={}), rng) for _ in range(20)} == {("noise",)}


def test_an_effect_that_comes_first_is_always_drawn_and_the_others_as_often_as_before():
    rng = np.random.default_rng(1)
    n_draws = 10_000
    counts = Counter(draw_effects(ALL, rng, "noise") for _ in range(n_draws))
    assert all({"noise", "level_db"} <= {*effects} for effects in counts)
    others = Counter(name for effects, n in counts.items() for name in effects for _ in range(n))
    # of three others: one with probability 0.4 * 0.6, two with 0.4 ** 2 * 0.6, all with 0.4 ** 3
    share = (0.4 * 0.6 + 2 * 0.4**2 * 0.6 + 3 * 0.4**3) / 3
    for name in ("reverb", "band", "codec"):
        assert others[name] / n_draws == pytest.approx(share, abs=4 * math.sqrt(share / n_draws))


def test_copies_of_a_recording_have_the_effects_in_turn():
    effects = {"noise", "reverb", "band", "codec"}
    firsts = [
        [CopyPlan(ALL, f"ann-{recording}", number).effect_in_turn() for number in range(1, 9)]
        for recording in range(50)
    ]
    assert all({*turns[:4]} == effects and turns[4:] == turns[:4] for turns in firsts)
    assert {turns[0] for turns in firsts} == effects  # in another order for each recording
    assert CopyPlan(AugmentConfig(level_db=[-20, 0]), "ann-1", 1).effect_in_turn() is None


def test_draws_of_a_copy_depend_on_seed_number_and_name():
    first = copy_generator(0, "ann-1", 1).random()
    assert copy_generator(0, "ann-1", 1).random() == first
    others = [(1, "ann-1", 1), (0, "ann-2", 1), (0, "ann-1", 2), (0, "ann-11", 1), (0, "1", 11)]
    assert len({copy_generator(*each).random() for each in others} | {first}) == len(others) + 1


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "no effect is given; expected one or more of band, codec, noise, reverb, level_db"),
        ({"level_db": [0, -20]}, "expected the lower end first"),
        ({"noise": {"snr_db": [30, 5]}}, "expected the lower end first"),
        ({"noise": {"snr_db": [-40, 5]}}, "greater than or equal to -10"),
        ({"noise": {"colour": [0, 3]}}, "less than or equal to 2"),
        ({"noise": {"colour": [0, 1], "folder": "noises"}}, "colour is for generated noise"),
        ({"reverb": {"rt60": [0.2, 60]}}, "less than or equal to 5"),
        ({"reverb": {"rt60": [0.2, 0.9], "folder": "rooms"}}, "rt60: folder names impulse responses"),
        ({"band": []}, "at least 1 item"),
        ({"band": [[3400, 300]]}, r"band \[3400, 300\]: expected the lower edge first"),
        ({"band": [[5, 300]]}, "0 or at least 20 Hz"),
        ({"codec": ["aac"]}, "'mp3', 'opus', 'vorbis', 'gsm' or 'mulaw'"),
        ({"level_db": [0, 0], "copies": 0}, "greater than or equal to 1"),
        ({"level_db": [0, 0], "seed": -1}, "greater than or equal to 0"),
        ({"level_db": [0, 0], "speed": [0.9, 1.1]}, "Extra inputs are not permitted"),
    ],
)
def test_configurations_without_sense_are_refused(keys, message):
    with pytest.raises(ValidationError, match=message):
        AugmentConfig(**keys)
