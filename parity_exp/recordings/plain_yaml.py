"""Configs as YAML and plain values. Who composed them, and with what, does not matter here."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

QUICK_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Dumper(yaml.SafeDumper):
    """Writes whatever behaves like a mapping or a list, and puts texts that look like numbers between quotes."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="'" if _looks_like_a_number(text) else None)


def _looks_like_a_number(text: str) -> bool:
    """Whether any reader might take a text for a number: 1e3 is one to YAML 1.2, and a text to YAML 1.1."""
    try:
        float(text)
    except ValueError:
        return False
    return True


_Dumper.add_representer(str, _text)
_Dumper.add_multi_representer(str, _text)  # before sequences, as texts are such
_Dumper.add_multi_representer(Mapping, lambda dumper, node: dumper.represent_dict(node.items()))  # type: ignore[type-abstract]
_Dumper.add_multi_representer(Sequence, lambda dumper, node: dumper.represent_list(node))  # type: ignore[type-abstract]


def to_yaml(config: Mapping[str, Any]) -> str:
    """A config as text, keys in their order; interpolations are resolved by who gives it, as its items."""
    return yaml.dump(config, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False)
