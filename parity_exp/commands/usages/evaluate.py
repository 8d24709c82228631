"""What ``evaluate`` says of itself."""

from parity_exp.experiment.usage import Usage

USAGE = Usage(
    "Measures what an earlier `train` has made, from its checkpoints and its config: accuracy of the base model, of "
    "what is rebuilt when predictions are lost, and of both together. The experiment stays as it was; how it is "
    "measured may change. The results go to a run directory of their own.",
    {
        "run=outputs/train/DATE/TIME": "the run to measure; always needed",
        "evaluation.seed=1": "another draw of the coding groups",
        "evaluation.groupings=5": "random groupings to average over",
        "evaluation.fractions_unavailable=[0.01,0.1]": "shares of lost predictions for the overall accuracy",
        "dataset.root=/data": "where the data are on this machine",
        "dataset.limit=1000": "take so many samples of each split only",
        "trainer=cpu": "where to compute",
        "tracker=none": "who keeps results beside the run directory",
        "outputs=/scratch/outputs": "run directories go below this folder",
        "trust=[my_codes]": "modules of your own that the run's config may name",
    },
    ("trainer", "tracker"),
    {
        "evaluate run=outputs/train/DATE/TIME evaluation.groupings=5": "a steadier number",
        "evaluate -m run=outputs/train/DATE/TIME evaluation.seed=1,2,3": "how much the grouping matters",
    },
)
