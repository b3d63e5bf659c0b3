"""`dret authority`: what members of the consortium do, and how the validators stand.

Every command talks to a node; those that change something sign with the member's account. A call is
waited for until a block has it; then the state tells whether it did what was asked.
"""

import json
from pathlib import Path

import asyncclick as click

from devnet.rpc_client import Link
from node.chain_spec import load_chain_spec
from node.cli import authority_market, authority_recovery
from node.cli.chain_access import (
    OUTPUT,
    NodeAddress,
    Refused,
    Signer,
    ask,
    node_at,
    rpc_options,
    signer_options,
    submit,
)
from node.errors import ConfigInvalid
from runtime.pallets.authorities.proposals import (
    Action,
    AddMember,
    AppointGateway,
    AppointOperator,
    CancelUpgrade,
    DecideOnMarket,
    EmergencyDisable,
    Proposal,
    RemoveMember,
    ReplaceKeys,
    ReplaceMember,
    ScheduleUpgrade,
)
from runtime.pallets.authorities.records import Overview
from runtime.pallets.system import account_from_text
from runtime.primitives.crypto import KeyPair, ss58_encode
from runtime.primitives.hashing import twox_64, twox_128
from runtime.primitives.scale import U32, codec
from runtime.primitives.session import PROOF_BYTES, SessionKeys, is_owned
from runtime.primitives.types import AccountId
from runtime.runtime import UnknownVersion
from runtime.version import CodeInfo

SESSION, AUTHORITIES = 4, 5
SET_KEYS, PROPOSE, VOTE, WITHDRAW, SET_PEER_ID = 0, 0, 1, 2, 3
_BYTES = codec(bytes)


@click.group()
def group() -> None:
    """The consortium: members, their decisions, validators and their keys."""


group.add_command(authority_recovery.group)


# --- showing


@group.command()
@OUTPUT
@rpc_options
async def show(output: str, node: NodeAddress) -> None:
    """Show members, validators, candidates and open proposals."""
    async with node_at(node) as link:
        view = await overview(link)
    if output == "json":
        click.echo(json.dumps(as_json(view), indent=2))
        return
    click.echo(
        f"Block {view.block}, session {view.session} (ends with block {view.session_ends_at}), "
        f"set {view.set_id}{', its handoff not proved final yet' if view.is_handing_over else ''}"
    )
    click.echo(f"\n{len(view.members)} members:")
    for who in view.members:
        click.echo(f"  {name_of(who)}")
    click.echo(f"\n{len(view.validators)} validators:")
    queued = dict(view.queued)
    for entry in view.validators:
        marks = [
            text
            for is_so, text in (
                (entry.is_seen, "seen"),
                (entry.is_disabled, "DISABLED"),
                (entry.who not in queued, "leaves with this session"),
                (queued.get(entry.who, entry.keys) != entry.keys, "new keys with this session"),
            )
            if is_so
        ]
        click.echo(f"  {name_of(entry.who)}  {', '.join(marks) or 'not seen yet'}")
    for who in [who for who in queued if who not in {entry.who for entry in view.validators}]:
        click.echo(f"  {name_of(who)}  joins when this session ends")
    for who, candidate in view.candidates:
        click.echo(f"\nCandidate {name_of(who)}: seen in {candidate.sessions_seen} sessions")
    for proposal_id, proposal in view.proposals:
        click.echo(f"\n{describe(proposal_id, proposal)}")
    if view.upgrade is not None:
        version, at = view.upgrade.code.spec_version, view.upgrade.at_block
        click.echo(f"\nRuntime version {version} from block {at} on")


def describe(proposal_id: int, proposal: Proposal) -> str:
    """A proposal in a line."""
    by = "the runtime" if proposal.proposer is None else name_of(proposal.proposer)
    state = f"open until block {proposal.expires_at}"
    if proposal.approved_at is not None:
        state = f"approved in block {proposal.approved_at}, waiting"
    return (
        f"Proposal {proposal_id}: {text_of(proposal.action)}, by {by}; "
        f"{len(proposal.ayes)} ayes, {len(proposal.nays)} nays; {state}"
    )


