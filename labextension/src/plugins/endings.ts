import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { CommandIDs } from '../commands';
import { endNotice, Endings } from '../endings';
import { isSameNotebook } from '../places';
import { path } from '../requests';
import { IFarcell } from '../tokens';
import type { SessionFace } from '../wire';

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'farcell:endings',
  description: 'Tells of a session of an open notebook that is about to end.',
  autoStart: true,
  requires: [IFarcell, INotebookTracker],
  optional: [ITranslator, ISettingRegistry],
  activate: (
    app: JupyterFrontEnd,
    model: IFarcell,
    tracker: INotebookTracker,
    translator: ITranslator | null,
    settings: ISettingRegistry | null
  ) => {
    const trans = (translator ?? nullTranslator).load('farcell');
    let isWanted = true;
    void settings
      ?.load('farcell:cells')
      .then(loaded => {
        const read = () => {
          isWanted = loaded.get('notifyOfEnds').composite as boolean;
        };
        loaded.changed.connect(read);
        read();
      })
      .catch(() => undefined); // told of where the other settings are read

    const isOwn = ({ notebook }: SessionFace) =>
      isWanted &&
      notebook !== null &&
      tracker.find(each => isSameNotebook(notebook, each.context.path, model)) !== undefined;
    const keep = async (session: SessionFace) => {
      try {
        await model.requests.request(path('sessions', session.id, 'keep'), { method: 'POST' });
        await endings.ask(session.id);
      } catch (error) {
        Notification.error(error instanceof Error ? error.message : String(error), { autoClose: false });
      }
    };
    const tell = (session: SessionFace, earlier: string | null): string => {
      const message = endNotice(session, Date.now() / 1000, trans);
      const actions: Notification.IAction[] = [
        {
          label: trans.__('Show it'),
          callback: () => void app.commands.execute(CommandIDs.show, { section: 'sessions' })
        }
      ];
      if (session.ends_why !== 'wall-time') {
        actions.unshift({
          label: trans.__('Keep it'),
          caption: trans.__('It goes on as if it was used now.'),
          callback: () => void keep(session)
        });
      }
      const options: Notification.IOptions<null> = { autoClose: false, actions };
      if (earlier !== null && Notification.update({ id: earlier, message, type: 'warning', ...options })) {
        return earlier;
      }
      return Notification.warning(message, options);
    };
    const endings = new Endings({ model, isOwn, tell, untell: shown => Notification.dismiss(shown) });
  }
};

export default plugin;
