"""Versions and extras, by the packages' metadata."""

from importlib import metadata

import pytest

from parity_exp.doctor.findings import Finding, State
from parity_exp.doctor.software import extras, software

NEEDED = [
    "torch>=2.9",
    "wandb>=0.22; python_version < '3'",
    'ray>=2.40; extra == "ray"',
    'parity_exp[ray]; extra == "all"',
]


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What is installed, by name."""
    there = {"parity_exp": "0.1.0", "torch": "2.9.1", "ray": "2.50"}

    def version(name: str) -> str:
        if name not in there:
            raise metadata.PackageNotFoundError(name)
        return there[name]

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(metadata, "requires", lambda _: NEEDED)
    return there


def bad(found: list[Finding]) -> list[Finding]:
    return [one for one in found if one.state is not State.GOOD]


def test_what_is_installed_is_told_with_its_version(versions: dict[str, str]) -> None:
    found = list(software())
    assert not bad(found) and found[-1].text == "torch 2.9.1"


def test_a_package_that_is_needed_and_missing_comes_with_what_brings_it(versions: dict[str, str]) -> None:
    del versions["torch"]
    (found,) = bad(list(software()))
    assert found.state is State.BROKEN and found.remedy == "pip install 'torch>=2.9'"


def test_a_package_that_is_too_old_is_told(versions: dict[str, str]) -> None:
    versions["torch"] = "2.1"
    (found,) = bad(list(software()))
    assert found.state is State.BROKEN and "--upgrade" in found.remedy


def test_an_extra_that_is_missing_comes_with_what_brings_it(versions: dict[str, str]) -> None:
    assert not bad([one for one in extras() if one.name == "ray"])
    del versions["ray"]
    (found,) = bad([one for one in extras() if one.name == "ray"])
    assert found.state is State.MISSING and found.remedy == "pip install 'parity_exp[ray]'"


def test_extras_of_this_package_are_all_shown() -> None:
    names = set(metadata.metadata("parity_exp").get_all("Provides-Extra") or []) - {"all"}
    assert names and names == {one.name for one in extras()}
