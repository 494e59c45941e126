"""Resolution of settings: default < TOML file < environment < command line."""

import difflib
import json
import os
import tomllib
import types
import typing
from collections import defaultdict
from dataclasses import fields
from pathlib import Path

from brainfm import __version__
from brainfm.config import Settings, memory_gb, split_derivative
from brainfm.errors import MissingInput, UsageError
from brainfm.models.checkpoint import hub

#: Settings of one call that do not affect results: never written to settings.toml.
OF_ONE_CALL = ("config_file", "dry_run", "reports_only")

_PREFIX_OF = {"participant_label": "sub-", "session_label": "ses-", "task_label": "task-",
              "run_label": "run-"}  # fmt: skip
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_TYPE_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text",
               Path: "a path"}  # fmt: skip


def resolve_settings(arguments, environment=os.environ):
    """Merge the settings of the four sources.

    Parameters
    ----------
    arguments : dict
        ``"section.name"`` to value, from :func:`brainfm.cli.parser.parse_command`.
    environment : mapping of str to str

    Returns
    -------
    settings : Settings
    sources : dict of str to str
        Source of the value of each ``"section.name"``, as text.
    ignored : list of str
        Warnings about environment variables that look like settings but are not.

    Raises
    ------
    UsageError
        If a name is unknown (the message suggests the nearest) or a value has the wrong type.
    MissingInput
        If the settings file cannot be read.
    """
    flags = {key: value for key, value in arguments.items() if "." in key}
    variables, ignored = _from_environment(environment)
    path = flags.get("run.config_file", variables.get("run.config_file"))
    from_file = _from_file(path) if path else {}
    layers = [(from_file, f"file {path}"), (variables, "environment"), (flags, "command line")]
    values, sources = {}, dict.fromkeys(_items(), "default")
    for layer, source in layers:
        for key, value in layer.items():
            values[key] = coerce(key, value, source)
            sources[key] = source
    return _build(values), sources, ignored


def coerce(key, value, source):
    """Convert a value to the type of its setting.

    Parameters
    ----------
    key : str
        ``"section.name"``.
    value : object
    source : str
        Named in the error.

    Returns
    -------
    value : object

    Raises
    ------
    UsageError
        If the value cannot be converted.
    """
    item = _items()[key]
    kind = typing.get_args(item.type)[0] if isinstance(item.type, types.UnionType) else item.type
    try:
        value = _convert(kind, value)
    except (TypeError, ValueError) as error:
        expected = _TYPE_NAMES.get(kind, "a list of words")
        raise UsageError(f"{key} is {value!r} ({source}); expected {expected}.") from error
    if item.name in _PREFIX_OF:
        value = tuple(dict.fromkeys(v.removeprefix(_PREFIX_OF[item.name]) for v in value))
    if _is_path(item, value):  # each step runs in its own folder
        value = type(value)(os.path.abspath(value))
    if item.name == "derivatives":
        value = tuple(_with_absolute_path(word) for word in value)
    if item.name == "mem" and value is not None:
        memory_gb(value)  # refuse it before processing starts
    return value


def settings_as_toml(settings, sources=None, *, header=()):
    """Render settings as TOML for ``--config-file``.

    Parameters
    ----------
    settings : Settings
    sources : dict, optional
        See :func:`resolve_settings`; written as a comment after each value.
    header : iterable of str
        Comment lines at the top.

    Returns
    -------
    str
    """
    lines = [f"# brainfm {__version__}", *[f"# {line}" for line in header]]
    for section in fields(settings):
        lines += ["", f"[{section.name}]"]
        for item in fields(section.type):
            if item.name in OF_ONE_CALL:
                continue
            value = getattr(getattr(settings, section.name), item.name)
            source = (sources or {}).get(f"{section.name}.{item.name}")
            text = f"# {item.name} is not set" if value is None else f"{item.name} = {_toml(value)}"
            lines.append(f"{text}  # {source}" if source else text)
    return "\n".join(lines) + "\n"


def _is_path(item, value):
    if isinstance(value, Path):
        return True
    if item.name == "container" and value:
        return "://" not in value
    of_path = item.name in ("atlas", "model")
    if item.name == "model" and hub.split_name(str(value)) and not os.path.exists(value):
        return False  # org/name on the Hub
    return of_path and value is not None and os.sep in value and "://" not in value


def _with_absolute_path(word):
    name, path = split_derivative(word)
    path = os.path.abspath(path) if path else path
    return f"{name}={path}" if name else path


def _items():
    return {
        f"{section.name}.{item.name}": item
        for section in fields(Settings)
        for item in fields(section.type)
    }


def _build(values):
    of_section = defaultdict(dict)
    for key, value in values.items():
        section, name = key.split(".")
        of_section[section][name] = value
    return Settings(**{item.name: item.type(**of_section[item.name]) for item in fields(Settings)})


def _from_file(path):
    try:
        tables = tomllib.loads(Path(path).read_text(encoding="utf8"))
    except OSError as error:
        raise MissingInput(f"--config-file {path} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise UsageError(f"--config-file {path} is not valid TOML: {error}.") from error
    values = {}
    for section, table in tables.items():
        if not isinstance(table, dict):
            homes = [key.partition(".")[0] for key in _items() if key.endswith(f".{section}")]
            raise UsageError(
                f"{path}: {section} is outside a section: move it to [{[*homes, 'run'][0]}]."
            )
        for name, value in table.items():
            values[_known(f"{section}.{name}", path)] = value
    return values


def _from_environment(environment):
    known = {f"BRAINFM_{key.replace('.', '_').upper()}": key for key in _items()}
    sections = tuple(f"BRAINFM_{section.name.upper()}_" for section in fields(Settings))
    values, ignored = {}, []
    for variable, value in environment.items():
        if variable in known:
            values[known[variable]] = value
        elif variable.startswith(sections):
            close = difflib.get_close_matches(variable, known, n=1)
            meant = f"; did you mean {close[0]}?" if close else "."
            ignored.append(f"{variable} in the environment is not a setting{meant}")
    return values, ignored


def _known(key, path):
    known = _items()
    if key in known:
        return key
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    same_name = [other for other in known if other.endswith("." + key.partition(".")[2])]
    offer = (same_name or close)[:1]
    meant = f" Did you mean {offer[0]}?" if offer else ""
    raise UsageError(f"{path}: there is no setting {key}.{meant}")


def _convert(kind, value):
    if kind == tuple[str, ...]:
        words = value.replace(",", " ").split() if isinstance(value, str) else value
        return tuple(str(word) for word in words)
    if kind is bool:
        value = _WORDS.get(value.lower()) if isinstance(value, str) else value
    if isinstance(value, bool) != (kind is bool) or isinstance(value, list | dict | None):
        raise TypeError
    if kind is int and isinstance(value, float):
        raise TypeError
    return kind(value)


def _toml(value):
    if isinstance(value, float):  # JSON has other words for numbers that are not finite
        return repr(value)
    return json.dumps(value, ensure_ascii=False, default=str)
