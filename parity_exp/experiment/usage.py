"""What a command says of itself, in a file of its own: what it does, its overrides by example, the groups that it uses.

Nothing else is written by hand: what a key or group is otherwise, and what a group can be, is read from the config.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Usage:
    """What ``COMMAND --help`` is made from.

    Attributes:
        text: what the command does with what, in two or three sentences.
        overrides: the most used ones, each as an example that composes as it is, with its meaning in a few words.
        groups: config groups that the command uses, by name; ``name/*`` where its folders hold choices as well.
        assumed: overrides that come before the user's, where the command's usual choices are not the config's.
        examples: whole command lines behind the program's name, with what they do in a few words.
    """

    text: str
    overrides: Mapping[str, str]
    groups: tuple[str, ...]
    examples: Mapping[str, str]
    assumed: tuple[str, ...] = ()
