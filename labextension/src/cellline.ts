/** The `%%remote` line of a cell: read, put there, changed, taken away. Text in, text out; all that a file keeps is that line. */

import { WITH_VALUE } from './magicwords';

export interface IRemoteLine {
  /** Which line of the cell; other cell magics may stand above it. */
  index: number;
  /** Null: the default one. */
  target: string | null;
  isDetached: boolean;
  words: string[];
}

/** Null if the cell runs here. */
export function remoteLine(source: string): IRemoteLine | null {
  const lines = source.split('\n');
  for (let index = 0; index < lines.length; index++) {
    const line = lines[index];
    if (!/^\s*%%/.test(line)) {
      return null;
    }
    const found = /^\s*%%remote(?:\s+(.*))?$/.exec(line);
    if (found) {
      const words = (found[1] ?? '').trim().split(/\s+/).filter(Boolean);
      const at = targetAt(words);
      return { index, target: at < 0 ? null : words[at], isDetached: words.includes('--detach'), words };
    }
  }
  return null;
}

function targetAt(words: readonly string[]): number {
  for (let at = 0; at < words.length; at++) {
    if (WITH_VALUE.includes(words[at])) {
      at += 1;
    } else if (!words[at].startsWith('-')) {
      return at;
    }
  }
  return -1;
}

/** The same cell for another place: a target, the default one (''), or here (null). Options stay. */
export function withTarget(source: string, target: string | null): string {
  const lines = source.split('\n');
  const has = remoteLine(source);
  if (has) {
    if (target === null) {
      lines.splice(has.index, 1);
    } else {
      const at = targetAt(has.words);
      const words = has.words.filter((_, index) => index !== at);
      lines[has.index] = ['%%remote', ...(target ? [target] : []), ...words].join(' ');
    }
    return lines.join('\n');
  }
  if (target === null) {
    return source;
  }
  if (/^%%local\s*$/.test(lines[0])) {
    lines.shift();
  }
  return [target ? `%%remote ${target}` : '%%remote', ...lines].join('\n');
}

/** A remote cell with an option that takes no value, or without it. */
export function withOption(source: string, option: string, isSet: boolean): string {
  const has = remoteLine(source);
  if (!has) {
    return source;
  }
  const words = has.words.filter(word => word !== option);
  const lines = source.split('\n');
  lines[has.index] = ['%%remote', ...words, ...(isSet ? [option] : [])].join(' ');
  return lines.join('\n');
}
