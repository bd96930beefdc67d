/** GPUs as a person sees them: boards, whoever tells of them. No DOM. */

import type { Gpu, GpuHistory, SessionGpus, Telemetry } from './wire';

const HISTORY_S = 300;
export const [SPARK_W, SPARK_H] = [100, 20];

/** A board, and the sessions that see it. */
export interface IBoard {
  gpu: Gpu;
  machine: string;
  targets: string[];
  history: GpuHistory | undefined;
  at: number | null;
}

/** Boards by their uuid where they have one: two sessions of a machine see the same ones. */
export function boards(
  said: readonly SessionGpus[],
  histories: Telemetry | null,
  machineOf: (session: string) => string
): IBoard[] {
  const found = new Map<string, IBoard>();
  for (const session of said) {
    const told = histories?.sessions.find(each => each.session === session.session)?.history ?? [];
    for (const gpu of session.gpus) {
      const key = gpu.uuid ?? `${session.session} ${gpu.vendor} ${gpu.index}`;
      const history = told.find(
        each => each.vendor === gpu.vendor && each.index === gpu.index && each.uuid === gpu.uuid
      );
      const known = found.get(key);
      if (!known) {
        found.set(key, {
          gpu,
          machine: machineOf(session.session),
          targets: [session.target],
          history,
          at: session.at
        });
        continue;
      }
      if (!known.targets.includes(session.target)) {
        known.targets.push(session.target);
      }
      if ((session.at ?? 0) > (known.at ?? 0)) {
        Object.assign(known, { gpu, at: session.at });
      }
      if ((history?.samples.length ?? 0) > (known.history?.samples.length ?? 0)) {
        known.history = history;
      }
    }
  }
  return [...found.values()];
}

/** The line of a sparkline, newest at the right edge; gaps of nulls are left out. */
export function sparkline(samples: readonly { at: number; utilisation_percent: number | null }[]): string {
  const known = samples.filter(sample => sample.utilisation_percent !== null);
  const newest = known.length ? known[known.length - 1].at : 0;
  return known
    .map(sample => {
      const x = SPARK_W - ((newest - sample.at) / HISTORY_S) * SPARK_W;
      const y = SPARK_H - 1 - ((sample.utilisation_percent as number) / 100) * (SPARK_H - 2);
      return `${x.toFixed(1)},${y.toFixed(1)}`;
    })
    .join(' ');
}
