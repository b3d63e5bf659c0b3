"""An override of the members: planned and signed by commands, and followed by others."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncclick as click
import pytest
from asyncclick.testing import CliRunner
from msgspec.structs import replace

from consensus.grandpa.vote_graph import BlockRef
from consensus.warp import (
    BadWarpProof,
    Recoveries,
    WarpPosition,
    decode_answer,
    encode_answer,
    follow,
)
from node.checks import NativeChecks
from node.cli.authority import group
from node.client.finality import ProofRefused, Voters, follow_handoffs
from node.errors import ConfigInvalid
from node.finality_report import (
    SeenPrecommit,
    SignedReport,
    read_report,
    report_payload,
    report_text,
    stopped_set,
)
from node.handoffs import Handoffs
from node.keystore import Keystore
from node.override_file import (
    OverrideRefused,
    combine,
    installed,
    read_override,
    sign_override,
    write_override,
)
from node.override_plan import NoPlan
from node.recoveries import read_signers
from node.sync_server import SyncServer
from runtime.primitives.crypto import Scheme, ss58_encode
from runtime.primitives.grandpa import Precommit, SignedMessage, vote_payload
from runtime.primitives.recovery import (
    Block,
    MemberSignature,
    Override,
    RecoveryLink,
    RecoveryProof,
)
from tests.support.accounts import ALICE, BOB, CHARLIE, DAVE, EVE, pair_named, pair_of
from tests.support.governance import keys_named
from tests.support.sealed_chain import SealedChain, small_spec

pytestmark = pytest.mark.slow

FINAL, BEST = 20, 29
WEEK_MS = 7 * 86_400_000


# --- commands


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of Alice and Bob, two of four validators; block 20 of 29 is final."""
    folder = tmp_path_factory.mktemp("homes")
    (folder / "chain.json").write_text(small_spec().encode())
    chain = SealedChain(folder / "alice" / "db", small_spec())
    chain.grow(FINAL)
    chain.finalize()
    chain.grow(BEST - FINAL - 1)
    chain.add([chain.transfer("Alice", BOB, 5)])
    chain.close()
    shutil.copytree(folder / "alice", folder / "bob")
    for name in ("alice", "bob"):
        keystore = Keystore(folder / name / "keystore")
        for kind in ("aura", "gran"):
            keystore.insert(kind, f"//{name.title()}")
    return folder


