"""`dret payments`: money from bank accounts to the chain and back.

Whoever has an account requests payouts and takes them back. The payment gateway mints deposits,
confirms or returns payouts, and attests what lies at the bank.
"""

import json

import asyncclick as click

from devnet import calls
from devnet.rpc_client import Link
from node.cli.amounts import MONEY
from node.cli.chain_access import (
    OUTPUT,
    NodeAddress,
    Refused,
    Signer,
    account_of_text,
    ask,
    node_at,
    rpc_options,
    signer_options,
    submit,
)
from runtime.pallets.payments import (
    REASON_BYTES_MAX,
    BankDeposit,
    Overview,
    PayoutView,
    payout_reference,
)
from runtime.primitives.crypto import ss58_encode
from runtime.primitives.hashing import blake2_256
from runtime.primitives.types import AccountId

DAY = click.option("--day", type=click.IntRange(0, 2**32 - 1), required=True, help="Since genesis.")
ACCOUNT = click.option("--account", "account", required=True, help="An address.")


@click.group()
def group() -> None:
    """Payments: deposits from a bank, payouts to one, and what lies there."""


@group.command()
@click.option("--account", help="Show the payouts of an address instead of those that are due.")
@OUTPUT
@rpc_options
async def show(account: str | None, output: str, node: NodeAddress) -> None:
    """Show where payments stand, and payouts that wait: what is final, so a bank may act on it."""
    async with node_at(node) as link:
        final = await link.call("chain_getFinalizedHead")
        overview = await ask(link, "Payments_overview", b"", Overview, final)
        if account is None:
            waiting: list[PayoutView] = await ask(
                link, "Payments_due", b"", list[PayoutView], final
            )
        else:
            who = account_of_text(account)
            waiting = await ask(link, "Payments_of", who, list[PayoutView], final)
    if output == "json":
        click.echo(json.dumps(as_json(overview, waiting), indent=2))
        return
    flows, gateway = overview.flows, overview.gateway
    click.echo(f"Gateway: {'none' if gateway is None else ss58_encode(gateway)}")
    click.echo(f"Day {overview.today} since genesis; {drt(overview.issuance_nano)} on the chain.")
    click.echo(f"Minted {drt(flows.minted_nano)}, burnt {drt(flows.burnt_nano)}, returned")
    click.echo(f"{drt(flows.returned_nano)}; {flows.waiting} payouts of {drt(flows.waiting_nano)}.")
    if overview.attestation is not None:
        attested = overview.attestation
        click.echo(
            f"At the bank on day {attested.day}: {drt(attested.reserve_nano)}, "
            f"{drt(overview.surplus_nano)} more than on the chain."
        )
    for entry in waiting:
        click.echo(
            f"  day {entry.day}  {ss58_encode(entry.account)}  {drt(entry.amount_nano)}  "
            f"0x{entry.reference.hex()}"
        )


def as_json(overview: Overview, waiting: list[PayoutView]) -> dict[str, object]:
    """Where payments stand, for other programs."""
    gateway, attested = overview.gateway, overview.attestation
    flows = overview.flows
    return {
        "gateway": None if gateway is None else ss58_encode(gateway),
        "today": overview.today,
        "issuance_nano": overview.issuance_nano,
        **{name: getattr(flows, name) for name in flows.__struct_fields__},
        "attested_day": None if attested is None else attested.day,
        "reserve_nano": None if attested is None else attested.reserve_nano,
        "surplus_nano": None if attested is None else overview.surplus_nano,
        "payouts": [
            {
                "day": entry.day,
                "account": ss58_encode(entry.account),
                "amount_nano": entry.amount_nano,
                "reference": "0x" + entry.reference.hex(),
            }
            for entry in waiting
        ],
    }


@group.command()
@click.option("--amount", type=MONEY, required=True, help="DRT.")
@signer_options
@rpc_options
async def payout(amount: int, signer: Signer, node: NodeAddress) -> None:
    """Request money at one's bank account. The requests of a day are paid together."""
    check_amount(amount)
    pair = signer.pair()
    async with node_at(node) as link:
        before = await today_of(link, pair.account)
        await submit(link, pair, calls.request_payout(amount))
        after = await today_of(link, pair.account)
    if after is None or after.amount_nano < amount + (before.amount_nano if before else 0):
        raise Refused("The chain refused: less than a cent, or the money is not there.")
    click.echo(f"Day {after.day}: {drt(after.amount_nano)} will be paid, 0x{after.reference.hex()}")


@group.command()
@signer_options
@rpc_options
async def cancel(signer: Signer, node: NodeAddress) -> None:
    """Take back what one requested today."""
    pair = signer.pair()
    async with node_at(node) as link:
        before = await today_of(link, pair.account)
        if before is None:
            raise Refused("Nothing was requested today; what is older, the bank may be paying.")
        await submit(link, pair, calls.cancel_payout())
        if await today_of(link, pair.account) is not None:
            raise Refused("The chain refused: the day may have ended meanwhile.")
    click.echo(f"{drt(before.amount_nano)} are back.")


