"""What ``train`` says of itself."""

from parity_exp.experiment.usage import Usage

USAGE = Usage(
    "Trains the base model (or takes yours), then the code for it on coding groups of k queries: parity models, and "
    "encoder and decoder where they learn. Measures both on the test split, with every loss simulated, and writes a "
    "run directory that `evaluate`, `serve` and `report` take.",
    {
        "dataset=fashion_mnist": "what the queries are",
        "architecture=lenet": "the base model's network, and the parity model's",
        "base.checkpoint=model.pt": "a base model of your own instead of one trained here",
        "encoder=concat": "how k queries become one parity query",
        "k=4": "queries in a coding group",
        "recipe=fast": "how the code is trained; fast takes a tenth of the time",
        "trainer.max_epochs=20": "epochs of the code's training",
        "seed=1": "of everything random",
        "tracker=csv": "who keeps curves and results beside the run directory",
        "resume=outputs/train/DATE/TIME": "go on with a run that was stopped",
    },
    (
        "experiment/*",
        "setting",
        "dataset",
        "task",
        "architecture",
        "code",
        "recipe",
        "encoder",
        "decoder",
        "position_code",
        "generator",
        "initialisation",
        "objective",
        "optimizer",
        "scheduler",
        "trainer",
        "tracker",
    ),
    {
        "train encoder=concat k=4 recipe=fast": "a parity model for scikit-learn's digits",
        "train -m k=2,3,4 encoder=addition,concat": "six runs, and one table of them all",
        "train trainer=ddp": "on all GPUs of this machine",
    },
)
