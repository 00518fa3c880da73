"""A recording of ten hours: in little memory, and the same bits as at once."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile

from helpers.paths import GOLDEN
from speechgmm import extract
from speechgmm.features.store.store import open_store
from speechgmm.recipe.reading.loader import load_features

RATE = 16000
SECTION = """
base: kaldi
deltas: {order: 2}
normalisation: {mean: 1, window: 300, center: true, over: all, variance: true}
"""


def write_speech(path, seconds):
    """Repeat a sentence, each time at another level."""
    sentence = soundfile.read(GOLDEN / "a16k.wav", dtype="int16")[0]
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as file:
        while file.frames < seconds * RATE:
            file.write((sentence * rng.uniform(0.3, 1)).astype(np.int16)[: seconds * RATE - file.frames])


def run_features(*arguments):
    """Run the command in a process of its own, and give the most memory that it had, in kilobytes (on Linux).

    What `getrusage` tells would include the memory of this process, which it is forked from.
    """
    code = (
        "import re, sys; from speechgmm.cli import app; app(sys.argv[1:], standalone_mode=False); "
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    )
    command = [sys.executable, "-c", code, "features", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


@pytest.mark.slow
def test_ten_hours_take_less_than_300_megabytes(tmp_path):
    write_speech(tmp_path / "ten.wav", 36000)
    (tmp_path / "sliding.yaml").write_text(SECTION)
    arguments = (tmp_path / "ten.wav", "--config", tmp_path / "sliding.yaml", "--out", tmp_path / "ten.ark")
    assert 50_000 < run_features(*arguments) < 300_000
    assert (tmp_path / "ten.ark").stat().st_size > 36000 * 99 * 39 * 4


@pytest.mark.slow
def test_a_long_file_in_blocks_is_the_whole(tmp_path):
    write_speech(tmp_path / "half.wav", 1800)
    (tmp_path / "sliding.yaml").write_text(SECTION)
    run_features(tmp_path / "half.wav", "--config", tmp_path / "sliding.yaml", "--out", f"{tmp_path}/store/")
    config = load_features(str(tmp_path / "sliding.yaml"))
    assert np.array_equal(open_store(tmp_path / "store").frames("half"), extract(tmp_path / "half.wav", config))
