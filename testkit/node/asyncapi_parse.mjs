// Reads an AsyncAPI document, one line of JSON, with AsyncAPI's parser; prints what that found in it and complains of.
import { createInterface } from 'node:readline';
import { Parser } from '@asyncapi/parser';
import { print } from './lib/lines.mjs';

for await (const line of createInterface({ input: process.stdin })) {
  const { document, diagnostics } = await new Parser().parse(line);
  // Hints, such as one about a contact, are no faults.
  const faults = diagnostics.filter(({ severity }) => severity <= 1).map(({ message, path }) => ({ message, path }));
  print({
    diagnostics: faults,
    channels: document ? document.channels().all().map((channel) => channel.id()).sort() : [],
    replies: document
      ? document.operations().all().filter((operation) => operation.reply()).map((operation) => ({
          operation: operation.id(),
          channel: operation.reply().channel().id(),
          messages: operation.reply().messages().all().length,
        }))
      : [],
    operations: document ? document.operations().all().map((operation) => operation.id()).sort() : [],
  });
  break;
}
