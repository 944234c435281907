"""Files of datasets: where they are looked for, whether they are the right ones, and where they are fetched from.

Which datasets there are is not known here; a file of `components.datasets` says what its files are.
"""
