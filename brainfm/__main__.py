"""Entry point of ``python -m brainfm``, the same as ``brainfm``."""

import sys

from brainfm.cli.run import main

sys.exit(main())
