"""The entry point of `dret`: runs a command on trio and turns failures into messages."""

import os
import sys

import asyncclick as click

from node.cli import root
from node.errors import NodeError


def main() -> None:
    """Run `dret`. Exit codes: see `node.errors`."""
    try:
        code = root(standalone_mode=False, _anyio_backend="trio")
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except NodeError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)
    except BrokenPipeError:
        # Who read the output has seen enough (`dret … | head`); there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
