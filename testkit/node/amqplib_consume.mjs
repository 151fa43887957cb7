// Consumes a queue bound to a topic exchange, prints every message and acknowledges it, until stdin ends.
// Prints {event: "ready"}, then {event: "message", content, routingKey, exchange, headers, properties, redelivered}.
import amqp from 'amqplib';
import { args, commands, print } from './lib/lines.mjs';

const [url, queue, exchange = 'user.events', pattern = '#'] = args('url', 'queue', '[exchange]', '[pattern]');
const connection = await amqp.connect(url);
connection.on('error', (error) => print({ event: 'error', message: error.message }));
connection.on('close', () => print({ event: 'closed' }));
const channel = await connection.createChannel();
await channel.assertExchange(exchange, 'topic', { durable: true });
await channel.assertQueue(queue, { durable: true });
await channel.bindQueue(queue, exchange, pattern);
await channel.prefetch(100);
await channel.consume(queue, (message) => {
  if (message === null) return print({ event: 'cancelled' });
  const { headers, ...properties } = message.properties;
  print({
    event: 'message',
    content: message.content.toString('utf8'),
    routingKey: message.fields.routingKey,
    exchange: message.fields.exchange,
    redelivered: message.fields.redelivered,
    headers: headers ?? {},
    properties,
  });
  channel.ack(message);
});
commands(() => {}, async () => {
  try {
    await connection.close();
  } catch {
    // Gone already.
  }
  process.exit(0);
});
print({ event: 'ready', queue });
