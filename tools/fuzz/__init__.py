"""Hostile input for everything that reads a stranger's bytes: `python -m tools.fuzz --help`, or `make fuzz`.

Mutated, spliced, truncated and random inputs, millions of them, run against kernels that were compiled with
AddressSanitizer. A target must answer each with a result or with the exception it documents; anything else,
a crash, a hang or memory beyond the limits, is a finding, and the input is kept.
"""
