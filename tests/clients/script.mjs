// What every script here begins and ends with: a request from standard input, an answer at the end.

import { stdin, stdout } from 'node:process';

// Numbers of clients that JSON does not have, and bytes, as text.
function plain(key, value) {
  if (typeof value === 'bigint') return value.toString();
  if (value instanceof Uint8Array) return '0x' + Buffer.from(value).toString('hex');
  return value;
}

// Calls `run` with the request; its answer is the last line of the output. An error ends with 1.
// The process is ended, whatever sockets and timers a client has left open.
export async function answer(run) {
  try {
    let text = '';
    for await (const part of stdin.setEncoding('utf8')) text += part;
    const line = JSON.stringify((await run(JSON.parse(text))) ?? null, plain);
    stdout.write('\n' + line + '\n', () => process.exit(0));
  } catch (error) {
    console.error(error);
    process.exit(1);
  }
}
