"""The one floor that knows Hydra and OmegaConf: from a composed config to the objects of an experiment."""
