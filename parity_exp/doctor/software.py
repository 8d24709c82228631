"""Which versions are installed, from the packages' own metadata; nothing is imported for it."""

import platform
from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement

from parity_exp.doctor.findings import Finding, State

OURS = "parity_exp"


def software() -> Iterator[Finding]:
    """Python, this package, and what it needs."""
    yield Finding("python", f"{platform.python_version()}, {platform.platform(terse=True)}")
    try:
        yield Finding(OURS, metadata.version(OURS))
        needed = _requirements()
    except metadata.PackageNotFoundError:
        remedy = "pip install -e . in the checkout"
        yield Finding(OURS, "not installed, so nobody knows what it needs", State.MISSING, remedy)
        return
    there: list[str] = []
    for requirement in needed:
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            found = _found(requirement)
            if isinstance(found, Finding):
                yield found
            else:
                there.append(found)
    yield Finding("packages", ", ".join(there))


def extras() -> Iterator[Finding]:
    """What is not needed by everybody, with the command that brings it."""
    try:
        names = [name for name in metadata.metadata(OURS).get_all("Provides-Extra") or [] if name != "all"]
        needed = _requirements()
    except metadata.PackageNotFoundError:
        return
    for extra in names:
        own = [one for one in needed if _only_with(one, extra)]
        found = [_found(one) for one in own]
        lacking = [one.text for one in found if isinstance(one, Finding)]
        if lacking:
            yield Finding(extra, ", ".join(lacking), State.MISSING, f"pip install '{OURS}[{extra}]'")
        elif own:
            yield Finding(extra, ", ".join(str(one) for one in found))


def _requirements() -> list[Requirement]:
    return [Requirement(line) for line in metadata.requires(OURS) or []]


def _only_with(requirement: Requirement, extra: str) -> bool:
    marker = requirement.marker
    return (
        marker is not None
        and requirement.name.replace("-", "_") != OURS
        and marker.evaluate({"extra": extra})
        and not marker.evaluate({"extra": ""})
    )


def _found(requirement: Requirement) -> str | Finding:
    """Name and version, or what is wrong with it."""
    wanted = f"{requirement.name}{requirement.specifier}"
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return Finding(requirement.name, f"{wanted} is not installed", State.BROKEN, f"pip install '{wanted}'")
    if not requirement.specifier.contains(version, prereleases=True):
        text = f"{version} is installed, {wanted} is needed"
        return Finding(requirement.name, text, State.BROKEN, f"pip install --upgrade '{wanted}'")
    return f"{requirement.name} {version}"
