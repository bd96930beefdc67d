import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { UUID } from '@lumino/coreutils';
import { Model } from '../model';
import { Requests } from '../requests';
import { IFarcell } from '../tokens';

const plugin: JupyterFrontEndPlugin<IFarcell> = {
  id: 'farcell:model',
  description: 'Knows what runs on other machines.',
  autoStart: true,
  provides: IFarcell,
  activate: (app: JupyterFrontEnd) => {
    const { serviceManager } = app;
    return new Model({
      requests: new Requests(serviceManager.serverSettings),
      events: serviceManager.events.stream,
      page: UUID.uuid4()
    });
  }
};

export default plugin;
