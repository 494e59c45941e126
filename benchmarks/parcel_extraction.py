"""Parcel extraction: seconds, memory and agreement with ``nilearn.maskers.NiftiLabelsMasker``.

    python benchmarks/parcel_extraction.py [--out benchmarks/results]

Writes ``parcel_extraction.tsv``. A run of 91 x 109 x 91 voxels and an atlas of equal parcels over
its brain are made in a temporary folder. Each figure is of a process of its own; ``seconds`` is
the extraction alone, without imports, from an uncompressed file or from an image in memory
(float32), and ``peak_gb`` the whole process.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from brainfm.files import write_tsv

SHAPE = (91, 109, 91)
N_PARCELS = (100, 400, 1000)
N_VOLUMES, N_VOLUMES_LONG = 200, 1200


def main():
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default=Path(__file__).parent / "results")
    parser.add_argument("--measure", nargs=3, metavar=("TOOL", "SOURCE", "FOLDER"),
                        help="used by itself")  # fmt: skip
    arguments = parser.parse_args()
    if arguments.measure:
        tool, source, folder = arguments.measure
        return print(json.dumps(extract(tool, source, Path(folder))))
    with tempfile.TemporaryDirectory() as folder:
        table = pd.DataFrame(measure(Path(folder)))
    print(table.to_string(index=False))
    write_tsv(Path(arguments.out) / "parcel_extraction.tsv", table)


def measure(folder):
    """Extract parcels of runs of two lengths with both tools.

    Parameters
    ----------
    folder : Path
        Empty folder for the images.

    Yields
    ------
    row : dict
    """
    for n_volumes, counts, tools, sources in (
        (N_VOLUMES, N_PARCELS, ("brainfm", "nilearn"), ("memory", "file")),
        (N_VOLUMES_LONG, N_PARCELS[1:2], ("brainfm",), ("file",)),
    ):
        write_run(folder, n_volumes)
        for n_parcels in counts:
            write_atlas(folder, n_parcels)
            for source in sources:
                row = {"n_volumes": n_volumes, "n_parcels": n_parcels, "source": source}
                for tool in tools:
                    command = [sys.executable, __file__, "--measure", tool, source, str(folder)]
                    done = subprocess.run(command, check=True, capture_output=True, text=True)
                    figures = json.loads(done.stdout)
                    row |= {f"{tool}_{key}": value for key, value in figures.items()}
                if len(tools) == 2:
                    row["times_faster"] = round(row["nilearn_seconds"] / row["brainfm_seconds"], 1)
                    row["smallest_r"] = smallest_correlation(folder)
                yield row


def extract(tool, source, folder):
    """Extract the parcels with one tool.

    Parameters
    ----------
    tool : {"brainfm", "nilearn"}
    source : {"file", "memory"}
    folder : Path
        Series are left there.

    Returns
    -------
    figures : dict of str to float
        seconds and peak_gb (1e9 bytes).
    """
    run, atlas, mask = (nib.load(folder / f"{name}.nii") for name in ("run", "atlas", "mask"))
    if source == "memory":
        run = nib.Nifti1Image(run.get_fdata(dtype=np.float32), run.affine)
    if tool == "brainfm":
        from brainfm.storage.parcel_series import parcel_series

        labels, inside = (np.asarray(image.dataobj) for image in (atlas, mask))
        began = time.monotonic()
        series, _ = parcel_series(run, labels, inside > 0, int(labels.max()))
    else:
        from nilearn.maskers import NiftiLabelsMasker

        masker = NiftiLabelsMasker(atlas, mask_img=mask, standardize=None)
        began = time.monotonic()
        series = masker.fit_transform(run)
    seconds = time.monotonic() - began
    np.save(folder / f"{tool}.npy", series)
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return {"seconds": round(seconds, 3), "peak_gb": round(peak_gb, 3)}


def write_run(folder, n_volumes):
    """Write a run of noise around 1000 inside an ellipsoid, volume by volume, and its mask.

    Parameters
    ----------
    folder : Path
    n_volumes : int
    """
    rng, inside = np.random.default_rng(0), _ellipsoid()
    path = folder / "run.nii"
    header = nib.Nifti1Header()
    header.set_data_shape((*SHAPE, n_volumes))
    header.set_data_dtype(np.int16)
    header.set_zooms((2, 2, 2, 2))
    header.set_sform(_affine(), 1)
    header["vox_offset"] = 352
    with path.open("wb") as stream:
        header["magic"] = b"n+1"
        stream.write(header.binaryblock + bytes(4))
        for _ in range(n_volumes):
            volume = np.where(inside, rng.integers(900, 1100, SHAPE), 0).astype("<i2")
            stream.write(volume.tobytes(order="F"))
    nib.save(nib.Nifti1Image(inside.astype(np.uint8), _affine()), folder / "mask.nii")


def write_atlas(folder, n_parcels):
    """Write an atlas: each voxel of the brain belongs to the nearest of random centres.

    Parameters
    ----------
    folder : Path
    n_parcels : int
    """
    voxels = np.argwhere(_ellipsoid())
    centres = voxels[np.random.default_rng(1).choice(len(voxels), n_parcels, replace=False)]
    labels = np.zeros(SHAPE, np.int16)
    labels[tuple(voxels.T)] = cKDTree(centres).query(voxels)[1] + 1
    nib.save(nib.Nifti1Image(labels, _affine()), folder / "atlas.nii")


def smallest_correlation(folder):
    """Compare the series of both tools.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    smallest_r : float
        Over parcels.
    """
    ours, theirs = (np.load(folder / f"{tool}.npy") for tool in ("brainfm", "nilearn"))
    centred = [one - one.mean(axis=0) for one in (ours.astype(float), theirs.astype(float))]
    size = np.sqrt((centred[0] ** 2).sum(axis=0) * (centred[1] ** 2).sum(axis=0))
    return round(float(((centred[0] * centred[1]).sum(axis=0) / size).min()), 6)


def _affine():
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -90, -126, -72
    return affine


def _ellipsoid():
    axes = np.meshgrid(*(np.linspace(-1, 1, size) for size in SHAPE), indexing="ij")
    return sum((axis / 0.8) ** 2 for axis in axes) < 1


if __name__ == "__main__":
    main()
