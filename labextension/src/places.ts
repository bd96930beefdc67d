/** Where notebooks are, as the server's machine and as a page names them. */

import { PageConfig } from '@jupyterlab/coreutils';

/** Folders that a server's page may call `~`. */
const HOME = /^(\/root|\/home\/[^/]+|\/Users\/[^/]+)(?=\/)/;

/** A session's path of its notebook as one below the server's root, or as it is if it is not below it. */
export function pathOf(notebook: string): string {
  const root = PageConfig.getOption('serverRoot').replace(/\/$/, '');
  const whole = root.startsWith('~') ? notebook.replace(HOME, '~') : notebook;
  return root && whole.startsWith(`${root}/`) ? whole.slice(root.length + 1) : notebook;
}

/** Whether a session's notebook is the one that a page has open. A page's path may have a drive (`RTC:`); Notebook 7 tells no root. */
export function isSameNotebook(notebook: string, path: string): boolean {
  const open = path.replace(/^[^/:]+:/, '');
  return pathOf(notebook) === open || (!PageConfig.getOption('serverRoot') && notebook.endsWith(`/${open}`));
}
