"""What an extrinsic would come to: applied in a block behind another one, then dropped."""

from runtime.primitives.aura import ENGINE_ID, PreDigest
from runtime.primitives.block import Digest, Header, PreRuntime
from runtime.primitives.types import ZERO_HASH
from runtime.runtime import Runtime, SignatureCache
from runtime.state.overlay import Overlay

APPLY = "BlockBuilder_apply_extrinsic"


def dry_run(runtime: Runtime, overlay: Overlay, parent: Header, extrinsic: bytes) -> bytes:
    """A SCALE encoded `ApplyExtrinsicResult`; `overlay` is over the state after `parent`.

    Raises `ApiError`. The block begins as an author begins it, with its slot and its time, so that
    windows are judged as they would be.
    """
    duration = runtime.constants.slot_duration_ms
    runtime.bind(overlay)
    # The genesis has no slot but a time; a block has both, and they agree.
    slot = max(runtime.aura.current_slot.get(), runtime.timestamp.now() // duration) + 1
    digest = Digest([PreRuntime(ENGINE_ID, PreDigest(slot).encode())])
    draft = Header(parent.hash(), parent.number + 1, ZERO_HASH, ZERO_HASH, digest)
    runtime.initialize_block(overlay, draft)
    for inherent in runtime.inherents(slot * duration):
        runtime.apply_extrinsic(overlay, inherent, SignatureCache())
    return runtime.call_api(overlay, APPLY, extrinsic)
