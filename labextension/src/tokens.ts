import { Token } from '@lumino/coreutils';
import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import type { IRequests } from './requests';
import type { Snapshot } from './wire';

/** What the page knows of remote sessions and runs. One for each page, whoever shows it. */
export interface IFarcell extends IDisposable {
  /** The newest there is; null until the first one has come. It may be older than `problem` when that is set. */
  readonly snapshot: Snapshot | null;

  /** Why `snapshot` is not current, else null. */
  readonly problem: Error | null;

  /** Whether anybody watches; only then is anything asked of the server. */
  readonly isWatched: boolean;

  /** `snapshot`, `problem` or `isWatched` has changed. */
  readonly changed: ISignal<IFarcell, void>;

  readonly requests: IRequests;

  /** Keeps the snapshot current until what it returns is disposed of. */
  watch(): IDisposable;

  /** Asks anew at once, as after a problem. */
  refresh(): Promise<void>;

  /** Has the server ask all places anew, also those that refused a login. */
  look(): Promise<void>;
}

export const IFarcell = new Token<IFarcell>(
  'farcell:IFarcell',
  'What runs on other machines: sessions, runs, targets and GPUs, kept current while somebody watches.'
);
