/** Words of `%%remote` and `%remote`, as jupyter_ext/farcell/magics.py has them: tests/unit/magics/test_words.py compares. */

/** Options of `%%remote` that are followed by a value. */
export const WITH_VALUE = [
  ...['--in', '--out', '--keep', '--files', '--timeout'],
  ...['--gpus', '--gpu-type', '--cpus', '--mem', '--walltime', '--nodes'],
  ...['--partition', '--account', '--qos', '--constraint', '--reservation', '--sbatch']
];

/** And those that are not. */
export const FLAGS = ['--detach', '--restartable', '--plan', '--yes'];

/** Of `%remote`. */
export const SUBCOMMANDS = [
  ...['status', 'plan', 'targets', 'interrupt', 'restart', 'stop', 'vars', 'pull', 'push', 'put', 'get'],
  ...['wait', 'results', 'attach', 'resolve', 'env', 'gpus', 'usage', 'log', 'sessions', 'reconnect'],
  ...['share', 'shared'],
  ...['save', 'restore', 'forget', 'on', 'off']
];

/** Those that are followed by a target. */
export const OF_TARGET = [
  ...['interrupt', 'restart', 'stop', 'vars', 'log', 'on'],
  ...['gpus', 'reconnect', 'save', 'restore', 'forget']
];
