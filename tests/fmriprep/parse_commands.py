"""Parse commands with the parser of fMRIPrep: JSON lists of words in, JSON namespaces out."""

import contextlib
import io
import json
import sys

from fmriprep.cli.parser import _build_parser


def parse(parser, words):
    """Return the values of the options by their names in fMRIPrep, or what it says."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            return {name: str(value) for name, value in vars(parser.parse_args(words)).items()}
        except SystemExit:
            return {"error": said.getvalue()}


with contextlib.redirect_stdout(sys.stderr):
    parser = _build_parser()
    answers = [parse(parser, words) for words in json.load(sys.stdin)]
print(json.dumps(answers))
