// polkadot.js at many blocks: a value of the state, read and proved, at each of them.

import { ApiPromise, WsProvider } from '@polkadot/api';
import { validateProofs } from '@polkadot-api/substrate-bindings';
import { answer } from './script.mjs';

const ABSENT = '0x00112233';

// The value by a query, and by a proof that is checked against the state root of the header.
async function at(api, provider, hash) {
  const then = await api.at(hash);
  const key = then.query.timestamp.now.key();
  const [now, header, { proof }] = await Promise.all([
    then.query.timestamp.now(),
    api.rpc.chain.getHeader(hash),
    provider.send('state_getReadProof', [[key, ABSENT], hash]),
  ]);
  return {
    number: header.number.toNumber(),
    now: now.toNumber(),
    isProved: validateProofs(proof)?.rootHash === header.stateRoot.toHex(),
  };
}

await answer(async ({ url, hashes }) => {
  const provider = new WsProvider(url);
  const api = await ApiPromise.create({ provider, noInitWarn: true });
  const found = [];
  for (const hash of hashes) found.push(await at(api, provider, hash));
  await api.disconnect();
  return found;
});
