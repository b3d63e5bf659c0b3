"""JSON schemas of what the methods take and give, for `rpc.discover`.

`COMPONENTS` are referred to by name; `RESULTS` has an entry for every method, and for every
subscription that of its notifications. Tests hold the answers of the server against them.
"""

from collections.abc import Callable, Mapping

from rpc import market_schema, params
from rpc.ports import Json

Schema = Mapping[str, Json]

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
NUMBER: Schema = {"type": "integer", "minimum": 0}
NULL: Schema = {"type": "null"}
ANY_OBJECT: Schema = {"type": "object"}
HEX: Schema = {"type": "string", "pattern": "^0x([0-9a-f]{2})*$"}
HASH: Schema = {"type": "string", "pattern": "^0x[0-9a-f]{64}$"}
QUANTITY: Schema = {"type": "string", "pattern": "^0x(0|[1-9a-f][0-9a-f]*)$"}
HEX_GIVEN: Schema = {"type": "string", "pattern": "^(0[xX])?([0-9a-fA-F]{2})*$"}
HASH_GIVEN: Schema = {"type": "string", "pattern": "^(0[xX])?[0-9a-fA-F]{64}$"}
NUMBER_GIVEN: Schema = {
    "anyOf": [NUMBER, {"type": "string", "pattern": "^0[xX][0-9a-fA-F]{1,16}$"}]
}


