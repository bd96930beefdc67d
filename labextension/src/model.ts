/**
 * State of the page, no DOM.
 *
 * While somebody watches, the server holds a lease for this page and looks at places and hosts. It tells over Jupyter's event bus that
 * there is another snapshot, which is then fetched; so one WebSocket, which the page has anyway, carries two numbers.
 * The lease is renewed now and then, and the answer has the same two numbers: when they are ahead of what the bus has told, the bus is
 * down, and the page asks more often until it hears of it again.
 */

import type { Event } from '@jupyterlab/services';
import type { IDisposable } from '@lumino/disposable';
import { DisposableDelegate } from '@lumino/disposable';
import { Poll } from '@lumino/polling';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';
import type { IRequests } from './requests';
import { path } from './requests';
import type { IFarcell } from './tokens';
import type { Changed, Snapshot, Watch } from './wire';

export const SCHEMA_ID = 'https://github.com/farcell/farcell/events/changed/v1';
/** How long the server goes on looking for a page that has gone without a word. */
export const LEASE_S = 60;
const RENEW_MS = 20_000;
const WITHOUT_BUS_MS = 5_000;
const AWAY_MS = 3_000;
const SLOWEST_MS = 20_000;

export namespace Model {
  export interface IOptions {
    requests: IRequests;
    /** Jupyter's event bus. */
    events: Event.Stream;
    /** A word for this page that no other has. */
    page: string;
    standby?: Poll.Standby | (() => boolean | Poll.Standby);
    /** Between two renewals of the lease; and between two questions while the event bus is down. */
    renewMs?: number;
    withoutBusMs?: number;
  }
}

export class Model implements IFarcell {
  readonly requests: IRequests;

  constructor(options: Model.IOptions) {
    this.requests = options.requests;
    this._page = options.page;
    this._events = options.events;
    this._renewMs = options.renewMs ?? RENEW_MS;
    this._withoutBusMs = options.withoutBusMs ?? WITHOUT_BUS_MS;
    this._events.connect(this._told, this);
    this._poll = new Poll({
      auto: false,
      name: 'farcell:lease',
      factory: () => this._renew(),
      frequency: { interval: this._renewMs, backoff: true, max: SLOWEST_MS },
      standby: options.standby ?? 'when-hidden'
    });
  }

  get snapshot(): Snapshot | null {
    return this._snapshot;
  }

  get problem(): Error | null {
    return this._problem;
  }

  get isWatched(): boolean {
    return this._watchers > 0;
  }

