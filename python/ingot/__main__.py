"""``python -m ingot`` is the command line."""

import sys

from ingot.cli import main

sys.exit(main())
