"""Whatever makes a vector of a patch, the encoder keeps its properties."""

import numpy as np
import pytest
import torch
from brains import bold, eeg, pick

from brainfm.errors import ModelError
from brainfm.models.checkpoint.load_save import load_checkpoint, save_checkpoint
from brainfm.models.encoder.encoder import PRESETS, BrainEncoder, EncoderConfig, n_parameters
from brainfm.models.encoder.readout import embed, part_slices
from brainfm.models.encoder.tokenizers import TOKENIZERS, steps_of
from brainfm.models.encoder.windows import SPECS, collate, cut_window, prepare

MAKERS = {"bold": bold, "eeg": eeg}
both_modalities = pytest.mark.parametrize("name", MAKERS)


@pytest.fixture(scope="module", params=TOKENIZERS)
def encoder(request):
    torch.manual_seed(0)
    return BrainEncoder(EncoderConfig.preset("nano", tokenizer=request.param)).eval()


def windows_of(name, **details):
    return collate([cut_window(prepare(MAKERS[name](seed, **details)), 0) for seed in (0, 1)])


def with_signal(windows, signal):
    return type(windows)(**{**vars(windows), "signal": signal})


def assert_close(one, other, tolerance=1e-5):
    torch.testing.assert_close(one, other, atol=tolerance, rtol=tolerance)


@both_modalities
class TestAnEncoder:
    def test_ignores_a_missing_channel(self, encoder, name):
        windows = windows_of(name)
        shown = torch.ones_like(windows.usable)
        shown[:, 3] = False
        noisy = windows.signal.clone()
        noisy[:, 3] = 100
        one = encoder({name: windows}, {name: shown})
        two = encoder({name: with_signal(windows, noisy)}, {name: shown})
        assert_close(one.summary, two.summary)
        assert_close(one.tokens, two.tokens)

    def test_ignores_a_missing_patch(self, encoder, name):
        windows = windows_of(name)
        shown = torch.ones_like(windows.usable)
        shown[:, :, 4] = False
        noisy = windows.signal.clone()
        noisy[:, :, 4] = 100
        one = encoder({name: windows}, {name: shown})
        two = encoder({name: with_signal(windows, noisy)}, {name: shown})
        valid = one.valid
        assert (valid == two.valid).all()
        assert not valid.all()
        assert_close(one.summary, two.summary)
        assert_close(one.tokens[valid], two.tokens[valid])

    def test_depends_on_every_present_patch(self, encoder, name):
        windows = windows_of(name)
        noisy = windows.signal.clone()
        noisy[:, :, 4] *= -1
        one, two = encoder({name: windows}), encoder({name: with_signal(windows, noisy)})
        assert (one.summary - two.summary).abs().max() > 1e-4

    def test_depends_on_the_order_of_samples_within_a_patch(self, encoder, name):
        signal = torch.randn(5, SPECS[name].patch, generator=torch.Generator().manual_seed(0))
        embed_patch = encoder.tokens[name].embed_patch
        change = embed_patch(signal) - embed_patch(signal.flip(-1))
        assert change.shape == (5, encoder.config.dim)
        assert (change.abs().amax(dim=1) > 1e-3).all()

    def test_is_invariant_to_the_order_of_channels(self, encoder, name):
        recording = MAKERS[name]()
        order = np.random.default_rng(0).permutation(len(recording.channels))
        windows = [
            collate([cut_window(prepare(r), 0)]) for r in (recording, pick(recording, order))
        ]
        one, two = (encoder({name: each}).summary for each in windows)
        assert_close(one, two, 1e-4)

    @pytest.mark.parametrize("n_channels", [1, 3, 130])
    def test_takes_any_number_of_channels(self, encoder, name, n_channels):
        recording = MAKERS[name](n_channels=n_channels)
        vector = embed(encoder, prepare(recording))
        assert np.isfinite(vector).all()
        assert len(vector) == list(part_slices(encoder.config, name).values())[-1].stop

    def test_is_nearly_the_same_in_bf16(self, encoder, name):
        prepared = prepare(MAKERS[name]())
        full = embed(encoder, prepared)
        with torch.autocast("cpu", torch.bfloat16):
            half = embed(encoder, prepared)
        learned = part_slices(encoder.config, name)["connectivity"].start
        error = np.linalg.norm(half - full)
        # Measured: at most 0.003 of the learned parts. What is measured stays in float32.
        assert 0 < error < 0.01 * np.linalg.norm(full[:learned])
        np.testing.assert_array_equal(half[learned:], full[learned:])


