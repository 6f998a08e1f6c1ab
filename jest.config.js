/** Each test of these starts processes of its own, or tries very many cases: they run beside the faults. */
export const LONG = [
  '/test/cli/',
  '/test/database/(service\\.role|start)\\.spec\\.ts$',
  '/test/docs/(authentication|inbox|readme|sql\\.publishing)\\.spec\\.ts$',
  '/test/inbox/(badges|inbox\\.model)\\.spec\\.ts$',
  '/test/stream/replay\\.spec\\.ts$',
];

/** @type {import('jest').Config} */
export default {
  testEnvironment: 'node',
  roots: ['<rootDir>/test'],
  testMatch: ['**/*.spec.ts'],
  testPathIgnorePatterns: ['/node_modules/', '/test/faults/', '/test/browser/', ...LONG],
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: {
    '^(\\.{1,2}/.*)\\.js$': '$1',
    '^@nestjs/throttler$': '<rootDir>/test/support/throttler.ts',
  },
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: {
          target: 'es2022',
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: true },
        },
        module: { type: 'es6' },
        sourceMaps: 'inline',
      },
    ],
  },
  globalSetup: '<rootDir>/test/support/global-setup.ts',
  globalTeardown: '<rootDir>/test/support/global-teardown.ts',
  // Most of the time they wait, for Postgres and for each other; more of them would take more sessions than it has.
  maxWorkers: 2,
  testTimeout: 30_000,
};
