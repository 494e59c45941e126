"""Readout: one vector of a recording from a trained encoder, in named parts.

========================  ==================================================================
part                      content
========================  ==================================================================
``summary``               summary token, mean over windows (dim)
``tokens_mean``           token of each query, mean over time (n_queries * dim)
``tokens_log_sd``         log standard deviation of the tokens over time, mean over queries (dim)
``connectivity``          covariance of the anchors over the recording, in the tangent space of
                          its mean over the training recordings (upper triangle); for EEG in
                          each of 4 bands
``spectrum_mean``         EEG only: log power in 6 bands at each anchor, median over time
``spectrum_log_spread``   EEG only: log of its interquartile range over time
``log_scale``             EEG only: log10 of the amplitude of the recording in microvolts
========================  ==================================================================

The second-order parts are there because averaged tokens alone lose the covariance, on which
functional connectivity rests. :func:`features` concatenates the parts; :func:`embed` then centres
them and weights each number by its reliability
(:class:`brainfm.models.encoder.reliability.Reliability`).
"""

import functools

import numpy as np
import torch
from pyriemann.geometry.tangentspace import tangent_space
from threadpoolctl import ThreadpoolController

from brainfm.models.encoder.tokens import SHRINKAGE
from brainfm.models.encoder.windows import SPECS, all_windows

#: Bins of 1 Hz of a patch spectrum, both ends included: finer than
#: :data:`brainfm.signal.eeg.BANDS_HZ`, and fixed by the checkpoints.
SPECTRUM_BANDS_HZ = {
    "delta": (1, 3), "theta": (4, 7), "alpha": (8, 12),
    "beta1": (13, 20), "beta2": (21, 30), "gamma": (31, 40),
}  # fmt: skip
#: Hz, of the covariances between the anchors of EEG.
COVARIANCE_BANDS_HZ = {"slow": (1, 7), "alpha": (8, 12), "beta": (13, 30), "gamma": (31, 40)}
#: Weight of each part of a vector: its relative mean square length.
PART_WEIGHTS = {
    "summary": 0.01, "tokens_mean": 0.01, "tokens_log_sd": 0.005, "connectivity": 1.0,
    "spectrum_mean": 0.1, "spectrum_log_spread": 0.1, "log_scale": 0.02,
}  # fmt: skip
#: The same for encoders that were trained to predict phenotypes from the summary.
PART_WEIGHTS_WITH_LABELS = {**PART_WEIGHTS, "summary": 0.1}
_LEAST_SD = 1e-3
_blas = functools.cache(ThreadpoolController)


def part_slices(config, modality):
    """Return the slice of each part of a vector.

    Parameters
    ----------
    config : EncoderConfig
    modality : {"bold", "eeg"}

    Returns
    -------
    parts : dict of str to slice
    """
    n_anchors = config.n_anchors_of(modality)
    sizes = {
        "summary": config.dim,
        "tokens_mean": config.n_queries * config.dim,
        "tokens_log_sd": config.dim,
        "connectivity": config.n_covariances_of(modality) * n_anchors * (n_anchors + 1) // 2,
    }
    if modality == "eeg":
        n_bands = len(SPECTRUM_BANDS_HZ) * n_anchors
        sizes |= {"spectrum_mean": n_bands, "spectrum_log_spread": n_bands, "log_scale": 1}
    ends = np.cumsum(list(sizes.values()))
    return {
        name: slice(int(end) - size, int(end))
        for (name, size), end in zip(sizes.items(), ends, strict=True)
    }


def embedding_dim(config, modality):
    """Return the length of a vector.

    Parameters
    ----------
    config : EncoderConfig
    modality : {"bold", "eeg"}

    Returns
    -------
    length : int
    """
    return list(part_slices(config, modality).values())[-1].stop


def embedding_feature_names(config, modalities):
    """Name the numbers of concatenated vectors of some modalities.

    Parameters
    ----------
    config : EncoderConfig
    modalities : sequence of {"bold", "eeg"}

    Returns
    -------
    names : ndarray of str, shape (n_features,)
        ``<modality>_<part>_<index>``.
    """
    names = [
        f"{modality}_{part}_{index}"
        for modality in modalities
        for part, columns in part_slices(config, modality).items()
        for index in range(columns.stop - columns.start)
    ]
    return np.array(names, dtype=object)


@torch.inference_mode()
def embed(encoder, prepared, *, batch_size=32):
    """Embed one prepared recording.

    Parameters
    ----------
    encoder : BrainEncoder
    prepared : PreparedSignal
    batch_size : int
        Windows encoded at once.

    Returns
    -------
    vector : ndarray of float32, shape (n_features,)
        Finite; its length depends on the encoder and the modality only.
    """
    weigh = encoder.reliability[prepared.modality]
    vector = torch.from_numpy(features(encoder, prepared, batch_size=batch_size)).float()
    device = weigh.mean.device
    with torch.autocast(device.type, enabled=False):
        return weigh(vector.to(device)[None])[0].cpu().numpy()


@torch.inference_mode()
def features(encoder, prepared, *, batch_size=32):
    """Concatenate the parts of a vector, before :class:`Reliability` weights them.

    Parameters
    ----------
    encoder : BrainEncoder
    prepared : PreparedSignal
    batch_size : int
        Windows encoded at once.

    Returns
    -------
    features : ndarray of float, shape (n_features,)
    """
    with _blas().limit(limits=1, user_api="blas"):  # or threads of both libraries wait
        return np.concatenate(_parts(encoder, prepared, batch_size))


