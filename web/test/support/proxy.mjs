// Stands between page and server: lets only so much of an answer through, then more, or goes away. No test has to be quick.
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/** One client's connection, and what of the server's answers it has not been given yet. */
class Link {
  constructor(client, target, limit) {
    this.client = client;
    this.server = connect(Number(target.port), target.hostname);
    this.left = Infinity;
    this.waiting = Buffer.alloc(0);
    client.on('data', (bytes) => {
      const method = bytes.subarray(0, 5).toString();
      if (/^(GET|POST) /.test(method)) this.left = method === 'POST ' ? limit() : Infinity;
      this.server.write(bytes);
    });
    this.server.on('data', (bytes) => {
      this.waiting = Buffer.concat([this.waiting, bytes]);
      this.pass();
    });
    for (const socket of [client, this.server]) {
      socket.on('error', () => {});
      socket.on('close', () => this.end());
    }
  }

  allow(bytes) {
    this.left += bytes;
    this.pass();
  }

  pass() {
    const now = this.waiting.subarray(0, this.left);
    this.waiting = this.waiting.subarray(now.length);
    this.left -= now.length;
    if (now.length > 0) this.client.write(now);
  }

  end() {
    this.client.destroy();
    this.server.destroy();
  }
}

export async function startProxy(address) {
  const target = new URL(address);
  const links = new Set();
  let limit = Infinity;
  const listener = createServer((client) => {
    const link = new Link(client, target, () => limit);
    links.add(link);
    client.on('close', () => links.delete(link));
  });
  const listen = async (port) => {
    listener.listen(port, '127.0.0.1');
    await once(listener, 'listening');
  };
  await listen(0);
  const own = `http://127.0.0.1:${listener.address().port}`;
  return {
    address: own,
    /** Lets only so many bytes of each answer through that is asked for from now on. */
    hold: (bytes) => (limit = bytes),
    /** Lets more of every answer through; all if it is not said how much. */
    allow: (bytes = Infinity) => links.forEach((link) => link.allow(bytes)),
    release() {
      limit = Infinity;
      this.allow();
    },
    goAway: async () => {
      if (!listener.listening) return;
      listener.close();
      for (const link of links) link.end();
      await once(listener, 'close');
    },
    comeBack: () => {
      limit = Infinity;
      return listen(Number(new URL(own).port));
    },
  };
}
