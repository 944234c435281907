"""Rows, curves and figures as files for programs and for people: JSON, CSV, Markdown, HTML.

One format a file. Not here: numbers that are worked out for one format alone; all of them show the same.
"""
