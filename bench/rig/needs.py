"""What a bench needs and this machine does not have."""


class NotHereError(RuntimeError):
    """The bench cannot run here; the message is one line that says what it needs."""
