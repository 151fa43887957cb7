// The peer `amqplib` of `cargo xtask compare events`, at its best setting: a window of confirms that each confirm refills,
// one acknowledgement for many deliveries, a connection to publish and one to consume.
// Takes a setting as JSON, prints {messages, seconds, cpuSeconds, p50Ms, p99Ms} once everything is confirmed and handled.
import amqp from 'amqplib';
import { args, commands, print } from './lib/lines.mjs';
import { userCreated } from './lib/event.mjs';

const EXCHANGE = 'user.events';
const QUEUE = 'user.events.user-service';
// The same for all events.
const TRACE_PARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
const GRAIN_MS = 1;
// A timer may be this late by itself. What is later counts as latency.
const TIMER_MS = 2;
// Longer than any broker takes to deliver or confirm the next message.
const PATIENCE_MS = 20_000;

const [json] = args('setting');
const { url, queue, window, prefetch, ackEvery, load } = JSON.parse(json);
const total = load.warmUp + load.messages;
const sentAt = new Float64Array(total);
const arrivedAt = new Float64Array(total);
let published = 0;
let allowed = 0;
let confirmed = 0;
let arrived = 0;
let goal = 0;
let reached = () => {};

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

commands(() => {}, () => process.exit(0));
const publishing = await amqp.connect(url);
const consuming = await amqp.connect(url);
for (const connection of [publishing, consuming]) connection.on('error', (error) => fail(error.message));
const publisher = await publishing.createConfirmChannel();
publisher.on('return', () => fail('an event was returned'));
const consumer = await consuming.createChannel();
await consumer.assertExchange(EXCHANGE, 'topic', { durable: true });
const queueArguments = queue === 'quorum' ? { 'x-queue-type': 'quorum' } : {};
await consumer.assertQueue(QUEUE, { durable: true, arguments: queueArguments });
await consumer.bindQueue(QUEUE, EXCHANGE, 'user.created');
await consumer.prefetch(prefetch);

let unsettled = 0;
await consumer.consume(QUEUE, (message) => {
  if (message === null) return fail('the consumer was cancelled');
  const { number } = JSON.parse(message.content).data;
  if (!(number < total) || arrivedAt[number] !== 0) return fail(`event ${number} arrived twice or was never published`);
  arrivedAt[number] = performance.now();
  arrived += 1;
  unsettled += 1;
  if (unsettled === ackEvery || arrived === goal) {
    unsettled = 0;
    consumer.ack(message, true);
  }
  check();
});

function onConfirm(error) {
  if (error) return fail(error.message);
  confirmed += 1;
  pump();
  check();
}

function check() {
  if (arrived >= goal && confirmed >= goal) reached();
}

/** Publishes what is allowed, as far as the window goes. */
function pump() {
  while (published < allowed && published - confirmed < window) {
    const event = userCreated(published);
    event.data.number = published;
    published += 1;
    publisher.publish(
      EXCHANGE,
      event.type,
      Buffer.from(JSON.stringify(event)),
      {
        persistent: true,
        mandatory: true,
        contentType: 'application/json',
        contentEncoding: 'utf-8',
        headers: { kind: 'domain', traceparent: TRACE_PARENT },
        timestamp: Math.floor(Date.now() / 1000),
        appId: event.source,
        messageId: event.id,
        correlationId: event.correlationId,
        type: event.type,
      },
      onConfirm,
    );
  }
}

let progress = 0;
setInterval(() => {
  if (progress === arrived + confirmed) {
    fail(`of ${goal} events ${published} were published, ${confirmed} confirmed, ${arrived} arrived; then none for ${PATIENCE_MS} ms`);
  }
  progress = arrived + confirmed;
}, PATIENCE_MS);

const sleep = (millis) => new Promise((resolve) => setTimeout(resolve, millis));

/** Publishes up to `count`, at once or at a rate, and waits until all is confirmed and handled. */
async function publishTo(count, rate) {
  const done = new Promise((resolve) => {
    reached = resolve;
  });
  const [first, start] = [published, performance.now()];
  goal = count;
  for (let tick = start; rate && allowed < count; ) {
    tick += GRAIN_MS;
    const early = tick - performance.now();
    if (early > 0) await sleep(early);
    const now = performance.now();
    const from = now - tick > TIMER_MS ? tick : now;
    const due = Math.min(count, first + Math.floor(((tick - start) / 1000) * rate));
    for (; allowed < due; allowed += 1) sentAt[allowed] = from;
    pump();
  }
  allowed = count;
  pump();
  if (count > 0) await done;
}

await publishTo(load.warmUp);
const [cpu, start] = [process.cpuUsage(), performance.now()];
await publishTo(total, load.rate);
const seconds = (performance.now() - start) / 1000;
const { user, system } = process.cpuUsage(cpu);
const latencies = arrivedAt.subarray(load.warmUp).map((at, index) => at - sentAt[load.warmUp + index]).sort();
const percentile = (share) => (load.rate ? latencies[Math.max(1, Math.ceil(latencies.length * share)) - 1] : undefined);
print({
  messages: load.messages,
  seconds,
  cpuSeconds: (user + system) / 1e6,
  p50Ms: percentile(0.5),
  p99Ms: percentile(0.99),
});
await consuming.close();
await publishing.close();
process.exit(0);
