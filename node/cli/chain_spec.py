"""`dret chain-spec`: make the file that says what a chain is."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import asyncclick as click

from devnet.plan import WINDOWS
from node.chain_spec import ChainSpec
from node.errors import NodeError

VALIDATORS_MAX = 4  # of those with development keys
AuthorityKeys = tuple[str, str, str]
"""Account, Aura key and GRANDPA key, as addresses or in hex."""


@click.group()
def group() -> None:
    """Build chain specifications."""


@group.command()
@click.option("--scenario", default="semiurb4", show_default=True, help="A grid of the data.")
@click.option("--window", type=click.Choice(WINDOWS), default="spring", show_default=True)
@click.option("--data", type=click.Path(path_type=Path), help="A data folder; default: bundled.")
@click.option(
    "--timing",
    type=click.Choice(["devnet", "production"]),
    default="devnet",
    show_default=True,
    help="Market intervals of 6 s or of 15 minutes.",
)
@click.option(
    "--genesis-time",
    type=click.IntRange(0, 1 << 48),
    metavar="MS",
    help="Unix time at which the chain begins; default: now.",
)
@click.option(
    "--validators",
    type=click.IntRange(1, VALIDATORS_MAX),
    help=f"How many, with development keys; default: {VALIDATORS_MAX}.",
)
@click.option(
    "--authority",
    "authorities",
    nargs=3,
    multiple=True,
    metavar="ACCOUNT AURA GRANDPA",
    help="A validator with keys of its own (dret key generate); repeat. Each is an address or "
    "0x and 64 hex digits: of the account, of the sr25519 and of the ed25519 session key.",
)
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="Where to write; default: the screen."
)
def build(
    scenario: str,
    window: str,
    data: Path | None,
    timing: str,
    genesis_time: int | None,
    validators: int | None,
    authorities: tuple[AuthorityKeys, ...],
    output: Path | None,
) -> None:
    """Build the specification of a chain on a grid of the data, with development keys.

    All its keys are publicly known, but for those of an --authority: a network with them is worth
    nothing.
    """
    from devnet.dataset import BUNDLED
    from devnet.scenario import DEVNET, PRODUCTION, UTILITIES, load_scenario

    if authorities and validators is not None:
        raise click.UsageError("--validators counts development keys, --authority gives others.")
    developers = () if authorities else UTILITIES[: validators or VALIDATORS_MAX]
    pace = DEVNET if timing == "devnet" else PRODUCTION
    interval = None if genesis_time is None else genesis_time // pace.interval_ms
    spec = load_scenario(data or BUNDLED, scenario, window).chain_spec(
        interval, utilities=developers, timing=pace
    )
    if authorities:
        spec = with_authorities(spec, authorities)
    spec.genesis_storage(spec.runtime())  # refuses what the pallets would refuse
    if output is None:
        click.echo(spec.encode(), nl=False)
        return
    try:
        output.write_text(spec.encode())
    except OSError as error:
        raise NodeError(f"{output} cannot be written: {error.strerror}.") from error
    whose = "All its keys but the validators'" if authorities else "Its keys"
    click.echo(f"Wrote {output}: chain {spec.name!r}. {whose} are publicly known.", err=True)


def with_authorities(spec: ChainSpec, authorities: Sequence[AuthorityKeys]) -> ChainSpec:
    """The same chain with these validators, and money for their fees."""
    from devnet.scenario import VALIDATOR_NANO

    validators = [
        {"account": account, "aura": aura, "grandpa": grandpa}
        for account, aura, grandpa in authorities
    ]
    accounts = spec.genesis["balances"]["accounts"]
    accounts |= {account: VALIDATOR_NANO for account, _, _ in authorities}
    changed = {"session": {"validators": validators}, "balances": {"accounts": accounts}}
    return replace(spec, genesis={**spec.genesis, **changed})
