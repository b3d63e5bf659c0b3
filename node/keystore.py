"""Session keys on disk, with Substrate's file names and contents.

A file is named hex(key type) ++ hex(public key) and holds the secret URI as a JSON string. With a
password the string is encrypted: scrypt (N = 2^15, r = 8, p = 1) and AES-256-GCM. The folder is
0700 and files are 0600; wider permissions are refused, since others could sign in our name.
Files are written whole or not at all. This is the only module that draws seeds.
"""

import json
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from Crypto.Cipher import AES
from Crypto.Cipher._mode_gcm import GcmMode
from Crypto.Protocol.KDF import scrypt

from node.errors import ConfigInvalid, StorageUnusable
from runtime.primitives.crypto import KeyPair, Scheme

KEY_TYPES = {"aura": Scheme.SR25519, "gran": Scheme.ED25519}
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 1 << 15, 8, 1
_NONCE_BYTES, _TAG_BYTES, _SALT_BYTES = 12, 16, 16


def draw_seed() -> bytes:
    """32 random bytes from the operating system."""
    return os.urandom(32)


def parse_node_key(text: str) -> bytes:
    """The seed of a network identity: 32 bytes in hex. Raises ValueError."""
    seed = bytes.fromhex(text.removeprefix("0x"))
    if len(seed) != 32:
        raise ValueError(f"a network key has 32 bytes, not {len(seed)}")
    return seed


def read_secret_file(path: Path, flag: str) -> str:
    """The first line of the file that `flag` names. Raises `ConfigInvalid` when that is empty."""
    try:
        line = path.read_text().partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"{flag} {path} cannot be read: {error}") from error
    if not line:
        raise ConfigInvalid(f"{flag} {path}: the first line is empty, expected the secret.")
    return line


def write_private(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 so that a crash leaves the old one or the new one, whole."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class Keystore:
    """The keys of one node. Raises `StorageUnusable` for anything it cannot trust or read."""

    def __init__(self, path: Path, password: str | None = None) -> None:
        self.path = path
        self._password = password
        self._keys: dict[tuple[str, bytes], KeyPair] = {}
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            _refuse_wide_permissions(path)
            files = sorted(path.iterdir())
        except OSError as error:
            raise StorageUnusable(
                f"The keystore {path} cannot be used: {error.strerror}. Check the folder's owner "
                "and permissions, or pass another --keystore-path."
            ) from error
        for file in files:
            if file.suffix != ".tmp":
                self._load(file)

    def insert(self, key_type: str, suri: str) -> KeyPair:
        """Store the key of `suri` under `key_type` (aura or gran) and return it."""
        pair = _pair_of(key_type, suri)
        name = key_type.encode().hex() + pair.public.hex()
        write_private(self.path / name, json.dumps(self._sealed(suri)).encode())
        self._keys[key_type, pair.public] = pair
        return pair

    def hold(self, key_type: str, suri: str) -> KeyPair:
        """Use the key of `suri` in this process without writing it, as `--alice` does."""
        pair = _pair_of(key_type, suri)
        self._keys[key_type, pair.public] = pair
        return pair

    def rotate(self) -> bytes:
        """Draw and store a key of each type; the public keys, concatenated as session keys are."""
        suris = [(key_type, "0x" + draw_seed().hex()) for key_type in KEY_TYPES]
        return b"".join(self.insert(key_type, suri).public for key_type, suri in suris)

    def inspect(self, key_type: str, suri: str) -> bytes:
        """The public key a secret URI has under `key_type`; nothing is stored."""
        return _pair_of(key_type, suri).public

    def get(self, key_type: str, public: bytes) -> KeyPair | None:
        """The key pair with this public key, or None when it is not ours."""
        return self._keys.get((key_type, public))

    def publics(self, key_type: str) -> list[bytes]:
        """The public keys of a type, sorted."""
        return sorted(public for kind, public in self._keys if kind == key_type)

    def ring(self, key_type: str) -> "KeyRing":
        """The public keys of a type, those to come included."""
        return KeyRing(self, key_type)

    def _load(self, file: Path) -> None:
        _refuse_wide_permissions(file)
        try:
            raw = bytes.fromhex(file.name)
            key_type, public = raw[:4].decode(), raw[4:]
            pair = _pair_of(key_type, self._opened(json.loads(file.read_bytes())))
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise StorageUnusable(
                f"The key file {file} cannot be read: {error}. "
                "Restore it from a backup, or move it away and insert the key again."
            ) from error
        if pair.public != public:
            raise StorageUnusable(
                f"The key file {file} holds the key 0x{pair.public.hex()}, not the one it is "
                "named after. Move it away and insert the right key."
            )
        self._keys[key_type, public] = pair

    def _sealed(self, suri: str) -> object:
        if self._password is None:
            return suri
        salt, nonce = os.urandom(_SALT_BYTES), os.urandom(_NONCE_BYTES)
        cipher = _cipher(_derive(self._password, salt), nonce)
        text, tag = cipher.encrypt_and_digest(suri.encode())
        return {"scrypt_aes_gcm": (salt + nonce + tag + text).hex()}

    def _opened(self, content: object) -> str:
        if isinstance(content, str):
            return content
        if not isinstance(content, dict) or set(content) != {"scrypt_aes_gcm"}:  # pyright: ignore[reportUnknownArgumentType]
            raise ValueError("neither a JSON string nor an encrypted one")
        if self._password is None:
            raise ValueError("it is encrypted and no password was given (--password-filename)")
        sealed = bytes.fromhex(str(content["scrypt_aes_gcm"]))  # pyright: ignore[reportUnknownArgumentType]
        salt, rest = sealed[:_SALT_BYTES], sealed[_SALT_BYTES:]
        nonce, rest = rest[:_NONCE_BYTES], rest[_NONCE_BYTES:]
        tag, text = rest[:_TAG_BYTES], rest[_TAG_BYTES:]
        cipher = _cipher(_derive(self._password, salt), nonce)
        return cipher.decrypt_and_verify(text, tag).decode()


class KeyRing(Collection[bytes]):
    """The public keys of a type, sorted, as the keystore has them at the moment."""

    def __init__(self, keystore: Keystore, key_type: str) -> None:
        self._keystore = keystore
        self._key_type = key_type

    def __contains__(self, public: object) -> bool:
        return isinstance(public, bytes) and self._keystore.get(self._key_type, public) is not None

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._keystore.publics(self._key_type))

    def __len__(self) -> int:
        return len(self._keystore.publics(self._key_type))


def _pair_of(key_type: str, suri: str) -> KeyPair:
    if key_type not in KEY_TYPES:
        raise ValueError(f"key type {key_type!r}: expected one of {', '.join(KEY_TYPES)}")
    return KeyPair.from_suri(suri, KEY_TYPES[key_type])


def _cipher(key: bytes, nonce: bytes) -> GcmMode:
    cipher = AES.new(key, AES.MODE_GCM, nonce=nonce)  # pyright: ignore[reportUnknownMemberType]
    assert isinstance(cipher, GcmMode), "the mode that was asked for"
    return cipher


def _derive(password: str, salt: bytes) -> bytes:
    key = scrypt(
        password,
        salt.hex(),
        32,
        _SCRYPT_N,
        _SCRYPT_R,
        _SCRYPT_P,
    )
    assert isinstance(key, bytes), "one key was asked for"
    return key


def _refuse_wide_permissions(path: Path) -> None:
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        wanted = "700" if path.is_dir() else "600"
        raise StorageUnusable(
            f"{path} can be read by others (mode {mode:o}): its keys must be yours alone. "
            f"Run: chmod {wanted} {path}"
        )
