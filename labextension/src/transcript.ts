import type { IOutput } from '@jupyterlab/nbformat';
import type { Output } from './wire';

/** Messages as a notebook keeps them: cleared where they were to be, displays with what they were last. */
export class Transcript {
  readonly outputs: IOutput[] = [];

  /** Whether all that was there before is as it was, so that it is enough to add the new ones. */
  add(output: Output, note: (bytes: number) => string): boolean {
    let isAppended = true;
    if (this._clears && output.type !== 'clear_output') {
      this._clears = false;
      isAppended = this._clear();
    }
    if (output.left_out_bytes) {
      this._append({ output_type: 'stream', name: 'stderr', text: note(output.left_out_bytes) });
    }
    switch (output.type) {
      case 'clear_output':
        this._clears = !!output.wait;
        return output.wait ? isAppended : this._clear() && isAppended;
      case 'update_display_data':
        return this._update(output) && isAppended;
      case 'stream':
        this._append({
          output_type: 'stream',
          name: output.name === 'stderr' ? 'stderr' : 'stdout',
          text: output.text ?? ''
        });
        return isAppended;
      case 'error':
        this._append({
          output_type: 'error',
          ename: output.ename ?? '',
          evalue: output.evalue ?? '',
          traceback: output.traceback ?? []
        });
        return isAppended;
      default:
        if (output.display_id) {
          const places = this._displays.get(output.display_id) ?? [];
          this._displays.set(output.display_id, [...places, this.outputs.length]);
        }
        this._append({
          output_type: output.type,
          data: output.data ?? {},
          metadata: output.metadata ?? {},
          ...(output.type === 'execute_result' ? { execution_count: output.execution_count ?? null } : {})
        } as IOutput);
        return isAppended;
    }
  }

  private _append(output: IOutput): void {
    this.outputs.push(output);
  }

  private _clear(): boolean {
    const wasEmpty = this.outputs.length === 0;
    this.outputs.length = 0;
    this._displays.clear();
    return wasEmpty;
  }

  private _update(output: Output): boolean {
    const places = this._displays.get(output.display_id ?? '') ?? [];
    for (const place of places) {
      this.outputs[place] = {
        ...this.outputs[place],
        data: output.data ?? {},
        metadata: output.metadata ?? {}
      } as IOutput;
    }
    return places.length === 0;
  }

  private _clears = false;
  private readonly _displays = new Map<string, number[]>();
}
