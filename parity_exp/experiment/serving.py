"""From a config and a trained run to the arguments of ``parity_exp.serve``."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from omegaconf import OmegaConf
from torch import Tensor, nn

from parity_exp.coding import Code, FisherAveraging, Grid, NonSystematicCode
from parity_exp.coding.token_grid import TokenGrid
from parity_exp.data import coding_groups
from parity_exp.errors import ConfigError
from parity_exp.experiment.assembly import Experiment
from parity_exp.experiment.backups import BACKUPS, multiplexed_code
from parity_exp.experiment.components import build_checked, for_the_class
from parity_exp.experiment.keys import naming_keys
from parity_exp.experiment.scenario import accuracy_of, non_systematic_code, policy, scenario_arguments
from parity_exp.experiment.several_processes import obtain_labelled_of
from parity_exp.experiment.trained_run import normal_outputs_of
from parity_exp.experiment.untrained_codes import choose_settings
from parity_exp.models import ModelBank, load_weights, save_weights, tagged
from parity_exp.policies.policy import BACKUP, BASE, MULTIPLEXED, member_model, parity_model
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.scenario import Scenario
from parity_exp.serving.load_model import load_bank, load_model, load_places_apart, load_scaled, load_token_places
from parity_exp.serving.pool import Pool, ServedModel
from parity_exp.serving.serving import LONGEST_S, check_served
from parity_exp.tracking import Tracker
from parity_exp.training.measuring import stand_in_scores

BANK = "models"
"""The checkpoint of the k models of a code over models, where they are served."""


class ServingPlan:
    """How an experiment is served, from its config.

    Everything that the config alone shows to be wrong is refused here, before anything is trained or started.

    Args:
        experiment: says what is served.

    Attributes:
        policies: their names, in the order of the run.
        backups: small models that policies want, by the names of their sections.

    Raises:
        ConfigError: a value that cannot be.
        UserError: a trace file that is missing or wrong.
    """

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.config = experiment.config
        shared = scenario_arguments(self.config)
        stragglers = shared.pop("straggler")
        with naming_keys():
            code = experiment.code if experiment.systematic else None
            needs = {} if code is None else dict.fromkeys(shared["policies"], code.needs)
            scenario = Scenario(**shared, stragglers=stragglers, longest_s=LONGEST_S, needs=needs)
            check_served(scenario, self.pool())
        self.policies = scenario.policies
        self.backups = [section for section in BACKUPS if section in scenario.model_names]
        self._compares = any(one.false_alarm_rate is not None for one in scenario.made.values())
        for name in self.policies:
            node = self.config.redundancy[name].get("code")
            if node is not None:
                experiment.refuse_sums_of_tokens(f"redundancy.{name}.code", node)
        self._check_models(scenario)
        if experiment.over_models:
            self._check_over_models(scenario)
        if experiment.systematic:
            experiment.warn_of_precision("pool.precision", self.config.pool.get("precision", "float32"))
        for section in self.backups:
            experiment.rehearse_network(section)

    def _check_models(self, scenario: Scenario) -> None:
        """Refuse policies that want models which no run of this code has.

        Raises:
            ConfigError: with the policy and the model.
        """
        there = {BASE, *BACKUPS, *self._parity_models}
        for name in self.policies:
            wanted = {model for role in scenario.policy(name).roles(scenario.instances) for model in role.models}
            if missing := sorted(wanted - there):
                code = str(self.config.code._target_).rpartition(".")[2]
                raise ConfigError(
                    f"redundancy={name}: it runs the model {missing[0]}, and this run's code has none ({code}); leave "
                    f"{name} out, or take redundancy=coded, which serves the run's own code"
                )

    def _check_over_models(self, scenario: Scenario) -> None:
        """Refuse what would part a query's k predictions, which a group of a code over models holds.

        Raises:
            ConfigError: with the key.
        """
        if self.config.pool.batch_size != 1:
            raise ConfigError(
                f"pool.batch_size={self.config.pool.batch_size}: a run of code=fisher serves the k models of a query "
                "one after another; take pool.batch_size=1"
            )
        for name, made in scenario.made.items():
            if made.uses_groups and (made.multiplexes or "code" in self.config.redundancy[name]):
                raise ConfigError(
                    f"redundancy={name}: it encodes queries, and in a run of code=fisher k in a row are one for k "
                    f"models; leave {name} out"
                )
        if self.backups:
            raise ConfigError(
                f"redundancy={self.backups[0]}: a small model stands in for one model, and a run of code=fisher has "
                f"k={self.experiment.k}; leave it out"
            )

    @property
    def _parity_models(self) -> list[str]:
        """Names of the run's parity models, which only systematic codes have."""
        return [parity_model(row) for row in range(self.experiment.r)] if self.experiment.systematic else []

    def pool(self) -> Pool:
        """A pool that has not been started."""
        return build_checked(self.config.pool, "pool", Pool)  # type: ignore[type-abstract]

    def arguments(
        self, trained: RunDirectory, backups: Mapping[str, RunDirectory], run: RunDirectory, tracker: Tracker
    ) -> dict[str, Any]:
        """Arguments of :func:`parity_exp.serve`, by name; trains and chooses what is left to be.

        Args:
            trained: whose checkpoints; the experiment's code has their encoder and decoder.
            backups: where each small model of an approximate backup is, or is to be.
            run: where the config, and the tables of searches, go.
            tracker: is told how the small model's training goes.

        Raises:
            ConfigError: a value that cannot be.
        """
        experiment = self.experiment
        experiment.base_weights = trained.checkpoint(BASE)
        small = {name: obtain_labelled_of(experiment, name, backups[name], tracker.epoch) for name in self.backups}
        chosen = self._choose_settings(trained, run) | self._qualities(small)
        splits = experiment.splits
        own = experiment.own_test_predictions(trained) if splits.task.own_truth else None
        arguments = scenario_arguments(self.config, accuracy_of(trained))
        queries = splits.normalise(splits.test.inputs)
        labels = splits.test.labels if own is None else splits.judged("test", own).labels
        models, codes = self._models(trained, backups), self._codes()
        if experiment.over_models:
            k = experiment.k
            queries, labels, arguments["together"] = tagged(queries, k), labels.repeat_interleave(k, dim=0), k
            models |= self._bank(trained, run)
            codes = {name: code.for_tagged() for name, code in codes.items() if isinstance(code, FisherAveraging)}
        alike = splits.alike(splits.test)
        if alike is not None and not experiment.over_models:
            # Queries that are to be coded together come one after the other.
            order = coding_groups(len(labels), experiment.k, experiment.seed, alike=alike).flatten()
            queries, labels, arguments["together"] = queries[order], labels[order], experiment.k
        return arguments | {
            "models": models,
            "queries": queries,
            "labels": labels,
            "code": codes,
            "task": experiment.task if own is None else experiment.task.knowing(own),
            "default": experiment.task.default(splits.train.labels),
            "normal_outputs": self._normal_outputs(trained),
            "pool": self.pool(),
            "folder": run.path,
            "earlier": chosen,
        }

    def _models(self, trained: RunDirectory, backups: Mapping[str, RunDirectory]) -> dict[str, ServedModel]:
        """Everything that instances can hold, by name."""
        experiment = self.experiment
        shape, outputs = experiment.splits.query_shape, experiment.task.outputs

        def node(section: str) -> Any:
            return OmegaConf.to_container(for_the_class(experiment.fitted_architecture(section), "architecture"))

        def served(section: str, path: object, query_shape: tuple[int, ...], outputs: int) -> ServedModel:
            load = partial(load_model, node(section), query_shape, outputs, str(path))
            return ServedModel(load, query_shape, (outputs,), str(path))

        def served_tokens(section: str, code: Code, path: str) -> ServedModel:
            encoder, decoder = code.encoder, code.decoder
            assert isinstance(encoder.grid, TokenGrid)
            numbers = outputs if decoder.by_place else decoder.parity_outputs
            load_tokens = partial(load_token_places, node(section), encoder.grid, decoder.by_place, numbers, path)
            return ServedModel(load_tokens, encoder.parity_shape, (decoder.parity_outputs,), path)

        def served_places(section: str, code: Code, path: str) -> ServedModel:
            encoder, decoder = code.encoder, code.decoder
            if isinstance(encoder.grid, TokenGrid):
                return served_tokens(section, code, path)
            assert isinstance(encoder.grid, Grid)  # otherwise such a decoder is refused
            load = partial(load_places_apart, node(section), encoder.grid, encoder.parity_shape, outputs, path)
            return ServedModel(load, encoder.parity_shape, (decoder.parity_outputs,), path)

        def served_parity(path: str) -> ServedModel:
            code = experiment.code
            encoder, decoder = code.encoder, code.decoder
            if experiment.over_models:
                load_average = partial(load_scaled, node("base"), float(experiment.k), shape, outputs, path)
                return ServedModel(load_average, shape, (outputs,), path)
            if isinstance(encoder.grid, TokenGrid):
                return served_tokens("parity", code, path)
            if decoder.by_place:
                return served_places("parity", code, path)
            section = "parity" if self.config.parity.trainable else "base"
            return served(section, path, encoder.parity_shape, decoder.parity_outputs)

        models = {BASE: served("base", trained.checkpoint("base"), shape, outputs)}
        for name in self._parity_models:
            models[name] = served_parity(str(trained.checkpoint(name)))
        if BACKUP in self.backups:
            models[BACKUP] = served(BACKUP, backups[BACKUP].checkpoint(BACKUP), shape, outputs)
        if MULTIPLEXED in self.backups:
            path = str(backups[MULTIPLEXED].checkpoint(MULTIPLEXED))
            models[MULTIPLEXED] = served_places(MULTIPLEXED, multiplexed_code(self.config, experiment.splits), path)
        return models

    def _bank(self, trained: RunDirectory, run: RunDirectory) -> dict[str, ServedModel]:
        """The k models of a code over models as one, in a checkpoint of this run, in the place of the base model."""
        experiment = self.experiment
        shape, outputs, k = experiment.splits.query_shape, experiment.task.outputs, experiment.k
        networks = [experiment.new_base_network() for _ in range(k)]
        for number, network in enumerate(networks):
            load_weights(trained.checkpoint(member_model(number)), network, "run")
        path = run.checkpoint(BANK)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_weights(path, BANK, ModelBank(networks).state_dict())
        node: Any = OmegaConf.to_container(for_the_class(experiment.fitted_architecture("base"), "architecture"))
        load = partial(load_bank, node, k, shape, outputs, str(path))
        return {BASE: ServedModel(load, (shape[0] + 1, *shape[1:]), (outputs,), str(path))}

    def _qualities(self, small: Mapping[str, nn.Module]) -> dict[str, float]:
        """How good small models are on test queries; see :func:`parity_exp.training.measuring.stand_in_scores`."""
        experiment, metrics = self.experiment, dict[str, float]()
        test, task = experiment.splits.test, experiment.task
        own = None
        for name, network in small.items():
            if own is None:
                own = experiment.predictions(experiment.trained_base(), test.inputs)
            scores = stand_in_scores(experiment.predictions(network, test.inputs), own, test.labels, task)
            metrics |= {f"test/{name}/{score}": value for score, value in scores.items()}
        return metrics

    def _codes(self) -> dict[str, Code | NonSystematicCode]:
        """The code of each policy that uses groups."""
        codes: dict[str, Code | NonSystematicCode] = {}
        for name in self.policies:
            made = policy(self.config, name)
            if made.multiplexes:
                codes[name] = multiplexed_code(self.config, self.experiment.splits)
            elif made.uses_groups:
                codes[name] = non_systematic_code(self.config, name) or self.experiment.code
        return codes

    def _choose_settings(self, trained: RunDirectory, run: RunDirectory) -> dict[str, float]:
        """Choose what the codes of policies leave open, and put it into the config; return what was chosen."""
        metrics: dict[str, float] = {}
        for name in self.policies:
            node = self.config.redundancy[name].get("code")
            if node is None:
                continue  # without a code of its own; what the run's leaves open was chosen when it was trained
            base = self.experiment.new_base_network()
            load_weights(trained.checkpoint("base"), base, "run")
            key = f"redundancy.{name}.code"
            chosen = choose_settings(self.experiment, node, key, base, run.code_search(name))
            metrics |= {f"serve/{name}/{setting}": value for setting, value in chosen.items()}
        run.write_config(self.config)
        return metrics

    def _normal_outputs(self, trained: RunDirectory) -> tuple[Tensor, Tensor] | None:
        """Outputs of groups in which nothing is wrong, where a policy compares them."""
        return normal_outputs_of(self.experiment, trained) if self._compares else None
