"""Servers of a model that does nothing, each as its makers would write it: ``python -m tests.benchmarks.servers.NAME``.

They take a query of 28x28 numbers as the body of the Open Inference Protocol has it, and answer with ten of them. The
port is the first argument.
"""
