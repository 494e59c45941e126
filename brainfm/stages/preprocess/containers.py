"""Command that runs a container image with the folders it needs and a clean environment."""

import os
import shutil

from brainfm.errors import UsageError

_SCHEME = "docker://"


def container_command(image, *, binds, scratch, environment=None):
    """Return the command that runs a container image.

    Nothing of the caller's environment and home folder is visible inside.

    Parameters
    ----------
    image : str
        Path of a ``.sif`` file, or ``docker://NAME``.
    binds : dict of path to {"ro", "rw"}
        Files and folders, mounted under the same path inside the container.
    scratch : path
        Existing folder for ``HOME`` and ``/tmp`` of Apptainer, which would hold 64 MB otherwise.
    environment : dict of str to str, optional
        Variables set inside.

    Returns
    -------
    words : list of str

    Raises
    ------
    UsageError
        If no program on PATH runs such an image, or a path has a colon or comma, which separate
        the parts of a mount.
    """
    program = _program(image)
    for path in binds:
        if set(str(path)) & set(":,"):
            raise UsageError(
                f"{path} has a colon or comma, which containers cannot mount: rename it, or mount "
                "it under another path."
            )
    mounts = [f"{path}:{path}:{binds[path]}" for path in sorted(binds, key=str)]  # parents first
    variables = [f"{name}={value}" for name, value in (environment or {}).items()]
    if program == "docker":
        user = ["--user", f"{os.getuid()}:{os.getgid()}"]
        words = [*_each("-v", mounts), *_each("-e", variables), image.removeprefix(_SCHEME)]
        return ["docker", "run", "--rm", *user, *words]
    clean = ["--cleanenv", "--containall", "--workdir", str(scratch)]
    words = [*_each("-B", mounts), *_each("--env", variables), image]
    return [program, "run", *clean, *words]


def _program(image):
    """Return the program that runs an image."""
    programs = ["apptainer", "singularity", *(["docker"] if "://" in image else [])]
    found = next(filter(shutil.which, programs), None)
    if not found:
        needed = ", ".join(programs[:-1]) + f" or {programs[-1]}"
        raise UsageError(
            f"--fmriprep-container {image} needs {needed}, and none is on PATH: install one, or "
            "give finished derivatives with --derivatives."
        )
    return found


def _each(option, values):
    return [word for value in values for word in (option, value)]
