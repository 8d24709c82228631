"""What ``run`` says of itself."""

from parity_exp.experiment.usage import Usage

USAGE = Usage(
    "Does what `train`, `serve` and `report` do, one after the other, from one config into one run directory. Whatever "
    "the config shows to be impossible, in training or in serving, is refused before anything is trained.",
    {
        "dataset=fashion_mnist": "what the queries are",
        "architecture=lenet": "the base model's network, and the parity model's",
        "base.checkpoint=model.pt": "a base model of your own instead of one trained here",
        "encoder=concat": "how k queries become one parity query",
        "k=4": "queries in a coding group",
        "recipe=fast": "how the code is trained; fast takes a tenth of the time",
        "redundancy=[equal_resources,hedged,parity]": "policies, one after the other",
        "straggler=[shuffle,crash]": "what slows or stops instances",
        "load.utilisation=0.7": "arrivals, as a share of what base instances can serve",
        "pool.instances=8": "base instances; policies add to them",
    },
    (
        "experiment/*",
        "setting",
        "dataset",
        "architecture",
        "code",
        "recipe",
        "encoder",
        "decoder",
        "redundancy",
        "straggler",
        "load",
        "pool",
        "queue",
        "trainer",
        "tracker",
    ),
    {
        "run recipe=fast load.queries=2000": "all of it on scikit-learn's digits",
        "run -m k=2,3 load.utilisation=0.5,0.7": "what k does to accuracy and to the tail",
    },
)
