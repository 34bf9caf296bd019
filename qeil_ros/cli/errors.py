"""What a user did wrong, or what could not be done, in one line."""

from __future__ import annotations


class CliError(Exception):
    """Ends the command with one line and no traceback. `exit_code` 2: bad input; 1: the thing failed."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code