def text_of(action: Action) -> str:
    """An action in words."""
    match action:
        case AddMember(who):
            return f"add {name_of(who)}"
        case RemoveMember(who):
            return f"remove {name_of(who)}"
        case ReplaceMember(who, successor):
            return f"replace {name_of(who)} by {name_of(successor)}"
        case EmergencyDisable(who):
            return f"disable {name_of(who)} for now"
        case ScheduleUpgrade(version, metadata_hash, at_block):
            return f"runtime {version} (0x{metadata_hash.hex()}) from block {at_block} on"
        case CancelUpgrade():
            return "cancel the upgrade"
        case AppointOperator(who):
            return f"make {name_of(who)} the grid operator"
        case AppointGateway(who):
            return f"make {name_of(who)} the payment gateway"
        case DecideOnMarket(decision):
            return authority_market.text_of(decision)
        case ReplaceKeys(who, keys):
            return f"give {name_of(who)} the keys 0x{keys.encode().hex()}"
        case _:
            return "an action that this program does not know"


def as_json(view: Overview) -> dict[str, object]:
    """An overview for other programs."""
    return {
        "block": view.block,
        "session": view.session,
        "session_ends_at": view.session_ends_at,
        "set_id": view.set_id,
        "is_handing_over": view.is_handing_over,
        "members": [name_of(who) for who in view.members],
        "validators": [
            {
                "who": name_of(entry.who),
                "aura": "0x" + entry.keys.aura.hex(),
                "grandpa": "0x" + entry.keys.grandpa.hex(),
                "is_seen": entry.is_seen,
                "is_disabled": entry.is_disabled,
            }
            for entry in view.validators
        ],
        "queued": [name_of(who) for who, _ in view.queued],
        "candidates": {name_of(who): entry.sessions_seen for who, entry in view.candidates},
        "proposals": {
            str(proposal_id): {
                "action": text_of(proposal.action),
                "ayes": [name_of(who) for who in proposal.ayes],
                "nays": [name_of(who) for who in proposal.nays],
                "expires_at": proposal.expires_at,
                "approved_at": proposal.approved_at,
            }
            for proposal_id, proposal in view.proposals
        },
    }


# --- deciding


@group.group()
def propose() -> None:
    """Put a decision to the vote of the members; your aye counts at once."""


@propose.command()
@click.argument("member")
@signer_options
@rpc_options
async def add(
    member: str,
    signer: Signer,
    node: NodeAddress,
) -> None:
    """Take in MEMBER (an address), once its node has shown that it runs."""
    pair = signer.pair()
    await open_proposal(node, pair, AddMember(account(member)))


@propose.command()
@click.argument("member")
@signer_options
@rpc_options
async def remove(
    member: str,
    signer: Signer,
    node: NodeAddress,
) -> None:
    """Part with MEMBER (an address)."""
    pair = signer.pair()
    await open_proposal(node, pair, RemoveMember(account(member)))


@propose.command()
@click.argument("member")
@click.argument("successor")
@signer_options
@rpc_options
async def replace(
    member: str,
    successor: str,
    signer: Signer,
    node: NodeAddress,
) -> None:
    """Take in SUCCESSOR in the place of MEMBER, once its node has shown that it runs."""
    pair = signer.pair()
    action = ReplaceMember(account(member), account(successor))
    await open_proposal(node, pair, action)


@propose.command()
@click.argument("member")
@signer_options
@rpc_options
async def disable(
    member: str,
    signer: Signer,
    node: NodeAddress,
) -> None:
    """In an emergency: let MEMBER's validator author nothing for a while. More than half decide."""
    pair = signer.pair()
    await open_proposal(node, pair, EmergencyDisable(account(member)))


@propose.command()
@click.argument("operator")
@signer_options
@rpc_options
async def operator(
    operator: str,
    signer: Signer,
    node: NodeAddress,
) -> None:
    """Make OPERATOR (an address) the grid operator."""
    pair = signer.pair()
    await open_proposal(node, pair, AppointOperator(account(operator)))


@propose.command()
@click.argument("gateway")
@signer_options
@rpc_options
async def gateway(gateway: str, signer: Signer, node: NodeAddress) -> None:
    """Make GATEWAY (an address) the payment gateway, which mints deposits and burns payouts."""
    await open_proposal(node, signer.pair(), AppointGateway(account(gateway)))


