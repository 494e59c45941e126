"""Compare ways to store a corpus: memory-mapped .npy, Zarr v3, Arrow through Hugging Face datasets.

    python benchmarks/corpus_storage.py WORK_DIR ROOT [ROOT ...] [--n-recordings 200]
        [--n-windows 2000] [--n-rows 10000] [--seed 0]

Each ROOT is a dataset of standardised recordings (parcel series, clean EEG). Up to N_RECORDINGS
of each are stored in every way, and the same random windows (20 s of EEG, 120 s of BOLD, all
channels) are read from each: warm, cold (each file dropped from the page cache before) and over
HTTP with ranges from this machine. The best of three counts; where nothing waits (warm) it is the
time of the processor, which other work on the machine changes little. Prints one Markdown table,
and what a manifest of N_ROWS rows takes. Needs ``zarr``, ``datasets`` and ``fsspec[http]``, which
brainfm itself does not.
"""

import argparse
import gc
import http.client
import os
import shutil
import threading
import time
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from mmap import ACCESS_READ, mmap
from pathlib import Path

import datasets
import fsspec
import numpy as np
import pyarrow as pa
import zarr

from brainfm.storage.corpus.changes import merge_rows
from brainfm.storage.corpus.manifest import read_manifest
from brainfm.storage.corpus.recordings import read_corpus, store_recording
from brainfm.storage.derivatives.recordings import find_recordings

WINDOW_S = {"bold": 120.0, "eeg": 20.0}
_HEADER = 128


class Npy:
    """One file a recording, time first; mapped again for each window, as brainfm does it.

    Shapes come from the manifest, and the header of these files has 128 bytes.
    """

    name = "`.npy`, memory-mapped"

    def __init__(self, folder):
        self.folder, self.shapes = folder, {}
        folder.mkdir(parents=True, exist_ok=True)

    def append(self, signal, index):
        np.save(self.folder / f"{index}.npy", signal)
        self.shapes[index] = signal.shape

    def remove(self, index):
        (self.folder / f"{index}.npy").unlink()

    def read(self, index, start, stop):
        n_times, n_channels = self.shapes[index]
        with open(self.folder / f"{index}.npy", "rb") as file:
            mapped = mmap(file.fileno(), 0, access=ACCESS_READ)
        signal = np.frombuffer(mapped, np.float32, n_times * n_channels, _HEADER)
        return signal.reshape(n_times, n_channels)[start:stop].copy()

    def fetch(self, server, index, start, stop):
        n_channels = self.shapes[index][1]
        begin, end = (_HEADER + 4 * n_channels * sample for sample in (start, stop))
        data = server.get(f"{self.folder.name}/{index}.npy", begin, end)
        return np.frombuffer(data, np.float32).reshape(-1, n_channels)


