import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { CommandIDs } from '../commands';
import { StatusItem } from '../components/status';
import { IFarcell } from '../tokens';

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'farcell:status',
  description: 'How many remote cells run, in the status bar.',
  autoStart: true,
  requires: [IFarcell],
  optional: [IStatusBar, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    model: IFarcell,
    bar: IStatusBar | null,
    translator: ITranslator | null
  ) => {
    if (!bar) {
      return; // Notebook 7 has none
    }
    const trans = (translator ?? nullTranslator).load('farcell');
    const item = new StatusItem(model, trans, () => void app.commands.execute(CommandIDs.show));
    bar.registerStatusItem('farcell:status', { item, align: 'left', rank: 30 });
  }
};

export default plugin;
