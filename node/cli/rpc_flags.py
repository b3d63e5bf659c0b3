"""Flags of `dret node run` that bound what RPC clients may do; Substrate's names and defaults."""

import ipaddress
from collections.abc import Mapping
from typing import Any

import asyncclick as click

from node.errors import ConfigInvalid
from rpc.config import MIB, IpNetwork, Limits

DEFAULTS = Limits()
MIB_MAX = 1_024  # of one message; more would not fit beside the state of a small machine


def rpc_limit_options() -> list[Any]:
    """The flags, in the order of the help."""
    one_up = click.IntRange(1)
    size = click.IntRange(1, MIB_MAX)
    return [
        click.option(
            "--rpc-max-connections",
            type=one_up,
            default=DEFAULTS.connections_max,
            show_default=True,
            help="Clients at once, HTTP and WebSocket; further ones are refused.",
        ),
        click.option(
            "--rpc-max-request-size",
            type=size,
            default=DEFAULTS.request_bytes_max // MIB,
            show_default=True,
            help="Of one request or message, in MiB.",
        ),
        click.option(
            "--rpc-max-response-size",
            type=size,
            default=DEFAULTS.response_bytes_max // MIB,
            show_default=True,
            help="Of one reply, in MiB.",
        ),
        click.option(
            "--rpc-max-subscriptions-per-connection",
            type=one_up,
            default=DEFAULTS.subscriptions_max,
            show_default=True,
        ),
        click.option(
            "--rpc-message-buffer-capacity-per-connection",
            type=one_up,
            default=DEFAULTS.message_buffer,
            show_default=True,
            help="Messages that wait for a client; one that lags further behind is cut.",
        ),
        click.option(
            "--rpc-max-batch-request-len",
            type=one_up,
            default=None,
            help=f"Calls in a batch.  [default: {DEFAULTS.batch_max}]",
        ),
        click.option("--rpc-disable-batch-requests", is_flag=True, help="Answer no batches."),
        click.option(
            "--rpc-rate-limit",
            type=one_up,
            default=None,
            help="Calls a minute for each connection; no limit by default.",
        ),
        click.option(
            "--rpc-rate-limit-whitelisted-ips",
            multiple=True,
            help="Network without that limit, such as 10.0.0.0/8; repeat.",
        ),
        click.option(
            "--rpc-rate-limit-trust-proxy-headers",
            is_flag=True,
            help="Take the client's address from X-Real-IP, X-Forwarded-For or Forwarded.",
        ),
    ]


def check_rpc_flags(flags: Mapping[str, Any]) -> None:
    """Refuse flags that contradict each other. Raises `click.UsageError`."""
    if flags["rpc_disable_batch_requests"] and flags["rpc_max_batch_request_len"] is not None:
        raise click.UsageError(
            "--rpc-disable-batch-requests and --rpc-max-batch-request-len exclude each other."
        )
    if flags["rpc_rate_limit"] is None:
        for name in ("whitelisted_ips", "trust_proxy_headers"):
            if flags[f"rpc_rate_limit_{name}"]:
                flag = f"--rpc-rate-limit-{name.replace('_', '-')}"
                raise click.UsageError(f"{flag} needs --rpc-rate-limit.")


def rpc_limits(flags: Mapping[str, Any]) -> Limits:
    """The bounds that the flags stand for. Raises `ConfigInvalid` naming the flag."""
    batch_max = flags["rpc_max_batch_request_len"] or DEFAULTS.batch_max
    return Limits(
        connections_max=flags["rpc_max_connections"],
        request_bytes_max=flags["rpc_max_request_size"] * MIB,
        response_bytes_max=flags["rpc_max_response_size"] * MIB,
        subscriptions_max=flags["rpc_max_subscriptions_per_connection"],
        message_buffer=flags["rpc_message_buffer_capacity_per_connection"],
        batch_max=0 if flags["rpc_disable_batch_requests"] else batch_max,
        calls_per_minute_max=flags["rpc_rate_limit"],
        unlimited_networks=tuple(
            _network(text) for text in flags["rpc_rate_limit_whitelisted_ips"]
        ),
        trusts_proxy_headers=flags["rpc_rate_limit_trust_proxy_headers"],
    )


def _network(text: str) -> IpNetwork:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ConfigInvalid(
            f"--rpc-rate-limit-whitelisted-ips {text}: expected a network as 10.0.0.0/8 or "
            "fd00::/8."
        ) from None
