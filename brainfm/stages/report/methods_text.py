"""What was done, in sentences with citations, from the settings and sidecars actually used."""

from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files

from brainfm import __version__
from brainfm.files import read_json

_PACKAGES = {
    "T1w": ("antspyx", "nibabel", "nilearn"),
    "bold": ("antspyx", "nibabel", "nilearn", "scipy"),
    "eeg": ("mne", "mne-bids", "mne-icalabel", "pybv"),
    "model": ("torch", "scikit-learn", "numpy", "nipype"),
}


def methods_of(facts):
    """Describe how the files of one participant were made.

    Parameters
    ----------
    facts : brainfm.stages.report.collect.ParticipantFacts

    Returns
    -------
    paragraphs : list of list of (str, tuple of str)
        Sentences with the keys of their citations.
    """
    paragraphs = [[
        (f"Results were made by brainfm {__version__} from a dataset in the brain imaging data "
         "structure,", ("gorgolewski2016",)),
        ("as workflows of Nipype.", ("gorgolewski2011",)),
    ]]  # fmt: skip
    if facts.of("bold"):
        paragraphs.append(_bold(facts))
    if facts.of("eeg"):
        paragraphs += _eeg(facts)
    if any(recording.embeddings for recording in facts.recordings):
        paragraphs.append(_embedding(facts))
    return paragraphs


def evaluation_methods(evaluation):
    """Describe how an evaluation was made; paragraphs as in :func:`methods_of`."""
    folds, question = evaluation["folds"], evaluation["question"]
    classical = {
        "eeg": ("the logarithm of band power and covariances of four bands in the tangent space at "
                "their log-Euclidean mean", ("sabbagh2020",)),
        "bold": ("Pearson correlations between parcels and covariances in the tangent space at "
                 "their log-Euclidean mean", ("dadi2019",)),
    }[question["modality"]]  # fmt: skip
    head = (
        "class-balanced logistic regression"
        if question["task"] == "classification"
        else "ridge regression"
    )
    split = _split(folds)
    return [
        [
            (split, ()),
            *_pretrained(evaluation),
            (f"Baselines were {classical[0]}.", classical[1]),
            (f"All methods shared one head, {head}, fitted with its scaling on training rows only, "
             "its penalty chosen by folds within them.", ("pedregosa2011",)),
            ("Intervals are percentiles of 1000 bootstrap draws of "
             + {"block": "blocks of time", "recording": "recordings"}.get(
                 folds["kind"], "participants")
             + ", the same for all methods.", ()),
            *_permutations(evaluation),
            *_around(evaluation),
        ]
    ]  # fmt: skip


def _pretrained(evaluation):
    """Sentence on the encoder, where there is one."""
    model = evaluation.get("model")
    if not model:
        return []
    return [
        (f"Recordings were embedded by the frozen encoder {model['name']} (SHA-256 of its weights "
         f"begins with {model['sha256'][:12]}).", ())
    ]  # fmt: skip


def _permutations(evaluation):
    """Sentence on p values, where there are any."""
    if not evaluation["n_permutations"]:
        return []
    units = {"block": "blocks", "recording": "recordings"}
    whose = units.get(evaluation["folds"]["kind"], "participants or recordings")
    penalty = {
        "classification": "with a penalty of C = 1",
        "regression": "with a penalty chosen by leaving each training row out",
    }[evaluation["question"]["task"]]
    return [
        (f"p values come from {evaluation['n_permutations']} permutations of the labels of whole "
         f"{whose}, exchanged only where folds stay balanced, {penalty}, on the first split.",
         ("ojala2010",))
    ]  # fmt: skip


