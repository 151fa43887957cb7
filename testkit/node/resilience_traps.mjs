// The peer `opossum` of `cargo xtask compare resilience-traps`: the programs of `benches/src/compare/traps/programs`, written for
// its API. Takes the names of traps, prints {version}, then {trap, verdict} for each in order. A verdict is "passed",
// {"failed": why} or {"not-offered": what}.
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import CircuitBreaker from 'opossum';
import { args, commands, print } from './lib/lines.mjs';

const RESET = 400;
const LIMIT = 20_000;
const [names] = args('trap,…');
commands(() => {}, () => process.exit(0));
// What a trap leaves unhandled is part of its verdict, and ends nobody else's.
process.on('unhandledRejection', () => {});
process.on('uncaughtException', () => {});

class NotOffered extends Error {}
const notOffered = (what) => () => {
  throw new NotOffered(what);
};

function ensure(holds, why) {
  if (!holds) throw new Error(why);
}

/** A breaker around `(call) => call()`: opens when more than half of the calls fail. */
function breaker(options = {}) {
  return new CircuitBreaker((call) => call(), {
    timeout: false,
    errorThresholdPercentage: 50,
    resetTimeout: RESET,
    volumeThreshold: 3,
    errorFilter: (error) => ['NotFound', 'Throttled', 'EOPENBREAKER'].includes(error.code),
    ...options,
  });
}

const succeed = async () => {};
const failWith = (code) => async () => {
  throw Object.assign(new Error(code), { code });
};
const fail = failWith('Down');
const never = () => new Promise(() => {});

/** What became of a call: 'answered', 'rejected' or 'failed'. */
async function reply(breaker, call) {
  try {
    await breaker.fire(call);
    return 'answered';
  } catch (error) {
    return error.code === 'EOPENBREAKER' ? 'rejected' : 'failed';
  }
}

async function openWithin(breaker, failures) {
  for (let call = 0; call <= failures; call += 1) {
    if ((await reply(breaker, fail)) === 'rejected') return;
  }
  throw new Error(`${failures} failures did not open it`);
}

const reset = () => sleep(RESET + 50);

async function openAndWait(breaker) {
  await openWithin(breaker, 100);
  await reset();
}

const admits = async (breaker, why) => ensure((await reply(breaker, succeed)) === 'answered', why);

