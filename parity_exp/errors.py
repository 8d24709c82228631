"""Errors that the user can mend: one line that names the key or path, what was expected, and what to do.

The command line prints them without a traceback and exits with status 2. Everything else is a defect of
ours and keeps its traceback.
"""


class UserError(Exception):
    """Something outside the program has to change: a config value, a file, a folder, an installed package."""


class ConfigError(UserError):
    """A config value, or a combination of config values, that cannot work."""


class DataError(UserError):
    """A data set that is missing, cut short or damaged.

    Args:
        text: one line, in which ``{root}``, ``{cache}`` and so on stand for these settings of the data set.
    """

    SETTINGS = ("root", "cache", "path", "text", "label", "split", "encoding", "tokenizer", "vocabulary")

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return self.at("")

    def at(self, place: str) -> str:
        """The text with the settings' names behind that of a place, such as ``dataset.``."""
        text = self.text
        for name in self.SETTINGS:
            text = text.replace(f"{{{name}}}", f"{place}{name}")
        return text


class MissingDataError(DataError):
    """A data set that is nowhere."""


class CheckpointError(UserError):
    """A checkpoint that is missing, unreadable, or made for another network."""


class Refused(SystemExit):
    """Carries an explanation past Hydra, which would print more about ordinary exceptions than it explains.

    Args:
        line: the explanation.
    """

    def __init__(self, line: str) -> None:
        super().__init__(2)
        self.line = line
