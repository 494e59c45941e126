"""Hugging Face Hub: downloads and uploads of checkpoints; all network access of brainfm."""

import contextlib
import logging
import re
from pathlib import Path

from brainfm import __version__
from brainfm.errors import ModelError, TemporaryFailure

log = logging.getLogger("brainfm")

#: Files of a checkpoint; nothing else is downloaded or uploaded.
FILES = ("config.json", "model.safetensors", "README.md", "history.json")

_PART = r"[A-Za-z0-9_](?:[\w.-]{0,94}[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?P<repo>{_PART}/{_PART})(?:@(?P<revision>\w[\w./-]{{0,199}}))?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")


def split_name(name):
    """Split ``org/name`` or ``org/name@revision``.

    Parameters
    ----------
    name : str

    Returns
    -------
    repo, revision : tuple of str, or None
        None if ``name`` is not the name of a repository. The revision is ``main`` by default.
    """
    found = _NAME.fullmatch(name)
    if not found or ".." in name or "--" in found["repo"] or found["repo"].endswith(".git"):
        return None
    return found["repo"], found["revision"] or "main"


def download(repo, revision):
    """Download a checkpoint into the cache of ``huggingface_hub``, or find it there.

    A revision that is a full commit hash and in the cache needs no network. If the Hub cannot be
    reached, the cached files of the revision are used, with a warning.

    Parameters
    ----------
    repo : str
        ``org/name``.
    revision : str
        Branch, tag or commit hash.

    Returns
    -------
    folder : Path
        Named by the commit hash.

    Raises
    ------
    ModelError
        If there is no such repository or revision, access is denied, or
        ``huggingface_hub`` is not installed.
    TemporaryFailure
        If the Hub cannot be reached and the cache does not hold the files.
    """
    library = _library()
    what = f"{repo} at revision {revision}"
    with _translated_errors(library, what):
        offline = not _COMMIT.fullmatch(revision) and _is_unreachable(library, repo, revision)
        folder = library.snapshot_download(
            repo,
            revision=revision,
            allow_patterns=list(FILES),
            local_files_only=offline,
            library_name="brainfm",
            library_version=__version__,
        )
    if offline:
        log.warning("the Hub cannot be reached: %s is read from the cache", what)
    return Path(folder)


def upload(folder, repo, *, private, token, message):
    """Upload the files of a checkpoint as one commit; create the repository if there is none.

    Parameters
    ----------
    folder : path
    repo : str
        ``org/name``.
    private : bool
    token : str or None
        By default ``HF_TOKEN`` or that of ``hf auth login``.
    message : str

    Returns
    -------
    commit : str
        Hash of the new revision.

    Raises
    ------
    ModelError
        If the Hub refuses, the repository is public and ``private`` is True, or
        ``huggingface_hub`` is not installed.
    TemporaryFailure
        If the Hub cannot be reached.
    """
    if token is not None and not re.fullmatch(r"[!-~]+", token):  # HTTP libraries would log it
        raise ModelError(
            "the token contains spaces, line breaks or non-ASCII letters: copy it "
            "from the Hub again."
        )
    library = _library()
    with _translated_errors(library, repo):
        api = library.HfApi(token=token, library_name="brainfm", library_version=__version__)
        api.create_repo(repo, private=private, exist_ok=True)
        if private and not api.model_info(repo).private:
            raise ModelError(
                f"{repo} exists already and is public: pass private=False if that is intended, or "
                "choose another name."
            )
        api.upload_folder(
            repo_id=repo, folder_path=folder, allow_patterns=list(FILES), commit_message=message
        )
        return api.model_info(repo).sha


def _library():
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
    except ImportError as error:
        raise ModelError(
            "checkpoints on the Hugging Face Hub need huggingface_hub, which is not installed: "
            "pip install 'brainfm[hub]'."
        ) from error
    # No telemetry; the library reads this at each call.
    huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY = True
    return huggingface_hub


def _is_unreachable(library, repo, revision):
    try:
        library.HfApi().model_info(repo, revision=revision)
    except Exception as error:
        if not _is_temporary(library, error):
            raise
        return True
    return False


def _is_temporary(library, error):
    """Return whether the Hub is unreachable rather than refusing."""
    status = _status(error)
    if status is not None:
        return status >= 500
    return isinstance(error, (library.errors.HTTPError, library.errors.OfflineModeIsEnabled))


def _status(error):
    return getattr(getattr(error, "response", None), "status_code", None)


@contextlib.contextmanager
def _translated_errors(library, what):
    """Translate all errors; texts of the library are not passed on, as they may hold a token."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:
        raise _translate(library.errors, error, what, _is_temporary(library, error)) from None


def _translate(errors, error, what, is_temporary):
    status, kind = _status(error), type(error).__name__
    if isinstance(error, errors.RevisionNotFoundError):
        return ModelError(f"the Hub has no such revision: {what}. See its list of commits.")
    if isinstance(error, errors.RepositoryNotFoundError) or status in (401, 403, 404):
        return ModelError(
            f"the Hub does not give access to {what} (status {status}): check the name; for "
            "private or gated repositories, or to write, set HF_TOKEN or call hf auth login."
        )
    if isinstance(error, (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled)):
        return TemporaryFailure(
            f"the Hub cannot be reached, or HF_HUB_OFFLINE is set, and the cache does not hold "
            f"{what}: go online once, or give the folder of a checkpoint."
        )
    if is_temporary:
        return TemporaryFailure(
            f"the Hub could not be used for {what} ({kind}, status {status}): check the network, "
            "the proxy and HF_ENDPOINT, then try again."
        )
    if status is None and isinstance(error, OSError):
        return TemporaryFailure(
            f"{what} could not be read or written ({kind}): is the disk full? HF_HOME sets "
            "the folder of the cache."
        )
    return ModelError(f"the Hub refuses {what} ({kind}, status {status}).")
