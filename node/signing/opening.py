"""Who signs for a node: itself, with its own keystore, or a signer in another process."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from node.config import NodeConfig
from node.errors import ConfigInvalid, StorageUnusable
from node.keystore import KEY_TYPES, Keystore
from node.signing.exclusive import held
from node.signing.local import LocalSigner
from node.signing.marks import FILE_NAME, Marks
from node.signing.port import SessionSigner
from node.signing.remote import RemoteSigner
from node.signing.signer import Signer


def open_signer(config: NodeConfig) -> SessionSigner:
    """Whoever signs for this node. Raises `ConfigInvalid` and `StorageUnusable`."""
    keystore = Keystore(_keystore_path(config), config.password)
    if config.remote_signer is not None:
        _refuse_two_signers(config.remote_signer, keystore, config.base_path / FILE_NAME)
        return RemoteSigner(config.remote_signer)
    if config.dev_key is not None:
        for key_type in KEY_TYPES:
            keystore.hold(key_type, config.dev_key)
    if config.is_validator:
        missing = [key_type for key_type in KEY_TYPES if not keystore.publics(key_type)]
        if missing:
            raise ConfigInvalid(
                f"A validator needs session keys; the keystore has none of type "
                f"{', '.join(missing)}. Insert them with dret key insert --key-type TYPE, "
                "or leave out --validator."
            )
    return LocalSigner(keystore, Signer(keystore, Marks(config.base_path)))


@contextmanager
def keys_held(config: NodeConfig) -> Generator[None]:
    """Keep other processes from signing with a validator's own keys."""
    if not config.is_validator or config.remote_signer is not None:
        yield
        return
    keystore = _keystore_path(config)
    try:
        keystore.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageUnusable(
            f"The keystore {keystore} cannot be made: {error.strerror}. Check the folder's owner "
            "and permissions, or pass another --keystore-path."
        ) from error
    with held(keystore, config.base_path):
        yield


def _refuse_two_signers(socket_path: Path, keystore: Keystore, marks: Path) -> None:
    """With a signer the node holds no key itself, nor the marks of one."""
    count = sum(len(keystore.publics(key_type)) for key_type in KEY_TYPES)
    if count:
        raise ConfigInvalid(
            f"--remote-signer {socket_path}: the keystore {keystore.path} holds {count} session "
            "keys as well. Move its files to the signer's keystore, so that one process signs."
        )
    if marks.exists():
        raise ConfigInvalid(
            f"--remote-signer {socket_path}: {marks} says what was signed here. Move it beside the "
            "signer's keystore, or the signer could sign against it."
        )


def _keystore_path(config: NodeConfig) -> Path:
    return config.keystore_path or config.base_path / "keystore"