def ref(name: str) -> Schema:
    """A schema of `COMPONENTS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def listed(items: Schema) -> Schema:
    """A list of things of one kind."""
    return {"type": "array", "items": items}


def maybe(schema: Schema) -> Schema:
    """A thing, or null."""
    return {"anyOf": [schema, NULL]}


def either(*schemas: Schema) -> Schema:
    """One of several forms."""
    return {"anyOf": list(schemas)}


def words(*values: str) -> Schema:
    """One of these texts."""
    return {"type": "string", "enum": list(values)}


def record(fields: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    """An object with these fields, and perhaps the optional ones."""
    return {
        "type": "object",
        "properties": {**fields, **(optional or {})},
        "required": list(fields),
    }


def event(name: str, optional: Mapping[str, Schema] | None = None, **fields: Schema) -> Schema:
    """An event of a subscription of the new groups."""
    return record({"event": words(name), **fields}, optional)


_RUNTIME_SPEC = {
    "specName": TEXT,
    "implName": TEXT,
    "specVersion": NUMBER,
    "implVersion": NUMBER,
    "transactionVersion": NUMBER,
}
_BLOCK_OF = maybe(record({"hash": HASH, "index": NUMBER}))
_ANSWER = {"value": HEX, "hash": HASH, "closestDescendantMerkleValue": HEX}
_STARTED = words("started")

_INTERVALS = listed(record({"from": NUMBER, "to": NUMBER, "reason": TEXT}))
_SIGNED: Schema = {"type": "integer"}
_STAGE = record({"currentWeight": NUMBER, "missing": listed(TEXT)})

COMPONENTS: Mapping[str, Schema] = {
    "MarketMessage": market_schema.MESSAGE,
    "RoundState": record(
        {
            "round": NUMBER,
            "totalWeight": NUMBER,
            "thresholdWeight": NUMBER,
            "prevotes": _STAGE,
            "precommits": _STAGE,
        }
    ),
    "Bill": record(
        {
            "account": TEXT,
            "from": NUMBER,
            "to": NUMBER,
            "block": HASH,
            "number": NUMBER,
            "connections": listed(NUMBER),
            "lines": listed(
                record(
                    {
                        "interval": NUMBER,
                        "connection": NUMBER,
                        "is_final": FLAG,
                        "amount_nano": _SIGNED,
                        "block": HASH,
                        "keys": listed(HEX),
                    },
                    {"encoded": HEX, "siblings": listed(HASH)},
                )
            ),
            "amount_nano": _SIGNED,
            "days": listed(record({"day": NUMBER, "key": HEX, "records": listed(HEX)})),
            "refused": _INTERVALS,
            "not_settled": _INTERVALS,
            "keys": listed(HEX),
        }
    ),
    "Receipt": record(
        {
            "order": HASH,
            "head": record({"number": NUMBER, "hash": HASH}),
            "blocks": NUMBER,
            "afterSlot": NUMBER,
            "validator": HASH,
            "signature": HEX,
            "receipt": HEX,
        }
    ),
    "Header": record(
        {
            "parentHash": HASH,
            "number": QUANTITY,
            "stateRoot": HASH,
            "extrinsicsRoot": HASH,
            "digest": record({"logs": listed(HEX)}),
        }
    ),
    "SignedBlock": record(
        {
            "block": record({"header": ref("Header"), "extrinsics": listed(HEX)}),
            "justifications": maybe(listed(listed(listed(NUMBER)))),
        }
    ),
    "RuntimeVersion": record(
        {
            **_RUNTIME_SPEC,
            "authoringVersion": NUMBER,
            "apis": listed({"type": "array", "items": either(HEX, NUMBER)}),
            "systemVersion": NUMBER,
            "stateVersion": NUMBER,
        }
    ),
    "Runtime": either(
        record(
            {
                "type": words("valid"),
                "spec": record({**_RUNTIME_SPEC, "apis": ANY_OBJECT}),
            }
        ),
        record({"type": words("invalid"), "error": TEXT}),
    ),
    "StorageChangeSet": record({"block": HASH, "changes": listed(listed(maybe(HEX)))}),
    "ReadProof": record({"at": HASH, "proof": listed(HEX)}),
    "Health": record(
        {"peers": NUMBER, "isSyncing": FLAG, "shouldHavePeers": FLAG}, {"hasSigner": FLAG}
    ),
    "SyncState": record({"startingBlock": NUMBER, "currentBlock": NUMBER, "highestBlock": NUMBER}),
    "PeerInfo": record({"peerId": TEXT, "roles": TEXT, "bestHash": HASH, "bestNumber": NUMBER}),
    "DispatchInfo": record(
        {
            "weight": record({"ref_time": NUMBER, "proof_size": NUMBER}),
            "class": words("normal", "operational", "mandatory"),
            "partialFee": {"type": "string", "pattern": "^[0-9]+$"},
        }
    ),
    "FeeDetails": record(
        {
            "inclusionFee": maybe(
                record({"baseFee": QUANTITY, "lenFee": QUANTITY, "adjustedWeightFee": QUANTITY})
            )
        }
    ),
    "ExtrinsicStatus": either(
        words("future", "ready", "dropped", "invalid"),
        record({"broadcast": listed(TEXT)}),
        *(
            record({name: HASH})
            for name in ("inBlock", "retracted", "finalityTimeout", "finalized", "usurped")
        ),
    ),
    "OperationStarted": either(
        record({"result": _STARTED, "operationId": TEXT}, {"discardedItems": NUMBER}),
        record({"result": words("limitReached")}),
    ),
    "FollowEvent": either(
        event(
            "initialized",
            {"finalizedBlockRuntime": ref("Runtime")},
            finalizedBlockHashes=listed(HASH),
        ),
        event(
            "newBlock",
            {"newRuntime": maybe(ref("Runtime"))},
            blockHash=HASH,
            parentBlockHash=HASH,
        ),
        event("bestBlockChanged", bestBlockHash=HASH),
        event("finalized", finalizedBlockHashes=listed(HASH), prunedBlockHashes=listed(HASH)),
        event("operationBodyDone", operationId=TEXT, value=listed(HEX)),
        event("operationCallDone", operationId=TEXT, output=HEX),
        event(
            "operationStorageItems", operationId=TEXT, items=listed(record({"key": HEX}, _ANSWER))
        ),
        event("operationStorageDone", operationId=TEXT),
        event("operationWaitingForContinue", operationId=TEXT),
        event("operationInaccessible", operationId=TEXT),
        event("operationError", operationId=TEXT, error=TEXT),
        event("stop"),
    ),
    "StorageEvent": either(
        event("storage", _ANSWER, key=HEX),
        event("storageDone"),
        event("storageError", error=TEXT),
    ),
    "StorageDiffEvent": either(
        event(
            "storageDiff",
            {"value": HEX, "hash": HASH},
            key=HEX,
            type=words("added", "modified", "deleted"),
        ),
        event("storageDiffDone"),
        event("storageDiffError", error=TEXT),
    ),
    "TransactionEvent": either(
        event("validated"),
        event("bestChainBlockIncluded", block=_BLOCK_OF),
        event("finalized", block=_BLOCK_OF),
        *(event(name, error=TEXT) for name in ("error", "invalid", "dropped")),
    ),
}

RESULTS: Mapping[str, Schema] = {
    "rpc_methods": record({"methods": listed(TEXT)}),
    "rpc.discover": ANY_OBJECT,
    "system_name": TEXT,
    "system_version": TEXT,
    "system_chain": TEXT,
    "system_chainType": either(TEXT, record({"Custom": TEXT})),
    "system_properties": ANY_OBJECT,
    "system_health": ref("Health"),
    "system_syncState": ref("SyncState"),
    "system_nodeRoles": listed(TEXT),
    "system_localPeerId": TEXT,
    "system_localListenAddresses": listed(TEXT),
    "system_peers": listed(ref("PeerInfo")),
    "system_reservedPeers": listed(TEXT),
    "system_addReservedPeer": NULL,
    "system_removeReservedPeer": NULL,
    "system_addLogFilter": NULL,
    "system_resetLogFilter": NULL,
    "system_accountNextIndex": NUMBER,
    "system_dryRun": HEX,
    "chain_getBlockHash": either(maybe(HASH), listed(maybe(HASH))),
    "chain_getFinalizedHead": HASH,
    "chain_getHeader": maybe(ref("Header")),
    "chain_getBlock": maybe(ref("SignedBlock")),
    "chain_subscribeNewHeads": ref("Header"),
    "chain_subscribeAllHeads": ref("Header"),
    "chain_subscribeFinalizedHeads": ref("Header"),
    "state_getStorage": maybe(HEX),
    "state_getStorageHash": maybe(HASH),
    "state_getStorageSize": maybe(NUMBER),
    "state_getKeys": listed(HEX),
    "state_getPairs": listed(listed(maybe(HEX))),
    "state_getKeysPaged": listed(HEX),
    "state_queryStorage": listed(ref("StorageChangeSet")),
    "state_queryStorageAt": listed(ref("StorageChangeSet")),
    "state_getReadProof": ref("ReadProof"),
    "state_call": HEX,
    "state_getMetadata": HEX,
    "state_getRuntimeVersion": ref("RuntimeVersion"),
    "state_subscribeRuntimeVersion": ref("RuntimeVersion"),
    "state_subscribeStorage": ref("StorageChangeSet"),
    "author_submitExtrinsic": HASH,
    "author_pendingExtrinsics": listed(HEX),
    "author_submitAndWatchExtrinsic": ref("ExtrinsicStatus"),
    "author_removeExtrinsic": listed(HASH),
    "author_insertKey": NULL,
    "author_hasKey": FLAG,
    "author_hasSessionKeys": FLAG,
    "author_rotateKeys": HEX,
    "author_rotateKeysWithOwner": record({"keys": HEX, "proof": HEX}),
    "payment_queryInfo": ref("DispatchInfo"),
    "payment_queryFeeDetails": ref("FeeDetails"),
    "grandpa_roundState": record(
        {"setId": NUMBER, "best": ref("RoundState"), "background": listed(ref("RoundState"))}
    ),
    "grandpa_proveFinality": maybe(HEX),
    "grandpa_subscribeJustifications": HEX,
    "chainHead_v1_follow": ref("FollowEvent"),
    "chainHead_v1_header": maybe(HEX),
    "chainHead_v1_body": ref("OperationStarted"),
    "chainHead_v1_call": ref("OperationStarted"),
    "chainHead_v1_storage": ref("OperationStarted"),
    "chainHead_v1_continue": NULL,
    "chainHead_v1_stopOperation": NULL,
    "chainHead_v1_unpin": NULL,
    "chainSpec_v1_chainName": TEXT,
    "chainSpec_v1_genesisHash": HASH,
    "chainSpec_v1_properties": ANY_OBJECT,
    "transaction_v1_broadcast": maybe(TEXT),
    "transaction_v1_stop": NULL,
    "transactionWatch_v1_submitAndWatch": ref("TransactionEvent"),
    "archive_v1_genesisHash": HASH,
    "archive_v1_finalizedHeight": NUMBER,
    "archive_v1_hashByHeight": listed(HASH),
    "archive_v1_header": maybe(HEX),
    "archive_v1_body": maybe(listed(HEX)),
    "archive_v1_call": maybe(
        either(record({"success": FLAG, "value": HEX}), record({"success": FLAG, "error": TEXT}))
    ),
    "archive_v1_storage": ref("StorageEvent"),
    "archive_v1_storageDiff": ref("StorageDiffEvent"),
    "dret_status": ANY_OBJECT,
    "dret_bill": ref("Bill"),
    "dret_subscribeMarket": ref("MarketMessage"),
    "dret_submitWithReceipt": ref("Receipt"),
    "dret_handoffs": listed(
        either(
            record({"header": HEX, "justification": HEX}), record({"header": HEX, "recovery": HEX})
        )
    ),
}

_KINDS: Schema = words(*params.StorageKind)

PARAMETERS: Mapping[Callable[[object], object], Schema] = {
    params.decode_hex: HEX_GIVEN,
    params.decode_hex_list: listed(HEX_GIVEN),
    params.decode_hash: HASH_GIVEN,
    params.decode_hashes: either(HASH_GIVEN, listed(HASH_GIVEN)),
    params.decode_number: NUMBER_GIVEN,
    params.decode_numbers: either(NUMBER_GIVEN, listed(NUMBER_GIVEN)),
    params.decode_text: TEXT,
    params.decode_flag: FLAG,
    params.decode_account: TEXT,
    params.decode_subscription_id: either(TEXT, NUMBER),
    params.decode_storage_items: listed(
        record({"key": HEX_GIVEN, "type": _KINDS}, {"paginationStartKey": maybe(HEX_GIVEN)})
    ),
    params.decode_diff_items: listed(
        record(
            {"returnType": words(*params.ReturnKind)},
            {"key": maybe(HEX_GIVEN), "childTrieKey": maybe(HEX_GIVEN)},
        )
    ),
    params.decode_extrinsic_refs: listed(
        either(record({"hash": HASH_GIVEN}), record({"extrinsic": HEX_GIVEN}))
    ),
}
