"""Flags of `dret node run`: which are refused, and the settings they stand for."""

from ipaddress import ip_network
from pathlib import Path
from typing import Any

import asyncclick as click
import pytest

from node.cli.node import DEV_ACCOUNTS, check_flags, make_config, run
from node.errors import ConfigInvalid
from rpc.config import DEFAULT_ORIGINS, Limits


async def flags_of(*arguments: str) -> dict[str, Any]:
    context = await run.make_context("run", list(arguments))
    return dict(context.params)


async def config_of(*arguments: str, temporary: Path | None = None) -> Any:
    flags = await flags_of("--chain", "spec.json", *arguments)
    check_flags(flags)
    return make_config(flags, temporary)


async def test_a_development_name_makes_a_validator_with_that_key() -> None:
    config = await config_of("--charlie", "--base-path", "x")

    assert config.is_validator
    assert config.dev_key == "//Charlie"
    assert config.name == "Charlie"


async def test_defaults_are_those_of_substrate_on_loopback() -> None:
    config = await config_of("-d", "x")

    assert (config.port, config.rpc_port, config.prometheus_port) == (30333, 9944, 9615)
    assert config.rpc_address == "127.0.0.1"
    assert config.state_pruning == 256
    assert config.rpc_cors == DEFAULT_ORIGINS
    assert not config.is_validator


async def test_the_development_chain_forces_authoring_and_needs_no_peers(tmp_path: Path) -> None:
    config = await config_of("--dev", temporary=tmp_path)

    assert config.force_authoring and config.is_single
    assert config.base_path == tmp_path
    assert config.dev_key == "//Alice"
    assert config.rpc_cors is None


async def test_the_development_chain_is_made_once_per_base_path(tmp_path: Path) -> None:
    flags = await flags_of("--dev", "--base-path", str(tmp_path / "node"))
    check_flags(flags)

    first = make_config(flags, None).chain.read_text()
    second = make_config(flags, None).chain.read_text()

    assert first == second


async def test_addresses_and_keys_are_read(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("07" * 32 + "\n")

    config = await config_of(
        *("-d", "x", "--listen-addr", "/ip4/0.0.0.0/tcp/7", "--node-key-file", str(key)),
        *("--unsafe-rpc-external", "--state-pruning", "archive", "--no-prometheus"),
    )

    assert (config.listen_address, config.port) == ("0.0.0.0", 7)
    assert config.node_key == b"\x07" * 32
    assert config.rpc_address == "0.0.0.0"
    assert config.state_pruning is None
    assert config.prometheus_port is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--alice", "--bob"), "--alice, --bob"),
        (("--alice", "--rpc-external"), "shouldn't be used if the node is running as a validator"),
        (("--tmp", "--base-path", "x"), "--tmp and --base-path"),
        (("--node-key", "00", "--node-key-file", "x"), "--node-key and --node-key-file"),
        (("--no-prometheus", "--prometheus-external"), "exclude each other"),
    ],
)
async def test_flags_that_contradict_each_other_are_refused(
    arguments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(click.UsageError, match=message):
        check_flags(await flags_of("--chain", "x", *arguments))


async def test_a_node_without_a_chain_is_told_what_to_pass() -> None:
    with pytest.raises(click.UsageError, match="Pass --chain FILE"):
        check_flags(await flags_of("--alice"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--state-pruning", "3"), "--state-pruning 3: expected archive or a number from 16"),
        (("--listen-addr", "0.0.0.0"), "expected /ip4/ADDRESS/tcp/PORT"),
        (("--listen-addr", "/ip4/0.0.0.0/tcp/99999"), "expected /ip4/ADDRESS/tcp/PORT"),
        (("--node-key", "0x12"), "a network key has 32 bytes, not 1"),
        (("--node-key", "zz"), "--node-key"),
        (("--checkpoint", "7"), "--checkpoint 7: expected NUMBER:0xHASH"),
        (("--checkpoint", "0:0x" + "00" * 32), "expected NUMBER:0xHASH"),
        (("--node-key-file", "nowhere"), "--node-key-file nowhere cannot be read"),
        (("--password-filename", "nowhere"), "--password-filename nowhere cannot be read"),
    ],
)
async def test_values_that_cannot_be_used_are_named(
    arguments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigInvalid, match=message):
        await config_of("-d", "x", *arguments)


def test_there_is_a_flag_for_each_development_account() -> None:
    names = {parameter.name for parameter in run.params}

    assert set(DEV_ACCOUNTS) <= names


async def test_rpc_limits_are_those_of_substrate_unless_told_otherwise() -> None:
    defaults = (await config_of("-d", "x")).rpc_limits
    told = (
        await config_of(
            *("-d", "x", "--rpc-max-connections", "10000", "--rpc-max-request-size", "1"),
            *("--rpc-max-response-size", "2", "--rpc-max-subscriptions-per-connection", "3"),
            *("--rpc-message-buffer-capacity-per-connection", "4"),
            *("--rpc-max-batch-request-len", "5", "--rpc-rate-limit", "6"),
            *("--rpc-rate-limit-whitelisted-ips", "10.0.0.7/8"),
            *("--rpc-rate-limit-whitelisted-ips", "fd00::/8"),
            "--rpc-rate-limit-trust-proxy-headers",
        )
    ).rpc_limits

    assert defaults == Limits(
        connections_max=100,
        request_bytes_max=15 << 20,
        response_bytes_max=15 << 20,
        subscriptions_max=1_024,
        message_buffer=64,
        batch_max=1_024,
        calls_per_minute_max=None,
    )
    assert told == Limits(
        connections_max=10_000,
        request_bytes_max=1 << 20,
        response_bytes_max=2 << 20,
        subscriptions_max=3,
        message_buffer=4,
        batch_max=5,
        calls_per_minute_max=6,
        unlimited_networks=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")),
        trusts_proxy_headers=True,
    )
    assert (await config_of("-d", "x", "--rpc-disable-batch-requests")).rpc_limits.batch_max == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("--rpc-disable-batch-requests", "--rpc-max-batch-request-len", "5"),
        ("--rpc-rate-limit-whitelisted-ips", "10.0.0.0/8"),
        ("--rpc-rate-limit-trust-proxy-headers",),
        ("--rpc-rate-limit", "0"),
        ("--rpc-max-connections", "0"),
        ("--rpc-max-batch-request-len", "0"),
        ("--rpc-max-request-size", "1025"),
    ],
)
async def test_rpc_limits_that_make_no_sense_are_refused(arguments: tuple[str, ...]) -> None:
    with pytest.raises(click.UsageError) as refused:
        await config_of("-d", "x", *arguments)

    assert refused.value.exit_code == 2
    assert "--rpc-" in refused.value.format_message()


async def test_a_network_that_is_none_is_refused_with_an_example() -> None:
    with pytest.raises(ConfigInvalid, match=r"whitelisted-ips 10\.0\.0: expected a network as 10"):
        await config_of(
            "-d", "x", "--rpc-rate-limit", "5", "--rpc-rate-limit-whitelisted-ips", "10.0.0"
        )
