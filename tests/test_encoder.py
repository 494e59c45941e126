"""Properties of windows, tokens and encoder: any montage, any length, either modality."""

import numpy as np
import pytest
import torch
from brains import bold, eeg, pick
from pyriemann.geometry.tangentspace import tangent_space

from brainfm.errors import ModelError
from brainfm.models.encoder.encoder import BrainEncoder, EncoderConfig, n_parameters
from brainfm.models.encoder.readout import embed, part_slices
from brainfm.models.encoder.windows import (
    SPECS,
    all_windows,
    collate,
    cut_window,
    prepare,
    resample,
)
from brainfm.recording import Recording

MAKERS = {"bold": bold, "eeg": eeg}
CONFIG = EncoderConfig.preset("nano")


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return BrainEncoder(CONFIG).eval()


def _assert_close(one, other, tolerance=2e-3):
    np.testing.assert_allclose(one, other, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
class TestOneVector:
    def test_is_finite_and_has_the_length_of_its_layout(self, encoder, make):
        recording = make()
        vector = embed(encoder, prepare(recording))
        parts = part_slices(CONFIG, recording.modality)
        assert vector.dtype == np.float32
        assert np.isfinite(vector).all()
        assert list(parts.values())[-1].stop == len(vector)

    def test_does_not_depend_on_the_order_of_channels(self, encoder, make):
        recording = make()
        order = np.random.default_rng(0).permutation(len(recording.channels))
        _assert_close(
            embed(encoder, prepare(recording)), embed(encoder, prepare(pick(recording, order)))
        )

    def test_a_masked_channel_equals_an_absent_channel(self, encoder, make):
        recording = make()
        keep = np.arange(1, len(recording.channels))
        masked = recording.with_entities(mask=recording.mask & (np.arange(len(keep) + 1) > 0))
        _assert_close(
            embed(encoder, prepare(masked)), embed(encoder, prepare(pick(recording, keep)))
        )

    def test_a_nan_channel_equals_an_absent_channel(self, encoder, make):
        recording = make()
        signal = recording.signal.copy()
        signal[3, 0] = np.nan
        lost = Recording.from_array(
            signal,
            sampling_hz=recording.sampling_hz,
            modality=recording.modality,
            positions=recording.positions,
            mask=np.ones(signal.shape[1], bool),
        )
        keep = np.arange(1, signal.shape[1])
        _assert_close(embed(encoder, prepare(lost)), embed(encoder, prepare(pick(recording, keep))))

    @pytest.mark.parametrize("n_channels", [1, 2, 70])
    def test_exists_for_any_number_of_channels(self, encoder, make, n_channels):
        assert np.isfinite(embed(encoder, prepare(make(n_channels=n_channels)))).all()

    def test_does_not_depend_on_the_windows_encoded_at_once(self, encoder, make):
        long = {"bold": {"n_times": 200}, "eeg": {"duration_s": 55}}[make.__name__]
        prepared = prepare(make(**long))
        _assert_close(
            embed(encoder, prepared, batch_size=1), embed(encoder, prepared, batch_size=9)
        )


def test_the_unit_of_bold_does_not_matter(encoder):
    recording = bold()
    other = Recording.from_array(
        recording.signal * 37 + 1000,
        sampling_hz=recording.sampling_hz,
        modality="bold",
        positions=recording.positions,
    )
    _assert_close(embed(encoder, prepare(recording)), embed(encoder, prepare(other)), 5e-3)


@pytest.mark.parametrize("sampling_hz", [128, 250, 500])
def test_is_nearly_the_same_at_another_sampling_rate_of_eeg(encoder, sampling_hz):
    def make(rate_hz, kind):
        time_s = np.arange(int(20 * rate_hz)) / rate_hz
        waves = np.sin(2 * np.pi * np.outer(time_s, np.arange(4, 20) * kind))
        mixing = np.random.default_rng(0).standard_normal((16, 8))
        positions = eeg(n_channels=8).positions
        return prepare(
            Recording.from_array(
                waves @ mixing * 1e-5, sampling_hz=rate_hz, modality="eeg", positions=positions
            )
        )

    here, there = embed(encoder, make(100, 1)), embed(encoder, make(sampling_hz, 1))
    another = embed(encoder, make(100, 1.9))
    assert np.linalg.norm(here - there) < 0.3 * np.linalg.norm(here - another)


def test_starting_a_whole_window_later_shifts_the_windows_only(encoder):
    spec = SPECS["eeg"]
    prepared = prepare(eeg(duration_s=30))
    whole = {"eeg": all_windows(prepared)}
    later = {"eeg": collate([cut_window(prepared, spec.patch * spec.n_patches)])}
    _assert_close(encoder(whole).summary[1].detach(), encoder(later).summary[0].detach(), 1e-4)


def test_padding_in_time_changes_nothing(encoder):
    prepared = prepare(eeg(duration_s=12))
    short = collate([cut_window(prepared, 900)])
    assert short.patches.sum() == 3
    noisy = torch.where(short.patches[0, None, :, None], short.signal, 7.0)
    padded = {"eeg": type(short)(**{**vars(short), "signal": noisy})}
    _assert_close(encoder({"eeg": short}).summary.detach(), encoder(padded).summary.detach(), 1e-4)


def test_rows_of_a_batch_do_not_see_each_other(encoder):
    one, two = (cut_window(prepare(eeg(seed, n_channels=6 + 3 * seed)), 0) for seed in (0, 1))
    both = encoder({"eeg": collate([one, two])})
    alone = encoder({"eeg": collate([one])})
    _assert_close(both.tokens[:1].detach(), alone.tokens.detach(), 1e-4)


def test_two_modalities_share_the_transformer_and_either_may_be_missing(encoder):
    windows = {
        "bold": collate([cut_window(prepare(bold()), 0)]),
        "eeg": collate([cut_window(prepare(eeg()), 0)]),
    }
    both = encoder(windows)
    alone = {name: encoder({name: one}) for name, one in windows.items()}
    n_tokens = [alone[name].tokens.shape[1] for name in ("bold", "eeg")]
    assert both.tokens.shape[1] == sum(n_tokens)
    told = (both.tokens[:, : n_tokens[0]] - alone["bold"].tokens).abs().max()
    assert told > 1e-3  # BOLD tokens have heard of the EEG


def test_sizes_are_those_of_the_presets():
    assert n_parameters(BrainEncoder(CONFIG)) < 60_000
    assert 4 * n_parameters(BrainEncoder(EncoderConfig.preset("tiny"))) < 8e6
    with pytest.raises(
        ModelError, match=r"preset is 'huge'; expected one of nano, tiny, small, base"
    ):
        EncoderConfig.preset("huge")
    with pytest.raises(ModelError, match=r"dim must be a multiple of heads"):
        EncoderConfig(dim=30, heads=4)


@pytest.mark.parametrize("sampling_hz", [100, 128, 160, 200, 250])
def test_resampling_preserves_slow_and_removes_fast_components(sampling_hz):
    time_s = np.arange(20 * sampling_hz) / sampling_hz
    slow, fast = np.sin(2 * np.pi * 10 * time_s), np.sin(2 * np.pi * 48 * time_s)
    found = resample(np.stack([slow, fast]), sampling_hz, 100, 40)
    expected = np.sin(2 * np.pi * 10 * np.arange(2000) / 100)
    np.testing.assert_allclose(found[0, 200:-200], expected[200:-200], atol=0.02)
    assert np.abs(found[1, 200:-200]).max() < 0.05


def test_silence_at_the_ends_of_eeg_is_cut_off(encoder):
    recording = eeg(duration_s=30)
    signal = recording.signal.copy()
    signal[:400] = signal[-600:] = 1e-9 * recording.signal[:1]
    silent = Recording.from_array(
        signal, sampling_hz=200, modality="eeg", positions=recording.positions
    )
    loud = Recording.from_array(
        signal[400:-600], sampling_hz=200, modality="eeg", positions=recording.positions
    )
    found, expected = (prepare(one).signal for one in (silent, loud))
    assert found.shape[1] == 2500
    apart = (found - expected)[:, 100:-100]  # the filter runs out of the ends
    offset = apart.mean(axis=1, keepdims=True)  # of the mean, which silence takes part in
    assert np.abs(offset).max() < 0.05
    np.testing.assert_allclose(apart - offset, 0, atol=0.002)


def test_the_tangent_at_itself_is_zero():
    rng = np.random.default_rng(0)
    covariance = np.cov(rng.standard_normal((5, 50)))
    np.testing.assert_allclose(tangent_space(covariance, covariance), 0, atol=1e-10)


@pytest.mark.parametrize(
    ("recording", "words"),
    [
        (lambda: bold(n_times=5), r"lasts 10 s but one patch of bold is 12 s: it is too short"),
        (lambda: eeg(duration_s=0.5), r"lasts 0.5 s but one patch of eeg is 1 s"),
        (lambda: _scaled(1e6), r"in microvolts\? brainfm takes EEG in volts: multiply by 1e-6"),
        (lambda: _scaled(0), r"no usable channel: all 12 are masked, constant or NaN"),
        (lambda: _scaled(np.nan), r"no usable channel"),
    ],
)
def test_unusable_recordings_are_refused(recording, words):
    with pytest.raises(ModelError, match=words):
        prepare(recording())


def _scaled(factor):
    one = eeg()
    return Recording.from_array(
        one.signal * factor, sampling_hz=200, modality="eeg", positions=one.positions
    )
