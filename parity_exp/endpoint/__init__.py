"""The live endpoint: the Open Inference Protocol v2, REST and gRPC, in front of a policy, its desk and its instances.

Two threads share the work. One runs the frontend (:mod:`parity_exp.endpoint.live_frontend`): it takes what clients ask,
and does with it what the frontend of an experiment does with a played load. The other runs asyncio: it reads and
writes what goes over the network, and never waits for an instance.
"""
