"""Stand-ins that let fMRIPrep build its graph without its templates and the programs it calls."""

import os
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np

#: Programs that fMRIPrep looks for before it starts, without surfaces.
PROGRAMS = (
    "antsAI", "antsApplyTransforms", "antsRegistration", "Atropos", "DenoiseImage", "ImageMath",
    "MultiplyImages", "N4BiasFieldCorrection", "ThresholdImage", "3dAutomask", "3dTshift",
    "3dUnifize", "bet", "fast", "flirt", "fslmaths", "mcflirt", "mri_coreg", "lta_convert",
    "mri_convert",
)  # fmt: skip
_TEMPLATES = ("OASIS30ANTs", "MNI152NLin2009cAsym", "MNI152NLin6Asym")
_SMALL = {".json": "{}", ".tsv": "index\tname\n1\tx\n"}


def write_templates(python, home):
    """Write the folder of TemplateFlow with a tiny image in the place of each.

    TemplateFlow lists its files as empty ones and downloads a file when it is first used; files
    with content are taken as they are.
    """
    command = [python, "-W", "ignore", "-c", "import templateflow.api"]
    environment = {**os.environ, "TEMPLATEFLOW_HOME": str(home)}
    subprocess.run(command, check=True, env=environment, capture_output=True)
    image = Path(home) / "image.nii.gz"
    affine = np.diag([8.0, 8, 8, 1])
    affine[:3, 3] = -96, -132, -78
    nib.save(nib.Nifti1Image(np.ones((24, 28, 24), np.int16), affine), image)
    for template in _TEMPLATES:
        for path in Path(home).glob(f"tpl-{template}/**/*.*"):
            if path.name.endswith(".nii.gz"):
                path.unlink()
                os.link(image, path)
            elif path.is_file() and not path.stat().st_size:
                path.write_text(_SMALL.get(path.suffix, "x"))
    return home


def write_programs(folder):
    """Write programs that do nothing."""
    Path(folder).mkdir(parents=True)
    for name in PROGRAMS:
        path = Path(folder) / name
        path.write_text("#!/bin/sh\nexit 0\n")
        path.chmod(0o755)
    return folder
