"""A benchmark as rows: one for every optimizer on every problem, ranked, against the best tuned baseline.

Here: which runs belong together, means and intervals, the search for rates, verdicts, profiles, and the columns that a
table of rows can have. Not here: any output format (`formats`), any width or colour.
"""
