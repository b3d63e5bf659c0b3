// A page that places a bid: it holds no key, asks whatever wallet is injected, and needs no option
// for this chain.

import { ApiPromise, WsProvider } from '@polkadot/api';

const show = (id, text) => (document.getElementById(id).textContent = text);

async function start() {
  const [[, wallet]] = Object.entries(window.injectedWeb3);
  const injected = await wallet.enable('A page of the tests');
  const [{ address }] = await injected.accounts.get();
  show('account', address);

  const url = new URLSearchParams(location.search).get('node');
  const api = await ApiPromise.create({ provider: new WsProvider(url) });
  show('node', `${await api.rpc.system.chain()} ${await api.rpc.system.version()}`);

  const form = document.getElementById('bid');
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    place(api, injected.signer, address).catch((error) => show('status', `failed: ${error.message}`));
  });
  form.querySelector('button').disabled = false;
  show('status', 'ready');
}

async function place(api, signer, address) {
  const [connection] = (await api.query.producerRegistration.connectionsOf(address)).toJSON();
  const now = (await api.query.timestamp.now()).toBigInt();
  const interval = now / api.consts.trading.marketIntervalMs.toBigInt() + 3n;
  const [quantity, price] = ['quantity', 'price'].map((id) => document.getElementById(id).value);
  const order = api.tx.trading.placeOrder(connection, interval, 'Bid', price, quantity);
  show('status', 'signing');
  const stop = await order.signAndSend(address, { signer }, ({ status, dispatchError, events }) => {
    show('status', status.type);
    if (!status.isFinalized) return;
    stop();
    if (dispatchError) throw new Error(api.registry.findMetaError(dispatchError.asModule).name);
    const { event } = events.find(({ event }) => api.events.trading.OrderPlaced.is(event));
    window.bid = { block: status.asFinalized.toHex(), connection, placed: event.data.toJSON() };
    show('status', 'placed');
  });
}

start().catch((error) => show('status', `failed: ${error.message}`));
