"""Electrode names of the 10-20 system, and electrode positions in head coordinates."""

import re

import numpy as np

from brainfm.errors import SignalError

#: Names of the original 10-20 system that the 10-10 system renamed.
OLD_NAMES = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
_PREFIX = re.compile(r"^(EEG|POL)[\s_-]+", re.IGNORECASE)
_REFERENCES = "LE|REF|AVG?|AR|CAR|LINKED|A1|A2|A1A2|A1\\+A2|M1|M2|M1M2|M1\\+M2|TP9|TP10"
_SUFFIX = re.compile(rf"\s*[-:/_]\s*({_REFERENCES})$", re.IGNORECASE)
_EARS = {"A1", "A2", "M1", "M2"}


def standard_name(name, known):
    """Return the standard name of an electrode, or None if the name is not a single electrode.

    ``Fc5.`` is FC5, ``EEG Fp1-LE`` is Fp1, ``T3`` is T7, ``C3-A2`` is C3. ``A2-A1`` (two
    ears) and ``Fp1-F3`` (a bipolar derivation) are not single electrodes.

    Parameters
    ----------
    name : str
    known : iterable of str
        Standard names.

    Returns
    -------
    str or None
    """
    spelled = {other.lower(): other for other in known}
    text = _PREFIX.sub("", name.strip()).strip(" .'\"")
    if text.lower() not in spelled:
        text, is_referenced = _SUFFIX.subn("", text)
        text = text.strip(" .")
        if is_referenced and text.upper() in _EARS:
            return None
    text = OLD_NAMES.get(text.upper(), text)
    return spelled.get(text.lower())


def standard_names(names, known):
    """Map channel names to standard names, where there is one.

    If two channels have the same standard name, the one that is spelled like it, else the first,
    is mapped and the other is left out.

    Parameters
    ----------
    names : list of str
        Names in the recording.
    known : sequence of str
        Standard names.

    Returns
    -------
    dict of str to str
    """
    chosen = {}
    for name in names:
        standard = standard_name(name, known)
        if standard and (standard not in chosen or name == standard):
            chosen[standard] = name
    return {name: standard for standard, name in chosen.items()}


def fit_to_template(positions, template):
    """Fit a similarity transform of electrode positions to a template montage [1]_.

    Parameters
    ----------
    positions, template : ndarray of float, shape (n_electrodes, 3)
        The same electrodes in the same order, ``positions`` in any axes, origin and scale,
        ``template`` in metres.

    Returns
    -------
    rotation : ndarray of float, shape (3, 3)
    scale : float
    shift : ndarray of float, shape (3,), in metres
        Head coordinates are ``scale * positions @ rotation + shift``.
    residual_m : float
        Root mean square distance between the fitted positions and the template.

    Raises
    ------
    SignalError
        If there are fewer than four electrodes, or all of them are collinear.

    References
    ----------
    .. [1] Umeyama, 1991, IEEE PAMI 13(4). https://doi.org/10.1109/34.88573
    """
    positions, template = np.asarray(positions, float), np.asarray(template, float)
    if len(positions) < 4:
        raise SignalError(
            f"{len(positions)} electrodes are shared with the template; expected at least four "
            "to align the head: add anatomical landmarks to coordsystem.json."
        )
    centred, target = positions - positions.mean(axis=0), template - template.mean(axis=0)
    left, strength, right = np.linalg.svd(centred.T @ target)
    if strength[1] < 1e-9 * strength[0]:
        raise SignalError(
            "the electrodes shared with the template lie on a line: fix their positions."
        )
    flip = np.array([1, 1, np.sign(np.linalg.det(left @ right))])  # excludes reflections
    rotation = (left * flip) @ right
    scale = float((strength * flip).sum() / (centred**2).sum())
    shift = template.mean(axis=0) - scale * positions.mean(axis=0) @ rotation
    residual = scale * positions @ rotation + shift - template
    return rotation, scale, shift, float(np.sqrt((residual**2).sum(axis=1).mean()))


def fit_sphere(positions):
    """Fit a sphere to electrodes by least squares.

    Parameters
    ----------
    positions : ndarray of float, shape (n_electrodes, 3), in metres

    Returns
    -------
    centre : ndarray of float, shape (3,), in metres
    radius : float or None
        In metres; None (with the centre of gravity as centre) for fewer than eight electrodes,
        or if the fit is not the size of a head (5 to 15 cm), as for nearly flat montages.
    """
    positions = np.asarray(positions, dtype=float)
    mean = positions.mean(axis=0)
    if len(positions) < 8:
        return mean, None
    # |p|^2 = 2 p.c + (r^2 - |c|^2) is linear in c and the bracket.
    system = np.column_stack([2 * positions, np.ones(len(positions))])
    solution, *_ = np.linalg.lstsq(system, (positions**2).sum(axis=1), rcond=None)
    centre = solution[:3]
    radius = float(np.sqrt(max(solution[3] + centre @ centre, 0)))
    return (centre, radius) if 0.05 < radius < 0.15 else (mean, None)


def flatten_head(positions):
    """Project electrodes onto a plane by the azimuthal equidistant projection.

    Parameters
    ----------
    positions : ndarray of float, shape (n_electrodes, 3), in metres
        Head coordinates: x to the right, y to the nose, z up.

    Returns
    -------
    flat : ndarray of float, shape (n_electrodes, 2)
        x to the right, y to the nose; 1 is the equator of the fitted sphere.
    """
    centre, _ = fit_sphere(positions)
    away = np.asarray(positions, dtype=float) - centre
    level = np.hypot(away[:, 0], away[:, 1])
    from_top = np.arctan2(level, away[:, 2]) / (np.pi / 2)
    scale = np.divide(from_top, level, out=np.zeros_like(level), where=level > 1e-9)
    return away[:, :2] * scale[:, None]
