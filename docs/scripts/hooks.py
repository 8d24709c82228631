"""What mkdocs calls while it builds the site: adds the pages and pictures that are made from the code."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

TOP = Path(__file__).parents[2]
PACKAGE = TOP / "parity_exp"

Nav = list[Any]


def script(name: str) -> ModuleType:
    """A script of this folder, which is no package."""
    import sys

    spec = importlib.util.spec_from_file_location(f"docs_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def api_pages() -> dict[str, str]:
    """A page for each subpackage, with all of its modules, and one for the package itself."""
    made = {"index.md": "# Python API\n\n::: parity_exp\n    options: {show_root_heading: false}\n"}
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


def generated() -> dict[str, str]:
    """Every file that is made here, by its place in the site."""
    config = {f"reference/config/{name}": text for name, text in script("config_reference").pages(TOP / "conf").items()}
    api = {f"reference/api/{name}": text for name, text in api_pages().items()}
    imports = script("imports")
    return {**config, **api, "pictures/imports.svg": imports.picture(imports.merged(imports.rooms()))}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The pages that are made here stand in the navigation, below the reference."""
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
