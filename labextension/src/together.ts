/**
 * What a notebook that several people edit at once (jupyter-collaboration) needs besides, beyond what JupyterLab does.
 *
 * Who ran the cell has its outputs from the kernel; everybody else has them from the shared document. JupyterLab 4.6 takes an output
 * of the document's that was replaced off the list and puts the new one at its end, so a card or a progress line above other outputs
 * would throw those out, one by one, on every other page (`CodeCellModel._onSharedModelChanged`).
 */

import type { ICodeCellModel } from '@jupyterlab/cells';
import type { IOutput } from '@jupyterlab/nbformat';
import type { INotebookTracker, Notebook, NotebookPanel } from '@jupyterlab/notebook';
import type { Kernel, User } from '@jupyterlab/services';
import { JSONExt } from '@lumino/coreutils';
import type { IDisposable } from '@lumino/disposable';
import { DisposableDelegate } from '@lumino/disposable';

/** Of all notebooks that this page opens. */
export function shareNotebooks(tracker: INotebookTracker, user: User.IManager): void {
  const share = (panel: NotebookPanel) => {
    introduce(panel, user);
    void panel.context.ready.then(() => {
      if (!panel.isDisposed) {
        const order = keepOrder(panel.content);
        panel.disposed.connect(() => order.dispose());
      }
    });
  };
  tracker.widgetAdded.connect((_, panel) => share(panel));
  tracker.forEach(share);
}

/** Keeps the outputs of a shared notebook in the document's order, also those of cells to come. */
function keepOrder(notebook: Notebook): IDisposable {
  const known = new WeakSet<ICodeCellModel>();
  const watch = () => {
    if (!notebook.model?.collaborative) {
      return;
    }
    for (const { model } of notebook.widgets) {
      if (model.type === 'code' && !known.has(model as ICodeCellModel)) {
        known.add(model as ICodeCellModel);
        follow(model as ICodeCellModel);
      }
    }
  };
  notebook.modelContentChanged.connect(watch);
  notebook.modelChanged.connect(watch);
  watch();
  return new DisposableDelegate(() => {
    notebook.modelContentChanged.disconnect(watch);
    notebook.modelChanged.disconnect(watch);
  });
}

function follow(cell: ICodeCellModel): void {
  const { outputs } = cell;
  outputs.changed.connect((_, change) => {
    if (change.type !== 'add' && change.type !== 'remove') {
      return;
    }
    const document = cell.sharedModel.getOutputs();
    const has = (index: number) => outputs.get(index).toJSON();
    // What this page has changed by itself is in the document by now. While a change of the document is taken over, nothing that is
    // done to the list goes back into it: so only then may the list be put in order.
    if (outputs.length !== document.length || document.every((each, index) => isAlike(has(index), each))) {
      return;
    }
    document.forEach((output, index) => {
      if (!JSONExt.deepEqual(has(index), output)) {
        outputs.set(index, output);
      }
    });
  });
}

/** The text of a stream grows by itself. */
function isAlike(has: IOutput, output: IOutput): boolean {
  return has.output_type === 'stream' && output.output_type === 'stream'
    ? has.name === output.name
    : JSONExt.deepEqual(has, output);
}

/**
 * Has the messages of a notebook's kernel say who sits before this page: JupyterLab leaves their `username` empty, and offers no
 * other way. Nobody checks it, and nothing is permitted by it; farcell keeps it as `said_by` of a run.
 */
function introduce(panel: NotebookPanel, user: User.IManager): void {
  const tell = () => {
    const kernel = panel.sessionContext.session?.kernel as
      (Kernel.IKernelConnection & { _username?: string }) | null;
    const name = user.identity?.name;
    if (kernel && name && kernel._username !== undefined) {
      kernel._username = name;
    }
  };
  panel.sessionContext.kernelChanged.connect(tell);
  user.userChanged.connect(tell);
  panel.disposed.connect(() => user.userChanged.disconnect(tell));
  void user.ready.then(tell);
}
