"""Large pretraining: ``python -m brainfm.cli.pretrain CORPUS_DIR OUT_DIR [options]``.

The corpus is the one of the group level (``OUTPUT_DIR/group/corpus``). Exit code 75: the run was
stopped after saving its state; the same command continues it.
"""

import logging
import os
import signal
import sys
import typing
from dataclasses import fields
from pathlib import Path

from brainfm.cli.parser import PlainParser, print_error
from brainfm.cli.run import Stopped, stoppable
from brainfm.config import LoopConfig, PretrainConfig
from brainfm.errors import BrainFMError, TemporaryFailure, UsageError


def main(argv=None):
    """Pretrain on a corpus in one or several processes.

    Parameters
    ----------
    argv : list of str, optional

    Returns
    -------
    exit_code : int
        0, that of the error, or 75 after SIGTERM or SIGUSR1.
    """
    try:
        with stoppable(signal.SIGTERM, signal.SIGUSR1):
            return _run(sys.argv[1:] if argv is None else argv)
    except BrainFMError as error:
        return _refuse(error, error.exit_code)
    except Stopped as stop:
        return _refuse(
            f"stopped ({stop}); run the same command again to continue.", TemporaryFailure.exit_code
        )


def _run(argv):
    given = vars(_parser().parse_args(argv))
    config, loop = (
        section(**{item.name: _frozen(given[item.name]) for item in fields(section)})
        for section in (PretrainConfig, LoopConfig)
    )
    logging.basicConfig(
        level=logging.INFO if _is_first() else logging.WARNING, format="%(message)s"
    )
    # Imported late, so that --help is fast.
    from brainfm.models.training.lightning_loop import LightningLoop
    from brainfm.stages.pretrain.run import pretrain_corpus
    from brainfm.storage.bids.participants import read_participants

    log_dir = given["out_dir"] / "tensorboard" / config.model_name
    table = given["participants"]
    if bool(table) != bool(config.phenotypes):
        raise UsageError(
            "--phenotypes COLUMN ... and --participants FILE, the participants.tsv that holds the "
            "columns, must be given together; add the missing one."
        )
    folder = pretrain_corpus(
        given["corpus_dir"],
        given["out_dir"],
        config,
        given["seed"],
        participants=read_participants([table]) if table else None,
        licence=given["licence"],
        device=given["device"],
        loop=LightningLoop(**vars(loop), log_dir=log_dir),
    )
    logging.getLogger("brainfm").info("model: %s", folder)
    return 0


def _parser():
    parser = PlainParser(prog="python -m brainfm.cli.pretrain", description=__doc__)
    parser.add_argument("corpus_dir", type=Path)
    parser.add_argument("out_dir", type=Path)
    for section in (PretrainConfig, LoopConfig):
        for item in fields(section):
            kind = (typing.get_args(item.type) or (item.type,))[0]
            several = {"nargs": "*"} if item.default == () else {}
            unit = f", in {item.metadata['unit']}" if item.metadata["unit"] else ""
            parser.add_argument(
                f"--{item.name.replace('_', '-')}",
                type=kind,
                default=item.default,
                choices=item.metadata["choices"],
                help=f"{item.metadata['help']}{unit} (default: {item.default or 'none'})",
                **several,
            )
    parser.add_argument("--participants", type=Path, help="participants.tsv with the phenotypes")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    parser.add_argument("--licence", help="licence of the weights; see that of the data")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    return parser


def _frozen(value):
    return tuple(value) if isinstance(value, list) else value


def _is_first():
    """Tell whether this is the first of the processes that Lightning, srun or torchrun started."""
    ranks = [os.environ.get(name, "0") for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK")]
    return set(ranks) == {"0"}


def _refuse(error, exit_code):
    if _is_first():
        print_error(error)
        return exit_code
    return 0  # the first process reports the error; another code here would kill it before


def _leave(exit_code):
    """End this process at once: threads of gloo may abort one that ends in the usual way."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


if __name__ == "__main__":
    _leave(main())
