"""`dret chain-spec build`: a file that a node can start from."""

import json
from pathlib import Path

import pytest
from asyncclick.testing import CliRunner, Result

from node.chain_spec import load_chain_spec
from node.cli.chain_spec import group
from node.errors import ConfigInvalid, NodeError
from runtime.primitives.crypto import KeyPair, Scheme, ss58_encode
from runtime.state.backend import MemoryBackend
from runtime.state.overlay import Overlay

BEGIN = ["--genesis-time", "1767571200000"]


async def test_the_file_is_a_chain_specification(tmp_path: Path) -> None:
    path = tmp_path / "chain.json"

    result = await CliRunner().invoke(
        group, ["build", "--scenario", "rural1", *BEGIN, "--output", str(path)]
    )

    assert result.exit_code == 0, result.output
    spec = load_chain_spec(path)
    assert spec.constants["genesis_interval"] == 1_767_571_200_000 // 6_000
    assert spec.constants["market_interval_ms"] == 6_000
    assert len(spec.genesis["session"]["validators"]) == 4
    assert spec.genesis_storage(spec.runtime())


async def test_without_a_file_it_is_printed(tmp_path: Path) -> None:
    options = ["--timing", "production", "--validators", "1", *BEGIN]

    result = await CliRunner().invoke(group, ["build", "--scenario", "rural1", *options])

    spec = json.loads(result.output)
    assert spec["constants"]["market_interval_ms"] == 900_000
    assert len(spec["genesis"]["session"]["validators"]) == 1


def keys_of(name: str) -> tuple[str, str, str]:
    """Account, Aura and GRANDPA key of somebody, in the forms that `dret key` prints."""
    account = KeyPair.from_suri(f"//{name}", Scheme.SR25519)
    aura = KeyPair.from_suri(f"//{name}//aura", Scheme.SR25519)
    grandpa = KeyPair.from_suri(f"//{name}//gran", Scheme.ED25519)
    return ss58_encode(account.public), "0x" + aura.public.hex(), ss58_encode(grandpa.public)


def authority_flags(*names: str) -> list[str]:
    return [part for name in names for part in ("--authority", *keys_of(name))]


async def test_validators_may_have_keys_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "chain.json"
    names = ("North", "South", "East", "West", "Centre")

    result = await CliRunner().invoke(
        group,
        ["build", "--scenario", "rural1", *BEGIN, *authority_flags(*names), "-o", str(path)],
    )

    assert result.exit_code == 0, result.output
    assert "but the validators'" in result.output
    spec = load_chain_spec(path)
    runtime = spec.runtime()
    state = Overlay(MemoryBackend(spec.genesis_storage(runtime)))
    expected = [KeyPair.from_suri(f"//{name}//aura", Scheme.SR25519).public for name in names]
    assert list(runtime.aura_authorities(state)) == expected
    accounts = spec.genesis["balances"]["accounts"]
    assert all(accounts[keys_of(name)[0]] > 0 for name in names)
    assert ss58_encode(KeyPair.from_suri("//Alice", Scheme.SR25519).public) not in accounts


async def test_keys_that_cannot_be_validators_are_refused() -> None:
    north, south = keys_of("North"), keys_of("South")
    both = ["--authority", *north, "--validators", "3"]
    twice = ["--authority", *north, "--authority", south[0], north[1], south[2]]

    async def build(*flags: str) -> Result:
        return await CliRunner().invoke(group, ["build", "--scenario", "rural1", *BEGIN, *flags])

    assert (await build(*both)).exit_code == 2
    assert (await build("--authority", *north[:2])).exit_code == 2
    with pytest.raises(ConfigInvalid, match="two validators have the same aura key"):
        await CliRunner().invoke(group, ["build", *BEGIN, *twice], catch_exceptions=False)
    with pytest.raises(ConfigInvalid, match="genesis"):
        await CliRunner().invoke(
            group,
            ["build", *BEGIN, "--authority", north[0], "0x12", north[2]],
            catch_exceptions=False,
        )


async def test_a_scenario_or_a_file_that_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="There is no grid 'rural9'"):
        await CliRunner().invoke(group, ["build", "--scenario", "rural9"], catch_exceptions=False)
    with pytest.raises(NodeError, match="cannot be written"):
        await CliRunner().invoke(
            group,
            ["build", "--scenario", "rural1", *BEGIN, "-o", str(tmp_path / "no" / "file")],
            catch_exceptions=False,
        )
