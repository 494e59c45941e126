"""Every setting of brainfm, declared once.

The command line, the TOML file, the environment variables and the table in the
documentation are derived from these frozen sections (see ``brainfm.cli``).
"""

import re
from dataclasses import dataclass, field, fields
from pathlib import Path

from brainfm.errors import UsageError


def setting(default, help, *, flags=(), choices=None, unit=None, at_least=None):
    """Declare one setting: its default, one line of help and how it is spelled on the command line.

    Without ``flags`` the command line spells it ``--<section>-<name>``.
    """
    metadata = {"help": help, "flags": tuple(flags), "choices": choices, "unit": unit}
    metadata["at_least"] = at_least
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What is run, where, and with how much of the machine."""

    participant_label: tuple[str, ...] = setting(
        (), "participants to work on, with or without 'sub-'", flags=["--participant-label"]
    )
    session_label: tuple[str, ...] = setting(
        (), "sessions to work on", flags=["--session-label", "--session-id"]
    )
    task_label: tuple[str, ...] = setting(
        (), "tasks to work on", flags=["-t", "--task-id", "--task-label"]
    )
    run_label: tuple[str, ...] = setting((), "runs to work on", flags=["--run-id", "--run-label"])
    bids_filter_file: Path | None = setting(
        None,
        "JSON of {query: {entity: value}}, queries bold, t1w, eeg",
        flags=["--bids-filter-file"],
    )
    derivatives: tuple[str, ...] = setting(
        (), "existing derivatives as NAME=PATH", flags=["-d", "--derivatives"]
    )
    config_file: Path | None = setting(
        None, "TOML file of settings, such as the settings.toml of a run", flags=["--config-file"]
    )
    work_dir: Path | None = setting(
        None, "folder for intermediate files (default: OUTPUT_DIR/work)", flags=["-w", "--work-dir"]
    )
    nprocs: int | None = setting(
        None,
        "processes at once (default: the CPUs this job was given)",
        flags=["--nprocs", "--n-cpus", "--nthreads"],
        at_least=1,
    )
    omp_nthreads: int | None = setting(
        None,
        "threads of one process (default: nprocs - 1, at most 8)",
        flags=["--omp-nthreads"],
        at_least=1,
    )
    mem: str | None = setting(
        None,
        "memory limit with its unit, for instance 8G, 1.5G or 8000M",
        flags=["--mem", "--mem-mb", "--mem-gb"],
    )
    random_seed: int = setting(
        0, "seed of every random choice", flags=["--random-seed"], at_least=0
    )
    stop_on_first_crash: bool = setting(
        False, "stop everything when one step fails", flags=["--stop-on-first-crash"]
    )
    dry_run: bool = setting(
        False, "check the input, list what would be done and stop", flags=["--dry-run"]
    )
    reports_only: bool = setting(
        False, "only write the reports again from files already there", flags=["--reports-only"]
    )
    sloppy: bool = setting(
        False, "fast and rough, for tests: never for results", flags=["--sloppy"]
    )
    use_plugin: Path | None = setting(
        None, "YAML file of a Nipype plugin and its arguments", flags=["--use-plugin"]
    )
    resource_monitor: bool = setting(
        False, "record memory and CPU of every step", flags=["--resource-monitor"]
    )
    write_graph: bool = setting(
        False, "draw the workflow into OUTPUT_DIR/logs", flags=["--write-graph"]
    )
    verbose: int = setting(0, "say more; twice for still more", flags=["-v", "--verbose"])


@dataclass(frozen=True, kw_only=True)
class BoldConfig:
    """How one BOLD run becomes parcel time series."""

    fmri_engine: str = setting(
        "auto",
        "who preprocesses raw fMRI; auto: derivatives, else fmriprep, else builtin",
        flags=["--fmri-engine"],
        choices=("auto", "derivatives", "fmriprep", "builtin"),
    )
    fmriprep_container: str | None = setting(
        None, "image.sif or docker://NAME to run fMRIPrep from", flags=["--fmriprep-container"]
    )
    fs_license_file: Path | None = setting(
        None, "FreeSurfer licence handed to fMRIPrep", flags=["--fs-license-file"]
    )
    atlas: str = setting(
        "Schaefer100",
        "parcellation: Schaefer100, an atlas in TEMPLATEFLOW_HOME by its identifier, such as "
        "tpl-MNI152NLin2009cAsym_atlas-Schaefer2018_desc-200Parcels7Networks, or a NIfTI with a "
        "TSV of the same name",
        flags=["--atlas"],
    )
    n_dummy: int = setting(0, "volumes dropped at the start of each run", at_least=0)
    high_pass_hz: float = setting(0.008, "slower drifts are removed; 0 keeps them", unit="Hz")
    low_pass_hz: float = setting(0.1, "faster fluctuations are removed; 0 keeps them", unit="Hz")
    n_acompcor: int = setting(5, "aCompCor components regressed out", at_least=0)
    fd_threshold_mm: float = setting(
        0.5, "frames with more framewise displacement are counted as moved", unit="mm"
    )
    min_coverage: float = setting(0.5, "a parcel with a smaller part inside the scan is n/a")


@dataclass(frozen=True, kw_only=True)
class EegConfig:
    """How one raw EEG becomes clean EEG."""

    high_pass_hz: float = setting(0.5, "slower drifts are removed", unit="Hz")
    low_pass_hz: float = setting(75.0, "faster oscillations are removed", unit="Hz")
    line_hz: float | None = setting(
        None, "mains frequency (default: PowerLineFrequency of the sidecar)", unit="Hz"
    )
    sampling_hz: float = setting(200.0, "sampling rate of the result", unit="Hz")
    ica_threshold: float = setting(
        0.8, "a component labelled eye, muscle, heart, line or channel noise above this "
        "probability is removed; 1 removes none"
    )  # fmt: skip
    max_bad_share: float = setting(
        0.5, "a recording with a larger share of bad channels is refused"
    )


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which pretrained model embeds the recordings, and how."""

    model: str = setting(
        "brainfm-tiny",
        "packaged checkpoint, path to one, or org/name[@revision] on the Hugging Face Hub",
        flags=["--model"],
    )
    device: str = setting(
        "auto",
        "where the model runs; auto: cuda when there is one",
        flags=["--device"],
        choices=("auto", "cpu", "cuda"),
    )
    batch_size: int = setting(32, "windows embedded at once", at_least=1)


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """How the group level pretrains on the corpus."""

    preset: str = setting("tiny", "size of the encoder", choices=("nano", "tiny", "small", "base"))
    tokenizer: str = setting(
        "patch", "what makes a vector of a patch", choices=("patch", "conv", "recurrent")
    )
    max_epochs: int = setting(20, "passes over the corpus", at_least=1)
    batch_size: int = setting(32, "windows of one step", at_least=1)
    learning_rate: float = setting(1e-3, "highest learning rate")
    bold_window_s: float = setting(120.0, "window of BOLD, a multiple of 12 s", unit="s")
    eeg_window_s: float = setting(10.0, "window of EEG, a multiple of 1 s", unit="s")
    phenotypes: tuple[str, ...] = setting(
        (), "columns of participants.tsv to learn from too, such as age sex; by default, no labels"
    )

    @property
    def model_name(self):
        """Name of the model; one that has seen labels is told by it."""
        return f"brainfm-{self.preset}" + ("-phenotypes" if self.phenotypes else "")


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """How ``python -m brainfm.cli.pretrain`` uses machines; no part of the two levels."""

    n_processes: int = setting(1, "processes (GPUs) of each machine; they share each batch")
    n_nodes: int = setting(1, "machines; more than one needs srun or torchrun")
    precision: str = setting(
        "32", "bf16 encodes in bfloat16, weights and losses stay float32", choices=("32", "bf16")
    )
    patience: int | None = setting(
        None, "stop after so many epochs without a lower validation loss, keep the best weights"
    )
    n_workers: int = setting(0, "processes that cut crops beside each training process")
    keep_every_s: float = setting(
        600.0, "time between two states within an epoch; one is kept after each epoch", unit="s"
    )

    def __post_init__(self):
        _check_choices("loop", self)
        for name, least in {"n_processes": 1, "n_nodes": 1, "patience": 1, "n_workers": 0}.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"{name} is {value}; expected at least {least}.")


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What the group level predicts, and how it is scored."""

    target: str | None = setting(None, "column of participants.tsv to predict", flags=["--target"])
    contrast: tuple[str, ...] = setting(
        (), "two tasks to tell apart, for instance eyesopen eyesclosed", flags=["--contrast"]
    )
    groups: str | None = setting(
        None,
        "column of participants.tsv, such as site: leave one of its values out at a time, and "
        "compare people within a value only",
        flags=["--groups"],
    )
    confounds: tuple[str, ...] = setting(
        ("site", "age", "sex", "mean_fd"),
        "columns of participants.tsv that are read from the embedding and regressed out, of the "
        "default ones those that exist; mean_fd is also taken from the quality files of brainfm",
    )
    networks: tuple[str, ...] = setting(
        (),
        "networks of the Schaefer atlas, for instance Cont SalVentAttn DorsAttn: their "
        "connectivity to the whole brain joins the methods, and what it rests on is drawn",
        flags=["--networks"],
    )
    n_splits: int = setting(
        5,
        "folds of the cross-validation; where tasks of few people are told apart, at most the "
        "recordings of a task, or of one recording at least 8 blocks of time if it is long enough",
        at_least=2,
    )
    n_permutations: int = setting(
        200, "label permutations behind the p value; 0: no p value", at_least=0
    )
    n_episodes: int = setting(
        50, "few-shot episodes of each number of people; 0: no curves", at_least=0
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All sections; the name of each is its table in the TOML file."""

    run: RunConfig = RunConfig()
    bold: BoldConfig = BoldConfig()
    eeg: EegConfig = EegConfig()
    model: ModelConfig = ModelConfig()
    pretrain: PretrainConfig = PretrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()

    def __post_init__(self):
        _check_band("bold", self.bold.high_pass_hz, self.bold.low_pass_hz)
        _check_band("eeg", self.eeg.high_pass_hz, self.eeg.low_pass_hz)
        if self.eeg.low_pass_hz >= self.eeg.sampling_hz / 2:
            raise UsageError(
                f"eeg low_pass_hz is {self.eeg.low_pass_hz:g} but sampling_hz is "
                f"{self.eeg.sampling_hz:g}: the low-pass must stay below half the sampling rate."
            )
        for section in fields(self):
            _check_choices(section.name, getattr(self, section.name))
            _check_least(section.name, getattr(self, section.name))


