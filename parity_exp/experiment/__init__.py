"""The one floor that knows Hydra and OmegaConf: from a composed config to the objects of an experiment."""

from parity_exp.experiment import policy_defaults

policy_defaults.register()
