"""Templates and atlases in the home folder of TemplateFlow; nothing is downloaded."""

import os
from pathlib import Path

from brainfm.config import TEMPLATE_SPACE
from brainfm.errors import MissingInput
from brainfm.storage.bids.names import entities_of

#: Label, description and suffix of the maps of a template.
_MAPS = {"t1w": "T1w", "mask": "desc-brain_mask", "gm": "label-GM_probseg",
         "wm": "label-WM_probseg"}  # fmt: skip
#: Entities of a TemplateFlow name by the names its client gives them.
_FILTERS = {"atlas": "atlas", "seg": "segmentation", "scale": "scale", "desc": "desc",
            "label": "label"}  # fmt: skip


def templateflow_home():
    """Return the folder of TemplateFlow: ``TEMPLATEFLOW_HOME``, else the user's cache.

    Returns
    -------
    Path
    """
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TEMPLATEFLOW_HOME") or os.path.join(caches, "templateflow")
    return Path(home).expanduser().absolute()


def find_templateflow(identifier, suffix, extension=".nii.gz"):
    """Find one file of TemplateFlow by its identifier.

    Parameters
    ----------
    identifier : str
        The name of the file up to its suffix, with or without the resolution:
        ``tpl-MNI152NLin2009cAsym_res-02_atlas-Schaefer2018_desc-200Parcels7Networks``. Without
        ``res-``, the coarsest resolution is taken.
    suffix : str
        ``T1w``, ``mask``, ``probseg`` or ``dseg``.
    extension : str

    Returns
    -------
    Path

    Raises
    ------
    MissingInput
        If the home folder does not hold the file; the text says how to fetch it.

    References
    ----------
    .. [1] Ciric et al., 2022, Nature Methods 19(12). https://doi.org/10.1038/s41592-022-01681-2
    """
    entities = entities_of(f"{identifier}_{suffix}{extension}")
    name, home = entities.get("tpl", identifier), templateflow_home()
    wanted = {key: entities.get(short) for short, key in _FILTERS.items()}
    if "res" in entities:
        wanted["resolution"] = int(entities["res"])
    found = _files(home, name, {**wanted, "suffix": suffix, "extension": extension})
    if not found:
        given = {key: value for key, value in {**wanted, "suffix": suffix}.items() if value}
        words = "".join(f", {key}={value!r}" for key, value in given.items())
        raise MissingInput(
            f"TemplateFlow's folder {home} holds no {identifier}_{suffix}{extension}: fetch it "
            f"with templateflow.api.get({name!r}{words}), or set TEMPLATEFLOW_HOME to the folder "
            "that has it."
        )
    return max(found, key=lambda path: entities_of(path).get("res", ""))


def find_template_map(kind, space):
    """Find a map of a template, at resolution 1.

    Parameters
    ----------
    kind : {"t1w", "mask", "gm", "wm"}
    space : str
        Name of the template.

    Returns
    -------
    Path

    Raises
    ------
    MissingInput
        See :func:`find_templateflow`.
    """
    label, _, suffix = _MAPS[kind].rpartition("_")
    return find_templateflow("_".join(filter(None, [f"tpl-{space}_res-01", label])), suffix)


def check_template(space):
    """Check that all maps of a template are there.

    Parameters
    ----------
    space : str

    Raises
    ------
    MissingInput
        See :func:`find_templateflow`.
    """
    for kind in _MAPS if space != TEMPLATE_SPACE else ():
        find_template_map(kind, space)


def template_source(space):
    """Return the origin of a template, for sidecars.

    Parameters
    ----------
    space : str

    Returns
    -------
    str
    """
    return "packaged with nilearn" if space == TEMPLATE_SPACE else "of TemplateFlow"


def _files(home, template, wanted):
    """List the files of one template; those not yet fetched are empty."""
    folder = home / f"tpl-{template}"
    if not folder.is_dir():
        return []
    from templateflow.client import TemplateFlowClient  # an absent home would be created

    client = TemplateFlowClient(root=folder, use_datalad=False, autoupdate=False)
    return [path for path in client.ls(template, **wanted) if path.stat().st_size]
