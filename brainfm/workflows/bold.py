"""Workflows of fMRI: T1w image, BOLD run, fMRIPrep, and its derivatives."""

import os
from pathlib import Path

import nibabel as nib
import numpy as np
from nipype.interfaces.utility import IdentityInterface
from nipype.pipeline.engine import Node, Workflow

from brainfm.interfaces.anatomy import (
    DrawAnatomy,
    NormaliseT1w,
    PrepareT1w,
    SegmentT1w,
    WriteAnatomy,
)
from brainfm.interfaces.bold import (
    AlignBold,
    AlignmentQC,
    BoldQC,
    FindFmriprep,
    RealignBold,
    ResampleBold,
    StandardiseBold,
    WriteConfounds,
)
from brainfm.interfaces.fmriprep import FMRIPrep
from brainfm.workflows.step import Step

ANATOMY = ["t1w_brain", "t1w_mask", "t1w_to_template", "template_to_t1w", "segmentation"]
_PREPARED = [(name, name) for name in ("t1w", "head", "brain", "mask", "affine", "space")]
_REALIGNED = [(name, name) for name in ("bold", "reference", "mask", "motion", "matrices")]
_PREPROCESSED = [(name, name) for name in ("bold", "mask", "confounds")]
_SERIES = [("timeseries_file", "timeseries_file"), ("metrics", "parcellation")]
_USED = ("SliceTiming", "SliceEncodingDirection", "TaskName")


def init_anat_wf(*, t1w_file, out_dir, space, sloppy, seed, omp_nthreads, name="anat_wf"):
    """Build the workflow of one T1w image, from bias correction to segmentation and figures.

    Parameters
    ----------
    t1w_file : path
    out_dir : path
        Root of the derivative dataset.
    space : str
        Template; see :func:`brainfm.storage.images.template`.
    sloppy : bool
    seed, omp_nthreads : int
    name : str

    Returns
    -------
    Workflow
        ``outputnode`` has ``t1w_brain``, ``t1w_mask``, ``t1w_to_template``,
        ``template_to_t1w`` (transform files) and ``segmentation``.
    """
    names = {"t1w_file": str(t1w_file), "out_dir": str(out_dir)}
    prepare = PrepareT1w(t1w_file=names["t1w_file"], space=space, sloppy=sloppy)
    prepare = Step(prepare, name="prepare", mem_gb=2)
    normalise = Step(
        NormaliseT1w(seed=seed, threads=omp_nthreads, sloppy=sloppy),
        name="normalise",
        mem_gb=1.5,
        n_procs=omp_nthreads,
    )
    segment = Step(SegmentT1w(sloppy=sloppy), name="segment", mem_gb=1)
    write = Step(WriteAnatomy(**names), name="write", mem_gb=1.5)
    draw = Step(DrawAnatomy(**names), name="draw", mem_gb=1)
    outputnode = Node(IdentityInterface(ANATOMY), name="outputnode")

    workflow = Workflow(name=name)
    workflow.connect([
        (prepare, normalise, _PREPARED),
        (prepare, segment, _PREPARED),
        (prepare, write, _PREPARED),
        (normalise, segment, [("template_to_t1w", "template_to_t1w")]),
        (normalise, write, [("t1w_to_template", "t1w_to_template")]),
        (prepare, draw, _PREPARED),
        (write, draw, [("t1w_in_template", "t1w_in_template")]),
        (prepare, outputnode, [("brain", "t1w_brain"), ("mask", "t1w_mask")]),
        (normalise, outputnode, [("t1w_to_template", "t1w_to_template"),
                                 ("template_to_t1w", "template_to_t1w")]),
        (segment, outputnode, [("segmentation", "segmentation")]),
    ])  # fmt: skip
    return workflow


