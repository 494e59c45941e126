"""What came of each recording, kept in the status files while the workflow runs."""

import contextlib
import threading
from collections import defaultdict

from brainfm.errors import BrainFMError
from brainfm.storage.derivatives.status import assign_outputs, read_status, write_status

_TEMPORARY = ("TemporaryFailure", "MemoryError")
_OUT_OF_SPACE = ("ReadWriteFailed", "No space left on device", "Disk quota exceeded")
_ENDINGS = {
    "bold": ("_desc-denoised_timeseries.tsv", "_embedding.npy"),
    "eeg": ("_desc-preproc_eeg.vhdr", "_embedding.npy"),
}


class RunTracker:
    """Follow the recordings of a run.

    Parameters
    ----------
    output_dir : Path
    log_dir : Path
        Folder of this call; crash files are named relative to the output.
    runs : iterable of RawRun
        All runs of the preflight.
    plans : dict of str to list of RunPlan
        Of the participants worked on.
    """

    def __init__(self, output_dir, log_dir, *, runs, plans):
        self.output_dir, self.log_dir, self.plans = output_dir, log_dir, plans
        self.runs = list(runs)
        self.errors = defaultdict(list)
        self.progress = None
        self._status = {label: read_status(output_dir, label) for label in plans}
        self._lock = threading.Lock()

    @property
    def is_temporary(self):
        """True when trying again may help."""
        return any(text.startswith(_TEMPORARY) for _, text in self._sentences())

    @property
    def is_out_of_space(self):
        """True when reading or writing stopped, most likely on a full disk."""
        return any(_is_about_storage(text) for _, text in self._sentences())

    @property
    def seconds(self):
        """{recording: {step: seconds}} of what ran in this call."""
        return self.progress.seconds if self.progress else {}

    def state_of(self, label):
        """Return the state of a participant as its status file has it."""
        return self._status[label]["state"]

    def recording(self, label, name):
        """Return the entry of one recording in the status of its participant."""
        return self._status[label]["recordings"].get(name, {})

    def begin(self):
        """Note that work begins, so that a killed run is known as one."""
        for label, tasks in self.plans.items():
            for task in tasks:
                if not task.is_done:
                    kept = {} if task.preprocess else self._cleaned(label, task)
                    entry = {**kept, "state": "running", "keys": task.keys}
                    self._status[label]["recordings"][task.run.name] = entry
            self._status[label].pop("problems", None)
            write_status(self.output_dir, self._status[label], state="running")

    def note_done(self, key):
        """Note at once that a recording is complete, with the checksums of its files."""
        for label, tasks in self.plans.items():
            for task in tasks:
                if task.run.name == key:
                    self._note(label, task)
                elif task.upstream == key and task.engine == "builtin":
                    self._note_anatomy(label, task.t1w)
                    return

    def finish(self, crashes, *, steps):
        """Note what failed and why, and the final state of each participant.

        Parameters
        ----------
        crashes : list of (str, str, Path)
            From :func:`brainfm.workflows.runner.execute`.
        steps : dict of str to set of str
            The names of the steps of each recording, as they were before the run.
        """
        home = {step: key for key, names in steps.items() for step in names}
        by_recording = {home.get(node, node): (text, path) for node, text, path in crashes}
        for label, tasks in self.plans.items():
            for task in tasks:
                entry = self.recording(label, task.run.name)
                if entry.get("state") == "running":
                    self._fail(label, task, by_recording)
            entries = self._status[label]["recordings"].values()
            failed = any(entry.get("state") == "failed" for entry in entries)
            write_status(self.output_dir, self._status[label], state="failed" if failed else "done")

    def stop(self, error):
        """Note that the run ended before its end, whatever ended it; what is done stays done."""
        why = str(error) or type(error).__name__
        text = f"stopped before its end ({why}); run the same command again."
        for label, tasks in self.plans.items():
            for task in tasks:
                if self.recording(label, task.run.name).get("state") == "running":
                    entry = self._cleaned(label, task) | self._failed(task.run.name, text, None)
                    self._status[label]["recordings"][task.run.name] = {**entry, "keys": task.keys}
            with contextlib.suppress(BrainFMError):  # on a full disk, which is said anyway
                write_status(self.output_dir, self._status[label], state="failed")

    def _note(self, label, task):
        own = [run for run in self.runs if run.participant == label]
        outputs = assign_outputs(self.output_dir, task.run, own)
        missing = [end for end in _ENDINGS[task.run.modality] if not _any_ends(outputs, end)]
        entry = {
            "state": "failed" if missing else "done",
            "keys": task.keys,
            "seconds": self.seconds.get(task.run.name, {}),
            "peak_memory_gb": self.progress.peak_gb.get(task.run.name),
            "standardised": self._newest(outputs, _ENDINGS[task.run.modality][0]),
            "outputs": outputs,
        }
        if missing:
            entry["error"] = (
                f"all steps ended, but no file *{missing[0]} is there; was it removed meanwhile? "
                "Run the same command again."
            )
            self.errors[label].append(f"{task.run.name}: {entry['error']}")
        self._write(label, task.run.name, entry)

    def _newest(self, outputs, ending):
        """Of several, as after a change of atlas, the last written one is that of this call."""
        found = [name for name in outputs if name.endswith(ending)]
        return max(found, key=lambda name: (self.output_dir / name).stat().st_mtime, default=None)

    def _note_anatomy(self, label, t1w):
        entry = {
            "state": "done",
            "seconds": self.seconds.get(t1w.name, {}),
            "peak_memory_gb": self.progress.peak_gb.get(t1w.name),
            "outputs": assign_outputs(self.output_dir, t1w, self.runs),
        }
        self._write(label, t1w.name, entry)

    def _write(self, label, name, entry):
        with self._lock:
            self._status[label]["recordings"][name] = entry
            write_status(self.output_dir, self._status[label], state="running")

    def _fail(self, label, task, by_recording):
        names = [task.run.name, *([task.upstream] if task.upstream else [])]
        text, crash_file = "not run, since the workflow was stopped before.", None
        kept = self._cleaned(label, task)
        for name in [name for name in reversed(names) if name in by_recording]:
            text, path = by_recording[name]
            crash_file = str(path.relative_to(self.output_dir))
            self._status[label]["recordings"][name] = self._failed(name, text, crash_file)
        entry = kept | self._failed(task.run.name, text, crash_file)
        self._status[label]["recordings"][task.run.name] = {**entry, "keys": task.keys}
        self.errors[label].append(f"{task.run.name}: {text}")

    def _cleaned(self, label, task):
        """What the status says of preprocessed files: it stays true while embedding."""
        entry = self.recording(label, task.run.name)
        if not entry.get("outputs"):
            return {}
        outputs = {name: sha for name, sha in entry["outputs"].items() if "_embedding." not in name}
        return {"outputs": outputs, "standardised": entry.get("standardised")}

    def _failed(self, name, text, crash_file):
        seconds = self.seconds.get(name, {})
        return {"state": "failed", "error": text, "crash_file": crash_file, "seconds": seconds}

    def _sentences(self):
        for status in self._status.values():
            for name, entry in status["recordings"].items():
                if entry.get("state") == "failed":
                    yield name, entry.get("error") or ""


def _any_ends(outputs, ending):
    return any(name.endswith(ending) for name in outputs)


def _is_about_storage(text):
    return any(words in text for words in _OUT_OF_SPACE)
