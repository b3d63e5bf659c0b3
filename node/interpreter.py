"""How this program starts processes of its own."""

import sys


def module_command(module: str, *arguments: str) -> list[str]:
    """The command line that runs one of our modules in a process of its own.

    `-P` keeps the current folder off the module path. Whoever starts `dret` in a folder that has
    a package `node` or `runtime`, as many do, would otherwise run that one.
    """
    return [sys.executable, "-P", "-m", module, *arguments]
