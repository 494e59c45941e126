"""The command line, derived from the settings in ``brainfm/config.py``."""

import argparse
import difflib
import shlex
import sys
import typing
from dataclasses import fields
from functools import partial
from pathlib import Path

from brainfm import __version__
from brainfm.config import Settings
from brainfm.errors import UnknownLevel, UsageError

LEVELS = ("participant", "group")

_DESCRIPTION = """\
Preprocess the resting-state fMRI and EEG of a BIDS dataset, embed each recording
with a pretrained model, evaluate predictions and write reports.

levels:
  participant  check, preprocess, standardise and embed each recording
  group        build a corpus, pretrain, embed, evaluate and report"""

_EPILOG = """\
Options follow the three arguments. Lists are separated by spaces or commas, or the option is
repeated. Settings can also be given in a TOML file (--config-file) or as environment variables
BRAINFM_<SECTION>_<NAME>. The command line takes precedence over the environment, and the
environment over the file.

exit codes: 0 done; 1 a step failed; 16 invalid dataset; 17 unknown level; 18 nothing selected;
64 wrong usage; 65 or 66 some participants were left out, for invalid or missing data;
73 output cannot be created; 74 disk full or not readable; 75 temporary failure, run again."""


class PlainParser(argparse.ArgumentParser):
    """Parser that raises :class:`UsageError` instead of printing and exiting."""

    def error(self, message):
        """Refuse the command line.

        Parameters
        ----------
        message : str

        Raises
        ------
        UsageError
            Always.
        """
        raise UsageError(message)


class _Extend(argparse.Action):
    """Collect lists given with spaces, commas or a repeated option; paths may have both inside."""

    def __call__(self, parser, namespace, values, option_string=None):
        words = [word for value in values for word in value.replace(",", " ").split()]
        words = values if self.dest == "run.derivatives" else words
        setattr(namespace, self.dest, [*getattr(namespace, self.dest, []), *words])


class _Memory(argparse.Action):
    """Take the unit of a plain number from the option: ``--mem-mb 8000``, ``--mem-gb 8``."""

    def __call__(self, parser, namespace, values, option_string=None):
        text = "".join(values)
        unit = {"mb": "M", "gb": "G"}.get((option_string or "")[-2:], "")
        setattr(namespace, self.dest, text if text[-1:].isalpha() else text + unit)


def build_parser():
    """Build the parser.

    Returns
    -------
    PlainParser
        The destination of an option is ``section.name``. Options that are not given are absent
        from the namespace, so that defaults do not replace values of the file or environment.
    """
    parser = PlainParser(
        prog="brainfm",
        usage="brainfm bids_dir output_dir {participant,group} [options]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=partial(
            argparse.RawDescriptionHelpFormatter, max_help_position=32, width=100
        ),
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument("bids_dir", help="root folder of the BIDS dataset")
    parser.add_argument("output_dir", help="root folder of the outputs, created if needed")
    parser.add_argument("level", metavar="{participant,group}", help="analysis level")
    parser.add_argument("--version", action="version", version=f"brainfm {__version__}")
    for section in fields(Settings):
        title = section.type.__doc__.strip().splitlines()[0]
        group = parser.add_argument_group(f"{section.name}: {title.rstrip('.')}")
        for item in fields(section.type):
            _add_setting(group, section.name, item)
    return parser


def parse_command(argv):
    """Parse a command line.

    Parameters
    ----------
    argv : list of str

    Returns
    -------
    arguments : dict
        ``bids_dir``, ``output_dir``, ``level`` and the settings given, as ``"section.name"``.

    Raises
    ------
    UsageError
        If an argument is missing, empty or unknown. If a list option took up the three arguments,
        the message contains the corrected command.
    UnknownLevel
        If the level is neither of :data:`LEVELS`.
    """
    if any(word == "" or (word.startswith("--") and word.endswith("=")) for word in argv):
        # An empty list of participants would select all of them.
        raise UsageError(
            "one of the arguments is empty; is a variable in your script not set? The command was: "
            f"brainfm {shlex.join(argv)}"
        )
    parser = build_parser()
    try:
        known, unknown = parser.parse_known_args(_with_options_as_value(argv))
    except UsageError as error:
        raise UsageError(f"{error}{_advice(parser, argv)}") from error
    if unknown:
        raise UsageError(_unknown_words(parser, unknown))
    if known.level not in LEVELS:
        raise UnknownLevel(
            f"the analysis level is {known.level!r}; expected participant or group, third after "
            "bids_dir and output_dir."
        )
    return vars(known)


