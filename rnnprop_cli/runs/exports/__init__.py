"""Curves in the formats of other programs. Each needs a library of its own, which an extra of the package brings.

A folder is made whole or not at all: it is filled beside its place and moved there. What goes out are numbers and the
facts of runs; nothing of this machine, and nothing over a network.
"""
