"""What ``serve`` says of itself."""

from parity_exp.experiment.usage import Usage

USAGE = Usage(
    "Loads a trained run's checkpoints into a pool of instances, sends queries as a load has them arrive, disturbs "
    "instances by stragglers, and does so under each redundancy policy in turn, in the same world. Writes every query "
    "and task, percentiles of latency, accuracy of what clients got, figures and a page.",
    {
        "run=outputs/train/DATE/TIME": "the run to serve; always needed",
        "redundancy=[equal_resources,hedged,parity]": "policies, one after the other",
        "straggler=[shuffle,crash]": "what slows or stops instances",
        "load.utilisation=0.7": "arrivals, as a share of what base instances can serve",
        "load.rate_qps=200": "or arrivals a second",
        "load.queries=20000": "queries measured, for each policy",
        "load.slo_ms=200": "then a query gets the default prediction",
        "pool.instances=8": "base instances; policies add to them",
        "pool.service_time_ms=0": "least time of a task; 0: the model's own",
        "pool.devices=cpu": "where instances compute",
    },
    ("redundancy", "ejection", "straggler", "load", "pool", "queue", "experiment/*", "trainer", "tracker"),
    {
        "serve run=outputs/train/DATE/TIME": "the policies chosen otherwise, under network transfers",
        "serve -m run=outputs/train/DATE/TIME load.utilisation=0.5,0.7": "latency over load",
        "serve run=outputs/train/DATE/TIME pool=ray pool.num_gpus=1": "on a Ray cluster",
    },
)
