"""The whole examination: sections in the order in which they are shown, and what it all comes to."""

import json
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console

from parity_exp.data.places import SYSTEM_FOLDERS
from parity_exp.doctor import machine, probe, software
from parity_exp.doctor.children import Children, here
from parity_exp.doctor.findings import Finding, State, show
from parity_exp.doctor.trials import trial

PROBE_S = 120

CPU = "cpu"


def examine(
    outputs: str, data: str, wanted: Sequence[str] | None, overrides: Sequence[str], console: Console
) -> list[str]:
    """Look at everything and show it; say in a line each what is needed and does not work.

    Args:
        outputs: the folder that run directories go below.
        data: the folder that data sets are looked for in first.
        wanted: devices to try; None: the processor and every accelerator.
        overrides: a command line's, for the data sets.
        console: where to show it.
    """
    broken: list[str] = []

    def tell(title: str, findings: Sequence[Finding]) -> None:
        show(console, title, findings)
        broken.extend(one.line for one in findings if one.state is State.BROKEN)

    tell("Software", list(software.software()))
    tell("Extras", list(software.extras()))
    temporary = machine.temporary_files()
    tell("Machine", list(machine.machine()))
    tell("Places", [*machine.places(outputs, data), temporary])
    if temporary.state is State.BROKEN:
        return broken
    with (
        tempfile.TemporaryDirectory(prefix="parity-exp-doctor-", ignore_cleanup_errors=True) as folder,
        ThreadPoolExecutor(2) as threads,
        Children() as children,
    ):
        on_cpu = wanted is None or CPU in wanted
        first = threads.submit(trial, CPU, Path(folder, CPU), children) if on_cpu else None
        found, devices = look(children, overrides)
        tell("Libraries", found[probe.LIBRARIES])
        tell("Tracking", found[probe.TRACKING])
        where = ", ".join((str(machine.absolute(data)), *SYSTEM_FOLDERS))
        tell(f"Data sets, looked for in {where}", found[probe.DATA_SETS])
        tell("Accelerators", found[probe.DEVICES])
        trials = [first.result()] if first is not None else []
        named = [name for name in (devices if wanted is None else wanted) if name != CPU]
        trials += [trial(name, Path(folder, str(place)), children) for place, name in enumerate(named)]
    tell("Trials", trials)
    return broken


def look(children: Children, overrides: Sequence[str]) -> tuple[dict[str, list[Finding]], list[str]]:
    """What the probe finds, by section, and the accelerators that can be tried.

    It looks from the current folder, where paths of data sets begin, and writes nothing there.
    """
    said = children.ask(["-m", "parity_exp.doctor.probe", *overrides], here(), PROBE_S)
    found: dict[str, list[Finding]] = defaultdict(list)
    devices: list[str] = []
    for line in said.output.splitlines():
        try:
            content = json.loads(line)
            if "device" in content:
                devices.append(content["device"])
            else:
                section, state = content.pop("section"), State[content.pop("state")]
                found[section].append(Finding(**content, state=state))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # something that a library has printed
    if said.problem:
        remedy = "what was to be looked at next, or its driver, brings Python down"
        found[probe.LIBRARIES].append(Finding("probe", said.problem, State.BROKEN, remedy))
    return found, devices