def init_bold_wf(
    *, bold_file, out_dir, config, repetition_time_s, sloppy, metadata=None, name="bold_wf"
):
    """Build the workflow of one BOLD run, from raw to parcel series, with the built-in engine.

    Parameters
    ----------
    bold_file : path
    out_dir : path
        Root of the derivative dataset.
    config : brainfm.config.BoldConfig
    repetition_time_s : float
    sloppy : bool
    metadata : dict, optional
        Sidecars of the run; slice timing is corrected when they hold ``SliceTiming``.
    name : str

    Returns
    -------
    Workflow
        ``inputnode`` takes what :func:`init_anat_wf` gives; ``outputnode`` has
        ``timeseries_file`` and ``quality_file``.
    """
    names = {"out_dir": str(out_dir), "source_file": str(bold_file)}
    used = _used_metadata(metadata, repetition_time_s)
    size_gb = _size_gb(bold_file)
    inputnode = Node(IdentityInterface(ANATOMY), name="inputnode")
    realign = RealignBold(bold_file=str(bold_file), metadata=used, n_dummy=config.n_dummy)
    realign = Step(realign, name="realign", mem_gb=0.5 + 3 * size_gb)
    align = Step(AlignBold(sloppy=sloppy), name="align", mem_gb=1)
    alignment_qc = Step(AlignmentQC(space=config.template, **names), name="alignment_qc", mem_gb=1)
    resample = ResampleBold(metadata=used, space=config.template, **names)
    resample = Step(resample, name="resample", mem_gb=0.7 + 4 * size_gb)
    confounds = _confounds_node(config, float(repetition_time_s), names, size_gb)
    standardise, bold_qc = _standardise_nodes(
        bold_file, out_dir, config, repetition_time_s, "builtin"
    )
    outputnode = _outputnode()

    workflow = Workflow(name=name)
    workflow.connect([
        (inputnode, align, [("t1w_brain", "t1w_brain"), ("t1w_mask", "t1w_mask")]),
        (inputnode, alignment_qc, [(field, field) for field in ANATOMY[:3] + ANATOMY[4:]]),
        (inputnode, resample, [("t1w_to_template", "t1w_to_template")]),
        (inputnode, confounds, [("t1w_to_template", "t1w_to_template"),
                                ("segmentation", "segmentation")]),
        (realign, align, _REALIGNED),
        (realign, resample, _REALIGNED),
        (align, resample, [("t1w_to_bold", "t1w_to_bold")]),
        (realign, alignment_qc, [("reference", "reference"), ("mask", "mask")]),
        (align, alignment_qc, [("t1w_to_bold", "t1w_to_bold")]),
        (realign, confounds, [("motion", "motion")]),
        (resample, confounds, [("bold", "bold"), ("mask", "mask")]),
        (resample, standardise, [("bold", "bold"), ("mask", "mask")]),
        (confounds, standardise, [("confounds", "confounds")]),
        (resample, bold_qc, [("bold", "bold"), ("mask", "mask")]),
        (confounds, bold_qc, [("confounds", "confounds"), ("tissues", "tissues")]),
        (alignment_qc, bold_qc, [("metrics", "alignment")]),
        (standardise, bold_qc, _SERIES),
        (standardise, outputnode, [("timeseries_file", "timeseries_file")]),
        (bold_qc, outputnode, [("quality_file", "quality_file")]),
    ])  # fmt: skip
    return workflow


def init_bold_derivatives_wf(
    *, bold_file, out_dir, config, repetition_time_s, engine, derivatives_dir="", name="bold_wf"
):
    """Build the workflow of one run preprocessed by fMRIPrep: find and standardise its files.

    Parameters
    ----------
    bold_file : path
        The raw run.
    out_dir : path
        Root of the derivative dataset.
    config : brainfm.config.BoldConfig
    repetition_time_s : float
    engine : {"derivatives", "fmriprep"}
    derivatives_dir : path
        Folder of fMRIPrep's ``sub-*`` folders; or connect it to ``inputnode``.
    name : str

    Returns
    -------
    Workflow
        ``inputnode`` takes ``derivatives_dir``; ``outputnode`` has ``timeseries_file`` and
        ``quality_file``.
    """
    inputnode = Node(IdentityInterface(["derivatives_dir"]), name="inputnode")
    if derivatives_dir:
        inputnode.inputs.derivatives_dir = str(derivatives_dir)
    find = Step(FindFmriprep(bold_file=str(bold_file)), name="find", mem_gb=0.1)
    standardise, bold_qc = _standardise_nodes(bold_file, out_dir, config, repetition_time_s, engine)
    outputnode = _outputnode()

    workflow = Workflow(name=name)
    workflow.connect([
        (inputnode, find, [("derivatives_dir", "derivatives_dir")]),
        (find, standardise, _PREPROCESSED),
        (find, bold_qc, _PREPROCESSED),
        (standardise, bold_qc, _SERIES),
        (standardise, outputnode, [("timeseries_file", "timeseries_file")]),
        (bold_qc, outputnode, [("quality_file", "quality_file")]),
    ])  # fmt: skip
    return workflow


