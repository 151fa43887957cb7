// The specification's Socket.IO server: the token is the user id, `refused` is refused; rooms are `user:{id}`.
// Prints {event: "listening", port}, then "connected", "read", "disconnected".
// A line {"user": …, "notification": …} on stdin pushes a notification and prints {event: "acked", reply}.
import { createServer } from 'node:http';
import { Server } from 'socket.io';
import { commands, print } from './lib/lines.mjs';

const ACK_LIMIT = 10_000;
const http = createServer();
const io = new Server(http, { cors: { origin: '*', methods: ['GET', 'POST'] } });

io.use((socket, next) => {
  const { token } = socket.handshake.auth;
  if (token && token !== 'refused') {
    socket.data.user = token;
    return next();
  }
  const error = new Error('unauthorized');
  error.data = { error: { code: 'UNAUTHORIZED', message: 'A valid token is required' } };
  next(error);
});

io.on('connection', (socket) => {
  const { user } = socket.data;
  socket.join(`user:${user}`);
  socket.on('read-notification', (id, ack) => {
    print({ event: 'read', user, id });
    ack?.({ ok: true, id });
  });
  socket.on('disconnect', (reason) => print({ event: 'disconnected', user, reason }));
  print({ event: 'connected', user });
});

commands(async (line) => {
  const { user, notification } = JSON.parse(line);
  const room = io.to(`user:${user}`).timeout(ACK_LIMIT);
  try {
    print({ event: 'acked', reply: await room.emitWithAck('notification', notification) });
  } catch (error) {
    print({ event: 'acked', error: error.message });
  }
}, () => io.close(() => process.exit(0)));

http.listen(0, '127.0.0.1', () => print({ event: 'listening', port: http.address().port }));