@propose.command()
@click.option("--spec-version", type=click.IntRange(1), required=True)
@click.option("--at-block", type=click.IntRange(1), required=True, help="The first block under it.")
@click.option("--chain", type=click.Path(path_type=Path), help="Take the hash of this program's.")
@click.option("--metadata-hash", help="Of the version's metadata without documentation.")
@signer_options
@rpc_options
async def upgrade(
    spec_version: int,
    at_block: int,
    chain: Path | None,
    metadata_hash: str | None,
    signer: Signer,
    node: NodeAddress,
) -> None:
    """Go over to another version of the runtime with a block. Nodes without it stop before it."""
    if (chain is None) == (metadata_hash is None):
        raise click.UsageError("Give either --metadata-hash or --chain.")
    if chain is not None:
        try:
            runtime = load_chain_spec(chain).runtime().at(spec_version)
        except UnknownVersion as error:
            raise ConfigInvalid(f"This program lacks the version: {error}.") from error
        digest = CodeInfo.decode(runtime.code()).metadata_hash
    else:
        digest = hex_of(metadata_hash or "", 32)
    pair = signer.pair()
    action = ScheduleUpgrade(spec_version, digest, at_block)
    await open_proposal(node, pair, action)


@propose.command("cancel-upgrade")
@signer_options
@rpc_options
async def cancel_upgrade(
    signer: Signer,
    node: NodeAddress,
) -> None:
    """Stay with the version that runs. More than half decide, at once."""
    pair = signer.pair()
    await open_proposal(node, pair, CancelUpgrade())


@propose.command("replace-keys")
@click.argument("member")
@click.option("--keys", required=True, help="The new session keys: aura, then grandpa, in hex.")
@click.option("--proof", required=True, help="That they are the member's, in hex.")
@signer_options
@rpc_options
async def replace_keys(
    member: str, keys: str, proof: str, signer: Signer, node: NodeAddress
) -> None:
    """Give MEMBER (an address) other session keys: its account cannot do so any more.

    Keys and proof are what the member's node draws (author_rotateKeysWithOwner, or dret authority
    recovery new-keys on a stopped node).
    """
    who, found = account(member), SessionKeys.decode(hex_of(keys, 64))
    shown = hex_of(proof, PROOF_BYTES)
    if not is_owned(found, who, shown):
        raise ConfigInvalid(f"The proof is not by both keys for {member}.")
    await open_proposal(node, signer.pair(), ReplaceKeys(who, found, shown))


for command in (
    authority_market.market_parameters,
    authority_market.tariffs,
    authority_market.release_rent,
    authority_market.fund,
):
    propose.add_command(command)


@group.command()
@click.argument("proposal", type=click.IntRange(0))
@click.argument("choice", type=click.Choice(["aye", "nay"]))
@signer_options
@rpc_options
async def vote(
    proposal: int,
    choice: str,
    signer: Signer,
    node: NodeAddress,
) -> None:
    """Vote on PROPOSAL (its number), or change one's vote."""
    pair, is_aye = signer.pair(), choice == "aye"
    async with node_at(node) as link:
        before = dict((await overview(link)).proposals)
        if proposal not in before:
            raise Refused(f"No proposal {proposal} is open.")
        arguments = U32_CODEC.encode(proposal) + bytes([is_aye])
        await submit(link, pair, bytes([AUTHORITIES, VOTE]) + arguments)
        view = await overview(link)
    found = dict(view.proposals).get(proposal)
    if pair.public not in view.members:
        raise Refused("The chain refused: only members vote.")
    if found is None:
        click.echo(f"Proposal {proposal} is decided.")
        return
    if pair.public not in (found.ayes if is_aye else found.nays):
        raise Refused("The chain refused the vote.")
    click.echo(describe(proposal, found))


@group.command()
@click.argument("proposal", type=click.IntRange(0))
@signer_options
@rpc_options
async def withdraw(
    proposal: int,
    signer: Signer,
    node: NodeAddress,
) -> None:
    """Take back one's own PROPOSAL (its number)."""
    pair = signer.pair()
    async with node_at(node) as link:
        await submit(link, pair, bytes([AUTHORITIES, WITHDRAW]) + U32_CODEC.encode(proposal))
        view = await overview(link)
    if proposal in dict(view.proposals):
        raise Refused("The chain refused: only the member that made a proposal takes it back.")
    click.echo(f"Proposal {proposal} is closed.")


# --- keys


