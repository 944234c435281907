"""Every test process and every child of it computes with one thread, so that tests can run side by side."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
