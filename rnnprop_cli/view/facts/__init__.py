"""What an experiment says about itself: how it was run, what happened, which weights and checkpoints it used.

Here: sentences and pairs of name and value, from the records. Not here: anything that compares runs (`table`).
"""
