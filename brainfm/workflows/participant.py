"""Workflow of the participant level: one sub-workflow per participant and per recording."""

from dataclasses import dataclass
from pathlib import Path

from nipype import Workflow

from brainfm.config import Settings
from brainfm.interfaces.embedding import EmbedRecording
from brainfm.workflows.bold import (
    ANATOMY,
    init_anat_wf,
    init_bold_derivatives_wf,
    init_bold_wf,
)
from brainfm.workflows.eeg import init_eeg_wf
from brainfm.workflows.fmriprep import init_fmriprep_wf
from brainfm.workflows.runner import steps_of
from brainfm.workflows.step import Step


@dataclass(frozen=True, kw_only=True)
class WorkflowContext:
    """Arguments that all sub-workflows share.

    Parameters
    ----------
    bids_dir, out_dir, work_dir : Path
    settings : Settings
    model_key : str
        Identity of the checkpoint.
    nprocs, omp_nthreads : int
        Processes of the whole call, and threads of each.
    memory_gb : float
        Memory of the whole call.
    derivatives : dict of str to Path
        Derivative datasets by name.
    """

    bids_dir: Path
    out_dir: Path
    work_dir: Path
    settings: Settings
    model_key: str
    nprocs: int
    omp_nthreads: int
    memory_gb: float
    derivatives: dict


def init_brainfm_wf(plans, context, *, name="brainfm_wf"):
    """Build the workflow of all selected participants.

    Parameters
    ----------
    plans : dict of str to list of RunPlan
        Runs of each participant, of which those not done are processed; see
        :func:`brainfm.stages.query.plan.plan_participant`.
    context : WorkflowContext

    Returns
    -------
    workflow : Workflow
    steps : dict of str to set of str
        Full node names of each recording, by the name of the recording.
    """
    workflow = Workflow(name=name, base_dir=str(context.work_dir))
    steps = {}
    for participant, tasks in plans.items():
        if any(not task.is_done for task in tasks):
            part, own = init_participant_wf(participant, tasks, context)
            workflow.add_nodes([part])
            steps |= {key: {f"{name}.{step}" for step in names} for key, names in own.items()}
    return workflow, steps


def init_participant_wf(participant, tasks, context):
    """Build the workflow of one participant: anatomy or fMRIPrep, then each recording.

    Parameters
    ----------
    participant : str
    tasks : list of RunPlan
    context : WorkflowContext

    Returns
    -------
    workflow : Workflow
    steps : dict of str to set of str
        See :func:`init_brainfm_wf`.
    """
    workflow = Workflow(name=wf_name(f"sub-{participant}"))
    parts = {}
    for task in [task for task in tasks if not task.is_done]:
        parts[task.run.name] = recording = init_recording_wf(task, context)
        workflow.add_nodes([recording])
        if task.preprocess and task.upstream:
            if task.upstream not in parts:
                parts[task.upstream] = _init_upstream(task, tasks, context)
            fields = ["derivatives_dir"] if task.engine == "fmriprep" else ANATOMY
            wires = [(f"outputnode.{field}", f"bold_wf.inputnode.{field}") for field in fields]
            workflow.connect([(parts[task.upstream], recording, wires)])
    return workflow, {name: steps_of(part, workflow.name) for name, part in parts.items()}


def init_recording_wf(task, context):
    """Build the workflow of one recording: preprocess and standardise unless done, then embed.

    Parameters
    ----------
    task : RunPlan
    context : WorkflowContext

    Returns
    -------
    Workflow
    """
    config = context.settings.model
    embed = EmbedRecording(
        model=config.model,
        model_key=context.model_key,
        out_dir=str(context.out_dir),
        batch_size=config.batch_size,
        device=config.device,
    )
    embed = Step(embed, name="embed", n_procs=context.omp_nthreads, mem_gb=2)
    workflow = Workflow(name=wf_name(task.run.name))
    if not task.preprocess:
        embed.inputs.in_file = task.standardised
        workflow.add_nodes([embed])
        return workflow
    if task.run.modality == "eeg":
        clean, field = _init_eeg(task.run, context), "outputnode.eeg_file"
    else:
        clean, field = _init_bold(task, context), "outputnode.timeseries_file"
    workflow.connect([(clean, embed, [(field, "in_file")])])
    return workflow


def wf_name(name):
    """Convert a BIDS name to a workflow name: ``sub-01_task-rest`` to ``sub01_taskrest_wf``.

    Parameters
    ----------
    name : str

    Returns
    -------
    str
    """
    return name.replace("-", "").replace("+", "plus") + "_wf"


def _init_upstream(task, tasks, context):
    """Build the part of the workflow that several recordings of a participant share."""
    settings, name = context.settings, wf_name(task.upstream)
    if task.engine == "fmriprep":
        plans = [one for one in tasks if one.upstream == task.upstream]
        return init_fmriprep_wf(plans, context, name=name)
    return init_anat_wf(
        t1w_file=task.t1w.path,
        out_dir=context.out_dir,
        space=settings.bold.template,
        sloppy=settings.run.sloppy,
        seed=settings.run.random_seed,
        omp_nthreads=context.omp_nthreads,
        name=name,
    )


def _init_bold(task, context):
    common = {
        "out_dir": context.out_dir,
        "config": context.settings.bold,
        "repetition_time_s": float(task.run.metadata["RepetitionTime"]),
    }
    if task.engine != "builtin":
        return init_bold_derivatives_wf(run=task.run, engine=task.engine, **common)
    return init_bold_wf(
        bold_file=task.run.path,
        t1w_file=task.t1w.path,
        metadata=task.run.metadata,
        sloppy=context.settings.run.sloppy,
        **common,
    )


def _init_eeg(run, context):
    return init_eeg_wf(
        eeg_file=run.path,
        out_dir=context.out_dir,
        config=context.settings.eeg,
        seed=context.settings.run.random_seed,
        sloppy=context.settings.run.sloppy,
    )
