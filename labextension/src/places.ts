/** Where notebooks are, as the server's machine and as a page names them. */

import { PageConfig } from '@jupyterlab/coreutils';
import type { IFarcell } from './tokens';

/** Folders that a server's page may call `~`. */
const HOME = /^(\/root|\/home\/[^/]+|\/Users\/[^/]+)(?=\/)/;

/**
 * A session's path of its notebook as one below the server's root, or as it is if it is not below it. The page's own idea of the
 * root is for while the server has not told its: Notebook 7 has none, and JupyterLab may have `~` in it.
 */
export function pathOf(notebook: string, model: Pick<IFarcell, 'snapshot'>): string {
  const told = model.snapshot?.root;
  const root = (told ?? PageConfig.getOption('serverRoot')).replace(/\/$/, '');
  const whole = root.startsWith('~') ? notebook.replace(HOME, '~') : notebook;
  return whole.startsWith(`${root}/`) && (root || told) ? whole.slice(root.length + 1) : notebook;
}

/** Whether a session's notebook is the one that a page has open, whose path may have a drive (`RTC:`). */
export function isSameNotebook(notebook: string, path: string, model: Pick<IFarcell, 'snapshot'>): boolean {
  const open = path.replace(/^[^/:]+:/, '');
  const isRootKnown = !!(model.snapshot?.root ?? PageConfig.getOption('serverRoot'));
  return pathOf(notebook, model) === open || (!isRootKnown && notebook.endsWith(`/${open}`));
}
