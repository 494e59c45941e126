"""``python -m brainfm`` is ``brainfm``."""

import sys

from brainfm.cli.run import main

sys.exit(main())
