import { HTMLSelect, ReactWidget } from '@jupyterlab/ui-components';
import type { Notebook } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';
import { remoteLine } from '../cellline';
import type { TargetNames } from '../targetnames';

/** Values that no target's name can be. */
const HERE = '/here';
const DEFAULT = '/default';

/** A notebook's toolbar item: where the selected cells run. */
export class WhereSwitcher extends ReactWidget {
  constructor(
    private readonly _notebook: Notebook,
    private readonly _names: TargetNames,
    private readonly _trans: TranslationBundle,
    private readonly _choose: (target: string | null) => void
  ) {
    super();
    this.addClass('jp-Notebook-toolbarCellType');
    this.addClass('jp-farcell-Where');
    _notebook.activeCellChanged.connect(this._draw, this);
    _notebook.selectionChanged.connect(this._draw, this);
    _notebook.modelContentChanged.connect(this._draw, this);
    _names.changed.connect(this._draw, this);
    void _names.refresh();
  }

  override dispose(): void {
    this._names.changed.disconnect(this._draw, this);
    super.dispose();
  }

  protected override render(): JSX.Element {
    const trans = this._trans;
    const cell = this._notebook.activeCell;
    const isCode = cell?.model.type === 'code';
    const line = isCode ? remoteLine(cell.model.sharedModel.getSource()) : null;
    const value = !line ? HERE : (line.target ?? DEFAULT);
    const names = [...this._names.names];
    if (line?.target && !names.includes(line.target)) {
      names.push(line.target);
    }
    return (
      <HTMLSelect
        value={value}
        disabled={!isCode}
        aria-label={trans.__('Where the selected cells run')}
        title={trans.__('Where the selected cells run')}
        onFocus={() => void this._names.refresh()}
        onChange={event => {
          const chosen = event.target.value;
          this._choose(chosen === HERE ? null : chosen === DEFAULT ? '' : chosen);
          this._notebook.activate();
        }}
      >
        <option value={HERE}>{trans.__('Run here')}</option>
        <option value={DEFAULT}>{trans.__('Run on default')}</option>
        {names.map(name => (
          <option key={name} value={name}>
            {trans.__('Run on %1', name)}
          </option>
        ))}
      </HTMLSelect>
    );
  }

  private _draw(): void {
    this.update();
  }
}
