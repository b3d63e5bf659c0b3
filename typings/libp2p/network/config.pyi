class ConnectionConfig:
    def __init__(
        self,
        *,
        max_connections: int,
        min_connections: int,
        low_watermark: int,
        high_watermark: int,
        auto_connect_interval: float,
        inbound_upgrade_timeout: float,
        outbound_upgrade_timeout: float,
    ) -> None: ...

class RetryConfig:
    def __init__(self, *, max_retries: int) -> None: ...
