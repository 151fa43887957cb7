// Publishes events to a durable topic exchange, persistent and confirmed, the type as routing key.
// With a count it makes the events itself; without one it publishes every JSON line of stdin, until stdin ends.
// Prints {event: "published", id, body} for each confirmed event, {event: "returned"} for an unroutable one,
// {event: "nacked"} for a refused one, then {event: "done", count}.
import amqp from 'amqplib';
import { args, commands, print } from './lib/lines.mjs';
import { userCreated } from './lib/event.mjs';

const [url, exchange, count, type] = args('url', 'exchange', '[count]', '[type]');
const connection = await amqp.connect(url);
const channel = await connection.createConfirmChannel();
await channel.assertExchange(exchange, 'topic', { durable: true });
channel.on('return', (message) => print({ event: 'returned', id: message.properties.messageId }));
let published = 0;

function publish(event) {
  const body = JSON.stringify(event);
  const options = {
    persistent: true,
    mandatory: true,
    contentType: 'application/json',
    messageId: event.id,
    correlationId: event.correlationId,
    type: event.type,
  };
  channel.publish(exchange, event.type, Buffer.from(body), options, (error) => {
    if (error) return print({ event: 'nacked', id: event.id, message: error.message });
    published += 1;
    print({ event: 'published', id: event.id, body });
  });
}

async function done() {
  await channel.waitForConfirms().catch(() => {});
  print({ event: 'done', count: published });
  await connection.close();
  process.exit(0);
}

if (count === undefined) {
  commands((line) => publish(JSON.parse(line)), done);
  print({ event: 'ready' });
} else {
  for (let index = 0; index < Number(count); index += 1) publish(userCreated(index, type));
  await done();
}
