"""`rnnprop tui`: screens over the store, live. Only reads; what it starts are child processes.

A thread (`watch`, `reading`) makes snapshots of the store and posts them; the app owns the state (`state`) and the
screens show it. Screens and widgets know the app as a `Host` (see `host`), never the other way round by name. Not here:
what rows and curves mean (`view`); a screen lays out what that returns.
"""
