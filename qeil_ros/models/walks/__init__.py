"""A family of small decoders of one architecture, and questions of walks that they answer by sampling.

For measuring how coverage, energy and time grow with size, samples and tokens: `qeil measure`. numpy and the
graph's runtime only; the graphs are built in memory, which needs the package onnx.
"""
