"""Workflows of fMRI: T1w image, BOLD run, and derivatives of fMRIPrep."""

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
from brainfm.workflows.step import Step

ANATOMY = ["t1w_brain", "t1w_mask", "t1w_to_template", "template_to_t1w", "segmentation"]
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
    names = {"t1w_file": t1w_file, "out_dir": str(out_dir)}
    prepare = PrepareT1w(t1w_file=t1w_file, space=space, sloppy=sloppy)
    prepare = Step(prepare, name="prepare", mem_gb=2)
    normalise = NormaliseT1w(seed=seed, threads=omp_nthreads, sloppy=sloppy)
    normalise = Step(normalise, name="normalise", mem_gb=1.5, n_procs=omp_nthreads)
    segment = Step(SegmentT1w(sloppy=sloppy), name="segment", mem_gb=1)
    write = Step(WriteAnatomy(**names), name="write", mem_gb=1.5)
    draw = Step(DrawAnatomy(**names), name="draw", mem_gb=1)
    outputnode = Node(IdentityInterface(ANATOMY), name="outputnode")

    workflow = Workflow(name=name)
    prepared = _same("t1w", "head", "brain", "mask", "affine", "space", "notes")
    workflow.connect([
        (prepare, normalise, prepared),
        (prepare, segment, prepared),
        (prepare, write, prepared),
        (normalise, segment, _same("template_to_t1w")),
        (normalise, write, _same("t1w_to_template")),
        (prepare, draw, prepared),
        (write, draw, _same("t1w_in_template")),
        (prepare, outputnode, [("brain", "t1w_brain"), ("mask", "t1w_mask")]),
        (normalise, outputnode, _same("t1w_to_template", "template_to_t1w")),
        (segment, outputnode, _same("segmentation")),
    ])  # fmt: skip
    return workflow


def init_bold_wf(
    *, bold_file, t1w_file, out_dir, config, repetition_time_s, metadata, sloppy, name="bold_wf"
):
    """Build the workflow of one BOLD run, from raw to parcel series, with the built-in engine.

    Parameters
    ----------
    bold_file, t1w_file : path
        The run, and the image that it is normalised with.
    out_dir : path
        Root of the derivative dataset.
    config : brainfm.config.BoldConfig
    repetition_time_s : float
    metadata : dict
        Sidecars of the run; slice timing is corrected when they hold ``SliceTiming``.
    sloppy : bool
    name : str

    Returns
    -------
    Workflow
        ``inputnode`` takes what :func:`init_anat_wf` gives; ``outputnode`` has
        ``timeseries_file`` and ``quality_file``.
    """
    names = {"out_dir": str(out_dir), "source_file": str(bold_file)}
    timed = {**names, "repetition_time_s": repetition_time_s}
    used = {key: metadata[key] for key in _USED if key in metadata}
    used, size_gb = {**used, "RepetitionTime": repetition_time_s}, _size_gb(bold_file)
    inputnode = Node(IdentityInterface(ANATOMY), name="inputnode")
    realign = RealignBold(bold_file=bold_file, metadata=used, n_dummy=config.n_dummy)
    realign = Step(realign, name="realign", mem_gb=0.5 + 3 * size_gb)
    align = Step(AlignBold(sloppy=sloppy), name="align", mem_gb=1)
    alignment_qc = Step(AlignmentQC(space=config.template, **names), name="alignment_qc", mem_gb=1)
    resample = ResampleBold(metadata=used, space=config.template, t1w_file=str(t1w_file), **names)
    resample = Step(resample, name="resample", mem_gb=0.7 + 4 * size_gb)
    confounds = WriteConfounds(
        high_pass_hz=config.high_pass_hz, fd_threshold_mm=config.fd_threshold_mm, **timed
    )
    confounds = Step(confounds, name="confounds", mem_gb=0.7 + 3 * size_gb)

    workflow = Workflow(name=name)
    realigned = _same("bold", "reference", "mask", "motion", "matrices", "flags", "notes")
    nodes = _connect_standardise(workflow, config, size_gb, engine="builtin", **timed)
    standardise, bold_qc = nodes
    workflow.connect([
        (inputnode, align, _same("t1w_brain", "t1w_mask")),
        (inputnode, alignment_qc, _same(*ANATOMY[:3], *ANATOMY[4:])),
        (inputnode, resample, _same("t1w_to_template")),
        (inputnode, confounds, _same("t1w_to_template", "segmentation")),
        (realign, align, realigned),
        (realign, resample, realigned),
        (align, resample, _same("t1w_to_bold")),
        (realign, alignment_qc, _same("reference", "mask")),
        (align, alignment_qc, _same("t1w_to_bold")),
        (realign, confounds, _same("motion", "flags")),
        (resample, confounds, _same("bold", "mask")),
        (resample, standardise, _same("bold", "mask")),
        (confounds, standardise, _same("confounds")),
        (resample, bold_qc, _same("bold", "mask")),
        (confounds, bold_qc, _same("confounds", "tissues")),
        (alignment_qc, bold_qc, [("metrics", "alignment")]),
    ])  # fmt: skip
    return workflow


