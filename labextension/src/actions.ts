/** What a person may do to a session, with the questions that come first. */

import { Dialog, Notification, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { IRequests } from './requests';
import { path, Refused } from './requests';
import type { Done, SessionFace } from './wire';

export class Actions {
  constructor(
    private readonly _requests: IRequests,
    private readonly _trans: TranslationBundle
  ) {}

  /** Ends it, and with it the variables there. */
  async stop(session: SessionFace): Promise<void> {
    const trans = this._trans;
    await this._asked(
      session,
      'stop',
      trans.__('Stop the session on %1?', session.target),
      trans.__('What it holds is lost, if a notebook has not fetched it.'),
      trans.__('Stop')
    );
  }

  /** A new kernel in place of the one there. */
  async restart(session: SessionFace): Promise<void> {
    const trans = this._trans;
    await this._asked(
      session,
      'restart',
      trans.__('Restart the kernel on %1?', session.target),
      trans.__('All variables there are lost; the notebook keeps its own.'),
      trans.__('Restart')
    );
  }

  async interrupt(session: SessionFace, run: string | null = null): Promise<void> {
    await this._do(session, 'interrupt', { run });
  }

  /** Takes a run that waits, or without one the session's job, out of its queue. */
  async cancel(session: SessionFace, run: string | null = null): Promise<void> {
    const trans = this._trans;
    if (run !== null) {
      await this._do(session, 'cancel', { run });
      return;
    }
    const what =
      session.job === null ? session.target : trans.__('job %1 on %2', session.job, session.target);
    await this._asked(
      session,
      'cancel',
      trans.__('Cancel %1?', what),
      trans.__('It leaves the queue.'),
      trans.__('Cancel job')
    );
  }

  /** Asks, saying what would be lost; and again if by then it would be more than was said. */
  private async _asked(
    session: SessionFace,
    action: 'stop' | 'restart' | 'cancel',
    title: string,
    text: string,
    label: string
  ): Promise<void> {
    const trans = this._trans;
    const lost = (runs: readonly string[]) =>
      runs.length
        ? `${trans._n('One run has not brought its results here yet and is lost too: %2.', '%1 runs have not brought their results here yet and are lost too: %2.', runs.length, runs.slice(0, 5).join(', '))}`
        : '';
    const agreed = async (runs: readonly string[]) => {
      const body = [text, lost(runs)].filter(Boolean).join(' ');
      const buttons = [Dialog.cancelButton({ label: trans.__('Keep it') }), Dialog.warnButton({ label })];
      return (await showDialog({ title, body, buttons })).button.accept;
    };
    if (!(await agreed(session.runs_left))) {
      return;
    }
    const yes = session.runs_left.length > 0;
    try {
      await this._send(session, action, { yes });
    } catch (error) {
      if (!(error instanceof Refused && error.reason === 'runs-lost')) {
        this._tell(session, error);
      } else if (await agreed(error.runs)) {
        await this._do(session, action, { yes: true });
      }
    }
  }

  private async _do(session: SessionFace, action: string, body: object): Promise<void> {
    try {
      await this._send(session, action, body);
    } catch (error) {
      this._tell(session, error);
    }
  }

  private async _send(session: SessionFace, action: string, body: object): Promise<Done> {
    return this._requests.request<Done>(path('sessions', session.id, action), { method: 'POST', body });
  }

  private _tell(session: SessionFace, error: unknown): void {
    const said = error instanceof Error ? error.message : String(error);
    Notification.error(`${session.target}: ${said}`, { autoClose: false });
  }
}
