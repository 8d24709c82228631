"""Modules by the names that they had in the last release, for people's own classes and for configs of stored runs.

One table, one finder: whoever imports an old name gets the very module that is there now, so that its classes are the
same classes. To be taken away with the next release.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

NOW = {
    "analysis.best_settings": "analysis.runs.best_settings",
    "analysis.capacity_figures": "analysis.figures.capacity",
    "analysis.capacity_tables": "analysis.tables.capacity",
    "analysis.comparison_figures": "analysis.figures.comparison",
    "analysis.comparison_findings": "analysis.pages.comparison_findings",
    "analysis.comparison_report": "analysis.pages.comparison",
    "analysis.comparison_tables": "analysis.tables.comparison",
    "analysis.config_differences": "analysis.runs.differences",
    "analysis.field_guide": "analysis.pages.approaches",
    "analysis.findings": "analysis.pages.findings",
    "analysis.gathered_runs": "recordings.gathered",
    "analysis.looks": "recordings.looks",
    "analysis.page": "analysis.pages.page",
    "analysis.picture_files": "analysis.figures.files",
    "analysis.policy_standings": "analysis.figures.standings",
    "analysis.recordings": "recordings.reader",
    "analysis.report": "analysis.pages.run",
    "analysis.run_facts": "analysis.pages.run_facts",
    "analysis.serving_figures": "analysis.figures.serving",
    "analysis.serving_tables": "analysis.tables.serving",
    "analysis.tidy": "analysis.runs.tidy",
    "backends": "devices.backends",
    "command_line": "experiment.command_line",
    "commands.assembly": "experiment.assembly",
    "commands.calibration": "training.normal",
    "commands.capacity": "experiment.capacity",
    "commands.components": "experiment.components",
    "commands.determined": "experiment.result_facts",
    "commands.hydra_record": "experiment.hydra_record",
    "commands.job": "experiment.job",
    "commands.non_systematic": "experiment.untrained_codes",
    "commands.own_folder": "experiment.own_folder",
    "commands.parallel": "process.parallel",
    "commands.phases": "training.phases",
    "commands.planning": "simulation.capacity",
    "commands.progress": "process.progress",
    "commands.ranks": "process.ranks",
    "commands.results": "training.measuring",
    "commands.scenario": "experiment.scenario",
    "commands.seeds": "simulation.session",
    "commands.serving": "experiment.serving",
    "commands.simulation": "experiment.simulation",
    "commands.stored": "experiment.stored",
    "commands.sweep_table": "experiment.sweep_table",
    "commands.world": "process.world",
    "data.texts": "files.texts",
    "data.whole_files": "files.whole_files",
    "explanations": "experiment.explanations",
    "experiment.schema.values": "values",
    "identity": "files.identity",
    "interrupts": "process.interrupts",
    "library_errors": "experiment.library_errors",
    "memory": "devices.memory",
    "outputs": "process.outputs",
    "placement": "devices.placement",
    "quiet": "process.quiet",
    "run_directory": "recordings.run_directory",
    "schema": "experiment.schema",
    "schema.checks": "experiment.schema.checks",
    "schema.composed": "experiment.schema.composed",
    "schema.config": "experiment.schema.config",
    "schema.libraries": "experiment.schema.libraries",
    "schema.signatures": "experiment.schema.signatures",
    "schema.values": "values",
    "searching": "experiment.searching",
    "searching.own_configs": "experiment.searching.own_configs",
    "searching.pruning": "experiment.searching.pruning",
    "searching.search_space": "experiment.searching.search_space",
    "searching.studies": "experiment.searching.studies",
    "searching.sweeper": "experiment.searching.sweeper",
    "serving.capacity": "serving.throughput",
    "serving.checks": "checks",
    "serving.consistency": "coding.consistency",
    "serving.corruptor": "disturbances.corruptor",
    "serving.costs": "recordings.costs",
    "serving.csv_rows": "files.csv_rows",
    "serving.desk": "policies.desk",
    "serving.error_text": "recordings.error_text",
    "serving.helpers": "disturbances.helpers",
    "serving.helpers.burner": "disturbances.helpers.burner",
    "serving.helpers.helper": "disturbances.helpers.helper",
    "serving.helpers.process": "disturbances.helpers.process",
    "serving.helpers.tenant_service": "disturbances.helpers.tenant_service",
    "serving.judge": "policies.judge",
    "serving.load": "load",
    "serving.load.bursts": "load.bursts",
    "serving.load.closed_loop": "load.closed_loop",
    "serving.load.constant": "load.constant",
    "serving.load.load": "load.load",
    "serving.load.poisson": "load.poisson",
    "serving.load.query_order": "load.query_order",
    "serving.load.trace_load": "load.trace_load",
    "serving.look": "policies.look",
    "serving.measures": "recordings.measures",
    "serving.policies": "policies",
    "serving.policies.adaptive": "policies.adaptive",
    "serving.policies.approximate_backup": "policies.approximate_backup",
    "serving.policies.busyness": "policies.estimates.busyness",
    "serving.policies.checked_parity": "policies.checked_parity",
    "serving.policies.coded": "policies.coded",
    "serving.policies.equal_resources": "policies.equal_resources",
    "serving.policies.hedged": "policies.hedged",
    "serving.policies.lateness": "policies.estimates.lateness",
    "serving.policies.no_redundancy": "policies.no_redundancy",
    "serving.policies.oracle": "policies.oracle",
    "serving.policies.parity": "policies.parity",
    "serving.policies.replication": "policies.replication",
    "serving.policies.shared_parity": "policies.shared_parity",
    "serving.policies.slowness": "policies.estimates.slowness",
    "serving.policies.voted_parity": "policies.voted_parity",
    "serving.policies.voted_replication": "policies.voted_replication",
    "serving.policy": "policies.policy",
    "serving.pools.cores": "devices.cores",
    "serving.recorder": "recordings.recorder",
    "serving.stragglers": "disturbances",
    "serving.stragglers.background": "disturbances.background",
    "serving.stragglers.contention": "disturbances.contention",
    "serving.stragglers.corrupt": "disturbances.corrupt",
    "serving.stragglers.crash": "disturbances.crash",
    "serving.stragglers.degraded": "disturbances.degraded",
    "serving.stragglers.distribution": "disturbances.distribution",
    "serving.stragglers.multitenancy": "disturbances.multitenancy",
    "serving.stragglers.neighbour": "disturbances.neighbour",
    "serving.stragglers.replay": "disturbances.replay",
    "serving.stragglers.shuffle": "disturbances.shuffle",
    "serving.stragglers.slots": "disturbances.slots",
    "serving.stragglers.slowdown": "disturbances.slowdown",
    "serving.stragglers.straggler": "disturbances.straggler",
    "serving.stragglers.trace_size": "disturbances.trace_size",
    "serving.timeline": "disturbances.timeline",
    "serving.trace": "disturbances.trace",
    "serving.troubles": "recordings.troubles",
    "serving.worlds": "disturbances.worlds",
    "simulation.calibration": "simulation.measured_times",
    "side_channels": "process.side_channels",
    "stand_ins": "files.stand_ins",
    "suggestions": "experiment.suggestions",
    "temporary_folder": "process.temporary_folder",
}
"""Today's name of every module that had another one, both without the package's."""

PACKAGE = __package__


class MovedModules(MetaPathFinder, Loader):
    """Finds modules by their old names."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, name = fullname.partition(".")
        return ModuleSpec(fullname, self) if package == PACKAGE and name in NOW else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(f"{PACKAGE}.{NOW[spec.name.partition('.')[2]]}")
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # It has been executed by its own name; only the importing machinery has written the old one into it.
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state


def find_moved_modules() -> None:
    """Let old names be imported in this process. Calling it again changes nothing."""
    if not any(isinstance(finder, MovedModules) for finder in sys.meta_path):
        sys.meta_path.insert(0, MovedModules())
