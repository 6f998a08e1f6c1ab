import { Injectable } from '@nestjs/common';
import { Epochs } from '../log/epochs.js';
import { LogReader, type ReplayRequest } from '../log/log.reader.js';
import { FramedEvent } from '../tail/frame.js';
import { Bundle } from './bundle.js';

/** A page of a replay, ready to be written. */
export interface FramedPage {
  readonly events: readonly FramedEvent[];
  readonly bundle: Bundle;
  /** Everything up to here was looked at. */
  readonly cursor: number;
  /** The oldest seq kept, in the page's own snapshot. */
  readonly floor: number;
  /** The epoch that was being written, in the same snapshot. */
  readonly epoch: string;
}

/**
 * Reads pages of replays from Postgres. Clients that come back together ask for the same ones: who asks for a page that
 * is being read, or waits for its turn, shares it.
 */
@Injectable()
export class ReplayPages {
  private readonly underWay = new Map<string, Promise<FramedPage>>();

  constructor(
    private readonly reader: LogReader,
    private readonly epochs: Epochs,
  ) {}

  /** @param request up to where its caller knows that the log goes: a page up to the head may be of an older one */
  read(request: ReplayRequest & { readonly upTo: number }): Promise<FramedPage> {
    const name = nameOf(request);
    let page = this.underWay.get(name);
    if (!page) {
      page = this.fetch(request).finally(() => this.underWay.delete(name));
      this.underWay.set(name, page);
    }
    return page;
  }

  private async fetch(request: ReplayRequest): Promise<FramedPage> {
    const { events, cursor, floor, epoch } = await this.reader.replay(request);
    // Of an epoch that is not known yet nothing may be told.
    await this.epochs.follow(epoch);
    const framed = events.map(event => new FramedEvent(event, this.epochs.epochOf(event.seq, epoch)));
    return { events: framed, bundle: Bundle.of(framed), cursor, floor, epoch };
  }
}

/** Two requests with one name have the same answer, while the log says so: what is in a page is never changed. */
function nameOf({ tenant, filter, after, upTo, collapse, limit }: ReplayRequest): string {
  return JSON.stringify([tenant, filter.patterns, filter.types, after, upTo, collapse, limit]);
}
