"""What can be put into a spec: optimizees, classical optimizers, learned optimizers and datasets, a file for each.

A file holds the settings of its component, what follows from them by arithmetic alone (sizes, cost, label), and the
mathematics, which is built from them. `registry` finds the files; nothing else lists them. What belongs here is the
plain definition in PyTorch, for any dtype and device; a faster body of it is a wrapper in `accelerate`, and whatever
only one experiment needs comes from outside (`plugins`).
"""
