// JSON lines: out through stdout, in through stdin.
import { createInterface } from 'node:readline';

/** Prints one JSON value as one line. */
export function print(value) {
  process.stdout.write(JSON.stringify(value) + '\n');
}

/** Calls `onLine` for each line of stdin and `onEnd` when it closes, which is how whoever started the script ends it. */
export function commands(onLine, onEnd) {
  const lines = createInterface({ input: process.stdin });
  lines.on('line', onLine);
  lines.on('close', onEnd);
}

/** The arguments, by name; ends with the usage when a required one is missing. `[name]` is optional. */
export function args(...names) {
  const given = process.argv.slice(2);
  const required = names.filter((name) => !name.startsWith('['));
  if (given.length < required.length) {
    process.stderr.write(`usage: ${process.argv[1]} ${names.join(' ')}\n`);
    process.exit(2);
  }
  return given;
}
