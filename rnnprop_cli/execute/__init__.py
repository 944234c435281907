"""The shell around the mathematics: devices, clocks, progress.

Executors are generators over plain picklable values: they are handed a batch of cells or a recipe, and yield records.
They never write anywhere; `runs/` hands what they yield to the store, and stops them by closing the generator.
"""
