import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Contender } from '../contender.js';
import { answers, findProgram, freePort, versionOf } from './program.js';

/** Where Debian and others put modules of nginx. */
const MODULES = ['/usr/lib/nginx/modules', '/usr/lib64/nginx/modules', '/usr/local/nginx/modules'];

/** nginx with its module Nchan: one worker, messages in shared memory. */
export const nchan: Contender = {
  name: 'nchan',
  async find() {
    const nginx = findProgram('nginx');
    if (nginx === undefined) return { missing: 'there is no nginx on PATH' };
    if (nchanModule() === undefined)
      return { missing: `nginx has no ngx_nchan_module.so in ${MODULES.join(', ')}` };
    return { version: `${await versionOf(nginx, '-v')} with nchan` };
  },
  async start(stage) {
    const port = await freePort();
    const folder = join(stage.folder, `nginx-${port}`);
    await mkdir(folder);
    const file = join(folder, 'nginx.conf');
    await writeFile(file, configuration(folder, port));
    const args = ['-p', folder, '-e', join(folder, 'error.log'), '-c', file];
    const child = await stage.program('nchan', findProgram('nginx') ?? 'nginx', args);
    await child.until('answer', () => answers(`http://127.0.0.1:${port}/up`));
    return {
      children: [child],
      streams: [{ port, path: '/stream', ready: ': hi' }],
      publish: { port, single: { path: '/publish', headers: { 'Content-Type': 'application/json' } } },
    };
  },
};

function nchanModule(): string | undefined {
  return MODULES.map(folder => join(folder, 'ngx_nchan_module.so')).find(file => existsSync(file));
}

function configuration(folder: string, port: number): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map(name => `${name}_temp_path ${join(folder, name)};`)
    .join('\n  ');
  return `
load_module ${nchanModule() ?? ''};
daemon off;
worker_processes 1;
pid ${join(folder, 'nginx.pid')};
error_log ${join(folder, 'error.log')} warn;
events { worker_connections 30000; }
http {
  access_log off;
  ${temporary}
  keepalive_requests 1000000000;
  nchan_max_reserved_memory 256m;
  server {
    listen 127.0.0.1:${port};
    location = /up { return 204; }
    location = /stream {
      nchan_subscriber eventsource;
      nchan_channel_id bench;
      nchan_subscriber_first_message newest;
    }
    location = /publish {
      nchan_publisher http;
      nchan_channel_id bench;
      nchan_message_buffer_length 10000;
      nchan_message_timeout 5m;
    }
  }
}
`;
}
