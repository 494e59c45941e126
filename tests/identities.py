"""Names and dates planted wherever raw files may carry them, and a search for them."""

import gzip
import json
from pathlib import Path

import nibabel as nib
import numpy as np

SIDECAR = {
    "PatientName": "Zyxwy^Quux",
    "PatientID": "Quux77",
    "PatientBirthDate": "19311224",
    "PatientComments": "Quux was tired",
    "AcquisitionDateTime": "1985-12-24T08:30:00",
    "AcquisitionDate": "19851224",
    "ReferringPhysicianName": "Quux",
    "DeviceSerialNumber": "Quux123",
    "InstitutionAddress": "Quux Street 1",
    "ProtocolName": "Quux",
    "SeriesDescription": "Quux",
    "Notes": "Quux",
}
_BIRTH, _RECORDED = "24-DEC-1931", "24-DEC-1985"
PLANTED = (
    b"Quux", b"19311224", b"19851224", b"1985-12-24", b"24.12.85", _BIRTH.encode(),
    _RECORDED.encode(),
)  # fmt: skip


def plant_identities(raw):
    """Plant them in all sidecars, EDF and NIfTI headers and scans tables; count the recordings."""
    raw = Path(raw)
    for path in raw.glob("sub-*/**/*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), **SIDECAR}))
    edf, images = [*raw.rglob("*.edf")], [*raw.rglob("*.nii.gz")]
    for path in edf:
        _plant_in_edf(path)
    for path in images:
        _plant_in_nifti(path)
    for folder in [path for path in raw.glob("sub-*") if path.is_dir()]:
        names = [path.relative_to(folder) for path in [*edf, *images] if folder in path.parents]
        rows = "".join(f"{name}\t1985-12-24T08:30:00\tQuux\n" for name in names)
        table = "filename\tacq_time\toperator\n" + rows
        (folder / f"{folder.name}_scans.tsv").write_text(table)
    return len(edf) + len(images)


def where_identities_show(folder):
    """Return ``(file, what)`` of each planted string under a folder; ``work`` is not looked at."""
    found = []
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file() and path.relative_to(folder).parts[0] != "work":
            content = path.read_bytes()
            content = gzip.decompress(content) if path.suffix == ".gz" else content
            found += [(str(path), text) for text in PLANTED if text in content]
    return found


def _plant_in_edf(path):
    content = bytearray(path.read_bytes())
    content[8:88] = f"Quux77 F {_BIRTH} Zyxwy_Quux".ljust(80).encode()
    content[88:168] = f"Startdate {_RECORDED} Quux99 Dr_Quux Quux_amplifier".ljust(80).encode()
    content[168:184] = b"24.12.8508.30.00"
    path.write_bytes(content)


def _plant_in_nifti(path):
    image = nib.load(path)
    image = nib.Nifti1Image(np.asanyarray(image.dataobj), image.affine, image.header)
    image.header["descrip"] = b"Zyxwy Quux 19311224"
    image.header["db_name"] = b"Quux"
    image.header["aux_file"] = b"Quux 24.12.85"
    image.header["intent_name"] = b"Quux"
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Quux 1985-12-24"))
    nib.save(image, path)
