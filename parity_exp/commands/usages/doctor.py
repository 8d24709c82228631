"""What ``doctor`` says of itself."""

from parity_exp.experiment.usage import Usage

USAGE = Usage(
    "Shows versions, cores, memory and free disk, devices, data sets and where they were looked for, whether W&B is "
    "logged in (without asking it), and extras; what is missing stands with the command that brings it. Then it trains "
    "and serves a small model on each device, in some ten seconds, in a temporary folder. The exit status is 2 where "
    "something that is needed, or a device that is there, does not work.",
    {
        "pool.devices=cpu": "devices to try, by name; auto: all there are",
        "dataset.root=/data": "where data sets are looked for first",
        "outputs=/scratch/outputs": "where run directories are to go",
    },
    ("dataset",),
    {
        "doctor": "everything",
        "doctor pool.devices=cuda:1": "try one GPU alone",
    },
)
