"""`dret chain-spec build`: a file that a node can start from."""

import json
from pathlib import Path

import pytest
from asyncclick.testing import CliRunner

from node.chain_spec import load_chain_spec
from node.cli.chain_spec import group
from node.errors import ConfigInvalid, NodeError

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


async def test_a_scenario_or_a_file_that_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="There is no grid 'rural9'"):
        await CliRunner().invoke(group, ["build", "--scenario", "rural9"], catch_exceptions=False)
    with pytest.raises(NodeError, match="cannot be written"):
        await CliRunner().invoke(
            group,
            ["build", "--scenario", "rural1", *BEGIN, "-o", str(tmp_path / "no" / "file")],
            catch_exceptions=False,
        )
