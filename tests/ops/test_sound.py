"""Mu-law, log-mel frames and their inverse against closed forms and SciPy."""

import numpy as np
import pytest
import scipy.signal

from jaxgen.ops import sound

RATE = 8000


def noise(count, samples, seed=0):
    return (0.1 * np.random.RandomState(seed).randn(count, samples)).astype(np.float32)


def test_mu_law_is_the_formula_and_its_inverse():
    x = np.linspace(-1, 1, 2001)[None]
    found = sound.companded(x)
    assert found.min() == 0 and found.max() == 255 and (np.diff(found) >= 0).all()
    exact = [(np.log1p(255 * abs(v)) / np.log(256) * np.sign(v) + 1) / 2 * 255 for v in x[0]]
    np.testing.assert_array_equal(found[0], np.round(exact))
    # half a level, times the slope of the inverse there
    step = np.log(256) / 255 * (1 / 255 + np.abs(x)) * np.exp(np.log(256) / 255)
    assert (np.abs(sound.expanded(found) - x) <= step).all()
    levels = np.arange(256)[None]
    np.testing.assert_array_equal(sound.companded(sound.expanded(levels)), levels)
    assert sound.companded(np.array([[-9.0, 9.0]])).tolist() == [[0, 255]]


@pytest.mark.parametrize(("rate", "samples", "count"), [(8000, 2048, 32), (16_000, 5000, 40)])
def test_frames_are_those_of_scipy(rate, samples, count):
    x = noise(3, samples)
    size = sound.window_size(rate)
    assert size == 0.064 * rate
    window = scipy.signal.get_window("hann", size)
    _, _, z = scipy.signal.stft(
        x.astype(float), 1, window, size, size // 2, boundary=None, padded=False
    )
    power = np.abs(z) ** 2 * window.sum() ** 2 / np.sum(window**2)
    mel = np.linspace(0, 2595 * np.log10(1 + rate / 1400), count + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    at = np.arange(size // 2 + 1) * rate / size
    bands = np.stack([np.interp(at, edges[i : i + 3], [0, 1, 0], 0, 0) for i in range(count)])
    wanted = (np.log(np.einsum("kf,bft->btk", bands, power) + 5e-7) + 6) / 3.6
    found = sound.log_mel(x, rate, count)
    assert found.shape[1] == sound.frame_count(samples, rate)
    assert sound.sample_count(found.shape[1], rate) <= samples
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_white_noise_has_its_variance_at_every_frequency():
    power = np.square(np.abs(sound.spectra(noise(400, 1024), RATE)))[..., 1:-1].mean((0, 1))
    error = 0.01 / np.sqrt(1200)  # squares of a spectrum are exponential: their deviation is 0.01
    assert np.abs(power - 0.01).max() < 5 * error and abs(power.mean() - 0.01) < error


def test_a_sound_is_found_of_its_frames():
    time = np.arange(2048) / RATE
    x = sound.levelled(np.stack([np.sin(2 * np.pi * f * time) for f in (300, 1000)]))
    np.testing.assert_allclose(np.sqrt(np.mean(x**2, -1)), sound.LOUDNESS, rtol=1e-5)
    frames = sound.log_mel(x, RATE)
    found = sound.sound(frames, RATE)
    assert found.shape == x.shape and found.dtype == np.float32
    loudest = [np.abs(np.fft.rfft(wave)).argmax() * RATE / 2048 for wave in found]
    assert np.abs(np.array(loudest) - (300, 1000)).max() < RATE / 512  # a bin of a frame
    again = sound.log_mel(found, RATE)
    far = np.sqrt(np.mean(np.square(again - frames)))
    assert far < 0.25 * np.sqrt(np.mean(np.square(sound.log_mel(noise(2, 2048), RATE) - frames)))


def test_spectra_of_a_sound_give_it_back():
    x = noise(2, 2048)
    found = sound._joined(sound.spectra(x, RATE), RATE)
    np.testing.assert_allclose(found[:, 16:-16], x[:, 16:-16], atol=1e-6)


def test_what_cannot_be():
    with pytest.raises(ValueError, match="100 samples, expected 512 or more"):
        sound.log_mel(noise(1, 100), RATE)
    with pytest.raises(ValueError, match="200 bands are too narrow for frames of 512 samples"):
        sound.bands(RATE, 200)
    assert not sound.levelled(np.zeros((1, 8), np.float32)).any()
