// The peer `opossum` of `cargo xtask compare breaker`: a breaker that is `closed` or `open`, with its default timeout or
// none, without snapshots and percentiles. For each number on stdin it makes so many calls and prints {ns}.
import CircuitBreaker from 'opossum';
import { args, commands, print } from './lib/lines.mjs';

const [state, timeout] = args('closed|open', 'milliseconds|false');
const breaker = new CircuitBreaker(async () => 7, {
  timeout: JSON.parse(timeout),
  errorThresholdPercentage: 50,
  rollingCountTimeout: 10_000,
  rollingCountBuckets: 10,
  volumeThreshold: 10,
  resetTimeout: 3_600_000,
  rollingPercentilesEnabled: false,
  enableSnapshots: false,
});
if (state === 'open') breaker.open();

let turn = Promise.resolve();
commands((line) => {
  turn = turn.then(() => run(Number(line)));
}, () => process.exit(0));

async function run(calls) {
  const start = process.hrtime.bigint();
  for (let call = 0; call < calls; call += 1) {
    try {
      await breaker.fire();
    } catch (error) {
      if (error.code !== 'EOPENBREAKER') throw error;
    }
  }
  print({ ns: Number(process.hrtime.bigint() - start) });
}
