"""On a GPU the model says and learns what it does on a CPU, in float32, in bf16 and compiled."""

import numpy as np
import pytest
import torch
from brains import bold, eeg

from brainfm import BrainPretrainer, RecordingTable
from brainfm.models.encoder.encoder import PRESETS, BrainEncoder, EncoderConfig
from brainfm.models.encoder.readout import embed, part_slices
from brainfm.models.encoder.tokenizers import TOKENIZERS
from brainfm.models.encoder.windows import prepare
from brainfm.models.training.lightning_loop import LightningLoop

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
MAKERS = {"bold": bold, "eeg": eeg}
both_modalities = pytest.mark.parametrize("name", MAKERS)


def encoder_of(preset, tokenizer):
    torch.manual_seed(0)
    return BrainEncoder(EncoderConfig.preset(preset, tokenizer=tokenizer)).eval()


def distance(one, two):
    return np.linalg.norm(one - two) / np.linalg.norm(two)


@both_modalities
@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("preset", PRESETS)
def test_an_embedding_is_that_of_the_cpu_to_a_ten_thousandth(preset, tokenizer, name):
    encoder, prepared = encoder_of(preset, tokenizer), prepare(MAKERS[name]())
    here = embed(encoder, prepared)
    there = embed(encoder.cuda(), prepared)
    assert distance(there, here) < 1e-4


@both_modalities
@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_bf16_embeddings_differ_by_less_than_a_hundredth(tokenizer, name):
    encoder, prepared = encoder_of("small", tokenizer).cuda(), prepare(MAKERS[name]())
    full = embed(encoder, prepared)
    with torch.autocast("cuda", torch.bfloat16):
        half = embed(encoder, prepared)
    learned = part_slices(encoder.config, name)["connectivity"].start
    assert 0 < distance(half[:learned], full[:learned]) < 0.01
    np.testing.assert_allclose(half[learned:], full[learned:], rtol=1e-4, atol=1e-5)


@both_modalities
@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_the_compiled_model_gives_the_same_output(tokenizer, name):
    encoder, prepared = encoder_of("tiny", tokenizer).cuda(), prepare(MAKERS[name]())
    eager = embed(encoder, prepared)
    torch.compiler.reset()
    encoder.forward = torch.compile(encoder.forward)
    compiled = embed(encoder, prepared)
    assert distance(compiled, eager) < 1e-4


@pytest.mark.parametrize(("precision", "tolerance"), [("32", 1e-6), ("bf16", 2e-3)])
def test_a_training_has_the_loss_curve_of_the_cpu(precision, tolerance, tmp_path):
    recordings = [bold(number, n_channels=10, n_times=70) for number in range(8)]
    recordings += [eeg(number, n_channels=6, duration_s=12) for number in range(0, 8, 3)]
    table = RecordingTable.from_recordings(recordings)
    curves = {}
    for device in ("cpu", "cuda"):
        fitted = BrainPretrainer(
            "nano", max_epochs=4, batch_size=4, max_channels=8, device=device,
            resume_dir=tmp_path / device, loop=LightningLoop(precision=precision),
        ).fit(table)  # fmt: skip
        curves[device] = [epoch["train_loss"] for epoch in fitted.history_]
    np.testing.assert_allclose(curves["cuda"], curves["cpu"], rtol=tolerance)
