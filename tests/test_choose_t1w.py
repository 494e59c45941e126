"""Which T1w image of several is used, and that the user is told."""

import logging

import nibabel as nib
import numpy as np
import pytest
from skeleton import write_skeleton
from test_preflight import check, texts

from brainfm.cli.messages import log_plan
from brainfm.config import Settings
from brainfm.stages.query.plan import plan_participant
from brainfm.storage.bids.choose_t1w import t1w_for
from brainfm.storage.bids.query import RawRun


def image(tmp_path, entities, *, voxel_mm=(1, 1, 1), size_mm=160, is_damaged=False):
    """A T1w image of sub-01 with further entities, such as ``acq-a_run-1``."""
    stem = "_".join(filter(None, ["sub-01", entities, "T1w"]))
    path = tmp_path / f"{stem}.nii"
    shape = [round(size_mm / edge / 4) for edge in voxel_mm]
    header = nib.Nifti1Image(np.zeros(shape, np.uint8), np.diag([*voxel_mm, 1])).header
    header.set_data_shape([4 * n for n in shape])
    content = np.zeros(1, header.structarr.dtype)
    content[0] = header.structarr
    path.write_bytes(b"" if is_damaged else content.tobytes())
    found = dict(part.split("-") for part in stem.split("_")[:-1])
    return RawRun(path=path, modality="t1w", entities=found)


def chosen(images, session=None):
    entities = {"sub": "01"} | ({"ses": session} if session else {})
    run = RawRun(path=images[0].path, modality="bold", entities=entities)
    stems = {t1w_for(run, order).stem.removeprefix("sub-01_") for order in (images, images[::-1])}
    assert len(stems) == 1
    return stems.pop()


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        (("acq-Localizer", {}), ("acq-mprage", {})),
        (("acq-AAHeadScout32ch", {}), ("acq-mprage", {"voxel_mm": (2, 2, 2)})),
        (("acq-a", {"is_damaged": True}), ("acq-b", {"voxel_mm": (1, 1, 4)})),
        (("acq-a", {"size_mm": 60}), ("acq-b", {"voxel_mm": (2, 2, 2)})),
        (("acq-a", {"voxel_mm": (0.5, 0.5, 5)}), ("acq-b", {})),
        (("ce-gadolinium", {}), ("run-2", {})),
        (("part-phase", {}), ("run-2", {})),
        (("run-10", {}), ("run-2", {})),
        (("ses-1_run-1", {"voxel_mm": (0.8, 0.8, 0.8)}), ("ses-2", {})),
        (("ses-2_acq-scout", {}), ("ses-1", {})),
    ],
)
def test_the_better_image_is_chosen_in_any_order(tmp_path, worse, better):
    images = [image(tmp_path, name, **options) for name, options in (worse, better)]
    assert chosen(images, session="2") == better[0]


def test_without_an_image_there_is_no_choice():
    run = RawRun(path="x", modality="bold", entities={"sub": "01"})
    assert t1w_for(run, [run]) is None


def test_the_choice_is_told_and_a_damaged_image_that_is_not_used_is_no_problem(tmp_path, caplog):
    raw = write_skeleton(tmp_path / "raw", ("01",), eeg=False)
    first = raw / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    first.with_name("sub-01_acq-other_T1w.nii.gz").write_bytes(b"")
    checks = check(raw)
    assert not texts(checks)
    plans = plan_participant(
        tmp_path / "out", list(checks.runs), settings=Settings(), engine="builtin",
        model=lambda: "x",
    )  # fmt: skip
    with caplog.at_level(logging.INFO):
        log_plan(logging.getLogger("brainfm"), {"01": plans}, checks)
    assert "T1w image: sub-01_T1w, one of 2" in caplog.text
