import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICompletionProviderManager } from '@jupyterlab/completer';
import { RemoteCompletions } from '../completion';
import { TargetNames } from '../targetnames';
import { IFarcell } from '../tokens';

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'farcell:completion',
  description: 'Completes targets and options after %%remote.',
  autoStart: true,
  requires: [IFarcell],
  optional: [ICompletionProviderManager],
  activate: (_: JupyterFrontEnd, model: IFarcell, manager: ICompletionProviderManager | null) => {
    manager?.registerProvider(new RemoteCompletions(new TargetNames(model.requests)));
  }
};

export default plugin;
