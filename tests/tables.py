"""Made tables of participants, and their columns."""

import json

import pandas as pd
from brains import bold

from brainfm.stages.evaluate.column_values import interpret_column
from brainfm.stages.evaluate.describe_column import describe_column
from brainfm.stages.evaluate.participants_table import read_columns
from brainfm.storage.bids.participants import find_tables, read_participants


def interpret(values, name="score", **sidecar):
    column = pd.Series([*values], dtype=object)
    return interpret_column(column, name, describe_column({"participants.tsv": sidecar}, name))


def texts(found):
    return " / ".join(found.notes)


class Dataset:
    """A dataset of tables in a folder."""

    def __init__(self, root):
        self.root = root

    def write(self, name, text, encoding="utf8"):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))

    def describe(self, name="participants.json", **columns):
        self.write(name, json.dumps(columns))

    def read(self):
        return read_participants(find_tables(self.root))

    def column(self, name, recordings=None):
        table = self.read()
        people = table["participant_id"].str.removeprefix("sub-").unique()
        recordings = recordings or [one(label) for label in people]
        columns, (decision,) = read_columns(recordings, table, [name])
        return columns[name], decision


def one(participant, session=None, seed=0):
    return bold(seed, n_channels=4, n_times=40, participant=participant, session=session)


def rows(header, *lines):
    return "\n".join("\t".join(map(str, line)) for line in [header.split(), *lines]) + "\n"
