// polkadot.js and PAPI stay connected while the chain goes over to another version of its runtime.

import { ApiPromise, WsProvider } from '@polkadot/api';
import { Keyring } from '@polkadot/keyring';
import { createClient } from 'polkadot-api';
import { getPolkadotSigner } from 'polkadot-api/signer';
import { getWsProvider } from 'polkadot-api/ws';
import { answer } from './script.mjs';

const VALUE = 1_000_000_000n;

await answer(async ({ url, next }) => {
  const js = await ApiPromise.create({ provider: new WsProvider(url) });
  const client = createClient(getWsProvider(url));
  const papi = client.getUnsafeApi();
  const pairs = new Keyring({ type: 'sr25519' });
  const [alice, bob] = ['//Alice', '//Bob'].map((uri) => pairs.addFromUri(uri));
  const signer = getPolkadotSigner(bob.publicKey, 'Sr25519', (input) => bob.sign(input));

  const told = [];
  await js.rpc.state.subscribeRuntimeVersion(({ specVersion }) => told.push(specVersion.toNumber()));

  // A transfer of each client's own, watched until it is final.
  const byJs = () =>
    new Promise((resolve, reject) => {
      js.tx.balances
        .transferKeepAlive(bob.address, VALUE)
        .signAndSend(alice, ({ status, dispatchError, events }) => {
          if (dispatchError) reject(new Error(dispatchError.toString()));
          if (status.isFinalized)
            resolve({
              block: status.asFinalized.toHex(),
              events: events.map(({ event }) => `${event.section}.${event.method}`),
            });
        })
        .catch(reject);
    });
  const byPapi = async () => {
    const dest = { type: 'Id', value: alice.address };
    const tx = papi.tx.Balances.transfer_keep_alive({ dest, value: VALUE / 10n });
    const { ok, block } = await tx.signAndSubmit(signer);
    return { ok, block: block.hash };
  };
  const versions = async () => ({
    js: js.runtimeVersion.specVersion.toNumber(),
    constant: js.consts.system.version.specVersion.toNumber(),
    papi: (await papi.constants.System.Version()).spec_version,
  });

  const first = { versions: await versions(), js: await byJs(), papi: await byPapi() };
  while (js.runtimeVersion.specVersion.toNumber() < next || (await versions()).papi < next)
    await new Promise((resolve) => setTimeout(resolve, 200));
  const second = { versions: await versions(), js: await byJs(), papi: await byPapi() };

  // What was before is read by the metadata of its time.
  const at = async ({ block }) => {
    const then = await js.at(block);
    const events = await then.query.system.events();
    return { spec: then.runtimeVersion.specVersion.toNumber(), events: events.length };
  };
  return { told, first, second, before: await at(first.js), after: await at(second.js) };
});
