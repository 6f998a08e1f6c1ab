import config, { LONG } from './jest.config.js';

/** The tests that kill, cut and starve, and others that take their time. */
export default {
  ...config,
  testMatch: null,
  testRegex: ['/test/faults/.*\\.spec\\.ts$', ...LONG.map(path => path.replace(/\/$/, '/.*\\.spec\\.ts$'))],
  testPathIgnorePatterns: ['/node_modules/'],
  maxWorkers: 1,
};
