import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';
import type { IFarcell } from '../tokens';

export interface IContext {
  model: IFarcell;
  trans: TranslationBundle;
  /** False: nobody sees it, and it is drawn when it comes into sight. */
  isSeen?: boolean;
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

/** The model, drawn anew with each change of it while it is seen. */
export function useModel(): IFarcell {
  const { model, isSeen = true } = useFarcell();
  const [, draw] = React.useReducer((n: number) => n + 1, 0);
  const { snapshot, problem, isWatched } = model;
  React.useEffect(() => {
    if (!isSeen) {
      return;
    }
    model.changed.connect(draw);
    if (model.snapshot !== snapshot || model.problem !== problem || model.isWatched !== isWatched) {
      draw(); // it has changed between drawing and this
    }
    return () => {
      model.changed.disconnect(draw);
    };
    // What has been drawn since is of no concern here: each change of it was told.
  }, [model, isSeen]);
  return model;
}

/** Seconds since the epoch, drawn anew each second while `ticks`. */
export function useClock(ticks: boolean): number {
  const [, draw] = React.useReducer((n: number) => n + 1, 0);
  React.useEffect(() => {
    if (!ticks) {
      return;
    }
    const timer = window.setInterval(draw, 1000);
    return () => window.clearInterval(timer);
  }, [ticks]);
  return Date.now() / 1000;
}
