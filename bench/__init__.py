"""Benchmarks: each compares with a named peer in the same run, on throw-away namespaces and labs.

`python -m bench` runs them all, `python -m bench.<name>` one. They are not installed.
"""
