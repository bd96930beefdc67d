import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ILabShell } from '@jupyterlab/application';
import { ICommandPalette, IToolbarWidgetRegistry, Notification } from '@jupyterlab/apputils';
import type { CodeCell } from '@jupyterlab/cells';
import { PageConfig, PathExt, URLExt } from '@jupyterlab/coreutils';
import type { NotebookPanel } from '@jupyterlab/notebook';
import { INotebookTracker, NotebookActions } from '@jupyterlab/notebook';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { Menu } from '@lumino/widgets';
import { CellBadges } from '../badges';
import { remoteLine, withOption, withTarget } from '../cellline';
import { CommandIDs } from '../commands';
import { WhereSwitcher } from '../components/where';
import { duration } from '../format';
import { farcellIcon } from '../icons';
import { isSameNotebook, pathOf } from '../places';
import { showPlan } from '../plan';
import { TargetNames } from '../targetnames';
import { shareNotebooks } from '../together';
import { IFarcell } from '../tokens';
import type { RunList } from '../wire';

const ID = 'farcell:cells';
/** So many runs are looked through for one of a cell: a page of the server's. */
const NEWEST = 200;
const CELLS = '.jp-Notebook .jp-CodeCell';

const plugin: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: 'Where cells of a notebook run: toolbar item, menu, badges, notifications.',
  autoStart: true,
  requires: [IFarcell, INotebookTracker, IRenderMimeRegistry],
  optional: [ITranslator, ICommandPalette, IToolbarWidgetRegistry, ISettingRegistry, ILabShell],
  activate: (
    app: JupyterFrontEnd,
    model: IFarcell,
    tracker: INotebookTracker,
    rendermime: IRenderMimeRegistry,
    translator: ITranslator | null,
    palette: ICommandPalette | null,
    toolbars: IToolbarWidgetRegistry | null,
    settings: ISettingRegistry | null,
    labShell: ILabShell | null
  ) => {
    const trans = (translator ?? nullTranslator).load('farcell');
    const names = new TargetNames(model.requests);
    const badges = new WeakMap<object, CellBadges>();
    let notifyAfterS = 60;
    let lastTarget = '';

    void settings
      ?.load(ID)
      .then(loaded => {
        const read = () => {
          notifyAfterS = loaded.get('notifyAfterS').composite as number;
        };
        loaded.changed.connect(read);
        read();
      })
      .catch((error: unknown) =>
        Notification.warning(trans.__('The settings of remote cells cannot be read: %1', String(error)))
      );

    const selected = (): CodeCell[] => {
      const notebook = tracker.currentWidget?.content;
      return (notebook?.widgets ?? []).filter(
        cell => cell.model.type === 'code' && notebook?.isSelectedOrActive(cell)
      ) as CodeCell[];
    };
    const change = (to: (source: string) => string) => {
      for (const cell of selected()) {
        const source = cell.model.sharedModel.getSource();
        const changed = to(source);
        if (changed !== source) {
          cell.model.sharedModel.setSource(changed);
        }
      }
    };
    const isRemote = () => selected().some(cell => remoteLine(cell.model.sharedModel.getSource()));

    app.commands.addCommand(CommandIDs.runOn, {
      label: args =>
        typeof args.target !== 'string'
          ? trans.__('Run Here')
          : args.target
            ? trans.__('Run on %1', args.target)
            : trans.__('Run on the Default Target'),
      describedBy: { args: { type: 'object', properties: { target: { type: ['string', 'null'] } } } },
      isEnabled: () => selected().length > 0,
      isToggled: args => {
        const line = remoteLine(selected()[0]?.model.sharedModel.getSource() ?? '');
        return line
          ? (line.target ?? '') === args.target
          : typeof args.target !== 'string' && selected().length > 0;
      },
      execute: args => {
        const target = typeof args.target === 'string' ? args.target : null;
        lastTarget = target ?? lastTarget;
        change(source => withTarget(source, target));
      }
    });
    app.commands.addCommand(CommandIDs.toggleDetached, {
      label: trans.__('Run Detached'),
      caption: trans.__('The cell returns at once; what it changed is merged when it is over.'),
      describedBy: { args: { type: 'object', properties: {} } },
      isEnabled: isRemote,
      isToggled: () => !!remoteLine(selected()[0]?.model.sharedModel.getSource() ?? '')?.isDetached,
      execute: () => change(source => withOption(source, '--detach', !remoteLine(source)?.isDetached))
    });
    app.commands.addCommand(CommandIDs.showPlan, {
      label: trans.__('Show What It Would Send'),
      describedBy: { args: { type: 'object', properties: {} } },
      isEnabled: () => isRemote() && !!tracker.currentWidget?.sessionContext.session?.kernel,
      execute: async () => {
        const kernel = tracker.currentWidget?.sessionContext.session?.kernel;
        const cell = selected().find(each => remoteLine(each.model.sharedModel.getSource()));
        if (kernel && cell) {
          await showPlan(kernel, cell.model.sharedModel.getSource(), rendermime, trans);
        }
      }
    });
    app.commands.addCommand(CommandIDs.showCellLog, {
      label: trans.__('Show Its Log'),
      caption: trans.__('What the newest run of this cell has printed, as its session has it.'),
      describedBy: { args: { type: 'object', properties: {} } },
      isEnabled: isRemote,
      execute: async () => {
        const cell = selected().find(each => remoteLine(each.model.sharedModel.getSource()));
        const run =
          cell && (await newestRun(model, cell.model.id, tracker.currentWidget?.context.path ?? ''));
        if (run) {
          await app.commands.execute(CommandIDs.openLog, {
            run,
            title: PathExt.basename(tracker.currentWidget?.context.path ?? '')
          });
        } else {
          Notification.info(trans.__('No run of this cell is known.'), { autoClose: 4000 });
        }
      }
    });
    app.commands.addCommand(CommandIDs.goToCell, {
      label: trans.__('Go to the Cell of a Run'),
      describedBy: {
        args: {
          type: 'object',
          properties: { notebook: { type: 'string' }, cell: { type: ['string', 'null'] } }
        }
      },
      isVisible: args => typeof args.notebook === 'string',
      execute: async args => {
        const notebook = String(args.notebook);
        // One that is open already: Notebook 7 would open another page.
        let panel = tracker.find(each => isSameNotebook(notebook, each.context.path, model));
        if (!panel && !labShell) {
          // Notebook 7 opens each one in a page of its own, to which a cell can be named by the address alone.
          const page = URLExt.join(
            PageConfig.getBaseUrl(),
            'notebooks',
            URLExt.encodeParts(pathOf(notebook, model))
          );
          window.open(
            args.cell ? `${page}#cell-id=${encodeURIComponent(String(args.cell))}` : page,
            `farcell ${notebook}`
          );
          return;
        }
        if (!panel) {
          const opened = (await app.commands.execute('docmanager:open', {
            path: pathOf(notebook, model)
          })) as unknown;
          panel = tracker.find(each => each === opened);
        }
        if (!panel) {
          return;
        }
        app.shell.activateById(panel.id);
        await goTo(panel, args.cell);
      }
    });
    app.commands.addCommand(CommandIDs.toggleRemote, {
      label: trans.__('Run Here or Remotely'),
      caption: trans.__('Takes the selected cells to where cells were last sent, or back here.'),
      describedBy: { args: { type: 'object', properties: {} } },
      isEnabled: () => selected().length > 0,
      execute: () => {
        if (isRemote()) {
          const line = selected().map(cell => remoteLine(cell.model.sharedModel.getSource()));
          lastTarget = line.find(each => each)?.target ?? '';
          change(source => withTarget(source, null));
        } else {
          change(source => withTarget(source, lastTarget));
        }
      }
    });
    const category = trans.__('Remote cells');
    palette?.addItem({ command: CommandIDs.toggleRemote, category });
    palette?.addItem({ command: CommandIDs.runOn, category, args: { target: null } });
    palette?.addItem({ command: CommandIDs.runOn, category, args: { target: '' } });
    palette?.addItem({ command: CommandIDs.toggleDetached, category });
    palette?.addItem({ command: CommandIDs.showPlan, category });
    palette?.addItem({ command: CommandIDs.showCellLog, category });

    const menu = new Menu({ commands: app.commands });
    menu.title.label = trans.__('Run Cells On');
    menu.title.icon = farcellIcon;
    const fill = () => {
      menu.clearItems();
      menu.addItem({ command: CommandIDs.runOn, args: { target: null } });
      menu.addItem({ command: CommandIDs.runOn, args: { target: '' } });
      menu.addItem({ type: 'separator' });
      names.names.forEach(target => menu.addItem({ command: CommandIDs.runOn, args: { target } }));
      menu.addItem({ type: 'separator' });
      menu.addItem({ command: CommandIDs.toggleDetached });
      menu.addItem({ command: CommandIDs.showPlan });
      menu.addItem({ command: CommandIDs.showCellLog });
    };
    names.changed.connect(fill);
    fill();
    app.contextMenu.addItem({ type: 'submenu', submenu: menu, selector: CELLS, rank: 20 });

    toolbars?.addFactory<NotebookPanel>('Notebook', 'farcell-where', panel => {
      const choose = (target: string | null) => void app.commands.execute(CommandIDs.runOn, { target });
      return new WhereSwitcher(panel.content, names, trans, choose);
    });

    const watch = (panel: NotebookPanel) => {
      void panel.context.ready.then(() => {
        if (panel.isDisposed) {
          return;
        }
        const isSame = (notebook: string, path: string) => isSameNotebook(notebook, path, model);
        const own = new CellBadges({ panel, model, trans, isSame });
        badges.set(panel.content, own);
        own.finished.connect((_, { cell, seconds, isOk, target }) => {
          const isSeen = panel.isVisible && !document.hidden;
          if (isSeen || notifyAfterS <= 0 || seconds < notifyAfterS) {
            return;
          }
          const where = target ?? model.snapshot?.default_target ?? trans.__('the default target');
          const text = isOk
            ? trans.__('A cell on %1 is done after %2.', where, duration(seconds))
            : trans.__('A cell on %1 has failed after %2.', where, duration(seconds));
          const show = {
            label: trans.__('Show it'),
            callback: () => {
              app.shell.activateById(panel.id);
              panel.content.activeCellIndex = panel.content.widgets.indexOf(cell);
              void panel.content.scrollToItem(panel.content.activeCellIndex);
            }
          };
          Notification.emit(text, isOk ? 'success' : 'error', { autoClose: false, actions: [show] });
        });
      });
    };
    if (!labShell) {
      const land = () => {
        const named = /^#cell-id=(.+)$/.exec(window.location.hash);
        const panel = tracker.currentWidget;
        if (named && panel) {
          void goTo(panel, decodeURIComponent(named[1]));
        }
      };
      window.addEventListener('hashchange', land);
      tracker.currentChanged.connect(land);
      land();
    }
    tracker.widgetAdded.connect((_, panel) => watch(panel));
    tracker.forEach(watch);
    shareNotebooks(tracker, app.serviceManager.user);
    NotebookActions.executionScheduled.connect((_, { notebook, cell }) =>
      badges.get(notebook)?.scheduled(cell)
    );
    NotebookActions.executed.connect((_, { notebook, cell, success }) =>
      badges.get(notebook)?.executed(cell, success)
    );
  }
};

/** Selects a cell and brings it into sight; nothing if the notebook has it no more. */
async function goTo(panel: NotebookPanel, cell: unknown): Promise<void> {
  await panel.revealed;
  const index = panel.content.widgets.findIndex(each => each.model.id === cell);
  if (index >= 0) {
    panel.content.activeCellIndex = index;
    await panel.content.scrollToItem(index);
  }
}

/** One in progress, else of the newest that the ledger has. */
async function newestRun(model: IFarcell, cell: string, path: string): Promise<string | null> {
  const isOfCell = (run: { cell: string | null; notebook: string | null }) =>
    run.cell === cell && (!run.notebook || isSameNotebook(run.notebook, path, model));
  const live = model.snapshot?.runs_in_progress.find(isOfCell);
  if (live) {
    return live.id;
  }
  const said = await model.requests.request<RunList>('runs', { query: { limit: NEWEST } });
  return said.runs.find(isOfCell)?.id ?? null;
}

export default plugin;
