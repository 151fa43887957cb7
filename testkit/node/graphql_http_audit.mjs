// Runs the GraphQL over HTTP audits of graphql-http against a URL.
// Prints {event: "audit", id, name, status, reason} for each, then {event: "done", ok, notice, warn, error}.
import { serverAudits } from 'graphql-http';
import { args, print } from './lib/lines.mjs';

const [url] = args('url');
const counts = { ok: 0, notice: 0, warn: 0, error: 0 };
const fetchFn = async (input, init = {}) => {
  const headers = new Headers(init.headers);
  if (process.env.GRAPHQL_TOKEN) headers.set('authorization', `Bearer ${process.env.GRAPHQL_TOKEN}`);
  return fetch(input, { ...init, headers });
};
for (const audit of serverAudits({ url, fetchFn })) {
  const { id, name, status, reason = null } = await audit.fn();
  counts[status] += 1;
  print({ event: 'audit', id, name, status, reason });
}
print({ event: 'done', ...counts });
process.exit(0);
