"""Spectra, bad channels and electrode names against planted truths."""

import numpy as np
import pytest
from eeg_dataset import eeg_signal

from brainfm.errors import SignalError
from brainfm.signal.bad_channels import find_bad_channels
from brainfm.signal.eeg import (
    BANDS_HZ,
    alpha_peak_hz,
    aperiodic,
    band_power,
    line_noise_ratio,
    relative_alpha,
    spectrum,
)
from brainfm.signal.montage import (
    fit_sphere,
    fit_to_template,
    flatten_head,
    standard_name,
    standard_names,
)

HZ = 200.0
TIMES_S = np.arange(int(20 * HZ)) / HZ
KNOWN = ("Fp1", "FC5", "C3", "Cz", "T7", "T8", "P7", "P8", "A1", "A2", "M1", "O1", "TP9")


def _sine(frequency_hz, amplitude_v=10e-6):
    return amplitude_v * np.sin(2 * np.pi * frequency_hz * TIMES_S)


class TestBandPower:
    def test_of_a_sine_is_half_its_squared_amplitude_in_its_band_and_nowhere_else(self):
        power = band_power(_sine(10.0)[:, None], HZ)
        assert power.shape == (1, len(BANDS_HZ))
        assert power[0, 2] == pytest.approx((10e-6) ** 2 / 2, rel=0.01)
        assert power[0, [0, 1, 3, 4]].max() < 1e-3 * power[0, 2]

    def test_is_nan_for_a_band_above_half_the_sampling_rate(self):
        power = band_power(_sine(10.0)[:, None], HZ, {"low": (1, 4), "high": (90, 120)})
        assert np.isfinite(power[0, 0])
        assert np.isnan(power[0, 1])

    def test_is_nan_for_a_channel_with_a_missing_sample_only(self):
        signal = np.column_stack([_sine(10.0), _sine(10.0)])
        signal[5, 1] = np.nan
        power = band_power(signal, HZ)
        assert np.isfinite(power[0]).all()
        assert np.isnan(power[1]).all()

    def test_spectra_of_one_channel_given_flat_are_refused(self):
        with pytest.raises(SignalError, match=r"expected \(n_times, n_channels\)"):
            spectrum(_sine(10.0), HZ)

    def test_a_sampling_rate_of_zero_is_refused(self):
        with pytest.raises(SignalError, match="samples per second above 0"):
            band_power(_sine(10.0)[:, None], 0)


class TestAperiodic:
    def test_exponent_of_brown_noise_is_two_and_an_alpha_rhythm_changes_nothing(self):
        rng = np.random.default_rng(0)
        white = rng.normal(size=(len(TIMES_S), 8)) * 1e-6
        signal = np.concatenate([white, white.cumsum(axis=0)], axis=1)
        with_alpha = signal + _sine(10.0, 50e-6)[:, None]
        exponents = aperiodic(signal, HZ)[:, 1]
        assert exponents[:8].mean() == pytest.approx(0, abs=0.1)
        assert exponents[8:].mean() == pytest.approx(2, abs=0.1)
        np.testing.assert_allclose(aperiodic(with_alpha, HZ), aperiodic(signal, HZ), atol=0.1)

    def test_ten_times_the_amplitude_is_an_offset_of_two_more(self):
        noise = np.random.default_rng(0).normal(size=(len(TIMES_S), 2)) * 1e-6
        rise = aperiodic(10 * noise, HZ) - aperiodic(noise, HZ)
        np.testing.assert_allclose(rise, [[2, 0]] * 2, atol=1e-9)

    def test_silent_and_broken_channels_are_nan(self):
        signal = np.column_stack([np.zeros(len(TIMES_S)), _sine(10.0), _sine(5.0)])
        signal[3, 1] = np.nan
        law = aperiodic(signal, HZ)
        assert np.isnan(law[:2]).all()
        assert np.isfinite(law[2]).all()


class TestAlpha:
    def test_share_is_that_of_the_planted_sine(self):
        signal = _sine(10.0, 3e-6) + _sine(20.0, 1e-6)
        assert relative_alpha(signal[:, None], HZ)[0] == pytest.approx(0.9, abs=0.01)

    def test_share_of_silence_is_nan(self):
        assert np.isnan(relative_alpha(np.zeros((2000, 1)), HZ)[0])

    def test_peak_is_found_on_a_falling_background(self):
        rng = np.random.default_rng(0)
        noise = rng.normal(size=(len(TIMES_S), 3)).cumsum(axis=0) * 1e-6
        assert np.isnan(alpha_peak_hz(noise, HZ)) or 7 <= alpha_peak_hz(noise, HZ) <= 13
        peak = alpha_peak_hz(noise + _sine(9.5)[:, None], HZ)
        assert peak == pytest.approx(9.5, abs=0.25)

    def test_no_peak_is_nan(self):
        assert np.isnan(alpha_peak_hz(_sine(20.0)[:, None], HZ))


