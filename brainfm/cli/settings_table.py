"""Table of all settings for the documentation: ``python -m brainfm.cli.settings_table``."""

from dataclasses import fields
from importlib.resources import files

from brainfm.cli.parser import flags_of
from brainfm.config import Settings


def settings_table():
    """Render all settings as one Markdown page, with one table per section.

    Returns
    -------
    str
    """
    parts = [(files("brainfm.data") / "settings_head.md").read_text(encoding="utf8")]
    for section in fields(Settings):
        title = section.type.__doc__.strip().splitlines()[0]
        parts.append(f"\n## `[{section.name}]` {title}\n")
        parts.append("| key | command line | default | meaning |\n|---|---|---|---|")
        parts += [_row(section.name, item) for item in fields(section.type)]
    return "\n".join(parts) + "\n"


def _row(section, item):
    flags = ", ".join(f"`{flag}`" for flag in flags_of(section, item) if "_" not in flag)
    default = "" if item.default in (None, ()) else f"`{item.default}`"
    text = item.metadata["help"]
    if item.metadata["choices"]:
        text += "; one of " + ", ".join(item.metadata["choices"])
    if item.metadata["unit"]:
        text += f" ({item.metadata['unit']})"
    return f"| `{item.name}` | {flags} | {default} | {text.replace('|', chr(92) + '|')} |"


if __name__ == "__main__":
    print(settings_table(), end="")
