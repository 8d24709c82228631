"""Keep libraries from telling our users what does not help them."""

import logging
import warnings

LOUD = ("pytorch_lightning", "lightning", "lightning_fabric")


def quiet_libraries() -> None:
    """Lightning's notes on hardware, on other products, and on parts that we froze on purpose."""
    for name in LOUD:
        logging.getLogger(name).setLevel(logging.WARNING)
        logging.getLogger(f"{name}.utilities.rank_zero").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\).*")
    warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode at the start of training")
    warnings.filterwarnings("ignore", message=r".*was configured without a `val_dataloader`.*")
    warnings.filterwarnings("ignore", message=r"It is recommended to use `self.log\(.*sync_dist=True")
    # trainer.benchmark says what it means.
    warnings.filterwarnings("ignore", message=r"You passed `deterministic=True` and `benchmark=True`")
