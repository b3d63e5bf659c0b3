// Reads metadata as polkadot.js and PAPI do, and tells what each found, by names.

import { Metadata, TypeRegistry } from '@polkadot/types';
import { merkleizeMetadata } from '@polkadot-api/merkleize-metadata';
import { decAnyMetadata, unifyMetadata } from '@polkadot-api/substrate-bindings';
import { answer } from './script.mjs';

const bytes = (hex) => Uint8Array.from(Buffer.from(hex.slice(2), 'hex'));
const names = (items) => items.map((item) => item.name.toString());

function polkadotJs(hex) {
  const registry = new TypeRegistry();
  const metadata = new Metadata(registry, hex);
  registry.setMetadata(metadata);
  const latest = metadata.asLatest;
  const text = (type) => registry.lookup.getTypeDef(type).type;
  const variants = (part) =>
    part.isSome
      ? registry.lookup.getSiType(part.unwrap().type).def.asVariant.variants.map((variant) => ({
          name: variant.name.toString(),
          index: variant.index.toNumber(),
          fields: variant.fields.map((field) => [
            field.name.unwrapOr('').toString(),
            text(field.type),
          ]),
          docs: variant.docs.map(String),
        }))
      : [];
  return {
    version: metadata.version,
    types: latest.lookup.types.length,
    again: metadata.toHex() === hex,
    pallets: latest.pallets.map((pallet) => ({
      name: pallet.name.toString(),
      index: pallet.index.toNumber(),
      docs: pallet.docs.map(String),
      storage: pallet.storage.isSome
        ? pallet.storage.unwrap().items.map((item) => ({
            name: item.name.toString(),
            modifier: item.modifier.toString(),
            value: text(item.type.isPlain ? item.type.asPlain : item.type.asMap.value),
            key: item.type.isMap ? text(item.type.asMap.key) : null,
            hashers: item.type.isMap ? item.type.asMap.hashers.map(String) : [],
            fallback: item.fallback.toHex(),
            docs: item.docs.map(String),
          }))
        : [],
      constants: pallet.constants.map((constant) => ({
        name: constant.name.toString(),
        type: text(constant.type),
        value: registry.createType(text(constant.type), constant.value.toU8a(true)).toHex(),
        docs: constant.docs.map(String),
      })),
      calls: variants(pallet.calls),
      events: variants(pallet.events),
      errors: variants(pallet.errors),
    })),
    extensions: registry.signedExtensions,
    apis: latest.apis.map((api) => ({
      name: api.name.toString(),
      docs: api.docs.map(String),
      functions: api.methods.map((method) => ({
        name: method.name.toString(),
        inputs: method.inputs.map((input) => [input.name.toString(), text(input.type)]),
        output: text(method.output),
        docs: method.docs.map(String),
      })),
    })),
  };
}

function papi(hex) {
  const raw = decAnyMetadata(bytes(hex));
  const unified = unifyMetadata(raw);
  const { pallets, extrinsic } = raw.metadata.value;
  return {
    version: unified.version,
    types: unified.lookup.length,
    pallets: unified.pallets.map((pallet) => ({
      name: pallet.name,
      index: pallet.index,
      docs: pallet.docs ?? [],
      storage: pallet.storage ? names(pallet.storage.items) : [],
      constants: names(pallet.constants),
    })),
    extensions: Object.values(unified.extrinsic.extensionsByVersion)[0].map((e) => e.identifier),
    extensionVersions: Object.keys(unified.extrinsic.extensionsByVersion),
    extrinsicVersions: unified.extrinsic.version,
    apis: unified.apis.map((api) => ({
      name: api.name,
      version: api.version ?? null,
      deprecated: api.deprecationInfo ?? null,
      functions: api.methods.map((method) => ({
        name: method.name,
        inputs: names(method.inputs),
        docs: method.docs,
        deprecated: method.deprecationInfo ?? null,
      })),
    })),
    deprecations: pallets.map((pallet) => ({
      name: pallet.name,
      pallet: pallet.deprecationInfo ?? null,
      calls: pallet.calls?.deprecationInfo ?? null,
      events: pallet.events?.deprecationInfo ?? null,
      errors: pallet.errors?.deprecationInfo ?? null,
      storage: (pallet.storage?.items ?? []).map((item) => [item.name, item.deprecationInfo ?? null]),
      constants: pallet.constants.map((item) => [item.name, item.deprecationInfo ?? null]),
    })),
    extrinsic,
  };
}

// Of V15 and V16; metadata of a few pallets, without System, have none.
function digest(hex, token, pallets) {
  if (hex.slice(10, 12) === '0e' || !pallets.some(({ name }) => name === 'System')) return null;
  return merkleizeMetadata(bytes(hex), token).digest();
}

await answer(({ metadata, token }) =>
  metadata.map((hex) => {
    const found = papi(hex);
    return { polkadotJs: polkadotJs(hex), papi: found, digest: digest(hex, token, found.pallets) };
  }),
);
