import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Poll } from '@lumino/polling';
const plugin: JupyterFrontEndPlugin<void> = {
  id: 'farcell:model',
  autoStart: true,
  activate: (_: JupyterFrontEnd) => {
    new Poll({ factory: async () => 1 });
  }
};
export default plugin;
