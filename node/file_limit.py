"""Open files: each RPC client and each peer is one, and the usual soft limit is 1 024.

As polkadot-sdk's node, ours raises its own soft limit to the hard one when it starts.
"""

import logging
import resource

OTHER_FILES = 512  # LevelDB's tables, peers, logs, and what the libraries hold open

log = logging.getLogger("node")


def raise_file_limit(rpc_connections_max: int) -> int:
    """Raise the soft limit as far as is allowed; warn when the RPC clients may not fit into it.

    Returns the limit that holds now.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = rpc_connections_max + OTHER_FILES
    if soft != resource.RLIM_INFINITY and (hard == resource.RLIM_INFINITY or soft < hard):
        soft = wanted if hard == resource.RLIM_INFINITY else hard
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft != resource.RLIM_INFINITY and soft < wanted:
        log.warning(
            "This process may have %d files open, but --rpc-max-connections %d needs about %d. "
            "Raise the hard limit (ulimit -Hn %d) or pass a lower --rpc-max-connections.",
            soft,
            rpc_connections_max,
            wanted,
            wanted,
        )
    return soft
