"""The counts in headers of less common formats, and in the last frame of FLAC files."""

import numpy as np
import pytest
import soundfile

from speechgmm.audio.counts import last_flac_frame, stated_samples

RNG = np.random.default_rng(2)
NOISE = RNG.integers(-3000, 3000, (20011, 2)).astype(np.int16)


@pytest.mark.parametrize("name", ["SVX", "VOC", "AVR", "WVE", "MPC2K", "MAT4", "MAT5"])
def test_the_samples_of_a_whole_file_end_at_its_end(tmp_path, name):
    path = tmp_path / "a"
    n_seen = 0
    for subtype in soundfile.available_subtypes(name):
        for n_channels in (1, 2):
            if not soundfile.check_format(name, subtype) or (n_channels == 2 and name in {"SVX", "WVE"}):
                continue
            soundfile.write(path, NOISE[:, :n_channels], 8000, subtype, format=name)
            content = path.read_bytes()
            if (found := stated_samples(content)) is not None:
                n_seen += 1
                assert found.end in {len(content), len(content) - 1}  # VOC files end with a byte of zero
                width = {"PCM_16": 2, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}.get(subtype, 1)
                assert found.end - found.start - len(NOISE) * n_channels * width in {0, 1}
    assert n_seen > 0


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
@pytest.mark.parametrize("n_samples", [1, 15, 4096, 4097, 20011])
def test_the_last_frame_of_a_flac_file_counts_its_samples(tmp_path, subtype, n_samples):
    for n_channels in (1, 2):
        path = tmp_path / "a.flac"
        soundfile.write(path, NOISE[:n_samples, :n_channels], 44100, subtype)
        assert last_flac_frame(path.read_bytes()).stop == n_samples


def test_a_file_without_a_count_has_none(tmp_path):
    soundfile.write(tmp_path / "a.wav", NOISE, 8000)
    content = (tmp_path / "a.wav").read_bytes()
    assert (stated_samples(content), last_flac_frame(content)) == (None, None)
    for head in (
        b"",
        b"fLaC",
        b"2BIT",
        b"FORM\0\0\0\0" + b"8SVX",
        b"\1\4",
        b"MATLAB 5.0 MAT-file",
        b"Creative Voice File",
    ):
        stated_samples(head)
        assert last_flac_frame(head) is None
