"""Every exception nnc-tvm raises on purpose. The command line prints the message as one line and exits with code 2.

A message names the node, tensor or file, the value that is wrong, and what to do about it.
"""


class NncError(Exception):
    """Base class: something the user can act on."""


class InvalidModel(NncError):
    """The model file is broken or contradicts itself."""


class Unsupported(NncError):
    """The model is well-formed but uses something nnc-tvm does not compile."""


class InvalidInput(NncError):
    """Data, options or a package handed to nnc-tvm do not fit."""


class MissingTool(NncError):
    """A compiler, emulator or Python package that the request needs is not installed."""


class ToolFailed(NncError):
    """A compiler or emulator that nnc-tvm ran returned an error."""
