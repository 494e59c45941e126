"""Quality control of anatomy and of a BOLD run: figures and metrics."""

from pathlib import Path

import nibabel as nib
import numpy as np

from brainfm.files import read_json, read_tsv, write_json
from brainfm.signal.bold import tsnr
from brainfm.signal.connectivity import upper_triangle
from brainfm.signal.motion import PARAMETERS
from brainfm.signal.tissue import CSF, GM, WM, dice
from brainfm.stages.preprocess.bold_figures import draw_connectivity, draw_motion, draw_overlay
from brainfm.storage.derivatives.confounds import read_confounds
from brainfm.storage.derivatives.names import derivative_path
from brainfm.storage.images import read_image, read_transform, resample_image, template


def draw_anatomy(t1w_file, prepared, normalised_file, out_dir):
    """Draw the brain extraction and the normalisation of a T1w image.

    Parameters
    ----------
    t1w_file : path
        The raw image.
    prepared : brainfm.stages.preprocess.t1w.PreparedT1w
    normalised_file : path
        T1w in template space.
    out_dir : path
        Root of the derivative dataset.

    Returns
    -------
    list of Path
    """
    head, mask = read_image(prepared.head), read_image(prepared.mask)
    normalised = read_image(normalised_file)
    wm = resample_image(template("wm", 2, prepared.space), normalised)
    return [
        draw_overlay(
            head,
            mask,
            _figure(out_dir, t1w_file, desc="brain", suffix="T1w"),
            title="Brain extraction",
            caption=f"{Path(t1w_file).name} without its bias field; the line is the edge of the "
            "brain mask. It should follow the brain and leave out skull and eyes.",
        ),
        draw_overlay(
            normalised,
            wm,
            _figure(out_dir, t1w_file, desc="template", suffix="T1w"),
            title="T1w image on the template",
            caption="The T1w image warped to MNI152; the line is the edge of white matter in the "
            "template. It should follow the edge of white matter in the image.",
        ),
    ]


def alignment_qc(reference_file, mask_file, t1w_to_bold, anatomy, out_dir, *, source_file):
    """Draw the alignment of BOLD to T1w, and compute Dice coefficients.

    Parameters
    ----------
    reference_file, mask_file : path
        Mean volume of the run, and its brain mask.
    t1w_to_bold : path
    anatomy : dict of path
        head, mask, segmentation, t1w_to_template (a list); and the template as space.
    out_dir : path
        Root of the derivative dataset.
    source_file : path
        The raw run, after which the figure is named.

    Returns
    -------
    dict
        ``dice_bold_t1w``, of the brain masks of BOLD and T1w; ``dice_template``, of the normalised
        T1w mask and that of the template.
    """
    head, mask = read_image(anatomy["head"]), read_image(anatomy["mask"])
    brain = np.asarray(mask.dataobj) > 0.5
    way = read_transform([t1w_to_bold])
    moved, moved_mask = (
        resample_image(read_image(file), head, way) for file in (reference_file, mask_file)
    )
    wm = np.asarray(read_image(anatomy["segmentation"]).dataobj) == WM
    draw_overlay(
        moved,
        nib.Nifti1Image(wm.astype(np.float32), head.affine),
        _figure(out_dir, source_file, desc="alignment"),
        title="BOLD on the T1w image",
        caption="The mean BOLD volume aligned to T1w; the line is the edge of white matter in the "
        "T1w image. It should follow the darker white matter and the ventricles of BOLD.",
    )
    grid = template("mask", 2, anatomy["space"])
    warped = resample_image(mask, grid, read_transform(anatomy["t1w_to_template"]))
    return {
        "dice_bold_t1w": dice(np.asarray(moved_mask.dataobj) > 0.5, brain),
        "dice_template": dice(np.asarray(warped.dataobj) > 0.5, np.asarray(grid.dataobj) > 0.5),
    }


