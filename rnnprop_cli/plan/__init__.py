"""What will be run: cells, searches, seeds, cost and identity, as pure functions of a spec.

Nothing here looks at a machine, reads a file or computes a loss; facts of the machine and of data come from the caller.
"""