class TestLineNoise:
    def test_is_about_one_for_white_noise_and_far_above_with_mains(self):
        white = np.random.default_rng(0).normal(size=(len(TIMES_S), 4)) * 1e-6
        assert line_noise_ratio(white, HZ, 50) == pytest.approx(1, abs=0.2)
        assert line_noise_ratio(white + _sine(50.0)[:, None], HZ, 50) > 50

    def test_above_half_the_sampling_rate_is_nan(self):
        assert np.isnan(line_noise_ratio(np.ones((1000, 1)), 100.0, 60))


class TestBadChannels:
    @pytest.fixture
    def signal(self):
        return eeg_signal(sampling_hz=HZ)

    def test_none_in_a_clean_recording_with_strong_occipital_alpha(self, signal):
        assert not any(len(found) for found in find_bad_channels(signal, HZ).values())

    def test_a_flat_one_is_flat_and_nothing_else(self, signal):
        signal[:, 3] = 0
        found = find_bad_channels(signal, HZ)
        assert found["flat"].tolist() == [3]
        assert not any(len(found[reason]) for reason in ("loud", "noisy", "uncorrelated"))

    def test_one_of_loud_white_noise_is_loud_or_noisy(self, signal):
        signal[:, 5] += np.random.default_rng(0).normal(size=len(signal)) * 100e-6
        found = find_bad_channels(signal, HZ)
        assert 5 in found["loud"]
        assert 5 in found["noisy"]

    def test_one_that_shares_nothing_with_the_others_is_uncorrelated(self):
        signal = eeg_signal(sampling_hz=HZ, seconds=60)
        signal[:, 7] = eeg_signal(sampling_hz=HZ, seconds=60, seed=1)[:, 7]
        assert find_bad_channels(signal, HZ)["uncorrelated"].tolist() == [7]

    def test_two_seconds_are_refused(self, signal):
        with pytest.raises(SignalError, match="at least eight seconds"):
            find_bad_channels(signal[: int(2 * HZ)], HZ)

    def test_missing_samples_are_refused(self, signal):
        signal[0, 0] = np.nan
        with pytest.raises(SignalError, match="not finite"):
            find_bad_channels(signal, HZ)


class TestNames:
    @pytest.mark.parametrize(
        ("name", "standard"),
        [
            ("Fc5.", "FC5"), ("C3..", "C3"), ("EEG T3", "T7"), ("EEG Fp1-LE", "Fp1"),
            ("EEG FP1-REF", "Fp1"), ("T4", "T8"), ("t5", "P7"), ("CZ", "Cz"), ("C3-A2", "C3"),
            ("O1-M1", "O1"), ("A1", "A1"), ("EEG A2-A1", None), ("Fp1-C3", None), ("ECG", None),
            ("XX1", None), ("C3-AVG", "C3"), ("", None),
        ],
    )  # fmt: skip
    def test_are_spelled_as_the_standard_does(self, name, standard):
        assert standard_name(name, KNOWN) == standard

    def test_two_channels_of_one_electrode_do_not_share_its_name(self):
        assert standard_names(["T3", "T7", "Cz", "cz"], KNOWN) == {"T7": "T7", "Cz": "Cz"}


class TestPositions:
    @pytest.fixture
    def cap(self):
        rng = np.random.default_rng(0)
        points = rng.normal(size=(30, 3))
        points[:, 2] = np.abs(points[:, 2])
        return 0.09 * points / np.linalg.norm(points, axis=1, keepdims=True) + [0, 0.01, 0.04]

    def test_turned_shifted_and_scaled_positions_come_back(self, cap):
        turn = np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1.0]])
        rotation, scale, shift, residual_m = fit_to_template(900 * cap @ turn + 5, cap)
        back = scale * (900 * cap @ turn + 5) @ rotation + shift
        np.testing.assert_allclose(back, cap, atol=1e-9)
        assert residual_m < 1e-9

    def test_left_and_right_are_never_swapped(self, cap):
        _, _, _, residual_m = fit_to_template(cap * [-1, 1, 1], cap)
        assert residual_m > 0.01

    def test_three_electrodes_are_too_few_to_fit(self, cap):
        with pytest.raises(SignalError, match="at least four"):
            fit_to_template(cap[:3], cap[:3])

    def test_sphere_is_found(self, cap):
        centre, radius = fit_sphere(cap)
        np.testing.assert_allclose(centre, [0, 0.01, 0.04], atol=1e-9)
        assert radius == pytest.approx(0.09)

    def test_few_electrodes_give_no_sphere(self, cap):
        assert fit_sphere(cap[:5])[1] is None

    def test_the_flat_layout_has_the_nose_at_the_top_and_right_on_the_right(self):
        points = 0.09 * np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0],
                                  [0.6, 0, 0.8], [0, 0.6, 0.8], [-0.6, 0, 0.8]])  # fmt: skip
        flat = flatten_head(points)
        np.testing.assert_allclose(flat[0], 0, atol=1e-9)
        np.testing.assert_allclose(flat[1], [1, 0], atol=1e-9)
        np.testing.assert_allclose(flat[2], [0, 1], atol=1e-9)