def bold_qc(files, metrics, *, out_dir, source_file, repetition_time_s, fd_threshold_mm, engine):
    """Draw motion and connectivity of one run, and write ``*_desc-bold_qc.json``.

    Parameters
    ----------
    files : dict of path
        bold, mask, confounds, timeseries; tissues, the labels of :func:`write_confounds`, if
        there is a segmentation.
    metrics : dict
        Metrics of the alignment and of the parcel series.
    out_dir : path
        Root of the derivative dataset.
    source_file : path
        The raw run, after which the files are named.
    repetition_time_s, fd_threshold_mm : float
        Frames with a framewise displacement above the threshold are counted.
    engine : {"builtin", "derivatives", "fmriprep"}
        Software that preprocessed the run.

    Returns
    -------
    Path
        The JSON file, beside the parcel series.
    """
    confounds = read_confounds(files["confounds"])
    measures = (*PARAMETERS, "framewise_displacement", "dvars", "std_dvars")  # all optional
    absent = [name for name in measures if name not in confounds]
    confounds = confounds.reindex(columns=[*confounds, *absent])
    is_kept = np.arange(len(confounds)) >= metrics.get("n_dropped", 0)
    matrix_file = Path(str(files["timeseries"]).replace("denoised_timeseries", "pearson_relmat"))
    matrix = read_tsv(matrix_file, index_col="Node").to_numpy()
    networks = read_json(Path(files["timeseries"]).with_suffix(".json"))["Networks"]
    voxels = _brain_voxels(files)
    every_voxel = np.concatenate(list(voxels.values()), axis=1)
    draw_motion(
        confounds,
        voxels,
        _figure(out_dir, source_file, desc="carpet"),
        repetition_time_s=repetition_time_s,
        fd_threshold_mm=fd_threshold_mm,
    )
    figure = _figure(out_dir, source_file, desc="connectivity")
    draw_connectivity(matrix, list(networks.values()), figure)
    displacement = confounds["framewise_displacement"][is_kept]
    above = displacement > fd_threshold_mm
    quality = {
        "engine": engine,
        "n_volumes": len(confounds),
        "n_volumes_non_steady": confounds.filter(regex="^non_steady_state").shape[1],
        "duration_s": len(confounds) * repetition_time_s,
        "repetition_time_s": repetition_time_s,
        "fd_mean_mm": displacement.mean(),
        "fd_max_mm": displacement.max(),
        "n_frames_moved": int(above.sum()),
        "fd_share_above_threshold": above.mean(),
        "dvars_mean": confounds["dvars"][is_kept].mean(),
        "tsnr_median": np.nanmedian(tsnr(every_voxel[is_kept])),
        **metrics,
        "connectivity_mean": np.nanmean(upper_triangle(matrix)),
    }
    path = derivative_path(
        out_dir, source_file, datatype="func", desc="bold", suffix="qc", extension=".json"
    )
    return write_json(path, _rounded(quality))


def _brain_voxels(files):
    """Return the voxels of each tissue, (n_times, n_voxels); of the brain without tissues."""
    mask = np.asarray(nib.load(files["mask"]).dataobj) > 0
    data = np.asarray(nib.load(files["bold"]).dataobj, dtype=np.float32)
    if not files.get("tissues"):
        return {"brain": data[mask].T}
    labels = np.asarray(nib.load(files["tissues"]).dataobj)
    tissues = {"grey matter": GM, "white matter": WM, "CSF": CSF}
    return {name: data[mask & (labels == label)].T for name, label in tissues.items()}


def _figure(out_dir, source_file, *, desc, suffix="bold"):
    entities = {"desc": desc, "suffix": suffix, "extension": ".png"}
    return derivative_path(out_dir, source_file, datatype="figures", **entities)


def _rounded(quality):
    return {
        key: round(float(value), 5) if isinstance(value, float | np.floating) else value
        for key, value in quality.items()
    }
