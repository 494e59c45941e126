"""Settings of brainfm, each declared once.

The command line, the TOML file, the environment variables and the table in the documentation are
derived from these frozen sections (see ``brainfm.cli``).
"""

import re
from dataclasses import dataclass, field, fields
from pathlib import Path

from brainfm.errors import UsageError

#: Space of the template that nilearn packages, the default of the built-in engine.
TEMPLATE_SPACE = "MNI152NLin2009aSym"
#: Steps of the group level.
STEPS = ("corpus", "pretrain", "evaluate", "report")
#: Denoising strategies: our own, those of nilearn by their names, and a list of columns.
DENOISING = ("24P+aCompCor", "24P+8P", "24P+8P+GSR", "simple", "scrubbing", "compcor", "ica_aroma",
             "custom")  # fmt: skip


def setting(default, help, *, flags=(), choices=None, unit=None, at_least=None, metavar=None):
    """Declare one setting.

    Parameters
    ----------
    default : object
    help : str
        One line.
    flags : sequence of str
        Options of the command line; without any, it is ``--<section>-<name>``, and ``--<name>`` in
        the section ``run``.
    choices : tuple of str, optional
    unit : str, optional
    at_least : int, optional
        Smallest value.
    metavar : str, optional
        Placeholder of the value in the help; derived from unit and type if not given.

    Returns
    -------
    dataclasses.Field
    """
    metadata = {"help": help, "flags": tuple(flags), "choices": choices, "unit": unit}
    metadata.update(at_least=at_least, metavar=metavar)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Selection of recordings, folders and computing resources."""

    participant_label: tuple[str, ...] = setting(
        (), "labels of the participants to process, with or without 'sub-'"
    )
    session_label: tuple[str, ...] = setting(
        (), "labels of the sessions to process", flags=["--session-label", "--session-id"]
    )
    task_label: tuple[str, ...] = setting(
        (), "labels of the tasks to process", flags=["-t", "--task-id", "--task-label"]
    )
    run_label: tuple[str, ...] = setting(
        (), "labels of the runs to process", flags=["--run-id", "--run-label"]
    )
    bids_filter_file: Path | None = setting(
        None,
        "JSON file of PyBIDS filters, {query: {entity: value}}, for the queries bold, t1w and eeg",
    )
    exclude: Path | None = setting(
        None,
        "TSV of recordings that the group level leaves out: participant_id, if needed session_id, "
        "task, run and other entities, and reason",
        metavar="FILE",
    )
    steps: tuple[str, ...] = setting(
        (),
        "steps of the group level (default: corpus evaluate report with --target or --contrast, "
        "else corpus pretrain report)",
        choices=STEPS,
        metavar="STEP",
    )
    derivatives: tuple[str, ...] = setting(
        (),
        "existing derivative datasets, as PATH or NAME=PATH, for example /data/fmriprep",
        flags=["-d", "--derivatives"],
        metavar="PATH",
    )
    config_file: Path | None = setting(
        None, "TOML file of settings, for example the settings.toml of an earlier run"
    )
    work_dir: Path | None = setting(
        None, "folder of intermediate files (default: OUTPUT_DIR/work)", flags=["-w", "--work-dir"]
    )
    nprocs: int | None = setting(
        None,
        "processes that run in parallel (default: the CPUs available to this job)",
        flags=["--nprocs", "--n-cpus", "--nthreads"],
        at_least=1,
    )
    omp_nthreads: int | None = setting(
        None, "threads per process (default: nprocs - 1, at most 8)", at_least=1
    )
    mem: str | None = setting(
        None,
        "memory limit with its unit, for example 8G, 1.5G or 8000M (default: 90 % of the memory "
        "available to this job)",
        flags=["--mem", "--mem-mb", "--mem-gb"],
        metavar="SIZE",
    )
    random_seed: int = setting(0, "seed of all random numbers", at_least=0)
    stop_on_first_crash: bool = setting(
        False, "stop all processing after the first step that fails"
    )
    dry_run: bool = setting(
        False, "check the input and list the planned steps, without processing or writing"
    )
    reports_only: bool = setting(False, "only write the reports again, from existing outputs")
    sloppy: bool = setting(False, "use fast, low-quality settings; for tests only, not for results")
    use_plugin: Path | None = setting(None, "YAML file with a Nipype plugin and its plugin_args")
    resource_monitor: bool = setting(False, "record memory and CPU use of every step")
    write_graph: bool = setting(False, "draw a graph of the workflow into OUTPUT_DIR/logs")
    verbose: int = setting(
        0, "print more messages; -vv also those of Nipype", flags=["-v", "--verbose"]
    )


@dataclass(frozen=True, kw_only=True)
class BoldConfig:
    """Preprocessing of BOLD runs and extraction of parcel time series."""

    fmri_engine: str = setting(
        "auto",
        "engine that preprocesses raw fMRI; auto uses existing derivatives, else fMRIPrep if it is "
        "installed, else the built-in engine",
        flags=["--fmri-engine"],
        choices=("auto", "derivatives", "fmriprep", "builtin"),
    )
    atlas: str = setting(
        "Schaefer100",
        "parcellation: Schaefer100, Schaefer200, Schaefer400, an atlas in TEMPLATEFLOW_HOME by its "
        "identifier, such as tpl-MNI152NLin2009cAsym_atlas-Schaefer2018_desc-200Parcels7Networks, "
        "or a NIfTI with a TSV of the same name",
        flags=["--atlas"],
    )
    template: str = setting(
        TEMPLATE_SPACE,
        f"template of the built-in engine: {TEMPLATE_SPACE}, or one in TEMPLATEFLOW_HOME by its "
        "name, such as MNI152NLin2009cAsym",
    )
    n_dummy: int | None = setting(
        None,
        "volumes removed at the start of each run (default: those before the steady state, which "
        "the built-in engine detects); those flagged in the confounds are always removed",
        at_least=0,
    )
    high_pass_hz: float = setting(0.008, "cutoff of the high-pass filter; 0: no filter", unit="Hz")
    low_pass_hz: float = setting(0.1, "cutoff of the low-pass filter; 0: no filter", unit="Hz")
    denoising: str = setting(
        DENOISING[0],
        "confounds that are regressed out; simple, scrubbing, compcor and ica_aroma are the "
        "strategies of nilearn, custom takes the columns of --bold-confounds",
        choices=DENOISING,
    )
    confounds: tuple[str, ...] = setting(
        (),
        "columns of the confounds table for the denoising custom, for example trans_x 'cosine*'",
        metavar="COLUMN",
    )
    n_acompcor: int = setting(
        5, f"number of aCompCor components regressed out by {DENOISING[0]}", at_least=0
    )
    censoring: str = setting(
        "auto",
        "whether motion outliers are censored; auto: yes, except with simple, compcor and "
        "ica_aroma, as in nilearn",
        choices=("auto", "on", "off"),
    )
    fd_threshold_mm: float = setting(
        0.5,
        "framewise displacement above which a volume is a motion outlier; 0: not used",
        unit="mm",
    )
    std_dvars_threshold: float = setting(
        1.5, "standardised DVARS above which a volume is a motion outlier; 0: not used"
    )
    min_segment: int | None = setting(
        None,
        "shorter segments between censored volumes are censored too, in volumes (default: 5 with "
        "scrubbing, else none)",
        at_least=0,
    )
    min_minutes: float = setting(
        1.0, "fewest minutes left after censoring; runs with less fail", unit="min"
    )
    min_coverage: float = setting(
        0.5, "smallest fraction of a parcel inside the field of view; parcels below it are n/a"
    )


@dataclass(frozen=True, kw_only=True)
class FmriprepConfig:
    """fMRIPrep, if it preprocesses the raw fMRI; it has the selection and resources of [run]."""

    container: str | None = setting(None, "container of fMRIPrep: image.sif or docker://NAME")
    fs_license_file: Path | None = setting(
        None,
        "FreeSurfer licence file (default: FS_LICENSE, or license.txt in FREESURFER_HOME)",
        flags=["--fs-license-file"],
    )
    output_spaces: tuple[str, ...] = setting(
        (),
        "spaces of the outputs, at least one MNI152 template (default: the template of an atlas of "
        "TemplateFlow at 2 mm, else MNI152NLin2009cAsym:res-2)",
        flags=["--output-spaces"],
        metavar="SPACE",
    )
    fs_reconall: bool = setting(
        False, "reconstruct surfaces with FreeSurfer, which takes hours", flags=["--fs-reconall"]
    )
    ignore: tuple[str, ...] = setting(
        (),
        "parts of the input that fMRIPrep does not use",
        flags=["--ignore"],
        choices=("fieldmaps", "slicetiming", "sbref", "t2w", "flair", "fmap-jacobian"),
        metavar="PART",
    )
    use_syn_sdc: bool = setting(
        False,
        "correct susceptibility distortion without a fieldmap, by registration to the T1w image",
        flags=["--use-syn-sdc"],
    )
    skip_bids_validation: bool = setting(
        False,
        "skip the BIDS validator of fMRIPrep; brainfm checks the runs in any case",
        flags=["--skip-bids-validation"],
    )
    bids_database_dir: Path | None = setting(
        None, "folder of a PyBIDS database, for faster indexing", flags=["--bids-database-dir"]
    )
    args: str | None = setting(
        None, 'further options in one text, for example "--me-t2s-fit-method curvefit"'
    )


@dataclass(frozen=True, kw_only=True)
class EegConfig:
    """Preprocessing of EEG recordings."""

    high_pass_hz: float = setting(0.5, "cutoff of the high-pass filter", unit="Hz")
    low_pass_hz: float = setting(75.0, "cutoff of the low-pass filter", unit="Hz")
    line_hz: float | None = setting(
        None, "power line frequency (default: PowerLineFrequency of the sidecar)", unit="Hz"
    )
    sampling_hz: float = setting(200.0, "sampling rate after resampling", unit="Hz")
    ica_threshold: float = setting(
        0.8, "probability above which an ICA component labelled eye, muscle, heart, line noise or "
        "channel noise is removed; 1: none is removed"
    )  # fmt: skip
    max_bad_share: float = setting(
        0.5, "largest fraction of bad channels; recordings above it fail"
    )


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Pretrained model that embeds the recordings."""

    model: str = setting(
        "brainfm-tiny",
        "name of a packaged checkpoint, path of a checkpoint folder, or org/name[@revision] on the "
        "Hugging Face Hub",
        flags=["--model"],
    )
    device: str = setting(
        "auto",
        "device of the model; auto: cuda if available, else cpu",
        flags=["--device"],
        choices=("auto", "cpu", "cuda"),
    )
    batch_size: int = setting(32, "number of windows embedded in one batch", at_least=1)


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Pretraining on the corpus."""

    preset: str = setting("tiny", "size of the encoder", choices=("nano", "tiny", "small", "base"))
    tokenizer: str = setting(
        "patch",
        "layer that turns a patch of signal into a vector",
        choices=("patch", "conv", "recurrent"),
    )
    max_epochs: int = setting(20, "maximum number of passes over the corpus", at_least=1)
    batch_size: int = setting(32, "number of windows per optimisation step", at_least=1)
    learning_rate: float = setting(1e-3, "maximum learning rate")
    bold_window_s: float = setting(120.0, "length of BOLD windows, a multiple of 12 s", unit="s")
    eeg_window_s: float = setting(10.0, "length of EEG windows, a multiple of 1 s", unit="s")
    phenotypes: tuple[str, ...] = setting(
        (),
        "columns of participants.tsv used as additional labels, for example age sex",
        metavar="COLUMN",
    )

    @property
    def model_name(self):
        """Name of the model; it ends with ``-phenotypes`` if labels were used."""
        return f"brainfm-{self.preset}" + ("-phenotypes" if self.phenotypes else "")


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """Computing resources of ``python -m brainfm.cli.pretrain``; not used by the two levels."""

    n_processes: int = setting(1, "processes (GPUs) per node; each batch is divided among them")
    n_nodes: int = setting(1, "number of nodes; more than one needs srun or torchrun")
    precision: str = setting(
        "32",
        "bf16: the encoder computes in bfloat16; weights and losses stay float32",
        choices=("32", "bf16"),
    )
    patience: int | None = setting(
        None,
        "epochs without a lower validation loss before training stops; the best weights are saved",
    )
    n_workers: int = setting(0, "data loading processes per training process")
    keep_every_s: float = setting(
        600.0,
        "time between two checkpoints within an epoch; one is saved after each epoch",
        unit="s",
    )

    def __post_init__(self):
        _check_values("loop", self)
        for name, least in {"n_processes": 1, "n_nodes": 1, "patience": 1, "n_workers": 0}.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"{name} is {value}; expected at least {least}.")


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Prediction of a target from the recordings, and its evaluation."""

    target: str | None = setting(
        None,
        "column of participants.tsv, phenotype/*.tsv or sessions.tsv to predict",
        flags=["--target"],
        metavar="COLUMN",
    )
    contrast: tuple[str, ...] = setting(
        (),
        "two tasks to classify, for example eyesopen eyesclosed",
        flags=["--contrast"],
        metavar="TASK",
    )
    groups: str | None = setting(
        None,
        "column of participants.tsv, for example site, for leave-one-group-out cross-validation; "
        "labels are permuted within its values only",
        flags=["--groups"],
        metavar="COLUMN",
    )
    confounds: tuple[str, ...] = setting(
        ("site", "age", "sex", "mean_fd"),
        "columns of participants.tsv predicted from the embedding and regressed out; default "
        "columns that do not exist are skipped; mean_fd may also come from the quality files of "
        "brainfm",
        metavar="COLUMN",
    )
    networks: tuple[str, ...] = setting(
        (),
        "networks of the Schaefer atlas, for example Cont SalVentAttn DorsAttn: evaluate also "
        "their connectivity to the whole brain and report the importance of its connections",
        flags=["--networks"],
        metavar="NETWORK",
    )
    n_splits: int = setting(
        5,
        "number of cross-validation folds; a contrast within few participants uses recordings or "
        "blocks of time as folds, see the documentation",
        at_least=2,
    )
    n_permutations: int = setting(
        200, "number of label permutations for the p value; 0: no p value", at_least=0
    )
    n_episodes: int = setting(
        50, "number of few-shot episodes per number of participants; 0: no curves", at_least=0
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All sections; each is a table of the same name in the TOML file."""

    run: RunConfig = RunConfig()
    bold: BoldConfig = BoldConfig()
    fmriprep: FmriprepConfig = FmriprepConfig()
    eeg: EegConfig = EegConfig()
    model: ModelConfig = ModelConfig()
    pretrain: PretrainConfig = PretrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()

    def __post_init__(self):
        if (self.bold.denoising == "custom") != bool(self.bold.confounds):
            raise UsageError(
                f"bold.denoising is {self.bold.denoising} and bold.confounds has "
                f"{len(self.bold.confounds)} columns: give the columns with --bold-denoising "
                "custom, and only with it."
            )
        _check_band("bold", self.bold.high_pass_hz, self.bold.low_pass_hz)
        _check_band("eeg", self.eeg.high_pass_hz, self.eeg.low_pass_hz)
        if self.eeg.low_pass_hz >= self.eeg.sampling_hz / 2:
            raise UsageError(
                f"eeg low_pass_hz is {self.eeg.low_pass_hz:g} but sampling_hz is "
                f"{self.eeg.sampling_hz:g}: the low-pass must stay below half the sampling rate."
            )
        for section in fields(self):
            _check_values(section.name, getattr(self, section.name))


def memory_gb(text):
    """Convert a memory limit to GB.

    Parameters
    ----------
    text : str
        ``8G``, ``1.5 GB`` or ``8000M``. Numbers without a unit are read as GB up to 256 and as MB
        from 2000, because programs differ in their unit.

    Returns
    -------
    memory_gb : float

    Raises
    ------
    UsageError
        If it is not an amount of memory, or a number without a unit between 256 and 2000.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", str(text), re.IGNORECASE)
    if not match or float(match[1]) <= 0:
        raise UsageError(f"mem is {text!r}; expected a number with a unit, such as 8G or 8000M.")
    number, unit = float(match[1]), match[2].upper()
    if not unit and 256 < number < 2000:
        raise UsageError(f"mem is {text!r}, gigabytes or megabytes? Write {text}G or {text}M.")
    unit = unit or ("G" if number <= 256 else "M")
    return number * {"K": 1e-6, "M": 1e-3, "G": 1.0, "T": 1e3}[unit]


def split_derivative(word):
    """Split an argument of ``--derivatives``.

    Parameters
    ----------
    word : str
        ``PATH`` or ``NAME=PATH``.

    Returns
    -------
    name, path : str
        The name is empty where none is given.
    """
    match = re.fullmatch(r"([\w.-]+)=(.+)", word)
    return match.groups() if match else ("", word)


def _check_band(section, high_pass_hz, low_pass_hz):
    if low_pass_hz and high_pass_hz >= low_pass_hz:
        raise UsageError(
            f"{section} high_pass_hz is {high_pass_hz:g} and low_pass_hz is {low_pass_hz:g}: "
            "the high-pass cutoff must be below the low-pass cutoff."
        )


def _check_values(name, section):
    for item in fields(section):
        choices, least = item.metadata.get("choices"), item.metadata.get("at_least")
        value = getattr(section, item.name)
        for one in value if isinstance(value, tuple) else (value,):
            if choices and one not in choices:
                raise UsageError(
                    f"{name}.{item.name} is {one!r}; expected one of {', '.join(choices)}."
                )
        if least is not None and value is not None and value < least:
            raise UsageError(f"{name}.{item.name} is {value}; expected {least} or more.")