@group.command("rotate-keys")
@signer_options
@rpc_options
async def rotate_keys(
    signer: Signer,
    node: NodeAddress,
) -> None:
    """Let the node draw new session keys, and register them for the account that signs.

    The node needs its unsafe methods here (--rpc-methods unsafe, on a local address). A validator's
    new keys are in use two sessions later at the earliest; let the node run on with both.
    """
    pair = signer.pair()
    async with node_at(node) as link:
        owner = "0x" + pair.public.hex()
        made = await link.call("author_rotateKeysWithOwner", [owner])
        keys = SessionKeys.decode(hex_of(made["keys"], 64))
        await register(link, pair, keys, hex_of(made["proof"], PROOF_BYTES))
    click.echo(f"Registered aura 0x{keys.aura.hex()} and grandpa 0x{keys.grandpa.hex()}.")


@group.command("set-peer-id")
@click.argument("peer_id")
@signer_options
@rpc_options
async def set_peer_id(
    peer_id: str,
    signer: Signer,
    node: NodeAddress,
) -> None:
    """Tell the network identity of one's node, for those who connect to it."""
    pair = signer.pair()
    async with node_at(node) as link:
        call = bytes([AUTHORITIES, SET_PEER_ID]) + _BYTES.encode(peer_id.encode())
        await submit(link, pair, call)
        stored = await link.call(
            "state_getStorage", [storage_key("Authorities", "PeerIds", pair.public)]
        )
    if stored is None or _BYTES.decode(bytes.fromhex(stored[2:])) != peer_id.encode():
        raise Refused("The chain refused: the account is no member.")
    click.echo(f"{name_of(pair.public)} has the node {peer_id}.")


async def register(link: Link, pair: KeyPair, keys: SessionKeys, proof: bytes) -> None:
    """Register session keys. Raises `Refused`."""
    await submit(link, pair, set_keys(keys, proof))
    key = storage_key("Session", "NextKeys", pair.public)
    if await link.call("state_getStorage", [key]) != "0x" + keys.encode().hex():
        raise Refused("The chain refused the keys: a key is another account's, or was used before.")


# --- helpers


U32_CODEC = codec(U32)


def set_keys(keys: SessionKeys, proof: bytes) -> bytes:
    """The call that registers session keys."""
    return bytes([SESSION, SET_KEYS]) + keys.encode() + _BYTES.encode(proof)


def propose_call(action: Action) -> bytes:
    """The call that puts an action to the vote."""
    return bytes([AUTHORITIES, PROPOSE]) + codec(Action).encode(action)


async def open_proposal(node: NodeAddress, pair: KeyPair, action: Action) -> None:
    """Propose, and print the proposal. Raises `Refused`."""
    async with node_at(node) as link:
        before = dict((await overview(link)).proposals)
        await submit(link, pair, propose_call(action))
        view = await overview(link)
    for proposal_id, proposal in view.proposals:
        is_new = proposal_id not in before and proposal.proposer == pair.public
        if is_new and proposal.action == action:
            click.echo(describe(proposal_id, proposal))
            return
    if pair.public not in view.members:
        raise Refused("The chain refused: only members propose.")
    raise Refused("The chain refused: this cannot be decided now (see dret authority show).")


async def overview(link: Link) -> Overview:
    """Where the governance stands."""
    return await ask(link, "AuthoritiesApi_overview", b"", Overview)


def account(text: str) -> AccountId:
    """The account of an address or of 32 bytes in hexadecimal."""
    try:
        return account_from_text(text)
    except ValueError as error:
        raise click.UsageError(f"{text} is no address: {error}") from error


def name_of(who: AccountId) -> str:
    """An account as people write it."""
    return ss58_encode(who)


def hex_of(text: str, length: int) -> bytes:
    """Bytes of a length from hexadecimal. Raises `ConfigInvalid`."""
    try:
        found = bytes.fromhex(text.removeprefix("0x"))
    except ValueError as error:
        raise ConfigInvalid(f"{text} is not hexadecimal: {error}") from error
    if len(found) != length:
        raise ConfigInvalid(f"{text} has {len(found)} bytes, expected {length}")
    return found


def storage_key(pallet: str, item: str, who: AccountId) -> str:
    """The key of an account's entry in a map with the hasher Twox64Concat."""
    key = twox_128(pallet.encode()) + twox_128(item.encode()) + twox_64(who) + who
    return "0x" + key.hex()
