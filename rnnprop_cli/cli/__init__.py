"""Commands: arguments in, text and exit codes out.

What belongs here reads options, calls `runs`, and shows what comes back. What is heavy is imported inside commands, so
that `rnnprop --help` answers at once; every error becomes words and an exit code in `console`.
"""
