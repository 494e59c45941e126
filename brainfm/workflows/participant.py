"""The workflow of all selected participants: one part a participant, in it one a recording."""

from dataclasses import dataclass
from pathlib import Path

from nipype import Node, Workflow

from brainfm.config import Settings
from brainfm.interfaces.learn import EmbedRecording
from brainfm.workflows.bold import init_anat_wf, init_bold_wf
from brainfm.workflows.eeg import init_eeg_wf
from brainfm.workflows.execute import steps_of


@dataclass(frozen=True, kw_only=True)
class Context:
    """What every part of the workflow is told."""

    out_dir: Path
    settings: Settings
    engine: str
    model_key: str
    omp_nthreads: int
    derivatives: dict


def init_brainfm_wf(plans, context, *, work_dir, name="brainfm_wf"):
    """Wire all selected participants, who do not wait for each other.

    Parameters
    ----------
    plans : dict of str to list of Task
        What is left to do for each participant; see :func:`brainfm.stages.plan.plan_participant`.
    context : Context
    work_dir : Path

    Returns
    -------
    workflow : Workflow
    steps : dict of str to set of str
        The full names of the steps of each recording, by the recording's name.
    """
    workflow = Workflow(name=name, base_dir=str(work_dir))
    steps = {}
    for participant, tasks in plans.items():
        todo = [task for task in tasks if not task.is_done]
        if not todo:
            continue
        part, own = init_participant_wf(participant, todo, context)
        workflow.add_nodes([part])
        steps.update({key: {f"{name}.{step}" for step in names} for key, names in own.items()})
    return workflow, steps


def init_participant_wf(participant, tasks, context):
    """Wire one participant: the anatomy of each T1w image that is used, then each recording.

    Returns
    -------
    workflow : Workflow
    steps : dict of str to set of str
    """
    workflow = Workflow(name=wf_name(f"sub-{participant}"))
    steps, anatomies = {}, {}
    for task in tasks:
        part = init_recording_wf(task, context)
        workflow.add_nodes([part])
        steps[task.run.name] = steps_of(part, workflow.name)
        if not (task.preprocess and task.t1w):
            continue
        if task.t1w.name not in anatomies:
            anatomies[task.t1w.name] = _init_anat(task.t1w, context)
            workflow.add_nodes([anatomies[task.t1w.name]])
            steps[task.t1w.name] = steps_of(anatomies[task.t1w.name], workflow.name)
        _connect_anatomy(workflow, anatomies[task.t1w.name], part)
    return workflow, steps


def init_recording_wf(task, context):
    """Wire one recording: preprocess and standardise it unless that is done, then embed it."""
    config = context.settings.model
    embed = Node(
        EmbedRecording(
            model=config.model,
            model_key=context.model_key,
            out_dir=str(context.out_dir),
            batch_size=config.batch_size,
            device=config.device,
        ),
        name="embed",
        n_procs=context.omp_nthreads,
        mem_gb=2,
    )
    workflow = Workflow(name=wf_name(task.run.name))
    if not task.preprocess:
        embed.inputs.in_file = str(task.standardised)
        workflow.add_nodes([embed])
        return workflow
    if task.run.modality == "eeg":
        clean, field = _init_eeg(task.run, context), "outputnode.eeg_file"
    else:
        clean, field = _init_bold(task.run, context), "outputnode.timeseries_file"
    workflow.connect([(clean, embed, [(field, "in_file")])])
    return workflow


def wf_name(name):
    """Turn a BIDS name into one Nipype accepts: ``sub-01_task-rest`` is ``sub01_taskrest_wf``."""
    return name.replace("-", "").replace("+", "plus") + "_wf"


def _init_anat(t1w, context):
    return init_anat_wf(
        t1w_file=str(t1w.path),
        participant=t1w.participant,
        out_dir=context.out_dir,
        config=context.settings.bold,
        sloppy=context.settings.run.sloppy,
        seed=context.settings.run.random_seed,
        omp_nthreads=context.omp_nthreads,
        name=wf_name(t1w.name),
    )


def _init_bold(run, context):
    return init_bold_wf(
        bold_file=str(run.path),
        out_dir=context.out_dir,
        config=context.settings.bold,
        repetition_time_s=float(run.metadata["RepetitionTime"]),
        sloppy=context.settings.run.sloppy,
        seed=context.settings.run.random_seed,
        omp_nthreads=context.omp_nthreads,
        name="bold_wf",
    )


def _init_eeg(run, context):
    return init_eeg_wf(
        eeg_file=str(run.path),
        out_dir=context.out_dir,
        config=context.settings.eeg,
        seed=context.settings.run.random_seed,
        sloppy=context.settings.run.sloppy,
        name="eeg_wf",
    )


def _connect_anatomy(workflow, anat, recording):
    fields = ("t1w_brain", "t1w_mask", "t1w_to_template", "template_to_t1w", "segmentation")
    wires = [(f"outputnode.{field}", f"bold_wf.inputnode.{field}") for field in fields]
    workflow.connect([(anat, recording, wires)])
