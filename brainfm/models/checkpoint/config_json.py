"""Contents of ``config.json`` of a checkpoint, checked when written and when read."""

import json
import math
from types import GenericAlias, UnionType
from typing import get_args, get_origin

from brainfm.errors import ModelError
from brainfm.files import nan_to_none
from brainfm.models.encoder.encoder import EncoderConfig

FORMAT = "brainfm-encoder"
VERSION = 1

#: Allowed keys and their types; only the first three are required.
_TYPES = {
    "format": str, "version": int, "encoder": dict, "brainfm_version": str, "preset": str,
    "objective": str | dict, "modalities": list[str], "licence": str | None, "validation": dict,
    "training": dict, "scores": list[dict],
}  # fmt: skip

#: Keys of ``training`` that are read; others are allowed.
_TRAINING_TYPES = {
    "n_participants": int, "participants": list[str], "participants_by_dataset": dict[str, int],
    "datasets": list[str], "n_recordings": dict, "hours": dict, "phenotypes": list[str],
}  # fmt: skip


def config_text(sizes, info):
    """Return the text of ``config.json``; numbers that are not finite become null.

    Parameters
    ----------
    sizes : dict of str to int
        See :meth:`EncoderConfig.as_dict`.
    info : dict
        All other sections.

    Returns
    -------
    text : str

    Raises
    ------
    ModelError
        If ``info`` holds something that :func:`read_config` would refuse.
    """
    config = nan_to_none({"format": FORMAT, "version": VERSION, "encoder": sizes, **info})
    _check(config, "info")
    return json.dumps(config, indent=1, allow_nan=False) + "\n"


def read_config(path):
    """Read and check ``config.json``.

    Parameters
    ----------
    path : Path

    Returns
    -------
    config : dict

    Raises
    ------
    ModelError
        If it cannot be read, is of another format or of a newer version, or holds unknown keys,
        values of another type or numbers that are not finite.
    """
    try:
        config = json.loads(path.read_text(encoding="utf8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read ({error}).") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        found = config.get("format") if isinstance(config, dict) else config
        raise ModelError(
            f"{path.parent} holds a checkpoint of format {found!r:.80}; expected {FORMAT!r}: "
            "it was not made by brainfm."
        )
    _check(config, path)
    return config


def _check(config, where):
    version = config.get("version")
    if isinstance(version, int) and version > VERSION:
        raise ModelError(
            f"{where} is of version {version}; this brainfm reads up to {VERSION}: it was made by "
            "a newer brainfm, so upgrade."
        )
    unknown = sorted(set(config) - set(_TYPES))
    if unknown:
        raise ModelError(
            f"{where} has keys that brainfm does not know: {', '.join(unknown)[:80]}; expected "
            f"{', '.join(_TYPES)}: it was edited by hand or made by another program."
        )
    for name in ("version", "encoder"):
        if name not in config:
            raise ModelError(f"{where} has no {name!r}: it is incomplete; download it again.")
    _check_types(config, _TYPES, where)
    _check_types(config.get("training", {}), _TRAINING_TYPES, f"training of {where}")
    _check_finite(config, where)
    _check_encoder(config["encoder"], where)


def _check_types(section, types, where):
    for name, kind in types.items():
        if name in section:
            _check_type(name, section[name], kind, where)


def _check_type(name, value, kind, where):
    kinds = get_args(kind) if isinstance(kind, UnionType) else (get_origin(kind) or kind,)
    if not isinstance(value, kinds):
        expected = " or ".join(one.__name__ for one in kinds)
        raise ModelError(f"{name} in {where} is {value!r:.80}; expected {expected}.")
    if isinstance(kind, GenericAlias):
        for item in value.values() if isinstance(value, dict) else value:
            _check_type(f"an item of {name}", item, get_args(kind)[-1], where)


def _check_finite(value, where, name="a number"):
    pairs = value.items() if isinstance(value, dict) else ((name, one) for one in value)
    for key, item in pairs:
        if isinstance(item, dict | list):
            _check_finite(item, where, key)
        elif isinstance(item, float) and not math.isfinite(item):
            raise ModelError(f"{key} in {where} is {item}; expected a finite number or null.")


def _check_encoder(sizes, where):
    """Refuse sizes that no encoder has."""
    known = EncoderConfig().as_dict()
    unknown = sorted(set(sizes) - set(known))
    wrong = [
        f"{name} {value!r:.40}"
        for name, value in sizes.items()
        if name in known
        and (type(value) is not type(known[name]) or (isinstance(value, int) and value < 1))
    ]
    if unknown or wrong:
        raise ModelError(
            f"{where} describes another architecture: {', '.join([*unknown, *wrong])[:120]}; "
            f"expected {', '.join(known)}, as whole numbers from 1. It was made by another version "
            "of brainfm; pretrain again or use that version."
        )
