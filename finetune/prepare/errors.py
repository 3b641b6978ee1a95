"""What can go wrong while data is prepared.

PrepareError
├── UnreadableFileError   a file as a whole cannot be read; the others go on without it
├── NothingPreparedError  no row is left to train on
└── UselessDataError      the rows are sound, but nothing can be learnt from them
"""


class PrepareError(ValueError):
    """Data cannot be prepared; the message says why, and the way out."""


class UnreadableFileError(PrepareError):
    """A file is empty, damaged, binary or of a kind that is not read."""


class NothingPreparedError(PrepareError):
    """Every row was left out."""


class UselessDataError(PrepareError):
    """All prompts, or all completions, are the same."""
