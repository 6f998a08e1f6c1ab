import type { Credential } from './credential.js';
import type { Settings } from './options.js';
import { canShare } from './share.channel.js';
import { SharedStream } from './shared.stream.js';
import type { Sink, Source } from './source.js';
import { Stream } from './stream.js';

/** A stream over fetch, shared with other tabs where that is wanted and can be. */
export function openStream(settings: Settings, credential: Credential, sink: Sink): Source {
  return settings.shared && canShare()
    ? new SharedStream(settings, credential, sink)
    : new Stream(settings, credential, sink);
}
