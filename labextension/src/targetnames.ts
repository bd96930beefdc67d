/** Names of targets for menus: asked for when a menu is about to be used, not watched. */

import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';
import type { IRequests } from './requests';
import type { TargetList } from './wire';

export class TargetNames {
  constructor(private readonly _requests: IRequests) {}

  get names(): readonly string[] {
    return this._names;
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Keeps what it had if the server cannot be asked. */
  async refresh(): Promise<void> {
    let names: string[];
    try {
      const said = await this._requests.request<TargetList>('targets');
      names = said.targets.filter(each => each.name !== 'local-attach').map(each => each.name);
    } catch {
      return;
    }
    if (names.join() !== this._names.join()) {
      this._names = names;
      this._changed.emit();
    }
  }

  private readonly _changed = new Signal<this, void>(this);
  private _names: string[] = [];
}