def _split(folds):
    """Sentence on who is trained on and who is tested."""
    if folds["kind"] == "site":
        return (
            f"Each of the {folds['n_splits']} values of {folds['groups']} was left out in turn; "
            "scores compare people within a value only, and values count by their people less one."
        )
    if folds["kind"] == "participant":
        return f"Each of {folds['n_splits']} folds kept every participant on one side" + (
            f"; {folds['n_repeats']} different splits were used." if folds["n_repeats"] > 1 else "."
        )
    cut = f"Recordings were cut into windows of {folds['window_s']:g} s; each of "
    if folds["kind"] == "recording":
        return (
            f"{cut}{folds['n_splits']} folds tested whole recordings, of every participant "
            "some of each condition."
        )
    return (
        f"{cut}{folds['n_splits']} folds tested one contiguous block of every recording, and "
        f"training windows within {folds['gap_s']:g} s of it were left out."
    )


def _around(evaluation):
    """Sentences on the comparison of methods, few-shot curves and the audit."""
    sentences = []
    if evaluation["comparison"].get("t_test"):
        sentences.append(
            ("Folds were compared by a t test with a variance corrected for shared training rows.",
             ("nadeau2003",))
        )  # fmt: skip
    if evaluation["curves"]:
        n_episodes = len(evaluation["curves"][0]["scores"])
        sentences.append(
            (f"Few-shot curves are means over {n_episodes} random draws "
             "of participants, the same for all methods, with "
             + ("a penalty of C = 1." if evaluation["question"]["task"] == "classification"
                else "a penalty chosen by leaving each training row out."), ())
        )  # fmt: skip
    if any(method["kind"] == "covariates" for method in evaluation["methods"]):
        sentences.append(("A model of the audited columns alone, without any signal, was tested "
                          "on the same folds.", ()))  # fmt: skip
    if evaluation["audit"]:
        sentences.append(
            ("Confounds were regressed out of the features by coefficients of the training rows.",
             ("snoek2019",))
        )  # fmt: skip
    return sentences


def numbered(paragraphs):
    """Number citations in order of first use.

    Returns
    -------
    paragraphs : list of list of (str, list of int)
    references : list of (str, str or None)
        Text and DOI, in order.
    """
    known = read_json(files("brainfm.data") / "reports" / "citations.json")
    order = []
    for _, keys in (sentence for paragraph in paragraphs for sentence in paragraph):
        order += [key for key in keys if key not in order]
    place = {key: index + 1 for index, key in enumerate(order)}
    marked = [[(text, [place[k] for k in keys]) for text, keys in part] for part in paragraphs]
    return marked, [tuple(known[key]) for key in order]


def software(kinds):
    """Return {package: version} of what made the results of these kinds."""
    names = {name for kind in (*kinds, "model") for name in _PACKAGES.get(kind, ())}
    versions = {"brainfm": __version__}
    for name in sorted(names):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def engine_of(facts):
    """Return who preprocessed the fMRI: the sidecar's word, else what the settings asked for."""
    for recording in facts.of("bold"):
        engine = recording.sidecar.get("Engine") or recording.quality.get("engine")
        if engine:
            return str(engine)
    return facts.settings.get("bold", {}).get("fmri_engine")


def _bold(facts):
    engine = engine_of(facts)
    section = facts.settings.get("bold", {})
    sidecar = next((r.sidecar for r in facts.of("bold") if r.sidecar), {})
    if engine == "fmriprep":
        first = [("The fMRI was preprocessed with fMRIPrep.", ("esteban2019",))]
    elif engine == "derivatives":
        first = [("The fMRI was taken as preprocessed in the derivatives that were given.", ())]
    elif engine != "builtin":
        first = [("The files do not tell which engine preprocessed the fMRI.", ())]
    else:
        first = [
            ("The built-in engine took the bias field out of the T1w image with N4,",
             ("tustison2010",)),
            ("found the brain, and registered it to the MNI152 template by an affine map and a "
             "diffeomorphism with ANTs;", ("avants2008", "tustison2021", "fonov2009")),
            ("volumes were realigned by rigid motion and aligned to the T1w image, and all maps "
             "were applied in one interpolation.", ()),
        ]  # fmt: skip
    high, low = (_setting(sidecar, section, key) for key in ("high_pass_hz", "low_pass_hz"))
    band = f"band-passed from {high:g} to {low:g} Hz" if high and low else "filtered"
    return [
        *first,
        ("Head motion is given as framewise displacement.", ("power2012",)),
        (f"Parcel series were detrended, {band}", ()),
        ("and, in the same regression,", ("lindquist2019",)),
        ("cleared of 24 motion parameters", ("friston1996",)),
        (f"and {_n_compcor(sidecar, section)} aCompCor components.", ("behzadi2007",)),
        *_reduced(sidecar),
        ("Parcels are those of Schaefer et al. unless another atlas was given;", ("schaefer2018",)),
        ("images are handled with nilearn.", ("abraham2014",)),
    ]  # fmt: skip


