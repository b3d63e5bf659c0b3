from typing import Any

class RawConnection:
    def __init__(self, stream: Any, initiator: bool) -> None: ...
