import config from './jest.config.js';

/** The tests that look at what is built with a browser. */
export default { ...config, roots: ['<rootDir>/test/browser'], testPathIgnorePatterns: [], maxWorkers: 1 };