def test_both_modalities_in_one_batch_and_every_weight_gets_a_gradient(encoder):
    batch = {name: windows_of(name) for name in MAKERS}
    encoder.zero_grad()
    encoder(batch).tokens.square().mean().backward()
    silent = [name for name, weight in encoder.named_parameters() if weight.grad is None]
    assert not silent
    for name in MAKERS:
        for key, weight in encoder.tokens[name].embed_patch.named_parameters():
            assert weight.grad.abs().max() > 0, key
        alone = encoder({name: batch[name]})
        assert alone.summary.isfinite().all()


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_a_checkpoint_stores_its_tokenizer(tokenizer, tmp_path):
    encoder = BrainEncoder(EncoderConfig.preset("nano", tokenizer=tokenizer)).eval()
    prepared = prepare(eeg())
    loaded = load_checkpoint(save_checkpoint(tmp_path / "model", encoder, {})).encoder
    assert loaded.config.tokenizer == tokenizer
    np.testing.assert_array_equal(embed(loaded, prepared), embed(encoder, prepared))


def test_a_checkpoint_without_the_key_has_the_linear_tokenizer(tmp_path):
    encoder = BrainEncoder(EncoderConfig.preset("nano"))
    folder = save_checkpoint(tmp_path / "model", encoder, {})
    config = folder / "config.json"
    old = config.read_text().replace(',\n  "tokenizer": "patch"', "")
    assert "tokenizer" not in old
    config.write_text(old)
    assert load_checkpoint(folder).encoder.config == encoder.config


@pytest.mark.slow
def test_the_traced_model_gives_the_same_output():
    torch.manual_seed(0)
    config = EncoderConfig(dim=16, depth=1, heads=2, n_queries=2, n_bold_anchors=8, n_eeg_anchors=8)
    encoder = BrainEncoder(config).eval()
    batch = {name: windows_of(name) for name in MAKERS}
    torch.compiler.reset()
    traced = torch.compile(encoder, backend="aot_eager")  # what torch.compile adds needs C++
    with torch.no_grad():
        eager, compiled = encoder(batch), traced(batch)
    assert_close(compiled.summary, eager.summary, 1e-4)
    assert_close(compiled.tokens, eager.tokens, 1e-4)


def test_sizes_grow_from_preset_to_preset():
    sizes = {name: n_parameters(BrainEncoder(EncoderConfig.preset(name))) for name in PRESETS}
    assert list(sizes) == ["nano", "tiny", "small", "base"]
    assert 8e6 < sizes["small"] < 12e6
    assert 22e6 < sizes["base"] < 30e6


def test_a_patch_is_cut_into_equal_steps():
    assert {patch: steps_of(patch) for patch in (6, 100, 128, 7, 1)} == {
        6: 6, 100: 10, 128: 8, 7: 7, 1: 1,
    }  # fmt: skip


def test_an_unknown_tokenizer_is_refused_by_name():
    with pytest.raises(ModelError, match=r"tokenizer is 'wavelet'; expected one of patch, conv, r"):
        EncoderConfig.preset("nano", tokenizer="wavelet")
    with pytest.raises(ModelError, match=r"preset is 'huge'; expected one of nano, tiny, small, b"):
        EncoderConfig.preset("huge", tokenizer="conv")
