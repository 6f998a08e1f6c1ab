import config from './jest.config.js';

/** The tests that kill, cut and starve: they take their time. */
export default { ...config, roots: ['<rootDir>/test/faults'], testPathIgnorePatterns: [], maxWorkers: 1 };
