// polkadot.js against a live node, without any option: all that a dapp does with a chain.

import { ApiPromise, HttpProvider, WsProvider } from '@polkadot/api';
import { Keyring } from '@polkadot/keyring';
import { u8aToHex } from '@polkadot/util';
import { blake2AsHex } from '@polkadot/util-crypto';
import { merkleizeMetadata } from '@polkadot-api/merkleize-metadata';
import { validateProofs } from '@polkadot-api/substrate-bindings';
import { answer } from './script.mjs';

const DRT = 1_000_000_000n;

// Submits and resolves once it is final: statuses, block, events, and the error by its name.
function submit(api, call, pair, options = {}) {
  return new Promise((resolve, reject) => {
    const statuses = [];
    call
      .signAndSend(pair, options, ({ status, events, dispatchError, txHash, txIndex }) => {
        statuses.push(status.type);
        if (status.isInvalid || status.isDropped || status.isUsurped) reject(new Error(status.type));
        if (!status.isFinalized) return;
        const module = dispatchError?.isModule ? api.registry.findMetaError(dispatchError.asModule) : null;
        resolve({
          statuses,
          block: status.asFinalized.toHex(),
          hash: txHash.toHex(),
          index: txIndex,
          events: events.map(({ event }) => `${event.section}.${event.method}`),
          error: module ? `${module.section}.${module.name}` : (dispatchError?.type ?? null),
          docs: module ? module.docs.join(' ') : null,
        });
      })
      .catch(reject);
  });
}

function heads(subscribe, count) {
  return new Promise((resolve, reject) => {
    const numbers = [];
    let unsubscribe;
    subscribe((header) => {
      numbers.push(header.number.toNumber());
      if (numbers.length === count) {
        unsubscribe?.();
        resolve(numbers);
      }
    }).then((stop) => (unsubscribe = stop), reject);
  });
}

async function reads(api) {
  const alice = new Keyring({ type: 'sr25519' }).addFromUri('//Alice');
  const best = await api.rpc.chain.getHeader();
  const block = await api.rpc.chain.getBlock(best.hash);
  const author = (await api.derive.chain.getHeader(best.hash)).author;
  const entries = await api.query.system.account.entries();
  const keys = await api.query.system.account.keysPaged({ args: [], pageSize: 2 });
  const many = await api.query.system.account.multi(entries.map(([key]) => key.args[0]));
  const [account, ...rest] = await api.queryMulti([
    [api.query.system.account, alice.address],
    api.query.timestamp.now,
  ]);
  return {
    chain: api.runtimeChain.toString(),
    genesis: api.genesisHash.toHex(),
    version: api.runtimeVersion.specVersion.toNumber(),
    properties: api.registry.chainSS58 + ' ' + api.registry.chainTokens + ' ' + api.registry.chainDecimals,
    headerHash: best.hash.toHex() === blake2AsHex(best.toU8a(), 256),
    extrinsics: block.block.extrinsics.map(({ method }) => `${method.section}.${method.method}`),
    author: author?.toString() ?? null,
    alice: alice.address,
    accounts: entries.length,
    sameAgain: many.every((value, at) => value.eq(entries[at][1])),
    page: keys.length,
    free: account.data.free.toString(),
    now: rest[0].toNumber() > 0,
    deposit: api.consts.balances.existentialDeposit.toString(),
    blockHashCount: api.consts.system.blockHashCount.toNumber(),
    health: (await api.rpc.system.health()).toJSON(),
    peers: (await api.rpc.system.peers()).length,
    nonce: (await api.call.accountNonceApi.accountNonce(alice.address)).toNumber(),
    next: (await api.rpc.system.accountNextIndex(alice.address)).toNumber(),
    slot: (await api.call.auraApi.slotDuration()).toNumber(),
    oldAccount: (await (await api.at(api.genesisHash)).query.system.account(alice.address)).nonce.toNumber(),
    genesisBlock: (await api.rpc.chain.getBlock(api.genesisHash)).block.header.number.toNumber(),
  };
}

// A pallet of this chain: a map, a double map, a constant, and a function of the runtime.
async function custom(api, { interval }) {
  const { producerRegistration, trading } = api.query;
  const [connections, one, holding, under, book] = await Promise.all([
    producerRegistration.connections.entries(),
    producerRegistration.connections(1),
    trading.holdings(interval, 1),
    trading.holdings.entries(interval),
    api.call.trading.orderBook(interval),
  ]);
  return {
    connections: connections.map(([{ args }]) => args[0].toNumber()).sort((a, b) => a - b),
    owner: one.unwrap().account.toString(),
    orders: holding.toJSON().orders.length,
    under: under.map(([{ args }]) => args.map((each) => each.toNumber())),
    constant: api.consts.trading.marketIntervalMs.toNumber(),
    book: book.toJSON().map((each) => [each.connection, each.priceMicro, each.quantityWh]),
  };
}

