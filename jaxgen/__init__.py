"""jaxgen: deep generative models of every family, trained and compared in one codebase."""

__version__ = "0.1.0"
