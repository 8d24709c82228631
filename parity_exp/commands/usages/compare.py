"""What ``compare`` says of itself."""

from parity_exp.experiment.usage import Usage

USAGE = Usage(
    "Trains every code of `compare.rivals`, simulates it and its rivals on one cluster under one load and the same "
    "stragglers, and writes one table (`rivals.csv`), one picture and one page of all of them. What is trained in its "
    "folder already is not trained again.",
    {
        "experiment=compare/rivals": "which rivals, data, network and cluster",
        "compare.only=[parm,places,fisher]": "some of the rivals",
        "load.utilisation=0.7": "whatever `train` and `simulate` take, for all of them",
        "hydra.run.dir=rivals": "the folder, instead of one named by date and time; given again, it goes on there",
    },
    ("experiment/*", "dataset", "architecture", "straggler", "load", "trainer", "tracker"),
    {
        "compare experiment=compare/rivals_small": "on the digits of scikit-learn, in a few minutes",
        "compare experiment=compare/rivals": "LeNet on Fashion-MNIST",
    },
)
