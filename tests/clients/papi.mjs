// PAPI against a live node, without any option: over the new method groups, or (`legacy`) as if the
// node had only the old ones.

import { Keyring } from '@polkadot/keyring';
import { middleware } from '@polkadot-api/ws-middleware';
import { createClient } from 'polkadot-api';
import { getPolkadotSigner, withMetadataHash } from 'polkadot-api/signer';
import { getWsProvider, getWsRawProvider } from 'polkadot-api/ws';
import { firstValueFrom, lastValueFrom, take, tap, toArray } from 'rxjs';
import { answer } from './script.mjs';

const DRT = 1_000_000_000n;
const KINDS = { sr25519: 'Sr25519', ed25519: 'Ed25519', ecdsa: 'Ecdsa' };

function hideNewGroups(base) {
  return (onMessage, onHalt) =>
    base((message) => {
      const methods = message.result?.methods;
      const shown = methods?.filter((name) => !name.includes('_v1_'));
      onMessage(methods ? { ...message, result: { methods: shown } } : message);
    }, onHalt);
}

function connect(url, legacy) {
  const sent = new Set();
  const logger = ({ type, msg }) => {
    if (type === 'OUT') for (const call of [JSON.parse(msg)].flat()) sent.add(call.method);
  };
  // The same as getWsProvider, but its middleware sees a node without the new groups.
  const provider = legacy
    ? getWsRawProvider(url, { logger, middleware: (base) => middleware(hideNewGroups(base)) })
    : getWsProvider(url, { logger });
  const client = createClient(provider);
  return { client, api: client.getUnsafeApi(), sent };
}

function signer(uri, type = 'sr25519') {
  const pair = new Keyring({ type }).addFromUri(uri);
  const sign = (input) => pair.sign(input);
  // For PAPI the account is the public key; that of an ecdsa key is its hash.
  return Object.assign(getPolkadotSigner(pair.addressRaw, KINDS[type], sign), { address: pair.address });
}

// Submits and follows until it is final: what was told, and what came of it.
async function submit(tx, from, options) {
  const told = await lastValueFrom(tx.signSubmitAndWatch(from, options).pipe(toArray()));
  const last = told.at(-1);
  return {
    types: told.map(({ type }) => type),
    ok: last.ok,
    hash: last.txHash,
    block: last.block.hash,
    events: last.events.map(({ type, value }) => `${type}.${value.type}`),
    error: last.dispatchError ?? null,
  };
}

async function reads({ client, api }) {
  const alice = signer('//Alice').address;
  const [spec, finalized, best, entries, account, now, deposit, nonce] = await Promise.all([
    client.getChainSpecData(),
    client.getFinalizedBlock(),
    client.getBestBlocks(),
    api.query.System.Account.getEntries(),
    api.query.System.Account.getValue(alice),
    api.query.Timestamp.Now.getValue({ at: 'best' }),
    api.constants.Balances.ExistentialDeposit(),
    api.apis.AccountNonceApi.account_nonce(alice),
  ]);
  const header = await client.getBlockHeader(finalized.hash);
  const body = await client.getBlockBody(finalized.hash);
  return {
    name: spec.name,
    genesis: spec.genesisHash,
    properties: spec.properties,
    sameNumber: header.number === finalized.number,
    best: best.length,
    extrinsics: body.extrinsics?.length ?? body.length,
    accounts: entries.length,
    free: account.data.free,
    now: now > 0n,
    deposit,
    nonce,
  };
}

// A pallet of this chain: a map, a double map, a constant, and a typed function of the runtime.
async function custom({ api }, { interval }) {
  const [connections, one, holding, under, constant, book] = await Promise.all([
    api.query.ProducerRegistration.Connections.getEntries(),
    api.query.ProducerRegistration.Connections.getValue(1),
    api.query.Trading.Holdings.getValue(interval, 1),
    api.query.Trading.Holdings.getEntries(interval),
    api.constants.Trading.MarketIntervalMs(),
    api.apis.Trading.order_book(interval),
  ]);
  return {
    connections: connections.map(({ keyArgs }) => keyArgs[0]).sort((a, b) => a - b),
    owner: one.account,
    orders: holding.orders.length,
    under: under.map(({ keyArgs }) => keyArgs),
    constant: Number(constant),
    book: book.map((each) => [each.connection, each.price_micro, each.quantity_wh].map(Number)),
  };
}

