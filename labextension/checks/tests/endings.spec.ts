import { nullTranslator } from '@jupyterlab/translation';
import { Signal } from '@lumino/signaling';
import { endNotice, Endings } from '../../src/endings';
import { Refused } from '../../src/requests';
import type { IFarcell } from '../../src/tokens';
import type { SessionFace } from '../../src/wire';

const START_S = 1_000_000;

/** A model whose sessions are set, with a server that knows the same of them. */
class Known {
  readonly changed = new Signal<Known, void>(this);
  problem: Error | null = null;
  isWatched = true;
  asked: string[] = [];
  sessions: SessionFace[] = [];

  get snapshot(): { sessions: SessionFace[] } {
    return { sessions: this.sessions };
  }

  requests = {
    request: async (path: string) => {
      this.asked.push(path);
      const found = this.sessions.find(each => path === `sessions/${each.id}`);
      if (!found) {
        throw new Refused(404, {});
      }
      return found;
    }
  };

  says(...sessions: Partial<SessionFace>[]): void {
    this.sessions = sessions.map(each => ({ id: 's', target: 'gpu-a', ...each }) as SessionFace);
    this.changed.emit();
  }
}

let known: Known;
let told: string[];
let untold: string[];
let endings: Endings;

beforeEach(() => {
  jest.useFakeTimers({ now: START_S * 1000 });
  known = new Known();
  told = [];
  untold = [];
  endings = new Endings({
    model: known as unknown as IFarcell,
    isOwn: session => session.target !== 'not-here',
    tell: (session, earlier) => {
      told.push(`${session.id} ${session.ends_why}${earlier ? ' again' : ''}`);
      return earlier ?? `notice ${session.id}`;
    },
    untell: shown => untold.push(shown)
  });
});

afterEach(() => {
  endings.dispose();
  expect(jest.getTimerCount()).toBe(0);
  jest.useRealTimers();
});

const idle = (in_s: number): Partial<SessionFace> => ({
  ends_at: START_S + in_s,
  ends_why: 'idle',
  ends_lead_s: 300
});

describe('Endings', () => {
  it('tells five minutes before, and again one minute before, and asks at no other time', async () => {
    known.says(idle(3600));
    await jest.advanceTimersByTimeAsync(3299_000);
    expect([known.asked, told]).toEqual([[], []]);
    await jest.advanceTimersByTimeAsync(2_000);
    expect(told).toEqual(['s idle']);
    known.changed.emit();
    await jest.advanceTimersByTimeAsync(238_000);
    expect(told).toEqual(['s idle']);
    await jest.advanceTimersByTimeAsync(60_000);
    expect(told).toEqual(['s idle', 's idle again']);
    expect(known.asked).toHaveLength(2);
  });

  it('tells once of what is short', async () => {
    known.says({ ...idle(40), ends_lead_s: 10 });
    await jest.advanceTimersByTimeAsync(60_000);
    expect(told).toEqual(['s idle']);
  });

  it('tells at once of an end that is near when it is first heard of', async () => {
    known.says(idle(100));
    await jest.advanceTimersByTimeAsync(0);
    expect(told).toEqual(['s idle']);
  });

  it('finds at its time that the end has moved, which nobody had told', async () => {
    known.says(idle(600));
    known.sessions = known.sessions.map(each => ({ ...each, ends_at: START_S + 900 }));
    await jest.advanceTimersByTimeAsync(301_000);
    expect([known.asked.length, told]).toEqual([1, []]);
    await jest.advanceTimersByTimeAsync(300_000);
    expect(told).toEqual(['s idle']);
  });

  it('takes back what is no longer true', async () => {
    known.says(idle(100));
    await jest.advanceTimersByTimeAsync(0);
    known.says({ ends_at: null, ends_why: null });
    expect(untold).toEqual(['notice s']);
    known.says(idle(4000));
    await jest.advanceTimersByTimeAsync(3705_000);
    expect(told).toEqual(['s idle', 's idle']);
  });

  it('says nothing of a session that is gone, or that is of another page', async () => {
    known.says(idle(600), { ...idle(600), id: 't', target: 'not-here' });
    known.sessions = [];
    await jest.advanceTimersByTimeAsync(600_000);
    expect([known.asked, told]).toEqual([['sessions/s'], []]);
  });

  it('forgets a session that is over, unless nobody looks', async () => {
    known.says(idle(600));
    known.isWatched = false;
    known.says();
    known.isWatched = true;
    expect(jest.getTimerCount()).toBe(1);
    known.says();
    expect(jest.getTimerCount()).toBe(0);
  });

  it('says why, when, and what can be done', () => {
    const trans = nullTranslator.load('farcell');
    const notice = (why: SessionFace['ends_why']) =>
      endNotice({ ...idle(125), target: 'gpu-a', ends_why: why } as SessionFace, START_S, trans);
    const longest = ['idle', 'unattended', 'wall-time'] as const;
    longest.forEach(why => expect(notice(why).length).toBeLessThanOrEqual(140));
    expect(notice('idle')).toMatch(
      /gpu-a for long: its session ends at .*, in 2:05\. Any cell on it keeps it/
    );
    expect(notice('unattended')).toMatch(/No notebook .* gpu-a: its session ends .*in 2:05\. A cell on it/);
    expect(notice('wall-time')).toMatch(/The job of gpu-a ends .*in 2:05: runs are interrupted/);
  });
});
