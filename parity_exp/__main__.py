"""``python -m parity_exp``: the same as the console script ``parity-exp``."""

import sys

from parity_exp.cli import main

if __name__ == "__main__":
    sys.exit(main())
