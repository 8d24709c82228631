"""The live endpoint: the Open Inference Protocol v2, REST and gRPC, in front of a policy, its desk and its instances.

One thread does the work, in a loop of asyncio. It reads and writes what goes over the network, and lets the frontend
(:mod:`parity_exp.endpoint.live_frontend`) take its turns, which does with what clients ask what the frontend of an
experiment does with a played load. Neither ever waits for an instance.
"""
