/**
 * A line above each remote cell: where it runs, how that goes, since when. Drawn in the cell's header, which a notebook keeps with the
 * cell when it moves or goes out of sight; nothing of it is in the document.
 */

import type { Cell, CodeCell, ICodeCellModel } from '@jupyterlab/cells';
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';
import type { IRemoteLine } from './cellline';
import { remoteLine } from './cellline';
import { bytes, duration } from './format';
import type { IFarcell } from './tokens';
import type { EndedRun, LiveRun, SessionFace } from './wire';

const CLASS = 'jp-farcell-Badge';
/** The server has looked at this machine's sessions by then. */
const LOOK_MS = 5000;
/** And so soon after a run's end its session has told what travelled. */
const MOVED_MS = 5000;

/** What this page has seen of a cell's last run. */
interface ISeen {
  state: 'queued' | 'running' | 'done' | 'failed' | 'skipped';
  /** Milliseconds of this page's clock. */
  began: number | null;
  ended: number | null;
  /** The `msg_id` of the request that ran it; null where the front end does not tell. */
  request?: string | null;
  /** What travelled, once its session has told. */
  moved?: EndedRun;
}

/** Bytes, as far as they are known. */
interface IMoved {
  sent?: number | null;
  received?: number | null;
}

interface IBadge {
  state: string;
  words: string[];
  more: IMoved;
}

export interface IFinished {
  cell: Cell;
  seconds: number;
  isOk: boolean;
  target: string | null;
}

export namespace CellBadges {
  export interface IOptions {
    panel: NotebookPanel;
    model: IFarcell;
    trans: TranslationBundle;
    /** The server's path of a notebook, as sessions know it. */
    isSame: (notebook: string, path: string) => boolean;
  }
}

function moved({ sent, received }: IMoved): string[] {
  return [[sent ? `↑ ${bytes(sent)}` : '', received ? `↓ ${bytes(received)}` : ''].filter(Boolean).join(' ')];
}