class Zarr:
    """One array a recording; chunks of one window in one shard a recording."""

    def __init__(self, folder, compressors, label):
        self.folder, self.compressors = folder, compressors
        self.name = f"Zarr v3, sharded, {label}"
        self.group = zarr.open_group(folder, mode="a", zarr_format=3)
        self.opened, self.remote = {}, {}

    def append(self, signal, index):
        chunk = min(len(signal), max(64, round(2**16 / signal.shape[1] / 4)))
        shard = -(-len(signal) // chunk) * chunk
        array = self.group.create_array(
            str(index), shape=signal.shape, dtype=signal.dtype, chunks=(chunk, signal.shape[1]),
            shards=(shard, signal.shape[1]), compressors=self.compressors,
        )  # fmt: skip
        array[:] = signal

    def remove(self, index):
        self.opened.pop(index, None)
        del self.group[str(index)]

    def read(self, index, start, stop):
        if index not in self.opened:
            self.opened[index] = self.group[str(index)]
        return self.opened[index][start:stop]

    def fetch(self, server, index, start, stop):
        if index not in self.remote:
            url = f"{server.url}/{self.folder.name}/{index}"
            self.remote[index] = zarr.open_array(url, mode="r", zarr_format=3)
        return self.remote[index][start:stop]


class Arrow:
    """One row a recording, samples as one list; appended as parts, which are concatenated."""

    name = "Arrow, Hugging Face `datasets`"

    def __init__(self, folder, *, zero_copy):
        self.folder, self.zero_copy, self.waiting = folder, zero_copy, []
        self.name += ", views of the table" if zero_copy else ", rows"
        self.remote = None
        folder.mkdir(parents=True, exist_ok=True)

    def append(self, signal, index):
        self._write([signal], [index], f"part-{index}")

    def append_all(self, signals):
        self._write(signals, list(range(len(signals))), "part-all")

    def _write(self, signals, indices, name):
        columns = {
            "signal": [signal.ravel() for signal in signals],
            "shape": [signal.shape for signal in signals],
            "index": indices,
        }
        datasets.Dataset.from_dict(columns, features=_FEATURES).save_to_disk(self.folder / name)
        _table.cache_clear()

    def remove(self, index):
        """Arrow files are not changed in place: all other rows are written again."""
        rest = _table(self.folder).filter(lambda i: i != index, input_columns="index")
        rest.save_to_disk(f"{self.folder}-rest")
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        os.rename(f"{self.folder}-rest", self.folder / "part-rest")
        _table.cache_clear()

    def read(self, index, start, stop):
        table = _table(self.folder)
        if not self.zero_copy:
            row = table[index]
            return row["signal"].reshape(row["shape"])[start:stop]
        values = table.data.column("signal")[index].values.to_numpy()
        shape = table.data.column("shape")[index].values.to_numpy()
        return np.array(values.reshape(shape)[start:stop])

    def fetch(self, server, index, start, stop):
        """Save_to_disk writes a stream: to reach a row, all before it is read, here all at once."""
        if self.remote is None:
            (path,) = sorted(self.folder.glob("part-all/*.arrow"))
            url = f"{server.url}/{path.relative_to(self.folder.parent)}"
            with fsspec.open(url) as file:
                self.remote = pa.ipc.open_stream(file.read()).read_all()
        shape = self.remote.column("shape")[index].values.to_numpy()
        return self.remote.column("signal")[index].values.to_numpy().reshape(shape)[start:stop]


_FEATURES = datasets.Features(
    signal=datasets.List(datasets.Value("float32")),
    shape=datasets.List(datasets.Value("int64")),
    index=datasets.Value("int64"),
)


@cache
def _table(folder):
    parts = [datasets.load_from_disk(path) for path in sorted(folder.glob("part-*"))]
    return datasets.concatenate_datasets(parts).with_format("numpy")


class Server:
    """Files of a folder over HTTP, with ranges, as object stores give them."""

    def __init__(self, folder):
        self.n_bytes = 0
        handler = partial(_Ranges, directory=str(folder))
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.http.counted = self
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.connection = http.client.HTTPConnection("127.0.0.1", self.http.server_port)

    def get(self, path, begin, end):
        self.connection.request("GET", f"/{path}", headers={"Range": f"bytes={begin}-{end - 1}"})
        return self.connection.getresponse().read()


class _Ranges(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        size, wanted = path.stat().st_size, self.headers.get("Range")
        first, last = 0, size - 1
        if wanted:
            low, _, high = wanted.removeprefix("bytes=").partition("-")
            first, last = (int(low), int(high or last)) if low else (size - int(high), last)
        last = min(last, size - 1)
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("Accept-Ranges", "bytes")
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.end_headers()
        with path.open("rb") as file:
            file.seek(first)
            self.wfile.write(file.read(last - first + 1))
        self.server.counted.n_bytes += last - first + 1

    def log_message(self, *_):
        """Print nothing."""


def main():
    """Store, read, append, remove; print the table."""
    arguments = _arguments()
    datasets.disable_progress_bars()
    rng = np.random.default_rng(arguments.seed)
    recordings = [
        one for root in arguments.roots for one in find_recordings(root)[: arguments.n_recordings]
    ]
    signals = [np.ascontiguousarray(one.signal) for one in recordings]
    windows = draw_windows(recordings, arguments.n_windows, rng)
    shutil.rmtree(arguments.work_dir, ignore_errors=True)
    ways = [
        Npy(arguments.work_dir / "npy"),
        Zarr(arguments.work_dir / "zarr-none", None, "not compressed"),
        Zarr(arguments.work_dir / "zarr-zstd", "auto", "zstd"),
        Arrow(arguments.work_dir / "arrow", zero_copy=True),
        Arrow(arguments.work_dir / "arrow-rows", zero_copy=False),
    ]
    megabytes = sum(signal.nbytes for signal in signals) / 1e6
    print(
        f"{len(signals)} recordings, {megabytes:.0f} MB of float32; {len(windows)} windows; "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}\n"
    )
    print("| storage | windows/s warm (CPU) | windows/s cold | ms a window over HTTP (MB read) "
          "| MB on disk (files) | write all, s | append one, ms | remove one, ms |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    server = Server(arguments.work_dir)
    for way in ways:
        print(row_of(way, signals, windows, server), flush=True)
    print("\n" + manifest_sentence(arguments.work_dir / "corpus", recordings[0], arguments.n_rows))


def draw_windows(recordings, n_windows, rng):
    """Draw (recording, first sample, end), longer recordings more often."""
    lengths = np.array([round(WINDOW_S[one.modality] * one.sampling_hz) for one in recordings])
    sizes = np.array([one.duration_s / WINDOW_S[one.modality] for one in recordings])
    drawn = rng.choice(len(recordings), n_windows, p=sizes / sizes.sum())
    starts = [rng.integers(max(recordings[i].shape[0] - lengths[i], 0) + 1) for i in drawn]
    return [
        (int(i), int(start), int(start + lengths[i]))
        for i, start in zip(drawn, starts, strict=True)
    ]


def row_of(way, signals, windows, server):
    """Measure one way; what is read is checked against what was stored."""
    began = time.perf_counter()
    if hasattr(way, "append_all"):
        way.append_all(signals)
    else:
        for index, signal in enumerate(signals):
            way.append(signal, index)
    written = time.perf_counter() - began
    files = [path for path in way.folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / 1e6
    for index, start, stop in windows[:20]:
        np.testing.assert_array_equal(way.read(index, start, stop), signals[index][start:stop])
        np.testing.assert_array_equal(
            way.fetch(server, index, start, stop), signals[index][start:stop]
        )
    warm = len(windows) / min(
        seconds(partial(read_all, way, windows), clock=time.process_time) for _ in range(3)
    )
    cold = len(windows) / min(cold_seconds(way, windows) for _ in range(3))
    remote, read = min(remote_seconds(way, windows[: len(windows) // 10], server) for _ in range(3))
    added = range(len(signals), len(signals) + 3)
    append = min(seconds(partial(way.append, signals[0], index)) for index in added)
    remove = min(seconds(partial(way.remove, index)) for index in added)
    return (
        f"| {way.name} | {warm:.0f} | {cold:.0f} | {1e3 * remote:.1f} ({read:.0f}) "
        f"| {size:.0f} ({len(files)}) | {written:.1f} | {1e3 * append:.1f} | {1e3 * remove:.1f} |"
    )


def remote_seconds(way, windows, server):
    """Seconds a window over HTTP, nothing opened before, and megabytes read for all of them."""
    way.remote = None if isinstance(way, Arrow) else {}
    server.n_bytes = 0
    took = seconds(lambda: [way.fetch(server, *window).sum() for window in windows])
    return took / len(windows), server.n_bytes / 1e6


def cold_seconds(way, windows, n_rounds=10):
    """Seconds for all windows, the page cache emptied before each tenth of them."""
    total = 0.0
    for number in range(n_rounds):
        way.opened = {}
        _table.cache_clear()  # what is mapped stays in the cache
        gc.collect()
        drop(way.folder)
        total += seconds(partial(read_all, way, windows[number::n_rounds]))
    return total


def read_all(way, windows):
    """Read windows and touch each number."""
    for window in windows:
        way.read(*window).sum()


def drop(folder):
    """Write out all files and take them from the page cache."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def seconds(call, clock=time.perf_counter):
    """Time one call."""
    began = clock()
    call()
    return clock() - began


def manifest_sentence(folder, recording, n_rows):
    """Time brainfm's manifest with rows of so many people, each of one recording."""
    row, layout = store_recording(folder, recording, "source")
    stored = [(row | {"participant": f"{number:06d}"}, layout) for number in range(n_rows)]
    merge_rows(folder, stored)
    read = min(seconds(lambda: read_manifest(folder)) for _ in range(3))
    opened = min(seconds(lambda: read_corpus(folder)) for _ in range(3))
    merged = min(seconds(lambda: merge_rows(folder, stored[:1])) for _ in range(3))
    size = (folder / "manifest.tsv").stat().st_size / 1e6
    return (
        f"A manifest of {n_rows} rows ({size:.1f} MB): read in {read:.2f} s, as recordings in "
        f"{opened:.2f} s; one more row in {merged:.2f} s."
    )


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work_dir", type=Path)
    parser.add_argument("roots", type=Path, nargs="+")
    parser.add_argument("--n-recordings", type=int, default=200)
    parser.add_argument("--n-windows", type=int, default=2000)
    parser.add_argument("--n-rows", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
