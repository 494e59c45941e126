"""Cost of the encoder and of other encoders: time, memory, and time over channels.

    python benchmarks/encoder_cost.py [--repeats 5] [--threads 2] [--out docs/explanations]

Prints Markdown tables, and writes ``encoder_cost.tsv`` and ``encoder_cost.svg`` (time over the
number of channels) into ``--out``. Finished within four minutes on two quiet cores; more
``--repeats`` for steadier numbers.

All weights are random, all signals noise: neither changes the cost. Methods take turns, one run
each a round, and medians are reported, so that other load on the machine affects all alike. A
method
that takes seconds gets fewer rounds. Rows of braindecode appear if it can be imported; its encoders
get the same seconds of signal at the rate their authors chose.
"""

import argparse
import datetime
import multiprocessing
import os
import platform
import resource
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from other_encoders import RATES_HZ, OfBraindecode, RegionTransformer, missing_braindecode

from brainfm.models.encoder.encoder import BrainEncoder, EncoderConfig, n_parameters
from brainfm.models.encoder.readout import embed
from brainfm.models.encoder.tokenizers import TOKENIZERS
from brainfm.models.encoder.windows import SPECS, Windows, prepare
from brainfm.recording import Recording

BATCH = 8
RUN_S = 300
PRESETS = ("nano", "tiny", "small")
#: Modality and channels of the windows that are trained on, and of the runs that are embedded.
TRAINED = (("eeg", 19), ("bold", 100), ("bold", 400))
EMBEDDED = (("eeg", 19), ("eeg", 64), ("bold", 100), ("bold", 200), ("bold", 400))
#: Preset whose width and depth the plain transformer has, and its regions.
PLAIN = (("nano", 100), ("tiny", 100), ("tiny", 400), ("small", 100))
CHANNELS = (16, 32, 64, 128, 256, 512, 1024)
#: Seconds after which a method gets no further round.
PATIENCE_S = 12


def main():
    """Measure and print."""
    arguments = _arguments()
    absent = missing_braindecode()
    training, embedding = training_runs(absent), embedding_runs(absent)
    memory = {name: peak_mb(make, arguments.threads) for name, make in training.items()}
    torch.set_num_threads(arguments.threads)
    print(f"{datetime.date.today()}, {processor()}, {arguments.threads} threads, "
          f"torch {torch.__version__}, {arguments.repeats} rounds\n")  # fmt: skip
    if absent:
        print(f"braindecode: {absent}\n")
    print_training(timed(training, arguments.repeats), memory)
    print_embedding(timed(embedding, arguments.repeats))
    table = over_channels(arguments.repeats)
    arguments.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(arguments.out / "encoder_cost.tsv", sep="\t", index=False, float_format="%.3f")
    draw(table, arguments.out / "encoder_cost.svg")


def training_runs(absent):
    """Return functions that build what is timed: forward and backward of one batch."""
    runs = {}
    for modality, n_channels in TRAINED:
        signal = f"{n_channels} {'channels' if modality == 'eeg' else 'parcels'}"
        for preset in PRESETS:
            for tokenizer in TOKENIZERS:
                name = (f"brainfm {preset}, {tokenizer}", modality, signal)
                runs[name] = lambda a=(preset, tokenizer, modality, n_channels): learn_ours(*a)
    for preset, n_regions in PLAIN:
        name = (f"plain transformer, as {preset}", "bold", f"{n_regions} parcels")
        runs[name] = lambda a=(preset, n_regions): learn(*plain(*a, BATCH))
    for model in () if absent else RATES_HZ:
        name = (f"{model} (braindecode)", "eeg", "19 channels")
        runs[name] = lambda a=model: learn(*of_braindecode(a, BATCH))
    return runs