def init_fmriprep_wf(
    *, bids_dir, participant, out_dir, work_dir, config, run, omp_nthreads, name="fmriprep_wf"
):
    """Build the workflow of fMRIPrep for one participant, from PATH or from a container.

    Parameters
    ----------
    bids_dir : path
        The raw dataset.
    participant : str
    out_dir : path
        Root of the derivative dataset; fMRIPrep writes to ``sourcedata/fmriprep`` in it.
    work_dir : path
    config : brainfm.config.BoldConfig
    run : brainfm.config.RunConfig
    omp_nthreads : int
    name : str

    Returns
    -------
    Workflow
        ``outputnode`` has ``derivatives_dir``.
    """
    output_dir, work_dir = Path(out_dir) / "sourcedata" / "fmriprep", Path(work_dir) / "fmriprep"
    for folder in (output_dir, work_dir):  # mounted into the container, so they must exist
        folder.mkdir(parents=True, exist_ok=True)
    licence = config.fs_license_file or os.environ.get("FS_LICENSE")
    fmriprep = Step(
        FMRIPrep(
            bids_dir=str(bids_dir),
            output_dir=str(output_dir),
            work_dir=str(work_dir),
            participant_label=[participant],
            nprocs=omp_nthreads,
            omp_nthreads=omp_nthreads,
            random_seed=run.random_seed,
            sloppy=run.sloppy,
            container=config.fmriprep_container or "",
        ),
        name="fmriprep",
        n_procs=omp_nthreads,
        mem_gb=8,
    )
    if licence:
        fmriprep.inputs.fs_license_file = str(licence)
    outputnode = Node(IdentityInterface(["derivatives_dir"]), name="outputnode")
    workflow = Workflow(name=name)
    workflow.connect([(fmriprep, outputnode, [("out_dir", "derivatives_dir")])])
    return workflow


def _outputnode():
    return Node(IdentityInterface(["timeseries_file", "quality_file"]), name="outputnode")


def _used_metadata(metadata, repetition_time_s):
    used = {key: metadata[key] for key in _USED if key in (metadata or {})}
    return {**used, "RepetitionTime": float(repetition_time_s)}


def _standardise_nodes(bold_file, out_dir, config, repetition_time_s, engine):
    """Return the nodes that parcellate a preprocessed run and assess it."""
    common = {
        "out_dir": str(out_dir),
        "source_file": str(bold_file),
        "repetition_time_s": float(repetition_time_s),
        "engine": engine,
    }
    standardise = StandardiseBold(config=config, **common)
    bold_qc = BoldQC(fd_threshold_mm=config.fd_threshold_mm, **common)
    mem_gb = 1 + 4 * _size_gb(bold_file)
    return (
        Step(standardise, name="standardise", mem_gb=mem_gb),
        Step(bold_qc, name="bold_qc", mem_gb=mem_gb),
    )


def _size_gb(bold_file):
    """Return the size of a run in memory, in float32."""
    return float(np.prod(nib.load(bold_file).shape, dtype=float)) * 4 / 1e9


def _confounds_node(config, repetition_time_s, names, size_gb):
    return Step(
        WriteConfounds(
            repetition_time_s=repetition_time_s,
            n_dummy=config.n_dummy,
            high_pass_hz=config.high_pass_hz,
            **names,
        ),
        name="confounds",
        mem_gb=0.7 + 3 * size_gb,
    )
