/** What a cell would send, as `%%remote --plan` shows it, without running the cell. */

import { Dialog, showDialog } from '@jupyterlab/apputils';
import { OutputAreaModel, SimplifiedOutputArea } from '@jupyterlab/outputarea';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { Kernel } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import { withOption } from './cellline';

/** Asks the notebook's kernel, outside of its history; rejects when that has ended. */
export async function showPlan(
  kernel: Kernel.IKernelConnection,
  source: string,
  rendermime: IRenderMimeRegistry,
  trans: TranslationBundle
): Promise<void> {
  const model = new OutputAreaModel({ trusted: false });
  const area = new SimplifiedOutputArea({ model, rendermime });
  area.addClass('jp-farcell-Plan');
  area.future = kernel.requestExecute({
    code: withOption(source, '--plan', true),
    store_history: false,
    stop_on_error: false
  });
  await area.future.done;
  await showDialog({
    title: trans.__('What this cell would send'),
    body: area,
    buttons: [Dialog.okButton()]
  });
  model.dispose();
}
