import type { Event } from '@jupyterlab/services';
import { Signal } from '@lumino/signaling';
import { LEASE_S, Model, SCHEMA_ID } from '../../src/model';
import type { IRequest, IRequests, Tagged } from '../../src/requests';
import { Offline } from '../../src/requests';
import type { Snapshot, WatchRequest } from '../../src/wire';

/** A server in memory: what it was asked, and what it says now. */
class FakeServer implements IRequests {
  server = 'first';
  revision = 1;
  isDown = false;
  leases = new Set<string>();
  asked: string[] = [];
  /** Answers to `snapshot` wait for it, and those to `watch` that bring one along. */
  gate: Promise<void> = Promise.resolve();

  async request<T>(path: string, options: IRequest = {}): Promise<T> {
    this.note(`${options.method ?? 'GET'} ${path}`);
    if (path === 'watch') {
      const { page, within_s, snapshot } = options.body as Required<WatchRequest>;
      expect(within_s).toBe(LEASE_S);
      this.leases.add(page);
      const now = { server: this.server, revision: this.revision };
      if (snapshot) {
        await this.gate;
      }
      return { page, until: 0, ...now, snapshot: snapshot ? now : null } as T;
    }
    if (options.method === 'DELETE') {
      this.leases.delete(path.split('/')[1]);
    }
    return undefined as T;
  }

  async poll<T>(path: string, etag: string | null): Promise<Tagged<T>> {
    this.note(`GET ${path}`);
    const tag = `${this.server}-${this.revision}`;
    const body = { server: this.server, revision: this.revision } as Snapshot;
    await this.gate;
    return tag === etag ? { changed: false } : { changed: true, etag: tag, body: body as T };
  }

  count(what: string): number {
    return this.asked.filter(each => each === what).length;
  }

  private note(what: string): void {
    if (this.isDown) {
      throw new Offline(new TypeError('Failed to fetch'));
    }
    this.asked.push(what);
  }
}

class Bus {
  readonly signal = new Signal<Bus, Event.Emission>(this);

  tell(server: FakeServer, schema = SCHEMA_ID): void {
    this.signal.emit({
      schema_id: schema,
      server: server.server,
      revision: server.revision
    } as Event.Emission);
  }
}

let server: FakeServer;
let bus: Bus;
let model: Model;

beforeEach(() => {
  server = new FakeServer();
  bus = new Bus();
  model = new Model({
    requests: server,
    events: bus.signal as unknown as Event.Stream,
    page: 'page-1',
    standby: 'never',
    renewMs: 60,
    withoutBusMs: 15
  });
});

afterEach(() => model.dispose());

/** Until something is so, at most for two seconds. */
async function until(isSo: () => boolean): Promise<void> {
  const end = Date.now() + 2000;
  while (!isSo()) {
    if (Date.now() > end) {
      throw new Error('did not become so');
    }
    await new Promise(resolve => setTimeout(resolve, 2));
  }
}

const pause = (ms: number) => new Promise(resolve => setTimeout(resolve, ms));

