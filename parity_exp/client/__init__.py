"""The other side of an endpoint: a load played against any server of the Open Inference Protocol v2.

Arrivals, the order of queries, the recorder and its files are those of ``serve``, so that servers of any make stand in
one figure. Latency counts from the scheduled arrival, however late this side or the server is.
"""