  /** Whether the event bus was last seen to tell of changes. */
  get hasBus(): boolean {
    return this._hasBus;
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get isDisposed(): boolean {
    return this._poll.isDisposed;
  }

  dispose(): void {
    if (this.isDisposed) {
      return;
    }
    if (this.isWatched) {
      this._watchers = 0;
      this._release();
    }
    this._events.disconnect(this._told, this);
    this._poll.dispose();
    Signal.clearData(this);
  }

  watch(): IDisposable {
    this._watchers += 1;
    if (this._watchers === 1) {
      void this._begin();
      this._changed.emit();
    }
    return new DisposableDelegate(() => {
      if (this.isDisposed) {
        return;
      }
      this._watchers -= 1;
      if (this._watchers === 0) {
        void this._poll.stop();
        this._release();
        this._changed.emit();
      }
    });
  }

  async refresh(): Promise<void> {
    if (this.isWatched) {
      await this._poll.refresh();
    } else {
      await this._fetch();
    }
  }

  async look(): Promise<void> {
    await this.requests.request('refresh', { method: 'POST' });
  }

  /** The first question is asked at once, and its answer brings the snapshot along; from then on the lease is renewed. */
  private async _begin(): Promise<void> {
    this._latest = null;
    this._beginning += 1;
    const isAnswered = await this._renew(true).then(
      () => true,
      () => false
    );
    this._beginning -= 1;
    if (this.isWatched && !this.isDisposed) {
      const { interval } = this._poll.frequency;
      void this._poll.schedule({ interval, phase: isAnswered ? 'resolved' : 'rejected' });
      await this._catchUp();
    }
  }

  private async _renew(isFirst = false): Promise<void> {
    let watch: Watch;
    try {
      const body = { page: this._page, within_s: LEASE_S, snapshot: isFirst };
      watch = await this.requests.request<Watch>('watch', { method: 'POST', body });
    } catch (error) {
      this._fail(error);
      throw error; // which makes the poll back off
    }
    await this._fetching; // of what the bus may have told first
    if (this.isDisposed || !this.isWatched) {
      this._release();
      return;
    }
    if (watch.snapshot) {
      this._take(watch.snapshot);
      return;
    }
    const isBehind = this._isNews(watch);
    // The first snapshot is nobody's fault, nor are the first ones of another process.
    if (isBehind && this._snapshot?.server === watch.server && !this._problem) {
      this._setBus(false);
    }
    if (isBehind || this._problem) {
      await this._fetch();
      if (this._problem) {
        throw this._problem;
      }
    }
  }

  private _release(): void {
    // If it does not arrive, the lease runs out.
    this.requests.request(path('watch', this._page), { method: 'DELETE' }).catch(() => undefined);
  }

  private _told(_: unknown, emission: Event.Emission): void {
    if (emission.schema_id !== SCHEMA_ID || !this.isWatched) {
      return;
    }
    this._setBus(true);
    const told = emission as unknown as Changed;
    if (this._isNews(told)) {
      this._latest = told;
      void this._catchUp();
    }
  }

  /** What was told is fetched, unless it comes along with the answer to the first question. */
  private async _catchUp(): Promise<void> {
    if (!this._beginning && this._latest && this._isNews(this._latest)) {
      await this._fetch();
    }
  }

  private _setBus(hasBus: boolean): void {
    if (this._hasBus !== hasBus) {
      this._hasBus = hasBus;
      this._pace();
    }
  }

  private _setProblem(problem: Error | null): void {
    const wasThere = this._problem !== null;
    this._problem = problem;
    if (wasThere !== (problem !== null)) {
      this._pace();
    }
  }

  /** A server that is away is asked more often: who waits for it sees at once that it is back. */
  private _pace(): void {
    const usual = this._hasBus ? this._renewMs : this._withoutBusMs;
    const interval = this._problem ? Math.min(AWAY_MS, usual) : usual;
    this._poll.frequency = { interval, backoff: true, max: SLOWEST_MS };
  }

  private _isNews(told: Changed): boolean {
    const has = this._snapshot;
    return !has || told.server !== has.server || told.revision > has.revision;
  }

  /** One at a time: what is told meanwhile is fetched right after it, unless it came along. */
  private async _fetch(): Promise<void> {
    if (this._fetching) {
      return this._fetching;
    }
    this._fetching = this._fetchAll();
    try {
      await this._fetching;
    } finally {
      this._fetching = null;
    }
  }

  private async _fetchAll(): Promise<void> {
    let latest: Changed | null;
    do {
      latest = this._latest;
      try {
        const answer = await this.requests.poll<Snapshot>('snapshot', this._etag);
        if (this.isDisposed) {
          return;
        }
        if (answer.changed && this._isNews(answer.body)) {
          this._etag = answer.etag;
        }
        this._take(answer.changed ? answer.body : null);
      } catch (error) {
        this._fail(error);
        return;
      }
    } while (this._latest && this._latest !== latest && this._isNews(this._latest));
  }

  /** The server has answered, with null if nothing is new. */
  private _take(snapshot: Snapshot | null): void {
    const isNews = snapshot !== null && this._isNews(snapshot);
    const wasProblem = this._problem !== null;
    if (isNews) {
      this._snapshot = snapshot;
    }
    this._setProblem(null);
    if (isNews || wasProblem) {
      this._changed.emit();
    }
  }

  private _fail(error: unknown): void {
    if (this.isDisposed) {
      return;
    }
    const problem = error instanceof Error ? error : new Error(String(error));
    const isNew = this._problem?.message !== problem.message;
    this._setProblem(problem);
    if (isNew) {
      this._changed.emit();
    }
  }

  private readonly _page: string;
  private readonly _events: Event.Stream;
  private readonly _poll: Poll;
  private readonly _renewMs: number;
  private readonly _withoutBusMs: number;
  private readonly _changed = new Signal<this, void>(this);
  private _snapshot: Snapshot | null = null;
  private _etag: string | null = null;
  private _problem: Error | null = null;
  private _watchers = 0;
  /** First questions under way. */
  private _beginning = 0;
  private _hasBus = true;
  private _fetching: Promise<void> | null = null;
  private _latest: Changed | null = null;
}
