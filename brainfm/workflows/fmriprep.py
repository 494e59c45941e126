"""Workflow of fMRIPrep: one call for each participant."""

from pathlib import Path

from nipype.interfaces.utility import IdentityInterface
from nipype.pipeline.engine import Node, Workflow

from brainfm.files import write_json
from brainfm.interfaces.fmriprep import FMRIPrep
from brainfm.stages.preprocess import fmriprep as told
from brainfm.storage.bids.fmriprep_filters import fmriprep_filters
from brainfm.workflows.step import Step


def init_fmriprep_wf(plans, context, *, name="fmriprep_wf"):
    """Build the workflow of fMRIPrep for one participant, from PATH or from a container.

    fMRIPrep has all processes and the whole memory of the call: participants are preprocessed one
    after another. It selects the runs of the plans by a filter file in the work folder.

    Parameters
    ----------
    plans : list of RunPlan
        All selected BOLD runs of one participant, so that a later call has the same filter file
        and uses what this one left in the work folder.
    context : brainfm.workflows.participant.WorkflowContext
        fMRIPrep writes to ``sourcedata/fmriprep`` in its ``out_dir``.
    name : str

    Returns
    -------
    Workflow
        ``outputnode`` has ``derivatives_dir``.
    """
    output_dir = Path(context.out_dir) / "sourcedata" / "fmriprep"
    work_dir = Path(context.work_dir) / "fmriprep"
    for folder in (output_dir, work_dir):  # mounted into the container, so they must exist
        folder.mkdir(parents=True, exist_ok=True)
    fmriprep = FMRIPrep(
        bids_dir=context.bids_dir,
        output_dir=output_dir,
        work_dir=work_dir,
        participant_label=[plans[0].run.participant],
        bids_filter_file=_write_filters(plans, context.settings.run, work_dir),
        nprocs=context.nprocs,
        omp_nthreads=context.omp_nthreads,
        mem_mb=int(1000 * context.memory_gb),
        **_options(context.settings, context.derivatives),
    )
    fmriprep = Step(fmriprep, name="fmriprep", n_procs=context.nprocs, mem_gb=context.memory_gb)
    outputnode = Node(IdentityInterface(["derivatives_dir"]), name="outputnode")
    workflow = Workflow(name=name)
    workflow.connect([(fmriprep, outputnode, [("out_dir", "derivatives_dir")])])
    return workflow


def _write_filters(plans, run, work_dir):
    """Write the filter file of a participant, and return its path.

    T1w images are of the sessions that the runs use if sessions are selected.
    """
    images = [plan.t1w for plan in plans if plan.t1w and run.session_label]
    filters = fmriprep_filters(
        run.bids_filter_file,
        [plan.run for plan in plans],
        t1w_sessions=[image.session for image in images if image.session],
    )
    path = work_dir / f"sub-{plans[0].run.participant}_filter.json"
    write_json(path, filters)
    return path


def _options(settings, derivatives):
    """Return the inputs that come from the settings; those that are not set are left out."""
    config, run, bold = settings.fmriprep, settings.run, settings.bold
    options = {
        "bids_database_dir": config.bids_database_dir,
        "derivatives": {name: str(path) for name, path in derivatives.items()},
        "skip_bids_validation": config.skip_bids_validation,
        "output_spaces": told.output_spaces_of(config, bold.atlas),
        "dummy_scans": bold.n_dummy,
        "fd_spike_threshold": bold.fd_threshold_mm,
        "ignore": list(config.ignore),
        "use_syn_sdc": config.use_syn_sdc,
        "fs_license_file": told.fs_license_of(config),
        "fs_no_reconall": not config.fs_reconall,
        "words": told.further_words(config),
        "sloppy": run.sloppy,
        "stop_on_first_crash": run.stop_on_first_crash,
        "monitor": run.resource_monitor,
        "container": config.container,
        "templates": told.templates_in_container() if config.container else None,
        "named_paths": [str(path) for path in told.named_paths(config)],
    }
    given = {name: value for name, value in options.items() if value}
    return {"random_seed": run.random_seed, "fs_no_reconall": options["fs_no_reconall"], **given}