def embedding_runs(absent):
    """Return functions that build what is timed: one run of 5 minutes, to one vector or to tokens.

    Ours begins with the recording in memory and ends with the vector; the others only encode
    windows that are there already.
    """
    runs = {}
    for modality, n_channels in EMBEDDED:
        signal = f"{n_channels} {'channels' if modality == 'eeg' else 'parcels'}"
        for preset in PRESETS:
            for tokenizer in TOKENIZERS:
                name = (f"brainfm {preset}, {tokenizer}", modality, signal)
                runs[name] = lambda a=(preset, tokenizer, modality, n_channels): embed_ours(*a)
    n_windows = {name: round(np.ceil(RUN_S / spec.window_s)) for name, spec in SPECS.items()}
    for preset, n_regions in PLAIN:
        name = (f"plain transformer, as {preset}", "bold", f"{n_regions} parcels")
        runs[name] = lambda a=(preset, n_regions): infer(*plain(*a, n_windows["bold"]))
    for model in () if absent else RATES_HZ:
        name = (f"{model} (braindecode)", "eeg", "19 channels")
        runs[name] = lambda a=model: infer(*of_braindecode(a, n_windows["eeg"]))
    return runs


def learn_ours(preset, tokenizer, modality, n_channels):
    """Forward and backward of our encoder on one batch of windows."""
    encoder = BrainEncoder(EncoderConfig.preset(preset, tokenizer=tokenizer)).eval()
    batch = {modality: noise_windows(modality, n_channels)}
    return encoder, lambda: encoder(batch).tokens.square().mean().backward()


def embed_ours(preset, tokenizer, modality, n_channels):
    """From a recording of five minutes to its vector."""
    encoder = BrainEncoder(EncoderConfig.preset(preset, tokenizer=tokenizer)).eval()
    recording = noise_recording(modality, n_channels)
    return encoder, lambda: embed(encoder, prepare(recording))


def learn(net, signal):
    """Forward and backward of another encoder."""
    return net, lambda: net(signal).square().mean().backward()


def infer(net, signal):
    """Forward of another encoder."""
    return net, torch.inference_mode()(lambda: net(signal))


def plain(preset, n_regions, n_windows):
    """Return the plain transformer and windows of BOLD for it."""
    spec = SPECS["bold"]
    net = RegionTransformer(preset, spec.patch, n_regions, spec.n_patches).eval()
    return net, torch.randn(n_windows, n_regions, spec.n_patches, spec.patch)


def of_braindecode(model, n_windows):
    """Return a model of braindecode and windows of EEG for it, as long as ours."""
    n_times = round(RATES_HZ[model] * SPECS["eeg"].window_s)
    return OfBraindecode(model, n_times).eval(), torch.randn(n_windows, 19, n_times)


def noise_windows(modality, n_channels):
    """Return a batch of windows."""
    spec = SPECS[modality]
    return Windows(
        signal=torch.randn(BATCH, n_channels, spec.n_patches, spec.patch),
        positions=torch.randn(BATCH, n_channels, 3) / 2,
        channels=torch.ones(BATCH, n_channels, dtype=torch.bool),
        patches=torch.ones(BATCH, spec.n_patches, dtype=torch.bool),
    )


def noise_recording(modality, n_channels):
    """Return five minutes: BOLD at a repetition time of 2 s, EEG in volts at 200 Hz."""
    rng = np.random.default_rng(0)
    rate_hz, unit = {"bold": (0.5, 1), "eeg": (200, 1e-5)}[modality]
    signal = rng.standard_normal((round(RUN_S * rate_hz), n_channels), dtype=np.float32) * unit
    positions = rng.standard_normal((n_channels, 3)) * SPECS[modality].position_unit / 2
    return Recording.from_array(signal, sampling_hz=rate_hz, modality=modality, positions=positions)


