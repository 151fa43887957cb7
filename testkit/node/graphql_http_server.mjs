// A GraphQL over HTTP server known to be right, for testing the audits themselves. Prints {event: "listening", port}.
import { createServer } from 'node:http';
import { buildSchema } from 'graphql';
import { createHandler } from 'graphql-http/lib/use/http';
import { commands, print } from './lib/lines.mjs';

const schema = buildSchema('type Query { hello: String! }');
const handler = createHandler({ schema, rootValue: { hello: () => 'world' } });
const server = createServer(handler);
commands(() => {}, () => process.exit(0));
server.listen(0, '127.0.0.1', () => print({ event: 'listening', port: server.address().port }));