def _parts(encoder, prepared, batch_size):
    name, device = prepared.modality, next(encoder.parameters()).device
    windows = all_windows(prepared, encoder.config.n_patches_of(name))
    pieces = [
        encoder({name: windows[start : start + batch_size].to(device)})
        for start in range(0, len(windows), batch_size)
    ]
    references = getattr(encoder, f"reference_{name}").double().cpu().numpy()
    covariances = anchor_covariances(encoder, prepared)
    parts = [
        *_context(pieces, encoder.config.n_queries),
        *map(tangent_space, covariances, references),
    ]
    if name == "eeg":
        spectrum = torch.cat([one.averages["eeg"].spectrum for one in pieces])
        bands = _anchor_bands(spectrum, windows.patches)
        parts += [np.median(bands, axis=-1).ravel(), _log_spread(bands).ravel()]
        parts.append([prepared.log_scale])
    return parts


@torch.inference_mode()
def connectivity_targets(encoder, prepared):
    """Compute the targets of connectivity-preserving regression.

    Parameters
    ----------
    encoder : BrainEncoder
        Its anchors are used, not its weights.
    prepared : PreparedSignal

    Returns
    -------
    targets : ndarray of float, shape (n_targets,)
        Correlation between anchors (Fisher z), and for EEG the log power of their bands.
    """
    series = _anchor_series(encoder, prepared)
    rows, columns = np.triu_indices(len(series), k=1)
    correlation = _correlation(series)[rows, columns]
    connectivity = np.arctanh(np.clip(correlation, -0.99, 0.99))
    if prepared.modality == "bold":
        return connectivity
    anchors = encoder.tokens["eeg"].anchors
    windows = all_windows(prepared).to(anchors.centres.device)
    averages = anchors(windows, windows.usable)
    bands = np.median(_anchor_bands(averages.spectrum, windows.patches), axis=-1).ravel()
    return np.concatenate([connectivity, bands])


@torch.inference_mode()
def anchor_covariances(encoder, prepared):
    """Compute the covariances of the anchors over a recording, shrunk by 0.2 to the identity.

    BOLD has one, of standardised series. EEG has one in each band of ``COVARIANCE_BANDS_HZ``,
    scaled to a mean power of 1, so that differences in power between anchors stay.

    Parameters
    ----------
    encoder : BrainEncoder
    prepared : PreparedSignal

    Returns
    -------
    covariances : ndarray of float, shape (n_covariances, n_anchors, n_anchors)
        Positive definite.
    """
    series = _anchor_series(encoder, prepared)
    method = {"bold": _correlation, "eeg": _band_covariances}[prepared.modality]
    found = method(series).reshape(-1, len(series), len(series))
    return (1 - SHRINKAGE) * found + SHRINKAGE * np.eye(len(series))


def _anchor_series(encoder, prepared):
    """Series of the anchors, (n_anchors, n_times) as float64, averaged as float32."""
    anchors = encoder.tokens[prepared.modality].anchors
    device = anchors.centres.device
    positions = torch.from_numpy(prepared.positions)[None].to(device)
    everywhere = torch.ones(positions.shape[:2], dtype=torch.bool, device=device)
    weights = anchors.weights(positions, everywhere)[0].cpu().numpy()
    return ((weights / weights.sum(axis=1, keepdims=True)) @ prepared.signal).astype(float)


def _correlation(series):
    series = series - series.mean(axis=1, keepdims=True)
    series /= np.maximum(np.linalg.norm(series, axis=1, keepdims=True), 1e-12)
    return series @ series.T


def _band_covariances(series):
    """Cross spectra of the patches, summed over each band."""
    patch = SPECS["eeg"].patch
    n_patches = series.shape[1] // patch
    patches = series[:, : n_patches * patch].reshape(len(series), n_patches, patch)
    spectrum = np.fft.rfft(patches * np.hanning(patch), axis=-1)
    found = []
    for low, high in COVARIANCE_BANDS_HZ.values():
        band = spectrum[..., low : high + 1].reshape(len(series), -1)
        covariance = (band @ band.conj().T).real
        found.append(covariance / max(np.trace(covariance) / len(series), 1e-20))
    return np.stack(found)


def _context(pieces, n_queries):
    summary = torch.cat([one.summary for one in pieces]).float().cpu()
    # Without the last token, which is that of the whole window.
    tokens = torch.cat([one.tokens for one in pieces]).float().cpu()[:, :-1]  # b (s q) d
    valid = torch.cat([one.valid for one in pieces]).cpu()[:, :-1:n_queries]  # b s
    tokens = tokens.unflatten(1, (-1, n_queries))[valid]  # valid patches, q d
    log_sd = tokens.std(dim=0, correction=0).clamp_min(_LEAST_SD).log().mean(dim=0)
    return summary.mean(0).numpy(), tokens.mean(0).flatten().numpy(), log_sd.numpy()


def _anchor_bands(spectrum, patches):
    """Log power of each anchor in each band over time, (n_anchors, n_bands, n_patches)."""
    bands = [spectrum[..., low - 1 : high].mean(dim=-1) for low, high in SPECTRUM_BANDS_HZ.values()]
    at_anchors = torch.stack(bands).permute(2, 0, 1, 3)  # b w k s -> k b w s
    return at_anchors.cpu().numpy()[:, :, patches.cpu().numpy()]


def _log_spread(values):
    low, high = np.percentile(values, [25, 75], axis=-1)
    return np.log(np.maximum(high - low, _LEAST_SD))
