"""
Motion and quality of a BOLD run
================================

The participant report shows head motion and signal quality of each run. This example computes the
same measures with the functions in :mod:`brainfm.signal` from the raw BOLD run of the demo dataset:
framewise displacement, DVARS, the temporal signal-to-noise ratio, and a carpet plot.
"""

from importlib.resources import files

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
from nilearn.masking import compute_epi_mask

from brainfm.signal.bold import dvars, tsnr
from brainfm.signal.motion import framewise_displacement
from brainfm.signal.realign import estimate_motion

func_dir = files("brainfm") / "data" / "demo" / "sub-bold01" / "func"
image = nib.load(func_dir / "sub-bold01_task-oneback_bold.nii.gz")
bold = image.get_fdata(dtype=np.float32)
brain = compute_epi_mask(image).get_fdata() > 0
tr_s = float(image.header.get_zooms()[3])
print(f"{bold.shape[3]} volumes, one every {tr_s:g} s, {brain.sum()} voxels in the brain mask")

# %%
# Six motion parameters describe where the head was in each volume; framewise displacement is the
# sum of their changes, with rotations measured on a sphere of 50 mm.

motion, _ = estimate_motion(np.moveaxis(bold, 3, 0), image.affine, bold.mean(axis=3), brain)
displacement_mm = framewise_displacement(motion)
series = bold[brain].T  # (n_times, n_voxels)
_, standardised_dvars = dvars(series)
print(f"mean framewise displacement: {np.nanmean(displacement_mm):.3f} mm")
print(f"median temporal signal-to-noise ratio: {np.nanmedian(tsnr(series)):.0f}")

# %%
# In the carpet plot each row is a voxel. Vertical stripes are changes of the whole brain at once,
# which usually come from motion or breathing.

time_s = np.arange(len(series)) * tr_s
carpet = (series - series.mean(axis=0)) / (series.std(axis=0) + 1e-9)

figure, axes = plt.subplots(
    3, 1, figsize=(9, 6), height_ratios=[1, 1, 3], sharex=True, layout="constrained"
)
axes[0].plot(time_s, displacement_mm)
axes[0].axhline(0.5, color="C3", linestyle=":")
axes[0].set(ylabel="FD (mm)", title="Framewise displacement; above 0.5 mm (dotted) is too much")
axes[1].plot(time_s, standardised_dvars, color="C1")
axes[1].set(ylabel="DVARS", title="Change between volumes; 1 is noise alone")
axes[2].imshow(
    carpet[:, ::5].T, aspect="auto", cmap="gray", vmin=-2, vmax=2,
    extent=(time_s[0], time_s[-1], carpet.shape[1], 0), interpolation="nearest",
)  # fmt: skip
axes[2].set(xlabel="time (s)", ylabel="voxel", title="Carpet plot")
plt.show()