def init_bold_derivatives_wf(*, run, out_dir, config, repetition_time_s, engine, name="bold_wf"):
    """Build the workflow of one preprocessed run: find its files, if need be, and standardise.

    Parameters
    ----------
    run : RawRun
        The run; its files are known when it is a ``DerivedRun`` of a derivative dataset.
    out_dir : path
        Root of the derivative dataset.
    config : brainfm.config.BoldConfig
    repetition_time_s : float
    engine : {"derivatives", "fmriprep"}
    name : str

    Returns
    -------
    Workflow
        ``inputnode`` takes ``derivatives_dir``, the folder of fMRIPrep's ``sub-*`` folders, where
        fMRIPrep is run; ``outputnode`` has ``timeseries_file`` and ``quality_file``.
    """
    files = getattr(run, "files", None)
    size_gb = _size_gb(files.bold if files else [*getattr(run, "raw", ()), run][0].path)
    workflow = Workflow(name=name)
    standardise, bold_qc = _connect_standardise(
        workflow, config, size_gb, out_dir=str(out_dir), source_file=str(run.path),
        repetition_time_s=repetition_time_s, engine=engine,
    )  # fmt: skip
    if files:
        standardise.inputs.sources = list(run.sources)
        standardise.inputs.trait_set(**files.files_for(config.denoising))
        bold_qc.inputs.trait_set(**files.files_for(config.denoising))
        return workflow
    inputnode = Node(IdentityInterface(["derivatives_dir"]), name="inputnode")
    find = FindFmriprep(bold_file=run.path, denoising=config.denoising)
    find = Step(find, name="find", mem_gb=0.1)
    preprocessed = _same("bold", "mask", "confounds")
    workflow.connect([
        (inputnode, find, _same("derivatives_dir")),
        (find, standardise, preprocessed),
        (find, bold_qc, preprocessed),
    ])  # fmt: skip
    return workflow


def _same(*names):
    """Wires between fields of the same names."""
    return [(name, name) for name in names]


def _connect_standardise(workflow, config, size_gb, **common):
    """Add the nodes that parcellate a preprocessed run and assess it, and the output node."""
    mem_gb = 1 + 4 * size_gb
    standardise = StandardiseBold(config=config, **common)
    standardise = Step(standardise, name="standardise", mem_gb=mem_gb)
    bold_qc = BoldQC(fd_threshold_mm=config.fd_threshold_mm or 0.5, **common)
    bold_qc = Step(bold_qc, name="bold_qc", mem_gb=mem_gb)
    outputnode = Node(IdentityInterface(["timeseries_file", "quality_file"]), name="outputnode")
    workflow.connect([
        (standardise, bold_qc, [*_same("timeseries_file"), ("metrics", "parcellation")]),
        (standardise, outputnode, _same("timeseries_file")),
        (bold_qc, outputnode, _same("quality_file")),
    ])  # fmt: skip
    return standardise, bold_qc


def _size_gb(bold_file):
    """Return the size of a run in memory, in float32."""
    return float(np.prod(nib.load(bold_file).shape, dtype=float)) * 4 / 1e9
