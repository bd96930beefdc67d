import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';
import type { IFarcell } from '../tokens';

export interface IContext {
  model: IFarcell;
  trans: TranslationBundle;
}

/** Set by whoever puts a component into the page. */
export const FarcellContext = React.createContext<IContext | null>(null);

export function useFarcell(): IContext {
  const context = React.useContext(FarcellContext);
  if (context === null) {
    throw new Error('farcell: a component outside of its context');
  }
  return context;
}

/** The model, drawn anew with each change of it. */
export function useModel(): IFarcell {
  const { model } = useFarcell();
  const [, draw] = React.useReducer((n: number) => n + 1, 0);
  React.useEffect(() => {
    model.changed.connect(draw);
    // What has changed between drawing and this.
    draw();
    return () => {
      model.changed.disconnect(draw);
    };
  }, [model]);
  return model;
}

/** Seconds since the epoch, each second anew while `ticks`. */
export function useClock(ticks: boolean): number {
  const [now, setNow] = React.useState(() => Date.now() / 1000);
  React.useEffect(() => {
    if (!ticks) {
      return;
    }
    setNow(Date.now() / 1000);
    const timer = window.setInterval(() => setNow(Date.now() / 1000), 1000);
    return () => window.clearInterval(timer);
  }, [ticks]);
  return now;
}
