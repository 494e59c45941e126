"""State of each recording, written to the status files while the workflow runs."""

import contextlib
from collections import defaultdict
from dataclasses import replace

from brainfm.errors import BrainFMError, Failure, StepFailed, TemporaryFailure, worst_exit_code
from brainfm.files import write_text
from brainfm.storage.derivatives.status import assign_outputs, read_status, write_status

_OUTPUT_ENDINGS = {
    "bold": ("_desc-denoised_timeseries.tsv", "_embedding.npy"),
    "eeg": ("_desc-preproc_eeg.vhdr", "_embedding.npy"),
}


class RunTracker:
    """Track the recordings of a run and write their states.

    Parameters
    ----------
    output_dir : Path
    log_dir : Path
        Folder of this call; tracebacks of failed steps go to ``crash`` in it.
    plans : dict of str to list of RunPlan
        By participant, of those that this call processes.
    """

    def __init__(self, output_dir, log_dir, *, plans):
        self.output_dir, self.log_dir, self.plans = output_dir, log_dir, plans
        self.failures = defaultdict(dict)
        self.progress = None
        self._status = {label: read_status(output_dir, label) for label in plans}
        self._label_of = {
            name: label
            for label, own in plans.items()
            for plan in own
            for name in (plan.run.name, plan.upstream)
        }

    @property
    def exit_code(self):
        """Exit code of the failures of this call; 0 without one."""
        return worst_exit_code(one for own in self.failures.values() for one in own.values())

    @property
    def seconds(self):
        """{recording: {step: seconds}} of the steps that ran in this call."""
        return self.progress.seconds if self.progress else {}

    def errors_of(self, label):
        """Describe the failed recordings of a participant.

        Parameters
        ----------
        label : str

        Returns
        -------
        list of str
        """
        return [f"{name}: {failure}" for name, failure in self.failures.get(label, {}).items()]

    def recording(self, label, name):
        """Return the entry of a recording in the status of its participant.

        Parameters
        ----------
        label, name : str

        Returns
        -------
        dict
            Empty when there is none.
        """
        return self._status[label]["recordings"].get(name, {})

    def begin(self):
        """Write that the run begins, so that a killed run is recognised later."""
        for label, plans in self.plans.items():
            for plan in plans:
                if not plan.is_done:
                    valid = {} if plan.preprocess else self._preprocessed(label, plan)
                    entry = {**valid, "state": "running", "keys": plan.keys}
                    self._status[label]["recordings"][plan.run.name] = entry
            self._status[label].pop("problems", None)
            write_status(self.output_dir, self._status[label], state="running")

    def note_done(self, name):
        """Write at once that a recording (or an anatomy) is complete, with its checksums.

        Parameters
        ----------
        name : str
            Name of the recording.
        """
        label = self._label_of[name]
        for plan in self.plans[label]:
            if plan.run.name == name:
                self._note_recording(label, plan)
            elif plan.upstream == name and plan.engine == "builtin":
                self._note_anatomy(label, plan.t1w)
                return

    def note_failed(self, name, failure):
        """Write at once that a recording failed, or all those that need a failed anatomy.

        Parameters
        ----------
        name : str
            Name of the recording, or of the part of the workflow that several share.
        failure : Failure
        """
        crash_file, label = self._write_traceback(name, failure), self._label_of[name]
        affected = [one for one in self.plans[label] if name in (one.run.name, one.upstream)]
        for plan in [one for one in affected if self._is_running(label, one)]:
            if plan.upstream == name:
                entry = self._failed(name, replace(failure, participant=label), crash_file)
                self._status[label]["recordings"][name] = entry
            self._fail(label, plan, failure, crash_file)
        write_status(self.output_dir, self._status[label], state="running")

    def finish(self):
        """Write the final state of each participant."""
        error = StepFailed("not run, because the workflow stopped at an earlier failure.")
        for label in self.plans:
            self._fail_running(label, error)
            entries = self._status[label]["recordings"].values()
            failed = any(entry.get("state") == "failed" for entry in entries)
            write_status(self.output_dir, self._status[label], state="failed" if failed else "done")

    def stop(self, error):
        """Write that the run was stopped; finished recordings stay.

        Parameters
        ----------
        error : BaseException
            The error or signal that stopped it.
        """
        if not isinstance(error, Exception):
            reason = str(error) or type(error).__name__
            error = TemporaryFailure(f"stopped early ({reason}); run the same command again.")
        for label in self.plans:
            self._fail_running(label, error)
            with contextlib.suppress(BrainFMError):  # a full disk is reported anyway
                write_status(self.output_dir, self._status[label], state="failed")

    def _is_running(self, label, plan):
        return self.recording(label, plan.run.name).get("state") == "running"

    def _fail_running(self, label, error):
        for plan in self.plans[label]:
            if self._is_running(label, plan):
                self._fail(label, plan, Failure.from_exception(error), None)

    def _fail(self, label, plan, failure, crash_file):
        name, failure = plan.run.name, replace(failure, participant=label)
        entry = self._preprocessed(label, plan) | self._failed(name, failure, crash_file)
        self._status[label]["recordings"][name] = {**entry, "keys": plan.keys}
        self.failures[label][name] = failure

    def _failed(self, name, failure, crash_file):
        return {
            "state": "failed",
            "error": str(failure),
            "failure": failure.as_dict(),
            "crash_file": crash_file,
            "seconds": self.seconds.get(name, {}),
        }

    def _write_traceback(self, name, failure):
        """Write the traceback of a failed step; return its path below the output, if any."""
        if not failure.traceback:
            return None
        path = self.log_dir / "crash" / f"{name}_{failure.step.rpartition('.')[2]}.txt"
        try:
            write_text(path, f"Step: {failure.step}\n\n{failure.traceback}")
        except BrainFMError:  # a full disk is reported anyway
            return None
        return str(path.relative_to(self.output_dir))

    def _note_recording(self, label, plan):
        name, endings = plan.run.name, _OUTPUT_ENDINGS[plan.run.modality]
        outputs = assign_outputs(self.output_dir, plan.run)
        missing = [ending for ending in endings if not any(n.endswith(ending) for n in outputs)]
        if missing:
            error = StepFailed(
                f"all steps ended, but there is no file *{missing[0]}; was it removed during the "
                "run? Run the same command again."
            )
            self._fail(label, plan, Failure.from_exception(error), None)
        else:
            standardised = self._newest(outputs, endings[0])
            entry = {**self._done(name, outputs), "keys": plan.keys, "standardised": standardised}
            self._status[label]["recordings"][name] = entry
        write_status(self.output_dir, self._status[label], state="running")

    def _note_anatomy(self, label, t1w):
        entry = self._done(t1w.name, assign_outputs(self.output_dir, t1w))
        self._status[label]["recordings"][t1w.name] = entry
        write_status(self.output_dir, self._status[label], state="running")

    def _done(self, name, outputs):
        return {
            "state": "done",
            "seconds": self.seconds.get(name, {}),
            "peak_memory_gb": self.progress.peak_gb.get(name),
            "outputs": outputs,
        }

    def _newest(self, outputs, ending):
        """Return the file of this call among several, as after a change of atlas."""
        found = [name for name in outputs if name.endswith(ending)]
        return max(found, key=lambda name: (self.output_dir / name).stat().st_mtime, default=None)

    def _preprocessed(self, label, plan):
        """Return the part of the status about preprocessed files; embedding leaves them valid."""
        entry = self.recording(label, plan.run.name)
        if not entry.get("outputs"):
            return {}
        outputs = {name: sha for name, sha in entry["outputs"].items() if "_embedding." not in name}
        return {"outputs": outputs, "standardised": entry.get("standardised")}
