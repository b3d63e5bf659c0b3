// polkadot.js and PAPI through a restart of their node: heads before and after, and an extrinsic of each then.

import { writeFileSync } from 'node:fs';
import { ApiPromise, WsProvider } from '@polkadot/api';
import { Keyring } from '@polkadot/keyring';
import { createClient } from 'polkadot-api';
import { getPolkadotSigner } from 'polkadot-api/signer';
import { getWsProvider } from 'polkadot-api/ws';
import { answer } from './script.mjs';

const HEADS = 2; // to hear before the restart, and after it

// Resolves at the `HEADS`-th number above `floor`, which may be set later.
function heard(subscribe) {
  const numbers = [];
  let wanted = null;
  subscribe((number) => {
    numbers.push(number);
    wanted?.();
  });
  return async (floor) => {
    const enough = () => numbers.filter((number) => number > floor).length >= HEADS;
    if (!enough()) await new Promise((resolve) => (wanted = () => enough() && resolve()));
    wanted = null;
    return numbers.at(-1);
  };
}

function submitByJs(api, pair) {
  return new Promise((resolve, reject) => {
    api.tx.system
      .remark('0x01')
      .signAndSend(pair, { nonce: -1 }, ({ status }) => {
        if (status.isInBlock) resolve(true);
        if (status.isInvalid || status.isDropped || status.isUsurped) reject(new Error(status.type));
      })
      .catch(reject);
  });
}

await answer(async ({ url, marker }) => {
  const keyring = new Keyring({ type: 'sr25519' });
  const js = await ApiPromise.create({ provider: new WsProvider(url, 500), noInitWarn: true });
  const client = createClient(getWsProvider(url));
  const papi = client.getUnsafeApi();
  let lost = 0;
  js.on('disconnected', () => (lost += 1));
  const all = {
    js: heard((tell) => js.rpc.chain.subscribeNewHeads(({ number }) => tell(number.toNumber()))),
    storage: heard((tell) => js.query.system.number((number) => tell(number.toNumber()))),
    papi: heard((tell) => client.finalizedBlock$.subscribe({ next: ({ number }) => tell(number), error: () => {} })),
  };
  const before = {};
  for (const [name, wait] of Object.entries(all)) before[name] = await wait(-1);
  const floor = Math.max(...Object.values(before));
  writeFileSync(marker, String(floor));
  const after = {};
  for (const [name, wait] of Object.entries(all)) after[name] = await wait(floor);
  const [alice, operator] = ['//Alice', '//Operator'].map((uri) => keyring.addFromUri(uri));
  const signer = getPolkadotSigner(operator.publicKey, 'Sr25519', (input) => operator.sign(input));
  const [byJs, byPapi] = await Promise.all([
    submitByJs(js, alice),
    papi.tx.System.remark({ remark: new Uint8Array([2]) }).signAndSubmit(signer),
  ]);
  return { before, after, lost, byJs, byPapi: byPapi.ok };
});
