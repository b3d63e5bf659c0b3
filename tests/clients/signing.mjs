// Signs calls as polkadot.js does, from the metadata alone and without a node.

import { Keyring } from '@polkadot/keyring';
import { Metadata, TypeRegistry } from '@polkadot/types';
import { cryptoWaitReady } from '@polkadot/util-crypto';
import { answer } from './script.mjs';

await answer(async ({ metadata, runtimeVersion, genesisHash, cases }) => {
  await cryptoWaitReady();
  const registry = new TypeRegistry();
  registry.setMetadata(new Metadata(registry, metadata));

  return cases.map(({ scheme, suri, call, nonce, tip, mortality, blockHash, metadataHash }) => {
    const pair = new Keyring({ type: scheme }).addFromUri(suri);
    const decoded = registry.createType('Call', call);
    const extrinsic = registry.createType('Extrinsic', decoded, { version: 4 });
    extrinsic.sign(pair, {
      blockHash: blockHash ?? genesisHash,
      era: registry.createType('ExtrinsicEra', mortality ?? '0x00'),
      genesisHash,
      nonce,
      runtimeVersion,
      tip,
      mode: metadataHash ? 1 : 0,
      metadataHash: metadataHash ?? null,
    });
    return {
      address: pair.address,
      account: pair.addressRaw,
      publicKey: pair.publicKey,
      extrinsic: extrinsic.toHex(),
    };
  });
});
