"""What ``report`` says of itself."""

from parity_exp.experiment.usage import Usage

USAGE = Usage(
    "Reads run directories of any command and state of the code, and writes one page that compares them, with figures, "
    "and the tables that it was made from. It trains and serves nothing and changes no run directory.",
    {
        "runs=outputs/train/**": "folders of runs, a pattern or several between commas; null: all below outputs",
        "outputs=/scratch/outputs": "where runs are looked for and the page is written",
        "hydra.run.dir=page": "the folder of the page, instead of one named by date and time",
    },
    (),
    {
        "report": "all runs below outputs/",
        "report runs='outputs/serve/multirun/DATE/TIME/**'": "the jobs of one sweep",
        "report runs=outputs/train/DATE/TIME,old/run": "two runs side by side",
    },
)
