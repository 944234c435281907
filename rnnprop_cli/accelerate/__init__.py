"""Faster bodies of components: wrappers that give what the plain definition gives, and the one place that chooses them.

What belongs here knows both a component and a kernel. A component without a wrapper runs as it is.
"""
