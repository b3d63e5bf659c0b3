"""The command line `dret`. Groups are imported when they are used, so `dret --help` is fast."""

from importlib import import_module
from importlib.metadata import version

import asyncclick as click

GROUPS = {
    "node": ("node.cli.node:group", "Run and look after a node."),
    "signer": ("node.cli.signer:group", "Hold a validator's keys in a process of their own."),
    "key": ("node.cli.key:group", "Make, inspect and insert keys."),
    "authority": ("node.cli.authority:group", "The consortium: members, votes, validators' keys."),
    "chain-spec": ("node.cli.chain_spec:group", "Build chain specifications."),
    "devnet": ("node.cli.devnet:group", "A local network on real data."),
    "replay": ("node.cli.replay:command", "Run a scenario without a network, as fast as it can."),
    "tx": ("node.cli.tx:group", "Every call of a chain: list, compose, sign, submit, follow."),
    "query": (
        "node.cli.query:group",
        "Everything a chain knows: state, constants, blocks, events.",
    ),
    "bill": ("node.cli.bill:command", "What an account was billed, checked by proofs."),
    "payments": (
        "node.cli.payments:group",
        "Money from bank accounts to the chain and back.",
    ),
    "market": (
        "node.cli.market:group",
        "The market: bills, the pool, contracts, corrections, clearing.",
    ),
}


class LazyGroup(click.Group):
    """A group whose commands live in modules that are imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of `GROUPS`."""
        return list(GROUPS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; None when there is none of this name."""
        if cmd_name not in GROUPS:
            return None
        module, _, name = GROUPS[cmd_name][0].partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command), f"{module}:{name} is no command"
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in GROUPS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("dret"), prog_name="dret")
def root() -> None:
    """DRET: a blockchain node on which neighbours trade renewable energy.

    Try: dret devnet up
    """