def _with_options_as_value(argv):
    """Join ``--fmriprep-args`` with its value, which argparse takes for an option of its own."""
    flags, words = ("--fmriprep-args", "--fmriprep_args"), []
    for word in argv:
        if words and words[-1] in flags:
            word = f"{words.pop()}={word}"
        words.append(word)
    return words


def flags_of(section, item):
    """Return all options of a setting on the command line.

    Parameters
    ----------
    section : str
    item : dataclasses.Field

    Returns
    -------
    list of str
        The preferred one first; those with underscores last.
    """
    name = item.name.replace("_", "-")
    default = f"--{name}" if section == "run" else f"--{section}-{name}"
    flags = list(item.metadata["flags"]) or [default]
    snake = [f"--{flag[2:].replace('-', '_')}" for flag in flags if flag.startswith("--")]
    return list(dict.fromkeys([*flags, *snake]))


def _add_setting(group, section, item):
    flags = flags_of(section, item)
    options = {"dest": f"{section}.{item.name}", **_action(item)}
    shown = [flag for flag in flags if "_" not in flag]
    group.add_argument(*shown, help=_help_text(item), **options)
    if shown != flags:  # accepted but not listed in the help
        group.add_argument(*flags[len(shown) :], help=argparse.SUPPRESS, **options)


def _action(item):
    if item.name == "verbose":
        return {"action": "count"}
    if item.type is bool:
        return {"action": argparse.BooleanOptionalAction}
    if item.name == "mem" or item.type == tuple[str, ...]:
        action = _Memory if item.name == "mem" else _Extend
        return {"action": action, "nargs": "+", "metavar": _metavar(item)}
    return {"metavar": _metavar(item)}


def _metavar(item):
    if item.metadata["metavar"] or item.type == tuple[str, ...]:
        return item.metadata["metavar"] or "LABEL"
    if item.metadata["choices"]:
        return "{" + ",".join(item.metadata["choices"]) + "}"
    if item.metadata["unit"]:
        return {"s": "SECONDS"}.get(item.metadata["unit"], item.metadata["unit"].upper())
    kind = (typing.get_args(item.type) or (item.type,))[0]
    return {Path: "PATH", int: "N", float: "NUMBER"}.get(kind, "NAME")


def _help_text(item):
    text = item.metadata["help"]
    default = " ".join(item.default) if isinstance(item.default, tuple) else item.default
    if default is not None and default is not False and default != "" and item.name != "verbose":
        text += f" (default: {default})"
    return text.replace("%", "%%")


def _advice(parser, argv):
    """Return the corrected command if a list option took up the arguments, else a hint."""
    takes_list = {
        flag for action in parser._actions if action.nargs == "+" for flag in action.option_strings
    }
    for index in [index for index, word in enumerate(argv) if word in LEVELS]:
        start = max(0, index - 2)
        option = next((word for word in argv[:start][::-1] if word.startswith("-")), None)
        head, rest = argv[start : index + 1], [*argv[:start], *argv[index + 1 :]]
        if option in takes_list and not any(word.startswith("-") for word in head):
            return (
                f".\n{option} takes a list and took up the three arguments. Put options last:"
                f"\n\n    brainfm {shlex.join([*head, *rest])}\n"
            )
    return "; see brainfm --help."


def _unknown_words(parser, unknown):
    known = [flag for action in parser._actions for flag in action.option_strings]
    lines = []
    for word in unknown:
        if not word.startswith("-"):
            lines.append(f"{word!r} is an unexpected argument.")
            continue
        close = difflib.get_close_matches(word.split("=")[0], known, n=1)
        meant = f"; did you mean {close[0]}?" if close else "."
        lines.append(f"there is no option {word}{meant}")
    return " ".join(lines) + " See brainfm --help."


def print_error(error):
    """Print an error on stderr.

    Parameters
    ----------
    error : BrainFMError or str
    """
    print(f"brainfm: {error}", file=sys.stderr)