describe('Model', () => {
  it('asks nothing while nobody watches', async () => {
    bus.tell(server);
    await pause(150);
    expect(server.asked).toEqual([]);
    expect(model.snapshot).toBeNull();
    expect(model.isWatched).toBe(false);
  });

  it('holds one lease for all who watch, and gives it back after the last', async () => {
    const first = model.watch();
    const second = model.watch();
    await until(() => model.snapshot !== null);
    expect([...server.leases]).toEqual(['page-1']);
    first.dispose();
    first.dispose();
    expect(model.isWatched).toBe(true);
    second.dispose();
    await until(() => server.leases.size === 0);
    const asked = server.asked.length;
    server.revision += 1;
    bus.tell(server);
    await pause(150);
    expect(server.asked.length).toBe(asked);
  });

  it('fetches a snapshot when the bus tells of one, and not otherwise', async () => {
    model.watch();
    await until(() => model.snapshot?.revision === 1);
    const before = server.count('GET snapshot');
    bus.tell(server);
    bus.tell(server, 'https://events.jupyter.org/somebody-else');
    expect(server.count('GET snapshot')).toBe(before);
    server.revision = 7;
    bus.tell(server);
    await until(() => model.snapshot?.revision === 7);
    expect(server.count('GET snapshot')).toBe(before + 1);
    expect(model.hasBus).toBe(true);
  });

  it('has its first snapshot with the answer to its lease, for which it asks at once', async () => {
    model.watch();
    expect(server.asked).toEqual(['POST watch']);
    await until(() => model.snapshot?.revision === 1);
    expect(server.asked).toEqual(['POST watch']);
    await until(() => server.count('POST watch') > 2); // renewed
    expect(server.count('GET snapshot')).toBe(0);
  });

  it('has it so again when it is looked at anew', async () => {
    model.watch().dispose();
    await until(() => server.leases.size === 0);
    server.revision = 4;
    model.watch();
    await until(() => model.snapshot?.revision === 4);
    expect(server.count('GET snapshot')).toBe(0);
  });

  it('does not fetch what the bus tells of while the answer is on its way, unless that is older', async () => {
    for (const [told, fetched] of [
      [1, 0],
      [2, 1]
    ]) {
      let open: () => void = () => undefined;
      server.gate = new Promise(resolve => (open = resolve));
      const before = server.count('GET snapshot');
      const lease = model.watch();
      server.revision = told;
      bus.tell(server);
      await pause(10);
      expect(server.count('GET snapshot')).toBe(before);
      open();
      await until(() => model.snapshot?.revision === told);
      await pause(30);
      expect(server.count('GET snapshot')).toBe(before + fetched);
      expect(model.hasBus).toBe(true);
      lease.dispose();
    }
  });

  it('drops a snapshot that is older than what it has', async () => {
    model.watch();
    server.revision = 5;
    await until(() => model.snapshot?.revision === 5);
    server.revision = 4;
    await model.refresh();
    bus.tell(server);
    await pause(30);
    expect(model.snapshot?.revision).toBe(5);
  });

  it('begins anew when the server was restarted', async () => {
    server.revision = 50;
    model.watch();
    await until(() => model.snapshot?.revision === 50);
    server.server = 'second';
    server.revision = 1;
    await until(() => model.snapshot?.server === 'second');
    expect(model.snapshot?.revision).toBe(1);
    expect(model.hasBus).toBe(true);
  });

  it('fetches once more when it is told of a change while it fetches', async () => {
    model.watch();
    await until(() => model.snapshot !== null);
    let open: () => void = () => undefined;
    server.gate = new Promise(resolve => (open = resolve));
    server.revision = 2;
    bus.tell(server);
    await until(() => server.count('GET snapshot') === 1);
    server.revision = 3;
    for (let n = 0; n < 5; n++) {
      bus.tell(server);
    }
    open();
    await until(() => model.snapshot?.revision === 3);
    expect(server.count('GET snapshot')).toBe(2);
  });

  it('asks more often while the bus is down, and stops when it is back', async () => {
    model.watch();
    await until(() => model.snapshot !== null);
    server.revision = 2; // nobody tells
    await until(() => model.snapshot?.revision === 2);
    expect(model.hasBus).toBe(false);
    server.revision = 3;
    await until(() => model.snapshot?.revision === 3);
    server.revision = 4;
    bus.tell(server);
    await until(() => model.snapshot?.revision === 4);
    expect(model.hasBus).toBe(true);
  });

  it('says why it has nothing yet, and has it as soon as it can', async () => {
    server.isDown = true;
    model.watch();
    await until(() => model.problem !== null);
    expect(model.snapshot).toBeNull();
    server.isDown = false;
    await until(() => model.snapshot !== null);
    expect(model.problem).toBeNull();
  });

  it('says why it is not current, keeps what it had, and recovers', async () => {
    model.watch();
    await until(() => model.snapshot !== null);
    let changes = 0;
    model.changed.connect(() => (changes += 1));
    server.isDown = true;
    await until(() => model.problem !== null);
    expect(model.problem).toBeInstanceOf(Offline);
    expect(model.snapshot?.revision).toBe(1);
    await pause(100);
    expect(changes).toBe(1);
    server.isDown = false;
    await model.refresh();
    await until(() => model.problem === null);
    expect(model.snapshot?.revision).toBe(1);
  });
});
