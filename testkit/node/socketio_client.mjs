// A Socket.IO client as the specification's front end has it: the token in the handshake, notifications acknowledged.
// Commands on stdin: "read ID" emits read-notification and prints its ack; "emit NAME JSON" emits anything else;
// "disconnect" and "connect" do that; the end of stdin disconnects and ends.
// Prints {event: "connect" | "connect_error" | "notification" | "read-ack" | "ack" | "disconnect" | "message", …}.
// SOCKET_TRANSPORTS=websocket or polling picks transports, SOCKET_RECONNECTION=true turns reconnection on,
// SOCKET_ACK=false keeps the client from acknowledging notifications.
import { io } from 'socket.io-client';
import { args, commands, print } from './lib/lines.mjs';

const [url, token, path = '/socket.io'] = args('url', 'token', '[path]');
const ACK_LIMIT = 10_000;
const socket = io(url, {
  path,
  auth: token === '' ? {} : { token },
  transports: (process.env.SOCKET_TRANSPORTS ?? 'polling,websocket').split(','),
  reconnection: process.env.SOCKET_RECONNECTION === 'true',
  forceNew: true,
});

socket.on('connect', () =>
  print({ event: 'connect', id: socket.id, recovered: socket.recovered, transport: socket.io.engine.transport.name }));
socket.on('connect_error', (error) =>
  print({ event: 'connect_error', message: error.message, data: error.data ?? null, active: socket.active }));
socket.on('disconnect', (reason, details) =>
  print({ event: 'disconnect', reason, details: details?.message ?? null }));
socket.on('notification', (notification, ack) => {
  const asked = typeof ack === 'function';
  print({ event: 'notification', notification, asked });
  if (asked && process.env.SOCKET_ACK !== 'false') ack({ received: notification.id });
});
socket.onAny((name, ...values) => {
  if (name !== 'notification') print({ event: 'message', name, values });
});

async function emit(event, name, ...values) {
  try {
    print({ event, name, values, reply: await socket.timeout(ACK_LIMIT).emitWithAck(name, ...values) });
  } catch (error) {
    print({ event, name, values, error: error.message });
  }
}

commands((line) => {
  const [command, name, ...rest] = line.trim().split(' ');
  if (command === 'read') return emit('read-ack', 'read-notification', name);
  if (command === 'emit') return emit('ack', name, ...(rest.length > 0 ? [JSON.parse(rest.join(' '))] : []));
  if (command === 'disconnect') return socket.disconnect();
  if (command === 'connect') return socket.connect();
  print({ event: 'unknown_command', line });
}, () => {
  socket.disconnect();
  process.exit(0);
});
