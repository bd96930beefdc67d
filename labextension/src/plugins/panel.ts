import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ILabShell, ILayoutRestorer } from '@jupyterlab/application';
import { Dialog, ICommandPalette, Notification, showDialog } from '@jupyterlab/apputils';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { SplitPanel, TabPanel } from '@lumino/widgets';
import { Actions } from '../actions';
import { CommandIDs } from '../commands';
import { TargetFormWidget } from '../components/targetform';
import { showVariables } from '../components/variables';
import { farcellIcon } from '../icons';
import { RunLogWidget } from '../log';
import type { IPanelActions } from '../panel';
import { FarcellPanel } from '../panel';
import { path } from '../requests';
import { Runs } from '../runs';
import { IFarcell } from '../tokens';

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'farcell:panel',
  description: 'The sidebar that shows sessions, runs, targets, GPUs and usage.',
  autoStart: true,
  requires: [IFarcell, IRenderMimeRegistry],
  optional: [ITranslator, ICommandPalette, ILabShell, ILayoutRestorer],
  activate: (
    app: JupyterFrontEnd,
    model: IFarcell,
    rendermime: IRenderMimeRegistry,
    translator_: ITranslator | null,
    palette: ICommandPalette | null,
    labShell: ILabShell | null,
    restorer: ILayoutRestorer | null
  ) => {
    const translator = translator_ ?? nullTranslator;
    const trans = translator.load('farcell');
    const context = { model, trans };
    const actions = new Actions(model.requests, trans);
    const tell = (error: unknown) => {
      Notification.error(error instanceof Error ? error.message : String(error), { autoClose: false });
    };
    // Notebook 7 has one document in its main area, and nothing beside it.
    const area = labShell ? 'main' : 'down';
    const open = (id: string, make: () => TargetFormWidget | RunLogWidget, title: string) => {
      let widget = Array.from(app.shell.widgets(area)).find(each => each.id === id);
      if (!widget) {
        widget = make();
        widget.id = id;
        widget.title.label = title;
        widget.title.icon = farcellIcon;
        widget.title.closable = true;
        app.shell.add(widget, area);
      }
      app.shell.activateById(id);
      const tabs = widget.parent?.parent;
      if (tabs instanceof TabPanel) {
        // Notebook 7 shows its lower area, leaves the tab as it was, and gives it no height.
        tabs.currentWidget = widget;
        if (tabs.parent instanceof SplitPanel) {
          tabs.parent.setRelativeSizes([1, 1]);
        }
      }
    };
    const test = (target: string) => {
      panel.reveal('targets');
      model.requests.request(path('targets', target, 'test'), { method: 'POST' }).catch(tell);
    };
    const edit = (target: string | null) => {
      const title = target ?? trans.__('New target');
      open(
        `farcell-target-${target ?? ''}`,
        () => new TargetFormWidget(context, { target, translator, onTest: test }),
        title
      );
    };
    const does: IPanelActions = {
      stop: session => void actions.stop(session),
      restart: session => void actions.restart(session),
      interrupt: session => void actions.interrupt(session),
      cancel: session => void actions.cancel(session),
      openNotebook: notebook =>
        void app.commands.execute(CommandIDs.goToCell, { notebook, cell: null }).catch(tell),
      openLog: (run, title) => {
        open(
          `farcell-log-${run}`,
          () => new RunLogWidget({ model, rendermime, trans, run }),
          trans.__('Log of %1', title)
        );
      },
      goToCell: (notebook, cell) =>
        void app.commands.execute(CommandIDs.goToCell, { notebook, cell }).catch(tell),
      showVariables: session => void showVariables(context, session),
      interruptRun: run => {
        const session = model.snapshot?.sessions.find(each => each.id === run.session);
        if (session) {
          void (run.state === 'queued'
            ? actions.cancel(session, run.id)
            : actions.interrupt(session, run.id));
        }
      },
      test,
      edit,
      addTarget: () => edit(null),
      remove: target => void removeTarget(target).catch(tell),
      look: () => void model.look().catch(tell)
    };
    const removeTarget = async (target: string) => {
      const result = await showDialog({
        title: trans.__('Remove the target %1?', target),
        body: trans.__('Its table is taken out of your file; sessions there go on.'),
        buttons: [
          Dialog.cancelButton({ label: trans.__('Keep it') }),
          Dialog.warnButton({ label: trans.__('Remove') })
        ]
      });
      if (result.button.accept) {
        await model.requests.request(path('targets', target), { method: 'DELETE' });
      }
    };

    const panel = new FarcellPanel({ context, runs: new Runs(model.requests), actions: does, translator });
    restorer?.add(panel, 'farcell-panel');
    app.shell.add(panel, labShell ? 'left' : 'right', { rank: 700, type: 'Remote cells' });

    const category = trans.__('Remote cells');
    app.commands.addCommand(CommandIDs.show, {
      label: trans.__('Show Remote Cells'),
      icon: farcellIcon,
      describedBy: { args: { type: 'object', properties: { section: { type: 'string' } } } },
      execute: args => {
        if (typeof args.section === 'string') {
          panel.reveal(args.section);
        }
        app.shell.activateById(panel.id);
      }
    });
    app.commands.addCommand(CommandIDs.hide, {
      label: trans.__('Hide Remote Cells'),
      describedBy: { args: { type: 'object', properties: {} } },
      isEnabled: () => panel.isVisible,
      execute: async () => {
        if (labShell) {
          labShell.collapseLeft();
        } else {
          await app.commands.execute('application:toggle-panel', { side: 'right', id: panel.id });
        }
      }
    });
    app.commands.addCommand(CommandIDs.refresh, {
      label: trans.__('Ask for Remote Cells Anew'),
      describedBy: { args: { type: 'object', properties: {} } },
      execute: () => model.refresh()
    });
    app.commands.addCommand(CommandIDs.addTarget, {
      label: trans.__('Add Target…'),
      icon: farcellIcon,
      describedBy: { args: { type: 'object', properties: {} } },
      execute: () => edit(null)
    });
    app.commands.addCommand(CommandIDs.openLog, {
      label: trans.__('Show the Log of a Run'),
      describedBy: {
        args: { type: 'object', properties: { run: { type: 'string' }, title: { type: 'string' } } }
      },
      isVisible: args => typeof args.run === 'string',
      execute: args => does.openLog(String(args.run), String(args.title ?? args.run))
    });
    for (const command of [CommandIDs.show, CommandIDs.refresh, CommandIDs.addTarget]) {
      palette?.addItem({ command, category });
    }
  }
};

export default plugin;
