"""Signs calls of many accounts and hands them to a node that may come and go.

What must be known of the chain to sign (versions, genesis, a recent finalized block) is read anew
after each connection and once an interval. Nonces are asked of the node each time an account has
not been heard of for a while or was refused: so nothing is stuck behind an extrinsic that was lost.
"""

import logging
from dataclasses import dataclass, field

from devnet.rpc_client import Link, RpcFailed
from node.client.signing import Terms, read_terms, sign
from node.errors import NodeUnreachable
from runtime.primitives.crypto import KeyPair, ss58_encode

NONCE_TRUST_MAX = 8  # extrinsics of an account between two looks at its nonce
INVALID = 1010

log = logging.getLogger("agents")


@dataclass
class Account:
    """An account that signs. `nonce` is None when it has to be asked for."""

    pair: KeyPair
    nonce: int | None = None
    trusted: int = 0
    address: str = field(init=False)

    def __post_init__(self) -> None:
        self.address = ss58_encode(self.pair.account)


class Wallet:
    """Accounts behind one node. Not for two tasks at once on the same account."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.submitted = 0
        self.refused = 0
        self._terms: Terms | None = None
        self._connection = 0

    async def look(self) -> bool:
        """Read what signing needs; False while the node does not answer."""
        try:
            self._terms = await read_terms(self.link)
        except (NodeUnreachable, RpcFailed) as error:
            log.debug("the node cannot be asked: %s", error)
            self._terms = None
            return False
        return True

    async def submit(self, account: Account, call: bytes) -> bool:
        """Sign a call and hand it in; whether the pool took it."""
        if self._terms is None or self._connection != self.link.times_connected:
            self._connection = self.link.times_connected
            account.nonce = None
            if not await self.look():
                return False
        try:
            await self.hand_in(account, call)
        except NodeUnreachable as error:
            log.debug("%s", error)
            account.nonce = self._terms = None
            return False
        except RpcFailed as error:
            log.warning("%s was refused: %s", account.address, error)
            self.refused += 1
            account.nonce = None
            return False
        self.submitted += 1
        return True

    async def hand_in(self, account: Account, call: bytes) -> None:
        """Sign a call by what `look` found and hand it in.

        Raises `RpcFailed` or `NodeUnreachable`.
        """
        if account.nonce is None or account.trusted >= NONCE_TRUST_MAX:
            account.nonce = await self.link.call("system_accountNextIndex", [account.address])
            account.trusted = 0
        nonce, terms = account.nonce, self._terms
        assert terms is not None and nonce is not None, "read above"
        extrinsic = sign(account.pair, call, nonce, terms)
        account.nonce = None  # unknown if this is cancelled while the node has it
        await self.link.call("author_submitExtrinsic", ["0x" + extrinsic.hex()])
        account.nonce = nonce + 1
        account.trusted += 1
