/** The sidebar: one section for each kind of thing. A section that is not in sight asks for nothing. */

import type { TranslationBundle } from '@jupyterlab/translation';
import { addIcon, PanelWithToolbar, ReactWidget, refreshIcon, SidePanel } from '@jupyterlab/ui-components';
import type { ITranslator } from '@jupyterlab/translation';
import type { IDisposable } from '@lumino/disposable';
import type { Message } from '@lumino/messaging';
import { MessageLoop } from '@lumino/messaging';
import type { AccordionPanel } from '@lumino/widgets';
import { Widget } from '@lumino/widgets';
import React from 'react';
import type { IContext } from './components/context';
import { FarcellContext, useModel, useFarcell } from './components/context';
import { Gpus } from './components/gpus';
import { Fault, RequestFault } from './components/notices';
import type { IRunActions } from './components/runs';
import { RunList } from './components/runs';
import type { ISessionActions } from './components/sessions';
import { IconButton, Sessions } from './components/sessions';
import type { ITargetActions } from './components/targets';
import { Targets } from './components/targets';
import { UsageView } from './components/usage';
import { farcellIcon } from './icons';
import type { Runs } from './runs';

export interface IPanelActions extends ISessionActions, IRunActions, ITargetActions {
  addTarget(): void;
  look(): void;
}

/** A component that knows whether it is in sight, and has the model kept current while it is. */
class Seen extends ReactWidget {
  constructor(
    private readonly _context: IContext,
    private readonly _draw: (isVisible: boolean) => JSX.Element
  ) {
    super();
  }

  override dispose(): void {
    this._lease?.dispose();
    this._lease = null;
    super.dispose();
  }

  protected override render(): JSX.Element {
    const isSeen = this._isSeen;
    return (
      <FarcellContext.Provider value={{ ...this._context, isSeen }}>
        {this._draw(isSeen)}
      </FarcellContext.Provider>
    );
  }

  protected override onAfterAttach(msg: Message): void {
    this._look();
    super.onAfterAttach(msg);
  }

  protected override onAfterShow(msg: Message): void {
    super.onAfterShow(msg);
    this._look();
  }

  protected override onAfterHide(msg: Message): void {
    super.onAfterHide(msg);
    this._look();
  }

  protected override onBeforeDetach(msg: Message): void {
    super.onBeforeDetach(msg);
    this._lease?.dispose();
    this._lease = null;
    this._isSeen = false;
  }

  private _look(): void {
    if (this._isSeen === this.isVisible) {
      return;
    }
    this._isSeen = this.isVisible;
    if (this._isSeen) {
      this._lease ??= this._context.model.watch();
    } else {
      this._lease?.dispose();
      this._lease = null;
    }
    this.update();
  }

  private _isSeen = false;
  private _lease: IDisposable | null = null;
}

/** Above all sections: what keeps all of them from being current. */
function Header(props: { look: () => void }): JSX.Element {
  const model = useModel();
  const { trans } = useFarcell();
  const { problem, snapshot } = model;
  if (problem) {
    return <RequestFault error={problem} again={() => void model.refresh()} />;
  }
  return (
    <>
      {snapshot?.faults.map(fault => (
        <Fault
          key={`${fault.targets.join()} ${fault.reason}`}
          kind="warning"
          title={
            fault.reason === 'needs-authentication'
              ? trans.__('%1 needs a login', fault.targets.join(', '))
              : trans.__('%1 cannot be asked', fault.targets.join(', '))
          }
          text={fault.message}
          isShort
          again={props.look}
          againLabel={trans.__('Ask again')}
        />
      ))}
    </>
  );
}

export namespace FarcellPanel {
  export interface IOptions {
    context: IContext;
    runs: Runs;
    actions: IPanelActions;
    translator: ITranslator;
  }
}

export class FarcellPanel extends SidePanel {
  constructor(options: FarcellPanel.IOptions) {
    super({ translator: options.translator });
    const { context, runs, actions } = options;
    const { trans } = context;
    this.id = 'farcell-panel';
    this.addClass('jp-farcell-Panel');
    this.title.icon = farcellIcon;
    this.title.caption = trans.__('Remote cells');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('Remote cells'));

    this.toolbar.addItem(
      'look',
      ReactWidget.create(
        <IconButton
          icon={refreshIcon}
          label={trans.__('Ask all places now')}
          onClick={() => actions.look()}
        />
      )
    );
    const header = new Seen(context, () => <Header look={() => actions.look()} />);
    header.addClass('jp-farcell-Header');
    this.header.addWidget(header);

    const add = this._section.bind(this, context);
    add('sessions', trans.__('Sessions'), isVisible => <Sessions actions={actions} isVisible={isVisible} />);
    add('runs', trans.__('Runs'), isVisible => (
      <RunList runs={runs} actions={actions} isVisible={isVisible} />
    ));
    const targets = add('targets', trans.__('Targets'), () => <Targets actions={actions} />);
    targets.toolbar.addItem(
      'add',
      ReactWidget.create(
        <IconButton icon={addIcon} label={trans.__('Add a target')} onClick={() => actions.addTarget()} />
      )
    );
    add('gpus', trans.__('GPUs'), isVisible => <Gpus isVisible={isVisible} />);
    add('usage', trans.__('Usage'), isVisible => <UsageView isVisible={isVisible} />);
    const content = this.content as AccordionPanel;
    [2, 3, 4].forEach(index => content.collapse(index));
    content.expansionToggled.connect(this._share, this);
    this._share();
    // What the header says takes room from the sections, of which Lumino hears nothing.
    this._observer = new ResizeObserver(() => {
      if (content.isVisible) {
        MessageLoop.postMessage(content, Widget.ResizeMessage.UnknownSize);
      }
    });
    this._observer.observe(content.node);
  }

  override dispose(): void {
    this._observer.disconnect();
    super.dispose();
  }

  /** Gives all open sections the same height: Lumino would leave one that was just opened with next to nothing. */
  private _share(): void {
    const content = this.content as AccordionPanel;
    content.setRelativeSizes(content.widgets.map(section => (section.isHidden ? 0 : 1)));
  }

  /** Opens a section: `sessions`, `runs`, `targets`, `gpus` or `usage`. */
  reveal(section: string): void {
    const index = this.widgets.findIndex(widget => widget.id === `farcell-${section}`);
    if (index >= 0) {
      (this.content as AccordionPanel).expand(index);
    }
  }

  private _section(
    context: { model: IContext['model']; trans: TranslationBundle },
    name: string,
    title: string,
    draw: (isVisible: boolean) => JSX.Element
  ): PanelWithToolbar {
    const section = new PanelWithToolbar();
    section.id = `farcell-${name}`;
    section.addClass('jp-farcell-Section');
    section.title.label = title;
    const body = new Seen(context, draw);
    if (name === 'gpus' || name === 'usage') {
      body.node.tabIndex = 0; // nothing in it takes the focus, by which it could be scrolled
    }
    section.addWidget(body);
    this.addWidget(section);
    return section;
  }

  private readonly _observer: ResizeObserver;
}
