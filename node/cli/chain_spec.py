"""`dret chain-spec`: make the file that says what a chain is."""

from pathlib import Path

import asyncclick as click

from devnet.plan import WINDOWS
from node.errors import NodeError


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
@click.option("--validators", type=click.IntRange(1, 4), default=4, show_default=True)
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="Where to write; default: the screen."
)
def build(
    scenario: str,
    window: str,
    data: Path | None,
    timing: str,
    genesis_time: int | None,
    validators: int,
    output: Path | None,
) -> None:
    """Build the specification of a chain on a grid of the data, with development keys.

    All its keys are publicly known: a network with them is worth nothing.
    """
    from devnet.dataset import BUNDLED
    from devnet.scenario import DEVNET, PRODUCTION, UTILITIES, load_scenario

    pace = DEVNET if timing == "devnet" else PRODUCTION
    interval = None if genesis_time is None else genesis_time // pace.interval_ms
    spec = load_scenario(data or BUNDLED, scenario, window).chain_spec(
        interval, utilities=UTILITIES[:validators], timing=pace
    )
    spec.genesis_storage(spec.runtime())  # refuses what the pallets would refuse
    if output is None:
        click.echo(spec.encode(), nl=False)
        return
    try:
        output.write_text(spec.encode())
    except OSError as error:
        raise NodeError(f"{output} cannot be written: {error.strerror}.") from error
    click.echo(f"Wrote {output}: chain {spec.name!r}. Its keys are publicly known.", err=True)
