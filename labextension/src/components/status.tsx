import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import React from 'react';
import { farcellIcon } from '../icons';
import type { IFarcell } from '../tokens';
import type { Snapshot } from '../wire';

/** Of all boards that tell it, the mean; null if none does. */
export function gpuUse(snapshot: Snapshot): number | null {
  const known = snapshot.telemetry
    .flatMap(each => each.gpus.map(gpu => gpu.utilisation_percent))
    .filter((percent): percent is number => percent !== null);
  return known.length ? Math.round(known.reduce((sum, percent) => sum + percent, 0) / known.length) : null;
}

/** In the status bar: how many remote cells run. Watches nothing by itself, and so tells a number only while somebody does. */
export class StatusItem extends ReactWidget {
  constructor(
    private readonly _model: IFarcell,
    private readonly _trans: TranslationBundle,
    private readonly _open: () => void
  ) {
    super();
    this.addClass('jp-farcell-Status');
    _model.changed.connect(this._draw, this);
  }

  override dispose(): void {
    this._model.changed.disconnect(this._draw, this);
    super.dispose();
  }

  protected override render(): JSX.Element {
    const trans = this._trans;
    const { snapshot, isWatched, problem } = this._model;
    const isKnown = isWatched && snapshot !== null && problem === null;
    const runs = isKnown ? snapshot.runs_in_progress.filter(run => run.state !== 'untaken').length : 0;
    const gpus = isKnown ? gpuUse(snapshot) : null;
    const text = [runs ? String(runs) : null, gpus === null ? null : trans.__('GPU %1 %', gpus)]
      .filter(Boolean)
      .join(' · ');
    const label = !isKnown
      ? trans.__('Remote cells')
      : runs
        ? trans._n('One remote cell runs', '%1 remote cells run', runs)
        : trans.__('No remote cell runs');
    return (
      <button
        type="button"
        className="jp-farcell-Status-button"
        title={label}
        aria-label={label}
        onClick={this._open}
      >
        <farcellIcon.react tag="span" elementSize="normal" />
        {text && <span>{text}</span>}
      </button>
    );
  }

  private _draw(): void {
    this.update();
  }
}
