import config from './jest.config.js';

/** The tests that look at the pages with a browser; they want what `npm run build` makes. */
export default {
  ...config,
  roots: ['<rootDir>/test/browser'],
  testPathIgnorePatterns: [],
  globalSetup: undefined,
  globalTeardown: undefined,
  maxWorkers: 1,
};