// Every function of a list, by the types that the metadata give: null, or why it failed.
async function apis({ api }, { functions }) {
  const found = {};
  for (const [name, method, values] of functions) {
    found[`${name}_${method}`] = await api.apis[name][method](...values).then(
      () => null,
      (error) => String(error),
    );
  }
  return found;
}

async function subscriptions({ client, api }) {
  const numbers = (stream) => firstValueFrom(stream.pipe(take(3), toArray()));
  const [finalized, values] = await Promise.all([
    numbers(client.finalizedBlock$),
    numbers(api.query.Timestamp.Now.watchValue({ at: 'best' })),
  ]);
  return {
    finalized: finalized.map(({ number }) => number),
    values: values.map((found) => (found.value ?? found).toString()),
  };
}

async function entries({ api }) {
  const alice = signer('//Alice');
  const fresh = signer('//Fresh//' + Math.random());
  const sizes = [];
  let seen;
  const grew = new Promise((resolve) => (seen = resolve));
  const watch = api.query.System.Account.watchEntries({ at: 'best' })
    .pipe(tap(({ entries }) => sizes.push(entries.length)))
    .subscribe(({ entries }) => {
      if (entries.some(({ args: [address] }) => address === fresh.address)) seen();
    });
  const dest = { type: 'Id', value: fresh.address };
  await submit(api.tx.Balances.transfer_keep_alive({ dest, value: DRT }), alice);
  await grew;
  watch.unsubscribe();
  return { first: sizes[0], last: sizes.at(-1) };
}

async function transfers({ api }, { schemes }) {
  const alice = signer('//Alice');
  const done = {};
  const pairs = schemes.map((type) => signer('//PAPI//papi//' + type, type));
  const transfer = (address, value) =>
    api.tx.Balances.transfer_keep_alive({ dest: { type: 'Id', value: address }, value });

  const fund = api.tx.Utility.batch_all({
    calls: pairs.map((pair) => transfer(pair.address, 20n * DRT).decodedCall),
  });
  done.fee = (await fund.getEstimatedFees(alice.address)) > 0n;
  done.fund = await submit(fund, alice, { tip: 7n });
  done.each = await Promise.all(pairs.map((pair) => submit(transfer(alice.address, DRT), pair)));
  const remark = new Uint8Array(400).fill(0x42);
  const long = api.tx.System.remark_with_event({ remark });
  done.long = await Promise.all(pairs.map((pair) => submit(long, pair, { mortality: { mortal: false } })));
  const info = { decimals: 9, tokenSymbol: 'DRT' };
  const committed = api.tx.System.remark({ remark: new Uint8Array(1) });
  done.committed = await submit(committed, withMetadataHash(info, alice));
  done.failed = await submit(transfer(alice.address, 1_000n * DRT), pairs[0]);
  return done;
}

// The state of a block that is pinned no longer: only an archive has it.
async function history({ client, api }) {
  const { genesisHash } = await client.getChainSpecData();
  const alice = signer('//Alice').address;
  const account = await api.query.System.Account.getValue(alice, { at: genesisHash });
  const entries = await api.query.System.Account.getEntries({ at: genesisHash });
  const nonce = await api.apis.AccountNonceApi.account_nonce(alice, { at: genesisHash });
  const header = await client.getBlockHeader(genesisHash);
  return { free: account.data.free, nonce, number: header.number, accounts: entries.length };
}

async function refusals({ api }) {
  const error = (promise) => promise.then(() => null, (found) => found.error ?? found.message);
  const remark = new Uint8Array(1);
  const tx = api.tx.System.remark({ remark });
  return {
    stale: await error(tx.signAndSubmit(signer('//Alice'), { nonce: 0 })),
    poor: await error(tx.signAndSubmit(signer('//Nobody'))),
  };
}

await answer(async ({ url, legacy, parts, ...options }) => {
  const connection = connect(url, legacy);
  const all = { reads, custom, apis, subscriptions, entries, transfers, refusals, history };
  const found = {};
  const run = async (name) => (found[name] = await all[name](connection, options));
  const inTurn = async (names) => {
    for (const name of names) await run(name);
  };
  // What signs with the same account goes one after the other.
  const signs = (name) => ['entries', 'transfers', 'refusals'].includes(name);
  await Promise.all([...parts.filter((name) => !signs(name)).map(run), inTurn(parts.filter(signs))]);
  found.methods = [...connection.sent].sort();
  connection.client.destroy();
  return found;
});
