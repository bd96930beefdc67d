import type { IRequest, IRequests } from '../../src/requests';
import { Refused } from '../../src/requests';
import { merged, Runs, WRITTEN_MS } from '../../src/runs';
import type { LiveRun, RunFace, RunList } from '../../src/wire';

function recorded(id: string, state = 'ok'): RunFace {
  return {
    id,
    session: 's',
    target: 'gpu-a',
    state,
    started: 1,
    ended: 2,
    seconds: 1,
    is_live: true
  } as RunFace;
}

function live(id: string, state: LiveRun['state']): LiveRun {
  return {
    id,
    session: 's',
    target: 'gpu-a',
    notebook: null,
    state,
    since: 5,
    seen_from_start: true,
    started: null,
    cell: 'c1',
    request: null,
    sent_bytes: null,
    arrived_bytes: null,
    arriving_bytes: null
  };
}

/** A ledger of so many runs, newest first, in pages. */
class Ledger implements IRequests {
  runs: RunFace[];
  isMissing = false;

  constructor(count: number) {
    this.runs = Array.from({ length: count }, (_, n) => recorded(`r${count - n}`));
  }

  async request<T>(path: string, options: IRequest = {}): Promise<T> {
    expect(path).toBe('runs');
    if (this.isMissing) {
      throw new Refused(503, { message: 'pip install', reason: 'no-ledger' });
    }
    const limit = Number(options.query?.limit);
    const before = options.query?.before;
    const from = before ? this.runs.findIndex(run => run.id === before) + 1 : 0;
    const runs = this.runs.slice(from, from + limit);
    const next = from + limit < this.runs.length ? runs[runs.length - 1].id : null;
    return { runs, next, currency: 'EUR' } as RunList as T;
  }

  poll(): never {
    throw new Error('not asked for');
  }
}

describe('merged', () => {
  it('tells what goes on first, and each run once', () => {
    const rows = merged(
      [live('r3', 'running'), live('r4', 'queued')],
      [recorded('r3', 'running'), recorded('r2')]
    );
    expect(rows.map(run => [run.id, run.state, run.isGoing])).toEqual([
      ['r3', 'running', true],
      ['r4', 'queued', true],
      ['r2', 'ok', false]
    ]);
  });

  it('tells who is said to have run it, as soon as that is on record', () => {
    const known = { ...recorded('r2', 'running'), said_by: 'Ada' };
    const rows = merged([live('r1', 'queued'), live('r2', 'running')], [known, { ...known, id: 'r0' }]);
    expect(rows.map(run => run.saidBy)).toEqual([null, 'Ada', 'Ada']);
  });

  it('tells how far an upload is, and what was sent, as sessions do before any record', () => {
    const waiting = { ...live('r1', 'queued'), arrived_bytes: 10, arriving_bytes: 40 };
    const rows = merged([waiting, { ...live('r2', 'running'), sent_bytes: 70 }], [recorded('r2', 'running')]);
    expect(rows.map(run => [run.arrived, run.arriving, run.sent])).toEqual([
      [10, 40, null],
      [null, null, 70]
    ]);
  });

  it('knows that a run is over before the record does', () => {
    const rows = merged([], [recorded('r1', 'running'), { ...recorded('r0', 'running'), is_live: false }]);
    expect(rows.map(run => [run.state, run.isGoing])).toEqual([
      ['ending', false],
      ['running', false]
    ]);
  });

  it('has how a run ended from the record, when a session still holds its results', () => {
    expect(merged([live('r1', 'untaken')], [recorded('r1', 'error')]).map(run => run.state)).toEqual([
      'error'
    ]);
    expect(merged([live('r1', 'untaken')], []).map(run => run.state)).toEqual(['untaken']);
  });
});

describe('Runs', () => {
  it('reads page after page to the end, and each run once', async () => {
    const runs = new Runs(new Ledger(250));
    await runs.refresh();
    expect(runs.recorded.length).toBe(100);
    while (runs.hasMore) {
      await runs.more();
    }
    expect(runs.recorded.map(run => run.id)).toEqual(Array.from({ length: 250 }, (_, n) => `r${250 - n}`));
    expect(runs.currency).toBe('EUR');
  });

  it('reads more although it was busy when that was asked for', async () => {
    const runs = new Runs(new Ledger(250));
    await runs.refresh();
    const refreshed = runs.refresh();
    await runs.more();
    await refreshed;
    expect(runs.recorded.length).toBe(200);
  });

  it('puts new runs on top and keeps the older ones', async () => {
    const ledger = new Ledger(150);
    const runs = new Runs(ledger);
    await runs.refresh();
    await runs.more();
    ledger.runs.unshift(recorded('new', 'running'));
    await runs.refresh();
    expect(runs.recorded.length).toBe(151);
    expect(runs.recorded[0].id).toBe('new');
    expect(runs.hasMore).toBe(false);
  });

  it('begins anew when more runs have come than a page has', async () => {
    const ledger = new Ledger(120);
    const runs = new Runs(ledger);
    await runs.refresh();
    ledger.runs = [...Array.from({ length: 130 }, (_, n) => recorded(`n${n}`)), ...ledger.runs];
    await runs.refresh();
    expect(runs.recorded.map(run => run.id)).toEqual(Array.from({ length: 100 }, (_, n) => `n${n}`));
    expect(runs.hasMore).toBe(true);
  });

  it('keeps a run on the list between its end and its record', async () => {
    const ledger = new Ledger(0);
    const runs = new Runs(ledger);
    const states = (of: LiveRun[]) => runs.rows(of).map(run => [run.id, run.state]);
    await runs.refresh();
    expect(states([live('r1', 'running')])).toEqual([['r1', 'running']]);
    expect(states([])).toEqual([['r1', 'ending']]);
    await runs.refresh();
    expect(states([])).toEqual([['r1', 'ending']]);
    ledger.runs = [recorded('r1', 'error')];
    await runs.refresh();
    expect(states([])).toEqual([['r1', 'error']]);
  });

  it('lets go of a run that the record has had the time for', async () => {
    const runs = new Runs(new Ledger(0));
    const ended = Date.now() - WRITTEN_MS;
    runs.rows([live('r1', 'queued')], [], ended - 1);
    expect(runs.rows([], [], ended).length).toBe(1);
    await runs.refresh();
    expect(runs.rows([])).toEqual([]);
  });

  it('says that there is no record', async () => {
    const ledger = new Ledger(1);
    ledger.isMissing = true;
    const runs = new Runs(ledger);
    await runs.refresh();
    expect(runs.isLoaded).toBe(true);
    expect(runs.problem).toMatchObject({ reason: 'no-ledger' });
    ledger.isMissing = false;
    await runs.refresh();
    expect(runs.problem).toBeNull();
  });
});