def peak_mb(make, threads):
    """Memory that one run needs at its peak, model and all, in a process of its own."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(
        target=_report, args=(make, threads, sender)
    )
    child.start()
    sender.close()  # so that a child that fails ends the wait
    found = receiver.recv()
    child.join()
    return found


def _report(make, threads, sender):
    torch.set_num_threads(threads)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    make()[1]()
    sender.send((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def timed(runs, repeats):
    """Time all runs, taking turns.

    Returns
    -------
    found : dict
        Parameters and median seconds of each run.
    """
    built = {name: make() for name, make in runs.items()}
    seconds = {name: [] for name in runs}
    for _ in range(repeats + 1):
        for name, (_, run) in built.items():
            if sum(seconds[name]) < PATIENCE_S:
                began = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - began)
    # The first run warms up, which matters to the fast ones; the slow ones may have no other.
    return {
        name: (n_parameters(built[name][0]), np.median(taken[1:] or taken))
        for name, taken in seconds.items()
    }


def print_training(found, memory):
    """Print time and memory of a step of training."""
    print(f"Forward and backward, batch of {BATCH}; one sample is one window: "
          f"EEG {SPECS['eeg'].window_s:g} s, BOLD {SPECS['bold'].window_s:g} s.\n")  # fmt: skip
    print("| encoder | parameters | signal | ms per sample | ms per second of signal "
          "| times brainfm tiny, patch | peak MB |\n|---|---|---|---|---|---|---|")  # fmt: skip
    for (name, modality, signal), (size, seconds) in in_order(found):
        ms = 1000 * seconds / BATCH
        own = found["brainfm tiny, patch", modality, signal][1]
        print(f"| {name} | {size / 1e6:.2f} M | {modality.upper()}, {signal} | {ms:.2f} "
              f"| {ms / SPECS[modality].window_s:.3f} | {seconds / own:.1f} "
              f"| {memory[name, modality, signal]:.0f} |")  # fmt: skip


def print_embedding(found):
    """Print the time of a run."""
    print(f"\nOne run of {RUN_S} s, loading excluded. brainfm: recording in memory to vector "
          "(EEG comes at 200 Hz); others: windows to output.\n")  # fmt: skip
    print("| encoder | signal | ms | times brainfm tiny, patch |\n|---|---|---|---|")
    for (name, modality, signal), (_, seconds) in in_order(found):
        own = found["brainfm tiny, patch", modality, signal][1]
        print(f"| {name} | {modality.upper()}, {signal} | {1000 * seconds:.1f} "
              f"| {seconds / own:.1f} |")  # fmt: skip


def in_order(found):
    """Sort by signal, and keep ours before the others."""
    return sorted(found.items(), key=lambda item: (item[0][1], len(item[0][2]), item[0][2]))


def over_channels(repeats):
    """Time a forward pass of ``tiny`` over the number of channels, and of the plain transformer."""
    runs = {}
    for n_channels in CHANNELS:
        for modality in ("eeg", "bold"):
            runs[f"brainfm tiny, {modality.upper()}", n_channels] = (
                lambda a=(modality, n_channels): forward_ours(*a)
            )
        if n_channels <= 256:
            runs["plain transformer, BOLD", n_channels] = lambda a=n_channels: infer(
                *plain("tiny", a, BATCH)
            )
    found = timed(runs, repeats)
    rows = [(*name, 1000 * seconds / BATCH) for name, (_, seconds) in found.items()]
    return pd.DataFrame(rows, columns=["encoder", "channels", "ms_per_sample"])


def forward_ours(modality, n_channels):
    """Forward of our tiny encoder."""
    encoder = BrainEncoder(EncoderConfig.preset("tiny")).eval()
    batch = {modality: noise_windows(modality, n_channels)}
    return encoder, torch.inference_mode()(lambda: encoder(batch))


def draw(table, path):
    """Draw time over channels on logarithmic axes, and print the exponents."""
    plt.rcParams["svg.hashsalt"] = "brainfm"
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    print(
        "\n| forward pass | exponent, all channel counts | exponent, largest three |\n|---|---|---|"
    )
    for name, one in table.groupby("encoder", sort=False):
        logs = np.log(one[["channels", "ms_per_sample"]].to_numpy())
        slopes = [np.polyfit(*part.T, 1)[0] for part in (logs, logs[-3:])]
        label = f"{name}: exponent {slopes[1]:.2f}"
        axes.loglog(one["channels"], one["ms_per_sample"], "o-", label=label)
        print(f"| {name} | {slopes[0]:.2f} | {slopes[1]:.2f} (from {one['channels'].iloc[-3]}) |")
    axes.set(xlabel="channels or parcels", ylabel="ms per window, forward", xticks=CHANNELS)
    axes.set_xticks(CHANNELS, CHANNELS)
    axes.minorticks_off()
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


def processor():
    """Name the processor as well as the system knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("docs/explanations"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
