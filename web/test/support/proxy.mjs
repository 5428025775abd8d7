// Stands between page and server, and can hold answers back, cut them, and go away.
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

export async function startProxy(target) {
  const { hostname, port } = new URL(target);
  const sockets = new Set();
  let limit = Infinity;
  const listener = createServer((client) => {
    const server = connect(Number(port), hostname);
    let left = Infinity;
    for (const socket of [client, server]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        server.destroy();
      });
    }
    client.on('data', (bytes) => {
      if (bytes.subarray(0, 5).toString() === 'POST ') left = limit;
      server.write(bytes);
    });
    server.on('data', (bytes) => {
      if (left > 0) client.write(bytes.subarray(0, Math.min(left, bytes.length)));
      left -= bytes.length;
    });
  });
  const listen = async (at) => {
    listener.listen(at, '127.0.0.1');
    await once(listener, 'listening');
  };
  await listen(0);
  const address = `http://127.0.0.1:${listener.address().port}`;
  return {
    address,
    /** Lets only so many bytes of each answer through. */
    hold: (bytes) => (limit = bytes),
    goAway: async () => {
      listener.close();
      for (const socket of sockets) socket.destroy();
      await once(listener, 'close');
    },
    comeBack: () => {
      limit = Infinity;
      return listen(Number(new URL(address).port));
    },
  };
}