@pytest.fixture
def place(homes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same folders, to change."""
    folder = tmp_path / "homes"
    shutil.copytree(homes, folder)
    monkeypatch.chdir(folder)
    return folder


async def run(*arguments: str) -> str:
    """What a command prints that succeeds."""
    chain = ("--chain", "chain.json") if "-d" in arguments and arguments[0] in CHAINED else ()
    done = await CliRunner().invoke(group, ["recovery", *arguments, *chain])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


CHAINED = ("report", "propose", "inspect", "apply")


async def reports() -> list[str]:
    for name in ("alice", "bob"):
        await run("report", "-d", name, "--out", f"{name}.json")
    return ["--report=alice.json", "--report=bob.json"]


async def proposed(*more: str) -> Any:
    flags = await reports()
    await run("new-keys", ss58_encode(EVE), "-d", "eve", "--out", "eve.json")
    text = await run(
        *("propose", "-d", "alice", *flags, "--new-validator", "eve.json"),
        *(f"--validator={ss58_encode(who)}" for who in (ALICE, BOB)),
        *("--reason", "two machines burnt", "--out", "override.json", *more),
    )
    return json.loads(text)


async def test_an_override_is_planned_signed_and_installed_by_commands(place: Path) -> None:
    plan = await proposed()
    assert plan["finalized"]["number"] == FINAL
    assert plan["start"]["number"] == BEST, "nothing that all have is lost"
    assert (plan["old_set_id"], plan["set_id"], plan["signed_by"]) == (0, 1, [])
    assert [v["account"] for v in plan["validators"]] == [*map(ss58_encode, (ALICE, BOB, EVE))]

    with pytest.raises(OverrideRefused, match="0 of 4 members signed, expected 3"):
        await run("inspect", "override.json", "-d", "alice")
    for name in ("Alice", "Bob", "Dave"):
        (place / f"{name}.key").write_text(f"//{name}\n")
        await run("sign", "override.json", "--suri-file", f"{name}.key", "--out", f"{name}.signed")
    with pytest.raises(OverrideRefused, match="2 of 4 members signed, expected 3"):
        await run("combine", "Alice.signed", "Bob.signed", "--out", "few.json")
        await run("apply", "few.json", "-d", "bob")
    done = await run("combine", *(f"{n}.signed" for n in ("Dave", "Alice", "Bob")), "--out", "o")
    assert "3 members have signed" in done

    assert "would take it" in await run("inspect", "o", "-d", "alice")
    assert "from block 29 on set 1 of 3 validators" in await run("apply", "o", "-d", "bob")
    found = installed(place / "bob")
    assert found is not None and len(found.signatures) == 3
    assert json.loads(await run("inspect", "o", "--output", "json"))["set_id"] == 1


async def test_a_report_ends_voting_before_it_is_written(place: Path) -> None:
    await run("report", "-d", "alice", "--out", "alice.json")

    assert stopped_set(place / "alice") == 0
    assert read_report(place / "alice.json").report.finalized.number == FINAL
    assert "set 0 again" in await run("resume", "-d", "alice")
    assert stopped_set(place / "alice") == -1
    assert "nothing to resume" in await run("resume", "-d", "alice")


async def test_only_validators_report(place: Path) -> None:
    shutil.rmtree(place / "bob" / "keystore")

    with pytest.raises(ConfigInvalid, match="holds 0 keys for votes, none of them of the 4"):
        await run("report", "-d", "bob", "--out", "bob.json")
    assert stopped_set(place / "bob") == -1


Forge = Callable[[SignedReport], SignedReport]
FORGED: dict[str, tuple[Forge, str]] = {
    "of another chain": (
        lambda s: replace(s, report=replace(s.report, genesis=bytes(32))),
        "of the chain 0x00",
    ),
    "of another set": (lambda s: replace(s, report=replace(s.report, set_id=3)), "of set 3"),
    "of a stranger": (
        lambda s: replace(s, report=replace(s.report, reporter=bytes(32))),
        "no voter of set 0",
    ),
    "with another chain of blocks": (
        lambda s: replace(s, report=replace(s.report, chain=[bytes(32)])),
        "signature of 0x",
    ),
}


@pytest.mark.parametrize("case", FORGED)
async def test_a_report_does_not_count_that_is(place: Path, case: str) -> None:
    forge, words = FORGED[case]
    await reports()
    forged = forge(read_report(place / "bob.json"))
    (place / "bob.json").write_text(report_text(forged))

    with pytest.raises(NoPlan, match=words):
        await run(
            *("propose", "-d", "alice", "--report=bob.json", "--reason", "x", "--out", "o"),
            *("--validator", ss58_encode(ALICE)),
        )


def precommit(name: str, number: int, round_number: int) -> SeenPrecommit:
    """A vote that its voter really signed, for a block that nobody has."""
    pair = pair_named(name, Scheme.ED25519)
    message = Precommit(b"\x07" * 32, number)
    signature = pair.sign(vote_payload(message, round_number, 0))
    return SeenPrecommit(round_number, SignedMessage(message, signature, pair.public))


def reported(signed: SignedReport, **changes: object) -> SignedReport:
    """Bob reports something else."""
    report = replace(signed.report, **changes)
    pair = pair_named("Bob", Scheme.ED25519)
    return SignedReport(report, pair.sign(report_payload(report)))


async def test_the_start_contains_what_may_be_final_and_no_two_are(place: Path) -> None:
    await reports()
    honest = read_report(place / "bob.json")
    header = replace(honest.report.finalized, state_root=bytes(32))
    votes = [precommit("Charlie", 24, 9)]
    older = [precommit("Charlie", 24, 8), precommit("Charlie", 3, 9)]
    flags = ("--validator", ss58_encode(ALICE), "--reason", "x", "--out", "o")
    both = ("--report=alice.json", "--report=bob.json")

    for changes, words in (
        ({"precommits": votes}, "precommitted to block 24, 0x0707.*may be final"),
        ({"finalized": header}, "safety fault, not a standstill"),
    ):
        (place / "bob.json").write_text(report_text(reported(honest, **changes)))
        with pytest.raises(NoPlan, match=words):
            await run("propose", "-d", "alice", *both, *flags)
    (place / "bob.json").write_text(report_text(reported(honest, precommits=older)))
    await run("propose", "-d", "alice", *both, *flags)


async def test_too_few_reports_have_to_be_accepted(place: Path) -> None:
    await run("report", "-d", "alice", "--out", "alice.json")
    flags = ("--report=alice.json", "--validator", ss58_encode(ALICE), "--reason", "x")

    with pytest.raises(NoPlan, match="1 of 4 validators report, expected 2 at least"):
        await run("propose", "-d", "alice", *flags, "--out", "o")
    await run("propose", "-d", "alice", *flags, "--out", "o", "--accept-unseen-finality")
    with pytest.raises(NoPlan, match="--start 19: expected 20"):
        more = ("--accept-unseen-finality", "--start", "19")
        await run("propose", "-d", "alice", *flags, "--out", "o", *more)
    with pytest.raises(NoPlan, match="has no session keys on the chain"):
        await run(
            *("propose", "-d", "alice", "--report=alice.json", "--accept-unseen-finality"),
            *("--reason", "x", "--out", "o", "--validator", ss58_encode(EVE)),
        )


async def test_a_key_signs_one_override_of_a_set_only(place: Path) -> None:
    await proposed()
    (place / "key").write_text("//Alice\n")
    await run("sign", "override.json", "--suri-file", "key", "--out", "first")
    await run("sign", "override.json", "--suri-file", "key", "--out", "first")
    await proposed("--start", "25")

    with pytest.raises(OverrideRefused, match="has signed the override 0x"):
        await run("sign", "override.json", "--suri-file", "key", "--out", "second")
    write_override(
        place / "second", sign_override(read_override(place / "override.json"), *by(BOB))
    )
    with pytest.raises(ConfigInvalid, match="two overrides"):
        await run("combine", "first", "second", "--out", "both")


def by(who: bytes) -> tuple[bytes, Any]:
    return who, pair_of(who)


async def test_another_override_does_not_take_the_place_of_one_that_holds(place: Path) -> None:
    for start in ("28", "27"):
        await proposed("--start", start)
        proof = read_override(place / "override.json")
        for who in (ALICE, BOB, CHARLIE):
            proof = sign_override(proof, *by(who))
        write_override(place / start, proof)
    await run("apply", "28", "-d", "bob")
    await run("apply", "28", "-d", "bob")

    with pytest.raises(OverrideRefused, match="holds another override"):
        await run("apply", "27", "-d", "bob")


async def test_an_override_below_what_is_final_is_refused_whoever_signed(place: Path) -> None:
    await proposed()
    proof = read_override(place / "override.json")
    low = Block(proof.finalized_header.parent_hash, FINAL - 1)
    for forged, words in (
        (replace(proof.override, start=Block(bytes(32), FINAL)), "starts from block 20"),
        (replace(proof.override, start=Block(bytes(32), BEST)), "is not here"),
        (replace(proof.override, old_set_id=1, set_id=2), "it overrides set 1"),
        (replace(proof.override, start=low, finalized=low), "header of the final block"),
        (replace(proof.override, not_before=1, expires=2), "it holds from 1 to 2"),
    ):
        changed = replace(proof, override=forged)
        for who in (ALICE, BOB, CHARLIE, DAVE):
            changed = sign_override(changed, *by(who))
        write_override(place / "forged", changed)
        with pytest.raises(OverrideRefused, match=words):
            await run("apply", "forged", "-d", "bob")
    assert installed(place / "bob") is None


@pytest.mark.parametrize("text", ["", "{}", '{"proof": "0x00"}', '{"proof": 7}', "[]"])
async def test_what_is_no_override_is_said_so(place: Path, text: str) -> None:
    (place / "nonsense").write_text(text)

    with pytest.raises(ConfigInvalid, match="is no override"):
        await run("inspect", "nonsense")
    with pytest.raises(ConfigInvalid, match="is no report"):
        read_report(place / "nonsense")


async def test_options_that_are_missing_are_named(place: Path) -> None:
    done = await CliRunner().invoke(group, ["recovery", "propose", "-d", "alice", "--out", "o"])

    assert done.exit_code == 2
    assert "--report" in done.output
    assert isinstance(group, click.Group)


# --- those who follow


@pytest.fixture(scope="module")
def recovered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SealedChain]:
    """A chain with a handoff, an override that passes an open one over, and a handoff after it."""
    chain = SealedChain(tmp_path_factory.mktemp("recovered") / "db", small_spec(session_blocks=4))
    chain.hold("Eve")
    chain.add([chain.rotate("Alice", "Alice-1")])
    chain.grow(7)
    chain.finalize()  # block 8 hands over to set 1
    chain.grow(2)
    chain.finalize()
    chain.add([chain.rotate("Bob", "Bob-1")])
    chain.grow(6)  # block 16 would hand over to set 2, and never becomes final
    final = chain.chain.finalized
    override = Override(
        chain.chain.genesis_hash,
        Block(final.hash(), final.number),
        Block(chain.chain.best_hash, chain.chain.best.number),
        1,
        3,
        [
            (ALICE, keys_named("Alice-1")),
            (BOB, keys_named("Bob-1")),
            (EVE, keys_named("Eve")),
        ],
        0,
        1 << 50,
        "gone",
    )
    chain.recover(signed(RecoveryProof(override, final, chain.prove(final).encode(), [])))
    chain.add([chain.rotate("Eve", "Eve-1")])
    while chain.chain.best.number < 24:
        chain.add()
    chain.finalize()  # hands over to set 4
    chain.grow(2)
    chain.finalize()
    yield chain
    chain.close()


def signed(proof: RecoveryProof) -> RecoveryProof:
    for who in (ALICE, BOB, CHARLIE):
        proof = sign_override(proof, *by(who))
    return proof


def start(chain: SealedChain) -> WarpPosition:
    names = ("Alice", "Bob", "Charlie", "Dave")
    voters = tuple(keys_named(name).grandpa for name in names)
    return WarpPosition(BlockRef(chain.chain.genesis_hash, 0), 0, voters)


def answer_of(chain: SealedChain) -> tuple[Any, list[RecoveryLink]]:
    data = SyncServer(chain.chain).warp_proof(chain.chain.genesis_hash)
    assert data is not None
    proof, links = decode_answer(data)
    assert encode_answer(proof, links) == data
    return proof, links


def warped(chain: SealedChain, proof: Any, links: list[RecoveryLink]) -> WarpPosition:
    recoveries = Recoveries(chain.chain.genesis_hash, links, read_signers)
    return follow(start(chain), proof, NativeChecks(), recoveries)


def test_a_warp_proof_leads_through_an_override(recovered: SealedChain) -> None:
    proof, links = answer_of(recovered)

    position = warped(recovered, proof, links)

    assert (position.block.number, position.set_id) == (26, 4)
    assert [fragment.header.number for fragment in position.handoffs] == [8, 24]
    assert [link.proof.override.start.number for link in position.recoveries] == [17]
    with pytest.raises(BadWarpProof, match="block 24"):
        warped(recovered, proof, [])


LinkForge = Callable[[RecoveryLink], RecoveryLink]
LINKS: dict[str, LinkForge] = {
    "a signature is missing": lambda link: replace(
        link, proof=replace(link.proof, signatures=link.proof.signatures[:2])
    ),
    "another signature": lambda link: replace(
        link,
        proof=replace(
            link.proof,
            signatures=[
                *link.proof.signatures[:2],
                MemberSignature(
                    link.proof.signatures[2].member, link.proof.signatures[0].signature
                ),
            ],
        ),
    ),
    "other validators": lambda link: replace(
        link,
        proof=replace(
            link.proof,
            override=replace(
                link.proof.override,
                validators=[*link.proof.override.validators[:2], (DAVE, keys_named("Dave"))],
            ),
        ),
    ),
    "no proof of the members": lambda link: replace(link, members=[]),
    "a gap in the path": lambda link: replace(link, headers=link.headers[:3] + link.headers[4:]),
    "no justification": lambda link: replace(link, proof=replace(link.proof, justification=None)),
    "another justification": lambda link: replace(
        link, proof=replace(link.proof, justification=b"\x00" * 40)
    ),
}


@pytest.mark.parametrize("case", LINKS)
async def test_a_link_leads_nowhere_in_which_there_is(recovered: SealedChain, case: str) -> None:
    proof, links = answer_of(recovered)
    forged = LINKS[case](links[0])

    with pytest.raises(BadWarpProof, match="the override that starts from block 17"):
        warped(recovered, proof, [forged])
    with pytest.raises(ProofRefused, match="The override that starts from block 17"):
        await followed(recovered, {17: forged})


class Asked:
    """A node that answers `dret_handoffs` with what it has, or with forged links."""

    def __init__(self, chain: SealedChain, forged: dict[int, RecoveryLink]) -> None:
        self._handoffs = Handoffs(chain.chain, lambda: 4)
        self._forged = forged

    async def call(self, method: str, params: Any = ()) -> Any:
        assert method == "dret_handoffs"
        return [
            {
                "header": "0x" + header.encode().hex(),
                "recovery" if is_recovery else "justification": "0x"
                + (
                    self._forged[header.number].encode() if header.number in self._forged else data
                ).hex(),
            }
            for header, data, is_recovery in self._handoffs.after(params[0], 2)
        ]


async def followed(chain: SealedChain, forged: dict[int, RecoveryLink], number: int = 26) -> Voters:
    voters = Voters(0, start(chain).voters, genesis=chain.chain.genesis_hash)
    await follow_handoffs(Asked(chain, forged), voters, number)
    return voters


@pytest.mark.parametrize(
    ("number", "set_id"), [(8, 0), (9, 1), (10, 1), (11, 3), (17, 3), (18, 3), (24, 3), (25, 4)]
)
async def test_the_voters_of_each_block_follow_from_the_genesis(
    recovered: SealedChain, number: int, set_id: int
) -> None:
    voters = await followed(recovered, {}, number)

    assert voters.set_id == set_id
    proof = recovered.chain.finality_proof(number)
    assert proof is not None
    voters.check(proof.justification, proof.block, f"block {number}")


def test_a_node_goes_on_from_the_start_of_an_override_after_a_stop(tmp_path: Path) -> None:
    chain = SealedChain(tmp_path / "db", small_spec())
    chain.grow(FINAL)
    chain.finalize()
    chain.grow(8)
    final = chain.chain.finalized
    override = Override(
        chain.chain.genesis_hash,
        Block(final.hash(), FINAL),
        Block(chain.chain.best_hash, FINAL + 8),
        0,
        1,
        [(who, keys_named(name)) for who, name in ((ALICE, "Alice"), (BOB, "Bob"), (EVE, "Eve"))],
        0,
        1 << 50,
        "gone",
    )
    proof = signed(RecoveryProof(override, final, chain.prove(final).encode(), []))
    assert chain.chain.override_fault(proof) is None
    header = chain.recover(proof)
    chain.close()

    again = SealedChain(tmp_path / "db", small_spec())
    state = again.chain.loaded_state(())

    assert (state.finalized.number, state.set_id) == (FINAL + 8, 1)
    assert state.grandpa_authorities == tuple(
        keys_named(n).grandpa for n in ("Alice", "Bob", "Eve")
    )
    assert state.recovery == proof.encode()
    assert state.justification is None
    assert [each.hash() for each in state.unfinalized] == [header.hash()]
    again.close()
    assert combine([proof, proof]) == proof
    assert pair_named("Alice").public == ALICE
