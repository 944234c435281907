"""What was measured, kept: one SQLite database and a folder of checkpoints beside it.

Three decisions shape this package. *Curves are chunks*: up to 1024 consecutive values of a metric are one float32 BLOB,
because a row per step reads some sixty times slower and takes five times the room; what is given up is a `SELECT` on
single values from the outside (`rnnprop runs export` writes CSV instead). *One writer*: a single process writes, in
short `BEGIN IMMEDIATE` transactions, and everyone else opens the database read-only, so that looking never disturbs a
run; several benches on one database at once are given up. *An OS lock, no heartbeat*: the writer holds a `flock` beside
the database, which the kernel drops however the process ends; whoever gets the lock therefore knows that every run
still marked `running` is stale. File systems without `flock` are given up.
"""
