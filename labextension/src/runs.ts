/** The ledger's runs as pages, with those in progress on top. State, no DOM. */

import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';
import type { IRequests } from './requests';
import type { LiveRun, RunFace, RunList } from './wire';

const PAGE = 100;
/** Within it a notebook has written of a run that has just ended. */
export const WRITTEN_MS = 3000;

/** One row, wherever it comes from. */
export interface IRunRow {
  id: string;
  target: string;
  session: string | null;
  notebook: string | null;
  /** Its id in the notebook. */
  cell: string | null;
  /** Who ran it, as the page said that sent it: nobody has checked that. */
  saidBy: string | null;
  state: string;
  /** Seconds since the epoch. */
  started: number | null;
  /** Null while it goes on. */
  seconds: number | null;
  sent: number | null;
  received: number | null;
  /** Bytes of its buffers that are there, and of all, while they are on their way. */
  arrived: number | null;
  arriving: number | null;
  cost: number | null;
  hasLog: boolean;
  isGoing: boolean;
}

/** A run that is over, of which the record does not know yet how it ended. */
export const ENDING = 'ending';

function fromLedger(run: RunFace): IRunRow {
  return {
    ...{ id: run.id, target: run.target, session: run.session, notebook: run.notebook, cell: run.cell },
    ...{ saidBy: run.said_by, state: run.state, started: run.started },
    ...{ seconds: run.seconds, sent: run.sent_bytes, received: run.received_bytes, cost: run.cost },
    ...{ arrived: null, arriving: null },
    hasLog: run.is_live,
    isGoing: run.is_live && (run.state === 'queued' || run.state === 'running')
  };
}

function fromSession(run: LiveRun, record?: RunFace): IRunRow {
  return {
    ...{ id: run.id, target: run.target, session: run.session, notebook: run.notebook, state: run.state },
    cell: run.cell ?? record?.cell ?? null,
    saidBy: record?.said_by ?? null,
    started: run.started ?? record?.started ?? (run.seen_from_start ? run.since : null),
    seconds: null,
    sent: run.sent_bytes ?? record?.sent_bytes ?? null,
    ...{ arrived: run.arrived_bytes, arriving: run.arriving_bytes },
    received: record?.received_bytes ?? null,
    cost: null,
    hasLog: true,
    isGoing: run.state !== 'untaken'
  };
}

/**
 * Those in progress as sessions tell, then the ledger's; what both know is told once, with the state of now.
 * `leaving`: those that sessions no longer tell of, and of which the record may not know yet.
 */
export function merged(
  live: readonly LiveRun[],
  recorded: readonly RunFace[],
  sessions: readonly { id: string }[] = [],
  leaving: readonly LiveRun[] = []
): IRunRow[] {
  const known = new Map(recorded.map(run => [run.id, run]));
  const going = live
    .filter(run => run.state !== 'untaken' || !known.has(run.id))
    .map(run => fromSession(run, known.get(run.id)));
  const gone = leaving.filter(run => !known.has(run.id));
  going.push(...gone.map(run => ({ ...fromSession(run), state: ENDING, isGoing: false })));
  const told = new Set(going.map(run => run.id));
  const others = recorded.filter(run => !told.has(run.id)).map(fromLedger);
  // A session that was found since.
  const alive = new Set(sessions.map(session => session.id));
  others.forEach(run => (run.hasLog ||= run.session !== null && alive.has(run.session)));
  // Its session no longer knows it, and its notebook has not written yet how it ended.
  return [...going, ...others.map(run => (run.isGoing ? { ...run, state: ENDING, isGoing: false } : run))];
}

export class Runs {
  constructor(private readonly _requests: IRequests) {}

  /** Of the ledger, the newest first, as far as they were asked for. */
  get recorded(): readonly RunFace[] {
    return this._recorded;
  }

  get currency(): string {
    return this._currency;
  }

  /** Why there are none, or no more. */
  get problem(): Error | null {
    return this._problem;
  }

  get isLoaded(): boolean {
    return this._isLoaded;
  }

  /** How often the record has answered, or could not. */
  get answers(): number {
    return this._answers;
  }

  get hasMore(): boolean {
    return this._next !== null;
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /**
   * All of them, with what sessions tell now. A run of which they no longer tell stays on the list until the record has it, or has had
   * the time to.
   */
  rows(live: readonly LiveRun[], sessions: readonly { id: string }[] = [], now = Date.now()): IRunRow[] {
    const alive = new Set(live.map(run => run.id));
    const known = new Set(this._recorded.map(run => run.id));
    for (const [id, seen] of this._live) {
      if (!alive.has(id)) {
        this._live.delete(id);
        this._leaving.set(id, { run: seen, since: now });
      }
    }
    live.forEach(run => this._live.set(run.id, run));
    for (const id of [...this._leaving.keys()]) {
      if (alive.has(id) || known.has(id)) {
        this._leaving.delete(id);
      }
    }
    const leaving = [...this._leaving.values()].map(each => each.run);
    return merged(live, this._recorded, sessions, leaving);
  }

  /** The newest page anew; older ones that were asked for stay. */
  async refresh(): Promise<void> {
    await this._ask(null);
  }

  async more(): Promise<void> {
    if (this._next !== null) {
      await this._ask(this._next);
    }
  }

  private async _ask(before: string | null): Promise<void> {
    if (this._asking) {
      // Asked again when this is over: whoever wants more wants it only once.
      if (before === null) {
        this._again = true;
      } else {
        this._wantsMore = true;
      }
      return;
    }
    this._asking = true;
    const asked = Date.now();
    try {
      const page = await this._requests.request<RunList>('runs', { query: { limit: PAGE, before } });
      const fresh = new Set(page.runs.map(run => run.id));
      if (before !== null) {
        this._recorded = [...this._recorded.filter(run => !fresh.has(run.id)), ...page.runs];
        this._next = page.next;
      } else {
        const overlap = this._recorded.findIndex(run => fresh.has(run.id));
        // If nothing overlaps, more runs have come than a page has: what is kept would leave a gap.
        const older = overlap < 0 ? [] : this._recorded.filter(run => !fresh.has(run.id));
        this._next = older.length ? this._next : page.next;
        this._recorded = [...page.runs, ...older];
      }
      this._currency = page.currency;
      this._problem = null;
    } catch (error) {
      this._problem = error instanceof Error ? error : new Error(String(error));
    } finally {
      for (const [id, { since }] of this._leaving) {
        if (before === null && asked - since >= WRITTEN_MS) {
          this._leaving.delete(id);
        }
      }
      this._asking = false;
      this._answers += 1;
      this._isLoaded = true;
    }
    this._changed.emit();
    if (this._again) {
      this._again = false;
      await this._ask(null);
    } else if (this._wantsMore) {
      this._wantsMore = false;
      await this.more();
    }
  }

  private readonly _changed = new Signal<this, void>(this);
  private readonly _live = new Map<string, LiveRun>();
  private readonly _leaving = new Map<string, { run: LiveRun; since: number }>();
  private _recorded: RunFace[] = [];
  private _currency = '';
  private _next: string | null = null;
  private _problem: Error | null = null;
  private _isLoaded = false;
  private _answers = 0;
  private _asking = false;
  private _again = false;
  private _wantsMore = false;
}
