"""Fixtures every test may use."""

import os
import sys
import tarfile
from pathlib import Path

import pytest
from participant_level import brainfm, raw  # noqa: F401  (fixtures)

os.environ.setdefault("MPLBACKEND", "Agg")
# Tools of this environment (ruff, lint-imports, bids-validator-deno) are run by their names.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


@pytest.fixture(scope="session")
def real_data(tmp_path_factory):
    """Function that unpacks one archive of ``$BRAINFM_TEST_DATA`` and returns its dataset folder.

    The test is skipped when the variable is unset or the archive is not there.
    """
    unpacked = {}

    def unpack(name):
        folder = os.environ.get("BRAINFM_TEST_DATA")
        if not folder:
            pytest.skip("BRAINFM_TEST_DATA is unset")
        archives = sorted(Path(folder).glob(f"{name}.tar.*"))
        if not archives:
            pytest.skip(f"{name} is not in BRAINFM_TEST_DATA")
        if name not in unpacked:
            target = tmp_path_factory.mktemp(name)
            with tarfile.open(archives[0]) as archive:
                archive.extractall(target, filter="data")
            unpacked[name] = next(path for path in target.iterdir() if path.is_dir())
        return unpacked[name]

    return unpack
