/**
 * Tells of a session's end a while before it, once. What is planned comes from what the page knows anyway; that it still holds is
 * asked at its time, of the one session, so that between a run and the end of its session nothing is asked at all. No DOM.
 */

import type { TranslationBundle } from '@jupyterlab/translation';
import type { IDisposable } from '@lumino/disposable';
import { duration, moment } from './format';
import { path } from './requests';
import type { IFarcell } from './tokens';
import type { SessionDetail, SessionFace } from './wire';

/** Ends that are told to be as close as this are one end. */
const SAME_S = 5;
/** What began to be told long before is told again so shortly before. */
const LAST_S = 60;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** When and why, in a few words. */
export function endText(session: SessionFace, now: number, trans: TranslationBundle): string {
  const left = duration((session.ends_at ?? now) - now);
  switch (session.ends_why) {
    case 'idle':
      return trans.__('ends in %1 if nothing is run on it', left);
    case 'unattended':
      return trans.__('ends in %1 if no notebook connects', left);
    default:
      return trans.__('ends in %1 with its job', left);
  }
}

/** With what can be done; JupyterLab cuts what is longer than 140 characters. */
export function endNotice(session: SessionFace, now: number, trans: TranslationBundle): string {
  const at = session.ends_at ?? now;
  const left = trans.__('at %1, in %2', moment(at), duration(at - now));
  switch (session.ends_why) {
    case 'idle':
      return trans.__(
        'Nothing was run on %1 for long: its session ends %2. Any cell on it keeps it.',
        session.target,
        left
      );
    case 'unattended':
      return trans.__(
        'No notebook is connected to %1: its session ends %2. A cell on it keeps it.',
        session.target,
        left
      );
    default:
      return trans.__(
        'The job of %1 ends %2: runs are interrupted, variables saved if they can be. Have what you need fetched.',
        session.target,
        left
      );
  }
}

export namespace Endings {
  export interface IOptions {
    model: IFarcell;
    /** Whether this page is where its end is to be told of. */
    isOwn: (session: SessionFace) => boolean;
    /** Shows it; told again, `earlier` is what it gave the first time. */
    tell: (session: SessionFace, earlier: string | null) => string;
    /** Its end has moved, or it is gone: what was shown is not true any more. */
    untell: (shown: string) => void;
  }
}

interface IPlan {
  endsAt: number;
  timer: number;
}

interface ITold {
  endsAt: number;
  shown: string;
  isLast: boolean;
}

export class Endings implements IDisposable {
  constructor(private readonly _options: Endings.IOptions) {
    _options.model.changed.connect(this._look, this);
    this._look();
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    this._isDisposed = true;
    this._options.model.changed.disconnect(this._look, this);
    this._plans.forEach(plan => window.clearTimeout(plan.timer));
    this._plans.clear();
  }

  private _look(): void {
    const { model } = this._options;
    if (!model.snapshot || model.problem) {
      return;
    }
    const known = new Set(model.snapshot.sessions.map(each => each.id));
    model.snapshot.sessions.forEach(each => this._plan(each));
    // Unwatched, a session that is not in the snapshot may only have been started since.
    if (model.isWatched) {
      [...this._plans.keys(), ...this._told.keys()]
        .filter(id => !known.has(id))
        .forEach(id => this._forget(id));
    }
  }

  /** For the next moment at which there is something to tell. */
  private _plan(session: SessionFace): void {
    const told = this._told.get(session.id);
    if (session.ends_at === null || !this._options.isOwn(session)) {
      this._forget(session.id);
      return;
    }
    if (told && Math.abs(told.endsAt - session.ends_at) > SAME_S) {
      this._forget(session.id);
    }
    const before = this._plans.get(session.id);
    if (before && Math.abs(before.endsAt - session.ends_at) <= SAME_S) {
      return;
    }
    const lead = this._lead(session);
    if (lead === null) {
      return;
    }
    window.clearTimeout(before?.timer);
    const wait = Math.max(0, 1000 * (session.ends_at - lead) - Date.now());
    const timer = window.setTimeout(() => void this.ask(session.id), Math.min(wait, LONGEST_TIMER_MS));
    this._plans.set(session.id, { endsAt: session.ends_at, timer });
  }

  /** How long before the end the next word is due; null if all was said. */
  private _lead(session: SessionFace): number | null {
    const told = this._told.get(session.id);
    const first = session.ends_lead_s ?? LAST_S;
    return !told ? first : !told.isLast ? LAST_S : null;
  }

  /** What is planned anew from what its session says now. */
  async ask(id: string): Promise<void> {
    const { model, isOwn, tell } = this._options;
    window.clearTimeout(this._plans.get(id)?.timer);
    this._plans.delete(id);
    let session: SessionDetail;
    try {
      session = await model.requests.request<SessionDetail>(path('sessions', id));
    } catch {
      this._forget(id); // it is gone, or nobody can say whether it is
      return;
    }
    if (this._isDisposed || session.ends_at === null || !isOwn(session)) {
      return;
    }
    const told = this._told.get(id);
    if (told && Math.abs(told.endsAt - session.ends_at) > SAME_S) {
      this._forget(id);
    }
    const left = session.ends_at - Date.now() / 1000;
    const lead = this._lead(session);
    if (lead !== null && left <= lead + SAME_S / 2) {
      const isLast = (session.ends_lead_s ?? 0) < 2 * LAST_S || left < 2 * LAST_S;
      const shown = tell(session, this._told.get(id)?.shown ?? null);
      this._told.set(id, { endsAt: session.ends_at, shown, isLast });
    }
    this._plan(session);
  }

  private _forget(id: string): void {
    window.clearTimeout(this._plans.get(id)?.timer);
    this._plans.delete(id);
    const told = this._told.get(id);
    if (told) {
      this._told.delete(id);
      this._options.untell(told.shown);
    }
  }

  private readonly _plans = new Map<string, IPlan>();
  private readonly _told = new Map<string, ITold>();
  private _isDisposed = false;
}
