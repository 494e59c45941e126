"""Reader of ``--use-plugin`` files: Nipype plugin and its arguments."""

from pathlib import Path

import yaml

from brainfm.errors import MissingInput, UsageError


def read_plugin(path):
    """Read a plugin file.

    Parameters
    ----------
    path : path
        YAML with the keys ``plugin`` and, optionally, ``plugin_args``.

    Returns
    -------
    plugin : str
    plugin_args : dict

    Raises
    ------
    MissingInput
        If it cannot be read.
    UsageError
        If it is not YAML, or lacks ``plugin``.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf8"))
    except OSError as error:
        raise MissingInput(f"--use-plugin {path} cannot be read ({error.strerror}).") from error
    except yaml.YAMLError as error:
        raise UsageError(f"--use-plugin {path} is not valid YAML: {error}.") from error
    if not isinstance(content, dict) or not isinstance(content.get("plugin"), str):
        raise UsageError(f"--use-plugin {path}: expected keys plugin and plugin_args.")
    return content["plugin"], dict(content.get("plugin_args") or {})
