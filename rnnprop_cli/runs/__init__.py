"""Use cases that join the stages: plan → execute → store, told to an observer as they happen.

The only layer in which the executor and the store meet. One process writes the store; what is shown while it runs is
the observer's business (a progress display, plain lines, or nothing).
"""
