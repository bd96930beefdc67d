/** Names of commands, for menus, shortcuts and other extensions. */
export namespace CommandIDs {
  export const show = 'farcell:show';
  export const addTarget = 'farcell:add-target';
  export const openLog = 'farcell:open-log';
}
