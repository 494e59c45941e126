"""Orientation, voxel size, unit and shape in the header of raw images, before work starts."""

import nibabel as nib
import numpy as np
import pytest
from skeleton import write_skeleton
from test_preflight import check, texts

from brainfm.storage.bids.validate_geometry import orientation_note

AFFINE = np.array([[0, 0, 3, -10], [-3, 0, 0, 20], [0, 3.5, 0, -30], [0, 0, 0, 1.0]])
BOLD, T1W = "func/sub-01_task-rest_bold.nii.gz", "anat/sub-01_T1w.nii.gz"


@pytest.fixture
def raw(tmp_path):
    return write_skeleton(tmp_path / "raw", ("01",), eeg=False)


def save(path, *, shape=(6, 7, 8, 12), sform=AFFINE, qform=AFFINE, codes=(1, 1), dtype=np.int16,
         unit="mm"):  # fmt: skip
    image = nib.Nifti1Image(np.ones(shape, dtype), AFFINE)
    image.set_qform(qform, codes[0])
    image.set_sform(sform, codes[1])
    image.header.set_xyzt_units(unit, "sec")
    nib.save(image, path)
    return nib.load(path)


def oblique(degrees):
    turn = np.deg2rad(degrees)
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    return matrix @ AFFINE


def mirrored():
    return np.diag([-1, 1, 1, 1]) @ AFFINE


@pytest.mark.parametrize(
    "header",
    [
        {"codes": (0, 1)},
        {"codes": (1, 0)},
        {"codes": (1, 4), "sform": oblique(20)},
        {"sform": oblique(30), "qform": oblique(30)},
        {"sform": mirrored(), "qform": mirrored()},
        {"unit": "unknown"},
        {"shape": (6, 7, 8, 1, 12)},
        {"shape": (6, 7, 8, 12, 1)},
        {"dtype": np.float64},
        {"dtype": ">i2"},
    ],
    ids=["sform", "qform", "both", "oblique", "left-handed", "no unit", "5-D", "5-D last",
         "float64", "big-endian"],
)  # fmt: skip
def test_a_run_stored_in_an_ordinary_way_is_accepted(raw, header):
    save(raw / "sub-01" / BOLD, **header)
    assert not texts(check(raw))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"codes": (0, 0)}, "has no orientation: qform_code and sform_code are 0"),
        ({"sform": mirrored()}, "has axes PSR by qform but PSL by sform"),
        ({"sform": AFFINE[:, [1, 0, 2, 3]]}, "has axes PSR by qform but SPR by sform"),
        ({"sform": AFFINE @ np.diag([2, 2, 2, 1])}, "by pixdim but of 6 x 7 x 6 mm by sform"),
        ({"sform": AFFINE / 1000, "qform": AFFINE / 1000}, "has voxels of 0.003 x 0.0035 x 0.003"),
        ({"sform": AFFINE * 1000, "qform": AFFINE * 1000}, "expected 0.1 to 25 mm: correct its"),
        ({"sform": AFFINE @ np.diag([1, 0, 1, 1])}, "has voxels of 3 x 0 x 3 mm"),
        ({"sform": AFFINE[:, [0, 0, 2, 3]]}, "is no transform"),
        ({"unit": "meter"}, "gives positions in meter; expected mm"),
        ({"shape": (6, 7, 8, 2, 12)}, "has shape (6, 7, 8, 2, 12); expected 4 dimensions"),
        ({"shape": (6, 7, 8, 1)}, "holds 1 volume; expected 10 or more: leave it out"),
        ({"shape": (6, 7, 8)}, "holds 1 volume; expected 10 or more: leave it out"),
        ({"shape": (64, 64, 1, 12)}, "expected 4 voxels or more along three axes"),
        ({"dtype": np.complex64}, "holds complex numbers; expected the magnitude"),
        ({"dtype": [("R", "u1"), ("G", "u1"), ("B", "u1")]}, "holds colours"),
    ],
)  # fmt: skip
def test_a_run_whose_header_is_doubtful_is_refused(raw, header, message):
    save(raw / "sub-01" / BOLD, **header)
    (text,) = texts(check(raw))
    assert text.startswith(f"sub-01/{BOLD}: ")
    assert message in text


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"shape": (6, 7, 8), "codes": (0, 0)}, "has no orientation"),
        ({"shape": (6, 7, 8, 2)}, "keep one volume, or the mean of its repetitions"),
        ({"shape": (6, 7, 8), "unit": "micron"}, "gives positions in micron"),
    ],
)
def test_a_t1w_image_whose_header_is_doubtful_is_refused(raw, header, message):
    save(raw / "sub-01" / T1W, **header)
    (text,) = texts(check(raw))
    assert message in text


def test_a_voxel_size_of_zero_is_not_taken_as_one_millimetre(raw):
    path = raw / "sub-01" / "func" / "sub-01_task-rest_bold.nii"
    (raw / "sub-01" / BOLD).unlink()
    save(path, codes=(1, 0))
    content = bytearray(path.read_bytes())
    content[80:92] = bytes(12)
    path.write_bytes(content)
    (text,) = texts(check(raw))
    assert "has voxels of 0 x 0 x 0 mm; expected 0.1 to 25 mm" in text


@pytest.mark.parametrize(("milliseconds", "n_problems"), [(2000, 0), (2500, 1)])
def test_a_header_in_milliseconds_is_compared_with_the_sidecar(raw, milliseconds, n_problems):
    path = raw / "sub-01" / BOLD
    image = nib.Nifti1Image(np.ones((6, 7, 8, 12), np.int16), AFFINE)
    image.header.set_zooms((3, 3.5, 3, milliseconds))
    nib.save(image, path)
    assert len(texts(check(raw))) == n_problems


def test_the_form_in_use_is_named_where_two_differ(tmp_path):
    assert orientation_note(save(tmp_path / "same.nii")) == ""
    moved = save(tmp_path / "moved.nii", sform=oblique(20))
    assert orientation_note(moved).endswith("mm; sform is used.")
    np.testing.assert_allclose(moved.affine, oblique(20), atol=1e-4)
