import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';

const INSTALLED = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
];

const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** The machine's own Chromium (or that of BROWSER_PATH), else the one that comes as a package. */
export async function launchChromium(): Promise<Browser> {
  const own = [process.env['BROWSER_PATH'] ?? '', ...INSTALLED].find(path => existsSync(path));
  return chromium.launch({ executablePath: own ?? (await packagedChromium()), args: ARGS });
}

async function packagedChromium(): Promise<string> {
  // It unpacks the libraries that a minimal system lacks only where it believes to be needed most.
  process.env['AWS_LAMBDA_JS_RUNTIME'] ??= 'nodejs20.x';
  process.env['AWS_EXECUTION_ENV'] ??= 'AWS_Lambda_nodejs20.x';
  const { default: packaged } = await import('@sparticuz/chromium');
  return packaged.executablePath();
}
