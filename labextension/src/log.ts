/** What a run has shown, in a tab of its own; goes on while it is seen and the run goes on. */

import { MainAreaWidget } from '@jupyterlab/apputils';
import { OutputAreaModel, SimplifiedOutputArea } from '@jupyterlab/outputarea';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { IDisposable } from '@lumino/disposable';
import type { Message } from '@lumino/messaging';
import { Panel, Widget } from '@lumino/widgets';
import { Poll } from '@lumino/polling';
import { bytes } from './format';
import { path, Refused } from './requests';
import type { IFarcell } from './tokens';
import { Transcript } from './transcript';
import type { RunLog } from './wire';

const FOLLOW_MS = 1000;
const PAGE = 500;

export namespace RunLogWidget {
  export interface IOptions {
    model: IFarcell;
    rendermime: IRenderMimeRegistry;
    trans: TranslationBundle;
    run: string;
  }
}

class Content extends Panel {
  constructor(private readonly _options: RunLogWidget.IOptions) {
    super();
    const { rendermime, trans } = _options;
    this.addClass('jp-farcell-Log');
    this._status = new Widget();
    this._status.addClass('jp-farcell-Log-status');
    this._status.node.setAttribute('role', 'status');
    this._status.node.textContent = trans.__('Loading…');
    // Not trusted: what came from a target is shown without its scripts.
    this._shown = new OutputAreaModel({ trusted: false });
    this._area = new SimplifiedOutputArea({ model: this._shown, rendermime });
    this.addWidget(this._status);
    this.addWidget(this._area);
    this._poll = new Poll({
      auto: false,
      name: 'farcell:log',
      factory: () => this._read(),
      frequency: { interval: FOLLOW_MS, backoff: true, max: 30_000 },
      standby: () => (this.isVisible ? 'when-hidden' : true)
    });
  }

  override dispose(): void {
    this._poll.dispose();
    this._lease?.dispose();
    super.dispose();
  }

  protected override onAfterShow(msg: Message): void {
    super.onAfterShow(msg);
    this._follow();
  }

  protected override onAfterAttach(msg: Message): void {
    super.onAfterAttach(msg);
    if (this.isVisible) {
      this._follow();
    }
  }

  protected override onAfterHide(msg: Message): void {
    super.onAfterHide(msg);
    this._rest();
  }

  private _follow(): void {
    if (!this._isOver) {
      // The server finds sessions only while somebody watches.
      this._lease ??= this._options.model.watch();
      void this._poll.start();
      void this._poll.refresh();
    }
  }

  private _rest(): void {
    this._lease?.dispose();
    this._lease = null;
    void this._poll.stop();
  }

  private async _read(): Promise<void> {
    const { model, run, trans } = this._options;
    try {
      let log: RunLog;
      do {
        const query = { after: this._after, limit: PAGE };
        log = await model.requests.request<RunLog>(`${path('runs', run)}/log`, { query });
        if (this.isDisposed) {
          return;
        }
        this._show(log);
      } while (log.next !== null);
      this._isOver = log.is_over;
      const state = log.is_over ? trans.__('over') : trans.__('goes on');
      const part = log.is_whole
        ? ''
        : ` · ${trans.__('its beginning was dropped, for the quota of the journal')}`;
      const none = this._transcript.outputs.length ? '' : ` · ${trans.__('it has shown nothing')}`;
      this._status.node.textContent = `${log.target} · ${run} · ${state}${part}${none}`;
    } catch (error) {
      this._status.node.textContent = error instanceof Error ? error.message : String(error);
      if (error instanceof Refused && error.status === 404) {
        this._isOver = true;
      } else {
        throw error;
      }
    }
    if (this._isOver) {
      this._rest();
    }
  }

  private _show(log: RunLog): void {
    const { trans } = this._options;
    const before = this._transcript.outputs.length;
    let isAppended = true;
    for (const output of log.outputs) {
      const note = (count: number) => trans.__('[%1 are not shown here]', bytes(count)) + '\n';
      isAppended = this._transcript.add(output, note) && isAppended;
      this._after = output.number;
    }
    if (isAppended) {
      this._transcript.outputs.slice(before).forEach(output => this._shown.add(output));
    } else {
      this._shown.fromJSON(this._transcript.outputs);
    }
  }

  private readonly _status: Widget;
  private readonly _shown: OutputAreaModel;
  private readonly _area: SimplifiedOutputArea;
  private readonly _poll: Poll;
  private readonly _transcript = new Transcript();
  private _lease: IDisposable | null = null;
  private _after: number | null = null;
  private _isOver = false;
}

export class RunLogWidget extends MainAreaWidget<Widget> {
  constructor(options: RunLogWidget.IOptions) {
    super({ content: new Content(options) });
    this.toolbar.hide();
  }
}
