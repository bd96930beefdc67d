// JupyterLab's packages are ES modules, so they are compiled too.
const compiled = ['@jupyter', '@jupyterlab', '@jupyter-widgets', '@lumino', '@microsoft', 'lib0', 'y-protocols', 'y-websocket', 'yjs'];

module.exports = {
  rootDir: '..',
  roots: ['<rootDir>/checks/tests', '<rootDir>/src'],
  testEnvironment: 'jsdom',
  testMatch: ['<rootDir>/checks/tests/**/*.spec.ts?(x)'],
  modulePaths: ['<rootDir>/checks/node_modules'],
  moduleFileExtensions: ['ts', 'tsx', 'js', 'json', 'node'],
  moduleNameMapper: { '\\.(css|svg)$': '<rootDir>/checks/tests/asset.js' },
  transform: {
    '\\.[jt]sx?$': [
      '<rootDir>/checks/node_modules/@swc/jest',
      {
        jsc: {
          parser: { syntax: 'typescript', tsx: true },
          transform: { react: { runtime: 'classic' } },
          target: 'es2020'
        }
      }
    ]
  },
  transformIgnorePatterns: [`/node_modules/(?!(${compiled.join('|')})/)`],
  testTimeout: 20000
};
