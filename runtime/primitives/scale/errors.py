"""What can go wrong between a value and its bytes."""


class DecodeError(ValueError):
    """The bytes are not the encoding of a value of the type; the sender is at fault."""


class EncodeError(ValueError):
    """The value is outside its type, such as a hash too short; our own code is at fault."""
