"""From a TOML file to a validated value, or to every mistake in it with its line.

What can stand in a spec, components say (`components`); here is how files are read, multiplied out and checked.
"""
