"""What mkdocs calls while it builds the site: adds the pages and pictures that are made from the code."""

import importlib.util
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

TOP = Path(__file__).parents[2]
PACKAGE = TOP / "parity_exp"

Nav = list[Any]


def script(name: str) -> ModuleType:
    """A script of this folder, which is no package."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@cache
def package() -> griffe.Object:
    """The package as its source says, without importing it."""
    return griffe.load("parity_exp", search_paths=[TOP])  # type: ignore[return-value]


def api_pages() -> dict[str, str]:
    """A page for each subpackage, with all of its modules, and one for the package itself with what it exports."""
    first = ["# Python API", "::: parity_exp\n    options: {members: false, show_root_heading: false}"]
    first += [f"::: parity_exp.{name}" for name in sorted(map(str, package().exports or ()))]
    made = {"index.md": "\n\n".join(first) + "\n"}
    for init in sorted(PACKAGE.glob("*/__init__.py")):
        room = init.parent
        lines = [
            f"# `parity_exp.{room.name}`\n",
            f"::: parity_exp.{room.name}",
            "    options: {members: false, show_root_heading: false}\n",
        ]
        for path in sorted(room.rglob("*.py")):
            parts = path.relative_to(TOP).with_suffix("").parts
            if not parts[-1].startswith("__"):
                lines.append(f"::: {'.'.join(parts)}")
        made[f"{room.name}.md"] = "\n".join(lines) + "\n"
    return made


@cache
def described() -> Callable[[str], Any]:
    """From the path of a class to what its docstring, and those of its base classes, say of it and its arguments."""
    reference = script("config_reference")
    plain = script("plain_roles").plain

    def describe(target: str) -> Any:
        try:
            found = package()[target.removeprefix("parity_exp.")]
        except KeyError:
            return reference.Described()
        one = found.final_target if found.is_alias else found
        arguments: dict[str, str] = {}
        for each in reversed([one, *(one.mro() if one.is_class else ())]):
            for section in each.docstring.parse("google") if each.docstring else ():
                if section.kind is griffe.DocstringSectionKind.parameters:
                    arguments |= {item.name: plain(" ".join(item.description.split())) for item in section.value}
        summary = plain(" ".join(one.docstring.value.split("\n\n")[0].split())) if one.docstring else ""
        return reference.Described(summary, arguments)

    return describe


@cache
def generated() -> dict[str, str]:
    """Every file that is made here, by its place in the site."""
    config = {
        f"reference/config/{name}": text
        for name, text in script("config_reference").pages(TOP / "conf", described()).items()
    }
    api = {f"reference/api/{name}": text for name, text in api_pages().items()}
    imports = script("imports")
    return {**config, **api, "pictures/imports.svg": imports.picture(imports.merged(imports.rooms()))}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The pages that are made here stand in the navigation, below the reference."""
    for known in (generated, described, package):
        known.cache_clear()
    made = [name for name in generated() if name.endswith(".md")]
    for section in config.nav or []:
        if "Reference" in section:
            for title, folder in (("Configuration", "reference/config/"), ("Python API", "reference/api/")):
                section["Reference"].append({title: [name for name in made if name.startswith(folder)]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files that are made here."""
    for name, text in generated().items():
        files.append(File.generated(config, name, content=text))
    return files
