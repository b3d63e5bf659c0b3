"""JSON-RPC 2.0 messages: requests in, replies and notifications out, error codes.

An id is echoed as the very bytes that came (after a check that it is a number, a string or null).
Codes and texts are those of polkadot-sdk's server (jsonrpsee), which clients compare.

Source: https://www.jsonrpc.org/specification. Left out: notifications from clients get no reply
and are not executed, as in jsonrpsee.
"""

import msgspec

from rpc.ports import Json

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
BATCHES_DISABLED = -32005
TOO_MANY_SUBSCRIPTIONS = -32006
OVERSIZED_REQUEST = -32007
OVERSIZED_RESPONSE = -32008
OVERSIZED_BATCH = -32010
OVERSIZED_BATCH_RESPONSE = -32011

NULL_ID = b"null"
_ID_STARTS = frozenset(b'-0123456789"n')
_WHITESPACE = b" \t\r\n"

_encode = msgspec.json.Encoder().encode


class RpcError(Exception):
    """An error as the client sees it."""

    def __init__(self, code: int, message: str, data: Json = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


class Request(msgspec.Struct, frozen=True):
    """One call. `params` is decoded JSON: a list, an object, or None when absent."""

    id: bytes
    method: str
    params: object


class _Envelope(msgspec.Struct):
    method: str
    jsonrpc: str = ""
    params: msgspec.Raw = msgspec.Raw(b"null")
    id: msgspec.Raw = msgspec.Raw()


class _OnlyId(msgspec.Struct):
    id: msgspec.Raw = msgspec.Raw(NULL_ID)


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_only_id = msgspec.json.Decoder(_OnlyId).decode
_decode_batch = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_params = msgspec.json.Decoder().decode


def is_batch(message: bytes | bytearray) -> bool:
    """Whether the message is a JSON array."""
    if message[:1] == b"{":
        return False
    return message.lstrip(_WHITESPACE)[:1] == b"["


def split_batch(message: bytes | bytearray) -> list[bytes]:
    """The calls of a batch, undecoded. Raises `RpcError` when it is no JSON or empty."""
    try:
        parts = _decode_batch(message)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise RpcError(PARSE_ERROR, "Parse error") from None
    if not parts:
        raise RpcError(INVALID_REQUEST, "Invalid request")
    return [bytes(part) for part in parts]


def parse_request(message: bytes | bytearray) -> Request | None:
    """Decode one call; None for a notification. Raises `BadRequest`, which carries the id."""
    try:
        envelope = _decode_envelope(message)
        params: object = _decode_params(envelope.params)
    except msgspec.ValidationError:
        raise BadRequest(INVALID_REQUEST, "Invalid request", _id_of(message)) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise BadRequest(PARSE_ERROR, "Parse error", NULL_ID) from None
    request_id = bytes(envelope.id)
    if not request_id:
        return None
    if not (request_id.isdigit() or _is_id(request_id)):
        raise BadRequest(INVALID_REQUEST, "Invalid request", NULL_ID)
    if envelope.jsonrpc != "2.0" or not _is_params(params):
        raise BadRequest(INVALID_REQUEST, "Invalid request", request_id)
    return Request(request_id, envelope.method, params)


class BadRequest(RpcError):
    """A message that is no call, with the id it carries, `null` when none can be read."""

    def __init__(self, code: int, message: str, request_id: bytes) -> None:
        super().__init__(code, message)
        self.request_id = request_id


def encode_value(value: Json) -> bytes:
    """JSON of a result."""
    return _encode(value)


def encode_result(request_id: bytes, value: bytes) -> bytes:
    """A successful reply with an encoded result."""
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (request_id, value)


def encode_error(request_id: bytes, error: RpcError) -> bytes:
    """A failed reply."""
    fields: dict[str, Json] = {"code": error.code, "message": error.message}
    if error.data is not None:
        fields["data"] = error.data
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (request_id, _encode(fields))


def open_notification(method: str, subscription: str) -> bytes:
    """A notification of a subscription up to its result, which `}}` follows."""
    return b'{"jsonrpc":"2.0","method":"%b","params":{"subscription":"%b","result":' % (
        method.encode(),
        subscription.encode(),
    )


def _is_params(value: object) -> bool:
    return value is None or isinstance(value, list | dict)


def _is_id(raw: bytes) -> bool:
    if raw[0] == ord('"'):
        try:
            _decode_params(raw)  # an id is echoed, so it must be proper UTF-8
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        return True
    return raw[0] in _ID_STARTS and not set(raw) & set(b".eE")


def _id_of(message: bytes | bytearray) -> bytes:
    try:
        raw = bytes(_decode_only_id(message).id)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return NULL_ID
    return raw if _is_id(raw) else NULL_ID