/** Of one notebook. */
export class CellBadges implements IDisposable {
  constructor(private readonly _options: CellBadges.IOptions) {
    const { panel, model } = _options;
    panel.disposed.connect(this.dispose, this);
    model.changed.connect(this._redraw, this);
    panel.content.modelContentChanged.connect(this._plan, this);
    panel.content.model?.cells.changed.connect(this._plan, this);
    panel.content.modelChanged.connect(this._plan, this);
    panel.content.cellInViewportChanged?.connect(this._plan, this);
    this._plan();
    void this._lookOnce();
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** A remote cell of this notebook has run to its end while this page looked on. */
  get finished(): ISignal<this, IFinished> {
    return this._finished;
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    window.clearInterval(this._timer);
    this._lease?.dispose();
    this._options.model.changed.disconnect(this._redraw, this);
    Signal.clearData(this);
  }

  /** Called when a cell was given to the kernel. */
  scheduled(cell: Cell): void {
    if (cell.model.type === 'code') {
      this._seen.set(cell.model as ICodeCellModel, { state: 'queued', began: null, ended: null });
      this._connect(cell);
      this._draw(cell);
      this._keepTime();
    }
  }

  /** Called when a cell has run to its end. */
  executed(cell: Cell, isOk: boolean): void {
    const seen = this._seen.get(cell.model as ICodeCellModel);
    if (!seen) {
      return;
    }
    const ended = Date.now();
    this._seen.set(cell.model as ICodeCellModel, {
      state: isOk ? 'done' : 'failed',
      began: seen.began,
      ended,
      request: (cell as CodeCell).outputArea.future?.msg.header.msg_id ?? null
    });
    const line = remoteLine(cell.model.sharedModel.getSource());
    if (line) {
      const seconds = seen.began === null ? 0 : (ended - seen.began) / 1000;
      this._finished.emit({ cell, seconds, isOk, target: line.target });
    }
    this._draw(cell);
    this._keepTime();
  }

  /** What goes on of this notebook since before it was opened here; nothing is asked if it has no remote cell. */
  private async _lookOnce(): Promise<void> {
    const { panel, model } = this._options;
    const cells = panel.content.model?.sharedModel.cells ?? [];
    if (!cells.some(cell => cell.cell_type === 'code' && remoteLine(cell.getSource()))) {
      return;
    }
    const lease = model.watch();
    await new Promise(resolve => window.setTimeout(resolve, LOOK_MS));
    lease.dispose();
  }

  /** Changes come in flocks: once for all of them. */
  private _plan(): void {
    if (!this._isPlanned && !this._isDisposed) {
      this._isPlanned = true;
      requestAnimationFrame(() => {
        this._isPlanned = false;
        if (!this._isDisposed) {
          this._drawAll();
          this._keepTime();
        }
      });
    }
  }

  private _redraw(): void {
    this._drawAll();
    this._keepTime();
  }

  private _drawAll(): void {
    for (const cell of this._options.panel.content.widgets) {
      this._connect(cell);
      this._draw(cell);
    }
  }

  private _connect(cell: Cell): void {
    if (cell.model.type !== 'code' || this._connected.has(cell)) {
      return;
    }
    this._connected.add(cell);
    const model = cell.model as ICodeCellModel;
    model.stateChanged.connect((_, change) => {
      if (String(change.name) !== 'executionState') {
        return;
      }
      const seen = this._seen.get(model);
      if (model.executionState === 'running') {
        // The kernel has begun with it.
        const began = seen?.ended === null ? seen.began : null;
        this._seen.set(model, { state: 'running', began: began ?? Date.now(), ended: null });
      } else if (seen?.state === 'running') {
        // Of a cell that another page of a shared notebook has run, this is all there is to know of its end.
        const isError = model.sharedModel.getOutputs().some(output => output.output_type === 'error');
        const state = model.executionCount === null ? 'skipped' : isError ? 'failed' : 'done';
        this._seen.set(model, { ...seen, state, ended: Date.now() });
      } else {
        return;
      }
      this._draw(cell);
      this._keepTime();
    });
    void cell.ready.then(() => this._draw(cell)).catch(() => undefined);
  }

  private _draw(cell: Cell): void {
    if (this._isDisposed || cell.isDisposed || cell.model.type !== 'code') {
      return;
    }
    const header = cell.node.querySelector(':scope > .jp-CellHeader');
    if (!header) {
      return; // not drawn yet, as it is out of sight
    }
    let badge = header.querySelector<HTMLElement>(`:scope > .${CLASS}`);
    const line = remoteLine(cell.model.sharedModel.getSource());
    if (!line) {
      badge?.remove();
      return;
    }
    if (!badge) {
      badge = document.createElement('div');
      badge.className = CLASS;
      header.appendChild(badge);
    }
    const { trans } = this._options;
    const { state, words, more } = this._words(cell.model as ICodeCellModel, line);
    const target = line.target ?? this._options.model.snapshot?.default_target ?? trans.__('default target');
    const parts = [target, line.isDetached ? trans.__('detached') : null, ...words, ...moved(more)];
    const text = parts.filter(Boolean).join(' · ');
    if (badge.dataset.state !== state || badge.textContent !== text) {
      const dot = document.createElement('span');
      dot.className = `jp-farcell-Dot jp-mod-${state}`;
      dot.setAttribute('aria-hidden', 'true');
      const label = document.createElement('span');
      label.textContent = text;
      badge.replaceChildren(dot, label);
      badge.dataset.state = state;
      badge.title = [trans.__('This cell runs on %1', target), ...this._spelled(more)].join('\n');
    }
  }

  /** In words, what arrows stand for. */
  private _spelled({ sent, received }: IMoved): string[] {
    const { trans } = this._options;
    return [
      sent ? trans.__('%1 sent', bytes(sent)) : '',
      received ? trans.__('%1 received', bytes(received)) : ''
    ].filter(Boolean);
  }

  private _words(model: ICodeCellModel, line: IRemoteLine): IBadge {
    const { trans } = this._options;
    const { target } = line;
    const seen = this._seen.get(model);
    const more: IMoved = {};
    // Detached, or begun before this page was loaded.
    const run = this._run(model.id);
    if (run && seen?.state !== 'running' && model.executionState !== 'running') {
      const elapsed = run.started === null ? [] : [duration(Date.now() / 1000 - run.started)];
      return run.state === 'queued'
        ? { state: 'queued', words: [...this._arriving(run, trans.__('queued'))], more }
        : { state: 'running', words: [trans.__('running'), ...elapsed], more: { sent: run.sent_bytes } };
    }
    const isRunning = model.executionState === 'running' || seen?.state === 'running';
    if (seen?.state === 'done' || seen?.state === 'failed') {
      const took =
        seen.began !== null && seen.ended !== null ? duration((seen.ended - seen.began) / 1000) : null;
      const word = seen.state === 'done' ? trans.__('done') : trans.__('failed');
      const travelled = this._moved(model, seen);
      const how = { more: { sent: travelled?.sent_bytes, received: travelled?.received_bytes } };
      if (line.isDetached && seen.state === 'done') {
        return { state: 'none', words: [], ...how }; // it was handed over, which is not its end
      }
      const state = seen.state === 'done' ? 'ok' : 'error';
      return { state, words: took ? [word, took] : [word], ...how };
    }
    if (seen?.state === 'skipped') {
      return { state: 'none', words: [trans.__('not run')], more };
    }
    if (isRunning) {
      const began = seen?.began ?? (run?.started ? run.started * 1000 : null);
      const elapsed = began === null ? [] : [duration((Date.now() - began) / 1000)];
      const session = this._session(target);
      if (session?.state === 'waiting') {
        return { state: 'waiting', words: [session.detail ?? trans.__('in the queue'), ...elapsed], more };
      }
      if (session?.state === 'starting') {
        return { state: 'starting', words: [trans.__('starting'), ...elapsed], more };
      }
      const words = run ? this._arriving(run, trans.__('running')) : [trans.__('running')];
      return { state: 'running', words: [...words, ...elapsed], more: { sent: run?.sent_bytes } };
    }
    return seen?.state === 'queued'
      ? { state: 'queued', words: [trans.__('waits for its turn')], more }
      : { state: 'none', words: [], more };
  }

  /** How much of what it needs is there while that is on its way, else `word`. */
  private _arriving(run: LiveRun, word: string): string[] {
    const { arrived_bytes: arrived, arriving_bytes: all } = run;
    return all ? [this._options.trans.__('%1 of %2 sent', bytes(arrived ?? 0), bytes(all))] : [word];
  }

  /** As its session has told by now. */
  private _moved(model: ICodeCellModel, seen: ISeen): EndedRun | undefined {
    if (!seen.moved) {
      const ended = this._options.model.snapshot?.runs_ended ?? [];
      const found = ended.filter(run =>
        seen.request ? run.request === seen.request : run.cell === model.id
      );
      seen.moved = found[found.length - 1];
    }
    return seen.moved;
  }

  /** Of a cell of this notebook, as its session tells. */
  private _run(cell: string): LiveRun | undefined {
    const { model, panel, isSame } = this._options;
    return model.snapshot?.runs_in_progress.find(
      run =>
        run.cell === cell &&
        run.state !== 'untaken' &&
        !!run.notebook &&
        isSame(run.notebook, panel.context.path)
    );
  }

  private _session(target: string | null): SessionFace | undefined {
    const { model, panel, isSame } = this._options;
    const name = target ?? model.snapshot?.default_target;
    return model.snapshot?.sessions.find(
      each => each.target === name && !!each.notebook && isSame(each.notebook, panel.context.path)
    );
  }

  /** The clock and the server's eye only while a remote cell waits or runs. */
  private _keepTime(): void {
    const isGoing = this._options.panel.content.widgets.some(cell => {
      if (cell.model.type !== 'code') {
        return false;
      }
      const model = cell.model as ICodeCellModel;
      const seen = this._seen.get(model);
      const goes =
        model.executionState === 'running' ||
        seen?.state === 'running' ||
        seen?.state === 'queued' ||
        !!this._run(model.id) ||
        (seen && !seen.moved && seen.ended !== null && Date.now() - seen.ended < MOVED_MS);
      return goes && remoteLine(model.sharedModel.getSource()) !== null;
    });
    if (isGoing && this._timer === undefined) {
      this._timer = window.setInterval(() => this._redraw(), 1000);
      this._lease = this._options.model.watch();
    } else if (!isGoing && this._timer !== undefined) {
      window.clearInterval(this._timer);
      this._timer = undefined;
      this._lease?.dispose();
      this._lease = null;
    }
  }

  private readonly _finished = new Signal<this, IFinished>(this);
  private readonly _seen = new WeakMap<ICodeCellModel, ISeen>();
  private readonly _connected = new WeakSet<Cell>();
  private _timer: number | undefined = undefined;
  private _lease: IDisposable | null = null;
  private _isPlanned = false;
  private _isDisposed = false;
}
