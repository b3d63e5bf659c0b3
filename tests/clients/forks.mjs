// One extrinsic, submitted on one side of a fork and followed until it is final.

import { ApiPromise, WsProvider } from '@polkadot/api';
import { Keyring } from '@polkadot/keyring';
import { createClient } from 'polkadot-api';
import { getPolkadotSigner } from 'polkadot-api/signer';
import { getWsProvider } from 'polkadot-api/ws';
import { lastValueFrom, toArray } from 'rxjs';
import { answer } from './script.mjs';

// The statuses, in their order.
async function polkadotjs(url, pair) {
  const api = await ApiPromise.create({ provider: new WsProvider(url), noInitWarn: true });
  const statuses = [];
  await new Promise((resolve, reject) => {
    api.tx.system
      .remark('0x01')
      .signAndSend(pair, { era: 0 }, ({ status }) => {
        statuses.push(status.type.charAt(0).toLowerCase() + status.type.slice(1));
        if (status.isFinalized) resolve();
        if (status.isInvalid || status.isDropped || status.isUsurped) reject(new Error(status.type));
      })
      .catch(reject);
  });
  return { statuses };
}

// The kinds of events, and in which blocks of the best chain the extrinsic was found.
async function papi(url, pair) {
  const api = createClient(getWsProvider(url)).getUnsafeApi();
  const from = getPolkadotSigner(pair.publicKey, 'Sr25519', (input) => pair.sign(input));
  const tx = api.tx.System.remark({ remark: new Uint8Array([2]) });
  const options = { mortality: { mortal: false } };
  const told = await lastValueFrom(tx.signSubmitAndWatch(from, options).pipe(toArray()));
  const found = told.filter((event) => event.found || event.type === 'finalized');
  return {
    types: told.map(({ type }) => type),
    blocks: [...new Set(found.map(({ block }) => block.hash))],
  };
}

await answer(async ({ url, client, uri }) => {
  const pair = new Keyring({ type: 'sr25519' }).addFromUri(uri);
  return client === 'papi' ? papi(url, pair) : polkadotjs(url, pair);
});
