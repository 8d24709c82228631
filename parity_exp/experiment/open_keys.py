"""Keys that a config leaves open, for what only the objects around a component know."""

from typing import Any


def is_open(node: Any, key: str) -> bool:
    """Whether a key is null somewhere in plain values."""
    if isinstance(node, dict):
        return any((name == key and one is None) or is_open(one, key) for name, one in node.items())
    return isinstance(node, list) and any(is_open(one, key) for one in node)


def filled(node: Any, key: str, value: Any) -> Any:
    """Plain values with those of a key that are null in another's place, however deep they are."""
    if isinstance(node, dict):
        return {name: value if name == key and one is None else filled(one, key, value) for name, one in node.items()}
    return [filled(one, key, value) for one in node] if isinstance(node, list) else node
