// What a browser wallet is to a page: `window.injectedWeb3`, as polkadot.js extension, Talisman and
// SubWallet offer it, with a key of a test in place of people's own. It signs payloads, on a type
// registry of its own, and knows nothing of the node.

import { Keyring } from '@polkadot/keyring';
import { TypeRegistry } from '@polkadot/types';
import { cryptoWaitReady } from '@polkadot/util-crypto';

const suri = new URLSearchParams(location.search).get('suri');
const ready = cryptoWaitReady().then(() => new Keyring({ type: 'sr25519' }).addFromUri(suri));
let signatures = 0;

const signer = {
  async signPayload(payload) {
    const pair = await ready;
    if (payload.address !== pair.address) throw new Error(`no key for ${payload.address}`);
    const registry = new TypeRegistry();
    registry.setSignedExtensions(payload.signedExtensions);
    const extrinsic = registry.createType('ExtrinsicPayload', payload, { version: payload.version });
    window.signedPayloads = [...(window.signedPayloads ?? []), payload];
    return { id: ++signatures, ...extrinsic.sign(pair) };
  },
};

async function accounts() {
  return [{ address: (await ready).address, name: 'Home', type: 'sr25519' }];
}

window.injectedWeb3 = {
  'test-wallet': {
    version: '1',
    async enable(origin) {
      window.enabledFor = origin;
      return {
        accounts: { get: accounts, subscribe: (tell) => (accounts().then(tell), () => {}) },
        metadata: { get: async () => [], provide: async () => true },
        signer,
      };
    },
  },
};
