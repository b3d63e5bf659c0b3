"""`dret authority recovery`: go on when more validators are lost for ever than the chain tolerates.

All commands work on files and on the folders of stopped nodes; the runbook is in docs/consensus.md.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import asyncclick as click

from node.cli.chain_access import OUTPUT, Signer, account_of_text, signer_options
from node.cli.maintenance import spec_path
from node.errors import ConfigInvalid
from node.keystore import Keystore, read_secret_file
from runtime.primitives.crypto import ss58_encode
from runtime.primitives.session import PROOF_BYTES, SessionKeys, is_owned, prove_ownership

if TYPE_CHECKING:
    from node.override_plan import NewValidator

HOURS = 168  # a week for signatures that come from safes in several places

_PATH = click.Path(path_type=Path)
_FILE = click.argument("file", type=_PATH)
_BASE = click.option(
    "--base-path", "-d", type=_PATH, required=True, help="The node's folder; it must not run."
)
_CHAIN = click.option(
    "--chain", type=_PATH, help="The chain specification; default: chain-spec.json below -d."
)
_KEYSTORE = click.option("--keystore-path", type=_PATH, help="Default: keystore below -d.")
_PASSWORD = click.option("--password-filename", type=_PATH, help="Opens an encrypted keystore.")
_OUT = click.option("--out", type=_PATH, required=True, help="The file to write.")


@click.group("recovery")
def group() -> None:
    """Override a set of validators that cannot make blocks final any more."""


@group.command()
@_BASE
@_CHAIN
@_KEYSTORE
@_PASSWORD
@_OUT
async def report(
    base_path: Path,
    chain: Path | None,
    keystore_path: Path | None,
    password_filename: Path | None,
    out: Path,
) -> None:
    """Stop voting in this set, and write down where this validator stands.

    The node does not vote in the set again, also when it runs, until an override has been taken or
    dret authority recovery resume is run.
    """
    from node import maintenance
    from node.finality_report import make_report, report_text
    from node.signing.marks import Marks

    keystore = _keystore(base_path, keystore_path, password_filename)
    # A signer in a process of its own keeps what it has signed beside its keys.
    marks = Marks(base_path if keystore_path is None else keystore_path.parent).told()
    with maintenance.open_chain(spec_path(chain, base_path), base_path) as opened:
        made = make_report(opened, keystore, marks, base_path)
    _write(out, report_text(made))
    found = made.report
    click.echo(
        f"Set {found.set_id}, final block {found.finalized.number}, best block "
        f"{found.finalized.number + len(found.chain)}. This node votes no more in set "
        f"{found.set_id}. Give {out} to whoever plans the override."
    )


@group.command()
@_BASE
async def resume(base_path: Path) -> None:
    """Vote again: only when nobody has signed an override, and nobody will."""
    from node.finality_report import resume_voting

    stopped = resume_voting(base_path)
    if stopped is None:
        click.echo("This node votes in all sets; nothing to resume.")
    else:
        click.echo(f"This node votes in set {stopped} again, from its next start on.")


@group.command("new-keys")
@click.argument("account")
@_BASE
@_KEYSTORE
@_PASSWORD
@_OUT
async def new_keys(
    account: str,
    base_path: Path,
    keystore_path: Path | None,
    password_filename: Path | None,
    out: Path,
) -> None:
    """Draw session keys for ACCOUNT (an address), which the override makes a validator."""
    who = account_of_text(account)
    keystore = _keystore(base_path, keystore_path, password_filename)
    keys = SessionKeys.decode(keystore.rotate())
    aura, grandpa = keystore.get("aura", keys.aura), keystore.get("gran", keys.grandpa)
    assert aura is not None and grandpa is not None, "they were just drawn"
    content = {
        "account": ss58_encode(who),
        "keys": "0x" + keys.encode().hex(),
        "proof": "0x" + prove_ownership(who, aura, grandpa).hex(),
    }
    _write(out, json.dumps(content, indent=1) + "\n")
    click.echo(f"Keys of {ss58_encode(who)} are in the keystore; their public part is in {out}.")


@group.command()
@_BASE
@_CHAIN
@click.option("--report", "reports", type=_PATH, multiple=True, required=True, help="Repeat.")
@click.option("--validator", "kept", multiple=True, help="An address that goes on; repeat.")
@click.option("--new-validator", "new", type=_PATH, multiple=True, help="A file of new-keys.")
@click.option("--reason", required=True, help="For those who sign, and for the chain.")
@click.option("--start", type=click.IntRange(0), help="Block; default: the highest that all have.")
@click.option("--valid-hours", type=click.IntRange(1, 8_760), default=HOURS, show_default=True)
@click.option(
    "--accept-unseen-finality",
    is_flag=True,
    help="Too few report, and all others who could know of later finality were asked.",
)
@_OUT
async def propose(
    base_path: Path,
    chain: Path | None,
    reports: Sequence[Path],
    kept: Sequence[str],
    new: Sequence[Path],
    reason: str,
    start: int | None,
    valid_hours: int,
    accept_unseen_finality: bool,
    out: Path,
) -> None:
    """Plan an override from the reports of all validators that are left. Nobody has signed it."""
    from node import maintenance
    from node.clock import SystemClock
    from node.finality_report import read_report
    from node.override_file import summary, write_override
    from node.override_plan import Wanted, plan

    wanted = Wanted(
        [account_of_text(text) for text in kept],
        [_new_validator(path) for path in new],
        reason,
        SystemClock().wall_ms(),
        valid_hours,
        start,
        accept_unseen_finality,
    )
    found = [read_report(path) for path in reports]
    with maintenance.open_chain(spec_path(chain, base_path), base_path) as opened:
        proof = plan(opened, found, wanted)
    write_override(out, proof)
    click.echo(json.dumps(summary(proof), indent=1))


@group.command()
@_FILE
@click.option("--member", help="The member's address, when its recovery key is not its account.")
@signer_options
@_OUT
async def sign(file: Path, member: str | None, signer: Signer, out: Path) -> None:
    """Sign the override in FILE for a member. Needs no node: do it where the key is kept."""
    from node.override_file import (
        note_signing,
        read_override,
        sign_override,
        summary,
        write_override,
    )

    proof, pair = read_override(file), signer.pair()
    who = pair.account if member is None else account_of_text(member)
    if signer.suri_file is not None:
        note_signing(signer.suri_file, proof.override)
    signed = sign_override(proof, who, pair)
    write_override(out, signed)
    click.echo(json.dumps(summary(signed), indent=1))
    click.echo(f"Signed for {ss58_encode(who)}.")


@group.command()
@click.argument("files", type=_PATH, nargs=-1, required=True)
@_OUT
async def combine(files: Sequence[Path], out: Path) -> None:
    """Put the signatures of several FILES of one override together."""
    from node.override_file import combine as combined
    from node.override_file import read_override, write_override

    proof = combined([read_override(path) for path in files])
    write_override(out, proof)
    members = ", ".join(ss58_encode(entry.member) for entry in proof.signatures)
    click.echo(f"{len(proof.signatures)} members have signed: {members}")


@group.command()
@_FILE
@click.option("--base-path", "-d", type=_PATH, help="Judge it by this stopped node.")
@_CHAIN
@OUTPUT
async def inspect(file: Path, base_path: Path | None, chain: Path | None, output: str) -> None:
    """Show the override in FILE, and whether the node in -d would take it now."""
    from node import maintenance
    from node.clock import SystemClock
    from node.override_file import OverrideRefused, judge, read_override, summary

    proof = read_override(file)
    fault = None
    if base_path is not None:
        with maintenance.open_chain(spec_path(chain, base_path), base_path) as opened:
            fault = judge(opened, proof, SystemClock())
    if output == "json":
        judged = {} if base_path is None else {"fault": fault}
        click.echo(json.dumps({**summary(proof), **judged}))
    else:
        click.echo(json.dumps(summary(proof), indent=1))
    if fault is not None:
        raise OverrideRefused(f"This node would not take it: {fault}.")
    if base_path is not None and output != "json":
        click.echo("This node would take it.")


@group.command()
@_FILE
@_BASE
@_CHAIN
async def apply(file: Path, base_path: Path, chain: Path | None) -> None:
    """Have the node in -d take up the override in FILE when it starts.

    Its rules are checked first: signatures, what is final here, that the chain stands still. It
    takes effect with the first block that carries it; until then nothing has changed.
    """
    from node import maintenance
    from node.clock import SystemClock
    from node.override_file import (
        INSTALLED_FILE,
        OverrideRefused,
        installed,
        judge,
        read_override,
        write_override,
    )

    proof, clock = read_override(file), SystemClock()
    with maintenance.open_chain(spec_path(chain, base_path), base_path) as opened:
        fault = judge(opened, proof, clock)
    if fault is not None:
        raise OverrideRefused(f"This node would not take it: {fault}.")
    before = installed(base_path)
    is_other = before is not None and before.override != proof.override
    if before is not None and is_other and before.override.expires >= clock.wall_ms():
        raise OverrideRefused(
            f"{base_path / INSTALLED_FILE} holds another override, "
            f"0x{before.override.digest().hex()}, which has not expired. Nodes that take different "
            "ones split the chain: find out which is meant, and remove the other."
        )
    write_override(base_path / INSTALLED_FILE, proof)
    click.echo(
        f"Installed: from block {proof.override.start.number} on set {proof.override.set_id} of "
        f"{len(proof.override.validators)} validators goes on. Start the node."
    )


def _keystore(base_path: Path, folder: Path | None, password: Path | None) -> Keystore:
    secret = None if password is None else read_secret_file(password, "--password-filename")
    return Keystore(folder or base_path / "keystore", secret)


def _new_validator(path: Path) -> "NewValidator":
    from node.override_plan import NewValidator

    try:
        content = json.loads(path.read_bytes())
        who = account_of_text(content["account"])
        keys = SessionKeys.decode(bytes.fromhex(content["keys"][2:]))
        proof = bytes.fromhex(content["proof"][2:])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigInvalid(
            f"{path} holds no session keys: {error}. dret authority recovery new-keys makes it."
        ) from error
    if len(proof) != PROOF_BYTES or not is_owned(keys, who, proof):
        raise ConfigInvalid(f"{path}: the proof is not by both keys for {content['account']}.")
    return NewValidator(who, keys)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise ConfigInvalid(f"{path} cannot be written: {error.strerror}.") from error
