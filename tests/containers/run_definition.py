"""Execute the sections of Singularity.def with buildah on a stand-in base. By hand, not in CI:

    python tests/containers/run_definition.py WORK_DIR BASE_IMAGE [buildah options of %post]

%files are copied, %post and %test run as they stand, %test without network. This is no
``apptainer build``: no SIF is made.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

OFFLINE = ["unshare", "--net"]  # buildah refuses --network none with chroot isolation
ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from test_containers import read_definition  # noqa: E402


def main(work, base, *options):
    """Build, test and call the run script."""
    sections = read_definition((ROOT / "Singularity.def").read_text())[1]
    buildah = ["buildah", "--root", f"{work}/store", "--runroot", f"{work}/run",
               "--storage-driver", "overlay"]  # fmt: skip

    def call(*words):
        done = subprocess.run([*buildah, *words], check=True, text=True, stdout=subprocess.PIPE)
        return done.stdout.strip()

    def inside(name, *words, around=(), more=()):
        began = time.monotonic()
        command = ["run", "--isolation", "chroot", "--network", "host", *more, container, "--"]
        script = ["/bin/sh", f"/.singularity.d/{name}", *words]
        subprocess.run([*around, *buildah, *command, *script], check=True)
        print(f"%{name} passed in {time.monotonic() - began:.0f} s", flush=True)

    container = call("from", "--pull-never", base)
    for line in sections["files"].splitlines():
        if line.strip():
            source, target = line.split()
            call("copy", container, str(ROOT / source), target)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("post", "test", "runscript"):
            before = "" if name == "post" else sections["environment"]
            script = Path(folder) / name
            script.write_text(before + sections[name])
            call("copy", container, str(script), f"/.singularity.d/{name}")
    inside("post", more=options)
    inside("runscript", "--version", around=OFFLINE)
    inside("test", around=OFFLINE)
    call("rm", container)


if __name__ == "__main__":
    main(*sys.argv[1:])
