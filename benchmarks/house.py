"""Figures of the code: lines, function bodies, import cycles and docstrings.

    python benchmarks/house.py [--out benchmarks/results/house.tsv]

The tests of the house style count with the same functions (``tests/code_figures.py``).
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

from brainfm.files import write_tsv

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from code_figures import figures


def main():
    """Print the figures and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/house.tsv"))
    found = figures()
    table = pd.DataFrame({"figure": list(found), "value": [str(one) for one in found.values()]})
    write_tsv(parser.parse_args().out, table)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