const traps = {
  async '01-half-open-stampede'() {
    const probing = breaker();
    await openAndWait(probing);
    let admitted = 0;
    for (let caller = 0; caller < 1000; caller += 1) {
      reply(probing, () => {
        admitted += 1;
        return never();
      });
    }
    await sleep(10);
    ensure(admitted === 1, `${admitted} of 1000 callers were admitted as probes`);
  },
  async '02-stale-result'() {
    const stale = breaker({ volumeThreshold: 20 });
    let answer;
    const gate = new Promise((resolve) => (answer = resolve));
    const begun = Array.from({ length: 5 }, () => reply(stale, () => gate));
    await openAndWait(stale);
    let end;
    const probe = reply(stale, () => new Promise((_, reject) => (end = () => reject(new Error('down')))));
    answer();
    await Promise.all(begun);
    ensure(!stale.closed, 'successes from before it opened closed it');
    end();
    await probe;
    await openWithin(stale, 3);
  },
  '03-dropped-probe': notOffered('a promise cannot be dropped'),
  async '04-endless-probe'() {
    const leased = breaker({ timeout: 200 });
    await openAndWait(leased);
    leased.fire(never).catch(() => {});
    await sleep(250);
    await reset();
    ensure((await reply(leased, succeed)) !== 'rejected', 'an endless probe kept its slot');
  },
  async '05-ignored-probe'() {
    const probing = breaker();
    await openAndWait(probing);
    ensure((await reply(probing, failWith('NotFound'))) !== 'rejected', 'it admitted no probe');
    await admits(probing, 'an ignored probe kept its slot');
  },
  async '06-simultaneous-failures'() {
    const failing = breaker();
    let opened = 0;
    failing.on('open', () => (opened += 1));
    let down;
    const gate = new Promise((_, reject) => (down = () => reject(new Error('down'))));
    const calls = Array.from({ length: 64 }, () => reply(failing, () => gate));
    down();
    await Promise.all(calls);
    await openWithin(failing, 10);
    ensure(opened === 1, `64 failures at once told of ${opened} openings`);
    await reset();
    await admits(failing, 'the reset was lost');
  },
  async '07-saturating-clock'() {
    let longest;
    try {
      longest = breaker({ resetTimeout: Number.MAX_SAFE_INTEGER });
    } catch {
      return;
    }
    await openWithin(longest, 10);
    await reset();
    ensure((await reply(longest, succeed)) === 'rejected', 'the longest reset timeout was over at once');
  },
  async '08-window-rollover'() {
    const rolling = breaker({ rollingCountTimeout: 1000, volumeThreshold: 4 });
    for (let time = 0; time < 2; time += 1) {
      for (let call = 0; call < 3; call += 1) {
        ensure((await reply(rolling, fail)) !== 'rejected', 'failures from before the window counted');
      }
      await sleep(2000);
    }
    await admits(rolling, 'failures from before the window counted');
  },
  async '09-burst-within-1ms'() {
    await openWithin(breaker({ volumeThreshold: 10 }), 10_000);
    let refused = false;
    try {
      breaker({ rollingCountTimeout: 5, rollingCountBuckets: 10 });
    } catch {
      refused = true;
    }
    ensure(refused, 'it takes a window that is shorter than its buckets');
  },
  async '10-long-healthy-history'() {
    const healthy = breaker({ rollingCountTimeout: 1000, volumeThreshold: 10, rollingPercentilesEnabled: false });
    for (let call = 0; call < 20_000; call += 1) await healthy.fire(succeed);
    await sleep(2000);
    await openWithin(healthy, 200).catch(() => ensure(false, '200 failures after 20,000 old successes did not open it'));
  },
  '11-retry-outside-breaker': notOffered('a retry'),
  '12-breaker-outside-retry': notOffered('a retry'),
  '13-replayable-only': notOffered('a retry'),
  '14-retry-after': notOffered('a retry'),
  '15-jitter-and-ramp': notOffered('a traffic ramp after recovery'),
  async '16-classified-results'() {
    const classifying = breaker({ volumeThreshold: 10 });
    for (let call = 0; call < 20; call += 1) {
      ensure((await reply(classifying, failWith('NotFound'))) !== 'rejected', '404 opened it');
    }
    for (let call = 0; call < 60; call += 1) {
      for (const code of ['NotFound', 'Throttled']) await reply(classifying, failWith(code));
      if ((await reply(classifying, fail)) === 'rejected') return;
    }
    ensure(false, '404 and 429 count as successes: 60 failures among them did not open it');
  },
  async '17-own-rejections'() {
    const [outer, inner] = [breaker(), breaker()];
    await openWithin(inner, 10);
    for (let call = 0; call < 20; call += 1) await reply(outer, () => inner.fire(succeed));
    ensure(outer.closed, 'rejections of a breaker inside opened it');
  },
  async '18-timeout-counts-once'() {
    const abortController = new AbortController();
    let cancelled = 0;
    abortController.signal.addEventListener('abort', () => (cancelled += 1));
    const timing = breaker({ timeout: 50, abortController, volumeThreshold: 2 });
    for (const expected of ['failed', 'failed', 'rejected']) {
      const became = await reply(timing, never);
      ensure(became === expected, `${became} instead of ${expected}`);
    }
    ensure(cancelled === 1 && timing.stats.failures === 2, `${timing.stats.failures} failures of two calls, ${cancelled} cancelled`);
  },
  async '19-panic-in-the-call'() {
    const throwing = breaker();
    const call = () => {
      throw new Error('the call throws');
    };
    for (let time = 0; time < 10; time += 1) await reply(throwing, call);
    ensure((await reply(throwing, fail)) === 'rejected', 'ten calls that threw did not open it');
    await reset();
    await reply(throwing, call);
    ensure((await reply(throwing, fail)) === 'rejected', 'a probe that threw did not open it again');
    await reset();
    await admits(throwing, 'a probe that threw kept its slot');
  },
  '20-tower-contract': notOffered('tower services'),
  async '21-idle-ready-clone'() {
    const idle = breaker({ capacity: 1 });
    let end;
    const working = reply(idle, () => new Promise((resolve) => (end = resolve)));
    ensure((await reply(idle, succeed)) === 'failed', 'a bulkhead of one slot let two calls in');
    end();
    ensure((await working) === 'answered', 'an idle caller holds the slot');
  },
  async '22-listener'() {
    const told = breaker();
    for (const event of ['open', 'close']) {
      told.on(event, () => {
        told.fire(succeed).catch(() => {});
        throw new Error('a listener throws');
      });
    }
    for (let call = 0; call < 10; call += 1) {
      const became = await Promise.race([reply(told, fail), sleep(2000, 'hung')]);
      ensure(became !== 'hung', 'a call never ended: its listener threw');
    }
    ensure((await reply(told, succeed)) === 'rejected', 'it is not open although ten calls failed');
  },
  '23-budget-overdraft': notOffered('a retry budget'),
  '24-hedge-against-primary': notOffered('a hedge'),
};

async function walk(name) {
  const limit = new AbortController();
  const late = sleep(LIMIT, undefined, { signal: limit.signal }).then(
    () => ({ failed: `it hung for ${LIMIT} ms` }),
    () => {},
  );
  const walked = (async () => {
    try {
      await traps[name]();
      return 'passed';
    } catch (error) {
      return error instanceof NotOffered ? { 'not-offered': error.message } : { failed: error.message };
    }
  })();
  const verdict = await Promise.race([walked, late]);
  limit.abort();
  return verdict;
}

print({ version: createRequire(import.meta.url)('opossum/package.json').version });
for (const name of names.split(',')) print({ trap: name, verdict: await walk(name) });
