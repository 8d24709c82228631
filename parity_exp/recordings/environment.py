"""What a run ran on, so that it can be told apart from others, and run again."""

import os
import platform
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

import parity_exp

FEW = ("torch", "pytorch-lightning", "numpy", "pandas")
"""Packages whose versions are named where nothing says which ones this package needs, as in bundles."""


def environment(seed: int, devices: Sequence[str]) -> Mapping[str, Any]:
    """What ``environment.json`` says.

    Args:
        seed: of the run.
        devices: names of the accelerators that can be seen, or of the processor.
    """
    return {
        "parity_exp": parity_exp.__version__,
        "git_revision": git_revision(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _needed()},
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "cpus": os.cpu_count(),
        "devices": list(devices),
        "seed": seed,
        "command": sys.argv,
    }


def _needed() -> Sequence[str]:
    """Packages that this one needs; not those of its extras."""
    try:
        needs = [Requirement(line) for line in metadata.requires("parity_exp") or ()]
    except Exception:  # as below
        return FEW
    return [need.name for need in needs if need.marker is None] or FEW


def _version(package: str) -> str | None:
    """What is installed; None where the package or its metadata is not, as in bundles and without some trackers."""
    try:
        return metadata.version(package)
    except Exception:  # damaged metadata fail in whatever way their bytes lead to
        return None


def git_revision() -> str | None:
    """The revision of the checkout that this package runs from, with ``+`` where it is changed; None outside one."""
    folder = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    try:
        if folder.name not in git("ls-files", "--full-name", "__init__.py"):
            return None
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None
