"""What ``simulate`` says of itself."""

from parity_exp.experiment.usage import Usage

USAGE = Usage(
    "Runs the very policies and queues of `serve` in simulated time, over a load and stragglers drawn in the same way, "
    "without models or data; so it knows latencies and costs, and no accuracy. Of a code it asks what brings lost "
    "answers back: of decoder=, as in decoder=places, or of a trained run's, by run=. With an objective for latency it "
    "finds the fewest machines on which each policy keeps it.",
    {
        "pool.instances=1000": "base instances; policies add to them",
        "load.queries=1000000": "queries measured, for each policy",
        "load.utilisation=0.7": "arrivals, as a share of what base instances can serve",
        "redundancy=[equal_resources,hedged,parity]": "policies, one after the other",
        "straggler=[shuffle,crash]": "what slows or stops instances",
        "pool.service_time_ms=5": "mean time that a task takes",
        "distribution@simulate.service_time=pareto": "how that time varies",
        "simulate.seeds=5": "simulations that differ by seeds alone, for confidence intervals",
        "simulate.calibrate=outputs/serve/DATE/TIME": "times as a served run has measured them",
        "plan.slo_ms=[100]": "find the fewest machines that keep plan.percentile below this",
    },
    (
        "redundancy",
        "ejection",
        "straggler",
        "load",
        "pool",
        "queue",
        "decoder",
        "distribution",
        "experiment/*",
        "tracker",
    ),
    {
        "simulate pool.instances=1000 load.queries=1000000 redundancy=[parity]": "what nobody can rent",
        "simulate run=outputs/train/DATE/TIME straggler=shuffle_heavy": "a trained run's code, under heavy transfers",
        "simulate -m experiment=parm/fig9a": "a figure of the paper, at all its rates",
        "simulate load.rate_qps=300 plan.slo_ms=[100]": "how many machines each policy takes",
    },
)
