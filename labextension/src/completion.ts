/**
 * Targets, options and subcommands on the lines of `%%remote` and `%remote`, also while a kernel has not loaded farcell or is busy.
 * What a kernel that has loaded it says too is one entry: JupyterLab merges equal ones.
 */

import type { CompletionHandler, ICompletionContext, ICompletionProvider } from '@jupyterlab/completer';
import type { Session } from '@jupyterlab/services';
import { FLAGS, OF_TARGET, SUBCOMMANDS, WITH_VALUE } from './magicwords';
import type { TargetNames } from './targetnames';

export interface IWords {
  /** How long the word is that is being written. */
  length: number;
  words: { text: string; type: 'target' | 'option' | 'subcommand' }[];
}

/** What may stand at the end of a text that goes up to the cursor; null if that is not on such a line. */
export function wordsAt(before: string, targets: readonly string[]): IWords | null {
  const lines = before.split('\n');
  const line = lines.pop() as string;
  const found = /^\s*(%%?)remote\s(.*)$/.exec(line);
  // A cell magic stands on top, where others may stand above it.
  if (!found || (found[1] === '%%' && !lines.every(each => /^\s*%%/.test(each)))) {
    return null;
  }
  const said = found[2].split(/\s+/);
  const word = said.pop() as string;
  const earlier = said.filter(Boolean);
  const wanted = found[1] === '%%' ? ofCell(earlier, word, targets) : ofLine(earlier, targets);
  return { length: word.length, words: wanted.filter(each => each.text.startsWith(word)) };
}

function ofCell(earlier: readonly string[], word: string, targets: readonly string[]): IWords['words'] {
  if (WITH_VALUE.includes(earlier[earlier.length - 1])) {
    return []; // a value, of which the kernel may know more
  }
  const options = [...FLAGS, ...WITH_VALUE].filter(each => !earlier.includes(each));
  const hasTarget = earlier.some(
    (each, index) => !each.startsWith('-') && !WITH_VALUE.includes(earlier[index - 1])
  );
  return [
    ...(hasTarget || word.startsWith('-') ? [] : typed(targets, 'target')),
    ...typed(options, 'option')
  ];
}

function ofLine(earlier: readonly string[], targets: readonly string[]): IWords['words'] {
  if (!earlier.length) {
    return typed(SUBCOMMANDS, 'subcommand');
  }
  if (earlier[0] === 'env' && earlier.length === 1) {
    return typed(['diff', 'sync', 'ship'], 'subcommand');
  }
  const takesTarget =
    (OF_TARGET.includes(earlier[0]) && earlier.length === 1) ||
    (earlier[0] === 'env' && earlier.length === 2) ||
    ['--target', '-t'].includes(earlier[earlier.length - 1]);
  return takesTarget ? typed(targets, 'target') : [];
}

function typed(texts: readonly string[], type: IWords['words'][number]['type']): IWords['words'] {
  return texts.map(text => ({ text, type }));
}

export class RemoteCompletions implements ICompletionProvider {
  readonly identifier = 'CompletionProvider:farcell';
  /** Before the words of the document. */
  readonly rank = 540;
  readonly renderer = null;

  constructor(private readonly _names: TargetNames) {}

  async isApplicable(context: ICompletionContext): Promise<boolean> {
    return isPython(context.session);
  }

  async fetch(request: CompletionHandler.IRequest): Promise<CompletionHandler.ICompletionItemsReply> {
    // Offsets count characters, JavaScript halves of some.
    const before = Array.from(request.text).slice(0, request.offset).join('');
    const none = { start: request.offset, end: request.offset, items: [] };
    if (wordsAt(before, []) === null) {
      return none;
    }
    await this._names.refresh();
    const found = wordsAt(before, this._names.names);
    return found === null
      ? none
      : {
          start: request.offset - found.length,
          end: request.offset,
          items: found.words.map(({ text, type }) => ({ label: text, type }))
        };
  }
}

/** Other kernels have no such lines. One that is not there yet is taken to be one. */
function isPython(session: Session.ISessionConnection | null | undefined): boolean {
  const name = session?.kernel?.name ?? 'python';
  return /python|farcell/i.test(name);
}
