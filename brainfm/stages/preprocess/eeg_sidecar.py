"""BIDS metadata of a cleaned EEG: sidecar and table of channels."""

import mne
import mne_icalabel
import pandas as pd

#: Keys of the raw sidecar that also hold for the result. Nothing else is copied, since
#: sidecars may hold names, dates or free text about the participant.
_PROPAGATED = (
    "TaskName", "TaskDescription", "Instructions", "CogAtlasID", "CogPOID", "Manufacturer",
    "ManufacturersModelName", "CapManufacturer", "CapManufacturersModelName", "EEGGround",
    "EEGPlacementScheme", "HardwareFilters", "HeadCircumference", "InstitutionName",
)  # fmt: skip


def sidecar_of(cleaned, config, seed):
    """Compose the JSON sidecar of a cleaned EEG.

    Parameters
    ----------
    cleaned : brainfm.stages.preprocess.eeg.CleanEeg
    config : brainfm.config.EegConfig
    seed : int
        Random seed of the ICA.

    Returns
    -------
    dict
    """
    run, clean = cleaned.run, cleaned.clean
    return {
        "Description": "EEG without line noise and artefact components, bad channels interpolated",
        "TaskName": run.stem.partition("task-")[2].partition("_")[0],
        **{key: run.metadata[key] for key in _PROPAGATED if key in run.metadata},
        "Sources": [run.source],
        "EEGReference": "average",
        "OriginalReference": run.metadata.get("EEGReference", "n/a"),
        "SamplingFrequency": clean.info["sfreq"],
        "OriginalSamplingFrequency": run.raw.info["sfreq"],
        "PowerLineFrequency": run.line_hz,
        "SoftwareFilters": _filters(cleaned, config),
        "RecordingType": "continuous",
        "RecordingDuration": clean.n_times / clean.info["sfreq"],
        "EEGChannelCount": len(clean.ch_names),
        "BadChannels": cleaned.bad,
        "ChannelsWithoutPosition": list(run.without_position),
        "PositionsFrom": run.origin_of_positions,
        "ArtefactRemoval": _artefact_removal(cleaned.components, config, seed),
        "ProcessingSoftwareVersions": {
            "mne": mne.__version__,
            "mne-icalabel": mne_icalabel.__version__,
        },
    }


def channels_table(cleaned):
    """Compose ``channels.tsv`` of a cleaned EEG.

    Interpolated channels are ``good``, since they can be used; ``status_description`` has the
    reason of the interpolation. With too few good channels to interpolate from, bad channels stay
    ``bad``.

    Parameters
    ----------
    cleaned : brainfm.stages.preprocess.eeg.CleanEeg

    Returns
    -------
    DataFrame
    """
    spelled = {standard: name for name, standard in cleaned.run.names.items()}
    names = cleaned.clean.ch_names
    left = set(cleaned.clean.info["bads"])
    descriptions = [_status_description(cleaned.bad.get(name), name in left) for name in names]
    return pd.DataFrame(
        {
            "name": names,
            "type": "EEG",
            "units": "uV",
            "sampling_frequency": cleaned.clean.info["sfreq"],
            "reference": "average",
            "low_cutoff": cleaned.filters["high_pass_hz"],
            "high_cutoff": cleaned.filters["low_pass_hz"],
            "notch": ", ".join(f"{hz:g}" for hz in cleaned.filters["notches_hz"]) or None,
            "status": ["bad" if name in left else "good" for name in names],
            "status_description": descriptions,
            "original_name": [spelled[name] for name in names],
        }
    )


def _status_description(reason, is_left):
    if reason is None:
        return None
    return reason if is_left else f"interpolated: {reason}"


def _filters(cleaned, config):
    used = cleaned.filters
    band = {
        "HighPassHz": used["high_pass_hz"],
        "LowPassHz": used["low_pass_hz"],
        "Kind": "zero-phase FIR (mne.filter.create_filter, firwin design, Hamming window)",
    }
    if used["low_pass_hz"] < config.low_pass_hz:
        band["Note"] = (
            f"{config.low_pass_hz:g} Hz was requested; the raw sampling rate of "
            f"{cleaned.run.raw.info['sfreq']:g} Hz allows {used['low_pass_hz']:g} Hz"
        )
    notch = {"FrequenciesHz": used["notches_hz"], "WidthHz": 1.0, "Kind": "zero-phase FIR"}
    if not used["notches_hz"]:
        notch = {"Note": "none: the line frequency is above half the raw sampling rate"}
    return {"Notch": notch, "BandPass": band}


def _artefact_removal(components, config, seed):
    if components.skipped:
        return {"Method": "none", "Reason": f"ICA skipped: {components.skipped}"}
    return {
        "Method": "ICA (Picard, extended) on a copy of 1 to 100 Hz, average reference; ICLabel",
        "RandomSeed": seed,
        "ProbabilityThreshold": config.ica_threshold,
        "Components": components.describe(),
    }
