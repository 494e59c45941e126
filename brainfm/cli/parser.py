"""The command line, derived from the settings: no option is declared here a second time."""

import argparse
import difflib
import shlex
import sys
from dataclasses import fields
from functools import partial

from brainfm import __version__
from brainfm.config import Settings
from brainfm.errors import UnknownLevel, UsageError

LEVELS = ("participant", "group")

_DESCRIPTION = """\
From a BIDS dataset of raw resting-state fMRI and EEG to standardised signals,
embeddings, a trained head and reports.

levels:
  participant  check, preprocess, standardise and embed each recording
  group        corpus, pretraining, embeddings, evaluation, report"""

_EPILOG = """\
Put options after the three arguments. Lists take spaces, commas or a repeated option.
Every setting can also stand in a TOML file (--config-file) or in the environment as
BRAINFM_<SECTION>_<NAME>; the command line wins over the environment, that over the file.

exit codes: 0 done; 1 a step failed; 16 the dataset is not usable; 17 unknown level;
18 nothing selected; 64 wrong usage; 65 or 66 some participants were left out for wrong or
missing data; 73 output cannot be written; 74 reading or writing stopped; 75 try again."""


class PlainParser(argparse.ArgumentParser):
    """Raise what argparse would print, so that one place decides on text and exit code."""

    def error(self, message):
        """Refuse the command line.

        Raises
        ------
        UsageError
            Always.
        """
        raise UsageError(message)


class _Extend(argparse.Action):
    """Collect lists typed with spaces, commas or several times the same option."""

    def __call__(self, parser, namespace, values, option_string=None):
        words = [word for value in values for word in value.replace(",", " ").split()]
        setattr(namespace, self.dest, [*getattr(namespace, self.dest, []), *words])


class _Memory(argparse.Action):
    """Let ``--mem-mb 8000`` and ``--mem-gb 8`` say the unit that the number lacks."""

    def __call__(self, parser, namespace, values, option_string=None):
        text = "".join(values)
        unit = {"mb": "M", "gb": "G"}.get((option_string or "")[-2:], "")
        setattr(namespace, self.dest, text if text[-1:].isalpha() else text + unit)


def build_parser():
    """Build the parser; absent options are absent from the namespace it fills.

    Each destination is ``section.name``, so that defaults never hide a value which came
    from a file or from the environment.
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
    parser.add_argument("bids_dir", help="root of the BIDS dataset")
    parser.add_argument("output_dir", help="root of the output dataset; made when not there")
    parser.add_argument("level", metavar="{participant,group}", help="what to run")
    parser.add_argument("--version", action="version", version=f"brainfm {__version__}")
    for section in fields(Settings):
        title = section.type.__doc__.strip().splitlines()[0]
        group = parser.add_argument_group(f"{section.name}: {title}")
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
        ``bids_dir``, ``output_dir``, ``level`` and, as ``"section.name"``, what was given.

    Raises
    ------
    UsageError
        If it cannot be understood; a list option that swallowed the three arguments is
        answered with the command as it should be.
    UnknownLevel
        If the level is neither of :data:`LEVELS`.
    """
    if any(word == "" or (word.startswith("--") and word.endswith("=")) for word in argv):
        # Taken as it stands, an empty list of participants would mean all of them.
        raise UsageError(
            "one of the arguments is empty; is a variable of your script unset? The command was: "
            f"brainfm {shlex.join(argv)}"
        )
    parser = build_parser()
    try:
        known, unknown = parser.parse_known_args(argv)
    except UsageError as error:
        raise UsageError(f"{error}{_advice(argv)}") from error
    if unknown:
        raise UsageError(_unknown_words(parser, unknown))
    if known.level not in LEVELS:
        raise UnknownLevel(
            f"the analysis level is {known.level!r}; expected participant or group, third after "
            "bids_dir and output_dir."
        )
    return vars(known)


def flags_of(section, item):
    """Return every spelling of a setting on the command line, the first one preferred."""
    flags = list(item.metadata["flags"]) or [f"--{section}-{item.name.replace('_', '-')}"]
    snake = [f"--{flag[2:].replace('-', '_')}" for flag in flags if flag.startswith("--")]
    return list(dict.fromkeys([*flags, *snake]))


def _add_setting(group, section, item):
    flags = flags_of(section, item)
    snake = [flag for flag in flags if "_" in flag]
    shown = [flag for flag in flags if flag not in snake]
    options = {"dest": f"{section}.{item.name}", **_action(item)}
    group.add_argument(*shown, help=_help_text(item), **options)
    if snake:  # accepted, not shown: the help would be twice as long
        group.add_argument(*snake, help=argparse.SUPPRESS, **options)


def _action(item):
    if item.name == "mem":
        return {"action": _Memory, "nargs": "+", "metavar": "SIZE"}
    if item.name == "verbose":
        return {"action": "count"}
    if item.type is bool:
        return {"action": argparse.BooleanOptionalAction}
    if item.type == tuple[str, ...]:
        return {"action": _Extend, "nargs": "+", "metavar": item.name.split("_")[-1].upper()}
    if item.metadata["choices"]:
        return {"metavar": "{" + ",".join(item.metadata["choices"]) + "}"}
    return {"metavar": "VALUE"}


def _help_text(item):
    text = item.metadata["help"]
    if item.metadata["unit"] and item.metadata["unit"] not in text:
        text += f", in {item.metadata['unit']}"
    if item.default is not None and item.default is not False and item.default != ():
        text += f" (default: {item.default})"
    return text.replace("%", "%%")


def _advice(argv):
    """Return the corrected command when a list option swallowed the positionals, else nothing."""
    takes_list = {
        flag
        for section in fields(Settings)
        for item in fields(section.type)
        if item.type == tuple[str, ...] or item.name == "mem"
        for flag in flags_of(section.name, item)
    }
    runs, option = [], None
    for index, word in enumerate(argv):
        if word.startswith("-"):
            option = word
        elif option in takes_list or option is None:
            runs.append(index)
        if word in LEVELS and option in takes_list and runs[-3:] == [index - 2, index - 1, index]:
            head = argv[index - 2 : index + 1]
            rest = [*argv[: index - 2], *argv[index + 1 :]]
            return (
                f".\n{option} takes a list and swallowed the three arguments. Put options last:"
                f"\n\n    brainfm {shlex.join([*head, *rest])}\n"
            )
    return "; see brainfm --help."


def _unknown_words(parser, unknown):
    known = [flag for action in parser._actions for flag in action.option_strings]
    lines = []
    for word in unknown:
        if not word.startswith("-"):
            lines.append(f"{word!r} is one argument too many.")
            continue
        close = difflib.get_close_matches(word.split("=")[0], known, n=1)
        meant = f"; did you mean {close[0]}?" if close else "."
        lines.append(f"there is no option {word}{meant}")
    return " ".join(lines) + " See brainfm --help."


def print_error(error):
    """Print an error of the project on stderr, as all of them are shown."""
    print(f"brainfm: {error}", file=sys.stderr)