async function subscriptions(api) {
  const changes = [];
  const [all, fresh, final] = await Promise.all([
    heads((tell) => api.rpc.chain.subscribeAllHeads(tell), 2),
    heads((tell) => api.rpc.chain.subscribeNewHeads(tell), 3),
    heads((tell) => api.rpc.chain.subscribeFinalizedHeads(tell), 3),
    new Promise((resolve) => {
      api.query.timestamp.now((now) => {
        changes.push(now.toNumber());
        if (changes.length === 3) resolve();
      });
    }),
  ]);
  return { all, fresh, final, changes };
}

// What a Ledger shows is decoded by this digest of the metadata; the signature commits to it.
async function metadataHash(api) {
  const v15 = await api.call.metadata.metadataAtVersion(15);
  const info = { decimals: api.registry.chainDecimals[0], tokenSymbol: api.registry.chainTokens[0] };
  return u8aToHex(merkleizeMetadata(v15.unwrap(), info).digest());
}

async function transfers(api, { schemes }) {
  const pairs = {};
  for (const type of schemes) {
    pairs[type] = new Keyring({ type }).addFromUri('//Polkadot//js//' + type);
  }
  const alice = new Keyring({ type: 'sr25519' }).addFromUri('//Alice');
  const done = {};

  const fund = api.tx.utility.batchAll(
    Object.values(pairs).map((pair) => api.tx.balances.transferKeepAlive(pair.address, 20n * DRT)),
  );
  const info = await fund.paymentInfo(alice);
  done.fee = info.partialFee.toBigInt() > 0n;
  done.sr25519Mortal = await submit(api, fund, alice);

  done.each = await Promise.all(
    Object.values(pairs).map((pair) =>
      submit(api, api.tx.balances.transferKeepAlive(alice.address, DRT), pair, { era: 0, tip: 5 }),
    ),
  );
  // Over 256 bytes the hash of the payload is signed.
  const long = () => api.tx.system.remarkWithEvent('0x' + '42'.repeat(400));
  done.long = await Promise.all(Object.values(pairs).map((pair) => submit(api, long(), pair, { era: 64 })));

  const committed = { mode: 1, metadataHash: await metadataHash(api) };
  done.committed = await submit(api, api.tx.system.remark('0x00'), alice, committed);

  const poor = api.tx.balances.transferKeepAlive(alice.address, 1_000n * DRT);
  done.failed = await submit(api, poor, pairs.ed25519, { nonce: -1 });

  const block = await api.rpc.chain.getBlock(done.long[0].block);
  done.refusals = await refusals(api);
  done.found = block.block.extrinsics.some((extrinsic) => extrinsic.hash.toHex() === done.long[0].hash);
  return done;
}

async function refusals(api) {
  const alice = new Keyring({ type: 'sr25519' }).addFromUri('//Alice');
  const nobody = new Keyring({ type: 'sr25519' }).addFromUri('//Nobody');
  const remark = () => api.tx.system.remark('0x00');
  const error = (promise) => promise.then(() => null, ({ message }) => message);
  return {
    stale: await error(remark().signAndSend(alice, { nonce: 0 })),
    poor: await error(remark().signAndSend(nobody)),
    method: await error(api._rpcCore.provider.send('no_suchMethod', [])),
    block: await error(api.rpc.state.getStorage('0x00', '0x' + '11'.repeat(32))),
  };
}

async function proofs(api) {
  const header = await api.rpc.chain.getFinalizedHead().then((hash) => api.rpc.chain.getHeader(hash));
  const key = api.query.timestamp.now.key();
  const proof = await api.rpc.state.getReadProof([key, '0x00112233'], header.hash);
  const checked = validateProofs(proof.proof.map((item) => item.toU8a(true)).map((item) => u8aToHex(item)));
  return {
    at: proof.at.toHex() === header.hash.toHex(),
    root: checked?.rootHash === header.stateRoot.toHex(),
    items: proof.proof.length,
  };
}

// The justification of a final block, and the proof that an earlier one is final.
async function justifications(api) {
  const justification = await new Promise((resolve, reject) => {
    api.rpc.grandpa.subscribeJustifications(resolve).catch(reject);
  });
  const proof = await api.rpc.grandpa.proveFinality(1);
  return { bytes: justification.toU8a(true).length, proof: proof.isSome };
}

async function overHttp(_, { url }) {
  const api = await ApiPromise.create({ provider: new HttpProvider(url.replace('ws', 'http')), noInitWarn: true });
  const now = await api.query.timestamp.now();
  await api.disconnect();
  return now.toNumber() > 0;
}

await answer(async ({ url, parts, ...options }) => {
  const api = await ApiPromise.create({ provider: new WsProvider(url), noInitWarn: true });
  const all = { reads, custom, subscriptions, transfers, proofs, justifications, overHttp };
  const found = {};
  await Promise.all(parts.map(async (name) => (found[name] = await all[name](api, { url, ...options }))));
  await api.disconnect();
  return found;
});
