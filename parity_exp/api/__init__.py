"""The functions that people call from Python, and that commands call once they have made objects of a config.

They take plain objects: data sets, networks, codes. Where they are given a folder they write a run directory to it,
which every command reads; for that alone the floor of configs is asked what the objects are called there.
"""
