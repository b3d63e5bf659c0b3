from typing import NewType

TProtocol = NewType("TProtocol", str)
