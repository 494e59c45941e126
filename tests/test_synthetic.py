"""Synthetic sources: each is what its docstring says."""

import numpy as np
import pytest
from scipy.signal import hilbert, welch

from brainfm.errors import SignalError
from brainfm.signal import synthetic


@pytest.fixture
def generator():
    return np.random.default_rng(0)


class TestHaemodynamicResponse:
    def test_peaks_at_five_seconds_and_undershoots_at_fifteen(self):
        response = synthetic.haemodynamic_response(10)
        assert response.max() == 1
        assert response.argmax() / 10 == pytest.approx(5, abs=0.2)
        assert response.argmin() / 10 == pytest.approx(15.7, abs=1)

    def test_the_response_peaks_five_seconds_after_an_event(self):
        neural = np.zeros(600)
        neural[320 + 100] = 1
        bold = synthetic.convolve_response(neural, 10)
        assert len(bold) == 280
        assert bold.argmax() == 150

    def test_activity_shorter_than_the_response_is_refused(self):
        with pytest.raises(SignalError, match=r"lasts 20 s; expected more than 32 s"):
            synthetic.convolve_response(np.zeros(200), 10)


class TestAlpha:
    def test_the_envelope_is_slow_positive_and_has_mean_one(self, generator):
        envelope = synthetic.alpha_envelope(60_000, 100, generator)
        frequencies, power = welch(envelope - 1, 100, nperseg=60_000)
        assert envelope.min() >= 0
        assert envelope.mean() == pytest.approx(1)
        slow = power[(frequencies > 0.005) & (frequencies < 0.15)].sum() / power.sum()
        assert slow > 0.95

    def test_the_rhythm_has_the_given_frequency_and_envelope(self, generator):
        envelope = synthetic.alpha_envelope(60_000, 100, generator)
        rhythm = synthetic.alpha_rhythm(envelope, 100, 10.0, generator)
        frequencies, power = welch(rhythm, 100, nperseg=400)
        assert frequencies[power.argmax()] == pytest.approx(10, abs=0.3)
        found = np.abs(hilbert(rhythm))
        assert np.corrcoef(found, envelope)[0, 1] > 0.95


class TestSources:
    def test_parcels_of_one_network_have_the_given_correlation_and_others_none(self, generator):
        neural = synthetic.network_sources(
            ["Vis", "Vis", "Default"], 50_000, coupling=0.6, generator=generator
        )
        assert np.corrcoef(neural.T) == pytest.approx(
            np.array([[1, 0.6, 0], [0.6, 1, 0], [0, 0, 1]]), abs=0.02
        )

    def test_the_nearest_electrode_sees_a_radial_source_best(self):
        electrodes = np.array([[90.0, 0, 0], [0, 90, 0], [0, 0, 90], [-90, 0, 0]])
        leadfield = synthetic.dipole_leadfield(electrodes, [[60, 0, 0], [0, 0, 60]])
        assert leadfield.argmax(axis=0).tolist() == [0, 2]
        assert leadfield.max(axis=0).tolist() == [1, 1]
        assert leadfield[3, 0] < 0

    def test_a_source_on_an_electrode_is_refused(self):
        with pytest.raises(SignalError, match=r"share a position: move one of them"):
            synthetic.dipole_leadfield([[1, 2, 3]], [[1, 2, 3]])

    def test_pink_noise_loses_half_its_power_with_each_octave(self, generator):
        noise = synthetic.pink_noise(20_000, 8, generator)
        frequencies, power = welch(noise, 200, nperseg=2000, axis=0)
        kept = (frequencies > 1) & (frequencies < 80)
        slope = np.polyfit(np.log(frequencies[kept]), np.log(power[kept].mean(axis=1)), 1)[0]
        assert slope == pytest.approx(-1, abs=0.1)
        assert noise.std(axis=0) == pytest.approx(1)

    def test_line_noise_is_one_peak_in_the_spectrum(self, generator):
        noise = synthetic.line_noise(4000, 3, 200, 50, generator)
        frequencies, power = welch(noise, 200, nperseg=1000, axis=0)
        assert (frequencies[power.argmax(axis=0)] == 50).all()

    def test_blinks_come_about_every_four_seconds_and_are_short(self, generator):
        course = synthetic.blinks(100_000, 100, generator)
        begins = ((course[1:] > 0.3) & (course[:-1] <= 0.3)).sum()
        assert 200 < begins < 300
        assert 0.01 < (course > 0.3).mean() < 0.1


class TestImages:
    def test_a_rigid_movement_preserves_lengths_and_handedness(self):
        matrix = synthetic.rigid_matrix([1, 2, 3, 0.1, -0.2, 0.3])
        assert matrix[:3, :3] @ matrix[:3, :3].T == pytest.approx(np.eye(3))
        assert np.linalg.det(matrix) == pytest.approx(1)
        assert matrix[:3, 3].tolist() == [1, 2, 3]

    def test_motion_starts_at_zero_and_stays_small(self, generator):
        motion = synthetic.head_motion(50, generator)
        assert not motion[0].any()
        assert np.abs(motion[:, :3]).max() <= 0.4
        assert np.abs(motion[:, 3:]).max() <= 0.004

    def test_contents_move_as_the_matrix_states(self):
        volume = np.zeros((9, 9, 9))
        volume[4, 4, 4] = 1
        two_mm = np.diag([2.0, 2, 2, 1])
        matrix = synthetic.rigid_matrix([4, 0, -2, 0, 0, 0])
        moved = synthetic.move_volume(volume, two_mm, matrix, shape=(9, 9, 9), target_affine=two_mm)
        assert np.unravel_index(moved.argmax(), moved.shape) == (6, 4, 3)

    def test_each_parcel_follows_its_series(self, generator):
        labels = np.array([[[0, 1, 2]]])
        series = np.array([[1.0, -1], [-1, 1]])
        volumes = synthetic.bold_volumes(
            np.full((1, 1, 3), 100.0), labels, series, percent=2, noise=0, generator=generator
        )
        assert np.stack(list(volumes))[:, 0, 0].tolist() == [[100, 102, 98], [100, 98, 102]]