def _n_compcor(sidecar, section):
    names = sidecar.get("Confounds")
    if isinstance(names, list):
        return sum(str(name).startswith("a_comp_cor") for name in names)
    return section.get("n_acompcor", "some")


def _reduced(sidecar):
    before, after = sidecar.get("n_confounds"), sidecar.get("n_confound_components")
    if before and after and after < before:
        return [(f"Since the run is short, the {before} confounds entered as their {after} largest "
                 "principal components.", ())]  # fmt: skip
    return []


def _setting(sidecar, section, key):
    """Edge of the band-pass: of the sidecar, else of the settings."""
    step = {"high_pass_hz": "HighPass", "low_pass_hz": "LowPass"}[key]
    filters = sidecar.get("SoftwareFilters")
    told = filters.get(step) if isinstance(filters, dict) else None
    return told.get("CutOff (Hz)") if isinstance(told, dict) else section.get(key)


def _eeg(facts):
    sidecars = [recording.sidecar for recording in facts.of("eeg") if recording.sidecar]
    if not sidecars:
        return []
    sidecar = sidecars[0]
    filters = sidecar.get("SoftwareFilters") or {}
    band = filters.get("BandPass") or {}
    notches = (filters.get("Notch") or {}).get("FrequenciesHz") or []
    sentences = [("The EEG was read with MNE-BIDS", ("pernet2019", "appelhoff2019")),
                 ("and cleaned with MNE-Python.", ("gramfort2013",))]  # fmt: skip
    if notches:
        words = ", ".join(f"{hz:g}" for hz in notches)
        sentences.append((f"Mains at {words} Hz were taken out by zero-phase notch filters.", ()))
    if band:
        sentences.append(
            (f"The signal was band-passed from {band.get('HighPassHz'):g} to "
             f"{band.get('LowPassHz'):g} Hz (zero-phase FIR) and bad channels were found by "
             "their amplitude, noise and correlation with the others and interpolated.", ())
        )  # fmt: skip
    sentences += _artefacts(sidecar.get("ArtefactRemoval") or {})
    rate = sidecar.get("SamplingFrequency")
    reference = sidecar.get("EEGReference", "average")
    sentences.append((f"Result: {reference} reference, {rate:g} Hz." if rate else "", ()))
    return [[sentence for sentence in sentences if sentence[0]]]


def _artefacts(removal):
    if not removal or removal.get("Method") == "none":
        reason = removal.get("Reason", "")
        return [(f"No independent components were removed ({reason})." if reason else "", ())]
    return [
        ("Independent components were found with Picard", ("ablin2018",)),
        ("and labelled by ICLabel;", ("pion2019", "li2022")),
        (f"those called eye, muscle, heart, line or channel noise with a probability above "
         f"{removal.get('ProbabilityThreshold', 0.8):g} were removed (random seed "
         f"{removal.get('RandomSeed', 0)}).", ()),
    ]  # fmt: skip


def _embedding(facts):
    sidecar = next(r.embeddings[0].sidecar for r in facts.recordings if r.embeddings)
    name = sidecar.get("ModelName", "the model")
    checksum = str(sidecar.get("ModelSHA256") or "")[:12]
    with_checksum = f" (SHA-256 {checksum}…)" if checksum else ""
    return [
        (f"Each recording was turned into one vector by the pretrained encoder "
         f"{name}{with_checksum}, run with PyTorch.", ("paszke2019",)),
    ]  # fmt: skip
