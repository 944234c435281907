"""Python imports this first in every worker of a driver that has this folder on its path."""

import os
import sys
from pathlib import Path

if names := os.environ.get("RNNPROP_TEST_FAULTS"):
    sys.path.append(str(Path(__file__).parents[1]))
    from faults import inject

    inject(names)