def memory_gb(text):
    """Read a memory limit, in GB.

    Parameters
    ----------
    text : str
        ``8G``, ``1.5 GB``, ``8000M``. Without a unit, up to 256 is taken as GB and from 2000
        as MB, since other programs differ in what they mean by a bare number.

    Raises
    ------
    UsageError
        If it is no amount of memory, or a bare number between the two.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", str(text), re.IGNORECASE)
    if not match or float(match[1]) <= 0:
        raise UsageError(f"mem is {text!r}; expected a number with a unit, such as 8G or 8000M.")
    number, unit = float(match[1]), match[2].upper()
    if not unit and 256 < number < 2000:
        raise UsageError(f"mem is {text!r}, gigabytes or megabytes? Write {text}G or {text}M.")
    unit = unit or ("G" if number <= 256 else "M")
    return number * {"K": 1e-6, "M": 1e-3, "G": 1.0, "T": 1e3}[unit]


def _check_band(section, high_pass_hz, low_pass_hz):
    if low_pass_hz and high_pass_hz >= low_pass_hz:
        raise UsageError(
            f"{section} high_pass_hz is {high_pass_hz:g} and low_pass_hz is {low_pass_hz:g}: "
            "nothing would be left; the high-pass must be the lower of the two."
        )


def _check_choices(name, section):
    for item in fields(section):
        choices, value = item.metadata.get("choices"), getattr(section, item.name)
        if choices and value not in choices:
            raise UsageError(
                f"{name}.{item.name} is {value!r}; expected one of {', '.join(choices)}."
            )


def _check_least(name, section):
    for item in fields(section):
        least, value = item.metadata["at_least"], getattr(section, item.name)
        if least is not None and value is not None and value < least:
            raise UsageError(f"{name}.{item.name} is {value}; expected {least} or more.")
