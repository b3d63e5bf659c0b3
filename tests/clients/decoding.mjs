// What polkadot.js and PAPI make of encoded values, by metadata of each version.

import { Metadata, TypeRegistry } from '@polkadot/types';
import { getDynamicBuilder, getLookupFn } from '@polkadot-api/metadata-builders';
import { decAnyMetadata, unifyMetadata } from '@polkadot-api/substrate-bindings';
import { answer } from './script.mjs';

const bytes = (hex) => Uint8Array.from(Buffer.from(hex.slice(2), 'hex'));

function polkadotJs(metadata, { events, extrinsic, answers }) {
  const registry = new TypeRegistry();
  const read = new Metadata(registry, metadata);
  registry.setMetadata(read);
  const latest = read.asLatest;
  const system = latest.pallets.find((pallet) => pallet.name.eq('System')).storage.unwrap();
  const records = system.items.find((item) => item.name.eq('Events')).type.asPlain;
  const decode = (type, data) => registry.createTypeUnsafe(registry.createLookupType(type), [data]);
  const found = registry.createType('Extrinsic', bytes(extrinsic));

  return {
    events: decode(records, bytes(events)).map(({ phase, event }) => ({
      extrinsic: phase.isApplyExtrinsic ? phase.asApplyExtrinsic.toNumber() : null,
      pallet: event.section,
      name: event.method,
      data: event.data.toHuman(),
    })),
    extrinsic: {
      signer: found.signer.toString(),
      nonce: found.nonce.toNumber(),
      call: `${found.method.section}.${found.method.method}`,
      args: found.method.args.map(String),
      again: found.toHex() === extrinsic,
    },
    answers: Object.fromEntries(
      latest.apis
        .flatMap((api) => api.methods.map((method) => [`${api.name}_${method.name}`, method]))
        .filter(([name]) => name in answers)
        .map(([name, { output }]) => {
          const value = decode(output, bytes(answers[name]));
          return [name, { again: value.toHex() === answers[name], value: value.toJSON() }];
        }),
    ),
  };
}

// PAPI builds a codec of everything that the metadata describe, as it does for a typed API.
function papi(metadata, { events, answers }) {
  const unified = unifyMetadata(decAnyMetadata(bytes(metadata)));
  const builder = getDynamicBuilder(getLookupFn(unified));
  const built = { storage: 0, constants: 0, calls: 0, functions: 0 };
  for (const pallet of unified.pallets) {
    for (const { name, fallback, modifier } of pallet.storage?.items ?? []) {
      const { value } = builder.buildStorage(pallet.name, name);
      if (modifier) value.enc(value.dec(fallback));
      built.storage += 1;
    }
    for (const { name, value } of pallet.constants) {
      builder.buildConstant(pallet.name, name).dec(value);
      built.constants += 1;
    }
    for (const { name } of pallet.calls
      ? Object.entries(getLookupFn(unified)(pallet.calls.type).value).map(([name]) => ({ name }))
      : []) {
      builder.buildCall(pallet.name, name);
      built.calls += 1;
    }
  }
  const decoded = {};
  for (const api of unified.apis)
    for (const method of api.methods) {
      const { args, value } = builder.buildRuntimeCall(api.name, method.name);
      built.functions += args && value ? 1 : 0;
      const name = `${api.name}_${method.name}`;
      if (name in answers) decoded[name] = value.dec(answers[name]);
    }
  return {
    built,
    events: builder
      .buildStorage('System', 'Events')
      .value.dec(events)
      .map(({ phase, event }) => ({
        extrinsic: phase.type === 'ApplyExtrinsic' ? phase.value : null,
        pallet: event.type,
        name: event.value.type,
        data: event.value.value ?? null,
      })),
    answers: decoded,
  };
}

await answer(({ metadata, ...values }) =>
  Object.fromEntries(
    Object.entries(metadata).map(([version, hex]) => [
      version,
      { polkadotJs: polkadotJs(hex, values), papi: papi(hex, values) },
    ]),
  ),
);