@group.command()
@click.option("--to", "to", required=True, help="The address that gets the money.")
@click.option("--amount", type=MONEY, required=True, help="DRT.")
@click.option("--bank-id", required=True, help="What the bank calls the transfer; it counts once.")
@DAY
@signer_options
@rpc_options
async def deposit(
    to: str, amount: int, bank_id: str, day: int, signer: Signer, node: NodeAddress
) -> None:
    """Mint, as the gateway, a transfer that reached the bank on a day."""
    check_amount(amount)
    account, reference = account_of_text(to), blake2_256(bank_id.encode())
    async with node_at(node) as link:
        if await ask(link, "Payments_deposit", reference, BankDeposit | None) is not None:
            raise Refused(f"The transfer {bank_id!r} is on the chain already.")
        await submit(link, signer.pair(), calls.deposit(reference, account, day, amount))
        found = await ask(link, "Payments_deposit", reference, BankDeposit | None)
    if found != BankDeposit(account, amount, day):
        raise Refused("The chain refused: not the gateway, or the day is in the future or too old.")
    click.echo(f"{drt(amount)} minted for {ss58_encode(account)}, 0x{reference.hex()}")


@group.command()
@DAY
@ACCOUNT
@signer_options
@rpc_options
async def confirm(day: int, account: str, signer: Signer, node: NodeAddress) -> None:
    """Confirm, as the gateway, that the bank has paid an account's payout of a day."""
    who = account_of_text(account)
    paid = await execute(node, signer, day, who, calls.confirm_payout(day, who))
    click.echo(f"{drt(paid.amount_nano)} burnt, 0x{paid.reference.hex()}")


@group.command(name="return")
@DAY
@ACCOUNT
@click.option("--reason", required=True, help="Why the bank cannot pay; 64 bytes at most.")
@signer_options
@rpc_options
async def return_(day: int, account: str, reason: str, signer: Signer, node: NodeAddress) -> None:
    """Give back, as the gateway, a payout that the bank cannot pay."""
    text = reason.encode()
    if len(text) > REASON_BYTES_MAX:
        raise click.UsageError(f"--reason has {len(text)} bytes, expected {REASON_BYTES_MAX}.")
    who = account_of_text(account)
    returned = await execute(node, signer, day, who, calls.return_payout(day, who, text))
    click.echo(f"{drt(returned.amount_nano)} are with {ss58_encode(who)} again.")


@group.command()
@DAY
@click.option("--reserve", type=MONEY, required=True, help="DRT.")
@signer_options
@rpc_options
async def attest(day: int, reserve: int, signer: Signer, node: NodeAddress) -> None:
    """Say, as the gateway, what lies at the bank at the end of a day."""
    if reserve < 0:
        raise click.UsageError("--reserve cannot be negative.")
    async with node_at(node) as link:
        await submit(link, signer.pair(), calls.attest_reserve(day, reserve))
        overview = await ask(link, "Payments_overview", b"", Overview)
    found = overview.attestation
    if found is None or (found.day, found.reserve_nano) != (day, reserve):
        raise Refused("The chain refused: not the gateway, or not this day nor the one before.")
    click.echo(f"{drt(overview.surplus_nano)} more at the bank than on the chain.")


async def execute(
    node: NodeAddress, signer: Signer, day: int, who: AccountId, call: bytes
) -> PayoutView:
    """Confirm or return a payout; what it was. Raises `Refused`."""
    reference = payout_reference(day, who)
    async with node_at(node) as link:
        before = [p for p in await payouts_of(link, who) if p.reference == reference]
        if not before:
            raise Refused(f"{ss58_encode(who)} has no payout of day {day} that waits.")
        await submit(link, signer.pair(), call)
        if any(p.reference == reference for p in await payouts_of(link, who)):
            raise Refused("The chain refused: not the gateway, or the day is not over.")
    return before[0]


async def payouts_of(link: Link, who: AccountId) -> list[PayoutView]:
    """The payouts of an account that wait."""
    found: list[PayoutView] = await ask(link, "Payments_of", who, list[PayoutView])
    return found


async def today_of(link: Link, who: AccountId) -> PayoutView | None:
    """What an account has requested today."""
    today = (await ask(link, "Payments_overview", b"", Overview)).today
    return next((p for p in await payouts_of(link, who) if p.day == today), None)


def check_amount(amount: int) -> None:
    """Refuse nothing, and less. Raises `click.UsageError`."""
    if amount <= 0:
        raise click.UsageError("--amount has to be more than nothing.")


def drt(nano: int) -> str:
    """An amount as people read it."""
    return f"{nano / 1e9:,.9f} DRT"
