"""What every layer may raise."""


class ConfigError(ValueError):
    """A config or a call that cannot be run. The message is one line: what, where, what to type."""
